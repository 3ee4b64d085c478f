//! Tests what a command takes from its environment, files, standard input and settings; and what `--quiet` leaves out.

use insta::assert_snapshot;

use crate::frozen::Frozen;

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
    t is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m); unless that is renewed, recovery undoes 1 compensation, and then it is closed as compensated
    $ tenure task progress --progress '{"percent":40}'
    t: progress saved, lease not renewed, expires at 2026-01-31T12:01:00Z
    $ tenure task undo settle 1 --receipt gone
    t is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m), with progress 2026-01-31T12:00:00Z (just now): {"percent":40}; unless that is renewed, recovery closes it as compensated
    $ tenure task note 'half way'
    t is running: w1 holds it under epoch 1 since 2026-01-31T12:00:00Z (just now) until 2026-01-31T12:01:00Z (in 1m), with progress 2026-01-31T12:00:00Z (just now): {"percent":40}; unless that is renewed, recovery closes it as compensated
    $ tenure task complete other
    error: TENURE_OWNER and TENURE_EPOCH belong to a lease on another task, store or namespace: pass --owner and --epoch, or --as to act as an operator
      → see `tenure task complete --help`
    status 2
    $ tenure task complete --as bob
    error: no lease and no reason given: pass --owner and --epoch as the holder, or --reason as an operator
      → see `tenure task complete --help`
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
    created    2026-01-31T12:00:00Z (just now)
    updated    2026-01-31T12:00:00Z (just now)

    NUMBER  STATUS    KIND  TARGET  REASON  OUTCOME
    1       standing  a     @x      two
                                    lines
    $ tenure task quarantine t --reason '@@home is away'
    t is quarantined since 2026-01-31T12:00:00Z (just now), cause by_operator, because: @home is away
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
    unknown field `stoer`, expected one of `store`, `namespace`, `undo`, `serve`
      → see `tenure --config <folder>/wrong.toml task list --help`
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
    note: there was no store at <folder>/data/tenure/tenure.db; created an empty one
    note: no task matches
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
    error: no store given, and HOME is not set to an absolute path: pass --store or set TENURE_STORE
      → see `tenure task list --help`
    status 2
    "
    );
}

