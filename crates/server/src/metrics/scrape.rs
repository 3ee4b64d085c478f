//! How the store and recovery are at the moment of a scrape. However many ask for it, the store is asked once in each
//! `measured_age_max` of the limits, and not for long: whoever watches must not be what it has to work for.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tenure::classes::Classes;
use tenure::clock::Moment;
use tenure::core::time::Span;
use tenure::recovery::{Recovery, Snapshot};
use tenure::store::Store;
use tenure::store::overview::OVERVIEW_STATES;
use tenure::store::vitals::Vitals;
use tenure::{Error, Ledger};
use tokio::sync::Mutex;
use tokio::time::Sleep;

use crate::options::Limits;

/// What was seen last.
pub(super) struct Latest {
    seen: Mutex<Option<(Moment, Arc<Looked>)>>,
    /// How old that may be for another scrape.
    age_max: Span,
    /// How long the store may take for all that it is asked.
    wait_max: Duration,
}

impl Latest {
    /// Nothing was seen yet.
    pub(super) fn of(limits: &Limits) -> Latest {
        let age_max = limits.measured_age_max.into();
        Latest { seen: Mutex::new(None), age_max, wait_max: limits.watch_wait_max }
    }

    /// What there is to be seen, or what was a moment ago. Who comes while another one looks waits for the same.
    pub(super) async fn look(&self, ledger: &Ledger, recovery: &Recovery) -> Arc<Looked> {
        let mut latest = self.seen.lock().await;
        if let Some((at, looked)) = latest.as_ref()
            && Moment::now().since(*at) < self.age_max
        {
            return Arc::clone(looked);
        }
        let looked = Arc::new(Looked::now(ledger.store().as_ref(), recovery, self.wait_max).await);
        *latest = Some((Moment::now(), Arc::clone(&looked)));
        looked
    }
}

/// What the store said. What it did not say in time is not there, and nothing stands in its place.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) is_up: bool,
    pub(super) took: Span,
    /// One for each of the states of an overview, over all namespaces.
    pub(super) states: Option<Vec<InState>>,
    pub(super) vitals: Option<Vitals>,
    pub(super) overdue: Option<Span>,
}

/// The tasks of a state, whatever their namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct InState {
    pub(super) state: &'static str,
    pub(super) count: u64,
    pub(super) later: u64,
    pub(super) stale: u64,
    pub(super) oldest: Option<Span>,
}

impl Looked {
    async fn now(store: &dyn Store, recovery: &Recovery, wait_max: Duration) -> Looked {
        let began = Moment::now();
        let mut patience = pin!(tokio::time::sleep(wait_max));
        let is_up = within(&mut patience, "the time", store.now()).await.is_some();
        let mut looked = Looked { is_up, ..Looked::default() };
        if is_up {
            looked.vitals = within(&mut patience, "how it is", store.vitals()).await;
            looked.overdue = within(&mut patience, "what is due", recovery.overdue()).await;
            looked.states = within(&mut patience, "its overviews", states(store)).await;
        }
        looked.took = Moment::now().since(began);
        looked
    }
}

/// The answer, if there is one before patience is over.
async fn within<T>(
    patience: &mut Pin<&mut Sleep>,
    what: &str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Option<T> {
    if patience.is_elapsed() {
        return None;
    }
    tokio::select! {
        answer = asked => answer
            .inspect_err(|error| tracing::warn!(what, %error, "not measured: the store does not tell"))
            .ok(),
        () = patience.as_mut() => {
            tracing::warn!(what, "not measured: the store takes too long");
            None
        }
    }
}

async fn states(store: &dyn Store) -> Result<Vec<InState>, Error> {
    let none = |state: tenure::core::task::State| InState { state: state.as_str(), ..InState::default() };
    let mut states = OVERVIEW_STATES.map(none).to_vec();
    for namespace in store.namespaces().await? {
        let overview = store.overview(namespace).await?;
        for (all, one) in states.iter_mut().zip(&overview.states) {
            all.count += one.count;
            all.later += one.later;
            all.stale += one.stale;
            all.oldest = all.oldest.max(one.oldest.as_ref().map(|oldest| overview.at.since(oldest.since)));
        }
    }
    Ok(states)
}

/// What is written at a scrape beside the counters.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) looked: Arc<Looked>,
    pub(super) takes_writes: bool,
    pub(super) recovery: Snapshot,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.store(&mut page)?;
        self.tasks(&mut page)?;
        if let Some(vitals) = &self.looked.vitals {
            commits(&mut page, vitals)?;
        }
        self.recovery(&mut page)
    }
}

