//! What ships, however it is packed: the binary, its manual pages and completion scripts, units and documents.

use std::path::{Path, PathBuf};

use super::version::ReleaseVersion;
use super::{files, licenses, tool};
use crate::run::Result;

/// The files that ship.
pub(super) struct Shipped<'a> {
    pub(super) binary: PathBuf,
    root: &'a Path,
    /// With what the binary prints about itself.
    generated: PathBuf,
}

/// A completion script.
pub(super) struct Completion {
    pub(super) script: PathBuf,
    /// Its name among those of other shells.
    pub(super) plain_name: &'static str,
    /// Where the shell looks for scripts of packages.
    pub(super) installed: &'static str,
}

/// Of each shell: its name, and the two names of its script.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "tenure.bash", "usr/share/bash-completion/completions/tenure"),
    ("zsh", "_tenure", "usr/share/zsh/vendor-completions/_tenure"),
    ("fish", "tenure.fish", "usr/share/fish/vendor_completions.d/tenure.fish"),
];
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];
const THIRD_PARTY: &str = "LICENSES-THIRD-PARTY.txt";
const UNITS: [&str; 2] = ["deploy/systemd/tenure.service", "deploy/systemd/tenure.socket"];

impl<'a> Shipped<'a> {
    /// Has the binary write its pages and scripts, and collects the licenses of what is linked into it.
    pub(super) fn generate(
        root: &'a Path,
        binary: &Path,
        version: &ReleaseVersion,
        generated: &Path,
    ) -> Result<Shipped<'a>> {
        tool::tenure(binary, &["man", "--dir", &generated.join("man").display().to_string()])?;
        for (shell, name, _) in SHELLS {
            let script = tool::tenure(binary, &["completions", shell])?;
            files::write(&generated.join(name), &format!("{script}\n"))?;
        }
        let third_party = licenses::of_dependencies(root, &version.target)?;
        files::write(&generated.join(THIRD_PARTY), &third_party)?;
        Ok(Shipped { binary: binary.to_path_buf(), root, generated: generated.to_path_buf() })
    }

    /// Manual pages with their names.
    pub(super) fn pages(&self) -> Result<Vec<(PathBuf, String)>> {
        let pages = files::below(&self.generated.join("man"))?;
        let name = |page: &Path| page.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(pages.into_iter().filter_map(|page| Some((page.clone(), name(&page)?))).collect())
    }

    pub(super) fn completions(&self) -> Vec<Completion> {
        let one = |(_, plain_name, installed)| Completion {
            script: self.generated.join(plain_name),
            plain_name,
            installed,
        };
        SHELLS.map(one).into()
    }

    pub(super) fn units(&self) -> Vec<PathBuf> {
        UNITS.map(|unit| self.root.join(unit)).into()
    }

    /// Documents for people, licenses included.
    pub(super) fn documents(&self) -> Vec<PathBuf> {
        let mut documents: Vec<PathBuf> = DOCUMENTS.map(|name| self.root.join(name)).into();
        documents.push(self.third_party());
        documents
    }

    /// The licenses of what is linked into the binary.
    pub(super) fn third_party(&self) -> PathBuf {
        self.generated.join(THIRD_PARTY)
    }

    /// A file of the repository.
    pub(super) fn source(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// What ships when a shell script is the binary.
#[cfg(test)]
pub(super) fn shipped_of_test(folder: &Path) -> Shipped<'static> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let (binary, generated) = (folder.join("tenure"), folder.join("generated"));
    files::write(&binary, "#!/bin/sh\necho tenure 1.2.3\n").expect("written");
    files::set_mode(&binary, 0o755).expect("set");
    for name in ["man/tenure.1", "man/tenure-task.1", THIRD_PARTY, "tenure.bash", "_tenure", "tenure.fish"] {
        files::write(&generated.join(name), name).expect("written");
    }
    Shipped { binary, root, generated }
}

#[cfg(test)]
mod tests {
    use super::super::archive;
    use super::super::version::version_of_test;
    use super::*;

    #[test]
    fn every_file_that_ships_is_there_and_in_the_archive() {
        let folder = files::folder_of_test("shipped");
        let shipped = shipped_of_test(&folder);
        for file in shipped.documents().into_iter().chain(shipped.units()) {
            assert!(file.is_file(), "{}", file.display());
        }
        let version = version_of_test("1.2.3", "x86_64-unknown-linux-gnu");
        let archive = archive::make(&version, &shipped, &folder, &folder.join("work")).expect("made");
        assert_eq!(archive, folder.join("tenure-1.2.3-x86_64-unknown-linux-gnu.tar.gz"));
        let listed = tool::output(&folder, "tar", &["-tzf", &archive.display().to_string()]).expect("listed");
        let top = "tenure-1.2.3-x86_64-unknown-linux-gnu";
        for name in
            ["tenure", "man/man1/tenure-task.1", "completions/_tenure", "systemd/tenure.socket", THIRD_PARTY]
        {
            assert!(listed.lines().any(|line| line == format!("{top}/{name}")), "{name}: {listed}");
        }
        files::clear(&folder).expect("removed");
    }
}
