//! The keeper: renews a lease while work goes on, and reports when the lease is lost.
//!
//! It renews on a thread of its own, so busy or blocking work can't delay it. It counts the deadline from when the
//! last successful renewal was *sent*, on a clock that goes on while the machine sleeps. A missing answer is not yet
//! a loss: the keeper retries until the deadline. After the deadline it fences itself: it tells the holder of the
//! handle, and sends no more commands. It decides nothing about tasks; the ledger checks the epoch of each command.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tenure::Ledger;
//!
//! let ledger = Ledger::open("memory:").await?;
//! ledger.create("build-42").await?;
//! let lease = ledger.acquire("build-42", "w1").keep().await?;
//! lease.undo_with("close-pr", "pr/12", "opened by this run").await?; // before the effect
//! tokio::select! {
//!     loss = lease.lost() => panic!("stop: {loss}"),
//!     () = async { /* the work */ } => { lease.complete(Some(r#"{"pr": 12}"#)).await?; }
//! }
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod grant;
mod renewal;
mod thread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure_core::command::Holder;
use tenure_core::id::TaskId;
use tenure_core::policy::Jitter;
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::Task;
use tenure_core::time::{Span, Time};
use tokio::sync::{Notify, RwLock, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::error::{Error, SoFar};
use crate::ledger::{Call, Ledger, Verb, send};
use crate::process::Limit;
use crate::store::Renewal;

use grant::ASK_AGAIN;
pub(crate) use grant::{Counted, named};

/// How long before the end of a lease a process that works under it is killed; never more than a quarter of the margin.
const ENDING: Duration = Duration::from_millis(250);

/// Options for keeping a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keeping {
    /// How long before its end the keeper gives up a lease that it could not renew; at most a quarter of what
    /// was left at the last renewal. None: a tenth.
    pub margin: Option<Duration>,
    /// How long the keeper tries to record the end of the work while the ledger can't be reached.
    pub record_timeout: Duration,
}

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping { margin: None, record_timeout: Duration::from_secs(300) }
    }
}

impl Keeping {
    fn margin_of(&self, left: Span) -> Span {
        let most = Span::from_micros(left.as_micros() / 4);
        self.margin.map_or(Span::from_micros(left.as_micros() / 10), |margin| Span::from(margin).min(most))
    }
}

/// The status of a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaseStatus {
    /// It is held.
    Held(Held),
    /// It is lost: its holder did not end it.
    Lost(Loss),
    /// Its holder ended or dropped it.
    Ended,
}

/// The status of a lease and its changes, for code that does not hold the lease itself.
pub type LeaseWatch = watch::Receiver<LeaseStatus>;

/// A lease that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// When the keeper gives it up, unless a renewal succeeds before.
    pub fences_at: Moment,
    /// When it ends, counted from when the last successful renewal was sent.
    pub ends_at: Moment,
    /// Its end by the store's clock.
    pub expires_at: Time,
    /// Whether a cancel was asked for.
    pub cancel_asked: bool,
    /// Why the last renewal failed, if it did. The work goes on until the lease is lost.
    pub trouble: Option<RenewalError>,
}

impl Held {
    /// The time limit of a process that works under this lease. Finding and ending all its processes takes a
    /// moment, which must not be taken from the next holder.
    pub fn limit(&self) -> Limit {
        let margin = self.ends_at.since(self.fences_at);
        let moment = Span::from(ENDING).min(Span::from_micros(margin.as_micros() / 4));
        Limit { ask: self.fences_at, kill: self.ends_at.earlier_by(moment) }
    }
}

/// Why a lease that is still held was not renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RenewalError {
    /// The ledger could not be reached, or did not answer.
    Unanswered(String),
    /// The ledger refused to extend it: there was no progress for too long, or its time limit has passed.
    NotExtended(Refusal),
}

impl fmt::Display for RenewalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RenewalError::Unanswered(words) => write!(f, "the lease could not be renewed: {words}"),
            RenewalError::NotExtended(refusal) => write!(f, "the lease is not extended: {refusal}"),
        }
    }
}

/// Why a lease is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The ledger refused a renewal or another call.
    Refused(Refusal),
    /// No renewal succeeded in time, so the holder must treat the lease as lost.
    Fenced,
}

impl Loss {
    /// The refusal for a call that needs the lost lease.
    pub fn refusal(&self) -> Refusal {
        match self {
            Loss::Refused(refusal) => refusal.clone(),
            Loss::Fenced => Refusal::new(Code::LeaseLapsed, Loss::Fenced.to_string()),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Refused(refusal) => write!(f, "the lease is lost: {refusal}"),
            Loss::Fenced => f.write_str("the lease is lost: it could not be renewed before it expired"),
        }
    }
}

/// A lease with its keeper. If it is dropped before the task is ended, that is logged and the lease lapses.
#[must_use = "a dropped lease is no longer renewed"]
pub struct KeptLease {
    kept: Arc<SharedLease>,
}

