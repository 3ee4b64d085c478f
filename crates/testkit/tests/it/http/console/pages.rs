//! What the pages say, and what they load.

use std::time::Duration;

use serde_json::json;
use tenure::Error;
use tenure::access::{NamespaceScope, Role};
use tenure::core::policy::{OnLapse, Policy};
use tenure_testkit::served::{in_time, reply};
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on};

use super::{Browser, World, world};
use crate::http::access::token;

#[test]
fn an_empty_store_says_how_to_begin() {
    let World { store, served, .. } = world();
    block_on(async {
        let named = |host: &'static str| reply(Browser::of(&served).request("GET", "/").header("host", host));
        let page = named("localhost:7117").await.text;
        assert!(page.contains("curl localhost:7117/v1/default/tasks -H"), "{page}");
        assert!(page.contains("Until the first token") && page.contains("Nothing needs you now."), "{page}");
        let secret = token(&store, "dash", Role::Reader, NamespaceScope::All, None).await;
        let request =
            Browser::of(&served).request("GET", "/").bearer_auth(&secret).header("host", "tenure.example");
        let page = reply(request).await.text;
        assert!(page.contains("curl tenure.example/v1/default/tasks -H"), "{page}");
        assert!(
            page.contains("Bearer $TENURE_TOKEN") && page.contains("dash <small>reader</small>"),
            "{page}"
        );
        assert!(!page.contains(&secret), "no page repeats a token");
        let odd = named("a<b>").await;
        assert!(odd.status == 400 || !odd.text.contains("<b>"), "{}", odd.text);
    });
}

