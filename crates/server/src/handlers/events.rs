//! The history, as pages and as streams of events.
//!
//! A page may wait for something behind its place. A stream gives each event once and in order, with its cursor as id, so
//! that whoever lost the connection goes on where it was.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tenure::core::refusal::Refusal;
use tenure::record::{EventRecord, EventsPage};
use tenure::store::{Cursor, EventFilter, Recorded};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{cursor, limit, wait};
use crate::access::Caller;
use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};
use crate::served::Served;
use crate::shares::Taken;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often a stream that has nothing to say says that it is there, and whether its reader still may read is looked at.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Events that are read from the store at once for a stream.
const PAGE: usize = 256;

/// `GET …/events` of a namespace.
pub(crate) async fn of_namespace(asked: Asked) -> Answered {
    let namespace = Some(asked.namespace()?.clone());
    answer(asked, EventFilter { namespace, task: None }).await
}

/// `GET …/tasks/{id}/events`.
pub(crate) async fn of_task(asked: Asked) -> Answered {
    let (namespace, id) = (Some(asked.namespace()?.clone()), asked.id()?);
    asked.ledger()?.task(id.as_str()).await?;
    answer(asked, EventFilter { namespace, task: Some(id) }).await
}

/// `GET /v1/events`: of the namespaces that the caller may see.
pub(crate) async fn of_all(asked: Asked) -> Answered {
    let task = asked.query.one("task")?.map(tenure::core::id::TaskId::new).transpose()?;
    answer(asked, EventFilter { namespace: None, task }).await
}

async fn answer(asked: Asked, filter: EventFilter) -> Answered {
    let accepted = asked.head.headers.get(ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    if accepted.split(',').any(|kind| kind.trim().starts_with("text/event-stream")) {
        stream(asked, filter).await
    } else {
        page(&asked, filter).await
    }
}

async fn page(asked: &Asked, filter: EventFilter) -> Answered {
    let store = asked.served.ledger.store();
    let (after, limit) = (cursor(&asked.query, "after")?, limit(&asked.query)?);
    if let Some(wait) = wait(asked.query.one("wait")?)?.filter(|wait| !wait.is_zero()) {
        let _room = asked.share.wait()?;
        tokio::select! {
            more = store.more_events(after.clone()) => more?,
            () = tokio::time::sleep(wait) => {}
            () = asked.served.stopping.cancelled() => {}
        }
    }
    let mut page = store.events(filter, after, limit).await?;
    page.items.retain(|recorded| asked.caller.rooms.contains(&recorded.event.namespace));
    Ok(json(StatusCode::OK, &EventsPage::of(&page)))
}

/// Where a stream begins: behind what its reader saw last, or behind what it names, or now.
async fn beginning(asked: &Asked) -> Result<Cursor, Problem> {
    if let Some(id) = last_event_id(&asked.head.headers)? {
        return Ok(id);
    }
    match cursor(&asked.query, "after")? {
        Some(after) => Ok(after),
        None => Ok(asked.served.ledger.newest().await?),
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Refusal::invalid("Last-Event-ID", "the id of an event of this stream"))?;
    Ok(Some(Cursor::from_text(text)))
}

async fn stream(asked: Asked, filter: EventFilter) -> Answered {
    let room = asked.share.stream()?;
    let after = beginning(&asked).await?;
    // A place that no history gave is refused before the stream begins: afterwards nobody could be told.
    asked.served.ledger.store().events(filter.clone(), Some(after.clone()), 1).await?;
    let (lines, reader) = mpsc::channel(16);
    let source = Source {
        stopping: asked.served.stopping.clone(),
        served: asked.served,
        caller: asked.caller,
        head: asked.head,
        filter,
        after,
        lines,
        _room: room,
    };
    tokio::spawn(source.run());
    let body = Body::new(StreamBody::new(Lines(reader)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that gather answers would keep events from whoever waits for them.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// What feeds a stream. A reader that is slow is waited for, so that no more than a page is kept for it.
struct Source {
    served: Arc<Served>,
    caller: Caller,
    head: Parts,
    filter: EventFilter,
    after: Cursor,
    lines: mpsc::Sender<Bytes>,
    stopping: CancellationToken,
    _room: Taken,
}

impl Source {
    async fn run(mut self) {
        let _counted = self.served.metrics.stream();
        if self.say("retry: 1000\n\n".to_owned()).await.is_none() {
            return;
        }
        let stopping = self.stopping.clone();
        tokio::select! {
            _ = self.feed() => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Ends when the reader is gone, may not read any more, or the store can't be read: then it comes again.
    async fn feed(&mut self) -> Option<Infallible> {
        loop {
            let store = Arc::clone(self.served.ledger.store());
            let more = tokio::time::timeout(SIGN_OF_LIFE, store.more_events(Some(self.after.clone()))).await;
            match more {
                Ok(more) => more.ok()?,
                Err(_) => {
                    self.may_read().await?;
                    self.say(": still here\n\n".to_owned()).await?;
                    continue;
                }
            }
            let page = store.events(self.filter.clone(), Some(self.after.clone()), PAGE).await.ok()?;
            self.may_read().await?;
            for recorded in &page.items {
                if self.caller.rooms.contains(&recorded.event.namespace) {
                    self.say(told(recorded)).await?;
                }
            }
            self.after = page.items.last().map(|last| last.cursor.clone()).or(page.next)?;
        }
    }

    /// A token that was revoked ends its streams, too.
    async fn may_read(&self) -> Option<()> {
        self.served.is_still_known(&self.head).await.then_some(())
    }

    async fn say(&self, words: String) -> Option<()> {
        self.lines.send(Bytes::from(words)).await.ok()
    }
}

/// An event on the stream: its id comes before its data, so that nobody has the one without the other.
fn told(recorded: &Recorded) -> String {
    let data = tenure::record::json(&EventRecord::of(recorded));
    format!("id: {}\nevent: {}\ndata: {data}\n\n", recorded.cursor.as_str(), recorded.event.what.kind())
}

/// The lines of a stream, as a body wants them.
struct Lines(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Lines {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
