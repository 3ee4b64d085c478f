//! Connecting to PostgreSQL, and what a schema must be: TLS by `sslmode`, roles with few rights, versions, guards
//! against direct SQL, and a history that shows changes made despite them.

use std::process::Command;

use serde_json::json;
use tenure::core::id::TaskId;
use tenure::core::task::State;
use tenure::store::{EventSearch, Filter, IfMissing};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, Shutdown, required};

async fn refused(url: &str) -> String {
    match Ledger::open(url).await {
        Ok(_) => panic!("{url} opened"),
        Err(Error::Refused(refusal)) => refusal.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_role_that_owns_nothing_needs_only_what_it_is_granted() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let role = format!("plain_{schema}");
        let superuser = CompetingConnection::superuser(server, &schema).await;
        superuser.does(&format!("create role {role} login")).await;
        let url = server.url(&schema).replace("tester@", &format!("{role}@"));
        let told = refused(&url).await;
        assert!(told.contains("42501"), "who may not make a schema is told so: {told}");
        let owner = Ledger::open(&server.url(&schema)).await.expect("its owner makes it");
        let told = refused(&url).await;
        assert!(told.contains("permission denied; grant this role"), "{told}");
        let rival = CompetingConnection::of(server, &schema).await;
        // As SECURITY.md has it.
        rival
            .does(&format!(
                "grant usage on schema {schema} to {role}; \
                 grant select, insert, update, delete on all tables in schema {schema} to {role}; \
                 grant execute on all functions in schema {schema} to {role}"
            ))
            .await;
        let ledger = Ledger::open(&url).await.expect("opens");
        ledger.create("a").undo("rm", "x").await.expect("created");
        let task = ledger.acquire("a", "w").await.expect("acquired");
        let by = task.lease().expect("a lease").holder();
        ledger.heartbeat("a", &by).checkpoint(json!([1])).await.expect("renewed");
        ledger.roll_back("a", &by, "no").request_id("r").await.expect("rolled back");
        assert!(owner.verify(None).await.expect("verified").holds());
        let told = CompetingConnection::at(&url.replace(&format!("?schema={schema}"), ""), &schema).await;
        let told = told.is_refused("alter table tenure.events disable trigger all").await;
        assert!(told.contains("must be owner"), "{told}");
    });
}

#[test]
fn a_schema_of_another_version_or_of_another_program_is_left_alone() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        drop(Ledger::open(&server.url(&schema)).await.expect("opens"));
        let rival = CompetingConnection::of(server, &schema).await;
        rival.does("update tenure.meta set value = '99' where key = 'schema_version'").await;
        let told = refused(&server.url(&schema)).await;
        assert!(told.contains("has version 99") && told.contains("use a newer"), "{told}");
        rival.does("delete from tenure.meta where key = 'schema_version'").await;
        let told = refused(&server.url(&schema)).await;
        assert!(told.contains("another program's tables"), "{told}");

        let schema = server.fresh_schema();
        let opener = Ledger::builder().missing(IfMissing::Refuse);
        let Err(error) = opener.open(&server.url(&schema)).await else { panic!("it opened") };
        assert!(error.to_string().contains("contains no store"), "{error}");
        let count = format!("select count(*) from pg_namespace where nspname = '{schema}'");
        assert_eq!(rival.counts(&count).await, 0, "and nothing was made");
        let told = refused(&server.url("Bad-Name")).await;
        assert!(told.contains("is not a valid schema name"), "{told}");
        let told = refused(&format!("{}&colour=blue", server.url(&schema))).await;
        assert!(told.contains("colour"), "{told}");
    });
}

