//! The state of the store and of recovery at a scrape. However many clients scrape, the store is read once in each
//! `measured_age_max` of the limits, and only for a limited time, so that monitoring does not load it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tenure::clock::Moment;
use tenure::core::time::{Span, Time};
use tenure::histogram::Histogram;
use tenure::recovery::{Recovery, Snapshot};
use tenure::retention::RetentionSnapshot;
use tenure::store::Store;
use tenure::store::metrics::StoreMetrics;
use tenure::store::overview::{OVERVIEW_STATES, StateCount};
use tenure::{Error, Ledger};
use tokio::sync::Mutex;
use tokio::time::Sleep;

use crate::options::Limits;

/// The last measurement.
pub(super) struct Latest {
    seen: Mutex<Option<(Moment, Arc<Looked>)>>,
    /// How old it may be for another scrape.
    age_max: Span,
    /// How long the store may take in total.
    wait_max: Duration,
}

impl Latest {
    /// Nothing was seen yet.
    pub(super) fn of(limits: &Limits) -> Latest {
        let age_max = limits.measured_age_max.into();
        Latest { seen: Mutex::new(None), age_max, wait_max: limits.watch_wait_max }
    }

    /// The current measurement, or a recent one. A caller that arrives during a measurement waits for it.
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

/// The answers of the store. Metrics that it did not answer in time are missing.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) is_up: bool,
    pub(super) took: Span,
    /// One for each of the states of an overview, over all namespaces.
    pub(super) overview: Option<Overviews>,
    pub(super) metrics: Option<StoreMetrics>,
    pub(super) overdue: Option<Span>,
    pub(super) cursors: Option<CursorLag>,
}

/// How far the slowest named cursors are behind, over all namespaces. Names are no labels, because callers choose them.
#[derive(Debug, Default)]
pub(super) struct CursorLag {
    pub(super) behind: u64,
    pub(super) lag: Span,
    /// The store's time then.
    pub(super) at: Option<Time>,
}

/// What the overviews of all namespaces come to together.
#[derive(Debug, Default)]
pub(super) struct Overviews {
    pub(super) states: Vec<InState>,
    /// How many ended so, by state and cause: in the last hour, in the last day, in all.
    pub(super) ends: BTreeMap<(&'static str, &'static str), [u64; 3]>,
    /// How many ended so in all, by queue, state and cause.
    pub(super) queue_ends: BTreeMap<(String, &'static str, &'static str), u64>,
    pub(super) told_to_stop: u64,
    /// For how long the first of those knows that it must stop.
    pub(super) told_to_stop_age: Option<Span>,
    /// The time since recovery last ran, for the namespace where that was longest ago; none if a namespace
    /// with open tasks never had recovery.
    pub(super) recovery_seen_age: Option<Span>,
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
        let mut deadline = pin!(tokio::time::sleep(wait_max));
        let is_up = within(&mut deadline, "the time", store.now()).await.is_some();
        let mut looked = Looked { is_up, ..Looked::default() };
        if is_up {
            looked.metrics = within(&mut deadline, "its metrics", store.metrics()).await;
            looked.overdue = within(&mut deadline, "what is due", recovery.overdue()).await;
            looked.overview = within(&mut deadline, "its overviews", overviews(store)).await;
            looked.cursors = within(&mut deadline, "its cursors", slowest_cursors(store)).await;
        }
        looked.took = Moment::now().since(began);
        looked
    }
}

