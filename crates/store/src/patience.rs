//! Reads the URL option `patience`: how long to wait for a store that is unavailable.

use std::time::Duration;

use tenure_api::instant;
use tenure_core::time::Span;

/// The maximum. A longer one is probably a typing error.
const PATIENCE_MAX: Span = Span::from_secs(3_600);

/// Reads the option; the error says what it must be.
pub fn read_patience(text: &str) -> Result<Duration, &'static str> {
    let length = instant::parse_span("patience", text).ok().filter(|length| *length <= PATIENCE_MAX);
    length.map(Duration::from).ok_or("it must be a duration of up to 1h, such as 30s")
}
