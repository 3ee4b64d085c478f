//! Tests the rules that the project began with, through the binary, in separate processes.

use std::io::Write;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::place::{Ended, Place, ended, json};
use crate::waiting::until;

#[test]
fn of_eight_processes_that_race_for_a_lease_one_wins_and_the_others_are_told() {
    let place = Place::new();
    for round in 0..10 {
        place.done(&format!("task create --id race-{round}"));
        let racers: Vec<Child> = (0..8)
            .map(|racer| {
                let words = format!("task acquire race-{round} --owner p{racer} -o json");
                let mut command = place.command(&words);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
            })
            .collect();
        let ended: Vec<Ended> =
            racers.into_iter().map(|racer| ended(racer.wait_with_output().expect("its end"))).collect();
        let winners: Vec<&Ended> = ended.iter().filter(|one| one.status == 0).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let lease = json(&winners[0].out)["task"]["lease"].clone();
        for loser in ended.iter().filter(|one| one.status != 0) {
            let refusal = json(&loser.out)["refusal"].clone();
            assert_eq!((loser.status, refusal["code"].as_str()), (3, Some("leased")));
            assert_eq!(refusal["held_by"]["owner"], lease["owner"]);
            assert_eq!(refusal["held_by"]["until"], lease["expires_at"]);
        }
    }
}

#[test]
fn an_expired_lease_is_taken_over_by_one_of_many_and_the_late_one_is_refused() {
    let place = Place::new();
    place.done("task create --id t --on-lapse hold --ttl 1s");
    place.done("task acquire t --owner w1");
    until("the lapse", || place.task("t")["stale"] == true);
    let racers: Vec<Child> = (0..8)
        .map(|racer| {
            let mut command = place.command(&format!("task acquire t --owner p{racer} --ttl 60s"));
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
        })
        .collect();
    let won = racers
        .into_iter()
        .filter_map(|mut racer| racer.wait().ok())
        .filter(|status| status.success())
        .count();
    assert_eq!(won, 1);
    assert_eq!(place.task("t")["epoch"], 2);
    place.refused("task heartbeat t --owner w1 --epoch 1 --ttl 60s", "stale_epoch");
    place.refused("task complete t --owner w1 --epoch 1", "stale_epoch");
}

#[test]
fn a_heartbeat_that_may_not_be_leaves_what_is_stored_unchanged() {
    let place = Place::new();
    place.done("task create --id t --on-lapse hold");
    place.refused("task heartbeat t --owner w1 --epoch 1", "no_lease");
    place.done("task acquire t --owner w1 --ttl 10m");
    place.refused("task heartbeat t --owner w2 --epoch 1 --ttl 20m", "wrong_owner");
    place.refused("task heartbeat t --owner w1 --epoch 2 --ttl 20m", "stale_epoch");
    place.refused("task heartbeat t --owner w1 --epoch 0 --ttl 20m", "stale_epoch");
    place.refused("task heartbeat t --owner w1 --epoch 1 --ttl 1m", "not_extending");
    place.done("task heartbeat t --owner w1 --epoch 1 --ttl 20m");
    place.done("task create --id short --on-lapse hold");
    place.done("task acquire short --owner w1 --ttl 1s");
    until("the lapse", || place.task("short")["stale"] == true);
    place.refused("task heartbeat short --owner w1 --epoch 1 --ttl 60s", "lease_lapsed");
}

