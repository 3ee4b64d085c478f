//! Notes a sweep of recovery in the history of the namespace. [`Recovery`](crate::recovery::Recovery) does so itself.

use tenure_core::event::SweepCounts;
use tenure_core::id::{Actor, Owner, Revision};
use tenure_store::Error;
use tenure_store::namespace_history::SweepNote;

use crate::ledger::Ledger;

impl Ledger {
    /// Notes that a recovery process moved something in this namespace, and returns the number of the event. Without an actor of the
    /// ledger, the owner is the actor, as of its leases. A repeat is another event; a sweep that moved nothing is refused `invalid`.
    pub async fn note_sweep(&self, owner: &str, counts: SweepCounts) -> Result<Revision, Error> {
        let owner = Owner::new(owner)?;
        let actor = self.actor.clone().unwrap_or_else(|| Actor::from(&owner));
        let namespace = self.namespace.clone();
        self.store.note_sweep(SweepNote { namespace, actor, owner, counts }).await
    }
}