impl Scrape {
    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let is_up = u64::from(self.looked.is_up && self.takes_writes);
        page.gauge(
            "store_up",
            "Whether the store answers and takes what is written: 1 or 0. What it did not tell is not there",
            is_up,
        )?;
        page.span("scrape", "How long the store took for this scrape", self.looked.took)
    }

    fn tasks(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(states) = &self.looked.states else { return Ok(()) };
        let counts = |count: fn(&InState) -> u64| states.iter().map(move |one| (one.state, count(one)));
        let what = "Tasks in each state; of those that ended badly, those that were not retried";
        page.gauges(("tasks", what, None), "state", counts(|one| one.count))?;
        let what = "Tasks of them whose time has not come yet";
        page.gauges(("tasks_later", what, None), "state", counts(|one| one.later))?;
        let what = "Tasks of them whose lease or reservation has lapsed";
        page.gauges(("tasks_stale", what, None), "state", counts(|one| one.stale))?;
        let ages = states.iter().filter_map(|one| Some((one.state, seconds(one.oldest?.as_micros()))));
        let what = "How long the one has been in each state that is there the longest";
        page.gauges(("oldest_age", what, Some(Unit::Seconds)), "state", ages)
    }

    fn recovery(&self, page: &mut Page<'_>) -> fmt::Result {
        let recovery = &self.recovery;
        page.counter("recovery_sweeps", "Looks of recovery at what is due", recovery.sweeps)?;
        let what = "Stale tasks that were looked after, by what became of them";
        page.counters("recovery_tasks", what, recovery.outcomes.iter().copied(), |outcome| {
            [("outcome", outcome)]
        })?;
        let what = "Tasks that are being undone";
        page.gauge("recovery_undoing", what, recovery.undoing)?;
        let what = "Answers of the store to recovery that were errors";
        page.counter("recovery_store_errors", what, recovery.store_errors)?;
        let what = "How long after they were due tasks were reclaimed";
        page.classes(("recovery_lateness", what, Some(Unit::Seconds)), &recovery.lateness, seconds)?;
        let most = Span::from_micros(recovery.lateness_max_us);
        page.span("recovery_lateness_max", "The longest of these since the start", most)?;
        if let Some(overdue) = self.looked.overdue {
            let what = "How long the first of those tasks has waited that are due now";
            page.span("recovery_overdue", what, overdue)?;
        }
        let undos = recovery.undos.iter().flat_map(|(kind, counts)| {
            [((kind.as_str(), "undone"), counts.undone), ((kind.as_str(), "failed"), counts.failed)]
        });
        let what = "Tries to undo, by the kind of handler and by how they ended";
        page.counters("undos", what, undos, |(kind, outcome)| [("kind", kind), ("outcome", outcome)])
    }
}

fn commits(page: &mut Page<'_>, vitals: &Vitals) -> fmt::Result {
    let what = "Transactions, by how many commands were executed in each";
    page.classes(("commit_commands", what, None), &vitals.batch, |count| count as f64)?;
    let what = "How long transactions took, with the wait for their turn";
    page.classes(("commit", what, Some(Unit::Seconds)), &vitals.commit_us, seconds)?;
    page.gauge(
        "queue_commands",
        "Commands that wait to be taken into a transaction",
        vitals.waiting_commands,
    )?;
    if let Some(bytes) = vitals.wal_bytes {
        let what = "How large the write-ahead log of the file is";
        page.one(("wal", what, Some(Unit::Bytes)), bytes)?;
    }
    if let Some(lag) = vitals.feed_lag {
        let what = "How long followers have waited for what an open transaction of the database holds back";
        page.span("feed_lag", what, lag)?;
    }
    Ok(())
}

/// Microseconds as Prometheus has lengths of time.
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Name, what it says, and unit, which becomes the end of the name.
type Head = (&'static str, &'static str, Option<Unit>);

/// What is written, a kind of metric each.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn one(&mut self, (name, what, unit): Head, value: impl EncodeGaugeValue) -> fmt::Result {
        let what = format!("{what}.");
        self.0.encode_descriptor(name, &what, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauge(&mut self, name: &'static str, what: &'static str, value: u64) -> fmt::Result {
        self.one((name, what, None), value)
    }

    fn span(&mut self, name: &'static str, what: &'static str, value: Span) -> fmt::Result {
        self.one((name, what, Some(Unit::Seconds)), seconds(value.as_micros()))
    }

    fn gauges<'v, T: EncodeGaugeValue>(
        &mut self,
        (name, what, unit): Head,
        label: &'static str,
        values: impl Iterator<Item = (&'v str, T)>,
    ) -> fmt::Result {
        let what = format!("{what}.");
        let mut family = self.0.encode_descriptor(name, &what, unit.as_ref(), MetricType::Gauge)?;
        for (of, value) in values {
            family.encode_family(&[(label, of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &'static str, what: &'static str, value: u64) -> fmt::Result {
        self.counters(name, what, [((), value)].into_iter(), |()| [("", ""); 0])
    }

    fn counters<'v, T, const LABELS: usize>(
        &mut self,
        name: &'static str,
        what: &'static str,
        values: impl Iterator<Item = (T, u64)>,
        labels: impl Fn(T) -> [(&'static str, &'v str); LABELS],
    ) -> fmt::Result {
        let what = format!("{what}.");
        let mut family = self.0.encode_descriptor(name, &what, None, MetricType::Counter)?;
        for (of, value) in values {
            let labels = labels(of);
            let mut one = family.encode_family(&labels)?;
            one.encode_counter::<[(&str, &str); 0], u64, f64>(&value, None)?;
        }
        Ok(())
    }

    fn classes(
        &mut self,
        (name, what, unit): Head,
        classes: &Classes,
        value: impl Fn(u64) -> f64,
    ) -> fmt::Result {
        let what = format!("{what}.");
        let ends = classes.ends().iter().map(|end| value(*end)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(classes.counts().iter().copied()).collect();
        let mut histogram = self.0.encode_descriptor(name, &what, unit.as_ref(), MetricType::Histogram)?;
        let sum = value(classes.sum());
        histogram.encode_histogram::<[(&str, &str); 0]>(sum, classes.count(), &buckets, None)
    }
}
