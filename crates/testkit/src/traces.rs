//! Generated traces: sends the same commands to two stores under the same clock, and compares answers, history and
//! lists.
//!
//! A step is a few numbers. They are interpreted on the stored state when the step runs, so that most commands are
//! about to succeed and the rest are wrong in one way. Numbers shrink well.

use std::collections::HashMap;

use proptest::prelude::*;
use tenure::Error;
use tenure::clock::ManualClock;
use tenure::core::command::{
    Action, Command, Create, Holder, HolderAction, IdOrigin, LeaseScope, OperatorAction, Put, PutHolder,
    PutUndo, QuarantineCause, Take, UndoBy,
};
use tenure::core::compensation::Undo;
use tenure::core::event::{HandReceipt, LabelChanges, Triage, Waiver};
use tenure::core::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Owner, Progress, Queue, Reason, RequestId, SagaId,
    Seq, TaskId, Text,
};
use tenure::core::policy::{Jitter, OnFailure, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::Code;
use tenure::core::task::{State, Task};
use tenure::core::time::Span;
use tenure::store::{Answer, EventFilter, Filter, PageSize, Store};

use crate::world::namespace;

/// How many tasks a trace is about.
const TASKS: u8 = 4;
/// How many owners take part.
const OWNERS: u8 = 3;
const ALL: usize = 10_000;
const EVERYTHING: PageSize = PageSize { items: ALL, bytes: usize::MAX };

/// One step, as numbers.
#[derive(Clone, Debug)]
pub struct TraceStep {
    verb: u8,
    task: u8,
    owner: u8,
    dice: [u8; 6],
    tick: u8,
    /// Whether it goes into one batch with the step before it.
    joins: bool,
}

/// Steps of a trace.
pub fn trace() -> impl Strategy<Value = Vec<TraceStep>> {
    let step = (0_u8..40, 0..TASKS, 0..OWNERS, any::<[u8; 6]>(), any::<u8>(), 0_u8..5);
    let step = step.prop_map(|(verb, task, owner, dice, tick, joins)| TraceStep {
        verb,
        task,
        owner,
        dice,
        tick,
        joins: joins == 0,
    });
    prop::collection::vec(step, 1..60)
}

/// Sends the steps to both stores. A difference is an error.
pub async fn compare(
    steps: &[TraceStep],
    (first, second): (&dyn Store, &dyn Store),
    clocks: [&ManualClock; 2],
) -> Result<(), String> {
    let mut batch: Vec<Command> = Vec::new();
    let mut requests = Requests::default();
    for (at, step) in steps.iter().enumerate() {
        if !step.joins {
            send(&mut batch, first, second, &mut requests)
                .await
                .map_err(|what| format!("step {at}: {what}"))?;
            clocks.iter().for_each(|clock| clock.advance(step.length()));
        }
        let stored = first.task(namespace(), step.id()).await.map_err(|error| error.to_string())?;
        batch.extend(step.command(stored.as_ref(), clocks[0]));
    }
    send(&mut batch, first, second, &mut requests).await?;
    compare_what_is_stored(first, second).await
}

/// The same steps with the scope for any lease: the scope is not sent, because a server sets it by the sender.
pub fn within_any_reach(steps: Vec<TraceStep>) -> Vec<TraceStep> {
    let reaching = |step: TraceStep| TraceStep {
        dice: [&step.dice[..3], &[step.dice[3] | 1], &step.dice[4..]]
            .concat()
            .try_into()
            .expect("as many dice"),
        ..step
    };
    steps.into_iter().map(reaching).collect()
}

/// A store behind a network that loses requests and responses, with the store that it is compared with.
pub struct Lossy<'s> {
    /// The answers without the network.
    pub reference: &'s dyn Store,
    /// The store, as it is reached through the network.
    pub far: &'s dyn Store,
    /// The same store, where it is.
    pub near: &'s dyn Store,
}

