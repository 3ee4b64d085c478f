//! How and why a supervised command ended.

use tenure::process::{CommandEnd, StartError};

use super::copying::Copying;

/// Why a command ended.
#[derive(Debug)]
pub(crate) enum StopReason {
    /// By itself, or by a signal that was passed on.
    ItsOwn,
    /// Somebody asked the task to stop.
    Cancelled,
    /// The worker was told to stop.
    ToldToStop,
    /// The command ended its task itself, with its lease.
    EndedItsTask,
    /// The lease was lost.
    Lost,
    /// It could not be started.
    NotStarted(StartError),
}

/// A command that has ended, with all its processes.
pub(crate) struct Finished {
    pub(crate) why: StopReason,
    /// None if it was not started.
    pub(crate) end: Option<CommandEnd>,
    /// The end of its standard error, if it was kept.
    pub(crate) tail: String,
    /// Its output that is still being passed on.
    pub(crate) copies: Vec<Copying>,
}
