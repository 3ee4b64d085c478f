//! The `Store` trait: what a store must do. It contains no rules about tasks.
//!
//! A store remembers. In one transaction it loads what a command names, asks the core, and writes what follows. It
//! answers after the commit. `store/execute.rs` has what one command does in a transaction, once for all stores.

pub mod answering;
pub(crate) mod columns;
pub(crate) mod due;
pub mod ends;
pub(crate) mod execute;
pub mod memory;
pub mod overview;
#[cfg(any(feature = "postgres", feature = "remote"))]
mod patience;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "remote")]
pub mod remote;
pub mod size;
pub mod sqlite;
pub mod stored;
pub(crate) mod tokens;
pub mod vitals;
pub mod watch;

use std::pin::Pin;

use tenure_core::chain::Hash;
use tenure_core::command::Command;
use tenure_core::event::Event;
use tenure_core::id::{Actor, LabelKey, LabelValue, Namespace, Owner, Queue, RequestId, TaskId};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Cause, LABELS_MAX, State, Task};
use tenure_core::time::Time;

use crate::access::{NewToken, Token, TokenHash, Tokens};
use crate::error::Error;
use crate::store::answering::{AnswerOptions, Answered, MinimalAnswer};
use crate::store::overview::{Holding, Overview};
use crate::store::stored::StoredChain;
use crate::store::vitals::StoreMetrics;
use crate::store::watch::{Absence, Presence, Watchers};

#[cfg(any(feature = "postgres", feature = "remote"))]
pub(crate) use patience::read_patience;

/// A future in a box: stores are used behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a command that was done is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The task afterwards.
    Task(Box<Task>),
    /// The tasks that a claim granted, in the order in which they were next.
    Claimed(Vec<Task>),
    /// What a heartbeat or a progress is told.
    Renewed(Renewal),
    /// The new task of a retry, and the old one.
    Retried(Box<Task>, Box<Task>),
    /// The same as the task, the claimed ones or those of a retry, for a caller that did not ask for whole tasks.
    Minimal(MinimalAnswer),
}

/// What a holder is told when it renews its lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// When it was renewed, or looked at, by the store's clock. What is left of it is counted from here: a holder's own
    /// clock may show another time.
    pub at: Time,
    /// When the lease ends now.
    pub expires_at: Time,
    /// Whether somebody asked for the task to stop.
    pub cancel_asked: bool,
}

/// Which tasks a list is to have. What is left out does not matter.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Only of this room.
    pub namespace: Option<Namespace>,
    /// Only in one of these states; empty: in any.
    pub states: Vec<State>,
    /// Only with this cause of their end.
    pub cause: Option<Cause>,
    /// Only of this queue.
    pub queue: Option<Queue>,
    /// Only held by, or reserved for, this owner.
    pub owner: Option<Owner>,
    /// Only with all of these labels.
    pub labels: Vec<(LabelKey, LabelValue)>,
    /// Only those whose lease or reservation has lapsed.
    pub stale: bool,
    /// Only those that have not ended.
    pub open: bool,
    /// Only those that did not succeed: failed, quarantined, or compensated with another cause than a cancel.
    pub ended_badly: bool,
    /// Of those that ended, only the ones that nobody retried or dismissed.
    pub unattended: bool,
    /// Only those that ended since then, or, of open ones, whose record changed since then.
    pub since: Option<Time>,
    /// In which order they come.
    pub order: Order,
}

/// The order of a list: by the age of the tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

impl Order {
    /// Both, the default first.
    pub const ALL: [Order; 2] = [Order::Newest, Order::Oldest];

    /// The word that interfaces use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Order::Newest => "newest",
            Order::Oldest => "oldest",
        }
    }

    /// As SQL has it.
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Order::Newest => "desc",
            Order::Oldest => "asc",
        }
    }

    /// How a place behind another one compares with it.
    pub(crate) const fn behind(self) -> &'static str {
        match self {
            Order::Newest => "<",
            Order::Oldest => ">",
        }
    }
}

impl Filter {
    /// Refuses what no task could match, and no database takes.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.labels.len() > LABELS_MAX {
            return Err(Refusal::invalid(
                "label",
                format_args!("up to {LABELS_MAX}, as many as a task may have"),
            ));
        }
        if self.states.len() > State::ALL.len() {
            return Err(Refusal::invalid("state", "name each state once"));
        }
        Ok(())
    }
}

/// Where a list goes on. Opaque: only the store that gave it can read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub(crate) String);

impl Cursor {
    /// A cursor that was given out before. Whether it is one is found when it is used.
    pub fn from_text(text: impl Into<String>) -> Cursor {
        Cursor(text.into())
    }

    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(letter: char, number: i64) -> Cursor {
        Cursor(format!("{letter}{number}"))
    }

    /// A place in a list that is ordered by two numbers. It stays the place whatever goes away before it.
    pub(crate) fn between(letter: char, first: i64, second: i64) -> Cursor {
        Cursor(format!("{letter}{first}.{second}"))
    }

