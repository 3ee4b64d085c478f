//! Races that only PostgreSQL has, each played in one fixed order: a competing connection holds a lock, the store
//! waits, the connection lets go. The clock stands still where it matters.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::core::command::Command;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::refusal::Code;
use tenure::core::task::State;
use tenure::core::time::Span;
use tenure::store::Store;
use tenure::store::postgres::{PostgresOptions, PostgresStore};
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::soon;
use tenure_testkit::{BEGINNING, block_on, postgres_in};

/// Two nodes on one schema, a clock that both share, and a rival.
struct Scene {
    one: Ledger,
    other: Ledger,
    clock: ManualClock,
    rival: CompetingConnection,
    schema: String,
}

impl Scene {
    async fn on(server: &Server) -> Scene {
        let (clock, schema) = (ManualClock::at(BEGINNING), server.fresh_schema());
        let one = Ledger::with_store(postgres_in(server, &schema, &clock).await);
        let other = Ledger::with_store(postgres_in(server, &schema, &clock).await);
        let rival = CompetingConnection::superuser(server, &schema).await;
        Scene { one, other, clock, rival, schema }
    }

    /// The rival locks the rows of tasks.
    async fn hold(&self, ids: &str) {
        self.rival.does("begin").await;
        self.rival.does(&format!("select from tenure.tasks where id in ({ids}) for update")).await;
    }
}

/// One after the other: a transaction that is open delays what followers see in the whole cluster.
fn play<F: Future<Output = ()>>(scene: impl FnOnce(&'static Server) -> F) {
    static TURN: Mutex<()> = Mutex::new(());
    let Some(server) = required(Server::shared()) else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    block_on(scene(server));
}

/// How many wait for locks in a schema.
fn waiters(schema: &str) -> String {
    format!(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%\"{schema}\"%'"
    )
}

async fn waits_for(scene: &Scene, count: i64) {
    scene.rival.waits_until(&waiters(&scene.schema), count).await;
}

#[test]
fn who_waited_for_a_lock_reads_again_and_is_told_who_won() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        scene.one.create("a").await.expect("created");
        scene.hold("'a'").await;
        let (one, other) = (scene.one.clone(), scene.other.clone());
        let first = tokio::spawn(async move { one.acquire("a", "w1").await });
        waits_for(&scene, 1).await;
        let second = tokio::spawn(async move { other.acquire("a", "w2").await });
        waits_for(&scene, 2).await;
        scene.rival.does("commit").await;
        let (first, second) = (first.await.expect("it ends"), second.await.expect("it ends"));
        let winner = first.as_ref().or(second.as_ref()).expect("one of them wins").clone();
        let lease = winner.lease().expect("its lease");
        let loser = first.as_ref().err().or(second.as_ref().err()).expect("and one does not");
        let refusal = loser.refusal().expect("a refusal");
        assert_eq!(refusal.code, Code::Leased);
        let held = refusal.held_by.as_ref().expect("who holds it");
        assert_eq!((&held.owner, held.epoch), (&lease.owner, Some(lease.epoch)));
    });
}

#[test]
fn the_time_is_read_after_the_wait_and_not_before_it() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        scene.one.create("a").await.expect("created");
        let task = scene.one.acquire("a", "w1").ttl(Duration::from_secs(60)).await.expect("acquired");
        let holder = task.lease().expect("a lease").holder();
        scene.rival.does("begin; select from tenure.due where task = 'a' for update").await;
        let one = scene.one.clone();
        let beat = tokio::spawn(async move { one.heartbeat("a", &holder).await });
        waits_for(&scene, 1).await;
        scene.clock.advance(Duration::from_secs(61));
        scene.rival.does("commit").await;
        let late = beat.await.expect("it ends").expect_err("the lease lapsed while it waited");
        assert_eq!(late.code(), Some(Code::LeaseLapsed));
    });
}

