//! The enumerations of the API description: each under one name, with all its values.

use tenure_core::command::QuarantineCause;
use tenure_core::compensation::{Registered, Status};
use tenure_core::policy::{OnFailure, OnLapse, WhenSpent};
use tenure_core::refusal::Code;
use tenure_core::task::{Cause, State, Unwinding};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use crate::wire::Word;

/// A text that is one of these words.
pub fn one_of(description: &str, words: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    text.description(Some(description)).enum_values(Some(words)).into()
}

pub(crate) fn all<T: Word>() -> impl Iterator<Item = &'static str> {
    T::WORDS.iter().map(|(_, word)| *word)
}

/// Gives the sets of words their schemas.
macro_rules! word_schemas {
    ($($(#[doc = $doc:literal])* $name:ident shown as $shown:literal: $words:expr;)*) => { $(
        $(#[doc = $doc])*
        pub struct $name;

        impl ::utoipa::PartialSchema for $name {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::schema::Schema> {
                $crate::schema::one_of(concat!($($doc),*).trim(), $words)
            }
        }

        impl ::utoipa::ToSchema for $name {
            fn name() -> ::std::borrow::Cow<'static, str> {
                $shown.into()
            }
        }
    )* };
}
pub(crate) use word_schemas;

word_schemas! {
    /// The state of a task.
    StateWord shown as "State": all::<State>();
    /// The cause of a task's end.
    CauseWord shown as "Cause": all::<Cause>();
    /// Why a holder parks its task.
    ParkingWord shown as "Parking": all::<QuarantineCause>();
    /// Why a task is being undone.
    UnwindingWord shown as "UnwindingWhy": all::<Unwinding>();
    /// The status of a compensation.
    StatusWord shown as "CompensationStatus": all::<Status>();
    /// Who owes a compensation: every attempt, or the one that registered it.
    RegisteredWord shown as "Registered": all::<Registered>();
    /// What happens when a lease lapses.
    OnLapseWord shown as "OnLapse": all::<OnLapse>();
    /// What becomes of a task that its holder fails.
    OnFailureWord shown as "OnFailure": all::<OnFailure>();
    /// How a task ends when its attempts are spent.
    WhenSpentWord shown as "WhenSpent": all::<WhenSpent>();
    /// Why a command was refused.
    CodeWord shown as "Code": Code::ALL.iter().map(|code| code.as_str());
}
