//! Reads an event, with its data to the byte: what was hashed is what was written.

use serde::Deserialize;
use serde_json::value::RawValue;
use tenure_core::chain::Hash;
use tenure_core::event::Event;
use tenure_core::id::{Actor, Namespace, Revision, TaskId};
use tenure_core::time::Time;

use super::Shape;
use crate::codec;
use crate::store::{Cursor, Recorded};
use crate::wire::Wired;

/// An event of the history.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Event))]
pub struct EventShape {
    /// Its cursor: later events come after it.
    cursor: String,
    /// The namespace of the task.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    namespace: Wired<Namespace>,
    /// The task that it happened to.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    task: Wired<TaskId>,
    /// Its number within the task, from 1.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    number: Wired<Revision>,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// The type of the event.
    #[serde(rename = "type")]
    kind: String,
    /// The actor.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    actor: Wired<Actor>,
    /// What happened: canonical JSON, which is hashed to the byte.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    data: Box<RawValue>,
    /// The hash that chains it to the task's previous event: SHA-256 in hexadecimal.
    hash: String,
}

impl Shape for EventShape {
    type Value = Recorded;

    fn value(self) -> Result<Recorded, String> {
        let (kind, data) = (self.kind, self.data.get());
        let what = codec::read_data(&kind, data)
            .ok_or_else(|| format!("the data of event {} does not fit the type `{kind}`", self.cursor))?;
        let hash = Hash::from_hex(&self.hash)
            .ok_or_else(|| format!("the hash of event {} is invalid", self.cursor))?;
        let event = Event {
            namespace: self.namespace.0,
            task: self.task.0,
            number: self.number.0,
            at: self.at.0,
            actor: self.actor.0,
            what,
        };
        Ok(Recorded { cursor: Cursor(self.cursor), event, hash, data: data.to_owned() })
    }
}
