//! Leases that a keeper renews, whatever Python does meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tenure::api::refusal::Refusal as RefusalJson;
use tenure::api::task::Task as TaskJson;
use tenure::api::to_json;
use tenure::core::command::Command;
use tenure::core::refusal::{Code, Refusal};
use tenure::keeper::{Keeping, KeptLease, LeaseStatus};
use tenure::ledger::{Call, Claiming, JsonText, Plain, Taking};
use tenure::stop::StopSignal;
use tenure::{Error, Ledger as TenureLedger};

use crate::errors;
use crate::fork::ForkSafe;
use crate::ledger::{Ledger, read};
use crate::port::Port;
use crate::runtime::runtime;
use crate::wait::{run, seconds};

/// A lease with its keeper.
#[pyclass(frozen)]
pub(crate) struct Lease {
    /// None once it was let go.
    kept: ForkSafe<Mutex<Option<Arc<KeptLease>>>>,
    task: String,
}

impl Lease {
    pub(crate) fn of(kept: Arc<KeptLease>) -> Lease {
        let task = kept.task();
        let task = to_json(&TaskJson::at(task, task.updated_at));
        Lease { kept: ForkSafe::new(Mutex::new(Some(kept))), task }
    }

    /// The lease, unless it was let go.
    fn held(&self) -> PyResult<Option<Arc<KeptLease>>> {
        Ok(self.kept.get()?.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn take(&self) -> PyResult<Option<Arc<KeptLease>>> {
        Ok(self.kept.get()?.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    fn kept(&self) -> PyResult<Arc<KeptLease>> {
        let kept = self.held()?;
        let gone = || Refusal::new(Code::NoLease, "its holder has let this lease go");
        kept.ok_or_else(|| Python::attach(|py| errors::exception(py, &gone().into())))
    }
}

/// Leases on their way to a caller. Those that nobody takes, because the caller was interrupted, are released.
struct Granted(Vec<KeptLease>);

impl<'py> IntoPyObject<'py> for Granted {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let leases = std::mem::take(&mut self.0).into_iter().map(|kept| Lease::of(Arc::new(kept)));
        Ok(leases.collect::<Vec<_>>().into_pyobject(py)?.into_any())
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        for lease in std::mem::take(&mut self.0) {
            give_back(Arc::new(lease));
        }
    }
}

/// Releases a lease in the background.
fn give_back(lease: Arc<KeptLease>) {
    let Ok(runtime) = runtime() else { return };
    runtime.spawn(async move {
        let reason = "the caller that asked for the lease was interrupted";
        if let Err(error) = lease.release(reason, Duration::ZERO).await {
            tracing::warn!(task = %lease.id(), %error, "a lease that nobody waited for was not released");
        }
    });
}

/// Asks for leases in the background, and waits for them. If the caller is interrupted, `stop` is given, and what is still
/// granted is released.
async fn granted(
    stop: StopSignal,
    asking: impl Future<Output = Result<Vec<KeptLease>, Error>> + Send + 'static,
) -> Result<Granted, Error> {
    let _stop_if_interrupted = stop.stop_on_drop();
    let asking = tokio::spawn(async move { asking.await.map(Granted) });
    asking.await.unwrap_or_else(|error| Err(Error::Unknown(error.to_string().into())))
}

pub(crate) fn keeping(margin: Option<f64>, record_timeout: Option<f64>) -> Keeping {
    let usual = Keeping::default();
    usual.with(|keeping| {
        keeping.margin = seconds(margin);
        keeping.record_timeout = seconds(record_timeout).unwrap_or(usual.record_timeout);
    })
}

#[pymethods]
impl Ledger {
    /// Acquires a task, and keeps its lease. Returns a list of one lease.
    #[pyo3(signature = (command, margin, record_timeout, port))]
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        command: String,
        margin: Option<f64>,
        record_timeout: Option<f64>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (ledger, keeping) = (self.open_one()?, keeping(margin, record_timeout));
        run(
            py,
            port,
            granted(StopSignal::new(), async move {
                let command = read(&ledger, &command)?;
                Ok(vec![Call::<Taking>::of_command(&ledger, command).keep_with(keeping).await?])
            }),
        )
    }

    /// Claims tasks, waits for work for up to that many seconds, and keeps the leases.
    #[pyo3(signature = (command, wait, margin, record_timeout, port))]
    fn claim<'py>(
        &self,
        py: Python<'py>,
        command: String,
        wait: f64,
        margin: Option<f64>,
        record_timeout: Option<f64>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (ledger, keeping) = (self.open_one()?, keeping(margin, record_timeout));
        let stop = StopSignal::new();
        let over = over(stop.clone(), wait);
        run(
            py,
            port,
            granted(stop, async move {
                let command = read(&ledger, &command)?;
                Call::<Claiming>::of_command(&ledger, command).keep_until(over, keeping).await
            }),
        )
    }

    /// Claims tasks and waits for work, without keeping the leases. Returns the tasks.
    #[pyo3(signature = (command, wait, port))]
    fn claim_tasks<'py>(
        &self,
        py: Python<'py>,
        command: String,
        wait: f64,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        let over = over(StopSignal::new(), wait);
        run(py, port, async move {
            let command = read(&ledger, &command)?;
            let tasks = ledger.claim_until(command, over, |claim| sent(ledger.clone(), claim)).await?;
            Ok(tasks.iter().map(|task| to_json(&TaskJson::at(task, task.updated_at))).collect::<Vec<_>>())
        })
    }
}

