//! Runs a command under a lease: it runs only while the lease is held, and how it ended is recorded.

mod copying;
mod ends;
mod finished;
mod notes;
mod output;
mod progress;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use clap::Args;
use tenure::clock::Moment;
use tenure::core::event::EventData;
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::State;
use tenure::core::task::Task;
use tenure::core::time::Span;
use tenure::keeper::{Held, Keeping, KeptLease, LeaseStatus, Loss};
use tenure::process::{Cause, Emptied, Launch, Limit, Remains, Running};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::error::CliError;
use crate::values::span;

pub(crate) use copying::Copying;
use copying::hand_on;
pub(crate) use ends::{Ends, status_of, status_of_start};
pub(crate) use finished::{Finished, StopReason};
pub(crate) use notes::{Notes, TaskNote};
use output::Destination;
pub(crate) use output::JobOutput;
pub(crate) use progress::ProgressOptions;

/// How long to look for who ended a task.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// The options that `tenure run` and `tenure worker` share.
#[derive(Args, Clone)]
pub(crate) struct SupervisionOptions {
    /// Owner of the leases [default: host name and process id, such as build1/4711]
    #[arg(long, value_name = "OWNER")]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) grace: GraceOptions,
    #[command(flatten)]
    pub(crate) progress: ProgressOptions,
}

/// How a command is stopped.
#[derive(Args, Clone)]
pub(crate) struct GraceOptions {
    /// How long the command's processes may take to end after SIGTERM before they are killed; at most until the lease lapses
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: String,
    /// How long to retry recording the end of the command while the store can't be reached
    #[arg(long, value_name = "DURATION", default_value = "5m", help_heading = "Advanced")]
    record_timeout: String,
}

impl GraceOptions {
    pub(crate) fn grace(&self) -> Result<Duration, CliError> {
        Ok(span("grace", Some(&self.grace))?.map(Duration::from).unwrap_or_default())
    }

    /// How the lease is renewed: it is given up early enough for the command to stop in time.
    pub(crate) fn keeping(&self) -> Result<Keeping, CliError> {
        let record_timeout = span("record_timeout", Some(&self.record_timeout))?.map(Duration::from);
        let grace = self.grace()?;
        Ok(Keeping::default().with(|keeping| {
            // Even without a grace, killing takes a moment.
            keeping.margin = Some(grace.max(Duration::from_millis(250)));
            keeping.record_timeout = record_timeout.unwrap_or_default();
        }))
    }
}

/// What the command is asked to do while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Sign {
    /// Nothing yet.
    #[default]
    None,
    /// Pass on this signal. The count makes each one a change.
    Signal(u8, u64),
    /// Stop, because the worker stops.
    Stop,
}

/// A command to run and supervise.
pub(crate) struct Supervised<'l> {
    pub(crate) lease: &'l KeptLease,
    pub(crate) grace: Duration,
    pub(crate) progress: Option<pipe::Receiver>,
    pub(crate) notes: Notes,
    pub(crate) output: JobOutput,
    pub(crate) signs: watch::Receiver<Sign>,
}

