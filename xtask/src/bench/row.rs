//! What is measured. A row is one shape of work in one size, on stores that can be compared. Every program that has the
//! shape is measured in it.

use serde::{Deserialize, Serialize};

use super::numbers::grouped;

/// What a program does; bench/README.md describes each shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    Life3,
    Life3Batch,
    Life6,
    Life6Batch,
    Heartbeats,
    HeartbeatsBatch,
    Claim,
    Processes,
}

impl Shape {
    /// In the order of the report.
    pub(super) const ALL: [Shape; 8] = [
        Shape::Life3,
        Shape::Life3Batch,
        Shape::Life6,
        Shape::Life6Batch,
        Shape::Heartbeats,
        Shape::HeartbeatsBatch,
        Shape::Claim,
        Shape::Processes,
    ];

    /// The value of `--shape`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Life3 => "life3",
            Shape::Life3Batch => "life3-batch",
            Shape::Life6 => "life6",
            Shape::Life6Batch => "life6-batch",
            Shape::Heartbeats => "heartbeats",
            Shape::HeartbeatsBatch => "heartbeats-batch",
            Shape::Claim => "claim",
            Shape::Processes => "processes",
        }
    }

    /// For a reader of the report.
    pub(super) fn described(self) -> &'static str {
        match self {
            Shape::Life3 => "One task is created, taken and completed, with a call for each step.",
            Shape::Life3Batch => "The same steps, with many tasks in each call.",
            Shape::Life6 => {
                "One task is created, taken, renewed three times and completed, with a call for each step."
            }
            Shape::Life6Batch => "The same six steps, with many tasks in each call.",
            Shape::Heartbeats => "One lease is renewed in each call.",
            Shape::HeartbeatsBatch => "Many leases are renewed in each call.",
            Shape::Claim => {
                "A worker waits. The latency is from before the create until the worker has the task; the ratio is that of the medians."
            }
            Shape::Processes => {
                "Several processes, each with one call at a time, do the six steps on the same file. The latency is that of one step."
            }
        }
    }

    fn has_leases_before(self) -> bool {
        matches!(self, Shape::Heartbeats | Shape::HeartbeatsBatch)
    }
}

/// Stores that are compared with each other: a program that opens a file does not pay for a network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StoreGroup {
    File,
    Server,
}

impl StoreGroup {
    pub(super) fn name(self) -> &'static str {
        match self {
            StoreGroup::File => "on a file",
            StoreGroup::Server => "on a server",
        }
    }
}

/// One shape in one size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) shape: Shape,
    pub(super) group: StoreGroup,
    /// None: each program has the number of callers that it is fastest with.
    pub(super) callers: Option<u32>,
    /// How many tasks are stored before the clock starts.
    pub(super) tasks: u64,
}

impl Row {
    fn new(shape: Shape, group: StoreGroup) -> Row {
        Row { shape, group, callers: None, tasks: 0 }
    }

    fn callers(self, callers: u32) -> Row {
        Row { callers: Some(callers), ..self }
    }

    fn tasks(self, tasks: u64) -> Row {
        Row { tasks, ..self }
    }

    /// As `--only` finds it.
    pub(super) fn name(&self) -> String {
        format!("{}, {}", self.shape.name(), self.size())
    }

    /// Its name without the shape.
    pub(super) fn size(&self) -> String {
        let callers = match self.callers {
            Some(callers) if self.shape == Shape::Processes => format!("{callers} at once"),
            Some(1) => "1 caller".to_owned(),
            Some(callers) => format!("{callers} callers"),
            None => "own callers".to_owned(),
        };
        let tasks = match (self.tasks, self.shape.has_leases_before()) {
            (0, _) => String::new(),
            (tasks, true) => format!(", {} leased", grouped(tasks as f64)),
            (tasks, false) => format!(", {} stored", grouped(tasks as f64)),
        };
        format!("{}, {callers}{tasks}", self.group.name())
    }

    /// Filling a large store takes minutes, so it is measured once.
    pub(super) fn rounds(&self, asked: u32) -> u32 {
        if self.tasks >= MANY { 1 } else { asked }
    }
}

/// How many rows are measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    Quick,
    Whole,
    Large,
}

