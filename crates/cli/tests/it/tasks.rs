//! Tests the output for people when they create, hold and end tasks, with a frozen clock.

use insta::assert_snapshot;

use crate::frozen::Frozen;

#[test]
fn a_task_is_created_held_and_completed() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            task create --id build-42 --queue agents --label issue=168 --payload '{"repo":"x"}' --ttl 60s --max-attempts 3 --undo remove-worktree=/tmp/wt-42 --undo-reason 'clean up after the worker'
            tick 5
            task acquire build-42 --owner w1 --ttl 60s
            tick 20
            task heartbeat build-42 --owner w1 --epoch 1 --ttl 60s --progress '{"percent":40}'
            task undo add build-42 --owner w1 --epoch 1 --kind close-pr --target 12 --reason 'opened by this run'
            task undo settle build-42 1 --owner w1 --epoch 1 --receipt closed
            tick 10
            task show build-42
            task complete build-42 --owner w1 --epoch 1 --result '{"pr":12}'
            tick 10
            task show build-42
            "#
        ),
        @r#"
    $ tenure task create --id build-42 --queue agents --label issue=168 --payload '{"repo":"x"}' --ttl 60s --max-attempts 3 --undo remove-worktree=/tmp/wt-42 --undo-reason 'clean up after the worker'
    build-42 is planned: it waits in the queue agents to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    (5 s pass)
    $ tenure task acquire build-42 --owner w1 --ttl 60s
    build-42 is running: w1 holds it under epoch 1 since 2026-01-31T12:00:05Z (just now) until 2026-01-31T12:01:05Z (in 1m); unless that is renewed, recovery undoes 1 compensation, and then it is planned again
    (20 s pass)
    $ tenure task heartbeat build-42 --owner w1 --epoch 1 --ttl 60s --progress '{"percent":40}'
    build-42: lease renewed, expires at 2026-01-31T12:01:25Z
    $ tenure task undo add build-42 --owner w1 --epoch 1 --kind close-pr --target 12 --reason 'opened by this run'
    build-42 is running: w1 holds it under epoch 1 since 2026-01-31T12:00:05Z (20s ago) until 2026-01-31T12:01:25Z (in 1m), with progress 2026-01-31T12:00:25Z (just now): {"percent":40}; unless that is renewed, recovery undoes 2 compensations, and then it is planned again
    $ tenure task undo settle build-42 1 --owner w1 --epoch 1 --receipt closed
    build-42 is running: w1 holds it under epoch 1 since 2026-01-31T12:00:05Z (20s ago) until 2026-01-31T12:01:25Z (in 1m), with progress 2026-01-31T12:00:25Z (just now): {"percent":40}; unless that is renewed, recovery undoes 1 compensation, and then it is planned again
    (10 s pass)
    $ tenure task show build-42
    task       build-42
    state      running
    why        w1 holds it under epoch 1 since 2026-01-31T12:00:05Z (30s ago) until 2026-01-31T12:01:25Z (in 50s), with progress 2026-01-31T12:00:25Z (10s ago): {"percent":40}; unless that is renewed, recovery undoes 1 compensation, and then it is planned again; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    queue      agents, priority 0
    kind       task
    label      issue=168
    attempts   1 of 3
    revision   4, epoch 1
    lease      w1 at epoch 1, since 2026-01-31T12:00:05Z (30s ago)
    heartbeat  2026-01-31T12:00:25Z (10s ago)
    expires    2026-01-31T12:01:25Z (in 50s)
    progress   {"percent":40} at 2026-01-31T12:00:25Z (10s ago)
    payload    {"repo":"x"}
    policy     ttl 60s, up to 3 attempts, on lapse recover, when spent compensated
    created    2026-01-31T12:00:00Z (35s ago)
    updated    2026-01-31T12:00:25Z (10s ago)

    NUMBER  STATUS  KIND             TARGET      REASON                     OUTCOME
    1       done    remove-worktree  /tmp/wt-42  clean up after the worker  receipt: closed
    2       owed    close-pr         12          opened by this run
    $ tenure task complete build-42 --owner w1 --epoch 1 --result '{"pr":12}'
    build-42 is completed since 2026-01-31T12:00:35Z (just now)
    (10 s pass)
    $ tenure task show build-42
    task       build-42
    state      completed
    why        since 2026-01-31T12:00:35Z (10s ago)
    queue      agents, priority 0
    kind       task
    label      issue=168
    attempts   1 of 3
    revision   5, epoch 1
    last held  by w1, epoch 1, 2026-01-31T12:00:05Z to 2026-01-31T12:00:35Z
    payload    {"repo":"x"}
    result     {"pr":12}
    policy     ttl 60s, up to 3 attempts, on lapse recover, when spent compensated
    created    2026-01-31T12:00:00Z (45s ago)
    updated    2026-01-31T12:00:35Z (10s ago)

    NUMBER  STATUS  KIND             TARGET      REASON                     OUTCOME
    1       done    remove-worktree  /tmp/wt-42  clean up after the worker  receipt: closed
    2       void    close-pr         12          opened by this run
    "#
    );
}

