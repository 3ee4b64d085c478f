//! Numbers as a column has them: signed, with 64 bits.

use tenure_core::time::Span;

/// The largest number of a column, if it is larger.
pub fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Zero, if it is negative: nobody writes that.
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A span in microseconds.
pub fn length(span: Span) -> i64 {
    number(span.as_micros())
}
