//! Verifications and anchors: what a verdict says, that one runs at a time, and that it can be watched and stopped.

use std::sync::Arc;

use rusqlite::Connection;
use tenure::access::{NamespaceScope, Role};
use tenure::audit::Anchor;
use tenure::clock::ManualClock;
use tenure::core::id::Namespace;
use tenure::store::Store;
use tenure::store::sqlite::{SqliteOptions, SqliteStore};
use tenure::{Error, Ledger};
use tenure_testkit::served::{CountedStore, Reply, Served, in_time, until_reply};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

use super::{Browser, World, world};
use crate::http::access::token;

const PAGE: &str = "/audit?ns=default";
const VERIFY: &str = "/audit/verify?ns=default";
const STOP: &str = "/audit/stop?ns=default";
const ANCHOR: &str = "/audit/anchor?ns=default";

/// Waits until the page says that.
async fn until_page_says(browser: &Browser, words: &str) -> String {
    until_reply(words, async || browser.get(PAGE).await, |page: &Reply| page.text.contains(words)).await.text
}

/// Starts a verification, and waits for its end.
async fn verdict(browser: &Browser, fields: &[(&str, &str)], words: &str) -> String {
    let started = browser.submit(VERIFY, fields).await;
    assert_eq!((started.status, started.header("location")), (303, PAGE), "{}", started.text);
    until_page_says(browser, words).await
}

/// A store whose audits wait, and a server on it.
fn held_audits() -> (Arc<CountedStore>, Ledger, Served) {
    let store = CountedStore::over(memory(&ManualClock::at(BEGINNING)));
    store.holds_audits();
    let whole: Arc<dyn Store> = store.clone();
    (store, Ledger::with_store(Arc::clone(&whole)), Served::on(whole))
}

