//! `cargo xtask docs`: writes the page of the lifecycle from the table.
//!
//! This module knows nothing about the lifecycle: everything on the page comes from the table.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::path::Path;

use tenure_core::lifecycle::{Guard, Outcome, Place, Row, Table};
use tenure_core::refusal::Code;
use tenure_core::task::State;
use tenure_core::verb::Verb;

use crate::run::{Result, Tally, Verdict};

const PAGE: &str = "docs/lifecycle.md";

const OPENING: &str = "\
# The lifecycle

This page is generated from the table in `crates/core/src/lifecycle.rs` by `cargo xtask docs`: change the table, not
the page.

What a command does is decided by where its task is and by a guard, a plain question about task, command and time.
Exactly one row answers each combination. Its answer is where the task may be afterwards, or a refusal, which changes
nothing.

## States

";

const BELOW_THE_DIAGRAM: &str = "
Refusals are not drawn. The second task that a `retry` makes is not drawn either.
";

const BEFORE_THE_END: &str = "
## The end of compensating

Where an answer above ends with it, nothing is owed any more once its events have happened, and one of these rows says
where the task goes.

";

const BEFORE_REFUSALS: &str = "
## Refusals

Every code, and the rows that answer with it.

";

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<Verdict> {
    let path = root.join(PAGE);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, page(Table::rules()))?;
    println!("wrote {PAGE}");
    Ok(Verdict::Passed)
}

/// Says whether the page on disk is the one that would be written.
pub(crate) fn check(root: &Path) -> Result<Tally> {
    let on_disk = match std::fs::read_to_string(root.join(PAGE)) {
        Ok(on_disk) => on_disk,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(why) => return Err(format!("{PAGE}: {why}").into()),
    };
    match first_difference(&on_disk, &page(Table::rules())) {
        None => {
            println!("{PAGE} is as the table has it");
            Ok(Tally { passed: 1, ..Tally::default() })
        }
        Some(difference) => {
            println!("{PAGE}:{difference}\nrun `cargo xtask docs` and commit the page with the table");
            Ok(Tally { failed: 1, ..Tally::default() })
        }
    }
}

/// The whole page.
fn page(table: &Table) -> String {
    let mut page = String::from(OPENING);
    page.push_str(&diagram(table));
    page.push_str(BELOW_THE_DIAGRAM);
    page.push_str("\n## Commands\n");
    for verb in Verb::ALL.iter().copied() {
        page.push_str(&commands(table, verb));
    }
    page.push_str(BEFORE_THE_END);
    page.push_str(&ends(table));
    page.push_str(BEFORE_REFUSALS);
    page.push_str(&refusals(table));
    page
}

/// Each pair of places that some row leads from and to, with the commands that do.
fn diagram(table: &Table) -> String {
    let place_number = |place: Place| Place::ALL.iter().position(|other| *other == place);
    let mut edges: BTreeMap<_, (Place, Place, Vec<&str>)> = BTreeMap::new();
    for row in table.rows() {
        for (from, to) in steps_of(row) {
            let key = (place_number(from), place_number(to));
            let (_, _, verbs) = edges.entry(key).or_insert((from, to, Vec::new()));
            for verb in row.verbs.iter().map(|verb| verb.as_str()) {
                if !verbs.contains(&verb) {
                    verbs.push(verb);
                }
            }
        }
    }
    let mut lines = String::from("```mermaid\nstateDiagram-v2\n");
    for (from, to, verbs) in edges.values() {
        line(&mut lines, format_args!("    {} --> {}: {}", drawn(*from), drawn(*to), verbs.join(", ")));
    }
    lines.push_str("```\n");
    lines
}

/// Where a row leads to from each of its places.
fn steps_of(row: &Row) -> Vec<(Place, Place)> {
    if stays(row) {
        return row.places.iter().map(|place| (*place, *place)).collect();
    }
    let to = row.outcome.leads_to();
    row.places.iter().flat_map(|from| to.iter().map(|to| (*from, *to))).collect()
}

/// A row of several places that may lead to each of them leaves a task where it is: one note is left in whatever state
/// the task is in, and moves it to none of the others.
fn stays(row: &Row) -> bool {
    row.places.len() > 1 && row.places.iter().all(|place| row.outcome.leads_to().contains(place))
}

fn drawn(place: Place) -> &'static str {
    match place {
        Place::Absent => "[*]",
        Place::In(_) => place.as_str(),
    }
}

/// One command's rows, in the table's order.
fn commands(table: &Table, verb: Verb) -> String {
    let mut lines = format!("\n### {}\n\n", verb.as_str());
    lines.push_str("| place | guard | answer | row | reason |\n|---|---|---|---|---|\n");
    for row in table.rows().iter().filter(|row| row.verbs.contains(verb)) {
        let (places, guard, answer) = (places(row.places), guard(&row.guard), answer(row));
        let reason = cell(row.reason);
        line(&mut lines, format_args!("| {places} | {guard} | {answer} | `{}` | {reason} |", row.label));
    }
    lines
}

