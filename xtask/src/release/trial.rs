//! Trials of what was made: each did what it should, failed, or was not run for a reason.

use crate::run::Result;

use super::tool;

/// A trial and how it ended.
pub(super) struct Trial {
    what: &'static str,
    outcome: TrialOutcome,
}

/// How a trial ended, in words.
pub(super) enum TrialOutcome {
    Passed(String),
    NotRun(String),
    Failed(String),
}

impl Trial {
    /// An error of a trial is a failure.
    pub(super) fn of(what: &'static str, outcome: Result<TrialOutcome>) -> Trial {
        Trial { what, outcome: outcome.unwrap_or_else(|why| TrialOutcome::Failed(why.to_string())) }
    }

    /// For a person, in one line unless it failed.
    pub(super) fn line(&self) -> String {
        match &self.outcome {
            TrialOutcome::Passed(said) => format!("ok: {}: {said}", self.what),
            TrialOutcome::NotRun(why) => format!("not run: {}: {why}", self.what),
            TrialOutcome::Failed(why) => format!("FAILED: {}: {why}", self.what),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.outcome, TrialOutcome::Failed(_))
    }
}

/// A trial by a program that may be missing.
pub(super) fn with_tool(program: &str, trial: impl FnOnce() -> Result<String>) -> Result<TrialOutcome> {
    if !tool::is_installed(program) {
        return Ok(TrialOutcome::NotRun(format!("{program} is not installed")));
    }
    trial().map(TrialOutcome::Passed)
}

/// A trial that changes to another root or another user.
pub(super) fn as_root(program: &str, trial: impl FnOnce() -> Result<String>) -> Result<TrialOutcome> {
    if !tool::is_root() {
        return Ok(TrialOutcome::NotRun("it needs root".to_owned()));
    }
    with_tool(program, trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_said_and_is_no_failure() {
        let missing = with_tool("no-such-program-anywhere", || Ok("ran".to_owned()));
        let trial = Trial::of("lint", missing);
        assert_eq!(trial.line(), "not run: lint: no-such-program-anywhere is not installed");
        assert!(!trial.has_failed());
        let passes = Trial::of("shell", with_tool("sh", || Ok("ran".to_owned())));
        assert_eq!(passes.line(), "ok: shell: ran");
    }

    #[test]
    fn an_error_fails_the_trial() {
        let trial = Trial::of("sums", with_tool("sh", || Err("they differ".into())));
        assert!(trial.has_failed());
        assert_eq!(trial.line(), "FAILED: sums: they differ");
    }
}
