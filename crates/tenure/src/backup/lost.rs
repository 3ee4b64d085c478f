//! What a restore takes back: the histories that an anchor has and the store does not, and the leases whose holders may be at work.

use std::collections::HashMap;

use tenure_core::event::Subject;
use tenure_core::id::{Epoch, Namespace, Owner, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;
use tenure_store::stored::StoredChain;
use tenure_store::{Error, Filter, Order, PageSize, Store};

use crate::audit::{Anchor, AnchorLine, words_of};

/// How much is read at once.
const PAGE: PageSize = PageSize { items: 256, bytes: 4 * 1024 * 1024 };

/// A lease of a restored store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoredLease {
    /// The namespace of the task.
    pub namespace: Namespace,
    /// The task.
    pub task: TaskId,
    /// Who holds it.
    pub owner: Owner,
    /// Its epoch, which is as it was.
    pub epoch: Epoch,
    /// When it ends.
    pub expires_at: Time,
    /// Whether it had ended when the store was restored. Its holder may still end the task, until somebody takes over.
    pub is_lapsed: bool,
}

/// A history with events that the anchor has and the store does not: of a task, or of a namespace itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShorterHistory {
    /// The task, with its namespace; or the namespace alone.
    pub task: String,
    /// The number of its newest event in the store.
    pub number: u64,
    /// The number of its newest event in the anchor.
    pub anchored: u64,
}

/// What an anchor has and a store does not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LostHistory {
    /// The newest cursor when the anchor was made.
    pub anchored_cursor: String,
    /// Tasks that the store does not have.
    pub missing: Vec<String>,
    /// Tasks whose newest events the store does not have.
    pub shorter: Vec<ShorterHistory>,
    /// Tasks that were pruned, and are there again.
    pub back: Vec<String>,
    /// Tasks whose history is another one: the anchor is of another store, or somebody changed it.
    pub other: Vec<String>,
}

/// All leases, the oldest tasks first.
pub(super) async fn leases_of(store: &dyn Store, now: Time) -> Result<Vec<RestoredLease>, Error> {
    let leased = Filter::default().with(|filter| {
        filter.states = vec![State::Running, State::Compensating];
        filter.order = Order::Oldest;
    });
    let (mut leases, mut after) = (Vec::new(), None);
    loop {
        let page = store.tasks(leased.clone(), after, PAGE).await?;
        for task in page.items {
            let Some(lease) = task.lease() else { continue };
            leases.push(RestoredLease {
                namespace: task.namespace.clone(),
                task: task.id.clone(),
                owner: lease.owner.clone(),
                epoch: lease.epoch,
                expires_at: lease.expires_at,
                is_lapsed: lease.expires_at <= now,
            });
        }
        after = page.next;
        if after.is_none() {
            return Ok(leases);
        }
    }
}

/// Compares a store with a newer anchor.
pub(super) async fn lost_since(store: &dyn Store, anchor: &Anchor) -> Result<LostHistory, Error> {
    let name = |line: &AnchorLine| (line.namespace.clone(), Subject::from(line.task.clone()));
    let mut anchored: HashMap<(Namespace, Subject), &AnchorLine> =
        anchor.lines.iter().map(|line| (name(line), line)).collect();
    let mut lost = LostHistory { anchored_cursor: anchor.cursor.clone(), ..LostHistory::default() };
    let mut after = None;
    loop {
        let page = store.chains(after, PAGE).await?;
        for chain in &page.items {
            let found = chain.name.as_ref().and_then(|name| Some((words_of(name), anchored.remove(name)?)));
            let Some((name, line)) = found else { continue };
            compare(chain, (name, line), &mut lost);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let page = store.retention().pruned_tasks(after, PAGE.items).await?;
        for pruned in &page.items {
            let line = anchored.remove(&(pruned.namespace.clone(), pruned.id.clone().into()));
            if line.is_some_and(|line| line.number == pruned.number && line.head != pruned.head) {
                lost.other.push(format!("{}/{}", pruned.namespace, pruned.id));
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    lost.missing = anchored.into_keys().map(|name| words_of(&name)).collect();
    lost.missing.sort_unstable();
    Ok(lost)
}

fn compare(chain: &StoredChain, (task, line): (String, &AnchorLine), lost: &mut LostHistory) {
    let (number, anchored) = (chain.revision().unwrap_or(0), line.number.0);
    if line.is_pruned {
        lost.back.push(task.clone());
    }
    if number < anchored {
        lost.shorter.push(ShorterHistory { task, number, anchored });
        return;
    }
    let at = chain.events.iter().find(|event| u64::try_from(event.number) == Ok(anchored));
    if at.is_none_or(|event| event.hash != line.head.0) {
        lost.other.push(task);
    }
}
