//! Times and durations as text: RFC 3339 in UTC outside, microseconds inside.
//!
//! A time with another offset is converted to UTC. A time without an offset is refused, because it does not say which
//! instant it means.

use std::cmp::Ordering;

use jiff::fmt::temporal::{DateTimePrinter, Pieces, SpanParser};
use jiff::{SpanRelativeTo, Timestamp};
use tenure_core::refusal::Refusal;
use tenure_core::time::{Span, Time};

/// Six digits always, so that what is printed sorts as the instants do.
static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// The instant in UTC, to the microsecond: `2026-11-21T03:45:37.000000Z`.
pub fn print(time: Time) -> String {
    let mut text = String::with_capacity(27);
    // A core time is always within what jiff can print, and a string takes everything that is written to it.
    let timestamp = Timestamp::from_microsecond(time.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
    let printed = PRINTER.print_timestamp(&timestamp, &mut text);
    debug_assert!(printed.is_ok(), "writing to a string never fails");
    text
}

/// The instant in UTC for people, to the second: `2026-11-21T03:45:37Z`.
pub fn print_seconds(time: Time) -> String {
    let mut text = print(time);
    text.truncate(text.len() - ".000000Z".len());
    text.push('Z');
    text
}

/// A duration for people, in its two largest units, rounded down: `42s`, `2m 5s`, `3d 4h`.
pub fn rough(span: Span) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = span.as_micros() / 1_000_000;
    if seconds == 0 {
        return format!("{}ms", span.as_micros() / 1_000);
    }
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[largest];
    let rest = UNITS.get(largest + 1).map(|(next, name)| (seconds % unit / next, *name));
    match rest {
        Some((count, next)) if count > 0 => format!("{}{name} {count}{next}", seconds / unit),
        Some(_) | None => format!("{}{name}", seconds / unit),
    }
}

/// The same for a remaining duration, rounded up: a lease of a minute has `1m` left at first.
pub fn rough_left(span: Span) -> String {
    match span.as_micros() {
        0..1_000_000 => rough(span),
        micros => rough(Span::from_secs(micros.div_ceil(1_000_000))),
    }
}

/// Reads an instant with an offset, whatever offset that is. What is finer than a microsecond is cut towards the past.
pub fn parse(field: &'static str, text: &str) -> Result<Time, Refusal> {
    read(text).map_err(|error| error.of(field))
}

/// The same, and the latest instant instead of a later one: `9999-12-31T23:59:59Z` often means never.
pub fn parse_at_most(field: &'static str, text: &str) -> Result<Time, Refusal> {
    match read(text) {
        Err(InstantError::TooLate) => Ok(Time::MAX),
        read => read.map_err(|error| error.of(field)),
    }
}

/// Why a text is no instant.
enum InstantError {
    Malformed,
    TooEarly,
    TooLate,
}

impl InstantError {
    fn of(self, field: &'static str) -> Refusal {
        Refusal::invalid(
            field,
            match self {
                InstantError::Malformed => {
                    "an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z or …+02:00"
                }
                InstantError::TooEarly | InstantError::TooLate => {
                    "a time in the years 1 to 9999, not after 9999-12-30T22:00:00Z"
                }
            },
        )
    }
}

fn read(text: &str) -> Result<Time, InstantError> {
    let timestamp: Timestamp = text.parse().map_err(|_| beyond(text))?;
    let micros = timestamp.as_nanosecond().div_euclid(1_000);
    let time = Time::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
    match i128::from(time.as_micros()).cmp(&micros) {
        Ordering::Equal => Ok(time),
        Ordering::Less => Err(InstantError::TooLate),
        Ordering::Greater => Err(InstantError::TooEarly),
    }
}

/// What has the form of an instant and can't be one: in the last hours of the year 9999, some offsets would lead out of it.
fn beyond(text: &str) -> InstantError {
    let Ok(parts) = Pieces::parse(text) else { return InstantError::Malformed };
    let is_whole = parts.time().is_some() && parts.offset().is_some();
    match parts.date().year() {
        _ if !is_whole => InstantError::Malformed,
        9_999 => InstantError::TooLate,
        ..=0 => InstantError::TooEarly,
        _ => InstantError::Malformed,
    }
}

/// A start time: a duration before now, or a point in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// This long before now.
    Length(Span),
    /// At this time.
    Instant(Time),
}

impl Since {
    /// Reads either.
    pub fn read(field: &'static str, text: &str) -> Result<Since, Refusal> {
        let length = parse_span(field, text).map(Since::Length);
        length.or_else(|_| parse(field, text).map(Since::Instant)).map_err(|_| {
            Refusal::invalid(field, "a duration such as 24h, or a time such as 2026-01-31T12:00:00Z")
        })
    }

    /// The instant, seen from `now`.
    pub fn from(self, now: Time) -> Time {
        match self {
            Since::Length(length) => now - length,
            Since::Instant(instant) => instant,
        }
    }
}

