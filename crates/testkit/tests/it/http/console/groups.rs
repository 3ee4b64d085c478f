//! Actions for a whole group of triage, and what undoes a parked task without trying it again.

use tenure::access::{NamespaceScope, Role};
use tenure::core::id::RequestId;
use tenure::core::task::{State, Task};
use tenure::recovery::Recovery;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::served::Reply;
use tenure_testkit::undoing::{Behaviour, HandlerSpy};

use super::{Browser, World, events, request_of, world};
use crate::http::access::token;

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
        let tasks = hidden(&form, "tasks");
        assert_eq!(tasks.lines().count(), 45);
        assert_eq!(form.text.matches(" checked data-take>").count(), 45, "all are ticked");
        let request = request_of(&form);
        let takes: Vec<String> = (0..45).map(|at| format!("take-{at}")).collect();
        // One more comes, and somebody has seen to one of them.
        ledger.create("nightly-late").kind("nightly").await?;
        ledger.mark_failed("nightly-late", "exit status 1").remains("none", "-").await?;
        ledger.retry("nightly-7", "by hand").await?;
        let mut fields = vec![
            ("request", &*request),
            ("tasks", &*tasks),
            ("shown", "45"),
            ("verb", "retry"),
            ("actor", "alice"),
            ("reason", "fixed"),
        ];
        fields.extend(takes.iter().map(|take| (&**take, "on")));
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

/// The value of a hidden field of a form.
fn hidden(page: &Reply, name: &str) -> String {
    let before = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.text.split_once(&before).unwrap_or_else(|| panic!("no {name}: {}", page.text));
    rest.split('"').next().expect("an end").to_owned()
}

/// Parked tasks that owe a `close-pr` and a `reset-db` each.
async fn parked(ledger: &Ledger, ids: &[&str]) -> Result<(), Error> {
    for id in ids {
        ledger.create(id).kind("nightly").await?;
        let by = ledger.acquire(id, "w1").await?.lease().expect("a lease").holder();
        ledger.register(id, &by, "close-pr", "12").await?;
        ledger.register(id, &by, "reset-db", "test").await?;
        ledger.quarantine(id, &by, "look").await?;
    }
    Ok(())
}

/// What the page has filled into the form of a group.
struct GroupForm {
    request: String,
    tasks: String,
    kinds: String,
}

impl GroupForm {
    fn of(page: &Reply) -> GroupForm {
        let (request, tasks, kinds) = (request_of(page), hidden(page, "tasks"), hidden(page, "kinds"));
        GroupForm { request, tasks, kinds }
    }

    /// The same with what a person fills in: for how many tasks the button is, and further fields.
    fn with<'f>(&'f self, shown: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
        let GroupForm { request, tasks, kinds } = self;
        let own = [("request", &**request), ("tasks", tasks), ("kinds", kinds), ("shown", shown)];
        own.iter().chain(more).copied().collect()
    }
}

/// The task that an ended one was retried as.
async fn retried(ledger: &Ledger, id: &str) -> Result<Task, Error> {
    let ended = ledger.task(id).await?;
    let new = ended.ending().and_then(|ending| ending.retried_as.clone()).expect("it was retried");
    ledger.task(new.as_str()).await
}

const PARKED: &str = "/triage/act?ns=default&state=quarantined&cause=by_holder&kind=nightly";

