//! Writes a command as JSON, so that reading gives the same command. The reader adds its namespace and scope.

use serde::ser::{Serialize, SerializeMap, Serializer};
use tenure_core::command::{Action, Command, Create, Holder, IdOrigin, Put, UndoBy};
use tenure_core::compensation::Undo;
use tenure_core::event::{Triage, Waiver};
use tenure_core::id::{Document, Kind, Progress, Reason, Seq, TaskId, Text};

use super::Verb;
use super::actions::parking_word;
use crate::record::{Of, PolicyRecord, Written};
use crate::wire::{Held, Wire, Wired};

/// A command of a list.
pub struct CommandRecord<'a>(&'a Command);

impl<'a> CommandRecord<'a> {
    /// The command. Its documents must be canonical.
    pub fn of(command: &'a Command) -> CommandRecord<'a> {
        CommandRecord(command)
    }
}

/// The text of a command.
pub fn command_json(command: &Command) -> String {
    crate::record::json(&CommandRecord::of(command))
}

impl Serialize for CommandRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Command { namespace: _, actor, request, jitter, reach: _, action } = self.0;
        let mut map = Entries(serializer.serialize_map(None)?);
        map.put("verb", verb(action).as_str())?;
        map.maybe("request_id", request.as_ref().map(|id| id.as_str()))?;
        map.put("as", &Wired(actor))?;
        map.put("jitter", &jitter.drawn())?;
        let is_named_by_its_record = matches!(action, Action::Create(_) | Action::Put(_));
        map.maybe("task", action.task().filter(|_| !is_named_by_its_record).map(Wired))?;
        map.holder(action.holder())?;
        map.rest(action)?;
        map.0.end()
    }
}

fn verb(action: &Action) -> Verb {
    match action {
        Action::Create(_) => Verb::Create,
        Action::Put(_) => Verb::Put,
        Action::Dispatch { .. } => Verb::Dispatch,
        Action::Acquire { .. } => Verb::Acquire,
        Action::Claim { .. } => Verb::Claim,
        Action::Heartbeat { .. } => Verb::Heartbeat,
        Action::Progress { .. } => Verb::Progress,
        Action::Release { .. } => Verb::Release,
        Action::Register { .. } => Verb::Register,
        Action::Adopt { .. } => Verb::Adopt,
        Action::Settle { .. } | Action::Try { .. } => Verb::Settle,
        Action::Waive { .. } => Verb::Waive,
        Action::Complete { .. } | Action::MarkCompleted { .. } => Verb::Complete,
        Action::Fail { .. } | Action::MarkFailed { .. } => Verb::Fail,
        Action::RollBack { .. } => Verb::RollBack,
        Action::Quarantine { .. } | Action::MarkQuarantined { .. } => Verb::Quarantine,
        Action::MarkCompensated { .. } => Verb::Compensate,
        Action::Cancel { .. } => Verb::Cancel,
        Action::Reclaim { .. } => Verb::Reclaim,
        Action::Annotate { .. } => Verb::Notes,
        Action::Retry { .. } => Verb::Retry,
    }
}

/// Members of an object. What is none is left out.
struct Entries<M>(M);

type Entered<M> = Result<(), <M as SerializeMap>::Error>;

impl<M: SerializeMap> Entries<M> {
    fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Entered<M> {
        self.0.serialize_entry(name, value)
    }

    fn maybe<T: Serialize>(&mut self, name: &'static str, value: Option<T>) -> Entered<M> {
        value.map_or(Ok(()), |value| self.put(name, &value))
    }

    fn wired<T: Wire>(&mut self, name: &'static str, value: &Option<T>) -> Entered<M> {
        self.maybe(name, value.as_ref().map(Wired))
    }

    fn json(&mut self, name: &'static str, value: &Option<Document>) -> Entered<M> {
        self.maybe(name, value.as_ref().map(Written::of))
    }

    fn reported(&mut self, progress: &Option<Progress>, checkpoint: &Option<Document>) -> Entered<M> {
        self.maybe("progress", progress.as_ref().map(|progress| Written(progress.as_str())))?;
        self.json("checkpoint", checkpoint)
    }

    fn holder(&mut self, by: Option<&Holder>) -> Entered<M> {
        let Some(Holder { owner, epoch }) = by else { return Ok(()) };
        self.put("owner", &Wired(owner))?;
        self.put("epoch", &Wired(epoch))
    }

    fn id(&mut self, id: &TaskId, naming: IdOrigin) -> Entered<M> {
        self.put("id", &Wired(id))?;
        self.made(naming)
    }

    fn made(&mut self, naming: IdOrigin) -> Entered<M> {
        self.maybe("made", (naming == IdOrigin::Made).then_some(true))
    }

    /// What a creator says, but for its compensations.
    fn given(&mut self, create: &Create) -> Entered<M> {
        self.id(&create.task, create.naming)?;
        self.wired("saga_id", &create.saga_id)?;
        self.put("queue", &Wired(&create.queue))?;
        self.put("kind", &Wired(&create.kind))?;
        self.put("labels", &Wired(&create.labels))?;
        self.put("payload", &Written::of(&create.payload))?;
        self.put("priority", &create.priority)?;
        self.wired("not_before", &create.not_before)?;
        self.put("policy", &PolicyRecord::of(&create.policy))
    }

    fn create(&mut self, create: &Create) -> Entered<M> {
        self.given(create)?;
        let undos = create.compensations.iter().map(|undo| UndoRecord::of(None, undo));
        self.put("compensations", &undos.collect::<Vec<_>>())
    }

