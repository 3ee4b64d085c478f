//! The first form of a request's digest, for request ids that an older version remembered. Today's is
//! [`tenure_api::command::digest`].
//!
//! Request ids are remembered for 7 days. So this can go with the first version that no store comes to from a version
//! that wrote this form.

use tenure_api::wire::Word;
use tenure_core::chain::{Canonical, Hash};
use tenure_core::command::{
    Action, Create, Holder, HolderAction, IdOrigin, OperatorAction, Put, PutUndo, UndoBy,
};
use tenure_core::compensation::Undo;
use tenure_core::event::{HandReceipt, Triage, Waiver};
use tenure_core::id::TaskId;
use tenure_core::policy::Ttl;
use tenure_core::time::{Span, Time};
use tenure_core::verb::Verb;

use crate::codec::state_word;
use crate::stored_json::to_json;

/// The digest of a command's action.
pub(crate) fn digest(action: &Action) -> Hash {
    let mut pieces = Pieces(Canonical::new());
    // Registering was one verb then.
    let is_register = action.verb() == Verb::RegisterBeforeLease;
    pieces.text(if is_register { Verb::Register } else { action.verb() }.as_str());
    pieces.action(action);
    pieces.0.hash()
}

/// Adds what callers give, each optional piece behind a mark that says whether it is there.
struct Pieces(Canonical);

impl Pieces {
    fn text(&mut self, text: &str) {
        self.0.piece(text.as_bytes());
    }