#[test]
fn single_tasks_of_a_group_are_left_out_and_the_count_is_said_before() {
    let World { ledger, served, .. } = world();
    block_on(async {
        parked(&ledger, &["a", "b", "c"]).await?;
        let browser = Browser::of(&served);
        let page = browser.get(PARKED).await;
        let form = GroupForm::of(&page);
        assert_eq!((&*form.tasks, &*hidden(&page, "shown")), ("c\nb\na", "3"), "the newest first");
        let submit = async |shown, more: &[(&'static str, &'static str)]| {
            let said = [("verb", "dismiss"), ("actor", "alice"), ("reason", "seen")];
            browser.submit(PARKED, &form.with(shown, &[&said[..], more].concat())).await
        };
        let none = submit("3", &[]).await;
        assert!(none.status == 409 && none.text.contains("no task is ticked"), "{}", none.text);
        // As a browser without scripts sends it: the button still says 3.
        let asks = submit("3", &[("take-0", "on"), ("take-2", "on")]).await;
        assert_eq!(asks.status, 409, "{}", asks.text);
        for words in ["nothing is done yet: 2 of 3 tasks are ticked", "Do it for 2 tasks", ">seen</textarea>"]
        {
            assert!(asks.text.contains(words), "{words} is not in {}", asks.text);
        }
        assert!(asks.text.contains("name=\"take-1\" data-take"), "it stays unticked: {}", asks.text);
        assert_eq!((request_of(&asks), hidden(&asks, "shown")), (form.request.clone(), "2".to_owned()));
        for _ in 0..2 {
            let done = submit("2", &[("take-0", "on"), ("take-2", "on")]).await;
            assert!(done.text.contains("done for 2 tasks"), "{}", done.text);
        }
        let is_dismissed = async |id| {
            Ok::<_, Error>(ledger.task(id).await?.ending().expect("it has ended").dismissed.is_some())
        };
        assert!(is_dismissed("c").await? && !is_dismissed("b").await? && is_dismissed("a").await?);
        assert_eq!(events(&ledger, "a").await.len(), 6, "it was done once");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn only_operators_act_on_a_group() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        parked(&ledger, &["a"]).await?;
        for role in Role::ALL {
            let secret = token(&store, role.as_str(), role, NamespaceScope::All, None).await;
            let browser = Browser::signed_in(&served, &secret).await;
            let (form, may) = (browser.get(PARKED).await, role.includes(Role::Operator));
            assert_eq!(form.status, if may { 200 } else { 403 }, "{role:?}: {}", form.text);
            let request = format!("by-{role:?}");
            let before = events(&ledger, "a").await.len();
            let fields = [
                ("request", &*request),
                ("tasks", "a"),
                ("kinds", ""),
                ("shown", "1"),
                ("take-0", "on"),
                ("verb", "note"),
                ("reason", "seen"),
            ];
            let done = browser.submit(PARKED, &fields).await;
            assert_eq!(done.status, if may { 200 } else { 403 }, "{role:?}: {}", done.text);
            assert_eq!(events(&ledger, "a").await.len(), before + usize::from(may), "{role:?}");
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_is_gone_is_waived_by_its_kind_with_the_retry_of_a_group() {
    let World { ledger, served, .. } = world();
    block_on(async {
        parked(&ledger, &["a", "b"]).await?;
        let browser = Browser::of(&served);
        let form = GroupForm::of(&browser.get(PARKED).await);
        assert_eq!(form.kinds, "close-pr\nreset-db");
        let with = |verb, more: &[(&'static str, &'static str)]| {
            let said =
                [("take-0", "on"), ("take-1", "on"), ("verb", verb), ("actor", "alice"), ("reason", "fixed")];
            form.with("2", &[&said[..], more].concat())
        };
        for (fields, words) in [
            (with("retry", &[("gone-reason", "dropped")]), "no kind is ticked"),
            (with("dismiss", &[("gone-1", "on")]), "only a retry and undo only can waive"),
            (with("note", &[("receipt-0", "closed")]), "only a retry and undo only can waive and settle"),
            (
                with("retry", &[("gone-1", "on"), ("receipt-1", "reset")]),
                "reset-db is waived and has a receipt",
            ),
        ] {
            let refused = browser.submit(PARKED, &fields).await;
            assert!(refused.status == 409 && refused.text.contains(words), "{words}: {}", refused.text);
        }
        let fields = with("retry", &[("gone-1", "on"), ("gone-reason", "the database was dropped")]);
        for _ in 0..2 {
            let done = browser.submit(PARKED, &fields).await;
            assert!(done.text.contains("done for 2 tasks"), "{}", done.text);
        }
        for id in ["a", "b"] {
            let new = retried(&ledger, id).await?;
            let owed: Vec<&str> = new.owed().map(|one| one.undo.kind.as_str()).collect();
            assert_eq!(owed, ["close-pr"], "{id}");
        }
        assert_eq!(ledger.tasks(tenure::store::Filter::default(), None, 10).await?.items.len(), 4);
        let told = browser.get("/history?type=retried").await.text;
        assert!(told.contains("waived 2: the database was dropped"), "{told}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_was_undone_by_hand_is_settled_by_its_kind_with_one_receipt_for_a_group() {
    let World { ledger, served, .. } = world();
    block_on(async {
        parked(&ledger, &["a", "b"]).await?;
        let browser = Browser::of(&served);
        let form = GroupForm::of(&browser.get(PARKED).await);
        let filled = [
            ("take-0", "on"),
            ("take-1", "on"),
            ("verb", "undo"),
            ("reason", "not needed"),
            ("gone-1", "on"),
            ("receipt-0", "closed by hand"),
        ];
        // One that is refused keeps what was written.
        let again = browser.submit(PARKED, &form.with("2", &filled)).await;
        assert!(again.status == 409 && again.text.contains("value=\"closed by hand\""), "{}", again.text);
        let fields = form.with("2", &[&filled[..], &[("actor", "alice")]].concat());
        for _ in 0..2 {
            let done = browser.submit(PARKED, &fields).await;
            assert!(done.text.contains("done for 2 tasks"), "{}", done.text);
        }
        for id in ["a", "b"] {
            let new = retried(&ledger, id).await?;
            assert_eq!(
                (new.state(), new.owed().count()),
                (State::Compensated, 0),
                "{id}: nothing is left to undo"
            );
        }
        let told = browser.get("/history?type=retried").await.text;
        assert!(told.contains("closed by hand") && told.contains("waived 2: not needed"), "{told}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_a_parked_task_owes_is_undone_without_trying_it_again() {
    let World { ledger, served, .. } = world();
    block_on(async {
        parked(&ledger, &["a", "b"]).await?;
        let browser = Browser::of(&served);
        let path = "/tasks/default/a/act?verb=undo";
        let form = browser.get(path).await;
        for words in [
            "A new task is made that only undoes 2 compensations",
            "it ends as compensated",
            "name=\"waive-2\"",
            "No recovery that runs handles close-pr, reset-db",
        ] {
            assert!(form.text.contains(words), "{words} is not in {}", form.text);
        }
        let request = request_of(&form);
        let fields = [("request", &*request), ("reason", "not needed"), ("actor", "alice")];
        let first = browser.submit(path, &fields).await;
        assert_eq!(first.status, 303, "{}", first.text);
        let new = format!("undo-{request}");
        assert_eq!(first.header("location"), format!("/tasks/default/{new}?done=undo"));
        let again = browser.submit(path, &fields).await;
        assert_eq!(again.header("location"), first.header("location"), "it is one action");
        let undoing = ledger.task(&new).await?;
        assert_eq!((undoing.state(), undoing.owed().count()), (State::Compensating, 2));
        assert_eq!(undoing.cancel.as_ref().map(|cancel| cancel.by.as_str()), Some("alice"));
        for part in ["retry", "cancel"] {
            let id = RequestId::new(format!("{request}-{part}")).expect("an id");
            assert!(ledger.store().remembers(ledger.namespace().clone(), id).await?, "{part}");
        }
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let handlers = spy.and(spy.on("close-pr"), "reset-db");
        Recovery::new(ledger.clone()).handlers(handlers).once().await?;
        assert_eq!(ledger.task(&new).await?.state(), State::Compensated);
        // And for a group.
        let form = browser.get(PARKED).await;
        let (request, tasks) = (request_of(&form), hidden(&form, "tasks"));
        let fields = [
            ("request", &*request),
            ("tasks", &*tasks),
            ("shown", "1"),
            ("take-0", "on"),
            ("verb", "undo"),
            ("actor", "alice"),
            ("reason", "not needed"),
        ];
        for _ in 0..2 {
            let done = browser.submit(PARKED, &fields).await;
            assert!(done.text.contains(&format!(">undo-{request}-0</a>")), "{}", done.text);
        }
        assert!(ledger.task(&format!("undo-{request}-0")).await?.cancel.is_some());
        Ok::<_, Error>(())
    })
    .expect("works");
}
