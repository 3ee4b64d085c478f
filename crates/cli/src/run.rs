//! `tenure run`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tenure::clock::Moment;
use tenure::core::id::Owner;
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::{State, Task};
use tenure::core::time::Span;
use tenure::keeper::{Keeping, KeptLease};
use tenure::process::{Launch, Output, TerminalAccess};
use tenure::{Error, Ledger};
use tokio::sync::watch;

use crate::context::Context;
use crate::creation::CreationOptions;
use crate::error::CliError;
use crate::signals::Signals;
use crate::supervise::{self, Finished, JobOutput, Notes, Sign, StopReason, Supervised, SupervisionOptions};
use crate::values::{ByOperator, span};

/// The queue of tasks that `tenure run` creates, so that workers don't claim them with another command.
const QUEUE: &str = "run";
/// How often a task that can't be acquired yet is tried again, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Run any command under a lease
///
/// Use it to make a command crash-safe without changing it. It creates the task if it does not exist, acquires the lease,
/// renews it while the command runs, and records how the command ended. If the lease is lost, it stops the command and
/// every process that the command started.
///
/// The exit status is the command's, or: 75 if the lease could not be acquired; 79 if the lease was lost and the command
/// stopped; 126 if the command could not be run; 127 if it was not found; 6 if it ended but that could not be recorded;
/// 5 if the store was unavailable and the command was not run.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure run --task build-42 --undo remove-worktree=/tmp/wt-42 -- ./build.sh /tmp/wt-42"
)]
pub(crate) struct Run {
    /// Task id; the task is created if it does not exist [default: a new id, which is printed]
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// How long to wait for a task that is held or not due [default: no wait]
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
    /// What to do if the task is already completed: exit with status 75 (refuse) or 0 (ok); the command is not run
    #[arg(long, value_name = "ACTION", default_value = "refuse")]
    if_completed: IfCompleted,
    #[command(flatten)]
    supervision: SupervisionOptions,
    /// Save the end of the command's standard error in the task; the command then writes it to a pipe
    #[arg(long)]
    keep_errors: bool,
    /// Command to run, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
    #[command(flatten)]
    creation: CreationOptions,
}

/// What to do with a task that is already completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum IfCompleted {
    /// Exit with status 75
    Refuse,
    /// Exit with status 0
    Ok,
}

