//! Fetches what a batch reads, in at most two round trips: first what its commands name, then what the results of
//! that name.
//!
//! All batches take locks in one order: tasks, their rows in `due`, the intake, then what a claim finds without
//! waiting. A batch of known tasks takes none before its writes, and waits for others only for a moment.

mod answers;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tenure_core::command::{Action, Command, HolderAction, Take};
use tenure_core::event::{EventData, Subject};
use tenure_core::id::{Epoch, Namespace, Queue, RequestId, SagaId, TaskId};
use tenure_core::time::Time;
use tenure_store::columns::{
    Policies, Row as _, TASK_COLUMN_COUNT, TaskParts, read_due, read_event, read_request, read_task,
    read_task_key,
};
use tenure_store::execute::{ReadKey, read_set, remembered_as};
use tenure_store::numbers::{number, unsigned};
use tenure_store::transfer::ReplayItem;

use crate::batch::{Batch, Slot};
use crate::columns::{
    KEY_COLUMN_COUNT, Key, PostgresError, PostgresResult, PostgresRow, TaskKeyArrays, read_key,
};
use crate::link::{Link, Parameter, Sent};
use crate::sql;

pub(crate) use answers::Created;
use answers::{PartRows, read_claimable, read_created, read_taken};

/// What a batch looks at, by its commands.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    /// Tasks to be locked whole.
    pub(crate) tasks: BTreeSet<Key>,
    /// Leases to be locked alone.
    pub(crate) leases: BTreeSet<Key>,
    /// Whether a command writes what has no version, or takes what it does not name.
    needs_locks: bool,
    /// Names to be taken.
    names: Vec<(Key, SagaId)>,
    queues: BTreeMap<(Namespace, Queue), u32>,
    requests: BTreeSet<(Namespace, RequestId)>,
    /// Whether a request id stands twice: then the second command is answered from what the first one does.
    repeats: bool,
    /// How long locks are waited for.
    pub(crate) lock_wait: LockWait,
    /// Whether the tasks that others created in their own transactions must be made.
    pub(crate) intake: Intake,
}

/// What of the tasks that were created elsewhere is made now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Intake {
    /// What the commands look at.
    #[default]
    Named,
    /// Whatever there is.
    Any,
}

/// How long locks are waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum LockWait {
    #[default]
    Usual,
    /// Others of the same batch wait behind this one, and one of them was blocked already.
    Little,
    /// Nothing is locked before the writes, and who must wait for another one is decided again on locked rows.
    Hardly,
}

impl LockWait {
    /// In milliseconds, as the server takes it. What a batch without locks decided is only as old as this wait, and two that wait for one
    /// another in a circle let go long before the server looks for that.
    pub(crate) fn timeout(self) -> &'static str {
        match self {
            LockWait::Usual => "2000",
            LockWait::Little => "200",
            LockWait::Hardly => "5",
        }
    }
}

/// How claims go about what others have locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claims {
    /// They pass it over, and it is a fault if they then find too few.
    PassOver,
    /// What is due is locked by name, which waits for the others.
    Wait,
    /// As that, and if there are too few all the same, then so be it.
    WaitAndSettle,
}

/// What was fetched.
pub(crate) struct Loaded {
    pub(crate) batch: Batch,
    /// To be made before anything is decided.
    pub(crate) created: Vec<Created>,
    /// The database's time after the locks.
    pub(crate) now: Time,
}

