//! What people undid by hand, the labels that they change, who held a task last, and what a policy says on its page.

use std::time::Duration;

use tenure::Error;
use tenure::access::{NamespaceScope, Role};
use tenure::core::policy::{OnFailure, OnLapse, Policy};
use tenure::core::task::State;
use tenure_testkit::block_on;
use tenure_testkit::waiting::until_asked;

use super::{Browser, World, events, request_of, world};
use crate::http::access::token;

#[test]
fn a_compensation_is_settled_with_a_receipt_on_the_page_of_its_task() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let by = ledger.acquire("t", "w1").await?.lease().expect("a lease").holder();
        ledger.register("t", &by, "close-pr", "12").await?;
        ledger.roll_back("t", &by, "given up").await?;
        let browser = Browser::of(&served);
        let page = browser.get("/tasks/default/t").await.text;
        assert!(
            page.contains("act?verb=settle&#38;seq=1") || page.contains("act?verb=settle&amp;seq=1"),
            "{page}"
        );
        let path = "/tasks/default/t/act?verb=settle&seq=1";
        let form = browser.get(path).await;
        for words in [
            "Compensation 1, close-pr 12, counts as undone by hand",
            "name=\"receipt\"",
            "(if empty, the receipt)",
        ] {
            assert!(form.text.contains(words), "{words} is not in {}", form.text);
        }
        let request = request_of(&form);
        let missing = browser.submit(path, &[("request", &request), ("actor", "alice")]).await;
        assert!(missing.status == 422 && missing.text.contains("receipt: is required"), "{}", missing.text);
        let fields = [("request", &*request), ("receipt", "closed it on the site"), ("actor", "alice")];
        for _ in 0..2 {
            let done = browser.submit(path, &fields).await;
            assert_eq!(done.header("location"), "/tasks/default/t?done=settle", "{}", done.text);
        }
        let task = ledger.task("t").await?;
        assert_eq!(task.state(), State::Compensated);
        let page = browser.get("/tasks/default/t?done=settle").await.text;
        for words in [
            "The receipt is recorded",
            "closed it on the site <small>(by hand, alice)</small>",
            "1, by hand: closed it on the site",
            "Last held by <a href=\"/tasks?ns=default&last_owner=w1\">w1</a> under epoch 1, from ",
        ] {
            let page = page.replace("&#38;", "&").replace("&amp;", "&");
            assert!(page.contains(words), "{words} is not in {page}");
        }
        let listed = browser.get("/tasks?ns=default&last_owner=w1").await.text;
        assert!(
            listed.contains("href=\"/tasks/default/t\"") && listed.contains("name=\"last_owner\""),
            "{listed}"
        );
        let others = browser.get("/tasks?ns=default&last_owner=w2").await.text;
        assert!(!others.contains("href=\"/tasks/default/t\""), "{others}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_retry_takes_receipts_for_what_was_undone_by_hand() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let by = ledger.acquire("t", "w1").await?.lease().expect("a lease").holder();
        ledger.register("t", &by, "close-pr", "12").await?;
        ledger.register("t", &by, "reset-db", "test").await?;
        ledger.quarantine("t", &by, "look").await?;
        let browser = Browser::of(&served);
        let path = "/tasks/default/t/act?verb=retry";
        let form = browser.get(path).await;
        assert!(form.text.contains("name=\"receipt-2\""), "{}", form.text);
        let request = request_of(&form);
        let with = |waived: bool| {
            let mut fields = vec![
                ("request", &*request),
                ("reason", "fixed"),
                ("actor", "alice"),
                ("receipt-1", "closed"),
            ];
            fields.extend(waived.then_some(("waive-1", "on")));
            fields
        };
        let both = browser.submit(path, &with(true)).await;
        assert!(both.text.contains("waived or with a receipt"), "{}", both.text);
        assert!(both.text.contains("value=\"closed\""), "what was written is not lost: {}", both.text);
        let done = browser.submit(path, &with(false)).await;
        assert_eq!(done.status, 303, "{}", done.text);
        let ended = ledger.task("t").await?;
        let new = ended.ending().and_then(|ending| ending.retried_as.clone()).expect("it was retried");
        let new = ledger.task(new.as_str()).await?;
        assert_eq!(new.owed().map(|one| one.undo.kind.as_str()).collect::<Vec<_>>(), ["reset-db"]);
        let told = browser.get("/tasks/default/t").await.text;
        assert!(told.contains("undone by hand 1: closed"), "{told}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn labels_are_set_and_removed_while_the_work_goes_on() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("t").label("issue", "168").await?;
        ledger.acquire("t", "w1").await?;
        let browser = Browser::of(&served);
        let path = "/tasks/default/t/act?verb=label";
        let form = browser.get(path).await;
        assert!(
            form.text.contains("name=\"unset-issue\"") && form.text.contains("issue=168"),
            "{}",
            form.text
        );
        let request = request_of(&form);
        let base = [("request", &*request), ("actor", "alice")];
        let nothing = browser.submit(path, &base).await;
        assert!(nothing.text.contains("say which labels to set"), "{}", nothing.text);
        let fields = [&base[..], &[("set", "team=core\r\nnote=a b"), ("unset-issue", "on")]].concat();
        let done = browser.submit(path, &fields).await;
        assert_eq!(done.header("location"), "/tasks/default/t?done=label", "{}", done.text);
        let task = ledger.task("t").await?;
        let labels: Vec<String> = task.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!((labels, task.state()), (vec!["note=a b".into(), "team=core".into()], State::Running));
        let page = browser.get("/tasks/default/t?done=label").await.text;
        assert!(page.contains("note=a b, team=core, without issue"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn only_operators_settle_and_label() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let by = ledger.acquire("t", "w1").await?.lease().expect("a lease").holder();
        ledger.register("t", &by, "close-pr", "12").await?;
        for role in Role::ALL {
            let secret = token(&store, role.as_str(), role, NamespaceScope::All, None).await;
            let browser = Browser::signed_in(&served, &secret).await;
            let may = role.includes(Role::Operator);
            let page = browser.get("/tasks/default/t").await.text;
            for verb in ["settle", "label"] {
                assert_eq!(page.contains(&format!("act?verb={verb}")), may, "{role:?} {verb}: {page}");
            }
            let request = format!("by-{role:?}");
            let set = format!("role={}", role.as_str());
            let fields = [("request", &*request), ("set", &*set)];
            let answer = browser.submit("/tasks/default/t/act?verb=label", &fields).await;
            assert_eq!(answer.status, if may { 303 } else { 403 }, "{role:?}: {}", answer.text);
        }
        assert_eq!(events(&ledger, "t").await.iter().filter(|(kind, _)| kind == "labelled").count(), 2);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_lapsed_task_for_either_says_until_when_another_owner_may_take_it_over() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        let policy = Policy::default().with(|policy| {
            policy.on_lapse = OnLapse::Either;
            policy.recover_after = Some(Duration::from_secs(600).into());
            policy.on_failure = OnFailure::Quarantine;
        });
        ledger.create("t").policy(policy).await?;
        let by =
            ledger.acquire("t", "w1").ttl(Duration::from_secs(60)).await?.lease().expect("a lease").holder();
        ledger.register("t", &by, "close-pr", "12").await?;
        let browser = Browser::of(&served);
        let page = async || browser.get("/tasks/default/t").await.text;
        let running = page().await;
        assert!(
            running.contains("unless that is renewed, another owner may take it over until"),
            "{running}"
        );
        for words in [
            "<dt>Recover after</dt><dd>10m</dd>",
            "<dt>On failure</dt><dd>quarantine</dd>",
            "<dd>either</dd>",
        ] {
            assert!(running.contains(words), "{words} is not in {running}");
        }
        clock.advance(Duration::from_secs(120));
        let lapsed = page().await;
        assert!(lapsed.contains("another owner may take it over until"), "{lapsed}");
        assert!(lapsed.contains("then recovery undoes 1 compensation"), "{lapsed}");
        let needed = async || {
            let first = browser.get("/").await.text;
            first.contains("t: its lease lapsed, and another owner may take it over until")
                && first.contains("then recovery undoes it")
        };
        until_asked("the need", needed).await;
        clock.advance(Duration::from_secs(600));
        assert!(page().await.contains("another owner may take it over until recovery does"));
        Ok::<_, Error>(())
    })
    .expect("works");
}
