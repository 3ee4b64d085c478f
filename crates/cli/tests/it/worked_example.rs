//! Tests `docs/worked-example.md`: its `console` blocks are typed into one shell in real time, and the output is compared
//! except for times, durations and column widths.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::TENURE;

const DOCUMENT: &str = include_str!("../../../../docs/worked-example.md");
/// The directory in the document, and the path of the script on Debian.
const FOLDER: &str = "/srv/demo";
const SCRIPT: &str = "/usr/share/doc/git/contrib/workdir/git-new-workdir";
/// Its path on other systems.
const ELSEWHERE: &[&str] = &[
    "/usr/share/git/workdir/git-new-workdir",
    "/usr/share/git-core/contrib/workdir/git-new-workdir",
    "/opt/homebrew/share/git-core/contrib/workdir/git-new-workdir",
    // Where `cargo xtask test` unpacks it if none is installed.
    concat!(env!("CARGO_TARGET_TMPDIR"), "/git-package/usr/share/doc/git/contrib/workdir/git-new-workdir"),
];
/// Printed before the output of each command.
const MARK: &str = "=== printed by command";

/// A command, and its expected output.
struct Shown<'d> {
    /// More than one line if it continues after `> `.
    command: Vec<&'d str>,
    prints: Vec<&'d str>,
}

/// The commands of a document's `console` blocks.
fn shown(text: &str) -> Vec<Shown<'_>> {
    let mut is_console = false;
    let mut shown: Vec<Shown> = Vec::new();
    for line in text.lines() {
        match line {
            "```console" => is_console = true,
            "```" => is_console = false,
            _ if !is_console => {}
            line => match (line.strip_prefix("$ "), line.strip_prefix("> "), shown.last_mut()) {
                (Some(command), _, _) => shown.push(Shown { command: vec![command], prints: Vec::new() }),
                (None, Some(more), Some(last)) => last.command.push(more),
                (None, None, Some(last)) => last.prints.push(line),
                (None, _, None) => panic!("`{line}` comes before any command"),
            },
        }
    }
    shown
}

/// A line without the parts that differ each time: times, durations, and the blanks that align columns.
fn timeless(line: &str) -> String {
    let is_time = |word: &str| word.len() == 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    let is_length = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        !digits.is_empty() && digits.len() < word.len() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let words = line.split_whitespace().map(|word| match word {
        word if is_time(word) => "TIME",
        word if is_length(word) => "LENGTH",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ").replace("LENGTH ago", "AGO").replace("just now", "AGO")
}

/// Types everything into one shell in that directory; returns the output of each command.
fn printed(shown: &[Shown], script: &Path, folder: &Path) -> Vec<String> {
    let (folder, script) = (folder.display().to_string(), script.display().to_string());
    let mut lines = vec!["exec 2>&1".to_owned()];
    for Shown { command, .. } in shown {
        lines.push(format!("echo '{MARK}'"));
        lines.extend(command.iter().map(|line| line.replace(SCRIPT, &script).replace(FOLDER, &folder)));
    }
    let typed = Path::new(&folder).join("typed.sh");
    std::fs::write(&typed, lines.join("\n") + "\n").expect("written");
    let program = Path::new(TENURE).parent().expect("a folder").display();
    let path = std::env::var("PATH").expect("a PATH");
    // A shell that hangs must not hang the tests.
    let mut shell = Command::new("timeout");
    shell.args(["-k", "5", "300", "sh"]).arg(&typed).current_dir(&folder).env_clear();
    shell
        .env("PATH", format!("{program}:{path}"))
        .env("HOME", &folder)
        .env("USER", "alice")
        .env("LC_ALL", "C");
    shell.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        shell.env(format!("GIT_{who}_NAME"), "alice").env(format!("GIT_{who}_EMAIL"), "alice@example.org");
    }
    let output = shell.output().expect("a shell");
    let text = String::from_utf8(output.stdout).expect("text").replace(&folder, FOLDER);
    assert!(output.status.success(), "{text}");
    text.split(MARK).skip(1).map(|printed| printed.trim_matches('\n').to_owned()).collect()
}

/// The script if it is installed; otherwise none, with a note. If `CI` is set nobody would read that, so it is a failure.
fn script() -> Option<PathBuf> {
    let places = std::iter::once(&SCRIPT).chain(ELSEWHERE).map(PathBuf::from);
    let found = places.into_iter().find(|place| place.is_file());
    if found.is_none() {
        let words = format!("not run: the worked example: there is no {SCRIPT}");
        assert!(std::env::var_os("CI").is_none_or(|value| value.is_empty()), "{words}");
        eprintln!("{words}");
    }
    found
}

#[test]
fn a_script_that_knows_nothing_of_it_is_made_crash_safe_as_the_document_shows() {
    let Some(script) = script() else { return };
    let shown = shown(DOCUMENT);
    assert!(shown.len() > 20, "there are commands");
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().canonicalize().expect("the folder");
    let printed = printed(&shown, &script, &place);
    for (number, one) in shown.iter().enumerate() {
        let said = printed.get(number).map(String::as_str).unwrap_or("it was not run");
        let said: Vec<String> = said.lines().map(timeless).collect();
        let prints: Vec<String> = one.prints.iter().map(|line| timeless(line)).collect();
        let before = printed[..number.min(printed.len())].join("\n");
        assert_eq!(prints, said, "`{}` prints that\nbefore it:\n{before}", one.command.join("\n"));
    }
}

#[test]
fn only_times_and_widths_are_left_out_of_the_comparison() {
    let line = "fix-7  running  lapsed 577ms ago   1/3  since 2026-01-31T12:00:03Z (just now)";
    assert_eq!(timeless(line), "fix-7 running lapsed AGO 1/3 since TIME (AGO)");
    assert_eq!(timeless("lapsed 1s ago 2 undone"), "lapsed AGO 2 undone");
}
