//! Places in the history, compared. A store orders events by one number or by two.

use tenure_store::{Cursor, Error};

/// The place of a cursor.
pub(super) fn place(cursor: &Cursor) -> Result<(i64, i64), Error> {
    cursor.numbers('e').or_else(|_| cursor.number('e').map(|number| (number, 0)))
}

/// In front of all events of the store that has this cursor.
pub(super) fn beginning(like: &Cursor) -> Cursor {
    match like.numbers('e') {
        Ok(_) => Cursor::between('e', 0, 0),
        Err(_) => Cursor::of('e', 0),
    }
}
