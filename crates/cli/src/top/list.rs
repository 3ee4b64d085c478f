//! The lists: which tasks each has, and in which order.

use std::cmp::Reverse;

use tenure::core::id::TaskId;
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure_view::{ReadSize, Snapshot};

use super::query::Query;

/// What the screen lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Tab {
    #[default]
    All,
    Stale,
    Triage,
    InFlight,
    Queues,
}

impl Tab {
    pub(super) const ALL: [Tab; 5] = [Tab::All, Tab::Stale, Tab::Triage, Tab::InFlight, Tab::Queues];

    pub(super) fn name(self) -> &'static str {
        match self {
            Tab::All => "All",
            Tab::Stale => "Stale",
            Tab::Triage => "Triage",
            Tab::InFlight => "In flight",
            Tab::Queues => "Queues",
        }
    }

    /// The one that many steps further, around the end.
    pub(super) fn after(self, steps: usize) -> Tab {
        let at = Tab::ALL.iter().position(|tab| *tab == self).unwrap_or_default();
        Tab::ALL[(at + steps) % Tab::ALL.len()]
    }
}

/// The order within a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Sort {
    /// What lapses first, or lapsed first; of ended ones, what ended last.
    #[default]
    Time,
    /// The oldest first.
    Age,
    /// By id.
    Id,
    /// The most attempts first.
    Attempts,
}

impl Sort {
    pub(super) const ALL: [Sort; 4] = [Sort::Time, Sort::Age, Sort::Id, Sort::Attempts];

    pub(super) fn words(self) -> &'static str {
        match self {
            Sort::Time => "time left",
            Sort::Age => "age",
            Sort::Id => "id",
            Sort::Attempts => "attempts",
        }
    }

    pub(super) fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or_default();
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }

    fn sort(self, tasks: &mut [&Task]) {
        match self {
            Sort::Time => tasks.sort_by_key(|task| match task.ending() {
                Some(ending) => (None, Some(Reverse(ending.finished_at))),
                None => (Some(lapses_at(task)), None),
            }),
            Sort::Age => tasks.sort_by_key(|task| task.created_at),
            Sort::Id => tasks.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str())),
            Sort::Attempts => tasks.sort_by_key(|task| Reverse(task.attempts)),
        }
    }
}

/// When a lease or reservation lapses; of a task that nobody holds, never.
fn lapses_at(task: &Task) -> Time {
    let lease = task.lease().map(|lease| lease.expires_at);
    lease.or(task.reservation().map(|reservation| reservation.expires_at)).unwrap_or(Time::MAX)
}

/// A part of the list.
pub(super) struct Section<'a> {
    pub(super) tab: Tab,
    pub(super) title: &'static str,
    pub(super) tasks: Vec<&'a Task>,
    /// How many there are that no row shows, or at least this many.
    pub(super) more: u64,
    pub(super) or_more: bool,
}

/// The parts that a tab shows. A filter leaves out what it does not let through, and then nobody counts the others.
pub(super) fn sections<'a>(
    snapshot: &'a Snapshot,
    (tab, sort, query): (Tab, Sort, &Query),
) -> Vec<Section<'a>> {
    let section = |tab, title, tasks: Vec<&'a Task>, all: u64, or_more| {
        let more = if query.is_empty() { all.saturating_sub(tasks.len() as u64) } else { 0 };
        let is_full = tasks.len() >= ReadSize::TERMINAL.listed.items;
        let mut tasks: Vec<&Task> = tasks.into_iter().filter(|task| query.lets_through(task)).collect();
        sort.sort(&mut tasks);
        Section { tab, title, tasks, more, or_more: or_more || (is_full && more == 0) }
    };
    let Snapshot { stale, in_flight, quarantined, ended_badly, .. } = snapshot;
    let parked = snapshot.count_of(tenure::core::task::State::Quarantined).max(quarantined.len() as u64);
    let badly = (quarantined.iter().chain(ended_badly)).collect::<Vec<_>>();
    let all = parked + ended_badly.len() as u64;
    let sections = [
        section(Tab::Stale, "Stale", stale.iter().collect(), snapshot.stale_count(), false),
        section(Tab::Triage, "Triage", badly, all, snapshot.has_more_that_ended_badly),
        section(Tab::InFlight, "In flight", in_flight.iter().collect(), snapshot.in_flight_count(), false),
    ];
    sections.into_iter().filter(|section| tab == Tab::All || tab == section.tab).collect()
}

/// Where the cursor is: on a task, which it follows, or else at the place where that was.
#[derive(Clone, Default)]
pub(super) struct Cursor {
    pub(super) task: Option<TaskId>,
    pub(super) at: usize,
}

impl Cursor {
    /// Follows its task to where that is now.
    pub(super) fn settle(&mut self, tasks: &[&TaskId]) {
        if let Some(at) = self.task.as_ref().and_then(|id| tasks.iter().position(|one| *one == id)) {
            self.at = at;
        }
        self.at = self.at.min(tasks.len().saturating_sub(1));
        self.task = tasks.get(self.at).map(|id| (*id).clone());
    }

    /// Moves, as far as there are rows.
    pub(super) fn step(&mut self, tasks: &[&TaskId], by: isize) {
        self.at = self.at.saturating_add_signed(by).min(tasks.len().saturating_sub(1));
        self.task = tasks.get(self.at).map(|id| (*id).clone());
    }
}
