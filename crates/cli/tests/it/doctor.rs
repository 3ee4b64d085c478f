//! Tests `tenure doctor`: each check is provoked by breaking that alone, the command that mends it is run, and then it passes. It is one
//! story for each line of the table in `docs/operating.md`, and so longer than others.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::frozen::{Frozen, Ran, file};
use crate::place::{Place, TENURE, ended, json, signal};
use crate::serving::Serving;
use crate::waiting::until;

/// What it found, as JSON, and its exit status.
struct Found {
    status: u8,
    said: Value,
}

impl Found {
    fn of(world: &Frozen, options: &str) -> Found {
        Found::on("", world, options)
    }

    /// With global options before the command.
    fn on(global: &str, world: &Frozen, options: &str) -> Found {
        let ran = world.run(&format!("{global} doctor -o json {options}"));
        Found { status: ran.status, said: ran.json() }
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.said["checks"].as_array().expect("a list");
        checks.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {}", self.said))
    }

    fn verdict(&self, name: &str) -> &str {
        self.check(name)["verdict"].as_str().expect("a word")
    }

    fn mend(&self, name: &str) -> String {
        self.check(name)["mend"].as_str().unwrap_or_else(|| panic!("{name}: {}", self.said)).to_owned()
    }

    fn says(&self, name: &str) -> &str {
        self.check(name)["says"].as_str().expect("a sentence")
    }

    fn why_skipped(&self, name: &str) -> &str {
        let skipped = self.said["skipped"].as_array().expect("a list");
        let found = skipped.iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {}", self.said))["reason"].as_str().expect("a reason")
    }
}

/// Runs a command of this program that mends something, in the frozen world.
fn mend(world: &Frozen, command: &str) -> Ran {
    let command = in_place(world, command);
    let words = command.strip_prefix("tenure ").unwrap_or_else(|| panic!("{command}"));
    let ran = world.run(words);
    assert_eq!(ran.status, 0, "`{command}`: {}{}", ran.out, ran.errors);
    ran
}

/// Runs the command that writes an anchor, without the file: its record is what counts.
fn record_an_anchor_by(world: &Frozen, command: &str) {
    let (command, _) = command.split_once(" > ").expect("a command and a file");
    mend(world, command);
}

/// Output shows the directory of the world under another name.
fn in_place(world: &Frozen, command: &str) -> String {
    command.replace("<folder>", &world.folder.path().display().to_string())
}

/// Types a command into a shell, in the directory of the world.
fn type_into_shell(world: &Frozen, command: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &in_place(world, command)]).current_dir(world.folder.path());
    let ended = ended(shell.output().expect("ran"));
    assert_eq!(ended.status, 0, "`{command}`: {}{}", ended.out, ended.errors);
}

fn with_sql(world: &Frozen, sql: &str) {
    Connection::open(file(world)).expect("opens").execute_batch(sql).expect(sql);
}

/// Each file of a directory with its bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(&path).expect("read"))).collect();
    files.sort();
    files
}