/// Gives the steps to both. A command that is sent again is decided at a later instant, so instants are compared to the
/// millisecond; and of a heartbeat that was sent again, which has no name to know it by, a refusal tells nothing of the first.
pub async fn compare_lossy(
    steps: &[TraceStep],
    stores: Lossy<'_>,
    clocks: [&ManualClock; 2],
) -> Result<(), String> {
    for (at, step) in steps.iter().enumerate() {
        // A millisecond between two steps, in which a command may be sent again and again.
        let length = Span::from_micros(step.length().as_micros() + 1_000);
        clocks.iter().for_each(|clock| clock.advance(length));
        let stored = stores.near.task(namespace(), step.id()).await.map_err(|error| error.to_string())?;
        let Some(command) = step.command(stored.as_ref(), clocks[0]) else { continue };
        let commands = vec![command.clone()];
        let one = stores.reference.transact(commands.clone()).await.pop();
        let other = stores.far.transact(commands).await.pop();
        let (one, other) = one.zip(other).ok_or_else(|| format!("step {at}: no answer"))?;
        let has_no_name = matches!(
            command.action,
            Action::ByHolder { act: HolderAction::Heartbeat { .. }, .. }
                | Action::ByHolder { act: HolderAction::Progress { .. }, .. }
        );
        let before = "an earlier try may have succeeded; the last one was refused";
        let nobody_knows = has_no_name
            && matches!(&other, Err(Error::Unknown(words)) if words.message().starts_with(before));
        let (told, heard) = (roughly(&told(&one)), roughly(&told(&other)));
        if !nobody_knows && told != heard {
            return Err(format!("step {at}: {command:?}\nis answered {told}\nand           {heard}"));
        }
    }
    let history = |store| async move {
        let store: &dyn Store = store;
        let page = store
            .events(EventFilter::default(), None, EVERYTHING)
            .await
            .map_err(|error| error.to_string())?;
        let told = page.items.iter().map(|one| {
            format!(
                "{} {} {} {} {}",
                one.event.subject,
                one.event.number,
                one.event.actor,
                one.event.what.kind(),
                roughly(&one.data)
            )
        });
        Ok::<_, String>(told.collect::<Vec<_>>())
    };
    same("history", &history(stores.reference).await?, &history(stores.near).await?)
}

/// An answer as surfaces write it.
fn told(answer: &Result<Answer, Error>) -> String {
    tenure::api::to_json(&tenure::record::answer(answer, tenure::core::time::Time::MIN))
}

/// Instants to the millisecond: what is behind it is how often a command had to be sent.
fn roughly(text: &str) -> String {
    let (mut rough, mut rest) = (String::new(), text);
    // `2026-01-01T00:00:00.123456Z`: the three digits in front of a `Z` that stands behind six of them.
    while let Some(at) = rest.find("Z\"") {
        let (before, after) = rest.split_at(at);
        let is_instant = before.len() > 7
            && before.as_bytes()[before.len() - 7] == b'.'
            && before[before.len() - 6..].bytes().all(|byte| byte.is_ascii_digit());
        rough.push_str(if is_instant { &before[..before.len() - 3] } else { before });
        rough.push('Z');
        rest = &after[1..];
    }
    rough.push_str(rest);
    rough
}

/// What each request id was answered first. A trace is shorter than their memory.
#[derive(Default)]
struct Requests(HashMap<RequestId, (Action, Actor, Answer)>);

impl Requests {
    /// The same command by the same actor is answered as it was first; another one is refused.
    fn check(&mut self, command: &Command, answer: &Result<Answer, Error>) -> Result<(), String> {
        let remembers = !matches!(
            command.action,
            Action::ByHolder { act: HolderAction::Heartbeat { .. }, .. }
                | Action::ByHolder { act: HolderAction::Progress { .. }, .. }
        );
        let Some(id) = command.request.as_ref().filter(|_| remembers) else { return Ok(()) };
        let malformed = answer.as_ref().is_err_and(|error| error.code() == Some(Code::Invalid));
        match (self.0.get(id), answer) {
            (None, Ok(answer)) => {
                self.0.insert(id.clone(), (command.action.clone(), command.actor.clone(), answer.clone()));
                Ok(())
            }
            (None, Err(_)) => Ok(()),
            (Some((action, actor, first)), answer)
                if (action, actor) == (&command.action, &command.actor) =>
            {
                same("a repeated request", &Ok(first.clone()), answer)
            }
            (Some(_), Err(error)) if malformed || error.code() == Some(Code::RequestReused) => Ok(()),
            (Some(_), answer) => Err(format!("the request id {id} was used again: {answer:?}")),
        }
    }
}

