//! One claimed task: runs its function under the lease, and records the result.

use std::sync::Arc;
use std::time::Duration;

use tenure_store::Error;
use tokio::task::{JoinError, JoinSet};

use super::function::{EndedBy, Functions, Returned, WorkError};
use super::report::JobOutcome;
use crate::failpoints;
use crate::handler::{truncate_for_record, words_of_panic};
use crate::keeper::{KeptLease, LeaseStatus};
use crate::ledger::JsonText;
use crate::stop::StopSignal;

/// How long the worker waits for dropped work to end.
const STOPPING_MAX: Duration = Duration::from_secs(5);

/// How a task ends.
#[derive(Clone, PartialEq, Eq, Debug)]
enum JobEnd {
    Complete(Option<String>),
    RollBack(String),
    Release(String, Duration),
    Fail(String),
    Quarantine(String),
    /// The work has already ended it.
    ByItself,
}

/// How to stop work on a task.
pub(super) struct JobOptions {
    pub(super) grace: Duration,
    pub(super) stop: StopSignal,
}

/// Runs the function for a task, and records the end.
pub(super) async fn work(lease: KeptLease, functions: Functions, options: JobOptions) -> JobOutcome {
    let lease = Arc::new(lease);
    let Some(end) = run(&lease, &functions, &options).await else { return JobOutcome::Lost };
    failpoints::reached("worker/after_work");
    let came = record(&lease, end).await;
    failpoints::reached("worker/after_end");
    came
}

/// Runs the function as long as it may; none if the lease was lost meanwhile.
async fn run(lease: &Arc<KeptLease>, functions: &Functions, options: &JobOptions) -> Option<JobEnd> {
    if options.stop.is_stopped() {
        return Some(released());
    }
    let kind = &lease.task().kind;
    let Some(function) = functions.of(kind) else {
        return Some(JobEnd::Quarantine(format!(
            "no worker of the queue {} does the kind {kind}",
            lease.task().queue
        )));
    };
    failpoints::reached("worker/before_work");
    // Spawned, so that a panic stays there; dropped with this set, it ends.
    let mut running = JoinSet::new();
    running.spawn((function.work)(Arc::clone(lease), options.stop.clone()));
    let ended = |done: Option<Result<Returned, JoinError>>| match done? {
        Ok(returned) => Some(end_by(returned)),
        Err(panic) => {
            let words = format!("the work panicked: {}", words_of_panic(panic));
            Some(JobEnd::RollBack(truncate_for_record(&words)))
        }
    };
    if function.ended_by == EndedBy::Itself {
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
        () = after(options.stop.stopped(), options.grace) => Some(released()),
        () = after(lease.cancel_asked(), options.grace) => Some(JobEnd::RollBack("it was asked to stop".into())),
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

fn released() -> JobEnd {
    JobEnd::Release("the worker was told to stop".into(), Duration::ZERO)
}

async fn record(lease: &KeptLease, end: JobEnd) -> JobOutcome {
    // The function may have ended the task itself.
    if end == JobEnd::ByItself || *lease.status().borrow() == LeaseStatus::Ended {
        return JobOutcome::Completed;
    }
    let (came, recorded) = match &end {
        JobEnd::Complete(None) => (JobOutcome::Completed, lease.complete().await),
        JobEnd::Complete(Some(result)) => {
            (JobOutcome::Completed, lease.complete_with(JsonText(result)).await)
        }
        JobEnd::RollBack(reason) => (JobOutcome::RolledBack, lease.roll_back(reason).await),
        JobEnd::Release(reason, delay) => (JobOutcome::Released, lease.release(reason, *delay).await),
        JobEnd::Fail(reason) => (JobOutcome::Failed, lease.fail(reason).await),
        JobEnd::Quarantine(reason) => (JobOutcome::Quarantined, lease.quarantine(reason).await),
        JobEnd::ByItself => return JobOutcome::Completed,
    };
    let Err(error) = recorded else { return came };
    if lease.loss().is_some() {
        tracing::warn!(task = %lease.id(), %error, "the work ended after its lease was lost; its outcome was not recorded");
        return JobOutcome::Lost;
    }
    tracing::error!(task = %lease.id(), %error, "the outcome of the work could not be recorded");
    // A task that can't be completed can still be rolled back.
    if let Error::Refused(refusal) = error
        && matches!(end, JobEnd::Complete(_) | JobEnd::Fail(_))
        && lease.roll_back(&truncate_for_record(&refusal.to_string())).await.is_ok()
    {
        return JobOutcome::RolledBack;
    }
    JobOutcome::Unrecorded
}

/// How a task ends by what its function returned.
fn end_by(returned: Returned) -> JobEnd {
    match returned {
        Ok(result) => JobEnd::Complete(result),
        Err(WorkError::RollBack(reason)) => JobEnd::RollBack(said(&reason)),
        Err(WorkError::Retry(reason, delay)) => JobEnd::Release(said(&reason), delay),
        Err(WorkError::Fail(reason)) => JobEnd::Fail(said(&reason)),
        Err(WorkError::Quarantine(reason)) => JobEnd::Quarantine(said(&reason)),
        Err(WorkError::Ended) => JobEnd::ByItself,
    }
}

/// A reason that the ledger accepts: it must not be empty.
fn said(reason: &str) -> String {
    let reason = if reason.trim().is_empty() { "no reason was given" } else { reason };
    truncate_for_record(reason)
}