    /// The two numbers behind the letter.
    pub(crate) fn numbers(&self, letter: char) -> Result<(i64, i64), Error> {
        let numbers = self.0.strip_prefix(letter).and_then(|text| text.split_once('.'));
        let numbers = numbers.and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
        numbers.ok_or_else(Cursor::foreign)
    }

    pub(crate) fn foreign() -> Error {
        Error::Refused(Refusal::invalid("cursor", "not a cursor of this list"))
    }

    /// A place that the history has not come to, as a follower has it whose store was replaced by an older copy: what comes
    /// would be taken for what was seen.
    pub(crate) fn ahead() -> Error {
        let limit = "it is past the end of the history; was the store restored? Start again from the beginning or from the newest event";
        Error::Refused(Refusal::invalid("cursor", limit))
    }

    /// The number behind the letter; a cursor of another list is refused.
    pub(crate) fn number(&self, letter: char) -> Result<i64, Error> {
        let number = self.0.strip_prefix(letter).and_then(|number| number.parse().ok());
        number.ok_or_else(Cursor::foreign)
    }
}

/// Some of a list, and where it goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where it goes on; none: that was all.
    pub next: Option<Cursor>,
    /// Whether it has fewer items than there are and than were asked for, because they are large.
    pub is_cut: bool,
    /// What could not be read among them, each in words: it is passed over, as nobody would ever get behind it otherwise. Only pages
    /// of events have any.
    pub unreadable: Vec<String>,
}

impl<T> Page<T> {
    /// A page of which everything could be read.
    pub fn new(items: Vec<T>, next: Option<Cursor>, is_cut: bool) -> Page<T> {
        Page { items, next, is_cut, unreadable: Vec::new() }
    }
}

/// How much of a list a page is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize {
    /// The most items.
    pub items: usize,
    /// The bytes of JSON after which it ends: an item that would exceed them is on the next page. The first is on this one
    /// whatever its size.
    pub bytes: usize,
}

impl PageSize {
    /// The bytes of a page for which nobody says how large it may be.
    pub const BYTES_USUAL: usize = 8 * 1024 * 1024;
}

/// So many items, unless they are large.
impl From<usize> for PageSize {
    fn from(items: usize) -> PageSize {
        PageSize { items, bytes: PageSize::BYTES_USUAL }
    }
}

/// A page as it is filled.
#[derive(Debug)]
pub(crate) struct PageFill {
    items_left: usize,
    bytes_left: usize,
    is_empty: bool,
    is_cut: bool,
}

impl PageFill {
    /// An empty page of that size. One of no items is one of one.
    pub(crate) fn new(size: PageSize) -> PageFill {
        PageFill { items_left: size.items.max(1), bytes_left: size.bytes, is_empty: true, is_cut: false }
    }

    /// Whether an item of that many bytes is still on the page; then it is counted. The first always is.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        if self.items_left == 0 || self.is_cut {
            return false;
        }
        if bytes > self.bytes_left && !self.is_empty {
            self.is_cut = true;
            return false;
        }
        self.items_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.is_empty = false;
        true
    }

    /// Whether there may be more behind it.
    pub(crate) fn is_full(&self) -> bool {
        self.items_left == 0 || self.is_cut()
    }

    /// Whether it ends before it has all the items that it may have, because they are large.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut || (self.bytes_left == 0 && self.items_left > 0)
    }
}

/// A page of events as it is filled. What can't be read is told and passed over.
pub(crate) struct FoundEvents {
    fill: PageFill,
    /// How many more rows the store gives at most.
    rows_left: usize,
    last: Option<Cursor>,
    items: Vec<Recorded>,
    unreadable: Vec<String>,
}

impl FoundEvents {
    pub(crate) fn new(size: PageSize) -> FoundEvents {
        let (items, unreadable) = (Vec::new(), Vec::new());
        FoundEvents { fill: PageFill::new(size), rows_left: size.items.max(1), last: None, items, unreadable }
    }

    /// Whether the event at a place is still on the page; none: it can't be read.
    pub(crate) fn takes(&mut self, place: Cursor, recorded: Option<Recorded>) -> bool {
        match recorded {
            Some(recorded) if !self.fill.takes(size::event_bytes(&recorded)) => return false,
            Some(recorded) => self.items.push(recorded),
            // No name is told: the page may be for somebody who must not see it.
            None => self.unreadable.push(format!(
                "the event at {} can't be read and was skipped; `tenure audit verify` names it",
                place.as_str()
            )),
        }
        self.rows_left = self.rows_left.saturating_sub(1);
        self.last = Some(place);
        true
    }

    /// The page. `is_short` says whether the store gave fewer rows than there are and were asked for, since they are large. Where
    /// there may be more it goes on behind the last one, else at `end`, which is told the last one, too.
    pub(crate) fn page(self, is_short: bool, end: impl FnOnce(Option<&Cursor>) -> Cursor) -> Page<Recorded> {
        let is_full = self.fill.is_full() || self.rows_left == 0 || is_short;
        let is_cut = self.fill.is_cut() || is_short || (self.rows_left == 0 && !self.unreadable.is_empty());
        let next = match &self.last {
            Some(last) if is_full => last.clone(),
            last => end(last.as_ref()),
        };
        Page { items: self.items, next: Some(next), is_cut, unreadable: self.unreadable }
    }
}

