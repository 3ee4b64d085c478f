//! Finds third-party programs that `cargo xtask test` installs beside Cargo's output.

use std::path::{Path, PathBuf};

/// The path of such a program. None if it is not installed: its test is then skipped, and says so. If `CI` is set nobody
/// would read that, so it is a failure.
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
