//! Runs the tests of all crates in one pool with cargo-nextest: each test in its own process, several at once.
//! `.config/nextest.toml` says which tests share something and which need the machine alone.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::available_parallelism;

use crate::junit::{self, Case};
use crate::postgres::SharedServers;
use crate::run::{self, Result, Side, Tally};

/// The oldest that reads our settings as they are meant, and the one that is installed where there is none.
const VERSION: (u64, u64, u64) = (0, 9, 143);

/// Tests that wait leave a core to others: so more of them run at once than there are cores.
const TESTS_PER_CORE: usize = 3;

/// Which tests, and how.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// A profile of `.config/nextest.toml`.
    pub(crate) profile: &'static str,
    /// A filter expression; all tests of the profile without one.
    pub(crate) filter: Option<String>,
    /// Variables that the tests read, and their servers.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Selection {
    /// Whether some tests are left out on purpose.
    fn is_partial(&self) -> bool {
        self.filter.is_some() || self.profile != "default"
    }
}

/// What came of a selection.
pub(crate) struct Ran {
    pub(crate) tally: Tally,
    /// The major version of PostgreSQL that it ran on. None where this machine has no server.
    pub(crate) postgresql: Option<String>,
}

/// Prints the installed version. Installs it if it is missing or too old.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    let installed = || run::output(root, "cargo", &["nextest", "--version"]).ok();
    if installed().as_deref().and_then(version_in).is_none_or(|version| version < VERSION) {
        let (major, minor, patch) = VERSION;
        let version = format!("{major}.{minor}.{patch}");
        run::install(root, &["cargo-nextest", "--version", &version, "--locked"])?;
    }
    let version = installed().ok_or("cargo-nextest was installed, and `cargo nextest` does not run")?;
    println!("{}", version.lines().next().unwrap_or_default());
    // Nothing of this project was looked at.
    Ok(Tally::default())
}

/// Of `cargo-nextest 0.9.143 (60fa45f63 2026-08-04)`.
fn version_in(text: &str) -> Option<(u64, u64, u64)> {
    let version = text.split_whitespace().nth(1)?;
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?, numbers.next()?))
}

/// Builds what the tests of all crates need: the same features for all, so that nothing is built twice.
pub(crate) fn build(root: &Path, options: &[&str]) -> Result<Tally> {
    let arguments = [&["nextest", "run", "--workspace", "--no-run"], options].concat();
    println!("cargo {}", arguments.join(" "));
    let status = run::command(root, "cargo", &arguments).status()?;
    Ok(if status.success() { Tally::default() } else { Tally::of(0, 1) })
}

/// Runs the tests, and counts how they ended. Each of those that run at once has a PostgreSQL server.
pub(crate) fn tests(root: &Path, selection: &Selection) -> Result<Ran> {
    let at_once = available_parallelism().map_or(1, usize::from) * TESTS_PER_CORE;
    let servers = match SharedServers::start(root, at_once, &selection.variables) {
        Ok(servers) => servers,
        Err(why) => {
            println!("no test ran: {why}");
            return Ok(Ran { tally: Tally::of(0, 1), postgresql: None });
        }
    };
    let report = report(root, selection.profile);
    if report.is_file() {
        // What is read afterwards is of this run.
        std::fs::remove_file(&report)?;
    }
    let mut command = command(root, selection, at_once);
    command.envs(servers.variable());
    println!("cargo {}", said(&command));
    let mut tally = None;
    let status = run::stream(&mut command, Side::Errors, |line| tally = summary_in(line).or(tally.take()))?;
    let mut tally = judged(status, tally);
    if selection.is_partial() {
        // nextest counts those, too, that were not asked for.
        tally.skipped = 0;
    }
    for case in cases(root, selection.profile).unwrap_or_default() {
        let Some(why) = case.not_run().filter(|_| case.has_passed) else { continue };
        println!("{} {}: {why}", case.program, case.name);
        tally.passed = tally.passed.saturating_sub(1);
        tally.skipped += 1;
    }
    Ok(Ran { tally, postgresql: servers.major() })
}

/// What became of each test of the newest run of that profile.
pub(crate) fn cases(root: &Path, profile: &str) -> Result<Vec<Case>> {
    let file = report(root, profile);
    let text = std::fs::read_to_string(&file).map_err(|why| format!("{}: {why}", file.display()))?;
    junit::cases(&text)
}

fn report(root: &Path, profile: &str) -> PathBuf {
    run::target_folder(root).join("nextest").join(profile).join("junit.xml")
}

fn command(root: &Path, selection: &Selection, at_once: usize) -> Command {
    let mut command = run::command(root, "cargo", &["nextest", "run", "--workspace", "--no-fail-fast"]);
    command.args(["--color", "never", "--no-tests", "fail", "--profile", selection.profile]);
    command.args(["--test-threads", &at_once.to_string()]);
    if let Some(filter) = &selection.filter {
        command.args(["--filterset", filter]);
    }
    command.envs(selection.variables.iter().map(|(name, value)| (name, value)));
    command
}

