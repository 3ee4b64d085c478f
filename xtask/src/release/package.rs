//! Debian's package, made by `dpkg-deb` from a folder. It has what the archive has, in Debian's places, the service's user
//! and its settings file.

use std::path::{Path, PathBuf};

use super::shipped::Shipped;
use super::version::ReleaseVersion;
use super::{archive, binary, files, tool};
use crate::run::{self, Result};

/// What the maintainer's scripts of Debian do is said in each.
const SCRIPTS: [(&str, &str); 3] = [
    ("postinst", include_str!("debian/postinst")),
    ("prerm", include_str!("debian/prerm")),
    ("postrm", include_str!("debian/postrm")),
];
const SETTINGS: &str = include_str!("debian/tenure.toml");
const CONFFILES: &str = "/etc/tenure/tenure.toml\n";
const DESCRIPTION: &str = "\
Description: record of who works on a task, and of how to undo it
 Tenure records who is working on a task, until when, and how to undo what
 was left half done. Workers take leases for a limited time; a late worker
 is refused; recovery runs the undo that dead workers owe and stores the
 receipts. The record is an SQLite file or a PostgreSQL database.
 .
 The package has a service, tenure.service, which is neither enabled nor
 started at installation.
";

/// Debian's package, or why there is none.
pub(super) type PackageMade = std::result::Result<PathBuf, String>;

/// Writes `tenure_VERSION_ARCHITECTURE.deb`.
pub(super) fn make(
    version: &ReleaseVersion,
    shipped: &Shipped<'_>,
    folder: &Path,
    work: &Path,
) -> Result<PackageMade> {
    let Some(architecture) = version.debian_architecture() else {
        return Ok(Err(format!("Debian has no architecture for {}", version.target)));
    };
    if !tool::is_installed("dpkg-deb") {
        return Ok(Err("dpkg-deb is not installed".to_owned()));
    }
    let staged = work.join("root");
    stage(version, shipped, &staged)?;
    let depends = binary::debian_dependencies(&shipped.binary, work)?;
    write_control(version, architecture, &depends, &staged)?;
    let package = folder.join(format!("tenure_{}_{architecture}.deb", version.debian()));
    let [from, to] = [&staged, &package].map(|path| path.display().to_string());
    // One thread on every machine: how many there are changes the bytes.
    let mut command = run::command(work, "dpkg-deb", &["--root-owner-group", "-Zxz", "--build", &from, &to]);
    command.env("SOURCE_DATE_EPOCH", version.epoch.to_string()).env("DPKG_DEB_THREADS_MAX", "1");
    tool::finish(&mut command, "dpkg-deb --build")?;
    Ok(Ok(package))
}

/// What is installed.
fn stage(version: &ReleaseVersion, shipped: &Shipped<'_>, staged: &Path) -> Result<()> {
    files::copy(&shipped.binary, &staged.join("usr/bin/tenure"))?;
    for (page, name) in shipped.pages()? {
        copy_compressed(&page, &staged.join("usr/share/man/man1").join(name))?;
    }
    for completion in shipped.completions() {
        files::copy(&completion.script, &staged.join(completion.installed))?;
    }
    for unit in shipped.units() {
        let name = unit.file_name().ok_or("a unit has no name")?;
        let text = std::fs::read_to_string(&unit)?;
        files::write(&staged.join("usr/lib/systemd/system").join(name), &installed_unit(&text))?;
    }
    files::write(&staged.join("etc/tenure/tenure.toml"), SETTINGS)?;
    let documents = staged.join("usr/share/doc/tenure");
    files::copy(&shipped.source("README.md"), &documents.join("README.md"))?;
    copy_compressed(&shipped.source("CHANGELOG.md"), &documents.join("changelog"))?;
    copy_compressed(&shipped.third_party(), &documents.join("LICENSES-THIRD-PARTY.txt"))?;
    let mit = std::fs::read_to_string(shipped.source("LICENSE-MIT"))?;
    files::write(&documents.join("copyright"), &copyright(&mit))?;
    let date = tool::output(staged, "date", &["--utc", "-R", "-d", &format!("@{}", version.epoch)])?;
    let changes = documents.join("changelog.Debian");
    files::write(&changes, &changelog(&version.debian(), &maintainer(), &date))?;
    archive::compress(&changes)
}

