//! The state shared by the handle of a lease and the thread that renews it.

use std::sync::atomic::AtomicBool;

use tenure_core::command::Holder;
use tenure_core::task::Task;
use tokio::sync::{Notify, RwLock, watch};

use super::status::{Keeping, LeaseStatus, Loss};
use crate::ledger::Ledger;
use crate::stop::StopSignal;

/// The lease, its status, and the signals between the two.
pub(super) struct SharedLease {
    pub(super) ledger: Ledger,
    pub(super) granted: Task,
    pub(super) holder: Holder,
    pub(super) keeping: Keeping,
    pub(super) status: watch::Sender<LeaseStatus>,
    pub(super) stop_signal: StopSignal,
    pub(super) renew_now: Notify,
    /// Whether the work was over while the lease was held.
    pub(super) finished_in_time: AtomicBool,
    /// Each call in progress holds this for reading. A heartbeat that crosses the call which ends the lease
    /// is refused, and must not count as a loss. So a loss is declared only when no call is in progress.
    pub(super) calls: RwLock<()>,
}

impl SharedLease {
    pub(super) fn lose(&self, loss: Loss) {
        self.status.send_if_modified(|status| {
            let is_held = matches!(status, LeaseStatus::Held(_));
            if is_held {
                *status = LeaseStatus::Lost(loss);
                // Inside the closure, so that an observer of one change also sees the other.
                self.stop_signal.stop();
            }
            is_held
        });
    }

    pub(super) fn hear_cancel(&self) {
        self.status.send_if_modified(|status| {
            self.stop_signal.stop();
            match status {
                LeaseStatus::Held(held) => !std::mem::replace(&mut held.cancel_asked, true),
                LeaseStatus::Lost(_) | LeaseStatus::Ended => false,
            }
        });
    }
}
