//! The file with settings. What the command line or the environment says goes before it.

use serde::Deserialize;

use crate::failure::Failure;

/// Settings of a file; what is left out is as if there were none.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) store: Option<String>,
    pub(crate) namespace: Option<String>,
    /// What recovery does for each kind of compensation: of no concern to any command here.
    #[serde(rename = "undo")]
    _undo: Option<toml::Table>,
}

impl Config {
    pub(crate) fn read(path: &str) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--config: can't read {path}: {error}")))?;
        let wrong = |error: toml::de::Error| format!("--config: {path}: {}", error.to_string().trim_end());
        toml::from_str(&text).map_err(|error| Failure::Usage(wrong(error)))
    }
}
