//! `cargo xtask semver`: whether the public API still is what a baseline commit had, by cargo-semver-checks.
//!
//! It is not a part of lint: to install the tool takes longer than all other steps, and a checkout may have no history.

use std::path::Path;

use crate::run::{self, Result, Verdict};

/// The last commit whose breaking changes are in `CHANGELOG.md`. After another one that is intended, a further commit moves this.
const BASELINE: &str = "4dfe7830310782605bb3821564ab3aca93d68ca5";

/// The crates whose items programs name. `tenure` has them all under its own name, where the tool does not look into other crates.
/// `tenure-view` is missing because the baseline has no such crate, and the tool fails on a package that it can't find there. Add it
/// with the first baseline that has it.
const PACKAGES: [&str; 10] = [
    "tenure-core",
    "tenure-api",
    "tenure-clock",
    "tenure-store",
    "tenure-sqlite",
    "tenure-postgres",
    "tenure-remote",
    "tenure-process",
    "tenure",
    "tenure-server",
];

const TOOL: &[&str] = &["cargo-semver-checks", "--version", "0.51.0", "--locked"];

/// `--baseline REV` compares with another commit.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<Verdict> {
    let baseline = match arguments {
        [] => BASELINE,
        ["--baseline", revision] => revision,
        _ => return Err("usage: cargo xtask semver [--baseline REV]".into()),
    };
    let commit = format!("{baseline}^{{commit}}");
    if run::output(root, "git", &["rev-parse", "--verify", "--quiet", &commit]).is_err() {
        return Err(format!(
            "this checkout has no commit {baseline}: fetch its history, or give --baseline REV"
        )
        .into());
    }
    if run::output(root, "cargo", &["semver-checks", "--version"]).is_err() {
        run::install(root, TOOL)?;
    }
    let mut check = vec!["semver-checks", "--baseline-rev", baseline];
    check.extend(PACKAGES.iter().flat_map(|package| ["-p", package]));
    println!("cargo {}", check.join(" "));
    let status = run::command(root, "cargo", &check).status()?;
    Ok(if status.success() { Verdict::Passed } else { Verdict::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_a_commit_and_each_package_is_one_of_the_workspace() {
        assert!(BASELINE.len() == 40 && BASELINE.bytes().all(|byte| byte.is_ascii_hexdigit()), "{BASELINE}");
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
        for package in PACKAGES {
            let folder = crates.join(package.strip_prefix("tenure-").unwrap_or(package));
            assert!(folder.join("Cargo.toml").is_file(), "{package}");
        }
    }
}