#[test]
fn all_ages_of_a_page_are_of_the_moment_of_its_look() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        ledger.create("waits").await?;
        let browser = Browser::of(&served);
        for path in ["/", "/queues"] {
            clock.advance(Duration::from_secs(7));
            let before = browser.get(path).await;
            assert_eq!(before.status, 200, "{}", before.text);
            // The look before may be shown again: then its time is, too.
            clock.advance(Duration::from_secs(7));
            let page = browser.get(path).await.text;
            let (_, rest) = page.split_once("data-now=\"").expect("a moment");
            let now: i64 = rest.split('"').next().and_then(|ms| ms.parse().ok()).expect("milliseconds");
            let shown = (now - BEGINNING.as_micros() / 1_000) / 1_000;
            let (_, rest) = page.split_once("data-age=\"").expect("an age");
            let age = rest.split(['>', '<']).nth(1).expect("its words");
            assert_eq!(age, format!("{shown}s"), "{path}: {page}");
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn the_first_page_says_what_needs_a_person_and_what_recovery_will_do() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        ledger.create("waits").await?;
        ledger.create("parked").await?;
        ledger.mark_quarantined("parked", "two main branches").await?;
        ledger.create("late").await?;
        let by = ledger
            .acquire("late", "w1")
            .ttl(Duration::from_secs(60))
            .await?
            .lease()
            .expect("a lease")
            .holder();
        ledger.register("late", &by, "close-pr", "12").await?;
        clock.advance(Duration::from_secs(61));
        ledger.create("held").await?;
        ledger.acquire("held", "w2").ttl(Duration::from_secs(60)).await?;
        let page = Browser::of(&served).get("/").await.text;
        for words in [
            "No recovery is running, and 1 task waits for it",
            "1 task is parked for a person, the oldest for 1m 1s",
            "because: two main branches",
            "the lease of w1 at epoch 1 lapsed",
            "recovery undoes 1 compensation",
            "1m left",
            "href=\"/tasks/default/late\"",
        ] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        let other = Browser::of(&served).get("/?ns=elsewhere").await;
        assert!(other.status == 200 && other.text.contains("There is no task here yet"), "{}", other.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn held_tasks_holders_that_go_on_and_queues_that_nobody_serves_are_needs_too() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        let minute = Duration::from_secs(60);
        let held = Policy::default().with(|policy| policy.on_lapse = OnLapse::Hold);
        ledger.create("held").policy(held).await?;
        ledger.acquire("held", "w1").ttl(minute).await?;
        ledger.create("told").await?;
        let by = ledger.acquire("told", "w2").ttl(60 * minute).await?.lease().expect("a lease").holder();
        ledger.cancel("told", "not needed").await?;
        ledger.heartbeat("told", &by).ttl(61 * minute).await?;
        ledger.create("alone").queue("gpu").await?;
        let first = async || Browser::of(&served).get("/").await.text;
        let page = first().await;
        assert!(!page.contains("Nobody works on"), "a worker may just have taken a task: {page}");
        assert!(page.contains("told to stop once"), "{page}");
        clock.advance(2 * minute);
        ledger.annotate("told", "look").await?;
        let needs = [
            "<a href=\"/tasks/default/held\">1 task waits for a new owner, the oldest for 1m: under `hold`",
            "<a href=\"/tasks/default/told\">told: 1 holder was told to stop and goes on",
            "<a href=\"#queues\">Nobody works on the queue gpu: 1 due task, the oldest for 2m",
        ];
        let all = async || {
            let page = first().await;
            needs.iter().all(|need| page.contains(need))
        };
        until_asked("all of them", all).await;
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn an_address_that_does_not_exist_is_said_to_a_browser_in_a_page_and_to_a_program_in_json() {
    let World { served, .. } = world();
    block_on(async {
        let page = Browser::of(&served).get("/foo").await;
        assert!(page.status == 404 && page.text.contains("<h1>Not found</h1>"), "{}", page.text);
        served.client().get("/foo").await.is_problem(404, "not_found");
    });
}

#[test]
fn of_a_long_history_the_newest_events_are_shown() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("long").await?;
        for number in 0..510 {
            ledger.annotate("long", &format!("note-{number}-")).await?;
        }
        let page = Browser::of(&served).get("/tasks/default/long").await.text;
        assert!(page.contains("note-509-") && !page.contains("note-9-"), "{page}");
        assert!(page.find("note-508-") < page.find("note-509-"), "in the order in which it happened: {page}");
        assert!(page.contains("These are the newest events."), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn no_page_loads_or_runs_what_is_not_of_this_server() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("t").payload(json!({"a": "<script>alert(1)</script>"})).await.expect("made");
        let browser = Browser::of(&served);
        for path in [
            "/",
            "/docs",
            "/tasks",
            "/owners",
            "/audit",
            "/audit/verify",
            "/recover",
            "/queues",
            "/history",
            "/access",
            "/sign-in",
            "/tasks/default/t",
            "/tasks/default/t/act?verb=cancel",
            "/tasks/default/none",
        ] {
            let page = browser.get(path).await;
            assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
            let policy = page.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{policy}"
            );
            for word in
                ["http://", "https://", "@import", "javascript:", " onclick", " style=", "<script>", "//cdn"]
            {
                assert!(!page.text.contains(word), "{path} has {word}");
            }
            assert!(page.text.len() < 100_000, "{path} has {} bytes", page.text.len());
        }
        for (path, kind) in [
            ("/assets/console.css", "text/css"),
            ("/assets/console.js", "text/javascript"),
            ("/assets/icon.svg", "image/svg+xml"),
        ] {
            let asset = browser.get(path).await;
            assert!(asset.status == 200 && asset.header("content-type").starts_with(kind), "{path}");
            assert_eq!(asset.header("cache-control"), "no-cache", "a name without a version may change");
            assert!(asset.text.len() < 40_000, "{path}");
        }
        let page = browser.get("/").await.text;
        let style =
            page.split("href=\"").find(|rest| rest.starts_with("/assets/console.css?v=")).expect("a style");
        let path = style.split('"').next().expect("an end");
        assert!(browser.get(path).await.header("cache-control").contains("immutable"));
    });
}

