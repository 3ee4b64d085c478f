//! What the first page shows of a namespace. However many people look, the store is read once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tenure::clock::Moment;
use tenure::core::id::{Document, Namespace};
use tenure::core::task::{Phase, State, Task};
use tenure::core::time::Span;
use tenure::store::overview::Overview;
use tenure::store::{Cursor, Filter, Order, PageSize};
use tenure::{Error, Ledger};
use tokio::sync::Mutex;

use crate::problem::Problem;
use crate::quotas::TokenQuota;

/// How many tasks of each kind the page names. It says if there are more.
pub(super) const NAMED_MAX: usize = 20;
const NAMED: PageSize = PageSize { items: NAMED_MAX, bytes: 256 * 1024 };
/// The most tasks in flight that are read. The stale ones among them are not shown with the others.
const HELD: PageSize = PageSize { items: 200, bytes: 1024 * 1024 };
/// Looks are at least this far apart, and at most, because leases are renewed without an event.
const APART: Span = Span::from_millis(250);
const AGE_MAX: Span = Span::from_secs(2);
/// A look that took long may be used for this many times as long, so that looks take a fifth of a reader at most.
const REST: u64 = 4;
/// How long a viewer waits for that.
const WAIT_MAX: Span = Span::from_secs(1);
/// The most namespaces that are kept.
const NAMESPACES_MAX: usize = 64;

/// The newest look at each namespace.
#[derive(Default)]
pub(crate) struct Snapshots(std::sync::Mutex<HashMap<Namespace, Arc<Mutex<Option<Kept>>>>>);

struct Kept {
    read_at: Moment,
    took: Span,
    /// The newest event of the store before it was read.
    newest: Cursor,
    /// A look that failed counts, too: a store that is away must not be asked by each viewer in turn.
    snapshot: Result<Arc<Snapshot>, Error>,
}

/// A look at a namespace.
pub(super) struct Snapshot {
    pub(super) overview: Overview,
    pub(super) stale: Vec<Task>,
    /// Those whose lease goes on, or that wait for their undo.
    pub(super) in_flight: Vec<Task>,
    pub(super) quarantined: Vec<Task>,
    /// Failed or undone, and nobody has seen to it: the newest.
    pub(super) ended_badly: Vec<Task>,
    pub(super) has_more_that_ended_badly: bool,
}

impl Snapshots {
    /// The newest look, if nothing has happened since; else another one. Who comes during a look waits for it.
    pub(super) async fn look(&self, ledger: &Ledger, quota: &TokenQuota) -> Result<Arc<Snapshot>, Problem> {
        let newest = ledger.newest().await?;
        let kept = self.kept(ledger.namespace());
        let mut kept = kept.lock().await;
        if let Some(kept) = kept.as_ref() {
            let age = Moment::now().since(kept.read_at);
            let usable = if kept.newest == newest { AGE_MAX } else { Span::ZERO };
            let rest = APART.max(Span::from_micros(kept.took.as_micros().saturating_mul(REST)));
            if age < usable.max(rest) {
                let left = Span::from_micros(rest.as_micros().saturating_sub(age.as_micros()));
                if kept.newest == newest || left > WAIT_MAX {
                    return Ok(kept.snapshot.clone()?);
                }
                // What changed must be seen now: nobody may say it again.
                tokio::time::sleep(Duration::from(left)).await;
            }
        }
        let permit = quota.scan().await?;
        let began = Moment::now();
        let newest = ledger.newest().await?;
        let snapshot = Snapshot::read(ledger).await.map(Arc::new);
        drop(permit);
        let read_at = Moment::now();
        *kept = Some(Kept { read_at, took: read_at.since(began), newest, snapshot: snapshot.clone() });
        Ok(snapshot?)
    }

    fn kept(&self, namespace: &Namespace) -> Arc<Mutex<Option<Kept>>> {
        let mut namespaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if namespaces.len() >= NAMESPACES_MAX && !namespaces.contains_key(namespace) {
            // Those that nobody looks at now.
            namespaces.retain(|_, kept| Arc::strong_count(kept) > 1);
        }
        Arc::clone(namespaces.entry(namespace.clone()).or_default())
    }
}

impl Snapshot {
    async fn read(ledger: &Ledger) -> Result<Snapshot, Error> {
        let overview = ledger.overview().await?;
        let store = ledger.store();
        let list = async |filter: Filter, size: PageSize| {
            let filter = filter.with(|filter| filter.namespace = Some(ledger.namespace().clone()));
            let page = store.tasks(filter, None, size).await?;
            let has_more = page.next.is_some();
            Ok::<_, Error>((page.items.into_iter().map(light).collect::<Vec<_>>(), has_more))
        };
        let oldest = Filter::default().with(|filter| filter.order = Order::Oldest);
        let (stale, _) = list(oldest.clone().with(|filter| filter.stale = true), NAMED).await?;
        let states = vec![State::Dispatched, State::Running, State::Compensating];
        let (mut in_flight, _) = list(oldest.clone().with(|filter| filter.states = states), HELD).await?;
        in_flight.retain(|task| !task.is_stale(overview.at));
        in_flight.truncate(NAMED_MAX);
        let unattended = |filter: &mut Filter| filter.unattended = true;
        let parked = oldest.with(|filter| filter.states = vec![State::Quarantined]).with(unattended);
        let (quarantined, _) = list(parked, NAMED).await?;
        let badly = Filter::default().with(unattended).with(|filter| {
            filter.ended_badly = true;
            // The parked ones are in a list of their own.
            filter.states = vec![State::Failed, State::Compensated];
        });
        let (ended_badly, has_more_that_ended_badly) = list(badly, NAMED).await?;
        Ok(Snapshot { overview, stale, in_flight, quarantined, ended_badly, has_more_that_ended_badly })
    }
}

/// The task without its documents, which no list shows: they may be large, and this is kept.
fn light(mut task: Task) -> Task {
    task.payload = Document::null();
    task.checkpoint = None;
    if let Phase::Ended(ending) = &mut task.phase {
        ending.result = None;
    }
    task
}
