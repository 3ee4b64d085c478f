//! Tests the commands in hints: each is run exactly as it is printed, in the same situation, and does what the hint
//! promises. The store's path has a blank in it and is given by an option, as is the namespace: a hint must name the same
//! ones.

use std::path::Path;
use std::process::Command;

use crate::place::{Ended, Place, TENURE, ended};
use crate::serving::Serving;
use crate::waiting::until;

/// A place where commands are typed into a shell.
struct Shell {
    place: Place,
}

/// Options for another store and namespace than the default ones.
const SAID: &str = "--store 'a store.db' --namespace room";

impl Shell {
    fn new() -> Shell {
        Shell { place: Place::new() }
    }

    /// Types a line; `tenure` is in PATH, and the environment does not say where the store is.
    fn types(&self, line: &str) -> Ended {
        let folder = Path::new(TENURE).parent().expect("a folder").display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.place.folder.path()).env("PATH", path);
        shell.env("HOME", self.place.folder.path()).env("USER", "alice");
        for variable in ["TENURE_STORE", "TENURE_NAMESPACE", "TENURE_TASK", "XDG_DATA_HOME"] {
            shell.env_remove(variable);
        }
        ended(shell.output().expect("ran"))
    }

    fn given(&self, verbs: &[&str]) {
        for verb in verbs {
            let Ended { status, errors, .. } = self.types(&format!("tenure {SAID} {verb}"));
            assert_eq!(status, 0, "{verb}: {errors}");
        }
    }

    /// The commands in the hint of a refused command.
    fn hints(&self, verb: &str, status: i32) -> Vec<String> {
        let line = format!("tenure {SAID} {verb}");
        let told = self.types(&line);
        assert_eq!(told.status, status, "{line}: {}", told.errors);
        let parts: Vec<&str> = told.errors.split('`').collect();
        let commands = parts.iter().skip(1).step_by(2).filter(|part| part.starts_with("tenure "));
        let commands: Vec<String> = commands.map(|part| (*part).to_owned()).collect();
        assert!(!commands.is_empty(), "{line} gives a hint: {}", told.errors);
        commands
    }

    /// Runs each of them, with values in place of the placeholders.
    fn follows(&self, hints: &[String]) {
        for hint in hints {
            let line = hint
                .replace("'…'", "'looked at it'")
                .replace(" NUMBER", " 1")
                .replace(" WHO", " alice")
                .replace(" OWNER", " w9");
            let Ended { status, out, errors } = self.types(&line);
            assert_eq!(status, 0, "`{line}` does what it says\n{out}{errors}");
        }
    }
}

#[test]
fn a_hint_does_in_its_situation_what_it_says() {
    // The setup, the refused command and its exit status; then each hint is run.
    let situations: &[(&[&str], &str, i32)] = &[
        (&["task create --id t", "task complete t --as a --reason x"], "task cancel t --as a --reason x", 3),
        (
            &["task create --id t", "task quarantine t --as a --reason x"],
            "task cancel t --as a --reason x",
            3,
        ),
        (&["task create --id t"], "task create --id t", 3),
        (&["task create --id t"], "task show other", 4),
        (&["task create --id t", "task acquire t --owner w1"], "task acquire t --owner w2", 3),
        (&["task create --id t", "task acquire t --owner w1"], "task complete t --owner w1 --epoch 7", 3),
        (&["task create --id t", "task acquire t --owner w1"], "task complete t --owner w2 --epoch 1", 3),
        (&["task create --id t"], "task complete t --owner w1 --epoch 1", 3),
        (&["task create --id t", "task dispatch t --owner w1"], "task complete t --owner w1 --epoch 1", 3),
        (&["task create --id t --not-before 2999-01-01T00:00:00Z"], "task acquire t --owner w1", 3),
        (
            &[
                "task create --id t --undo rm=x",
                "task acquire t --owner w1",
                "task rollback t --owner w1 --epoch 1 --reason x",
            ],
            "task acquire t --owner w2",
            3,
        ),
        (
            &["task create --id t --undo rm=x", "task acquire t --owner w1"],
            "task undo settle t 9 --owner w1 --epoch 1 --receipt x",
            4,
        ),
    ];
    for (given, refused, status) in situations {
        let shell = Shell::new();
        shell.given(given);
        let hints = shell.hints(refused, *status);
        shell.follows(&hints);
    }
}

