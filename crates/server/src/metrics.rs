//! The metrics of a server, in the format of Prometheus. No label takes a value that callers choose, because a
//! namespace, a queue or a task as a label would create a series for each name.

mod scrape;

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tenure::core::refusal::Code;
use tenure::core::time::Span;
use tenure::core::verb::Verb;
use tenure::recovery::Recovery;
use tenure::retention::RetentionMetrics;
use tenure::store::Answer;
use tenure::{Error, Ledger};

use crate::options::Limits;
use crate::problem::OTHER_CODES;
use crate::writes::Writes;

use scrape::{Latest, Scrape};

/// The names of all metrics, as scraped. Alerts, dashboard and documents are checked against them.
pub const NAMES: [&str; 44] = [
    "tenure_build_info",
    "tenure_http_requests_total",
    "tenure_http_request_seconds",
    "tenure_http_problems_total",
    "tenure_http_connections",
    "tenure_http_streams",
    "tenure_http_memory_bytes",
    "tenure_http_memory_max_bytes",
    "tenure_commands_total",
    "tenure_refusals_total",
    "tenure_store_up",
    "tenure_scrape_seconds",
    "tenure_tasks",
    "tenure_tasks_later",
    "tenure_tasks_stale",
    "tenure_oldest_age_seconds",
    "tenure_ended_last_hour",
    "tenure_ended_last_day",
    "tenure_ended_total",
    "tenure_queue_ended_total",
    "tenure_told_to_stop",
    "tenure_told_to_stop_age_seconds",
    "tenure_recovery_seen_age_seconds",
    "tenure_commit_commands",
    "tenure_commit_seconds",
    "tenure_queue_commands",
    "tenure_wal_bytes",
    "tenure_feed_lag_seconds",
    "tenure_recovery_sweeps_total",
    "tenure_recovery_tasks_total",
    "tenure_recovery_undoing",
    "tenure_recovery_store_errors_total",
    "tenure_recovery_lateness_seconds",
    "tenure_recovery_lateness_max_seconds",
    "tenure_recovery_overdue_seconds",
    "tenure_undos_total",
    "tenure_cursor_behind",
    "tenure_cursor_lag_seconds",
    "tenure_pruned_total",
    "tenure_prune_held",
    "tenure_prune_owing",
    "tenure_prune_corrupt",
    "tenure_prune_errors_total",
    "tenure_prune_age_seconds",
];

/// The prefix of all names.
const PREFIX: &str = "tenure";

/// The bounds of the request duration buckets: from a read of a file to a claim that waits for a minute.
const REQUEST_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// The outcomes of a command.
const OUTCOMES: [&str; 5] = ["done", "refused", "unavailable", "corrupt", "unknown"];

/// The metrics. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Counted>);

