//! What a run of retention came to.

use std::collections::BTreeMap;

use tenure_core::id::{CursorName, Namespace};
use tenure_core::task::Terminal;
use tenure_core::time::Time;
use tenure_store::retention::EndedTask;

use crate::audit::Finding;

/// How many tasks that were not pruned for what is wrong with them are named.
const NAMED_MAX: usize = 20;

/// Ended tasks, counted by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndedCounts {
    /// Completed ones.
    pub completed: u64,
    /// Failed ones.
    pub failed: u64,
    /// Compensated ones.
    pub compensated: u64,
    /// Quarantined ones.
    pub quarantined: u64,
}

impl EndedCounts {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.completed + self.failed + self.compensated + self.quarantined
    }

    fn count(&mut self, state: Terminal) {
        *match state {
            Terminal::Completed => &mut self.completed,
            Terminal::Failed => &mut self.failed,
            Terminal::Compensated => &mut self.compensated,
            Terminal::Quarantined => &mut self.quarantined,
        } += 1;
    }
}

/// What a run, or one step of it, came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PruneReport {
    /// The pruned tasks, or in a plan those that would be.
    pub pruned: EndedCounts,
    /// When the first of them ended.
    pub oldest: Option<Time>,
    /// When the last of them ended.
    pub newest: Option<Time>,
    /// How many tasks are kept because a named cursor has not passed them, by namespace and cursor.
    pub held: BTreeMap<(Namespace, CursorName), u64>,
    /// How many quarantined tasks are kept because they still owe an undo, and nobody has retried or dismissed them.
    pub kept_owing: u64,
    /// How many tasks are kept because their histories do not hold.
    pub corrupt: u64,
    /// What is wrong with the first of these.
    pub findings: Vec<String>,
    /// How many tasks changed between the look and the prune, and stay until the next run.
    pub changed: u64,
}

impl PruneReport {
    pub(super) fn add_pruned(&mut self, state: Terminal, finished_at: Time) {
        self.pruned.count(state);
        self.oldest = Some(self.oldest.map_or(finished_at, |oldest| oldest.min(finished_at)));
        self.newest = Some(self.newest.map_or(finished_at, |newest| newest.max(finished_at)));
    }

    pub(super) fn add_held(&mut self, task: &EndedTask) {
        if let Some(name) = &task.held_by {
            *self.held.entry((task.namespace.clone(), name.clone())).or_default() += 1;
        }
    }

    /// A task whose history does not hold. Without a finding, an event came meanwhile.
    pub(super) fn add_corrupt(&mut self, findings: &[Finding]) {
        let Some(first) = findings.first() else {
            self.changed += 1;
            return;
        };
        self.corrupt += 1;
        if self.findings.len() < NAMED_MAX {
            self.findings.push(first.to_string());
        }
    }

    pub(super) fn merge(&mut self, step: &PruneReport) {
        let PruneReport { pruned, oldest, newest, held, kept_owing, corrupt, findings, changed } = step;
        self.pruned.completed += pruned.completed;
        self.pruned.failed += pruned.failed;
        self.pruned.compensated += pruned.compensated;
        self.pruned.quarantined += pruned.quarantined;
        self.oldest = [self.oldest, *oldest].into_iter().flatten().min();
        self.newest = self.newest.max(*newest);
        for (name, count) in held {
            *self.held.entry(name.clone()).or_default() += count;
        }
        self.kept_owing += kept_owing;
        self.corrupt += corrupt;
        let room = NAMED_MAX.saturating_sub(self.findings.len());
        self.findings.extend(findings.iter().take(room).cloned());
        self.changed += changed;
    }

    /// How many tasks named cursors hold back.
    pub fn held_in_all(&self) -> u64 {
        self.held.values().sum()
    }

    /// The cursor that holds back the most tasks, with its namespace.
    pub(super) fn slowest(&self) -> Option<&(Namespace, CursorName)> {
        self.held.iter().max_by_key(|(_, tasks)| **tasks).map(|(name, _)| name)
    }
}
