//! `cargo xtask torture`: repeats the randomized test suites with new seeds for a given time. It ends with one table,
//! with the command that repeats each failure.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::junit::Case;
use crate::nextest::{self, Selection};
use crate::run::{self, Ending, Result, Step, Tally, Verdict};
use crate::test;

/// Keeps what the tests print, which is what their figures are counted from.
const PROFILE: &str = "torture";
const DEFAULT_LENGTH: Duration = Duration::from_secs(10 * 60);

/// A suite, with the size of one round of it. Its size in `cargo xtask test` is in docs/testing.md.
struct Suite {
    name: &'static str,
    /// A filter expression.
    tests: &'static str,
    size: &'static [(&'static str, &'static str)],
}

const SUITES: &[Suite] = &[
    Suite { name: "model", tests: "test(/^model::/)", size: &[("TENURE_MODEL_STATES", "10000000")] },
    Suite { name: "traces", tests: "test(/^traces::/)", size: &[("TENURE_TRACES", "4000")] },
    Suite {
        name: "network",
        tests: "test(/^network::/)",
        size: &[("TENURE_TRACES", "1000"), ("TENURE_LOSSY_TRACES", "60")],
    },
    Suite { name: "kills", tests: "test(/^kills::/)", size: &[("TENURE_KILLS", "200")] },
    Suite { name: "crashes", tests: "test(/^crashes::/)", size: &[("TENURE_KILLS", "200")] },
    Suite {
        name: "servers",
        tests: "test(/^servers::/)",
        size: &[("TENURE_KEEPERS", "2000"), ("TENURE_KEEP_SECONDS", "120")],
    },
    Suite { name: "outages", tests: "test(/^outages::/)", size: &[] },
    Suite { name: "fleet", tests: "test(/^fleet::/)", size: &[] },
    Suite { name: "races", tests: "test(/^(races|rivals)::/)", size: &[] },
    Suite { name: "process", tests: "binary(it) & test(/^(process|runs|workers)::/)", size: &[] },
];

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Options<'a> {
    suites: Vec<&'a str>,
    length: Duration,
    seed: Option<String>,
}

/// What became of a suite in all its rounds.
#[derive(Default)]
struct Total {
    rounds: u32,
    tally: Tally,
    took: Duration,
    /// What its tests said that they did: states, traces, kills.
    figures: BTreeMap<String, u64>,
    /// The seeds of rounds that failed, with the tests that did.
    failed: Vec<(String, Vec<String>)>,
}

/// Runs the suites in turn until the time is over; a round that has begun is ended.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<Verdict> {
    let options = parse(words)?;
    let suites: Vec<&Suite> = named(&options.suites)?;
    let mut preparations = test::preparations();
    preparations.push(Step::here("build", |root| nextest::build(root, &[])));
    let prepared = run::all(root, &preparations, &[]);
    run::print_summary(&prepared);
    if prepared.iter().any(|report| report.ending != Ending::Passed) {
        return Ok(Verdict::Failed);
    }

    let first_seed = match &options.seed {
        Some(given) => given.clone(),
        None => test::seed_of_commit(root)?,
    };
    let told_to_stop = Arc::new(AtomicBool::new(false));
    // The tests hear of it, too, and end; what was counted until then is still told.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&told_to_stop))?;
    let began = Instant::now();
    let mut totals: Vec<Total> = suites.iter().map(|_| Total::default()).collect();
    'rounds: for round in 0.. {
        for (suite, total) in suites.iter().zip(&mut totals) {
            let is_over = round > 0 && began.elapsed() >= options.length;
            if is_over {
                break 'rounds;
            }
            let ended = one_round(root, suite, &seed_of_round(&first_seed, round)?);
            if told_to_stop.load(Ordering::Relaxed) {
                // A round that was cut says nothing.
                break 'rounds;
            }
            total.add(ended);
        }
    }
    print_table(root, &suites, &totals)?;
    let has_failed = totals.iter().any(|total| !total.failed.is_empty());
    Ok(if has_failed { Verdict::Failed } else { Verdict::Passed })
}

/// What became of a suite in one round.
struct Round {
    seed: String,
    tally: Tally,
    took: Duration,
    cases: Vec<Case>,
}

impl Total {
    fn add(&mut self, round: Round) {
        self.rounds += 1;
        self.took += round.took;
        self.tally += round.tally;
        if round.tally.failed > 0 {
            let failed = round.cases.iter().filter(|case| !case.has_passed);
            self.failed.push((round.seed, failed.map(|case| case.name.clone()).collect()));
        }
        for (what, count) in round.cases.iter().flat_map(|case| case.printed.lines()).filter_map(figure_in) {
            *self.figures.entry(what.to_owned()).or_default() += count;
        }
    }
}

/// A round that could not run is one failure, and the others go on.
fn one_round(root: &Path, suite: &Suite, seed: &str) -> Round {
    println!("\n==> {}, seed {seed}", suite.name);
    let began = Instant::now();
    let sizes = suite.size.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let variables = sizes.chain([(test::SEED_VARIABLE, seed.to_owned())]).collect();
    let selection = Selection { profile: PROFILE, filter: Some(suite.tests.to_owned()), variables };
    let ran = nextest::tests(root, &selection)
        .and_then(|ran| nextest::cases(root, PROFILE).map(|cases| (ran.tally, cases)));
    let (tally, cases) = ran.unwrap_or_else(|why| {
        println!("not run: {}: {why}", suite.name);
        (Tally::of(0, 1), Vec::new())
    });
    Round { seed: seed.to_owned(), tally, took: began.elapsed(), cases }
}

