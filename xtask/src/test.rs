//! `cargo xtask test`: the tests of all crates, the examples in docs, the house rules and the generated documents,
//! with one summary.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use crate::nextest::{self, Ran, Selection};
use crate::parts::{self, Part};
use crate::run::{self, Result, Step, Tally, Verdict};
use crate::{
    browser, clients, git_script, instructions, lifecycle_doc, postgres, promtool, python_package,
    schemathesis, tidy, timings,
};

/// What tests derive their random choices from.
pub(crate) const SEED_VARIABLE: &str = "TENURE_TEST_SEED";
const SEED_DIGITS_MAX: usize = 16;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Options<'a> {
    seed: Option<String>,
    extent: Extent<'a>,
    report: Report,
}

/// How much is run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Extent<'a> {
    /// Everything: what counts before a commit.
    #[default]
    Whole,
    /// The inner loop: the tests of all parts that end soon.
    Quick,
    /// What touches these parts.
    Parts(Vec<&'a str>),
}

impl Extent<'_> {
    /// As somebody would type it.
    fn words(&self) -> String {
        match self {
            Extent::Whole => String::new(),
            Extent::Quick => " --quick".to_owned(),
            Extent::Parts(names) => names.iter().map(|name| format!(" {name}")).collect(),
        }
    }
}

/// What is told at the end beside the summary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Report {
    #[default]
    Summary,
    Timings,
}

/// On which major version of PostgreSQL each step of tests ran, which is known when it has.
#[derive(Clone, Default)]
struct Majors(Rc<RefCell<Vec<String>>>);

impl Majors {
    fn add(&self, step: &str, major: Option<&str>) {
        let said =
            format!("{step} on {}", major.map_or("none".to_owned(), |major| format!("PostgreSQL {major}")));
        self.0.borrow_mut().push(said);
    }

    fn print(&self) {
        let said = self.0.borrow();
        if !said.is_empty() {
            println!("{}", said.join(", "));
        }
    }
}

/// Runs them. The last line it prints is `N passed, N failed, N skipped`.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<Verdict> {
    let options = parse(options)?;
    let seed = match options.seed {
        Some(given) => given,
        None => seed_of_commit(root)?,
    };
    let again = format!("cargo xtask test{} --seed {seed}", options.extent.words());
    println!("seed {seed}; again with: {again}");

    let selection = selection(&options.extent, &seed)?;
    let majors = Majors::default();
    let steps = steps(&options.extent, options.report, &selection, &majors);
    let reports = run::all(root, &steps, &[(SEED_VARIABLE, &seed)]);
    run::print_summary(&reports);
    majors.print();
    let mut sum = Tally::default();
    for report in &reports {
        sum += report.tally;
    }
    let Tally { passed, failed, skipped } = sum;
    match (failed, options.report) {
        (0, Report::Timings) => timings::write(root, &reports, &nextest::cases(root, selection.profile)?)?,
        (0, Report::Summary) => {}
        _ => println!("the same run again: {again}"),
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

/// What the tests need is there before they are built, and they are built before the first of them runs.
pub(crate) fn preparations() -> Vec<Step> {
    vec![
        Step::here("PostgreSQL", postgres::ensure),
        Step::here("git's script", git_script::ensure),
        Step::here("Schemathesis", schemathesis::ensure),
        Step::here("generators", clients::ensure),
        Step::here("promtool", promtool::ensure),
        Step::here("nextest", nextest::ensure),
    ]
}

fn steps(extent: &Extent, report: Report, selection: &Selection, majors: &Majors) -> Vec<Step> {
    let mut steps = preparations();
    if *extent == Extent::Whole {
        steps.push(Step::here("newest server", postgres::ensure_newest));
    }
    steps.push(match report {
        Report::Summary => Step::here("build", |root| nextest::build(root, &[])),
        Report::Timings => Step::here("build", |root| nextest::build(root, &["--timings"])),
    });
    let (these, those) = (selection.clone(), majors.clone());
    steps.push(Step::here("tests", move |root| Ok(tests(root, "tests", &these, &those)?.tally)));
    if *extent == Extent::Whole {
        let (variables, majors) = (selection.variables.clone(), majors.clone());
        steps.push(Step::here("stories", move |root| stories_on_newest(root, &variables, &majors)));
        let examples = &["test", "--workspace", "--doc", "--no-fail-fast"];
        steps.push(Step::program("examples in docs", "cargo", examples, &[]));
        steps.push(Step::here("Python", python_package::test));
        steps.push(Step::here("browser", browser::test));
        steps.push(Step::here("instructions", instructions::compare));
    }
    if !matches!(extent, Extent::Parts(_)) {
        steps.push(Step::here("tidy", tidy::run));
        steps.push(Step::here("generated docs", lifecycle_doc::check));
    }
    steps
}

fn tests(root: &Path, step: &str, selection: &Selection, majors: &Majors) -> Result<Ran> {
    let ran = nextest::tests(root, selection)?;
    majors.add(step, ran.postgresql.as_deref());
    Ok(ran)
}

/// What may differ from one major version of PostgreSQL to the next; its profile says what that is.
fn stories_on_newest(root: &Path, variables: &[(&'static str, String)], majors: &Majors) -> Result<Tally> {
    let mut variables = variables.to_vec();
    variables.push((postgres::PROGRAMS_VARIABLE, postgres::newest_programs(root)?));
    let selection = Selection { profile: "newest-postgresql", filter: None, variables };
    let mut ran = tests(root, "stories", &selection, majors)?;
    let newest = postgres::newest_major();
    if ran.postgresql.as_deref() != Some(newest) {
        println!("the stories did not run on PostgreSQL {newest}");
        ran.tally.failed = ran.tally.failed.max(1);
    }
    Ok(ran.tally)
}

fn selection(extent: &Extent, seed: &str) -> Result<Selection> {
    let (profile, filter) = match extent {
        Extent::Whole => ("default", None),
        Extent::Quick => ("quick", None),
        Extent::Parts(names) => ("default", Some(filter_of(names)?)),
    };
    Ok(Selection { profile, filter, variables: vec![(SEED_VARIABLE, seed.to_owned())] })
}

/// The tests of several parts, as nextest names them.
pub(crate) fn filter_of(names: &[&str]) -> Result<String> {
    let unknown = |name: &str| format!("`{name}` is no part; these are:\n{}", parts::described());
    let filter = |name: &&str| Part::named(name).map(Part::filter).ok_or_else(|| unknown(name));
    let filters: std::result::Result<Vec<String>, String> = names.iter().map(filter).collect();
    Ok(filters?.join(" | "))
}

fn parse<'a>(words: &[&'a str]) -> Result<Options<'a>> {
    let mut options = Options::default();
    let mut parts = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word {
            "--quick" => options.extent = Extent::Quick,
            "--timings" => options.report = Report::Timings,
            "--seed" => options.seed = Some(seed_in(words.next().unwrap_or_default())?),
            word => match word.strip_prefix("--seed=") {
                Some(given) => options.seed = Some(seed_in(given)?),
                None if word.starts_with('-') => return Err(usage(word).into()),
                None => parts.push(word),
            },
        }
    }
    match (&options.extent, parts.is_empty()) {
        (_, true) => {}
        (Extent::Quick, false) => return Err("give --quick or parts, not both".into()),
        (Extent::Whole | Extent::Parts(_), false) => options.extent = Extent::Parts(parts),
    }
    if options.report == Report::Timings && options.extent != Extent::Whole {
        return Err("--timings is about all tests: give neither --quick nor parts with it".into());
    }
    Ok(options)
}