async fn sent(ledger: TenureLedger, claim: Command) -> Result<Vec<tenure::core::task::Task>, Error> {
    Call::<Claiming>::of_command(&ledger, claim).await
}

/// Resolves when a claim must not wait any longer.
async fn over(stop: StopSignal, wait: f64) {
    let wait = seconds(Some(wait)).unwrap_or_default();
    tokio::select! {
        () = stop.stopped() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

#[pymethods]
impl Lease {
    /// The task as it was when the lease was granted, in JSON.
    #[getter]
    fn task(&self) -> &str {
        &self.task
    }

    /// Sends a command by this lease, again and again until it is answered or the lease is lost. One that ends the lease is tried
    /// even after that, if the work was over in time.
    #[pyo3(signature = (command, ends, port))]
    fn execute<'py>(
        &self,
        py: Python<'py>,
        command: String,
        ends: bool,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept()?;
        if ends {
            kept.work_is_over();
        }
        run(py, port, async move {
            let ledger = kept.ledger();
            let call = Call::<Plain>::of_command(ledger, read(ledger, &command)?);
            let task = if ends { kept.end(call).await? } else { kept.call(call).await? };
            Ok(to_json(&TaskJson::at(&task, task.updated_at)))
        })
    }

    /// Fails the task. If no compensation was ever registered, one of kind `none` is recorded.
    #[pyo3(signature = (reason, port))]
    fn fail<'py>(&self, py: Python<'py>, reason: String, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept()?;
        kept.work_is_over();
        run(py, port, async move {
            let task = kept.fail(&reason).await?;
            Ok(to_json(&TaskJson::at(&task, task.updated_at)))
        })
    }

    /// Reports progress.
    #[pyo3(signature = (report, port))]
    fn progress<'py>(
        &self,
        py: Python<'py>,
        report: String,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept()?;
        run(py, port, async move { kept.progress(JsonText(&report)).await })
    }

    /// Saves a checkpoint.
    #[pyo3(signature = (checkpoint, port))]
    fn checkpoint<'py>(
        &self,
        py: Python<'py>,
        checkpoint: String,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kept = self.kept()?;
        run(py, port, async move { kept.checkpoint(JsonText(&checkpoint)).await })
    }

    /// The status of the lease: `held`, `lost` or `ended`; whether a cancel was asked for; why it is lost, as a refusal in JSON; and why
    /// the last renewal failed.
    fn status(&self) -> PyResult<(&'static str, bool, Option<String>, Option<String>)> {
        let status = self.held()?.map_or(LeaseStatus::Ended, |kept| kept.status().borrow().clone());
        Ok(match status {
            LeaseStatus::Held(held) => {
                ("held", held.cancel_asked, None, held.renewal_error.map(|error| error.to_string()))
            }
            LeaseStatus::Lost(loss) => {
                ("lost", false, Some(to_json(&RefusalJson::from(&loss.refusal()))), None)
            }
            LeaseStatus::Ended => ("ended", false, None, None),
        })
    }

    /// Waits until the work must stop, at most that many seconds: a cancel was asked for, or the lease is lost. Returns whether it
    /// must. It returns also when the lease has ended.
    #[pyo3(signature = (timeout, port))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Only its signals are taken along, so that a wait does not keep the lease.
        let signals = self.held()?.map(|kept| (kept.stop_signal(), kept.status()));
        let timeout = seconds(timeout).unwrap_or(Duration::MAX);
        run(py, port, async move {
            let Some((stop, mut status)) = signals else { return Ok(false) };
            let ended = status.wait_for(|status| matches!(status, LeaseStatus::Ended));
            tokio::select! {
                biased;
                () = stop.stopped() => {}
                _ = ended => {}
                () = tokio::time::sleep(timeout) => {}
            }
            Ok::<_, Error>(stop.is_stopped())
        })
    }

    /// Lets the lease go without an end: nobody renews it any more.
    fn let_go(&self) -> PyResult<()> {
        drop(self.take()?);
        Ok(())
    }

    /// Releases it in the background: its caller does not wait for it any more.
    fn give_back(&self) -> PyResult<()> {
        if let Some(kept) = self.take()? {
            give_back(kept);
        }
        Ok(())
    }
}
