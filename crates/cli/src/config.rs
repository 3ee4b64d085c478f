//! A file with settings, in TOML: where the record is, and how recovery undoes each kind of compensation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::CliError;

/// Settings of a file; what is left out is as if there were none.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) store: Option<String>,
    pub(crate) namespace: Option<String>,
    /// What recovery does, by kind of compensation.
    #[serde(default)]
    pub(crate) undo: BTreeMap<String, UndoSection>,
    /// How a server goes about it.
    pub(crate) serve: Option<ServeSection>,
    /// Where it was read from.
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

/// `[undo.KIND]`: a command to run, or a place to post to.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct UndoSection {
    /// The command, word by word; `{target}` stands for what is to be undone.
    pub(crate) run: Option<Vec<String>>,
    /// A regular expression that a whole target must match.
    pub(crate) allow: Option<String>,
    /// Where a command is run; else where recovery was started.
    pub(crate) folder: Option<PathBuf>,
    /// The URL that is posted to.
    pub(crate) post: Option<String>,
    /// The file with the secret that a post is signed with.
    pub(crate) secret_file: Option<PathBuf>,
    /// How long a try may take.
    pub(crate) timeout: Option<String>,
    /// How often it is tried before a person is asked.
    pub(crate) tries: Option<u32>,
    /// The wait after the first try; each further one is twice as long.
    pub(crate) backoff: Option<String>,
    /// The longest wait.
    pub(crate) backoff_cap: Option<String>,
}

/// `[serve]`: what `tenure serve` takes as options, under the same names.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeSection {
    pub(crate) listen: Option<String>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tls_elsewhere: Option<bool>,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) grace: Option<String>,
    pub(crate) recovery: Option<bool>,
    pub(crate) undo_concurrency: Option<u64>,
    pub(crate) handler_wait: Option<String>,
    pub(crate) connections_max: Option<u64>,
    pub(crate) body_max: Option<u64>,
    pub(crate) memory_max: Option<u64>,
    pub(crate) rate: Option<u64>,
    pub(crate) log: Option<String>,
    pub(crate) log_format: Option<String>,
    pub(crate) otlp: Option<String>,
}

impl Config {
    pub(crate) fn read(path: &str) -> Result<Config, CliError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| CliError::Usage(format!("--config: can't read {path}: {error}")))?;
        let wrong = |error: toml::de::Error| format!("--config: {path}: {}", error.to_string().trim_end());
        let config: Config = toml::from_str(&text).map_err(|error| CliError::Usage(wrong(error)))?;
        Ok(Config { path: PathBuf::from(path), ..config })
    }

    /// A path that the file names: one that is not absolute begins at the file's own folder.
    pub(crate) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}
