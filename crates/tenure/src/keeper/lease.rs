//! The handle of a lease that is kept: reports progress, registers undos, and ends the task.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::command::Holder;
use tenure_core::id::TaskId;
use tenure_core::policy::Jitter;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::Task;
use tenure_core::time::Span;
use tenure_store::Renewal;
use tenure_store::{Error, SoFar};
use tokio::sync::{Notify, RwLock, watch};

use super::asking::{ASK_AGAIN, Counted, named};
use super::shared::SharedLease;
use super::status::{Keeping, LeaseStatus, LeaseWatch, Loss, held};
use super::{renewal, thread};
use crate::ledger::{Call, Ledger, ToJson, Verb, send};
use crate::stop::StopSignal;

/// A lease with its keeper. If it is dropped before the task is ended, that is logged and the lease lapses.
#[must_use = "a dropped lease is no longer renewed"]
pub struct KeptLease {
    kept: Arc<SharedLease>,
}

impl KeptLease {
    /// Keeps the lease of a task that was granted.
    pub(crate) fn of(
        ledger: &Ledger,
        granted: Task,
        counted: Counted,
        keeping: Keeping,
    ) -> Result<KeptLease, Error> {
        let lease = granted.lease().cloned();
        let nobodys = || Refusal::new(Code::NoLease, format!("nobody holds a lease on {}", granted.id));
        let lease = lease.ok_or_else(nobodys)?;
        let (sent, at) = match counted {
            Counted::From(sent) => (sent, lease.heartbeat_at),
            Counted::At(sent, at) => (sent, at),
        };
        let renewal = Renewal { at, expires_at: lease.expires_at, cancel_asked: granted.cancel.is_some() };
        let held = held(sent, renewal, keeping);
        let stop_signal = StopSignal::new();
        if held.cancel_asked {
            stop_signal.stop();
        }
        let kept = Arc::new(SharedLease {
            ledger: ledger.clone(),
            holder: lease.holder(),
            granted,
            keeping,
            status: watch::Sender::new(LeaseStatus::Held(held)),
            stop_signal,
            renew_now: Notify::new(),
            finished_in_time: AtomicBool::new(false),
            calls: RwLock::new(()),
        });
        thread::spawn(renewal::renew(Arc::clone(&kept), sent))?;
        Ok(KeptLease { kept })
    }

    /// The task as it was when the lease was granted.
    pub fn task(&self) -> &Task {
        &self.kept.granted
    }

    /// The task's id.
    pub fn id(&self) -> &TaskId {
        &self.kept.granted.id
    }

    /// Owner and epoch: what every call by this lease is fenced by.
    pub fn holder(&self) -> &Holder {
        &self.kept.holder
    }

    /// The ledger that it was taken in.
    pub fn ledger(&self) -> &Ledger {
        &self.kept.ledger
    }

    /// Its status, and each change of it.
    pub fn status(&self) -> LeaseWatch {
        self.kept.status.subscribe()
    }

    /// Why it is lost, if it is.
    pub fn loss(&self) -> Option<Loss> {
        match &*self.kept.status.borrow() {
            LeaseStatus::Lost(loss) => Some(loss.clone()),
            LeaseStatus::Held(_) | LeaseStatus::Ended => None,
        }
    }

