//! The recovery of the library, whose undo handlers are run by Python.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use tenure::Error;
use tenure::api::recovery::{RecoveredTask, SweepReport};
use tenure::api::to_json;
use tenure::core::id::{Namespace, Owner};
use tenure::handler::{Handler, Handlers, RetryPolicy, UndoCall, UndoError, Undone};
use tenure::keeper::LeaseWatch;
use tenure::recovery::{Recovery as TenureRecovery, RecoveryOptions};
use tenure::stop::StopSignal;
use tenure::store::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::errors;
use crate::fork::ForkSafe;
use crate::jobs::{JobQueue, LoopResult, ResultSender};
use crate::ledger::Ledger;
use crate::port::Port;
use crate::runtime::runtime;
use crate::wait::{run, seconds};

/// Recovery that hands each undo to Python.
#[pyclass(frozen)]
pub(crate) struct Recovery(ForkSafe<Prepared>);

struct Prepared {
    recovery: TenureRecovery,
    stop: StopSignal,
    jobs: JobQueue<ToPython>,
    /// Until it runs. It keeps the queue open.
    sender: Mutex<Option<mpsc::UnboundedSender<ToPython>>>,
    result: LoopResult<String>,
    ended: Mutex<Option<ResultSender<String>>>,
}

/// What recovery tells Python.
enum ToPython {
    /// An effect to undo.
    Undo(Box<UndoCall>, oneshot::Sender<Undone>),
    /// A task that was handled.
    Recovered(String),
}

/// An effect to undo.
#[pyclass(frozen)]
pub(crate) struct Undo {
    /// What is known about it, in JSON.
    #[pyo3(get)]
    call: String,
    done: ForkSafe<Mutex<Option<oneshot::Sender<Undone>>>>,
}

/// The handler of each kind: it asks Python.
struct AskPython(mpsc::WeakUnboundedSender<ToPython>);

