//! The last hour as bars, one for each minute with the one that has just begun, as a picture in the page. Beside it stands the same in words.

use std::fmt::Write;

use tenure::core::time::{Span, Time};
use tenure::instant::print;
use tenure::store::ends::MinuteCount;

const MINUTES: i64 = 61;
const MINUTE: Span = Span::from_secs(60);
const WIDTH: i64 = 732;
const HEIGHT: u64 = 96;
const STEP: i64 = WIDTH / MINUTES;

/// The picture, as SVG. Colours come from the style of the page.
pub(super) fn of_minutes(minutes: &[MinuteCount], now: Time) -> String {
    let this_minute = now.as_micros().div_euclid(60_000_000) * 60_000_000;
    let first = Time::from_micros(this_minute) - MINUTE.times(MINUTES.unsigned_abs() - 1);
    let most = minutes.iter().map(all).max().unwrap_or_default().max(1);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
    );
    for minute in minutes.iter().filter(|minute| minute.at >= first) {
        let x = (minute.at.since(first).as_micros() / MINUTE.as_micros()).saturating_mul(STEP.unsigned_abs());
        let height = |number: u64| number.saturating_mul(HEIGHT) / most;
        // What ended badly must be seen, however little it is beside the rest.
        let bad = if minute.ended_badly > 0 { height(minute.ended_badly).max(3) } else { 0 };
        let good = height(minute.completed + minute.cancelled).min(HEIGHT - bad);
        let at = print(minute.at);
        let (hour, title) = (at.get(11..16).unwrap_or_default(), title(minute));
        let _ = write!(svg, "<g><title>{hour} UTC: {title}</title>");
        for (class, height, y) in [("good", good, HEIGHT - good), ("bad", bad, HEIGHT - good - bad)] {
            if height > 0 {
                let width = STEP - 2;
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
                );
            }
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

fn all(minute: &MinuteCount) -> u64 {
    minute.completed + minute.cancelled + minute.ended_badly
}

fn title(minute: &MinuteCount) -> String {
    let MinuteCount { completed, cancelled, ended_badly, .. } = minute;
    format!("{completed} completed, {ended_badly} did not succeed, {cancelled} cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_bad_end_is_seen_beside_thousands() {
        let now = Time::from_micros(3_600_000_000);
        let minute = |at, completed, ended_badly| MinuteCount {
            at: Time::from_micros(at),
            completed,
            cancelled: 0,
            ended_badly,
        };
        let picture = of_minutes(&[minute(3_540_000_000, 10_000, 0), minute(3_600_000_000, 10_000, 1)], now);
        assert!(
            picture.contains("<rect class=\"bad\" x=\"720\" y=\"0\" width=\"10\" height=\"3\"/>"),
            "{picture}"
        );
        assert!(
            picture.contains("<title>01:00 UTC: 10000 completed, 1 did not succeed, 0 cancelled</title>")
        );
        assert_eq!(picture.matches("<g>").count(), 2);
        let now = Time::from_micros(3_660_000_000);
        assert_eq!(of_minutes(&[minute(0, 1, 0)], now).matches("<g>").count(), 0, "it is over an hour ago");
    }
}
