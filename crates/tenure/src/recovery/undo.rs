//! Undoes one task under the lease of its reclaim: newest compensation first, and each receipt is stored before the
//! next one begins.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tenure_api::recovery::{Outcome, RecoveredTask, UndoReceipt};
use tenure_clock::Moment;
use tenure_core::command::QuarantineCause;
use tenure_core::compensation::Compensation;
use tenure_core::id::{Epoch, Seq};
use tenure_core::refusal::Code;
use tenure_core::task::{State, Task};
use tenure_core::time::Span;
use tenure_store::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::assess::{parking, unfit};
use super::options::RecoveryMode;
use super::setup::Setup;
use crate::failpoints;
use crate::handler::{Registered, RetryPolicy, UndoCall, UndoError, truncate_for_record, words_of_panic};
use crate::keeper::{Counted, Keeping, KeptLease, LeaseStatus};

/// Undoes what a reclaimed task owes, as far as that is possible now.
pub(super) async fn undo(setup: Setup, task: Task, reclaimed: Moment, mode: RecoveryMode) -> RecoveredTask {
    let (namespace, id) = (task.namespace.clone(), task.id.clone());
    // The epoch of recovery's own lease is at least one higher.
    let epoch = Epoch(task.epoch.0.saturating_sub(1));
    let told = |outcome, reason| RecoveredTask {
        namespace: namespace.clone(),
        task: id.clone(),
        epoch,
        outcome,
        undone: Vec::new(),
        reason,
    };
    let ledger = match setup.ledger.in_namespace(namespace.as_str()) {
        Ok(ledger) => ledger,
        Err(error) => return told(Outcome::Failed, Some(error.to_string())),
    };
    // After its lease is over another process continues, so retrying the report for longer is useless.
    let keeping = Keeping { record_timeout: setup.options.ttl, ..Keeping::default() };
    let lease = match KeptLease::of(&ledger, task.clone(), Counted::From(reclaimed), keeping) {
        Ok(lease) => lease,
        Err(error) => return told(Outcome::Failed, Some(error.to_string())),
    };
    failpoints::reached("recovery/after_reclaim");
    let metrics = Arc::clone(&setup.metrics);
    let _is_undoing = metrics.undoing();
    let mut undoing =
        Undoing { setup: &setup, lease: &lease, mode, undone: Vec::new(), failed: BTreeMap::new() };
    let (outcome, reason) = match undoing.all(task).await {
        Ok(end) => end,
        // A lost lease is an outcome; any other refusal is a failure of this recovery, for the next one to
        // fix.
        Err(Error::Refused(refusal)) => (Outcome::Lost, Some(refusal.to_string())),
        Err(error) => (Outcome::Failed, Some(error.to_string())),
    };
    RecoveredTask { undone: undoing.undone, ..told(outcome, reason) }
}

/// The reason for handing a task back in the middle.
const STOPPED: &str = "recovery was told to stop";

/// How long a stopped undo is waited for. One that blocks its thread can't be stopped at all.
const STOPPING_MAX: Duration = Duration::from_secs(5);

type End = (Outcome, Option<String>);

/// The result of one try.
enum Tried {
    Done(String),
    Failed(UndoError),
    Lost,
    Stopped,
    /// It was told to stop for this reason, but does not.
    Stuck(Box<Tried>),
}

struct Undoing<'r> {
    setup: &'r Setup,
    lease: &'r KeptLease,
    mode: RecoveryMode,
    undone: Vec<UndoReceipt>,
    /// How many tries of each compensation have failed under this lease.
    failed: BTreeMap<Seq, u32>,
}

