//! Reads errors.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tenure_core::id::{Epoch, Owner};
use tenure_core::refusal::{Code, HeldBy, Refusal};
use tenure_core::task::State;
use tenure_core::time::Time;

use super::{Shape, given};
use crate::error::Error;
#[cfg(feature = "openapi")]
use crate::record::schema;
use crate::wire::Wired;

/// A refusal, with the facts that the caller needs to react.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Refusal))]
pub struct RefusalShape {
    /// The stable code.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::CodeWord))]
    code: String,
    /// One sentence for a person: what is wrong and what to do.
    message: String,
    /// The field that is out of bounds, for `invalid`.
    field: Option<String>,
    /// The state that the task is in.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::StateWord>))]
    state: Option<Wired<State>>,
    /// The holder of the task, if there is one.
    held_by: Option<HeldByShape>,
    /// The earliest time at which the same command can succeed, for refusals that time may lift.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    retry_at: Option<Wired<Time>>,
}

/// The holder of a task: since when, until when, at which epoch.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HeldBy))]
pub struct HeldByShape {
    /// The holder, or the one it is reserved for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    owner: Wired<Owner>,
    /// The lease's epoch; null for a reservation.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, required))]
    epoch: Option<Wired<Epoch>>,
    /// Since when it is held.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    since: Wired<Time>,
    /// When it ends unless it is renewed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    until: Wired<Time>,
}

impl Shape for RefusalShape {
    type Value = Refusal;

    fn value(self) -> Result<Refusal, String> {
        let code = Code::ALL.into_iter().find(|code| code.as_str() == self.code);
        let held_by = self.held_by.map(|held| HeldBy {
            owner: held.owner.0,
            epoch: held.epoch.map(|epoch| epoch.0),
            since: held.since.0,
            until: held.until.0,
        });
        Ok(Refusal {
            code: code.ok_or_else(|| format!("unknown refusal code `{}`", self.code))?,
            message: self.message.into(),
            field: self.field.as_deref().map(field_named),
            state: self.state.map(|state| state.0),
            held_by: held_by.map(Box::new),
            retry_at: self.retry_at.map(|at| at.0),
        })
    }
}

/// An error that has only a message.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Said))]
pub struct SaidShape {
    /// The message for a person.
    message: String,
}

/// Why a command was not done, or may not have been done, under the name of the kind of error.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Error))]
pub enum ErrorShape {
    /// The refusal.
    Refusal(RefusalShape),
    /// The command was not done; it can be tried again.
    Unavailable(SaidShape),
    /// The stored data is inconsistent; nothing was done.
    Corrupt(SaidShape),
    /// It is unknown whether the command was done.
    Unknown(SaidShape),
}

impl Shape for ErrorShape {
    type Value = Error;

    fn value(self) -> Result<Error, String> {
        Ok(match self {
            ErrorShape::Refusal(refusal) => Error::Refused(refusal.value()?),
            ErrorShape::Unavailable(said) => Error::Unavailable(said.message),
            ErrorShape::Corrupt(said) => Error::Corrupt(said.message),
            ErrorShape::Unknown(said) => Error::Unknown(said.message),
        })
    }
}

/// The name of a field as a refusal holds it, which is one of the few that are compiled in. Those of a newer program are
/// kept for good, and so there is a bound to how many and how long: one beyond it is called a field.
pub(crate) fn field_named(name: &str) -> &'static str {
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
