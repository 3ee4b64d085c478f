//! A look at a namespace: its counts, and the tasks that a first screen names.

use std::collections::HashSet;

use tenure::core::id::{Document, TaskId};
use tenure::core::task::{Phase, State, Task};
use tenure::core::time::Time;
use tenure::store::overview::Overview;
use tenure::store::{Filter, Order, PageSize};
use tenure::{Error, Ledger};

/// How many tasks a look reads.
#[derive(Clone, Copy, Debug)]
pub struct ReadSize {
    /// The most in each list, and the bytes of each.
    pub listed: PageSize,
    /// The most in flight that are read at a time, the stale ones among them, which are in a list of their own.
    pub in_flight: PageSize,
}

impl ReadSize {
    /// For a terminal: one person looks, and scrolls through the lists.
    pub const TERMINAL: ReadSize = ReadSize {
        listed: PageSize { items: 200, bytes: 512 * 1024 },
        in_flight: PageSize { items: 400, bytes: 1024 * 1024 },
    };
}

/// A look at a namespace.
pub struct Snapshot {
    /// The counts, of all tasks.
    pub overview: Overview,
    /// Those whose lease or reservation has lapsed, the oldest first.
    pub stale: Vec<Task>,
    /// Those whose lease goes on, or that wait for their undo, the oldest first.
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
        Snapshot::of(ledger, ledger.overview().await?, only, size).await
    }

    /// The same look with only the tasks that a filter lets through in its lists. The counts are of all tasks as before, and are not
    /// read again.
    pub async fn only(&self, ledger: &Ledger, only: &Filter, size: ReadSize) -> Result<Snapshot, Error> {
        Snapshot::of(ledger, self.overview.clone(), only, size).await
    }

    async fn of(
        ledger: &Ledger,
        overview: Overview,
        only: &Filter,
        size: ReadSize,
    ) -> Result<Snapshot, Error> {
        let oldest = only.clone().with(|filter| filter.order = Order::Oldest);
        let wanted = oldest.clone().with(|filter| filter.stale = true);
        let (stale, _) = read(ledger, wanted, size.listed).await?;
        let in_flight = in_flight(ledger, only, size, overview.at).await?;
        let unattended = |filter: &mut Filter| filter.unattended = true;
        let parked = oldest.with(|filter| filter.states = vec![State::Quarantined]).with(unattended);
        let (quarantined, _) = read(ledger, parked, size.listed).await?;
        let badly = only.clone().with(unattended).with(|filter| {
            filter.order = Order::Newest;
            filter.ended_badly = true;
            // The parked ones are in a list of their own.
            filter.states = vec![State::Failed, State::Compensated];
        });
        let (ended_badly, has_more_that_ended_badly) = read(ledger, badly, size.listed).await?;
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

/// Those in flight that are not stale, the oldest first. A store lists them only together with the stale ones, and of those any number
/// may be older than all others: if the oldest page has too few, the newest page is read, too. What lies between the two pages is
/// counted, and not listed.
async fn in_flight(ledger: &Ledger, only: &Filter, size: ReadSize, now: Time) -> Result<Vec<Task>, Error> {
    let states = vec![State::Dispatched, State::Running, State::Compensating];
    let both = only.clone().with(|filter| filter.states = states);
    let of_order = async |order: Order| {
        let wanted = both.clone().with(|filter| filter.order = order);
        let (mut tasks, has_more) = read(ledger, wanted, size.in_flight).await?;
        tasks.retain(|task| !task.is_stale(now));
        Ok::<_, Error>((tasks, has_more))
    };
    let (mut tasks, has_more) = of_order(Order::Oldest).await?;
    if has_more && tasks.len() < size.listed.items {
        let known: HashSet<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
        let (mut newest, _) = of_order(Order::Newest).await?;
        newest.retain(|task| !known.contains(&task.id));
        newest.truncate(size.listed.items - tasks.len());
        tasks.extend(newest.into_iter().rev());
    }
    tasks.truncate(size.listed.items);
    Ok(tasks)
}

/// A page of tasks, and whether there are more.
async fn read(ledger: &Ledger, filter: Filter, size: PageSize) -> Result<(Vec<Task>, bool), Error> {
    let page = ledger.tasks(filter, None, size).await?;
    let has_more = page.next.is_some();
    Ok((page.items.into_iter().map(light).collect(), has_more))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tenure::clock::ManualClock;

    use super::*;

    const SIZE: ReadSize = ReadSize {
        listed: PageSize { items: 3, bytes: 1024 * 1024 },
        in_flight: PageSize { items: 4, bytes: 1024 * 1024 },
    };

    async fn held(ledger: &Ledger, id: &str, ttl: u64) -> Result<(), Error> {
        ledger.create(id).queue(if ttl > 60 { "long" } else { "short" }).await?;
        ledger.acquire(id, "w1").ttl(Duration::from_secs(ttl)).await?;
        Ok(())
    }

    fn ids(tasks: &[Task]) -> Vec<&str> {
        tasks.iter().map(|task| task.id.as_str()).collect()
    }

    /// Many tasks whose lease has lapsed, between tasks whose lease goes on.
    async fn fleet() -> Result<(Ledger, ManualClock), Error> {
        let clock = ManualClock::at(Time::from_micros(1_700_000_000_000_000));
        let ledger = Ledger::builder().clock(Arc::new(clock.clone())).open("memory:").await?;
        held(&ledger, "old", 3_600).await?;
        for nth in 0..10 {
            held(&ledger, &format!("stale-{nth}"), 10).await?;
        }
        held(&ledger, "young", 3_600).await?;
        clock.advance(Duration::from_secs(60));
        Ok((ledger, clock))
    }

    fn block_on(story: impl Future<Output = Result<(), Error>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(story).expect("done");
    }

    #[test]
    fn stale_tasks_keep_no_healthy_one_out_of_the_lists() {
        block_on(async {
            let (ledger, _clock) = fleet().await?;
            let look = Snapshot::read(&ledger, &Filter::default(), SIZE).await?;
            assert_eq!(ids(&look.stale), ["stale-0", "stale-1", "stale-2"]);
            assert_eq!(ids(&look.in_flight), ["old", "young"]);
            assert_eq!((look.stale_count(), look.in_flight_count()), (10, 2));
            for nth in 0..4 {
                held(&ledger, &format!("younger-{nth}"), 3_600).await?;
            }
            let look = Snapshot::read(&ledger, &Filter::default(), SIZE).await?;
            assert_eq!(ids(&look.in_flight), ["old", "younger-2", "younger-3"], "both ends");
            Ok(())
        });
    }

    #[test]
    fn a_filter_leaves_the_counts_of_a_look_as_they_were_read() {
        block_on(async {
            let (ledger, clock) = fleet().await?;
            let look = Snapshot::read(&ledger, &Filter::default(), SIZE).await?;
            clock.advance(Duration::from_secs(1));
            let queue = tenure::core::id::Queue::new("long").expect("a name");
            let only = Filter::default().with(|filter| filter.queue = Some(queue));
            let narrowed = look.only(&ledger, &only, SIZE).await?;
            assert_eq!((ids(&narrowed.stale), ids(&narrowed.in_flight)), (vec![], vec!["old", "young"]));
            assert_eq!(narrowed.overview, look.overview);
            Ok(())
        });
    }
}
