//! Tests what people change by hand: receipts of undos, labels, records, and tasks that move in while they are worked on.

use insta::assert_snapshot;

use crate::frozen::Frozen;

#[test]
fn an_undo_that_was_done_by_hand_has_its_receipt_and_who_says_so() {
    let world = Frozen::world();
    world.given(
        "task create --id t --undo a=x --undo b=y --max-attempts 2
         task acquire t --owner w1
         task rollback t --owner w1 --epoch 1 --reason gone",
    );
    assert_snapshot!(
        world.tells(
            r#"
            task undo settle t 2 --as alice --error 'no route'
            task undo settle t 2 --as alice --receipt 'closed by hand' --reason 'the forge is away'
            task undo list t
            events --task t --after e3
            task undo settle t 1 --as alice --receipt 'removed by hand'
            "#
        ),
        @r#"
    $ tenure task undo settle t 2 --as alice --error 'no route'
    error: no lease given: pass --owner and --epoch, as acquire printed them
      → see `tenure task undo settle --help`
    status 2
    $ tenure task undo settle t 2 --as alice --receipt 'closed by hand' --reason 'the forge is away'
    t is compensating: 1 compensation must be undone; recovery may start now, since 2026-01-31T12:00:00Z, and once that is undone it is planned again; its holder rolled it back: gone
    $ tenure task undo list t
    NUMBER  STATUS  KIND  TARGET  REASON  OUTCOME
    2       done    b     y               receipt by alice, by hand: closed by hand
    1       owed    a     x
    $ tenure events --task t --after e3
    CURSOR  TIME                  TASK  #  EVENT    BY     DATA
    e4      2026-01-31T12:00:00Z  t     4  settled  alice  {"seq":2,"epoch":1,"receipt":"closed by hand","by_hand":"the forge is away"}
    $ tenure task undo settle t 1 --as alice --receipt 'removed by hand'
    t is planned: it may be acquired, or claimed from the queue default, from 2026-01-31T12:00:01Z on (in 1s), after 1 of 2 attempts
    "#
    );
    let told = world.told("task undo settle t 1 --owner w1 --epoch 1 --receipt x --reason y");
    assert!(told.contains("cannot be used with") && told.ends_with("status 2\n"), "{told}");
}

#[test]
fn a_lease_in_the_environment_settles_by_that_lease() {
    let mut world = Frozen::world();
    world.given("task create --id t\ntask acquire t --owner w1");
    world.given("task undo add t --owner w1 --epoch 1 --kind a --target x");
    world.set("TENURE_TASK", "t").set("TENURE_OWNER", "w1").set("TENURE_EPOCH", "1");
    let told = world.told("task undo settle 1 --receipt gone --reason why");
    assert!(
        told.contains("--reason is only for operators; pass --as") && told.ends_with("status 2\n"),
        "{told}"
    );
    let task = world.given("task undo settle 1 --receipt gone").run("task show -o json").json();
    let undone = &task["task"]["compensations"][0];
    assert_eq!((undone["status"].as_str(), undone["settled_by"].as_str()), (Some("done"), None));
    let labelled = world.given("task label --set pr=12").run("task show -o json").json();
    assert_eq!(labelled["task"]["labels"]["pr"], "12");
    let told = world.told("task label --set pr=13 --reason why");
    assert!(told.contains("pass --as to act as one") && told.ends_with("status 2\n"), "{told}");
}

#[test]
fn what_was_undone_by_hand_is_given_with_the_end() {
    let world = Frozen::world();
    for id in ["closed", "again"] {
        world.given(&format!("task create --id {id} --undo a=x --undo b=y\ntask acquire {id} --owner w1"));
    }
    world.given(
        "task compensate closed --as bob --reason cleaned --receipt '1=removed by hand' --waive 2=gone
         task quarantine again --owner w1 --epoch 1 --reason look
         task retry again --as bob --id again2 --reason mended --receipt '2=closed by hand' --waive 1=gone",
    );
    let of = |id: &str| world.run(&format!("task show {id} -o json")).json()["task"].clone();
    let closed = of("closed");
    assert_eq!((&closed["state"], &closed["owed"]), (&"compensated".into(), &0.into()));
    assert_eq!(closed["compensations"][0]["receipt"], "removed by hand");
    assert_eq!(closed["compensations"][0]["settled_by"], "bob");
    assert_eq!(of("again2")["owed"], 0);
    let wrong = world.told("task retry again --reason x --receipt gone");
    assert!(wrong.contains("expected NUMBER=RECEIPT, such as '2=removed by hand'"), "{wrong}");
}

