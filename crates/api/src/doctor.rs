//! What `tenure doctor` found: one item for each check, with the command that mends what it found.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::wire;
use crate::words_on_wire;

/// How good it is. A worse verdict is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It works, but somebody should look.
    Warn,
    /// A promise is broken, or nothing works.
    Fail,
}

words_on_wire! {
    Verdict { Verdict::Pass => "pass", Verdict::Warn => "warn", Verdict::Fail => "fail" }
}

/// What a check looks at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CheckName {
    /// Whether there is a store that can be opened.
    Store,
    /// The version of its tables.
    Schema,
    /// The pages of a file.
    Integrity,
    /// The hash chains.
    Chain,
    /// The newest anchor.
    Anchor,
    /// This machine's clock against the store's.
    Clock,
    /// Whether tasks can be read.
    Tasks,
    /// Lapsed leases and reservations.
    Stale,
    /// Whether recovery runs, and in time.
    Recovery,
    /// Leases whose heartbeats don't move their end.
    Leases,
    /// Kinds of undo that nobody handles.
    UndoKinds,
    /// Tasks that are parked for a person.
    Quarantined,
    /// The oldest task in each state.
    Oldest,
    /// Tasks that did not succeed.
    EndedBadly,
    /// Named cursors that nobody moves any more.
    Cursors,
    /// The write-ahead log.
    WalSize,
    /// The room on the disk.
    Disk,
    /// Who may read and write the file and its directory.
    Permissions,
    /// Tokens that never expire.
    Tokens,
    /// PostgreSQL's `fsync`.
    Fsync,
    /// PostgreSQL's `full_page_writes`.
    FullPageWrites,
    /// PostgreSQL's `synchronous_commit`.
    SynchronousCommit,
    /// PostgreSQL's standbys.
    Standbys,
    /// What a server says about its own store.
    Server,
}

words_on_wire! {
    CheckName {
        CheckName::Store => "store", CheckName::Schema => "schema", CheckName::Integrity => "integrity",
        CheckName::Chain => "chain", CheckName::Anchor => "anchor", CheckName::Clock => "clock",
        CheckName::Tasks => "tasks", CheckName::Stale => "stale", CheckName::Recovery => "recovery",
        CheckName::Leases => "leases", CheckName::UndoKinds => "undo_kinds",
        CheckName::Quarantined => "quarantined", CheckName::Oldest => "oldest",
        CheckName::EndedBadly => "ended_badly", CheckName::Cursors => "cursors", CheckName::WalSize => "wal_size", CheckName::Disk => "disk",
        CheckName::Permissions => "permissions", CheckName::Tokens => "tokens", CheckName::Fsync => "fsync",
        CheckName::FullPageWrites => "full_page_writes",
        CheckName::SynchronousCommit => "synchronous_commit", CheckName::Standbys => "standbys",
        CheckName::Server => "server",
    }
}

impl CheckName {
    /// Every check.
    pub const ALL: [CheckName; 24] = [
        CheckName::Store,
        CheckName::Schema,
        CheckName::Integrity,
        CheckName::Chain,
        CheckName::Anchor,
        CheckName::Clock,
        CheckName::Tasks,
        CheckName::Stale,
        CheckName::Recovery,
        CheckName::Leases,
        CheckName::UndoKinds,
        CheckName::Quarantined,
        CheckName::Oldest,
        CheckName::EndedBadly,
        CheckName::Cursors,
        CheckName::WalSize,
        CheckName::Disk,
        CheckName::Permissions,
        CheckName::Tokens,
        CheckName::Fsync,
        CheckName::FullPageWrites,
        CheckName::SynchronousCommit,
        CheckName::Standbys,
        CheckName::Server,
    ];
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckResult {
    /// The check.
    #[serde(with = "wire")]
    pub name: CheckName,
    /// How good it is.
    #[serde(with = "wire")]
    pub verdict: Verdict,
    /// What was found, in a sentence.
    pub says: String,
    /// The command that mends it, or that shows what a person must decide first; null if it passes.
    pub mend: Option<String>,
    /// The same as numbers and names, for programs.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl CheckResult {
    /// A result without a command.
    pub fn new(name: CheckName, verdict: Verdict, says: impl Into<String>) -> CheckResult {
        CheckResult { name, verdict, says: says.into(), mend: None, facts: Map::new() }
    }

    /// With the command that mends it.
    #[must_use]
    pub fn mended_by(mut self, command: impl Into<String>) -> CheckResult {
        self.mend = Some(command.into());
        self
    }

    /// With a fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> CheckResult {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// A check that was not made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SkippedCheck {
    /// The check.
    #[serde(with = "wire")]
    pub name: CheckName,
    /// Why it was not made.
    pub reason: String,
}

/// What all checks found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnosis {
    /// The worst verdict.
    #[serde(with = "wire")]
    pub verdict: Verdict,
    /// The checks that were made, the worst first.
    pub checks: Vec<CheckResult>,
    /// Those that were not made.
    pub skipped: Vec<SkippedCheck>,
}

impl Diagnosis {
    /// Puts the worst first; of one verdict, in the order of [`CheckName::ALL`].
    pub fn new(mut checks: Vec<CheckResult>, skipped: Vec<SkippedCheck>) -> Diagnosis {
        checks.sort_by_key(|check| (std::cmp::Reverse(check.verdict), check.name));
        let verdict = checks.first().map_or(Verdict::Pass, |worst| worst.verdict);
        Diagnosis { verdict, checks, skipped }
    }
}
