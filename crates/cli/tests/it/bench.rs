//! Tests `tenure bench`: it measures beside the store, leaves nothing behind, and says what the figures mean.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::place::{Ended, Place, ended, json, signal};
use crate::serving::Serving;
use crate::waiting::until;

/// What a measurement says of what, for how many callers.
fn rows(bench: &Value) -> Vec<(String, u64)> {
    let row = |row: &Value| {
        assert!(row["count"].as_u64().is_some_and(|count| count > 0), "{row}");
        assert!(row["slow_us"].as_u64() >= row["median_us"].as_u64(), "{row}");
        (row["what"].as_str().expect("a word").to_owned(), row["callers"].as_u64().expect("a number"))
    };
    bench["measured"].as_array().expect("rows").iter().map(row).collect()
}

fn files(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.folder.path()).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_disk_is_measured_beside_the_store_and_nothing_stays() {
    let place = Place::new();
    let bench = json(&place.done("bench --seconds 1 --callers 4 -o json"))["bench"].clone();
    let expected = [("sync", 1), ("command", 1), ("command", 4), ("heartbeat", 4), ("claim", 1)];
    assert_eq!(rows(&bench), expected.map(|(what, callers)| (what.to_owned(), callers)));
    let advice = bench["advice"].as_array().expect("sentences");
    assert!(advice[0].as_str().is_some_and(|sentence| sentence.starts_with("The disk ")), "{advice:?}");
    assert_eq!(advice.len(), 3, "{advice:?}");
    assert_eq!(files(&place), [""; 0], "not even the store was created");

    place.done("task create --id a");
    let before = files(&place).len();
    let shown = place.done("bench --seconds 1 --callers 2");
    for words in
        ["MEASURED", "sync of 4 KiB to the disk", "commands, 2 callers", "The disk ", " tasks an hour"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(files(&place).len(), before);
    assert_eq!(place.done("-q task list"), "a\n", "it measured elsewhere");
}

#[test]
fn an_interrupted_bench_leaves_nothing_either() {
    let place = Place::new();
    let mut command = place.command("bench --seconds 60");
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    until("it measures", || !files(&place).is_empty());
    signal(&running, Signal::INT);
    let Ended { status, errors, .. } = ended(running.wait_with_output().expect("it ends"));
    assert_eq!(status, 130, "{errors}");
    assert_eq!(files(&place), [""; 0]);
}

#[test]
fn on_a_server_only_reads_are_measured_unless_it_is_told_to_write() {
    let place = Place::new();
    let serving = Serving::start(place.folder.path(), &["--no-recovery"]);
    let on_server = |words: &str| {
        let mut command = place.command(words);
        ended(command.env("TENURE_STORE", &serving.url).output().expect("ran"))
    };
    let Ended { status, out, errors } = on_server("bench --seconds 1 -o json");
    assert_eq!(status, 0, "{errors}");
    assert_eq!(rows(&json(&out)["bench"]), [("round_trip".to_owned(), 1)]);
    assert!(errors.contains("give --write"), "{errors}");
    assert_eq!(on_server("-q task list").out, "", "nothing was created");

    let Ended { status, out, errors } =
        on_server("bench --seconds 1 --callers 2 --write -o json --namespace bench");
    assert_eq!(status, 0, "{errors}");
    assert_eq!(rows(&json(&out)["bench"]).len(), 5);
    assert_eq!(on_server("-q task list --open --namespace bench").out, "", "what it created has ended");
    assert_ne!(on_server("-q task list --limit 3 --namespace bench").out, "");
}

#[test]
fn what_can_not_be_measured_is_said() {
    let place = Place::new();
    let Ended { status, errors, .. } = place.run("bench --store sqlite:/nowhere/at/all.db");
    assert_eq!(status, 1, "{errors}");
    assert!(errors.contains("can't create a directory in /nowhere/at"), "{errors}");
    let Ended { status, errors, .. } = place.run("bench --seconds 0");
    assert_eq!(status, 2, "{errors}");
    let Ended { errors, .. } = place.run("bench --store memory: --seconds 1 --write");
    assert!(errors.contains("--write is only for servers"), "{errors}");
}
