//! A ledger for Python. Commands come as JSON, in the form of the HTTP API's lists of commands; answers are JSON, too.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use tenure::api::answer::Answer as AnswerJson;
use tenure::api::command::{By, read_command};
use tenure::api::list::NamespaceList;
use tenure::api::overview::OwnerList;
use tenure::api::task::Task as TaskJson;
use tenure::api::to_json;
use tenure::audit::Anchor;
use tenure::clock::Clock;
use tenure::core::command::{Command, LeaseScope};
use tenure::core::refusal::{Code, Refusal};
use tenure::core::time::Time;
use tenure::record;
use tenure::store::{Answer, IfMissing};
use tenure::{Error, Ledger as TenureLedger, why};

use crate::clock::{ManualClock, WithoutJitter};
use crate::errors;
use crate::fork::ForkSafe;
use crate::port::Port;
use crate::wait::run;

/// A ledger: a store, seen from one namespace.
#[pyclass(frozen)]
pub(crate) struct Ledger {
    /// None once it was closed.
    ledger: ForkSafe<Mutex<Option<TenureLedger>>>,
}

impl Ledger {
    fn of(ledger: TenureLedger) -> Ledger {
        Ledger { ledger: ForkSafe::new(Mutex::new(Some(ledger))) }
    }

    /// The ledger, if it is open and this process is not a fork.
    pub(crate) fn open_one(&self) -> PyResult<TenureLedger> {
        let ledger = self.ledger.get()?.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || Refusal::invalid("ledger", "it is closed; open it again with `tenure.open`");
        ledger.ok_or_else(|| Python::attach(|py| errors::exception(py, &closed().into())))
    }
}

/// The command that a text describes.
pub(crate) fn read(ledger: &TenureLedger, text: &str) -> Result<Command, Error> {
    let by = By {
        namespace: ledger.namespace(),
        actor: None,
        lease_scope: LeaseScope::Any,
        random: ledger.entropy(),
    };
    Ok(read_command(text, &by)?)
}

/// A task as it is at the store's time, in JSON.
async fn task_json(ledger: &TenureLedger, task: &tenure::core::task::Task) -> Result<String, Error> {
    Ok(to_json(&TaskJson::at(task, ledger.now().await?)))
}

/// What a command came to, in JSON.
pub(crate) async fn answer_json(ledger: &TenureLedger, answer: Result<Answer, Error>) -> AnswerJson {
    let now = match &answer {
        Ok(answer) => ledger.time_for(answer).await,
        Err(_) => Time::MIN,
    };
    record::answer(&answer, now)
}

