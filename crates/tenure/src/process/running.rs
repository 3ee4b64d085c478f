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
use super::outbox::Outbox;
use super::process_tree;
use super::protocol::{Lines, Report, Step, Word};
use super::{Cause, Limit};

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Its warden vanished, so nobody knows; why, in words. The command was killed.
    Lost(String),
}

/// What was left of a command when it was finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emptied {
    /// How many processes, the command itself not counted, had to be told to end.
    pub left_behind: u32,
    /// How many of all had to be killed.
    pub killed: u32,
    /// What is known to be left now.
    pub remains: Remains,
}

/// What is known to be left of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remains {
    /// No process of it.
    Nothing,
    /// Its warden vanished. Its group was killed, but what had left that may live on.
    Unknown,
}

/// What has been heard of a command so far.
#[derive(Clone, Default, Debug)]
struct News {
    started: Option<(i32, Option<PathBuf>)>,
    not_started: Option<(Step, i32)>,
    /// Why everything is being ended, whether or not the command itself has ended before.
    ending: Option<Cause>,
    cause: Option<Cause>,
    end: Option<End>,
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

/// A command that was started. Dropping it ends the command: everything of it is asked to end, and killed after the
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
        // From here on an error drops the line, and so ends the command.
        let line = UnixStream::from_std(begun.line)?;
        let resumed = begun.has_terminal.then(|| signal(SignalKind::from_raw(Signal::CONT.as_raw())));
        let output = begun.output.map(pipe::Receiver::from_owned_fd).transpose()?;
        let errors = begun.errors.map(pipe::Receiver::from_owned_fd).transpose()?;
        if let Some((descriptor, bytes)) = begun.feed {
            let mut pipe = pipe::Sender::from_owned_fd(descriptor)?;
            tokio::spawn(async move {
                // The command need not read it all.
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
        // An attendant that is gone has left what it knew.
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

    /// What the command writes, if it was launched with [`super::Output::Piped`]. It ends when everybody who has it has
    /// closed it, which may be later than the command's own end. Only the first call gets it.
    pub fn take_output(&mut self) -> Option<pipe::Receiver> {
        self.output.take()
    }

    /// What it writes to its standard error, likewise.
    pub fn take_errors(&mut self) -> Option<pipe::Receiver> {
        self.errors.take()
    }

    /// Until when it may run, instead of what was said before. A command that was already asked to end is not let off by
    /// that. Never waits.
    pub fn may_run_until(&self, limit: Limit) {
        self.outbox.say(Word::Until(limit));
    }

    /// Sends the command's group this signal, one of those with a name.
    pub fn signal(&self, number: i32) {
        self.outbox.say(Word::Signal(number));
    }

    /// Asks everything of it to end, and kills what is left after the grace. It is not waited for.
    pub fn stop(&self, grace: Duration) {
        self.outbox.say(Word::Stop(grace));
    }

    /// Kills everything of it. It is not waited for.
    pub fn kill(&self) {
        self.outbox.say(Word::Kill);
    }

    /// Why it was ended, if it was not by itself that it ended; none as long as nobody has begun to end it.
    pub fn cause(&self) -> Option<Cause> {
        self.news.borrow().cause
    }

    /// How many processes were killed a while ago and are not gone, because the system holds them.
    pub fn lingering(&self) -> u32 {
        self.news.borrow().lingering
    }

    /// Resolves when the command itself has ended; what it started may go on. May be dropped, and asked again.
    pub async fn ended(&mut self) -> End {
        match self.news.wait_for(|news| news.end.is_some()).await.map(|news| news.end.clone()) {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => End::Lost("the runtime that watched the command has ended".into()),
        }
    }

    /// Asks whatever is left to end, the command included if it still runs, kills what is left after the grace, and
    /// resolves when nothing is. May be dropped, and asked again, which gives nobody more time.
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
            // Also while it is ending the command: somebody may stop it in the middle. Not while it waits for processes that
            // it has killed and the system holds: without it nobody would know of them.
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
                news.end.get_or_insert(End::Lost(why));
                news.emptied = Some(Emptied { left_behind: 0, killed: 0, remains });
            });
        }
    }

    /// Has a warden that did not keep the limit go on, in case somebody stopped it, and then does without it.
    fn push(&mut self, pushed: u32) {
        // One that has not been waited for still has its number.
        let id = self.warden.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        match (pushed, id) {
            (1, Some(id)) => drop(kill_process(id, Signal::CONT)),
            // The system kills the command then, and the rest is killed from here.
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
            // A report that only another version knows says nothing to this one.
            if let Some(report) = Report::read(&line) {
                self.tell.send_modify(|news| news.hear(report));
            }
        }
        Ok(())
    }
}

impl News {
    fn hear(&mut self, report: Report) {
        match report {
            Report::Started(id, cgroup) => self.started = Some((id, cgroup)),
            Report::NotStarted(step, number) => self.not_started = Some((step, number)),
            Report::Ending(cause) => {
                self.ending = Some(cause);
                self.cause = self.end.is_none().then_some(cause);
            }
            Report::Exited(status) => self.end = Some(End::Exited(status)),
            Report::Signalled(number) => self.end = Some(End::Signalled(number)),
            Report::Lingering(count) => self.lingering = count,
            Report::Empty(left_behind, killed) => {
                self.emptied = Some(Emptied { left_behind, killed, remains: Remains::Nothing });
            }
        }
    }
}

/// Resolves when the warden should long have ended the command; each time it was pushed it is given as long again.
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

/// Kills what can be found of a command whose warden is gone. The system has killed the command itself; its group's
/// number is nobody else's as long as the group has a member.
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
            // Whoever ended since needs no signal.
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
