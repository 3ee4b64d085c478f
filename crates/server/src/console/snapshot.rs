//! What the first page shows of a namespace. However many people look, the store is read once for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use tenure::clock::Moment;
use tenure::core::id::Namespace;
use tenure::core::task::{State, Task};
use tenure::core::time::Span;
use tenure::store::overview::Overview;
use tenure::store::{Filter, Order};
use tenure::{Error, Ledger};
use tokio::sync::Mutex;

/// How many tasks of each kind the page names. It says how many more there are.
pub(super) const NAMED_MAX: usize = 20;
/// How old what was read may be for another viewer.
const AGE_MAX: Span = Span::from_millis(500);
/// A look that takes long may be used for this many times as long, so that looks take a fifth of a reader at most.
const REST: u64 = 4;
/// The most namespaces that are kept. Each needs as much memory as the tasks that it names.
const NAMESPACES_MAX: usize = 1_000;

/// The newest look at each namespace.
#[derive(Default)]
pub(crate) struct Snapshots(std::sync::Mutex<HashMap<Namespace, Arc<Mutex<Option<Kept>>>>>);

struct Kept {
    read_at: Moment,
    took: Span,
    snapshot: Arc<Snapshot>,
}

/// A look at a namespace.
pub(super) struct Snapshot {
    pub(super) overview: Overview,
    /// The tasks that have been stale for the longest time.
    pub(super) stale: Vec<Task>,
    /// The tasks that somebody holds, the oldest first.
    pub(super) in_flight: Vec<Task>,
    /// The tasks that are parked for a person, the oldest first.
    pub(super) quarantined: Vec<Task>,
    /// The newest that did not succeed in the last day, and that nobody has seen to.
    pub(super) ended_badly: Vec<Task>,
}

impl Snapshots {
    /// The newest look, if it is recent, or another one. Who comes during a look waits for it.
    pub(super) async fn look(&self, ledger: &Ledger) -> Result<Arc<Snapshot>, Error> {
        let kept = {
            let mut namespaces = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if namespaces.len() >= NAMESPACES_MAX && !namespaces.contains_key(ledger.namespace()) {
                namespaces.clear();
            }
            Arc::clone(namespaces.entry(ledger.namespace().clone()).or_default())
        };
        let mut kept = kept.lock().await;
        let now = Moment::now();
        if let Some(kept) = kept.as_ref()
            && now.since(kept.read_at)
                < AGE_MAX.max(Span::from_micros(kept.took.as_micros().saturating_mul(REST)))
        {
            return Ok(Arc::clone(&kept.snapshot));
        }
        let snapshot = Arc::new(Snapshot::read(ledger).await?);
        let read_at = Moment::now();
        *kept = Some(Kept { read_at, took: read_at.since(now), snapshot: Arc::clone(&snapshot) });
        Ok(snapshot)
    }
}

impl Snapshot {
    async fn read(ledger: &Ledger) -> Result<Snapshot, Error> {
        let overview = ledger.overview().await?;
        let list = async |filter: Filter| {
            let page = ledger.tasks(filter, None, NAMED_MAX).await;
            page.map(|page| page.items)
        };
        let oldest = Filter::default().with(|filter| filter.order = Order::Oldest);
        let stale = list(oldest.clone().with(|filter| filter.stale = true)).await?;
        let states = vec![State::Dispatched, State::Running, State::Compensating];
        let in_flight = list(oldest.clone().with(|filter| filter.states = states)).await?;
        let attended = |filter: &mut Filter| filter.unattended = true;
        let quarantined = oldest.with(|filter| filter.states = vec![State::Quarantined]).with(attended);
        let since = overview.at - Span::from_days(1);
        let ended_badly = Filter::default()
            .with(|filter| {
                filter.ended_badly = true;
                // The parked ones are in a list of their own, however old they are.
                filter.states = vec![State::Failed, State::Compensated];
                filter.since = Some(since);
            })
            .with(attended);
        let (quarantined, ended_badly) = (list(quarantined).await?, list(ended_badly).await?);
        Ok(Snapshot { overview, stale, in_flight, quarantined, ended_badly })
    }
}
