//! What the store in a database does to note a sweep of recovery.

use std::sync::Arc;

use tenure_core::id::Revision;
use tenure_store::Error;
use tenure_store::namespace_history::SweepNote;

use super::{PostgresStore, answer_of_write};
use crate::namespaces;

impl PostgresStore {
    pub(super) async fn write_note(&self, note: SweepNote) -> Result<Revision, Error> {
        self.may_write()?;
        let (database, runtime) = (Arc::clone(&self.database), self.runtime()?.clone());
        // As an import: only one thread may use what is written.
        let noting = move || runtime.block_on(namespaces::note(&database, &note));
        answer_of_write(self.runtime()?.spawn_blocking(noting).await)
    }
}
