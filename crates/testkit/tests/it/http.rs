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

/// Whether an answer has each property that the schema of that name requires, and no other than it has.
fn has_what_is_described(schema: &str, answer: &Value) {
    let described: Value = serde_json::from_str(&tenure_server::openapi()).expect("JSON");
    let schema_of = &described["components"]["schemas"][schema];
    let names = |object: &Map<String, Value>| object.keys().cloned().collect::<BTreeSet<String>>();
    let known = names(schema_of["properties"].as_object().expect("properties"));
    let required = schema_of["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let required: BTreeSet<String> = required.map(str::to_owned).collect();
    let given = names(answer.as_object().expect("an object"));
    assert!(given.is_subset(&known) && required.is_subset(&given), "{schema}: {answer}");
}
