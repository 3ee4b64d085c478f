//! What the first page shows of a namespace. However many people look, the store is read once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tenure::clock::Moment;
use tenure::core::id::Namespace;
use tenure::core::time::Span;
use tenure::store::{Cursor, Filter, PageSize};
use tenure::{Error, Ledger};
use tenure_view::{ReadSize, Snapshot};

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
/// A look that took long is used for this many times as long, so that looks take a tenth of a reader; but no longer than that: a
/// change is shown within about a second.
const REST: u64 = 9;
const REST_MAX: Span = Span::from_millis(750);
/// The most namespaces that are kept.
const NAMESPACES_MAX: usize = 64;

/// The newest look at each namespace.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<HashMap<Namespace, Arc<Viewed>>>);

/// A namespace that somebody views.
#[derive(Default)]
struct Viewed {
    newest: Mutex<Option<Arc<Look>>>,
    /// Held by the one who looks.
    turn: tokio::sync::Mutex<()>,
}

struct Look {
    began: Moment,
    read_at: Moment,
    /// The newest event of the store before it was read.
    newest: Cursor,
    /// A look that failed counts, too: a store that is away must not be asked by each viewer in turn.
    snapshot: Result<Arc<Snapshot>, Error>,
}

/// What a page shows.
pub(super) struct Seen {
    pub(super) snapshot: Arc<Snapshot>,
    /// Something has happened since. Nobody will say it again, so the page must ask again after that long.
    pub(super) again: Option<Span>,
}

impl Snapshots {
    /// The newest look, if nothing has happened since, or if it is so young that viewers should not wait for another; else another
    /// one. Who comes during a look gets the one before, if that is young, or waits for it.
    pub(super) async fn look(&self, ledger: &Ledger, quota: &TokenQuota) -> Result<Seen, Problem> {
        let arrived = Moment::now();
        let viewed = self.viewed(ledger.namespace());
        let newest = ledger.newest().await?;
        if let Some(seen) = viewed.newest().and_then(|look| look.seen(&newest)) {
            return seen;
        }
        if viewed.turn.try_lock().is_err()
            && let Some(seen) = viewed.newest().and_then(|look| look.seen_meanwhile())
        {
            return seen;
        }
        // Before its turn: a caller who has no place to read must not keep those who have.
        let permit = quota.scan().await?;
        let turn = viewed.turn.lock().await;
        if let Some(look) = viewed.newest().filter(|look| look.began >= arrived) {
            return Ok(Seen { snapshot: look.snapshot.clone()?, again: None });
        }
        let began = Moment::now();
        let newest = ledger.newest().await?;
        let snapshot = Snapshot::read(ledger, &Filter::default(), SIZE).await.map(Arc::new);
        drop(permit);
        let look = Look { began, read_at: Moment::now(), newest, snapshot: snapshot.clone() };
        *viewed.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(look));
        drop(turn);
        Ok(Seen { snapshot: snapshot?, again: None })
    }

    fn viewed(&self, namespace: &Namespace) -> Arc<Viewed> {
        let mut namespaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if namespaces.len() >= NAMESPACES_MAX && !namespaces.contains_key(namespace) {
            // Those that nobody looks at now.
            namespaces.retain(|_, viewed| Arc::strong_count(viewed) > 1);
        }
        Arc::clone(namespaces.entry(namespace.clone()).or_default())
    }
}

impl Viewed {
    fn newest(&self) -> Option<Arc<Look>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Look {
    /// As what it may be used without another look, where that is the newest event now.
    fn seen(&self, newest: &Cursor) -> Option<Result<Seen, Problem>> {
        let (age, rest) = (Moment::now().since(self.read_at), self.rest());
        let is_newest = self.newest == *newest;
        (age < rest || (is_newest && age < AGE_MAX)).then(|| {
            let left = Span::from_micros(rest.as_micros().saturating_sub(age.as_micros()));
            self.shown((!is_newest).then_some(left))
        })
    }

    /// The same, where somebody else looks already.
    fn seen_meanwhile(&self) -> Option<Result<Seen, Problem>> {
        let age = Moment::now().since(self.read_at);
        (age < AGE_MAX).then(|| self.shown(Some(APART)))
    }

    fn shown(&self, again: Option<Span>) -> Result<Seen, Problem> {
        Ok(Seen { snapshot: self.snapshot.clone()?, again })
    }

    /// For how long it is used whatever happens.
    fn rest(&self) -> Span {
        let took = self.read_at.since(self.began);
        Span::from_micros(took.as_micros().saturating_mul(REST)).clamp(APART, REST_MAX)
    }
}
