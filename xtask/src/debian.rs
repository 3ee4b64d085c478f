//! Packages of Debian's and Ubuntu's that are unpacked in a folder and not installed: installing some of them would start a
//! server, and needs root.

use std::path::Path;

use crate::run::{self, Result};

/// Downloads these packages and unpacks them into the folder.
pub(crate) fn unpack(folder: &Path, packages: &[&str]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let download = [&["download"], packages].concat();
    if run::output(folder, "apt-get", &download).is_err() {
        // A machine that is new has no list of packages.
        run::output(folder, "apt-get", &["update"])?;
        run::output(folder, "apt-get", &download)?;
    }
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            run::output(folder, "dpkg-deb", &["--extract", &file.display().to_string(), "."])?;
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}
