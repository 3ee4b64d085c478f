//! Identifies the caller of a request and checks what it may do.
//!
//! Until the first token is created, a server on loopback accepts requests without one. Then a web page of another
//! site must not act for the user, so a foreign `Host` or `Origin` is refused. After the first token was created,
//! every route but the probes needs one, even if all tokens are revoked. The table of routes says what a route needs;
//! this module says what a command needs.

use std::collections::BTreeSet;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use tenure::access::{NamespaceScope, Role, TokenHash};
use tenure::core::command::{Action, LeaseScope};
use tenure::core::id::{Actor, Namespace};
use tenure::core::refusal::{Code, Refusal};
use tenure::core::verb::GivenBy;

use crate::options::{Exposure, Options};
use crate::problem::Problem;
use crate::token_cache::Page;

/// The rights that a route needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing: a program that restarts servers must get an answer from a probe.
    Probe,
    /// A token with at least that role, in any namespace; it sees only its namespaces.
    Store(Role),
    /// A token with at least that role that is bound to all namespaces, because the answer is about all of
    /// them.
    WholeStore(Role),
    /// The same for monitoring: while the store is unavailable, the last known tokens count. Otherwise
    /// monitoring could not report that the store is unavailable.
    Watch(Role),
    /// A token with at least that role that is bound to the namespace in the path.
    Namespace(Role),
}

/// Who a route is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Programs, with a token in a header; bodies and problems are JSON.
    Program,
    /// People, who may also be signed in; bodies are forms, and problems pages.
    Person,
}

/// The caller of a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The token's name; none if no token is needed.
    pub(crate) name: Option<Actor>,
    pub(crate) role: Role,
    pub(crate) namespaces: NamespaceScope,
}

impl Caller {
    /// A local caller, while no token exists.
    fn of_this_machine() -> Caller {
        Caller { name: None, role: Role::Admin, namespaces: NamespaceScope::All }
    }

    /// The caller of a probe.
    pub(crate) fn nobody() -> Caller {
        Caller { name: None, role: Role::Reader, namespaces: NamespaceScope::These(BTreeSet::new()) }
    }

    /// Which leases its commands may act on.
    pub(crate) fn lease_scope(&self) -> LeaseScope {
        match self.role {
            Role::Reader | Role::Worker => LeaseScope::OwnLeases,
            Role::Operator | Role::Admin => LeaseScope::Any,
        }
    }

    /// Whether the caller may use such a route, in that namespace if the path names one.
    pub(crate) fn enter(&self, access: Access, namespace: Option<&Namespace>) -> Result<(), Problem> {
        let needed = match access {
            Access::Probe => return Ok(()),
            Access::Store(role) => role,
            Access::Watch(role) | Access::WholeStore(role) => {
                if self.namespaces != NamespaceScope::All {
                    return Err(Problem::forbidden(
                        "this request needs a token that is bound to all namespaces",
                    ));
                }
                role
            }
            Access::Namespace(role) => {
                // For a token that is not bound to it, the namespace does not exist.
                if !namespace.is_some_and(|namespace| self.namespaces.contains(namespace)) {
                    return Err(Problem::not_found(
                        "this namespace does not exist, or the token is not bound to it",
                    ));
                }
                role
            }
        };
        Ok(self.has(needed)?)
    }

    /// Whether the caller may give that command.
    pub(crate) fn may(&self, action: &Action) -> Result<(), Refusal> {
        self.has(needed(action))
    }

    fn has(&self, needed: Role) -> Result<(), Refusal> {
        if self.role.includes(needed) {
            return Ok(());
        }
        let (needed, own) = (needed.as_str(), self.role.as_str());
        Err(Refusal::new(
            Code::Forbidden,
            format!("this request needs a token with the role {needed}; this token has the role {own}"),
        ))
    }
}

/// Identifies the caller, by the token that a person signed in with, if one did.
pub(crate) fn identify(
    head: &Parts,
    signed_in: Option<TokenHash>,
    page: &Page,
    options: &Options,
) -> Result<Caller, Problem> {
    if page.tokens.tokens.is_empty() && options.exposure == Exposure::Loopback {
        check_host(head, &options.hosts)?;
        return Ok(Caller::of_this_machine());
    }
    let presented = if let Some(token) = signed_in { token } else { presented(head)? };
    // The response does not say what is wrong with the token, because the sender may not own it.
    let token = page.find(&presented).filter(|token| token.is_live(page.at)).ok_or_else(|| {
        Problem::unauthenticated("the token is invalid, expired or revoked; ask for a new one")
    })?;
    Ok(Caller { name: Some(token.name.clone()), role: token.role, namespaces: token.namespaces.clone() })
}