/// What SQL must not do, to a task `a` that has ended, to its compensations and its history.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "update tenure.tasks set state = 'planned', finished_at = null where id = 'a'",
        "a terminal task does not change",
    ),
    ("update tenure.tasks set result = '1' where id = 'a'", "a terminal task does not change"),
    ("update tenure.tasks set payload = '[2]' where id = 'a'", "a terminal task does not change"),
    ("update tenure.tasks set attempts = 7 where id = 'a'", "a terminal task does not change"),
    ("update tenure.tasks set id = 'b' where id = 'a'", "the names of a task never change"),
    (
        "insert into tenure.tasks (namespace, id, saga_id, queue, kind, state, priority, labels, payload, policy, attempts, \
            epoch, revision, owed, compensations, created_at, updated_at, head, feed) \
         values ('default', 'z', 'z', 'q', 'k', 'gone', 0, '{}', 'null', '{}', 0, 0, 1, 0, 0, 1, 1, '\\x00', 1)",
        "a task has one of eight states, and a time of its end exactly if that is terminal",
    ),
    ("delete from tenure.tasks", "a task is not deleted"),
    ("truncate tenure.tasks", "a task is not deleted"),
    ("update tenure.compensations set status = 'done'", "the compensations of a terminal task do not change"),
    (
        "insert into tenure.compensations (namespace, task, seq, kind, target, registered, status, tries) \
         values ('default', 'a', 9, 'x', 'y', 'before_lease', 'owed', 0)",
        "the compensations of a terminal task do not change",
    ),
    ("update tenure.compensations set task = 'b'", "a compensation is not moved"),
    ("delete from tenure.compensations", "a compensation is not deleted"),
    ("truncate tenure.compensations", "a compensation is not deleted"),
    ("update tenure.checkpoints set checkpoint = '2'", "the checkpoint of a terminal task does not change"),
    ("update tenure.checkpoints set task = 'b'", "a checkpoint is not moved"),
    ("delete from tenure.checkpoints", "a checkpoint is not deleted"),
    ("truncate tenure.checkpoints", "a checkpoint is not deleted"),
    ("update tenure.events set data = '{}'", "an event neither changes nor goes"),
    ("delete from tenure.events", "an event neither changes nor goes"),
    ("truncate tenure.events", "an event neither changes nor goes"),
    (
        "insert into tenure.events (namespace, task, number, feed, at, actor, type, data, hash) \
         values ('default', 'a', 4, 9000000000000000000, 0, 'm', 'noted', '{}', '\\x00')",
        "an event continues the history of its task",
    ),
    (
        "insert into tenure.events (namespace, task, number, feed, at, actor, type, data, hash) \
         select namespace, task, 5, feed, at, actor, type, data, hash from tenure.events where number = 1",
        "an event continues the history of its task",
    ),
    (
        "insert into tenure.events (namespace, task, number, feed, at, actor, type, data, hash) \
         select namespace, 'nobody', 1, feed, at, actor, type, data, hash from tenure.events where number = 1",
        "an event continues the history of its task",
    ),
    ("update tenure.names set id = 'b'", "a name stays taken"),
    ("delete from tenure.names", "a name stays taken"),
    ("truncate tenure.names", "a name stays taken"),
];

async fn with_an_end(server: &Server, schema: &str) -> Ledger {
    let ledger = Ledger::open(&server.url(schema)).await.expect("opens");
    ledger.create("a").undo("rm", "x").await.expect("created");
    let task = ledger.acquire("a", "w").await.expect("acquired");
    let by = task.lease().expect("a lease").holder();
    ledger.heartbeat("a", &by).checkpoint(json!([1])).await.expect("renewed");
    ledger.complete("a", &by).await.expect("completed");
    ledger
}

#[test]
fn the_database_itself_refuses_what_sql_must_not_do() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let ledger = with_an_end(server, &schema).await;
        let rival = CompetingConnection::of(server, &schema).await;
        for (sql, expected) in FORBIDDEN {
            let told = rival.is_refused(sql).await;
            assert_eq!(told, format!("tenure: {expected}"), "{sql}");
        }
        ledger.annotate("a", "a note").await.expect("notes are taken");
        assert_eq!(ledger.task("a").await.expect("as it was").state(), State::Completed);
        assert!(ledger.verify(None).await.expect("verified").holds());
    });
}

/// Operators and functions by the names of PostgreSQL's own, which say that nothing is different, or that nothing is the same.
const HOSTILE: &str = "\
    set search_path = hostile_tenure, pg_catalog; \
    create function hostile_tenure.same(text, text) returns boolean language sql immutable as 'select SAME'; \
    create function hostile_tenure.same(bigint, bigint) returns boolean language sql immutable as 'select SAME'; \
    create function hostile_tenure.other(text, text) returns boolean language sql immutable as 'select false'; \
    create function hostile_tenure.other(bigint, bigint) returns boolean language sql immutable as 'select false'; \
    create operator hostile_tenure.= (leftarg = text, rightarg = text, function = hostile_tenure.same); \
    create operator hostile_tenure.= (leftarg = bigint, rightarg = bigint, function = hostile_tenure.same); \
    create operator hostile_tenure.<> (leftarg = text, rightarg = text, function = hostile_tenure.other); \
    create operator hostile_tenure.<> (leftarg = bigint, rightarg = bigint, function = hostile_tenure.other); \
    create operator hostile_tenure.> (leftarg = bigint, rightarg = bigint, function = hostile_tenure.other); \
    create function hostile_tenure.other(bigint, integer) returns boolean language sql immutable as 'select false'; \
    create operator hostile_tenure.< (leftarg = bigint, rightarg = integer, function = hostile_tenure.other); \
    create function hostile_tenure.pg_current_xact_id() returns xid8 language sql immutable as 'select ''1''::xid8';";

