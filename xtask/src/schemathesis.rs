//! Provides Schemathesis, which tests the server against its own API description. `crates/cli/tests/it/api.rs` looks
//! for it in the same place.

use std::path::Path;

use crate::python;
use crate::run::{Result, Tally};

/// The version that the tests were written with: another one asks other questions.
const VERSION: &str = "4.32.5";

/// Says where it is. Where it is not, it is installed from PyPI.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    let name = format!("schemathesis-{VERSION}");
    let environment = python::environment(root, &name, &[&format!("schemathesis=={VERSION}")])?;
    println!("{}", environment.join("bin/schemathesis").display());
    // Nothing of this project was looked at.
    Ok(Tally::default())
}
