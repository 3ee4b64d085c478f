//! What happened to a task, as its screen shows it: the attempts, and the events with long pauses named.

use tenure::core::event::{EventData, Grant, LeaseEnd, SweepCounts};
use tenure::core::id::TaskId;
use tenure::core::task::{State, Task};
use tenure::core::time::{Span, Time};
use tenure::instant::rough;
use tenure::store::{EventSearch, Page, PageSize, Recorded};
use tenure::{Error, Ledger};

use crate::words::{Instant, count};

/// Between events that are further apart than this, the page says how long nothing happened.
const GAP: Span = Span::from_secs(60);
/// One attempt at the work, or at its undo.
pub struct Attempt {
    /// The epoch of its lease.
    pub epoch: u64,
    /// Who had it.
    pub owner: String,
    /// `work` or `undo`.
    pub what: &'static str,
    /// When it began.
    pub began: Instant,
    /// How long it took, or has taken.
    pub took: String,
    /// How it ended; empty while it goes on.
    pub end: String,
}

/// An event, or a pause before it.
pub struct TimelineItem {
    /// How long nothing happened before it, if that was long.
    pub pause: Option<String>,
    /// When it happened.
    pub at: Instant,
    /// The name of the event.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// What it says besides.
    pub words: String,
}

/// The newest events of a task of the ledger's namespace, in the order in which they happened. `next` is none if that is all of them.
pub async fn newest(ledger: &Ledger, task: &TaskId, size: PageSize) -> Result<Page<Recorded>, Error> {
    let search = EventSearch::in_namespace(ledger.namespace().clone());
    let search = search.with(|search| search.task = Some(task.clone()));
    let mut page = ledger.store().search_events(search, None, size).await?.page;
    page.items.reverse();
    Ok(page)
}

/// Who had the task, for how long, and how that ended, the newest first.
pub fn attempts(events: &[Recorded], task: &Task, now: Time) -> Vec<Attempt> {
    let mut attempts: Vec<(Attempt, Time)> = Vec::new();
    for Recorded { event, .. } in events {
        let (begun, ended) = step(&event.what);
        if let (Some((how, ended_at)), Some((open, began))) = (ended, attempts.last_mut())
            && open.end.is_empty()
        {
            let is_by_others = ended_at.is_none() && event.actor.as_str() != open.owner;
            let by = if is_by_others { format!(" by {}", event.actor) } else { String::new() };
            open.end = format!("{how}{by}");
            open.took = rough(ended_at.unwrap_or(event.at).since(*began));
        }
        if let Some((grant, what)) = begun {
            let attempt = Attempt {
                epoch: grant.epoch.0,
                owner: grant.owner.to_string(),
                what,
                began: Instant::of(event.at, now),
                took: rough(now.since(event.at)),
                end: String::new(),
            };
            attempts.push((attempt, event.at));
        }
    }
    // It began before the events that are at hand.
    if let Some(lease) = task.lease().filter(|_| attempts.last().is_none_or(|(last, _)| !last.end.is_empty()))
    {
        let attempt = Attempt {
            epoch: lease.epoch.0,
            owner: lease.owner.to_string(),
            what: if task.state() == State::Compensating { "undo" } else { "work" },
            began: Instant::of(lease.acquired_at, now),
            took: rough(now.since(lease.acquired_at)),
            end: String::new(),
        };
        attempts.push((attempt, lease.acquired_at));
    }
    if let Some((open, began)) = attempts.last_mut().filter(|(open, _)| open.end.is_empty()) {
        match task.lease().filter(|lease| lease.epoch.0 == open.epoch) {
            Some(lease) if lease.has_lapsed(now) => {
                open.end = "its lease has lapsed".to_owned();
                open.took = rough(lease.expires_at.since(*began));
            }
            Some(_) => {}
            // It ended after the events were read.
            None => (open.end, open.took) = ("just now".to_owned(), String::new()),
        }
    }
    attempts.into_iter().rev().map(|(attempt, _)| attempt).collect()
}

/// A lease that was granted, and for what.
type Begun<'a> = Option<(&'a Grant, &'static str)>;
/// How an attempt ended, and when, if that was before it was found.
type HowItEnded = Option<(&'static str, Option<Time>)>;

/// What an event says about attempts: which one it begins, and how it ends the one before.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other events, also those of later versions, say nothing about them"
)]
fn step(what: &EventData) -> (Begun<'_>, HowItEnded) {
    match what {
        EventData::Acquired(grant) => {
            let taken_over = |lapsed: &LeaseEnd| ("lapsed, somebody else took over", Some(lapsed.expires_at));
            (Some((grant, "work")), grant.lapsed.as_ref().map(taken_over))
        }
        EventData::Reclaimed(grant) => {
            let at = grant.lapsed.as_ref().map(|lapsed| lapsed.expires_at);
            (Some((grant, "undo")), Some(("lapsed, recovery took over", at)))
        }
        EventData::Released { .. } => (None, Some(("released", None))),
        EventData::RolledBack { lease: Some(_), .. } => (None, Some(("rolled back", None))),
        EventData::Lapsed { lease } => (None, Some(("lapsed", Some(lease.expires_at)))),
        EventData::Replanned { lease: Some(_), .. } => (None, Some(("undone, planned again", None))),
        EventData::Ended(ended) => (None, Some((ended.state.state().as_str(), None))),
        _ => (None, None),
    }
}

