//! What documents show of the command line is what it prints: their `console` blocks are run, one after the other, in a
//! frozen world in which time passes where a line says so.

use crate::frozen::Frozen;

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

/// What the commands of these lines print, each behind its command. A shell does not print statuses.
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

/// The documents with such blocks that no other test runs, each in a world of its own.
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
