//! Sweeps: finds due tasks, reclaims a limited number of them at once, and rests in between.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tenure_api::recovery::{Outcome, RecoveredTask};
use tenure_clock::Moment;
use tenure_core::command::{Command, QuarantineCause};
use tenure_core::id::{Epoch, Namespace, TaskId};
use tenure_core::policy::Jitter;
use tenure_core::refusal::Code;
use tenure_core::task::Task;
use tenure_core::time::{Span, Time};
use tenure_store::Error;
use tenure_store::watch::{Absence, RENEW_EVERY};
use tenure_store::{Answer, Cursor};
use tokio::task::{self, JoinSet};

use super::assess::{Assessment, due_at, left_to_holder_until, left_to_others_until, look};
use super::noting::SweepNotes;
use super::options::RecoveryMode;
use super::report::RecoveryReport;
use super::setup::{PAGE, Setup};
use super::undo::{end_of, undo};
use crate::failpoints;
use crate::stop::StopSignal;

/// How many reclaims share a commit: other commands wait behind them.
const TOGETHER: usize = 50;
/// The pause after a sweep that did not finish, plus up to the same again at random, so that recovery processes
/// do not stay synchronized.
const REST: Duration = Duration::from_millis(50);
/// The longest pause of a loop. A lease lasts at least one second, so none granted since the last sweep is missed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause after an error of the store.
const FAILED_STORE_REST: Duration = Duration::from_secs(1);
/// Sweeps without a result take at most one part in this many of the time.
const FRUITLESS_SHARE: u32 = 20;
/// But they are not delayed beyond what is needed to reclaim within a second of the lapse.
const FRUITLESS_REST_MAX: Duration = Duration::from_millis(500);

/// How often a single run notes what it has moved so far. One undo may take long, and a process that is killed notes nothing.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// The time limit of one sweep.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// The most tasks that may wait for an undo; a later sweep finds the others.
const LINE_MAX: usize = 100_000;
/// How many tasks in a row may be unreadable before the store counts as unavailable.
const MISREAD_MAX: usize = 3;
/// How long a task is left without another look at it.
const LEFT_UNSEEN_MAX: Span = Span::from_secs(5);

/// An absence that ended longer ago was already reported by the process that ended it.
const ABSENCE_IS_NEWS: Span = Span::from_secs(1);

type Name = (Namespace, TaskId);

/// What a run remembers between its sweeps.
struct Sweeper<'r> {
    setup: &'r Setup,
    mode: RecoveryMode,
    /// Tasks that are being undone.
    busy: HashMap<Name, task::Id>,
    undoing: JoinSet<(Name, RecoveredTask)>,
    /// Tasks that must be undone, and for which there was no room yet, in the order in which they were due.
    line: Line,
    /// Tasks that can't be handled before that time.
    later: HashMap<Name, Time>,
    /// Until when due tasks are left to their holders or to other processes.
    left_on_purpose: HashMap<Name, Time>,
    /// Where the next sweep continues, if the last one did not finish.
    goes_on_at: Option<Cursor>,
    /// The store's time at the last look.
    now: Time,
    absence: Option<Absence>,
    /// The store's last error, if it failed.
    last_failure: Option<String>,
    report: RecoveryReport,
    notes: SweepNotes,
}

/// The result of a sweep.
struct Swept {
    /// Whether there is more that could be done at once.
    is_cut_short: bool,
    /// How many tasks were taken up.
    taken: usize,
    next_check: Option<Time>,
}

pub(super) async fn once(setup: &Setup, stop: StopSignal) -> Result<RecoveryReport, Error> {
    let mut sweeper = Sweeper::new(setup, RecoveryMode::Once(stop.clone()));
    let swept = sweep_once(&mut sweeper, setup, stop).await;
    // What was moved until then is noted also if an error ended it.
    let report = sweeper.report().await;
    swept.map(|()| report)
}

/// Sweeps until nothing is left that was due at the start.
async fn sweep_once(sweeper: &mut Sweeper<'_>, setup: &Setup, stop: StopSignal) -> Result<(), Error> {
    let began = setup.ledger.now().await?;
    let mut noted = Moment::now();
    while !stop.is_stopped() {
        let is_whole = sweeper.goes_on_at.is_none();
        let swept = sweeper.sweep(Some(began)).await?;
        if !stop.is_stopped() {
            sweeper.admit().await?;
        }
        while !sweeper.undoing.is_empty() {
            let is_one_done = tokio::select! {
                () = sweeper.one_is_done() => true,
                () = tokio::time::sleep(NOTE_EVERY) => false,
            };
            if is_one_done && !stop.is_stopped() {
                sweeper.admit().await?;
            }
            if Moment::now().since(noted) >= Span::from(NOTE_EVERY) {
                sweeper.note_sweep().await;
                noted = Moment::now();
            }
        }
        if swept.is_cut_short {
            tokio::select! {
                () = rest(REST, setup) => {}
                () = stop.stopped() => {}
            }
        } else if is_whole && swept.taken == 0 && sweeper.line.is_empty() {
            break;
        }
    }
    Ok(())
}

