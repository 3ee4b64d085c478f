//! What people look at: lists, the status, why a task is where it is, the history, and what is owed.

use insta::assert_snapshot;
use tenure_cli::world::Screen;

use crate::frozen::{self, Frozen};

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
    note: what was retried or dismissed is left out; --all shows it
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

    did not succeed: 0 today
    recovery: nobody has looked after this store yet; run `tenure serve` or `tenure recover --watch`
    there is no task in the namespace default, nor in any other
    note: there was no store at <folder>/tenure.db; an empty one was made
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

    did not succeed: 2 today (by_operator 2), 2 in the last hour: tenure task list --ended-badly --since 24h
    recovery: nobody has looked after this store yet; run `tenure serve` or `tenure recover --watch`

    Stale
      hung running, stale: the lease of w1 at epoch 1 lapsed 2026-01-31T12:00:10Z (1m 30s ago); recovery undoes 1 compensation, and then it is parked for a person; until somebody takes over, w1 may still say how it ended

    Quarantined, for a person
      parked quarantined: since 2026-01-31T12:00:00Z (1m 40s ago), cause by_operator, because: needs a look

    Failed or undone in the last day
      broken failed: since 2026-01-31T12:00:00Z (1m 40s ago), cause by_operator, because: no such repo
    $ tenure -q status
    planned 2
    dispatched 0
    running 1
    compensating 0
    failed 1
    quarantined 1
    $ tenure status -o json
    {"status":{"namespace":"default","at":"2026-01-31T12:01:40.000000Z","states":[{"state":"planned","count":2,"later":1,"stale":0,"oldest":{"task":"planned","since":"2026-01-31T12:00:00.000000Z"}},{"state":"dispatched","count":0,"later":0,"stale":0,"oldest":null},{"state":"running","count":1,"later":0,"stale":1,"oldest":{"task":"hung","since":"2026-01-31T12:00:00.000000Z"}},{"state":"compensating","count":0,"later":0,"stale":0,"oldest":null},{"state":"failed","count":1,"later":0,"stale":0,"oldest":{"task":"broken","since":"2026-01-31T12:00:00.000000Z"}},{"state":"quarantined","count":1,"later":0,"stale":0,"oldest":{"task":"parked","since":"2026-01-31T12:00:00.000000Z"}}],"ends":[{"queue":"default","state":"failed","cause":"by_operator","last_hour":1,"last_day":1,"all":1},{"queue":"default","state":"quarantined","cause":"by_operator","last_hour":1,"last_day":1,"all":1}],"told_to_stop":{"count":0,"since":null},"recovery":{"seen_at":null,"recoverers":[]},"warnings":[],"stale":[{"id":"hung","saga_id":"hung","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":1,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"quarantined"},"lease":{"owner":"w1","epoch":1,"granted_to":"w1","ttl":"10s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:00:10.000000Z","progress":null},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"remove","target":"/tmp/a","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/hung/1/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","finished_at":null}],"quarantined":[{"id":"parked","saga_id":"parked","namespace":"default","queue":"default","kind":"task","state":"quarantined","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"reservation":null,"unwinding":null,"compensations":[],"cancel":null,"terminal_reason":"needs a look","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"finished_at":"2026-01-31T12:00:00.000000Z"}],"ended_badly":[{"id":"broken","saga_id":"broken","namespace":"default","queue":"default","kind":"task","state":"failed","cause":"by_operator","priority":0,"not_before":null,"labels":{},"payload":null,"attempts":0,"epoch":0,"revision":2,"owed":0,"policy":{"lease_ttl":"60s","max_attempts":1,"on_lapse":"recover","when_spent":"compensated"},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"none","target":"-","reason":null,"status":"void","epoch":null,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":null,"registered":"under_lease"}],"cancel":null,"terminal_reason":"no such repo","result":null,"retried_as":null,"retry_of":null,"stale":false,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":null,"finished_at":"2026-01-31T12:00:00.000000Z"}]}}
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
    urgent is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now); unless somebody begins by 2026-01-31T12:01:00Z (in 1m), recovery parks it for a person; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why reserved
    reserved is dispatched: it is reserved for w2 until 2026-01-31T12:00:30Z (in 30s), and then for anybody
    $ tenure task why recover
    recover is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery undoes 2 compensations, and then it is planned again; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why hold
    hold is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:00:10Z (in 10s); unless that is renewed, whoever acquires it next goes on
    $ tenure task why park
    park is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery parks it for a person; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why undone
    undone is compensating: 1 compensation must be undone and nobody does it; recovery may take it now, since 2026-01-31T12:00:00Z, and once that is undone it is parked for a person; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why kept
    kept is compensating: w1 is undoing 1 compensation under epoch 1 until 2026-01-31T12:01:00Z (in 1m), and once that is undone it is closed as compensated; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why stopping
    stopping is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m), and hears with the next heartbeat that alice asked it to stop; unless that is renewed, recovery closes it as compensated; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why failed
    failed is failed since 2026-01-31T12:00:00Z (just now), cause by_operator, because: no such repo
    $ tenure task why parked
    parked is quarantined since 2026-01-31T12:00:00Z (just now), cause by_operator, because: needs a look
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
    urgent is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (1m 10s ago); it should have begun by 2026-01-31T12:01:00Z (10s ago), and recovery parks it for a person; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why reserved
    reserved is dispatched: its reservation for w2 lapsed 2026-01-31T12:00:30Z (40s ago), and anybody may acquire or claim it
    $ tenure task why recover
    recover is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery undoes 2 compensations, and then it is planned again; until somebody takes over, w1 may still say how it ended; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why hold
    hold is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:00:10Z (1m ago); whoever acquires it next goes on; until somebody takes over, w1 may still say how it ended
    $ tenure task why park
    park is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery parks it for a person; until somebody takes over, w1 may still say how it ended; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why undone
    undone is compensating: 1 compensation must be undone and nobody does it; recovery may take it now, since 2026-01-31T12:00:00Z, and once that is undone it is parked for a person; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why kept
    kept is compensating: w1 was undoing 1 compensation when its lease at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery may take it over now, since 2026-01-31T12:01:00Z, and once that is undone it is closed as compensated; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    $ tenure task why stopping
    stopping is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery closes it as compensated; until somebody takes over, w1 may still say how it ended; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
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
    {"task":{"id":"recover","saga_id":"recover","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":2,"policy":{"lease_ttl":"60s","max_attempts":2,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"granted_to":"w1","ttl":"60s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z","progress":null},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"a","target":"x","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/recover/1/1","registered":"before_lease"},{"seq":2,"kind":"b","target":"y","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"last_error":null,"waiver":null,"key":"default/recover/2/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","finished_at":null},"why":"recover is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery undoes 2 compensations, and then it is planned again; until somebody takes over, w1 may still say how it ended; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`","next":{"what":"reclaim","at":"2026-01-31T12:01:00.000000Z"},"notes":[]}
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
fn a_terminal_gets_colours_and_a_stored_text_can_add_none() {
    let world = Frozen::world();
    world.given(
        "task create --id parked --label note=\u{1b}[31mred
         task quarantine parked --reason \u{1b}[2J\u{7}wiped
         task create --id t --undo a=\u{1b}]0;title
         task acquire t --owner w1",
    );
    let shown = |screen, words: &str| {
        let ran = world.run_on(screen, words);
        ran.out.replace('\u{1b}', "<esc>") + &ran.errors.replace('\u{1b}', "<esc>")
    };
    assert_snapshot!(shown(Screen::Coloured, "task list"), @r"
    <esc>[1mTASK    <esc>[0m<esc>[1mSTATE        <esc>[0m<esc>[1mQUEUE    <esc>[0m<esc>[1mHELD BY  <esc>[0m<esc>[1mTIME     <esc>[0m<esc>[1mOWED  <esc>[0m<esc>[1mATTEMPT  <esc>[0m<esc>[1mLABELS   <esc>[0m
                                                          <esc>[1mS        <esc>[0m
    t       <esc>[38;5;6mrunning      <esc>[39mdefault  w1,      1m left  1     1/1
                                  epoch 1
    parked  <esc>[38;5;1mquarantined  <esc>[39mdefault           0ms ago        0/1      note=\u
                                                                   {1b}[31
                                                                   mred
    ");
    assert_snapshot!(shown(Screen::Coloured, "status"), @r"
    namespace default at 2026-01-31T12:00:00Z

    <esc>[1mSTATE         <esc>[0m<esc>[1mTASKS  <esc>[0m<esc>[1mSTALE  <esc>[0m<esc>[1mOLDEST  <esc>[0m<esc>[1mWHICH   <esc>[0m
    <esc>[2mplanned       <esc>[0m0      0
    <esc>[2mdispatched    <esc>[0m0      0
    <esc>[1mrunning       <esc>[0m1      0      0ms     t
    <esc>[2mcompensating  <esc>[0m0      0
    <esc>[2mfailed        <esc>[0m0      0
    <esc>[38;5;1mquarantined   <esc>[39m1      0      0ms     parked

    did not succeed: 1 today (by_operator 1), 1 in the last hour: tenure task list --ended-badly --since 24h
    recovery: nobody has looked after this store yet; run `tenure serve` or `tenure recover --watch`

    <esc>[1mQuarantined, for a person<esc>[0m
      <esc>[31mparked<esc>[0m quarantined: since 2026-01-31T12:00:00Z (just now), cause by_operator, because: \u{1b}[2J\u{7}wiped
    ");
    assert_snapshot!(shown(Screen::Coloured, "task acquire t --owner w2"), @"
    <esc>[31merror:<esc>[0m refused: leased: somebody holds the lease (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z); not before 2026-01-31T12:01:00Z
      <esc>[2m→<esc>[0m wait until it is free, see `tenure task why t`; only its holder acts on it, with its --owner and --epoch
    ");
    for words in
        ["task list", "task show t", "task show parked", "task why parked", "events", "task undo list t"]
    {
        assert!(!shown(Screen::Plain, words).contains("<esc>"), "{words}");
        assert!(!shown(Screen::Terminal, words).contains("<esc>"), "{words}");
    }
    assert!(!shown(Screen::Coloured, "task list -o json").contains("<esc>"), "JSON is never coloured");
}

#[test]
fn a_long_list_has_its_headings_once_and_nothing_between_its_pages() {
    let world = Frozen::world();
    let url = format!("sqlite:{}", frozen::file(&world).display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ledger = tenure::Ledger::open(&url).await.expect("opens");
        let commands =
            (0..1_200).map(|nth| ledger.create(&format!("t{nth:04}")).command().expect("a command"));
        let answers = ledger.transact(commands.collect()).await;
        assert!(answers.iter().all(Result::is_ok));
    });
    let shown = world.run("task list").out;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 1_201);
    assert!(lines[0].starts_with("TASK") && lines[1..].iter().all(|line| line.starts_with('t')));
    assert_eq!(world.run("-q task list --limit 700").out.lines().count(), 700);
    let ids = world.run("-q task list").out;
    let mut sorted: Vec<&str> = ids.lines().collect();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 1_200, "each once");
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

    STATE         TASKS  STALE  OLDEST  WHICH
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  1      0      0ms     again
    failed        0      0
    quarantined   0      0

    did not succeed: 1 today (by_holder 1), 1 in the last hour: tenure task list --ended-badly --since 24h
    recovery: nobody has looked after this store yet; run `tenure serve` or `tenure recover --watch`
    $ tenure task why parked
    parked is quarantined since 2026-01-31T12:00:00Z (just now), cause by_holder, because: look; it was retried as again, with what was owed and not waived
    $ tenure task why again
    again is compensating: 1 compensation must be undone and nobody does it; recovery may take it now, since 2026-01-31T12:00:00Z, and once that is undone it is planned again; but nobody has looked after this store yet: run `tenure serve` or `tenure recover --watch`
    ");
}

#[test]
fn a_payload_that_was_damaged_is_shown_as_the_text_that_it_is() {
    let world = Frozen::world();
    world.given("task create --id t --payload '{\"a\":1}'");
    let connection = rusqlite::Connection::open(frozen::file(&world)).expect("opens");
    connection.execute_batch("update tasks set payload = '{broken'").expect("changed");
    assert_eq!(world.run("task show t -o json").json()["task"]["payload"], "{broken");
    assert_eq!(world.run("task list -o json").status, 0);
    assert_eq!(world.run("audit verify").status, 1);
}

#[test]
fn a_program_is_told_what_comes_next() {
    let world = Frozen::world();
    world.given(
        "task create --id due
         task create --id later --not-before 2026-01-31T12:05:00Z
         task create --id urgent --start-within 1m
         task create --id reserved
         task dispatch reserved --owner w2 --ttl 30s
         task create --id held --lock-delay 20s
         task acquire held --owner w1
         task create --id hold --on-lapse hold
         task acquire hold --owner w1
         task create --id undone --undo a=x
         task acquire undone --owner w1
         task rollback undone --owner w1 --epoch 1 --reason no
         task create --id over
         task cancel over --reason no",
    );
    let all = ["due", "later", "urgent", "reserved", "held", "hold", "undone", "over"];
    let next = || {
        let next = |id: &str| {
            let next = world.run(&format!("task why {id} -o json")).json()["next"].clone();
            format!("{id}: {} {}\n", next["what"], next["at"])
        };
        all.map(next).concat()
    };
    assert_snapshot!(next(), @r#"
    due: "due" "2026-01-31T12:00:00.000000Z"
    later: "due" "2026-01-31T12:05:00.000000Z"
    urgent: "reclaim" "2026-01-31T12:01:00.000000Z"
    reserved: "lapse" "2026-01-31T12:00:30.000000Z"
    held: "lapse" "2026-01-31T12:01:00.000000Z"
    hold: "lapse" "2026-01-31T12:01:00.000000Z"
    undone: "reclaim" "2026-01-31T12:00:00.000000Z"
    over: null null
    "#);
    world.tick(70);
    assert_snapshot!(next(), @r#"
    due: "due" "2026-01-31T12:00:00.000000Z"
    later: "due" "2026-01-31T12:05:00.000000Z"
    urgent: "reclaim" "2026-01-31T12:01:00.000000Z"
    reserved: "due" "2026-01-31T12:00:30.000000Z"
    held: "reclaim" "2026-01-31T12:01:20.000000Z"
    hold: "due" "2026-01-31T12:01:00.000000Z"
    undone: "reclaim" "2026-01-31T12:00:00.000000Z"
    over: null null
    "#);
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
        "$ tenure audit verify --task one\nholds: 1 task, 2 events\n"
    );
    let connection = rusqlite::Connection::open(frozen::file(&world)).expect("opens");
    connection.execute("update tasks set head = zeroblob(32) where id = 'one'", []).expect("changed");
    for verb in ["task show one", "task why one", "events --task one"] {
        let told = world.tells(verb);
        assert!(told.contains("error: the history of this task does not hold: default/one: "), "{told}");
        assert!(told.contains("see `tenure audit verify --task one`"), "{told}");
        assert!(told.contains("one") && told.contains("w1"), "it is shown all the same: {told}");
    }
    assert!(!world.tells("task show two").contains("error"), "others are as they were");
    let told = world.tells("task note one --as alice seen");
    assert!(told.contains("error: corrupt, nothing was done: ") && told.contains("status 1\n"), "{told}");
    let told = world.tells("task note one --as alice seen -o json");
    assert!(told.contains("{\"corrupt\":{\"message\":\""), "{told}");
    let told = world.tells("audit verify --task one");
    assert!(told.contains("does not hold") && told.contains("status 1\n"), "{told}");
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
    assert!(told.contains("error: the event at e1 can't be read, and is passed over"), "{told}");
    let passed_over_none = told.lines().any(|line| line.contains("two") && line.contains("created"));
    assert!(passed_over_none && told.contains("status 1\n"), "{told}");
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

    STATE         TASKS  STALE  OLDEST  WHICH
    planned       0      0
    dispatched    0      0
    running       0      0
    compensating  0      0
    failed        0      0
    quarantined   0      0

    did not succeed: 3 today (rolled_back 3), 3 in the last hour: tenure task list --ended-badly --since 24h
    recovery: nobody has looked after this store yet; run `tenure serve` or `tenure recover --watch`

    Failed or undone in the last day
      nightly-3 compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1
      nightly-2 compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1
      nightly-1 compensated: since 2026-01-31T12:00:00Z (just now), cause rolled_back, because: exit_status_1
    $ tenure task list --ended-badly --since 24h --order oldest
    TASK       STATE        QUEUE    HELD BY  TIME     OWED  ATTEMPTS  LABELS
    nightly-1  compensated  nightly           0ms ago        1/1
    nightly-2  compensated  nightly           0ms ago        1/1
    nightly-3  compensated  nightly           0ms ago        1/1
    note: what was retried or dismissed is left out; --all shows it
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
    note: 2026-01-31T12:00:00Z (just now) by alice, which dismisses the task: the disk was full
    $ tenure task list --since yesterday
    error: refused: invalid: since: a length such as 24h, or an instant such as 2026-01-31T12:00:00Z
    status 3
    "
    );
}

#[test]
fn a_namespace_that_was_never_used_is_told_from_an_empty_one() {
    let world = Frozen::world();
    world.given("task create --id t");
    let told = world.told("--namespace typo status");
    assert!(told.contains("there never was a task in the namespace typo; there are default"), "{told}");
    let told = world.told("status");
    assert!(!told.contains("never was"), "{told}");
}

#[test]
fn namespaces_are_listed_and_status_goes_through_all_of_them() {
    let world = Frozen::world();
    assert_snapshot!(world.tells("namespace list"), @"");
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
        @""
    );
    let json = world.tells("status --all-namespaces -o json");
    assert_eq!(json.matches("{\"status\":{\"namespace\":").count(), 2, "{json}");
}

#[test]
fn a_task_may_be_due_so_long_from_now() {
    let world = Frozen::world();
    world.given("task create --id later --delay 10m");
    let why = world.tells("task why later");
    assert!(why.contains("2026-01-31T12:10:00"), "{why}");
    let told = world.tells("task create --id both --delay 10m --not-before 2026-01-31T13:00:00Z");
    assert!(told.contains("--delay") && told.contains("status 2"), "{told}");
    let told = world.tells("task create --id wrong --delay soon");
    assert!(told.contains("delay") && told.contains("status 3"), "{told}");
}
