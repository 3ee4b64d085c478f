//! Opens a store to be examined, and says what is there if it can't be opened.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tenure_api::doctor::{CheckName, CheckResult, Verdict};
use tenure_api::instant::{print, print_seconds};
use tenure_store::backup::BackupMark;
use tenure_store::{Error, SchemaState, StoreAccess};

use crate::doctor::facts::StoreKind;
use crate::doctor::outcome::{CheckOutcome, looking_command, pass, path_of, skipped};
#[cfg(feature = "sqlite")]
use crate::doctor::place_checks::closed_place_checks;
use crate::ledger::{Ledger, LedgerBuilder, url_without_secrets};
use crate::shell::quoted;

/// A store that was opened.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    /// Where it is kept.
    pub(super) kind: StoreKind,
    /// Its URL for people.
    pub(super) shown: String,
    /// What marks it as a backup.
    pub(super) backup: Option<BackupMark>,
}

/// The checks that need no more than the opening, and the store, if it is open.
pub(super) async fn open(builder: LedgerBuilder, url: &str) -> (Vec<CheckOutcome>, Option<Opened>) {
    let shown = url_without_secrets(url);
    let kind = kind_of(url);
    let builder = builder.access(StoreAccess::ReadOnly);
    let opened = match kind {
        StoreKind::Memory | StoreKind::Server => {
            let reason = match kind {
                StoreKind::Server => {
                    "the server knows it: run `tenure --store STORE doctor` there, with the server's own store"
                }
                StoreKind::Memory | StoreKind::File | StoreKind::Postgres => "a store in memory has none",
            };
            Ok(skipped(CheckName::Schema, reason))
        }
        StoreKind::File | StoreKind::Postgres => schema(builder.clone(), url, (kind, &shown)).await,
    };
    let schema = match opened {
        Ok(schema) => schema,
        Err(outcomes) => return (outcomes, None),
    };
    match builder.open(url).await {
        Ok(ledger) => {
            let backup = backup_mark(kind, &shown);
            let there = match &backup {
                Some(mark) => backup_is_there(&shown, mark),
                None => pass(CheckName::Store, format!("{shown} can be opened")),
            };
            (vec![there.into(), schema], Some(Opened { ledger, kind, shown, backup }))
        }
        Err(error) => (unusable(kind, &shown, &error), None),
    }
}

fn kind_of(url: &str) -> StoreKind {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("memory") => StoreKind::Memory,
        Some("postgres" | "postgresql") => StoreKind::Postgres,
        Some("http" | "https") => StoreKind::Server,
        Some(_) | None => StoreKind::File,
    }
}

/// The check of the schema, if the store can be opened; else everything that can be said.
async fn schema(
    builder: LedgerBuilder,
    url: &str,
    (kind, shown): (StoreKind, &str),
) -> Result<CheckOutcome, Vec<CheckOutcome>> {
    if let Some(closed) = closed_folder(kind, shown) {
        return Err(instead(closed, "this user may not look at the store"));
    }
    if let Some(folder) = absent_folder(kind, shown) {
        let words = format!("there is no store at {shown}, and no directory {folder}");
        let command = format!("mkdir -p {} && tenure status", quoted(&folder));
        return Err(instead(absent(words).mended_by(command), "there is no store"));
    }
    let state = builder.condition(url).await.map_err(|error| unusable(kind, shown, &error))?;
    Err(match state {
        SchemaState::Current => {
            return Ok(pass(CheckName::Schema, "the schema is the newest that this program knows").into());
        }
        SchemaState::Missing => {
            // In PostgreSQL only a command that writes creates it.
            let command = if kind == StoreKind::Postgres { "tenure recover" } else { "tenure status" };
            let words = format!("there is no store at {shown}; the command creates an empty one");
            instead(absent(words).mended_by(command), "there is no store")
        }
        SchemaState::Older => {
            if let Some(mark) = backup_mark(kind, shown) {
                return Err(older_backup(shown, &mark));
            }
            let words = "the store has an older schema: any command that opens it migrates it, and older programs can't open \
                         it any more then; back it up first, with `tenure backup FILE`";
            let older = CheckResult::new(CheckName::Schema, Verdict::Warn, words).mended_by("tenure migrate");
            let there = pass(CheckName::Store, format!("there is a store at {shown}"));
            let mut outcomes = instead(older, "the schema is older than this program's");
            outcomes.retain(|outcome| outcome.name() != CheckName::Store);
            outcomes.push(there.into());
            outcomes
        }
        SchemaState::Newer { found, known } => {
            let words = format!(
                "the store has schema version {found}, and this program knows up to {known}: use a newer one, which the \
                 command installs in a newer checkout of Tenure"
            );
            let newer = CheckResult::new(CheckName::Schema, Verdict::Fail, words)
                .mended_by("cargo install --locked --path crates/cli")
                .fact("found", found)
                .fact("known", known);
            instead(newer, "the schema is newer than this program")
        }
        SchemaState::Foreign => {
            let words = format!(
                "{shown} is another program's, or no database; the command creates a store beside it"
            );
            instead(absent(words).mended_by(beside(kind, shown)), "there is no store")
        }
    })
}

/// What marks a file as a backup; none if it is a store. That it can't be read is told when it is opened.
fn backup_mark(kind: StoreKind, shown: &str) -> Option<BackupMark> {
    #[cfg(feature = "sqlite")]
    if kind == StoreKind::File {
        return tenure_sqlite::backup::mark_of(Path::new(path_of(shown))).ok().flatten();
    }
    let _ = (kind, shown);
    None
}

