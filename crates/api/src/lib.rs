//! The public JSON of Tenure: one owned structure for each command, record and answer.
//!
//! HTTP bodies, lists of commands, the remote client, what the command line prints, and the description of the API all use
//! these. Each converts from the core's type and back: [`task::Task::at`], `TryFrom<Task>`, and so on. Where a structure has no second
//! type, its rules are here, too: which role includes which, how long a recovery process counts as running.
//!
//! Stored records have structures of their own, so that a new field of the public JSON changes no event. The names, numbers, times and
//! words in them are those of [`wire`].

mod action;
pub mod answer;
pub mod audit;
pub mod body;
pub mod chain;
pub mod command;
mod command_body;
pub mod doctor;
mod document;
pub mod duration;
pub mod event;
pub mod instant;
pub mod json;
pub mod list;
mod members;
pub mod overview;
pub mod patch;
pub mod policy;
pub mod put;
mod read;
pub mod recovery;
pub mod refusal;
pub mod retention;
#[cfg(feature = "openapi")]
pub mod schema;
mod target;
pub mod task;
pub mod token;
pub mod why;
pub mod wire;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use read::read_body;

/// The JSON text of a value.
pub fn to_json(value: &impl Serialize) -> String {
    // Every value here consists of texts, numbers, and documents that were JSON when they came in.
    serde_json::to_string(value).unwrap_or_else(|error| panic!("a record can be written: {error}"))
}

/// Writes the JSON text of a value behind what is there.
pub fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    // As above.
    serde_json::to_writer(out, value).unwrap_or_else(|error| panic!("a record can be written: {error}"));
}

/// Reads one value back, with nothing behind it. A newer program may write more than is known here, which is ignored. What is
/// missing is never guessed. What is wrong is told with the place where it stands.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    read::located(text, "one record")
}
