//! The public JSON: the one shape of a task, an event, a refusal and everything else that surfaces print or read.
//!
//! Its names are the interface. They are independent of the core's names and of the names of columns and events,
//! which are in `codec`. So neither changes by accident with the other. A record is made from a value and is not
//! stored.

mod answers;
pub mod command;
mod create;
mod duration;
mod input;
mod lists;
mod minimal;
mod others;
pub mod read;
mod recovery;
#[cfg(feature = "openapi")]
pub mod schema;
mod tokens;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tenure_core::compensation::{Compensation, Registered, Status};
use tenure_core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text, UndoKey,
};
use tenure_core::policy::{Backoff, OnLapse, Policy, Ttl, WhenSpent};
use tenure_core::refusal::{HeldBy, Refusal};
use tenure_core::task::{
    Cancel, CancelTold, Cause, Dismissal, Labels, Lease, Phase, Reservation, State, Task, Undoing, Unwinding,
};
use tenure_core::time::{Span, Time};

use crate::store::Recorded;
use crate::wire::{Held, Wired};

pub use answers::{
    AnchorAnswer, GrantedAnswer, NamedTasks, RenewalAnswer, ReportAnswer, RetriedAnswer, StatusAnswer,
    TaskAnswer, WhyAnswer,
};
pub use create::{create_json, read_create};
pub use duration::DurationInput;
pub use input::{BackoffInput, PolicyInput, cause_of, read_body, read_put, state_of};
pub use lists::{
    AnswerRecord, AnswersRecord, ChainAnswer, ChainsPage, ClaimableRecord, EventsPage,
    HeartbeatAnswersRecord, LapsedRecord, NamespacesRecord, NewestRecord, NowRecord, OwnersAnswer,
    PresenceRecord, RememberedRecord, StatsAnswer, TasksPage, WatchedRecord, WatchersAnswer,
};
pub use minimal::MinimalTaskRecord;
pub use others::{
    AnchorRecord, ErrorRecord, HoldingRecord, NextRecord, OverviewRecord, RenewalRecord, ReportRecord,
    WatchersRecord,
};
pub use read::{read_error, read_recorded, read_refusal, read_renewal, read_task};
pub use recovery::{PlannedRecord, PlansRecord, RecoveryRecord, SweptRecord, TendedRecord};
pub use tokens::{NewTokenRecord, TokenRecord, TokensRecord, read_token, read_tokens};

type Of<'a, T> = Wired<&'a T>;

/// JSON from input. If it was changed in the database, it may not be JSON any more. Then it is shown as text,
/// because damage must be visible.
struct Written<'a>(&'a str);

impl<'a> Written<'a> {
    fn of(document: &'a Document) -> Written<'a> {
        Written(document.as_str())
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(self.0),
        }
    }
}

/// The text of a record.
pub fn json(record: &impl Serialize) -> String {
    // Every record consists of texts, numbers, and documents that were JSON when they came in.
    serde_json::to_string(record)
        .unwrap_or_else(|error| panic!("a record can always be written as JSON: {error}"))
}

/// Appends the text of a record.
pub fn write_json(record: &impl Serialize, out: &mut Vec<u8>) {
    // As above.
    serde_json::to_writer(out, record)
        .unwrap_or_else(|error| panic!("a record can always be written as JSON: {error}"));
}

/// A task.
#[derive(Serialize)]
pub struct TaskRecord<'a> {
    id: Of<'a, TaskId>,
    saga_id: Of<'a, SagaId>,
    namespace: Of<'a, Namespace>,
    queue: Of<'a, Queue>,
    kind: Of<'a, Kind>,
    state: Held<State>,
    cause: Held<Option<Cause>>,
    priority: i32,
    not_before: Of<'a, Option<Time>>,
    labels: Of<'a, Labels>,
    payload: Written<'a>,
    attempts: u32,
    epoch: Of<'a, Epoch>,
    revision: Of<'a, Revision>,
    owed: usize,
    policy: PolicyRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseRecord<'a>>,
    reservation: Option<ReservationRecord<'a>>,
    unwinding: Option<UnwindingRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Written<'a>>,
    compensations: Vec<CompensationRecord<'a>>,
    cancel: Option<CancelRecord<'a>>,
    terminal_reason: Option<Of<'a, Reason>>,
    result: Option<Written<'a>>,
    retried_as: Option<Of<'a, TaskId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dismissed: Option<DismissalRecord<'a>>,
    retry_of: Of<'a, Option<TaskId>>,
    stale: bool,
    created_at: Of<'a, Time>,
    updated_at: Of<'a, Time>,
    started_at: Of<'a, Option<Time>>,
    finished_at: Option<Of<'a, Time>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    given_null: Vec<&'static str>,
}

