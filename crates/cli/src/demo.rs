//! `tenure demo`: two workers, one of which is killed, on a file that is gone afterwards.
//!
//! Every step is a command of this very binary in a process of its own, as a reader could type it. That each did what it
//! was to show is looked up in the record; a demonstration that goes wrong says so and ends with status 1.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenure::Ledger;
use tenure::core::id::Epoch;
use tenure::core::task::{State, Task};
use tenure::instant::rough_left;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Form;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Colour;

/// What the worker does until it is killed: a step of work, and a heartbeat that tells how far it is. It ends by itself
/// after a minute, should nobody be left to kill it.
const WORKER: &str = r#"for step in $(seq 1 60); do
  "$TENURE" task heartbeat build-42 --owner w1 --epoch 1 --ttl 8s --progress "{\"step\":$step}" --checkpoint "{\"step\":$step}" || exit
  sleep 1
done"#;

/// Longer than anything here takes, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);

/// Watch a worker die and another take over
///
/// Use it first: it runs real commands in real processes on a temporary file, kills one with kill -9, and shows what the
/// record makes of it. It takes about ten seconds, and ends with status 0 only if each thing that it shows happened.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure demo")]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
        let mut stage = Stage::set(context).await?;
        let played = tokio::select! {
            played = stage.play() => played,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted(2)),
            _ = terminated.recv() => Err(Failure::Interrupted(15)),
        };
        let steps = std::mem::take(&mut stage.steps);
        drop(stage);
        // Whoever stopped watching was not shown everything.
        let played =
            played.map_err(|failure| if let Failure::Output(_) = failure { Failure::Told } else { failure });
        let told = context.out.json_only(&Played { demo: Steps { passed: played.is_ok(), steps } });
        played.and(told)
    }
}

#[derive(Serialize)]
struct Played {
    demo: Steps,
}

#[derive(Serialize)]
struct Steps {
    passed: bool,
    steps: Vec<&'static str>,
}

/// The temporary store, and what was shown on it.
struct Stage<'s, 'a, 'w> {
    context: &'s mut Context<'a, 'w>,
    tenure: PathBuf,
    folder: tempfile::TempDir,
    ledger: Ledger,
    steps: Vec<&'static str>,
}

