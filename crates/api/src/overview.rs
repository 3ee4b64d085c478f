//! The overview of a namespace: its tasks by state, who holds them, and the running recovery processes.

use serde::{Deserialize, Serialize};
use tenure_core::id::{Kind, Namespace, Owner, Queue, TaskId};
use tenure_core::task::{Cause, State, Terminal};
use tenure_core::time::{Span, Time};

use crate::retention::NamedCursor;
#[cfg(feature = "openapi")]
use crate::schema;
use crate::task::Task;
use crate::wire;

/// The overview of a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overview {
    /// The store's time of the overview.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// One item for each state that may need attention.
    pub states: Vec<StateCount>,
    /// The number of tasks that ended, by queue, state and cause.
    pub ends: Vec<EndCount>,
    /// The queues that have tasks which have not ended, by name.
    #[serde(default)]
    pub queues: Vec<QueueCount>,
    /// How many tasks ended in each minute of the last hour, the oldest first; minutes without any are left out.
    #[serde(default)]
    pub minutes: Vec<MinuteCount>,
    /// The holders that were told to stop and still renew their leases.
    pub told_to_stop: ToldToStop,
    /// The recovery processes.
    pub recovery: Watchers,
    /// Warnings about settings of the database that break a guarantee.
    pub warnings: Vec<String>,
}

/// The number of tasks of a queue that ended with one state and cause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndCount {
    /// The queue.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub queue: Queue,
    /// The state.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: Terminal,
    /// The cause.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::CauseWord))]
    pub cause: Cause,
    /// In the last hour.
    pub last_hour: u64,
    /// In the last day.
    pub last_day: u64,
    /// Since the store was created.
    pub all: u64,
}

/// How many tasks of a queue have not ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueCount {
    /// The queue.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub queue: Queue,
    /// How many are planned.
    pub planned: u64,
    /// How many of them are not due yet.
    pub later: u64,
    /// How many are dispatched, running, or being undone.
    pub in_flight: u64,
    /// Since when the longest waiting planned task is due; null if none is planned. It lies ahead if none is due.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub due_since: Option<Time>,
}

/// How many tasks ended in a minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MinuteCount {
    /// The beginning of the minute.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// How many were completed.
    pub completed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many did not succeed.
    pub ended_badly: u64,
}

/// Holders that were told to stop and still hold their leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToldToStop {
    /// How many.
    pub count: u64,
    /// When the first of them was told; null if there is none.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub since: Option<Time>,
}

/// The recovery processes of a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Watchers {
    /// When recovery last ran; null if it never did.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub seen_at: Option<Time>,
    /// The processes seen in the last seconds.
    pub recoverers: Vec<Recoverer>,
}

/// The recovery processes of a namespace, as an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WatchersAnswer {
    /// The recovery processes.
    pub recovery: Watchers,
}

/// A recovery process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recoverer {
    /// The owner of its leases.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: Owner,
    /// Its namespaces; empty: all.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub namespaces: Vec<Namespace>,
    /// The kinds of undo that it handles.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub kinds: Vec<Kind>,
    /// When it was last seen.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub seen_at: Time,
}

/// Reports a running recovery process. Missing fields are empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Presence {
    /// The owner of its leases.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub name: Option<Owner>,
    /// Its namespaces; empty: all that the token is bound to.
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
    /// The task that has been in it for the longest time.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub oldest: Option<Oldest>,
}

/// The task that has been in a state for the longest time.
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
    /// The owner.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// How many leases.
    pub leases: u64,
    /// How many reservations.
    pub reservations: u64,
    /// How many of both have lapsed.
    pub stale: u64,
    /// Since when it has held the oldest of them.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Time,
    /// When the first of them ends.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Time,
}

/// An overview, as an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatsAnswer {
    /// The overview.
    pub stats: Overview,
}

/// The owners in a namespace and what they hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnerList {
    /// The owners, by name.
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
    /// A mark older than this means that no recovery ran.
    pub const AWAY_AFTER: Span = Span::from_secs(5);

    /// Whether recovery is running at `now`.
    pub fn are_there(&self, now: Time) -> bool {
        self.seen_at.is_some_and(|seen_at| now.since(seen_at) <= Watchers::AWAY_AFTER)
    }

    /// A process that handles a kind.
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
    /// The named cursors of followers, and how far behind they are.
    pub cursors: Vec<NamedCursor>,
}
