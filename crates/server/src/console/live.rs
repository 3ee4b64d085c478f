//! Tells an open page that something changed, so that it loads itself again. It says no more than that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use tenure::core::id::{Namespace, TaskId};
use tenure::store::{Cursor, EventFilter, PageSize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::access::Audience;
use crate::handlers::events::event_stream;
use crate::quotas::{Taken, TokenQuota};
use crate::route::{Answered, Asked};
use crate::state::ServerState;

/// The pause after each word: a page that changes more often is not calmer to read.
const APART: Duration = Duration::from_millis(750);
const CHANGED: &[u8] = b"event: changed\ndata: \n\n";

/// `GET /live`.
pub(super) async fn stream(asked: Asked) -> Answered {
    let (permit, namespace) = (asked.quota.stream()?, asked.shown_namespace()?);
    let task = asked.query.one("task")?.map(TaskId::new).transpose()?;
    let audited = asked.query.flag("audit")?.then(|| namespace.clone());
    let filter = EventFilter::default().with(|filter| {
        filter.namespace = Some(namespace);
        filter.task = task;
    });
    let after = asked.served.ledger.newest().await?;
    let audits_seen = audited.as_ref().map_or(0, |namespace| asked.served.audits.version(namespace));
    let (lines, reader) = mpsc::channel(1);
    let (served, head, quota) = (asked.served, asked.head, asked.quota);
    let watch = Watch { served, head, quota, filter, after, audited, audits_seen, lines, _permit: permit };
    tokio::spawn(watch.run());
    Ok(event_stream(reader))
}

/// What ended a wait.
enum Woken {
    /// There may be events.
    Events,
    /// A verification has come further; this is its version now.
    Audit(u64),
    /// The time is over.
    Nothing,
}

struct Watch {
    served: Arc<ServerState>,
    head: Parts,
    quota: Arc<TokenQuota>,
    filter: EventFilter,
    after: Cursor,
    /// The namespace whose verifications the page shows.
    audited: Option<Namespace>,
    /// Their version when the page was last told of them.
    audits_seen: u64,
    lines: mpsc::Sender<Bytes>,
    _permit: Taken,
}

impl Watch {
    async fn run(mut self) {
        let _counted = self.served.metrics.stream();
        let (stopping, lines) = (self.served.stopping.clone(), self.lines.clone());
        tokio::select! {
            _ = self.feed() => {}
            () = lines.closed() => {}
            () = stopping.stopped() => {}
        }
    }

    /// Ends when the page is gone, or may no longer be seen; a browser that is still there then asks again.
    async fn feed(&mut self) -> Option<Infallible> {
        self.lines.send(Bytes::from_static(b"retry: 2000\n\n")).await.ok()?;
        let store = Arc::clone(self.served.ledger.store());
        let one = PageSize { items: 1, bytes: 0 };
        loop {
            let wait = self.served.options.limits.token_check_every;
            let woken = tokio::select! {
                more = timeout(wait, store.more_events(Some(self.after.clone()))) => match more {
                    Ok(more) => more.map(|()| Woken::Events).ok()?,
                    Err(_) => Woken::Nothing,
                },
                version = self.until_audited() => Woken::Audit(version),
            };
            self.served.caller(Audience::Person, &self.head).await.ok()?;
            match woken {
                Woken::Events => {}
                Woken::Audit(version) => {
                    self.audits_seen = version;
                    self.lines.send(Bytes::from_static(CHANGED)).await.ok()?;
                    tokio::time::sleep(APART).await;
                    continue;
                }
                Woken::Nothing => {
                    self.lines.send(Bytes::from_static(b": still here\n\n")).await.ok()?;
                    continue;
                }
            }
            // What happens while this rests is told with it.
            let newest = store.newest().await.ok()?;
            let permit = self.quota.scan().await.ok()?;
            let events = store.events(self.filter.clone(), Some(self.after.clone()), one).await.ok()?;
            drop(permit);
            self.after = newest;
            if !events.items.is_empty() || !events.unreadable.is_empty() {
                self.lines.send(Bytes::from_static(CHANGED)).await.ok()?;
            }
            tokio::time::sleep(APART).await;
        }
    }

    /// Waits until the page must be told of a verification, and returns the version.
    async fn until_audited(&self) -> u64 {
        match &self.audited {
            Some(namespace) => self.served.audits.until_changed(namespace, self.audits_seen).await,
            None => std::future::pending().await,
        }
    }
}
