//! Takes what another store exported, and gives what the database has besides tasks and their history. A batch of an export is
//! loaded and written as a batch of commands is, on a connection of its own.

use std::collections::{BTreeSet, HashMap};

use tenure_core::chain::Hash;
use tenure_core::event::Subject;
use tenure_core::id::{Namespace, RequestId, Revision, TaskId};
use tenure_core::time::{Span, Time};
use tenure_store::Error;
use tenure_store::columns::{Policies, Row as _, read_request};
use tenure_store::filling::page;
use tenure_store::numbers::{length, number, unsigned};
use tenure_store::retention::{NewAnchor, PrunedTask};
use tenure_store::transfer::{
    CarriedAnchor, CarriedRequest, HistoryOrder, ORDER_KEY, ReplayBatch, ReplayItem, ReplayRows,
    ReplayVerdict, Replayed, StoreContents, replay,
};

use crate::batch::{Batch, Slot};
use crate::columns::{
    KEY_COLUMN_COUNT, Key, Meaning, PostgresError, PostgresResult, TaskKeyArrays, read_subject,
};
use crate::database::PostgresDatabase;
use crate::link::{Link, Parameter};
use crate::load::{Claims, Loaded, Until, Wanted, load};
use crate::namespaces;
use crate::read::{PostgresReader, one};
use crate::retained::{ANCHORS_AMONG, PRUNED_AMONG, read_anchor, read_pruned};
use crate::retention::{insert_anchor, insert_pruned};
use crate::sql;
use crate::write::{Ended, write_back};

/// How often a batch is tried whose failures pass.
const TRIES_MAX: u32 = 10;

const EVENT_HASHES: &str = "\
    select namespace, task, number, hash from unnest($1::text[], $2::text[], $3::bigint[]) as wanted(n, i, r) \
    join tenure.events on namespace = n and task = i and number = r";
/// Who imports locks this row until the commit, after everything else: so what is noted of the order is that of all imports.
const LOCK: &str = "select value from tenure.meta where key = 'schema_version' for update";
const ORDER: &str = "\
    select (select value from tenure.meta where key = $1), \
           (select at from tenure.events order by feed desc, \"order\" desc limit 1)";
const NOTE: &str = "\
    insert into tenure.meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value";
const RAISE_FLOOR: &str = "\
    insert into tenure.meta as old (key, value) values ('epoch_floor', $1::bigint::text) \
    on conflict (key) do update set value = greatest(old.value::bigint, excluded.value::bigint)::text";
const CONTENTS: &str = "\
    select (select value::bigint from tenure.meta where key = 'epoch_floor'), \
           (select \"order\" from tenure.events order by feed desc, \"order\" desc limit 1)";

impl ReplayRows for Batch {
    fn event_hash(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
        number: Revision,
    ) -> PostgresResult<Option<Hash>> {
        let key = ((namespace.clone(), subject.clone()), number);
        if let Some(hash) = self.event_hashes.get(&key) {
            return Ok(Some(*hash));
        }
        let new = self.events.iter().find(|sealed| {
            let event = &sealed.event;
            event.number == number && event.subject == *subject && event.namespace == *namespace
        });
        Ok(new.map(|sealed| sealed.hash))
    }

    fn pruned(&mut self, namespace: &Namespace, id: &TaskId) -> PostgresResult<Option<PrunedTask>> {
        Ok(self.pruned.get(&(namespace.clone(), id.clone())).cloned())
    }

    fn has_anchor(&mut self, anchor: &CarriedAnchor) -> PostgresResult<bool> {
        Ok(self.anchors.iter().chain(&self.new_anchors).any(|known| known == anchor))
    }

    fn record_anchor(&mut self, anchor: CarriedAnchor) -> PostgresResult<()> {
        for task in &anchor.pruned {
            let key = (task.namespace.clone(), task.id.clone());
            self.taken_ids.insert(key.clone());
            self.taken_sagas.insert((task.namespace.clone(), task.saga_id.clone()));
            self.pruned.insert(key, task.clone());
        }
        self.new_anchors.push(anchor);
        Ok(())
    }
}

