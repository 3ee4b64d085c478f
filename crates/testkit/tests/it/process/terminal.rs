//! A command in the foreground of the terminal in place of its program: keys reach it, and job control works as
//! without Tenure.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tenure_testkit::waiting::found;

/// An interactive shell at a terminal of its own.
struct Shell {
    process: Child,
    keys: File,
    screen: Arc<Mutex<String>>,
    seen: usize,
}

impl Shell {
    fn start() -> Shell {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("a terminal");
        let name = ptsname(&keys, Vec::new()).expect("its name");
        let device =
            rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it");
        let end = || Stdio::from(device.try_clone().expect("a descriptor"));
        let process = Command::new("setsid")
            .args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "--noediting", "-i"])
            .env("PS1", "shell> ")
            .env("CHILD", env!("CARGO_BIN_EXE_tenure-child"))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("a shell");
        let keys = File::from(keys);
        let (mut reader, screen) =
            (keys.try_clone().expect("a descriptor"), Arc::new(Mutex::new(String::new())));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            // It ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().expect("whole").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut shell = Shell { process, keys, screen, seen: 0 };
        shell.expect("shell> ");
        shell
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("pressed");
    }

    /// Waits until that is shown, after what was waited for before.
    fn expect(&mut self, text: &str) {
        let shown = || self.screen.lock().expect("whole").clone();
        match found(|| shown()[self.seen..].find(text)) {
            Some(at) => self.seen += at + text.len(),
            None => panic!("waited in vain for {text:?} after:\n{}", shown()),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.keys.write_all(b"\x03\x04\nexit\nexit\n");
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a command waits for, so that it is still there when something else has happened.
struct Gate(tempfile::TempDir);

impl Gate {
    fn new() -> Gate {
        Gate(tempfile::tempdir().expect("a folder"))
    }

    /// For a script: it has no quotes.
    fn waits(&self) -> String {
        format!("until [ -e {}/open ]; do sleep 0.05; done", self.0.path().display())
    }

    fn opens(&self) {
        File::create(self.0.path().join("open")).expect("made");
    }
}

fn can_be_played() -> bool {
    let has =
        |name: &str| Command::new(name).arg("--version").output().is_ok_and(|done| done.status.success());
    has("bash") && has("setsid")
}

#[test]
fn ctrl_c_reaches_the_command_and_not_its_program() {
    if !can_be_played() {
        return;
    }
    let mut shell = Shell::start();
    let script =
        "trap \"echo it-was-pres''sed; exit 5\" INT; echo it-is-rea''dy; while :; do sleep 0.02; done";
    shell.press(&format!("$CHILD terminal bash -c '{}'\n", script.replace('\'', "'\\''")));
    shell.expect("it-is-ready");
    shell.press("\x03");
    shell.expect("it-was-pressed");
    shell.expect("program saw Exited(5)");
    shell.expect("shell> ");
}

#[test]
fn ctrl_z_stops_the_job_and_fg_goes_on_with_it() {
    if !can_be_played() {
        return;
    }
    let mut shell = Shell::start();
    shell.press("$CHILD terminal sed -u s/^/heard:/\n");
    shell.press("one\n");
    shell.expect("heard:one");
    for round in 0..3 {
        shell.press("\x1a");
        shell.expect("Stopped");
        shell.expect("shell> ");
        shell.press("echo here-is-the-she''ll\n");
        shell.expect("here-is-the-shell");
        shell.press("fg\n");
        shell.press(&format!("two{round}\n"));
        shell.expect(&format!("heard:two{round}"));
    }
    shell.press("\x04");
    shell.expect("program saw Exited(0)");
    shell.expect("shell> ");
    shell.press("sed -u s/^/after:/\n");
    shell.press("three\n");
    shell.expect("after:three");
}

#[test]
fn a_script_has_the_terminal_again_after_its_command() {
    if !can_be_played() {
        return;
    }
    // No shell takes it back here.
    for command in ["true", "no-such-command-anywhere", "bash -ic true"] {
        let mut shell = Shell::start();
        shell.press(&format!(
            "bash -c '$CHILD terminal {command}; echo it-is-over; exec sed -u s/^/after:/'\n"
        ));
        shell.expect("\nit-is-over");
        shell.press("three\n");
        shell.expect("after:three");
    }
}

#[test]
fn a_job_in_the_background_leaves_the_terminal_to_the_shell() {
    if !can_be_played() {
        return;
    }
    let gate = Gate::new();
    let mut shell = Shell::start();
    shell.press(&format!("$CHILD terminal sh -c '{}; echo fini''shed' &\n", gate.waits()));
    shell.press("echo here-is-the-she''ll\n");
    shell.expect("here-is-the-shell");
    gate.opens();
    shell.expect("program saw Exited(0)");
    shell.press("echo sti''ll\n");
    shell.expect("still");
}

#[test]
fn a_job_in_the_background_that_asks_for_the_terminal_is_stopped_until_fg_gives_it() {
    if !can_be_played() {
        return;
    }
    let mut shell = Shell::start();
    shell.press("$CHILD terminal sed -u s/^/heard:/ &\n");
    // Until it has asked for the terminal it is running.
    shell.press("until jobs | grep -q Stopped; do sleep 0.05; done; echo it-sto''pped\n");
    shell.expect("it-stopped");
    shell.press("fg\n");
    shell.press("one\n");
    shell.expect("heard:one");
    shell.press("\x04");
    shell.expect("program saw Exited(0)");
}

#[test]
fn beside_others_of_a_pipeline_a_command_has_the_terminal_only_when_it_asks_for_it() {
    if !can_be_played() {
        return;
    }
    let gate = Gate::new();
    let mut shell = Shell::start();
    // The second of them reads the terminal while the first one runs, and later the first one does.
    shell.press(&format!(
        "$CHILD terminal-on-demand sh -c '{}; read line; echo he''ard:$line' | {{ read key </dev/tty; echo pre''ssed:$key; cat; }}\n",
        gate.waits()
    ));
    shell.press("one\n");
    shell.expect("pressed:one");
    gate.opens();
    shell.press("two\n");
    shell.expect("heard:two");
    shell.expect("shell> ");
}

#[test]
fn a_program_that_is_killed_gives_the_terminal_back() {
    if !can_be_played() {
        return;
    }
    let mut shell = Shell::start();
    shell.press("$CHILD terminal sh -c 'echo it-is-rea''dy; kill -9 $(ps -o ppid= -p $PPID); sleep 1000'\n");
    shell.expect("Killed");
    shell.press("sed -u s/^/after:/\n");
    shell.press("three\n");
    shell.expect("after:three");
}
