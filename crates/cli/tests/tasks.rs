//! What people see when they create, hold and end tasks, in a world where nothing moves but what a test moves.

mod frozen;

use frozen::Frozen;
use insta::assert_snapshot;

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
    build-42 is running: w1 holds it under epoch 1 until 2026-01-31T12:01:05Z (in 1m); unless that is renewed, recovery undoes 1 compensation, and then it is planned again
    (20 s pass)
    $ tenure task heartbeat build-42 --owner w1 --epoch 1 --ttl 60s --progress '{"percent":40}'
    build-42: its lease is renewed, and lasts until 2026-01-31T12:01:25Z
    $ tenure task undo add build-42 --owner w1 --epoch 1 --kind close-pr --target 12 --reason 'opened by this run'
    build-42 is running: w1 holds it under epoch 1 until 2026-01-31T12:01:25Z (in 1m); unless that is renewed, recovery undoes 2 compensations, and then it is planned again
    $ tenure task undo settle build-42 1 --owner w1 --epoch 1 --receipt closed
    build-42 is running: w1 holds it under epoch 1 until 2026-01-31T12:01:25Z (in 1m); unless that is renewed, recovery undoes 1 compensation, and then it is planned again
    (10 s pass)
    $ tenure task show build-42
    task       build-42
    state      running
    why        w1 holds it under epoch 1 until 2026-01-31T12:01:25Z (in 50s); unless that is renewed, recovery undoes 1 compensation, and then it is planned again
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

    UNDO  STATUS  KIND             TARGET      REASON                     WHAT BECAME OF IT
    1     done    remove-worktree  /tmp/wt-42  clean up after the worker  receipt: closed
    2     owed    close-pr         12          opened by this run
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
    payload    {"repo":"x"}
    result     {"pr":12}
    policy     ttl 60s, up to 3 attempts, on lapse recover, when spent compensated
    created    2026-01-31T12:00:00Z (45s ago)
    updated    2026-01-31T12:00:35Z (10s ago)

    UNDO  STATUS  KIND             TARGET      REASON                     WHAT BECAME OF IT
    1     done    remove-worktree  /tmp/wt-42  clean up after the worker  receipt: closed
    2     void    close-pr         12          opened by this run
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
    assert_snapshot!(world.run("task show build-42 -o json").out, @r#"{"task":{"id":"build-42","saga_id":"build-42","namespace":"default","queue":"agents","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{"issue":"168"},"payload":{},"attempts":1,"epoch":1,"revision":2,"owed":1,"policy":{"lease_ttl":"60s","max_attempts":3,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:20.000000Z","progressed_at":"2026-01-31T12:00:20.000000Z","expires_at":"2026-01-31T12:01:20.000000Z","progress":{"percent":40}},"compensations":[{"seq":1,"kind":"remove-worktree","target":"/tmp/wt-42","reason":"clean up","status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/build-42/1/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","finished_at":null}}"#);
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
            "#
        ),
        @"
    $ tenure task claim --queue agents --owner w1 -n 4
    high is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    low is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    $ tenure -q task claim --queue elsewhere --owner w1
    other 1
    "
    );
}

#[test]
fn what_a_script_needs_is_all_that_quiet_prints() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            -q task create
            -q task acquire seeded-7-1 --owner w1
            -q task heartbeat seeded-7-1 --owner w1 --epoch 1 --ttl 90s
            -q task list
            -q task show seeded-7-1
            -q task undo list seeded-7-1
            "#
        ),
        @"
    $ tenure -q task create
    seeded-7-1
    $ tenure -q task acquire seeded-7-1 --owner w1
    1
    $ tenure -q task heartbeat seeded-7-1 --owner w1 --epoch 1 --ttl 90s
    $ tenure -q task list
    seeded-7-1
    $ tenure -q task show seeded-7-1
    running
    $ tenure -q task undo list seeded-7-1
    "
    );
}

