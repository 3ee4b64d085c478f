//! `tenure serve --check`: prints the settings and finds what would keep the server from starting. It does what a start
//! does, but changes nothing.

use std::path::Path;

use serde::Serialize;
use tenure::access::Token;
use tenure::handler::Handlers;
use tenure::ledger::url_without_secrets;
use tenure::store::SchemaState;
use tenure::{Error, Ledger};

use super::listening::{BoundListener, NotListening};
use super::settings::{From, ServeOptions};
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Output, plain};
use crate::store::file_of;

#[derive(Serialize)]
struct CheckAnswer<'a> {
    configuration: Vec<Setting<'a>>,
    undo: Vec<&'a str>,
    ok: bool,
    #[serde(rename = "trouble")]
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Setting<'a> {
    name: &'a str,
    value: &'a str,
    from: &'static str,
}

/// Prints the settings and whether the server would start. The exit status is the one that the start would have.
pub(super) async fn run(
    context: &mut Context<'_, '_>,
    settings: &ServeOptions,
    store: &str,
    handlers: &Handlers,
) -> Result<(), CliError> {
    let found = look(context, settings, store).await;
    let problems: Vec<String> = found.problems.iter().map(CliError::words).collect();
    show(context, settings, (store, handlers), &problems)?;
    for note in &found.notes {
        context.out.note(note);
    }
    let Some(first) = found.problems.first() else {
        context.out.note("the server would start");
        return Ok(());
    };
    context.out.flush()?;
    context.out.error(&format!("the server would not start: {}", problems.join("; ")), None);
    Err(CliError::Status(first.status()))
}

/// What the check found.
#[derive(Default)]
struct Found {
    problems: Vec<CliError>,
    notes: Vec<String>,
}

async fn look(context: &mut Context<'_, '_>, settings: &ServeOptions, store: &str) -> Found {
    let mut found = Found::default();
    let mut tokens = None;
    match existing(context, store, &mut found.notes).await {
        Ok(there) => tokens = there,
        Err(failure) => found.problems.push(failure),
    }
    let exposure = match BoundListener::on(settings).await {
        Ok(listening) => Some(listening.exposure),
        // Before a restart, the running server has the port.
        Err(NotListening::Taken(failure)) => {
            found.notes.push(format!(
                "the port is in use, by a running server or by another program: {}",
                failure.words()
            ));
            Some(settings.exposure())
        }
        Err(NotListening::Other(failure)) => {
            found.problems.push(failure);
            None
        }
    };
    if let (Some(exposure), Some(tokens)) = (exposure, &tokens)
        && let Err(failure) = settings.may_listen(exposure, tokens)
    {
        found.problems.push(failure);
    }
    if let Err(failure) = settings.tls.config() {
        found.problems.push(failure);
    }
    found
}

/// The tokens of the existing store; none for a store that the start would create. Unknown for one that the start would
/// upgrade first.
async fn existing(
    context: &mut Context<'_, '_>,
    store: &str,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<Token>>, CliError> {
    is_writable(store)?;
    if let Some(file) = store.strip_prefix("sqlite:").map(file_of).filter(|file| !file.exists()) {
        let is_made_with_its_folder = context.settings()?.store.is_none();
        can_be_made(file, is_made_with_its_folder)?;
        return Ok(Some(Vec::new()));
    }
    match Ledger::builder().condition(store).await? {
        SchemaState::Missing => Ok(Some(Vec::new())),
        SchemaState::Older => {
            let words = "the store has an older schema; the server would upgrade it, and older versions of Tenure could not \
                         open it any more";
            notes.push(words.to_owned());
            Ok(None)
        }
        // Of what can't be opened, opening it says why.
        SchemaState::Current | SchemaState::Newer { .. } | SchemaState::Foreign => {
            Ok(Some(context.existing_ledger().await?.tokens().await?))
        }
    }
}

/// Checks that the file could be created.
fn can_be_made(file: &Path, with_its_folder: bool) -> Result<(), CliError> {
    let file = std::path::absolute(file)
        .map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    let mut folders = file.ancestors().skip(1);
    let folder = if with_its_folder { folders.find(|folder| folder.exists()) } else { folders.next() };
    let Some(folder) = folder else {
        return Err(unavailable(format!("{} is not a path of a file", file.display())));
    };
    if !folder.is_dir() {
        let (folder, file) = (folder.display(), file.display());
        return Err(unavailable(format!("can't create {file}: the directory {folder} does not exist")));
    }
    may_be_written(folder)
}

/// Checks that an existing file can be written. SQLite opens a read-only file without an error.
pub(super) fn is_writable(store: &str) -> Result<(), CliError> {
    match store.strip_prefix("sqlite:").map(file_of).filter(|file| file.exists()) {
        Some(file) => may_be_written(file),
        None => Ok(()),
    }
}

fn may_be_written(place: &Path) -> Result<(), CliError> {
    rustix::fs::access(place, rustix::fs::Access::WRITE_OK)
        .map_err(|error| unavailable(format!("can't write to {}: {error}", place.display())))
}

/// The error of a store that can't be opened.
fn unavailable(words: String) -> CliError {
    Error::Unavailable(words.into()).into()
}

fn show(
    context: &mut Context<'_, '_>,
    settings: &ServeOptions,
    (store, handlers): (&str, &Handlers),
    problems: &[String],
) -> Result<(), CliError> {
    let shown_store = url_without_secrets(store);
    let mut all = vec![("store", shown_store.as_str(), settings.store_from)];
    all.extend(settings.told.iter().map(|(name, value, from)| (*name, value.as_str(), *from)));
    let kinds: Vec<&str> = handlers.kinds().into_iter().map(|kind| kind.as_str()).collect();
    if context.out.form() == OutputFormat::Json {
        let configuration =
            all.iter().map(|(name, value, from)| Setting { name, value, from: from.as_str() }).collect();
        let ok = problems.is_empty();
        return context.out.json(&CheckAnswer {
            configuration,
            undo: kinds,
            ok,
            problems: problems.to_vec(),
        });
    }
    if context.out.is_quiet() {
        return Ok(());
    }
    let mut table = context.out.table(&["SETTING", "VALUE", "FROM"]);
    for (name, value, from) in &all {
        Output::row(&mut table, [plain(*name), plain(*value), plain(from.as_str())]);
    }
    let (kinds, from) =
        if kinds.is_empty() { ("none".to_owned(), From::Default) } else { (kinds.join(", "), From::File) };
    Output::row(&mut table, [plain("undo"), plain(kinds), plain(from.as_str())]);
    context.out.show(&table)
}
