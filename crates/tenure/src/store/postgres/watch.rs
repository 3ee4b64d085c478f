//! The watch mark in the database: read, and written unless somebody else did so meanwhile.

use crate::store::columns::Row as _;
use crate::store::postgres::columns::Found;
use crate::store::postgres::read::Reader;
use crate::store::watch::{Absence, WatchMark};

const READ: &str = "select value from tenure.meta where key = 'watch'";
/// `$1` is the new mark, `$2` the one that it follows. Who was faster has written one that is as good.
const WRITE: &str = "insert into tenure.meta (key, value) values ('watch', $1) \
    on conflict (key) do update set value = excluded.value where meta.value = $2";

impl Reader<'_> {
    /// Renews the mark, and says when nobody was there last.
    pub(crate) async fn renew_watch(&mut self) -> Found<Option<Absence>> {
        let now = self.now().await?;
        let rows = self.link.ask(READ, &[]).await?;
        let stored = rows.first().map(|row| row.text(0)).transpose()?.flatten().map(str::to_owned);
        let mark = WatchMark::renewed(stored.as_deref(), now);
        self.link.ask(WRITE, &[&mark.written(), &stored.unwrap_or_default()]).await?;
        Ok(mark.absence)
    }
}