/// The events, with the pauses between them.
pub fn timeline(events: &[Recorded], now: Time) -> Vec<TimelineItem> {
    let mut before: Option<Time> = None;
    let mut moments: Vec<TimelineItem> = Vec::with_capacity(events.len());
    for Recorded { event, .. } in events {
        let pause = before.map(|before| event.at.since(before)).filter(|pause| *pause >= GAP);
        before = Some(event.at);
        moments.push(TimelineItem {
            pause: pause.map(rough),
            at: Instant::of(event.at, now),
            kind: kind_words(event.what.kind()),
            actor: event.actor.to_string(),
            words: told(&event.what),
        });
    }
    moments
}

/// The type of an event, for people.
pub fn kind_words(kind: &str) -> String {
    kind.replace('_', " ")
}

/// What a sweep moved, for people.
fn swept_words(counts: SweepCounts) -> String {
    let SweepCounts { planned, compensated, quarantined, handed_back, lost, failed, undone } = counts;
    let counted = [
        (planned, "planned again"),
        (compensated, "compensated"),
        (quarantined, "quarantined"),
        (handed_back, "handed back"),
        (lost, "lost"),
        (failed, "failed"),
    ];
    let moved =
        counted.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}"));
    let undone = (undone > 0).then(|| format!("{} undone", count(undone, "compensation")));
    moved.chain(undone).collect::<Vec<_>>().join(", ")
}

/// What an event says, for people. What a later version adds is shown by its name alone.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what needs no more words, and what a later version adds, is shown by its name"
)]
pub fn told(what: &EventData) -> String {
    match what {
        EventData::Registered { seq, undo } => format!("{seq}: {} {}", undo.kind, undo.target),
        EventData::Dispatched { owner, .. } => format!("for {owner}"),
        EventData::Acquired(grant) | EventData::Reclaimed(grant) => {
            format!("{} under epoch {}", grant.owner, grant.epoch)
        }
        EventData::Released { reason, .. }
        | EventData::RolledBack { reason, .. }
        | EventData::CancelAsked { reason } => reason.to_string(),
        EventData::Lapsed { lease } => format!("the lease of {} at epoch {}", lease.owner, lease.epoch),
        EventData::Adopted { seqs } => seqs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        EventData::Settled { seq, receipt, by_hand: None, .. } => format!("{seq}: {receipt}"),
        EventData::Settled { seq, receipt, by_hand: Some(_), .. } => format!("{seq}, by hand: {receipt}"),
        EventData::Labelled { changes, reason } => {
            let set = changes.set.iter().map(|(key, value)| format!("{key}={value}"));
            let unset = changes.unset.iter().map(|key| format!("without {key}"));
            let changes = set.chain(unset).collect::<Vec<_>>().join(", ");
            reason.as_ref().map_or(changes.clone(), |reason| format!("{changes}: {reason}"))
        }
        EventData::Tried { seq, error, .. } => format!("{seq}: {error}"),
        EventData::Waived(waiver) => format!("{}: {}", waiver.seq, waiver.reason),
        EventData::Ended(ended) => {
            let cause = ended.cause.as_str();
            // The name of the event is the state, which often is the cause, too.
            let cause = Some(cause).filter(|cause| *cause != what.kind());
            let reason = ended.reason.as_ref().map(ToString::to_string);
            cause.map(str::to_owned).into_iter().chain(reason).collect::<Vec<_>>().join(": ")
        }
        EventData::Annotated { note, terminal_reason, .. } => {
            note.as_ref().or(terminal_reason.as_ref()).map(ToString::to_string).unwrap_or_default()
        }
        EventData::Retried { successor, reason, waived, settled } => {
            let waived = waived.iter().map(|waiver| format!("; waived {}: {}", waiver.seq, waiver.reason));
            let settled =
                settled.iter().map(|done| format!("; undone by hand {}: {}", done.seq, done.receipt));
            format!("as {successor}: {reason}{}", waived.chain(settled).collect::<String>())
        }
        EventData::RecoverySwept { owner, counts } => format!("{owner}: {}", swept_words(*counts)),
        _ => String::new(),
    }
}
