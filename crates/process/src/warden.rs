//! The warden: a small process between a program and its command. It ends all processes of the command when its time
//! limit passes. It has no store, threads or async runtime, so that little can block it.
//!
//! What the command leaves behind becomes a child of the warden. The warden does not end while it has children.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Named};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, kill_process_group,
};
use tenure_clock::Moment;
use tenure_core::policy::{Backoff, Jitter};
use tenure_core::time::Span;

use super::alarm::Alarm;
use super::binary::{STAGE_WORD, own_binary};
use super::cgroup::Cgroup;
use super::limit::{Cause, Containment, Limit};
use super::process_tree;
use super::protocol::{Lines, SpawnRequest, Step, WardenReport, Word};
use super::stage::Failure;
use super::terminal::Terminal;

/// How long after each kill it looks whether anything is left.
const LOOK_AGAIN: Backoff = Backoff { base: Span::from_millis(5), factor: 2, cap: Span::from_millis(500) };
/// How often it looks whether a control group is empty, where nothing tells.
const LOOK_AT_CGROUP: Span = Span::from_millis(50);
/// Processes that were killed this long ago and still exist are reported.
const LINGERS_AFTER: Duration = Duration::from_secs(1);
/// New processes may appear while all are asked to end. Those that appear after this many checks are killed in
/// the end.
const LOOKS_MAX: u32 = 5;
/// The most ended children that are reaped before limits and messages are handled.
const REAPED_AT_ONCE_MAX: u32 = 1_000;
/// A program that does not read loses reports beyond this.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// Serves one program, which sent its request through standard input. Returns when no process of the command is
/// left.
pub(super) fn serve() {
    let Ok(line) = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3) else { return };
    let line = UnixStream::from(line);
    // A program that died before it sent its request needs nothing.
    let Ok((order, descriptors)) = SpawnRequest::receive(&line) else { return };
    match Warden::start(&line, order, descriptors) {
        Ok(mut warden) => warden.watch(),
        Err(failure) => {
            let report = WardenReport::NotStarted(failure.step, failure.number);
            let _ = (&line).write_all(report.line().as_bytes());
        }
    }
}

/// The progress of ending all processes. It never goes back.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Letting,
    /// Everything was asked to end.
    Asked {
        kill_at: Moment,
    },
    Killing {
        since: Moment,
        next: Moment,
        looks: u32,
    },
}

/// The state of the command itself.
enum Stage {
    /// What the stage has reported so far about a failed start.
    Starting(UnixStream, Lines),
    Running,
    Ended,
}

struct Warden {
    /// To the program; none when it has gone.
    line: Option<UnixStream>,
    heard: Lines,
    unsent: Vec<u8>,
    /// Readable when the program has ended: descendants that it forked may hold its end of the line.
    program: Option<OwnedFd>,
    program_id: i32,
    /// The command, which is also its group.
    leader: Pid,
    stage: Stage,
    children: Children,
    cgroup: Option<Cgroup>,
    terminal: Option<Terminal>,
    limit: Option<Limit>,
    orphan_grace: Duration,
    phase: Phase,
    cause: Option<Cause>,
    /// The processes that were told to end, without the command itself; and those that were killed.
    told: HashSet<(i32, u64)>,
    killed: HashSet<(i32, u64)>,
    alarm: Alarm,
    /// Has a byte when a child has ended.
    sigchld: UnixStream,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Children {
    Some,
    /// More have ended than were looked at.
    More,
    None,
}

impl Warden {
    fn start(line: &UnixStream, order: SpawnRequest, descriptors: Vec<OwnedFd>) -> Result<Warden, Failure> {
        let around = |error: io::Error| Failure::new(Step::Warden, &error);
        let sigchld = hear_children().map_err(around)?;
        adopt_descendants().map_err(around)?;
        let program = watch_parent(order.program_id).map_err(around)?;
        let alarm = Alarm::new().map_err(around)?;
        let (leader, stage) = spawn_stage().map_err(around)?;
        block_all_but_children().map_err(around)?;
        let cgroup = match order.containment {
            Containment::CgroupIfPossible => Cgroup::create(),
            Containment::GroupOnly => None,
        };
        // Before the request, because everything that the command starts must be inside.
        let cgroup = cgroup.and_then(|made| match made.admit(leader) {
            Ok(()) => Some(made),
            Err(_) => {
                made.remove();
                None
            }
        });
        let terminal = terminal(&order, &descriptors, leader);
        let borrowed: Vec<BorrowedFd> = descriptors.iter().map(AsFd::as_fd).collect();
        // If the stage died here, it is reaped and reported as the command's end.
        let _ = order.send(&stage, &borrowed);
        drop(descriptors);
        // Its working directory must not keep a file system from being unmounted.
        let _ = std::env::set_current_dir("/");
        stage.set_nonblocking(true).map_err(around)?;
        line.set_nonblocking(true).map_err(around)?;
        Ok(Warden {
            line: Some(line.try_clone().map_err(around)?),
            heard: Lines::default(),
            unsent: Vec::new(),
            program,
            program_id: order.program_id,
            leader,
            stage: Stage::Starting(stage, Lines::default()),
            children: Children::Some,
            cgroup,
            terminal,
            limit: order.limit,
            orphan_grace: order.orphan_grace,
            phase: Phase::Letting,
            cause: None,
            told: HashSet::new(),
            killed: HashSet::new(),
            alarm,
            sigchld,
        })
    }