fn change(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

fn beside(world: &Frozen, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", file(world).display()))
}

#[test]
fn a_store_in_which_all_is_well_passes_and_its_anchor_is_all_that_is_missing() {
    let world = Frozen::world();
    change(world.folder.path(), 0o700);
    world.given("task create --id t\ntask acquire t --owner w1\ntask complete t --owner w1 --epoch 1");
    let found = Found::of(&world, "");
    assert_eq!(found.status, 0, "{}", found.said);
    for name in [
        "store",
        "schema",
        "integrity",
        "chain",
        "clock",
        "tasks",
        "stale",
        "recovery",
        "leases",
        "undo_kinds",
        "quarantined",
        "oldest",
        "ended_badly",
        "cursors",
        "wal_size",
        "permissions",
        "tokens",
    ] {
        assert_eq!(found.verdict(name), "pass", "{name}: {}", found.check(name));
        assert_eq!(found.check(name)["mend"], Value::Null, "{name}");
    }
    assert_eq!(found.verdict("anchor"), "warn");
    for name in ["fsync", "full_page_writes", "synchronous_commit", "standbys"] {
        assert_eq!(found.why_skipped(name), "the store is a file");
    }
    assert_eq!(Found::of(&world, "--strict").status, 1, "a warning counts");
    // With an anchor of this week cron has nothing to say.
    record_an_anchor_by(&world, &found.mend("anchor"));
    let told = world.run("-q doctor");
    // The room on the disk is this machine's.
    let lines: Vec<&str> =
        told.out.lines().filter(|line| !line.contains("disk") && !line.contains("du ")).collect();
    assert_eq!((told.status, lines), (0, vec![]));
}

#[test]
fn people_see_the_worst_first_with_its_command_and_cron_sees_only_what_does_not_pass() {
    let world = Frozen::world();
    world.given("token create --name ci --role worker");
    change(&file(&world), 0o666);
    let told = world.run("-q doctor");
    assert_eq!(told.status, 1);
    // The room on the disk is this machine's.
    let lines: Vec<&str> =
        told.out.lines().filter(|line| !line.contains("disk") && !line.contains("du ")).collect();
    assert_snapshot!(lines.join("\n"), @"
    ✕ fail  permissions: anybody on this machine may write to <folder>/tenure.db (mode 666)
            → chmod o-rwx <folder>/tenure.db*
    ! warn  anchor: no anchor was ever recorded: without one nothing shows whether the newest events of a task or whole tasks were cut off. Keep its file elsewhere
            → tenure audit anchor > anchor-2026-01-31
    ! warn  tokens: 1 token never expires: ci; first create the next one: `tenure token create --name ci-2 --role worker --expires 90d --namespace default`
            → tenure token revoke ci
    ");
    let told = world.run("doctor").out;
    assert!(told.contains("✓ pass  ") && told.contains("- skip  fsync, full_page_writes"), "{told}");
    assert!(told.lines().last().is_some_and(|line| line.starts_with("fail: 1 failed")), "{told}");
    let verbose = world.run("-v doctor").out;
    assert!(verbose.contains("✓ pass  schema: the schema is the newest"), "{verbose}");
}

#[test]
fn it_changes_nothing_also_beside_a_log_that_a_killed_process_left() {
    let world = Frozen::world();
    world.given("task create --id t\ntask acquire t --owner w1");
    let before = content(world.folder.path());
    assert_eq!(Found::of(&world, "--deep").status, 0);
    assert_eq!(content(world.folder.path()), before);
    // played: a copy of what a killed process leaves, the file with a log that was not written back
    let open = Connection::open(file(&world)).expect("opens");
    open.execute_batch(
        "pragma wal_autocheckpoint = 0; update meta set value = value where key = 'none'; create table x (y)",
    )
    .expect("written");
    let left = tempfile::tempdir().expect("a folder");
    for (path, bytes) in content(world.folder.path()) {
        fs::write(left.path().join(path.file_name().expect("a name")), bytes).expect("written");
    }
    drop(open);
    let shared_memory = left.path().join("tenure.db-shm");
    let told = |path: &Path| {
        let mut files = content(path);
        // Its content is made anew from the log by each process that opens the file first.
        files.retain(|(path, _)| *path != shared_memory);
        files
    };
    let before = told(left.path());
    assert!(before.iter().any(|(path, bytes)| path.ends_with("tenure.db-wal") && !bytes.is_empty()));
    let ran = world.run(&format!("--store {} doctor -o json", left.path().join("tenure.db").display()));
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.errors);
    assert_eq!(told(left.path()), before);
}

#[test]
fn an_absent_store_is_said_to_be_absent_and_is_not_made() {
    let mut world = Frozen::world();
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("store")), (1, "fail"));
    assert!(found.says("store").contains("there is no store at"), "{}", found.said);
    assert_eq!(found.why_skipped("schema"), "there is no store");
    assert!(!file(&world).exists());
    mend(&world, &found.mend("store"));
    assert_eq!(Found::of(&world, "").verdict("store"), "pass");

    let data = world.path("data");
    world.variables.remove("TENURE_STORE");
    world.set("XDG_DATA_HOME", &data);
    let found = Found::of(&world, "");
    assert!(found.says("store").contains("no directory"), "{}", found.said);
    assert!(!Path::new(&data).exists());
    let command = found.mend("store");
    let (folder, make) = command.split_once(" && ").expect("two commands");
    type_into_shell(&world, folder);
    mend(&world, make);
    assert_eq!(Found::of(&world, "").verdict("store"), "pass");
}

