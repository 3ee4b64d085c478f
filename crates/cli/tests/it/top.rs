//! `tenure top` as its person sees it, at a terminal.

use rustix::process::Signal;
use serde_json::Value;

use crate::place::{Place, json, signal};
use crate::screen::Screen;
use crate::serving::Serving;
use crate::waiting::until;

const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
const DOWN: &str = "\x1b[B";
const SIZE: (u16, u16) = (40, 120);

/// A store with something in every list.
fn fleet() -> Place {
    let place = Place::new();
    place.done("task create --id flying --queue agents --label issue=168 --undo remove-worktree=/tmp/wt");
    place.done("task acquire flying --owner w1 --ttl 10m");
    place.done("task heartbeat flying --owner w1 --epoch 1 --ttl 10m --progress {\"percent\":40}");
    place.done("task create --id dead --queue agents --undo close-pr=12 --ttl 1s");
    place.done("task acquire dead --owner w2 --ttl 1s");
    place.done("task create --id parked --queue builds --undo close-pr=13");
    place.done("task acquire parked --owner w3 --ttl 60s");
    place.done("task quarantine parked --owner w3 --epoch 1 --reason no-key");
    place.done("task create --id nightly --queue nightly");
    place.done("task acquire nightly --owner cron --ttl 60s");
    place.done("task fail nightly --owner cron --epoch 1 --reason full --undo none=-");
    place.done("task create --id waiting --queue lonely");
    until("the lapse of a lease", || place.task("dead")["stale"] == Value::Bool(true));
    place
}

fn top(place: &Place, words: &str) -> Screen {
    Screen::of(place.command(&format!("top {words}")), SIZE)
}

#[test]
fn the_first_picture_says_what_needs_a_person_and_what_goes_on() {
    let place = fleet();
    let screen = top(&place, "");
    screen.shows(&[
        "STALE",
        "TRIAGE",
        "IN FLIGHT",
        "dead",
        "lapsed",
        "parked",
        "nightly",
        "flying",
        "{\"percent\":40}",
    ]);
    screen.shows(&[
        "read-only",
        "No recovery is running, and 1 task waits for it",
        "1 task is parked for a person",
        "2 (1 stale)",
        "Stale 1  Triage 2  In flight 1  Queues 2",
        "██████████ 9m",
        "2 did not succeed",
        "dead is running: the lease of w2 at epoch 1 lapsed",
    ]);
}

#[test]
fn a_parked_task_is_found_its_undo_is_seen_and_it_is_retried() {
    let place = fleet();
    let mut screen = top(&place, "--write --as bob");
    screen.shows(&["acting as bob", "> dead"]);
    screen.press("/parked");
    screen.press(ENTER);
    screen.shows(&["> parked", "only parked"]);
    screen.press(ENTER);
    screen.shows(&["owed     close-pr 13", "no-key", "epoch 1 work w3"]);
    screen.press("a");
    screen.shows(&["what may be done now", "1  Retry as a new task"]);
    screen.press("1");
    screen.shows(&["first undoes 1 compensation", "Waive of 1 owed"]);
    screen.press(&format!("7{ENTER}{ENTER}parked-again{ENTER}{ENTER}"));
    screen.shows(&["7 is not owed; owed are 1"]);
    screen.press(&format!("\x7f{ENTER}{ENTER}{ENTER}{ENTER}"));
    screen.shows(&["say why, in a few words"]);
    screen.press(&format!("the key is back{ENTER}"));
    screen.shows(&["parked-again  ↺ compensating", "This is the new task."]);
    let retried = place.task("parked-again");
    assert_eq!((&retried["retry_of"], &retried["owed"]), (&json("\"parked\""), &json("1")));
    let events = place.done("events --task parked -o json");
    let last = json(events.lines().last().expect("an event"));
    assert_eq!((&last["actor"], &last["data"]["reason"]), (&json("\"bob\""), &json("\"the key is back\"")));
}

