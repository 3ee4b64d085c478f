//! Provides Prometheus's promtool, which runs the cases of `deploy/prometheus/alerts.test.yaml`.
//! `crates/cli/tests/it/deploy.rs` looks for it in the same two places.

use std::path::Path;

use crate::debian;
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
        debian::unpack(&folder, &[PACKAGE])?;
        println!("{}", program.display());
    } else {
        println!("promtool is not there: the cases of the alert rules will not be played");
    }
    // Nothing of this project was looked at.
    Ok(Tally::default())
}