#[test]
fn what_is_no_store_stays_as_it_is_and_one_is_made_beside_it() {
    let world = Frozen::world();
    fs::write(file(&world), "a letter to nobody, and certainly no database. ".repeat(40)).expect("written");
    let before = content(world.folder.path());
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("store")), (1, "fail"));
    assert!(found.says("store").contains("another program's, or no database"), "{}", found.said);
    assert_eq!(content(world.folder.path()), before);
    let command = found.mend("store");
    mend(&world, &command);
    let store = in_place(&world, command.split(' ').nth(2).expect("a store"));
    assert_eq!(world.run(&format!("--store {store} -q doctor")).status, 0);

    fs::remove_file(file(&world)).expect("removed");
    with_sql(&world, "create table other (x)");
    assert_eq!(Found::of(&world, "").verdict("store"), "fail");

    let folder = world.path("");
    let ran = world.run(&format!("--store sqlite:{folder} doctor -o json"));
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("is a directory"), "{}", ran.out);
}

#[test]
fn a_newer_and_an_older_schema_are_named_and_neither_is_touched() {
    let world = Frozen::world();
    world.given("task create --id t");
    with_sql(&world, "pragma user_version = 99");
    let before = content(world.folder.path());
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("schema")), (1, "fail"));
    assert_eq!(found.check("schema")["found"], 99);
    assert!(found.mend("schema").starts_with("cargo install"), "{}", found.said);
    with_sql(&world, "pragma user_version = 1");
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("schema")), (0, "warn"));
    assert_eq!((found.verdict("store"), found.mend("schema").as_str()), ("pass", "tenure migrate"));
    assert_eq!(found.why_skipped("chain"), "the schema is older than this program's");
    with_sql(&world, "pragma user_version = 99");
    assert_eq!(content(world.folder.path()).len(), before.len());
}

#[test]
fn a_damaged_file_fails_and_the_damage_is_described() {
    let world = Frozen::world();
    for number in 0..40 {
        world.given(&format!("task create --id t-{number} --payload '\"{}\"'", "x".repeat(800)));
    }
    let mut bytes = fs::read(file(&world)).expect("read");
    // A page of a table's rows, in the middle of the file.
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    fs::write(file(&world), bytes).expect("written");
    let found = Found::of(&world, "--deep");
    assert_eq!((found.status, found.said["verdict"].as_str()), (1, Some("fail")), "{}", found.said);
    // Where the damage keeps it from being opened, no more can be said.
    let name = if found.said["checks"][0]["name"] == "store" { "store" } else { "integrity" };
    assert_eq!(found.verdict(name), "fail");
    let copy = found.mend(name);
    type_into_shell(&world, &copy);
    assert_eq!(fs::read(beside(&world, ".damaged")).expect("a copy"), fs::read(file(&world)).expect("read"));
}

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
fn a_namespace_that_does_not_exist_warns() {
    let world = Frozen::world();
    assert_eq!(Found::of(&world, "--namespace prod").status, 1, "there is no store");
    world.given("task list");
    assert_eq!(Found::of(&world, "--namespace prod").verdict("tasks"), "pass", "there is no task at all yet");
    world.given("--namespace prod task create --id t");
    assert_eq!(Found::of(&world, "--namespace prod").verdict("tasks"), "pass");
    let found = Found::of(&world, "--namespace prodd");
    assert_eq!(found.verdict("tasks"), "warn", "{}", found.said);
    assert!(
        found.says("tasks").contains("no namespace prodd") && found.says("tasks").contains("has prod"),
        "{}",
        found.said
    );
    assert!(mend(&world, &found.mend("tasks")).out.contains("prod"));
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

#[test]
fn a_clock_that_was_set_back_is_noticed() {
    let world = Frozen::world();
    world.given("task create --id t");
    assert_eq!(Found::of(&world, "").verdict("clock"), "pass");
    assert_eq!(Found::of(world.set_back(60), "").verdict("clock"), "warn");
    let found = Found::of(world.set_back(600), "");
    assert_eq!((found.status, found.verdict("clock")), (1, "fail"), "{}", found.said);
    world.tick(660);
    assert_eq!(Found::of(&world, "").verdict("clock"), "pass");
}

#[test]
fn stale_tasks_and_late_recovery_are_noticed_until_recovery_ran() {
    let world = Frozen::world();
    world.given("task create --id t\ntask acquire t --owner w1\ntick 90");
    let found = Found::of(&world, "");
    assert_eq!(
        (found.verdict("stale"), found.verdict("recovery")),
        ("pass", "warn"),
        "just lapsed: {}",
        found.said
    );
    let found = Found::of(world.tick(60), "");
    assert_eq!((found.verdict("stale"), found.verdict("recovery")), ("warn", "warn"), "{}", found.said);
    assert!(found.says("recovery").contains("recovery is late: 1 task"), "{}", found.said);
    let found = Found::of(world.tick(900), "");
    assert_eq!((found.status, found.verdict("recovery")), (1, "fail"), "{}", found.said);
    assert_eq!(found.mend("stale"), found.mend("recovery"));
    mend(&world, &found.mend("recovery"));
    let found = Found::of(&world, "");
    assert_eq!((found.verdict("stale"), found.verdict("recovery")), ("pass", "pass"), "{}", found.said);
}

#[test]
fn a_command_to_recover_names_the_file_with_the_handlers_where_something_is_owed() {
    let world = Frozen::world();
    world.given("task create --id t --undo rm=x\ntask acquire t --owner w1\ntick 200");
    assert_eq!(Found::of(&world, "").mend("recovery"), "tenure --config tenure.toml recover");
    let config = world.write("own.toml", "[undo.rm]\nrun = [\"true\", \"{target}\"]\nallow = \"[a-z]+\"\n");
    let found = Found::of(&world, &format!("--config {config}"));
    assert_eq!(
        found.mend("recovery"),
        format!("tenure --config {config} recover").replace(&world.path(""), "<folder>/")
    );
    mend(&world, &format!("tenure --config {config} recover"));
    assert_eq!(Found::of(&world, "").verdict("recovery"), "pass");
}

#[test]
fn a_task_that_is_held_back_waits_for_its_next_owner() {
    let world = Frozen::world();
    world.given("task create --id t --on-lapse hold\ntask acquire t --owner w1\ntick 200");
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("stale"), "warn");
    let command = found.mend("stale");
    assert_eq!(command, "tenure --namespace default task acquire t --owner \"$(hostname)/$$\"");
    mend(&world, &command.replace("\"$(hostname)/$$\"", "host/1"));
    assert_eq!(Found::of(&world, "").verdict("stale"), "pass");
}

