//! Sweeps of recovery in the histories of namespaces: one event in each namespace in which something was moved, in a chain that is
//! verified, anchored, exported and kept like those of tasks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::access::Role;
use tenure::audit::Anchor;
use tenure::clock::ManualClock;
use tenure::core::event::{EventData, EventKind, Subject, SweepCounts};
use tenure::core::id::{Actor, Namespace, Owner, TaskId};
use tenure::core::policy::{Backoff, Policy};
use tenure::core::refusal::Code;
use tenure::core::time::Span;
use tenure::handler::Handlers;
use tenure::recovery::{Outcome, Recovery, RecoveryOptions};
use tenure::retention::{PruneOptions, PruneRun};
use tenure::store::{Cursor, EventFilter, EventSearch, Recorded};
use tenure::{Error, Ledger};
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::faulty::Fault;
use tenure_testkit::moving::{exported, imported};
use tenure_testkit::served::{Served, in_time};
use tenure_testkit::server::{Server, required};
use tenure_testkit::undoing::{Behaviour, HandlerSpy, Loop, on_every_store as on_stores_with_faults};
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on, memory, postgres, sqlite};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const ONE: SweepCounts =
    SweepCounts { planned: 1, compensated: 0, quarantined: 0, handed_back: 0, lost: 0, failed: 0, undone: 0 };

/// Plays a story on every store, the last time behind a server.
fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Ledger, ManualClock) -> F) {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        story(Ledger::with_store(memory(&clock)), clock).await.expect("in memory");
        let clock = ManualClock::at(BEGINNING);
        let (_folder, file) = sqlite(&clock).await;
        story(Ledger::with_store(file), clock).await.expect("on SQLite");
        if let Some(server) = required(Server::shared()) {
            let clock = ManualClock::at(BEGINNING);
            story(Ledger::with_store(postgres(server, &clock).await), clock).await.expect("on PostgreSQL");
        }
        let clock = ManualClock::at(BEGINNING);
        let served = Served::on(memory(&clock));
        story(Ledger::open(&served.url).await.expect("opens"), clock).await.expect("behind a server");
    });
}

fn recovery(ledger: &Ledger, handlers: Handlers) -> Recovery {
    let options = RecoveryOptions::default().with(|options| options.owner = Owner::new("rec/1").ok());
    Recovery::new(ledger.clone()).handlers(handlers).options(options)
}

fn works_on(kind: &str) -> Handlers {
    HandlerSpy::that(&[Behaviour::Works]).on(kind)
}

/// A task whose holder died.
async fn abandoned(ledger: &Ledger, id: &str, undos: &[(&str, &str)], attempts: u32) -> Result<(), Error> {
    let policy = Policy::default().with(|policy| {
        policy.max_attempts = attempts;
        policy.backoff = Backoff { base: Span::from_days(9), cap: Span::from_days(9), ..Backoff::default() };
    });
    ledger.create(id).policy(policy).await?;
    let by = ledger.acquire(id, "w1").ttl(MINUTE).await?.lease().expect("a lease").holder();
    for (kind, target) in undos {
        ledger.register(id, &by, kind, target).await?;
    }
    Ok(())
}

async fn events(ledger: &Ledger) -> Result<Vec<Recorded>, Error> {
    Ok(ledger.events(None, 1_000).await?.items)
}

/// The events of the ledger's namespace that happened to no task.
async fn swept(ledger: &Ledger) -> Result<Vec<Recorded>, Error> {
    let all = events(ledger).await?;
    Ok(all.into_iter().filter(|one| one.event.subject == Subject::Namespace).collect())
}

async fn holds(ledger: &Ledger, anchor: Option<&Anchor>) -> Result<(), Error> {
    let report = ledger.verify(anchor).await?;
    assert!(report.holds(), "{:?}", report.findings);
    Ok(())
}

// ---- what is noted -------------------------------------------------------------------------------------------

