//! A scrape has the promised metric names, and no unknown ones.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure::core::id::Namespace;
use tenure::core::refusal::Refusal;
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::handler::Handlers;
use tenure::retention::RetentionSnapshot;
use tenure::store::metrics::StoreMetrics;
use tenure::store::watch::Presence;

use super::scrape::{CursorLag, InState, Looked, Overviews, overviews};
use super::*;
use crate::routes::routes;

/// The names of samples, by the types that are said of them; histograms without the ends of their names.
fn names(text: &str) -> BTreeSet<String> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let name = |(name, kind): (&str, &str)| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    };
    typed.map(name).collect()
}

fn lines<'t>(text: &'t str, of: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(of)).collect()
}

async fn ledger() -> Ledger {
    Ledger::open("memory:").await.expect("opens")
}

fn recovery(ledger: &Ledger) -> Recovery {
    let handlers = Handlers::new().on("close-pr", |_| async { Ok("closed".to_owned()) });
    Recovery::new(ledger.clone()).handlers(handlers.expect("a kind"))
}

/// With everything in it that can be.
fn whole(ledger: &Ledger) -> Scrape {
    let oldest = Some(Span::from_secs(90));
    let planned = InState { state: State::Planned.as_str(), count: 3, later: 1, stale: 0, oldest };
    let metrics = StoreMetrics {
        wal_bytes: Some(4_096),
        feed_lag: Some(Span::from_millis(5)),
        ..StoreMetrics::default()
    };
    let looked = Looked {
        is_up: true,
        took: Span::from_millis(2),
        overview: Some(Overviews {
            states: vec![planned],
            ends: [(("failed", "failed"), [1, 2, 3])].into(),
            queue_ends: [(("nightly".to_owned(), "failed", "failed"), 3)].into(),
            told_to_stop: 1,
            told_to_stop_age: Some(Span::from_secs(5)),
            recovery_seen_age: Some(Span::from_secs(1)),
        }),
        metrics: Some(metrics),
        overdue: Some(Span::ZERO),
        cursors: Some(CursorLag { behind: 3, lag: Span::from_secs(4), at: Some(Time::from_micros(9)) }),
    };
    let retention =
        RetentionSnapshot { ended_at: Some(Time::from_micros(5)), ..RetentionSnapshot::default() };
    let recovery = recovery(ledger).metrics().snapshot();
    Scrape { looked: Arc::new(looked), takes_writes: true, recovery, retention }
}

fn metrics() -> Metrics {
    Metrics::new(&Limits::default())
}

fn written(metrics: &Metrics, scrape: Scrape) -> String {
    let mut scraped = Registry::with_prefix(PREFIX);
    scraped.register_collector(Box::new(scrape));
    let mut text = String::new();
    metrics.write(&mut text, &scraped).expect("it is written");
    text
}