impl Supervised<'_> {
    /// Starts the command, supervises it, and returns when all its processes have ended.
    pub(crate) async fn run(mut self, launch: Launch) -> Finished {
        let mut status = self.lease.status();
        let held = match &*status.borrow_and_update() {
            LeaseStatus::Held(held) => held.clone(),
            LeaseStatus::Lost(_) | LeaseStatus::Ended => return self.never(),
        };
        let started = launch.may_run_until(held.limit()).orphan_grace(self.grace).start().await;
        let mut running = match started {
            Ok(running) => running,
            Err(error) => {
                return Finished {
                    why: StopReason::NotStarted(error),
                    end: None,
                    tail: String::new(),
                    copies: Vec::new(),
                };
            }
        };
        let mut output = self.hand_on(running.take_output(), "out", &io::stdout());
        let mut errors = self.hand_on(running.take_errors(), "err", &io::stderr());
        let reporting = progress::report(self.lease, self.progress.take(), self.notes.clone());
        let mut watching = Watching { why: StopReason::ItsOwn, kill_at: held.limit().kill, told: None };
        let (end, emptied) = {
            let supervising = async {
                let end = loop {
                    tokio::select! {
                        biased;
                        Ok(()) = status.changed() => {
                            let now = status.borrow_and_update().clone();
                            watching.stands(&self, &running, now).await;
                        }
                        Ok(()) = self.signs.changed() => {
                            let sign = *self.signs.borrow_and_update();
                            watching.heed(&self, &running, sign);
                        }
                        end = running.ended() => break end,
                    }
                };
                if running.cause().is_none() {
                    // The processes that it left are ended now, which may take a while: the command itself ended in time.
                    self.lease.work_is_over();
                }
                (end, running.finish(self.grace).await)
            };
            tokio::select! {
                ended = supervising => ended,
                never = reporting => match never {},
            }
        };
        // The warden and the keeper have the same deadline: either may act first.
        if matches!(watching.why, StopReason::ItsOwn) && running.cause() == Some(Cause::Limit) {
            self.note("the lease could not be renewed in time; the command was stopped");
            watching.why = StopReason::Lost;
        }
        // The command had ended by itself before it was stopped, so its result counts.
        if matches!(watching.why, StopReason::Cancelled | StopReason::ToldToStop) && running.cause().is_none()
        {
            watching.why = StopReason::ItsOwn;
        }
        if matches!(watching.why, StopReason::ItsOwn) {
            self.tell_of(emptied);
        }
        output.settle().await;
        let tail = errors.settle().await;
        Finished { why: watching.why, end: Some(end), tail, copies: vec![output, errors] }
    }

    fn never(&self) -> Finished {
        Finished { why: StopReason::Lost, end: None, tail: String::new(), copies: Vec::new() }
    }

    fn note(&self, words: impl Into<String>) {
        self.notes.tell(words);
    }

    /// Passes on one of the command's output streams.
    fn hand_on(&self, from: Option<pipe::Receiver>, stream: &str, to: &impl AsFd) -> Copying {
        match self.output.destination(self.lease, stream, to) {
            Ok(destination) => hand_on(from, destination),
            Err(error) => {
                self.note(format!("the command's output can't be written: {error}"));
                hand_on(from, Destination { file: None, prefix: Vec::new() })
            }
        }
    }

    fn tell_of(&self, emptied: Emptied) {
        if emptied.remains == Remains::Unknown {
            self.note("processes of the command may still be running: its warden is gone");
        }
        if emptied.left_behind > 0 {
            let processes = if emptied.left_behind == 1 { "process" } else { "processes" };
            self.note(format!("ended {} {processes} that the command left behind", emptied.left_behind));
        }
    }
}

/// The state of the task, if the lease ended because the command ended the task itself, with the lease in its
/// environment.
pub(crate) async fn ended_by_its_command(lease: &KeptLease) -> Option<State> {
    tokio::time::timeout(ASKED_FOR, own_end(lease)).await.ok().flatten()
}

async fn own_end(lease: &KeptLease) -> Option<State> {
    const PAGE: usize = 500;
    let (ledger, id, holder) = (lease.ledger(), lease.id().as_str(), lease.holder());
    let task = ledger.task(id).await.ok()?;
    if task.epoch != holder.epoch || task.lease().is_some_and(|lease| lease.epoch == holder.epoch) {
        return None;
    }
    let (mut after, mut last) = (None, None);
    loop {
        let page = ledger.history(id, after, PAGE).await.ok()?;
        let is_whole = page.items.len() < PAGE && !page.is_cut;
        // Notes and the like can follow the event that ended the lease.
        let is_after =
            |what: &EventData| matches!(what, EventData::Annotated { .. } | EventData::Retried { .. });
        let ends = page.items.into_iter().filter(|recorded| !is_after(&recorded.event.what));
        last = ends.last().map(|recorded| recorded.event.actor).or(last);
        if is_whole {
            // Commands by the lease have the actor that it was granted to: the owner, or a token.
            let own = &lease.task().lease()?.granted_to;
            return (last? == *own).then_some(task.state());
        }
        after = page.next;
    }
}

