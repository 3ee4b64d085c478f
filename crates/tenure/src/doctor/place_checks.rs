//! The checks of the place where a store is kept: a file with its disk, or the settings of a PostgreSQL server.

use std::collections::BTreeSet;
use std::path::Path;

use tenure_api::doctor::{CheckName, CheckResult, Verdict};
use tenure_store::health::{FileHealth, Integrity, PathKind, Permissions, PostgresHealth, Standby};

use crate::doctor::facts::{Facts, StoreKind};
use crate::doctor::outcome::{CheckOutcome, count, libpq_url, named, pass, size, skipped, unreadable};
use crate::doctor::thresholds as at;
use crate::shell::quoted;

const OF_FILES: [CheckName; 4] =
    [CheckName::Integrity, CheckName::WalSize, CheckName::Disk, CheckName::Permissions];
const OF_POSTGRES: [CheckName; 4] =
    [CheckName::Fsync, CheckName::FullPageWrites, CheckName::SynchronousCommit, CheckName::Standbys];
/// Why the checks of a store of the other kind are skipped.
const OF_FILES_ONLY: &str = "only a store in a file is checked for this";
const OF_POSTGRES_ONLY: &str = "the store is a file";

/// Every check of the place. Those of another kind of store are skipped.
pub fn place_checks(facts: &Facts) -> Vec<CheckOutcome> {
    let all = || OF_FILES.into_iter().chain(OF_POSTGRES);
    let reason = match facts.kind {
        StoreKind::Server => {
            Some("the server knows it: run `tenure --store STORE doctor` there, with the server's own store")
        }
        StoreKind::Memory => Some("a store in memory has none"),
        StoreKind::File | StoreKind::Postgres => None,
    };
    if let Some(reason) = reason {
        return all().map(|name| skipped(name, reason)).collect();
    }
    let health = match &facts.health {
        Ok(health) => health,
        Err(error) => {
            let (own, others, reason) = match facts.kind {
                StoreKind::File => (OF_FILES, OF_POSTGRES, OF_POSTGRES_ONLY),
                StoreKind::Memory | StoreKind::Postgres | StoreKind::Server => {
                    (OF_POSTGRES, OF_FILES, OF_FILES_ONLY)
                }
            };
            let own = own.map(|name| unreadable(name, error, facts));
            return own.into_iter().chain(others.map(|name| skipped(name, reason))).collect();
        }
    };
    let of_file = match &health.file {
        Some(file) => vec![integrity(file), wal_size(file), disk(file), permissions(file)],
        None => OF_FILES.map(|name| skipped(name, OF_FILES_ONLY)).into(),
    };
    let of_postgres = match &health.postgres {
        Some(postgres) => vec![
            must_be_on(CheckName::Fsync, ("fsync", &postgres.fsync), &facts.shown),
            must_be_on(
                CheckName::FullPageWrites,
                ("full_page_writes", &postgres.full_page_writes),
                &facts.shown,
            ),
            synchronous_commit(postgres, &facts.shown),
            standbys(postgres, &facts.shown),
        ],
        None => OF_POSTGRES.map(|name| skipped(name, OF_POSTGRES_ONLY)).into(),
    };
    of_file.into_iter().chain(of_postgres).collect()
}

/// The checks of a file that this process may not open.
#[cfg(feature = "sqlite")]
pub(super) fn closed_place_checks(file: &FileHealth) -> Vec<CheckOutcome> {
    vec![wal_size(file), disk(file), permissions(file)]
}

fn integrity(file: &FileHealth) -> CheckOutcome {
    let name = CheckName::Integrity;
    match &file.integrity {
        Integrity::NotChecked => skipped(
            name,
            format!(
                "the file has {}, and reading it all takes long; `tenure doctor --deep` does",
                size(file.bytes)
            ),
        ),
        Integrity::Holds => pass(name, "the pages of the file hold together").into(),
        Integrity::Broken(problems) => {
            let path = file.path.display().to_string();
            let words = format!(
                "the file is damaged: {}; keep a copy of it, and restore the newest backup into a new file with \
                 `tenure --store sqlite:NEW restore FILE`",
                named(problems)
            );
            let copy = format!("cp -a {} {}", quoted(&path), quoted(&format!("{path}.damaged")));
            CheckResult::new(name, Verdict::Fail, words)
                .mended_by(copy)
                .fact("problems", problems.clone())
                .into()
        }
    }
}

fn wal_size(file: &FileHealth) -> CheckOutcome {
    let name = CheckName::WalSize;
    let Some(bytes) = file.wal_bytes else {
        let says = "the size of the write-ahead log can't be read";
        let command = format!("ls -la {}", quoted(&format!("{}-wal", file.path.display())));
        return CheckResult::new(name, Verdict::Warn, says).mended_by(command).into();
    };
    let verdict = match bytes {
        bytes if bytes >= at::WAL_FAIL => Verdict::Fail,
        bytes if bytes >= at::WAL_WARN => Verdict::Warn,
        _ => Verdict::Pass,
    };
    let shown = size(bytes);
    let result = match verdict {
        Verdict::Pass => pass(name, format!("the write-ahead log has {shown}")),
        Verdict::Warn | Verdict::Fail => {
            let words = format!(
                "the write-ahead log has {shown}: a program reads for very long, or none that wrote was closed; end such \
                 programs, then empty the log"
            );
            let pragma = quoted("pragma wal_checkpoint(truncate)");
            let path = quoted(&file.path.display().to_string());
            CheckResult::new(name, verdict, words).mended_by(format!("sqlite3 {path} {pragma}"))
        }
    };
    result.fact("bytes", bytes).into()
}

