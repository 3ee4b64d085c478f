//! Tests `tenure status`, of one namespace and of all, and how tasks leave it once somebody has dealt with them.

use insta::assert_snapshot;

use crate::frozen::Frozen;

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

    STATE         TASKS  STALE  OLDEST  OLDEST TASK
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  0      0
    failed        0      0
    quarantined   0      0

    unsuccessful in the last 24 hours: 0
    recovery: not running; run `tenure serve` or `tenure recover --watch`
    no task was ever created in the namespace default, or in any other
    note: there was no store at <folder>/tenure.db; created an empty one
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

    STATE         TASKS              STALE  OLDEST  OLDEST TASK
    planned       2 (1 not due yet)  0      1m 40s  planned
    dispatched    0                  0
    running       1                  1      1m 40s  hung
    compensating  0                  0
    failed        1                  0      1m 40s  broken
    quarantined   1                  0      1m 40s  parked

    unsuccessful in the last 24 hours: 2 (by_operator 2), 2 of them in the last hour; see `tenure task list --ended-badly --since 24h`
    recovery: not running, and 1 task waits for it; run `tenure serve` or `tenure recover --watch`
    ! 1 task is parked for a person, the oldest for 1m 40s
    ! 1 task did not succeed, and nobody has seen to it, the oldest for 1m 40s

    Stale
      hung running, stale: the lease of w1 at epoch 1 lapsed 2026-01-31T12:00:10Z (1m 30s ago); recovery undoes 1 compensation, and then it is parked for a person; until it is taken over, w1 can still end it

    Quarantined
      parked quarantined: since 2026-01-31T12:00:00Z (1m 40s ago), cause by_operator, because: needs a look

    Failed or compensated, and nobody has seen to it
      broken failed: since 2026-01-31T12:00:00Z (1m 40s ago), cause by_operator, because: no such repo
    $ tenure -q status
    planned 2
    dispatched 0
    running 1
    compensating 0
    failed 1
    quarantined 1
    $ tenure status -o json
    {"status":{"namespace":"default","at":"2026-01-31T12:01:40.000000Z","states":[{"state":"planned","count":2,"later":1,"stale":0,"oldest":{"task":"planned","since":"2026-01-31T12:00:00.000000Z"}},{"state":"dispatched","count":0,"later":0,"stale":0,"oldest":null},{"state":"running","count":1,"later":0,"stale":1,"oldest":{"task":"hung","since":"2026-01-31T12:00:00.000000Z"}},{"state":"compensating","count":0,"later":0,"stale":0,"oldest":null},{"state":"failed","count":1,"later":0,"stale":0,"oldest":{"task":"broken","since":"2026-01-31T12:00:00.000000Z"}},{"state":"quarantined","count":1,"later":0,"stale":0,"oldest":{"task":"parked","since":"2026-01-31T12:00:00.000000Z"}}],"ends":[{"queue":"default","state":"failed","cause":"by_operator","last_hour":1,"last_day":1,"all":1},{"queue":"default","state":"quarantined","cause":"by_operator","last_hour":1,"last_day":1,"all":1}],"queues":[{"queue":"default","planned":2,"later":1,"in_flight":1,"due_since":"2026-01-31T12:00:00.000000Z"}],"minutes":[{"at":"2026-01-31T12:00:00.000000Z","completed":0,"cancelled":0,"ended_badly":2}],"told_to_stop":{"count":0,"since":null},"recovery":{"seen_at":null,"recoverers":[]},"warnings":[],"stale":[{"id":"hung","saga_id":"hung","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":1,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"quarantined"},"lease":{"owner":"w1","epoch":1,"granted_to":"w1","ttl":"10s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:00:10.000000Z","progress":null},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/hung/1/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","last_lease":null,"finished_at":null}],"quarantined":[{"id":"parked","saga_id":"parked","namespace":"default","queue":"default","kind":"task","state":"quarantined","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"reservation":null,"unwinding":null,"compensations":[],"cancel":null,"terminal_reason":"needs a look","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":"2026-01-31T12:00:00.000000Z"}],"ended_badly":[{"id":"broken","saga_id":"broken","namespace":"default","queue":"default","kind":"task","state":"failed","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"none","target":"-","reason":null,"status":"void","epoch":null,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":null,"registered":"under_lease"}],"cancel":null,"terminal_reason":"no such repo","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"last_lease":null,"finished_at":"2026-01-31T12:00:00.000000Z"}],"cursors":[]}}
    "#
    );
}

