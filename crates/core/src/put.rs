//! Reads a put, the write of a whole record, as a difference to the stored task: what it changes, what it adds, and
//! where it contradicts itself or the stored task. The table decides what follows.

use crate::command::{Put, PutUndo};
use crate::compensation::COMPENSATIONS_MAX;
use crate::event::Changes;
use crate::id::Epoch;
use crate::policy::Ttl;
use crate::refusal::Refusal;
use crate::task::{State, Task, Terminal};
use crate::time::Time;

impl Put {
    /// Contradictions within the record: an end without a terminal state, a time in the future, an end
    /// without a reason.
    pub(crate) fn contradiction(&self, now: Time) -> Option<Refusal> {
        let begins = self.state.terminal().is_none();
        let granted = "must be 0 for a new task; leave it out";
        if begins && self.epoch.is_some_and(|epoch| epoch != Epoch::ZERO) {
            // Otherwise epochs would start again at 1, below epochs that other systems may have used for
            // fencing.
            return Some(Refusal::invalid("epoch", granted));
        }
        if begins && self.attempts.is_some_and(|attempts| attempts != 0) {
            return Some(Refusal::invalid("attempts", granted));
        }
        self.contradicts_itself(self.created_at.unwrap_or(now), now)
            .or_else(|| self.contradicts_its_holder(now))
    }

    /// A record that moves in while it is worked on says why, and is held no longer than a lease can be.
    fn contradicts_its_holder(&self, now: Time) -> Option<Refusal> {
        let holder = self.holder.as_ref().filter(|_| self.begins_in_flight())?;
        if self.reason.is_none() {
            let limit = "is required for a new record that somebody holds: say why it is written";
            return Some(Refusal::invalid("reason", limit));
        }
        let field = if self.state == State::Running { "lease.expires_at" } else { "reservation.expires_at" };
        let is_too_late = holder.expires_at > now + Ttl::MAX.span();
        is_too_late.then(|| Refusal::invalid(field, "in the past, or at most 7 days ahead"))
    }

    fn contradicts_itself(&self, created_at: Time, now: Time) -> Option<Refusal> {
        let terminal = self.state.terminal();
        let only_at_an_end = [
            ("terminal_reason", self.terminal_reason.is_some()),
            ("result", self.result.is_some()),
            ("finished_at", self.finished_at.is_some()),
        ];
        if let Some((field, _)) = only_at_an_end.into_iter().find(|(_, given)| *given && terminal.is_none()) {
            return Some(Refusal::invalid(field, "allowed only with a terminal state"));
        }
        let needs_words = terminal.is_some_and(|terminal| terminal != Terminal::Completed);
        if needs_words && self.terminal_reason.is_none() {
            return Some(Refusal::invalid("terminal_reason", "is required: say why the task ended"));
        }
        if created_at > now {
            return Some(Refusal::invalid("created_at", "must not be in the future"));
        }
        if self.finished_at.is_some_and(|finished_at| finished_at > now) {
            return Some(Refusal::invalid("finished_at", "must not be in the future"));
        }
        if self.finished_at.is_some_and(|finished_at| finished_at < created_at) {
            return Some(Refusal::invalid("finished_at", "must not be before created_at"));
        }
        None
    }

    /// Differences to the stored task in fields that never change.
    pub(crate) fn contradicts(&self, task: &Task, now: Time) -> Option<Refusal> {
        let never =
            |field| Some(Refusal::invalid(field, "can't be changed; give the stored value or leave it out"));
        if self.record.saga_id.as_ref().is_some_and(|saga_id| *saga_id != task.saga_id) {
            return never("saga_id");
        }
        if self.created_at.is_some_and(|created_at| created_at != task.created_at) {
            return never("created_at");
        }
        let finished_at = task.ending().map(|ending| ending.finished_at);
        if finished_at.is_some() && self.finished_at.is_some() && self.finished_at != finished_at {
            return never("finished_at");
        }
        // An ended task keeps its own times and words; only a record that moves there must make sense of them.
        let itself = if finished_at.is_none() { self.contradicts_itself(task.created_at, now) } else { None };
        itself.or_else(|| self.contradicts_what_was_read(task)).or_else(|| self.has_too_many(task))
    }

    /// If the record's revision is old, these fields may have changed since; that is a stale write, or a
    /// lease.
    fn contradicts_what_was_read(&self, task: &Task) -> Option<Refusal> {
        if self.revision != Some(task.revision) {
            return None;
        }
        let grants = "changes only with leases; give the stored value or leave it out";
        if self.epoch.is_some_and(|epoch| epoch != task.epoch) {
            return Some(Refusal::invalid("epoch", grants));
        }
        if self.attempts.is_some_and(|attempts| attempts != task.attempts) {
            return Some(Refusal::invalid("attempts", grants));
        }
        self.loses_a_compensation(task)
    }

    fn loses_a_compensation(&self, task: &Task) -> Option<Refusal> {
        let restated = |seq| self.compensations.iter().filter(move |one| one.seq == Some(seq));
        let unknown =
            self.compensations.iter().filter_map(|one| one.seq).find(|seq| task.compensation(*seq).is_none());
        if let Some(seq) = unknown {
            return Some(Refusal::invalid(
                "compensations",
                format_args!("there is no number {seq}; leave out the number of a new compensation"),
            ));
        }
        let lost = task.compensations.iter().find(|stored| {
            let mut same = restated(stored.seq);
            let first = same.next();
            first.is_none_or(|one| one.undo != stored.undo) || same.next().is_some()
        })?;
        Some(Refusal::invalid(
            "compensations",
            format_args!(
                "number {} must be given once, unchanged; compensations can't be removed or changed",
                lost.seq
            ),
        ))
    }

    fn has_too_many(&self, task: &Task) -> Option<Refusal> {
        let count = task.compensations.len() + self.added().count();
        (count > COMPENSATIONS_MAX).then(|| {
            Refusal::invalid("compensations", format_args!("up to {COMPENSATIONS_MAX}, {count} given"))
        })
    }

    /// The compensations that are not stored yet.
    pub(crate) fn added(&self) -> impl Iterator<Item = &PutUndo> {
        self.compensations.iter().filter(|one| one.seq.is_none())
    }

    /// The fields that it changes.
    pub(crate) fn changes(&self, task: &Task) -> Changes {
        fn changed<T: Clone + PartialEq>(to: &T, from: &T) -> Option<T> {
            (to != from).then(|| to.clone())
        }
        let record = &self.record;
        Changes {
            queue: changed(&record.queue, &task.queue),
            kind: changed(&record.kind, &task.kind),
            labels: changed(&record.labels, &task.labels),
            payload: changed(&record.payload, &task.payload),
            priority: changed(&record.priority, &task.priority),
            not_before: changed(&record.not_before, &task.not_before),
            policy: changed(&record.policy, &task.policy),
        }
    }

    /// Whether a new task may begin in the record's state: planned or over, never held.
    pub(crate) fn may_begin_there(&self) -> bool {
        self.begins_planned() || self.state.terminal().is_some()
    }

    /// Whether a new task begins with the holder that the record names.
    pub(crate) fn begins_in_flight(&self) -> bool {
        self.holder.is_some() && matches!(self.state, State::Running | State::Dispatched)
    }

    /// Whether a new task begins planned.
    pub(crate) fn begins_planned(&self) -> bool {
        self.state == State::Planned
    }
}
