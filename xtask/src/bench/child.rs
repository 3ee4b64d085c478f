//! Runs other programs: each has a time limit, ends when the whole run is told to stop, and is ended with all processes of
//! its group.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::run::Result;

/// How often the end of a program is looked for.
const POLL: Duration = Duration::from_millis(10);
/// How long a program may take to end after it was told to.
const GRACE: Duration = Duration::from_secs(5);

/// Whether Ctrl-C was pressed.
#[derive(Clone, Default)]
pub(super) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Set by SIGINT and SIGTERM from now on.
    pub(super) fn of_signals() -> Result<StopFlag> {
        let flag = StopFlag::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag.0))?;
        }
        Ok(flag)
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A program that ended by itself.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) printed: String,
    pub(super) errors: String,
}

impl Finished {
    /// The last words of a program that failed, short enough for a table.
    pub(super) fn reason(&self) -> String {
        const LENGTH_MAX: usize = 300;
        let said = if self.errors.trim().is_empty() { &self.printed } else { &self.errors };
        let last =
            said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
        let last: String = last.chars().take(LENGTH_MAX).collect();
        format!("{}: {last}", self.status)
    }
}

/// Runs a program to its end.
pub(super) fn finish(command: &mut Command, limit: Duration, stop: &StopFlag) -> Result<Finished> {
    let mut group = ProcessGroup::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let printed = read_all(group.child.stdout.take());
    let errors = read_all(group.child.stderr.take());
    let began = Instant::now();
    let status = loop {
        if let Some(status) = group.child.try_wait()? {
            break status;
        }
        if stop.is_set() {
            return Err("interrupted".into());
        }
        if began.elapsed() > limit {
            return Err(format!("no end after {} s", limit.as_secs()).into());
        }
        std::thread::sleep(POLL);
    };
    // A process that it left behind would hold the pipes.
    drop(group);
    let text = |pipe: Receiver<Vec<u8>>| {
        String::from_utf8_lossy(&pipe.recv_timeout(GRACE).unwrap_or_default()).into_owned()
    };
    Ok(Finished { status, printed: text(printed), errors: text(errors) })
}

/// Waits until something holds.
pub(super) fn wait_until(
    limit: Duration,
    stop: &StopFlag,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let began = Instant::now();
    while !holds()? {
        if stop.is_set() {
            return Err("interrupted".into());
        }
        if began.elapsed() > limit {
            return Err(format!("not ready after {} s", limit.as_secs()).into());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until an error counts.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // Nobody may wait for it any more.
        let _ = send.send(bytes);
    });
    receive
}

/// A program with all processes that it starts. They end when this is dropped.
pub(super) struct ProcessGroup {
    child: Child,
}

impl ProcessGroup {
    pub(super) fn spawn(command: &mut Command) -> Result<ProcessGroup> {
        let name = command.get_program().display().to_string();
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        Ok(ProcessGroup { child: child.map_err(|why| format!("{name}: {why}"))? })
    }

    /// None while it runs.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The standard library has no signals, and no process of the group but the first is known here.
    fn signal(&self, signal: &str) {
        let script = format!("kill -s {signal} -- -{}", self.child.id());
        // Every shell has `kill`, and not every machine has it as a program. A group that is gone can't be told anything.
        let mut kill = Command::new("sh");
        let _ = kill.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal("TERM");
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < GRACE {
            std::thread::sleep(POLL);
        }
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_status_of_a_program_are_told() {
        let script = "echo out; echo why >&2; exit 3";
        let finished = finish(&mut shell(script), LONG, &StopFlag::default()).expect("sh");
        assert_eq!((finished.printed.as_str(), finished.status.code()), ("out\n", Some(3)));
        assert!(finished.reason().ends_with("3: why"), "{}", finished.reason());
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_its_children() {
        let began = Instant::now();
        let ended =
            finish(&mut shell("sleep 60 & sleep 60"), Duration::from_millis(50), &StopFlag::default());
        assert!(ended.err().expect("too long").to_string().contains("no end"));
        assert!(began.elapsed() < LONG / 2);
    }

    #[test]
    fn a_process_that_is_left_behind_does_not_hold_up_the_run() {
        let began = Instant::now();
        let finished = finish(&mut shell("sleep 60 & echo done"), LONG, &StopFlag::default()).expect("sh");
        assert_eq!(finished.printed, "done\n");
        assert!(began.elapsed() < LONG / 2);
    }

    #[test]
    fn a_stop_ends_what_runs_and_what_is_waited_for() {
        let stop = StopFlag::default();
        stop.0.store(true, Ordering::Relaxed);
        let ended = finish(&mut shell("sleep 60"), LONG, &stop).err().expect("interrupted");
        assert_eq!(ended.to_string(), "interrupted");
        assert!(wait_until(LONG, &stop, || Ok(false)).is_err());
    }
}
