//! Examines a store: what is wrong, and the command that mends it. It changes nothing, also where there is no store.
//!
//! [`examine`] opens the store to read only and reads the facts. The checks are plain functions from [`Facts`] to what they found, so
//! a program that has the facts can make them itself: [`diagnose`]. From where on something is wrong is in [`thresholds`].

mod facts;
mod gather;
mod opening;
mod options;
mod outcome;
mod place_checks;
mod record_checks;
#[cfg(test)]
mod tests;
pub mod thresholds;
mod undo_section;
mod work_checks;

use tenure_clock::Clock;

use crate::ledger::LedgerBuilder;
use opening::Opened;

pub use facts::{
    AbsentNamespace, AnchorFacts, AnchorLook, ChainFacts, ClockFacts, Facts, LateFacts, LateTask,
    NamespaceFacts, ReadTasks, RecoverySettings, RootComparison, StoreKind, TaskName,
};
pub use options::{CheckDepth, DoctorAnchor, DoctorOptions};
pub use outcome::CheckOutcome;
pub use place_checks::place_checks;
pub use record_checks::record_checks;
pub use tenure_api::doctor::{CheckName, CheckResult, Diagnosis, SkippedCheck, Verdict};
pub use work_checks::work_checks;

/// Examines the store at that URL. `clock` is this machine's. Whatever is wrong is in the diagnosis; there is no error.
pub async fn examine(
    builder: LedgerBuilder,
    url: &str,
    clock: &dyn Clock,
    options: &DoctorOptions,
) -> Diagnosis {
    let (mut outcomes, opened) = opening::open(builder, url).await;
    let Some(Opened { ledger, kind, shown, backup }) = opened else { return diagnosis(outcomes) };
    match gather::gather(&ledger, (kind, shown.clone()), clock, options).await {
        Ok(facts) => outcomes.extend(diagnose(&Facts { backup, ..facts })),
        // It was opened, and can't be read.
        Err(error) => outcomes = opening::unusable(kind, &shown, &error),
    }
    diagnosis(outcomes)
}

/// Every check of facts that were read.
pub fn diagnose(facts: &Facts) -> Vec<CheckOutcome> {
    let of_content = [record_checks(facts), work_checks(facts)].concat().into_iter();
    let of_content: Vec<_> = match facts.is_damaged() {
        false => of_content.collect(),
        // Rows on a damaged page are not seen: what is left of a history holds, and of the tasks perhaps none is read.
        true => of_content
            .map(|outcome| outcome.unproven("the file is damaged, so what can still be read proves nothing"))
            .collect(),
    };
    let all = [place_checks(facts), of_content].concat();
    match facts.backup {
        None => all,
        Some(_) => all.into_iter().map(CheckOutcome::in_backup).collect(),
    }
}

/// All outcomes as one, the worst first.
pub fn diagnosis(outcomes: Vec<CheckOutcome>) -> Diagnosis {
    let (mut checks, mut skipped) = (Vec::new(), Vec::<SkippedCheck>::new());
    for outcome in outcomes {
        match outcome {
            CheckOutcome::Made(check) => checks.push(check),
            CheckOutcome::Skipped(check) => skipped.push(check),
        }
    }
    Diagnosis::new(checks, skipped)
}
