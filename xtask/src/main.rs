//! The project's own commands, called as `cargo xtask`. People and CI run everything through them.
//!
//! They build nothing that ships: the other crates do not depend on this one.

// Printing is what a command does; the warning is meant for libraries.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod browser;
mod clients;
mod debian;
mod git_script;
mod instructions;
mod junit;
mod lifecycle_doc;
mod lint;
mod nextest;
mod parts;
mod pictures;
mod postgres;
mod promtool;
mod python;
mod python_package;
mod release;
mod run;
mod schemathesis;
mod semver;
mod test;
mod tidy;
mod timings;
mod torture;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use run::{Result, Verdict};

/// `PARTNAMES` and `SUITENAMES` stand for the names of the parts and of the suites of torture.
const HELP: &str = "\
The project's own commands.

Usage: cargo xtask <command>

  test [--seed HEX]  Run every test, and say at the end what passed, failed and was skipped.
                     Random tests derive from one seed, by default from the commit; it is printed,
                     and with --seed the same run can be repeated. What depends on PostgreSQL's version is run on
                     this machine's, and again on the newest. Installs what is missing: cargo-nextest,
                     Schemathesis, promtool, generators of clients, the newest PostgreSQL, and as root the machine's own.
  test --quick       The tests that end soon: under two minutes after the build.
  test PART...       The tests of some parts: PARTNAMES.
  test --timings     Also write how long builds and tests took into docs/testing.md.
  torture [SUITE...] [--for 30m] [--seed HEX]
                     Run suites of random choices again and again with new seeds, in larger sizes, for 10 minutes
                     unless --for says otherwise. Ends in one table, also when it is interrupted. SUITE: SUITENAMES.
  lint               Format, clippy, rustdoc, licenses and sources of dependencies, tidy, generated docs.
                     All steps run, also after one has failed. Installs cargo-deny if it is missing.
  tidy               The house rules alone: lengths, clocks, links, words. Each finding is `path:line: what`.
  semver [--baseline REV]
                     Compare the public API with a commit, by default with the baseline in xtask/src/semver.rs.
                     Run it before a commit that changes a public item. Installs cargo-semver-checks if it is missing.
  docs               Write docs/lifecycle.md from the table in crates/core/src/lifecycle.rs, and docs/openapi.json
                     from the table of routes.
  docs --check       Say whether the first differs from its table, and where; a test says it of the second.
  instructions [--store]
                     Count the instructions of the main paths with callgrind, and compare them with what is stored in
                     crates/tenure/benches/instructions.toml; with --store, store them there. A part of `test`.
  release [--folder FOLDER]
                     Build the binary and pack what ships: an archive, Debian's package, the root of an image, sums and
                     sizes, in target/dist or FOLDER. Then try them, and say what was not tried and why.
  wheel              Build the wheel of the Python package, the program `tenure` in it, in target/wheels.
  python             Test the Python package as its users have it: its wheel in an empty environment. A part of `test`.
  browser            Test the console in Chromium, which is installed if it is missing and this is root. Pictures of the pages are in
                     target/tmp/console. A part of `test`.
  pictures           Take the pictures of the console in docs/pictures again, of `tenure demo --serve`, in Chromium.
  guards             List each guard of the table, and what turns red when it is deleted.
  bench [--quick] [ARGS]
                     Compare Tenure with the bare engines and with other programs, in turns, in about an hour; with
                     --quick in five minutes. Installs the programs; what can't be installed is named in the report,
                     target/bench/report.md. --help lists ARGS.
  bench store [ARGS] What the ledger costs beside SQLite by hand; ARGS: --seconds, --rounds, --only.
  bench recovery [ARGS]
                     What a storm of lapses costs the living, and how late recovery is; ARGS: --lapsing, --seconds.
  bench python [ARGS]
                     The Python package beside the library and a lease table by hand; ARGS: --seconds, --rounds.
  bench http [ARGS]  What HTTP costs beside the library on a file; ARGS: --seconds, --rounds, --only.
  bench growth [ARGS]
                     What commands, lists and a start cost on stores with 10 thousand, 1 million and 10 million tasks;
                     ARGS: --sizes, --rounds, --folder, --keep, --url for PostgreSQL.
  bench soak [ARGS]  An hour of `tenure serve` at half of its highest rate: latency, memory and files, minute by minute;
                     ARGS: --minutes, --tasks, --leased, --folder.
  bench upkeep [ARGS]
                     How long a whole store takes to export, import and verify, in how much memory, and what pruning half of it
                     costs those who work; ARGS: --tasks, --rounds, --seconds, --folder, --into URL.
  bench viewers [ARGS]
                     What twenty people at the console cost claims and heartbeats, and what they wait for their pages; ARGS: --tasks,
                     --leased, --viewers, --rounds, --seconds, --folder.
  bench postgres --url URL [ARGS]
                     The same beside PostgreSQL by hand, on a server of yours; ARGS: --seconds, --rounds, --only.

