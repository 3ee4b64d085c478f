//! Export and import: every store moves into every other one whole, line by line checked, and any number of times.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::access::Role;
use tenure::clock::ManualClock;
use tenure::core::command::Holder;
use tenure::core::event::SweepCounts;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::time::Span;
use tenure::store::{EventSearch, Order, PageSize, Store};
use tenure::transfer::{Exporter, TokenHashes};
use tenure::{Error, Ledger};
use tenure_testkit::moving::{Stores, content, exported, exported_with, imported, lines};
use tenure_testkit::served::Served;
use tenure_testkit::traces::compare_what_is_stored;
use tenure_testkit::{BEGINNING, block_on, memory, sqlite};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const EVERYTHING: PageSize = PageSize { items: 1_000, bytes: usize::MAX };

async fn holder(ledger: &Ledger, id: &str, owner: &str) -> Result<Holder, Error> {
    let task = ledger.acquire(id, owner).ttl(HOUR).request_id(&format!("acquire-{id}")).await?;
    Ok(task.lease().expect("a lease").holder())
}

/// A task in each state, in two namespaces, with all that a task can have.
async fn lived(ledger: &Ledger, clock: &ManualClock) -> Result<(), Error> {
    ledger.create("planned").payload(json!({"n": [1, "ä", null]})).label("issue", "168").await?;
    ledger
        .create("late")
        .policy(Policy::default().with(|it| it.start_within = Some(Span::from_days(1))))
        .await?;
    ledger.create("dispatched").undo("rm", "/tmp/x").await?;
    ledger.dispatch("dispatched", "w1").ttl(HOUR).await?;
    ledger.create("running").saga_id("saga-of-running").undo("rm", "/tmp/y").await?;
    let by = holder(ledger, "running", "w1").await?;
    ledger.register("running", &by, "close-pr", "pr/12").reason("made").await?;
    clock.advance(MINUTE);
    ledger
        .heartbeat("running", &by)
        .ttl(2 * HOUR)
        .progress(json!({"percent": 40}))
        .checkpoint(json!(null))
        .await?;
    ledger.cancel("running", "not wanted").await?;
    let held = Policy::default().with(|it| it.on_lapse = OnLapse::Hold);
    ledger.create("beaten-once").policy(held).await?;
    let by = holder(ledger, "beaten-once", "w2").await?;
    ledger.progress("beaten-once", &by).report(json!(1)).await?;
    ledger.create("compensating").await?;
    let by = holder(ledger, "compensating", "w1").await?;
    ledger.register("compensating", &by, "rm", "/tmp/z").await?;
    ledger.roll_back("compensating", &by, "no").await?;
    ledger.create("completed").request_id("made-once").await?;
    let by = holder(ledger, "completed", "w1").await?;
    ledger.complete("completed", &by).result(json!({"pr": 12})).await?;
    ledger.annotate("completed", "looked at it").await?;
    ledger.create("failed").await?;
    let by = holder(ledger, "failed", "w1").await?;
    ledger.fail("failed", &by, "no such repo").remains("none", "-").await?;
    ledger.create("compensated").await?;
    ledger.cancel("compensated", "not wanted").await?;
    ledger.create("quarantined").undo("rm", "/tmp/w").await?;
    ledger.mark_quarantined("quarantined", "needs a look").acting_as("alice").await?;
    ledger.retry("quarantined", "a handler was added").acting_as("alice").await?;
    ledger.in_namespace("elsewhere")?.create("planned").await?;
    let counts = SweepCounts { planned: 1, undone: 2, ..SweepCounts::default() };
    ledger.note_sweep("recovery/1", counts).await?;
    ledger.in_namespace("elsewhere")?.acting_as("alice")?.note_sweep("recovery/1", counts).await?;
    ledger.note_sweep("recovery/1", counts).await?;
    clock.advance(MINUTE);
    Ok(())
}

/// The heads of all chains.
async fn heads(store: &Arc<dyn Store>) -> Vec<String> {
    let anchor = Ledger::with_store(Arc::clone(store)).anchor().await.expect("an anchor");
    let mut heads: Vec<String> = anchor.lines.iter().map(ToString::to_string).collect();
    heads.sort();
    heads
}

async fn holds(store: &Arc<dyn Store>, place: &str) {
    let report = Ledger::with_store(Arc::clone(store)).verify(None).await.expect(place);
    assert!(report.holds(), "{place}: {:?}", report.findings);
}

