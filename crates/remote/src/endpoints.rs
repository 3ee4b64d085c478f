//! The servers of a remote store, from one URL that lists one or several of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_core::refusal::Refusal;
use tenure_store::patience::read_patience;

/// The option for a file of certificate authorities.
pub(super) const CA: &str = "ca";
/// The option for how long to retry servers that are unavailable.
const PATIENCE: &str = "patience";

/// The servers of one store, and which one answered last.
#[derive(Debug)]
pub(super) struct Endpoints {
    urls: Vec<String>,
    current: AtomicUsize,
    /// A file of certificate authorities for the servers, instead of the system's.
    pub(super) authorities: Option<PathBuf>,
    /// Whether connections use TLS.
    pub(super) is_encrypted: bool,
    /// How long to retry servers that are unavailable, if the URL says it.
    pub(super) patience: Option<Duration>,
}

impl Endpoints {
    /// Reads `http://a:7117,b:7117`, also with a path in front of the API's own, and `?ca=FILE` and `?patience=30s`.
    pub(super) fn read(url: &str) -> Result<Endpoints, Refusal> {
        let invalid = |limit: String| Refusal::invalid("store", limit);
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| invalid("must be http://HOST:PORT".into()))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.contains("://") {
            return Err(invalid(format!(
                "give the scheme only once, at the beginning: {scheme}://a:7117,b:7117"
            )));
        }
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if hosts.contains('@') {
            let words = "the URL of a server contains no user and password; use --token or TENURE_TOKEN";
            return Err(invalid(words.into()));
        }
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return Err(invalid(format!("a host name is missing in `{url}`")));
        }
        let (mut authorities, mut patience) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((CA, file)) if !file.is_empty() && scheme == "https" => authorities = Some(file.into()),
                Some((PATIENCE, text)) => {
                    let length =
                        read_patience(text).map_err(|limit| invalid(format!("{PATIENCE}: {limit}")))?;
                    patience = Some(length);
                }
                _ => {
                    let words =
                        format!("unknown option `{pair}`; use {PATIENCE}=30s, or {CA}=FILE with https");
                    return Err(invalid(words));
                }
            }
        }
        let base = |host: &str| match prefix {
            "" => format!("{scheme}://{host}"),
            prefix => format!("{scheme}://{host}/{prefix}"),
        };
        let urls: Vec<String> = hosts.into_iter().map(base).collect();
        if let Some(odd) = urls.iter().find(|url| reqwest::Url::parse(url).is_err()) {
            return Err(invalid(format!("`{odd}` is not a valid URL")));
        }
        let (current, is_encrypted) = (AtomicUsize::new(0), scheme == "https");
        Ok(Endpoints { urls, current, authorities, is_encrypted, patience })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.urls.len()
    }

    /// The one that answered last, with its number.
    pub(super) fn current(&self) -> (usize, &str) {
        let at = self.current.load(Ordering::Relaxed) % self.urls.len();
        (at, &self.urls[at])
    }

    /// Switches to the next server, unless another request has switched already.
    pub(super) fn pass_over(&self, at: usize) {
        let next = (at + 1) % self.urls.len();
        // The request that lost the race uses the server that the other one switched to.
        let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// All of them, for a message.
    pub(super) fn named(&self) -> String {
        self.urls.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_long_to_retry() {
        for (query, patience) in [("", None), ("?patience=90s", Some(Duration::from_secs(90)))] {
            let places = Endpoints::read(&format!("http://a:7117{query}")).expect("one");
            assert_eq!(
                (places.urls.as_slice(), places.patience),
                (["http://a:7117".to_owned()].as_slice(), patience)
            );
        }
        for wrong in ["patience=", "patience=2h", "patience=soon", "patience=-1s"] {
            let refused = Endpoints::read(&format!("http://a:7117?{wrong}")).expect_err(wrong).to_string();
            assert!(refused.contains("such as 30s"), "{refused}");
        }
    }

    #[test]
    fn one_url_names_several_servers() {
        let places = Endpoints::read("http://a:7117, b:7117/behind/").expect("two");
        assert_eq!(places.urls, ["http://a:7117/behind", "http://b:7117/behind"]);
        assert_eq!(places.current(), (0, "http://a:7117/behind"));
        places.pass_over(0);
        places.pass_over(0);
        assert_eq!(places.current().0, 1, "two who fail at once go on once");
        places.pass_over(1);
        assert_eq!(places.current().0, 0);
        let with_authority = Endpoints::read("https://a?ca=/etc/ca.pem").expect("one");
        assert_eq!(with_authority.authorities, Some("/etc/ca.pem".into()));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for url in [
            "http://",
            "http://a,,b",
            "http://u:p@a",
            "http://a?ca=x",
            "https://a?x=y",
            "http://a b",
            "http://a,https://b",
        ] {
            assert_eq!(Endpoints::read(url).expect_err(url).field, Some("store"), "{url}");
        }
    }
}
