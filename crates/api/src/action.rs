//! From a body to what it asks for, and back. Every text is checked here, under the name that it has in JSON.

use serde_json::value::RawValue;
use tenure_core::command::{
    Action, Holder, HolderAction, IdOrigin, OperatorAction, QuarantineCause, Take, UndoBy,
};
use tenure_core::compensation::Undo;
use tenure_core::event::{HandReceipt, LabelChanges, Triage, Waiver};
use tenure_core::id::{Epoch, LabelKey, Owner, Progress, Queue, Reason, Seq, TaskId, Text};
use tenure_core::limit::InvalidField;
use tenure_core::policy::Ttl;
use tenure_core::refusal::Refusal;

use crate::body::*;
use crate::command_body::{CommandBody, CommandName, ReadBody};
use crate::document::raw;
use crate::duration::DurationInput;
use crate::json;
use crate::members::Members;
use crate::put::{labels, undo};
use crate::read::{document, of_member};
use crate::target::{By, Target};
use crate::wire::{Word, parse_word};

macro_rules! body {
    ($body_type:ident, |$body:ident, $name:pat_param, $target:pat_param, $by:pat_param| $action:expr) => {
        impl ReadBody for $body_type {
            fn read(members: Members<'_>) -> Result<(Option<String>, $body_type), Refusal> {
                let mut body: $body_type = members.into_body(|error| of_member(error, $body_type::FIELDS))?;
                Ok((body.actor.take(), body))
            }

            fn action(self, $name: CommandName, $target: Target, $by: &By<'_>) -> Result<Action, Refusal> {
                let $body = self;
                $action
            }
        }
    };
}

body!(CreateBody, |body, _, _, by| {
    let (id, origin) = new_id(body.id.clone(), by)?;
    Ok(Action::Create(Box::new(body.into_create(id, origin)?)))
});

body!(TakeBody, |body, name, target, _| {
    let (task, owner, ttl) = (target.task()?, Owner::new(body.owner)?, ttl(body.ttl)?);
    let take = if name == CommandName::Dispatch {
        Take::Dispatch
    } else if name == CommandName::Reclaim {
        Take::Reclaim
    } else {
        Take::Acquire
    };
    Ok(Action::Take { task, take, owner, ttl })
});

body!(ClaimBody, |body, _, _, _| {
    let (queue, owner, ttl) = (Queue::new(body.queue)?, Owner::new(body.owner)?, ttl(body.ttl)?);
    Ok(Action::Claim { queue, limit: body.limit.unwrap_or(1), owner, ttl })
});

body!(HeartbeatBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let (progress, checkpoint) = (progress(body.progress)?, document("checkpoint", body.checkpoint)?);
    let act = HolderAction::Heartbeat { ttl: ttl(body.ttl)?, progress, checkpoint };
    Ok(Action::ByHolder { task, by, act })
});

body!(ProgressBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let (progress, checkpoint) = (progress(body.progress)?, document("checkpoint", body.checkpoint)?);
    Ok(HolderAction::Progress { progress, checkpoint }.on(task, by))
});

body!(ReleaseBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let delay = body.delay.map(|said| said.span("delay")).transpose()?;
    Ok(HolderAction::Release { reason: reason(body.reason)?, delay }.on(task, by))
});

body!(RegisterBody, |body, _, target, _| {
    let (task, by) = (target.task()?, proof(body.owner, body.epoch)?);
    let said = UndoBody { kind: body.kind, target: body.target, reason: body.reason };
    let undo = undo(["kind", "target", "reason"], said)?;
    Ok(match by {
        Some(by) => HolderAction::Register { undo }.on(task, by),
        None => OperatorAction::Register { undo }.on(task),
    })
});

body!(AdoptBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    Ok(HolderAction::Adopt.on(task, by))
});

body!(SettleBody, |body, _, target, _| {
    let (task, seq) = (target.task()?, target.seq()?);
    let Some(by) = proof(body.owner, body.epoch)? else {
        return settle_by_hand(seq, body.receipt, body.error, body.reason).map(|act| act.on(task));
    };
    if body.reason.is_some() {
        return Err(Refusal::invalid("reason", "allowed only for operators, without owner and epoch"));
    }
    let act = match (body.receipt, body.error) {
        (Some(receipt), None) => HolderAction::Settle { seq, receipt: Text::named("receipt", receipt)? },
        (None, Some(error)) => HolderAction::Try { seq, error: Text::named("error", error)? },
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::invalid(
                "receipt",
                "give either a receipt, or the error of the failed undo",
            ));
        }
    };
    Ok(Action::ByHolder { task, by, act })
});

