//! Every command as a method of the ledger, and the methods that refine it.
//!
//! Methods that take a `&Holder` are by lease: owner and epoch are checked. The others are by the ledger's actor.

use tenure_core::command::{Action, Create, Holder, IdOrigin, Put, PutUndo, QuarantineCause, UndoBy};
use tenure_core::compensation::Undo;
use tenure_core::event::{Triage, Waiver};
use tenure_core::id::{
    Document, Kind, LabelKey, LabelValue, Owner, Queue, Reason, Revision, SagaId, Seq, TaskId, Text,
};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Labels, State, Task};
use tenure_core::time::{Span, Time};

use crate::json;
use crate::ledger::Ledger;
use crate::ledger::call::{Call, Verb};
use crate::store::Renewal;

type Checked = Result<(), Refusal>;

/// Declares the kinds of calls, each with what it gives when it is done.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident => $done:ty;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Verb for $name {
            type Done = $done;
        }
    )* };
}

calls! {
    /// Creates a task.
    Creation => Task;
    /// Writes a whole record.
    Putting => Task;
    /// Takes a lease by the task's name, or recovers it, or reserves it: what has only a length to refine.
    Taking => Task;
    /// Takes leases on the next due tasks of a queue.
    Claiming => Vec<Task>;
    /// Renews a lease.
    Heartbeating => Renewal;
    /// Reports progress without renewing.
    Progressing => Renewal;
    /// Gives a lease back.
    Releasing => Task;
    /// Registers how to undo something.
    Registering => Task;
    /// Ends a task as done.
    Completing => Task;
    /// Ends a task for good, undoing nothing.
    Failing => Task;
    /// Gives the work up and has it undone.
    RollingBack => Task;
    /// Parks a task by its holder.
    Quarantining => Task;
    /// Closes a task as undone, by an operator.
    MarkingCompensated => Task;
    /// Leaves a note.
    Annotating => Task;
    /// Makes a new task of one that ended badly.
    Retrying => Task;
    /// A command that nothing refines.
    Plain => Task;
}

impl Ledger {
    fn call<V: Verb>(&self, action: impl FnOnce() -> Result<Action, Refusal>) -> Call<V> {
        Call::new(self, action())
    }

    /// Creates a task of that id. A known id or saga id is refused `exists`, and the stored task is left as it is.
    pub fn create(&self, id: &str) -> Call<Creation> {
        self.call(|| Ok(Action::Create(Box::new(create(TaskId::new(id)?, IdOrigin::Given)?))))
    }

    /// Creates a task with an id of the ledger's making: in order of time, and unique everywhere.
    pub fn create_unnamed(&self) -> Call<Creation> {
        self.call(|| Ok(Action::Create(Box::new(create(self.made_id()?, IdOrigin::Made)?))))
    }

    /// Writes a whole record, decided as a difference against what is stored. For imports and corrections; leases,
    /// epochs and ended tasks are beyond its reach.
    pub fn put(&self, mut record: Put) -> Call<Putting> {
        self.call(|| {
            record.record.payload = json::document("payload", record.record.payload.as_str())?;
            let result = record.result.map(|result| json::document("result", result.as_str()));
            record.result = result.transpose()?;
            Ok(Action::Put(Box::new(record)))
        })
    }

    /// Sets a task aside for an owner.
    pub fn dispatch(&self, id: &str, owner: &str) -> Call<Taking> {
        self.call(|| Ok(Action::Dispatch { task: TaskId::new(id)?, owner: Owner::new(owner)?, ttl: None }))
    }

    /// Takes a lease by the task's name. Of any number who try, one wins; the others are told who holds it.
    pub fn acquire(&self, id: &str, owner: &str) -> Call<Taking> {
        self.call(|| Ok(Action::Acquire { task: TaskId::new(id)?, owner: Owner::new(owner)?, ttl: None }))
    }

    /// Takes leases on the next due tasks of a queue, one if [`Call::limit`] does not say more. None may be due.
    pub fn claim(&self, queue: &str, owner: &str) -> Call<Claiming> {
        self.call(|| {
            let (queue, owner) = (Queue::new(queue)?, Owner::new(owner)?);
            Ok(Action::Claim { queue, limit: 1, owner, ttl: None })
        })
    }

