//! Lists: which tasks one contains, in which order, and its pages.

use tenure_api::instant;
use tenure_api::wire::parse_word;
use tenure_core::id::{LabelKey, LabelValue, Namespace, Owner, Queue, SagaId, TaskId};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Cause, LABELS_MAX, State};
use tenure_core::time::Time;

use crate::error::Error;

/// What stands for several states where one is asked for by its name.
pub const OPEN: &str = "open";

/// Which tasks a list contains. Fields without a value match every task.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
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
    /// Only those whose newest ended attempt was this owner's.
    pub last_owner: Option<Owner>,
    /// Only tasks whose id begins with this.
    pub id_prefix: Option<TaskId>,
    /// Only the task with this saga id: there is one at most in a namespace.
    pub saga_id: Option<SagaId>,
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

tenure_core::with_changes!(Filter);

impl Filter {
    /// Only in one of the states with these names. `open` stands for each in which a task has not ended.
    pub fn in_states<'w>(&mut self, names: impl IntoIterator<Item = &'w str>) -> Result<(), Refusal> {
        let (open, states): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| *name == OPEN);
        let states = states.into_iter().map(|name| parse_word("state", name));
        let states: Vec<State> = states.collect::<Result<_, _>>()?;
        if open.is_empty() || states.is_empty() {
            // Alone, `open` is a condition of its own, which costs less than a list of states.
            (self.states, self.open) = (states, self.open || !open.is_empty());
        } else {
            let is_meant = |state: &State| state.terminal().is_none() || states.contains(state);
            self.states = State::ALL.into_iter().filter(is_meant).collect();
        }
        Ok(())
    }

    /// As parameters of a query, without the namespace, which is a part of the path. A new field that is forgotten here does not
    /// compile.
    #[doc(hidden)]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let Filter {
            namespace: _,
            states,
            cause,
            queue,
            owner,
            last_owner,
            id_prefix,
            saga_id,
            labels,
            stale,
            open,
            ended_badly,
            unattended,
            since,
            order,
        } = self;
        let truth = |is_set: &bool| is_set.then(|| "true".to_owned());
        let once = [
            ("cause", cause.map(|cause| cause.as_str().to_owned())),
            ("queue", queue.as_ref().map(ToString::to_string)),
            ("owner", owner.as_ref().map(ToString::to_string)),
            ("last_owner", last_owner.as_ref().map(ToString::to_string)),
            ("id_prefix", id_prefix.as_ref().map(ToString::to_string)),
            ("saga_id", saga_id.as_ref().map(ToString::to_string)),
            ("stale", truth(stale)),
            ("open", truth(open)),
            ("ended_badly", truth(ended_badly)),
            ("unattended", truth(unattended)),
            ("since", since.map(instant::print)),
            ("order", Some(order.as_str().to_owned())),
        ];
        let states = states.iter().map(|state| ("state", state.as_str().to_owned()));
        let labels = labels.iter().map(|(key, value)| ("label", format!("{key}={value}")));
        let once = once.into_iter().filter_map(|(name, value)| Some((name, value?)));
        once.chain(states).chain(labels).collect()
    }
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
    #[doc(hidden)]
    pub const fn sql(self) -> &'static str {
        match self {
            Order::Newest => "desc",
            Order::Oldest => "asc",
        }
    }

    /// How a later place compares with an earlier one, in SQL.
    #[doc(hidden)]
    pub const fn behind(self) -> &'static str {
        match self {
            Order::Newest => "<",
            Order::Oldest => ">",
        }
    }
}

impl Filter {
    /// The ids that begin as wanted are those from the first text on and below the second one, compared byte by byte: no letter of
    /// an id is as large as a tilde.
    #[doc(hidden)]
    pub fn id_range(&self) -> Option<[String; 2]> {
        self.id_prefix.as_ref().map(|prefix| [prefix.to_string(), format!("{prefix}~")])
    }

    /// Refuses filters that no task can match and that a database rejects.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), Refusal> {
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
pub struct Cursor(String);

impl Cursor {
    /// A cursor from text. It is checked when it is used.
    pub fn from_text(text: impl Into<String>) -> Cursor {
        Cursor(text.into())
    }

    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[doc(hidden)]
    pub fn of(letter: char, number: i64) -> Cursor {
        Cursor(format!("{letter}{number}"))
    }

    /// A place in a list that is ordered by two numbers. It stays valid whatever is removed before it.
    #[doc(hidden)]
    pub fn between(letter: char, first: i64, second: i64) -> Cursor {
        Cursor(format!("{letter}{first}.{second}"))
    }

    /// The two numbers behind the letter.
    #[doc(hidden)]
    pub fn numbers(&self, letter: char) -> Result<(i64, i64), Error> {
        let numbers = self.0.strip_prefix(letter).and_then(|text| text.split_once('.'));
        let numbers = numbers.and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
        numbers.ok_or_else(Cursor::foreign)
    }

    #[doc(hidden)]
    pub fn foreign() -> Error {
        Error::Refused(Refusal::invalid("cursor", "not a cursor of this list"))
    }

    /// A place beyond the end of the history. A follower has one if its store was replaced by an older copy:
    /// new events would look like events that it has seen.
    #[doc(hidden)]
    pub fn ahead() -> Error {
        Error::Refused(Cursor::refusal_of_ahead())
    }

    /// Whether that is why a cursor was refused, and not that it is one of another list.
    #[doc(hidden)]
    pub fn is_ahead(error: &Error) -> bool {
        matches!(error, Error::Refused(refusal) if *refusal == Cursor::refusal_of_ahead())
    }

    fn refusal_of_ahead() -> Refusal {
        let limit = "it is past the end of the history; was the store restored? Start again from the beginning or from the newest event";
        Refusal::invalid("cursor", limit)
    }

    /// The number behind the letter; a cursor of another list is refused.
    #[doc(hidden)]
    pub fn number(&self, letter: char) -> Result<i64, Error> {
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
