//! Events: what happened to a task or in a namespace, in the past tense. The fold of a task's events is the task.

use std::fmt;

use crate::compensation::{Compensation, Undo};
use crate::id::{
    Actor, Document, Epoch, Kind, LabelKey, Namespace, Owner, Progress, Queue, Reason, Revision, SagaId, Seq,
    TaskId, Text,
};
use crate::policy::{Policy, Ttl};
use crate::refusal::Refusal;
use crate::task::{CancelTold, Cause, Labels, Lease, Overrun, Task, Terminal};
use crate::time::Time;

/// What an event happened to. Each has a history, a chain and numbers of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A task.
    Task(TaskId),
    /// The namespace itself.
    Namespace,
}

impl Subject {
    /// The task; none for the namespace.
    pub const fn task(&self) -> Option<&TaskId> {
        match self {
            Subject::Task(task) => Some(task),
            Subject::Namespace => None,
        }
    }

    /// The id of the task; empty for the namespace, as no id is.
    pub fn as_str(&self) -> &str {
        self.task().map_or("", TaskId::as_str)
    }
}

/// The id of the task; `*` for the namespace, which no id may be.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.task().map_or("*", TaskId::as_str))
    }
}

impl From<TaskId> for Subject {
    fn from(task: TaskId) -> Subject {
        Subject::Task(task)
    }
}

/// None is the namespace, as in the public JSON.
impl From<Option<TaskId>> for Subject {
    fn from(task: Option<TaskId>) -> Subject {
        task.map_or(Subject::Namespace, Subject::Task)
    }
}

impl PartialEq<TaskId> for Subject {
    fn eq(&self, task: &TaskId) -> bool {
        self.task() == Some(task)
    }
}

/// One thing that happened to one task, or in a namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The namespace.
    pub namespace: Namespace,
    /// What it happened to.
    pub subject: Subject,
    /// Its number within the history of its subject, from 1. One that is not recorded has its predecessor's.
    pub number: Revision,
    /// When it happened.
    pub at: Time,
    /// The actor.
    pub actor: Actor,
    /// What happened.
    pub what: EventData,
}

/// What a task is created with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created {
    /// The name of its saga.
    pub saga_id: SagaId,
    /// Where workers claim it from.
    pub queue: Queue,
    /// What sort of task it is.
    pub kind: Kind,
    /// What people find it by.
    pub labels: Labels,
    /// What is needed to do it.
    pub payload: Document,
    /// Which of a queue's due tasks go first.
    pub priority: i32,
    /// Not to be acquired or claimed earlier.
    pub not_before: Option<Time>,
    /// What its creator decided beforehand.
    pub policy: Policy,
    /// The compensations that are standing or still owed from before the first lease.
    pub compensations: Vec<Compensation>,
    /// The task that this one is a retry of.
    pub retry_of: Option<TaskId>,
    /// When it was created: now, or as an imported record says.
    pub created_at: Time,
}

/// What a write of the whole record changed; none: unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Where workers claim it from.
    pub queue: Option<Queue>,
    /// What sort of task it is.
    pub kind: Option<Kind>,
    /// What people find it by.
    pub labels: Option<Labels>,
    /// What is needed to do it.
    pub payload: Option<Document>,
    /// Which of a queue's due tasks go first.
    pub priority: Option<i32>,
    /// Not to be acquired or claimed earlier; the inner none takes the limit away.
    pub not_before: Option<Option<Time>>,
    /// What its creator decided beforehand.
    pub policy: Option<Policy>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

/// Which labels a task gets and which it loses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LabelChanges {
    /// These are set, whether there is one with that key or not.
    pub set: Labels,
    /// These are removed, if they are there.
    pub unset: Vec<LabelKey>,
}

impl LabelChanges {
    /// The labels after the changes.
    pub fn applied_to(&self, labels: &Labels) -> Labels {
        let mut after = labels.clone();
        after.retain(|key, _| !self.unset.contains(key));
        after.extend(self.set.iter().map(|(key, value)| (key.clone(), value.clone())));
        after
    }
}

