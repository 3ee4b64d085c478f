//! The loads: what callers do while it is measured.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenure::Ledger;
use tenure::clock::Moment;
use tenure::core::command::Holder;
use tenure::core::refusal::Code;
use tenure::core::time::Span;
use tenure::store::Answer;
use tokio::task::JoinSet;

use super::measured::{Measured, What};
use crate::error::CliError;

const OWNER: &str = "tenure-bench";
/// Leases that are renewed in turn.
const LEASES: usize = 1_000;
/// Commands of one batch that prepares something.
const BATCH: usize = 250;
/// Of what one caller does alone, more than this tell nothing new.
const SAMPLES_MAX: usize = 2_000;

/// Writes to the end of a new file in the folder and waits for the disk, again and again, as a log does.
pub(super) async fn syncs(folder: PathBuf, at_most: Duration) -> Result<Measured, CliError> {
    let shown = folder.display().to_string();
    let measure = move || {
        let mut file = OpenOptions::new().create_new(true).append(true).open(folder.join("sync"))?;
        let (begun, block) = (Moment::now(), [0x5a; 4_096]);
        let mut micros = Vec::new();
        while micros.len() < SAMPLES_MAX && since(begun) < Span::from(at_most) {
            let one = Moment::now();
            file.write_all(&block)?;
            file.sync_data()?;
            micros.push(since(one).as_micros());
        }
        Ok::<_, std::io::Error>(Measured::of(What::Sync, 1, micros, since(begun)))
    };
    let measured = tokio::task::spawn_blocking(measure).await;
    let measured =
        measured.map_err(|error| CliError::Failed(format!("measuring the disk failed: {error}")))?;
    measured.map_err(|error| CliError::Failed(format!("can't write to {shown}: {error}")))
}

/// Asks the store for its time, which is a question that costs nothing but the way.
pub(super) async fn round_trips(ledger: &Ledger, at_most: Duration) -> Result<Measured, CliError> {
    let (begun, mut micros) = (Moment::now(), Vec::new());
    while micros.len() < SAMPLES_MAX && since(begun) < Span::from(at_most) {
        let one = Moment::now();
        ledger.now().await?;
        micros.push(since(one).as_micros());
    }
    Ok(Measured::of(What::RoundTrip, 1, micros, since(begun)))
}

fn since(begun: Moment) -> Span {
    Moment::now().since(begun)
}

/// Loads of commands on a ledger, under names that nobody else has.
pub(super) struct Load {
    ledger: Ledger,
    names: String,
    takes: Duration,
}

impl Load {
    pub(super) fn new(ledger: Ledger, names: String, takes: Duration) -> Load {
        Load { ledger, names, takes }
    }

    /// Each caller lives one task after the other, a command at a time.
    pub(super) async fn lives(&self, callers: usize) -> Result<Measured, CliError> {
        let caller = |number: usize| Life {
            ledger: self.ledger.clone(),
            names: format!("{}-{callers}-{number}", self.names),
            lived: 0,
            now: Step::Create,
        };
        self.measure(What::Command, (0..callers).map(caller).collect()).await
    }

    /// Each caller renews leases in turn.
    pub(super) async fn heartbeats(&self, callers: usize) -> Result<Measured, CliError> {
        let names: Vec<String> = (0..LEASES).map(|number| format!("{}-lease-{number}", self.names)).collect();
        let mut held = Vec::with_capacity(LEASES);
        for names in names.chunks(BATCH) {
            let mut commands = Vec::with_capacity(2 * BATCH);
            for name in names {
                commands.push(self.ledger.create(name).queue("bench").command()?);
                commands.push(self.ledger.acquire(name, OWNER).command()?);
            }
            for answer in self.ledger.transact(commands).await {
                if let Answer::Task(task) = answer?
                    && let Some(lease) = task.lease()
                {
                    held.push((task.id.to_string(), lease.holder()));
                }
            }
        }
        let held: Arc<[(String, Holder)]> = held.into();
        let caller = |number: usize| Heartbeats {
            ledger: self.ledger.clone(),
            held: Arc::clone(&held),
            next: number,
            step: callers,
        };
        let measured = self.measure(What::Heartbeat, (0..callers).map(caller).collect()).await;
        for held in held.chunks(BATCH) {
            let completed = held.iter().map(|(name, by)| self.ledger.complete(name, by).command());
            for answer in self.ledger.transact(completed.collect::<Result<_, _>>()?).await {
                answer?;
            }
        }
        measured
    }