#[test]
fn what_was_retried_needs_nobody_s_look_any_more() {
    let world = Frozen::world();
    world.given(
        "task create --id parked --undo a=x
         task acquire parked --owner w1
         task quarantine parked --owner w1 --epoch 1 --reason look
         task retry parked --reason again --id again",
    );
    assert_snapshot!(world.tells("status\ntask why parked\ntask why again"), @"
    $ tenure status
    namespace default at 2026-01-31T12:00:00Z

    STATE         TASKS  STALE  OLDEST  OLDEST TASK
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  1      0      0ms     again
    failed        0      0
    quarantined   0      0

    unsuccessful in the last 24 hours: 1 (by_holder 1), 1 of them in the last hour; see `tenure task list --ended-badly --since 24h`
    recovery: not running, and 1 task waits for it; run `tenure serve` or `tenure recover --watch`
    $ tenure task why parked
    parked is quarantined since 2026-01-31T12:00:00Z (just now), cause by_holder, because: look; it was retried as again, which now owes what was not waived
    $ tenure task why again
    again is compensating: 1 compensation must be undone; recovery may start now, since 2026-01-31T12:00:00Z, and once that is undone it is planned again; it is a retry: parked still owed it; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    ");
}

#[test]
fn a_lapsed_task_that_was_cancelled_waits_for_recovery_whatever_its_policy_says() {
    let world = Frozen::world();
    world.given(
        "task create --id kept --on-lapse hold
         task acquire kept --owner w1
         task create --id unwanted --on-lapse hold
         task acquire unwanted --owner w1
         task cancel unwanted --reason wrong
         tick 200",
    );
    let said = world.run("status").out;
    assert!(said.contains("recovery: not running, and 1 task waits for it"), "{said}");
}

#[test]
fn three_nightly_jobs_that_failed_are_seen_at_a_glance_until_somebody_has_seen_to_them() {
    let world = Frozen::world();
    for job in 1..=3 {
        world.given(&format!(
            "task create --id nightly-{job} --queue nightly
             task acquire nightly-{job} --owner w1
             task rollback nightly-{job} --owner w1 --epoch 1 --reason 'exit_status_1'"
        ));
    }
    assert_snapshot!(
        world.tells(
            r#"
            status
            task list --ended-badly --since 24h --order oldest
            task note nightly-1 --dismiss --as alice 'the disk was full'
            task note nightly-2 --dismiss --as alice
            -q task list --ended-badly
            -q task list --ended-badly --all
            task why nightly-1
            task list --since yesterday
            "#
        ),
        @"
    $ tenure status
    namespace default at 2026-01-31T12:00:00Z

    STATE         TASKS  STALE  OLDEST  OLDEST TASK
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  0      0
    failed        0      0
    quarantined   0      0

    unsuccessful in the last 24 hours: 3 (rolled_back 3), 3 of them in the last hour; see `tenure task list --ended-badly --since 24h`
    recovery: not running; run `tenure serve` or `tenure recover --watch`
    ! 3 tasks did not succeed, and nobody has seen to it, the oldest for 0ms

    Failed or compensated, and nobody has seen to it
      nightly-3 compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1
      nightly-2 compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1
      nightly-1 compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1
    $ tenure task list --ended-badly --since 24h --order oldest
    TASK       STATE        QUEUE    HELD BY  TIME     OWED  ATTEMPTS  LABELS
    nightly-1  compensated  nightly           0ms ago        1/1
    nightly-2  compensated  nightly           0ms ago        1/1
    nightly-3  compensated  nightly           0ms ago        1/1
    note: retried and dismissed tasks are left out; --all shows them
    $ tenure task note nightly-1 --dismiss --as alice 'the disk was full'
    nightly-1 is compensated since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1; dismissed by alice 2026-01-31T12:00:00Z (just now): the disk was full
    $ tenure task note nightly-2 --dismiss --as alice
    error: TEXT is missing
      → see `tenure task note --help`
    status 2
    $ tenure -q task list --ended-badly
    nightly-3
    nightly-2
    $ tenure -q task list --ended-badly --all
    nightly-3
    nightly-2
    nightly-1
    $ tenure task why nightly-1
    nightly-1 is compensated since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1; dismissed by alice 2026-01-31T12:00:00Z (just now): the disk was full
    note: 2026-01-31T12:00:00Z (just now) by alice, dismissing the task: the disk was full
    $ tenure task list --since yesterday
    error: refused: invalid: since: a duration such as 24h, or a time such as 2026-01-31T12:00:00Z
    status 3
    "
    );
}

#[test]
fn a_namespace_that_was_never_used_is_told_from_an_empty_one() {
    let world = Frozen::world();
    world.given("task create --id t");
    let told = world.told("--namespace typo status");
    assert!(
        told.contains("no task was ever created in the namespace typo; namespaces with tasks: default"),
        "{told}"
    );
    let told = world.told("status");
    assert!(!told.contains("ever created"), "{told}");
}

#[test]
fn namespaces_are_listed_and_status_goes_through_all_of_them() {
    let world = Frozen::world();
    assert_snapshot!(world.tells("namespace list"), @"
    $ tenure namespace list
    note: there was no store at <folder>/tenure.db; created an empty one
    note: there are no namespaces yet; the first task of one creates it
    ");
    world.given(
        "task create --id a
         --namespace ci task create --id b
         --namespace ci task acquire b --owner w1
         --namespace ci task rollback b --owner w1 --epoch 1 --reason 'exit_status_1'",
    );
    assert_snapshot!(
        world.tells(
            "namespace list
             -q namespace list
             -o json namespace list
             status --all-namespaces
             -q status --all-namespaces"
        ),
        @r#"
    $ tenure namespace list
    NAMESPACE  OPEN  STALE  QUARANTINED  UNSUCCESSFUL (24H)  OLDEST OPEN
    ci         0     0      0            1
    default    1     0      0            0                   0ms
    $ tenure -q namespace list
    ci
    default
    $ tenure -o json namespace list
    {"namespace":"ci"}
    {"namespace":"default"}
    $ tenure status --all-namespaces
    namespace ci at 2026-01-31T12:00:00Z

    STATE         TASKS  STALE  OLDEST  OLDEST TASK
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  0      0
    failed        0      0
    quarantined   0      0

    unsuccessful in the last 24 hours: 1 (rolled_back 1), 1 of them in the last hour; see `tenure --namespace ci task list --ended-badly --since 24h`
    recovery: not running; run `tenure --namespace ci serve` or `tenure --namespace ci recover --watch`
    ! 1 task did not succeed, and nobody has seen to it, the oldest for 0ms

    Failed or compensated, and nobody has seen to it
      b compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1

    namespace default at 2026-01-31T12:00:00Z

    STATE         TASKS  STALE  OLDEST  OLDEST TASK
    planned       1      0      0ms     a
    dispatched    0      0
    running       0      0
    compensating  0      0
    failed        0      0
    quarantined   0      0

    unsuccessful in the last 24 hours: 0
    recovery: not running; run `tenure --namespace default serve` or `tenure --namespace default recover --watch`
    $ tenure -q status --all-namespaces
    namespace ci
    planned 0
    dispatched 0
    running 0
    compensating 0
    failed 0
    quarantined 0
    namespace default
    planned 1
    dispatched 0
    running 0
    compensating 0
    failed 0
    quarantined 0
    "#
    );
    let json = world.tells("status --all-namespaces -o json");
    assert_eq!(json.matches("{\"status\":{\"namespace\":").count(), 2, "{json}");
}