/// What can be said of a backup that only a newer program than its own would open.
fn older_backup(shown: &str, mark: &BackupMark) -> Vec<CheckOutcome> {
    let older = pass(CheckName::Schema, "the backup has an older schema, and a restore keeps it");
    let reason =
        "the backup has an older schema: restore it into a new file, which verifies it, and examine that";
    let mut outcomes = instead(older, reason);
    outcomes.retain(|outcome| outcome.name() != CheckName::Store);
    outcomes.push(backup_is_there(shown, mark).into());
    outcomes
}

fn backup_is_there(shown: &str, mark: &BackupMark) -> CheckResult {
    let path = Path::new(path_of(shown));
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let new = path.with_file_name(format!("{stem}-restored.db"));
    let (new, file) = (quoted(&format!("sqlite:{}", new.display())), quoted(path_of(shown)));
    let at = print_seconds(mark.at);
    let result = match mark.verified {
        true => pass(
            CheckName::Store,
            format!(
                "{shown} is a backup of {at}, verified when it was made; restore it with `tenure --store {new} restore {file}`"
            ),
        ),
        false => {
            let words = format!(
                "{shown} is a backup of {at} that does not hold, and was kept all the same; restore it only if there is no other"
            );
            CheckResult::new(CheckName::Store, Verdict::Warn, words)
                .mended_by(format!("tenure --store {new} restore --keep-unverified {file}"))
        }
    };
    result.fact("backup_of", print(mark.at)).fact("verified", mark.verified)
}

/// A file's directory, if it is not there.
fn absent_folder(kind: StoreKind, shown: &str) -> Option<String> {
    if kind != StoreKind::File {
        return None;
    }
    let folder = Path::new(path_of(shown)).parent().filter(|folder| !folder.as_os_str().is_empty())?;
    (!folder.exists()).then(|| folder.display().to_string())
}

/// That this user may not enter the directory of a file, nor see whether there is one.
fn closed_folder(kind: StoreKind, shown: &str) -> Option<CheckResult> {
    let path = Path::new(path_of(shown));
    let is_closed = |path: &Path| {
        path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    if kind != StoreKind::File || !is_closed(path) {
        return None;
    }
    // The lowest one that can be seen is the one that can't be entered.
    let seen = path.ancestors().skip(1).find(|folder| !is_closed(folder));
    let folder = seen.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = folder.metadata().ok()?;
    let words = format!(
        "this user may not enter the directory {} (mode {:o}), so nobody can say whether there is a store; examine it as its owner",
        folder.display(),
        found.permissions().mode() & 0o7777
    );
    Some(absent(words).mended_by(as_owner(found.uid(), shown)))
}

/// What this user lacks of what SQLite needs to open a file, and the owner of that.
fn lacking(path: &Path) -> Option<(String, u32)> {
    let is_denied = File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let found = path.metadata().ok()?;
    if is_denied {
        let mode = found.permissions().mode() & 0o7777;
        return Some((format!("this user may not read {} (mode {mode:o})", path.display()), found.uid()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let may_write = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    if may_write(folder) && may_write(path) {
        return None;
    }
    let words = format!(
        "this user may not write to {} or its directory, and SQLite needs files beside it also to read it",
        path.display()
    );
    Some((words, found.uid()))
}

/// The command that examines a store as another user. No variable of this one is passed on.
fn as_owner(uid: u32, shown: &str) -> String {
    format!("sudo -u '#{uid}' tenure --store {} doctor", quoted(shown))
}

/// The command that creates a store beside something else.
fn beside(kind: StoreKind, shown: &str) -> String {
    if kind == StoreKind::Postgres {
        // A URL for people ends with its schema.
        return format!("tenure --store {} recover", quoted(&format!("{shown}_tenure")));
    }
    let path = Path::new(path_of(shown));
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let path = path.with_file_name(format!("{stem}-tenure.db"));
    format!("tenure --store {} status", quoted(&format!("sqlite:{}", path.display())))
}

/// The checks that need no more than the names of the files.
fn checks_of_closed(path: &Path) -> Vec<CheckOutcome> {
    #[cfg(feature = "sqlite")]
    if let Ok(file) = tenure_sqlite::health_of_closed(path) {
        return closed_place_checks(&file);
    }
    let _ = path;
    Vec::new()
}

fn absent(words: String) -> CheckResult {
    CheckResult::new(CheckName::Store, Verdict::Fail, words)
}

/// What can be said of a store that can't be opened or read.
pub(super) fn unusable(kind: StoreKind, shown: &str, error: &Error) -> Vec<CheckOutcome> {
    let path = Path::new(path_of(shown));
    if let (StoreKind::File, Error::Unavailable(_), Some((words, uid))) = (kind, error, lacking(path)) {
        let closed = absent(format!("{words}; examine it as its owner")).mended_by(as_owner(uid, shown));
        let mut outcomes = instead(closed, "this user may not open the store");
        let made = checks_of_closed(path);
        outcomes.retain(|outcome| !made.iter().any(|one| one.name() == outcome.name()));
        outcomes.extend(made);
        return outcomes;
    }
    let command = match (kind, error) {
        (StoreKind::File, Error::Corrupt(_)) => {
            let path = path_of(shown);
            format!("cp -a {} {}", quoted(path), quoted(&format!("{path}.damaged")))
        }
        (_, _) => looking_command(kind, shown),
    };
    instead(absent(error.to_string()).mended_by(command), "the store can't be opened")
}

/// One finding, and every other check skipped for that reason.
fn instead(found: CheckResult, reason: &str) -> Vec<CheckOutcome> {
    let name = found.name;
    let others = CheckName::ALL.into_iter().filter(|other| *other != name);
    let others = others.map(|other| skipped(other, reason));
    std::iter::once(CheckOutcome::from(found)).chain(others).collect()
}
