//! The members of a JSON object, each as it stands, before the body is read that they belong to.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tenure_core::refusal::Refusal;

use crate::read::{ReadError, read_whole};

/// The members of an object, as they stand.
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(crate) fn of(text: &'a str) -> Result<Members<'a>, Refusal> {
        read_whole(text, "body", "a single JSON object")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(member, _)| member == name)
    }

    /// Takes one out; `null` is none. One that stands twice is left to be found: nobody could tell which was meant.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        form: &'static str,
    ) -> Result<Option<T>, Refusal> {
        let Some(at) = self.0.iter().position(|(member, _)| member == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.has(name) {
            return Err(Refusal::invalid(name, "is given twice"));
        }
        serde_json::from_str(value.get()).map_err(|_| Refusal::invalid(name, form))
    }

    /// All of them by their names; an error is the name of one that stands twice.
    pub(crate) fn each_once(self) -> Result<BTreeMap<String, &'a RawValue>, String> {
        let mut members = BTreeMap::new();
        for (name, value) in self.0 {
            if members.insert(name.clone(), value).is_some() {
                return Err(name);
            }
        }
        Ok(members)
    }

    /// The only one, if there is one.
    pub(crate) fn only(&self, name: &str) -> Option<&'a RawValue> {
        match self.0.as_slice() {
            [(member, value)] if member == name => Some(*value),
            _ => None,
        }
    }

    /// As that body; what is wrong is told by `explain`.
    pub(crate) fn into_body<B: DeserializeOwned>(
        self,
        explain: impl Fn(&ReadError) -> Refusal,
    ) -> Result<B, Refusal> {
        let members = || {
            let members = self.0.iter().map(|(name, value)| (name.as_str(), *value));
            MapDeserializer::<_, serde_json::Error>::new(members)
        };
        // To keep the place in mind costs more than to read: it is done only once something is known to be wrong.
        B::deserialize(members())
            .or_else(|_| serde_path_to_error::deserialize(members()).map_err(|error| explain(&error)))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
