//! Named cursors of followers, and the record of anchors.

use tenure_core::id::{Actor, CursorName, TaskId};
use tenure_store::retention::{AnchorRecord, CursorMove, NamedCursor, NewAnchor, PrunedTask};
use tenure_store::{Cursor, Error};

use crate::audit::Anchor;
use crate::ledger::Ledger;

impl Ledger {
    /// The named cursors of this namespace, by name, each with how far behind it is.
    pub async fn named_cursors(&self) -> Result<Vec<NamedCursor>, Error> {
        self.store().retention().named_cursors(self.namespace().clone()).await
    }

    /// The cursor with that name. One that does not exist yet begins before the first event of the history; from then on nothing
    /// is pruned that its follower has not taken.
    pub async fn named_cursor(&self, name: &str) -> Result<NamedCursor, Error> {
        self.move_to(name, None).await
    }

    /// Moves the cursor with that name to the last event that its follower has taken, and makes it if there is none. It never moves
    /// back: to an earlier event it is refused with `stale_write`.
    pub async fn move_cursor(&self, name: &str, to: Cursor) -> Result<NamedCursor, Error> {
        self.move_to(name, Some(to)).await
    }

    async fn move_to(&self, name: &str, to: Option<Cursor>) -> Result<NamedCursor, Error> {
        let (namespace, name, by) = (self.namespace().clone(), CursorName::new(name)?, self.own_actor());
        self.store().retention().move_cursor(CursorMove { namespace, name, to, by }).await
    }

    /// Deletes the cursor with that name, and returns where it was. Refused with `not_found` if there is none.
    pub async fn forget_cursor(&self, name: &str) -> Result<NamedCursor, Error> {
        let name = CursorName::new(name)?;
        self.store().retention().forget_cursor(self.namespace().clone(), name).await
    }

    /// What is left of a pruned task of this namespace.
    pub async fn pruned(&self, id: &str) -> Result<Option<PrunedTask>, Error> {
        self.store().retention().pruned(self.namespace().clone(), TaskId::new(id)?).await
    }

    /// Records in the store that an anchor was made, without its lines.
    pub async fn record_anchor(&self, anchor: &Anchor) -> Result<AnchorRecord, Error> {
        let (cursor, root, lines) = (anchor.cursor.clone(), anchor.root, anchor.lines.len() as u64);
        let by = self.own_actor();
        self.store().retention().record_anchor(NewAnchor { cursor, root, lines, by }).await
    }

    /// The actor of what no lease is involved in.
    pub(crate) fn own_actor(&self) -> Actor {
        self.actor.clone().unwrap_or_else(Actor::anonymous)
    }
}
