//! How the core's names, numbers, times and enumerations are written as JSON, each in one way. These forms are also stored and
//! hashed: one that was released never changes.
//!
//! The core has no serde. A field says `#[serde(with = "wire")]`, and its type is found here.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;
use tenure_core::chain::Hash;
use tenure_core::command::QuarantineCause;
use tenure_core::compensation::{Registered, Status};
use tenure_core::event::Counting;
use tenure_core::id::{
    Actor, CursorName, Document, Epoch, Kind, LabelKey, LabelValue, Namespace, Owner, Progress, Queue,
    Reason, Revision, SagaId, Seq, TaskId, Text, UndoKey,
};
use tenure_core::policy::{OnFailure, OnLapse, Ttl, WhenSpent};
use tenure_core::refusal::{Code, Refusal};
use tenure_core::task::{Cause, Labels, Overrun, State, Terminal, Unwinding};
use tenure_core::time::{Span, Time};

use crate::instant;

/// A type with one way to be JSON.
pub trait Wire: Sized {
    /// Writes it.
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    /// Reads it.
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// For `#[serde(with = "wire")]`.
pub fn serialize<T: Wire, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.put(serializer)
}

/// For `#[serde(with = "wire")]`.
pub fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::take(deserializer)
}

/// Lets serde's own containers hold what is read by [`Wire`].
struct Wired<T>(T);

impl<'de, T: Wire> Deserialize<'de> for Wired<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::take(deserializer).map(Wired)
    }
}

/// Lets serde's own containers hold what is written by [`Wire`].
struct Borrowed<'a, T>(&'a T);

impl<T: Wire> Serialize for Borrowed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.put(serializer)
    }
}

/// A field that must be there, though it may be `null`.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

/// A list that may be `null`, and is empty then.
pub(crate) mod list {
    use super::*;

    pub(crate) fn serialize<T: Wire, S: Serializer>(list: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
        list.put(serializer)
    }

    pub(crate) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        <Option<Vec<T>> as Wire>::take(deserializer).map(Option::unwrap_or_default)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&Borrowed(value)),
            None => serializer.serialize_none(),
        }
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Wired<T>>::deserialize(deserializer)?.map(|wired| wired.0))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Borrowed))
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Wired<T>>::deserialize(deserializer)?.into_iter().map(|wired| wired.0).collect())
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::put(self, serializer)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::take(deserializer).map(Box::new)
    }
}

macro_rules! text_on_wire {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$type>::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )* };
}
text_on_wire!(
    TaskId, SagaId, Namespace, Owner, Actor, Queue, Kind, LabelKey, LabelValue, Text, Reason, UndoKey,
    CursorName
);

/// JSON values go in as they are: the edge made them canonical.
macro_rules! json_on_wire {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde_json::from_str::<&RawValue>(self.as_str()).map_err(S::Error::custom)?.serialize(serializer)
            }
            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = Box::<RawValue>::deserialize(deserializer)?;
                <$type>::new(raw.get()).map_err(D::Error::custom)
            }
        }
    )* };
}
json_on_wire!(Document, Progress);

macro_rules! number_on_wire {
    ($($type:ident as $number:ty),*) => { $(
        impl Wire for $type {
            fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$number>::deserialize(deserializer).map($type)
            }
        }
    )* };
}
number_on_wire!(Epoch as u64, Revision as u64, Seq as u32);

/// A closed set of words.
pub trait Word: Copy + 'static {
    /// Each value with its word.
    const WORDS: &'static [(Self, &'static str)];
    /// The word of this value.
    fn word(self) -> &'static str;
    /// The value of that word.
    fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, name)| *name == word).map(|(value, _)| *value)
    }
}

/// Reads one of them.
pub fn take_word<'de, T: Word, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    T::of_word(&word).ok_or_else(|| D::Error::custom(format_args!("unknown word `{word}`")))
}

/// The value of that word; another one is refused by the name of its field.
pub fn parse_word<T: Word>(field: &'static str, word: &str) -> Result<T, Refusal> {
    T::of_word(word).ok_or_else(|| Refusal::invalid(field, format_args!("one of {}", words::<T>())))
}

