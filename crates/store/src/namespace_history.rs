//! The history of a namespace itself: what happened there, and to none of its tasks. It is a chain of its own, which begins when
//! something happens for the first time. There is no command for it: nothing is decided, so the lifecycle knows nothing of it.

use tenure_core::chain::Hash;
use tenure_core::event::{Event, EventData, Subject, SweepCounts};
use tenure_core::id::{Actor, Namespace, Owner, Revision};
use tenure_core::refusal::Refusal;
use tenure_core::time::Time;

use crate::codec::{Sealed, seal};
use crate::rows::Rows;

/// A sweep of recovery that moved something in a namespace, to be noted in the history of that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SweepNote {
    /// The namespace.
    pub namespace: Namespace,
    /// Who ran the recovery.
    pub actor: Actor,
    /// The recovery process, as the owner of its leases.
    pub owner: Owner,
    /// What became of the tasks.
    pub counts: SweepCounts,
}

impl SweepNote {
    /// Refuses one of a sweep that moved nothing: then there is nothing to note.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.counts.has_moved() {
            return Ok(());
        }
        let words = "at least one of planned, compensated, quarantined, handed_back, lost and undone above 0; a sweep that \
                     moved nothing is not noted";
        Err(Refusal::invalid("counts", words))
    }
}

/// Where the history of a namespace ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamespaceHead {
    /// The number of its newest event.
    pub number: Revision,
    /// The hash of that.
    pub head: Hash,
    /// When that happened.
    pub updated_at: Time,
}

impl NamespaceHead {
    /// The end of the history behind that event.
    pub fn behind(newest: &Sealed) -> NamespaceHead {
        let event = &newest.event;
        NamespaceHead { number: event.number, head: newest.hash, updated_at: event.at }
    }
}

/// The histories of namespaces inside one transaction.
#[doc(hidden)]
pub trait NamespaceRows: Rows {
    /// Where the history of a namespace ends; none if it has none yet.
    fn namespace_head(&mut self, namespace: &Namespace) -> Result<Option<NamespaceHead>, Self::Fault>;

    /// Writes the next event of a namespace's history.
    fn append(&mut self, next: Sealed) -> Result<(), Self::Fault>;
}

/// Notes a sweep, for every store the same. Returns the number of the event.
#[doc(hidden)]
pub fn note_sweep<R: NamespaceRows>(rows: &mut R, note: SweepNote, now: Time) -> Result<Revision, R::Fault> {
    let SweepNote { namespace, actor, owner, counts } = note;
    let before = rows.namespace_head(&namespace)?;
    let number = before.map_or(Revision::default(), |end| end.number).next();
    let event = Event {
        namespace,
        subject: Subject::Namespace,
        number,
        // No event is earlier than the one before.
        at: before.map_or(now, |end| now.max(end.updated_at)),
        actor,
        what: EventData::RecoverySwept { owner, counts },
    };
    rows.append(seal(event, before.map_or(Hash::START, |end| end.head)))?;
    Ok(number)
}
