//! Tests `tenure run` with real commands in real processes: what happens to them and to their tasks.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, kill_process};

use crate::place::{Ended, Place, TENURE, ended, is_alive, json, pid, signal};
use crate::waiting::until;

impl Place {
    /// `tenure run` with a command of several words.
    fn running(&self, options: &str, command: &[&str]) -> Command {
        let mut run = self.command(&format!("run {options} --"));
        run.args(command).current_dir(self.folder.path());
        run
    }

    fn runs(&self, options: &str, command: &[&str]) -> Ended {
        ended(self.running(options, command).output().expect("ran"))
    }

    fn exists(&self, id: &str) -> bool {
        self.run(&format!("task show {id}")).status == 0
    }

    /// Waits as long as a lease lasts that is granted now.
    fn a_later_lease_lapses(&self, ttl: &str) {
        self.done(&format!("task create --id later --on-lapse hold --ttl {ttl}"));
        self.done("task acquire later --owner w9");
        until("the lapse of a later lease", || self.task("later")["stale"] == true);
    }
}

/// All descendants of a process, as far as they can be seen.
fn descendants(id: u32) -> Vec<u32> {
    let children = |id: u32| -> Vec<u32> {
        let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
        let texts =
            threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
        texts
            .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
            .collect()
    };
    let mut found = children(id);
    let mut at = 0;
    while at < found.len() {
        found.extend(children(found[at]));
        at += 1;
    }
    found
}

/// After a run no process of its command is left. The warden, the first of them, may be about to exit.
fn nobody_is_left(family: &[u32]) {
    let left: Vec<u32> = family[1..].iter().copied().filter(|id| is_alive(*id)).collect();
    assert!(left.is_empty(), "of {family:?} there are still {left:?}");
    until("the end of the warden", || !is_alive(family[0]));
}

/// A script that starts a grandchild that ignores SIGTERM, and a daemon in its own process group; each of the three keeps
/// writing lines to `ticks`.
const FAMILY: &str = r#"
( setsid sh -c 'while :; do echo daemon >> ticks; sleep 0.02; done' & )
sh -c 'trap "" TERM; while :; do echo grandchild >> ticks; sleep 0.02; done' &
while :; do echo command >> ticks; sleep 0.02; done
"#;

#[test]
fn a_command_is_run_with_its_own_input_output_and_status_and_its_task_is_done() {
    let place = Place::new();
    let mut run = place.running("--task a", &["sh", "-c", "cat; echo to errors >&2"]);
    let mut child =
        run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("an input").write_all(b"what goes in").expect("written");
    let Ended { status, out, errors } = ended(child.wait_with_output().expect("ends"));
    assert_eq!((status, out.as_str(), errors.as_str()), (0, "what goes in", "to errors\n"));
    let task = place.task("a");
    assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some("completed"), Some(1)));
    assert_eq!(place.runs("--task b", &["sh", "-c", "exit 3"]).status, 3);
    assert_eq!(place.runs("--task c", &["sh", "-c", "kill -9 $$"]).status, 137);
    assert_eq!(place.runs("--task d", &["no-such-command"]).status, 127);
    assert_eq!(place.runs("--task e", &["/etc/passwd"]).status, 126);
    for id in ["b", "c", "d", "e"] {
        assert_eq!(
            place.state(id),
            "compensated",
            "what ends badly is rolled back, and nothing is owed: {id}"
        );
    }
    let reason = place.task("b")["terminal_reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("status 3"), "{reason}");
}

#[test]
fn without_a_name_a_task_is_made_and_told_beside_the_output() {
    let place = Place::new();
    let Ended { status, out, errors } = place.runs("--queue q --label a=b", &["echo", "hello"]);
    assert_eq!((status, out.as_str()), (0, "hello\n"));
    let id = errors.trim().strip_prefix("note: task ").expect("its name").to_owned();
    let task = place.task(&id);
    assert_eq!((task["queue"].as_str(), task["labels"]["a"].as_str()), (Some("q"), Some("b")));
    let created = json(place.done(&format!("events --task {id} -o json")).lines().next().expect("an event"));
    assert_eq!(created["actor"].as_str(), Some("alice"), "whoever ran it created it");
}

