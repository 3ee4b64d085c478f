//! The recorded root of an anchor, compared with what is there. A record has no lines, so they are made again: each task as its events
//! tell it for that moment.

use std::collections::HashMap;

use tenure_api::audit::{Anchor, AnchorLine};
use tenure_clock::Moment;
use tenure_core::chain::Hash;
use tenure_core::id::Revision;
use tenure_core::refusal::Code;
use tenure_core::time::Time;
use tenure_store::retention::{AnchorRecord, line_of};
use tenure_store::stored::{StoredChain, StoredEvent};
use tenure_store::{Cursor, Error, EventFilter, PageSize, Recorded, Store};

use super::Name;
use super::newest::VerifyLimits;

const PAGE: PageSize = PageSize { items: 256, bytes: 4 * 1024 * 1024 };
/// How many pruned tasks are read at once.
const PRUNED: usize = 1_000;
/// At most this many events may have happened while the anchor was made; of more nobody knows which of them it has.
const MEANWHILE_MAX: usize = 8;
/// How many lines are hashed at most to find out.
const WAYS_LINES_MAX: usize = 300_000;

/// What a recorded root shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootComparison {
    /// The lines, made again, have it: nothing that was there is changed or gone.
    Same,
    /// They do not. Something is changed or gone, or many tasks changed while the anchor was made, or older ones were imported since.
    Other,
    /// They do not, and the history ends before the place at which the anchor was made: events were cut off. A store to which an
    /// anchor was imported that was made while tasks changed looks alike.
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

/// The lines that one history may have in an anchor: first that of its newest event then, and then those of the moments before it while
/// the anchor was made. None: it was not there yet.
type Ways = Vec<Option<AnchorLine>>;

/// Compares the root of a record, within a limit of tasks and of time.
pub(crate) async fn compare_root(
    store: &dyn Store,
    record: &AnchorRecord,
    limits: Option<&VerifyLimits>,
) -> Result<RootComparison, Error> {
    let is_over =
        |lines: usize| limits.is_some_and(|limits| lines > limits.tasks_max || Moment::now() >= limits.until);
    let place = place_of(store, record).await?;
    let (mut ways, mut of_namespaces, mut after) = (Vec::<Ways>::new(), Vec::new(), None);
    loop {
        let chains = store.chains(after, PAGE).await?;
        for chain in &chains.items {
            let of_chain = ways_of(chain, record.at, &place);
            let to = if chain.is_of_namespace() { &mut of_namespaces } else { &mut ways };
            to.extend(of_chain);
        }
        after = chains.next;
        if is_over(ways.len()) {
            return Ok(RootComparison::TooMany);
        }
        if after.is_none() {
            break;
        }
    }
    // As in an anchor: behind the tasks, by their names.
    let namespace = |ways: &Ways| ways.iter().flatten().next().map(|line| line.namespace.clone());
    of_namespaces.sort_by_key(namespace);
    ways.extend(of_namespaces);
    let mut pruned_since = 0;
    loop {
        let page = store.retention().pruned_tasks(after, PRUNED).await?;
        for pruned in page.items {
            // The number tells only what this store recorded apart: what was imported has a later one.
            if (pruned.pruned_at, pruned.anchor) < (record.at, record.number) {
                ways.push(vec![Some(AnchorLine { is_pruned: true, ..line_of(&pruned) })]);
            } else {
                pruned_since += 1;
            }
        }
        after = page.next;
        if is_over(ways.len()) {
            return Ok(RootComparison::TooMany);
        }
        if after.is_none() {
            break;
        }
    }
    // A task that was made while the anchor was is a line more, and never one fewer.
    let missing = record.lines.saturating_sub(ways.len() as u64 + pruned_since);
    Ok(match (missing, pruned_since) {
        (0, 0) if has_root(&ways, record.root) => RootComparison::Same,
        (0, 0) if place == Place::Ahead => RootComparison::CutOff,
        (0, 0) => RootComparison::Other,
        (0, _) => RootComparison::PrunedSince,
        (missing, _) => RootComparison::Missing(missing),
    })
}

/// Where the record's place lies in the history.
#[derive(PartialEq, Eq)]
enum Place {
    /// Within it. The number of the first event behind it of each history in which something happened while the anchor was made; none if
    /// those were too many.
    Within(Option<HashMap<Name, u64>>),
    /// The history ends before it.
    Ahead,
    /// It is one of another kind of store, from which the record was imported.
    Foreign,
}

async fn place_of(store: &dyn Store, record: &AnchorRecord) -> Result<Place, Error> {
    let place = Cursor::from_text(record.cursor.as_str());
    let size = PageSize { items: MEANWHILE_MAX + 1, ..PAGE };
    let page = match store.events(EventFilter::default(), Some(place), size).await {
        Ok(page) => page,
        Err(error) if Cursor::is_ahead(&error) => return Ok(Place::Ahead),
        Err(error) if error.code() == Some(Code::Invalid) => return Ok(Place::Foreign),
        Err(error) => return Err(error),
    };
    let meanwhile: Vec<_> = page.items.iter().filter(|one| one.event.at <= record.at).collect();
    // A page of large events ends early.
    let goes_on = page.is_cut && meanwhile.len() == page.items.len();
    if meanwhile.len() > MEANWHILE_MAX || goes_on {
        return Ok(Place::Within(None));
    }
    let mut first = HashMap::new();
    for Recorded { event, .. } in meanwhile {
        first.entry((event.namespace.clone(), event.subject.clone())).or_insert(event.number.0);
    }
    Ok(Place::Within(Some(first)))
}

/// The lines that a history may have; none if it was not there at that time, or can't be read.
fn ways_of(chain: &StoredChain, at: Time, place: &Place) -> Option<Ways> {
    let name = chain.name.as_ref()?;
    let by_then = chain.events.iter().filter(|event| event.at <= at.as_micros());
    let newest = by_then.max_by_key(|event| event.number)?;
    let mut ways = vec![Some(line_of_event(name, newest)?)];
    if let Place::Within(Some(first)) = place
        && let Some(first) = first.get(name).and_then(|first| i64::try_from(*first).ok())
    {
        for number in (first.saturating_sub(1)..newest.number).rev() {
            let event = chain.events.iter().find(|event| event.number == number);
            ways.push(event.and_then(|event| line_of_event(name, event)));
        }
    }
    Some(ways)
}

fn line_of_event((namespace, subject): &Name, event: &StoredEvent) -> Option<AnchorLine> {
    let number = Revision(u64::try_from(event.number).ok()?);
    let head = Hash(event.hash.as_slice().try_into().ok()?);
    let (namespace, task) = (namespace.clone(), subject.task().cloned());
    Some(AnchorLine { namespace, task, number, head, is_pruned: false })
}

/// Whether the lines have that root, in one of the ways in which they may have been read.
fn has_root(all: &[Ways], root: Hash) -> bool {
    let number = all.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul).unwrap_or(usize::MAX);
    // If that takes too long, only the newest lines are compared.
    let number = if number.saturating_mul(all.len()) > WAYS_LINES_MAX { 1 } else { number };
    (0..number).any(|way| {
        let mut left = way;
        let lines = all.iter().filter_map(|ways| {
            let line = &ways[left % ways.len()];
            left /= ways.len();
            line.as_ref()
        });
        Anchor::root_of(lines) == root
    })
}
