//! The binary `tenure` as a user has it, for the benches of this crate.
#![allow(dead_code)] // Each bench uses a part.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A command line of `tenure`, without settings of the user who runs the bench.
pub(crate) fn tenure(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENURE_")) {
        command.env_remove(name);
    }
    command.args(words);
    command
}

/// `tenure serve` on a store of its own, which is stopped when this is dropped.
pub(crate) struct ServerProcess {
    pub(crate) url: String,
    process: Child,
}

impl ServerProcess {
    pub(crate) fn start(store: &str) -> ServerProcess {
        let words = ["serve", "--store", store, "--listen", "127.0.0.1:0", "--rate", "0", "-o", "json"];
        let mut command = tenure(&words);
        command.args(["--log", "warn"]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("text");
        let told: serde_json::Value = serde_json::from_str(&line).expect("it serves");
        let url = told["serving"]["url"].as_str().expect("a place").to_owned();
        ServerProcess { url, process }
    }

    /// The memory that it has now and that it had at most, in MiB.
    pub(crate) fn resident_mib(&self) -> (u64, u64) {
        resident_mib(&self.process).expect("it runs, on Linux")
    }
}

/// The memory that a process has now and that it had at most, in MiB; none once it has ended.
pub(crate) fn resident_mib(process: &Child) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let mib = |field: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1_024)
    };
    Some((mib("VmRSS:")?, mib("VmHWM:")?))
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The size of a file, in MiB. One that is not there has none.
pub(crate) fn file_mib(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len() >> 20)
}
