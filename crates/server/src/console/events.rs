//! What happened in a namespace, the newest first, by filters that stand in the address.
//!
//! No index finds events by who did them, so a page looks at a bounded number of events; it says how far it came, and goes on from
//! there.

use askama::Template;
use axum::http::StatusCode;
use tenure::core::event::EventKind;
use tenure::core::id::Namespace;
use tenure::core::refusal::Refusal;
use tenure::core::time::Time;
use tenure::store::{Cursor, EventSearch, FoundHistory, Order, Recorded};
use tenure_view::history::{kind_words, told};
use tenure_view::words::{Instant, count, shortened};

use super::address::{encoded, task_path};
use super::asked::to;
use super::layout::{Layout, Place, respond};
use crate::handlers::search::{event_search, found};
use crate::problem::Problem;
use crate::route::{Answered, Asked};

/// How many events a page has.
const PAGE: usize = 50;
/// How many characters of what an event says are shown. The page of its task has all of it.
const WORDS_SHOWN: usize = 240;
/// The filters of the address, without the types.
const FILTERS: [&str; 4] = ["actor", "task", "since", "until"];
/// The types.
const KINDS: &str = "type";

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    layout: Layout,
    namespace: String,
    kinds: Vec<KindChoice>,
    /// Why a type that the address names is refused.
    kind_error: Option<String>,
    texts: Vec<Field>,
    /// Whether a filter was refused, so that nothing was looked for.
    is_refused: bool,
    is_filtered: bool,
    rows: Vec<EventRow>,
    /// Events that can't be read.
    unreadable: Vec<String>,
    /// How far it looked, if it stopped before the page was full.
    looked: Option<Looked>,
    /// The addresses of the page before, of the page behind, and of the first one, as far as there are any.
    newer: Option<String>,
    older: Option<String>,
    newest: Option<String>,
    /// Whether what happens from now on comes onto this page.
    is_live: bool,
}

/// A type of events that can be chosen.
struct KindChoice {
    word: &'static str,
    words: String,
    is_chosen: bool,
}

/// A filter to write.
struct Field {
    name: &'static str,
    words: &'static str,
    value: String,
    example: &'static str,
    /// Why it is refused.
    error: Option<String>,
}

/// An event.
struct EventRow {
    key: String,
    at: Instant,
    /// The id of the task, and its page; none for what happened in the namespace.
    task: Option<(String, String)>,
    kind: String,
    actor: String,
    words: String,
}

/// How far a page looked.
struct Looked {
    /// How many events it looked at, in words.
    number: String,
    to: Instant,
    is_towards_newer: bool,
}

/// Which way a page goes, and from where.
enum Direction {
    Older(Option<Cursor>),
    Newer(Cursor),
}

impl Direction {
    fn of(asked: &Asked) -> Result<Direction, Problem> {
        match (asked.query.one("before")?, asked.query.one("after")?) {
            (Some(_), Some(_)) => Err(Refusal::invalid("after", "not together with `before`").into()),
            (None, Some(after)) => Ok(Direction::Newer(Cursor::from_text(after))),
            (before, None) => Ok(Direction::Older(before.map(Cursor::from_text))),
        }
    }
}

/// `GET /history`.
pub(super) async fn page(asked: Asked) -> Answered {
    let namespace = asked.shown_namespace()?;
    let search = match event_search(&asked, namespace.clone()).await {
        Ok(search) => search,
        Err(problem) => return refused(&asked, namespace, problem).await,
    };
    let direction = Direction::of(&asked)?;
    let address = Address::of(&asked, namespace.as_str())?;
    let found = match &direction {
        Direction::Older(before) => found(&asked, search.clone(), ("before", before.clone()), PAGE).await?,
        Direction::Newer(after) => {
            let upwards = search.clone().with(|search| search.order = Order::Oldest);
            let mut found = found(&asked, upwards, ("after", Some(after.clone())), PAGE).await?;
            if found.page.next.is_none() {
                // There are no more than these before it: the first page has them, and is kept up to date.
                return to(&address.with(None));
            }
            found.page.items.reverse();
            found
        }
    };
    let now = asked.served.ledger.now().await?;
    let layout = Layout::of(&asked, Place::History, "History", &namespace, now).await?;
    let page = History::of(&asked, layout, (&search, &address), (&direction, &found), now);
    Ok(respond(StatusCode::OK, &page))
}

/// The form as it was filled, with the words beside the field that they are about.
async fn refused(asked: &Asked, namespace: Namespace, problem: Problem) -> Answered {
    let Some(field) = problem.field().filter(|field| *field == KINDS || FILTERS.contains(field)) else {
        return Err(problem);
    };
    let now = asked.served.ledger.now().await?;
    let layout = Layout::of(asked, Place::History, "History", &namespace, now).await?;
    let words = problem.detail().to_owned();
    let page = History {
        kinds: kinds(asked),
        kind_error: (field == KINDS).then(|| words.clone()),
        texts: texts(asked, Some((field, &words))),
        is_filtered: true,
        is_refused: true,
        ..History::empty(layout, &namespace)
    };
    Ok(respond(problem.status(), &page))
}