async fn send(
    batch: &mut Vec<Command>,
    first: &dyn Store,
    second: &dyn Store,
    requests: &mut Requests,
) -> Result<(), String> {
    let commands = std::mem::take(batch);
    let (one, other) = (first.transact(commands.clone()).await, second.transact(commands.clone()).await);
    for ((command, one), other) in commands.iter().zip(&one).zip(&other) {
        if one != other {
            return Err(format!("{command:?}\nis answered {one:?}\nand           {other:?}"));
        }
        requests.check(command, one)?;
    }
    Ok(())
}

/// Tasks, history to the byte, what is stale and what is due.
pub async fn compare_what_is_stored(first: &dyn Store, second: &dyn Store) -> Result<(), String> {
    for stale in [false, true] {
        let filter = || Filter::default().with(|filter| filter.stale = stale);
        let one = first.tasks(filter(), None, EVERYTHING).await.map_err(|error| error.to_string())?;
        let other = second.tasks(filter(), None, EVERYTHING).await.map_err(|error| error.to_string())?;
        same(&format!("tasks, stale only: {stale}"), &one.items, &other.items)?;
    }
    let glance = |store| async move {
        let store: &dyn Store = store;
        let mut overview = store.overview(namespace()).await.map_err(|error| error.to_string())?;
        // How a database is set is nothing that a trace did.
        overview.warnings.clear();
        let holdings = store.holdings(namespace()).await.map_err(|error| error.to_string())?;
        Ok::<_, String>((overview, holdings))
    };
    same("the namespace at a glance", &glance(first).await?, &glance(second).await?)?;
    let history = |store| async move {
        let store: &dyn Store = store;
        let page = store
            .events(EventFilter::default(), None, EVERYTHING)
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(page.items.into_iter().map(|one| (one.event, one.data, one.hash)).collect::<Vec<_>>())
    };
    same("history", &history(first).await?, &history(second).await?)?;
    let lapsed = |store| async move {
        let store: &dyn Store = store;
        let lapsed = store.lapsed(None, ALL).await.map_err(|error| error.to_string())?;
        let mut tasks = lapsed.tasks;
        tasks.sort();
        Ok::<_, String>((tasks, lapsed.next_check))
    };
    let (one, other) = (lapsed(first).await?, lapsed(second).await?);
    same("what is due", &one.0, &other.0)?;
    // The next check is a hint, and the first store's is exact: another's may be earlier but not later.
    match (one.1, other.1) {
        (None, None) => Ok(()),
        (Some(exact), Some(hint)) if hint <= exact => Ok(()),
        hints => Err(format!("the next checks are {hints:?}")),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one:?}\nand {other:?}")) }
}

impl TraceStep {
    fn id(&self) -> TaskId {
        TaskId::new(format!("t{}", self.task)).expect("a name")
    }

    fn owner(&self) -> Owner {
        Owner::new(format!("w{}", self.owner)).expect("a name")
    }

    /// Mostly short, sometimes beyond every lease.
    fn length(&self) -> Span {
        match self.tick {
            0..100 => Span::ZERO,
            100..200 => Span::from_secs(u64::from(self.tick) % 7),
            200..240 => Span::from_secs(u64::from(self.tick) % 40),
            240.. => Span::from_secs(3_000),
        }
    }

    fn dice(&self, at: usize, sides: u8) -> u8 {
        self.dice[at] % sides
    }

