//! What agents of the fleet leave to undo, as a table, and the handlers for it. Nothing is really there: a handler only answers as
//! one would.

use tenure::core::policy::Backoff;
use tenure::core::refusal::Refusal;
use tenure::core::time::Span;
use tenure::handler::{Handlers, RetryPolicy, UndoCall, UndoError, Undone};

/// How often an undo is tried.
const TRIES: u32 = 4;
/// How long an undo takes.
const UNDO_TIME: std::time::Duration = std::time::Duration::from_millis(400);

/// How an undo goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum UndoCourse {
    /// It works, after that many failed tries.
    WorksAfter(u32),
    /// It fails each time.
    AlwaysFails,
    /// Recovery has no handler for it.
    Unhandled,
}

/// A kind of undo.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct UndoKind {
    pub(super) kind: &'static str,
    /// Why an agent registers it.
    pub(super) reason: &'static str,
    /// The target; `{id}`, `{repo}` and `{pr}` stand for those of the task.
    target: &'static str,
    course: UndoCourse,
    /// The receipt, before the target.
    receipt: &'static str,
    /// The error of a failed try.
    error: &'static str,
}

/// The table.
pub(super) static UNDOS: &[UndoKind] = &[
    UndoKind {
        kind: "remove-worktree",
        reason: "the working copy of this run",
        target: "/srv/worktrees/{id}",
        course: UndoCourse::WorksAfter(0),
        receipt: "removed",
        error: "the directory is in use",
    },
    UndoKind {
        kind: "close-pr",
        reason: "opened by this run",
        target: "{repo}#{pr}",
        course: UndoCourse::WorksAfter(0),
        receipt: "closed",
        error: "the forge answered 503",
    },
    UndoKind {
        kind: "delete-branch",
        reason: "pushed by this run",
        target: "{repo}:agents/{id}",
        course: UndoCourse::WorksAfter(2),
        receipt: "deleted",
        error: "the forge answered 502",
    },
    UndoKind {
        kind: "drop-preview",
        reason: "started for the reviewers",
        target: "preview-{pr}.shop.example",
        course: UndoCourse::AlwaysFails,
        receipt: "stopped",
        error: "the cluster refuses: the namespace is terminating",
    },
    UndoKind {
        kind: "revoke-key",
        reason: "issued for the deployment",
        target: "deploy-key-{pr}",
        course: UndoCourse::Unhandled,
        receipt: "revoked",
        error: "the key store is sealed",
    },
];

impl UndoKind {
    /// What is undone for a task.
    pub(super) fn target(&self, id: &str, repository: &str, pull_request: u64) -> String {
        let target = self.target.replace("{id}", id).replace("{repo}", repository);
        target.replace("{pr}", &pull_request.to_string())
    }

    /// The answer of a try.
    fn answer(&self, call: &UndoCall) -> Undone {
        let works = match self.course {
            UndoCourse::WorksAfter(failures) => call.tries >= failures,
            UndoCourse::AlwaysFails | UndoCourse::Unhandled => false,
        };
        match works {
            true => Ok(format!("{} {}", self.receipt, call.target)),
            false => Err(UndoError::Retryable(self.error.to_owned())),
        }
    }
}

/// A handler for each kind that has one.
pub(super) fn handlers() -> Result<Handlers, Refusal> {
    let retries = RetryPolicy::default().with(|policy| {
        policy.tries = TRIES;
        policy.backoff = Backoff { base: Span::from_millis(500), cap: Span::from_secs(2), ..policy.backoff };
    });
    let handled = UNDOS.iter().filter(|undo| undo.course != UndoCourse::Unhandled);
    handled.into_iter().try_fold(Handlers::new(), |handlers, undo| {
        handlers.with(undo.kind, retries, move |call: UndoCall| async move {
            tokio::time::sleep(UNDO_TIME).await;
            undo.answer(&call)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tenure::core::id::Document;

    use super::*;

    fn call(kind: &UndoKind, tries: u32) -> UndoCall {
        UndoCall {
            key: "default/fix-1/1/1".to_owned(),
            namespace: "default".to_owned(),
            task: "fix-1".to_owned(),
            saga_id: "fix-1".to_owned(),
            seq: 1,
            kind: kind.kind.to_owned(),
            target: kind.target("fix-1", "shop/web", 7),
            reason: None,
            epoch: 2,
            tries,
            labels: BTreeMap::new(),
            payload: Document::null(),
        }
    }

    #[test]
    fn an_undo_goes_as_the_table_says() {
        let answers = |name: &str| {
            let kind = UNDOS.iter().find(|undo| undo.kind == name).expect("a row");
            (0..TRIES).map(|tries| kind.answer(&call(kind, tries)).is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(answers("remove-worktree"), [true; 4]);
        assert_eq!(answers("delete-branch"), [false, false, true, true]);
        assert_eq!(answers("drop-preview"), [false; 4]);
        let kind = &UNDOS[1];
        assert_eq!(kind.answer(&call(kind, 0)), Ok("closed shop/web#7".to_owned()));
    }

    #[test]
    fn there_is_a_handler_for_all_but_the_one_that_nobody_handles() {
        let handlers = handlers().expect("handlers");
        let kinds: Vec<&str> = handlers.kinds().into_iter().map(|kind| kind.as_str()).collect();
        assert_eq!(kinds, ["close-pr", "delete-branch", "drop-preview", "remove-worktree"]);
    }
}