#[test]
fn the_databases_own_time_is_read_after_the_wait_too() {
    play(|server| async move {
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        let rival = CompetingConnection::of(server, &schema).await;
        ledger.create("a").await.expect("created");
        let task = ledger.acquire("a", "w").await.expect("acquired");
        let holder = task.lease().expect("a lease").holder();
        for table in ["due where task = 'a'", "tasks where id = 'a'"] {
            rival.does(&format!("begin; select from tenure.{table} for update")).await;
            let (ledger, holder) = (ledger.clone(), holder.clone());
            let of_lease = table.starts_with("due");
            let waiting = tokio::spawn(async move {
                if of_lease {
                    ledger.heartbeat("a", &holder).await.expect("renewed");
                } else {
                    ledger.annotate("a", "a note").await.expect("noted");
                }
                ledger.task("a").await.expect("the task")
            });
            rival.waits_until(&waiters(&schema), 1).await;
            // A known lease waits for some milliseconds, and is then read and locked.
            rival.does("select pg_sleep(0.1)").await;
            rival.waits_until(&waiters(&schema), 1).await;
            let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
            let let_go = rival.counts(now).await;
            rival.does("commit").await;
            let task = waiting.await.expect("it ends");
            let beat = task.lease().expect("a lease").heartbeat_at;
            let at = if of_lease { beat } else { task.updated_at };
            assert!(at.as_micros() > let_go, "{table}: {at:?} is from before {let_go}");
        }
    });
}

#[test]
fn a_heartbeat_that_waited_for_a_takeover_is_fenced_off() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        scene
            .one
            .create("a")
            .policy(Policy::default().with(|policy| policy.on_lapse = OnLapse::Hold))
            .await
            .expect("created");
        let task = scene.one.acquire("a", "w1").await.expect("acquired");
        let stale = task.lease().expect("a lease").holder();
        scene.clock.advance(Duration::from_secs(61));
        // Both stand behind the rival: first the takeover, which replaces the row, then the heartbeat that wants it.
        scene.rival.does("begin; select from tenure.due where task = 'a' for update").await;
        let (one, other) = (scene.one.clone(), scene.other.clone());
        let takeover = tokio::spawn(async move { other.acquire("a", "w2").await });
        waits_for(&scene, 1).await;
        let beat = tokio::spawn(async move { one.heartbeat("a", &stale).await });
        waits_for(&scene, 2).await;
        scene.rival.does("commit").await;
        let taken = takeover.await.expect("it ends").expect("taken over");
        assert_eq!(taken.epoch.0, 2);
        let fenced = beat.await.expect("it ends").expect_err("it is no longer its lease");
        assert_eq!(fenced.code(), Some(Code::StaleEpoch));
    });
}

#[test]
fn a_name_that_is_being_taken_elsewhere_is_waited_for() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        for (end, exists) in [("rollback", false), ("commit", true)] {
            scene.rival.does("begin; insert into tenure.names values ('default', 'a', 'a')").await;
            let one = scene.one.clone();
            let creating = tokio::spawn(async move { one.create("a").await });
            waits_for(&scene, 1).await;
            scene.rival.does(end).await;
            let created = creating.await.expect("it ends");
            if exists {
                assert_eq!(created.expect_err("it exists").code(), Some(Code::Exists));
            } else {
                assert_eq!(created.expect("created").state(), State::Planned);
                // Only a rival may: the next round needs the name.
                scene.rival.does("set session_replication_role = replica; delete from tenure.names; \
                    delete from tenure.tasks; delete from tenure.events; set session_replication_role = default").await;
            }
        }
    });
}

#[test]
fn a_claim_passes_over_what_others_hold_while_there_is_enough() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        for id in ["a", "b", "c", "d", "e"] {
            scene.one.create(id).queue("q").await.expect("created");
        }
        scene.hold("'a', 'b'").await;
        let claimed = scene.one.claim("q", "w").limit(2).await.expect("claimed at once");
        assert_eq!(claimed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["c", "d"]);
        scene.rival.does("commit").await;
    });
}

#[test]
fn a_claim_that_found_too_few_waits_for_those_who_hold_the_rest() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        for id in ["a", "b", "c"] {
            scene.one.create(id).queue("q").await.expect("created");
        }
        scene.hold("'a', 'b'").await;
        let one = scene.one.clone();
        let claiming = tokio::spawn(async move { one.claim("q", "w").limit(3).await });
        waits_for(&scene, 1).await;
        scene.rival.does("rollback").await;
        let claimed = claiming.await.expect("it ends").expect("claimed");
        assert_eq!(claimed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    });
}

