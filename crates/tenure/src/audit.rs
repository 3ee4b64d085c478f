//! Verifying a history, and remembering what it was.
//!
//! Every event is chained to the one before it on its task, so a changed, removed, inserted or moved one is found from
//! the store alone. What the store alone can't show is that its newest events, or a whole task, were taken away: for
//! that an [`Anchor`] is kept elsewhere.

use std::collections::HashMap;
use std::fmt;

use tenure_core::apply::fold;
use tenure_core::chain::{Hash, Merkle};
use tenure_core::event::Event;
use tenure_core::id::{Actor, Namespace, Revision, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::codec::{read_data, seal};
use crate::error::Error;
use crate::store::{EventFilter, Store, StoredChain, StoredEvent};

/// How many chains are read at once.
const PAGE: usize = 256;

/// What is wrong with a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The task, as far as it is known.
    pub task: String,
    /// The event's number within the task, where it is about one.
    pub number: Option<i64>,
    /// What was done.
    pub what: Tampering,
}

/// What was done to a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tampering {
    /// The event is not what was written.
    Changed,
    /// The event is gone.
    Removed,
    /// The event was never written by the task's history.
    Inserted,
    /// The event stands elsewhere than where it was written; the text says where.
    Moved(String),
    /// The task's record is not what its events tell.
    RecordChanged,
    /// The task is gone.
    TaskRemoved,
    /// The chain up to here is not the one that was anchored.
    Rewritten,
    /// The anchor contradicts itself.
    AnchorBroken,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.task)?;
        if let Some(number) = self.number {
            write!(f, "event {number} ")?;
        }
        match &self.what {
            Tampering::Changed => f.write_str("was changed"),
            Tampering::Removed => f.write_str("was removed"),
            Tampering::Inserted => f.write_str("was inserted"),
            Tampering::Moved(from) => write!(f, "was moved here from {from}"),
            Tampering::RecordChanged => f.write_str("the record is not what its events tell"),
            Tampering::TaskRemoved => f.write_str("the task was removed"),
            Tampering::Rewritten => f.write_str("and those before it are not what was anchored"),
            Tampering::AnchorBroken => f.write_str("the anchor's root is not that of its lines"),
        }
    }
}

/// What a verification saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How many tasks were looked at.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// What is wrong, by task in the order of creation.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What to remember of a store: where its history was, and the head of every chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Where the history was.
    pub cursor: String,
    /// The Merkle root over the lines: enough to detect, if the lines are lost.
    pub root: Hash,
    /// A line for each task, in the order of creation.
    pub lines: Vec<AnchorLine>,
}

/// The head of one chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnchorLine {
    /// The task's room.
    pub namespace: Namespace,
    /// The task.
    pub task: TaskId,
    /// The number of its newest event.
    pub number: Revision,
    /// The hash of it.
    pub head: Hash,
}

impl fmt::Display for AnchorLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.namespace, self.task, self.number, self.head)
    }
}

/// The anchor as the text of a file.
impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tenure-anchor 1\ncursor {}\nroot {}", self.cursor, self.root)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A file that is not an anchor.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the anchor is not {expected}")]
pub struct NotAnAnchor {
    line: usize,
    expected: &'static str,
}

impl std::str::FromStr for Anchor {
    type Err = NotAnAnchor;

    fn from_str(text: &str) -> Result<Anchor, NotAnAnchor> {
        let mut lines = (1..).zip(text.lines());
        let mut header = |expected, prefix: &str| {
            let found = lines.next().and_then(|(_, line)| line.strip_prefix(prefix));
            let line = match expected {
                "`tenure-anchor 1`" => 1,
                "`cursor …`" => 2,
                _ => 3,
            };
            found.map(str::to_owned).ok_or(NotAnAnchor { line, expected })
        };
        header("`tenure-anchor 1`", "tenure-anchor 1")?;
        let cursor = header("`cursor …`", "cursor ")?;
        let root = header("`root …`", "root ")?;
        let root = Hash::from_hex(&root).ok_or(NotAnAnchor { line: 3, expected: "`root …`" })?;
        let lines = lines.map(|(at, line)| {
            read_line(line).ok_or(NotAnAnchor { line: at, expected: "`namespace id number head`" })
        });
        Ok(Anchor { cursor, root, lines: lines.collect::<Result<_, _>>()? })
    }
}

