//! The stage between a warden and its command: the same binary once more. It ties its life to the warden's, and then
//! becomes the command by exec. Safe Rust can't run code between fork and exec; with a stage it need not.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};

use super::protocol::{SpawnRequest, Step};

/// The message of a stage when the command can't be started. On success it says nothing, and its end of the
/// connection closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) number: i32,
}

impl Failure {
    /// With the system's error number.
    pub(super) fn new(step: Step, error: &io::Error) -> Failure {
        let unnamed = rustix::io::Errno::IO.raw_os_error();
        Failure { step, number: error.raw_os_error().unwrap_or(unnamed) }
    }
}

/// Becomes the command, or reports why not and ends. Its standard input is a connection to the warden, which is
/// process `warden`.
pub(super) fn serve(warden: &str) {
    // A person who calls this by hand has no such connection; a warden has.
    let Ok(line) = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3) else { return };
    let mut line = UnixStream::from(line);
    let Err(failure) = become_command(&mut line, warden);
    let report = super::protocol::WardenReport::NotStarted(failure.step, failure.number);
    // If the warden is gone, nobody needs the message.
    let _ = line.write_all(report.line().as_bytes());
}

fn become_command(line: &mut UnixStream, warden: &str) -> Result<std::convert::Infallible, Failure> {
    let around = |error: io::Error| Failure::new(Step::Warden, &error);
    tie_to(warden).map_err(around)?;
    let (order, descriptors) = SpawnRequest::receive(line).map_err(around)?;
    // Moved away from the descriptor numbers that the command gets.
    let highest = order.numbers.iter().copied().max().unwrap_or(0).max(2);
    *line = UnixStream::from(
        rustix::io::fcntl_dupfd_cloexec(line.as_fd(), highest + 1).map_err(|error| around(error.into()))?,
    );
    if let Some(folder) = &order.folder {
        std::env::set_current_dir(folder).map_err(|error| Failure::new(Step::Folder, &error))?;
    }
    let mut descriptors = descriptors.into_iter();
    let mut standard = || descriptors.next().map_or_else(Stdio::null, Stdio::from);
    let mut command = Command::new(&order.program);
    command.args(&order.arguments).stdin(standard()).stdout(standard()).stderr(standard());
    for (name, value) in &order.variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if !order.numbers.is_empty() {
        let given: Vec<OwnedFd> = descriptors.collect();
        let given = order.numbers.iter().zip(given);
        let given = given.map(|(at, parent_fd)| FdMapping { parent_fd, child_fd: *at }).collect();
        command.fd_mappings(given).map_err(|error| around(io::Error::other(error)))?;
    }
    Err(Failure::new(Step::Command, &command.exec()))
}

/// From here on the system kills this process, and the command that it becomes, when the warden ends.
#[cfg(target_os = "linux")]
fn tie_to(warden: &str) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // One that ended before that call would go unnoticed.
    let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    if parent.to_string() == warden { Ok(()) } else { Err(io::Error::other("the warden process has ended")) }
}

#[cfg(not(target_os = "linux"))]
fn tie_to(_warden: &str) -> io::Result<()> {
    Ok(())
}