#[test]
fn a_lease_that_is_not_to_be_had_is_75_and_can_be_waited_for() {
    let place = Place::new();
    place.done("task create --id a --on-lapse hold");
    place.done("task acquire a --owner w0");
    let refused = place.runs("--task a -o json", &["touch", "begun"]);
    assert_eq!(refused.status, 75, "{}", refused.errors);
    assert_eq!(json(&refused.out)["refusal"]["code"].as_str(), Some("leased"));
    assert!(!place.path("begun").exists(), "nothing was run");
    let waiting = place
        .running("--task a --wait 60s", &["touch", "begun"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    assert_eq!(place.runs("--task a --wait 300ms", &["true"]).status, 75, "it waits no longer than told");
    place.done("task release a --owner w0 --epoch 1 --reason enough");
    let Ended { status, errors, .. } = ended(waiting.wait_with_output().expect("ends"));
    assert_eq!(status, 0, "{errors}");
    assert!(place.path("begun").exists());
    assert_eq!(place.runs("--task a --wait 60s", &["true"]).status, 75, "what has ended is not waited for");
}

#[test]
fn it_never_takes_over_a_task_that_owes() {
    let place = Place::new();
    place.done("task create --id a --on-lapse hold --ttl 1s --max-attempts 2 --undo k=t");
    place.done("task acquire a --owner w0");
    until("the lapse", || place.task("a")["stale"] == true);
    let refused = place.runs("--task a -o json", &["touch", "begun"]);
    assert_eq!((refused.status, place.state("a").as_str()), (75, "running"), "{}", refused.errors);
    assert_eq!(json(&refused.out)["refusal"]["code"].as_str(), Some("compensation_owed"));
    assert_eq!(place.task("a")["epoch"], 1, "it was not even taken");
    place.done("task release a --owner w0 --epoch 1 --reason enough");
    assert_eq!(place.state("a"), "planned", "under hold a successor inherits what is owed");
    assert_eq!(
        place.runs("--task a", &["touch", "begun"]).status,
        75,
        "and this one does not answer for that"
    );
    assert!(!place.path("begun").exists());
}

#[test]
fn undo_on_the_command_line_is_owed_before_the_command_begins_whoever_created_the_task() {
    let place = Place::new();
    let look = ["sh", "-c", r#""$TENURE" task undo list -o json > owed"#];
    place.done("task create --id b --undo k=standing");
    for (id, expected) in [("a", vec!["said"]), ("b", vec!["said", "standing"])] {
        let mut run = place.running(&format!("--task {id} --undo k=said"), &look);
        let run = run.env("TENURE", TENURE).output().expect("ran");
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
        let owed = fs::read_to_string(place.path("owed")).expect("a list");
        let owed: Vec<String> = owed
            .lines()
            .map(json)
            .filter(|one| one["status"] == "owed")
            .map(|one| one["target"].as_str().expect("a target").to_owned())
            .collect();
        assert_eq!(owed, expected, "{id}, newest first");
    }
}

#[test]
fn a_command_acts_by_its_lease_with_nothing_but_its_environment_wherever_it_goes() {
    let place = Place::new();
    let script = r#"
        mkdir elsewhere && cd elsewhere
        "$TENURE" task undo add --kind remove --target /tmp/x --reason 'before the effect' || exit 10
        "$TENURE" task progress --progress '{"percent":40}' || exit 11
        "$TENURE" task show -o json > ../shown
        echo "$TENURE_NAMESPACE $TENURE_TASK $TENURE_OWNER $TENURE_EPOCH $TRACEPARENT"
    "#;
    let mut run = place.running("--task a --owner w1 --namespace room", &["sh", "-c", script]);
    run.env("TENURE_STORE", "sqlite:tenure.db").env("TENURE", TENURE);
    let Ended { status, out, errors } = ended(run.output().expect("ran"));
    assert_eq!(status, 0, "{errors}");
    let words: Vec<&str> = out.lines().last().expect("a line").split(' ').collect();
    assert_eq!(words[..4], ["room", "a", "w1", "1"]);
    assert_eq!(words[4].len(), 55, "a place in a trace: {}", words[4]);
    let shown = json(&fs::read_to_string(place.path("shown")).expect("shown"))["task"].clone();
    assert_eq!(shown["lease"]["progress"]["percent"], 40);
    assert_eq!(shown["compensations"][0]["status"], "owed");
}

/// Waits until a run says that its command ended the task, or until it exits because it took that for something else.
fn until_the_end_is_seen(place: &Place, run: &mut Child) {
    until("the end is seen", || {
        place.text("told").contains("ended its task itself") || run.try_wait().expect("a look").is_some()
    });
}

#[test]
fn a_command_may_end_its_task_itself_and_its_status_is_still_its_own() {
    let place = Place::new();
    let script = r#""$TENURE" task complete --result '{"pr":12}' || exit 9
        until [ -e go ]; do sleep 0.05; done; echo after; exit 4"#;
    let mut run = place.running("--task a --ttl 5s --grace 500ms", &["sh", "-c", script]);
    let run = run.env("TENURE", TENURE).stdout(Stdio::piped()).stderr(place.to_file("told"));
    let mut run = run.spawn().expect("runs");
    until_the_end_is_seen(&place, &mut run);
    // Nobody renews that lease any more: if the command still had a deadline, it would be killed when a later lease
    // lapses.
    place.a_later_lease_lapses("5s");
    place.write("go");
    let Ended { status, out, .. } = ended(run.wait_with_output().expect("ends"));
    let errors = place.text("told");
    assert_eq!(status, 4, "{errors}");
    assert!(out.contains("after"), "it was not stopped for having ended its own task: {out}{errors}");
    assert_eq!(place.task("a")["result"]["pr"], 12);
}

#[test]
fn a_note_by_somebody_else_does_not_make_that_end_a_loss() {
    let place = Place::new();
    let script = r#"touch began; until [ -e end ]; do sleep 0.05; done
        "$TENURE" task complete || exit 9
        touch done; until [ -e go ]; do sleep 0.05; done; exit 4"#;
    let mut run = place.running("--task a --ttl 15s --grace 1s", &["sh", "-c", script]);
    let run = run.env("TENURE", TENURE).stderr(place.to_file("told"));
    let mut run = run.spawn().expect("runs");
    until("it runs", || place.has("began"));
    // It is stopped, so that it reads the task only after a note follows the end.
    signal(&run, Signal::STOP);
    place.write("end");
    until("its end", || place.has("done"));
    place.done("task note a --as bob seen");
    signal(&run, Signal::CONT);
    until_the_end_is_seen(&place, &mut run);
    place.write("go");
    assert_eq!(run.wait().expect("ends").code(), Some(4), "{}", place.text("told"));
}

#[test]
fn a_command_that_gives_its_task_away_is_stopped_before_another_may_be_at_work() {
    let place = Place::new();
    let script = r#""$TENURE" task release --reason enough && touch given && trap 'exit 7' TERM
        while :; do sleep 0.05; done"#;
    let mut run = place.running("--task a --ttl 6s --max-attempts 3", &["sh", "-c", script]);
    let run = run.env("TENURE", TENURE).stderr(Stdio::piped()).spawn().expect("runs");
    until("the release", || place.path("given").exists());
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("ends"));
    assert_eq!((status, place.state("a").as_str()), (7, "planned"), "its status is its own: {errors}");
    assert!(errors.contains("gave up its lease itself"), "{errors}");
}

#[test]
fn what_is_ignored_stays_ignored_as_under_nohup() {
    let place = Place::new();
    let script = r#"trap "" HUP; exec "$TENURE" run --task a -- sh -c 'touch began; until [ -e go ]; do sleep 0.05; done'"#;
    let mut run = place.command("");
    let mut run = std::process::Command::new("sh")
        .args(["-c", script])
        .envs(run.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))))
        .env("TENURE", run.env("X", "").get_program())
        .current_dir(place.folder.path())
        .spawn()
        .expect("runs");
    until("it runs", || place.path("began").exists());
    signal(&run, Signal::HUP);
    place.write("go");
    assert_eq!(run.wait().expect("ends").code(), Some(0));
}