/// How a try ended.
enum Tried {
    Done(Vec<ReplayVerdict>),
    /// Surely not done.
    Failed(PostgresError),
    Unknown(PostgresError),
}

/// Takes a batch in one transaction, on a connection that is kept for the next.
pub(crate) async fn take(
    kept: &mut Option<Link>,
    database: &PostgresDatabase,
    batch: &ReplayBatch,
) -> Result<Vec<ReplayVerdict>, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let fault = match try_once(kept, database, batch).await {
            Tried::Done(verdicts) => return Ok(verdicts),
            Tried::Unknown(fault) => return Err(Error::Unknown(fault.into_failure(&database.shown()))),
            Tried::Failed(fault) => fault,
        };
        let passes = matches!(fault.meaning(), Meaning::Again | Meaning::Reconnect);
        if !passes || tries == TRIES_MAX {
            return Err(fault.surely_not_done(&database.shown()));
        }
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(tries))).await;
    }
}

/// One transaction. A connection that is dropped before the commit was sent takes it back.
async fn try_once(kept: &mut Option<Link>, database: &PostgresDatabase, batch: &ReplayBatch) -> Tried {
    let mut link = match kept.take().filter(|link| !link.is_closed()) {
        Some(link) => link,
        None => match database.connect_to_write().await {
            Ok(link) => link,
            Err(fault) => return Tried::Failed(fault),
        },
    };
    let Decided { rows, replayed, now, is_unchanged } = match decide(&mut link, database, batch).await {
        Ok(decided) => decided,
        Err(fault) => return Tried::Failed(fault),
    };
    // Only the injected clock has a floor in this process. The database's own is not moved, and each task keeps its order.
    database.last.raise(replayed.newest);
    if is_unchanged {
        return match link.send_plain(sql::ROLL_BACK).answer().await {
            Ok(()) => {
                *kept = Some(link);
                Tried::Done(replayed.verdicts)
            }
            Err(fault) => Tried::Failed(fault),
        };
    }
    match write_back(&mut link, database, &rows, &[], now).await {
        Ended::Failed(fault) => Tried::Failed(fault),
        Ended::Unknown(fault) => Tried::Unknown(fault),
        Ended::Committed(_) => {
            *kept = Some(link);
            database.tell_followers();
            database.offer(&rows);
            Tried::Done(replayed.verdicts)
        }
    }
}

struct Decided {
    rows: Batch,
    replayed: Replayed,
    now: Time,
    is_unchanged: bool,
}

/// All of the transaction but what follows for the tables of tasks, and its commit.
async fn decide(
    link: &mut Link,
    database: &PostgresDatabase,
    batch: &ReplayBatch,
) -> PostgresResult<Decided> {
    let wanted = Wanted::of_replay(&batch.items);
    let until = Until { given: None, ahead: length(Span::ZERO) };
    let mut policies = Policies::default();
    let loaded = load(link, &mut policies, &wanted, None, Claims::PassOver, until).await?;
    // A task that a caller's transaction created has its names, and so it is in the way of one that is imported.
    let Loaded { batch: mut rows, created: _, now: theirs } = loaded;
    rows.namespaces = namespaces::lock(link, namespaces_of(&batch.items)).await?;
    rows.event_hashes = event_hashes(link, &rows, &batch.items).await?;
    load_retained(link, &mut rows, &batch.items).await?;
    let now = match &database.clock {
        None => theirs,
        Some(clock) => clock.read().wall.max(database.last.get()),
    };
    let replayed = replay(&mut rows, &batch.items, now)?;
    let raises_floor = rows.floor < batch.epoch_floor;
    let is_unchanged = rows.is_unchanged() && !raises_floor;
    if !replayed.written.is_empty() {
        note_order(link, &rows, &replayed.written).await?;
    }
    record_anchors(link, &rows.new_anchors).await?;
    if raises_floor {
        link.ask(RAISE_FLOOR, &[&number(batch.epoch_floor.0)]).await?;
    }
    Ok(Decided { rows, replayed, now, is_unchanged })
}

