//! The head of the screen: where this is, how many tasks are in each state and for how long, how the last hour went, and what needs a
//! person.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::instant::print_seconds;
use tenure::store::overview::{Overview, StateCount};
use tenure_view::needs::needs;
use tenure_view::words::{Instant, recovery_words, state_mark};
use textwrap::core::display_width;

use crate::output::harmless_line;
use crate::top::model::Model;
use crate::top::style::Palette;
use crate::top::text::{fitted, padded};

/// How many of the things that need a person are named, where there is room.
const NEEDS_MAX: usize = 5;
/// What the name of a state takes at most.
const WIDEST: usize = 16;
/// How many bars the chart of an hour has, and below that width of the screen.
const BARS: usize = 30;
const BARS_IF_NARROW: usize = 15;
const WIDTH_FOR_BARS: usize = 95;
const BAR_SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The room that the head has.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) width: usize,
    /// The most lines.
    pub(super) height: usize,
    /// Whether it has everything, or only what is wrong.
    pub(super) is_whole: bool,
}

/// The lines of the head.
pub(super) fn head(model: &Model, room: Room) -> Vec<Line<'static>> {
    let Room { width, height, is_whole } = room;
    let palette = model.palette;
    let mut lines = vec![title(model, width)];
    let Some(look) = &model.look else {
        lines.push(Line::raw("reading …"));
        return lines;
    };
    let (overview, now) = (&look.snapshot.overview, model.now());
    if let Some(words) = &model.trouble {
        let words = format!("NOT CONNECTED: this is as of {}. {words}", print_seconds(now));
        lines.extend(alarm(&words, width, palette).into_iter().take(3));
    }
    if is_whole {
        lines.extend(states(overview, now, width, palette));
        lines.push(last_hour(overview, now, width, palette));
        lines.push(recovery(overview, now, palette));
    }
    let rest = height.saturating_sub(lines.len() + usize::from(is_whole)).max(1);
    let needs = needs(&look.snapshot, now);
    let needs: Vec<_> = needs.iter().map(|need| alarm(&need.words, width, palette)).collect();
    match needs.is_empty() {
        true => lines.push(Line::styled("Nothing needs you now.", palette.good())),
        false => lines.extend(that_fit(needs, rest, palette)),
    }
    if is_whole {
        lines.push(Line::default());
    }
    lines
}

/// Something that is wrong, over as many lines as it takes.
fn alarm(words: &str, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let words = harmless_line(&format!("! {words}"));
    let wrapped = textwrap::wrap(&words, textwrap::Options::new(width).subsequent_indent("  "));
    wrapped.into_iter().map(|line| Line::styled(line.into_owned(), palette.bad())).collect()
}

/// The most pressing needs, each whole, and how many more there are. Of the first at least the beginning is shown.
fn that_fit(needs: Vec<Vec<Line<'static>>>, rest: usize, palette: Palette) -> Vec<Line<'static>> {
    let all = needs.len();
    let mut lines = Vec::new();
    for (nth, need) in needs.into_iter().enumerate() {
        // One line is for how many more there are.
        let room = if nth + 1 == all { rest } else { rest.saturating_sub(1) };
        if nth > 0 && (nth == NEEDS_MAX || lines.len() + need.len() > room) {
            lines.push(Line::styled(format!("! and {} more", all - nth), palette.bad()));
            break;
        }
        lines.extend(need.into_iter().take(room.max(1)));
    }
    lines
}

fn title(model: &Model, width: usize) -> Line<'static> {
    let heading = &model.heading;
    let writes = match &heading.writes_as {
        Some(who) => format!("acting as {who}"),
        None => "read-only".to_owned(),
    };
    let time = model.look.as_ref().map(|_| print_seconds(model.now())).unwrap_or_default();
    // The last is what is cut off: it can be long, and its person chose it.
    let words = format!("{}  {writes}  {time}  {}", heading.namespace, heading.store);
    Line::from(vec![
        Span::styled("tenure top  ", model.palette.strong()),
        Span::raw(fitted(&words, width.saturating_sub(12))),
    ])
}

/// What is said of a state: its name, how many tasks are in it, and the age of the oldest.
struct StateColumn {
    words: [String; 3],
    style: Style,
}

impl StateColumn {
    fn of(one: &StateCount, now: Time, before_age: &str, palette: Palette) -> StateColumn {
        let mark = state_mark(one.state);
        let is_bad =
            one.count > 0 && matches!(one.state, State::Failed | State::Quarantined) || one.stale > 0;
        let style = match (is_bad, one.count) {
            (true, _) => palette.bad(),
            (false, 0) => palette.faint(),
            (false, _) => palette.strong(),
        };
        let age = match one.oldest.as_ref().map(|oldest| Instant::of(oldest.since, now)) {
            Some(at) if at.is_ahead => format!("in {}", at.rough),
            Some(at) => format!("{before_age}{}", at.rough),
            None => String::new(),
        };
        StateColumn { words: [format!("{} {}", mark.mark, mark.word), counted(one), age], style }
    }