impl Wanted {
    pub(crate) fn of<'c>(commands: impl Iterator<Item = &'c Command>) -> Wanted {
        let mut wanted = Wanted::default();
        for command in commands {
            let namespace = &command.namespace;
            let key = |id: &TaskId| (namespace.clone(), id.clone());
            wanted.needs_locks |= !writes_only_versions(&command.action);
            if let Some(id) = remembered_as(command) {
                let is_new = wanted.requests.insert((namespace.clone(), id.clone()));
                wanted.repeats |= !is_new;
            }
            for look in read_set(command) {
                match look {
                    ReadKey::Lease(id) => drop(wanted.leases.insert(key(id))),
                    ReadKey::Task(id) => drop(wanted.tasks.insert(key(id))),
                    ReadKey::Names(id, saga_id) => wanted.names.push((key(id), saga_id)),
                    ReadKey::Queue(queue, limit) => {
                        *wanted.queues.entry((namespace.clone(), queue.clone())).or_default() += limit;
                    }
                }
            }
        }
        // What is made and beaten for in one batch must be there whole when the heartbeat's turn comes.
        let made = wanted.names.iter().map(|(key, _)| key).filter(|key| wanted.leases.contains(key));
        wanted.tasks.extend(made.cloned().collect::<Vec<_>>());
        wanted.leases.retain(|key| !wanted.tasks.contains(key));
        wanted
    }

    /// What the items of an export look at.
    pub(crate) fn of_replay(items: &[ReplayItem]) -> Wanted {
        let mut wanted = Wanted { needs_locks: true, ..Wanted::default() };
        for item in items {
            match item {
                ReplayItem::Anchor(anchor) => {
                    for task in &anchor.pruned {
                        let key = (task.namespace.clone(), task.id.clone());
                        wanted.names.push((key.clone(), task.saga_id.clone()));
                        wanted.tasks.insert(key);
                    }
                }
                ReplayItem::Event(sealed) => {
                    let event = &sealed.event;
                    // The histories of namespaces are locked after the tasks.
                    let Subject::Task(id) = &event.subject else { continue };
                    let key = (event.namespace.clone(), id.clone());
                    if let EventData::Created(created) = &event.what {
                        wanted.names.push((key.clone(), created.saga_id.clone()));
                    }
                    wanted.tasks.insert(key);
                }
                ReplayItem::Lease(lease) => {
                    wanted.tasks.insert((lease.namespace.clone(), lease.task.clone()));
                }
                ReplayItem::Request(carried) => {
                    let namespace = &carried.namespace;
                    wanted.requests.insert((namespace.clone(), carried.id.clone()));
                    let answered = carried.request.answered.iter();
                    wanted.tasks.extend(answered.map(|one| (namespace.clone(), one.task.clone())));
                }
            }
        }
        wanted
    }

    /// Whether this can be decided on what is known of these tasks, without a lock.
    pub(crate) fn can_be_known(&self) -> bool {
        let names_tasks = !self.tasks.is_empty() || !self.leases.is_empty();
        names_tasks && !self.needs_locks && !self.repeats && self.intake == Intake::Named
    }

    /// Whether the first look waits for locks of others.
    fn waits_for_locks(&self) -> bool {
        let names_rows = !self.tasks.is_empty() || !self.leases.is_empty() || !self.queues.is_empty();
        names_rows || self.intake == Intake::Any
    }

    /// As it is left when the tasks and leases were recalled.
    fn without_recalled(&self) -> Wanted {
        let (names, requests) = (self.names.clone(), self.requests.clone());
        Wanted { names, requests, lock_wait: LockWait::Hardly, ..Wanted::default() }
    }

    /// The statements that [`first_look`] sends, so that they can be prepared before.
    pub(crate) fn statements(&self) -> Vec<&'static str> {
        let mut statements = vec![sql::SETTINGS_AND_NOW];
        if self.waits_for_locks() {
            statements.push(sql::NOW);
        }
        let parts: [&'static str; 4] =
            [&sql::LOCK_TASKS, &sql::LOCK_DUE, &sql::COMPENSATIONS, sql::CHECKPOINTS];
        if !self.tasks.is_empty() {
            statements.extend(parts);
        }
        if !self.leases.is_empty() {
            statements.push(&sql::LOCK_DUE);
        }
        if !self.names.is_empty() {
            statements.push(sql::NAMES);
        }
        if !self.requests.is_empty() {
            statements.push(&sql::REQUESTS);
        }
        if !self.queues.is_empty() {
            statements.extend(parts);
            statements.extend::<[&'static str; 2]>([&sql::LOCK_CLAIMABLE, sql::LOCK_INTAKE_OF_QUEUES]);
        }
        if self.intake == Intake::Any {
            statements.push(sql::LOCK_SOME_INTAKE);
        }
        statements
    }
}

