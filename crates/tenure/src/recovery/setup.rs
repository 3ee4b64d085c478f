//! What recovery works with.

use std::sync::Arc;

use tenure_api::recovery::RecoveredTask;
use tenure_store::watch::Presence;

use super::metrics::Metrics;
use super::options::RecoveryOptions;
use crate::handler::Handlers;
use crate::ledger::Ledger;

/// How many due tasks are read at once.
pub(super) const PAGE: usize = 500;

type Tell = dyn Fn(&RecoveredTask) + Send + Sync;

/// What the sweeps, undos and plans of a recovery share.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) ledger: Ledger,
    pub(super) handlers: Handlers,
    pub(super) options: RecoveryOptions,
    pub(super) metrics: Arc<Metrics>,
    /// Who is told of each handled task.
    pub(super) on_recovered: Option<Arc<Tell>>,
}

impl Setup {
    /// The owner of its leases.
    pub(super) fn owner(&self) -> &str {
        self.options.owner.as_ref().map_or("recovery", |owner| owner.as_str())
    }

    /// How it reports its presence.
    pub(super) fn presence(&self) -> Presence {
        Presence {
            name: self.options.owner.clone(),
            namespaces: self.options.namespace.iter().cloned().collect(),
            kinds: self.handlers.kinds().into_iter().cloned().collect(),
        }
    }

    /// Counts a handled task, and tells of it.
    pub(super) fn tell(&self, recovered: &RecoveredTask) {
        self.metrics.count(recovered);
        let (task, namespace) = (&recovered.task, &recovered.namespace);
        let (outcome, undone) = (recovered.outcome.as_str(), recovered.undone.len());
        match &recovered.reason {
            Some(reason) => {
                tracing::warn!(%namespace, %task, outcome, undone, reason, "recovery handled a stale task");
            }
            None => tracing::info!(%namespace, %task, outcome, undone, "recovery handled a stale task"),
        }
        if let Some(tell) = &self.on_recovered {
            tell(recovered);
        }
    }
}
