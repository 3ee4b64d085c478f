//! The command line on PostgreSQL: the same words, by URL alone, and by the database's clock.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use serde_json::Value;
use tenure::entropy::SystemEntropy;
use tenure_cli::io::{Io, Screen};
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};

/// What a command ended with.
struct Ran {
    status: u8,
    out: String,
    errors: String,
}

/// Runs a command, written as one would type it after `tenure`; no argument has a blank in it.
fn run(store: &str, words: &str) -> Ran {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let variables = [("TENURE_STORE", store), ("USER", "alice")];
    let variables: BTreeMap<String, OsString> =
        variables.map(|(name, value)| (name.to_owned(), value.into())).into();
    let world = Io {
        variables,
        screen: Screen::Plain,
        width: None,
        error_screen: Screen::Plain,
        input: &mut std::io::empty(),
        output: &mut out,
        errors: &mut errors,
        reader_is_gone: &|| false,
        clock: None,
        entropy: Arc::new(SystemEntropy),
    };
    let words = std::iter::once("tenure").chain(words.split(' ')).map(OsString::from);
    let status = tenure_cli::run(words, world);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { status, out: text(out), errors: text(errors) }
}

#[test]
fn a_life_from_the_command_line_is_the_same_on_postgresql() {
    let Some(server) = required(Server::shared()) else { return };
    let store = server.url(&server.fresh_schema());
    let done = |words: &str| {
        let Ran { status, out, errors } = run(&store, words);
        assert_eq!(status, 0, "`{words}`: {out}{errors}");
        out
    };
    let json = |words: &str| serde_json::from_str::<Value>(&done(&format!("{words} -o json"))).expect("JSON");
    done("task create --id build-42 --queue agents --label issue=168 --undo rm=/tmp/wt --max-attempts 3");
    let leased = json("task acquire build-42 --owner w1 --ttl 60s");
    assert_eq!(leased["task"]["lease"]["epoch"], 1);
    done("task heartbeat build-42 --owner w1 --epoch 1 --ttl 60s --progress {\"percent\":40}");
    done("task undo add build-42 --owner w1 --epoch 1 --kind close-pr --target 12 --reason opened");
    assert!(done("status").contains("running       1"));
    assert!(done("owners").contains("w1"));
    let late = run(&store, "task acquire build-42 --owner w2 -o json");
    let refusal: Value = serde_json::from_str(&late.out).expect("JSON");
    assert_eq!((late.status, refusal["refusal"]["code"].as_str()), (3, Some("leased")), "{}", late.errors);
    let ended = json("task complete build-42 --owner w1 --epoch 1 --result {\"pr\":12}");
    assert_eq!(ended["task"]["state"], "completed");
    let types: Vec<String> = done("events --task build-42 -o json")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an event")["type"].to_string())
        .collect();
    assert_eq!(types, ["\"created\"", "\"acquired\"", "\"registered\"", "\"completed\""]);
    assert!(done("audit verify").contains("verified: 1 task, 4 events"));
    assert_eq!(run(&store, "task show nope").status, 4);
}

#[test]
fn the_databases_clock_decides_and_not_this_machines() {
    let Some(server) = required(Server::shared()) else { return };
    let schema = server.fresh_schema();
    let store = server.url(&schema);
    assert_eq!(run(&store, "task create --id a").status, 0);
    block_on(async {
        let rival = CompetingConnection::of(server, &schema).await;
        let ahead = "select max(created_at) from tenure.tasks";
        let (created, now) =
            (rival.counts(ahead).await, "(extract(epoch from clock_timestamp()) * 1e6)::bigint");
        assert!((rival.counts(&format!("select {now}")).await - created).abs() < 60_000_000);
        // A task whose last change lies ahead of the clock, as after a failover: nothing happens to it earlier.
        rival.does("update tenure.tasks set updated_at = updated_at + 3600000000").await;
    });
    let leased = run(&store, "task acquire a --owner w -o json");
    let task: Value = serde_json::from_str(&leased.out).expect("JSON");
    let (created, started) = (task["task"]["created_at"].to_string(), task["task"]["started_at"].to_string());
    assert!(started > created && started[..14] != created[..14], "an hour later: {created} {started}");
}

#[test]
fn a_look_makes_no_schema_and_a_password_is_never_told() {
    let Some(server) = required(Server::shared()) else { return };
    let store = server.url(&server.fresh_schema()).replace("tester@", "tester:a-secret@");
    let looked = run(&store, "status -v");
    assert_eq!(looked.status, 5, "{}", looked.errors);
    assert!(looked.errors.contains("contains no store"), "{}", looked.errors);
    assert!(!looked.errors.contains("a-secret"), "{}", looked.errors);
    assert_eq!(run(&store, "task create --id a").status, 0);
    let looked = run(&store, "status -v");
    assert_eq!(looked.status, 0, "{}", looked.errors);
    assert!(looked.errors.contains("postgres://tester@"), "{}", looked.errors);
    assert!(!looked.errors.contains("a-secret"), "{}", looked.errors);
}

#[test]
fn a_database_is_measured_in_a_schema_that_is_dropped_again() {
    let Some(server) = required(Server::shared()) else { return };
    let schema = server.fresh_schema();
    let store = server.url(&schema);
    let Ran { status, out, errors } = run(&store, "bench --seconds 1 --callers 4 -o json");
    assert_eq!(status, 0, "{out}{errors}");
    let bench = &serde_json::from_str::<Value>(&out).expect("JSON")["bench"];
    let measured: Vec<_> =
        bench["measured"].as_array().expect("rows").iter().map(|row| &row["what"]).collect();
    assert_eq!(measured, ["round_trip", "command", "command", "heartbeat", "claim"]);
    let words = bench["advice"][0].as_str().expect("a sentence");
    assert!(words.contains("round trip to the database"), "{words}");
    let left = block_on(async {
        let database = CompetingConnection::of(server, &schema).await;
        database.counts("select count(*) from pg_namespace where nspname like 'tenure_bench_%'").await
    });
    assert_eq!(left, 0);
    assert_eq!(run(&store, "status").status, 5, "the store itself was not created");
}
