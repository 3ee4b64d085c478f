//! A task alone, as lines: why it is where it is, its lease, what must be undone, who had it, what happened.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use tenure::core::compensation::{Compensation, Status};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough};
use tenure::store::watch::Watchers;
use tenure::store::{Page, Recorded};
use tenure::why::why_watched;
use tenure_view::history::{attempts, timeline};
use tenure_view::words::{
    Instant, Left, by_hand, failed_tries, last_held, policy_facts, shortened, state_mark,
};

use super::style::{Palette, time_left};
use crate::output::harmless_line;

/// Lines that fit a width.
struct Lines {
    lines: Vec<Line<'static>>,
    width: usize,
    palette: Palette,
}

impl Lines {
    /// A title, with a line before it that is empty.
    fn heading(&mut self, title: &str) {
        self.lines.push(Line::default());
        self.lines.push(Line::styled(title.to_owned(), self.palette.strong()));
    }

    /// A text over as many lines as it takes, each that far from the edge.
    fn text(&mut self, text: &str, indent: usize, style: Style) {
        let options = textwrap::Options::new(self.width.max(20) - 1).subsequent_indent("    ");
        let margin = " ".repeat(indent);
        for line in textwrap::wrap(&harmless_line(text), options.initial_indent(&margin)) {
            self.lines.push(Line::styled(line.into_owned(), style));
        }
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.text(&format!("{name:<16}{value}"), 2, Style::new());
    }

    fn none(&mut self, words: &str) {
        self.text(words, 2, self.palette.faint());
    }
}

/// The lines of a task.
pub(super) fn lines(
    (task, history): (&Task, &Page<Recorded>),
    watchers: &Watchers,
    now: Time,
    (width, palette): (usize, Palette),
) -> Vec<Line<'static>> {
    let mut lines = Lines { lines: Vec::new(), width, palette };
    let mark = state_mark(task.state());
    let stale = if task.is_stale(now) { "  stale" } else { "" };
    lines.lines.push(Line::from(vec![
        Span::styled(task.id.to_string(), palette.strong()),
        Span::raw("  "),
        Span::styled(format!("{} {}{stale}", mark.mark, mark.word), palette.state(task, now)),
    ]));
    lines.text(&why_watched(task, now, watchers).words, 0, Style::new());
    lease(&mut lines, task, now);
    held_last(&mut lines, task);
    compensations(&mut lines, task);
    what_happened(&mut lines, task, history, now);
    facts(&mut lines, task, now);
    lines.lines
}

fn lease(lines: &mut Lines, task: &Task, now: Time) {
    let Some(left) = Left::of(task, now) else { return };
    lines.heading(if task.lease().is_some() { "Lease" } else { "Reservation" });
    let mut spans = vec![Span::raw("  ")];
    spans.extend(time_left(&left, 20, lines.palette));
    lines.lines.push(Line::from(spans));
    let ago = |time: Time| format!("{} ago", rough(now.since(time)));
    if let Some(lease) = task.lease() {
        lines.fact(
            "Held by",
            &format!("{}, epoch {}, since {}", lease.owner, lease.epoch, ago(lease.acquired_at)),
        );
        lines.fact("Last heartbeat", &ago(lease.heartbeat_at));
        if lease.progressed_at > lease.acquired_at {
            lines.fact("Last progress", &ago(lease.progressed_at));
        }
        if let Some(progress) = &lease.progress {
            lines.fact("Progress", progress.as_str());
        }
        if let Some(told) = lease.cancel_told {
            lines.fact("Told to stop", &ago(told.since));
        }
    } else if let Some(reservation) = task.reservation() {
        lines.fact("For", reservation.owner.as_str());
    }
}

fn held_last(lines: &mut Lines, task: &Task) {
    let Some((name, last)) = last_held(task) else { return };
    let (since, until) = (print_seconds(last.since), print_seconds(last.until));
    lines.fact(name, &format!("{} under epoch {}, from {since} to {until}", last.owner, last.epoch));
}

