//! Recovery by hand: the plan says what will be done, the report what was, and only operators may.

use std::time::Duration;

use tenure::access::{NamespaceScope, Role};
use tenure::clock::ManualClock;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::task::State;
use tenure::handler::Handlers;
use tenure::{Error, Ledger};
use tenure_server::{Limits, Options};
use tenure_testkit::served::Served;
use tenure_testkit::undoing::{Behaviour, HandlerSpy, until_task};
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on, memory};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Browser, World, world};
use crate::http::access::token;

const RECOVER: &str = "/recover?ns=default";

/// A task whose holder registered an undo and died; all leases have lapsed then.
async fn stale(
    ledger: &Ledger,
    clock: &ManualClock,
    id: &str,
    undo: Option<(&str, &str)>,
) -> Result<(), Error> {
    ledger.create(id).await?;
    let by = ledger.acquire(id, "w1").ttl(Duration::from_secs(60)).await?.lease().expect("a lease").holder();
    if let Some((kind, target)) = undo {
        ledger.register(id, &by, kind, target).await?;
    }
    clock.advance(Duration::from_secs(61));
    Ok(())
}

fn with_handlers(handlers: Handlers, limits: Limits) -> World {
    let clock = ManualClock::at(BEGINNING);
    let store = memory(&clock);
    let options = Options::default().with(|options| options.limits = limits);
    let (ledger, served) =
        (Ledger::with_store(store.clone()), Served::with(store.clone(), options, handlers));
    World { clock, store, ledger, served }
}