#[test]
fn the_json_of_a_task_is_the_interface_to_the_letter() {
    let world = Frozen::world();
    world.given(
        "task create --id build-42 --queue agents --label issue=168 --payload '{}' --max-attempts 3 --undo remove-worktree=/tmp/wt-42 --undo-reason 'clean up'
         task acquire build-42 --owner w1 --ttl 60s
         tick 20
         task heartbeat build-42 --owner w1 --epoch 1 --progress '{\"percent\":40}'",
    );
    assert_snapshot!(world.run("task show build-42 -o json").out, @r#"{"task":{"id":"build-42","saga_id":"build-42","namespace":"default","queue":"agents","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{"issue":"168"},"payload":{},"attempts":1,"epoch":1,"revision":2,"owed":1,"policy":{"lease_ttl":"60s","max_attempts":3,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"granted_to":"w1","ttl":"60s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:20.000000Z","progressed_at":"2026-01-31T12:00:20.000000Z","expires_at":"2026-01-31T12:01:20.000000Z","progress":{"percent":40}},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"remove-worktree","target":"/tmp/wt-42","reason":"clean up","status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/build-42/1/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","last_lease":null,"finished_at":null}}"#);
}

#[test]
fn a_claim_prints_a_line_for_each_task_and_none_where_none_is_due() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            task claim --queue agents --owner w1 -n 4 -o json
            "#
        ),
        @"$ tenure task claim --queue agents --owner w1 -n 4 -o json"
    );
    world.given(
        "task create --id low --queue agents
         task create --id high --queue agents --priority 5
         task create --id other --queue elsewhere",
    );
    assert_snapshot!(
        world.tells(
            r#"
            task claim --queue agents --owner w1 -n 4
            -q task claim --queue elsewhere --owner w1
            task create --id last --queue last
            task claim --queue last --owner w1 -o json
            "#
        ),
        @r#"
    $ tenure task claim --queue agents --owner w1 -n 4
    high is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    low is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    $ tenure -q task claim --queue elsewhere --owner w1
    other 1
    $ tenure task create --id last --queue last
    last is planned: it waits in the queue last to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    $ tenure task claim --queue last --owner w1 -o json
    {"id":"last","saga_id":"last","namespace":"default","queue":"last","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"granted_to":"w1","ttl":"60s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z","progress":null},"reservation":null,"unwinding":null,"compensations":[],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","last_lease":null,"finished_at":null}
    "#
    );
}

