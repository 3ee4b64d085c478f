//! What the store in a database does for retention: writes in transactions of their own, and questions to its readers.

use std::sync::Arc;

use tenure_core::id::{CursorName, Namespace, TaskId};
use tenure_store::RetentionStore;
use tenure_store::retention::{
    AnchorPurpose, AnchorRecord, CursorMove, EndedTask, NamedCursor, NewAnchor, PruneFilter, PruneStep,
    PrunedTask, pruned_place,
};
use tenure_store::stored::StoredChain;
use tenure_store::{BoxFuture, Cursor, Error, Page};

use super::{PostgresStore, answer_of_write};
use crate::columns::{Meaning, PostgresError};
use crate::link::Link;
use crate::read::PostgresReader;
use crate::retained::prunable_place;
use crate::retention::{self, RetentionWrite, Written};

fn other_answer() -> Error {
    Error::Unknown("the write was done, and answered with something else".into())
}

impl PostgresStore {
    pub(super) async fn write_retention(&self, write: RetentionWrite) -> Result<Written, Error> {
        self.may_write()?;
        let database = Arc::clone(&self.database);
        let writing = self.runtime()?.spawn(async move { retention::write(&database, write).await });
        answer_of_write(writing.await)
    }

    async fn write_cursor(&self, write: RetentionWrite) -> Result<NamedCursor, Error> {
        match self.write_retention(write).await? {
            Written::Cursor(cursor) => Ok(cursor),
            Written::Pruned(_) | Written::Anchor(_) | Written::Carried => Err(other_answer()),
        }
    }
}

impl RetentionStore for PostgresStore {
    fn prunable(
        &self,
        filter: PruneFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<EndedTask>, Error>> {
        Box::pin(async move {
            let place = prunable_place(after.as_ref())?;
            look!(self, |reader| reader.prunable(&filter, place.clone(), limit)).await
        })
    }

    fn chains_of(&self, tasks: Vec<(Namespace, TaskId)>) -> BoxFuture<'_, Result<Vec<StoredChain>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.chains_of(&tasks)).await })
    }

    fn prune(&self, step: PruneStep) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>> {
        Box::pin(async move {
            match self.write_retention(RetentionWrite::Prune(step)).await? {
                Written::Pruned(pruned) => Ok(pruned),
                Written::Cursor(_) | Written::Anchor(_) | Written::Carried => Err(other_answer()),
            }
        })
    }

    fn pruned(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<PrunedTask>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.pruned(&namespace, &id)).await })
    }

    fn pruned_tasks(
        &self,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<PrunedTask>, Error>> {
        Box::pin(async move {
            let place = pruned_place(after.as_ref())?;
            look!(self, |reader| reader.pruned_tasks(place.clone(), limit)).await
        })
    }

    fn anchors(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AnchorRecord>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.anchors(after, limit)).await })
    }

    fn newest_anchor(&self, purpose: AnchorPurpose) -> BoxFuture<'_, Result<Option<AnchorRecord>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.newest_anchor(purpose)).await })
    }

    fn record_anchor(&self, anchor: NewAnchor) -> BoxFuture<'_, Result<AnchorRecord, Error>> {
        Box::pin(async move {
            match self.write_retention(RetentionWrite::RecordAnchor(anchor)).await? {
                Written::Anchor(record) => Ok(record),
                Written::Cursor(_) | Written::Pruned(_) | Written::Carried => Err(other_answer()),
            }
        })
    }

    fn named_cursors(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<NamedCursor>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.named_cursors(&namespace)).await })
    }

    fn move_cursor(&self, moving: CursorMove) -> BoxFuture<'_, Result<NamedCursor, Error>> {
        Box::pin(self.write_cursor(RetentionWrite::MoveCursor(moving)))
    }

    fn forget_cursor(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<NamedCursor, Error>> {
        Box::pin(self.write_cursor(RetentionWrite::ForgetCursor(namespace, name)))
    }
}