#[test]
fn whoever_reads_slowly_gets_all_of_it_and_does_not_keep_the_end_from_being_recorded() {
    let place = Place::new();
    let script =
        "i=0; while [ $i -lt 2200 ]; do echo line $i of many, more than one pipe holds >&2; i=$((i+1)); done";
    let mut run = place.running("--task a --keep-errors", &["sh", "-c", script]);
    let run = run.stderr(Stdio::piped()).spawn().expect("runs");
    until("its end is recorded", || place.exists("a") && place.state("a") == "completed");
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("ends"));
    assert_eq!((status, errors.lines().count()), (0, 2_200));
}

#[test]
fn a_status_means_what_the_options_say() {
    let place = Place::new();
    let mapped =
        "--on-status 3=complete --on-status 10-19=release --on-status 7=quarantine --on-failure fail";
    for (status, state) in [(3, "completed"), (12, "planned"), (7, "quarantined"), (9, "failed")] {
        let id = format!("t{status}");
        let ran = place.runs(&format!("--task {id} {mapped}"), &["sh", "-c", &format!("exit {status}")]);
        assert_eq!((ran.status, place.state(&id).as_str()), (status, state), "{}", ran.errors);
    }
    let wrong = place.runs("--task w --on-status 300=fail", &["true"]);
    assert_eq!(wrong.status, 2);
    assert!(wrong.errors.contains("300") && !place.exists("w"), "{}", wrong.errors);
}

