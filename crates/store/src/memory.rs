//! The memory store: for tests, and the reference that every other store is compared with. Nothing is kept after the
//! process ends.
//!
//! It scans where other stores use an index, because being obviously right matters more here than speed.

mod filter;
mod log;
mod moving;
mod namespace_ends;
mod namespaces;
mod retained;
mod retention;
mod search;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure_clock::{Clock, Instants, Moment, SystemClock};
use tenure_core::case::Names;
use tenure_core::command::Command;
use tenure_core::event::{Event, Subject};
use tenure_core::id::{Actor, Epoch, Namespace, Queue, RequestId, Revision, SagaId, TaskId};
use tenure_core::lifecycle::Table;
use tenure_core::task::{Phase, Task};
use tenure_core::time::Time;
use tokio::sync::watch;

use crate::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use crate::answering::{AnswerOptions, Answered};
use crate::budget::AnswerBudget;
use crate::columns::owned_rows_of;
use crate::committer::{CommitRequest, Done, run_jobs};
use crate::due::Due;
use crate::ends;
use crate::error::Error;
use crate::execute::{REQUEST_MEMORY, execute, next_in_queue};
use crate::filling::PageFill;
use crate::mark::{MarkRenewal, watchers_of};
use crate::metrics::{Counters, StoreMetrics};
use crate::namespace_history::SweepNote;
use crate::overview::{self, Holding, OVERVIEW_STATES, Overview};
use crate::remembered::Request;
use crate::rows::{Change, LeaseRow, Rows, StoredTask};
use crate::size::{chain_bytes, event_bytes, task_bytes};
use crate::store::RetentionStore;
use crate::stored::StoredChain;
use crate::tokens::{Known, TokenChange};
use crate::watch::{Absence, Presence, Watchers};
use filter::passes;
use log::EventLog;
use namespace_ends::StoredNamespace;
use retained::Retained;

use crate::{
    BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Order, Page, PageSize,
    Recorded, Store, TransferStore,
};

/// A store in memory. Its data is lost when it is dropped.
pub struct MemoryStore {
    state: Mutex<Memory>,
    clock: Arc<dyn Clock>,
    table: &'static Table,
    /// The number of events, for followers.
    grown: watch::Sender<i64>,
    counters: Counters,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::with_clock(Arc::new(SystemClock::default()))
    }
}

impl MemoryStore {
    /// An empty store with a clock of the caller's.
    pub fn with_clock(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore::with_rules(clock, Table::rules())
    }

    /// An empty store with other rules, by which tests show that each guard matters.
    #[doc(hidden)]
    pub fn with_rules(clock: Arc<dyn Clock>, table: &'static Table) -> MemoryStore {
        MemoryStore {
            state: Mutex::default(),
            clock,
            table,
            grown: watch::Sender::new(0),
            counters: Counters::default(),
        }
    }

    /// A panic in a decision leaves the maps as they were: nothing is written before the decision.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_by(&self, memory: &Memory) -> Time {
        self.clock.read().wall.max(memory.last.unwrap_or(Time::MIN))
    }

    fn change_tokens(&self, change: TokenChange) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let now = self.now_by(&memory);
            memory.change_tokens(change, now)
        })
    }

    fn transact_now(&self, commands: Vec<Command>, options: AnswerOptions) -> Answered {
        let began = Moment::now();
        let mut memory = self.memory();
        let last = memory.last.unwrap_or(Time::MIN);
        let mut instants = Instants::from(self.clock.read().wall, last);
        let run = |command: &Command, budget: &mut AnswerBudget| {
            let now = instants.take();
            memory.last = Some(now);
            let executed = execute(&mut *memory, self.table, command, now, budget)?;
            Ok::<_, Infallible>(executed.map(|verdict| verdict.map_err(Error::Refused)))
        };
        let job = CommitRequest { commands, options };
        let Ok(done) = run_jobs(std::slice::from_ref(&job), run);
        let Done { answers, next_bytes } = done.into_iter().next().unwrap_or_default();
        let count = memory.events.newest();
        drop(memory);
        self.counters.committed(answers.len(), Moment::now().since(began));
        self.grown.send_if_modified(|grown| std::mem::replace(grown, count) != count);
        let mut commands = job.commands;
        let rest = commands.split_off(answers.len());
        Answered { answers, rest, next_bytes }
    }
}

