//! The watch mark in the database. It is written only if no other process changed it since it was read.

use tenure_core::id::Namespace;
use tenure_store::columns::Row as _;
use tenure_store::mark::{MarkRenewal, watchers_of};
use tenure_store::watch::{Absence, Presence, Watchers};

use crate::columns::PostgresResult;
use crate::read::PostgresReader;

/// The marks, and the recovery processes.
const READ: &str =
    "select key, value from tenure.meta where key = 'watch' or key like 'watch %' or key like 'recovery %'";
/// `$1` are keys, `$2` new values, `$3` the values that they replace. If another process was faster, its value is
/// as good.
const WRITE: &str = "\
    insert into tenure.meta (key, value) select k, v from unnest($1::text[], $2::text[]) as new(k, v) order by k \
    on conflict (key) do update set value = excluded.value \
    where meta.value = ($3::text[])[array_position($1::text[], meta.key)]";
const FORGET: &str = "delete from tenure.meta where key = any($1::text[])";

impl PostgresReader<'_> {
    /// Renews the mark, records this process, and returns the last absence.
    pub(crate) async fn renew_watch(&mut self, presence: &Presence) -> PostgresResult<Option<Absence>> {
        let now = self.now().await?;
        let stored = self.watch_rows().await?;
        let renewal = MarkRenewal::of(&stored, presence, now);
        if !renewal.forgotten.is_empty() {
            self.link.ask(FORGET, &[&renewal.forgotten]).await?;
        }
        let before =
            |key: &str| stored.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str());
        let keys: Vec<&str> = renewal.written.iter().map(|(key, _)| key.as_str()).collect();
        let values: Vec<&str> = renewal.written.iter().map(|(_, value)| value.as_str()).collect();
        let follow: Vec<&str> = keys.iter().map(|key| before(key).unwrap_or_default()).collect();
        self.link.ask(WRITE, &[&keys, &values, &follow]).await?;
        Ok(renewal.absence)
    }

    pub(crate) async fn watchers(&mut self, namespace: &Namespace) -> PostgresResult<Watchers> {
        let now = self.now().await?;
        let rows = self.watch_rows().await?;
        let rows = rows.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Ok(watchers_of(rows, namespace, now))
    }

    async fn watch_rows(&mut self) -> PostgresResult<Vec<(String, String)>> {
        let rows = self.link.ask(READ, &[]).await?;
        rows.iter().map(|row| Ok((row.a_text(0)?.to_owned(), row.a_text(1)?.to_owned()))).collect()
    }
}
