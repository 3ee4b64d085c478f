//! The recorded root of an anchor, compared with what is there. A record has no lines, so they are made again: each task as its events
//! tell it for that moment.

use tenure_api::audit::{Anchor, AnchorLine};
use tenure_clock::Moment;
use tenure_core::chain::Hash;
use tenure_core::id::Revision;
use tenure_core::refusal::Code;
use tenure_core::time::Time;
use tenure_store::retention::{AnchorRecord, line_of};
use tenure_store::stored::StoredChain;
use tenure_store::{Cursor, Error, EventFilter, PageSize, Store};

use super::newest::VerifyLimits;

const PAGE: PageSize = PageSize { items: 256, bytes: 4 * 1024 * 1024 };
/// How many pruned tasks are read at once.
const PRUNED: usize = 1_000;

/// What a recorded root shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootComparison {
    /// The lines, made again, have it: nothing that was there is changed or gone.
    Same,
    /// They do not. Something is changed or gone, or tasks changed while the anchor was made, or older ones were imported since.
    Other,
    /// They do not, and the history ends before the place at which the anchor was made: events were cut off.
    CutOff,
    /// There are that many tasks fewer than lines.
    Missing(u64),
    /// Tasks were pruned since, and nobody knows where their lines stood.
    PrunedSince,
    /// There are more tasks than the limit.
    TooMany,
    /// Only one namespace was looked at.
    OneNamespace,
}

/// Compares the root of a record, within a limit of tasks and of time.
pub(crate) async fn compare_root(
    store: &dyn Store,
    record: &AnchorRecord,
    limits: Option<&VerifyLimits>,
) -> Result<RootComparison, Error> {
    let is_over =
        |lines: usize| limits.is_some_and(|limits| lines > limits.tasks_max || Moment::now() >= limits.until);
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let chains = store.chains(after, PAGE).await?;
        lines.extend(chains.items.iter().filter_map(|chain| line_at(chain, record.at)));
        after = chains.next;
        if is_over(lines.len()) {
            return Ok(RootComparison::TooMany);
        }
        if after.is_none() {
            break;
        }
    }
    let mut pruned_since = 0;
    loop {
        let page = store.retention().pruned_tasks(after, PRUNED).await?;
        for pruned in page.items {
            // The number tells only what this store recorded apart: what was imported has a later one.
            if (pruned.pruned_at, pruned.anchor) < (record.at, record.number) {
                lines.push(AnchorLine { is_pruned: true, ..line_of(&pruned) });
            } else {
                pruned_since += 1;
            }
        }
        after = page.next;
        if is_over(lines.len()) {
            return Ok(RootComparison::TooMany);
        }
        if after.is_none() {
            break;
        }
    }
    // A task that was made while the anchor was is a line more, and never one fewer.
    let missing = record.lines.saturating_sub(lines.len() as u64 + pruned_since);
    Ok(match (missing, pruned_since) {
        (0, 0) if Anchor::root_of(&lines) == record.root => RootComparison::Same,
        (0, 0) if ends_before(store, record).await? => RootComparison::CutOff,
        (0, 0) => RootComparison::Other,
        (0, _) => RootComparison::PrunedSince,
        (missing, _) => RootComparison::Missing(missing),
    })
}

/// Whether the history ends before the place of the record. That alone proves nothing: a store that was moved without what was pruned
/// has fewer places, and an imported record has that of the old store. But then the root is the same.
async fn ends_before(store: &dyn Store, record: &AnchorRecord) -> Result<bool, Error> {
    let place = Cursor::from_text(record.cursor.as_str());
    match store.events(EventFilter::default(), Some(place), PageSize { items: 1, ..PAGE }).await {
        Ok(_) => Ok(false),
        Err(error) if Cursor::is_ahead(&error) => Ok(true),
        // A place of another kind of store, from which it was imported.
        Err(error) if error.code() == Some(Code::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The line of a task at that time; none if it was not there yet, or can't be read.
fn line_at(chain: &StoredChain, at: Time) -> Option<AnchorLine> {
    let (namespace, subject) = chain.name.clone()?;
    let by_then = chain.events.iter().filter(|event| event.at <= at.as_micros());
    let newest = by_then.max_by_key(|event| event.number)?;
    let number = Revision(u64::try_from(newest.number).ok()?);
    let head = Hash(newest.hash.as_slice().try_into().ok()?);
    Some(AnchorLine { namespace, task: subject.task().cloned(), number, head, is_pruned: false })
}
