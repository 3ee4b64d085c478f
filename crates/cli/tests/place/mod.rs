//! A place for tests of the binary: a folder with a store, commands in processes of their own, and what they ended with.

#![allow(dead_code, clippy::expect_used)] // Each test uses what it needs of it; what surprises it stops it.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A folder with a store, and nothing of the environment of whoever runs the tests.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

/// What a process ended with.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("tenure.db")
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.args(words.split(' ').filter(|word| !word.is_empty())).env_clear();
        command.env("TENURE_STORE", format!("sqlite:{}", self.file().display())).env("USER", "alice");
        command.env("PATH", std::env::var_os("PATH").expect("a PATH")).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &str) -> Ended {
        ended(self.command(words).output().expect("ran"))
    }

    /// A command that is to be done; what it printed.
    pub(crate) fn done(&self, words: &str) -> String {
        let Ended { status, out, errors } = self.run(words);
        assert_eq!(status, 0, "`{words}`: {out}{errors}");
        out
    }

    /// A command that is to be refused, with that code.
    pub(crate) fn refused(&self, words: &str, code: &str) -> Value {
        let before = self.dump();
        let Ended { status, out, errors } = self.run(&format!("{words} -o json"));
        let answer: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
        assert_eq!((status, answer["refusal"]["code"].as_str()), (3, Some(code)), "`{words}`: {out}{errors}");
        assert!(errors.contains(code), "people are told too: {errors}");
        assert_eq!(before, self.dump(), "`{words}` was refused and changed nothing");
        answer["refusal"].clone()
    }

    pub(crate) fn task(&self, id: &str) -> Value {
        json(&self.done(&format!("task show {id} -o json")))["task"].clone()
    }

    pub(crate) fn state(&self, id: &str) -> String {
        self.task(id)["state"].as_str().expect("a state").to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that is stored, as text.
    pub(crate) fn dump(&self) -> String {
        let connection = rusqlite::Connection::open(self.file()).expect("opens");
        let tables = ["tasks", "due", "checkpoints", "compensations", "events"];
        let rows = tables.map(|table| {
            let mut statement = connection.prepare(&format!("select * from {table}")).expect("a table");
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..columns)
                    .map(|column| row.get::<_, rusqlite::types::Value>(column))
                    .collect::<Result<Vec<_>, _>>()
            });
            format!("{:?}", rows.expect("rows").collect::<Result<Vec<_>, _>>().expect("values"))
        });
        rows.join("\n")
    }
}

pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
    Ended { status, out: text(output.stdout), errors: text(output.stderr) }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until it is so. That it comes is the test; how fast is not.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}
