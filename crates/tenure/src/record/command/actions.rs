//! Turns a request body into an action. Every text is checked here, under its JSON name.

use serde_json::value::RawValue;
use tenure_core::command::{Action, Holder, IdOrigin, QuarantineCause, UndoBy};
use tenure_core::compensation::Undo;
use tenure_core::event::{Triage, Waiver};
use tenure_core::id::{Epoch, Kind, Owner, Progress, Queue, Reason, Seq, TaskId, Text};
use tenure_core::policy::Ttl;
use tenure_core::refusal::Refusal;

use super::bodies::*;
use super::{By, Target, Verb};
use crate::json;
use crate::ledger::create;
use crate::record::duration::DurationInput;
use crate::record::input::{Given, document};

/// The body of a verb.
pub(super) trait Body: Sized {
    /// What it may say.
    const FIELDS: &'static [&'static str];

    /// Who it says gives it.
    fn actor(&mut self) -> Option<String>;

    /// What it asks for. `verb` matters only to those that several verbs share.
    fn action(self, verb: Verb, target: Target, by: &By<'_>) -> Result<Action, Refusal>;
}

macro_rules! body {
    ($name:ident, |$body:ident, $verb:pat_param, $target:pat_param, $by:pat_param| $action:expr) => {
        impl Body for $name {
            const FIELDS: &'static [&'static str] = $name::FIELDS;

            fn actor(&mut self) -> Option<String> {
                self.actor.take()
            }

            fn action(self, $verb: Verb, $target: Target, $by: &By<'_>) -> Result<Action, Refusal> {
                let $body = self;
                $action
            }
        }
    };
}

body!(CreateBody, |body, _, _, by| {
    let (id, naming) = new_id(body.id, by)?;
    let mut record = create(id, naming)?;
    let given = Given {
        saga_id: body.saga_id,
        queue: body.queue,
        kind: body.kind,
        labels: body.labels,
        payload: body.payload,
        priority: body.priority,
        not_before: body.not_before,
        policy: body.policy,
    };
    given.fill(&mut record)?;
    let undos = body.compensations.unwrap_or_default().into_iter();
    record.compensations = undos
        .map(|one| undo(["compensations.kind", "compensations.target", "compensations.reason"], one))
        .collect::<Result<_, _>>()?;
    Ok(Action::Create(Box::new(record)))
});

body!(TakeBody, |body, verb, target, _| {
    let (task, owner, ttl) = (target.task()?, Owner::new(body.owner)?, ttl(body.ttl)?);
    Ok(if verb == Verb::Dispatch {
        Action::Dispatch { task, owner, ttl }
    } else if verb == Verb::Reclaim {
        Action::Reclaim { task, owner, ttl }
    } else {
        Action::Acquire { task, owner, ttl }
    })
});

body!(ClaimBody, |body, _, _, _| {
    let (queue, owner, ttl) = (Queue::new(body.queue)?, Owner::new(body.owner)?, ttl(body.ttl)?);
    Ok(Action::Claim { queue, limit: body.limit.unwrap_or(1), owner, ttl })
});

body!(HeartbeatBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let (progress, checkpoint) = (progress(body.progress)?, document("checkpoint", body.checkpoint)?);
    Ok(Action::Heartbeat { task, by, ttl: ttl(body.ttl)?, progress, checkpoint })
});

body!(ProgressBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let (progress, checkpoint) = (progress(body.progress)?, document("checkpoint", body.checkpoint)?);
    Ok(Action::Progress { task, by, progress, checkpoint })
});

body!(ReleaseBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let delay = body.delay.map(|said| said.span("delay")).transpose()?;
    Ok(Action::Release { task, by, reason: reason(body.reason)?, delay })
});

body!(RegisterBody, |body, _, target, _| {
    let (task, by) = (target.task()?, proof(body.owner, body.epoch)?);
    let said = UndoBody { kind: body.kind, target: body.target, reason: body.reason };
    Ok(Action::Register { task, by, undo: undo(["kind", "target", "reason"], said)? })
});

body!(AdoptBody, |body, _, target, _| {
    Ok(Action::Adopt { task: target.task()?, by: holder(body.owner, body.epoch)? })
});

body!(SettleBody, |body, _, target, _| {
    let (task, seq, by) = (target.task()?, target.seq()?, holder(body.owner, body.epoch)?);
    match (body.receipt, body.error) {
        (Some(receipt), None) => {
            Ok(Action::Settle { task, by, seq, receipt: Text::named("receipt", receipt)? })
        }
        (None, Some(error)) => Ok(Action::Try { task, by, seq, error: Text::named("error", error)? }),
        (Some(_), Some(_)) | (None, None) => {
            Err(Refusal::invalid("receipt", "give either a receipt, or the error of the failed undo"))
        }
    }
});

body!(WaiveBody, |body, _, target, _| {
    let (task, seq) = (target.task()?, target.seq()?);
    Ok(Action::Waive { task, waiver: Waiver { seq, reason: reason(body.reason)? } })
});

body!(CompleteBody, |body, _, target, _| {
    let (task, result) = (target.task()?, document("result", body.result)?);
    match (proof(body.owner, body.epoch)?, body.reason) {
        (Some(by), None) => Ok(Action::Complete { task, by, result }),
        (None, Some(words)) => Ok(Action::MarkCompleted { task, reason: reason(words)?, result }),
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("reason", "allowed only for operators, without owner and epoch"))
        }
        (None, None) => {
            Err(Refusal::invalid("reason", "is required for operators; holders give owner and epoch instead"))
        }
    }
});

