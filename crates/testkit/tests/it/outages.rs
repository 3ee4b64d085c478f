//! Outages of the database and of the network: nothing that was answered is lost, callers get an answer or *unknown*,
//! and service resumes by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tenure::access::Role;
use tenure::clock::Moment;
use tenure::core::refusal::Code;
use tenure::core::task::Task;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::proxy::{NetworkFault, Proxy};
use tenure_testkit::server::{Server, Shutdown, required};
use tenure_testkit::waiting::{until, until_asked};

const CALLERS: usize = 16;

/// What callers met.
#[derive(Default)]
struct Met {
    lives: AtomicU64,
    unavailable: AtomicU64,
    unknown: AtomicU64,
}

/// Repeats a command under its request id until it is answered.
async fn insist<F: Future<Output = Result<Task, Error>>>(met: &Met, command: impl Fn() -> F) -> Task {
    loop {
        match command().await {
            Ok(task) => return task,
            Err(Error::Unavailable(_)) => met.unavailable.fetch_add(1, Ordering::Relaxed),
            Err(Error::Unknown(_)) => met.unknown.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("a repeated request: {error}"),
        };
        // played: a caller rests before it tries again.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One life after the other; gives the revision of the last answer for each task.
async fn live(ledger: Ledger, caller: usize, over: Arc<AtomicBool>, met: Arc<Met>) -> BTreeMap<String, u64> {
    let mut answered = BTreeMap::new();
    for life in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (id, owner) = (format!("t{caller}-{life}"), format!("w{caller}"));
        let request = |step| format!("{id}-{step}");
        let (ledger, id) = (&ledger, &id);
        insist(&met, || async { ledger.create(id).request_id(&request(1)).acting_as("x").await }).await;
        let task = insist(&met, || async {
            ledger.acquire(id, &owner).ttl(Duration::from_secs(600)).request_id(&request(2)).await
        });
        let by = task.await.lease().expect("a lease").holder();
        let task = insist(&met, || async { ledger.complete(id, &by).request_id(&request(3)).await }).await;
        answered.insert(id.clone(), task.revision.0);
        met.lives.fetch_add(1, Ordering::Relaxed);
    }
    answered
}

#[test]
fn a_database_that_restarts_and_connections_that_are_cut_lose_nothing_that_was_answered() {
    let Some(mut server) = required(Server::start(&[])) else { return };
    let schema = server.fresh_schema();
    let url = server.url(&schema);
    let (over, met) = (Arc::new(AtomicBool::new(false)), Arc::new(Met::default()));
    let answered = block_on(async {
        let ledger = Ledger::open(&url).await.expect("opens");
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| tokio::spawn(live(ledger.clone(), caller, Arc::clone(&over), Arc::clone(&met))))
            .collect();
        let lives = || met.lives.load(Ordering::Relaxed);
        for round in 0..8 {
            let before = lives();
            until("that service resumes by itself", || lives() >= before + 2 * CALLERS as u64).await;
            match round % 4 {
                0 => tokio::task::block_in_place(|| server.restart(Shutdown::Fast)),
                1 => tokio::task::block_in_place(|| server.restart(Shutdown::Immediate)),
                2 => {
                    tokio::task::block_in_place(|| server.kill());
                    let is_missed = async || matches!(ledger.task("any").await, Err(Error::Unavailable(_)));
                    until_asked("that it is missed", is_missed).await;
                    tokio::task::block_in_place(|| server.start_again());
                }
                _ => {}
            }
            cut_five_times(&CompetingConnection::superuser(&server, &schema).await).await;
        }
        over.store(true, Ordering::Relaxed);
        let mut answered = BTreeMap::new();
        for caller in callers {
            answered.extend(caller.await.expect("a caller"));
        }
        answered
    });
    let ledger = block_on(Ledger::open(&url)).expect("opens");
    for (id, revision) in &answered {
        let task = block_on(ledger.task(id)).expect("an answered task is there");
        assert_eq!(task.revision.0, *revision, "{id}: each step was done once");
    }
    let report = block_on(ledger.verify(None)).expect("verified");
    assert!(report.holds(), "{:?}", report.findings);
    let Met { lives, unavailable, unknown } = &*met;
    println!("{lives:?} lives, {unavailable:?} times unavailable, {unknown:?} times unknown");
}

/// Cuts all connections of the store, as soon as there are some that were made since the last time.
async fn cut_five_times(rival: &CompetingConnection) {
    let mut since = 0;
    for _ in 0..5 {
        let cut = format!(
            "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity \
             where usename = 'tester' and extract(epoch from backend_start) * 1000000 > {since}) as gone"
        );
        until_asked("that there is a connection to cut", async || {
            since = rival.counts("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").await;
            rival.counts(&cut).await > 0
        })
        .await;
    }
}