#[test]
fn lists_show_the_newest_first_and_go_on_where_they_ended() {
    let world = Frozen::world();
    world.given(
        "task create --id one --label team=a
         task create --id two --queue agents --label team=a --label tier=2
         task create --id three --not-before 2026-01-31T13:00:00+01:00
         task create --id four --not-before 2026-01-31T13:00:00Z
         task acquire one --owner w1 --ttl 30s
         task dispatch two --owner w2 --ttl 2m",
    );
    assert_snapshot!(
        world.tells(
            r#"
            tick 40
            task list
            task list --limit 2
            -q task list --limit 2 --cursor t3
            -q task list --state running --state planned --label team=a
            stale
            owners
            owners -o json
            task list --state failed
            "#
        ),
        @r#"
    (40 s pass)
    $ tenure task list
    TASK   STATE           QUEUE    HELD BY      TIME            OWED  ATTEMPTS  LABELS
    four   planned         default               in 59m 20s            0/1
    three  planned         default               for 40s               0/1
    two    dispatched      agents   w2           1m 20s left           0/1       team=a tier=2
    one    running, stale  default  w1, epoch 1  lapsed 10s ago        1/1       team=a
    $ tenure task list --limit 2
    TASK   STATE    QUEUE    HELD BY  TIME        OWED  ATTEMPTS  LABELS
    four   planned  default           in 59m 20s        0/1
    three  planned  default           for 40s           0/1
    note: there are more; go on with --cursor t3
    $ tenure -q task list --limit 2 --cursor t3
    two
    one
    $ tenure -q task list --state running --state planned --label team=a
    one
    $ tenure stale
    TASK  STATE           QUEUE    HELD BY      TIME            OWED  ATTEMPTS  LABELS
    one   running, stale  default  w1, epoch 1  lapsed 10s ago        1/1       team=a
    $ tenure owners
    OWNER  LEASES  RESERVED  STALE  HOLDS FOR  FIRST ENDS
    w1     1       0         1      40s        10s ago
    w2     0       1         0      40s        in 1m 20s
    $ tenure owners -o json
    {"owner":"w1","leases":1,"reservations":0,"stale":1,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:00:30.000000Z"}
    {"owner":"w2","leases":0,"reservations":1,"stale":0,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:02:00.000000Z"}
    $ tenure task list --state failed
    note: there is no such task
    "#
    );
}

#[test]
fn status_shows_on_one_screen_what_is_in_flight_stale_and_quarantined() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            status
            "#
        ),
        @"
    $ tenure status
    namespace default at 2026-01-31T12:00:00Z

    STATE         TASKS  STALE  OLDEST  WHICH
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  0      0
    failed        0      0
    quarantined   0      0
    "
    );
    world.given(
        "task create --id planned
         task create --id later --not-before 2026-01-31T18:00:00Z
         task create --id hung --undo remove=/tmp/a --when-spent quarantined
         task acquire hung --owner w1 --ttl 10s
         task create --id parked
         task quarantine parked --as bob --reason 'needs a look'
         task create --id broken
         task fail broken --reason 'no such repo' --undo none=-",
    );
    assert_snapshot!(
        world.tells(
            r#"
            tick 100
            status
            -q status
            status -o json
            "#
        ),
        @r#"
    (100 s pass)
    $ tenure status
    namespace default at 2026-01-31T12:01:40Z

    STATE         TASKS              STALE  OLDEST  WHICH
    planned       2 (1 not due yet)  0      1m 40s  planned
    dispatched    0                  0
    running       1                  1      1m 40s  hung
    compensating  0                  0
    failed        1                  0      1m 40s  broken
    quarantined   1                  0      1m 40s  parked

    Stale
      hung running, stale: the lease of w1 at epoch 1 lapsed 2026-01-31T12:00:10Z (1m 30s ago); recovery undoes 1 compensation, and then it is parked for a person; until somebody takes over, w1 may still say how it ended

    Quarantined, for a person
      parked quarantined: since 2026-01-31T12:00:00Z (1m 40s ago), cause by_operator, because: needs a look; it stays so until a person makes a new task of it
    $ tenure -q status
    planned 2
    dispatched 0
    running 1
    compensating 0
    failed 1
    quarantined 1
    $ tenure status -o json
    {"status":{"namespace":"default","at":"2026-01-31T12:01:40.000000Z","states":[{"state":"planned","count":2,"later":1,"stale":0,"oldest":{"task":"planned","since":"2026-01-31T12:00:00.000000Z"}},{"state":"dispatched","count":0,"later":0,"stale":0,"oldest":null},{"state":"running","count":1,"later":0,"stale":1,"oldest":{"task":"hung","since":"2026-01-31T12:00:00.000000Z"}},{"state":"compensating","count":0,"later":0,"stale":0,"oldest":null},{"state":"failed","count":1,"later":0,"stale":0,"oldest":{"task":"broken","since":"2026-01-31T12:00:00.000000Z"}},{"state":"quarantined","count":1,"later":0,"stale":0,"oldest":{"task":"parked","since":"2026-01-31T12:00:00.000000Z"}}],"stale":[{"id":"hung","saga_id":"hung","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":1,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"quarantined"},"lease":{"owner":"w1","epoch":1,"acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:00:10.000000Z","progress":null},"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/hung/1/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","finished_at":null}],"quarantined":[{"id":"parked","saga_id":"parked","namespace":"default","queue":"default","kind":"task","state":"quarantined","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"compensations":[],"cancel":null,"terminal_reason":"needs a look","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"finished_at":"2026-01-31T12:00:00.000000Z"}]}}
    "#
    );
}

