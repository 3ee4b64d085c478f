//! The table `due`: what an open task waits for.

use tenure_api::wire::Word;
use tenure_core::id::{Actor, Epoch, Namespace, Owner, Progress, Queue};
use tenure_core::policy::Ttl;
use tenure_core::task::{CancelTold, Task};
use tenure_core::time::Span;

use super::column::ChangedBy::{Heartbeat, LateHeartbeat, Nothing};
use super::column::ColumnType::{Number, Text, Truth};
use super::column::{Column, TableRow};
use super::row::Row;
use crate::at;
use crate::due::{Due, LeaseColumns, Wait};
use crate::numbers::unsigned;
use crate::stored::ColumnValue;

/// What a row of `due` is made of.
#[derive(Clone, Copy)]
pub struct DueRow<'a> {
    pub namespace: &'a Namespace,
    /// The queue of what somebody holds: a put can't change that. Reservations are looked for by it.
    pub queue: Option<&'a Queue>,
    pub due: &'a Due,
}

impl<'a> TableRow<'a> for DueRow<'a> {
    const TABLE: &'static str = "due";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::new("wait", Text, Nothing, |row| row.due.wait.word().into()),
        Column::write_only("namespace", Text, Nothing, |row| row.namespace.into()),
        Column::write_only("queue", Text, Nothing, |row| row.queue.into()),
        Column::expected("owner", Text, Nothing, |row| row.due.owner.as_ref().into()),
        Column::new("granted_to", Text, Nothing, |row| row.lease(|lease| Some(&lease.granted_to))),
        Column::expected("epoch", Number, Nothing, |row| row.lease(|lease| Some(lease.epoch.0))),
        Column::new("ttl", Number, Nothing, |row| row.lease(|lease| Some(lease.ttl.span()))),
        Column::new("since", Number, Nothing, |row| row.due.since.into()),
        Column::new("heartbeat_at", Number, Heartbeat, |row| row.lease(|lease| Some(lease.heartbeat_at))),
        Column::new("progressed_at", Number, Heartbeat, |row| row.lease(|lease| Some(lease.progressed_at))),
        Column::new("expires_at", Number, Heartbeat, |row| row.due.expires_at.into()),
        Column::new("check_at", Number, LateHeartbeat, |row| row.due.check_at.into()),
        Column::new("progress", Text, Heartbeat, |row| row.lease(|lease| lease.progress.as_ref())),
        Column::new("cancel_asked", Truth, Nothing, |row| {
            row.due.lease.as_ref().is_some_and(|lease| lease.cancel_asked).into()
        }),
        Column::new("stall_after", Number, Nothing, |row| row.lease(|lease| lease.stall_after)),
        Column::new("time_limit", Number, Nothing, |row| row.lease(|lease| lease.time_limit)),
        Column::new("lock_delay", Number, Nothing, |row| row.lease(|lease| lease.lock_delay)),
        Column::new("held_back", Truth, Nothing, |row| row.due.held_back.into()),
        Column::new("cancel_grace", Number, Nothing, |row| row.lease(|lease| lease.cancel_grace)),
        Column::new("cancel_told", Number, Heartbeat, |row| row.cancel_told(|told| told.times)),
        Column::new("recover_after", Number, Nothing, |row| row.lease(|lease| lease.recover_after)),
        Column::new("cancel_told_at", Number, Heartbeat, |row| row.cancel_told(|told| told.since)),
    ];
}

impl<'a> DueRow<'a> {
    pub fn of(task: &'a Task, due: &'a Due) -> DueRow<'a> {
        let queue = Some(&task.queue).filter(|_| due.owner.is_some());
        DueRow { namespace: &task.namespace, queue, due }
    }

    fn lease<V: Into<ColumnValue<'a>>>(self, value: fn(&'a LeaseColumns) -> Option<V>) -> ColumnValue<'a> {
        self.due.lease.as_ref().and_then(value).into()
    }

    fn cancel_told<V: Into<ColumnValue<'a>>>(self, value: fn(CancelTold) -> V) -> ColumnValue<'a> {
        self.due.lease.as_ref().and_then(|lease| lease.cancel_told).map(value).into()
    }
}

/// The row of `due` whose columns begin at `first`; none where there is none.
pub fn read_due<R: Row>(row: &R, first: usize) -> Result<Option<Due>, R::Fault> {
    let row = row.starting_at(first);
    if row.text(at!(DueRow, "wait"))?.is_none() {
        return Ok(None);
    }
    let lease = match row.number(at!(DueRow, "epoch"))? {
        Some(epoch) => Some(LeaseColumns {
            epoch: Epoch(unsigned(epoch)),
            granted_to: Actor::new(row.a_text(at!(DueRow, "granted_to"))?)?,
            ttl: Ttl::new(Span::from_micros(unsigned(row.a_number(at!(DueRow, "ttl"))?)))?,
            heartbeat_at: row.a_time(at!(DueRow, "heartbeat_at"))?,
            progressed_at: row.a_time(at!(DueRow, "progressed_at"))?,
            progress: row.optional(at!(DueRow, "progress"), Progress::new)?,
            cancel_asked: row.truth(at!(DueRow, "cancel_asked"))?,
            stall_after: row.span(at!(DueRow, "stall_after"))?,
            time_limit: row.span(at!(DueRow, "time_limit"))?,
            lock_delay: row.span(at!(DueRow, "lock_delay"))?,
            recover_after: row.span(at!(DueRow, "recover_after"))?,
            cancel_grace: row.span(at!(DueRow, "cancel_grace"))?,
            cancel_told: read_cancel_told(&row)?,
        }),
        None => None,
    };
    Ok(Some(Due {
        wait: row.word::<Wait>(at!(DueRow, "wait"))?,
        owner: row.optional(at!(DueRow, "owner"), Owner::new)?,
        lease,
        since: row.time(at!(DueRow, "since"))?,
        expires_at: row.a_time(at!(DueRow, "expires_at"))?,
        check_at: row.a_time(at!(DueRow, "check_at"))?,
        held_back: row.truth(at!(DueRow, "held_back"))?,
    }))
}

/// How often a holder was told to stop, and since when: two columns, both empty where it was not.
fn read_cancel_told<R: Row>(row: &R) -> Result<Option<CancelTold>, R::Fault> {
    let Some(since) = row.time(at!(DueRow, "cancel_told_at"))? else { return Ok(None) };
    Ok(Some(CancelTold { times: row.small(at!(DueRow, "cancel_told"))?, since }))
}
