//! Addresses of pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tenure::core::id::{Namespace, TaskId};

/// What may stand in an address as it is.
const IN_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as a part of an address, in its path or its query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_ADDRESS).to_string()
}

/// The address of a task's page.
pub(super) fn task_path(namespace: &Namespace, id: &TaskId) -> String {
    format!("/tasks/{}/{}", encoded(namespace.as_str()), encoded(id.as_str()))
}