fn ends(table: &Table) -> String {
    let mut lines = String::from("| guard | the task is then | row | reason |\n|---|---|---|---|\n");
    for end in table.ends() {
        let (guard, reason) = (guard(&end.guard), cell(end.reason));
        line(&mut lines, format_args!("| {guard} | `{}` | `{}` | {reason} |", end.to.as_str(), end.label));
    }
    lines
}

fn refusals(table: &Table) -> String {
    let mut lines = String::new();
    for code in Code::ALL {
        let refuses = |row: &&Row| matches!(row.outcome, Outcome::Refuse(refused) if refused == code);
        let rows = table.rows().iter().filter(refuses).map(|row| format!("`{}`", row.label));
        let rows: Vec<String> = rows.collect();
        match rows.is_empty() {
            true => line(&mut lines, format_args!("- `{code}`: no row; it is answered outside the table")),
            false => line(&mut lines, format_args!("- `{code}`: {}", rows.join(", "))),
        }
    }
    lines
}

fn answer(row: &Row) -> String {
    let to = if stays(row) { "stays where it is".to_owned() } else { places(row.outcome.leads_to()) };
    match row.outcome {
        Outcome::Refuse(code) => format!("refused: `{code}`"),
        Outcome::Do(..) => to,
        Outcome::DoThenEnd(..) => format!("{to}, by the [end of compensating](#the-end-of-compensating)"),
        Outcome::Spawn(..) => format!("{to}, and a second task is made"),
    }
}

/// `a`, `b` or `c`; or that it is every state.
fn places(places: &[Place]) -> String {
    if State::ALL.iter().all(|state| places.contains(&Place::In(*state))) && !places.contains(&Place::Absent)
    {
        return "any state".to_owned();
    }
    let names: Vec<String> = places.iter().map(|place| format!("`{}`", place.as_str())).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [before @ .., end] => format!("{} or {end}", before.join(", ")),
    }
}

/// A guard's question in words, and the name to look it up by.
fn guard(guard: &Guard) -> String {
    format!("{} (`{}`)", guard.name.replace('_', " "), guard.name)
}

/// Words that a table's cell can hold.
fn cell(words: &str) -> String {
    words.replace('|', "\\|")
}

fn line(lines: &mut String, words: impl Display) {
    // Writing to a string can't fail.
    let _ = writeln!(lines, "{words}");
}

/// The number of the first line that differs, and both of its versions.
fn first_difference(is: &str, should_be: &str) -> Option<String> {
    if is == should_be {
        return None;
    }
    let (mut is, mut should_be) = (is.split('\n'), should_be.split('\n'));
    for number in 1_usize.. {
        match (is.next(), should_be.next()) {
            (Some(is), Some(should_be)) if is == should_be => {}
            (None, None) => break,
            (is, should_be) => {
                return Some(format!("{number}: is {}, should be {}", quoted(is), quoted(should_be)));
            }
        }
    }
    None
}

fn quoted(line: Option<&str>) -> String {
    line.map_or("not there".to_owned(), |line| format!("`{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_row_command_and_code() {
        let table = Table::rules();
        let page = page(table);
        let labels = table.rows().iter().map(|row| row.label).chain(table.ends().iter().map(|end| end.label));
        for label in labels.chain(Code::ALL.iter().map(|code| code.as_str())) {
            assert!(page.contains(&format!("`{label}`")), "{label}");
        }
        for verb in Verb::ALL.iter().copied() {
            assert!(page.contains(&format!("\n### {}\n", verb.as_str())), "{verb:?}");
        }
    }

    #[test]
    fn no_edge_is_drawn_out_of_an_end() {
        for (from, to) in Table::rules().rows().iter().flat_map(steps_of) {
            let is_end = matches!(from, Place::In(state) if state.terminal().is_some());
            assert!(!is_end || from == to, "{} --> {}", from.as_str(), to.as_str());
        }
    }

    #[test]
    fn a_task_begins_at_the_star_and_edges_are_merged() {
        let diagram = diagram(Table::rules());
        assert!(diagram.contains("    [*] --> planned: create, put\n"), "{diagram}");
        let edges: Vec<&str> =
            diagram.lines().filter_map(|line| line.split_once(": ")).map(|(edge, _)| edge).collect();
        let mut once = edges.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), edges.len());
    }

    #[test]
    fn a_difference_is_said_with_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n").as_deref(), Some("2: is `b`, should be `c`"));
        assert_eq!(first_difference("a\n", "a\nb\n").as_deref(), Some("2: is ``, should be `b`"));
        assert_eq!(first_difference("a", "a\n").as_deref(), Some("2: is not there, should be ``"));
    }
}
