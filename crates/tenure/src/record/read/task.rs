//! Reads a task.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use tenure_core::compensation::{Compensation, Registered, Status, Undo};
use tenure_core::id::{
    Actor, Epoch, Kind, Namespace, Owner, Queue, Reason, Revision, SagaId, Seq, TaskId, Text, UndoKey,
};
use tenure_core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
use tenure_core::task::{
    Cancel, CancelTold, Cause, Dismissal, Ending, Labels, Lease, Phase, Reservation, State, Task, Terminal,
    Undoing, Unwinding,
};
use tenure_core::time::{Span, Time};

use super::{Shape, document, given, present, progress, unless_null, values};
#[cfg(feature = "openapi")]
use crate::record::schema;
use crate::wire::Wired;

/// A task: the durable record of one piece of work and its saga.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Task))]
pub struct TaskShape {
    /// Its id, unique in its namespace.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    id: Wired<TaskId>,
    /// The id of its saga, a second unique name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    saga_id: Wired<SagaId>,
    /// Its namespace. Ids are unique within one.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    namespace: Wired<Namespace>,
    /// The queue that workers claim it from.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    queue: Wired<Queue>,
    /// The kind of task.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    kind: Wired<Kind>,
    /// `planned`, `dispatched`, `running`, `compensating`, `completed`, `failed`, `compensated` or `quarantined`.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    state: Wired<State>,
    /// The cause of its end; null before that.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::CauseWord>, required))]
    cause: Option<Wired<Cause>>,
    /// The priority: due tasks with a higher one go first.
    priority: i32,
    /// The earliest time to acquire or claim it.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    not_before: Option<Wired<Time>>,
    /// Labels to find it by.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    labels: Wired<Labels>,
    /// The payload.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    payload: Box<RawValue>,
    /// The number of attempts that were begun and not released.
    attempts: u32,
    /// The epoch of its newest lease.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    epoch: Wired<Epoch>,
    /// Counts the changes of this record. Heartbeats and progress do not change it.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    revision: Wired<Revision>,
    /// How many compensations must still be undone.
    #[serde(rename = "owed")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    _owed: u64,
    /// The policy.
    policy: PolicyShape,
    /// The lease; missing if there is none.
    lease: Option<LeaseShape>,
    /// The reservation.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    reservation: Option<ReservationShape>,
    /// Why it is being undone.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    unwinding: Option<UnwindingShape>,
    /// The checkpoint that a holder saved for the next one; missing if there is none.
    #[serde(default, deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    checkpoint: Option<Box<RawValue>>,
    /// How to undo what was done, in the order of registration.
    compensations: Vec<CompensationShape>,
    /// The request to stop, once there is one.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    cancel: Option<CancelShape>,
    /// Why it ended, in words.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    terminal_reason: Option<Wired<Reason>>,
    /// The result of the work; null if there is none.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    result: Box<RawValue>,
    /// The id of the task that retries this one.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    retried_as: Option<Wired<TaskId>>,
    /// The dismissal of its end by a person; missing if there is none.
    dismissed: Option<DismissalShape>,
    /// The id of the task that this one retries.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    retry_of: Option<Wired<TaskId>>,
    /// Whether its lease or reservation had lapsed when this was written.
    #[serde(rename = "stale")]
    #[cfg_attr(feature = "openapi", schema(value_type = bool))]
    _stale: bool,
    /// When it was created.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    created_at: Wired<Time>,
    /// When its record last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    updated_at: Wired<Time>,
    /// When the newest attempt began.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    started_at: Option<Wired<Time>>,
    /// When it ended.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    finished_at: Option<Wired<Time>>,
    /// Which of `result` and `progress` were given the value `null`; missing if none was.
    #[serde(default)]
    given_null: Vec<String>,
}

impl Shape for TaskShape {
    type Value = Task;

    fn value(mut self) -> Result<Task, String> {
        let phase = self.phase()?;
        Ok(Task {
            namespace: self.namespace.0,
            id: self.id.0,
            saga_id: self.saga_id.0,
            queue: self.queue.0,
            kind: self.kind.0,
            labels: self.labels.0,
            payload: document(&self.payload)?,
            priority: self.priority,
            not_before: self.not_before.map(inner),
            policy: self.policy.policy(),
            phase,
            attempts: self.attempts,
            epoch: self.epoch.0,
            revision: self.revision.0,
            compensations: values(self.compensations)?,
            cancel: self.cancel.map(CancelShape::cancel),
            checkpoint: self.checkpoint.as_deref().map(document).transpose()?,
            started_at: self.started_at.map(inner),
            retry_of: self.retry_of.map(inner),
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        })
    }
}