#[test]
fn the_end_of_what_it_complained_about_is_kept_if_that_is_asked_for() {
    let place = Place::new();
    let ran = place.runs("--task a --keep-errors", &["sh", "-c", "echo no such repo >&2; exit 1"]);
    assert_eq!((ran.status, ran.errors.as_str()), (1, "no such repo\n"), "it is handed on");
    let reason = place.task("a")["terminal_reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("no such repo"), "{reason}");
}

#[test]
fn progress_comes_by_lines_on_an_open_file() {
    let place = Place::new();
    let script = r#"echo '{"percent":10}' >&7; echo 'half done' >&7
        until "$TENURE" task show -o json | grep -q 'half done'; do sleep 0.05; done"#;
    let mut run = place.running("--task a --progress-fd 7", &["sh", "-c", script]);
    let Ended { status, errors, .. } = ended(run.env("TENURE", TENURE).output().expect("ran"));
    assert_eq!(status, 0, "{errors}");
}

#[test]
fn a_signal_is_passed_on_and_the_task_is_rolled_back() {
    let place = Place::new();
    let script = "trap 'echo got it; exit 5' TERM; echo ready > ready; while :; do sleep 0.05; done";
    let child =
        place.running("--task a", &["sh", "-c", script]).stdout(Stdio::piped()).spawn().expect("runs");
    until("it runs", || place.path("ready").exists());
    signal(&child, Signal::TERM);
    let Ended { status, out, .. } = ended(child.wait_with_output().expect("ends"));
    assert_eq!((status, out.as_str(), place.state("a").as_str()), (5, "got it\n", "compensated"));
}

#[test]
fn a_task_that_is_asked_to_stop_has_its_command_stopped_and_is_rolled_back() {
    let place = Place::new();
    let child = place
        .running("--task a --ttl 2s --grace 1s --max-attempts 5", &["sh", "-c", FAMILY])
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    until("it works", || place.count("ticks") > 3);
    let family = descendants(child.id());
    place.done("task cancel a --reason enough");
    let Ended { status, errors, .. } = ended(child.wait_with_output().expect("ends"));
    assert!(status > 128, "it was ended by a signal: {status} {errors}");
    let task = place.task("a");
    assert_eq!((task["state"].as_str(), task["cause"].as_str()), (Some("compensated"), Some("cancelled")));
    nobody_is_left(&family);
}

#[test]
fn what_a_command_leaves_behind_is_ended_before_its_task_is() {
    let place = Place::new();
    let left = "( setsid sh -c 'echo $$ > daemon; while :; do sleep 0.02; done' & )
        until [ -s daemon ]; do sleep 0.02; done";
    let ran = place.runs("--task a --grace 1s", &["sh", "-c", left]);
    assert_eq!((ran.status, place.state("a").as_str()), (0, "completed"), "{}", ran.errors);
    assert!(ran.errors.contains("left behind"), "{}", ran.errors);
    assert!(!is_alive(place.process("daemon")), "nothing goes on");
}

#[test]
fn a_run_that_is_stopped_past_its_lease_does_not_let_its_command_work_on() {
    let place = Place::new();
    place.done("task create --id a --on-lapse hold --ttl 2s");
    let run = place
        .running("--task a --owner w1 --grace 500ms", &["sh", "-c", FAMILY])
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    until("it works", || place.count("ticks") > 3);
    let family = descendants(run.id());
    assert!(family.len() >= 4, "the warden, the command, a grandchild, a daemon: {family:?}");
    signal(&run, Signal::STOP);
    until("the lapse", || place.task("a")["stale"] == true);
    until("everybody's end, with nobody there to tell them", || !family.iter().any(|id| is_alive(*id)));
    let ticks = place.count("ticks");
    place.done("task acquire a --owner w2 --ttl 60s");
    signal(&run, Signal::CONT);
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("ends"));
    assert_eq!(status, 79, "{errors}");
    assert_eq!(place.count("ticks"), ticks, "and nothing began again");
    let late = place.refused("task complete a --owner w1 --epoch 1", "stale_epoch");
    assert_eq!(late["held_by"]["owner"].as_str(), Some("w2"), "{late}");
}

