//! A task as JSON: what commands print, servers answer, and the remote client reads back.

use serde::{Deserialize, Serialize};
use tenure_core as core;
use tenure_core::compensation::{Registered, Status};
use tenure_core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text, UndoKey,
};
use tenure_core::policy::Ttl;
use tenure_core::task::{Cause, Ending, Labels, Phase, State, Terminal, Undoing};
use tenure_core::time::Time;

use crate::document;
use crate::policy::Policy;
#[cfg(feature = "openapi")]
use crate::schema;
use crate::wire;

/// A task: the durable record of one piece of work and its saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    /// Its id, unique in its namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: TaskId,
    /// The id of its saga, a second unique name.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub saga_id: SagaId,
    /// Its namespace. Ids are unique within one.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The queue that workers claim it from.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub queue: Queue,
    /// The kind of task.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Kind,
    /// `planned`, `dispatched`, `running`, `compensating`, `completed`, `failed`, `compensated` or `quarantined`.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: State,
    /// The cause of its end; null before that.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::CauseWord>, required))]
    pub cause: Option<Cause>,
    /// The priority: due tasks with a higher one go first.
    pub priority: i32,
    /// The earliest time to acquire or claim it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub not_before: Option<Time>,
    /// Labels to find it by.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub labels: Labels,
    /// The payload.
    #[serde(with = "document")]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub payload: Document,
    /// The number of attempts that were begun and not released.
    pub attempts: u32,
    /// The epoch of its newest lease.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// Counts the changes of this record. Heartbeats and progress do not change it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub revision: Revision,
    /// How many compensations must still be undone.
    pub owed: u64,
    /// The policy.
    pub policy: Policy,
    /// The lease; missing if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The reservation.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reservation: Option<Reservation>,
    /// Why it is being undone.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub unwinding: Option<Unwinding>,
    /// The checkpoint that a holder saved for the next one; missing if there is none.
    #[serde(default, with = "document::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub checkpoint: Option<Document>,
    /// How to undo what was done, in the order of registration.
    pub compensations: Vec<Compensation>,
    /// The request to stop, once there is one.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cancel: Option<Cancel>,
    /// Why it ended, in words.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub terminal_reason: Option<Reason>,
    /// The result of the work; null if there is none.
    #[serde(with = "document::optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub result: Option<Document>,
    /// The id of the task that retries this one.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub retried_as: Option<TaskId>,
    /// The dismissal of its end by a person; missing if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<Dismissal>,
    /// The id of the task that this one retries.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub retry_of: Option<TaskId>,
    /// Whether its lease or reservation had lapsed when this was written.
    pub stale: bool,
    /// When it was created.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Time,
    /// When its record last changed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Time,
    /// When the newest attempt began.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub started_at: Option<Time>,
    /// The lease of the newest attempt that has ended.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_lease: Option<LastLease>,
    /// When it ended.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub finished_at: Option<Time>,
    /// Which of `result` and `progress` were given the value `null`; missing if none was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_null: Vec<String>,
}

/// An owner's time-bounded right to a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// The owner.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// The epoch, its fencing token.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// The actor to whom it was granted; with tokens, the token's name.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub granted_to: Actor,
    /// The ttl of a heartbeat that gives none.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ttl: Ttl,
    /// Since when it is held.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub acquired_at: Time,
    /// When it was last renewed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub heartbeat_at: Time,
    /// When its holder last reported progress; the grant counts as such.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub progressed_at: Time,
    /// When it ends unless it is renewed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Time,
    /// The holder's last progress; null if it reported none.
    #[serde(with = "document::optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub progress: Option<Progress>,
    /// Records that its holder was told to stop; missing if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_told: Option<CancelTold>,
}

/// Records that a holder was told to stop. After a cancel, each answer to a heartbeat says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CancelTold {
    /// How often.
    pub times: u32,
    /// When it was told first.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Time,
}

/// The lease of an attempt that has ended. Recovery's leases are no attempts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastLease {
    /// Who held it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// Its fencing token.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// When the attempt began.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Time,
    /// When it ended: by its holder, or when it lapsed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Time,
}

/// A reservation of a task for one owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reservation {
    /// The owner.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// Since when.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub reserved_at: Time,
    /// Until when.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Time,
}

/// Why a task is being undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unwinding {
    /// `released`, `rolled_back`, `lapsed`, `stalled`, `out_of_time`, `cancelled` or `retried`.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::UnwindingWord))]
    pub why: core::task::Unwinding,
    /// Why, in words.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub reason: Reason,
    /// When recovery may reclaim it; null while it is held.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub due_at: Option<Time>,
}

