//! Verifies a history, and makes anchors of it.
//!
//! Each event is chained to the event before it on the same task, or in the same namespace if it happened to no task. So a changed, removed, inserted or moved event is
//! found from the store alone. If the newest events or a whole task were removed, the store alone does not show it.
//! An [`Anchor`] that is kept elsewhere does.

pub(crate) mod newest;
mod progress;
mod pruned;
pub(crate) mod recorded;
mod rows;

use std::collections::HashMap;
use std::fmt;

use tenure_core::apply::fold;
use tenure_core::chain::Hash;
use tenure_core::event::{Event, Subject};
use tenure_core::id::{Actor, Namespace, Revision};
use tenure_core::refusal::Refusal;
use tenure_core::task::Task;
use tenure_core::time::Time;

pub use tenure_api::audit::{Anchor, AnchorFileError, AnchorLine};

use tenure_store::Error;
use tenure_store::codec::{Sealed, read_data, seal};
use tenure_store::namespace_history::NamespaceHead;
use tenure_store::stored::{StoredChain, StoredEvent};
use tenure_store::{BoxFuture, PageSize, Store};

pub use progress::VerifyProgress;
use pruned::{LINE_BYTES_BESIDE_NAMES, PrunedLook};
use rows::{differences, differences_of_namespace, too_many};

/// How many chains are read at once, unless their histories are long.
const PAGE: PageSize = PageSize { items: 256, bytes: 4 * 1024 * 1024 };
/// The most places that are tried to find where an event was moved from.
const TRIES_MAX: usize = 50_000;

/// What is wrong with a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The task or the namespace, as far as it is known.
    pub task: String,
    /// The event's number within that, where it is about one.
    pub number: Option<i64>,
    /// What was done.
    pub what: Tampering,
}

impl Finding {
    /// That a task, or the history of a namespace, is gone.
    fn of_removed(name: &Name) -> Finding {
        let what = match name.1 {
            Subject::Task(_) => Tampering::TaskRemoved,
            Subject::Namespace => Tampering::NamespaceRemoved,
        };
        Finding { task: words_of(name), number: None, what }
    }
}

/// What was done to a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tampering {
    /// The event is not what was written.
    Changed,
    /// The event is gone.
    Removed,
    /// The event was never written by that history.
    Inserted,
    /// The event was moved; the text says from where.
    Moved(String),
    /// The task's rows do not match its events. Each text names a column such as `due.held_back`, or a row.
    /// It is empty if nothing in the events can be compared.
    RecordChanged(Vec<String>),
    /// The task is gone.
    TaskRemoved,
    /// The history of the namespace itself is gone.
    NamespaceRemoved,
    /// The chain up to here differs from the anchor.
    Rewritten,
    /// The anchor contradicts itself.
    AnchorBroken,
    /// The record of pruned tasks does not match the anchor that they were pruned behind.
    PrunedChanged,
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
            Tampering::RecordChanged(columns) => {
                f.write_str("the record does not match its events")?;
                match columns.as_slice() {
                    [] => Ok(()),
                    columns => write!(f, ": {}", columns.join(", ")),
                }
            }
            Tampering::TaskRemoved => f.write_str("the task was removed"),
            Tampering::NamespaceRemoved => f.write_str("its own history was removed"),
            Tampering::Rewritten => f.write_str("or an event before it differs from the anchor"),
            Tampering::AnchorBroken => f.write_str("the anchor's root does not match its lines"),
            Tampering::PrunedChanged => {
                f.write_str("the record of the tasks that were pruned behind it was changed")
            }
        }
    }
}

/// The result of a verification.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// How many tasks were looked at.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// What is wrong, by task in the order of creation.
    pub findings: Vec<Finding>,
    /// How many tasks were pruned before. Of these only the names and heads are compared.
    pub pruned: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

impl From<&VerifyReport> for tenure_api::audit::Report {
    fn from(report: &VerifyReport) -> tenure_api::audit::Report {
        let finding = |finding: &Finding| tenure_api::audit::Finding {
            task: finding.task.clone(),
            number: finding.number,
            message: finding.to_string(),
        };
        tenure_api::audit::Report {
            holds: report.holds(),
            tasks: report.tasks,
            events: report.events,
            findings: report.findings.iter().map(finding).collect(),
            pruned: report.pruned,
        }
    }
}