/// A ledger behind a network that fails when it is told to.
async fn behind_proxy(server: &Server, schema: &str) -> (Proxy, Ledger) {
    let url = server.url(schema);
    let port = url.rsplit_once("/tests").and_then(|(front, _)| front.rsplit_once(':'));
    let port: u16 = port.and_then(|(_, port)| port.parse().ok()).expect("a port");
    let proxy = Proxy::to(port).await;
    let ledger =
        Ledger::open(&url.replace(&port.to_string(), &proxy.port().to_string())).await.expect("opens");
    (proxy, ledger)
}

#[test]
fn an_answer_that_is_lost_is_unknown_and_the_request_id_tells_it() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (proxy, ledger) = behind_proxy(server, &server.fresh_schema()).await;
        ledger.create("warm").await.expect("created");
        for round in 0..5 {
            let id = format!("t{round}");
            let create = || async { ledger.create(&id).request_id(&id).acting_as("x").await };
            proxy.next(NetworkFault::LoseAnswerToCommit);
            let unknown = create().await.expect_err("nobody heard the answer");
            assert!(
                matches!(&unknown, Error::Unknown(why) if why.message().contains("request id")),
                "{unknown}"
            );
            let repeated = create().await.expect("answered as the first was");
            assert_eq!(repeated.revision.0, 1);
            assert_eq!(ledger.history(&id, None, 10).await.expect("its history").items.len(), 1);
        }
        assert_eq!(proxy.faults(), 5);
    });
}

#[test]
fn what_surely_was_not_committed_is_tried_again_and_nobody_notices() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (proxy, ledger) = behind_proxy(server, &server.fresh_schema()).await;
        ledger.create("warm").await.expect("created");
        for round in 0..5 {
            proxy.next(NetworkFault::CutAtBegin);
            ledger.create(&format!("t{round}")).await.expect("created on another connection");
        }
        assert_eq!(proxy.faults(), 5);
    });
}

#[test]
fn a_commit_that_may_have_been_sent_is_never_repeated_by_itself() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let (proxy, ledger) = behind_proxy(server, &server.fresh_schema()).await;
        ledger.create("warm").await.expect("created");
        proxy.next(NetworkFault::CutAtCommit);
        let cut = ledger.create("a").await.expect_err("the connection is gone");
        assert!(matches!(cut, Error::Unknown(_)), "{cut}");
        let absent = ledger.task("a").await.expect_err("this time it was not done");
        assert_eq!(absent.code(), Some(Code::NotFound));
        ledger.create("a").await.expect("and the next one finds everything in order");
    });
}

const RELOAD: &str = "select count(*) from (select pg_reload_conf()) as reloaded";
/// Commits that wait for a standby.
const WAITS: &str = "from pg_stat_activity where wait_event = 'SyncRep'";

/// From now on commits wait for a standby, and none ever comes. The server's processes hear of a setting one after the other: so
/// somebody commits until a commit waits.
async fn commits_wait_for_a_standby(server: &Server, rival: &CompetingConnection) {
    rival.does("alter system set synchronous_standby_names = 'nobody'").await;
    rival.counts(RELOAD).await;
    let probe = CompetingConnection::superuser(server, "public").await;
    let committing = tokio::spawn(async move {
        for number in 0_u64.. {
            probe.does(&format!("create table probe_{number} ()")).await;
        }
    });
    rival.waits_until(&format!("select count(*) {WAITS}"), 1).await;
    committing.abort();
    rival.counts(&format!("select count(*) from (select pg_terminate_backend(pid) {WAITS}) as ended")).await;
    rival.waits_until(&format!("select count(*) {WAITS}"), 0).await;
}

#[test]
fn a_revoke_is_not_answered_before_the_standby_has_it_and_neither_is_its_repeat() {
    let Some(server) = required(Server::start(&[])) else { return };
    let schema = server.fresh_schema();
    block_on(async {
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        ledger.create_token("ci", Role::Worker).await.expect("created");
        let rival = CompetingConnection::superuser(&server, &schema).await;
        commits_wait_for_a_standby(&server, &rival).await;
        let revoke = || {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.revoke_token("ci").await })
        };
        let revoking = revoke();
        rival.waits_until(&format!("select count(*) {WAITS}"), 1).await;
        rival.counts(&format!("select count(*) from (select pg_cancel_backend(pid) {WAITS}) as ended")).await;
        let ended = revoking.await.expect("it ends").expect_err("nobody knows whether a standby has it");
        assert!(matches!(&ended, Error::Unknown(_)), "{ended}");
        let repeating = revoke();
        rival.waits_until(&format!("select count(*) {WAITS}"), 1).await;
        assert!(!repeating.is_finished(), "the token is revoked here, and maybe nowhere else");
        rival.does("alter system reset synchronous_standby_names").await;
        rival.counts(RELOAD).await;
        assert!(repeating.await.expect("it ends").expect("answered").revoked_at.is_some());
    });
}