fn disk(file: &FileHealth) -> CheckOutcome {
    let name = CheckName::Disk;
    let Some(bytes) = file.free_bytes else { return skipped(name, "the disk does not say how much is free") };
    let shown = size(bytes);
    let verdict = match bytes {
        bytes if bytes < at::DISK_FAIL => Verdict::Fail,
        bytes if bytes < at::DISK_WARN => Verdict::Warn,
        _ => Verdict::Pass,
    };
    let folder = file.path.parent().unwrap_or(Path::new("/")).display().to_string();
    let result = match verdict {
        Verdict::Pass => pass(name, format!("the disk of {folder} has {shown} free")),
        Verdict::Warn | Verdict::Fail => {
            let words =
                format!("the disk of {folder} has only {shown} free: when it is full, writes are refused");
            let command = format!("du -ahx {} | sort -h | tail -n 20", quoted(&folder));
            CheckResult::new(name, verdict, words).mended_by(command)
        }
    };
    result.fact("free_bytes", bytes).into()
}

/// Others may write.
const WRITE_OTHERS: u32 = 0o002;
/// Others may read.
const READ_OTHERS: u32 = 0o004;
/// Others may enter a directory.
const ENTER_OTHERS: u32 = 0o001;
/// Only owners may remove what is in a directory.
const STICKY: u32 = 0o1000;

fn permissions(file: &FileHealth) -> CheckOutcome {
    let name = CheckName::Permissions;
    let all = &file.permissions;
    let is = |one: &&Permissions, kind, bits: u32| one.kind == kind && one.mode & bits != 0;
    let folders: Vec<_> = all.iter().filter(|one| is(one, PathKind::Directory, WRITE_OTHERS)).collect();
    let folders: Vec<_> = folders.into_iter().filter(|one| one.mode & STICKY == 0).collect();
    let written: Vec<_> = all.iter().filter(|one| is(one, PathKind::File, WRITE_OTHERS)).collect();
    let can_be_entered = all.iter().any(|one| is(&one, PathKind::Directory, ENTER_OTHERS));
    let open = |one: &&Permissions| can_be_entered && is(one, PathKind::File, READ_OTHERS);
    let read: Vec<_> = all.iter().filter(open).collect();
    let closed: Vec<_> = all.iter().filter(|one| !one.is_writable).collect();
    // The log and its index come and go with the programs that have the file open.
    let all_files = format!("{}*", quoted(&file.path.display().to_string()));
    let close = |folders: &[&Permissions]| {
        let folders = (!folders.is_empty()).then(|| format!("chmod o-w {}", paths(folders)));
        let has_files = !written.is_empty() || !read.is_empty();
        let files = has_files.then(|| format!("chmod o-rwx {all_files}"));
        folders.into_iter().chain(files).collect::<Vec<_>>().join(" && ")
    };
    let result = if let Some(first) = folders.first().or(written.first()) {
        let words =
            format!("anybody on this machine may write to {} (mode {:o})", first.path.display(), first.mode);
        CheckResult::new(name, Verdict::Fail, words).mended_by(close(&folders))
    } else if let Some(first) = read.first() {
        let words = format!(
            "anybody on this machine may read {} (mode {:o}), with every payload and result",
            first.path.display(),
            first.mode
        );
        CheckResult::new(name, Verdict::Warn, words).mended_by(close(&[]))
    } else if let Some(first) = closed.first() {
        let words = format!("this user may not write to {} (mode {:o})", first.path.display(), first.mode);
        let folder = closed.iter().find(|one| one.kind == PathKind::Directory).map(|one| paths(&[*one]));
        let folder = folder.map(|folder| format!("{folder} ")).unwrap_or_default();
        CheckResult::new(name, Verdict::Warn, words).mended_by(format!("chmod u+w {folder}{all_files}"))
    } else {
        pass(name, "others may neither read nor write the file")
    };
    let modes = all.iter().map(|one| (one.path.display().to_string(), format!("{:o}", one.mode).into()));
    result.fact("modes", modes.collect::<serde_json::Map<_, _>>()).into()
}

fn paths(all: &[&Permissions]) -> String {
    all.iter().map(|one| quoted(&one.path.display().to_string())).collect::<Vec<_>>().join(" ")
}

