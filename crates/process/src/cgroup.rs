//! A cgroup for one command, if the system allows it. Killing the cgroup ends all its processes, however fast they
//! fork.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

/// Before the process's number in the name of each.
const PREFIX: &str = "tenure-";
const NAMES_MAX: u32 = 16;
const REMOVALS_MAX: u32 = 5;

/// A folder of the second version's hierarchy.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// A new one below that of this process. None if there is no such hierarchy, it is not writable, or it
    /// can't be killed as a whole, which Linux supports since 5.14.
    pub(super) fn create() -> Option<Cgroup> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let parent = place(&mounts, &own)?;
        remove_stale(&parent);
        let id = rustix::process::getpid().as_raw_nonzero();
        for number in 0..NAMES_MAX {
            let folder = parent.join(format!("{PREFIX}{id}-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    let made = Cgroup { folder };
                    if made.folder.join("cgroup.kill").exists() {
                        return Some(made);
                    }
                    made.remove();
                    return None;
                }
                // In another PID namespace there may be a warden with this process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// One that a warden made.
    pub(super) fn known(folder: PathBuf) -> Cgroup {
        Cgroup { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Moves a process into it.
    pub(super) fn admit(&self, process: Pid) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), process.as_raw_nonzero().to_string())
    }

    pub(super) fn kill(&self) {
        // `is_empty` sees what is left, and it is killed again.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
    }

    /// Whether no process is in it or below it.
    pub(super) fn is_empty(&self) -> bool {
        match fs::read_to_string(self.folder.join("cgroup.events")) {
            Ok(events) => !events.lines().any(|line| line == "populated 1"),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Removes it and the cgroups that the command made below it. What can't be removed is left for the next
    /// warden.
    pub(super) fn remove(self) {
        for _ in 0..REMOVALS_MAX {
            remove_tree(&self.folder);
            if !self.folder.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn remove_tree(folder: &Path) {
    for below in fs::read_dir(folder).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&below.path());
        }
    }
    // A cgroup with a process in it can't be removed, and must not be.
    let _ = fs::remove_dir(folder);
}

/// Removes the cgroups of killed wardens, and kills what is left in them: their program has lost the right to run
/// it. A cgroup with processes of another PID namespace stays, because its warden's process id means another
/// process here.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let warden = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let Some((warden, _)) = warden else { continue };
        if Path::new("/proc").join(warden).exists() {
            continue;
        }
        let left = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
        let is_of_here = left.lines().all(|process| process != "0");
        if !left.is_empty() && is_of_here {
            let stale = Cgroup::known(entry.path());
            stale.kill();
            stale.remove();
        } else {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The folder of this process's cgroup, from the texts of `mountinfo` and `cgroup` in its folder of `/proc`.
fn place(mounts: &str, own: &str) -> Option<PathBuf> {
    let own = Path::new(own.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut words = before.split(' ').skip(3);
        let (root, mounted_at) = (words.next()?, words.next()?);
        let below = own.strip_prefix(root).ok()?;
        // A path out of its own namespace leads nowhere here.
        let is_inside = !below.components().any(|part| part == std::path::Component::ParentDir);
        is_inside.then(|| Path::new(mounted_at).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_cgroup_is_below_where_its_hierarchy_is_mounted() {
        let unified = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let hybrid =
            "9 1 0:5 / /proc rw - proc proc rw\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n";
        let inner = "30 1 0:26 /docker/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let place = |mounts, own| place(mounts, own).map(|place| place.display().to_string());
        assert_eq!(
            place(unified, "0::/user.slice/a.scope\n").as_deref(),
            Some("/sys/fs/cgroup/user.slice/a.scope")
        );
        assert_eq!(place(hybrid, "9:pids:/x\n0::/\n").as_deref(), Some("/sys/fs/cgroup/unified/"));
        assert_eq!(place(inner, "0::/docker/a/b\n").as_deref(), Some("/sys/fs/cgroup/b"));
        assert_eq!(place(inner, "0::/docker/other\n"), None);
        assert_eq!(place(unified, "0::/../sibling\n"), None);
        assert_eq!(place(unified, "3:cpu:/\n"), None, "only the first version");
    }
}
