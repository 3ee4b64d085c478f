//! What the machine's tools say of the binary: the libraries that it loads, the version of the C library, its sections.

use std::path::{Path, PathBuf};

use super::tool;
use crate::run::Result;

/// The libraries that are loaded with the binary, and their loader. None if it is linked statically.
pub(super) fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    match tool::output(Path::new("/"), "ldd", &[&binary.display().to_string()]) {
        Ok(listed) => loaded(&listed),
        Err(why) if why.to_string().contains("not a dynamic executable") => Ok(Vec::new()),
        Err(why) => Err(why),
    }
}

/// `NAME => PATH (ADDRESS)`, and the loader without a name. The kernel's own has no path.
fn loaded(listed: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in listed.lines() {
        if line.contains("=> not found") {
            return Err(format!("a library is missing: {}", line.trim()).into());
        }
        let words = line.split_whitespace();
        paths.extend(words.filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(paths)
}

/// What Debian's package must depend on.
pub(super) fn debian_dependencies(binary: &Path, work: &Path) -> Result<String> {
    let name = binary.display().to_string();
    if tool::is_installed("dpkg-shlibdeps") {
        let control = "Source: tenure\n\nPackage: tenure\nArchitecture: any\n";
        super::files::write(&work.join("debian/control"), control)?;
        let said = tool::output(work, "dpkg-shlibdeps", &["-O", &format!("-e{name}")])?;
        let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
        return Ok(found.ok_or("`dpkg-shlibdeps` found no dependencies")?.to_owned());
    }
    let versions = tool::output(work, "readelf", &["--version-info", "--wide", &name])?;
    let of_the_c_library = c_library(&versions).ok_or("`readelf` shows no version of the C library")?;
    let is_unwinding = libraries(binary)?.iter().any(|library| library.ends_with("libgcc_s.so.1"));
    Ok(format!("libc6 (>= {of_the_c_library}){}", if is_unwinding { ", libgcc-s1" } else { "" }))
}

/// The newest version of the C library that a symbol has.
fn c_library(versions: &str) -> Option<String> {
    let words = versions.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_"));
    let numbers = words.filter_map(|word| word.split('.').map(|part| part.parse().ok()).collect());
    let newest: Vec<u32> = numbers.max()?;
    Some(newest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

/// The sections that take most of the binary, a line each.
pub(super) fn sections(binary: &Path) -> String {
    const LINES: usize = 12;
    match tool::output(Path::new("/"), "size", &["-A", "-d", &binary.display().to_string()]) {
        Ok(listed) => {
            let mut sections: Vec<(u64, &str)> = listed.lines().filter_map(section).collect();
            sections.sort_by(|one, other| other.cmp(one));
            sections.iter().take(LINES).map(|(size, name)| format!("{size:>12}  {name}\n")).collect()
        }
        Err(why) => format!("  not listed: {why}\n"),
    }
}

/// `NAME SIZE ADDRESS`.
fn section(line: &str) -> Option<(u64, &str)> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|name| name.starts_with('.'))?;
    Some((words.next()?.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_paths_that_ldd_prints() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/a/libc.so.6 (0x00007f)\n\t/lib64/ld.so (0x0)\n";
        assert_eq!(
            loaded(listed).expect("all there"),
            ["/lib/a/libc.so.6", "/lib64/ld.so"].map(PathBuf::from)
        );
        assert!(loaded("\tlibz.so.1 => not found\n").is_err());
    }

    #[test]
    fn the_newest_version_is_compared_by_its_numbers() {
        let versions = "0x0010: Name: GLIBC_2.9  Flags: none\n0x0020: Name: GLIBC_2.34\n0x30: Name: GCC_3.0";
        assert_eq!(c_library(versions).as_deref(), Some("2.34"));
        assert_eq!(c_library("no symbols"), None);
    }

    #[test]
    fn sections_are_read_from_the_list() {
        assert_eq!(section(".text   1200   4096"), Some((1200, ".text")));
        assert_eq!(section("section   size   addr"), None);
        assert_eq!(section("Total   1300"), None);
    }
}