fn copy_compressed(from: &Path, to: &Path) -> Result<()> {
    files::copy(from, to)?;
    archive::compress(to)
}

/// What dpkg reads.
fn write_control(version: &ReleaseVersion, architecture: &str, depends: &str, staged: &Path) -> Result<()> {
    let mut installed: Vec<String> = Vec::new();
    let mut bytes = 0;
    for file in files::below(staged)? {
        bytes += file.metadata()?.len();
        installed.push(file.strip_prefix(staged)?.display().to_string());
    }
    let names: Vec<&str> = installed.iter().map(String::as_str).collect();
    let is_sum_of_settings =
        |line: &&str| CONFFILES.trim_end().ends_with(line.split("  ").last().unwrap_or_default());
    let sums = tool::output(staged, "md5sum", &names)?;
    let sums: String =
        sums.lines().filter(|line| !is_sum_of_settings(line)).map(|line| format!("{line}\n")).collect();
    let place = staged.join("DEBIAN");
    let control = control(&version.debian(), architecture, &maintainer(), bytes.div_ceil(1024), depends);
    files::write(&place.join("control"), &control)?;
    files::write(&place.join("conffiles"), CONFFILES)?;
    files::write(&place.join("md5sums"), &sums)?;
    for (name, script) in SCRIPTS {
        files::write(&place.join(name), script)?;
        files::set_mode(&place.join(name), 0o755)?;
    }
    files::set_usual_modes(staged)
}

fn control(version: &str, architecture: &str, maintainer: &str, kibibytes: u64, depends: &str) -> String {
    format!(
        "Package: tenure\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {maintainer}\n\
         Installed-Size: {kibibytes}\nDepends: adduser, {depends}\nRecommends: ca-certificates\n\
         Section: admin\nPriority: optional\n{DESCRIPTION}"
    )
}

fn changelog(version: &str, maintainer: &str, date: &str) -> String {
    format!(
        "tenure ({version}) unstable; urgency=medium\n\n  * Release; changelog.gz lists the changes.\n\n \
         -- {maintainer}  {date}\n"
    )
}

/// Who Debian's own tools would write down.
fn maintainer() -> String {
    let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    format!("{} <{}>", variable("DEBFULLNAME", "Tenure contributors"), variable("DEBEMAIL", PLACEHOLDER))
}

const PLACEHOLDER: &str = "tenure@localhost";

/// What is missing in a package that others install.
pub(super) fn is_maintainer_missing() -> bool {
    maintainer().contains(PLACEHOLDER)
}

/// Packages install into /usr, people into /usr/local.
fn installed_unit(unit: &str) -> String {
    unit.replace("/usr/local/bin/tenure", "/usr/bin/tenure")
}

