//! Draws the model.

mod dialogs;
mod overview;
mod rows;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::detail;
use super::list::Tab;
use super::model::Model;

/// Below this there is no picture.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 10;
/// From this height on the head has everything.
const HEIGHT_FOR_ALL: u16 = 20;
/// What the head leaves to the list.
const BODY_MIN: usize = 6;
const BODY_MIN_IF_SMALL: usize = 3;

/// The whole screen.
pub(super) fn screen(frame: &mut Frame<'_>, model: &mut Model) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let words = format!("tenure top needs {WIDTH_MIN} × {HEIGHT_MIN} characters; q ends it");
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let about =
        if model.open.is_some() { Vec::new() } else { rows::about_selected(model, usize::from(area.width)) };
    let is_whole = area.height >= HEIGHT_FOR_ALL;
    // The line of the tabs, and the last one.
    let others = about.len() + 2 + if is_whole { BODY_MIN } else { BODY_MIN_IF_SMALL };
    let room = overview::Room {
        width: usize::from(area.width),
        height: usize::from(area.height).saturating_sub(others),
        is_whole,
    };
    let head = overview::head(model, room);
    let heights = [
        Constraint::Length(u16::try_from(head.len()).unwrap_or(1)),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(u16::try_from(about.len()).unwrap_or_default()),
        Constraint::Length(1),
    ];
    let [top, tabs, body, below, foot] = Layout::vertical(heights).areas(area);
    frame.render_widget(Paragraph::new(head), top);
    model.rows_seen = usize::from(body.height);
    if model.open.is_some() {
        frame.render_widget(Paragraph::new(rule("A task", tabs, model)), tabs);
        task(frame, body, model);
    } else {
        frame.render_widget(Paragraph::new(tab_line(model)), tabs);
        rows::body(frame, body, model);
    }
    frame.render_widget(Paragraph::new(about), below);
    frame.render_widget(Paragraph::new(foot_line(model)), foot);
    dialogs::over(frame, model);
}

fn rule(title: &str, area: Rect, model: &Model) -> Line<'static> {
    let rest = usize::from(area.width).saturating_sub(title.len() + 4);
    Line::styled(format!("── {title} {}", "─".repeat(rest)), model.palette.faint())
}

/// The lists, with how many tasks each has; the one that is shown stands in brackets.
fn tab_line(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    for tab in Tab::ALL {
        let count = match (tab, &model.look) {
            (Tab::All, _) | (_, None) => String::new(),
            (Tab::Stale, Some(look)) => format!(" {}", look.snapshot.stale_count()),
            (Tab::Triage, Some(look)) => format!(" {}", rows::triage_count(&look.snapshot)),
            (Tab::InFlight, Some(look)) => format!(" {}", look.snapshot.in_flight_count()),
            (Tab::Queues, Some(look)) => format!(" {}", look.snapshot.overview.queues.len()),
        };
        let words = format!("{}{count}", tab.name());
        spans.push(match tab == model.tab {
            true => Span::styled(format!("[{words}]"), model.palette.strong()),
            false => Span::styled(format!(" {words} "), model.palette.faint()),
        });
    }
    spans.push(Span::styled(format!("  by {}", model.sort.words()), model.palette.faint()));
    if !model.query.is_empty() {
        let from = if model.query.asks_store() { "" } else { " among what was read" };
        spans.push(Span::styled(format!("  only {}{from}", model.query.text), model.palette.strong()));
    }
    Line::from(spans)
}

/// The open task, from the line that is scrolled to.
fn task(frame: &mut Frame<'_>, area: Rect, model: &mut Model) {
    let now = model.now();
    let Some(open) = &mut model.open else { return };
    let seen = model.look.as_ref().and_then(|look| {
        let seen = look.open.as_ref().filter(|seen| seen.id == open.id)?;
        Some((seen, &look.snapshot.overview.recovery))
    });
    let lines = match seen.map(|(seen, watchers)| (seen.found.as_ref(), watchers)) {
        None => vec![Line::raw("reading …")],
        Some((None, _)) => vec![Line::raw(format!("there is no task {} any more", open.id))],
        Some((Some((task, history)), watchers)) => {
            detail::lines((task, history), watchers, now, (usize::from(area.width), model.palette))
        }
    };
    open.lines = lines.len();
    open.scroll = open.scroll.min(open.lines.saturating_sub(usize::from(area.height)));
    let shown: Vec<Line<'_>> = lines.into_iter().skip(open.scroll).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

/// What is typed, what went wrong, what was done, or else the keys.
fn foot_line(model: &Model) -> Line<'static> {
    let palette = model.palette;
    if let Some((text, wrong)) = &model.typed {
        let hint = wrong.clone().unwrap_or_else(|| {
            "id, owner, queue, kind, label, reason; of the store: queue:NAME owner:NAME last_owner:NAME label:KEY=VALUE"
                .to_owned()
        });
        let style = if wrong.is_some() { palette.bad() } else { palette.faint() };
        return Line::from(vec![
            Span::styled(format!("/{text}▏"), palette.strong()),
            Span::styled(format!("  {hint}"), style),
        ]);
    }
    if let Some(words) = &model.said {
        return Line::styled(crate::output::harmless_line(words), palette.strong());
    }
    let act = if model.heading.writes_as.is_some() { "a act  " } else { "" };
    Line::styled(
        match (&model.open, &model.open.as_ref().map(|open| open.lines > model.rows_seen)) {
            (Some(_), Some(true)) => format!("↑↓ scroll  {act}Esc back  ? help  Ctrl-C quit"),
            (Some(_), _) => format!("{act}Esc back  ? help  Ctrl-C quit"),
            (None, _) => format!("↑↓ move  Enter open  {act}Tab list  / filter  s sort  ? help  q quit"),
        },
        palette.faint(),
    )
}
