//! One run of retention over a store: finds, verifies, archives and prunes in steps.

use tenure_core::id::Namespace;
use tenure_core::refusal::Refusal;
use tenure_core::task::Terminal;
use tenure_core::time::{Span, Time};
use tenure_store::retention::{EndedTask, KEPT_AT_LEAST, PruneFilter, PruneStep};
use tenure_store::stored::StoredChain;
use tenure_store::{Cursor, Error};

use super::archive::Archive;
use super::report::PruneReport;
use crate::audit::findings_of;
use crate::ledger::Ledger;

/// How many tasks one transaction prunes, unless the options say less.
const STEP_TASKS: usize = 100;
/// How many histories are in memory at once.
const CHAINS: usize = 20;

/// Why a run ended early. What was pruned before stays so; the run can be repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The store failed, or refused.
    #[error(transparent)]
    Store(#[from] Error),
    /// The archive could not be written. The step that it was for pruned nothing.
    #[error("can't write the archive: {0}")]
    Archive(#[source] std::io::Error),
}

/// Which namespaces a run prunes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PruneScope {
    /// That of the ledger.
    #[default]
    Namespace,
    /// All of the store.
    WholeStore,
}

/// What a run prunes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Tasks that ended so long ago. At least [`KEPT_AT_LEAST`].
    pub older_than: Span,
    /// Only in one of these states; empty: in any terminal one, but for quarantined tasks that still owe an undo.
    pub states: Vec<Terminal>,
    /// In which namespaces.
    pub scope: PruneScope,
    /// How many tasks one transaction prunes at most.
    pub step_tasks: usize,
}

tenure_core::with_changes!(PruneOptions);

impl PruneOptions {
    /// Everything that ended so long ago, in the ledger's namespace.
    pub fn older_than(older_than: Span) -> PruneOptions {
        PruneOptions { older_than, states: Vec::new(), scope: PruneScope::default(), step_tasks: STEP_TASKS }
    }

    /// Refuses what would break a promise.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.older_than < KEPT_AT_LEAST {
            let limit = format!(
                "at least {KEPT_AT_LEAST}: until then a repeated request is answered from the history of its task"
            );
            return Err(Refusal::invalid("older_than", limit));
        }
        Ok(())
    }
}

/// A run over the tasks of a store, the oldest first.
pub struct PruneRun {
    ledger: Ledger,
    filter: PruneFilter,
    after: Option<Cursor>,
    step_tasks: usize,
    is_over: bool,
    report: PruneReport,
}

/// What a step found.
struct Found {
    /// May go.
    free: Vec<EndedTask>,
    /// What came of the others.
    report: PruneReport,
}

impl PruneRun {
    /// Fixes the time before which tasks must have ended.
    pub async fn begin(ledger: &Ledger, options: PruneOptions) -> Result<PruneRun, Error> {
        options.check()?;
        let now = ledger.now().await?;
        let namespace: Option<Namespace> = match options.scope {
            PruneScope::Namespace => Some(ledger.namespace().clone()),
            PruneScope::WholeStore => None,
        };
        let finished_before = now - options.older_than;
        Ok(PruneRun {
            ledger: ledger.clone(),
            filter: PruneFilter { namespace, finished_before, states: options.states },
            after: None,
            step_tasks: options.step_tasks.clamp(1, STEP_TASKS),
            is_over: false,
            report: PruneReport::default(),
        })
    }

    /// Tasks that ended by then are pruned.
    pub fn finished_before(&self) -> Time {
        self.filter.finished_before
    }

    /// What the run has come to so far.
    pub fn report(&self) -> &PruneReport {
        &self.report
    }

    /// The next tasks that may go: each is verified, written to the archive if there is one, and pruned. The archive is on the disk
    /// before its tasks are deleted. A task that changes meanwhile stays. Returns what the step came to; none at the end.
    pub async fn step(
        &mut self,
        mut archive: Option<&mut Archive>,
    ) -> Result<Option<PruneReport>, PruneError> {
        let Some(Found { free, mut report }) = self.look().await? else { return Ok(None) };
        let mut sound = Vec::with_capacity(free.len());
        for part in free.chunks(CHAINS) {
            let names = part.iter().map(EndedTask::name).collect();
            let chains = self.ledger.store().retention().chains_of(names).await?;
            for (task, chain) in paired(part, &chains) {
                let findings = findings_of(chain);
                if !findings.is_empty() || !is_as_read(task, chain) {
                    report.add_corrupt(&findings);
                    continue;
                }
                if let Some(archive) = archive.as_deref_mut() {
                    archive.add(chain).map_err(PruneError::Archive)?;
                }
                sound.push(task.clone());
            }
        }
        if let Some(archive) = archive {
            archive.sync().map_err(PruneError::Archive)?;
        }
        if !sound.is_empty() {
            let count = sound.len() as u64;
            let step = PruneStep { filter: self.filter.clone(), tasks: sound, by: self.ledger.own_actor() };
            let pruned = self.ledger.store().retention().prune(step).await?;
            report.changed += count.saturating_sub(pruned.len() as u64);
            pruned.iter().for_each(|one| report.add_pruned(one.state, one.finished_at));
        }
        self.report.merge(&report);
        Ok(Some(report))
    }

    /// The same without a change: counts what a step would prune. Histories are not verified.
    pub async fn plan(&mut self) -> Result<Option<PruneReport>, Error> {
        let Some(Found { free, mut report }) = self.look().await? else { return Ok(None) };
        free.iter().for_each(|task| report.add_pruned(task.state, task.finished_at));
        self.report.merge(&report);
        Ok(Some(report))
    }

    async fn look(&mut self) -> Result<Option<Found>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let store = self.ledger.store().retention();
        let page = store.prunable(self.filter.clone(), self.after.clone(), self.step_tasks).await?;
        (self.after, self.is_over) = (page.next.clone(), page.next.is_none());
        let mut report = PruneReport::default();
        let mut free = Vec::with_capacity(page.items.len());
        for task in page.items {
            if self.filter.keeps_owing(&task) {
                // Also if a cursor holds it: the cursor moves on by itself, and this waits for a person.
                report.kept_owing += 1;
            } else if task.held_by.is_some() {
                report.add_held(&task);
            } else {
                free.push(task);
            }
        }
        Ok(Some(Found { free, report }))
    }
}

/// Each task with its chain. One that is gone has none.
fn paired<'a>(
    tasks: &'a [EndedTask],
    chains: &'a [StoredChain],
) -> impl Iterator<Item = (&'a EndedTask, &'a StoredChain)> {
    tasks.iter().filter_map(|task| {
        let (namespace, id) = task.name();
        let name = (namespace, id.into());
        Some((task, chains.iter().find(|chain| chain.name.as_ref() == Some(&name))?))
    })
}

/// Whether the chain ends where the task was read to end. If not, an event came meanwhile, or the record was changed.
fn is_as_read(task: &EndedTask, chain: &StoredChain) -> bool {
    chain.head() == Some(task.head) && chain.revision() == Some(task.number.0)
}