body!(FailBody, |body, _, target, _| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    let names = ["compensation.kind", "compensation.target", "compensation.reason"];
    let compensation = body.compensation.map(|said| undo(names, said)).transpose()?;
    Ok(match proof(body.owner, body.epoch)? {
        Some(by) => Action::Fail { task, by, reason, compensation },
        None => Action::MarkFailed { task, reason, compensation },
    })
});

body!(RollBackBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let undo_by = if body.keep == Some(true) { UndoBy::Holder } else { UndoBy::Recovery };
    Ok(Action::RollBack { task, by, reason: reason(body.reason)?, undo_by })
});

body!(QuarantineBody, |body, _, target, _| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    let parking = body.cause.as_deref().map(parking_of).transpose()?;
    match (proof(body.owner, body.epoch)?, parking) {
        (Some(by), parking) => {
            Ok(Action::Quarantine { task, by, reason, parking: parking.unwrap_or(QuarantineCause::ByHolder) })
        }
        (None, None) => Ok(Action::MarkQuarantined { task, reason }),
        (None, Some(_)) => Err(Refusal::invalid("cause", "allowed only for holders, with owner and epoch")),
    }
});

body!(CompensateBody, |body, _, target, _| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    Ok(Action::MarkCompensated { task, reason, waive: waivers(body.waive)? })
});

body!(CancelBody, |body, _, target, _| {
    Ok(Action::Cancel { task: target.task()?, reason: reason(body.reason)? })
});

body!(NoteBody, |body, _, target, _| {
    let note = body.note.map(|words| Reason::named("note", words)).transpose()?;
    let corrected = body.terminal_reason.map(|words| Reason::named("terminal_reason", words)).transpose()?;
    let triage = if body.dismiss == Some(true) { Triage::Dismissed } else { Triage::Stays };
    Ok(Action::Annotate { task: target.task()?, note, terminal_reason: corrected, triage })
});

body!(RetryBody, |body, _, target, by| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    let (successor, naming) = new_id(body.id, by)?;
    Ok(Action::Retry { task, successor, naming, reason, waive: waivers(body.waive)? })
});

impl Target {
    fn task(&self) -> Result<TaskId, Refusal> {
        self.task.clone().ok_or_else(|| Refusal::invalid("task", "is required"))
    }

    fn seq(&self) -> Result<Seq, Refusal> {
        self.seq.ok_or_else(|| Refusal::invalid("seq", "is required"))
    }
}

/// The words of why a holder parks its task.
pub(in crate::record) const PARKINGS: [(&str, QuarantineCause); 3] = [
    ("by_holder", QuarantineCause::ByHolder),
    ("undo_unhandled", QuarantineCause::UndoUnhandled),
    ("undo_failed", QuarantineCause::UndoFailed),
];

/// The word of why a holder parks its task.
pub(super) fn parking_word(parking: QuarantineCause) -> &'static str {
    match parking {
        QuarantineCause::ByHolder => "by_holder",
        QuarantineCause::UndoUnhandled => "undo_unhandled",
        QuarantineCause::UndoFailed => "undo_failed",
    }
}

fn parking_of(word: &str) -> Result<QuarantineCause, Refusal> {
    let known = PARKINGS.iter().find(|(name, _)| *name == word).map(|(_, parking)| *parking);
    known.ok_or_else(|| Refusal::invalid("cause", "one of by_holder, undo_unhandled, undo_failed"))
}

/// The id of a new task.
fn new_id(id: Option<String>, by: &By<'_>) -> Result<(TaskId, IdOrigin), Refusal> {
    match id {
        Some(id) => Ok((TaskId::new(id)?, IdOrigin::Given)),
        None => Ok((TaskId::new(by.entropy.new_id())?, IdOrigin::Made)),
    }
}

fn holder(owner: String, epoch: u64) -> Result<Holder, Refusal> {
    Ok(Holder { owner: Owner::new(owner)?, epoch: Epoch(epoch) })
}

/// Half a proof is none: what was meant by lease must not be done by operator.
fn proof(owner: Option<String>, epoch: Option<u64>) -> Result<Option<Holder>, Refusal> {
    match (owner, epoch) {
        (Some(owner), Some(epoch)) => holder(owner, epoch).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Refusal::invalid("epoch", "give both owner and epoch, or neither")),
        (None, Some(_)) => Err(Refusal::invalid("owner", "give both owner and epoch, or neither")),
    }
}

fn reason(words: String) -> Result<Reason, Refusal> {
    Reason::named("reason", words)
}

fn ttl(said: Option<DurationInput>) -> Result<Option<Ttl>, Refusal> {
    said.map(|said| Ttl::new(said.span("ttl")?)).transpose()
}

fn progress(raw: Option<Box<RawValue>>) -> Result<Option<Progress>, Refusal> {
    raw.map(|raw| json::progress(raw.get())).transpose()
}

fn waivers(waive: Option<Vec<WaiverBody>>) -> Result<Vec<Waiver>, Refusal> {
    let waivers = waive.unwrap_or_default().into_iter();
    waivers
        .map(|one| Ok(Waiver { seq: Seq(one.seq), reason: Reason::named("waive.reason", one.reason)? }))
        .collect()
}

/// What somebody who registers says, under the names of its three fields.
fn undo([kind, target, reason]: [&'static str; 3], said: UndoBody) -> Result<Undo, Refusal> {
    Ok(Undo {
        kind: Kind::named(kind, said.kind)?,
        target: Text::named(target, said.target)?,
        reason: said.reason.map(|words| Reason::named(reason, words)).transpose()?,
    })
}