/// The state shared by the handle and the renewal thread.
struct SharedLease {
    ledger: Ledger,
    granted: Task,
    holder: Holder,
    keeping: Keeping,
    standing: watch::Sender<LeaseStatus>,
    cancellation: CancellationToken,
    renew_now: Notify,
    /// Whether the work was over while the lease was held.
    finished_in_time: AtomicBool,
    /// Each call in progress holds this for reading. A heartbeat that crosses the call which ends the lease
    /// is refused, and must not count as a loss. So a loss is declared only when no call is in progress.
    calls: RwLock<()>,
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
        let cancellation = CancellationToken::new();
        if held.cancel_asked {
            cancellation.cancel();
        }
        let kept = Arc::new(SharedLease {
            ledger: ledger.clone(),
            holder: lease.holder(),
            granted,
            keeping,
            standing: watch::Sender::new(LeaseStatus::Held(held)),
            cancellation,
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
    pub fn standing(&self) -> LeaseWatch {
        self.kept.standing.subscribe()
    }

    /// Why it is lost, if it is.
    pub fn loss(&self) -> Option<Loss> {
        match &*self.kept.standing.borrow() {
            LeaseStatus::Lost(loss) => Some(loss.clone()),
            LeaseStatus::Held(_) | LeaseStatus::Ended => None,
        }
    }

    /// Resolves when the lease is lost, and never if its holder ends it.
    pub async fn lost(&self) -> Loss {
        let mut standing = self.standing();
        loop {
            if let Some(loss) = self.loss() {
                return loss;
            }
            if standing.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Resolves when a cancel was asked for.
    pub async fn cancel_asked(&self) {
        let mut standing = self.standing();
        let asked = |standing: &LeaseStatus| match standing {
            LeaseStatus::Held(held) => held.cancel_asked,
            LeaseStatus::Lost(_) | LeaseStatus::Ended => false,
        };
        if standing.wait_for(asked).await.is_err() {
            std::future::pending().await
        }
    }

    /// Fires when the work must stop: a cancel was asked for, or the lease is lost. Pass it down into the
    /// work.
    pub fn cancellation(&self) -> CancellationToken {
        self.kept.cancellation.clone()
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
        if matches!(&*self.kept.standing.borrow(), LeaseStatus::Held(_)) {
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
                Err(error @ (Error::Unavailable(_) | Error::Unknown(_))) => so_far.with(error),
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
        match &*self.kept.standing.borrow() {
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
            self.kept.standing.send_replace(LeaseStatus::Ended);
        }
    }

    /// Registers how to undo an effect that the work is about to have. Do it before the effect.
    pub async fn undo_with(&self, kind: &str, target: &str, reason: &str) -> Result<Task, Error> {
        let (id, holder) = (self.id().as_str(), self.holder());
        self.call(self.kept.ledger.register(id, holder, kind, target).reason(reason)).await
    }

    /// Reports progress, in JSON. It counts for the policy's `stall_after`.
    pub async fn progress(&self, report: &str) -> Result<(), Error> {
        self.refuse_if_over()?;
        let call = self.kept.ledger.progress(self.id().as_str(), self.holder()).report(report);
        self.progressed(call.await)
    }

    /// Saves a checkpoint for a successor, in JSON. It counts as progress.
    pub async fn checkpoint(&self, checkpoint: &str) -> Result<(), Error> {
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
                if matches!(&*self.kept.standing.borrow(), LeaseStatus::Held(held) if held.trouble.is_some())
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
            Err(error @ (Error::Unavailable(_) | Error::Corrupt(_) | Error::Unknown(_))) => Err(error),
        }
    }

    /// Completes the task.
    pub async fn complete(&self, result: Option<&str>) -> Result<Task, Error> {
        let call = self.kept.ledger.complete(self.id().as_str(), self.holder());
        self.end(match result {
            Some(result) => call.result(result),
            None => call,
        })
        .await
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
        let was_held = self.kept.standing.send_if_modified(|standing| {
            let is_held = matches!(standing, LeaseStatus::Held(_));
            if is_held {
                *standing = LeaseStatus::Ended;
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
        let standing = self.kept.standing.borrow().clone();
        f.debug_struct("KeptLease")
            .field("task", self.id())
            .field("holder", self.holder())
            .field("standing", &standing)
            .finish()
    }
}

impl SharedLease {
    fn lose(&self, loss: Loss) {
        self.standing.send_if_modified(|standing| {
            let is_held = matches!(standing, LeaseStatus::Held(_));
            if is_held {
                *standing = LeaseStatus::Lost(loss);
                // Inside the closure, so that an observer of one change also sees the other.
                self.cancellation.cancel();
            }
            is_held
        });
    }

    fn hear_cancel(&self) {
        self.standing.send_if_modified(|standing| {
            self.cancellation.cancel();
            match standing {
                LeaseStatus::Held(held) => !std::mem::replace(&mut held.cancel_asked, true),
                LeaseStatus::Lost(_) | LeaseStatus::Ended => false,
            }
        });
    }
}

/// The holder's lease after a renewal that was sent at that moment.
fn held(sent: Moment, renewal: Renewal, keeping: Keeping) -> Held {
    let left = renewal.expires_at.since(renewal.at);
    let ends_at = sent + left;
    Held {
        fences_at: ends_at.earlier_by(keeping.margin_of(left)),
        ends_at,
        expires_at: renewal.expires_at,
        cancel_asked: renewal.cancel_asked,
        trouble: None,
    }
}
