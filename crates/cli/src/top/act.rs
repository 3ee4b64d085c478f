//! The actions that a person ordered, and what became of each.

use tenure::core::id::{Actor, RequestId, TaskId};
use tenure::core::task::Task;
use tenure::store::Answer;
use tenure::{Error, Ledger};
use tenure_view::offers::{Act, Fields};
use tokio::task::JoinSet;

/// An action, with all that its form said.
pub(super) struct Order {
    pub(super) act: Act,
    pub(super) task: Task,
    pub(super) fields: Fields,
    /// An order that is given again is the same command.
    pub(super) request: String,
}

/// An order that was given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) act: Act,
    pub(super) task: TaskId,
    pub(super) request: String,
}

/// An order with its answer.
pub(super) struct Done {
    pub(super) given: Given,
    /// The task to show then, which is the new one after a retry; or why it was not done.
    pub(super) outcome: Result<TaskId, Error>,
}

impl Order {
    async fn give(self, ledger: Ledger, actor: Actor) -> Result<TaskId, Error> {
        let Order { act, task, fields, request } = self;
        let request = RequestId::new(request.as_str())?;
        let by = (Some(actor), Some(request));
        let commands = act.commands_for(&task, &fields, by, ledger.entropy())?;
        let answers: Vec<Answer> = ledger.transact(commands).await.into_iter().collect::<Result<_, _>>()?;
        let none = || Error::Unknown("the store gave no answer".into());
        Ok(match answers.into_iter().next().ok_or_else(none)? {
            // The first is the new task.
            Answer::Task(after) | Answer::Retried(after, _) => after.id,
            Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_) => task.id,
        })
    }
}

/// The orders that were given, each until its answer comes.
pub(super) struct Orders {
    ledger: Ledger,
    actor: Actor,
    given: Vec<Given>,
    answers: JoinSet<Done>,
}

impl Orders {
    pub(super) fn by(actor: Actor, ledger: Ledger) -> Orders {
        Orders { ledger, actor, given: Vec::new(), answers: JoinSet::new() }
    }

    pub(super) fn give(&mut self, order: Order) {
        let given = Given { act: order.act, task: order.task.id.clone(), request: order.request.clone() };
        self.given.push(given.clone());
        let (ledger, actor) = (self.ledger.clone(), self.actor.clone());
        self.answers.spawn(async move { Done { given, outcome: order.give(ledger, actor).await } });
    }

    /// Those that have no answer yet.
    pub(super) fn unanswered(&self) -> &[Given] {
        &self.given
    }

    /// The next answer; while nothing is waited for, none comes. Cancelling this future loses none.
    pub(super) async fn next(&mut self) -> Done {
        loop {
            match self.answers.join_next().await {
                Some(Ok(done)) => {
                    self.given.retain(|given| given.request != done.given.request);
                    return done;
                }
                // One that broke off stays among those without an answer.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}
