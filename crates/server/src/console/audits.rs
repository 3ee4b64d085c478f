//! The verifications and anchors that people asked this server for: what runs, and the newest result of each namespace. They are kept
//! in memory only, because a verdict of the past is no proof of the present.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tenure::audit::{VerifyProgress, VerifyReport};
use tenure::clock::Moment;
use tenure::core::chain::Hash;
use tenure::core::id::{Actor, Namespace};
use tenure::core::time::{Span, Time};
use tenure::handler::truncate_for_record;
use tenure::stop::StopSignal;
use tokio::sync::watch;

use crate::problem::Problem;

/// The most namespaces that are remembered.
const NAMESPACES_MAX: usize = 64;
/// The most findings that are kept, and shown.
pub(super) const FINDINGS_MAX: usize = 100;

/// What is known of each namespace.
pub(crate) struct Audits {
    kept: Mutex<HashMap<Namespace, KeptAudits>>,
    /// Counts the changes, so that pages that are open can wait for the next one.
    changes: watch::Sender<u64>,
}

/// What is known of a namespace.
#[derive(Clone, Default)]
pub(super) struct KeptAudits {
    /// The verification that runs now.
    pub(super) running: Option<Arc<AuditRun>>,
    /// The newest one that came to a verdict.
    pub(super) verdict: Option<Arc<Verdict>>,
    /// The one after it, if that came to none.
    pub(super) unfinished: Option<Arc<Unfinished>>,
    /// The newest anchor.
    pub(super) anchor: Option<Arc<KeptAnchor>>,
    /// How many changes there were in all when this was changed last.
    version: u64,
}

/// A verification that was asked for, and has not ended.
pub(super) struct AuditRun {
    /// Who asked for it; none if no token was needed.
    pub(super) by: Option<Actor>,
    pub(super) asked_at: Time,
    /// Whether it compares the history with an anchor.
    pub(super) is_anchored: bool,
    pub(super) progress: VerifyProgress,
    /// Given when it must end without a verdict.
    pub(super) stop: StopSignal,
    /// When it began to read; it waits for its turn before.
    reading_since: OnceLock<Moment>,
    stopped_by: OnceLock<Option<Actor>>,
}

/// What a verification found.
pub(super) struct Verdict {
    pub(super) by: Option<Actor>,
    pub(super) asked_at: Time,
    pub(super) took: Span,
    pub(super) is_anchored: bool,
    pub(super) tasks: u64,
    pub(super) events: u64,
    pub(super) newest_event_at: Option<Time>,
    /// The first of its findings, in words.
    pub(super) findings: Vec<String>,
    /// How many more there are.
    pub(super) more: usize,
}

/// A verification without a verdict.
pub(super) struct Unfinished {
    pub(super) by: Option<Actor>,
    pub(super) asked_at: Time,
    /// Why it ended.
    pub(super) reason: String,
}

/// An anchor that was made here. Its text is not kept.
pub(super) struct KeptAnchor {
    pub(super) by: Option<Actor>,
    pub(super) made_at: Time,
    pub(super) cursor: String,
    pub(super) root: Hash,
    pub(super) tasks: u64,
}

/// How a verification ended.
pub(super) enum AuditEnd {
    Verified(VerifyReport),
    Failed(Problem),
    Stopped,
}

