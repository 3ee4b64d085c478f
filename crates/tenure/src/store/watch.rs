//! The watch mark: whether recovery was there all the time, or has just come back.
//!
//! Who looks after tasks in a loop renews the mark each second. Whoever finds it old knows that nobody looked after the
//! store for a while: then nobody may have been able to renew a lease either, so what lapsed meanwhile is left to its
//! holders for the length of a lease. The absence stays written beside the mark, so that all who come back hear of it.

use tenure_core::time::{Span, Time};

/// The mark is renewed this often.
pub const RENEW_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// A mark that is older than this says that nobody was there.
const AWAY_AFTER: Span = Span::from_secs(5);

/// A while in which nobody looked after the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Absence {
    /// When somebody was there last.
    pub from: Time,
    /// When somebody was there again.
    pub until: Time,
}

/// What is stored: when somebody was there, and the last absence before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WatchMark {
    at: Time,
    pub(crate) absence: Option<Absence>,
}

impl WatchMark {
    /// The mark that follows the stored one. The first mark of a store says nothing of what was before.
    pub(crate) fn renewed(stored: Option<&str>, now: Time) -> WatchMark {
        let Some(before) = stored.and_then(WatchMark::read) else {
            return WatchMark { at: now, absence: None };
        };
        // A clock that was set back does not make the mark younger than it is.
        let at = now.max(before.at);
        let absence = match at.since(before.at) > AWAY_AFTER {
            true => Some(Absence { from: before.at, until: at }),
            false => before.absence,
        };
        WatchMark { at, absence }
    }

    fn read(text: &str) -> Option<WatchMark> {
        let mut numbers = text.split(' ').map(|number| number.parse().ok().map(Time::from_micros));
        let at = numbers.next()??;
        let absence = match (numbers.next(), numbers.next()) {
            (Some(from), Some(until)) => Some(Absence { from: from?, until: until? }),
            (_, _) => None,
        };
        Some(WatchMark { at, absence })
    }

    /// The mark as it is stored: instants in microseconds.
    pub(crate) fn written(&self) -> String {
        let at = self.at.as_micros();
        match self.absence {
            Some(Absence { from, until }) => format!("{at} {} {}", from.as_micros(), until.as_micros()),
            None => at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn after(stored: &WatchMark, secs: i64) -> WatchMark {
        WatchMark::renewed(Some(&stored.written()), at(secs))
    }

    #[test]
    fn an_old_mark_tells_of_an_absence_and_goes_on_telling() {
        let first = WatchMark::renewed(None, at(100));
        assert_eq!(first.absence, None, "a new store was not left alone");
        let there = after(&after(&first, 101), 106);
        assert_eq!(there.absence, None, "five seconds are not yet an absence");
        let back = after(&there, 112);
        assert_eq!(back.absence, Some(Absence { from: at(106), until: at(112) }));
        assert_eq!(after(&back, 113).absence, back.absence, "who comes a second later hears of it, too");
        assert_eq!(after(&back, 200).absence, Some(Absence { from: at(112), until: at(200) }));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_an_absence() {
        let there = WatchMark::renewed(None, at(100));
        assert_eq!(after(&there, 50), there);
    }

    #[test]
    fn a_mark_that_can_not_be_read_is_as_none() {
        assert_eq!(WatchMark::renewed(Some("yesterday"), at(100)), WatchMark::renewed(None, at(100)));
    }
}
