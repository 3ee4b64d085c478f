//! The statements of one transaction, each looked up once in the connection's cache.

use rusqlite::{CachedStatement, Connection, Params};

use crate::columns::{SqliteError, SqliteResult};

/// Prepared statements by their texts. A batch runs the same few again and again, and to find one by its address costs less
/// than to hash its text.
pub(crate) struct Statements<'c> {
    connection: &'c Connection,
    prepared: Vec<(&'static str, CachedStatement<'c>)>,
}

impl<'c> Statements<'c> {
    pub(crate) fn of(connection: &'c Connection) -> Statements<'c> {
        Statements { connection, prepared: Vec::with_capacity(16) }
    }

    /// The statement of that text.
    pub(crate) fn get(&mut self, sql: &'static str) -> SqliteResult<&mut CachedStatement<'c>> {
        let at = match self.prepared.iter().position(|(text, _)| std::ptr::eq(*text, sql)) {
            Some(at) => at,
            None => {
                self.prepared.push((sql, self.connection.prepare_cached(sql)?));
                self.prepared.len() - 1
            }
        };
        Ok(&mut self.prepared[at].1)
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: impl Params) -> SqliteResult<usize> {
        Ok(self.get(sql)?.execute(params)?)
    }

    /// A change of exactly one row; anything else means that the row was not what was read, and nothing may be written.
    pub(crate) fn change_one(&mut self, sql: &'static str, params: impl Params) -> SqliteResult<()> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            count => Err(SqliteError::Broken(format!("{count} rows were changed instead of one: {sql}"))),
        }
    }
}
