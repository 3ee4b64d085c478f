//! The program's own binary, started once more as a warden or a stage.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// The only argument of a warden, and the first of a stage.
pub(super) const WARDEN_WORD: &str = "__tenure_warden";
pub(super) const STAGE_WORD: &str = "__tenure_stage";

/// Whether this program has called [`super::serve_if_asked`].
pub(super) static SERVES: AtomicBool = AtomicBool::new(false);

/// The binary of this process, even if the file was replaced since.
pub(super) fn own_binary() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}
