//! Ids, names and texts. Each has a type of its own that can't hold a value over the limits.
//!
//! A constructor that gets an invalid value returns [`InvalidField`], which names the field and the limit.
//! Nothing is trimmed or cut.

use std::fmt;
use std::sync::Arc;

use crate::limit::InvalidField;

/// Longest id, owner, queue, kind or actor, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Longest reason, note, target, receipt or error, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Longest payload, result or checkpoint, in bytes of canonical JSON.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Longest progress, in bytes of canonical JSON.
pub const PROGRESS_BYTES_MAX: usize = 1024;
/// Longest value of a label, in characters.
pub const LABEL_VALUE_CHARS_MAX: usize = 256;

/// How a refusal names the limit of a document.
pub const DOCUMENT_LIMIT: &str = "up to 256 KiB of JSON, without NUL";
/// How a refusal names the limit of progress.
pub const PROGRESS_LIMIT: &str = "up to 1 KiB of JSON, without NUL";

/// What an id consists of; a name may have slashes as well.
const ID_LIMIT: &str = "1 to 200 of A-Z a-z 0-9 - _ . : @ +, not . or ..";
const NAME_LIMIT: &str = "1 to 200 of A-Z a-z 0-9 - _ . : @ + /, not . or ..";

/// Declares a text type. Its constructor checks the limits, and is the only way to make a value.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text against the limits; the error names the field as interfaces call it.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidField> {
                Self::named($field, text)
            }

            /// As `new`, for a field with another name.
            pub fn named(field: &'static str, text: impl Into<Arc<str>>) -> Result<Self, InvalidField> {
                let text = text.into();
                $check(field, &text)?;
                Ok(Self(text))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(/// The unique name of a task in its namespace.
    TaskId, "id", check_id);
text_type!(/// A second unique name, for the task's saga; the task's own id where none is given.
    SagaId, "saga_id", check_id);
text_type!(/// The namespace of a task. Ids are unique within one.
    Namespace, "namespace", check_id);
text_type!(/// Who holds, or asks for, a lease: a free name such as `host/pid/agent-3`.
    Owner, "owner", check_name);
text_type!(/// The queue that workers claim from.
    Queue, "queue", check_name);
text_type!(/// The kind of a task or of a compensation.
    Kind, "kind", check_name);
text_type!(/// Who gave a command.
    Actor, "actor", check_name);
text_type!(/// Names one command of a caller, so that a repeat is answered and not done again.
    RequestId, "request_id", check_name);
text_type!(/// The name of a stored cursor: a follower's place in the history.
    CursorName, "cursor_name", check_id);
text_type!(/// The key of a label.
    LabelKey, "labels", check_id);
text_type!(/// The value of a label.
    LabelValue, "labels", check_label_value);
text_type!(/// Free text that may be empty: a target, a receipt, an error.
    Text, "text", check_text);
text_type!(/// Free text that says why. It must not be empty.
    Reason, "reason", check_reason);
text_type!(/// JSON that the edge has validated and made canonical: a payload, a result, a checkpoint.
    Document, "payload", check_document);
text_type!(/// A small JSON value that a holder sends with its heartbeats.
    Progress, "progress", check_progress);
text_type!(/// The idempotency key of an undo: `namespace/task/seq/epoch` of when it became owed.
    UndoKey, "key", check_undo_key);

impl Document {
    /// The JSON value `null`, a task's payload where none is given.
    pub fn null() -> Document {
        Document(Arc::from("null"))
    }
}

impl Reason {
    /// Texts that the core makes from names. They are always far below the limit.
    pub(crate) fn made(words: fmt::Arguments<'_>) -> Reason {
        Reason(Arc::from(words.to_string()))
    }
}

impl Queue {
    /// The queue of tasks that are given none.
    pub const DEFAULT: &'static str = "default";

    pub(crate) fn blank() -> Queue {
        Queue(Arc::from(Self::DEFAULT))
    }
}

impl Kind {
    /// The kind of tasks that are given none.
    pub const DEFAULT: &'static str = "task";

    pub(crate) fn blank() -> Kind {
        Kind(Arc::from(Self::DEFAULT))
    }

    /// The kind of a compensation that says that there is nothing to undo.
    pub const NONE: &'static str = "none";

    /// Whether a compensation of this kind says that there is nothing to undo.
    pub fn is_none(&self) -> bool {
        self.as_str() == Self::NONE
    }
}

impl UndoKey {
    /// The key of what becomes owed now. It is stored, because later owners of the obligation must use the same.
    pub fn of(namespace: &Namespace, task: &TaskId, seq: Seq, epoch: Epoch) -> UndoKey {
        UndoKey(Arc::from(format!("{namespace}/{task}/{seq}/{epoch}")))
    }
}

/// The saga id is the task id if its creator gave no other: what is a valid task id is a valid saga id.
impl From<&TaskId> for SagaId {
    fn from(id: &TaskId) -> SagaId {
        SagaId(Arc::clone(&id.0))
    }
}

impl Actor {
    /// The actor of commands that name none.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// The actor of a command that names none.
    pub fn anonymous() -> Actor {
        Actor(Arc::from(Self::ANONYMOUS))
    }
}

/// The owner of a lease can be the actor.
impl From<&Owner> for Actor {
    fn from(owner: &Owner) -> Actor {
        Actor(Arc::clone(&owner.0))
    }
}

/// The number of a lease, the fencing token: higher at every grant on its task. Zero: there was no grant yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before the first grant.
    pub const ZERO: Epoch = Epoch(0);

    /// The next grant's epoch: above everything granted on this task, and above the store's floor.
    pub fn next(self, floor: Epoch) -> Epoch {
        Epoch(self.max(floor).0.saturating_add(1))
    }
}