#[test]
fn what_has_ended_refuses_everything_but_notes() {
    let place = Place::new();
    let ends = [
        ("completed", "task complete completed --owner w --epoch 1"),
        ("failed", "task fail failed --owner w --epoch 1 --reason no-such-repo --undo none=-"),
        ("compensated", "task compensate compensated --reason by-hand"),
        ("quarantined", "task quarantine quarantined --owner w --epoch 1 --reason look"),
    ];
    for (state, end) in ends {
        place.done(&format!("task create --id {state}"));
        place.done(&format!("task acquire {state} --owner w"));
        place.done(end);
        let task = place.task(state);
        assert_eq!(task["state"], state);
        assert_eq!(
            task["terminal_reason"].is_null(),
            state == "completed",
            "each marker writes its reason: {task}"
        );
        for words in [
            "task acquire {} --owner w2",
            "task heartbeat {} --owner w --epoch 1",
            "task progress {} --owner w --epoch 1 --progress 1",
            "task release {} --owner w --epoch 1 --reason x",
            "task complete {} --owner w --epoch 1",
            "task complete {} --reason x",
            "task fail {} --owner w --epoch 1 --reason x --undo none=-",
            "task fail {} --reason x --undo none=-",
            "task rollback {} --owner w --epoch 1 --reason x",
            "task quarantine {} --owner w --epoch 1 --reason x",
            "task quarantine {} --reason x",
            "task compensate {} --reason x",
            "task cancel {} --reason x",
            "task dispatch {} --owner w",
            "task undo add {} --owner w --epoch 1 --kind a --target x",
            "task undo add {} --kind a --target x",
            "task undo settle {} 1 --owner w --epoch 1 --receipt x",
            "task undo settle {} 1 --waive --reason x",
            "task undo adopt {} --owner w --epoch 1",
        ] {
            place.refused(&words.replace("{}", state), "terminal");
        }
        place.done(&format!("task note {state} looked-at-it"));
        assert_eq!(place.task(state)["state"], state);
    }
    assert_eq!(place.done("task claim --owner w2 -n 100 -o json"), "");
}

#[test]
fn a_failed_task_carries_a_compensation_on_every_path() {
    let place = Place::new();
    place.done("task create --id bare");
    place.refused("task fail bare --reason no", "compensation_required");
    place.done("task acquire bare --owner w");
    place.refused("task fail bare --owner w --epoch 1 --reason no", "compensation_required");
    place.done("task fail bare --owner w --epoch 1 --reason no --undo none=-");
    place.done("task create --id rich --undo a=x --undo b=y");
    place.done("task acquire rich --owner w");
    place.done("task undo add rich --owner w --epoch 1 --kind c --target z");
    place.done("task fail rich --owner w --epoch 1 --reason no");
    let kept = place.task("rich")["compensations"].clone();
    assert_eq!(kept.as_array().map(Vec::len), Some(3), "marking it failed keeps those that were registered");
    let record = r#"{"id":"put","state":"failed","terminal_reason":"no"}"#;
    assert_eq!(refused_put(&place, record), "compensation_required");
    assert_eq!(place.run("task show put").status, 4);
}

/// Puts a record from standard input and returns the code of its refusal.
fn refused_put(place: &Place, record: &str) -> String {
    let (status, out) = put(place, record);
    assert_eq!(status, 3, "{out}");
    json(&out)["refusal"]["code"].as_str().expect("a code").to_owned()
}

fn put(place: &Place, record: &str) -> (i32, String) {
    let mut command = place.command("task put -o json");
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    process.stdin.take().expect("its input").write_all(record.as_bytes()).expect("written");
    let ended = ended(process.wait_with_output().expect("its end"));
    (ended.status, ended.out)
}

#[test]
fn a_put_changes_no_lease_moves_no_terminal_task_and_wins_against_no_end() {
    let place = Place::new();
    place.done("task create --id t");
    let planned = place.done("task show t -o json");
    place.done("task acquire t --owner w");
    let held = place.done("task show t -o json");
    assert_eq!(refused_put(&place, &held), "leased");
    assert_eq!(refused_put(&place, &held.replace("\"owner\":\"w\"", "\"owner\":\"thief\"")), "leased");
    assert_eq!(refused_put(&place, &planned), "leased");
    place.done("task complete t --owner w --epoch 1");
    let ended = place.done("task show t -o json");
    for record in [planned, held, ended.replace("\"completed\",\"cause\"", "\"planned\",\"cause\"")] {
        let code = refused_put(&place, &record);
        assert!(["terminal", "stale_write"].contains(&code.as_str()), "{code}: {record}");
    }
    assert_eq!(place.task("t")["state"], "completed");
}

#[test]
fn a_known_id_or_saga_id_is_refused_and_the_stored_one_is_untouched() {
    let place = Place::new();
    place.done("task create --id t --saga saga-t --queue agents");
    place.refused("task create --id t --queue other", "exists");
    place.refused("task create --id other --saga saga-t", "exists");
    place.refused("task create --id saga-other --saga saga-t", "exists");
    assert_eq!(place.task("t")["queue"], "agents");
}

