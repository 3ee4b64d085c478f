//! `cargo xtask wheel`: builds the wheel of the Python package: the library, and the program `tenure`.
//!
//! Maturin builds it. It puts into the wheel what is in the folder that `crates/python/pyproject.toml` names.

use std::path::{Path, PathBuf};

use crate::python;
use crate::release;
use crate::run::{self, Result, Verdict};

/// The version that the package was written with.
const MATURIN: &str = "maturin==1.16.0";
const MANIFEST: &str = "crates/python/Cargo.toml";
/// What the wheel carries beside the package, as `crates/python/pyproject.toml` says.
const SCRIPTS: &str = "target/wheel/tenure.data/scripts";

/// How a wheel is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Build {
    /// As it ships.
    Dist,
    /// With what the tests have built already.
    Tests,
}

/// Builds the wheel that ships, and says where it is and how large.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let wheel = build(root, Build::Dist)?;
    let size = std::fs::metadata(&wheel)?.len();
    println!("{} ({:.1} MB)", wheel.display(), size as f64 / 1e6);
    Ok(Verdict::Passed)
}

/// Builds a wheel, and says where it is.
pub(crate) fn build(root: &Path, build: Build) -> Result<PathBuf> {
    let maturin = python::environment(root, &MATURIN.replace("==", "-"), &[MATURIN])?.join("bin/maturin");
    let binary = match build {
        Build::Dist => release::binary(root)?,
        Build::Tests => {
            run::output(root, "cargo", &["build", "--workspace", "--bin", "tenure"])?;
            run::target_folder(root).join("debug/tenure")
        }
    };
    let scripts = root.join(SCRIPTS);
    std::fs::create_dir_all(&scripts)?;
    let program = scripts.join("tenure");
    let program = program.display().to_string();
    // What is left out is only what a debugger reads.
    run::output(root, "strip", &["--strip-unneeded", "-o", &program, &binary.display().to_string()])?;
    let (folder, profile) = match build {
        Build::Dist => (root.join("target/wheels"), "dist"),
        Build::Tests => (run::folder_of_tests(root).join("wheels"), "dev"),
    };
    if folder.is_dir() {
        // An older one would be taken for this one.
        std::fs::remove_dir_all(&folder)?;
    }
    let out = folder.display().to_string();
    let arguments = ["build", "--locked", "--profile", profile, "--manifest-path", MANIFEST, "--out", &out];
    println!("maturin {}", arguments.join(" "));
    let mut command = run::command(root, &maturin.display().to_string(), &arguments);
    if build == Build::Dist {
        release::for_this_machine(root, &mut command);
    }
    let status = command.status()?;
    if !status.success() {
        return Err(format!("the wheel can't be built: maturin ended with {status}").into());
    }
    let wheels = std::fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let wheel = wheels.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "whl"));
    wheel.ok_or_else(|| format!("maturin left no wheel in {}", folder.display()).into())
}