fn compensations(lines: &mut Lines, task: &Task) {
    lines.heading("Compensations, in the order in which they are undone");
    if task.compensations.is_empty() {
        lines.none("none was registered: there is nothing to undo");
    }
    for one in task.compensations.iter().rev() {
        let Compensation { seq, undo, status, tries, .. } = one;
        let style = match status {
            Status::Owed => lines.palette.bad(),
            Status::Done => lines.palette.good(),
            Status::Standing => Style::new(),
            Status::Waived | Status::Void => lines.palette.faint(),
        };
        lines.text(&format!("{seq:>3} {:<8} {} {}", status.as_str(), undo.kind, undo.target), 1, style);
        if let Some(reason) = &undo.reason {
            lines.text(reason.as_str(), 14, lines.palette.faint());
        }
        let who = by_hand(one).map(|words| format!(" ({words})")).unwrap_or_default();
        let receipt = one.receipt.as_ref().map(|receipt| format!("receipt: {receipt}{who}"));
        let waiver = one.waiver.as_ref().map(|waiver| format!("waived: {waiver}"));
        let error = one.last_error.as_ref().map(|error| format!("{}: {error}", failed_tries(*tries)));
        if let Some(words) = receipt.or(waiver).or(error) {
            lines.text(&words, 14, Style::new());
        }
    }
}

fn what_happened(lines: &mut Lines, task: &Task, history: &Page<Recorded>, now: Time) {
    lines.heading("Attempts");
    let attempts = attempts(&history.items, task, now);
    if attempts.is_empty() {
        lines.none("nobody has begun it");
    }
    for one in attempts {
        let end = if one.end.is_empty() { "goes on" } else { &one.end };
        let words = format!(
            "epoch {} {} {}, began {} ago, {}: {end}",
            one.epoch, one.what, one.owner, one.began.rough, one.took
        );
        lines.text(&words, 2, Style::new());
    }
    lines.heading("What happened");
    if history.next.is_some() {
        lines.none(&format!("these are the newest events; the older ones: tenure events --task {}", task.id));
    }
    for one in timeline(&history.items, now) {
        if let Some(pause) = one.pause {
            lines.text(&format!("{pause} later"), 4, lines.palette.faint());
        }
        let Instant { exact, .. } = one.at;
        let words = if one.words.is_empty() { String::new() } else { format!(" {}", one.words) };
        lines.text(&format!("{exact} {}{words} (by {})", one.kind, one.actor), 2, Style::new());
    }
    for words in &history.unreadable {
        lines.text(words, 2, lines.palette.bad());
    }
}

fn facts(lines: &mut Lines, task: &Task, now: Time) {
    let policy = &task.policy;
    lines.heading("Facts");
    lines.fact("Queue", task.queue.as_str());
    lines.fact("Kind", task.kind.as_str());
    lines.fact("Attempt", &format!("{} of {}", task.attempts, policy.max_attempts));
    lines.fact("Created", &format!("{} ago", rough(now.since(task.created_at))));
    lines.fact("Saga", task.saga_id.as_str());
    for (name, value) in policy_facts(policy) {
        lines.fact(name, &value);
    }
    for (key, value) in &task.labels {
        lines.fact("Label", &format!("{key}={value}"));
    }
    for (name, other) in [
        ("A retry of", task.retry_of.as_ref()),
        ("Retried as", task.ending().and_then(|ending| ending.retried_as.as_ref())),
    ] {
        if let Some(other) = other {
            lines.fact(name, other.as_str());
        }
    }
    let result = task.ending().and_then(|ending| ending.result.as_ref());
    let documents =
        [("Payload", Some(&task.payload)), ("Checkpoint", task.checkpoint.as_ref()), ("Result", result)];
    for (name, document) in documents {
        if let Some(text) = document.map(|document| document.as_str()).filter(|text| *text != "null") {
            lines.fact(name, &beginning(text, task));
        }
    }
}

/// A document that may be large.
fn beginning(text: &str, task: &Task) -> String {
    const CHARACTERS_MAX: usize = 2_000;
    let shown = shortened(text, CHARACTERS_MAX);
    if shown == text { shown } else { format!("{shown} (all of it: tenure task show {} -o json)", task.id) }
}