#[test]
fn a_task_that_another_owner_may_still_take_over_is_not_late_for_recovery() {
    let world = Frozen::world();
    world.given(
        "task create --id t --on-lapse either --recover-after 1h\ntask acquire t --owner w1\ntick 200",
    );
    let found = Found::of(&world, "");
    assert_eq!(found.mend("stale"), "tenure --namespace default task acquire t --owner \"$(hostname)/$$\"");
    assert_ne!(found.verdict("recovery"), "fail");
    // Recovery may take it since a minute.
    world.given("tick 3500");
    let found = Found::of(&world, "");
    assert_ne!(found.verdict("recovery"), "fail", "{}", found.said);
    assert!(found.mend("stale").ends_with("tenure recover"), "{}", found.mend("stale"));
    mend(&world, &found.mend("stale"));
    assert_eq!(Found::of(&world, "").verdict("stale"), "pass");
}

#[test]
fn recovery_that_does_not_run_is_missed_while_a_task_is_open() {
    let place = Place::new();
    place.done("task create --id t");
    let found = |place: &Place| {
        let all = json(&place.run("doctor -o json").out);
        let checks = all["checks"].as_array().expect("a list").clone();
        checks.into_iter().find(|one| one["name"] == "recovery").expect("it is checked")
    };
    let before = found(&place);
    assert_eq!(
        (before["verdict"].as_str(), before["mend"].as_str()),
        (Some("warn"), Some("tenure recover --watch"))
    );
    let words: Vec<&str> = before["mend"].as_str().expect("a command").split(' ').skip(1).collect();
    let mut watching = Command::new(TENURE);
    watching.args(words).env("TENURE_STORE", format!("sqlite:{}", place.file().display()));
    let mut watching = watching.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    until("recovery's mark", || found(&place)["verdict"] == "pass");
    signal(&watching, Signal::TERM);
    watching.wait().expect("it ends");
}

