//! `tenure worker`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::core::id::Document;
use tenure::keeper::KeptLease;
use tenure::process::{Input, Launch, Output};
use tenure::stop::StopSignal;
use tenure::worker::{Stop, WorkError, Worker, WorkerReport};
use tenure_view::words::count;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;

use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::signals::Signals;
use crate::supervise::{
    self, Copying, Ends, JobOutput, Notes, ProgressOptions, Sign, StopReason, Supervised, SupervisionOptions,
    TaskNote,
};
use crate::values::{Length, span};

/// Claim tasks from a queue, and run a command for each
///
/// Use it to work through a queue with a program in any language. Each command runs under its own lease, as with
/// `tenure run`, and reads the task's payload from standard input. On SIGTERM or Ctrl-C the worker claims no more tasks,
/// lets running commands continue for up to --drain, then stops them and releases their tasks. A second signal stops them
/// at once.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure worker --queue agents -c 4 -- ./build.sh")]
pub(crate) struct Work {
    /// Queue to claim from; `tenure run` puts its tasks in the queue run
    #[arg(long, required = true, add = ArgValueCompleter::new(complete::queues))]
    queue: String,
    /// Maximum number of commands to run at the same time
    #[arg(short = 'c', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    #[command(flatten)]
    length: Length,
    /// How long running commands may continue after the worker is told to stop
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    drain: String,
    /// Exit when no task in the queue is due
    #[arg(long)]
    until_idle: bool,
    /// Where the commands' output goes: raw passes it on unchanged, prefix puts the task before each line, files=DIR writes
    /// standard output and standard error of each command to two files in DIR
    #[arg(long, value_name = "raw|prefix|files=DIR", default_value = "raw", value_parser = JobOutput::parse)]
    output: JobOutput,
    #[command(flatten)]
    supervision: SupervisionOptions,
    /// Command to run, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What is needed to run the command of each task.
#[derive(Clone)]
struct Each {
    program: OsString,
    arguments: Vec<OsString>,
    place: supervise::Place,
    trace_parent: Option<String>,
    ends: Ends,
    grace: Duration,
    drain: Duration,
    progress: ProgressOptions,
    output: JobOutput,
    notes: UnboundedSender<TaskNote>,
    at_once: StopSignal,
    /// Output of ended commands that is still being passed on.
    copies: Arc<Mutex<Vec<Copying>>>,
}

impl Work {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let (notes, mut noted) = mpsc::unbounded_channel();
        let (stop, at_once) = (StopSignal::new(), StopSignal::new());
        let mut command = self.command.into_iter();
        let program =
            command.next().ok_or_else(|| CliError::Usage("no command given: pass it after --".into()))?;
        let store = context.store_for_others()?;
        let copies = Arc::new(Mutex::new(Vec::new()));
        let mut signals = Signals::that_end()?;
        can_be_started(&program, context.variable("PATH").as_deref()).map_err(CliError::Usage)?;
        let ledger = context.ledger_with_work().await?;
        let each = Each {
            program,
            arguments: command.collect(),
            place: context.place(&store, &ledger),
            trace_parent: context.variable("TRACEPARENT"),
            ends: self.supervision.ends,
            grace: self.supervision.grace.grace()?,
            drain: span("drain", Some(&self.drain))?.map(Duration::from).unwrap_or_default(),
            progress: self.supervision.progress,
            output: self.output,
            notes,
            at_once: at_once.clone(),
            copies: Arc::clone(&copies),
        };
        let mut worker = Worker::new(ledger, &self.queue)
            .at_once(usize::from(self.concurrency))
            .keeping(self.supervision.grace.keeping()?)
            .attended(move |lease, stop| {
                let each = each.clone();
                async move { each.work(&lease, stop).await }
            });
        let (away, mut is_away) = mpsc::unbounded_channel();
        // Sending fails only after the worker has ended.
        worker = worker.on_claim_error(move |error| drop(away.send(error.to_string())));
        if let Some(owner) = &self.supervision.owner {
            worker = worker.owner(owner)?;
        }
        if let Some(ttl) = self.length.span()? {
            worker = worker.ttl(Duration::from(ttl));
        }
        let stops =
            if self.until_idle { Stop::WhenIdleOrTold(stop.clone()) } else { Stop::WhenTold(stop.clone()) };
        let mut working = std::pin::pin!(worker.run(stops));
        let report = loop {
            tokio::select! {
                biased;
                Some(note) = noted.recv() => context.note_of_task(&note),
                Some(words) = is_away.recv() => {
                    context.out.note(&format!("can't claim, retrying: {words}"));
                }
                _ = signals.next() => {
                    if stop.is_stopped() {
                        at_once.stop();
                    } else {
                        context.out.note("stopping: no more claims, waiting for running commands; a second signal stops them at once");
                    }
                    stop.stop();
                }
                report = &mut working => break report?,
            }
        };
        while let Ok(note) = noted.try_recv() {
            context.note_of_task(&note);
        }
        context.out.note(&summary(&report));
        finish(&copies, &mut signals).await;
        Ok(())
    }
}

