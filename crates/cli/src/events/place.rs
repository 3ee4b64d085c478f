//! Where `tenure events` begins, and the named cursor that it moves forward behind what was printed.

use std::time::Duration;

use tenure::Ledger;
use tenure::clock::Moment;
use tenure::store::Cursor;

use crate::error::CliError;

/// A cursor that follows a busy history is stored at most this often: each time is a commit.
const STORED_APART: Duration = Duration::from_secs(1);

/// A named cursor, and the place of what was printed and is not stored yet.
pub(super) struct StoredPlace {
    ledger: Ledger,
    name: String,
    printed: Option<Cursor>,
    stored_at: Moment,
}

impl StoredPlace {
    /// The cursor with that name, and where it is. One that does not exist begins before the first event.
    pub(super) async fn find(ledger: &Ledger, name: &str) -> Result<(StoredPlace, Cursor), CliError> {
        let found = ledger.named_cursor(name).await?;
        let (ledger, name) = (ledger.clone(), name.to_owned());
        let place = StoredPlace { ledger, name, printed: None, stored_at: Moment::now() };
        Ok((place, Cursor::from_text(found.cursor)))
    }

    /// Everything up to there was printed.
    pub(super) fn has_printed(&mut self, to: Cursor) {
        self.printed = Some(to);
    }

    /// Whether something was printed that is not stored.
    pub(super) fn is_behind(&self) -> bool {
        self.printed.is_some()
    }

    /// Whether it is time to store it although more events come.
    pub(super) fn is_due(&self) -> bool {
        self.is_behind() && Moment::now().since(self.stored_at) >= STORED_APART.into()
    }

    /// Stores what was printed. The output was flushed before: so its reader gets each event at least once.
    pub(super) async fn store(&mut self) -> Result<(), tenure::Error> {
        let Some(to) = self.printed.clone() else { return Ok(()) };
        self.ledger.move_cursor(&self.name, to).await?;
        (self.printed, self.stored_at) = (None, Moment::now());
        Ok(())
    }
}