#[test]
fn a_person_ends_what_nobody_holds_with_a_reason() {
    let world = Frozen::world();
    world.given("task create --id t --undo a=x\ntask acquire t --owner w1");
    assert_snapshot!(
        world.tells(
            r#"
            task compensate t --as bob --reason 'cleaned by hand'
            task compensate t --as bob --reason 'cleaned by hand' --waive 1=gone
            task note t --as bob 'looked at it'
            task note t --as bob --terminal-reason 'cleaned by hand, twice'
            task retry t --as bob --reason 'handler added' --id t2
            task why t
            task complete t2 --as bob --reason 'done by hand' --result '{"pr":1}'
            events --after e2
            "#
        ),
        @r#"
    $ tenure task compensate t --as bob --reason 'cleaned by hand'
    error: refused: compensation_owed: the task owes compensations: waive each of them in this command, or give its receipt (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → see what is owed: `tenure task undo list t`; `tenure recover` undoes it, unless the policy is on_lapse hold; a new holder can settle or adopt it; an operator can waive it: `tenure task undo settle t NUMBER --as WHO --waive --reason '…'`
    status 3
    $ tenure task compensate t --as bob --reason 'cleaned by hand' --waive 1=gone
    t is compensated since 2026-01-31T12:00:00Z (just now), cause by_operator, because: cleaned by hand
    $ tenure task note t --as bob 'looked at it'
    t is compensated since 2026-01-31T12:00:00Z (just now), cause by_operator, because: cleaned by hand
    $ tenure task note t --as bob --terminal-reason 'cleaned by hand, twice'
    t is compensated since 2026-01-31T12:00:00Z (just now), cause by_operator, because: cleaned by hand, twice
    $ tenure task retry t --as bob --reason 'handler added' --id t2
    t2 is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    $ tenure task why t
    t is compensated since 2026-01-31T12:00:00Z (just now), cause by_operator, because: cleaned by hand, twice; it was retried as t2
    note: 2026-01-31T12:00:00Z (just now) by bob: looked at it
    $ tenure task complete t2 --as bob --reason 'done by hand' --result '{"pr":1}'
    t2 is completed since 2026-01-31T12:00:00Z (just now), cause by_operator, because: done by hand
    $ tenure events --after e2
    CURSOR  TIME                  TASK  #  EVENT        BY   DATA
    e3      2026-01-31T12:00:00Z  t     3  compensated  bob  {"state":"compensated","cause":"by_operator","reason":"cleaned by hand","waived":[{"seq":1,"reason":"gone"}],"finished_at":"2026-01-31T12:00:00.000000Z","lease":{"owner":"w1","epoch":1,"heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z"}}
    e4      2026-01-31T12:00:00Z  t     4  annotated    bob  {"note":"looked at it"}
    e5      2026-01-31T12:00:00Z  t     5  annotated    bob  {"terminal_reason":"cleaned by hand, twice"}
    e6      2026-01-31T12:00:00Z  t     6  retried      bob  {"successor":"t2","reason":"handler added"}
    e7      2026-01-31T12:00:00Z  t2    1  created      bob  {"saga_id":"t2","queue":"default","kind":"task","labels":{},"payload":null,"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1,"backoff":{"base":"1s","factor":2,"cap":"5m"},"when_spent":"compensated","on_lapse":"recover"},"compensations":[{"seq":1,"kind":"a","target":"x","registered":"before_lease","status":"standing","tries":0}],"retry_of":"t","created_at":"2026-01-31T12:00:00.000000Z"}
    e8      2026-01-31T12:00:00Z  t2    2  completed    bob  {"state":"completed","cause":"by_operator","reason":"done by hand","result":{"pr":1},"finished_at":"2026-01-31T12:00:00.000000Z"}
    "#
    );
}

#[test]
fn a_task_is_given_back_rolled_back_and_taken_over() {
    let world = Frozen::world();
    world.given("task create --id t --max-attempts 2 --on-lapse hold\ntask acquire t --owner w1");
    assert_snapshot!(
        world.tells(
            r#"
            task release t --owner w1 --epoch 1 --reason 'shutting down' --delay 1m
            task acquire t --owner w2
            "#
        ),
        @"
    $ tenure task release t --owner w1 --epoch 1 --reason 'shutting down' --delay 1m
    t is planned: it may be acquired, or claimed from the queue default, from 2026-01-31T12:01:00Z on (in 1m)
    $ tenure task acquire t --owner w2
    error: refused: not_due: the task is not due yet; not before 2026-01-31T12:01:00Z
      → wait until then; see `tenure task why t`
    status 3
    "
    );
    world
        .tick(60)
        .given("task acquire t --owner w2\ntask undo add t --owner w2 --epoch 2 --kind a --target x");
    assert_snapshot!(
        world.tells(
            r#"
            tick 61
            task acquire t --owner w3
            task complete t --owner w3 --epoch 3
            task undo adopt t --owner w3 --epoch 3
            task progress t --owner w3 --epoch 3 --progress '[1]' --checkpoint '{"at":7}'
            task rollback t --owner w3 --epoch 3 --reason 'tests failed'
            "#
        ),
        @r#"
    (61 s pass)
    $ tenure task acquire t --owner w3
    t is running: w3 holds it under epoch 3 since 2026-01-31T12:02:01Z (just now) until 2026-01-31T12:03:01Z (in 1m), and must settle or adopt what older leases owe before it can be completed; unless that is renewed, the next owner to acquire it continues, and inherits 1 compensation
    $ tenure task complete t --owner w3 --epoch 3
    error: refused: compensation_owed: an older lease still owes a compensation: settle or adopt it first (held by w3 at epoch 3, since 2026-01-31T12:02:01Z until 2026-01-31T12:03:01Z)
      → see what is owed: `tenure task undo list t`; `tenure recover` undoes it, unless the policy is on_lapse hold; a new holder can settle or adopt it; an operator can waive it: `tenure task undo settle t NUMBER --as WHO --waive --reason '…'`
    status 3
    $ tenure task undo adopt t --owner w3 --epoch 3
    t is running: w3 holds it under epoch 3 since 2026-01-31T12:02:01Z (just now) until 2026-01-31T12:03:01Z (in 1m); unless that is renewed, the next owner to acquire it continues, and inherits 1 compensation
    $ tenure task progress t --owner w3 --epoch 3 --progress '[1]' --checkpoint '{"at":7}'
    t: progress saved, lease not renewed, expires at 2026-01-31T12:03:01Z
    $ tenure task rollback t --owner w3 --epoch 3 --reason 'tests failed'
    t is compensating: 1 compensation must be undone; recovery may start now, since 2026-01-31T12:02:01Z, and once that is undone it is closed as compensated; its holder rolled it back: tests failed
    "#
    );
}

#[test]
fn a_record_is_read_changed_and_put_back() {
    let mut world = Frozen::world();
    world.given("task create --id t --undo a=x --payload '{\"n\":1}' --stall-after 5m --backoff-base 2s");
    let record = world.run("task show t -o json").out;
    let changed = record.replace("\"priority\":0", "\"priority\":5").replace("\"n\":1", "\"n\":2");
    world.with_input(&changed);
    assert_snapshot!(
        world.tells(
            r#"
            task put -o json
            task put
            "#
        ),
        @r#"
    $ tenure task put -o json
    {"task":{"id":"t","saga_id":"t","namespace":"default","queue":"default","kind":"task","state":"planned","cause":null,"priority":5,"not_before":null,"labels":{},"payload":{"n":2},"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated","backoff":{"base":"2s","factor":2,"cap":"5m"},"stall_after":"5m"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"a","target":"x","reason":null,"status":"standing","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":null}}
    $ tenure task put
    error: refused: stale_write: the record has changed since you read it; read it again
      → read the task again with `tenure task show t -o json`, and put it with your change
    status 3
    "#
    );
    world.with_input(r#"{"id":"old","state":"failed","terminal_reason":"no","compensations":[{"kind":"none","target":"-"}],"created_at":"2025-12-01T12:00:00+02:00","finished_at":"2025-12-01T12:00:00Z"}"#);
    assert_snapshot!(
        world.tells(
            r#"
            task put
            "#
        ),
        @"
    $ tenure task put
    old is failed since 2025-12-01T12:00:00Z (61d ago), cause by_operator, because: no
    "
    );
    assert_snapshot!(world.run("task show old -o json").out, @r#"{"task":{"id":"old","saga_id":"old","namespace":"default","queue":"default","kind":"task","state":"failed","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"none","target":"-","reason":null,"status":"void","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"under_lease"}],"cancel":null,"terminal_reason":"no","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2025-12-01T10:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":"2025-12-01T12:00:00.000000Z"}}"#);
}

#[test]
fn a_repeated_request_is_answered_and_not_done_again() {
    let world = Frozen::world();
    let first = world.run("task create --request-id r1 -o json");
    let again = world.tick(5).run("task create --request-id r1 -o json");
    assert_eq!((first.status, first.out), (0, again.out));
    assert_snapshot!(
        world.tells(
            r#"
            task create --id other --request-id r1
            "#
        ),
        @"
    $ tenure task create --id other --request-id r1
    error: refused: request_reused: this request id was already used for another command or by another actor; use a new one
      → use a new --request-id for each new command
    status 3
    "
    );
    world.given("task create --id t --queue q");
    let first = world.run("task claim --queue q --owner w --request-id r2 -o json").out;
    assert_eq!(first, world.run("task claim --queue q --owner w --request-id r2 -o json").out);
}
