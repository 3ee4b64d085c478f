//! When and why a command is ended, and what holds its processes together.

use tenure_clock::Moment;

/// The time limit of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// From then on, all its processes are asked to end, with SIGTERM.
    pub ask: Moment,
    /// From then on, all its processes are killed. If this has passed when the machine or the warden wakes
    /// up, they are killed without being asked.
    pub kill: Moment,
}

/// Why a command was ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Its time limit had passed.
    Limit,
    /// [`stop`](super::Running::stop) or [`finish`](super::Running::finish) was called.
    Stopped,
    /// [`kill`](super::Running::kill) was called.
    Killed,
    /// The program had ended, or had dropped its handle.
    Orphaned,
}

/// What holds the processes of a command together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Containment {
    /// Its process group, its descent from the warden, and a cgroup if one can be made.
    #[default]
    CgroupIfPossible,
    /// Its process group and its descent from the warden.
    GroupOnly,
}
