//! Exports and imports of what retention keeps: names of pruned tasks, anchors, and named cursors.

use std::sync::Arc;
use std::time::Duration;

use tenure::backup::{BackupOptions, BackupProgress, RestoreOptions, back_up, restore};
use tenure::clock::ManualClock;
use tenure::core::refusal::Code;
use tenure::store::retention::{AnchorPurpose, AnchorRecord};
use tenure::store::{Cursor, Store};
use tenure::transfer::{Exporter, TokenHashes};
use tenure::{Error, Ledger};
use tenure_testkit::moving::{Stores, content, exported, imported, lines};
use tenure_testkit::retained::{done, half_pruned, prune};
use tenure_testkit::server::{Server, required};
use tenure_testkit::{BEGINNING, block_on, memory};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn ledger(store: &Arc<dyn Store>) -> Ledger {
    Ledger::with_store(Arc::clone(store))
}

async fn anchors(store: &Arc<dyn Store>) -> Vec<AnchorRecord> {
    let records = store.retention().anchors(0, 100).await.expect("anchors");
    records.into_iter().map(|record| AnchorRecord { number: 0, ..record }).collect()
}

async fn holds(store: &Arc<dyn Store>, place: &str) {
    let report = ledger(store).verify(None).await.expect(place);
    assert!(report.holds(), "{place}: {:?}", report.findings);
}

/// What a follower is given next.
async fn ahead(ledger: &Ledger, name: &str) -> Result<Vec<(String, u64)>, Error> {
    let place = Cursor::from_text(ledger.named_cursor(name).await?.cursor);
    let items = ledger.events(Some(place), 100).await?.items;
    Ok(items.into_iter().map(|one| (one.event.subject.to_string(), one.event.number.0)).collect())
}

#[test]
fn what_was_pruned_moves_with_its_names_its_anchors_and_the_followers() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        for (kind, old) in &Stores::new(&clock).await.all {
            let before = ledger(old);
            let anchor = half_pruned(&before, &clock).await.expect(kind);
            let file = exported(old.as_ref()).await;
            for (other, new) in &Stores::new(&clock).await.all {
                let place = format!("{kind} into {other}");
                let (report, refused) = imported(new.as_ref(), &file).await;
                assert_eq!(refused, [], "{place}");
                let written = report.written;
                assert_eq!((written.anchors, written.pruned, written.followers), (4, 5, 4), "{place}");
                let after = ledger(new);
                for code in [
                    after.create("old-1").await.expect_err(&place).code(),
                    after.create("saga-of-old-2").await.expect_err(&place).code(),
                    after.create("new").saga_id("saga-of-old-3").await.expect_err(&place).code(),
                    after
                        .in_namespace("elsewhere")
                        .expect(&place)
                        .create("old-1")
                        .await
                        .expect_err(&place)
                        .code(),
                ] {
                    assert_eq!(code, Some(Code::Exists), "{place}");
                }
                let gone = after.task("old-1").await.expect_err(&place).to_string();
                assert_eq!(gone, before.task("old-1").await.expect_err(&place).to_string(), "{place}");
                assert_eq!(anchors(new).await, anchors(old).await, "{place}");
                let report = after.verify(Some(&anchor)).await.expect(&place);
                assert!(report.holds(), "{place}: {:?}", report.findings);
                assert_eq!((report.pruned, report.tasks), (5, 4), "{place}");
                let heads = async |ledger: &Ledger| ledger.anchor().await.expect("an anchor").root;
                assert_eq!(heads(&after).await, heads(&before).await, "{place}");
                for name in ["nothing", "part", "all"] {
                    let (one, other) = (ahead(&before, name).await, ahead(&after, name).await);
                    assert_eq!(one.expect(&place), other.expect(&place), "{place}: {name}");
                }
                assert_eq!(ahead(&after, "part").await.expect(&place).len(), 4, "{place}");
                let (report, refused) = imported(new.as_ref(), &file).await;
                assert_eq!(
                    (refused, report.written.anchors, report.written.followers),
                    (vec![], 0, 0),
                    "{place}"
                );
                assert_eq!(content(&exported(new.as_ref()).await), content(&file), "{place}, again");
            }
        }
    });
}

