//! Tests what people read: lists, why a task is in its state, and what is owed.

use insta::assert_snapshot;
use tenure_cli::io::Screen;

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
    note: there are more; continue with --cursor t3
    $ tenure -q task list --limit 2 --cursor t3
    two
    one
    $ tenure -q task list --state running --state planned --label team=a
    one
    $ tenure stale
    TASK  STATE           QUEUE    HELD BY      TIME            OWED  ATTEMPTS  LABELS
    one   running, stale  default  w1, epoch 1  lapsed 10s ago        1/1       team=a
    $ tenure owners
    OWNER  LEASES  RESERVED  STALE  HELD FOR  FIRST EXPIRES
    w1     1       0         1      40s       10s ago
    w2     0       1         0      40s       in 1m 20s
    $ tenure owners -o json
    {"owner":"w1","leases":1,"reservations":0,"stale":1,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:00:30.000000Z"}
    {"owner":"w2","leases":0,"reservations":1,"stale":0,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:02:00.000000Z"}
    $ tenure task list --state failed
    note: no task matches
    note: retried and dismissed tasks are left out; --all shows them
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
    urgent is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now); unless somebody begins by 2026-01-31T12:01:00Z (in 1m), recovery parks it for a person; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why reserved
    reserved is dispatched: it is reserved for w2 until 2026-01-31T12:00:30Z (in 30s), and then for anybody
    $ tenure task why recover
    recover is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery undoes 2 compensations, and then it is planned again; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why hold
    hold is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:00:10Z (in 10s); unless that is renewed, the next owner to acquire it continues
    $ tenure task why park
    park is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery parks it for a person; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why undone
    undone is compensating: 1 compensation must be undone; recovery may start now, since 2026-01-31T12:00:00Z, and once that is undone it is parked for a person; its holder rolled it back: tests failed; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why kept
    kept is compensating: w1 is undoing 1 compensation under epoch 1 until 2026-01-31T12:01:00Z (in 1m), and once that is undone it is closed as compensated; its holder rolled it back: tests failed; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why stopping
    stopping is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m), and will learn at its next heartbeat that alice asked it to stop; unless that is renewed, recovery closes it as compensated; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
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
    urgent is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (1m 10s ago); it should have begun by 2026-01-31T12:01:00Z (10s ago), and recovery parks it for a person; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why reserved
    reserved is dispatched: its reservation for w2 lapsed 2026-01-31T12:00:30Z (40s ago), and anybody may acquire or claim it
    $ tenure task why recover
    recover is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery undoes 2 compensations, and then it is planned again; until it is taken over, w1 can still end it; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why hold
    hold is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:00:10Z (1m ago); the next owner to acquire it continues; until it is taken over, w1 can still end it
    $ tenure task why park
    park is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery parks it for a person; until it is taken over, w1 can still end it; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why undone
    undone is compensating: 1 compensation must be undone; recovery may start now, since 2026-01-31T12:00:00Z, and once that is undone it is parked for a person; its holder rolled it back: tests failed; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why kept
    kept is compensating: w1 was undoing 1 compensation when its lease at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery may take it over now, since 2026-01-31T12:01:00Z, and once that is undone it is closed as compensated; its holder rolled it back: tests failed; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
    $ tenure task why stopping
    stopping is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery closes it as compensated; until it is taken over, w1 can still end it; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`
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
    {"task":{"id":"recover","saga_id":"recover","namespace":"default","queue":"default","kind":"task","state":"running","cause":null,"priority":0,"not_before":null,"labels":{},"payload":null,"attempts":1,"epoch":1,"revision":2,"owed":2,"policy":{"lease_ttl":"60s","max_attempts":2,"on_lapse":"recover","when_spent":"compensated"},"lease":{"owner":"w1","epoch":1,"granted_to":"w1","ttl":"60s","acquired_at":"2026-01-31T12:00:00.000000Z","heartbeat_at":"2026-01-31T12:00:00.000000Z","progressed_at":"2026-01-31T12:00:00.000000Z","expires_at":"2026-01-31T12:01:00.000000Z","progress":null},"reservation":null,"unwinding":null,"compensations":[{"seq":1,"kind":"a","target":"x","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/recover/1/1","registered":"before_lease"},{"seq":2,"kind":"b","target":"y","reason":null,"status":"owed","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":null,"key":"default/recover/2/1","registered":"before_lease"}],"cancel":null,"terminal_reason":null,"result":null,"retried_as":null,"retry_of":null,"stale":true,"created_at":"2026-01-31T12:00:00.000000Z","updated_at":"2026-01-31T12:00:00.000000Z","started_at":"2026-01-31T12:00:00.000000Z","last_lease":null,"finished_at":null},"why":"recover is running: the lease of w1 at epoch 1 lapsed 2026-01-31T12:01:00Z (10s ago); recovery undoes 2 compensations, and then it is planned again; until it is taken over, w1 can still end it; but no recovery is running for this store: run `tenure serve` or `tenure recover --watch`","next":{"what":"reclaim","at":"2026-01-31T12:01:00.000000Z"},"notes":[]}
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
    NUMBER  STATUS  KIND  TARGET  REASON  OUTCOME
    3       owed    c     three           1 failed try: no route
    2       done    b     two             receipt: removed
    1       waived  a     one=1   first   waived: gone already
    $ tenure task undo list t -o json
    {"seq":3,"kind":"c","target":"three","reason":null,"status":"owed","epoch":1,"tries":1,"receipt":null,"settled_by":null,"last_error":"no route","waiver":null,"key":"default/t/3/1","registered":"under_lease"}
    {"seq":2,"kind":"b","target":"two","reason":null,"status":"done","epoch":1,"tries":0,"receipt":"removed","settled_by":null,"last_error":null,"waiver":null,"key":"default/t/2/1","registered":"before_lease"}
    {"seq":1,"kind":"a","target":"one=1","reason":"first","status":"waived","epoch":1,"tries":0,"receipt":null,"settled_by":null,"last_error":null,"waiver":"gone already","key":"default/t/1/1","registered":"before_lease"}
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

    <esc>[1mSTATE         <esc>[0m<esc>[1mTASKS  <esc>[0m<esc>[1mSTALE  <esc>[0m<esc>[1mOLDEST  <esc>[0m<esc>[1mOLDEST TASK  <esc>[0m
    <esc>[2mplanned       <esc>[0m0      0
    <esc>[2mdispatched    <esc>[0m0      0
    <esc>[1mrunning       <esc>[0m1      0      0ms     t
    <esc>[2mcompensating  <esc>[0m0      0
    <esc>[2mfailed        <esc>[0m0      0
    <esc>[38;5;1mquarantined   <esc>[39m1      0      0ms     parked

    unsuccessful in the last 24 hours: 1 (by_operator 1), 1 of them in the last hour; see `tenure task list --ended-badly --since 24h`
    recovery: not running; run `tenure serve` or `tenure recover --watch`
    ! 1 task is parked for a person, the oldest for 0ms

    <esc>[1mQuarantined<esc>[0m
      <esc>[31mparked<esc>[0m quarantined: since 2026-01-31T12:00:00Z (just now), cause by_operator, because: \u{1b}[2J\u{7}wiped
    ");
    assert_snapshot!(shown(Screen::Coloured, "task acquire t --owner w2"), @"
    <esc>[31merror:<esc>[0m refused: leased: the task is already leased (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z); not before 2026-01-31T12:01:00Z
      <esc>[2m→<esc>[0m wait until it is free, see `tenure task why t`; only its holder can act on it, with --owner and --epoch
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
