//! The lists: a row for each task, under the title of its section; and the queues.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure::instant::rough;
use tenure::store::watch::Watchers;
use tenure::why::why_watched;
use tenure_view::Snapshot;
use tenure_view::needs::is_alone;
use tenure_view::words::{Left, holder, oddities, row_words, state_mark};
use textwrap::core::display_width;

use crate::output::harmless_line;
use crate::top::list::{Section, Tab};
use crate::top::model::Model;
use crate::top::style::{Palette, time_left};
use crate::top::text::{fitted, padded};

/// The widths of the columns that don't grow.
const STATE: usize = 15;
const LEFT: usize = 20;
const BAR: usize = 10;
const ATTEMPT: usize = 6;
/// Below this width of the screen nobody is named as holder, and below the other there is no word on why.
const WIDTH_FOR_HOLDER: usize = 76;
const WIDTH_FOR_WHY: usize = 100;

/// How many lines the task under the cursor gets.
const ABOUT_LINES: usize = 3;

/// How many tasks are in triage: parked, or ended badly and not seen to, as far as they were read.
pub(super) fn triage_count(snapshot: &Snapshot) -> String {
    let parked = snapshot.count_of(State::Quarantined).max(snapshot.quarantined.len() as u64);
    let more = if snapshot.has_more_that_ended_badly { "+" } else { "" };
    format!("{}{more}", parked + snapshot.ended_badly.len() as u64)
}

/// The widths of the columns on this screen.
#[derive(Clone, Copy)]
struct Columns {
    id: usize,
    holder: usize,
    why: usize,
}

impl Columns {
    fn of(width: usize) -> Columns {
        let fixed = 2 + STATE + LEFT + ATTEMPT;
        let holder = if width >= WIDTH_FOR_HOLDER { 14 } else { 0 };
        let rest = width.saturating_sub(fixed + holder);
        match width >= WIDTH_FOR_WHY {
            true => {
                let id = (rest * 2 / 5).clamp(16, 36);
                Columns { id, holder, why: rest.saturating_sub(id) }
            }
            false => Columns { id: rest, holder, why: 0 },
        }
    }
}

/// The list that is shown.
pub(super) fn body(frame: &mut Frame<'_>, area: Rect, model: &mut Model) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let (lines, cursor_at) = match model.tab {
        Tab::Queues => (queues(model), 0),
        Tab::All | Tab::Stale | Tab::Triage | Tab::InFlight => tasks(model, width),
    };
    // The first task comes with the title above it.
    let cursor_at = match model.tab {
        Tab::Queues => model.first_row,
        _ if model.cursor.at == 0 => 0,
        Tab::All | Tab::Stale | Tab::Triage | Tab::InFlight => cursor_at,
    };
    let last_first = lines.len().saturating_sub(height);
    let lowest = (cursor_at + 1).saturating_sub(height);
    model.first_row = model.first_row.clamp(lowest, cursor_at.max(lowest)).min(last_first);
    let shown: Vec<Line<'_>> = lines.into_iter().skip(model.first_row).take(height).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

/// The lines of the tasks, and which of them is under the cursor.
fn tasks(model: &Model, width: usize) -> (Vec<Line<'static>>, usize) {
    let (palette, now, columns) = (model.palette, model.now(), Columns::of(width));
    let Some(look) = &model.look else { return (Vec::new(), 0) };
    let watchers = &look.snapshot.overview.recovery;
    if look.only != model.query.only {
        return (vec![Line::raw("reading …")], 0);
    }
    let (mut lines, mut cursor_at) = (Vec::new(), 0);
    let mut nth = 0;
    for section in model.sections() {
        lines.push(title(&section, columns, palette));
        for task in &section.tasks {
            let is_selected = nth == model.cursor.at;
            if is_selected {
                cursor_at = lines.len();
            }
            nth += 1;
            lines.push(row(task, (watchers, now), columns, (palette, is_selected)));
        }
        lines.extend(remark(&section, model).map(|words| Line::styled(words, palette.faint())));
    }
    (lines, cursor_at)
}

