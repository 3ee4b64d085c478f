//! Enumerations in the description of the API: each under one name, with all its values.

use std::borrow::Cow;

use serde_json::{Value, json};
use tenure_core::command::QuarantineCause;
use tenure_core::compensation::{Registered, Status};
use tenure_core::policy::{OnLapse, WhenSpent};
use tenure_core::refusal::Code;
use tenure_core::task::{Cause, State, Unwinding};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::answer::{AnyTask, MinimalTask};
use crate::command::CommandName;
use crate::recovery::Outcome;
use crate::task::Task;
use crate::token::{ListedToken, NewToken, Role, Token};
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
    /// What brought a task to its end.
    CauseWord shown as "Cause": all::<Cause>();
    /// Why a holder parks its task.
    ParkingWord shown as "Parking": all::<QuarantineCause>();
    /// Why a task is being undone.
    UnwindingWord shown as "UnwindingWhy": all::<Unwinding>();
    /// What becomes of a compensation.
    StatusWord shown as "CompensationStatus": all::<Status>();
    /// Who owes a compensation: every attempt, or the one that registered it.
    RegisteredWord shown as "Registered": all::<Registered>();
    /// What happens when a lease lapses.
    OnLapseWord shown as "OnLapse": all::<OnLapse>();
    /// Where a task ends when its attempts are spent.
    WhenSpentWord shown as "WhenSpent": all::<WhenSpent>();
    /// Why a command was refused.
    CodeWord shown as "Code": Code::ALL.iter().map(|code| code.as_str());
    /// What a token may be used for.
    RoleWord shown as "Role": all::<Role>();
    /// What happens next to a task: it may be taken, its lease lapses, or recovery takes it up.
    NextWord shown as "Next": all::<Step>();
    /// What became of a task that recovery looked after.
    OutcomeWord shown as "Outcome": all::<Outcome>();
    /// What a command among many does.
    VerbWord shown as "Verb": CommandName::ALL.iter().map(|name| name.as_str());
}

/// A token with one field more.
fn token_with(description: &str, name: &str, field: Value, is_required: bool) -> RefOr<Schema> {
    changed(Token::schema(), |schema| {
        schema["description"] = description.into();
        schema["properties"][name] = field;
        if let Some(required) = schema["required"].as_array_mut().filter(|_| is_required) {
            required.insert(0, name.into());
        }
    })
}

fn changed(schema: RefOr<Schema>, change: impl FnOnce(&mut Value)) -> RefOr<Schema> {
    let unchanged = |error| panic!("a schema is JSON: {error}");
    let mut json = serde_json::to_value(schema).unwrap_or_else(unchanged);
    change(&mut json);
    serde_json::from_value(json).unwrap_or_else(|error| panic!("a schema stays one: {error}"))
}

impl PartialSchema for ListedToken {
    fn schema() -> RefOr<Schema> {
        let hash =
            json!({ "type": "string", "description": "The SHA-256 of its secret, in hexadecimal digits." });
        token_with("A token in a list.", "hash", hash, true)
    }
}

impl ToSchema for ListedToken {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Token::schemas(schemas);
    }
}

impl PartialSchema for NewToken {
    fn schema() -> RefOr<Schema> {
        let secret = "The secret, to be sent as `Authorization: Bearer …`. It is shown here and never again. Left out where the \
            caller has drawn it.";
        token_with(
            "A token that was just made.",
            "token",
            json!({ "type": ["string", "null"], "description": secret }),
            false,
        )
    }
}

impl ToSchema for NewToken {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Token::schemas(schemas);
    }
}

impl PartialSchema for AnyTask {
    fn schema() -> RefOr<Schema> {
        let whole = Ref::from_schema_name(Task::name());
        AnyOfBuilder::new().item(whole).item(Ref::from_schema_name(MinimalTask::name())).into()
    }
}

impl ToSchema for AnyTask {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Task::name().into_owned(), Task::schema()));
        schemas.push((MinimalTask::name().into_owned(), MinimalTask::schema()));
        Task::schemas(schemas);
        MinimalTask::schemas(schemas);
    }
}
