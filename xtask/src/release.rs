//! `cargo xtask release`: builds what a release ships, and tries it. docs/releasing.md says what a maintainer does with it.
//!
//! It publishes nothing. The machine's own tools (tar, gzip, dpkg-deb, sha256sum) make the files. If a tool is missing, the
//! output says what was left out.

mod archive;
mod binary;
mod build;
mod files;
mod image;
mod licenses;
mod manifest;
mod package;
mod shipped;
mod tool;
mod trial;
mod trials;
mod version;

use std::path::{Path, PathBuf};

use crate::run::{self, Result, Verdict};

pub(crate) use build::{binary, for_this_machine};

use manifest::Manifest;
use shipped::Shipped;
use trial::Trial;
use trials::Made;
use version::ReleaseVersion;

/// Builds, packs and tries a release.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<Verdict> {
    let target = run::target_folder(root);
    let folder = match words {
        [] => target.join("dist"),
        // Cargo starts this program in the folder of the caller, whose path this is.
        ["--folder", folder] => std::path::absolute(folder)?,
        _ => return Err("usage: cargo xtask release [--folder FOLDER]".into()),
    };
    let version = ReleaseVersion::read(root)?;
    println!("{}", version.in_words());
    std::fs::create_dir_all(&target)?;
    let lock = std::fs::File::create(target.join("dist-work.lock"))?;
    // Two runs would write the same files.
    lock.try_lock().map_err(|_| format!("another run is at work in {}", target.display()))?;
    let work = target.join("dist-work");
    files::clear(&work)?;
    let verdict = release(root, &version, &folder, &work)?;
    files::clear(&work)?;
    Ok(verdict)
}

fn release(root: &Path, version: &ReleaseVersion, folder: &Path, work: &Path) -> Result<Verdict> {
    let binary = build::binary(root)?;
    std::fs::create_dir_all(folder)?;
    let shipped = Shipped::generate(root, &binary, version, &work.join("shipped"))?;
    let made = make(version, &shipped, folder, work)?;
    let manifest = Manifest { folder, files: made.files(folder)? };
    let sizes = manifest.sizes(&binary);
    std::fs::write(folder.join("sizes.txt"), &sizes)?;
    manifest.write_sums()?;
    print!("\n{}:\n{sizes}", folder.display());
    println!("\nversion: {}", version.in_words());
    if made.package.is_ok() && package::is_maintainer_missing() {
        println!("the package has a placeholder as its maintainer: set DEBFULLNAME and DEBEMAIL");
    }
    print_trials(&trials::all(&made, version, folder, &work.join("tried")))
}

/// Makes all files but the lists of them.
fn make(version: &ReleaseVersion, shipped: &Shipped<'_>, folder: &Path, work: &Path) -> Result<Made> {
    let archive: PathBuf = archive::make(version, shipped, folder, work)?;
    let package = package::make(version, shipped, folder, &work.join("package"))?;
    let image = image::make(version, shipped, &folder.join("image"))?;
    Ok(Made { archive, package, image })
}

/// One line for each, and whether none failed.
fn print_trials(trials: &[Trial]) -> Result<Verdict> {
    println!("tried:");
    trials.iter().for_each(|trial| println!("  {}", trial.line()));
    let has_failed = trials.iter().any(Trial::has_failed);
    Ok(if has_failed { Verdict::Failed } else { Verdict::Passed })
}
