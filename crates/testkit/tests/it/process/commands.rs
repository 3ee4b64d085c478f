//! Commands that start other commands, and whether any of their processes is alive.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use tenure::clock::Moment;
use tenure::core::time::Span;
use tenure::process::{Containment, Launch, Limit};
use tenure_testkit::waiting::until_blocking;

/// With and without a cgroup; where none can be made, both are the same.
pub(crate) const CONTAINMENTS: [Containment; 2] = [Containment::CgroupIfPossible, Containment::GroupOnly];

/// A launch of this command by a binary that serves as warden.
pub(crate) fn launch(program: &str, arguments: &[&str]) -> Launch {
    Launch::new(program).args(arguments).warden(env!("CARGO_BIN_EXE_tenure-child"))
}

/// A launch of this script.
pub(crate) fn sh(script: &str) -> Launch {
    launch("sh", &["-c", script])
}

/// A limit that far from now; the kill comes at once with it.
pub(crate) fn limit(ms: u64) -> Limit {
    let moment = Moment::now() + Span::from_millis(ms);
    Limit { ask: moment, kill: moment }
}

/// A process that is told from a later one of its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) pid: u32,
    born: String,
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

impl Seen {
    pub(crate) fn now(pid: u32) -> Seen {
        Seen { pid, born: stat(pid).map(|words| words[19].clone()).unwrap_or_default() }
    }

    pub(crate) fn lives(&self) -> bool {
        stat(self.pid).is_some_and(|words| words[19] == self.born && words[0] != "Z" && words[0] != "X")
    }

    pub(crate) fn parent(&self) -> Seen {
        Seen::now(stat(self.pid).expect("it lives")[1].parse().expect("a number"))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        stat(self.pid).is_some_and(|words| words[0] == "T")
    }

    /// Where it is in the second version's hierarchy of cgroups.
    pub(crate) fn cgroup(&self) -> String {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default();
        groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
    }

    /// By name, as `kill` knows it.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).status();
        assert!(status.expect("kill").success());
    }
}

/// A command with children of every kind: in the background, out of its group, a daemon, one that ignores SIGTERM, one
/// that is stopped. Each writes its number to a file.
pub(crate) struct Brood {
    folder: TempDir,
}

const BROOD: &str = r#"
sleep 1000 & echo $! >> pids
setsid sh -c 'echo $$ >> pids; exec sleep 1000' &
(setsid sh -c 'sh -c "echo \$\$ >> pids; exec sleep 1000" & wait' &)
(trap "" TERM; setsid sh -c 'echo $$ >> pids; while :; do sleep 1; done' &)
(setsid sh -c 'echo $$ >> pids; kill -STOP $$; sleep 1000' &)
echo $$ >> pids
"#;

impl Brood {
    /// How many of the processes write their number, the command included.
    pub(crate) const COUNT: usize = 6;

    pub(crate) fn new() -> Brood {
        Brood { folder: tempfile::tempdir().expect("a folder") }
    }

    /// What is run: the command waits for its children, or leaves them behind.
    pub(crate) fn script(&self, then: &str) -> String {
        format!("cd {}\n{BROOD}\n{then}", self.folder.path().display())
    }

    pub(crate) fn pids(&self) -> PathBuf {
        self.folder.path().join("pids")
    }

    /// All of them, when they are there.
    pub(crate) fn wait(&self) -> Vec<Seen> {
        let lines = || std::fs::read_to_string(self.pids()).unwrap_or_default();
        until_blocking("the brood is there", || {
            lines().lines().count() == Brood::COUNT && lines().ends_with('\n')
        });
        let seen: Vec<_> = lines().lines().map(|pid| Seen::now(pid.parse().expect("a number"))).collect();
        seen
    }
}

/// Nothing of it lives, after a while.
pub(crate) fn all_are_gone(brood: &[Seen]) {
    until_blocking(&format!("all of {brood:?} are gone"), || !brood.iter().any(Seen::lives));
}
