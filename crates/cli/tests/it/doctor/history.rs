//! Tests what `tenure doctor` says of the history and of its anchors.

use std::fs;

use rusqlite::Connection;

use crate::frozen::{Frozen, file};

use super::{Found, change, mend, record_an_anchor_by, with_sql};

#[test]
fn a_history_that_was_changed_fails() {
    let world = Frozen::world();
    world.given("task create --id a\ntask create --id b");
    with_sql(
        &world,
        "drop trigger events_do_not_change; update events set actor = 'mallory' where \"order\" = 1",
    );
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("chain")), (1, "fail"));
    assert!(found.says("chain").contains("default/a: event 1 was changed"), "{}", found.said);
    assert_eq!(world.run(found.mend("chain").trim_start_matches("tenure ")).status, 1, "it shows the same");
    with_sql(&world, "update events set actor = 'alice'");
    assert_eq!(Found::of(&world, "--deep").verdict("chain"), "pass", "put back as it was");
}

#[test]
fn the_record_of_the_newest_anchor_says_who_made_it_and_whether_its_root_is_still_that_of_the_history() {
    let world = Frozen::world();
    change(world.folder.path(), 0o700);
    world.given("task create --id a\ntask create --id b\ntask acquire b --owner w1\ntask complete b --owner w1 --epoch 1");
    let found = Found::of(&world, "");
    assert!(found.says("anchor").starts_with("no anchor was ever recorded"), "{}", found.said);
    record_an_anchor_by(&world, &found.mend("anchor"));
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("anchor"), "pass", "{}", found.said);
    assert_eq!(
        found.says("anchor"),
        "alice recorded the newest anchor 0ms ago, and the history still has its root"
    );
    assert_eq!(found.check("anchor")["by"], "alice");
    // What happens later is not in it.
    world.tick(60);
    world.given("task create --id c\ntask acquire a --owner w1\ntask complete a --owner w1 --epoch 1");
    assert!(Found::of(&world, "").says("anchor").ends_with("ago, and the history still has its root"));
    assert!(
        Found::of(&world, "--namespace default").says("anchor").ends_with("its root is over all namespaces")
    );
    world.tick(8 * 86_400);
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("anchor"), "warn", "{}", found.said);
    record_an_anchor_by(&world, &found.mend("anchor"));
    assert_eq!(Found::of(&world, "").verdict("anchor"), "pass");
    // Of a task that is pruned nobody knows where its line stood.
    world.given("prune --older-than 7d");
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("anchor"), "pass", "{}", found.said);
    assert!(found.says("anchor").contains("tasks were pruned since"), "{}", found.said);
    record_an_anchor_by(&world, "tenure audit anchor > anchor");
    assert!(Found::of(&world, "").says("anchor").ends_with("still has its root"));

    let whole = fs::read(file(&world)).expect("read");
    with_sql(
        &world,
        "drop trigger events_stay; drop trigger tasks_stay; pragma foreign_keys = off; \
         delete from events where task = 3; delete from due where task = 3; delete from tasks where no = 3",
    );
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("anchor")), (1, "fail"), "{}", found.said);
    assert!(
        found.says("anchor").contains("1 task that it has is not here any more, nor pruned"),
        "{}",
        found.said
    );
    assert_eq!(world.run(found.mend("anchor").trim_start_matches("tenure ")).status, 0, "the rest holds");
    fs::write(file(&world), whole).expect("put back");
    assert_eq!(Found::of(&world, "").verdict("anchor"), "pass", "put back as it was");
}

