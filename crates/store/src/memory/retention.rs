//! Retention in memory: the reference for the other stores.

use tenure_core::id::{CursorName, Namespace, TaskId};
use tenure_core::task::{Ending, Phase, Task};
use tenure_core::time::Time;

use super::{Memory, MemoryStore};
use crate::error::Error;
use crate::list::{Cursor, Page};
use crate::retention::{
    AnchorPurpose, AnchorRecord, BEHIND_MAX, Behind, CURSORS_MAX, CursorMove, CursorRow, EndedTask,
    LOOKED_AT_MAX, NamedCursor, NewAnchor, PruneFilter, PruneStep, PrunedTask, moves_back, no_such_cursor,
    pruned_cursor, pruned_place, too_many_cursors,
};
use crate::rows::StoredTask;
use crate::store::BoxFuture;
use crate::store::RetentionStore;
use crate::stored::StoredChain;

/// What is counted of a task that is pruned.
fn end_of(task: &Task, ending: &Ending) -> Task {
    let ending = Ending { reason: None, result: None, ..ending.clone() };
    let blank = Task::blank(task.namespace.clone(), task.id.clone());
    Task { queue: task.queue.clone(), phase: Phase::Ended(Box::new(ending)), ..blank }
}

impl Memory {
    /// A task that has ended, with the slowest cursor that needs its newest event.
    fn ended(&self, kept: &StoredTask) -> Option<EndedTask> {
        let task = &kept.task;
        let ending = task.ending()?;
        let newest = self.events.of_row(kept.row).map(|(place, _)| place).last()?;
        let in_namespace = self.retained.cursors.values().filter(|row| row.namespace == task.namespace);
        let places = in_namespace.filter_map(|row| Some((row.cursor.number('e').ok()?, &row.name)));
        let slowest = places.min().filter(|(place, _)| *place < newest);
        Some(EndedTask {
            namespace: task.namespace.clone(),
            id: task.id.clone(),
            saga_id: task.saga_id.clone(),
            number: task.revision,
            head: kept.head,
            state: ending.state,
            finished_at: ending.finished_at,
            updated_at: task.updated_at,
            owes: task.owes() && ending.retried_as.is_none() && ending.dismissed.is_none(),
            held_by: slowest.map(|(_, name)| name.clone()),
        })
    }

    fn prunable(&self, filter: &PruneFilter, after: i64, limit: usize, now: Time) -> Page<EndedTask> {
        let mut rows: Vec<&StoredTask> = self.tasks.values().filter(|kept| kept.row > after).collect();
        rows.sort_by_key(|kept| kept.row);
        let (mut items, mut next) = (Vec::new(), None);
        for (looked_at, kept) in rows.into_iter().enumerate() {
            if looked_at == LOOKED_AT_MAX || items.len() == limit.max(1) {
                return Page::new(items, next, false);
            }
            next = Some(Cursor::of('p', kept.row));
            items.extend(self.ended(kept).filter(|task| filter.takes(task, now)));
        }
        Page::new(items, None, false)
    }

    fn prune(&mut self, step: PruneStep, now: Time) -> Vec<PrunedTask> {
        let stored = step.tasks.iter().filter_map(|task| self.tasks.get(&task.name()));
        let found: Vec<EndedTask> = stored.filter_map(|kept| self.ended(kept)).collect();
        let newest = Cursor::of('e', self.events.newest());
        let Some(decided) = step.decide(found, newest.as_str().to_owned(), now) else { return Vec::new() };
        let anchor = self.retained.record(decided.anchor.clone(), AnchorPurpose::Prune, now);
        let pruned = decided.pruned(anchor.number);
        for one in &pruned {
            let name = (one.namespace.clone(), one.id.clone());
            if let Some(kept) = self.tasks.remove(&name) {
                self.events.prune(kept.row);
                self.retained.ends.extend(kept.task.ending().map(|ending| end_of(&kept.task, ending)));
            }
            self.retained.pruned.insert(name, one.clone());
        }
        pruned
    }