/// Whether a command writes only rows that have a version, or that are new: tasks, what they wait for, and events. Then it can be decided
/// on what is known. The others write compensations and checkpoints, which are locked with their task.
fn writes_only_versions(action: &Action) -> bool {
    match action {
        Action::Create(_) | Action::Take { take: Take::Acquire | Take::Dispatch, .. } => true,
        Action::ByHolder { act, .. } => match act {
            HolderAction::Heartbeat { checkpoint, .. } | HolderAction::Progress { checkpoint, .. } => {
                checkpoint.is_none()
            }
            HolderAction::Release { .. } | HolderAction::Complete { .. } => true,
            HolderAction::Register { .. }
            | HolderAction::Label { .. }
            | HolderAction::Adopt
            | HolderAction::Settle { .. }
            | HolderAction::Try { .. }
            | HolderAction::Fail { .. }
            | HolderAction::RollBack { .. }
            | HolderAction::Quarantine { .. } => false,
        },
        Action::Take { take: Take::Reclaim, .. }
        | Action::Put(_)
        | Action::Claim { .. }
        | Action::ByOperator { .. } => false,
    }
}

/// Until when a task must be due that a claim may find: a little more than now, and each claim looks at what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// By a clock that was injected; else by the database's.
    pub(crate) given: Option<i64>,
    /// How far ahead of the database's clock.
    pub(crate) ahead: i64,
}

/// Begins a transaction and fetches, all or what is wanted besides the recalled.
pub(crate) async fn load(
    link: &mut Link,
    policies: &mut Policies,
    wanted: &Wanted,
    recalled: Option<Vec<(Key, Slot)>>,
    claims: Claims,
    until: Until,
) -> PostgresResult<Loaded> {
    if let Some(slots) = recalled {
        let mut loaded = fetch(link, policies, &wanted.without_recalled(), claims, until).await?;
        loaded.batch.is_recalled = true;
        loaded.batch.slots.extend(slots);
        return Ok(loaded);
    }
    fetch(link, policies, wanted, claims, until).await
}

async fn fetch(
    link: &mut Link,
    policies: &mut Policies,
    wanted: &Wanted,
    claims: Claims,
    until: Until,
) -> PostgresResult<Loaded> {
    link.prepare(&wanted.statements()).await?;
    let mut loaded = first_look(link, policies, wanted, claims, until).await?;
    second_look(link, policies, wanted, &mut loaded).await?;
    let mut loaded = loaded.loaded;
    // They are locked in the order of their keys, and made in that of their asking: it gives them their ages. Two looks may
    // have found the same one, because a transaction's own locks hide nothing from it.
    loaded.created.sort_by(|one, other| (one.asked_at, &one.key).cmp(&(other.asked_at, &other.key)));
    loaded.created.dedup_by(|one, other| one.key == other.key);
    Ok(loaded)
}

/// What is known after the first round trip.
struct Half {
    loaded: Loaded,
    /// Tasks that were found by claims, and whose other rows were not fetched yet.
    claimed: Vec<(Key, PostgresRow)>,
}

