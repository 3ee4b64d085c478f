//! A worker: claims the tasks of a queue, several at once, and runs a function for each under a lease that a keeper
//! renews.
//!
//! The function's result decides how the task ends: `Ok` completes it, an error rolls it back unless it is of another
//! kind ([`WorkError`]), and a panic counts as an error. If the lease is lost, the function is dropped. A worker
//! starts no process; `tenure worker` does that.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//! use tenure::Ledger;
//! use tenure::worker::{Job, Stop, WorkError, Worker};
//!
//! #[derive(Deserialize)]
//! struct Build { repo: String }
//! #[derive(Serialize)]
//! struct Built { pr: u32 }
//!
//! async fn build(job: Job<Build>) -> Result<Built, WorkError> {
//!     job.lease().undo_with("close-pr", &job.payload.repo, "opened by this build").await?;
//!     Ok(Built { pr: 12 })
//! }
//!
//! let ledger = Ledger::open("memory:").await?;
//! ledger.create("build-42").queue("agents").kind("build").payload(json!({"repo": "x"})).await?;
//! let worker = Worker::new(ledger, "agents").on("build", build)?.at_once(4);
//! let report = worker.run(Stop::WhenIdle).await?;
//! assert_eq!(report.completed, 1);
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod function;
mod job;
mod report;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure_core::id::{Document, Kind, Owner};
use tenure_core::refusal::Refusal;
use tenure_store::Error;
#[cfg(feature = "signals")]
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};

use crate::failpoints;
use crate::keeper::{Keeping, KeptLease};
use crate::ledger::Ledger;
use crate::stop::StopSignal;

pub use function::{Job, WorkError};
pub use report::WorkerReport;

use function::{EndedBy, Function, Functions, Work, erased};
use job::{JobOptions, work};
use report::JobOutcome;

/// How long one claim waits for work before the next one.
const CLAIM_WAIT: Duration = Duration::from_secs(30);
/// The pause after an error of the store.
const FAILED_CLAIM_REST: Duration = Duration::from_secs(1);

/// When a worker stops.
#[derive(Clone, Debug)]
pub enum Stop {
    /// As soon as no task of the queue is due and none is being worked on. A task that waits for its backoff, or for recovery to
    /// undo what it owes, is not due.
    WhenIdle,
    /// Either of both.
    WhenIdleOrTold(StopSignal),
    /// When it is told to. It claims no more tasks, gives running work a grace period, and releases the rest.
    WhenTold(StopSignal),
}

#[cfg(feature = "signals")]
impl Stop {
    /// When the process is told to end, by SIGTERM or SIGINT.
    pub fn on_signals() -> std::io::Result<Stop> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let token = StopSignal::new();
        let told = token.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            told.stop();
        });
        Ok(Stop::WhenTold(token))
    }
}

/// A function that learns why claims fail.
type Tell = dyn Fn(&Error) + Send + Sync;

/// A worker for one queue.
#[derive(Clone)]
pub struct Worker {
    ledger: Ledger,
    queue: String,
    owner: Option<Owner>,
    ttl: Option<Duration>,
    at_once: usize,
    keeping: Keeping,
    grace: Duration,
    functions: Functions,
    on_claim_error: Option<Arc<Tell>>,
}

impl Worker {
    /// A worker for that queue, without functions yet.
    pub fn new(ledger: Ledger, queue: &str) -> Worker {
        Worker {
            ledger,
            queue: queue.to_owned(),
            owner: None,
            ttl: None,
            at_once: 1,
            keeping: Keeping::default(),
            grace: Duration::from_secs(30),
            functions: Functions::default(),
            on_claim_error: None,
        }
    }

    /// Registers a function for tasks of that kind.
    pub fn on<P, R, F, Running>(mut self, kind: &str, work: F) -> Result<Worker, Refusal>
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(Job<P>) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<R, WorkError>> + Send + 'static,
    {
        self.functions.by_kind.insert(Kind::new(kind)?, erased(work));
        Ok(self)
    }

    /// Registers a function for tasks of all other kinds. Without it, these tasks are parked for a person.
    pub fn otherwise<P, R, F, Running>(mut self, work: F) -> Worker
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(Job<P>) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<R, WorkError>> + Send + 'static,
    {
        self.functions.otherwise = Some(erased(work));
        self
    }

