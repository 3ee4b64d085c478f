//! What is tried of a release, in folders that are removed afterwards. Nothing is installed on this machine.

use std::path::{Path, PathBuf};

use super::image::{self, Image};
use super::manifest;
use super::package::PackageMade;
use super::trial::{Trial, TrialOutcome, as_root, with_tool};
use super::version::ReleaseVersion;
use super::{files, tool};
use crate::run::{self, Result};

/// Programs that build an image, the first of which that works is used.
const BUILDERS: [&str; 3] = ["podman", "docker", "buildah"];

/// What was made.
pub(super) struct Made {
    pub(super) archive: PathBuf,
    pub(super) package: PackageMade,
    pub(super) image: Image,
}

impl Made {
    /// All its files, by their paths in the folder.
    pub(super) fn files(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = vec![self.archive.clone()];
        files.extend(self.package.iter().cloned());
        files.extend(files::below(&self.image.folder)?);
        files.iter().map(|file| Ok(file.strip_prefix(folder)?.to_path_buf())).collect()
    }
}

/// Tries all.
pub(super) fn all(made: &Made, version: &ReleaseVersion, folder: &Path, work: &Path) -> Vec<Trial> {
    let passed = |said: Result<String>| said.map(TrialOutcome::Passed);
    let mut trials = vec![
        Trial::of("sums", passed(manifest::check_sums(folder))),
        Trial::of("binary of the archive", passed(unpacked(made, version, &work.join("archive")))),
    ];
    match &made.package {
        Ok(file) => trials.extend(of_package(file, version, &work.join("package"))),
        Err(why) => {
            trials.push(Trial::of("Debian package", Ok(TrialOutcome::NotRun(format!("not made: {why}")))))
        }
    }
    let in_image = || run_in_image(&made.image, version, &work.join("image"));
    trials.push(Trial::of("binary in the image's root", as_root("chroot", in_image)));
    trials.push(Trial::of("container image", build_image(&made.image, version)));
    trials
}

fn unpacked(made: &Made, version: &ReleaseVersion, work: &Path) -> Result<String> {
    std::fs::create_dir_all(work)?;
    tool::output(work, "tar", &["--extract", "--gzip", "--file", &made.archive.display().to_string()])?;
    is_version(&tool::tenure(&work.join(version.archive_name()).join("tenure"), &["--version"])?, version)
}

/// What `tenure --version` prints, if it is what is released.
fn is_version(said: &str, version: &ReleaseVersion) -> Result<String> {
    match said.split_whitespace().any(|word| word == version.number) {
        true => Ok(format!("`tenure --version` prints `{said}`")),
        false => Err(format!("`tenure --version` prints `{said}` and not {}", version.number).into()),
    }
}

fn of_package(file: &Path, version: &ReleaseVersion, work: &Path) -> Vec<Trial> {
    let root = work.join("root");
    let file = file.display().to_string();
    let lint = || tool::output(work, "lintian", &["--no-tag-display-limit", &file]);
    vec![
        Trial::of("binary of the package", extracted(&file, version, &root).map(TrialOutcome::Passed)),
        Trial::of("unit of the package", with_tool("systemd-analyze", || unit(&root, work))),
        Trial::of(
            "dpkg into an empty root",
            as_root("dpkg", || unpacked_by_dpkg(&file, &work.join("empty"))),
        ),
        Trial::of("dpkg on this machine", on_debian(|| dry_run(&file, work))),
        Trial::of("life of the package", on_debian(|| installed(&file, version, work))),
        Trial::of("lintian", with_tool("lintian", lint)),
    ]
}

fn extracted(file: &str, version: &ReleaseVersion, root: &Path) -> Result<String> {
    std::fs::create_dir_all(root)?;
    tool::output(root, "dpkg-deb", &["--extract", file, "."])?;
    is_version(&tool::tenure(&root.join("usr/bin/tenure"), &["--version"])?, version)
}

