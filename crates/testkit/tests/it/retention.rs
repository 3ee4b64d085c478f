//! Retention: what is pruned and what stays, on every store that prunes; and named cursors on every store, the remote one too.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tenure::clock::ManualClock;
use tenure::core::id::Actor;
use tenure::core::refusal::Code;
use tenure::core::task::{Cause, Terminal};
use tenure::core::time::Span;
use tenure::retention::{PruneOptions, PruneRun, PruneScope};
use tenure::store::Cursor;
use tenure::store::retention::{AnchorPurpose, PruneFilter, PruneStep};
use tenure::{Error, Ledger};
use tenure_testkit::retained::{done, prune};
use tenure_testkit::served::Served;
use tenure_testkit::server::{Server, required};
use tenure_testkit::{BEGINNING, block_on, memory, on_local_stores, sqlite};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn on_stores_that_prune<F: Future<Output = Result<(), Error>>>(story: impl Fn(Ledger, ManualClock) -> F) {
    block_on(async {
        on_local_stores(&story).await;
        let Some(server) = required(Server::shared()) else { return };
        let clock = ManualClock::at(BEGINNING);
        let opener = Ledger::builder().clock(Arc::new(clock.clone()));
        let ledger = opener.open(&server.url(&server.fresh_schema())).await.expect("opens");
        story(ledger, clock).await.expect("on PostgreSQL");
    });
}

fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Ledger, ManualClock) -> F) {
    on_stores_that_prune(&story);
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let served = Served::on(memory(&clock));
        story(Ledger::open(&served.url).await.expect("opens"), clock).await.expect("behind a server");
    });
}

async fn code(call: impl IntoFuture<Output = Result<tenure::core::task::Task, Error>>) -> Option<Code> {
    call.into_future().await.expect_err("refused").code()
}

#[test]
fn what_ended_long_ago_goes_and_its_names_stay_taken_and_the_rest_is_untouched() {
    on_stores_that_prune(|ledger, clock| async move {
        done(&ledger, "old").await?;
        ledger.create("undone").undo("remove", "/tmp/x").await?;
        let by = ledger.acquire("undone", "w1").await?.lease().expect("a lease").holder();
        ledger.fail("undone", &by, "no such repo").await?;
        ledger.create("open").await?;
        done(&ledger.in_namespace("elsewhere")?, "old").await?;
        clock.advance(100 * DAY);
        done(&ledger, "young").await?;
        let (anchor, open) = (ledger.anchor().await?, ledger.task("open").await?);
        let ends = ledger.overview().await?.ends;

        let report = prune(&ledger, 90).await?;
        assert_eq!((report.pruned.completed, report.pruned.failed, report.pruned.sum()), (1, 1, 2));
        assert_eq!((report.corrupt, report.changed, report.held_in_all()), (0, 0, 0), "{report:?}");

        assert_eq!(code(ledger.create("old")).await, Some(Code::Exists));
        assert_eq!(code(ledger.create("saga-of-old")).await, Some(Code::Exists), "a saga id, too");
        assert_eq!(code(ledger.create("new").saga_id("saga-of-old")).await, Some(Code::Exists));
        let gone = ledger.task("old").await.expect_err("it is gone");
        assert_eq!(gone.code(), Some(Code::NotFound));
        assert!(
            gone.to_string().contains("was pruned at") && gone.to_string().contains("completed"),
            "{gone}"
        );
        assert_eq!(code(ledger.acquire("old", "w1")).await, Some(Code::NotFound));

        assert_eq!(ledger.task("open").await?, open);
        ledger.task("young").await?;
        ledger.in_namespace("elsewhere")?.task("old").await?;
        assert_eq!(ledger.overview().await?.ends, ends, "what ever ended stays counted");
        assert!(ledger.acquire("open", "w2").await?.lease().is_some(), "work goes on");

        let report = ledger.verify(Some(&anchor)).await?;
        assert!(report.holds(), "{:?}", report.findings);
        assert_eq!((report.pruned, report.tasks), (2, 3));
        let later = ledger.anchor().await?;
        assert_eq!(later.lines.iter().filter(|line| line.is_pruned).count(), 2);
        assert_eq!(later.to_string().parse(), Ok(later.clone()), "it reads back from its file");
        assert!(ledger.verify(Some(&later)).await?.holds());
        let steps = ledger.store().retention().newest_anchor(AnchorPurpose::Prune).await?.expect("recorded");
        assert_eq!(steps.lines, 2);
        assert_eq!(prune(&ledger, 90).await?.pruned.sum(), 0, "a second run finds nothing");
        Ok(())
    });
}