fn title(section: &Section<'_>, columns: Columns, palette: Palette) -> Line<'static> {
    let Columns { id, holder, why } = columns;
    let (held, said) = (if holder > 0 { "HELD BY" } else { "" }, if why > 0 { "WHY, PROGRESS" } else { "" });
    let time = if section.tab == Tab::Triage { "ENDED" } else { "TIME LEFT" };
    let name = section.title.to_uppercase();
    let words =
        format!("  {name:<id$}{:<STATE$}{held:<holder$}{time:<LEFT$}{:<ATTEMPT$}{said}", "STATE", "TRY");
    Line::styled(words, palette.faint())
}

/// What a section says below its rows.
fn remark(section: &Section<'_>, model: &Model) -> Option<String> {
    match (section.tasks.is_empty(), section.more) {
        (_, 0) if section.or_more => Some("  and more".to_owned()),
        (true, 0) if model.query.is_empty() => Some("  none".to_owned()),
        (true, 0) => Some("  none that the filter lets through".to_owned()),
        (false, 0) => None,
        (_, more) => Some(format!("  and {more} more")),
    }
}

fn row(
    task: &Task,
    (watchers, now): (&Watchers, Time),
    columns: Columns,
    (palette, is_selected): (Palette, bool),
) -> Line<'static> {
    let mark = state_mark(task.state());
    let mut spans = vec![
        Span::raw(if is_selected { "> " } else { "  " }),
        cell(task.id.as_str(), columns.id),
        Span::styled(padded(&format!("{} {}", mark.mark, mark.word), STATE), palette.state(task, now)),
    ];
    if columns.holder > 0 {
        spans.push(cell(holder(task).unwrap_or_default(), columns.holder));
    }
    spans.extend(time(task, now, palette));
    spans.push(cell(&format!("{}/{}", task.attempts, task.policy.max_attempts), ATTEMPT));
    if columns.why > 0 {
        let progress = task.lease().filter(|lease| !lease.has_lapsed(now));
        let progress = progress.and_then(|lease| lease.progress.as_ref()).map(|progress| progress.as_str());
        let words = progress.map_or_else(|| row_words(task, watchers, now), str::to_owned);
        let odd = oddities(task).map(|odd| format!("{odd}; ")).unwrap_or_default();
        let words = format!("{odd}{words}");
        spans.push(Span::raw(fitted(&harmless_line(&words), columns.why)));
    }
    let line = Line::from(spans);
    if is_selected { line.style(palette.selected()) } else { line }
}

/// Why the task under the cursor is where it is: a row has no room for all of it.
pub(super) fn about_selected(model: &Model, width: usize) -> Vec<Line<'static>> {
    let (Some(task), Some(look)) = (model.task(), &model.look) else { return Vec::new() };
    if model.tab == Tab::Queues {
        return Vec::new();
    }
    let why = why_watched(task, model.now(), &look.snapshot.overview.recovery).sentence;
    let why = harmless_line(&why);
    let mut lines: Vec<String> =
        textwrap::wrap(&why, width).into_iter().map(|line| line.into_owned()).collect();
    if lines.len() > ABOUT_LINES {
        lines.truncate(ABOUT_LINES);
        lines[ABOUT_LINES - 1] = fitted(&format!("{} …", lines[ABOUT_LINES - 1]), width);
    }
    // Always as many, so that the list does not jump.
    lines.resize(ABOUT_LINES, String::new());
    lines.into_iter().map(Line::raw).collect()
}

/// A bar for what is left of a lease, or when it ended.
fn time(task: &Task, now: Time, palette: Palette) -> Vec<Span<'static>> {
    let mut spans = match (Left::of(task, now), task.ending()) {
        (Some(left), _) => time_left(&left, BAR, palette),
        (None, Some(ending)) => vec![Span::raw(format!("{} ago", rough(now.since(ending.finished_at))))],
        (None, None) => vec![Span::styled("nobody holds it", palette.faint())],
    };
    let width: usize = spans.iter().map(|span| display_width(&span.content)).sum();
    spans.push(Span::raw(" ".repeat(LEFT.saturating_sub(width))));
    spans
}

/// A line for each queue.
fn queues(model: &Model) -> Vec<Line<'static>> {
    let (palette, now) = (model.palette, model.now());
    let Some(look) = &model.look else { return Vec::new() };
    let heading =
        format!("  {:<32}{:>8}{:>10}{:>11}  {}", "QUEUE", "DUE", "LATER", "IN FLIGHT", "OLDEST DUE");
    let mut lines = vec![Line::styled(heading, palette.faint())];
    for queue in &look.snapshot.overview.queues {
        let due = queue.planned.saturating_sub(queue.later);
        let oldest = queue.due_since.filter(|since| *since <= now).map(|since| rough(now.since(since)));
        let is_left_alone = is_alone(queue, now);
        let alone = if is_left_alone { "  nobody works on it" } else { "" };
        let words = format!(
            "  {}{due:>8}{:>10}{:>11}  {}{alone}",
            padded(queue.queue.as_str(), 32),
            queue.later,
            queue.in_flight,
            oldest.unwrap_or_default()
        );
        let style = if is_left_alone { palette.bad() } else { ratatui::style::Style::new() };
        lines.push(Line::styled(words, style));
    }
    if look.snapshot.overview.queues.is_empty() {
        lines.push(Line::styled("  no queue has tasks that have not ended", palette.faint()));
    }
    lines
}

fn cell(text: &str, width: usize) -> Span<'static> {
    Span::raw(padded(&harmless_line(text), width))
}
