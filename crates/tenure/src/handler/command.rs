//! A handler that runs a command. The command gets the target as an argument, and the whole undo as JSON on its
//! standard input. Its output is the receipt. No shell is involved.
//!
//! The command does not outlive the lease, nor the recovery that started it: a warden process ensures that (see
//! [`tenure_process`]). Status 0 is success; after any other status, recovery tries again.

use std::path::PathBuf;
use std::time::Duration;

use tenure_process::{CommandEnd, Input, Launch, Output, Tail};
use tenure_store::BoxFuture;
use tokio::net::unix::pipe;

use super::template::Template;
use super::{Handler, LeaseWatch, UndoCall, UndoError, Undone, truncate_for_record};
use crate::keeper::LeaseStatus;

/// How many bytes of each of a command's two outputs are kept.
const OUTPUT_BYTES_MAX: usize = 1_500;
/// How long the remaining processes of a command may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Undoes by running a command.
#[derive(Clone, Debug)]
pub struct CommandHandler {
    template: Template,
    folder: Option<PathBuf>,
}

impl CommandHandler {
    /// A handler that runs this command for the targets and labels that it accepts.
    pub fn new(template: Template) -> CommandHandler {
        CommandHandler { template, folder: None }
    }

    /// Sets the working directory; the default is the program's own.
    pub fn folder(self, folder: impl Into<PathBuf>) -> CommandHandler {
        CommandHandler { folder: Some(folder.into()), ..self }
    }

    fn launch(&self, call: &UndoCall, lease: &LeaseWatch) -> Result<Launch, UndoError> {
        // The configuration or a label may have changed since this was checked.
        self.template.accepts(call).map_err(UndoError::Permanent)?;
        let words = self.template.words(call);
        let Some((program, arguments)) = words.split_first() else {
            return Err(UndoError::Permanent("the command has no words".into()));
        };
        let asked = serde_json::to_string(call).map_err(|error| UndoError::Permanent(error.to_string()))?;
        let mut launch = Launch::new(program)
            .args(arguments)
            .input(Input::Bytes(format!("{asked}\n").into_bytes()))
            .output(Output::Piped)
            .errors(Output::Piped)
            // A recovery that has ended may not undo any more, so there is no grace period.
            .orphan_grace(Duration::ZERO);
        // It must not act under a lease of the process that started this recovery.
        for name in ["TENURE_TASK", "TENURE_OWNER", "TENURE_EPOCH"] {
            launch = launch.without(name);
        }
        launch = launch.env("TENURE_NAMESPACE", &call.namespace);
        if let Some(folder) = &self.folder {
            launch = launch.folder(folder);
        }
        match &*lease.borrow() {
            LeaseStatus::Held(held) => Ok(launch.may_run_until(held.limit())),
            LeaseStatus::Lost(_) | LeaseStatus::Ended => {
                Err(UndoError::Retryable("the lease is over".into()))
            }
        }
    }
}

impl Handler for CommandHandler {
    fn accepts(&self, call: &UndoCall) -> Result<(), String> {
        self.template.accepts(call)
    }

    fn undo(&self, call: UndoCall, lease: LeaseWatch) -> BoxFuture<'static, Undone> {
        let launch = self.launch(&call, &lease);
        Box::pin(async move { run(launch?, lease).await })
    }
}

async fn run(launch: Launch, mut lease: LeaseWatch) -> Undone {
    let mut running = launch.start().await.map_err(|error| UndoError::Retryable(error.to_string()))?;
    let (mut output, mut errors) = (Tail::of(OUTPUT_BYTES_MAX), Tail::of(OUTPUT_BYTES_MAX));
    let (printed, complained) = (running.take_output(), running.take_errors());
    let end = {
        let reading = async {
            tokio::join!(read(&mut output, printed), read(&mut errors, complained));
        };
        let mut reading = std::pin::pin!(reading);
        let mut is_read = false;
        let end = loop {
            tokio::select! {
                biased;
                // The limit moves with each renewal. If the undo must stop, all its processes must have ended
                // before this returns.
                Ok(()) = lease.changed() => match &*lease.borrow_and_update() {
                    LeaseStatus::Held(held) => running.may_run_until(held.limit()),
                    LeaseStatus::Lost(_) | LeaseStatus::Ended => running.kill(),
                },
                end = running.ended() => break end,
                () = &mut reading, if !is_read => is_read = true,
            }
        };
        running.finish(GRACE).await;
        if !is_read {
            // No process is left that could write, so the output has ended.
            let _ = tokio::time::timeout(GRACE, reading).await;
        }
        end
    };
    let said = said(&output, &errors);
    match end {
        CommandEnd::Exited(0) => Ok(truncate_for_record(&format!("exited with 0{said}"))),
        CommandEnd::Exited(status) => {
            Err(UndoError::Retryable(truncate_for_record(&format!("exited with {status}{said}"))))
        }
        CommandEnd::Signalled(signal) => {
            Err(UndoError::Retryable(truncate_for_record(&format!("was ended by signal {signal}{said}"))))
        }
        CommandEnd::Lost(why) => {
            Err(UndoError::Retryable(truncate_for_record(&format!("nobody knows how it ended: {why}{said}"))))
        }
    }
}

async fn read(tail: &mut Tail, from: Option<pipe::Receiver>) {
    if let Some(from) = from {
        tail.read(from).await;
    }
}

fn said(output: &Tail, errors: &Tail) -> String {
    let mut said = String::new();
    for (name, tail) in [("output", output), ("errors", errors)] {
        let text = tail.text();
        if !text.is_empty() {
            said.push_str(&format!("\n{name}: {text}"));
        }
    }
    said
}
