//! Takes what an export carries into a store, inside one transaction, the same way for every store.
//!
//! An event is taken only if it continues the history that the store has: by its number, its hash and its time, and if it fits the
//! task. The rows of the task follow from it as they follow from a decision.

use tenure_api::instant;
use tenure_core::apply::apply;
use tenure_core::case::Names;
use tenure_core::chain::Hash;
use tenure_core::compensation::COMPENSATIONS_MAX;
use tenure_core::event::{Event, EventData, LeaseEnd, Subject};
use tenure_core::id::{Namespace, Revision, SagaId, TaskId};
use tenure_core::task::{Lease, Task};
use tenure_core::time::Time;

use super::carried::{
    CarriedAnchor, CarriedLease, CarriedRequest, ReplayItem, ReplayVerdict, TIME_AHEAD_MAX,
};
use crate::codec::{Sealed, seal};
use crate::execute::REQUEST_MEMORY;
use crate::namespace_history::{NamespaceHead, NamespaceRows};
use crate::retention::{AnchorPurpose, PrunedTask};
use crate::rows::{Change, Rows, StoredTask};

/// The rows of a store for a replay.
pub trait ReplayRows: NamespaceRows {
    /// The hash of a stored event.
    fn event_hash(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
        number: Revision,
    ) -> Result<Option<Hash>, Self::Fault>;

    /// What is left of a pruned task.
    fn pruned(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<PrunedTask>, Self::Fault>;

    /// Whether an anchor is recorded that is the same but for its number.
    fn has_anchor(&mut self, anchor: &CarriedAnchor) -> Result<bool, Self::Fault>;

    /// Records an anchor under the next number, and what was pruned behind it. The names of those tasks are free.
    fn record_anchor(&mut self, anchor: CarriedAnchor) -> Result<(), Self::Fault>;
}

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// What became of each item, in their order.
    pub verdicts: Vec<ReplayVerdict>,
    /// The times of the events that were written, in their order.
    pub written: Vec<Time>,
    /// The latest instant of all that was written; the store's time must not be behind it.
    pub newest: Time,
}

/// A verdict; the reason of a refusal on the way there.
type Taken = Result<ReplayVerdict, String>;

/// Takes items in their order, at one time of the store.
pub fn replay<R: ReplayRows>(rows: &mut R, items: &[ReplayItem], now: Time) -> Result<Replayed, R::Fault> {
    let mut replayed =
        Replayed { verdicts: Vec::with_capacity(items.len()), written: Vec::new(), newest: Time::MIN };
    for item in items {
        let taken = match item {
            ReplayItem::Anchor(anchor) => take_anchor(rows, anchor, now)?,
            ReplayItem::Event(sealed) => take_event(rows, sealed, now)?,
            ReplayItem::Lease(lease) => take_lease(rows, lease, now)?,
            ReplayItem::Request(request) => take_request(rows, request, now)?,
        };
        let verdict = taken.unwrap_or_else(ReplayVerdict::Refused);
        if matches!(verdict, ReplayVerdict::Written | ReplayVerdict::Part { .. }) {
            replayed.newest = replayed.newest.max(latest(item));
            if let ReplayItem::Event(sealed) = item {
                replayed.written.push(sealed.event.at);
            }
        }
        replayed.verdicts.push(verdict);
    }
    Ok(replayed)
}

/// The latest instant at which something of an item happened.
fn latest(item: &ReplayItem) -> Time {
    match item {
        ReplayItem::Anchor(carried) => carried.at,
        ReplayItem::Event(sealed) => sealed.event.at,
        ReplayItem::Lease(carried) => carried.lease.heartbeat_at.max(carried.lease.progressed_at),
        ReplayItem::Request(carried) => carried.request.at,
    }
}

fn is_ahead(at: Time, now: Time) -> Option<String> {
    (at > now + TIME_AHEAD_MAX).then(|| {
        "it happened later than the time of this store; set the clocks of both machines, and import again"
            .to_owned()
    })
}

// ---- anchors, and what was pruned behind them ----------------------------------------------------------------

fn take_anchor<R: ReplayRows>(rows: &mut R, carried: &CarriedAnchor, now: Time) -> Result<Taken, R::Fault> {
    if let Some(reason) = is_ahead(carried.at, now) {
        return Ok(Err(reason));
    }
    match carried.purpose {
        AnchorPurpose::Prune => take_pruned(rows, carried),
        AnchorPurpose::Audit if !carried.pruned.is_empty() => {
            Ok(Err("nothing is pruned behind an anchor that was made to verify against".to_owned()))
        }
        AnchorPurpose::Audit if rows.has_anchor(carried)? => Ok(Ok(ReplayVerdict::Skipped)),
        AnchorPurpose::Audit => {
            rows.record_anchor(carried.clone())?;
            Ok(Ok(ReplayVerdict::Written))
        }
    }
}

