//! Finds the descendants of a process, and sends signals to exactly those.
//!
//! A warden adopts what its command leaves behind, so all processes of the command descend from the warden. They are
//! found by reading `/proc`, which every Linux has; its lists of children are optional. A process id can be reused
//! between the look and the signal. So each process is held by a descriptor and checked again.

#[cfg(target_os = "linux")]
use std::collections::HashMap;
#[cfg(target_os = "linux")]
use std::fs;

use rustix::process::{Pid, Signal, kill_process};
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

/// A process, as it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ProcessInfo {
    pub(super) id: Pid,
    /// When it started, which distinguishes it from a later process with the same id.
    born: u64,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) life: Life,
}

/// Whether there is still something to signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    Living,
    /// Ended, but not reaped yet.
    Ended,
}

impl ProcessInfo {
    pub(super) fn number(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Identifies it among all processes of this machine.
    pub(super) fn identity(&self) -> (i32, u64) {
        (self.id.as_raw_nonzero().get(), self.born)
    }

    /// Sends the signal to exactly this process. If it has ended meanwhile, nothing happens.
    #[cfg(target_os = "linux")]
    pub(super) fn signal(&self, signal: Signal) {
        match pidfd_open(self.id, PidfdFlags::empty()) {
            Ok(held) => {
                if look_at(self.id.as_raw_nonzero().get()).is_some_and(|now| now.born == self.born) {
                    let _ = pidfd_send_signal(held, signal);
                }
            }
            // Linux before 5.3 has no such descriptors.
            Err(rustix::io::Errno::NOSYS) => {
                let _ = kill_process(self.id, signal);
            }
            Err(_) => {}
        }
    }

    /// Sends it the signal.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.id, signal);
    }
}

/// Everything that descends from that process, parents before their children.
#[cfg(target_os = "linux")]
pub(super) fn descendants(ancestor: Pid) -> Vec<ProcessInfo> {
    let mut children: HashMap<i32, Vec<ProcessInfo>> = HashMap::new();
    for kin in everybody() {
        children.entry(kin.parent).or_default().push(kin);
    }
    let mut found = children.remove(&ancestor.as_raw_nonzero().get()).unwrap_or_default();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|kin| kin.id.as_raw_nonzero().get()) {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    found
}

/// Here only the command's process group is known.
#[cfg(not(target_os = "linux"))]
pub(super) fn descendants(_ancestor: Pid) -> Vec<ProcessInfo> {
    Vec::new()
}

/// The live processes of that process group.
#[cfg(target_os = "linux")]
pub(super) fn members(group: Pid) -> Vec<ProcessInfo> {
    let is_one = |kin: &ProcessInfo| kin.group == group.as_raw_nonzero().get() && kin.life == Life::Living;
    everybody().filter(is_one).collect()
}

/// No process is known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn members(_group: Pid) -> Vec<ProcessInfo> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn everybody() -> impl Iterator<Item = ProcessInfo> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| look_at(entry.file_name().to_str()?.parse().ok()?))
}

#[cfg(target_os = "linux")]
fn look_at(id: i32) -> Option<ProcessInfo> {
    // Lossy, because a process name may be any bytes.
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    kin(id, &String::from_utf8_lossy(&stat))
}

/// From the text of `stat` in a process's folder.
#[cfg(target_os = "linux")]
fn kin(id: i32, stat: &str) -> Option<ProcessInfo> {
    // The name in parentheses may hold spaces and parentheses of its own.
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let life = if matches!(words.next()?, "Z" | "X" | "x") { Life::Ended } else { Life::Living };
    let parent = words.next()?.parse().ok()?;
    let group = words.next()?.parse().ok()?;
    let born = words.nth(16)?.parse().ok()?;
    Some(ProcessInfo { id: Pid::from_raw(id)?, born, parent, group, life })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_calls_itself() {
        let stat = "12 (a) Z (b c) S 7 9 9 0 -1 4194560 80 0 0 0 0 0 0 0 20 0 1 0 4711 1 1 1\n";
        let kin = kin(12, stat).expect("read");
        assert_eq!((kin.parent, kin.group, kin.born, kin.life), (7, 9, 4711, Life::Living));
        assert_eq!(super::kin(12, "12 (gone) Z"), None);
    }

    #[test]
    fn a_child_is_a_descendant_until_it_is_reaped() {
        let own = rustix::process::getpid();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("a process");
        let id = i32::try_from(child.id()).expect("a number");
        let of = |kin: &ProcessInfo| kin.identity().0 == id;
        let kin = descendants(own).into_iter().find(of).expect("it is found");
        kin.signal(Signal::KILL);
        child.wait().expect("its end");
        assert!(!descendants(own).iter().any(of));
        // A signal for a process that has ended hits no other process.
        kin.signal(Signal::KILL);
    }
}