/// Whether a chain belongs to that namespace; without one, every chain does. A chain without a name belongs to
/// none.
fn is_in(chain: &StoredChain, only_in: Option<&Namespace>) -> bool {
    only_in.is_none_or(|wanted| chain.name.as_ref().is_some_and(|(namespace, _)| namespace == wanted))
}

/// Asks for room for an anchor that has that many bytes in all, before they are kept.
pub type AnchorRoom<'a> = dyn Fn(usize) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + 'a;

pub(crate) async fn anchor(
    store: &dyn Store,
    only_in: Option<&Namespace>,
    room: Option<&AnchorRoom<'_>>,
) -> Result<Anchor, Error> {
    // The cursor is read first: events that come later only add to the anchored chains.
    let cursor = store.newest().await?.as_str().to_owned();
    let (mut lines, mut of_namespaces, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut after = None;
    loop {
        let chains = store.chains(after, PAGE).await?;
        let named = || chains.items.iter().filter(|one| one.stored_name.is_some() && is_in(one, only_in));
        bytes += named().map(line_bytes).sum::<usize>();
        if let Some(room) = room {
            room(bytes).await?;
        }
        for chain in named() {
            let line = (|| {
                let (namespace, subject) = chain.name.clone()?;
                let (number, head) = (Revision(chain.revision()?), chain.head()?);
                let task = subject.task().cloned();
                Some(AnchorLine { namespace, task, number, head, is_pruned: false })
            })();
            let broken = || {
                Error::Corrupt(
                    format!("the task of row {} can't be read; run `tenure audit verify` first", chain.row)
                        .into(),
                )
            };
            let to = if chain.is_of_namespace() { &mut of_namespaces } else { &mut lines };
            to.push(line.ok_or_else(broken)?);
        }
        after = chains.next;
        if after.is_none() {
            break;
        }
    }
    // By their names, as in every store.
    of_namespaces.sort_by(|one: &AnchorLine, other| one.namespace.cmp(&other.namespace));
    lines.extend(of_namespaces);
    // After the tasks: one that is pruned meanwhile may be in both, and each line is true.
    pruned::add_lines(store, only_in, (&mut lines, &mut bytes), room).await?;
    Ok(Anchor { cursor, root: Anchor::root_of(&lines), lines })
}

/// What is wrong with one chain, without a look at other chains.
pub(crate) fn findings_of(chain: &StoredChain) -> Vec<Finding> {
    let mut findings = Vec::new();
    look_at(chain, None, &mut Leftovers::default(), &mut findings);
    findings
}

fn line_bytes(chain: &StoredChain) -> usize {
    let names = chain
        .name
        .as_ref()
        .map_or(0, |(namespace, subject)| namespace.as_str().len() + subject.as_str().len());
    names + LINE_BYTES_BESIDE_NAMES
}

pub(crate) async fn verify(
    store: &dyn Store,
    anchor: Option<&Anchor>,
    only_in: Option<&Namespace>,
    progress: &VerifyProgress,
) -> Result<VerifyReport, Error> {
    if let (Some(anchor), Some(only)) = (anchor, only_in)
        && !anchor.lines.is_empty()
        && anchor.lines.iter().all(|line| line.namespace != *only)
    {
        let words = format!("has no line of the namespace {only}, so nothing there can be compared with it");
        return Err(Refusal::invalid("anchor", words).into());
    }
    let mut report = VerifyReport::default();
    let mut anchored = anchored_by_name(anchor, &mut report);
    // What an anchor of the whole store says about other namespaces is not compared, so it is not missing either.
    anchored.retain(|(namespace, _), _| only_in.is_none_or(|only| only == namespace));
    let mut leftovers = Leftovers::default();
    let mut after = None;
    loop {
        let chains = store.chains(after, PAGE).await?;
        for chain in chains.items.iter().filter(|chain| is_in(chain, only_in)) {
            report.tasks += u64::from(chain.is_of_stored_task());
            report.events += chain.events.len() as u64;
            let line = chain.name.as_ref().and_then(|name| anchored.remove(name));
            look_at(chain, line, &mut leftovers, &mut report.findings);
            progress.count(chain);
        }
        after = chains.next;
        if after.is_none() {
            break;
        }
        // A store in memory never makes this wait, and then nobody could watch it or stop it.
        tokio::task::yield_now().await;
    }
    leftovers.name_what_was_moved(&mut report.findings);
    let pruned = pruned::look_at(store, only_in, anchored).await?;
    report.pruned = pruned.count;
    report.findings.extend(findings_of_pruned(pruned));
    Ok(report)
}

fn findings_of_pruned(look: PrunedLook) -> impl Iterator<Item = Finding> {
    let PrunedLook { count: _, rewritten, changed, gone } = look;
    let whole = |what: Tampering| move |task| Finding { task, number: None, what: what.clone() };
    let of_line =
        |(task, number)| Finding { task, number: i64::try_from(number).ok(), what: Tampering::Rewritten };
    let rewritten = rewritten.into_iter().map(of_line);
    let changed = changed.into_iter().map(whole(Tampering::PrunedChanged));
    rewritten.chain(changed).chain(gone.into_iter().map(|name| Finding::of_removed(&name)))
}

/// Verifies one task or namespace alone; none if neither that nor an event of it exists. An event that was moved here from
/// another task is reported as inserted.
pub(crate) async fn verify_task(
    store: &dyn Store,
    name: Name,
    anchor: Option<&Anchor>,
) -> Result<Option<VerifyReport>, Error> {
    let Some(chain) = store.chain(name.0.clone(), name.1.clone()).await? else { return Ok(None) };
    let events = chain.events.len() as u64;
    let mut report =
        VerifyReport { tasks: u64::from(chain.is_of_stored_task()), events, ..VerifyReport::default() };
    let mut anchored = anchored_by_name(anchor, &mut report);
    look_at(&chain, anchored.remove(&name), &mut Leftovers::default(), &mut report.findings);
    Ok(Some(report))
}

/// The names of a history: a task's, or a namespace's own.
pub(crate) type Name = (Namespace, Subject);

/// A history in findings: no id of a task has a blank.
pub(crate) fn words_of((namespace, subject): &Name) -> String {
    match subject {
        Subject::Task(id) => format!("{namespace}/{id}"),
        Subject::Namespace => format!("namespace {namespace}"),
    }
}

fn anchored_by_name<'a>(
    anchor: Option<&'a Anchor>,
    report: &mut VerifyReport,
) -> HashMap<Name, &'a AnchorLine> {
    let Some(anchor) = anchor else { return HashMap::new() };
    if Anchor::root_of(&anchor.lines) != anchor.root {
        let task = "anchor".to_owned();
        report.findings.push(Finding { task, number: None, what: Tampering::AnchorBroken });
    }
    anchor.lines.iter().map(|line| (name_of(line), line)).collect()
}

