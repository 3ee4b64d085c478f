//! The agents: each claims a task, keeps its lease, works through its steps, and ends it as its fate says. They use the library as
//! any worker does.

use std::time::Duration;

use serde_json::json;
use tenure::keeper::{Keeping, KeptLease};
use tenure::stop::StopSignal;
use tenure::{Error, Ledger};

use super::fates::AgentAct;
use super::names::{self, PERSON, SERVED};
use super::plan::{FleetPlan, PlannedWork};

/// How long an agent without work waits for a task of its own queue before it looks into the others.
const CLAIM_WAIT: Duration = Duration::from_secs(1);
/// How long a released task rests.
const RELEASED_FOR: Duration = Duration::from_secs(3);

/// An agent.
pub(super) struct Agent {
    name: String,
    /// Its own queue first.
    queues: [&'static str; 3],
    ledger: Ledger,
    plan: FleetPlan,
}

/// Why a pause is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PauseEnd {
    /// Its time is.
    Over,
    /// A cancel was asked for.
    Cancelled,
    /// The lease is lost.
    Lost,
    /// The demo ends.
    Stopped,
}

impl Agent {
    pub(super) fn new(nth: u16, ledger: Ledger, plan: FleetPlan) -> Agent {
        let mut queues = SERVED;
        // Most work is in the first queue: of four agents two serve it.
        let own = [0, 1, 0, 2][usize::from(nth) % 4];
        queues.rotate_left(own);
        Agent { name: names::agent(nth), queues, ledger, plan }
    }

    /// Works until it is told to stop. What the store refuses is no failure: a viewer may have ended the task.
    pub(super) async fn work(self, stop: StopSignal) -> Result<(), Error> {
        while !stop.is_stopped() {
            let Some(lease) = self.claim(&stop).await? else { continue };
            match self.attempt(&lease, &stop).await {
                Ok(()) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn claim(&self, stop: &StopSignal) -> Result<Option<KeptLease>, Error> {
        let claim = |queue| self.ledger.claim(queue, &self.name);
        for queue in self.queues {
            let now = std::future::ready(());
            if let Some(lease) = claim(queue).keep_until(now, Keeping::default()).await?.pop() {
                return Ok(Some(lease));
            }
        }
        let over = async {
            tokio::select! {
                () = stop.stopped() => {}
                () = tokio::time::sleep(CLAIM_WAIT) => {}
            }
        };
        Ok(claim(self.queues[0]).keep_until(over, Keeping::default()).await?.pop())
    }

    async fn attempt(&self, lease: &KeptLease, stop: &StopSignal) -> Result<(), Error> {
        let work = self.plan.work_of(lease.id().as_str());
        let act = work.fate.act(lease.task().attempts);
        match self.steps(lease, (&work, act), stop).await? {
            PauseEnd::Over => self.end(lease, (&work, act), stop).await,
            PauseEnd::Cancelled => lease.roll_back("stopped as asked").await.map(|_| ()),
            PauseEnd::Lost => Ok(()),
            PauseEnd::Stopped => given_back(lease).await,
        }
    }

    /// Does the steps before the act. Each undo is registered before what it undoes.
    async fn steps(
        &self,
        lease: &KeptLease,
        (work, act): (&PlannedWork, AgentAct),
        stop: &StopSignal,
    ) -> Result<PauseEnd, Error> {
        let steps = work.fate.work.steps;
        let before = act.steps_before(steps.len());
        for (nth, step) in steps.iter().take(before).enumerate() {
            let is_now = |at: usize| at.min(before - 1) == nth;
            for (_, (undo, target)) in work.undos().enumerate().filter(|(at, _)| is_now(*at)) {
                lease.undo_with(undo.kind, &target, undo.reason).await?;
            }
            lease.progress(json!({"percent": 100 * nth / steps.len(), "step": step})).await?;
            let end = pause(lease, work.step, stop).await;
            if end != PauseEnd::Over {
                return Ok(end);
            }
        }
        Ok(PauseEnd::Over)
    }

    async fn end(
        &self,
        lease: &KeptLease,
        (work, act): (&PlannedWork, AgentAct),
        stop: &StopSignal,
    ) -> Result<(), Error> {
        let ended = match act {
            AgentAct::Complete => lease.complete_with(work.result()).await,
            AgentAct::Fail => lease.fail(work.reason).await,
            AgentAct::RollBack => lease.roll_back(work.reason).await,
            AgentAct::Park => lease.quarantine(work.reason).await,
            AgentAct::Release => lease.release(work.reason, RELEASED_FOR).await,
            // The lease is dropped.
            AgentAct::Die => return Ok(()),
            AgentAct::Hang => return hang(lease, stop).await,
            AgentAct::Linger => return linger(lease, work, stop).await,
            AgentAct::ObeyCancel => {
                self.cancel(lease, work).await?;
                match pause(lease, lease.task().policy.lease_ttl.span().into(), stop).await {
                    PauseEnd::Stopped => return given_back(lease).await,
                    PauseEnd::Lost => return Ok(()),
                    PauseEnd::Cancelled | PauseEnd::Over => lease.roll_back("stopped as asked").await,
                }
            }
            AgentAct::IgnoreCancel => {
                self.cancel(lease, work).await?;
                return linger(lease, work, stop).await;
            }
        };
        ended.map(|_| ())
    }

    /// Cancels the task as a person would.
    async fn cancel(&self, lease: &KeptLease, work: &PlannedWork) -> Result<(), Error> {
        self.ledger.cancel(lease.id().as_str(), work.reason).acting_as(PERSON).await.map(|_| ())
    }
}

/// Pauses for that long, unless something ends the work before.
async fn pause(lease: &KeptLease, length: Duration, stop: &StopSignal) -> PauseEnd {
    tokio::select! {
        biased;
        () = stop.stopped() => PauseEnd::Stopped,
        _ = lease.lost() => PauseEnd::Lost,
        () = lease.cancel_asked() => PauseEnd::Cancelled,
        () = tokio::time::sleep(length) => PauseEnd::Over,
    }
}

/// Holds the lease, and does nothing, until it is lost.
async fn hang(lease: &KeptLease, stop: &StopSignal) -> Result<(), Error> {
    tokio::select! {
        _ = lease.lost() => Ok(()),
        () = stop.stopped() => given_back(lease).await,
    }
}

/// Goes on with the last step until the lease is lost, whatever it is told.
async fn linger(lease: &KeptLease, work: &PlannedWork, stop: &StopSignal) -> Result<(), Error> {
    let step = work.fate.work.steps.last().unwrap_or(&"working");
    loop {
        lease.progress(json!({"percent": 99, "step": step})).await?;
        tokio::select! {
            () = stop.stopped() => return given_back(lease).await,
            _ = lease.lost() => return Ok(()),
            () = tokio::time::sleep(work.step) => {}
        }
    }
}

async fn given_back(lease: &KeptLease) -> Result<(), Error> {
    lease.release("the demo ends", Duration::ZERO).await.map(|_| ())
}
