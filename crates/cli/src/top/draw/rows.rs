//! The lists: a row for each task, under the title of its section; and the queues.

use std::ops::RangeInclusive;

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

/// The widths of the columns where there is room for all.
const MARGIN: usize = 2;
const STATE: usize = 15;
const LEFT: usize = 20;
const BAR: usize = 10;
const ATTEMPT: usize = 6;
/// What is left of them where there is little: of a state its mark, of the time a short bar.
const STATE_MIN: usize = 2;
const LEFT_MIN: usize = 15;
const BAR_MIN: usize = 5;
/// Id and holder take what the longest of them need, within this.
const ID: RangeInclusive<usize> = 16..=40;
const HOLDER: RangeInclusive<usize> = 9..=24;
/// A word on why is only of use if there is room for some.
const WHY_MIN: usize = 24;

/// How many lines the task under the cursor gets.
const ABOUT_LINES: usize = 3;

/// How many tasks are in triage: parked, or ended badly and not seen to, as far as they were read.
pub(super) fn triage_count(snapshot: &Snapshot) -> String {
    let parked = snapshot.count_of(State::Quarantined).max(snapshot.quarantined.len() as u64);
    let more = if snapshot.has_more_that_ended_badly { "+" } else { "" };
    format!("{}{more}", parked + snapshot.ended_badly.len() as u64)
}

/// The widths of the columns on this screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Columns {
    id: usize,
    state: usize,
    holder: usize,
    left: usize,
    bar: usize,
    attempt: usize,
    why: usize,
}

impl Columns {
    /// What matters less makes room for whole ids and holders: the words on why, the tries, half of the bars, the names of the states.
    fn of(width: usize, (id, holder): (usize, usize)) -> Columns {
        let (id, holder) = (within(id + 1, ID), within(holder + 1, HOLDER));
        let mut columns =
            Columns { id, state: STATE, holder, left: LEFT, bar: BAR, attempt: ATTEMPT, why: 0 };
        let rest = width.saturating_sub(columns.sum());
        if rest >= WHY_MIN {
            return Columns { why: rest, ..columns };
        }
        let narrower: [fn(&mut Columns); 3] = [
            |columns| columns.attempt = 0,
            |columns| (columns.left, columns.bar) = (LEFT_MIN, BAR_MIN),
            |columns| columns.state = STATE_MIN,
        ];
        for make_narrower in narrower {
            if columns.sum() > width {
                make_narrower(&mut columns);
            }
        }
        // Then both are cut off, the holder first.
        columns.holder = holder.saturating_sub(columns.sum().saturating_sub(width)).max(*HOLDER.start());
        columns.id = id.saturating_sub(columns.sum().saturating_sub(width));
        columns
    }

    fn sum(self) -> usize {
        MARGIN + self.id + self.state + self.holder + self.left + self.attempt + self.why
    }
}

fn within(width: usize, range: RangeInclusive<usize>) -> usize {
    width.clamp(*range.start(), *range.end())
}

/// The list that is shown.
pub(super) fn body(frame: &mut Frame<'_>, area: Rect, model: &mut Model) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let (lines, cursor_at) = match model.tab {
        Tab::Queues => (queues(model, width), 0),
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
    let (palette, now) = (model.palette, model.now());
    let Some(look) = &model.look else { return (Vec::new(), 0) };
    let watchers = &look.snapshot.overview.recovery;
    if look.only != model.query.only {
        return (vec![Line::raw("reading …")], 0);
    }
    let (mut lines, mut cursor_at) = (Vec::new(), 0);
    let mut nth = 0;
    let sections = model.sections();
    let listed = || sections.iter().flat_map(|section| &section.tasks);
    let longest = |width: &dyn Fn(&Task) -> usize| listed().map(|task| width(task)).max().unwrap_or_default();
    let id = longest(&|task| display_width(task.id.as_str()));
    let holder = longest(&|task| holder(task).map_or(0, display_width));
    let columns = Columns::of(width, (id, holder));
    for section in &sections {
        lines.push(title(section, columns, palette));
        for task in &section.tasks {
            let is_selected = nth == model.cursor.at;
            if is_selected {
                cursor_at = lines.len();
            }
            nth += 1;
            lines.push(row(task, (watchers, now), columns, (palette, is_selected)));
        }
        lines.extend(remark(section, model).map(|words| Line::styled(words, palette.faint())));
    }
    (lines, cursor_at)
}

