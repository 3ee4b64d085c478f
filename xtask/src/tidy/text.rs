//! The rules about words: notes of things left to do, words and paths of one workplace, and links.

use super::file::File;
use super::scan::is_of_a_name;

/// A note of something left to do says until when: the condition in parentheses, then a colon. Documents may speak of
/// such notes, and leave none.
pub(super) fn unowned_tasks(file: &File) -> Vec<String> {
    const NEVER: [&str; 2] = [concat!("FIX", "ME"), concat!("X", "XX")];
    const WITH_CONDITION: &str = concat!("TO", "DO");
    if file.is_markdown() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for note in NEVER.iter().filter(|note| words(line, note).next().is_some()) {
            findings.push(file.finding(at, format!("`{note}`: write `{WITH_CONDITION}(condition):`")));
        }
        if words(line, WITH_CONDITION).any(|after| !begins_with_condition(after)) {
            findings.push(file.finding(at, format!("write `{WITH_CONDITION}(condition):`")));
        }
    }
    findings
}

/// What a machine or a way of working is called says nothing to a reader elsewhere.
pub(super) fn workplace_words(file: &File) -> Vec<String> {
    const FOLDERS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    const WORDS: [&str; 2] = [concat!("pro", "mpt"), concat!("ses", "sion")];
    let has_prose = file.is_markdown() || file.is_rust() || file.path.ends_with(".toml");
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for folder in FOLDERS.iter().filter(|folder| begins_a_path(line, folder)) {
            findings.push(file.finding(at, format!("`{folder}` is a folder of one machine")));
        }
        let lower = line.to_ascii_lowercase();
        for word in WORDS.iter().filter(|word| has_prose && words(&lower, word).next().is_some()) {
            findings.push(file.finding(at, format!("`{word}` is not a word of this project")));
        }
    }
    findings
}

/// A link to a file of the repository leads to one.
pub(super) fn dead_links(file: &File) -> Vec<String> {
    if !file.is_markdown() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in prose_lines(file.text) {
        for target in link_targets(&line) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            if is_elsewhere(target) || path.is_empty() || is_known(file, &beside(file.path, path)) {
                continue;
            }
            findings.push(file.finding(at, format!("the link to `{target}` leads nowhere")));
        }
    }
    findings
}

/// A path that the map of the code names is there, from the root or from a crate's `src`.
pub(super) fn absent_paths(file: &File) -> Vec<String> {
    if file.path != "ARCHITECTURE.md" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let spans = line.split('`').skip(1).step_by(2);
        for path in spans.filter(|span| looks_like_a_path(span)) {
            let in_a_crate = file.known.iter().any(|known| is_below_a_source(known, path));
            if !is_known(file, path) && !in_a_crate {
                findings.push(file.finding(at, format!("there is no `{path}`")));
            }
        }
    }
    findings
}

/// What follows each time that the whole word stands in the line.
fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(word).filter_map(move |(at, _)| {
        let after = &line[at + word.len()..];
        let before = line[..at].chars().next_back();
        let is_whole = !before.is_some_and(is_of_a_name) && !after.chars().next().is_some_and(is_of_a_name);
        is_whole.then_some(after)
    })
}

fn begins_with_condition(after: &str) -> bool {
    let condition = after.strip_prefix('(').and_then(|after| after.split_once("):"));
    condition.is_some_and(|(condition, _)| !condition.trim().is_empty())
}

/// Whether the folder stands there as the beginning of a path, and not in the middle of another one.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| is_of_a_name(before) || matches!(before, '.' | '-' | '}' | '>'))
    })
}

/// The lines outside fenced blocks, with what stands in backticks left out.
fn prose_lines(text: &str) -> Vec<(usize, String)> {
    let mut is_fenced = false;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            lines.push((at, line.split('`').step_by(2).collect()));
        }
    }
    lines
}

