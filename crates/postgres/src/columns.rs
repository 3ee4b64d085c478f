//! PostgreSQL's rows for [`tenure_store::columns`], and the faults of this store.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use tenure_core::event::Subject;
use tenure_core::id::{Namespace, TaskId};
use tenure_core::limit::InvalidField;
use tenure_store::causes::with_causes;
use tenure_store::columns::{DueRow, Impossible, Row, column_count};
use tenure_store::stored::ColumnValue;
use tenure_store::{Error, Failure};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::libpq::ConnectError;
use crate::transaction::StatementError;

/// Why a statement failed: the server reported an error, did not answer, or returned an impossible value.
#[derive(Debug)]
pub(crate) enum PostgresError {
    Postgres(tokio_postgres::Error),
    /// It could not be connected to.
    Connecting(ConnectError),
    /// The server or its schema is not one that this program can use.
    Unfit(String),
    /// The server has not answered for this long.
    Silent(Duration),
    /// Another one was faster between a look and a write. Nothing was committed, and a second look will show it.
    Again(&'static str),
    /// A task that was created in a caller's transaction is invalid.
    CanNotBeMade(Box<Key>, String),
    /// A statement failed in the transaction of a caller.
    InTransaction(StatementError),
    Broken(String),
}

pub(crate) type PostgresResult<T> = Result<T, PostgresError>;

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> PostgresError {
        PostgresError::Postgres(error)
    }
}

/// A stored name that breaks its limits: somebody else wrote it.
impl From<InvalidField> for PostgresError {
    fn from(invalid: InvalidField) -> PostgresError {
        PostgresError::Broken(format!("a stored value is invalid: {invalid}"))
    }
}

impl From<ConnectError> for PostgresError {
    fn from(error: ConnectError) -> PostgresError {
        PostgresError::Connecting(error)
    }
}

impl From<Impossible> for PostgresError {
    fn from(Impossible(what): Impossible) -> PostgresError {
        PostgresError::Broken(what)
    }
}

/// What the server said of a statement that failed.
#[derive(Debug)]
struct ServerError {
    message: String,
    code: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.message, self.code)
    }
}

impl StdError for ServerError {}

/// What a fault means for a transaction that was not committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// To repeat the transaction can succeed.
    Again,
    /// To repeat it on a new connection can succeed.
    Reconnect,
    /// A claim skipped tasks that others had locked, and found too few.
    PassedOver,
    /// Somebody else's transaction holds a lock for too long.
    Blocked,
    /// To repeat it can't succeed.
    Final,
}

/// A statement of ours found another number of rows than had been read, or a guard of the tables refused it.
const BROKEN_RULES: [&str; 2] = ["TN001", "TN003"];
/// Another one took a name, or remembered a request.
const FASTER: &str = "TN002";
/// The history of a task does not end where the task says.
const CORRUPT: &str = "TN005";
/// Others hold what a claim is after.
const HELD: &str = "TN004";