fn title(section: &Section<'_>, columns: Columns, palette: Palette) -> Line<'static> {
    let Columns { id, state, holder, left, bar: _, attempt, why } = columns;
    let time = if section.tab == Tab::Triage { "ENDED" } else { "TIME LEFT" };
    let name = section.title.to_uppercase();
    let cells = [(&*name, id), ("STATE", state), ("HELD BY", holder), (time, left), ("TRY", attempt)];
    let mut words = " ".repeat(MARGIN);
    // A name that does not fit is of no use.
    words.extend(cells.map(|(name, width)| padded(if name.len() < width { name } else { "" }, width)));
    if why > 0 {
        words.push_str("WHY, PROGRESS");
    }
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
    let state =
        if columns.state < STATE { mark.mark.to_owned() } else { format!("{} {}", mark.mark, mark.word) };
    let mut spans = vec![
        Span::raw(if is_selected { "> " } else { "  " }),
        cell(task.id.as_str(), columns.id),
        Span::styled(padded(&state, columns.state), palette.state(task, now)),
        cell(holder(task).unwrap_or_default(), columns.holder),
    ];
    spans.extend(time(task, now, columns, palette));
    if columns.attempt > 0 {
        spans.push(cell(&format!("{}/{}", task.attempts, task.policy.max_attempts), columns.attempt));
    }
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
fn time(task: &Task, now: Time, columns: Columns, palette: Palette) -> Vec<Span<'static>> {
    let mut spans = match (Left::of(task, now), task.ending()) {
        // Red says it, too, where there is no room for more.
        (Some(left), _) if left.has_lapsed && columns.left < LEFT => {
            vec![Span::styled(format!("lapsed {}", left.until.rough), palette.bad())]
        }
        (Some(left), _) => time_left(&left, columns.bar, palette),
        (None, Some(ending)) => vec![Span::raw(format!("{} ago", rough(now.since(ending.finished_at))))],
        (None, None) => vec![Span::styled("no holder", palette.faint())],
    };
    let width: usize = spans.iter().map(|span| display_width(&span.content)).sum();
    spans.push(Span::raw(" ".repeat(columns.left.saturating_sub(width))));
    spans
}

/// A line for each queue.
fn queues(model: &Model, width: usize) -> Vec<Line<'static>> {
    let (palette, now) = (model.palette, model.now());
    let Some(look) = &model.look else { return Vec::new() };
    // The others take as much.
    let name = width.saturating_sub(63).clamp(12, 32);
    let heading =
        format!("  {:<name$}{:>8}{:>10}{:>11}  {}", "QUEUE", "DUE", "LATER", "IN FLIGHT", "OLDEST DUE");
    let mut lines = vec![Line::styled(heading, palette.faint())];
    for queue in &look.snapshot.overview.queues {
        let due = queue.planned.saturating_sub(queue.later);
        let oldest = queue.due_since.filter(|since| *since <= now).map(|since| rough(now.since(since)));
        let is_left_alone = is_alone(queue, now);
        let alone = if is_left_alone { "  nobody works on it" } else { "" };
        let words = format!(
            "  {}{due:>8}{:>10}{:>11}  {}{alone}",
            padded(queue.queue.as_str(), name),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_less_makes_room_for_ids_and_holders() {
        let at = |width, texts| {
            let Columns { id, state, holder, left, attempt, why, .. } = Columns::of(width, texts);
            assert!(MARGIN + id + state + holder + left + attempt + why <= width, "{width}");
            (id, holder, state, left, attempt, why > 0)
        };
        assert_eq!(at(140, (20, 10)), (21, 11, 15, 20, 6, true));
        assert_eq!(at(80, (20, 10)), (21, 11, 15, 20, 6, false), "no word on why");
        assert_eq!(at(80, (26, 10)), (27, 11, 15, 20, 0, false), "no tries");
        assert_eq!(at(80, (32, 10)), (33, 11, 15, 15, 0, false), "short bars");
        assert_eq!(at(80, (36, 20)), (37, 21, 2, 15, 0, false), "the marks of the states");
        assert_eq!(at(60, (36, 20)), (32, 9, 2, 15, 0, false), "no whole ids");
    }
}
