//! The pictures of the console and of `tenure top` in the documents: taken in Chromium, of the fleet of `tenure demo --serve`. Not part of the tests.

use std::path::Path;

use crate::browser;
use crate::python;
use crate::run::{self, Result, Verdict};

/// The script that starts the fleet and takes the pictures.
const SCRIPT: &str = "crates/cli/tests/browser/pictures.py";
const FOLDER: &str = "docs/pictures";

/// What the script needs, in the versions that it was written with.
const PACKAGES: &[&str] = &["pillow==12.3.0", "playwright==1.65.2", "pyte==0.8.2"];

/// A larger file makes the repository grow with each change of a page.
const BYTES_MAX: u64 = 200_000;

/// Builds the program, and takes the pictures again.
pub(crate) fn take(root: &Path) -> Result<Verdict> {
    let chromium = browser::chromium(root)?;
    let chromium =
        chromium.ok_or_else(|| format!("Chromium is not there: name it in {}", browser::VARIABLE))?;
    run::output(root, "cargo", &["build", "--workspace", "--bin", "tenure"])?;
    let environment = python::environment(root, "pictures", PACKAGES)?;
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let python = environment.join("bin/python").display().to_string();
    let mut command = run::command(root, &python, &[SCRIPT]);
    command.env(browser::VARIABLE, chromium);
    command.env("TENURE_BINARY", run::target_folder(root).join("debug/tenure"));
    command.env("TENURE_PICTURES", &folder);
    if !command.status()?.success() {
        return Ok(Verdict::Failed);
    }
    sized(&folder)
}

/// Says how large each picture is, and whether one is too large.
fn sized(folder: &Path) -> Result<Verdict> {
    let mut verdict = Verdict::Passed;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, bytes) = (entry.file_name(), entry.metadata()?.len());
        println!("{FOLDER}/{}: {bytes} bytes", name.to_string_lossy());
        if bytes > BYTES_MAX {
            println!("  that is more than {BYTES_MAX} bytes");
            verdict = Verdict::Failed;
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_too_large_is_told() {
        let folder = std::env::temp_dir().join(format!("tenure-pictures-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let file = folder.join("a.png");
        std::fs::write(&file, [0; 10]).expect("written");
        assert_eq!(sized(&folder).expect("read"), Verdict::Passed);
        std::fs::write(&file, vec![0; 200_001]).expect("written");
        assert_eq!(sized(&folder).expect("read"), Verdict::Failed);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
