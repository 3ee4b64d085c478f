//! The style, the script and the icon of the pages. They are in the binary.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tenure::core::chain::Hash;

use crate::route::{Answered, Asked};

const STYLE: &str = include_str!("../../assets/console.css");
const SCRIPT: &str = include_str!("../../assets/console.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// A word that changes with any of them, so that a browser may keep each for ever.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = Hash::of([STYLE, SCRIPT, ICON].concat().as_bytes()).to_string();
    hash.chars().take(12).collect()
});

pub(super) async fn style(asked: Asked) -> Answered {
    asset(&asked, STYLE, "text/css; charset=utf-8")
}

pub(super) async fn script(asked: Asked) -> Answered {
    asset(&asked, SCRIPT, "text/javascript; charset=utf-8")
}

pub(super) async fn icon(asked: Asked) -> Answered {
    asset(&asked, ICON, "image/svg+xml")
}

fn asset(asked: &Asked, text: &'static str, kind: &'static str) -> Answered {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // A page of another version of this server may ask for what this one does not have.
    let is_this = asked.query.one("v")? == Some(VERSION.as_str());
    let kept = if is_this { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    Ok(response)
}