/// A seed as it was printed.
pub(crate) fn seed_in(given: &str) -> Result<String> {
    let is_seed =
        (1..=SEED_DIGITS_MAX).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_seed {
        true => Ok(given.to_ascii_lowercase()),
        false => Err(format!("--seed `{given}`: give 1 to {SEED_DIGITS_MAX} hexadecimal digits").into()),
    }
}

fn usage(word: &str) -> String {
    format!(
        "`{word}`: cargo xtask test takes --seed and 1 to {SEED_DIGITS_MAX} hexadecimal digits, --timings, and --quick or parts:\n{}",
        parts::described()
    )
}

/// Each commit is tested with choices of its own, and a commit that is tested again with the same ones.
pub(crate) fn seed_of_commit(root: &Path) -> Result<String> {
    let commit = run::output(root, "git", &["rev-parse", "HEAD"]);
    let commit =
        commit.map_err(|why| format!("no commit to derive the seed from; give one with --seed ({why})"))?;
    Ok(commit.chars().take(SEED_DIGITS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_taken_as_it_was_printed() {
        let seed = |words: &[&str]| parse(words).expect("options").seed;
        assert_eq!(seed(&["--seed", "8c99e15aB0"]), Some("8c99e15ab0".into()));
        assert_eq!(seed(&["--seed=1"]), Some("1".into()));
        assert_eq!(seed(&[]), None);
    }

    #[test]
    fn what_is_no_seed_is_refused_with_what_would_be_one() {
        let wrong: &[&[&str]] =
            &[&["--seed"], &["--seed", ""], &["--seed", "0x1"], &["--sead=1"], &["--seed=11112222333344445"]];
        for options in wrong {
            let why = parse(options).expect_err("no seed").to_string();
            assert!(why.contains("hexadecimal"), "{why}");
        }
    }

    #[test]
    fn parts_and_quick_are_two_ways_to_run_less() {
        let extent = |words: &[&'static str]| parse(words).map(|options| options.extent);
        assert_eq!(extent(&[]).expect("options"), Extent::Whole);
        assert_eq!(extent(&["--quick"]).expect("options"), Extent::Quick);
        assert_eq!(extent(&["core", "cli"]).expect("options"), Extent::Parts(vec!["core", "cli"]));
        assert!(extent(&["--quick", "core"]).is_err());
        assert!(extent(&["--quick", "--timings"]).is_err());
        assert_eq!(Extent::Parts(vec!["core", "cli"]).words(), " core cli");
    }

    #[test]
    fn a_part_that_is_unknown_is_refused_with_those_that_are() {
        let why = filter_of(&["core", "kernel"]).expect_err("no such part").to_string();
        assert!(why.contains("`kernel`") && why.contains("keeper"), "{why}");
        let both = filter_of(&["core", "xtask"]).expect("parts");
        assert!(both.contains("package(tenure-core)") && both.ends_with("| package(xtask)"), "{both}");
    }
}
