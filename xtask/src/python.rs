//! Python programs that the tests run. Each has its own virtual environment in the target directory.

use std::path::{Path, PathBuf};

use crate::junit;
use crate::run::{self, Result, Tally};

/// A virtual environment with these packages. It is created if it is missing, and again if other packages are
/// needed.
pub(crate) fn environment(root: &Path, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = run::folder_of_tests(root).join(name);
    made(root, &folder, &packages.join("\n"), packages)?;
    Ok(folder)
}

/// One with the packages that a file of requirements lists.
pub(crate) fn environment_of(root: &Path, folder: &Path, requirements: &Path) -> Result<()> {
    let wanted = std::fs::read_to_string(requirements)?;
    made(root, folder, &wanted, &["--requirement", &requirements.display().to_string()])
}

fn made(root: &Path, folder: &Path, wanted: &str, packages: &[&str]) -> Result<()> {
    // Written last, so that one whose installation was interrupted is made again.
    let installed = folder.join("packages");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let place = folder.display().to_string();
    run::output(root, "python3", &["-m", "venv", "--clear", &place])
        .map_err(|why| format!("no environment for Python programs can be made: {why}"))?;
    if !packages.is_empty() {
        pip(root, folder, &[&["install"], packages].concat())?;
    }
    Ok(std::fs::write(installed, wanted)?)
}

/// Runs the environment's own pip.
pub(crate) fn pip(root: &Path, environment: &Path, arguments: &[&str]) -> Result<()> {
    let pip = environment.join("bin/pip").display().to_string();
    run::output(root, &pip, &[&["--quiet", "--disable-pip-version-check"], arguments].concat())?;
    Ok(())
}

/// Runs the tests of a folder by the environment's own pytest, with these variables.
pub(crate) fn pytest(
    root: &Path,
    folder: &str,
    environment: &Path,
    variables: &[(&str, String)],
) -> Result<Tally> {
    let report = environment.join("report.xml");
    if report.is_file() {
        // What is read afterwards is of this run.
        std::fs::remove_file(&report)?;
    }
    let (xml, program) = (format!("--junit-xml={}", report.display()), environment.join("bin/pytest"));
    println!("pytest, in {folder}");
    let words = ["-q", "-r", "fE", "-p", "no:cacheprovider", &xml];
    let mut command = run::command(&root.join(folder), &program.display().to_string(), &words);
    for (name, value) in variables {
        command.env(name, value);
    }
    let status = command.status()?;
    let text = std::fs::read_to_string(&report).map_err(|why| format!("{}: {why}", report.display()))?;
    let mut tally = Tally::default();
    for case in junit::cases(&text)? {
        match (case.has_passed, case.was_skipped) {
            (false, _) => tally.failed += 1,
            (true, true) => tally.skipped += 1,
            (true, false) => tally.passed += 1,
        }
    }
    if !status.success() {
        tally.failed = tally.failed.max(1);
    }
    Ok(tally)
}