#[test]
fn a_backup_of_a_database_has_what_retention_keeps() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let builder = || Ledger::builder().clock(Arc::new(clock.clone()));
        let (old, new) = (server.url(&server.fresh_schema()), server.url(&server.fresh_schema()));
        let before = builder().open(&old).await.expect("opens");
        let anchor = half_pruned(&before, &clock).await.expect("pruned");
        let folder = tempfile::tempdir().expect("a folder");
        let (file, progress) = (folder.path().join("tasks.backup"), BackupProgress::default());
        back_up(builder(), &old, &file, &BackupOptions::default(), &progress).await.expect("backed up");
        restore(builder(), &new, &file, &RestoreOptions::default(), &progress).await.expect("restored");
        let after = builder().open(&new).await.expect("opens");
        let of = async |ledger: &Ledger| content(&exported(ledger.store().as_ref()).await);
        assert_eq!(of(&after).await, of(&before).await, "anchors, pruned names and followers, too");
        assert_eq!(after.create("old-1").await.expect_err("taken").code(), Some(Code::Exists));
        let report = after.verify(Some(&anchor)).await.expect("verified");
        assert!(report.holds() && report.pruned == 5, "{report:?}");
    });
}

#[test]
fn a_store_with_pruned_tasks_of_its_own_takes_what_is_not_in_its_way() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        half_pruned(&ledger(&old), &clock).await.expect("pruned");
        let file = exported(old.as_ref()).await;
        for (kind, new) in &Stores::new(&clock).await.all {
            let here = ledger(new);
            done(&here, "old-1").await.expect(kind);
            done(&here, "own").await.expect(kind);
            clock.advance(100 * DAY);
            prune(&here, 90).await.expect(kind);
            here.create("old-2").await.expect(kind);
            here.create("other").saga_id("saga-of-old-3").await.expect(kind);
            here.move_cursor("part", here.events(None, 1).await.expect(kind).items[0].cursor.clone())
                .await
                .expect(kind);
            for run in ["first", "second"] {
                let place = format!("{kind}, {run} run");
                let (report, refused) = imported(new.as_ref(), &file).await;
                let reason = |words: &str| {
                    let found = refused.iter().find(|one| one.reason.contains(words));
                    found.unwrap_or_else(|| panic!("{place}: {words}: {refused:?}")).clone()
                };
                let step = reason("default/old-1 was pruned in this store, too, with another history");
                assert!(
                    step.reason
                        .contains("default/old-2 was pruned behind event 3, and is a task of this store"),
                    "{step:?}"
                );
                assert!(step.reason.contains("saga-of-old-3 is taken by another task"), "{step:?}");
                assert!(!step.reason.contains("old-4"), "{step:?}");
                assert_eq!(step.line, 3, "{place}");
                reason("up to the place of the cursor all this store has other events in default");
                let behind = reason("a cursor named part is in default already");
                assert!(behind.reason.contains("--cursor-name part --forget"), "{behind:?}");
                assert_eq!(refused.len(), 3, "{place}: {refused:?}");
                let written = if run == "first" { (4, 2, 2) } else { (0, 0, 0) };
                let counts = report.written;
                assert_eq!((counts.anchors, counts.pruned, counts.followers), written, "{place}");
                holds(new, &place).await;
            }
            assert_eq!(here.create("old-4").await.expect_err(kind).code(), Some(Code::Exists), "{kind}");
            // It has seen nothing, so it is in front of all, also of what was here before.
            let all = here.events(None, 100).await.expect(kind).items.len();
            assert_eq!(ahead(&here, "nothing").await.expect(kind).len(), all, "{kind}");
            // The part that was taken moves on as it is.
            let third = memory(&clock);
            let (_, refused) = imported(third.as_ref(), &exported(new.as_ref()).await).await;
            assert_eq!(refused, [], "{kind}");
            assert_eq!(anchors(&third).await, anchors(new).await, "{kind}");
            holds(&third, kind).await;
        }
    });
}