#[test]
fn the_plan_names_the_task_and_its_undo_and_the_report_says_that_it_was_done() {
    let spy = HandlerSpy::that(&[Behaviour::Works]);
    let World { ledger, served, clock, .. } = with_handlers(spy.on("close-pr"), Limits::default());
    block_on(async {
        stale(&ledger, &clock, "late", Some(("close-pr", "12"))).await?;
        stale(&ledger, &clock, "clean", None).await?;
        stale(&ledger, &clock, "strange", Some(("reset-db", "x"))).await?;
        let browser = Browser::of(&served);
        let plan = browser.get(RECOVER).await;
        assert_eq!(plan.status, 200, "{}", plan.text);
        for words in [
            "handlers for: <code>close-pr</code>",
            "What this will do with 3 stale tasks",
            "1 task will be quarantined.",
            "href=\"/tasks/default/late\"",
            "1 compensation is undone, the newest first",
            "<code>close-pr 12 (number 1)</code>",
            "nobody handles reset-db (number 1)",
        ] {
            assert!(plan.text.contains(words), "{words} is not in {}", plan.text);
        }
        assert!(spy.calls().is_empty(), "nothing was done");
        let report = browser.submit(RECOVER, &[]).await;
        assert_eq!(report.status, 200, "{}", report.text);
        for words in [
            "<h1>Recovery is done</h1>",
            "1 quarantined; 1 compensation undone.",
            "<li>close-pr 12: 12 is gone</li>",
            "href=\"/tasks/default/strange\"",
            "nobody handles reset-db (number 1)",
        ] {
            assert!(report.text.contains(words), "{words} is not in {}", report.text);
        }
        assert_eq!(spy.targets(), ["12"]);
        assert!(!ledger.task("late").await?.owes());
        assert_eq!(ledger.task("strange").await?.state(), State::Quarantined);
        let again = browser.get(RECOVER).await.text;
        assert!(
            again.contains("There is nothing to recover now.")
                && !again.contains("<button class=\"button\">Recover"),
            "{again}"
        );
        let again = browser.submit(RECOVER, &[]).await.text;
        assert!(again.contains("There was nothing to recover."), "{again}");
        assert_eq!(spy.targets(), ["12"], "it is undone once");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn where_memory_is_short_the_plan_lists_fewer_tasks_and_counts_the_rest() {
    let limits = Limits::default().with(|limits| {
        limits.memory_bytes_max = 20 * 1024 * 1024;
        limits.body_bytes_max = 3 * 1024 * 1024;
    });
    let spy = HandlerSpy::that(&[Behaviour::Works]);
    let World { ledger, served, clock, .. } = with_handlers(spy.on("close-pr"), limits);
    block_on(async {
        for number in 0..12 {
            stale(&ledger, &clock, &format!("t-{number}"), Some(("close-pr", &"x".repeat(4_000)))).await?;
        }
        let browser = Browser::of(&served);
        let listed = |page: &str| page.matches("href=\"/tasks/default/t-").count();
        assert_eq!(listed(&browser.get(RECOVER).await.text), 12);
        // Somebody's body takes some of the memory, and does not come to its end.
        let mut slow = TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
        let head = b"POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n";
        slow.write_all(head).await.expect("it is sent");
        slow.write_all(&vec![b' '; 2_500_000]).await.expect("it is sent");
        let plan = async || browser.get(RECOVER).await.text;
        until_asked("a short plan", async || listed(&plan().await) < 12).await;
        let page = plan().await;
        assert_eq!(listed(&page), 3, "16 KiB of them: {page}");
        assert!(page.contains("and 9 more") && page.contains("with 12 stale tasks"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_server_without_handlers_says_so_and_what_follows() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        stale(&ledger, &clock, "late", Some(("close-pr", "12"))).await?;
        let plan = Browser::of(&served).get(RECOVER).await.text;
        for words in [
            "handlers for no kind of undo: none",
            "recovery here can undo nothing",
            "1 task will be quarantined.",
            "can&#39;t undo close-pr: nobody handles close-pr (number 1)",
        ] {
            assert!(plan.contains(words), "{words} is not in {plan}");
        }
        assert_eq!(ledger.task("late").await?.state(), State::Running, "a plan does nothing");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_sweep_that_takes_long_goes_on_without_its_page() {
    let spy = HandlerSpy::that(&[Behaviour::TakesWhenTold(1)]);
    let limits = Limits::default().with(|limits| limits.sweep_wait_max = Duration::from_millis(50));
    let World { ledger, served, clock, .. } = with_handlers(spy.on("close-pr"), limits);
    block_on(async {
        stale(&ledger, &clock, "late", Some(("close-pr", "12"))).await?;
        let page = Browser::of(&served).submit(RECOVER, &[]).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.text.contains("<h1>Recovery goes on</h1>"), "{}", page.text);
        assert!(
            page.text.contains("/tasks?ns=default&amp;stale=true"),
            "it says where to look: {}",
            page.text
        );
        assert!(ledger.task("late").await?.owes(), "it is not undone yet");
        spy.lets_go(1);
        until_task(&ledger, "late", |task| !task.owes()).await;
        assert_eq!(spy.targets(), ["12"]);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn operators_are_offered_recovery_and_others_may_not_run_it() {
    let World { ledger, served, store, clock } = world();
    block_on(async {
        stale(&ledger, &clock, "late", Some(("close-pr", "12"))).await?;
        ledger.create("fresh").await?;
        ledger
            .create("held")
            .policy(Policy::default().with(|policy| policy.on_lapse = OnLapse::Hold))
            .await?;
        ledger.acquire("held", "w2").ttl(Duration::from_secs(60)).await?;
        clock.advance(Duration::from_secs(61));
        for role in Role::ALL {
            let secret =
                token(&store, &format!("{}-1", role.as_str()), role, NamespaceScope::All, None).await;
            let browser = Browser::signed_in(&served, &secret).await;
            let may = role.includes(Role::Operator);
            for path in ["/", "/tasks/default/late"] {
                let page = browser.get(path).await.text;
                assert_eq!(page.contains("href=\"/recover?ns=default\""), may, "{role:?} {path}: {page}");
            }
            for id in ["fresh", "held"] {
                let page = browser.get(&format!("/tasks/default/{id}")).await.text;
                assert!(!page.contains("href=\"/recover"), "recovery does nothing with it: {page}");
            }
            assert_eq!(browser.get(RECOVER).await.status, if may { 200 } else { 403 }, "{role:?}");
            if !may {
                assert_eq!(browser.submit(RECOVER, &[]).await.status, 403, "{role:?}");
                assert_eq!(ledger.task("late").await?.state(), State::Running, "nothing was done");
            }
        }
        let team = NamespaceScope::These([tenure::core::id::Namespace::new("team").expect("a name")].into());
        let secret = token(&store, "team-op", Role::Operator, team, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        assert_eq!(browser.submit(RECOVER, &[]).await.status, 404, "it is another namespace");
        let site = Browser::of(&served).submit_from("cross-site", RECOVER, &[]).await;
        assert_eq!(site.status, 303, "who is not known is led to sign in: {}", site.text);
        assert_eq!(ledger.task("late").await?.state(), State::Running);
        Ok::<_, Error>(())
    })
    .expect("works");
}
