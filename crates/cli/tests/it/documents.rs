//! Tests that documents show real output: their `console` blocks are run, one after the other, in a frozen world in which
//! time passes where a line says so.

use std::fs;
use std::path::Path;

use crate::frozen::Frozen;
use crate::place::tenure;

/// The lines of a document's `console` blocks.
fn console_lines(text: &str) -> Vec<&str> {
    let mut is_console = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line {
            "```console" => is_console = true,
            "```" => is_console = false,
            line if is_console => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// The output of these commands, each after its command. A shell does not print exit statuses.
fn printed(lines: &[&str]) -> Vec<String> {
    let world = Frozen::world();
    let mut printed = Vec::new();
    for line in lines {
        if let Some(words) = line.strip_prefix("# ") {
            let seconds = words.split(' ').next().and_then(|seconds| seconds.parse().ok());
            world.tick(seconds.unwrap_or_else(|| panic!("`{line}`: begin with a number of seconds")));
            printed.push((*line).to_owned());
        } else if let Some(words) = line.strip_prefix("$ tenure ") {
            let told = world.told(words);
            printed.extend(told.lines().filter(|line| !line.starts_with("status ")).map(str::to_owned));
        }
    }
    printed
}

/// The documents with `console` blocks that no other test runs, each in its own world.
const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", include_str!("../../../../README.md")),
    ("docs/operating.md", include_str!("../../../../docs/operating.md")),
];

#[test]
fn documents_show_what_is_printed() {
    for (name, text) in DOCUMENTS {
        let lines = console_lines(text);
        assert!(lines.len() > 10, "there are blocks in {name}: {lines:?}");
        let printed = printed(&lines);
        assert_eq!(lines, printed, "{name} shows what is printed:\n{}", printed.join("\n"));
    }
}

/// The commands in backticks in a text, each on one line.
fn named_commands(text: &str) -> Vec<String> {
    let paragraphs =
        text.split("\n```").step_by(2).map(|prose| prose.split_whitespace().collect::<Vec<_>>().join(" "));
    let spans = |prose: String| prose.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    paragraphs.flat_map(spans).filter(|span| span.starts_with("tenure ")).collect()
}

#[test]
fn a_command_that_a_document_names_is_there_with_its_options() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md"), root.join("SECURITY.md"), root.join("ARCHITECTURE.md")];
    let docs = fs::read_dir(root.join("docs")).expect("a folder");
    files.extend(docs.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()));
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        for command in named_commands(&fs::read_to_string(file).expect("text")) {
            // The command after ` -- ` is not Tenure's, and braces list several commands at once.
            let own = command.split(" -- ").next().unwrap_or_default().replace("{", "").replace("}", "");
            let mut words: Vec<&str> = own.split(' ').skip(1).collect();
            // Global options can come before the command.
            while let Some(first) = words.first().filter(|word| word.starts_with('-')) {
                let length = if *first == "-q" { 1 } else { 2 };
                words.drain(..length.min(words.len()));
            }
            let is_verb = |word: &&&str| word.chars().all(|one| one.is_ascii_lowercase() || one == '-');
            let verbs = words.iter().take_while(|word| !word.starts_with('-')).take_while(is_verb);
            let verbs: Vec<&str> = verbs.copied().collect();
            let told = tenure(&[&verbs[..], &["--help"]].concat()).output().expect("it runs");
            let help = String::from_utf8_lossy(&told.stdout);
            let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
            let options =
                options.map(|word| word.split('=').next().unwrap_or_default().trim_end_matches(']'));
            let known: Vec<&str> = help.split([' ', ',', '\n', '=', '[', '<', '`']).collect();
            let unknown: Vec<&str> = options.filter(|option| !known.contains(option)).collect();
            if !told.status.success() || !unknown.is_empty() {
                wrong.push(format!("{}: `{command}`: {unknown:?}", file.display()));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 50, "{seen}");
}