/// Each task is taken or refused for itself. The anchor that is recorded is over those that are taken, so that its root is that of
/// what this store has behind it.
fn take_pruned<R: ReplayRows>(rows: &mut R, carried: &CarriedAnchor) -> Result<Taken, R::Fault> {
    let is_in_order =
        carried.pruned.is_sorted_by(|one, other| (&one.namespace, &one.id) < (&other.namespace, &other.id));
    if !is_in_order || CarriedAnchor::lines_of(&carried.pruned) != (carried.lines, carried.root) {
        return Ok(Err(
            "the tasks in it are not those that were pruned behind this anchor, whose root is another one: one of them was changed"
                .to_owned(),
        ));
    }
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for task in &carried.pruned {
        match pruned_here(rows, task)? {
            PrunedHere::Not => taken.push(task.clone()),
            PrunedHere::There => {}
            PrunedHere::Refused(reason) => refused.push(reason),
        }
    }
    let refused = (!refused.is_empty()).then(|| refused.join("; "));
    if taken.is_empty() {
        return Ok(refused.map_or(Ok(ReplayVerdict::Skipped), Err));
    }
    let pruned = taken.len() as u64;
    let is_whole = taken.len() == carried.pruned.len();
    let (lines, root) = CarriedAnchor::lines_of(&taken);
    rows.record_anchor(CarriedAnchor { lines, root, pruned: taken, ..carried.clone() })?;
    Ok(Ok(if is_whole { ReplayVerdict::Written } else { ReplayVerdict::Part { pruned, refused } }))
}

/// What a store has under the names of a task that was pruned elsewhere.
enum PrunedHere {
    Not,
    /// It was pruned here, too, or is here whole.
    There,
    Refused(String),
}

fn pruned_here<R: ReplayRows>(rows: &mut R, task: &PrunedTask) -> Result<PrunedHere, R::Fault> {
    let PrunedTask { namespace, id, saga_id, number, head, .. } = task;
    if let Some(here) = rows.pruned(namespace, id)? {
        let is_the_same = (here.number, here.head, &here.saga_id) == (*number, *head, saga_id);
        return Ok(if is_the_same {
            PrunedHere::There
        } else {
            PrunedHere::Refused(format!(
                "{namespace}/{id} was pruned in this store, too, with another history"
            ))
        });
    }
    if let Some(here) = rows.task(namespace, id)? {
        // The store has more of it than the file, and prunes it in its own time.
        let is_the_same = (here.task.revision, here.head) == (*number, *head);
        return Ok(if is_the_same {
            PrunedHere::There
        } else {
            PrunedHere::Refused(format!(
                "{namespace}/{id} was pruned behind event {}, and is a task of this store with another history",
                number.0
            ))
        });
    }
    Ok(match rows.names(namespace, id, saga_id)? {
        Names::Free => PrunedHere::Not,
        Names::Taken => PrunedHere::Refused(format!(
            "in {namespace} the id {id} or the saga id {saga_id} is taken by another task"
        )),
    })
}

// ---- events --------------------------------------------------------------------------------------------------

fn take_event<R: ReplayRows>(rows: &mut R, sealed: &Sealed, now: Time) -> Result<Taken, R::Fault> {
    let event = &sealed.event;
    if let Some(reason) = is_ahead(event.at, now) {
        return Ok(Err(reason));
    }
    let id = match &event.subject {
        Subject::Task(id) => id,
        Subject::Namespace => return take_namespace_event(rows, sealed),
    };
    let before = rows.task(&event.namespace, id)?;
    let stored = before.as_ref().map(|stored| (stored.task.revision, stored.head));
    if let Some(found) = found_in(rows, sealed, stored)? {
        return Ok(found);
    }
    if let (None, EventData::Created(created)) = (&before, &event.what)
        && let Some(reason) = taken_name(rows, (&event.namespace, id), &created.saga_id)?
    {
        return Ok(Err(reason));
    }
    let (after, written) = match continued(before.as_ref(), sealed) {
        Ok(continued) => continued,
        Err(reason) => return Ok(Err(reason)),
    };
    rows.write(Change { before, after: &after, head: sealed.hash, events: vec![written] })?;
    Ok(Ok(ReplayVerdict::Written))
}

