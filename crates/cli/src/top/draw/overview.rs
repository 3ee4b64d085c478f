//! The head of the screen: where this is, how many tasks are in each state and for how long, how the last hour went, and what needs a
//! person.

use ratatui::text::{Line, Span};
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough};
use tenure::store::overview::{Overview, StateCount};
use tenure_view::needs::needs;
use tenure_view::words::{Instant, state_mark};

use crate::top::model::Model;
use crate::top::style::Palette;
use crate::top::text::fitted;

/// How many of the things that need a person are named.
const NEEDS_MAX: usize = 5;
const NEEDS_MAX_IF_SMALL: usize = 3;
/// What the name of a state takes at most.
const WIDEST: usize = 16;
/// How many bars the chart of an hour has.
const BARS: usize = 30;
const BAR_SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The lines of the head.
pub(super) fn head(model: &Model, width: usize, is_whole: bool) -> Vec<Line<'static>> {
    let palette = model.palette;
    let mut lines = vec![title(model, width)];
    let Some(look) = &model.look else {
        lines.push(Line::raw("reading …"));
        return lines;
    };
    let (overview, now) = (&look.snapshot.overview, model.now());
    if let Some(words) = &model.trouble {
        let words = format!("! NOT CONNECTED: this is as of {}. {words}", print_seconds(now));
        let wrapped = textwrap::wrap(&words, textwrap::Options::new(width).subsequent_indent("  "));
        lines.extend(wrapped.into_iter().take(3).map(|line| Line::styled(line.into_owned(), palette.bad())));
    }
    if is_whole {
        lines.extend(states(overview, now, width, palette));
        lines.push(last_hour(overview, now, palette));
        lines.push(recovery(overview, now, palette));
    }
    let needs = needs(&look.snapshot, now);
    if needs.is_empty() {
        lines.push(Line::styled("Nothing needs you now.", palette.good()));
    }
    let room = if is_whole { NEEDS_MAX } else { NEEDS_MAX_IF_SMALL };
    for need in needs.iter().take(room) {
        let words = format!("! {}", need.words);
        let wrapped = textwrap::wrap(&words, textwrap::Options::new(width).subsequent_indent("  "));
        // Where there is little room, a beginning must do.
        let shown = wrapped.into_iter().take(if is_whole { 2 } else { 1 });
        lines.extend(shown.map(|line| Line::styled(line.into_owned(), palette.bad())));
    }
    if needs.len() > room {
        lines.push(Line::styled(format!("! and {} more", needs.len() - room), palette.bad()));
    }
    if is_whole {
        lines.push(Line::default());
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
    let words = format!("{}  {}  {writes}  {time}", heading.namespace, heading.store);
    Line::from(vec![
        Span::styled("tenure top  ", model.palette.strong()),
        Span::raw(fitted(&words, width.saturating_sub(12))),
    ])
}

/// A column for each state: its name, how many, and the age of the oldest.
fn states(overview: &Overview, now: Time, width: usize, palette: Palette) -> [Line<'static>; 3] {
    let even = width / overview.states.len().max(1);
    let mut lines = [Vec::new(), Vec::new(), Vec::new()];
    for one in &overview.states {
        let mark = state_mark(one.state);
        let column = if even >= WIDEST { even.min(18) } else { (mark.word.len() + 3).max(11) };
        let is_bad =
            one.count > 0 && matches!(one.state, State::Failed | State::Quarantined) || one.stale > 0;
        let style = match (is_bad, one.count) {
            (true, _) => palette.bad(),
            (false, 0) => palette.faint(),
            (false, _) => palette.strong(),
        };
        let oldest = one.oldest.as_ref().map(|oldest| Instant::of(oldest.since, now));
        let age = match oldest {
            Some(at) if at.is_ahead => format!("in {}", at.rough),
            Some(at) if even >= WIDEST => format!("oldest {}", at.rough),
            Some(at) => at.rough,
            None => String::new(),
        };
        for (line, words) in lines.iter_mut().zip([format!("{} {}", mark.mark, mark.word), counted(one), age])
        {
            let words = fitted(&words, column.saturating_sub(1));
            let style = if line.is_empty() && words.starts_with(mark.mark) { palette.faint() } else { style };
            line.push(Span::styled(format!("{words:<column$}"), style));
        }
    }
    lines.map(Line::from)
}

fn counted(one: &StateCount) -> String {
    match (one.stale, one.later) {
        (0, 0) => one.count.to_string(),
        (0, later) => format!("{} ({later} later)", one.count),
        (stale, _) => format!("{} ({stale} stale)", one.count),
    }
}

/// A bar for every two minutes of the last hour, and the sums.
fn last_hour(overview: &Overview, now: Time, palette: Palette) -> Line<'static> {
    let mut bars = [0_u64; BARS];
    let (mut completed, mut badly, mut cancelled) = (0, 0, 0);
    for minute in &overview.minutes {
        let ago = usize::try_from(now.since(minute.at).as_micros() / 60_000_000 / 2).unwrap_or(BARS);
        if let Some(at) = BARS.checked_sub(ago + 1) {
            bars[at] += minute.completed + minute.ended_badly + minute.cancelled;
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
    let watchers = &overview.recovery;
    let kinds: Vec<&str> = watchers.kinds().iter().map(|kind| kind.as_str()).collect();
    let kinds = if kinds.is_empty() { "no kinds of undo".to_owned() } else { kinds.join(", ") };
    match watchers.seen_at {
        Some(seen_at) if watchers.are_there(now) => {
            let words = format!("recovery  seen {} ago, handles {kinds}", rough(now.since(seen_at)));
            Line::styled(words, palette.faint())
        }
        Some(seen_at) => {
            Line::styled(format!("recovery  gone for {}", rough(now.since(seen_at))), palette.bad())
        }
        None => Line::styled("recovery  was never here", palette.faint()),
    }
}