impl Run {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let url = context.store_for_others()?;
        let read = self.creation.read(context)?;
        let owner =
            Owner::new(self.supervision.owner.clone().unwrap_or_else(tenure::owner::of_this_process))?;
        let wait = span("wait", self.wait.as_deref())?.unwrap_or(Span::ZERO);
        let keeping = self.supervision.grace.keeping()?;
        // From here on signals are handled, so that whatever begins also ends.
        let mut signals = Signals::that_are_passed_on()?;
        let ledger = context.ledger().await?;
        let failed = |error: std::io::Error| CliError::Failed(format!("--progress-fd: {error}"));
        let reasons = read.undo_reasons.clone();
        let created = self.find_or_create(context, &ledger, read).await?;
        context.out.is_about(&created);
        let (launch, progress) = self.supervision.progress.open(self.launch()?).map_err(failed)?;
        let place = context.place(&url, &ledger);
        let taken = self.take(&ledger, (&created, &owner), wait, keeping, &mut signals).await;
        let lease = match taken {
            Ok(lease) => lease,
            Err(CliError::NotAcquired(refusal)) if is_completed(&refusal) => {
                if self.if_completed == IfCompleted::Ok {
                    context.out.note(&format!("{created} is already completed; the command was not run"));
                    return Ok(());
                }
                let words = format!(
                    "{created} is already completed, so the command was not run; with --if-completed ok the exit status is 0"
                );
                return Err(CliError::NotAcquired(Refusal { message: words.into(), ..refusal }));
            }
            Err(failure) => return Err(failure),
        };
        self.register_what_is_missing(&lease, &reasons).await?;
        let launch = supervise::environment(launch, &place, &lease);
        let launch =
            launch.env("TRACEPARENT", supervise::trace_parent(context.variable("TRACEPARENT"), lease.task()));
        let (notes, mut noted) = Notes::of(&lease);
        let (sign, signs) = watch::channel(Sign::None);
        let supervised = Supervised {
            lease: &lease,
            grace: self.supervision.grace.grace()?,
            progress,
            notes,
            output: JobOutput::Raw,
            signs,
        };
        let finished = {
            let mut running = std::pin::pin!(supervised.run(launch));
            let mut count = 0;
            loop {
                tokio::select! {
                    biased;
                    Some(note) = noted.recv() => context.note_of_task(&note),
                    signal = signals.next() => {
                        count += 1;
                        sign.send_replace(Sign::Signal(signal, count));
                    }
                    finished = &mut running => break finished,
                }
            }
        };
        while let Ok(note) = noted.try_recv() {
            context.note_of_task(&note);
        }
        self.record(context, (&lease, &url), finished, &mut signals).await
    }

    /// Returns the id of the task, which is created if it does not exist.
    async fn find_or_create(
        &self,
        context: &mut Context<'_, '_>,
        ledger: &Ledger,
        read: crate::creation::Read,
    ) -> Result<String, CliError> {
        if let Some(id) = &self.task {
            match ledger.task(id).await {
                Ok(_) => return Ok(id.clone()),
                Err(Error::Refused(refusal)) if refusal.code == Code::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        let call = self.creation.call(ledger, self.task.as_deref(), QUEUE, read).await?;
        match (context.by_operator(call, &ByOperator::default()).await, &self.task) {
            (Ok(task), Some(_)) => Ok(task.id.to_string()),
            (Ok(task), None) => {
                context.out.note(&format!("task {}", task.id));
                Ok(task.id.to_string())
            }
            // Somebody else created it in the meantime; acquiring the lease decides.
            (Err(Error::Refused(refusal)), Some(id)) if refusal.code == Code::Exists => {
                match ledger.task(id).await {
                    Ok(_) => Ok(id.clone()),
                    // The saga id is taken, not the id.
                    Err(_) => Err(refusal.into()),
                }
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Acquires the lease, and waits for it if --wait is given. A signal interrupts the wait only: a grant that is on its
    /// way is waited for, since nobody else would renew it.
    async fn take(
        &self,
        ledger: &Ledger,
        (id, owner): (&str, &Owner),
        wait: Span,
        keeping: Keeping,
        signals: &mut Signals,
    ) -> Result<KeptLease, CliError> {
        let until = Moment::now() + wait;
        loop {
            // The cursor is taken before the acquire, so that no event in between is missed.
            let mut changes = ledger.follow_task(id, Some(ledger.newest().await?))?;
            let refusal = match self.take_now(ledger, id, owner.as_str(), keeping).await {
                Ok(lease) => return Ok(lease),
                Err(Error::Refused(refusal)) => refusal,
                Err(error) => return Err(error.into()),
            };
            let left = Duration::from(until.since(Moment::now()));
            if left.is_zero() || !may_pass(&refusal) {
                return Err(CliError::NotAcquired(refusal));
            }
            tokio::select! {
                _ = changes.next() => {}
                () = tokio::time::sleep(LOOK_EVERY.min(left)) => {}
                signal = signals.next() => return Err(CliError::Interrupted(signal)),
            }
        }
    }

    async fn take_now(
        &self,
        ledger: &Ledger,
        id: &str,
        owner: &str,
        keeping: Keeping,
    ) -> Result<KeptLease, Error> {
        let (task, now) = (ledger.task(id).await?, ledger.now().await?);
        // A refused acquire says who holds the lease. A lease that lapsed may have left undos that this command does not
        // adopt.
        if task.owes() && (task.is_stale(now) || task.state() == State::Planned) {
            return Err(owes(&task).into());
        }
        let mut call = ledger.acquire(id, owner);
        if let Some(ttl) = self.creation.ttl()? {
            call = call.ttl(ttl);
        }
        let lease = call.keep_with(keeping).await?;
        if lease.task().owes_from_before(lease.task().epoch) {
            // It began to owe between the read and the grant.
            lease
                .release(
                    "an earlier lease still owes an undo, and `tenure run` does not adopt it",
                    Duration::ZERO,
                )
                .await?;
            return Err(owes(lease.task()).into());
        }
        Ok(lease)
    }

    /// Registers the undos given with --undo before the command begins, unless the task has them already.
    async fn register_what_is_missing(
        &self,
        lease: &KeptLease,
        reasons: &[Option<String>],
    ) -> Result<(), CliError> {
        for (undo, reason) in self.creation.undos.0.iter().zip(reasons) {
            let is_there = lease.task().compensations.iter().any(|one| {
                one.is_owed()
                    && one.undo.kind.as_str() == undo.kind
                    && one.undo.target.as_str() == undo.target
            });
            if is_there || undo.kind == "none" {
                continue;
            }
            let (id, holder) = (lease.id().as_str(), lease.holder());
            let call = lease.ledger().register(id, holder, &undo.kind, &undo.target);
            let registered = lease.call(match reason {
                Some(reason) => call.reason(reason),
                None => call,
            });
            if let Err(error) = registered.await {
                // Nothing has begun, so releasing the lease loses nothing.
                let _ = lease.release("the undo could not be registered", Duration::ZERO).await;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn launch(&self) -> Result<Launch, CliError> {
        let missing = || CliError::Usage("no command given: pass it after --".to_owned());
        let (program, arguments) = self.command.split_first().ok_or_else(missing)?;
        let errors = if self.keep_errors { Output::Piped } else { Output::Inherit };
        Ok(Launch::new(program).args(arguments).errors(errors).terminal(terminal()))
    }

    /// Records how the command ended, and exits with its status. A signal during that interrupts the recording, and the
    /// command that records it by hand is printed.
    async fn record(
        &self,
        context: &mut Context<'_, '_>,
        (lease, store): (&KeptLease, &str),
        finished: Finished,
        signals: &mut Signals,
    ) -> Result<(), CliError> {
        let status = match (&finished.why, &finished.end) {
            (StopReason::NotStarted(error), _) => {
                context.out.error(&error.to_string(), None);
                supervise::status_of_start(error)
            }
            (_, Some(end)) => supervise::status_of(end),
            (_, None) => 1,
        };
        let ended = match self.supervision.ends.of(&finished) {
            None if matches!(finished.why, StopReason::EndedItsTask) => CliError::Status(status),
            None => CliError::Status(LEASE_LOST),
            Some(ending) => {
                let recorded = tokio::select! {
                    recorded = ending.record(lease) => recorded,
                    _ = signals.next() => Err(Error::Unavailable("interrupted by a signal".into())),
                };
                match recorded {
                    Ok(_) => CliError::Status(status),
                    // The command ended its task itself, with the lease in its environment.
                    Err(Error::Refused(_)) if supervise::ended_by_its_command(lease).await.is_some() => {
                        CliError::Status(status)
                    }
                    Err(error) => not_recorded(context, lease, &ending.by_hand(lease, store), &error),
                }
            }
        };
        for copy in finished.copies {
            tokio::select! {
                () = copy.finish() => {}
                _ = signals.next() => break,
            }
        }
        Err(ended)
    }
}

/// The exit status of `tenure run` when the lease was lost.
const LEASE_LOST: u8 = 79;

fn not_recorded(context: &mut Context<'_, '_>, lease: &KeptLease, by_hand: &str, error: &Error) -> CliError {
    if let Error::Refused(refusal) = error
        && lease.loss().is_some()
    {
        context.out.error(
            &format!("the command ended too late, its result does not count: {refusal}"),
            Some("see `tenure task why ID`"),
        );
        return CliError::Status(LEASE_LOST);
    }
    let words = format!("the command has ended, but that could not be recorded: {error}");
    context.out.error_mended_by(&words, by_hand.to_owned());
    // Not 5, which means that nothing was done: the command was run.
    CliError::Status(if matches!(error, Error::Refused(_)) { 3 } else { 6 })
}

fn is_completed(refusal: &Refusal) -> bool {
    refusal.code == Code::Terminal && refusal.state == Some(State::Completed)
}

/// Whether the reason that an acquire was refused may go away by itself.
fn may_pass(refusal: &Refusal) -> bool {
    match refusal.code {
        Code::Leased | Code::Reserved | Code::NotDue | Code::CompensationOwed => true,
        // It is being undone, or waits to be.
        Code::WrongState => refusal.state == Some(State::Compensating),
        Code::Invalid
        | Code::NotFound
        | Code::Exists
        | Code::RequestReused
        | Code::Terminal
        | Code::NoLease
        | Code::StaleEpoch
        | Code::WrongOwner
        | Code::LeaseLapsed
        | Code::NotExtending
        | Code::Stalled
        | Code::OutOfTime
        | Code::Cancelled
        | Code::CompensationRequired
        | Code::CompensationSettled
        | Code::StaleWrite
        | Code::Forbidden => false,
        // Of a later version.
        _ => false,
    }
}

/// The refusal for a task that owes undos of an earlier lease: a holder must adopt them, or recovery undo them; `tenure
/// run` does neither.
fn owes(task: &Task) -> Refusal {
    let words =
        format!("{} still owes what an earlier lease left to undo; undo or waive that first", task.id);
    Refusal { state: Some(task.state()), ..Refusal::new(Code::CompensationOwed, words) }
}

/// How the command gets the terminal: in place of this process. In a pipeline only when it asks for it, since the other
/// processes would lose the terminal, too.
fn terminal() -> TerminalAccess {
    match (std::io::stdin().is_terminal(), tenure::process::is_alone_in_its_group()) {
        (false, _) => TerminalAccess::Leave,
        (true, true) => TerminalAccess::HandOver,
        (true, false) => TerminalAccess::OnDemand,
    }
}
