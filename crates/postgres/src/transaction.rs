//! A caller's own transaction, with whatever client library it has.

use std::error::Error;
use std::fmt;

use tenure_store::BoxFuture;
use tenure_store::causes::with_causes;

/// An open transaction of the caller, in which a task can be created.
///
/// With the feature `with-tokio-postgres-0_7` the transactions and clients of `tokio-postgres` 0.7 are such. For other client
/// libraries implement it for a type of your own; if they need `&mut` to run a statement, keep theirs in a mutex.
pub trait CallerTransaction: Sync {
    /// Runs statements that have no parameters and give no rows.
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), StatementError>>;

    /// Runs one statement whose parameters are texts, and leaves out its rows.
    fn run_with<'a>(
        &'a self,
        sql: &'a str,
        parameters: &'a [&'a str],
    ) -> BoxFuture<'a, Result<(), StatementError>>;
}

/// Why a statement in a caller's transaction failed.
#[derive(Debug)]
pub struct StatementError {
    code: Option<String>,
    source: Box<dyn Error + Send + Sync>,
}

impl StatementError {
    /// The error of a client library, with the code that the server gave it (SQLSTATE), if it came from the server.
    pub fn new(code: Option<&str>, source: impl Into<Box<dyn Error + Send + Sync>>) -> StatementError {
        StatementError { code: code.map(str::to_owned), source: source.into() }
    }

    /// The code of the server: none if the connection failed.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// What the client library says.
impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self.source.as_ref()))
    }
}

impl Error for StatementError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(feature = "with-tokio-postgres-0_7")]
mod with_tokio_postgres {
    use tokio_postgres::types::ToSql;
    use tokio_postgres::{Client, GenericClient, Transaction};

    use super::*;

    fn failed(error: tokio_postgres::Error) -> StatementError {
        let code = error.code().map(|code| code.code().to_owned());
        StatementError::new(code.as_deref(), error)
    }

    async fn run(client: &impl GenericClient, sql: &str) -> Result<(), StatementError> {
        client.batch_execute(sql).await.map_err(failed)
    }

    async fn run_with(
        client: &impl GenericClient,
        sql: &str,
        parameters: &[&str],
    ) -> Result<(), StatementError> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
        client.query(sql, &parameters).await.map(drop).map_err(failed)
    }

    macro_rules! callers {
        ($($client:ty),*) => { $(
            impl CallerTransaction for $client {
                fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), StatementError>> {
                    Box::pin(run(self, sql))
                }

                fn run_with<'a>(
                    &'a self,
                    sql: &'a str,
                    parameters: &'a [&'a str],
                ) -> BoxFuture<'a, Result<(), StatementError>> {
                    Box::pin(run_with(self, sql, parameters))
                }
            }
        )* };
    }
    callers!(Client, Transaction<'_>);
}
