//! Splits a PostgreSQL URL into parameters, as libpq does. It does not interpret them.
//!
//! An error contains nothing of the URL but the name of a parameter, because a malformed part may be a part of the
//! password.

use percent_encoding::percent_decode_str;
use tenure_core::refusal::Refusal;

/// The parameters that the URL gives, decoded. A query says more than what stands before it, as in libpq;
/// within a query nothing may be said twice. What is empty is not given.
pub(crate) fn split(url: &str) -> Result<Vec<(String, String)>, Refusal> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest =
        rest.ok_or_else(|| invalid("a PostgreSQL URL must begin with `postgres://` or `postgresql://`"))?;
    let (authority, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if after.contains('@') || authority.matches('@').count() > 1 {
        // Else the end of a password with a `/`, `?` or `@` would be taken for a host, a database or a
        // parameter, and shown.
        return Err(invalid(
            "only one `@`, before the host, may be unescaped; in a user, a password or a value write `@` as %40, \
             `/` as %2F, `?` as %3F and `:` as %3A",
        ));
    }
    let (credentials, hosts) = authority.split_once('@').unwrap_or(("", authority));
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let (hosts, ports) = hosts_and_ports(hosts)?;

    let mut given = parameters(query)?;
    let database = decode(path.strip_prefix('/').unwrap_or(path))?;
    let before = [
        ("host", hosts),
        ("port", ports),
        ("user", decode(user)?),
        ("password", decode(password)?),
        ("dbname", database),
    ];
    for (name, value) in before {
        if !given.iter().any(|(earlier, _)| earlier == name) {
            given.push((name.to_owned(), value));
        }
    }
    given.retain(|(_, value)| !value.is_empty());
    Ok(given)
}

fn invalid(limit: &str) -> Refusal {
    Refusal::invalid("store", limit)
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut given: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| invalid("each parameter after the `?` needs a `=` and a value"))?;
        let (name, value) = (decode(name)?, decode(value)?);
        if given.iter().any(|(earlier, _)| *earlier == name) {
            return Err(Refusal::invalid("store", format_args!("`{name}` is given twice; give it once")));
        }
        given.push((name, value));
    }
    Ok(given)
}

/// Lists with commas between, an item for each server; the ports' is empty where none is given.
fn hosts_and_ports(text: &str) -> Result<(String, String), Refusal> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for item in text.split(',') {
        let (host, port) = host_and_port(item)?;
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    let has_port = ports.iter().any(|port| !port.is_empty());
    let has_host = has_port || hosts.len() > 1 || hosts.iter().any(|host| !host.is_empty());
    let list = |items: Vec<String>, is_given| if is_given { items.join(",") } else { String::new() };
    Ok((list(hosts, has_host), list(ports, has_port)))
}

fn host_and_port(item: &str) -> Result<(&str, &str), Refusal> {
    let Some(bracketed) = item.strip_prefix('[') else {
        return Ok(item.split_once(':').unwrap_or((item, "")));
    };
    let parts = bracketed.split_once(']').and_then(|(host, after)| match after.strip_prefix(':') {
        Some(port) => Some((host, port)),
        None => after.is_empty().then_some((host, "")),
    });
    parts.ok_or_else(|| invalid("write an IPv6 address in brackets, followed by its port: `[::1]:5432`"))
}

fn decode(text: &str) -> Result<String, Refusal> {
    let is_escape = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(invalid("a `%` must be followed by two hexadecimal digits; write a literal `%` as %25"));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        Ok(_) | Err(_) => Err(invalid("percent-encoded text must be UTF-8 without NUL bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(url: &str) -> Vec<(String, String)> {
        let mut given = split(url).expect("a good URL");
        given.sort();
        given
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refusal(url: &str) -> String {
        split(url).expect_err(url).message.into()
    }

    #[test]
    fn every_part_of_a_url_is_a_parameter() {
        assert_eq!(
            given("postgresql://ann:p%40ss@db.example:6432/ten%20ure?schema=a&options=-c%20geqo=off"),
            pairs(&[
                ("dbname", "ten ure"),
                ("host", "db.example"),
                ("options", "-c geqo=off"),
                ("password", "p@ss"),
                ("port", "6432"),
                ("schema", "a"),
                ("user", "ann"),
            ])
        );
    }

    #[test]
    fn what_is_left_out_or_empty_is_not_given() {
        for url in ["postgres://", "postgres:///", "postgres://:@/?", "postgres://?&application_name="] {
            assert_eq!(given(url), []);
        }
    }

    #[test]
    fn several_hosts_keep_their_ports() {
        assert_eq!(given("postgres://a:1,b:2"), pairs(&[("host", "a,b"), ("port", "1,2")]));
        assert_eq!(given("postgres://a,b:2"), pairs(&[("host", "a,b"), ("port", ",2")]));
        assert_eq!(given("postgres://a,b"), pairs(&[("host", "a,b")]));
        assert_eq!(given("postgres://:6432"), pairs(&[("port", "6432")]));
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        assert_eq!(
            given("postgres://[::1]:6432,[fe80::2]"),
            pairs(&[("host", "::1,fe80::2"), ("port", "6432,")])
        );
        for url in ["postgres://[::1", "postgres://[::1]6432", "postgres://[::1/db"] {
            assert!(refusal(url).contains("[::1]:5432"), "{url}");
        }
    }

    #[test]
    fn a_socket_is_named_by_a_percent_or_by_a_parameter() {
        let folder = pairs(&[("dbname", "d"), ("host", "/run/pg")]);
        assert_eq!(given("postgres://%2Frun%2Fpg/d"), folder);
        assert_eq!(given("postgres:///d?host=/run/pg"), folder);
    }

    #[test]
    fn a_query_says_more_than_what_stands_before_it() {
        let url = "postgres://a:1/d?host=b&port=2&dbname=e&user=u";
        assert_eq!(given(url), pairs(&[("dbname", "e"), ("host", "b"), ("port", "2"), ("user", "u")]));
        assert_eq!(refusal("postgres:///?port=1&port=2"), "store: `port` is given twice; give it once");
    }

    #[test]
    fn no_refusal_tells_a_piece_of_a_password() {
        let passwords = [
            "sec@ret",
            "sec/ret",
            "sec?ret",
            "12/sec@ret",
            "12?sec=ret",
            "1?sec=/ret",
            "sec%ret",
            "sec%FFret",
            "sec%00ret",
        ];
        for password in passwords {
            let told = refusal(&format!("postgres://ann:{password}@host/db"));
            assert!(!told.contains("sec") && !told.contains("ret"), "{password}: {told}");
        }
    }

    #[test]
    fn another_scheme_is_refused() {
        for url in ["mysql://a/b", "postgres:/a/b", "host=a dbname=b", ""] {
            assert!(refusal(url).contains("postgres://"), "{url}");
        }
    }

    #[test]
    fn a_percent_needs_two_digits() {
        for url in ["postgres://a%/b", "postgres://a%2/b", "postgres://a%+1/b", "postgres:///?a=%g0"] {
            assert!(refusal(url).contains("%25"), "{url}");
        }
    }
}