#[test]
fn a_claim_takes_what_is_next_after_the_wait_and_not_before_it() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        for id in ["a", "b"] {
            scene.one.create(id).queue("q").priority(1).await.expect("created");
        }
        scene.rival.does("begin; update tenure.tasks set priority = 0 where id = 'a'").await;
        let one = scene.one.clone();
        let claiming = tokio::spawn(async move { one.claim("q", "w").limit(2).await });
        waits_for(&scene, 1).await;
        scene.rival.does("commit").await;
        let claimed = claiming.await.expect("it ends").expect("claimed");
        assert_eq!(claimed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    });
}

#[test]
fn a_task_that_was_taken_while_a_claim_waited_for_it_is_not_handed_out_again() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        scene.one.create("a").queue("q").await.expect("created");
        scene.hold("'a'").await;
        let (one, other) = (scene.one.clone(), scene.other.clone());
        let acquiring = tokio::spawn(async move { other.acquire("a", "w2").await });
        waits_for(&scene, 1).await;
        let claiming = tokio::spawn(async move { one.claim("q", "w1").limit(1).await });
        waits_for(&scene, 2).await;
        scene.rival.does("commit").await;
        acquiring.await.expect("it ends").expect("acquired");
        assert_eq!(claiming.await.expect("it ends").expect("claimed"), []);
    });
}

fn acquire_all(ledger: &Ledger, ids: &[&str], owner: &str) -> Vec<Command> {
    ids.iter().map(|id| ledger.acquire(id, owner).command().expect("a command")).collect()
}

#[test]
fn batches_over_the_same_tasks_in_opposite_orders_never_wait_for_one_another() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
        let before = scene.rival.counts(deadlocks).await;
        for round in 0..60 {
            let ids: Vec<String> = (0..8).map(|at| format!("{round}-{at}")).collect();
            let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            for id in &ids {
                scene.one.create(id).await.expect("created");
            }
            let forth = acquire_all(&scene.one, &ids, "w1");
            ids.reverse();
            let back = acquire_all(&scene.other, &ids, "w2");
            let (forth, back) = tokio::join!(scene.one.transact(forth), scene.other.transact(back));
            let won = forth.iter().chain(&back).filter(|answer| answer.is_ok()).count();
            assert_eq!(won, ids.len(), "each is handed out once: {forth:?} {back:?}");
        }
        assert_eq!(scene.rival.counts(deadlocks).await, before);
    });
}

#[test]
fn one_request_to_two_nodes_at_once_is_done_once_and_answered_twice() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        for round in 0..40 {
            let (id, request) = (format!("t{round}"), format!("r{round}"));
            let one = async { scene.one.create(&id).request_id(&request).acting_as("x").await };
            let other = async { scene.other.create(&id).request_id(&request).acting_as("x").await };
            let (one, other) = tokio::join!(one, other);
            assert_eq!(one.expect("answered"), other.expect("answered, too"), "round {round}");
            assert_eq!(scene.one.history(&id, None, 10).await.expect("its history").items.len(), 1);
        }
    });
}

#[test]
fn a_request_id_that_another_node_is_using_is_waited_for() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        scene.one.create("a").await.expect("created");
        // Another node's command, as far as its commit.
        scene
            .rival
            .does(
                "begin; insert into tenure.requests (namespace, id, digest, actor, at, answered) \
                 values ('default', 'r', decode(repeat('00', 32), 'hex'), 'x', 1767225600000000, '[]')",
            )
            .await;
        let one = scene.one.clone();
        let noting =
            tokio::spawn(async move { one.annotate("a", "a note").request_id("r").acting_as("x").await });
        waits_for(&scene, 1).await;
        scene.rival.does("commit").await;
        let refused = noting.await.expect("it ends").expect_err("the id is another command's");
        assert_eq!(refused.code(), Some(Code::RequestReused));
        assert_eq!(
            scene.one.history("a", None, 10).await.expect("its history").items.len(),
            1,
            "and nothing was done"
        );
    });
}

#[test]
fn a_request_that_stands_twice_in_one_batch_is_done_once_and_answered_twice() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        for id in ["a", "b"] {
            scene.one.create(id).queue("q").await.expect("created");
        }
        scene.one.annotate("a", "before").request_id("r0").await.expect("noted");
        let note = |id| scene.one.annotate("a", "a note").request_id(id).command().expect("a command");
        let claim = || scene.one.claim("q", "w").request_id("c").command().expect("a command");
        let again = scene.one.annotate("a", "before").request_id("r0").command().expect("a command");
        let commands = vec![note("r1"), note("r1"), claim(), claim()];
        let answers = scene.one.transact(commands.clone()).await;
        assert_eq!((&answers[0], &answers[2]), (&answers[1], &answers[3]));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let commands = vec![again, note("r2"), note("r2"), note("r1")];
        let answers = scene.one.transact(commands.clone()).await;
        assert_eq!(answers[1], answers[2]);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(scene.other.transact(commands).await, answers, "and to another node");
    });
}

