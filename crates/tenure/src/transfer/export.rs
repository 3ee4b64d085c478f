//! Writes a store as lines, in pages. Each event is checked: it must continue the history of its task.

use tenure_core::chain::Hash;
use tenure_core::event::{EventData, LeaseEnd};
use tenure_core::id::{Namespace, RequestId, Revision, TaskId};
use tenure_core::task::{State, Task};
use tenure_core::time::Span;
use tenure_store::codec::{Sealed, seal};
use tenure_store::execute::REQUEST_MEMORY;
use tenure_store::recent::RecentTasks;
use tenure_store::transfer::{
    CarriedLease, CarriedRequest, EXPORT_FORMAT, ExportCounts, ExportHeader, ExportLine, ReplayItem,
};
use tenure_store::{
    Cursor, Error, EventFilter, Filter, Order, Page, PageSize, Recorded, Store, TransferStore,
};

use super::lines::LinesDigest;
use super::movable::movable;

/// The program, as the first line of what it writes names it.
pub(crate) const WRITTEN_BY: &str = concat!("tenure ", env!("CARGO_PKG_VERSION"));
/// How much is read at once.
const PAGE: PageSize = PageSize { items: 1_000, bytes: 4 * 1024 * 1024 };
/// How many remembered requests are read at once; each may have a thousand tasks of an answer.
const REQUESTS: usize = 64;
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
    heads: RecentTasks<Option<(Revision, Hash)>>,
    counts: ExportCounts,
    digest: LinesDigest,
}

/// What comes next, behind which place.
enum Stage {
    Header,
    Events(Option<Cursor>),
    Leases(Option<Cursor>),
    Requests(Option<(Namespace, RequestId)>),
    Tokens,
    End,
    Over,
}

impl<'s> Exporter<'s> {
    /// Fixes what is exported: all that happened so far.
    pub async fn begin(store: &'s dyn Store, tokens: TokenHashes) -> Result<Exporter<'s>, Error> {
        let moved = movable(store, "an export")?;
        let contents = moved.contents().await?;
        let header = ExportHeader {
            tenure_export: EXPORT_FORMAT,
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
            heads: RecentTasks::default(),
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
                Stage::Events(None)
            }
            Stage::Events(after) => self.events(after, &mut lines).await?,
            Stage::Leases(after) => self.leases(after, &mut lines).await?,
            Stage::Requests(after) => self.requests(after, &mut lines).await?,
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

    async fn events(&mut self, after: Option<Cursor>, lines: &mut Vec<u8>) -> Result<Stage, Error> {
        let page = self.store.events(EventFilter::default(), after, PAGE).await?;
        let end = place(&self.end)?;
        for recorded in page.items {
            if place(&recorded.cursor)? > end {
                return Ok(Stage::Leases(None));
            }
            self.check(&recorded).await?;
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
        let (namespace, id) = (&event.namespace, &event.task);
        let known = self.heads.get(namespace, id).copied().flatten();
        let previous = match known {
            Some((number, hash)) if number.0 + 1 == event.number.0 => Some(hash),
            Some(_) => None,
            None if event.number.0 == 1 => Some(Hash::START),
            None => self.hash_before(event.number, (namespace, id)).await?,
        };
        if previous.is_none_or(|previous| seal(event.clone(), previous).hash != recorded.hash) {
            let number = event.number.0;
            return Err(corrupt(&format!(
                "event {number} of {namespace}/{id} does not continue its history: it or the event before it was changed"
            )));
        }
        if let EventData::Ended(_) = event.what {
            // Nothing but notes comes behind it.
            self.heads.take(namespace, id);
        } else {
            *self.heads.get_or_put(namespace, id, HEAD_BYTES) = Some((event.number, recorded.hash));
        }
        Ok(())
    }

    async fn hash_before(
        &self,
        number: Revision,
        (namespace, id): (&Namespace, &TaskId),
    ) -> Result<Option<Hash>, Error> {
        let chain = self.store.chain(namespace.clone(), id.clone()).await?;
        let before = i64::try_from(number.0).unwrap_or(i64::MAX) - 1;
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
            return Ok(Stage::Tokens);
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

/// A place in the history. A store orders events by one number or by two.
fn place(cursor: &Cursor) -> Result<(i64, i64), Error> {
    cursor.numbers('e').or_else(|_| cursor.number('e').map(|number| (number, 0)))
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
