//! Retention behind servers: named cursors and what is left of pruned tasks. Pruning itself runs beside the database.

use tenure_api as api;
use tenure_api::retention::CursorBody;
use tenure_api::{from_json, to_json};
use tenure_core::id::{CursorName, Namespace, TaskId};
use tenure_core::refusal::{Code, Refusal};
use tenure_store::RetentionStore;
use tenure_store::retention::{
    AnchorPurpose, AnchorRecord, CursorMove, EndedTask, NamedCursor, NewAnchor, PruneFilter, PruneStep,
    PrunedTask,
};
use tenure_store::stored::StoredChain;
use tenure_store::{BoxFuture, Cursor, Error, Page};

use super::{PAGE_MAX, RemoteStore, in_namespace, read, unreadable};
use crate::wire::{Idempotency, Query};

fn beside_the_database(what: &str) -> Error {
    let words = format!(
        "{what} runs beside the database, and this store is a server: pass the URL of its file or database, or start the \
         server with --retain"
    );
    Refusal::invalid("store", words).into()
}

/// A server of an older version has no such route, and has pruned nothing.
fn or_none<T: Default>(answer: Result<T, Error>) -> Result<T, Error> {
    match answer {
        Err(error) if error.code() == Some(Code::NotFound) => Ok(T::default()),
        answer => answer,
    }
}

impl RetentionStore for RemoteStore {
    fn prunable(
        &self,
        _filter: PruneFilter,
        _after: Option<Cursor>,
        _limit: usize,
    ) -> BoxFuture<'_, Result<Page<EndedTask>, Error>> {
        Box::pin(async { Err(beside_the_database("prune")) })
    }

    fn chains_of(&self, _tasks: Vec<(Namespace, TaskId)>) -> BoxFuture<'_, Result<Vec<StoredChain>, Error>> {
        Box::pin(async { Err(beside_the_database("prune")) })
    }

    fn prune(&self, _step: PruneStep) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>> {
        Box::pin(async { Err(beside_the_database("prune")) })
    }

    fn pruned(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<PrunedTask>, Error>> {
        Box::pin(async move {
            let path = in_namespace(&namespace, &format!("pruned/{id}"));
            let answer = self.get::<api::retention::PrunedAnswer>(path, Query::none()).await;
            or_none(answer.map(|answer| Some(answer.pruned)))
        })
    }

    fn pruned_tasks(
        &self,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<PrunedTask>, Error>> {
        Box::pin(async move {
            let query = Query::none()
                .with("limit", Some(limit.clamp(1, PAGE_MAX)))
                .with("cursor", after.as_ref().map(Cursor::as_str));
            let answer = self.get::<api::retention::PrunedPage>("/v1/pruned".to_owned(), query).await;
            let page = or_none(answer.map(|page| (page.pruned, page.next)))?;
            Ok(Page::new(page.0, page.1.map(Cursor::from_text), false))
        })
    }

    fn anchors(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AnchorRecord>, Error>> {
        Box::pin(async move {
            let query =
                Query::none().with("limit", Some(limit.clamp(1, PAGE_MAX))).with("after", Some(after));
            let answer = self.get::<api::retention::AnchorRecords>("/v1/anchors".to_owned(), query).await;
            or_none(answer.map(|records| records.anchors))
        })
    }

    fn newest_anchor(&self, purpose: AnchorPurpose) -> BoxFuture<'_, Result<Option<AnchorRecord>, Error>> {
        Box::pin(async move {
            let (mut newest, mut after) = (None, 0);
            loop {
                let records = self.anchors(after, PAGE_MAX).await?;
                let Some(last) = records.last() else { return Ok(newest) };
                after = last.number;
                let of_purpose = records.into_iter().filter(|record| record.purpose == purpose);
                newest = newest.into_iter().chain(of_purpose).max_by_key(|record| (record.at, record.number));
            }
        })
    }

    fn record_anchor(&self, _anchor: NewAnchor) -> BoxFuture<'_, Result<AnchorRecord, Error>> {
        Box::pin(async { Err(beside_the_database("the record of anchors")) })
    }

    fn named_cursors(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<NamedCursor>, Error>> {
        Box::pin(async move {
            let path = in_namespace(&namespace, "cursors");
            let answer = self.get::<api::retention::CursorList>(path, Query::none()).await;
            or_none(answer.map(|list| list.cursors))
        })
    }

    /// A repeat of a move moves nothing, so it is sent as often as needed.
    fn move_cursor(&self, moving: CursorMove) -> BoxFuture<'_, Result<NamedCursor, Error>> {
        Box::pin(async move {
            let CursorMove { namespace, name, to, by } = moving;
            let path = in_namespace(&namespace, &format!("cursors/{name}"));
            let cursor = to.map(|to| to.as_str().to_owned());
            let body = to_json(&CursorBody { cursor, by: Some(by.to_string()) });
            let answer = read(self.wire.post(path, body, Idempotency::Safe).await)?;
            let answer: api::retention::CursorAnswer = from_json(&answer).map_err(unreadable)?;
            Ok(answer.cursor)
        })
    }

    fn forget_cursor(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<NamedCursor, Error>> {
        Box::pin(async move {
            let path = in_namespace(&namespace, &format!("cursors/{name}"));
            let answer = read(self.wire.delete(path, "{}".to_owned()).await)?;
            let answer: api::retention::CursorAnswer = from_json(&answer).map_err(unreadable)?;
            Ok(answer.cursor)
        })
    }
}
