//! Which store and namespace a command uses, and what the URL of a store says.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::CliError;
use crate::global::Global;
use crate::io::{Variables, variable};

/// The store and the namespace: from the command line, else the environment, else the settings file.
pub(crate) struct StoreSelection {
    /// None: the default store of the user.
    pub(crate) store: Option<String>,
    /// None: the default namespace, or all of them for recovery.
    pub(crate) said_namespace: Option<String>,
    pub(crate) config: Config,
}

impl StoreSelection {
    pub(crate) fn of(global: &Global, variables: &Variables) -> Result<StoreSelection, CliError> {
        let config = match global.config.clone().or_else(|| variable(variables, "TENURE_CONFIG")) {
            Some(path) => Config::read(&path)?,
            None => Config::default(),
        };
        let namespace = global.namespace.first().cloned();
        let namespace = namespace.or_else(|| variable(variables, "TENURE_NAMESPACE"));
        let store = global.store.clone().or_else(|| variable(variables, "TENURE_STORE"));
        Ok(StoreSelection {
            store: store.or_else(|| config.store.clone()),
            said_namespace: namespace.or_else(|| config.namespace.clone()),
            config,
        })
    }

    pub(crate) fn namespace(&self) -> &str {
        self.said_namespace.as_deref().unwrap_or(tenure::ledger::DEFAULT_NAMESPACE)
    }
}

/// The URL of a store as it was given: without a scheme it is the path of a file.
pub(crate) fn store_url(said: &str) -> String {
    if said.contains(':') || said.is_empty() { said.to_owned() } else { format!("sqlite:{said}") }
}

/// Whether the store is reached through servers.
pub(crate) fn is_served(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// `tenure.db` in the user's data directory, as the XDG base directory specification says.
pub(crate) fn default_store(variables: &Variables) -> Result<String, CliError> {
    let data = variables.get("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || variables.get("HOME").map(Path::new).filter(|home| home.is_absolute());
    let data = data.or_else(|| Some(home()?.join(".local/share")));
    let unnamed = "no store given, and HOME is not set to an absolute path: pass --store or set TENURE_STORE";
    let data = data.ok_or_else(|| CliError::Usage(unnamed.to_owned()))?;
    Ok(format!("sqlite:{}", data.join("tenure").join("tenure.db").display()))
}

/// Whether the store is in PostgreSQL.
pub(crate) fn is_database(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Whether two URLs name one store, as far as can be told.
pub(crate) fn is_one_store(one: &str, other: &str) -> bool {
    one == other || is_one_file(one, other)
}

/// Whether two URLs name one file, however each spells it.
fn is_one_file(one: &str, other: &str) -> bool {
    let file = |url: &str| file_of(url.strip_prefix("sqlite:")?).canonicalize().ok();
    file(one).is_some_and(|one| file(other) == Some(one))
}

/// The path in a SQLite URL, without the query.
pub(crate) fn file_of(rest: &str) -> &Path {
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    Path::new(path.strip_prefix("//").unwrap_or(path))
}

/// Creates the directory of the default store, accessible to its user only.
pub(crate) fn make_folder(url: &str) -> Result<(), CliError> {
    let file = file_of(url.strip_prefix("sqlite:").unwrap_or(url));
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        let folder = folder.display();
        CliError::Failed(format!(
            "can't create the directory {folder} for the store: {error}; pass --store sqlite:PATH, or set TENURE_STORE"
        ))
    })
}
