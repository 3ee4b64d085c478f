//! Reads lines and gives them to a store, in batches. A line that is refused stops none but those that need it.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::sync::Arc;

use tenure_api::instant;
use tenure_core::event::Subject;
use tenure_core::id::{Namespace, TaskId};
use tenure_store::retention::CursorRow;
use tenure_store::transfer::{
    CarriedFollower, ExportCounts, ExportHeader, ExportLine, ReplayBatch, ReplayItem, ReplayVerdict,
    TIME_AHEAD_MAX,
};
use tenure_store::{Cursor, Error, Store, TransferStore};

use super::followers::{Walk, place_of};
use super::lines::{Line, LineReader};
use super::movable::movable;
use super::place::place;

/// The most items of one transaction, unless the caller wants fewer.
const BATCH_ITEMS_MAX: usize = 2_000;
/// And the most bytes of their lines, unless a single one has more.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most tasks of which it is known which of their lines was refused first.
const REFUSED_TASKS_MAX: usize = 100_000;
/// How often a batch is given again whose commit nobody knows the outcome of.
const UNKNOWN_MAX: u32 = 3;

/// Why an import ended early. What was written before stays; the import can be repeated, and goes on where it ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The store did not take a batch.
    #[error(transparent)]
    Store(#[from] Error),
    /// The file can't be read.
    #[error("can't read the export: {0}")]
    Read(#[from] io::Error),
}

/// A line that was not imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedLine {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What an import has come to so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImportReport {
    /// Lines that were read, and what was written of each sort.
    pub written: ExportCounts,
    /// Lines whose content is in the store already, or is not needed any more.
    pub skipped: u64,
    /// Lines that were refused.
    pub refused: u64,
}

/// Imports an export into a store, which may have other tasks.
pub struct Importer<'s, R> {
    store: &'s dyn Store,
    moved: &'s dyn TransferStore,
    lines: LineReader<R>,
    header: Option<ExportHeader>,
    stage: Stage,
    batch: Batch,
    batch_items_max: usize,
    refused_tasks: RefusedTasks,
    /// Where the history is looked through for the places of followers.
    walk: Option<Walk<'s>>,
    report: ImportReport,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Lines,
    /// The line that ends an export was read.
    Ended,
    Over,
}

/// Lines that go into one transaction.
#[derive(Default)]
struct Batch {
    lines: Vec<u64>,
    items: Vec<ReplayItem>,
    bytes: u64,
}

impl<'s, R: BufRead> Importer<'s, R> {
    /// Begins with the first line of an export.
    pub fn begin(store: &'s dyn Store, from: R) -> Result<Importer<'s, R>, Error> {
        Ok(Importer {
            store,
            moved: movable(store, "an import")?,
            lines: LineReader::new(from),
            header: None,
            stage: Stage::Header,
            batch: Batch::default(),
            batch_items_max: BATCH_ITEMS_MAX,
            refused_tasks: RefusedTasks::default(),
            walk: None,
            report: ImportReport::default(),
        })
    }

    /// With at most that many lines in one transaction, instead of 2,000.
    pub fn in_batches_of(self, lines: usize) -> Importer<'s, R> {
        Importer { batch_items_max: lines.max(1), ..self }
    }

    /// What it has come to so far.
    pub fn report(&self) -> ImportReport {
        self.report
    }

