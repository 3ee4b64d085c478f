//! Reads a report of tests, as nextest and pytest write it: the result of each test, its duration and its output.

use std::time::Duration;

use crate::run::Result;

/// One test.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Case {
    /// The program that it is in, such as `tenure-testkit::it`.
    pub(crate) program: String,
    /// Its name with its modules.
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) has_passed: bool,
    /// Whether it was skipped; then it has neither passed nor failed.
    pub(crate) was_skipped: bool,
    /// What it printed, where the profile keeps that.
    pub(crate) printed: String,
}

impl Case {
    /// The suite that it counts to: its program, and in one with several suites the module.
    pub(crate) fn suite(&self) -> String {
        match self.name.split_once("::") {
            Some((module, _)) if self.program.ends_with("::it") => format!("{} {module}", self.program),
            Some(_) | None => self.program.clone(),
        }
    }
}

impl Case {
    /// Why it did nothing, where it said so and came back: what it needs is not on this machine.
    pub(crate) fn not_run(&self) -> Option<&str> {
        self.printed.lines().map(str::trim).find(|line| line.starts_with("not run:"))
    }
}

/// All tests of the report.
pub(crate) fn cases(report: &str) -> Result<Vec<Case>> {
    let document = roxmltree::Document::parse(report)?;
    let is_case = |node: &roxmltree::Node| node.has_tag_name("testcase");
    document.descendants().filter(is_case).map(|node| case(&node)).collect()
}

fn case(node: &roxmltree::Node) -> Result<Case> {
    let attribute = |name: &str| {
        node.attribute(name).ok_or_else(|| format!("a test of the report has no `{name}`: not by nextest?"))
    };
    let took: f64 = attribute("time")?.parse()?;
    let is_bad = |child: roxmltree::Node| child.has_tag_name("failure") || child.has_tag_name("error");
    let printed = node.children().filter(|child| child.has_tag_name("system-out"));
    Ok(Case {
        program: attribute("classname")?.to_owned(),
        name: attribute("name")?.to_owned(),
        took: Duration::try_from_secs_f64(took)?,
        has_passed: !node.children().any(is_bad),
        was_skipped: node.children().any(|child| child.has_tag_name("skipped")),
        printed: printed.filter_map(|child| child.text()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="2" failures="1" errors="0" uuid="9b4a" timestamp="2026-11-28T03:00:00Z" time="2.5">
    <testsuite name="tenure-testkit::it" tests="2" disabled="0" errors="0" failures="1">
        <testcase name="model::every_order" classname="tenure-testkit::it" timestamp="2026-11-28T03:00:00Z" time="1.250">
            <system-out>2000 states &amp; more
</system-out>
        </testcase>
        <testcase name="kills::lost" classname="tenure-testkit::it" timestamp="2026-11-28T03:00:01Z" time="0.5">
            <failure message="thread panicked" type="test failure">at line 3</failure>
        </testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn each_test_of_a_report_is_read() {
        let cases = cases(REPORT).expect("a report");
        let [model, kills] = &cases[..] else { panic!("{cases:?}") };
        assert_eq!((model.name.as_str(), model.took), ("model::every_order", Duration::from_millis(1_250)));
        assert_eq!(model.printed, "2000 states & more\n");
        assert_eq!(model.suite(), "tenure-testkit::it model");
        assert!(model.has_passed && !kills.has_passed);
    }

    #[test]
    fn a_test_that_says_that_it_did_not_run_is_known_by_that() {
        let printed = |text: &str| Case {
            was_skipped: false,
            program: "p".into(),
            name: "n".into(),
            took: Duration::ZERO,
            has_passed: true,
            printed: text.into(),
        };
        let said = "running 1 test\nnot run: a: PostgreSQL is not there\ntest a ... ok\n";
        assert_eq!(printed(said).not_run(), Some("not run: a: PostgreSQL is not there"));
        assert_eq!(printed("it was not run: a\n").not_run(), None);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(cases("no XML").is_err());
        let why = cases("<testsuites><testcase/></testsuites>").expect_err("nothing is known of it");
        assert!(why.to_string().contains("time"), "{why}");
    }
}
