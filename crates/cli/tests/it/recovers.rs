//! Tests `tenure recover`: stale tasks are undone by the commands that the settings file allows.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::place::{Ended, Place, ended, is_alive, json, signal};
use crate::waiting::until;

impl Place {
    /// A task whose worker is gone and whose undo is due.
    fn owing(&self, id: &str, undos: &str) {
        self.done(&format!("task create --id {id} {undos}"));
        self.done(&format!("task acquire {id} --owner w1"));
        self.done(&format!("task rollback {id} --owner w1 --epoch 1 --reason gone"));
    }

    fn settings(&self, text: &str) -> String {
        let path = self.path("settings.toml");
        fs::write(&path, text.replace("FOLDER", &self.folder.path().display().to_string())).expect("written");
        path.display().to_string()
    }

    /// Runs recovery once with those settings; returns a JSON line for each task.
    fn recovers(&self, settings: &str, options: &str) -> Vec<Value> {
        let config = self.settings(settings);
        self.done(&format!("recover --config {config} -o json {options}")).lines().map(json).collect()
    }

    fn target(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

const REMOVE: &str = r#"
[undo.remove]
run = ["rm", "-v", "--", "{target}"]
allow = "FOLDER/[a-z]+"
tries = 2
backoff = "10ms"
"#;

#[test]
fn what_is_owed_is_undone_by_the_command_of_its_kind_and_its_output_is_the_receipt() {
    let place = Place::new();
    fs::write(place.target("one"), "").expect("written");
    fs::write(place.target("two"), "").expect("written");
    place.owing("a", &format!("--undo remove={} --undo remove={}", place.target("one"), place.target("two")));
    let told = place.recovers(REMOVE, "");
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["task"], &told[0]["outcome"]), (&json("\"a\""), &json("\"compensated\"")));
    let targets: Vec<&str> = told[0]["undone"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["target"].as_str())
        .collect();
    assert_eq!(targets, [place.target("two"), place.target("one")], "newest first");
    let task = place.task("a");
    let receipt = task["compensations"][0]["receipt"].as_str().expect("a receipt");
    assert!(receipt.contains("exited with 0") && receipt.contains("removed"), "{receipt}");
    assert!(
        !fs::exists(place.target("one")).expect("a look")
            && !fs::exists(place.target("two")).expect("a look")
    );
    assert!(place.recovers(REMOVE, "").is_empty(), "and nothing is left to do");
}

#[test]
fn a_plan_shows_what_would_be_done_and_does_nothing() {
    let place = Place::new();
    fs::write(place.target("one"), "").expect("written");
    place.owing("a", &format!("--undo remove={}", place.target("one")));
    place.owing("b", "--undo unknown=x --undo strange=y");
    let before = place.dump();
    let plan = place.recovers(REMOVE, "--plan");
    assert_eq!(plan[0]["undo"][0]["target"].as_str(), Some(place.target("one").as_str()));
    assert_eq!((&plan[1]["becomes"], &plan[1]["undo"]), (&json("\"quarantined\""), &json("[]")));
    let because = plan[1]["because"].as_str().expect("words");
    assert!(because.contains("strange, unknown"), "{because}");
    let config = place.settings(REMOVE);
    let shown = place.done(&format!("recover --config {config} --plan"));
    assert!(shown.contains("undo remove") && shown.contains("quarantine: "), "{shown}");
    assert_eq!(place.dump(), before);
}

#[test]
fn a_kind_that_nobody_handles_and_a_target_that_is_not_allowed_park_the_whole_task() {
    let place = Place::new();
    fs::write(place.target("one"), "").expect("written");
    place.owing("a", &format!("--undo unknown=x --undo remove={}", place.target("one")));
    place.owing("b", &format!("--undo remove={} --undo remove=/etc/passwd", place.target("one")));
    let told = place.recovers(REMOVE, "");
    for (nth, word) in [(0, "unknown"), (1, "/etc/passwd")] {
        assert_eq!(told[nth]["outcome"].as_str(), Some("quarantined"));
        let because = told[nth]["because"].as_str().expect("words");
        assert!(because.contains(word), "{because}");
    }
    assert_eq!(place.task("a")["cause"].as_str(), Some("undo_unhandled"));
    assert!(fs::exists(place.target("one")).expect("a look"), "nothing of either was undone");
}