impl PostgresError {
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            PostgresError::Again(_) | PostgresError::CanNotBeMade(..) => Meaning::Again,
            PostgresError::Silent(_) => Meaning::Reconnect,
            PostgresError::Connecting(_)
            | PostgresError::Unfit(_)
            | PostgresError::InTransaction(_)
            | PostgresError::Broken(_) => Meaning::Final,
            PostgresError::Postgres(error) => match error.as_db_error() {
                // Nothing came from the server, so the connection is gone.
                None if error.is_closed() || error_is_of_transport(error) => Meaning::Reconnect,
                None => Meaning::Final,
                Some(said) => meaning_of(said.code()),
            },
        }
    }

    /// Whether a database that can't be connected to may be there in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        let PostgresError::Connecting(error) = self else { return self.meaning() == Meaning::Reconnect };
        let refused = error.code();
        let passing = [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS];
        refused.is_none_or(|code| passing.contains(code) || meaning_of(code) == Meaning::Reconnect)
    }

    /// Whether the server said it, or somebody between who speaks for it.
    pub(crate) fn is_said_by_the_server(&self) -> bool {
        matches!(self, PostgresError::Postgres(error) if error.as_db_error().is_some())
    }

    /// What it means to a caller: nothing was committed.
    pub(crate) fn surely_not_done(self, shown: &str) -> Error {
        if self.is_corruption() {
            Error::Corrupt(self.into_failure(shown))
        } else {
            Error::Unavailable(self.into_failure(shown))
        }
    }

    /// In words for a person, with the error of the library that caused it.
    pub(crate) fn into_failure(self, shown: &str) -> Failure {
        let told = self.told(shown);
        match self {
            // What else the server says may have stored values in it.
            PostgresError::Postgres(error) => match error.as_db_error() {
                Some(said) => {
                    let (message, code) = (said.message().to_owned(), said.code().code().to_owned());
                    Failure::new(told, ServerError { message, code })
                }
                None => Failure::new(told, error),
            },
            PostgresError::Connecting(error) => Failure::new(told, error),
            PostgresError::InTransaction(error) => Failure::new(told, error),
            PostgresError::Unfit(_)
            | PostgresError::Silent(_)
            | PostgresError::Again(_)
            | PostgresError::CanNotBeMade(..)
            | PostgresError::Broken(_) => told.into(),
        }
    }

    /// Whether what is stored can't be what was written.
    pub(crate) fn is_corruption(&self) -> bool {
        match self {
            PostgresError::Broken(_) => true,
            PostgresError::Postgres(error) => {
                let code = error.as_db_error().map(|said| said.code());
                code.is_some_and(is_of_corruption)
            }
            PostgresError::InTransaction(error) => {
                error.code().is_some_and(|code| is_of_corruption(&SqlState::from_code(code)))
            }
            PostgresError::Connecting(_)
            | PostgresError::Unfit(_)
            | PostgresError::Silent(_)
            | PostgresError::Again(_)
            | PostgresError::CanNotBeMade(..) => false,
        }
    }

    fn told(&self, shown: &str) -> String {
        match self {
            PostgresError::Connecting(why) => format!("{shown}: {why}"),
            PostgresError::Unfit(why) => format!("{shown}: {why}"),
            PostgresError::Silent(for_long) => {
                format!("{shown}: the database did not answer for {} s", for_long.as_secs())
            }
            PostgresError::Again(why) => {
                format!(
                    "{shown}: gave up after repeated conflicts with other transactions: {why}; try again later"
                )
            }
            PostgresError::CanNotBeMade(key, why) => {
                format!(
                    "{shown}: {}/{}, created in another transaction, is not a valid task: {why}",
                    key.0, key.1
                )
            }
            PostgresError::Broken(what) => format!("{shown}: {what}"),
            PostgresError::Postgres(error) => match error.as_db_error() {
                Some(said) => {
                    format!("{shown}: {} ({}, {})", advice(said.code()), said.message(), said.code().code())
                }
                None => format!("{shown}: the connection to the database was lost ({})", with_causes(error)),
            },
            PostgresError::InTransaction(error) => match error.code() {
                Some(code) => format!("{shown}: {} ({error}, {code})", advice(&SqlState::from_code(code))),
                None => format!("{shown}: the statement was not answered ({error})"),
            },
        }
    }
}

fn is_of_corruption(code: &SqlState) -> bool {
    code.code() == CORRUPT || BROKEN_RULES.contains(&code.code()) || *code == SqlState::DATA_CORRUPTED
}

fn error_is_of_transport(error: &tokio_postgres::Error) -> bool {
    StdError::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

fn meaning_of(code: &SqlState) -> Meaning {
    let connection_is_gone = ["08", "57P"].iter().any(|class| code.code().starts_with(class));
    if connection_is_gone
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::INVALID_SQL_STATEMENT_NAME
        || *code == SqlState::FEATURE_NOT_SUPPORTED
    {
        // A server that went away, or has become a standby; or this process slept while it held locks; or what was prepared
        // is not there any more, or no longer fits the tables.
        return Meaning::Reconnect;
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return Meaning::Blocked;
    }
    if code.code() == HELD {
        return Meaning::PassedOver;
    }
    let passing = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::UNIQUE_VIOLATION,
        SqlState::QUERY_CANCELED,
    ];
    if passing.contains(code) || code.code() == FASTER { Meaning::Again } else { Meaning::Final }
}

fn advice(code: &SqlState) -> &'static str {
    if code.code() == CORRUPT {
        return "the stored data is inconsistent; run `tenure audit verify` to see where";
    }
    if BROKEN_RULES.contains(&code.code()) {
        return "the write would contradict what is stored";
    }
    match code.code() {
        "55P03" => "another transaction holds a lock that this one needs; end it, or try again later",
        "53100" => "the database's disk is full; reads go on, writes resume when there is room",
        "53300" => "the database has no free connection; raise max_connections, or run fewer processes",
        "42501" => {
            "permission denied; grant this role the schema's tables, or open the store once as their owner; to make a \
             schema, as `bench` does, a role needs `create` on the database"
        }
        "28P01" | "28000" => "the database rejected the user or the password",
        "3D000" => "the database does not exist; create it, or name another one",
        "25006" => "this server is read-only; name the primary, or list all hosts",
        "57P03" => "the database is starting or stopping; try again later",
        _ => "the database reported an error",
    }
}

