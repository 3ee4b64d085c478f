//! The binary itself, in processes of its own: what the project began with, and what only processes show: pipes,
//! signals, two at once, and waiting for one another.

#![allow(clippy::expect_used, clippy::print_stderr)] // What surprises a test stops it; what was not run is said.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A folder with a store, and nothing of the environment of whoever runs the tests.
struct Place {
    folder: tempfile::TempDir,
}

/// What a process ended with.
struct Ended {
    status: i32,
    out: String,
    errors: String,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("tenure.db")
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.args(words.split(' ').filter(|word| !word.is_empty())).env_clear();
        command.env("TENURE_STORE", format!("sqlite:{}", self.file().display())).env("USER", "alice");
        command.env("PATH", std::env::var_os("PATH").expect("a PATH")).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &str) -> Ended {
        ended(self.command(words).output().expect("ran"))
    }

    /// A command that is to be done; what it printed.
    fn done(&self, words: &str) -> String {
        let Ended { status, out, errors } = self.run(words);
        assert_eq!(status, 0, "`{words}`: {out}{errors}");
        out
    }

    /// A command that is to be refused, with that code.
    fn refused(&self, words: &str, code: &str) -> Value {
        let before = self.dump();
        let Ended { status, out, errors } = self.run(&format!("{words} -o json"));
        let answer: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
        assert_eq!((status, answer["refusal"]["code"].as_str()), (3, Some(code)), "`{words}`: {out}{errors}");
        assert!(errors.contains(code), "people are told too: {errors}");
        assert_eq!(before, self.dump(), "`{words}` was refused and changed nothing");
        answer["refusal"].clone()
    }

    fn task(&self, id: &str) -> Value {
        json(&self.done(&format!("task show {id} -o json")))["task"].clone()
    }

    /// Everything that is stored, as text.
    fn dump(&self) -> String {
        let connection = rusqlite::Connection::open(self.file()).expect("opens");
        let tables = ["tasks", "due", "checkpoints", "compensations", "events"];
        let rows = tables.map(|table| {
            let mut statement = connection.prepare(&format!("select * from {table}")).expect("a table");
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..columns)
                    .map(|column| row.get::<_, rusqlite::types::Value>(column))
                    .collect::<Result<Vec<_>, _>>()
            });
            format!("{:?}", rows.expect("rows").collect::<Result<Vec<_>, _>>().expect("values"))
        });
        rows.join("\n")
    }
}

fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
    Ended { status, out: text(output.stdout), errors: text(output.stderr) }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until it is so. That it comes is the test; how fast is not.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}

// ---- what the project began with, from separate processes ------------------------------------------------------

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

/// Puts a record through standard input and says with which code it was refused.
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

// ---- what only processes show ------------------------------------------------------------------------------------

#[test]
fn a_closed_pipe_ends_quietly() {
    let place = Place::new();
    place.done("task create --id t");
    for words in ["events", "task list", "--help", "task show t -o json", "audit anchor", "man"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = ended(place.command(words).stdout(writer).output().expect("ran"));
        assert_eq!((ended.status, ended.errors.as_str()), (0, ""), "{words}");
    }
}

#[test]
fn a_closed_pipe_hides_no_failure() {
    let place = Place::new();
    place.done("task create --id t");
    rusqlite::Connection::open(place.file())
        .and_then(|file| {
            file.execute_batch("drop trigger events_do_not_change; update events set actor = 'm'")
        })
        .expect("changed");
    for (words, status) in [("audit verify", 1), ("task show nobody -o json", 4), ("task crate", 2)] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(
            ended(place.command(words).stdout(writer).output().expect("ran")).status,
            status,
            "{words}"
        );
    }
}

#[test]
fn an_answer_that_can_not_be_written_is_told_and_the_command_is_done() {
    if !Path::new("/dev/full").exists() {
        assert!(std::env::var_os("CI").is_none(), "not run: there is no /dev/full here");
        eprintln!("not run: there is no /dev/full here");
        return;
    }
    let place = Place::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("opens");
    let ended = ended(place.command("task create --id t").stdout(full).output().expect("ran"));
    assert_eq!(ended.status, 1);
    assert!(ended.errors.contains("what the command had to do was done"), "{}", ended.errors);
    assert_eq!(place.task("t")["state"], "planned");
}

