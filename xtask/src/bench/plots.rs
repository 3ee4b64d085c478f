//! What the plots show: lines of programs, taken from the rows that differ in one size only.

use std::path::Path;

use super::chart::{Line, LineColour, Panel, draw};
use super::contender::{BARE, Contender, TENURE};
use super::figures::Latency;
use super::results::Measurement;
use super::row::{Row, Shape, StoreGroup};
use super::summary::Rounds;
use crate::run::Result;

const SPEED: &str = "tasks a second";

/// The results that plots are made of.
pub(super) struct PlotSource<'a> {
    pub(super) contenders: &'a [Contender],
    pub(super) measurements: &'a [Measurement],
}

/// How a row is placed on a plot.
type Place = fn(&Row) -> Option<f64>;
/// What is shown of a program in a row.
type Value = fn(&Rounds) -> Option<f64>;

impl PlotSource<'_> {
    /// Writes all plots that have something to show. Says the file and the text of each.
    pub(super) fn write(&self, folder: &Path) -> Result<Vec<(&'static str, &'static str)>> {
        let mut written = Vec::new();
        for (file, shown, panels) in self.plots() {
            let panels: Vec<Panel> = panels.into_iter().filter(Panel::has_a_line).collect();
            let path = folder.join(file);
            if panels.is_empty() {
                // One of an earlier run would be taken for one of this run.
                let _ = std::fs::remove_file(path);
                continue;
            }
            std::fs::write(path, draw(&panels)?)?;
            written.push((file, shown));
        }
        Ok(written)
    }

    fn plots(&self) -> Vec<(&'static str, &'static str, Vec<Panel>)> {
        use StoreGroup::{File, Server};
        let by_callers =
            |group, title, unit, value| self.panel(title, "callers", unit, (group, callers_of, value));
        let (p50, p99): (Value, Value) = (
            |rounds| latency(rounds, |latency| latency.p50),
            |rounds| latency(rounds, |latency| latency.p99),
        );
        let (p999, longest): (Value, Value) = (
            |rounds| latency(rounds, |latency| latency.p999),
            |rounds| latency(rounds, |latency| latency.max),
        );
        let by_processes = |title, value| self.panel(title, "processes", "ms", (File, processes_of, value));
        let stored = |group, title| self.panel(title, "stored tasks", SPEED, (group, stored_of, speed));
        let leased =
            |group, title| self.panel(title, "leased tasks", "renewals a second", (group, leased_of, speed));
        vec![
            (
                "throughput-callers.svg",
                "Tasks a second against callers",
                vec![
                    by_callers(File, "Created, taken, completed; on a file", SPEED, speed),
                    by_callers(Server, "Created, taken, completed; on a server", SPEED, speed),
                ],
            ),
            (
                "latency-file.svg",
                "Latency against callers, on a file",
                vec![
                    by_callers(File, "On a file, median of a task's three steps", "ms", p50),
                    by_callers(File, "On a file, 99th percentile", "ms", p99),
                ],
            ),
            (
                "latency-server.svg",
                "Latency against callers, on a server",
                vec![
                    by_callers(Server, "On a server, median of a task's three steps", "ms", p50),
                    by_callers(Server, "On a server, 99th percentile", "ms", p99),
                ],
            ),
            (
                "processes.svg",
                "How long one step waits where processes share a file",
                vec![
                    by_processes("Processes on one file, 99.9th percentile of a step", p999),
                    by_processes("Processes on one file, the longest step", longest),
                ],
            ),
            (
                "throughput-stored.svg",
                "Tasks a second against stored tasks",
                vec![
                    stored(File, "Finished tasks stored before; on a file, 64 callers"),
                    stored(Server, "Finished tasks stored before; on a server, 64 callers"),
                ],
            ),
            (
                "heartbeats-leased.svg",
                "Heartbeats a second against leased tasks",
                vec![
                    leased(File, "Heartbeats in batches; on a file"),
                    leased(Server, "Heartbeats in batches; on a server"),
                ],
            ),
        ]
    }

    fn panel(
        &self,
        title: &'static str,
        across: &'static str,
        up: &'static str,
        (group, place, value): (StoreGroup, Place, Value),
    ) -> Panel {
        let of_group = self.contenders.iter().filter(|contender| contender.group == group);
        let mut others = 0;
        let mut lines = Vec::new();
        for contender in of_group {
            let colour = match contender.name.as_str() {
                TENURE => LineColour::Tenure,
                BARE => LineColour::Bare,
                _ => {
                    others += 1;
                    LineColour::Other(others - 1)
                }
            };
            let points = self.points(contender, place, value);
            if !points.is_empty() {
                lines.push(Line { label: contender.title.clone(), colour, points });
            }
        }
        Panel { title, across, up, lines }
    }

    fn points(&self, contender: &Contender, place: Place, value: Value) -> Vec<(f64, f64)> {
        let mut rows: Vec<Row> = self.measurements.iter().map(|measurement| measurement.row).collect();
        rows.sort_unstable();
        rows.dedup();
        rows.retain(|row| row.group == contender.group);
        let mut points: Vec<(f64, f64)> = rows
            .iter()
            .filter_map(|row| {
                let rounds = Rounds::of(self.measurements, row, &contender.name)?;
                Some((place(row)?, value(&rounds)?))
            })
            .collect();
        points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        points
    }
}

fn callers_of(row: &Row) -> Option<f64> {
    let is_one = row.shape == Shape::Life3 && row.tasks == 0;
    row.callers.filter(|_| is_one).map(f64::from)
}

fn processes_of(row: &Row) -> Option<f64> {
    row.callers.filter(|_| row.shape == Shape::Processes).map(f64::from)
}

fn stored_of(row: &Row) -> Option<f64> {
    (row.shape == Shape::Life3 && row.tasks > 0).then_some(row.tasks as f64)
}

fn leased_of(row: &Row) -> Option<f64> {
    (row.shape == Shape::HeartbeatsBatch).then_some(row.tasks as f64)
}

fn speed(rounds: &Rounds) -> Option<f64> {
    rounds.per_second().map(|speed| speed.median)
}

/// A latency of nothing has no place on a logarithmic axis.
fn latency(rounds: &Rounds, which: fn(&Latency) -> f64) -> Option<f64> {
    rounds.latency_ms(which).map(|latency| latency.median).filter(|median| *median > 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::figures::Figures;
    use super::super::results::Outcome;
    use super::super::row::{Scope, rows};
    use super::*;

    #[test]
    fn the_whole_plan_fills_every_panel() {
        let contenders = [StoreGroup::File, StoreGroup::Server]
            .map(|group| Contender::own(TENURE, group, Err(String::new())));
        let latency = Some(Latency { p50: 5.0, p99: 9.0, p999: 9.0, max: 9.0 });
        let figures = Figures {
            version: "1".into(),
            done: 10,
            seconds: 1.0,
            latency_us: latency,
            checked: "counted".into(),
        };
        let measured = |row| Measurement {
            row,
            program: TENURE.into(),
            round: 1,
            callers: 1,
            batch: 1,
            outcome: Outcome::Figures(figures.clone()),
        };
        let measurements: Vec<Measurement> = rows(Scope::Whole).into_iter().map(measured).collect();
        let source = PlotSource { contenders: &contenders, measurements: &measurements };
        for (file, _, panels) in source.plots() {
            assert!(panels.iter().all(Panel::has_a_line), "{file}");
        }
        let none = PlotSource { contenders: &contenders, measurements: &[] };
        assert!(none.plots().iter().all(|(_, _, panels)| !panels.iter().any(Panel::has_a_line)));
    }
}
