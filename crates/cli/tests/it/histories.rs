//! Tests `events` and `audit`, also on histories that were changed.

use insta::assert_snapshot;

use crate::frozen::{self, Frozen};

#[test]
fn events_are_the_history_and_the_history_can_be_verified() {
    let world = Frozen::world();
    world.given(
        "task create --id a --undo remove=/tmp/a
         task create --id b
         task acquire a --owner w1
         task complete a --owner w1 --epoch 1",
    );
    assert_snapshot!(
        world.tells(
            r#"
            events --task a
            events --after e2 --limit 1 -o json
            -q events
            audit verify
            audit verify -o json
            audit anchor
            "#
        ),
        @r#"
    $ tenure events --task a
    CURSOR  TIME                  TASK  #  EVENT      BY     DATA
    e1      2026-01-31T12:00:00Z  a     1  created    alice  {"saga_id":"a","queue":"default","kind":"task","labels":{},"payload":null,"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1,"backoff":{"base":"1s","factor":2,"cap":"5m"},"when_spent":"compensated","on_lapse":"recover"},"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","registered":"before_lease","status":"standing","tries":0}],"created_at":"2026-01-31T12:00:00.000000Z"}
    e3      2026-01-31T12:00:00Z  a     2  acquired   w1     {"owner":"w1","epoch":1,"ttl":"60s","expires_at":"2026-01-31T12:01:00.000000Z"}
    e4      2026-01-31T12:00:00Z  a     3  completed  w1     {"state":"completed","cause":"completed","finished_at":"2026-01-31T12:00:00.000000Z","lease":{"owner":"w1","epoch":1,"heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z"}}
    $ tenure events --after e2 --limit 1 -o json
    {"cursor":"e3","namespace":"default","task":"a","number":2,"at":"2026-01-31T12:00:00.000000Z","type":"acquired","actor":"w1","data":{"owner":"w1","epoch":1,"ttl":"60s","expires_at":"2026-01-31T12:01:00.000000Z"},"hash":"0c31b58793560860c6f38ea49d874f01cdf7d37c7eb9046458de9229fdb677f1"}
    $ tenure -q events
    e1
    e2
    e3
    e4
    $ tenure audit verify
    verified: 2 tasks, 4 events
    $ tenure audit verify -o json
    {"report":{"holds":true,"tasks":2,"events":4,"findings":[]}}
    $ tenure audit anchor
    tenure-anchor 1
    cursor e4
    root 3470973fd17adfb50f6698bca11e052d5676e25c938048829cffa75959385d4c
    default a 3 b48d50d84b984f20d59dcc999e86ae8706eb30bb8e82350f8ae88e7c1f6f535a
    default b 1 4bf13208d5e223fc15dbe366fac15b43c7d451b56bc0d86ca0177e4ba9f9fb3f
    "#
    );
    let anchor = world.write("anchor", &world.run("audit anchor").out);
    assert_snapshot!(world.run(&format!("audit verify --anchor {anchor}")).out, @"verified: 2 tasks, 4 events");
}

#[test]
fn a_history_that_was_tampered_with_is_named_and_the_status_is_1() {
    let world = Frozen::world();
    world.given("task create --id a --payload '{\"amount\":1}'");
    let connection = rusqlite::Connection::open(frozen::file(&world)).expect("opens");
    connection
        .execute_batch("drop trigger events_do_not_change; update events set actor = 'mallory'")
        .expect("changed");
    assert_snapshot!(
        world.tells(
            r#"
            audit verify
            audit verify -o json
            "#
        ),
        @r#"
    $ tenure audit verify
    default/a: event 1 was changed
    not verified: 1 finding in 1 task, 1 event
    status 1
    $ tenure audit verify -o json
    {"report":{"holds":false,"tasks":1,"events":1,"findings":[{"task":"default/a","number":1,"message":"default/a: event 1 was changed"}]}}
    status 1
    "#
    );
}

#[test]
fn who_reads_or_changes_a_task_whose_history_was_changed_is_told() {
    let world = Frozen::world();
    world.given(
        "task create --id one
         task acquire one --owner w1
         task create --id two",
    );
    assert_eq!(
        world.tells("audit verify --task one"),
        "$ tenure audit verify --task one\nverified: 1 task, 2 events\n"
    );
    let connection = rusqlite::Connection::open(frozen::file(&world)).expect("opens");
    connection.execute("update tasks set head = zeroblob(32) where id = 'one'", []).expect("changed");
    for verb in ["task show one", "task why one", "events --task one"] {
        let told = world.tells(verb);
        assert!(
            told.contains("error: the history of this task is not what was recorded: default/one: "),
            "{told}"
        );
        assert!(told.contains("see `tenure audit verify --task one`"), "{told}");
        assert!(told.contains("one") && told.contains("w1"), "it is shown all the same: {told}");
    }
    assert!(!world.tells("task show two").contains("error"), "others are as they were");
    let told = world.tells("task note one --as alice seen");
    assert!(told.contains("error: corrupt, nothing was done: ") && told.contains("status 1\n"), "{told}");
    let told = world.tells("task note one --as alice seen -o json");
    assert!(told.contains("{\"corrupt\":{\"message\":\""), "{told}");
    let told = world.tells("audit verify --task one");
    assert!(told.contains("not verified") && told.contains("status 1\n"), "{told}");
    let told = world.tells("audit verify --task nobody");
    assert!(told.contains("there is no task nobody") && told.contains("status 4\n"), "{told}");
}

#[test]
fn a_history_with_large_events_is_listed_to_its_end() {
    let world = Frozen::world();
    let payload = "x".repeat(250_000);
    for number in 0..50 {
        world.given(&format!("task create --id t{number} --payload \"{payload}\""));
    }
    let told = world.tells("events -o json");
    assert_eq!(told.matches("\"type\":\"created\"").count(), 50, "over several pages");
}

#[test]
fn an_event_that_can_not_be_read_is_named_among_the_others_and_the_status_is_1() {
    let world = Frozen::world();
    world.given(
        "task create --id one
         task create --id two",
    );
    let connection = rusqlite::Connection::open(frozen::file(&world)).expect("opens");
    let changed = "drop trigger events_do_not_change; update events set data = '{' where \"order\" = 1";
    connection.execute_batch(changed).expect("changed");
    let told = world.tells("events");
    assert!(told.contains("error: the event at e1 can't be read and was skipped"), "{told}");
    let passed_over_none = told.lines().any(|line| line.contains("two") && line.contains("created"));
    assert!(passed_over_none && told.contains("status 1\n"), "{told}");
}