    /// Renews a lease by its length, and tells whether cancel was asked.
    pub fn heartbeat(&self, id: &str, by: &Holder) -> Call<Heartbeating> {
        self.call(|| {
            let task = TaskId::new(id)?;
            Ok(Action::Heartbeat { task, by: by.clone(), ttl: None, progress: None, checkpoint: None })
        })
    }

    /// Saves progress, or a checkpoint for a successor, without renewing the lease.
    pub fn progress(&self, id: &str, by: &Holder) -> Call<Progressing> {
        self.call(|| {
            Ok(Action::Progress { task: TaskId::new(id)?, by: by.clone(), progress: None, checkpoint: None })
        })
    }

    /// Gives a lease back. The attempt does not count, and what is owed is undone first.
    pub fn release(&self, id: &str, by: &Holder, reason: &str) -> Call<Releasing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::Release { task, by: by.clone(), reason, delay: None })
        })
    }

    /// Registers how to undo an effect that the holder is about to have. Do it before the effect.
    pub fn register(&self, id: &str, by: &Holder, kind: &str, target: &str) -> Call<Registering> {
        self.call(|| {
            let (task, undo) = (TaskId::new(id)?, undo(kind, target)?);
            Ok(Action::Register { task, by: Some(by.clone()), undo })
        })
    }

    /// Registers, before a lease, what every attempt will owe.
    pub fn register_standing(&self, id: &str, kind: &str, target: &str) -> Call<Registering> {
        self.call(|| Ok(Action::Register { task: TaskId::new(id)?, by: None, undo: undo(kind, target)? }))
    }

    /// Makes what an older lease owes this one's.
    pub fn adopt(&self, id: &str, by: &Holder) -> Call<Plain> {
        self.call(|| Ok(Action::Adopt { task: TaskId::new(id)?, by: by.clone() }))
    }

    /// Reports that an undo ran, with what it left as proof.
    pub fn settle(&self, id: &str, by: &Holder, seq: u32, receipt: &str) -> Call<Plain> {
        self.call(|| {
            let (task, receipt) = (TaskId::new(id)?, Text::named("receipt", receipt)?);
            Ok(Action::Settle { task, by: by.clone(), seq: Seq(seq), receipt })
        })
    }

    /// Reports that an undo was tried in vain.
    pub fn tried(&self, id: &str, by: &Holder, seq: u32, error: &str) -> Call<Plain> {
        self.call(|| {
            let (task, error) = (TaskId::new(id)?, Text::named("error", error)?);
            Ok(Action::Try { task, by: by.clone(), seq: Seq(seq), error })
        })
    }

    /// Says that something need not be undone.
    pub fn waive(&self, id: &str, seq: u32, reason: &str) -> Call<Plain> {
        self.call(|| Ok(Action::Waive { task: TaskId::new(id)?, waiver: waiver(seq, reason)? }))
    }

    /// Ends the task as done. What this lease owed is void.
    pub fn complete(&self, id: &str, by: &Holder) -> Call<Completing> {
        self.call(|| Ok(Action::Complete { task: TaskId::new(id)?, by: by.clone(), result: None }))
    }

    /// Ends the task for good and undoes nothing; a compensation must say what remains to undo.
    pub fn fail(&self, id: &str, by: &Holder, reason: &str) -> Call<Failing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::Fail { task, by: by.clone(), reason, compensation: None })
        })
    }

    /// Gives the work up: what is owed is undone, and then it is tried again if attempts are left.
    pub fn roll_back(&self, id: &str, by: &Holder, reason: &str) -> Call<RollingBack> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::RollBack { task, by: by.clone(), reason, undo_by: UndoBy::Recovery })
        })
    }

    /// Parks the task for a person.
    pub fn quarantine(&self, id: &str, by: &Holder, reason: &str) -> Call<Quarantining> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::Quarantine { task, by: by.clone(), reason, parking: QuarantineCause::ByHolder })
        })
    }

    /// Marks a task completed, by an operator.
    pub fn mark_completed(&self, id: &str, reason: &str) -> Call<Completing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::MarkCompleted { task, reason, result: None })
        })
    }

    /// Marks a task failed, by an operator.
    pub fn mark_failed(&self, id: &str, reason: &str) -> Call<Failing> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::MarkFailed { task, reason, compensation: None })
        })
    }

    /// Marks a task compensated, by an operator. What is owed must be waived with it.
    pub fn mark_compensated(&self, id: &str, reason: &str) -> Call<MarkingCompensated> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            Ok(Action::MarkCompensated { task, reason, waive: Vec::new() })
        })
    }

    /// Parks a task, by an operator.
    pub fn mark_quarantined(&self, id: &str, reason: &str) -> Call<Plain> {
        self.call(|| {
            Ok(Action::MarkQuarantined { task: TaskId::new(id)?, reason: Reason::named("reason", reason)? })
        })
    }

    /// Asks for a task to stop. A running one hears it with its next heartbeat.
    pub fn cancel(&self, id: &str, reason: &str) -> Call<Plain> {
        self.call(|| Ok(Action::Cancel { task: TaskId::new(id)?, reason: Reason::named("reason", reason)? }))
    }

    /// Takes a stale task over for recovery.
    pub fn reclaim(&self, id: &str, recoverer: &str) -> Call<Taking> {
        self.call(|| Ok(Action::Reclaim { task: TaskId::new(id)?, owner: Owner::new(recoverer)?, ttl: None }))
    }

    /// Leaves a note: the one write that an ended task takes.
    pub fn annotate(&self, id: &str, note: &str) -> Call<Annotating> {
        self.call(|| {
            let note = Some(Reason::named("note", note)?);
            let triage = Triage::Stays;
            Ok(Action::Annotate { task: TaskId::new(id)?, note, terminal_reason: None, triage })
        })
    }

    /// Says that nobody has to look at a task any more that ended badly, and why.
    pub fn dismiss(&self, id: &str, note: &str) -> Call<Annotating> {
        self.call(|| {
            let note = Some(Reason::named("note", note)?);
            let triage = Triage::Dismissed;
            Ok(Action::Annotate { task: TaskId::new(id)?, note, terminal_reason: None, triage })
        })
    }

    /// Corrects the reason for the end of an ended task; the old one stays in the history.
    pub fn reword(&self, id: &str, terminal_reason: &str) -> Call<Annotating> {
        self.call(|| {
            let terminal_reason = Some(Reason::named("terminal_reason", terminal_reason)?);
            let triage = Triage::Stays;
            Ok(Action::Annotate { task: TaskId::new(id)?, note: None, terminal_reason, triage })
        })
    }

    /// Makes a new task of one that failed, was undone or is parked. The old one only names it; once.
    pub fn retry(&self, id: &str, reason: &str) -> Call<Retrying> {
        self.call(|| {
            let (task, reason) = (TaskId::new(id)?, Reason::named("reason", reason)?);
            let successor = self.made_id()?;
            Ok(Action::Retry { task, successor, naming: IdOrigin::Made, reason, waive: Vec::new() })
        })
    }

    fn made_id(&self) -> Result<TaskId, Refusal> {
        TaskId::new(self.entropy.new_id())
    }
}

