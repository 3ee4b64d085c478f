//! Medians, spreads and ratios. A ratio is taken within a round, as both programs then ran in the same minute of a noisy
//! machine; the median of these ratios is what counts.

use std::collections::BTreeMap;

use super::figures::{Figures, Latency};
use super::results::{Measurement, Outcome};
use super::row::{Row, Shape};

/// The median of some values, with the least and the most of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// None of no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Spread { median, least, most })
    }
}

/// What one program did in all rounds of one row.
pub(super) struct Rounds<'a> {
    shape: Shape,
    figures: BTreeMap<u32, &'a Figures>,
    /// Why a round has no figures, each reason once.
    pub(super) failed: Vec<&'a str>,
    pub(super) not_run: Option<&'a str>,
    /// The sizes that it was called with.
    pub(super) callers: u32,
    pub(super) batch: u32,
}

impl<'a> Rounds<'a> {
    /// None if the program was not measured in that row.
    pub(super) fn of(measurements: &'a [Measurement], row: &Row, program: &str) -> Option<Rounds<'a>> {
        let its = |measurement: &&Measurement| measurement.row == *row && measurement.program == program;
        let its: Vec<&Measurement> = measurements.iter().filter(its).collect();
        let first = its.first()?;
        let mut rounds = Rounds {
            shape: row.shape,
            figures: BTreeMap::new(),
            failed: Vec::new(),
            not_run: None,
            callers: first.callers,
            batch: first.batch,
        };
        for measurement in its {
            match &measurement.outcome {
                Outcome::Figures(figures) => drop(rounds.figures.insert(measurement.round, figures)),
                Outcome::Failed(why) if rounds.failed.contains(&why.as_str()) => {}
                Outcome::Failed(why) => rounds.failed.push(why),
                Outcome::NotRun(why) => rounds.not_run = Some(why),
            }
        }
        Some(rounds)
    }

    pub(super) fn per_second(&self) -> Option<Spread> {
        Spread::of(self.figures.values().map(|figures| figures.per_second()))
    }

    /// In milliseconds. None where the program can't tell.
    pub(super) fn latency_ms(&self, which: fn(&Latency) -> f64) -> Option<Spread> {
        let latencies = self.figures.values().filter_map(|figures| figures.latency_us.as_ref());
        Spread::of(latencies.map(|latency| which(latency) / 1_000.0))
    }

    /// What is compared. A claim has one caller who waits for a worker, so how soon it has the task is what counts.
    fn speed(&self, figures: &Figures) -> Option<f64> {
        match self.shape {
            Shape::Claim => figures.latency_us.as_ref().map(|latency| latency.p50.recip()),
            Shape::Life3
            | Shape::Life3Batch
            | Shape::Life6
            | Shape::Life6Batch
            | Shape::Heartbeats
            | Shape::HeartbeatsBatch
            | Shape::Processes => Some(figures.per_second()),
        }
    }

    /// For sorting: the fastest has the most.
    pub(super) fn median_speed(&self) -> f64 {
        let speeds = self.figures.values().filter_map(|figures| self.speed(figures));
        Spread::of(speeds).map_or(0.0, |speed| speed.median)
    }

    /// How many times as fast as the other one, in the rounds that both have.
    pub(super) fn times(&self, other: &Rounds) -> Option<Spread> {
        let pairs = self.figures.iter().filter_map(|(round, ours)| Some((ours, other.figures.get(round)?)));
        Spread::of(pairs.filter_map(|(ours, theirs)| Some(self.speed(ours)? / other.speed(theirs)?)))
    }

    /// Of the last round.
    pub(super) fn last(&self) -> Option<&'a Figures> {
        self.figures.values().next_back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Scope, rows};
    use super::*;

    fn measured(program: &str, round: u32, done: u64) -> Measurement {
        let latency_us = Some(Latency { p50: 500.0, p99: 2_000.0, p999: 3_000.0, max: 4_000.0 });
        let figures =
            Figures { version: "1".into(), done, seconds: 2.0, latency_us, checked: "counted".into() };
        measurement(program, round, Outcome::Figures(figures))
    }

    fn measurement(program: &str, round: u32, outcome: Outcome) -> Measurement {
        let row = rows(Scope::Quick)[0];
        Measurement { row, program: program.to_owned(), round, callers: 64, batch: 1, outcome }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both_middles() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine was ten times slower in the second round, for both.
        let all = [
            measured("tenure", 1, 4_000),
            measured("other", 1, 1_000),
            measured("other", 2, 100),
            measured("tenure", 2, 500),
            measured("tenure", 3, 6_000),
            measured("other", 3, 1_000),
        ];
        let row = all[0].row;
        let of = |program| Rounds::of(&all, &row, program).expect("measured");
        let ratio = of("tenure").times(&of("other")).expect("a ratio");
        assert_eq!(ratio, Spread { median: 5.0, least: 4.0, most: 6.0 });
        assert_eq!(of("tenure").per_second().expect("figures").median, 2_000.0);
        assert_eq!(of("tenure").latency_ms(|latency| latency.p99).expect("a latency").median, 2.0);
    }

    #[test]
    fn a_round_that_failed_has_no_ratio_and_its_reason_is_kept() {
        let all = [
            measured("tenure", 1, 4_000),
            measured("tenure", 2, 4_000),
            measurement("other", 1, Outcome::Failed("lost 3 jobs".into())),
            measured("other", 2, 1_000),
            measurement("absent", 1, Outcome::NotRun("no node".into())),
        ];
        let row = all[0].row;
        let of = |program| Rounds::of(&all, &row, program).expect("measured");
        assert_eq!(of("tenure").times(&of("other")).expect("a ratio").median, 4.0);
        assert_eq!(of("other").failed, ["lost 3 jobs"]);
        assert_eq!(of("absent").not_run, Some("no node"));
        assert!(of("tenure").times(&of("absent")).is_none());
        assert!(Rounds::of(&all, &row, "nobody").is_none());
    }

    #[test]
    fn claims_are_compared_by_how_soon_a_worker_has_the_task() {
        let claim = |program, p50| {
            let mut measured = measured(program, 1, 100);
            measured.row.shape = Shape::Claim;
            if let Outcome::Figures(Figures { latency_us: Some(latency), .. }) = &mut measured.outcome {
                latency.p50 = p50;
            }
            measured
        };
        let all = [claim("tenure", 500.0), claim("other", 2_000.0)];
        let of = |program| Rounds::of(&all, &all[0].row, program).expect("measured");
        assert_eq!(of("tenure").times(&of("other")).expect("a ratio").median, 4.0);
        assert!(of("tenure").median_speed() > of("other").median_speed());
    }
}