/// What a command needs to find its task.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) namespace: String,
    /// The token for a server, if it was given as an option.
    pub(crate) token: Option<String>,
}

/// Sets the environment of the command, so that `tenure task undo add` and the like act by its lease.
pub(crate) fn environment(launch: Launch, at: &Place, lease: &KeptLease) -> Launch {
    let holder = lease.holder();
    let Place { store, namespace, token } = at;
    let launch = match token {
        // An option of this process is not in the environment.
        Some(token) => launch.env("TENURE_TOKEN", token),
        None => launch,
    };
    launch
        .env("TENURE_STORE", store)
        .env("TENURE_NAMESPACE", namespace)
        .env("TENURE_TASK", lease.id().as_str())
        .env("TENURE_OWNER", holder.owner.as_str())
        .env("TENURE_EPOCH", holder.epoch.to_string())
}

/// The trace parent of the work: the one of this process, else one made from the task.
pub(crate) fn trace_parent(said: Option<String>, task: &Task) -> String {
    said.unwrap_or_else(|| tenure::trace::parent_in(&task.namespace, &task.id))
}

/// The state of a running command.
struct Watching {
    why: StopReason,
    /// When the lease ends, as it was last renewed.
    kill_at: Moment,
    /// The problem that was printed last: each is printed once.
    told: Option<String>,
}

impl Watching {
    /// Handles a change of the lease.
    async fn stands(&mut self, command: &Supervised<'_>, running: &Running, status: LeaseStatus) {
        match status {
            LeaseStatus::Held(held) => self.still_held(command, running, &held),
            LeaseStatus::Ended => {}
            LeaseStatus::Lost(loss) => self.lost(command, running, loss).await,
        }
    }

    async fn lost(&mut self, command: &Supervised<'_>, running: &Running, loss: Loss) {
        let may_be_its_own = |refusal: &Refusal| {
            // Another holder or a lapsed lease was not caused by the command.
            !matches!(refusal.code, Code::StaleEpoch | Code::WrongOwner | Code::LeaseLapsed)
        };
        if let Loss::Refused(refusal) = &loss
            && may_be_its_own(refusal)
            && let Some(state) = ended_by_its_command(command.lease).await
        {
            self.why = StopReason::EndedItsTask;
            if state.terminal().is_some() {
                // The task has ended, so whatever the command still does is its own affair.
                command.note("the command ended its task itself");
                let far = Moment::now() + Span::from_days(36_500);
                running.may_run_until(Limit { ask: far, kill: far });
            } else {
                // Others may begin the task, or undo it.
                command.note("the command gave up its lease itself; stopping it");
                running.stop(command.grace.min(Duration::from(self.kill_at.since(Moment::now()))));
            }
            return;
        }
        command.note(format!("{loss}; stopping the command"));
        // Within the time that the lease still had, minus the moment that a kill takes.
        let left = Duration::from(self.kill_at.since(Moment::now()));
        if left.is_zero() {
            running.kill();
        } else {
            running.stop(command.grace.min(left));
        }
        self.why = StopReason::Lost;
    }

    fn still_held(&mut self, command: &Supervised<'_>, running: &Running, held: &Held) {
        running.may_run_until(held.limit());
        self.kill_at = held.limit().kill;
        let error = held.renewal_error.as_ref().map(ToString::to_string);
        if let Some(error) = error.filter(|error| self.told.as_ref() != Some(error)) {
            command.note(error.clone());
            self.told = Some(error);
        }
        if held.cancel_asked && matches!(self.why, StopReason::ItsOwn) {
            command.note("somebody asked the task to stop; stopping the command");
            self.why = StopReason::Cancelled;
            running.stop(command.grace);
        }
    }

    fn heed(&mut self, command: &Supervised<'_>, running: &Running, sign: Sign) {
        match sign {
            Sign::None => {}
            Sign::Signal(number, _) => running.signal(i32::from(number)),
            Sign::Stop => {
                if matches!(self.why, StopReason::ItsOwn) {
                    self.why = StopReason::ToldToStop;
                }
                running.stop(command.grace);
            }
        }
    }
}
