//! Examinations of stores in PostgreSQL: its settings, and that an examination creates and takes in nothing. And what a store
//! that was opened to read only refuses, in a file, too.

use std::path::Path;
use std::process::Command;

use tenure::clock::SystemClock;
use tenure::core::chain::Hash;
use tenure::core::event::SweepCounts;
use tenure::core::id::{Actor, CursorName, Epoch};
use tenure::doctor::{CheckName, CheckResult, Diagnosis, DoctorOptions, Verdict, examine};
use tenure::store::StoreAccess;
use tenure::store::retention::{CursorRow, NewAnchor};
use tenure::store::watch::Presence;
use tenure::transfer::ReplayBatch;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::moving::{content, exported};
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::until_asked;

async fn examined(url: &str) -> Diagnosis {
    examine(Ledger::builder(), url, &SystemClock::default(), &DoctorOptions::default()).await
}

async fn check(url: &str, name: CheckName) -> CheckResult {
    let diagnosis = examined(url).await;
    let found = diagnosis.checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("{name:?}: {diagnosis:?}")).clone()
}

/// The statements of a command for `psql`, which names the server.
fn statements(command: &str) -> Vec<String> {
    let mut parts = command.strip_prefix("psql -d ").expect("for psql").split(" -c ");
    let url = parts.next().expect("a URL");
    assert!(url.starts_with("postgres://") && !url.contains("schema="), "{command}");
    parts.map(|part| part.trim_matches('\'').replace("'\\''", "'")).collect()
}

#[test]
fn each_setting_that_breaks_a_promise_fails_until_its_command_ran() {
    let Some(server) = required(Server::start(&[("fsync", "on")])) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let url = server.url(&schema);
        Ledger::open(&url).await.expect("opens").create("t").await.expect("created");
        let superuser = CompetingConnection::superuser(&server, &schema).await;
        assert_eq!(check(&url, CheckName::Fsync).await.verdict, Verdict::Pass);
        let fails_until_mended = async |name: CheckName| {
            until_asked("that it fails", async || check(&url, name).await.verdict == Verdict::Fail).await;
            let failed = check(&url, name).await;
            for statement in statements(&failed.mend.expect("a command")) {
                superuser.does(&statement.replace("current_user", "tester")).await;
            }
            until_asked("that it passes", async || check(&url, name).await.verdict == Verdict::Pass).await;
        };
        let reload = async || superuser.does("select pg_reload_conf()").await;
        assert_eq!(check(&url, CheckName::FullPageWrites).await.verdict, Verdict::Pass);
        superuser.does("alter system set full_page_writes = off").await;
        reload().await;
        fails_until_mended(CheckName::FullPageWrites).await;

        // What is set for the role is reset there. This connection itself waits for no standby.
        superuser.does("set synchronous_commit = local").await;
        superuser.does("alter role tester set synchronous_commit = local").await;
        let found = check(&url, CheckName::SynchronousCommit).await;
        assert_eq!(
            (found.verdict, found.facts["source"].as_str()),
            (Verdict::Pass, Some("user")),
            "{}",
            found.says
        );
        superuser.does("alter system set synchronous_standby_names = 'nobody'").await;
        reload().await;
        fails_until_mended(CheckName::SynchronousCommit).await;
    });
}

#[test]
fn a_program_that_only_copies_the_log_is_no_standby() {
    let Some(server) = required(Server::start(&[])) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        Ledger::open(&server.url(&schema)).await.expect("opens");
        let mut superuser = CompetingConnection::superuser(&server, &schema).await;
        let programs = "select setting from pg_config() where name = 'BINDIR'";
        let programs: String = superuser.client().query_one(programs, &[]).await.expect("a row").get(0);
        let folder = tempfile::tempdir().expect("a folder");
        let mut receiving = Command::new(Path::new(&programs).join("pg_receivewal"));
        receiving.args(["-d", &server.superuser_url(), "-D"]).arg(folder.path());
        let mut receiving = receiving.spawn().expect("it starts");
        superuser.waits_until("select count(*) from pg_stat_replication where state = 'streaming'", 1).await;
        // Only a superuser sees what it is.
        let seen = check(&format!("{}?schema={schema}", server.superuser_url()), CheckName::Standbys).await;
        let hidden = check(&server.url(&schema), CheckName::Standbys).await;
        receiving.kill().and_then(|()| receiving.wait()).expect("ended");
        assert_eq!((seen.verdict, &seen.facts["standbys"]), (Verdict::Pass, &0.into()), "{}", seen.says);
        assert_eq!(hidden.verdict, Verdict::Warn, "{}", hidden.says);
        let command = hidden.mend.expect("a command");
        assert!(command.contains("select application_name"), "nobody is to wait for it: {command}");
    });
}

#[test]
fn an_fsync_that_is_off_fails_and_names_the_statements_that_turn_it_on() {
    // The tests' own server is as fast as it can be; what its command line says no statement can change.
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let url = server.url(&server.fresh_schema());
        Ledger::open(&url).await.expect("opens");
        let found = check(&url, CheckName::Fsync).await;
        assert_eq!(found.verdict, Verdict::Fail);
        let statements = statements(&found.mend.expect("a command"));
        assert_eq!(statements, ["alter system set fsync = on", "select pg_reload_conf()"]);
    });
}