#[test]
fn what_cannot_be_undone_needs_a_word_of_consent() {
    let place = fleet();
    let mut screen = top(&place, "--write");
    screen.shows(&["> dead"]);
    screen.press("/flying");
    screen.press(ENTER);
    screen.shows(&["> flying"]);
    screen.press("a");
    screen.shows(&["Cancel", "Park for a person"]);
    screen.press("1");
    screen.shows(&["is told to stop with its next heartbeat", "Type yes to do it"]);
    screen.press(&format!("not needed{ENTER}y{ENTER}"));
    screen.shows(&["nothing was done: type yes to do it"]);
    assert!(place.task("flying")["cancel"].is_null());
    screen.press(&format!("es{ENTER}"));
    screen.shows(&["flying: The cancel is recorded."]);
    assert_eq!(place.task("flying")["cancel"]["reason"], "not needed");
}

/// Opens a task, and the menu of what may be done with it.
fn menu_of(screen: &mut Screen, id: &str) {
    screen.shows(&["> dead"]);
    screen.press(&format!("/{id}"));
    screen.press(ENTER);
    screen.shows(&[&format!("> {id}")]);
    screen.press(ENTER);
    screen.shows(&["Compensations, in the order"]);
    screen.press("a");
    screen.shows(&["what may be done now"]);
}

#[test]
fn what_a_parked_task_owes_is_undone_alone_and_what_was_undone_by_hand_has_a_receipt() {
    let place = fleet();
    let mut screen = top(&place, "--write --as bob");
    menu_of(&mut screen, "parked");
    screen.shows(&["2  Undo only"]);
    screen.press("2");
    screen.shows(&["only undoes 1 compensation", "Undone by hand, with receipts"]);
    screen.press(&format!("{ENTER}7=closed{ENTER}not needed{ENTER}"));
    screen.shows(&["7 is not owed; owed are 1"]);
    screen.press(&format!("\x151=closed by hand{ENTER}{ENTER}"));
    screen.shows(&["This is the new task: it only undoes what is owed", "compensated"]);
    let parked = place.task("parked");
    let new = place.task(parked["retried_as"].as_str().expect("a new task"));
    assert_eq!((&new["state"], &new["cancel"]["by"]), (&json("\"compensated\""), &json("\"bob\"")));
    let last = place.done("events --task parked -o json").lines().last().map(json).expect("an event");
    assert_eq!(last["data"]["settled"][0]["receipt"], "closed by hand");
}

#[test]
fn a_compensation_is_settled_with_a_receipt_and_labels_are_changed_while_the_work_goes_on() {
    let place = fleet();
    let mut screen = top(&place, "--write --as bob");
    menu_of(&mut screen, "flying");
    screen.shows(&["Change labels", "Settle with a receipt 1: remove-worktree /tmp/wt"]);
    let entries = screen.text();
    let digit = |words: &str| {
        let line = entries.lines().find(|line| line.contains(words)).expect("its line");
        line.chars().find(char::is_ascii_digit).expect("its number").to_string()
    };
    screen.press(&digit("Settle with a receipt"));
    screen.shows(&["counts as undone by hand", "Reason (empty: the receipt)"]);
    screen.press(&format!("rm -r{ENTER}{ENTER}yes{ENTER}"));
    screen.shows(&["The receipt is recorded", "receipt: rm -r (by hand, bob)"]);
    screen.press("a");
    screen.shows(&["what may be done now"]);
    screen.press(&digit("Change labels"));
    screen.shows(&["Labels to set", "Labels to remove, of issue"]);
    screen.press(&format!("team{ENTER}issue{ENTER}{ENTER}"));
    screen.shows(&["expected KEY=VALUE, not `team`"]);
    screen.press(&format!("=core{ENTER}{ENTER}{ENTER}"));
    screen.shows(&["The labels are changed."]);
    assert_eq!(place.task("flying")["labels"], json("{\"team\":\"core\"}"));
}