/// systemd looks for the binary, which is not where the package installs it.
fn unit(root: &Path, work: &Path) -> Result<String> {
    let text = std::fs::read_to_string(root.join("usr/lib/systemd/system/tenure.service"))?;
    let binary = root.join("usr/bin/tenure").display().to_string();
    let unit = work.join("tenure.service");
    files::write(&unit, &text.replace("/usr/bin/tenure", &binary))?;
    let verify = ["verify", "--man=no", &unit.display().to_string()];
    let output = run::command(work, "systemd-analyze", &verify).env("LC_ALL", "C").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // It succeeds even if it ignores a setting. Of other units it speaks, too.
    let findings: Vec<&str> = said.lines().filter(|line| line.contains("tenure.service")).collect();
    match (&findings[..], output.status.success()) {
        ([], true) => Ok("`systemd-analyze verify` finds nothing".to_owned()),
        ([], false) => Err(said.into()),
        ([..], _) => Err(findings.join("\n").into()),
    }
}

/// Unpacked by dpkg, with its sums compared. Not configured: the root has no shell for its scripts.
fn unpacked_by_dpkg(file: &str, root: &Path) -> Result<String> {
    let database = root.join("var/lib/dpkg");
    for empty in ["info", "updates", "triggers"] {
        std::fs::create_dir_all(database.join(empty))?;
    }
    files::write(&database.join("status"), "")?;
    let (at, log) = (format!("--root={}", root.display()), format!("--log={}", root.join("log").display()));
    tool::output(root, "dpkg", &[&at, &log, "--unpack", file])?;
    let differing = tool::output(root, "dpkg", &[&at, "--verify", "tenure"])?;
    // The settings file waits for the configuration.
    let differing: Vec<&str> = differing.lines().filter(|line| !line.contains(" c /etc/")).collect();
    let listed = tool::output(root, "dpkg", &[&at, "--listfiles", "tenure"])?;
    match differing[..] {
        [] => Ok(format!("{} files and folders unpacked, their sums are right", listed.lines().count())),
        [..] => Err(format!("other files than it has sums of: {}", differing.join("\n")).into()),
    }
}

/// Both trials install on this machine or on a view of it, which must have what the package depends on.
fn on_debian(trial: impl FnOnce() -> Result<TrialOutcome>) -> Result<TrialOutcome> {
    if !tool::is_root() {
        return Ok(TrialOutcome::NotRun("it needs root".to_owned()));
    }
    match tool::output(Path::new("/"), "dpkg-query", &["--show", "adduser", "libc6"]) {
        Ok(_) => trial(),
        Err(why) => Ok(TrialOutcome::NotRun(format!("the package can't be installed here: {why}"))),
    }
}

fn dry_run(file: &str, work: &Path) -> Result<TrialOutcome> {
    tool::output(work, "dpkg", &["--dry-run", "--install", file])?;
    Ok(TrialOutcome::Passed("`dpkg --dry-run --install` would install it".to_owned()))
}

/// Its scripts make a user and speak to systemd, so they run on a view of this machine that forgets what they write.
fn installed(file: &str, version: &ReleaseVersion, work: &Path) -> Result<TrialOutcome> {
    let (script, view) = (work.join("try.sh"), work.join("view"));
    files::write(&script, include_str!("debian/try.sh"))?;
    std::fs::create_dir_all(&view)?;
    let [script, view] = [script, view].map(|path| path.display().to_string());
    let arguments = ["--mount", "sh", &script, file, &view, &version.debian()];
    let output = run::command(work, "unshare", &arguments).env("LC_ALL", "C").output()?;
    Ok(life(output.status.code(), &String::from_utf8_lossy(&output.stderr)))
}

/// What the script's status and errors mean.
fn life(status: Option<i32>, errors: &str) -> TrialOutcome {
    const CAN_NOT_MOUNT: i32 = 3;
    let last = errors.trim().lines().last().unwrap_or_default();
    match status {
        Some(0) => {
            let passed =
                "installed, used by the service's user, upgraded, removed and purged; without systemd";
            TrialOutcome::Passed(passed.to_owned())
        }
        Some(CAN_NOT_MOUNT) => TrialOutcome::NotRun(last.to_owned()),
        Some(_) if last.starts_with("unshare: ") => TrialOutcome::NotRun(last.to_owned()),
        Some(_) | None => TrialOutcome::Failed(errors.trim().to_owned()),
    }
}