#[test]
fn two_exports_one_from_before_a_prune_and_one_from_after_it_go_into_one_store_in_either_order() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        let before = ledger(&old);
        for id in ["old-1", "old-2"] {
            done(&before, id).await.expect("done");
        }
        before.create("open").await.expect("created");
        clock.advance(100 * DAY);
        let whole = exported(old.as_ref()).await;
        prune(&before, 90).await.expect("pruned");
        let half = exported(old.as_ref()).await;
        for (kind, new) in &Stores::new(&clock).await.all {
            // What is here whole is more than what is left of it there.
            assert_eq!(imported(new.as_ref(), &whole).await.1, [], "{kind}");
            let (report, refused) = imported(new.as_ref(), &half).await;
            assert_eq!((refused, report.written.anchors), (vec![], 0), "{kind}");
            ledger(new).task("old-1").await.expect(kind);
            prune(&ledger(new), 90).await.expect(kind);
            assert_eq!(imported(new.as_ref(), &half).await.1, [], "{kind}: it was pruned here, too");
            holds(new, kind).await;
        }
        for (kind, new) in &Stores::new(&clock).await.all {
            assert_eq!(imported(new.as_ref(), &half).await.1, [], "{kind}");
            let (report, refused) = imported(new.as_ref(), &whole).await;
            assert_eq!((refused.len(), report.written.events), (6, 0), "{kind}: {refused:?}");
            assert!(
                refused[0].reason.contains("the task default/old-1 was pruned in this store at"),
                "{refused:?}"
            );
            let line = refused[0].line;
            assert_eq!(refused[1].reason, format!("it follows line {line} of its task, which was refused"));
            ledger(new).task("old-1").await.expect_err(kind);
            holds(new, kind).await;
        }
    });
}

#[test]
fn a_changed_record_of_pruned_tasks_is_refused_by_its_line() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        half_pruned(&ledger(&old), &clock).await.expect("pruned");
        let mut lines = lines(&exported(old.as_ref()).await);
        let step = lines.iter().position(|line| line.contains("old-2")).expect("its line");
        lines[step] = lines[step].replacen("\"number\":3", "\"number\":4", 1);
        let audit = lines.iter().position(|line| line.contains("\"purpose\":\"audit\"")).expect("its line");
        lines[audit] = lines[audit].replace("}}", ",\"more\":1}}");
        let follower = lines.iter().position(|line| line.contains("\"name\":\"part\"")).expect("its line");
        lines[follower] = lines[follower].replacen("\"events\":", "\"events\":1", 1);
        let file = format!("{}\n", lines.join("\n"));
        for (kind, new) in &Stores::new(&clock).await.all {
            let (report, refused) = imported(new.as_ref(), file.as_bytes()).await;
            let reason = |line: usize| {
                let found = refused.iter().find(|one| one.line == line as u64 + 1);
                found.unwrap_or_else(|| panic!("{kind}: line {line} of {refused:?}")).reason.clone()
            };
            assert!(reason(step).contains("whose root is another one"), "{}", reason(step));
            assert!(reason(audit).contains("unknown field `more`"), "{}", reason(audit));
            assert!(reason(follower).contains("other events in default"), "{}", reason(follower));
            assert!(reason(lines.len() - 1).contains("not what was exported"), "{refused:?}");
            assert_eq!(
                (report.written.anchors, report.written.pruned),
                (2, 1),
                "{kind}: the others are taken"
            );
            ledger(new).create("old-2").await.expect(kind);
            holds(new, kind).await;
        }
    });
}

