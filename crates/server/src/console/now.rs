//! The first page: what needs a person, what is stale and what becomes of it, what is in flight, and how the last hour went.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::request::Parts;
use tenure::core::task::{State, Task, Terminal};
use tenure::core::time::Time;
use tenure::store::ends::EndCount;
use tenure::store::overview::{Overview, QueueCount, StateCount};
use tenure::store::watch::Watchers;

use super::chart;
use super::layout::{Layout, Place, respond};
use super::rows::{List, row};
use super::snapshot::{NAMED_MAX, Snapshot};
use super::words::{Instant, StateMark, count, state_mark};
use crate::listen::Encrypted;
use crate::route::{Answered, Asked};

#[derive(Template)]
#[template(path = "now.html")]
struct Now {
    layout: Layout,
    needs: Vec<Need>,
    states: Vec<Tile>,
    stale: List,
    quarantined: List,
    ended_badly: List,
    in_flight: List,
    chart: String,
    last_hour: String,
    causes: Vec<CauseCount>,
    queues: Vec<QueueRow>,
    recovery: RecoverySeen,
    warnings: Vec<String>,
    /// What to do first, where there is no task yet.
    first: Option<First>,
}

/// The first commands of somebody who sees this for the first time.
struct First {
    store: String,
    /// The address under which the browser reached the server.
    here: String,
    /// Whether requests need a token.
    needs_token: bool,
}

/// Something that a person should see to.
struct Need {
    words: String,
    /// The part of the page that has more of it.
    anchor: &'static str,
}

/// How many tasks are in a state.
struct Tile {
    state: StateMark,
    count: u64,
    /// How many of them are stale, or not due yet.
    note: String,
    oldest: Option<(String, Instant)>,
}

struct CauseCount {
    state: StateMark,
    cause: &'static str,
    last_hour: u64,
    last_day: u64,
}

struct QueueRow {
    name: String,
    due: u64,
    later: u64,
    in_flight: u64,
    oldest: Option<Instant>,
}

/// Whether recovery looks after the namespace.
struct RecoverySeen {
    is_there: bool,
    seen: Option<Instant>,
    kinds: Vec<String>,
    processes: usize,
}

/// `GET /`.
pub(crate) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let ledger = asked.served.ledger_of(&namespace)?;
    let snapshot = asked.served.snapshots.look(&ledger).await?;
    // Ages go on although the look is a moment old.
    let now = asked.served.ledger.now().await?;
    let layout = Layout::of(&asked, Place::Now, "Now", &namespace, now).await?;
    let mut page = Now::of(layout, &snapshot, now);
    let is_empty =
        snapshot.overview.ends.is_empty() && snapshot.overview.states.iter().all(|one| one.count == 0);
    page.first = is_empty.then(|| First {
        store: asked.served.options.store.clone(),
        here: here(&asked.head),
        needs_token: asked.caller.name.is_some(),
    });
    Ok(respond(StatusCode::OK, &page))
}

fn here(head: &Parts) -> String {
    let in_header = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = in_header.or(head.uri.authority().map(|authority| authority.as_str())).unwrap_or("localhost");
    let is_encrypted = head.extensions.get::<Encrypted>().is_some();
    if is_encrypted { format!("https://{host}") } else { host.to_owned() }
}

impl Now {
    fn of(layout: Layout, snapshot: &Snapshot, now: Time) -> Now {
        let Snapshot { overview, stale, in_flight, quarantined, ended_badly } = snapshot;
        let watchers = &overview.recovery;
        let list = |tasks: &[Task], all: u64| List {
            rows: tasks.iter().map(|task| row(task, watchers, now)).collect(),
            more: all.saturating_sub(tasks.len() as u64),
        };
        let of = |state| overview.states.iter().find(|one| one.state == state).map_or(0, |one| one.count);
        let stale_in_all = overview.states.iter().map(|one| one.stale).sum();
        let flying = of(State::Dispatched) + of(State::Running) + of(State::Compensating);
        let is_parked = |end: &&EndCount| end.state == Terminal::Quarantined;
        let badly: u64 =
            overview.did_not_succeed().filter(|end| !is_parked(end)).map(|end| end.last_day).sum();
        let unattended = if ended_badly.len() < NAMED_MAX { ended_badly.len() as u64 } else { badly };
        Now {
            layout,
            needs: needs(snapshot, now),
            states: overview.states.iter().map(|one| tile(one, now)).collect(),
            stale: list(stale, stale_in_all),
            quarantined: list(quarantined, of(State::Quarantined)),
            ended_badly: list(ended_badly, unattended),
            in_flight: List {
                // The stale ones are in a list of their own.
                rows: in_flight
                    .iter()
                    .filter(|task| !task.is_stale(now))
                    .map(|task| row(task, watchers, now))
                    .collect(),
                more: flying.saturating_sub(in_flight.len() as u64),
            },
            chart: chart::of_minutes(&overview.minutes, now),
            last_hour: last_hour(overview),
            causes: causes(overview),
            queues: overview.queues.iter().map(|one| queue(one, now)).collect(),
            recovery: recovery(watchers, now),
            warnings: overview.warnings.clone(),
            first: None,
        }
    }
}

