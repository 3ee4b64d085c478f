//! A server of a test's own: the binary, in a process of its own, on a port that is free.

#![allow(dead_code, clippy::expect_used)] // Each test takes of it what it needs; what surprises it stops it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that is ended when it is dropped.
pub(crate) struct Serving {
    /// Where it is.
    pub(crate) url: String,
    /// Its process.
    pub(crate) process: Child,
}

impl Serving {
    /// A server on a file in that folder.
    pub(crate) fn start(folder: &Path, words: &[&str]) -> Serving {
        Serving::on(&format!("sqlite:{}/tasks.db", folder.display()), "127.0.0.1:0", words, &[])
    }

    /// A server on that store, at that address, with those variables.
    pub(crate) fn on(store: &str, listen: &str, words: &[&str], variables: &[(&str, &str)]) -> Serving {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.args(["serve", "--store", store, "--listen", listen, "-o", "json"]).args(words);
        command.env_remove("TENURE_STORE").envs(variables.iter().copied()).env("TENURE_LOG", "warn");
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("text");
        let told: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it serves: {line}"));
        let url = told["serving"]["url"].as_str().expect("a place").to_owned();
        Serving { url, process }
    }

    /// Sends it a signal, by the name that `kill` has for it.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Tells it to stop, and waits until it has; its status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended already is not there any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