impl<'a> TaskRecord<'a> {
    /// The task at `now`: whether it is stale depends on the time.
    pub fn of(task: &'a Task, now: Time) -> TaskRecord<'a> {
        let ending = task.ending();
        TaskRecord {
            id: Wired(&task.id),
            saga_id: Wired(&task.saga_id),
            namespace: Wired(&task.namespace),
            queue: Wired(&task.queue),
            kind: Wired(&task.kind),
            state: Held(task.state()),
            cause: Held(ending.map(|ending| ending.cause)),
            priority: task.priority,
            not_before: Wired(&task.not_before),
            labels: Wired(&task.labels),
            payload: Written(task.payload.as_str()),
            attempts: task.attempts,
            epoch: Wired(&task.epoch),
            revision: Wired(&task.revision),
            owed: task.owed().count(),
            policy: PolicyRecord::of(&task.policy),
            lease: task.lease().map(LeaseRecord::of),
            reservation: task.reservation().map(ReservationRecord::of),
            unwinding: UnwindingRecord::of(task),
            checkpoint: task.checkpoint.as_ref().map(Written::of),
            compensations: task.compensations.iter().map(CompensationRecord::of).collect(),
            cancel: task.cancel.as_ref().map(CancelRecord::of),
            terminal_reason: ending.and_then(|ending| ending.reason.as_ref()).map(Wired),
            result: ending.and_then(|ending| ending.result.as_ref()).map(Written::of),
            retried_as: ending.and_then(|ending| ending.retried_as.as_ref()).map(Wired),
            dismissed: ending.and_then(|ending| ending.dismissed.as_ref()).map(DismissalRecord::of),
            retry_of: Wired(&task.retry_of),
            stale: task.is_stale(now),
            created_at: Wired(&task.created_at),
            updated_at: Wired(&task.updated_at),
            started_at: Wired(&task.started_at),
            finished_at: ending.map(|ending| Wired(&ending.finished_at)),
            given_null: given_null(task),
        }
    }
}

/// Which nullable fields were given the value `null`. Otherwise a reader could not tell that from a missing
/// value.
fn given_null(task: &Task) -> Vec<&'static str> {
    let result = task.ending().and_then(|ending| ending.result.as_ref()).map(Document::as_str);
    let progress = task.lease().and_then(|lease| lease.progress.as_ref()).map(Progress::as_str);
    let given = [("result", result), ("progress", progress)];
    given.into_iter().filter(|(_, value)| *value == Some("null")).map(|(name, _)| name).collect()
}

/// The policy: four fields always, the others if they differ from the default.
#[derive(Serialize)]
struct PolicyRecord<'a> {
    lease_ttl: Of<'a, Ttl>,
    max_attempts: u32,
    on_lapse: Of<'a, OnLapse>,
    when_spent: Of<'a, WhenSpent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<BackoffRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stall_after: Option<Of<'a, Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_limit: Option<Of<'a, Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_within: Option<Of<'a, Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_delay: Option<Of<'a, Span>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_grace: Option<Of<'a, Span>>,
}

