//! Points in time and durations. The core has no clock: its caller passes the time.

use std::fmt;
use std::ops::{Add, Sub};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Time(i64);

impl Time {
    /// The first accepted time: in the year 1, one day late, so that it can be printed with every offset.
    pub const MIN: Time = Time(-62_135_510_400_000_000);
    /// The last accepted time: in the year 9999, about a day early for the same reason.
    pub const MAX: Time = Time(253_402_207_200_000_000);

    /// The instant this many microseconds after 1970; what lies outside of [`Time::MIN`]..=[`Time::MAX`] is held
    /// at that end, so that arithmetic on times never wraps.
    pub const fn from_micros(micros: i64) -> Time {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Time(micros)
        }
    }

    /// Microseconds since 1970, negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    pub fn since(self, earlier: Time) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time::from_micros(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time::from_micros(self.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

/// A length of time, in microseconds. It is never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A length in microseconds.
    pub const fn from_micros(micros: u64) -> Span {
        Span(micros)
    }

    /// A length in milliseconds.
    pub const fn from_millis(millis: u64) -> Span {
        Span(millis.saturating_mul(1_000))
    }

    /// A length in seconds.
    pub const fn from_secs(secs: u64) -> Span {
        Span(secs.saturating_mul(1_000_000))
    }

    /// A length in days of 24 hours.
    pub const fn from_days(days: u64) -> Span {
        Span::from_secs(days.saturating_mul(86_400))
    }

    /// The length in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This length multiplied by `factor`, at most the longest possible length.
    pub const fn times(self, factor: u64) -> Span {
        Span(self.0.saturating_mul(factor))
    }
}

impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Span {
        Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> std::time::Duration {
        std::time::Duration::from_micros(span.0)
    }
}

/// Prints the largest unit that divides the length evenly: `90s`, `500ms`, `2h`, `7d`. One minute is `60s`, as people
/// write it in a policy.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 6] = [
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "m"),
            (1_000_000, "s"),
            (1_000, "ms"),
            (1, "us"),
        ];
        const MINUTE: u64 = 60_000_000;
        let even =
            |(size, _): &(u64, &str)| self.0.is_multiple_of(*size) && (*size, self.0) != (MINUTE, MINUTE);
        match UNITS.into_iter().find(even) {
            Some((size, name)) if self.0 != 0 => write!(f, "{}{name}", self.0 / size),
            Some(_) | None => f.write_str("0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_prints_as_people_write_it() {
        let printed = |micros| Span::from_micros(micros).to_string();
        assert_eq!(printed(60_000_000), "60s");
        assert_eq!(printed(90_000_000), "90s");
        assert_eq!(printed(300_000_000), "5m");
        assert_eq!(printed(500_000), "500ms");
        assert_eq!(printed(1_000_000), "1s");
        assert_eq!(printed(3_600_000_000), "1h");
        assert_eq!(printed(86_400_000_000), "1d");
        assert_eq!(printed(604_800_000_000), "7d");
        assert_eq!(printed(1), "1us");
        assert_eq!(printed(0), "0s");
    }

    #[test]
    fn arithmetic_on_times_stops_at_the_ends() {
        assert_eq!(Time::MAX + Span::from_days(1), Time::MAX);
        assert_eq!(Time::from_micros(i64::MIN), Time::MIN);
        assert_eq!(Time::from_micros(5).since(Time::from_micros(9)), Span::ZERO);
    }
}