/// All of them, for those who gave another one.
fn words<T: Word>() -> String {
    T::WORDS.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

/// Gives enumerations their words, and with them their JSON.
#[macro_export]
macro_rules! words_on_wire {
    ($($type:ty { $($value:path => $word:literal),* $(,)? })*) => { $(
        impl $crate::wire::Word for $type {
            const WORDS: &'static [(Self, &'static str)] = &[$(($value, $word)),*];
            fn word(self) -> &'static str {
                match self { $($value => $word),* }
            }
        }
        impl $crate::wire::Wire for $type {
            fn put<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(<$type as $crate::wire::Word>::word(*self))
            }
            fn take<'de, D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::wire::take_word(deserializer)
            }
        }
    )* };
}
words_on_wire! {
    OnLapse {
        OnLapse::Recover => "recover", OnLapse::Hold => "hold", OnLapse::Quarantine => "quarantine",
        OnLapse::Either => "either",
    }
    OnFailure { OnFailure::Fail => "fail", OnFailure::Quarantine => "quarantine" }
    WhenSpent { WhenSpent::Compensated => "compensated", WhenSpent::Quarantined => "quarantined" }
    Counting { Counting::Counted => "counted", Counting::Uncounted => "uncounted" }
    Registered { Registered::BeforeLease => "before_lease", Registered::UnderLease => "under_lease" }
    Status {
        Status::Standing => "standing", Status::Owed => "owed", Status::Done => "done",
        Status::Waived => "waived", Status::Void => "void",
    }
    Terminal {
        Terminal::Completed => "completed", Terminal::Failed => "failed",
        Terminal::Compensated => "compensated", Terminal::Quarantined => "quarantined",
    }
    State {
        State::Planned => "planned", State::Dispatched => "dispatched", State::Running => "running",
        State::Compensating => "compensating", State::Completed => "completed", State::Failed => "failed",
        State::Compensated => "compensated", State::Quarantined => "quarantined",
    }
    Unwinding {
        Unwinding::Released => "released", Unwinding::RolledBack => "rolled_back",
        Unwinding::Lapsed => "lapsed", Unwinding::Stalled => "stalled", Unwinding::OutOfTime => "out_of_time",
        Unwinding::Cancelled => "cancelled", Unwinding::Retried => "retried",
    }
    Overrun {
        Overrun::Stalled => "stalled", Overrun::OutOfTime => "out_of_time", Overrun::Cancelled => "cancelled",
    }
    QuarantineCause {
        QuarantineCause::ByHolder => "by_holder", QuarantineCause::UndoUnhandled => "undo_unhandled",
        QuarantineCause::UndoFailed => "undo_failed",
    }
    Cause {
        Cause::Completed => "completed", Cause::Failed => "failed", Cause::RolledBack => "rolled_back",
        Cause::Lapsed => "lapsed", Cause::Stalled => "stalled", Cause::OutOfTime => "out_of_time",
        Cause::Cancelled => "cancelled", Cause::AttemptsSpent => "attempts_spent",
        Cause::NotStarted => "not_started", Cause::UndoUnhandled => "undo_unhandled",
        Cause::UndoFailed => "undo_failed", Cause::ByHolder => "by_holder", Cause::ByOperator => "by_operator",
    }
}

impl Wire for Time {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&instant::print(*self))
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        instant::parse("time", &String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Lengths are written as people write them: `60s`, `500ms`, `7d`.
impl Wire for Span {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        instant::parse_span("duration", &String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Wire for Ttl {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.span().put(serializer)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ttl::new(Span::take(deserializer)?).map_err(D::Error::custom)
    }
}

/// In hexadecimal digits.
impl Wire for Hash {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::from_hex(&text).ok_or_else(|| D::Error::custom(format_args!("`{text}` is not a hash")))
    }
}

impl Wire for Code {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let code = Code::ALL.into_iter().find(|code| code.as_str() == word);
        code.ok_or_else(|| D::Error::custom(format_args!("unknown refusal code `{word}`")))
    }
}

impl Wire for Labels {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let pair = |(key, value): (String, String)| Ok((LabelKey::new(key)?, LabelValue::new(value)?));
        texts
            .into_iter()
            .map(pair)
            .collect::<Result<_, tenure_core::refusal::Refusal>>()
            .map_err(D::Error::custom)
    }
}