    fn watch(&mut self) {
        loop {
            self.reap();
            if self.is_over() {
                break;
            }
            // The program's messages come before the limit that they replace: both may have waited while this
            // process was stopped.
            self.listen();
            self.enforce();
            self.wait();
        }
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.remove();
        }
        let count = |set: &HashSet<_>| u32::try_from(set.len()).unwrap_or(u32::MAX);
        self.report(&WardenReport::Empty(count(&self.told), count(&self.killed)));
    }

    /// Whether no process of the command is left.
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended)
            && self.children == Children::None
            && self.cgroup.as_ref().is_none_or(Cgroup::is_empty)
    }

    /// Handles children that ended, and a command that was stopped.
    fn reap(&mut self) {
        let _ = io::Read::read(&mut &self.sigchld, &mut [0; 64]);
        for _ in 0..REAPED_AT_ONCE_MAX {
            match rustix::process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((id, status))) if id == self.leader => self.leader_is(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => {
                    self.children = Children::Some;
                    return;
                }
                Err(_) => {
                    self.children = Children::None;
                    return;
                }
            }
        }
        self.children = Children::More;
    }

    fn leader_is(&mut self, status: WaitStatus) {
        if status.stopped() {
            self.suspend(status.stopping_signal());
            return;
        }
        self.take_terminal_back();
        let was_started = self.hear_stage();
        self.stage = Stage::Ended;
        if was_started {
            self.report(&match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => WardenReport::Exited(code),
                (None, number) => WardenReport::Signalled(number.unwrap_or(0)),
            });
        }
    }

    /// Reads what the stage says: nothing and an end when it has become the command. False if it never will.
    fn hear_stage(&mut self) -> bool {
        let Stage::Starting(line, heard) = &mut self.stage else {
            return matches!(self.stage, Stage::Running);
        };
        let mut bytes = [0; 256];
        loop {
            match line.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => heard.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => break,
            }
        }
        if let Some(failure) = heard.next().and_then(|line| WardenReport::read(&line)) {
            self.stage = Stage::Ended;
            self.take_terminal_back();
            self.report(&failure);
            return false;
        }
        self.stage = Stage::Running;
        let cgroup = self.cgroup.as_ref().map(|cgroup| cgroup.folder().to_owned());
        self.report(&WardenReport::Started(self.leader.as_raw_nonzero().get(), cgroup));
        true
    }

    /// This comes before the program learns of the end, because it may read from the terminal at once.
    fn take_terminal_back(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
    }

    /// If a command is stopped at the terminal, its program is stopped, too, so that the shell sees a stopped
    /// job. A command that asked for the terminal gets it, if the program has it.
    fn suspend(&mut self, signal: Option<i32>) {
        let Some(terminal) = &mut self.terminal else { return };
        if !matches!(self.phase, Phase::Letting) {
            return;
        }
        if terminal.is_lent() {
            terminal.take_back();
        } else {
            let asks = [Signal::TTIN, Signal::TTOU].map(|signal| Some(signal.as_raw()));
            if !asks.contains(&signal) {
                return;
            }
            terminal.lend(self.leader);
            if terminal.is_lent() {
                self.signal_group(Signal::CONT);
                return;
            }
        }
        // Not another process that got its id.
        if let Some(program) = getppid().filter(|parent| parent.as_raw_nonzero().get() == self.program_id) {
            let _ = kill_process(program, Signal::STOP);
        }
    }

    fn resume(&mut self) {
        if matches!(self.stage, Stage::Ended) {
            return;
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.lend(self.leader);
            self.signal_group(Signal::CONT);
        }
    }

    /// The leader's process id, and so its group's id, is not reused until it is reaped.
    fn signal_group(&self, signal: Signal) {
        if matches!(self.stage, Stage::Ended) {
            let group = self.leader.as_raw_nonzero().get();
            let members = process_tree::descendants(getpid()).into_iter().filter(|kin| kin.group == group);
            members.for_each(|kin| kin.signal(signal));
        } else {
            let _ = kill_process_group(self.leader, signal);
            // A stopped process receives the signal only when it continues.
            if matches!(signal, Signal::HUP | Signal::INT | Signal::QUIT | Signal::TERM) {
                let _ = kill_process_group(self.leader, Signal::CONT);
            }
        }
    }

    /// Reads the messages of the stage and of the program.
    fn listen(&mut self) {
        self.hear_stage();
        self.flush();
        let Some(line) = &mut self.line else { return };
        let mut bytes = [0; 4096];
        let mut is_gone = loop {
            match line.read(&mut bytes) {
                Ok(0) => break true,
                Ok(count) => self.heard.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        while let Some(line) = self.heard.next() {
            match Word::read(&line) {
                Some(word) => self.obey(word),
                // A sender that does not follow the protocol is not a program.
                None => is_gone = true,
            }
        }
        is_gone |= self.program.as_ref().is_some_and(has_ended);
        if is_gone {
            self.line = None;
            self.program = None;
            self.stop(Cause::Orphaned, self.orphan_grace);
        }
    }

    fn obey(&mut self, word: Word) {
        match word {
            Word::Until(limit) => self.limit = Some(limit),
            Word::Signal(number) => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    self.signal_group(signal);
                }
            }
            Word::Stop(grace) => self.stop(Cause::Stopped, grace),
            Word::Kill => self.kill(Cause::Killed),
            Word::Resume => self.resume(),
        }
    }

    fn stop(&mut self, cause: Cause, grace: Duration) {
        if grace.is_zero() {
            self.kill(cause);
        } else {
            self.ask(cause, Moment::now() + span(grace));
        }
    }

    /// Does what is due.
    fn enforce(&mut self) {
        let now = Moment::now();
        if let Some(limit) = self.limit {
            if now >= limit.kill {
                self.kill(Cause::Limit);
            } else if now >= limit.ask && matches!(self.phase, Phase::Letting) {
                self.ask(Cause::Limit, limit.kill);
            }
        }
        match self.phase {
            Phase::Letting => {}
            Phase::Asked { kill_at } => {
                if now >= kill_at {
                    self.kill_everything(Moment::now(), 1);
                }
            }
            Phase::Killing { since, next, looks } => {
                if now >= next || self.children == Children::More {
                    self.kill_everything(since, looks.saturating_add(1));
                }
            }
        }
    }

    /// Asks all processes to end, and continues stopped ones so that they receive it.
    fn ask(&mut self, cause: Cause, kill_at: Moment) {
        self.note(cause);
        match &mut self.phase {
            Phase::Letting => self.phase = Phase::Asked { kill_at },
            // Telling a process again does not give it more time.
            Phase::Asked { kill_at: at } => {
                *at = (*at).min(kill_at);
                return;
            }
            Phase::Killing { .. } => return,
        }
        let own = getpid();
        let mut seen = HashSet::new();
        for _ in 0..LOOKS_MAX {
            let found = process_tree::descendants(own)
                .into_iter()
                .filter(|kin| kin.life == process_tree::Life::Living);
            let new: Vec<_> = found.filter(|kin| seen.insert(kin.identity())).collect();
            if new.is_empty() {
                return;
            }
            for kin in &new {
                kin.signal(Signal::TERM);
                kin.signal(Signal::CONT);
            }
            self.told.extend(
                new.iter().filter(|kin| kin.id != self.leader).map(process_tree::ProcessInfo::identity),
            );
        }
    }

    fn kill(&mut self, cause: Cause) {
        self.note(cause);
        if !matches!(self.phase, Phase::Killing { .. }) {
            self.kill_everything(Moment::now(), 1);
        }
    }

    fn kill_everything(&mut self, since: Moment, looks: u32) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        if !matches!(self.stage, Stage::Ended) {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
        let left = process_tree::descendants(getpid());
        for kin in &left {
            kin.signal(Signal::KILL);
            self.killed.insert(kin.identity());
            if kin.id != self.leader {
                self.told.insert(kin.identity());
            }
        }
        let now = Moment::now();
        if now.since(since) > span(LINGERS_AFTER) && !left.is_empty() {
            self.report(&WardenReport::Lingering(u32::try_from(left.len()).unwrap_or(u32::MAX)));
        }
        let next = now + LOOK_AGAIN.after(looks, Jitter::NONE);
        self.phase = Phase::Killing { since, next, looks };
    }

    /// The first reason counts.
    fn note(&mut self, cause: Cause) {
        if self.cause.is_none() {
            self.cause = Some(cause);
            self.report(&WardenReport::Ending(cause));
        }
    }

    fn report(&mut self, report: &WardenReport) {
        if self.unsent.len() < UNSENT_BYTES_MAX {
            self.unsent.extend(report.line().as_bytes());
        }
        self.flush();
    }

    fn flush(&mut self) {
        let Some(line) = &mut self.line else { return };
        while !self.unsent.is_empty() {
            match line.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It is sent when there is room. The listener notices if the program is gone.
                Err(_) => return,
            }
        }
    }

    /// Waits for whatever comes first.
    fn wait(&self) {
        let mut descriptors = vec![PollFd::new(&self.sigchld, PollFlags::IN)];
        if let Stage::Starting(line, _) = &self.stage {
            descriptors.push(PollFd::new(line, PollFlags::IN));
        }
        if let Some(line) = &self.line {
            let out = if self.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            descriptors.push(PollFd::new(line, PollFlags::IN | out));
        }
        descriptors.extend(self.program.iter().map(|program| PollFd::new(program, PollFlags::IN)));
        self.alarm.wait(descriptors, self.next_moment());
    }

    fn next_moment(&self) -> Option<Moment> {
        let ask = self.limit.filter(|_| matches!(self.phase, Phase::Letting)).map(|limit| limit.ask);
        let kill =
            self.limit.filter(|_| !matches!(self.phase, Phase::Killing { .. })).map(|limit| limit.kill);
        let own = match self.phase {
            Phase::Letting => None,
            Phase::Asked { kill_at } => Some(kill_at),
            Phase::Killing { next, .. } => Some(next),
        };
        // There is no event when the last process leaves a cgroup, if it is not a child of this process.
        let is_only_cgroup = matches!(self.stage, Stage::Ended) && self.children == Children::None;
        let look = is_only_cgroup.then(|| Moment::now() + LOOK_AT_CGROUP);
        let more = (self.children == Children::More).then(Moment::now);
        [ask, kill, own, look, more].into_iter().flatten().min()
    }
}

