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
    /// The next step.
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
    /// It may be acquired; and claimed too, if nobody's lease on it has lapsed.
    Due,
    /// Its lease or reservation lapses unless it is renewed or used.
    Lapse,
    /// Recovery may take it.
    Reclaim,
}

/// What somebody noted on a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NoteOnTask))]
pub struct Note {
    /// When.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// Who.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub by: Actor,
    /// What it says.
    #[serde(rename = "note", with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub words: Reason,
    /// Whether it says that nobody has to look at the task any more.
    #[serde(rename = "dismisses", serialize_with = "dismisses")]
    #[cfg_attr(feature = "openapi", schema(value_type = bool))]
    pub triage: Triage,
}

fn dismisses<S: serde::Serializer>(triage: &Triage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*triage == Triage::Dismissed)
}

/// A task, and why it is where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Why))]
pub struct WhyAnswer {
    /// The task.
    pub task: Task,
    /// One sentence.
    pub why: String,
    /// What happens next by itself, or becomes possible.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<NextStep>,
    /// What people noted, the oldest first.
    pub notes: Vec<Note>,
}

words_on_wire! {
    Step { Step::Due => "due", Step::Lapse => "lapse", Step::Reclaim => "reclaim" }
}

#[cfg(feature = "openapi")]
word_schemas! {
    /// What happens next to a task: it may be taken, its lease lapses, or recovery takes it up.
    NextWord shown as "Next": all::<Step>();
}