#[test]
fn times_are_kept_in_utc_and_one_without_an_offset_is_refused() {
    let place = Place::new();
    place.done("task create --id t --not-before 2026-01-31T14:00:00+02:00");
    assert_eq!(place.task("t")["not_before"], "2026-01-31T12:00:00.000000Z");
    let refusal = place.refused("task create --id u --not-before 2026-01-31T14:00:00", "invalid");
    assert_eq!(refusal["field"], "not_before");
    assert_eq!(refused_put(&place, r#"{"id":"u","created_at":"2026-01-31T14:00:00"}"#), "invalid");
}

#[test]
fn what_one_process_wrote_the_next_one_finds() {
    let place = Place::new();
    place.done("task create --id t --undo a=x --undo-reason why --ttl 1h");
    let granted = json(&place.done("task acquire t --owner w -o json"));
    place.done("task heartbeat t --owner w --epoch 1 --ttl 2h --checkpoint [1]");
    let task = place.task("t");
    assert_eq!(task["lease"]["owner"], granted["task"]["lease"]["owner"]);
    assert_ne!(task["lease"]["expires_at"], granted["task"]["lease"]["expires_at"]);
    assert_eq!(task["checkpoint"], serde_json::json!([1]));
    assert_eq!(task["compensations"][0]["status"], "owed");
    assert_eq!(task, place.task("t"), "and so does every other");
}

#[test]
fn stale_is_what_lapsed_and_has_not_ended() {
    let place = Place::new();
    for id in ["lapses", "ends", "lives", "waits"] {
        place.done(&format!("task create --id {id} --ttl 1s"));
    }
    place.done("task acquire lapses --owner w");
    place.done("task acquire ends --owner w");
    place.done("task acquire lives --owner w --ttl 1h");
    until("two lapses", || place.done("stale -q").lines().count() == 2);
    place.done("task complete ends --owner w --epoch 1");
    let stale = place.done("stale -o json");
    let ids: Vec<Value> = stale.lines().map(|line| json(line)["id"].clone()).collect();
    assert_eq!(ids, ["lapses"]);
}

#[test]
fn many_tasks_come_from_a_file_and_a_line_that_is_wrong_is_told_before_any_is_created() {
    let place = Place::new();
    let file = |name: &str, text: &str| {
        std::fs::write(place.path(name), text).expect("written");
        place.path(name).display().to_string()
    };
    let lines: Vec<String> =
        (1..=1200).map(|number| format!(r#"{{"id":"t{number}","queue":"agents"}}"#)).collect();
    let tasks = file("tasks.jsonl", &lines.join("\n"));
    place.done("task create --id first");
    let wrong = file("wrong.jsonl", "{\"id\":\"x\"}\n\n{\"id\":\"y\",\"queu\":\"agents\"}\n");
    let refusal = place.refused(&format!("task create --from-file {wrong}"), "invalid");
    let words = refusal["message"].as_str().unwrap_or_default();
    assert!(words.starts_with("line 3: ") && words.contains("queu"), "{refusal}");
    assert_eq!(place.run("task show x").status, 4, "nothing of it was done");

    assert_eq!(place.done(&format!("task create --from-file {tasks} -q")).lines().count(), 1200);
    assert_eq!(place.task("t1200")["queue"], "agents");
    let again = place.run(&format!("task create --from-file {tasks} -q"));
    assert_eq!((again.status, again.out.as_str()), (3, ""));
    assert_eq!(again.errors.matches("error: line ").count(), 1200, "{}", again.errors);

    let more = file("more.jsonl", "{\"id\":\"m1\"}\n{\"id\":\"t1\"}\n{\"id\":\"m2\"}\n");
    for _ in 0..2 {
        // A repeat with the same request id returns the first answer.
        let told = place.run(&format!("task create --from-file {more} --request-id more -q"));
        assert_eq!((told.status, told.out.as_str()), (3, "m1\nm2\n"), "{}", told.errors);
        assert!(told.errors.contains("line 2: "), "{}", told.errors);
    }
    assert_eq!(place.run(&format!("task create --from-file {tasks} --queue agents")).status, 2);
    assert_eq!(place.run("task create --from-file nothing.jsonl").status, 2);
}
