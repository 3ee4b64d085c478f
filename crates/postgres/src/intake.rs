//! Creates a task inside a caller's own transaction: the task exists if and only if that transaction commits.
//!
//! The transaction reserves the ids and leaves a record in `intake`. The next reader asks a committer to create the
//! task from it, by the same rules as any other task. A periodic check of `store` bounds how long that takes.

use tenure_api::put::create_json;
use tenure_core::command::{Action, Command};
use tenure_core::id::TaskId;
use tenure_core::refusal::{Code, Refusal};
use tenure_store::Error;
use tokio_postgres::error::SqlState;

use crate::columns::PostgresError;
use crate::store::PostgresStore;
use crate::transaction::{CallerTransaction, StatementError};

const TAKE_IN: &str = "select tenure.take_in($1, $2, $3, $4, $5, $6)";

impl PostgresStore {
    /// Creates a task inside the caller's own transaction, which must be in the database of this store, by a role that may
    /// use its schema. A refusal leaves it as it was, because it is asked in a nested one.
    pub async fn create_in(
        &self,
        transaction: &dyn CallerTransaction,
        command: Command,
    ) -> Result<TaskId, Error> {
        let Command { namespace, actor, request, action, .. } = command;
        if request.is_some() {
            let limit = "not allowed for a task created in a transaction; give the task an id instead";
            return Err(Refusal::invalid("request_id", limit).into());
        }
        action.check()?;
        let Action::Create(create) = action else {
            return Err(Refusal::invalid("task", "give a task to create").into());
        };
        let record = create_json(&create);
        let id = create.task.clone();
        let saga_id = create.saga_id.as_ref().map_or(id.as_str(), |saga_id| saga_id.as_str());
        let take_in = self.database.settings.schema.in_sql(TAKE_IN);
        let nested = |sql: &'static str| transaction.run(sql);
        let failed = |error: StatementError| self.failed(error);
        nested("savepoint tenure_create").await.map_err(failed)?;
        let taken = transaction
            .run_with(
                &take_in,
                &[namespace.as_str(), id.as_str(), saga_id, create.queue.as_str(), actor.as_str(), &record],
            )
            .await;
        match taken {
            Ok(_) => {
                nested("release savepoint tenure_create").await.map_err(failed)?;
                Ok(id)
            }
            Err(error) if error.code() == Some(SqlState::UNIQUE_VIOLATION.code()) => {
                nested("rollback to savepoint tenure_create; release savepoint tenure_create")
                    .await
                    .map_err(failed)?;
                Err(Refusal::new(Code::Exists, "a task or saga with that id already exists").into())
            }
            Err(error) => {
                // The connection may be gone; then there is nothing to go back to.
                let _ = nested("rollback to savepoint tenure_create").await;
                let error = self.failed(error);
                // To repeat does not help where stored data is corrupt.
                let repeat = if matches!(error, Error::Unavailable(_)) { " and repeat it" } else { "" };
                Err(error.with_advice(&format!("; roll back the whole transaction{repeat}")))
            }
        }
    }

    fn failed(&self, error: StatementError) -> Error {
        PostgresError::InTransaction(error).surely_not_done(&self.database.shown())
    }
}
