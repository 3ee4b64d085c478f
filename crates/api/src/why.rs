//! Why a task is where it is, what happens next, and what people noted on it.

use serde::Serialize;
use tenure_core::event::Triage;
use tenure_core::id::{Actor, Reason};
use tenure_core::time::Time;

#[cfg(feature = "openapi")]
use crate::schema::{all, word_schemas};
use crate::task::Task;
use crate::wire;
use crate::words_on_wire;

/// What happens next to a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NextStep {
    /// What happens.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = NextWord))]
    pub what: Step,
    /// When; what is past is possible now.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
}

/// What may happen next to a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It may be acquired; also claimed, if no lease on it has lapsed.
    Due,
    /// Its lease or reservation lapses unless it is renewed or used.
    Lapse,
    /// Recovery may take it.
    Reclaim,
}

/// A note on a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NoteOnTask))]
pub struct Note {
    /// When.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// Who wrote it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub by: Actor,
    /// The text of the note.
    #[serde(rename = "note", with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub words: Reason,
    /// Whether the note dismisses the task.
    #[serde(rename = "dismisses", serialize_with = "dismisses")]
    #[cfg_attr(feature = "openapi", schema(value_type = bool))]
    pub triage: Triage,
}

fn dismisses<S: serde::Serializer>(triage: &Triage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*triage == Triage::Dismissed)
}

/// A task, and an explanation of its state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Why))]
pub struct WhyAnswer {
    /// The task.
    pub task: Task,
    /// The explanation in one sentence.
    pub why: String,
    /// What happens next by itself, or becomes possible.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<NextStep>,
    /// The notes, oldest first.
    pub notes: Vec<Note>,
}

words_on_wire! {
    Step { Step::Due => "due", Step::Lapse => "lapse", Step::Reclaim => "reclaim" }
}

#[cfg(feature = "openapi")]
word_schemas! {
    /// What happens next to a task: it becomes due, its lease lapses, or recovery reclaims it.
    NextWord shown as "Next": all::<Step>();
}