#[test]
fn when_all_of_it_was_stopped_past_its_lease_it_is_dead_before_it_does_more() {
    let place = Place::new();
    place.done("task create --id a --on-lapse hold --ttl 2s");
    let run = place
        .running("--task a --owner w1 --grace 500ms", &["sh", "-c", FAMILY])
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    until("it works", || place.count("ticks") > 3);
    let mut everybody = vec![run.id()];
    everybody.extend(descendants(run.id()));
    for id in &everybody {
        let _ = kill_process(pid(*id), Signal::STOP);
    }
    until("the lapse", || place.task("a")["stale"] == true);
    place.done("task acquire a --owner w2 --ttl 60s");
    let before = place.count("ticks");
    // The command first, so that it has every chance to continue before it is stopped.
    for id in everybody.iter().rev() {
        let _ = kill_process(pid(*id), Signal::CONT);
    }
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("ends"));
    assert_eq!(status, 79, "{errors}");
    nobody_is_left(&everybody[1..]);
    let more = place.count("ticks") - before;
    // Three processes write fifty lines a second: a margin of half a second would be seventy-five lines.
    assert!(more < 75, "{more} lines after it went on");
    place.refused("task complete a --owner w1 --epoch 1", "stale_epoch");
}

#[test]
fn a_run_that_is_killed_takes_everything_with_it() {
    let place = Place::new();
    let run = place.running("--task a --ttl 60s --grace 500ms", &["sh", "-c", FAMILY]).spawn().expect("runs");
    until("it works", || place.count("ticks") > 3);
    let family = descendants(run.id());
    let mut run = run;
    run.kill().expect("killed");
    run.wait().expect("ended");
    until("everybody's end", || !family.iter().any(|id| is_alive(*id)));
}

#[test]
fn a_run_that_is_killed_together_with_its_warden_leaves_nobody_that_is_not_found() {
    let place = Place::new();
    let mut run = place.running("--task a --ttl 1s", &["sh", "-c", FAMILY]).spawn().expect("runs");
    until("it works", || place.count("ticks") > 3);
    let family = descendants(run.id());
    let [warden, command] = [family[0], family[1]];
    kill_process(pid(warden), Signal::KILL).expect("killed");
    run.kill().expect("killed");
    run.wait().expect("ended");
    until("the command's end", || !is_alive(command));
    let left: Vec<u32> = family[2..].iter().copied().filter(|id| is_alive(*id)).collect();
    let cgroup = |id: &u32| fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
    if left.iter().all(|id| cgroup(id).contains("/tenure-")) {
        assert_eq!(place.runs("--task b", &["true"]).status, 0);
    } else {
        until("the lapse", || place.task("a")["stale"] == true);
        let Ended { errors, .. } = place.run("recover");
        let is_named = |id: &u32| errors.contains(&format!("process {id} ")) && errors.contains("epoch 1");
        assert!(left.iter().any(is_named), "{left:?}: {errors}");
        for id in &left {
            let _ = kill_process(pid(*id), Signal::KILL);
        }
    }
    until("everybody's end", || !left.iter().any(|id| is_alive(*id)));
}