/// The same of a namespace's own history, which no rows follow from but its end.
fn take_namespace_event<R: ReplayRows>(rows: &mut R, sealed: &Sealed) -> Result<Taken, R::Fault> {
    let event = &sealed.event;
    let before = rows.namespace_head(&event.namespace)?;
    if let Some(found) = found_in(rows, sealed, before.map(|end| (end.number, end.head)))? {
        return Ok(found);
    }
    if !event.what.is_of_namespace() {
        return Ok(Err(format!(
            "an event of the type {} happens to a task, and it names none",
            event.what.kind()
        )));
    }
    let head = before.map_or(Hash::START, |end| end.head);
    match next(sealed, head, before.map(|NamespaceHead { updated_at, .. }| updated_at)) {
        Ok(next) => rows.append(next)?,
        Err(reason) => return Ok(Err(reason)),
    }
    Ok(Ok(ReplayVerdict::Written))
}

/// What becomes of an event that is not the next one of its history, whose newest number and head are given.
fn found_in<R: ReplayRows>(
    rows: &mut R,
    sealed: &Sealed,
    newest: Option<(Revision, Hash)>,
) -> Result<Option<Taken>, R::Fault> {
    let event = &sealed.event;
    let revision = newest.map_or(0, |(number, _)| number.0);
    if event.number.0 <= revision && event.number.0 > 0 {
        return compare(rows, sealed, newest).map(Some);
    }
    Ok((event.number.0 != revision + 1).then(|| Err(gap(event, revision))))
}

/// An event with a number that the store has: it is there already, or the history is another one.
fn compare<R: ReplayRows>(
    rows: &mut R,
    sealed: &Sealed,
    newest: Option<(Revision, Hash)>,
) -> Result<Taken, R::Fault> {
    let event = &sealed.event;
    let newest = newest.filter(|(number, _)| *number == event.number).map(|(_, head)| head);
    let stored = match newest {
        Some(head) => Some(head),
        None => rows.event_hash(&event.namespace, &event.subject, event.number)?,
    };
    Ok(match (stored, &event.subject) {
        (Some(hash), _) if hash == sealed.hash => Ok(ReplayVerdict::Skipped),
        (Some(_), Subject::Task(id)) => Err(format!(
            "the task {}/{id} is in this store with another history; nothing of it is changed",
            event.namespace
        )),
        (Some(_), Subject::Namespace) => Err(format!(
            "the namespace {} has another history of its own in this store, where recovery has run; nothing of it is changed",
            event.namespace
        )),
        (None, _) => Err(format!(
            "this store has no event {} of {}/{}, though its record says so; run `tenure audit verify`",
            event.number.0, event.namespace, event.subject
        )),
    })
}

fn gap(event: &Event, stored: u64) -> String {
    let number = event.number.0;
    let of = if event.subject == Subject::Namespace { "namespace" } else { "task" };
    match stored {
        0 => format!(
            "it is event {number} of its {of}, and this store has none of it: a line before it is missing or was refused"
        ),
        stored => format!(
            "it is event {number} of its {of}, and the newest here is {stored}: a line before it is missing or was refused"
        ),
    }
}

fn taken_name<R: ReplayRows>(
    rows: &mut R,
    (namespace, id): (&Namespace, &TaskId),
    saga_id: &SagaId,
) -> Result<Option<String>, R::Fault> {
    if let Some(pruned) = rows.pruned(namespace, id)? {
        return Ok(Some(format!(
            "the task {namespace}/{id} was pruned in this store at {}, and does not come back",
            instant::print_seconds(pruned.pruned_at)
        )));
    }
    Ok(match rows.names(namespace, id, saga_id)? {
        Names::Free => None,
        Names::Taken => {
            Some(format!("in {namespace} the id {id} or the saga id {saga_id} is taken by another task"))
        }
    })
}

/// The event behind that head as it is written; or why it does not continue that history.
fn next(carried: &Sealed, head: Hash, updated_at: Option<Time>) -> Result<Sealed, String> {
    let sealed = seal(carried.event.clone(), head);
    if sealed.hash != carried.hash {
        return Err("its hash is not that of what it says behind the event before: one of them was changed"
            .to_owned());
    }
    if updated_at.is_some_and(|before| carried.event.at < before) {
        return Err("it happened before the event before it".to_owned());
    }
    Ok(sealed)
}

/// The task after an event, and the event as it is written; or why it does not continue the history.
fn continued(before: Option<&StoredTask>, carried: &Sealed) -> Result<(Task, Sealed), String> {
    let event = &carried.event;
    let task = before.map(|stored| &*stored.task);
    let head = before.map_or(Hash::START, |stored| stored.head);
    let sealed = next(carried, head, task.map(|task| task.updated_at))?;
    if let Some(task) = task {
        is_possible(task, event)?;
    }
    let after = apply(task.cloned(), event).map_err(|error| error.to_string())?;
    if after.compensations.len() > COMPENSATIONS_MAX {
        return Err(format!("a task has up to {COMPENSATIONS_MAX} compensations"));
    }
    Ok((after, sealed))
}