/// How to undo one side effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Compensation {
    /// Its number within the task.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub seq: Seq,
    /// The kind: which handler undoes it; `none` means that there is nothing to undo.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Kind,
    /// The target: a path, a number or a name.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub target: Text,
    /// Why it was registered.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub reason: Option<Reason>,
    /// `standing`, `owed`, `done`, `waived` or `void`.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StatusWord))]
    pub status: Status,
    /// The epoch that owes it, or owed it last.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, required))]
    pub epoch: Option<Epoch>,
    /// The number of failed tries of its undo.
    pub tries: u32,
    /// The receipt: proof that its undo ran.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub receipt: Option<Text>,
    /// Who undid it by hand; null if a holder of the task's lease did, or nobody yet.
    #[serde(default, with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub settled_by: Option<Actor>,
    /// Why the last try failed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub last_error: Option<Text>,
    /// Why a person waived it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub waiver: Option<Reason>,
    /// The idempotency key of its undo, from when it became owed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub key: Option<UndoKey>,
    /// `before_lease`: every attempt owes it; `under_lease`: the one that registered it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::RegisteredWord))]
    pub registered: Registered,
}

/// A cancel of the task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cancel {
    /// When.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// Who asked for it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub by: Actor,
    /// Why.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub reason: Reason,
}

/// The dismissal of a task's end by a person: it needs no more attention.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dismissal {
    /// When.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// Who dismissed it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub by: Actor,
    /// Why.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub note: Reason,
}

impl Task {
    /// The task at `now`: whether it is stale depends on the time.
    pub fn at(task: &core::task::Task, now: Time) -> Task {
        let ending = task.ending();
        Task {
            id: task.id.clone(),
            saga_id: task.saga_id.clone(),
            namespace: task.namespace.clone(),
            queue: task.queue.clone(),
            kind: task.kind.clone(),
            state: task.state(),
            cause: ending.map(|ending| ending.cause),
            priority: task.priority,
            not_before: task.not_before,
            labels: task.labels.clone(),
            payload: task.payload.clone(),
            attempts: task.attempts,
            epoch: task.epoch,
            revision: task.revision,
            owed: task.owed().count() as u64,
            policy: Policy::from(&task.policy),
            lease: task.lease().map(Lease::from),
            reservation: task.reservation().map(Reservation::from),
            unwinding: Unwinding::of(task),
            checkpoint: task.checkpoint.clone(),
            compensations: task.compensations.iter().map(Compensation::from).collect(),
            cancel: task.cancel.as_ref().map(Cancel::from),
            terminal_reason: ending.and_then(|ending| ending.reason.clone()),
            result: ending.and_then(|ending| ending.result.clone()),
            retried_as: ending.and_then(|ending| ending.retried_as.clone()),
            dismissed: ending.and_then(|ending| ending.dismissed.as_ref()).map(Dismissal::from),
            retry_of: task.retry_of.clone(),
            stale: task.is_stale(now),
            created_at: task.created_at,
            updated_at: task.updated_at,
            started_at: task.started_at,
            last_lease: task.last_lease.as_ref().map(LastLease::from),
            finished_at: ending.map(|ending| ending.finished_at),
            given_null: given_null(task),
        }
    }

    /// The phase of a task, with the fields that exist only in that phase.
    fn phase(&mut self) -> Result<Phase, String> {
        match self.state {
            State::Planned => Ok(Phase::Planned),
            State::Dispatched => {
                let reservation = self.reservation.take().ok_or_else(|| self.lacks("reservation"))?;
                Ok(Phase::Dispatched(reservation.into()))
            }
            State::Running => {
                let lease = self.lease.take().ok_or_else(|| self.lacks("lease"))?;
                Ok(Phase::Running(lease.into_lease(&self.given_null)))
            }
            State::Compensating => self.compensating(),
            State::Completed => self.ended(Terminal::Completed),
            State::Failed => self.ended(Terminal::Failed),
            State::Compensated => self.ended(Terminal::Compensated),
            State::Quarantined => self.ended(Terminal::Quarantined),
        }
    }

    fn compensating(&mut self) -> Result<Phase, String> {
        let Unwinding { why, reason, due_at } =
            self.unwinding.take().ok_or_else(|| self.lacks("unwinding"))?;
        let undoing = match (self.lease.take(), due_at) {
            (Some(lease), None) => Undoing::HeldBy(lease.into_lease(&self.given_null)),
            (None, Some(due_at)) => Undoing::DueAt(due_at),
            (Some(_), Some(_)) | (None, None) => {
                return Err("a compensating task needs either a lease or `due_at`".into());
            }
        };
        Ok(Phase::Compensating { why, reason, undoing })
    }

    fn ended(&mut self, state: Terminal) -> Result<Phase, String> {
        Ok(Phase::Ended(Box::new(Ending {
            state,
            cause: self.cause.take().ok_or_else(|| self.lacks("cause"))?,
            reason: self.terminal_reason.take(),
            result: document::unless_null(self.result.take(), "result", &self.given_null),
            finished_at: self.finished_at.take().ok_or_else(|| self.lacks("finished_at"))?,
            retried_as: self.retried_as.take(),
            dismissed: self.dismissed.take().map(core::task::Dismissal::from),
        })))
    }

