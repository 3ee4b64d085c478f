//! What a person sees in a browser: a front page, and the description of the API. They need no scripts and load nothing.

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};

use crate::openapi::{codes, document, needs};
use crate::routes::{Answered, Asked, routes};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}\
    h1,h2{line-height:1.2}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f3f3f3;border-radius:4px}\
    code{padding:.1em .3em}pre{padding:1rem;overflow:auto}pre code{padding:0}table{border-collapse:collapse;width:100%}\
    td,th{text-align:left;vertical-align:top;border-top:1px solid #ddd;padding:.4rem .6rem .4rem 0}td:first-child{white-space:nowrap}\
    @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}code,pre{background:#262626}td,th{border-color:#333}a{color:#8ab4ff}}\
    @media(max-width:40rem){td:first-child{white-space:normal}}";

/// `GET /openapi.json`.
pub(crate) async fn openapi(_asked: Asked) -> Answered {
    let mut response = Response::new(Body::from(document()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `GET /`.
pub(crate) async fn front(asked: Asked) -> Answered {
    let options = &asked.served.options;
    let room = options.namespace.as_ref().map_or(tenure::ledger::DEFAULT_NAMESPACE, |name| name.as_str());
    let who = match &asked.caller.name {
        Some(name) => {
            format!("You are <code>{}</code>, {}.", escaped(name.as_str()), asked.caller.role.as_str())
        }
        None => {
            "No token was made yet, so this machine needs none: <code>tenure token create</code> makes one."
                .to_owned()
        }
    };
    let body = format!(
        "<p>The durable record of who is working on what, until when, and how to undo it.</p>\
         <p>This server keeps its record in <code>{store}</code>. {who}</p>\
         <pre><code>curl localhost:7117/v1/{room}/tasks -H 'Content-Type: application/json' -d '{{\"id\":\"build-42\"}}'\n\
         curl localhost:7117/v1/{room}/tasks/build-42/why</code></pre>\
         <ul><li><a href=\"/docs\">The API</a>, also as <a href=\"/openapi.json\">OpenAPI 3.1</a></li>\
         <li><a href=\"/v1/{room}/stats\">What is in flight in {room}</a>, \
         <a href=\"/v1/{room}/tasks\">its newest tasks</a>, <a href=\"/v1/{room}/stale\">what is stale</a>, \
         <a href=\"/v1/{room}/owners\">who holds what</a></li>\
         <li><a href=\"/metrics\">What is counted</a>, <a href=\"/readyz\">whether it can serve</a></li></ul>\
         <p>Version {version}</p>",
        store = escaped(&options.store),
        version = env!("CARGO_PKG_VERSION"),
    );
    Ok(page("Tenure", &body))
}

/// `GET /docs`.
pub(crate) async fn docs(_asked: Asked) -> Answered {
    let mut body = String::from(
        "<p>As OpenAPI 3.1, with every field: <a href=\"/openapi.json\">/openapi.json</a>. With <code>owner</code> and \
         <code>epoch</code> in its body a verb is by lease, without them by an operator. <code>Idempotency-Key</code> names \
         a command, so that a repeat within 7 days is answered as the first was.</p><h2>Routes</h2><table>",
    );
    for route in routes() {
        let query: Vec<String> = route
            .query
            .iter()
            .map(|(name, words)| format!("<br><code>{name}</code>: {}", escaped(words)))
            .collect();
        body.push_str(&format!(
            "<tr><td><code>{} {}</code></td><td>{}. {}{}</td></tr>",
            route.method.as_str(),
            escaped(route.path),
            escaped(route.summary),
            escaped(&needs(route.access)),
            query.concat(),
        ));
    }
    body.push_str("</table><h2>Problems</h2><p>What is not done is told after RFC 9457, with one of these codes.</p><table>");
    for (code, status, words) in codes() {
        body.push_str(&format!(
            "<tr id=\"{code}\"><td><code>{code}</code> {status}</td><td>{}</td></tr>",
            escaped(words)
        ));
    }
    body.push_str("</table>");
    Ok(page("Tenure: the API", &body))
}

fn page(title: &str, body: &str) -> Response<Body> {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