/// The hash of the token that the request presents.
fn presented(head: &Parts) -> Result<TokenHash, Problem> {
    let mut presented = head.headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (presented.next(), presented.next()) else {
        let words = "the token is missing; send exactly one `Authorization: Bearer TOKEN` header. To create a token, run `tenure token create --name NAME --role ROLE` on the server's store";
        return Err(Problem::unauthenticated(words));
    };
    let presented = only.to_str().ok().and_then(|text| text.split_once(' '));
    let bearer = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, secret) =
        bearer.ok_or_else(|| Problem::unauthenticated("the header must be `Authorization: Bearer …`"))?;
    Ok(TokenHash::of_presented(secret.trim()))
}

/// Refuses requests for another host name, or from a page of another site: a browser sends both headers.
fn check_host(head: &Parts, hosts: &[String]) -> Result<(), Problem> {
    let is_ours = |authority: &str| {
        let name = without_port(authority);
        is_loopback(name) || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    };
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let foreign = |words: &str, name: &str| {
        Problem::misdirected(format!(
            "{words} `{name}` is not this machine; until a token is created, only local requests are accepted: create one, or allow the host with `--host`"
        ))
    };
    // HTTP/2 has the host in its target, as a request to a proxy does. A request without any does not come
    // from a browser.
    let in_target = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let mut hosts_said = head.headers.get_all(HOST).iter().map(text).chain(in_target);
    if let Some(host) = hosts_said.find(|host| !is_ours(host)) {
        return Err(foreign("the host", &host));
    }
    let is_foreign = |origin: &String| match origin.split_once("://") {
        Some(("http" | "https", authority)) => !is_ours(authority),
        Some(_) | None => true,
    };
    match head.headers.get_all(ORIGIN).iter().map(text).find(is_foreign) {
        Some(origin) => Err(foreign("the origin", &origin)),
        None => Ok(()),
    }
}

/// The host of an authority. A malformed one stays as it is, and matches no name.
fn without_port(authority: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match (bracketed, authority.rsplit_once(':')) {
        (Some((address, "")), _) => address,
        (Some((address, port)), _) if port.strip_prefix(':').is_some_and(is_port) => address,
        (None, Some((name, port))) if is_port(port) => name,
        (_, _) => authority,
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The role that a command needs: workers create tasks and use their own leases, operators may do everything with
/// tasks.
pub(crate) fn needed(action: &Action) -> Role {
    match action.verb().given_by() {
        GivenBy::Anybody | GivenBy::Holder => Role::Worker,
        GivenBy::Operator | GivenBy::Recovery => Role::Operator,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(pairs: &[(axum::http::HeaderName, &str)]) -> Parts {
        let (mut head, ()) = axum::http::Request::new(()).into_parts();
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        head.headers = pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        head
    }

    #[test]
    fn this_machine_has_several_names_and_no_others() {
        let hosts = ["tenure.example".to_owned()];
        for host in [
            "127.0.0.1:7117",
            "localhost",
            "LOCALHOST:80",
            "[::1]:7117",
            "a.localhost",
            "tenure.example:7117",
        ] {
            assert!(check_host(&with(&[(HOST, host)]), &hosts).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost.evil.example",
            "",
            "[::1]evil.example",
            "[::1].evil.example:80",
            "[::1]:80evil.example",
            "localhost:80evil.example",
            "[::1",
        ] {
            assert!(check_host(&with(&[(HOST, host)]), &hosts).is_err(), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_does_not_pass_for_its_user() {
        let asked = |origin| check_host(&with(&[(HOST, "localhost:7117"), (ORIGIN, origin)]), &[]);
        assert!(asked("http://localhost:7117").is_ok());
        for origin in ["https://evil.example", "null", "file://", "http://localhost.evil.example"] {
            assert!(asked(origin).is_err(), "{origin}");
            let mut both = with(&[(HOST, "localhost:7117"), (ORIGIN, "http://localhost:7117")]);
            both.headers.append(ORIGIN, HeaderValue::from_str(origin).expect("a header"));
            assert!(check_host(&both, &[]).is_err(), "behind one that is ours, too: {origin}");
        }
    }
}
