//! Tests `tenure doctor`: each check is provoked by breaking that alone, the command that mends it is run, and then it passes. It is one
//! story for each line of the table in `docs/operating.md`. Here are those of the store and of its place.

mod history;
mod work;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use insta::assert_snapshot;
use rusqlite::Connection;
use serde_json::Value;

use crate::frozen::{Frozen, Ran, file};
use crate::place::{Place, TENURE, ended, json};
use crate::serving::Serving;

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
