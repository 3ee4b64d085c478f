//! The file of results: a line of JSON for each measurement, written as soon as it is there, so that an interrupted run can
//! be continued. The first line says which run it is. Another one says that a row is complete: only such rows are kept, as
//! the programs of a row must be measured in turns.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::row::Row;
use crate::run::Result;

/// What must be the same for a run to be continued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct RunHeader {
    pub(super) commit: String,
    /// When Tenure's program was built: a checkout with changes can have many programs of one commit.
    pub(super) built: String,
    pub(super) machine: String,
    pub(super) parameters: String,
}

/// One program in one round of a row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Measurement {
    pub(super) row: Row,
    /// Its short name.
    pub(super) program: String,
    pub(super) round: u32,
    pub(super) callers: u32,
    pub(super) batch: u32,
    pub(super) outcome: Outcome,
}

/// What became of a measurement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Figures(Figures),
    /// It ran and failed.
    Failed(String),
    /// It could not begin: something is missing on this machine.
    NotRun(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Run(RunHeader),
    Measured(Measurement),
    RowDone(Row),
}

/// All that was measured in this run, and the file that has it.
pub(super) struct Results {
    file: File,
    pub(super) measurements: Vec<Measurement>,
    done: BTreeSet<Row>,
}

/// Whether an earlier run is continued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beginning {
    Anew,
    Resumed,
}

impl Results {
    /// Writes a new file. It begins with the complete rows of the old one if that is asked for and the old file is of the
    /// same run. The words say what was taken over, or why nothing was.
    pub(super) fn open(path: &Path, header: &RunHeader, beginning: Beginning) -> Result<(Results, String)> {
        let old = match beginning {
            Beginning::Resumed => kept(&std::fs::read_to_string(path).unwrap_or_default(), header),
            Beginning::Anew => Err("starts anew".to_owned()),
        };
        let (old, words) = match old {
            Ok(old) => {
                let words = format!("continues a run with {} complete rows", old.done.len());
                (old, words)
            }
            Err(why) => (Kept::default(), why),
        };
        // Under another name until the old results are in it.
        let new = path.with_extension("jsonl.new");
        let mut results =
            Results { file: File::create(&new)?, measurements: Vec::new(), done: BTreeSet::new() };
        results.append(&Line::Run(header.clone()))?;
        for measurement in old.measurements {
            results.add(measurement)?;
        }
        for row in old.done {
            results.complete(row)?;
        }
        if path.is_file() {
            // A run that took an hour is not lost by a start without `--resume`.
            std::fs::rename(path, path.with_extension("previous.jsonl"))?;
        }
        std::fs::rename(new, path)?;
        Ok((results, words))
    }

    pub(super) fn add(&mut self, measurement: Measurement) -> Result<()> {
        self.append(&Line::Measured(measurement.clone()))?;
        self.measurements.push(measurement);
        Ok(())
    }

    /// All programs of the row were measured as often as asked.
    pub(super) fn complete(&mut self, row: Row) -> Result<()> {
        self.append(&Line::RowDone(row))?;
        self.done.insert(row);
        Ok(())
    }

    pub(super) fn is_complete(&self, row: &Row) -> bool {
        self.done.contains(row)
    }

    fn append(&mut self, line: &Line) -> Result<()> {
        let text = serde_json::to_string(line)?;
        Ok(writeln!(self.file, "{text}")?)
    }
}

#[derive(Default)]
struct Kept {
    measurements: Vec<Measurement>,
    done: BTreeSet<Row>,
}

