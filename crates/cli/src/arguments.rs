//! The words of the command line: what is common to all commands, and which commands there are.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::namespace::NamespaceVerb;
use crate::task::TaskVerb;
use crate::token::TokenVerb;
use crate::{audit, demo, events, manual, owners, recover, run, serve, stale, status, work};

/// The durable record of who is working on what, until when, and how to undo it.
#[derive(Parser)]
#[command(
    name = "tenure",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = false,
    max_term_width = 110,
    after_help = "First steps:\n  \
        tenure demo\n  \
        tenure task create --id build-42 --undo remove-worktree=/tmp/wt-42\n  \
        tenure task acquire build-42 --owner w1 --ttl 60s\n  \
        tenure task complete build-42 --owner w1 --epoch 1\n\n\
        Status: 0 done; 1 failed; 2 wrong usage; 3 refused; 4 not found; 5 unavailable, surely not done;\n        \
        6 unknown, repeat it with the same --request-id."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every command takes.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// Where the record is kept: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`, `http://HOST:PORT` for a server or several,
    /// `http://a:7117,b:7117`, or `memory:` for nothing that lasts [else: TENURE_STORE, or tenure.db in the user's data directory]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub(crate) store: Option<String>,
    /// How long to retry a database or servers that are away [default: 30s for writes to PostgreSQL, 2s for servers; or `patience=` in the URL]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        hide_short_help = true,
        help_heading = "Global options"
    )]
    pub(crate) store_patience: Option<String>,
    /// The room in which ids are unique [else: TENURE_NAMESPACE, or `default`]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub(crate) namespace: Vec<String>,
    /// Tables for people, or JSON: one document, or one a line for lists and streams
    #[arg(
        // `tenure worker` has an option `--output`, and names must be unique.
        id = "format",
        short = 'o',
        long = "format",
        global = true,
        value_name = "FORM",
        default_value = "table",
        help_heading = "Global options"
    )]
    pub(crate) output: OutputFormat,
    /// Names the command, so that a repeat within 7 days is answered as the first was and not done again
    #[arg(long, global = true, value_name = "ID", help_heading = "Global options")]
    pub(crate) request_id: Option<String>,
    /// A token, for a store behind a server; a file asks for none [else: TENURE_TOKEN, or the file that TENURE_TOKEN_FILE names]
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        hide_short_help = true,
        help_heading = "Global options"
    )]
    pub(crate) token: Option<String>,
    /// A file with settings in TOML: `store`, `namespace`, `[undo.KIND]` [else: TENURE_CONFIG]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, help_heading = "Global options")]
    pub(crate) config: Option<String>,
    /// Only what a script needs: ids of lists and new tasks, the epoch of an acquire; no notes
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Also say which store and namespace are used, and as whom
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
}

impl Arguments {
    /// What clap can't know of an option of all commands: only a token may be bound to several namespaces.
    pub(crate) fn checked(self) -> Result<Arguments, clap::Error> {
        if self.global.namespace.len() > 1 && !matches!(self.verb, Verb::Token(TokenVerb::Create(_))) {
            let words = "the argument '--namespace <NAME>' cannot be used multiple times";
            return Err(command().error(clap::error::ErrorKind::ArgumentConflict, words));
        }
        Ok(self)
    }
}

/// How answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    Demo(demo::Demo),
    Serve(Box<serve::Serve>),
    Run(Box<run::Run>),
    Worker(Box<work::Work>),
    Recover(recover::Recover),
    /// Create tasks, hold them, and end them
    #[command(subcommand, arg_required_else_help = true)]
    Task(Box<TaskVerb>),
    Status(status::Status),
    Stale(stale::Stale),
    Owners(owners::Owners),
    Events(events::Events),
    /// Verify the history, and remember what it is
    #[command(subcommand, arg_required_else_help = true)]
    Audit(audit::AuditVerb),
    /// The namespaces of a store, in which ids are unique
    #[command(subcommand, arg_required_else_help = true)]
    Namespace(NamespaceVerb),
    /// Make and revoke tokens, which servers ask for
    #[command(subcommand, arg_required_else_help = true)]
    Token(TokenVerb),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// The command as clap knows it: for parsing, completion and manual pages.
pub fn command() -> clap::Command {
    Arguments::command()
}
