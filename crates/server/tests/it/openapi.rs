//! The description of the API is kept, so that a change of it is seen by whoever changes it.

use std::collections::BTreeSet;
use std::path::Path;

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
