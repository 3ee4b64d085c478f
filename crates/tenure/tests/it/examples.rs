//! The examples run and print what they promise.
use std::path::PathBuf;
use std::process::Command;

/// Cargo builds the examples beside the tests.
fn shown_by(example: &str) -> String {
    let tests: PathBuf = std::env::current_exe().expect("this test's own path");
    let folder =
        tests.parent().and_then(|deps| deps.parent()).expect("the folder of the build").join("examples");
    let ran = Command::new(folder.join(example)).output();
    let ran = ran.unwrap_or_else(|error| {
        panic!("{example}: {error}; `cargo test -p tenure` builds the examples first")
    });
    assert!(ran.status.success(), "{example}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn a_first_lease() {
    let shown = shown_by("first_lease");
    assert!(shown.contains("build-42 is held by host/1/agent-3 at epoch 1"), "{shown}");
    assert!(shown.contains("build-42 is completed"), "{shown}");
}

#[test]
fn a_takeover() {
    let shown = shown_by("takeover");
    assert!(shown.contains("w2 is refused: leased"), "{shown}");
    assert!(shown.contains(r#"w2 took over at epoch 2 and goes on from {"page":17}"#), "{shown}");
    assert!(shown.contains("w1 comes too late: refused: stale_epoch"), "{shown}");
}

#[test]
fn an_undo() {
    let shown = shown_by("undo");
    let newest_first = shown.find("undoing close-pr 12") < shown.find("undoing remove-worktree /tmp/wt-42");
    assert!(newest_first && shown.contains("is planned again after 1 attempt"), "{shown}");
    assert!(shown.contains("recovery handled 1 task, and has 2 receipts"), "{shown}");
    assert!(shown.contains("the history verifies"), "{shown}");
}

#[test]
fn a_worker() {
    let shown = shown_by("worker");
    assert!(shown.contains("w1 built here under epoch 1"), "{shown}");
    assert!(shown.contains("of 2 tasks 1 completed and 1 failed"), "{shown}");
    assert!(shown.contains("build-42 is completed") && shown.contains("build-43 is failed"), "{shown}");
}
