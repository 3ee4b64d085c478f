//! Tests `tenure worker`: it runs a command for each task of a queue, and stops gracefully.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::place::{Ended, Place, TENURE, ended, json, signal};
use crate::waiting::until;

impl Place {
    fn working(&self, options: &str, script: &str) -> Command {
        let mut worker = self.command(&format!("worker {options} --"));
        worker.args(["sh", "-c", script]).current_dir(self.folder.path());
        worker.env("TENURE", TENURE).stdout(Stdio::piped()).stderr(Stdio::piped());
        worker
    }

    fn states(&self) -> Vec<String> {
        let tasks = self.done("task list -o json");
        let mut states: Vec<String> = tasks
            .lines()
            .map(|line| {
                let task = json(line);
                format!(
                    "{} {}",
                    task["id"].as_str().expect("an id"),
                    task["state"].as_str().expect("a state")
                )
            })
            .collect();
        states.sort();
        states
    }
}

#[test]
fn each_task_of_the_queue_has_its_command_with_its_payload_to_read_and_ends_by_its_status() {
    let place = Place::new();
    for (id, status) in [("a", 0), ("b", 3), ("c", 0)] {
        place.done(&format!("task create --id {id} --queue q --payload {{\"status\":{status}}}"));
    }
    place.done("task create --id other --queue elsewhere");
    let script = r#"read payload; echo "$TENURE_TASK got $payload"; echo complaint >&2
        exit $(echo "$payload" | tr -dc 0-9)"#;
    let worker = place.working("--queue q -c 2 --until-idle", script).output().expect("ran");
    let Ended { status, out, errors } = ended(worker);
    assert_eq!(status, 0, "{errors}");
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [r#"a got {"status":0}"#, r#"b got {"status":3}"#, r#"c got {"status":0}"#]);
    assert_eq!(place.states(), ["a completed", "b compensated", "c completed", "other planned"]);
    let reason = place.task("b")["terminal_reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("status 3") && reason.contains("complaint"), "{reason}");
    assert!(errors.contains("claimed 3 tasks: 2 completed, 1 rolled back"), "{errors}");
}

#[test]
fn a_command_that_is_not_there_ends_no_task() {
    let place = Place::new();
    place.done("task create --id a --queue q");
    for program in ["./bulid.sh", "no-such-program-anywhere", "./"] {
        let Ended { status, errors, .. } = place.run(&format!("worker --queue q --until-idle -- {program}"));
        assert_eq!(status, 2, "{errors}");
        assert!(
            errors.contains(program.trim_end_matches('/')) && errors.contains("program not found"),
            "{errors}"
        );
        assert_eq!(place.states(), ["a planned"]);
    }
    let told = place.run("worker --queue q --until-idle -- true");
    assert_eq!((told.status, place.states()), (0, vec!["a completed".to_owned()]), "{}", told.errors);
}

#[test]
fn who_looks_for_work_in_a_store_that_is_not_there_is_told() {
    let place = Place::new();
    for command in ["worker --queue q --until-idle -- true", "recover"] {
        let made = place.run(command);
        assert_eq!(made.status, 0, "{}", made.errors);
        let file = place.file();
        assert!(
            made.errors.contains("there was no store at") && made.errors.contains("tenure.db"),
            "{}",
            made.errors
        );
        fs::remove_file(file).expect("it was made");
    }
    for command in
        ["worker --queue q --until-idle -- true", "worker --queue q -- true", "recover", "recover --watch"]
    {
        // Nobody listens on that port.
        let told = place.run(&format!("--store http://127.0.0.1:9 {command}"));
        assert_eq!(told.status, 5, "{command}: {}", told.errors);
        assert!(told.errors.contains("127.0.0.1:9"), "{command}: {}", told.errors);
    }
}

#[test]
fn a_command_may_end_its_task_itself_whatever_its_status() {
    let place = Place::new();
    place.done("task create --id a");
    let script = r#""$TENURE" task complete --result 7; exit 3"#;
    let Ended { status, errors, .. } =
        ended(place.working("--queue default --until-idle", script).output().expect("ran"));
    assert_eq!((status, place.states()), (0, vec!["a completed".to_owned()]), "{errors}");
    assert!(errors.contains("1 completed") && !errors.contains("rollback"), "{errors}");
}

#[test]
fn it_does_no_more_at_once_than_it_was_told() {
    let place = Place::new();
    let ids: Vec<String> = (0..6).map(|nth| format!("t{nth}")).collect();
    for id in &ids {
        place.done(&format!("task create --id {id}"));
    }
    let script = r#"mkdir "at-$TENURE_TASK"; set -- at-*; echo $# >> together
        until [ -e "go-$TENURE_TASK" ]; do sleep 0.05; done; rmdir "at-$TENURE_TASK""#;
    let worker = place.working("--queue default -c 2 --until-idle", script).spawn().expect("runs");
    let is_at_work = |id: &&String| place.has(&format!("at-{id}")) && !place.has(&format!("go-{id}"));
    for _ in 0..3 {
        until("two are at work", || ids.iter().filter(is_at_work).count() >= 2);
        let states = place.states();
        let running = states.iter().filter(|state| state.ends_with(" running")).count();
        assert_eq!(running, 2, "the others are left where they are: {states:?}");
        ids.iter().filter(is_at_work).for_each(|id| place.write(&format!("go-{id}")));
    }
    assert_eq!(ended(worker.wait_with_output().expect("ends")).status, 0);
    let together = place.text("together");
    let most = together.lines().map(|line| line.parse::<u32>().expect("a number")).max();
    assert_eq!((together.lines().count(), most), (6, Some(2)), "all of them, two at once");
}

#[test]
fn it_waits_for_work_and_takes_it_as_it_comes() {
    let place = Place::new();
    let worker = place.working("--queue q", r#"touch "did-$TENURE_TASK""#).spawn().expect("runs");
    for id in ["a", "b"] {
        place.done(&format!("task create --id {id} --queue q"));
        until("its end", || place.has(&format!("did-{id}")) && place.task(id)["state"] == "completed");
    }
    signal(&worker, Signal::TERM);
    let Ended { status, errors, .. } = ended(worker.wait_with_output().expect("ends"));
    assert_eq!(status, 0, "{errors}");
}

#[test]
fn told_to_stop_it_claims_no_more_lets_what_runs_end_and_gives_back_the_rest() {
    let place = Place::new();
    for id in ["quick", "slow"] {
        place.done(&format!("task create --id {id} --max-attempts 3"));
    }
    // The quick one ends when the test lets it; the slow one never does.
    let script = r#"touch "began-$TENURE_TASK"
        if [ "$TENURE_TASK" = quick ]; then until [ -e go ]; do sleep 0.05; done; exit 0; fi
        while :; do sleep 0.05; done"#;
    // The quick one needs part of a second to end; what still runs after the drain is released.
    let mut worker = place.working("--queue default -c 2 --drain 5s --grace 1s", script);
    let mut worker = worker.stderr(place.to_file("told")).spawn().expect("runs");
    until("both run", || place.has("began-quick") && place.has("began-slow"));
    signal(&worker, Signal::TERM);
    until("it has heard that", || place.text("told").contains("no more claims"));
    place.done("task create --id late");
    place.write("go");
    let status = worker.wait().expect("ends").code();
    let errors = place.text("told");
    assert_eq!(status, Some(0), "{errors}");
    assert_eq!(place.states(), ["late planned", "quick completed", "slow planned"], "{errors}");
    assert_eq!(place.task("slow")["attempts"], 0, "what is given back does not count");
}

#[test]
fn told_twice_it_stops_what_runs_at_once() {
    let place = Place::new();
    place.done("task create --id a --max-attempts 3");
    let script = "touch began; while :; do sleep 0.05; done";
    let mut worker = place.working("--queue default --drain 1h --grace 1s", script).spawn().expect("runs");
    until("it runs", || place.has("began"));
    // Two signals at the same time count as one, so they are sent until it has ended.
    until("its end", || {
        let has_ended = worker.try_wait().expect("a look").is_some();
        if !has_ended {
            signal(&worker, Signal::INT);
        }
        has_ended
    });
    let Ended { status, errors, .. } = ended(worker.wait_with_output().expect("ends"));
    assert_eq!((status, place.states()), (0, vec!["a planned".to_owned()]), "{errors}");
}

#[test]
fn a_worker_that_is_killed_leaves_what_recovery_undoes_and_another_does_again() {
    let place = Place::new();
    place.done("task create --id a --queue q --ttl 1s --max-attempts 2");
    let folder = place.folder.path().display().to_string();
    let script = r#""$TENURE" task undo add --kind rmdir --target "$PWD/made" --reason before || exit 9
        mkdir made || exit 8
        [ "$TENURE_EPOCH" = 1 ] && while :; do echo >> ticks; sleep 0.02; done
        exit 0"#;
    let mut first = place.working("--queue q --owner first", script).spawn().expect("runs");
    until("it works", || place.has("ticks"));
    first.kill().expect("killed");
    first.wait().expect("ended");
    until("the lapse", || place.task("a")["stale"] == true);
    let settings =
        format!("[undo.rmdir]\nrun = [\"rmdir\", \"--\", \"{{target}}\"]\nallow = \"{folder}/[a-z]+\"\n");
    fs::write(place.folder.path().join("tenure.toml"), settings).expect("written");
    let config = place.folder.path().join("tenure.toml").display().to_string();
    let told = place.done(&format!("recover --config {config}"));
    assert!(told.contains("undid rmdir") && told.contains("planned again"), "{told}");
    assert!(!place.has("made"), "what it made is gone");
    until("the backoff's end", || {
        let second = place.working("--queue q --owner second --until-idle", script).output().expect("ran");
        assert_eq!(ended(second).status, 0);
        place.task("a")["state"] == "completed"
    });
    assert!(place.has("made"));
    let task = place.task("a");
    assert_eq!((task["attempts"].as_u64(), task["epoch"].as_u64()), (Some(2), Some(3)));
}

#[test]
fn what_its_commands_print_is_handed_on_while_they_run() {
    let place = Place::new();
    place.done("task create --id t");
    // It also ends by itself, so that a failure of this test does not wait for ever.
    let script =
        "echo out; echo error >&2; for _ in $(seq 600); do [ -e go-on ] && break; sleep 0.1; done; echo end";
    let mut worker = place.working("--queue default --until-idle", script).spawn().expect("a process");
    let mut lines = BufReader::new(worker.stdout.take().expect("its output")).lines();
    let mut errors = BufReader::new(worker.stderr.take().expect("its errors")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "out");
    assert_eq!(errors.next().expect("a line").expect("text"), "error");
    assert!(worker.try_wait().expect("looked").is_none(), "it still runs");
    place.write("go-on");
    assert_eq!(lines.next().expect("a line").expect("text"), "end");
    assert!(worker.wait().expect("its end").success());
}

#[test]
fn a_worker_names_the_queue_that_it_works_for() {
    let place = Place::new();
    let Ended { status, errors, .. } = ended(place.working("--until-idle", "true").output().expect("ran"));
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("--queue <QUEUE>"), "{errors}");
}

#[test]
fn what_run_made_is_nothing_for_a_worker_with_a_command_of_its_own() {
    let place = Place::new();
    let ran = place.command("run --task build-42 --max-attempts 2 -- false").output().expect("ran");
    assert_eq!(ended(ran).status, 1);
    let task = place.task("build-42");
    assert_eq!((task["state"].as_str(), task["queue"].as_str()), (Some("planned"), Some("run")));
    let worker = place.working("--queue default --until-idle", "touch did").output().expect("ran");
    assert_eq!(ended(worker).status, 0);
    assert!(!place.has("did"), "it is another command's task");
    place.done("task create --id in-the-other --queue default");
    let worker = place.working("--queue default --until-idle", "touch did").output().expect("ran");
    assert_eq!((ended(worker).status, place.has("did")), (0, true));
}

#[test]
fn its_own_lines_say_when_and_of_which_task_and_epoch() {
    let place = Place::new();
    place.done("task create --id build-42 --queue q");
    let worker = place.working("--queue q --until-idle", "exit 3").output().expect("ran");
    let Ended { errors, .. } = ended(worker);
    let line = errors.lines().find(|line| line.contains("rollback")).unwrap_or_else(|| panic!("{errors}"));
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words[0], words[2], words[3], words[4]), ("note:", "build-42", "epoch", "1:"), "{line}");
    assert!(words[1].ends_with('Z') && words[1].contains('T'), "with the time: {line}");
}

