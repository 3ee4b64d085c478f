//! What the store on a file does to be moved: it sends writes to the writer lock, and questions to its readers.

use std::sync::Arc;

use tenure_core::id::{CursorName, Namespace, RequestId};
use tenure_store::access::{ListedToken, Token};
use tenure_store::retention::{CursorRow, PrunedTask};
use tenure_store::tokens::TokenChange;
use tenure_store::transfer::{CarriedRequest, ReplayBatch, ReplayVerdict, StoreContents};
use tenure_store::{BoxFuture, Cursor, Error, Store as _, TransferStore};

use super::{SqliteStore, blocking_write};
use crate::retention::RetentionWrite;

impl TransferStore for SqliteStore {
    fn contents(&self) -> BoxFuture<'_, Result<StoreContents, Error>> {
        Box::pin(self.read(|reader| reader.contents()))
    }

    fn end_of_history(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        self.newest()
    }

    fn requests(
        &self,
        after: Option<(Namespace, RequestId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CarriedRequest>, Error>> {
        Box::pin(self.read(move |reader| reader.requests(after.as_ref(), limit)))
    }

    fn replay(&self, batch: ReplayBatch) -> BoxFuture<'_, Result<Vec<ReplayVerdict>, Error>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            self.may_write()?;
            blocking_write(move || readers.replay(&batch)).await
        })
    }

    fn carry_token(&self, token: ListedToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.change_tokens(TokenChange::Carry(token))
    }

    fn prunes(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(self.read(|reader| reader.prunes()))
    }

    fn pruned_behind(&self, anchor: u64) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>> {
        Box::pin(self.read(move |reader| reader.pruned_behind(anchor)))
    }

    fn followers(
        &self,
        after: Option<(Namespace, CursorName)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CursorRow>, Error>> {
        Box::pin(self.read(move |reader| reader.followers(after.as_ref(), limit)))
    }

    fn follower(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<Option<CursorRow>, Error>> {
        Box::pin(self.read(move |reader| reader.follower(&namespace, &name)))
    }

    fn carry_follower(&self, row: CursorRow) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.write_retention(RetentionWrite::CarryCursor(row)).await.map(drop) })
    }
}
