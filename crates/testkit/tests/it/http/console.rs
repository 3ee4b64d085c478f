//! The console: what its pages say, who may act, and that nothing is done twice, by others, or for another site.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE};
use reqwest::redirect;
use serde_json::json;
use tenure::access::{NamespaceScope, Role};
use tenure::clock::ManualClock;
use tenure::core::policy::{OnLapse, Policy, WhenSpent};
use tenure::store::Store;
use tenure::{Error, Ledger};
use tenure_testkit::served::{Reply, Served, http, in_time, reply};
use tenure_testkit::{BEGINNING, block_on, memory};

use super::access::token;

/// A browser, as far as a server can tell.
struct Browser {
    http: reqwest::Client,
    url: String,
    cookie: Option<String>,
}

impl Browser {
    fn of(served: &Served) -> Browser {
        let http = http().redirect(redirect::Policy::none()).build().expect("a client");
        Browser { http, url: served.url.clone(), cookie: None }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url)).header(ACCEPT, "text/html");
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Reply {
        reply(self.request("GET", path)).await
    }

    /// Sends a form, as a page of this server does.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.submit_from("same-origin", path, fields).await
    }

    async fn submit_from(&self, site: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let form = "application/x-www-form-urlencoded";
        let request = self.request("POST", path).header("sec-fetch-site", site).header(CONTENT_TYPE, form);
        reply(request.body(pairs.join("&"))).await
    }

    /// Signs in, and keeps the cookie.
    async fn signed_in(served: &Served, secret: &str) -> Browser {
        let mut browser = Browser::of(served);
        let answer = browser.submit("/sign-in", &[("token", secret), ("next", "/")]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
        let cookie = answer.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        assert!(!cookie.contains(secret), "the browser keeps no token");
        browser.cookie = Some(cookie);
        browser
    }
}

