//! Writes a store as lines, in pages. Each event is checked: it must continue the history of its task or namespace.

use std::collections::HashMap;

use tenure_core::chain::Hash;
use tenure_core::event::{Event, EventData, LeaseEnd, Subject};
use tenure_core::id::{Namespace, RequestId, Revision, TaskId};
use tenure_core::task::{State, Task};
use tenure_core::time::Span;
use tenure_store::codec::{Sealed, seal};
use tenure_store::execute::REQUEST_MEMORY;
use tenure_store::recent::RecentTasks;
use tenure_store::retention::AnchorPurpose;
use tenure_store::transfer::{
    CarriedAnchor, CarriedLease, CarriedRequest, EXPORT_FORMAT, ExportCounts, ExportHeader, ExportLine,
    ReplayItem,
};
use tenure_store::{
    Cursor, Error, EventFilter, Filter, Order, Page, PageSize, Recorded, Store, TransferStore,
};

use super::followers::Traces;
use super::lines::LinesDigest;
use super::movable::movable;
use super::place::place;

/// The program, as the first line of what it writes names it.
pub(crate) const WRITTEN_BY: &str = concat!("tenure ", env!("CARGO_PKG_VERSION"));
/// How much is read at once.
const PAGE: PageSize = PageSize { items: 1_000, bytes: 4 * 1024 * 1024 };
/// How many remembered requests are read at once; each may have a thousand tasks of an answer.
const REQUESTS: usize = 64;
/// How many records of anchors are read at once. What was pruned behind each is read with it, up to a hundred tasks.
const ANCHORS: usize = 100;
/// What the head of an open task takes in memory, roughly.
const HEAD_BYTES: usize = 512;
/// A transaction that is younger than this may have been open when the export began, so that its events are not exported.
const OPEN_MAX: Span = Span::from_secs(3_600);

/// Whether the hashes of tokens are exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenHashes {
    /// Not: the new store gets tokens of its own.
    #[default]
    Left,
    /// With them: the tokens of the old store are valid in the new one.
    Carried,
}

/// How far an export has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExportProgress {
    /// The lines so far.
    pub counts: ExportCounts,
    /// How many events there are, approximately.
    pub events_expected: u64,
}

/// Exports a store, of all namespaces, as it was when this began. What happens meanwhile is not exported, and waits for nothing:
/// the export reads in pages, as any other reader does.
pub struct Exporter<'s> {
    store: &'s dyn Store,
    moved: &'s dyn TransferStore,
    tokens: TokenHashes,
    header: ExportHeader,
    /// The last cursor of the history that is exported.
    end: Cursor,
    stage: Stage,
    /// How many times tasks were pruned when it began.
    prunes: u64,
    heads: RecentTasks<Option<(Revision, Hash)>>,
    /// The heads of the histories of namespaces themselves.
    namespaces: HashMap<Namespace, (Revision, Hash)>,
    traces: Traces,
    counts: ExportCounts,
    digest: LinesDigest,
}

/// What comes next, behind which place.
enum Stage {
    Header,
    Anchors(u64),
    Events(Option<Cursor>),
    Leases(Option<Cursor>),
    Requests(Option<(Namespace, RequestId)>),
    Followers,
    Tokens,
    End,
    Over,
}

