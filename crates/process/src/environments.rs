//! The processes of this machine with the environment variables that each was started with.
//!
//! Nothing relies on this: a process can change its environment, and the environments of other users' processes can't
//! be read. It is used to tell people about processes that outlived their right to run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A process whose environment can be read.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessEnvironment {
    /// Its number.
    pub pid: u32,
    /// What it is called.
    pub name: String,
    variables: Vec<u8>,
}

impl ProcessEnvironment {
    /// The value of a variable, if it is set.
    pub fn variable(&self, name: &str) -> Option<String> {
        let mut variables = self.variables.split(|byte| *byte == 0);
        let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
    }
}

/// The variables may hold secrets.
impl std::fmt::Debug for ProcessEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessEnvironment")
            .field("pid", &self.pid)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All processes whose environment can be read; none without `/proc`.
pub fn environments() -> impl Iterator<Item = ProcessEnvironment> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| read(&entry.path()))
}

fn read(folder: &Path) -> Option<ProcessEnvironment> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    let variables = std::fs::read(folder.join("environ")).ok()?;
    let name = std::fs::read_to_string(folder.join("comm")).ok()?;
    Some(ProcessEnvironment { pid, name: name.trim().to_owned(), variables })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_variables_of_a_process_are_found_by_their_whole_names() {
        let mut child = Command::new("sleep").arg("60").env("ITS_TASK", "a=b").spawn().expect("a process");
        let of_child = |one: &ProcessEnvironment| one.pid == child.id() && one.variable("ITS_TASK").is_some();
        // Right after it has begun the system may not show its environment yet.
        let found = (0..100).find_map(|_| environments().find(of_child));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let found = found.expect("it is seen");
        assert_eq!((found.name.as_str(), found.variable("ITS_TASK").as_deref()), ("sleep", Some("a=b")));
        assert_eq!((found.variable("ITS"), found.variable("TASK")), (None, None));
        assert!(!format!("{found:?}").contains("a=b"));
    }
}
