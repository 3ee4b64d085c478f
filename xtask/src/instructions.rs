//! `cargo xtask instructions`: counts the instructions of the main paths with callgrind and compares them with what is stored. Unlike
//! times they are the same on a busy machine, so a path that became more expensive is found by a test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::run::{self, Result, Tally, Verdict};

/// How many instructions a piece of work has on each path, as it was when somebody last looked.
const STORED: &str = "crates/tenure/benches/instructions.toml";
/// How many percent more are no regression: threads meet in another order each time, and processors differ in what they can do.
const MARGIN: u64 = 12;
/// Callgrind's package of Debian's and Ubuntu's. It is unpacked and not installed.
const PACKAGE: &str = "valgrind";
/// The lengths of the two runs, whose difference is what counts.
const PIECES: [u64; 2] = [200, 600];
const PATHS: [&str; 4] = ["memory-life", "file-life", "file-batch", "file-heartbeats"];

/// What is done with what was counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Compare,
    Store,
}

/// As a command of its own.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<Verdict> {
    let wanted = match options {
        [] => Use::Compare,
        ["--store"] => Use::Store,
        _ => return Err("instructions takes --store or nothing".into()),
    };
    let tally = count(root, wanted)?;
    Ok(if tally.failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

/// As a step of all tests.
pub(crate) fn compare(root: &Path) -> Result<Tally> {
    count(root, Use::Compare)
}

fn count(root: &Path, wanted: Use) -> Result<Tally> {
    let Some(callgrind) = Callgrind::find(root)? else {
        println!(
            "valgrind is not there, or does not work here: the instructions of {} paths are not counted",
            PATHS.len()
        );
        return Ok(Tally { skipped: PATHS.len() as u64, ..Tally::default() });
    };
    let program = program(root)?;
    let mut counted = BTreeMap::new();
    for path in PATHS {
        let [short, long] = PIECES.map(|pieces| callgrind.instructions(&program, path, pieces));
        counted.insert(path.to_owned(), (long?.saturating_sub(short?)) / (PIECES[1] - PIECES[0]));
    }
    if wanted == Use::Store {
        let lines: String = counted.iter().map(|(path, count)| format!("{path} = {count}\n")).collect();
        std::fs::write(root.join(STORED), format!("{HEADING}{lines}"))?;
        print!("{lines}");
        return Ok(Tally::default());
    }
    let stored: BTreeMap<String, u64> = toml::from_str(&std::fs::read_to_string(root.join(STORED))?)?;
    let mut tally = Tally::default();
    for (path, now) in &counted {
        let finding = finding(*stored.get(path).unwrap_or(&0), *now);
        println!(
            "{path}: {now} instructions{}",
            finding.as_deref().map_or(String::new(), |why| format!(", {why}"))
        );
        match is_regression(*stored.get(path).unwrap_or(&0), *now) {
            false => tally.passed += 1,
            true => tally.failed += 1,
        }
    }
    Ok(tally)
}

const HEADING: &str = "\
# Instructions of one piece of work: of a life of six commands by one caller, of one of three in batches, of one heartbeat in batches.
# `cargo xtask instructions --store` writes this file. Say in the commit why a figure changed.
";

fn is_regression(stored: u64, now: u64) -> bool {
    now * 100 > stored * (100 + MARGIN)
}

/// What is said of a count that is not near what is stored. Fewer instructions fail no test.
fn finding(stored: u64, now: u64) -> Option<String> {
    let more = format!("{} % of the {stored} that are stored in {STORED}", now * 100 / stored.max(1));
    match now {
        _ if is_regression(stored, now) => Some(format!("a regression: {more}")),
        _ if now * 100 < stored * (100 - MARGIN) => {
            Some(format!("a gain: {more}; keep it with `cargo xtask instructions --store`"))
        }
        _ => None,
    }
}

/// The program to count in, as it ships: optimised, without the checks of debug builds.
fn program(root: &Path) -> Result<PathBuf> {
    let package = ["-p", "tenure", "--bench", "instructions"];
    // Callgrind hides the page from which rustix reads the clock without the C library.
    let clock = ["--features", "rustix/use-libc"];
    let messages = ["--no-run", "--message-format", "json-render-diagnostics"];
    let build = [&["bench"][..], &package, &clock, &messages].concat();
    let messages = run::output(root, "cargo", &build)?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut executables = built.filter_map(|message| {
        let is_it = message["target"]["name"] == "instructions";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    executables.next_back().ok_or_else(|| "Cargo did not say where it put the bench `instructions`".into())
}

/// The program that counts.
struct Callgrind {
    valgrind: PathBuf,
    /// Where its tools are, if it was unpacked and not installed.
    tools: Option<PathBuf>,
}

impl Callgrind {
    fn find(root: &Path) -> Result<Option<Callgrind>> {
        let installed = Callgrind { valgrind: "valgrind".into(), tools: None };
        if installed.works() {
            return Ok(Some(installed));
        }
        let folder = run::folder_of_tests(root).join("valgrind");
        let unpacked = Callgrind {
            valgrind: folder.join("usr/bin/valgrind"),
            tools: Some(folder.join("usr/libexec/valgrind")),
        };
        if !unpacked.valgrind.is_file() && run::output(root, "apt-get", &["--version"]).is_ok() {
            debian::unpack(&folder, &[PACKAGE])?;
        }
        Ok(Some(unpacked).filter(Callgrind::works))
    }

    /// It does not without the symbols of some C libraries.
    fn works(&self) -> bool {
        self.command().arg("true").output().is_ok_and(|ran| ran.status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.valgrind);
        if let Some(tools) = &self.tools {
            command.env("VALGRIND_LIB", tools);
        }
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command
    }

    /// All that a run of the program has, from its start to its end.
    fn instructions(&self, program: &Path, path: &str, pieces: u64) -> Result<u64> {
        let folder = std::env::temp_dir().join(format!("tenure-instructions-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut command = self.command();
        let ran = command.arg(program).args([path, &pieces.to_string()]).arg(&folder).output();
        std::fs::remove_dir_all(&folder)?;
        let ran = ran?;
        let said = String::from_utf8_lossy(&ran.stderr);
        match collected(&said) {
            Some(count) if ran.status.success() => Ok(count),
            _ => Err(format!("callgrind did not count {path}: {said}").into()),
        }
    }
}

/// The sum that callgrind prints at its end: `==7== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().rev().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sum_that_callgrind_prints_is_read() {
        let said =
            "==7== Events    : Ir\n==7== Collected : 5133029\n==7== \n==7== I   refs:      5,133,029\n";
        assert_eq!(collected(said), Some(5_133_029));
        assert_eq!(collected("==7== killed\n"), None);
    }

    #[test]
    fn more_than_the_margin_is_a_regression_and_fewer_a_gain_to_be_kept() {
        assert_eq!(finding(1_000, 1_120), None);
        assert_eq!(finding(1_000, 880), None);
        assert!(finding(1_000, 1_121).expect("a finding").starts_with("a regression: 112 %"));
        assert!(finding(1_000, 879).expect("a finding").starts_with("a gain: 87 %"));
        assert!(is_regression(1_000, 1_121) && !is_regression(1_000, 879));
        assert!(finding(0, 5).expect("a path that was never stored").starts_with("a regression"));
    }
}