#[test]
fn a_sound_history_is_said_to_hold_with_what_was_verified() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("a").await?;
        ledger.annotate("a", "seen").await?;
        ledger.create("b").await?;
        ledger.mark_completed("b", "by hand").await?;
        ledger.in_namespace("elsewhere")?.create("c").await?;
        let browser = Browser::of(&served);
        let page = browser.get(PAGE).await;
        assert_eq!(page.status, 200, "{}", page.text);
        for words in [
            "This server remembers no verification",
            "There are 2 tasks now.",
            "only if you keep it elsewhere",
        ] {
            assert!(page.text.contains(words), "{words} is not in {}", page.text);
        }
        let page = verdict(&browser, &[], "The history holds.").await;
        for words in [
            "by a local request without a token, without an anchor: 2 tasks and 4 events",
            "The newest event then",
        ] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        let elsewhere = browser.get("/audit?ns=elsewhere").await.text;
        assert!(
            elsewhere.contains("remembers no verification") && elsewhere.contains("is 1 task"),
            "{elsewhere}"
        );
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_changed_history_is_named_by_task_and_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let open = async || SqliteStore::open(SqliteOptions::new(path.clone())).await.expect("it opens");
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(open().await);
        let ledger = Ledger::with_store(store);
        ledger.create("a").await?;
        ledger.annotate("a", "seen").await?;
        ledger.create("b").await?;
        drop(ledger);
        let file = Connection::open(&path).expect("opens");
        let mut guards =
            file.prepare("select name from sqlite_schema where type = 'trigger'").expect("prepared");
        let names = guards.query_map([], |row| row.get::<_, String>(0)).expect("listed");
        let unguard: Vec<String> =
            names.map(|name| format!("drop trigger {};", name.expect("a name"))).collect();
        drop(guards);
        let change = "update events set actor = 'mallory' where task = 1 and number = 2;";
        file.execute_batch(&format!("{} {change}", unguard.join(" "))).expect("it is changed");
        drop(file);
        let served = Served::on(Arc::new(open().await));
        let browser = Browser::of(&served);
        let page = verdict(&browser, &[], "The history is not what was recorded:").await;
        for words in
            ["</strong> 1 finding.", "<li>default/a: event 2 was changed</li>", "2 tasks and 3 events"]
        {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn two_starts_make_one_verification_which_can_be_watched() {
    let (store, ledger, served) = held_audits();
    block_on(async {
        ledger.create("a").await?;
        let browser = Browser::of(&served);
        let mut live = browser.request("GET", "/live?ns=default&audit=true").send().await.expect("a stream");
        let first = in_time("the first line", live.chunk()).await.expect("a stream").expect("a line");
        assert_eq!(first, "retry: 2000\n\n");
        for _ in 0..2 {
            let started = browser.submit(VERIFY, &[]).await;
            assert_eq!((started.status, started.header("location")), (303, PAGE), "{}", started.text);
        }
        until("it reads", || store.audits() > 0).await;
        for _ in 0..2 {
            let word = in_time("a word", live.chunk()).await.expect("a stream").expect("a line");
            assert_eq!(word, "event: changed\ndata: \n\n", "it goes on, although no event happens");
        }
        let page = until_page_says(&browser, ">Verifying</h2>").await;
        assert!(page.contains("0 of about 1") && page.contains(STOP), "{page}");
        let refused = browser.submit(VERIFY, &[("anchor", &ledger_anchor(&ledger).await)]).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert!(
            refused.text.contains("runs already") && refused.text.contains("tenure-anchor 1"),
            "{}",
            refused.text
        );
        store.lets_audits_go();
        let page = until_page_says(&browser, "The history holds.").await;
        assert!(!page.contains(">Verifying</h2>"), "{page}");
        assert_eq!(store.audits(), 1, "one page of one verification");
        Ok::<_, Error>(())
    })
    .expect("works");
}

/// The text of an anchor with a line of the namespace, whatever its hashes are.
async fn ledger_anchor(ledger: &Ledger) -> String {
    let hash = "00".repeat(32);
    let cursor = ledger.newest().await.expect("a cursor");
    format!("tenure-anchor 1\ncursor {}\nroot {hash}\ndefault a 1 {hash}\n", cursor.as_str())
}

#[test]
fn a_verification_can_be_stopped_and_started_again() {
    let (store, ledger, served) = held_audits();
    block_on(async {
        ledger.create("a").await?;
        let browser = Browser::of(&served);
        assert_eq!(browser.submit(VERIFY, &[]).await.status, 303);
        until("it reads", || store.audits() == 1).await;
        let stopped = browser.submit(STOP, &[]).await;
        assert_eq!((stopped.status, stopped.header("location")), (303, PAGE), "{}", stopped.text);
        let page = until_page_says(&browser, "did not end: it was stopped at this console.").await;
        assert!(page.contains("remembers no verification"), "it came to no verdict: {page}");
        assert_eq!(browser.submit(STOP, &[]).await.status, 303, "there is nothing to stop any more");
        store.lets_audits_go();
        let page = verdict(&browser, &[], "The history holds.").await;
        assert!(!page.contains("No verdict"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn the_roles_of_the_api_may_verify_and_only_who_started_it_or_an_operator_stops_it() {
    let (store, ledger, served) = held_audits();
    let whole: Arc<dyn Store> = store.clone();
    block_on(async {
        ledger.create("a").await?;
        let all = || NamespaceScope::All;
        let reader = token(&whole, "reader-1", Role::Reader, all(), None).await;
        let other = token(&whole, "reader-2", Role::Reader, all(), None).await;
        let operator = token(&whole, "op", Role::Operator, all(), None).await;
        let team = NamespaceScope::These([Namespace::new("team").expect("a name")].into());
        let foreign = token(&whole, "team-op", Role::Operator, team, None).await;
        let stranger = Browser::of(&served);
        for path in [VERIFY, STOP, ANCHOR] {
            let led = stranger.submit(path, &[]).await;
            assert!(
                led.status == 303 && led.header("location").starts_with("/sign-in"),
                "{path}: {}",
                led.text
            );
        }
        let foreign = Browser::signed_in(&served, &foreign).await;
        for path in [VERIFY, STOP, ANCHOR] {
            assert_eq!(foreign.submit(path, &[]).await.status, 404, "{path}");
        }
        assert_eq!(store.audits(), 0, "nothing was read for them");
        let reader = Browser::signed_in(&served, &reader).await;
        assert_eq!(reader.submit(VERIFY, &[]).await.status, 303, "a reader may verify, as with the API");
        until_page_says(&reader, "by reader-1.").await;
        let second = reader.submit("/audit/verify?ns=elsewhere", &[]).await;
        assert_eq!(second.status, 429, "{}", second.text);
        assert!(second.text.contains("reader-1 runs a verification of the namespace default already"));
        let other = Browser::signed_in(&served, &other).await;
        assert!(!other.get(PAGE).await.text.contains("/audit/stop"), "it is not offered");
        assert_eq!(other.submit(STOP, &[]).await.status, 403);
        assert!(reader.get(PAGE).await.text.contains("/audit/stop"));
        let operator = Browser::signed_in(&served, &operator).await;
        assert_eq!(operator.submit(STOP, &[]).await.status, 303);
        until_page_says(&operator, "did not end: op stopped it.").await;
        let site = operator.submit_from("cross-site", VERIFY, &[]).await;
        assert_eq!(site.status, 421, "{}", site.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn an_anchor_is_downloaded_and_the_history_is_verified_against_it() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("a").await?;
        ledger.create("b").await?;
        ledger.in_namespace("elsewhere")?.create("c").await?;
        let browser = Browser::of(&served);
        let file = browser.submit(ANCHOR, &[]).await;
        assert_eq!(file.status, 200, "{}", file.text);
        assert_eq!(file.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(file.header("content-disposition"), "attachment; filename=\"anchor-default-2026-01-01\"");
        let anchor: Anchor = file.text.parse().expect("it reads back");
        assert_eq!(file.text, ledger.anchor_of_namespace().await?.to_string());
        assert!(ledger.verify_namespace(Some(&anchor)).await?.holds());
        let page = browser.get(PAGE).await.text;
        for words in [&anchor.root.to_string(), &anchor.cursor, "<dd>2 tasks</dd>"] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        let page = verdict(&browser, &[("anchor", &file.text)], "The history holds.").await;
        assert!(page.contains("against an anchor: 2 tasks"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn an_anchor_of_the_whole_store_is_compared_in_this_namespace_only_and_names_what_is_missing() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("a").await?;
        ledger.in_namespace("elsewhere")?.create("c").await?;
        let whole = ledger.anchor().await?;
        assert_eq!(whole.lines.len(), 2);
        assert!(ledger.verify_namespace(Some(&whole)).await?.holds(), "the other one is not missing");
        let browser = Browser::of(&served);
        verdict(&browser, &[("anchor", &whole.to_string())], "The history holds.").await;
        // The anchor of a store that had one task more.
        let World { ledger: other, .. } = world();
        other.create("a").await?;
        other.create("gone").await?;
        let more = other.anchor_of_namespace().await?.to_string();
        let page = verdict(&browser, &[("anchor", &more)], "The history is not what was recorded:").await;
        assert!(page.contains("<li>default/gone: the task was removed</li>"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_is_no_anchor_is_refused_by_its_line_and_is_not_lost() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("a").await?;
        let browser = Browser::of(&served);
        let form = browser.get(VERIFY).await;
        assert!(form.status == 200 && form.text.contains("name=\"anchor\""), "{}", form.text);
        let good = ledger.anchor_of_namespace().await?.to_string();
        let broken = format!("{good}default b <one>\n");
        for (text, words) in [
            ("", "anchor: is required"),
            ("a list of bills", "line 1 must be"),
            (&*broken, "line 5 must be"),
            (&*good.replace("default a", "team a"), "has no line of the namespace default"),
        ] {
            let refused = browser.submit(VERIFY, &[("anchor", text)]).await;
            assert_eq!(refused.status, 422, "{text}: {}", refused.text);
            assert!(refused.text.contains(words), "{words} is not in {}", refused.text);
            assert!(!refused.text.contains("<one>"), "what was sent is text");
        }
        let kept = browser.submit(VERIFY, &[("anchor", &broken)]).await.text;
        assert!(kept.contains("default b &#60;one&#62;"), "{kept}");
        assert!(browser.get(PAGE).await.text.contains("remembers no verification"), "nothing was started");
        Ok::<_, Error>(())
    })
    .expect("works");
}
