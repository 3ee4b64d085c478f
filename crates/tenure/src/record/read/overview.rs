//! Reads overviews and holdings.

use serde::Deserialize;
use tenure_core::id::{Kind, Namespace, Owner, Queue, TaskId};
use tenure_core::task::{Cause, State};
use tenure_core::time::Time;

use super::{Shape, given, values};
#[cfg(feature = "openapi")]
use crate::record::schema;
use crate::store::ends::EndCount;
use crate::store::overview::{Holding, Oldest, Overview, StateCount, ToldToStop};
use crate::store::watch::{Presence, Recoverer, Watchers};
use crate::wire::Wired;

/// The overview of a namespace.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Overview))]
pub struct OverviewShape {
    /// The store's time of the overview.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// One item for each state that may need attention.
    states: Vec<StateCountShape>,
    /// The number of tasks that ended, by queue, state and cause.
    ends: Vec<EndCountShape>,
    /// The holders that were told to stop and still renew their leases.
    told_to_stop: ToldToStopShape,
    /// The recovery processes.
    recovery: WatchersShape,
    /// Warnings about settings of the database that break a guarantee.
    warnings: Vec<String>,
}

impl Shape for OverviewShape {
    type Value = Overview;

    fn value(self) -> Result<Overview, String> {
        Ok(Overview {
            at: self.at.0,
            states: values(self.states)?,
            ends: values(self.ends)?,
            told_to_stop: ToldToStop {
                count: self.told_to_stop.count,
                since: self.told_to_stop.since.map(|since| since.0),
            },
            recovery: self.recovery.value()?,
            warnings: self.warnings,
        })
    }
}

/// The number of tasks of a queue that ended with one state and cause.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = EndCount))]
pub struct EndCountShape {
    /// The queue.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    queue: Wired<Queue>,
    /// The state.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    state: Wired<State>,
    /// The cause.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::CauseWord))]
    cause: Wired<Cause>,
    /// In the last hour.
    last_hour: u64,
    /// In the last day.
    last_day: u64,
    /// Since the store was created.
    all: u64,
}

impl Shape for EndCountShape {
    type Value = EndCount;

    fn value(self) -> Result<EndCount, String> {
        let state = self.state.0.terminal().ok_or("the state of an end is not terminal")?;
        Ok(EndCount {
            queue: self.queue.0,
            state,
            cause: self.cause.0,
            last_hour: self.last_hour,
            last_day: self.last_day,
            all: self.all,
        })
    }
}

/// Holders that were told to stop and still hold their leases.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ToldToStop))]
pub struct ToldToStopShape {
    /// How many.
    count: u64,
    /// When the first of them was told; null if there is none.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    since: Option<Wired<Time>>,
}

/// The recovery processes of a namespace.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Watchers))]
pub struct WatchersShape {
    /// When recovery last ran; null if it never did.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    seen_at: Option<Wired<Time>>,
    /// The processes seen in the last seconds.
    recoverers: Vec<RecovererShape>,
}

impl Shape for WatchersShape {
    type Value = Watchers;

    fn value(self) -> Result<Watchers, String> {
        Ok(Watchers { seen_at: self.seen_at.map(|seen_at| seen_at.0), recoverers: values(self.recoverers)? })
    }
}

/// The recovery processes of a namespace, as an answer.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = WatchersAnswer))]
pub struct WatchersAnswerShape {
    /// The recovery processes.
    recovery: WatchersShape,
}

impl Shape for WatchersAnswerShape {
    type Value = Watchers;

    fn value(self) -> Result<Watchers, String> {
        self.recovery.value()
    }
}

/// A recovery process.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Recoverer))]
pub struct RecovererShape {
    /// The owner of its leases.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    name: Wired<Owner>,
    /// Its namespaces; empty: all.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    namespaces: Vec<Wired<Namespace>>,
    /// The kinds of undo that it handles.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    kinds: Vec<Wired<Kind>>,
    /// When it was last seen.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    seen_at: Wired<Time>,
}

impl Shape for RecovererShape {
    type Value = Recoverer;

    fn value(self) -> Result<Recoverer, String> {
        Ok(Recoverer {
            name: self.name.0,
            namespaces: self.namespaces.into_iter().map(|wired| wired.0).collect(),
            kinds: self.kinds.into_iter().map(|wired| wired.0).collect(),
            seen_at: self.seen_at.0,
        })
    }
}

/// Reports a running recovery process. Missing fields are empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Presence))]
pub struct PresenceShape {
    /// The owner of its leases.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    name: Option<Wired<Owner>>,
    /// Its namespaces; empty: all that the token is bound to.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    namespaces: Option<Vec<Wired<Namespace>>>,
    /// The kinds of undo that it handles.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    kinds: Option<Vec<Wired<Kind>>>,
}

impl Shape for PresenceShape {
    type Value = Presence;

    fn value(self) -> Result<Presence, String> {
        Ok(Presence {
            name: self.name.map(|wired| wired.0),
            namespaces: self.namespaces.unwrap_or_default().into_iter().map(|wired| wired.0).collect(),
            kinds: self.kinds.unwrap_or_default().into_iter().map(|wired| wired.0).collect(),
        })
    }
}

/// How many tasks are in a state.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StateCount))]
pub struct StateCountShape {
    /// The state.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    state: Wired<State>,
    /// How many tasks are in it.
    count: u64,
    /// How many of them are not due yet.
    later: u64,
    /// How many of them are stale.
    stale: u64,
    /// The task that has been in it for the longest time.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    oldest: Option<OldestShape>,
}

impl Shape for StateCountShape {
    type Value = StateCount;

    fn value(self) -> Result<StateCount, String> {
        let oldest = self.oldest.map(|oldest| Oldest { task: oldest.task.0, since: oldest.since.0 });
        Ok(StateCount {
            state: self.state.0,
            count: self.count,
            later: self.later,
            stale: self.stale,
            oldest,
        })
    }
}

/// The task that has been in a state for the longest time.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Oldest))]
pub struct OldestShape {
    /// The task.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    task: Wired<TaskId>,
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    since: Wired<Time>,
}

/// What one owner holds.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Holding))]
pub struct HoldingShape {
    /// The owner.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    owner: Wired<Owner>,
    /// How many leases.
    leases: u64,
    /// How many reservations.
    reservations: u64,
    /// How many of both have lapsed.
    stale: u64,
    /// Since when it has held the oldest of them.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    since: Wired<Time>,
    /// When the first of them ends.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    until: Wired<Time>,
}

impl Shape for HoldingShape {
    type Value = Holding;

    fn value(self) -> Result<Holding, String> {
        Ok(Holding {
            owner: self.owner.0,
            leases: self.leases,
            reservations: self.reservations,
            stale: self.stale,
            since: self.since.0,
            until: self.until.0,
        })
    }
}
