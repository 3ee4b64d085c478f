//! The version of a release: its number, commit, date and target, and how Debian writes them.

use std::path::Path;
use std::time::UNIX_EPOCH;

use super::tool;
use crate::run::Result;

/// What is released.
pub(super) struct ReleaseVersion {
    pub(super) number: String,
    /// Of the compiler, such as `x86_64-unknown-linux-gnu`.
    pub(super) target: String,
    /// The date of everything that is made, in seconds since 1970.
    pub(super) epoch: u64,
    commit: Commit,
}

/// What the checkout is.
enum Commit {
    Clean(String),
    Dirty(String),
    /// With the reason.
    Unknown(String),
}

impl ReleaseVersion {
    pub(super) fn read(root: &Path) -> Result<ReleaseVersion> {
        let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
        let commit = commit(root).unwrap_or_else(|why| Commit::Unknown(why.to_string()));
        let epoch = epoch(root, &commit, std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
        let target = host(&tool::output(root, "rustc", &["-vV"])?)?;
        Ok(ReleaseVersion { number: number(&manifest)?, target, epoch, commit })
    }

    /// What a person reads.
    pub(super) fn in_words(&self) -> String {
        let ReleaseVersion { number, target, epoch, commit } = self;
        let commit = match commit {
            Commit::Clean(commit) => format!("commit {commit}"),
            Commit::Dirty(commit) => format!("commit {commit} WITH CHANGES THAT ARE NOT COMMITTED"),
            Commit::Unknown(why) => format!("COMMIT UNKNOWN: {why}"),
        };
        format!("tenure {number} for {target}, {commit}, SOURCE_DATE_EPOCH {epoch}")
    }

    /// The name of the archive without its ending, and of the folder in it.
    pub(super) fn archive_name(&self) -> String {
        format!("tenure-{}-{}", self.number, self.target)
    }

    /// The version of Debian's package. A `~` sorts a pre-release before its release.
    pub(super) fn debian(&self) -> String {
        format!("{}-1", self.number.replacen('-', "~", 1))
    }

    /// What Debian calls the machine.
    pub(super) fn debian_architecture(&self) -> Option<&'static str> {
        let (machine, system) = self.target.split_once('-')?;
        match (machine, system.rsplit_once("linux-")?.1) {
            ("x86_64", "gnu") => Some("amd64"),
            ("i686", "gnu") => Some("i386"),
            ("aarch64", "gnu") => Some("arm64"),
            ("armv7", "gnueabihf") => Some("armhf"),
            ("powerpc64le", "gnu") => Some("ppc64el"),
            ("riscv64gc", "gnu") => Some("riscv64"),
            ("s390x", "gnu") => Some("s390x"),
            _ => None,
        }
    }
}

fn number(manifest: &str) -> Result<String> {
    let manifest: toml::Table = manifest.parse()?;
    let version = || manifest.get("workspace")?.get("package")?.get("version")?.as_str();
    Ok(version().ok_or("Cargo.toml has no [workspace.package] version")?.to_owned())
}

fn host(compiler: &str) -> Result<String> {
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("`rustc -vV` names no host")?.to_owned())
}

fn commit(root: &Path) -> Result<Commit> {
    // The sources may have been unpacked inside of a repository of something else.
    if !tool::output(root, "git", &["rev-parse", "--show-prefix"])?.is_empty() {
        return Err("the checkout belongs to a repository above it".into());
    }
    let commit = tool::output(root, "git", &["rev-parse", "--short=12", "HEAD"])?;
    let changes = tool::output(root, "git", &["status", "--porcelain"])?;
    Ok(if changes.is_empty() { Commit::Clean(commit) } else { Commit::Dirty(commit) })
}

/// What `SOURCE_DATE_EPOCH` says, else the date of the commit. Without a commit it is that of the changelog: `git archive`
/// gives files the date of the commit.
fn epoch(root: &Path, commit: &Commit, variable: Option<&str>) -> Result<u64> {
    if let Some(epoch) = variable {
        return epoch.parse().map_err(|why| format!("SOURCE_DATE_EPOCH is `{epoch}`: {why}").into());
    }
    match commit {
        Commit::Clean(commit) | Commit::Dirty(commit) => {
            Ok(tool::output(root, "git", &["log", "-1", "--format=%ct", commit])?.parse()?)
        }
        Commit::Unknown(_) => {
            let changed = root.join("CHANGELOG.md").metadata()?.modified()?;
            Ok(changed.duration_since(UNIX_EPOCH)?.as_secs())
        }
    }
}

/// The version that tests release.
#[cfg(test)]
pub(super) fn version_of_test(number: &str, target: &str) -> ReleaseVersion {
    ReleaseVersion {
        number: number.to_owned(),
        target: target.to_owned(),
        epoch: 1_700_000_000,
        commit: Commit::Dirty("0123456789ab".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::*;

    #[test]
    fn debian_writes_versions_and_machines_differently() {
        let debian = |number, target| {
            let version = version_of_test(number, target);
            (version.debian(), version.debian_architecture())
        };
        assert_eq!(debian("0.1.0", "x86_64-unknown-linux-gnu"), ("0.1.0-1".into(), Some("amd64")));
        assert_eq!(debian("1.0.0-rc.1", "aarch64-unknown-linux-gnu"), ("1.0.0~rc.1-1".into(), Some("arm64")));
        assert_eq!(debian("1.0.0", "armv7-unknown-linux-gnueabihf").1, Some("armhf"));
        for without in ["x86_64-unknown-linux-musl", "aarch64-apple-darwin", "x86_64-pc-windows-gnu"] {
            assert_eq!(debian("1.0.0", without).1, None, "{without}");
        }
    }

    #[test]
    fn the_number_is_that_of_the_workspace_and_the_host_is_that_of_the_compiler() {
        let manifest = "[workspace.package]\nversion = \"1.2.3\"\n[package]\nversion = \"9.9.9\"\n";
        assert_eq!(number(manifest).expect("a number"), "1.2.3");
        assert!(number("[workspace]\n").is_err());
        assert_eq!(host("rustc 1\nbinary: rustc\nhost: a-b-c\nrelease: 1\n").expect("a host"), "a-b-c");
    }

    #[test]
    fn the_version_says_when_the_checkout_is_dirty_and_without_git_there_still_is_one() {
        let dirty = version_of_test("1.0.0", "a-b-c").in_words();
        assert!(dirty.contains("commit 0123456789ab WITH CHANGES"), "{dirty}");
        let folder = files::folder_of_test("no-git");
        files::write(&folder.join("CHANGELOG.md"), "").expect("written");
        let unknown = Commit::Unknown("git is not installed".to_owned());
        let epoch = |variable| super::epoch(&folder, &unknown, variable);
        assert_eq!(epoch(Some("12")).expect("a number"), 12);
        assert!(epoch(Some("yesterday")).is_err());
        assert!(epoch(None).expect("that of the file") > 1_700_000_000);
        let version = ReleaseVersion { commit: unknown, ..version_of_test("1.0.0", "a-b-c") };
        assert!(version.in_words().contains("COMMIT UNKNOWN: git is not installed"));
        files::clear(&folder).expect("removed");
    }
}
