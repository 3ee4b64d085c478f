//! Programs of others that `cargo xtask test` installs beside what Cargo builds.

use std::path::{Path, PathBuf};

/// Where a program is, by its place in that folder. None where it is not there: its test is then not run, and says so. Where
/// `CI` is set nobody would read that, and it is a failure.
pub(crate) fn program(place: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(place);
    if program.is_file() {
        return Some(program);
    }
    let words = format!("not run: {} is not there; `cargo xtask test` installs it", program.display());
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!in_ci, "{words}");
    println!("{words}");
    None
}
