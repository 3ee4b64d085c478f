//! An action that a person ordered, and what became of it.

use tenure::core::id::{Actor, RequestId, TaskId};
use tenure::core::task::Task;
use tenure::store::Answer;
use tenure::{Error, Ledger};
use tenure_view::offers::{Act, Fields};

/// An action, with all that its form said.
pub(super) struct Order {
    pub(super) act: Act,
    pub(super) task: Task,
    pub(super) fields: Fields,
    /// An order that is given again is the same command.
    pub(super) request: String,
}

/// What became of it.
pub(super) enum Done {
    /// It was done. The task to show then is the new one after a retry.
    Did { act: Act, task: TaskId, then: TaskId },
    /// It was not; whether the same order may be given again as the same command.
    Not { request: String, error: String, is_same_command: bool },
}

impl Order {
    pub(super) async fn give(self, ledger: &Ledger, actor: Actor) -> Done {
        let Order { act, task, fields, request } = self;
        let answer = async {
            let request = RequestId::new(request.as_str())?;
            let by = (Some(actor), Some(request));
            let command = act.command_for(&task, &fields, by, ledger.entropy())?;
            let none = || Err(Error::Unknown("the store gave no answer".into()));
            ledger.transact(vec![command]).await.pop().unwrap_or_else(none)
        };
        match answer.await {
            // The first is the new task.
            Ok(Answer::Task(after) | Answer::Retried(after, _)) => {
                Done::Did { act, task: task.id, then: after.id }
            }
            Ok(Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_)) => {
                Done::Did { act, then: task.id.clone(), task: task.id }
            }
            Err(error) => {
                let is_same_command = matches!(error, Error::Unavailable(_) | Error::Unknown(_));
                Done::Not { request, error: error.to_string(), is_same_command }
            }
        }
    }
}
