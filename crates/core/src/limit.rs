//! A value over its limits, as the types of fields report it.

use std::fmt;

/// A field is malformed or over its limit. A command that has such a field is refused as `invalid`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidField {
    /// The field, as interfaces name it.
    pub field: &'static str,
    /// What it may hold.
    pub limit: &'static str,
}

impl InvalidField {
    pub(crate) const fn new(field: &'static str, limit: &'static str) -> InvalidField {
        InvalidField { field, limit }
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.limit)
    }
}

impl std::error::Error for InvalidField {}
