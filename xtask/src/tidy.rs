//! `cargo xtask tidy`: the house rules that a program can check, on every file that is or may be committed.
//!
//! What clippy can check is left to it, in `clippy.toml` and the workspace's lints. A rule is a pure function from a
//! [`File`], or from all of them, to its findings, so each is shown by a text that breaks it and one that does not. Most
//! read text, which rustfmt has made regular; what needs syntax is read by `syn` (`crates`).

mod code;
mod crates;
mod cycles;
mod file;
mod scan;
mod tests_run;
mod text;
mod types;
mod words;

use std::path::Path;

use crate::run::{self, Result, Tally};

use file::{File, with_folders};

/// A rule of the house.
struct Rule {
    name: &'static str,
    check: Check,
}

/// What a rule looks at.
enum Check {
    OfEach(fn(&File) -> Vec<String>),
    OfAll(fn(&[File]) -> Vec<String>),
}

use Check::{OfAll, OfEach};

const RULES: &[Rule] = &[
    Rule { name: "files are short", check: OfEach(code::long_files) },
    Rule { name: "modules open with a sentence", check: OfEach(code::modules_without_a_sentence) },
    Rule { name: "the core matches without wildcards", check: OfEach(code::wildcard_arms) },
    Rule { name: "tests are part of their program", check: OfEach(tests_run::unlisted_tests) },
    Rule { name: "tests don't sleep", check: OfEach(tests_run::sleeping_tests) },
    Rule { name: "what is left to do has a condition", check: OfEach(text::unowned_tasks) },
    Rule { name: "words and paths of a workplace stay out", check: OfEach(text::workplace_words) },
    Rule { name: "links lead somewhere", check: OfEach(text::dead_links) },
    Rule { name: "the map names what is there", check: OfEach(text::absent_paths) },
    Rule { name: "prose uses the usual words", check: OfEach(words::odd_words) },
    Rule { name: "types have names of their own", check: OfAll(types::twice_named_types) },
    Rule { name: "modules form no cycles", check: OfAll(cycles::cycles) },
];

/// Checks every file against every rule, and prints what it finds.
pub(crate) fn run(root: &Path) -> Result<Tally> {
    let texts = texts(root)?;
    let known = with_folders(texts.iter().map(|(path, _)| path.as_str()));
    let files: Vec<File> = texts.iter().map(|(path, text)| File { path, text, known: &known }).collect();
    let mut tally = Tally::default();
    for rule in RULES {
        let findings: Vec<String> = match rule.check {
            OfEach(check) => files.iter().flat_map(check).collect(),
            OfAll(check) => check(&files),
        };
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