fn read_line(line: &str) -> Option<AnchorLine> {
    let mut words = line.split(' ');
    let anchored = AnchorLine {
        namespace: Namespace::new(words.next()?).ok()?,
        task: TaskId::new(words.next()?).ok()?,
        number: Revision(words.next()?.parse().ok()?),
        head: Hash::from_hex(words.next()?)?,
    };
    words.next().is_none().then_some(anchored)
}

fn root(lines: &[AnchorLine]) -> Hash {
    let mut merkle = Merkle::default();
    lines.iter().for_each(|line| merkle.leaf(line.to_string().as_bytes()));
    merkle.root()
}

pub(crate) async fn anchor(store: &dyn Store) -> Result<Anchor, Error> {
    // The cursor is read first: what comes later only adds to the chains that are anchored.
    let cursor = newest_cursor(store).await?;
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let chains = store.chains(after, PAGE).await?;
        let Some(last) = chains.last() else { break };
        after = Some(last.row);
        lines.extend(chains.iter().filter_map(|chain| {
            let (namespace, task) = chain.name.clone()?;
            let number = chain.task.as_ref()?.revision;
            Some(AnchorLine { namespace, task, number, head: chain.head? })
        }));
    }
    Ok(Anchor { cursor, root: root(&lines), lines })
}

async fn newest_cursor(store: &dyn Store) -> Result<String, Error> {
    // A namespace that has no tasks: the page is empty, and says where the history is.
    let nowhere = Namespace::new("-").ok();
    let page = store.events(EventFilter { namespace: nowhere, task: None }, None, 1).await?;
    Ok(page.next.map_or_else(String::new, |cursor| cursor.as_str().to_owned()))
}

pub(crate) async fn verify(store: &dyn Store, anchor: Option<&Anchor>) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut anchored = anchored_by_name(anchor, &mut report);
    let mut misfits = Vec::new();
    let mut after = None;
    loop {
        let chains = store.chains(after, PAGE).await?;
        let Some(last) = chains.last() else { break };
        after = Some(last.row);
        for chain in &chains {
            report.tasks += u64::from(chain.name.is_some());
            report.events += chain.events.len() as u64;
            let line = chain.name.as_ref().and_then(|name| anchored.remove(name));
            misfits.extend(look_at(chain, line, &mut report.findings));
        }
    }
    name_what_was_moved(misfits, &mut report.findings);
    let mut gone: Vec<_> = anchored.into_values().collect();
    gone.sort_by_key(|line| line.to_string());
    report.findings.extend(gone.into_iter().map(|line| Finding {
        task: format!("{}/{}", line.namespace, line.task),
        number: None,
        what: Tampering::TaskRemoved,
    }));
    Ok(report)
}

type Name = (Namespace, TaskId);

fn anchored_by_name<'a>(anchor: Option<&'a Anchor>, report: &mut Report) -> HashMap<Name, &'a AnchorLine> {
    let Some(anchor) = anchor else { return HashMap::new() };
    if root(&anchor.lines) != anchor.root {
        let task = "anchor".to_owned();
        report.findings.push(Finding { task, number: None, what: Tampering::AnchorBroken });
    }
    anchor.lines.iter().map(|line| ((line.namespace.clone(), line.task.clone()), line)).collect()
}

/// An event that does not fit where it stands, or a place where one is missing.
struct Misfit {
    task: String,
    name: Option<Name>,
    /// What is expected at this number: the hash before it.
    number: i64,
    previous: Option<Hash>,
    found: Option<StoredEvent>,
    /// Where its finding is among all.
    finding: usize,
}

