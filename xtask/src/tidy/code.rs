//! The rules about Rust code: the length of files and functions, module docs, and functions that must not be called.

use super::File;
use super::scan::{block_end, code_only, is_of_a_name, test_lines};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Longer files say in their leading `//!` why they are longer.
pub(super) fn long_files(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let says_why = leading_doc(file.text).any(says_why_longer);
    if !file.is_rust() || lines <= FILE_LINES_MAX || says_why {
        return Vec::new();
    }
    let what = format!(
        "{lines} lines, and {FILE_LINES_MAX} is the limit: split it, or say in its `//!` why it is longer"
    );
    vec![file.finding(FILE_LINES_MAX, what)]
}

/// Longer functions say why in the comment above them. Tests may be as long as their story.
pub(super) fn long_functions(file: &File) -> Vec<String> {
    if !file.is_rust() || holds_tests_only(file) {
        return Vec::new();
    }
    let code = code_only(file.text);
    let code: Vec<&str> = code.lines().collect();
    let is_test = test_lines(&code);
    let mut findings = Vec::new();
    for (at, line) in code.iter().enumerate().filter(|(at, _)| !is_test[*at]) {
        let Some(name) = function_in(line) else { continue };
        let Some(end) = block_end(&code, at) else { continue };
        let lines = end - at + 1;
        if lines > FUNCTION_LINES_MAX && !comment_above(file.text, at).any(says_why_longer) {
            let what = format!("`{name}` is {lines} lines long, and {FUNCTION_LINES_MAX} is the limit");
            findings.push(file.finding(at, what));
        }
    }
    findings
}

/// What a module is for is said before anything else.
pub(super) fn modules_without_a_sentence(file: &File) -> Vec<String> {
    if !file.is_rust() || !is_source(file) || file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![file.finding(0, "does not open with `//!` and a sentence on what it is for")]
}

/// Time is told to everything but the one file that reads it.
pub(super) fn clocks(file: &File) -> Vec<String> {
    const CLOCKS: &[&str] = &["SystemTime::now", "Instant::now", "Timestamp::now", "clock_gettime"];
    let may =
        file.is_named("clock.rs") || is_tooling(file) || file.is_below("tests") || file.is_below("benches");
    if !file.is_rust() || may {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in code_only(file.text).lines().enumerate() {
        for clock in CLOCKS.iter().filter(|clock| line.contains(**clock)) {
            findings.push(file.finding(at, format!("`{clock}` outside clock.rs: be told the time")));
        }
    }
    findings
}

/// In the modules that decide, a new state, command or event must not fall into a default arm.
pub(super) fn wildcard_arms(file: &File) -> Vec<String> {
    const WITHOUT: &[&str] =
        &["crates/core/src/lifecycle.rs", "crates/core/src/decide.rs", "crates/core/src/apply.rs"];
    let is_below_the_table = file.is_in("crates/core/src/lifecycle/") && file.is_rust();
    if !is_below_the_table && !WITHOUT.contains(&file.path) {
        return Vec::new();
    }
    let code = code_only(file.text);
    let has_one = |line: &str| {
        line.match_indices("_ =>").any(|(at, _)| !line[..at].chars().next_back().is_some_and(is_of_a_name))
    };
    let lines = code.lines().enumerate().filter(|(_, line)| has_one(line));
    lines.map(|(at, _)| file.finding(at, "a `_ =>` arm: name what it stands for")).collect()
}

/// An error has a kind and a receiver. Tests fail by panicking, so they may unwrap.
pub(super) fn unwraps(file: &File) -> Vec<String> {
    let is_library = file.is_in("crates/") && is_source(file) && !is_tooling(file);
    if !file.is_rust() || !is_library || holds_tests_only(file) {
        return Vec::new();
    }
    let code = code_only(file.text);
    let code: Vec<&str> = code.lines().collect();
    let is_test = test_lines(&code);
    let mut findings = Vec::new();
    for (at, line) in code.iter().enumerate().filter(|(at, _)| !is_test[*at]) {
        for call in [".unwrap()", ".expect("].iter().filter(|call| line.contains(**call)) {
            findings.push(file.finding(at, format!("`{call}` outside tests: answer with an error")));
        }
    }
    findings
}

/// What a crate is made of, its tests, benches and examples aside.
fn is_source(file: &File) -> bool {
    let mut parts = file.path.split('/');
    match parts.next() {
        Some("crates") => parts.nth(1) == Some("src"),
        Some("xtask") => parts.next() == Some("src"),
        Some(_) | None => false,
    }
}

/// Crates that are never shipped.
fn is_tooling(file: &File) -> bool {
    file.is_in("xtask/") || file.is_in("crates/testkit/")
}

fn holds_tests_only(file: &File) -> bool {
    file.is_below("tests") || file.is_below("benches") || file.is_named("tests.rs")
}

fn leading_doc(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.starts_with("//!"))
}