#[derive(Default)]
struct Memory {
    /// Their rows are numbered in the order of creation.
    tasks: BTreeMap<(Namespace, TaskId), StoredTask>,
    sagas: HashMap<(Namespace, SagaId), TaskId>,
    events: EventLog,
    /// How many tasks were made: their rows are numbered by it.
    made: i64,
    requests: HashMap<(Namespace, RequestId), Request>,
    last: Option<Time>,
    floor: Epoch,
    /// The watch mark, and the recovery processes.
    watch: BTreeMap<String, String>,
    tokens: Tokens,
    retained: Retained,
    /// The histories of namespaces themselves.
    namespaces: BTreeMap<Namespace, StoredNamespace>,
}

impl Rows for Memory {
    type Fault = Infallible;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<StoredTask>, Infallible> {
        Ok(self.tasks.get(&(namespace.clone(), id.clone())).cloned())
    }

    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<LeaseRow>, Infallible> {
        let Some(kept) = self.tasks.get(&(namespace.clone(), id.clone())) else { return Ok(None) };
        let Some(due) = Due::of(&kept.task) else { return Ok(None) };
        let task = due.seen_by_heartbeat(namespace, id);
        Ok(task.map(|task| LeaseRow { row: kept.row, check_at: due.check_at, task: Arc::new(task) }))
    }

    fn names(&mut self, namespace: &Namespace, id: &TaskId, saga_id: &SagaId) -> Result<Names, Infallible> {
        let name = (namespace.clone(), id.clone());
        let id_taken = self.tasks.contains_key(&name) || self.retained.pruned.contains_key(&name);
        let saga_taken = self.sagas.contains_key(&(namespace.clone(), saga_id.clone()));
        Ok(if id_taken || saga_taken { Names::Taken } else { Names::Free })
    }

    fn claimable(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        limit: u32,
        now: Time,
    ) -> Result<Vec<TaskId>, Infallible> {
        Ok(next_in_queue(self.tasks.values(), (namespace, queue), limit, now))
    }

    fn history(
        &mut self,
        namespace: &Namespace,
        id: &TaskId,
        up_to: Revision,
    ) -> Result<Vec<Event>, Infallible> {
        let of_task = |event: &&Event| event.namespace == *namespace && event.subject == *id;
        let events = self.events.iter().map(|(_, sealed)| &sealed.event).filter(of_task);
        Ok(events.filter(|event| event.number <= up_to).cloned().collect())
    }

    fn request(&mut self, namespace: &Namespace, id: &RequestId) -> Result<Option<Request>, Infallible> {
        Ok(self.requests.get(&(namespace.clone(), id.clone())).cloned())
    }

    fn remember(
        &mut self,
        namespace: &Namespace,
        id: &RequestId,
        request: &Request,
    ) -> Result<(), Infallible> {
        self.requests.insert((namespace.clone(), id.clone()), request.clone());
        Ok(())
    }

    fn write(&mut self, change: Change<'_>) -> Result<(), Infallible> {
        let task = Arc::new(change.after.clone());
        let row = change.before.map_or(self.made, |kept| kept.row);
        self.made = self.made.max(row + 1);
        let key = (task.namespace.clone(), task.id.clone());
        self.sagas.insert((task.namespace.clone(), task.saga_id.clone()), task.id.clone());
        self.tasks.insert(key, StoredTask { row, task, head: change.head });
        change.events.into_iter().for_each(|sealed| self.events.push(row, sealed));
        Ok(())
    }

