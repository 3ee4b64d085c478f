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
pub use tenure_api::answer::Renewal;

/// A future in a box: stores are used behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answer to a command that was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The task afterwards.
    Task(Box<Task>),
    /// The tasks granted by a claim, in claim order.
    Claimed(Vec<Task>),
    /// The answer to a heartbeat or a progress.
    Renewed(Renewal),
    /// The new task of a retry, and the old one.
    Retried(Box<Task>, Box<Task>),
    /// A short form of the above, for a caller that did not ask for whole tasks.
    Minimal(MinimalAnswer),
}

/// Which tasks a list contains. Fields without a value match every task.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Only of this namespace.
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
    /// Only tasks that did not succeed: failed, quarantined, or compensated with another cause than a cancel.
    pub ended_badly: bool,
    /// Only ended tasks that nobody retried or dismissed.
    pub unattended: bool,
    /// Only tasks that ended since then, or, if open, whose record changed since then.
    pub since: Option<Time>,
    /// The order.
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

    /// How a later place compares with an earlier one, in SQL.
    pub(crate) const fn behind(self) -> &'static str {
        match self {
            Order::Newest => "<",
            Order::Oldest => ">",
        }
    }
}

impl Filter {
    /// Refuses filters that no task can match and that a database rejects.
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

/// A cursor: where a list continues. Opaque: only the store that returned it can read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub(crate) String);

impl Cursor {
    /// A cursor from text. It is checked when it is used.
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

    /// A place in a list that is ordered by two numbers. It stays valid whatever is removed before it.
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

    /// A place beyond the end of the history. A follower has one if its store was replaced by an older copy:
    /// new events would look like events that it has seen.
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

/// A page of a list, and where the list continues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where it continues; none at the end.
    pub next: Option<Cursor>,
    /// Whether it has fewer items than requested and available, because they are large.
    pub is_cut: bool,
    /// The items that could not be read, each as a message. They are skipped, because no reader could get
    /// past them otherwise. Only pages of events have any.
    pub unreadable: Vec<String>,
}

impl<T> Page<T> {
    /// A page without unreadable items.
    pub fn new(items: Vec<T>, next: Option<Cursor>, is_cut: bool) -> Page<T> {
        Page { items, next, is_cut, unreadable: Vec::new() }
    }
}

/// The size limits of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize {
    /// The maximum number of items.
    pub items: usize,
    /// The maximum bytes of JSON: an item beyond it is on the next page. The first item is always on the
    /// page.
    pub bytes: usize,
}

impl PageSize {
    /// The default size of a page in bytes.
    pub const BYTES_USUAL: usize = 8 * 1024 * 1024;
}

/// At most this many items, fewer if they are large.
impl From<usize> for PageSize {
    fn from(items: usize) -> PageSize {
        PageSize { items, bytes: PageSize::BYTES_USUAL }
    }
}

/// A page that is being filled.
#[derive(Debug)]
pub(crate) struct PageFill {
    items_left: usize,
    bytes_left: usize,
    is_empty: bool,
    is_cut: bool,
}

impl PageFill {
    /// An empty page of that size; a size of 0 items counts as 1.
    pub(crate) fn new(size: PageSize) -> PageFill {
        PageFill { items_left: size.items.max(1), bytes_left: size.bytes, is_empty: true, is_cut: false }
    }

    /// Whether an item of that many bytes fits on the page; then it is counted. The first always fits.
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

    /// Whether it ends early because its items are large.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut || (self.bytes_left == 0 && self.items_left > 0)
    }
}

/// A page of events that is being filled. An unreadable event is reported and skipped.
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

    /// Whether the event at that place fits on the page; none if it can't be read.
    pub(crate) fn takes(&mut self, place: Cursor, recorded: Option<Recorded>) -> bool {
        match recorded {
            Some(recorded) if !self.fill.takes(size::event_bytes(&recorded)) => return false,
            Some(recorded) => self.items.push(recorded),
            // The message contains no task id: the reader of the page may have no right to see it.
            None => self.unreadable.push(format!(
                "the event at {} can't be read and was skipped; `tenure audit verify` names it",
                place.as_str()
            )),
        }
        self.rows_left = self.rows_left.saturating_sub(1);
        self.last = Some(place);
        true
    }

    /// The page. `is_short` says whether the store returned fewer rows than requested and available, because
    /// they are large. If there may be more, it continues after the last event, else at `end`, which gets the
    /// last event, too.
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