    /// Resolves when the lease is lost, and never if its holder ends it.
    pub async fn lost(&self) -> Loss {
        let mut status = self.status();
        loop {
            if let Some(loss) = self.loss() {
                return loss;
            }
            if status.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Resolves when a cancel was asked for.
    pub async fn cancel_asked(&self) {
        let mut status = self.status();
        let asked = |status: &LeaseStatus| match status {
            LeaseStatus::Held(held) => held.cancel_asked,
            LeaseStatus::Lost(_) | LeaseStatus::Ended => false,
        };
        if status.wait_for(asked).await.is_err() {
            std::future::pending().await
        }
    }

    /// Fires when the work must stop: a cancel was asked for, or the lease is lost. Pass it down into the
    /// work. After a cancel, end the lease: roll it back to have undone what the task owes, or complete it if the work is
    /// finished after all, which keeps what it did.
    pub fn stop_signal(&self) -> StopSignal {
        self.kept.stop_signal.clone()
    }

    /// Sends a command by this lease: `lease.call(ledger.settle(id, lease.holder(), 1, "done"))`. While the
    /// ledger can't be reached, the command is repeated under one request id until it is answered or the
    /// lease is lost.
    pub async fn call<V: Verb<Done = Task>>(&self, call: Call<V>) -> Result<Task, Error> {
        self.persist(call, None).await
    }

    /// Sends the command that ends this lease. It is retried even after the lease could not be renewed any
    /// more: work that finished in time may still be recorded, and the epoch prevents a late end.
    pub async fn end<V: Verb<Done = Task>>(&self, call: Call<V>) -> Result<Task, Error> {
        self.persist(call, Some(Moment::now() + Span::from(self.kept.keeping.record_timeout))).await
    }

    /// Marks the work as finished while the lease is held. Its end may then be recorded even if the lease
    /// can't be renewed until that is done.
    pub fn work_is_over(&self) {
        if matches!(&*self.kept.status.borrow(), LeaseStatus::Held(_)) {
            self.kept.finished_in_time.store(true, Ordering::Relaxed);
        }
    }

    async fn persist<V: Verb<Done = Task>>(
        &self,
        call: Call<V>,
        until: Option<Moment>,
    ) -> Result<Task, Error> {
        self.refuse_if_over_for(until)?;
        let command = named(&self.kept.ledger, call.command()?)?;
        let is_its_own =
            command.action.task() == Some(self.id()) && command.namespace == self.kept.granted.namespace;
        if !is_its_own {
            let limit =
                format!("this lease is for {}; send commands for other tasks to the ledger", self.id());
            return Err(Refusal::invalid("task", limit).into());
        }
        // Held until the outcome is known: between two tries a renewal may be refused because one of them was
        // done.
        let _on_its_way = self.kept.calls.read().await;
        self.refuse_if_over_for(until)?;
        let (mut tries, mut so_far) = (0, SoFar::Undone);
        loop {
            let answer = tokio::select! {
                answer = send::<Task>(&self.kept.ledger, command.clone()) => answer,
                () = self.is_over(until) => Err(Error::Unknown("the store did not answer in time".into())),
            };
            let error = match answer {
                Ok(task) => {
                    self.notice(&task);
                    return Ok(task);
                }
                Err(Error::Refused(refusal)) => {
                    if renewal::is_loss_for_any_call(refusal.code) {
                        self.kept.lose(Loss::Refused(refusal.clone()));
                    }
                    return Err(refusal.into());
                }
                Err(error @ Error::Corrupt(_)) => return Err(so_far.with(error)),
                Err(error) => so_far.with(error),
            };
            match until {
                Some(until) if Moment::now() >= until => return Err(error),
                Some(_) => {}
                None => self.refuse_if_over().map_err(|refusal| so_far.or(refusal, error))?,
            }
            tries += 1;
            tokio::time::sleep(ASK_AGAIN.after(tries, Jitter::NONE).into()).await;
        }
    }

    /// Resolves when waiting for an answer ends: at that time, or when the lease is lost.
    async fn is_over(&self, until: Option<Moment>) {
        match until {
            Some(until) => until.come().await,
            None => {
                self.lost().await;
            }
        }
    }

    /// The end of work that finished in time is allowed: the epoch prevents a late end.
    fn refuse_if_over_for(&self, until: Option<Moment>) -> Result<(), Error> {
        let was_in_time = until.is_some() && self.kept.finished_in_time.load(Ordering::Relaxed);
        let is_fenced = self.loss() == Some(Loss::Fenced);
        if was_in_time && is_fenced { Ok(()) } else { self.refuse_if_over() }
    }

    /// The local refusal: a lost lease is not used any more, whatever the ledger would say.
    fn refuse_if_over(&self) -> Result<(), Error> {
        match &*self.kept.status.borrow() {
            LeaseStatus::Held(_) => Ok(()),
            LeaseStatus::Lost(loss) => Err(loss.refusal().into()),
            LeaseStatus::Ended => {
                Err(Refusal::new(Code::NoLease, "the holder has already ended this lease").into())
            }
        }
    }

    /// If the task is no longer held under this epoch, the call that returned it ended the lease.
    fn notice(&self, task: &Task) {
        if task.lease().is_none_or(|lease| lease.epoch != self.kept.holder.epoch) {
            self.kept.status.send_replace(LeaseStatus::Ended);
        }
    }

    /// Registers how to undo an effect that the work is about to have. Do it before the effect. The reason says why the effect is
    /// needed, and must not be empty.
    pub async fn undo_with(&self, kind: &str, target: &str, reason: &str) -> Result<Task, Error> {
        let (id, holder) = (self.id().as_str(), self.holder());
        self.call(self.kept.ledger.register(id, holder, kind, target).reason(reason)).await
    }

    /// Reports progress, in JSON. It counts for the policy's `stall_after`.
    pub async fn progress(&self, report: impl ToJson) -> Result<(), Error> {
        self.refuse_if_over()?;
        let call = self.kept.ledger.progress(self.id().as_str(), self.holder()).report(report);
        self.progressed(call.await)
    }

    /// Saves a checkpoint for a successor, in JSON. It counts as progress.
    pub async fn checkpoint(&self, checkpoint: impl ToJson) -> Result<(), Error> {
        self.refuse_if_over()?;
        let call = self.kept.ledger.progress(self.id().as_str(), self.holder()).checkpoint(checkpoint);
        self.progressed(call.await)
    }

    fn progressed(&self, answer: Result<Renewal, Error>) -> Result<(), Error> {
        match answer {
            Ok(renewal) => {
                if renewal.cancel_asked {
                    self.kept.hear_cancel();
                }
                // A lease that stalled may be extended from here on.
                if matches!(&*self.kept.status.borrow(), LeaseStatus::Held(held) if held.renewal_error.is_some())
                {
                    self.kept.renew_now.notify_one();
                }
                Ok(())
            }
            Err(Error::Refused(refusal)) => {
                if renewal::is_loss_for_any_call(refusal.code) {
                    self.kept.lose(Loss::Refused(refusal.clone()));
                }
                Err(refusal.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Completes the task. Refused `lease_lapsed` if the keeper has given the lease up, unless
    /// [`work_is_over`](Self::work_is_over) was called before that.
    pub async fn complete(&self) -> Result<Task, Error> {
        self.end(self.kept.ledger.complete(self.id().as_str(), self.holder())).await
    }

    /// Completes the task with the result of the work, in JSON.
    pub async fn complete_with(&self, result: impl ToJson) -> Result<Task, Error> {
        self.end(self.kept.ledger.complete(self.id().as_str(), self.holder()).result(result)).await
    }

    /// Fails the task, undoing nothing. If no compensation was ever registered, one of kind `none` is
    /// recorded.
    pub async fn fail(&self, reason: &str) -> Result<Task, Error> {
        let call = || self.kept.ledger.fail(self.id().as_str(), self.holder(), reason);
        match self.end(call()).await {
            Err(Error::Refused(refusal)) if refusal.code == Code::CompensationRequired => {
                self.end(call().remains("none", "-")).await
            }
            answer => answer,
        }
    }

    /// Gives the work up: what is owed is undone, and then it is tried again if attempts are left.
    pub async fn roll_back(&self, reason: &str) -> Result<Task, Error> {
        self.end(self.kept.ledger.roll_back(self.id().as_str(), self.holder(), reason)).await
    }

    /// Releases the lease, so that another owner can continue, not before `delay` has passed. The attempt
    /// does not count.
    pub async fn release(&self, reason: &str, delay: Duration) -> Result<Task, Error> {
        let call = self.kept.ledger.release(self.id().as_str(), self.holder(), reason);
        self.end(if delay.is_zero() { call } else { call.delay(delay) }).await
    }

    /// Parks the task for a person.
    pub async fn quarantine(&self, reason: &str) -> Result<Task, Error> {
        self.end(self.kept.ledger.quarantine(self.id().as_str(), self.holder(), reason)).await
    }
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        let was_held = self.kept.status.send_if_modified(|status| {
            let is_held = matches!(status, LeaseStatus::Held(_));
            if is_held {
                *status = LeaseStatus::Ended;
            }
            is_held
        });
        if was_held {
            let (task, holder) = (self.id(), self.holder());
            tracing::warn!(%task, owner = %holder.owner, epoch = %holder.epoch,
                "a lease was dropped before its task was ended; it will lapse");
        }
    }
}

impl fmt::Debug for KeptLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.kept.status.borrow().clone();
        f.debug_struct("KeptLease")
            .field("task", self.id())
            .field("holder", self.holder())
            .field("status", &status)
            .finish()
    }
}