/// What a task is created with where nothing else is said.
pub fn create(task: TaskId, naming: IdOrigin) -> Result<Create, Refusal> {
    Ok(Create {
        task,
        naming,
        saga_id: None,
        queue: Queue::new(Queue::DEFAULT)?,
        kind: Kind::new(Kind::DEFAULT)?,
        labels: Labels::new(),
        payload: Document::null(),
        priority: 0,
        not_before: None,
        policy: Policy::default(),
        compensations: Vec::new(),
    })
}

/// The record of a stored task, to be changed and put back.
pub fn record_of(task: &Task) -> Put {
    let ending = task.ending();
    Put {
        record: Create {
            task: task.id.clone(),
            naming: IdOrigin::Given,
            saga_id: Some(task.saga_id.clone()),
            queue: task.queue.clone(),
            kind: task.kind.clone(),
            labels: task.labels.clone(),
            payload: task.payload.clone(),
            priority: task.priority,
            not_before: task.not_before,
            policy: task.policy,
            compensations: Vec::new(),
        },
        revision: Some(task.revision),
        state: task.state(),
        terminal_reason: ending.and_then(|ending| ending.reason.clone()),
        result: ending.and_then(|ending| ending.result.clone()),
        compensations: task
            .compensations
            .iter()
            .map(|one| PutUndo { seq: Some(one.seq), undo: one.undo.clone() })
            .collect(),
        created_at: Some(task.created_at),
        finished_at: ending.map(|ending| ending.finished_at),
        epoch: Some(task.epoch),
        attempts: Some(task.attempts),
    }
}

