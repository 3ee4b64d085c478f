//! Tests `tenure demo` as a process: what it shows and leaves behind, how it stops early, and that it fails if a command
//! fails or lies. With `--serve`, the fleet shows something of each kind and ends cleanly.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use serde_json::Value;

use crate::place::{Place, TENURE, ended, json, signal};
use crate::serving::ask;
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

/// A fleet that works. It is killed when it is dropped.
struct ServedFleet {
    process: Child,
    url: String,
}

impl ServedFleet {
    /// Starts it on a free port.
    fn start(mut command: Command) -> ServedFleet {
        command.args(["--listen", "127.0.0.1:0", "-o", "json"]);
        let mut process = command.spawn().expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let line = lines.next().expect("a line").expect("text");
        let url = json(&line)["demo"]["url"].as_str().expect("a URL").to_owned();
        ServedFleet { process, url }
    }

    /// The tasks of a list of the API.
    fn tasks(&self, query: &str) -> Vec<Value> {
        let (status, body) = ask(&self.url, &format!("GET /v1/default/tasks?limit=200&{query} HTTP/1.1"));
        assert_eq!(status, 200, "{body}");
        json(&body)["tasks"].as_array().expect("a list").clone()
    }

    /// Waits until the list has a task for which that holds.
    fn until(&self, query: &str, is_it: impl Fn(&Value) -> bool) {
        until(query, || self.tasks(query).iter().any(&is_it));
    }

    /// Sends a signal, and returns the exit status.
    fn end(&mut self, sent: Signal) -> Option<i32> {
        signal(&self.process, sent);
        until("the end of the demo", || self.process.try_wait().expect("its status").is_some());
        self.process.wait().expect("its status").code()
    }
}

impl Drop for ServedFleet {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_served_fleet_shows_each_kind_of_task_and_ends_cleanly() {
    let theatre = Theatre::new();
    let mut fleet = ServedFleet::start(theatre.command("demo --serve --seed 7 --fill 10"));
    fleet.until("state=running", |task| task["lease"]["progress"]["percent"].is_u64());
    // The past has completed and failed tasks, too, but none of their holders.
    let by_an_agent = |task: &Value| task["attempts"].as_u64() >= Some(1);
    fleet.until("state=completed", by_an_agent);
    fleet.until("state=failed", by_an_agent);
    let was_undone = |undo: &Value| undo["status"] == "done" && undo["receipt"].is_string();
    let undos = |task: &Value| task["compensations"].as_array().cloned().unwrap_or_default();
    fleet.until("state=compensated&cause=lapsed", |task| undos(task).iter().any(was_undone));
    // An undo that failed twice before it worked.
    fleet.until("state=compensated", |task| undos(task).iter().any(|undo| undo["tries"] == 2));
    fleet.until("stale=true", |task| task["policy"]["on_lapse"] == "hold");
    for cause in ["undo_unhandled", "undo_failed", "by_holder"] {
        fleet.until(&format!("state=quarantined&cause={cause}"), |_| true);
    }
    fleet.until("state=planned&queue=gpu", |_| true);
    let (status, page) = ask(&fleet.url, "GET / HTTP/1.1");
    assert_eq!(status, 200);
    assert!(page.contains("Parked for a person") && page.contains("nobody has seen to it"), "{page}");
    assert_eq!(fleet.end(Signal::INT), Some(0));
    theatre.is_empty();
}

#[test]
fn a_served_fleet_ends_after_its_time_and_says_where_to_look() {
    let theatre = Theatre::new();
    let words = "demo --serve --listen 127.0.0.1:0 --agents 2 --fill 0 --for 1s";
    let ended = ended(theatre.command(words).output().expect("ran"));
    assert_eq!((ended.status, ended.out.as_str()), (0, ""), "{}", ended.errors);
    for words in ["2 made-up agents", "http://127.0.0.1:", "tenure top --store http", "Ctrl-C ends it"] {
        assert!(ended.errors.contains(words), "{words}: {}", ended.errors);
    }
    theatre.is_empty();
}

#[test]
fn a_served_fleet_leaves_an_empty_store_that_was_named_and_refuses_one_with_tasks() {
    let theatre = Theatre::new();
    let store = format!("sqlite:{}", theatre.place.path("named.db").display());
    let words = |store: &str| format!("demo --serve --store {store} --agents 1 --fill 3 --seed 7");
    let mut fleet = ServedFleet::start(theatre.command(&words(&store)));
    fleet.until("state=running", |_| true);
    assert_eq!(fleet.end(Signal::TERM), Some(0));
    let left = json(&theatre.place.done(&format!("status --store {store} -o json")));
    assert!(left["status"].is_object(), "the named store stays: {left}");
    // Another namespace is no way around it: recovery of the demo only pretends.
    for more in ["", " --namespace other"] {
        let refused = ended(theatre.command(&format!("{}{more}", words(&store))).output().expect("ran"));
        assert_eq!(refused.status, 2, "{}", refused.errors);
        assert!(refused.errors.contains("has tasks in the namespace default"), "{}", refused.errors);
    }
    theatre.is_empty();
}

#[test]
fn a_served_fleet_is_for_this_machine_and_its_options_need_it() {
    let theatre = Theatre::new();
    for (words, said) in [
        ("demo --serve --listen 0.0.0.0:0", "pass a loopback address"),
        ("demo --serve --listen 7117", "is not an address with a port"),
        ("demo --serve --store http://127.0.0.1:1", "the demo runs its own"),
        ("demo --serve --agents 0", "0 is not in 1..=200"),
        ("demo --serve --fill 10001", "10001 is not in"),
        ("demo --serve --listen 127.0.0.1:0 --for soon", "for"),
        ("demo --agents 3", "--serve"),
    ] {
        let refused = ended(theatre.command(words).output().expect("ran"));
        assert!(refused.errors.contains(said), "{words}: {}", refused.errors);
        assert!([2, 3].contains(&refused.status), "{words}: {}: {}", refused.status, refused.errors);
    }
    theatre.is_empty();
}
