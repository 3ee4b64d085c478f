//! The archive that needs no package manager. The same files make the same bytes on every machine.

use std::path::{Path, PathBuf};

use super::files;
use super::shipped::Shipped;
use super::tool;
use super::version::ReleaseVersion;
use crate::run::Result;

/// Writes `tenure-VERSION-TARGET.tar.gz`.
pub(super) fn make(
    version: &ReleaseVersion,
    shipped: &Shipped<'_>,
    folder: &Path,
    work: &Path,
) -> Result<PathBuf> {
    let name = version.archive_name();
    let staged = work.join(&name);
    files::copy(&shipped.binary, &staged.join("tenure"))?;
    for document in shipped.documents() {
        let name = document.file_name().ok_or("a document has no name")?;
        files::copy(&document, &staged.join(name))?;
    }
    for (page, name) in shipped.pages()? {
        files::copy(&page, &staged.join("man/man1").join(name))?;
    }
    for completion in shipped.completions() {
        files::copy(&completion.script, &staged.join("completions").join(completion.plain_name))?;
    }
    for unit in shipped.units() {
        let name = unit.file_name().ok_or("a unit has no name")?;
        files::copy(&unit, &staged.join("systemd").join(name))?;
    }
    files::set_usual_modes(&staged)?;
    let archive = folder.join(format!("{name}.tar.gz"));
    let plain = archive.with_extension("");
    pack(work, &[&name], &plain, version.epoch, Owner::Root)?;
    compress(&plain)?;
    Ok(archive)
}

/// To whom packed files belong.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Root,
    /// The id of a user and of its group.
    Id(u32),
}

/// Packs names of a folder, those below them sorted, all with one date and one owner.
pub(super) fn pack(folder: &Path, names: &[&str], archive: &Path, epoch: u64, owner: Owner) -> Result<()> {
    tar(folder, "--create", names, archive, epoch, owner)
}

/// Adds names of a folder to an archive.
pub(super) fn append(folder: &Path, names: &[&str], archive: &Path, epoch: u64, owner: Owner) -> Result<()> {
    tar(folder, "--append", names, archive, epoch, owner)
}

fn tar(folder: &Path, what: &str, names: &[&str], archive: &Path, epoch: u64, owner: Owner) -> Result<()> {
    let id = match owner {
        Owner::Root => 0,
        Owner::Id(id) => id,
    };
    let file = format!("--file={}", archive.display());
    let (time, user, group) = (format!("--mtime=@{epoch}"), format!("--owner={id}"), format!("--group={id}"));
    let fixed = [what, "--format=gnu", "--sort=name", "--numeric-owner", &time, &user, &group, &file];
    tool::output(folder, "tar", &[&fixed[..], names].concat())?;
    Ok(())
}

/// Replaces a file by a compressed one, which does not tell its name and date.
pub(super) fn compress(file: &Path) -> Result<()> {
    tool::output(Path::new("/"), "gzip", &["-9", "--no-name", "--force", &file.display().to_string()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const EPOCH: u64 = 1_700_000_000;

    #[test]
    fn an_archive_is_sorted_and_dated_belongs_to_root_and_is_the_same_each_time() {
        let folder = files::folder_of_test("archive");
        let packed = |names: [&str; 3]| {
            files::clear(&folder.join("a")).expect("removed");
            // The order in which they are written is that of many file systems.
            for name in names {
                files::write(&folder.join("a").join(name), name).expect("written");
            }
            files::set_usual_modes(&folder.join("a")).expect("set");
            let archive = folder.join("a.tar");
            pack(&folder, &["a"], &archive, EPOCH, Owner::Root).expect("packed");
            compress(&archive).expect("compressed");
            fs::read(folder.join("a.tar.gz")).expect("read")
        };
        let first = packed(["c/d", "b", "a"]);
        assert!(first == packed(["a", "b", "c/d"]), "the bytes differ");
        let list = ["--utc", "--list", "--verbose", "--numeric-owner", "--file=a.tar.gz"];
        let listed = tool::output(&folder, "tar", &list).expect("listed");
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, ["a/", "a/a", "a/b", "a/c/", "a/c/d"]);
        for line in listed.lines() {
            assert!(line.contains(" 0/0 ") && line.contains(" 2023-11-14 22:13 "), "{line}");
        }
        files::clear(&folder).expect("removed");
    }

    #[test]
    fn what_is_appended_may_belong_to_a_user() {
        let folder = files::folder_of_test("append");
        fs::create_dir_all(folder.join("data")).expect("made");
        files::write(&folder.join("file"), "a").expect("written");
        let archive = folder.join("all.tar");
        pack(&folder, &["file"], &archive, EPOCH, Owner::Root).expect("packed");
        append(&folder, &["data"], &archive, EPOCH, Owner::Id(10001)).expect("appended");
        let listed = tool::output(&folder, "tar", &["-tvf", "all.tar", "--numeric-owner"]).expect("listed");
        assert!(listed.contains(" 0/0 ") && listed.contains(" 10001/10001 "), "{listed}");
        files::clear(&folder).expect("removed");
    }
}
