//! `cargo xtask test`: every suite, one after the other, and what they add up to.
//!
//! To add a suite, add a line to [`SUITES`].

use std::path::Path;

use crate::run::{self, Result, Step, Tally, Verdict};
use crate::{git_script, lifecycle_doc, postgres, schemathesis, tidy};

/// The testkit runs optimised: its suites are as long as they can be in the time there is.
const SUITES: &[Step] = &[
    Step::here("PostgreSQL", postgres::ensure),
    Step::here("git's script", git_script::ensure),
    Step::here("Schemathesis", schemathesis::ensure),
    Step::program(
        "workspace",
        "cargo",
        &["test", "--workspace", "--exclude", "tenure-testkit", "--no-fail-fast"],
        &[],
    ),
    Step::program("testkit", "cargo", &["test", "-p", "tenure-testkit", "--release", "--no-fail-fast"], &[]),
    Step::here("tidy", tidy::run),
    Step::here("generated docs", lifecycle_doc::check),
];

/// What tests derive their random choices from.
const SEED_VARIABLE: &str = "TENURE_TEST_SEED";
const SEED_DIGITS_MAX: usize = 16;

/// Runs every suite. The last line it prints is `N passed, N failed, N skipped`.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<Verdict> {
    let seed = match seed_in(options)? {
        Some(given) => given,
        None => seed_of_commit(root)?,
    };
    println!("seed {seed}; again with: cargo xtask test --seed {seed}");
    let reports = run::all(root, SUITES, &[(SEED_VARIABLE, &seed)]);

    run::print_summary(&reports);
    let mut sum = Tally::default();
    for report in &reports {
        sum += report.tally;
    }
    let Tally { passed, failed, skipped } = sum;
    if failed > 0 {
        println!("the same run again: cargo xtask test --seed {seed}");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

fn seed_in(options: &[&str]) -> Result<Option<String>> {
    let given = match options {
        [] => return Ok(None),
        ["--seed", given] => given,
        [option] => option.strip_prefix("--seed=").ok_or_else(|| usage(options))?,
        _ => return Err(usage(options).into()),
    };
    let is_seed =
        (1..=SEED_DIGITS_MAX).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_seed { Ok(Some(given.to_ascii_lowercase())) } else { Err(usage(options).into()) }
}

fn usage(options: &[&str]) -> String {
    let given = options.join(" ");
    format!("`{given}`: give nothing, or --seed and 1 to {SEED_DIGITS_MAX} hexadecimal digits")
}

/// Each commit is tested with choices of its own, and a commit that is tested again with the same ones.
fn seed_of_commit(root: &Path) -> Result<String> {
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
        assert_eq!(seed_in(&["--seed", "8c99e15aB0"]).expect("a seed"), Some("8c99e15ab0".into()));
        assert_eq!(seed_in(&["--seed=1"]).expect("a seed"), Some("1".into()));
        assert_eq!(seed_in(&[]).expect("no seed"), None);
    }

    #[test]
    fn what_is_no_seed_is_refused_with_what_would_be_one() {
        let wrong: &[&[&str]] =
            &[&["--seed"], &["--seed", ""], &["--seed", "0x1"], &["--sead=1"], &["--seed=11112222333344445"]];
        for options in wrong {
            let why = seed_in(options).expect_err("no seed").to_string();
            assert!(why.contains("hexadecimal"), "{why}");
        }
    }
}
