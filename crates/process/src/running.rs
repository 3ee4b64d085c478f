//! A running command: what its warden reports, and the program's commands to it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Line;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tenure_core::time::Span;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::cgroup::Cgroup;
use super::limit::{Cause, Limit};
use super::outbox::Outbox;
use super::process_tree;
use super::protocol::{Lines, Step, WardenReport, Word};

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandEnd {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Its warden vanished, so its end is unknown; the text says why. The command was killed.
    Lost(String),
}

/// The processes that were left when a command was finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emptied {
    /// How many processes, without the command itself, had to be told to end.
    pub left_behind: u32,
    /// How many processes had to be killed.
    pub killed: u32,
    /// What is left now, as far as known.
    pub remains: Remains,
}

/// What is left of a command, as far as known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remains {
    /// No process of it.
    Nothing,
    /// Its warden vanished. Its process group was killed, but processes that had left the group may live on.
    Unknown,
}

/// What the warden has reported so far.
#[derive(Clone, Default, Debug)]
struct News {
    started: Option<(i32, Option<PathBuf>)>,
    not_started: Option<(Step, i32)>,
    /// Why everything is being ended, whether or not the command itself has ended before.
    ending: Option<Cause>,
    cause: Option<Cause>,
    end: Option<CommandEnd>,
    lingering: u32,
    emptied: Option<Emptied>,
}

/// A warden that has its order.
pub(super) struct Begun {
    pub(super) line: Line,
    pub(super) warden: Child,
    pub(super) has_terminal: bool,
    pub(super) limit: Option<Limit>,
    pub(super) feed: Option<(OwnedFd, Vec<u8>)>,
    pub(super) output: Option<OwnedFd>,
    pub(super) errors: Option<OwnedFd>,
}

/// A started command. Dropping it ends the command: all its processes are asked to end, and killed after the
/// launch's `orphan_grace`.
#[derive(Debug)]
pub struct Running {
    outbox: Arc<Outbox>,
    news: watch::Receiver<News>,
    id: u32,
    output: Option<pipe::Receiver>,
    errors: Option<pipe::Receiver>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl Running {
    /// Listens to the warden from now on.
    pub(super) fn attend(begun: Begun) -> std::io::Result<Running> {
        begun.line.set_nonblocking(true)?;
        let outbox = Arc::new(Outbox::new(begun.line.try_clone()?, begun.limit));
        // From here on an error closes the connection, and so ends the command.
        let line = UnixStream::from_std(begun.line)?;
        let resumed = begun.has_terminal.then(|| signal(SignalKind::from_raw(Signal::CONT.as_raw())));
        let output = begun.output.map(pipe::Receiver::from_owned_fd).transpose()?;
        let errors = begun.errors.map(pipe::Receiver::from_owned_fd).transpose()?;
        if let Some((descriptor, bytes)) = begun.feed {
            let mut pipe = pipe::Sender::from_owned_fd(descriptor)?;
            tokio::spawn(async move {
                // The command need not read all of it.
                let _ = pipe.write_all(&bytes).await;
            });
        }
        let (tell, news) = watch::channel(News::default());
        let attendant = Attendant { line, warden: begun.warden, outbox: Arc::clone(&outbox), tell };
        tokio::spawn(attendant.run(resumed.transpose()?));
        Ok(Running { outbox, news, id: 0, output, errors })
    }

    /// Resolves when the command runs, or can't: where that failed and the system's number for it, if the warden said.
    pub(super) async fn started(mut self) -> Result<Running, (Running, Option<Step>, i32)> {
        let is_decided = |news: &News| {
            news.started.is_some()
                || news.emptied.is_some()
                || news.not_started.is_some()
                || news.end.is_some()
        };
        // A watcher that has ended has left its last state.
        let _ = self.news.wait_for(is_decided).await;
        let news = self.news.borrow().clone();
        match (news.started, news.not_started) {
            (Some((id, _)), _) => {
                self.id = u32::try_from(id).unwrap_or(0);
                Ok(self)
            }
            (None, Some((step, number))) => Err((self, Some(step), number)),
            (None, None) => Err((self, None, 0)),
        }
    }

    /// The number of the command's process, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.id
    }

