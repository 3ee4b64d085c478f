//! Explains the state of a task in one sentence: what it waits for, who holds it, and what happens next and when.
//!
//! This module does not repeat the rules of recovery. It asks the core to decide a reclaim on the task at the time it
//! would happen, and describes the answer.

use std::fmt::Write;

use tenure_api::instant::{print_seconds, rough, rough_left};
use tenure_api::task::Task as TaskJson;
use tenure_api::why::{Note, WhyAnswer};
use tenure_core::case::Names;
use tenure_core::command::{Action, Command, HolderAction, LeaseScope, Take};
use tenure_core::decide::{Stored, decide};
use tenure_core::id::{Actor, Epoch, Owner, Text};
use tenure_core::policy::{Jitter, OnLapse};
use tenure_core::task::{
    CancelTold, Dismissal, Ending, Lease, Overrun, Phase, Reservation, State, Task, Undoing, Unwinding,
};
use tenure_core::time::{Span, Time};
use tenure_store::due::Due;
use tenure_store::watch::Watchers;

pub use tenure_api::why::{NextStep, Step};

/// An explanation of a task's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// One sentence for a person.
    pub sentence: String,
    /// The same without id and state, which every view shows beside it.
    pub words: String,
    /// What happens next by itself, or becomes possible; none if nothing does.
    pub next: Option<NextStep>,
    /// What prevents recovery, if the watchers were asked; the words name it, too.
    pub obstacle: Option<String>,
}

impl Why {
    /// The same as JSON, with the task as it is at `now` and what people noted on it.
    pub fn answer(self, task: &Task, now: Time, notes: Vec<Note>) -> WhyAnswer {
        WhyAnswer { task: TaskJson::at(task, now), why: self.sentence, next: self.next, notes }
    }
}

/// Explains the state of the task at `now`. It does not know whether recovery runs: see [`why_watched`].
pub fn why(task: &Task, now: Time) -> Why {
    told(task, now, None)
}

/// The same, and also what prevents recovery: that it does not run, or has no handler.
pub fn why_watched(task: &Task, now: Time, watchers: &Watchers) -> Why {
    told(task, now, Some(watchers))
}

fn told(task: &Task, now: Time, watchers: Option<&Watchers>) -> Why {
    let (mut words, next) = match &task.phase {
        Phase::Planned => planned(task, now),
        Phase::Dispatched(reservation) => dispatched(reservation, now),
        Phase::Running(lease) if lease.has_lapsed(now) => lapsed(task, lease, now),
        Phase::Running(lease) => running(task, lease, now),
        Phase::Compensating { why, reason, undoing } => {
            let (words, next) = compensating(task, undoing, now);
            (format!("{words}; {}: {}", before_undo(*why), truncated(reason.as_str())), next)
        }
        Phase::Ended(ending) => (ended(task, ending, now), None),
    };
    let obstacle = watchers.and_then(|watchers| obstacle(task, now, watchers));
    if let Some(obstacle) = &obstacle {
        let _ = write!(words, "; but {obstacle}");
    }
    let is = format!("{} is {}", task.id, task.state().as_str());
    // An ended task waits for nothing, so the sentence simply continues.
    let apart = if next.is_some() { ": " } else { " " };
    Why { sentence: format!("{is}{apart}{words}"), words, next, obstacle }
}

type Said = (String, Option<NextStep>);

fn planned(task: &Task, now: Time) -> Said {
    let due = task.due_since();
    let mut words = match due <= now {
        true => {
            format!("it waits in the queue {} to be acquired or claimed, since {}", task.queue, ago(due, now))
        }
        false => format!("it may be acquired, or claimed from the queue {}, {}", task.queue, from(due, now)),
    };
    if task.owes() {
        let _ = write!(words, ", and its next owner inherits {}", count(task.owed().count()));
    }
    if task.attempts > 0 {
        let _ = write!(words, ", after {} of {}", task.attempts, attempts(task.policy.max_attempts));
    }
    let Some(limit) = task.start_limit() else {
        return (words, Some(NextStep { what: Step::Due, at: due }));
    };
    let _ = match limit <= now {
        true => {
            write!(words, "; it should have begun by {}, and recovery {}", ago(limit, now), will(task, limit))
        }
        false => write!(words, "; unless somebody begins {}, recovery {}", by(limit, now), will(task, limit)),
    };
    let what = if due <= now { Step::Reclaim } else { Step::Due };
    (words, Some(NextStep { what, at: if due <= now { limit } else { due } }))
}

