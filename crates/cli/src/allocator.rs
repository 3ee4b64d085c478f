//! Limits how much freed memory glibc's allocator keeps in a server.
//!
//! glibc returns blocks of 128 KiB and more to the system when they are freed, until the first such block was freed: then
//! it raises that threshold to the size of the block, up to 32 MiB, and keeps smaller blocks, for each thread. A server
//! that has handled some megabytes would keep several times the memory that its requests may use together. A program can
//! change that only by an environment variable that is set when it starts.

use std::ffi::OsString;

/// The size from which blocks are returned; setting it keeps glibc from raising it.
const VARIABLES: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "1048576")];

/// Restarts this program with the variables set, if it is a server and they are not set yet. If that fails, it continues
/// without.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle_for_a_server(arguments: impl Iterator<Item = OsString>) {
    use std::os::unix::process::CommandExt;

    let mut arguments = arguments;
    let (Some(name), arguments) = (arguments.next(), arguments.collect::<Vec<_>>()) else { return };
    let is_set = VARIABLES.iter().any(|(variable, _)| std::env::var_os(variable).is_some());
    // Arguments after `--` belong to another program.
    let is_server = arguments.iter().take_while(|word| *word != "--").any(|word| word == "serve");
    if is_set || !is_server {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    // It returns only if it failed.
    let _error = std::process::Command::new(program).arg0(name).args(arguments).envs(VARIABLES).exec();
}

/// Other allocators return freed memory.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle_for_a_server(_arguments: impl Iterator<Item = OsString>) {}