/// What heartbeats had written to a lease when it ended. Heartbeats leave no event, so the event that ends the
/// lease contains it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseEnd {
    /// Who held it.
    pub owner: Owner,
    /// Its fencing token.
    pub epoch: Epoch,
    /// When it was last renewed.
    pub heartbeat_at: Time,
    /// When its holder last reported progress.
    pub progressed_at: Time,
    /// When it ended, or would have.
    pub expires_at: Time,
    /// What its holder reported last.
    pub progress: Option<Progress>,
    /// What its holder saved for its successor.
    pub checkpoint: Option<Document>,
    /// How often its holder was told to stop.
    pub cancel_told: Option<CancelTold>,
    /// The policy limit at which it lapsed; none if it ended otherwise, or its holder fell silent.
    pub overrun: Option<Overrun>,
}

impl LeaseEnd {
    /// The end of a lease that lapsed.
    pub fn of_lapse(task: &Task, lease: &Lease) -> LeaseEnd {
        LeaseEnd { overrun: task.overrun(), ..LeaseEnd::of(task, lease) }
    }

    /// What heartbeats have written to this lease of the task so far.
    pub fn of(task: &Task, lease: &Lease) -> LeaseEnd {
        LeaseEnd {
            owner: lease.owner.clone(),
            epoch: lease.epoch,
            heartbeat_at: lease.heartbeat_at,
            progressed_at: lease.progressed_at,
            expires_at: lease.expires_at,
            progress: lease.progress.clone(),
            checkpoint: task.checkpoint.clone(),
            cancel_told: lease.cancel_told,
            overrun: None,
        }
    }
}

impl Reason {
    /// The recorded reason for a lapse.
    pub(crate) fn of_lapse(lease: &LeaseEnd) -> Reason {
        let LeaseEnd { owner, epoch, .. } = lease;
        match lease.overrun {
            None => Reason::made(format_args!("the lease of {owner} at epoch {epoch} lapsed")),
            Some(Overrun::Stalled) => Reason::made(format_args!(
                "the lease of {owner} at epoch {epoch} ended: no progress for the policy's stall_after"
            )),
            Some(Overrun::OutOfTime) => Reason::made(format_args!(
                "the lease of {owner} at epoch {epoch} ended: the attempt took the policy's time_limit"
            )),
            Some(Overrun::Cancelled) => Reason::made(format_args!(
                "the lease of {owner} at epoch {epoch} ended: it was told to stop and went on for the policy's cancel_grace"
            )),
        }
    }
}

/// A lease that is granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Who gets it.
    pub owner: Owner,
    /// Its fencing token.
    pub epoch: Epoch,
    /// Its length when it is renewed.
    pub ttl: Ttl,
    /// When it ends unless it is renewed.
    pub expires_at: Time,
    /// Under whose name it is granted, if that is not the actor of the command: of a task that moves in while it is worked on.
    pub granted_to: Option<Actor>,
    /// The lapsed lease that it takes the place of.
    pub lapsed: Option<LeaseEnd>,
}

/// Whether an attempt that ended without a result counts against `max_attempts`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counting {
    /// It counts.
    Counted,
    /// It was released in time and does not count.
    Uncounted,
}

/// How a task ended, with what was owed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// In which state.
    pub state: Terminal,
    /// What brought it there.
    pub cause: Cause,
    /// Why, in words.
    pub reason: Option<Reason>,
    /// What the work gave.
    pub result: Option<Document>,
    /// What remains to undo, given with the fail.
    pub compensations: Vec<Undo>,
    /// What a person waived with it.
    pub waived: Vec<Waiver>,
    /// What a person had undone by hand.
    pub settled: Vec<HandReceipt>,
    /// When: now, or as an imported record says.
    pub finished_at: Time,
    /// The lease that it ended.
    pub lease: Option<LeaseEnd>,
}

/// The waiver of a compensation by a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiver {
    /// Which compensation.
    pub seq: Seq,
    /// Why.
    pub reason: Reason,
}

/// The receipt of a compensation that a person undid by hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandReceipt {
    /// Which compensation.
    pub seq: Seq,
    /// The receipt.
    pub receipt: Text,
}

