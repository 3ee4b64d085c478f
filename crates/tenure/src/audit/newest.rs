//! Verifies the newest tasks of a store, within a limit of tasks and of time, for looks that must not take long.

use std::collections::HashSet;

use tenure_clock::Moment;
use tenure_core::event::Subject;
use tenure_core::id::Namespace;
use tenure_core::refusal::Code;
use tenure_store::{Error, Filter, PageSize, Store};

use super::pruned::agrees;
use super::{
    Anchor, Finding, Leftovers, Name, Tampering, VerifyProgress, VerifyReport, anchored_by_name, is_in,
    look_at, name_of, verify, words_of,
};

const PAGE: PageSize = PageSize { items: 256, bytes: 4 * 1024 * 1024 };

/// Where it ends.
pub(crate) struct VerifyLimits {
    /// After that many tasks, and as many of the newest lines of an anchor.
    pub(crate) tasks_max: usize,
    /// Or at that moment.
    pub(crate) until: Moment,
}

/// What was verified.
pub(crate) struct VerifiedPart {
    pub(crate) report: VerifyReport,
    /// Whether it was every task, what belongs to no task, and every line of the anchor.
    pub(crate) is_all: bool,
}

/// Verifies everything, of one namespace or of all.
pub(crate) async fn verify_all(
    store: &dyn Store,
    only_in: Option<&Namespace>,
    anchor: Option<&Anchor>,
) -> Result<VerifiedPart, Error> {
    let report = verify(store, anchor, only_in, &VerifyProgress::default()).await?;
    Ok(VerifiedPart { report, is_all: true })
}

/// Verifies the newest tasks, of one namespace or of all; then the newest lines of the anchor, whose tasks may be gone.
pub(crate) async fn verify_newest(
    store: &dyn Store,
    only_in: Option<&Namespace>,
    anchor: Option<&Anchor>,
    limits: VerifyLimits,
) -> Result<VerifiedPart, Error> {
    let mut report = VerifyReport::default();
    let anchored = anchored_by_name(anchor, &mut report);
    let mut part = VerifiedPart { report, is_all: true };
    let mut seen = HashSet::new();
    let filter = Filter::default().with(|filter| filter.namespace = only_in.cloned());
    let mut after = None;
    loop {
        let page = store.tasks(filter.clone(), after, PAGE).await?;
        for task in page.items {
            if part.report.tasks >= limits.tasks_max as u64 || Moment::now() >= limits.until {
                part.is_all = false;
                break;
            }
            // What happened in their namespaces is the newest, too.
            for name in [(task.namespace.clone(), task.id.into()), (task.namespace, Subject::Namespace)] {
                if !seen.contains(&name) {
                    part.look_at(store, &name, anchored.get(&name).copied()).await?;
                    seen.insert(name);
                }
            }
        }
        after = page.next.filter(|_| part.is_all);
        if after.is_none() {
            break;
        }
    }
    if part.is_all {
        part.look_at_the_rest(store, only_in, &seen, &limits).await?;
    }
    let lines = anchor.map_or(&[][..], |anchor| &anchor.lines);
    let lines = lines.iter().rev().filter(|line| only_in.is_none_or(|only| *only == line.namespace));
    for (nth, line) in lines.enumerate() {
        let name = name_of(line);
        if seen.contains(&name) {
            continue;
        }
        if nth >= limits.tasks_max || Moment::now() >= limits.until {
            part.is_all = false;
            break;
        }
        part.look_at(store, &name, Some(line)).await?;
    }
    Ok(part)
}

impl VerifiedPart {
    /// Verifies what no list of tasks shows: events whose task is gone, and rows that belong to none. It walks through all chains,
    /// within the limits.
    async fn look_at_the_rest(
        &mut self,
        store: &dyn Store,
        only_in: Option<&Namespace>,
        seen: &HashSet<Name>,
        limits: &VerifyLimits,
    ) -> Result<(), Error> {
        let (mut walked, mut after) = (0, None);
        loop {
            let page = match store.chains(after, PAGE).await {
                Ok(page) => page,
                // A token of some namespaces may not read all chains.
                Err(error) if error.code() == Some(Code::Forbidden) => {
                    self.is_all = false;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            for chain in page.items.iter().filter(|chain| is_in(chain, only_in)) {
                let is_seen = chain.name.as_ref().is_some_and(|name| seen.contains(name));
                if chain.stored_name.is_some() && is_seen {
                    continue;
                }
                let VerifyReport { tasks, events, findings, .. } = &mut self.report;
                *tasks += u64::from(chain.is_of_stored_task());
                *events += chain.events.len() as u64;
                look_at(chain, None, &mut Leftovers::default(), findings);
            }
            walked += page.items.len();
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
            // Namespaces have chains of their own.
            if walked >= 2 * limits.tasks_max || Moment::now() >= limits.until {
                self.is_all = false;
                return Ok(());
            }
        }
    }

    /// Verifies one task. One that is not there was pruned or removed, if an anchor has it; else it went while this looked.
    async fn look_at(
        &mut self,
        store: &dyn Store,
        name: &Name,
        anchored: Option<&super::AnchorLine>,
    ) -> Result<(), Error> {
        let VerifyReport { tasks, events, findings, pruned } = &mut self.report;
        let Some(chain) = store.chain(name.0.clone(), name.1.clone()).await? else {
            let Some(line) = anchored else { return Ok(()) };
            let left = match name.1.task() {
                Some(id) => store.retention().pruned(name.0.clone(), id.clone()).await?,
                None => None,
            };
            let what = Tampering::Rewritten;
            match left {
                Some(left) if agrees(line, &left) => *pruned += 1,
                Some(_) => findings.push(Finding { task: words_of(name), number: None, what }),
                None => findings.push(Finding::of_removed(name)),
            }
            return Ok(());
        };
        *tasks += u64::from(chain.is_of_stored_task());
        *events += chain.events.len() as u64;
        look_at(&chain, anchored, &mut Leftovers::default(), findings);
        Ok(())
    }
}