/// Reads a duration: a whole number and a unit, `500ms`, `90s`, `5m`, `2h`, `7d`, also `250us`; or ISO 8601, `PT1M30S`.
pub fn parse_span(field: &'static str, text: &str) -> Result<Span, Refusal> {
    let span = if text.starts_with(['P', 'p']) { span_of_iso(text) } else { span_of_number(text) };
    span.ok_or_else(|| {
        let forms =
            "a whole number and a unit, such as 500ms, 90s, 5m, 2h or 7d; or ISO 8601 without months and years, such as PT1M30S";
        Refusal::invalid(field, forms)
    })
}

fn span_of_number(text: &str) -> Option<Span> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    let micros_per_unit: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(micros_per_unit).map(Span::from_micros)
}

/// A day has 24 hours. Months and years have no length of their own, and what is finer than a microsecond is not cut.
fn span_of_iso(text: &str) -> Option<Span> {
    static PARSER: SpanParser = SpanParser::new();
    let span = PARSER.parse_span(text).ok()?;
    let nanos = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.as_nanos();
    let is_whole = nanos % 1_000 == 0;
    u64::try_from(nanos / 1_000).ok().filter(|_| is_whole).map(Span::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_kept_in_utc_whatever_offset_it_came_with() {
        let utc = parse("created_at", "2026-01-31T12:00:00Z").expect("valid");
        for same in ["2026-01-31T14:00:00+02:00", "2026-01-31T06:30:00-05:30", "2026-01-31T12:00:00.0000009Z"]
        {
            assert_eq!(parse("created_at", same).expect(same), utc, "{same}");
        }
        assert_eq!(print(utc), "2026-01-31T12:00:00.000000Z");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        for text in
            ["2026-01-31T12:00:00", "2026-01-31", "2026-01-31 12:00:00", "yesterday", "1769860800", ""]
        {
            let refusal = parse("created_at", text).expect_err(text);
            assert_eq!(refusal.field, Some("created_at"), "{text}");
        }
    }

    #[test]
    fn a_time_beyond_the_last_one_says_so_and_can_be_taken_as_the_last() {
        for late in ["9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59.999999Z", "9999-12-30T22:00:00.5Z"] {
            let refusal = parse("until", late).expect_err(late);
            assert!(refusal.message.contains("not after 9999-12-30T22:00:00Z"), "{refusal}");
            assert_eq!(parse_at_most("until", late).expect(late), Time::MAX, "{late}");
        }
        assert_eq!(print_seconds(Time::MAX), "9999-12-30T22:00:00Z");
        for not in ["9999-12-31T23:59:59", "9999-12-31", "9999-13-31T23:59:59Z", "never"] {
            let refusal = parse_at_most("until", not).expect_err(not);
            assert!(refusal.message.contains("RFC 3339"), "{not}: {refusal}");
        }
        let early = parse_at_most("until", "-000001-01-01T00:00:00Z").expect_err("before the year 1");
        assert!(early.message.contains("years 1 to 9999"), "{early}");
    }

    #[test]
    fn what_is_printed_reads_back_at_both_ends_of_time() {
        for time in [Time::MIN, Time::from_micros(-1), Time::from_micros(1), Time::MAX] {
            assert_eq!(parse("at", &print(time)).expect("printed"), time);
        }
    }

    #[test]
    fn a_length_for_people_has_its_two_largest_units() {
        let words = |millis| rough(Span::from_millis(millis));
        assert_eq!(
            [0, 999, 1_000, 59_999, 60_000, 125_000, 3_600_000, 7_259_000, 90_000_000_000].map(words),
            ["0ms", "999ms", "1s", "59s", "1m", "2m 5s", "1h", "2h", "1041d 16h"]
        );
        assert_eq!(rough_left(Span::from_millis(59_001)), "1m");
        assert_eq!(rough_left(Span::from_micros(u64::MAX)), "213503982d 8h");
        assert_eq!(print_seconds(Time::from_micros(1_999_999)), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let span = |text| parse_span("ttl", text).map(Span::as_micros).ok();
        assert_eq!(span("500ms"), Some(500_000));
        assert_eq!(span("90s"), Some(90_000_000));
        assert_eq!(span("7d"), Some(604_800_000_000));
        for bad in ["", "5", "s", "1.5s", "-5s", "5 s", "5min", "99999999999999999999s", "213503982335d"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_may_be_written_after_iso_8601() {
        let span = |text| parse_span("ttl", text).map(Span::as_micros).ok();
        for (text, seconds) in
            [("PT90S", 90), ("PT1M30S", 90), ("pt1m30s", 90), ("PT2H", 7_200), ("P7D", 604_800)]
        {
            assert_eq!(span(text), Some(seconds * 1_000_000), "{text}");
        }
        assert_eq!(span("PT0.5S"), Some(500_000));
        assert_eq!(span("PT0.000001S"), Some(1));
        assert_eq!(span("P1W"), span("P7D"));
        for bad in ["P", "PT", "P1M", "P1Y", "-PT1S", "PT-1S", "PT0.0000001S", "PT1S ", "P1DT", "1 hour"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
