//! Tests the console in a real browser: Chromium, driven by Playwright.

use std::path::{Path, PathBuf};

use crate::debian;
use crate::python;
use crate::run::{self, Result, Tally};

const FOLDER: &str = "crates/cli/tests/browser";

/// What the tests need, in the versions that they were written with.
const PACKAGES: &[&str] =
    &["axe-playwright-python==0.1.8", "playwright==1.65.2", "pytest==9.2.0", "pytest-timeout==2.4.0"];

/// The names under which Chromium is installed, and the variable that names another one.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
pub(crate) const VARIABLE: &str = "TENURE_CHROMIUM";

/// Builds the program, and runs the tests. Without Chromium they are not run, which is said and counted.
pub(crate) fn test(root: &Path) -> Result<Tally> {
    let Some(chromium) = chromium(root)? else {
        println!("Chromium is not there: name it in {VARIABLE}. The console was not tried in a browser");
        return Ok(Tally { skipped: 1, ..Tally::default() });
    };
    run::output(root, "cargo", &["build", "--workspace", "--bin", "tenure"])?;
    let environment = python::environment(root, "browser", PACKAGES)?;
    let pictures = run::folder_of_tests(root).join("console");
    let variables = [
        (VARIABLE, chromium.display().to_string()),
        ("TENURE_BINARY", run::target_folder(root).join("debug/tenure").display().to_string()),
        ("TENURE_PICTURES", pictures.display().to_string()),
    ];
    let tally = python::pytest(root, FOLDER, &environment, &variables)?;
    println!("pictures of the pages are in {}", pictures.display());
    Ok(tally)
}

/// Where it is. Where it is not, it is installed by apt-get, as root.
pub(crate) fn chromium(root: &Path) -> Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Ok(Some(named.into()));
    }
    if let Some(found) = found() {
        return Ok(Some(found));
    }
    if run::output(root, "apt-get", &["--version"]).is_err() || !debian::is_root(root) {
        return Ok(None);
    }
    debian::apt_get(root, &["update"])?;
    // A system whose Chromium is only a snap has none that runs here.
    let installed = debian::apt_get(root, &["install", "--yes", "--no-install-recommends", "chromium"]);
    if let Err(why) = installed {
        println!("{why}");
    }
    Ok(found())
}

fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}
