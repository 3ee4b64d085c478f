//! Tests `tenure backup` and `tenure restore`: what people and programs are told, and what is left when they are killed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use insta::assert_snapshot;
use rustix::process::Signal;
use tenure::Ledger;
use tenure::clock::Moment;
use tenure_cli::io::Screen;

use crate::frozen::Frozen;
use crate::migrates::{older, version_of};
use crate::place::{Place, signal};
use crate::prunes::futures_of;

/// A store with a live lease, a lapsed one, and an ended task.
fn with_tasks() -> Frozen {
    let world = Frozen::world();
    world.given(
        "task create --id ended
         task acquire ended --owner w1
         task complete ended --owner w1 --epoch 1
         task create --id lapsed
         task acquire lapsed --owner w1 --ttl 5s
         task create --id live
         task acquire live --owner w2 --ttl 1h
         tick 60",
    );
    world
}

#[test]
fn a_backup_and_a_restore_say_what_they_have_and_what_was_lost() {
    let world = with_tasks();
    let (file, new) = (world.path("tasks.backup"), format!("--store sqlite:{}", world.path("new.db")));
    assert_snapshot!(
        world.tells(&format!("backup {file}\n backup {file}")),
        @"
    $ tenure backup <folder>/tasks.backup
    backed up to <folder>/tasks.backup as of 2026-01-31T12:01:00Z: 3 tasks, 7 events up to e7, 139264 bytes
    verified: it holds, and it is on the disk
    $ tenure backup <folder>/tasks.backup
    error: <folder>/tasks.backup exists, and nothing is overwritten; give another name, or move it away
      → see `tenure backup --help`
    status 2
    "
    );
    world.given("task create --id since\n task note live 'seen since'\n tick 1740");
    let anchor = world.write("anchor", &world.run("audit anchor").out);
    assert_snapshot!(
        world.tells(&format!(
            "restore {new} --anchor {anchor} {file}
             task acquire lapsed --owner w3 {new}
             restore {new} {file}"
        )),
        @"
    $ tenure restore --store sqlite:<folder>/new.db --anchor <folder>/anchor <folder>/tasks.backup
    restored <folder>/tasks.backup as of 2026-01-31T12:01:00Z, 29m ago: 3 tasks, 7 events up to e7; epochs are granted above 4294967296
    verified: it holds
    lost: what happened after 2026-01-31T12:01:00Z. Leases granted since are refused as stale_epoch, and no new lease gets their epochs
    1 lease with time left: the holder goes on
      default/live: w2 at epoch 1, until 2026-01-31T13:00:00Z
    1 lease without: the holder may still end the task, until somebody takes over
      default/lapsed: w1 at epoch 1, until 2026-01-31T12:00:05Z
    1 task in the anchor, and not in the backup
      default/since
    1 task with fewer events than in the anchor
      default/live: has 2 of 3 events
    followers: those with a cursor of their own begin again behind e7; named cursors are where they were then, and get events again
    $ tenure task acquire lapsed --owner w3 --store sqlite:<folder>/new.db
    lapsed is running: w3 holds it under epoch 4294967297 since 2026-01-31T12:30:00Z (just now) until 2026-01-31T12:31:00Z (in 1m); unless that is renewed, recovery closes it as compensated
    $ tenure restore --store sqlite:<folder>/new.db <folder>/tasks.backup
    error: <folder>/new.db exists, and nothing is overwritten; give another name, or move it away
      → see `tenure --store sqlite:<folder>/new.db restore --help`
    status 2
    "
    );
    let file_mode =
        |name: &str| std::fs::metadata(world.path(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!(
        (file_mode("tasks.backup"), file_mode("new.db")),
        (file_mode("tenure.db"), file_mode("tenure.db"))
    );
}

#[test]
fn programs_are_told_the_same() {
    let world = with_tasks();
    let file = world.path("tasks.backup");
    let backup = world.run(&format!("backup {file} -o json")).json();
    let backup = &backup["backup"];
    assert_eq!(
        (&backup["kind"], &backup["at"], &backup["cursor"], &backup["tasks"], &backup["events"]),
        (&"sqlite".into(), &"2026-01-31T12:01:00.000000Z".into(), &"e7".into(), &3.into(), &7.into())
    );
    assert_eq!((&backup["verified"], &backup["epoch_floor"]), (&true.into(), &0.into()));
    assert_eq!(backup["bytes"].as_u64(), std::fs::metadata(&file).ok().map(|found| found.len()));
    let anchor = world.write("anchor", &world.run("audit anchor").out);
    let new = format!("--store sqlite:{}", world.path("new.db"));
    let restored = world.run(&format!("restore {file} {new} --anchor {anchor} -o json")).json();
    let restored = &restored["restore"];
    assert_eq!((&restored["of"], &restored["epoch_floor"]), (&backup["at"], &4_294_967_296_u64.into()));
    assert_eq!(restored["lost"]["missing"], serde_json::json!([]));
    assert_eq!(restored["leases"][0]["task"], "lapsed");
    assert_eq!(
        (&restored["leases"][0]["lapsed"], &restored["leases"][1]["lapsed"]),
        (&true.into(), &false.into())
    );
    let quiet = world.run(&format!("restore -q {file} --store sqlite:{}", world.path("quiet.db")));
    assert_eq!((quiet.status, quiet.out.as_str()), (0, "8589934592\n"));
    let quiet = world.run(&format!("backup -q {}", world.path("quiet.backup")));
    assert_eq!((quiet.status, quiet.out.trim(), quiet.errors.as_str()), (0, "<folder>/quiet.backup", ""));
}

#[test]
fn a_backup_is_examined_and_verified_and_not_worked_in() {
    let world = with_tasks();
    let file = world.path("tasks.backup");
    world.given(&format!("backup {file}"));
    let store = format!("--store sqlite:{file}");
    for works in ["task create --id x", "task list", "recover", "export", "prune --older-than 90d"] {
        let refused = world.run(&format!("{works} {store}"));
        assert_eq!(refused.status, 5, "{works}: {}{}", refused.out, refused.errors);
        assert!(
            refused.errors.contains("is a backup") && refused.errors.contains("restore"),
            "{}",
            refused.errors
        );
    }
    let verified = world.run(&format!("audit verify {store}"));
    assert_eq!(
        (verified.status, verified.out.as_str()),
        (0, "verified: 3 tasks, 7 events\n"),
        "{}",
        verified.errors
    );
    let doctor = world.run(&format!("doctor {store}"));
    assert!(doctor.out.contains("integrity"), "{}{}", doctor.out, doctor.errors);
}

#[test]
fn what_does_not_hold_is_named_and_what_can_not_be_done_has_a_way_out() {
    let world = with_tasks();
    let file = world.path("tasks.backup");
    for (wrong, words) in [
        (format!("backup {file} --store http://127.0.0.1:1"), "not over HTTP: run it on a machine"),
        (format!("restore {file} --store http://127.0.0.1:1"), "tasks.backup"),
        ("backup".to_owned(), "required"),
        ("restore".to_owned(), "required"),
        ("restore --in-place".to_owned(), "--yes"),
        (format!("backup {}", world.path("no/where")), "does not exist"),
        (
            format!("restore {} --store memory:", world.write("letters", "dear reader, this is long")),
            "is not a backup",
        ),
    ] {
        let ran = world.run(&wrong);
        assert!(matches!(ran.status, 1 | 2), "{wrong}: {}", ran.errors);
        assert!(ran.errors.contains(words), "{wrong}: {}", ran.errors);
    }
    assert_eq!(world.run(&format!("backup {file} --store sqlite:{}", world.path("none.db"))).status, 5);
    let connection = rusqlite::Connection::open(world.path("tenure.db")).expect("opens");
    connection
        .execute_batch("drop trigger events_do_not_change; update events set actor = 'm' where \"order\" = 2")
        .expect("changed");
    let refused = world.run(&format!("backup {file}"));
    assert_eq!(refused.status, 1);
    assert!(refused.errors.starts_with("error: default/ended: event 2 was changed\n"), "{}", refused.errors);
    assert!(refused.errors.contains("with --keep-unverified"), "{}", refused.errors);
    assert!(!Path::new(&file).exists());
    let kept = world.run(&format!("backup {file} --keep-unverified"));
    assert_eq!(kept.status, 1, "its status says so all the same");
    assert!(kept.out.contains("not verified: 1 finding"), "{}", kept.out);
    assert!(std::fs::metadata(world.path("tasks.backup")).is_ok());
}

#[test]
fn the_floor_of_a_store_that_another_tool_put_back_is_raised_where_it_is_with_consent() {
    let world = with_tasks();
    let raised = world.run("restore --in-place --yes");
    assert_eq!(raised.status, 0, "{}", raised.errors);
    assert!(
        raised.out.starts_with("raised the epoch floor: epochs are granted above 4294967296"),
        "{}",
        raised.out
    );
    assert!(raised.errors.contains("pass --epoch-floor-above 4294967296"), "{}", raised.errors);
    let again = world.run("restore --in-place --yes --epoch-floor-above 8589934592 -q");
    assert_eq!((again.out.as_str(), again.errors.as_str()), ("12884901888\n", ""));
    let taken = world.run("task acquire lapsed --owner w3 -o json").json();
    assert_eq!(taken["task"]["lease"]["epoch"], 12_884_901_889_u64);
}

#[test]
fn a_person_at_a_terminal_sees_that_it_goes_on() {
    let world = with_tasks();
    let backup = world.run_on(Screen::Terminal, &format!("backup {}", world.path("tasks.backup")));
    assert_eq!(backup.status, 0, "{}", backup.errors);
}

#[test]
fn a_store_of_an_older_version_is_backed_up_and_restored_as_it_is() {
    let place = Place::new();
    older(&place);
    let (file, new) = (place.path("before-the-upgrade"), place.path("new.db"));
    let told = place.done(&format!("backup {}", file.display()));
    assert!(told.contains("18 tasks"), "{told}");
    assert_eq!((version_of(&place.file()), version_of(&file)), (4, 4), "neither is migrated");
    let store = format!("--store sqlite:{}", new.display());
    place.done(&format!("restore {store} {}", file.display()));
    assert_eq!(version_of(&new), 4, "the older version can open it, too");
    assert!(place.done(&format!("audit verify {store}")).starts_with("verified: 18 tasks"));
    assert!(version_of(&new) > 4);
}

const KILLS: u32 = 20;
const TASKS: usize = 200;

/// A store of some length, as a file, and its URL.
fn long_store(folder: &Path) -> String {
    let url = format!("sqlite:{}", folder.join("tenure.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let ledger = Ledger::open(&url).await.expect("opens");
        let ids: Vec<String> = (0..TASKS).map(|number| format!("t{number}")).collect();
        for created in futures_of(ids.iter().map(|id| async { ledger.create(id).await })).await {
            created.expect("created");
        }
    });
    url
}

fn tenure(words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
}

fn whole(url: &str) {
    let verified =
        Command::new(env!("CARGO_BIN_EXE_tenure")).args(["--store", url, "audit", "verify"]).output();
    let verified = verified.expect("ran");
    let said = String::from_utf8(verified.stdout).expect("text");
    assert!(verified.status.success() && said.starts_with(&format!("verified: {TASKS} tasks")), "{said}");
}

/// Kills a command at moments that are spread over the time that it takes; between the kills the target is absent or whole.
fn kill_again_and_again(words: &[&str], target: &Path, source: &str) {
    let url = format!("sqlite:{}", target.display());
    let began = Moment::now();
    assert!(tenure(words).wait().expect("its end").success(), "{words:?}");
    let took = Duration::from(Moment::now().since(began));
    let mut absent = 0;
    for nth in 0..KILLS {
        let _ = std::fs::remove_file(target);
        let mut child = tenure(words);
        // played: a kill at one of many moments; nothing is waited for.
        std::thread::sleep(took * nth / KILLS);
        child.kill().expect("kill -9");
        child.wait().expect("its end");
        match target.exists() {
            true => whole(&url),
            false => absent += 1,
        }
        whole(source);
    }
    assert!(absent > 0, "nothing was killed before its end");
    let _ = std::fs::remove_file(target);
    assert!(tenure(words).wait().expect("its end").success(), "it is repeated");
    whole(&url);
    let folder = target.parent().expect("a folder");
    assert_eq!(hidden_in(folder), Vec::<String>::new());
}

fn hidden_in(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("read").map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_backup_that_is_stopped_at_any_moment_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = long_store(folder.path());
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).expect("a folder");
    let backup = |name: &str| tenure(&["--store", &url, "backup", &copies.join(name).display().to_string()]);
    let began = Moment::now();
    assert!(backup("first").wait().expect("its end").success());
    let took = Duration::from(Moment::now().since(began));
    let mut stopped = 0;
    for nth in 0..KILLS {
        let mut child = backup(&format!("nth-{nth}"));
        // played: a stop at one of many moments; nothing is waited for.
        std::thread::sleep(took * nth / KILLS);
        signal(&child, Signal::TERM);
        let ended = child.wait().expect("its end");
        let hidden = hidden_in(&copies);
        assert!(hidden.is_empty(), "stop {nth}: {hidden:?}");
        stopped += u32::from(ended.code() == Some(128 + 15));
    }
    assert!(stopped > 0, "nothing was stopped before its end");
}

#[test]
fn what_a_killed_backup_left_goes_with_the_next_one_of_another_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = long_store(folder.path());
    for name in [".monday.tenure-part", ".monday.tenure-part-journal"] {
        std::fs::write(folder.path().join(name), "half").expect("written");
    }
    let tuesday = folder.path().join("tuesday").display().to_string();
    assert!(tenure(&["--store", &url, "backup", &tuesday]).wait().expect("its end").success());
    assert_eq!(hidden_in(folder.path()), Vec::<String>::new());
}

#[test]
fn a_backup_that_is_killed_at_any_moment_leaves_a_whole_one_or_none_and_is_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = long_store(folder.path());
    let target = folder.path().join("backup");
    let file = target.display().to_string();
    kill_again_and_again(&["--store", &url, "backup", &file], &target, &url);
}

#[test]
fn a_restore_that_is_killed_at_any_moment_leaves_a_whole_store_or_none_and_is_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = long_store(folder.path());
    let file = folder.path().join("backup").display().to_string();
    assert!(tenure(&["--store", &url, "backup", &file]).wait().expect("its end").success());
    let target = folder.path().join("new.db");
    let new = format!("sqlite:{}", target.display());
    kill_again_and_again(&["--store", &new, "restore", &file], &target, &format!("sqlite:{file}"));
}