impl Handler for AskPython {
    /// Python code can't be stopped, so this returns when it has.
    fn undo(&self, call: UndoCall, _lease: LeaseWatch) -> BoxFuture<'static, Undone> {
        let jobs = self.0.clone();
        Box::pin(async move {
            let gone = || UndoError::Retryable("the code that undoes it ended without a receipt".into());
            let (done, undone) = oneshot::channel();
            let jobs = jobs.upgrade().ok_or_else(gone)?;
            jobs.send(ToPython::Undo(Box::new(call), done)).map_err(|_| gone())?;
            undone.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}

#[pymethods]
impl Recovery {
    /// Prepares recovery with a handler for each kind, given as its name, the most tries and the seconds that one may take.
    #[new]
    #[pyo3(signature = (ledger, handlers, *, owner, ttl, at_once, handler_wait, grace, namespace, tries_now))]
    #[expect(clippy::too_many_arguments, reason = "each has its name in Python")]
    fn new(
        py: Python<'_>,
        ledger: &Ledger,
        handlers: Vec<(String, u32, f64)>,
        owner: Option<&str>,
        ttl: f64,
        at_once: usize,
        handler_wait: f64,
        grace: f64,
        namespace: Option<&str>,
        tries_now: Option<u32>,
    ) -> PyResult<Recovery> {
        let ledger = ledger.open_one()?;
        let refused = |error: Error| errors::exception(py, &error);
        let (sender, jobs) = JobQueue::new();
        let mut asking = Handlers::new();
        for (kind, tries, timeout) in handlers {
            let retries = RetryPolicy::default().with(|retries| {
                retries.tries = tries;
                retries.timeout = seconds(Some(timeout)).unwrap_or(Duration::MAX);
            });
            let handler = AskPython(sender.downgrade());
            asking = asking.with(&kind, retries, handler).map_err(|refusal| refused(refusal.into()))?;
        }
        let owner = owner.map(Owner::new).transpose().map_err(|invalid| refused(invalid.into()))?;
        let namespace =
            namespace.map(Namespace::new).transpose().map_err(|invalid| refused(invalid.into()))?;
        let length = |given| seconds(Some(given)).unwrap_or_default();
        let options = RecoveryOptions::default().with(|options| {
            options.owner = owner;
            options.ttl = length(ttl);
            options.at_once = at_once;
            options.handler_wait = length(handler_wait);
            options.grace = length(grace);
            options.namespace = namespace;
            options.tries_now = tries_now.and_then(NonZeroU32::new);
        });
        let tell = sender.downgrade();
        let recovery = TenureRecovery::new(ledger).handlers(asking).options(options).on_recovered(
            move |task: &RecoveredTask| {
                if let Some(tell) = tell.upgrade() {
                    // Without a reader there is nobody to tell.
                    let _ = tell.send(ToPython::Recovered(to_json(task)));
                }
            },
        );
        let (ended, result) = LoopResult::new();
        Ok(Recovery(ForkSafe::new(Prepared {
            recovery,
            stop: StopSignal::new(),
            jobs,
            sender: Mutex::new(Some(sender)),
            result,
            ended: Mutex::new(Some(ended)),
        })))
    }

    /// Begins, once. It handles what is due now, or, to `watch`, also what becomes due until it is told to stop.
    fn start(&self, watch: bool) -> PyResult<()> {
        let (runtime, prepared) = (runtime()?, self.0.get()?);
        let sender = prepared.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = prepared.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(sender), Some(ended)) = (sender, ended) else { return Ok(()) };
        let (recovery, stop) = (prepared.recovery.clone(), prepared.stop.clone());
        runtime.spawn(async move {
            let report = if watch { recovery.watch(stop).await } else { recovery.once_until(stop).await };
            // The queue of undos ends with its only strong sender, and then the threads that take from it.
            drop(sender);
            ended.send_replace(Some(report.map(|report| to_json(&SweepReport::from(&report)))));
        });
        Ok(())
    }

    /// Tells it to stop.
    fn stop(&self) -> PyResult<()> {
        self.0.get()?.stop.stop();
        Ok(())
    }

    /// What recovery would do now, without doing it.
    #[pyo3(signature = (port))]
    fn plan<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let recovery = self.0.get()?.recovery.clone();
        run(py, port, async move { Ok(to_json(&recovery.plan().await?)) })
    }

    /// The next effect to undo, or the JSON of a task that was handled; none when there will be no more.
    #[pyo3(signature = (port))]
    fn next<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let next = self.0.get()?.jobs.next();
        run(py, port, async move { Ok(next.await?.map(Shown)) })
    }

    /// Waits for its end, and returns its report.
    #[pyo3(signature = (port))]
    fn wait<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        run(py, port, self.0.get()?.result.get(None))
    }
}

/// What recovery tells, as Python has it.
struct Shown(ToPython);

impl<'py> IntoPyObject<'py> for Shown {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0 {
            ToPython::Undo(call, done) => {
                Undo { call: to_json(&call), done: ForkSafe::new(Mutex::new(Some(done))) }
                    .into_bound_py_any(py)
            }
            ToPython::Recovered(task) => task.into_bound_py_any(py),
        }
    }
}

#[pymethods]
impl Undo {
    /// It is undone, with a receipt.
    fn succeed(&self, receipt: String) -> PyResult<()> {
        self.finish(Ok(receipt))
    }

    /// It failed; another try may succeed unless it is `permanent`.
    fn fail(&self, error: String, permanent: bool) -> PyResult<()> {
        self.finish(Err(if permanent { UndoError::Permanent(error) } else { UndoError::Retryable(error) }))
    }
}

impl Undo {
    fn finish(&self, undone: Undone) -> PyResult<()> {
        if let Some(done) = self.done.get()?.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Recovery waits for it, unless the process ends.
            let _ = done.send(undone);
        }
        Ok(())
    }
}