/// What a person should see to, the most pressing first.
fn needs(snapshot: &Snapshot, now: Time) -> Vec<Need> {
    let overview = &snapshot.overview;
    let mut needs = Vec::new();
    let mut need = |words: String, anchor| needs.push(Need { words, anchor });
    let of = |state| overview.states.iter().find(|one| one.state == state).filter(|one| one.count > 0);
    let oldest = |one: &StateCount| match &one.oldest {
        Some(oldest) => format!(", the oldest for {}", Instant::of(oldest.since, now).rough),
        None => String::new(),
    };
    let stale: u64 = overview.states.iter().map(|one| one.stale).sum();
    let is_there = overview.recovery.are_there(now);
    let is_open = overview.states.iter().any(|one| one.state.terminal().is_none() && one.count > 0);
    if !is_there && is_open {
        let stale = if stale > 0 {
            format!(", and {} wait for it", count(stale, "stale task"))
        } else {
            String::new()
        };
        need(
            format!("No recovery is running{stale}: start `tenure serve` or `tenure recover --watch`"),
            "recovery",
        );
    }
    let unhandled = unhandled(&snapshot.stale, &overview.recovery);
    if is_there && !unhandled.is_empty() {
        need(
            format!(
                "No recovery has a handler for {}: tasks that owe it will be parked",
                unhandled.join(", ")
            ),
            "stale",
        );
    }
    if let Some(parked) = of(State::Quarantined) {
        let verb = if parked.count == 1 { "is" } else { "are" };
        need(
            format!("{} {verb} parked for a person{}", count(parked.count, "task"), oldest(parked)),
            "quarantined",
        );
    }
    if let Some(failed) = of(State::Failed) {
        need(
            format!("{} failed, and nobody has seen to it{}", count(failed.count, "task"), oldest(failed)),
            "ended-badly",
        );
    }
    let told = &overview.told_to_stop;
    if let Some(since) = told.since {
        let since = Instant::of(since, now).rough;
        need(
            format!("{} told to stop, and still at work, the first for {since}", count(told.count, "holder")),
            "in-flight",
        );
    }
    needs
}

/// The kinds of undo that stale tasks owe and nobody handles.
fn unhandled(stale: &[Task], watchers: &Watchers) -> Vec<String> {
    let owed = stale.iter().flat_map(Task::owed).map(|one| &one.undo.kind);
    let kinds: BTreeSet<_> =
        owed.filter(|kind| watchers.handler_of(kind).is_none()).map(ToString::to_string).collect();
    kinds.into_iter().collect()
}

fn tile(one: &StateCount, now: Time) -> Tile {
    let note = match (one.stale, one.later) {
        (0, 0) => String::new(),
        (0, later) => format!("{later} not due yet"),
        (stale, _) => format!("{stale} stale"),
    };
    let oldest = one.oldest.as_ref().map(|oldest| (oldest.task.to_string(), Instant::of(oldest.since, now)));
    Tile { state: state_mark(one.state), count: one.count, note, oldest }
}

fn last_hour(overview: &Overview) -> String {
    let sum = |of: fn(&tenure::store::ends::MinuteCount) -> u64| overview.minutes.iter().map(of).sum::<u64>();
    let (completed, badly) = (sum(|one| one.completed), sum(|one| one.ended_badly));
    let cancelled = sum(|one| one.cancelled);
    format!("{completed} completed, {badly} did not succeed, {cancelled} cancelled")
}

/// What did not succeed in the last day, over all queues, the most first.
fn causes(overview: &Overview) -> Vec<CauseCount> {
    let mut by_cause = BTreeMap::<(&str, &str), CauseCount>::new();
    for end in overview.did_not_succeed().filter(|end| end.last_day > 0) {
        let (state, cause) = (state_mark(end.state.state()), end.cause.as_str());
        let none = CauseCount { state, cause, last_hour: 0, last_day: 0 };
        let sum = by_cause.entry((state.word, cause)).or_insert(none);
        sum.last_hour += end.last_hour;
        sum.last_day += end.last_day;
    }
    let mut causes: Vec<_> = by_cause.into_values().collect();
    causes.sort_by_key(|one| std::cmp::Reverse(one.last_day));
    causes
}

fn queue(one: &QueueCount, now: Time) -> QueueRow {
    QueueRow {
        name: one.queue.to_string(),
        due: one.planned - one.later.min(one.planned),
        later: one.later,
        in_flight: one.in_flight,
        oldest: one.due_since.filter(|since| *since <= now).map(|since| Instant::of(since, now)),
    }
}

fn recovery(watchers: &Watchers, now: Time) -> RecoverySeen {
    RecoverySeen {
        is_there: watchers.are_there(now),
        seen: watchers.seen_at.map(|seen_at| Instant::of(seen_at, now)),
        kinds: watchers.kinds().iter().map(|kind| kind.to_string()).collect(),
        processes: watchers.recoverers.len(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn asked(target: &str, host: Option<&str>) -> Parts {
        let request = Request::builder().uri(target);
        let request = match host {
            Some(host) => request.header(HOST, host),
            None => request,
        };
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn the_server_is_called_as_it_was_asked() {
        assert_eq!(here(&asked("/", Some("tenure.example:7117"))), "tenure.example:7117");
        assert_eq!(here(&asked("http://h2.example/", None)), "h2.example", "HTTP/2 has it in its target");
        assert_eq!(here(&asked("/", None)), "localhost");
        let mut encrypted = asked("/", Some("tenure.example"));
        encrypted.extensions.insert(Encrypted);
        assert_eq!(here(&encrypted), "https://tenure.example");
    }
}