    /// The proof that is right, three times in four.
    fn by(&self, stored: Option<&Task>) -> Holder {
        let right = stored.and_then(Task::lease).map(|lease| lease.holder());
        match (self.dice(0, 8), right) {
            (0, Some(right)) => Holder { owner: self.owner(), ..right },
            (1, Some(right)) => Holder { epoch: Epoch(right.epoch.0.saturating_sub(1)), ..right },
            (_, Some(right)) => right,
            (at, None) => Holder { owner: self.owner(), epoch: Epoch(u64::from(at)) },
        }
    }

    fn ttl(&self) -> Option<Ttl> {
        let seconds = [10, 30, 120].get(usize::from(self.dice(1, 4)))?;
        Ttl::new(Span::from_secs(*seconds)).ok()
    }

    fn seq(&self) -> Seq {
        Seq(u32::from(self.dice(2, 4)) + 1)
    }

    fn undo(&self) -> Undo {
        let kind = ["a", "b", "b", Kind::NONE][usize::from(self.dice(3, 4))];
        let target = Text::new(format!("x{}", self.dice[4])).expect("a text");
        Undo { kind: Kind::new(kind).expect("a name"), target, reason: None }
    }

    fn words(&self) -> Reason {
        Reason::new(format!("because {}", self.dice[4])).expect("words")
    }

    fn json(&self) -> Option<Document> {
        let value =
            if self.dice(4, 3) == 0 { "null".to_owned() } else { format!("{{\"n\":{}}}", self.dice[4]) };
        (self.dice(5, 3) == 0).then(|| Document::new(value).expect("JSON"))
    }

    fn progress(&self) -> Option<Progress> {
        let value = if self.dice(4, 3) == 0 { "null".to_owned() } else { self.dice[4].to_string() };
        (self.dice(5, 2) == 0).then(|| Progress::new(value).expect("JSON"))
    }

    fn waivers(&self, stored: Option<&Task>) -> Vec<Waiver> {
        if self.dice(5, 4) == 0 {
            return vec![Waiver { seq: self.seq(), reason: self.words() }];
        }
        let owed = stored.into_iter().flat_map(Task::owed);
        owed.map(|one| Waiver { seq: one.seq, reason: self.words() }).collect()
    }

    /// Some of what is owed as waived, the rest with receipts.
    fn settled(&self, stored: Option<&Task>) -> (Vec<Waiver>, Vec<HandReceipt>) {
        let mut waive = self.waivers(stored);
        let rest = waive.split_off(waive.len() / (1 + usize::from(self.dice(3, 3))));
        (waive, rest.iter().map(|waiver| self.receipt(waiver.seq)).collect())
    }

    fn receipt(&self, seq: Seq) -> HandReceipt {
        HandReceipt { seq, receipt: Text::new(format!("hand {}", self.dice[4])).expect("a text") }
    }

    fn labels(&self) -> LabelChanges {
        let key = |at: u8| LabelKey::new(format!("k{}", self.dice(usize::from(at), 4))).expect("a key");
        let value = LabelValue::new(self.dice[4].to_string()).expect("a value");
        let (set, unset) = (key(0), key(1));
        LabelChanges {
            unset: Some(unset).filter(|unset| *unset != set).into_iter().collect(),
            set: [(set, value)].into(),
        }
    }

    fn policy(&self) -> Policy {
        let seconds = |at, every: u8| {
            (self.dice(at, every) == 0).then(|| Span::from_secs(u64::from(self.dice[at] / every) + 1))
        };
        Policy::default().with(|policy| {
            policy.lease_ttl = Ttl::new(Span::from_secs(20)).expect("a length");
            policy.max_attempts = u32::from(self.dice(0, 3)) + 1;
            policy.on_lapse = OnLapse::ALL[usize::from(self.dice(1, 8)) % 5 % 4];
            policy.recover_after = seconds(2, 3).filter(|_| policy.on_lapse == OnLapse::Either);
            policy.on_failure = [OnFailure::Fail, OnFailure::Quarantine][usize::from(self.dice(3, 3) / 2)];
            policy.when_spent =
                [WhenSpent::Compensated, WhenSpent::Quarantined][usize::from(self.dice(2, 2))];
            policy.stall_after = seconds(3, 5);
            policy.time_limit = seconds(4, 5);
            policy.start_within = seconds(5, 5);
            policy.lock_delay = seconds(2, 7);
            policy.cancel_grace = seconds(1, 5);
        })
    }