#[test]
fn each_namespace_is_told_what_a_sweep_moved_there_and_a_quiet_one_nothing() {
    on_every_store(|ledger, clock| async move {
        let [elsewhere, quiet] = [ledger.in_namespace("elsewhere")?, ledger.in_namespace("quiet")?];
        abandoned(&ledger, "undone", &[("k", "a"), ("k", "b")], 1).await?;
        abandoned(&ledger, "parked", &[("unheard-of", "x")], 1).await?;
        abandoned(&elsewhere, "again", &[], 2).await?;
        quiet.create("open").await?;
        clock.advance(2 * MINUTE);
        let report = recovery(&ledger, works_on("k")).once().await?;
        assert_eq!((report.tasks, report.undone, report.unrecorded.len()), (3, 2, 0));

        let all = events(&ledger).await?;
        let here = swept(&ledger).await?;
        assert_eq!(here.len(), 1);
        assert_eq!(all.last().map(|one| &one.cursor), Some(&here[0].cursor), "it comes behind what it did");
        let event = &here[0].event;
        assert_eq!((event.number.0, event.actor.as_str(), event.what.kind()), (1, "rec/1", "recovery_swept"));
        assert_eq!(
            here[0].data,
            r#"{"owner":"rec/1","planned":0,"compensated":1,"quarantined":1,"handed_back":0,"lost":0,"failed":0,"undone":2}"#
        );
        let there = swept(&elsewhere).await?;
        assert_eq!(there.len(), 1);
        assert!(matches!(&there[0].event.what, EventData::RecoverySwept { counts, .. } if *counts == ONE));
        assert_eq!(swept(&quiet).await?, [], "nothing was moved there");
        assert!(there[0].hash != here[0].hash && there[0].event.number.0 == 1, "each is a chain of its own");

        recovery(&ledger, works_on("k")).once().await?;
        assert_eq!(events(&ledger).await?.len(), all.len(), "a sweep that moves nothing leaves nothing");
        abandoned(&ledger, "later", &[], 1).await?;
        clock.advance(2 * MINUTE);
        recovery(&ledger, works_on("k")).once().await?;
        let numbers: Vec<u64> = swept(&ledger).await?.iter().map(|one| one.event.number.0).collect();
        assert_eq!(numbers, [1, 2]);
        holds(&ledger, None).await
    });
}

#[test]
fn a_long_run_notes_what_it_moved_while_it_still_undoes_another_task() {
    on_every_store(|ledger, clock| async move {
        abandoned(&ledger, "quick", &[("k", "a")], 1).await?;
        abandoned(&ledger, "slow", &[("slow", "b")], 1).await?;
        clock.advance(2 * MINUTE);
        let slow = HandlerSpy::that(&[Behaviour::TakesWhenTold(0)]);
        let recovery = recovery(&ledger, slow.and(works_on("k"), "slow"));
        let noted = async {
            until_asked("a note", async || !swept(&ledger).await.expect("a look").is_empty()).await;
            assert_eq!(slow.running(), 1, "the other undo still runs");
            slow.lets_go(1);
        };
        let (report, ()) = tokio::join!(recovery.once(), noted);
        assert_eq!(report?.undone, 2);
        assert_eq!(swept(&ledger).await?.len(), 2, "one while it ran, one at its end");
        holds(&ledger, None).await
    });
}

#[test]
fn who_runs_recovery_is_the_actor_and_a_sweep_that_moved_nothing_is_refused() {
    on_every_store(|ledger, _| async move {
        let alices = ledger.acting_as("alice")?;
        assert_eq!(alices.note_sweep("rec/1", ONE).await?.0, 1);
        let noted = swept(&ledger).await?;
        assert_eq!(noted[0].event.actor.as_str(), "alice");
        let only_failed = SweepCounts { failed: 3, ..SweepCounts::default() };
        for counts in [SweepCounts::default(), only_failed] {
            let refused = ledger.note_sweep("rec/1", counts).await.expect_err("refused");
            assert_eq!(refused.code(), Some(Code::Invalid));
            assert!(refused.to_string().contains("a sweep that moved nothing is not noted"), "{refused}");
        }
        let refused = ledger.note_sweep("", ONE).await.expect_err("refused");
        assert_eq!(refused.code(), Some(Code::Invalid));
        assert_eq!(swept(&ledger).await?.len(), 1);
        Ok(())
    });
}