#[pymethods]
impl Ledger {
    /// Opens a store.
    #[staticmethod]
    #[expect(clippy::too_many_arguments, reason = "each has its name in Python")]
    #[pyo3(signature = (url, namespace, token, make, clock, has_jitter, port))]
    fn open<'py>(
        py: Python<'py>,
        url: String,
        namespace: String,
        token: Option<&str>,
        make: bool,
        clock: Option<&ManualClock>,
        has_jitter: bool,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut builder =
            TenureLedger::builder().missing(if make { IfMissing::Make } else { IfMissing::Refuse });
        if let Some(token) = token {
            builder = builder.token(token);
        }
        if let Some(clock) = clock {
            builder = builder.clock(Arc::new(clock.0.clone()) as Arc<dyn Clock>);
        }
        if !has_jitter {
            builder = builder.entropy(Arc::new(WithoutJitter::new()));
        }
        run(py, port, async move {
            let ledger = builder.open(&url).await?;
            Ok(Ledger::of(ledger.in_namespace(&namespace)?))
        })
    }

    /// The same store in another namespace.
    fn in_namespace(&self, py: Python<'_>, namespace: &str) -> PyResult<Ledger> {
        let there = self.open_one()?.in_namespace(namespace);
        there.map(Ledger::of).map_err(|error| errors::exception(py, &error))
    }

    /// Closes it. Leases and followers that it gave out keep the store open until they end.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ledger = self.ledger.get()?.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A store that is closed waits for its threads.
        py.detach(|| drop(ledger));
        Ok(())
    }

    /// Sends a command, and returns its task or renewal.
    #[pyo3(signature = (command, port))]
    fn execute<'py>(
        &self,
        py: Python<'py>,
        command: String,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let command = read(&ledger, &command)?;
            let answer = ledger.store().transact(vec![command]).await.pop();
            let answer = answer.unwrap_or_else(|| Err(Error::Unknown("the store gave no answer".into())))?;
            let told = answer_json(&ledger, Ok(answer)).await;
            match (told.task, told.renewal) {
                (Some(task), _) => Ok(to_json(&task)),
                (None, Some(renewal)) => Ok(to_json(&renewal)),
                (None, None) => {
                    Err(Error::Unknown("the store's answer is for another kind of command".into()))
                }
            }
        })
    }

    /// Sends many commands together, and returns the answer to each.
    #[pyo3(signature = (commands, port))]
    fn transact<'py>(
        &self,
        py: Python<'py>,
        commands: Vec<String>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let read: Vec<_> = commands.iter().map(|text| read(&ledger, text)).collect();
            let whole = read.iter().filter_map(|command| command.as_ref().ok()).cloned().collect();
            let mut answers = ledger.transact(whole).await.into_iter();
            let mut told = Vec::with_capacity(read.len());
            for command in read {
                let missing = || Err(Error::Unknown("the store gave no answer".into()));
                let answer = match command {
                    Ok(_) => answers.next().unwrap_or_else(missing),
                    Err(error) => Err(error),
                };
                told.push(to_json(&answer_json(&ledger, answer).await));
            }
            Ok(told)
        })
    }

    /// The task; none if it does not exist.
    #[pyo3(signature = (id, port))]
    fn task<'py>(&self, py: Python<'py>, id: String, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            match ledger.task(&id).await {
                Ok(task) => task_json(&ledger, &task).await.map(Some),
                Err(Error::Refused(refusal)) if refusal.code == Code::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Why a task is where it is.
    #[pyo3(signature = (id, port))]
    fn why<'py>(&self, py: Python<'py>, id: String, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let (task, watchers) = (ledger.task(&id).await?, ledger.watchers().await?);
            let (notes, now) = (ledger.notes(&id).await?, ledger.now().await?);
            Ok(to_json(&why::why_watched(&task, now, &watchers).answer(&task, now, notes)))
        })
    }

    /// An overview of the namespace.
    #[pyo3(signature = (port))]
    fn overview<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(to_json(&ledger.overview().await?)) })
    }

    /// The owners of the namespace and what they hold.
    #[pyo3(signature = (port))]
    fn owners<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(to_json(&OwnerList { owners: ledger.holdings().await? })) })
    }

    /// The namespaces of the store that have a task.
    #[pyo3(signature = (port))]
    fn namespaces<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(to_json(&NamespaceList { namespaces: ledger.namespaces().await? })) })
    }

    /// The store's time, in microseconds since 1970.
    #[pyo3(signature = (port))]
    fn now<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(ledger.now().await?.as_micros()) })
    }

    /// Verifies the history: of one task, or of the namespace; beside an anchor, if one is given.
    #[pyo3(signature = (task, anchor, port))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        task: Option<String>,
        anchor: Option<String>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let read = |text: String| {
                let wrong = |error| Refusal::invalid("anchor", format_args!("{error}"));
                text.parse::<Anchor>().map_err(wrong)
            };
            let anchor = anchor.map(read).transpose()?;
            let report = match task {
                Some(task) => ledger.verify_task(&task, anchor.as_ref()).await?,
                None => ledger.verify_namespace(anchor.as_ref()).await?,
            };
            Ok(to_json(&tenure::api::audit::Report::from(&report)))
        })
    }

    /// An anchor of the namespace, as text.
    #[pyo3(signature = (port))]
    fn anchor<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(ledger.anchor_of_namespace().await?.to_string()) })
    }
}
