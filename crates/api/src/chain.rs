//! The chain of a task or of a namespace as a store holds it, to be verified. Nothing of it is trusted.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tenure_core::id::{Namespace, TaskId};

use crate::wire;

/// Chains as they are stored, to be verified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainPage {
    /// The chains.
    pub chains: Vec<Chain>,
    /// Where the list continues; null at the end.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<String>,
    /// `true` if the page ends early because its items are large.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub more: bool,
}

/// The chain of a task, or of a namespace itself. Nothing of it is trusted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Chain {
    /// The number of the task's row.
    pub row: i64,
    /// Its namespace, if the stored data names one.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub namespace: Option<Namespace>,
    /// Its id; null for the chain of a namespace, and if the stored data names none.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub id: Option<TaskId>,
    /// The name in its row; null if the task has no row.
    #[serde(deserialize_with = "wire::given")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub stored_name: Option<String>,
    /// Its rows in all tables but that of events.
    pub rows: Vec<StoredRow>,
    /// Inconsistent columns that only this store has.
    pub apart: Vec<String>,
    /// Its events by their place.
    pub events: Vec<StoredEvent>,
}

/// A row as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredRow {
    /// The table.
    pub table: String,
    /// Its columns by name: a number, a text, null, or `{"bytes":"…"}` in hexadecimal.
    #[serde(with = "columns_in_order")]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub columns: Vec<(String, Column)>,
}

/// The value of a column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Nothing.
    Null(()),
    /// A number, a time, a truth value.
    Number(i64),
    /// A text.
    Text(String),
    /// Bytes, and a text that is not UTF-8.
    Bytes {
        /// In hexadecimal.
        bytes: String,
    },
}

/// Columns as an object, in their order.
mod columns_in_order {
    use super::*;

    type Columns = Vec<(String, Column)>;

    pub(super) fn serialize<S: Serializer>(columns: &Columns, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(columns.iter().map(|(name, value)| (name, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Columns, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// An event as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredEvent {
    /// Its place among all events.
    pub order: i64,
    /// Its number within the task.
    pub number: i64,
    /// When it happened, in microseconds since 1970, as stored.
    pub at: i64,
    /// The actor.
    pub actor: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, as the text that is stored.
    pub data: String,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// The chain of one task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainAnswer {
    /// The chain.
    pub chain: Chain,
}