#[tokio::test]
async fn every_name_that_is_promised_is_scraped_and_no_other() {
    let metrics = metrics();
    let live = &routes()[0];
    metrics.answered((live.method.as_str(), live.path), StatusCode::OK, Span::from_millis(3));
    metrics.problem("not_found");
    metrics.command(Verb::Heartbeat, &Err(Refusal::new(Code::StaleEpoch, "it is over").into()));
    let text = written(&metrics, whole(&ledger().await));
    let promised: BTreeSet<String> = NAMES.iter().map(ToString::to_string).collect();
    assert_eq!(names(&text), promised, "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn what_is_open_is_counted_until_it_is_dropped() {
    let (metrics, ledger) = (metrics(), ledger().await);
    let (one, _other) = (metrics.connection(), metrics.connection());
    drop(one);
    let text = written(&metrics, whole(&ledger));
    assert_eq!(lines(&text, "tenure_http_connections "), ["tenure_http_connections 1"]);
    assert_eq!(lines(&text, "tenure_http_streams "), ["tenure_http_streams 0"]);
}

#[tokio::test]
async fn commands_are_counted_by_verb_and_outcome_and_what_never_happened_is_there_as_nothing() {
    let (metrics, ledger) = (metrics(), ledger().await);
    metrics.command(Verb::Heartbeat, &Err(Refusal::new(Code::StaleEpoch, "it is over").into()));
    metrics.command(Verb::Heartbeat, &Err(Error::Unknown("nobody knows".into())));
    let text = written(&metrics, whole(&ledger));
    for (line, count) in [
        ("tenure_commands_total{verb=\"heartbeat\",outcome=\"refused\"}", 1),
        ("tenure_commands_total{verb=\"heartbeat\",outcome=\"unknown\"}", 1),
        ("tenure_commands_total{verb=\"claim\",outcome=\"unavailable\"}", 0),
        ("tenure_refusals_total{code=\"stale_epoch\"}", 1),
        ("tenure_undos_total{kind=\"close-pr\",outcome=\"failed\"}", 0),
    ] {
        assert_eq!(lines(&text, line), [format!("{line} {count}")]);
    }
}

#[tokio::test]
async fn of_a_store_that_is_away_nothing_is_told_but_that() {
    let metrics = metrics();
    let away = Scrape {
        looked: Arc::new(Looked::default()),
        takes_writes: true,
        recovery: recovery(&ledger().await).metrics().snapshot(),
        retention: RetentionSnapshot::default(),
    };
    let text = written(&metrics, away);
    assert_eq!(lines(&text, "tenure_store_up "), ["tenure_store_up 0"]);
    for unknown in
        ["tenure_tasks", "tenure_oldest", "tenure_commit", "tenure_queue", "tenure_recovery_overdue"]
    {
        assert_eq!(lines(&text, unknown), [""; 0]);
    }
}

#[tokio::test]
async fn tasks_are_added_up_over_all_namespaces_and_the_oldest_of_all_counts() {
    let ledger = ledger().await;
    let elsewhere = ledger.in_namespace("elsewhere").expect("a name");
    ledger.create("a").await.expect("created");
    elsewhere.create("a").await.expect("created");
    elsewhere.create("b").not_before(tenure::core::time::Time::MAX).await.expect("created");
    let text = metrics().text(&ledger, &recovery(&ledger)).await;
    assert_eq!(lines(&text, "tenure_tasks{state=\"planned\"}"), ["tenure_tasks{state=\"planned\"} 3"]);
    assert_eq!(
        lines(&text, "tenure_tasks_later{state=\"planned\"}"),
        ["tenure_tasks_later{state=\"planned\"} 1"]
    );
    assert_eq!(lines(&text, "tenure_tasks{state=\"running\"}"), ["tenure_tasks{state=\"running\"} 0"]);
    assert_eq!(
        lines(&text, "tenure_oldest_age_seconds{").len(),
        1,
        "of a state without a task there is no age"
    );
    assert_eq!(lines(&text, "tenure_store_up "), ["tenure_store_up 1"]);
    assert_eq!(lines(&text, "tenure_commit_commands_count"), ["tenure_commit_commands_count 3"]);
}

#[tokio::test]
async fn a_store_is_asked_once_for_all_who_ask_in_the_same_second() {
    let ledger = ledger().await;
    let recovery = recovery(&ledger);
    let measured = |measured_age_max| Metrics::new(&Limits { measured_age_max, ..Limits::default() });
    // By the one everybody asks in the same moment, by the other nobody does.
    let (same, later) = (measured(Duration::from_secs(3_600)), measured(Duration::ZERO));
    let planned = async |metrics: &Metrics| {
        lines(&metrics.text(&ledger, &recovery).await, "tenure_tasks{state=\"planned\"}").concat()
    };
    let (first, first_later) = (planned(&same).await, planned(&later).await);
    ledger.create("a").await.expect("created");
    assert_eq!(planned(&same).await, first, "what was seen a moment ago is good enough");
    assert_ne!(planned(&later).await, first_later, "and then it is asked again");
}

#[tokio::test]
async fn a_namespace_that_nobody_ever_looked_after_is_not_hidden_by_the_others() {
    let ledger = ledger().await;
    let store = ledger.store();
    for namespace in ["watched", "alone"] {
        let ledger = ledger.in_namespace(namespace).expect("a name");
        ledger.create("t").await.expect("created");
    }
    let looks_after = |namespace| Presence {
        namespaces: vec![Namespace::new(namespace).expect("a name")],
        ..Presence::default()
    };
    let age = async || overviews(store.as_ref()).await.expect("known").recovery_seen_age;
    store.watch(looks_after("watched")).await.expect("renewed");
    assert_eq!(age().await, None, "without an age the alert rings");
    store.watch(looks_after("alone")).await.expect("renewed");
    assert!(age().await.is_some());
}