fn dispatched(reservation: &Reservation, now: Time) -> Said {
    let Reservation { owner, expires_at, .. } = reservation;
    let (words, what) = match reservation.has_lapsed(now) {
        true => {
            let lapsed = ago(*expires_at, now);
            let words =
                format!("its reservation for {owner} lapsed {lapsed}, and anybody may acquire or claim it");
            (words, Step::Due)
        }
        false => {
            let words =
                format!("it is reserved for {owner} {}, and then for anybody", until(*expires_at, now));
            (words, Step::Lapse)
        }
    };
    (words, Some(NextStep { what, at: *expires_at }))
}

fn running(task: &Task, lease: &Lease, now: Time) -> Said {
    let Lease { owner, epoch, acquired_at, expires_at, .. } = lease;
    let (since, until) = (ago(*acquired_at, now), until(*expires_at, now));
    let mut words =
        format!("{owner} holds it under epoch {epoch} since {since} {until}{}", progress(task, lease, now));
    if let Some(cancel) = &task.cancel {
        let _ = match lease.cancel_told {
            None => {
                write!(words, ", and will learn at its next heartbeat that {} asked it to stop", cancel.by)
            }
            Some(CancelTold { times, since }) => {
                let since = ago(since, now);
                write!(
                    words,
                    ", and was told {} since {since} that {} asked it to stop",
                    count_times(times),
                    cancel.by
                )
            }
        };
        if let Some((told, grace)) = lease.cancel_told.zip(task.policy.cancel_grace) {
            let end = told.since + grace;
            let _ = match end > now {
                true => write!(words, "; its lease is renewed for the last time {}", self::by(end, now)),
                false => write!(words, "; its lease is no longer renewed"),
            };
        }
    }
    let reclaim_at = task.recoverable_at(lease);
    if task.owes_from_before(lease.epoch) {
        words.push_str(", and must settle or adopt what older leases owe before it can be completed");
    }
    let (first, then) = (takeover(task, reclaim_at, now), after_lapse(task, reclaim_at));
    let _ = write!(words, "; unless that is renewed, {first}{then}");
    (words, Some(NextStep { what: Step::Lapse, at: lease.expires_at }))
}

fn lapsed(task: &Task, lease: &Lease, now: Time) -> Said {
    let Lease { owner, epoch, expires_at, .. } = lease;
    let mut words = format!("the lease of {owner} at epoch {epoch} lapsed {}", ago(*expires_at, now));
    let policy = &task.policy;
    match task.overrun() {
        None => words.push_str(&progress(task, lease, now)),
        Some(Overrun::Stalled) => {
            let (since, limit) = (ago(lease.progressed_at, now), span(policy.stall_after));
            let _ = write!(words, ": it stalled, with no progress since {since} and stall_after {limit}");
        }
        Some(Overrun::OutOfTime) => {
            let (since, limit) = (ago(lease.acquired_at, now), span(policy.time_limit));
            let _ = write!(words, ": it was out of time, having begun {since} with time_limit {limit}");
        }
        Some(Overrun::Cancelled) => {
            let told = lease.cancel_told.map_or_else(String::new, |told| {
                format!(", told to stop {} since {}", count_times(told.times), ago(told.since, now))
            });
            let _ = write!(words, ": its cancel_grace {} was over{told}", span(policy.cancel_grace));
        }
    }
    let (free_at, at) = (task.policy.reclaimable_at(*expires_at), task.recoverable_at(lease));
    if free_at > now {
        let _ = write!(words, ", and its lock delay lasts {}", until(free_at, now));
    }
    let (first, then) = (takeover(task, at, now), after_lapse(task, at));
    let _ = write!(words, "; {first}{then}; until it is taken over, {owner} can still end it");
    // Under `hold` recovery leaves it, and the next owner can acquire it.
    let what = if reclaimed(task, at).is_some() { Step::Reclaim } else { Step::Due };
    (words, Some(NextStep { what, at }))
}

