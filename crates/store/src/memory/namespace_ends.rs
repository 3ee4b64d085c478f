//! Where the histories of namespaces end in memory.

use crate::namespace_history::NamespaceHead;

/// A namespace with a history of its own.
pub(super) struct StoredNamespace {
    /// Its number: -1, -2 and so on, as no task has.
    pub(super) row: i64,
    pub(super) end: NamespaceHead,
}
