//! Moments, leases and states as screens show them.

use tenure::core::compensation::Compensation;
use tenure::core::policy::Policy;
use tenure::core::task::{LastLease, Phase, State, Task};
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough, rough_left};
use tenure::store::watch::Watchers;
use tenure::why::{why_ended, why_watched};

/// In milliseconds since 1970, as scripts count.
pub fn millis(time: Time) -> i64 {
    time.as_micros().div_euclid(1_000)
}

/// A moment: how long ago or ahead it is, and when exactly.
pub struct Instant {
    /// Such as `3m 5s`.
    pub rough: String,
    /// Whether it is ahead.
    pub is_ahead: bool,
    /// In UTC, to the second.
    pub exact: String,
    /// In milliseconds since 1970.
    pub ms: i64,
}

impl Instant {
    /// That moment, as it is seen at `now`.
    pub fn of(time: Time, now: Time) -> Instant {
        let is_ahead = time > now;
        let rough = if is_ahead { rough_left(time.since(now)) } else { rough(now.since(time)) };
        Instant { rough, is_ahead, exact: print_seconds(time), ms: millis(time) }
    }
}

/// A state, as a word and as a mark that does without colour.
#[derive(Clone, Copy)]
pub struct StateMark {
    /// Its word in the public JSON.
    pub word: &'static str,
    /// A sign of one column.
    pub mark: &'static str,
}

/// The word and the mark of a state.
pub fn state_mark(state: State) -> StateMark {
    let mark = match state {
        State::Planned => "○",
        State::Dispatched => "◔",
        State::Running => "●",
        State::Compensating => "↺",
        State::Completed => "✓",
        State::Failed => "✕",
        State::Compensated => "↶",
        State::Quarantined => "‖",
    };
    StateMark { word: state.as_str(), mark }
}

/// How much of a lease or reservation is left.
pub struct Left {
    /// When it lapses.
    pub until: Instant,
    /// When it was last renewed, in milliseconds since 1970.
    pub from_ms: i64,
    /// Of a thousand.
    pub share: u64,
    /// Whether nothing is left.
    pub has_lapsed: bool,
}

impl Left {
    /// What a task holds on to, if somebody holds it.
    pub fn of(task: &Task, now: Time) -> Option<Left> {
        let (from, until) = match (task.lease(), &task.phase) {
            (Some(lease), _) => (lease.heartbeat_at, lease.expires_at),
            (None, Phase::Dispatched(reservation)) => (reservation.reserved_at, reservation.expires_at),
            (None, Phase::Planned | Phase::Running(_) | Phase::Compensating { .. } | Phase::Ended(_)) => {
                return None;
            }
        };
        let whole = until.since(from).as_micros().max(1);
        let left = if now < until { until.since(now).as_micros() } else { 0 };
        Some(Left {
            until: Instant::of(until, now),
            from_ms: millis(from),
            share: (left.saturating_mul(1_000) / whole).min(1_000),
            has_lapsed: now >= until,
        })
    }
}

/// The owner of a task's lease or reservation.
pub fn holder(task: &Task) -> Option<&str> {
    let leased = task.lease().map(|lease| lease.owner.as_str());
    leased.or_else(|| task.reservation().map(|reservation| reservation.owner.as_str()))
}

/// The same, with the epoch of a lease.
pub fn holder_and_epoch(task: &Task) -> Option<String> {
    let owner = holder(task)?;
    Some(task.lease().map_or_else(|| owner.to_owned(), |lease| format!("{owner}, epoch {}", lease.epoch)))
}

/// The lease of the newest attempt that has ended, with what it is called: another lease may go on.
pub fn last_held(task: &Task) -> Option<(&'static str, &LastLease)> {
    let name = if task.lease().is_some() { "Held before by" } else { "Last held by" };
    task.last_lease.as_ref().map(|last| (name, last))
}

/// Who settled a compensation by hand; none if a holder of the task's lease did, or if it is not settled.
pub fn by_hand(one: &Compensation) -> Option<String> {
    one.settled_by.as_ref().map(|who| format!("by hand, {who}"))
}

/// What a policy says of leases and of the ways to end.
pub fn policy_facts(policy: &Policy) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Lease", rough(policy.lease_ttl.span())),
        ("On lapse", policy.on_lapse.as_str().to_owned()),
        ("On failure", policy.on_failure.as_str().to_owned()),
    ];
    let spans = [
        ("Recover after", policy.recover_after),
        ("Stall after", policy.stall_after),
        ("Time limit", policy.time_limit),
        ("Start within", policy.start_within),
        ("Lock delay", policy.lock_delay),
        ("Cancel grace", policy.cancel_grace),
    ];
    facts.extend(spans.into_iter().filter_map(|(name, span)| Some((name, rough(span?)))));
    facts
}

/// What is odd about a task that somebody works on: its holder was told to stop, or it goes from one to the next.
pub fn oddities(task: &Task) -> Option<String> {
    const LEASES_USUAL: u64 = 10;
    let told = task.lease().and_then(|lease| lease.cancel_told).map(|told| match told.times {
        1 => "told to stop once".to_owned(),
        times => format!("told to stop {times} times"),
    });
    let leases = task.epoch.0;
    let leased = (leases >= LEASES_USUAL).then(|| format!("leased {leases} times"));
    let oddities: Vec<String> = told.into_iter().chain(leased).collect();
    (!oddities.is_empty()).then(|| oddities.join(", "))
}

/// Why a task is where it is, for a row that has the time of its end beside.
pub fn row_words(task: &Task, watchers: &Watchers, now: Time) -> String {
    let words = why_ended(task, now).unwrap_or_else(|| why_watched(task, now, watchers).words);
    // A retry often has a name that a machine made.
    match &task.retry_of {
        Some(before) => format!("a retry of {before}; {words}"),
        None => words,
    }
}

/// Whether recovery runs, and what it handles.
pub fn recovery_words(watchers: &Watchers, now: Time) -> String {
    let Some(seen_at) = watchers.seen_at else { return "not running".to_owned() };
    let ago = rough(now.since(seen_at));
    if !watchers.are_there(now) {
        return format!("not running since {} ({ago} ago)", print_seconds(seen_at));
    }
    let kinds: Vec<&str> = watchers.kinds().iter().map(|kind| kind.as_str()).collect();
    let kinds = if kinds.is_empty() { "no kinds of undo".to_owned() } else { kinds.join(", ") };
    format!("last seen {ago} ago, handles {kinds}")
}

/// How often an undo was tried without success: `1 failed try`, `3 failed tries`.
pub fn failed_tries(tries: u32) -> String {
    if tries == 1 { "1 failed try".to_owned() } else { format!("{tries} failed tries") }
}

/// A count with its noun: `1 task`, `3 tasks`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The beginning of a text, as many characters of it.
pub fn shortened(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
