//! Provides `git-new-workdir`, which the worked example runs. It is part of git's documentation, which some images
//! leave out. Nothing is installed: the package is unpacked in the target directory, where
//! `crates/cli/tests/it/worked_example.rs` looks for it, too.

use std::path::Path;

use crate::debian;
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
    debian::unpack(&folder.join(UNPACKED), &["git"])
}