/// The namespaces whose own histories the items continue.
fn namespaces_of(items: &[ReplayItem]) -> BTreeSet<&Namespace> {
    let continued = items.iter().filter_map(|item| match item {
        ReplayItem::Event(sealed) => {
            (sealed.event.subject == Subject::Namespace).then_some(&sealed.event.namespace)
        }
        ReplayItem::Anchor(_) | ReplayItem::Lease(_) | ReplayItem::Request(_) => None,
    });
    continued.collect()
}

/// What is left of the tasks that items name, where they were pruned, and the anchors that may be recorded already.
async fn load_retained(link: &mut Link, rows: &mut Batch, items: &[ReplayItem]) -> PostgresResult<()> {
    let (mut namespaces, mut ids) = (Vec::new(), Vec::new());
    let (mut times, mut roots) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            ReplayItem::Anchor(anchor) => {
                times.push(anchor.at.as_micros());
                roots.push(&anchor.root.0[..]);
                namespaces.extend(anchor.pruned.iter().map(|task| task.namespace.as_str()));
                ids.extend(anchor.pruned.iter().map(|task| task.id.as_str()));
            }
            ReplayItem::Event(sealed) if sealed.event.number.0 == 1 => {
                if let Some(task) = sealed.event.subject.task() {
                    namespaces.push(sealed.event.namespace.as_str());
                    ids.push(task.as_str());
                }
            }
            ReplayItem::Event(_) | ReplayItem::Lease(_) | ReplayItem::Request(_) => {}
        }
    }
    if !ids.is_empty() {
        for row in link.ask(PRUNED_AMONG, &[&namespaces, &ids]).await? {
            let pruned = read_pruned(&row)?;
            rows.pruned.insert((pruned.namespace.clone(), pruned.id.clone()), pruned);
        }
    }
    if !times.is_empty() {
        for row in link.ask(ANCHORS_AMONG, &[&times, &roots]).await? {
            rows.anchors.push(CarriedAnchor::of(read_anchor(&row)?, Vec::new()));
        }
    }
    Ok(())
}

