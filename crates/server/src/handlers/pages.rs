//! The description of the API: as OpenAPI, and as a page that needs no script and loads nothing.

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};

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
