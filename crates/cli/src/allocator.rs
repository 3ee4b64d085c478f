//! What the system's allocator does with large pieces of memory.
//!
//! glibc gives pieces of 128 KiB and more back to the system as soon as they are freed, until the first of them was freed: then it
//! raises that to the size of the piece, up to 32 MiB, and keeps what is below, for each thread. A server that has read and
//! answered some megabytes would keep several times the memory that its requests may take together. A program can only change
//! that by a variable that is there when it begins.

use std::ffi::OsString;

/// From which size on pieces are given back; that it is set keeps glibc from raising it.
const VARIABLES: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "1048576")];

/// Begins this program anew with the variables, if it is a server and they are not set. Where that fails it goes on as it is.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle_for_a_server(arguments: impl Iterator<Item = OsString>) {
    use std::os::unix::process::CommandExt;

    let mut arguments = arguments;
    let (Some(name), arguments) = (arguments.next(), arguments.collect::<Vec<_>>()) else { return };
    let is_set = VARIABLES.iter().any(|(variable, _)| std::env::var_os(variable).is_some());
    // What comes behind `--` is another program's.
    let is_server = arguments.iter().take_while(|word| *word != "--").any(|word| word == "serve");
    if is_set || !is_server {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    // It comes back only if it failed.
    let _error = std::process::Command::new(program).arg0(name).args(arguments).envs(VARIABLES).exec();
}

/// Other allocators give back what was freed.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle_for_a_server(_arguments: impl Iterator<Item = OsString>) {}
