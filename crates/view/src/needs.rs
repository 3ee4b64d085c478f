//! What a person should see to, in words, the most pressing first.

use tenure::core::id::TaskId;
use tenure::core::task::{State, Task};
use tenure::core::time::{Span, Time};
use tenure::instant::print_seconds;
use tenure::store::overview::QueueCount;
use tenure::why::why_watched;

use crate::Snapshot;
use crate::words::{Instant, count};

/// How the warning of a server begins that can't write to its store. Recovery can't say then that it runs.
pub const UNWRITABLE: &str = "the store can't be written";
/// A queue may be left alone for so long: a worker may just be between two claims.
const ALONE_MAX: Span = Span::from_secs(60);
/// Of a list of tasks needs count the first ones, which every screen reads however much it lists: so all screens say the same.
const COUNTED_MAX: usize = 20;
/// How many queues are named.
const QUEUES_NAMED: usize = 3;

/// Something that a person should see to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// What it is.
    pub words: String,
    /// The task that it is about, if it is about one.
    pub task: Option<TaskId>,
    /// Else where a screen has more of it.
    pub section: Section,
}

/// The parts that each first screen has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// The store as a whole.
    Store,
    /// Tasks whose lease or reservation has lapsed.
    Stale,
    /// Tasks that are parked for a person.
    Quarantined,
    /// Tasks that did not succeed.
    EndedBadly,
    /// Tasks that somebody works on.
    InFlight,
    /// What waits.
    Queues,
    /// Whether recovery runs.
    Recovery,
}

impl Need {
    fn of(words: String, section: Section) -> Need {
        Need { words, task: None, section }
    }
}

/// What a person should see to.
pub fn needs(snapshot: &Snapshot, now: Time) -> Vec<Need> {
    let warnings = snapshot.overview.warnings.iter();
    let warnings = warnings.map(|words| Need::of(first_large(words), Section::Store));
    let found = [
        recovery(snapshot, now),
        parked(snapshot, now),
        held(snapshot, now),
        either(snapshot, now),
        badly(snapshot, now),
        told(snapshot, now),
        alone(snapshot, now),
    ];
    warnings.chain(found.into_iter().flatten()).collect()
}

