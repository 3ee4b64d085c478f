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
//! assert_eq!(report.tasks, 0, "nothing was stale");
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod assess;
mod metrics;
mod noting;
mod options;
mod plan;
mod report;
mod setup;
mod sweep;
mod undo;

use std::sync::Arc;

use tenure_core::id::{Kind, Owner};
use tenure_core::policy::Ttl;
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;
use tenure_store::Error;

use crate::handler::Handlers;
use crate::ledger::Ledger;
use crate::stop::StopSignal;

pub(crate) use assess::due_at;
pub use metrics::{Metrics, Snapshot, UndoCounts};
pub use options::RecoveryOptions;
pub use report::RecoveryReport;
pub use tenure_api::recovery::{Outcome, PlannedTask, PlannedUndo, RecoveredTask, UndoReceipt};

use setup::Setup;

/// Recovery for the stale tasks of a store.
#[derive(Clone)]
pub struct Recovery(Setup);

impl Recovery {
    /// Recovery for the ledger's store: for all its namespaces, unless [`RecoveryOptions::namespace`] names one.
    ///
    /// It has no handlers yet. Give it those of every kind that tasks use, with [`handlers`](Self::handlers): a task with an undo
    /// of another kind is quarantined, by [`once`](Self::once) right away, and by [`watch`](Self::watch) when no other process
    /// has handled it within [`RecoveryOptions::handler_wait`].
    pub fn new(ledger: Ledger) -> Recovery {
        let (handlers, options) = (Handlers::new(), RecoveryOptions::default());
        Recovery(Setup { ledger, handlers, options, metrics: Arc::default(), on_recovered: None })
    }

    /// Sets the handlers.
    pub fn handlers(self, handlers: Handlers) -> Recovery {
        self.0.metrics.begin(&handlers);
        Recovery(Setup { handlers, ..self.0 })
    }

    /// Sets the options.
    pub fn options(self, options: RecoveryOptions) -> Recovery {
        Recovery(Setup { options, ..self.0 })
    }

    /// The current options.
    pub fn current_options(&self) -> &RecoveryOptions {
        &self.0.options
    }

    /// The kinds of undo that it has a handler for, by name.
    pub fn handled_kinds(&self) -> Vec<&Kind> {
        self.0.handlers.kinds()
    }

    /// Calls a function for each handled task, as soon as it is handled.
    pub fn on_recovered(self, tell: impl Fn(&RecoveredTask) + Send + Sync + 'static) -> Recovery {
        Recovery(Setup { on_recovered: Some(Arc::new(tell)), ..self.0 })
    }

    /// Its metrics; clones share them.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.0.metrics)
    }

    /// Handles everything that is due now, and returns when that is done. If a kind has no handler, its task
    /// is parked for a person at once.
    pub async fn once(&self) -> Result<RecoveryReport, Error> {
        self.once_until(StopSignal::new()).await
    }

    /// The same, until it is told to stop. Running undos then get the grace period of the options and are
    /// handed back.
    pub async fn once_until(&self, stop: StopSignal) -> Result<RecoveryReport, Error> {
        sweep::once(&self.checked()?, stop).await
    }

    /// Handles tasks as they become due, until it is told to stop. Running undos then get the grace period of
    /// the options and are handed back. While the store can't be reached, it retries.
    pub async fn watch(&self, stop: StopSignal) -> Result<RecoveryReport, Error> {
        sweep::watch(&self.checked()?, stop).await
    }

    /// What [`Recovery::once`] would do now, without doing it.
    pub async fn plan(&self) -> Result<Vec<PlannedTask>, Error> {
        let mut planned = Vec::new();
        self.plan_each(|one| planned.push(one)).await?;
        Ok(planned)
    }

    /// The same, one task after the other: the caller keeps what it needs of each.
    pub async fn plan_each(&self, each: impl FnMut(PlannedTask) + Send) -> Result<(), Error> {
        plan::plan(&self.checked()?, each).await
    }

    /// How long the longest waiting due task has waited, in any namespace; zero if there is none. It stays
    /// small while recovery runs, except for tasks that are left to others on purpose for a while.
    pub async fn overdue(&self) -> Result<Span, Error> {
        let store = self.0.ledger.store();
        let Some((namespace, id)) = store.lapsed(None, 1).await?.tasks.into_iter().next() else {
            return Ok(Span::ZERO);
        };
        let due_at = store.task(namespace, id).await?.as_ref().and_then(due_at);
        let now = store.now().await?;
        Ok(due_at.map_or(Span::ZERO, |due_at| now.since(due_at)))
    }

    /// With its owner name set. A ttl that no lease can have is refused here, and not with the first stale task.
    fn checked(&self) -> Result<Setup, Refusal> {
        Ttl::new(self.0.options.ttl.into())?;
        let mut named = self.0.clone();
        if named.options.owner.is_none() {
            let made =
                format!("recovery/{}/{}", crate::owner::of_this_process(), named.ledger.entropy().new_id());
            named.options.owner = Some(Owner::new(made)?);
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_length_that_no_lease_can_have_is_refused_before_anything_is_stale() {
        let ledger = Ledger::open("memory:").await.expect("opens");
        let options = RecoveryOptions::default().with(|options| options.ttl = Duration::from_millis(500));
        let recovery = Recovery::new(ledger).options(options);
        for refused in [
            recovery.once().await.err(),
            recovery.watch(StopSignal::new()).await.err(),
            recovery.plan().await.err(),
        ] {
            assert!(matches!(&refused, Some(Error::Refused(it)) if it.field == Some("ttl")), "{refused:?}");
        }
    }
}
