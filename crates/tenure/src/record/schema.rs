//! The enumerations of the API description: each under one name, with all its values.

use std::borrow::Cow;

use tenure_core::compensation::{Registered, Status};
use tenure_core::policy::{OnLapse, WhenSpent};
use tenure_core::refusal::Code;
use tenure_core::task::{Cause, State, Unwinding};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::command::{PARKINGS, Verb};
use crate::access::Role;
use crate::recovery::Outcome;
use crate::why::Step;
use crate::wire::Word;

/// A text that is one of these words.
pub fn one_of(description: &str, words: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    text.description(Some(description)).enum_values(Some(words)).into()
}

fn all<T: Word>() -> impl Iterator<Item = &'static str> {
    T::WORDS.iter().map(|(_, word)| *word)
}

macro_rules! sets {
    ($($(#[doc = $doc:literal])* $name:ident shown as $shown:literal: $words:expr;)*) => { $(
        $(#[doc = $doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                one_of(concat!($($doc),*).trim(), $words)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $shown.into()
            }
        }
    )* };
}

sets! {
    /// The state of a task.
    StateWord shown as "State": all::<State>();
    /// The cause of a task's end.
    CauseWord shown as "Cause": all::<Cause>();
    /// Why a holder parks its task.
    ParkingWord shown as "Parking": PARKINGS.iter().map(|(word, _)| *word);
    /// Why a task is being undone.
    UnwindingWord shown as "UnwindingWhy": all::<Unwinding>();
    /// The status of a compensation.
    StatusWord shown as "CompensationStatus": all::<Status>();
    /// Who owes a compensation: every attempt, or the one that registered it.
    RegisteredWord shown as "Registered": all::<Registered>();
    /// What happens when a lease lapses.
    OnLapseWord shown as "OnLapse": all::<OnLapse>();
    /// How a task ends when its attempts are spent.
    WhenSpentWord shown as "WhenSpent": all::<WhenSpent>();
    /// Why a command was refused.
    CodeWord shown as "Code": Code::ALL.iter().map(|code| code.as_str());
    /// The role of a token.
    RoleWord shown as "Role": all::<Role>();
    /// What happens next to a task: it becomes due, its lease lapses, or recovery reclaims it.
    NextWord shown as "Next": all::<Step>();
    /// The outcome of a task that recovery handled.
    OutcomeWord shown as "Outcome": Outcome::ALL.iter().map(|outcome| outcome.as_str());
    /// The verb of one of many commands.
    VerbWord shown as "Verb": Verb::ALL.iter().map(|verb| verb.as_str());
}
