//! What commands take as JSON.

use std::borrow::Cow;

use serde_json::Value;
use tenure_core::id::{Document, Progress};

/// A JSON document for a command: a [`Value`], a [`Document`], or a [`JsonText`].
pub trait ToJson {
    /// Its text.
    fn to_json(&self) -> Cow<'_, str>;
}

impl ToJson for Value {
    fn to_json(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

impl ToJson for Document {
    fn to_json(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
}

impl ToJson for Progress {
    fn to_json(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
}

/// A text that should be JSON, such as the content of a file. The command is refused `invalid` if it is not.
#[derive(Clone, Copy, Debug)]
pub struct JsonText<'a>(pub &'a str);

impl ToJson for JsonText<'_> {
    fn to_json(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }
}

impl<T: ToJson> ToJson for &T {
    fn to_json(&self) -> Cow<'_, str> {
        (**self).to_json()
    }
}
