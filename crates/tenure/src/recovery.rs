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

use tenure_api::recovery::SweepReport;
use tenure_core::id::{Namespace, Owner};
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::handler::Handlers;
use crate::ledger::Ledger;
use crate::store::watch::Presence;

pub use metrics::{Metrics, Snapshot, UndoCounts};
pub use tenure_api::recovery::{Outcome, PlannedTask, PlannedUndo, RecoveredTask, UndoReceipt};

/// The settings of recovery.
#[derive(Clone, Debug)]
pub struct RecoveryOptions {
    /// The owner of its leases. None: a name made of the machine, the process and a random part.
    pub owner: Option<Owner>,
    /// How long its leases last.
    pub ttl: Duration,
    /// The most tasks that one sweep reclaims. After that it rests, so that other commands get through.
    pub sweep_max: usize,
    /// How many tasks it undoes at once.
    pub at_once: usize,
    /// How long a loop leaves a task for which it has no handler to other processes, before it parks the task
    /// for a person.
    pub handler_wait: Duration,
    /// How long a running undo may continue after the loop is told to stop.
    pub grace: Duration,
    /// Only tasks of this namespace. None: of all.
    pub namespace: Option<Namespace>,
}

impl Default for RecoveryOptions {
    fn default() -> RecoveryOptions {
        RecoveryOptions {
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

/// The result of a run of recovery.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryReport {
    /// The number of handled tasks.
    pub tended: u64,
    /// The number of tasks for each outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The number of undos with a receipt.
    pub undone: u64,
}

impl RecoveryReport {
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

impl From<&RecoveryReport> for SweepReport {
    fn from(report: &RecoveryReport) -> SweepReport {
        let outcomes = Outcome::ALL.into_iter();
        SweepReport {
            tended: report.tended,
            undone: report.undone,
            outcomes: outcomes.map(|one| (one.as_str().to_owned(), report.of(one))).collect(),
        }
    }
}

type Tell = dyn Fn(&RecoveredTask) + Send + Sync;

/// Recovery for the stale tasks of a store.
#[derive(Clone)]
pub struct Recovery {
    ledger: Ledger,
    handlers: Handlers,
    settings: RecoveryOptions,
    metrics: Arc<Metrics>,
    on_tended: Option<Arc<Tell>>,
}

/// How long recovery goes on.
#[derive(Clone, Debug)]
pub(crate) enum RecoveryMode {
    /// Until everything that was due at the start is handled, or it is told to stop. It waits for pauses
    /// between tries itself, and leaves nothing to other processes.
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
    /// Recovery for the ledger's store. It has no handlers yet, so it leaves every undo to other processes.
    pub fn new(ledger: Ledger) -> Recovery {
        let (handlers, settings) = (Handlers::new(), RecoveryOptions::default());
        Recovery { ledger, handlers, settings, metrics: Arc::default(), on_tended: None }
    }

    /// Sets the handlers.
    pub fn handlers(self, handlers: Handlers) -> Recovery {
        self.metrics.begin(&handlers);
        Recovery { handlers, ..self }
    }

    /// Sets the options.
    pub fn settings(self, settings: RecoveryOptions) -> Recovery {
        Recovery { settings, ..self }
    }

    /// The current settings.
    pub fn current(&self) -> &RecoveryOptions {
        &self.settings
    }

    /// Calls a function for each handled task, as soon as it is handled.
    pub fn on_tended(self, tell: impl Fn(&RecoveredTask) + Send + Sync + 'static) -> Recovery {
        Recovery { on_tended: Some(Arc::new(tell)), ..self }
    }

    /// Its metrics; clones share them.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Handles everything that is due now, and returns when that is done. If a kind has no handler, its task
    /// is parked for a person at once.
    pub async fn once(&self) -> Result<RecoveryReport, Error> {
        self.once_until(CancellationToken::new()).await
    }

    /// The same, until it is told to stop. Running undos then get the grace period of the settings and are
    /// handed back.
    pub async fn once_until(&self, stop: CancellationToken) -> Result<RecoveryReport, Error> {
        sweep::once(&self.named()?, stop).await
    }

    /// Handles tasks as they become due, until it is told to stop. Running undos then get the grace period of
    /// the settings and are handed back. While the store can't be reached, it retries.
    pub async fn watch(&self, stop: CancellationToken) -> Result<RecoveryReport, Error> {
        sweep::watch(&self.named()?, stop).await
    }

    /// What [`Recovery::once`] would do now, without doing it.
    pub async fn plan(&self) -> Result<Vec<PlannedTask>, Error> {
        plan::plan(self).await
    }

    /// How long the longest waiting due task has waited, in any namespace; zero if there is none. It stays
    /// small while recovery runs, except for tasks that are left to others on purpose for a while.
    pub async fn overdue(&self) -> Result<Span, Error> {
        let store = self.ledger.store();
        let Some((namespace, id)) = store.lapsed(None, 1).await?.tasks.into_iter().next() else {
            return Ok(Span::ZERO);
        };
        let due_at = store.task(namespace, id).await?.as_ref().and_then(assess::due_at);
        let now = store.now().await?;
        Ok(due_at.map_or(Span::ZERO, |due_at| now.since(due_at)))
    }

    /// How it reports its presence.
    fn presence(&self) -> Presence {
        Presence {
            name: self.settings.owner.clone(),
            namespaces: self.settings.namespace.iter().cloned().collect(),
            kinds: self.handlers.kinds().into_iter().cloned().collect(),
        }
    }

    /// With its owner name set.
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
        match &tended.reason {
            Some(reason) => {
                tracing::warn!(%namespace, %task, outcome, undone, reason, "recovery handled a stale task");
            }
            None => tracing::info!(%namespace, %task, outcome, undone, "recovery handled a stale task"),
        }
        if let Some(tell) = &self.on_tended {
            tell(tended);
        }
    }
}