#[test]
fn a_lease_that_beats_without_moving_is_noticed_until_its_holder_is_told_to_stop() {
    let world = Frozen::world();
    world.given(
        "task create --id t --ttl 20s --stall-after 30s
         task acquire t --owner w1
         tick 15
         task heartbeat t --owner w1 --epoch 1",
    );
    assert_eq!(Found::of(&world, "").verdict("leases"), "pass", "it may still report progress");
    let found = Found::of(world.tick(8), "");
    assert_eq!(found.verdict("leases"), "warn", "{}", found.said);
    assert!(found.says("leases").contains("default/t: no progress for 23s"), "{}", found.said);
    assert_eq!(found.check("leases")["unmoved"][0], "default/t");
    mend(&world, &found.mend("leases"));
    assert_eq!(Found::of(&world, "").verdict("leases"), "pass");
    // A beat that something else wrote.
    let world = Frozen::world();
    world.given("task create --id t\ntask acquire t --owner w1\ntick 30");
    with_sql(&world, "update due set heartbeat_at = expires_at - 1000");
    assert_eq!(Found::of(world.tick(29), "").verdict("leases"), "warn");
}

#[test]
fn a_kind_of_undo_that_nobody_handles_is_noticed_until_the_file_has_its_section() {
    let world = Frozen::world();
    world.given("task create --id t --undo close-pr=12");
    let found = Found::of(&world, "");
    assert!(found.why_skipped("undo_kinds").contains("close-pr"), "{}", found.said);
    let config = world.write("tenure.toml", "");
    let options = format!("--config {config}");
    assert_eq!(Found::of(&world, &options).verdict("undo_kinds"), "warn", "nothing is owed yet");
    world.given("task acquire t --owner w1");
    let found = Found::of(&world, &options);
    assert_eq!((found.status, found.verdict("undo_kinds")), (1, "fail"), "{}", found.said);
    assert_eq!(found.check("undo_kinds")["unhandled"][0], "close-pr");
    type_into_shell(&world, &found.mend("undo_kinds"));
    assert_eq!(Found::of(&world, &options).verdict("undo_kinds"), "pass");
    assert_eq!(world.run(&format!("{options} recover --plan")).status, 0, "recovery can read it");
}

#[test]
fn the_section_of_any_kind_is_added_to_the_file_that_was_given_and_allows_its_target() {
    let world = Frozen::world();
    let kinds =
        [("close.pr", "pr/12"), ("k8s:pod/x", "team-a/web 1"), ("mail@a+b", "ann@example.org \\ [\"q\"]^-")];
    for (number, (kind, target)) in kinds.iter().enumerate() {
        world.given(&format!(
            "task create --id t{number} --undo '{kind}={target}'\ntask acquire t{number} --owner w1"
        ));
    }
    // Without a line break at its end.
    let config = world.write("my undo.toml", "[undo.rm]\nrun = [\"true\"]\nallow = \"x\"");
    let options = format!("--config '{config}'");
    for kind in ["close.pr", "k8s:pod/x", "mail@a+b"] {
        let found = Found::of(&world, &options);
        assert_eq!((found.status, found.verdict("undo_kinds")), (1, "fail"), "{}", found.said);
        assert_eq!(found.check("undo_kinds")["unhandled"][0], kind);
        type_into_shell(&world, &found.mend("undo_kinds"));
    }
    assert_eq!(Found::of(&world, &options).verdict("undo_kinds"), "pass");
    assert!(!world.folder.path().join("tenure.toml").exists(), "only the file that was given is written");
    // The programs are no programs yet, but each target is one that its section takes.
    let text = fs::read_to_string(&config).expect("read").replace("run = [\"", "run = [\"true\", \"");
    fs::write(&config, text).expect("written");
    let mut recover = Command::new(TENURE);
    recover.args(["--store", &format!("sqlite:{}", file(&world).display()), "--config", &config, "recover"]);
    let ran = ended(recover.output().expect("ran"));
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.errors);
    for number in 0..kinds.len() {
        let shown = world.run(&format!("task show t{number} -o json")).json();
        assert_eq!(shown["task"]["compensations"][0]["status"], "done", "{shown}");
    }
}