    fn renew(&mut self, _before: LeaseRow, after: &Task, _now: Time) -> Result<(), Infallible> {
        let row = self.tasks.get_mut(&(after.namespace.clone(), after.id.clone()));
        let Some(task) = row.map(|kept| Arc::make_mut(&mut kept.task)) else { return Ok(()) };
        if let (Some(stored), Some(lease)) = (task.lease_mut(), after.lease()) {
            stored.clone_from(lease);
        }
        if let Some(checkpoint) = &after.checkpoint {
            task.checkpoint = Some(checkpoint.clone());
        }
        Ok(())
    }

    fn floor(&mut self) -> Result<Epoch, Infallible> {
        Ok(self.floor)
    }

    fn broken(&mut self, what: String) -> Infallible {
        panic!("the memory store is inconsistent: {what}")
    }
}

impl Memory {
    fn change_tokens(&mut self, change: TokenChange, now: Time) -> Result<Token, Error> {
        let all = &mut self.tokens;
        let namesake = all.tokens.iter().rposition(|listed| listed.token.name == *change.name());
        let known = Known {
            namesake: namesake.map(|at| all.tokens[at].token.clone()),
            same_hash: all
                .tokens
                .iter()
                .find(|listed| Some(listed.hash) == change.hash())
                .map(|listed| listed.token.clone()),
        };
        let decided = change.decide(known, now)?;
        all.version = decided.version(all.version, now);
        if let (Some((at, by)), Some(namesake)) = (decided.revoke, namesake) {
            let namesake = &mut all.tokens[namesake].token;
            (namesake.revoked_at, namesake.revoked_by) = (Some(at), by);
        }
        all.tokens.extend(decided.add);
        Ok(decided.token)
    }

    fn in_namespace<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a StoredTask> {
        self.tasks.values().filter(move |kept| kept.task.namespace == *namespace)
    }

    fn list(&self, filter: &Filter, after: Option<i64>, size: PageSize, now: Time) -> Page<Task> {
        let mut rows: Vec<&StoredTask> =
            self.tasks.values().filter(|kept| passes(filter, &kept.task, now)).collect();
        rows.sort_by_key(|kept| kept.row);
        match filter.order {
            Order::Newest => {
                rows.retain(|kept| after.is_none_or(|after| kept.row < after));
                rows.reverse();
            }
            Order::Oldest => rows.retain(|kept| after.is_none_or(|after| kept.row > after)),
        }
        let mut page = PageFill::new(size);
        let fits = rows.iter().take_while(|kept| page.takes(task_bytes(&kept.task))).count();
        let more = rows.len() > fits;
        rows.truncate(fits);
        let next = rows.last().filter(|_| more).map(|kept| Cursor::of('t', kept.row));
        let items = rows.into_iter().map(|kept| Task::clone(&kept.task)).collect();
        let is_cut = page.is_cut() && next.is_some();
        Page::new(items, next, is_cut)
    }

    fn lapsed(&self, after: Option<(i64, i64)>, limit: usize, now: Time) -> Lapsed {
        let waits = self.tasks.values().filter_map(|kept| {
            let due = Due::of(&kept.task)?;
            (!due.held_back).then_some((due, kept))
        });
        let (past, ahead): (Vec<_>, Vec<_>) = waits.partition(|(due, _)| due.reclaimable_at() <= now);
        let next_check = ahead.iter().map(|(due, _)| due.reclaimable_at()).min();
        let mut past: Vec<_> = past.into_iter().map(|(due, kept)| (due.check_at, kept)).collect();
        past.sort_by_key(|(check_at, kept)| (*check_at, kept.row));
        past.retain(|(check_at, kept)| after.is_none_or(|after| (check_at.as_micros(), kept.row) > after));
        let more = past.len() > limit;
        past.truncate(limit);
        let last = past.last().filter(|_| more);
        let next = last.map(|(check_at, kept)| Cursor::between('d', check_at.as_micros(), kept.row));
        let name = |task: &Task| (task.namespace.clone(), task.id.clone());
        Lapsed { tasks: past.iter().map(|(_, kept)| name(&kept.task)).collect(), next, next_check }
    }