/// The holder's last progress, if it reported any.
fn progress(task: &Task, lease: &Lease, now: Time) -> String {
    if lease.progressed_at == lease.acquired_at && lease.progress.is_none() {
        let expected = task.policy.stall_after.is_some();
        return if expected { ", with no progress since then".to_owned() } else { String::new() };
    }
    let reported = match &lease.progress {
        Some(progress) => format!(": {}", truncated(progress.as_str())),
        None => String::new(),
    };
    format!(", with progress {}{reported}", ago(lease.progressed_at, now))
}

/// A text for the middle of a sentence.
fn truncated(text: &str) -> String {
    const CHARACTERS_MAX: usize = 120;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What prevents recovery; none if nothing does, or recovery has nothing to do with the task.
fn obstacle(task: &Task, now: Time, watchers: &Watchers) -> Option<String> {
    let Due { held_back, .. } = Due::of(task)?;
    // A reservation that lapsed is anybody's.
    if held_back || matches!(task.phase, Phase::Dispatched(_)) {
        return None;
    }
    if !watchers.are_there(now) {
        let since = match watchers.seen_at {
            Some(seen_at) => format!("no recovery has run for this store since {}", ago(seen_at, now)),
            None => "no recovery is running for this store".to_owned(),
        };
        return Some(format!("{since}: run `tenure serve` or `tenure recover --watch`"));
    }
    // While the lease is held nothing is undone yet, and it is unknown what it will owe.
    let owed = match &task.phase {
        Phase::Planned | Phase::Dispatched(_) | Phase::Ended(_) => return None,
        Phase::Running(_) | Phase::Compensating { .. } => task.owed(),
    };
    let mut unhandled: Vec<&str> = owed
        .filter(|one| watchers.handler_of(&one.undo.kind).is_none())
        .map(|one| one.undo.kind.as_str())
        .collect();
    unhandled.sort_unstable();
    unhandled.dedup();
    if unhandled.is_empty() || task.policy.on_lapse == OnLapse::Quarantine && task.cancel.is_none() {
        return None;
    }
    Some(format!(
        "no running recovery has a handler for {}: without one (`[undo.{}]` in its settings file) the task will be parked for a person",
        unhandled.join(", "),
        unhandled[0]
    ))
}

/// What happened to a task that is being undone.
fn before_undo(why: Unwinding) -> &'static str {
    match why {
        Unwinding::Released => "its holder released it",
        Unwinding::RolledBack => "its holder rolled it back",
        Unwinding::Lapsed => "its lease lapsed",
        Unwinding::Stalled => "it stalled",
        Unwinding::OutOfTime => "it ran out of time",
        Unwinding::Cancelled => "it was cancelled",
        Unwinding::Retried => "it is a retry",
    }
}