/// An event with its place in the history of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its place: later events come after this cursor.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
    /// The hash that chains it to the task's event before.
    pub hash: Hash,
    /// What happened, as canonical JSON.
    pub data: String,
}

/// Which events a history contains.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct EventFilter {
    /// Only of this namespace.
    pub namespace: Option<Namespace>,
    /// Only of this task.
    pub task: Option<TaskId>,
}

/// The tasks that recovery should look at. These are hints: the core decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lapsed {
    /// The tasks that are due, in the order of their checks.
    pub tasks: Vec<(Namespace, TaskId)>,
    /// Where the sweep continues; none at the end.
    pub next: Option<Cursor>,
    /// When to look again, if anything waits: not later than the next wait ends, maybe earlier.
    pub next_check: Option<Time>,
}

/// What to do if the store does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfMissing {
    /// Create it.
    #[default]
    Make,
    /// Refuse to open it: a caller that needs the existing data must not get an empty store.
    Refuse,
}

/// The state of a store's schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaState {
    /// Nothing yet; opening creates it.
    Missing,
    /// A store of an earlier version. Opening migrates it; older programs can't open it after that.
    Older,
    /// A store of this version.
    Current,
}

/// How many rows a page may have: at least one, and one less than SQL can count.
pub(crate) fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).clamp(1, i64::MAX - 1)
}

/// A store of tasks. All stores behave the same in everything that a caller can observe.
pub trait Store: Send + Sync {
    /// Decides the commands in order, each atomically. A later one sees what an earlier one did, and a
    /// refusal does not affect the others. The answers come after the commit.
    ///
    /// It decides as many as fit into the transaction and the answers, and returns the rest. Without limits
    /// in the options, it decides at least one.
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

    /// The newest tasks that match the filter, starting after `after`. A page size of 0 items counts as 1,
    /// here and below.
    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>>;

    /// The tasks that recovery should handle next, in all namespaces.
    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>>;

    /// An overview of a namespace.
    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>>;

    /// The owners in a namespace and what they hold, by name.
    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>>;

    /// When a claim of the queue can next find a task: now or earlier if one is due, none if nothing waits. A
    /// hint: another claim may be faster.
    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>>;

    /// Waits until a claim of the queue may find a task, or a while has passed. None if the store leaves that
    /// to the caller, which then uses [`Store::claimable_at`] whenever something happens.
    fn until_claimable(
        &self,
        namespace: Namespace,
        queue: Queue,
    ) -> Option<BoxFuture<'_, Result<(), Error>>> {
        let _ = (namespace, queue);
        None
    }

    /// Whether the store remembers a command with that request id.
    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>>;

    /// The history after `after`, oldest first. Even the last page has a `next`, because the history goes on.
    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>>;

    /// The newest cursor of the history: later events come after it.
    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>>;

    /// Resolves when there may be events after `after`.
    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>>;

    /// Chains to verify, in a stable order, starting after `after`; including events that belong to no task.
    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>>;

    /// The chain of one task to verify; none if neither the task nor an event of it exists.
    fn chain(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<StoredChain>, Error>>;

    /// Reports that recovery runs now, and returns the last absence. Loops call it every second.
    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>>;

    /// The recovery processes of a namespace.
    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>>;

    /// Every namespace that has a task, by name. The cost depends on the number of namespaces, not of tasks.
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>>;

    /// All tokens; none if nothing changed since that version, which needs only one small read.
    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>>;

    /// Adds a token with the hash of its secret, at the store's time. Refused with `exists` while a token
    /// with that name is live. A repeat with the same hash gets the first answer.
    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>>;

    /// Revokes the token with that name; a revoked token is returned unchanged. Refused with `not_found` if
    /// there never was one.
    fn revoke_token(&self, name: Actor, by: Actor) -> BoxFuture<'_, Result<Token, Error>>;

    /// The store's time.
    fn now(&self) -> BoxFuture<'_, Result<Time, Error>>;

    /// The metrics of the store. A store may have none.
    fn vitals(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async { Ok(StoreMetrics::default()) })
    }

    /// The store itself, if it is on PostgreSQL, for features that only PostgreSQL has.
    #[cfg(feature = "postgres")]
    fn as_postgres(&self) -> Option<&postgres::PostgresStore> {
        None
    }
}
