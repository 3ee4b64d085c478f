//! Reads the namespace again and again, and the task that is open.

use std::time::Duration;

use tenure::clock::Moment;
use tenure::core::id::TaskId;
use tenure::core::task::Task;
use tenure::core::time::{Span, Time};
use tenure::store::{Filter, Page, PageSize, Recorded};
use tenure::{Error, Ledger};
use tenure_view::history::newest;
use tenure_view::{ReadSize, Snapshot};
use tokio::sync::{mpsc, watch};

/// How much of the history of an open task is read.
const EVENTS: PageSize = PageSize { items: 500, bytes: 256 * 1024 };
/// It rests this many times as long as the last look took, so that it takes a fifth of a reader at most.
const REST: u64 = 4;

/// What should be read.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    /// Only tasks that this lets through.
    pub(super) only: Filter,
    /// The task that is open.
    pub(super) task: Option<TaskId>,
}

/// What was read.
pub(super) struct Look {
    /// When it was read, on this machine.
    pub(super) read_at: Moment,
    /// When reading began, which is the time of the snapshot.
    began: Moment,
    pub(super) snapshot: Snapshot,
    /// The filter that was wanted.
    pub(super) only: Filter,
    /// What that lets through; none where it lets all through.
    filtered: Option<Snapshot>,
    /// The open task.
    pub(super) open: Option<OpenTask>,
}

impl Look {
    /// The store's time at that moment, as far as this look tells.
    pub(super) fn time_at(&self, moment: Moment) -> Time {
        self.snapshot.overview.at + moment.since(self.began)
    }

    /// The lists that the filter leaves.
    pub(super) fn listed(&self) -> &Snapshot {
        self.filtered.as_ref().unwrap_or(&self.snapshot)
    }
}

/// A task with its history.
pub(super) struct OpenTask {
    pub(super) id: TaskId,
    /// None if there is no such task.
    pub(super) found: Option<(Task, Page<Recorded>)>,
}

/// Looks until nobody takes a look any more. It looks at once when something else is wanted.
pub(super) async fn keep_looking(
    ledger: Ledger,
    every: Span,
    mut wanted: watch::Receiver<Wanted>,
    found: mpsc::Sender<Result<Look, Error>>,
) {
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        let began = Moment::now();
        let look = read(&ledger, now_wanted, began).await;
        let took = Moment::now().since(began);
        if found.send(look).await.is_err() {
            return;
        }
        let rest = every.max(Span::from_micros(took.as_micros().saturating_mul(REST)));
        let rested = tokio::time::sleep(Duration::from(rest));
        tokio::select! {
            () = rested => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}

async fn read(ledger: &Ledger, wanted: Wanted, began: Moment) -> Result<Look, Error> {
    let Wanted { only, task } = wanted;
    let snapshot = Snapshot::read(ledger, &Filter::default(), ReadSize::TERMINAL).await?;
    let filtered = match only == Filter::default() {
        true => None,
        false => Some(snapshot.only(ledger, &only, ReadSize::TERMINAL).await?),
    };
    let open = match task {
        Some(id) => Some(open_task(ledger, id).await?),
        None => None,
    };
    Ok(Look { read_at: Moment::now(), began, snapshot, only, filtered, open })
}

async fn open_task(ledger: &Ledger, id: TaskId) -> Result<OpenTask, Error> {
    let task = ledger.store().task(ledger.namespace().clone(), id.clone()).await?;
    let found = match task {
        Some(task) => Some((task, newest(ledger, &id, EVENTS).await?)),
        None => None,
    };
    Ok(OpenTask { id, found })
}
