//! The stage of the demo: a temporary directory with a store, and the processes that work there.
//!
//! Each long-running process has its own warden, so that none outlives the demo, however that ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::process::{CommandEnd, Input, Launch, Output, Running, Tail};
use tenure::store::{Filter, Recorded};
use tenure::{Error, Ledger};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::seen::{Seen, TaskProgress};
use super::teller::Teller;
use crate::context::Context;
use crate::error::CliError;

/// How long to wait for the next expected event: longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often progress is read. Heartbeats and progress leave no events.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: u128 = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
/// How much of a process's standard error is kept, for when it fails.
const SAID_BYTES_MAX: usize = 2_000;
/// How long to wait for the remaining output of an ended process.
const LISTENED_FOR: Duration = Duration::from_secs(1);
/// How often removing the directory is tried while a killed process may still create a file in it.
const REMOVALS_MAX: u32 = 200;

const FILES: [(&str, &str); 3] = [
    ("build.sh", include_str!("build.sh")),
    ("undo.sh", include_str!("undo.sh")),
    ("tenure.toml", include_str!("tenure.toml")),
];

/// The directory, the store and the processes.
pub(super) struct Stage<'s, 'a, 'w> {
    pub(super) tell: Teller<'s, 'a, 'w>,
    pub(super) tenure: PathBuf,
    pub(super) ledger: Ledger,
    pub(super) seen: Seen,
    /// The statements that were checked and printed.
    pub(super) steps: Vec<String>,
    folder: tempfile::TempDir,
    events: mpsc::UnboundedReceiver<Result<Recorded, Error>>,
    following: JoinHandle<()>,
    /// The processes that should be running, and those that were told to stop.
    at_work: Vec<AtWork>,
    told_to_end: Vec<AtWork>,
    /// The tasks whose progress was printed already.
    half_done: Vec<(String, u64)>,
}

/// A long-running process.
struct AtWork {
    name: &'static str,
    running: Running,
    said: Arc<Mutex<Tail>>,
    /// The task that reads its output; none after it was waited for.
    listening: Option<JoinHandle<()>>,
}

