//! What commands take as JSON.

use std::borrow::Cow;

use serde_json::Value;
use tenure_core::id::{Document, Progress};

/// A JSON document for a command: a [`Value`], a [`Document`], or a [`JsonText`]. A `Value` holds numbers as 64 bits; numbers with
/// more digits stay as they are in the other two.
///
/// Of a structure of yours, `serde_json::to_value(&it)?` makes a `Value`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a JSON document",
    note = "of a structure make one with `serde_json::to_value(&it)?`; a text that is JSON is `JsonText(text)`"
)]
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenure_core::command::Action;

    use super::*;
    use crate::Ledger;
    use crate::store::memory::MemoryStore;

    fn payload(given: impl ToJson) -> Result<String, crate::Error> {
        let ledger = Ledger::with_store(std::sync::Arc::new(MemoryStore::default()));
        let command = ledger.create("t").payload(given).command()?;
        let Action::Create(create) = command.action else { panic!("it makes a create") };
        Ok(create.payload.as_str().to_owned())
    }

    #[test]
    fn each_form_gives_the_same_document_and_a_text_that_is_no_json_is_refused() {
        let text = r#"{"a":[1,2]}"#;
        let document = Document::new(text).expect("a document");
        assert_eq!(payload(json!({"a": [1, 2]})), Ok(text.to_owned()));
        assert_eq!(payload(&document), Ok(text.to_owned()));
        assert_eq!(payload(JsonText("{ \"a\": [1, 2] }")), Ok(text.to_owned()));
        let refused = payload(JsonText("{")).expect_err("no JSON");
        assert_eq!(refused.refusal().and_then(|refusal| refusal.field), Some("payload"));
    }
}
