//! Recovery: undoes what stale tasks left behind, or parks them for a person.
//!
//! Any number of processes may run it on one store. It reclaims a stale task under a lease of its own, which a keeper
//! renews, and undoes what is owed, newest first. If a recovery process dies, its lease lapses like any other, and
//! the next one continues. The core decides whether a task may be reclaimed and what follows. This module decides
//! when to look, how many tasks to handle at once, and how often to retry an undo.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tenure::Ledger;
//! use tenure::handler::Handlers;
//! use tenure::recovery::Recovery;
//!
//! let ledger = Ledger::open("memory:").await?;
//! let handlers = Handlers::new().on("remove-worktree", |undo| async move {
//!     // Running twice must be harmless: what is gone already is success.
//!     Ok(format!("{} is gone", undo.target))
//! })?;
//! let report = Recovery::new(ledger).handlers(handlers).once().await?;
//! assert_eq!(report.tended, 0, "nothing was stale");
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod assess;
mod metrics;
mod plan;
mod sweep;
mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::id::{Epoch, Namespace, Owner, TaskId};
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::handler::Handlers;
use crate::ledger::Ledger;
use crate::store::watch::Presence;

pub use metrics::{Metrics, Snapshot, UndoCounts};
pub use plan::{Planned, PlannedUndo};

/// How recovery goes about it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Under which name it takes leases. None: one is made of the machine, the process and chance.
    pub owner: Option<Owner>,
    /// How long its leases last.
    pub ttl: Duration,
    /// The most tasks that one sweep reclaims; after that it rests, so that the living get on.
    pub sweep_max: usize,
    /// How many tasks it undoes at once.
    pub at_once: usize,
    /// How long a loop leaves a task to others for which it has no handler, before it parks it for a person.
    pub handler_wait: Duration,
    /// How long an undo that runs may go on when the loop is told to stop.
    pub grace: Duration,
    /// Only tasks of this room. None: of all.
    pub namespace: Option<Namespace>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            owner: None,
            ttl: Duration::from_secs(30),
            sweep_max: 500,
            at_once: 32,
            handler_wait: Duration::from_secs(600),
            grace: Duration::from_secs(10),
            namespace: None,
        }
    }
}

/// What became of a task that recovery looked after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// It waits to be begun again.
    Planned,
    /// Nothing is owed any more, and it is closed.
    Compensated,
    /// It is parked for a person.
    Quarantined,
    /// Its undo waits for another try, or for another recoverer.
    HandedBack,
    /// Somebody else has it now, or ended it.
    Lost,
    /// The store could not be asked.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 6] = [
        Outcome::Planned,
        Outcome::Compensated,
        Outcome::Quarantined,
        Outcome::HandedBack,
        Outcome::Lost,
        Outcome::Failed,
    ];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Planned => "planned",
            Outcome::Compensated => "compensated",
            Outcome::Quarantined => "quarantined",
            Outcome::HandedBack => "handed_back",
            Outcome::Lost => "lost",
            Outcome::Failed => "failed",
        }
    }
}

/// An undo that ran and has its receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoReceipt {
    /// The number of the compensation.
    pub seq: u32,
    /// What was done.
    pub kind: String,
    /// To what.
    pub target: String,
    /// What it left as proof.
    pub receipt: String,
}

/// A task that recovery looked after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveredTask {
    /// The room of the task.
    pub namespace: Namespace,
    /// The task.
    pub task: TaskId,
    /// The epoch that it had when it was found: leases up to this one are over.
    pub epoch: Epoch,
    /// What became of it.
    pub outcome: Outcome,
    /// What was undone, in that order.
    pub undone: Vec<UndoReceipt>,
    /// Why it is not simply done.
    pub because: Option<String>,
}

/// What a run of recovery came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How many tasks were looked after.
    pub tended: u64,
    /// How many ended how.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How many undos have their receipts.
    pub undone: u64,
}

impl Report {
    fn add(&mut self, tended: &RecoveredTask) {
        self.tended += 1;
        *self.outcomes.entry(tended.outcome).or_default() += 1;
        self.undone += tended.undone.len() as u64;
    }