#[test]
fn it_is_found_by_type_and_by_actor_and_in_no_history_of_a_task() {
    on_every_store(|ledger, clock| async move {
        abandoned(&ledger, "t", &[], 1).await?;
        ledger.in_namespace("elsewhere")?.note_sweep("rec/1", ONE).await?;
        clock.advance(2 * MINUTE);
        recovery(&ledger, Handlers::new()).once().await?;
        let sought = async |change: &dyn Fn(&mut EventSearch)| {
            let mut search = EventSearch::in_namespace(ledger.namespace().clone());
            change(&mut search);
            let found = ledger.store().search_events(search, None, 100.into()).await?;
            Ok::<_, Error>(found.page.items.iter().filter(|one| one.event.what.is_of_namespace()).count())
        };
        let kind = EventKind::named("recovery_swept").expect("a type");
        assert_eq!(sought(&|_| {}).await?, 1, "not that of the other namespace");
        assert_eq!(sought(&|search| search.kinds = vec![kind]).await?, 1);
        assert_eq!(sought(&|search| search.actor = Actor::new("rec/1").ok()).await?, 1);
        assert_eq!(sought(&|search| search.actor = Actor::new("w1").ok()).await?, 0);
        assert_eq!(sought(&|search| search.task = TaskId::new("t").ok()).await?, 0);
        let of_task = ledger.history("t", None, 100).await?.items;
        assert!(of_task.iter().all(|one| one.event.subject.as_str() == "t"), "{of_task:?}");
        let all = ledger.store().events(EventFilter::default(), None, 100.into()).await?;
        let namespaces: Vec<&str> = (all.items.iter())
            .filter(|one| one.event.what.is_of_namespace())
            .map(|one| one.event.namespace.as_str())
            .collect();
        assert_eq!(namespaces, ["elsewhere", "default"]);
        let only_task = EventFilter::default().with(|filter| filter.task = TaskId::new("t").ok());
        let of_tasks = ledger.store().events(only_task, None, 100.into()).await?;
        assert!(of_tasks.items.iter().all(|one| one.event.subject.task().is_some()));
        assert_eq!(ledger.store().namespaces().await?.len(), 1, "a namespace is one that has a task");
        Ok(())
    });
}

#[test]
fn a_follower_sees_it_once_and_in_order_with_all_others() {
    on_every_store(|ledger, clock| async move {
        let mut follower = ledger.follow(None);
        let mut seen: Vec<Cursor> = Vec::new();
        for round in 0..3 {
            abandoned(&ledger, &format!("t{round}"), &[("k", "x")], 1).await?;
            clock.advance(2 * MINUTE);
            recovery(&ledger, works_on("k")).once().await?;
            loop {
                let next = in_time("an event", follower.next()).await?;
                seen.push(next.cursor);
                if next.event.what.is_of_namespace() {
                    break;
                }
            }
        }
        let all: Vec<Cursor> = events(&ledger).await?.into_iter().map(|one| one.cursor).collect();
        assert_eq!(seen, all);
        Ok(())
    });
}

#[test]
fn processes_that_note_at_once_make_one_chain() {
    on_every_store(|ledger, _| async move {
        let noting: Vec<_> = (0..8)
            .map(|nth| {
                let ledger = ledger.clone();
                tokio::spawn(async move { ledger.note_sweep(&format!("rec/{nth}"), ONE).await })
            })
            .collect();
        for noted in noting {
            noted.await.expect("it did not panic")?;
        }
        let numbers: Vec<u64> = swept(&ledger).await?.iter().map(|one| one.event.number.0).collect();
        assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
        holds(&ledger, None).await
    });
}

// ---- when it can't be noted ------------------------------------------------------------------------------------

#[test]
fn a_note_that_is_refused_or_fails_fails_no_sweep_and_the_report_names_the_namespace() {
    on_stores_with_faults(|world| async move {
        for (nth, fault) in [Fault::Refuses(Code::Forbidden), Fault::Unavailable].into_iter().enumerate() {
            let id = format!("t{nth}");
            world.lapsed(&id, &[("k", "a")]).await?;
            world.store.notes_meet([fault]);
            let report = recovery(&world.ledger, works_on("k")).once().await?;
            assert_eq!((report.of(Outcome::Compensated), report.undone), (1, 1), "what it did stays done");
            let namespace = Namespace::new("default").expect("a name");
            assert!(report.unrecorded[&namespace].contains("the store is at fault"), "{report:?}");
        }
        assert_eq!(swept(&world.ledger).await?, []);
        holds(&world.ledger, None).await
    });
}

