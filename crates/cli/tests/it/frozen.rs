//! A frozen world for tests of the command line: an empty environment, a clock that moves only when a test moves it, ids
//! that are the same each time, and its own directory that output shows as `<folder>`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tenure::clock::ManualClock;
use tenure::entropy::SeededEntropy;
use tenure::instant;
use tenure_cli::io::{Io, Screen, Variables};

/// The world, which stays the same between commands.
pub(crate) struct Frozen {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) variables: Variables,
    clock: ManualClock,
    entropy: Arc<SeededEntropy>,
    input: Vec<u8>,
}

/// The output of a command, and its exit status.
pub(crate) struct Ran {
    pub(crate) status: u8,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Frozen {
    /// Noon of a day in 2026; the user is alice.
    pub(crate) fn world() -> Frozen {
        let folder = tempfile::tempdir().expect("a folder");
        let store = format!("sqlite:{}", folder.path().join("tenure.db").display());
        let noon = instant::parse("noon", "2026-01-31T12:00:00Z").expect("a time");
        let variables = [("TENURE_STORE", store.as_str()), ("USER", "alice")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into())).into();
        let entropy = Arc::new(SeededEntropy::new(7));
        Frozen { folder, variables, clock: ManualClock::at(noon), entropy, input: Vec::new() }
    }

    pub(crate) fn tick(&self, seconds: u64) -> &Frozen {
        self.clock.advance(Duration::from_secs(seconds));
        self
    }

    /// Sets this machine's clock back.
    pub(crate) fn set_back(&self, seconds: u64) -> &Frozen {
        self.clock.set(self.clock.now() - Duration::from_secs(seconds).into());
        self
    }

    /// Sets the standard input of the next command.
    pub(crate) fn with_input(&mut self, input: &str) -> &mut Frozen {
        input.as_bytes().clone_into(&mut self.input);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Frozen {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).expect("written");
        self.path(name)
    }

    /// Runs a command, given as it would be typed after `tenure`.
    pub(crate) fn run(&self, words: &str) -> Ran {
        self.run_on(Screen::Plain, words)
    }

    pub(crate) fn run_on(&self, screen: Screen, words: &str) -> Ran {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let world = Io {
            variables: self.variables.clone(),
            screen,
            width: (screen != Screen::Plain).then_some(72),
            error_screen: screen,
            input: &mut self.input.as_slice(),
            output: &mut out,
            errors: &mut errors,
            reader_is_gone: &|| false,
            clock: Some(Arc::new(self.clock.clone())),
            entropy: Arc::clone(&self.entropy) as _,
        };
        let words = std::iter::once("tenure".to_owned()).chain(split(words)).map(Into::into);
        let status = tenure_cli::run(words, world);
        Ran { status, out: self.shown(out), errors: self.shown(errors) }
    }

    /// Runs commands for their effect, one a line; each must succeed.
    pub(crate) fn given(&self, commands: &str) -> &Frozen {
        for command in commands.lines().map(str::trim).filter(|command| !command.is_empty()) {
            if let Some(seconds) = command.strip_prefix("tick ") {
                self.tick(seconds.parse().expect("seconds"));
                continue;
            }
            let Ran { status, errors, .. } = self.run(command);
            assert_eq!(status, 0, "`{command}` is part of what is given\n{errors}");
        }
        self
    }

    /// A command as a reader sees it: the command line, its output, and the exit status if it is not 0.
    pub(crate) fn told(&self, words: &str) -> String {
        let Ran { status, out, errors } = self.run(words);
        let status = if status == 0 { String::new() } else { format!("status {status}\n") };
        format!("$ tenure {}\n{out}{errors}{status}", self.unnamed(words))
    }

    /// Several commands, one a line; `tick 5` lets five seconds pass.
    pub(crate) fn tells(&self, lines: &str) -> String {
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let tell = |line: &str| match line.strip_prefix("tick ") {
            Some(seconds) => {
                self.tick(seconds.parse().expect("seconds"));
                format!("({seconds} s pass)\n")
            }
            None => self.told(line),
        };
        lines.map(tell).collect()
    }

    fn shown(&self, bytes: Vec<u8>) -> String {
        self.unnamed(&String::from_utf8(bytes).expect("output is text"))
    }

    /// The text with the name of the directory replaced, since it differs each time.
    fn unnamed(&self, text: &str) -> String {
        let folder = self.folder.path().canonicalize().expect("the folder");
        let text = text.replace(&folder.display().to_string(), "<folder>");
        text.replace(&self.folder.path().display().to_string(), "<folder>")
    }
}

impl Ran {
    /// The JSON document that it printed.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.errors))
    }
}

/// Splits words as a shell does, as far as tests need it: at blanks, with single quotes.
pub(crate) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The file of the world's store.
pub(crate) fn file(world: &Frozen) -> std::path::PathBuf {
    Path::new(&world.path("tenure.db")).to_owned()
}