fn said(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let quoted = words.map(|word| if word.contains([' ', '(']) { format!("'{word}'") } else { word.into() });
    quoted.collect::<Vec<String>>().join(" ")
}

/// Of `Summary [ 12.3s] 7 tests run: 5 passed (1 slow), 1 failed, 1 timed out, 2 skipped`; none for any other line.
fn summary_in(line: &str) -> Option<Tally> {
    let counts = line.trim_start().strip_prefix("Summary [")?.split_once("] ")?.1;
    let (run, ended) = counts.split_once(" run: ").or_else(|| counts.split_once(" run, "))?;
    // `3/7 tests` where the run was ended early.
    let run: u64 = run.split([' ', '/']).next()?.parse().ok()?;
    let count = |what: &str| {
        let words: Vec<&str> =
            ended.split([' ', ',', '(', ')', '\n']).filter(|word| !word.is_empty()).collect();
        let pair = words.windows(2).find(|pair| pair[1] == what);
        pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
    };
    let passed = count("passed");
    Some(Tally { passed, failed: run.saturating_sub(passed), skipped: count("skipped") })
}

/// The counts never look better than what happened: a run that failed without a failed test is one failure, and so is one of
/// which nothing was counted.
fn judged(status: ExitStatus, counted: Option<Tally>) -> Tally {
    let mut tally = counted.unwrap_or_default();
    let has_run = tally.passed + tally.failed > 0;
    if !has_run {
        println!("cargo nextest ended with {status}, and no test ran");
    }
    if !has_run || !status.success() {
        tally.failed = tally.failed.max(1);
    }
    tally
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// A filter says nothing of a test that has another name by now.
    #[test]
    fn every_test_that_the_settings_name_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let settings = std::fs::read_to_string(root.join(".config/nextest.toml")).expect("settings");
        let suites = ["crates/cli/tests/it", "crates/testkit/tests/it"].map(|folder| root.join(folder));
        let suite = |name: &str| {
            let file =
                suites.iter().map(|folder| folder.join(format!("{name}.rs"))).find(|file| file.is_file());
            std::fs::read_to_string(file.unwrap_or_else(|| panic!("{name}: no such suite"))).expect("text")
        };
        let mut seen = 0;
        for part in settings.split("test(").skip(1) {
            let names = part.strip_prefix("/^").and_then(|part| part.split("::/").next());
            let test = part.split(')').next().and_then(|filter| filter.split_once("::"));
            match (names, test) {
                (Some(names), _) => {
                    for name in names.trim_matches(['(', ')']).split('|') {
                        suite(name);
                        seen += 1;
                    }
                }
                (None, Some((name, test))) => {
                    assert!(suite(name).contains(&format!("fn {test}")), "{name}::{test}");
                    seen += 1;
                }
                (None, None) => {}
            }
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn the_summary_of_a_run_is_counted() {
        let whole = "     Summary [  12.345s] 844 tests run: 840 passed (2 slow, 1 leaky), 3 failed, 1 timed out, 2 skipped\n";
        assert_eq!(summary_in(whole), Some(Tally { passed: 840, failed: 4, skipped: 2 }));
        let one = "     Summary [   0.004s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(summary_in(one), Some(Tally { passed: 1, failed: 0, skipped: 0 }));
        let cut = "     Summary [   0.004s] 3/7 tests run: 2 passed, 1 failed, 0 skipped";
        assert_eq!(summary_in(cut), Some(Tally { passed: 2, failed: 1, skipped: 0 }));
        assert_eq!(summary_in("        PASS [   0.004s] xtask run::tests::a"), None);
        assert_eq!(summary_in("a test says Summary [1s] 1 test run: 1 passed"), None);
    }

    #[test]
    fn a_run_that_fails_is_never_counted_as_passed() {
        let (done, failed) = (ExitStatus::from_raw(0), ExitStatus::from_raw(100 << 8));
        assert_eq!(judged(failed, Some(Tally::of(2, 0))), Tally::of(2, 1));
        assert_eq!(judged(failed, Some(Tally::of(2, 3))), Tally::of(2, 3));
        assert_eq!(judged(failed, None), Tally::of(0, 1), "it did not build");
        assert_eq!(judged(done, None), Tally::of(0, 1), "nothing was counted");
        assert_eq!(judged(done, Some(Tally::default())), Tally::of(0, 1), "nothing ran");
        assert_eq!(judged(done, Some(Tally::of(2, 0))), Tally::of(2, 0));
    }

    #[test]
    fn a_version_is_read_and_compared_by_its_numbers() {
        let told = "cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143\n";
        assert_eq!(version_in(told), Some((0, 9, 143)));
        assert!(version_in("cargo-nextest 0.9.98").is_some_and(|version| version < VERSION));
        assert_eq!(version_in("error: no such command"), None);
    }
}