/// As the image's user, who creates a task in the image's data.
fn run_in_image(image: &Image, version: &ReleaseVersion, root: &Path) -> Result<String> {
    std::fs::create_dir_all(root)?;
    let archive = image.folder.join("root.tar").display().to_string();
    tool::output(root, "tar", &["--extract", "--same-owner", "--numeric-owner", "--file", &archive])?;
    let user = format!("--userspec={0}:{0}", image::USER);
    let place = root.display().to_string();
    let run = |arguments: &[&str]| {
        let begin =
            [&user, place.as_str(), "/usr/local/bin/tenure", "--store", "sqlite:/var/lib/tenure/try.db"];
        tool::output(root, "chroot", &[&begin[..], arguments].concat())
    };
    run(&["task", "create", "--id", "try"])?;
    let said = is_version(&run(&["--version"])?, version)?;
    Ok(format!("with {} libraries; user {} created a task; {said}", image.libraries, image::USER))
}

fn build_image(image: &Image, version: &ReleaseVersion) -> Result<TrialOutcome> {
    // docker is often there without its daemon.
    let works = |program: &&&str| tool::output(&image.folder, program, &["info"]).is_ok();
    let Some(builder) = BUILDERS.iter().find(works) else {
        let why = "no image was built: none of podman, docker and buildah works here";
        return Ok(TrialOutcome::NotRun(why.to_owned()));
    };
    let name = format!("tenure:{}", version.number);
    tool::output(&image.folder, builder, &["build", "--file", "Containerfile", "--tag", &name, "."])?;
    if *builder == "buildah" {
        return Ok(TrialOutcome::Passed(format!("buildah built {name}; it was not run")));
    }
    let said =
        is_version(&tool::output(&image.folder, builder, &["run", "--rm", &name, "--version"])?, version)?;
    Ok(TrialOutcome::Passed(format!("{builder} built {name}; {said}")))
}

#[cfg(test)]
mod tests {
    use super::super::version::version_of_test;
    use super::*;

    #[test]
    fn another_version_than_the_released_one_fails() {
        let version = version_of_test("1.2.0", "x86_64-unknown-linux-gnu");
        assert!(is_version("tenure 1.2.0", &version).is_ok());
        assert!(is_version("tenure 1.2.01", &version).is_err() && is_version("", &version).is_err());
    }

    #[test]
    fn a_setting_that_systemd_would_ignore_fails() {
        let folder = files::folder_of_test("unit");
        let root = folder.join("root");
        let text = "[Service]\nExecStart=/bin/true\n";
        let place = root.join("usr/lib/systemd/system/tenure.service");
        let tried = |text: &str| {
            files::write(&place, text).expect("written");
            with_tool("systemd-analyze", || unit(&root, &folder))
        };
        assert!(tried(text).is_ok());
        if tool::is_installed("systemd-analyze") {
            let why = tried(&format!("{text}Restrat=no\n")).err().expect("it is misspelt").to_string();
            assert!(why.contains("Restrat"), "{why}");
        }
        files::clear(&folder).expect("removed");
    }

    #[test]
    fn a_machine_that_can_not_mount_is_no_failure_of_the_package() {
        assert!(matches!(life(Some(0), ""), TrialOutcome::Passed(_)));
        assert!(matches!(life(Some(3), "mount: permission denied"), TrialOutcome::NotRun(_)));
        assert!(matches!(life(Some(1), "unshare: unshare failed: not permitted"), TrialOutcome::NotRun(_)));
        assert!(matches!(life(Some(1), "dpkg: error"), TrialOutcome::Failed(why) if why == "dpkg: error"));
        assert!(matches!(life(None, ""), TrialOutcome::Failed(_)));
    }
}
