//! Where the fleet works: a store in a temporary directory, or an empty one that the caller names.

use tenure::store::{Filter, SchemaState};
use tenure::{Error, Ledger};

use super::super::stage::{failed, remove};
use crate::context::Context;
use crate::error::CliError;
use crate::store::is_served;

/// The store of the fleet.
pub(super) struct DemoStore {
    pub(super) ledger: Ledger,
    pub(super) url: String,
    /// None: the store is the caller's, and stays.
    folder: Option<tempfile::TempDir>,
}

impl DemoStore {
    /// The store of `--store`, if it is empty; without it a temporary one, also if a variable or a file names another: the reader's
    /// own store is not used by accident.
    pub(super) async fn find(context: &mut Context<'_, '_>) -> Result<DemoStore, CliError> {
        if context.has_store_option() {
            return DemoStore::named(context).await;
        }
        let namespace = context.settings()?.namespace().to_owned();
        let folder = tempfile::Builder::new().prefix("tenure-demo-").tempdir().map_err(failed)?;
        let url = format!("sqlite:{}", folder.path().join("tenure.db").display());
        let ledger = context.ledger_at(&url).await?.in_namespace(&namespace)?;
        Ok(DemoStore { ledger, url, folder: Some(folder) })
    }

    async fn named(context: &mut Context<'_, '_>) -> Result<DemoStore, CliError> {
        let url = context.store_of(&context.settings()?)?;
        if is_served(&url) {
            let words = "the store is another server, and the demo runs its own: pass a file or a database, or no --store";
            return Err(CliError::Usage(words.into()));
        }
        // Opening one of an older version would upgrade it.
        if Ledger::builder().condition(&url).await? == SchemaState::Older {
            return Err(not_empty("is one of an older version of Tenure"));
        }
        let ledger = context.ledger().await?;
        if let Some(namespace) = namespace_with_tasks(&ledger).await? {
            return Err(not_empty(&format!("has tasks in the namespace {namespace}")));
        }
        Ok(DemoStore { ledger, url, folder: None })
    }

    /// Whether it is removed at the end.
    pub(super) fn is_temporary(&self) -> bool {
        self.folder.is_some()
    }

    /// Removes it, if it is temporary.
    pub(super) async fn remove(self) -> Result<(), CliError> {
        let DemoStore { ledger, folder, .. } = self;
        drop(ledger);
        let Some(folder) = folder else { return Ok(()) };
        remove(folder.path()).await.map_err(|error| {
            CliError::Failed(format!("can't remove the directory {}: {error}", folder.path().display()))
        })
    }
}

/// A namespace of the store that has a task. Handlers of the demo only say that they undid something, so tasks of other
/// namespaces must be safe from them, too.
async fn namespace_with_tasks(ledger: &Ledger) -> Result<Option<String>, Error> {
    let found = ledger.store().tasks(Filter::default(), None, 1.into()).await?.items;
    Ok(found.first().map(|task| task.namespace.to_string()))
}

fn not_empty(what: &str) -> CliError {
    CliError::Usage(format!(
        "store: it {what}; the demo makes up tasks, so it needs an empty store: pass another --store, or none for a temporary one"
    ))
}