fn encoded(text: &str) -> String {
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

struct World {
    clock: ManualClock,
    store: Arc<dyn Store>,
    ledger: Ledger,
    served: Served,
}

fn world() -> World {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let ledger = Ledger::with_store(store.clone());
    World { clock, served: Served::on(store.clone()), store, ledger }
}

/// The request id of a form.
fn request_of(page: &Reply) -> String {
    let before = "name=\"request\" value=\"";
    let (_, rest) = page.text.split_once(before).unwrap_or_else(|| panic!("no form: {}", page.text));
    rest.split('"').next().expect("an end").to_owned()
}

async fn events(ledger: &Ledger, id: &str) -> Vec<(String, String)> {
    let page = ledger.history(id, None, 100).await.expect("a history");
    let told =
        |one: &tenure::store::Recorded| (one.event.what.kind().to_owned(), one.event.actor.to_string());
    page.items.iter().map(told).collect()
}

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
            "No recovery is running, and 1 stale task waits for it",
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
fn a_search_leads_to_the_task_the_label_or_the_owner() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("build:42+x@y").label("issue", "168").await?;
        ledger.acquire("build:42+x@y", "host/1").await?;
        let browser = Browser::of(&served);
        for (words, place) in [
            ("build:42%2Bx@y", "/tasks/default/build%3A42%2Bx%40y"),
            ("issue%3D168", "/tasks?ns=default&order=newest&label=issue%3D168"),
            ("host%2F1", "/tasks?ns=default&owner=host%2F1&order=newest"),
            ("nothing", "/tasks?ns=default&order=newest&searched=nothing"),
        ] {
            let led = browser.get(&format!("/search?ns=default&q={words}")).await;
            assert_eq!((led.status, led.header("location")), (303, place), "{words}: {}", led.text);
            let page = browser.get(place).await;
            assert_eq!(page.status, 200, "{place}: {}", page.text);
            assert!(page.text.contains("build:42+x@y"), "{place}: {}", page.text);
        }
        let owners = browser.get("/owners").await.text;
        assert!(owners.contains("owner=host%2F1"), "{owners}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

/// Tasks in all states that a person meets, each with the way there.
async fn in_many_states(ledger: &Ledger, clock: &ManualClock) -> Result<Vec<String>, Error> {
    let minute = Duration::from_secs(60);
    for id in [
        "planned",
        "reserved",
        "running",
        "undone",
        "owing",
        "lapsed",
        "failed",
        "parked",
        "retried",
        "completed",
        "told",
        "undo-due",
        "dismissed",
    ] {
        ledger
            .create(id)
            .policy(Policy::default().with(|it| {
                it.max_attempts = 2;
                it.when_spent = WhenSpent::Quarantined;
                it.on_lapse = if id == "lapsed" { OnLapse::Hold } else { OnLapse::Recover };
            }))
            .await?;
    }
    let held = async |id: &str, ttl| {
        let task = ledger.acquire(id, "w1").ttl(ttl).await?;
        Ok::<_, Error>(task.lease().expect("a lease").holder())
    };
    ledger.dispatch("reserved", "w1").await?;
    held("lapsed", minute).await?;
    clock.advance(2 * minute);
    held("running", 60 * minute).await?;
    let by = held("owing", 60 * minute).await?;
    ledger.register("owing", &by, "k", "x").await?;
    let by = held("parked", 60 * minute).await?;
    ledger.register("parked", &by, "k", "x").await?;
    ledger.quarantine("parked", &by, "look").await?;
    let by = held("failed", 60 * minute).await?;
    ledger.register("failed", &by, "k", "x").await?;
    ledger.fail("failed", &by, "no such repo").await?;
    let by = held("undo-due", 60 * minute).await?;
    ledger.register("undo-due", &by, "k", "x").await?;
    ledger.roll_back("undo-due", &by, "given up").await?;
    let by = held("told", 60 * minute).await?;
    ledger.cancel("told", "not wanted").await?;
    ledger.heartbeat("told", &by).ttl(120 * minute).await?;
    ledger.mark_completed("completed", "by hand").await?;
    ledger.cancel("undone", "not wanted").await?;
    ledger.mark_quarantined("retried", "look").await?;
    ledger.retry("retried", "again").id("retried-2").await?;
    ledger.mark_quarantined("dismissed", "look").await?;
    ledger.dismiss("dismissed", "seen").await?;
    Ok([
        "planned",
        "reserved",
        "running",
        "undone",
        "owing",
        "lapsed",
        "failed",
        "parked",
        "retried",
        "completed",
        "told",
        "undo-due",
        "dismissed",
    ]
    .map(str::to_owned)
    .to_vec())
}

#[test]
fn what_a_page_offers_is_done_and_what_it_does_not_offer_is_refused() {
    const VERBS: [&str; 8] =
        ["retry", "cancel", "quarantine", "compensate", "complete", "fail", "dismiss", "note"];
    block_on(async {
        let (mut done, mut refused) = (0, 0);
        for verb in VERBS {
            let World { ledger, served, clock, .. } = world();
            let browser = Browser::of(&served);
            for id in in_many_states(&ledger, &clock).await? {
                let page = browser.get(&format!("/tasks/default/{id}")).await.text;
                let is_offered = page.contains(&format!("act?verb={verb}\""));
                let path = format!("/tasks/default/{id}/act?verb={verb}");
                let form = browser.get(&path).await;
                let before = events(&ledger, &id).await;
                // Everything that is owed is waived where that can be said; hidden fields go with the form.
                let request = format!("{id}-{verb}");
                let mut fields = vec![("request", &*request), ("reason", "by hand"), ("actor", "alice")];
                let there = |name: &str| form.text.contains(&format!("name=\"{name}\""));
                fields.extend(
                    ["waive-1", "leaves-nothing"]
                        .into_iter()
                        .filter(|name| there(name))
                        .map(|name| (name, "on")),
                );
                let answer = browser.submit(&path, &fields).await;
                let after = events(&ledger, &id).await;
                if is_offered {
                    assert!(
                        form.status == 200 && form.text.contains("What this will do"),
                        "{verb} {id}: {}",
                        form.text
                    );
                    assert_eq!(answer.status, 303, "{verb} {id} was offered: {}", answer.text);
                    assert!(
                        after.len() > before.len() && after.last().expect("an event").1 == "alice",
                        "{verb} {id}: {after:?}"
                    );
                    done += 1;
                } else {
                    assert_eq!(
                        (form.status, answer.status),
                        (409, 409),
                        "{verb} {id} was not offered: {}",
                        answer.text
                    );
                    assert_eq!(after, before, "{verb} {id}");
                    refused += 1;
                }
            }
        }
        assert!(done > 40 && refused > 25, "{done} {refused}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn an_action_needs_a_reason_and_says_who_did_it() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let browser = Browser::of(&served);
        let path = "/tasks/default/t/act?verb=quarantine";
        let request = request_of(&browser.get(path).await);
        for (fields, field) in [
            (&[("request", &*request), ("actor", "alice")][..], "reason"),
            (&[("request", &request), ("reason", "  "), ("actor", "alice")], "reason"),
            (&[("request", &request), ("reason", "a look")], "your name"),
        ] {
            let answer = browser.submit(path, fields).await;
            assert!(
                answer.status == 422 && answer.text.contains(&format!("{field}: is required")),
                "{}",
                answer.text
            );
        }
        let kept = browser.submit(path, &[("request", &request), ("reason", "my long words")]).await.text;
        assert!(kept.contains(">my long words</textarea>"), "what was written is not lost: {kept}");
        assert_eq!(events(&ledger, "t").await.len(), 1, "nothing was done");
        let done =
            browser.submit(path, &[("request", &request), ("reason", "a look"), ("actor", "alice")]).await;
        assert_eq!((done.status, done.header("location")), (303, "/tasks/default/t?done=quarantine"));
        assert_eq!(
            events(&ledger, "t").await.last().expect("an event"),
            &("quarantined".to_owned(), "alice".to_owned())
        );
        assert!(browser.get("/tasks/default/t?done=quarantine").await.text.contains("The task is parked."));
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_form_that_is_sent_twice_is_one_command() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let browser = Browser::of(&served);
        let path = "/tasks/default/t/act?verb=note";
        let request = request_of(&browser.get(path).await);
        let fields = [("request", &*request), ("reason", "seen"), ("actor", "alice")];
        for _ in 0..2 {
            assert_eq!(browser.submit(path, &fields).await.status, 303);
        }
        assert_eq!(events(&ledger, "t").await.len(), 2, "created, and one note");
        ledger.mark_quarantined("t", "look").await?;
        let path = "/tasks/default/t/act?verb=retry";
        let fields = [("request", "again"), ("reason", "seen"), ("actor", "alice")];
        let first = browser.submit(path, &fields).await;
        assert_eq!(first.header("location"), browser.submit(path, &fields).await.header("location"));
        assert_eq!(ledger.tasks(tenure::store::Filter::default(), None, 10).await?.items.len(), 2);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_form_whose_task_has_changed_by_it_is_still_the_same_command_when_it_is_sent_again() {
    let World { ledger, served, .. } = world();
    block_on(async {
        let browser = Browser::of(&served);
        ledger.create("fails").await?;
        let path = "/tasks/default/fails/act?verb=fail";
        let form = browser.get(path).await;
        assert!(form.text.contains("name=\"leaves-nothing\""), "{}", form.text);
        let request = request_of(&form);
        let fields =
            [("request", &*request), ("reason", "no repo"), ("actor", "alice"), ("leaves-nothing", "on")];
        for _ in 0..2 {
            assert_eq!(browser.submit(path, &fields).await.status, 303, "a double click is no failure");
        }
        ledger.create("closed").await?;
        let by = ledger.acquire("closed", "w1").await?.lease().expect("a lease").holder();
        ledger.register("closed", &by, "k", "x").await?;
        let path = "/tasks/default/closed/act?verb=compensate";
        let request = request_of(&browser.get(path).await);
        let fields = [("request", &*request), ("reason", "by hand"), ("actor", "alice"), ("waive-1", "on")];
        for _ in 0..2 {
            assert_eq!(browser.submit(path, &fields).await.status, 303);
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_has_just_changed_is_on_the_first_page_however_many_look() {
    let World { ledger, served, .. } = world();
    block_on(async {
        let browser = Browser::of(&served);
        for number in 0..5 {
            ledger.create(&format!("t-{number}")).queue(&format!("queue-{number}")).await?;
            let pages = first_pages(&browser, 8).await;
            assert!(pages.iter().all(|page| page.contains(&format!("queue-{number}"))), "{number}");
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

/// The first page, asked for so many times at once.
async fn first_pages(browser: &Browser, times: usize) -> Vec<String> {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..times {
        let request = browser.request("GET", "/");
        asking.spawn(async move { reply(request).await.text });
    }
    asking.join_all().await
}

#[test]
fn strangers_may_send_little_and_not_many_at_once() {
    let World { served, store, .. } = world();
    block_on(async {
        token(&store, "op", Role::Operator, NamespaceScope::All, None).await;
        let browser = Browser::of(&served);
        let long = "a".repeat(9_000);
        assert_eq!(browser.submit("/sign-in", &[("token", &long)]).await.status, 413);
        let many: Vec<(String, &str)> = (0..3_000).map(|number| (number.to_string(), "")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
        let answer = browser.submit("/sign-in", &many).await;
        assert!([413, 422].contains(&answer.status), "{}", answer.text);
        // Forty bodies that never end: the server still answers, and soon takes sign-ins again.
        let mut stuck = Vec::new();
        for _ in 0..40 {
            let mut stream =
                tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
            let head = "POST /sign-in HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("sent");
            stuck.push(stream);
        }
        assert_eq!(browser.get("/livez").await.status, 200);
        in_time("a place", async {
            while browser.submit("/sign-in", &[("token", "x")]).await.status == 429 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        drop(stuck);
    });
}

#[test]
fn what_ended_in_the_same_way_is_seen_to_together_and_nothing_that_comes_later() {
    let World { ledger, served, .. } = world();
    block_on(async {
        for number in 0..45 {
            let id = format!("nightly-{number}");
            ledger.create(&id).kind("nightly").await?;
            let by = ledger.acquire(&id, "w1").await?.lease().expect("a lease").holder();
            ledger.register(&id, &by, "close-pr", "12").await?;
            ledger.fail(&id, &by, "exit status 1").await?;
        }
        ledger.create("other").kind("other").await?;
        ledger.mark_quarantined("other", "look").await?;
        let browser = Browser::of(&served);
        let page = browser.get("/triage").await.text;
        for words in ["45 tasks", "45 × close-pr", "exit status 1", "1 task ", "and 40 more"] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        let path = "/triage/act?ns=default&state=failed&cause=failed&kind=nightly";
        let form = browser.get(path).await;
        assert!(form.text.contains("<h1>Act on 45 tasks</h1>"), "{}", form.text);
        let (_, tasks) = form.text.split_once("name=\"tasks\" value=\"").expect("a selection");
        let tasks = tasks.split('"').next().expect("an end").to_owned();
        assert_eq!(tasks.lines().count(), 45);
        let request = request_of(&form);
        // One more comes, and somebody has seen to one of them.
        ledger.create("nightly-late").kind("nightly").await?;
        ledger.mark_failed("nightly-late", "exit status 1").remains("none", "-").await?;
        ledger.retry("nightly-7", "by hand").await?;
        let fields = [
            ("request", &*request),
            ("tasks", &*tasks),
            ("verb", "retry"),
            ("actor", "alice"),
            ("reason", "fixed"),
        ];
        let missing: Vec<_> = fields.iter().filter(|(name, _)| *name != "reason").copied().collect();
        let refused = browser.submit(path, &missing).await;
        assert!(refused.status == 409 && refused.text.contains("reason: is required"), "{}", refused.text);
        for _ in 0..2 {
            let done = browser.submit(path, &fields).await.text;
            assert!(done.contains("done for 44 tasks") && done.contains(">nightly-7</a>"), "{done}");
        }
        let all = ledger.tasks(tenure::store::Filter::default(), None, 200).await?.items;
        assert_eq!(
            all.iter().filter(|task| task.retry_of.is_some()).count(),
            45,
            "44 by the form, one by hand"
        );
        assert!(ledger.task("nightly-late").await?.ending().expect("it has ended").retried_as.is_none());
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_form_of_another_site_does_nothing() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let fields = [("request", "r"), ("reason", "evil"), ("actor", "eve")];
        let path = "/tasks/default/t/act?verb=cancel";
        for site in ["cross-site", "same-site", "none"] {
            let answer = Browser::of(&served).submit_from(site, path, &fields).await;
            assert_eq!(answer.status, 421, "{site}: {}", answer.text);
        }
        let secret = token(&store, "op", Role::Operator, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        assert_eq!(browser.submit_from("cross-site", path, &fields).await.status, 421);
        let unsaid = browser.request("POST", path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        assert_eq!(
            reply(unsaid.body("request=r&reason=evil")).await.status,
            421,
            "it does not say where it comes from"
        );
        assert_eq!(events(&ledger, "t").await.len(), 1);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn people_sign_in_with_a_token_and_see_and_do_what_its_role_allows() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let mut browsers = Vec::new();
        for role in Role::ALL {
            let secret =
                token(&store, &format!("{}-1", role.as_str()), role, NamespaceScope::All, None).await;
            browsers.push((role, Browser::signed_in(&served, &secret).await));
        }
        let stranger = Browser::of(&served);
        let led = stranger.get("/tasks/default/t?done=note").await;
        assert_eq!(
            (led.status, led.header("location")),
            (303, "/sign-in?next=%2Ftasks%2Fdefault%2Ft%3Fdone%3Dnote")
        );
        let wrong = stranger.submit("/sign-in", &[("token", "tnr_nonsense"), ("next", "/")]).await;
        assert!(wrong.status == 401 && wrong.text.contains("invalid, expired or revoked"), "{}", wrong.text);
        assert_eq!(wrong.header("set-cookie"), "");
        let path = "/tasks/default/t/act?verb=note";
        for (role, browser) in &browsers {
            let page = browser.get("/tasks/default/t").await;
            let may = role.includes(Role::Operator);
            assert_eq!(page.text.contains("act?verb=note"), may, "{role:?}: {}", page.text);
            let answer = browser.submit(path, &[("request", role.as_str()), ("reason", "seen")]).await;
            assert_eq!(answer.status, if may { 303 } else { 403 }, "{role:?}: {}", answer.text);
        }
        let actors: Vec<String> = events(&ledger, "t").await.into_iter().map(|(_, actor)| actor).collect();
        assert_eq!(actors[1..], ["operator-1", "admin-1"], "the token says who it was, not the form");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_session_ends_when_it_is_left_and_when_its_token_is_revoked() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        let secret = token(&store, "op", Role::Operator, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        let other = Browser::signed_in(&served, &secret).await;
        assert_eq!(browser.get("/").await.status, 200);
        assert_eq!(served.client().get("/v1/default/tasks").await.status, 401);
        let api = browser.request("GET", "/v1/default/tasks");
        assert_eq!(reply(api).await.status, 401, "a session is for pages, and no credential for the API");
        let left = browser.submit("/sign-out", &[]).await;
        assert!(left.status == 303 && left.header("set-cookie").contains("Max-Age=0"), "{}", left.text);
        assert_eq!(browser.get("/").await.status, 303, "the cookie alone is worth nothing any more");
        assert_eq!(other.get("/").await.status, 200);
        ledger.revoke_token("op").await?;
        assert_eq!(other.get("/").await.status, 303);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_token_of_one_namespace_sees_no_other() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        ledger.in_namespace("team")?.create("mine").await?;
        let team = NamespaceScope::These([tenure::core::id::Namespace::new("team").expect("a name")].into());
        let secret = token(&store, "op", Role::Operator, team, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        let first = browser.get("/").await;
        assert!(first.status == 200 && first.text.contains("data-namespace=\"team\""), "{}", first.text);
        assert!(!first.text.contains("value=\"default\""), "it does not name the others: {}", first.text);
        for path in
            ["/?ns=default", "/tasks/default/t", "/tasks/default/t/act?verb=cancel", "/live?ns=default"]
        {
            assert_eq!(browser.get(path).await.status, 404, "{path}");
        }
        assert_eq!(browser.get("/tasks/team/mine").await.status, 200);
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