    /// The command's standard output, if it was launched with [`super::Output::Piped`]. It ends when all
    /// processes that have it open have closed it, which may be later than the command's end. Only the first
    /// call returns it.
    pub fn take_output(&mut self) -> Option<pipe::Receiver> {
        self.output.take()
    }

    /// What it writes to its standard error, likewise.
    pub fn take_errors(&mut self) -> Option<pipe::Receiver> {
        self.errors.take()
    }

    /// Sets a new time limit. A command that was already asked to end is not spared. Never blocks.
    pub fn may_run_until(&self, limit: Limit) {
        self.outbox.say(Word::Until(limit));
    }

    /// Sends the command's group this signal, one of those with a name.
    pub fn signal(&self, number: i32) {
        self.outbox.say(Word::Signal(number));
    }

    /// Asks all its processes to end, and kills the rest after the grace period. Does not wait.
    pub fn stop(&self, grace: Duration) {
        self.outbox.say(Word::Stop(grace));
    }

    /// Kills all its processes. Does not wait.
    pub fn kill(&self) {
        self.outbox.say(Word::Kill);
    }

    /// Why it was ended; none if nothing has begun to end it.
    pub fn cause(&self) -> Option<Cause> {
        self.news.borrow().cause
    }

    /// How many killed processes have still not ended, because the system holds them.
    pub fn lingering(&self) -> u32 {
        self.news.borrow().lingering
    }

    /// Resolves when the command itself has ended; processes that it started may go on. It may be dropped and
    /// called again.
    pub async fn ended(&mut self) -> CommandEnd {
        match self.news.wait_for(|news| news.end.is_some()).await.map(|news| news.end.clone()) {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => CommandEnd::Lost("the runtime that watched the command has ended".into()),
        }
    }

    /// Asks all remaining processes to end, including the command. Kills the rest after the grace period, and
    /// resolves when none is left. It may be dropped and called again, which does not extend the grace
    /// period.
    pub async fn finish(&mut self, grace: Duration) -> Emptied {
        if self.news.borrow().emptied.is_none() {
            self.outbox.say(Word::Stop(grace));
        }
        match self.news.wait_for(|news| news.emptied.is_some()).await.map(|news| news.emptied) {
            Ok(Some(emptied)) => emptied,
            Ok(None) | Err(_) => Emptied { left_behind: 0, killed: 0, remains: Remains::Unknown },
        }
    }
}

/// Listens to a warden until it ends, and reaps it.
struct Attendant {
    line: UnixStream,
    warden: Child,
    outbox: Arc<Outbox>,
    tell: watch::Sender<News>,
}

