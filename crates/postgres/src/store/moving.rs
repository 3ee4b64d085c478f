//! What the store in a database does to be moved: writes in transactions of their own, and questions to its readers.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::id::{CursorName, Namespace, RequestId};
use tenure_store::access::{ListedToken, Token};
use tenure_store::retention::{CursorRow, PrunedTask};
use tenure_store::tokens::TokenChange;
use tenure_store::transfer::{CarriedRequest, ReplayBatch, ReplayVerdict, StoreContents};
use tenure_store::{BoxFuture, Cursor, Error, TransferStore};

use super::{PostgresStore, answer_of_write};
use crate::columns::{Meaning, PostgresError};
use crate::link::Link;
use crate::read::PostgresReader;
use crate::retention::RetentionWrite;
use crate::transfer;

/// How often the end of the history is looked for behind transactions that are open, and how many times.
const LOOK_FOR_END_EVERY: Duration = Duration::from_millis(50);
const LOOKS_FOR_END_MAX: usize = 600;

impl TransferStore for PostgresStore {
    fn contents(&self) -> BoxFuture<'_, Result<StoreContents, Error>> {
        Box::pin(async move {
            // A task that a caller's transaction created has no events before it is made.
            self.settled().await?;
            look!(self, |reader| reader.contents()).await
        })
    }

    fn end_of_history(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(async move {
            let newest = look!(self, |reader| reader.newest_feed()).await?;
            for _ in 0..LOOKS_FOR_END_MAX {
                let horizon = look!(self, |reader| reader.horizon()).await?;
                if newest < horizon {
                    return Ok(Cursor::between('e', horizon - 1, i64::MAX));
                }
                tokio::time::sleep(LOOK_FOR_END_EVERY).await;
            }
            Err(Error::Unavailable(
                "a transaction of another program has been open for too long and hides the newest events; find it in \
                 pg_stat_activity, end it, and try again"
                    .into(),
            ))
        })
    }

    fn requests(
        &self,
        after: Option<(Namespace, RequestId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CarriedRequest>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.requests(after.as_ref(), limit)).await })
    }

    fn replay(&self, batch: ReplayBatch) -> BoxFuture<'_, Result<Vec<ReplayVerdict>, Error>> {
        Box::pin(async move {
            self.may_write()?;
            let (database, importing) = (Arc::clone(&self.database), Arc::clone(&self.importing));
            let runtime = self.runtime()?.clone();
            // What is written is put together in places that only one thread may use, so it is not one of the runtime's tasks.
            let take = move || {
                runtime.block_on(async {
                    let mut link = importing.lock().await;
                    transfer::take(&mut link, &database, &batch).await
                })
            };
            let taking = self.runtime()?.spawn_blocking(take);
            answer_of_write(taking.await)
        })
    }

    fn carry_token(&self, token: ListedToken) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(self.change_tokens(TokenChange::Carry(token)))
    }

    fn prunes(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { look!(self, |reader| reader.prunes()).await })
    }

    fn pruned_behind(&self, anchor: u64) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.pruned_behind(anchor)).await })
    }

    fn followers(
        &self,
        after: Option<(Namespace, CursorName)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CursorRow>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.followers(after.as_ref(), limit)).await })
    }

    fn follower(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<Option<CursorRow>, Error>> {
        Box::pin(async move { look!(self, |reader| reader.follower(&namespace, &name)).await })
    }

    fn carry_follower(&self, row: CursorRow) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.write_retention(RetentionWrite::CarryCursor(row)).await.map(drop) })
    }
}
