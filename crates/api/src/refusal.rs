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

/// An expected "no", with what the caller needs to act on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// The stable code.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::CodeWord))]
    pub code: Code,
    /// One sentence for a person, with the way out.
    pub message: String,
    /// The field that is out of bounds, for `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The state that the task is in.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::StateWord>))]
    pub state: Option<State>,
    /// Who holds the task, where somebody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldBy>,
    /// Before when the same command can't succeed, for the refusals that time may lift.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub retry_at: Option<Time>,
}

/// Who holds a task, since when, until when, at which epoch.
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

/// What has a message and nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Said {
    /// Why, for a person.
    pub message: String,
}

/// Why a command has no answer "done", under the name of its kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Error))]
pub enum CommandError {
    /// The expected "no".
    Refusal(Refusal),
    /// Surely not done.
    Unavailable(Said),
    /// What is stored contradicts itself; nothing was done.
    Corrupt(Said),
    /// Maybe done.
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
pub fn field_named(name: &str) -> &'static str {
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