fn comment_above(text: &str, at: usize) -> impl Iterator<Item = &str> {
    let above: Vec<&str> = text.lines().take(at).map(str::trim_start).collect();
    above.into_iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["))
}

fn says_why_longer(line: &str) -> bool {
    line.split(|character| !is_of_a_name(character)).any(|word| word == "longer")
}

/// The name of the function whose definition begins in that line of code.
fn function_in(line: &str) -> Option<&str> {
    let (at, _) = line.match_indices("fn ").find(|(at, _)| {
        let before = line[..*at].chars().next_back();
        !before.is_some_and(|before| is_of_a_name(before) || before == '#')
    })?;
    let name = &line[at + "fn ".len()..];
    let name = &name[..name.find(|character| !is_of_a_name(character)).unwrap_or(name.len())];
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;

    const SOURCE: &str = "crates/core/src/decide.rs";

    #[test]
    fn a_long_file_says_why() {
        let long = "\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(findings(long_files, SOURCE, &format!("//! A table.\n{long}")).len(), 1);
        assert_eq!(
            findings(long_files, SOURCE, &format!("//! Is longer, being one table.\n{long}")).len(),
            0
        );
        assert_eq!(findings(long_files, SOURCE, &"\n".repeat(FILE_LINES_MAX)).len(), 0);
        assert_eq!(findings(long_files, "docs/a.md", &long).len(), 0);
    }

    #[test]
    fn a_long_function_is_found_by_its_first_line() {
        let long = format!("\n/// Decides.\npub(crate) fn decide() {{\n{}}}\n", "    step();\n".repeat(69));
        let found = findings(long_functions, SOURCE, &long);
        assert_eq!(found, [format!("{SOURCE}:3: `decide` is 71 lines long, and 70 is the limit")]);
    }

    #[test]
    fn a_screen_a_reason_a_test_and_a_table_are_no_long_functions() {
        let body = "    step();\n".repeat(80);
        for fine in [
            format!("fn decide() {{\n{}}}\n", "    \"}}\";\n".repeat(68)),
            format!("/// Is longer, because it is one match.\n#[inline]\nfn decide() {{\n{body}}}\n"),
            format!("#[test]\nfn decides() {{\n{body}}}\n"),
            format!("#[cfg(test)]\nmod tests {{\nfn helps() {{\n{body}}}\n}}\n"),
            format!("static ROWS: &[fn(u8)] = &[\n{body}];\n"),
            format!("fn declared(at: [u8; 2]);\nstatic ROWS: &[Row] = {{\n{body}}};\n"),
        ] {
            assert_eq!(findings(long_functions, SOURCE, &fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn a_module_opens_with_a_sentence() {
        assert_eq!(findings(modules_without_a_sentence, SOURCE, "use std::fmt;\n").len(), 1);
        assert_eq!(findings(modules_without_a_sentence, "xtask/src/a.rs", "/// No.\n").len(), 1);
        assert_eq!(findings(modules_without_a_sentence, SOURCE, "//! Decides.\n").len(), 0);
        assert_eq!(findings(modules_without_a_sentence, "crates/core/tests/a.rs", "use a;\n").len(), 0);
    }

    #[test]
    fn only_the_clock_reads_the_clock() {
        let reads = "fn now() { std::time::SystemTime::now() }\n";
        assert_eq!(findings(clocks, SOURCE, reads).len(), 1);
        for clock in
            ["SystemTime::now()", "time::Instant::now()", "Timestamp::now()", "clock_gettime(Boottime)"]
        {
            assert_eq!(findings(clocks, "crates/tenure/examples/a.rs", clock).len(), 1, "{clock}");
        }
        assert_eq!(findings(clocks, SOURCE, "/// Never `Instant::now`.\nfn now() {}\n").len(), 0);
        for may in [
            "crates/tenure/src/clock.rs",
            "crates/tenure/tests/a.rs",
            "crates/testkit/src/a.rs",
            "xtask/src/a.rs",
        ] {
            assert_eq!(findings(clocks, may, reads).len(), 0, "{may}");
        }
    }

    #[test]
    fn the_core_names_every_arm() {
        let bad = "match state {\n    State::Planned => 1,\n    _ => 2,\n}\n";
        assert_eq!(
            findings(wildcard_arms, SOURCE, bad),
            [format!("{SOURCE}:3: a `_ =>` arm: name what it stands for")]
        );
        assert_eq!(findings(wildcard_arms, "crates/core/src/lifecycle/guard.rs", bad).len(), 1);
        assert_eq!(
            findings(wildcard_arms, SOURCE, "match (a, b) {\n    (_, _) => 1,\n    rest_ => 2,\n}\n").len(),
            0
        );
        assert_eq!(findings(wildcard_arms, "crates/core/src/id.rs", bad).len(), 0);
    }

    #[test]
    fn failures_are_answered_not_unwrapped() {
        assert_eq!(findings(unwraps, SOURCE, "fn a() { b().unwrap(); c().expect(\"d\") }\n").len(), 2);
        let fine = "/// `b().unwrap()`\nfn a() { b().unwrap_or(1) }\n#[cfg(test)]\nmod tests {\n    fn c() { b().unwrap() }\n}\n";
        assert_eq!(findings(unwraps, SOURCE, fine).len(), 0);
        for may in ["crates/testkit/src/a.rs", "crates/core/tests/a.rs", "crates/core/src/put/tests.rs"] {
            assert_eq!(findings(unwraps, may, "fn a() { b().unwrap() }\n").len(), 0, "{may}");
        }
    }
}