fn copyright(mit: &str) -> String {
    let line = |line: &str| if line.trim().is_empty() { " .\n".to_owned() } else { format!(" {line}\n") };
    let holder =
        mit.lines().find_map(|line| line.strip_prefix("Copyright (c) ")).unwrap_or("Tenure contributors");
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Tenure\nComment: LICENSES-THIRD-PARTY.txt.gz has the licenses of linked crates.\n\n\
         Files: *\nCopyright: {holder}\nLicense: MIT or Apache-2.0\n\n\
         License: MIT\n{}\nLicense: Apache-2.0\n The text is in /usr/share/common-licenses/Apache-2.0.\n",
        mit.lines().map(line).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::super::shipped::shipped_of_test;
    use super::super::version::version_of_test;
    use super::*;

    #[test]
    fn the_control_file_has_what_dpkg_needs_each_on_a_line() {
        let control = control("1.0.0~rc.1-1", "arm64", "A B <a@example.com>", 12, "libc6 (>= 2.34)");
        for line in ["Package: tenure", "Version: 1.0.0~rc.1-1", "Architecture: arm64", "Installed-Size: 12"]
        {
            assert!(control.lines().any(|has| has == line), "{line}: {control}");
        }
        assert!(
            control.contains("\nDepends: adduser, libc6 (>= 2.34)\n") && control.ends_with('\n'),
            "{control}"
        );
        let summary = DESCRIPTION.lines().next().expect("one");
        assert!(summary.len() <= "Description: ".len() + 80, "Debian cuts it off: {summary}");
        assert!(DESCRIPTION.lines().skip(1).all(|line| line.starts_with(' ')), "it continues");
    }

    #[test]
    fn the_unit_runs_the_packages_binary_as_the_user_that_the_script_makes() {
        let unit = installed_unit(include_str!("../../../deploy/systemd/tenure.service"));
        assert!(unit.contains("ExecStart=/usr/bin/tenure ") && !unit.contains("/usr/local"), "{unit}");
        assert!(
            unit.contains("--config /etc/tenure/tenure.toml ")
                && CONFFILES.contains("/etc/tenure/tenure.toml")
        );
        let user = unit.lines().find_map(|line| line.strip_prefix("User=")).expect("a user");
        let script = SCRIPTS[0].1;
        let makes_it = script.lines().any(|line| line.contains("adduser --system") && line.ends_with(user));
        assert!(makes_it, "{script}");
    }

    #[test]
    fn the_licence_of_the_project_is_in_the_package_whole() {
        let copyright = copyright("MIT License\n\nCopyright (c) 2026 A\n\nPermission\n");
        assert!(copyright.contains("Copyright: 2026 A\n"), "{copyright}");
        assert!(
            copyright.contains(
                "License: MIT\n MIT License\n .\n Copyright (c) 2026 A\n .\n Permission\n\nLicense"
            )
        );
    }

    #[test]
    fn the_changelog_is_dated_as_debian_writes_it() {
        let changelog = changelog("1.0.0-1", "A <a@example.com>", "Tue, 14 Nov 2023 22:13:20 +0000");
        assert!(changelog.starts_with("tenure (1.0.0-1) unstable; urgency=medium\n\n  * "));
        assert!(
            changelog.ends_with("\n\n -- A <a@example.com>  Tue, 14 Nov 2023 22:13:20 +0000\n"),
            "{changelog}"
        );
    }

    #[test]
    fn what_is_staged_lies_where_debian_looks_and_has_sums() {
        let folder = files::folder_of_test("staged");
        let staged = folder.join("root");
        let version = version_of_test("1.2.3", "x86_64-unknown-linux-gnu");
        stage(&version, &shipped_of_test(&folder), &staged).expect("staged");
        write_control(&version, "amd64", "libc6", &staged).expect("written");
        for name in [
            "usr/bin/tenure",
            "usr/share/man/man1/tenure-task.1.gz",
            "usr/share/bash-completion/completions/tenure",
            "usr/share/zsh/vendor-completions/_tenure",
            "usr/share/fish/vendor_completions.d/tenure.fish",
            "usr/lib/systemd/system/tenure.socket",
            "usr/share/doc/tenure/copyright",
            "usr/share/doc/tenure/changelog.gz",
            "usr/share/doc/tenure/changelog.Debian.gz",
            "etc/tenure/tenure.toml",
        ] {
            assert!(staged.join(name).is_file(), "{name}");
        }
        let sums = std::fs::read_to_string(staged.join("DEBIAN/md5sums")).expect("read");
        assert!(sums.contains("  usr/bin/tenure\n") && !sums.contains("etc/"), "{sums}");
        files::clear(&folder).expect("removed");
    }
}