impl<'s, 'a, 'w> Stage<'s, 'a, 'w> {
    async fn set(context: &'s mut Context<'a, 'w>) -> Result<Stage<'s, 'a, 'w>, Failure> {
        let folder = tempfile::tempdir().map_err(failed)?;
        let ledger = Ledger::open(&store(&folder)).await?;
        let tenure = std::env::current_exe().map_err(failed)?;
        Ok(Stage { context, tenure, folder, ledger, steps: Vec::new() })
    }

    async fn play(&mut self) -> Result<(), Failure> {
        self.say(&format!("export TENURE_STORE={}", store(&self.folder)), Colour::Faint)?;
        self.heading("A task, and how to undo what its worker will do")?;
        self.command("task create --id build-42 --on-lapse hold --ttl 8s", 0).await?;
        self.heading("w1 takes a lease: of any number who try, one gets it, with epoch 1")?;
        self.command("task acquire build-42 --owner w1", 0).await?;
        self.holds("w1 holds it at epoch 1", |task| is_held(task, "w1", 1)).await?;
        self.command(
            "task undo add build-42 --owner w1 --epoch 1 --kind remove-worktree --target /tmp/wt-42",
            0,
        )
        .await?;

        self.heading("w1 works, and renews its lease with a heartbeat a second")?;
        let worker = self.worker_until_its_second_step().await?;
        self.heading("kill -9: no goodbye, nothing released")?;
        self.kill(worker).await?;

        self.heading("w2 can't have the task while w1 may still be alive")?;
        self.command("task acquire build-42 --owner w2", 3).await?;
        self.holds("w2 was refused, and w1 is still the one", |task| is_held(task, "w1", 1)).await?;
        self.until_it_lapsed().await?;
        self.heading(
            "w2 takes over, with the next epoch: it inherits the checkpoint, and what w1 left to undo",
        )?;
        self.command("task acquire build-42 --owner w2", 0).await?;
        self.holds("w2 took over at epoch 2", |task| is_held(task, "w2", 2)).await?;
        self.holds("it has the checkpoint, and what w1 owed", |task| {
            task.checkpoint.is_some() && task.owes()
        })
        .await?;

        self.heading("A message of w1 that was stuck somewhere arrives now: too late, its epoch is over")?;
        let before = self.ledger.task("build-42").await?;
        self.command("task complete build-42 --owner w1 --epoch 1", 3).await?;
        self.holds("the late one was refused, and changed nothing", |task| *task == before).await?;

        self.heading("w2 answers for what was owed, and finishes")?;
        self.command("task undo adopt build-42 --owner w2 --epoch 2", 0).await?;
        self.holds("what was owed is w2's now", |task| task.owes() && !task.owes_from_before(Epoch(2)))
            .await?;
        self.command("task complete build-42 --owner w2 --epoch 2 --result '{\"pr\":12}'", 0).await?;
        self.holds("w2 completed it", |task| task.state() == State::Completed).await?;
        self.command("task acquire build-42 --owner w3", 3).await?;
        self.holds("what has ended stays ended", |task| task.state() == State::Completed).await?;

        self.heading("Every step is an event of a history that can be verified")?;
        self.command("events --task build-42", 0).await?;
        self.command("audit verify", 0).await?;
        self.happened("the history holds")?;
        self.say("", Colour::Faint)?;
        self.say("That was Tenure. The same in your shell: see `tenure task --help`.", Colour::Strong)
    }

    fn heading(&mut self, words: &str) -> Result<(), Failure> {
        self.say("", Colour::Faint)?;
        self.say(words, Colour::Strong)
    }

    /// Says a line to whoever watches, at once.
    fn say(&mut self, words: &str, colour: Colour) -> Result<(), Failure> {
        if self.context.out.form() == Form::Json || self.context.out.is_quiet() {
            return Ok(());
        }
        let words = if words.is_empty() { String::new() } else { self.context.out.painted(words, colour) };
        self.context.out.line(&words)?;
        self.context.out.flush()
    }

    /// Runs a command as it stands there, shows what it prints, and wants it to end with that status.
    async fn command(&mut self, words: &str, status: i32) -> Result<(), Failure> {
        self.say(&format!("$ tenure {words}"), Colour::Busy)?;
        let ran = self.process(&self.tenure).args(split(words)).output().await.map_err(failed)?;
        for text in [&ran.stdout, &ran.stderr] {
            for line in String::from_utf8_lossy(text).lines() {
                self.say(&format!("  {line}"), Colour::Faint)?;
            }
        }
        match ran.status.code() {
            Some(code) if code == status => Ok(()),
            _ => {
                Err(Failure::Failed(format!("`tenure {words}` ended with {}, not with {status}", ran.status)))
            }
        }
    }

    /// A process that sees this store and nothing else of ours.
    fn process(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        let ours = self.context.around.variables.keys().filter(|name| name.starts_with("TENURE_"));
        ours.for_each(|name| {
            command.env_remove(name);
        });
        command.env("TENURE_STORE", store(&self.folder)).env("TENURE", &self.tenure).stdin(Stdio::null());
        command.kill_on_drop(true);
        command
    }

    async fn worker_until_its_second_step(&mut self) -> Result<Worker, Failure> {
        let mut command = self.process(std::path::Path::new("sh"));
        let child = command.args(["-c", WORKER]).process_group(0).stdout(Stdio::piped()).spawn();
        let child = child.map_err(failed)?;
        let mut worker = Worker { child };
        let told = worker.child.stdout.take().map(|output| BufReader::new(output).lines());
        let Some(mut told) = told else { return Err(Failure::Failed("the worker has no output".to_owned())) };
        let mut steps = 0;
        while steps < 2 {
            let line = tokio::time::timeout(PATIENCE, told.next_line()).await;
            match line.ok().and_then(Result::ok).flatten() {
                Some(line) => self.say(&format!("  w1: {line}"), Colour::Faint)?,
                None => return Err(Failure::Failed("the worker stopped by itself".to_owned())),
            }
            steps += 1;
        }
        self.holds("w1 was at work", |task| is_held(task, "w1", 1) && task.checkpoint.is_some()).await?;
        Ok(worker)
    }

    async fn kill(&mut self, mut worker: Worker) -> Result<(), Failure> {
        worker.kill();
        let status: ExitStatus = worker.child.wait().await.map_err(failed)?;
        self.say(&format!("  w1 ended: {status}"), Colour::Faint)?;
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status);
        if by_signal != Some(9) {
            return Err(Failure::Failed(format!("w1 was to be killed, and ended with {status}")));
        }
        self.holds("w1 was killed while it held the task", |task| is_held(task, "w1", 1)).await
    }