/// Who undid something by hand leaves a receipt, which is the reason where none is given.
fn settle_by_hand(
    seq: Seq,
    receipt: Option<String>,
    error: Option<String>,
    why: Option<String>,
) -> Result<OperatorAction, Refusal> {
    if error.is_some() {
        return Err(Refusal::invalid("error", "allowed only for holders, with owner and epoch"));
    }
    let receipt = receipt.ok_or_else(|| {
        Refusal::invalid("receipt", "is required: say what shows that it was undone; or waive it")
    })?;
    let reason = match why {
        Some(why) => reason(why)?,
        None => Reason::named("receipt", receipt.clone())?,
    };
    Ok(OperatorAction::Settle {
        done: HandReceipt { seq, receipt: Text::named("receipt", receipt)? },
        reason,
    })
}

body!(LabelBody, |body, _, target, _| {
    let task = target.task()?;
    let set = labels(body.set.unwrap_or_default())?;
    let unset = body.unset.unwrap_or_default().into_iter().map(|key| LabelKey::named("unset", key));
    let changes = LabelChanges { set, unset: unset.collect::<Result<_, _>>()? };
    match (proof(body.owner, body.epoch)?, body.reason) {
        (Some(by), None) => Ok(HolderAction::Label { changes }.on(task, by)),
        (None, why) => {
            let reason = why.map(reason).transpose()?;
            Ok(OperatorAction::Label { changes, reason }.on(task))
        }
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("reason", "allowed only for operators, without owner and epoch"))
        }
    }
});

body!(WaiveBody, |body, _, target, _| {
    let (task, seq) = (target.task()?, target.seq()?);
    let waiver = Waiver { seq, reason: reason(body.reason)? };
    Ok(OperatorAction::Waive { waiver }.on(task))
});

body!(CompleteBody, |body, _, target, _| {
    let (task, result) = (target.task()?, document("result", body.result)?);
    match (proof(body.owner, body.epoch)?, body.reason) {
        (Some(by), None) => Ok(HolderAction::Complete { result }.on(task, by)),
        (None, Some(words)) => {
            let act = OperatorAction::MarkCompleted { reason: reason(words)?, result };
            Ok(Action::ByOperator { task, act })
        }
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
        Some(by) => HolderAction::Fail { reason, compensation }.on(task, by),
        None => OperatorAction::MarkFailed { reason, compensation }.on(task),
    })
});

body!(RollBackBody, |body, _, target, _| {
    let (task, by) = (target.task()?, holder(body.owner, body.epoch)?);
    let undo_by = if body.keep == Some(true) { UndoBy::Holder } else { UndoBy::Recovery };
    Ok(HolderAction::RollBack { reason: reason(body.reason)?, undo_by }.on(task, by))
});

body!(QuarantineBody, |body, _, target, _| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    let cause = body.cause.as_deref().map(|word| parse_word("cause", word)).transpose()?;
    match (proof(body.owner, body.epoch)?, cause) {
        (Some(by), cause) => {
            let cause = cause.unwrap_or(QuarantineCause::ByHolder);
            Ok(HolderAction::Quarantine { reason, cause }.on(task, by))
        }
        (None, None) => Ok(OperatorAction::MarkQuarantined { reason }.on(task)),
        (None, Some(_)) => Err(Refusal::invalid("cause", "allowed only for holders, with owner and epoch")),
    }
});

body!(CompensateBody, |body, _, target, _| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    let (waive, settled) = (waivers(body.waive)?, receipts(body.receipts)?);
    let act = OperatorAction::MarkCompensated { reason, waive, settled };
    Ok(Action::ByOperator { task, act })
});

body!(CancelBody, |body, _, target, _| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    Ok(OperatorAction::Cancel { reason }.on(task))
});

body!(NoteBody, |body, _, target, _| {
    let note = body.note.map(|words| Reason::named("note", words)).transpose()?;
    let terminal_reason =
        body.terminal_reason.map(|words| Reason::named("terminal_reason", words)).transpose()?;
    let triage = if body.dismiss == Some(true) { Triage::Dismissed } else { Triage::Stays };
    let act = OperatorAction::Annotate { note, terminal_reason, triage };
    Ok(Action::ByOperator { task: target.task()?, act })
});

body!(RetryBody, |body, _, target, by| {
    let (task, reason) = (target.task()?, reason(body.reason)?);
    let (successor, id_origin) = new_id(body.id, by)?;
    let (waive, settled) = (waivers(body.waive)?, receipts(body.receipts)?);
    let act = OperatorAction::Retry { successor, id_origin, reason, waive, settled };
    Ok(Action::ByOperator { task, act })
});

impl Target {
    fn task(&self) -> Result<TaskId, Refusal> {
        self.task.clone().ok_or_else(|| Refusal::invalid("task", "is required"))
    }

    fn seq(&self) -> Result<Seq, Refusal> {
        self.seq.ok_or_else(|| Refusal::invalid("seq", "is required"))
    }
}