fn span(duration: Duration) -> Span {
    Span::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// A descriptor that becomes readable when a child ends, even if the program's parent ignores that signal.
fn hear_children() -> io::Result<UnixStream> {
    let (sigchld, sender) = UnixStream::pair()?;
    sigchld.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(Signal::CHILD.as_raw(), OwnedFd::from(sender))?;
    Ok(sigchld)
}

/// Blocks the signals that a terminal or a service manager sends to all processes: this process ends when its
/// work is done. A handler would not do, because the command would no longer ignore what its program ignores.
/// This is called after the stage was started, which would inherit the blocked signals.
fn block_all_but_children() -> io::Result<()> {
    let mut blocked = SigSet::all();
    blocked.remove(Named::SIGCHLD);
    Ok(blocked.thread_set_mask()?)
}

#[cfg(target_os = "linux")]
fn adopt_descendants() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

#[cfg(not(target_os = "linux"))]
fn adopt_descendants() -> io::Result<()> {
    Ok(())
}

/// What becomes readable when the program ends.
#[cfg(target_os = "linux")]
fn watch_parent(program_id: i32) -> io::Result<Option<OwnedFd>> {
    let parent = getppid().filter(|parent| parent.as_raw_nonzero().get() == program_id);
    let parent = parent.ok_or_else(|| io::Error::other("the program has ended"))?;
    // Before Linux 5.3 the end of the line has to do.
    let held = rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).ok();
    // It may have ended, and its id may have been reused, before it was held.
    if getppid() == Some(parent) { Ok(held) } else { Err(io::Error::other("the program has ended")) }
}

#[cfg(not(target_os = "linux"))]
fn watch_parent(_program_id: i32) -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

fn has_ended(program: &OwnedFd) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(program, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Starts the stage that becomes the command, in a process group of its own. It waits for the request.
fn spawn_stage() -> io::Result<(Pid, UnixStream)> {
    let (here, there) = UnixStream::pair()?;
    let mut command = Command::new(own_binary()?);
    command.arg0("tenure-stage").arg(STAGE_WORD).arg(getpid().as_raw_nonzero().to_string());
    command.stdin(Stdio::from(OwnedFd::from(there))).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.process_group(0).spawn()?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok((id.ok_or_else(|| io::Error::other("a process without an id"))?, here))
}

/// The terminal that is lent to the command, if the request says so.
fn terminal(order: &SpawnRequest, descriptors: &[OwnedFd], leader: Pid) -> Option<Terminal> {
    let program = Pid::from_raw(order.terminal_of?)?;
    let mut terminal = Terminal::of(descriptors.first()?, program).ok()?;
    if !order.lends_on_demand {
        terminal.lend(leader);
    }
    Some(terminal)
}
