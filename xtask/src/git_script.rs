//! Provides `git-new-workdir`, which the worked example runs. It is part of git's documentation, which some images
//! leave out. Nothing is installed: the package is unpacked in the target directory, where
//! `crates/cli/tests/it/worked_example.rs` looks for it, too.

use std::path::Path;

use crate::run::{self, Result, Tally};

/// Where Debian's package has it.
const SCRIPT: &str = "usr/share/doc/git/contrib/workdir/git-new-workdir";
/// In the folder that Cargo gives to tests.
const UNPACKED: &str = "git-package";

/// Says where it is. Where it is not, Debian's package is fetched first.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    let installed = Path::new("/").join(SCRIPT);
    let unpacked = run::folder_of_tests(root).join(UNPACKED).join(SCRIPT);
    if !installed.is_file() && !unpacked.is_file() {
        unpack(root, &run::folder_of_tests(root))?;
    }
    let found = [installed, unpacked].into_iter().find(|place| place.is_file());
    let found = found.ok_or("git's package was unpacked, and has no git-new-workdir")?;
    println!("{}", found.display());
    // Nothing of this project was looked at.
    Ok(Tally::default())
}

fn unpack(root: &Path, folder: &Path) -> Result<()> {
    if run::output(root, "apt-get", &["--version"]).is_err() {
        return Err(format!("there is no /{SCRIPT}, and no apt-get to fetch git's package with").into());
    }
    std::fs::create_dir_all(folder)?;
    // Where the lists of packages are missing, they are fetched first.
    if run::output(folder, "apt-get", &["download", "git"]).is_err() {
        run::output(root, "apt-get", &["update"])?;
        run::output(folder, "apt-get", &["download", "git"])?;
    }
    let is_package = |name: &str| name.starts_with("git_") && name.ends_with(".deb");
    let names = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let package = names.into_iter().find(|name| is_package(name)).ok_or("apt-get fetched no package")?;
    run::output(folder, "dpkg-deb", &["-x", &package, UNPACKED])?;
    Ok(())
}
