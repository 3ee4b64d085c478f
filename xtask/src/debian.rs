//! Packages of Debian's and Ubuntu's. Some are unpacked in a folder and not installed: installing them would start a server,
//! and needs root.

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

/// Whether this may install packages.
pub(crate) fn is_root(root: &Path) -> bool {
    run::output(root, "id", &["-u"]).is_ok_and(|id| id == "0")
}

/// Runs apt-get, which asks nothing.
pub(crate) fn apt_get(root: &Path, arguments: &[&str]) -> Result<()> {
    let said = format!("apt-get {}", arguments.join(" "));
    println!("{said}");
    let mut command = run::command(root, "apt-get", arguments);
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").status()?;
    if status.success() { Ok(()) } else { Err(format!("`{said}` ended with {status}").into()) }
}