#[test]
fn what_is_owed_is_settled_by_the_command_that_is_printed() {
    let shell = Shell::new();
    shell.given(&[
        "task create --id t --undo rm=x",
        "task acquire t --owner w1",
        "task rollback t --owner w1 --epoch 1 --reason x",
    ]);
    let hints = shell.hints("task compensate t --as alice --reason 'by hand'", 3);
    let (recovers, others): (Vec<_>, Vec<_>) = hints.into_iter().partition(|hint| hint.ends_with(" recover"));
    assert_eq!(recovers.len(), 1);
    shell.follows(&others);
    let shown = shell.types(&format!("tenure {SAID} -q task show t"));
    assert_eq!(shown.out, "compensated\n");
}

#[test]
fn who_could_look_after_a_task_is_said_for_the_store_that_was_asked() {
    let shell = Shell::new();
    shell.given(&[
        "task create --id t --undo rm=x",
        "task acquire t --owner w1",
        "task rollback t --owner w1 --epoch 1 --reason x",
    ]);
    let said = format!("`tenure {SAID} serve` or `tenure {SAID} recover --watch`");
    for look in ["task why t", "task show t", "status"] {
        let Ended { out, .. } = shell.types(&format!("tenure {SAID} {look}"));
        assert!(out.contains(&said), "{look}: {out}");
    }
    // A store behind a server can't be served again from here.
    let serving = Serving::on(
        &format!("sqlite:{}/far.db", shell.place.folder.path().display()),
        "127.0.0.1:0",
        &["--no-recovery"],
        &[],
    );
    let far = Far { shell: &shell, store: &serving.url };
    far.types("task create --id t --undo rm=x");
    far.types("task acquire t --owner w1");
    far.types("task rollback t --owner w1 --epoch 1 --reason x");
    let said = format!("`tenure --store {} recover --watch`", serving.url);
    for look in ["task why t", "task show t", "status"] {
        let out = far.types(look);
        assert!(out.contains(&said) && !out.contains(" serve`"), "{look}: {out}");
    }
}

/// The same shell, on a store behind a server.
struct Far<'s> {
    shell: &'s Shell,
    store: &'s str,
}

impl Far<'_> {
    fn types(&self, verb: &str) -> String {
        let Ended { status, out, errors } =
            self.shell.types(&format!("tenure --store {} {verb}", self.store));
        assert_eq!(status, 0, "{verb}: {errors}");
        out
    }
}

#[test]
fn a_wrong_use_names_the_help_of_its_command() {
    let shell = Shell::new();
    shell.given(&["task create --id t"]);
    let hints = shell.hints("task note t", 2);
    assert_eq!(hints, [format!("tenure {SAID} task note --help")]);
    shell.follows(&hints);
}

#[test]
fn an_end_that_could_not_be_recorded_is_recorded_by_the_line_that_is_printed() {
    let shell = Shell::new();
    let file = shell.place.file().display().to_string();
    // Characters that are special to a shell, and placeholders that hints replace elsewhere.
    let script = r"echo > begun; until [ -e go ]; do sleep 0.05; done; printf 'it\047s $HOME, see ID 7\tor 8' >&2; exit 3";
    std::fs::write(shell.place.folder.path().join("job.sh"), script).expect("written");
    let run = format!(
        "tenure --store {file} --namespace room run --task t --keep-errors --record-timeout 1s -- sh job.sh 2> told"
    );
    let running = std::thread::scope(|scope| {
        let running = scope.spawn(|| shell.types(&run));
        until("it runs", || shell.place.has("begun"));
        let away = shell.place.hold_the_turn();
        shell.place.write("go");
        let ended = running.join().expect("it ends");
        drop(away);
        ended
    });
    let told = shell.place.text("told");
    assert_eq!(running.status, 6, "{told}");
    let line = told.lines().find_map(|line| line.trim_start().strip_prefix("→ ")).expect("a line");
    let Ended { status, errors, .. } = shell.types(line);
    assert_eq!(status, 0, "{line}\n{errors}");
    let shown = shell.types(&format!("tenure --store {file} --namespace room task show t -o json"));
    assert!(shown.out.contains(r"it's $HOME, see ID 7\tor 8"), "the reason is what it was: {}", shown.out);
}
