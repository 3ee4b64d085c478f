//! Tests `tenure demo` as a process: what it shows and leaves behind, how it stops early, and that it fails if a command
//! fails or lies.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use crate::place::{Place, TENURE, ended, json, signal};
use crate::waiting::until;

/// A place with its own directory for temporary files.
struct Theatre {
    place: Place,
    temporary: PathBuf,
}

impl Theatre {
    fn new() -> Theatre {
        let place = Place::new();
        let temporary = place.folder.path().join("tmp");
        std::fs::create_dir(&temporary).expect("made");
        Theatre { place, temporary }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.place.command(words);
        command.env("TMPDIR", &self.temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn is_empty(&self) {
        assert_eq!(std::fs::read_dir(&self.temporary).expect("read").count(), 0, "no file is left behind");
        until("the end of all processes", || self.processes().is_empty());
        assert!(!self.place.file().exists(), "the reader's own store is not touched");
    }

    /// The processes whose environment names the directory: everything that the demo starts has it in its store URL.
    fn processes(&self) -> Vec<PathBuf> {
        let folder = self.temporary.display().to_string();
        let all = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
        let all = all.map(|entry| entry.path());
        all.filter(|process| {
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&folder)
        })
        .collect()
    }
}

/// Reads until a line contains these words.
fn read_until(lines: &mut Lines<BufReader<ChildStdout>>, words: &str) {
    assert!(lines.any(|line| line.expect("text").contains(words)), "{words}");
}

#[test]
fn the_demonstration_shows_what_it_says_and_leaves_nothing_behind() {
    let theatre = Theatre::new();
    // Two at once, in a read-only directory, without a home directory, and with another lease in the environment.
    let elsewhere = theatre.place.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o555)).expect("set");
    let start = |words| {
        let mut command = theatre.command(words);
        command.current_dir(&elsewhere).env("TENURE_NAMESPACE", "mine").env("TENURE_TASK", "t");
        command.env("TENURE_OWNER", "me").env("TENURE_EPOCH", "7").spawn().expect("a process")
    };
    let (for_programs, for_people) = (start("-o json demo"), start("demo"));
    let for_programs = ended(for_programs.wait_with_output().expect("its end"));
    let for_people = ended(for_people.wait_with_output().expect("its end"));
    assert_eq!(for_programs.status, 0, "{}{}", for_programs.out, for_programs.errors);
    assert_eq!(for_people.status, 0, "{}{}", for_people.out, for_people.errors);
    let told = json(&for_programs.out);
    assert_eq!(told["demo"]["passed"], true);
    let steps = told["demo"]["steps"].as_array().expect("steps").len();
    assert_eq!(steps, for_people.out.matches("  ✓ ").count(), "{told}");
    let shown = [
        "registers its undo",
        "kill -9",
        "✓ w2 was killed while it held build-",
        "✓ its command ended with it",
        "takes over under epoch 2: w2's lease lapsed",
        ", made by w2 under epoch 1",
        "✓ what w2 left is gone, and there is a receipt for the undo",
        "under epoch 3",
        "error: refused: ",
        "✓ six builds are completed",
        "✓ the history is verified",
    ];
    for words in shown {
        assert!(for_people.out.contains(words), "{words}: {}", for_people.out);
    }
    theatre.is_empty();
}

#[test]
fn an_interrupted_demonstration_stops_everybody_and_cleans_up() {
    for (sent, status, after) in
        [(Signal::INT, 130, "2. "), (Signal::TERM, 143, "step 3 of 6"), (Signal::HUP, 129, "3. ")]
    {
        let theatre = Theatre::new();
        let mut process = theatre.command("demo").process_group(0).spawn().expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        read_until(&mut lines, after);
        until("workers", || theatre.processes().len() > 3);
        signal(&process, sent);
        assert_eq!(process.wait().expect("its end").code(), Some(status));
        theatre.is_empty();
    }
}

#[test]
fn of_a_demonstration_that_is_killed_no_process_is_left() {
    let theatre = Theatre::new();
    let mut process = theatre.command("demo").spawn().expect("a process");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    read_until(&mut lines, "step 3 of 6");
    process.kill().expect("killed");
    process.wait().expect("its end");
    until("the end of all processes", || theatre.processes().is_empty());
}

#[test]
fn a_demonstration_that_nobody_watches_any_more_ends() {
    let theatre = Theatre::new();
    let mut process = theatre.command("demo").spawn().expect("a process");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    lines.next().expect("a line").expect("text");
    drop(lines);
    let ended = ended(process.wait_with_output().expect("its end"));
    assert_eq!((ended.status, ended.errors.as_str()), (1, ""));
    theatre.is_empty();
}

/// Starts the demo with a copy of the binary, then replaces the copy with a script that changes some commands.
fn with_a_liar(theatre: &Theatre, lie: &str) -> Child {
    let folder = theatre.place.folder.path();
    let (shown, liar) = (folder.join("tenure"), folder.join("liar"));
    std::fs::hard_link(TENURE, &shown)
        .or_else(|_| std::fs::copy(TENURE, &shown).map(|_| ()))
        .expect("another name for it");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = -q ]; then shift; fi\ncase \"$*\" in\n{lie}\nesac\nexec {TENURE} \"$@\"\n"
    );
    std::fs::write(&liar, script).expect("written");
    std::fs::set_permissions(&liar, std::fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = Command::new(&shown);
    command.arg("demo").env_clear().env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command.env("TMPDIR", &theatre.temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("a process");
    let mut output = process.stdout.take().expect("its output");
    // By now the demo has read its own path.
    let mut first = [0; 1];
    std::io::Read::read_exact(&mut output, &mut first).expect("the first line");
    std::fs::rename(&liar, &shown).expect("replaced");
    process.stdout = Some(output);
    process
}

#[test]
fn a_demonstration_whose_commands_fail_or_lie_fails() {
    let lies = [
        ("'task create --id build-6'*) exit 0;;", "six builds are planned"),
        ("*recover*) exit 0;;", "recovery stopped unexpectedly"),
        ("*'--owner w3'*) echo no such luck >&2; exit 1;;", "no such luck"),
        ("'task undo add'*) exit 0;;", "timed out waiting for recovery's takeover"),
        ("'task complete'*) exit 0;;", "expected 3"),
        ("'task complete'*) echo refused: leased; exit 3;;", "the late message was refused"),
        ("'audit verify'*) exit 1;;", "audit verify"),
    ];
    let played = lies.map(|(lie, words)| {
        let theatre = Theatre::new();
        let process = with_a_liar(&theatre, lie);
        (theatre, process, lie, words)
    });
    for (theatre, process, lie, words) in played {
        let ended = ended(process.wait_with_output().expect("its end"));
        assert_eq!(ended.status, 1, "{lie}: {}{}", ended.out, ended.errors);
        assert!(ended.errors.contains(words), "{lie}: {words}: {}{}", ended.out, ended.errors);
        theatre.is_empty();
    }
}

#[test]
fn a_quiet_demonstration_says_nothing() {
    let theatre = Theatre::new();
    let ended = ended(theatre.command("-q demo").output().expect("ran"));
    assert_eq!((ended.status, ended.out.as_str(), ended.errors.as_str()), (0, "", ""));
    theatre.is_empty();
}

#[test]
fn a_folder_that_can_not_be_made_is_told() {
    let place = Place::new();
    let ended = ended(place.command("demo").env("TMPDIR", Path::new("/nonexistent")).output().expect("ran"));
    assert_eq!(ended.status, 1);
    assert!(ended.errors.contains("the demo can't continue"), "{}", ended.errors);
}