#[test]
fn why_says_what_a_task_waits_for_and_what_happens_next() {
    let world = Frozen::world();
    world.given(
        "task create --id soon --not-before 2026-01-31T12:05:00Z
         task create --id urgent --start-within 1m
         task create --id reserved
         task dispatch reserved --owner w2 --ttl 30s
         task create --id recover --undo a=x --undo b=y --max-attempts 2
         task acquire recover --owner w1
         task create --id hold --on-lapse hold --lock-delay 30s
         task acquire hold --owner w1 --ttl 10s
         task create --id park --on-lapse quarantine
         task acquire park --owner w1
         task create --id undone --undo a=x --when-spent quarantined
         task acquire undone --owner w1
         task rollback undone --owner w1 --epoch 1 --reason 'tests failed'
         task create --id kept --undo a=x
         task acquire kept --owner w1
         task rollback kept --owner w1 --epoch 1 --reason 'tests failed' --keep
         task create --id stopping
         task acquire stopping --owner w1
         task cancel stopping --reason superseded
         task create --id failed --undo a=x
         task fail failed --reason 'no such repo'
         task create --id parked
         task quarantine parked --reason 'needs a look'",
    );
    let mut all = String::new();
    for task in [
        "soon", "urgent", "reserved", "recover", "hold", "park", "undone", "kept", "stopping", "failed",
        "parked",
    ] {
        all.push_str(&world.told(&format!("task why {task}")));
    }
    assert_snapshot!(all, @"
    $ tenure task why soon
    soon is planned: it may be acquired, or claimed from the queue default, from 2026-01-31T12:05:00Z on (in 5m)
    $ tenure task why urgent
    urgent is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now); unless somebody begins by 2026-01-31T12:01:00Z (in 1m), recovery parks it for a person
    $ tenure task why reserved
    reserved is dispatched: it is reserved for w2 until 2026-01-31T12:00:30Z (in 30s), and then for anybody
    $ tenure task why recover
    recover is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery undoes 2 compensations, and then it is planned again
    $ tenure task why hold
    hold is running: w1 holds it under epoch 1 until 2026-01-31T12:00:10Z (in 10s); unless that is renewed, whoever acquires it next goes on
    $ tenure task why park
    park is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery parks it for a person
    $ tenure task why undone
    undone is compensating: 1 compensation must be undone and nobody does it; recovery may take it now, since 2026-01-31T12:00:00Z, and once that is undone it is parked for a person
    $ tenure task why kept
    kept is compensating: w1 is undoing 1 compensation under epoch 1 until 2026-01-31T12:01:00Z (in 1m), and once that is undone it is closed as compensated
    $ tenure task why stopping
    stopping is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m), and hears with the next heartbeat that alice asked it to stop; unless that is renewed, recovery closes it as compensated
    $ tenure task why failed
    failed is failed since 2026-01-31T12:00:00Z (just now), cause by_operator, because: no such repo
    $ tenure task why parked
    parked is quarantined since 2026-01-31T12:00:00Z (just now), cause by_operator, because: needs a look; it stays so until a person makes a new task of it
    ");
    world.tick(70);
    all.clear();
    for task in
        ["soon", "urgent", "reserved", "recover", "hold", "park", "undone", "kept", "stopping", "failed"]
    {
        all.push_str(&world.told(&format!("task why {task}")));
    }
    assert_snapshot!(all, @"
    $ tenure task why soon
    soon is planned: it may be acquired, or claimed from the queue default, from 2026-01-31T12:05:00Z on (in 3m 50s)
    $ tenure task why urgent
    urgent is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (1m 10s ago); it should have begun by 2026-01-31T12:01:00Z (10s ago), and recovery parks it for a person
    $ tenure task why reserved
    reserved is dispatched: its reservation for w2 lapsed 2026-01-31T12:00:30Z (40s ago), and anybody may acquire or claim it
    $ tenure task why recover
    recover is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery undoes 2 compensations, and then it is planned again; until somebody takes over, w1 may still say how it ended
    $ tenure task why hold
    hold is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:00:10Z (1m ago); whoever acquires it next goes on; until somebody takes over, w1 may still say how it ended
    $ tenure task why park
    park is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery parks it for a person; until somebody takes over, w1 may still say how it ended
    $ tenure task why undone
    undone is compensating: 1 compensation must be undone and nobody does it; recovery may take it now, since 2026-01-31T12:00:00Z, and once that is undone it is parked for a person
    $ tenure task why kept
    kept is compensating: w1 was undoing 1 compensation when its lease at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery may take it over now, since 2026-01-31T12:01:00Z, and once that is undone it is closed as compensated
    $ tenure task why stopping
    stopping is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery closes it as compensated; until somebody takes over, w1 may still say how it ended
    $ tenure task why failed
    failed is failed since 2026-01-31T12:00:00Z (1m 10s ago), cause by_operator, because: no such repo
    ");
    assert_snapshot!(
        world.tells(
            r#"
            task why recover -o json
            "#
        ),
        @r#"
    $ tenure task why recover -o json
    {"task":{"id":"recover","saga_id":"recover","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":2,"policy":{"lease_ttl":"60s","max_attempts":2,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z","progress":null},"compensations":[{"seq":1,"kind":"a","target":"x","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/recover/1/1","registered":"before_lease"},{"seq":2,"kind":"b","target":"y","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/recover/2/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","finished_at":null},"why":"recover is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery undoes 2 compensations, and then it is planned again; until somebody takes over, w1 may still say how it ended","next":{"what":"reclaim","at":"2026-01-31T12:01:00.000000Z"}}
    "#
    );
}

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
    e1     2026-01-31T12:00:00Z  a #1  created by alice  {"saga_id":"a","queue":"default","kind":"task","labels":{},"payload":null,"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1,"backoff":{"base":"1s","factor":2,"cap":"5m"},"when_spent":"compensated","on_lapse":"recover"},"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","registered":"before_lease","status":"standing","tries":0}],"created_at":"2026-01-31T12:00:00.000000Z"}
    e3     2026-01-31T12:00:00Z  a #2  acquired by w1  {"owner":"w1","epoch":1,"ttl":"60s","expires_at":"2026-01-31T12:01:00.000000Z"}
    e4     2026-01-31T12:00:00Z  a #3  completed by w1  {"state":"completed","cause":"completed","finished_at":"2026-01-31T12:00:00.000000Z","lease":{"owner":"w1","epoch":1,"heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z"}}
    $ tenure events --after e2 --limit 1 -o json
    {"cursor":"e3","task":"a","number":2,"at":"2026-01-31T12:00:00.000000Z","type":"acquired","actor":"w1","data":{"owner":"w1","epoch":1,"ttl":"60s","expires_at":"2026-01-31T12:01:00.000000Z"},"hash":"0c31b58793560860c6f38ea49d874f01cdf7d37c7eb9046458de9229fdb677f1"}
    $ tenure -q events
    e1
    e2
    e3
    e4
    $ tenure audit verify
    holds: 2 tasks, 4 events
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
    assert_snapshot!(world.run(&format!("audit verify --anchor {anchor}")).out, @"holds: 2 tasks, 4 events");
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
    does not hold: 1 finding in 1 task, 1 event
    status 1
    $ tenure audit verify -o json
    {"report":{"holds":false,"tasks":1,"events":1,"findings":[{"task":"default/a","number":1,"message":"default/a: event 1 was changed"}]}}
    status 1
    "#
    );
}

#[test]
fn what_is_owed_is_listed_newest_first_with_what_became_of_it() {
    let world = Frozen::world();
    world.given(
        "task create --id t --undo a=one=1 --undo-reason first --undo b=two
         task acquire t --owner w1
         task undo add t --owner w1 --epoch 1 --kind c --target three
         task undo settle t 3 --owner w1 --epoch 1 --error 'no route'
         task undo settle t 2 --owner w1 --epoch 1 --receipt removed
         task undo settle t 1 --as bob --waive --reason 'gone already'",
    );
    assert_snapshot!(
        world.tells(
            r#"
            task undo list t
            task undo list t -o json
            "#
        ),
        @r#"
    $ tenure task undo list t
    UNDO  STATUS  KIND  TARGET  REASON  WHAT BECAME OF IT
    3     owed    c     three           tried 1 time: no route
    2     done    b     two             receipt: removed
    1     waived  a     one=1   first   waived: gone already
    $ tenure task undo list t -o json
    {"seq":3,"kind":"c","target":"three","reason":null,"status":"owed","epoch":1,"tries":1,"receipt":null,"last_error":"no route","waiver":null,"key":"default/t/3/1","registered":"under_lease"}
    {"seq":2,"kind":"b","target":"two","reason":null,"status":"done","epoch":1,"tries":0,"receipt":"removed","last_error":null,"waiver":null,"key":"default/t/2/1","registered":"before_lease"}
    {"seq":1,"kind":"a","target":"one=1","reason":"first","status":"waived","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":"gone already","key":"default/t/1/1","registered":"before_lease"}
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
    error: refused: compensation_owed: something is owed: waive each owed compensation with it (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → see what is owed: `tenure task undo list t`; settle, adopt or waive it first
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
    $ tenure task complete t2 --as bob --reason 'done by hand' --result '{"pr":1}'
    t2 is completed since 2026-01-31T12:00:00Z (just now), cause by_operator, because: done by hand
    $ tenure events --after e2
    e3     2026-01-31T12:00:00Z  t #3  compensated by bob  {"state":"compensated","cause":"by_operator","reason":"cleaned by hand","waived":[{"seq":1,"reason":"gone"}],"finished_at":"2026-01-31T12:00:00.000000Z","lease":{"owner":"w1","epoch":1,"heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z"}}
    e4     2026-01-31T12:00:00Z  t #4  annotated by bob  {"note":"looked at it"}
    e5     2026-01-31T12:00:00Z  t #5  annotated by bob  {"terminal_reason":"cleaned by hand, twice"}
    e6     2026-01-31T12:00:00Z  t #6  retried by bob  {"successor":"t2","reason":"handler added"}
    e7     2026-01-31T12:00:00Z  t2 #1  created by bob  {"saga_id":"t2","queue":"default","kind":"task","labels":{},"payload":null,"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1,"backoff":{"base":"1s","factor":2,"cap":"5m"},"when_spent":"compensated","on_lapse":"recover"},"compensations":[{"seq":1,"kind":"a","target":"x","registered":"before_lease","status":"standing","tries":0}],"retry_of":"t","created_at":"2026-01-31T12:00:00.000000Z"}
    e8     2026-01-31T12:00:00Z  t2 #2  completed by bob  {"state":"completed","cause":"by_operator","reason":"done by hand","result":{"pr":1},"finished_at":"2026-01-31T12:00:00.000000Z"}
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
    error: refused: not_due: it is not due yet; not before 2026-01-31T12:01:00Z
      → wait until then, or see `tenure task why t`
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
    t is running: w3 holds it under epoch 3 until 2026-01-31T12:03:01Z (in 1m); unless that is renewed, whoever acquires it next goes on, and inherits 1 compensation
    $ tenure task complete t --owner w3 --epoch 3
    error: refused: compensation_owed: an older lease's compensation is owed: settle or adopt it first (held by w3 at epoch 3, since 2026-01-31T12:02:01Z until 2026-01-31T12:03:01Z)
      → see what is owed: `tenure task undo list t`; settle, adopt or waive it first
    status 3
    $ tenure task undo adopt t --owner w3 --epoch 3
    t is running: w3 holds it under epoch 3 until 2026-01-31T12:03:01Z (in 1m); unless that is renewed, whoever acquires it next goes on, and inherits 1 compensation
    $ tenure task progress t --owner w3 --epoch 3 --progress '[1]' --checkpoint '{"at":7}'
    t: its progress is saved, its lease is as it was, and lasts until 2026-01-31T12:03:01Z
    $ tenure task rollback t --owner w3 --epoch 3 --reason 'tests failed'
    t is compensating: 1 compensation must be undone and nobody does it; recovery may take it now, since 2026-01-31T12:02:01Z, and once that is undone it is closed as compensated
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
    {"task":{"id":"t","saga_id":"t","namespace":"default","queue":"default","kind":"task","state":"planned","cause":null,"priority":5,"not_before":null,"labels":{},"payload":{"n":2},"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated","backoff":{"base":"2s","factor":2,"cap":"5m"},"stall_after":"5m"},"compensations":[{"seq":1,"kind":"a","target":"x","reason":null,"status":"standing","epoch":null,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":null,"registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"finished_at":null}}
    $ tenure task put
    error: refused: stale_write: the record was changed since it was read; read it again
      → read it again, `tenure task show t -o json`, and put that with the change
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
    assert_snapshot!(world.run("task show old -o json").out, @r#"{"task":{"id":"old","saga_id":"old","namespace":"default","queue":"default","kind":"task","state":"failed","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"compensations":[{"seq":1,"kind":"none","target":"-","reason":null,"status":"void","epoch":null,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":null,"registered":"under_lease"}],"cancel":null,"terminal_reason":"no","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2025-12-01T10:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"finished_at":"2025-12-01T12:00:00.000000Z"}}"#);
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
    error: refused: request_reused: this request id was used for another command, or by another actor; take a new one
      → take a new --request-id for a new command
    status 3
    "
    );
    world.given("task create --id t --queue q");
    let first = world.run("task claim --queue q --owner w --request-id r2 -o json").out;
    assert_eq!(first, world.run("task claim --queue q --owner w --request-id r2 -o json").out);
}

#[test]
fn a_command_inside_a_lease_takes_it_from_its_environment() {
    let mut world = Frozen::world();
    world.given("task create --id t\ntask acquire t --owner w1\ntask create --id other");
    world.set("TENURE_TASK", "t").set("TENURE_OWNER", "w1").set("TENURE_EPOCH", "1");
    assert_snapshot!(
        world.tells(
            r#"
            task undo add --kind a --target x
            task progress --progress '{"percent":40}'
            task undo settle 1 --receipt gone
            task note 'half way'
            task complete other
            task complete --as bob
            task complete
            "#
        ),
        @r#"
    $ tenure task undo add --kind a --target x
    t is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery undoes 1 compensation, and then it is closed as compensated
    $ tenure task progress --progress '{"percent":40}'
    t: its progress is saved, its lease is as it was, and lasts until 2026-01-31T12:01:00Z
    $ tenure task undo settle 1 --receipt gone
    t is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    $ tenure task note 'half way'
    t is running: w1 holds it under epoch 1 until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    $ tenure task complete other
    error: give --owner and --epoch to do it by lease, or --reason to do it as an operator
      → see `--help` of the command
    status 2
    $ tenure task complete --as bob
    error: give --owner and --epoch to do it by lease, or --reason to do it as an operator
      → see `--help` of the command
    status 2
    $ tenure task complete
    t is completed since 2026-01-31T12:00:00Z (just now)
    "#
    );
}

#[test]
fn long_texts_come_from_files_and_from_standard_input() {
    let mut world = Frozen::world();
    let payload = world.write("payload.json", "{\"from\":\"a file\"}\n");
    world.with_input("two\nlines\n");
    world.given(&format!("task create --id t --payload @{payload} --undo a=@x --undo-reason @-"));
    assert_snapshot!(
        world.tells(
            r#"
            task show t
            task quarantine t --reason '@@home is away'
            "#
        ),
        @r#"
    $ tenure task show t
    task       t
    state      planned
    why        it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    queue      default, priority 0
    kind       task
    attempts   0 of 1
    revision   1, epoch 0
    payload    {"from":"a file"}
    policy     ttl 60s, up to 1 attempt, on lapse recover, when spent compensated
    created    2026-01-31T12:00:00Z (0ms ago)
    updated    2026-01-31T12:00:00Z (0ms ago)

    UNDO  STATUS    KIND  TARGET  REASON  WHAT BECAME OF IT
    1     standing  a     @x      two
                                  lines
    $ tenure task quarantine t --reason '@@home is away'
    t is quarantined since 2026-01-31T12:00:00Z (just now), cause by_operator, because: @home is away; it stays so until a person makes a new task of it
    "#
    );
}

#[test]
fn a_file_with_settings_goes_behind_the_command_line_and_the_environment() {
    let mut world = Frozen::world();
    let other = format!("sqlite:{}", world.path("other.db"));
    let config = world.write("tenure.toml", &format!("store = \"{other}\"\nnamespace = \"team\"\n"));
    world.variables.remove("TENURE_STORE");
    world.set("TENURE_CONFIG", &config);
    assert_snapshot!(
        world.tells(
            r#"
            -v task create --id a
            "#
        ),
        @"
    $ tenure -v task create --id a
    a is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    store sqlite:<folder>/other.db, namespace team, as alice
    "
    );
    world.set("TENURE_NAMESPACE", "room");
    assert_snapshot!(
        world.tells(
            r#"
            -v task create --id a
            -v --namespace desk task create --id a
            "#
        ),
        @"
    $ tenure -v task create --id a
    a is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    store sqlite:<folder>/other.db, namespace room, as alice
    $ tenure -v --namespace desk task create --id a
    a is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    store sqlite:<folder>/other.db, namespace desk, as alice
    "
    );
    let wrong = world.write("wrong.toml", "stoer = \"x\"\n");
    assert_snapshot!(world.told(&format!("--config {wrong} task list")), @r#"
    $ tenure --config <folder>/wrong.toml task list
    error: --config: <folder>/wrong.toml: TOML parse error at line 1, column 1
      |
    1 | stoer = "x"
      | ^^^^^
    unknown field `stoer`, expected `store` or `namespace`
      → see `--help` of the command
    status 2
    "#);
}

#[test]
fn the_record_is_kept_in_the_data_directory_where_nothing_else_is_said() {
    let mut world = Frozen::world();
    world.variables.remove("TENURE_STORE");
    let home = world.path("home");
    world.set("HOME", &home);
    world.given("task create --id t");
    let file = world.folder.path().join("home/.local/share/tenure/tenure.db");
    assert!(file.exists());
    let data = world.path("data");
    world.set("XDG_DATA_HOME", &data);
    assert_snapshot!(
        world.tells(
            r#"
            -v task list
            "#
        ),
        @"
    $ tenure -v task list
    store sqlite:<folder>/data/tenure/tenure.db, namespace default, as alice
    note: there is no such task
    "
    );
    world.variables.remove("XDG_DATA_HOME");
    world.variables.remove("HOME");
    assert_snapshot!(
        world.tells(
            r#"
            task list
            "#
        ),
        @"
    $ tenure task list
    error: where is the record kept? Give --store sqlite:PATH, or set TENURE_STORE (HOME is not set)
      → see `--help` of the command
    status 2
    "
    );
}
