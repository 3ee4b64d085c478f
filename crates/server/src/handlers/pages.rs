//! The HTML pages: a start page, and the API description. They need no scripts and load nothing.

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};

use crate::html::escaped;
use crate::listen::Encrypted;
use crate::route::{Answered, Asked};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}\
    h1,h2{line-height:1.2}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f3f3f3;border-radius:4px}\
    code{padding:.1em .3em}pre{padding:1rem;overflow:auto}pre code{padding:0}table{border-collapse:collapse;width:100%}\
    td,th{text-align:left;vertical-align:top;border-top:1px solid #ddd;padding:.4rem .6rem .4rem 0}td:first-child{white-space:nowrap}\
    @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}code,pre{background:#262626}td,th{border-color:#333}a{color:#8ab4ff}}\
    @media(max-width:40rem){td{display:block}td+td{border:0;padding-top:0}}";

/// `GET /openapi.json`.
pub(crate) async fn openapi(asked: Asked) -> Answered {
    let mut response = Response::new(Body::from(asked.served.documents.openapi.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `GET /`.
pub(crate) async fn front(asked: Asked) -> Answered {
    let options = &asked.served.options;
    let namespace =
        options.namespace.as_ref().map_or(tenure::ledger::DEFAULT_NAMESPACE, |name| name.as_str());
    let who = match &asked.caller.name {
        Some(name) => {
            format!("You are <code>{}</code>, {}.", escaped(name.as_str()), asked.caller.role.as_str())
        }
        None => {
            "Until the first token is created, local requests need none. Create one with <code>tenure token create</code>."
                .to_owned()
        }
    };
    let body = format!(
        "<p>The durable record of who is working on what, until when, and how to undo it.</p>\
         <p>This server stores its record in <code>{store}</code>. {who}</p>\
         <pre><code>curl {here}/v1/{namespace}/tasks{proof} -H 'Content-Type: application/json' -d '{{\"id\":\"build-42\"}}'\n\
         curl {here}/v1/{namespace}/tasks/build-42/why{proof}</code></pre>\
         <ul><li><a href=\"docs\">The API</a>, also as <a href=\"openapi.json\">OpenAPI 3.1</a></li>\
         <li><a href=\"v1/{namespace}/stats\">Overview of {namespace}</a>, \
         <a href=\"v1/{namespace}/tasks\">its newest tasks</a>, <a href=\"v1/{namespace}/stale\">its stale tasks</a>, \
         <a href=\"v1/{namespace}/owners\">its owners</a></li>\
         <li><a href=\"metrics\">Metrics</a>, <a href=\"readyz\">readiness</a></li></ul>\
         <p>Version {version}</p>",
        here = escaped(&here(&asked.head)),
        proof = if asked.caller.name.is_some() { " -H \"Authorization: Bearer $TENURE_TOKEN\"" } else { "" },
        store = escaped(&options.store),
        version = env!("CARGO_PKG_VERSION"),
    );
    Ok(page("Tenure", &body))
}

/// The address under which the browser reached the server.
fn here(head: &Parts) -> String {
    let in_header = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = in_header.or(head.uri.authority().map(|authority| authority.as_str())).unwrap_or("localhost");
    let is_encrypted = head.extensions.get::<Encrypted>().is_some();
    if is_encrypted { format!("https://{host}") } else { host.to_owned() }
}

/// `GET /docs`.
pub(crate) async fn docs(asked: Asked) -> Answered {
    Ok(page("Tenure: the API", &asked.served.documents.page))
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

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn asked(target: &str, host: Option<&str>) -> Parts {
        let request = Request::builder().uri(target);
        let request = match host {
            Some(host) => request.header(HOST, host),
            None => request,
        };
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn the_server_is_called_as_it_was_asked() {
        assert_eq!(here(&asked("/", Some("tenure.example:7117"))), "tenure.example:7117");
        assert_eq!(here(&asked("http://h2.example/", None)), "h2.example", "HTTP/2 has it in its target");
        assert_eq!(here(&asked("/", None)), "localhost");
        let mut encrypted = asked("/", Some("tenure.example"));
        encrypted.extensions.insert(Encrypted);
        assert_eq!(here(&encrypted), "https://tenure.example");
    }
}
