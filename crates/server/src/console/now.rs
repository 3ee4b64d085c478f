//! The first page: what needs a person, what is stale and what becomes of it, what is in flight, and how the last hour went.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::request::Parts;
use tenure::core::id::Namespace;
use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure::store::overview::{Overview, QueueCount, StateCount};
use tenure::store::watch::Watchers;
use tenure_view::Snapshot;
use tenure_view::needs::{Need, Section, needs};
use tenure_view::words::{Instant, StateMark, state_mark};

use super::address::task_path;
use super::chart;
use super::layout::{Layout, Place, respond};
use super::rows::{List, row};
use super::snapshot::Seen;
use crate::listen::Encrypted;
use crate::route::{Answered, Asked};

#[derive(Template)]
#[template(path = "now.html")]
struct Now {
    layout: Layout,
    /// What a person should see to, each with the part of the page that has more of it.
    needs: Vec<NeedView>,
    states: Vec<Tile>,
    stale: List,
    quarantined: List,
    ended_badly: List,
    has_more_that_ended_badly: bool,
    in_flight: List,
    chart: String,
    last_hour: String,
    causes: Vec<CauseCount>,
    queues: Vec<QueueRow>,
    recovery: RecoverySeen,
    /// Whether the person may run recovery by hand.
    may_act: bool,
    /// What to do first, where there is no task yet.
    first: Option<First>,
}

/// Something that a person should see to, with the page or the part of this one that has more of it.
struct NeedView {
    words: String,
    path: String,
}

/// The first commands of somebody who sees this for the first time.
struct First {
    store: String,
    /// The address under which the browser reached the server.
    here: String,
    /// Whether requests need a token.
    needs_token: bool,
}

/// How many tasks are in a state.
struct Tile {
    state: StateMark,
    count: u64,
    /// How many of them are stale, or not due yet.
    note: String,
    oldest: Option<Instant>,
}

struct CauseCount {
    state: StateMark,
    cause: &'static str,
    last_hour: u64,
    last_day: u64,
}

/// A queue: what is due, what is not due yet, and what is in flight.
pub(super) struct QueueRow {
    pub(super) name: String,
    pub(super) due: u64,
    pub(super) later: u64,
    pub(super) in_flight: u64,
    /// Since when the longest waiting task is due, if one is.
    pub(super) oldest: Option<Instant>,
}

/// Whether recovery runs for the namespace.
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
    let Seen { snapshot, again } = asked.served.snapshots.look(&ledger, &asked.quota).await?;
    // All ages are as of the look: recovery, for one, was there then, and what it did since is not known.
    let now = snapshot.overview.at;
    let layout = Layout::of(&asked, Place::Now, "Now", &namespace, now).await?;
    let mut page = Now::of(layout.again_after(again), &namespace, &snapshot, now);
    page.may_act = asked.may_act();
    page.first = snapshot.is_empty().then(|| First {
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
    fn of(layout: Layout, namespace: &Namespace, snapshot: &Snapshot, now: Time) -> Now {
        let Snapshot { overview, stale, in_flight, quarantined, ended_badly, .. } = snapshot;
        let watchers = &overview.recovery;
        let list = |tasks: &[Task], all: u64| List {
            rows: tasks.iter().map(|task| row(task, watchers, now)).collect(),
            more: all.saturating_sub(tasks.len() as u64),
        };
        let needs = needs(snapshot, now).into_iter();
        Now {
            layout,
            needs: needs.map(|need| need_view(need, namespace)).collect(),
            states: overview.states.iter().map(|one| tile(one, now)).collect(),
            stale: list(stale, snapshot.stale_count()),
            quarantined: list(first(quarantined), snapshot.count_of(State::Quarantined)),
            ended_badly: list(first(ended_badly), ended_badly.len() as u64),
            has_more_that_ended_badly: snapshot.has_more_that_ended_badly,
            in_flight: list(in_flight, snapshot.in_flight_count()),
            chart: chart::of_minutes(&overview.minutes, now),
            last_hour: last_hour(overview),
            causes: causes(overview),
            queues: overview.queues.iter().map(|one| queue(one, now)).collect(),
            recovery: recovery(watchers, now),
            may_act: false,
            first: None,
        }
    }
}

/// Of what ended the first are named here, so that what goes on is not far below. Triage has them all.
fn first(ended: &[Task]) -> &[Task] {
    const NAMED_MAX: usize = 8;
    &ended[..ended.len().min(NAMED_MAX)]
}

fn need_view(need: Need, namespace: &Namespace) -> NeedView {
    let Need { words, task, section } = need;
    let path = task.map_or_else(|| format!("#{}", anchor(section)), |task| task_path(namespace, &task));
    NeedView { words, path }
}

/// Where the page has more of what a person should see to.
fn anchor(section: Section) -> &'static str {
    match section {
        Section::Store => "states",
        Section::Queues => "queues",
        Section::Stale => "stale",
        Section::Quarantined => "quarantined",
        Section::EndedBadly => "ended-badly",
        Section::InFlight => "in-flight",
        Section::Recovery => "recovery",
    }
}

fn tile(one: &StateCount, now: Time) -> Tile {
    let note = match (one.stale, one.later) {
        (0, 0) => String::new(),
        (0, later) => format!("{later} not due yet"),
        (stale, _) => format!("{stale} stale"),
    };
    let oldest = one.oldest.as_ref().map(|oldest| Instant::of(oldest.since, now));
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

pub(super) fn queue(one: &QueueCount, now: Time) -> QueueRow {
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