/// The history that a line of an anchor is about.
fn name_of(line: &AnchorLine) -> Name {
    (line.namespace.clone(), line.task.clone().into())
}

/// An event that does not belong to the chain in which it is stored.
struct Stray {
    event: StoredEvent,
    /// The index of its finding.
    finding: usize,
}

/// A place of a chain where an event is missing, and the hash before it.
struct Gap {
    task: String,
    name: Name,
    number: i64,
    previous: Hash,
}

/// What is left of all chains, to be compared with each other.
#[derive(Default)]
struct Leftovers {
    strays: Vec<Stray>,
    gaps: Vec<Gap>,
}

impl Leftovers {
    /// If a stray event fits a gap, it was moved from there.
    fn name_what_was_moved(&self, findings: &mut [Finding]) {
        // Each stray is tried in each gap, at the cost of one hash. After a limit, the rest is reported as it
        // was found, which is still an error. Gaps with the stray's own number come first, because a moved
        // event usually keeps its number.
        let mut by_number = HashMap::<i64, Vec<&Gap>>::new();
        self.gaps.iter().for_each(|gap| by_number.entry(gap.number).or_default().push(gap));
        let mut tries_left = TRIES_MAX;
        for stray in &self.strays {
            let number = stray.event.number;
            let near = by_number.get(&number).into_iter().flatten().copied();
            let far = self.gaps.iter().filter(|gap| gap.number != number);
            for gap in near.chain(far) {
                if tries_left == 0 {
                    return;
                }
                tries_left -= 1;
                if fits(&stray.event, &gap.name, gap.number, gap.previous) {
                    let home = format!("{}, event {}", gap.task, gap.number);
                    findings[stray.finding].what = Tampering::Moved(home);
                    break;
                }
            }
        }
    }
}

/// Whether the event is the one that was written at that place of that chain.
fn fits(stored: &StoredEvent, name: &Name, number: i64, previous: Hash) -> bool {
    let there = StoredEvent { number, ..stored.clone() };
    read(&there, name).is_some_and(|event| seal(event, previous).hash.0.as_slice() == stored.hash)
}

