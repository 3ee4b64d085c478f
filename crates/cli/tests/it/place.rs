//! A place for tests of the binary: a directory with a store, commands that run as processes, and their results.

use std::fs::{self, File, TryLockError};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// The binary that is tested.
pub(crate) const TENURE: &str = env!("CARGO_BIN_EXE_tenure");

/// Runs the binary as a process. Its environment has only `PATH`, and alice as the user.
pub(crate) fn tenure(words: &[&str]) -> Command {
    let mut command = Command::new(TENURE);
    command.args(words).env_clear().env("USER", "alice").stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command
}

/// A directory with a store. Commands run in it without the environment variables of the test's user.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

/// The exit status and output of a process.
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
        let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let mut command = tenure(&words);
        command.env("TENURE_STORE", format!("sqlite:{}", self.file().display()));
        command
    }

    pub(crate) fn run(&self, words: &str) -> Ended {
        ended(self.command(words).output().expect("ran"))
    }

    /// Runs a command that must succeed; returns its output.
    pub(crate) fn done(&self, words: &str) -> String {
        let Ended { status, out, errors } = self.run(words);
        assert_eq!(status, 0, "`{words}`: {out}{errors}");
        out
    }

    /// Runs a command that must be refused with that code.
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

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Creates an empty file, for a script that waits for it.
    pub(crate) fn write(&self, name: &str) {
        fs::write(self.path(name), "").expect("written");
    }

    /// The content of a file; empty if it does not exist yet.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The number of lines in a file.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.text(name).lines().count()
    }

    /// A new file for the output of a process, so that it can be read while the process runs.
    pub(crate) fn to_file(&self, name: &str) -> File {
        File::create(self.path(name)).expect("made")
    }

    /// The process whose id is in that file.
    pub(crate) fn process(&self, name: &str) -> u32 {
        let text = self.text(name);
        text.trim().parse().unwrap_or_else(|_| panic!("`{text}` in {name} is no process"))
    }

    /// Blocks all writers of the store until the file is dropped, as a disk that hangs does.
    pub(crate) fn hold_the_turn(&self) -> File {
        let file = File::open(self.lock_file("turn")).expect("the turn");
        file.lock().expect("taken");
        file
    }

    /// Whether a process is first in line for the writer lock.
    pub(crate) fn somebody_is_next(&self) -> bool {
        let line = File::open(self.lock_file("line")).expect("the line");
        matches!(line.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn lock_file(&self, which: &str) -> PathBuf {
        PathBuf::from(format!("{}-{which}", self.file().display()))
    }

    /// The whole content of the store, as text.
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

pub(crate) fn signal(process: &Child, signal: Signal) {
    kill_process(pid(process.id()), signal).expect("it is there");
}

pub(crate) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a number")).expect("a process")
}

/// Whether a process is running, and not a zombie.
pub(crate) fn is_alive(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    test_kill_process(pid(id)).is_ok() && !matches!(state, None | Some('Z' | 'X'))
}