    /// A task is created, and the claim that takes it is measured.
    pub(super) async fn claims(&self) -> Result<Measured, CliError> {
        let queue = format!("{}-claims", self.names);
        let (begun, mut micros) = (Moment::now(), Vec::new());
        while micros.len() < SAMPLES_MAX && since(begun) < Span::from(self.takes) {
            let id = format!("{queue}-{}", micros.len());
            self.ledger.create(&id).queue(&queue).await?;
            let one = Moment::now();
            let claimed = self.ledger.claim(&queue, OWNER).await?;
            micros.push(since(one).as_micros());
            for task in claimed {
                if let Some(lease) = task.lease() {
                    self.ledger.complete(task.id.as_str(), &lease.holder()).await?;
                }
            }
        }
        let taken = Span::from_micros(micros.iter().sum());
        Ok(Measured::of(What::Claim, 1, micros, taken))
    }

    async fn measure<C: Caller>(&self, what: What, callers: Vec<C>) -> Result<Measured, CliError> {
        let (begun, count, takes) = (Moment::now(), callers.len(), Span::from(self.takes));
        let mut calling = JoinSet::new();
        for mut caller in callers {
            calling.spawn(async move {
                let mut micros = Vec::new();
                while since(begun) < takes {
                    let one = Moment::now();
                    caller.call().await?;
                    micros.push(since(one).as_micros());
                }
                caller.end().await?;
                Ok::<_, CliError>(micros)
            });
        }
        let mut all = Vec::new();
        while let Some(called) = calling.join_next().await {
            let called = called.map_err(|error| CliError::Failed(format!("a caller failed: {error}")))?;
            all.extend(called?);
        }
        Ok(Measured::of(what, count, all, since(begun)))
    }
}

/// One that gives a command, waits for the answer, and gives the next.
trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<(), CliError>> + Send;

    /// Leaves nothing open behind.
    fn end(&mut self) -> impl Future<Output = Result<(), CliError>> + Send {
        async { Ok(()) }
    }
}

/// A caller that lives tasks: create, acquire, three heartbeats, complete.
struct Life {
    ledger: Ledger,
    names: String,
    lived: u64,
    now: Step,
}

enum Step {
    Create,
    Acquire,
    Heartbeat { by: Holder, left: u8 },
    Complete { by: Holder },
}

impl Caller for Life {
    async fn call(&mut self) -> Result<(), CliError> {
        let id = format!("{}-{}", self.names, self.lived);
        self.now = match &self.now {
            Step::Create => {
                self.ledger.create(&id).queue("bench").await?;
                Step::Acquire
            }
            Step::Acquire => {
                let task = self.ledger.acquire(&id, OWNER).await?;
                let lease =
                    task.lease().ok_or_else(|| CliError::Failed(format!("the lease of {id} is gone")))?;
                Step::Heartbeat { by: lease.holder(), left: 3 }
            }
            Step::Heartbeat { by, left } => {
                self.ledger.heartbeat(&id, by).await?;
                match left {
                    0 | 1 => Step::Complete { by: by.clone() },
                    left => Step::Heartbeat { by: by.clone(), left: left - 1 },
                }
            }
            Step::Complete { by } => {
                self.ledger.complete(&id, by).await?;
                self.lived += 1;
                Step::Create
            }
        };
        Ok(())
    }

    async fn end(&mut self) -> Result<(), CliError> {
        while !matches!(self.now, Step::Create) {
            self.call().await?;
        }
        Ok(())
    }
}

struct Heartbeats {
    ledger: Ledger,
    held: Arc<[(String, Holder)]>,
    next: usize,
    step: usize,
}

impl Caller for Heartbeats {
    async fn call(&mut self) -> Result<(), CliError> {
        let (name, by) = &self.held[self.next % self.held.len()];
        self.next += self.step;
        match self.ledger.heartbeat(name, by).await {
            // Another caller renewed it in the same instant.
            Err(error) if error.code() == Some(Code::NotExtending) => Ok(()),
            answer => Ok(answer.map(drop)?),
        }
    }
}
