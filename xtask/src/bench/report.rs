//! The report: a table for each row, the goals, the machine, and what was not run.

use std::collections::{BTreeMap, BTreeSet};

use super::contender::{Contender, TENURE};
use super::goals::{Goal, GoalVerdict, Least};
use super::machine::Machine;
use super::numbers::grouped;
use super::results::{Measurement, Outcome};
use super::row::{Row, Shape};
use super::summary::{Rounds, Spread};

/// What the report is made of.
pub(super) struct ReportData<'a> {
    pub(super) contenders: &'a [Contender],
    pub(super) measurements: &'a [Measurement],
    pub(super) machine: &'a Machine,
    pub(super) goals: &'a [Goal],
    pub(super) parameters: &'a str,
    /// Rows that were not measured, with the reason.
    pub(super) missing: &'a [(Row, String)],
    /// The plots that were drawn: the name of the file and what it shows.
    pub(super) plots: &'a [(&'static str, &'static str)],
}

impl ReportData<'_> {
    /// In Markdown.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# Comparison with other programs\n\nWritten by `cargo xtask bench`: {}. bench/README.md says what the \
             programs do. The programs of a row ran in turns; figures are medians of the rounds, and a ratio is the median of \
             the ratios of each round.\n\n",
            self.parameters
        );
        text += &self.machine();
        for (file, shown) in self.plots {
            text += &format!("![{shown}]({file})\n\n");
        }
        text += &self.goals();
        for shape in Shape::ALL {
            text += &self.shape(shape);
        }
        text += &self.not_run();
        text += &self.notes();
        text
    }

    fn machine(&self) -> String {
        let facts = self.machine.facts.iter().map(|(name, value)| format!("| {name} | {} |\n", cell(value)));
        format!("## Machine\n\n| | |\n|---|---|\n{}\n", facts.collect::<String>())
    }

    fn goals(&self) -> String {
        let mut text = "## Goals\n\n| Tenure in | goal | measured | |\n|---|---|---|---|\n".to_owned();
        for goal in self.goals {
            let (measured, verdict) = match goal.verdict(self.measurements) {
                GoalVerdict::Reached(measured) => (measured, "reached"),
                GoalVerdict::Missed(measured) => (measured, "**missed**"),
                GoalVerdict::Unknown => (String::new(), "not measured"),
            };
            text += &format!("| {} | {} | {measured} | {verdict} |\n", goal.row.name(), goal.asked());
        }
        text + "\n"
    }

    fn shape(&self, shape: Shape) -> String {
        let mut rows: Vec<Row> = self.measurements.iter().map(|measurement| measurement.row).collect();
        rows.sort_unstable();
        rows.dedup();
        rows.retain(|row| row.shape == shape);
        if rows.is_empty() {
            return String::new();
        }
        let mut text = format!("## `{}`\n\n{}\n\n", shape.name(), shape.described());
        let mut checks = BTreeMap::new();
        for row in rows {
            text += &self.row(&row, &mut checks);
        }
        text += "How the work was checked, in the last round of the last table:\n\n";
        text += &checks.values().map(|check| format!("- {check}\n")).collect::<String>();
        text + "\n"
    }

    fn row(&self, row: &Row, checks: &mut BTreeMap<String, String>) -> String {
        let ours = Rounds::of(self.measurements, row, TENURE);
        let mut lines = Vec::new();
        for contender in self.contenders.iter().filter(|contender| contender.is_in(row)) {
            let Some(rounds) = Rounds::of(self.measurements, row, &contender.name) else { continue };
            if let Some(figures) = rounds.last() {
                let check = format!("{}: {}", title(contender), figures.checked.trim());
                checks.insert(contender.title.clone(), check);
            }
            let goal = self.goal(row, &contender.name);
            lines.push((rounds.median_speed(), line(contender, &rounds, ours.as_ref(), &goal)));
        }
        lines.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let lines: String = lines.into_iter().map(|(_, line)| line).collect();
        format!(
            "### {}\n\n| program | version | callers × batch | per second | least to most | p50 ms | p99 ms | Tenure : it | goal |\n\
             |---|---|---|---|---|---|---|---|---|\n{lines}\n",
            row.size()
        )
    }

    /// The goal of Tenure's ratio to that program in the same row.
    fn goal(&self, row: &Row, program: &str) -> String {
        let is_here = |goal: &&Goal| {
            goal.row == *row
                && match &goal.least {
                    Least::Times(_, point) => point.row == *row && point.program == program,
                    Least::LatencyMost { .. } | Least::LongestMost(_) => program == TENURE,
                }
        };
        let Some(goal) = self.goals.iter().find(is_here) else { return String::new() };
        let asked = match &goal.least {
            Least::Times(times, _) => format!("≥ {times}"),
            Least::LatencyMost { p50, p99 } => format!("p50 ≤ {p50}, p99 ≤ {p99}"),
            Least::LongestMost(p999) => format!("p99.9 ≤ {p999}"),
        };
        match goal.verdict(self.measurements) {
            GoalVerdict::Reached(_) => format!("{asked}: reached"),
            GoalVerdict::Missed(_) => format!("{asked}: **missed**"),
            GoalVerdict::Unknown => asked,
        }
    }

    fn not_run(&self) -> String {
        let mut lines: Vec<String> =
            self.contenders.iter().flat_map(|contender| self.troubles(contender)).collect();
        lines.extend(self.missing.iter().map(|(row, why)| format!("- {}: {}\n", row.name(), cell(why))));
        match lines.is_empty() {
            true => "## Not run, or failed\n\nEverything was run.\n\n".to_owned(),
            false => format!("## Not run, or failed\n\n{}\n", lines.concat()),
        }
    }

    /// Each reason once, with the rows that it concerns.
    fn troubles(&self, contender: &Contender) -> Vec<String> {
        if let Err(why) = &contender.executable {
            return vec![format!("- {}: {}\n", title(contender), cell(why))];
        }
        let mut rows_by_reason = BTreeMap::<String, BTreeSet<Row>>::new();
        for Measurement { row, program, outcome, .. } in self.measurements {
            let why = match outcome {
                Outcome::Figures(_) => continue,
                Outcome::Failed(why) => format!("it failed: {why}"),
                Outcome::NotRun(why) => why.clone(),
            };
            if row.group == contender.group && *program == contender.name {
                rows_by_reason.entry(why).or_default().insert(*row);
            }
        }
        let in_words = |(why, rows): (String, BTreeSet<Row>)| {
            let names: Vec<String> = rows.iter().map(Row::name).collect();
            let of_rows = match &names[..] {
                [one] => one.clone(),
                several => format!("{} rows", several.len()),
            };
            format!("- {}, {of_rows}: {}\n", title(contender), cell(&why))
        };
        rows_by_reason.into_iter().map(in_words).collect()
    }

    fn notes(&self) -> String {
        let noted =
            self.contenders.iter().filter_map(|contender| Some((contender, contender.note.as_ref()?)));
        let lines = noted.map(|(contender, note)| format!("- {}: {note}\n", title(contender)));
        format!("## About the programs\n\n{}", lines.collect::<String>())
    }
}

