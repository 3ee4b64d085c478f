//! What a reader of rows needs of a database.

use tenure_api::wire::Word;
use tenure_core::chain::Hash;
use tenure_core::limit::InvalidField;
use tenure_core::time::{Span, Time};

use crate::numbers::unsigned;

/// A row that some database gave.
pub trait Row {
    /// What is wrong with the store.
    type Fault: From<InvalidField> + From<Impossible>;

    /// What the column is called.
    fn name(&self, at: usize) -> &str;
    fn text(&self, at: usize) -> Result<Option<&str>, Self::Fault>;
    fn number(&self, at: usize) -> Result<Option<i64>, Self::Fault>;
    fn truth(&self, at: usize) -> Result<bool, Self::Fault>;
    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, Self::Fault>;

    /// A number that is always there.
    fn a_number(&self, at: usize) -> Result<i64, Self::Fault> {
        Ok(self.number(at)?.ok_or_else(|| missing(self.name(at), "a number"))?)
    }

    /// A text that is always there.
    fn a_text(&self, at: usize) -> Result<&str, Self::Fault> {
        Ok(self.text(at)?.ok_or_else(|| missing(self.name(at), "a text"))?)
    }

    fn a_time(&self, at: usize) -> Result<Time, Self::Fault> {
        self.a_number(at).map(Time::from_micros)
    }

    fn time(&self, at: usize) -> Result<Option<Time>, Self::Fault> {
        Ok(self.number(at)?.map(Time::from_micros))
    }

    fn span(&self, at: usize) -> Result<Option<Span>, Self::Fault> {
        Ok(self.number(at)?.map(|micros| Span::from_micros(unsigned(micros))))
    }

    fn hash(&self, at: usize) -> Result<Hash, Self::Fault> {
        let bytes = self.bytes(at)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(bytes.map(Hash).ok_or_else(|| impossible(self.name(at), "not 32 bytes"))?)
    }

    fn optional<'a, T>(
        &'a self,
        at: usize,
        new: impl FnOnce(&'a str) -> Result<T, InvalidField>,
    ) -> Result<Option<T>, Self::Fault> {
        Ok(self.text(at)?.map(new).transpose()?)
    }

    fn word<T: Word>(&self, at: usize) -> Result<T, Self::Fault> {
        let text = self.a_text(at)?;
        Ok(T::of_word(text).ok_or_else(|| impossible(self.name(at), text))?)
    }

    /// A number of a type that is narrower than a column.
    fn small<T: TryFrom<i64>>(&self, at: usize) -> Result<T, Self::Fault> {
        let number = self.a_number(at)?;
        Ok(T::try_from(number).map_err(|_| impossible(self.name(at), number))?)
    }

    /// The row from a column on: the part of it that holds the columns of one table.
    fn starting_at(&self, first: usize) -> RowPart<'_, Self> {
        RowPart { row: self, first }
    }
}

/// The part of a row that holds the columns of one table.
pub struct RowPart<'r, R: ?Sized> {
    row: &'r R,
    first: usize,
}

impl<R: Row + ?Sized> Row for RowPart<'_, R> {
    type Fault = R::Fault;

    fn name(&self, at: usize) -> &str {
        self.row.name(self.first + at)
    }

    fn text(&self, at: usize) -> Result<Option<&str>, R::Fault> {
        self.row.text(self.first + at)
    }

    fn number(&self, at: usize) -> Result<Option<i64>, R::Fault> {
        self.row.number(self.first + at)
    }

    fn truth(&self, at: usize) -> Result<bool, R::Fault> {
        self.row.truth(self.first + at)
    }

    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, R::Fault> {
        self.row.bytes(self.first + at)
    }
}

/// An impossible stored value.
#[derive(Debug)]
pub struct Impossible(pub String);

pub fn impossible(column: &str, value: impl std::fmt::Display) -> Impossible {
    Impossible(format!("the column {column} contains an invalid value: {value}"))
}

/// A value that is always there is not.
fn missing(column: &str, what: &str) -> Impossible {
    Impossible(format!("the column {column} is empty, but must contain {what}"))
}
