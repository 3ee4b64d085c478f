//! The goals that this benchmark can check: ratios between programs and between sizes, and latencies. Goals of memory, of
//! the server and of other commands are checked elsewhere.

use super::results::Measurement;
use super::row::{Row, Shape, StoreGroup};
use super::summary::Rounds;

use super::contender::{BARE, TENURE};

/// One program in one row.
pub(super) struct Point {
    pub(super) program: &'static str,
    pub(super) row: Row,
}

impl Point {
    fn named(&self) -> &'static str {
        match self.program {
            TENURE => "Tenure",
            BARE => "the bare engine",
            other => other,
        }
    }
}

/// What is asked for.
pub(super) enum Least {
    /// Tenure's figure is at least this many times the other one.
    Times(f64, Point),
    /// In milliseconds.
    LatencyMost { p50: f64, p99: f64 },
    /// The 99.9th percentile, in milliseconds.
    LongestMost(f64),
}

/// A goal of Tenure in a row.
pub(super) struct Goal {
    pub(super) row: Row,
    pub(super) least: Least,
}

/// Whether a goal is reached.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum GoalVerdict {
    Reached(String),
    Missed(String),
    /// One of the two was not measured.
    Unknown,
}

impl Goal {
    /// What the goal asks for, in words.
    pub(super) fn asked(&self) -> String {
        match &self.least {
            Least::Times(times, point) if point.row == self.row => {
                format!("at least {times} × {}", point.named())
            }
            Least::Times(times, point) => {
                format!("at least {times} × {} in “{}”", point.named(), point.row.name())
            }
            Least::LatencyMost { p50, p99 } => format!("p50 at most {p50} ms, p99 at most {p99} ms"),
            Least::LongestMost(p999) => format!("p99.9 at most {p999} ms"),
        }
    }

    /// By what was measured.
    pub(super) fn verdict(&self, measurements: &[Measurement]) -> GoalVerdict {
        let Some(ours) = Rounds::of(measurements, &self.row, TENURE) else { return GoalVerdict::Unknown };
        let judged = match &self.least {
            Least::Times(least, point) => {
                let other = Rounds::of(measurements, &point.row, point.program);
                let times = other.and_then(|other| ours.times(&other));
                times.map(|times| (times.median >= *least, format!("{:.2}", times.median)))
            }
            Least::LatencyMost { p50, p99 } => {
                let half = ours.latency_ms(|latency| latency.p50);
                let most = ours.latency_ms(|latency| latency.p99);
                half.zip(most).map(|(half, most)| {
                    let is_reached = half.median <= *p50 && most.median <= *p99;
                    (is_reached, format!("p50 {:.2} ms, p99 {:.2} ms", half.median, most.median))
                })
            }
            Least::LongestMost(p999) => ours
                .latency_ms(|latency| latency.p999)
                .map(|longest| (longest.median <= *p999, format!("p99.9 {:.2} ms", longest.median))),
        };
        match judged {
            Some((true, measured)) => GoalVerdict::Reached(measured),
            Some((false, measured)) => GoalVerdict::Missed(measured),
            None => GoalVerdict::Unknown,
        }
    }
}

/// The rows of goals.
fn row(shape: Shape, group: StoreGroup, callers: Option<u32>, tasks: u64) -> Row {
    Row { shape, group, callers, tasks }
}

fn times(row: Row, least: f64, program: &'static str, other: Row) -> Goal {
    Goal { row, least: Least::Times(least, Point { program, row: other }) }
}

