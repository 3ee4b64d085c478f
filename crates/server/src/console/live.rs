//! Tells an open page that something changed, so that it loads itself again. It says no more than that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use tenure::core::id::TaskId;
use tenure::store::{Cursor, EventFilter, PageSize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::access::Audience;
use crate::handlers::events::event_stream;
use crate::quotas::{Taken, TokenQuota};
use crate::route::{Answered, Asked};
use crate::state::ServerState;

/// The pause after each word: a page that changes more often is not calmer to read.
const APART: Duration = Duration::from_millis(500);

/// `GET /live`.
pub(super) async fn stream(asked: Asked) -> Answered {
    let (permit, namespace) = (asked.quota.stream()?, asked.shown_namespace()?);
    let task = asked.query.one("task")?.map(TaskId::new).transpose()?;
    let filter = EventFilter::default().with(|filter| {
        filter.namespace = Some(namespace);
        filter.task = task;
    });
    let after = asked.served.ledger.newest().await?;
    let (lines, reader) = mpsc::channel(1);
    let (served, head, quota) = (asked.served, asked.head, asked.quota);
    let watch = Watch { served, head, quota, filter, after, lines, _permit: permit };
    tokio::spawn(watch.run());
    Ok(event_stream(reader))
}

struct Watch {
    served: Arc<ServerState>,
    head: Parts,
    quota: Arc<TokenQuota>,
    filter: EventFilter,
    after: Cursor,
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
            let more = timeout(wait, store.more_events(Some(self.after.clone()))).await;
            self.served.caller(Audience::Person, &self.head).await.ok()?;
            let Ok(more) = more else {
                self.lines.send(Bytes::from_static(b": still here\n\n")).await.ok()?;
                continue;
            };
            more.ok()?;
            // What happens while this rests is told with it.
            let newest = store.newest().await.ok()?;
            let permit = self.quota.scan().await.ok()?;
            let events = store.events(self.filter.clone(), Some(self.after.clone()), one).await.ok()?;
            drop(permit);
            self.after = newest;
            if !events.items.is_empty() || !events.unreadable.is_empty() {
                self.lines.send(Bytes::from_static(b"event: changed\ndata: \n\n")).await.ok()?;
            }
            tokio::time::sleep(APART).await;
        }
    }
}