#[test]
fn every_store_moves_into_every_other_whole() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let from = Stores::new(&clock).await;
        for (kind, old) in &from.all {
            let ledger = Ledger::with_store(Arc::clone(old));
            lived(&ledger, &clock).await.expect(kind);
            let file = exported(old.as_ref()).await;
            let to = Stores::new(&clock).await;
            for (other, new) in &to.all {
                let place = format!("{kind} into {other}");
                let (report, refused) = imported(new.as_ref(), &file).await;
                assert_eq!(refused, [], "{place}");
                assert_eq!(report.written.events, count_of_events(old).await, "{place}");
                assert!(report.written.leases >= 2 && report.written.requests >= 6, "{place}: {report:?}");
                // What is due next is exact in memory, and a hint elsewhere.
                let (exact, compared) = if *other == "memory" { (new, old) } else { (old, new) };
                compare_what_is_stored(exact.as_ref(), compared.as_ref()).await.expect(&place);
                assert_eq!(heads(new).await, heads(old).await, "{place}");
                holds(new, &place).await;
                assert_eq!(content(&exported(new.as_ref()).await), content(&file), "{place}, again");
            }
        }
    });
}

async fn count_of_events(store: &Arc<dyn Store>) -> u64 {
    Ledger::with_store(Arc::clone(store)).verify(None).await.expect("verified").events
}

#[test]
fn work_goes_on_in_the_new_store_where_it_was_in_the_old_one() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        let ledger = Ledger::with_store(Arc::clone(&old));
        lived(&ledger, &clock).await.expect("lived");
        let first = ledger.task("completed").await.expect("there");
        let by = ledger.task("running").await.expect("there").lease().expect("a lease").holder();
        let file = exported(old.as_ref()).await;
        for (kind, new) in &Stores::new(&clock).await.all {
            let (_, refused) = imported(new.as_ref(), &file).await;
            assert_eq!(refused, [], "{kind}");
            let ledger = Ledger::with_store(Arc::clone(new));
            let again = ledger.create("completed").request_id("made-once").await.expect(kind);
            assert_eq!(again.created_at, first.created_at, "{kind}: answered as the first was");
            assert_eq!(again.revision.0, 1, "{kind}");
            let renewal = ledger.heartbeat("running", &by).ttl(3 * HOUR).await.expect(kind);
            assert!(renewal.cancel_asked, "{kind}");
            let taken = ledger.acquire("planned", "w9").await.expect(kind);
            ledger.complete("planned", &taken.lease().expect("a lease").holder()).await.expect(kind);
            holds(new, kind).await;
            // What went on since is newer than the file, and stays.
            let (report, refused) = imported(new.as_ref(), &file).await;
            assert_eq!((refused, report.written.events), (vec![], 0), "{kind}");
            assert_eq!(ledger.task("planned").await.expect(kind).state().as_str(), "completed", "{kind}");
            let lease = ledger.task("running").await.expect(kind).lease().expect("a lease").clone();
            assert_eq!(lease.expires_at, renewal.expires_at, "{kind}");
            holds(new, kind).await;
        }
    });
}

#[test]
fn an_import_that_was_cut_off_says_so_and_goes_on_where_it_ended() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        lived(&Ledger::with_store(Arc::clone(&old)), &clock).await.expect("lived");
        let file = exported(old.as_ref()).await;
        let cut = file.len() / 2;
        for (kind, new) in &Stores::new(&clock).await.all {
            let (_, refused) = imported(new.as_ref(), &file[..cut]).await;
            let last = refused.last().expect(kind);
            assert!(last.reason.contains("it was cut off"), "{kind}: {refused:?}");
            holds(new, kind).await;
            let (report, refused) = imported(new.as_ref(), &file).await;
            assert_eq!(refused, [], "{kind}");
            assert!(report.skipped > 0 && report.written.events > 0, "{kind}: {report:?}");
            compare_what_is_stored(old.as_ref(), new.as_ref()).await.expect(kind);
            let (report, refused) = imported(new.as_ref(), &file).await;
            assert_eq!((refused, report.written.events), (vec![], 0), "{kind}");
        }
    });
}

/// The line that tells of an event.
fn line_of(lines: &[String], task: &str, number: u64) -> usize {
    let is_it = |line: &String| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        value["event"]["task"] == task
            && value["event"]["number"] == number
            && value["event"]["namespace"] == "default"
    };
    lines.iter().position(is_it).expect("its line")
}