/// All of them.
pub(super) fn goals() -> Vec<Goal> {
    use Shape::{Claim, Heartbeats, HeartbeatsBatch, Life3, Life3Batch, Life6, Life6Batch, Processes};
    use StoreGroup::{File, Server};
    const LEASED: u64 = 10_000;
    // Tenure has 256 callers there. The hand-written table is fastest with one.
    let many = row(Life6, File, None, 0);
    let batches = row(Life6Batch, File, None, 0);
    let one = row(Life6, File, Some(1), 0);
    let renewed = row(HeartbeatsBatch, File, None, LEASED);
    let renewed_by_one = row(Heartbeats, File, Some(1), LEASED);
    let of_a_million = row(HeartbeatsBatch, File, None, 1_000_000);
    let on_server = row(Life3, Server, Some(64), 0);
    let on_server_batched = row(Life3Batch, Server, None, 0);
    let renewed_on_server = row(HeartbeatsBatch, Server, None, LEASED);
    let with_history = |group, tasks| row(Life3, group, Some(64), tasks);
    let latency =
        |group, p50, p99| Goal { row: row(Claim, group, Some(1), 0), least: Least::LatencyMost { p50, p99 } };
    vec![
        times(many, 20.0, HAND_WRITTEN, many),
        times(many, 0.6, BARE, many),
        times(batches, 30.0, HAND_WRITTEN, many),
        times(batches, 0.75, BARE, batches),
        times(one, 1.0, HAND_WRITTEN, one),
        times(renewed_by_one, 0.85, BARE, renewed_by_one),
        times(renewed, 0.3, BARE, renewed),
        times(row(Heartbeats, File, Some(256), LEASED), 0.08, BARE, renewed),
        times(of_a_million, 0.5, TENURE, renewed),
        times(on_server_batched, 1.25, "graphile-worker-rs", on_server_batched),
        times(on_server, 3.0, "etcd", on_server),
        times(on_server, 4.0, "pgqueuer", on_server),
        times(renewed_on_server, 7.0, "etcd", renewed_on_server),
        Goal { row: row(Processes, File, Some(8), 0), least: Least::LongestMost(50.0) },
        latency(File, 0.4, 1.0),
        latency(Server, 1.0, 3.0),
        // A command costs at most half as much again when the history has grown a thousandfold.
        times(with_history(File, 10_000_000), 0.67, TENURE, with_history(File, LEASED)),
        times(with_history(Server, 10_000_000), 0.67, TENURE, with_history(Server, LEASED)),
    ]
}

const HAND_WRITTEN: &str = "hand-written";

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Latency};
    use super::super::results::Outcome;
    use super::super::row::{Scope, rows};
    use super::*;

    fn measured(program: &str, row: Row, done: u64) -> Measurement {
        let latency_us = Some(Latency { p50: 300.0, p99: 2_000.0, p999: 3_000.0, max: 4_000.0 });
        let figures =
            Figures { version: "1".into(), done, seconds: 1.0, latency_us, checked: "counted".into() };
        let outcome = Outcome::Figures(figures);
        Measurement { row, program: program.to_owned(), round: 1, callers: 1, batch: 1, outcome }
    }

    #[test]
    fn a_ratio_is_reached_missed_or_unknown() {
        let here = row(Shape::Life6, StoreGroup::File, Some(256), 0);
        let there = row(Shape::Life6, StoreGroup::File, None, 0);
        let goal = times(here, 2.0, "other", there);
        let verdict = |theirs| goal.verdict(&[measured(TENURE, here, 100), measured("other", there, theirs)]);
        assert_eq!(verdict(50), GoalVerdict::Reached("2.00".into()));
        assert_eq!(verdict(80), GoalVerdict::Missed("1.25".into()));
        assert_eq!(goal.verdict(&[measured(TENURE, here, 100)]), GoalVerdict::Unknown);
        assert_eq!(goal.verdict(&[measured("other", there, 100)]), GoalVerdict::Unknown);
        assert!(goal.asked().contains("own callers"), "{}", goal.asked());
    }

    #[test]
    fn both_latencies_must_be_low_enough() {
        let here = row(Shape::Claim, StoreGroup::File, Some(1), 0);
        let verdict = |p50, p99| {
            let goal = Goal { row: here, least: Least::LatencyMost { p50, p99 } };
            goal.verdict(&[measured(TENURE, here, 100)])
        };
        assert_eq!(verdict(0.3, 2.0), GoalVerdict::Reached("p50 0.30 ms, p99 2.00 ms".into()));
        assert!(matches!(verdict(0.2, 2.0), GoalVerdict::Missed(_)));
        assert!(matches!(verdict(0.3, 1.9), GoalVerdict::Missed(_)));
    }

    #[test]
    fn every_goal_is_about_rows_that_are_measured() {
        let rows = rows(Scope::Large);
        for goal in goals() {
            assert!(rows.contains(&goal.row), "{}", goal.row.name());
            if let Least::Times(_, point) = &goal.least {
                assert!(rows.contains(&point.row), "{}", point.row.name());
            }
        }
    }
}