fn read(stored: &StoredEvent, (namespace, subject): &Name) -> Option<Event> {
    Some(Event {
        namespace: namespace.clone(),
        subject: subject.clone(),
        number: Revision(u64::try_from(stored.number).ok()?),
        at: Time::from_micros(stored.at),
        actor: Actor::new(stored.actor.as_str()).ok()?,
        what: read_data(&stored.kind, &stored.data)?,
    })
}

/// An event of that history with its data and its hash as they are stored; none if a store never writes it so.
pub(crate) fn read_sealed(stored: &StoredEvent, name: &(Namespace, Subject)) -> Option<Sealed> {
    let hash = Hash(stored.hash.as_slice().try_into().ok()?);
    Some(Sealed { event: read(stored, name)?, data: stored.data.clone(), hash })
}

/// One chain as it is walked from its first place to its last.
struct Walk<'a> {
    chain: &'a StoredChain,
    name: &'a Name,
    task: String,
    /// The events that are not assigned to a place yet, by number.
    unclaimed: Vec<&'a StoredEvent>,
    /// The events that belong to their places, in order of these.
    claimed: Vec<&'a StoredEvent>,
    /// The hash before the place; none after a gap, where nothing can be compared.
    previous: Option<Hash>,
    holds: bool,
}

/// Walks one chain, reports what does not fit, and collects what another chain may explain.
fn look_at(
    chain: &StoredChain,
    anchored: Option<&AnchorLine>,
    leftovers: &mut Leftovers,
    findings: &mut Vec<Finding>,
) {
    let task = match (&chain.name, &chain.stored_name) {
        (Some(name), _) => words_of(name),
        (None, Some(name)) => format!("the task of row {}, whose stored name `{name}` is invalid", chain.row),
        (None, None) if chain.row < 0 => format!("the namespace of row {}, which was deleted", chain.row),
        (None, None) => format!("the task of row {}, which was deleted", chain.row),
    };
    let beside_the_chain = match (&chain.name, &chain.stored_name) {
        (Some(_), Some(_)) => Vec::new(),
        (None, Some(_)) => vec!["tasks.id".to_owned()],
        (_, None) => chain.rows.iter().map(|row| too_many(&row.table)).collect(),
    };
    if !beside_the_chain.is_empty() {
        let what = Tampering::RecordChanged(beside_the_chain);
        findings.push(Finding { task: task.clone(), number: None, what });
    }
    let Some(name) = &chain.name else {
        for event in &chain.events {
            leftovers.strays.push(Stray { event: event.clone(), finding: findings.len() });
            findings.push(Finding {
                task: task.clone(),
                number: Some(event.number),
                what: Tampering::Inserted,
            });
        }
        return;
    };
    if chain.stored_name.is_none() {
        if !chain.events.is_empty() {
            findings.push(Finding::of_removed(name));
        }
        return;
    }
    let mut unclaimed: Vec<&StoredEvent> = chain.events.iter().collect();
    unclaimed.sort_by_key(|event| (event.number, event.order));
    let claimed = Vec::new();
    let mut walk = Walk { chain, name, task, unclaimed, claimed, previous: Some(Hash::START), holds: true };
    let places = walk.places();
    let mut anchored_holds = anchored.is_none();
    for number in 1..=places {
        walk.place(number, leftovers, findings);
        if anchored.is_some_and(|line| line.number.0 as i64 == number && walk.previous == Some(line.head)) {
            anchored_holds = true;
        }
    }
    walk.look_at_strays(leftovers, findings);
    walk.look_at_order(findings);
    if walk.holds {
        walk.look_at_record(findings);
    }
    if let Some(line) = anchored.filter(|_| !anchored_holds) {
        walk.tell(findings, Some(line.number.0 as i64), Tampering::Rewritten);
    }
}

impl<'a> Walk<'a> {
    /// The number of places in the chain: from the record, or from its events if the record can't be read.
    fn places(&self) -> i64 {
        // If the end of a chain is missing, only its first event is reported: the record may contain any
        // number.
        let newest = self.unclaimed.last().map_or(0, |event| event.number);
        match self.chain.revision() {
            Some(revision) => i64::try_from(revision).unwrap_or(i64::MAX).min(newest.saturating_add(1)),
            None => newest.min(i64::try_from(self.unclaimed.len()).unwrap_or(i64::MAX).saturating_add(1)),
        }
    }

