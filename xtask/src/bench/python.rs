//! `cargo xtask bench python`: the Python package beside the library and a hand-written lease table, in turns on files.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::install;
use super::summary::Spread;
use crate::python;
use crate::run::{Result, Verdict};
use crate::wheel;

const USAGE: &str = "cargo xtask bench python [--seconds N] [--rounds N]";
/// What each program is asked for, and how many leases are there before.
const SHAPES: [(&str, usize); 3] = [("life3", 0), ("life6", 0), ("heartbeats", 6_400)];
const CALLERS: usize = 64;

/// A program, and how many callers it has.
struct Program {
    name: &'static str,
    words: Vec<String>,
    callers: usize,
}

/// Measures all programs in turns, and prints medians and ratios.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<Verdict> {
    let (mut seconds, mut rounds) = (3, 5);
    for pair in words.chunks(2) {
        match pair {
            ["--seconds", number] => seconds = number.parse()?,
            ["--rounds", number] => rounds = number.parse()?,
            _ => return Err(format!("usage: {USAGE}").into()),
        }
    }
    let programs = programs(root)?;
    println!(
        "callers: {CALLERS}; by hand: 1, with which it is fastest; {rounds} rounds of {seconds} s, on files"
    );
    for (shape, tasks) in SHAPES {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
        for round in 0..rounds {
            for turn in 0..programs.len() {
                // Each round begins with another one.
                let at = (turn + round) % programs.len();
                rates[at].push(rate(&programs[at], shape, tasks, seconds)?);
            }
        }
        print(shape, &programs, &rates);
    }
    Ok(Verdict::Passed)
}

fn programs(root: &Path) -> Result<Vec<Program>> {
    let own = install::build_own_program(root)?.display().to_string();
    let wheel = wheel::build(root, wheel::Build::Dist)?.display().to_string();
    let environment = python::environment(root, "python-bench", &[])?;
    python::pip(root, &environment, &["install", "--force-reinstall", "--no-deps", &wheel])?;
    let python = environment.join("bin/python").display().to_string();
    let script = |path: &str| root.join("bench").join(path).display().to_string();
    let package = script("tenure-python/bench.py");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Ok(vec![
        Program {
            name: "Rust, threads",
            words: words(&[&own, "--side", "tenure-threads"]),
            callers: CALLERS,
        },
        Program { name: "Rust, tasks", words: words(&[&own, "--side", "tenure"]), callers: CALLERS },
        Program { name: "Python, threads", words: words(&[&python, &package]), callers: CALLERS },
        Program { name: "Python, asyncio", words: words(&[&python, &package, "--loop"]), callers: CALLERS },
        Program {
            name: "by hand, sqlite3",
            words: words(&[&python, &script("peers/hand-written/bench.py")]),
            callers: 1,
        },
    ])
}

/// How many pieces of work a second it did.
fn rate(program: &Program, shape: &str, tasks: usize, seconds: u64) -> Result<f64> {
    let folder = Path::new("/var/tmp").join(format!("tenure-bench-python-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(&program.words[0]);
    command.args(&program.words[1..]).arg("--store").arg(&folder).args(["--shape", shape, "--batch", "1"]);
    command.args(["--callers", &program.callers.to_string(), "--seconds", &seconds.to_string()]);
    command.args(["--tasks", &tasks.to_string()]);
    let output = command.output();
    std::fs::remove_dir_all(&folder)?;
    let output = output?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}, {shape}: {said}", program.name).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let figure =
        |name: &str| line[name].as_f64().ok_or_else(|| format!("{}: no {name}: {line}", program.name));
    Ok(figure("done")? / figure("seconds")?)
}

fn print(shape: &str, programs: &[Program], rates: &[Vec<f64>]) {
    println!("\n{shape:<18}{:>12}{:>12}{:>12}", "a second", "of threads", "of by hand");
    let (rust, by_hand) = (&rates[0], &rates[programs.len() - 1]);
    for (program, rates) in programs.iter().zip(rates) {
        let median = |figures: Vec<f64>| Spread::of(figures).map_or(0.0, |spread| spread.median);
        let ratio = |to: &[f64]| median(rates.iter().zip(to).map(|(one, other)| one / other).collect());
        println!(
            "{:<18}{:>12.0}{:>12.2}{:>12.1}",
            program.name,
            median(rates.clone()),
            ratio(rust),
            ratio(by_hand)
        );
    }
}
