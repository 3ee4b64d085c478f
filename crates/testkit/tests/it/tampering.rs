//! Direct SQL on the file: the database refuses it; with its guards removed, an audit finds and names it.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use tenure::audit::{Anchor, Tampering, VerifyReport};
use tenure::core::event::SweepCounts;
use tenure::core::refusal::Code;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::served::Served;

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    /// Three tasks: `a` completed, `b` failed with a compensation, `c` running. Six, four and three events.
    fn with_history() -> File {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File { path: folder.path().join("tasks.db"), _folder: folder };
        let ledger = file.ledger();
        block_on(async {
            ledger.create("a").payload(json!({"repo":"x"})).await?;
            let task = ledger.acquire("a", "w1").await?;
            let holder = task.lease().expect("a lease").holder();
            ledger.register("a", &holder, "undo", "x").await?;
            ledger.register("a", &holder, "undo", "y").await?;
            ledger.annotate("a", "halfway").await?;
            ledger.complete("a", &holder).result(json!(12)).await?;
            ledger.create("b").undo("undo", "z").await?;
            let holder = ledger.acquire("b", "w2").await?.lease().expect("a lease").holder();
            ledger.fail("b", &holder, "no such repo").await?;
            ledger.annotate("b", "looked at it").await?;
            ledger.create("c").await?;
            ledger.acquire("c", "w3").await?;
            ledger.cancel("c", "not wanted").await?;
            Ok::<_, tenure::Error>(())
        })
        .expect("a history");
        file
    }

    fn ledger(&self) -> Ledger {
        block_on(Ledger::open(&format!("sqlite:{}", self.path.display()))).expect("opens")
    }

    fn sql(&self, sql: &str) -> rusqlite::Result<()> {
        Connection::open(&self.path)?.execute_batch(sql)
    }

    /// As somebody who means it: without the guards.
    fn tamper(&self, sql: &str) {
        let file = Connection::open(&self.path).expect("opens");
        let mut guards =
            file.prepare("select name from sqlite_schema where type = 'trigger'").expect("prepared");
        let guards = guards.query_map([], |row| row.get::<_, String>(0)).expect("listed");
        let unguard: Vec<String> =
            guards.map(|name| format!("drop trigger {};", name.expect("a name"))).collect();
        self.sql(&unguard.join(" ")).expect("the guards come off");
        self.sql("drop index events_by_task").expect("and what keeps numbers apart");
        self.sql(sql).expect("the change");
    }

    fn anchor(&self) -> Anchor {
        let text = block_on(self.ledger().anchor()).expect("an anchor").to_string();
        text.parse().expect("an anchor reads back from its file")
    }

    fn verify(&self, anchor: Option<&Anchor>) -> VerifyReport {
        block_on(self.ledger().verify(anchor)).expect("it can be read")
    }

    fn findings(&self, anchor: Option<&Anchor>) -> Vec<String> {
        self.verify(anchor).findings.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn an_untouched_history_verifies_with_and_without_its_anchor() {
    let file = File::with_history();
    let anchor = file.anchor();
    let report = file.verify(Some(&anchor));
    assert!(report.holds(), "{:?}", report.findings);
    assert_eq!((report.tasks, report.events), (3, 13));
    let ledger = file.ledger();
    block_on(async {
        ledger.annotate("a", "later").await.expect("noted");
        ledger.create("d").await.expect("created");
    });
    assert!(file.verify(Some(&anchor)).holds(), "what is added later does not break an anchor");
}

#[test]
fn a_changed_event_is_found_and_named() {
    for change in [
        "data = replace(data, 'undo', 'keep')",
        "at = at + 1",
        "actor = 'mallory'",
        "type = 'waived'",
        "hash = zeroblob(32)",
        "data = ' ' || data",
    ] {
        let file = File::with_history();
        file.tamper(&format!("update events set {change} where task = 1 and number = 3"));
        let findings = file.findings(None);
        assert!(findings.contains(&"default/a: event 3 was changed".to_owned()), "{change}: {findings:?}");
    }
}

#[test]
fn every_single_event_is_guarded_by_its_chain() {
    for order in 1..=13 {
        let file = File::with_history();
        file.tamper(&format!("update events set actor = actor || 'x' where \"order\" = {order}"));
        let findings = file.findings(None);
        assert_eq!(findings.len(), 1, "event {order}: {findings:?}");
        assert!(findings[0].ends_with("was changed"), "event {order}: {findings:?}");
    }
}

#[test]
fn a_removed_event_is_found_and_named() {
    for number in 1..=6 {
        let file = File::with_history();
        file.tamper(&format!("delete from events where task = 1 and number = {number}"));
        let findings = file.findings(None);
        assert!(
            findings.contains(&format!("default/a: event {number} was removed")),
            "{number}: {findings:?}"
        );
    }
}

#[test]
fn an_inserted_event_is_found_and_named() {
    let file = File::with_history();
    file.tamper(
        "insert into events select 99, task, 7, at, actor, type, data, hash from events where task = 1 and number = 5",
    );
    assert_eq!(file.findings(None), ["default/a: event 7 was inserted"]);

    let file = File::with_history();
    file.tamper(
        "insert into events select 99, task, 3, at, 'mallory', type, data, hash from events \
         where task = 1 and number = 5",
    );
    assert_eq!(file.findings(None), ["default/a: event 3 was inserted"]);
}

#[test]
fn a_moved_event_is_found_and_named() {
    let file = File::with_history();
    file.tamper(
        "update events set number = -3 where task = 1 and number = 3; \
         update events set number = 3 where task = 1 and number = 4; \
         update events set number = 4 where task = 1 and number = -3;",
    );
    let findings = file.findings(None);
    let swapped = [
        "default/a: event 4 was moved here from default/a, event 3",
        "default/a: event 3 was moved here from default/a, event 4",
    ];
    assert_eq!(findings, swapped);

    let file = File::with_history();
    file.tamper("update events set task = 2, number = 5 where task = 1 and number = 5");
    let findings = file.findings(None);
    assert!(
        findings.contains(&"default/b: event 5 was moved here from default/a, event 5".to_owned()),
        "{findings:?}"
    );
    assert!(findings.contains(&"default/a: event 5 was removed".to_owned()), "{findings:?}");

    let file = File::with_history();
    file.tamper("update events set \"order\" = 99 where task = 1 and number = 2");
    let findings = file.findings(None);
    assert_eq!(findings, ["default/a: event 2 was moved here from another position in the order of events"]);
}

#[test]
fn a_removed_task_is_found_by_the_anchor_and_named() {
    let file = File::with_history();
    let anchor = file.anchor();
    file.tamper("delete from tasks where id = 'b'; delete from events where task = 2; delete from compensations where task = 2");
    assert!(file.verify(None).holds(), "without an anchor nothing tells that it was there");
    assert_eq!(file.findings(Some(&anchor)), ["default/b: the task was removed"]);
}

#[test]
fn a_tail_that_was_cut_off_and_a_history_that_was_written_anew_are_found_by_the_anchor() {
    let file = File::with_history();
    let anchor = file.anchor();
    file.tamper(
        "delete from events where task = 2 and number = 4; \
         update tasks set revision = 3, head = (select hash from events where task = 2 and number = 3), \
         updated_at = (select at from events where task = 2 and number = 3) where no = 2",
    );
    assert!(file.verify(None).holds(), "the rest is whole");
    assert_eq!(
        file.findings(Some(&anchor)),
        ["default/b: event 4 or an event before it differs from the anchor"]
    );
}

#[test]
fn a_record_that_is_not_what_its_events_tell_is_found() {
    for change in
        ["terminal_reason = 'fine'", "attempts = 9", "owed = 7", "payload = '{}'", "head = zeroblob(32)"]
    {
        let file = File::with_history();
        file.tamper(&format!("update tasks set {change} where id = 'b'"));
        let report = file.verify(None);
        assert_eq!(report.findings.len(), 1, "{change}: {:?}", report.findings);
        let column = change.split(' ').next().expect("a column");
        let what = Tampering::RecordChanged(vec![format!("tasks.{column}")]);
        assert_eq!(report.findings[0].what, what, "{change}");
    }
}

#[test]
fn a_revision_beyond_all_events_is_found_and_does_not_take_for_ever() {
    let file = File::with_history();
    file.tamper("update tasks set revision = 9223372036854775807 where id = 'a'");
    assert_eq!(file.findings(None), ["default/a: event 7 was removed"]);
}

#[test]
fn a_name_that_can_not_be_is_found_and_the_rest_is_looked_at_all_the_same() {
    let file = File::with_history();
    file.tamper("update tasks set id = 'a b' where id = 'a'; update events set actor = 'mallory' where task = 2 and number = 2");
    let findings = file.findings(None);
    assert!(
        findings.iter().any(|finding| finding.contains("whose stored name `default/a b` is invalid")),
        "{findings:?}"
    );
    assert!(findings.contains(&"default/b: event 2 was changed".to_owned()), "{findings:?}");
    assert!(block_on(file.ledger().anchor()).is_err(), "what can't be read is not anchored in silence");
}

#[test]
fn a_row_that_can_not_be_read_is_told_with_its_column_and_what_is_wrong_there() {
    for (change, told) in [
        ("tasks set cause = null", "the column cause is empty, but must contain a text"),
        ("tasks set attempts = -1", "the column attempts contains an invalid value: -1"),
        ("tasks set head = x'00'", "the column head contains an invalid value: not 32 bytes"),
    ] {
        let file = File::with_history();
        file.tamper(&format!("pragma ignore_check_constraints = on; update {change} where id = 'b'"));
        let error = block_on(file.ledger().task("b")).expect_err("it can't be read");
        assert!(error.to_string().contains(told), "{change}: {error}");
        assert!(matches!(error, Error::Corrupt(_)), "{change}: {error:?}");
    }
}

#[test]
fn the_json_null_is_a_value_in_history_and_record() {
    let file = File::with_history();
    let ledger = file.ledger();
    block_on(async {
        ledger.create("n").payload(json!(1)).await?;
        let by = ledger.acquire("n", "w").await?.lease().expect("a lease").holder();
        ledger.progress("n", &by).report(json!(null)).checkpoint(json!(null)).await?;
        ledger.complete("n", &by).result(json!(null)).await?;
        let task = ledger.task("n").await?;
        assert_eq!(task.checkpoint.map(|json| json.to_string()).as_deref(), Some("null"));
        assert_eq!(ledger.history("n", None, 10).await?.items.len(), 3);
        Ok::<_, tenure::Error>(())
    })
    .expect("null is JSON");
    assert!(file.verify(None).holds());
}

#[test]
fn an_anchor_that_was_edited_is_found() {
    let file = File::with_history();
    let mut anchor = file.anchor();
    anchor.lines.pop();
    assert_eq!(file.verify(Some(&anchor)).findings[0].what, Tampering::AnchorBroken);
    for text in [
        "",
        "tenure-anchor 1\ncursor e1\nroot zz\n",
        "tenure-anchor 1\ncursor e1\nroot 00\nx",
        "tenure-anchor 10\n",
    ] {
        assert!(text.parse::<Anchor>().is_err(), "{text}");
    }
}

#[test]
fn the_database_itself_refuses_what_sql_must_not_do() {
    let file = File::with_history();
    let ledger = file.ledger();
    block_on(async { ledger.create("d").undo("undo", "x").await }).expect("created");
    let refused = [
        (
            "update tasks set state = 'planned', cause = null where id = 'a'",
            "a terminal task does not change",
        ),
        ("update tasks set result = '13' where id = 'a'", "a terminal task does not change"),
        ("update tasks set attempts = 0 where id = 'b'", "a terminal task does not change"),
        ("update tasks set priority = 9 where id = 'b'", "a terminal task does not change"),
        ("update tasks set id = 'x' where id = 'c'", "the names of a task never change"),
        ("update tasks set rowid = 50 where id = 'a'", "the names of a task never change"),
        ("update or replace tasks set rowid = 2 where id = 'a'", "the names of a task never change"),
        ("delete from tasks where id = 'a'", "a task is not deleted"),
        ("delete from tasks where id = 'c'", "a task is not deleted"),
        ("insert or replace into tasks select * from tasks where id = 'a'", "a task is not replaced"),
        (
            "create temp table copy as select * from tasks where id = 'a'; update copy set no = 50, id = 'x'; \
             insert or replace into tasks select * from copy",
            "a task is not replaced",
        ),
        ("update compensations set status = 'done' where task = 2", "the compensations of a terminal task"),
        ("delete from compensations where task = 2", "a compensation is not deleted"),
        ("update compensations set task = 2, seq = 9 where task = 4", "a compensation is not moved"),
        ("update or replace compensations set task = 2 where task = 4", "a compensation is not moved"),
        ("insert into checkpoints values (1, '{}')", "the checkpoint of a terminal task"),
        (
            "insert into compensations select task, 9, kind, target, reason, registered, status, epoch, key, tries, \
             receipt, last_error, waiver, settled_by from compensations where task = 2",
            "the compensations of a terminal task",
        ),
        ("update events set data = '{}' where \"order\" = 1", "an event does not change"),
        ("delete from events where \"order\" = 1", "an event is not deleted"),
        (
            "insert or replace into events select * from events where \"order\" = 1",
            "an event is not replaced",
        ),
    ];
    for (sql, words) in refused {
        let error = file.sql(sql).expect_err(sql).to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
    assert!(file.verify(None).holds(), "and nothing changed");
    file.sql("update tasks set terminal_reason = 'better words' where id = 'b'")
        .expect("audit columns stay open");
}

/// The writer keeps what it wrote in memory. What somebody else writes to the file makes it look again.
#[test]
fn an_open_ledger_sees_what_others_did_to_a_task_that_it_wrote_itself() {
    let file = File::with_history();
    let (ledger, other) = (file.ledger(), file.ledger());
    block_on(async {
        ledger.annotate("c", "known from now on").await.expect("noted");
        file.sql("update tasks set head = zeroblob(32) where id = 'c'").expect("changed");
        let refused = ledger.annotate("c", "again").await;
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
        let leased = ledger.create("d").await.and(ledger.acquire("d", "w").await).expect("leased");
        let by = leased.lease().expect("a lease").holder();
        other.cancel("d", "not wanted").await.expect("cancelled elsewhere");
        let renewal = ledger.heartbeat("d", &by).await.expect("renewed");
        assert!(renewal.cancel_asked, "it was read again: {renewal:?}");
        other.complete("d", &by).await.expect("completed elsewhere");
        let lost = ledger.heartbeat("d", &by).await.expect_err("it has ended");
        assert_eq!(lost.code(), Some(Code::Terminal));
    });
    assert!(!file.verify(None).holds(), "the change of its head is found");
}

/// What was done to the row of the running task `c`, or behind its newest event, so that the one is not the other's.
const APART: [&str; 4] = [
    "update tasks set head = zeroblob(32) where id = 'c'",
    "update tasks set revision = 2 where id = 'c'",
    "update tasks set revision = 4 where id = 'c'",
    "insert into events select (select max(\"order\") + 1 from events), task, 4, at, actor, type, data, hash from events \
     where task = 3 and number = 3",
];

#[test]
fn nothing_is_appended_to_a_history_that_does_not_end_where_its_task_says() {
    for sql in APART {
        let file = File::with_history();
        file.sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let ledger = file.ledger();
        let count = || {
            let connection = Connection::open(&file.path).expect("opens");
            connection
                .query_row("select count(*) from events", [], |row| row.get::<_, i64>(0))
                .expect("a count")
        };
        let before = count();
        block_on(async {
            let answers = ledger
                .transact(vec![
                    ledger.annotate("c", "a note").command().expect("a command"),
                    ledger.create("d").command().expect("a command"),
                ])
                .await;
            assert!(
                matches!(&answers[0], Err(Error::Corrupt(why)) if why.message().contains("--task c")),
                "{sql}: {answers:?}"
            );
            assert!(answers[1].is_ok(), "{sql}: what was given with it is done: {answers:?}");
            let alone = ledger.cancel("c", "again").await;
            assert!(matches!(alone, Err(Error::Corrupt(_))), "{sql}: {alone:?}");
            ledger.annotate("b", "others go on").await.expect("noted");
            let report = ledger.verify_task("c", None).await.expect("a look");
            assert!(!report.holds(), "{sql}");
            assert!(ledger.verify_task("a", None).await.expect("a look").holds());
        });
        assert!(count() <= before + 2, "{sql}: nothing was appended to it");
    }
}

#[test]
fn the_history_of_one_task_is_verified_alone_and_by_its_line_of_an_anchor() {
    let file = File::with_history();
    let (ledger, anchor) = (file.ledger(), file.anchor());
    let verified = |id: &str, anchor: Option<&Anchor>| block_on(ledger.verify_task(id, anchor));
    let report = verified("a", Some(&anchor)).expect("a look");
    assert_eq!((report.holds(), report.tasks, report.events), (true, 1, 6));
    assert_eq!(verified("nobody", None).expect_err("not there").code(), Some(Code::NotFound));
    let mut other = anchor.clone();
    other.lines.iter_mut().for_each(|line| line.head = tenure::core::chain::Hash::START);
    let report = verified("a", Some(&other)).expect("a look");
    assert!(report.findings.iter().any(|finding| finding.what == Tampering::Rewritten), "{report:?}");
    file.sql(
        "drop trigger events_do_not_change; update events set actor = 'x' where task = 1 and number = 2",
    )
    .expect("without a guard");
    let report = verified("a", None).expect("a look");
    assert_eq!(report.findings[0].to_string(), "default/a: event 2 was changed");
    assert!(verified("b", None).expect("a look").holds(), "the others are as they were");
}

#[test]
fn an_event_that_can_not_be_read_is_told_once_and_stops_nobody_who_follows() {
    let file = File::with_history();
    file.sql("drop trigger events_do_not_change; update events set data = '{\"x' where \"order\" in (3, 13)")
        .expect("without a guard");
    let store = file.ledger().store().clone();
    let readable = {
        let connection = Connection::open(&file.path).expect("opens");
        let count = connection.query_row("select count(*) from events", [], |row| row.get::<_, u32>(0));
        count.expect("a count") as usize - 2
    };
    let served = Served::on(Arc::clone(&store));
    for ledger in [file.ledger(), block_on(Ledger::open(&served.url)).expect("behind a server")] {
        block_on(async {
            let page = ledger.events(None, 100).await.expect("a page");
            assert!(page.items.len() >= readable, "{}", page.items.len());
            assert_eq!(page.unreadable.len(), 2, "{:?}", page.unreadable);
            let readable = page.items.len();
            assert!(page.unreadable[0].contains("the event at e3 can't be read"), "{:?}", page.unreadable);
            let small = ledger.events(None, 3).await.expect("a page");
            // Behind a server as many are gathered as were asked for; here it is no end that there are fewer.
            assert!(small.items.len() == 3 || small.is_cut, "{}", small.items.len());
            let rest = ledger.events(small.next, 100).await.expect("a page");
            assert_eq!(small.items.len() + rest.items.len(), readable);

            let mut follower = ledger.follow(None);
            let mut told = Vec::new();
            for _ in 0..readable + 2 {
                told.push(follower.next().await.map(|recorded| recorded.cursor.as_str().to_owned()));
            }
            let unreadable = told.iter().filter(|one| matches!(one, Err(Error::Corrupt(_)))).count();
            assert_eq!(unreadable, 2, "{told:?}");
            let note = ledger.annotate("b", "later").await.expect("noted");
            let next = follower.next().await.expect("what comes behind it is told");
            assert_eq!((next.event.subject, next.event.number), (note.id.into(), note.revision));
        });
    }
    block_on(async {
        let page = served.client().get("/v1/default/events").await.done(200);
        assert_eq!(page["unreadable"].as_array().map(Vec::len), Some(2), "{page}");
    });
}

// ---- the history of a namespace itself -------------------------------------------------------------------------

/// The same history, with two sweeps of recovery in the namespace.
fn with_sweeps() -> File {
    let file = File::with_history();
    let counts = SweepCounts { compensated: 1, undone: 1, ..SweepCounts::default() };
    for _ in 0..2 {
        block_on(file.ledger().note_sweep("recovery/1", counts)).expect("noted");
    }
    file
}

#[test]
fn an_event_of_a_namespace_that_was_changed_removed_or_inserted_is_found_and_named() {
    for (change, finding) in [
        ("update events set actor = 'mallory' where task = -1 and number = 1", "event 1 was changed"),
        (
            "update events set data = replace(data, '\"undone\":1', '\"undone\":0') where task = -1 and number = 2",
            "event 2 was changed",
        ),
        ("delete from events where task = -1 and number = 1", "event 1 was removed"),
        ("delete from events where task = -1 and number = 2", "event 2 was removed"),
        (
            "insert into events select 99, task, 3, at, actor, type, data, hash from events where task = -1 and number = 2",
            "event 3 was inserted",
        ),
        (
            "update events set number = 9 - number where task = -1",
            "event 8 was moved here from namespace default, event 1",
        ),
        (
            "update namespace_histories set updated_at = updated_at + 1",
            "the record does not match its events: namespace_histories.updated_at",
        ),
        (
            "insert into events select 99, -1, 3, at, actor, type, data, hash from events where task = 1 and number = 5",
            "event 3 was inserted",
        ),
    ] {
        let file = with_sweeps();
        assert!(file.verify(None).holds());
        file.tamper(change);
        let findings = file.findings(None);
        assert!(findings.contains(&format!("namespace default: {finding}")), "{change}: {findings:?}");
    }
}

#[test]
fn a_history_of_a_namespace_that_is_gone_is_missed_by_the_anchor() {
    let file = with_sweeps();
    let anchor = file.anchor();
    file.tamper("delete from events where task = -1; delete from namespace_histories");
    assert!(file.verify(None).holds(), "the file alone does not show it");
    assert_eq!(file.findings(Some(&anchor)), ["namespace default: its own history was removed"]);

    let file = with_sweeps();
    file.tamper("delete from namespace_histories");
    let findings = file.findings(None);
    assert!(
        findings.contains(&"the namespace of row -1, which was deleted: event 1 was inserted".to_owned()),
        "{findings:?}"
    );
}

#[test]
fn nothing_is_appended_to_a_history_of_a_namespace_that_does_not_end_where_its_row_says() {
    let file = with_sweeps();
    file.tamper("delete from events where task = -1 and number = 2");
    let counts = SweepCounts { planned: 1, ..SweepCounts::default() };
    let refused = block_on(file.ledger().note_sweep("recovery/1", counts)).expect_err("it is corrupt");
    assert!(matches!(&refused, Error::Corrupt(_)), "{refused}");
    assert_eq!(file.findings(None), ["namespace default: event 2 was removed"]);
}

#[test]
fn the_file_refuses_every_change_of_a_namespace_s_history() {
    let file = with_sweeps();
    for refused in [
        "update events set actor = 'mallory' where task = -1",
        "delete from events where task = -1",
        "insert or replace into events select * from events where task = -1",
        "update namespace_histories set number = number + 2",
        "update namespace_histories set namespace = 'x', number = number + 1",
        "delete from namespace_histories",
        "insert or replace into namespace_histories select * from namespace_histories",
        "insert into namespace_histories select 1, 'x', number, head, updated_at from namespace_histories",
    ] {
        assert!(file.sql(refused).is_err(), "{refused}");
    }
    assert!(file.verify(None).holds());
}
