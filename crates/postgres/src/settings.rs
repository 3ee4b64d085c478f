//! What a PostgreSQL URL says of the store, besides how to connect: the schema, and how long to wait.

use std::fmt;
use std::time::Duration;

use tenure_core::refusal::Refusal;
use tenure_store::Error;
use tenure_store::patience::read_patience;

use crate::libpq::{ConnectOptions, Parameters};

/// The default time that a write waits for an unavailable database.
const PATIENCE: Duration = Duration::from_secs(30);

/// The schema of the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Schema(String);

impl Schema {
    /// A name in lowercase letters that is not reserved by PostgreSQL.
    pub(crate) fn new(name: &str) -> Result<Schema, Refusal> {
        const LENGTH_MAX: usize = 63;
        let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        let goes_on_well = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if begins_well
            && name.bytes().all(goes_on_well)
            && name.len() <= LENGTH_MAX
            && !name.starts_with("pg_")
        {
            return Ok(Schema(name.to_owned()));
        }
        Err(Refusal::invalid(
            "store",
            format_args!(
                "`{name}` is not a valid schema name; use at most {LENGTH_MAX} of a-z, 0-9 and `_`, \
                 not beginning with a digit or `pg_`"
            ),
        ))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A statement that was written for the schema `tenure`, for this one. In quotes, for it may be a word of
    /// SQL.
    pub(crate) fn in_sql(&self, sql: &str) -> String {
        sql.replace("tenure.", &format!("\"{}\".", self.0))
    }
}

impl Default for Schema {
    fn default() -> Schema {
        Schema("tenure".to_owned())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A database, and what the store asks of it.
#[derive(Clone, Debug)]
pub(crate) struct PostgresSettings {
    pub(crate) database: ConnectOptions,
    pub(crate) schema: Schema,
    /// How long a write waits for an unavailable database: after a failover it comes back.
    pub(crate) patience: Duration,
    /// How long opening the store waits for it: as long as `patience` in the URL says; by default it does not wait.
    pub(crate) patience_to_open: Duration,
}

impl PostgresSettings {
    /// From a URL; missing parts come from the variables that libpq reads.
    pub(crate) fn read(
        url: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<PostgresSettings, Error> {
        let parameters = Parameters::collect(url, &["schema", "patience"], variable)?;
        let schema = parameters.get("schema").map_or_else(|| Ok(Schema::default()), Schema::new)?;
        let said = parameters.get("patience").map(read_patience).transpose();
        let said = said.map_err(|limit| parameters.invalid("patience", limit))?;
        // A mistyped host must not cause a wait, unless a wait was requested.
        let (patience, patience_to_open) = (said.unwrap_or(PATIENCE), said.unwrap_or_default());
        let database = ConnectOptions::read(&parameters, variable)?;
        Ok(PostgresSettings { database, schema, patience, patience_to_open })
    }

    /// The URL without secrets, for people.
    pub(crate) fn shown(&self) -> String {
        self.database.redacted_url(&format!("schema={}", self.schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No variable is set but who the user is.
    fn read(url: &str) -> Result<PostgresSettings, Error> {
        PostgresSettings::read(url, &|asked| (asked == "USER").then(|| "ann".to_owned()))
    }

    fn shown(url: &str) -> String {
        read(url).expect("a good URL").shown()
    }

    fn refusal(url: &str) -> String {
        let error = read(url).expect_err(url);
        error.to_string()
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = read("postgres://ann:secret@a/b?schema=c").expect("a good URL");
        assert_eq!(settings.shown(), "postgres://ann@a:5432/b?schema=c");
        assert!(!format!("{settings:?}").contains("secret"));
        assert!(!refusal("postgres://ann:secret@a?schema=1").contains("secret"));
    }

    #[test]
    fn what_is_shown_is_a_url_that_means_the_same() {
        for url in [
            "postgres://ann@a:5432/b?schema=tenure",
            "postgres://ann@[::1]:6432,b:5432/c?schema=d",
            "postgres://a%40b@c:5432/d%2Fe%20f?schema=tenure",
            "postgres://ann@/b?host=/run/pg,a&port=6432,5432&schema=tenure",
        ] {
            assert_eq!(shown(url), url);
        }
    }

    #[test]
    fn a_schema_has_a_plain_name_and_none_of_postgresql_s_own() {
        let longest = "a".repeat(63);
        for good in ["tenure", "_", "a1_b", "user", "page", longest.as_str()] {
            assert_eq!(Schema::new(good).expect(good).as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "1a", "A", "pg_a", "a-b", "a b", "a\"b", "ä", too_long.as_str()] {
            let refusal = Schema::new(bad).expect_err(bad);
            assert_eq!(refusal.field, Some("store"));
            assert!(refusal.message.contains(&format!("`{bad}` is not a valid schema name")), "{refusal}");
        }
        assert!(refusal("postgres://?schema=A").contains("`A` is not a valid schema name"));
    }

    #[test]
    fn a_statement_is_for_the_schema_that_was_chosen() {
        let schema = Schema::new("order").expect("a good name");
        let sql = "select from tenure.tasks join tenure.due";
        assert_eq!(schema.in_sql(sql), r#"select from "order".tasks join "order".due"#);
    }
}