#[test]
fn an_undo_that_fails_is_tried_as_often_as_was_said_and_then_a_person_is_asked() {
    let place = Place::new();
    place.owing("a", &format!("--undo remove={}", place.target("missing")));
    let told = place.recovers(REMOVE, "");
    assert_eq!(told[0]["outcome"].as_str(), Some("quarantined"), "{told:?}");
    let task = place.task("a");
    assert_eq!(
        (task["cause"].as_str(), &task["compensations"][0]["tries"]),
        (Some("undo_failed"), &json("2"))
    );
    let error = task["compensations"][0]["last_error"].as_str().expect("an error");
    assert!(error.contains("exited with 1") && error.contains("No such file"), "{error}");
    // And what to do about it.
    place.done("task retry a --as alice --reason mended --waive 1=gone --id a2");
}

#[test]
fn an_undo_that_takes_too_long_is_killed_with_all_that_it_started() {
    let place = Place::new();
    place.owing("a", "--undo slow=x");
    let settings = r#"
[undo.slow]
run = ["sh", "-c", "( setsid sh -c 'echo $$ > FOLDER/daemon; while :; do sleep 0.02; done' & ); sleep 60"]
allow = "x"
timeout = "2s"
tries = 1
"#;
    let told = place.recovers(settings, "");
    assert_eq!(told[0]["outcome"].as_str(), Some("quarantined"));
    assert!(told[0]["because"].as_str().is_some_and(|words| words.contains("longer than")), "{told:?}");
    assert!(!is_alive(place.process("daemon")), "nothing goes on");
}

#[test]
fn an_undo_finds_everything_about_it_on_its_input_and_no_lease_in_its_environment() {
    let place = Place::new();
    place.owing("a", "--undo look=x --undo-reason why --saga s-1 --label issue=168 --payload {\"n\":1.50}");
    let settings = r#"
[undo.look]
run = ["sh", "-c", "cat; env | grep -E 'TENURE_(TASK|OWNER|EPOCH)' || true"]
allow = "x"
"#;
    let mut recover = place.command(&format!("recover --config {}", place.settings(settings)));
    let recover = recover.env("TENURE_OWNER", "w1").env("TENURE_EPOCH", "1").env("TENURE_TASK", "a").output();
    let Ended { status, errors, .. } = ended(recover.expect("ran"));
    assert_eq!(status, 0, "{errors}");
    let task = place.task("a");
    let receipt = task["compensations"][0]["receipt"].as_str().expect("a receipt");
    let asked = receipt.lines().find_map(|line| line.strip_prefix("output: ")).expect("an output");
    assert_eq!(
        json(asked),
        json(
            r#"{"key":"default/a/1/1","namespace":"default","task":"a","seq":1,"kind":"look","target":"x",
                "reason":"why","epoch":2,"tries":0,"saga_id":"s-1","labels":{"issue":"168"},"payload":{"n":1.50}}"#
        )
    );
    assert!(!receipt.contains("TENURE_OWNER="), "{receipt}");
}

#[test]
fn a_label_is_a_word_of_the_command_where_its_own_pattern_matches() {
    let place = Place::new();
    let settings = r#"
[undo.say]
run = ["echo", "saga={saga_id}", "issue={label.issue}"]
allow = "x"
allow_label.issue = "^[0-9]+$"
"#;
    place.owing("good", "--undo say=x --label issue=168");
    place.owing("bad", "--undo say=x --label issue=1;2");
    place.owing("without", "--undo say=x");
    let told = place.recovers(settings, "");
    let of = |id: &str| {
        let one = told.iter().find(|one| one["task"] == id).expect("it was recovered");
        (one["outcome"].as_str().expect("a word"), one["because"].as_str().unwrap_or_default())
    };
    assert_eq!(of("good").0, "compensated");
    let receipt = place.task("good")["compensations"][0]["receipt"].to_string();
    assert!(receipt.contains("saga=good issue=168"), "{receipt}");
    for (id, words) in [("bad", "the label issue"), ("without", "the task has no label issue")] {
        let (outcome, because) = of(id);
        assert_eq!((outcome, place.task(id)["cause"].as_str()), ("quarantined", Some("undo_unhandled")));
        assert!(because.contains(words), "{because}");
    }
}

