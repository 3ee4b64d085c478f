//! A place for tests of the binary: a folder with a store, commands in processes of their own, and what they ended with.

use std::fs::{self, File, TryLockError};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// The binary that is tested.
pub(crate) const TENURE: &str = env!("CARGO_BIN_EXE_tenure");

/// Runs the binary in a process of its own. Of the environment of the tests it gets `PATH` alone; its user is alice.
pub(crate) fn tenure(words: &[&str]) -> Command {
    let mut command = Command::new(TENURE);
    command.args(words).env_clear().env("USER", "alice").stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command
}

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
        let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let mut command = tenure(&words);
        command.env("TENURE_STORE", format!("sqlite:{}", self.file().display()));
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

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Makes an empty file, for a script that waits for it.
    pub(crate) fn write(&self, name: &str) {
        fs::write(self.path(name), "").expect("written");
    }

    /// What a file says; nothing where it is not there yet.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// How many lines a file has.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.text(name).lines().count()
    }

    /// A new file for what a process prints, so that it can be read while the process runs.
    pub(crate) fn to_file(&self, name: &str) -> File {
        File::create(self.path(name)).expect("made")
    }

    /// The process that wrote its number into that file.
    pub(crate) fn process(&self, name: &str) -> u32 {
        let text = self.text(name);
        text.trim().parse().unwrap_or_else(|_| panic!("`{text}` in {name} is no process"))
    }

    /// Keeps everybody from writing to the store until the file is dropped, as a machine does whose disk is away.
    pub(crate) fn hold_the_turn(&self) -> File {
        let file = File::open(self.lock_file("turn")).expect("the turn");
        file.lock().expect("taken");
        file
    }

    /// Whether a process waits at the head of the line for the writer's turn.
    pub(crate) fn somebody_is_next(&self) -> bool {
        let line = File::open(self.lock_file("line")).expect("the line");
        matches!(line.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn lock_file(&self, which: &str) -> PathBuf {
        PathBuf::from(format!("{}-{which}", self.file().display()))
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

pub(crate) fn signal(process: &Child, signal: Signal) {
    kill_process(pid(process.id()), signal).expect("it is there");
}

pub(crate) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a number")).expect("a process")
}

/// Whether a process is there and not only waited for by its parent.
pub(crate) fn is_alive(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    test_kill_process(pid(id)).is_ok() && !matches!(state, None | Some('Z' | 'X'))
}