impl TaskShape {
    /// The phase of a task, with the fields that exist only in that phase.
    fn phase(&mut self) -> Result<Phase, String> {
        let state = self.state.0;
        match state {
            State::Planned => Ok(Phase::Planned),
            State::Dispatched => {
                let reservation = needed(self.reservation.take(), state, "reservation")?;
                Ok(Phase::Dispatched(reservation.reservation()))
            }
            State::Running => Ok(Phase::Running(needed(self.lease()?, state, "lease")?)),
            State::Compensating => self.compensating(),
            State::Completed => self.ended(Terminal::Completed),
            State::Failed => self.ended(Terminal::Failed),
            State::Compensated => self.ended(Terminal::Compensated),
            State::Quarantined => self.ended(Terminal::Quarantined),
        }
    }

    fn lease(&mut self) -> Result<Option<Lease>, String> {
        let given_null = &self.given_null;
        self.lease.take().map(|lease| lease.lease(given_null)).transpose()
    }

    fn compensating(&mut self) -> Result<Phase, String> {
        let UnwindingShape { why, reason, due_at } =
            needed(self.unwinding.take(), State::Compensating, "unwinding")?;
        let undoing = match (self.lease()?, due_at) {
            (Some(lease), None) => Undoing::HeldBy(lease),
            (None, Some(due_at)) => Undoing::DueAt(due_at.0),
            (Some(_), Some(_)) | (None, None) => {
                return Err("a compensating task must have either a lease or a due time".into());
            }
        };
        Ok(Phase::Compensating { why: why.0, reason: reason.0, undoing })
    }

    fn ended(&mut self, state: Terminal) -> Result<Phase, String> {
        let result = unless_null(&self.result, "result", &self.given_null).map(document).transpose()?;
        Ok(Phase::Ended(Box::new(Ending {
            state,
            cause: needed(self.cause.take(), state.state(), "cause")?.0,
            reason: self.terminal_reason.take().map(inner),
            result,
            finished_at: needed(self.finished_at.take(), state.state(), "finished_at")?.0,
            retried_as: self.retried_as.take().map(inner),
            dismissed: self.dismissed.take().map(DismissalShape::dismissal),
        })))
    }
}

fn needed<T>(value: Option<T>, state: State, field: impl fmt::Display) -> Result<T, String> {
    value.ok_or_else(|| format!("a {} task needs `{field}`", state.as_str()))
}

fn inner<T>(wired: Wired<T>) -> T {
    wired.0
}

/// The policy of a task. Missing fields have their defaults.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Policy))]
pub struct PolicyShape {
    /// The default length of a lease, such as `60s`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    lease_ttl: Wired<Ttl>,
    /// The maximum number of automatic attempts.
    max_attempts: u32,
    /// What happens when its lease lapses: `recover`, `hold` or `quarantine`.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::OnLapseWord))]
    on_lapse: Wired<OnLapse>,
    /// How the task ends when its attempts are spent: `compensated` or `quarantined`.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::WhenSpentWord))]
    when_spent: Wired<WhenSpent>,
    /// The wait between attempts; missing if it is the default.
    backoff: Option<BackoffShape>,
    /// How long a lease may be renewed without progress.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    stall_after: Option<Wired<Span>>,
    /// How long an attempt may take.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    time_limit: Option<Wired<Span>>,
    /// How long the task may wait for its first attempt.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    start_within: Option<Wired<Span>>,
    /// How long after a lapse the task can't be taken over or reclaimed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    lock_delay: Option<Wired<Span>>,
    /// How long a lease can still be renewed after its holder was told to stop.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    cancel_grace: Option<Wired<Span>>,
}

impl PolicyShape {
    fn policy(self) -> Policy {
        let backoff =
            self.backoff.map(|shape| Backoff { base: shape.base.0, factor: shape.factor, cap: shape.cap.0 });
        Policy {
            lease_ttl: self.lease_ttl.0,
            max_attempts: self.max_attempts,
            backoff: backoff.unwrap_or_default(),
            when_spent: self.when_spent.0,
            on_lapse: self.on_lapse.0,
            stall_after: self.stall_after.map(inner),
            time_limit: self.time_limit.map(inner),
            start_within: self.start_within.map(inner),
            lock_delay: self.lock_delay.map(inner),
            cancel_grace: self.cancel_grace.map(inner),
        }
    }
}

/// The wait before the next attempt.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Backoff))]
pub struct BackoffShape {
    /// The wait after the first attempt.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    base: Wired<Span>,
    /// The factor by which each further wait is longer.
    factor: u32,
    /// The longest wait.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    cap: Wired<Span>,
}