#[test]
fn the_guards_look_nothing_up_where_their_caller_may_put_something() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let ledger = with_an_end(server, &schema).await;
        let role = format!("hostile_{schema}");
        let superuser = CompetingConnection::superuser(server, &schema).await;
        // As SECURITY.md has it, and a schema where the role may create what it likes.
        superuser
            .does(&format!(
                "create role {role} login; grant usage on schema {schema} to {role}; \
                 grant select, insert, update, delete on all tables in schema {schema} to {role}; \
                 grant execute on all functions in schema {schema} to {role}; \
                 grant create on database tests to {role}"
            ))
            .await;
        let url = server.url(&schema).replace("tester@", &format!("{role}@"));
        for same in ["true", "false"] {
            // A connection of its own, since functions keep what they have looked up.
            let rival =
                CompetingConnection::at(&url.replace(&format!("?schema={schema}"), ""), &schema).await;
            let own = format!("own_{schema}");
            rival.does(&format!("drop schema if exists {own} cascade; create schema {own}")).await;
            rival.does(&HOSTILE.replace("hostile_tenure", &own).replace("SAME", same)).await;
            for (sql, expected) in FORBIDDEN.iter().filter(|(sql, _)| !sql.starts_with("truncate")) {
                // The plain `=` may be a hostile one that finds no row, and then no trigger would run.
                let (change, which) = sql.split_once(" where ").unwrap_or((sql, "true"));
                let found = format!("{change} where {}", which.replace(" = ", " operator(pg_catalog.=) "));
                let told = rival.is_refused(if sql.contains(" where ") { &found } else { sql }).await;
                assert_eq!(told, format!("tenure: {expected}"), "{sql} where {same}");
            }
        }
        assert!(ledger.verify(None).await.expect("verified").holds());
        let open = "select count(*) from pg_proc where pronamespace = '{schema}'::regnamespace \
                    and not coalesce(proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']";
        let open = superuser.counts(&open.replace("{schema}", &schema)).await;
        assert_eq!(open, 0, "each function says where it looks");
    });
}

#[test]
fn who_takes_the_guards_away_is_found_out_by_the_history() {
    let Some(server) = required(Server::shared()) else { return };
    let by_what = [
        (
            "update tenure.events set data = replace(data, '\"w\"', '\"v\"') where number = 2",
            "event 2 was changed",
        ),
        ("delete from tenure.events where number = 2", "event 2 was removed"),
        ("update tenure.events set at = at + 1 where number = 1", "event 1 was changed"),
        (
            "update tenure.events set feed = feed + 1000 where number = 1",
            "was moved here from another position",
        ),
        ("update tenure.tasks set result = '7'", "the record does not match its events"),
        ("update tenure.tasks set owed = 5", "the record does not match its events"),
        ("delete from tenure.tasks", "the task was removed"),
    ];
    block_on(async {
        for (sql, expected) in by_what {
            let schema = server.fresh_schema();
            let ledger = with_an_end(server, &schema).await;
            let anchor = ledger.anchor().await.expect("an anchor");
            let superuser = CompetingConnection::superuser(server, &schema).await;
            superuser.does(&format!("set session_replication_role = replica; {sql}")).await;
            let report = ledger.verify(None).await.expect("verified");
            let told: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            assert!(
                told.iter().any(|one| one.contains(expected) && one.contains("default/a")),
                "{sql}: {told:?}"
            );
            let all = "delete from tenure.events; delete from tenure.tasks; delete from tenure.compensations; \
                       delete from tenure.checkpoints";
            superuser.does(all).await;
            let report = ledger.verify(Some(&anchor)).await.expect("verified");
            let told: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            assert_eq!(told, ["default/a: the task was removed"], "without a trace, but for the anchor");
        }
    });
}