impl<'a> PolicyRecord<'a> {
    fn of(policy: &'a Policy) -> PolicyRecord<'a> {
        let backoff = Some(&policy.backoff).filter(|backoff| **backoff != Backoff::default());
        PolicyRecord {
            lease_ttl: Wired(&policy.lease_ttl),
            max_attempts: policy.max_attempts,
            on_lapse: Wired(&policy.on_lapse),
            when_spent: Wired(&policy.when_spent),
            backoff: backoff.map(|Backoff { base, factor, cap }| BackoffRecord {
                base: Wired(base),
                factor: *factor,
                cap: Wired(cap),
            }),
            stall_after: policy.stall_after.as_ref().map(Wired),
            time_limit: policy.time_limit.as_ref().map(Wired),
            start_within: policy.start_within.as_ref().map(Wired),
            lock_delay: policy.lock_delay.as_ref().map(Wired),
            cancel_grace: policy.cancel_grace.as_ref().map(Wired),
        }
    }
}

#[derive(Serialize)]
struct BackoffRecord<'a> {
    base: Of<'a, Span>,
    factor: u32,
    cap: Of<'a, Span>,
}

#[derive(Serialize)]
struct LeaseRecord<'a> {
    owner: Of<'a, Owner>,
    epoch: Of<'a, Epoch>,
    granted_to: Of<'a, Actor>,
    ttl: Of<'a, Ttl>,
    acquired_at: Of<'a, Time>,
    heartbeat_at: Of<'a, Time>,
    progressed_at: Of<'a, Time>,
    expires_at: Of<'a, Time>,
    progress: Option<Written<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_told: Option<CancelToldRecord<'a>>,
}

/// That its holder was told to stop, how often, and since when.
#[derive(Serialize)]
struct CancelToldRecord<'a> {
    times: u32,
    since: Of<'a, Time>,
}

impl<'a> LeaseRecord<'a> {
    fn of(lease: &'a Lease) -> LeaseRecord<'a> {
        LeaseRecord {
            owner: Wired(&lease.owner),
            epoch: Wired(&lease.epoch),
            granted_to: Wired(&lease.granted_to),
            ttl: Wired(&lease.ttl),
            acquired_at: Wired(&lease.acquired_at),
            heartbeat_at: Wired(&lease.heartbeat_at),
            progressed_at: Wired(&lease.progressed_at),
            expires_at: Wired(&lease.expires_at),
            progress: lease.progress.as_ref().map(|progress| Written(progress.as_str())),
            cancel_told: lease
                .cancel_told
                .as_ref()
                .map(|CancelTold { times, since }| CancelToldRecord { times: *times, since: Wired(since) }),
        }
    }
}

#[derive(Serialize)]
struct ReservationRecord<'a> {
    owner: Of<'a, Owner>,
    reserved_at: Of<'a, Time>,
    expires_at: Of<'a, Time>,
}

impl<'a> ReservationRecord<'a> {
    fn of(reservation: &'a Reservation) -> ReservationRecord<'a> {
        ReservationRecord {
            owner: Wired(&reservation.owner),
            reserved_at: Wired(&reservation.reserved_at),
            expires_at: Wired(&reservation.expires_at),
        }
    }
}

/// Why a task is being undone, and when recovery may reclaim it if nobody holds it.
#[derive(Serialize)]
struct UnwindingRecord<'a> {
    why: Of<'a, Unwinding>,
    reason: Of<'a, Reason>,
    due_at: Option<Of<'a, Time>>,
}

impl<'a> UnwindingRecord<'a> {
    fn of(task: &'a Task) -> Option<UnwindingRecord<'a>> {
        let Phase::Compensating { why, reason, undoing } = &task.phase else { return None };
        let due_at = match undoing {
            Undoing::DueAt(due_at) => Some(Wired(due_at)),
            Undoing::HeldBy(_) => None,
        };
        Some(UnwindingRecord { why: Wired(why), reason: Wired(reason), due_at })
    }
}

/// How to undo one side effect.
#[derive(Serialize)]
pub struct CompensationRecord<'a> {
    seq: Of<'a, Seq>,
    kind: Of<'a, Kind>,
    target: Of<'a, Text>,
    reason: Of<'a, Option<Reason>>,
    status: Of<'a, Status>,
    epoch: Of<'a, Option<Epoch>>,
    tries: u32,
    receipt: Of<'a, Option<Text>>,
    last_error: Of<'a, Option<Text>>,
    waiver: Of<'a, Option<Reason>>,
    key: Of<'a, Option<UndoKey>>,
    registered: Of<'a, Registered>,
}