    fn number(&mut self, number: impl Into<i128>) {
        self.0.piece(&number.into().to_be_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, add: impl FnOnce(&mut Pieces, T)) {
        self.number(i64::from(value.is_some()));
        if let Some(value) = value {
            add(self, value);
        }
    }

    fn optional_text<T: AsRef<str>>(&mut self, text: &Option<T>) {
        self.optional(text.as_ref(), |pieces, text| pieces.text(text.as_ref()));
    }

    fn ttl(&mut self, ttl: &Option<Ttl>) {
        self.span(ttl.map(Ttl::span));
    }

    fn span(&mut self, span: Option<Span>) {
        self.optional(span, |pieces, span| pieces.number(span.as_micros()));
    }

    fn time(&mut self, time: Option<Time>) {
        self.optional(time, |pieces, time| pieces.number(time.as_micros()));
    }

    fn holder(&mut self, holder: &Holder) {
        self.text(holder.owner.as_str());
        self.number(holder.epoch.0);
    }

    fn undo(&mut self, undo: &Undo) {
        self.text(&to_json(undo));
    }

    fn waivers(&mut self, waivers: &[Waiver]) {
        self.number(waivers.len() as u64);
        waivers.iter().for_each(|waiver| self.text(&to_json(waiver)));
    }

    /// Older versions knew none, and digested nothing for them.
    fn receipts(&mut self, receipts: &[HandReceipt]) {
        receipts.iter().for_each(|receipt| self.text(&to_json(receipt)));
    }

    fn named(&mut self, task: &TaskId, id_origin: IdOrigin) {
        self.optional(Some(task).filter(|_| id_origin == IdOrigin::Given), |pieces, task| {
            pieces.text(task.as_str())
        });
    }

    fn create(&mut self, create: &Create) {
        // Each field by name: one that is added later is not forgotten here.
        let Create {
            task,
            id_origin,
            saga_id,
            queue,
            kind,
            labels,
            payload,
            priority,
            not_before,
            policy,
            compensations,
        } = create;
        self.named(task, *id_origin);
        self.optional_text(saga_id);
        self.text(queue.as_str());
        self.text(kind.as_str());
        self.text(&to_json(labels));
        self.text(payload.as_str());
        self.number(*priority);
        self.time(*not_before);
        self.text(&to_json(policy));
        self.number(compensations.len() as u64);
        compensations.iter().for_each(|undo| self.undo(undo));
    }

    fn put(&mut self, put: &Put) {
        // As above.
        let Put {
            record,
            revision,
            state,
            terminal_reason,
            result,
            compensations,
            created_at,
            finished_at,
            epoch,
            attempts,
            holder: _,
            reason: _,
        } = put;
        self.create(record);
        self.optional(*revision, |pieces, revision| pieces.number(revision.0));
        self.text(state_word(*state));
        self.optional_text(terminal_reason);
        self.optional_text(result);
        self.number(compensations.len() as u64);
        for PutUndo { seq, undo } in compensations {
            self.optional(*seq, |pieces, seq| pieces.number(seq.0));
            self.undo(undo);
        }
        self.time(*created_at);
        self.time(*finished_at);
        self.optional(*epoch, |pieces, epoch| pieces.number(epoch.0));
        self.optional(*attempts, |pieces, attempts| pieces.number(attempts));
    }

    fn action(&mut self, action: &Action) {
        if let (Some(task), false) = (action.task(), matches!(action, Action::Create(_) | Action::Put(_))) {
            self.text(task.as_str());
        }
        match action {
            Action::Create(create) => self.create(create),
            Action::Put(put) => self.put(put),
            Action::Take { task: _, take: _, owner, ttl } => {
                self.text(owner.as_str());
                self.ttl(ttl);
            }
            Action::Claim { queue, limit, owner, ttl } => {
                self.text(queue.as_str());
                self.number(*limit);
                self.text(owner.as_str());
                self.ttl(ttl);
            }
            Action::ByHolder { task: _, by, act: HolderAction::Register { undo } } => {
                self.optional(Some(by), Pieces::holder);
                self.undo(undo);
            }
            Action::ByHolder { task: _, by, act } => {
                self.holder(by);
                self.holder_action(act);
            }
            Action::ByOperator { task: _, act } => self.operator_action(act),
        }
    }

    fn holder_action(&mut self, act: &HolderAction) {
        match act {
            HolderAction::Heartbeat { ttl, progress, checkpoint } => {
                self.ttl(ttl);
                self.optional_text(progress);
                self.optional_text(checkpoint);
            }
            HolderAction::Progress { progress, checkpoint } => {
                self.optional_text(progress);
                self.optional_text(checkpoint);
            }
            HolderAction::Release { reason, delay } => {
                self.text(reason.as_str());
                self.span(*delay);
            }
            HolderAction::Register { undo } => self.undo(undo),
            HolderAction::Adopt => {}
            HolderAction::Settle { seq, receipt: text } | HolderAction::Try { seq, error: text } => {
                self.number(seq.0);
                self.text(text.as_str());
            }
            HolderAction::Label { changes } => self.text(&to_json(changes)),
            HolderAction::Complete { result } => self.optional_text(result),
            HolderAction::Fail { reason, compensation } => {
                self.text(reason.as_str());
                self.optional(compensation.as_ref(), Pieces::undo);
            }
            HolderAction::RollBack { reason, undo_by } => {
                self.text(reason.as_str());
                self.text(match undo_by {
                    UndoBy::Recovery => "recovery",
                    UndoBy::Holder => "holder",
                });
            }
            HolderAction::Quarantine { reason, cause } => {
                self.text(reason.as_str());
                self.text(cause.word());
            }
        }
    }

    fn operator_action(&mut self, act: &OperatorAction) {
        match act {
            OperatorAction::Register { undo } => {
                self.optional(None::<&Holder>, Pieces::holder);
                self.undo(undo);
            }
            OperatorAction::Waive { waiver } => self.text(&to_json(waiver)),
            OperatorAction::MarkCompleted { reason, result } => {
                self.text(reason.as_str());
                self.optional_text(result);
            }
            OperatorAction::MarkFailed { reason, compensation } => {
                self.text(reason.as_str());
                self.optional(compensation.as_ref(), Pieces::undo);
            }
            OperatorAction::Settle { done, reason } => {
                self.text(&to_json(done));
                self.text(reason.as_str());
            }
            OperatorAction::Label { changes, reason } => {
                self.text(&to_json(changes));
                self.optional_text(reason);
            }
            OperatorAction::MarkCompensated { reason, waive, settled } => {
                self.text(reason.as_str());
                self.waivers(waive);
                self.receipts(settled);
            }
            OperatorAction::MarkQuarantined { reason } | OperatorAction::Cancel { reason } => {
                self.text(reason.as_str());
            }
            OperatorAction::Annotate { note, terminal_reason, triage } => {
                self.optional_text(note);
                self.optional_text(terminal_reason);
                // Notes that dismiss nothing are digested as they were before any did.
                match triage {
                    Triage::Stays => {}
                    Triage::Dismissed => self.text("dismissed"),
                }
            }
            OperatorAction::Retry { successor, id_origin, reason, waive, settled } => {
                self.named(successor, *id_origin);
                self.text(reason.as_str());
                self.waivers(waive);
                self.receipts(settled);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::command::Take;
    use tenure_core::id::{Epoch, Kind, LabelKey, LabelValue, Owner, Queue, Reason, Text};

    use super::*;

    fn task(id: &str) -> TaskId {
        TaskId::new(id).expect("a name")
    }

    fn reason(words: &str) -> Reason {
        Reason::new(words).expect("words")
    }

    fn undo(kind: &str, target: &str, why: Option<&str>) -> Undo {
        let (kind, target) = (Kind::new(kind).expect("a name"), Text::new(target).expect("a text"));
        Undo { kind, target, reason: why.map(reason) }
    }

    /// Read from a store that the last version with this form wrote.
    #[test]
    fn it_is_as_the_last_version_that_wrote_it_had_it() {
        let owner = || Owner::new("w1").expect("a name");
        let by = || Holder { owner: owner(), epoch: Epoch(1) };
        let label = (LabelKey::new("issue").expect("a key"), LabelValue::new("168").expect("a value"));
        let create = Create {
            queue: Queue::new("agents").expect("a name"),
            payload: tenure_api::json::document("payload", r#"{"a":1}"#).expect("JSON"),
            labels: [label].into(),
            compensations: vec![undo("remove", "/tmp/x", None)],
            ..Create::new(task("t"), IdOrigin::Given)
        };
        let fail = HolderAction::Fail { reason: reason("no way"), compensation: None };
        let register = HolderAction::Register { undo: undo("close-pr", "pr/12", Some("made")) };
        let before = OperatorAction::Register { undo: undo("stop-vm", "vm-7", None) };
        let (id_origin, waive) = (IdOrigin::Given, Vec::new());
        let retry = OperatorAction::Retry {
            successor: task("again"),
            id_origin,
            reason: reason("try"),
            waive,
            settled: Vec::new(),
        };
        let cancel = OperatorAction::Cancel { reason: reason("enough") };
        for (action, hex) in [
            (
                Action::Create(Box::new(create)),
                "0e1577d8efff135716f244b11d83a58ad26cc8d90ccdc7abc99f74dcf7c8385a",
            ),
            (
                Action::Take { task: task("t"), take: Take::Acquire, owner: owner(), ttl: Some(Ttl::MINUTE) },
                "1f0f6e76944730bc5ef0cb60aa101ca2d692c63cfb0510b88ad01d5250dabe45",
            ),
            (
                Action::ByHolder { task: task("t"), by: by(), act: fail },
                "9b360f0ebde90b5d58bfe46b3c43d01ce7d9b1e9fea7cc92ab073c64d1248557",
            ),
            (
                Action::ByHolder { task: task("p"), by: by(), act: register },
                "5cc8dd362fa016e532dc6818ae0cdb6009210cf6466b4819b5f57fdaff662a4b",
            ),
            (
                Action::ByOperator { task: task("p"), act: before },
                "08ce0023794ffdd68acbff35f39eb644ee65e485ad48c7afe5113456fd7b5d79",
            ),
            (
                Action::ByOperator { task: task("t"), act: retry },
                "42df478d57cccb9d6ebda54fcc5eb8d550ac643cfccc04b5212f0803a173ae02",
            ),
            (
                Action::ByOperator { task: task("again"), act: cancel },
                "caad17955de8c6fe3bd6c26badf154193fe627fb1e8764a624202ac221668305",
            ),
        ] {
            assert_eq!(digest(&action).to_string(), hex, "{action:?}");
        }
    }
}
