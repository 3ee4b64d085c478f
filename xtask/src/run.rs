//! Runs steps: programs, and checks in this process. Each step is named, timed and counted; a failed step does not
//! stop the others.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::io::{BufRead, BufReader, Read, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Anything that keeps a command from doing its work, in words for a person.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The result of a command of this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// All is as it should be.
    Passed,
    /// Something is not, and was said.
    Failed,
}

/// A step of a command.
pub(crate) struct Step {
    /// Its name in the summary.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) work: Work,
}

/// What a step does.
pub(crate) enum Work {
    /// Runs a program with these arguments and these variables added to its environment.
    Program(&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]),
    /// Calls a function that prints what it finds. Its error says why it could not look.
    Here(Check),
}

/// A check in this process, by the root of the repository.
pub(crate) type Check = Box<dyn Fn(&Path) -> Result<Tally>>;

impl Step {
    /// A step that runs a program.
    pub(crate) fn program(
        name: &'static str,
        program: &'static str,
        arguments: &'static [&'static str],
        environment: &'static [(&'static str, &'static str)],
    ) -> Step {
        Step { name, work: Work::Program(program, arguments, environment) }
    }

    /// A step in this process.
    pub(crate) fn here(name: &'static str, check: impl Fn(&Path) -> Result<Tally> + 'static) -> Step {
        Step { name, work: Work::Here(Box::new(check)) }
    }
}

/// How many tests or checks ended which way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Of a number of passed and failed ones.
    pub(crate) fn of(passed: u64, failed: u64) -> Tally {
        Tally { passed, failed, skipped: 0 }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Tally) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Passed,
    Failed(String),
    /// It could not begin. That is not a failure of the tested thing, but in CI nobody would notice, so there
    /// it counts as one.
    NotRun(String),
}

/// What became of a step.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) ending: Ending,
    pub(crate) took: Duration,
}

/// Whether a person can read that a step could not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    ByAPerson,
    ByCi,
}

impl Watched {
    /// By CI when it says so, as all of them do.
    pub(crate) fn now() -> Watched {
        match std::env::var_os("CI") {
            Some(value) if !value.is_empty() => Watched::ByCi,
            Some(_) | None => Watched::ByAPerson,
        }
    }
}

/// Runs every step in turn, each program with `environment` added to its own.
pub(crate) fn all(root: &Path, steps: &[Step], environment: &[(&str, &str)]) -> Vec<Report> {
    let watched = Watched::now();
    steps.iter().map(|step| one(root, step, environment, watched)).collect()
}

/// Runs a check that is all of a command.
pub(crate) fn alone(root: &Path, check: fn(&Path) -> Result<Tally>) -> Result<Verdict> {
    let tally = check(root)?;
    Ok(if tally.failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

/// A program, to be run in the root, in the environment that it would have without this one between.
pub(crate) fn command(root: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    // Cargo tells what it runs of its package. Scripts that build C look at that, and Cargo would take them for outdated.
    for (name, _) in std::env::vars_os() {
        let is_of_this_package =
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|its| name.to_string_lossy().starts_with(its));
        if is_of_this_package {
            command.env_remove(name);
        }
    }
    command
}

/// Where Cargo puts what it builds.
pub(crate) fn target_folder(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root.join(target)
}

/// Where tests find what was fetched for them; Cargo calls it to them in `CARGO_TARGET_TMPDIR`.
pub(crate) fn folder_of_tests(root: &Path) -> PathBuf {
    target_folder(root).join("tmp")
}

/// Installs a program of Cargo's that is not there. It is built without optimisations: it is run for seconds, and what
/// building it takes is part of every first run.
pub(crate) fn install(root: &Path, what: &[&str]) -> Result<()> {
    let arguments = [&["install", "--debug"], what].concat();
    println!("cargo {}", arguments.join(" "));
    let mut command = command(root, "cargo", &arguments);
    // Not what a caller set for the builds of this project, nor beside them.
    command.env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_DEV_DEBUG", "0");
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{} is not there and can't be installed: {status}", what[0]).into()),
    }
}