#[test]
fn nothing_is_appended_to_a_history_that_does_not_end_where_its_task_says() {
    let Some(server) = required(Server::shared()) else { return };
    let apart = [
        "update tenure.tasks set head = '\\x00' where id = 'a'",
        "update tenure.tasks set revision = 2 where id = 'a'",
        "update tenure.tasks set revision = 9 where id = 'a'",
        "insert into tenure.events (namespace, task, number, feed, at, actor, type, data, hash) \
         select namespace, task, 4, feed, at, actor, type, data, hash from tenure.events where number = 3",
    ];
    block_on(async {
        for sql in apart {
            let schema = server.fresh_schema();
            let ledger = with_an_end(server, &schema).await;
            let superuser = CompetingConnection::superuser(server, &schema).await;
            superuser.does(&format!("set session_replication_role = replica; {sql}")).await;
            let before = superuser.counts("select count(*) from tenure.events").await;
            let answers = ledger
                .transact(vec![
                    ledger.annotate("a", "a note").command().expect("a command"),
                    ledger.create("b").command().expect("a command"),
                ])
                .await;
            assert!(matches!(&answers[0], Err(Error::Corrupt(_))), "{sql}: {answers:?}");
            assert!(answers[1].is_ok(), "{sql}: what was given with it is done: {answers:?}");
            ledger.create("c").await.expect("others go on");
            let page = ledger.events(None, 100).await.expect("the history can be read");
            assert!(page.unreadable.is_empty(), "{:?}", page.unreadable);
            superuser
                .does("set session_replication_role = replica; update tenure.events set data = '{' where number = 1 and task = 'c'")
                .await;
            let mut follower = ledger.follow(None);
            let mut told = Vec::new();
            while told.last().is_none_or(Result::is_ok) {
                told.push(follower.next().await);
            }
            assert!(matches!(told.last(), Some(Err(Error::Corrupt(_)))), "{told:?}");
            ledger.create("d").await.expect("made");
            let next = follower.next().await.expect("what comes behind it is told");
            assert_eq!(next.event.subject.as_str(), "d");
            assert!(superuser.counts("select count(*) from tenure.events").await <= before + 3, "{sql}");
            assert!(!ledger.verify_task("a", None).await.expect("a look").holds(), "{sql}");
            assert!(ledger.verify_task("d", None).await.expect("a look").holds());
            assert!(ledger.verify_task("nobody", None).await.is_err());
        }
    });
}

#[test]
fn the_pages_of_one_task_give_each_event_once_while_an_older_transaction_is_open() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        let rival = CompetingConnection::of(server, &schema).await;
        rival.does("begin; select pg_current_xact_id()").await;
        ledger.create("t").await.expect("made");
        let (mut numbers, mut after) = (Vec::new(), None);
        for _ in 0..4 {
            // It is ahead of what everybody is shown, and the page is not full.
            let page = ledger.history("t", after, 10).await.expect("a page");
            let search = EventSearch::in_namespace(ledger.namespace().clone());
            let search = search.with(|search| search.task = TaskId::new("t").ok());
            let found = ledger.store().search_events(search, None, 10.into()).await.expect("a page");
            assert_eq!(found.page.items.len(), numbers.len() + page.items.len(), "the search is as far");
            numbers.extend(page.items.iter().map(|recorded| recorded.event.number.0));
            after = page.next;
            ledger.annotate("t", "a note").await.expect("noted");
        }
        assert_eq!(numbers, [1, 2, 3, 4]);
        rival.does("rollback").await;
        let page = ledger.history("t", after, 10).await.expect("a page");
        assert_eq!(page.items.iter().map(|recorded| recorded.event.number.0).collect::<Vec<_>>(), [5]);
    });
}

#[test]
fn behind_a_large_event_that_can_not_be_read_nothing_is_passed_over() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        for number in 0..9 {
            let call = ledger.create(&format!("t{number}")).payload(json!("x".repeat(220_000)));
            call.await.expect("made");
        }
        let superuser = CompetingConnection::superuser(server, &schema).await;
        let change = "set session_replication_role = replica; update tenure.events set data = repeat('x', 220000) where task = 't4'";
        superuser.does(change).await;
        let mut follower = ledger.follow(None);
        let mut told = Vec::new();
        for _ in 0..9 {
            told.push(follower.next().await.map(|recorded| recorded.event.subject.to_string()));
        }
        let names: Vec<&str> = told.iter().filter_map(|one| one.as_deref().ok()).collect();
        assert_eq!(names, ["t0", "t1", "t2", "t3", "t5", "t6", "t7", "t8"], "{told:?}");
    });
}

