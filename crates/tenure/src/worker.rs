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
//! ledger.create("build-42").queue("agents").kind("build").payload(r#"{"repo": "x"}"#).await?;
//! let worker = Worker::new(ledger, "agents").on("build", build)?.at_once(4);
//! let report = worker.run(Stop::WhenIdle).await?;
//! assert_eq!(report.completed, 1);
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod job;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure_core::id::{Kind, Owner};
use tenure_core::refusal::Refusal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::failpoints;
use crate::handler::truncate_for_record;
use crate::keeper::{Keeping, KeptLease};
use crate::ledger::Ledger;
use crate::store::BoxFuture;

use job::{HandlerEnd, JobOptions};

/// How long one claim waits for work before the next one.
const CLAIM_WAIT: Duration = Duration::from_secs(30);
/// The pause after an error of the store.
const TROUBLED_REST: Duration = Duration::from_secs(1);

/// A claimed task, for the function that works on it.
pub struct Job<P> {
    lease: Arc<KeptLease>,
    /// The payload.
    pub payload: P,
}

impl<P> Job<P> {
    /// The lease, to register undos, report progress, and learn that the work must stop.
    pub fn lease(&self) -> &KeptLease {
        &self.lease
    }
}

/// Why a task was not done, which decides how it ends. `?` turns any error into [`WorkError::RollBack`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkError {
    /// What it owes is undone; then the task is tried again if attempts are left.
    RollBack(String),
    /// It is released, to be tried again after the delay. What it owes is undone first. The attempt does not
    /// count, so nothing limits how often this happens.
    Retry(String, Duration),
    /// The task fails, and nothing is undone.
    Fail(String),
    /// The task is parked for a person.
    Quarantine(String),
    /// The work has ended the task itself, by the lease: nothing more is recorded.
    Ended,
}

impl<E: std::error::Error> From<E> for WorkError {
    fn from(error: E) -> WorkError {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words.push_str(": ");
            words.push_str(&cause.to_string());
            source = cause.source();
        }
        WorkError::RollBack(words)
    }
}

/// When a worker stops.
#[derive(Clone, Debug)]
pub enum Stop {
    /// As soon as no task of the queue is due and none is being worked on.
    WhenIdle,
    /// Either of both.
    WhenIdleOrTold(CancellationToken),
    /// When it is told to. It claims no more tasks, gives running work a grace period, and releases the rest.
    WhenTold(CancellationToken),
}

impl Stop {
    /// When the process is told to end, by SIGTERM or SIGINT.
    pub fn on_signals() -> std::io::Result<Stop> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let token = CancellationToken::new();
        let told = token.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            told.cancel();
        });
        Ok(Stop::WhenTold(token))
    }
}

/// The result of a worker's run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WorkerReport {
    /// Tasks that were claimed.
    pub claimed: u64,
    /// Completed, or ended in another way by their function.
    pub completed: u64,
    /// Rolled back.
    pub rolled_back: u64,
    /// Given back.
    pub released: u64,
    /// Failed.
    pub failed: u64,
    /// Parked for a person.
    pub quarantined: u64,
    /// Lost, because another owner took over or the lease could not be renewed.
    pub lost: u64,
    /// Ended, but the end could not be recorded.
    pub unrecorded: u64,
}

type Returned = Result<Option<String>, WorkError>;
type Work = dyn Fn(Arc<KeptLease>, CancellationToken) -> BoxFuture<'static, Returned> + Send + Sync;

/// The function for a kind, and who stops it.
#[derive(Clone)]
struct Doer {
    work: Arc<Work>,
    ended_by: EndedBy,
}

