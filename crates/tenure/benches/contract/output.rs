//! The line of JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bare::work::Measured;

pub(crate) fn print(version: &str, measured: Measured, checked: &str) {
    let line = json!({
        "version": version,
        "done": measured.done,
        "seconds": measured.elapsed.as_secs_f64(),
        "latency_us": percentiles(measured.latencies),
        "checked": checked,
    });
    println!("{line}");
}

/// By nearest rank, in microseconds; null if nothing was timed.
fn percentiles(mut latencies: Vec<Duration>) -> Value {
    latencies.sort_unstable();
    let Some(max) = latencies.last() else { return Value::Null };
    let micros = |latency: &Duration| latency.as_nanos() as f64 / 1_000.0;
    let at = |share: f64| {
        let rank = (latencies.len() as f64 * share).ceil() as usize;
        micros(&latencies[rank.max(1) - 1])
    };
    json!({ "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": micros(max) })
}