#[test]
fn a_clock_that_was_set_back_costs_nobody_a_lease() {
    play(|server| async move {
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        ledger.create("a").await.expect("created");
        let task = ledger.acquire("a", "w").ttl(Duration::from_secs(60)).await.expect("acquired");
        let holder = task.lease().expect("a lease").holder();
        let rival = CompetingConnection::of(server, &schema).await;
        // As if the clock had been 40 s ahead until now.
        rival
            .does(
                "update tenure.due set heartbeat_at = heartbeat_at + 40000000, \
                 progressed_at = progressed_at + 40000000, expires_at = expires_at + 40000000",
            )
            .await;
        let before = ledger.task("a").await.expect("the task").lease().expect("a lease").expires_at;
        let mut expires_at = before;
        for _ in 0..3 {
            let renewed =
                ledger.heartbeat("a", &holder).ttl(Duration::from_secs(60)).await.expect("it holds it");
            assert!(renewed.expires_at > expires_at, "never back, and never nowhere");
            expires_at = renewed.expires_at;
        }
        assert!(expires_at.as_micros() - before.as_micros() < 1_000, "and nothing is gained by it");
    });
}

#[test]
fn a_lock_that_somebody_keeps_stops_its_own_task_and_no_other() {
    play(|server| async move {
        // All of them go to one committer, so that most wait behind the one that is blocked.
        let schema = server.fresh_schema();
        let options = PostgresOptions::new(server.url(&schema)).with(|options| options.committers = 1);
        let ledger = Ledger::with_store(PostgresStore::open(options).await.expect("opens"));
        let ids: Vec<String> = (0..20).map(|at| format!("t{at:02}")).collect();
        for id in &ids {
            ledger.create(id).await.expect("created");
        }
        let rival = CompetingConnection::of(server, &schema).await;
        rival.does("begin; select from tenure.tasks where id = 't10' for update").await;
        let acquiring = ids.iter().map(|id| {
            let (ledger, id) = (ledger.clone(), id.clone());
            tokio::spawn(async move { ledger.acquire(&id, "w").await })
        });
        let acquiring: Vec<_> = acquiring.collect();
        // All together in the time of one: those behind the one that is blocked don't each wait for it.
        let answers = soon("all answers", async {
            let mut answers = Vec::new();
            for one in acquiring {
                answers.push(one.await.expect("it ends"));
            }
            answers
        })
        .await;
        for (id, answer) in ids.iter().zip(&answers) {
            if id == "t10" {
                let blocked = answer.as_ref().expect_err("somebody keeps it").to_string();
                assert!(
                    blocked.contains("unavailable") && blocked.contains("another transaction holds"),
                    "{blocked}"
                );
            } else {
                assert!(answer.is_ok(), "{id}: {answer:?}");
            }
        }
        rival.does("rollback").await;
        ledger.acquire("t10", "w").await.expect("and then it goes on");
    });
}

#[test]
fn events_behind_a_transaction_that_is_open_are_not_shown_before_it_ends() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        let names = |page: tenure::store::Page<tenure::store::Recorded>| {
            page.items.iter().map(|one| one.event.subject.to_string()).collect::<Vec<_>>()
        };
        scene.one.create("before").await.expect("created");
        scene.rival.does("begin; select pg_current_xact_id()").await;
        scene.one.create("after").await.expect("created");
        let page = scene.other.events(None, 10).await.expect("the history");
        let place = page.next.clone();
        assert_eq!(names(page), ["before"], "an event of the open transaction could still come in front");
        let own = scene.other.history("after", None, 10).await.expect("its own history");
        assert_eq!(own.items.len(), 1, "nothing can come in front of what one task did");
        scene.rival.does("commit").await;
        assert_eq!(names(scene.other.events(place, 10).await.expect("the rest")), ["after"]);
    });
}