impl Default for Audits {
    fn default() -> Audits {
        Audits { kept: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Audits {
    /// What is known of the namespace.
    pub(super) fn of(&self, namespace: &Namespace) -> KeptAudits {
        self.kept().get(namespace).cloned().unwrap_or_default()
    }

    /// Begins a verification; none if one of the namespace runs already. Each caller runs one at a time, so that nobody takes the
    /// places of all.
    pub(super) fn begin(
        &self,
        namespace: &Namespace,
        run: AuditRun,
    ) -> Result<Option<Arc<AuditRun>>, Problem> {
        let run = Arc::new(run);
        let mut all = self.kept();
        let by_the_same = |kept: &KeptAudits| kept.running.as_ref().is_some_and(|other| other.by == run.by);
        let own = all.iter().find(|(name, kept)| *name != namespace && by_the_same(kept));
        if let Some((name, _)) = own {
            let who = match &run.by {
                Some(by) => format!("{by} runs a verification of the namespace {name} already"),
                None => {
                    format!("a request without a token runs a verification of the namespace {name} already")
                }
            };
            let words =
                format!("{who}, and each token runs one at a time; wait for its end, or stop it first");
            return Err(Problem::too_many_requests(words));
        }
        let begun = self.change_in(&mut all, namespace, |kept| {
            if kept.running.is_some() {
                return None;
            }
            kept.unfinished = None;
            kept.running = Some(Arc::clone(&run));
            Some(run)
        });
        begun.ok_or_else(|| Problem::unavailable("too many audits are running; try again"))
    }

    /// The verification that runs has come further.
    pub(super) fn goes_on(&self, namespace: &Namespace) {
        self.change(namespace, |_| ());
    }

    /// Ends a verification.
    pub(super) fn end(&self, namespace: &Namespace, run: &AuditRun, end: AuditEnd) {
        self.change(namespace, |kept| {
            kept.running = None;
            let reason = match end {
                AuditEnd::Verified(report) => {
                    kept.verdict = Some(Arc::new(Verdict::of(run, &report)));
                    return;
                }
                AuditEnd::Failed(problem) => problem.detail().to_owned(),
                AuditEnd::Stopped => run.words_of_stop(),
            };
            kept.unfinished =
                Some(Arc::new(Unfinished { by: run.by.clone(), asked_at: run.asked_at, reason }));
        });
    }

    /// Keeps what the newest anchor says.
    pub(super) fn keep_anchor(&self, namespace: &Namespace, anchor: KeptAnchor) {
        self.change(namespace, |kept| kept.anchor = Some(Arc::new(anchor)));
    }

    /// A number that changes with what is known of the namespace.
    pub(super) fn version(&self, namespace: &Namespace) -> u64 {
        self.kept().get(namespace).map_or(0, |kept| kept.version)
    }

    /// Waits until the version is another one, and returns it.
    pub(super) async fn until_changed(&self, namespace: &Namespace, seen: u64) -> u64 {
        let mut changes = self.changes.subscribe();
        loop {
            let version = self.version(namespace);
            if version != seen {
                return version;
            }
            if changes.changed().await.is_err() {
                // The sender is a part of this, so it lives as long.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Changes what is known of the namespace, and tells those that wait. None if verifications of too many namespaces run.
    fn change<T>(&self, namespace: &Namespace, change: impl FnOnce(&mut KeptAudits) -> T) -> Option<T> {
        self.change_in(&mut self.kept(), namespace, change)
    }

    fn change_in<T>(
        &self,
        all: &mut HashMap<Namespace, KeptAudits>,
        namespace: &Namespace,
        change: impl FnOnce(&mut KeptAudits) -> T,
    ) -> Option<T> {
        if all.len() >= NAMESPACES_MAX && !all.contains_key(namespace) {
            // The version is that of its newest result: the oldest one leaves first.
            let idle = all.iter().filter(|(_, kept)| kept.running.is_none());
            let oldest = idle.min_by_key(|(_, kept)| kept.version).map(|(name, _)| name.clone())?;
            all.remove(&oldest);
        }
        let kept = all.entry(namespace.clone()).or_default();
        let changed = change(kept);
        self.changes.send_modify(|count| {
            *count += 1;
            kept.version = *count;
        });
        Some(changed)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Namespace, KeptAudits>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditRun {
    pub(super) fn new(by: Option<Actor>, asked_at: Time, is_anchored: bool, stop: StopSignal) -> AuditRun {
        let (progress, reading_since, stopped_by) = Default::default();
        AuditRun { by, asked_at, is_anchored, progress, stop, reading_since, stopped_by }
    }

    /// It has its turn, and begins to read.
    pub(super) fn begins_to_read(&self) {
        self.reading_since.get_or_init(Moment::now);
    }

    /// For how long it has read; none while it waits for its turn.
    pub(super) fn reads_for(&self) -> Option<Span> {
        self.reading_since.get().map(|since| Moment::now().since(*since))
    }

    /// Stops it. The first who does is named.
    pub(super) fn stop_by(&self, who: Option<Actor>) {
        self.stopped_by.get_or_init(|| who);
        self.stop.stop();
    }

    fn words_of_stop(&self) -> String {
        match self.stopped_by.get() {
            Some(Some(who)) => format!("{who} stopped it"),
            Some(None) => "it was stopped at this console".to_owned(),
            None => "the server stopped".to_owned(),
        }
    }
}

impl Verdict {
    fn of(run: &AuditRun, report: &VerifyReport) -> Verdict {
        // A stored name that was changed to something long stands in a finding.
        let in_words =
            report.findings.iter().take(FINDINGS_MAX).map(|one| truncate_for_record(&one.to_string()));
        Verdict {
            by: run.by.clone(),
            asked_at: run.asked_at,
            took: run.reads_for().unwrap_or(Span::ZERO),
            is_anchored: run.is_anchored,
            tasks: report.tasks,
            events: report.events,
            newest_event_at: run.progress.newest_event_at(),
            findings: in_words.collect(),
            more: report.findings.len().saturating_sub(FINDINGS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure::audit::{Finding, Tampering};

    use super::*;

    fn namespace(number: usize) -> Namespace {
        Namespace::new(format!("team-{number}")).expect("a name")
    }

    fn run() -> AuditRun {
        run_by(None)
    }

    fn run_by(by: Option<Actor>) -> AuditRun {
        AuditRun::new(by, Time::from_micros(0), false, StopSignal::new())
    }

    fn named(number: usize) -> Option<Actor> {
        Actor::new(format!("token-{number}")).ok()
    }

    #[test]
    fn one_runs_at_a_time_for_each_namespace_and_there_is_a_most() {
        let audits = Audits::default();
        let runs: Vec<_> = (0..NAMESPACES_MAX)
            .map(|number| audits.begin(&namespace(number), run_by(named(number))).expect("room"))
            .collect();
        assert!(runs.iter().all(Option::is_some));
        assert!(audits.begin(&namespace(3), run()).expect("it has its place").is_none(), "one runs already");
        let refused = audits.begin(&namespace(NAMESPACES_MAX), run()).err().expect("no place is left");
        assert_eq!(refused.code(), "unavailable");
        let ended = runs[3].as_ref().expect("it runs");
        audits.end(&namespace(3), ended, AuditEnd::Stopped);
        assert!(audits.of(&namespace(3)).unfinished.is_some_and(|one| one.reason == "the server stopped"));
        assert!(audits.begin(&namespace(NAMESPACES_MAX), run()).expect("room").is_some());
        assert!(audits.of(&namespace(3)).unfinished.is_none(), "it made room for one that runs");
    }

    #[test]
    fn each_caller_runs_one_at_a_time_and_the_oldest_result_leaves_first() {
        let audits = Audits::default();
        let began = audits.begin(&namespace(0), run_by(named(0))).expect("room").expect("it runs");
        let refused = audits.begin(&namespace(1), run_by(named(0))).err().expect("one runs");
        assert_eq!(refused.code(), "too_many_requests");
        assert!(refused.detail().contains("token-0 runs a verification of the namespace team-0 already"));
        assert!(audits.begin(&namespace(1), run()).expect("room").is_some(), "others have a place");
        assert!(audits.begin(&namespace(2), run()).is_err(), "those without a token count as one");
        audits.end(&namespace(0), &began, AuditEnd::Stopped);
        for number in 2..=NAMESPACES_MAX {
            let began = audits.begin(&namespace(number), run_by(named(0))).expect("room").expect("it runs");
            audits.end(&namespace(number), &began, AuditEnd::Stopped);
        }
        let is_known = |number| audits.of(&namespace(number)).unfinished.is_some();
        assert!(!is_known(0) && (2..=NAMESPACES_MAX).all(is_known), "only the oldest one left");
        assert!(audits.of(&namespace(1)).running.is_some(), "what runs stays");
    }

    #[test]
    fn of_many_findings_the_first_are_kept_and_the_rest_is_counted() {
        let audits = Audits::default();
        let began = audits.begin(&namespace(0), run()).expect("room").expect("it runs");
        let finding =
            |number| Finding { task: "a/b".to_owned(), number: Some(number), what: Tampering::Changed };
        let report =
            VerifyReport { tasks: 1, events: 103, findings: (1..=103).map(finding).collect(), pruned: 0 };
        audits.end(&namespace(0), &began, AuditEnd::Verified(report));
        let verdict = audits.of(&namespace(0)).verdict.expect("a verdict");
        assert_eq!((verdict.findings.len(), verdict.more), (FINDINGS_MAX, 3));
        assert_eq!(verdict.findings[0], "a/b: event 1 was changed");
    }

    #[tokio::test]
    async fn a_change_is_seen_in_its_namespace_only() {
        let audits = Audits::default();
        let before = audits.version(&namespace(0));
        audits.goes_on(&namespace(1));
        assert_eq!(audits.version(&namespace(0)), before);
        audits.goes_on(&namespace(0));
        let after = audits.until_changed(&namespace(0), before).await;
        assert!(after != before && after == audits.version(&namespace(0)));
    }
}