#[test]
fn no_open_task_goes_and_none_whose_newest_event_is_young() {
    on_stores_that_prune(|ledger, clock| async move {
        ledger.create("open").await?;
        done(&ledger, "noted").await?;
        done(&ledger, "retried").await?;
        done(&ledger, "old").await?;
        clock.advance(100 * DAY);
        ledger.annotate("noted", "looked at it").request_id("r1").await?;
        assert_eq!(prune(&ledger, 90).await?.pruned.sum(), 2);
        let again = ledger.annotate("noted", "looked at it").request_id("r1").await?;
        assert_eq!(again.id.as_str(), "noted", "its request is still answered");
        clock.advance(8 * DAY);
        assert_eq!(prune(&ledger, 90).await?.pruned.sum(), 1);
        ledger.task("open").await?;
        let short = PruneOptions::older_than(Span::from_days(6));
        let refused = PruneRun::begin(&ledger, short).await.err().expect("refused");
        assert_eq!(refused.refusal().and_then(|refusal| refusal.field), Some("older_than"));
        Ok(())
    });
}

#[test]
fn only_the_given_states_and_namespaces_are_pruned() {
    on_stores_that_prune(|ledger, clock| async move {
        let elsewhere = ledger.in_namespace("elsewhere")?;
        for ledger in [&ledger, &elsewhere] {
            done(ledger, "done").await?;
            ledger.create("parked").await?;
            ledger.mark_quarantined("parked", "needs a look").await?;
        }
        clock.advance(100 * DAY);
        let options = PruneOptions::older_than(Span::from_days(90));
        let options = options.with(|options| {
            options.states = vec![Terminal::Completed];
            options.scope = PruneScope::WholeStore;
            options.step_tasks = 1;
        });
        let mut plan = PruneRun::begin(&ledger, options.clone()).await?;
        while plan.plan().await?.is_some() {}
        assert_eq!(plan.report().pruned.sum(), 2);
        ledger.task("done").await?;
        let mut run = PruneRun::begin(&ledger, options).await?;
        while run.step(None).await.expect("a step").is_some() {}
        assert_eq!(run.report().pruned, plan.report().pruned);
        for ledger in [&ledger, &elsewhere] {
            assert_eq!(ledger.task("parked").await?.ending().map(|end| end.cause), Some(Cause::ByOperator));
            assert!(ledger.pruned("done").await?.is_some());
        }
        assert_eq!(elsewhere.namespaces().await?.len(), 2);
        Ok(())
    });
}

/// Parks a task whose undo nobody ran.
async fn parked(ledger: &Ledger, id: &str) -> Result<(), Error> {
    ledger.create(id).undo("remove", "/tmp/x").await?;
    let by = ledger.acquire(id, "w1").await?.lease().expect("a lease").holder();
    ledger.quarantine(id, &by, "needs a look").await?;
    Ok(())
}

#[test]
fn a_parked_task_that_still_owes_an_undo_stays_until_a_person_has_seen_to_it() {
    on_stores_that_prune(|ledger, clock| async move {
        for id in ["owing", "retried", "dismissed", "named"] {
            parked(&ledger, id).await?;
        }
        ledger.create("owes-nothing").await?;
        ledger.mark_quarantined("owes-nothing", "needs a look").await?;
        ledger.named_cursor("mailer").await?;
        ledger.retry("retried", "again").id("second").await?;
        ledger.dismiss("dismissed", "seen").await?;
        clock.advance(100 * DAY);
        let held = prune(&ledger, 90).await?;
        assert_eq!((held.kept_owing, held.held_in_all()), (2, 3), "each is counted once: {held:?}");
        ledger.forget_cursor("mailer").await?;

        let options = PruneOptions::older_than(Span::from_days(90));
        let mut plan = PruneRun::begin(&ledger, options.clone()).await?;
        while plan.plan().await?.is_some() {}
        assert_eq!((plan.report().pruned.quarantined, plan.report().kept_owing), (3, 2));
        let report = prune(&ledger, 90).await?;
        assert_eq!((report.pruned.quarantined, report.kept_owing), (3, 2), "{report:?}");
        for id in ["owing", "named"] {
            assert!(ledger.task(id).await?.owes());
        }
        // Asked once more in the transaction, whatever was looked at before.
        let store = ledger.store().retention();
        let finished_before = ledger.now().await? - options.older_than;
        let all = PruneFilter { namespace: None, finished_before, states: Vec::new() };
        let tasks = store.prunable(all.clone(), None, 10).await?.items;
        assert_eq!(tasks.len(), 2);
        let step = PruneStep { filter: all, tasks, by: Actor::new("ops")? };
        assert_eq!(store.prune(step).await?, []);

        ledger.dismiss("owing", "removed by hand").await?;
        clock.advance(8 * DAY);
        let report = prune(&ledger, 90).await?;
        assert_eq!((report.pruned.quarantined, report.kept_owing), (1, 1), "what was dismissed goes");
        let named = options.with(|options| options.states = vec![Terminal::Quarantined]);
        let mut run = PruneRun::begin(&ledger, named).await?;
        while run.step(None).await.expect("a step").is_some() {}
        assert_eq!((run.report().pruned.quarantined, run.report().kept_owing), (1, 0));
        assert!(ledger.pruned("named").await?.is_some());
        Ok(())
    });
}