    fn width(&self) -> usize {
        self.words.iter().map(|words| display_width(words)).max().unwrap_or_default() + 2
    }
}

/// A column for each state, or, where they don't fit beside each other, one after the other.
fn states(overview: &Overview, now: Time, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let even = (width / overview.states.len().max(1)).min(18);
    let before_age = if even >= WIDEST { "oldest " } else { "" };
    let columns: Vec<StateColumn> =
        overview.states.iter().map(|one| StateColumn::of(one, now, before_age, palette)).collect();
    let widths: Vec<usize> =
        columns.iter().map(|one| if even >= WIDEST { even.max(one.width()) } else { one.width() }).collect();
    if widths.iter().sum::<usize>() > width + 2 {
        return in_a_row(&columns, width);
    }
    let line = |nth: usize| {
        let cells = columns.iter().zip(&widths).map(|(one, width)| {
            let style = if nth == 0 { palette.faint() } else { one.style };
            let words = one.words.get(nth).map_or("", String::as_str);
            Span::styled(padded(words, *width), style)
        });
        Line::from(cells.collect::<Vec<_>>())
    };
    (0..3).map(line).collect()
}

fn in_a_row(columns: &[StateColumn], width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for StateColumn { words: [name, count, age], style } in columns {
        let age = if age.is_empty() { String::new() } else { format!(", {age}") };
        let words = format!("{name} {count}{age}");
        match lines.last_mut().filter(|line| line.width() + 3 + display_width(&words) <= width) {
            Some(line) => {
                line.push_span(Span::raw("   "));
                line.push_span(Span::styled(words, *style));
            }
            None => lines.push(Line::from(Span::styled(words, *style))),
        }
    }
    lines
}

fn counted(one: &StateCount) -> String {
    match (one.stale, one.later) {
        (0, 0) => one.count.to_string(),
        (0, later) => format!("{} ({later} later)", one.count),
        (stale, _) => format!("{} ({stale} stale)", one.count),
    }
}

/// Bars for the last hour, and the sums.
fn last_hour(overview: &Overview, now: Time, width: usize, palette: Palette) -> Line<'static> {
    const MINUTES: usize = 60;
    let count = if width >= WIDTH_FOR_BARS { BARS } else { BARS_IF_NARROW };
    let mut bars = vec![0_u64; count];
    let (mut completed, mut badly, mut cancelled) = (0, 0, 0);
    for minute in &overview.minutes {
        let minutes = usize::try_from(now.since(minute.at).as_micros() / 60_000_000).unwrap_or(MINUTES);
        let at = count.checked_sub(minutes * count / MINUTES + 1);
        if let Some(bar) = at.and_then(|at| bars.get_mut(at)) {
            *bar += minute.completed + minute.ended_badly + minute.cancelled;
        }
        completed += minute.completed;
        badly += minute.ended_badly;
        cancelled += minute.cancelled;
    }
    let most = bars.iter().copied().max().unwrap_or_default().max(1);
    let sign = |count: &u64| match count {
        0 => ' ',
        count => BAR_SIGNS[usize::try_from((count * 8).div_ceil(most)).unwrap_or(8).clamp(1, 8) - 1],
    };
    let bars: String = bars.iter().map(sign).collect();
    let style = if badly > 0 { palette.bad() } else { palette.faint() };
    Line::from(vec![
        Span::styled("last hour ", palette.faint()),
        Span::styled(bars, palette.busy()),
        Span::raw(format!("│ {completed} completed  ")),
        Span::styled(format!("{badly} did not succeed"), style),
        Span::raw(format!("  {cancelled} cancelled")),
    ])
}

fn recovery(overview: &Overview, now: Time, palette: Palette) -> Line<'static> {
    let words = format!("recovery  {}", recovery_words(&overview.recovery, now));
    let is_gone = overview.recovery.seen_at.is_some() && !overview.recovery.are_there(now);
    Line::styled(words, if is_gone { palette.bad() } else { palette.faint() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_whole_or_counted_and_of_the_first_there_is_always_a_beginning() {
        let palette = Palette::of(false);
        let two_lines = || alarm("the first of them takes two", 16, palette);
        let fitting = |count: usize, rest| {
            let lines = that_fit(vec![two_lines(); count], rest, palette);
            lines.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let [first, second] = ["! the first of", "  them takes two"].map(str::to_owned);
        let more = |count: u32| format!("! and {count} more");
        assert_eq!(fitting(1, 2), [first.clone(), second.clone()]);
        assert_eq!(fitting(2, 3), [first.clone(), second.clone(), more(1)]);
        assert_eq!(fitting(2, 4).len(), 4);
        assert_eq!(fitting(3, 1), [first, more(2)]);
        assert_eq!(fitting(9, 100).last(), Some(&more(4)), "five are named");
    }
}