/// The answer, if there is one before the deadline.
async fn within<T>(
    deadline: &mut Pin<&mut Sleep>,
    what: &str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Option<T> {
    if deadline.is_elapsed() {
        return None;
    }
    tokio::select! {
        answer = asked => answer
            .inspect_err(|error| tracing::warn!(what, %error, "not measured: the store returned an error"))
            .ok(),
        () = deadline.as_mut() => {
            tracing::warn!(what, "not measured: the store took too long");
            None
        }
    }
}

async fn slowest_cursors(store: &dyn Store) -> Result<CursorLag, Error> {
    let mut slowest = CursorLag { at: Some(store.now().await?), ..CursorLag::default() };
    for namespace in store.namespaces().await? {
        for cursor in store.retention().named_cursors(namespace).await? {
            slowest.behind = slowest.behind.max(cursor.behind);
            slowest.lag = slowest.lag.max(cursor.lag.unwrap_or(Span::ZERO));
        }
    }
    Ok(slowest)
}

/// The number of values of a label that callers choose must be limited: further queues are counted together.
const QUEUES_MAX: usize = 100;
const OTHER_QUEUES: &str = "(others)";

pub(super) async fn overviews(store: &dyn Store) -> Result<Overviews, Error> {
    let none = |state: tenure::core::task::State| InState { state: state.as_str(), ..InState::default() };
    let mut all = Overviews { states: OVERVIEW_STATES.map(none).to_vec(), ..Overviews::default() };
    let is_open = |one: &StateCount| one.state.terminal().is_none() && one.count > 0;
    let mut is_left_alone = false;
    for namespace in store.namespaces().await? {
        let overview = store.overview(namespace).await?;
        for (sum, one) in all.states.iter_mut().zip(&overview.states) {
            sum.count += one.count;
            sum.later += one.later;
            sum.stale += one.stale;
            sum.oldest = sum.oldest.max(one.oldest.as_ref().map(|oldest| overview.at.since(oldest.since)));
        }
        for end in &overview.ends {
            let (state, cause) = (end.state.state().as_str(), end.cause.as_str());
            let sum = all.ends.entry((state, cause)).or_default();
            for (sum, one) in sum.iter_mut().zip([end.last_hour, end.last_day, end.all]) {
                *sum += one;
            }
            *all.queue_ends.entry((end.queue.to_string(), state, cause)).or_default() += end.all;
        }
        let age = |since: Time| overview.at.since(since);
        all.told_to_stop += overview.told_to_stop.count;
        all.told_to_stop_age = all.told_to_stop_age.max(overview.told_to_stop.since.map(age));
        match overview.recovery.seen_at {
            Some(seen_at) => all.recovery_seen_age = all.recovery_seen_age.max(Some(age(seen_at))),
            None => is_left_alone |= overview.states.iter().any(is_open),
        }
    }
    if is_left_alone {
        // The ages of other namespaces would hide it; a missing value raises an alert.
        all.recovery_seen_age = None;
    }
    all.queue_ends = few_queues(all.queue_ends);
    Ok(all)
}

type QueueEnds = BTreeMap<(String, &'static str, &'static str), u64>;

/// The same with the queues that have the fewest ends counted together, if there are very many.
fn few_queues(ends: QueueEnds) -> QueueEnds {
    let mut sums = BTreeMap::<&str, u64>::new();
    for ((queue, _, _), count) in &ends {
        *sums.entry(queue).or_default() += count;
    }
    if sums.len() <= QUEUES_MAX {
        return ends;
    }
    let mut most: Vec<(&str, u64)> = sums.into_iter().collect();
    most.sort_by_key(|(queue, count)| (std::cmp::Reverse(*count), *queue));
    let named: BTreeSet<String> =
        most.iter().take(QUEUES_MAX).map(|(queue, _)| (*queue).to_owned()).collect();
    let mut few = QueueEnds::new();
    for ((queue, state, cause), count) in ends {
        let queue = if named.contains(&queue) { queue } else { OTHER_QUEUES.to_owned() };
        *few.entry((queue, state, cause)).or_default() += count;
    }
    few
}

/// What is written at a scrape beside the counters.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) looked: Arc<Looked>,
    pub(super) takes_writes: bool,
    pub(super) recovery: Snapshot,
    pub(super) retention: RetentionSnapshot,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.store(&mut page)?;
        self.tasks(&mut page)?;
        if let Some(metrics) = &self.looked.metrics {
            commits(&mut page, metrics)?;
        }
        self.recovery(&mut page)?;
        self.retention(&mut page)
    }
}