    /// How many bytes were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes
    }

    /// How many events the export has, approximately; none before its first line was read.
    pub fn events_expected(&self) -> Option<u64> {
        self.header.as_ref().map(|header| header.events)
    }

    /// Imports the next lines, in one transaction, and gives those that were refused. None at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<RefusedLine>>, ImportError> {
        let mut refused = Vec::new();
        match self.stage {
            Stage::Header => self.begin_with_header(&mut refused).await?,
            Stage::Lines | Stage::Ended => self.take_lines(&mut refused).await?,
            Stage::Over => return Ok(None),
        }
        self.report.refused += refused.len() as u64;
        self.report.written.lines = self.lines.count;
        Ok(Some(refused))
    }

    async fn begin_with_header(&mut self, refused: &mut Vec<RefusedLine>) -> Result<(), ImportError> {
        let read = match self.lines.next()? {
            None => Err("the file is empty".to_owned()),
            Some(Line::Unreadable(why)) => Err(why.to_owned()),
            Some(Line::Text(text)) => ExportHeader::read(&text),
        };
        let checked = match read {
            Ok(header) => self.is_of_the_past(header).await?,
            Err(reason) => Err(reason),
        };
        match checked {
            Ok(header) => {
                // The floor is raised also where nothing else is written.
                let nothing = ReplayBatch { epoch_floor: header.epoch_floor, items: Arc::new([]) };
                self.replay(nothing).await?;
                self.header = Some(header);
                self.stage = Stage::Lines;
            }
            Err(reason) => {
                refused.push(RefusedLine { line: 1, reason });
                self.stage = Stage::Over;
            }
        }
        Ok(())
    }

    /// What is of the future would push the time of the store, and with it the end of every lease.
    async fn is_of_the_past(&self, header: ExportHeader) -> Result<Result<ExportHeader, String>, Error> {
        let now = self.store.now().await?;
        if header.at <= now + TIME_AHEAD_MAX {
            return Ok(Ok(header));
        }
        Ok(Err(format!(
            "the export was written at {}, and the time of this store is {}: one of the clocks is wrong. Set it, and import again",
            instant::print_seconds(header.at),
            instant::print_seconds(now)
        )))
    }

    async fn take_lines(&mut self, refused: &mut Vec<RefusedLine>) -> Result<(), ImportError> {
        loop {
            let before = self.lines.bytes;
            let Some(line) = self.lines.next()? else {
                self.flush(refused).await?;
                self.end_of_file(refused);
                return Ok(());
            };
            let number = self.lines.count;
            let read = match line {
                _ if self.stage == Stage::Ended => {
                    Err("it stands behind the line that ends the export".to_owned())
                }
                Line::Unreadable(why) => Err(why.to_owned()),
                Line::Text(text) => ExportLine::read(&text),
            };
            match read {
                Ok(ExportLine::Item(item)) => {
                    if self.batch.is_of_another_sort(&item) {
                        self.flush(refused).await?;
                    }
                    self.batch.push(number, item, self.lines.bytes - before);
                }
                Ok(ExportLine::Follower(follower)) => {
                    self.flush(refused).await?;
                    match self.follower(*follower).await? {
                        ReplayVerdict::Refused(reason) => refused.push(RefusedLine { line: number, reason }),
                        ReplayVerdict::Skipped => self.report.skipped += 1,
                        ReplayVerdict::Written | ReplayVerdict::Part { .. } => {
                            self.report.written.followers += 1
                        }
                    }
                }
                Ok(ExportLine::Token(token)) => {
                    self.flush(refused).await?;
                    match self.moved.carry_token(*token).await {
                        Ok(_) => self.report.written.tokens += 1,
                        Err(Error::Refused(refusal)) => {
                            refused.push(RefusedLine { line: number, reason: refusal.to_string() });
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(ExportLine::End(counts, sha256)) => {
                    self.flush(refused).await?;
                    self.stage = Stage::Ended;
                    if (counts.lines + 1, sha256) != (number, self.lines.before) {
                        let reason = "what stands before it is not what was exported: lines were changed, added or removed";
                        refused.push(RefusedLine { line: number, reason: reason.to_owned() });
                    }
                }
                Err(reason) => refused.push(RefusedLine { line: number, reason }),
            }
            if self.batch.is_full(self.batch_items_max) || refused.len() >= self.batch_items_max {
                return self.flush(refused).await;
            }
        }
    }

    fn end_of_file(&mut self, refused: &mut Vec<RefusedLine>) {
        if self.stage != Stage::Ended {
            let count = self.lines.count;
            let reason = format!(
                "the export has no end: it was cut off behind line {count}. What stands before it was imported; get the whole \
                 file, and import it"
            );
            refused.push(RefusedLine { line: count + 1, reason });
        }
        self.stage = Stage::Over;
    }

    /// A named cursor moves to the place of what its follower has seen last, if it has seen exactly what is here up to there.
    async fn follower(&mut self, follower: CarriedFollower) -> Result<ReplayVerdict, Error> {
        let (namespace, name) = (&follower.namespace, &follower.name);
        if follower.moved_at > self.store.now().await? + TIME_AHEAD_MAX {
            return Ok(ReplayVerdict::Refused(
                "it was moved later than the time of this store; set the clocks of both machines, and import again"
                    .to_owned(),
            ));
        }
        if let Some(here) = self.moved.follower(namespace.clone(), name.clone()).await? {
            return self.follower_that_is_here(&follower, &here.cursor).await;
        }
        let Some(cursor) = self.place_here(&follower).await? else {
            return Ok(ReplayVerdict::Refused(format!(
                "up to the place of the cursor {name} this store has other events in {namespace} than its follower has seen, which \
                 would miss or repeat some; start the follower here, and it begins with the first event: what it has seen comes again"
            )));
        };
        let CarriedFollower { namespace, name, moved_at, moved_by, .. } = follower;
        match self.moved.carry_follower(CursorRow { namespace, name, cursor, moved_at, moved_by }).await {
            Ok(()) => Ok(ReplayVerdict::Written),
            Err(Error::Refused(refusal)) => Ok(ReplayVerdict::Refused(refusal.to_string())),
            Err(error) => Err(error),
        }
    }

    /// A cursor that is here is never moved: nobody knows whose it is. If it is as far as the one in the file, nothing is lost.
    async fn follower_that_is_here(
        &self,
        follower: &CarriedFollower,
        here: &Cursor,
    ) -> Result<ReplayVerdict, Error> {
        let (namespace, name) = (&follower.namespace, &follower.name);
        let Some(last) = &follower.last else { return Ok(ReplayVerdict::Skipped) };
        let is_behind = match place_of(self.store, namespace, last).await? {
            Some(cursor) => place(here)? < place(&cursor)?,
            None => match last.0.task() {
                // Nothing is pruned here that the cursor has not passed.
                Some(task) => self.store.retention().pruned(namespace.clone(), task.clone()).await?.is_none(),
                None => true,
            },
        };
        if !is_behind {
            return Ok(ReplayVerdict::Skipped);
        }
        Ok(ReplayVerdict::Refused(format!(
            "a cursor named {name} is in {namespace} already, and is not as far as this one; if both are of one follower, delete it with \
             `tenure events --namespace {namespace} --cursor-name {name} --forget`, and import again"
        )))
    }

    async fn place_here(&mut self, follower: &CarriedFollower) -> Result<Option<Cursor>, Error> {
        let mut walk = match self.walk.take().filter(|walk| walk.can_reach(follower)) {
            Some(walk) => walk,
            // What was imported is shown to all up to there.
            None => Walk::begin(self.store, follower.namespace.clone(), self.moved.end_of_history().await?),
        };
        let found = walk.reach(follower).await?;
        self.walk = Some(walk);
        Ok(found)
    }

    /// Gives the batch to the store.
    async fn flush(&mut self, refused: &mut Vec<RefusedLine>) -> Result<(), ImportError> {
        let Batch { lines, items, .. } = std::mem::take(&mut self.batch);
        let (mut kept_lines, mut kept) = (Vec::with_capacity(lines.len()), Vec::with_capacity(items.len()));
        for (line, item) in lines.into_iter().zip(items) {
            match self.refused_tasks.stand_against(&item) {
                Some(reason) => refused.push(RefusedLine { line, reason }),
                None => {
                    kept_lines.push(line);
                    kept.push(item);
                }
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let kept: Arc<[ReplayItem]> = kept.into();
        let verdicts = self.verdicts(&kept).await?;
        for ((line, item), verdict) in kept_lines.into_iter().zip(kept.iter()).zip(verdicts) {
            match verdict {
                ReplayVerdict::Written => self.report.written.count(item),
                ReplayVerdict::Skipped => self.report.skipped += 1,
                ReplayVerdict::Part { pruned, refused: why } => {
                    self.report.written.anchors += 1;
                    self.report.written.pruned += pruned;
                    refused.extend(why.map(|reason| RefusedLine { line, reason }));
                }
                ReplayVerdict::Refused(reason) => {
                    let reason = self.refused_tasks.note(item, line).unwrap_or(reason);
                    refused.push(RefusedLine { line, reason });
                }
            }
        }
        Ok(())
    }

    /// What becomes of items. If one of them is about a task that is corrupt here, the others are taken all the same.
    async fn verdicts(&self, items: &Arc<[ReplayItem]>) -> Result<Vec<ReplayVerdict>, Error> {
        let epoch_floor = self.header.as_ref().map(|header| header.epoch_floor).unwrap_or_default();
        let batch = |items| ReplayBatch { epoch_floor, items };
        match self.replay(batch(Arc::clone(items))).await {
            Err(Error::Corrupt(_)) => {}
            answered => return answered,
        }
        let mut verdicts = Vec::with_capacity(items.len());
        for item in items.iter() {
            match self.replay(batch(Arc::new([item.clone()]))).await {
                Ok(of_one) => verdicts.extend(of_one),
                Err(Error::Corrupt(failure)) => {
                    verdicts.push(ReplayVerdict::Refused(failure.message().to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(verdicts)
    }

    /// What was written is skipped when it is given again, so a batch whose outcome is unknown is given again.
    async fn replay(&self, batch: ReplayBatch) -> Result<Vec<ReplayVerdict>, Error> {
        for _ in 1..UNKNOWN_MAX {
            match self.moved.replay(batch.clone()).await {
                Err(Error::Unknown(_)) => {}
                answered => return answered,
            }
        }
        self.moved.replay(batch).await
    }
}

impl Batch {
    fn push(&mut self, line: u64, item: ReplayItem, bytes: u64) {
        self.lines.push(line);
        self.items.push(item);
        self.bytes += bytes;
    }

    fn is_full(&self, items_max: usize) -> bool {
        self.items.len() >= items_max || self.bytes >= BATCH_BYTES_MAX
    }

    /// Leases and requests are given to the store when it is known what became of the events before them.
    fn is_of_another_sort(&self, item: &ReplayItem) -> bool {
        let last = self.items.last();
        last.is_some_and(|last| std::mem::discriminant(last) != std::mem::discriminant(item))
    }
}

/// The first refused line of each task of which one was refused.
#[derive(Default)]
struct RefusedTasks {
    lines: HashMap<(Namespace, Subject), u64>,
    are_too_many: bool,
}

impl RefusedTasks {
    /// Notes that a line was refused. Returns another reason if it only follows a refused one.
    fn note(&mut self, item: &ReplayItem, line: u64) -> Option<String> {
        let ReplayItem::Event(sealed) = item else { return None };
        let key = (sealed.event.namespace.clone(), sealed.event.subject.clone());
        if let Some(first) = self.lines.get(&key) {
            let of = if sealed.event.subject == Subject::Namespace { "namespace" } else { "task" };
            return Some(format!("it follows line {first} of its {of}, which was refused"));
        }
        if self.lines.len() < REFUSED_TASKS_MAX {
            self.lines.insert(key, line);
        } else {
            self.are_too_many = true;
        }
        None
    }

    /// Why an item is not given to the store: it would be about another task with the same id.
    fn stand_against(&self, item: &ReplayItem) -> Option<String> {
        let refused = |namespace: &Namespace, task: &TaskId| {
            let first = self.lines.get(&(namespace.clone(), task.clone().into()));
            match first {
                Some(first) => Some(format!("line {first} of its task {task} was refused")),
                None if self.are_too_many => {
                    Some("too many lines were refused to tell whether those of its task were".to_owned())
                }
                None => None,
            }
        };
        match item {
            // The store looks at the history itself.
            ReplayItem::Anchor(_) | ReplayItem::Event(_) => None,
            ReplayItem::Lease(lease) => refused(&lease.namespace, &lease.task),
            ReplayItem::Request(carried) => {
                let mut tasks = carried.request.answered.iter().map(|answered| &answered.task);
                tasks.find_map(|task| refused(&carried.namespace, task))
            }
        }
    }
}
