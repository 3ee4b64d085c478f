//! A look at a namespace: its counts, and the tasks that a first screen names.

use tenure::core::id::Document;
use tenure::core::task::{Phase, State, Task};
use tenure::store::overview::Overview;
use tenure::store::{Filter, Order, PageSize};
use tenure::{Error, Ledger};

/// How many tasks a look reads.
#[derive(Clone, Copy, Debug)]
pub struct ReadSize {
    /// The most in each list, and the bytes of each.
    pub listed: PageSize,
    /// The most in flight that are read. The stale ones among them are in a list of their own.
    pub in_flight: PageSize,
}

/// A look at a namespace.
pub struct Snapshot {
    /// The counts, of all tasks.
    pub overview: Overview,
    /// Those whose lease or reservation has lapsed, the oldest first.
    pub stale: Vec<Task>,
    /// Those whose lease goes on, or that wait for their undo.
    pub in_flight: Vec<Task>,
    /// Parked, and nobody has seen to them.
    pub quarantined: Vec<Task>,
    /// Failed or undone, and nobody has seen to it: the newest.
    pub ended_badly: Vec<Task>,
    /// Whether there are more of these.
    pub has_more_that_ended_badly: bool,
}

impl Snapshot {
    /// Reads the namespace of the ledger. The lists have only tasks that `only` lets through.
    pub async fn read(ledger: &Ledger, only: &Filter, size: ReadSize) -> Result<Snapshot, Error> {
        let overview = ledger.overview().await?;
        let read = async |filter: Filter, size: PageSize| {
            let page = ledger.tasks(filter, None, size).await?;
            let has_more = page.next.is_some();
            Ok::<_, Error>((page.items.into_iter().map(light).collect::<Vec<_>>(), has_more))
        };
        let oldest = only.clone().with(|filter| filter.order = Order::Oldest);
        let (stale, _) = read(oldest.clone().with(|filter| filter.stale = true), size.listed).await?;
        let states = vec![State::Dispatched, State::Running, State::Compensating];
        let (mut in_flight, _) =
            read(oldest.clone().with(|filter| filter.states = states), size.in_flight).await?;
        in_flight.retain(|task| !task.is_stale(overview.at));
        in_flight.truncate(size.listed.items);
        let unattended = |filter: &mut Filter| filter.unattended = true;
        let parked = oldest.with(|filter| filter.states = vec![State::Quarantined]).with(unattended);
        let (quarantined, _) = read(parked, size.listed).await?;
        let badly = only.clone().with(unattended).with(|filter| {
            filter.order = Order::Newest;
            filter.ended_badly = true;
            // The parked ones are in a list of their own.
            filter.states = vec![State::Failed, State::Compensated];
        });
        let (ended_badly, has_more_that_ended_badly) = read(badly, size.listed).await?;
        Ok(Snapshot { overview, stale, in_flight, quarantined, ended_badly, has_more_that_ended_badly })
    }

    /// How many tasks are in that state.
    pub fn count_of(&self, state: State) -> u64 {
        self.overview.states.iter().find(|one| one.state == state).map_or(0, |one| one.count)
    }

    /// How many tasks are stale, named or not.
    pub fn stale_count(&self) -> u64 {
        self.overview.states.iter().map(|one| one.stale).sum()
    }

    /// How many are in flight and not stale, named or not.
    pub fn in_flight_count(&self) -> u64 {
        let open = [State::Dispatched, State::Running, State::Compensating];
        let open: u64 = open.iter().map(|state| self.count_of(*state)).sum();
        open.saturating_sub(self.stale_count())
    }

    /// Whether the namespace never had a task.
    pub fn is_empty(&self) -> bool {
        self.overview.ends.is_empty() && self.overview.states.iter().all(|one| one.count == 0)
    }
}

/// The task without its documents, which no list shows: they may be large, and a look is kept.
fn light(mut task: Task) -> Task {
    task.payload = Document::null();
    task.checkpoint = None;
    if let Phase::Ended(ending) = &mut task.phase {
        ending.result = None;
    }
    task
}