#[test]
fn what_commands_write_can_be_told_apart() {
    let place = Place::new();
    for id in ["a", "b"] {
        place.done(&format!("task create --id {id} --queue q"));
    }
    let script = "echo one; echo two; echo oops >&2; printf end";
    let worker = place.working("--queue q --until-idle -c 2 --output prefix", script).output().expect("ran");
    let Ended { out, errors, .. } = ended(worker);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    let expected = ["a epoch 1 | end", "a epoch 1 | one", "a epoch 1 | two"];
    assert_eq!(lines[..3], expected, "{out}");
    assert!(errors.contains("b epoch 1 | oops\n"), "{errors}");

    place.done("task create --id c --queue q");
    let worker =
        place.working("--queue q --until-idle --output files=logs/jobs", script).output().expect("ran");
    let Ended { status, out, errors } = ended(worker);
    assert_eq!((status, out.as_str()), (0, ""), "{errors}");
    assert_eq!(place.text("logs/jobs/c.1.out"), "one\ntwo\nend");
    assert_eq!(place.text("logs/jobs/c.1.err"), "oops\n");

    place.done("task create --id d --queue q");
    let worker =
        place.working("--queue q --until-idle --output files=/dev/null/x", script).output().expect("ran");
    let Ended { errors, .. } = ended(worker);
    assert!(errors.contains("the command's output can't be written"), "{errors}");
    assert_eq!(place.task("d")["state"], "completed", "its end is what counts");
}