/// A record that does not exist yet, to be filled and put: planned, with nothing but its name.
pub fn new_record(id: &str) -> Result<Put, Refusal> {
    Ok(Put {
        record: create(TaskId::new(id)?, IdOrigin::Given)?,
        revision: None::<Revision>,
        state: State::Planned,
        terminal_reason: None,
        result: None,
        compensations: Vec::new(),
        created_at: None,
        finished_at: None,
        epoch: None,
        attempts: None,
    })
}

fn undo(kind: &str, target: &str) -> Result<Undo, Refusal> {
    let kind = Kind::named("compensations.kind", kind)?;
    Ok(Undo { kind, target: Text::named("compensations.target", target)?, reason: None })
}

fn waiver(seq: u32, reason: &str) -> Result<Waiver, Refusal> {
    Ok(Waiver { seq: Seq(seq), reason: Reason::named("reason", reason)? })
}

// ---- what refines a call ---------------------------------------------------------------------------------------

impl Call<Creation> {
    fn set(self, change: impl FnOnce(&mut Create) -> Checked) -> Self {
        self.change(|action| if let Action::Create(create) = action { change(create) } else { Ok(()) })
    }

    /// A second unique name, for the task's saga.
    pub fn saga_id(self, saga_id: &str) -> Self {
        self.set(|create| SagaId::new(saga_id).map(|saga_id| create.saga_id = Some(saga_id)))
    }

    /// Where workers claim it from.
    pub fn queue(self, queue: &str) -> Self {
        self.set(|create| Queue::new(queue).map(|queue| create.queue = queue))
    }

    /// What sort of task it is.
    pub fn kind(self, kind: &str) -> Self {
        self.set(|create| Kind::new(kind).map(|kind| create.kind = kind))
    }

    /// Something to find it by.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.set(|create| {
            create.labels.insert(LabelKey::new(key)?, LabelValue::new(value)?);
            Ok(())
        })
    }

    /// What is needed to do it: JSON.
    pub fn payload(self, payload: &str) -> Self {
        self.set(|create| json::document("payload", payload).map(|payload| create.payload = payload))
    }

    /// Which of the queue's due tasks go first: the higher ones.
    pub fn priority(self, priority: i32) -> Self {
        self.set(|create| {
            create.priority = priority;
            Ok(())
        })
    }

    /// Not to be acquired or claimed earlier.
    pub fn not_before(self, not_before: Time) -> Self {
        self.set(|create| {
            create.not_before = Some(not_before);
            Ok(())
        })
    }

    /// What is decided beforehand.
    pub fn policy(self, policy: Policy) -> Self {
        self.set(|create| {
            create.policy = policy;
            Ok(())
        })
    }

    /// Something that every attempt will owe.
    pub fn undo(self, kind: &str, target: &str) -> Self {
        self.set(|create| undo(kind, target).map(|undo| create.compensations.push(undo)))
    }

    /// Why the undo that was named last is registered.
    pub fn undo_reason(self, words: &str) -> Self {
        self.set(|create| {
            let unnamed = || Refusal::invalid("compensations.reason", "give the undo before its reason");
            let last = create.compensations.last_mut().ok_or_else(unnamed)?;
            last.reason = Some(Reason::named("compensations.reason", words)?);
            Ok(())
        })
    }
}

