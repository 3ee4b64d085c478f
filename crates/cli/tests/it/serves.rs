//! Tests `tenure serve` as a process: where it listens, what it requires, how it stops, and what it prints.

#![expect(clippy::disallowed_methods, reason = "a test measures real time")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rusqlite::config::DbConfig;
use rustix::process::Signal;
use serde_json::Value;

use crate::place::{TENURE, signal, tenure};
use crate::serving::{HEARD_WITHIN, Serving, ask, counted, send};
use crate::waiting::until;

/// Runs a command in that directory, on the store that the servers of these tests use.
fn ran(folder: &Path, words: &[&str]) -> Output {
    let mut command = tenure(words);
    command.current_dir(folder).env("TENURE_STORE", "sqlite:tasks.db").output().expect("it runs")
}

/// Creates a task from that body.
fn create(url: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = "POST /v1/default/tasks HTTP/1.1\r\ncontent-type: application/json";
    send(url, &format!("{head}\r\ncontent-length: {length}"), body)
}

#[test]
fn it_says_where_it_is_and_ends_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serving = Serving::start(folder.path(), &[]);
    assert_eq!(ask(&serving.url, "GET /livez HTTP/1.1").0, 200);
    let (status, ready) = ask(&serving.url, "GET /readyz HTTP/1.1");
    assert_eq!((status, ready.contains("\"ready\":true")), (200, true), "{ready}");
    assert_eq!(serving.stop(), Some(0));
    assert!(TcpStream::connect(serving.address()).is_err(), "nobody listens any more");
}

#[test]
fn what_was_answered_is_there_after_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serving = Serving::start(folder.path(), &[]);
    let (status, told) = create(&serving.url, r#"{"id":"build-42"}"#);
    assert_eq!(status, 201, "{told}");
    serving.process.kill().expect("it is there");
    serving.process.wait().expect("it ends");
    let again = Serving::start(folder.path(), &[]);
    let (status, task) = ask(&again.url, "GET /v1/default/tasks/build-42 HTTP/1.1");
    assert_eq!((status, task.contains("\"revision\":1")), (200, true), "{task}");
}

