//! Installs the generators that make clients of `docs/openapi.json`, and the programs that check their types.
//! `crates/cli/tests/it/clients.rs` looks for them in the same places.

use std::path::Path;

use crate::python;
use crate::run::{self, Result, Tally};

/// The versions that the tests were written with: another one makes other code. The first names the folder.
const OF_PYTHON: &[&str] = &["openapi-python-client==0.29.1", "mypy==2.4.1"];
const OF_TYPESCRIPT: &[&str] =
    &["openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@20.19.43"];

/// Says where they are. Those that are not there are installed, from PyPI and from npm's registry.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    let environment = python::environment(root, &OF_PYTHON[0].replace("==", "-"), OF_PYTHON)?;
    println!("{}", environment.join("bin/openapi-python-client").display());
    let folder = run::folder_of_tests(root).join(OF_TYPESCRIPT[0].replace('@', "-"));
    // Written last, so that an installation that was interrupted is done again.
    let (installed, wanted) = (folder.join("packages"), OF_TYPESCRIPT.join("\n"));
    if !std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        install(&folder)?;
        std::fs::write(installed, wanted)?;
    }
    println!("{}", folder.join("node_modules/.bin/openapi-typescript").display());
    // Nothing of this project was looked at.
    Ok(Tally::default())
}

fn install(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("package.json"), "{\"private\": true, \"type\": \"module\"}\n")?;
    let options = ["install", "--save-exact", "--no-audit", "--no-fund", "--loglevel", "error"];
    run::output(folder, "npm", &[&options, OF_TYPESCRIPT].concat())?;
    Ok(())
}
