//! The due row: one narrow row for what an open task waits for. That is the end of a lease or a reservation, the time
//! of an undo that nobody holds, or the start limit.
//!
//! A heartbeat reads and writes only this row. So the row has copies of the fields that a heartbeat is decided on.

use std::sync::LazyLock;

use tenure_core::id::{Actor, Epoch, Namespace, Owner, Progress, Reason, TaskId};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::task::{Cancel, CancelTold, Lease, Phase, State, Task, Undoing, Unwinding};
use tenure_core::time::{Span, Time};

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wait {
    /// The end of a running task's lease.
    Lease,
    /// The end of the lease of an undo.
    UndoLease,
    /// The end of a reservation.
    Reservation,
    /// The time of an undo that nobody holds.
    Undo,
    /// The limit for the first attempt.
    Start,
}

tenure_api::words_on_wire! {
    Wait {
        Wait::Lease => "lease", Wait::UndoLease => "undo_lease", Wait::Reservation => "reservation",
        Wait::Undo => "undo", Wait::Start => "start",
    }
}

/// One row of `due`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    pub wait: Wait,
    /// The holder's own columns; none for an undo that nobody holds and for a start.
    pub owner: Option<Owner>,
    pub lease: Option<LeaseColumns>,
    pub since: Option<Time>,
    /// When the wait is over unless a heartbeat moves it.
    pub expires_at: Time,
    /// When to check it; never after `expires_at`.
    pub check_at: Time,
    /// Recovery ignores its lapse; only the next holder handles it.
    pub held_back: bool,
}

/// What only a lease has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseColumns {
    pub epoch: Epoch,
    pub granted_to: Actor,
    pub ttl: Ttl,
    pub heartbeat_at: Time,
    pub progressed_at: Time,
    pub progress: Option<Progress>,
    pub cancel_asked: bool,
    pub stall_after: Option<Span>,
    pub time_limit: Option<Span>,
    pub lock_delay: Option<Span>,
    /// How much longer recovery waits than other owners.
    pub recover_after: Option<Span>,
    pub cancel_grace: Option<Span>,
    pub cancel_told: Option<CancelTold>,
}

/// The row has no reason, and no heartbeat reads one. It is made once: to make one costs an allocation.
static PLACEHOLDER: LazyLock<Option<Reason>> = LazyLock::new(|| Reason::new("-").ok());

impl Due {
    /// The row that a task has; none for one that is terminal or waits only to be claimed.
    pub fn of(task: &Task) -> Option<Due> {
        let plain = |wait, at| Due {
            wait,
            owner: None,
            lease: None,
            since: None,
            expires_at: at,
            check_at: at,
            held_back: false,
        };
        match &task.phase {
            Phase::Planned => task.start_limit().map(|limit| plain(Wait::Start, limit)),
            Phase::Dispatched(reservation) => Some(Due {
                owner: Some(reservation.owner.clone()),
                since: Some(reservation.reserved_at),
                ..plain(Wait::Reservation, reservation.expires_at)
            }),
            Phase::Running(lease) => Some(Due::of_lease(task, lease, Wait::Lease)),
            Phase::Compensating { undoing: Undoing::HeldBy(lease), .. } => {
                Some(Due::of_lease(task, lease, Wait::UndoLease))
            }
            Phase::Compensating { undoing: Undoing::DueAt(due_at), .. } => Some(plain(Wait::Undo, *due_at)),
            Phase::Ended(_) => None,
        }
    }

    fn of_lease(task: &Task, lease: &Lease, wait: Wait) -> Due {
        Due {
            wait,
            owner: Some(lease.owner.clone()),
            since: Some(lease.acquired_at),
            expires_at: lease.expires_at,
            check_at: lease.expires_at,
            held_back: task.is_held_back(),
            lease: Some(LeaseColumns {
                epoch: lease.epoch,
                granted_to: lease.granted_to.clone(),
                ttl: lease.ttl,
                heartbeat_at: lease.heartbeat_at,
                progressed_at: lease.progressed_at,
                progress: lease.progress.clone(),
                cancel_asked: task.cancel.is_some(),
                stall_after: task.policy.stall_after,
                time_limit: task.policy.time_limit,
                lock_delay: task.policy.lock_delay,
                recover_after: task.recover_after(),
                cancel_grace: task.policy.cancel_grace,
                cancel_told: lease.cancel_told,
            }),
        }
    }

    /// The lease of this row.
    pub fn lease(&self) -> Option<Lease> {
        let columns = self.lease.as_ref()?;
        Some(Lease {
            owner: self.owner.clone()?,
            epoch: columns.epoch,
            granted_to: columns.granted_to.clone(),
            ttl: columns.ttl,
            acquired_at: self.since?,
            heartbeat_at: columns.heartbeat_at,
            progressed_at: columns.progressed_at,
            expires_at: self.expires_at,
            progress: columns.progress.clone(),
            cancel_told: columns.cancel_told,
        })
    }

    /// Takes over what a heartbeat writes.
    pub fn renew(&mut self, renewed: &Lease) {
        self.expires_at = renewed.expires_at;
        if let Some(columns) = &mut self.lease {
            columns.heartbeat_at = renewed.heartbeat_at;
            columns.progressed_at = renewed.progressed_at;
            columns.progress.clone_from(&renewed.progress);
            columns.cancel_told = renewed.cancel_told;
        }
    }

    /// When a reclaim can succeed.
    pub fn reclaimable_at(&self) -> Time {
        let delays = self.lease.iter().flat_map(|lease| [lease.lock_delay, lease.recover_after]);
        delays.flatten().fold(self.expires_at, |at, delay| at + delay)
    }

    /// The part of the task that a heartbeat is decided on: its phase with the lease, its limits, and whether
    /// a cancel was asked for. Everything else is empty, and no guard of a heartbeat or a progress reads it;
    /// a test shows that.
    pub fn seen_by_heartbeat(&self, namespace: &Namespace, id: &TaskId) -> Option<Task> {
        let lease = self.lease()?;
        let columns = self.lease.as_ref()?;
        let reason = PLACEHOLDER.as_ref()?;
        let cancel = columns.cancel_asked.then(|| Cancel {
            at: lease.acquired_at,
            by: lease.granted_to.clone(),
            reason: reason.clone(),
        });
        let phase = match self.wait {
            Wait::Lease => Phase::Running(lease),
            Wait::UndoLease => {
                let (why, undoing) = (Unwinding::Lapsed, Undoing::HeldBy(lease));
                Phase::Compensating { why, reason: reason.clone(), undoing }
            }
            Wait::Reservation | Wait::Undo | Wait::Start => return None,
        };
        Some(Task {
            phase,
            cancel,
            policy: Policy::default().with(|policy| {
                policy.stall_after = columns.stall_after;
                policy.time_limit = columns.time_limit;
                policy.lock_delay = columns.lock_delay;
                policy.cancel_grace = columns.cancel_grace;
            }),
            ..Task::blank(namespace.clone(), id.clone())
        })
    }

    /// The state that a task with this row is in.
    pub fn state(&self) -> State {
        match self.wait {
            Wait::Start => State::Planned,
            Wait::Reservation => State::Dispatched,
            Wait::Lease => State::Running,
            Wait::UndoLease | Wait::Undo => State::Compensating,
        }
    }
}