pub(super) async fn watch(setup: &Setup, stop: StopSignal) -> Result<RecoveryReport, Error> {
    let mut sweeper = Sweeper::new(setup, RecoveryMode::Loop(stop.clone()));
    let mut marked: Option<Moment> = None;
    while !stop.is_stopped() {
        let began = Moment::now();
        let is_time = |marked: Moment| began.since(marked) >= Span::from(RENEW_EVERY);
        // Before each sweep after a pause: a process that was stopped for a while must know before it reclaims.
        if marked.is_none_or(is_time) {
            let marking = tokio::select! {
                marking = setup.ledger.store().watch(setup.presence()) => marking,
                () = stop.stopped() => break,
            };
            match marking {
                Ok(absence) => {
                    sweeper.hear_of(absence).await;
                    marked = Some(began);
                }
                Err(error) => {
                    sweeper.store_failed(&error);
                    sweeper.rest_until(&stop, FAILED_STORE_REST).await;
                    continue;
                }
            }
        }
        let looked = Moment::now();
        let rest = match sweeper.sweep(None).await {
            Ok(swept) => {
                sweeper.is_fine();
                sweeper.pause(&swept, Moment::now().since(looked))
            }
            Err(error) => {
                sweeper.store_failed(&error);
                FAILED_STORE_REST
            }
        };
        sweeper.note_sweep().await;
        sweeper.rest_until(&stop, rest).await;
    }
    while !sweeper.undoing.is_empty() {
        sweeper.one_is_done().await;
    }
    Ok(sweeper.report().await)
}

async fn rest(length: Duration, setup: &Setup) {
    tokio::time::sleep(jittered(length, setup)).await;
}

fn jittered(length: Duration, setup: &Setup) -> Duration {
    length + Duration::from(setup.ledger.entropy().jitter().part_of(Span::from(length)))
}

