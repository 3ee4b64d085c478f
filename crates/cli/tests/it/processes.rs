//! Tests what needs real processes: pipes, signals, concurrent commands, waiting, and shell completion.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::place::{Place, ended, json};
use crate::waiting::until;

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
    // More than any buffer holds, so that the first failed write is not the last one.
    let long = "x".repeat(100_000);
    for nth in 0..3 {
        place.done(&format!("task create --id long-{nth} --payload [\"{long}\"]"));
    }
    place.done("task quarantine long-1 --reason look");
    for (words, status) in [
        ("audit verify", 1),
        ("audit verify -o json", 1),
        ("task wait long-1 --for completed -o json", 1),
        ("task show nobody -o json", 4),
        ("task crate", 2),
        ("demo", 1),
    ] {
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
    assert!(ended.errors.contains("the command itself was done"), "{}", ended.errors);
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
    assert!(short.errors.contains("t is still running after 100ms"), "{}", short.errors);
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
    assert!(other.errors.contains("t ended as completed, not as failed"), "{}", other.errors);
}

/// Starts a claim that waits on an empty queue. It returns after the claim has looked once, so that later writes come
/// after that.
fn finds_nothing_first(place: &Place, claim: &mut Command) -> Child {
    let turn = place.hold_the_turn();
    let waiting = claim.spawn().expect("a process");
    until("its first look", || place.somebody_is_next());
    drop(turn);
    waiting
}

#[test]
fn a_claim_waits_for_work_and_gets_what_comes() {
    let place = Place::new();
    place.done("task create --id first --queue other");
    let mut command = place.command("task claim --queue q --owner w --wait 60s -o json");
    let waiting = finds_nothing_first(&place, command.stdout(Stdio::piped()));
    place.done("task create --id t --queue q");
    let claimed = ended(waiting.wait_with_output().expect("its end"));
    assert_eq!((claimed.status, &json(&claimed.out)["id"]), (0, &"t".into()));
    assert_eq!(place.run("task claim --queue q --owner w --wait 200ms").out, "");
}

#[test]
fn a_repeat_of_a_claim_that_waited_gets_the_same_tasks() {
    let place = Place::new();
    place.done("task create --id first");
    let words = "task claim --queue q --owner w --wait 60s --request-id r -o json";
    let waiting = finds_nothing_first(&place, place.command(words).stdout(Stdio::piped()));
    place.done("task create --id t --queue q");
    let first = ended(waiting.wait_with_output().expect("its end"));
    place.done("task create --id u --queue q");
    let again = place.run(words);
    assert_eq!(json(&first.out)["id"], "t");
    assert_eq!(json(&first.out)["lease"], json(&again.out)["lease"]);
}

#[test]
fn a_command_that_is_killed_has_happened_whole_or_not_at_all() {
    let place = Place::new();
    place.done("task create --id seed");
    for round in 0..30 {
        let words = format!("task create --id k{round} --undo a=x --undo b=y");
        let mut process = place.command(&words).stdout(Stdio::null()).spawn().expect("a process");
        // played: a kill at another moment each time; the assertions hold at each of them.
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
    assert!(place.done("audit verify").starts_with("verified"));
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

/// Creates sixteen tasks at the same time, each in its own process.
fn create_sixteen_at_once(place: &Place) {
    let creators: Vec<Child> = (0..16)
        .map(|creator| {
            let mut command = place.command(&format!("task create --id c{creator}"));
            command.stdout(Stdio::null()).spawn().expect("a process")
        })
        .collect();
    for mut creator in creators {
        assert!(creator.wait().expect("its end").success());
    }
}

#[test]
fn sixteen_commands_at_once_are_all_done() {
    let place = Place::new();
    place.done("task create --id first");
    create_sixteen_at_once(&place);
    assert_eq!(place.done("task list -q").lines().count(), 17);
}

#[test]
fn sixteen_commands_may_make_the_same_file_at_once() {
    for _ in 0..10 {
        let place = Place::new();
        create_sixteen_at_once(&place);
        assert_eq!(place.done("task list -q").lines().count(), 16);
    }
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
    assert!(complete(&["tenure", "token", "create", "--role", "o"], 4).contains("operator"));
    place.done("token create --name build-bot --role worker");
    place.done("token create --name build-old --role worker");
    place.done("token revoke build-old");
    assert_eq!(complete(&["tenure", "token", "revoke", "bu"], 3).trim(), "build-bot");
}