    fn record(&self, clock: &ManualClock) -> tenure::core::command::Create {
        let mut record = Create::new(self.id(), IdOrigin::Given);
        record.policy = self.policy();
        record.queue = Queue::new(format!("q{}", self.dice(3, 2))).expect("a name");
        record.priority = i32::from(self.dice(4, 3));
        record.not_before =
            (self.dice(5, 4) == 0).then(|| clock.now() + Span::from_secs(u64::from(self.dice(4, 20))));
        record.saga_id =
            (self.dice(0, 6) == 0).then(|| SagaId::new(format!("t{}", self.dice(1, 4))).expect("a name"));
        record.payload = self.json().unwrap_or_else(Document::null);
        record
    }

    fn put(&self, stored: Option<&Task>, clock: &ManualClock) -> Put {
        let mut put = match stored {
            Some(task) => Put::of(task),
            None => Put { record: self.record(clock), ..Put::new(TaskId::new("t0").expect("a name")) },
        };
        put.record.task = self.id();
        if self.dice(0, 3) == 0 {
            put.record.priority += 1;
        }
        if self.dice(1, 3) == 0 {
            put.compensations.push(PutUndo { seq: None, undo: self.undo() });
        }
        if stored.is_none() && self.dice(2, 3) == 1 {
            put.state = [State::Running, State::Dispatched][usize::from(self.dice(3, 2))];
            let seconds = u64::from(self.dice(4, 60));
            let at = clock.now();
            let expires_at = if self.dice(5, 3) == 0 {
                at - Span::from_secs(seconds)
            } else {
                at + Span::from_secs(seconds)
            };
            put.holder = Some(PutHolder { owner: self.owner(), granted_to: None, expires_at });
            put.reason = Some(self.words()).filter(|_| self.dice(1, 5) != 0);
        }
        if self.dice(2, 3) == 0 {
            put.state = State::ALL[usize::from(self.dice(3, 8))];
            put.terminal_reason = put.state.terminal().map(|_| self.words());
        }
        if self.dice(4, 6) == 0 {
            put.revision = None;
        }
        put
    }

    fn command(&self, stored: Option<&Task>, clock: &ManualClock) -> Option<Command> {
        let action = self.action(stored, clock);
        // Few enough that repeats happen, with the same and with other commands.
        let request = (self.dice(1, 6) == 0).then(|| format!("r{}", self.dice(2, 6)));
        let actor = action.holder().map_or_else(|| self.owner(), |by| by.owner.clone());
        Some(Command {
            namespace: namespace(),
            actor: Actor::from(&actor),
            request: request.map(|id| RequestId::new(id).expect("a name")),
            jitter: Jitter::from_random(u16::from(self.dice[3]) << 8),
            lease_scope: if self.dice[3].is_multiple_of(4) { LeaseScope::OwnLeases } else { LeaseScope::Any },
            action,
        })
    }

    fn label(&self, task: TaskId, by: Holder) -> Action {
        let changes = self.labels();
        match self.dice(3, 3) {
            1 => HolderAction::Label { changes }.on(task, by),
            _ => OperatorAction::Label { changes, reason: Some(self.words()) }.on(task),
        }
    }

