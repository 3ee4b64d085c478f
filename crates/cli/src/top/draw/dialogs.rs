//! What lies over the screen: the help, the menu of actions, and the form of one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Padding, Paragraph};
use tenure_view::words::state_mark;

use crate::output::harmless_line;
use crate::top::dialog::{Dialog, Field, Form, Menu};
use crate::top::keys;
use crate::top::model::Model;
use crate::top::style::Palette;
use crate::top::text::fitted;

/// How wide a box is, where there is room.
const WIDTH: u16 = 76;

/// Draws what lies over the screen.
pub(super) fn over(frame: &mut Frame<'_>, model: &Model) {
    let width = usize::from(WIDTH.min(frame.area().width).saturating_sub(6));
    if model.shows_help {
        let row = |(keys, does): (&str, &str)| Line::raw(fitted(&format!("{keys:<12}{does}"), width));
        return boxed(frame, "Keys", keys::help().map(row).collect());
    }
    match &model.dialog {
        None => {}
        Some(Dialog::Menu(menu)) => {
            boxed(frame, menu.task.id.as_str(), menu_lines(menu, width, frame.area().height, model.palette));
        }
        Some(Dialog::Form(form)) => {
            let title = format!("{}: {}", form.act.label(), form.task.id);
            boxed(frame, &title, form_lines(form, width, model.palette));
        }
    }
}

fn menu_lines(menu: &Menu, width: usize, height: u16, palette: Palette) -> Vec<Line<'static>> {
    let mark = state_mark(menu.task.state());
    let mut lines =
        vec![Line::raw(format!("{} {}: what may be done now", mark.mark, mark.word)), Line::default()];
    // Those around the cursor, where there is no room for all.
    let room = usize::from(height.saturating_sub(8)).max(1);
    let first = (menu.at + 1).saturating_sub(room);
    for (at, (_, label)) in menu.entries.iter().enumerate().skip(first).take(room) {
        let digit = if at < 9 { (at + 1).to_string() } else { " ".to_owned() };
        let sign = if at == menu.at { ">" } else { " " };
        let words = fitted(&harmless_line(&format!("{sign} {digit}  {label}")), width);
        let line = Line::raw(words);
        lines.push(if at == menu.at { line.style(palette.selected()) } else { line });
    }
    lines.push(Line::default());
    lines.push(Line::styled("Enter says what it will do first; Esc closes", palette.faint()));
    lines
}

fn form_lines(form: &Form, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let wrapped = |text: &str| {
        textwrap::wrap(&harmless_line(text), width)
            .into_iter()
            .map(|line| line.into_owned())
            .collect::<Vec<_>>()
    };
    let mut lines: Vec<Line<'static>> =
        form.effects.iter().flat_map(|effect| wrapped(effect)).map(Line::raw).collect();
    for (at, input) in form.inputs.iter().enumerate() {
        lines.push(Line::default());
        if input.field == Field::Waive {
            lines.extend(owed(form, width));
        }
        lines.extend(wrapped(&input.label).into_iter().map(|line| Line::styled(line, palette.strong())));
        let is_here = at == form.at && !form.is_sent;
        let typed = end_of(&input.text, width.saturating_sub(4));
        let cursor = if is_here { "▏" } else { "" };
        lines.push(Line::from(vec![
            Span::raw(if is_here { "> " } else { "  " }),
            Span::raw(format!("{typed}{cursor}")),
        ]));
    }
    lines.push(Line::default());
    if let Some(error) = &form.error {
        lines.extend(wrapped(error).into_iter().map(|line| Line::styled(line, palette.bad())));
    }
    let hint = match (form.is_sent, form.at + 1 == form.inputs.len()) {
        (true, _) => "waiting for the store …",
        (false, true) => "Enter does it; Esc closes, and nothing is done",
        (false, false) => "Enter goes on; Esc closes, and nothing is done",
    };
    lines.push(Line::styled(hint, palette.faint()));
    lines
}

/// What may be waived or settled; of many the first are named.
fn owed(form: &Form, width: usize) -> Vec<Line<'static>> {
    const NAMED_MAX: usize = 5;
    let named = form.task.owed().take(NAMED_MAX).map(|one| {
        let words = format!("{}  {} {}", one.seq, one.undo.kind, one.undo.target);
        Line::raw(fitted(&harmless_line(&words), width))
    });
    let more = form.task.owed().count().saturating_sub(NAMED_MAX);
    named.chain((more > 0).then(|| Line::raw(format!("and {more} more")))).collect()
}

/// The end of a long text: that is where it is typed.
fn end_of(text: &str, width: usize) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(width)).collect()
}

/// A box in the middle, as high as its lines.
fn boxed(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>) {
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(4);
    let area: Rect = frame.area().centered(Constraint::Max(WIDTH), Constraint::Max(height));
    let block =
        Block::bordered().title(format!(" {} ", harmless_line(title))).padding(Padding::new(2, 2, 1, 1));
    // Nothing stands out beside it.
    let band = Rect { x: 0, width: frame.area().width, ..area };
    frame.render_widget(Clear, band);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
