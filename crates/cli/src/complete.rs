//! Shell completion of ids, queues, kinds, owners and token names that are in the store.
//!
//! It reads only the newest tasks, creates no store, and completes nothing if there is none.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use clap_complete::env::CompleteEnv;
use tenure::Ledger;
use tenure::core::task::Task;
use tenure::store::Filter;
use tenure::store::IfMissing;

use crate::global::{Global, OutputFormat};
use crate::io::variables;
use crate::store::{StoreSelection, default_store};

/// The variable that the completion script sets when it asks for completions.
pub(crate) const VARIABLE: &str = "TENURE_COMPLETE";

/// How many tasks are read: enough to find the ones in use, few enough to answer at once.
const NEWEST: usize = 200;

/// If a shell asks for completions of that command line, answers it and ends the process; otherwise returns.
pub(crate) fn answer_shell(command: fn() -> clap::Command) {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

pub(crate) fn tasks(word: &OsStr) -> Vec<CompletionCandidate> {
    let newest = newest().into_iter();
    let begins = |task: &Task| word.to_str().is_some_and(|word| task.id.as_str().starts_with(word));
    let about =
        |task: Task| CompletionCandidate::new(task.id.as_str()).help(Some(task.state().as_str().into()));
    newest.filter(begins).map(about).collect()
}

pub(crate) fn queues(word: &OsStr) -> Vec<CompletionCandidate> {
    of_newest(word, |task| vec![task.queue.to_string()])
}

pub(crate) fn kinds(word: &OsStr) -> Vec<CompletionCandidate> {
    of_newest(word, |task| vec![task.kind.to_string()])
}

pub(crate) fn undo_kinds(word: &OsStr) -> Vec<CompletionCandidate> {
    of_newest(word, |task| task.compensations.iter().map(|one| one.undo.kind.to_string()).collect())
}

pub(crate) fn owners(word: &OsStr) -> Vec<CompletionCandidate> {
    let owners = look(async |ledger| {
        let holdings = ledger.holdings().await?;
        Ok(holdings.into_iter().map(|holding| holding.owner.to_string()).collect())
    });
    beginning(word, owners.unwrap_or_default())
}

/// The names of tokens that can be revoked.
pub(crate) fn token_names(word: &OsStr) -> Vec<CompletionCandidate> {
    let names = look(async |ledger| {
        let tokens = ledger.tokens().await?.into_iter();
        Ok(tokens.filter(|token| token.revoked_at.is_none()).map(|token| token.name.to_string()).collect())
    });
    beginning(word, names.unwrap_or_default())
}

fn of_newest(word: &OsStr, words: impl Fn(&Task) -> Vec<String>) -> Vec<CompletionCandidate> {
    beginning(word, newest().iter().flat_map(words).collect())
}

fn beginning(word: &OsStr, words: BTreeSet<String>) -> Vec<CompletionCandidate> {
    let begins = |known: &String| word.to_str().is_some_and(|word| known.starts_with(word));
    words.into_iter().filter(begins).map(CompletionCandidate::new).collect()
}

fn newest() -> Vec<Task> {
    let page = look(async |ledger| Ok(ledger.tasks(Filter::default(), None, NEWEST).await?.items));
    page.unwrap_or_default()
}

/// Reads the store that the words typed so far select.
fn look<T>(read: impl AsyncFnOnce(Ledger) -> Result<T, tenure::Error>) -> Option<T> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let option = |name: &str| {
        let after = words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
        after.or_else(|| {
            words.iter().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
        })
    };
    let global = Global {
        store: option("--store"),
        store_patience: None,
        namespace: option("--namespace").into_iter().collect(),
        output: OutputFormat::Table,
        request_id: None,
        token: None,
        config: option("--config"),
        quiet: true,
        verbose: false,
    };
    let variables = variables();
    let settings = StoreSelection::of(&global, &variables).ok()?;
    let store = settings.store.clone().map_or_else(|| default_store(&variables), Ok).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let ledger = Ledger::builder().missing(IfMissing::Refuse).open(&store).await.ok()?;
        read(ledger.in_namespace(settings.namespace()).ok()?).await.ok()
    })
}