#[test]
fn a_note_whose_answer_is_lost_is_written_once_more_and_never_a_third_time() {
    on_stores_with_faults(|world| async move {
        world.lapsed("t", &[]).await?;
        world.store.notes_meet([Fault::DoesAndIsUnsure]);
        let report = recovery(&world.ledger, Handlers::new()).once().await?;
        assert_eq!(report.unrecorded.len(), 0);
        assert_eq!(swept(&world.ledger).await?.len(), 2, "one event more");
        world.lapsed("u", &[]).await?;
        world.store.notes_meet([Fault::Unsure, Fault::DoesAndIsUnsure]);
        let report = recovery(&world.ledger, Handlers::new()).once().await?;
        assert_eq!(report.unrecorded.len(), 1, "nobody knows, and the report says so");
        assert_eq!(swept(&world.ledger).await?.len(), 3);
        holds(&world.ledger, None).await
    });
}

#[test]
fn a_loop_notes_what_was_surely_not_written_with_its_next_sweep() {
    on_stores_with_faults(|world| async move {
        world.store.notes_meet([Fault::Unavailable, Fault::Unavailable]);
        world.lapsed("t", &[("k", "a")]).await?;
        let looping = Loop::of(&recovery(&world.ledger, works_on("k")));
        let sum = async |ledger: &Ledger| {
            let counts = swept(ledger).await.expect("events").into_iter().map(|one| match one.event.what {
                EventData::RecoverySwept { counts, .. } => (counts.compensated, counts.undone),
                other => panic!("{other:?}"),
            });
            counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        until_asked("the note", async || sum(&world.ledger).await == (1, 1)).await;
        // A jump of the clock by more would count as an absence of recovery.
        world.ledger.create("u").undo("k", "b").await?;
        world.ledger.acquire("u", "w1").ttl(Duration::from_secs(1)).await?;
        world.clock.advance(Duration::from_secs(2));
        until_asked("the next note", async || sum(&world.ledger).await == (2, 2)).await;
        let report = looping.stops().await;
        assert_eq!((report.tasks, report.unrecorded.len()), (2, 0), "{report:?}");
        assert_eq!(swept(&world.ledger).await?.len(), 2, "one for each sweep that moved something");
        holds(&world.ledger, None).await
    });
}

// ---- anchors, exports, retention -------------------------------------------------------------------------------

#[test]
fn anchors_from_before_and_after_a_sweep_hold_and_have_a_line_of_the_namespace() {
    on_every_store(|ledger, _| async move {
        ledger.create("t").await?;
        let before = ledger.anchor().await?;
        ledger.note_sweep("rec/1", ONE).await?;
        let between = ledger.anchor().await?;
        ledger.note_sweep("rec/1", ONE).await?;
        ledger.in_namespace("another")?.note_sweep("rec/1", ONE).await?;
        let after = ledger.anchor().await?;
        for anchor in [&before, &between, &after] {
            holds(&ledger, Some(anchor)).await?;
        }
        let head = swept(&ledger).await?[1].hash;
        let lines: Vec<String> = after.lines.iter().skip(1).map(ToString::to_string).collect();
        assert!(lines[0].starts_with("another * 1 "), "behind the tasks, by name: {lines:?}");
        assert_eq!(lines[1], format!("default * 2 {head}"));
        assert_eq!((before.lines.len(), between.lines.len()), (1, 2));
        assert_eq!(after.to_string().parse(), Ok(after.clone()), "it reads back from its file");
        assert!(TaskId::new("*").is_err(), "no task can be meant by it");

        let mut forged = after.clone();
        forged.lines[2].number.0 = 3;
        forged.root = Anchor::root_of(&forged.lines);
        let report = ledger.verify(Some(&forged)).await?;
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(findings, ["namespace default: event 3 or an event before it differs from the anchor"]);
        Ok(())
    });
}

#[test]
fn an_import_takes_it_with_its_hash_once_and_keeps_another_history_that_is_there() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (_folder, file) = sqlite(&clock).await;
        let mut stores = vec![memory(&clock), file];
        if let Some(server) = required(Server::shared()) {
            stores.push(postgres(server, &clock).await);
        }
        let old = Ledger::with_store(memory(&clock));
        old.create("t").await.expect("created");
        for _ in 0..3 {
            clock.advance(MINUTE);
            old.note_sweep("rec/1", ONE).await.expect("noted");
        }
        let export = exported(old.store().as_ref()).await;
        let noted = swept(&old).await.expect("events");
        for store in stores {
            let new = Ledger::with_store(Arc::clone(&store));
            for repeat in 0..2 {
                let (report, refused) = imported(store.as_ref(), &export).await;
                assert_eq!(refused, []);
                assert_eq!(
                    (report.written.events, report.skipped),
                    if repeat == 0 { (4, 0) } else { (0, 4) }
                );
            }
            let hashes = |all: &[Recorded]| all.iter().map(|one| one.hash).collect::<Vec<_>>();
            assert_eq!(hashes(&swept(&new).await.expect("events")), hashes(&noted));
            holds(&new, None).await.expect("verified");
            new.note_sweep("rec/2", ONE).await.expect("it goes on");

            let mixed = Ledger::with_store(memory(&clock));
            mixed.note_sweep("rec/9", ONE).await.expect("noted");
            let (report, refused) = imported(mixed.store().as_ref(), &exported(store.as_ref()).await).await;
            assert_eq!(report.written.events, 1, "the task is imported");
            let reasons: Vec<&str> = refused.iter().map(|line| line.reason.as_str()).collect();
            assert!(reasons[0].contains("has another history of its own in this store"), "{reasons:?}");
            assert!(reasons[1].contains("of its namespace, which was refused"), "{reasons:?}");
            assert_eq!(reasons.len(), 4);
            holds(&mixed, None).await.expect("verified");
        }
        let tampered = String::from_utf8(export).expect("text").replacen("\"planned\":1", "\"planned\":7", 1);
        let target = memory(&clock);
        let (_, refused) = imported(target.as_ref(), tampered.as_bytes()).await;
        assert!(refused[0].reason.contains("its hash is not that of what it says"), "{refused:?}");
    });
}