async fn first_look(
    link: &Link,
    policies: &mut Policies,
    wanted: &Wanted,
    claims: Claims,
    until: Until,
) -> PostgresResult<Half> {
    let tasks = TaskKeyArrays::of(wanted.tasks.iter());
    let task_keys: [Parameter<'_>; 2] = [&tasks.namespaces, &tasks.ids];
    // A task's row of `due` is locked after the task, so that leases and tasks can be asked for at once, in one order.
    let all_due: BTreeSet<&Key> = wanted.tasks.iter().chain(&wanted.leases).collect();
    let due = TaskKeyArrays::of(all_due.into_iter());
    let due_keys: [Parameter<'_>; 2] = [&due.namespaces, &due.ids];
    let names = Names::of(&wanted.names);
    let names_keys: [Parameter<'_>; 3] = [&names.namespaces, &names.ids, &names.sagas];
    let (namespaces, ids): (Vec<&str>, Vec<&str>) =
        wanted.requests.iter().map(|(namespace, id)| (namespace.as_str(), id.as_str())).unzip();
    let request_keys: [Parameter<'_>; 2] = [&namespaces, &ids];
    let queues = Queues::of(wanted);
    let strictly = claims != Claims::WaitAndSettle;
    let queue_keys: [Parameter<'_>; 6] =
        [&queues.namespaces, &queues.names, &queues.counts, &until.given, &until.ahead, &strictly];

    let lock_timeout = wanted.lock_wait.timeout();
    let settings: [Parameter<'_>; 1] = [&lock_timeout];

    let begun = link.send_plain(sql::BEGIN);
    let begun_at = link.send(sql::SETTINGS_AND_NOW, &settings);
    let when = |wanted: bool, sql: &'static str, parameters| wanted.then(|| link.send(sql, parameters));
    let locked = when(!tasks.is_empty(), &sql::LOCK_TASKS, &task_keys[..]);
    let locked_due = when(!due.is_empty(), &sql::LOCK_DUE, &due_keys[..]);
    let compensations = when(!tasks.is_empty(), &sql::COMPENSATIONS, &task_keys[..]);
    let checkpoints = when(!tasks.is_empty(), sql::CHECKPOINTS, &task_keys[..]);
    let has_queues = !wanted.queues.is_empty();
    let created_for_queues = when(has_queues, sql::LOCK_INTAKE_OF_QUEUES, &queue_keys[..2]);
    // Not both: they lock in orders of their own. Who nudged looks again.
    let created = when(wanted.intake == Intake::Any && !has_queues, sql::LOCK_SOME_INTAKE, &[]);
    let claimable = when(has_queues, &sql::LOCK_CLAIMABLE, &queue_keys[..]);
    let taken = when(!wanted.names.is_empty(), sql::NAMES, &names_keys[..]);
    let requests = when(!wanted.requests.is_empty(), &sql::REQUESTS, &request_keys[..]);
    let now = when(wanted.waits_for_locks(), sql::NOW, &[]);

    begun.answer().await?;
    let begun_at = begun_at.answer().await?;
    let mut batch = Batch::default();
    let rows = PartRows {
        tasks: rows_of(locked).await?,
        due: rows_of(locked_due).await?,
        compensations: rows_of(compensations).await?,
        checkpoints: rows_of(checkpoints).await?,
    };
    for key in &wanted.tasks {
        batch.slots.insert(key.clone(), Slot::Whole(Box::default()));
    }
    rows.read_into(&mut batch, policies, &wanted.leases)?;
    let mut created = read_created(&rows_of(created).await?)?;
    created.extend(read_created(&rows_of(created_for_queues).await?)?);
    let claimed = read_claimable(rows_of(claimable).await?, policies, &mut batch)?;
    read_taken(&wanted.names, &rows_of(taken).await?, &mut batch)?;
    for row in rows_of(requests).await? {
        let name = (Namespace::new(row.a_text(0)?)?, RequestId::new(row.a_text(1)?)?);
        batch.requests.insert(name, read_request(&row, KEY_COLUMN_COUNT)?);
    }
    let now = match now {
        Some(now) => now.answer().await?,
        None => begun_at,
    };
    let now = now.first().ok_or_else(|| tenure_store::columns::impossible("now", "nothing"))?;
    batch.floor = Epoch(now.number(1)?.map_or(0, unsigned));
    let now = now.a_time(0)?;
    Ok(Half { loaded: Loaded { batch, created, now }, claimed })
}

/// Fetches what the first answers named: what belongs to claimed tasks, the histories of remembered answers, and what there
/// is where there was no lease or no task. Nothing, as a rule.
async fn second_look(
    link: &mut Link,
    policies: &mut Policies,
    wanted: &Wanted,
    half: &mut Half,
) -> PostgresResult<()> {
    let Half { loaded: Loaded { batch, created, .. }, claimed } = half;
    let missing = missing(wanted, batch);
    let answered: Vec<(&Namespace, _)> = batch
        .requests
        .iter()
        .flat_map(|((namespace, _), request)| request.answered.iter().map(move |one| (namespace, one)))
        .collect();
    let retold: Vec<Key> = match wanted.repeats {
        // Also those that claims found: they are in the batch, or are about to be.
        true => {
            let whole = batch.slots.iter().filter(|(_, slot)| matches!(slot, Slot::Whole(_)));
            let found = claimed.iter().map(|(key, _)| key).chain(whole.map(|(key, _)| key));
            wanted.tasks.iter().chain(found).cloned().collect()
        }
        false => Vec::new(),
    };
    if claimed.is_empty() && missing.is_empty() && answered.is_empty() && retold.is_empty() {
        return Ok(());
    }
    link.prepare(&[sql::LOCK_INTAKE, &sql::SEE_TASKS, &sql::HISTORIES]).await?;
    let link = &*link;
    let claimed_keys = TaskKeyArrays::of(claimed.iter().map(|(key, _)| key));
    let part_keys: [Parameter<'_>; 2] = [&claimed_keys.namespaces, &claimed_keys.ids];
    let missing_keys = TaskKeyArrays::of(missing.iter());
    let missing_parameters: [Parameter<'_>; 2] = [&missing_keys.namespaces, &missing_keys.ids];
    // Of a task that several answers name, up to the newest of them.
    let mut newest = BTreeMap::<(&Namespace, &TaskId), i64>::new();
    for (namespace, one) in &answered {
        let revision = newest.entry((namespace, &one.task)).or_default();
        *revision = number(one.revision.0).max(*revision);
    }
    newest.extend(retold.iter().map(|(namespace, id)| ((namespace, id), i64::MAX)));
    let namespaces: Vec<&str> = newest.keys().map(|(namespace, _)| namespace.as_str()).collect();
    let ids: Vec<&str> = newest.keys().map(|(_, id)| id.as_str()).collect();
    let revisions: Vec<i64> = newest.values().copied().collect();
    let history_keys: [Parameter<'_>; 3] = [&namespaces, &ids, &revisions];

    let when = |wanted: bool, sql: &'static str, parameters| wanted.then(|| link.send(sql, parameters));
    let due = when(!claimed.is_empty(), &sql::LOCK_DUE, &part_keys[..]);
    let compensations = when(!claimed.is_empty(), &sql::COMPENSATIONS, &part_keys[..]);
    let checkpoints = when(!claimed.is_empty(), sql::CHECKPOINTS, &part_keys[..]);
    let more_created = when(!missing.is_empty(), sql::LOCK_INTAKE, &missing_parameters[..]);
    // After that: who waited for somebody who made such a task sees it.
    let seen = when(!missing.is_empty(), &sql::SEE_TASKS, &missing_parameters[..]);
    let histories = when(!newest.is_empty(), &sql::HISTORIES, &history_keys[..]);

    let (due, compensations) = (rows_of(due).await?, rows_of(compensations).await?);
    let checkpoints = rows_of(checkpoints).await?;
    let more_created = read_created(&rows_of(more_created).await?)?;
    let (seen, histories) = (rows_of(seen).await?, rows_of(histories).await?);
    drop((newest, answered, claimed_keys));
    let tasks = claimed.drain(..).map(|(key, row)| {
        batch.slots.insert(key, Slot::Whole(Box::default()));
        row
    });
    let rows = PartRows { tasks: tasks.collect(), due, compensations, checkpoints };
    rows.read_into(batch, policies, &BTreeSet::new())?;
    for row in &histories {
        let key = read_key(row, 0)?;
        let event = read_event(row, KEY_COLUMN_COUNT, &key.0, &key.1.clone().into())?;
        batch.histories.entry(key).or_default().push(event);
    }
    created.extend(more_created);
    let made: BTreeSet<&Key> = created.iter().map(|one| &one.key).collect();
    see(&missing, &made, &seen, policies, batch)
}

/// What was looked for and is not there: a task, the row of a lease, or the task whose name is taken.
fn missing(wanted: &Wanted, batch: &Batch) -> BTreeSet<Key> {
    let no_task =
        |key: &&Key| matches!(batch.slots.get(key), Some(Slot::Whole(whole)) if whole.kept.is_none());
    let tasks = wanted.tasks.iter().filter(no_task);
    // A task that a command is about to make is missing as a rule, and its name tells whether there is more to it.
    let free: BTreeSet<&Key> =
        wanted.names.iter().map(|(key, _)| key).filter(|key| !batch.taken_ids.contains(key)).collect();
    let tasks = tasks.filter(|key| !free.contains(key));
    let leases = wanted.leases.iter().filter(|key| !batch.slots.contains_key(key));
    let names = wanted.names.iter().map(|(key, _)| key);
    let names = names.filter(|key| batch.taken_ids.contains(key) && !batch.slots.contains_key(key));
    tasks.chain(leases).chain(names).cloned().collect()
}

/// Notes what was seen without a lock.
fn see(
    missing: &BTreeSet<Key>,
    made: &BTreeSet<&Key>,
    rows: &[PostgresRow],
    policies: &mut Policies,
    batch: &mut Batch,
) -> PostgresResult<()> {
    let mut seen = HashMap::new();
    for row in rows {
        let due = read_due(row, TASK_COLUMN_COUNT)?;
        seen.insert(
            read_task_key(row)?,
            read_task(row, policies, TaskParts { due, ..TaskParts::default() })?,
        );
    }
    for key in missing {
        let found = seen.remove(key);
        match batch.slots.get(key) {
            _ if made.contains(key) => drop(batch.slots.insert(key.clone(), Slot::Whole(Box::default()))),
            None => drop(batch.slots.insert(key.clone(), Slot::Seen(found.map(Box::new)))),
            Some(Slot::Whole(whole)) if whole.kept.is_none() && found.is_some() => {
                return Err(PostgresError::Again("a task was created between two reads"));
            }
            // A claim of this batch found it, too.
            Some(Slot::Whole(_) | Slot::Lease(_) | Slot::Seen(_)) => {}
        }
    }
    Ok(())
}

async fn rows_of(sent: Option<Sent<'_, Vec<PostgresRow>>>) -> PostgresResult<Vec<PostgresRow>> {
    match sent {
        Some(sent) => sent.answer().await,
        None => Ok(Vec::new()),
    }
}

/// Names to be taken, as arrays.
struct Names<'n> {
    namespaces: Vec<&'n str>,
    ids: Vec<&'n str>,
    sagas: Vec<&'n str>,
}

impl<'n> Names<'n> {
    fn of(names: &'n [(Key, SagaId)]) -> Names<'n> {
        Names {
            namespaces: names.iter().map(|((namespace, _), _)| namespace.as_str()).collect(),
            ids: names.iter().map(|((_, id), _)| id.as_str()).collect(),
            sagas: names.iter().map(|(_, saga_id)| saga_id.as_str()).collect(),
        }
    }
}

/// Queues to be claimed from, as arrays.
pub(crate) struct Queues<'q> {
    pub(crate) namespaces: Vec<&'q str>,
    pub(crate) names: Vec<&'q str>,
    pub(crate) counts: Vec<i64>,
}

impl<'q> Queues<'q> {
    /// More than is claimed, because what the batch names may be in the queue and gone from it when the claim's turn comes.
    pub(crate) fn of(wanted: &'q Wanted) -> Queues<'q> {
        let spare = wanted.tasks.len() as i64;
        Queues {
            namespaces: wanted.queues.keys().map(|(namespace, _)| namespace.as_str()).collect(),
            names: wanted.queues.keys().map(|(_, queue)| queue.as_str()).collect(),
            counts: wanted.queues.values().map(|count| i64::from(*count) + spare).collect(),
        }
    }
}