impl Attendant {
    async fn run(mut self, mut resumed: Option<tokio::signal::unix::Signal>) {
        let mut lines = Lines::default();
        let mut limit = self.outbox.newest_limit();
        let mut pushed = 0;
        loop {
            // Also while the warden ends the command, because it may be stopped in the middle. Not while it
            // waits for killed processes that the system holds: without the warden nobody would know of them.
            let must_end_it = {
                let news = self.tell.borrow();
                news.emptied.is_none() && news.lingering == 0
            };
            let continued = async {
                match &mut resumed {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ready = self.line.readable() => {
                    if ready.is_err() || self.read(&mut lines).is_err() {
                        break;
                    }
                }
                () = self.outbox.is_held_up() => {
                    // An error shows when it reads.
                    let _ = self.line.writable().await;
                    self.outbox.flush();
                }
                _ = continued => self.outbox.say(Word::Resume),
                () = is_overdue(&mut limit, pushed), if must_end_it => {
                    pushed += 1;
                    self.push(pushed);
                }
            }
        }
        let status = self.warden.wait().await;
        let known = self.tell.borrow().clone();
        if known.emptied.is_none() && known.not_started.is_none() {
            let why = match status {
                Ok(status) => format!("its warden process ended early: {status}"),
                Err(error) => format!("its warden process ended early: {error}"),
            };
            let remains = end_without_warden(known.started).await;
            self.tell.send_modify(|news| {
                news.end.get_or_insert(CommandEnd::Lost(why));
                news.emptied = Some(Emptied { left_behind: 0, killed: 0, remains });
            });
        }
    }

    /// Continues a warden that did not keep the limit, in case it was stopped, and then does without it.
    fn push(&mut self, pushed: u32) {
        // A process that has not been reaped still has its id.
        let id = self.warden.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        match (pushed, id) {
            (1, Some(id)) => drop(kill_process(id, Signal::CONT)),
            // Then the system kills the command, and this kills the rest.
            (_, Some(_)) => drop(self.warden.start_kill()),
            (_, None) => {}
        }
    }

    /// Reads what there is. An error is the end of the line.
    fn read(&mut self, lines: &mut Lines) -> std::io::Result<()> {
        let mut bytes = [0; 1024];
        match self.line.try_read(&mut bytes) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => lines.push(&bytes[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some(line) = lines.next() {
            // An unknown report of another version is ignored.
            if let Some(report) = WardenReport::read(&line) {
                self.tell.send_modify(|news| news.hear(report));
            }
        }
        Ok(())
    }
}

impl News {
    fn hear(&mut self, report: WardenReport) {
        match report {
            WardenReport::Started(id, cgroup) => self.started = Some((id, cgroup)),
            WardenReport::NotStarted(step, number) => self.not_started = Some((step, number)),
            WardenReport::Ending(cause) => {
                self.ending = Some(cause);
                self.cause = self.end.is_none().then_some(cause);
            }
            WardenReport::Exited(status) => self.end = Some(CommandEnd::Exited(status)),
            WardenReport::Signalled(number) => self.end = Some(CommandEnd::Signalled(number)),
            WardenReport::Lingering(count) => self.lingering = count,
            WardenReport::Empty(left_behind, killed) => {
                self.emptied = Some(Emptied { left_behind, killed, remains: Remains::Nothing });
            }
        }
    }
}

/// Resolves when the warden should have ended the command long ago. Each time it was woken, it gets as long
/// again.
async fn is_overdue(newest: &mut watch::Receiver<Option<Limit>>, pushed: u32) {
    const PATIENCE: Span = Span::from_secs(2);
    loop {
        let limit = *newest.borrow_and_update();
        let Some(limit) = limit else {
            if newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        };
        let overdue = (0..=pushed).fold(limit.kill, |moment, _| moment + PATIENCE);
        tokio::select! {
            () = overdue.come() => return,
            Ok(()) = newest.changed() => {}
        }
    }
}

/// Kills what can be found of a command whose warden is gone. The system has killed the command itself. Its
/// process group id is not reused while the group has a member.
async fn end_without_warden(started: Option<(i32, Option<PathBuf>)>) -> Remains {
    const LOOKS_MAX: u32 = 250;
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let Some((id, folder)) = started else { return Remains::Unknown };
    let cgroup = folder.map(Cgroup::known);
    let group = Pid::from_raw(id);
    for _ in 0..LOOKS_MAX {
        if let Some(cgroup) = &cgroup {
            cgroup.kill();
        }
        let has_members = group.is_some_and(|group| !process_tree::members(group).is_empty());
        if let Some(group) = group.filter(|_| has_members) {
            // Processes that ended since need no signal.
            let _ = kill_process_group(group, Signal::KILL);
        }
        if !has_members && cgroup.as_ref().is_none_or(Cgroup::is_empty) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    match cgroup {
        Some(cgroup) if cgroup.is_empty() => {
            cgroup.remove();
            Remains::Nothing
        }
        Some(_) | None => Remains::Unknown,
    }
}
