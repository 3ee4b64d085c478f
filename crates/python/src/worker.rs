//! The worker of the library, whose functions are run by Python.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tenure::core::id::Document;
use tenure::json;
use tenure::keeper::KeptLease;
use tenure::stop::StopSignal;
use tenure::worker::{Stop, WorkError, Worker as TenureWorker, WorkerReport};
use tokio::sync::{mpsc, oneshot};

use crate::errors;
use crate::fork::ForkSafe;
use crate::jobs::{JobQueue, LoopResult};
use crate::lease::{Lease, keeping};
use crate::ledger::Ledger;
use crate::port::Port;
use crate::runtime::runtime;
use crate::wait::{run, seconds};

type Counts = HashMap<&'static str, u64>;
type Returned = Result<Option<Document>, WorkError>;

/// A worker that hands each claimed task to Python.
#[pyclass(frozen)]
pub(crate) struct Worker(ForkSafe<Running>);

struct Running {
    stop: StopSignal,
    jobs: JobQueue<Claimed>,
    result: LoopResult<Counts>,
}

/// A claimed task, and where Python says how it ended.
struct Claimed {
    lease: Arc<KeptLease>,
    stop: StopSignal,
    done: oneshot::Sender<Returned>,
}

/// A claimed task, for the code that works on it.
#[pyclass(frozen)]
pub(crate) struct Job(ForkSafe<Given>);

struct Given {
    lease: Arc<KeptLease>,
    stop: StopSignal,
    done: Mutex<Option<oneshot::Sender<Returned>>>,
}

#[pymethods]
impl Worker {
    /// Starts a worker. It runs until it is told to stop, or, if `when_idle`, until no task is due.
    #[new]
    #[pyo3(signature = (ledger, queue, *, owner, ttl, at_once, grace, margin, record_timeout, when_idle))]
    #[expect(clippy::too_many_arguments, reason = "each has its name in Python")]
    fn new(
        py: Python<'_>,
        ledger: &Ledger,
        queue: &str,
        owner: Option<&str>,
        ttl: Option<f64>,
        at_once: usize,
        grace: f64,
        margin: Option<f64>,
        record_timeout: Option<f64>,
        when_idle: bool,
    ) -> PyResult<Worker> {
        let (runtime, ledger) = (runtime()?, ledger.open_one()?);
        let (jobs, waiting) = JobQueue::new();
        let mut worker = TenureWorker::new(ledger, queue)
            .at_once(at_once)
            .grace(seconds(Some(grace)).unwrap_or_default())
            .keeping(keeping(margin, record_timeout))
            .attended(move |lease, stop| hand_over(jobs.clone(), lease, stop));
        if let Some(ttl) = seconds(ttl) {
            worker = worker.ttl(ttl);
        }
        if let Some(owner) = owner {
            worker = worker.owner(owner).map_err(|refusal| errors::exception(py, &refusal.into()))?;
        }
        let stop = StopSignal::new();
        let until = match when_idle {
            true => Stop::WhenIdleOrTold(stop.clone()),
            false => Stop::WhenTold(stop.clone()),
        };
        let (ended, result) = LoopResult::new();
        runtime.spawn(async move {
            let report = worker.run(until).await.map(counts);
            // The queue of jobs ends with the worker, and then the threads that take from it.
            drop(worker);
            ended.send_replace(Some(report));
        });
        Ok(Worker(ForkSafe::new(Running { stop, jobs: waiting, result })))
    }

    /// Tells it to stop: it claims no more tasks.
    fn stop(&self) -> PyResult<()> {
        self.0.get()?.stop.stop();
        Ok(())
    }

