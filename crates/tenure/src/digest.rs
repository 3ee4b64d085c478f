//! The digest behind a request id: a hash of everything that the caller gave. A generated id and the jitter are not
//! part of it. So a repeat has the same digest, although the ledger draws them again.

use tenure_core::chain::{Canonical, Hash};
use tenure_core::command::{Action, Create, Holder, IdOrigin, Put, PutUndo, QuarantineCause, UndoBy};
use tenure_core::compensation::Undo;
use tenure_core::event::{Triage, Waiver};
use tenure_core::id::TaskId;
use tenure_core::policy::Ttl;
use tenure_core::time::{Span, Time};

use crate::codec::{column, state_word};

/// The digest of a command's action.
pub(crate) fn digest(action: &Action) -> Hash {
    let mut pieces = Pieces(Canonical::new());
    pieces.text(action.verb().as_str());
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
        self.text(&column(undo));
    }

    fn waivers(&mut self, waivers: &[Waiver]) {
        self.number(waivers.len() as u64);
        waivers.iter().for_each(|waiver| self.text(&column(waiver)));
    }

    fn named(&mut self, task: &TaskId, naming: IdOrigin) {
        self.optional(Some(task).filter(|_| naming == IdOrigin::Given), |pieces, task| {
            pieces.text(task.as_str())
        });
    }

    fn create(&mut self, create: &Create) {
        // Each field by name: one that is added later is not forgotten here.
        let Create {
            task,
            naming,
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
        self.named(task, *naming);
        self.optional_text(saga_id);
        self.text(queue.as_str());
        self.text(kind.as_str());
        self.text(&column(labels));
        self.text(payload.as_str());
        self.number(*priority);
        self.time(*not_before);
        self.text(&column(policy));
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

    /// It is longer than a screen because it is one match over every command, with a line or two for each.
    fn action(&mut self, action: &Action) {
        if let (Some(task), false) = (action.task(), matches!(action, Action::Create(_) | Action::Put(_))) {
            self.text(task.as_str());
        }
        match action {
            Action::Create(create) => self.create(create),
            Action::Put(put) => self.put(put),
            Action::Dispatch { task: _, owner, ttl }
            | Action::Acquire { task: _, owner, ttl }
            | Action::Reclaim { task: _, owner, ttl } => {
                self.text(owner.as_str());
                self.ttl(ttl);
            }
            Action::Claim { queue, limit, owner, ttl } => {
                self.text(queue.as_str());
                self.number(*limit);
                self.text(owner.as_str());
                self.ttl(ttl);
            }
            Action::Heartbeat { task: _, by, ttl, progress, checkpoint } => {
                self.holder(by);
                self.ttl(ttl);
                self.optional_text(progress);
                self.optional_text(checkpoint);
            }
            Action::Progress { task: _, by, progress, checkpoint } => {
                self.holder(by);
                self.optional_text(progress);
                self.optional_text(checkpoint);
            }
            Action::Release { task: _, by, reason, delay } => {
                self.holder(by);
                self.text(reason.as_str());
                self.span(*delay);
            }
            Action::Register { task: _, by, undo } => {
                self.optional(by.as_ref(), Pieces::holder);
                self.undo(undo);
            }
            Action::Adopt { task: _, by } => self.holder(by),
            Action::Settle { task: _, by, seq, receipt: text }
            | Action::Try { task: _, by, seq, error: text } => {
                self.holder(by);
                self.number(seq.0);
                self.text(text.as_str());
            }
            Action::Waive { task: _, waiver } => self.text(&column(waiver)),
            Action::Complete { task: _, by, result } => {
                self.holder(by);
                self.optional_text(result);
            }
            Action::Fail { task: _, by, reason, compensation } => {
                self.holder(by);
                self.text(reason.as_str());
                self.optional(compensation.as_ref(), Pieces::undo);
            }
            Action::RollBack { task: _, by, reason, undo_by } => {
                self.holder(by);
                self.text(reason.as_str());
                self.text(match undo_by {
                    UndoBy::Recovery => "recovery",
                    UndoBy::Holder => "holder",
                });
            }
            Action::Quarantine { task: _, by, reason, parking } => {
                self.holder(by);
                self.text(reason.as_str());
                self.text(match parking {
                    QuarantineCause::ByHolder => "by_holder",
                    QuarantineCause::UndoUnhandled => "undo_unhandled",
                    QuarantineCause::UndoFailed => "undo_failed",
                });
            }
            Action::MarkCompleted { task: _, reason, result } => {
                self.text(reason.as_str());
                self.optional_text(result);
            }
            Action::MarkFailed { task: _, reason, compensation } => {
                self.text(reason.as_str());
                self.optional(compensation.as_ref(), Pieces::undo);
            }
            Action::MarkCompensated { task: _, reason, waive } => {
                self.text(reason.as_str());
                self.waivers(waive);
            }
            Action::MarkQuarantined { task: _, reason } | Action::Cancel { task: _, reason } => {
                self.text(reason.as_str());
            }
            Action::Annotate { task: _, note, terminal_reason, triage } => {
                self.optional_text(note);
                self.optional_text(terminal_reason);
                // Notes that dismiss nothing are digested as they were before any did.
                match triage {
                    Triage::Stays => {}
                    Triage::Dismissed => self.text("dismissed"),
                }
            }
            Action::Retry { task: _, successor, naming, reason, waive } => {
                self.named(successor, *naming);
                self.text(reason.as_str());
                self.waivers(waive);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::id::Owner;
    use tenure_core::id::Reason;

    fn task(id: &str) -> TaskId {
        TaskId::new(id).expect("valid")
    }

    fn reason(words: &str) -> Reason {
        Reason::new(words).expect("valid")
    }

    #[test]
    fn a_made_id_is_not_part_of_what_the_caller_gave() {
        let retry = |successor: &str, naming| {
            digest(&Action::Retry {
                task: task("t"),
                successor: task(successor),
                naming,
                reason: reason("x"),
                waive: Vec::new(),
            })
        };
        assert_eq!(retry("a", IdOrigin::Made), retry("b", IdOrigin::Made));
        assert_ne!(retry("a", IdOrigin::Given), retry("b", IdOrigin::Given));
        assert_ne!(retry("a", IdOrigin::Given), retry("a", IdOrigin::Made));
    }

    #[test]
    fn everything_that_the_caller_gave_is_part_of_it() {
        let owner = || Owner::new("w").expect("valid");
        let acquire = |ttl| digest(&Action::Acquire { task: task("t"), owner: owner(), ttl });
        let dispatch = digest(&Action::Dispatch { task: task("t"), owner: owner(), ttl: None });
        assert_ne!(acquire(None), acquire(Some(Ttl::MINUTE)));
        assert_ne!(acquire(None), dispatch, "the verb too");
        let cancel = |id, why| digest(&Action::Cancel { task: task(id), reason: reason(why) });
        assert_ne!(cancel("t", "x"), cancel("u", "x"));
        assert_ne!(cancel("t", "x"), cancel("t", "y"));
    }
}
