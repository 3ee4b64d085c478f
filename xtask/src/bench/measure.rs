//! Measures the rows: each program in each round on a new store.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::process::Command;
use std::time::{Duration, Instant};

use super::child::{StopFlag, finish};
use super::contender::{Contender, Executable};
use super::figures::figures_in;
use super::numbers::grouped;
use super::options::CompareOptions;
use super::results::{Measurement, Outcome, Results};
use super::row::Row;
use super::store::Stores;
use crate::run::Result;

/// A program that has no such shape exits with this.
const NO_SUCH_SHAPE: i32 = 3;

/// Until when rows may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimeLimit {
    None,
    Until(Instant),
}

/// What measuring needs.
pub(super) struct Bench<'a> {
    pub(super) options: &'a CompareOptions,
    pub(super) stores: &'a Stores,
    pub(super) stop: &'a StopFlag,
    pub(super) results: Results,
}

impl Bench<'_> {
    /// Measures all rows that are not complete. Answers with those that it could not begin or end, and why.
    pub(super) fn rows(
        &mut self,
        planned: &[(Row, Vec<&Contender>)],
        time: TimeLimit,
    ) -> Result<Vec<(Row, String)>> {
        let mut missing = Vec::new();
        for (at, (row, contenders)) in planned.iter().enumerate() {
            if self.results.is_complete(row) {
                continue;
            }
            let why = match time {
                _ if self.stop.is_set() => Some("the run was interrupted"),
                TimeLimit::Until(end) if Instant::now() > end => Some("the time of a quick run was over"),
                TimeLimit::None | TimeLimit::Until(_) => None,
            };
            if why.is_none() {
                println!("\n[{}/{}] {}", at + 1, planned.len(), row.name());
                self.row(row, contenders)?;
            }
            if let Some(why) = why.or(self.stop.is_set().then_some("the run was interrupted")) {
                missing.push((*row, why.to_owned()));
            }
        }
        Ok(missing)
    }

    fn row(&mut self, row: &Row, contenders: &[&Contender]) -> Result<()> {
        let mut hopeless = Vec::new();
        for round in 1..=row.rounds(self.options.rounds) {
            let first = (round as usize - 1) % contenders.len();
            // Another one begins each round, as the first one may find the machine in another state.
            for contender in contenders[first..].iter().chain(&contenders[..first]) {
                if hopeless.contains(&&contender.name) {
                    continue;
                }
                let measurement = self.measure(row, contender, round);
                if self.stop.is_set() {
                    // What was cut says nothing.
                    return Ok(());
                }
                println!("  round {round}, {:<20} {}", contender.name, in_words(&measurement.outcome));
                let has_figures = matches!(measurement.outcome, Outcome::Figures(_));
                // One that has worked before may have had bad luck.
                let has_worked = self.has_figures(row, contender);
                if !has_figures && !has_worked {
                    hopeless.push(&contender.name);
                }
                self.results.add(measurement)?;
            }
        }
        self.results.complete(*row)
    }

    fn has_figures(&self, row: &Row, contender: &Contender) -> bool {
        self.results.measurements.iter().any(|measurement| {
            measurement.row == *row
                && measurement.program == contender.name
                && matches!(measurement.outcome, Outcome::Figures(_))
        })
    }

    fn measure(&self, row: &Row, contender: &Contender, round: u32) -> Measurement {
        let outcome = match &contender.executable {
            Ok(executable) => self.run(row, contender, executable),
            Err(why) => Outcome::NotRun(why.clone()),
        };
        let size = contender.size(row);
        let program = contender.name.clone();
        Measurement { row: *row, program, round, callers: size.callers, batch: size.batch, outcome }
    }

    fn run(&self, row: &Row, contender: &Contender, executable: &Executable) -> Outcome {
        let store = match self.stores.make(&contender.store) {
            Ok(store) => store,
            Err(why) => return Outcome::NotRun(why.to_string()),
        };
        let size = contender.size(row);
        let mut command = Command::new(&executable.program);
        command.args(&executable.arguments).current_dir(&executable.folder);
        command.args(["--store", &store.address(), "--shape", row.shape.name()]);
        for (option, value) in [
            ("--callers", u64::from(size.callers)),
            ("--batch", u64::from(size.batch)),
            ("--seconds", u64::from(self.options.seconds)),
            ("--tasks", row.tasks),
        ] {
            command.args([option, &value.to_string()]);
        }
        match finish(&mut command, time_limit(row, contender, self.options.seconds), self.stop) {
            Ok(finished) if finished.status.success() => match figures_in(&finished.printed) {
                Ok(figures) => Outcome::Figures(figures),
                Err(why) => Outcome::Failed(why.to_string()),
            },
            Ok(finished) if finished.status.code() == Some(NO_SUCH_SHAPE) => {
                Outcome::NotRun(format!("it has no shape {}", row.shape.name()))
            }
            Ok(finished) => Outcome::Failed(finished.reason()),
            Err(why) => Outcome::Failed(why.to_string()),
        }
    }
}

