//! What the programs in this workspace share: the command line, how queues are measured, and the line of
//! output. `bench/README.md` describes the contract that this keeps.

mod measure;
mod output;

pub use measure::{HandledJobs, Measurement, alternate, call_until, measure_claims, wait_until};
pub use output::{expect_equal, fail, postgres_durability, print_result};

use clap::Parser;
use std::time::Duration;

const EXIT_NO_SUCH_SHAPE: i32 = 3;

#[derive(Parser)]
pub struct Arguments {
    #[arg(long)]
    pub store: String,
    #[arg(long)]
    pub shape: String,
    #[arg(long)]
    pub callers: usize,
    #[arg(long)]
    pub batch: usize,
    #[arg(long, value_parser = parse_seconds)]
    pub seconds: Duration,
    #[arg(long, default_value_t = 0)]
    pub tasks: u64,
}

impl Arguments {
    pub fn parse_for(shapes: &[&str]) -> Self {
        let arguments = Self::parse();
        if !shapes.contains(&arguments.shape.as_str()) {
            eprintln!("no shape {} here; there are {}", arguments.shape, shapes.join(", "));
            std::process::exit(EXIT_NO_SUCH_SHAPE);
        }
        arguments
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
