//! Opens a store to be examined, and says what is there if it can't be opened.

use std::path::Path;

use tenure_api::doctor::{CheckName, CheckResult, Verdict};
use tenure_store::{Error, SchemaState, StoreAccess};

use crate::doctor::facts::StoreKind;
use crate::doctor::outcome::{CheckOutcome, looking_command, pass, path_of, skipped};
use crate::ledger::{Ledger, LedgerBuilder, url_without_secrets};
use crate::shell::quoted;

/// A store that was opened, where it is kept, and its URL for people.
pub(super) type Opened = (Ledger, StoreKind, String);

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
            let there = pass(CheckName::Store, format!("{shown} can be opened"));
            (vec![there.into(), schema], Some((ledger, kind, shown)))
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
            let words = "the store has an older schema: any command that opens it migrates it, and older programs can't open \
                         it any more then; back it up first, with `tenure backup FILE`";
            let older = CheckResult::new(CheckName::Schema, Verdict::Warn, words).mended_by("tenure migrate");
            let there = pass(CheckName::Store, format!("there is a store at {shown}"));
            let mut outcomes = instead(older, "the schema is older than this program's");
            outcomes.retain(
                |outcome| !matches!(outcome, CheckOutcome::Skipped(one) if one.name == CheckName::Store),
            );
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

/// A file's directory, if it is not there.
fn absent_folder(kind: StoreKind, shown: &str) -> Option<String> {
    if kind != StoreKind::File {
        return None;
    }
    let folder = Path::new(path_of(shown)).parent().filter(|folder| !folder.as_os_str().is_empty())?;
    (!folder.exists()).then(|| folder.display().to_string())
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

fn absent(words: String) -> CheckResult {
    CheckResult::new(CheckName::Store, Verdict::Fail, words)
}

/// What can be said of a store that can't be opened or read.
pub(super) fn unusable(kind: StoreKind, shown: &str, error: &Error) -> Vec<CheckOutcome> {
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
