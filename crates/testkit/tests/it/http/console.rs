//! The console: what its pages say, who may act, and that nothing is done twice, by others, or for another site.

mod access;
mod acts;
mod audit;
mod by_hand;
mod groups;
mod history;
mod pages;
mod queues;
mod recover;
mod sign_in;

use std::sync::Arc;

use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE};
use reqwest::redirect;
use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::store::Store;
use tenure_testkit::served::{Reply, Served, http, reply};
use tenure_testkit::{BEGINNING, memory};

/// A browser, as far as a server can tell.
pub(super) struct Browser {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) cookie: Option<String>,
}

impl Browser {
    pub(super) fn of(served: &Served) -> Browser {
        let http = http().redirect(redirect::Policy::none()).build().expect("a client");
        Browser { http, url: served.url.clone(), cookie: None }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url)).header(ACCEPT, "text/html");
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        reply(self.request("GET", path)).await
    }

    /// Sends a form, as a page of this server does.
    pub(super) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.submit_from("same-origin", path, fields).await
    }

    pub(super) async fn submit_from(&self, site: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let form = "application/x-www-form-urlencoded";
        let request = self.request("POST", path).header("sec-fetch-site", site).header(CONTENT_TYPE, form);
        reply(request.body(pairs.join("&"))).await
    }

    /// Signs in, and keeps the cookie.
    pub(super) async fn signed_in(served: &Served, secret: &str) -> Browser {
        let mut browser = Browser::of(served);
        let answer = browser.submit("/sign-in", &[("token", secret), ("next", "/")]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
        let cookie = answer.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        assert!(!cookie.contains(secret), "the browser keeps no token");
        browser.cookie = Some(cookie);
        browser
    }
}

pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

pub(super) struct World {
    pub(super) clock: ManualClock,
    pub(super) store: Arc<dyn Store>,
    pub(super) ledger: Ledger,
    pub(super) served: Served,
}

pub(super) fn world() -> World {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let ledger = Ledger::with_store(store.clone());
    World { clock, served: Served::on(store.clone()), store, ledger }
}

/// The request id of a form.
pub(super) fn request_of(page: &Reply) -> String {
    let before = "name=\"request\" value=\"";
    let (_, rest) = page.text.split_once(before).unwrap_or_else(|| panic!("no form: {}", page.text));
    rest.split('"').next().expect("an end").to_owned()
}

pub(super) async fn events(ledger: &Ledger, id: &str) -> Vec<(String, String)> {
    let page = ledger.history(id, None, 100).await.expect("a history");
    let told =
        |one: &tenure::store::Recorded| (one.event.what.kind().to_owned(), one.event.actor.to_string());
    page.items.iter().map(told).collect()
}
