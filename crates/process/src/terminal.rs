//! Lends the program's terminal to its command: sets which process group gets the keys.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io;
use rustix::process::Pid;
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// A terminal and its owner. The caller has blocked the signal for changing a terminal from the background.
#[derive(Debug)]
pub(super) struct Terminal {
    device: OwnedFd,
    program: Pid,
    lent: Lent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lent {
    No,
    Yes,
}

impl Terminal {
    /// Of the program with that group.
    pub(super) fn of(device: impl AsFd, program: Pid) -> io::Result<Terminal> {
        let device = rustix::io::fcntl_dupfd_cloexec(device, 3)?;
        Ok(Terminal { device, program, lent: Lent::No })
    }

    /// Gives it to that process group, if the program has it: after `bg` it does not.
    pub(super) fn lend(&mut self, group: Pid) {
        let has_it = tcgetpgrp(&self.device).is_ok_and(|foreground| foreground == self.program);
        if has_it && tcsetpgrp(&self.device, group).is_ok() {
            self.lent = Lent::Yes;
        }
    }

    /// Gives it back to the program, whichever process group of the command has it now; not if another
    /// process took it.
    pub(super) fn take_back(&mut self) {
        if self.lent == Lent::Yes {
            // Without a program or a terminal there is nobody to give it to.
            let _ = tcsetpgrp(&self.device, self.program);
            self.lent = Lent::No;
        }
    }

    pub(super) fn is_lent(&self) -> bool {
        self.lent == Lent::Yes
    }
}

/// The program's own group, if its standard input is a terminal of its own.
pub(super) fn own_group_at(input: impl AsFd) -> Option<Pid> {
    tcgetpgrp(input).ok().map(|_| rustix::process::getpgrp())
}