#[test]
fn what_tasks_say_is_text_and_never_markup() {
    let World { ledger, served, .. } = world();
    block_on(async {
        let nasty = "<img src=x onerror=alert(1)>\"'&";
        ledger.create("t").label("who", nasty).payload(json!({ "a": nasty })).await?;
        let by = ledger.acquire("t", "w1").await?.lease().expect("a lease").holder();
        ledger.register("t", &by, "k", nasty).await?;
        ledger.heartbeat("t", &by).ttl(Duration::from_secs(3_600)).progress(json!(nasty)).await?;
        ledger.annotate("t", nasty).await?;
        for path in ["/", "/tasks/default/t", "/tasks/default/t/act?verb=waive&seq=1"] {
            let page = Browser::of(&served).get(path).await.text;
            assert!(!page.contains("<img"), "{path}: {page}");
            assert!(page.contains("onerror=alert"), "{path} shows it as text");
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn the_page_of_a_task_shows_its_holder_its_undos_and_its_history() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        ledger.create("t").queue("agents").policy(Policy::default().with(|it| it.max_attempts = 3)).await?;
        let by =
            ledger.acquire("t", "w1").ttl(Duration::from_secs(60)).await?.lease().expect("a lease").holder();
        ledger.register("t", &by, "remove-worktree", "/tmp/wt").await?;
        ledger.register("t", &by, "close-pr", "12").await?;
        clock.advance(Duration::from_secs(600));
        ledger.acquire("t", "w2").ttl(Duration::from_secs(60)).await.expect_err("recovery comes first");
        let reclaimed = ledger.reclaim("t", "recovery/1").await?.lease().expect("a lease").holder();
        ledger.settle("t", &reclaimed, 2, "closed 12").await?;
        let page = Browser::of(&served).get("/tasks/default/t").await.text;
        let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words} is not in {page}"));
        assert!(
            at("<code>close-pr</code> 12") < at("<code>remove-worktree</code> /tmp/wt"),
            "the newest is undone first"
        );
        for words in
            ["closed 12", "recovery/1", "lapsed, recovery took over", "10m later", "1 of 3", "agents"]
        {
            at(words);
        }
        let missing = Browser::of(&served).get("/tasks/default/none").await;
        assert!(missing.status == 404 && missing.text.contains("<h1>Not found</h1>"), "{}", missing.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_list_of_tasks_is_as_its_address_says_page_after_page() {
    let World { ledger, served, .. } = world();
    block_on(async {
        for number in 0..60 {
            ledger.create(&format!("t-{number:02}")).queue("q").label("issue", "168").await?;
        }
        ledger.create("other").await?;
        let browser = Browser::of(&served);
        let path = "/tasks?ns=default&state=planned&queue=q&label=issue%3D168&order=oldest";
        let first = browser.get(path).await.text;
        let rows = |page: &str| page.matches("<tr data-key=").count();
        assert_eq!(rows(&first), 50, "{first}");
        assert!(first.find("t-00").expect("the oldest") < first.find("t-49").expect("the last of the page"));
        assert!(
            first.contains("value=\"planned\" checked") && first.contains("value=\"issue=168\""),
            "{first}"
        );
        assert!(!first.contains(">other<"));
        let (_, next) = first.split_once("class=\"button\" href=\"/tasks?").expect("a next page");
        let next = format!("/tasks?{}", next.split('"').next().expect("an end").replace("&#38;", "&"));
        let second = browser.get(&next).await.text;
        assert_eq!(rows(&second), 10, "{next}: {second}");
        assert!(second.contains("t-59") && !second.contains("rel=\"next\""), "{second}");
        let wrong = browser.get("/tasks?state=waiting").await;
        assert!(wrong.status == 422 && wrong.text.contains("state: "), "{}", wrong.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_has_just_changed_is_on_the_first_page_or_that_says_when_to_ask_again() {
    let World { ledger, served, .. } = world();
    block_on(async {
        let browser = Browser::of(&served);
        for number in 0..5 {
            ledger.create(&format!("t-{number}")).queue(&format!("queue-{number}")).await?;
            let is_there = |page: &String| page.contains(&format!("queue-{number}"));
            let pages = first_pages(&browser, 8).await;
            assert!(pages.iter().all(|page| is_there(page) || page.contains("data-again=\"")), "{number}");
            until_asked("it is there", async || is_there(&browser.get("/").await.text)).await;
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn an_open_page_hears_that_something_changed_in_its_namespace() {
    let World { ledger, served, .. } = world();
    block_on(async {
        let mut live =
            Browser::of(&served).request("GET", "/live?ns=default").send().await.expect("a stream");
        assert_eq!(live.headers()["content-type"], "text/event-stream");
        let first = in_time("the first line", live.chunk()).await.expect("a stream").expect("a line");
        assert_eq!(first, "retry: 2000\n\n");
        ledger.in_namespace("elsewhere")?.create("t").await?;
        tokio::time::timeout(Duration::from_millis(1_500), live.chunk())
            .await
            .expect_err("it is not of this namespace");
        ledger.create("t").await?;
        let word = in_time("a word", live.chunk()).await.expect("a stream").expect("a line");
        assert_eq!(word, "event: changed\ndata: \n\n");
        Ok::<_, Error>(())
    })
    .expect("works");
}
/// The first page, asked for by that many viewers at once.
async fn first_pages(browser: &Browser, times: usize) -> Vec<String> {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..times {
        let request = browser.request("GET", "/");
        asking.spawn(async move { reply(request).await.text });
    }
    asking.join_all().await
}