/// The id of a new task.
fn new_id(id: Option<String>, by: &By<'_>) -> Result<(TaskId, IdOrigin), Refusal> {
    match id {
        Some(id) => Ok((TaskId::new(id)?, IdOrigin::Given)),
        None => Ok((TaskId::new(by.random.new_id())?, IdOrigin::Made)),
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

fn reason(words: String) -> Result<Reason, InvalidField> {
    Reason::named("reason", words)
}

fn ttl(said: Option<DurationInput>) -> Result<Option<Ttl>, Refusal> {
    said.map(|said| Ok(Ttl::new(said.span("ttl")?)?)).transpose()
}

fn progress(raw: Option<Box<RawValue>>) -> Result<Option<Progress>, Refusal> {
    raw.map(|raw| json::progress_of(&raw)).transpose()
}

fn waivers(waive: Option<Vec<WaiverBody>>) -> Result<Vec<Waiver>, Refusal> {
    let waivers = waive.unwrap_or_default().into_iter();
    waivers
        .map(|one| Ok(Waiver { seq: Seq(one.seq), reason: Reason::named("waive.reason", one.reason)? }))
        .collect()
}

fn receipts(given: Option<Vec<ReceiptBody>>) -> Result<Vec<HandReceipt>, Refusal> {
    let receipt = |one: ReceiptBody| {
        Ok(HandReceipt { seq: Seq(one.seq), receipt: Text::named("receipts.receipt", one.receipt)? })
    };
    given.unwrap_or_default().into_iter().map(receipt).collect()
}

// ---- from an action to its body -----------------------------------------------------------------------------------

/// The body from which the same action is read, but for who chose the id of a new task.
pub(crate) fn body_of(action: &Action) -> CommandBody {
    match action {
        Action::Create(create) => CommandBody::Create(CreateBody::from(&**create)),
        Action::Put(put) => CommandBody::Put(PutBody::from(&**put)),
        Action::Claim { queue, limit, owner, ttl } => CommandBody::Claim(ClaimBody {
            queue: queue.to_string(),
            owner: owner.to_string(),
            ttl: ttl.map(duration),
            limit: Some(*limit),
            wait: None,
            actor: None,
        }),
        Action::Take { task: _, take, owner, ttl } => {
            let body = TakeBody { owner: owner.to_string(), ttl: ttl.map(duration), actor: None };
            match take {
                Take::Dispatch => CommandBody::Dispatch(body),
                Take::Acquire => CommandBody::Acquire(body),
                Take::Reclaim => CommandBody::Reclaim(body),
            }
        }
        Action::ByHolder { task: _, by, act } => of_holder(by, act),
        Action::ByOperator { task: _, act } => of_operator(act),
    }
}

fn of_holder(by: &Holder, act: &HolderAction) -> CommandBody {
    let (owner, epoch, actor) = (by.owner.to_string(), by.epoch.0, None);
    match act {
        HolderAction::Heartbeat { ttl, progress, checkpoint } => CommandBody::Heartbeat(HeartbeatBody {
            owner,
            epoch,
            ttl: ttl.map(duration),
            progress: progress.as_ref().map(raw),
            checkpoint: checkpoint.as_ref().map(raw),
            actor,
        }),
        HolderAction::Progress { progress, checkpoint } => CommandBody::Progress(ProgressBody {
            owner,
            epoch,
            progress: progress.as_ref().map(raw),
            checkpoint: checkpoint.as_ref().map(raw),
            actor,
        }),
        HolderAction::Release { reason, delay } => CommandBody::Release(ReleaseBody {
            owner,
            epoch,
            reason: reason.to_string(),
            delay: delay.map(DurationInput::from),
            actor,
        }),
        HolderAction::Register { undo } => register(Some(by), undo),
        HolderAction::Adopt => CommandBody::Adopt(AdoptBody { owner, epoch, actor }),
        HolderAction::Settle { seq: _, receipt } => {
            let (owner, epoch, receipt) = (Some(owner), Some(epoch), Some(receipt.to_string()));
            CommandBody::Settle(SettleBody { owner, epoch, receipt, error: None, reason: None, actor })
        }
        HolderAction::Try { seq: _, error } => {
            let (owner, epoch, error) = (Some(owner), Some(epoch), Some(error.to_string()));
            CommandBody::Settle(SettleBody { owner, epoch, receipt: None, error, reason: None, actor })
        }
        HolderAction::Label { changes } => label(Some(by), changes, None),
        HolderAction::Complete { result } => CommandBody::Complete(CompleteBody {
            owner: Some(owner),
            epoch: Some(epoch),
            reason: None,
            result: result.as_ref().map(raw),
            actor,
        }),
        HolderAction::Fail { reason, compensation } => CommandBody::Fail(FailBody {
            owner: Some(owner),
            epoch: Some(epoch),
            reason: reason.to_string(),
            compensation: compensation.as_ref().map(UndoBody::from),
            actor,
        }),
        HolderAction::RollBack { reason, undo_by } => CommandBody::RollBack(RollBackBody {
            owner,
            epoch,
            reason: reason.to_string(),
            keep: (*undo_by == UndoBy::Holder).then_some(true),
            actor,
        }),
        HolderAction::Quarantine { reason, cause } => CommandBody::Quarantine(QuarantineBody {
            owner: Some(owner),
            epoch: Some(epoch),
            reason: reason.to_string(),
            cause: Some(cause.word().to_owned()),
            actor,
        }),
    }
}

fn of_operator(act: &OperatorAction) -> CommandBody {
    let (owner, epoch, actor) = (None, None, None);
    match act {
        OperatorAction::Register { undo } => register(None, undo),
        OperatorAction::Waive { waiver } => {
            CommandBody::Waive(WaiveBody { reason: waiver.reason.to_string(), actor })
        }
        OperatorAction::MarkCompleted { reason, result } => CommandBody::Complete(CompleteBody {
            owner,
            epoch,
            reason: Some(reason.to_string()),
            result: result.as_ref().map(raw),
            actor,
        }),
        OperatorAction::MarkFailed { reason, compensation } => CommandBody::Fail(FailBody {
            owner,
            epoch,
            reason: reason.to_string(),
            compensation: compensation.as_ref().map(UndoBody::from),
            actor,
        }),
        OperatorAction::MarkCompensated { reason, waive, settled } => {
            CommandBody::Compensate(CompensateBody {
                reason: reason.to_string(),
                waive: waiver_bodies(waive),
                receipts: receipt_bodies(settled),
                actor,
            })
        }
        OperatorAction::MarkQuarantined { reason } => CommandBody::Quarantine(QuarantineBody {
            owner,
            epoch,
            reason: reason.to_string(),
            cause: None,
            actor,
        }),
        OperatorAction::Cancel { reason } => {
            CommandBody::Cancel(CancelBody { reason: reason.to_string(), actor })
        }
        OperatorAction::Annotate { note, terminal_reason, triage } => CommandBody::Notes(NoteBody {
            note: note.as_ref().map(Reason::to_string),
            terminal_reason: terminal_reason.as_ref().map(Reason::to_string),
            dismiss: (*triage == Triage::Dismissed).then_some(true),
            actor,
        }),
        OperatorAction::Retry { successor, id_origin: _, reason, waive, settled } => {
            CommandBody::Retry(RetryBody {
                id: Some(successor.to_string()),
                reason: reason.to_string(),
                waive: waiver_bodies(waive),
                receipts: receipt_bodies(settled),
                actor,
            })
        }
        OperatorAction::Settle { done, reason } => CommandBody::Settle(SettleBody {
            owner,
            epoch,
            receipt: Some(done.receipt.to_string()),
            error: None,
            reason: Some(reason.to_string()),
            actor,
        }),
        OperatorAction::Label { changes, reason } => label(None, changes, reason.as_ref()),
    }
}

fn label(by: Option<&Holder>, changes: &LabelChanges, reason: Option<&Reason>) -> CommandBody {
    let LabelChanges { set, unset } = changes;
    let texts = set.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    CommandBody::Label(LabelBody {
        owner: by.map(|by| by.owner.to_string()),
        epoch: by.map(|by| by.epoch.0),
        set: (!set.is_empty()).then(|| texts.collect()),
        unset: (!unset.is_empty()).then(|| unset.iter().map(LabelKey::to_string).collect()),
        reason: reason.map(Reason::to_string),
        actor: None,
    })
}

fn receipt_bodies(settled: &[HandReceipt]) -> Option<Vec<ReceiptBody>> {
    let body = |one: &HandReceipt| ReceiptBody { seq: one.seq.0, receipt: one.receipt.to_string() };
    (!settled.is_empty()).then(|| settled.iter().map(body).collect())
}

fn register(by: Option<&Holder>, undo: &Undo) -> CommandBody {
    CommandBody::Register(RegisterBody {
        owner: by.map(|by| by.owner.to_string()),
        epoch: by.map(|by| by.epoch.0),
        kind: undo.kind.to_string(),
        target: undo.target.to_string(),
        reason: undo.reason.as_ref().map(Reason::to_string),
        actor: None,
    })
}

fn duration(ttl: Ttl) -> DurationInput {
    ttl.span().into()
}

fn waiver_bodies(waive: &[Waiver]) -> Option<Vec<WaiverBody>> {
    let body = |one: &Waiver| WaiverBody { seq: one.seq.0, reason: one.reason.to_string() };
    (!waive.is_empty()).then(|| waive.iter().map(body).collect())
}