fn compensating(task: &Task, undoing: &Undoing, now: Time) -> Said {
    let owed = count(task.owed().count());
    let then = format!("once that is undone it {}", end_of_undo(task, now));
    match undoing {
        Undoing::HeldBy(lease) if lease.has_lapsed(now) => {
            let at = task.policy.reclaimable_at(lease.expires_at);
            let Lease { owner, epoch, expires_at, .. } = lease;
            let lapse = ago(*expires_at, now);
            let words = format!(
                "{owner} was undoing {owed} when its lease at epoch {epoch} lapsed {lapse}; recovery may take it over {}, and {then}",
                from(at, now)
            );
            (words, Some(NextStep { what: Step::Reclaim, at }))
        }
        Undoing::HeldBy(lease) => {
            let Lease { owner, epoch, expires_at, .. } = lease;
            let words = format!(
                "{owner} is undoing {owed} under epoch {epoch} {}, and {then}",
                until(*expires_at, now)
            );
            (words, Some(NextStep { what: Step::Lapse, at: *expires_at }))
        }
        Undoing::DueAt(at) => {
            let words = format!("{owed} must be undone; recovery may start {}, and {then}", from(*at, now));
            (words, Some(NextStep { what: Step::Reclaim, at: *at }))
        }
    }
}

/// Why an ended task ended as it did, and what that leaves to do, without the time: for views that show it beside. None if the
/// task has not ended, or if nothing else is known.
pub fn why_ended(task: &Task, now: Time) -> Option<String> {
    let words = after_its_time(task, task.ending()?, now);
    let words = words.trim_start_matches([',', ';', ' ']);
    (!words.is_empty()).then(|| words.to_owned())
}

fn ended(task: &Task, ending: &Ending, now: Time) -> String {
    format!("since {}{}", ago(ending.finished_at, now), after_its_time(task, ending, now))
}

fn after_its_time(task: &Task, ending: &Ending, now: Time) -> String {
    let mut words = String::new();
    if ending.cause.as_str() != task.state().as_str() {
        let _ = write!(words, ", cause {}", ending.cause.as_str());
    }
    if let Some(reason) = &ending.reason {
        let _ = write!(words, ", because: {reason}");
    }
    if let Some(Dismissal { at, by, note }) = &ending.dismissed {
        let _ = write!(words, "; dismissed by {by} {}: {note}", ago(*at, now));
    }
    match &ending.retried_as {
        Some(successor) if task.owes() => {
            let _ = write!(words, "; it was retried as {successor}, which now owes what was not waived");
        }
        Some(successor) => {
            let _ = write!(words, "; it was retried as {successor}");
        }
        None => words.push_str(&still_owed(task)),
    }
    words
}

/// What an ended task leaves to be undone, the newest first; of many only some are named.
fn still_owed(task: &Task) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> =
        task.owed().take(NAMED).map(|one| format!("{} {}", one.undo.kind, one.undo.target)).collect();
    match task.owed().count() {
        0 => String::new(),
        owed if owed > NAMED => format!("; still to undo: {} and {} more", names.join(", "), owed - NAMED),
        _ => format!("; still to undo: {}", names.join(", ")),
    }
}

/// Who may take a running task over before recovery, which may reclaim it at that time: another owner, if the policy is `either`.
fn takeover(task: &Task, at: Time, now: Time) -> String {
    match task.recover_after() {
        Some(wait) if wait > Span::ZERO && at > now => {
            format!("another owner may take it over {}; then ", until(at, now))
        }
        Some(_) | None if task.policy.on_lapse == OnLapse::Either && task.cancel.is_none() => {
            "another owner may take it over until recovery does; ".to_owned()
        }
        Some(_) | None => String::new(),
    }
}

/// What happens to a running task after its lease has lapsed.
fn after_lapse(task: &Task, at: Time) -> String {
    match reclaimed(task, at) {
        Some(_) => format!("recovery {}", will(task, at)),
        None if task.owes() => {
            format!("the next owner to acquire it continues, and inherits {}", count(task.owed().count()))
        }
        None => "the next owner to acquire it continues".to_owned(),
    }
}

/// What recovery would do with the task at that time.
fn will(task: &Task, at: Time) -> String {
    let Some(after) = reclaimed(task, at) else { return "leaves it".to_owned() };
    match (after.state(), after.owed().count()) {
        (State::Compensating, owed) => {
            format!("undoes {}, and then it {}", count(owed), end_of_undo(&after, at))
        }
        (_, _) => {
            becomes(&after, "makes it planned again", "closes it as compensated", "parks it for a person")
        }
    }
}

