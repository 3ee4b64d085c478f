//! What the first page shows of a namespace. However many people look, the store is read once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tenure::clock::Moment;
use tenure::core::id::Namespace;
use tenure::core::time::Span;
use tenure::store::{Cursor, Filter, PageSize};
use tenure::{Error, Ledger};
use tenure_view::{ReadSize, Snapshot};
use tokio::sync::Mutex;

use crate::problem::Problem;
use crate::quotas::TokenQuota;

/// What a page names of each kind; it says if there are more.
const SIZE: ReadSize = ReadSize {
    listed: PageSize { items: 20, bytes: 256 * 1024 },
    in_flight: PageSize { items: 200, bytes: 1024 * 1024 },
};
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
        let snapshot = Snapshot::read(ledger, &Filter::default(), SIZE).await.map(Arc::new);
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
