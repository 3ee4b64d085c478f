//! Tests what `tenure doctor` says of the work: what is stale, parked, too old, or waits for somebody.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::frozen::{Frozen, file};
use crate::place::{Place, TENURE, ended, json, signal};
use crate::waiting::until;

use super::{Found, mend, type_into_shell, with_sql};

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
