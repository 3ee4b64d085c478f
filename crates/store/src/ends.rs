//! Counts how tasks ended. They are counted when they end, because there may be millions of them.
//!
//! A namespace has a total for each queue, state and cause, and one count for each minute of the last day. So "the
//! last hour" begins at the start of a minute.

use std::collections::BTreeMap;

use tenure_core::id::{Namespace, Queue};
use tenure_core::task::{Cause, Task, Terminal};
use tenure_core::time::{Span, Time};

pub use tenure_api::overview::{EndCount, MinuteCount};

const MICROS_A_MINUTE: i64 = 60_000_000;
/// Counts by minute are kept a little longer than needed.
const KEPT: Span = Span::from_secs(25 * 3_600);
/// The minute under which the totals are stored.
pub const IN_ALL: i64 = 0;

/// What is counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EndKey {
    pub namespace: Namespace,
    pub minute: i64,
    pub queue: Queue,
    pub state: &'static str,
    pub cause: &'static str,
}

/// The first minutes of the last hour and of the last day, and the first one that is kept.
#[derive(Clone, Copy, Debug)]
pub struct Minutes {
    pub hour: i64,
    pub day: i64,
    pub kept: i64,
}

impl Minutes {
    pub fn at(now: Time) -> Minutes {
        let before = |span: Span| minute(now - span);
        Minutes {
            hour: before(Span::from_secs(3_600)),
            day: before(Span::from_days(1)),
            kept: before(KEPT).max(IN_ALL + 1),
        }
    }
}

fn minute(time: Time) -> i64 {
    time.as_micros().div_euclid(MICROS_A_MINUTE)
}

/// The ends of one transaction, to be added to the stored counts.
#[derive(Default)]
pub struct NewEnds(BTreeMap<EndKey, i64>);

impl NewEnds {
    /// Counts a task that a command changed, if that ended it.
    pub fn count(&mut self, before: Option<&Task>, after: &Task, now: Time) {
        let Some(ending) = after.ending().filter(|_| before.is_none_or(|before| before.ending().is_none()))
        else {
            return;
        };
        let mut count = |minute| {
            let key = EndKey {
                namespace: after.namespace.clone(),
                minute,
                queue: after.queue.clone(),
                state: ending.state.state().as_str(),
                cause: ending.cause.as_str(),
            };
            *self.0.entry(key).or_default() += 1;
        };
        count(IN_ALL);
        // An imported record may have ended long ago.
        let minute = minute(ending.finished_at);
        if minute >= Minutes::at(now).kept {
            count(minute);
        }
    }

    /// The counts to add, by key.
    pub fn take(&mut self) -> Vec<(EndKey, i64)> {
        std::mem::take(&mut self.0).into_iter().collect()
    }
}

/// Sums up counts of minutes by what they mean. Rows come in order of their minutes.
pub fn by_minute(counts: impl IntoIterator<Item = (i64, Terminal, Cause, u64)>) -> Vec<MinuteCount> {
    let mut minutes: Vec<MinuteCount> = Vec::new();
    for (minute, state, cause, count) in counts {
        let at = Time::from_micros(minute.saturating_mul(MICROS_A_MINUTE));
        if minutes.last().is_none_or(|last| last.at != at) {
            minutes.push(MinuteCount { at, completed: 0, cancelled: 0, ended_badly: 0 });
        }
        let Some(last) = minutes.last_mut() else { continue };
        *match (state, state.is_bad(cause)) {
            (_, true) => &mut last.ended_badly,
            (Terminal::Completed, false) => &mut last.completed,
            (Terminal::Failed | Terminal::Compensated | Terminal::Quarantined, false) => &mut last.cancelled,
        } += count;
    }
    minutes
}

/// The same for the ended tasks of a namespace, for the memory store.
pub fn count_by_minute<'a>(tasks: impl Iterator<Item = &'a Task>, now: Time) -> Vec<MinuteCount> {
    let first = Minutes::at(now).hour;
    let ends = tasks.filter_map(Task::ending).map(|ending| (minute(ending.finished_at), ending));
    let mut ends: Vec<_> = ends.filter(|(minute, _)| *minute >= first).collect();
    ends.sort_by_key(|(minute, _)| *minute);
    by_minute(ends.into_iter().map(|(minute, ending)| (minute, ending.state, ending.cause, 1)))
}

/// Counts the ended tasks of a namespace, for the memory store. The others keep counts.
pub fn count<'a>(tasks: impl Iterator<Item = &'a Task>, now: Time) -> Vec<EndCount> {
    let minutes = Minutes::at(now);
    let mut counts = BTreeMap::<(Queue, &str, &str), EndCount>::new();
    for task in tasks {
        let Some(ending) = task.ending() else { continue };
        let key = (task.queue.clone(), ending.state.state().as_str(), ending.cause.as_str());
        let counted = counts.entry(key).or_insert_with(|| EndCount {
            queue: task.queue.clone(),
            state: ending.state,
            cause: ending.cause,
            last_hour: 0,
            last_day: 0,
            all: 0,
        });
        let minute = minute(ending.finished_at);
        counted.all += 1;
        counted.last_day += u64::from(minute >= minutes.day);
        counted.last_hour += u64::from(minute >= minutes.hour);
    }
    counts.into_values().collect()
}
