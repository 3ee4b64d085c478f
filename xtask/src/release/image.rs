//! The root folder of a container image: the binary with the libraries that it loads, and nothing of a distribution.
//!
//! A builder of images need not be there: the folder, its archive and the Containerfile are what one needs.

use std::path::{Path, PathBuf};

use super::archive::{self, Owner};
use super::shipped::Shipped;
use super::version::ReleaseVersion;
use super::{binary, files};
use crate::run::Result;

const CONTAINERFILE: &str = include_str!("Containerfile");
/// The user that runs the server, as in `deploy/docker/Dockerfile`.
pub(super) const USER: u32 = 10001;
/// Where it keeps data.
const DATA: &str = "var/lib/tenure";
/// Where rustls looks for certificate authorities. They are not copied: those of a build machine need not be the public's.
const AUTHORITIES: &str = "etc/ssl/certs";
const PROGRAM: &str = "usr/local/bin/tenure";

/// A folder that has `root`, `root.tar` and a `Containerfile`.
pub(super) struct Image {
    pub(super) folder: PathBuf,
    /// What the binary loads.
    pub(super) libraries: usize,
}

/// Writes the folder of an image.
pub(super) fn make(version: &ReleaseVersion, shipped: &Shipped<'_>, folder: &Path) -> Result<Image> {
    let root = folder.join("root");
    if folder.exists() && !root.join(PROGRAM).is_file() {
        return Err(format!("{} is there, and no image of Tenure", folder.display()).into());
    }
    files::clear(folder)?;
    files::copy(&shipped.binary, &root.join(PROGRAM))?;
    let libraries = libraries(&shipped.binary)?;
    for library in &libraries {
        // The same paths, since the loader looks there.
        files::copy(library, &root.join(library.strip_prefix("/")?))?;
    }
    write_settings(&root)?;
    files::set_usual_modes(&root)?;
    files::set_mode(&root.join("tmp"), 0o1777)?;
    files::set_mode(&root.join(DATA), 0o700)?;
    pack(&root, &folder.join("root.tar"), version.epoch)?;
    files::write(&folder.join("Containerfile"), CONTAINERFILE)?;
    Ok(Image { folder: folder.to_path_buf(), libraries: libraries.len() })
}

/// Those that are linked, and those that an older C library loads to resolve names.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let mut libraries = binary::libraries(binary)?;
    let c_library = libraries.iter().find(|library| library.ends_with("libc.so.6"));
    let beside = c_library.and_then(|library| library.parent()).map(Path::to_path_buf);
    if let Some(beside) = beside {
        let resolvers = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];
        libraries.extend(resolvers.map(|name| beside.join(name)).into_iter().filter(|path| path.is_file()));
    }
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

fn write_settings(root: &Path) -> Result<()> {
    let (user, group) =
        (format!("tenure:x:{USER}:{USER}:Tenure:/{DATA}:/sbin/nologin\n"), format!("tenure:x:{USER}:\n"));
    files::write(&root.join("etc/passwd"), &format!("root:x:0:0:root:/:/sbin/nologin\n{user}"))?;
    files::write(&root.join("etc/group"), &format!("root:x:0:\n{group}"))?;
    files::write(&root.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    for empty in [AUTHORITIES, DATA, "tmp"] {
        std::fs::create_dir_all(root.join(empty))?;
    }
    Ok(())
}

/// The data belongs to the user, and all else to root.
fn pack(root: &Path, to: &Path, epoch: u64) -> Result<()> {
    let others = format!("--exclude=./{DATA}");
    archive::pack(root, &[&others, "."], to, epoch, Owner::Root)?;
    archive::append(root, &[&format!("./{DATA}")], to, epoch, Owner::Id(USER))
}

#[cfg(test)]
mod tests {
    use super::super::shipped::shipped_of_test;
    use super::super::tool;
    use super::super::version::version_of_test;
    use super::*;

    #[test]
    fn the_image_has_a_user_whose_data_it_is_and_replaces_only_an_older_image() {
        let folder = files::folder_of_test("image");
        // A program of the machine stands for the binary: this one is linked with the C library.
        let mut shipped = shipped_of_test(&folder);
        shipped.binary = PathBuf::from("/bin/ls");
        let version = version_of_test("1.2.3", "x86_64-unknown-linux-gnu");
        let place = folder.join("image");
        let made = make(&version, &shipped, &place).expect("made");
        assert!(made.libraries >= 2, "{}", made.libraries);
        make(&version, &shipped, &place).expect("made again");
        let listed = tool::output(&place, "tar", &["-tvf", "root.tar", "--numeric-owner"]).expect("listed");
        let of = |name: &str| listed.lines().find(|line| line.ends_with(name)).expect(name).to_owned();
        assert!(of(" ./var/lib/tenure/").starts_with("drwx------ 10001/10001 "), "{listed}");
        assert!(of(" ./usr/local/bin/tenure").starts_with("-rwxr-xr-x 0/0 "), "{listed}");
        assert!(of(" ./tmp/").starts_with("drwxrwxrwt 0/0 "), "{listed}");
        assert!(of(" ./etc/ssl/certs/").starts_with("drwxr-xr-x 0/0 "), "{listed}");
        assert_eq!(listed.matches("./var/lib/tenure/").count(), 1);
        files::clear(&place.join("root/usr")).expect("removed");
        assert!(make(&version, &shipped, &place).is_err(), "somebody else's folder stays");
        files::clear(&folder).expect("removed");
    }

    #[test]
    fn the_user_is_the_one_of_the_other_image() {
        let other = include_str!("../../../deploy/docker/Dockerfile");
        for line in [format!("USER {USER}:{USER}"), "ENV HOME=/var/lib/tenure USER=tenure".to_owned()] {
            assert!(CONTAINERFILE.contains(&line) && other.contains(&line), "{line}");
        }
        assert!(CONTAINERFILE.contains(&format!("ENTRYPOINT [\"/{PROGRAM}\"]")));
    }
}
