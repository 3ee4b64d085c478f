//! People who signed in with a token. The browser has a random name of its sign-in, never the token.
//!
//! A sign-in ends after twelve hours, when it is left, when its token is revoked or expires, and when the server restarts. They are
//! kept in memory: what a store does not have can't be taken from it. So a browser must reach the same one of several servers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::header::{COOKIE, HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use tenure::access::TokenHash;
use tenure::clock::Moment;
use tenure::core::time::Span;

use crate::listen::Encrypted;
use crate::problem::Problem;

/// How long a sign-in lasts.
pub(super) const LENGTH: Span = Span::from_secs(12 * 3_600);
/// The most sign-ins at once. Beyond it the oldest one ends.
const SIGN_INS_MAX: usize = 10_000;
/// The most of one token, so that nobody can end the sign-ins of others.
const OF_A_TOKEN_MAX: usize = 50;
const NAME: &str = "tenure_sign_in";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The sign-ins of a server, by the hash of their names.
#[derive(Default)]
pub(crate) struct SignIns(Mutex<HashMap<TokenHash, SignIn>>);

struct SignIn {
    token: TokenHash,
    began: Moment,
}

impl SignIns {
    fn sign_ins(&self) -> MutexGuard<'_, HashMap<TokenHash, SignIn>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a sign-in with that name for the holder of that token.
    pub(super) fn begin(&self, name: &str, token: TokenHash) {
        let mut sign_ins = self.sign_ins();
        let now = Moment::now();
        sign_ins.retain(|_, sign_in| now.since(sign_in.began) < LENGTH);
        let is_own = |sign_in: &SignIn| sign_in.token == token;
        let own = sign_ins.values().filter(|sign_in| is_own(sign_in)).count();
        if own >= OF_A_TOKEN_MAX || sign_ins.len() >= SIGN_INS_MAX {
            let candidates = sign_ins.iter().filter(|(_, sign_in)| own < OF_A_TOKEN_MAX || is_own(sign_in));
            let oldest = candidates.min_by_key(|(_, sign_in)| sign_in.began).map(|(name, _)| *name);
            oldest.map(|oldest| sign_ins.remove(&oldest));
        }
        sign_ins.insert(TokenHash::of_presented(name), SignIn { token, began: now });
    }

    /// The token of the sign-in that the request is of.
    pub(crate) fn token(&self, head: &Parts) -> Option<TokenHash> {
        let name = TokenHash::of_presented(cookie(head)?);
        let sign_ins = self.sign_ins();
        let sign_in = sign_ins.get(&name)?;
        (Moment::now().since(sign_in.began) < LENGTH).then_some(sign_in.token)
    }

    /// Ends the sign-in that the request is of.
    pub(super) fn end(&self, head: &Parts) {
        if let Some(name) = cookie(head) {
            self.sign_ins().remove(&TokenHash::of_presented(name));
        }
    }
}

/// The value for `Set-Cookie`. Other sites' pages that link here are answered as the person who follows the link, but no form of
/// theirs is.
pub(super) fn set_cookie(name: &str, head: &Parts, length: Span) -> String {
    // A proxy in front may be the one that encrypts; then only the browser tells.
    let origin = head.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let is_encrypted = head.extensions.get::<Encrypted>().is_some()
        || origin.is_some_and(|origin| origin.starts_with("https://"));
    let secure = if is_encrypted { "; Secure" } else { "" };
    let seconds = length.as_micros() / 1_000_000;
    format!("{}={name}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", cookie_name(head))
}

/// The name of the cookie: with the port, because browsers send a cookie to all ports of a machine.
fn cookie_name(head: &Parts) -> String {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or(head.uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
    match host.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{NAME}_{port}")
        }
        Some(_) | None => NAME.to_owned(),
    }
}