#[test]
fn elsewhere_than_on_this_machine_it_does_not_start_without_tokens_and_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |words: &[&str]| {
        let ran = ran(folder.path(), words);
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    let clear = refused(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(clear.contains("--tls-cert") && clear.contains("--tls-elsewhere"), "{clear}");
    let bare = refused(&["serve", "--listen", "0.0.0.0:0", "--tls-elsewhere"]);
    assert!(bare.contains("tenure token create"), "{bare}");
    let twice = refused(&["serve", "--store", "http://127.0.0.1:7117"]);
    assert!(twice.contains("another server"), "{twice}");
    let half = refused(&["serve", "--tls-cert", "cert.pem"]);
    assert!(half.contains("--tls-key"), "{half}");
    let none = refused(&["serve", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    assert!(none.contains("cert.pem"), "{none}");
}

#[test]
fn what_it_goes_by_is_shown_whole_with_where_it_comes_from() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("tenure.toml"),
        "[serve]\ngrace = \"5s\"\nrate = 7\n[undo.rm]\nrun = [\"rm\", \"{target}\"]\nallow = \"^/tmp/x$\"\n",
    )
    .expect("written");
    let words = ["serve", "--check", "--config", "tenure.toml", "--body-max", "4096", "-o", "json"];
    let ran = tenure(&words)
        .current_dir(folder.path())
        .env("TENURE_STORE", "postgres://u:secret@127.0.0.1:1/d")
        .env("TENURE_HOSTS", "a.example, b.example")
        .output()
        .expect("it runs");
    let told: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let of = |name: &str| {
        let settings = told["configuration"].as_array().expect("settings");
        let found =
            settings.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("{name}"));
        (
            found["value"].as_str().expect("a text").to_owned(),
            found["from"].as_str().expect("a text").to_owned(),
        )
    };
    let pair = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    assert_eq!(of("grace"), pair("5s", "file"));
    assert_eq!(of("rate"), pair("7", "file"));
    assert_eq!(of("hosts"), pair("a.example, b.example", "variable"));
    assert_eq!(of("body_max"), pair("4096", "option"));
    assert_eq!(of("listen"), pair("127.0.0.1:7117", "default"));
    assert_eq!(told["undo"], serde_json::json!(["rm"]));
    let text = format!("{told}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!text.contains("secret"), "{text}");
    // A server does not start if its database is unavailable, and says so.
    assert_eq!((ran.status.code(), &told["ok"]), (Some(5), &Value::Bool(false)));
}

#[test]
fn a_check_finds_what_the_start_would_meet_and_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    std::fs::create_dir(place.join("folder")).expect("a folder");
    std::fs::write(place.join("text"), "no database, but a text that is long enough to be looked at\n")
        .expect("written");
    let check = |words: &[&str]| {
        let ran = ran(place, &[&["serve", "--listen", "127.0.0.1:0"], words, &["--check"]].concat());
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    for (store, named) in
        [("sqlite:folder", "folder"), ("sqlite:text", "text"), ("sqlite:missing/tasks.db", "does not exist")]
    {
        let (status, told) = check(&["--store", store]);
        assert!(told.contains("the server would not start") && told.contains(named), "{store}: {told}");
        let started = ran(place, &["serve", "--listen", "127.0.0.1:0", "--store", store]);
        assert_eq!(status, started.status.code(), "{store}: {told} {started:?}");
    }
    let (status, told) = check(&["--store", "sqlite:new.db"]);
    assert_eq!((status, told.as_str()), (Some(0), "note: the server would start\n"));
    assert!(!place.join("new.db").exists(), "a check leaves nothing behind");
    assert!(ran(place, &["--store", "sqlite:old.db", "task", "create"]).status.success());
    let version = |set: Option<i32>| {
        let file = rusqlite::Connection::open(place.join("old.db")).expect("a file");
        if let Some(version) = set {
            file.pragma_update(None, "user_version", version).expect("set");
        }
        file.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).expect("a number")
    };
    version(Some(1));
    let (status, told) = check(&["--store", "sqlite:old.db"]);
    assert!(status == Some(0) && told.contains("older schema"), "{told}");
    assert_eq!(version(None), 1, "nor does it change what is there");
    // The log that a killed process left beside the file.
    let killed = rusqlite::Connection::open(place.join("old.db")).expect("a file");
    killed.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("set");
    killed.pragma_update(None, "user_version", 1).expect("set");
    drop(killed);
    let log = || std::fs::read(place.join("old.db-wal")).expect("a log");
    let before = log();
    assert_eq!((check(&["--store", "sqlite:old.db"]).0, before.is_empty()), (Some(0), false));
    assert_eq!(log(), before, "the log is another program's");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let checked = ran(place, &["serve", "--check", "--listen", &address]);
    let told = String::from_utf8_lossy(&checked.stderr);
    // A new configuration is checked while the server that needs a restart is still running.
    assert!(checked.status.success() && told.contains("the port is in use"), "{told}");
    let quiet = ran(place, &["-q", "serve", "--check", "--listen", "127.0.0.1:0"]);
    assert_eq!((quiet.stdout.len(), quiet.stderr.len(), quiet.status.code()), (0, 0, Some(0)), "{quiet:?}");
}

#[test]
fn wrong_settings_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (words, named) in [
        (&["--grace", "soon"][..], "grace"),
        (&["--rate", "many"], "rate"),
        (&["--connections-max", "0"], "connections_max"),
        (&["--log-format", "xml"], "log_format"),
        (&["--log", "a=b=c"], "log"),
        (&["--log", "loud"], "`loud` is not a level"),
        (&["--log", "info,tenure_server"], "`tenure_server` is not a level"),
        (&["--listen", "nowhere"], "nowhere"),
        (&["--listen", "127.0.0.1:70000"], "listen: `127.0.0.1:70000`"),
        (&["--listen", "::1:7117"], "[::1]:7117"),
        (&["--host", "*"], "hosts: `*`"),
        (&["--host", "a.example:80"], "hosts: `a.example:80`"),
        (&["--host", "a.example/tenure"], "hosts: `a.example/tenure`"),
        (&["--grace", "100d"], "grace: at most 1h"),
        (
            &["--body-max", "99999999999"],
            "body_max: `99999999999` is not a whole number from 1024 to 715128832",
        ),
        (
            &["--memory-max", "67108864"],
            "memory_max: a request body of 16777216 bytes (body_max) needs 100663296 bytes",
        ),
        (&["--otlp", "http://"], "otlp: `http://`"),
        (&["--otlp", "http://collector:port"], "otlp: `http://collector:port`"),
        (&["--namespace", "a b"], "namespace"),
    ] {
        let started = ran(folder.path(), &[&["serve"], words].concat());
        let told = String::from_utf8_lossy(&started.stderr);
        assert!(!started.status.success() && told.contains(named), "{words:?}: {told}");
        let checked = ran(folder.path(), &[&["serve", "--check"], words].concat());
        assert_eq!(checked.status, started.status, "a check ends as the start would: {words:?}");
    }
}