    fn read_events(&self, filter: &EventFilter, after: i64, size: PageSize) -> Page<Recorded> {
        let wanted = |event: &Event| {
            filter.namespace.as_ref().is_none_or(|namespace| event.namespace == *namespace)
                && filter.task.as_ref().is_none_or(|task| event.subject == *task)
        };
        let behind = self.events.after(after);
        let recorded = behind.filter(|(_, sealed)| wanted(&sealed.event)).map(|(place, sealed)| Recorded {
            cursor: Cursor::of('e', place),
            event: sealed.event.clone(),
            hash: sealed.hash,
            data: sealed.data.clone(),
        });
        let mut page = PageFill::new(size);
        let items: Vec<Recorded> =
            recorded.take_while(|recorded| page.takes(event_bytes(recorded))).collect();
        let last = items.last().filter(|_| page.is_full()).map(|last| last.cursor.clone());
        let next = last.unwrap_or_else(|| Cursor::of('e', self.events.newest().max(after)));
        Page::new(items, Some(next), page.is_cut())
    }

    fn watchers(&self, namespace: &Namespace, now: Time) -> Watchers {
        let rows = self.watch.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        watchers_of(rows, namespace, now)
    }

    fn chains(&self, after: Option<i64>, size: PageSize) -> Page<StoredChain> {
        let is_behind = |row: i64| after.is_none_or(|after| row > after);
        let mut rows: Vec<&StoredTask> = self.tasks.values().filter(|kept| is_behind(kept.row)).collect();
        rows.sort_by_key(|kept| kept.row);
        let mut page = PageFill::new(size);
        // The numbers of namespaces are below those of tasks.
        let chains = self.namespace_chains(is_behind).chain(rows.into_iter().map(|kept| self.chain(kept)));
        let items: Vec<StoredChain> = chains.take_while(|chain| page.takes(chain_bytes(chain))).collect();
        let next = items.last().filter(|_| page.is_full()).map(|last| Cursor::of('c', last.row));
        Page::new(items, next, page.is_cut())
    }

    fn chain(&self, kept: &StoredTask) -> StoredChain {
        let task = &kept.task;
        StoredChain {
            row: kept.row,
            name: Some((task.namespace.clone(), task.id.clone().into())),
            stored_name: Some(format!("{}/{}", task.namespace, task.id)),
            rows: owned_rows_of(task, &kept.head),
            apart: Vec::new(),
            events: self.events.stored_of_row(kept.row),
        }
    }
}

impl crate::InternalStore for MemoryStore {}

