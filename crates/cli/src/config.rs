//! The settings file, in TOML: the store, the namespace, the server, and the undo handlers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::CliError;

/// The content of a settings file; whatever is missing has no setting.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) store: Option<String>,
    pub(crate) namespace: Option<String>,
    /// How recovery undoes each kind of compensation.
    #[serde(default)]
    pub(crate) undo: BTreeMap<String, UndoSection>,
    /// The settings of `tenure serve`.
    pub(crate) serve: Option<ServeSection>,
    /// The path of the file.
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

/// `[undo.KIND]`: a command to run, or a URL to post to.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct UndoSection {
    /// The command and its arguments; `{target}` stands for the target of the compensation, `{label.KEY}` for a label
    /// of the task.
    pub(crate) run: Option<Vec<String>>,
    /// A regular expression that the whole target must match.
    pub(crate) allow: Option<String>,
    /// By the key of a label that the task must have: a regular expression that the whole value must match.
    pub(crate) allow_label: Option<BTreeMap<String, String>>,
    /// The directory to run the command in; by default where recovery was started.
    pub(crate) folder: Option<PathBuf>,
    /// The URL to post to.
    pub(crate) post: Option<String>,
    /// The file with the secret that signs the posts.
    pub(crate) secret_file: Option<PathBuf>,
    /// The time limit of one try.
    pub(crate) timeout: Option<String>,
    /// The number of tries before the task is quarantined.
    pub(crate) tries: Option<u32>,
    /// The wait after the first try; each further wait is twice as long.
    pub(crate) backoff: Option<String>,
    /// The longest wait.
    pub(crate) backoff_cap: Option<String>,
}

/// `[serve]`: the options of `tenure serve`, under the same names.
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
    pub(crate) retain: Option<String>,
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

    /// Resolves a path in the file: a relative one starts at the file's directory.
    pub(crate) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}
