//! Sees to it that Schemathesis is there, which asks the server what its own description says one may ask. It is a Python
//! program: it gets an environment of its own beside what Cargo builds, where `crates/cli/tests/it/api.rs` looks for it.

use std::path::Path;

use crate::run::{self, Result, Tally};

/// The version that the tests were written with: another one asks other questions.
const VERSION: &str = "4.32.5";

/// Says where it is. Where it is not, it is installed from PyPI.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    let folder = run::folder_of_tests(root).join(format!("schemathesis-{VERSION}"));
    let program = folder.join("bin/schemathesis");
    if !program.is_file() {
        let place = folder.display().to_string();
        run::output(root, "python3", &["-m", "venv", &place])
            .map_err(|why| format!("no environment for Python programs can be made: {why}"))?;
        let pip = folder.join("bin/pip").display().to_string();
        let wanted = format!("schemathesis=={VERSION}");
        run::output(root, &pip, &["install", "--quiet", "--disable-pip-version-check", &wanted])?;
    }
    println!("{}", program.display());
    // Nothing of this project was looked at.
    Ok(Tally::default())
}
