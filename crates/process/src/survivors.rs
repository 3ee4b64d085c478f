//! Finds processes of this machine that work under a lease, by their environment variables.
//!
//! Nothing relies on this: a process can change its environment, and the environments of other users' processes can't
//! be read. It is used to tell people that a process still works after its lease is over.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A process that was started under a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survivor {
    /// Its number.
    pub pid: u32,
    /// What it is called.
    pub name: String,
    /// The store of its lease.
    pub store: String,
    /// The namespace of its task.
    pub namespace: String,
    /// Its task.
    pub task: String,
    /// The epoch of its lease.
    pub epoch: u64,
}

/// All processes that can be seen; none without `/proc`.
pub fn survivors() -> Vec<Survivor> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| of(&entry.path())).collect()
}

fn of(folder: &Path) -> Option<Survivor> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    let environment = std::fs::read(folder.join("environ")).ok()?;
    let name = std::fs::read_to_string(folder.join("comm")).ok()?;
    let variable = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
    };
    Some(Survivor {
        pid,
        name: name.trim().to_owned(),
        store: variable("TENURE_STORE")?,
        namespace: variable("TENURE_NAMESPACE")?,
        task: variable("TENURE_TASK")?,
        epoch: variable("TENURE_EPOCH")?.parse().ok()?,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_found_by_the_lease_in_its_environment() {
        let lease =
            [("TENURE_STORE", "s"), ("TENURE_NAMESPACE", "n"), ("TENURE_TASK", "t"), ("TENURE_EPOCH", "7")];
        let mut child = Command::new("sleep").arg("60").envs(lease).spawn().expect("a process");
        // Right after it has begun the system may not show its environment yet.
        let look = |_| survivors().into_iter().find(|one| one.pid == child.id());
        let found = (0..100).find_map(look);
        let others = survivors().into_iter().any(|one| one.pid == std::process::id());
        child.kill().expect("killed");
        child.wait().expect("ended");
        let found = found.expect("it is seen");
        assert_eq!((found.name.as_str(), found.task.as_str(), found.epoch), ("sleep", "t", 7));
        assert!(!others, "who has no lease is none");
    }
}