#[test]
fn pruning_stops_at_the_slowest_cursor_and_followers_miss_nothing() {
    on_stores_that_prune(|ledger, clock| async move {
        done(&ledger, "a").await?;
        done(&ledger, "b").await?;
        clock.advance(100 * DAY);
        let first = ledger.named_cursor("mailer").await?;
        assert_eq!(first.behind, 6);
        let held = prune(&ledger, 90).await?;
        assert_eq!((held.pruned.sum(), held.held_in_all()), (0, 2));
        let events = ledger.events(Some(Cursor::from_text(first.cursor)), 100).await?.items;
        ledger.move_cursor("mailer", events[2].cursor.clone()).await?;
        let held = prune(&ledger, 90).await?;
        assert_eq!((held.pruned.sum(), held.held_in_all()), (1, 1), "{held:?}");
        let place = Cursor::from_text(ledger.named_cursor("mailer").await?.cursor);
        let rest = ledger.events(Some(place), 100).await?.items;
        assert_eq!(rest.iter().map(|one| one.event.number.0).collect::<Vec<_>>(), [1, 2, 3]);
        ledger.move_cursor("mailer", events[5].cursor.clone()).await?;
        assert_eq!(prune(&ledger, 90).await?.pruned.sum(), 1);
        // Nothing is left, and what comes has a later place than all that was.
        ledger.create("next").await?;
        let place = Cursor::from_text(ledger.named_cursor("mailer").await?.cursor);
        let next = ledger.events(Some(place), 100).await?.items;
        assert_eq!(next.iter().map(|one| one.event.subject.as_str()).collect::<Vec<_>>(), ["next"]);
        assert!(ledger.verify(None).await?.holds());
        Ok(())
    });
}

#[test]
fn a_named_cursor_moves_forward_only_and_says_how_far_behind_it_is() {
    on_every_store(|ledger, clock| async move {
        ledger.create("a").await?;
        ledger.in_namespace("elsewhere")?.create("x").await?;
        ledger.create("b").await?;
        clock.advance(Duration::from_secs(60));
        let cursor = ledger.named_cursor("mailer").await?;
        assert_eq!((cursor.behind, cursor.lag.map(|lag| lag >= Span::from_secs(59))), (2, Some(true)));
        let events = ledger.events(None, 10).await?.items;
        let (one, two) = (events[0].cursor.clone(), events[1].cursor.clone());
        ledger.move_cursor("mailer", two.clone()).await?;
        let back = ledger.move_cursor("mailer", one).await.expect_err("backwards");
        assert_eq!(back.code(), Some(Code::StaleWrite), "{back}");
        ledger.move_cursor("mailer", two.clone()).await?;
        assert_eq!(ledger.named_cursor("mailer").await?.cursor, two.as_str(), "it stays where it is");
        ledger.move_cursor("auditor", two).await?;
        let names: Vec<String> =
            ledger.named_cursors().await?.iter().map(|cursor| cursor.name.to_string()).collect();
        assert_eq!(names, ["auditor", "mailer"]);
        assert!(ledger.in_namespace("elsewhere")?.named_cursors().await?.is_empty());
        let foreign = ledger.move_cursor("mailer", Cursor::from_text("t1")).await.expect_err("foreign");
        assert_eq!(foreign.code(), Some(Code::Invalid));
        ledger.forget_cursor("mailer").await?;
        let gone = ledger.forget_cursor("mailer").await.expect_err("it is gone");
        assert_eq!(gone.code(), Some(Code::NotFound));
        Ok(())
    });
}