    /// Registers work for tasks of all other kinds that must not be dropped, because it has processes to end
    /// first. It watches its lease and the stop signal itself, and returns when all its processes are gone.
    pub fn attended<F, Running>(mut self, work: F) -> Worker
    where
        F: Fn(Arc<KeptLease>, StopSignal) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<Option<Document>, WorkError>> + Send + 'static,
    {
        let work: Arc<Work> = Arc::new(move |lease, stop| {
            let running = work(lease, stop);
            Box::pin(async move { Ok(running.await?.map(|result| result.as_str().to_owned())) })
        });
        self.functions.otherwise = Some(Function { work, ended_by: EndedBy::Itself });
        self
    }

    /// The owner of its leases. Default: a name made of the machine and the process.
    pub fn owner(mut self, owner: &str) -> Result<Worker, Refusal> {
        self.owner = Some(Owner::new(owner)?);
        Ok(self)
    }

    /// How long its leases last between renewals. Default: each task's policy.
    pub fn ttl(self, ttl: Duration) -> Worker {
        Worker { ttl: Some(ttl), ..self }
    }

    /// How many tasks it works on at once.
    pub fn at_once(self, at_once: usize) -> Worker {
        Worker { at_once: at_once.max(1), ..self }
    }

    /// Sets a function that is called when claims fail because the store is unavailable: once, until a claim
    /// succeeds again.
    pub fn on_claim_error(self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Worker {
        Worker { on_claim_error: Some(Arc::new(tell)), ..self }
    }

    /// Sets the options for keeping its leases.
    pub fn keeping(self, keeping: Keeping) -> Worker {
        Worker { keeping, ..self }
    }

    /// How long running work may continue after the worker is told to stop, or its task is cancelled.
    pub fn grace(self, grace: Duration) -> Worker {
        Worker { grace, ..self }
    }

    /// Runs until it must stop.
    pub async fn run(&self, stop: Stop) -> Result<WorkerReport, Error> {
        let owner = self.owner.as_ref().map_or_else(crate::owner::of_this_process, ToString::to_string);
        let told = match &stop {
            Stop::WhenIdle => StopSignal::new(),
            Stop::WhenTold(token) | Stop::WhenIdleOrTold(token) => token.clone(),
        };
        let (mut working, mut report, mut refused) = (JoinSet::new(), WorkerReport::default(), None);
        let mut is_failing = false;
        while !told.is_stopped() {
            let free = self.at_once - working.len();
            if free == 0 {
                count(&mut report, working.join_next().await);
                continue;
            }
            let claim = self.ledger.claim(&self.queue, &owner).limit(u32::try_from(free).unwrap_or(u32::MAX));
            let claim = if let Some(ttl) = self.ttl { claim.ttl(ttl) } else { claim };
            let leases = match claim.keep_until(self.over(&stop, &told), self.keeping).await {
                Ok(leases) => leases,
                // Running work is still awaited.
                Err(error @ Error::Refused(_)) => {
                    refused = Some(error);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, queue = self.queue, "the worker can't claim tasks; it tries again");
                    if let Some(tell) = self.on_claim_error.as_ref().filter(|_| !is_failing) {
                        tell(&error);
                    }
                    is_failing = true;
                    tokio::select! {
                        () = told.stopped() => {}
                        () = tokio::time::sleep(FAILED_CLAIM_REST) => {}
                    }
                    continue;
                }
            };
            failpoints::reached("worker/after_claim");
            is_failing = false;
            let found_none = leases.is_empty();
            for lease in leases {
                report.claimed += 1;
                let options = JobOptions { grace: self.grace, stop: told.clone() };
                working.spawn(work(lease, self.functions.clone(), options));
            }
            while let Some(done) = working.try_join_next() {
                count(&mut report, Some(done));
            }
            if found_none && !matches!(stop, Stop::WhenTold(_)) {
                if working.is_empty() {
                    break;
                }
                count(&mut report, working.join_next().await);
            }
        }
        while let Some(done) = working.join_next().await {
            count(&mut report, Some(done));
        }
        refused.map_or(Ok(report), Err)
    }

    /// When a claim that found nothing stops waiting.
    async fn over(&self, stop: &Stop, told: &StopSignal) {
        match stop {
            Stop::WhenIdle | Stop::WhenIdleOrTold(_) => {}
            Stop::WhenTold(_) => tokio::select! {
                () = told.stopped() => {}
                () = tokio::time::sleep(CLAIM_WAIT) => {}
            },
        }
    }
}

/// Counts a task whose work has ended. A panic outside the caller's code leaves its outcome unrecorded.
fn count(report: &mut WorkerReport, done: Option<Result<JobOutcome, JoinError>>) {
    if let Some(done) = done {
        report.count(done.unwrap_or(JobOutcome::Unrecorded));
    }
}
