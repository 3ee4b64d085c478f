//! The options that every command takes.

use clap::{Args, ValueEnum};

/// The options that every command takes.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// Store to use: sqlite:PATH, postgres://USER@HOST/DATABASE, http://HOST:PORT for a server (http://a:7117,b:7117 for several),
    /// or memory: to keep nothing [default: tenure.db in the user's data directory] [env: TENURE_STORE]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub(crate) store: Option<String>,
    /// How long to retry while PostgreSQL or the servers can't be reached; the same as `patience=` in the URL [default: 30s for
    /// writes to PostgreSQL, 2s for servers]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        hide_short_help = true,
        help_heading = "Global options"
    )]
    pub(crate) store_patience: Option<String>,
    /// Namespace; ids are unique within one [default: default] [env: TENURE_NAMESPACE]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub(crate) namespace: Vec<String>,
    /// Output format: a table, or JSON (one document; lists and streams print one per line)
    #[arg(
        // `tenure worker` has an option `--output`, and names must be unique.
        id = "format",
        short = 'o',
        long = "format",
        global = true,
        value_name = "FORMAT",
        default_value = "table",
        help_heading = "Global options"
    )]
    pub(crate) output: OutputFormat,
    /// Id of this request: a repeat with the same id within 7 days returns the first answer and changes nothing
    #[arg(long, global = true, value_name = "ID", help_heading = "Global options")]
    pub(crate) request_id: Option<String>,
    /// Token to send to a server; other stores need none. TENURE_TOKEN_FILE names a file to read it from [env: TENURE_TOKEN]
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        hide_short_help = true,
        help_heading = "Global options"
    )]
    pub(crate) token: Option<String>,
    /// Settings file in TOML: `store`, `namespace`, `[serve]`, `[undo.KIND]` [env: TENURE_CONFIG]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, help_heading = "Global options")]
    pub(crate) config: Option<String>,
    /// Print only what scripts need, such as ids, or the epoch of an acquire; no notes
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Print which store, namespace and actor are used
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
}

/// How answers are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Json,
}
