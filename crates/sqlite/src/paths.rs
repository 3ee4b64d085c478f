//! The names of the files beside a store: its log, its journal and its locks.

use std::path::{Path, PathBuf};

/// The path of what is beside a file.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}