#[test]
fn a_lease_in_the_environment_is_of_that_store_and_room_alone_and_whole() {
    let mut world = Frozen::world();
    let other = format!("sqlite:{}", world.path("other.db"));
    world.given(&format!(
        "task create --id t
         task acquire t --owner w1
         --store {other} task create --id t
         --store {other} task acquire t --owner w1
         --namespace elsewhere task create --id t
         --namespace elsewhere task acquire t --owner w1"
    ));
    world.set("TENURE_TASK", "t").set("TENURE_OWNER", "w1").set("TENURE_EPOCH", "1");
    let same = world.path("./tenure.db");
    assert_eq!(
        world.run(&format!("--store sqlite:{same} task heartbeat --ttl 70s")).status,
        0,
        "the same file"
    );
    for elsewhere in [format!("--store {other}"), "--namespace elsewhere".to_owned()] {
        let told = world.told(&format!("{elsewhere} task complete"));
        assert!(told.contains("status 2") && told.contains("on another task, store or namespace"), "{told}");
    }
    world.variables.remove("TENURE_EPOCH");
    assert_snapshot!(world.told("task fail --reason no --undo none=-"), @"
    $ tenure task fail --reason no --undo none=-
    error: the lease has an owner but no epoch: pass --epoch or set TENURE_EPOCH, or pass --as to act as an operator
      → see `tenure task fail --help`
    status 2
    ");
    world.set("TENURE_EPOCH", "1");
    assert_snapshot!(world.told("task complete"), @"
    $ tenure task complete
    t is completed since 2026-01-31T12:00:00Z (just now)
    ");
}

#[test]
fn who_has_a_lease_in_the_environment_is_fenced_by_it_and_acts_as_a_person_only_on_their_word() {
    let mut world = Frozen::world();
    world.given(
        "task create --id t --on-lapse hold
         task acquire t --owner w1
         tick 61
         task acquire t --owner w2",
    );
    world.set("TENURE_OWNER", "w1").set("TENURE_EPOCH", "1");
    for words in
        ["task fail t --reason late --undo none=-", "task quarantine t --reason late", "task complete t"]
    {
        let told = world.told(words);
        assert!(told.contains("refused: stale_epoch") && told.contains("status 3"), "{told}");
    }
    world.set("TENURE_EPOCH", "one");
    assert!(world.told("task quarantine t --reason late").contains("TENURE_EPOCH must be a number"));
    for words in
        ["task compensate t --reason x", "task undo settle t 1 --waive --reason x", "task retry t --reason x"]
    {
        let told = world.told(words);
        assert!(told.contains("status 2") && told.contains("only an operator can do this"), "{told}");
    }
    world.set("TENURE_EPOCH", "");
    let told = world.told("task quarantine t --reason late");
    assert!(told.contains("status 2") && told.contains("TENURE_EPOCH is set but empty"), "{told}");
    world.set("TENURE_OWNER", "w2").set("TENURE_EPOCH", "2");
    assert_eq!(world.run("task heartbeat t --ttl 90s").status, 0, "a good one counts without TENURE_TASK");
    assert_eq!(
        world.run("task heartbeat t --owner w2 --ttl 95s").status,
        0,
        "and each part of it can be said"
    );
    assert_snapshot!(world.told("task quarantine t --as alice --reason 'needs a look'"), @"
    $ tenure task quarantine t --as alice --reason 'needs a look'
    t is quarantined since 2026-01-31T12:01:01Z (just now), cause by_operator, because: needs a look
    ");
}

#[test]
fn whoever_is_at_the_keyboard_can_work_whatever_the_machine_calls_them() {
    let mut world = Frozen::world();
    for (name, actor) in [("CORP\\alice", "CORP-alice"), ("Jürgen Groß", "J-rgen-Gro-"), ("..", "uid:")] {
        world.set("USER", name);
        let id = world.run("-q task create").out;
        let events = world.run(&format!("events --task {} -o json", id.trim()));
        assert!(events.json()["actor"].as_str().expect("an actor").starts_with(actor), "{}", events.out);
    }
}

#[test]
fn recovery_s_part_of_the_settings_is_left_to_recovery() {
    let world = Frozen::world();
    let undo = "[undo.close-pr]\npost = \"https://hooks.example/close-pr\"\n";
    let config = world.write("tenure.toml", undo);
    assert_eq!(world.run(&format!("--config {config} task list")).status, 0);
}

#[test]
fn a_script_hears_of_a_cancel_and_where_a_list_goes_on() {
    let world = Frozen::world();
    world.given(
        "task create --id t\ntask create --id u\ntask acquire t --owner w\ntask cancel t --reason enough",
    );
    let heartbeat = world.tick(5).run("-q task heartbeat t --owner w --epoch 1");
    assert_eq!(heartbeat.out, "cancel\n");
    let list = world.run("-q task list --limit 1 -o json");
    assert_eq!((list.out.lines().count(), list.errors.as_str()), (1, "{\"next\":\"t2\"}\n"));
    assert_eq!(world.run("-q task list --limit 1 --cursor t2").out, "t\n");
}

#[test]
fn a_look_at_a_mistyped_place_is_said_to_be_one() {
    let world = Frozen::world();
    let typo = format!("sqlite:{}", world.path("typo.db"));
    assert_snapshot!(world.tells(&format!("--store {typo} task list\n--store {typo} task show t")), @"
    $ tenure --store sqlite:<folder>/typo.db task list
    note: there was no store at <folder>/typo.db; created an empty one
    note: no task matches
    $ tenure --store sqlite:<folder>/typo.db task show t
    error: refused: not_found: there is no task t in the namespace default
      → see `tenure --store sqlite:<folder>/typo.db task list`, and check --namespace and --store
    status 4
    ");
}

#[test]
fn a_store_without_a_scheme_is_a_file() {
    let place = crate::place::Place::new();
    let at = |store: &str, words: &str| {
        let mut command = std::process::Command::new(crate::place::TENURE);
        command.args(["--store", store]).args(words.split(' ')).current_dir(place.folder.path());
        crate::place::ended(command.env_remove("TENURE_STORE").output().expect("ran"))
    };
    assert_eq!(at("some.db", "task create --id t").status, 0);
    assert!(place.has("some.db"));
    assert_eq!(at("sqlite:some.db", "task show t").status, 0);
    let told = at("some.db", "--store-patience 5s task show t");
    assert_eq!(told.status, 2, "{}", told.errors);
    assert!(
        told.errors.contains("--store-patience is only for PostgreSQL and for servers"),
        "{}",
        told.errors
    );
}
