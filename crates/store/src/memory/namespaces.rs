//! The histories of namespaces in memory.

use std::convert::Infallible;

use tenure_core::event::Subject;
use tenure_core::id::{Namespace, Revision};

use super::namespace_ends::StoredNamespace;
use super::{Memory, MemoryStore};
use crate::codec::Sealed;
use crate::columns::row_of_namespace;
use crate::error::Error;
use crate::namespace_history::{NamespaceHead, NamespaceRows, SweepNote, note_sweep};
use crate::stored::StoredChain;

impl NamespaceRows for Memory {
    fn namespace_head(&mut self, namespace: &Namespace) -> Result<Option<NamespaceHead>, Infallible> {
        Ok(self.namespaces.get(namespace).map(|stored| stored.end))
    }

    fn append(&mut self, next: Sealed) -> Result<(), Infallible> {
        let end = NamespaceHead::behind(&next);
        let new = -1 - i64::try_from(self.namespaces.len()).unwrap_or(i64::MAX - 1);
        let stored =
            self.namespaces.entry(next.event.namespace.clone()).or_insert(StoredNamespace { row: new, end });
        stored.end = end;
        self.events.push(stored.row, next);
        Ok(())
    }
}

impl MemoryStore {
    pub(super) fn note(&self, note: SweepNote) -> Result<Revision, Error> {
        note.check()?;
        let mut memory = self.memory();
        let now = self.now_by(&memory);
        memory.last = Some(now);
        let Ok(number) = note_sweep(&mut *memory, note, now);
        let newest = memory.events.newest();
        drop(memory);
        self.grown.send_if_modified(|grown| std::mem::replace(grown, newest) != newest);
        Ok(number)
    }
}

impl Memory {
    /// The chains of the namespaces whose numbers match, in the order of these.
    pub(super) fn namespace_chains(
        &self,
        is_wanted: impl Fn(i64) -> bool,
    ) -> impl Iterator<Item = StoredChain> {
        let mut wanted: Vec<_> = self.namespaces.iter().filter(|(_, stored)| is_wanted(stored.row)).collect();
        wanted.sort_by_key(|(_, stored)| stored.row);
        wanted.into_iter().map(|(namespace, stored)| self.chain_of_namespace(namespace, stored))
    }

    /// The chain of a namespace; none if it has none.
    pub(super) fn namespace_chain(&self, namespace: &Namespace) -> Option<StoredChain> {
        self.namespaces.get(namespace).map(|stored| self.chain_of_namespace(namespace, stored))
    }

    fn chain_of_namespace(&self, namespace: &Namespace, stored: &StoredNamespace) -> StoredChain {
        StoredChain {
            row: stored.row,
            name: Some((namespace.clone(), Subject::Namespace)),
            stored_name: Some(namespace.to_string()),
            rows: vec![row_of_namespace(&stored.end).into_owned()],
            apart: Vec::new(),
            events: self.events.stored_of_row(stored.row),
        }
    }
}
