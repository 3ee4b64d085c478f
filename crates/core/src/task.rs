//! The task: the durable record of one piece of work and its saga.
//!
//! Fields that exist only in one phase are in [`Phase`]. So a planned task can't have a lease, and a running task
//! can't be without one.

mod ending;
mod state;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::compensation::Compensation;
use crate::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Progress, Queue, Reason, Revision,
    SagaId, Seq, TaskId,
};
use crate::policy::{OnLapse, Policy, Ttl};
use crate::time::{Span, Time};

pub use self::ending::{Cause, Dismissal, Ending};
pub use self::state::{State, Terminal};

/// The most labels a task may have.
pub const LABELS_MAX: usize = 32;

/// What people sort and find tasks by.
pub type Labels = BTreeMap<LabelKey, LabelValue>;

/// An owner's time-bounded right to a task.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Lease {
    /// Who holds it.
    pub owner: Owner,
    /// Its fencing token.
    pub epoch: Epoch,
    /// Under whose name it was granted, which is a token's where there are tokens.
    pub granted_to: Actor,
    /// The length that a heartbeat without one asks for.
    pub ttl: Ttl,
    /// Since when it is held.
    pub acquired_at: Time,
    /// When it was last renewed.
    pub heartbeat_at: Time,
    /// When its holder last reported progress; the grant counts as such.
    pub progressed_at: Time,
    /// When it ends unless it is renewed. At that instant it has lapsed.
    pub expires_at: Time,
    /// What its holder reported last.
    pub progress: Option<Progress>,
    /// How often its holder was told to stop; none if it was not told.
    pub cancel_told: Option<CancelTold>,
}

impl Lease {
    /// Whether its end has passed.
    pub fn has_lapsed(&self, now: Time) -> bool {
        now >= self.expires_at
    }
}

/// Records that a holder was told to stop. After a cancel, the answer to each heartbeat says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CancelTold {
    /// How often.
    pub times: u32,
    /// When it was told first.
    pub since: Time,
}

impl CancelTold {
    /// The record after the holder was told once more.
    pub fn again(before: Option<CancelTold>, now: Time) -> CancelTold {
        match before {
            Some(told) => CancelTold { times: told.times.saturating_add(1), ..told },
            None => CancelTold { times: 1, since: now },
        }
    }
}

/// The lease of a task's newest attempt that has ended. The lease of an undo by recovery is none.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LastLease {
    /// Who held it.
    pub owner: Owner,
    /// Its fencing token.
    pub epoch: Epoch,
    /// When the attempt began.
    pub since: Time,
    /// When it ended: by its holder, or when it lapsed.
    pub until: Time,
}

/// Which limit of the policy ended a lease. The holder may still be alive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Overrun {
    /// No progress for `stall_after`.
    Stalled,
    /// The attempt took `time_limit`.
    OutOfTime,
    /// Its holder was told to stop, and went on for `cancel_grace`.
    Cancelled,
}

impl Overrun {
    /// Each of them.
    pub const ALL: [Overrun; 3] = [Overrun::Stalled, Overrun::OutOfTime, Overrun::Cancelled];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Overrun::Stalled => "stalled",
            Overrun::OutOfTime => "out_of_time",
            Overrun::Cancelled => "cancelled",
        }
    }

    /// The cause of the task's end after such a lapse.
    pub const fn cause(self) -> Cause {
        match self {
            Overrun::Stalled => Cause::Stalled,
            Overrun::OutOfTime => Cause::OutOfTime,
            Overrun::Cancelled => Cause::Cancelled,
        }
    }
}

/// A task set aside for one owner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reservation {
    /// For whom.
    pub owner: Owner,
    /// Since when.
    pub reserved_at: Time,
    /// Until when. At that instant it has lapsed.
    pub expires_at: Time,
}

impl Reservation {
    /// Whether its end has passed.
    pub fn has_lapsed(&self, now: Time) -> bool {
        now >= self.expires_at
    }
}

/// Why a task is being undone, which decides where it goes when that is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unwinding {
    /// Its holder gave it back in time: the attempt does not count.
    Released,
    /// Its holder rolled it back.
    RolledBack,
    /// Its lease lapsed.
    Lapsed,
    /// Its lease lapsed, because there was no progress for as long as the policy allows.
    Stalled,
    /// Its lease lapsed, because the attempt took as long as the policy allows.
    OutOfTime,
    /// It was cancelled before it ran, or its holder was told to stop and did not.
    Cancelled,
    /// It is a retry of a task that still owed something.
    Retried,
}

impl Unwinding {
    /// Every one.
    pub const ALL: [Unwinding; 7] = [
        Unwinding::Released,
        Unwinding::RolledBack,
        Unwinding::Lapsed,
        Unwinding::Stalled,
        Unwinding::OutOfTime,
        Unwinding::Cancelled,
        Unwinding::Retried,
    ];

