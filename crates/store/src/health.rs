//! What a store knows about the place where it is kept: its file, or its database. It judges nothing of it.

use std::path::PathBuf;

/// How much of a file is read to see whether it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntegrityCheck {
    /// Its pages, but not whether each index has what its table has; nothing of a file with more bytes than this.
    UpTo(u64),
    /// Everything, however long it takes.
    Whole,
}

/// What a store knows about its place. A store in memory and one behind a server know nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreHealth {
    /// Of a store in a file.
    pub file: Option<FileHealth>,
    /// Of a store in PostgreSQL.
    pub postgres: Option<PostgresHealth>,
}

/// A file, and what is beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHealth {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// The length of its write-ahead log; none if it can't be read.
    pub wal_bytes: Option<u64>,
    /// How many bytes this process may still write to its disk; none if the disk does not say.
    pub free_bytes: Option<u64>,
    /// Its directory, the file, and the files beside it.
    pub permissions: Vec<Permissions>,
    /// Whether it is whole.
    pub integrity: Integrity,
}

/// Who may do what with a file or a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// Which one it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: PathKind,
    /// The bits, as `chmod` takes them.
    pub mode: u32,
    /// Whether this process may write to it.
    pub is_writable: bool,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A file.
    File,
}

/// What reading a whole file has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Integrity {
    /// It was too long to be read.
    NotChecked,
    /// The pages hold together.
    Holds,
    /// The first problems, in SQLite's words.
    Broken(Vec<String>),
}

/// The settings of a PostgreSQL server on which promises rest, and its standbys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostgresHealth {
    /// `fsync`.
    pub fsync: String,
    /// `full_page_writes`.
    pub full_page_writes: String,
    /// `synchronous_commit`, as this role has it.
    pub synchronous_commit: String,
    /// Where that is set, in PostgreSQL's words, such as `configuration file`, `user` or `database`.
    pub synchronous_commit_source: String,
    /// The database.
    pub database: String,
    /// `synchronous_standby_names`: which standbys a commit waits for.
    pub synchronous_standby_names: String,
    /// The standbys that are connected: servers that replay the whole log. A program that only copies it, or that takes single tables,
    /// is none.
    pub standbys: Vec<Standby>,
}

/// A standby of a PostgreSQL server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standby {
    /// Its name; none if this role may not see it.
    pub name: Option<String>,
    /// `sync`, `quorum`, `potential` or `async`; none if this role may not see it.
    pub sync_state: Option<String>,
}

impl Standby {
    fn is_waited_for(&self) -> bool {
        matches!(self.sync_state.as_deref(), Some("sync" | "quorum"))
    }
}

impl PostgresHealth {
    /// The standbys that no commit waits for.
    pub fn asynchronous_standbys(&self) -> Vec<&Standby> {
        // Without the right to see more, each standby looks asynchronous: then only the setting tells.
        let is_seen = self.standbys.iter().any(|standby| standby.sync_state.is_some());
        if !is_seen && !self.synchronous_standby_names.is_empty() {
            return Vec::new();
        }
        self.standbys.iter().filter(|standby| !standby.is_waited_for()).collect()
    }

    /// Whether a commit is answered before it is on the standby that it should wait for. With `local` it is, if there is one to wait for;
    /// with `off` it is not: every transaction that writes turns it on for itself.
    pub fn commits_early(&self) -> bool {
        self.synchronous_commit == "local" && !self.synchronous_standby_names.is_empty()
    }

    /// What of it breaks the promise that what was answered stays, in words.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let asynchronous = self.asynchronous_standbys().len();
        if asynchronous > 0 {
            warnings.push(format!(
                "{asynchronous} of the database's standbys replicate asynchronously: a failover to one can lose answered commands"
            ));
        }
        if self.commits_early() {
            let commit = &self.synchronous_commit;
            warnings.push(format!(
                "synchronous_commit is {commit}, so no standby is waited for: a failover can lose answered commands"
            ));
        }
        for (name, value) in [("fsync", &self.fsync), ("full_page_writes", &self.full_page_writes)] {
            if value == "off" {
                warnings.push(format!("{name} is off: a power failure can damage the database"));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standby(name: &str, sync_state: Option<&str>) -> Standby {
        Standby { name: Some(name.to_owned()), sync_state: sync_state.map(str::to_owned) }
    }

    fn with_standbys(names: &str, standbys: Vec<Standby>) -> PostgresHealth {
        PostgresHealth {
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            synchronous_commit_source: "default".to_owned(),
            database: "app".to_owned(),
            synchronous_standby_names: names.to_owned(),
            standbys,
        }
    }

    #[test]
    fn a_standby_that_no_commit_waits_for_is_asynchronous_unless_its_state_is_hidden() {
        let asynchronous = |names, standbys| with_standbys(names, standbys).asynchronous_standbys().len();
        assert_eq!(asynchronous("", Vec::new()), 0);
        assert_eq!(asynchronous("a", vec![standby("a", Some("sync")), standby("b", Some("quorum"))]), 0);
        assert_eq!(asynchronous("a", vec![standby("a", Some("sync")), standby("b", Some("potential"))]), 1);
        assert_eq!(asynchronous("", vec![standby("a", None)]), 1);
        assert_eq!(asynchronous("a", vec![standby("a", None)]), 0, "only the setting tells");
    }

    #[test]
    fn each_setting_that_breaks_the_promise_is_named() {
        assert!(with_standbys("", Vec::new()).warnings().is_empty());
        let mut broken = with_standbys("b", vec![standby("a", Some("async"))]);
        "off".clone_into(&mut broken.fsync);
        "off".clone_into(&mut broken.full_page_writes);
        "local".clone_into(&mut broken.synchronous_commit);
        let warnings = broken.warnings();
        for word in
            ["asynchronously", "synchronous_commit is local", "fsync is off", "full_page_writes is off"]
        {
            assert!(warnings.iter().any(|words| words.contains(word)), "{word}: {warnings:?}");
        }
    }

    #[test]
    fn a_setting_that_costs_nothing_is_not_named() {
        let with = |commit: &str, names| {
            let mut health = with_standbys(names, Vec::new());
            commit.clone_into(&mut health.synchronous_commit);
            health.warnings().len()
        };
        assert_eq!(with("off", "a"), 0, "every transaction turns it on");
        assert_eq!(with("local", ""), 0, "there is no standby to wait for");
        assert_eq!(with("local", "a"), 1);
    }
}
