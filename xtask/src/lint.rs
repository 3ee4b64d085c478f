//! `cargo xtask lint`: all checks that do not run the code.

use std::path::Path;

use crate::run::{self, Result, Step, Tally, Verdict};
use crate::{lifecycle_doc, tidy};

fn steps() -> Vec<Step> {
    vec![
        Step::program("format", "cargo", &["fmt", "--all", "--check"], &[]),
        clippy("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        clippy(
            "clippy of the library alone",
            &["clippy", "-p", "tenure", "--no-default-features", "--", "-D", "warnings"],
        ),
        clippy("clippy with SQLite", &["clippy", "-p", "tenure", "--", "-D", "warnings"]),
        clippy(
            "clippy with PostgreSQL",
            &[
                "clippy",
                "-p",
                "tenure",
                "--no-default-features",
                "--features",
                "with-tokio-postgres-0_7",
                "--",
                "-D",
                "warnings",
            ],
        ),
        clippy(
            "clippy with servers",
            &[
                "clippy",
                "-p",
                "tenure",
                "--no-default-features",
                "--features",
                "remote",
                "--",
                "-D",
                "warnings",
            ],
        ),
        clippy(
            "clippy without traces",
            &["clippy", "-p", "tenure-cli", "--no-default-features", "--", "-D", "warnings"],
        ),
        Step::program(
            "rustdoc",
            "cargo",
            &["doc", "--workspace", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
        Step::here("dependencies", dependencies),
        Step::here("tidy", tidy::run),
        Step::here("generated docs", lifecycle_doc::check),
    ]
}

fn clippy(name: &'static str, arguments: &'static [&'static str]) -> Step {
    Step::program(name, "cargo", arguments, &[])
}

/// A version that is known to read `deny.toml` as it is meant.
const DENY: &[&str] = &["cargo-deny", "--version", "0.20.2", "--locked", "--no-default-features"];

/// Advisories are left out: they change without a commit, so a commit that was good would fail later.
const CHECK_DEPENDENCIES: &[&str] = &["deny", "--all-features", "check", "licenses", "bans", "sources"];

/// Runs every step, also after one has failed.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let reports = run::all(root, &steps(), &[]);
    run::print_summary(&reports);
    let bad = reports.iter().filter(|report| report.tally.failed > 0).count();
    match bad {
        0 => println!("lint: nothing to object to"),
        _ => println!("lint: {bad} of {} steps object", reports.len()),
    }
    Ok(if bad == 0 { Verdict::Passed } else { Verdict::Failed })
}

/// Licenses and sources of what is depended on, by cargo-deny, which is installed if it is not there.
fn dependencies(root: &Path) -> Result<Tally> {
    if run::output(root, "cargo", &["deny", "--version"]).is_err() {
        run::install(root, DENY)?;
    }
    println!("cargo {}", CHECK_DEPENDENCIES.join(" "));
    let status = run::command(root, "cargo", CHECK_DEPENDENCIES).status()?;
    Ok(if status.success() { Tally::of(1, 0) } else { Tally::of(0, 1) })
}
