//! Writes files into folders that are packed later. Modes do not depend on the umask of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::run::Result;

/// Copies a file, and makes its folder. Links are followed.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    fs::copy(from, to).map_err(|why| format!("{}: {why}", from.display()))?;
    Ok(())
}

/// Writes a text, and makes its folder.
pub(super) fn write(to: &Path, text: &str) -> Result<()> {
    make_parent(to)?;
    fs::write(to, text).map_err(|why| format!("{}: {why}", to.display()).into())
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// Every folder 0755, and every file 0644, or 0755 if it can be executed.
pub(super) fn set_usual_modes(folder: &Path) -> Result<()> {
    set_mode(folder, 0o755)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            set_usual_modes(&path)?;
        } else {
            let is_executable = path.metadata()?.permissions().mode() & 0o100 != 0;
            set_mode(&path, if is_executable { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

/// All files below a folder, by name; a path that is a file is the only one.
pub(super) fn below(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(below(&entry)?);
    }
    Ok(files)
}

/// Removes a folder that may be missing.
pub(super) fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {why}", folder.display()).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|why| format!("{}: {why}", parent.display()).into())
}

/// An empty folder for one test.
#[cfg(test)]
pub(super) fn folder_of_test(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tenure-release-{name}-{}", std::process::id()));
    clear(&folder).expect("it is ours");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_the_usual_ones_whatever_the_umask_was() {
        let folder = folder_of_test("modes");
        write(&folder.join("in/text"), "a").expect("written");
        write(&folder.join("in/program"), "b").expect("written");
        for (name, mode) in [("in", 0o700), ("in/text", 0o600), ("in/program", 0o700)] {
            set_mode(&folder.join(name), mode).expect("set");
        }
        set_usual_modes(&folder).expect("set");
        let mode = |name: &str| folder.join(name).metadata().expect("there").permissions().mode() & 0o7777;
        assert_eq!(["in", "in/text", "in/program"].map(mode), [0o755, 0o644, 0o755]);
        assert_eq!(below(&folder).expect("read"), ["in/program", "in/text"].map(|name| folder.join(name)));
        clear(&folder).expect("removed");
        clear(&folder).expect("missing already");
    }
}
