//! Tests the Python package as its users have it: the wheel, installed into an empty environment.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::path::Path;
use std::time::Instant;

use crate::postgres::Guardian;
use crate::python;
use crate::run::{self, Result, Tally};
use crate::wheel;

const FOLDER: &str = "crates/python";
/// Tells the tests where a database is.
const POSTGRES_VARIABLE: &str = "TENURE_TEST_POSTGRES_URL";

/// What the tests and examples need, in the versions that they were written with.
const PACKAGES: &[&str] = &[
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "mypy==2.4.1",
    "pyright==1.1.414",
    "fastapi==0.165.0",
    "httpx2==2.16.2",
    "celery==5.7.0",
];

/// What the command line is asked about the task of the README.
const README_QUESTION: [&str; 5] = ["--store", "sqlite:tasks.db", "task", "why", "build-42"];

/// Builds the wheel, installs it, checks types, and runs the tests.
pub(crate) fn test(root: &Path) -> Result<Tally> {
    let wheel = wheel::build(root, wheel::Build::Tests)?;
    let environment = python::environment(root, "python-package", PACKAGES)?;
    let wheel = wheel.display().to_string();
    python::pip(root, &environment, &["install", "--force-reinstall", "--no-deps", &wheel])?;
    let mut tally = Tally::default();
    tally += first_minute(root, &wheel)?;
    tally += types(root, &environment)?;
    tally += tests(root, &environment)?;
    Ok(tally)
}

/// What a stranger does first: installs the wheel into an empty environment, and runs the lines of the README.
fn first_minute(root: &Path, wheel: &str) -> Result<Tally> {
    let began = Instant::now();
    let folder = run::folder_of_tests(root).join("python-empty");
    let place = folder.display().to_string();
    run::output(root, "python3", &["-m", "venv", "--clear", &place])?;
    // No other package is needed.
    python::pip(root, &folder, &["install", "--no-index", wheel])?;
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    let lines = python_lines(&readme).ok_or("README.md has no Python lines")?;
    let python = folder.join("bin/python").display().to_string();
    let program = format!("{lines}\nassert ledger.get('build-42').state == 'completed'\n");
    run::output(&folder, &python, &["-c", &program])?;
    let said = run::output(&folder, &folder.join("bin/tenure").display().to_string(), &README_QUESTION)?;
    println!("{said}\nfrom nothing to there: {:.1} s", began.elapsed().as_secs_f64());
    Ok(Tally::of(1, 0))
}

/// The first block of Python in a document.
fn python_lines(text: &str) -> Option<&str> {
    let (_, from) = text.split_once("```python\n")?;
    Some(from.split_once("\n```")?.0)
}

/// The strict modes of mypy and pyright, over the package, its tests and examples.
fn types(root: &Path, environment: &Path) -> Result<Tally> {
    let folder = root.join(FOLDER);
    let python = environment.join("bin/python").display().to_string();
    let checks: [(&str, &[&str]); 2] = [
        ("mypy", &["python/tenure", "tests", "examples", "make_aio.py"]),
        ("pyright", &["--pythonpath", &python, "python/tenure", "tests", "examples", "make_aio.py"]),
    ];
    let mut tally = Tally::default();
    for (name, arguments) in checks {
        let program = environment.join("bin").join(name).display().to_string();
        println!("{name} {}", arguments.join(" "));
        let passed = run::command(&folder, &program, arguments).status()?.success();
        tally += Tally::of(u64::from(passed), u64::from(!passed));
    }
    Ok(tally)
}

fn tests(root: &Path, environment: &Path) -> Result<Tally> {
    let server = Guardian::start(root, &[], &[])?;
    let place = match server.port() {
        Ok(port) => vec![(POSTGRES_VARIABLE, format!("postgres://tester@127.0.0.1:{port}/tests"))],
        Err(why) => {
            println!("no PostgreSQL: {why}");
            Vec::new()
        }
    };
    python::pytest(root, FOLDER, environment, &place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_document_are_those_of_its_first_block() {
        let text = "# x\n```sh\nls\n```\n```python\na = 1\nb = 2\n```\n```python\nc = 3\n```\n";
        assert_eq!(python_lines(text), Some("a = 1\nb = 2"));
        assert_eq!(python_lines("# x"), None);
    }
}
