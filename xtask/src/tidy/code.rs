//! The rules about Rust code that clippy has no lint for: how long a file is, how it opens, and arms that name nothing.

use super::file::File;
use super::scan::{code_only, is_of_a_name};

const FILE_LINES_MAX: usize = 600;

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

/// What a module is for is said before anything else.
pub(super) fn modules_without_a_sentence(file: &File) -> Vec<String> {
    if !file.is_rust() || !is_source(file) || file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![file.finding(0, "does not open with `//!` and a sentence on what it is for")]
}

/// Where the rules are decided a new state, command or event must not fall into an arm that nobody chose for it. Clippy's
/// `wildcard_enum_match_arm` finds such arms of an enum, but not of a pair of them.
pub(super) fn wildcard_arms(file: &File) -> Vec<String> {
    const WITHOUT: &[&str] = &["lifecycle.rs", "decide.rs", "apply.rs", "case.rs", "verb.rs"];
    let is_below_the_table = file.is_in("crates/core/src/lifecycle/") && file.is_rust();
    let is_one = file.path.strip_prefix("crates/core/src/").is_some_and(|name| WITHOUT.contains(&name));
    if !is_below_the_table && !is_one {
        return Vec::new();
    }
    let code = code_only(file.text);
    let has_one = |line: &str| {
        line.match_indices("_ =>").any(|(at, _)| !line[..at].chars().next_back().is_some_and(is_of_a_name))
    };
    let lines = code.lines().enumerate().filter(|(_, line)| has_one(line));
    lines.map(|(at, _)| file.finding(at, "a `_ =>` arm: name what it stands for")).collect()
}

/// What a crate is made of, its tests, benches and examples aside.
pub(super) fn is_source(file: &File) -> bool {
    let mut parts = file.path.split('/');
    match parts.next() {
        Some("crates") => parts.nth(1) == Some("src"),
        Some("xtask") => parts.next() == Some("src"),
        Some(_) | None => false,
    }
}

/// Crates that are never shipped.
pub(super) fn is_tooling(file: &File) -> bool {
    file.is_in("xtask/") || file.is_in("crates/testkit/")
}

pub(super) fn holds_tests_only(file: &File) -> bool {
    file.is_below("tests") || file.is_below("benches") || file.is_named("tests.rs")
}

fn leading_doc(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.starts_with("//!"))
}

fn says_why_longer(line: &str) -> bool {
    line.split(|character| !is_of_a_name(character)).any(|word| word == "longer")
}

#[cfg(test)]
mod tests {
    use super::super::file::findings;
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
    fn a_module_opens_with_a_sentence() {
        assert_eq!(findings(modules_without_a_sentence, SOURCE, "use std::fmt;\n").len(), 1);
        assert_eq!(findings(modules_without_a_sentence, "xtask/src/a.rs", "/// No.\n").len(), 1);
        assert_eq!(findings(modules_without_a_sentence, SOURCE, "//! Decides.\n").len(), 0);
        assert_eq!(findings(modules_without_a_sentence, "crates/core/tests/a.rs", "use a;\n").len(), 0);
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
}
