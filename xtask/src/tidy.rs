//! `cargo xtask tidy`: the house rules that a program can check, on every file that is or may be committed.
//!
//! A rule is a pure function from a [`File`] to its findings, so its tests are a text that breaks it and one that
//! does not. It reads text, not syntax: rustfmt makes the text regular enough.

mod code;
mod scan;
mod tests_run;
mod text;

use std::collections::BTreeSet;
use std::path::Path;

use crate::run::{self, Result, Tally};

/// A file as rules see it.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    /// Its path in the repository.
    path: &'a str,
    text: &'a str,
    /// The paths of every file, and of every folder with a `/` at its end.
    known: &'a BTreeSet<String>,
}

impl File<'_> {
    /// What is wrong in that line, counted from 0.
    fn finding(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{}: {what}", self.path, line + 1)
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    fn is_named(&self, name: &str) -> bool {
        self.path.rsplit('/').next() == Some(name)
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether the folder is one of those that the file is in, at whatever depth.
    fn is_below(&self, folder: &str) -> bool {
        self.path.split('/').rev().skip(1).any(|part| part == folder)
    }
}

/// A rule of the house.
struct Rule {
    name: &'static str,
    check: fn(&File) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule { name: "files are short", check: code::long_files },
    Rule { name: "functions fit a screen", check: code::long_functions },
    Rule { name: "modules open with a sentence", check: code::modules_without_a_sentence },
    Rule { name: "clocks are read in clock.rs", check: code::clocks },
    Rule { name: "the core matches without wildcards", check: code::wildcard_arms },
    Rule { name: "nothing is unwrapped", check: code::unwraps },
    Rule { name: "tests are part of their program", check: tests_run::unlisted_tests },
    Rule { name: "tests don't sleep", check: tests_run::sleeping_tests },
    Rule { name: "what is left to do has a condition", check: text::unowned_tasks },
    Rule { name: "words and paths of a workplace stay out", check: text::workplace_words },
    Rule { name: "links lead somewhere", check: text::dead_links },
    Rule { name: "the map names what is there", check: text::absent_paths },
];

/// Checks every file against every rule, and prints what it finds.
pub(crate) fn run(root: &Path) -> Result<Tally> {
    let texts = texts(root)?;
    let known = with_folders(texts.iter().map(|(path, _)| path.as_str()));
    let mut tally = Tally::default();
    for rule in RULES {
        let files = texts.iter().map(|(path, text)| File { path, text, known: &known });
        let findings: Vec<String> = files.flat_map(|file| (rule.check)(&file)).collect();
        if findings.is_empty() {
            tally.passed += 1;
            continue;
        }
        tally.failed += 1;
        println!("broken: {}", rule.name);
        for finding in &findings {
            println!("{finding}");
        }
    }
    println!("tidy: {} files, {} rules, {} broken", texts.len(), RULES.len(), tally.failed);
    Ok(tally)
}

/// Path and text of every file that git tracks or would add. A file that is no text counts, with an empty one.
fn texts(root: &Path) -> Result<Vec<(String, String)>> {
    let listed = run::output(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut texts = Vec::new();
    for path in listed.split('\0').filter(|path| root.join(path).is_file()) {
        let bytes = std::fs::read(root.join(path)).map_err(|why| format!("{path}: {why}"))?;
        texts.push((path.to_owned(), String::from_utf8(bytes).unwrap_or_default()));
    }
    Ok(texts)
}

fn with_folders<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for path in paths {
        known.extend(path.match_indices('/').map(|(at, _)| path[..=at].to_owned()));
        known.insert(path.to_owned());
    }
    known
}

/// The findings of one rule on one file, for the tests of the rules.
#[cfg(test)]
fn findings(check: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    let known = with_folders(
        ["README.md", "docs/a.md", "docs/b.md", "crates/core/src/lifecycle.rs", path].into_iter(),
    );
    check(&File { path, text, known: &known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_known_by_the_slash_at_their_end() {
        let known = with_folders(["a/b/c.md"].into_iter());
        assert_eq!(known.iter().map(String::as_str).collect::<Vec<_>>(), ["a/", "a/b/", "a/b/c.md"]);
    }

    #[test]
    fn a_file_knows_where_it_is() {
        let known = BTreeSet::new();
        let file = File { path: "crates/core/src/clock.rs", text: "", known: &known };
        assert!(file.is_rust() && file.is_named("clock.rs") && file.is_below("src") && file.is_in("crates/"));
        assert!(!file.is_below("clock.rs") && !file.is_below("tests") && !file.is_markdown());
    }
}
