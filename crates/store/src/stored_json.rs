//! Values as the JSON of columns and events. Names, numbers and words are written as in the public JSON; what has fields is
//! mirrored in `codec`, field by field. The trait repeats [`Wire`] because `codec` implements it for types of the core, and only the
//! crate of a trait may do that.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tenure_api::wire::Wire;
use tenure_core::compensation::{Registered, Status};
use tenure_core::event::Counting;
use tenure_core::id::{
    Actor, Document, Epoch, Kind, LabelKey, Owner, Progress, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text, UndoKey,
};
use tenure_core::policy::{OnFailure, OnLapse, Ttl, WhenSpent};
use tenure_core::task::{Cause, Labels, Overrun, Terminal};
use tenure_core::time::{Span, Time};

use crate::access::NamespaceScope;

/// A type with one way to be stored as JSON.
pub(crate) trait StoredJson: Sized {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// For `#[serde(with = "stored")]`.
pub(crate) fn serialize<T: StoredJson, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.put(serializer)
}

/// For `#[serde(with = "stored")]`.
pub(crate) fn deserialize<'de, T: StoredJson, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::take(deserializer)
}

/// An optional field: none is absent. What is present is a value, also where the value is the JSON `null`.
pub(crate) mod present {
    use serde::{Deserializer, Serializer};

    use super::StoredJson;

    pub(crate) fn serialize<T: StoredJson, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(inner) => inner.put(serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: StoredJson, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        T::take(deserializer).map(Some)
    }
}

struct Borrowed<'a, T>(&'a T);

impl<T: StoredJson> Serialize for Borrowed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.put(serializer)
    }
}

struct Owned<T>(T);

impl<'de, T: StoredJson> Deserialize<'de> for Owned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::take(deserializer).map(Owned)
    }
}

/// The text of a value.
pub(crate) fn to_json<T: StoredJson>(value: &T) -> String {
    serde_json::to_string(&Borrowed(value))
        .unwrap_or_else(|error| panic!("a value of texts and numbers can be written: {error}"))
}

/// Reads back what [`to_json`] wrote.
pub(crate) fn read_json<T: StoredJson>(text: &str) -> Option<T> {
    serde_json::from_str::<Owned<T>>(text).ok().map(|owned| owned.0)
}

macro_rules! as_in_public_json {
    ($($type:ty),* $(,)?) => { $(
        impl StoredJson for $type {
            fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Wire::put(self, serializer)
            }
            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$type as Wire>::take(deserializer)
            }
        }
    )* };
}
as_in_public_json!(
    Actor,
    Cause,
    Counting,
    Document,
    Epoch,
    Kind,
    LabelKey,
    Labels,
    NamespaceScope,
    OnFailure,
    OnLapse,
    Overrun,
    Owner,
    Progress,
    Queue,
    Reason,
    Registered,
    Revision,
    SagaId,
    Seq,
    Span,
    Status,
    TaskId,
    Terminal,
    Text,
    Time,
    Ttl,
    UndoKey,
    WhenSpent,
);

impl<T: StoredJson> StoredJson for Option<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&Borrowed(value)),
            None => serializer.serialize_none(),
        }
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Owned<T>>::deserialize(deserializer)?.map(|owned| owned.0))
    }
}

impl<T: StoredJson> StoredJson for Vec<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Borrowed))
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Owned<T>>::deserialize(deserializer)?.into_iter().map(|owned| owned.0).collect())
    }
}

impl<T: StoredJson> StoredJson for Box<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::put(self, serializer)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::take(deserializer).map(Box::new)
    }
}
