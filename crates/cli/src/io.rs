//! Everything that a command gets from its process: environment, streams, clock and entropy. Tests replace them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::sync::Arc;

use tenure::clock::Clock;
use tenure::entropy::Entropy;

/// Everything that a command gets from outside.
pub struct Io<'w> {
    /// The environment.
    pub variables: Variables,
    /// How standard output is shown.
    pub screen: Screen,
    /// The width in columns, if the output is a terminal.
    pub width: Option<u16>,
    /// How standard error is shown.
    pub error_screen: Screen,
    /// Standard input.
    pub input: &'w mut dyn Read,
    /// Standard output.
    pub output: &'w mut dyn Write,
    /// Standard error.
    pub errors: &'w mut dyn Write,
    /// Whether the reader of the output has closed it.
    pub reader_is_gone: &'w dyn Fn() -> bool,
    /// The clock; none: the store's clock.
    pub clock: Option<Arc<dyn Clock>>,
    /// The source of new ids.
    pub entropy: Arc<dyn Entropy>,
}

/// The variables of an environment.
pub type Variables = BTreeMap<String, OsString>;

/// The environment of this process. Variables whose names are not UTF-8 are left out: Tenure has none of those.
pub fn variables() -> Variables {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
}

/// How text is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// Unchanged, for programs and files.
    Plain,
    /// For people, without colour.
    Terminal,
    /// For people, in colour.
    Coloured,
}

impl Screen {
    /// A terminal gets colour unless the environment disables it; anything else is plain.
    pub fn of(is_terminal: bool, variables: &Variables) -> Screen {
        let is_plain = variables.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = variables.get("TERM").is_some_and(|term| term == "dumb");
        match is_terminal {
            false => Screen::Plain,
            true if is_plain || is_dumb => Screen::Terminal,
            true => Screen::Coloured,
        }
    }
}

/// The text of a variable, if it is set and not empty.
pub(crate) fn variable(variables: &Variables, name: &str) -> Option<String> {
    let value = variables.get(name)?.to_str()?;
    (!value.is_empty()).then(|| value.to_owned())
}