#[test]
fn lists_and_glances_say_what_memory_says_of_many_tasks() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let ledger = Ledger::open(&server.url(&server.fresh_schema())).await.expect("opens");
        for at in 0..25 {
            ledger.create(&format!("t{at}")).label("nth", &at.to_string()).queue("q").await.expect("created");
        }
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let page = ledger.tasks(Filter::default(), after, 10).await.expect("a page");
            names.extend(page.items.iter().map(|task| task.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let newest_first: Vec<String> = (0..25).rev().map(|at| format!("t{at}")).collect();
        assert_eq!(names, newest_first);
        let labels = vec![(
            tenure::core::id::LabelKey::new("nth").expect("a key"),
            tenure::core::id::LabelValue::new("7").expect("a value"),
        )];
        let labelled = ledger
            .tasks(Filter::default().with(|filter| filter.labels = labels), None, 10)
            .await
            .expect("a page");
        assert_eq!(labelled.items.len(), 1);
        let foreign = tenure::store::Cursor::from_text("nonsense");
        assert!(ledger.tasks(Filter::default(), Some(foreign.clone()), 10).await.is_err());
        assert!(ledger.events(Some(foreign.clone()), 10).await.is_err());
        assert!(ledger.lapsed(Some(foreign), 10).await.is_err());
    });
}

/// A server that has TLS, with a certificate of its own for `localhost`.
fn with_tls() -> Option<Server> {
    let mut server = required(Server::start(&[]))?;
    let data = server.folder().join("data");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt"))
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        return required(Err(tenure_testkit::server::NotRun("no openssl to make a certificate with".into())));
    }
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&data).expect("the folder"));
    for file in ["server.key", "server.crt"] {
        std::os::unix::fs::chown(data.join(file), Some(owner), None).expect("its owner");
    }
    std::fs::set_permissions(data.join("server.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a key of its own");
    block_on(async {
        CompetingConnection::superuser(&server, "x").await.does("alter system set ssl = on").await
    });
    server.restart(Shutdown::Fast);
    Some(server)
}

#[test]
fn tls_is_as_sslmode_says() {
    let Some(server) = with_tls() else { return };
    let schema = server.fresh_schema();
    let root = server.folder().join("root.crt");
    std::fs::copy(server.folder().join("data/server.crt"), &root).expect("copied");
    let url = |mode: &str, more: &str| {
        let url = server.url(&schema).replace("127.0.0.1", "localhost");
        format!("{url}&sslmode={mode}{more}&application_name={mode}")
    };
    let trusting = format!("&sslrootcert={}", root.display());
    block_on(async {
        let rival = CompetingConnection::superuser(&server, &schema).await;
        let encrypted = [
            ("disable", "", 0),
            ("allow", "", 0),
            ("prefer", "", 1),
            ("require", "", 1),
            ("verify-ca", trusting.as_str(), 1),
            ("verify-full", trusting.as_str(), 1),
        ];
        for (mode, more, expected) in encrypted {
            let ledger = Ledger::open(&url(mode, more)).await.expect(mode);
            ledger.create(mode).await.expect("created");
            let ssl = format!(
                "select count(distinct ssl)::bigint * max(ssl::int)::bigint from pg_stat_ssl \
                 join pg_stat_activity using (pid) where application_name = '{mode}'"
            );
            assert_eq!(rival.counts(&ssl).await, expected, "{mode}");
        }
        let unknown = refused(&url("verify-full", "&sslrootcert=system")).await;
        assert!(unknown.contains("certificate"), "{unknown}");
        let wrong_name = url("verify-full", &trusting).replace("localhost", "127.0.0.1");
        assert!(refused(&wrong_name).await.contains("certificate"));
        let only_the_name = url("verify-ca", &trusting).replace("localhost", "127.0.0.1");
        Ledger::open(&only_the_name).await.expect("the name is not looked at");
    });
}

#[test]
fn settings_of_the_database_that_break_a_promise_are_named() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let schema = server.fresh_schema();
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        // The tests' own server is as fast as it can be.
        const OWN: &str = "fsync is off: a power failure can damage the database";
        assert_eq!(ledger.overview().await.expect("a look").warnings, [OWN]);
        let lax = format!("{}&options=-c%20synchronous_commit%3Doff", server.url(&schema));
        let lax = Ledger::open(&lax).await.expect("opens").overview().await.expect("a look").warnings;
        assert_eq!(lax, [OWN], "each transaction that writes turns it on for itself");
    });
}

#[test]
fn how_long_a_write_waits_for_a_database_that_is_away_is_said_in_the_url() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let told = refused(&format!("{}&patience=soon", server.url("s"))).await;
        assert!(
            told.contains("patience has the invalid value `soon`; it must be a duration of up to 1h"),
            "{told}"
        );
        let told = refused(&format!("{}&patience=2h", server.url("s"))).await;
        assert!(told.contains("up to 1h"), "{told}");
    });
}