#[test]
fn the_service_manager_hears_when_it_is_ready_that_it_lives_and_that_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).expect("a socket");
    socket.set_read_timeout(Some(HEARD_WITHIN)).expect("a time");
    let store = format!("sqlite:{}/tasks.db", folder.path().display());
    let variables = [("NOTIFY_SOCKET", place.to_str().expect("a path")), ("WATCHDOG_USEC", "200000")];
    let mut serving = Serving::on(&store, "127.0.0.1:0", &[], &variables);
    let heard = || {
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).expect("it is told");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let first = heard();
    assert!(first.contains("READY=1") && first.contains(&serving.url), "{first}");
    assert!(heard().contains("WATCHDOG=1"));
    assert!(heard().contains("WATCHDOG=1"), "again and again");
    signal(&serving.process, Signal::TERM);
    let mut told = heard();
    while told.contains("WATCHDOG=1") {
        told = heard();
    }
    assert!(told.contains("STOPPING=1"), "{told}");
    assert_eq!(serving.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_socket_that_was_opened_before_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    // The process id is known only in the process itself.
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --store sqlite:tasks.db -q";
    let mut command = Command::new("sh");
    command.args(["-c", script, TENURE]).current_dir(folder.path()).stdout(Stdio::null());
    command.fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 3 }]).expect("a free number");
    let mut process = command.spawn().expect("it starts");
    drop(command);
    let (status, _) = ask(&format!("http://{address}"), "GET /livez HTTP/1.1");
    assert_eq!(status, 200, "a connection from before it was ready is served, too");
    process.kill().expect("it is there");
    process.wait().expect("it ends");
}

#[test]
fn it_looks_after_stale_tasks_itself_unless_it_is_told_not_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("undone");
    let config =
        format!("[undo.touch]\nrun = [\"touch\", \"{{target}}\"]\nallow = \"^{}$\"\n", marker.display());
    std::fs::write(folder.path().join("tenure.toml"), config).expect("written");
    let file = folder.path().join("tenure.toml");
    let store = format!("sqlite:{}/tasks.db", folder.path().display());
    let target = format!("touch={}", marker.display());
    let run = |words: &[&str]| {
        let ran = ran(folder.path(), words);
        assert!(ran.status.success(), "{ran:?}");
    };
    run(&["task", "create", "--id", "t", "--undo", &target]);
    run(&["task", "acquire", "t", "--owner", "w1", "--ttl", "1s"]);
    let words = ["--config", file.to_str().expect("a path"), "--no-recovery"];
    let idle = Serving::on(&store, "127.0.0.1:0", &words, &[]);
    until("the lapse", || task(folder.path(), "t")["stale"] == true);
    assert!(!marker.exists(), "it leaves them to others");
    let serving = Serving::on(&store, "127.0.0.1:0", &words[..2], &[]);
    until("the server undoes what the worker left", || marker.exists());
    until("and closes the task", || task(folder.path(), "t")["state"] == "compensated");
    // Both were running from the lapse to the end of the undo.
    let looks = |server: &Serving| counted(&server.url, None, "tenure_recovery_sweeps_total", "");
    assert!(looks(&serving) > 0, "who looks after stale tasks counts its looks");
    assert_eq!(looks(&idle), 0, "who was told not to never looked");
}

