//! Sessions of people who signed in with a token. The browser has a random name of its session, never the token.
//!
//! A session ends after twelve hours, when it is left, when its token is revoked or expires, and when the server restarts. They are
//! kept in memory: what a store does not have can't be taken from it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::header::{COOKIE, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::request::Parts;
use tenure::access::TokenHash;
use tenure::clock::Moment;
use tenure::core::time::Span;

use crate::listen::Encrypted;
use crate::problem::Problem;

/// How long a session lasts.
pub(super) const LENGTH: Span = Span::from_secs(12 * 3_600);
/// The most sessions at once. Beyond it the oldest one ends.
const SESSIONS_MAX: usize = 10_000;
const NAME: &str = "tenure_session";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The sessions of a server, by the hash of their names.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<TokenHash, Session>>);

struct Session {
    token: TokenHash,
    began: Moment,
}

impl Sessions {
    fn sessions(&self) -> MutexGuard<'_, HashMap<TokenHash, Session>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session with that name for the holder of that token.
    pub(super) fn begin(&self, name: &str, token: TokenHash) {
        let mut sessions = self.sessions();
        let now = Moment::now();
        sessions.retain(|_, session| now.since(session.began) < LENGTH);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, session)| session.began).map(|(name, _)| *name)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(TokenHash::of_presented(name), Session { token, began: now });
    }

    /// The token of the session that the request is of.
    pub(crate) fn token(&self, headers: &HeaderMap) -> Option<TokenHash> {
        let name = TokenHash::of_presented(cookie(headers)?);
        let sessions = self.sessions();
        let session = sessions.get(&name)?;
        (Moment::now().since(session.began) < LENGTH).then_some(session.token)
    }

    /// Ends the session that the request is of.
    pub(super) fn end(&self, headers: &HeaderMap) {
        if let Some(name) = cookie(headers) {
            self.sessions().remove(&TokenHash::of_presented(name));
        }
    }
}

/// The value for `Set-Cookie`. Other sites' pages that link here are answered as the person who follows the link, but no form of
/// theirs is.
pub(super) fn set_cookie(name: &str, head: &Parts, length: Span) -> String {
    let secure = if head.extensions.get::<Encrypted>().is_some() { "; Secure" } else { "" };
    let seconds = length.as_micros() / 1_000_000;
    format!("{NAME}={name}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, value)| value)
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
        let (sessions, token) = (Sessions::default(), TokenHash::of_presented("a token"));
        sessions.begin("abc", token);
        let known = head(&[(COOKIE, "other=1; tenure_session=abc")]);
        assert_eq!(sessions.token(&known.headers), Some(token));
        for stranger in ["tenure_session=abd", "tenure_session=", "abc", "xtenure_session=abc"] {
            assert_eq!(sessions.token(&head(&[(COOKIE, stranger)]).headers), None, "{stranger}");
        }
        sessions.end(&known.headers);
        assert_eq!(sessions.token(&known.headers), None);
    }

    #[test]
    fn a_cookie_is_not_for_scripts_and_not_for_other_sites() {
        let plain = set_cookie("abc", &head(&[]), LENGTH);
        assert_eq!(plain, "tenure_session=abc; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax");
        let mut encrypted = head(&[]);
        encrypted.extensions.insert(Encrypted);
        assert!(set_cookie("abc", &encrypted, LENGTH).ends_with("; Secure"));
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
