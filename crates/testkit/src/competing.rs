//! A competing connection to the same database, which holds a lock that the store needs. So a test can play a race
//! between two transactions in one fixed order.

use tokio_postgres::{Client, NoTls, Row};

use crate::server::Server;
use crate::waiting::until_asked;

/// A connection with nothing of Tenure in it, and a second one that watches: inside a transaction the server's own views
/// stand still.
pub struct CompetingConnection {
    client: Client,
    watcher: Client,
    schema: String,
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a rival connects");
    tokio::spawn(connection);
    client
}

impl CompetingConnection {
    /// As the role that owns the schema.
    pub async fn of(server: &Server, schema: &str) -> CompetingConnection {
        CompetingConnection::at(&server.url(schema).replace(&format!("?schema={schema}"), ""), schema).await
    }

    /// As a superuser.
    pub async fn superuser(server: &Server, schema: &str) -> CompetingConnection {
        CompetingConnection::at(&server.superuser_url(), schema).await
    }

    /// By a URL of its own.
    pub async fn at(url: &str, schema: &str) -> CompetingConnection {
        let (client, watcher) = (connect(url).await, connect(url).await);
        CompetingConnection { client, watcher, schema: schema.to_owned() }
    }

    /// The client itself.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn in_schema(&self, sql: &str) -> String {
        sql.replace("tenure.", &format!("{}.", self.schema))
    }

    /// Executes statements; `tenure.` stands for the schema.
    pub async fn does(&self, sql: &str) {
        self.client.batch_execute(&self.in_schema(sql)).await.expect(sql);
    }

    /// The same if the server may refuse it; then nothing of it was done.
    pub async fn tries(&self, sql: &str) -> bool {
        self.client.batch_execute(&self.in_schema(sql)).await.is_ok()
    }

    /// The schema that `tenure.` stands for.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// What the server says to statements that it must refuse.
    pub async fn is_refused(&self, sql: &str) -> String {
        let error = self.client.batch_execute(&self.in_schema(sql)).await.expect_err(sql);
        error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
    }

    /// Rows of a query, as they are committed.
    pub async fn sees(&self, sql: &str) -> Vec<Row> {
        self.watcher.query(&self.in_schema(sql), &[]).await.expect(sql)
    }

    /// One number.
    pub async fn counts(&self, sql: &str) -> i64 {
        self.sees(sql).await.first().expect("a row").get(0)
    }

    /// Waits until a query gives that number.
    pub async fn waits_until(&self, sql: &str, expected: i64) {
        until_asked(&format!("that {sql} is {expected}"), async || self.counts(sql).await == expected).await;
    }
}