impl Undoing<'_> {
    /// Continues until nothing is owed any more, or it can't continue.
    async fn all(&mut self, mut task: Task) -> Result<End, Error> {
        let labels = task.labels.clone();
        loop {
            // Labels may be changed at any time, unlike the payload. Handlers and the check of what can't be undone see those that
            // recovery took the task over with: otherwise a change between two undos could stop it in the middle.
            task.labels.clone_from(&labels);
            if task.state() != State::Compensating {
                return Ok((end_of(&task), None));
            }
            // If a task can't be undone completely, nothing is undone. So everything owed is checked before
            // each step.
            let unfit = unfit(&task, &self.setup.handlers);
            if !unfit.is_empty() {
                let (parking, words) = parking(&unfit);
                return self.park(parking, words).await;
            }
            let Some(owed) = task.owed().next().cloned() else {
                return Ok((Outcome::Failed, Some("the task is compensating, but owes nothing".into())));
            };
            if self.is_told_to_stop() {
                return self.hand_back(STOPPED, Duration::ZERO).await;
            }
            let Some(registered) = self.setup.handlers.of(&owed.undo.kind).cloned() else { continue };
            task = match self.once(&task, &owed, &registered).await {
                Tried::Done(receipt) => self.settle(&owed, &receipt).await?,
                Tried::Failed(error) => match self.failed(&owed, &registered.retries, error).await? {
                    Ok(task) => task,
                    Err(end) => return Ok(end),
                },
                Tried::Lost => return Ok((Outcome::Lost, self.lease.loss().map(|loss| loss.to_string()))),
                Tried::Stopped => return self.hand_back(STOPPED, Duration::ZERO).await,
                Tried::Stuck(tried) => return Ok(self.stuck(&owed, *tried).await),
            };
        }
    }

    /// Runs the handler once, for as long as it may.
    async fn once(&self, task: &Task, owed: &Compensation, registered: &Registered) -> Tried {
        if task.lease().is_none() {
            return Tried::Lost;
        }
        let call = UndoCall::of(task, owed);
        failpoints::reached("recovery/before_undo");
        // What the handler sees of the lease; it is over for it also when its time is.
        let mut status = self.lease.status();
        let (allow, allowed) = watch::channel(status.borrow_and_update().clone());
        // Spawned, so that a panic stays there; dropped with this set, it ends.
        let mut running = JoinSet::new();
        let handler = Arc::clone(&registered.handler);
        running.spawn(async move { handler.undo(call, allowed).await });
        let timeout = registered.retries.timeout;
        let mut time_is_up = std::pin::pin!(tokio::time::sleep(timeout));
        let mut told_to_stop = std::pin::pin!(self.told_to_stop());
        let tried = loop {
            tokio::select! {
                biased;
                done = running.join_next() => return match done {
                    Some(Ok(Ok(receipt))) => Tried::Done(receipt),
                    Some(Ok(Err(error))) => Tried::Failed(error),
                    Some(Err(error)) => {
                        let words = format!("the handler panicked: {}", words_of_panic(error));
                        Tried::Failed(UndoError::Retryable(words))
                    }
                    None => Tried::Lost,
                },
                Ok(()) = status.changed() => {
                    let now = status.borrow_and_update().clone();
                    let is_held = matches!(now, LeaseStatus::Held(_));
                    allow.send_replace(now);
                    if !is_held {
                        break Tried::Lost;
                    }
                }
                () = &mut told_to_stop => break Tried::Stopped,
                () = &mut time_is_up => {
                    let words = format!("it took longer than {timeout:?} and was stopped");
                    break Tried::Failed(UndoError::Retryable(words));
                }
            }
        };
        allow.send_replace(LeaseStatus::Ended);
        // Nobody may begin the same undo before this one has ended.
        match tokio::time::timeout(STOPPING_MAX, running.join_next()).await {
            Ok(_) => tried,
            Err(_) => Tried::Stuck(Box::new(tried)),
        }
    }

    /// Leaves a task whose undo does not stop. The try is counted. The lease is neither released nor renewed,
    /// so that the next recovery does not begin before it has lapsed.
    async fn stuck(&self, owed: &Compensation, tried: Tried) -> End {
        if let Tried::Failed(error) = tried {
            self.setup.metrics.failed_to_undo(&owed.undo.kind);
            let (id, holder) = (self.lease.id().as_str(), self.lease.holder());
            let words = truncate_for_record(&error.to_string());
            // If this can't be recorded, the next recovery tries once more than it should.
            let _ = self.lease.call(self.lease.ledger().tried(id, holder, owed.seq.0, &words)).await;
        }
        (Outcome::Failed, Some("its undo does not stop; recovery lets the lease lapse".into()))
    }

    fn is_told_to_stop(&self) -> bool {
        self.mode.stop().is_stopped()
    }

    /// Resolves when the running undo must end, after recovery was told to stop.
    async fn told_to_stop(&self) {
        self.mode.stop().stopped().await;
        tokio::time::sleep(self.setup.options.grace).await;
    }

    /// Stores the receipt. If the compensation was settled or waived meanwhile, the task stays as it is.
    async fn settle(&mut self, owed: &Compensation, receipt: &str) -> Result<Task, Error> {
        failpoints::reached("recovery/after_undo");
        let receipt = truncate_for_record(receipt);
        let (id, holder) = (self.lease.id().as_str(), self.lease.holder());
        let settled = self.lease.call(self.lease.ledger().settle(id, holder, owed.seq.0, &receipt)).await;
        failpoints::reached("recovery/after_settle");
        match settled {
            Ok(task) => {
                self.setup.metrics.undid(&owed.undo.kind);
                self.undone.push(UndoReceipt {
                    seq: owed.seq.0,
                    kind: owed.undo.kind.to_string(),
                    target: owed.undo.target.to_string(),
                    receipt,
                });
                Ok(task)
            }
            Err(Error::Refused(refusal)) if refusal.code == Code::CompensationSettled => {
                self.lease.ledger().task(id).await
            }
            Err(error) => Err(error),
        }
    }

    /// Stores the error. Then it waits, hands back, or lets the next step park the task.
    async fn failed(
        &mut self,
        owed: &Compensation,
        retries: &RetryPolicy,
        error: UndoError,
    ) -> Result<Result<Task, End>, Error> {
        self.setup.metrics.failed_to_undo(&owed.undo.kind);
        failpoints::reached("recovery/after_failed_undo");
        let ledger = self.lease.ledger();
        let (id, holder) = (self.lease.id().as_str(), self.lease.holder());
        let words = truncate_for_record(&error.to_string());
        let tried = self.lease.call(ledger.tried(id, holder, owed.seq.0, &words)).await;
        failpoints::reached("recovery/after_tried");
        let task = match tried {
            Err(Error::Refused(refusal)) if refusal.code == Code::CompensationSettled => {
                return Ok(Ok(ledger.task(id).await?));
            }
            answer => answer?,
        };
        if let UndoError::Permanent(words) = error {
            let kind = &owed.undo.kind;
            let words = format!("can't undo {kind}: {kind} (number {}) will not work: {words}", owed.seq);
            return Ok(Err(self.park(QuarantineCause::UndoFailed, words).await?));
        }
        let tries = task.compensation(owed.seq).map_or(owed.tries.saturating_add(1), |one| one.tries);
        if tries >= retries.tries {
            return Ok(Ok(task));
        }
        let wait = retries.wait_after(tries);
        let failed = self.failed.entry(owed.seq).or_default();
        *failed += 1;
        let failed = *failed;
        let tries_now = self.setup.options.tries_now.map_or(u32::MAX, NonZeroU32::get);
        match &self.mode {
            RecoveryMode::Once(_) if failed >= tries_now => {
                let words = format!("{} failed: {error}", owed.undo.kind);
                let (outcome, _) = self.hand_back(&words, wait).await?;
                let tries = if failed == 1 { "1 try".to_owned() } else { format!("{failed} tries") };
                let due = Span::from(wait);
                let reason = format!("handed back after {tries}, due again in {due}: {words}");
                Ok(Err((outcome, Some(reason))))
            }
            RecoveryMode::Loop(_) => {
                let words = format!("{} failed: {error}", owed.undo.kind);
                Ok(Err(self.hand_back(&words, wait).await?))
            }
            RecoveryMode::Once(stop) => {
                // When told to stop, it hands back at once; another process makes the next try.
                tokio::select! {
                    loss = self.lease.lost() => return Ok(Err((Outcome::Lost, Some(loss.to_string())))),
                    () = tokio::time::sleep(wait) => {}
                    () = stop.stopped() => {
                        let words = format!("{} failed: {error}", owed.undo.kind);
                        return Ok(Err(self.hand_back(&words, wait).await?));
                    }
                }
                Ok(Ok(task))
            }
        }
    }

    /// Parks the task for a person.
    async fn park(&self, parking: QuarantineCause, words: String) -> Result<End, Error> {
        failpoints::reached("recovery/before_park");
        let (id, holder) = (self.lease.id().as_str(), self.lease.holder());
        let parked =
            self.lease.ledger().quarantine(id, holder, &truncate_for_record(&words)).parking(parking);
        self.lease.end(parked).await?;
        Ok((Outcome::Quarantined, Some(words)))
    }

    /// Releases the lease, so that another process can continue after that time.
    async fn hand_back(&self, words: &str, wait: Duration) -> Result<End, Error> {
        failpoints::reached("recovery/before_hand_back");
        self.lease.release(&truncate_for_record(words), wait).await?;
        Ok((Outcome::HandedBack, Some(words.to_owned())))
    }
}

/// The outcome of a task that is no longer compensating.
pub(super) fn end_of(task: &Task) -> Outcome {
    match task.state() {
        State::Planned => Outcome::Planned,
        State::Compensated => Outcome::Compensated,
        State::Quarantined => Outcome::Quarantined,
        State::Compensating => Outcome::HandedBack,
        State::Dispatched | State::Running | State::Completed | State::Failed => Outcome::Lost,
    }
}