    /// The next claimed task; none when there will be no more.
    #[pyo3(signature = (port))]
    fn next<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let next = self.0.get()?.jobs.next();
        run(py, port, async move {
            let claimed = next.await?;
            let given = |Claimed { lease, stop, done }| Given { lease, stop, done: Mutex::new(Some(done)) };
            Ok(claimed.map(|claimed| Job(ForkSafe::new(given(claimed)))))
        })
    }

    /// Waits for its end, at most that many seconds, and returns how many tasks ended how.
    #[pyo3(signature = (timeout, port))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        run(py, port, self.0.get()?.result.get(seconds(timeout)))
    }

    /// Waits until it is told to stop, or has ended.
    #[pyo3(signature = (port))]
    fn wait_for_stop<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let running = self.0.get()?;
        run(py, port, running.result.stopped(running.stop.clone()))
    }
}

#[pymethods]
impl Job {
    /// Its lease.
    #[getter]
    fn lease(&self) -> PyResult<Lease> {
        Ok(Lease::of(Arc::clone(&self.0.get()?.lease)))
    }

    /// Whether the worker was told to stop.
    #[getter]
    fn is_stopping(&self) -> PyResult<bool> {
        Ok(self.0.get()?.stop.is_stopped())
    }

    /// Waits until the worker is told to stop, at most that many seconds. Returns whether it was.
    #[pyo3(signature = (timeout, port))]
    fn wait_for_stop<'py>(
        &self,
        py: Python<'py>,
        timeout: f64,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (stop, timeout) = (self.0.get()?.stop.clone(), seconds(Some(timeout)).unwrap_or_default());
        run(py, port, async move {
            let _ = tokio::time::timeout(timeout, stop.stopped()).await;
            Ok(stop.is_stopped())
        })
    }

    /// Says how the work ended: `complete` with a result in JSON, `ended` by the work itself, or `rollback`, `release`, `fail` and
    /// `quarantine` with a reason.
    #[pyo3(signature = (how, text, delay))]
    fn finish(&self, how: &str, text: Option<&str>, delay: f64) -> PyResult<()> {
        let (given, reason) = (self.0.get()?, text.unwrap_or_default().to_owned());
        let returned = match how {
            "complete" => match text.map(|result| json::document("result", result)).transpose() {
                Ok(result) => Ok(result),
                Err(refusal) => {
                    tracing::error!(task = %given.lease.id(), %refusal, "the result of the work can't be recorded");
                    Err(WorkError::RollBack(refusal.to_string()))
                }
            },
            "ended" => Err(WorkError::Ended),
            "rollback" => Err(WorkError::RollBack(reason)),
            "release" => Err(WorkError::Retry(reason, seconds(Some(delay)).unwrap_or(Duration::ZERO))),
            "fail" => Err(WorkError::Fail(reason)),
            "quarantine" => Err(WorkError::Quarantine(reason)),
            other => return Err(PyValueError::new_err(format!("work does not end by `{other}`"))),
        };
        if let Some(done) = given.done.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The worker waits for it, unless the process ends.
            let _ = done.send(returned);
        }
        Ok(())
    }
}

/// The default name of this process, by which people can find it.
#[pyfunction]
pub(crate) fn owner_of_this_process() -> String {
    tenure::owner::of_this_process()
}

/// Hands a task to Python, and waits until Python says how it ended.
async fn hand_over(
    jobs: mpsc::UnboundedSender<Claimed>,
    lease: Arc<KeptLease>,
    stop: StopSignal,
) -> Returned {
    let (done, ended) = oneshot::channel();
    let is_told = stop.clone();
    // A worker that stops leaves what it did not begin to others.
    let gone = || match is_told.is_stopped() {
        true => WorkError::Retry("the worker was told to stop".into(), Duration::ZERO),
        false => WorkError::RollBack("the code that works on it ended without a result".into()),
    };
    jobs.send(Claimed { lease, stop, done }).map_err(|_| gone())?;
    ended.await.unwrap_or_else(|_| Err(gone()))
}

fn counts(report: WorkerReport) -> Counts {
    let WorkerReport { claimed, completed, rolled_back, released, failed, quarantined, lost, unrecorded } =
        report;
    HashMap::from([
        ("claimed", claimed),
        ("completed", completed),
        ("rolled_back", rolled_back),
        ("released", released),
        ("failed", failed),
        ("quarantined", quarantined),
        ("lost", lost),
        ("unrecorded", unrecorded),
    ])
}