struct Counted {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    problems: Family<CodeLabel, Counter>,
    connections: Gauge,
    streams: Gauge,
    memory: Gauge,
    memory_max: Gauge,
    commands: Family<CommandLabels, Counter>,
    refusals: Family<CodeLabel, Counter>,
    latest: Latest,
    writes: Writes,
    retention: RetentionMetrics,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CommandLabels {
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Metrics {
    /// Nothing is counted yet.
    pub(crate) fn new(limits: &Limits) -> Metrics {
        let request_seconds: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let mut counted = Counted {
            registry: Registry::with_prefix(PREFIX),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_seconds),
            problems: Family::default(),
            connections: Gauge::default(),
            streams: Gauge::default(),
            memory: Gauge::default(),
            memory_max: Gauge::default(),
            commands: Family::default(),
            refusals: Family::default(),
            latest: Latest::of(limits),
            writes: Writes::new(limits.writes_refused_after),
            retention: RetentionMetrics::default(),
        };
        counted.register();
        counted.begin();
        Metrics(Arc::new(counted))
    }

    /// A request was answered with a problem.
    pub(crate) fn problem(&self, code: &'static str) {
        self.0.problems.get_or_create(&CodeLabel { code }).inc();
    }

    /// A request was answered; of a stream, its head.
    pub(crate) fn answered(
        &self,
        (method, route): (&'static str, &'static str),
        status: StatusCode,
        took: Span,
    ) {
        let labels = RequestLabels { method, route, status: status.as_u16() };
        self.0.requests.get_or_create(&labels).inc();
        let took = scrape::seconds(took.as_micros());
        self.0.request_seconds.get_or_create(&RouteLabels { method, route }).observe(took);
    }

    /// Counts an open connection until the returned guard is dropped.
    pub(crate) fn connection(&self) -> Open {
        Open::of(&self.0.connections)
    }

    /// Counts an open event stream until the returned guard is dropped.
    pub(crate) fn stream(&self) -> Open {
        Open::of(&self.0.streams)
    }

    /// A command of a request or of recovery was answered.
    pub(crate) fn command(&self, verb: Verb, answer: &Result<Answer, Error>) {
        if let Err(Error::Refused(refusal)) = answer {
            self.0.refusals.get_or_create(&CodeLabel { code: refusal.code.as_str() }).inc();
        }
        let labels = CommandLabels { verb: label(verb), outcome: outcome(answer) };
        self.0.commands.get_or_create(&labels).inc();
    }

    /// Whether the store accepts writes.
    pub(crate) fn writes(&self) -> &Writes {
        &self.0.writes
    }

    /// What the retention loop of this server counts.
    pub(crate) fn retention(&self) -> RetentionMetrics {
        self.0.retention.clone()
    }

    /// How much memory requests have now, and how much they may have.
    pub(crate) fn memory(&self, (taken, max): (usize, usize)) {
        self.0.memory.set(i64::try_from(taken).unwrap_or(i64::MAX));
        self.0.memory_max.set(i64::try_from(max).unwrap_or(i64::MAX));
    }

    /// All metrics, and the state of store and recovery now, as OpenMetrics.
    pub(crate) async fn text(&self, ledger: &Ledger, recovery: &Recovery) -> String {
        let looked = self.0.latest.look(ledger, recovery).await;
        let takes_writes = !self.0.writes.are_refused();
        let retention = self.0.retention.snapshot();
        let scrape = Scrape { looked, takes_writes, recovery: recovery.metrics().snapshot(), retention };
        let mut scraped = Registry::with_prefix(PREFIX);
        scraped.register_collector(Box::new(scrape));
        let mut text = String::new();
        if self.write(&mut text, &scraped).is_err() {
            tracing::error!("the metrics could not be written completely");
        }
        text
    }

    fn write(&self, text: &mut String, scraped: &Registry) -> fmt::Result {
        encode_registry(text, &self.0.registry)?;
        encode_registry(text, scraped)?;
        encode_eof(text)
    }
}

fn outcome(answer: &Result<Answer, Error>) -> &'static str {
    let [done, refused, unavailable, corrupt, unknown] = OUTCOMES;
    match answer {
        Ok(_) => done,
        Err(Error::Refused(_)) => refused,
        Err(Error::Unavailable(_)) => unavailable,
        Err(Error::Corrupt(_)) => corrupt,
        // And what a later version adds: it says nothing else for sure.
        Err(_) => unknown,
    }
}

impl Counted {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the server", version);
        registry.register("http_requests", "HTTP responses, by route and status", self.requests.clone());
        registry.register_with_unit(
            "http_request",
            "Duration of requests, including the time that they wait for work or events",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register("http_problems", "Error responses, by code", self.problems.clone());
        registry.register("http_connections", "Open connections", self.connections.clone());
        registry.register("http_streams", "Open event streams", self.streams.clone());
        registry.register_with_unit(
            "http_memory",
            "Memory used by requests, small bodies included",
            Unit::Bytes,
            self.memory.clone(),
        );
        registry.register_with_unit(
            "http_memory_max",
            "Memory that requests may use, with the part for small bodies",
            Unit::Bytes,
            self.memory_max.clone(),
        );
        registry.register(
            "commands",
            "Commands from requests and from recovery, by verb and outcome",
            self.commands.clone(),
        );
        registry.register("refusals", "Refused commands, by code", self.refusals.clone());
    }

    /// Starts all known counters at zero: a counter that first appears with its first event shows no increase
    /// to monitoring.
    fn begin(&self) {
        for verb in Verb::ALL.iter().copied().map(label) {
            for outcome in OUTCOMES {
                drop(self.commands.get_or_create(&CommandLabels { verb, outcome }));
            }
        }
        for code in Code::ALL {
            drop(self.refusals.get_or_create(&CodeLabel { code: code.as_str() }));
        }
        for (code, _, _) in OTHER_CODES {
            drop(self.problems.get_or_create(&CodeLabel { code }));
        }
    }
}

/// A guard that counts an open thing.
pub(crate) struct Open(Gauge);

impl Open {
    fn of(gauge: &Gauge) -> Open {
        gauge.inc();
        Open(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The verb under which a command is counted. Both kinds of register count as one.
fn label(verb: Verb) -> &'static str {
    if verb == Verb::RegisterBeforeLease { Verb::Register.as_str() } else { verb.as_str() }
}

#[cfg(test)]
mod tests;