/// An event with its place among all events of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its place; events after it come behind this cursor.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
    /// The hash that chains it to the task's event before.
    pub hash: Hash,
    /// What happened, as canonical JSON.
    pub data: String,
}

/// Which events a history is to have.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct EventFilter {
    /// Only of this room.
    pub namespace: Option<Namespace>,
    /// Only of this task.
    pub task: Option<TaskId>,
}

/// What recovery is told to look at: hints only, the core has the last word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lapsed {
    /// The tasks that are due, in the order of their checks.
    pub tasks: Vec<(Namespace, TaskId)>,
    /// Where the sweep goes on; none: that was all.
    pub next: Option<Cursor>,
    /// When to look again, if anything waits: never later than the next wait ends, and maybe earlier.
    pub next_check: Option<Time>,
}

/// What to do where there is no store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfMissing {
    /// It is made.
    #[default]
    Make,
    /// It is not opened: who relies on what is in it does not want to be shown an empty one.
    Refuse,
}

/// What there is at a place where a store is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaState {
    /// Nothing yet: it is made when it is opened.
    Missing,
    /// A store of an earlier version: it is brought to this one's when it is opened, and programs of before can't open it then.
    Older,
    /// A store as this version has it.
    Current,
}

/// How many rows a page may have: at least one, and one less than SQL can count.
pub(crate) fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).clamp(1, i64::MAX - 1)
}

/// What remembers tasks. Everything a caller can observe of one store holds of every other.
pub trait Store: Send + Sync {
    /// Decides the commands in their order, each atomically; a later one sees what an earlier one did, and a refusal of
    /// one touches no other. The answers come after the commit.
    ///
    /// As many are decided as there is room for, in the transaction and in the answers; the rest is given back. Where the
    /// options bound nothing at least one is decided.
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered>;

    /// The same with all of the commands, in as many transactions as that takes, and whole answers.
    fn transact(&self, commands: Vec<Command>) -> BoxFuture<'_, Vec<Result<Answer, Error>>> {
        Box::pin(async move {
            let Answered { mut answers, mut rest, .. } =
                self.transact_within(commands, AnswerOptions::default()).await;
            while !rest.is_empty() {
                let more = self.transact_within(rest, AnswerOptions::default()).await;
                answers.extend(more.answers);
                rest = more.rest;
            }
            answers
        })
    }

    /// The task as it is stored.
    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>>;

    /// The newest tasks that the filter lets through, from `after` on. A page of no items is one of one, here and below.
    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>>;

    /// What recovery should look at next, across namespaces.
    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>>;

    /// A room at a glance.
    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>>;

    /// Who holds what in a room, by the owners' names.
    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>>;

    /// From when on a claim of the queue may find something: now or earlier, if something is due; none, if nothing waits
    /// there. A hint: another one may claim it first.
    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>>;

    /// Waits until a claim of the queue may find something, or a good while; none where the store leaves that to whoever
    /// waits, who looks at [`Store::claimable_at`] then, as soon as something happens.
    fn until_claimable(
        &self,
        namespace: Namespace,
        queue: Queue,
    ) -> Option<BoxFuture<'_, Result<(), Error>>> {
        let _ = (namespace, queue);
        None
    }

    /// Whether a command of that request id is remembered.
    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>>;

    /// The history behind `after`, oldest first. Its `next` is there even on the last page: the history goes on.
    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>>;

    /// Where the history is now: events that come later are behind it.
    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>>;

    /// Resolves when there may be events behind `after`.
    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>>;

    /// Chains to verify, in an order that stays, from behind `after` on; with the events that no task has.
    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>>;

    /// The chain of one task to verify; none where there is neither a task of that name nor an event.
    fn chain(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<StoredChain>, Error>>;

    /// Says that somebody looks after the store now, and is told when nobody did last. Loops say so every second.
    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>>;

    /// Who looks after a namespace.
    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>>;

    /// Every namespace that has a task, by their names. It costs the namespaces, and not the tasks.
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>>;

    /// All tokens; none if nothing changed since that version, which costs one small look.
    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>>;

    /// Adds a token under the hash of its secret, as of the store's time. Refused `exists` while a token of that name is
    /// live. The same again, with the same hash, is answered as the first was.
    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>>;

    /// Revokes the token of that name; one that was revoked already is answered as it is. Refused `not_found` where there
    /// never was one.
    fn revoke_token(&self, name: Actor, by: Actor) -> BoxFuture<'_, Result<Token, Error>>;

    /// The store's time.
    fn now(&self) -> BoxFuture<'_, Result<Time, Error>>;

    /// How the store is, for those who watch it. One that says nothing of it has nothing to say.
    fn vitals(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async { Ok(StoreMetrics::default()) })
    }

    /// The store itself, where it is one on PostgreSQL: what only that can do is asked of it.
    #[cfg(feature = "postgres")]
    fn as_postgres(&self) -> Option<&postgres::PostgresStore> {
        None
    }
}
