//! The keys, and what each does: one table for the program and for its help.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key means while nothing is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Intent {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    NextTab,
    PreviousTab,
    Filter,
    Sort,
    Act,
    Help,
    Quit,
}

/// The keys of an intent.
struct Row {
    codes: &'static [KeyCode],
    intent: Intent,
    /// How help names the keys.
    keys: &'static str,
    /// What help says of it.
    does: &'static str,
}

const fn row(codes: &'static [KeyCode], intent: Intent, keys: &'static str, does: &'static str) -> Row {
    Row { codes, intent, keys, does }
}

const ROWS: &[Row] = &[
    row(&[KeyCode::Up, KeyCode::Char('k')], Intent::Up, "↑ k", "the row before; in a task, scroll"),
    row(&[KeyCode::Down, KeyCode::Char('j')], Intent::Down, "↓ j", "the row after; in a task, scroll"),
    row(&[KeyCode::PageUp], Intent::PageUp, "PgUp", "a screen up"),
    row(&[KeyCode::PageDown, KeyCode::Char(' ')], Intent::PageDown, "PgDn space", "a screen down"),
    row(&[KeyCode::Home, KeyCode::Char('g')], Intent::First, "Home g", "to the beginning"),
    row(&[KeyCode::End, KeyCode::Char('G')], Intent::Last, "End G", "to the end"),
    row(&[KeyCode::Enter, KeyCode::Right, KeyCode::Char('l')], Intent::Open, "Enter → l", "open the task"),
    row(
        &[KeyCode::Esc, KeyCode::Left, KeyCode::Char('h'), KeyCode::Backspace],
        Intent::Back,
        "Esc ← h",
        "back to the list; there, remove the filter",
    ),
    row(&[KeyCode::Tab], Intent::NextTab, "Tab", "the next list"),
    row(&[KeyCode::BackTab], Intent::PreviousTab, "Shift-Tab", "the list before"),
    row(&[KeyCode::Char('/')], Intent::Filter, "/", "filter the lists"),
    row(&[KeyCode::Char('s')], Intent::Sort, "s", "sort by something else"),
    row(&[KeyCode::Char('a')], Intent::Act, "a", "act on the task, with --write"),
    row(&[KeyCode::Char('?'), KeyCode::F(1)], Intent::Help, "? F1", "this help"),
    row(&[KeyCode::Char('q')], Intent::Quit, "q Ctrl-C", "quit; from a task, back to the list"),
];

/// Whether it ends the program wherever it is pressed.
pub(super) fn is_interrupt(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// What a key means while nothing is typed.
pub(super) fn intent(key: KeyEvent) -> Option<Intent> {
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return None;
    }
    ROWS.iter().find(|row| row.codes.contains(&key.code)).map(|row| row.intent)
}

/// The keys with what each does, for the help.
pub(super) fn help() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROWS.iter().map(|row| (row.keys, row.does))
}