/// Their numbers rise in the order of the export.
async fn record_anchors(link: &mut Link, anchors: &[CarriedAnchor]) -> PostgresResult<()> {
    for anchor in anchors {
        let CarriedAnchor { purpose, cursor, root, lines, at, by, pruned } = anchor.clone();
        let record = insert_anchor(link, NewAnchor { cursor, root, lines, by }, purpose, at).await?;
        let names: Vec<Key> = pruned.iter().map(|task| (task.namespace.clone(), task.id.clone())).collect();
        let sagas: Vec<&str> = pruned.iter().map(|task| task.saga_id.as_str()).collect();
        let keys = TaskKeyArrays::of(names.iter());
        link.ask(sql::TAKE_NAMES, &[&keys.namespaces, &keys.ids, &sagas]).await?;
        let pruned = pruned.into_iter().map(|task| PrunedTask { anchor: record.number, ..task });
        insert_pruned(link, &pruned.collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// The hashes of those events that are stored already, and are not the newest of their tasks or namespaces.
async fn event_hashes(
    link: &mut Link,
    rows: &Batch,
    items: &[ReplayItem],
) -> PostgresResult<HashMap<((Namespace, Subject), Revision), Hash>> {
    let (mut namespaces, mut ids, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        let ReplayItem::Event(sealed) = item else { continue };
        let event = &sealed.event;
        let newest = match &event.subject {
            Subject::Task(id) => match rows.slots.get(&(event.namespace.clone(), id.clone())) {
                Some(Slot::Whole(whole)) => whole.kept.as_ref().map(|kept| kept.task.revision),
                Some(Slot::Lease(_) | Slot::Seen(_)) | None => None,
            },
            Subject::Namespace => {
                rows.namespaces.get(&event.namespace).and_then(|found| found.end).map(|end| end.number)
            }
        };
        if newest.is_some_and(|newest| event.number < newest) {
            namespaces.push(event.namespace.as_str());
            ids.push(event.subject.as_str());
            numbers.push(number(event.number.0));
        }
    }
    let mut hashes = HashMap::new();
    if numbers.is_empty() {
        return Ok(hashes);
    }
    let parameters: [Parameter<'_>; 3] = [&namespaces, &ids, &numbers];
    for row in link.ask(EVENT_HASHES, &parameters).await? {
        let revision = Revision(unsigned(row.a_number(KEY_COLUMN_COUNT)?));
        hashes.insert((read_subject(&row, 0)?, revision), row.hash(KEY_COLUMN_COUNT + 1)?);
    }
    Ok(hashes)
}

/// Notes whether the history is still in the order of its times.
async fn note_order(link: &mut Link, rows: &Batch, written: &[Time]) -> PostgresResult<()> {
    link.ask(LOCK, &[]).await?;
    let mut order = read_order(link).await?;
    let is_in_order = order.is_in_order();
    let own_feed = one(&link.ask(sql::OWN_NUMBERS, &[]).await?)?.a_number(1)?;
    // An event is never in front of the one before it, whose transaction may have a higher number.
    let feeds = rows.slots.values().map(|slot| match slot {
        Slot::Whole(whole) => whole.feed,
        Slot::Lease(_) | Slot::Seen(_) => i64::MIN,
    });
    let feeds = feeds.chain(rows.namespaces.values().map(|found| found.feed));
    let feed = feeds.max().map_or(own_feed, |feed| feed.max(own_feed));
    written.iter().for_each(|at| order.note(feed, *at));
    if !(is_in_order && order.is_in_order()) {
        link.ask(NOTE, &[&ORDER_KEY, &order.to_text()]).await?;
    }
    Ok(())
}

async fn read_order(link: &mut Link) -> PostgresResult<HistoryOrder> {
    let rows = link.ask(ORDER, &[&ORDER_KEY]).await?;
    let row = one(&rows)?;
    Ok(HistoryOrder::of(row.text(0)?, row.time(1)?.unwrap_or(Time::MIN)))
}

impl PostgresReader<'_> {
    /// How the history goes with its times.
    pub(crate) async fn order(&mut self) -> PostgresResult<HistoryOrder> {
        read_order(self.link).await
    }

    pub(crate) async fn contents(&mut self) -> PostgresResult<StoreContents> {
        let rows = self.link.ask(CONTENTS, &[]).await?;
        let row = one(&rows)?;
        let number = |at| Ok::<_, PostgresError>(row.number(at)?.map_or(0, unsigned));
        Ok(StoreContents { epoch_floor: tenure_core::id::Epoch(number(0)?), events: number(1)? })
    }

    /// The highest feed of a committed event.
    pub(crate) async fn newest_feed(&mut self) -> PostgresResult<i64> {
        let newest = "select coalesce(max(feed), 0) from tenure.events";
        one(&self.link.ask(newest, &[]).await?)?.a_number(0)
    }

    pub(crate) async fn requests(
        &mut self,
        after: Option<&(Namespace, RequestId)>,
        limit: usize,
    ) -> PostgresResult<Vec<CarriedRequest>> {
        let (namespace, id) = after.map_or(("", ""), |(namespace, id)| (namespace.as_str(), id.as_str()));
        let rows = self.link.ask(&sql::REQUESTS_BEHIND, &[&namespace, &id, &page(limit)]).await?;
        let read = |row: &crate::columns::PostgresRow| {
            let namespace = Namespace::new(row.a_text(0)?)?;
            let request = read_request(row, KEY_COLUMN_COUNT)?;
            Ok(CarriedRequest { namespace, id: RequestId::new(row.a_text(1)?)?, request })
        };
        rows.iter().map(read).collect()
    }
}
