//! Pages for people.

use tenure::access::{NamespaceScope, Role};
use tenure::clock::ManualClock;
use tenure_testkit::served::{Served, reply};
use tenure_testkit::{BEGINNING, block_on, memory};

use super::access::token;

#[test]
fn the_front_page_says_what_to_do_next_to_whoever_looks_at_it() {
    let store = memory(&ManualClock::at(BEGINNING));
    let served = Served::on(store.clone());
    block_on(async {
        let named = |host: &'static str| reply(served.client().request("GET /").header("host", host));
        let page = named("localhost:7117").await.text;
        assert!(
            page.contains("curl localhost:7117/v1/default/tasks -H")
                && page.contains("Until the first token"),
            "{page}"
        );
        let secret = token(&store, "dash", Role::Reader, NamespaceScope::All, None).await;
        let client = served.client().with_token(&secret);
        let page = reply(client.request("GET /").header("host", "tenure.example")).await.text;
        let line = "curl tenure.example/v1/default/tasks -H \"Authorization: Bearer $TENURE_TOKEN\"";
        assert!(page.contains(line) && page.contains("You are <code>dash</code>, reader."), "{page}");
        assert!(!page.contains(&secret), "no page repeats a token");
        let odd = reply(client.request("GET /").header("host", "a<b>")).await;
        assert!(odd.status == 400 || !odd.text.contains("<b>"), "{}", odd.text);
    });
}

#[test]
fn pages_load_nothing_and_run_nothing() {
    let served = Served::on(memory(&ManualClock::at(BEGINNING)));
    block_on(async {
        for path in ["/", "/docs"] {
            let page = served.client().get(path).await;
            assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
            assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
            for word in ["<script", "src=", "@import", "http://", "https://"] {
                assert!(!page.text.contains(word), "{path} has {word}");
            }
        }
    });
}