#[test]
fn behind_a_server_nothing_is_pruned_and_what_was_is_known() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let store = memory(&clock);
        let ledger = Ledger::with_store(Arc::clone(&store));
        done(&ledger, "old").await.expect("done");
        clock.advance(100 * DAY);
        let anchor = ledger.anchor().await.expect("an anchor");
        let served = Served::on(store);
        let remote = Ledger::open(&served.url).await.expect("opens");
        let options = PruneOptions::older_than(Span::from_days(90));
        let mut run = PruneRun::begin(&remote, options).await.expect("begun");
        let refused = run.step(None).await.expect_err("not from afar");
        assert!(refused.to_string().contains("beside the database"), "{refused}");
        prune(&ledger, 90).await.expect("pruned");
        let report = remote.verify(Some(&anchor)).await.expect("verified");
        assert!(report.holds() && report.pruned == 1, "{report:?}");
        let gone = remote.task("old").await.expect_err("it is gone");
        assert!(gone.to_string().contains("was pruned at"), "{gone}");
    });
}

#[test]
fn a_history_that_does_not_hold_is_kept_and_named() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        let ledger = Ledger::with_store(store);
        done(&ledger, "a").await.expect("done");
        done(&ledger, "b").await.expect("done");
        let file = std::fs::read_dir(folder.path()).expect("a folder").filter_map(Result::ok);
        let file = file.map(|one| one.path()).find(|path| path.extension().is_some_and(|end| end == "db"));
        let file = Connection::open(file.expect("the file")).expect("opens");
        file.execute_batch(
            "drop trigger events_do_not_change; update events set actor = 'x' where task = 1 and number = 2",
        )
        .expect("tampered");
        clock.advance(100 * DAY);
        let report = prune(&ledger, 90).await.expect("a run");
        assert_eq!((report.pruned.sum(), report.corrupt), (1, 1));
        assert_eq!(report.findings, ["default/a: event 2 was changed"]);
        ledger.task("a").await.expect("it stays");
    });
}

#[test]
fn direct_sql_deletes_nothing_and_changes_nothing_of_what_is_left() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        let ledger = Ledger::with_store(store);
        done(&ledger, "a").await.expect("done");
        done(&ledger, "b").await.expect("done");
        let file = std::fs::read_dir(folder.path()).expect("a folder").filter_map(Result::ok);
        let file = file.map(|one| one.path()).find(|path| path.extension().is_some_and(|end| end == "db"));
        let file = Connection::open(file.expect("the file")).expect("opens");
        let refused = |sql: &str| {
            let said = file.execute_batch(sql).expect_err(sql).to_string();
            assert!(said.contains("tenure:"), "{sql}: {said}");
        };
        refused("delete from tasks");
        refused("delete from events");
        // To say that it prunes is not enough: what goes must be recorded first.
        refused("insert into meta (key, value) values ('pruning', 'on'); delete from events");
        file.execute_batch("delete from meta where key = 'pruning'").expect("as before");
        let anchor = ledger.anchor().await.expect("an anchor");
        clock.advance(100 * DAY);
        prune(&ledger, 90).await.expect("pruned");
        refused("delete from pruned");
        refused("update pruned set head = zeroblob(32)");
        refused("delete from anchors");
        refused("insert or replace into pruned select * from pruned");
        let again = "insert into tasks (namespace, id, saga_id, queue, kind, state, priority, labels, payload, policy, attempts, \
            epoch, revision, owed, compensations, created_at, updated_at, head) values ('default', 'a', 'a', 'q', 'task', 'planned', \
            0, '{}', 'null', '{}', 0, 0, 1, 0, 0, 0, 0, zeroblob(32))";
        refused(again);
        file.execute_batch("drop trigger pruned_tasks_stay; delete from pruned where id = 'a'")
            .expect("tampered");
        let report = ledger.verify(Some(&anchor)).await.expect("a look");
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "anchor 1: the record of the tasks that were pruned behind it was changed",
                "default/a: the task was removed"
            ]
        );
    });
}
