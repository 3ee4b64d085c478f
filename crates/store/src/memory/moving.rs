//! How a memory store takes what another one exported, and gives what it has.

use std::convert::Infallible;

use tenure_core::chain::Hash;
use tenure_core::event::Subject;
use tenure_core::id::{Namespace, RequestId, Revision};
use tenure_core::time::Time;

use super::{Memory, MemoryStore};
use crate::access::{ListedToken, Token};
use crate::error::Error;
use crate::tokens::TokenChange;
use crate::transfer::{
    CarriedRequest, ReplayBatch, ReplayRows, ReplayVerdict, Replayed, StoreContents, replay,
};
use crate::{BoxFuture, Cursor, Store as _, TransferStore};

impl ReplayRows for Memory {
    fn event_hash(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
        number: Revision,
    ) -> Result<Option<Hash>, Infallible> {
        let events = self.events.iter().map(|(_, sealed)| sealed);
        let mut named = events.filter(|sealed| {
            let event = &sealed.event;
            event.number == number && event.subject == *subject && event.namespace == *namespace
        });
        Ok(named.next().map(|sealed| sealed.hash))
    }
}

impl TransferStore for MemoryStore {
    fn contents(&self) -> BoxFuture<'_, Result<StoreContents, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            Ok(StoreContents { epoch_floor: memory.floor, events: memory.events.count() as u64 })
        })
    }

    fn end_of_history(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        self.newest()
    }

    fn requests(
        &self,
        after: Option<(Namespace, RequestId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CarriedRequest>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let name = |(namespace, id): &(Namespace, RequestId)| {
                (namespace.as_str().to_owned(), id.as_str().to_owned())
            };
            let after = after.as_ref().map(name);
            let mut found: Vec<_> = memory
                .requests
                .iter()
                .map(|(key, request)| (name(key), key, request))
                .filter(|(name, ..)| after.as_ref().is_none_or(|after| name > after))
                .collect();
            found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
            let carried = found.into_iter().take(limit.max(1)).map(|(_, (namespace, id), request)| {
                CarriedRequest { namespace: namespace.clone(), id: id.clone(), request: request.clone() }
            });
            Ok(carried.collect())
        })
    }

    fn replay(&self, batch: ReplayBatch) -> BoxFuture<'_, Result<Vec<ReplayVerdict>, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let now = self.now_by(&memory);
            memory.floor = memory.floor.max(batch.epoch_floor);
            let Ok(Replayed { verdicts, newest, .. }) = replay(&mut *memory, &batch.items, now);
            memory.last = Some(memory.last.unwrap_or(Time::MIN).max(newest));
            let newest_place = memory.events.newest();
            drop(memory);
            self.grown.send_if_modified(|grown| std::mem::replace(grown, newest_place) != newest_place);
            Ok(verdicts)
        })
    }

    fn carry_token(&self, token: ListedToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.change_tokens(TokenChange::Carry(token))
    }
}
