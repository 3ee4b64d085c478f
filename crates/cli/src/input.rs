//! Reads option values that can be long or JSON: from the command line, a file, or standard input.

use std::fs::File;
use std::io::Read;

use crate::context::Context;
use crate::error::CliError;

/// More than any text can have; it keeps a wrong file from filling the memory before it is refused.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

impl Context<'_, '_> {
    /// The text that an option gives: the value itself, the content of a file for `@FILE`, or standard input for `@-`. A
    /// text that begins with an `@` of its own is written with two.
    pub(crate) fn text(&mut self, option: &str, given: &str) -> Result<String, CliError> {
        match given.strip_prefix('@') {
            None => Ok(given.to_owned()),
            Some(rest) if rest.starts_with('@') => Ok(rest.to_owned()),
            Some("-") => self.standard_input(option, BYTES_MAX),
            Some(path) => {
                let wrong = |what: String| CliError::Usage(format!("{option}: {path}: {what}"));
                let file = File::open(path)
                    .map_err(|error| wrong(format!("{error}; write @@ for a text that begins with @")))?;
                whole(file, BYTES_MAX).map_err(wrong)
            }
        }
    }

    /// The same for an option that can be left out.
    pub(crate) fn optional_text(
        &mut self,
        option: &str,
        given: Option<String>,
    ) -> Result<Option<String>, CliError> {
        given.map(|given| self.text(option, &given)).transpose()
    }

    /// Reads a file without a size limit, since it can hold any number of tasks; `-` and `@-` are standard input.
    pub(crate) fn file(&mut self, option: &str, path: &str) -> Result<String, CliError> {
        if matches!(path, "-" | "@-") {
            return self.standard_input(option, u64::MAX);
        }
        std::fs::read_to_string(path).map_err(|error| CliError::Usage(format!("{option}: {path}: {error}")))
    }

    fn standard_input(&mut self, option: &str, bytes_max: u64) -> Result<String, CliError> {
        if self.input_is_read {
            return Err(CliError::Usage(format!("{option}: another option already reads standard input")));
        }
        self.input_is_read = true;
        whole(&mut *self.around.input, bytes_max)
            .map_err(|what| CliError::Usage(format!("{option}: standard input: {what}")))
    }
}

/// Reads everything as text, without the newline that editors and `echo` add at the end.
fn whole(reader: impl Read, bytes_max: u64) -> Result<String, String> {
    let mut text = String::new();
    let read = reader
        .take(bytes_max.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if read as u64 > bytes_max {
        return Err(format!("longer than {} MiB", bytes_max / 1024 / 1024));
    }
    let end = text.strip_suffix('\n').map_or(text.len(), str::len);
    text.truncate(end);
    if text.ends_with('\r') {
        text.pop();
    }
    Ok(text)
}
