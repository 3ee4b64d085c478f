//! The machine on which was measured, in words for the report.

#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::fs::{File, read_to_string};
use std::io::Write;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use super::databases::Databases;
use super::summary::Spread;
use crate::run::{self, Result};

/// Names with their values.
pub(super) struct Machine {
    pub(super) facts: Vec<(&'static str, String)>,
    /// What must be the same for a run to be continued.
    pub(super) identity: String,
    pub(super) commit: String,
}

impl Machine {
    /// Stores in files are below this folder.
    pub(super) fn look(
        root: &Path,
        folder: &Path,
        databases: &std::result::Result<Databases, String>,
    ) -> Result<Machine> {
        let (cpu, kernel) = (cpu(root), run::output(root, "uname", &["-srm"])?);
        let cores = available_parallelism().map_or(1, usize::from);
        let commit =
            run::output(root, "git", &["describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"])?;
        let sync = match sync_time(folder)? {
            Some(Spread { median, least, most }) => {
                format!(
                    "{median:.2} ms at the median of 200 ({least:.2} to {most:.2}), 4 KiB appended each time"
                )
            }
            None => "not measured".to_owned(),
        };
        let (version, settings) = match databases {
            Ok(databases) => (databases.version.clone(), databases.settings.clone()),
            Err(why) => (format!("none: {why}"), String::new()),
        };
        let mut facts = vec![
            ("processor", cpu.clone()),
            ("cores", cores.to_string()),
            ("system", kernel.clone()),
            ("file system of the stores", file_system(folder).unwrap_or_else(|| "unknown".to_owned())),
            ("time of a disk sync", sync),
            ("PostgreSQL", version),
            ("its settings", settings),
            ("date", run::output(root, "date", &["-u", "+%Y-%m-%d %H:%M UTC"])?),
            ("commit", commit.clone()),
        ];
        facts.retain(|(_, value)| !value.is_empty());
        Ok(Machine { facts, identity: format!("{cpu}, {cores} cores, {kernel}"), commit })
    }
}

fn cpu(root: &Path) -> String {
    let file = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = file.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let named = named.map(|(_, name)| name.to_owned());
    let on_mac = || run::output(root, "sysctl", &["-n", "machdep.cpu.brand_string"]).ok();
    named.or_else(on_mac).unwrap_or_else(|| "unknown".to_owned())
}

/// The type of the file system with the longest path to the folder.
fn file_system(folder: &Path) -> Option<String> {
    file_system_in(&read_to_string("/proc/mounts").ok()?, folder)
}

fn file_system_in(mounts: &str, folder: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounted.filter(|(path, _)| folder.starts_with(path));
    above.max_by_key(|(path, _)| path.len()).map(|(_, kind)| kind.to_owned())
}

/// In milliseconds: how long it takes until 4 KiB at the end of a file are on the disk.
fn sync_time(folder: &Path) -> Result<Option<Spread>> {
    const COUNT: u32 = 200;
    const LONGEST: Duration = Duration::from_secs(10);
    let path = folder.join(format!("tenure-bench-sync-{}", std::process::id()));
    let mut file = File::create(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let (began, mut times) = (Instant::now(), Vec::new());
    for _ in 0..COUNT {
        let before = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        times.push(before.elapsed().as_secs_f64() * 1_000.0);
        if began.elapsed() > LONGEST {
            break;
        }
    }
    std::fs::remove_file(path)?;
    Ok(Spread::of(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/disk xfs rw 0 0\n";
        let kind = |folder: &str| file_system_in(mounts, Path::new(folder));
        assert_eq!(kind("/var/tmp"), Some("ext4".into()));
        assert_eq!(kind("/tmp/a"), Some("tmpfs".into()));
        assert_eq!(kind("/tmp/disk"), Some("xfs".into()));
        assert_eq!(kind("/tmpx"), Some("ext4".into()));
    }

    #[test]
    fn a_sync_takes_some_time() {
        let time = sync_time(&std::env::temp_dir()).expect("a file").expect("times");
        assert!(time.least > 0.0 && time.least <= time.median && time.median <= time.most);
    }
}