/// The refinement of one field of one action, for calls that have but a few.
macro_rules! refine {
    ($call:ident { $($(#[$doc:meta])* $method:ident($($argument:ident: $type:ty),*) $pattern:pat => $change:expr;)* }) => {
        impl Call<$call> { $(
            $(#[$doc])*
            pub fn $method(self, $($argument: $type),*) -> Self {
                self.change(|action| {
                    if let $pattern = action {
                        $change
                    }
                    Ok(())
                })
            }
        )* }
    };
}

refine!(Taking {
    /// How long it lasts; else as the task's policy says.
    ttl(length: impl Into<Span>)
        Action::Dispatch { ttl, .. } | Action::Acquire { ttl, .. } | Action::Reclaim { ttl, .. }
        => *ttl = Some(Ttl::new(length.into())?);
});
refine!(Claiming {
    /// How many at most.
    limit(count: u32) Action::Claim { limit, .. } => *limit = count;
    /// How long the leases last; else as each task's policy says.
    ttl(length: impl Into<Span>) Action::Claim { ttl, .. } => *ttl = Some(Ttl::new(length.into())?);
});
refine!(Heartbeating {
    /// How long the lease lasts from now on; else as long as when it was granted.
    ttl(length: impl Into<Span>) Action::Heartbeat { ttl, .. } => *ttl = Some(Ttl::new(length.into())?);
    /// How far the work is: JSON.
    progress(value: &str) Action::Heartbeat { progress, .. } => *progress = Some(json::progress(value)?);
    /// What a successor needs to go on: JSON.
    checkpoint(value: &str) Action::Heartbeat { checkpoint, .. }
        => *checkpoint = Some(json::document("checkpoint", value)?);
});
refine!(Progressing {
    /// How far the work is: JSON.
    report(value: &str) Action::Progress { progress, .. } => *progress = Some(json::progress(value)?);
    /// What a successor needs to go on: JSON.
    checkpoint(value: &str) Action::Progress { checkpoint, .. }
        => *checkpoint = Some(json::document("checkpoint", value)?);
});
refine!(Releasing {
    /// Not to be taken again earlier.
    delay(length: impl Into<Span>) Action::Release { delay, .. } => *delay = Some(length.into());
});
refine!(Registering {
    /// Why it is registered.
    reason(words: &str) Action::Register { undo, .. } => undo.reason = Some(Reason::named("reason", words)?);
});
refine!(Completing {
    /// What the work gave: JSON.
    result(value: &str) Action::Complete { result, .. } | Action::MarkCompleted { result, .. }
        => *result = Some(json::document("result", value)?);
});
refine!(Failing {
    /// What remains to undo; kind `none` says that nothing does.
    remains(kind: &str, target: &str) Action::Fail { compensation, .. } | Action::MarkFailed { compensation, .. }
        => *compensation = Some(undo(kind, target)?);
    /// What remains to undo, and why it was done.
    remains_because(kind: &str, target: &str, words: &str)
        Action::Fail { compensation, .. } | Action::MarkFailed { compensation, .. }
        => {
            let reason = Some(Reason::named("compensations.reason", words)?);
            *compensation = Some(Undo { reason, ..undo(kind, target)? });
        };
});
refine!(RollingBack {
    /// The holder undoes the work itself, under the lease that it has.
    keep_lease() Action::RollBack { undo_by, .. } => *undo_by = UndoBy::Holder;
});
refine!(Quarantining {
    /// Why, in one of the words that the end is known by.
    parking(why: QuarantineCause) Action::Quarantine { parking, .. } => *parking = why;
});
refine!(MarkingCompensated {
    /// Something that is owed and need not be undone.
    waive(seq: u32, reason: &str) Action::MarkCompensated { waive, .. } => waive.push(waiver(seq, reason)?);
});
refine!(Annotating {
    /// The corrected reason for the end of an ended task; the old one stays in the history.
    terminal_reason(words: &str) Action::Annotate { terminal_reason, .. }
        => *terminal_reason = Some(Reason::named("terminal_reason", words)?);
});
refine!(Retrying {
    /// The new task's id.
    id(id: &str) Action::Retry { successor, naming, .. } => {
        *successor = TaskId::new(id)?;
        *naming = IdOrigin::Given;
    };
    /// Something that is owed and need not be undone.
    waive(seq: u32, reason: &str) Action::Retry { waive, .. } => waive.push(waiver(seq, reason)?);
});
