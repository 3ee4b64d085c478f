//! The history, as pages and as streams of events.
//!
//! A page may wait for an event after its cursor. A stream gives each event once and in order, with its cursor as id,
//! so that a client that lost the connection can resume.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Serialize;
use tenure::Error;
use tenure::api::event::Event;
use tenure::api::list::EventPage;
use tenure::clock::Moment;
use tenure::core::refusal::Refusal;
use tenure::stop::StopSignal;
use tenure::store::size::event_bytes;
use tenure::store::{Cursor, EventFilter, Page, PageSize, Recorded, Store};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::retention::place_of_named;
use super::{PAGE_MAX, cursor, limit, no_longer_known, page as bounded, wait_in};
use crate::access::Caller;
use crate::headers::{self, LAST_EVENT_ID, wants_stream};
use crate::memory::RequestMemory;
use crate::problem::Problem;
use crate::quotas::{Taken, TokenQuota};
use crate::route::{Answered, Asked, json};
use crate::state::ServerState;

/// How much is read from the store at once for a stream, and kept until the client has taken it. A larger event is read alone.
const PAGE: PageSize = PageSize { items: 256, bytes: 128 * 1024 };
/// How much of a stream is written at once.
const PIECE_BYTES: usize = 32 * 1024;
/// The minimum time between two reads for one client, even if many events happen that are not for it.
const LOOK_APART: Duration = Duration::from_millis(20);

/// `GET …/events` of a namespace.
pub(crate) async fn of_namespace(asked: Asked) -> Answered {
    let namespace = Some(asked.namespace()?.clone());
    answer(asked, EventFilter::default().with(|filter| filter.namespace = namespace)).await
}

/// `GET …/tasks/{id}/events`.
pub(crate) async fn of_task(asked: Asked) -> Answered {
    let (namespace, id) = (Some(asked.namespace()?.clone()), asked.id()?);
    asked.ledger()?.task(id.as_str()).await?;
    answer(
        asked,
        EventFilter::default().with(|filter| {
            filter.namespace = namespace;
            filter.task = Some(id);
        }),
    )
    .await
}

/// `GET /v1/events`: of the namespaces that the caller may see.
pub(crate) async fn of_all(asked: Asked) -> Answered {
    let task = asked.query.one("task")?.map(tenure::core::id::TaskId::new).transpose()?;
    answer(asked, EventFilter::default().with(|filter| filter.task = task)).await
}

async fn answer(asked: Asked, filter: EventFilter) -> Answered {
    if wants_stream(&asked.head.headers) {
        for name in ["limit", "wait"] {
            if asked.query.one(name)?.is_some() {
                return Err(Refusal::invalid(name, "not allowed for a stream, which has no end").into());
            }
        }
        stream(asked, filter).await
    } else {
        page(&asked, filter).await
    }
}

async fn page(asked: &Asked, filter: EventFilter) -> Answered {
    let (after, limit) = (given_place(asked).await?, limit(&asked.query)?);
    let Seen { page, .. } = match wait_in(&asked.query)?.filter(|wait| !wait.is_zero()) {
        None => seen(asked, &filter, after, limit).await?,
        Some(wait) => {
            let _permit = asked.quota.wait()?;
            tokio::select! {
                waited = waited_for(asked, &filter, (after, limit), wait) => waited?,
                problem = no_longer_known(asked) => return Err(problem),
            }
        }
    };
    Ok(json(StatusCode::OK, &EventPage::from(&page)))
}

/// The part of a page of the history that the caller may see.
struct Seen {
    page: Page<Recorded>,
    /// Whether there are more events already.
    has_more: bool,
}

