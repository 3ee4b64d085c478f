//! The rules about tests: each is compiled, and none sleeps where it could wait for an event.

use super::file::File;
use super::scan::{code_only, test_lines};

/// Polling lives in these; everything else asks them to wait until something holds.
const MAY_SLEEP: &str = "waiting.rs";
/// What a test double says beside its sleep: taking time is what it plays.
const PLAYED: &str = "played:";

/// A file in a folder of tests is part of their program only where a file above it says `mod`.
pub(super) fn unlisted_tests(file: &File) -> Vec<String> {
    if !file.is_rust() || !file.path.contains("/tests/it/") {
        return Vec::new();
    }
    let folder = match file.path.strip_suffix("main.rs") {
        Some(folder) => folder.to_owned(),
        None => format!("{}/", file.path.trim_end_matches(".rs")),
    };
    let beside = file.known.iter().filter_map(|path| path.strip_prefix(&folder)?.strip_suffix(".rs"));
    let modules = beside.filter(|name| *name != "main" && !name.contains('/'));
    let unlisted = modules.filter(|name| !file.text.lines().any(|line| line == format!("mod {name};")));
    unlisted.map(|name| file.finding(0, format!("`mod {name};` is missing: its tests don't run"))).collect()
}

/// How long something takes differs between machines; whether it has happened does not.
pub(super) fn sleeping_tests(file: &File) -> Vec<String> {
    if !file.is_rust() || file.is_named(MAY_SLEEP) || !file.is_in("crates/") {
        return Vec::new();
    }
    let are_all_tests = file.is_below("tests") || file.is_named("tests.rs") || file.is_in("crates/testkit/");
    let code = code_only(file.text);
    let code: Vec<&str> = code.lines().collect();
    let is_test = test_lines(&code);
    let lines: Vec<&str> = file.text.lines().collect();
    let says_why = |at: usize| lines[at.saturating_sub(1)..=at].iter().any(|line| line.contains(PLAYED));
    let sleeps = |line: &str| line.contains("sleep(") && !line.contains("fn ");
    let sleeping = (0..code.len()).filter(|at| (are_all_tests || is_test[*at]) && sleeps(code[*at]));
    let what = format!("sleeps: wait until something holds, in {MAY_SLEEP}; or say what is `{PLAYED}`");
    sleeping.filter(|at| !says_why(*at)).map(|at| file.finding(at, &what)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::{findings, with_folders};
    use super::*;

    #[test]
    fn a_test_file_that_nobody_names_is_found() {
        let known = with_folders(
            ["crates/a/tests/it/main.rs", "crates/a/tests/it/one.rs", "crates/a/tests/it/one/two.rs"]
                .into_iter(),
        );
        let file = |path, text| File { path, text, known: &known };
        assert_eq!(unlisted_tests(&file("crates/a/tests/it/main.rs", "mod one;\n")).len(), 0);
        assert_eq!(unlisted_tests(&file("crates/a/tests/it/main.rs", "mod other;\n")).len(), 1);
        assert_eq!(unlisted_tests(&file("crates/a/tests/it/one.rs", "mod two;\n")).len(), 0);
        assert_eq!(unlisted_tests(&file("crates/a/tests/it/one.rs", "// mod two;\n")).len(), 1);
    }

    #[test]
    fn a_test_that_sleeps_is_found() {
        let sleeps = "fn t() {\n    std::thread::sleep(LONG);\n}\n";
        for test in ["crates/a/tests/it/one.rs", "crates/a/src/one/tests.rs", "crates/testkit/src/a.rs"] {
            assert_eq!(findings(sleeping_tests, test, sleeps).len(), 1, "{test}");
        }
        let within = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{sleeps}}}\n");
        assert_eq!(findings(sleeping_tests, "crates/a/src/one.rs", &within).len(), 1);
    }

    #[test]
    fn products_waiting_and_what_is_played_may_sleep() {
        let sleeps = "fn t() {\n    std::thread::sleep(LONG);\n}\n";
        assert_eq!(findings(sleeping_tests, "crates/a/src/one.rs", sleeps).len(), 0);
        assert_eq!(findings(sleeping_tests, "crates/a/tests/it/waiting.rs", sleeps).len(), 0);
        let played = "fn t() {\n    // played: a slow disk\n    std::thread::sleep(LONG);\n}\n";
        assert_eq!(findings(sleeping_tests, "crates/a/tests/it/one.rs", played).len(), 0);
        let script = "const SCRIPT: &str = \"while :; do sleep(1); done\";\n";
        assert_eq!(findings(sleeping_tests, "crates/a/tests/it/one.rs", script).len(), 0);
    }
}
