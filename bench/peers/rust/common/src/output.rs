//! The JSON line, and how a program ends that did less than it says.

use crate::Measurement;
use serde::Serialize;
use std::{fmt::Debug, time::Duration};

const EXIT_FAILED: i32 = 1;

#[derive(Serialize)]
struct RunResult<'a> {
    version: &'a str,
    done: u64,
    seconds: f64,
    latency_us: Option<Percentiles>,
    checked: &'a str,
}

#[derive(Serialize)]
struct Percentiles {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Percentiles {
    /// By nearest rank; nothing if nothing was timed.
    fn of(mut latencies: Vec<Duration>) -> Option<Self> {
        latencies.sort_unstable();
        let max = latencies.last()?.as_micros() as u64;
        let at = |share: f64| {
            let rank = (latencies.len() as f64 * share).ceil() as usize;
            latencies[rank.max(1) - 1].as_micros() as u64
        };
        Some(Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max })
    }
}

pub fn print_result(version: &str, measurement: Measurement, checked: &str) {
    let result = RunResult {
        version,
        done: measurement.done,
        seconds: (measurement.elapsed.as_secs_f64() * 1e3).round() / 1e3,
        latency_us: Percentiles::of(measurement.latencies),
        checked,
    };
    println!("{}", serde_json::to_string(&result).expect("numbers and strings are always JSON"));
}

pub fn fail(reason: &str) -> ! {
    eprintln!("{reason}");
    std::process::exit(EXIT_FAILED)
}

pub fn expect_equal<T: PartialEq + Debug>(what: &str, stored: T, expected: T) {
    if stored != expected {
        fail(&format!("{what}: {stored:?} stored, {expected:?} expected"));
    }
}

/// Fails unless a commit is on disk before it is answered; says which settings make it so.
pub fn postgres_durability(fsync: &str, synchronous_commit: &str) -> &'static str {
    if fsync != "on" || synchronous_commit != "on" {
        fail(&format!(
            "commits are not durable: fsync is {fsync}, synchronous_commit is {synchronous_commit}"
        ));
    }
    "fsync on, synchronous_commit on"
}
