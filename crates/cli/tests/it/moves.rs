//! Tests `tenure export` and `tenure import`: files, pipes, exit statuses, and what a person is told.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;
use tenure_cli::io::Screen;

use crate::frozen::Frozen;
use crate::place::{Place, ended};

/// A store with some tasks.
fn with_tasks() -> Frozen {
    let world = Frozen::world();
    world.given(
        "task create --id a --undo rm=/tmp/x --request-id r1
         task acquire a --owner w1 --ttl 60s
         task heartbeat a --owner w1 --epoch 1 --ttl 90s --progress 7
         task create --id b
         task acquire b --owner w1 --ttl 60s
         task complete b --owner w1 --epoch 1 --result 12
         task create --id c --namespace elsewhere",
    );
    world
}

/// The export as a file.
fn exported(world: &Frozen) -> String {
    let ran = world.run("export -q");
    assert_eq!((ran.status, ran.errors.as_str()), (0, ""));
    world.write("tasks.jsonl", &ran.out)
}

/// The options that name a new store.
fn elsewhere(world: &Frozen) -> String {
    format!("--store sqlite:{}", world.path("new.db"))
}

#[test]
fn a_store_is_exported_and_imported_and_shows_the_same_tasks() {
    let world = with_tasks();
    let export = world.run("export");
    assert_eq!(export.status, 0);
    assert!(
        export.errors.starts_with("note: exported 6 events, 0 pruned tasks, 0 anchors, 1 lease, 1 request id, 0 named cursors and 0 tokens in "),
        "{}",
        export.errors
    );
    let lines: Vec<Value> =
        export.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["tenure_export"], 1);
    assert_eq!(lines[1]["event"]["type"], "created");
    assert_eq!(lines.last().expect("the end")["end"]["counts"]["events"], 6);
    let (file, new) = (world.write("tasks.jsonl", &export.out), elsewhere(&world));
    let import = world.run(&format!("import {file} {new}"));
    assert_eq!((import.status, import.errors.as_str()), (0, ""));
    assert!(
        import.out.starts_with("imported 6 events, 0 pruned tasks, 0 anchors, 1 lease, 1 request id, 0 named cursors and 0 tokens in "),
        "{}",
        import.out
    );
    assert!(import.out.ends_with("; 0 lines skipped, 0 lines refused\n"), "{}", import.out);
    for show in ["task show a -o json", "task show b -o json", "task show c --namespace elsewhere -o json"] {
        assert_eq!(world.run(&format!("{show} {new}")).out, world.run(show).out, "{show}");
    }
    let anchor = |store: &str| {
        let anchor = world.run(&format!("audit anchor {store}")).out;
        anchor.lines().filter(|line| !line.starts_with("cursor")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(anchor(&new), anchor(""));
    let again = world.run(&format!("import {file} {new} -o json"));
    let again = again.json();
    assert_eq!((&again["import"]["events"], &again["import"]["skipped"]), (&0.into(), &8.into()), "{again}");
}

#[test]
fn an_export_goes_through_a_pipe() {
    let place = Place::new();
    place.done("task create --id a");
    let mut export =
        place.command("export").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process");
    let new = format!("--store sqlite:{}", place.folder.path().join("new.db").display());
    let mut import = place.command(&format!("import - {new}"));
    let import = ended(import.stdin(export.stdout.take().expect("its output")).output().expect("ran"));
    assert!(export.wait().expect("its end").success());
    assert_eq!((import.status, import.errors.as_str()), (0, ""));
    assert_eq!(place.done(&format!("task show a -o json {new}")), place.done("task show a -o json"));
}

#[test]
fn a_refused_line_is_named_and_the_status_says_that_there_was_one() {
    let world = with_tasks();
    let file = std::fs::read_to_string(exported(&world)).expect("read");
    let altered = file.replace("\"result\":12", "\"result\":13");
    assert_ne!(altered, file);
    let (file, new) = (world.write("altered.jsonl", &altered), elsewhere(&world));
    let import = world.run(&format!("import {file} {new}"));
    assert_eq!(import.status, 3);
    let errors: Vec<&str> = import.errors.lines().collect();
    assert_eq!(
        errors[0],
        "error: line 6: its hash is not that of what it says behind the event before: one of them was changed"
    );
    assert!(
        errors[1].starts_with("error: line 10: what stands before it is not what was exported"),
        "{errors:?}"
    );
    assert!(import.out.ends_with("; 0 lines skipped, 2 lines refused\n"), "{}", import.out);
    assert_eq!(world.run(&format!("task show b -o json {new}")).json()["task"]["state"], "running");
    let refused = world.path("refused.jsonl");
    let import = world.run(&format!("import {file} --refused {refused} {new} -o json"));
    assert_eq!((import.status, import.errors.as_str()), (3, ""));
    assert_eq!(import.json()["import"]["refused"], 2);
    let told = std::fs::read_to_string(refused).expect("written");
    let first: Value = serde_json::from_str(told.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["line"], 6);
}

#[test]
fn refused_lines_overwrite_nothing_but_those_of_an_earlier_import() {
    let world = with_tasks();
    let (file, new) = (exported(&world), elsewhere(&world));
    let text = std::fs::read_to_string(&file).expect("read");
    std::os::unix::fs::symlink(&file, world.path("link.jsonl")).expect("a link");
    let notes = world.write("notes", "dear reader\n");
    for (refused, words) in [
        (file.clone(), "it is the file to import"),
        (world.path("link.jsonl"), "it is the file to import"),
        (notes.clone(), "the file exists, and does not have the refused lines"),
    ] {
        let ran = world.run(&format!("import {file} --refused {refused} {new}"));
        assert_eq!(ran.status, 2, "{}", ran.errors);
        assert!(ran.errors.contains(words), "{}", ran.errors);
    }
    assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
    assert_eq!(std::fs::read_to_string(&notes).expect("read"), "dear reader\n");
    let earlier = world.write("earlier", "{\"line\":1,\"reason\":\"x\"}\n");
    assert_eq!(world.run(&format!("import {file} --refused {earlier} {new}")).status, 0);
    assert_eq!(std::fs::read_to_string(&earlier).expect("read"), "");
}

#[test]
fn an_export_that_is_not_whole_is_a_failure() {
    let place = Place::new();
    place.done("task create --id a");
    let full = File::options().write(true).open("/dev/full").expect("there");
    let told = ended(place.command("export").stdout(full).output().expect("ran"));
    let words = "the export is not whole: repeat it";
    assert_eq!(told.status, 1);
    assert!(told.errors.contains(words) && !told.errors.contains("was done"), "{}", told.errors);
    // As by `head`, which has read enough.
    let (closed, pipe) = std::io::pipe().expect("a pipe");
    drop(closed);
    let told = ended(place.command("export").stdout(pipe).output().expect("ran"));
    assert_eq!(told.status, 1);
    assert!(told.errors.contains(words), "{}", told.errors);
}

#[test]
fn a_file_that_was_cut_off_or_is_something_else_is_refused() {
    let world = with_tasks();
    let file = std::fs::read_to_string(exported(&world)).expect("read");
    let new = elsewhere(&world);
    let cut = world.write("cut.jsonl", &file[..file.len() / 2]);
    let import = world.run(&format!("import {cut} {new}"));
    assert_eq!(import.status, 3);
    assert!(import.errors.contains("the export has no end: it was cut off behind line"), "{}", import.errors);
    let other = world.write("other.jsonl", "{\"task\":{}}\n");
    let import = world.run(&format!("import {other} {new}"));
    assert_eq!(import.status, 3);
    assert!(
        import.errors.starts_with("error: line 1: it is not the first line of an export"),
        "{}",
        import.errors
    );
    let later = world.write("later.jsonl", &file.replace("\"tenure_export\":1", "\"tenure_export\":2"));
    let import = world.run(&format!("import {later} {new}"));
    assert!(
        import.errors.contains("the export has format 2, and this program reads format 1"),
        "{}",
        import.errors
    );
    for wrong in ["import /nowhere/tasks.jsonl", "import .", "export --store http://127.0.0.1:1", "import"] {
        assert_eq!(world.run(wrong).status, 2, "{wrong}");
    }
    assert_eq!(world.run("export --store sqlite:/nowhere/tasks.db").status, 5);
}

#[test]
fn progress_is_for_a_person_at_a_terminal() {
    let world = with_tasks();
    let (file, new) = (exported(&world), elsewhere(&world));
    let import = world.run_on(Screen::Terminal, &format!("import {file} {new}"));
    assert!(
        import.errors.contains("importing [") && import.errors.contains(" a second"),
        "{}",
        import.errors
    );
    let export = world.run_on(Screen::Terminal, "export");
    assert!(export.errors.contains("exporting ["), "{}", export.errors);
    let quiet = world.run_on(Screen::Terminal, &format!("import -q {file} {new}"));
    assert_eq!((quiet.status, quiet.out.as_str(), quiet.errors.as_str()), (0, "", ""));
}

/// Another program's file with three rows, one of them damaged.
fn with_sagas(world: &Frozen) -> String {
    let path = world.path("sagas.db");
    let file = rusqlite::Connection::open(&path).expect("opens");
    file.execute_batch(
        "create table task_sagas (task_id text, saga_id text, state text, issue text, branch text, worktree text, \
             compensations_json text, lease_owner text, lease_expires_at text, last_heartbeat_at text, terminal_reason text);
         insert into task_sagas values ('dead', 's1', 'running', '168', 'fix', '/wt/1', \
             '[{\"kind\":\"rm\",\"target\":\"/wt/1\"}]', 'w1', '2026-01-31T11:00:00+00:00', null, null);
         insert into task_sagas values ('odd one', 's2', 'planned', null, null, null, '[]', null, null, null, null);
         insert into task_sagas values ('broken', 's3', 'sleeping', null, null, null, '[]', null, null, null, null);",
    )
    .expect("made");
    path
}

#[test]
fn the_tasks_of_another_programs_table_move_in_and_what_is_refused_is_named_by_its_row() {
    let world = Frozen::world();
    world.given("task create --id here");
    let sagas = with_sagas(&world);
    let dry = world.run(&format!("import --from-task-sagas {sagas} --dry-run"));
    assert_eq!(dry.status, 3, "{}{}", dry.out, dry.errors);
    assert_eq!(dry.out, "2 tasks would be moved; 0 were there already, 1 row refused\n");
    assert_eq!(world.run("task show dead").status, 4, "a dry run writes nothing");

    let moved = world.run(&format!("import --from-task-sagas {sagas} --as alice"));
    assert_eq!(moved.status, 3);
    assert_eq!(moved.out, "2 tasks moved; 0 were there already, 1 row refused\n");
    for part in [
        "note: row 2 (odd one): task_id `odd one` became `odd-one-",
        "error: row 3 (broken): invalid: state: ",
    ] {
        assert!(moved.errors.contains(part), "{part} in {}", moved.errors);
    }
    let shown = world.run("task show dead -o json").out;
    for part in [
        r#""state":"running""#,
        r#""owner":"w1","epoch":1"#,
        r#""issue":"168""#,
        r#""owed":1"#,
        r#""stale":true"#,
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let again = world.run(&format!("import --from-task-sagas {sagas} -o json"));
    let last = again.out.lines().last().map(str::to_owned);
    let counts = r#"{"import":{"dry_run":false,"moved":0,"present":2,"refused":1}}"#;
    assert_eq!(last.as_deref(), Some(counts), "{}", again.out);
}

#[test]
fn an_import_takes_a_file_or_a_table_and_not_both() {
    let world = Frozen::world();
    for wrong in ["import", "import a.jsonl --from-task-sagas b.db", "import a.jsonl --dry-run"] {
        let ran = world.run(wrong);
        assert_eq!(ran.status, 2, "{wrong}: {}", ran.errors);
    }
    let other = world.path("other.db");
    rusqlite::Connection::open(&other)
        .and_then(|file| file.execute_batch("create table t (x)"))
        .expect("made");
    for (file, part) in [
        ("nowhere.db", "there is no file nowhere.db"),
        (".", ". is a directory"),
        (other.as_str(), "has no table `task_sagas`"),
    ] {
        let ran = world.run(&format!("import --from-task-sagas {file}"));
        assert_eq!(ran.status, 2, "{file}: {}", ran.errors);
        assert!(ran.errors.contains(part), "{part} in {}", ran.errors);
    }
    let sagas = with_sagas(&world);
    let _locked = rusqlite::Connection::open(&sagas)
        .and_then(|file| file.execute_batch("begin exclusive").map(|()| file))
        .expect("locked");
    let ran = world.run(&format!("import --from-task-sagas {sagas}"));
    assert_eq!(ran.status, 5, "{}", ran.errors);
    for part in ["database is locked", "note: the import ended early; repeat the command within 7 days"] {
        assert!(ran.errors.contains(part), "{part} in {}", ran.errors);
    }
}

#[test]
fn a_dry_run_makes_no_store() {
    let world = Frozen::world();
    let (sagas, new) = (with_sagas(&world), elsewhere(&world));
    let dry = world.run(&format!("import --from-task-sagas {sagas} --dry-run {new}"));
    assert_eq!(
        (dry.status, dry.out.as_str()),
        (3, "2 tasks would be moved; 0 were there already, 1 row refused\n")
    );
    let note = "note: there is no store at ";
    assert!(dry.errors.contains(note) && dry.errors.contains("new.db"), "{}", dry.errors);
    assert!(!std::path::Path::new(&world.path("new.db")).exists(), "a dry run writes nothing");
}

#[test]
fn where_there_are_tokens_the_import_says_to_whom_leases_belong() {
    let world = Frozen::world();
    let sagas = with_sagas(&world);
    let none = world.run(&format!("import --from-task-sagas {sagas} --dry-run"));
    assert!(!none.errors.contains("granted"), "a store without tokens: {}", none.errors);
    world.given("token create --name fleet --role worker");
    let dry = world.run(&format!("import --from-task-sagas {sagas} --dry-run"));
    assert!(dry.errors.contains("--granted-to names that token"), "{}", dry.errors);
    let wrong = world.run(&format!("import --from-task-sagas {sagas} --dry-run --granted-to fleeet"));
    assert!(wrong.errors.contains("there is no token `fleeet`"), "{}", wrong.errors);
    let moved = world.run(&format!("import --from-task-sagas {sagas} --granted-to fleet"));
    assert!(!moved.errors.contains("token"), "{}", moved.errors);
    let shown = world.run("task show dead -o json").out;
    assert!(shown.contains(r#""granted_to":"fleet""#), "{shown}");
}

#[test]
fn recover_after_is_for_moved_tasks_that_others_may_take_over() {
    let world = Frozen::world();
    let sagas = with_sagas(&world);
    let refused = world.run(&format!("import --from-task-sagas {sagas} --recover-after 5m"));
    assert_eq!(refused.status, 3, "{}", refused.errors);
    assert!(refused.errors.contains("policy.recover_after"), "{}", refused.errors);
    world.run(&format!("import --from-task-sagas {sagas} --recover-after 5m --on-lapse either"));
    let shown = world.run("task show dead -o json").json();
    assert_eq!(shown["task"]["policy"]["recover_after"], "5m", "{shown}");
}