/// A directory with a task that waits for an undo, which is that script; and the arguments of a server that runs it. In
/// the script, FOLDER is the directory.
fn with_an_undo(script: &str, grace: &str) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script.replace("FOLDER", &folder.path().display().to_string());
    let run = format!("[\"sh\", \"-c\", \"{script}\", \"sh\", \"{{target}}\"]");
    let config =
        format!("[serve]\ngrace = \"{grace}\"\n[undo.slow]\nrun = {run}\nallow = \"x\"\ntimeout = \"10m\"\n");
    let file = folder.path().join("tenure.toml");
    std::fs::write(&file, config).expect("written");
    for words in [
        &["task", "create", "--id", "t", "--undo", "slow=x"][..],
        &["task", "acquire", "t", "--owner", "w1", "--ttl", "1s"],
    ] {
        let ran = ran(folder.path(), words);
        assert!(ran.status.success(), "{ran:?}");
    }
    let words = vec!["--config".to_owned(), file.display().to_string()];
    (folder, words)
}

/// An undo that runs until it is stopped, and keeps writing lines.
const ENDLESS: &str = "while :; do echo >> FOLDER/ticks; sleep 0.05; done";

/// The number of lines that the endless undo has written.
fn ticks(folder: &tempfile::TempDir) -> usize {
    std::fs::read_to_string(folder.path().join("ticks")).unwrap_or_default().lines().count()
}

fn task(folder: &Path, id: &str) -> Value {
    let shown = ran(folder, &["task", "show", id, "-o", "json"]);
    let told: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    told["task"].clone()
}

#[test]
fn at_a_stop_an_undo_may_go_on_for_the_whole_grace() {
    // Longer than recovery's own default grace of 10 s: the server's grace counts.
    let script = "touch FOLDER/began; sleep 11.5; touch FOLDER/ended";
    let (folder, words) = with_an_undo(script, "10m");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut serving = Serving::start(folder.path(), &words);
    until("the undo has begun", || folder.path().join("began").exists());
    assert_eq!(serving.stop(), Some(0));
    assert!(folder.path().join("ended").exists(), "it was not cut");
    assert_eq!(task(folder.path(), "t")["state"], "compensated");
}

#[test]
fn an_undo_that_outlasts_the_grace_is_stopped_and_its_task_handed_back() {
    let (folder, words) = with_an_undo(ENDLESS, "1s");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut serving = Serving::start(folder.path(), &words);
    until("the undo has begun", || ticks(&folder) > 0);
    let before = ticks(&folder);
    assert_eq!(serving.stop(), Some(0));
    // A line takes at least 50 ms: twenty fit in the server's grace, two hundred in recovery's default.
    let lines = ticks(&folder) - before;
    assert!(lines < 100, "it went on for {lines} lines");
    // A server that exits without waiting for its recovery leaves the lease to lapse.
    let left = task(folder.path(), "t");
    assert_eq!((&left["state"], &left["lease"]), (&Value::from("compensating"), &Value::Null), "{left}");
}

#[test]
fn a_second_signal_cuts_an_undo_that_goes_on() {
    let (folder, words) = with_an_undo(ENDLESS, "1h");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut serving = Serving::start(folder.path(), &words);
    until("the undo has begun", || ticks(&folder) > 0);
    signal(&serving.process, Signal::TERM);
    until("it has heard that", || TcpStream::connect(serving.address()).is_err());
    let before = ticks(&folder);
    until("the undo goes on", || {
        assert!(!serving.has_ended(), "the undo may go on");
        ticks(&folder) > before + 2
    });
    assert_eq!(serving.stop(), Some(0), "long before the grace of an hour is over");
}

#[test]
fn logs_are_json_where_they_are_to_be_and_have_no_token_and_no_payload() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}/tasks.db", folder.path().display());
    let log = std::fs::File::create(folder.path().join("log")).expect("a file");
    let words = [
        "serve",
        "--store",
        &store,
        "--listen",
        "127.0.0.1:0",
        "--log",
        "trace",
        "--log-format",
        "json",
        "-o",
        "json",
    ];
    let mut process = tenure(&words).stderr(log).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut first = [0; 4_096];
    let length = process.stdout.as_mut().expect("its output").read(&mut first).expect("text");
    let told: Value = serde_json::from_slice(&first[..length]).expect("JSON");
    let url = told["serving"]["url"].as_str().expect("a place").to_owned();
    let canary = "canary-7f3a";
    let secret = format!("tenure_{}", "ab".repeat(32));
    ask(&url, &format!("GET /v1/default/tasks HTTP/1.1\r\nauthorization: Bearer {secret}"));
    let (status, told) = create(&url, &format!("{{\"id\":\"t\",\"payload\":\"{canary}\"}}"));
    assert_eq!(status, 201, "{told}");
    process.kill().expect("it is there");
    process.wait().expect("it ends");
    let log = std::fs::read_to_string(folder.path().join("log")).expect("text");
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("note: ")).collect();
    assert!(!lines.is_empty(), "at the level trace something is said");
    for line in lines {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert!(!log.contains(canary) && !log.contains(&secret), "nobody reads secrets in logs");
}

