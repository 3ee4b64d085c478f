//! Lists and the history, in pages.

use std::time::Duration;

use pyo3::prelude::*;
use tenure::Error;
use tenure::api::list::EventPage;
use tenure::api::to_json;
use tenure::api::wire::parse_word;
use tenure::core::id::{LabelKey, LabelValue, Owner, Queue, SagaId, TaskId};
use tenure::core::refusal::Refusal;
use tenure::instant;
use tenure::record::task_page;
use tenure::store::{Cursor, EventFilter, Filter, Order};

use crate::ledger::Ledger;
use crate::port::Port;
use crate::wait::{run, seconds};

/// Which tasks a list contains, as Python gives it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Wanted {
    states: Vec<String>,
    cause: Option<String>,
    queue: Option<String>,
    owner: Option<String>,
    id_prefix: Option<String>,
    last_owner: Option<String>,
    saga_id: Option<String>,
    labels: Vec<(String, String)>,
    stale: bool,
    open: bool,
    ended_badly: bool,
    unattended: bool,
    since: Option<String>,
    order: String,
}

impl Wanted {
    fn filter(self) -> Result<Filter, Refusal> {
        let mut filter = Filter::default();
        filter.open = self.open;
        filter.in_states(self.states.iter().map(String::as_str))?;
        filter.cause = self.cause.map(|word| parse_word("cause", &word)).transpose()?;
        filter.queue = self.queue.map(Queue::new).transpose()?;
        filter.owner = self.owner.map(Owner::new).transpose()?;
        filter.id_prefix = self.id_prefix.map(|id| TaskId::named("id_prefix", id)).transpose()?;
        filter.last_owner = self.last_owner.map(|name| Owner::named("last_owner", name)).transpose()?;
        filter.saga_id = self.saga_id.map(SagaId::new).transpose()?;
        let labels =
            self.labels.into_iter().map(|(key, value)| Ok((LabelKey::new(key)?, LabelValue::new(value)?)));
        filter.labels = labels.collect::<Result<_, Refusal>>()?;
        filter.stale = self.stale;
        filter.ended_badly = self.ended_badly;
        filter.unattended = self.unattended;
        filter.since = self.since.map(|text| instant::parse("since", &text)).transpose()?;
        let order = Order::ALL.into_iter().find(|order| order.as_str() == self.order);
        filter.order = order.ok_or_else(|| Refusal::invalid("order", "newest or oldest"))?;
        Ok(filter)
    }
}

#[pymethods]
impl Ledger {
    /// A page of tasks.
    #[pyo3(signature = (wanted, cursor, limit, port))]
    fn tasks<'py>(
        &self,
        py: Python<'py>,
        wanted: Wanted,
        cursor: Option<String>,
        limit: usize,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let page = ledger.tasks(wanted.filter()?, cursor.map(Cursor::from_text), limit).await?;
            Ok(to_json(&task_page(&page, ledger.now().await?)))
        })
    }

    /// A page of the history: of one task, or of the namespace.
    #[pyo3(signature = (task, after, limit, port))]
    fn events<'py>(
        &self,
        py: Python<'py>,
        task: Option<String>,
        after: Option<String>,
        limit: usize,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move {
            let task = task.map(TaskId::new).transpose()?;
            let filter = EventFilter::default().with(|filter| {
                filter.namespace = Some(ledger.namespace().clone());
                filter.task = task;
            });
            let page = ledger.store().events(filter, after.map(Cursor::from_text), limit.into()).await?;
            Ok(to_json(&EventPage::from(&page)))
        })
    }

    /// The newest cursor of the history.
    #[pyo3(signature = (port))]
    fn newest<'py>(&self, py: Python<'py>, port: Option<&Port>) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        run(py, port, async move { Ok(ledger.newest().await?.as_str().to_owned()) })
    }

    /// Waits until there may be events after `after`, at most that many seconds. Returns whether there may be.
    #[pyo3(signature = (after, timeout, port))]
    fn wait_for_events<'py>(
        &self,
        py: Python<'py>,
        after: Option<String>,
        timeout: Option<f64>,
        port: Option<&Port>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ledger = self.open_one()?;
        let timeout = seconds(timeout).unwrap_or(Duration::MAX);
        run(py, port, async move {
            let more = ledger.store().more_events(after.map(Cursor::from_text));
            match tokio::time::timeout(timeout, more).await {
                Ok(there) => there.map(|()| true),
                Err(_) => Ok::<_, Error>(false),
            }
        })
    }
}
