//! Events in the history of a store.

use tenure_core::chain::Hash;
use tenure_core::event::Event;
use tenure_core::id::{Namespace, TaskId};

use crate::list::Cursor;

/// An event with its place in the history of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its place: later events come after this cursor.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
    /// The hash that chains it to the task's event before.
    pub hash: Hash,
    /// What happened, as canonical JSON.
    pub data: String,
}

/// Which events a history contains.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EventFilter {
    /// Only of this namespace.
    pub namespace: Option<Namespace>,
    /// Only of this task.
    pub task: Option<TaskId>,
}

tenure_core::with_changes!(EventFilter);
