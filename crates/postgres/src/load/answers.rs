//! What the answers to the statements of [`super`] say.

use std::collections::{BTreeSet, HashMap};

use tenure_core::id::{Actor, Document, Epoch, SagaId};
use tenure_core::time::Time;
use tenure_store::columns::{
    Policies, Row as _, TASK_COLUMN_COUNT, TaskParts, compensation_count, is_planned, read_compensation,
    read_due, read_task, read_task_key,
};
use tenure_store::due::Due;

use crate::batch::{Batch, FoundLease, Slot, Whole};
use crate::columns::{
    DUE_COLUMN_COUNT, KEY_COLUMN_COUNT, Key, PostgresResult, PostgresRow, RowVersion, read_key,
};

/// A task that a caller created in its own transaction, and that must be made.
pub(crate) struct Created {
    pub(crate) key: Key,
    pub(crate) actor: Actor,
    pub(crate) record: String,
    pub(super) asked_at: Time,
}

pub(super) fn read_taken(
    names: &[(Key, SagaId)],
    rows: &[PostgresRow],
    batch: &mut Batch,
) -> PostgresResult<()> {
    for ((key, saga_id), row) in names.iter().zip(rows) {
        if row.truth(0)? {
            batch.taken_ids.insert(key.clone());
        }
        if row.truth(1)? {
            batch.taken_sagas.insert((key.0.clone(), saga_id.clone()));
        }
    }
    Ok(())
}

pub(super) fn read_created(rows: &[PostgresRow]) -> PostgresResult<Vec<Created>> {
    let read = |row| {
        let row: &PostgresRow = row;
        Ok(Created {
            key: read_key(row, 0)?,
            actor: Actor::new(row.a_text(2)?)?,
            record: row.a_text(3)?.to_owned(),
            asked_at: row.a_time(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Reads tasks that claims found, and returns the rows of those that other rows belong to.
pub(super) fn read_claimable(
    rows: Vec<PostgresRow>,
    policies: &mut Policies,
    batch: &mut Batch,
) -> PostgresResult<Vec<(Key, PostgresRow)>> {
    let mut with_others = Vec::new();
    for row in rows {
        let key = read_task_key(&row)?;
        if let Some(Slot::Whole(_)) = batch.slots.get(&key) {
            continue;
        }
        match read_alone(&row, policies)? {
            Some(whole) => drop(batch.slots.insert(key, Slot::Whole(Box::new(whole)))),
            None => with_others.push((key, row)),
        }
    }
    Ok(with_others)
}

/// The task of a row that a claim found, if no other row belongs to it: no compensation, no row of `due`, which a planned task has only for a
/// start limit, and no checkpoint, which only a lease leaves: a release takes its attempt back, but not its epoch.
fn read_alone(row: &PostgresRow, policies: &mut Policies) -> PostgresResult<Option<Whole>> {
    if !is_planned(row)? || compensation_count(row)? > 0 {
        return Ok(None);
    }
    let kept = read_task(row, policies, TaskParts::default())?;
    let is_alone = kept.task.epoch == Epoch::ZERO && Due::of(&kept.task).is_none();
    let feed = row.a_number(TASK_COLUMN_COUNT)?;
    Ok(is_alone.then(|| Whole { stored: Some(kept.clone()), kept: Some(kept), feed, ..Whole::default() }))
}

/// The rows of tasks and of what belongs to them.
pub(super) struct PartRows {
    pub(super) tasks: Vec<PostgresRow>,
    pub(super) due: Vec<PostgresRow>,
    pub(super) compensations: Vec<PostgresRow>,
    pub(super) checkpoints: Vec<PostgresRow>,
}

impl PartRows {
    pub(super) fn read_into(
        self,
        batch: &mut Batch,
        policies: &mut Policies,
        leases: &BTreeSet<Key>,
    ) -> PostgresResult<()> {
        let mut due = HashMap::<Key, (Due, RowVersion)>::with_capacity(self.due.len());
        for row in &self.due {
            if let Some(read) = read_due(row, KEY_COLUMN_COUNT)? {
                due.insert(read_key(row, 0)?, (read, row.version(KEY_COLUMN_COUNT + DUE_COLUMN_COUNT)?));
            }
        }
        let mut parts = HashMap::<Key, TaskParts>::new();
        for row in &self.compensations {
            let part = parts.entry(read_key(row, 0)?).or_default();
            part.compensations.push(read_compensation(row, KEY_COLUMN_COUNT)?);
        }
        for row in &self.checkpoints {
            let part = parts.entry(read_key(row, 0)?).or_default();
            part.checkpoint = row.optional(KEY_COLUMN_COUNT, Document::new)?;
        }
        for row in &self.tasks {
            let key = read_task_key(row)?;
            let (due, due_version) = due.remove(&key).unzip();
            let parts = parts.remove(&key).unwrap_or_default();
            let kept = read_task(row, policies, TaskParts { due: due.clone(), ..parts })?;
            let whole = Whole {
                stored: Some(kept.clone()),
                version: row.try_get(TASK_COLUMN_COUNT + 1)?,
                kept: Some(kept),
                stored_due: due.clone(),
                due_version,
                due,
                feed: row.a_number(TASK_COLUMN_COUNT)?,
            };
            batch.slots.insert(key, Slot::Whole(Box::new(whole)));
        }
        for (key, (due, version)) in due {
            // A reservation is no lease, and for a refusal the task is seen.
            if leases.contains(&key) && due.lease.is_some() {
                let row = FoundLease { stored: due.clone(), version, due, checkpoint: None };
                batch.slots.insert(key, Slot::Lease(Box::new(row)));
            }
        }
        Ok(())
    }
}