/// An owner's time-bounded right to a task.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Lease))]
pub struct LeaseShape {
    /// The owner.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    owner: Wired<Owner>,
    /// The epoch, its fencing token.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    epoch: Wired<Epoch>,
    /// The actor to whom it was granted; with tokens, the token's name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    granted_to: Wired<Actor>,
    /// The ttl of a heartbeat that gives none.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    ttl: Wired<Ttl>,
    /// Since when it is held.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    acquired_at: Wired<Time>,
    /// When it was last renewed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    heartbeat_at: Wired<Time>,
    /// When its holder last reported progress; the grant counts as such.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    progressed_at: Wired<Time>,
    /// When it ends unless it is renewed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expires_at: Wired<Time>,
    /// The holder's last progress; null if it reported none.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    progress: Box<RawValue>,
    /// Records that its holder was told to stop; missing if it was not.
    cancel_told: Option<CancelToldShape>,
}

/// Records that a holder was told to stop. After a cancel, each answer to a heartbeat says so.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CancelTold))]
pub struct CancelToldShape {
    /// How often.
    times: u32,
    /// When it was told first.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    since: Wired<Time>,
}

impl LeaseShape {
    fn lease(self, given_null: &[String]) -> Result<Lease, String> {
        let reported = unless_null(&self.progress, "progress", given_null).map(progress).transpose()?;
        Ok(Lease {
            owner: self.owner.0,
            epoch: self.epoch.0,
            granted_to: self.granted_to.0,
            ttl: self.ttl.0,
            acquired_at: self.acquired_at.0,
            heartbeat_at: self.heartbeat_at.0,
            progressed_at: self.progressed_at.0,
            expires_at: self.expires_at.0,
            progress: reported,
            cancel_told: self.cancel_told.map(|told| CancelTold { times: told.times, since: told.since.0 }),
        })
    }
}

/// A reservation of a task for one owner.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Reservation))]
pub struct ReservationShape {
    /// The owner.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    owner: Wired<Owner>,
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    reserved_at: Wired<Time>,
    /// Until when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expires_at: Wired<Time>,
}

impl ReservationShape {
    fn reservation(self) -> Reservation {
        Reservation { owner: self.owner.0, reserved_at: self.reserved_at.0, expires_at: self.expires_at.0 }
    }
}

/// Why a task is being undone.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Unwinding))]
pub struct UnwindingShape {
    /// `released`, `rolled_back`, `lapsed`, `stalled`, `out_of_time`, `cancelled` or `retried`.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::UnwindingWord))]
    why: Wired<Unwinding>,
    /// Why, in words.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    reason: Wired<Reason>,
    /// When recovery may reclaim it; null while it is held.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    due_at: Option<Wired<Time>>,
}

/// How to undo one side effect.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Compensation))]
pub struct CompensationShape {
    /// Its number within the task.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    seq: Wired<Seq>,
    /// The kind: which handler undoes it; `none` means that there is nothing to undo.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    kind: Wired<Kind>,
    /// The target: a path, a number or a name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    target: Wired<Text>,
    /// Why it was registered.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    reason: Option<Wired<Reason>>,
    /// `standing`, `owed`, `done`, `waived` or `void`.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StatusWord))]
    status: Wired<Status>,
    /// The epoch that owes it, or owed it last.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, required))]
    epoch: Option<Wired<Epoch>>,
    /// The number of failed tries of its undo.
    tries: u32,
    /// The receipt: proof that its undo ran.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    receipt: Option<Wired<Text>>,
    /// Why the last try failed.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    last_error: Option<Wired<Text>>,
    /// Why a person waived it.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    waiver: Option<Wired<Reason>>,
    /// The idempotency key of its undo, from when it became owed.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    key: Option<Wired<UndoKey>>,
    /// `before_lease`: every attempt owes it; `under_lease`: the one that registered it.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::RegisteredWord))]
    registered: Wired<Registered>,
}

impl Shape for CompensationShape {
    type Value = Compensation;

    fn value(self) -> Result<Compensation, String> {
        let reason = self.reason.map(inner);
        Ok(Compensation {
            seq: self.seq.0,
            undo: Undo { kind: self.kind.0, target: self.target.0, reason },
            registered: self.registered.0,
            status: self.status.0,
            epoch: self.epoch.map(inner),
            key: self.key.map(inner),
            tries: self.tries,
            receipt: self.receipt.map(inner),
            last_error: self.last_error.map(inner),
            waiver: self.waiver.map(inner),
        })
    }
}

/// A cancel of the task.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Cancel))]
pub struct CancelShape {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    by: Wired<Actor>,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    reason: Wired<Reason>,
}

impl CancelShape {
    fn cancel(self) -> Cancel {
        Cancel { at: self.at.0, by: self.by.0, reason: self.reason.0 }
    }
}

/// The dismissal of a task's end by a person: it needs no more attention.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Dismissal))]
pub struct DismissalShape {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    by: Wired<Actor>,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    note: Wired<Reason>,
}

impl DismissalShape {
    fn dismissal(self) -> Dismissal {
        Dismissal { at: self.at.0, by: self.by.0, note: self.note.0 }
    }
}