    async fn until_it_lapsed(&mut self) -> Result<(), Failure> {
        let task = self.ledger.task("build-42").await?;
        let ends = task.lease().map_or(task.updated_at, |lease| lease.expires_at);
        let left = ends.since(self.ledger.now().await?);
        self.heading(&format!("Nobody renews it, so it lapses (in {})", rough_left(left)))?;
        tokio::time::sleep(Duration::from_micros(left.as_micros())).await;
        self.command("stale", 0).await?;
        let now = self.ledger.now().await?;
        self.holds("its lease lapsed", |task| task.is_stale(now)).await
    }

    /// Looks up in the record that something happened.
    async fn holds(&mut self, what: &'static str, is_so: impl Fn(&Task) -> bool) -> Result<(), Failure> {
        let task = self.ledger.task("build-42").await?;
        if !is_so(&task) {
            let state = task.state().as_str();
            return Err(Failure::Failed(format!(
                "it was to be shown that {what}, but build-42 is {state}: {task:?}"
            )));
        }
        self.happened(what)
    }

    fn happened(&mut self, what: &'static str) -> Result<(), Failure> {
        self.steps.push(what);
        self.say(&format!("  ✓ {what}"), Colour::Good)
    }
}

/// Something that the demonstration needs of the machine, and that is not there.
fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(format!("the demonstration can't go on: {error}"))
}

fn store(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("tenure.db").display())
}

fn is_held(task: &Task, owner: &str, epoch: u64) -> bool {
    task.lease().is_some_and(|lease| lease.owner.as_str() == owner && lease.epoch.0 == epoch)
}

/// The words of a command as a shell takes them; here only whole words are quoted.
fn split(command: &str) -> impl Iterator<Item = &str> {
    command.split(' ').map(|word| word.trim_matches('\''))
}

/// A worker with all that it started. It does not outlive the demonstration, however that ends.
struct Worker {
    child: Child,
}

impl Worker {
    fn kill(&self) {
        let group =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            // One that has ended already needs no killing.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        // Its folder goes next, and a process that is not gone yet could still make a file in there.
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use clap::Parser;
    use tenure::chance::SystemChance;
    use tenure::clock::SystemClock;

    use super::*;
    use crate::arguments::Arguments;
    use crate::context::Surroundings;
    use crate::output::Output;
    use crate::world::Screen;

    /// Plays the demonstration with another program in the place of `tenure`.
    fn played_with(program: &str) -> (Result<(), Failure>, Vec<&'static str>) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut errors, (Screen::Plain, None), Screen::Plain);
        let around = Surroundings {
            variables: BTreeMap::new(),
            input: &mut std::io::empty(),
            reader_is_gone: &|| false,
            clock: Some(Arc::new(SystemClock::default())),
            chance: Arc::new(SystemChance),
        };
        let arguments = Arguments::parse_from(["tenure", "demo"]);
        let mut context = Context::new(arguments.global, around, &mut output);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut stage = Stage::set(&mut context).await.expect("a stage");
            stage.tenure = PathBuf::from(program);
            (stage.play().await, std::mem::take(&mut stage.steps))
        })
    }

    #[test]
    fn a_command_that_fails_ends_the_demonstration() {
        let (played, shown) = played_with("false");
        let words = format!("{:?}", played.expect_err("it failed"));
        assert!(words.contains("task create") && words.contains("not with 0"), "{words}");
        assert!(shown.is_empty());
    }

    #[test]
    fn what_commands_say_is_not_believed_without_a_look_into_the_record() {
        let (played, shown) = played_with("true");
        assert!(played.is_err() && shown.is_empty(), "nothing happened: {shown:?}");
    }
}
