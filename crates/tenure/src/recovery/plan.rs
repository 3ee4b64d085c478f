//! Shows what recovery would do now, without doing it.

use tenure_api::recovery::{PlannedTask, PlannedUndo};
use tenure_core::task::{State, Task};
use tenure_store::Error;
use tenure_store::watch::Watchers;

use super::assess::{due_at, unfit};
use super::setup::{PAGE, Setup};
use crate::why::{reclaimed, why};

pub(super) async fn plan(setup: &Setup, mut each: impl FnMut(PlannedTask) + Send) -> Result<(), Error> {
    let store = setup.ledger.store();
    let mut after = None;
    loop {
        let page = store.lapsed(after, PAGE).await?;
        for (namespace, id) in page.tasks {
            if setup.options.namespace.as_ref().is_some_and(|only| *only != namespace) {
                continue;
            }
            let Some(task) = store.task(namespace, id).await? else { continue };
            let now = store.now().await?;
            let Some(due_at) = due_at(&task).filter(|due_at| *due_at <= now) else { continue };
            let Some(then) = reclaimed(&task, now) else { continue };
            let unfit = unfit(&then, &setup.handlers);
            let is_undone = then.state() == State::Compensating && unfit.is_empty();
            let undo = then.owed().filter(|_| is_undone).map(|owed| PlannedUndo {
                seq: owed.seq.0,
                kind: owed.undo.kind.to_string(),
                target: owed.undo.target.to_string(),
                tries: owed.tries,
            });
            let parked = (then.state() == State::Compensating && !unfit.is_empty())
                .then(|| super::assess::parking(&unfit).1);
            let watchers = match &parked {
                Some(_) => store.watchers(task.namespace.clone()).await?,
                None => Watchers::default(),
            };
            let parked = parked.map(|words| match others(&then, &watchers) {
                Some(others) => format!("{words}; {others}"),
                None => words,
            });
            each(PlannedTask {
                namespace: task.namespace.clone(),
                task: task.id.clone(),
                state: task.state(),
                due_at,
                becomes: if parked.is_some() { State::Quarantined } else { then.state() },
                undo: undo.collect(),
                parked_reason: parked,
                sentence: why(&task, now).words,
            });
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Other recovery processes that handle everything that the task owes, and would undo it.
fn others(task: &Task, watchers: &Watchers) -> Option<String> {
    let handlers: Option<Vec<&str>> =
        task.owed().map(|owed| watchers.handler_of(&owed.undo.kind).map(|one| one.name.as_str())).collect();
    let mut handlers = handlers?;
    handlers.sort_unstable();
    handlers.dedup();
    let all = handlers.join(", ");
    (!all.is_empty()).then(|| {
        format!("{all} runs recovery for this store and handles it: leave the task to it, or configure the same handlers here")
    })
}