fn line(contender: &Contender, rounds: &Rounds, ours: Option<&Rounds>, goal: &str) -> String {
    let size = format!("{} × {}", rounds.callers, rounds.batch);
    let version = rounds.last().map_or("", |figures| &figures.version);
    let Some(speed) = rounds.per_second() else {
        let why = match (rounds.not_run, rounds.failed.first()) {
            (Some(why), _) => format!("not run: {why}"),
            (None, why) => format!("failed: {}", why.unwrap_or(&"no round ended")),
        };
        return format!("| {} | | {size} | {} | | | | | {goal} |\n", title(contender), cell(&why));
    };
    let ratio = match ours.and_then(|ours| ours.times(rounds)).filter(|_| contender.name != TENURE) {
        Some(ratio) => format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.least, ratio.most),
        None => String::new(),
    };
    let latency =
        |spread: Option<Spread>| spread.map_or("–".to_owned(), |spread| format!("{:.2}", spread.median));
    let mut spread = format!("{} to {}", grouped(speed.least), grouped(speed.most));
    if let Some(why) = rounds.failed.first() {
        spread += &format!("; a round failed: {}", cell(why));
    }
    format!(
        "| {} | {} | {size} | {} | {spread} | {} | {} | {ratio} | {goal} |\n",
        title(contender),
        cell(version),
        grouped(speed.median),
        latency(rounds.latency_ms(|latency| latency.p50)),
        latency(rounds.latency_ms(|latency| latency.p99)),
    )
}

fn title(contender: &Contender) -> String {
    match &contender.url {
        Some(url) => format!("[{}]({url})", contender.title),
        None if contender.name == TENURE => format!("**{}**", contender.title),
        None => contender.title.clone(),
    }
}

/// Text that stays within a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::contender::{BARE, Executable};
    use super::super::figures::Figures;
    use super::super::row::StoreGroup;
    use super::*;

    const ROW: Row = Row { shape: Shape::Life6, group: StoreGroup::File, callers: None, tasks: 0 };

    fn measured(program: &str, outcome: Outcome) -> Measurement {
        Measurement { row: ROW, program: program.to_owned(), round: 1, callers: 256, batch: 1, outcome }
    }

    fn figures(done: u64) -> Outcome {
        let (version, checked) = ("1.2".to_owned(), "counted".to_owned());
        Outcome::Figures(Figures { version, done, seconds: 1.0, latency_us: None, checked })
    }

    fn text(measurements: &[Measurement]) -> String {
        let ready = Executable { program: "t".into(), arguments: Vec::new(), folder: ".".into() };
        let own = |name, executable| Contender::own(name, StoreGroup::File, executable);
        let machine = Machine { facts: Vec::new(), identity: String::new(), commit: String::new() };
        let missing = [(Row { shape: Shape::Claim, ..ROW }, "the run was interrupted".to_owned())];
        ReportData {
            contenders: &[own(TENURE, Ok(ready)), own(BARE, Err("no compiler".to_owned()))],
            measurements,
            machine: &machine,
            goals: &super::super::goals::goals(),
            parameters: "p",
            missing: &missing,
            plots: &[],
        }
        .text()
    }

    #[test]
    fn a_row_has_the_ratio_the_goal_and_how_the_work_was_checked() {
        let text = text(&[measured(TENURE, figures(5_000)), measured(BARE, figures(10_000))]);
        assert!(
            text.contains("10,000 to 10,000 | – | – | 0.50 (0.50 to 0.50) | ≥ 0.6: **missed** |"),
            "{text}"
        );
        assert!(text.contains("- **Tenure (SQLite)**: counted"), "{text}");
    }

    #[test]
    fn what_failed_or_was_not_run_is_named_with_the_reason() {
        let failed = Outcome::Failed("lost 1 | 2".to_owned());
        let text = text(&[measured(TENURE, failed), measured(BARE, Outcome::NotRun("no disk".to_owned()))]);
        for expected in [
            "failed: lost 1 \\| 2",
            "not run: no disk",
            "tables: no compiler",
            "life6, on a file, own callers: it failed: lost",
            "claim, on a file, own callers: the run was interrupted",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