/// The complete rows of a file of the same run, or why there are none.
fn kept(text: &str, header: &RunHeader) -> std::result::Result<Kept, String> {
    // The last line may have been cut by the end of its process.
    let mut lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let Some(Line::Run(old)) = lines.next() else {
        return Err("starts anew: there is no run to continue".to_owned());
    };
    if let Some((what, before, now)) = difference(&old, header) {
        return Err(format!("starts anew: the earlier run has another {what} ({before}; now {now})"));
    }
    let mut kept = Kept::default();
    for line in lines {
        match line {
            Line::Run(_) => {}
            Line::Measured(measurement) => kept.measurements.push(measurement),
            Line::RowDone(row) => drop(kept.done.insert(row)),
        }
    }
    kept.measurements.retain(|measurement| kept.done.contains(&measurement.row));
    Ok(kept)
}

fn difference<'a>(old: &'a RunHeader, new: &'a RunHeader) -> Option<(&'static str, &'a str, &'a str)> {
    let fields = [
        ("commit", &old.commit, &new.commit),
        ("build", &old.built, &new.built),
        ("machine", &old.machine, &new.machine),
        ("set of parameters", &old.parameters, &new.parameters),
    ];
    fields
        .into_iter()
        .find(|(_, old, new)| old != new)
        .map(|(what, old, new)| (what, old.as_str(), new.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::row::{Scope, rows};
    use super::*;

    fn header() -> RunHeader {
        let text = |text: &str| text.to_owned();
        RunHeader { commit: text("c1"), built: text("1"), machine: text("m"), parameters: text("p") }
    }

    fn measured(row: Row, round: u32) -> Measurement {
        let outcome = Outcome::Failed("why".to_owned());
        Measurement { row, program: "tenure".to_owned(), round, callers: 1, batch: 1, outcome }
    }

    fn lines(lines: &[Line]) -> String {
        lines.iter().map(|line| serde_json::to_string(line).expect("JSON") + "\n").collect()
    }

    #[test]
    fn complete_rows_are_kept_and_the_one_that_was_cut_is_measured_again() {
        let [first, second, ..] = rows(Scope::Quick)[..] else { panic!("rows") };
        let text = lines(&[
            Line::Run(header()),
            Line::Measured(measured(first, 1)),
            Line::Measured(measured(first, 2)),
            Line::RowDone(first),
            Line::Measured(measured(second, 1)),
        ]);
        let kept =
            kept(&format!("{text}{{\"measured\":{{\"ro"), &header()).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(kept.done, BTreeSet::from([first]));
        assert_eq!(kept.measurements, [measured(first, 1), measured(first, 2)]);
    }

    #[test]
    fn a_run_of_something_else_is_not_continued_and_the_difference_is_told() {
        let text = lines(&[Line::Run(header())]);
        for (other, what) in [
            (RunHeader { commit: "c2".to_owned(), ..header() }, "commit (c1; now c2)"),
            (RunHeader { built: "2".to_owned(), ..header() }, "build"),
            (RunHeader { machine: "n".to_owned(), ..header() }, "machine"),
            (RunHeader { parameters: "q".to_owned(), ..header() }, "parameters"),
        ] {
            let why = kept(&text, &other).err().expect("not the same run");
            assert!(why.contains(what), "{why}");
        }
        assert!(kept("", &header()).err().expect("no run").contains("no run to continue"));
    }

    #[test]
    fn what_is_written_is_found_again() {
        let folder = std::env::temp_dir().join(format!("tenure-bench-results-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("results.jsonl");
        let [first, second, ..] = rows(Scope::Quick)[..] else { panic!("rows") };
        let (mut results, words) = Results::open(&path, &header(), Beginning::Resumed).expect("a file");
        assert!(words.contains("starts anew"), "{words}");
        results.add(measured(first, 1)).expect("written");
        results.complete(first).expect("written");
        results.add(measured(second, 1)).expect("written");
        let (again, words) = Results::open(&path, &header(), Beginning::Resumed).expect("a file");
        assert_eq!(words, "continues a run with 1 complete rows");
        assert!(again.is_complete(&first) && !again.is_complete(&second));
        assert_eq!(again.measurements, [measured(first, 1)]);
        let (anew, _) = Results::open(&path, &header(), Beginning::Anew).expect("a file");
        assert!(anew.measurements.is_empty());
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