#[test]
fn a_follower_sees_what_other_processes_do_as_it_happens() {
    let place = Place::new();
    place.done("task create --id before");
    let mut process =
        place.command("events --follow -o json").stdout(Stdio::piped()).spawn().expect("a process");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    let mut next = || json(&lines.next().expect("a line").expect("text"));
    assert_eq!(next()["task"], "before");
    place.done("task create --id t");
    place.done("task acquire t --owner w");
    assert_eq!(next()["type"], "created");
    let acquired = next();
    assert_eq!((&acquired["type"], &acquired["actor"]), (&"acquired".into(), &"w".into()));
    process.kill().expect("killed");
    process.wait().expect("its end");
    let rest = place.done(&format!("events --after {}", acquired["cursor"].as_str().expect("a cursor")));
    assert_eq!(rest, "");
}

#[test]
fn a_follower_ends_when_nobody_reads_any_more() {
    let place = Place::new();
    place.done("task create --id t");
    let mut process = place.command("events --follow").stdout(Stdio::piped()).spawn().expect("a process");
    let mut first = [0; 1];
    process.stdout.take().expect("its output").read_exact(&mut first).expect("the first event");
    until("its end", || process.try_wait().expect("looked").is_some());
    assert!(process.wait().expect("its end").success());
}

#[test]
fn a_wait_ends_when_another_process_ends_the_task() {
    let place = Place::new();
    place.done("task create --id t");
    place.done("task acquire t --owner w");
    let short = place.run("task wait t --timeout 100ms");
    assert_eq!(short.status, 1);
    assert!(short.errors.contains("waited for 100ms"), "{}", short.errors);
    let waiting = |words: &str| {
        place.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
    };
    let any = waiting("task wait t -o json");
    let other = waiting("task wait t --for failed --timeout 60s");
    place.done("task complete t --owner w --epoch 1");
    let any = ended(any.wait_with_output().expect("its end"));
    assert_eq!((any.status, &json(&any.out)["task"]["state"]), (0, &"completed".into()));
    let other = ended(other.wait_with_output().expect("its end"));
    assert_eq!(other.status, 1);
    assert!(other.errors.contains("ended as completed"), "{}", other.errors);
}

#[test]
fn a_claim_waits_for_work_and_gets_what_comes() {
    let place = Place::new();
    place.done("task create --id first --queue other");
    let mut command = place.command("task claim --queue q --owner w --wait 60s -o json");
    let waiting = command.stdout(Stdio::piped()).spawn().expect("a process");
    std::thread::sleep(Duration::from_millis(300));
    place.done("task create --id t --queue q");
    let claimed = ended(waiting.wait_with_output().expect("its end"));
    assert_eq!((claimed.status, &json(&claimed.out)["task"]["id"]), (0, &"t".into()));
    assert_eq!(place.run("task claim --queue q --owner w --wait 200ms").out, "");
}

#[test]
fn a_repeat_of_a_claim_that_waited_gets_the_same_tasks() {
    let place = Place::new();
    place.done("task create --id first");
    let words = "task claim --queue q --owner w --wait 60s --request-id r -o json";
    let waiting = place.command(words).stdout(Stdio::piped()).spawn().expect("a process");
    std::thread::sleep(Duration::from_millis(300));
    place.done("task create --id t --queue q");
    let first = ended(waiting.wait_with_output().expect("its end"));
    place.done("task create --id u --queue q");
    let again = place.run(words);
    assert_eq!(json(&first.out)["task"]["id"], "t");
    assert_eq!(json(&first.out)["task"]["lease"], json(&again.out)["task"]["lease"]);
}

#[test]
fn a_command_that_is_killed_has_happened_whole_or_not_at_all() {
    let place = Place::new();
    place.done("task create --id seed");
    for round in 0..30 {
        let words = format!("task create --id k{round} --undo a=x --undo b=y");
        let mut process = place.command(&words).stdout(Stdio::null()).spawn().expect("a process");
        std::thread::sleep(Duration::from_micros(500 * round));
        process.kill().expect("killed");
        process.wait().expect("its end");
        let shown = place.run(&format!("task show k{round} -o json"));
        if shown.status == 0 {
            assert_eq!(json(&shown.out)["task"]["compensations"].as_array().map(Vec::len), Some(2));
        } else {
            assert_eq!(shown.status, 4, "{}", shown.errors);
        }
    }
    assert!(place.done("audit verify").starts_with("holds"));
}