/// Where the links of a line lead: `](target)`, `](target "title")` and `[name]: target`.
fn link_targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let is_definition = line.starts_with('[') && !line.starts_with("[^");
    let defined = is_definition.then(|| line.split_once("]: ")).flatten();
    let defined = defined.and_then(|(_, rest)| rest.split_whitespace().next());
    inline.chain(defined).map(|target| target.trim_start_matches('<').trim_end_matches('>')).collect()
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// The path in the repository of what a document calls `target`.
fn beside(document: &str, target: &str) -> String {
    let from_root = target.strip_prefix('/');
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = if from_root.is_some() { Vec::new() } else { folder.split('/').collect() };
    for part in from_root.unwrap_or(target).split('/') {
        match part {
            ".." if parts.pop().is_none_or(str::is_empty) => parts.push(".."),
            ".." | "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("/")
}

/// Whether that is a file, or a folder with or without a `/` at its end; the root is one, too.
fn is_known(file: &File, path: &str) -> bool {
    path.is_empty() || file.known.contains(path) || file.known.contains(&format!("{path}/"))
}

fn looks_like_a_path(span: &str) -> bool {
    let is_plain =
        span.chars().all(|character| is_of_a_name(character) || matches!(character, '/' | '.' | '-'));
    let ends_like_one = [".rs", ".md", ".toml", "/"].iter().any(|end| span.ends_with(end));
    is_plain && span.contains('/') && !span.starts_with('/') && ends_like_one
}

fn is_below_a_source(known: &str, path: &str) -> bool {
    let below = known.strip_prefix("crates/").and_then(|below| below.split_once("/src/"));
    below.is_some_and(|(crate_name, below)| !crate_name.contains('/') && below == path)
}

#[cfg(test)]
mod tests {
    use super::super::file::findings;
    use super::*;

    const SOURCE: &str = "crates/core/src/lifecycle.rs";

    #[test]
    fn what_is_left_to_do_has_a_condition() {
        let note = concat!("TO", "DO");
        for bad in [
            format!("// {note}: later"),
            format!("// {note}(): x"),
            concat!("FIX", "ME").into(),
            concat!("X", "XX").into(),
        ] {
            assert_eq!(findings(unowned_tasks, SOURCE, &bad).len(), 1, "{bad}");
        }
        for fine in [
            format!("// {note}(when SQLite has it): use it"),
            format!("mktemp.{}X", concat!("X", "XX")),
            "todo!".into(),
        ] {
            assert_eq!(findings(unowned_tasks, SOURCE, &fine).len(), 0, "{fine}");
        }
        assert_eq!(findings(unowned_tasks, "docs/a.md", &format!("No {note} without a condition.")).len(), 0);
    }

    #[test]
    fn words_of_a_workplace_stay_out() {
        let (folder, word) = (concat!("/wo", "rk/"), concat!("Ses", "sion"));
        assert_eq!(findings(workplace_words, ".ci/run", &format!("cd {folder}main")).len(), 1);
        assert_eq!(findings(workplace_words, SOURCE, &format!("// a {word}: no")).len(), 1);
        assert_eq!(
            findings(workplace_words, SOURCE, &format!("a{folder}b, ..{folder}b, {{root}}{folder}b")).len(),
            0
        );
        assert_eq!(findings(workplace_words, SOURCE, &format!("ob{}", word.to_lowercase())).len(), 0);
        assert_eq!(findings(workplace_words, "a.sql", &format!("set {word} x")).len(), 0);
    }

    #[test]
    fn a_link_leads_to_a_file() {
        for bad in
            ["[a](c.md)", "[a](../README)", "[a]: c.md", "[b](b.md) and [c](c.md#d)", "[a](../../README.md)"]
        {
            assert_eq!(findings(dead_links, "docs/a.md", bad).len(), 1, "{bad}");
        }
        for fine in [
            "[b](b.md), [b](./b.md#c), [r](../README.md \"title\"), [top](#top), [code](../crates/core/src/), [docs](.)",
            "[a]: ../crates/core/src/lifecycle.rs",
            "[root](/README.md), [web](https://example.org/c.md), [post](mailto:a@example.org)",
            "`[a](c.md)`\n```\n[a](c.md)\n```",
            "[^1]: a note",
        ] {
            assert_eq!(findings(dead_links, "docs/a.md", fine), [""; 0], "{fine}");
        }
        assert_eq!(findings(dead_links, SOURCE, "a[0](c.md)").len(), 0);
    }

    #[test]
    fn the_map_names_what_is_there() {
        let bad = "The table is `crates/core/src/table.rs`, `core/` and `lifecycle/guard.rs`.";
        assert_eq!(findings(absent_paths, "ARCHITECTURE.md", bad).len(), 3);
        let fine = "`crates/core/`, `crates/core/src/lifecycle.rs`, `docs/a.md`, `lifecycle.rs`, `GET /tasks/`, `/v1/`, `crates/*/src/`";
        assert_eq!(findings(absent_paths, "ARCHITECTURE.md", fine), [""; 0]);
        assert_eq!(findings(absent_paths, "README.md", bad).len(), 0);
    }

    #[test]
    fn a_path_below_a_crates_source_may_be_named_without_it() {
        assert!(is_below_a_source("crates/core/src/lifecycle/guard.rs", "lifecycle/guard.rs"));
        assert!(!is_below_a_source("crates/core/src/lifecycle/guard.rs", "guard.rs"));
        assert!(!is_below_a_source("crates/a/b/src/lifecycle/guard.rs", "lifecycle/guard.rs"));
    }
}
