//! What the store in memory keeps besides tasks and events: pruned tasks, anchors and named cursors.

use std::collections::BTreeMap;

use tenure_core::id::{CursorName, Namespace, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::retention::{AnchorPurpose, AnchorRecord, CursorRow, NewAnchor, PrunedTask};

/// What is kept besides tasks and events.
#[derive(Default)]
pub(super) struct Retained {
    pub(super) pruned: BTreeMap<(Namespace, TaskId), PrunedTask>,
    /// How pruned tasks ended, without what they held: their ends stay counted.
    pub(super) ends: Vec<Task>,
    pub(super) anchors: Vec<AnchorRecord>,
    pub(super) cursors: BTreeMap<(Namespace, CursorName), CursorRow>,
}

impl Retained {
    /// How the pruned tasks of a namespace ended.
    pub(super) fn ends<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a Task> {
        self.ends.iter().filter(move |task| task.namespace == *namespace)
    }

    pub(super) fn record(&mut self, anchor: NewAnchor, purpose: AnchorPurpose, at: Time) -> AnchorRecord {
        let record = anchor.recorded(self.anchors.len() as u64 + 1, purpose, at);
        self.anchors.push(record.clone());
        record
    }
}