impl<'s, 'a, 'w> Stage<'s, 'a, 'w> {
    pub(super) async fn set(context: &'s mut Context<'a, 'w>) -> Result<Stage<'s, 'a, 'w>, CliError> {
        let folder = tempfile::Builder::new().prefix("tenure-demo-").tempdir().map_err(failed)?;
        for (name, text) in FILES {
            std::fs::write(folder.path().join(name), text).map_err(failed)?;
        }
        std::fs::create_dir(folder.path().join("worktrees")).map_err(failed)?;
        let ledger = Ledger::open(&store(folder.path())).await?;
        let tenure = std::env::current_exe().map_err(failed)?;
        let (following, events) = follow(&ledger);
        Ok(Stage {
            tell: Teller::new(context),
            tenure,
            ledger,
            seen: Seen::default(),
            steps: Vec::new(),
            folder,
            events,
            following,
            at_work: Vec::new(),
            told_to_end: Vec::new(),
            half_done: Vec::new(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command, prints it and its output, and checks its exit status. Returns the output.
    pub(super) async fn command(&mut self, words: &str, status: i32) -> Result<String, CliError> {
        self.tell.command(&format!("tenure {words}"))?;
        let printed = self.in_silence(words, status).await?;
        printed.lines().try_for_each(|line| self.tell.printed(line))?;
        Ok(printed)
    }

    /// The same without printing.
    pub(super) async fn in_silence(&self, words: &str, status: i32) -> Result<String, CliError> {
        let mut command = Command::new(&self.tenure);
        self.hidden().for_each(|name| {
            command.env_remove(name);
        });
        command.args(words.split(' ')).current_dir(self.folder()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("TENURE_STORE", store(self.folder()));
        let ran = tokio::time::timeout(PATIENCE, command.output()).await;
        let ran = ran.map_err(|_| in_vain(&format!("the end of `tenure {words}`")))?.map_err(failed)?;
        let printed: String = [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text)).concat();
        match ran.status.code() {
            Some(code) if code == status => Ok(printed),
            _ => {
                let words = format!("`tenure {words}` ended with {}, expected {status}", ran.status);
                Err(CliError::Failed(if printed.is_empty() { words } else { format!("{words}: {printed}") }))
            }
        }
    }

    /// Starts a long-running command.
    pub(super) async fn begin(&mut self, name: &'static str, words: &str) -> Result<(), CliError> {
        self.tell.command(&format!("tenure {words}"))?;
        let mut launch = Launch::new(&self.tenure).args(words.split(' ')).folder(self.folder());
        for hidden in self.hidden() {
            launch = launch.without(hidden);
        }
        launch = launch.env("TENURE_STORE", store(self.folder())).env("TENURE", &self.tenure);
        launch = launch.input(Input::Nothing).output(Output::Nothing).errors(Output::Piped);
        let started = launch.orphan_grace(Duration::ZERO).start().await;
        let mut running = started.map_err(|error| CliError::Failed(format!("{name}: {error}")))?;
        let said = Arc::new(Mutex::new(Tail::of(SAID_BYTES_MAX)));
        let errors = running.take_errors();
        let listening = errors.map(|errors| tokio::spawn(keep(errors, Arc::clone(&said))));
        self.at_work.push(AtWork { name, running, said, listening });
        Ok(())
    }

    /// The reader's own TENURE_ variables, which must not apply to this store.
    fn hidden(&self) -> impl Iterator<Item = &String> {
        self.tell.context.around.variables.keys().filter(|name| name.starts_with("TENURE_"))
    }

    /// Prints events until the condition holds. While events come, it is only slow. It counts polls and not time, so that
    /// a demo that was suspended does not time out.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T, CliError> {
        let mut looks = 0;
        loop {
            if let Some(found) = look(&self.seen) {
                return Ok(found);
            }
            if looks >= LOOKS_MAX {
                return Err(self.with_last_words(in_vain(what)));
            }
            tokio::select! {
                biased;
                recorded = self.events.recv() => {
                    self.take(recorded)?;
                    looks = 0;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    self.look_around().await?;
                    looks += 1;
                }
            }
        }
    }

    /// Prints the events that have come and are not printed yet.
    pub(super) fn catch_up(&mut self) -> Result<(), CliError> {
        while let Ok(recorded) = self.events.try_recv() {
            self.take(Some(recorded))?;
        }
        Ok(())
    }

    fn take(&mut self, recorded: Option<Result<Recorded, Error>>) -> Result<(), CliError> {
        let ended = || CliError::Failed("the history could not be followed to its end".to_owned());
        let event = recorded.ok_or_else(ended)??.event;
        self.tell.event(&event)?;
        self.seen.events.push(event);
        Ok(())
    }

    /// Reads the progress of tasks, and checks that all processes run and that the output is still read.
    async fn look_around(&mut self) -> Result<(), CliError> {
        if (self.tell.context.around.reader_is_gone)() {
            return Err(CliError::Told);
        }
        let now = self.ledger.now().await?;
        let running = Filter::default().with(|filter| filter.states = vec![State::Running]);
        let tasks = self.ledger.tasks(running, None, 100).await?.items;
        self.seen.work = tasks.iter().filter_map(TaskProgress::of).collect();
        self.tell_of_work(now)?;
        let mut gone = None;
        for one in &mut self.at_work {
            // This only checks; it does not wait.
            if let Ok(end) = tokio::time::timeout(Duration::ZERO, one.running.ended()).await {
                one.hear_out().await;
                gone.get_or_insert(format!("{} stopped unexpectedly: {}", one.name, in_words(&end)));
            }
        }
        gone.map_or(Ok(()), |words| Err(self.with_last_words(CliError::Failed(words))))
    }

    fn tell_of_work(&mut self, now: Time) -> Result<(), CliError> {
        for work in self.seen.work.iter().filter(|work| work.is_in_the_middle()) {
            let known = (work.task.clone(), work.epoch.0);
            if !self.half_done.contains(&known) {
                let words = format!("step {} of {}", work.step, work.of);
                self.tell.happened(now, &work.owner, &work.task, &words)?;
                self.half_done.push(known);
            }
        }
        Ok(())
    }

    /// The process id.
    pub(super) fn process_of(&self, name: &str) -> Option<u32> {
        self.at_work.iter().find(|one| one.name == name).map(|one| one.running.pid())
    }

    /// Sends a signal to a process, and waits until it ends. What is left of it runs until the demo is over.
    pub(super) async fn end(&mut self, name: &str, signal: i32) -> Result<(CommandEnd, String), CliError> {
        let Some(nth) = self.at_work.iter().position(|one| one.name == name) else {
            return Err(CliError::Failed(format!("{name} is not running")));
        };
        let ending = self.at_work.remove(nth);
        self.told_to_end.push(ending);
        let Some(one) = self.told_to_end.last_mut() else { return Err(in_vain(name)) };
        one.running.signal(signal);
        match tokio::time::timeout(PATIENCE, one.running.ended()).await {
            Ok(end) => {
                one.hear_out().await;
                Ok((end, one.last_words()))
            }
            Err(_) => Err(self.with_last_words(in_vain(&format!("the end of {name}")))),
        }
    }

    /// Waits until the process that builds the worktree has ended.
    pub(super) async fn until_nobody_makes(&mut self, task: &str) -> Result<(), CliError> {
        let process = self.written(task, "process").and_then(|id| Pid::from_raw(id.parse().ok()?));
        let Some(process) = process else {
            return Err(CliError::Failed(format!("no process id is recorded for {task}")));
        };
        let what = format!("the end of the command that works on {task}");
        let is_gone = || test_kill_process(process) == Err(rustix::io::Errno::SRCH);
        self.until(&what, |_| is_gone().then_some(())).await
    }

    /// The content of a file that a build wrote to its worktree.
    pub(super) fn written(&self, task: &str, file: &str) -> Option<String> {
        let path = self.folder().join("worktrees").join(task).join(file);
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }

    fn with_last_words(&self, failure: CliError) -> CliError {
        let CliError::Failed(mut words) = failure else { return failure };
        for one in self.at_work.iter().chain(&self.told_to_end) {
            let said = one.last_words();
            if !said.is_empty() {
                words.push_str(&format!("; last output of {}: {said}", one.name));
            }
        }
        CliError::Failed(words)
    }

    /// Ends all processes and removes the directory. Returns the statements that were shown.
    pub(super) async fn close(mut self) -> Vec<String> {
        self.following.abort();
        self.at_work.append(&mut self.told_to_end);
        self.at_work.iter().for_each(|one| one.running.kill());
        for one in &mut self.at_work {
            // A process that the kernel blocks is not waited for.
            let _ = tokio::time::timeout(PATIENCE, one.running.finish(Duration::ZERO)).await;
        }
        // What can't be removed is tried once more when the directory is dropped.
        let _ = remove(self.folder()).await;
        std::mem::take(&mut self.steps)
    }
}

impl AtWork {
    /// Reads the rest of its output after it has ended. A descendant may still have the pipe open; that is not waited
    /// for.
    async fn hear_out(&mut self) {
        if let Some(listening) = self.listening.take() {
            let _ = tokio::time::timeout(LISTENED_FOR, listening).await;
        }
    }

    fn last_words(&self) -> String {
        self.said.lock().map(|said| said.text()).unwrap_or_default()
    }
}

/// Removes a directory in which an ending process or thread may still create a file.
pub(super) async fn remove(folder: &Path) -> std::io::Result<()> {
    let mut removed = Ok(());
    for _ in 0..REMOVALS_MAX {
        removed = std::fs::remove_dir_all(folder);
        match &removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {}
            Ok(()) | Err(_) => return Ok(()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    removed
}

/// An error for something that the demo needs from the machine and did not get.
pub(super) fn failed(error: std::io::Error) -> CliError {
    CliError::Failed(format!("the demo can't continue: {error}"))
}

fn in_vain(what: &str) -> CliError {
    CliError::Failed(format!("timed out waiting for {what}, after {} seconds", PATIENCE.as_secs()))
}

pub(super) fn in_words(end: &CommandEnd) -> String {
    match end {
        CommandEnd::Exited(status) => format!("ended with status {status}"),
        CommandEnd::Signalled(signal) => format!("ended by signal {signal}"),
        CommandEnd::Lost(why) => format!("is gone: {why}"),
    }
}

fn store(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("tenure.db").display())
}

/// Follows the history from its beginning.
fn follow(ledger: &Ledger) -> (JoinHandle<()>, mpsc::UnboundedReceiver<Result<Recorded, Error>>) {
    let (sender, events) = mpsc::unbounded_channel();
    let mut changes = ledger.follow(None);
    let following = tokio::spawn(async move {
        loop {
            let recorded = changes.next().await;
            let is_last = recorded.is_err();
            if sender.send(recorded).is_err() || is_last {
                return;
            }
        }
    });
    (following, events)
}

/// Keeps the end of a process's output.
async fn keep(mut from: pipe::Receiver, said: Arc<Mutex<Tail>>) {
    let mut some = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut some).await {
        if let Ok(mut said) = said.lock() {
            said.push(&some[..count]);
        }
    }
}