impl<'s> Exporter<'s> {
    /// Fixes what is exported: all that happened so far.
    pub async fn begin(store: &'s dyn Store, tokens: TokenHashes) -> Result<Exporter<'s>, Error> {
        let moved = movable(store, "an export")?;
        // Before all that is read of the store, so that it is noticed whenever something is pruned meanwhile.
        let prunes = moved.prunes().await?;
        let contents = moved.contents().await?;
        let header = ExportHeader {
            tenure_export: EXPORT_FORMAT,
            is_archive: false,
            at: store.now().await?,
            by: WRITTEN_BY.to_owned(),
            epoch_floor: contents.epoch_floor,
            events: contents.events,
        };
        Ok(Exporter {
            store,
            moved,
            tokens,
            header,
            end: moved.end_of_history().await?,
            stage: Stage::Header,
            prunes,
            traces: Traces::read(moved).await?,
            heads: RecentTasks::default(),
            namespaces: HashMap::new(),
            counts: ExportCounts::default(),
            digest: LinesDigest::default(),
        })
    }

    /// How far it has come.
    pub fn progress(&self) -> ExportProgress {
        ExportProgress { counts: self.counts, events_expected: self.header.events }
    }

    /// The first line: when the export began, and of what.
    pub fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// The newest cursor of what is exported.
    pub fn end(&self) -> &Cursor {
        &self.end
    }

    /// The next whole lines; none at the end. They may be empty. After an error the export is not whole, and has no last line.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut lines = Vec::new();
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Header => {
                self.write(&mut lines, self.header.to_json());
                Stage::Anchors(0)
            }
            Stage::Anchors(after) => self.anchors(after, &mut lines).await?,
            Stage::Events(after) => self.events(after, &mut lines).await?,
            Stage::Leases(after) => self.leases(after, &mut lines).await?,
            Stage::Requests(after) => self.requests(after, &mut lines).await?,
            Stage::Followers => {
                self.followers(&mut lines);
                Stage::Tokens
            }
            Stage::Tokens => {
                self.tokens(&mut lines).await?;
                Stage::End
            }
            Stage::End => {
                let end = ExportLine::End(self.counts, self.digest.hash());
                self.write(&mut lines, end.into_json());
                Stage::Over
            }
            Stage::Over => return Ok(None),
        };
        Ok(Some(lines))
    }

    fn write(&mut self, lines: &mut Vec<u8>, json: String) {
        let from = lines.len();
        lines.extend(json.into_bytes());
        lines.push(b'\n');
        self.digest.add(lines.get(from..).unwrap_or_default());
        self.counts.lines += 1;
    }

    fn write_item(&mut self, lines: &mut Vec<u8>, item: ReplayItem) {
        self.counts.count(&item);
        self.write(lines, ExportLine::Item(item).into_json());
    }

    async fn anchors(&mut self, after: u64, lines: &mut Vec<u8>) -> Result<Stage, Error> {
        let records = self.store.retention().anchors(after, ANCHORS).await?;
        let Some(last) = records.last().map(|last| last.number) else { return Ok(Stage::Events(None)) };
        for record in records {
            let pruned = match record.purpose {
                AnchorPurpose::Audit => Vec::new(),
                AnchorPurpose::Prune => self.moved.pruned_behind(record.number).await?,
            };
            let (number, is_prune) = (record.number, record.purpose == AnchorPurpose::Prune);
            let carried = CarriedAnchor::of(record, pruned);
            // An import would refuse it.
            if is_prune && CarriedAnchor::lines_of(&carried.pruned) != (carried.lines, carried.root) {
                let words =
                    format!("the record of the tasks that were pruned behind anchor {number} was changed");
                return Err(corrupt(&words));
            }
            self.write_item(lines, ReplayItem::Anchor(Box::new(carried)));
        }
        Ok(Stage::Anchors(last))
    }

    /// A page has nothing of the tasks that went before it was read, and others may have a part of them.
    async fn must_be_whole(&self) -> Result<(), Error> {
        let prunes = self.moved.prunes().await?;
        if prunes == self.prunes {
            return Ok(());
        }
        Err(Error::Unavailable(
            "tasks were pruned while the export ran, so it lacks a part of them and is not whole; stop `tenure prune` and \
             `serve --retain` until it is done, and export again"
                .into(),
        ))
    }

    async fn events(&mut self, after: Option<Cursor>, lines: &mut Vec<u8>) -> Result<Stage, Error> {
        let page = self.store.events(EventFilter::default(), after, PAGE).await?;
        self.must_be_whole().await?;
        let end = place(&self.end)?;
        for recorded in page.items {
            if place(&recorded.cursor)? > end {
                return Ok(Stage::Leases(None));
            }
            self.check(&recorded).await?;
            self.traces.pass(&recorded)?;
            let Recorded { cursor: _, event, hash, data } = recorded;
            self.write_item(lines, ReplayItem::Event(Box::new(Sealed { event, data, hash })));
        }
        // What can't be read is told of in the order of the history: first what stands before it.
        if let Some(words) = page.unreadable.into_iter().next() {
            return Err(corrupt(&words.replace(" and was skipped", "")));
        }
        match page.next {
            Some(next) if place(&next)? < end => Ok(Stage::Events(Some(next))),
            Some(_) | None => Ok(Stage::Leases(None)),
        }
    }

    /// An event that does not continue its history would be refused by every import.
    async fn check(&mut self, recorded: &Recorded) -> Result<(), Error> {
        let event = &recorded.event;
        let namespace = &event.namespace;
        let known = match &event.subject {
            Subject::Task(id) => self.heads.get(namespace, id).copied().flatten(),
            Subject::Namespace => self.namespaces.get(namespace).copied(),
        };
        let previous = match known {
            Some((number, hash)) if number.0 + 1 == event.number.0 => Some(hash),
            Some(_) => None,
            None if event.number.0 == 1 => Some(Hash::START),
            None => {
                let hash = self.hash_before(event).await?;
                self.must_be_whole().await?;
                hash
            }
        };
        if previous.is_none_or(|previous| seal(event.clone(), previous).hash != recorded.hash) {
            let number = event.number.0;
            return Err(corrupt(&format!(
                "event {number} of {namespace}/{} does not continue its history: it or the event before it was changed",
                event.subject
            )));
        }
        let head = (event.number, recorded.hash);
        match (&event.subject, &event.what) {
            // Nothing but notes comes behind it.
            (Subject::Task(id), EventData::Ended(_)) => drop(self.heads.take(namespace, id)),
            (Subject::Task(id), _) => *self.heads.get_or_put(namespace, id, HEAD_BYTES) = Some(head),
            (Subject::Namespace, _) => drop(self.namespaces.insert(namespace.clone(), head)),
        }
        Ok(())
    }

    async fn hash_before(&self, event: &Event) -> Result<Option<Hash>, Error> {
        let chain = self.store.chain(event.namespace.clone(), event.subject.clone()).await?;
        let before = i64::try_from(event.number.0).unwrap_or(i64::MAX) - 1;
        let stored = chain.and_then(|chain| chain.events.into_iter().find(|event| event.number == before));
        Ok(stored.and_then(|event| <[u8; 32]>::try_from(event.hash).ok()).map(Hash))
    }

    async fn leases(&mut self, after: Option<Cursor>, lines: &mut Vec<u8>) -> Result<Stage, Error> {
        let leased = Filter::default().with(|filter| {
            filter.states = vec![State::Running, State::Compensating];
            filter.order = Order::Oldest;
        });
        let Page { items, next, .. } = self.store.tasks(leased, after, PAGE).await?;
        for task in items {
            let Some(lease) = task.lease() else { continue };
            let revision = task.revision;
            // What happened to it meanwhile is not exported, and so its lease would be that of another moment.
            if self.is_exported((&task.namespace, &task.id), revision).await? {
                let lease = LeaseEnd::of(&task, lease);
                let Task { namespace, id, .. } = task;
                let carried = CarriedLease { namespace, task: id, revision, lease };
                self.write_item(lines, ReplayItem::Lease(Box::new(carried)));
            }
        }
        Ok(match next {
            Some(next) => Stage::Leases(Some(next)),
            None => Stage::Requests(None),
        })
    }

    /// Whether the event of a task with that number is among those that are exported.
    async fn is_exported(
        &self,
        (namespace, id): (&Namespace, &TaskId),
        revision: Revision,
    ) -> Result<bool, Error> {
        let of_task = EventFilter::default().with(|filter| {
            filter.namespace = Some(namespace.clone());
            filter.task = Some(id.clone());
        });
        let size = PageSize { items: 1, ..PAGE };
        let later = self.store.events(of_task, Some(self.end.clone()), size).await?;
        Ok(later.items.first().is_none_or(|first| first.event.number > revision))
    }

    async fn requests(
        &mut self,
        after: Option<(Namespace, RequestId)>,
        lines: &mut Vec<u8>,
    ) -> Result<Stage, Error> {
        let found = self.moved.requests(after, REQUESTS).await?;
        let Some(last) = found.last().map(|last| (last.namespace.clone(), last.id.clone())) else {
            return Ok(Stage::Followers);
        };
        for carried in found {
            if self.is_remembered(&carried).await? {
                self.write_item(lines, ReplayItem::Request(Box::new(carried)));
            }
        }
        Ok(Stage::Requests(Some(last)))
    }

    /// Whether it will be answered again, and what it is answered with is exported.
    async fn is_remembered(&self, carried: &CarriedRequest) -> Result<bool, Error> {
        let (at, request) = (self.header.at, &carried.request);
        if request.at + REQUEST_MEMORY <= at {
            return Ok(false);
        }
        let is_old = request.at < at - OPEN_MAX;
        for answered in request.answered.iter().filter(|_| !is_old) {
            if !self.is_exported((&carried.namespace, &answered.task), answered.revision).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn followers(&mut self, lines: &mut Vec<u8>) {
        for follower in self.traces.finish() {
            self.write(lines, ExportLine::Follower(Box::new(follower)).into_json());
            self.counts.followers += 1;
        }
    }

    async fn tokens(&mut self, lines: &mut Vec<u8>) -> Result<(), Error> {
        if self.tokens == TokenHashes::Left {
            return Ok(());
        }
        for listed in self.store.tokens(None).await?.unwrap_or_default().tokens {
            self.write(lines, ExportLine::Token(Box::new(listed)).into_json());
            self.counts.tokens += 1;
        }
        Ok(())
    }
}

fn corrupt(words: &str) -> Error {
    Error::Corrupt(
        format!(
            "{words}. The export ends before it and is not whole; `tenure audit verify` names all that was changed, and a \
             backup has it as it was"
        )
        .into(),
    )
}
