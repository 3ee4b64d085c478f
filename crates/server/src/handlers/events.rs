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
use tenure::store::size::event_bytes;
use tenure::store::{Cursor, EventFilter, Page, PageSize, Recorded, Store};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{PAGE_MAX, cursor, limit, no_longer_known, page as bounded, wait_in};
use crate::access::Caller;
use crate::headers::{self, LAST_EVENT_ID, wants_stream};
use crate::memory::RequestMemory;
use crate::problem::Problem;
use crate::quotas::{Taken, TokenQuota};
use crate::route::{Answered, Asked, json};
use crate::state::ServerState;

/// What is read from the store at once for a stream, and kept until its reader has taken it. An event that is larger is read alone.
const PAGE: PageSize = PageSize { items: 256, bytes: 128 * 1024 };
/// How much of a stream is given at once.
const PIECE_BYTES: usize = 32 * 1024;
/// The least time between two looks of one reader, however much happens that is not for it.
const LOOK_APART: Duration = Duration::from_millis(20);

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
    let (after, limit) = (cursor(&asked.query, "after")?, limit(&asked.query)?);
    let Seen { page, .. } = match wait_in(&asked.query)?.filter(|wait| !wait.is_zero()) {
        None => seen(asked, &filter, after, limit).await?,
        Some(wait) => {
            let _room = asked.quota.wait()?;
            tokio::select! {
                waited = waited_for(asked, &filter, (after, limit), wait) => waited?,
                problem = no_longer_known(asked) => return Err(problem),
            }
        }
    };
    Ok(json(StatusCode::OK, &EventPage::from(&page)))
}

/// What the caller may see of some of the history.
struct Seen {
    page: Page<Recorded>,
    /// Whether more is there already.
    has_more: bool,
}