/// What a program prints, without the end of its last line.
pub(crate) fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let said = format!("{program} {}", arguments.join(" "));
    let output = command(root, program, arguments).output().map_err(|why| format!("`{said}`: {why}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{said}` ended with {}: {}", output.status, why.trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// A line for each report, under a heading, and the reason for those that did not pass.
pub(crate) fn print_summary(reports: &[Report]) {
    println!(
        "\n{:<16} {:<8} {:>7} {:>7} {:>7} {:>9}",
        "step", "result", "passed", "failed", "skipped", "time"
    );
    for Report { name, tally, ending, took } in reports {
        let result = match ending {
            Ending::Passed => "ok",
            Ending::Failed(_) => "FAILED",
            Ending::NotRun(_) => "not run",
        };
        let seconds = took.as_secs_f64();
        println!("{name:<16} {result:<8} {} {seconds:>7.1} s", columns(tally));
    }
    println!();
    for Report { name, ending, .. } in reports {
        match ending {
            Ending::Passed => {}
            Ending::Failed(why) => println!("failed: {name}: {why}"),
            Ending::NotRun(why) => println!("not run: {name}: {why}"),
        }
    }
}

/// Three columns, empty for a program that counts nothing.
fn columns(tally: &Tally) -> String {
    match tally {
        Tally { passed: 0, failed: 0, skipped: 0 } => " ".repeat(3 * 7 + 2),
        Tally { passed, failed, skipped } => format!("{passed:>7} {failed:>7} {skipped:>7}"),
    }
}

fn one(root: &Path, step: &Step, environment: &[(&str, &str)], watched: Watched) -> Report {
    let began = Instant::now();
    let (tally, ending) = match &step.work {
        Work::Program(program, arguments, own) => {
            let said = said(program, arguments, own);
            println!("\n==> {}: {said}", step.name);
            let mut command = command(root, program, arguments);
            command.envs(own.iter().copied()).envs(environment.iter().copied());
            let mut tally = Tally::default();
            match stream(&mut command, Side::Output, |line| tally += results_in(line)) {
                Ok(status) => judged(&said, status, tally),
                Err(why) => not_run(format!("`{program}`: {why}"), watched),
            }
        }
        Work::Here(check) => {
            println!("\n==> {}", step.name);
            match check(root) {
                Ok(tally) if tally.failed == 0 => (tally, Ending::Passed),
                Ok(tally) => (tally, Ending::Failed(format!("{} failed", tally.failed))),
                Err(why) => not_run(why.to_string(), watched),
            }
        }
    };
    Report { name: step.name, tally, ending, took: began.elapsed() }
}

/// The command line as a person would type it.
fn said(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut words: Vec<String> =
        environment.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    words.push(program.to_owned());
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    words.join(" ")
}

/// Which of a program's two streams is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Output,
    Errors,
}

/// Runs a program, passes one of its streams on to standard output as it comes, and tells each line of it.
pub(crate) fn stream(
    command: &mut Command,
    side: Side,
    mut heard: impl FnMut(&str),
) -> std::io::Result<ExitStatus> {
    let mut child = match side {
        Side::Output => command.stdout(Stdio::piped()).spawn()?,
        Side::Errors => command.stderr(Stdio::piped()).spawn()?,
    };
    let stream: Option<Box<dyn Read>> = match side {
        Side::Output => child.stdout.take().map(|stream| Box::new(stream) as _),
        Side::Errors => child.stderr.take().map(|stream| Box::new(stream) as _),
    };
    if let Some(stream) = stream {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line)? > 0 {
            std::io::stdout().write_all(&line)?;
            heard(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    child.wait()
}

/// What a line `test result: ok. N passed; M failed; K ignored; …` says; nothing for any other line.
fn results_in(line: &str) -> Tally {
    let mut tally = Tally::default();
    let Some(results) = line.strip_prefix("test result: ") else { return tally };
    let words: Vec<&str> = results.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let [count, what] = pair else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        match *what {
            "passed" => tally.passed += count,
            "failed" => tally.failed += count,
            "ignored" => tally.skipped += count,
            _ => {}
        }
    }
    tally
}

/// How a program ended that could be started. One that fails without a failed test did not build, or died: that is one
/// failure, so that the counts never look better than the exit code.
fn judged(said: &str, status: ExitStatus, mut tally: Tally) -> (Tally, Ending) {
    if status.success() && tally.failed == 0 {
        return (tally, Ending::Passed);
    }
    let why = match tally.failed {
        0 => format!("`{said}` ended with {status}"),
        failed => format!("{failed} failed in `{said}`"),
    };
    tally.failed = tally.failed.max(1);
    (tally, Ending::Failed(why))
}

fn not_run(why: String, watched: Watched) -> (Tally, Ending) {
    let tally = match watched {
        Watched::ByAPerson => Tally { skipped: 1, ..Tally::default() },
        Watched::ByCi => Tally { failed: 1, ..Tally::default() },
    };
    (tally, Ending::NotRun(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_a_test_program_are_counted() {
        let line = "test result: ok. 12 passed; 3 failed; 4 ignored; 5 measured; 6 filtered out; finished in 0.01s\n";
        assert_eq!(results_in(line), Tally { passed: 12, failed: 3, skipped: 4 });
        let coloured = "test result: \u{1b}[32mok\u{1b}[m. 1 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(results_in(coloured), Tally { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(results_in("test a ... ok\n"), Tally::default());
        assert_eq!(results_in("it said: test result: ok. 1 passed\n"), Tally::default());
    }

    #[test]
    fn a_program_that_dies_without_a_failed_test_is_a_failure() {
        let mut dies = Command::new("sh");
        dies.args(["-c", "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101"]);
        let mut tally = Tally::default();
        let status = stream(&mut dies, Side::Output, |line| tally += results_in(line)).expect("sh");
        let (tally, ending) = judged("sh", status, tally);
        assert_eq!(tally, Tally { passed: 2, failed: 1, skipped: 0 });
        assert!(matches!(ending, Ending::Failed(_)));
    }

    #[test]
    fn either_stream_of_a_program_is_told_line_by_line() {
        for (side, script) in [(Side::Output, "echo a; echo b"), (Side::Errors, "echo a >&2; echo b >&2")] {
            let mut lines = Vec::new();
            let mut told = Command::new("sh");
            let status =
                stream(told.args(["-c", script]), side, |line| lines.push(line.to_owned())).expect("sh");
            assert!(status.success());
            assert_eq!(lines, ["a\n", "b\n"], "{side:?}");
        }
    }

    #[test]
    fn a_step_that_could_not_run_fails_only_where_nobody_looks() {
        assert_eq!(not_run("no network".into(), Watched::ByAPerson).0.failed, 0);
        assert_eq!(not_run("no network".into(), Watched::ByCi).0.failed, 1);
    }

    #[test]
    fn a_program_that_is_not_there_is_not_run() {
        let absent = Step::program("absent", "no-such-program-anywhere", &[], &[]);
        let report = one(Path::new("."), &absent, &[], Watched::ByAPerson);
        assert!(matches!(report.ending, Ending::NotRun(_)));
        assert_eq!(report.tally, Tally { passed: 0, failed: 0, skipped: 1 });
    }
}
