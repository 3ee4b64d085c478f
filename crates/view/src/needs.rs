//! What a person should see to, in words, the most pressing first.

use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure::why::why_watched;

use crate::Snapshot;
use crate::words::{Instant, count};

/// Something that a person should see to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// What it is.
    pub words: String,
    /// Where a screen has more of it.
    pub section: Section,
}

/// The parts that each first screen has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Tasks whose lease or reservation has lapsed.
    Stale,
    /// Tasks that are parked for a person.
    Quarantined,
    /// Tasks that did not succeed.
    EndedBadly,
    /// Tasks that somebody works on.
    InFlight,
    /// Whether recovery runs.
    Recovery,
}

/// What a person should see to.
pub fn needs(snapshot: &Snapshot, now: Time) -> Vec<Need> {
    let found = [recovery(snapshot, now), parked(snapshot, now), badly(snapshot, now), told(snapshot, now)];
    found.into_iter().flatten().collect()
}

/// That no recovery runs, or that it can't handle a task.
fn recovery(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let overview = &snapshot.overview;
    if overview.recovery.are_there(now) {
        let (task, obstacle) = first_obstacle(snapshot, now)?;
        return Some(Need { words: format!("{}: {obstacle}", task.id), section: Section::Stale });
    }
    let is_open = overview.states.iter().any(|one| one.state.terminal().is_none() && one.count > 0);
    let waiting = match snapshot.stale_count() {
        0 => String::new(),
        1 => ", and 1 stale task waits for it".to_owned(),
        stale => format!(", and {stale} stale tasks wait for it"),
    };
    let words = format!("No recovery is running{waiting}: start `tenure serve` or `tenure recover --watch`");
    is_open.then_some(Need { words, section: Section::Recovery })
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
    Some(Need { words, section: Section::Quarantined })
}

fn badly(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let number = snapshot.ended_badly.len() as u64;
    let oldest = snapshot.ended_badly.last()?.ending().map(|ending| ending.finished_at);
    let or_more = if snapshot.has_more_that_ended_badly { " or more" } else { "" };
    let (noun, age) = (if number == 1 { "task" } else { "tasks" }, age(oldest, now));
    let words = format!("{number}{or_more} {noun} did not succeed, and nobody has seen to it{age}");
    Some(Need { words, section: Section::EndedBadly })
}

/// Holders that were told to stop and go on.
fn told(snapshot: &Snapshot, now: Time) -> Option<Need> {
    let told = &snapshot.overview.told_to_stop;
    let since = Instant::of(told.since?, now).rough;
    let (was, goes) = if told.count == 1 { ("was", "goes") } else { ("were", "go") };
    let holders = count(told.count, "holder");
    let words = format!("{holders} {was} told to stop and {goes} on, the first for {since}");
    Some(Need { words, section: Section::InFlight })
}

fn age(oldest: Option<Time>, now: Time) -> String {
    oldest.map_or_else(String::new, |since| format!(", the oldest for {}", Instant::of(since, now).rough))
}