#[test]
fn a_tail_that_was_cut_off_behind_the_recorded_anchor_fails() {
    let world = Frozen::world();
    world.given("task create --id a\ntask create --id b\ntick 1\ntask acquire b --owner w1\ntick 1");
    let whole = fs::read(file(&world)).expect("read");
    world.given("task complete b --owner w1 --epoch 1");
    record_an_anchor_by(&world, &Found::of(&world, "").mend("anchor"));
    // played: a copy that was made before the newest event, with the record that it had in the meantime
    let record = Connection::open(file(&world)).expect("opens");
    let record: (i64, String, String, Vec<u8>, i64, i64, String) = record
        .query_row("select no, purpose, cursor, root, lines, at, by from anchors", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })
        .expect("a record");
    fs::write(file(&world), whole).expect("put back");
    let older = Connection::open(file(&world)).expect("opens");
    older
        .execute(
            "insert into anchors (no, purpose, cursor, root, lines, at, by) values (?, ?, ?, ?, ?, ?, ?)",
            record,
        )
        .expect("written");
    drop(older);
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("anchor")), (1, "fail"), "{}", found.said);
    assert!(found.says("anchor").contains("events were cut off"), "{}", found.said);
    assert_eq!(found.mend("anchor"), "tenure audit verify");
}

#[test]
fn a_history_with_another_root_than_the_recorded_one_warns() {
    let world = Frozen::world();
    world.given("task create --id a\ntask create --id b");
    record_an_anchor_by(&world, &Found::of(&world, "").mend("anchor"));
    with_sql(&world, "drop trigger anchors_do_not_change; update anchors set root = zeroblob(32)");
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("anchor")), (0, "warn"), "{}", found.said);
    assert!(found.says("anchor").contains("pass it with --anchor"), "{}", found.said);
}

#[test]
fn events_whose_task_was_deleted_fail() {
    let world = Frozen::world();
    world.given("task create --id a\ntask create --id b\ntask create --id c");
    with_sql(
        &world,
        "drop trigger tasks_stay; pragma foreign_keys = off; delete from due where task = 1; delete from tasks where no = 1",
    );
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("chain")), (1, "fail"), "{}", found.said);
    assert!(found.says("chain").contains("the task of row 1, which was deleted"), "{}", found.said);
    let verified = world.run(&found.mend("chain").replace("tenure ", ""));
    assert!(
        verified.status == 1 && verified.out.contains("the task of row 1, which was deleted"),
        "{}",
        verified.out
    );
}

#[test]
fn an_anchor_is_missed_then_verified_against_and_then_too_old() {
    let world = Frozen::world();
    world.given("task create --id a\ntask create --id b");
    let write = Found::of(&world, "").mend("anchor");
    let (command, name) = write.split_once(" > ").expect("a command and a file");
    assert_eq!(name, "anchor-2026-01-31");
    let anchor = world.write(name, &mend(&world, command).out);
    let options = format!("--anchor {anchor}");
    assert_eq!(Found::of(&world, &options).verdict("anchor"), "pass");
    world.given("task create --id c");
    let found = Found::of(&world, &options);
    assert_eq!((found.verdict("anchor"), found.verdict("chain")), ("pass", "pass"), "{}", found.said);
    world.tick(8 * 86_400);
    let found = Found::of(&world, &options);
    assert_eq!(found.verdict("anchor"), "warn", "{}", found.said);
    let (command, name) =
        found.mend("anchor").split_once(" > ").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("both");
    let anchor = world.write(&name, &mend(&world, &command).out);
    assert_eq!(Found::of(&world, &format!("--anchor {anchor}")).verdict("anchor"), "pass");
    // A task that is gone shows only by an anchor.
    with_sql(
        &world,
        "drop trigger events_stay; drop trigger tasks_stay; pragma foreign_keys = off; \
         delete from events where task = 1; delete from due where task = 1; delete from tasks where no = 1",
    );
    assert_eq!(Found::of(&world, "").verdict("chain"), "pass");
    let found = Found::of(&world, &format!("--anchor {anchor}"));
    assert!(found.says("chain").contains("default/a: the task was removed"), "{}", found.said);
    assert_eq!(world.run(&format!("doctor --anchor {}", world.write("x", "no anchor"))).status, 2);
}