/// The types, as they were chosen.
fn kinds(asked: &Asked) -> Vec<KindChoice> {
    let chosen = asked.query.all(KINDS);
    let choice = |kind: EventKind| KindChoice {
        word: kind.as_str(),
        words: kind_words(kind.as_str()),
        is_chosen: chosen.iter().any(|word| word == kind.as_str()),
    };
    EventKind::ALL.map(choice).into()
}

/// The other filters, as they were written.
fn texts(asked: &Asked, error: Option<(&str, &str)>) -> Vec<Field> {
    let field = |name| {
        let (words, example) = match name {
            "actor" => ("Who", "alice"),
            "task" => ("Task", "build-42"),
            "since" => ("Since", "24h"),
            _ => ("Until", "1h"),
        };
        let value = asked.query.all(name).last().cloned().unwrap_or_default();
        let error = error.filter(|(field, _)| *field == name).map(|(_, words)| words.to_owned());
        Field { name, words, value, example, error }
    };
    FILTERS.map(field).into()
}

impl History {
    /// Without filters and events.
    fn empty(layout: Layout, namespace: &Namespace) -> History {
        History {
            layout,
            namespace: namespace.to_string(),
            kinds: Vec::new(),
            kind_error: None,
            texts: Vec::new(),
            is_refused: false,
            is_filtered: false,
            rows: Vec::new(),
            unreadable: Vec::new(),
            looked: None,
            newer: None,
            older: None,
            newest: None,
            is_live: false,
        }
    }

    fn of(
        asked: &Asked,
        layout: Layout,
        (search, address): (&EventSearch, &Address),
        (direction, found): (&Direction, &FoundHistory),
        now: Time,
    ) -> History {
        let items = &found.page.items;
        let next = found.page.next.as_ref().map(Cursor::as_str);
        let at = |recorded: Option<&Recorded>| recorded.map(|recorded| recorded.cursor.as_str().to_owned());
        let (first, last) = (at(items.first()), at(items.last()));
        let (newer, older) = match direction {
            Direction::Older(None) => (None, next.map(str::to_owned)),
            // Where nothing was found, it is left at the place from which it was looked.
            Direction::Older(Some(from)) => {
                (first.or_else(|| Some(from.as_str().to_owned())), next.map(str::to_owned))
            }
            Direction::Newer(from) => {
                (next.map(str::to_owned), last.or_else(|| Some(from.as_str().to_owned())))
            }
        };
        let (is_first, is_towards_newer) = match direction {
            Direction::Older(before) => (before.is_none(), false),
            Direction::Newer(_) => (false, true),
        };
        let looked = found.looked_to.filter(|_| items.len() < PAGE).map(|to| Looked {
            number: count(search.looks as u64, "event"),
            to: Instant::of(to, now),
            is_towards_newer,
        });
        History {
            kinds: kinds(asked),
            texts: texts(asked, None),
            is_filtered: !address.filters.is_empty(),
            rows: items.iter().map(|recorded| event_row(recorded, now)).collect(),
            unreadable: found.page.unreadable.clone(),
            looked,
            newer: newer.map(|cursor| address.with(Some(("after", &cursor)))),
            older: older.map(|cursor| address.with(Some(("before", &cursor)))),
            newest: (!is_first).then(|| address.with(None)),
            is_live: is_first && search.until.is_none(),
            ..History::empty(layout, &search.namespace)
        }
    }
}

fn event_row(Recorded { cursor, event, .. }: &Recorded, now: Time) -> EventRow {
    EventRow {
        key: cursor.as_str().to_owned(),
        at: Instant::of(event.at, now),
        task: event.subject.task().map(|task| (task.to_string(), task_path(&event.namespace, task))),
        kind: kind_words(event.what.kind()),
        actor: event.actor.to_string(),
        words: shortened(&told(&event.what), WORDS_SHOWN),
    }
}

fn said(asked: &Asked, name: &'static str) -> Result<Option<String>, Problem> {
    Ok(asked.query.one(name)?.map(str::to_owned))
}

/// The address of the page, with its filters as they were written: `24h` stays a day ago.
struct Address {
    namespace: String,
    filters: Vec<(&'static str, String)>,
}

impl Address {
    fn of(asked: &Asked, namespace: &str) -> Result<Address, Problem> {
        let kinds = asked.query.all(KINDS).iter().map(|word| (KINDS, word.clone()));
        let mut filters: Vec<_> = kinds.collect();
        for name in FILTERS {
            filters.extend(said(asked, name)?.map(|value| (name, value)));
        }
        Ok(Address { namespace: namespace.to_owned(), filters })
    }

    /// From that cursor on; without one it is the first page.
    fn with(&self, cursor: Option<(&str, &str)>) -> String {
        let filters = self.filters.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs = [("ns", self.namespace.as_str())].into_iter().chain(filters).chain(cursor);
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("/history?{}", pairs.join("&"))
    }
}
