//! Reads the public JSON back: each record becomes a value equal to the one it was written from.
//!
//! A newer program may write more fields; unknown ones are ignored. A missing field is never guessed: it is an error.
//! Nothing is decided here; a refusal that is read was made by a server.

mod answers;
mod error;
mod event;
mod lists;
mod overview;
mod task;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tenure_core::id::{Document, Progress};

pub use answers::{AnswerShape, AnswersShape, RenewalShape};
pub use error::{ErrorShape, HeldByShape, RefusalShape, SaidShape};
pub use event::EventShape;
pub use lists::{
    AbsenceShape, ChainAnswerShape, ChainShape, ChainsShape, ClaimableShape, EventsShape, LapsedShape,
    NamespacesShape, NewestShape, NominatedShape, NowShape, OwnersShape, RememberedShape, StatsShape,
    StoredEventShape, StoredRowShape, TaskAnswerShape, TasksShape, WatchShape,
};
pub use overview::{
    EndCountShape, HoldingShape, OldestShape, OverviewShape, PresenceShape, RecovererShape, StateCountShape,
    ToldToStopShape, WatchersAnswerShape, WatchersShape,
};
pub use task::{
    BackoffShape, CancelShape, CancelToldShape, CompensationShape, DismissalShape, LeaseShape, PolicyShape,
    ReservationShape, TaskShape, UnwindingShape,
};

/// What a shape is the shape of.
pub trait Shape: for<'de> Deserialize<'de> {
    /// The value.
    type Value;

    /// The value that was written; an error says what is inconsistent.
    fn value(self) -> Result<Self::Value, String>;
}

/// Reads one record, with nothing after it. An error names the place.
pub fn read_shape<S: Shape>(text: &str) -> Result<S::Value, String> {
    let shape: S = super::input::located(text, "one record")?;
    shape.value()
}

/// Reads a task as [`super::TaskRecord`] writes it.
pub fn read_task(text: &str) -> Result<tenure_core::task::Task, String> {
    read_shape::<TaskShape>(text)
}

/// Reads an event as [`super::EventRecord`] writes it.
pub fn read_recorded(text: &str) -> Result<crate::store::Recorded, String> {
    read_shape::<EventShape>(text)
}

/// Reads an error, as [`super::ErrorRecord`] writes it.
pub fn read_error(text: &str) -> Result<crate::error::Error, String> {
    read_shape::<ErrorShape>(text)
}

/// Reads a refusal as [`super::RefusalRecord`] writes it.
pub fn read_refusal(text: &str) -> Result<tenure_core::refusal::Refusal, String> {
    read_shape::<RefusalShape>(text)
}

/// Reads the answer to a heartbeat, as [`super::RenewalRecord`] writes it.
pub fn read_renewal(text: &str) -> Result<crate::store::Renewal, String> {
    read_shape::<RenewalShape>(text)
}

/// The values of a list.
fn values<S: Shape>(shapes: Vec<S>) -> Result<Vec<S::Value>, String> {
    shapes.into_iter().map(S::value).collect()
}

/// A field that must be there, though it may be `null`.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

/// A field that may be left out. If it is there, `null` is a value like others.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

fn document(raw: &RawValue) -> Result<Document, String> {
    Document::new(raw.get()).map_err(|refusal| refusal.to_string())
}

fn progress(raw: &RawValue) -> Result<Progress, String> {
    Progress::new(raw.get()).map_err(|refusal| refusal.to_string())
}

/// What a field holds where `null` stands for nothing, unless it is named among those that were given it.
fn unless_null<'a>(raw: &'a RawValue, name: &str, given_null: &[String]) -> Option<&'a RawValue> {
    (raw.get() != "null" || given_null.iter().any(|given| given == name)).then_some(raw)
}