/// The next events that the caller may see.
async fn seen(
    asked: &Asked,
    filter: &EventFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Seen, Problem> {
    let _permit = asked.quota.scan().await?;
    let store = asked.served.ledger.store();
    let read = async |size| {
        store.events(filter.clone(), after, size).await.map_err(|error| of_place(error, "after"))
    };
    let mut page = bounded(asked, limit, read, event_bytes).await?;
    let has_more = page.is_cut || page.items.len() >= limit;
    page.items.retain(|recorded| asked.caller.namespaces.contains(&recorded.event.namespace));
    Ok(Seen { page, has_more })
}

/// The same, but waits for an event. Events that the caller did not ask for or must not see are skipped in large pages, even if the
/// caller asks for a few only.
async fn waited_for(
    asked: &Asked,
    filter: &EventFilter,
    (mut after, limit): (Option<Cursor>, usize),
    wait: Duration,
) -> Result<Seen, Problem> {
    let (mut over, mut step) = (pin!(tokio::time::sleep(wait)), limit);
    loop {
        let Seen { mut page, has_more } = seen(asked, filter, after.clone(), step).await?;
        let is_over = over.is_elapsed() || asked.served.stopping.is_stopped();
        if !page.items.is_empty() || !page.unreadable.is_empty() || is_over {
            if page.items.len() > limit {
                page.items.truncate(limit);
                page.next = page.items.last().map(|last| last.cursor.clone());
                page.is_cut = false;
            }
            return Ok(Seen { page, has_more });
        }
        (after, step) = (page.next.or(after), PAGE_MAX);
        asked.memory.give_back();
        if has_more {
            continue;
        }
        // Many events that are not for this caller must not cause a read each.
        tokio::time::sleep(LOOK_APART).await;
        tokio::select! {
            more = asked.served.ledger.store().more_events(after.clone()) => more?,
            () = over.as_mut() => {}
            () = asked.served.stopping.stopped() => {}
        }
    }
}

/// The refusal of a wrong cursor, with the name of the field or header that has it.
pub(super) fn of_place(error: Error, name: &'static str) -> Problem {
    if let Some(refusal) = error.refusal()
        && refusal.field == Some("cursor")
    {
        return Refusal::invalid(name, refusal.message.trim_start_matches("cursor: ")).into();
    }
    error.into()
}

/// The cursor that the caller gives: itself, or by its name.
async fn given_place(asked: &Asked) -> Result<Option<Cursor>, Problem> {
    let after = cursor(&asked.query, "after")?;
    match place_of_named(asked).await? {
        Some(_) if after.is_some() => {
            Err(Refusal::invalid("cursor_name", "not allowed together with after").into())
        }
        Some(place) => Ok(Some(place)),
        None => Ok(after),
    }
}

/// Where a stream begins: after the last event that the client received, or after the cursor that it gives, or now.
async fn beginning(asked: &Asked) -> Result<(&'static str, Cursor), Problem> {
    if let Some(id) = last_event_id(&asked.head.headers)? {
        return Ok(("Last-Event-ID", id));
    }
    match given_place(asked).await? {
        Some(after) => Ok(("after", after)),
        None => Ok(("after", asked.served.ledger.newest().await?)),
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    match headers::one(headers, &LAST_EVENT_ID, "Last-Event-ID")? {
        Some("") => {
            Err(Refusal::invalid("Last-Event-ID", "must be the id of an event of this stream").into())
        }
        said => Ok(said.map(Cursor::from_text)),
    }
}

async fn stream(asked: Asked, filter: EventFilter) -> Answered {
    let permit = asked.quota.stream()?;
    let (name, after) = beginning(&asked).await?;
    // A wrong cursor is refused before the stream begins: afterwards the client can't be told.
    let one = PageSize { items: 1, bytes: 0 };
    let looked = asked.served.ledger.store().events(filter.clone(), Some(after.clone()), one).await;
    looked.map_err(|error| of_place(error, name))?;
    // A page is written piece by piece, and nothing is kept in between.
    let (lines, reader) = mpsc::channel(1);
    let source = Source {
        stopping: asked.served.stopping.clone(),
        served: asked.served,
        caller: asked.caller,
        quota: asked.quota,
        head: asked.head,
        filter,
        after,
        lines,
        said: Moment::now(),
        _permit: permit,
    };
    tokio::spawn(source.run());
    Ok(event_stream(reader))
}

/// The response to a client that listens: what comes from that channel.
pub(crate) fn event_stream(reader: mpsc::Receiver<Bytes>) -> Response<Body> {
    let body = Body::new(StreamBody::new(Pieces(reader)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that buffers responses would delay events.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// The message of a stream about an event that can't be read.
#[derive(Serialize)]
struct Unreadable<'a> {
    message: &'a str,
}

/// Reads events and writes them to a stream. It keeps at most one page for a slow client.
struct Source {
    served: Arc<ServerState>,
    caller: Caller,
    quota: Arc<TokenQuota>,
    head: Parts,
    filter: EventFilter,
    after: Cursor,
    lines: mpsc::Sender<Bytes>,
    /// When it last wrote something.
    said: Moment,
    stopping: StopSignal,
    _permit: Taken,
}

impl Source {
    async fn run(mut self) {
        let _counted = self.served.metrics.stream();
        if self.say(b"retry: 1000\n\n").await.is_none() {
            return;
        }
        let (stopping, lines) = (self.stopping.clone(), self.lines.clone());
        tokio::select! {
            _ = self.feed() => {}
            () = lines.closed() => {}
            () = stopping.stopped() => {}
        }
    }

    /// Ends when the client may no longer read, stops reading, or the store can't be read; the client then reconnects.
    async fn feed(&mut self) -> Option<Infallible> {
        let store = Arc::clone(self.served.ledger.store());
        loop {
            let silent_for = Moment::now().since(self.said);
            let left = self.silent_max().saturating_sub(silent_for.into());
            // Checked first: while others write events all the time, there are always more to read.
            let more = match left.is_zero() {
                true => None,
                false => timeout(left, store.more_events(Some(self.after.clone()))).await.ok(),
            };
            let Some(more) = more else {
                self.may_read().await?;
                self.say(b": still here\n\n").await?;
                continue;
            };
            more.ok()?;
            self.give_page(&store).await?;
            tokio::time::sleep(LOOK_APART).await;
        }
    }

    /// Reads a page and writes it. Its memory is taken before the read and given back once the client has all of it. An idle stream
    /// takes none.
    async fn give_page(&mut self, store: &Arc<dyn Store>) -> Option<()> {
        let memory = RequestMemory::of(Arc::clone(&self.quota), 0);
        let mut taken = PAGE.bytes;
        let page = loop {
            self.until_taken(&memory, taken).await?;
            let _permit = self.quota.scan().await.ok()?;
            let page = store.events(self.filter.clone(), Some(self.after.clone()), PAGE).await.ok()?;
            // An event larger than a page is not kept while this waits for memory; it is read again.
            match page.items.iter().map(event_bytes).sum() {
                bytes if bytes > taken => {
                    taken = bytes;
                    // Streams that hold some memory while they wait for more would wait for one another.
                    memory.give_back();
                }
                _ => break page,
            }
        };
        self.may_read().await?;
        let last = page.items.last().map(|last| last.cursor.clone());
        for recorded in page.items {
            if self.caller.namespaces.contains(&recorded.event.namespace) {
                self.say(&told(&recorded)).await?;
            }
        }
        for words in &page.unreadable {
            let told = tenure::api::to_json(&Unreadable { message: words });
            self.say(format!("event: unreadable\ndata: {told}\n\n").as_bytes()).await?;
        }
        // Events that could not be read are behind it, too.
        self.after = if page.unreadable.is_empty() { last.or(page.next)? } else { page.next? };
        Some(())
    }

    /// Takes memory for that many bytes and waits as long as necessary: a slow stream is better than a failed one.
    async fn until_taken(&self, memory: &RequestMemory, bytes: usize) -> Option<()> {
        while memory.for_answer(bytes).await.is_err() {
            self.may_read().await?;
        }
        Some(())
    }

    /// How long it is silent before it sends a comment. Its client's token is checked as often.
    fn silent_max(&self) -> Duration {
        self.served.options.limits.token_check_every
    }

    /// A token that was revoked ends its streams, too.
    async fn may_read(&self) -> Option<()> {
        self.served.is_still_known(&self.head).await.then_some(())
    }

    /// Waits for a slow client, but not forever for one that may no longer read or takes nothing. The client gets one piece after the
    /// other; what it has not taken yet is still here, with its memory.
    async fn say(&mut self, words: &[u8]) -> Option<()> {
        for piece in words.chunks(PIECE_BYTES) {
            let slot = loop {
                match timeout(self.silent_max(), self.lines.reserve()).await {
                    Ok(slot) => break slot.ok()?,
                    Err(_) => self.may_read().await?,
                }
            };
            slot.send(Bytes::copy_from_slice(piece));
        }
        self.said = Moment::now();
        Some(())
    }
}

/// An event on the stream. Its id comes before its data, so that a client never has the data without the id.
fn told(recorded: &Recorded) -> Vec<u8> {
    let (id, kind) = (recorded.cursor.as_str(), recorded.event.what.kind());
    let mut text = Vec::with_capacity(event_bytes(recorded) + 2 * id.len() + 64);
    text.extend_from_slice(format!("id: {id}\nevent: {kind}\ndata: ").as_bytes());
    tenure::api::write_json(&Event::from(recorded), &mut text);
    text.extend_from_slice(b"\n\n");
    text
}

/// The pieces of a stream as a response body.
struct Pieces(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Pieces {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