/// Whether a note dismisses the task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Triage {
    /// It does not.
    #[default]
    Stays,
    /// It does: the task needs no more attention.
    Dismissed,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventData {
    /// The task came to be.
    Created(Box<Created>),
    /// A write of the whole record changed some of it.
    Changed(Box<Changes>),
    /// A compensation was registered: standing before a lease, owed under one.
    Registered {
        /// Its number.
        seq: Seq,
        /// What it undoes.
        undo: Undo,
    },
    /// It was reserved for one owner.
    Dispatched {
        /// For whom.
        owner: Owner,
        /// Until when.
        expires_at: Time,
    },
    /// An attempt began, under a new lease.
    Acquired(Grant),
    /// The lease was renewed. Applied, but neither stored nor hashed.
    Renewed {
        /// Its new end.
        expires_at: Time,
        /// What the holder reports.
        progress: Option<Progress>,
        /// What it saves for its successor.
        checkpoint: Option<Document>,
    },
    /// The holder reported progress without renewing. Applied, but neither stored nor hashed.
    Progressed {
        /// What it reports.
        progress: Option<Progress>,
        /// What it saves for its successor.
        checkpoint: Option<Document>,
    },
    /// The holder released the lease. A running task is undone next, or planned at once.
    Released {
        /// Why.
        reason: Reason,
        /// Whether the attempt counts.
        counting: Counting,
        /// Not before: when it is due again, if later than now.
        not_before: Option<Time>,
        /// The lease that it ended.
        lease: LeaseEnd,
    },
    /// The holder gave the work up; its undo is due now.
    RolledBack {
        /// Why.
        reason: Reason,
        /// The lease that it ended; none where the holder keeps it to undo the work itself.
        lease: Option<LeaseEnd>,
    },
    /// Recovery found a lapsed lease, and nothing to undo.
    Lapsed {
        /// The lease that it ended.
        lease: LeaseEnd,
    },
    /// Recovery took the task over, to undo what is owed.
    Reclaimed(Grant),
    /// It is planned again.
    Replanned {
        /// Not to be acquired or claimed earlier.
        not_before: Option<Time>,
        /// The lease of the undo that it ended.
        lease: Option<LeaseEnd>,
    },
    /// This lease adopted what older leases owed.
    Adopted {
        /// Which compensations.
        seqs: Vec<Seq>,
    },
    /// An undo ran.
    Settled {
        /// Which compensation.
        seq: Seq,
        /// The lease's epoch.
        epoch: Epoch,
        /// The receipt.
        receipt: Text,
        /// Why an operator recorded it; none: the holder of the lease did.
        by_hand: Option<Reason>,
    },
    /// An undo failed.
    Tried {
        /// Which compensation.
        seq: Seq,
        /// The lease's epoch.
        epoch: Epoch,
        /// Why it failed.
        error: Text,
    },
    /// A person waived a compensation.
    Waived(Waiver),
    /// A cancel was asked for. A task that was not running is undone next.
    CancelAsked {
        /// Why.
        reason: Reason,
    },
    /// Labels were set or removed.
    Labelled {
        /// Which.
        changes: LabelChanges,
        /// Why, if an operator says so.
        reason: Option<Reason>,
    },
    /// It reached a terminal state.
    Ended(Box<Ended>),
    /// A note, or a corrected reason for the end.
    Annotated {
        /// The note.
        note: Option<Reason>,
        /// The corrected reason.
        terminal_reason: Option<Reason>,
        /// Whether the note dismisses the end.
        triage: Triage,
    },
    /// A person retried it as a new task.
    Retried {
        /// The new task.
        successor: TaskId,
        /// Why.
        reason: Reason,
        /// What need not be undone and was not copied.
        waived: Vec<Waiver>,
        /// What a person had undone by hand, which was not copied either.
        settled: Vec<HandReceipt>,
    },
    /// A sweep of recovery moved something in the namespace. It happened to no task: each task's own events say what became of it.
    RecoverySwept {
        /// The recovery process, as the owner of its leases.
        owner: Owner,
        /// What became of the tasks.
        counts: SweepCounts,
    },
}

