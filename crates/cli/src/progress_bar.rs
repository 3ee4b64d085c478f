//! One line for a person who waits for a long command: a bar, a rate, and how much time is left. Without a terminal it shows
//! nothing.

use std::time::Duration;

use tenure::clock::Moment;
use tenure::core::time::Span;
use tenure::instant::{rough, rough_left};

use crate::output::Output;

/// How often the line changes.
const SHOWN_EVERY: Duration = Duration::from_millis(250);
/// How many signs the bar has.
const SIGNS: u64 = 20;

/// A line that is shown now and then.
pub(crate) struct ProgressBar {
    what: &'static str,
    unit: &'static str,
    began: Moment,
    shown_at: Option<Moment>,
}

/// How far a command has come, in any unit.
#[derive(Clone, Copy)]
pub(crate) struct DonePart {
    pub(crate) done: u64,
    /// None if nobody knows.
    pub(crate) of: Option<u64>,
}

impl ProgressBar {
    /// For a command that does `what` to things of that unit.
    pub(crate) fn new(what: &'static str, unit: &'static str) -> ProgressBar {
        ProgressBar { what, unit, began: Moment::now(), shown_at: None }
    }

    /// How long it has taken so far.
    pub(crate) fn took(&self) -> Span {
        Moment::now().since(self.began)
    }

    /// Shows how many were done, if it is time to.
    pub(crate) fn show(&mut self, out: &mut Output<'_>, number: u64, part: DonePart) {
        let now = Moment::now();
        let is_fresh = self.shown_at.is_some_and(|at| Duration::from(now.since(at)) < SHOWN_EVERY);
        if !out.shows_passing_lines() || is_fresh {
            return;
        }
        self.shown_at = Some(now);
        out.passing_line(&line(self.what, (number, self.unit), part, now.since(self.began)));
    }
}

/// `importing [########------------] 40%  1200 events, 300 a second, 6s left`
fn line(what: &str, (number, unit): (u64, &str), part: DonePart, took: Span) -> String {
    let micros = took.as_micros().max(1);
    let rate = u128::from(number) * 1_000_000 / u128::from(micros);
    let rate = format!("{number} {unit}, {rate} a second");
    let Some(of) = part.of.filter(|of| *of > 0) else {
        return format!("{what}: {rate}, for {}", rough(took));
    };
    let done = part.done.min(of);
    let is_done = |sign: u64| done.saturating_mul(SIGNS) >= of.saturating_mul(sign);
    let bar: String = (1..=SIGNS).map(|sign| if is_done(sign) { '#' } else { '-' }).collect();
    let percent = done.saturating_mul(100) / of;
    let left = match done {
        0 => String::new(),
        done => {
            let left = u128::from(micros) * u128::from(of - done) / u128::from(done);
            format!(", {} left", rough_left(Span::from_micros(u64::try_from(left).unwrap_or(u64::MAX))))
        }
    };
    format!("{what} [{bar}] {percent}%  {rate}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_sees_a_bar_a_rate_and_the_time_that_is_left() {
        let part = |done, of| DonePart { done, of };
        let half = line("importing", (1_200, "events"), part(40, Some(100)), Span::from_secs(4));
        assert_eq!(half, "importing [########------------] 40%  1200 events, 300 a second, 6s left");
        let begun = line("exporting", (0, "events"), part(0, Some(10)), Span::ZERO);
        assert_eq!(begun, "exporting [--------------------] 0%  0 events, 0 a second");
        let more = line("exporting", (11, "events"), part(11, Some(10)), Span::from_secs(1));
        assert_eq!(more, "exporting [####################] 100%  11 events, 11 a second, 0ms left");
        let unknown = line("importing", (10, "events"), part(10, None), Span::from_secs(2));
        assert_eq!(unknown, "importing: 10 events, 5 a second, for 2s");
    }
}
