//! A server for a test: the binary as a process, on a free port; and requests to it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::place::{signal, tenure};
use crate::waiting::until;

/// How long a test waits for one piece of output: nothing takes a minute when all is well.
pub(crate) const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// A server that is stopped when it is dropped.
pub(crate) struct Serving {
    /// Its URL.
    pub(crate) url: String,
    /// Its process.
    pub(crate) process: Child,
}

impl Serving {
    /// Starts a server on a file in that directory.
    pub(crate) fn start(folder: &Path, words: &[&str]) -> Serving {
        Serving::on(&format!("sqlite:{}/tasks.db", folder.display()), "127.0.0.1:0", words, &[])
    }

    /// Starts a server on that store, at that address, with those variables.
    pub(crate) fn on(store: &str, listen: &str, words: &[&str], variables: &[(&str, &str)]) -> Serving {
        let mut command = tenure(&["serve", "--store", store, "--listen", listen, "-o", "json"]);
        command.args(words).envs(variables.iter().copied()).env("TENURE_LOG", "warn");
        Serving::begun(command)
    }

    /// Starts a server on a file in that directory, and keeps what it logs.
    pub(crate) fn logging_to(log: File, folder: &Path, words: &[&str]) -> Serving {
        let store = format!("sqlite:{}/tasks.db", folder.display());
        let mut command = tenure(&["serve", "--store", &store, "--listen", "127.0.0.1:0", "-o", "json"]);
        command.args(words).env("TENURE_LOG", "info").stderr(log);
        Serving::begun(command)
    }

    fn begun(mut command: Command) -> Serving {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("text");
        let told: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it serves: {line}"));
        let url = told["serving"]["url"].as_str().expect("a place").to_owned();
        Serving { url, process }
    }

    /// The address and the port that it listens on.
    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").expect("a URL").1
    }

    /// Whether its process has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("its status").is_some()
    }

    /// Stops it with SIGTERM and waits until it ends; returns its exit status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        signal(&self.process, Signal::TERM);
        until("the end of the server", || self.has_ended());
        self.process.wait().expect("its status").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request without a body, on its own connection; returns status and body of the response.
pub(crate) fn ask(url: &str, head: &str) -> (u16, String) {
    send(url, head, "")
}

/// Sends a request on its own connection; returns status and body of the response.
pub(crate) fn send(url: &str, head: &str, body: &str) -> (u16, String) {
    let (_, address) = url.split_once("://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(HEARD_WITHIN)).expect("a time");
    stream
        .write_all(format!("{head}\r\nhost: localhost\r\nconnection: close\r\n\r\n{body}").as_bytes())
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// The value of a server's metric with these labels.
pub(crate) fn counted(url: &str, token: Option<&str>, name: &str, labels: &str) -> u64 {
    let proof = token.map(|token| format!("\r\nauthorization: Bearer {token}")).unwrap_or_default();
    let (status, text) = ask(url, &format!("GET /metrics HTTP/1.1{proof}"));
    assert_eq!(status, 200, "{text}");
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
    lines.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect(line)).sum()
}
