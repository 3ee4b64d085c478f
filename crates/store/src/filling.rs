//! Pages that are being filled.

use tenure_core::time::Time;

use crate::history::{FoundHistory, Recorded};
use crate::list::{Cursor, Page, PageSize};
use crate::size;

/// A page that is being filled.
#[derive(Debug)]
pub struct PageFill {
    items_left: usize,
    bytes_left: usize,
    is_empty: bool,
    is_cut: bool,
}

impl PageFill {
    /// An empty page of that size; a size of 0 items counts as 1.
    pub fn new(size: PageSize) -> PageFill {
        PageFill { items_left: size.items.max(1), bytes_left: size.bytes, is_empty: true, is_cut: false }
    }

    /// Whether an item of that many bytes fits on the page; then it is counted. The first always fits.
    pub fn takes(&mut self, bytes: usize) -> bool {
        if self.items_left == 0 || self.is_cut {
            return false;
        }
        if bytes > self.bytes_left && !self.is_empty {
            self.is_cut = true;
            return false;
        }
        self.items_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.is_empty = false;
        true
    }

    /// Whether there may be more behind it.
    pub fn is_full(&self) -> bool {
        self.items_left == 0 || self.is_cut()
    }

    /// Whether it ends early because its items are large.
    pub fn is_cut(&self) -> bool {
        self.is_cut || (self.bytes_left == 0 && self.items_left > 0)
    }
}

/// A page of events that is being filled. An unreadable event is reported and skipped.
pub struct FoundEvents {
    fill: PageFill,
    /// How many more rows the store gives at most.
    rows_left: usize,
    last: Option<Cursor>,
    items: Vec<Recorded>,
    unreadable: Vec<String>,
}

impl FoundEvents {
    pub fn new(size: PageSize) -> FoundEvents {
        let (items, unreadable) = (Vec::new(), Vec::new());
        FoundEvents { fill: PageFill::new(size), rows_left: size.items.max(1), last: None, items, unreadable }
    }

    /// Whether the event at that place fits on the page; none if it can't be read.
    pub fn takes(&mut self, place: Cursor, recorded: Option<Recorded>) -> bool {
        match recorded {
            Some(recorded) if !self.fill.takes(size::event_bytes(&recorded)) => return false,
            Some(recorded) => self.items.push(recorded),
            // The message contains no task id: the reader of the page may have no right to see it.
            None => self.unreadable.push(format!(
                "the event at {} can't be read and was skipped; `tenure audit verify` names it",
                place.as_str()
            )),
        }
        self.rows_left = self.rows_left.saturating_sub(1);
        self.last = Some(place);
        true
    }

    /// The page. `is_short` says whether the store returned fewer rows than requested and available, because
    /// they are large. If there may be more, it continues after the last event, else at `end`, which gets the
    /// last event, too.
    pub fn page(self, is_short: bool, end: impl FnOnce(Option<&Cursor>) -> Cursor) -> Page<Recorded> {
        let is_full = self.fill.is_full() || self.rows_left == 0 || is_short;
        let is_cut = self.fill.is_cut() || is_short || (self.rows_left == 0 && !self.unreadable.is_empty());
        let next = match &self.last {
            Some(last) if is_full => last.clone(),
            last => end(last.as_ref()),
        };
        Page { items: self.items, next: Some(next), is_cut, unreadable: self.unreadable }
    }

    /// What a search found. `has_more` says whether more of what was looked at matches, and `edge` is the last event that was looked
    /// at, if it was the last that may be: then there may be more behind it.
    pub fn history(self, has_more: bool, edge: Option<(Cursor, Time)>) -> FoundHistory {
        let is_cut = has_more && self.rows_left > 0;
        let (next, looked_to) = match (self.last, edge) {
            (Some(last), _) if has_more => (Some(last), None),
            (_, Some((edge, at))) => (Some(edge), Some(at)),
            (_, None) => (None, None),
        };
        let page = Page { items: self.items, next, is_cut, unreadable: self.unreadable };
        FoundHistory { page, looked_to }
    }
}

/// How many rows a page may have: at least one, and one less than SQL can count.
pub fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).clamp(1, i64::MAX - 1)
}
