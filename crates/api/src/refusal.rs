//! Why a command has no answer "done", as JSON.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tenure_core as core;
use tenure_core::id::{Epoch, Owner};
use tenure_core::refusal::Code;
use tenure_core::task::State;
use tenure_core::time::Time;

#[cfg(feature = "openapi")]
use crate::schema;
use crate::wire;

/// A refusal, with the facts that the caller needs to react.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// The stable code.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::CodeWord))]
    pub code: Code,
    /// One sentence for a person: what is wrong and what to do.
    pub message: String,
    /// The field that is out of bounds, for `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The state that the task is in.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::StateWord>))]
    pub state: Option<State>,
    /// The holder of the task, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldBy>,
    /// The earliest time at which the same command can succeed, for refusals that time may lift.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub retry_at: Option<Time>,
}

/// The holder of a task: since when, until when, at which epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldBy {
    /// The holder, or the one it is reserved for.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// The lease's epoch; null for a reservation.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, required))]
    pub epoch: Option<Epoch>,
    /// Since when it is held.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Time,
    /// When it ends unless it is renewed.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Time,
}

/// An error that has only a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Said {
    /// The message for a person.
    pub message: String,
}

/// Why a command was not done, or may not have been done, under the name of the kind of error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Error))]
pub enum CommandError {
    /// The refusal.
    Refusal(Refusal),
    /// The command was not done; it can be tried again.
    Unavailable(Said),
    /// The stored data is inconsistent; nothing was done.
    Corrupt(Said),
    /// It is unknown whether the command was done.
    Unknown(Said),
}

impl From<&core::refusal::Refusal> for Refusal {
    fn from(refusal: &core::refusal::Refusal) -> Refusal {
        Refusal {
            code: refusal.code,
            message: refusal.message.to_string(),
            field: refusal.field.map(str::to_owned),
            state: refusal.state,
            held_by: refusal.held_by.as_deref().map(|held| HeldBy {
                owner: held.owner.clone(),
                epoch: held.epoch,
                since: held.since,
                until: held.until,
            }),
            retry_at: refusal.retry_at,
        }
    }
}

impl From<Refusal> for core::refusal::Refusal {
    fn from(refusal: Refusal) -> core::refusal::Refusal {
        core::refusal::Refusal {
            code: refusal.code,
            message: refusal.message.into(),
            field: refusal.field.as_deref().map(field_named),
            state: refusal.state,
            held_by: refusal.held_by.map(|held| {
                Box::new(core::refusal::HeldBy {
                    owner: held.owner,
                    epoch: held.epoch,
                    since: held.since,
                    until: held.until,
                })
            }),
            retry_at: refusal.retry_at,
        }
    }
}

/// The name of a field as a refusal holds it, which is one of the few that are compiled in. Those of a newer program are
/// kept for good, and so there is a bound to how many and how long: one beyond it is called a field.
fn field_named(name: &str) -> &'static str {
    const NAMES_MAX: usize = 256;
    const NAME_BYTES_MAX: usize = 64;
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    // No code panics while it holds the lock.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    if names.len() >= NAMES_MAX || name.len() > NAME_BYTES_MAX {
        return "field";
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}