/// Waits until all output is passed on, or a second signal.
async fn finish(copies: &Mutex<Vec<Copying>>, signals: &mut Signals) {
    let copies = copies.lock().map(|mut copies| std::mem::take(&mut *copies)).unwrap_or_default();
    for copy in copies {
        tokio::select! {
            () = copy.finish() => {}
            _ = signals.next() => break,
        }
    }
}

impl Each {
    async fn work(&self, lease: &Arc<KeptLease>, stop: StopSignal) -> Result<Option<Document>, WorkError> {
        let (sign, signs) = watch::channel(Sign::None);
        let (launch, progress) = match self.launch(lease) {
            Ok(ready) => ready,
            Err(error) => {
                return Err(WorkError::RollBack(format!("the command could not be started: {error}")));
            }
        };
        let notes = Notes::to(self.notes.clone(), lease);
        let supervised = Supervised {
            lease,
            grace: self.grace,
            progress,
            notes: notes.clone(),
            output: self.output.clone(),
            signs,
        };
        let mut running = std::pin::pin!(supervised.run(launch));
        let finished = tokio::select! {
            finished = &mut running => finished,
            () = self.must_stop(&stop) => {
                sign.send_replace(Sign::Stop);
                running.await
            }
        };
        let ending = self.ends.of(&finished);
        let has_ended_itself = matches!(finished.why, StopReason::EndedItsTask)
            || supervise::ended_by_its_command(lease).await.is_some();
        if let Ok(mut copies) = self.copies.lock() {
            copies.extend(finished.copies);
            copies.retain_mut(Copying::goes_on);
        }
        match ending {
            _ if has_ended_itself => Err(WorkError::Ended),
            Some(ending) => {
                notes.tell(format!("{}: {}", ending.word.as_str(), ending.reason));
                ending.returned()
            }
            // The lease is lost, so nothing is recorded; the worker sees that, too.
            None => Err(WorkError::RollBack("the lease was lost".into())),
        }
    }

    /// Resolves when the command must end because the worker stops.
    async fn must_stop(&self, stop: &StopSignal) {
        stop.stopped().await;
        tokio::select! {
            () = tokio::time::sleep(self.drain) => {}
            () = self.at_once.stopped() => {}
        }
    }

    fn launch(&self, lease: &KeptLease) -> std::io::Result<(Launch, Option<pipe::Receiver>)> {
        let payload = lease.task().payload.as_str();
        let launch = Launch::new(&self.program)
            .args(&self.arguments)
            .input(Input::Bytes(format!("{payload}\n").into_bytes()))
            .output(Output::Piped)
            .errors(Output::Piped)
            .env("TRACEPARENT", supervise::trace_parent(self.trace_parent.clone(), lease.task()));
        self.progress.open(supervise::environment(launch, &self.place, lease))
    }
}

/// Checks that the program exists: a mistyped one would end every task in the queue.
fn can_be_started(program: &OsStr, path: Option<&str>) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |file: &Path| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let named = Path::new(program);
    let is_there = match (named.components().count() > 1 || program.as_encoded_bytes().contains(&b'/'), path)
    {
        (true, _) => is_program(named),
        (false, Some(path)) => std::env::split_paths(path).any(|folder| is_program(&folder.join(named))),
        // Without PATH the system decides where to look.
        (false, None) => true,
    };
    let words = || format!("program not found: {}; pass a path, or a name that is in PATH", named.display());
    if is_there { Ok(()) } else { Err(words()) }
}

fn summary(report: &WorkerReport) -> String {
    let counts = [
        ("completed", report.completed),
        ("rolled back", report.rolled_back),
        ("released", report.released),
        ("failed", report.failed),
        ("quarantined", report.quarantined),
        ("lost", report.lost),
        ("not recorded", report.unrecorded),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    match counts.is_empty() {
        true => "claimed no tasks".to_owned(),
        false => format!("claimed {}: {}", count(report.claimed, "task"), counts.join(", ")),
    }
}