    fn marked(&self, stored: Option<&Task>, task: TaskId) -> Action {
        let (reason, compensation) = (self.words(), (self.dice(1, 2) == 0).then(|| self.undo()));
        match self.dice(3, 4) {
            0 => OperatorAction::MarkCompleted { reason, result: self.json() }.on(task),
            1 => OperatorAction::MarkFailed { reason, compensation }.on(task),
            2 => {
                let (waive, settled) = self.settled(stored);
                OperatorAction::MarkCompensated { reason, waive, settled }.on(task)
            }
            _ => OperatorAction::MarkQuarantined { reason }.on(task),
        }
    }

    fn action(&self, stored: Option<&Task>, clock: &ManualClock) -> Action {
        let (task, by, owner, ttl) = (self.id(), self.by(stored), self.owner(), self.ttl());
        let (reason, progress, checkpoint) = (self.words(), self.progress(), self.json());
        let compensation = (self.dice(1, 2) == 0).then(|| self.undo());
        match self.verb {
            0..=2 => {
                let mut record = self.record(clock);
                record.compensations = (0..self.dice(2, 3)).map(|_| self.undo()).collect();
                Action::Create(Box::new(record))
            }
            3..=4 => Action::Put(Box::new(self.put(stored, clock))),
            5 => Action::Take { task, take: Take::Dispatch, owner, ttl },
            6..=9 => Action::Take { task, take: Take::Acquire, owner, ttl },
            10..=11 => Action::Claim {
                queue: Queue::new(format!("q{}", self.dice(3, 2))).expect("a name"),
                limit: u32::from(self.dice(4, 4)),
                owner,
                ttl,
            },
            12..=14 => HolderAction::Heartbeat { ttl, progress, checkpoint }.on(task, by),
            15 => HolderAction::Progress { progress, checkpoint }.on(task, by),
            16 => {
                let delay = (self.dice(3, 2) == 0).then(|| Span::from_secs(u64::from(self.dice(4, 9))));
                HolderAction::Release { reason, delay }.on(task, by)
            }
            17..=19 => {
                let by = Some(by).filter(|_| self.dice(1, 4) != 0);
                let undo = self.undo();
                match by {
                    Some(by) => HolderAction::Register { undo }.on(task, by),
                    None => OperatorAction::Register { undo }.on(task),
                }
            }
            20 if self.dice(3, 3) == 0 => HolderAction::Adopt.on(task, by),
            20 => self.label(task, by),
            21 if self.dice(3, 2) == 0 => {
                OperatorAction::Settle { done: self.receipt(self.seq()), reason }.on(task)
            }
            21..=23 => HolderAction::Settle { seq: self.seq(), receipt: Text::new("done").expect("a text") }
                .on(task, by),
            24 => HolderAction::Try { seq: self.seq(), error: Text::new("no").expect("a text") }.on(task, by),
            25 => OperatorAction::Waive { waiver: Waiver { seq: self.seq(), reason } }.on(task),
            26 => HolderAction::Complete { result: checkpoint }.on(task, by),
            27 => HolderAction::Fail { reason, compensation }.on(task, by),
            28..=29 => {
                let undo_by = [UndoBy::Recovery, UndoBy::Holder][usize::from(self.dice(3, 2))];
                HolderAction::RollBack { reason, undo_by }.on(task, by)
            }
            30 => HolderAction::Quarantine { reason, cause: QuarantineCause::ByHolder }.on(task, by),
            31 => self.marked(stored, task),
            32 => OperatorAction::Cancel { reason }.on(task),
            33..=36 => Action::Take { task, take: Take::Reclaim, owner, ttl },
            37 => {
                let terminal_reason = (self.dice(3, 2) == 0).then(|| reason.clone());
                let triage = [Triage::Stays, Triage::Dismissed][usize::from(self.dice(4, 2))];
                OperatorAction::Annotate { note: Some(reason), terminal_reason, triage }.on(task)
            }
            _ => {
                let successor = TaskId::new(format!("t{}", self.dice(3, TASKS + 2))).expect("a name");
                let ((waive, settled), id_origin) = (self.settled(stored), IdOrigin::Given);
                OperatorAction::Retry { successor, id_origin, reason, waive, settled }.on(task)
            }
        }
    }
}