/// The callers of the plots.
const CALLERS: [u32; 5] = [1, 4, 16, 64, 256];
/// The processes that share a file.
const PROCESSES: [u32; 4] = [1, 2, 4, 8];
/// The number of callers of rows that differ in what is stored.
const USUAL_CALLERS: u32 = 64;
const LEASED: u64 = 10_000;
const MANY: u64 = 1_000_000;
const VERY_MANY: u64 = 10_000_000;

/// The rows in the order in which they are measured: those that matter most first, so that a run that ends early has them.
pub(super) fn rows(scope: Scope) -> Vec<Row> {
    use Shape::{Claim, Heartbeats, HeartbeatsBatch, Life3, Life3Batch, Life6, Life6Batch, Processes};
    use StoreGroup::{File, Server};
    let mut rows = vec![
        Row::new(Life3, Server).callers(USUAL_CALLERS),
        Row::new(Life3Batch, Server),
        Row::new(HeartbeatsBatch, Server).tasks(LEASED),
        Row::new(Claim, Server).callers(1),
        Row::new(Life6, File),
        Row::new(Life6Batch, File),
        Row::new(Life3, File).callers(USUAL_CALLERS),
        Row::new(HeartbeatsBatch, File).tasks(LEASED),
        Row::new(Heartbeats, File).callers(256).tasks(LEASED),
        Row::new(Claim, File).callers(1),
    ];
    if scope == Scope::Quick {
        return rows;
    }
    rows.push(Row::new(Life3Batch, File));
    rows.extend(PROCESSES.map(|processes| Row::new(Processes, File).callers(processes)));
    for group in [File, Server] {
        rows.push(Row::new(Life3, group));
        rows.extend(CALLERS.map(|callers| Row::new(Life3, group).callers(callers)));
        rows.extend([1, 64].map(|callers| Row::new(Life6, group).callers(callers)));
        rows.extend([Row::new(Life6, group), Row::new(Life6Batch, group)]);
        rows.extend([1, 64, 256].map(|callers| Row::new(Heartbeats, group).callers(callers).tasks(LEASED)));
        rows.extend(
            [1_000, LEASED, 100_000, MANY].map(|tasks| Row::new(HeartbeatsBatch, group).tasks(tasks)),
        );
        let stored = match scope {
            Scope::Large => &[LEASED, MANY, VERY_MANY][..],
            Scope::Quick | Scope::Whole => &[LEASED, MANY],
        };
        rows.extend(stored.iter().map(|tasks| Row::new(Life3, group).callers(USUAL_CALLERS).tasks(*tasks)));
    }
    without_repeats(rows)
}

fn without_repeats(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = std::collections::BTreeSet::new();
    rows.into_iter().filter(|row| seen.insert(*row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_measured_twice_and_a_larger_scope_has_all_rows_of_a_smaller_one() {
        let (quick, whole, large) = (rows(Scope::Quick), rows(Scope::Whole), rows(Scope::Large));
        for (smaller, larger) in [(&quick, &whole), (&whole, &large)] {
            assert!(smaller.len() < larger.len());
            assert!(smaller.iter().all(|row| larger.contains(row)));
        }
        assert_eq!(without_repeats(large.clone()), large);
        assert!(whole.iter().all(|row| row.tasks < VERY_MANY));
    }

    #[test]
    fn a_row_is_called_what_a_person_would_look_for() {
        let row = Row::new(Shape::Heartbeats, StoreGroup::File).callers(1).tasks(10_000);
        assert_eq!(row.name(), "heartbeats, on a file, 1 caller, 10,000 leased");
        let row = Row::new(Shape::Life3Batch, StoreGroup::Server).tasks(10_000);
        assert_eq!(row.name(), "life3-batch, on a server, own callers, 10,000 stored");
    }

    #[test]
    fn a_store_that_takes_minutes_to_fill_is_measured_once() {
        let row = Row::new(Shape::Life3, StoreGroup::File);
        assert_eq!(row.rounds(3), 3);
        assert_eq!(row.tasks(MANY).rounds(3), 1);
    }

    #[test]
    fn every_shape_is_stored_under_the_name_of_the_command_line() {
        for shape in Shape::ALL {
            let stored = serde_json::to_value(shape).expect("JSON");
            assert_eq!(stored, shape.name());
        }
    }
}