#[test]
fn a_commit_whose_wait_for_a_standby_was_ended_is_unknown() {
    let Some(server) = required(Server::start(&[])) else { return };
    let schema = server.fresh_schema();
    block_on(async {
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        ledger.create("warm").await.expect("created");
        let rival = CompetingConnection::superuser(&server, &schema).await;
        commits_wait_for_a_standby(&server, &rival).await;
        let create = |ledger: Ledger, id: &'static str| async move {
            ledger.create(id).request_id(id).acting_as("x").await
        };
        // Either timeout may end the wait: that of the statement, or that of the whole connection.
        for (id, end) in [("a", "pg_cancel_backend"), ("b", "pg_terminate_backend")] {
            let waiting = tokio::spawn(create(ledger.clone(), id));
            rival.waits_until(&format!("select count(*) {WAITS}"), 1).await;
            assert!(!waiting.is_finished(), "it is not answered before the standby has it");
            rival.counts(&format!("select count(*) from (select {end}(pid) {WAITS}) as ended")).await;
            let ended = waiting.await.expect("it ends").expect_err("nobody knows whether a standby has it");
            assert!(matches!(&ended, Error::Unknown(_)), "{end}: {ended}");
        }
        // What it did is there, and no standby has it: the repeat is not answered either.
        let repeating = tokio::spawn(create(ledger.clone(), "a"));
        rival.waits_until(&format!("select count(*) {WAITS}"), 1).await;
        assert!(!repeating.is_finished());
        rival.does("alter system reset synchronous_standby_names").await;
        rival.counts(RELOAD).await;
        assert_eq!(repeating.await.expect("it ends").expect("answered from memory").revision.0, 1);
        for id in ["a", "b"] {
            assert_eq!(create(ledger.clone(), id).await.expect("answered from memory").revision.0, 1);
        }
    });
}

#[test]
fn answered_means_durable_also_for_a_role_that_does_not_ask_for_it() {
    let Some(server) = required(Server::start(&[])) else { return };
    let schema = server.fresh_schema();
    block_on(async {
        let rival = CompetingConnection::superuser(&server, &schema).await;
        rival.does("alter role tester set synchronous_commit = off").await;
        rival.does("alter role tester set default_transaction_isolation = 'serializable'").await;
        rival.does("alter role tester set statement_timeout = '1ms'").await;
        // Reading and migrating uses the role's own settings but for these.
        let url = format!("{}&options=-c%20statement_timeout%3D0", server.url(&schema));
        let ledger = Ledger::open(&url).await.expect("opens");
        commits_wait_for_a_standby(&server, &rival).await;
        let waiting = tokio::spawn(async move { ledger.create("a").await });
        // Where a commit waits for nobody, it would not wait for this one.
        rival.waits_until(&format!("select count(*) {WAITS}"), 1).await;
        rival.does("alter system reset synchronous_standby_names").await;
        rival.counts(RELOAD).await;
        waiting.await.expect("it ends").expect("created");
    });
}

#[test]
fn explicit_patience_also_applies_to_opening_the_store() {
    let Some(mut server) = required(Server::start(&[])) else { return };
    let url = server.url("s");
    drop(block_on(Ledger::open(&url)).expect("it is made"));
    server.stop(Shutdown::Fast);
    let Err(error) = block_on(Ledger::open(&url)) else { panic!("it opened") };
    assert!(matches!(error, Error::Unavailable(_)), "a wrong host is told at once: {error}");
    let began = Moment::now();
    assert!(block_on(Ledger::open(&format!("{url}&patience=500ms"))).is_err());
    let waited = Duration::from(Moment::now().since(began));
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
    let patient = format!("{url}&patience=120s");
    let opening = std::thread::spawn(move || block_on(Ledger::open(&patient)).map(drop));
    server.start_again();
    assert_eq!(opening.join().expect("no panic"), Ok(()));
}

#[test]
fn without_patience_a_server_that_cuts_connections_is_asked_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        // Each connection is closed once it is counted.
        while let Ok((connection, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(connection);
        }
    });
    let url = format!("postgres://somebody@127.0.0.1:{port}/nothing?sslmode=disable");
    assert!(block_on(Ledger::open(&url)).is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(block_on(Ledger::open(&format!("{url}&patience=1s"))).is_err());
    assert!(asked.load(Ordering::SeqCst) > 2, "{asked:?}");
}

#[test]
fn a_database_that_is_not_there_is_unavailable_and_says_where_it_was_looked_for() {
    block_on(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = nobody.local_addr().expect("an address").port();
        drop(nobody);
        let url = format!("postgres://somebody:a-secret@127.0.0.1:{port}/nothing");
        let Err(error) = Ledger::open(&url).await else { panic!("it opened") };
        let told = error.to_string();
        assert!(matches!(error, Error::Unavailable(_)), "{told}");
        assert!(told.contains(&port.to_string()) && !told.contains("a-secret"), "{told}");
    });
}