/// How many tasks a sweep of recovery handled in one namespace, by what became of them, and how much it undid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepCounts {
    /// Planned again.
    pub planned: u64,
    /// Closed, with nothing owed any more.
    pub compensated: u64,
    /// Parked for a person.
    pub quarantined: u64,
    /// Handed back: their undo waits for another try, or for another recovery process.
    pub handed_back: u64,
    /// Lost to another owner meanwhile.
    pub lost: u64,
    /// Those that the store did not answer for.
    pub failed: u64,
    /// Compensations that were undone, with a receipt.
    pub undone: u64,
}

impl SweepCounts {
    /// Whether something was moved. A task that the store did not answer for was not, as far as recovery knows.
    pub const fn has_moved(&self) -> bool {
        let SweepCounts { planned, compensated, quarantined, handed_back, lost, failed: _, undone } = *self;
        planned > 0 || compensated > 0 || quarantined > 0 || handed_back > 0 || lost > 0 || undone > 0
    }
}

impl EventData {
    /// The event's type as interfaces write it.
    pub const fn kind(&self) -> &'static str {
        match self {
            EventData::Created(_) => "created",
            EventData::Changed(_) => "changed",
            EventData::Registered { .. } => "registered",
            EventData::Dispatched { .. } => "dispatched",
            EventData::Acquired(_) => "acquired",
            EventData::Renewed { .. } => "renewed",
            EventData::Progressed { .. } => "progressed",
            EventData::Released { .. } => "released",
            EventData::RolledBack { .. } => "rolled_back",
            EventData::Lapsed { .. } => "lapsed",
            EventData::Reclaimed(_) => "reclaimed",
            EventData::Replanned { .. } => "replanned",
            EventData::Adopted { .. } => "adopted",
            EventData::Settled { .. } => "settled",
            EventData::Tried { .. } => "tried",
            EventData::Waived(_) => "waived",
            EventData::CancelAsked { .. } => "cancel_asked",
            EventData::Labelled { .. } => "labelled",
            EventData::Ended(ended) => ended.state.state().as_str(),
            EventData::Annotated { .. } => "annotated",
            EventData::Retried { .. } => "retried",
            EventData::RecoverySwept { .. } => "recovery_swept",
        }
    }

    /// Whether it is stored and hashed. A heartbeat and a progress are applied only.
    pub const fn is_recorded(&self) -> bool {
        !matches!(self, EventData::Renewed { .. } | EventData::Progressed { .. })
    }

    /// Whether it happens in a namespace, and to no task.
    pub const fn is_of_namespace(&self) -> bool {
        matches!(self, EventData::RecoverySwept { .. })
    }
}

/// The type of a recorded event, as interfaces write it: what [`EventData::kind`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventKind(&'static str);

impl EventKind {
    /// All of them, roughly in the order of a task's life; then those of a namespace.
    pub const ALL: [EventKind; 23] = [
        EventKind("created"),
        EventKind("changed"),
        EventKind("dispatched"),
        EventKind("acquired"),
        EventKind("registered"),
        EventKind("released"),
        EventKind("rolled_back"),
        EventKind("lapsed"),
        EventKind("reclaimed"),
        EventKind("replanned"),
        EventKind("adopted"),
        EventKind("settled"),
        EventKind("tried"),
        EventKind("waived"),
        EventKind("cancel_asked"),
        EventKind("labelled"),
        EventKind("completed"),
        EventKind("failed"),
        EventKind("compensated"),
        EventKind("quarantined"),
        EventKind("annotated"),
        EventKind("retried"),
        EventKind("recovery_swept"),
    ];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The type of that word.
    pub fn named(word: &str) -> Result<EventKind, Refusal> {
        EventKind::ALL.into_iter().find(|kind| kind.0 == word).ok_or_else(|| {
            let words = EventKind::ALL.map(EventKind::as_str).join(", ");
            Refusal::invalid("type", format_args!("one of {words}"))
        })
    }
}
