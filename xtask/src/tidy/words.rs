//! The rule about odd words: there is a usual one for each. It reads documents, comments, the texts of programs, and the whole of
//! stories, settings, alerts and scripts.

use super::code::{holds_tests_only, is_source, is_tooling};
use super::file::File;
use super::scan::{Prose, code_only, prose, test_lines};

/// What is not written, and what to write instead.
const AVOIDED: &[(&str, &str)] = &[
    ("whoever", "say who: the caller, a client, the user"),
    ("what is none", "say what it is, or that it is invalid"),
    ("that is none", "say what it is, or that it is invalid"),
    ("so many", "give the number, or say `at most`, `as many as`"),
    ("goes by", "say who does what"),
    ("go by", "say who does what"),
    ("went by", "say who does what"),
    ("to be had", "say what is missing"),
    ("is to be", "say who does it, or `must be`"),
    ("are to be", "say who does it, or `must be`"),
    ("was to be", "say who does it, or `must be`"),
    ("were to be", "say who does it, or `must be`"),
    ("is looked after", "say who does what: recovery undoes it"),
    ("are looked after", "say who does what: recovery undoes it"),
    ("was looked after", "say who does what: recovery undoes it"),
    ("nobody was shown", "say what happened to it"),
    ("what answers", "say the server, the endpoint"),
    ("set and says nothing", "say `but empty`"),
];

/// Files that are read as they are. Migrations are not among them: they are released, and never change.
const READ_WHOLE: [&str; 9] = ["story", "toml", "yaml", "json", "sh", "py", "ts", "service", "socket"];
/// Those that have no extension.
const READ_TOO: [&str; 2] = ["Dockerfile", "run"];

/// Prose uses the usual words.
pub(super) fn odd_words(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, text) in prose_of(file) {
        let words = words(line, &text);
        for (avoided, instead) in AVOIDED {
            for at in found(avoided, &words) {
                findings.push(file.finding(at, format!("`{avoided}`: {instead}")));
            }
        }
    }
    findings
}

/// What people read in a file, each piece with the line in which it begins. In tests and tools, literals are not prose.
fn prose_of(file: &File) -> Vec<(usize, String)> {
    if file.is_markdown() {
        return vec![(0, without_fences(file.text))];
    }
    if !file.is_rust() {
        let is_read = file.extension().is_some_and(|extension| READ_WHOLE.contains(&extension))
            || READ_TOO.iter().any(|name| file.is_named(name));
        return if is_read { vec![(0, file.text.to_owned())] } else { Vec::new() };
    }
    let code = code_only(file.text);
    let is_test = test_lines(&code.lines().collect::<Vec<_>>());
    let has_texts = is_source(file) && !is_tooling(file) && !holds_tests_only(file);
    let is_read = |line: usize| has_texts && !is_test.get(line).copied().unwrap_or(false);
    let pieces = prose(file.text).into_iter();
    let read = pieces.filter(|(kind, line, _)| *kind == Prose::Comment || is_read(*line));
    read.map(|(_, line, text)| (line, text)).collect()
}

fn without_fences(text: &str) -> String {
    let mut is_fenced = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        kept.push_str(if is_fenced || is_fence { "" } else { line });
        kept.push('\n');
    }
    kept
}

struct Word {
    line: usize,
    lower: String,
    /// Whether a sign stands between it and the next one.
    ends: bool,
}

/// The words of a piece that begins in that line. What stands in backticks is a name, and ends what is before it.
fn words(mut line: usize, text: &str) -> Vec<Word> {
    let (mut words, mut is_name) = (Vec::<Word>::new(), false);
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if !is_name && (character.is_alphanumeric() || character == '\'') {
            word.extend(character.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(Word { line, lower: std::mem::take(&mut word), ends: false });
        }
        if let (Some(last), false) = (words.last_mut(), character.is_whitespace() || character == '\\') {
            last.ends = true;
        }
        is_name ^= character == '`';
        line += usize::from(character == '\n');
    }
    words
}

/// The lines in which the phrase begins.
fn found(phrase: &str, words: &[Word]) -> Vec<usize> {
    let wanted: Vec<&str> = phrase.split(' ').collect();
    let is_there = |at: &[Word]| {
        let is_same = at.iter().zip(&wanted).all(|(word, wanted)| word.lower == *wanted);
        is_same && !at[..at.len() - 1].iter().any(|word| word.ends)
    };
    words.windows(wanted.len()).filter(|at| is_there(at)).map(|at| at[0].line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::findings;
    use super::*;

    const SOURCE: &str = "crates/core/src/decide.rs";

    fn lines(path: &str, text: &str) -> Vec<String> {
        let findings = findings(odd_words, path, text);
        findings.iter().map(|finding| finding.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn an_odd_word_is_found_wherever_people_read() {
        assert_eq!(
            lines("docs/a.md", "One.\n\nSo\nmany. Whoever reads."),
            ["docs/a.md:4 `whoever`", "docs/a.md:3 `so many`",]
        );
        let code = "/// What goes\n/// by here.\nfn a() {\n    // is to be\n    b(\"it was not to be had\", r\"so \\\n    many\");\n}\n";
        assert_eq!(
            lines(SOURCE, code),
            ["1 `goes by`", "4 `is to be`", "5 `to be had`", "5 `so many`"]
                .map(|end| format!("{SOURCE}:{end}"))
        );
    }

    #[test]
    fn names_code_and_what_only_looks_alike_are_none() {
        for fine in
            ["`whoever`", "```\nwhoever\n```", "so: many", "he goes, by train", "ergo by", "so `x` many"]
        {
            assert_eq!(lines("docs/a.md", fine), [""; 0], "{fine}");
        }
        let code = "fn whoever() {}\n#[cfg(test)]\nmod tests {\n    const A: &str = \"whoever\";\n}\n";
        assert_eq!(lines(SOURCE, code), [""; 0]);
        assert_eq!(lines("crates/core/tests/a.rs", "const A: &str = \"whoever\";"), [""; 0]);
        assert_eq!(lines("a.sql", "-- whoever"), [""; 0]);
        assert_eq!(lines("deploy/alerts.yaml", "a: 1\nb: whoever"), ["deploy/alerts.yaml:2 `whoever`"]);
    }
}