    /// How many ended that way.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

type Tell = dyn Fn(&RecoveredTask) + Send + Sync;

/// Looks after the stale tasks of a store.
#[derive(Clone)]
pub struct Recovery {
    ledger: Ledger,
    handlers: Handlers,
    settings: Settings,
    metrics: Arc<Metrics>,
    on_tended: Option<Arc<Tell>>,
}

/// How long recovery goes on.
#[derive(Clone, Debug)]
pub(crate) enum RecoveryMode {
    /// Until everything that was due when it began is looked after, or it is told to stop. It waits through the pauses
    /// between tries itself, and leaves nothing to others.
    Once(CancellationToken),
    /// Until it is told to stop.
    Loop(CancellationToken),
}

impl RecoveryMode {
    /// What tells it to stop.
    pub(crate) fn stop(&self) -> &CancellationToken {
        match self {
            RecoveryMode::Once(stop) | RecoveryMode::Loop(stop) => stop,
        }
    }
}

impl Recovery {
    /// Recovery for the store of that ledger. It has no handlers yet, so that whatever is owed is left to others.
    pub fn new(ledger: Ledger) -> Recovery {
        let (handlers, settings) = (Handlers::new(), Settings::default());
        Recovery { ledger, handlers, settings, metrics: Arc::default(), on_tended: None }
    }

    /// What it can undo.
    pub fn handlers(self, handlers: Handlers) -> Recovery {
        self.metrics.begin(&handlers);
        Recovery { handlers, ..self }
    }

    /// How it goes about it.
    pub fn settings(self, settings: Settings) -> Recovery {
        Recovery { settings, ..self }
    }

    /// How it goes about it now.
    pub fn current(&self) -> &Settings {
        &self.settings
    }

    /// Has somebody told of each task that was looked after, as soon as that is done.
    pub fn on_tended(self, tell: impl Fn(&RecoveredTask) + Send + Sync + 'static) -> Recovery {
        Recovery { on_tended: Some(Arc::new(tell)), ..self }
    }

    /// What it has counted since it was made; clones count together.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Looks after everything that is due now, and comes back when that is done. A kind that nobody handles parks its task
    /// for a person at once.
    pub async fn once(&self) -> Result<Report, Error> {
        self.once_until(CancellationToken::new()).await
    }

    /// The same, until it is told to stop; what is being undone then gets the grace of the settings and is handed back.
    pub async fn once_until(&self, stop: CancellationToken) -> Result<Report, Error> {
        sweep::once(&self.named()?, stop).await
    }

    /// Looks after what becomes due, until it is told to stop; what is being undone then gets the grace of the settings and
    /// is handed back. While the store can't be reached it goes on asking.
    pub async fn watch(&self, stop: CancellationToken) -> Result<Report, Error> {
        sweep::watch(&self.named()?, stop).await
    }

    /// What [`Recovery::once`] would do now, without doing it.
    pub async fn plan(&self) -> Result<Vec<Planned>, Error> {
        plan::plan(self).await
    }

    /// How long the first of those tasks has waited that are due, in whatever namespace; nothing where none is. It stays small
    /// while somebody looks after them, but for what is left to others on purpose for a while.
    pub async fn overdue(&self) -> Result<Span, Error> {
        let store = self.ledger.store();
        let Some((namespace, id)) = store.lapsed(None, 1).await?.tasks.into_iter().next() else {
            return Ok(Span::ZERO);
        };
        let due_at = store.task(namespace, id).await?.as_ref().and_then(assess::due_at);
        let now = store.now().await?;
        Ok(due_at.map_or(Span::ZERO, |due_at| now.since(due_at)))
    }

    /// How it tells that it is there.
    fn presence(&self) -> Presence {
        Presence {
            name: self.settings.owner.clone(),
            namespaces: self.settings.namespace.iter().cloned().collect(),
            kinds: self.handlers.kinds().into_iter().cloned().collect(),
        }
    }

    /// With the name that it takes leases under.
    fn named(&self) -> Result<Recovery, Refusal> {
        let mut named = self.clone();
        if named.settings.owner.is_none() {
            let made =
                format!("recovery/{}/{}", crate::owner::of_this_process(), self.ledger.entropy().new_id());
            named.settings.owner = Some(Owner::new(made)?);
        }
        Ok(named)
    }

    fn tell(&self, tended: &RecoveredTask) {
        self.metrics.count(tended);
        let (task, namespace) = (&tended.task, &tended.namespace);
        let (outcome, undone) = (tended.outcome.as_str(), tended.undone.len());
        match &tended.because {
            Some(because) => {
                tracing::warn!(%namespace, %task, outcome, undone, because, "recovery handled a stale task");
            }
            None => tracing::info!(%namespace, %task, outcome, undone, "recovery handled a stale task"),
        }
        if let Some(tell) = &self.on_tended {
            tell(tended);
        }
    }
}