Before a commit: cargo xtask test && cargo xtask lint. That is also all that .ci/run does.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<Verdict> {
    let root = root()?;
    match arguments {
        []
        | ["help" | "--help" | "-h", ..]
        | ["test" | "torture" | "lint" | "tidy" | "docs" | "semver" | "release", "--help" | "-h"] => {
            print!("{}", help());
            Ok(Verdict::Passed)
        }
        ["test", options @ ..] => test::run(&root, options),
        ["torture", options @ ..] => torture::run(&root, options),
        ["lint"] => lint::run(&root),
        ["semver", arguments @ ..] => semver::run(&root, arguments),
        ["tidy"] => run::alone(&root, tidy::run),
        ["docs"] => {
            let openapi = ["test", "--quiet", "-p", "tenure-server", "--test", "it", "openapi::"];
            let mut written = run::command(&root, "cargo", &openapi);
            let written = written.env("TENURE_WRITE_OPENAPI", "1").status()?;
            if !written.success() {
                return Err("docs/openapi.json could not be written".into());
            }
            lifecycle_doc::write(&root)
        }
        ["docs", "--check"] => run::alone(&root, lifecycle_doc::check),
        ["release", options @ ..] => release::run(&root, options),
        ["wheel"] => wheel::run(&root),
        ["python"] => run::alone(&root, python_package::test),
        ["browser"] => run::alone(&root, browser::test),
        ["pictures"] => pictures::take(&root),
        ["guards"] => {
            let tests = ["test", "--workspace", "--test", "it", "guards::", "--", "--nocapture"];
            cargo(&root, &tests)
        }
        ["instructions", options @ ..] => instructions::run(&root, options),
        ["bench", "recovery", further @ ..] => {
            cargo(&root, &[&["bench", "-p", "tenure", "--bench", "recovery", "--"], further].concat())
        }
        ["bench", "http", further @ ..] => {
            cargo(&root, &[&["bench", "-p", "tenure-server", "--bench", "http", "--"], further].concat())
        }
        ["bench", bench @ ("growth" | "soak" | "upkeep" | "viewers"), further @ ..] => {
            cargo(&root, &[&["bench", "-p", "tenure-cli", "--bench", bench, "--"], further].concat())
        }
        ["bench", "python", further @ ..] => bench::python::run(&root, further),
        ["bench", "postgres", further @ ..] => {
            let bench = ["bench", "-p", "tenure", "--features", "postgres", "--bench", "postgres", "--"];
            cargo(&root, &[&bench, further].concat())
        }
        ["bench", "store", further @ ..] => {
            cargo(&root, &[&["bench", "-p", "tenure", "--bench", "store", "--"], further].concat())
        }
        ["bench", options @ ..] => bench::run(&root, options),
        [unknown, ..] => {
            let given = arguments.join(" ");
            let help = help();
            Err(format!(
                "`cargo xtask {given}`: no such command, or `{unknown}` does not take that\n\n{help}"
            )
            .into())
        }
    }
}

fn help() -> String {
    let names: Vec<&str> = parts::PARTS.iter().map(|part| part.name).collect();
    HELP.replace("PARTNAMES", &names.join(", ")).replace("SUITENAMES", &torture::names())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<Verdict> {
    let status = run::command(root, "cargo", arguments).status()?;
    Ok(if status.success() { Verdict::Passed } else { Verdict::Failed })
}

/// Where the repository is checked out: commands work from any folder of it.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().ok_or("the xtask crate has no folder above it")?.to_path_buf())
}