#[test]
fn pruning_goes_on_beside_it_and_never_takes_it() {
    let story = |ledger: Ledger, clock: ManualClock| async move {
        ledger.create("old").await?;
        let by = ledger.acquire("old", "w1").await?.lease().expect("a lease").holder();
        ledger.complete("old", &by).await?;
        ledger.note_sweep("rec/1", ONE).await?;
        let anchor = ledger.anchor().await?;
        clock.advance(100 * DAY);
        let mut run = PruneRun::begin(&ledger, PruneOptions::older_than(Span::from_days(90))).await?;
        while run.step(None).await.expect("a step").is_some() {}
        assert_eq!(run.report().pruned.sum(), 1);
        assert_eq!(events(&ledger).await?.len(), 1, "what happened in the namespace stays");
        holds(&ledger, Some(&anchor)).await?;
        assert_eq!(ledger.note_sweep("rec/1", ONE).await?.0, 2);
        holds(&ledger, Some(&anchor)).await?;
        holds(&ledger, Some(&ledger.anchor().await?)).await
    };
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        story(Ledger::with_store(memory(&clock)), clock).await.expect("in memory");
        let clock = ManualClock::at(BEGINNING);
        let (_folder, file) = sqlite(&clock).await;
        story(Ledger::with_store(file), clock).await.expect("on SQLite");
        let Some(server) = required(Server::shared()) else { return };
        let clock = ManualClock::at(BEGINNING);
        story(Ledger::with_store(postgres(server, &clock).await), clock).await.expect("on PostgreSQL");
    });
}