/// A row that the database gave.
pub(crate) struct PostgresRow(tokio_postgres::Row);

impl PostgresRow {
    pub(crate) fn version(&self, at: usize) -> PostgresResult<RowVersion> {
        Ok(self.try_get(at)?)
    }

    pub(crate) fn all(rows: Vec<tokio_postgres::Row>) -> Vec<PostgresRow> {
        rows.into_iter().map(PostgresRow).collect()
    }
}

impl Deref for PostgresRow {
    type Target = tokio_postgres::Row;

    fn deref(&self) -> &tokio_postgres::Row {
        &self.0
    }
}

impl Row for PostgresRow {
    type Fault = PostgresError;

    fn name(&self, at: usize) -> &str {
        self.columns().get(at).map_or("?", tokio_postgres::Column::name)
    }

    fn text(&self, at: usize) -> PostgresResult<Option<&str>> {
        Ok(self.try_get(at)?)
    }

    fn number(&self, at: usize) -> PostgresResult<Option<i64>> {
        Ok(self.try_get(at)?)
    }

    fn truth(&self, at: usize) -> PostgresResult<bool> {
        Ok(self.try_get(at)?)
    }

    fn bytes(&self, at: usize) -> PostgresResult<Option<&[u8]>> {
        Ok(self.try_get(at)?)
    }
}

/// A value of an array that a statement is given.
#[derive(Debug)]
pub(crate) struct PostgresValue<'a>(pub(crate) ColumnValue<'a>);

impl ToSql for PostgresValue<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match &self.0 {
            ColumnValue::Null => Ok(IsNull::Yes),
            ColumnValue::Number(truth) if *kind == Type::BOOL => (*truth != 0).to_sql(kind, out),
            ColumnValue::Number(number) => number.to_sql(kind, out),
            ColumnValue::Text(text) => text.to_sql(kind, out),
            ColumnValue::Bytes(bytes) => bytes.as_ref().to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::BOOL, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

/// Which version of a row one is: the transaction that wrote it, as the server has it in the system column `xmin`.
///
/// Each transaction that writes a row gives it another one, so a row that has the same is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RowVersion(u32);

impl RowVersion {
    /// That of the rows which a transaction wrote.
    pub(crate) const fn of_transaction(number: i64) -> RowVersion {
        // The server keeps the lower half of the number in its rows.
        RowVersion(number as u32)
    }
}

impl ToSql for RowVersion {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::XID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for RowVersion {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<RowVersion, Box<dyn StdError + Sync + Send>> {
        Ok(RowVersion(u32::from_be_bytes(bytes.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::XID
    }
}

/// A task by the names that are its key in every table.
pub(crate) type Key = (Namespace, TaskId);

/// How many columns a key has, where it stands in front of what is read.
pub(crate) const KEY_COLUMN_COUNT: usize = 2;

/// How many columns a row of `due` has.
pub(crate) const DUE_COLUMN_COUNT: usize = column_count::<DueRow<'_>>();

/// The key whose columns begin at `at`.
pub(crate) fn read_key(row: &PostgresRow, at: usize) -> PostgresResult<Key> {
    Ok((Namespace::new(row.a_text(at)?)?, TaskId::new(row.a_text(at + 1)?)?))
}

/// The namespace of an event, and what it happened to: an empty text is the namespace itself.
pub(crate) fn read_subject(row: &PostgresRow, at: usize) -> PostgresResult<(Namespace, Subject)> {
    let namespace = Namespace::new(row.a_text(at)?)?;
    Ok((namespace, subject_of(row.a_text(at + 1)?)?))
}

/// What the column `task` of an event says.
pub(crate) fn subject_of(task: &str) -> Result<Subject, InvalidField> {
    if task.is_empty() { Ok(Subject::Namespace) } else { TaskId::new(task).map(Subject::Task) }
}

/// Keys as the two arrays that statements take them in.
pub(crate) struct TaskKeyArrays<'k> {
    pub(crate) namespaces: Vec<&'k str>,
    pub(crate) ids: Vec<&'k str>,
}

impl<'k> TaskKeyArrays<'k> {
    pub(crate) fn of(keys: impl Iterator<Item = &'k Key>) -> TaskKeyArrays<'k> {
        let (namespaces, ids) = keys.map(|(namespace, id)| (namespace.as_str(), id.as_str())).unzip();
        TaskKeyArrays { namespaces, ids }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