/// What the caller may see of what is there.
async fn seen(
    asked: &Asked,
    filter: &EventFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Seen, Problem> {
    let _room = asked.quota.scan().await?;
    let store = asked.served.ledger.store();
    let read = async |size| {
        store.events(filter.clone(), after, size).await.map_err(|error| of_place(error, "after"))
    };
    let mut page = bounded(asked, limit, read, event_bytes).await?;
    let has_more = page.is_cut || page.items.len() >= limit;
    page.items.retain(|recorded| asked.caller.namespaces.contains(&recorded.event.namespace));
    Ok(Seen { page, has_more })
}

/// The same, waited for: much happens in a store that the caller did not ask for, or must not see. That is passed over in large
/// steps, however few were asked for.
async fn waited_for(
    asked: &Asked,
    filter: &EventFilter,
    (mut after, limit): (Option<Cursor>, usize),
    wait: Duration,
) -> Result<Seen, Problem> {
    let (mut over, mut step) = (pin!(tokio::time::sleep(wait)), limit);
    loop {
        let Seen { mut page, has_more } = seen(asked, filter, after.clone(), step).await?;
        let is_over = over.is_elapsed() || asked.served.stopping.is_cancelled();
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
        // However much happens that is not for this one, it does not look for each of it.
        tokio::time::sleep(LOOK_APART).await;
        tokio::select! {
            more = asked.served.ledger.store().more_events(after.clone()) => more?,
            () = over.as_mut() => {}
            () = asked.served.stopping.cancelled() => {}
        }
    }
}

/// What is wrong with a place in the history, by the name under which it was given.
fn of_place(error: Error, name: &'static str) -> Problem {
    match error {
        Error::Refused(refusal) if refusal.field == Some("cursor") => {
            let limit = refusal.message.trim_start_matches("cursor: ");
            Refusal::invalid(name, limit).into()
        }
        Error::Refused(_) | Error::Unavailable(_) | Error::Corrupt(_) | Error::Unknown(_) => error.into(),
    }
}

/// Where a stream begins: behind what its reader saw last, or behind what it names, or now.
async fn beginning(asked: &Asked) -> Result<(&'static str, Cursor), Problem> {
    if let Some(id) = last_event_id(&asked.head.headers)? {
        return Ok(("Last-Event-ID", id));
    }
    match cursor(&asked.query, "after")? {
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
    let room = asked.quota.stream()?;
    let (name, after) = beginning(&asked).await?;
    // A place that no history gave is refused before the stream begins: afterwards nobody could be told.
    let one = PageSize { items: 1, bytes: 0 };
    let looked = asked.served.ledger.store().events(filter.clone(), Some(after.clone()), one).await;
    looked.map_err(|error| of_place(error, name))?;
    // What is read of a page is handed over piece by piece, and nothing is kept in between.
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
        _room: room,
    };
    tokio::spawn(source.run());
    let body = Body::new(StreamBody::new(Pieces(reader)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that gather answers would keep events from whoever waits for them.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// What a stream says of an event that can't be read.
#[derive(Serialize)]
struct Unreadable<'a> {
    message: &'a str,
}

/// What feeds a stream. No more than one page is kept for a reader that is slow.
struct Source {
    served: Arc<ServerState>,
    caller: Caller,
    quota: Arc<TokenQuota>,
    head: Parts,
    filter: EventFilter,
    after: Cursor,
    lines: mpsc::Sender<Bytes>,
    /// When something was said last.
    said: Moment,
    stopping: CancellationToken,
    _room: Taken,
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
            () = stopping.cancelled() => {}
        }
    }

    /// Ends when the reader may not read any more, does not read, or the store can't be read: then it comes again.
    async fn feed(&mut self) -> Option<Infallible> {
        let store = Arc::clone(self.served.ledger.store());
        loop {
            let silent_for = Moment::now().since(self.said);
            let left = self.silent_max().saturating_sub(silent_for.into());
            // Looked at first: where others make events all the time, there are always more to look through.
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

    /// Reads a page and hands it over. Its memory is taken before it is read, and given back once the reader has all of it: a
    /// stream that has nothing to say takes none.
    async fn give_page(&mut self, store: &Arc<dyn Store>) -> Option<()> {
        let memory = RequestMemory::of(Arc::clone(&self.quota), 0);
        let mut taken = PAGE.bytes;
        let page = loop {
            self.until_taken(&memory, taken).await?;
            let _room = self.quota.scan().await.ok()?;
            let page = store.events(self.filter.clone(), Some(self.after.clone()), PAGE).await.ok()?;
            // An event that is larger than a page is not kept while its memory is waited for, but read again.
            match page.items.iter().map(event_bytes).sum() {
                bytes if bytes > taken => {
                    taken = bytes;
                    // Those who hold some of it while they wait for more would wait for one another.
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
        // Behind what could not be read, too.
        self.after = if page.unreadable.is_empty() { last.or(page.next)? } else { page.next? };
        Some(())
    }

    /// Takes memory for so many bytes, however long that takes: a stream is slow before it fails.
    async fn until_taken(&self, memory: &RequestMemory, bytes: usize) -> Option<()> {
        while memory.for_answer(bytes).await.is_err() {
            self.may_read().await?;
        }
        Some(())
    }

    /// How long it is silent before it says that it is there, when its reader is looked at, too.
    fn silent_max(&self) -> Duration {
        self.served.options.limits.token_check_every
    }

    /// A token that was revoked ends its streams, too.
    async fn may_read(&self) -> Option<()> {
        self.served.is_still_known(&self.head).await.then_some(())
    }

    /// A reader that is slow is waited for; one that may not read any more, or takes nothing, is not waited for for ever. It is
    /// given pieces, each of which is kept alone: of what it has not taken yet, the rest is still here, with its memory.
    async fn say(&mut self, words: &[u8]) -> Option<()> {
        for piece in words.chunks(PIECE_BYTES) {
            let room = loop {
                match timeout(self.silent_max(), self.lines.reserve()).await {
                    Ok(room) => break room.ok()?,
                    Err(_) => self.may_read().await?,
                }
            };
            room.send(Bytes::copy_from_slice(piece));
        }
        self.said = Moment::now();
        Some(())
    }
}

/// An event on the stream: its id comes before its data, so that nobody has the one without the other.
fn told(recorded: &Recorded) -> Vec<u8> {
    let (id, kind) = (recorded.cursor.as_str(), recorded.event.what.kind());
    let mut text = Vec::with_capacity(event_bytes(recorded) + 2 * id.len() + 64);
    text.extend_from_slice(format!("id: {id}\nevent: {kind}\ndata: ").as_bytes());
    tenure::api::write_json(&Event::from(recorded), &mut text);
    text.extend_from_slice(b"\n\n");
    text
}

/// The pieces of a stream, as a body wants them.
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