/// Long enough for a slow program that fills its store first, and checks it afterwards. A peer that fills a large store one
/// task at a time would take most of the run's time for one figure.
fn time_limit(row: &Row, contender: &Contender, seconds: u32) -> Duration {
    let stored_in_a_second = if contender.is_own() { 2_000 } else { 10_000 };
    Duration::from_secs(60 + 2 * u64::from(seconds) + row.tasks / stored_in_a_second)
}

fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Figures(figures) => {
            let latency = figures.latency_us.as_ref();
            let latency = latency.map(|latency| {
                format!(", p50 {:.2} ms, p99 {:.2} ms", latency.p50 / 1_000.0, latency.p99 / 1_000.0)
            });
            format!("{:>10}/s{}", grouped(figures.per_second()), latency.unwrap_or_default())
        }
        Outcome::Failed(why) => format!("failed: {why}"),
        Outcome::NotRun(why) => format!("not run: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::contender::{BARE, TENURE};
    use super::super::results::{Beginning, RunHeader};
    use super::super::row::{Scope, StoreGroup, rows};
    use super::*;

    const RESULT: &str =
        r#"echo '{"version":"1","done":9,"seconds":1,"latency_us":null,"checked":"counted"}'"#;

    fn contender(name: &str, script: &str) -> Contender {
        let arguments = ["-c", script, "sh"].map(str::to_owned).to_vec();
        let executable = Executable { program: "sh".into(), arguments, folder: ".".into() };
        Contender::own(name, StoreGroup::File, Ok(executable))
    }

    /// What became of programs in one row of three rounds: for each measurement the program, the round and the outcome.
    fn outcomes(test: &str, contenders: &[&Contender], runs: usize) -> Vec<(String, u32, String)> {
        let folder = std::env::temp_dir().join(format!("tenure-bench-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let text = String::new;
        let header = RunHeader { commit: text(), built: text(), machine: text(), parameters: text() };
        let options = CompareOptions::parse(&["--rounds", "3", "--seconds", "1"]).expect("options");
        let stores = Stores::new(&folder, Err("no psql".to_owned()), StopFlag::default());
        let row = rows(Scope::Quick).into_iter().find(|row| row.group == StoreGroup::File).expect("a row");
        let mut measurements = Vec::new();
        for _ in 0..runs {
            let path: PathBuf = folder.join("results.jsonl");
            let (results, _) = Results::open(&path, &header, Beginning::Resumed).expect("a file");
            let mut bench = Bench { options: &options, stores: &stores, stop: &StopFlag::default(), results };
            let missing = bench.rows(&[(row, contenders.to_vec())], TimeLimit::None).expect("measured");
            assert!(missing.is_empty());
            measurements = bench.results.measurements;
        }
        std::fs::remove_dir_all(folder).expect("removed");
        let told = |measurement: Measurement| {
            (measurement.program, measurement.round, in_words(&measurement.outcome).trim().to_owned())
        };
        measurements.into_iter().map(told).collect()
    }

    #[test]
    fn programs_take_turns_and_another_one_begins_each_round() {
        let (ours, bare) = (contender(TENURE, RESULT), contender(BARE, RESULT));
        let order: Vec<(String, u32)> = outcomes("turns", &[&ours, &bare], 1)
            .into_iter()
            .map(|(program, round, _)| (program, round))
            .collect();
        let expected = [(TENURE, 1), (BARE, 1), (BARE, 2), (TENURE, 2), (TENURE, 3), (BARE, 3)];
        assert_eq!(order, expected.map(|(program, round)| (program.to_owned(), round)));
    }

    #[test]
    fn a_program_that_can_not_work_is_asked_once_and_one_that_can_is_asked_again() {
        let absent = contender("absent", "echo no life here >&2; exit 3");
        let lossy = contender("lossy", "echo 2 tasks are lost >&2; exit 1");
        let silent = contender("silent", "exit 0");
        let outcomes = outcomes("reasons", &[&absent, &lossy, &silent, &contender(TENURE, RESULT)], 1);
        let of = |name: &str| {
            outcomes
                .iter()
                .filter(|(program, ..)| program == name)
                .map(|(.., told)| told.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("absent"), ["not run: it has no shape life6"]);
        assert_eq!(of("lossy"), ["failed: exit status: 1: 2 tasks are lost"]);
        assert_eq!(of("silent"), ["failed: it printed nothing"]);
        assert_eq!(of(TENURE), ["9/s"; 3]);
    }

    #[test]
    fn a_complete_row_is_not_measured_again() {
        assert_eq!(outcomes("again", &[&contender(TENURE, RESULT)], 2).len(), 3);
    }

    #[test]
    fn every_option_of_the_contract_is_given_and_the_store_is_empty() {
        let script = format!(
            r#"test "$1 $3 $4 $5 $6 $7 $8 $9" = "--store --shape life6 --callers 256 --batch 1 --seconds" && ls -A "$2" | wc -l | grep -q '^ *0$' && {RESULT}"#
        );
        let outcomes = outcomes("options", &[&contender(TENURE, &script)], 1);
        assert_eq!(outcomes[0].2, "9/s");
    }
}