    fn record(&mut self, put: &Put) -> Entered<M> {
        self.given(&put.record)?;
        self.wired("revision", &put.revision)?;
        self.put("state", &Held(put.state))?;
        self.wired("terminal_reason", &put.terminal_reason)?;
        self.json("result", &put.result)?;
        let is_null = put.result.as_ref().is_some_and(|result| result.as_str() == "null");
        self.maybe("given_null", is_null.then_some(["result"]))?;
        let undos = put.compensations.iter().map(|one| UndoRecord::of(one.seq, &one.undo));
        self.put("compensations", &undos.collect::<Vec<_>>())?;
        self.wired("created_at", &put.created_at)?;
        self.wired("finished_at", &put.finished_at)?;
        self.wired("epoch", &put.epoch)?;
        self.maybe("attempts", put.attempts)
    }

    /// What a command has besides the task's name and the proof of a lease. It is longer than a screen because it is one
    /// list of all commands.
    fn rest(&mut self, action: &Action) -> Entered<M> {
        match action {
            Action::Create(create) => self.create(create),
            Action::Put(put) => self.record(put),
            Action::Adopt { .. } => Ok(()),
            Action::Claim { queue, limit, owner, ttl } => {
                self.put("queue", &Wired(queue))?;
                self.put("limit", limit)?;
                self.put("owner", &Wired(owner))?;
                self.wired("ttl", ttl)
            }
            Action::Dispatch { owner, ttl, .. }
            | Action::Acquire { owner, ttl, .. }
            | Action::Reclaim { owner, ttl, .. } => {
                self.put("owner", &Wired(owner))?;
                self.wired("ttl", ttl)
            }
            Action::Heartbeat { ttl, progress, checkpoint, .. } => {
                self.wired("ttl", ttl)?;
                self.reported(progress, checkpoint)
            }
            Action::Progress { progress, checkpoint, .. } => self.reported(progress, checkpoint),
            Action::Release { reason, delay, .. } => {
                self.put("reason", &Wired(reason))?;
                self.wired("delay", delay)
            }
            Action::Register { undo: Undo { kind, target, reason }, .. } => {
                self.put("kind", &Wired(kind))?;
                self.put("target", &Wired(target))?;
                self.wired("reason", reason)
            }
            Action::Settle { seq, receipt, .. } => {
                self.put("seq", &Wired(seq))?;
                self.put("receipt", &Wired(receipt))
            }
            Action::Try { seq, error, .. } => {
                self.put("seq", &Wired(seq))?;
                self.put("error", &Wired(error))
            }
            Action::Waive { waiver: Waiver { seq, reason }, .. } => {
                self.put("seq", &Wired(seq))?;
                self.put("reason", &Wired(reason))
            }
            Action::Complete { result, .. } => self.json("result", result),
            Action::MarkCompleted { reason, result, .. } => {
                self.put("reason", &Wired(reason))?;
                self.json("result", result)
            }
            Action::Fail { reason, compensation, .. } | Action::MarkFailed { reason, compensation, .. } => {
                self.put("reason", &Wired(reason))?;
                self.maybe("compensation", compensation.as_ref().map(|undo| UndoRecord::of(None, undo)))
            }
            Action::RollBack { reason, undo_by, .. } => {
                self.put("reason", &Wired(reason))?;
                self.maybe("keep", (*undo_by == UndoBy::Holder).then_some(true))
            }
            Action::Quarantine { reason, parking, .. } => {
                self.put("reason", &Wired(reason))?;
                self.put("cause", parking_word(*parking))
            }
            Action::MarkQuarantined { reason, .. } | Action::Cancel { reason, .. } => {
                self.put("reason", &Wired(reason))
            }
            Action::MarkCompensated { reason, waive, .. } => self.waived(reason, waive),
            Action::Annotate { note, terminal_reason, triage, .. } => {
                self.wired("note", note)?;
                self.wired("terminal_reason", terminal_reason)?;
                self.maybe("dismiss", (*triage == Triage::Dismissed).then_some(true))
            }
            Action::Retry { successor, naming, reason, waive, .. } => {
                self.id(successor, *naming)?;
                self.waived(reason, waive)
            }
        }
    }

    fn waived(&mut self, reason: &Reason, waive: &[Waiver]) -> Entered<M> {
        self.put("reason", &Wired(reason))?;
        let records = waive
            .iter()
            .map(|Waiver { seq, reason }| WaiverRecord { seq: Wired(seq), reason: Wired(reason) });
        let records: Vec<WaiverRecord<'_>> = records.collect();
        self.maybe("waive", (!records.is_empty()).then_some(records))
    }
}

#[derive(serde::Serialize)]
struct UndoRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Held<Seq>>,
    kind: Of<'a, Kind>,
    target: Of<'a, Text>,
    reason: Of<'a, Option<Reason>>,
}

impl<'a> UndoRecord<'a> {
    fn of(seq: Option<Seq>, undo: &'a Undo) -> UndoRecord<'a> {
        UndoRecord {
            seq: seq.map(Held),
            kind: Wired(&undo.kind),
            target: Wired(&undo.target),
            reason: Wired(&undo.reason),
        }
    }
}

#[derive(serde::Serialize)]
struct WaiverRecord<'a> {
    seq: Of<'a, Seq>,
    reason: Of<'a, Reason>,
}
