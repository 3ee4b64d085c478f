//! One connection: its prepared statements, and pipelining, which sends several statements before the first answer.
//!
//! Statements are executed in the order in which they were sent. Each has its own snapshot of the tables.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Statement};

use crate::columns::{PostgresError, PostgresResult, PostgresRow};
use crate::libpq::Driver;
use crate::settings::PostgresSettings;

/// How long an answer may take. A statement waits for locks for less; a commit may wait for a standby.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A parameter of a statement.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// A connection to the database.
pub(crate) struct Link {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    settings: PostgresSettings,
    warnings: Warnings,
}

/// The server's warnings that were not handled yet.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn push(&self, warning: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Moves messages between the connection and its users until it ends, and keeps the warnings among them.
pub(crate) async fn drive(mut driver: Driver, warnings: Warnings, mut notified: impl FnMut(&str)) {
    while let Some(Ok(message)) = std::future::poll_fn(|cx| driver.poll_message(cx)).await {
        if let AsyncMessage::Notification(notification) = message {
            notified(notification.payload());
        } else if let AsyncMessage::Notice(notice) = message
            // The word that is shown is in the server's language.
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            warnings.push(notice.to_string());
        }
    }
}

impl Link {
    /// Connects, on the runtime that the caller runs on.
    pub(crate) async fn connect(settings: &PostgresSettings) -> PostgresResult<Link> {
        let (client, driver) = settings.database.connect().await?;
        let warnings = Warnings::default();
        tokio::spawn(drive(driver, warnings.clone(), |_| {}));
        Ok(Link { client, prepared: HashMap::new(), settings: settings.clone(), warnings })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Has the statements ready, so that sending them later waits for nothing.
    pub(crate) async fn prepare(&mut self, statements: &[&'static str]) -> PostgresResult<()> {
        for sql in statements {
            if !self.prepared.contains_key(sql) {
                let statement = answered(self.client.prepare(&self.settings.schema.in_sql(sql))).await?;
                self.prepared.insert(sql, statement);
            }
        }
        Ok(())
    }

    /// Sends a statement that was prepared.
    pub(crate) fn send<'a>(
        &'a self,
        sql: &'static str,
        parameters: &'a [Parameter<'a>],
    ) -> Sent<'a, Vec<PostgresRow>> {
        Sent::new(async move {
            let statement = self.prepared.get(sql).ok_or_else(|| {
                PostgresError::Broken(format!("a statement was sent before it was prepared: {sql}"))
            })?;
            Ok(PostgresRow::all(self.client.query(statement, parameters).await?))
        })
    }

    /// Asks something that is asked once: prepared, and not kept.
    pub(crate) async fn once(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> PostgresResult<Vec<PostgresRow>> {
        let rows = answered(self.client.query(&self.settings.schema.in_sql(sql), parameters)).await?;
        Ok(PostgresRow::all(rows))
    }

    /// Prepares a statement that is often asked, and asks it.
    pub(crate) async fn ask(
        &mut self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> PostgresResult<Vec<PostgresRow>> {
        self.prepare(&[sql]).await?;
        self.send(sql, parameters).answer().await
    }

    /// Sends statements without parameters.
    pub(crate) fn send_plain<'a>(&'a self, sql: &'a str) -> Sent<'a, ()> {
        Sent::new(async move { Ok(self.client.batch_execute(sql).await?) })
    }

    /// What the server warned of since the last time.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}

/// A statement on its way. It was sent when this was made; its answer is waited for later.
pub(crate) struct Sent<'a, T> {
    answer: Option<PostgresResult<T>>,
    coming: Pin<Box<dyn Future<Output = PostgresResult<T>> + Send + 'a>>,
}

impl<'a, T> Sent<'a, T> {
    fn new(coming: impl Future<Output = PostgresResult<T>> + Send + 'a) -> Sent<'a, T> {
        let mut coming: Pin<Box<dyn Future<Output = PostgresResult<T>> + Send + 'a>> = Box::pin(coming);
        // The first look at such a future puts the message into the connection's queue.
        let answer = match coming.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        };
        Sent { answer, coming }
    }

    /// Whether it could not even be sent, as when it is longer than a message may be.
    pub(crate) fn was_not_sent(&self) -> bool {
        matches!(self.answer, Some(Err(_)))
    }

    /// Waits for the answer.
    pub(crate) async fn answer(self) -> PostgresResult<T> {
        match self.answer {
            Some(answer) => answer,
            None => answered(self.coming).await,
        }
    }
}

async fn answered<T, E>(coming: impl Future<Output = Result<T, E>>) -> PostgresResult<T>
where
    PostgresError: From<E>,
{
    match tokio::time::timeout(ANSWER_MAX, coming).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(PostgresError::Silent(ANSWER_MAX)),
    }
}