impl<'a> CompensationRecord<'a> {
    /// The compensation as it stands.
    pub fn of(one: &'a Compensation) -> CompensationRecord<'a> {
        CompensationRecord {
            seq: Wired(&one.seq),
            kind: Wired(&one.undo.kind),
            target: Wired(&one.undo.target),
            reason: Wired(&one.undo.reason),
            status: Wired(&one.status),
            epoch: Wired(&one.epoch),
            tries: one.tries,
            receipt: Wired(&one.receipt),
            last_error: Wired(&one.last_error),
            waiver: Wired(&one.waiver),
            key: Wired(&one.key),
            registered: Wired(&one.registered),
        }
    }
}

#[derive(Serialize)]
struct CancelRecord<'a> {
    at: Of<'a, Time>,
    by: Of<'a, Actor>,
    reason: Of<'a, Reason>,
}

impl<'a> CancelRecord<'a> {
    fn of(cancel: &'a Cancel) -> CancelRecord<'a> {
        CancelRecord { at: Wired(&cancel.at), by: Wired(&cancel.by), reason: Wired(&cancel.reason) }
    }
}

/// The dismissal of a task's end by a person: it needs no more attention.
#[derive(Serialize)]
struct DismissalRecord<'a> {
    at: Of<'a, Time>,
    by: Of<'a, Actor>,
    note: Of<'a, Reason>,
}

impl<'a> DismissalRecord<'a> {
    fn of(dismissed: &'a Dismissal) -> DismissalRecord<'a> {
        let Dismissal { at, by, note } = dismissed;
        DismissalRecord { at: Wired(at), by: Wired(by), note: Wired(note) }
    }
}

/// An event of the history.
#[derive(Serialize)]
pub struct EventRecord<'a> {
    cursor: &'a str,
    namespace: Of<'a, Namespace>,
    task: Of<'a, TaskId>,
    number: Of<'a, Revision>,
    at: Of<'a, Time>,
    #[serde(rename = "type")]
    kind: &'static str,
    actor: Of<'a, Actor>,
    data: &'a RawValue,
    #[serde(serialize_with = "text")]
    hash: tenure_core::chain::Hash,
}

impl<'a> EventRecord<'a> {
    /// The event at its place.
    pub fn of(recorded: &'a Recorded) -> EventRecord<'a> {
        let event = &recorded.event;
        EventRecord {
            cursor: recorded.cursor.as_str(),
            namespace: Wired(&event.namespace),
            task: Wired(&event.task),
            number: Wired(&event.number),
            at: Wired(&event.at),
            kind: event.what.kind(),
            actor: Wired(&event.actor),
            // A store gives back only data that it could read.
            data: serde_json::from_str(&recorded.data).unwrap_or(RawValue::NULL),
            hash: recorded.hash,
        }
    }
}

/// A refusal.
#[derive(Serialize)]
pub struct RefusalRecord<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Held<State>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<HeldByRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<Of<'a, Time>>,
}

impl<'a> RefusalRecord<'a> {
    /// The refusal with the facts that the caller needs to react; fields that do not apply are missing.
    pub fn of(refusal: &'a Refusal) -> RefusalRecord<'a> {
        RefusalRecord {
            code: refusal.code.as_str(),
            message: &refusal.message,
            field: refusal.field,
            state: refusal.state.map(Held),
            held_by: refusal.held_by.as_deref().map(HeldByRecord::of),
            retry_at: refusal.retry_at.as_ref().map(Wired),
        }
    }
}

#[derive(Serialize)]
struct HeldByRecord<'a> {
    owner: Of<'a, Owner>,
    epoch: Of<'a, Option<Epoch>>,
    since: Of<'a, Time>,
    until: Of<'a, Time>,
}

impl<'a> HeldByRecord<'a> {
    fn of(held: &'a HeldBy) -> HeldByRecord<'a> {
        HeldByRecord {
            owner: Wired(&held.owner),
            epoch: Wired(&held.epoch),
            since: Wired(&held.since),
            until: Wired(&held.until),
        }
    }
}

/// A printable value, as its text.
fn text<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