/// One trace has what all servers did about a task, with links to the callers' own traces.
#[test]
fn traces_carry_the_id_of_their_task() {
    use tenure::core::id::{Namespace, TaskId};

    let collector = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = format!("http://{}", collector.local_addr().expect("an address"));
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}/tasks.db", folder.path().display());
    let mut serving = Serving::on(&store, "127.0.0.1:0", &["--otlp", &place], &[]);
    ask(&serving.url, "GET /v1/default/tasks/build-42 HTTP/1.1");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    ask(
        &serving.url,
        &format!("GET /v1/default/tasks/build-43 HTTP/1.1\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01"),
    );
    let collected = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().expect("somebody sends");
        let mut bytes = Vec::new();
        let mut part = [0; 64 * 1024];
        stream.set_read_timeout(Some(HEARD_WITHIN)).expect("a time");
        let is_whole = |bytes: &[u8]| {
            let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length: usize =
                text.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
            (bytes.len() >= head + 4 + length).then(|| text.starts_with("post /v1/traces"))
        };
        while is_whole(&bytes).is_none() {
            let length = stream.read(&mut part).expect("more");
            assert!(length > 0, "it is cut short");
            bytes.extend_from_slice(&part[..length]);
        }
        assert_eq!(is_whole(&bytes), Some(true));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("sent");
        bytes
    });
    assert_eq!(serving.stop(), Some(0), "what is left of traces is sent at the end");
    let bytes = collected.join().expect("it was sent");
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let of_task = |id| {
        tenure::trace::id_of(&Namespace::new("default").expect("a name"), &TaskId::new(id).expect("a name"))
    };
    assert!(has(&of_task("build-42")), "whoever brings no trace is in the task's");
    assert!(
        has(&u128::from_str_radix(trace, 16).expect("hexadecimal").to_be_bytes()),
        "whoever brings one stays in it"
    );
    assert!(has(&of_task("build-43")), "and is linked to the task's");
}

/// The memory of a process, in MiB.
fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

#[test]
fn ten_thousand_idle_connections_and_bodies_of_100_mb_cost_little_memory_and_the_living_go_on() {
    const IDLE: usize = 10_000;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if limit.is_some_and(|limit| limit < IDLE as u64 + 500) {
        eprintln!(
            "not run: this process may have only {limit:?} descriptors, and needs {IDLE} and some more"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path(), &[]);
    let address = serving.address().to_owned();
    ask(&serving.url, "GET /livez HTTP/1.1");
    let before = resident_mib(serving.process.id());
    let idle: Vec<TcpStream> =
        (0..IDLE).map(|_| TcpStream::connect(&address).expect("a connection")).collect();
    // Sixteen clients send a body that is far too large, and keep sending whatever the response is.
    let large: Vec<_> = (0..16)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("a connection");
                let head = "POST /v1/default/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).expect("sent");
                let part = [&b"100000\r\n"[..], &vec![b' '; 0x10_0000], b"\r\n"].concat();
                // It is refused before it has arrived completely, and the rest is not read.
                (0..100).take_while(|_| stream.write_all(&part).is_ok()).count()
            })
        })
        .collect();
    let began = Instant::now();
    for number in 0..50 {
        let (status, _) = ask(&serving.url, "GET /v1/default/tasks HTTP/1.1");
        assert_eq!(status, 200, "the {number}th of those who live");
    }
    let (took, sent) = (began.elapsed(), large.into_iter().map(|one| one.join().expect("it ends")));
    assert!(sent.max().is_some_and(|most| most < 100), "none of them was taken whole");
    let after = resident_mib(serving.process.id());
    drop(idle);
    println!(
        "{before} MiB before, {after} MiB with {IDLE} idle connections and 16 large bodies; 50 requests in {took:?}"
    );
    assert!(after < before + 400, "{before} MiB before, {after} MiB now");
    // A generous limit: the test is that each request was answered.
    assert!(took < Duration::from_secs(60), "{took:?}");
}
