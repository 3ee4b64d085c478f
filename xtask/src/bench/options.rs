//! The command line of `cargo xtask bench`.

use std::path::PathBuf;

use super::results::Beginning;
use super::row::Scope;
use crate::run::Result;

pub(super) const USAGE: &str = "\
Compare Tenure with the bare engines and with other programs, in turns on this machine; see bench/README.md.

Usage: cargo xtask bench [OPTIONS]

  --quick           Fewer and shorter rows: five minutes after Tenure's program is built. Rust programs of other
                    projects are measured only if an earlier run built them
  --large           Also rows with 10 million stored tasks, which take long to fill
  --only <TEXT>     Rows, or programs beside Tenure, whose names contain TEXT, such as `life3-batch` or `etcd`
  --rounds <N>      How often each program is measured in a row [default: 3; with --quick: 2]
  --seconds <N>     How long each measurement is [default: 3; with --quick: 1]
  --resume          Keep the complete rows of an interrupted run of the same commit, machine and options
  --postgres <URL>  A PostgreSQL server of yours, whose role may create databases [default: one is started]
  --folder <FOLDER> Where stores in files are made; it must be on a disk [default: /var/tmp]
  --program <FILE>  A program of Tenure's that was built before [default: crates/tenure/benches/program.rs is built]
  --peers <FILE>    The list of other programs [default: bench/peers/peers.toml]
  --docs            Also copy tables and plots into docs/performance

Writes results.jsonl, report.md and plots into target/bench. Ctrl-C ends the run and keeps what was measured.
";

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CompareOptions {
    pub(super) scope: Scope,
    pub(super) only: String,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    pub(super) beginning: Beginning,
    pub(super) postgres: Option<String>,
    pub(super) folder: Option<PathBuf>,
    pub(super) program: Option<PathBuf>,
    pub(super) peers: Option<PathBuf>,
    pub(super) destination: Destination,
}

/// Where the report goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Destination {
    Target,
    /// There, and into docs/performance.
    Docs,
}

impl CompareOptions {
    pub(super) fn parse(words: &[&str]) -> Result<CompareOptions> {
        let mut options = CompareOptions {
            scope: Scope::Whole,
            only: String::new(),
            rounds: 0,
            seconds: 0,
            beginning: Beginning::Anew,
            postgres: None,
            folder: None,
            program: None,
            peers: None,
            destination: Destination::Target,
        };
        let (mut rounds, mut seconds) = (None, None);
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--quick" => options.scope = Scope::Quick,
                "--large" => options.scope = Scope::Large,
                "--resume" => options.beginning = Beginning::Resumed,
                "--docs" => options.destination = Destination::Docs,
                "--only" => options.only = value(word, words.next())?.to_owned(),
                "--rounds" => rounds = Some(count(word, words.next())?),
                "--seconds" => seconds = Some(count(word, words.next())?),
                "--postgres" => options.postgres = Some(value(word, words.next())?.to_owned()),
                "--folder" => options.folder = Some(std::path::absolute(value(word, words.next())?)?),
                "--program" => options.program = Some(std::path::absolute(value(word, words.next())?)?),
                "--peers" => options.peers = Some(std::path::absolute(value(word, words.next())?)?),
                unknown => return Err(format!("`{unknown}` is not an option\n\n{USAGE}").into()),
            }
        }
        let (usual_rounds, usual_seconds) = match options.scope {
            Scope::Quick => (2, 1),
            Scope::Whole | Scope::Large => (3, 3),
        };
        options.rounds = rounds.unwrap_or(usual_rounds);
        options.seconds = seconds.unwrap_or(usual_seconds);
        Ok(options)
    }

    /// For a reader of the report.
    pub(super) fn described(&self) -> String {
        let scope = match self.scope {
            Scope::Quick => "a quick run",
            Scope::Whole => "a whole run",
            Scope::Large => "a whole run with large stores",
        };
        let only = if self.only.is_empty() { String::new() } else { format!(" of “{}”", self.only) };
        format!("{scope}{only}, {} rounds of {} s", self.rounds, self.seconds)
    }

    /// What must be the same for a run to be continued. A URL is not written down: it may have a password.
    pub(super) fn parameters(&self) -> String {
        let server = if self.postgres.is_some() { "a given server" } else { "its own server" };
        let (scope, only, rounds, seconds) = (self.scope, &self.only, self.rounds, self.seconds);
        let peers = self.peers.as_ref().map(|peers| peers.display().to_string()).unwrap_or_default();
        format!("{scope:?}, {rounds} rounds of {seconds} s on {server}, only “{only}”, peers “{peers}”")
    }
}

fn value<'a>(option: &str, value: Option<&'a str>) -> Result<&'a str> {
    value.ok_or_else(|| format!("{option} needs a value\n\n{USAGE}").into())
}

fn count(option: &str, given: Option<&str>) -> Result<u32> {
    let given = value(option, given)?;
    let count = given.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("{option} `{given}`: give a number from 1 on").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_is_shorter_unless_a_length_is_given() {
        let sizes = |words: &[&str]| {
            let options = CompareOptions::parse(words).expect("options");
            (options.rounds, options.seconds)
        };
        assert_eq!(sizes(&[]), (3, 3));
        assert_eq!(sizes(&["--quick"]), (2, 1));
        assert_eq!(sizes(&["--rounds", "5", "--quick"]), (5, 1));
    }

    #[test]
    fn a_wrong_option_is_refused_with_those_that_are_right() {
        for (words, expected) in [
            (&["--fast"][..], "--quick"),
            (&["--rounds", "0"], "from 1 on"),
            (&["--seconds"], "needs a value"),
        ] {
            let why = CompareOptions::parse(words).expect_err("refused").to_string();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn a_password_is_not_written_down_and_other_parameters_are() {
        let options = CompareOptions::parse(&["--postgres", "postgres://a:secret@h", "--only", "claim"]);
        let parameters = options.expect("options").parameters();
        assert!(!parameters.contains("secret") && parameters.contains("claim"), "{parameters}");
    }
}