impl<'r> Sweeper<'r> {
    fn new(setup: &'r Setup, mode: RecoveryMode) -> Sweeper<'r> {
        Sweeper {
            setup,
            mode,
            busy: HashMap::new(),
            undoing: JoinSet::new(),
            line: Line::default(),
            later: HashMap::new(),
            left_on_purpose: HashMap::new(),
            goes_on_at: None,
            now: Time::MIN,
            absence: None,
            last_failure: None,
            report: RecoveryReport::default(),
            notes: SweepNotes::default(),
        }
    }

    async fn hear_of(&mut self, absence: Option<Absence>) {
        let Some(Absence { from, until }) = absence.filter(|_| absence != self.absence) else { return };
        self.absence = absence;
        let away = Duration::from(until.since(from));
        // It stays recorded, so that all recovery processes see it. Only the one that ended it logs a warning.
        let is_news = |now: Time| now.since(until) <= ABSENCE_IS_NEWS;
        match self.setup.ledger.now().await.is_ok_and(is_news) {
            true => {
                tracing::warn!(
                    ?away,
                    "no recovery ran for a while; holders get extra time before their tasks are reclaimed"
                );
            }
            false => tracing::debug!(?away, "no recovery ran for a while, some time ago"),
        }
    }

    fn store_failed(&mut self, error: &Error) {
        self.setup.metrics.store_failed();
        // It retries each second; one log line is enough while the error stays the same.
        let words = error.to_string();
        if self.last_failure.as_ref() != Some(&words) {
            tracing::warn!(error = words, "recovery can't reach the store; it tries again every second");
            self.last_failure = Some(words);
        }
    }

    fn is_fine(&mut self) {
        if self.last_failure.take().is_some() {
            tracing::info!("recovery reaches the store again");
        }
    }

    fn has_come_to(&mut self, now: Time) {
        self.now = now;
        self.later.retain(|_, until| *until > now);
        self.left_on_purpose.retain(|_, until| *until + LEFT_UNSEEN_MAX > now);
    }

    /// Reads everything that is due once, and handles what it can, up to the maximum. With `only_due_by`,
    /// tasks that became due later are left.
    async fn sweep(&mut self, only_due_by: Option<Time>) -> Result<Swept, Error> {
        let store = self.setup.ledger.store().as_ref();
        self.setup.metrics.swept();
        self.collect();
        let mut swept = Swept { is_cut_short: false, taken: 0, next_check: None };
        let now = store.now().await?;
        self.has_come_to(now);
        let sweep_max = self.setup.options.sweep_max.max(1);
        let (began, mut misread) = (Moment::now(), 0);
        // A look that took too long went on to here.
        let mut after = self.goes_on_at.take();
        loop {
            let page = store.lapsed(after, PAGE).await?;
            failpoints::reached("recovery/after_look");
            swept.next_check = page.next_check;
            let mut chosen = Vec::new();
            for name in page.tasks {
                if swept.taken + chosen.len() >= sweep_max {
                    swept.is_cut_short = true;
                    break;
                }
                if !self.is_for_now(&name) {
                    continue;
                }
                if self.line.len() >= LINE_MAX {
                    swept.is_cut_short = true;
                    break;
                }
                let task = match store.task(name.0.clone(), name.1.clone()).await {
                    Ok(task) => task,
                    // An unreadable task must not stop the others.
                    Err(error) if misread < MISREAD_MAX => {
                        misread += 1;
                        self.failed(name, &error);
                        continue;
                    }
                    Err(error) => {
                        // Those that could be read are not left for it.
                        self.reclaim_all(&chosen).await?;
                        return Err(error);
                    }
                };
                misread = 0;
                let is_wanted = |task: &Task| {
                    only_due_by.is_none_or(|by| due_at(task).is_some_and(|due_at| due_at <= by))
                };
                let Some(task) = task.filter(is_wanted) else { continue };
                match self.choose(&task, now, &chosen) {
                    Choice::Take => chosen.push(task),
                    Choice::Wait => self.line.join(name),
                    Choice::Leave(until) => self.leave(name, until),
                }
            }
            swept.taken += chosen.len();
            self.reclaim_all(&chosen).await?;
            self.collect();
            self.admit().await?;
            swept.is_cut_short |= page.next.is_some() && swept.taken >= sweep_max;
            after = page.next.filter(|_| swept.taken < sweep_max);
            if after.is_some() && Moment::now().since(began) >= Span::from(LOOK_MAX) {
                // A stop request and the watch mark must not wait for the whole sweep.
                swept.is_cut_short = true;
                self.goes_on_at = after.take();
            }
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    async fn reclaim_all(&mut self, chosen: &[Task]) -> Result<(), Error> {
        for together in chosen.chunks(TOGETHER) {
            self.reclaim(together).await?;
        }
        Ok(())
    }

    fn is_for_now(&self, name: &Name) -> bool {
        let is_in_scope = self.setup.options.namespace.as_ref().is_none_or(|only| *only == name.0);
        is_in_scope && !self.busy.contains_key(name) && !self.later.contains_key(name) && !self.line.has(name)
    }

    /// Starts waiting undos, as far as there is room.
    async fn admit(&mut self) -> Result<(), Error> {
        let store = self.setup.ledger.store().as_ref();
        let at_once = self.setup.options.at_once.max(1);
        while self.undoing.len() < at_once && !self.line.is_empty() {
            let mut chosen = Vec::new();
            while chosen.len() < TOGETHER
                && self.undoing.len() + chosen.len() < at_once
                && let Some(name) = self.line.next()
            {
                // A task that waited long may have been handled by another process.
                let task = match store.task(name.0.clone(), name.1.clone()).await {
                    Ok(Some(task)) => task,
                    Ok(None) => continue,
                    Err(error) => {
                        self.failed(name, &error);
                        continue;
                    }
                };
                match self.choose(&task, self.now, &chosen) {
                    Choice::Take => chosen.push(task),
                    Choice::Wait => self.line.join(name),
                    Choice::Leave(until) => self.leave(name, until),
                }
            }
            self.reclaim_all(&chosen).await?;
        }
        Ok(())
    }

    fn choose(&self, task: &Task, now: Time, chosen: &[Task]) -> Choice {
        let options = &self.setup.options;
        let look = look(task, now, &self.setup.handlers);
        let left_until = match (&self.mode, &look) {
            (_, Assessment::NotBefore(until)) => Some(*until),
            (RecoveryMode::Once(_), Assessment::Reclaim | Assessment::Undo | Assessment::Park(_)) => None,
            (RecoveryMode::Loop(_), Assessment::Reclaim | Assessment::Undo | Assessment::Park(_)) => {
                // Another process may have the handler; spent tries are the same for all.
                let to_others = (look == Assessment::Park(QuarantineCause::UndoUnhandled))
                    .then(|| left_to_others_until(task, options.handler_wait))
                    .flatten();
                left_to_holder_until(task, self.absence, self.jitter()).max(to_others)
            }
        };
        if let Some(until) = left_until.filter(|until| *until > now) {
            return Choice::Leave(until);
        }
        // Each undo needs a free slot; a task that would only wait under its lease is better left to others.
        let needs_room = look != Assessment::Reclaim;
        let undoing = self.undoing.len() + chosen.iter().filter(|task| task.owes()).count();
        if needs_room && undoing >= options.at_once.max(1) { Choice::Wait } else { Choice::Take }
    }

    fn jitter(&self) -> Jitter {
        self.setup.ledger.entropy().jitter()
    }

    /// Reclaims some tasks in one commit. Their undos run in parallel to the sweeps.
    async fn reclaim(&mut self, tasks: &[Task]) -> Result<(), Error> {
        let commands: Vec<Command> =
            tasks.iter().map(|task| self.command(task)).collect::<Result<_, Error>>()?;
        failpoints::reached("recovery/before_reclaim");
        let sent = Moment::now();
        let mut answers = self.setup.ledger.transact(commands.clone()).await;
        let has_blocked_all =
            |answer: &Result<Answer, Error>| matches!(answer, Err(Error::Unavailable(_) | Error::Corrupt(_)));
        if answers.len() > 1 && answers.iter().all(has_blocked_all) {
            // A task that is locked or breaks an invariant fails its whole commit: so each is tried alone.
            answers.clear();
            for command in commands {
                answers.extend(self.setup.ledger.transact(vec![command]).await);
            }
        }
        for (before, answer) in tasks.iter().zip(answers) {
            let name = (before.namespace.clone(), before.id.clone());
            match answer {
                Ok(Answer::Task(task)) => self.take_up(name, before, *task, sent),
                // Another process was faster, or the holder came back; otherwise a later sweep finds it.
                Err(Error::Refused(refusal)) => self.refused(name, &refusal.code),
                Err(error) => self.failed(name, &error),
                Ok(Answer::Claimed(_) | Answer::Renewed(_) | Answer::Retried(..) | Answer::Minimal(_)) => {
                    self.leave_for_now(name)
                }
            }
        }
        Ok(())
    }

    fn command(&self, task: &Task) -> Result<Command, Error> {
        let Setup { ledger, options, .. } = self.setup;
        let ledger = ledger.in_namespace(task.namespace.as_str())?;
        ledger.reclaim(task.id.as_str(), self.setup.owner()).ttl(options.ttl).command()
    }

    fn take_up(&mut self, name: Name, before: &Task, task: Task, sent: Moment) {
        // A task that was left to its holder or to others on purpose counts as late only from then on.
        let left_until = self.left_on_purpose.remove(&name);
        if let Some(due_at) = due_at(before) {
            self.setup.metrics.reclaimed(due_at.max(left_until.unwrap_or(Time::MIN)), task.updated_at);
        }
        if task.lease().is_none() {
            let reason = task.ending().and_then(|ending| ending.reason.as_ref()).map(ToString::to_string);
            let outcome = end_of(&task);
            let reason = reason.filter(|_| outcome == Outcome::Quarantined);
            let (namespace, task, epoch) = (name.0, name.1, before.epoch);
            self.tell(RecoveredTask { namespace, task, epoch, outcome, undone: Vec::new(), reason });
            return;
        }
        let (setup, mode, busy) = (self.setup.clone(), self.mode.clone(), name.clone());
        let undoing = self.undoing.spawn(async move { (name, undo(setup, task, sent, mode).await) });
        self.busy.insert(busy, undoing.id());
    }

    fn refused(&mut self, name: Name, code: &Code) {
        tracing::debug!(task = %name.1, %code, "a stale task could not be reclaimed; recovery looks again later");
        self.leave_for_now(name);
    }

    /// A loop retries a reclaim that the store did not do. A one-shot run does not, and reports it.
    fn failed(&mut self, name: Name, error: &Error) {
        self.store_failed(error);
        match self.mode {
            RecoveryMode::Once(_) => {
                self.later.insert(name.clone(), Time::MAX);
                self.tell(untended(name, error.to_string()));
            }
            RecoveryMode::Loop(_) => self.leave_for_now(name),
        }
    }

    /// Looking again in a second loses nothing; looking again at once, for ever, would cost much.
    fn leave_for_now(&mut self, name: Name) {
        self.leave(name, self.now + Span::from_secs(1));
    }

    /// Only the name is remembered. The task may change meanwhile, so it is not left for long without a look.
    fn leave(&mut self, name: Name, until: Time) {
        self.left_on_purpose.insert(name.clone(), until);
        self.later.insert(name, until.min(self.now + LEFT_UNSEEN_MAX));
    }

    /// Takes note of the undos that are done.
    fn collect(&mut self) {
        while let Some(done) = self.undoing.try_join_next() {
            self.take_note(done);
        }
    }

    /// Waits for an undo to be done, and takes note of all that are.
    async fn one_is_done(&mut self) {
        if let Some(done) = self.undoing.join_next().await {
            self.take_note(done);
        }
        self.collect();
    }

    fn take_note(&mut self, done: Result<(Name, RecoveredTask), tokio::task::JoinError>) {
        match done {
            Ok((name, recovered)) => {
                self.busy.remove(&name);
                // A single run leaves what it handed back to the next one, also where it is due again at once.
                if recovered.outcome == Outcome::HandedBack && matches!(self.mode, RecoveryMode::Once(_)) {
                    self.later.insert(name, Time::MAX);
                }
                self.tell(recovered);
            }
            Err(error) => {
                tracing::error!(%error, "recovery of a task ended early; its lease will lapse");
                let name = self.busy.iter().find(|(_, id)| **id == error.id()).map(|(name, _)| name.clone());
                if let Some(name) = name {
                    self.busy.remove(&name);
                    self.tell(untended(name, error.to_string()));
                }
            }
        }
    }

    fn tell(&mut self, recovered: RecoveredTask) {
        self.report.add(&recovered);
        self.notes.add(&recovered);
        self.setup.tell(&recovered);
    }

    /// Notes what was moved in the histories of its namespaces.
    async fn note_sweep(&mut self) {
        self.notes.write(self.setup).await;
    }

    /// What it came to, when all of it is noted that can be.
    async fn report(self) -> RecoveryReport {
        RecoveryReport { unrecorded: self.notes.end(self.setup).await, ..self.report }
    }

    /// How long a loop rests after a sweep.
    fn pause(&self, swept: &Swept, took: Span) -> Duration {
        let next = swept.next_check.into_iter().chain(self.later.values().copied()).min();
        let until_next = next.map_or(LOOK_EVERY, |next| Duration::from(next.since(self.now)));
        let wanted = match swept.is_cut_short {
            true => jittered(REST, self.setup),
            false => until_next.min(LOOK_EVERY).max(Duration::from_millis(1)),
        };
        // Many tasks that can't be handled must not keep it busy all the time.
        let earned = if swept.taken == 0 { Duration::from(took) * FRUITLESS_SHARE } else { Duration::ZERO };
        wanted.max(earned.min(FRUITLESS_REST_MAX))
    }

    /// Pauses. When an undo ends meanwhile, the next waiting one starts.
    async fn rest_until(&mut self, stop: &StopSignal, length: Duration) {
        let mut over = std::pin::pin!(tokio::time::sleep(length));
        loop {
            // Also before the first wait: the last sweep may have seen all undos end, and then nothing would
            // wake this.
            if let Err(error) = self.admit().await {
                // The next sweep finds tasks that this forgot.
                self.store_failed(&error);
            }
            tokio::select! {
                () = stop.stopped() => return,
                () = &mut over => return,
                Some(done) = self.undoing.join_next() => self.take_note(done),
            }
            self.collect();
        }
    }
}

/// The queue of tasks that wait for a slot, first come first served.
#[derive(Default)]
struct Line {
    names: VecDeque<Name>,
    among: HashSet<Name>,
}

impl Line {
    fn join(&mut self, name: Name) {
        if self.among.insert(name.clone()) {
            self.names.push_back(name);
        }
    }

    fn next(&mut self) -> Option<Name> {
        let name = self.names.pop_front()?;
        self.among.remove(&name);
        Some(name)
    }

    fn has(&self, name: &Name) -> bool {
        self.among.contains(name)
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// A due task that could not be handled.
fn untended((namespace, task): Name, reason: String) -> RecoveredTask {
    let (epoch, outcome) = (Epoch::ZERO, Outcome::Failed);
    RecoveredTask { namespace, task, epoch, outcome, undone: Vec::new(), reason: Some(reason) }
}

/// What this sweep does with a due task.
enum Choice {
    Take,
    /// No slot is free.
    Wait,
    Leave(Time),
}
