//! `tenure demo`: three workers, one of which is killed, on a temporary store. With `--serve` it is a fleet of made-up agents
//! (`fleet`), to look at for as long as one likes.
//!
//! Workers, recovery and every step are commands of this binary in their own processes, as a reader could type them.
//! After each step the store and the files are checked; if something did not happen, the demo says so and exits with
//! status 1. `stage` manages the directory and the processes, `play` has the steps, `seen` answers questions about the
//! history so far, and `teller` prints.

mod fleet;
mod play;
mod seen;
mod stage;
mod teller;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::signals::Signals;

use fleet::FleetOptions;
use stage::Stage;

/// Show how a killed worker's task is undone and redone
///
/// Use it first. It runs three workers and recovery on a temporary store, kills one worker with kill -9, and prints each
/// event as it is recorded. It takes about 20 seconds. The exit status is 0 only if every step happened as described.
///
/// With --serve it shows the console and `tenure top` instead: a server, and a fleet of made-up agents that work, fail and
/// are recovered, until Ctrl-C.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure demo\n  tenure demo --serve")]
pub(crate) struct Demo {
    /// Run a server and a fleet of made-up agents, to look at in a browser, until Ctrl-C
    #[arg(long)]
    serve: bool,
    #[command(flatten)]
    fleet: FleetOptions,
}

impl Demo {
    /// Whether it runs a server.
    pub(crate) fn serves(&self) -> bool {
        self.serve
    }

    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        match self.serve {
            true => fleet::run(&self.fleet, context).await,
            false => Demo::play(context).await,
        }
    }

    async fn play(context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let mut signals = Signals::that_end()?;
        let mut stage = Stage::set(context).await?;
        let played = tokio::select! {
            biased;
            signal = signals.next() => Err(CliError::Interrupted(signal)),
            played = stage.play() => played,
        };
        let steps = stage.close().await;
        // If the output was closed, not everything was shown.
        let played = played
            .map_err(|failure| if let CliError::Output(_) = failure { CliError::Told } else { failure });
        let told = context.out.json_only(&Played { demo: Steps { passed: played.is_ok(), steps } });
        played.and(told)
    }
}

#[derive(Serialize)]
struct Played {
    demo: Steps,
}

#[derive(Serialize)]
struct Steps {
    passed: bool,
    steps: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Arc;

    use clap::Parser;
    use tenure::clock::SystemClock;
    use tenure::entropy::SystemEntropy;

    use super::*;
    use crate::arguments::Arguments;
    use crate::context::Environment;
    use crate::io::Screen;
    use crate::output::Output;

    /// Plays the demo with another program in place of `tenure`.
    fn played_with(program: &str) -> (Result<(), CliError>, Vec<String>) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut errors, (Screen::Plain, None), Screen::Plain);
        let around = Environment {
            variables: BTreeMap::new(),
            input: &mut std::io::empty(),
            reader_is_gone: &|| false,
            clock: Some(Arc::new(SystemClock::default())),
            entropy: Arc::new(SystemEntropy),
        };
        let arguments = Arguments::parse_from(["tenure", "demo"]);
        let mut context = Context::new(arguments.global, around, &mut output);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut stage = Stage::set(&mut context).await.expect("a stage");
            stage.tenure = PathBuf::from(program);
            (stage.play().await, stage.close().await)
        })
    }

    #[test]
    fn a_command_that_fails_ends_the_demonstration() {
        let (played, shown) = played_with("false");
        let words = format!("{:?}", played.expect_err("it failed"));
        assert!(words.contains("task create") && words.contains("expected 0"), "{words}");
        assert!(shown.is_empty());
    }

    #[test]
    fn what_commands_say_is_not_believed_without_a_look_into_the_record() {
        let (played, shown) = played_with("true");
        assert!(played.is_err() && shown.is_empty(), "nothing happened: {shown:?}");
    }
}