#[test]
fn a_refused_line_is_named_with_its_reason_and_all_others_are_imported() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        lived(&Ledger::with_store(Arc::clone(&old)), &clock).await.expect("lived");
        let mut lines = lines(&exported(old.as_ref()).await);
        let altered = line_of(&lines, "failed", 2);
        lines[altered] = lines[altered].replace("\"actor\":\"w1\"", "\"actor\":\"w2\"");
        let follows = line_of(&lines, "failed", 3);
        let unknown = line_of(&lines, "compensated", 2);
        lines[unknown] = lines[unknown].replace("\"type\":\"cancel_asked\"", "\"type\":\"forgotten\"");
        let broken = line_of(&lines, "quarantined", 1);
        let gap = line_of(&lines, "quarantined", 2);
        lines[broken].truncate(30);
        let file = format!("{}\n", lines.join("\n"));
        for (kind, new) in &Stores::new(&clock).await.all {
            let (report, refused) = imported(new.as_ref(), file.as_bytes()).await;
            let reason = |line: usize| {
                let number = line as u64 + 1;
                let found = refused.iter().find(|one| one.line == number);
                found.unwrap_or_else(|| panic!("{kind}: line {number} of {refused:?}")).reason.clone()
            };
            assert!(reason(altered).contains("hash"), "{}", reason(altered));
            assert_eq!(
                reason(follows),
                format!("it follows line {} of its task, which was refused", altered + 1)
            );
            assert!(reason(unknown).contains("type forgotten is not known"), "{}", reason(unknown));
            assert!(reason(broken).contains("column"), "{}", reason(broken));
            assert!(reason(gap).contains("a line before it is missing or was refused"), "{}", reason(gap));
            assert!(reason(lines.len() - 1).contains("not what was exported"), "{}", reason(lines.len() - 1));
            assert_eq!(report.refused as usize, refused.len(), "{kind}");
            let ledger = Ledger::with_store(Arc::clone(new));
            assert_eq!(ledger.task("completed").await.expect(kind).state().as_str(), "completed");
            assert_eq!(ledger.task("failed").await.expect(kind).state().as_str(), "planned", "{kind}");
            holds(new, kind).await;
        }
    });
}

#[test]
fn a_store_with_other_tasks_takes_an_export_and_keeps_the_names_that_it_has() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        lived(&Ledger::with_store(Arc::clone(&old)), &clock).await.expect("lived");
        let file = exported(old.as_ref()).await;
        clock.advance(24 * HOUR);
        for (kind, new) in &Stores::new(&clock).await.all {
            let ledger = Ledger::with_store(Arc::clone(new));
            ledger.create("completed").queue("of-the-new-store").await.expect(kind);
            ledger.create("other").saga_id("saga-of-running").await.expect(kind);
            ledger.create("here-before").await.expect(kind);
            let (report, refused) = imported(new.as_ref(), &file).await;
            assert!(
                refused.iter().any(|one| one.reason.contains("with another history")),
                "{kind}: {refused:?}"
            );
            assert!(
                refused.iter().any(|one| one.reason.contains("saga-of-running is taken")),
                "{kind}: {refused:?}"
            );
            assert!(report.written.events > 10, "{kind}: {report:?}");
            let kept = ledger.task("completed").await.expect(kind);
            assert_eq!(kept.queue.as_str(), "of-the-new-store", "{kind}");
            assert!(ledger.task("running").await.is_err(), "{kind}: its saga id is taken");
            assert_eq!(ledger.task("failed").await.expect(kind).state().as_str(), "failed", "{kind}");
            holds(new, kind).await;
            ledger.create("here-after").await.expect(kind);
            searches_find_what_happened_long_ago(new, kind).await;
        }
    });
}

/// What was imported last happened a day before what is around it.
async fn searches_find_what_happened_long_ago(store: &Arc<dyn Store>, kind: &str) {
    let namespace = Ledger::with_store(Arc::clone(store)).namespace().clone();
    let yesterday = BEGINNING + Span::from_secs(12 * 3_600);
    for order in Order::ALL {
        let search = |change: &dyn Fn(&mut EventSearch)| {
            EventSearch::in_namespace(namespace.clone()).with(|search| {
                search.order = order;
                change(search);
            })
        };
        let found = async |search: EventSearch| {
            let found = store.search_events(search, None, EVERYTHING).await.expect(kind);
            let mut names: Vec<String> =
                found.page.items.iter().map(|one| one.event.subject.to_string()).collect();
            names.sort();
            names.dedup();
            names
        };
        let before = found(search(&|search| search.until = Some(yesterday))).await;
        assert!(before.contains(&"failed".to_owned()), "{kind}: {before:?}");
        assert!(!before.contains(&"here-before".to_owned()), "{kind}: {before:?}");
        let since = found(search(&|search| search.since = Some(yesterday))).await;
        assert_eq!(since, ["completed", "here-after", "here-before", "other"], "{kind}");
        let all = found(search(&|search| search.since = Some(BEGINNING))).await;
        assert!(
            all.contains(&"failed".to_owned()) && all.contains(&"here-after".to_owned()),
            "{kind}: {all:?}"
        );
    }
}

