//! A namespace at a glance, who holds what in it, and who looks after it.

use serde::{Deserialize, Serialize};
use tenure_core::id::{Kind, Namespace, Owner, Queue, TaskId};
use tenure_core::task::{Cause, State, Terminal};
use tenure_core::time::{Span, Time};

#[cfg(feature = "openapi")]
use crate::schema;
use crate::task::Task;
use crate::wire;

/// A room at a glance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overview {
    /// When it was looked at.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// One for each state that somebody may have to look after.
    pub states: Vec<StateCount>,
    /// How many tasks ended how, by queue, state and cause.
    pub ends: Vec<EndCount>,
    /// The holders that were told to stop and still renew their leases.
    pub told_to_stop: ToldToStop,
    /// Who looks after stale tasks.
    pub recovery: Watchers,
    /// What of the store's own settings breaks a promise, in words.
    pub warnings: Vec<String>,
}

/// How many tasks of a queue ended in one way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndCount {
    /// The queue.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub queue: Queue,
    /// In which state.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: Terminal,
    /// What brought them there.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::CauseWord))]
    pub cause: Cause,
    /// In the last hour.
    pub last_hour: u64,
    /// In the last day.
    pub last_day: u64,
    /// Since the store was made.
    pub all: u64,
}

/// Holders that were told to stop and still hold their leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToldToStop {
    /// How many.
    pub count: u64,
    /// Since when the first of them knows; null where there is none.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub since: Option<Time>,
}

/// Who looks after a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Watchers {
    /// When somebody looked last; null: nobody ever did.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub seen_at: Option<Time>,
    /// Those who were there in the last seconds.
    pub recoverers: Vec<Recoverer>,
}

/// Who looks after a namespace, as an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WatchersAnswer {
    /// Those who do.
    pub recovery: Watchers,
}

/// Somebody who looks after a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recoverer {
    /// The name that it takes leases under.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: Owner,
    /// The namespaces that it looks after; none named: all.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub namespaces: Vec<Namespace>,
    /// The kinds of undo that it handles.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub kinds: Vec<Kind>,
    /// When it looked last.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub seen_at: Time,
}

/// Says that somebody looks after a store. What is left out is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Presence {
    /// The name that it takes leases under.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub name: Option<Owner>,
    /// The namespaces that it looks after; none named: all that it may see.
    #[serde(default, with = "wire::list")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub namespaces: Vec<Namespace>,
    /// The kinds of undo that it handles.
    #[serde(default, with = "wire::list")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub kinds: Vec<Kind>,
}

/// How many tasks are in a state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateCount {
    /// The state.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: State,
    /// How many tasks are in it.
    pub count: u64,
    /// How many of them are not due yet.
    pub later: u64,
    /// How many of them are stale.
    pub stale: u64,
    /// The one that has been in it for longest.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub oldest: Option<Oldest>,
}

/// The task that has been in a state for longest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Oldest {
    /// The task.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub task: TaskId,
    /// Since when.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Time,
}

/// What one owner holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Holding {
    /// Who.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// How many leases.
    pub leases: u64,
    /// How many reservations.
    pub reservations: u64,
    /// How many of both have lapsed.
    pub stale: u64,
    /// Since when it has held the one that it has held for longest.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Time,
    /// When the one ends that ends first.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Time,
}

/// An overview, as an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatsAnswer {
    /// The room.
    pub stats: Overview,
}

/// Who holds what in a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnerList {
    /// By the owners' names.
    pub owners: Vec<Holding>,
}

impl Overview {
    /// The counts of what did not succeed.
    pub fn did_not_succeed(&self) -> impl Iterator<Item = &EndCount> {
        self.ends.iter().filter(|end| end.is_bad())
    }
}

impl EndCount {
    /// Whether these did not succeed: everything but completions and cancels.
    pub fn is_bad(&self) -> bool {
        self.state.is_bad(self.cause)
    }
}

impl Watchers {
    /// A mark that is older than this says that nobody was there.
    pub const AWAY_AFTER: Span = Span::from_secs(5);

    /// Whether somebody is there at `now`.
    pub fn are_there(&self, now: Time) -> bool {
        self.seen_at.is_some_and(|seen_at| now.since(seen_at) <= Watchers::AWAY_AFTER)
    }

    /// One of them that handles a kind.
    pub fn handler_of(&self, kind: &Kind) -> Option<&Recoverer> {
        self.recoverers.iter().find(|one| one.kinds.contains(kind))
    }

    /// The kinds that at least one of them handles, by name.
    pub fn kinds(&self) -> Vec<&Kind> {
        let mut kinds: Vec<&Kind> = self.recoverers.iter().flat_map(|one| &one.kinds).collect();
        kinds.sort_by_key(|kind| kind.as_str());
        kinds.dedup();
        kinds
    }
}

/// A namespace on one screen: counts, and the newest tasks that somebody should look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StatusAnswer {
    /// The namespace.
    pub status: Status,
}

/// An overview with some of the tasks that it counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Status {
    /// Which namespace it is.
    #[serde(with = "wire")]
    pub namespace: Namespace,
    /// The counts.
    #[serde(flatten)]
    pub overview: Overview,
    /// The newest whose lease or reservation has lapsed.
    pub stale: Vec<Task>,
    /// The newest that are parked for a person.
    pub quarantined: Vec<Task>,
    /// The newest that failed or were undone in the last day.
    pub ended_badly: Vec<Task>,
}