#[test]
fn one_that_is_held_by_a_worker_who_lives_is_said_to_be_leased_although_it_owes() {
    let place = Place::new();
    place.done("task create --id a --undo k=t");
    place.done("task acquire a --owner w0");
    let refused = place.runs("--task a -o json", &["true"]);
    assert_eq!((refused.status, json(&refused.out)["refusal"]["code"].as_str()), (75, Some("leased")));
}

#[test]
fn an_end_that_can_not_be_recorded_is_tried_and_then_told_with_the_command_that_does_it() {
    let place = Place::new();
    let run = place
        .running(
            "--task a --owner w1 --record-timeout 1s",
            &["sh", "-c", "echo > begun; until [ -e go ]; do sleep 0.05; done"],
        )
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    until("it runs", || place.path("begun").exists());
    let away = place.hold_the_turn();
    place.write("go");
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("ends"));
    assert_eq!(status, 6, "{errors}");
    drop(away);
    let by_hand =
        errors.lines().find_map(|line| line.trim().strip_prefix("→ tenure ")).expect("a command").to_owned();
    assert!(by_hand.starts_with("task complete a --owner w1 --epoch 1 --store sqlite:/"), "{by_hand}");
    place.done(&by_hand);
    assert_eq!(place.state("a"), "completed");
}

#[test]
fn an_end_is_recorded_although_the_store_was_away_for_a_while() {
    let place = Place::new();
    let run = place
        .running(
            "--task a --owner w1 --ttl 60s",
            &["sh", "-c", "echo > begun; until [ -e go ]; do sleep 0.05; done; echo > ended"],
        )
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    until("it runs", || place.path("begun").exists());
    let away = place.hold_the_turn();
    place.write("go");
    until("the command's end", || place.has("ended"));
    until("its end is to be recorded", || place.somebody_is_next());
    drop(away);
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("ends"));
    assert_eq!((status, place.state("a").as_str()), (0, "completed"), "{errors}");
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_created() {
    let place = Place::new();
    for (options, word) in [
        ("--task a --progress-fd 1", "--progress-fd"),
        ("--task a --grace nonsense", "grace"),
        ("--task a --on-failure explode", "explode"),
        ("--task a --store memory:", "memory:"),
        ("--task a --ttl 100ms", "ttl"),
    ] {
        let Ended { status, errors, .. } = place.runs(options, &["touch", "begun"]);
        assert!(matches!(status, 2 | 3) && errors.contains(word), "{options}: {status} {errors}");
        assert!(!place.path("begun").exists() && !place.exists("a"), "{options}");
    }
    assert_eq!(place.run("run --task a").status, 2, "a command is needed");
}

#[test]
fn a_task_that_was_completed_before_is_told_from_one_that_is_busy() {
    let place = Place::new();
    let run = |options: &str| place.runs(&format!("--task t {options}"), &["touch", "did"]);
    assert_eq!(run("").status, 0);
    std::fs::remove_file(place.folder.path().join("did")).expect("it ran");
    let Ended { status, errors, .. } = run("");
    assert_eq!(status, 75, "{errors}");
    assert!(errors.contains("t is already completed, so the command was not run"), "{errors}");
    let Ended { status, errors, .. } = run("--if-completed ok");
    assert_eq!((status, place.has("did")), (0, false), "{errors}");
    assert!(errors.contains("t is already completed"), "{errors}");
    place.done("task create --id busy");
    place.done("task acquire busy --owner w1");
    let busy = place.runs("--task busy --if-completed ok", &["touch", "did"]);
    let Ended { status, errors, .. } = busy;
    assert_eq!((status, place.has("did")), (75, false), "{errors}");
    assert!(errors.contains("the task is already leased"), "{errors}");
    place.done("task create --id parked");
    place.done("task quarantine parked --as alice --reason odd");
    let parked = place.runs("--task parked --if-completed ok", &["touch", "did"]);
    assert_eq!(parked.status, 75, "it did not end well");
}