/// Who stops work that must stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EndedBy {
    /// The worker: it drops it.
    Worker,
    /// The work itself: it sees the signal, and returns.
    Itself,
}

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
    by_kind: HashMap<Kind, Doer>,
    otherwise: Option<Doer>,
    on_trouble: Option<Arc<Tell>>,
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
            by_kind: HashMap::new(),
            otherwise: None,
            on_trouble: None,
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
        self.by_kind.insert(Kind::new(kind)?, erased(work));
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
        self.otherwise = Some(erased(work));
        self
    }

    /// Registers work for tasks of all other kinds that must not be dropped, because it has processes to end
    /// first. It watches its lease and the stop signal itself, and returns when all its processes are gone.
    pub fn attended<F, Running>(mut self, work: F) -> Worker
    where
        F: Fn(Arc<KeptLease>, CancellationToken) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<Option<String>, WorkError>> + Send + 'static,
    {
        let work: Arc<Work> = Arc::new(move |lease, stop| Box::pin(work(lease, stop)));
        self.otherwise = Some(Doer { work, ended_by: EndedBy::Itself });
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
    pub fn on_trouble(self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Worker {
        Worker { on_trouble: Some(Arc::new(tell)), ..self }
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
            Stop::WhenIdle => CancellationToken::new(),
            Stop::WhenTold(token) | Stop::WhenIdleOrTold(token) => token.clone(),
        };
        let (mut working, mut report, mut refused) = (JoinSet::new(), WorkerReport::default(), None);
        let mut is_troubled = false;
        while !told.is_cancelled() {
            let free = self.at_once - working.len();
            if free == 0 {
                job::note(&mut report, working.join_next().await);
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
                Err(error @ (Error::Unavailable(_) | Error::Corrupt(_) | Error::Unknown(_))) => {
                    tracing::warn!(%error, queue = self.queue, "the worker can't claim tasks; it tries again");
                    if let Some(tell) = self.on_trouble.as_ref().filter(|_| !is_troubled) {
                        tell(&error);
                    }
                    is_troubled = true;
                    tokio::select! {
                        () = told.cancelled() => {}
                        () = tokio::time::sleep(TROUBLED_REST) => {}
                    }
                    continue;
                }
            };
            failpoints::reached("worker/after_claim");
            is_troubled = false;
            let found_none = leases.is_empty();
            for lease in leases {
                report.claimed += 1;
                let manners = JobOptions { grace: self.grace, stop: told.clone() };
                working.spawn(job::work(lease, self.clone(), manners));
            }
            while let Some(done) = working.try_join_next() {
                job::note(&mut report, Some(done));
            }
            if found_none && !matches!(stop, Stop::WhenTold(_)) {
                if working.is_empty() {
                    break;
                }
                job::note(&mut report, working.join_next().await);
            }
        }
        while let Some(done) = working.join_next().await {
            job::note(&mut report, Some(done));
        }
        refused.map_or(Ok(report), Err)
    }

    /// When a claim that found nothing stops waiting.
    async fn over(&self, stop: &Stop, told: &CancellationToken) {
        match stop {
            Stop::WhenIdle | Stop::WhenIdleOrTold(_) => {}
            Stop::WhenTold(_) => tokio::select! {
                () = told.cancelled() => {}
                () = tokio::time::sleep(CLAIM_WAIT) => {}
            },
        }
    }

    fn doer_of(&self, kind: &Kind) -> Option<&Doer> {
        self.by_kind.get(kind).or(self.otherwise.as_ref())
    }
}

/// A function that learns why claims fail.
type Tell = dyn Fn(&Error) + Send + Sync;

/// The function without its types: payload and result are JSON.
fn erased<P, R, F, Running>(work: F) -> Doer
where
    P: DeserializeOwned + Send + 'static,
    R: Serialize,
    F: Fn(Job<P>) -> Running + Send + Sync + 'static,
    Running: Future<Output = Result<R, WorkError>> + Send + 'static,
{
    let work = Arc::new(work);
    let erased: Arc<Work> = Arc::new(move |lease: Arc<KeptLease>, _| {
        let work = Arc::clone(&work);
        // All of it is inside the future, so that a panic of the caller's code stays in it.
        Box::pin(async move {
            let payload = serde_json::from_str(lease.task().payload.as_str()).map_err(|error| {
                WorkError::Quarantine(format!("its payload is not what is expected here: {error}"))
            })?;
            let result = work(Job { lease, payload }).await?;
            let result = serde_json::to_string(&result)
                .map_err(|error| WorkError::Quarantine(format!("its result is no JSON: {error}")))?;
            Ok(Some(result).filter(|result| result != "null"))
        })
    });
    Doer { work: erased, ended_by: EndedBy::Worker }
}

/// How a task ends by what its function returned.
fn end_by(returned: Result<Option<String>, WorkError>) -> HandlerEnd {
    match returned {
        Ok(result) => HandlerEnd::Complete(result),
        Err(WorkError::RollBack(reason)) => HandlerEnd::RollBack(said(&reason)),
        Err(WorkError::Retry(reason, delay)) => HandlerEnd::Release(said(&reason), delay),
        Err(WorkError::Fail(reason)) => HandlerEnd::Fail(said(&reason)),
        Err(WorkError::Quarantine(reason)) => HandlerEnd::Quarantine(said(&reason)),
        Err(WorkError::Ended) => HandlerEnd::ByItself,
    }
}

/// A reason that the ledger accepts: it must not be empty.
fn said(reason: &str) -> String {
    let reason = if reason.trim().is_empty() { "no reason was given" } else { reason };
    truncate_for_record(reason)
}