#[test]
fn an_export_of_the_future_is_refused_at_its_first_line_and_pushes_no_clock() {
    block_on(async {
        let ahead = ManualClock::at(BEGINNING);
        ahead.advance(5 * MINUTE);
        let old = memory(&ahead);
        Ledger::with_store(Arc::clone(&old)).create("t").await.expect("created");
        let file = exported(old.as_ref()).await;
        let clock = ManualClock::at(BEGINNING);
        for (kind, new) in &Stores::new(&clock).await.all {
            let (report, refused) = imported(new.as_ref(), &file).await;
            assert_eq!((refused.len(), refused[0].line), (1, 1), "{kind}: {refused:?}");
            assert!(refused[0].reason.contains("one of the clocks is wrong"), "{kind}: {refused:?}");
            assert_eq!(report.written.events, 0, "{kind}");
            assert_eq!(new.now().await.expect(kind), BEGINNING, "{kind}");
        }
        // A few seconds are no wrong clock, and the time of the store is never behind what it has.
        let seconds = ManualClock::at(BEGINNING);
        seconds.advance(Duration::from_secs(20));
        let old = memory(&seconds);
        Ledger::with_store(Arc::clone(&old)).create("t").await.expect("created");
        let file = exported(old.as_ref()).await;
        for (kind, new) in &Stores::new(&clock).await.all {
            let (_, refused) = imported(new.as_ref(), &file).await;
            assert_eq!(refused, [], "{kind}");
            let task = new.task(
                tenure::core::id::Namespace::new("default").expect("a name"),
                tenure::core::id::TaskId::new("t").expect("a name"),
            );
            let created_at = task.await.expect(kind).expect(kind).created_at;
            assert!(new.now().await.expect(kind) >= created_at, "{kind}");
        }
    });
}

#[test]
fn tokens_move_by_choice_and_are_valid_then() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        let ledger = Ledger::with_store(Arc::clone(&old));
        let token = ledger.create_token("ci", Role::Worker).await.expect("made");
        let without = exported(old.as_ref()).await;
        let with = exported_with(old.as_ref(), TokenHashes::Carried).await;
        let secret = token.0.reveal().to_owned();
        assert!(!String::from_utf8(with.clone()).expect("text").contains(&secret), "only its hash");
        for (kind, new) in &Stores::new(&clock).await.all {
            imported(new.as_ref(), &without).await;
            assert!(new.tokens(None).await.expect(kind).expect(kind).tokens.is_empty(), "{kind}");
            let (report, refused) = imported(new.as_ref(), &with).await;
            assert_eq!((refused, report.written.tokens), (vec![], 1), "{kind}");
            let (_, refused) = imported(new.as_ref(), &with).await;
            assert_eq!(refused, [], "{kind}: it is there already");
            let listed = new.tokens(None).await.expect(kind).expect(kind).tokens;
            assert_eq!(listed, old.tokens(None).await.expect(kind).expect(kind).tokens, "{kind}");
        }
    });
}

#[test]
fn no_epoch_is_granted_at_or_below_the_floor_of_the_old_store() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        Ledger::with_store(Arc::clone(&old)).create("t").await.expect("created");
        let mut lines = lines(&exported(old.as_ref()).await);
        lines[0] = lines[0].replace("\"epoch_floor\":0", "\"epoch_floor\":4294967296");
        let file = format!("{}\n", lines.join("\n"));
        for (kind, new) in &Stores::new(&clock).await.all {
            imported(new.as_ref(), file.as_bytes()).await;
            let task = Ledger::with_store(Arc::clone(new)).acquire("t", "w1").await.expect(kind);
            assert_eq!(task.epoch.0, 4_294_967_297, "{kind}");
            let again = lines_of_floor(new).await;
            assert!(again.contains("\"epoch_floor\":4294967296"), "{kind}: {again}");
        }
    });
}

async fn lines_of_floor(store: &Arc<dyn Store>) -> String {
    lines(&exported(store.as_ref()).await).swap_remove(0)
}

#[test]
fn an_event_that_was_changed_ends_the_export_and_is_named() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        lived(&Ledger::with_store(Arc::clone(&store)), &clock).await.expect("lived");
        let file = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
        file.execute_batch(
            "drop trigger events_do_not_change; update events set actor = 'm' \
             where number = 2 and task = (select no from tasks where id = 'failed')",
        )
        .expect("changed");
        let mut exporter = Exporter::begin(store.as_ref(), TokenHashes::Left).await.expect("begun");
        let failed = loop {
            match exporter.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it is not whole"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&failed, Error::Corrupt(_)), "{failed:?}");
        assert!(failed.to_string().contains("event 2 of default/failed does not continue"), "{failed}");
    });
}

#[test]
fn a_store_behind_a_server_is_moved_beside_its_database() {
    let clock = ManualClock::at(BEGINNING);
    let served = Served::on(memory(&clock));
    block_on(async {
        let far = Ledger::open(&served.url).await.expect("a server");
        let refused = Exporter::begin(far.store().as_ref(), TokenHashes::Left).await.err().expect("refused");
        assert!(refused.to_string().contains("runs beside the database, not over HTTP"), "{refused}");
    });
}
