//! The API description as an HTML page.

use std::collections::HashSet;

use serde_json::Value;

use crate::html::escaped;
use crate::openapi::{api, codes};
use crate::routes::routes;

/// Where schemas stand in the document.
const SCHEMAS: &str = "#/components/schemas/";

/// Routes, shapes and problems, each with an anchor of its name. Rows and cells have no end tags, which HTML does not need: there are
/// hundreds, and they were a tenth of the page.
pub(crate) fn page() -> String {
    let document = serde_json::to_value(api())
        .unwrap_or_else(|error| panic!("the API description can always be written as JSON: {error}"));
    let mut html = format!(
        "<p>{}</p><p>As OpenAPI 3.1: <a href=\"openapi.json\">openapi.json</a>.</p><h2>Routes</h2><table>",
        words(text(&document["info"], "description"))
    );
    // Many routes have the same parameters: each is explained where it comes first.
    let mut explained = HashSet::new();
    for one in routes() {
        let method = one.method.as_str();
        let operation = &document["paths"][one.path][method.to_lowercase()];
        html.push_str(&route(one.path, method, operation, &mut explained));
    }
    html.push_str("</table><h2 id=\"shapes\">Shapes</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        html.push_str(&shape(name, schema));
    }
    html.push_str(
        "<h2>Problems</h2><p>Errors are problems as in RFC 9457, with one of these codes.</p><table>",
    );
    for (code, status, meaning) in codes() {
        let meaning = words(meaning);
        html.push_str(&format!("<tr id=\"{code}\"><td><code>{code}</code> {status}<td>{meaning}"));
    }
    html.push_str("</table>");
    html
}

/// A text of the page, of which what stands in backquotes is code.
fn words(text: &str) -> String {
    let parts = text.split('`').map(escaped).enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part }).collect()
}

fn route<'v>(
    path: &str,
    method: &str,
    operation: &'v Value,
    explained: &mut HashSet<(&'v str, &'v str)>,
) -> String {
    let mut html = format!(
        "<tr id=\"{}\"><td><code>{method} {}</code><td>{}. {}",
        escaped(text(operation, "operationId")),
        escaped(path),
        words(text(operation, "summary")),
        words(text(operation, "description"))
    );
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] != "path") {
        let (name, about) = (text(parameter, "name"), text(parameter, "description"));
        html.push_str(&format!("<br><code>{}</code>", escaped(name)));
        if explained.insert((name, about)) {
            html.push_str(&format!(": {}", words(about)));
        }
    }
    let of_content = |content: &Value| {
        let kinds = members(content).map(|(kind, content)| match kind {
            "application/json" => kind_of(&content["schema"]),
            other => format!("<code>{}</code>", escaped(other)),
        });
        kinds.collect::<Vec<_>>().join(" or ")
    };
    if let Some(content) = operation["requestBody"].get("content") {
        html.push_str(&format!("<br>Request body: {}.", of_content(content)));
    }
    for (status, response) in members(&operation["responses"]).filter(|(status, _)| *status != "default") {
        html.push_str(&format!("<br>Response {status}: {}.", of_content(&response["content"])));
    }
    html
}

fn shape(name: &str, schema: &Value) -> String {
    let name = escaped(name);
    let mut html = format!("<h3 id=\"{name}\">{name}</h3><p>{}</p>", words(text(schema, "description")));
    let Some(fields) = schema.get("properties") else {
        html.push_str(&format!("<p>{}</p>", kind_of(schema)));
        return html;
    };
    html.push_str("<table>");
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (field, of) in members(fields) {
        let about = of.get("description").or_else(|| of["oneOf"].get(0)?.get("description"));
        let about = about.and_then(Value::as_str).unwrap_or_default();
        let must = if required.iter().any(|name| name == field) { "" } else { ", optional" };
        html.push_str(&format!(
            "<tr><td><code>{}</code><td>{}{must}<br>{}",
            escaped(field),
            kind_of(of),
            words(about)
        ));
    }
    html.push_str("</table>");
    html
}

/// What a value may be, in words.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = text(schema, "$ref").strip_prefix(SCHEMAS) {
        return format!("<a href=\"#{0}\">{0}</a>", escaped(name));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices = choices.iter().filter_map(Value::as_str);
        return choices.map(|word| format!("<code>{}</code>", escaped(word))).collect::<Vec<_>>().join(", ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return "any value".to_owned(),
    };
    let named = kinds.into_iter().map(|kind| match (kind, text(schema, "format")) {
        ("array", _) => format!("array of {}", kind_of(&schema["items"])),
        ("object", _) if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind_of(&schema["additionalProperties"]))
        }
        ("string", "date-time") => "time".to_owned(),
        (kind, _) => escaped(kind),
    });
    named.collect::<Vec<_>>().join(" or ")
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_page_has_its_place() {
        let html = page();
        let links = html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
        let links: Vec<&str> = links.collect();
        assert!(links.len() > 100, "routes and shapes name shapes: {}", links.len());
        for link in links {
            assert!(html.contains(&format!("id=\"{link}\"")), "#{link}");
        }
    }

    #[test]
    fn every_route_code_and_field_is_on_the_page() {
        let html = page();
        for route in routes() {
            let line = format!("<code>{} {}</code>", route.method.as_str(), route.path);
            assert!(html.contains(&line), "{line}");
        }
        for field in ["given_null", "lock_delay", "optional", "array of <a href=\"#Compensation\">"] {
            assert!(html.contains(field), "{field}");
        }
        for (code, _, _) in codes() {
            assert!(html.contains(&format!("<tr id=\"{code}\">")), "{code}");
        }
    }

    #[test]
    fn what_is_between_backquotes_is_code_and_nothing_is_markup() {
        assert_eq!(words("give `a<b` & \"c\""), "give <code>a&lt;b</code> &amp; &quot;c&quot;");
    }
}
