//! Events in the history of a store.

use tenure_api::instant;
use tenure_core::chain::Hash;
use tenure_core::event::{Event, EventKind};
use tenure_core::id::{Actor, Namespace, TaskId};
use tenure_core::refusal::Refusal;
use tenure_core::time::Time;

use crate::list::{Cursor, Order, Page};

/// An event with its place in the history of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its place: later events come after this cursor.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
    /// The hash that chains it to the event before of the task or the namespace.
    pub hash: Hash,
    /// What happened, as canonical JSON.
    pub data: String,
}

/// Which events a history contains.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EventFilter {
    /// Only of this namespace.
    pub namespace: Option<Namespace>,
    /// Only of this task.
    pub task: Option<TaskId>,
}

tenure_core::with_changes!(EventFilter);

/// What to look for in the history of a namespace. Fields without a value match every event.
///
/// No index finds events by who did them or by what they are, so a search looks at them one after the other. It never looks at more
/// than a bounded number of them, and says how far it came.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EventSearch {
    /// Only of this namespace.
    pub namespace: Namespace,
    /// Only of this task.
    pub task: Option<TaskId>,
    /// Only of one of these types; empty: of any.
    pub kinds: Vec<EventKind>,
    /// Only what this actor did.
    pub actor: Option<Actor>,
    /// Only what happened then or later.
    pub since: Option<Time>,
    /// Only what happened before then.
    pub until: Option<Time>,
    /// The order.
    pub order: Order,
    /// How many events are looked at for one page, at most [`EventSearch::LOOKS_MAX`]. Those of other namespaces count, too.
    pub looks: usize,
}

tenure_core::with_changes!(EventSearch);

impl EventSearch {
    /// The most events that are looked at for one page, and the default.
    pub const LOOKS_MAX: usize = 10_000;

    /// Everything that happened in a namespace, the newest first.
    pub fn in_namespace(namespace: Namespace) -> EventSearch {
        EventSearch {
            namespace,
            task: None,
            kinds: Vec::new(),
            actor: None,
            since: None,
            until: None,
            order: Order::Newest,
            looks: EventSearch::LOOKS_MAX,
        }
    }

    /// As parameters of a query, without the namespace, which is a part of the path. A new field that is forgotten here does not
    /// compile.
    #[doc(hidden)]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let EventSearch { namespace: _, task, kinds, actor, since, until, order, looks } = self;
        let once = [
            ("task", task.as_ref().map(ToString::to_string)),
            ("actor", actor.as_ref().map(ToString::to_string)),
            ("since", since.map(instant::print)),
            ("until", until.map(instant::print)),
            ("order", Some(order.as_str().to_owned())),
            ("looks", Some(looks.to_string())),
        ];
        let once = once.into_iter().filter_map(|(name, value)| Some((name, value?)));
        once.chain(kinds.iter().map(|kind| ("type", kind.as_str().to_owned()))).collect()
    }

    /// Refuses what no search needs and that would make a statement longer and longer.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), Refusal> {
        if self.kinds.len() > EventKind::ALL.len() {
            return Err(Refusal::invalid("type", "name each type once"));
        }
        if !(1..=EventSearch::LOOKS_MAX).contains(&self.looks) {
            return Err(Refusal::invalid(
                "looks",
                format_args!("a number from 1 to {}", EventSearch::LOOKS_MAX),
            ));
        }
        Ok(())
    }

    /// Whether an event matches. The stores in databases express the same in SQL.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        event.namespace == self.namespace
            && self.is_of_the_task(event)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == event.what.kind()))
            && self.actor.as_ref().is_none_or(|actor| event.actor == *actor)
            && self.is_in_time(event.at)
    }

    /// Whether it is of the task that is looked for, if one is.
    pub(crate) fn is_of_the_task(&self, event: &Event) -> bool {
        self.task.as_ref().is_none_or(|task| event.subject == *task && event.namespace == self.namespace)
    }

    /// Whether something that happened then is looked for.
    pub(crate) fn is_in_time(&self, at: Time) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundHistory {
    /// The events, in the order of the search. `next` is none at the end of the history.
    pub page: Page<Recorded>,
    /// When the last event happened that was looked at, if the page ends there because enough were looked at.
    pub looked_to: Option<Time>,
}

impl FoundHistory {
    /// Where there is nothing to look at.
    #[doc(hidden)]
    pub fn nothing() -> FoundHistory {
        FoundHistory { page: Page::new(Vec::new(), None, false), looked_to: None }
    }
}