fn cookie(head: &Parts) -> Option<&str> {
    let wanted = cookie_name(head);
    let texts = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// Refuses what a page of another site sends. Browsers say with each form where it comes from.
pub(crate) fn check_same_site(head: &Parts) -> Result<(), Problem> {
    let text = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(&HOST).or(head.uri.authority().map(|authority| authority.as_str()));
    let is_same = match (text(&SEC_FETCH_SITE), text(&ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin.split_once("://").map(|(_, authority)| authority) == host,
        (None, None) => false,
    };
    if is_same {
        Ok(())
    } else {
        Err(Problem::misdirected("this form was not sent by a page of this server"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request};

    use super::*;

    fn head(pairs: &[(HeaderName, &str)]) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        for (name, text) in pairs {
            head.headers.append(name.clone(), HeaderValue::from_str(text).expect("a header"));
        }
        head
    }

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_is_left() {
        let (sign_ins, token) = (SignIns::default(), TokenHash::of_presented("a token"));
        sign_ins.begin("abc", token);
        let known = head(&[(COOKIE, "other=1; tenure_sign_in=abc")]);
        assert_eq!(sign_ins.token(&known), Some(token));
        for stranger in ["tenure_sign_in=abd", "tenure_sign_in=", "abc", "xtenure_sign_in=abc"] {
            assert_eq!(sign_ins.token(&head(&[(COOKIE, stranger)])), None, "{stranger}");
        }
        let other_port = head(&[(HOST, "localhost:7118"), (COOKIE, "tenure_sign_in=abc")]);
        assert_eq!(sign_ins.token(&other_port), None, "it is of another server");
        sign_ins.end(&known);
        assert_eq!(sign_ins.token(&known), None);
    }

    #[test]
    fn nobody_can_end_the_sessions_of_others_by_signing_in_often() {
        let (sign_ins, own) = (SignIns::default(), TokenHash::of_presented("mine"));
        sign_ins.begin("mine", own);
        for number in 0..2 * OF_A_TOKEN_MAX {
            sign_ins.begin(&format!("other-{number}"), TokenHash::of_presented("another"));
        }
        assert_eq!(sign_ins.sign_ins().len(), OF_A_TOKEN_MAX + 1);
        assert_eq!(sign_ins.token(&head(&[(COOKIE, "tenure_sign_in=mine")])), Some(own));
    }

    #[test]
    fn a_cookie_is_not_for_scripts_and_not_for_other_sites() {
        let plain = set_cookie("abc", &head(&[]), LENGTH);
        assert_eq!(plain, "tenure_sign_in=abc; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax");
        let mut encrypted = head(&[]);
        encrypted.extensions.insert(Encrypted);
        assert!(set_cookie("abc", &encrypted, LENGTH).ends_with("; Secure"));
        let behind_a_proxy = head(&[(HOST, "tenure.example:443"), (ORIGIN, "https://tenure.example:443")]);
        let cookie = set_cookie("abc", &behind_a_proxy, LENGTH);
        assert!(cookie.starts_with("tenure_sign_in_443=abc") && cookie.ends_with("; Secure"), "{cookie}");
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let here = (HOST, "localhost:7117");
        for same in [
            &[here.clone(), (ORIGIN, "http://localhost:7117")][..],
            &[here.clone(), (SEC_FETCH_SITE, "same-origin")],
            &[here.clone(), (SEC_FETCH_SITE, "same-origin"), (ORIGIN, "null")],
        ] {
            assert!(check_same_site(&head(same)).is_ok(), "{same:?}");
        }
        for other in [
            &[here.clone()][..],
            &[here.clone(), (ORIGIN, "http://localhost:3000")],
            &[here.clone(), (ORIGIN, "null")],
            &[here.clone(), (ORIGIN, "http://localhost:7117"), (SEC_FETCH_SITE, "same-site")],
            &[here.clone(), (SEC_FETCH_SITE, "cross-site")],
            &[(ORIGIN, "http://localhost:7117")],
        ] {
            assert!(check_same_site(&head(other)).is_err(), "{other:?}");
        }
    }
}
