//! Where it is measured: somewhere as the store is, that is removed afterwards.

use std::path::Path;

use tenure::Ledger;
use tenure::store::postgres::{PostgresOptions, PostgresStore};

use super::advice::Kind;
use crate::context::Context;
use crate::error::CliError;
use crate::store::{file_of, is_database, is_served, make_folder};

/// A site to measure in.
pub(super) enum Site {
    Memory,
    /// A folder beside the file of the store, on the same disk.
    File {
        folder: tempfile::TempDir,
        options: String,
    },
    /// A schema of its own in the store's database.
    Schema {
        url: String,
    },
    /// The server's own store.
    Server,
}

impl Site {
    pub(super) async fn find(context: &mut Context<'_, '_>) -> Result<Site, CliError> {
        let settings = context.settings()?;
        let url = context.store_of(&settings)?;
        if url == "memory:" {
            return Ok(Site::Memory);
        }
        if is_served(&url) {
            return Ok(Site::Server);
        }
        if is_database(&url) {
            let name = format!("{}{}", PostgresStore::TRIAL_SCHEMA, context.around.entropy.new_id());
            return Ok(Site::Schema { url: with_schema(&url, &name.replace('-', "_")) });
        }
        if settings.store.is_none() {
            make_folder(&url)?;
        }
        let rest = url.strip_prefix("sqlite:").unwrap_or(&url);
        let file = std::path::absolute(file_of(rest))
            .map_err(|error| CliError::Failed(format!("{url}: {error}")))?;
        let beside = file.parent().unwrap_or(Path::new("/"));
        let folder =
            tempfile::Builder::new().prefix("tenure-bench-").tempdir_in(beside).map_err(|error| {
                CliError::Failed(format!("can't create a directory in {}: {error}", beside.display()))
            })?;
        let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
        Ok(Site::File { folder, options })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Site::Memory => Kind::Memory,
            Site::File { .. } => Kind::File,
            Site::Schema { .. } => Kind::Database,
            Site::Server => Kind::Server,
        }
    }

    /// The folder whose disk is measured.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Site::File { folder, .. } => Some(folder.path()),
            Site::Memory | Site::Schema { .. } | Site::Server => None,
        }
    }

    pub(super) async fn ledger(&self, context: &mut Context<'_, '_>) -> Result<Ledger, CliError> {
        match self {
            Site::Memory => context.ledger_at("memory:").await,
            Site::File { folder, options } => {
                let file = folder.path().join("tasks.db");
                context.ledger_at(&format!("sqlite:{}{options}", file.display())).await
            }
            Site::Schema { url } => context.ledger_at(url).await,
            Site::Server => context.existing_ledger().await,
        }
    }

    /// Removes what was made to measure in.
    pub(super) async fn remove(self) -> Result<(), CliError> {
        match self {
            Site::Memory | Site::Server => Ok(()),
            Site::File { folder, .. } => {
                let shown = folder.path().display().to_string();
                folder.close().map_err(|error| CliError::Failed(format!("can't remove {shown}: {error}")))
            }
            Site::Schema { url } => Ok(PostgresStore::drop_trial(PostgresOptions::new(url)).await?),
        }
    }
}

/// The URL with another schema.
fn with_schema(url: &str, schema: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("schema="));
    let pairs: Vec<String> = others.map(str::to_owned).chain([format!("schema={schema}")]).collect();
    format!("{base}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::with_schema;

    #[test]
    fn only_the_schema_of_a_url_is_another_one() {
        for (url, expected) in [
            ("postgres://db/app", "postgres://db/app?schema=s"),
            ("postgres://db/app?schema=tenure", "postgres://db/app?schema=s"),
            (
                "postgres://db/app?sslmode=require&schema=x&patience=5s",
                "postgres://db/app?sslmode=require&patience=5s&schema=s",
            ),
        ] {
            assert_eq!(with_schema(url, "s"), expected);
        }
    }
}
