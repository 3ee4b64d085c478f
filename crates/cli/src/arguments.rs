//! The definition of the command line: the list of commands.

use clap::{CommandFactory, Parser, Subcommand};

use crate::global::Global;
use crate::namespace::NamespaceVerb;
use crate::task::TaskVerb;
use crate::token::TokenVerb;
use crate::{
    audit, backup, bench, demo, doctor, events, export, import, manual, migrate, owners, prune, recover,
    restore, run, serve, stale, status, top, work,
};

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
        Exit status:\n  \
        0  done\n  \
        1  failed\n  \
        2  wrong usage\n  \
        3  refused\n  \
        4  not found\n  \
        5  unavailable: nothing was done\n  \
        6  unknown: repeat the command with the same --request-id"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Arguments {
    /// Checks what clap can't: only `token create` takes several namespaces.
    pub(crate) fn checked(self) -> Result<Arguments, clap::Error> {
        if self.global.namespace.len() > 1 && !matches!(self.verb, Verb::Token(TokenVerb::Create(_))) {
            let words = "the argument '--namespace <NAME>' cannot be used multiple times";
            return Err(command().error(clap::error::ErrorKind::ArgumentConflict, words));
        }
        Ok(self)
    }
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    Demo(demo::Demo),
    Serve(Box<serve::Serve>),
    Run(Box<run::Run>),
    Worker(Box<work::Work>),
    Recover(recover::Recover),
    /// Create, list, lease and end tasks
    #[command(subcommand, arg_required_else_help = true)]
    Task(Box<TaskVerb>),
    Status(status::Status),
    Top(top::Top),
    Stale(stale::Stale),
    Owners(owners::Owners),
    Events(events::Events),
    /// Verify the history, and write anchors to verify it against
    #[command(subcommand, arg_required_else_help = true)]
    Audit(audit::AuditVerb),
    Doctor(doctor::Doctor),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Export(export::Export),
    Import(import::Import),
    Prune(prune::Prune),
    Migrate(migrate::Migrate),
    /// List the namespaces of a store
    #[command(subcommand, arg_required_else_help = true)]
    Namespace(NamespaceVerb),
    /// Create, list and revoke the tokens that servers require
    #[command(subcommand, arg_required_else_help = true)]
    Token(TokenVerb),
    Bench(bench::Bench),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// The command line as clap knows it: for parsing, completion and manual pages.
pub fn command() -> clap::Command {
    with_defaults_on_own_lines(Arguments::command())
}

/// In `--help`, puts `[default: …]` and `[env: …]` at the end of a help text on lines of their own, as clap does with its own
/// defaults. Clap's `env` can't be used: it reads this process's environment, and a command's environment comes from `Io`.
fn with_defaults_on_own_lines(command: clap::Command) -> clap::Command {
    let on_own_lines = |argument: clap::Arg| {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let begin = [" [default: ", " [env: "].iter().filter_map(|mark| help.find(mark)).min();
        let Some((text, values)) = begin.and_then(|at| help.split_at_checked(at)) else { return argument };
        argument.long_help(format!("{text}\n\n{}", values.trim_start().replace("] [", "]\n[")))
    };
    command.mut_args(on_own_lines).mut_subcommands(with_defaults_on_own_lines)
}