#[test]
fn a_kind_that_running_recovery_does_not_handle_is_no_reason_to_write_to_a_file_that_is_not_known() {
    let place = Place::new();
    let config = place.folder.path().join("r.toml");
    fs::write(&config, "").expect("written");
    place.done("task create --id t --undo close.pr=pr/12");
    let mut watching = Command::new(TENURE);
    watching.args(["--config", &config.display().to_string(), "recover", "--watch"]);
    watching.env("TENURE_STORE", format!("sqlite:{}", place.file().display()));
    let mut watching = watching.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let found = || {
        let all = json(&place.run("doctor -o json").out);
        let checks = all["checks"].as_array().expect("a list").clone();
        checks.into_iter().find(|one| one["name"] == "undo_kinds")
    };
    until("recovery's mark", || found().is_some());
    let found = found().expect("it is checked");
    assert_eq!(found["verdict"], "warn", "{found}");
    assert_eq!(found["mend"], "tenure --config tenure.toml doctor", "{found}");
    signal(&watching, Signal::TERM);
    watching.wait().expect("it ends");
}

#[test]
fn a_parked_task_warns_and_after_a_week_fails_until_it_is_retried() {
    let world = Frozen::world();
    world.given(
        "--namespace prod task create --id t\n--namespace prod task quarantine t --reason 'needs a look'",
    );
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("quarantined")), (0, "warn"), "{}", found.said);
    let found = Found::of(world.tick(8 * 86_400), "");
    assert_eq!((found.status, found.verdict("quarantined")), (1, "fail"), "{}", found.said);
    assert_eq!(found.check("quarantined")["oldest"], "prod/t");
    assert_eq!(Found::of(&world, "--namespace other").verdict("quarantined"), "pass", "only that namespace");
    mend(&world, &found.mend("quarantined"));
    assert_eq!(Found::of(&world, "").verdict("quarantined"), "pass");
}

#[test]
fn the_oldest_of_each_state_is_noticed_when_it_is_too_old() {
    let world = Frozen::world();
    world
        .given("task create --id waits\ntask create --id later --not-before 2026-02-10T00:00:00Z\ntick 3700");
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("oldest"), "warn", "{}", found.said);
    assert!(found.says("oldest").contains("default/waits is planned for 1h 1m"), "{}", found.said);
    assert!(mend(&world, &found.mend("oldest")).out.contains("waits"), "it shows what a person decides");
    world.given("task acquire waits --owner w1 --ttl 2d");
    assert_eq!(Found::of(&world, "").verdict("oldest"), "pass");
    let found = Found::of(world.tick(90_000), "");
    assert!(found.says("oldest").contains("default/waits is running for 1d 1h"), "{}", found.said);
    world.given("task complete waits --owner w1 --epoch 1");
    assert_eq!(Found::of(&world, "").verdict("oldest"), "pass");
}

#[test]
fn ends_that_did_not_succeed_are_noticed_until_somebody_has_seen_to_them() {
    let world = Frozen::world();
    world.given(
        "task create --id t
         task acquire t --owner w1
         task fail t --owner w1 --epoch 1 --reason 'no such repo' --undo none=-",
    );
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("ended_badly")), (0, "warn"), "{}", found.said);
    mend(&world, &found.mend("ended_badly"));
    assert_eq!(Found::of(&world, "").verdict("ended_badly"), "pass");
    for number in 0..10 {
        world.given(&format!(
            "task create --id u{number}
             task acquire u{number} --owner w1
             task fail u{number} --owner w1 --epoch 1 --reason no --undo none=-"
        ));
    }
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("ended_badly")), (1, "fail"), "most of an hour: {}", found.said);
}

#[test]
fn a_named_cursor_that_nobody_moves_warns_until_it_is_forgotten() {
    let world = Frozen::world();
    world.given("task create --id t\nevents --cursor-name typo --limit 1\ntask create --id u\ntick 60");
    assert_eq!(Found::of(&world, "").verdict("cursors"), "pass", "it may be slow");
    // One that has seen everything holds nothing back, however long ago it moved.
    world.given("--namespace prod task create --id t\n--namespace prod events --cursor-name mailer");
    let found = Found::of(world.tick(8 * 86_400), "");
    assert_eq!(found.verdict("cursors"), "warn", "{}", found.said);
    assert_eq!(found.check("cursors")["left"], serde_json::json!(["typo of default"]));
    assert_eq!(found.mend("cursors"), "tenure --namespace default events --cursor-name typo --forget");
    assert_eq!(Found::of(&world, "--namespace prod").verdict("cursors"), "pass", "only that namespace");
    mend(&world, &found.mend("cursors"));
    assert_eq!(Found::of(&world, "").verdict("cursors"), "pass");
}

