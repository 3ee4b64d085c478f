//! How a memory store takes what another one exported, and gives what it has.

use std::convert::Infallible;

use tenure_core::chain::Hash;
use tenure_core::event::Subject;
use tenure_core::id::{CursorName, Namespace, RequestId, Revision, TaskId};
use tenure_core::time::Time;

use super::{Memory, MemoryStore};
use crate::access::{ListedToken, Token};
use crate::error::Error;
use crate::retention::{
    AnchorPurpose, AnchorRecord, CURSORS_MAX, CursorRow, NewAnchor, PrunedTask, cursor_exists,
    too_many_cursors,
};
use crate::tokens::TokenChange;
use crate::transfer::{
    CarriedAnchor, CarriedRequest, ReplayBatch, ReplayRows, ReplayVerdict, Replayed, StoreContents, replay,
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

    fn pruned(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<PrunedTask>, Infallible> {
        Ok(self.retained.pruned.get(&(namespace.clone(), id.clone())).cloned())
    }

    fn has_anchor(&mut self, anchor: &CarriedAnchor) -> Result<bool, Infallible> {
        let of = |record: &AnchorRecord| CarriedAnchor::of(record.clone(), Vec::new());
        Ok(self.retained.anchors.iter().any(|record| of(record) == *anchor))
    }

    fn record_anchor(&mut self, anchor: CarriedAnchor) -> Result<(), Infallible> {
        let CarriedAnchor { purpose, cursor, root, lines, at, by, pruned } = anchor;
        let record = self.retained.record(NewAnchor { cursor, root, lines, by }, purpose, at);
        for one in pruned {
            let (namespace, id) = (one.namespace.clone(), one.id.clone());
            self.sagas.insert((namespace.clone(), one.saga_id.clone()), id.clone());
            self.retained.pruned.insert((namespace, id), PrunedTask { anchor: record.number, ..one });
        }
        Ok(())
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

    fn prunes(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let anchors = memory.retained.anchors.iter();
            Ok(anchors.filter(|record| record.purpose == AnchorPurpose::Prune).count() as u64)
        })
    }

    fn pruned_behind(&self, anchor: u64) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let pruned = memory.retained.pruned.values();
            Ok(pruned.filter(|one| one.anchor == anchor).cloned().collect())
        })
    }

    fn followers(
        &self,
        after: Option<(Namespace, CursorName)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<CursorRow>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let cursors = memory.retained.cursors.iter();
            let behind = cursors.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
            Ok(behind.take(limit.max(1)).map(|(_, row)| row.clone()).collect())
        })
    }

    fn follower(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<Option<CursorRow>, Error>> {
        Box::pin(async move { Ok(self.memory().retained.cursors.get(&(namespace, name)).cloned()) })
    }

    fn carry_follower(&self, row: CursorRow) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let cursors = &mut memory.retained.cursors;
            if cursors.contains_key(&(row.namespace.clone(), row.name.clone())) {
                return Err(cursor_exists(&row.namespace, &row.name));
            }
            if cursors.keys().filter(|(of, _)| *of == row.namespace).count() >= CURSORS_MAX {
                return Err(too_many_cursors());
            }
            cursors.insert((row.namespace.clone(), row.name.clone()), row);
            Ok(())
        })
    }
}