/// Counts the changes of a task's record, which are its stored events: the number of the newest of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The number of the next event.
    pub fn next(self) -> Revision {
        Revision(self.0.saturating_add(1))
    }
}

/// The number of a compensation within its task, from 1, in the order of registration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Seq(pub u32);

macro_rules! plain_number {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )* };
}
plain_number!(Epoch, Revision, Seq);

fn check_id(field: &'static str, text: &str) -> Result<(), InvalidField> {
    check_characters(field, text, ID_LIMIT, is_id_character)
}

fn check_name(field: &'static str, text: &str) -> Result<(), InvalidField> {
    check_characters(field, text, NAME_LIMIT, |c| is_id_character(c) || c == '/')
}

fn is_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@' | '+')
}

fn check_characters(
    field: &'static str,
    text: &str,
    limit: &'static str,
    allowed: fn(char) -> bool,
) -> Result<(), InvalidField> {
    let fits = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed);
    if fits && text != "." && text != ".." { Ok(()) } else { Err(InvalidField::new(field, limit)) }
}

fn check_label_value(field: &'static str, text: &str) -> Result<(), InvalidField> {
    if text.chars().count() <= LABEL_VALUE_CHARS_MAX && !text.contains('\0') {
        Ok(())
    } else {
        Err(InvalidField::new(field, "values of up to 256 characters, without NUL"))
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), InvalidField> {
    check_bytes(field, text, TEXT_BYTES_MAX, "up to 4 KiB of text, without NUL")
}

fn check_reason(field: &'static str, text: &str) -> Result<(), InvalidField> {
    if text.trim().is_empty() {
        return Err(InvalidField::new(field, "must not be empty: 1 byte to 4 KiB of text, without NUL"));
    }
    check_text(field, text)
}

fn check_document(field: &'static str, text: &str) -> Result<(), InvalidField> {
    check_bytes(field, text, DOCUMENT_BYTES_MAX, DOCUMENT_LIMIT)
}

fn check_progress(field: &'static str, text: &str) -> Result<(), InvalidField> {
    check_bytes(field, text, PROGRESS_BYTES_MAX, PROGRESS_LIMIT)
}

/// Two ids, a slash between each of the four parts, two numbers of up to 20 digits.
fn check_undo_key(field: &'static str, text: &str) -> Result<(), InvalidField> {
    check_bytes(field, text, 2 * NAME_CHARS_MAX + 43, "namespace/task/seq/epoch")
}

fn check_bytes(field: &'static str, text: &str, max: usize, limit: &'static str) -> Result<(), InvalidField> {
    if text.len() <= max && !text.contains('\0') { Ok(()) } else { Err(InvalidField::new(field, limit)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_200_of_its_characters_and_not_a_folder() {
        for good in ["a", "build-42", "A.b:c@d+e_f", &"x".repeat(200)] {
            assert!(TaskId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(201)] {
            let invalid = TaskId::new(bad).expect_err(bad);
            assert_eq!(invalid.field, "id");
        }
    }

    #[test]
    fn an_owner_may_have_slashes() {
        assert!(Owner::new("host/42/agent-3").is_ok());
        assert!(Owner::new("host 42").is_err());
    }

    #[test]
    fn texts_end_at_their_limits_and_are_never_cut() {
        assert!(Text::new("x".repeat(TEXT_BYTES_MAX)).is_ok());
        assert!(Text::new("x".repeat(TEXT_BYTES_MAX + 1)).is_err());
        assert!(Document::new("1".repeat(DOCUMENT_BYTES_MAX)).is_ok());
        assert!(Document::new("1".repeat(DOCUMENT_BYTES_MAX + 1)).is_err());
        assert!(Progress::new("1".repeat(PROGRESS_BYTES_MAX)).is_ok());
        assert!(Progress::new("1".repeat(PROGRESS_BYTES_MAX + 1)).is_err());
        assert!(LabelValue::new("ü".repeat(LABEL_VALUE_CHARS_MAX)).is_ok());
        assert!(LabelValue::new("ü".repeat(LABEL_VALUE_CHARS_MAX + 1)).is_err());
        assert!(Reason::new(" \n").is_err());
        assert!(Text::new("a\0b").is_err());
    }

    #[test]
    fn an_epoch_rises_above_the_floor() {
        assert_eq!(Epoch(3).next(Epoch::ZERO), Epoch(4));
        assert_eq!(Epoch(3).next(Epoch(1 << 32)), Epoch((1 << 32) + 1));
    }
}