#[test]
fn who_held_a_task_last_is_shown_and_looked_up() {
    let place = fleet();
    let mut screen = top(&place, "");
    screen.shows(&["> dead"]);
    screen.press(&format!("/last_owner:w3{ENTER}"));
    screen.shows(&["> parked", "only last_owner:w3"]);
    screen.press(ENTER);
    screen.shows(&["Last held by    w3 under epoch 1, from 20", "On failure"]);
}

#[test]
fn without_write_nothing_can_be_done() {
    let place = fleet();
    let mut screen = top(&place, "");
    screen.shows(&["> dead"]);
    screen.press("a");
    screen.shows(&["this only reads: start `tenure top --write` to act on tasks"]);
}

#[test]
fn the_store_is_asked_for_what_the_filter_names_and_a_wrong_filter_is_named() {
    let place = fleet();
    let mut screen = top(&place, "");
    screen.shows(&["> dead"]);
    screen.press("/label:issue");
    screen.press(ENTER);
    screen.shows(&["label: expected label:KEY=VALUE"]);
    screen.press(&format!("=168{ENTER}"));
    screen.shows(&["> flying", "only label:issue=168", "none that the filter lets through"]);
    screen.hides("nightly");
    // What needs a person is not filtered.
    screen.shows(&["1 task is parked for a person"]);
    screen.press(ESCAPE);
    screen.shows(&["nightly", "dead"]);
}

#[test]
fn lists_are_chosen_sorted_and_the_cursor_stays_on_its_task() {
    let place = fleet();
    let mut screen = top(&place, "");
    screen.shows(&["> dead"]);
    screen.press("\t\t");
    screen.shows(&["[Triage 2]", "> nightly"]);
    screen.press(DOWN);
    screen.shows(&["> parked"]);
    screen.press("sss");
    screen.shows(&["by attempts", "> parked"]);
    place.done("task note parked --dismiss seen");
    screen.shows(&["> nightly"]);
    screen.press("\t\t");
    screen.shows(&["[Queues 2]", "QUEUE", "lonely", "OLDEST DUE"]);
    screen.press("?");
    screen.shows(&["Shift-Tab", "act on the task, with --write"]);
    screen.press("x");
    screen.hides("Shift-Tab");
}

#[test]
fn what_happens_is_seen_soon() {
    let place = fleet();
    let screen = top(&place, "--every 200ms");
    screen.shows(&["> dead"]);
    place.done("task complete flying --owner w1 --epoch 1");
    screen.shows(&["1 completed", "In flight 0"]);
}

#[test]
fn the_terminal_is_given_back() {
    let place = fleet();
    for how in ["q", "\x03", "TERM"] {
        let mut screen = top(&place, "");
        screen.shows(&["> dead"]);
        assert!(screen.is_taken());
        match how {
            "TERM" => signal(&screen.process, Signal::TERM),
            keys => screen.press(keys),
        }
        let status = screen.ended();
        until("the screen of before", || !screen.is_taken());
        let expected = if how == "TERM" { 143 } else { 0 };
        assert_eq!(status.code(), Some(expected), "{how:?}");
    }
}

#[test]
fn a_server_that_goes_away_leaves_the_picture_and_is_said_to_be_away() {
    let place = fleet();
    let store = format!("sqlite:{}", place.file().display());
    let mut serving = Serving::on(&store, "127.0.0.1:0", &["--no-recovery"], &[]);
    let mut command = place.command("top");
    command.env("TENURE_STORE", format!("{}?patience=1s", serving.url));
    let screen = Screen::of(command, SIZE);
    screen.shows(&["> dead", "flying"]);
    serving.process.kill().expect("it ends");
    screen.shows(&["NOT CONNECTED: this is as of", "> dead", "flying"]);
}

