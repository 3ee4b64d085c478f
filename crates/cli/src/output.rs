//! Prints answers: lines and tables for people, JSON for programs; notes and errors on standard error.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table};
use serde::Serialize;
use tenure::api;
pub(crate) use tenure::shell::quoted;

use crate::error::CliError;
use crate::global::{Global, OutputFormat};
use crate::io::Screen;

/// Where output goes, and in which format.
pub(crate) struct Output<'w> {
    out: &'w mut dyn Write,
    errors: &'w mut dyn Write,
    screen: Screen,
    width: Option<u16>,
    error_screen: Screen,
    form: OutputFormat,
    quiet: bool,
    verbose: bool,
    /// The task that the command is about, for hints.
    subject: Option<String>,
    /// The options of this command that select the store, as they are typed.
    said_store: String,
    /// The option that selects the namespace.
    said_namespace: String,
    /// The command of this run, such as `task create`.
    verb: String,
    has_request_id: bool,
    /// How many characters of a passing line are on the terminal.
    passing: usize,
}

pub(crate) type Written = Result<(), CliError>;

impl<'w> Output<'w> {
    pub(crate) fn new(
        out: &'w mut dyn Write,
        errors: &'w mut dyn Write,
        screen: (Screen, Option<u16>),
        error_screen: Screen,
    ) -> Output<'w> {
        let (screen, width) = screen;
        Output {
            out,
            errors,
            screen,
            width,
            error_screen,
            form: OutputFormat::Table,
            quiet: false,
            verbose: false,
            subject: None,
            said_store: String::new(),
            said_namespace: String::new(),
            verb: String::new(),
            has_request_id: false,
            passing: 0,
        }
    }

    pub(crate) fn set(&mut self, global: &Global) {
        self.form = global.output;
        self.quiet = global.quiet;
        self.verbose = global.verbose;
        self.has_request_id = global.request_id.is_some();
        // A command in a hint must work on the same store when it is copied.
        let config = global.config.iter().map(|value| ("config", value.clone()));
        let store = global
            .store
            .iter()
            .map(|value| ("store", tenure::ledger::url_without_secrets(value).to_string()));
        let option = |(name, value): (&str, String)| format!(" --{name} {}", quoted(&value));
        self.said_store = store.chain(config).map(option).collect();
        self.said_namespace =
            global.namespace.iter().map(|name| option(("namespace", name.clone()))).collect();
    }

    /// Sets the command whose output this is, such as `task create`.
    pub(crate) fn is_of(&mut self, verb: String) {
        self.verb = verb;
    }

    /// The command line that prints more help.
    pub(crate) fn help(&self) -> String {
        let verb = if self.verb.is_empty() { String::new() } else { format!(" {}", self.verb) };
        format!("tenure{verb} --help")
    }

    pub(crate) fn has_request_id(&self) -> bool {
        self.has_request_id
    }

    pub(crate) fn has_subject(&self) -> bool {
        self.subject.is_some()
    }

    /// Adds to each command in a text the options that select this store, unless it has its own.
    pub(crate) fn with_options(&self, words: &str) -> String {
        with_said(words, &format!("{}{}", self.said_store, self.said_namespace))
    }

    /// Adds to each command in a text the options that select this store alone: they name their namespaces themselves.
    pub(crate) fn with_store(&self, words: &str) -> String {
        with_said(words, &self.said_store)
    }

    /// The command line with the options that select this store, unless it has its own.
    pub(crate) fn command_on_store(&self, command: &str) -> String {
        let on_store = |command: &str| match command.strip_prefix("tenure ") {
            Some(rest) if !rest.starts_with("--store ") => format!("tenure{} {rest}", self.said_store),
            Some(_) | None => command.to_owned(),
        };
        command.split(" && ").map(on_store).collect::<Vec<_>>().join(" && ")
    }

    /// Sets the namespace of commands in hints, for a command that goes through several namespaces.
    pub(crate) fn is_about_namespace(&mut self, namespace: &str) {
        self.said_namespace = format!(" --namespace {}", quoted(namespace));
    }

    /// Prints a line that has commands in it.
    pub(crate) fn line_with_commands(&mut self, words: &str) -> Written {
        self.line(&self.with_options(words))
    }

    /// Sets the task that hints name.
    pub(crate) fn is_about(&mut self, task: &str) {
        self.subject = Some(task.to_owned());
    }

    pub(crate) fn form(&self) -> OutputFormat {
        self.form
    }

    /// The width in columns, if the output is a terminal.
    pub(crate) fn width(&self) -> Option<u16> {
        self.width
    }

    /// How standard output is shown.
    pub(crate) fn screen(&self) -> Screen {
        self.screen
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Prints one JSON document, or one of a stream.
    pub(crate) fn json(&mut self, record: &impl Serialize) -> Written {
        let text = api::to_json(record);
        self.line(&escape_json(text))
    }

    /// Prints a JSON document if the format is JSON, and nothing otherwise.
    pub(crate) fn json_only(&mut self, record: &impl Serialize) -> Written {
        match self.form {
            OutputFormat::Json => self.json(record),
            OutputFormat::Table => Ok(()),
        }
    }

    pub(crate) fn line(&mut self, text: &str) -> Written {
        writeln!(self.out, "{text}").map_err(CliError::Output)
    }

    /// Prints bytes unchanged, such as a file.
    pub(crate) fn bytes(&mut self, text: &[u8]) -> Written {
        self.out.write_all(text).map_err(CliError::Output)
    }

    pub(crate) fn flush(&mut self) -> Written {
        self.out.flush().map_err(CliError::Output)
    }

    /// An empty table with these headings, if there are any. On a terminal it fits the width; elsewhere no cell is
    /// wrapped.
    pub(crate) fn table(&self, headings: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if !headings.is_empty() {
            table.set_header(headings.iter().map(|heading| self.cell(heading, Colour::Strong).0));
        }
        // The width comes from `Io`, whatever terminal the process has; without one nothing is wrapped.
        table.force_no_tty();
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        if self.screen == Screen::Coloured {
            table.enforce_styling();
        }
        table
    }

    /// Adds a row. Columns are two blanks apart, without a margin on the left.
    pub(crate) fn row(table: &mut Table, cells: impl IntoIterator<Item = Cell>) {
        table.add_row(cells.into_iter().map(comfy_table::Cell::from));
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if at < 2 {
                // Names and states are copied, so they are not broken, however narrow the terminal is.
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }

    /// A cell in a colour, if colours are on.
    pub(crate) fn cell(&self, text: &str, colour: Colour) -> Cell {
        let cell = plain(text).0;
        Cell(match (self.screen, colour) {
            (Screen::Plain | Screen::Terminal, _) => cell,
            (Screen::Coloured, Colour::Good) => cell.fg(Color::DarkGreen),
            (Screen::Coloured, Colour::Busy) => cell.fg(Color::DarkCyan),
            (Screen::Coloured, Colour::Bad) => cell.fg(Color::DarkRed),
            (Screen::Coloured, Colour::Faint) => cell.add_attribute(Attribute::Dim),
            (Screen::Coloured, Colour::Strong) => cell.add_attribute(Attribute::Bold),
            (Screen::Coloured, Colour::First) => cell.fg(Color::DarkCyan),
            (Screen::Coloured, Colour::Second) => cell.fg(Color::DarkMagenta),
            (Screen::Coloured, Colour::Third) => cell.fg(Color::DarkYellow),
        })
    }

    /// Prints a table without trailing blanks.
    pub(crate) fn show(&mut self, table: &Table) -> Written {
        let text = table.to_string();
        text.lines().try_for_each(|line| self.line(line.trim_end()))
    }

    /// Prints a line that contains stored text.
    pub(crate) fn sentence(&mut self, text: &str) -> Written {
        self.line(&harmless_line(text))
    }

    /// Text in a colour, if colours are on.
    pub(crate) fn painted(&self, text: &str, colour: Colour) -> String {
        paint(self.screen, text, colour)
    }

    /// Prints a note on standard error: information that was not asked for.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.quiet {
            // A note that can't be printed must not fail the command.
            let _ = writeln!(self.errors, "note: {}", escape_control(text));
        }
    }

    /// Whether a passing line is shown: to a person who waits at a terminal.
    pub(crate) fn shows_passing_lines(&self) -> bool {
        !self.quiet && self.error_screen != Screen::Plain
    }

    /// Shows a line on standard error that the next one replaces, if a person sees it there. An empty one erases it.
    pub(crate) fn passing_line(&mut self, text: &str) {
        if !self.shows_passing_lines() || (text.is_empty() && self.passing == 0) {
            return;
        }
        let text = harmless_line(text);
        let length = text.chars().count();
        // Blanks do without what only some terminals understand.
        let rest = " ".repeat(self.passing.saturating_sub(length));
        let end = if length == 0 { "\r" } else { "" };
        let _ = write!(self.errors, "\r{text}{rest}{end}").and_then(|()| self.errors.flush());
        self.passing = length;
    }

    /// Says where a limited list continues: on standard error, since standard output has only tasks.
    pub(crate) fn goes_on(&mut self, cursor: &str) {
        match self.form {
            OutputFormat::Json => {
                let _ = writeln!(self.errors, "{{\"next\":\"{cursor}\"}}");
            }
            OutputFormat::Table => self.note(&format!("there are more; continue with --cursor {cursor}")),
        }
    }

    /// Prints a JSON document on standard error, when standard output has a stream of its own.
    pub(crate) fn beside(&mut self, record: &impl Serialize) {
        if !self.quiet {
            let _ = writeln!(self.errors, "{}", api::to_json(record));
        }
    }

    /// Prints a detail that only `--verbose` shows.
    pub(crate) fn detail(&mut self, text: &str) {
        if self.verbose {
            let _ = writeln!(self.errors, "{}", escape_control(text));
        }
    }

    pub(crate) fn error(&mut self, words: &str, advice: Option<&str>) {
        let advice = advice.map(|advice| {
            let subject = self.subject.as_ref();
            subject.map_or(advice.to_owned(), |id| advice.replace(" ID", &format!(" {id}")))
        });
        let advice = advice.map(|advice| escape_control(&self.with_options(&advice)));
        self.told(&self.with_options(words), advice);
    }

    /// Prints an error and the command that fixes it, unchanged, so that a person can copy it.
    pub(crate) fn error_mended_by(&mut self, words: &str, command: String) {
        self.told(words, Some(command));
    }

    fn told(&mut self, words: &str, advice: Option<String>) {
        let error = paint(self.error_screen, "error:", Colour::Bad);
        let _ = writeln!(self.errors, "{error} {}", escape_control(words));
        if let Some(advice) = advice {
            let _ = writeln!(self.errors, "  {} {advice}", paint(self.error_screen, "→", Colour::Faint));
        }
    }

    /// Prints what clap has to say: requested help on standard output, usage errors on standard error.
    pub(crate) fn show_usage(&mut self, error: &clap::Error) -> u8 {
        let (to, screen): (&mut dyn Write, _) = match error.use_stderr() {
            true => (&mut *self.errors, self.error_screen),
            false => (&mut *self.out, self.screen),
        };
        let text = error.render();
        let written = match screen {
            Screen::Coloured => write!(to, "{}", text.ansi()),
            Screen::Plain | Screen::Terminal => write!(to, "{text}"),
        };
        match written.and_then(|()| to.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 1,
            Ok(()) | Err(_) => u8::try_from(error.exit_code()).unwrap_or(2),
        }
    }
}

