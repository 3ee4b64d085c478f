//! PostgreSQL servers for tests. A test starts its own server or shares one with other tests; no server outlives its
//! tests.
//!
//! A test has a shared server for itself while it runs; other tests use it before and after. The reason is that any
//! open transaction in the cluster can change what a reader of events sees. `cargo xtask test` starts as many servers
//! as tests run at once, and lists them in `TENURE_TEST_POSTGRES`. Without that variable, each test process starts
//! its own shared server.
//!
//! A server belongs to a guardian, the program `tenure-guardian`, and the guardian belongs to this process. The
//! guardian cleans up, however this process ends. The server's log is the file `log` in its directory.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// Where shared servers are: for each a line with its port, a space, its folder.
const SHARED_VARIABLE: &str = "TENURE_TEST_POSTGRES";
/// Which of the places for tests that run at once this one has, counted from 0. Set by cargo-nextest.
const SLOT_VARIABLE: &str = "NEXTEST_TEST_GLOBAL_SLOT";

/// Why this machine can't run a server: PostgreSQL or its guardian is missing, or there is no user to run it as.
/// If a server exists but does not start, that is a failure and panics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotRun(pub String);

/// How a server is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Connections are ended and everything is written.
    Fast,
    /// Nothing is written: the next start recovers as after a crash.
    Immediate,
}

/// A running server for this test alone, with a database `tests` that belongs to the role `tester`.
///
/// A test that stops a server needs its own: the shared one can't be stopped. To work with a server while it is
/// stopped elsewhere, take its URL along.
#[derive(Debug)]
pub struct Server {
    port: u16,
    folder: PathBuf,
    /// None for one that another process started.
    guardian: Option<Guardian>,
}

/// The program beside a server, and the way to it.
#[derive(Debug)]
struct Guardian {
    process: Child,
    /// None only while it is dropped.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// A new server with these settings on top of its guardian's own. Takes about a second.
    pub fn start(settings: &[(&str, &str)]) -> Result<Server, NotRun> {
        let mut command = Command::new(guardian_program()?);
        for (name, value) in settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let mut guardian =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the guardian starts");
        let orders = guardian.stdin.take();
        let mut answers = BufReader::new(guardian.stdout.take().expect("its output"));
        let first = line(&mut answers);
        if let Some(("ready", place)) = first.split_once(' ') {
            return Ok(Server::at(place, Some(Guardian { process: guardian, orders, answers })));
        }
        guardian.wait().expect("its end");
        match first.split_once(' ') {
            Some(("absent", why)) => Err(NotRun(why.to_owned())),
            _ => panic!("no server: {first}"),
        }
    }

    /// The server that is shared with other tests: the one of this test's slot, else one of this process, made when it is
    /// first asked for.
    pub fn shared() -> Result<&'static Server, NotRun> {
        static SHARED: OnceLock<Result<Server, NotRun>> = OnceLock::new();
        let shared = || match place_of_slot() {
            Some(place) => Ok(Server::at(&place, None)),
            None => Server::start(&[]),
        };
        SHARED.get_or_init(shared).as_ref().map_err(Clone::clone)
    }

    /// A port, a space and a folder, as its guardian says them.
    fn at(place: &str, guardian: Option<Guardian>) -> Server {
        let (port, folder) = place.split_once(' ').expect("a port and a folder");
        Server { port: port.parse().expect("a port"), folder: folder.into(), guardian }
    }

    /// Where it listens on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of that schema, for a role that is not a superuser.
    pub fn url(&self, schema: &str) -> String {
        format!("postgres://tester@127.0.0.1:{}/tests?schema={schema}", self.port)
    }

    /// The same database, for a superuser. Other clients understand it, too: it names no schema.
    pub fn superuser_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/tests", self.port)
    }

    /// A name for a schema that no test uses, neither of this process nor of another. The schema is not made.
    pub fn fresh_schema(&self) -> String {
        // Numbers of processes come again while a shared server lives.
        format!("t_{:016x}", RandomState::new().hash_one(std::process::id()))
    }

    /// Where it keeps everything; gone when the server is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops it and waits until the last of its processes has ended.
    pub fn stop(&mut self, how: Shutdown) {
        self.order(&format!("stop {}", how.word()));
    }

    /// Starts it after a stop or a kill, on the port that it had, and waits until it takes connections.
    pub fn start_again(&mut self) {
        self.order("start");
    }

    /// Stops it and starts it again.
    pub fn restart(&mut self, how: Shutdown) {
        self.order(&format!("restart {}", how.word()));
    }

    /// kill -9 for its first process, as in a crash, and waits until the others have found out and ended.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// The guardian bounds each of its own waits, and one that died ends its output: so this one ends as well.
    fn order(&mut self, order: &str) {
        let guardian = self.guardian.as_mut().expect("a server of this test's own");
        let orders = guardian.orders.as_mut().expect("it is dropped last");
        writeln!(orders, "{order}").and_then(|()| orders.flush()).expect("its guardian listens");
        let answer = line(&mut guardian.answers);
        assert!(answer == "done", "{order}: {answer}");
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.orders.take());
        // The test's own panic says more than this would.
        let _ = self.process.wait();
    }
}

impl Shutdown {
    fn word(self) -> &'static str {
        match self {
            Shutdown::Fast => "fast",
            Shutdown::Immediate => "immediate",
        }
    }
}

/// The server, or none and a line that says so: the test is then not run. Where `CI` is set nobody would read that
/// line, so there it is a failure.
///
/// ```no_run
/// use tenure_testkit::server::{Server, required};
///
/// let Some(server) = required(Server::shared()) else { return };
/// println!("{}", server.url(&server.fresh_schema()));
/// ```
#[track_caller]
pub fn required<S>(server: Result<S, NotRun>) -> Option<S> {
    let NotRun(why) = match server {
        Ok(server) => return Some(server),
        Err(not_run) => not_run,
    };
    let test = std::thread::current();
    let words = format!("not run: {}: {why}", test.name().unwrap_or("a test"));
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!in_ci, "{words}");
    println!("{words}");
    None
}

fn line(answers: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).expect("text");
    line.trim_end().to_owned()
}

/// None where no servers were started for several processes.
fn place_of_slot() -> Option<String> {
    let (places, slot) = (std::env::var(SHARED_VARIABLE).ok()?, std::env::var(SLOT_VARIABLE).ok()?);
    places.lines().nth(slot.parse().expect("a number")).map(str::to_owned)
}

/// Cargo builds it beside the folder of the tests, with every test or bench of this package.
fn guardian_program() -> Result<PathBuf, NotRun> {
    const NAME: &str = "tenure-guardian";
    let this = std::env::current_exe().expect("this program's file");
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join(NAME));
    let found = beside.into_iter().find(|program| program.is_file());
    found.ok_or_else(|| {
        let build = format!("cargo build --package tenure-testkit --bin {NAME}");
        NotRun(format!(
            "{NAME} is not beside {}: run `{build}`, in the same profile",
            this.parent().unwrap_or(&this).display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_excused() {
        assert_eq!(required(Ok("a server")), Some("a server"));
    }
}