    /// Why a task is undone after a lapse.
    pub const fn of_lapse(overrun: Option<Overrun>) -> Unwinding {
        match overrun {
            None => Unwinding::Lapsed,
            Some(Overrun::Stalled) => Unwinding::Stalled,
            Some(Overrun::OutOfTime) => Unwinding::OutOfTime,
            Some(Overrun::Cancelled) => Unwinding::Cancelled,
        }
    }
}

/// Who undoes the task.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Undoing {
    /// Recovery, or the worker itself.
    HeldBy(Lease),
    /// Nobody; recovery may reclaim it from this time on.
    DueAt(Time),
}

/// The phase of a task, with the fields that exist only in that phase.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Waits to be acquired or claimed.
    Planned,
    /// Set aside for one owner.
    Dispatched(Reservation),
    /// Held under a lease, lapsed or not.
    Running(Lease),
    /// Being undone.
    Compensating {
        /// What for.
        why: Unwinding,
        /// Why, in words; they become the terminal reason if this is its end.
        reason: Reason,
        /// By whom.
        undoing: Undoing,
    },
    /// Over.
    Ended(Box<Ending>),
}

/// A cancel was asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cancel {
    /// When.
    pub at: Time,
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: Reason,
}

/// The durable record of one piece of work and its saga.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Task {
    /// Its namespace. Ids are unique within one.
    pub namespace: Namespace,
    /// Its name.
    pub id: TaskId,
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
    /// Which of a queue's due tasks go first: the higher ones.
    pub priority: i32,
    /// Not to be acquired or claimed earlier.
    pub not_before: Option<Time>,
    /// What its creator decided beforehand.
    pub policy: Policy,
    /// Where it is in its life.
    pub phase: Phase,
    /// How often work was begun and not released.
    pub attempts: u32,
    /// The newest lease's.
    pub epoch: Epoch,
    /// The number of its newest event.
    pub revision: Revision,
    /// How to undo what was done, in the order of registration.
    pub compensations: Vec<Compensation>,
    /// The request to stop, once there is one.
    pub cancel: Option<Cancel>,
    /// What a holder saved for its successor.
    pub checkpoint: Option<Document>,
    /// When the newest attempt began.
    pub started_at: Option<Time>,
    /// The lease of the newest attempt that has ended.
    pub last_lease: Option<LastLease>,
    /// The task that this one is a retry of.
    pub retry_of: Option<TaskId>,
    /// When it was created; a record from elsewhere brings its own.
    pub created_at: Time,
    /// When its record last changed.
    pub updated_at: Time,
}

impl Task {
    /// An empty planned task with that name, for code that knows only a part of a task.
    pub fn blank(namespace: Namespace, id: TaskId) -> Task {
        static NOTHING: LazyLock<(Queue, Kind, Document)> =
            LazyLock::new(|| (Queue::blank(), Kind::blank(), Document::null()));
        let (queue, kind, payload) = &*NOTHING;
        Task {
            saga_id: SagaId::from(&id),
            namespace,
            id,
            queue: queue.clone(),
            kind: kind.clone(),
            labels: Labels::new(),
            payload: payload.clone(),
            priority: 0,
            not_before: None,
            policy: Policy::default(),
            phase: Phase::Planned,
            attempts: 0,
            epoch: Epoch::ZERO,
            revision: Revision::default(),
            compensations: Vec::new(),
            cancel: None,
            checkpoint: None,
            started_at: None,
            last_lease: None,
            retry_of: None,
            created_at: Time::MIN,
            updated_at: Time::MIN,
        }
    }