/// Walks one chain. What does not fit is told, and given back to be compared with what is missing elsewhere.
fn look_at(chain: &StoredChain, anchored: Option<&AnchorLine>, findings: &mut Vec<Finding>) -> Vec<Misfit> {
    let task = match &chain.name {
        Some((namespace, id)) => format!("{namespace}/{id}"),
        None => format!("the task of row {}, which is gone", chain.row),
    };
    let mut misfits = Vec::new();
    let mut tell = |number: i64, previous, found: Option<&StoredEvent>, what| {
        let finding = findings.len();
        findings.push(Finding { task: task.clone(), number: Some(number), what });
        let (task, name, found) = (task.clone(), chain.name.clone(), found.cloned());
        misfits.push(Misfit { task, name, number, previous, found, finding });
    };
    let Some(name) = &chain.name else {
        chain.events.iter().for_each(|event| tell(event.number, None, Some(event), Tampering::Inserted));
        return misfits;
    };
    let mut by_number: Vec<&StoredEvent> = chain.events.iter().collect();
    by_number.sort_by_key(|event| (event.number, event.order));
    let newest = chain.task.as_ref().map_or(i64::MAX, |task| task.revision.0 as i64);
    let mut events = Vec::new();
    let (mut next, mut previous, mut last_order) = (1, Some(Hash::START), 0);
    let mut anchored_holds = anchored.is_none();
    for stored in by_number {
        while next < stored.number {
            tell(next, previous.take(), None, Tampering::Removed);
            next += 1;
        }
        if stored.number < next || stored.number > newest {
            tell(stored.number, None, Some(stored), Tampering::Inserted);
            continue;
        }
        let hash = <[u8; 32]>::try_from(stored.hash.as_slice()).ok().map(Hash);
        let event = read(stored, name);
        let linked = event.as_ref().map(|event| previous.map(|previous| seal(event.clone(), previous).hash));
        match linked {
            // Behind a gap there is nothing to compare with; the chain is taken up again from this event's own hash.
            Some(None) => {}
            Some(linked) if linked == hash => {}
            Some(_) | None => tell(stored.number, previous, Some(stored), Tampering::Changed),
        }
        if stored.order < last_order {
            tell(stored.number, None, None, Tampering::Moved("another place in the order of events".into()));
        }
        if let Some(line) = anchored.filter(|line| line.number.0 as i64 == stored.number) {
            anchored_holds = hash == Some(line.head);
        }
        last_order = last_order.max(stored.order);
        previous = hash;
        next = stored.number + 1;
        events.extend(event);
    }
    while next <= newest.min(chain.task.as_ref().map_or(0, |task| task.revision.0 as i64)) {
        tell(next, previous.take(), None, Tampering::Removed);
        next += 1;
    }
    if misfits.is_empty() {
        look_at_record(chain, &task, previous, &events, findings);
    }
    if let Some(line) = anchored.filter(|_| !anchored_holds) {
        findings.push(Finding { task, number: Some(line.number.0 as i64), what: Tampering::Rewritten });
    }
    misfits
}

fn look_at_record(
    chain: &StoredChain,
    task: &str,
    head: Option<Hash>,
    events: &[Event],
    findings: &mut Vec<Finding>,
) {
    let told = fold(events).ok().flatten();
    let same = match (&told, &chain.task) {
        (Some(told), Some(stored)) => same_but_for_heartbeats(told, stored),
        (_, _) => false,
    };
    if !same || chain.head != head {
        findings.push(Finding { task: task.to_owned(), number: None, what: Tampering::RecordChanged });
    }
}

/// The fold of a task's events is the task, except for what heartbeats wrote while it is leased.
pub fn same_but_for_heartbeats(told: &Task, stored: &Task) -> bool {
    let mut told = told.clone();
    if let (Some(lease), Some(stored_lease)) = (told.lease_mut(), stored.lease()) {
        lease.heartbeat_at = stored_lease.heartbeat_at;
        lease.progressed_at = stored_lease.progressed_at;
        lease.expires_at = stored_lease.expires_at;
        lease.progress.clone_from(&stored_lease.progress);
        told.checkpoint.clone_from(&stored.checkpoint);
    }
    told == *stored
}

fn read(stored: &StoredEvent, (namespace, task): &Name) -> Option<Event> {
    Some(Event {
        namespace: namespace.clone(),
        task: task.clone(),
        number: Revision(u64::try_from(stored.number).ok()?),
        at: Time::from_micros(stored.at),
        actor: Actor::new(stored.actor.as_str()).ok()?,
        what: read_data(&stored.kind, &stored.data)?,
    })
}

/// An event that does not fit where it stands, but fits where one is missing, was moved.
fn name_what_was_moved(misfits: Vec<Misfit>, findings: &mut [Finding]) {
    let gaps: Vec<&Misfit> = misfits.iter().filter(|misfit| misfit.previous.is_some()).collect();
    for misfit in &misfits {
        let Some(found) = &misfit.found else { continue };
        let home = gaps.iter().find(|gap| {
            let elsewhere = gap.finding != misfit.finding;
            let at_home = StoredEvent { number: gap.number, ..found.clone() };
            let event = gap.name.as_ref().and_then(|name| read(&at_home, name));
            let hash = event.zip(gap.previous).map(|(event, previous)| seal(event, previous).hash);
            elsewhere && hash.is_some_and(|hash| hash.0.as_slice() == found.hash)
        });
        if let Some(home) = home {
            findings[misfit.finding].what = Tampering::Moved(format!("{}, event {}", home.task, home.number));
        }
    }
}
