//! The queues: what waits in each, whether somebody works on it, and how its tasks ended.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::StatusCode;
use tenure::core::time::Time;
use tenure::store::ends::EndCount;
use tenure::store::overview::{Overview, QueueCount};
use tenure_view::needs::is_alone;
use tenure_view::words::{StateMark, count, state_mark};

use super::address::encoded;
use super::layout::{Layout, Place, respond};
use super::now::{self, QueueRow};
use super::snapshot::Seen;
use crate::route::{Answered, Asked};

/// How many queues are shown. The page says if there are more.
const QUEUES_MAX: usize = 200;
/// How many of those that nobody works on are named at the top.
const NAMED_MAX: usize = 10;

#[derive(Template)]
#[template(path = "queues.html")]
struct Queues {
    layout: Layout,
    /// Those that have due tasks, of which none is in flight, with their addresses.
    unattended: Vec<(String, String)>,
    unattended_words: String,
    queues: Vec<Queue>,
    /// How many are not shown.
    more: usize,
}

/// A queue, and how its tasks ended.
struct Queue {
    counts: QueueRow,
    /// The addresses of its open tasks, and of those that are planned.
    open: String,
    planned: String,
    is_unattended: bool,
    ends: Vec<Ends>,
}

/// How many tasks of a queue ended in a state.
struct Ends {
    state: StateMark,
    path: String,
    last_hour: u64,
    last_day: u64,
}

/// `GET /queues`.
pub(super) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let ledger = asked.served.ledger_of(&namespace)?;
    let Seen { snapshot, again } = asked.served.snapshots.look(&ledger, &asked.quota).await?;
    // All ages are as of the look.
    let layout = Layout::of(&asked, Place::Queues, "Queues", &namespace, snapshot.overview.at).await?;
    let page = Queues::of(layout.again_after(again), &snapshot.overview, namespace.as_str());
    Ok(respond(StatusCode::OK, &page))
}

impl Queues {
    fn of(layout: Layout, overview: &Overview, namespace: &str) -> Queues {
        let mut queues = queues(overview, namespace);
        let unattended: Vec<_> = queues.iter().filter(|queue| queue.is_unattended).collect();
        let named = unattended.iter().take(NAMED_MAX);
        let named = named.map(|queue| (queue.counts.name.clone(), queue.planned.clone())).collect();
        let unattended_words = match unattended.len() {
            1 => "Nobody works on 1 queue that has due tasks".to_owned(),
            number => format!("Nobody works on {} that have due tasks", count(number as u64, "queue")),
        };
        // Those are never left out for others.
        queues.sort_by_key(|queue| !queue.is_unattended);
        let more = queues.len().saturating_sub(QUEUES_MAX);
        queues.truncate(QUEUES_MAX);
        queues.sort_by(|one, other| one.counts.name.cmp(&other.counts.name));
        Queues { layout, unattended: named, unattended_words, queues, more }
    }
}

/// Every queue that has an open task, or of which one ended in the last day, by name.
fn queues(overview: &Overview, namespace: &str) -> Vec<Queue> {
    let mut ends = BTreeMap::<&str, Vec<&EndCount>>::new();
    for end in overview.ends.iter().filter(|end| end.last_day > 0) {
        ends.entry(end.queue.as_str()).or_default().push(end);
    }
    let mut counts: BTreeMap<&str, QueueRow> =
        overview.queues.iter().map(|one| (one.queue.as_str(), now::queue(one, overview.at))).collect();
    for (name, ends) in &ends {
        let Some(end) = ends.first().filter(|_| !counts.contains_key(name)) else { continue };
        counts.insert(name, nothing_open(end, overview.at));
    }
    let alone = overview.queues.iter().filter(|queue| is_alone(queue, overview.at));
    let alone: BTreeSet<&str> = alone.map(|queue| queue.queue.as_str()).collect();
    let of = |(name, counts): (&str, QueueRow)| {
        let list = format!("/tasks?ns={}&queue={}", encoded(namespace), encoded(name));
        Queue {
            is_unattended: alone.contains(name),
            open: format!("{list}&open=true"),
            planned: format!("{list}&state=planned&order=oldest"),
            ends: by_state(ends.get(name).map_or(&[], Vec::as_slice), &list),
            counts,
        }
    };
    counts.into_iter().map(of).collect()
}

/// A queue that has no open task.
fn nothing_open(end: &EndCount, now: Time) -> QueueRow {
    let queue = end.queue.clone();
    now::queue(&QueueCount { queue, planned: 0, later: 0, in_flight: 0, due_since: None }, now)
}

/// Over all causes, the most first.
fn by_state(ends: &[&EndCount], list: &str) -> Vec<Ends> {
    let mut by_state = BTreeMap::<&str, Ends>::new();
    for end in ends {
        let state = state_mark(end.state.state());
        let path = format!("{list}&state={}&since=24h", state.word);
        let sum = by_state.entry(state.word).or_insert(Ends { state, path, last_hour: 0, last_day: 0 });
        sum.last_hour += end.last_hour;
        sum.last_day += end.last_day;
    }
    let mut ends: Vec<Ends> = by_state.into_values().collect();
    ends.sort_by_key(|one| std::cmp::Reverse(one.last_day));
    ends
}