#[test]
fn labels_are_set_and_removed_by_the_holder_and_by_a_person() {
    let world = Frozen::world();
    world.given("task create --id t --label issue=168\ntask acquire t --owner w1");
    let labels = || world.run("task show t -o json").json()["task"]["labels"].to_string();
    world.given(
        "task label t --owner w1 --epoch 1 --set pr=12 --set team=infra --unset issue --unset nothing",
    );
    assert_eq!(labels(), r#"{"pr":"12","team":"infra"}"#);
    world.given("task label t --as alice --unset team --reason 'handed over'");
    assert_eq!(labels(), r#"{"pr":"12"}"#);
    assert_snapshot!(
        world.tells(
            r#"
            task label t --as alice
            task label t --as alice --set a=1 --set a=2
            task label t --owner w2 --epoch 1 --set a=1
            task complete t --owner w1 --epoch 1
            task label t --as alice --set a=1
            "#
        ),
        @"
    $ tenure task label t --as alice
    error: the following required arguments were not provided:
      <--set <KEY=VALUE>|--unset <KEY>>

    Usage: tenure task label --as <WHO> <--set <KEY=VALUE>|--unset <KEY>> <ID>

    For more information, try '--help'.
    status 2
    $ tenure task label t --as alice --set a=1 --set a=2
    error: refused: invalid: labels: the key a is given twice
    status 3
    $ tenure task label t --owner w2 --epoch 1 --set a=1
    error: refused: wrong_owner: the lease belongs to another owner (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → pass the --owner that acquired the task; see `tenure task why t`
    status 3
    $ tenure task complete t --owner w1 --epoch 1
    t is completed since 2026-01-31T12:00:00Z (just now)
    $ tenure task label t --as alice --set a=1
    error: refused: terminal: the task has ended and can't be changed; `retry` makes a new task from one that ended badly
      → a completed task does not change; `tenure task note t '…'` adds a note
    status 3
    "
    );
}

#[test]
fn a_record_is_changed_field_by_field() {
    let world = Frozen::world();
    world.given(
        "task create --id t --label issue=168 --not-before 2026-02-01T00:00:00Z --stall-after 5m --undo a=x",
    );
    assert_snapshot!(
        world.tells(
            r#"
            task set t --as bob --queue slow --kind import --priority -2 --label team=infra --unset-label issue --not-before none --payload '{"n":1}' --undo b=y --undo-reason 'opened by hand' --max-attempts 3 --on-lapse either --recover-after 90s --on-failure quarantine --stall-after none --backoff-cap 1m
            task show t
            task set t
            task set t --priority 5 --revision 1
            task set t --priority 5 --recover-after 90s --on-lapse hold
            task set t --priority 5 --request-id r
            task set t --delay 10m --revision 3 --request-id r
            task set nothing --priority 5
            "#
        ),
        @r#"
    $ tenure task set t --as bob --queue slow --kind import --priority -2 --label team=infra --unset-label issue --not-before none --payload '{"n":1}' --undo b=y --undo-reason 'opened by hand' --max-attempts 3 --on-lapse either --recover-after 90s --on-failure quarantine --stall-after none --backoff-cap 1m
    t is planned: it waits in the queue slow to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    $ tenure task show t
    task       t
    state      planned
    why        it waits in the queue slow to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    queue      slow, priority -2
    kind       import
    label      team=infra
    attempts   0 of 3
    revision   3, epoch 0
    payload    {"n":1}
    policy     ttl 60s, up to 3 attempts, on lapse either, when spent compensated, on failure quarantine, recover after 90s, backoff 1s times 2 up to 60s
    created    2026-01-31T12:00:00Z (just now)
    updated    2026-01-31T12:00:00Z (just now)

    NUMBER  STATUS    KIND  TARGET  REASON          OUTCOME
    1       standing  a     x
    2       standing  b     y       opened by hand
    $ tenure task set t
    error: nothing to change: give at least one option, such as --priority 5 or --label team=infra
      → see `tenure task set --help`
    status 2
    $ tenure task set t --priority 5 --revision 1
    error: refused: stale_write: the record has changed since you read it; read it again
      → read the task again with `tenure task show t -o json`, and put it with your change
    status 3
    $ tenure task set t --priority 5 --recover-after 90s --on-lapse hold
    error: refused: invalid: policy.recover_after: allowed only with on_lapse `either`
    status 3
    $ tenure task set t --priority 5 --request-id r
    error: --request-id needs --revision here: otherwise a repeat would change a task that is changed already
      → see `tenure task set --help`
    status 2
    $ tenure task set t --delay 10m --revision 3 --request-id r
    error: --request-id can't be used with --delay: a repeat would give another time; use --not-before
      → see `tenure task set --help`
    status 2
    $ tenure task set nothing --priority 5
    error: refused: not_found: there is no task nothing in the namespace default
      → see `tenure task list`, and check --namespace and --store
    status 4
    "#
    );
    let once = "task set t --as bob --priority 5 --revision 3 --request-id r1";
    world.given(&format!("{once}\ntask set t --delay 10m"));
    let again = world.run(&format!("{once} -o json")).json();
    assert_eq!(
        (&again["task"]["revision"], &again["task"]["not_before"]),
        (&4.into(), &serde_json::Value::Null),
        "{again}"
    );
    let task = world.run("task show t -o json").json();
    assert_eq!(task["task"]["not_before"], "2026-01-31T12:10:00.000000Z");
    assert_eq!((&task["task"]["priority"], &task["task"]["policy"]["max_attempts"]), (&5.into(), &3.into()));
    world.tick(600).given("task acquire t --owner w1");
    let told = world.told("task set t --priority 6");
    assert!(told.contains("refused: leased:") && told.ends_with("status 3\n"), "{told}");
}

#[test]
fn the_help_of_set_has_no_defaults_of_a_new_task() {
    let help = Frozen::world().run("task set --help").out;
    let policy = help.split_once("Policy:").and_then(|(_, rest)| rest.split_once("Global options:"));
    let (policy, _) = policy.expect("a section on the policy");
    assert!(policy.contains("--backoff-factor") && policy.contains("--on-failure"), "{policy}");
    assert!(!policy.contains("default"), "{policy}");
}

#[test]
fn a_record_moves_in_while_it_is_worked_on_elsewhere() {
    let mut world = Frozen::world();
    let record = r#"{"id":"t","state":"running","lease":{"owner":"w1","expires_at":"2026-01-31T12:05:00Z"}}"#;
    world.with_input(record);
    let told = world.told("task put --as alice");
    assert!(told.contains("reason: is required for a new record that somebody holds"), "{told}");
    assert_snapshot!(world.told("task put --as alice --reason 'moves in'"), @"
    $ tenure task put --as alice --reason 'moves in'
    t is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:05:00Z (in 5m); unless that is renewed, recovery closes it as compensated
    ");
    world.with_input("");
    world.given("task heartbeat t --owner w1 --epoch 1 --ttl 10m");
    let lease = &world.run("task show t -o json").json()["task"]["lease"];
    assert_eq!(
        (&lease["owner"], &lease["expires_at"]),
        (&"w1".into(), &"2026-01-31T12:10:00.000000Z".into())
    );
}

#[test]
fn who_held_a_task_last_is_shown_and_open_is_a_state() {
    let world = Frozen::world();
    world.given(
        "task create --id t --on-lapse either --recover-after 90s --on-failure quarantine --max-attempts 2
         task acquire t --owner w1
         tick 30
         task fail t --owner w1 --epoch 1 --reason 'no such repo' --undo none=-
         task create --id left
         task acquire left --owner w2
         tick 30
         task release left --owner w2 --epoch 1 --reason later",
    );
    assert_snapshot!(world.tells("task show t\n-q task list --state open\n-q task list --state open --all\n-q task list --last-owner w1\n-q task list --state quarantined --last-owner w1\n-q task list --state open --state quarantined"), @"
    $ tenure task show t
    task       t
    state      quarantined
    why        since 2026-01-31T12:00:30Z (30s ago), cause failed, because: no such repo
    queue      default, priority 0
    kind       task
    attempts   1 of 2
    revision   3, epoch 1
    last held  by w1, epoch 1, 2026-01-31T12:00:00Z to 2026-01-31T12:00:30Z
    policy     ttl 60s, up to 2 attempts, on lapse either, when spent compensated, on failure quarantine, recover after 90s
    created    2026-01-31T12:00:00Z (1m ago)
    updated    2026-01-31T12:00:30Z (30s ago)

    NUMBER  STATUS  KIND  TARGET  REASON  OUTCOME
    1       void    none  -
    $ tenure -q task list --state open
    left
    $ tenure -q task list --state open --all
    left
    $ tenure -q task list --last-owner w1
    t
    $ tenure -q task list --state quarantined --last-owner w1
    t
    $ tenure -q task list --state open --state quarantined
    left
    t
    ");
}
