//! The builder of one command. Methods refine and check it; awaiting it sends it.

use std::marker::PhantomData;

use tenure_core::command::{Action, Command, LeaseScope};
use tenure_core::id::{Actor, RequestId};
use tenure_core::limit::InvalidField;
use tenure_core::refusal::Refusal;
use tenure_core::task::Task;
use tenure_store::{Answer, BoxFuture, Error, Renewal};

use crate::ledger::Ledger;

/// A kind of command and the type of its answer.
pub trait Verb: 'static {
    /// The answer to the caller.
    type Done: FromAnswer + Send;
}

/// Converts a store's answer for the caller.
pub trait FromAnswer: Sized {
    /// Its part of the answer; none if the store answered something else.
    fn from_answer(answer: Answer) -> Option<Self>;
}

impl FromAnswer for Task {
    fn from_answer(answer: Answer) -> Option<Task> {
        match answer {
            Answer::Task(task) | Answer::Retried(task, _) => Some(*task),
            Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_) => None,
        }
    }
}

impl FromAnswer for Vec<Task> {
    fn from_answer(answer: Answer) -> Option<Vec<Task>> {
        match answer {
            Answer::Claimed(tasks) => Some(tasks),
            Answer::Task(_) | Answer::Retried(..) | Answer::Renewed(_) | Answer::Minimal(_) => None,
        }
    }
}

impl FromAnswer for Renewal {
    fn from_answer(answer: Answer) -> Option<Renewal> {
        match answer {
            Answer::Renewed(renewal) => Some(renewal),
            Answer::Task(_) | Answer::Claimed(_) | Answer::Retried(..) | Answer::Minimal(_) => None,
        }
    }
}

/// A command that is sent when it is awaited. Invalid arguments are reported then, too.
#[must_use = "a command is sent only when it is awaited"]
pub struct Call<V> {
    ledger: Ledger,
    action: Result<Action, Refusal>,
    actor: Result<Option<Actor>, InvalidField>,
    request: Result<Option<RequestId>, InvalidField>,
    verb: PhantomData<fn() -> V>,
}

impl<V: Verb> Call<V> {
    pub(crate) fn new(ledger: &Ledger, action: Result<Action, Refusal>) -> Call<V> {
        let actor = Ok(ledger.actor.clone());
        Call { ledger: ledger.clone(), action, actor, request: Ok(None), verb: PhantomData }
    }

    /// Sets the request id: a repeat within 7 days gets the first answer again and is not executed. Refusals
    /// are not remembered: a repeat of a refused command may be done. Heartbeats and progress need no request
    /// id, and ignore it; repeating them has no further effect.
    pub fn request_id(mut self, id: &str) -> Self {
        self.request = RequestId::new(id).map(Some);
        self
    }

    /// The actor, if it is not the ledger's actor or the owner of the lease.
    pub fn acting_as(mut self, actor: &str) -> Self {
        self.actor = Actor::named("as", actor).map(Some);
        self
    }

    /// The command itself, to send many with [`Ledger::transact`].
    pub fn command(self) -> Result<Command, Error> {
        let action = self.action?;
        let actor = self.actor?.or_else(|| action.actor()).unwrap_or_else(Actor::anonymous);
        let namespace = self.ledger.namespace.clone();
        let jitter = self.ledger.entropy.jitter();
        Ok(Command { namespace, actor, request: self.request?, jitter, lease_scope: LeaseScope::Any, action })
    }

    /// A call that sends a command which was made elsewhere, such as one read from JSON. The store's answer must be that of the verb.
    #[doc(hidden)]
    pub fn of_command(ledger: &Ledger, command: Command) -> Call<V> {
        let Command { namespace, actor, request, action, .. } = command;
        let ledger = Ledger { namespace, ..ledger.clone() };
        Call { ledger, action: Ok(action), actor: Ok(Some(actor)), request: Ok(request), verb: PhantomData }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn change(mut self, change: impl FnOnce(&mut Action) -> Result<(), Refusal>) -> Self {
        if let Ok(action) = &mut self.action
            && let Err(refusal) = change(action)
        {
            self.action = Err(refusal);
        }
        self
    }
}

impl<V: Verb> IntoFuture for Call<V> {
    type Output = Result<V::Done, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let ledger = self.ledger.clone();
        let command = self.command();
        Box::pin(async move { send(&ledger, command?).await })
    }
}

/// Sends one command, and takes its part of the answer.
pub(crate) async fn send<D: FromAnswer>(ledger: &Ledger, command: Command) -> Result<D, Error> {
    let answer = ledger.store.transact(vec![command]).await.pop();
    let answer = answer.unwrap_or_else(|| Err(Error::Unknown("the store gave no answer".into())))?;
    D::from_answer(answer)
        .ok_or_else(|| Error::Unknown("the store's answer is for another kind of command".into()))
}
