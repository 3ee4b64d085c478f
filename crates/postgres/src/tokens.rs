//! Tokens in the database. They change rarely, each time on a connection of its own.

use tenure_core::refusal::Refusal;
use tenure_store::Error;
use tenure_store::access::{Token, Tokens};
use tenure_store::columns::{Row as _, TableRow, TokenRow, read_token};
use tenure_store::tokens::{Decided, Known, TokenChange};

use crate::columns::{Meaning, PostgresError, PostgresResult, PostgresRow, PostgresValue};
use crate::database::PostgresDatabase;
use crate::link::{Link, Parameter};
use crate::load::LockWait;
use crate::read::{PostgresReader, one};
use crate::sql;
use crate::write::{Ended, commit_answered};

/// How often a change is tried whose failures pass.
const TRIES_MAX: u32 = 5;

const VERSION: &str = "select value from tenure.meta where key = 'tokens'";
/// A change of a token locks this row until the commit, so changes come one after the other.
const LOCK: &str = "select value from tenure.meta where key = 'tokens' for update";
const REVOKE: &str = "\
    with written as (update tenure.tokens set revoked_at = $2, revoked_by = $3 \
        where name = $1 and revoked_at is null returning 1) \
    select tenure.all_of((select count(*) from written), 1, 'tokens')";
/// Written also where it stays the same: then a repeat waits for whom the first commit waits for.
const NOTE_VERSION: &str = "\
    with written as (update tenure.meta set value = $1 where key = 'tokens' returning 1) \
    select tenure.all_of((select count(*) from written), 1, 'meta')";

/// How a try ended.
enum Tried {
    Done(Token),
    Refused(Refusal),
    /// Surely not done.
    Failed(PostgresError),
    Unknown(PostgresError),
}

/// Adds or revokes a token, by the database's clock.
pub(crate) async fn change(database: &PostgresDatabase, change: TokenChange) -> Result<Token, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let fault = match try_once(database, &change).await {
            Tried::Done(token) => return Ok(token),
            Tried::Refused(refusal) => return Err(refusal.into()),
            Tried::Unknown(fault) => return Err(Error::Unknown(fault.into_failure(&database.shown()))),
            Tried::Failed(fault) => fault,
        };
        let passes = matches!(fault.meaning(), Meaning::Again | Meaning::Reconnect);
        if !passes || tries == TRIES_MAX {
            return Err(fault.surely_not_done(&database.shown()));
        }
    }
}

/// One transaction. A connection that is dropped before the commit was sent takes it back.
async fn try_once(database: &PostgresDatabase, change: &TokenChange) -> Tried {
    let begun = async {
        let mut link = database.connect_to_write().await?;
        let decided = write(&mut link, database, change).await?;
        Ok((link, decided))
    };
    let (link, decided) = match begun.await {
        Ok(written) => written,
        Err(fault) => return Tried::Failed(fault),
    };
    let token = match decided {
        Ok(Decided { token, .. }) => token,
        Err(refusal) => return Tried::Refused(refusal),
    };
    match commit_answered(&link).await {
        Ended::Committed(_) => Tried::Done(token),
        Ended::Failed(fault) => Tried::Failed(fault),
        Ended::Unknown(fault) => Tried::Unknown(fault),
    }
}

/// All of the transaction but its commit.
async fn write(
    link: &mut Link,
    database: &PostgresDatabase,
    change: &TokenChange,
) -> PostgresResult<Result<Decided, Refusal>> {
    link.send_plain(sql::BEGIN).answer().await?;
    link.ask(sql::SETTINGS_AND_NOW, &[&LockWait::Usual.timeout()]).await?;
    let before = version(&link.once(LOCK, &[]).await?)?;
    // Read after the lock, which may have been waited for.
    let now = PostgresReader::new(link, database).now().await?;
    let decided = match change.clone().decide(known(link, change).await?, now) {
        Ok(decided) => decided,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let token = &decided.token;
    if let Some((at, by)) = &decided.revoke {
        let by = by.as_ref().map(|by| by.as_str());
        link.once(REVOKE, &[&token.name.as_str(), &at.as_micros(), &by]).await?;
    }
    if let Some(added) = &decided.add {
        let values: Vec<PostgresValue<'_>> =
            added.values(TokenRow::COLUMNS.iter()).map(PostgresValue).collect();
        let parameters: Vec<Parameter<'_>> = values.iter().map(|value| value as Parameter<'_>).collect();
        link.once(&sql::INSERT_TOKEN, &parameters).await?;
    }
    link.once(NOTE_VERSION, &[&decided.version(before, now).to_string()]).await?;
    Ok(Ok(decided))
}

async fn known(link: &Link, change: &TokenChange) -> PostgresResult<Known> {
    let read = |rows: Vec<PostgresRow>| {
        rows.first().map(|row| read_token(row, 0)).transpose().map(|found| found.map(|listed| listed.token))
    };
    let namesake = read(link.once(&sql::TOKEN_BY_NAME, &[&change.name().as_str()]).await?)?;
    let same_hash = match change.hash() {
        Some(hash) => read(link.once(&sql::TOKEN_BY_HASH, &[&hash.0.0.as_slice()]).await?)?,
        None => None,
    };
    Ok(Known { namesake, same_hash })
}

fn version(rows: &[PostgresRow]) -> PostgresResult<u64> {
    let text = one(rows)?.a_text(0)?;
    text.parse()
        .map_err(|_| PostgresError::Broken(format!("the version of the tokens is not a number: {text}")))
}

impl PostgresReader<'_> {
    /// All tokens, unless nothing changed since that version.
    pub(crate) async fn tokens(&mut self, known: Option<u64>) -> PostgresResult<Option<Tokens>> {
        if known == Some(version(&self.link.ask(VERSION, &[]).await?)?) {
            return Ok(None);
        }
        // One look at one moment, so that the version is that of the tokens.
        self.begin().await?;
        let version = version(&self.link.ask(VERSION, &[]).await?)?;
        let rows = self.link.ask(&sql::TOKENS, &[]).await?;
        let tokens = rows.iter().map(|row| read_token(row, 0)).collect::<PostgresResult<Vec<_>>>()?;
        self.end().await?;
        Ok(Some(Tokens { version, tokens }))
    }
}