    fn move_cursor(&mut self, moving: CursorMove, now: Time) -> Result<NamedCursor, Error> {
        let CursorMove { namespace, name, to, by } = moving;
        let key = (namespace.clone(), name.clone());
        let place = to.as_ref().map_or(Ok(0), |to| to.number('e'))?;
        if place > self.events.newest() {
            return Err(Cursor::ahead());
        }
        match self.retained.cursors.get_mut(&key) {
            Some(row) => {
                let at = row.cursor.number('e')?;
                if to.is_some() && place < at {
                    return Err(moves_back(&name, row.cursor.as_str(), Cursor::of('e', place).as_str()));
                }
                if place > at {
                    (row.cursor, row.moved_at, row.moved_by) = (Cursor::of('e', place), now, by);
                }
            }
            None => {
                let count = self.retained.cursors.keys().filter(|(of, _)| *of == namespace).count();
                if count >= CURSORS_MAX {
                    return Err(too_many_cursors());
                }
                let cursor = Cursor::of('e', place);
                let row = CursorRow {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    cursor,
                    moved_at: now,
                    moved_by: by,
                };
                self.retained.cursors.insert(key.clone(), row);
            }
        }
        let row = self.retained.cursors.get(&key).ok_or_else(|| no_such_cursor(&namespace, &name))?;
        Ok(self.with_lag(row, now))
    }

    fn with_lag(&self, row: &CursorRow, now: Time) -> NamedCursor {
        let mut behind = Behind::default();
        let place = row.cursor.number('e').unwrap_or(0);
        for (_, sealed) in self.events.after(place).take(BEHIND_MAX) {
            behind.looked_at += 1;
            if sealed.event.namespace == row.namespace {
                behind.count += 1;
                behind.since = behind.since.or(Some(sealed.event.at));
            }
        }
        row.clone().behind(behind, now)
    }
}

impl RetentionStore for MemoryStore {
    fn prunable(
        &self,
        filter: PruneFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<EndedTask>, Error>> {
        Box::pin(async move {
            let after = after.map_or(Ok(i64::MIN), |cursor| cursor.number('p'))?;
            let memory = self.memory();
            Ok(memory.prunable(&filter, after, limit, self.now_by(&memory)))
        })
    }

    fn chains_of(&self, tasks: Vec<(Namespace, TaskId)>) -> BoxFuture<'_, Result<Vec<StoredChain>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let stored = tasks.iter().filter_map(|name| memory.tasks.get(name));
            Ok(stored.map(|kept| memory.chain(kept)).collect())
        })
    }

    fn prune(&self, step: PruneStep) -> BoxFuture<'_, Result<Vec<PrunedTask>, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let now = self.now_by(&memory);
            Ok(memory.prune(step, now))
        })
    }

    fn pruned(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<PrunedTask>, Error>> {
        Box::pin(async move { Ok(self.memory().retained.pruned.get(&(namespace, id)).cloned()) })
    }

    fn pruned_tasks(
        &self,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<PrunedTask>, Error>> {
        Box::pin(async move {
            let (namespace, id) = pruned_place(after.as_ref())?;
            let (memory, limit) = (self.memory(), limit.max(1));
            let is_behind = |one: &&PrunedTask| {
                (one.namespace.as_str(), one.id.as_str()) > (namespace.as_str(), id.as_str())
            };
            let mut items: Vec<PrunedTask> = memory
                .retained
                .pruned
                .values()
                .filter(is_behind)
                .take(limit.saturating_add(1))
                .cloned()
                .collect();
            let more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| more).map(pruned_cursor);
            Ok(Page::new(items, next, false))
        })
    }

    fn anchors(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AnchorRecord>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let behind = memory.retained.anchors.iter().filter(|record| record.number > after);
            Ok(behind.take(limit.max(1)).cloned().collect())
        })
    }

    fn newest_anchor(&self, purpose: AnchorPurpose) -> BoxFuture<'_, Result<Option<AnchorRecord>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let anchors = memory.retained.anchors.iter().filter(|record| record.purpose == purpose);
            Ok(anchors.max_by_key(|record| (record.at, record.number)).cloned())
        })
    }

    fn record_anchor(&self, anchor: NewAnchor) -> BoxFuture<'_, Result<AnchorRecord, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let now = self.now_by(&memory);
            Ok(memory.retained.record(anchor, AnchorPurpose::Audit, now))
        })
    }

    fn named_cursors(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<NamedCursor>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let now = self.now_by(&memory);
            let rows = memory.retained.cursors.values().filter(|row| row.namespace == namespace);
            Ok(rows.map(|row| memory.with_lag(row, now)).collect())
        })
    }

    fn move_cursor(&self, moving: CursorMove) -> BoxFuture<'_, Result<NamedCursor, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let now = self.now_by(&memory);
            memory.move_cursor(moving, now)
        })
    }

    fn forget_cursor(
        &self,
        namespace: Namespace,
        name: CursorName,
    ) -> BoxFuture<'_, Result<NamedCursor, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let now = self.now_by(&memory);
            let row = memory.retained.cursors.remove(&(namespace.clone(), name.clone()));
            let row = row.ok_or_else(|| no_such_cursor(&namespace, &name))?;
            Ok(memory.with_lag(&row, now))
        })
    }
}
