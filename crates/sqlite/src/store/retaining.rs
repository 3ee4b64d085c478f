//! What the store on a file does for retention: it sends writes to the writer lock, and questions to its readers.

use tenure_core::id::{CursorName, Namespace, TaskId};
use tenure_store::RetentionStore;
use tenure_store::retention::{
    AnchorPurpose, AnchorRecord, CursorMove, EndedTask, NamedCursor, NewAnchor, PruneFilter, PruneStep,
    PrunedTask,
};
use tenure_store::stored::StoredChain;
use tenure_store::{BoxFuture, Cursor, Error, Page};

use super::SqliteStore;
use crate::retention::{RetentionWrite, Written};

fn other_answer() -> Error {
    Error::Unknown("the write was done, and answered with something else".into())
}

impl SqliteStore {
    async fn write_cursor(&self, write: RetentionWrite) -> Result<NamedCursor, Error> {
        match self.write_retention(write).await? {
            Written::Cursor(cursor) => Ok(cursor),
            Written::Pruned(_) | Written::Anchor(_) | Written::Carried => Err(other_answer()),
        }
    }
}

impl RetentionStore for SqliteStore {
    fn prunable(
        &self,
        filter: PruneFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<EndedTask>, Error>> {
        Box::pin(self.read(move |reader| reader.prunable(&filter, after.as_ref(), limit)))
    }

    fn chains_of(&self, tasks: Vec<(Namespace, TaskId)>) -> BoxFuture<'_, Result<Vec<StoredChain>, Error>> {
        Box::pin(self.read(move |reader| reader.chains_of(&tasks)))
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
        Box::pin(self.read(move |reader| reader.pruned(&namespace, &id)))
    }

    fn pruned_tasks(
        &self,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<PrunedTask>, Error>> {
        Box::pin(self.read(move |reader| reader.pruned_tasks(after.as_ref(), limit)))
    }

    fn anchors(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AnchorRecord>, Error>> {
        Box::pin(self.read(move |reader| reader.anchors(after, limit)))
    }

    fn newest_anchor(&self, purpose: AnchorPurpose) -> BoxFuture<'_, Result<Option<AnchorRecord>, Error>> {
        Box::pin(self.read(move |reader| reader.newest_anchor(purpose)))
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
        Box::pin(self.read(move |reader| reader.named_cursors(&namespace)))
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