    fn tell(&mut self, findings: &mut Vec<Finding>, number: Option<i64>, what: Tampering) {
        self.holds = false;
        findings.push(Finding { task: self.task.clone(), number, what });
    }

    /// Finds the event that belongs here: the one stored here if it fits, else one from elsewhere in the
    /// chain that fits, else the one stored here, as changed.
    fn place(&mut self, number: i64, leftovers: &mut Leftovers, findings: &mut Vec<Finding>) {
        let standing = self.unclaimed.iter().position(|event| event.number == number);
        let Some(previous) = self.previous else {
            // After a gap there is nothing to compare with; the chain continues from the event's own hash.
            return match standing {
                Some(at) => self.claim(at),
                None => self.tell(findings, Some(number), Tampering::Removed),
            };
        };
        let belongs = |event: &&StoredEvent| fits(event, self.name, number, previous);
        let here = self.unclaimed.iter().position(|event| event.number == number && belongs(event));
        if let Some(at) = here {
            return self.claim(at);
        }
        if let Some(at) = self.unclaimed.iter().position(belongs) {
            let from = format!("{}, event {number}", self.task);
            self.tell(findings, Some(self.unclaimed[at].number), Tampering::Moved(from));
            return self.claim(at);
        }
        leftovers.gaps.push(Gap { task: self.task.clone(), name: self.name.clone(), number, previous });
        match standing {
            Some(at) => {
                leftovers.strays.push(Stray { event: self.unclaimed[at].clone(), finding: findings.len() });
                self.tell(findings, Some(number), Tampering::Changed);
                self.claim(at);
            }
            None => {
                self.tell(findings, Some(number), Tampering::Removed);
                self.previous = None;
            }
        }
    }

    fn claim(&mut self, at: usize) {
        let event = self.unclaimed.remove(at);
        self.previous = <[u8; 32]>::try_from(event.hash.as_slice()).ok().map(Hash);
        self.claimed.push(event);
    }

    /// An event without a place was never written by this task.
    fn look_at_strays(&mut self, leftovers: &mut Leftovers, findings: &mut Vec<Finding>) {
        for event in std::mem::take(&mut self.unclaimed) {
            leftovers.strays.push(Stray { event: event.clone(), finding: findings.len() });
            self.tell(findings, Some(event.number), Tampering::Inserted);
        }
    }

    /// Numbers and positions in the whole history rise together. If two of them do not, the one that stands
    /// out is reported.
    fn look_at_order(&mut self, findings: &mut Vec<Finding>) {
        let orders: Vec<(i64, i64)> = self.claimed.iter().map(|event| (event.number, event.order)).collect();
        for (at, pair) in orders.windows(2).enumerate() {
            let ((number, order), (next_number, next_order)) = (pair[0], pair[1]);
            if order <= next_order {
                continue;
            }
            let before = at.checked_sub(1).map_or(i64::MIN, |before| orders[before].1);
            let odd = if next_order > before { number } else { next_number };
            let elsewhere = "another position in the order of events".to_owned();
            self.tell(findings, Some(odd), Tampering::Moved(elsewhere));
        }
    }

    /// Checks that each row matches the events, and that the head in it is the hash of the newest event.
    fn look_at_record(&mut self, findings: &mut Vec<Finding>) {
        let events: Vec<Event> = self.claimed.iter().filter_map(|event| read(event, self.name)).collect();
        let columns = match (&self.name.1, self.previous) {
            (Subject::Namespace, Some(head)) => match events.last() {
                Some(newest) if events.iter().all(|event| event.what.is_of_namespace()) => {
                    let (number, updated_at) = (newest.number, newest.at);
                    differences_of_namespace(&NamespaceHead { number, head, updated_at }, self.chain)
                }
                Some(_) | None => Some(Vec::new()),
            },
            (Subject::Task(_), Some(head)) => match fold(&events).ok().flatten() {
                Some(told) => differences(&told, head, self.chain),
                None => Some(Vec::new()),
            },
            (_, None) => Some(Vec::new()),
        };
        if let Some(columns) = columns {
            self.tell(findings, None, Tampering::RecordChanged(columns));
        }
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
        lease.cancel_told = stored_lease.cancel_told;
        told.checkpoint.clone_from(&stored.checkpoint);
    }
    told == *stored
}
