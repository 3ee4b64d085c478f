//! Signing in with a token, and out.

use askama::Template;
use axum::body::Body;
use axum::http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use axum::http::{Response, StatusCode};
use tenure::access::TokenHash;
use tenure::core::time::Span;

use super::asked::{required, to};
use super::form::Form;
use super::layout::{Layout, Place, respond};
use super::sign_ins;
use crate::problem::Problem;
use crate::route::{Answered, Asked};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    layout: Layout,
    next: String,
    /// Why it did not work.
    error: Option<String>,
}

/// `GET /sign-in`.
pub(super) async fn page(asked: Asked) -> Answered {
    let next = asked.query.one("next")?.unwrap_or("/").to_owned();
    Ok(shown(next, None, StatusCode::OK))
}

fn shown(next: String, error: Option<String>, status: StatusCode) -> Response<Body> {
    respond(status, &SignIn { layout: Layout::bare("Sign in"), next: local(&next), error })
}

/// `POST /sign-in`. What is presented is looked up as the API does it.
pub(super) async fn enter(asked: Asked) -> Answered {
    let form = Form::read(&asked.body.text)?;
    let next = local(form.said("next").unwrap_or("/"));
    let Some(presented) = form.said("token") else {
        return Ok(shown(next, Some(required("token").message.into()), StatusCode::UNPROCESSABLE_ENTITY));
    };
    let token = TokenHash::of_presented(presented);
    let page = asked.served.tokens().await?;
    if !page.find(&token).is_some_and(|known| known.is_live(page.at)) {
        let error = "This token is invalid, expired or revoked.".to_owned();
        return Ok(shown(next, Some(error), StatusCode::UNAUTHORIZED));
    }
    let name = TokenHash(tenure::core::chain::Hash(asked.served.ledger.entropy().secret_bits()?)).to_string();
    asked.served.sign_ins.begin(&name, token);
    let mut response = to(&next)?;
    set(response.headers_mut(), &sign_ins::set_cookie(&name, &asked.head, sign_ins::LENGTH))?;
    Ok(response)
}

/// `POST /sign-out`.
pub(super) async fn leave(asked: Asked) -> Answered {
    asked.served.sign_ins.end(&asked.head);
    let mut response = to("/sign-in")?;
    set(response.headers_mut(), &sign_ins::set_cookie("", &asked.head, Span::ZERO))?;
    Ok(response)
}

fn set(headers: &mut HeaderMap, cookie: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(cookie).map_err(|_| Problem::broken("the cookie is no header"))?;
    headers.insert(SET_COOKIE, value);
    Ok(())
}

/// A path on this server. What would lead elsewhere leads to the first page.
fn local(next: &str) -> String {
    // Browsers take a backslash for a slash, and leave out what can't be seen.
    let is_plain = next.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\');
    let is_path = next.starts_with('/') && !next.starts_with("//") && is_plain;
    if is_path { next.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for path in ["/", "/tasks/default/a?done=cancel"] {
            assert_eq!(local(path), path);
        }
        for elsewhere in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "",
            "javascript:1",
            "/a\r\nb",
            "/\t/evil.example",
            "/ /evil.example",
        ] {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
    }
}
