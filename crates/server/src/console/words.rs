//! Times, lengths and tasks as pages show them.

use tenure::core::id::{Namespace, TaskId};
use tenure::core::task::{Phase, State, Task};
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough, rough_left};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in an address as it is.
const IN_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// In milliseconds since 1970, as scripts count.
pub(super) fn millis(time: Time) -> i64 {
    time.as_micros().div_euclid(1_000)
}

/// A text as a part of an address, in its path or its query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_ADDRESS).to_string()
}

/// The address of a task's page.
pub(super) fn task_path(namespace: &Namespace, id: &TaskId) -> String {
    format!("/tasks/{}/{}", encoded(namespace.as_str()), encoded(id.as_str()))
}

/// A moment: how long ago or ahead it is, and when exactly.
pub(super) struct Instant {
    /// Such as `3m 5s`.
    pub(super) rough: String,
    /// Whether it is ahead.
    pub(super) is_ahead: bool,
    /// In UTC, to the second.
    pub(super) exact: String,
    pub(super) ms: i64,
}

impl Instant {
    pub(super) fn of(time: Time, now: Time) -> Instant {
        let is_ahead = time > now;
        let rough = if is_ahead { rough_left(time.since(now)) } else { rough(now.since(time)) };
        Instant { rough, is_ahead, exact: print_seconds(time), ms: millis(time) }
    }
}

/// A state, as a word and as a mark that does without colour.
#[derive(Clone, Copy)]
pub(super) struct StateMark {
    pub(super) word: &'static str,
    pub(super) mark: &'static str,
}

pub(super) fn state_mark(state: State) -> StateMark {
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
pub(super) struct Left {
    pub(super) until: Instant,
    pub(super) from_ms: i64,
    /// Of a thousand.
    pub(super) share: u64,
    pub(super) has_lapsed: bool,
}

impl Left {
    /// What a task holds on to, if somebody holds it.
    pub(super) fn of(task: &Task, now: Time) -> Option<Left> {
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
pub(super) fn holder(task: &Task) -> Option<&str> {
    let leased = task.lease().map(|lease| lease.owner.as_str());
    leased.or_else(|| task.reservation().map(|reservation| reservation.owner.as_str()))
}

/// A count with its noun: `1 task`, `3 tasks`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
