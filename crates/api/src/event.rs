//! An event as JSON, with its data to the byte: what is hashed is what was written.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tenure_core::chain::Hash;
use tenure_core::id::{Actor, Namespace, Revision, TaskId};
use tenure_core::time::Time;

use crate::wire;

/// An event of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its cursor: later events come after it.
    pub cursor: String,
    /// The namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The task that it happened to; null if it happened to none, but in the namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub task: Option<TaskId>,
    /// Its number within the history of the task or the namespace, from 1.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub number: Revision,
    /// When it happened.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// The type of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// The actor.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub actor: Actor,
    /// What happened: canonical JSON, which is hashed to the byte.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub data: Box<RawValue>,
    /// The hash that chains it to the previous event of the task or the namespace: SHA-256 in hexadecimal.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
}
