//! A room at a glance, and who holds what, read back.

use serde::Deserialize;
use tenure_core::id::{Owner, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;

use super::{Shape, given, values};
use crate::store::overview::{Holding, Oldest, Overview, StateCount};
use crate::wire::Wired;

/// A room at a glance.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Overview))]
pub struct OverviewShape {
    /// When it was looked at.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// One for each state that somebody may have to look after.
    states: Vec<StateCountShape>,
}

impl Shape for OverviewShape {
    type Value = Overview;

    fn value(self) -> Result<Overview, String> {
        Ok(Overview { at: self.at.0, states: values(self.states)? })
    }
}

/// How many tasks are in a state.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StateCount))]
pub struct StateCountShape {
    /// The state.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    state: Wired<State>,
    /// How many tasks are in it.
    count: u64,
    /// How many of them are not due yet.
    later: u64,
    /// How many of them are stale.
    stale: u64,
    /// The one that has been in it for longest.
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

/// The task that has been in a state for longest.
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
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    owner: Wired<Owner>,
    /// How many leases.
    leases: u64,
    /// How many reservations.
    reservations: u64,
    /// How many of both have lapsed.
    stale: u64,
    /// Since when it has held the one that it has held for longest.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    since: Wired<Time>,
    /// When the one ends that ends first.
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
