//! What commands came to, read back.

use serde::Deserialize;
use tenure_core::time::Time;

use super::{ErrorShape, RefusalShape, SaidShape, Shape, TaskShape, values};
use crate::error::Error;
use crate::store::{Answer, Renewal};
use crate::wire::Wired;

/// What a heartbeat or a progress is told.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Renewal))]
pub struct RenewalShape {
    /// When it was renewed, or looked at, by the store's clock.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: Wired<Time>,
    /// When the lease ends now.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expires_at: Wired<Time>,
    /// Whether somebody asked for the task to stop.
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
    /// The task afterwards; after a retry the new one.
    task: Option<Box<TaskShape>>,
    /// What a claim was granted.
    tasks: Option<Vec<TaskShape>>,
    /// What a heartbeat or a progress is told.
    renewal: Option<RenewalShape>,
    /// The old task, after a retry.
    retried: Option<Box<TaskShape>>,
    /// The expected "no".
    refusal: Option<RefusalShape>,
    /// Surely not done.
    unavailable: Option<SaidShape>,
    /// What is stored contradicts itself; nothing was done.
    corrupt: Option<SaidShape>,
    /// Maybe done.
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
            (_, _, _, _) => return Err("an answer that is none of those known here".into()),
        }))
    }
}

/// What each of many commands came to, in their order.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Answers))]
pub struct AnswersShape {
    /// One for each command.
    answers: Vec<AnswerShape>,
}

impl Shape for AnswersShape {
    type Value = Vec<Result<Answer, Error>>;

    fn value(self) -> Result<Self::Value, String> {
        values(self.answers)
    }
}
