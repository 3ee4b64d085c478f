//! The two lists of what was made: `SHA256SUMS` and `sizes.txt`.

use std::path::{Path, PathBuf};

use super::{binary, tool};
use crate::run::Result;

/// The files of a release, by their paths in its folder.
pub(super) struct Manifest<'a> {
    pub(super) folder: &'a Path,
    pub(super) files: Vec<PathBuf>,
}

impl Manifest<'_> {
    /// Each file's size, and what the binary is made of.
    pub(super) fn sizes(&self, binary: &Path) -> String {
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let mut text = format!("{:>12}  file\n", "bytes");
        for file in &self.files {
            text.push_str(&format!("{:>12}  {}\n", size(&self.folder.join(file)), file.display()));
        }
        text.push_str(&format!("\n{:>12}  the binary, and its largest sections:\n", size(binary)));
        text.push_str(&binary::sections(binary));
        text
    }

    /// The sums of all files and of the list of their sizes, as `sha256sum --check` reads them.
    pub(super) fn write_sums(&self) -> Result<()> {
        let mut files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        files.push("sizes.txt".to_owned());
        files.sort();
        let arguments: Vec<&str> = ["--"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let sums = tool::output(self.folder, "sha256sum", &arguments)?;
        Ok(std::fs::write(self.folder.join("SHA256SUMS"), format!("{sums}\n"))?)
    }
}

/// Compares all files with their sums, and says how many they are.
pub(super) fn check_sums(folder: &Path) -> Result<String> {
    let checked = tool::output(folder, "sha256sum", &["--check", "--strict", "SHA256SUMS"])?;
    Ok(format!("{} files are what SHA256SUMS says", checked.lines().count()))
}

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::*;

    #[test]
    fn a_changed_or_missing_file_has_another_sum() {
        let folder = files::folder_of_test("sums");
        files::write(&folder.join("in/a"), "abc").expect("written");
        files::write(&folder.join("sizes.txt"), "").expect("written");
        let manifest = Manifest { folder: &folder, files: vec![PathBuf::from("in/a")] };
        assert!(manifest.sizes(Path::new("/no/binary")).contains("           3  in/a\n"));
        manifest.write_sums().expect("written");
        let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).expect("read");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  in/a\n";
        assert!(sums.starts_with(abc) && sums.ends_with("  sizes.txt\n"), "{sums}");
        assert_eq!(check_sums(&folder).expect("all is well"), "2 files are what SHA256SUMS says");
        files::write(&folder.join("in/a"), "abd").expect("written");
        assert!(check_sums(&folder).is_err());
        std::fs::remove_file(folder.join("in/a")).expect("removed");
        assert!(check_sums(&folder).is_err());
        files::clear(&folder).expect("removed");
    }
}