/// The command that gives statements to the server that takes writes. A user who may not do that puts another one into its URL.
fn psql(shown: &str, statements: &[&str]) -> String {
    let url = libpq_url(shown);
    // Without it `psql` takes the first server that answers, which may be a standby.
    let several = url.contains(',').then(|| {
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}target_session_attrs=read-write")
    });
    let statements: String = statements.iter().map(|one| format!(" -c {}", quoted(one))).collect();
    format!("psql -d {}{statements}", quoted(several.as_deref().unwrap_or(url)))
}

/// The command of a superuser that changes a setting of the whole server.
fn alter_system(shown: &str, setting: &str, value: &str) -> String {
    psql(shown, &[&format!("alter system set {setting} = {value}"), "select pg_reload_conf()"])
}

fn must_be_on(name: CheckName, (setting, value): (&str, &str), shown: &str) -> CheckOutcome {
    let result = match value {
        "off" => {
            let words = format!(
                "{setting} is off: a power failure can damage the database. A superuser turns it on: put one into the URL"
            );
            CheckResult::new(name, Verdict::Fail, words).mended_by(alter_system(shown, setting, "on"))
        }
        _ => pass(name, format!("{setting} is {value}")),
    };
    result.fact("value", value).into()
}

fn synchronous_commit(postgres: &PostgresHealth, shown: &str) -> CheckOutcome {
    let (name, value) = (CheckName::SynchronousCommit, postgres.synchronous_commit.as_str());
    let source = postgres.synchronous_commit_source.as_str();
    let result = if postgres.commits_early() {
        let database = format!("\"{}\"", postgres.database.replace('"', "\"\""));
        let of_role = "alter role current_user";
        let (whose, command) = match source {
            "user" => ("the role has it", psql(shown, &[&format!("{of_role} reset synchronous_commit")])),
            "database user" => (
                "the role has it in this database",
                psql(shown, &[&format!("{of_role} in database {database} reset synchronous_commit")]),
            ),
            "database" => (
                "the database has it, whose owner resets it",
                psql(shown, &[&format!("alter database {database} reset synchronous_commit")]),
            ),
            "client" | "environment variable" => (
                "the connection asks for it: take it out of `options` in the URL, or out of PGOPTIONS. The command shows what the role has \
                 without that",
                format!("env -u PGOPTIONS {}", psql(shown, &["show synchronous_commit"])),
            ),
            _ => (
                "the server has it. A superuser changes it: put one into the URL",
                alter_system(shown, "synchronous_commit", "on"),
            ),
        };
        let words = format!(
            "synchronous_commit is {value}, so no standby is waited for: a failover can lose answered commands and give an epoch \
             twice; {whose}"
        );
        CheckResult::new(name, Verdict::Fail, words).mended_by(command)
    } else {
        pass(
            name,
            match value {
                "off" => "synchronous_commit is off, and each transaction of Tenure turns it on for itself"
                    .to_owned(),
                "local" => {
                    "synchronous_commit is local, and there is no synchronous standby to wait for".to_owned()
                }
                value => format!("synchronous_commit is {value}"),
            },
        )
    };
    result.fact("value", value).fact("source", source).into()
}

fn standbys(postgres: &PostgresHealth, shown: &str) -> CheckOutcome {
    let name = CheckName::Standbys;
    let asynchronous = postgres.asynchronous_standbys();
    let name_of = |standby: &Standby| standby.name.clone().filter(|name| !name.is_empty());
    let names: Vec<String> = asynchronous.iter().filter_map(|standby| name_of(standby)).collect();
    let result = if asynchronous.is_empty() {
        match postgres.standbys.len() as u64 {
            0 => pass(name, "no standby is connected"),
            standbys => pass(name, format!("{}, none of them asynchronous", count(standbys, "standby"))),
        }
    } else {
        let who = if names.is_empty() { String::new() } else { format!(" ({})", named(&names)) };
        let words = format!(
            "{} of {} replicate asynchronously{who}: a failover to one can lose answered commands and give an epoch twice",
            asynchronous.len(),
            count(postgres.standbys.len() as u64, "standby")
        );
        let is_seen = |standby: &&Standby| standby.sync_state.is_some();
        let seen = postgres.standbys.iter().map(|standby| Some(standby).filter(is_seen).and_then(name_of));
        let all: Option<BTreeSet<String>> = seen.collect();
        let (next, command) = match all {
            // Of what a role sees no more than the name, it could be a program that soon ends.
            None => (
                "this role does not see what they are; a superuser does, so put one into the URL",
                psql(shown, &["select application_name, state, sync_state from pg_stat_replication"]),
            ),
            Some(all) => {
                let quoted_name = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
                let all = all.iter().map(quoted_name).collect::<Vec<_>>().join(", ");
                (
                    "with the command, which a superuser runs, each commit waits until one of them has it: fail over to the one that has \
                     most. While none of them is connected, every commit waits, so have two",
                    alter_system(
                        shown,
                        "synchronous_standby_names",
                        &format!("'ANY 1 ({})'", all.replace('\'', "''")),
                    ),
                )
            }
        };
        CheckResult::new(name, Verdict::Warn, format!("{words}; {next}")).mended_by(command)
    };
    result.fact("standbys", postgres.standbys.len() as u64).fact("asynchronous", names).into()
}
