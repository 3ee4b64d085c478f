//! What a command sees of its surroundings. The binary gives it the process's own; tests give it a frozen one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::sync::Arc;

use tenure::clock::Clock;
use tenure::entropy::Entropy;

/// Everything outside of the command itself.
pub struct Io<'w> {
    /// The environment.
    pub variables: Variables,
    /// How the output is shown.
    pub screen: Screen,
    /// How many columns fit, where the output is a terminal.
    pub width: Option<u16>,
    /// How errors are shown.
    pub error_screen: Screen,
    /// Standard input.
    pub input: &'w mut dyn Read,
    /// Standard output.
    pub output: &'w mut dyn Write,
    /// Standard error.
    pub errors: &'w mut dyn Write,
    /// Whether nobody reads the output any more.
    pub reader_is_gone: &'w dyn Fn() -> bool,
    /// Where the time comes from; none: from the store.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where made names come from.
    pub entropy: Arc<dyn Entropy>,
}

/// The variables of an environment.
pub type Variables = BTreeMap<String, OsString>;

/// The environment of this process. One whose name is no text is none of ours.
pub fn variables() -> Variables {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
}

/// How text is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// As it is: for programs and files.
    Plain,
    /// To a person, without colour.
    Terminal,
    /// To a person, in colour.
    Coloured,
}

impl Screen {
    /// A terminal is coloured unless the environment asks for none; anything else is plain.
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
