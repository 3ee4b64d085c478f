//! The history, as pages and as streams of events.
//!
//! A page may wait for something behind its place. A stream gives each event once and in order, with its cursor as id, so
//! that whoever lost the connection goes on where it was.

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
use tenure::Error;
use tenure::clock::Moment;
use tenure::core::refusal::Refusal;
use tenure::record::{EventRecord, EventsPage};
use tenure::store::{Cursor, EventFilter, Page, Recorded};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{PAGE_MAX, budget, cursor, limit, no_longer_known, wait};
use crate::access::Caller;
use crate::headers::{self, LAST_EVENT_ID, wants_stream};
use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};
use crate::served::Served;
use crate::shares::{Share, Taken};

/// Events that are read from the store at once for a stream.
const PAGE: usize = 256;
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
                return Err(
                    Refusal::invalid(name, "a stream has none: it goes on until its reader ends it").into()
                );
            }
        }
        stream(asked, filter).await
    } else {
        page(&asked, filter).await
    }
}

async fn page(asked: &Asked, filter: EventFilter) -> Answered {
    let (after, limit) = (cursor(&asked.query, "after")?, limit(&asked.query)?);
    let Seen { page, is_cut, .. } = match wait(asked.query.one("wait")?)?.filter(|wait| !wait.is_zero()) {
        None => seen(asked, &filter, after, limit).await?,
        Some(wait) => {
            let _room = asked.share.wait()?;
            tokio::select! {
                waited = waited_for(asked, &filter, (after, limit), wait) => waited?,
                problem = no_longer_known(asked) => return Err(problem),
            }
        }
    };
    Ok(json(StatusCode::OK, &EventsPage::of(&page).with_more(is_cut)))
}

/// What the caller may see of some of the history.
struct Seen {
    page: Page<Recorded>,
    /// Whether they are fewer than were asked for since they are large.
    is_cut: bool,
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
    let _room = asked.share.scan().await?;
    let store = asked.served.ledger.store();
    let read = |after, limit| store.events(filter.clone(), after, limit);
    let read = budget::within((after, limit), read, |recorded: &Recorded| recorded.data.len()).await;
    let (mut page, is_cut) = read.map_err(|error| of_place(error, "after"))?;
    let has_more = is_cut || page.items.len() >= limit;
    page.items.retain(|recorded| asked.caller.rooms.contains(&recorded.event.namespace));
    Ok(Seen { page, is_cut, has_more })
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
        let Seen { mut page, mut is_cut, has_more } = seen(asked, filter, after.clone(), step).await?;
        let is_over = over.is_elapsed() || asked.served.stopping.is_cancelled();
        if !page.items.is_empty() || is_over {
            if page.items.len() > limit {
                page.items.truncate(limit);
                page.next = page.items.last().map(|last| last.cursor.clone());
                is_cut = false;
            }
            return Ok(Seen { page, is_cut, has_more });
        }
        (after, step) = (page.next.or(after), PAGE_MAX);
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
        Error::Refused(_) | Error::Unavailable(_) | Error::Unknown(_) => error.into(),
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
        Some("") => Err(Refusal::invalid("Last-Event-ID", "the id of an event of this stream").into()),
        said => Ok(said.map(Cursor::from_text)),
    }
}

async fn stream(asked: Asked, filter: EventFilter) -> Answered {
    let room = asked.share.stream()?;
    let (name, after) = beginning(&asked).await?;
    // A place that no history gave is refused before the stream begins: afterwards nobody could be told.
    let looked = asked.served.ledger.store().events(filter.clone(), Some(after.clone()), 1).await;
    looked.map_err(|error| of_place(error, name))?;
    let (lines, reader) = mpsc::channel(16);
    let source = Source {
        stopping: asked.served.stopping.clone(),
        served: asked.served,
        caller: asked.caller,
        share: asked.share,
        head: asked.head,
        filter,
        after,
        lines,
        said: Moment::now(),
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

/// What feeds a stream. No more than a page is kept for a reader that is slow.
struct Source {
    served: Arc<Served>,
    caller: Caller,
    share: Arc<Share>,
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
        if self.say("retry: 1000\n\n".to_owned()).await.is_none() {
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
            let more = timeout(left, store.more_events(Some(self.after.clone()))).await;
            let Ok(more) = more else {
                self.may_read().await?;
                self.say(": still here\n\n".to_owned()).await?;
                continue;
            };
            more.ok()?;
            let read = |after, limit| store.events(self.filter.clone(), after, limit);
            let size = |recorded: &Recorded| recorded.data.len();
            let place = (Some(self.after.clone()), PAGE);
            let (page, _) = {
                let _room = self.share.scan().await.ok()?;
                budget::within(place, read, size).await.ok()?
            };
            self.may_read().await?;
            for recorded in &page.items {
                if self.caller.rooms.contains(&recorded.event.namespace) {
                    self.say(told(recorded)).await?;
                }
            }
            self.after = page.items.last().map(|last| last.cursor.clone()).or(page.next)?;
            tokio::time::sleep(LOOK_APART).await;
        }
    }

    /// How long it is silent before it says that it is there, when its reader is looked at, too.
    fn silent_max(&self) -> Duration {
        self.served.options.limits.token_check_every
    }

    /// A token that was revoked ends its streams, too.
    async fn may_read(&self) -> Option<()> {
        self.served.is_still_known(&self.head).await.then_some(())
    }

    /// A reader that is slow is waited for; one that may not read any more, or takes nothing, is not waited for for ever.
    async fn say(&mut self, words: String) -> Option<()> {
        let words = Bytes::from(words);
        let room = loop {
            match timeout(self.silent_max(), self.lines.reserve()).await {
                Ok(room) => break room.ok()?,
                Err(_) => self.may_read().await?,
            }
        };
        room.send(words);
        self.said = Moment::now();
        Some(())
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