/// Tests say what they did in lines such as `2000 traces, seed 7e11`: the first number of a line, and the word behind it.
fn figure_in(line: &str) -> Option<(&str, u64)> {
    let (count, rest) = line.split_once(' ')?;
    let what = rest.split(|c: char| !c.is_ascii_alphabetic()).next().filter(|what| !what.is_empty())?;
    Some((what, count.parse().ok()?))
}

/// The first round has the seed that was given, so that a failure is repeated by giving it.
fn seed_of_round(first: &str, round: u64) -> Result<String> {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    let first = u64::from_str_radix(first, 16)?;
    Ok(format!("{:x}", first.wrapping_add(round.wrapping_mul(GOLDEN_RATIO))))
}

fn print_table(root: &Path, suites: &[&Suite], totals: &[Total]) -> Result<()> {
    println!("\ncommit {}", run::output(root, "git", &["describe", "--always", "--dirty"])?);
    println!(
        "{:<10} {:>7} {:>8} {:>7} {:>8} {:>9}  counted",
        "suite", "rounds", "passed", "failed", "skipped", "time"
    );
    for (suite, Total { rounds, tally, took, figures, .. }) in suites.iter().zip(totals) {
        let figures: Vec<String> = figures.iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!(
            "{:<10} {rounds:>7} {:>8} {:>7} {:>8} {:>7.0} s  {}",
            suite.name,
            tally.passed,
            tally.failed,
            tally.skipped,
            took.as_secs_f64(),
            figures.join(", ")
        );
    }
    for (suite, total) in suites.iter().zip(totals) {
        for (seed, tests) in &total.failed {
            let tests =
                if tests.is_empty() { "the round could not run".to_owned() } else { tests.join(", ") };
            println!(
                "failed: {tests}; again with: cargo xtask torture {} --for 0s --seed {seed}",
                suite.name
            );
        }
    }
    Ok(())
}

/// The names of all suites.
pub(crate) fn names() -> String {
    SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
}

fn named(names: &[&str]) -> Result<Vec<&'static Suite>> {
    if names.is_empty() {
        return Ok(SUITES.iter().collect());
    }
    let unknown = |name: &str| format!("`{name}` is no suite of this command; these are: {}", self::names());
    let found =
        |name: &&str| SUITES.iter().find(|suite| suite.name == *name).ok_or_else(|| unknown(name).into());
    names.iter().map(found).collect()
}

fn parse<'a>(words: &[&'a str]) -> Result<Options<'a>> {
    let mut options = Options { suites: Vec::new(), length: DEFAULT_LENGTH, seed: None };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word {
            "--for" => options.length = length_in(words.next().unwrap_or_default())?,
            "--seed" => options.seed = Some(test::seed_in(words.next().unwrap_or_default())?),
            option if option.starts_with('-') => {
                return Err(
                    format!("`{option}`: give --for and a length such as 30m, --seed, and suites").into()
                );
            }
            suite => options.suites.push(suite),
        }
    }
    Ok(options)
}

/// A length such as `90s`, `30m` or `8h`.
fn length_in(given: &str) -> Result<Duration> {
    let wrong = || format!("--for `{given}`: give a length such as 90s, 30m or 8h");
    let unit = match given.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some(_) | None => return Err(wrong().into()),
    };
    let count: u64 = given[..given.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(count.checked_mul(unit).ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_counted_by_the_word_behind_them() {
        assert_eq!(figure_in("2000 traces, seed 7e11"), Some(("traces", 2000)));
        assert_eq!(figure_in("20 kills: {}"), Some(("kills", 20)));
        assert_eq!(figure_in("seed 7e11"), None);
        assert_eq!(figure_in("12 "), None);
    }

    #[test]
    fn a_failed_round_is_repeated_by_its_seed() {
        assert_eq!(seed_of_round("7e11", 0).expect("a seed"), "7e11");
        let third = seed_of_round("7e11", 2).expect("a seed");
        assert_eq!(seed_of_round(&third, 0).expect("a seed"), third);
        assert_ne!(seed_of_round("7e11", 1).expect("a seed"), third);
    }

    #[test]
    fn lengths_and_suites_that_are_none_are_refused_with_those_that_are() {
        assert_eq!(length_in("90s").expect("a length"), Duration::from_secs(90));
        assert_eq!(length_in("8h").expect("a length"), Duration::from_secs(28_800));
        for wrong in ["", "s", "8", "8d", "-1s", "99999999999999999999h"] {
            assert!(length_in(wrong).expect_err("no length").to_string().contains("30m"), "{wrong}");
        }
        let why = named(&["model", "modell"]).err().expect("no suite").to_string();
        assert!(why.contains("`modell`") && why.contains("traces"), "{why}");
        assert_eq!(named(&[]).expect("all").len(), SUITES.len());
    }
}