#[test]
fn how_far_followers_are_held_back_is_told_by_what_they_can_not_be_shown_yet() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        let told = async || scene.other.store().metrics().await.expect("it is there").feed_lag;
        assert_eq!(told().await, Some(Span::ZERO));
        scene.rival.does("begin; select pg_current_xact_id()").await;
        scene.clock.advance(Duration::from_secs(60));
        assert_eq!(told().await, Some(Span::ZERO), "nothing has happened that they could miss");
        scene.one.create("after").await.expect("created");
        scene.clock.advance(Duration::from_secs(90));
        assert_eq!(told().await, Some(Span::from_secs(90)));
        scene.rival.does("commit").await;
        assert_eq!(told().await, Some(Span::ZERO));
    });
}

#[test]
fn the_events_of_a_task_stay_in_order_although_their_transactions_overtook_one_another() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        let ids = ["a", "b", "c"];
        for id in ids {
            scene.one.create(id).await.expect("created");
        }
        // The first transaction has its number from the lock on `a`, and waits for `b`; the second one gets a later number
        // and is done with `c` before the first one comes to it.
        scene.hold("'b'").await;
        let first = acquire_all(&scene.one, &ids, "w1");
        let one = scene.one.clone();
        let overtaken = tokio::spawn(async move { one.transact(first).await });
        waits_for(&scene, 1).await;
        scene.other.register_standing("c", "k", "x").await.expect("registered");
        scene.rival.does("commit").await;
        overtaken.await.expect("it ends").into_iter().for_each(|answer| drop(answer.expect("acquired")));
        let own =
            scene.rival.sees("select number, feed from tenure.events where task = 'c' order by number").await;
        let feeds: Vec<i64> = own.iter().map(|row| row.get(1)).collect();
        assert_eq!(own.len(), 3);
        assert!(feeds.is_sorted(), "{feeds:?}");
        let of_a = scene.rival.counts("select feed from tenure.events where task = 'a' and number = 2").await;
        assert!(of_a < feeds[2], "the overtaken transaction's own number is lower: {of_a}, {feeds:?}");
        let told = scene.one.events(None, 100).await.expect("the history").items;
        let of_c: Vec<u64> = told
            .iter()
            .filter(|one| one.event.subject.as_str() == "c")
            .map(|one| one.event.number.0)
            .collect();
        assert_eq!(of_c, [1, 2, 3]);
    });
}

#[test]
fn a_store_that_was_restored_into_a_new_cluster_goes_on_behind_its_history() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        scene.one.create("a").await.expect("created");
        // As if the old cluster had been at a much later transaction.
        scene.rival.does("set session_replication_role = replica; \
            update tenure.events set feed = feed + 1000000000; update tenure.tasks set feed = feed + 1000000000; \
            set session_replication_role = default").await;
        let reopened = Ledger::with_store(postgres_in(server, &scene.schema, &scene.clock).await);
        reopened.create("b").await.expect("created");
        reopened.acquire("a", "w").await.expect("acquired");
        let told = reopened.events(None, 10).await.expect("the history").items;
        let told: Vec<String> =
            told.iter().map(|one| format!("{}{}", one.event.subject, one.event.number)).collect();
        assert_eq!(told, ["a1", "b1", "a2"]);
    });
}

#[test]
fn a_follower_is_woken_by_another_node_and_also_where_no_sign_comes() {
    play(|server| async move {
        let scene = Scene::on(server).await;
        let store: Arc<dyn Store> = Arc::clone(scene.other.store());
        let place = scene.other.newest().await.expect("a place");
        let waiting = tokio::spawn(async move { store.more_events(Some(place)).await });
        scene.one.create("a").await.expect("created");
        soon("that it is woken", waiting).await.expect("it ends").expect("woken");
        // Now whatever listens is cut off, and what comes is found by looking.
        let place = scene.other.newest().await.expect("a place");
        let store: Arc<dyn Store> = Arc::clone(scene.other.store());
        let waiting = tokio::spawn(async move { store.more_events(Some(place)).await });
        let listening = format!(
            "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity \
             where query = 'listen \"{}\"') as gone",
            scene.schema
        );
        scene
            .rival
            .waits_until(&listening.replace("select pg_terminate_backend(pid)", "select pid"), 1)
            .await;
        assert_eq!(scene.rival.counts(&listening).await, 1);
        scene.one.create("b").await.expect("created");
        soon("that it is found", waiting).await.expect("it ends").expect("found");
    });
}