    /// Its state.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Planned => State::Planned,
            Phase::Dispatched(_) => State::Dispatched,
            Phase::Running(_) => State::Running,
            Phase::Compensating { .. } => State::Compensating,
            Phase::Ended(ending) => ending.state.state(),
        }
    }

    /// Its lease, lapsed or not.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.phase {
            Phase::Running(lease) | Phase::Compensating { undoing: Undoing::HeldBy(lease), .. } => {
                Some(lease)
            }
            Phase::Planned
            | Phase::Dispatched(_)
            | Phase::Compensating { undoing: Undoing::DueAt(_), .. }
            | Phase::Ended(_) => None,
        }
    }

    /// Its lease, to be changed by a heartbeat.
    pub fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.phase {
            Phase::Running(lease) | Phase::Compensating { undoing: Undoing::HeldBy(lease), .. } => {
                Some(lease)
            }
            Phase::Planned
            | Phase::Dispatched(_)
            | Phase::Compensating { undoing: Undoing::DueAt(_), .. }
            | Phase::Ended(_) => None,
        }
    }

    /// Its reservation, lapsed or not.
    pub fn reservation(&self) -> Option<&Reservation> {
        match &self.phase {
            Phase::Dispatched(reservation) => Some(reservation),
            Phase::Planned | Phase::Running(_) | Phase::Compensating { .. } | Phase::Ended(_) => None,
        }
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Ended(ending) => Some(ending),
            Phase::Planned | Phase::Dispatched(_) | Phase::Running(_) | Phase::Compensating { .. } => None,
        }
    }

    /// The compensation of that number.
    pub fn compensation(&self, seq: Seq) -> Option<&Compensation> {
        self.compensations.iter().find(|one| one.seq == seq)
    }

    /// What must still be undone, newest first, which is the order of undoing.
    pub fn owed(&self) -> impl Iterator<Item = &Compensation> {
        self.compensations.iter().rev().filter(|one| one.is_owed())
    }

    /// Whether something must still be undone.
    pub fn owes(&self) -> bool {
        self.compensations.iter().any(Compensation::is_owed)
    }

    /// Whether something must still be undone that an older lease than `epoch` owed.
    pub fn owes_from_before(&self, epoch: Epoch) -> bool {
        self.compensations.iter().any(|one| one.is_owed() && one.epoch < Some(epoch))
    }

    /// Whether its lease or reservation has lapsed.
    pub fn is_stale(&self, now: Time) -> bool {
        let lapsed_lease = self.lease().is_some_and(|lease| lease.has_lapsed(now));
        lapsed_lease || self.reservation().is_some_and(|reservation| reservation.has_lapsed(now))
    }

    /// When recovery may reclaim the task after the lapse of `lease`: later than another owner may take it over if the
    /// policy is [`OnLapse::Either`]. A cancelled task is recovered without that wait, and an undo has none.
    pub fn recoverable_at(&self, lease: &Lease) -> Time {
        self.policy.reclaimable_at(lease.expires_at) + self.recover_after().unwrap_or(Span::ZERO)
    }

    /// How much longer than other owners recovery waits after a lapse.
    pub fn recover_after(&self) -> Option<Span> {
        self.policy.recover_after.filter(|_| self.lapses_by_policy(OnLapse::Either))
    }

    /// Whether recovery leaves it after a lapse, so that only its next owner goes on.
    pub fn is_held_back(&self) -> bool {
        self.lapses_by_policy(OnLapse::Hold)
    }

    /// A lapse before an undo, and without a cancel, follows the policy.
    fn lapses_by_policy(&self, on_lapse: OnLapse) -> bool {
        let follows = matches!(self.phase, Phase::Running(_)) && self.cancel.is_none();
        follows && self.policy.on_lapse == on_lapse
    }

    /// When a planned task may be acquired or claimed. Claims use it to order tasks of equal priority.
    pub fn due_since(&self) -> Time {
        self.not_before.unwrap_or(self.created_at)
    }

    /// When its first attempt must have begun, if its policy says so and none has begun.
    pub fn start_limit(&self) -> Option<Time> {
        let within = self.policy.start_within.filter(|_| self.started_at.is_none())?;
        Some(self.created_at.max(self.due_since()) + within)
    }

    /// The number of the next compensation.
    pub fn next_seq(&self) -> Seq {
        Seq(self.compensations.last().map_or(1, |last| last.seq.0.saturating_add(1)))
    }

    /// The policy limits on the lease of an attempt, besides its ttl, each with its time. Among equal times
    /// the stricter limit comes last.
    pub fn bounds(
        &self,
        acquired_at: Time,
        progressed_at: Time,
        told: Option<CancelTold>,
    ) -> impl Iterator<Item = (Overrun, Time)> {
        bounds(&self.policy, acquired_at, progressed_at, told)
    }

    /// Which policy limit ended the lease of an attempt; none if its holder fell silent. An undo has no such
    /// limit.
    pub fn overrun(&self) -> Option<Overrun> {
        let Phase::Running(lease) = &self.phase else { return None };
        let bounds = self.bounds(lease.acquired_at, lease.progressed_at, lease.cancel_told);
        bounds.filter(|(_, end)| lease.expires_at >= *end).map(|(bound, _)| bound).last()
    }
}

fn bounds(
    policy: &Policy,
    acquired_at: Time,
    progressed_at: Time,
    told: Option<CancelTold>,
) -> impl Iterator<Item = (Overrun, Time)> {
    let stalled = policy.stall_after.map(|span| (Overrun::Stalled, progressed_at + span));
    let out_of_time = policy.time_limit.map(|span| (Overrun::OutOfTime, acquired_at + span));
    let told = told.zip(policy.cancel_grace);
    let cancelled = told.map(|(told, span)| (Overrun::Cancelled, told.since + span));
    [stalled, out_of_time, cancelled].into_iter().flatten()
}

/// When a lease ends that is granted at `now` and would last until then, if nothing bounds it: every grant of an attempt is
/// bounded by the policy.
pub(crate) fn end_of_grant(policy: &Policy, now: Time, until: Time) -> Time {
    bounds(policy, now, now, None).map(|(_, end)| end).fold(until, Time::min)
}
