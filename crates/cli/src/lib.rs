//! The `tenure` command line: it parses arguments, calls the ledger, and prints the answer as text or JSON.
//!
//! It decides nothing about tasks. Each command has a module. `output` prints answers; `error` has the failures with
//! their exit statuses, and `report` prints them. Environment, streams, clock and entropy come from [`io::Io`], so that
//! tests can replace them.

pub mod allocator;
mod arguments;
mod audit;
mod backup;
mod bench;
mod complete;
mod config;
mod context;
mod creation;
mod demo;
mod doctor;
mod error;
mod events;
mod export;
mod global;
mod handlers;
mod import;
mod input;
pub mod io;
mod logs;
mod manual;
mod migrate;
mod namespace;
mod outage;
mod output;
mod owners;
mod progress_bar;
mod prune;
mod recover;
mod report;
mod restore;
mod run;
mod serve;
mod signals;
mod stale;
mod status;
mod store;
mod supervise;
mod survivors;
mod tables;
mod task;
mod token;
mod top;
mod values;
mod work;

use std::ffi::OsString;

use clap::FromArgMatches;

use arguments::{Arguments, Verb};
use context::{Context, Environment};
use error::CliError;
use io::Io;
use output::Output;

pub use arguments::command;

/// If a shell asks for completions, answers it and ends the process; otherwise returns.
pub fn answer_shell() {
    complete::answer_shell(command);
}

/// Runs one command and returns the exit status of the process.
pub fn run(words: impl IntoIterator<Item = OsString>, io: Io<'_>) -> u8 {
    let Io { variables, screen, width, error_screen, input, output, errors, reader_is_gone, clock, entropy } =
        io;
    let mut out = Output::new(output, errors, (screen, width), error_screen);
    let matches = command().try_get_matches_from(words);
    if let Ok(matches) = &matches {
        out.is_of(verb_of(matches));
    }
    let arguments = matches.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    let arguments = match arguments.and_then(Arguments::checked) {
        Ok(arguments) => arguments,
        Err(error) => return out.show_usage(&error),
    };
    out.set(&arguments.global);
    let around = Environment { variables, input, reader_is_gone, clock, entropy };
    let ended = run_verb(arguments, around, &mut out);
    // The output is flushed before an error is printed. If both fail, the command's own error matters more.
    let flushed = out.flush();
    match ended.and(flushed) {
        Ok(()) => 0,
        Err(failure) => report::show(&failure, &mut out),
    }
}

/// The name of the command with its subcommand, such as `task create`.
fn verb_of(matches: &clap::ArgMatches) -> String {
    let subcommands = std::iter::successors(matches.subcommand(), |(_, inner)| inner.subcommand());
    subcommands.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

/// Whether the command runs a server.
fn serves(verb: &Verb) -> bool {
    matches!(verb, Verb::Serve(_)) || matches!(verb, Verb::Demo(demo) if demo.serves())
}

fn run_verb<'w>(arguments: Arguments, around: Environment<'w>, out: &mut Output<'w>) -> Result<(), CliError> {
    // A server handles many requests in parallel; every other command does one thing at a time.
    let mut runtime = if serves(&arguments.verb) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = runtime.enable_all().build();
    let runtime =
        runtime.map_err(|error| CliError::Failed(format!("can't start the async runtime: {error}")))?;
    let ended = runtime.block_on(async {
        let mut context = Context::new(arguments.global, around, out);
        match arguments.verb {
            Verb::Demo(verb) => verb.run(&mut context).await,
            Verb::Serve(verb) => verb.run(&mut context).await,
            Verb::Run(verb) => verb.run(&mut context).await,
            Verb::Worker(verb) => verb.run(&mut context).await,
            Verb::Recover(verb) => verb.run(&mut context).await,
            Verb::Task(verb) => verb.run(&mut context).await,
            Verb::Status(verb) => verb.run(&mut context).await,
            Verb::Top(verb) => verb.run(&mut context).await,
            Verb::Stale(verb) => verb.run(&mut context).await,
            Verb::Owners(verb) => verb.run(&mut context).await,
            Verb::Events(verb) => verb.run(&mut context).await,
            Verb::Audit(verb) => verb.run(&mut context).await,
            Verb::Doctor(verb) => verb.run(&mut context).await,
            Verb::Export(verb) => verb.run(&mut context).await,
            Verb::Import(verb) => verb.run(&mut context).await,
            Verb::Backup(verb) => verb.run(&mut context).await,
            Verb::Restore(verb) => verb.run(&mut context).await,
            Verb::Prune(verb) => verb.run(&mut context).await,
            Verb::Migrate(verb) => verb.run(&mut context).await,
            Verb::Namespace(verb) => verb.run(&mut context).await,
            Verb::Token(verb) => verb.run(&mut context).await,
            Verb::Bench(verb) => verb.run(&mut context).await,
            Verb::Completions(verb) => verb.run(&mut context),
            Verb::Man(verb) => verb.run(command(), &mut context),
        }
    });
    // A read of the store that is still running must not delay the exit.
    runtime.shutdown_background();
    ended
}
