//! Reads the facts from a store, and changes nothing there.

use tenure_clock::{Clock, Moment};
use tenure_core::id::{Namespace, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;
use tenure_store::health::{IntegrityCheck, StoreHealth};
use tenure_store::retention::{AnchorPurpose, AnchorRecord, NamedCursor};
use tenure_store::{Cursor, Error, EventFilter, Filter, Order, PageSize};

use crate::audit::newest::{VerifiedPart, VerifyLimits, verify_all, verify_newest};
use crate::audit::recorded::compare_root;
use crate::doctor::facts::{
    AbsentNamespace, AnchorFacts, AnchorLook, ChainFacts, ClockFacts, Facts, LateFacts, LateTask,
    NamespaceFacts, ReadTasks, RootComparison, StoreKind, TaskName,
};
use crate::doctor::options::{CheckDepth, DoctorAnchor, DoctorOptions};
use crate::doctor::thresholds as at;
use crate::ledger::Ledger;
use crate::recovery::due_at;

/// How many lapsed tasks are counted.
const LATE_COUNTED: usize = 1_000;
/// The bytes of tasks that are read at once.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Reads everything. Only the store's clock must be readable; whatever else fails is a fact, too.
pub(super) async fn gather(
    ledger: &Ledger,
    (kind, shown): (StoreKind, String),
    clock: &dyn Clock,
    options: &DoctorOptions,
) -> Result<Facts, Error> {
    let before = clock.read().wall;
    let store = ledger.now().await?;
    let clock = ClockFacts { before, store, after: clock.read().wall };
    // First, because everything that is read afterwards may change what is beside a file.
    let health = health(ledger, options.depth).await;
    let only_in = options.namespace.as_ref();
    let anchor = options.anchor.as_ref();
    Ok(Facts {
        kind,
        shown,
        backup: None,
        clock,
        health,
        namespaces: namespaces(ledger, only_in, store).await,
        absent: absent(ledger, only_in).await,
        late: late(ledger, only_in).await,
        cursors: cursors(ledger, only_in).await,
        tokens: ledger.tokens().await,
        chain: chain(ledger, options).await,
        anchor: match anchor {
            Some(anchor) => anchor_facts(ledger, anchor).await.map(AnchorLook::Given),
            None => recorded_anchor(ledger, options).await.map(AnchorLook::Recorded),
        },
        recovery: options.recovery.clone(),
    })
}

async fn health(ledger: &Ledger, depth: CheckDepth) -> Result<StoreHealth, Error> {
    let check = match depth {
        CheckDepth::Newest => IntegrityCheck::UpTo(at::INTEGRITY_BYTES),
        CheckDepth::Whole => IntegrityCheck::Whole,
    };
    ledger.store().health(check).await
}

/// The namespaces that are looked at.
async fn names(ledger: &Ledger, only_in: Option<&Namespace>) -> Result<Vec<Namespace>, Error> {
    match only_in {
        Some(only) => Ok(vec![only.clone()]),
        None => ledger.namespaces().await,
    }
}

async fn namespaces(
    ledger: &Ledger,
    only_in: Option<&Namespace>,
    now: Time,
) -> Result<Vec<NamespaceFacts>, Error> {
    let names = names(ledger, only_in).await?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let ledger = ledger.in_namespace(name.as_str())?;
        let in_states = |states: &[State]| {
            Filter::default().with(|filter| {
                filter.states = states.to_vec();
                filter.order = Order::Oldest;
            })
        };
        let in_flight = in_states(&[State::Dispatched, State::Running, State::Compensating]);
        let ended_badly = Filter::default().with(|filter| {
            // Parked ones have a check of their own.
            filter.states = vec![State::Failed, State::Compensated];
            filter.ended_badly = true;
            filter.unattended = true;
            filter.since = Some(now - at::ENDS_WITHIN);
        });
        found.push(NamespaceFacts {
            overview: ledger.overview().await?,
            in_flight: first_tasks(&ledger, in_flight, at::IN_FLIGHT_READ).await?,
            planned: first_tasks(&ledger, in_states(&[State::Planned]), at::PLANNED_READ).await?,
            ended_badly: first_tasks(&ledger, ended_badly, at::ENDED_READ).await?,
            namespace: name,
        });
    }
    Ok(found)
}

