//! Tests wrong uses: each one prints what was wrong and what to do, has the documented exit status, and changes nothing.

use insta::assert_snapshot;

use crate::frozen::{self, Frozen};

#[test]
fn commands_that_must_not_make_a_store_take_an_empty_file_for_a_missing_one() {
    let world = Frozen::world();
    let file = world.write("empty.db", "");
    let backup = format!("backup {}", world.path("copy.backup"));
    let prune = "prune --older-than 90d --dry-run";
    for verb in ["migrate --dry-run", "audit verify", "audit anchor", "export", prune, &backup, &backup] {
        let ran = world.run(&format!("{verb} --store sqlite:{file}"));
        assert_eq!((ran.status, ran.out.as_str()), (5, ""), "{verb}: {}", ran.errors);
        assert!(ran.errors.contains("there is no store at"), "{verb}: {}", ran.errors);
        assert_eq!(std::fs::metadata(&file).expect("there").len(), 0, "{verb}");
    }
}

#[test]
fn words_that_make_no_command_are_usage_errors() {
    let world = Frozen::world();
    let mut all = String::new();
    for words in [
        "task create --idd x",
        "task crate",
        "task acquire show t",
        "task list --state runing",
        "task create --label nokey",
        "task create --undo nokind",
        "task create --undo-reason early --undo a=x",
        "task claim -n many --owner w",
        "task heartbeat t --owner w1",
        "task heartbeat t",
        "task show",
        "task acquire t",
        "task note t",
        "task complete t",
        "task complete t --owner w --epoch 1 --reason done",
        "task compensate t --reason x --waive two=gone",
        "task fail t --reason no --undo a=x --undo b=y",
        "task undo settle t 1",
        "task undo settle t one --receipt x --owner w --epoch 1",
        "task undo settle t 1 --waive",
        "-q -v task list",
        "-o yaml task list",
        "man task fly",
    ] {
        let told = world.told(words);
        assert!(told.contains("\nstatus 2\n"), "{told}");
        all.push_str(&told);
    }
    assert_snapshot!(all, @"
    $ tenure task create --idd x
    error: unexpected argument '--idd' found

      tip: a similar argument exists: '--id'

    Usage: tenure task create --id <ID>

    For more information, try '--help'.
    status 2
    $ tenure task crate
    error: unrecognized subcommand 'crate'

      tip: some similar subcommands exist: 'cancel', 'create'

    Usage: tenure task [OPTIONS] <COMMAND>

    For more information, try '--help'.
    status 2
    $ tenure task acquire show t
    error: unexpected argument 't' found

    Usage: tenure task acquire [OPTIONS] [ID]

    For more information, try '--help'.
    status 2
    $ tenure task list --state runing
    error: invalid value 'runing' for '--state <STATE>'
      [possible values: planned, dispatched, running, compensating, completed, failed, compensated, quarantined, open]

      tip: a similar value exists: 'running'

    For more information, try '--help'.
    status 2
    $ tenure task create --label nokey
    error: invalid value 'nokey' for '--label <KEY=VALUE>': expected KEY=VALUE

    For more information, try '--help'.
    status 2
    $ tenure task create --undo nokind
    error: invalid value 'nokind' for '--undo <KIND=TARGET>': expected KIND=TARGET, such as remove-worktree=/tmp/wt-42

    For more information, try '--help'.
    status 2
    $ tenure task create --undo-reason early --undo a=x
    error: an --undo-reason must follow its --undo, and each --undo can have one
    status 2
    $ tenure task claim -n many --owner w
    error: invalid value 'many' for '--limit <COUNT>': invalid digit found in string

    For more information, try '--help'.
    status 2
    $ tenure task heartbeat t --owner w1
    error: the lease has an owner but no epoch: pass --epoch or set TENURE_EPOCH, or pass --as to act as an operator
      → see `tenure task heartbeat --help`
    status 2
    $ tenure task heartbeat t
    error: no lease given: pass --owner and --epoch, as acquire printed them
      → see `tenure task heartbeat --help`
    status 2
    $ tenure task show
    error: no task given: pass its ID, or set TENURE_TASK
      → see `tenure task show --help`
    status 2
    $ tenure task acquire t
    error: no owner given: pass --owner NAME, such as host/pid/agent-3, or set TENURE_OWNER
      → see `tenure task acquire --help`
    status 2
    $ tenure task note t
    error: TEXT is missing
      → see `tenure task note --help`
    status 2
    $ tenure task complete t
    error: no lease and no reason given: pass --owner and --epoch as the holder, or --reason as an operator
      → see `tenure task complete --help`
    status 2
    $ tenure task complete t --owner w --epoch 1 --reason done
    error: --reason is only for completing a task without a lease; pass the result of the work with --result
      → see `tenure task complete --help`
    status 2
    $ tenure task compensate t --reason x --waive two=gone
    error: invalid value 'two=gone' for '--waive <NUMBER=REASON>': expected NUMBER=REASON, such as 2=gone

    For more information, try '--help'.
    status 2
    $ tenure task fail t --reason no --undo a=x --undo b=y
    error: only one --undo can be given; register the others first, with `tenure task undo add`
      → see `tenure task fail --help`
    status 2
    $ tenure task undo settle t 1
    error: the following required arguments were not provided:
      <--receipt <TEXT>|--error <TEXT>|--waive>

    Usage: tenure task undo settle <--receipt <TEXT>|--error <TEXT>|--waive> <ID> <NUMBER>

    For more information, try '--help'.
    status 2
    $ tenure task undo settle t one --receipt x --owner w --epoch 1
    error: `one` is not a number; see `tenure task undo list t`
      → see `tenure task undo settle --help`
    status 2
    $ tenure task undo settle t 1 --waive
    error: the following required arguments were not provided:
      --reason <TEXT>

    Usage: tenure task undo settle --reason <TEXT> <--receipt <TEXT>|--error <TEXT>|--waive> <ID> <NUMBER>

    For more information, try '--help'.
    status 2
    $ tenure -q -v task list
    error: the argument '--quiet' cannot be used with '--verbose'

    Usage: tenure --quiet <COMMAND>

    For more information, try '--help'.
    status 2
    $ tenure -o yaml task list
    error: invalid value 'yaml' for '--format <FORMAT>'
      [possible values: table, json]

    For more information, try '--help'.
    status 2
    $ tenure man task fly
    error: `task` has no command `fly`
      → see `tenure man --help`
    status 2
    ");
}

#[test]
fn values_out_of_bounds_are_refused_as_invalid_with_field_and_limit() {
    let mut world = Frozen::world();
    world.given("task create --id t\ntask acquire t --owner w1");
    let mut all = String::new();
    for words in [
        "task create --id 'a b'",
        "task create --payload {bad",
        "task create --payload '{\"a\":1,\"a\":2}'",
        "task create --ttl 1ms",
        "task create --ttl soon",
        "task create --max-attempts 0",
        "task create --not-before 2026-01-31T12:00:00",
        "task acquire t --owner 'w 1'",
        "task claim --owner w -n 1001",
        "task heartbeat t --owner w1 --epoch 1 --progress nope",
        "task cancel t --reason ' '",
        "task list --cursor e5",
        "task create --label a=1 --label a=2",
        "--namespace a/b task list",
        "--store tasks:db task list",
        "--store sqlite:x?sync=off task list",
    ] {
        let told = world.told(words);
        assert!(told.contains("\nstatus 3\n"), "{told}");
        all.push_str(&told);
    }
    assert_snapshot!(all, @r#"
    $ tenure task create --id 'a b'
    error: refused: invalid: id: 1 to 200 of A-Z a-z 0-9 - _ . : @ +, not . or ..
    status 3
    $ tenure task create --payload {bad
    error: refused: invalid: payload: must be valid JSON: key must be a string at line 1 column 2
      → put JSON in single quotes, '{"a":1}', or in a file: @FILE
    status 3
    $ tenure task create --payload '{"a":1,"a":2}'
    error: refused: invalid: payload: must be valid JSON: duplicate key "a" at line 1 column 8
      → put JSON in single quotes, '{"a":1}', or in a file: @FILE
    status 3
    $ tenure task create --ttl 1ms
    error: refused: invalid: ttl: 1 s to 7 days
    status 3
    $ tenure task create --ttl soon
    error: refused: invalid: ttl: a whole number and a unit, such as 500ms, 90s, 5m, 2h or 7d; or ISO 8601 without months and years, such as PT1M30S
    status 3
    $ tenure task create --max-attempts 0
    error: refused: invalid: policy.max_attempts: 1 or more
    status 3
    $ tenure task create --not-before 2026-01-31T12:00:00
    error: refused: invalid: not_before: an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z or …+02:00
    status 3
    $ tenure task acquire t --owner 'w 1'
    error: refused: invalid: owner: 1 to 200 of A-Z a-z 0-9 - _ . : @ + /, not . or ..
    status 3
    $ tenure task claim --owner w -n 1001
    error: refused: invalid: limit: 1 to 1000
    status 3
    $ tenure task heartbeat t --owner w1 --epoch 1 --progress nope
    error: refused: invalid: progress: must be valid JSON: expected ident at line 1 column 2
      → put JSON in single quotes, '{"a":1}', or in a file: @FILE
    status 3
    $ tenure task cancel t --reason ' '
    error: refused: invalid: reason: must not be empty: 1 byte to 4 KiB of text, without NUL
    status 3
    $ tenure task list --cursor e5
    error: refused: invalid: cursor: not a cursor of this list
    status 3
    $ tenure task create --label a=1 --label a=2
    error: refused: invalid: labels: the key a is given twice
    status 3
    $ tenure --namespace a/b task list
    error: refused: invalid: namespace: 1 to 200 of A-Z a-z 0-9 - _ . : @ +, not . or ..
    status 3
    $ tenure --store tasks:db task list
    error: refused: invalid: store: `tasks:db` is not a store URL; use memory:, sqlite:PATH, postgres://HOST/DATABASE or http://HOST:PORT
    status 3
    $ tenure --store sqlite:x?sync=off task list
    error: refused: invalid: store: unknown option `sync=off`; use synchronous=full or synchronous=normal
    status 3
    "#);
    let mut all = String::new();
    for record in [
        "{",
        r#"{"id":"x","stat":"planned"}"#,
        r#"{"id":"x","policy":{"max_attempts":"two"}}"#,
        r#"{"id":"x","created_at":"2026-01-01T00:00:00"}"#,
        r#"{"id":"x","state":"finished"}"#,
        r#"{"id":"x","namespace":"other"}"#,
        r#"{"id":"x"} {"id":"y"}"#,
    ] {
        world.with_input(record);
        all.push_str(&format!("{record}\n{}", world.told("task put")));
    }
    assert_snapshot!(all, @r#"
    {
    $ tenure task put
    error: refused: invalid: record: EOF while parsing an object at line 1 column 1
      → see `tenure task put --help`; `tenure task show -o json` prints a record in this format
    status 3
    {"id":"x","stat":"planned"}
    $ tenure task put
    error: refused: invalid: record: stat: unknown field `stat`, expected one of `id`, `namespace`, `revision`, `saga_id`, `queue`, `kind`, `state`, `priority`, `not_before`, `labels`, `payload`, `policy`, `compensations`, `terminal_reason`, `result`, `attempts`, `epoch`, `created_at`, `finished_at`, `lease`, `reservation`, `reason`, `given_null`, `cause`, `dismissed`, `owed`, `unwinding`, `checkpoint`, `cancel`, `retried_as`, `retry_of`, `stale`, `updated_at`, `started_at`, `last_lease` at line 1 column 16
      → see `tenure task put --help`; `tenure task show -o json` prints a record in this format
    status 3
    {"id":"x","policy":{"max_attempts":"two"}}
    $ tenure task put
    error: refused: invalid: record: policy.max_attempts: invalid type: string "two", expected a whole number from 0 to 4294967295 at line 1 column 40
      → see `tenure task put --help`; `tenure task show -o json` prints a record in this format
    status 3
    {"id":"x","created_at":"2026-01-01T00:00:00"}
    $ tenure task put
    error: refused: invalid: created_at: an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z or …+02:00
    status 3
    {"id":"x","state":"finished"}
    $ tenure task put
    error: refused: invalid: state: one of planned, dispatched, running, compensating, completed, failed, compensated, quarantined
    status 3
    {"id":"x","namespace":"other"}
    $ tenure task put
    error: refused: invalid: namespace: the record's namespace is `other`, but the request is for `default`; use one of them
    status 3
    {"id":"x"} {"id":"y"}
    $ tenure task put
    error: refused: invalid: record: must be one task: trailing characters at line 1 column 12
      → see `tenure task put --help`; `tenure task show -o json` prints a record in this format
    status 3
    "#);
}

#[test]
fn refusals_say_who_holds_it_and_what_to_do() {
    let world = Frozen::world();
    world.given(
        "task create --id t --undo a=x
         task acquire t --owner w1
         task create --id done
         task quarantine done --reason parked
         task create --id reserved
         task dispatch reserved --owner w2
         task create --id bare
         task create --id later --not-before 2026-01-31T13:00:00Z",
    );
    let mut all = String::new();
    for words in [
        "task create --id t",
        "task acquire t --owner w2",
        "task acquire reserved --owner w1",
        "task acquire later --owner w1",
        "task acquire done --owner w1",
        "task heartbeat t --owner w2 --epoch 1",
        "task heartbeat t --owner w1 --epoch 7",
        "task heartbeat bare --owner w1 --epoch 1",
        "task heartbeat t --owner w1 --epoch 1 --ttl 10s",
        "task fail bare --reason no",
        "task compensate t --reason x",
        "task undo add t --kind a --target x",
    ] {
        let told = world.told(words);
        assert!(told.contains("\nstatus 3\n"), "{told}");
        all.push_str(&told);
    }
    assert_snapshot!(all, @"
    $ tenure task create --id t
    error: refused: exists: a task with that id already exists; it was not changed (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → see the stored task: `tenure task show t`; or leave --id out to get a new id
    status 3
    $ tenure task acquire t --owner w2
    error: refused: leased: the task is already leased (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z); not before 2026-01-31T12:01:00Z
      → wait until it is free, see `tenure task why t`; only its holder can act on it, with --owner and --epoch
    status 3
    $ tenure task acquire reserved --owner w1
    error: refused: reserved: the task is reserved for another owner (reserved for w2, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z); not before 2026-01-31T12:01:00Z
      → wait until it is free, see `tenure task why reserved`; only its holder can act on it, with --owner and --epoch
    status 3
    $ tenure task acquire later --owner w1
    error: refused: not_due: the task is not due yet; not before 2026-01-31T13:00:00Z
      → wait until then; see `tenure task why later`
    status 3
    $ tenure task acquire done --owner w1
    error: refused: terminal: the task has ended and can't be changed; `retry` makes a new task from one that ended badly
      → an ended task does not change; `tenure task note done '…'` adds a note, `tenure task retry done --reason '…'` retries it as a new task, once
    status 3
    $ tenure task heartbeat t --owner w2 --epoch 1
    error: refused: wrong_owner: the lease belongs to another owner (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → pass the --owner that acquired the task; see `tenure task why t`
    status 3
    $ tenure task heartbeat t --owner w1 --epoch 7
    error: refused: stale_epoch: the epoch is not the current one: a newer lease was granted (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → stop the work: this lease has ended, and its result is not accepted; see `tenure task why t`
    status 3
    $ tenure task heartbeat bare --owner w1 --epoch 1
    error: refused: no_lease: nobody holds a lease on the task; a reservation is not a lease
      → acquire it first: `tenure task acquire bare --owner OWNER`
    status 3
    $ tenure task heartbeat t --owner w1 --epoch 1 --ttl 10s
    error: refused: not_extending: the heartbeat would not extend the lease; ask for a longer ttl (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → pass a longer --ttl; a lease is never shortened
    status 3
    $ tenure task fail bare --reason no
    error: refused: compensation_required: a failed task needs at least one compensation, if only of kind none
      → name what remains to be undone: --undo KIND=TARGET, or --undo none=- for nothing
    status 3
    $ tenure task compensate t --reason x
    error: refused: compensation_owed: the task owes compensations: waive each of them in this command, or give its receipt (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → see what is owed: `tenure task undo list t`; `tenure recover` undoes it, unless the policy is on_lapse hold; a new holder can settle or adopt it; an operator can waive it: `tenure task undo settle t NUMBER --as WHO --waive --reason '…'`
    status 3
    $ tenure task undo add t --kind a --target x
    error: refused: leased: the task is leased: only its holder can register, with owner and epoch (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z); not before 2026-01-31T12:01:00Z
      → wait until it is free, see `tenure task why t`; only its holder can act on it, with --owner and --epoch
    status 3
    ");
    assert_snapshot!(
        world.tells(
            r#"
            task acquire t --owner w2 -o json
            tick 60
            task heartbeat t --owner w1 --epoch 1
            "#
        ),
        @r#"
    $ tenure task acquire t --owner w2 -o json
    {"refusal":{"code":"leased","message":"the task is already leased","state":"running","held_by":{"owner":"w1","epoch":1,"since":"2026-01-31T12:00:00.000000Z","until":"2026-01-31T12:01:00.000000Z"},"retry_at":"2026-01-31T12:01:00.000000Z"}}
    error: refused: leased: the task is already leased (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z); not before 2026-01-31T12:01:00Z
      → wait until it is free, see `tenure task why t`; only its holder can act on it, with --owner and --epoch
    status 3
    (60 s pass)
    $ tenure task heartbeat t --owner w1 --epoch 1
    error: refused: lease_lapsed: the lease has lapsed; until the task is taken over, its holder can still end, release, adopt or settle (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → the lease has lapsed; until somebody takes over, you can still end it (complete, fail, rollback, release)
    status 3
    "#
    );
}

#[test]
fn what_is_not_there_has_a_status_of_its_own() {
    let world = Frozen::world();
    world.given("task create --id t --undo a=x\ntask acquire t --owner w1");
    let mut all = String::new();
    for words in [
        "task show nobody",
        "task why nobody -o json",
        "events --task nobody",
        "task wait nobody",
        "task complete nobody --owner w --epoch 1",
        "task undo settle t 9 --owner w1 --epoch 1 --receipt x",
        "--namespace elsewhere task show t",
    ] {
        let told = world.told(words);
        assert!(told.contains("\nstatus 4\n"), "{told}");
        all.push_str(&told);
    }
    assert_snapshot!(all, @r#"
    $ tenure task show nobody
    error: refused: not_found: there is no task nobody in the namespace default
      → see `tenure task list`, and check --namespace and --store
    status 4
    $ tenure task why nobody -o json
    {"refusal":{"code":"not_found","message":"there is no task nobody in the namespace default"}}
    error: refused: not_found: there is no task nobody in the namespace default
      → see `tenure task list`, and check --namespace and --store
    status 4
    $ tenure events --task nobody
    error: refused: not_found: there is no task nobody in the namespace default
      → see `tenure task list`, and check --namespace and --store
    status 4
    $ tenure task wait nobody
    error: refused: not_found: there is no task nobody in the namespace default
      → see `tenure task list`, and check --namespace and --store
    status 4
    $ tenure task complete nobody --owner w --epoch 1
    error: refused: not_found: there is no task with that id in this namespace
      → see `tenure task list`, and check --namespace and --store
    status 4
    $ tenure task undo settle t 9 --owner w1 --epoch 1 --receipt x
    error: refused: not_found: the task has no compensation with that number (held by w1 at epoch 1, since 2026-01-31T12:00:00Z until 2026-01-31T12:01:00Z)
      → see the valid numbers: `tenure task undo list t`
    status 4
    $ tenure --namespace elsewhere task show t
    error: refused: not_found: there is no task t in the namespace elsewhere
      → see `tenure --namespace elsewhere task list`, and check --namespace and --store
    status 4
    "#);
}

#[test]
fn files_that_are_no_store_are_unavailable_and_left_as_they_are() {
    let world = Frozen::world();
    let text = world.write("notes.txt", &"not a database at all, but long enough to look at\n".repeat(20));
    let foreign = world.path("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).expect("opens");
    connection.execute_batch("create table things (a)").expect("made");
    world.given("task create --id t");
    let newer = world.path("newer.db");
    std::fs::copy(frozen::file(&world), &newer).expect("copied");
    let connection = rusqlite::Connection::open(&newer).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("made newer");
    drop(connection);
    let folder = world.folder.path().display().to_string();
    let mut all = String::new();
    for store in [&text, &foreign, &newer, &folder, &world.path("missing/tenure.db")] {
        let before = std::fs::read(store).ok();
        let told = world.told(&format!("--store sqlite:{store} task list"));
        assert!(told.contains("\nstatus 5\n"), "{told}");
        all.push_str(&told);
        assert_eq!(before, std::fs::read(store).ok(), "{store} is as it was");
    }
    assert_snapshot!(all, @"
    $ tenure --store sqlite:<folder>/notes.txt task list
    error: unavailable, nothing was done: <folder>/notes.txt: the file is not an SQLite database; choose another file (file is not a database)
    status 5
    $ tenure --store sqlite:<folder>/foreign.db task list
    error: unavailable, nothing was done: <folder>/foreign.db is another program's database; choose another file
    status 5
    $ tenure --store sqlite:<folder>/newer.db task list
    error: unavailable, nothing was done: <folder>/newer.db has schema version 99, but this program supports only up to 7; use a newer version of it
    status 5
    $ tenure --store sqlite:<folder> task list
    error: unavailable, nothing was done: <folder> is a directory; give a file in it
    status 5
    $ tenure --store sqlite:<folder>/missing/tenure.db task list
    error: unavailable, nothing was done: the directory <folder>/missing does not exist; create it first
    status 5
    ");
    assert_snapshot!(world.told(&format!("--store sqlite:{folder}/typo.db audit verify")), @"
    $ tenure --store sqlite:<folder>/typo.db audit verify
    error: unavailable, nothing was done: there is no store at <folder>/typo.db; check the path
    status 5
    ");
    assert!(!world.folder.path().join("typo.db").exists());
    assert_snapshot!(world.told(&format!("--store sqlite:{newer} -o json task list")), @r#"
    $ tenure --store sqlite:<folder>/newer.db -o json task list
    {"unavailable":{"message":"<folder>/newer.db has schema version 99, but this program supports only up to 7; use a newer version of it"}}
    error: unavailable, nothing was done: <folder>/newer.db has schema version 99, but this program supports only up to 7; use a newer version of it
    status 5
    "#);
}

#[test]
fn files_of_input_that_can_not_be_read_are_usage_errors() {
    let mut world = Frozen::world();
    world.given("task create --id t");
    let folder = world.folder.path().display().to_string();
    let binary = world.path("binary");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("written");
    let text = world.write("no-anchor", "hello\n");
    world.with_input("x");
    let mut all = String::new();
    for words in [
        "task create --payload @missing.json".to_owned(),
        format!("task create --payload @{binary}"),
        format!("task create --payload @{folder}"),
        "task create --payload @- --undo a=x --undo-reason @-".to_owned(),
        "audit verify --anchor missing".to_owned(),
        format!("audit verify --anchor {text}"),
        "--config missing.toml task list".to_owned(),
    ] {
        let told = world.told(&words);
        assert!(told.contains("\nstatus 2\n"), "{told}");
        all.push_str(&told);
    }
    assert_snapshot!(all, @"
    $ tenure task create --payload @missing.json
    error: --payload: missing.json: No such file or directory (os error 2); write @@ for a text that begins with @
      → see `tenure task create --help`
    status 2
    $ tenure task create --payload @<folder>/binary
    error: --payload: <folder>/binary: stream did not contain valid UTF-8
      → see `tenure task create --help`
    status 2
    $ tenure task create --payload @<folder>
    error: --payload: <folder>: Is a directory (os error 21)
      → see `tenure task create --help`
    status 2
    $ tenure task create --payload @- --undo a=x --undo-reason @-
    error: --undo-reason: another option already reads standard input
      → see `tenure task create --help`
    status 2
    $ tenure audit verify --anchor missing
    error: --anchor: missing: No such file or directory (os error 2)
      → see `tenure audit verify --help`
    status 2
    $ tenure audit verify --anchor <folder>/no-anchor
    error: --anchor: <folder>/no-anchor: not an anchor file: line 1 must be `tenure-anchor 1`; pass a file that `tenure audit anchor` wrote
      → see `tenure audit verify --help`
    status 2
    $ tenure --config missing.toml task list
    error: --config: can't read missing.toml: No such file or directory (os error 2)
      → see `tenure --config missing.toml task list --help`
    status 2
    ");
}

#[test]
fn a_token_for_a_file_is_said_to_be_of_no_use() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            --token secret task list
            --store memory: task create --id t
            "#
        ),
        @"
    $ tenure --token secret task list
    note: --token is ignored: this store needs no token
    note: there was no store at <folder>/tenure.db; created an empty one
    note: no task matches
    $ tenure --store memory: task create --id t
    t is planned: it waits in the queue default to be acquired or claimed, since 2026-01-31T12:00:00Z (just now)
    note: the memory: store is gone when this command ends
    "
    );
}
