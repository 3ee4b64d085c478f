//! `cargo xtask test --timings`: measures how long the build and the tests take, and writes it into docs/testing.md.
//!
//! It measures only what this run builds. For the whole build, begin with an empty target directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::junit::Case;
use crate::run::{self, Report, Result};

const DOCUMENT: &str = "docs/testing.md";
const BEGIN: &str = "<!-- timings: written by `cargo xtask test --timings` -->\n";
const END: &str = "<!-- end of timings -->\n";

const SLOWEST_UNITS: usize = 15;
const SLOWEST_TESTS: usize = 50;

/// One call of the compiler, or of a script that builds C.
struct Unit {
    name: String,
    /// A program, whose time includes that of linking it.
    is_linked: bool,
    seconds: f64,
}

/// Writes the tables anew, between their two marks.
pub(crate) fn write(root: &Path, reports: &[Report], cases: &[Case]) -> Result<()> {
    let units = units(root)?;
    let tables = [steps(reports), built(&units), suites(cases), slowest(cases)].join("\n");
    let document = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&document)?;
    let between = || Some((text.split_once(BEGIN)?.0, text.split_once(END)?.1));
    let (before, after) = between().ok_or_else(|| format!("{DOCUMENT} has no marks for the tables"))?;
    std::fs::write(&document, format!("{before}{BEGIN}\n{tables}\n{END}{after}"))?;
    println!("{DOCUMENT} has the timings");
    Ok(())
}

fn steps(reports: &[Report]) -> String {
    let mut table = "| step | time |\n|---|---|\n".to_owned();
    for Report { name, took, .. } in reports {
        table += &format!("| {name} | {:.0} s |\n", took.as_secs_f64());
    }
    table
}

fn built(units: &[Unit]) -> String {
    let all: f64 = units.iter().map(|unit| unit.seconds).sum();
    let linked = units.iter().filter(|unit| unit.is_linked).count();
    let mut units: Vec<&Unit> = units.iter().collect();
    units.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    let mut table =
        format!("| of {} built, {linked} of them linked | {all:.0} s, added up |\n|---|---|\n", units.len());
    for unit in units.iter().take(SLOWEST_UNITS) {
        table += &format!("| {} | {:.1} s |\n", unit.name, unit.seconds);
    }
    table
}

fn suites(cases: &[Case]) -> String {
    let mut suites: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    for case in cases {
        let (count, took) = suites.entry(case.suite()).or_default();
        *count += 1;
        *took += case.took;
    }
    let mut suites: Vec<(String, (usize, Duration))> = suites.into_iter().collect();
    suites.sort_by_key(|(_, (_, took))| std::cmp::Reverse(*took));
    let mut table = "| suite | tests | time, added up |\n|---|---|---|\n".to_owned();
    for (suite, (count, took)) in suites {
        table += &format!("| {suite} | {count} | {:.1} s |\n", took.as_secs_f64());
    }
    table
}

fn slowest(cases: &[Case]) -> String {
    let mut cases: Vec<&Case> = cases.iter().collect();
    cases.sort_by_key(|case| std::cmp::Reverse(case.took));
    let mut table = "| slowest tests | time |\n|---|---|\n".to_owned();
    for case in cases.iter().take(SLOWEST_TESTS) {
        table += &format!("| `{}` | {:.1} s |\n", case.name, case.took.as_secs_f64());
    }
    table
}

/// From the newest report of `cargo build --timings`, which has its data as JSON in a script.
fn units(root: &Path) -> Result<Vec<Unit>> {
    let file = run::target_folder(root).join("cargo-timings/cargo-timing.html");
    let text = std::fs::read_to_string(&file).map_err(|why| format!("{}: {why}", file.display()))?;
    units_in(&text).ok_or_else(|| format!("{}: no units are found in it", file.display()).into())
}

fn units_in(report: &str) -> Option<Vec<Unit>> {
    let data = report.split_once("const UNIT_DATA = ")?.1;
    let units = serde_json::Deserializer::from_str(data).into_iter::<Vec<Value>>().next()?.ok()?;
    units.iter().map(unit).collect()
}

fn unit(data: &Value) -> Option<Unit> {
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let target = text("target");
    let is_linked = ["(test)", "\"bin\"", "\"example\""].iter().any(|kind| target.contains(kind));
    Some(Unit { name: format!("{}{target}", text("name")), is_linked, seconds: data["duration"].as_f64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_of_a_build_are_read() {
        let report = r#"<script>const DURATION = 3;
const UNIT_DATA = [
  {"i": 0, "name": "tenure", "version": "0.1.0", "mode": "todo", "target": " it \"test\" (test)", "start": 0.1, "duration": 2.5},
  {"i": 1, "name": "libsqlite3-sys", "version": "0.39.1", "mode": "run-custom-build", "target": " build-script (run)", "start": 0.1, "duration": 9.0}
];
const CONCURRENCY_DATA = [];</script>"#;
        let units = units_in(report).expect("units");
        let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names, ["tenure it \"test\" (test)", "libsqlite3-sys build-script (run)"]);
        assert!(units_in("<html>").is_none());
        let table = built(&units);
        assert!(table.contains("of 2 built, 1 of them linked | 12 s"), "{table}");
        assert!(table.find("libsqlite3") < table.find("tenure"), "the longest first: {table}");
    }

    #[test]
    fn tests_are_added_up_by_suite_and_the_slowest_come_first() {
        let case = |program: &str, name: &str, millis| Case {
            was_skipped: false,
            program: program.into(),
            name: name.into(),
            took: Duration::from_millis(millis),
            has_passed: true,
            printed: String::new(),
        };
        let cases = [
            case("tenure-testkit::it", "model::a", 100),
            case("tenure-testkit::it", "model::b", 2_000),
            case("tenure", "id::c", 500),
        ];
        assert_eq!(
            suites(&cases).lines().skip(2).collect::<Vec<_>>(),
            ["| tenure-testkit::it model | 2 | 2.1 s |", "| tenure | 1 | 0.5 s |"]
        );
        assert!(slowest(&cases).lines().nth(2).is_some_and(|line| line.contains("model::b")));
    }
}
