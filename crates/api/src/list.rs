//! Lists, and what a store tells of itself.

use serde::{Deserialize, Serialize};
use tenure_core::id::{Namespace, TaskId};
use tenure_core::time::Time;

use crate::event::Event;
use crate::task::Task;
use crate::wire;

/// One task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskAnswer {
    /// The task.
    pub task: Task,
}

/// Some tasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the list goes on, to be given as `cursor`; null: that was all.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<String>,
    /// `true` where the page ends before as many as were asked for although more is there: these are large.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub more: bool,
}

/// Some of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where the history goes on, to be given as `after`.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<String>,
    /// `true` where the page ends before as many as were asked for although more is there: these are large.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub more: bool,
    /// What could not be read among them, each in words; it is passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub unreadable: Vec<String>,
}

/// Rooms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamespaceList {
    /// Their names.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub namespaces: Vec<Namespace>,
}

/// The store's time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NowAnswer {
    /// The time that decides everything.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub now: Time,
}

/// Where the history is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Newest {
    /// Events that come later are behind this.
    pub cursor: String,
}

/// From when on a claim may find something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Claimable {
    /// The instant, which may have passed; null: nothing waits there.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub at: Option<Time>,
}

/// Whether a command of that request id is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Remembered {
    /// Whether it is.
    pub remembered: bool,
}

/// What recovery should look at: hints.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lapsed {
    /// The tasks that are due, in the order of their checks.
    pub tasks: Vec<Nominated>,
    /// Where the sweep goes on; null: that was all.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<String>,
    /// When to look again, if anything waits.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub next_check: Option<Time>,
}

/// A task by its full name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nominated {
    /// Its room.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// Its name there.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: TaskId,
}

/// Whether somebody looked after the store all the time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Watch {
    /// When nobody did last; null: never, as far as is known.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub absence: Option<Absence>,
}

/// A while in which nobody looked after the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Absence {
    /// When somebody was there last.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub from: Time,
    /// When somebody was there again.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Time,
}

impl TaskAnswer {
    /// The task as it is at `now`.
    pub fn at(task: &tenure_core::task::Task, now: Time) -> TaskAnswer {
        TaskAnswer { task: Task::at(task, now) }
    }
}
