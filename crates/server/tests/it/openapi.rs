//! Compares the API description with the stored one, so that each change of it is noticed.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tenure_server::openapi;
use tenure_server::routes::routes;

const KEPT: &str = "../../docs/openapi.json";

#[test]
fn the_kept_description_is_what_the_table_of_routes_says() {
    let (kept, made) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT), openapi() + "\n");
    if std::env::var_os("TENURE_WRITE_OPENAPI").is_some() {
        std::fs::write(&kept, made).expect("it can be written");
        return;
    }
    let kept = std::fs::read_to_string(&kept).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi.json is not what the code says: run `cargo xtask docs`, and look at the difference"
    );
}

#[test]
fn every_route_is_described_once_and_every_reference_leads_somewhere() {
    let text = openapi();
    let described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(described["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for route in routes() {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &described["paths"][route.path][&method];
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {}", route.path));
        assert!(ids.insert(id.to_owned()), "{id} is the name of two routes");
        assert!(operation["responses"]["default"].is_object(), "{id}");
    }
    let count: usize = described["paths"]
        .as_object()
        .expect("paths")
        .values()
        .filter_map(|path| path.as_object())
        .map(|path| path.len())
        .sum();
    assert_eq!(count, routes().len(), "nothing else is described");
    let schemas = described["components"]["schemas"].as_object().expect("schemas");
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(schemas.contains_key(name), "{name} is referred to and not described");
    }
}

/// Every property that is described, with the name of what it is a property of.
fn properties(schemas: &serde_json::Map<String, Value>) -> Vec<(String, &String, &Value)> {
    let mut properties = Vec::new();
    for (name, schema) in schemas {
        for (property, shape) in schema["properties"].as_object().into_iter().flatten() {
            properties.push((format!("{name}.{property}"), property, shape));
        }
    }
    properties
}

#[test]
fn words_of_which_there_are_only_some_are_described_with_all_of_them() {
    const SETS: &[&str] = &[
        "becomes",
        "cause",
        "code",
        "on_lapse",
        "outcome",
        "registered",
        "role",
        "state",
        "verb",
        "what",
        "when_spent",
    ];
    /// Those that share their name with something that is no set of words.
    const SETS_OF_ONE: &[&str] = &["Compensation.status", "Unwinding.why", "Ready.store"];
    let described: Value = serde_json::from_str(&openapi()).expect("JSON");
    let schemas = described["components"]["schemas"].as_object().expect("schemas");
    let mut seen = 0;
    for (whole, property, shape) in properties(schemas) {
        if !SETS.contains(&property.as_str()) && !SETS_OF_ONE.contains(&whole.as_str()) {
            continue;
        }
        let text = shape.to_string();
        let name = text.split("#/components/schemas/").nth(1).and_then(|rest| rest.split('"').next());
        let name = name.unwrap_or_else(|| panic!("{whole} is described as {shape}"));
        let words =
            schemas[name]["enum"].as_array().unwrap_or_else(|| panic!("{whole}: {name} has no words"));
        assert!(words.len() > 1, "{whole}: {words:?}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    for operation in
        described["paths"].as_object().expect("paths").values().flat_map(|path| path.as_object()).flatten()
    {
        for parameter in operation.1["parameters"].as_array().into_iter().flatten() {
            let (name, schema) =
                (parameter["name"].as_str().unwrap_or_default(), parameter["schema"].to_string());
            let has_words = schema.contains("\"enum\"") || schema.contains("#/components/schemas/");
            assert!(has_words || !["state", "cause", "order", "return"].contains(&name), "{name}: {schema}");
            let is_flag = parameter["description"].as_str().is_some_and(|words| words.starts_with("`true`"));
            assert!(!is_flag || schema.contains("boolean"), "{name}: {schema}");
        }
    }
    assert!(schemas["Code"]["enum"].as_array().expect("words").contains(&"stale_epoch".into()));
    let refused = schemas["ProblemCode"]["enum"].as_array().expect("words");
    assert!(refused.contains(&"stale_epoch".into()) && refused.contains(&"unavailable".into()));
}

#[test]
fn what_only_a_store_behind_a_server_says_is_described_to_nobody() {
    let described: Value = serde_json::from_str(&openapi()).expect("JSON");
    let schemas = described["components"]["schemas"].as_object().expect("schemas");
    for (whole, property, _) in properties(schemas) {
        assert!(!["jitter", "made"].contains(&property.as_str()), "{whole}");
    }
}
