//! The notes on a task, read from its history.

use tenure_core::event::EventData;
use tenure_store::Error;

use crate::ledger::Ledger;

pub use tenure_api::why::Note;

/// How many events are read at once.
const PAGE: usize = 500;

impl Ledger {
    /// The notes on a task, the oldest first. It reads the task's whole history.
    pub async fn notes(&self, id: &str) -> Result<Vec<Note>, Error> {
        let (mut notes, mut after) = (Vec::new(), None);
        loop {
            let page = self.history(id, after, PAGE).await?;
            for recorded in &page.items {
                if let EventData::Annotated { note: Some(words), triage, .. } = &recorded.event.what {
                    let (at, by) = (recorded.event.at, recorded.event.actor.clone());
                    notes.push(Note { at, by, words: words.clone(), triage: *triage });
                }
            }
            // The history of a task never ends; after its newest event there is nothing yet.
            let is_all = page.items.len() < PAGE && !page.is_cut;
            after = page.next;
            if is_all || after.is_none() {
                return Ok(notes);
            }
        }
    }
}