fn first_large(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// That no recovery runs, or that it can't handle a task.
fn recovery(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let overview = &snapshot.overview;
    if overview.warnings.iter().any(|words| words.starts_with(UNWRITABLE)) {
        return None;
    }
    if overview.recovery.are_there(now) {
        let (task, obstacle) = first_obstacle(snapshot, now)?;
        let words = format!("{}: {obstacle}", task.id);
        return Some(Need { words, task: Some(task.id.clone()), section: Section::Stale });
    }
    let is_open = overview.states.iter().any(|one| one.state.terminal().is_none() && one.count > 0);
    let words = format!(
        "No recovery is running{}: start `tenure recover --watch`, or `tenure serve` without --no-recovery",
        waiting_for_recovery(snapshot)
    );
    is_open.then_some(Need::of(words, Section::Recovery))
}

/// How many tasks wait for recovery, to follow words on its absence; empty if none does.
pub fn waiting_for_recovery(snapshot: &Snapshot) -> String {
    let mut states = snapshot.overview.states.iter();
    let undone = states.find(|one| one.state == State::Compensating);
    let undone = undone.map_or(0, |one| one.count.saturating_sub(one.stale));
    // Who undoes a task under a lease does not wait for it, nor does a task that is held back. Of many, only the first are known.
    let leased = |task: &&Task| task.state() == State::Compensating && task.lease().is_some();
    let leased = counted(&snapshot.in_flight).iter().filter(leased).count() as u64;
    let held = counted(&snapshot.stale).iter().filter(|task| task.is_held_back()).count() as u64;
    match snapshot.stale_count().saturating_sub(held) + undone.saturating_sub(leased) {
        0 => String::new(),
        1 => ", and 1 task waits for it".to_owned(),
        waiting => format!(", and {waiting} tasks wait for it"),
    }
}

/// A stale task that recovery can't handle, and why.
fn first_obstacle(snapshot: &Snapshot, now: Time) -> Option<(&Task, String)> {
    let watchers = &snapshot.overview.recovery;
    let undone = snapshot.in_flight.iter().filter(|task| task.state() == State::Compensating);
    let mut waiting = snapshot.stale.iter().chain(undone);
    waiting.find_map(|task| Some((task, why_watched(task, now, watchers).obstacle?)))
}

fn parked(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let mut states = snapshot.overview.states.iter();
    let parked = states.find(|one| one.state == State::Quarantined && one.count > 0)?;
    let verb = if parked.count == 1 { "is" } else { "are" };
    let age = age(parked.oldest.as_ref().map(|one| one.since), now);
    let words = format!("{} {verb} parked for a person{age}", count(parked.count, "task"));
    Some(Need::of(words, Section::Quarantined))
}

/// Lapsed tasks that recovery leaves, because their policy is to hold them.
fn held(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let stale = counted(&snapshot.stale);
    let held: Vec<&Task> = stale.iter().filter(|task| task.is_held_back()).collect();
    let first = held.iter().min_by_key(|task| lapsed_at(task))?;
    let or_more = if snapshot.stale_count() > stale.len() as u64 { " or more" } else { "" };
    let (noun, waits) =
        if held.len() == 1 && or_more.is_empty() { ("task", "waits") } else { ("tasks", "wait") };
    let words = format!(
        "{}{or_more} {noun} {waits} for a new owner{}: under `hold` recovery leaves a lapsed lease, and only somebody who acquires the task goes on",
        held.len(),
        age(lapsed_at(first), now)
    );
    let task = (held.len() == 1).then(|| first.id.clone());
    Some(Need { words, task, section: Section::Stale })
}

/// A lapsed task that another owner may still take over before recovery undoes it: the one that recovery reclaims first.
fn either(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let reclaimed_at = |task: &Task| {
        let at = task.recoverable_at(task.lease()?);
        (task.recover_after().is_some() && at > now).then_some(at)
    };
    let waiting = counted(&snapshot.stale).iter().filter_map(|task| Some((reclaimed_at(task)?, task)));
    let (at, task) = waiting.min_by_key(|(at, _)| *at)?;
    let (until, left) = (print_seconds(at), Instant::of(at, now).rough);
    let words = format!(
        "{}: its lease lapsed, and another owner may take it over until {until} (in {left}); then recovery undoes it",
        task.id
    );
    Some(Need { words, task: Some(task.id.clone()), section: Section::Stale })
}

/// The first tasks of a list, as many as are counted.
fn counted(tasks: &[Task]) -> &[Task] {
    &tasks[..tasks.len().min(COUNTED_MAX)]
}

fn lapsed_at(task: &Task) -> Option<Time> {
    task.lease().map(|lease| lease.expires_at)
}

fn badly(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let named = counted(&snapshot.ended_badly);
    let number = named.len() as u64;
    let finished = |task: &Task| task.ending().map(|ending| ending.finished_at);
    let oldest = named.iter().filter_map(finished).min()?;
    // Of more than are counted nobody knows the oldest.
    let has_more = snapshot.has_more_that_ended_badly || snapshot.ended_badly.len() > named.len();
    let (or_more, age) = match has_more {
        true => (" or more", String::new()),
        false => ("", age(Some(oldest), now)),
    };
    let noun = if number == 1 { "task" } else { "tasks" };
    let words = format!("{number}{or_more} {noun} did not succeed, and nobody has seen to it{age}");
    Some(Need::of(words, Section::EndedBadly))
}

/// Holders that were told to stop and go on.
fn told(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let told = &snapshot.overview.told_to_stop;
    let since = Instant::of(told.since?, now).rough;
    let (was, goes) = if told.count == 1 { ("was", "goes") } else { ("were", "go") };
    let holders = count(told.count, "holder");
    let mut words = format!("{holders} {was} told to stop and {goes} on, the first for {since}");
    let told_since = |task: &Task| task.lease()?.cancel_told.map(|told| told.since);
    let first = snapshot.in_flight.iter().find(|task| told_since(task) == told.since);
    let task = first.map(|task| task.id.clone());
    if let Some(task) = &task {
        words = format!("{task}: {words}");
    }
    Some(Need { words, task, section: Section::InFlight })
}

/// Queues with due tasks of which nobody has any.
fn alone(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let alone = snapshot.overview.queues.iter().filter(|queue| is_alone(queue, now));
    let alone: Vec<_> = alone.filter_map(|queue| Some((queue, queue.due_since?))).collect();
    let oldest = alone.iter().map(|(_, since)| *since).min()?;
    let due: u64 = alone.iter().map(|(queue, _)| queue.planned - queue.later).sum();
    let mut names: Vec<&str> =
        alone.iter().take(QUEUES_NAMED).map(|(queue, _)| queue.queue.as_str()).collect();
    if alone.len() > QUEUES_NAMED {
        names.push("others");
    }
    let (due, age) = (count(due, "due task"), age(Some(oldest), now));
    let words = format!("Nobody works on the queue {}: {due}{age}", names.join(", "));
    Some(Need::of(words, Section::Queues))
}

/// Whether a queue has due tasks, and nobody has any of it or takes one.
pub fn is_alone(queue: &QueueCount, now: Time) -> bool {
    let waits = queue.due_since.is_some_and(|since| since <= now && now.since(since) > ALONE_MAX);
    queue.in_flight == 0 && queue.planned > queue.later && waits
}

fn age(oldest: Option<Time>, now: Time) -> String {
    oldest.map_or_else(String::new, |since| format!(", the oldest for {}", Instant::of(since, now).rough))
}