#[test]
fn a_run_with_tries_now_hands_back_what_failed_for_the_next_run() {
    let place = Place::new();
    place.owing("a", &format!("--undo remove={}", place.target("missing")));
    let config = place.settings(&REMOVE.replace("10ms", "1m"));
    let told = place.done(&format!("recover --config {config} --tries-now 1"));
    let words = "a: handed back after 1 try, due again in 60s: remove failed: exited with 1";
    assert!(told.starts_with(words), "{told}");
    let task = place.task("a");
    assert_eq!((&task["state"], &task["compensations"][0]["tries"]), (&json("\"compensating\""), &json("1")));
    let Ended { status, errors, .. } = place.run("recover --watch --tries-now 1");
    assert!(status == 2 && errors.contains("cannot be used with"), "{errors}");
}

#[test]
fn a_run_that_is_interrupted_hands_back_and_notes_what_it_moved() {
    let place = Place::new();
    fs::write(place.target("one"), "").expect("written");
    place.owing("a", &format!("--undo remove={}", place.target("one")));
    place.owing("b", "--undo slow=x");
    let slow = "\n[undo.slow]\nrun = [\"sh\", \"-c\", \"touch FOLDER/began; sleep 60\"]\nallow = \"x\"\n";
    let config = place.settings(&format!("{REMOVE}{slow}"));
    let mut run = place.command(&format!("recover -o json --grace 100ms --config {config}"));
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    until("the undo of a", || place.task("a")["state"] == "compensated" && place.has("began"));
    signal(&run, Signal::INT);
    let Ended { status, out, errors } = ended(run.wait_with_output().expect("ends"));
    assert_eq!(status, 130, "{errors}");
    let told: Vec<Value> = out.lines().map(json).collect();
    let outcomes: Vec<&str> = told.iter().filter_map(|one| one["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["compensated", "handed_back"]);
    let b = place.task("b");
    assert_eq!(
        (b["lease"].is_null(), b["state"].as_str()),
        (true, Some("compensating")),
        "it is due at once"
    );
    let events: Vec<Value> = place.done("events -o json").lines().map(json).collect();
    let swept = || events.iter().filter(|one| one["type"] == "recovery_swept");
    let sum = |count: &str| swept().filter_map(|one| one["data"][count].as_u64()).sum::<u64>();
    assert_eq!((sum("compensated"), sum("handed_back"), sum("undone")), (1, 1, 1), "{events:?}");
}

#[test]
fn an_empty_label_makes_no_option_of_the_target_behind_it() {
    let place = Place::new();
    let settings = r#"
[undo.inject]
run = ["/usr/bin/printf", "{label.prefix}{target}"]
allow = "[a-z-]+"
allow_label.prefix = "[a-z]*"
"#;
    place.owing("bad", "--undo inject=--version --label prefix=");
    place.owing("good", "--undo inject=--version --label prefix=x");
    let told = place.recovers(settings, "");
    let of = |id: &str| told.iter().find(|one| one["task"] == id).expect("it was recovered");
    assert_eq!(of("bad")["outcome"].as_str(), Some("quarantined"));
    let because = of("bad")["because"].as_str().expect("words");
    assert!(because.contains("\"--version\" could be read as an option"), "{because}");
    assert_eq!(of("good")["outcome"].as_str(), Some("compensated"));
}

#[test]
fn a_loop_looks_after_what_becomes_stale_and_ends_in_order() {
    let place = Place::new();
    let mut watch = place.command(&format!("recover --watch -o json --config {}", place.settings(REMOVE)));
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    fs::write(place.target("one"), "").expect("written");
    place.done(&format!("task create --id a --ttl 1s --undo remove={}", place.target("one")));
    place.done("task acquire a --owner w1");
    until("its end", || place.task("a")["state"] == "compensated");
    signal(&watch, Signal::TERM);
    let Ended { status, out, errors } = ended(watch.wait_with_output().expect("ends"));
    assert_eq!(status, 0, "{errors}");
    assert_eq!(json(out.trim())["outcome"].as_str(), Some("compensated"));
    let counted = errors.lines().rev().find(|line| line.starts_with('{')).expect("the sum");
    assert_eq!(json(counted)["undone"], 1);
}

#[test]
fn it_recovers_every_namespace_unless_one_is_given() {
    let place = Place::new();
    for namespace in ["one", "two"] {
        place.done(&format!("task create --id a --namespace {namespace} --start-within 1s"));
    }
    until("both are late", || place.recovers("", "--plan").len() == 2);
    assert_eq!(place.recovers("", "--namespace two").len(), 1);
    let told = place.recovers("", "");
    assert_eq!((told.len(), told[0]["namespace"].as_str()), (1, Some("one")));
}

#[test]
fn a_process_that_still_works_under_a_lease_that_is_over_is_named() {
    let place = Place::new();
    place.done("task create --id a --ttl 1s");
    place.done("task acquire a --owner w1");
    let store = format!("sqlite:{}", place.file().display());
    let lease = [
        ("TENURE_TASK", "a"),
        ("TENURE_NAMESPACE", "default"),
        ("TENURE_STORE", store.as_str()),
        ("TENURE_EPOCH", "1"),
    ];
    let mut zombie = std::process::Command::new("sleep").arg("60").envs(lease).spawn().expect("a process");
    until("the lapse", || place.task("a")["stale"] == true);
    let Ended { status, errors, .. } = place.run("recover");
    zombie.kill().expect("killed");
    zombie.wait().expect("ended");
    assert_eq!(status, 0, "{errors}");
    let named = format!("process {} (sleep) on this machine still works on a under epoch 1", zombie.id());
    assert!(errors.contains(&named), "{errors}");
}

#[test]
fn settings_that_make_no_sense_are_told_with_their_place() {
    let place = Place::new();
    let wrong = [
        ("[undo.k]\nrun = [\"rm\", \"{target}\"]", "undo.k: `run` needs `allow`"),
        ("[undo.k]\nallow = \"x\"", "undo.k: needs `run`, a command, or `post`"),
        ("[undo.k]\nrun = [\"rm\"]\npost = \"http://x\"\nallow = \"x\"", "undo.k: has both `run` and `post`"),
        ("[undo.k]\nrun = [\"rm\"]\nallow = \"(\"", "undo.k"),
        ("[undo.k]\nrun = [\"{target}\"]\nallow = \"x\"", "undo.k"),
        ("[undo.k]\nrun = [\"rm\"]\nallow = \"x\"\ntimeout = \"soon\"", "undo.k: invalid: timeout"),
        ("[undo.k]\nrun = [\"rm\"]\nallow = \"x\"\ntries = 0", "undo.k: `tries`"),
        (
            "[undo.k]\nrun = [\"rm\", \"{label.a}\"]\nallow = \"x\"",
            "undo.k: `{label.a}` needs `allow_label.a`",
        ),
        ("[undo.k]\npost = \"http://x\"\nallow_label.a = \"x\"", "undo.k: `allow_label` is only for `run`"),
        ("[undo.k]\npost = \"http://x\"", "undo.k: `post` needs `secret_file`"),
        ("[undo.k]\nrun = [\"rm\"]\nallow = \"x\"\nshell = true", "unknown field `shell`"),
        ("[undo.none]\nrun = [\"rm\"]\nallow = \"x\"", "undo.none"),
    ];
    for (text, words) in wrong {
        let config = place.settings(text);
        let Ended { status, errors, .. } = place.run(&format!("recover --config {config}"));
        assert_eq!(status, 2, "{text}: {errors}");
        assert!(errors.contains(words) && errors.contains("settings.toml"), "{text}: {errors}");
    }
}
