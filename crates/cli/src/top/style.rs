//! How things look, with colour or without.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;
use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure_view::words::Left;

/// The styles of a terminal.
#[derive(Clone, Copy)]
pub(super) struct Palette {
    is_coloured: bool,
}

impl Palette {
    pub(super) fn of(is_coloured: bool) -> Palette {
        Palette { is_coloured }
    }

    fn colour(self, colour: Color, else_by: Modifier) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new().add_modifier(else_by) }
    }

    /// What needs a person.
    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red, Modifier::BOLD).add_modifier(Modifier::BOLD)
    }

    /// What goes on.
    pub(super) fn busy(self) -> Style {
        self.colour(Color::Cyan, Modifier::empty())
    }

    /// What went well.
    pub(super) fn good(self) -> Style {
        self.colour(Color::Green, Modifier::empty())
    }

    /// What is of less weight.
    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Headings.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The row under the cursor.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// That of a task's state.
    pub(super) fn state(self, task: &Task, now: Time) -> Style {
        match task.state() {
            _ if task.is_stale(now) => self.bad(),
            State::Planned | State::Compensated => self.faint(),
            State::Dispatched | State::Running | State::Compensating => self.busy(),
            State::Completed => self.good(),
            State::Failed | State::Quarantined => self.bad(),
        }
    }
}

/// A bar of what is left of a lease, with words for it.
pub(super) fn time_left(left: &Left, width: usize, palette: Palette) -> Vec<Span<'static>> {
    if left.has_lapsed {
        return vec![Span::styled(format!("lapsed {} ago", left.until.rough), palette.bad())];
    }
    let full = usize::try_from(left.share).unwrap_or(1_000) * width;
    // What is left at all is seen.
    let full = full.div_ceil(1_000).min(width);
    let style = if left.share < 200 { palette.bad() } else { palette.busy() };
    vec![
        Span::styled("█".repeat(full), style),
        Span::styled("░".repeat(width - full), palette.faint()),
        Span::raw(format!(" {}", left.until.rough)),
    ]
}