impl Scrape {
    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let is_up = u64::from(self.looked.is_up && self.takes_writes);
        page.gauge(
            "store_up",
            "1 if the store answers and accepts writes, else 0. Metrics that it did not answer are missing",
            is_up,
        )?;
        page.span("scrape", "Time that the store took for this scrape", self.looked.took)
    }

    fn tasks(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(overview) = &self.looked.overview else { return Ok(()) };
        let states = &overview.states;
        let counts = |count: fn(&InState) -> u64| states.iter().map(move |one| (one.state, count(one)));
        let what =
            "Tasks in each state; of tasks that ended badly, only those that nobody retried or dismissed";
        page.gauges(("tasks", what, None), "state", counts(|one| one.count))?;
        let what = "Tasks in each state that are not due yet";
        page.gauges(("tasks_later", what, None), "state", counts(|one| one.later))?;
        let what = "Tasks in each state whose lease or reservation has lapsed";
        page.gauges(("tasks_stale", what, None), "state", counts(|one| one.stale))?;
        let ages = states.iter().filter_map(|one| Some((one.state, seconds(one.oldest?.as_micros()))));
        let what = "Age of the oldest task in each state, since it entered the state";
        page.gauges(("oldest_age", what, Some(Unit::Seconds)), "state", ages)?;
        Scrape::ends(overview, page)
    }

    /// How tasks ended. The store counts that, so each of its servers says the same.
    fn ends(overview: &Overviews, page: &mut Page<'_>) -> fmt::Result {
        for (name, what, at) in [
            ("ended_last_hour", "Tasks that ended in the last hour, by state and cause", 0),
            ("ended_last_day", "Tasks that ended in the last day, by state and cause", 1),
        ] {
            let ends = overview.ends.iter().map(|((state, cause), counts)| {
                ([("state", *state), ("cause", *cause)], counts.get(at).copied().unwrap_or_default())
            });
            page.labelled_gauges(name, what, ends)?;
        }
        let ends = overview
            .ends
            .iter()
            .map(|(labels, counts)| (*labels, counts.last().copied().unwrap_or_default()));
        let what = "Tasks that ended since the store was created, by state and cause";
        page.counters("ended", what, ends, |(state, cause)| [("state", state), ("cause", cause)])?;
        let ends = overview
            .queue_ends
            .iter()
            .map(|((queue, state, cause), count)| ((queue.as_str(), *state, *cause), *count));
        let what = "Tasks that ended since the store was created, by queue, state and cause; beyond 100 queues the rest are counted together";
        page.counters("queue_ended", what, ends, |(queue, state, cause)| {
            [("queue", queue), ("state", state), ("cause", cause)]
        })?;
        let what = "Holders that were told to stop and still renew their leases";
        page.gauge("told_to_stop", what, overview.told_to_stop)?;
        if let Some(age) = overview.told_to_stop_age {
            page.span("told_to_stop_age", "Time since the first of these holders was told to stop", age)?;
        }
        if let Some(age) = overview.recovery_seen_age {
            let what =
                "Time since recovery last ran, in any process, for the namespace where that was longest ago";
            page.span("recovery_seen_age", what, age)?;
        }
        Ok(())
    }

    fn recovery(&self, page: &mut Page<'_>) -> fmt::Result {
        let recovery = &self.recovery;
        page.counter("recovery_sweeps", "Sweeps of recovery for due tasks", recovery.sweeps)?;
        let what = "Stale tasks that recovery handled, by outcome";
        page.counters("recovery_tasks", what, recovery.outcomes.iter().copied(), |outcome| {
            [("outcome", outcome)]
        })?;
        let what = "Tasks that are being undone";
        page.gauge("recovery_undoing", what, recovery.undoing)?;
        let what = "Errors of the store that recovery met";
        page.counter("recovery_store_errors", what, recovery.store_errors)?;
        let what = "Delay between the time a task was due and its reclaim";
        page.classes(("recovery_lateness", what, Some(Unit::Seconds)), &recovery.lateness, seconds)?;
        let most = Span::from_micros(recovery.lateness_max_us);
        page.span("recovery_lateness_max", "Longest of these delays since the start", most)?;
        if let Some(overdue) = self.looked.overdue {
            let what = "Time that the longest waiting due task has waited for recovery";
            page.span("recovery_overdue", what, overdue)?;
        }
        let undos = recovery.undos.iter().flat_map(|(kind, counts)| {
            [((kind.as_str(), "undone"), counts.undone), ((kind.as_str(), "failed"), counts.failed)]
        });
        let what = "Undo runs, by kind of compensation and outcome";
        page.counters("undos", what, undos, |(kind, outcome)| [("kind", kind), ("outcome", outcome)])
    }
}

impl Scrape {
    fn retention(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(CursorLag { behind, lag, .. }) = &self.looked.cursors {
            let what =
                "Events that the named cursor furthest behind has not passed, of the next 10000 of the store";
            page.gauge("cursor_behind", what, *behind)?;
            let what = "Age of the oldest event that a named cursor has not passed";
            page.span("cursor_lag", what, *lag)?;
        }
        let RetentionSnapshot { pruned, held, kept_owing, corrupt, errors, ended_at } = self.retention;
        page.counter("pruned", "Tasks that retention of this server has pruned", pruned)?;
        let what = "Tasks that named cursors kept from being pruned in the last run of this server";
        page.gauge("prune_held", what, held)?;
        let what = "Quarantined tasks that the last run kept because they still owe an undo";
        page.gauge("prune_owing", what, kept_owing)?;
        let what = "Tasks that the last run kept because their histories do not hold";
        page.gauge("prune_corrupt", what, corrupt)?;
        page.counter("prune_errors", "Runs of retention that failed", errors)?;
        let now = self.looked.cursors.as_ref().and_then(|cursors| cursors.at);
        if let Some((now, ended_at)) = now.zip(ended_at) {
            page.span(
                "prune_age",
                "Time since retention of this server last ran to its end",
                now.since(ended_at),
            )?;
        }
        Ok(())
    }
}

fn commits(page: &mut Page<'_>, metrics: &StoreMetrics) -> fmt::Result {
    let what = "Commands per transaction";
    page.classes(("commit_commands", what, None), &metrics.batch, |count| count as f64)?;
    let what = "Duration of transactions, including the wait for the writer lock";
    page.classes(("commit", what, Some(Unit::Seconds)), &metrics.commit_us, seconds)?;
    page.gauge("queue_commands", "Commands waiting for a transaction", metrics.waiting_commands)?;
    if let Some(bytes) = metrics.wal_bytes {
        let what = "Size of the write-ahead log of the SQLite file";
        page.one(("wal", what, Some(Unit::Bytes)), bytes)?;
    }
    if let Some(lag) = metrics.feed_lag {
        let what = "Time that followers have waited for events held back by an open database transaction";
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

    fn labelled_gauges<'v, const LABELS: usize>(
        &mut self,
        name: &'static str,
        what: &'static str,
        values: impl Iterator<Item = ([(&'static str, &'v str); LABELS], u64)>,
    ) -> fmt::Result {
        let what = format!("{what}.");
        let mut family = self.0.encode_descriptor(name, &what, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
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
        classes: &Histogram,
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
