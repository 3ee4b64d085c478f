//! The rule about the names of types: a type that other modules can name has a name of its own in its crate.

use std::collections::{BTreeMap, BTreeSet};

use super::crates;
use super::file::File;

/// The names that several types have today, a line each: `file: name`. The list only gets shorter.
const KNOWN: &str = include_str!("known/types.txt");
const KNOWN_PATH: &str = "xtask/src/tidy/known/types.txt";

/// No two modules of a crate have a type of the same name that other modules can name.
pub(super) fn twice_named_types(files: &[File]) -> Vec<String> {
    compared(files, KNOWN)
}

fn compared(files: &[File], known: &str) -> Vec<String> {
    let known: BTreeSet<&str> = known.lines().collect();
    let mut found = BTreeMap::new();
    for of in crates::of(files) {
        let mut files_by_name = BTreeMap::<&str, Vec<&str>>::new();
        for module in of.modules.values() {
            for name in &module.types {
                files_by_name.entry(name).or_default().push(&module.file);
            }
        }
        let twice = files_by_name.into_iter().filter(|(_, files)| files.len() > 1);
        found.extend(twice.map(|(name, files)| (format!("{}: {name}", of.root), files.join(", "))));
    }
    let new = found.iter().filter(|(line, _)| !known.contains(line.as_str()));
    let new = new.map(|(line, files)| format!("{line}: is a type in {files}; rename all but one"));
    let over = known.iter().filter(|line| !found.contains_key(**line));
    let over = over.map(|line| format!("{KNOWN_PATH}: remove this line, it is no longer true: {line}"));
    new.chain(over).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::with_folders;
    use super::*;

    #[test]
    fn a_name_that_two_modules_export_is_found() {
        let (root, one, two) = ("crates/a/src/lib.rs", "crates/a/src/one.rs", "crates/a/src/two.rs");
        let found = |one_has: &str, two_has: &str, known: &str| {
            let texts = [(root, "mod one; mod two; #[cfg(test)] mod three;"), (one, one_has), (two, two_has)];
            let paths = with_folders(texts.iter().map(|(path, _)| *path));
            let files = texts.map(|(path, text)| File { path, text, known: &paths });
            compared(&files, known)
        };
        let line = format!("{root}: One");
        let expected = format!("{line}: is a type in {one}, {two}; rename all but one");
        assert_eq!(found("pub struct One;", "mod inner { pub(super) type One = u8; }", ""), [expected]);
        assert_eq!(found("pub enum One {}", "pub(crate) trait One {}", &line), [""; 0]);
        for fine in ["struct One;", "pub fn One() {}", "#[cfg(test)] mod tests { pub struct One; }"] {
            assert_eq!(found("pub struct One;", fine, ""), [""; 0], "{fine}");
        }
        let both = "#[cfg(unix)] pub struct One; #[cfg(not(unix))] pub struct One;";
        assert_eq!(found(both, "", "")[..], [""; 0], "one of them for each system");
        assert!(found("", "", &line)[0].contains("remove this line"));
    }
}
