//! The command line of the program.

use std::path::Path;
use std::time::Duration;

use super::stored::Store;
use crate::bare::work::CallersAre;
use crate::common::life::Life;

/// What is asked for.
pub(crate) struct Arguments {
    pub(crate) side: Side,
    pub(crate) store: Store,
    pub(crate) shape: Shape,
    pub(crate) callers: usize,
    pub(crate) callers_are: CallersAre,
    pub(crate) batch: usize,
    pub(crate) seconds: Duration,
    /// Stored before: leased ones for heartbeats, finished ones for other shapes.
    pub(crate) tasks: usize,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Tenure,
    Bare,
}

/// What it does.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Lives(Life, Calls),
    Heartbeats(Calls),
    Claim,
    Processes,
}

#[derive(Clone, Copy)]
pub(crate) enum Calls {
    Single,
    Batched,
}

/// Why nothing is measured, and with what the program exits.
#[derive(Debug)]
pub(crate) struct NotRun {
    pub(crate) why: String,
    pub(crate) code: u8,
}

const INVALID: u8 = 2;
const NO_SUCH_SHAPE: u8 = 3;

const SHAPES: [(&str, Shape); 8] = [
    ("life3", Shape::Lives(Life::SHORT, Calls::Single)),
    ("life3-batch", Shape::Lives(Life::SHORT, Calls::Batched)),
    ("life6", Shape::Lives(Life::FULL, Calls::Single)),
    ("life6-batch", Shape::Lives(Life::FULL, Calls::Batched)),
    ("heartbeats", Shape::Heartbeats(Calls::Single)),
    ("heartbeats-batch", Shape::Heartbeats(Calls::Batched)),
    ("claim", Shape::Claim),
    ("processes", Shape::Processes),
];

impl Arguments {
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Arguments, NotRun> {
        let given = Given::read(words)?;
        let (side, callers_are) = match given.required("--side")? {
            "tenure" => (Side::Tenure, CallersAre::Tasks),
            "tenure-threads" => (Side::Tenure, CallersAre::Threads),
            "bare" => (Side::Bare, CallersAre::Threads),
            other => return Err(invalid("--side", other, "give `tenure`, `tenure-threads` or `bare`")),
        };
        let arguments = Arguments {
            side,
            store: store(given.required("--store")?)?,
            shape: shape(given.required("--shape")?, side)?,
            callers: number("--callers", given.required("--callers")?, 1)?,
            callers_are,
            batch: number("--batch", given.required("--batch")?, 1)?,
            seconds: seconds(given.required("--seconds")?)?,
            tasks: given.value("--tasks").map_or(Ok(0), |tasks| number("--tasks", tasks, 0))?,
        };
        let Arguments { callers, tasks, .. } = arguments;
        match arguments.shape {
            Shape::Heartbeats(_) if tasks < callers => {
                Err(invalid("--tasks", &tasks.to_string(), "each of the callers needs a lease"))
            }
            Shape::Claim if callers != 1 => {
                Err(invalid("--callers", &callers.to_string(), "a claim has one caller"))
            }
            Shape::Processes if matches!(arguments.store, Store::Server(_)) => Err(NotRun {
                why: "--shape `processes`: only on a file, which the processes share".to_owned(),
                code: NO_SUCH_SHAPE,
            }),
            Shape::Heartbeats(_) | Shape::Claim | Shape::Processes | Shape::Lives(..) => Ok(arguments),
        }
    }
}

/// The options with their values.
struct Given(Vec<(String, String)>);

impl Given {
    const OPTIONS: [&str; 7] =
        ["--side", "--store", "--shape", "--callers", "--batch", "--seconds", "--tasks"];

    fn read(words: impl Iterator<Item = String>) -> Result<Given, NotRun> {
        // Cargo gives this to each bench.
        let mut words = words.filter(|word| word != "--bench");
        let mut given = Given(Vec::new());
        while let Some(option) = words.next() {
            if !Given::OPTIONS.contains(&option.as_str()) {
                let options = Given::OPTIONS.join(", ");
                return Err(NotRun { why: format!("{option}: unknown; there are {options}"), code: INVALID });
            }
            if given.value(&option).is_some() {
                return Err(NotRun { why: format!("{option}: given twice"), code: INVALID });
            }
            let value = words.next();
            let value = value
                .ok_or_else(|| NotRun { why: format!("{option}: its value is missing"), code: INVALID })?;
            given.0.push((option, value));
        }
        Ok(given)
    }

    fn value(&self, option: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == option).map(|(_, value)| value.as_str())
    }

    fn required(&self, option: &str) -> Result<&str, NotRun> {
        let missing = || NotRun { why: format!("{option}: missing; see bench/README.md"), code: INVALID };
        self.value(option).ok_or_else(missing)
    }
}

fn invalid(option: &str, value: &str, why: &str) -> NotRun {
    NotRun { why: format!("{option} `{value}`: {why}"), code: INVALID }
}

fn store(given: &str) -> Result<Store, NotRun> {
    if given.starts_with("postgres://") || given.starts_with("postgresql://") {
        return Ok(Store::Server(given.to_owned()));
    }
    let is_empty = Path::new(given).read_dir().map(|mut entries| entries.next().is_none());
    match is_empty {
        Ok(true) => Ok(Store::Folder(given.into())),
        Ok(false) => Err(invalid("--store", given, "the folder is not empty; give a new one")),
        Err(why) => {
            let why = format!("{why}; give an empty folder, or a URL with postgres://");
            Err(invalid("--store", given, &why))
        }
    }
}

fn shape(given: &str, side: Side) -> Result<Shape, NotRun> {
    let found = SHAPES.iter().find(|(name, _)| *name == given).map(|(_, shape)| *shape);
    match found {
        Some(shape) if !matches!((side, shape), (Side::Bare, Shape::Claim | Shape::Processes)) => Ok(shape),
        Some(_) | None => {
            let names: Vec<&str> = SHAPES.iter().map(|(name, _)| *name).collect();
            let why = format!(
                "--shape `{given}`: no such shape here; there are {}, the last two only for `--side tenure`",
                names.join(", ")
            );
            Err(NotRun { why, code: NO_SUCH_SHAPE })
        }
    }
}

fn number(option: &str, given: &str, least: usize) -> Result<usize, NotRun> {
    let number = given.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| invalid(option, given, &format!("give a whole number from {least} on")))
}

fn seconds(given: &str) -> Result<Duration, NotRun> {
    let seconds = given.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|seconds| !seconds.is_zero());
    seconds.ok_or_else(|| invalid("--seconds", given, "give a number of seconds above 0"))
}