/// The namespace that was asked for, if it is none of those in the store. A store without any has nothing to compare it with.
async fn absent(ledger: &Ledger, only_in: Option<&Namespace>) -> Option<AbsentNamespace> {
    let name = only_in?;
    // What can't be read is told with the tasks.
    let others = ledger.namespaces().await.unwrap_or_default();
    let is_absent = !others.is_empty() && !others.contains(name);
    is_absent.then(|| AbsentNamespace { name: name.clone(), others })
}

/// The first tasks of a list. Large ones end a page early, so it may take several.
async fn first_tasks(ledger: &Ledger, filter: Filter, tasks_max: usize) -> Result<ReadTasks, Error> {
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let size = PageSize { items: tasks_max - tasks.len(), bytes: PAGE_BYTES };
        let page = ledger.tasks(filter.clone(), after, size).await?;
        tasks.extend(page.items);
        after = page.next;
        if after.is_none() || tasks.len() >= tasks_max {
            return Ok(ReadTasks { tasks, has_more: after.is_some() });
        }
    }
}

async fn late(ledger: &Ledger, only_in: Option<&Namespace>) -> Result<LateFacts, Error> {
    let is_meant = |(namespace, _): &(Namespace, TaskId)| only_in.is_none_or(|only| only == namespace);
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let lapsed = ledger.lapsed(after, LATE_COUNTED).await?;
        tasks.extend(lapsed.tasks.into_iter().filter(is_meant));
        after = lapsed.next;
        if after.is_none() || tasks.len() >= LATE_COUNTED {
            break;
        }
    }
    let mut oldest = None;
    for (namespace, id) in &tasks {
        // One that went on meanwhile is late no more.
        let task = ledger.store().task(namespace.clone(), id.clone()).await?;
        if let Some((task, due_at)) = task.and_then(|task| due_at(&task).map(|due_at| (task, due_at))) {
            oldest = Some(LateTask { task: TaskName::of(&task), due_at, owes: task.owes() });
            break;
        }
    }
    Ok(LateFacts { count: tasks.len() as u64, has_more: after.is_some(), oldest })
}

async fn cursors(ledger: &Ledger, only_in: Option<&Namespace>) -> Result<Vec<NamedCursor>, Error> {
    let mut found = Vec::new();
    for name in names(ledger, only_in).await? {
        found.extend(ledger.in_namespace(name.as_str())?.named_cursors().await?);
    }
    Ok(found)
}

/// How much of a history is read, unless all is.
fn limits() -> VerifyLimits {
    VerifyLimits { tasks_max: at::CHAIN_TASKS, until: Moment::now() + at::CHAIN_TIME.into() }
}

async fn chain(ledger: &Ledger, options: &DoctorOptions) -> Result<ChainFacts, Error> {
    let (store, only_in) = (ledger.store().as_ref(), options.namespace.as_ref());
    let anchor = options.anchor.as_ref().map(|given| &given.anchor);
    let VerifiedPart { report, is_all } = match options.depth {
        CheckDepth::Newest => verify_newest(store, only_in, anchor, limits()).await?,
        CheckDepth::Whole => verify_all(store, only_in, anchor).await?,
    };
    Ok(ChainFacts { tasks: report.tasks, events: report.events, findings: report.findings, is_all })
}

async fn anchor_facts(ledger: &Ledger, given: &DoctorAnchor) -> Result<AnchorFacts, Error> {
    let after = Cursor::from_text(given.anchor.cursor.as_str());
    let size = PageSize { items: 1, bytes: PAGE_BYTES };
    let page = ledger.store().events(EventFilter::default(), Some(after), size).await?;
    let uncovered_since = page.items.first().map(|recorded| recorded.event.at);
    Ok(AnchorFacts { file: given.file.clone(), lines: given.anchor.lines.len() as u64, uncovered_since })
}

/// The newest anchor that was made to verify against, and what its root shows.
async fn recorded_anchor(
    ledger: &Ledger,
    options: &DoctorOptions,
) -> Result<Option<(AnchorRecord, RootComparison)>, Error> {
    let store = ledger.store().as_ref();
    let Some(record) = store.retention().newest_anchor(AnchorPurpose::Audit).await? else { return Ok(None) };
    let comparison = match (&options.namespace, options.depth) {
        (Some(_), _) => RootComparison::OneNamespace,
        (None, CheckDepth::Newest) => compare_root(store, &record, Some(&limits())).await?,
        (None, CheckDepth::Whole) => compare_root(store, &record, None).await?,
    };
    Ok(Some((record, comparison)))
}
