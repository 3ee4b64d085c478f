//! One claimed task: runs its function under the lease, and records the result.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{EndedBy, Returned, Worker, WorkerReport, end_by};
use crate::error::Error;
use crate::failpoints;
use crate::handler::truncate_for_record;
use crate::keeper::{KeptLease, LeaseStatus};

/// How long the worker waits for dropped work to end.
const STOPPING_MAX: Duration = Duration::from_secs(5);

/// How a task ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HandlerEnd {
    Complete(Option<String>),
    RollBack(String),
    Release(String, Duration),
    Fail(String),
    Quarantine(String),
    /// The work has already ended it.
    ByItself,
}

/// The outcome of a claimed task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JobOutcome {
    Completed,
    RolledBack,
    Released,
    Failed,
    Quarantined,
    Lost,
    Unrecorded,
}

/// How to stop work on a task.
pub(super) struct JobOptions {
    pub(super) grace: Duration,
    pub(super) stop: CancellationToken,
}

/// Runs the function for a task, and records the end.
pub(super) async fn work(lease: KeptLease, worker: Worker, manners: JobOptions) -> JobOutcome {
    let lease = Arc::new(lease);
    let Some(end) = run(&lease, &worker, &manners).await else { return JobOutcome::Lost };
    failpoints::reached("worker/after_work");
    let came = record(&lease, end).await;
    failpoints::reached("worker/after_end");
    came
}

/// Runs the function as long as it may; none if the lease was lost meanwhile.
async fn run(lease: &Arc<KeptLease>, worker: &Worker, manners: &JobOptions) -> Option<HandlerEnd> {
    if manners.stop.is_cancelled() {
        return Some(released());
    }
    let kind = &lease.task().kind;
    let Some(doer) = worker.doer_of(kind) else {
        return Some(HandlerEnd::Quarantine(format!(
            "no worker of the queue {} does the kind {kind}",
            worker.queue
        )));
    };
    failpoints::reached("worker/before_work");
    // Spawned, so that a panic stays there; dropped with this set, it ends.
    let mut running = JoinSet::new();
    running.spawn((doer.work)(Arc::clone(lease), manners.stop.clone()));
    let ended = |done: Option<Result<Returned, JoinError>>| match done? {
        Ok(returned) => Some(end_by(returned)),
        Err(panic) => Some(HandlerEnd::RollBack(truncate_for_record(&format!("the work panicked: {panic}")))),
    };
    if doer.ended_by == EndedBy::Itself {
        // The lease knows whether it was in time: it refuses a late end.
        return ended(running.join_next().await);
    }
    let end = tokio::select! {
        biased;
        done = running.join_next() => return ended(done),
        loss = lease.lost() => {
            tracing::warn!(task = %lease.id(), %loss, "the lease is lost; the work is stopped");
            None
        }
        () = after(manners.stop.cancelled(), manners.grace) => Some(released()),
        () = after(lease.cancel_asked(), manners.grace) => Some(HandlerEnd::RollBack("it was asked to stop".into())),
    };
    // A dropped future ends at its next await. Nobody may begin the task before that, so its end is not
    // recorded before.
    match tokio::time::timeout(STOPPING_MAX, running.shutdown()).await {
        Ok(()) => end,
        Err(_) => {
            tracing::error!(task = %lease.id(), "the work does not stop; the worker lets its lease lapse");
            None
        }
    }
}

/// Resolves this long after `first` has.
async fn after(first: impl Future<Output = ()>, grace: Duration) {
    first.await;
    tokio::time::sleep(grace).await;
}

fn released() -> HandlerEnd {
    HandlerEnd::Release("the worker was told to stop".into(), Duration::ZERO)
}

async fn record(lease: &KeptLease, end: HandlerEnd) -> JobOutcome {
    // The function may have ended the task itself.
    if end == HandlerEnd::ByItself || *lease.standing().borrow() == LeaseStatus::Ended {
        return JobOutcome::Completed;
    }
    let (came, recorded) = match &end {
        HandlerEnd::Complete(result) => (JobOutcome::Completed, lease.complete(result.as_deref()).await),
        HandlerEnd::RollBack(reason) => (JobOutcome::RolledBack, lease.roll_back(reason).await),
        HandlerEnd::Release(reason, delay) => (JobOutcome::Released, lease.release(reason, *delay).await),
        HandlerEnd::Fail(reason) => (JobOutcome::Failed, lease.fail(reason).await),
        HandlerEnd::Quarantine(reason) => (JobOutcome::Quarantined, lease.quarantine(reason).await),
        HandlerEnd::ByItself => return JobOutcome::Completed,
    };
    let Err(error) = recorded else { return came };
    if lease.loss().is_some() {
        tracing::warn!(task = %lease.id(), %error, "the work ended after its lease was lost; its outcome was not recorded");
        return JobOutcome::Lost;
    }
    tracing::error!(task = %lease.id(), %error, "the outcome of the work could not be recorded");
    match error {
        // A task that can't be completed can still be rolled back.
        Error::Refused(refusal) if matches!(end, HandlerEnd::Complete(_) | HandlerEnd::Fail(_)) => {
            match lease.roll_back(&truncate_for_record(&refusal.to_string())).await {
                Ok(_) => JobOutcome::RolledBack,
                Err(_) => JobOutcome::Unrecorded,
            }
        }
        Error::Refused(_) | Error::Unavailable(_) | Error::Corrupt(_) | Error::Unknown(_) => {
            JobOutcome::Unrecorded
        }
    }
}

/// Counts the outcome of a task.
pub(super) fn note(report: &mut WorkerReport, done: Option<Result<JobOutcome, JoinError>>) {
    let counter = match done {
        None => return,
        Some(Ok(JobOutcome::Completed)) => &mut report.completed,
        Some(Ok(JobOutcome::RolledBack)) => &mut report.rolled_back,
        Some(Ok(JobOutcome::Released)) => &mut report.released,
        Some(Ok(JobOutcome::Failed)) => &mut report.failed,
        Some(Ok(JobOutcome::Quarantined)) => &mut report.quarantined,
        Some(Ok(JobOutcome::Lost)) => &mut report.lost,
        Some(Ok(JobOutcome::Unrecorded) | Err(_)) => &mut report.unrecorded,
    };
    *counter += 1;
}
