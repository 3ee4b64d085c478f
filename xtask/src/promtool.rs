//! Provides Prometheus's promtool, which runs the cases of `deploy/prometheus/alerts.test.yaml`.
//! `crates/cli/tests/it/deploy.rs` looks for it in the same two places.

use std::path::Path;

use crate::run::{self, Result, Tally};

/// The package of Debian's and Ubuntu's that has it. It is unpacked and not installed: that would start a server.
const PACKAGE: &str = "prometheus";

/// Says where it is. Where it is not and there is apt-get, it is unpacked beside what Cargo builds.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    let folder = run::folder_of_tests(root).join("prometheus");
    let program = folder.join("usr/bin/promtool");
    if let Ok(version) = run::output(root, "promtool", &["--version"]) {
        println!("{}", version.lines().next().unwrap_or_default());
    } else if program.is_file() {
        println!("{}", program.display());
    } else if run::output(root, "apt-get", &["--version"]).is_ok() {
        unpack(&folder)?;
        println!("{}", program.display());
    } else {
        println!("promtool is not there: the cases of the alert rules will not be played");
    }
    // Nothing of this project was looked at.
    Ok(Tally::default())
}

fn unpack(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    if run::output(folder, "apt-get", &["download", PACKAGE]).is_err() {
        // A machine that is new has no list of packages.
        run::output(folder, "apt-get", &["update"])?;
        run::output(folder, "apt-get", &["download", PACKAGE])?;
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