#[test]
fn a_named_cursor_counts_what_happened_in_its_namespace() {
    on_every_store(|ledger, _| async move {
        ledger.create("t").await?;
        ledger.note_sweep("rec/1", ONE).await?;
        ledger.in_namespace("elsewhere")?.note_sweep("rec/1", ONE).await?;
        assert_eq!(ledger.named_cursor("mailer").await?.behind, 2);
        Ok(())
    });
}

// ---- guards ------------------------------------------------------------------------------------------------------

#[test]
fn postgresql_lets_nobody_change_or_remove_or_add_such_an_event() {
    block_on(async {
        let Some(server) = required(Server::shared()) else { return };
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        ledger.note_sweep("rec/1", ONE).await.expect("noted");
        let rival = CompetingConnection::superuser(server, &schema).await;
        for refused in [
            "update tenure.events set actor = 'mallory' where task = ''",
            "delete from tenure.events where task = ''",
            "insert into tenure.events (namespace, task, number, feed, at, actor, type, data, hash) \
             select namespace, task, 2, feed, at, actor, type, data, hash from tenure.events where task = ''",
            "update tenure.namespace_histories set number = 1",
            "update tenure.namespace_histories set namespace = 'x', number = 2",
            "delete from tenure.namespace_histories",
            "truncate tenure.namespace_histories",
        ] {
            assert!(!rival.tries(refused).await, "{refused}");
        }
        holds(&ledger, None).await.expect("verified");
        ledger.note_sweep("rec/1", ONE).await.expect("it goes on");
    });
}

// ---- over HTTP -----------------------------------------------------------------------------------------------------

#[test]
fn over_http_an_operator_posts_it_and_readers_see_an_event_without_a_task() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let store = memory(&clock);
        let served = Served::on(Arc::clone(&store));
        let body = json!({"owner": "rec/1", "planned": 1, "undone": 2, "as": "alice"});
        let client = served.client();
        client.get("/v1/default/chain").await.is_problem(404, "not_found");
        let noted = client.post("/v1/default/sweeps", body.clone()).await.done(201);
        assert_eq!(noted, json!({"number": 1}));
        let seen = client.get("/v1/default/events").await.done(200);
        let event = &seen["events"][0];
        assert_eq!(
            (&event["task"], &event["number"], &event["type"], &event["actor"]),
            (&Value::Null, &json!(1), &json!("recovery_swept"), &json!("alice"))
        );
        assert_eq!(event["data"]["undone"], 2);
        assert_eq!(
            client.get("/v1/default/history?type=recovery_swept").await.done(200)["events"][0],
            *event
        );
        let chain = client.get("/v1/default/chain").await.done(200);
        assert_eq!((&chain["chain"]["namespace"], &chain["chain"]["id"]), (&json!("default"), &Value::Null));
        let anchor = client.get("/v1/default/anchor").await.done(200);
        assert_eq!(anchor["anchor"]["lines"][0]["id"], Value::Null);

        client.post("/v1/default/sweeps", json!({"owner": "rec/1"})).await.is_problem(422, "invalid");
        client
            .post("/v1/default/sweeps", json!({"owner": "rec/1", "moved": 1}))
            .await
            .is_problem(422, "invalid");
        client.post("/v1/default/sweeps", json!({"planned": 1})).await.is_problem(422, "invalid");

        let ledger = Ledger::with_store(store).acting_as("alice").expect("a name");
        let mut secrets = Vec::new();
        for (name, role) in [("hands", Role::Worker), ("ops", Role::Operator)] {
            let (secret, _) =
                ledger.create_token(name, role).in_namespaces(["default"]).await.expect("a token");
            secrets.push(secret.reveal().to_owned());
        }
        let [worker, operator] = [0, 1].map(|nth| client.with_token(&secrets[nth]));
        worker.post("/v1/default/sweeps", body.clone()).await.is_problem(403, "forbidden");
        operator.post("/v1/elsewhere/sweeps", body.clone()).await.is_problem(404, "not_found");
        operator.post("/v1/default/sweeps", body).await.done(201);
        let seen = operator.get("/v1/default/events").await.done(200);
        assert_eq!(seen["events"][1]["actor"], "ops", "who a token says it is");
    });
}
