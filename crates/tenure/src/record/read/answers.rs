//! Reads answers to commands.

use serde::Deserialize;
use tenure_core::time::Time;

use super::{ErrorShape, RefusalShape, SaidShape, Shape, TaskShape, values};
use crate::error::Error;
use crate::store::{Answer, Renewal};
use crate::wire::Wired;

/// The answer to a heartbeat or a progress.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Renewal))]
pub struct RenewalShape {
    /// When it was renewed or read, by the store's clock.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// When the lease ends now.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expires_at: Wired<Time>,
    /// Whether a cancel was asked for.
    cancel: bool,
}

impl Shape for RenewalShape {
    type Value = Renewal;

    fn value(self) -> Result<Renewal, String> {
        Ok(Renewal { at: self.at.0, expires_at: self.expires_at.0, cancel_asked: self.cancel })
    }
}

/// What a command came to: one of a task, tasks, a renewal, or why not; with the old task besides, after a retry.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Answer))]
pub struct AnswerShape {
    /// The task after the command; after a retry, the new task.
    task: Option<Box<TaskShape>>,
    /// The tasks that a claim was granted.
    tasks: Option<Vec<TaskShape>>,
    /// The answer to a heartbeat or a progress.
    renewal: Option<RenewalShape>,
    /// The old task, after a retry.
    retried: Option<Box<TaskShape>>,
    /// The refusal.
    refusal: Option<RefusalShape>,
    /// The command was not done; it can be tried again.
    unavailable: Option<SaidShape>,
    /// The stored data is inconsistent; nothing was done.
    corrupt: Option<SaidShape>,
    /// It is unknown whether the command was done.
    unknown: Option<SaidShape>,
}

impl Shape for AnswerShape {
    type Value = Result<Answer, Error>;

    fn value(self) -> Result<Result<Answer, Error>, String> {
        let not = self.refusal.map(ErrorShape::Refusal);
        let not = not.or(self.unavailable.map(ErrorShape::Unavailable));
        let not = not.or(self.corrupt.map(ErrorShape::Corrupt));
        if let Some(not) = not.or(self.unknown.map(ErrorShape::Unknown)) {
            return Ok(Err(not.value()?));
        }
        Ok(Ok(match (self.task, self.retried, self.tasks, self.renewal) {
            (Some(task), None, None, None) => Answer::Task(Box::new(task.value()?)),
            (Some(new), Some(old), None, None) => {
                Answer::Retried(Box::new(new.value()?), Box::new(old.value()?))
            }
            (None, None, Some(tasks), None) => Answer::Claimed(values(tasks)?),
            (None, None, None, Some(renewal)) => Answer::Renewed(renewal.value()?),
            (_, _, _, _) => return Err("an unknown kind of answer".into()),
        }))
    }
}

/// The answers to many commands, in order.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Answers))]
pub struct AnswersShape {
    /// One answer for each command.
    answers: Vec<AnswerShape>,
}

impl Shape for AnswersShape {
    type Value = Vec<Result<Answer, Error>>;

    fn value(self) -> Result<Self::Value, String> {
        values(self.answers)
    }
}
