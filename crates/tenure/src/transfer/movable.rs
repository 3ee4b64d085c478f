//! Which stores can be moved: those that this process opens itself.

use tenure_core::refusal::{Code, Refusal};
use tenure_store::{Store, TransferStore};

/// The store itself, if it can be moved.
pub(super) fn movable<'s>(store: &'s dyn Store, what: &str) -> Result<&'s dyn TransferStore, Refusal> {
    store.transfer().ok_or_else(|| {
        let words = format!(
            "{what} runs beside the database, not over HTTP: run it on a machine that opens the store itself, and name the \
             file or the database"
        );
        Refusal::new(Code::Forbidden, words)
    })
}