#[test]
fn the_demonstration_shows_what_it_says_and_leaves_nothing_behind() {
    let place = Place::new();
    let temporary = place.folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("made");
    let played = ended(place.command("demo").env("TMPDIR", &temporary).output().expect("ran"));
    assert_eq!(played.status, 0, "{}{}", played.out, played.errors);
    let shown = [
        "w1 ended: signal: 9",
        "✓ its lease lapsed",
        "✓ w2 took over at epoch 2",
        "refused: stale_epoch",
        "✓ the late one was refused, and changed nothing",
        "✓ the history holds",
    ];
    for words in shown {
        assert!(played.out.contains(words), "{words}: {}", played.out);
    }
    assert_eq!(std::fs::read_dir(&temporary).expect("read").count(), 0, "nothing is left behind");
    assert!(!place.file().exists(), "the reader's own store is not touched");
}

#[test]
fn an_interrupted_demonstration_stops_its_worker_and_cleans_up() {
    let place = Place::new();
    let temporary = place.folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("made");
    let mut command = place.command("demo");
    let mut process =
        command.env("TMPDIR", &temporary).stdout(Stdio::piped()).process_group(0).spawn().expect("a process");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    assert!(lines.any(|line| line.expect("text").contains("w1: ")), "the worker is at work");
    assert!(processes_with(&temporary).len() > 1, "and is seen: the demonstration itself, and its worker");
    let interrupted = Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("sent");
    assert!(interrupted.success());
    assert_eq!(process.wait().expect("its end").code(), Some(130));
    assert_eq!(std::fs::read_dir(&temporary).expect("read").count(), 0, "nothing is left behind");
    until("the worker's end", || processes_with(&temporary).is_empty());
}

/// The processes whose environment names that folder: the worker has it in the URL of its store.
fn processes_with(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.display().to_string();
    let all = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok).map(|entry| entry.path());
    all.filter(|process| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&folder)
    })
    .collect()
}

#[test]
fn what_a_package_installs_needs_no_place_for_a_record_and_makes_none() {
    let place = Place::new();
    let home = place.folder.path().join("home");
    std::fs::create_dir(&home).expect("made");
    for words in ["man", "man task acquire", "completions bash", "--help"] {
        for home in [home.as_path(), Path::new("/nonexistent")] {
            let mut command = place.command(words);
            command
                .env_remove("TENURE_STORE")
                .env("HOME", home)
                .env("TENURE_CONFIG", "/nonexistent/tenure.toml");
            let ended = ended(command.output().expect("ran"));
            assert_eq!((ended.status, ended.errors.as_str()), (0, ""), "{words}");
        }
    }
    let mut complete = place.command("");
    complete
        .args(["--", "tenure", "task", "show", ""])
        .env("TENURE_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "3");
    complete.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "false");
    assert!(complete.env_remove("TENURE_STORE").env("HOME", &home).status().expect("ran").success());
    assert_eq!(std::fs::read_dir(&home).expect("read").count(), 0, "nothing was made");
}

#[test]
fn two_commands_at_once_are_both_done() {
    let place = Place::new();
    place.done("task create --id first");
    let creators: Vec<Child> = (0..16)
        .map(|creator| {
            let mut command = place.command(&format!("task create --id c{creator}"));
            command.stdout(Stdio::null()).spawn().expect("a process")
        })
        .collect();
    for mut creator in creators {
        assert!(creator.wait().expect("its end").success());
    }
    assert_eq!(place.done("task list -q").lines().count(), 17);
}

#[test]
fn sixteen_commands_may_make_the_same_file_at_once() {
    let place = Place::new();
    let creators: Vec<Child> = (0..16)
        .map(|creator| {
            let mut command = place.command(&format!("task create --id c{creator}"));
            command.stdout(Stdio::null()).spawn().expect("a process")
        })
        .collect();
    for mut creator in creators {
        assert!(creator.wait().expect("its end").success());
    }
    assert_eq!(place.done("task list -q").lines().count(), 16);
}

#[test]
fn a_shell_is_told_the_ids_that_are_stored() {
    let place = Place::new();
    place.done("task create --id build-42 --queue agents");
    place.done("task create --id deploy-7");
    let complete = |words: &[&str], at: usize| {
        let mut command = place.command("");
        command.args(["--"]).args(words).env("TENURE_COMPLETE", "bash");
        command.env("_CLAP_COMPLETE_INDEX", at.to_string()).env("_CLAP_IFS", "\n");
        command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "false");
        ended(command.output().expect("ran")).out
    };
    assert_eq!(complete(&["tenure", "task", "show", "bu"], 3).trim(), "build-42");
    assert!(complete(&["tenure", "task", "claim", "--queue", ""], 4).contains("agents"));
    assert!(complete(&["tenure", "task", "list", "--state", "r"], 4).contains("running"));
}
