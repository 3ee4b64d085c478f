//! PostgreSQL for the tests: installs its programs if they are missing, and starts as many servers as tests run at
//! once, for all tests that only need a schema. Tests that stop or change a server start their own. Each server
//! belongs to a guardian, `crates/testkit/src/bin/tenure-guardian.rs`, which also searches for the programs.

mod newest;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::debian;
use crate::run::{self, Result, Tally};

pub(crate) use self::newest::{ensure as ensure_newest, major as newest_major, programs as newest_programs};

/// The directory of the programs, which takes precedence; the guardian of the tests reads it, too.
pub(crate) const PROGRAMS_VARIABLE: &str = "TENURE_POSTGRES_BIN";

/// Where systems keep one folder for each version, whose name begins so.
const VERSIONS: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
];

const INSTALL: &[&[&str]] = &[&["update"], &["install", "-y", "--no-install-recommends", "postgresql"]];

/// Read by the package's own scripts, which otherwise make a server for all of the machine and start it.
const SETTINGS_OF_PACKAGE: &str = "/etc/postgresql-common/createcluster.d/tenure-tests.conf";

/// The file in which a server keeps its major version, in its folder.
const VERSION_FILE: &str = "data/PG_VERSION";

/// Tells tests where the shared servers are: for each a line with its port, a space, its folder.
/// `crates/testkit/src/server.rs` reads it.
const SHARED_VARIABLE: &str = "TENURE_TEST_POSTGRES";

/// Servers for tests that only need a schema, with their guardians. They go when this is dropped, or this process dies.
pub(crate) struct SharedServers(Vec<Guardian>);

/// A process that has one server, for as long as this lives.
pub(crate) struct Guardian {
    process: Child,
    /// Port and directory, or why this machine can't have a server: tests then say so, each for itself.
    place: std::result::Result<String, String>,
}

impl SharedServers {
    /// Starts this many, with the guardian that was built with the tests, which reads these variables.
    pub(crate) fn start(
        root: &Path,
        count: usize,
        variables: &[(&'static str, String)],
    ) -> Result<SharedServers> {
        let started: Result<Vec<Child>> = (0..count).map(|_| Guardian::spawn(root, &[], variables)).collect();
        // They make themselves ready side by side.
        let guardians: Result<Vec<Guardian>> = started?.into_iter().map(Guardian::of).collect();
        Ok(SharedServers(guardians?))
    }

    /// What tells tests of them. None unless there is one for each test that may run at once.
    pub(crate) fn variable(&self) -> Option<(&'static str, String)> {
        let places: Option<Vec<&str>> =
            self.0.iter().map(|guardian| guardian.place.as_deref().ok()).collect();
        Some((SHARED_VARIABLE, places?.join("\n")))
    }

    /// The major version that they run, by their own word. None where this machine has no server.
    pub(crate) fn major(&self) -> Option<String> {
        let (_, folder) = self.0.first()?.place.as_deref().ok()?.split_once(' ')?;
        let version = std::fs::read_to_string(Path::new(folder).join(VERSION_FILE)).ok()?;
        Some(version.trim().to_owned())
    }
}

impl Drop for SharedServers {
    fn drop(&mut self) {
        // All are told before the first of them is waited for.
        for guardian in &mut self.0 {
            drop(guardian.process.stdin.take());
        }
    }
}

impl Guardian {
    /// Builds the program of guardians and starts a server with these settings, each of them `NAME=VALUE`.
    pub(crate) fn start(
        root: &Path,
        settings: &[&str],
        variables: &[(&'static str, String)],
    ) -> Result<Guardian> {
        run::output(root, "cargo", &["build", "-p", "tenure-testkit", "--bin", "tenure-guardian"])?;
        Guardian::of(Guardian::spawn(root, settings, variables)?)
    }

    /// Where the server listens, or why there is none.
    pub(crate) fn port(&self) -> std::result::Result<&str, &str> {
        let place = self.place.as_deref().map_err(String::as_str)?;
        Ok(place.split(' ').next().unwrap_or_default())
    }

    fn spawn(root: &Path, settings: &[&str], variables: &[(&'static str, String)]) -> Result<Child> {
        let program = run::target_folder(root).join("debug/tenure-guardian");
        let mut guardian = Command::new(&program);
        guardian.args(settings.iter().flat_map(|setting| ["-c", setting]));
        guardian.envs(variables.iter().map(|(name, value)| (name, value)));
        // Ctrl-C is meant for this process. The guardian ends when its input does.
        let started = guardian.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        started.map_err(|why| format!("{}: {why}", program.display()).into())
    }

    /// Waits until its server is ready, or learns that there can't be one.
    fn of(mut process: Child) -> Result<Guardian> {
        let mut first = String::new();
        if let Some(answers) = process.stdout.take() {
            BufReader::new(answers).read_line(&mut first)?;
        }
        match first.trim_end().split_once(' ') {
            Some(("ready", place)) => Ok(Guardian { process, place: Ok(place.to_owned()) }),
            Some(("absent", why)) => Ok(Guardian { process, place: Err(why.to_owned()) }),
            Some(_) | None => Err(format!("no PostgreSQL server for the tests: {}", first.trim_end()).into()),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // The end of its input is what ends a guardian; then it takes the server and its folder away.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Prints the PostgreSQL version. If it is missing and this machine allows it, it is installed first.
pub(crate) fn ensure(root: &Path) -> Result<Tally> {
    if found().is_empty() {
        install(root)?;
    }
    let found = found();
    for initdb in &found {
        println!("{initdb}: {}", run::output(root, initdb, &["--version"])?);
    }
    match found.is_empty() {
        true => Err("PostgreSQL was installed, and its initdb is still not found".into()),
        // Nothing of this project was looked at.
        false => Ok(Tally::default()),
    }
}

/// Each once, however many links and names lead to it.
fn found() -> BTreeSet<String> {
    let files = folders().into_iter().filter_map(|folder| folder.join("initdb").canonicalize().ok());
    files.map(|file| file.display().to_string()).collect()
}

/// One of its programs on this machine.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where the programs may be.
fn folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os(PROGRAMS_VARIABLE) {
        return vec![named.into()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (above, beginning) in VERSIONS {
        // A folder that is not there has no versions.
        let entries = std::fs::read_dir(above).into_iter().flatten().filter_map(std::io::Result::ok);
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
        folders.extend(named.map(|entry| entry.path().join("bin")));
    }
    folders
}

/// By apt-get, as root. Anywhere else a person has to do it, and is told.
fn install(root: &Path) -> Result<()> {
    let is_apt_there = run::output(root, "apt-get", &["--version"]).is_ok();
    if std::env::var_os(PROGRAMS_VARIABLE).is_some() || !is_apt_there || !debian::is_root(root) {
        let way_out =
            format!("install its server, or name the folder of its programs in {PROGRAMS_VARIABLE}");
        return Err(format!("PostgreSQL was not found: {way_out}").into());
    }
    let settings = Path::new(SETTINGS_OF_PACKAGE);
    if let Some(folder) = settings.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(settings, "create_main_cluster = false\n")?;
    let installed = INSTALL.iter().try_for_each(|arguments| debian::apt_get(root, arguments));
    // It is not for what the machine's owner installs later.
    let removed = std::fs::remove_file(settings);
    installed?;
    Ok(removed?)
}
