//! The server, tested by a plain HTTP client.

mod access;
mod bounds;
mod console;
mod example_worker;
mod history;
mod http2;

mod probes;
mod retention;
mod tasks;
mod waits;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Whether an answer has each property of that schema of the description, and no other.
fn has_what_is_described(schema: &str, answer: &Value) {
    let described: Value = serde_json::from_str(&tenure_server::openapi()).expect("JSON");
    let properties =
        described["components"]["schemas"][schema]["properties"].as_object().expect("properties");
    let names = |object: &Map<String, Value>| object.keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(names(answer.as_object().expect("an object")), names(properties), "{schema}: {answer}");
}