/// What `apply` takes for granted: the core decided so when it happened.
fn is_possible(task: &Task, event: &Event) -> Result<(), String> {
    if let EventData::Acquired(grant) | EventData::Reclaimed(grant) = &event.what
        && grant.epoch <= task.epoch
    {
        let (epoch, before) = (grant.epoch.0, task.epoch.0);
        return Err(format!("its epoch {epoch} is not above {before}, which was granted before"));
    }
    if let EventData::Registered { seq, .. } = &event.what
        && *seq != task.next_seq()
    {
        return Err(format!(
            "its compensation has the number {}, and the next is {}",
            seq.0,
            task.next_seq().0
        ));
    }
    Ok(())
}

// ---- leases --------------------------------------------------------------------------------------------------

fn take_lease<R: Rows>(rows: &mut R, carried: &CarriedLease, now: Time) -> Result<Taken, R::Fault> {
    let CarriedLease { namespace, task: id, revision, lease: told } = carried;
    if let Some(reason) = is_ahead(told.heartbeat_at.max(told.progressed_at), now) {
        return Ok(Err(reason));
    }
    let stored = rows.task(namespace, id)?;
    let Some(stored) = stored.filter(|stored| stored.task.revision >= *revision) else {
        return Ok(Err(format!("event {} of its task is missing or was refused", revision.0)));
    };
    if stored.task.revision > *revision {
        // The task went on here, and the lease with it.
        return Ok(Ok(ReplayVerdict::Skipped));
    }
    let changed = match changed_lease(&stored.task, told) {
        Ok(Some(lease)) => lease,
        Ok(None) => return Ok(Ok(ReplayVerdict::Skipped)),
        Err(reason) => return Ok(Err(reason)),
    };
    let Some(row) = rows.leased(namespace, id)? else {
        return Err(rows.broken(format!("a lease of {namespace}/{id} without a row in `due`")));
    };
    let mut after = Task::clone(&row.task);
    if let Some(lease) = after.lease_mut() {
        *lease = changed;
    }
    // As in a heartbeat: only one that was given.
    after.checkpoint = told.checkpoint.clone().filter(|new| stored.task.checkpoint.as_ref() != Some(new));
    rows.renew(row, &after, now)?;
    Ok(Ok(ReplayVerdict::Written))
}

/// The lease as it was told; none if this store has it so, or newer.
fn changed_lease(task: &Task, told: &LeaseEnd) -> Result<Option<Lease>, String> {
    let Some(lease) = task.lease() else { return Err("its task is not leased".to_owned()) };
    if (lease.epoch, &lease.owner) != (told.epoch, &told.owner) {
        return Err(format!("its task is leased to {} at the epoch {}", lease.owner, lease.epoch.0));
    }
    let is_newer_here = lease.heartbeat_at > told.heartbeat_at || lease.progressed_at > told.progressed_at;
    let is_the_same = LeaseEnd { overrun: None, ..LeaseEnd::of(task, lease) } == *told;
    if is_newer_here || is_the_same {
        return Ok(None);
    }
    if told.expires_at < lease.expires_at {
        return Err("it ends before the lease that its event granted".to_owned());
    }
    Ok(Some(Lease {
        heartbeat_at: told.heartbeat_at,
        progressed_at: told.progressed_at,
        expires_at: told.expires_at,
        progress: told.progress.clone(),
        cancel_told: told.cancel_told,
        ..lease.clone()
    }))
}

// ---- remembered requests ---------------------------------------------------------------------------------------

fn take_request<R: Rows>(rows: &mut R, carried: &CarriedRequest, now: Time) -> Result<Taken, R::Fault> {
    let CarriedRequest { namespace, id, request } = carried;
    if let Some(reason) = is_ahead(request.at, now) {
        return Ok(Err(reason));
    }
    if request.at + REQUEST_MEMORY <= now {
        return Ok(Ok(ReplayVerdict::Skipped));
    }
    match rows.request(namespace, id)? {
        Some(stored) if stored == *request => return Ok(Ok(ReplayVerdict::Skipped)),
        Some(stored) if request.at < stored.at + REQUEST_MEMORY => {
            return Ok(Err(format!("in {namespace} the request id {id} was used for another command")));
        }
        Some(_) | None => {}
    }
    for answered in &request.answered {
        let task = rows.task(namespace, &answered.task)?;
        if task.is_none_or(|stored| stored.task.revision < answered.revision) {
            let (id, number) = (&answered.task, answered.revision.0);
            return Ok(Err(format!(
                "event {number} of the task {id} in its answer is missing or was refused"
            )));
        }
    }
    rows.remember(namespace, id, request)?;
    Ok(Ok(ReplayVerdict::Written))
}
