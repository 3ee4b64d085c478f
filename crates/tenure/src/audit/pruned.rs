//! The pruned tasks in anchors and verifications: their names and heads, and the anchors that they were pruned behind.

use std::collections::HashMap;

use tenure_api::audit::AnchorLine;
use tenure_core::chain::{Hash, Merkle};
use tenure_core::event::Subject;
use tenure_core::id::Namespace;
use tenure_store::RetentionStore;
use tenure_store::retention::{AnchorPurpose, PrunedTask, line_of};
use tenure_store::{BoxFuture, Error, Store};

/// What a line of an anchor has besides its two names: a number, a hash, and what is between them.
pub(super) const LINE_BYTES_BESIDE_NAMES: usize = 96;
/// How many are read at once.
const PAGE: usize = 1_000;

/// Adds the lines of pruned tasks to those of an anchor.
pub(super) async fn add_lines(
    store: &dyn Store,
    only_in: Option<&Namespace>,
    (lines, bytes): (&mut Vec<AnchorLine>, &mut usize),
    room: Option<&(dyn Fn(usize) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + '_)>,
) -> Result<(), Error> {
    let (store, mut after) = (store.retention(), None);
    loop {
        let page = store.pruned_tasks(after, PAGE).await?;
        let pruned = page.items.iter().filter(|one| only_in.is_none_or(|only| one.namespace == *only));
        for one in pruned {
            *bytes += one.namespace.as_str().len() + one.id.as_str().len() + LINE_BYTES_BESIDE_NAMES;
            lines.push(AnchorLine { is_pruned: true, ..line_of(one) });
        }
        if let Some(room) = room {
            room(*bytes).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The anchors that tasks were pruned behind, and what was found of their tasks.
#[derive(Default)]
struct Steps(HashMap<u64, Step>);

struct Step {
    root: Hash,
    lines: u64,
    found: Merkle,
    count: u64,
}

impl Steps {
    async fn read(store: &dyn RetentionStore) -> Result<Steps, Error> {
        let (mut steps, mut after) = (HashMap::new(), 0);
        loop {
            let records = store.anchors(after, PAGE).await?;
            let Some(last) = records.last() else { return Ok(Steps(steps)) };
            after = last.number;
            for record in records.iter().filter(|record| record.purpose == AnchorPurpose::Prune) {
                let step =
                    Step { root: record.root, lines: record.lines, found: Merkle::default(), count: 0 };
                steps.insert(record.number, step);
            }
        }
    }

    /// Counts a pruned task, in the order of their names. Returns whether its anchor is known.
    fn count(&mut self, pruned: &PrunedTask) -> bool {
        let Some(step) = self.0.get_mut(&pruned.anchor) else { return false };
        step.found.leaf(line_of(pruned).to_string().as_bytes());
        step.count += 1;
        true
    }

    /// The anchors whose tasks are not those that were pruned behind them.
    fn broken(self) -> Vec<u64> {
        let steps = self.0.into_iter();
        let is_broken = |(number, step): (u64, Step)| {
            (step.count != step.lines || step.found.root() != step.root).then_some(number)
        };
        let mut broken: Vec<u64> = steps.filter_map(is_broken).collect();
        broken.sort_unstable();
        broken
    }
}

/// What a comparison of pruned tasks came to.
#[derive(Default)]
pub(super) struct PrunedLook {
    /// How many there are.
    pub(super) count: u64,
    /// Tasks whose line of the anchor differs, with its number.
    pub(super) rewritten: Vec<(String, u64)>,
    /// Anchors, and tasks of unknown ones, whose record of pruned tasks was changed.
    pub(super) changed: Vec<String>,
    /// Tasks and namespaces of the anchor that are neither there nor pruned.
    pub(super) gone: Vec<(Namespace, Subject)>,
}

/// Compares what is left of pruned tasks with the lines of an anchor that no task was found for, and with the anchors that they
/// were pruned behind. Lines for which there is neither are those of tasks that were removed.
pub(super) async fn look_at(
    store: &dyn Store,
    only_in: Option<&Namespace>,
    mut anchored: HashMap<(Namespace, Subject), &AnchorLine>,
) -> Result<PrunedLook, Error> {
    let (store, mut after, mut look) = (store.retention(), None, PrunedLook::default());
    // The anchors are read first: what is pruned behind later ones is not compared, since only a part of it may be seen.
    let mut steps = Steps::read(store).await?;
    let mut unknown = Vec::new();
    loop {
        let page = store.pruned_tasks(after, PAGE).await?;
        for one in &page.items {
            let task = || format!("{}/{}", one.namespace, one.id);
            if !steps.count(one) {
                unknown.push((one.anchor, task()));
            }
            if only_in.is_some_and(|only| one.namespace != *only) {
                continue;
            }
            look.count += 1;
            let line = anchored.remove(&(one.namespace.clone(), one.id.clone().into()));
            if let Some(line) = line.filter(|line| !agrees(line, one)) {
                look.rewritten.push((task(), line.number.0));
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if !unknown.is_empty() {
        // They may have been pruned meanwhile.
        let later = Steps::read(store).await?;
        unknown.retain(|(anchor, _)| !later.0.contains_key(anchor));
        look.changed.extend(unknown.into_iter().map(|(_, task)| task));
    }
    look.changed.extend(steps.broken().into_iter().map(|number| format!("anchor {number}")));
    look.gone = anchored.into_keys().collect();
    look.gone.sort_unstable();
    Ok(look)
}

/// Whether an anchor and what is left of a task agree. Events that came behind the anchor went with the task, so of an older line
/// only the number can be compared.
pub(super) fn agrees(line: &AnchorLine, pruned: &PrunedTask) -> bool {
    let is_the_end = line.number == pruned.number && line.head == pruned.head;
    is_the_end || (!line.is_pruned && line.number < pruned.number)
}