    fn lacks(&self, field: &str) -> String {
        format!("a {} task needs `{field}`", self.state.as_str())
    }
}

/// Which nullable fields were given the value `null`. Otherwise a reader could not tell that from a missing
/// value.
fn given_null(task: &core::task::Task) -> Vec<String> {
    let result = task.ending().and_then(|ending| ending.result.as_ref()).map(Document::as_str);
    let progress = task.lease().and_then(|lease| lease.progress.as_ref()).map(Progress::as_str);
    let given = [("result", result), ("progress", progress)];
    given.into_iter().filter(|(_, value)| *value == Some("null")).map(|(name, _)| name.to_owned()).collect()
}

impl TryFrom<Task> for core::task::Task {
    type Error = String;

    fn try_from(mut task: Task) -> Result<core::task::Task, String> {
        let phase = task.phase()?;
        Ok(core::task::Task {
            namespace: task.namespace,
            id: task.id,
            saga_id: task.saga_id,
            queue: task.queue,
            kind: task.kind,
            labels: task.labels,
            payload: task.payload,
            priority: task.priority,
            not_before: task.not_before,
            policy: task.policy.into(),
            phase,
            attempts: task.attempts,
            epoch: task.epoch,
            revision: task.revision,
            compensations: task.compensations.into_iter().map(Into::into).collect(),
            cancel: task.cancel.map(Into::into),
            checkpoint: task.checkpoint,
            started_at: task.started_at,
            last_lease: task.last_lease.map(core::task::LastLease::from),
            retry_of: task.retry_of,
            created_at: task.created_at,
            updated_at: task.updated_at,
        })
    }
}

impl From<&core::task::Lease> for Lease {
    fn from(lease: &core::task::Lease) -> Lease {
        Lease {
            owner: lease.owner.clone(),
            epoch: lease.epoch,
            granted_to: lease.granted_to.clone(),
            ttl: lease.ttl,
            acquired_at: lease.acquired_at,
            heartbeat_at: lease.heartbeat_at,
            progressed_at: lease.progressed_at,
            expires_at: lease.expires_at,
            progress: lease.progress.clone(),
            cancel_told: lease.cancel_told.as_ref().map(CancelTold::from),
        }
    }
}

impl Lease {
    fn into_lease(self, given_null: &[String]) -> core::task::Lease {
        core::task::Lease {
            owner: self.owner,
            epoch: self.epoch,
            granted_to: self.granted_to,
            ttl: self.ttl,
            acquired_at: self.acquired_at,
            heartbeat_at: self.heartbeat_at,
            progressed_at: self.progressed_at,
            expires_at: self.expires_at,
            progress: document::unless_null(self.progress, "progress", given_null),
            cancel_told: self.cancel_told.map(core::task::CancelTold::from),
        }
    }
}

impl Unwinding {
    fn of(task: &core::task::Task) -> Option<Unwinding> {
        let Phase::Compensating { why, reason, undoing } = &task.phase else { return None };
        let due_at = match undoing {
            Undoing::DueAt(due_at) => Some(*due_at),
            Undoing::HeldBy(_) => None,
        };
        Some(Unwinding { why: *why, reason: reason.clone(), due_at })
    }
}

impl From<&core::compensation::Compensation> for Compensation {
    fn from(one: &core::compensation::Compensation) -> Compensation {
        Compensation {
            seq: one.seq,
            kind: one.undo.kind.clone(),
            target: one.undo.target.clone(),
            reason: one.undo.reason.clone(),
            status: one.status,
            epoch: one.epoch,
            tries: one.tries,
            receipt: one.receipt.clone(),
            settled_by: one.settled_by.clone(),
            last_error: one.last_error.clone(),
            waiver: one.waiver.clone(),
            key: one.key.clone(),
            registered: one.registered,
        }
    }
}

impl From<Compensation> for core::compensation::Compensation {
    fn from(one: Compensation) -> core::compensation::Compensation {
        core::compensation::Compensation {
            seq: one.seq,
            undo: core::compensation::Undo { kind: one.kind, target: one.target, reason: one.reason },
            registered: one.registered,
            status: one.status,
            epoch: one.epoch,
            key: one.key,
            tries: one.tries,
            receipt: one.receipt,
            settled_by: one.settled_by,
            last_error: one.last_error,
            waiver: one.waiver,
        }
    }
}

/// Structures that have the same fields here and in the core, each of which can be cloned.
macro_rules! same_fields {
    ($($name:ident { $($field:ident),* })*) => { $(
        impl From<&core::task::$name> for $name {
            fn from(value: &core::task::$name) -> $name {
                $name { $($field: value.$field.clone()),* }
            }
        }

        impl From<$name> for core::task::$name {
            fn from(value: $name) -> core::task::$name {
                core::task::$name { $($field: value.$field),* }
            }
        }
    )* };
}
same_fields! {
    Reservation { owner, reserved_at, expires_at }
    Cancel { at, by, reason }
    Dismissal { at, by, note }
    CancelTold { times, since }
    LastLease { owner, epoch, since, until }
}