/// Adds options to each command in a text, unless it names its own store.
fn with_said(words: &str, said: &str) -> String {
    let mut parts = words.split("`tenure ");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let options = if part.starts_with("--store ") { "" } else { said };
        all += &format!("`tenure{options} {part}");
    }
    all
}

/// A cell of a table. Stored text in it can't affect the terminal.
pub(crate) struct Cell(comfy_table::Cell);

pub(crate) fn plain(value: impl std::fmt::Display) -> Cell {
    Cell(comfy_table::Cell::new(escape_control(&value.to_string())))
}

impl From<Cell> for comfy_table::Cell {
    fn from(cell: Cell) -> comfy_table::Cell {
        cell.0
    }
}

/// Makes stored text safe for a terminal: characters that would move the cursor, change colours or reorder text are shown
/// as escapes. Line breaks stay.
pub(crate) fn escape_control(text: &str) -> String {
    escape(text, |c| c == '\n')
}

/// The same on one line.
pub(crate) fn harmless_line(text: &str) -> String {
    escape(text, |_| false)
}

fn escape(text: &str, may_stay: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if does_something(c) && !may_stay(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Escapes characters in JSON that would affect a terminal: they occur only in strings, where escapes are allowed.
fn escape_json(text: String) -> String {
    if !text.contains(does_something) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if does_something(c) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character affects a terminal: control characters, and those that change the direction of text.
fn does_something(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a colour means. No information is in the colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colour {
    Good,
    Busy,
    Bad,
    Faint,
    Strong,
    /// The first of several that are told apart.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
}

fn paint(screen: Screen, text: &str, colour: Colour) -> String {
    let style = match colour {
        Colour::Good => AnsiColor::Green.on_default(),
        Colour::Busy | Colour::First => AnsiColor::Cyan.on_default(),
        Colour::Bad => AnsiColor::Red.on_default(),
        Colour::Faint => Style::new().dimmed(),
        Colour::Strong => Style::new().bold(),
        Colour::Second => AnsiColor::Magenta.on_default(),
        Colour::Third => AnsiColor::Yellow.on_default(),
    };
    match screen {
        Screen::Coloured => format!("{style}{text}{style:#}"),
        Screen::Plain | Screen::Terminal => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_text_does_nothing_to_a_terminal() {
        let text = "red \u{1b}[31m bell \u{7} back \r up \u{9b}A turned \u{202e}txt.exe\nnext";
        let shown = escape_control(text);
        assert_eq!(shown, "red \\u{1b}[31m bell \\u{7} back \\r up \\u{9b}A turned \\u{202e}txt.exe\nnext");
        assert!(!harmless_line(text).contains('\n'));
        assert_eq!(escape_control("häßlich 日本 – ok"), "häßlich 日本 – ok");
    }

    /// What stands on standard error after these lines.
    fn passed(screen: Screen, lines: &[&str]) -> String {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut errors, (Screen::Plain, None), screen);
        lines.iter().for_each(|line| output.passing_line(line));
        assert!(out.is_empty());
        String::from_utf8(errors).expect("a text")
    }

    #[test]
    fn a_passing_line_is_replaced_and_erased_and_is_only_for_a_terminal() {
        assert_eq!(passed(Screen::Terminal, &["10 tasks", "9 tasks", ""]), "\r10 tasks\r9 tasks \r       \r");
        assert_eq!(passed(Screen::Coloured, &[""]), "", "there is nothing to erase");
        assert_eq!(passed(Screen::Terminal, &["a\u{1b}b"]), "\ra\\u{1b}b");
        assert_eq!(passed(Screen::Plain, &["10 tasks", ""]), "");
    }

    #[test]
    fn json_says_the_same_and_does_nothing_to_a_terminal() {
        let text = "up \u{9b}A \u{7f} turned \u{202e} \u{61c}";
        let shown = escape_json(api::to_json(&text));
        assert_eq!(shown, r#""up \u009bA \u007f turned \u202e \u061c""#);
        assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), text);
        assert_eq!(escape_json(api::to_json(&"häßlich")), "\"häßlich\"");
    }
}