#[test]
fn a_schema_that_is_absent_foreign_or_newer_is_named_and_stays_as_it_is() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let url = server.url(&schema);
        let rival = CompetingConnection::of(server, &schema).await;
        let absent = check(&url, CheckName::Store).await;
        assert_eq!(absent.verdict, Verdict::Fail);
        assert!(absent.says.contains("there is no store at"), "{}", absent.says);
        assert!(rival.tries(&format!("create schema {schema}")).await, "nothing had created it");
        rival.does("create table tenure.meta (other text)").await;
        assert!(examined(&url).await.checks.iter().any(|check| check.verdict == Verdict::Fail));
        rival.does(&format!("drop schema {schema} cascade")).await;
        Ledger::open(&url).await.expect("opens");
        assert_eq!(check(&url, CheckName::Schema).await.verdict, Verdict::Pass);
        rival.does("update tenure.meta set value = '99' where key = 'schema_version'").await;
        assert_eq!(check(&url, CheckName::Schema).await.verdict, Verdict::Fail);
        rival.does("update tenure.meta set value = '1' where key = 'schema_version'").await;
        assert_eq!(check(&url, CheckName::Schema).await.verdict, Verdict::Warn);
    });
}

#[test]
fn a_store_that_was_opened_to_read_only_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tenure.db");
    block_on(writes_nothing_when_opened_to_read_only(&format!("sqlite:{}", file.display())));
    let Some(server) = required(Server::shared()) else { return };
    block_on(writes_nothing_when_opened_to_read_only(&server.url(&server.fresh_schema())));
}

async fn writes_nothing_when_opened_to_read_only(url: &str) {
    let writer = Ledger::open(url).await.expect("opens");
    writer.create("t").await.expect("created");
    let before = exported(writer.store().as_ref()).await;
    let reader = Ledger::builder().access(StoreAccess::ReadOnly).open(url).await.expect("opens");
    assert_eq!(reader.task("t").await.expect("read").id.as_str(), "t");

    let store = reader.store();
    let anchor = NewAnchor {
        cursor: reader.newest().await.expect("a cursor").as_str().to_owned(),
        root: Hash([0; 32]),
        lines: 0,
        by: Actor::new("ann").expect("a name"),
    };
    let row = CursorRow {
        namespace: reader.namespace().clone(),
        name: CursorName::new("mirror").expect("a name"),
        cursor: reader.newest().await.expect("a cursor"),
        moved_at: reader.now().await.expect("a time"),
        moved_by: Actor::new("ann").expect("a name"),
    };
    let batch = ReplayBatch { epoch_floor: Epoch(9), items: [].into() };
    let moved = store.transfer().expect("it can be moved");
    for (what, refused) in [
        ("create", reader.create("u").await.map(drop)),
        ("watch", store.watch(Presence::default()).await.map(drop)),
        ("revoke a token", reader.revoke_token("x").await.map(drop)),
        ("begin a cursor", reader.named_cursor("mirror").await.map(drop)),
        ("record an anchor", store.retention().record_anchor(anchor).await.map(drop)),
        ("import", moved.replay(batch).await.map(drop)),
        ("import a cursor", moved.carry_follower(row).await),
    ] {
        let refused = refused.expect_err(what);
        assert!(
            matches!(&refused, Error::Unavailable(_)) && refused.to_string().contains("read only"),
            "{what}: {refused}"
        );
    }
    // The first lines differ in their times.
    let after = exported(writer.store().as_ref()).await;
    assert_eq!(content(&after), content(&before));
    assert!(writer.named_cursors().await.expect("read").is_empty());
    assert_eq!(store.retention().anchors(0, 10).await.expect("read"), []);
}

#[test]
fn an_anchor_that_was_made_while_tasks_changed_still_has_its_root() {
    let folder = tempfile::tempdir().expect("a folder");
    block_on(compares_what_happened_meanwhile(&format!(
        "sqlite:{}",
        folder.path().join("tenure.db").display()
    )));
    let Some(server) = required(Server::shared()) else { return };
    block_on(compares_what_happened_meanwhile(&server.url(&server.fresh_schema())));
}

async fn compares_what_happened_meanwhile(url: &str) {
    let ledger = Ledger::open(url).await.expect("opens");
    for id in ["a", "b"] {
        ledger.create(id).await.expect("created");
    }
    let moved = SweepCounts { planned: 1, ..SweepCounts::default() };
    ledger.note_sweep("rec/1", moved).await.expect("noted");
    let says = async || check(url, CheckName::Anchor).await.says;
    let record = async |anchor| {
        ledger.record_anchor(&anchor).await.expect("recorded");
        // On PostgreSQL older transactions of others hide the newest events for a moment.
        let moved = ledger.store().transfer().expect("it can be moved");
        moved.end_of_history().await.expect("all is visible");
    };
    record(ledger.anchor().await.expect("an anchor")).await;
    assert!(says().await.contains("still has its root"), "also of the namespace: {}", says().await);
    // What happened between the first page and the record may be in it or not.
    let anchor = ledger.anchor().await.expect("an anchor");
    ledger.create("c").await.expect("created");
    ledger.annotate("a", "x").await.expect("noted");
    ledger.annotate("a", "y").await.expect("noted");
    record(anchor).await;
    assert!(says().await.contains("still has its root"), "{}", says().await);
    let anchor = ledger.anchor().await.expect("an anchor");
    for _ in 0..9 {
        ledger.annotate("a", "z").await.expect("noted");
    }
    record(anchor).await;
    let many = check(url, CheckName::Anchor).await;
    assert_eq!(many.verdict, Verdict::Warn, "{}", many.says);
}