/// Where a task goes when all that it owes is undone.
fn end_of_undo(task: &Task, at: Time) -> String {
    let held = match task.lease() {
        Some(_) => Some(task.clone()),
        None => reclaimed(task, at.max(due(task))),
    };
    let end = held.and_then(undone);
    let unclear = || "goes on".to_owned();
    end.map_or_else(unclear, |end| {
        becomes(&end, "is planned again", "is closed as compensated", "is parked for a person")
    })
}

fn due(task: &Task) -> Time {
    match &task.phase {
        Phase::Compensating { undoing: Undoing::DueAt(at), .. } => *at,
        Phase::Planned
        | Phase::Dispatched(_)
        | Phase::Running(_)
        | Phase::Compensating { .. }
        | Phase::Ended(_) => Time::MIN,
    }
}

fn becomes(task: &Task, planned: &str, compensated: &str, quarantined: &str) -> String {
    match task.state() {
        State::Planned => planned.to_owned(),
        State::Compensated => compensated.to_owned(),
        State::Quarantined => quarantined.to_owned(),
        other @ (State::Dispatched
        | State::Running
        | State::Compensating
        | State::Completed
        | State::Failed) => {
            format!("is {}", other.as_str())
        }
    }
}

/// The task after recovery took it at that time; none if it would be refused.
pub(crate) fn reclaimed(task: &Task, at: Time) -> Option<Task> {
    let action = Action::Take {
        task: task.id.clone(),
        take: Take::Reclaim,
        owner: Owner::new("recovery").ok()?,
        ttl: None,
    };
    decided(task, action, at)
}

/// The task after its holder undid all that it owes; none if that is refused.
fn undone(mut task: Task) -> Option<Task> {
    // The last undo decides where the task goes, so undoing one is enough here.
    let Some(last) = task.owed().last().map(|one| one.seq) else { return Some(task) };
    task.compensations.retain(|one| !one.is_owed() || one.seq == last);
    let (by, at) = (task.lease()?.holder(), task.lease()?.acquired_at);
    let receipt = Text::new("undone").ok()?;
    decided(&task, HolderAction::Settle { seq: last, receipt }.on(task.id.clone(), by), at)
}

fn decided(task: &Task, action: Action, at: Time) -> Option<Task> {
    let (namespace, actor) = (task.namespace.clone(), Actor::new("recovery").ok()?);
    let command = Command {
        namespace,
        actor,
        request: None,
        jitter: Jitter::NONE,
        lease_scope: LeaseScope::Any,
        action,
    };
    let stored = Stored { task: Some(task), names: Names::Free, floor: Epoch::ZERO };
    decide(stored, &command, at).ok().map(|decision| decision.task)
}

// ---- words ---------------------------------------------------------------------------------------------------

fn ago(then: Time, now: Time) -> String {
    let since = now.since(then);
    let ago =
        if since < Span::from_secs(1) { "just now".to_owned() } else { format!("{} ago", rough(since)) };
    format!("{} ({ago})", print_seconds(then))
}

fn until(then: Time, now: Time) -> String {
    format!("until {} (in {})", print_seconds(then), rough_left(then.since(now)))
}

fn by(then: Time, now: Time) -> String {
    format!("by {} (in {})", print_seconds(then), rough_left(then.since(now)))
}

/// From when on something is possible; what is past is possible now.
fn from(then: Time, now: Time) -> String {
    match then <= now {
        true => format!("now, since {}", print_seconds(then)),
        false => format!("from {} on (in {})", print_seconds(then), rough_left(then.since(now))),
    }
}

fn span(span: Option<Span>) -> String {
    span.map_or_else(String::new, |span| span.to_string())
}

fn count_times(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

fn count(owed: usize) -> String {
    if owed == 1 { "1 compensation".to_owned() } else { format!("{owed} compensations") }
}

fn attempts(count: u32) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}
