//! What people do: what is offered, what is refused, and that a form is one command.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use tenure::access::{NamespaceScope, Role};
use tenure::clock::ManualClock;
use tenure::core::policy::{OnLapse, Policy, WhenSpent};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::served::reply;

use super::{Browser, World, events, request_of, world};
use crate::http::access::token;

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
            ("build%3A4", "/tasks?ns=default&id_prefix=build%3A4&order=newest"),
            ("of-nothing", "/tasks?ns=default&order=newest&searched=of-nothing"),
        ] {
            let led = browser.get(&format!("/search?ns=default&q={words}")).await;
            assert_eq!((led.status, led.header("location")), (303, place), "{words}: {}", led.text);
            let page = browser.get(place).await;
            assert_eq!(page.status, 200, "{place}: {}", page.text);
            // Other tasks would look like what was found.
            let finds = !place.ends_with("of-nothing");
            assert_eq!(page.text.contains("build:42+x@y"), finds, "{place}: {}", page.text);
        }
        let owners = browser.get("/owners").await.text;
        assert!(owners.contains("owner=host%2F1"), "{owners}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_a_page_offers_is_done_and_what_it_does_not_offer_is_refused() {
    const VERBS: [&str; 10] = [
        "retry",
        "undo",
        "cancel",
        "quarantine",
        "compensate",
        "complete",
        "fail",
        "dismiss",
        "note",
        "label",
    ];
    block_on(async {
        let (mut done, mut refused) = (0, 0);
        for verb in VERBS {
            let World { ledger, served, clock, .. } = world();
            let browser = Browser::of(&served);
            in_many_states(&ledger, &clock).await?;
            for id in IDS {
                let page = browser.get(&format!("/tasks/default/{id}")).await.text;
                let is_offered = page.contains(&format!("act?verb={verb}\""));
                let path = format!("/tasks/default/{id}/act?verb={verb}");
                let form = browser.get(&path).await;
                let before = events(&ledger, id).await;
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
                fields.extend((verb == "label").then_some(("set", "issue=168")));
                let answer = browser.submit(&path, &fields).await;
                let after = events(&ledger, id).await;
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

/// Tasks in all states that a person meets: thirteen of them.
const IDS: [&str; 13] = [
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
];

/// Makes them, each by the way there.
async fn in_many_states(ledger: &Ledger, clock: &ManualClock) -> Result<(), Error> {
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    for id in IDS {
        let policy = Policy::default().with(|it| {
            it.max_attempts = 2;
            it.when_spent = WhenSpent::Quarantined;
            it.on_lapse = if id == "lapsed" { OnLapse::Hold } else { OnLapse::Recover };
        });
        ledger.create(id).policy(policy).await?;
    }
    let held = async |id: &str, ttl, owes: bool| {
        let by = ledger.acquire(id, "w1").ttl(ttl).await?.lease().expect("a lease").holder();
        if owes {
            ledger.register(id, &by, "k", "x").await?;
        }
        Ok::<_, Error>(by)
    };
    ledger.dispatch("reserved", "w1").await?;
    held("lapsed", minute, false).await?;
    clock.advance(2 * minute);
    held("running", hour, false).await?;
    held("owing", hour, true).await?;
    let by = held("parked", hour, true).await?;
    ledger.quarantine("parked", &by, "look").await?;
    let by = held("failed", hour, true).await?;
    ledger.fail("failed", &by, "no such repo").await?;
    let by = held("undo-due", hour, true).await?;
    ledger.roll_back("undo-due", &by, "given up").await?;
    let by = held("told", hour, false).await?;
    ledger.cancel("told", "not wanted").await?;
    ledger.heartbeat("told", &by).ttl(2 * hour).await?;
    ledger.mark_completed("completed", "by hand").await?;
    ledger.cancel("undone", "not wanted").await?;
    ledger.mark_quarantined("retried", "look").await?;
    ledger.retry("retried", "again").id("retried-2").await?;
    ledger.mark_quarantined("dismissed", "look").await?;
    ledger.dismiss("dismissed", "seen").await?;
    Ok(())
}