#[test]
fn who_quits_while_an_action_is_carried_out_learns_what_became_of_it() {
    let place = fleet();
    let cancel = |screen: &mut Screen| {
        screen.shows(&["> dead"]);
        screen.press("/flying");
        screen.press(ENTER);
        screen.shows(&["> flying"]);
        screen.press("a");
        screen.shows(&["Cancel"]);
        screen.press("1");
        screen.shows(&["Type yes to do it"]);
        screen.press(&format!("not needed{ENTER}yes{ENTER}"));
        screen.shows(&["waiting for the store"]);
        screen.press("\x03");
        screen.shows(&["waiting for the answer…"]);
    };
    let turn = place.hold_the_turn();
    let mut screen = top(&place, "--write");
    cancel(&mut screen);
    screen.press("\x03");
    assert_eq!(screen.ended().code(), Some(6));
    screen.shows(&[
        "the cancel of flying was sent, and may or may not have happened",
        "`tenure task show flying`",
    ]);
    assert!(!screen.is_taken());
    let mut screen = top(&place, "--write");
    cancel(&mut screen);
    drop(turn);
    assert_eq!(screen.ended().code(), Some(0));
    screen.shows(&["note: flying: The cancel is recorded."]);
    assert_eq!(place.task("flying")["cancel"]["reason"], "not needed");
}

#[test]
fn a_token_that_may_not_act_is_known_before_anything_is_shown() {
    let place = fleet();
    let token = |role: &str| {
        let made = place.done(&format!("token create --name {role} --role {role} -o json"));
        json(&made)["token"].as_str().expect("a secret").to_owned()
    };
    let [reader, operator] = ["reader", "operator"].map(token);
    let store = format!("sqlite:{}", place.file().display());
    let serving = Serving::on(&store, "127.0.0.1:0", &["--no-recovery"], &[]);
    let with = |token: &str, words: &str| {
        let mut command = place.command(words);
        command.env("TENURE_STORE", &serving.url).env("TENURE_TOKEN", token);
        Screen::of(command, SIZE)
    };
    let mut screen = with(&reader, "top --write");
    assert_eq!(screen.ended().code(), Some(1));
    screen.shows(&["error: --write: ", "this token has the role reader"]);
    with(&reader, "top").shows(&["read-only", "> dead"]);
    with(&operator, "top --write").shows(&["acting as your token", "> dead"]);
}

#[test]
fn a_small_terminal_still_has_whole_ids_holders_and_times() {
    let place = fleet();
    let id = "agent-0197a3c2-5b1e-7c7d-9d54-2f4f1a";
    place.done(&format!("task create --id {id} --queue agents"));
    place.done(&format!("task acquire {id} --owner worker-17@build-3 --ttl 2h"));
    let screen = Screen::of(place.command("top"), (24, 80));
    screen.shows(&["In flight 2", id]);
    let text = screen.text();
    let row = text.lines().find(|line| line.contains(id)).expect("its row");
    assert!(row.contains("worker-17@build-3") && row.contains("█████ 2h"), "{text}");
    for whole in [
        "or `tenure serve` without --no-recovery",
        "! 1 task is parked for a person, the oldest for",
        "0 cancelled",
        "‖ quarantined",
        "lapsed",
        "HELD BY",
    ] {
        assert!(text.contains(whole), "{whole}:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn it_needs_a_terminal_and_sensible_options() {
    let place = fleet();
    let ended = place.run("top");
    assert_eq!(ended.status, 2, "{}", ended.errors);
    assert!(
        ended.errors.contains("tenure top needs a terminal; for scripts use `tenure status -o json`"),
        "{}",
        ended.errors
    );
    let ended = place.run("top --every 1ms");
    assert_eq!(
        (ended.status, ended.errors.contains("--every must be from 200ms to 1h")),
        (2, true),
        "{}",
        ended.errors
    );
    let mut small = Screen::of(place.command("top"), (8, 30));
    small.shows(&["tenure top needs 40"]);
    small.press("q");
    assert_eq!(small.ended().code(), Some(0));
}
