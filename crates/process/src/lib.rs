//! Runs a command and ends all its processes when its time limit passes.
//!
//! The command and everything that it started, daemons included, is ended in three cases: its limit has passed, the
//! program that started it was killed or stopped, or the program asks for it. This crate does not know which lease a
//! limit comes from.
//!
//! Between the program and its command runs a *warden* process: the program's own binary, started once more. So the
//! first line of `main` must be [`serve_if_asked`]. The warden alone enforces the limit, even if the program is gone.
//! If the warden ends, the system kills the command.
//!
//! ```no_run
//! use tenure_process::{CommandEnd, Launch};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     tenure_process::serve_if_asked();
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         let mut running = Launch::new("make").args(["-j2", "all"]).start().await?;
//!         assert_eq!(running.ended().await, CommandEnd::Exited(0));
//!         running.finish(std::time::Duration::from_secs(5)).await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! What is not covered:
//! - A command that gains privileges when it is executed (a set-user-id binary, one with capabilities) loses the tie to
//!   the warden's life. The warden ends it as any other, as far as it may; only the death of the warden itself doesn't.
//! - If the warden is killed, only the command itself, its group and its cgroup are ended. Where there is no cgroup, what
//!   left the group lives on; likewise everything but the command if the program is killed at the same time.
//! - What the command has others do: a service manager, `cron`, a container engine.
//! - On macOS only the command's group is ended, and nothing if the warden is killed.

mod alarm;
mod binary;
mod cgroup;
mod environments;
mod launch;
mod limit;
mod outbox;
mod process_tree;
mod protocol;
mod running;
mod stage;
mod tail;
mod terminal;
mod warden;

use std::sync::atomic::Ordering;

pub use environments::{ProcessEnvironment, environments};
pub use launch::{Input, Launch, Output, StartError, TerminalAccess};
pub use limit::{Cause, Containment, Limit};
pub use running::{CommandEnd, Emptied, Remains, Running};
pub use tail::Tail;

use binary::{SERVES, STAGE_WORD, WARDEN_WORD};

/// If this process was started as a warden or a stage, serves as that and ends the process. Otherwise it returns
/// at once.
///
/// It must be the first line of `main`: a warden must not run the program's other code.
pub fn serve_if_asked() {
    SERVES.store(true, Ordering::Relaxed);
    let mut words = std::env::args_os().skip(1);
    match (words.next(), words.next(), words.next()) {
        (Some(word), None, None) if word == WARDEN_WORD => warden::serve(),
        (Some(word), Some(warden), None) if word == STAGE_WORD => {
            stage::serve(&warden.to_string_lossy());
        }
        (_, _, _) => return,
    }
    // The command could not be started, or none of its processes is left. The program has been told.
    std::process::exit(0);
}

/// Whether this process's group contains only processes that wait for it, so that no other process loses the
/// terminal. In a pipeline there are others.
pub fn is_alone_in_its_group() -> bool {
    let members = process_tree::members(rustix::process::getpgrp());
    let mut waiting = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) =
        members.iter().find(|kin| kin.number() == waiting[waiting.len() - 1]).map(|kin| kin.parent)
    {
        waiting.push(parent);
    }
    members.iter().all(|kin| waiting.contains(&kin.number()))
}