#[test]
fn a_backup_is_said_to_be_one_and_nothing_of_the_work_is_to_be_mended_in_it() {
    let world = Frozen::world();
    let backup = world.path("b0.backup");
    world.given(&format!(
        "task create --id t
         task quarantine t --reason 'needs a look'
         task create --id u
         task acquire u --owner w1
         tick 200
         token create --name ci --role worker
         backup {backup}"
    ));
    let found = Found::on(&format!("--store sqlite:{backup}"), &world, "");
    assert_eq!(found.status, 0, "{}", found.said);
    let says = found.says("store");
    assert!(says.contains("is a backup of 2026-01-31T12:03:20Z, verified when it was made"), "{says}");
    for name in ["anchor", "stale", "recovery", "quarantined", "oldest", "tokens", "tasks"] {
        assert_eq!(found.why_skipped(name), "it is a backup, in which nobody works");
    }
    assert_eq!(found.verdict("chain"), "pass");
    mend(&world, says.split('`').nth(1).expect("a command"));
    let restored = format!("--store sqlite:{}", world.path("b0-restored.db"));
    assert_eq!(Found::on(&restored, &world, "").verdict("quarantined"), "warn", "it is a store again");

    // played: a backup that an older program made
    Connection::open(&backup).expect("opens").execute_batch("pragma user_version = 1").expect("written");
    let found = Found::on(&format!("--store sqlite:{backup}"), &world, "");
    assert_eq!((found.status, found.verdict("schema")), (0, "pass"), "{}", found.said);
    assert!(found.says("store").contains("is a backup of"), "{}", found.said);
    assert!(found.why_skipped("chain").contains("restore it into a new file"), "{}", found.said);
}

/// Runs it as somebody else who has no rights of a superuser.
fn as_somebody(arguments: &[&str]) -> Value {
    let mut doctor = Command::new(TENURE);
    if rustix::process::geteuid().is_root() {
        doctor.uid(65_534).gid(65_534);
    }
    let ran = ended(doctor.args(arguments).current_dir("/").output().expect("ran"));
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.errors);
    json(&ran.out)
}

#[test]
fn a_store_that_this_user_may_not_open_is_not_said_to_be_absent_and_its_owner_is_named() {
    let world = Frozen::world();
    world.given("task create --id t");
    let store = format!("sqlite:{}", file(&world).display());
    let owner = fs::metadata(file(&world)).expect("a file").uid();
    let mended = format!("sudo -u '#{owner}' tenure --store {store} doctor");
    let of = |said: &Value, list: &str, name: &str| {
        let found = said[list].as_array().expect("a list").iter().find(|one| one["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name}: {said}"))
    };

    change(world.folder.path(), 0o000);
    let said = as_somebody(&["--store", &store, "doctor", "-o", "json"]);
    change(world.folder.path(), 0o755);
    let found = of(&said, "checks", "store");
    assert!(
        found["says"].as_str().is_some_and(|says| says.contains("may not enter the directory")),
        "{said}"
    );
    assert_eq!(found["mend"], mended.as_str());

    change(&file(&world), 0o000);
    let said = as_somebody(&["--store", &store, "doctor", "-o", "json"]);
    change(&file(&world), 0o644);
    let found = of(&said, "checks", "store");
    assert!(found["says"].as_str().is_some_and(|says| says.contains("this user may not read")), "{said}");
    assert_eq!(found["mend"], mended.as_str());
    of(&said, "checks", "disk");
    of(&said, "checks", "permissions");

    change(world.folder.path(), 0o555);
    if rustix::process::geteuid().is_root() {
        let said = as_somebody(&["--store", &store, "doctor", "-o", "json"]);
        let found = of(&said, "checks", "store");
        assert!(found["says"].as_str().is_some_and(|says| says.contains("may not write to")), "{said}");
        assert_eq!(found["mend"], mended.as_str());
        of(&said, "checks", "disk");
    }
    change(world.folder.path(), 0o755);
}