#[test]
fn a_prune_while_an_export_runs_ends_it_and_says_so() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        for (kind, store) in &Stores::new(&clock).await.all {
            let ledger = ledger(store);
            half_pruned(&ledger, &clock).await.expect(kind);
            ledger
                .move_cursor(
                    "part",
                    ledger.events(None, 100).await.expect(kind).items.pop().expect("events").cursor,
                )
                .await
                .expect(kind);
            ledger.forget_cursor("nothing").await.expect(kind);
            clock.advance(100 * DAY);
            let mut exporter = Exporter::begin(store.as_ref(), TokenHashes::Left).await.expect(kind);
            exporter.next().await.expect(kind).expect("the header");
            exporter.next().await.expect(kind).expect("anchors");
            assert_eq!(prune(&ledger, 90).await.expect(kind).pruned.sum(), 2, "{kind}");
            let failed = loop {
                match exporter.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{kind}: it is not whole"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(failed, Error::Unavailable(_)), "{kind}: {failed:?}");
            assert!(failed.to_string().contains("tasks were pruned while the export ran"), "{failed}");
            assert!(exporter.next().await.expect(kind).is_none(), "{kind}: and it has no last line");
            exported(store.as_ref()).await;
        }
    });
}

#[test]
fn a_follower_that_is_here_already_is_not_moved_and_says_how_it_is() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        let before = ledger(&old);
        done(&before, "a").await.expect("done");
        let first = before.events(None, 1).await.expect("events").items.remove(0).cursor;
        before.move_cursor("mailer", first).await.expect("moved");
        let early = exported(old.as_ref()).await;
        let last = before.events(None, 100).await.expect("events").items.pop().expect("events").cursor;
        before.move_cursor("mailer", last).await.expect("moved");
        let late = exported(old.as_ref()).await;
        for (kind, new) in &Stores::new(&clock).await.all {
            let after = ledger(new);
            assert_eq!(imported(new.as_ref(), &early).await.1, [], "{kind}");
            assert_eq!(ahead(&after, "mailer").await.expect(kind).len(), 2, "{kind}");
            let refused = imported(new.as_ref(), &late).await.1;
            assert_eq!(refused.len(), 1, "{kind}: {refused:?}");
            assert!(refused[0].reason.contains("is not as far as this one"), "{refused:?}");
            assert_eq!(ahead(&after, "mailer").await.expect(kind).len(), 2, "{kind}: it stays");
            after.forget_cursor("mailer").await.expect(kind);
            assert_eq!(imported(new.as_ref(), &late).await.1, [], "{kind}");
            assert_eq!(ahead(&after, "mailer").await.expect(kind).len(), 0, "{kind}");
            assert_eq!(imported(new.as_ref(), &early).await.1, [], "{kind}: it went on here");
            // Also where what it has seen is pruned by now.
            clock.advance(100 * DAY);
            assert_eq!(prune(&after, 90).await.expect(kind).pruned.sum(), 1, "{kind}");
            let refused = imported(new.as_ref(), &late).await.1;
            assert!(refused.iter().all(|one| !one.reason.contains("cursor")), "{kind}: {refused:?}");
        }
    });
}

#[test]
fn the_newest_anchor_is_the_one_that_was_made_last_and_not_the_one_that_was_imported_last() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let old = memory(&clock);
        half_pruned(&ledger(&old), &clock).await.expect("pruned");
        let file = exported(old.as_ref()).await;
        clock.advance(DAY);
        for (kind, new) in &Stores::new(&clock).await.all {
            let own = ledger(new).record_anchor(&ledger(new).anchor().await.expect(kind)).await.expect(kind);
            assert_eq!(imported(new.as_ref(), &file).await.1, [], "{kind}");
            let newest = new.retention().newest_anchor(AnchorPurpose::Audit).await.expect(kind);
            assert_eq!(newest, Some(own), "{kind}");
        }
    });
}