impl Store for MemoryStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        Box::pin(async move { self.transact_now(commands, options) })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(async move {
            let Ok(kept) = self.memory().task(&namespace, &id);
            Ok(kept.map(StoredTask::into_task))
        })
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            filter.check()?;
            let after = after.map(|cursor| cursor.number('t')).transpose()?;
            let memory = self.memory();
            Ok(memory.list(&filter, after, size, self.now_by(&memory)))
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            let after = after.map(|cursor| cursor.numbers('d')).transpose()?;
            let memory = self.memory();
            Ok(memory.lapsed(after, limit.max(1), self.now_by(&memory)))
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let at = self.now_by(&memory);
            let count = |state| {
                let in_state = memory.in_namespace(&namespace).filter(|kept| kept.task.state() == state);
                overview::count(state, in_state.map(|kept| (kept.row, &*kept.task)), at)
            };
            let tasks = || memory.in_namespace(&namespace).map(|kept| &*kept.task);
            let ended = || tasks().chain(memory.retained.ends(&namespace));
            Ok(Overview {
                at,
                states: OVERVIEW_STATES.map(count).to_vec(),
                ends: ends::count(ended(), at),
                queues: overview::queues(tasks(), at),
                minutes: ends::count_by_minute(tasks(), at),
                told_to_stop: overview::told_to_stop(tasks(), at),
                recovery: memory.watchers(&namespace, at),
                warnings: Vec::new(),
            })
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let now = self.now_by(&memory);
            Ok(overview::holdings(memory.in_namespace(&namespace).map(|kept| &*kept.task), now))
        })
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let in_queue = memory.in_namespace(&namespace).filter(|kept| kept.task.queue == queue);
            let waits = in_queue.filter_map(|kept| match &kept.task.phase {
                Phase::Planned => Some(kept.task.due_since()),
                Phase::Dispatched(reservation) => Some(reservation.expires_at),
                Phase::Running(_) | Phase::Compensating { .. } | Phase::Ended(_) => None,
            });
            Ok(waits.min())
        })
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let now = self.now_by(&memory);
            let request = memory.requests.get(&(namespace, id));
            Ok(request.is_some_and(|request| now < request.at + REQUEST_MEMORY))
        })
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        Box::pin(async move {
            let (after, memory) = (place(after)?, self.memory());
            if after > memory.events.newest() {
                return Err(Cursor::ahead());
            }
            Ok(memory.read_events(&filter, after, size))
        })
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        Box::pin(async move {
            search.check()?;
            let after = after.map(|cursor| cursor.number('e')).transpose()?;
            let memory = self.memory();
            if after.is_some_and(|after| after > memory.events.newest()) {
                return Err(Cursor::ahead());
            }
            Ok(memory.search(&search, after, size))
        })
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(async move { Ok(Cursor::of('e', self.memory().events.newest())) })
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let after = place(after)?;
            if after > self.memory().events.newest() {
                return Err(Cursor::ahead());
            }
            let mut grown = self.grown.subscribe();
            // The sender lives as long as the store, so waiting ends only with more events.
            let waited = grown.wait_for(|count| *count > after).await;
            waited.map(|_| ()).map_err(|_| Error::Unavailable("the store is closed".into()))
        })
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        Box::pin(async move {
            let after = after.map(|cursor| cursor.number('c')).transpose()?;
            Ok(self.memory().chains(after, size))
        })
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            Ok(match subject {
                Subject::Task(id) => memory.tasks.get(&(namespace, id)).map(|kept| memory.chain(kept)),
                Subject::Namespace => memory.namespace_chain(&namespace),
            })
        })
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move { self.note(note) })
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            let mut memory = self.memory();
            let stored: Vec<(String, String)> = memory.watch.clone().into_iter().collect();
            let renewal = MarkRenewal::of(&stored, &presence, self.now_by(&memory));
            memory.watch.retain(|key, _| !renewal.forgotten.contains(key));
            memory.watch.extend(renewal.written);
            Ok(renewal.absence)
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            Ok(memory.watchers(&namespace, self.now_by(&memory)))
        })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            let names = memory.tasks.keys().chain(memory.retained.pruned.keys());
            let namespaces: BTreeSet<&Namespace> = names.map(|(namespace, _)| namespace).collect();
            Ok(namespaces.into_iter().cloned().collect())
        })
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(async move {
            let memory = self.memory();
            Ok(Some(memory.tokens.clone()).filter(|tokens| known != Some(tokens.version)))
        })
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.change_tokens(TokenChange::Add(hash, new))
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        self.change_tokens(TokenChange::Revoke { which, by })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move { Ok(self.now_by(&self.memory())) })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        Box::pin(async move { Ok(self.counters.metrics(0)) })
    }

    fn transfer(&self) -> Option<&dyn TransferStore> {
        Some(self)
    }

    fn retention(&self) -> &dyn RetentionStore {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn place(after: Option<Cursor>) -> Result<i64, Error> {
    after.map_or(Ok(0), |cursor| cursor.number('e'))
}