#[test]
fn a_log_that_has_grown_warns_until_it_is_emptied() {
    let world = Frozen::world();
    world.given("task create --id t");
    let log = beside(&world, "-wal");
    // played: a log that a reader kept from being begun anew. Nothing in it is read.
    fs::File::create(&log).and_then(|file| file.set_len(300 << 20)).expect("made");
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("wal_size"), "warn", "{}", found.said);
    assert_eq!(fs::metadata(&log).expect("it stays").len(), 300 << 20);
    let command = found.mend("wal_size");
    assert!(
        command.starts_with("sqlite3 ") && command.ends_with("'pragma wal_checkpoint(truncate)'"),
        "{command}"
    );
    // The program sqlite3 may not be on this machine.
    let mended = Connection::open(file(&world)).expect("opens");
    mended.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).expect("emptied");
    drop(mended);
    assert_eq!(Found::of(&world, "").verdict("wal_size"), "pass");
    assert_eq!(world.run("task show t").status, 0);
}

#[test]
fn a_file_or_a_directory_that_anybody_may_write_fails_until_it_is_closed() {
    let world = Frozen::world();
    world.given("task create --id t");
    let path = file(&world);
    change(world.folder.path(), 0o700);
    change(&path, 0o666);
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("permissions")), (1, "fail"), "{}", found.said);
    type_into_shell(&world, &found.mend("permissions"));
    assert_eq!(Found::of(&world, "").verdict("permissions"), "pass");
    change(world.folder.path(), 0o777);
    let found = Found::of(&world, "");
    assert_eq!((found.status, found.verdict("permissions")), (1, "fail"), "{}", found.said);
    type_into_shell(&world, &found.mend("permissions"));
    change(world.folder.path(), 0o755);
    change(&path, 0o644);
    let found = Found::of(&world, "");
    assert_eq!(
        (found.status, found.verdict("permissions")),
        (0, "warn"),
        "payloads are seen: {}",
        found.said
    );
    type_into_shell(&world, &found.mend("permissions"));
    assert_eq!(Found::of(&world, "").verdict("permissions"), "pass");
}

#[test]
fn a_token_that_never_expires_warns_until_it_is_revoked() {
    let world = Frozen::world();
    world.given("token create --name ci --role worker --namespace a --namespace b\ntoken create --name ok --role reader --expires 90d");
    let found = Found::of(&world, "");
    assert_eq!(found.verdict("tokens"), "warn", "{}", found.said);
    assert_eq!(found.check("tokens")["never_expire"][0], "ci");
    let next = found.says("tokens").split('`').nth(1).expect("a command").to_owned();
    mend(&world, &next);
    mend(&world, &found.mend("tokens"));
    let found = Found::of(&world, "");
    assert_eq!((found.verdict("tokens"), &found.check("tokens")["live"]), ("pass", &Value::from(2)));
}

#[test]
fn behind_a_server_it_says_what_only_the_server_knows() {
    let place = Place::new();
    let mut serving = Serving::start(place.folder.path(), &[]);
    let world = Frozen::world();
    let found = Found::on(&format!("--store {}", serving.url), &world, "");
    for name in ["schema", "integrity", "wal_size", "disk", "permissions", "fsync", "standbys"] {
        assert!(found.why_skipped(name).contains("run `tenure"), "{name}: {}", found.said);
    }
    for name in ["store", "chain", "tasks", "stale", "tokens", "server"] {
        assert_eq!(found.verdict(name), "pass", "{name}: {}", found.said);
    }
    let url = serving.url.clone();
    serving.stop();
    let found = Found::on(&format!("--store {url}?patience=100ms"), &world, "");
    assert_eq!((found.status, found.verdict("store")), (1, "fail"), "{}", found.said);
    assert!(found.mend("store").starts_with("curl -fsS http://"), "{}", found.said);
}

#[test]
fn commands_that_mend_name_the_store_as_it_was_given() {
    let world = Frozen::world();
    let other = world.path("an other.db");
    let there = format!("--store 'sqlite:{other}'");
    world.given(&format!("{there} token create --name ci --role admin"));
    let found = Found::on(&there, &world, "");
    assert_eq!(found.mend("tokens"), "tenure --store 'sqlite:<folder>/an other.db' token revoke ci");
    assert!(
        found.says("tokens").contains("`tenure --store 'sqlite:<folder>/an other.db' token create"),
        "{}",
        found.said
    );
}
