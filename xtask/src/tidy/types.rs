//! The rule about the names of types: a type that other modules can name has a name of its own in its crate.

use std::collections::BTreeMap;

use super::crates;
use super::file::File;

/// No two modules of a crate have a type of the same name that other modules can name.
pub(super) fn twice_named_types(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for of in crates::of(files) {
        let mut files_by_name = BTreeMap::<&str, Vec<&str>>::new();
        for module in of.modules.values() {
            for name in &module.types {
                files_by_name.entry(name).or_default().push(&module.file);
            }
        }
        let twice = files_by_name.into_iter().filter(|(_, files)| files.len() > 1);
        let in_words = |(name, files): (&str, Vec<&str>)| {
            format!("{}: {name}: is a type in {}; rename all but one", of.root, files.join(", "))
        };
        found.extend(twice.map(in_words));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::file::with_folders;
    use super::*;

    #[test]
    fn a_name_that_two_modules_export_is_found() {
        let (root, one, two) = ("crates/a/src/lib.rs", "crates/a/src/one.rs", "crates/a/src/two.rs");
        let found = |one_has: &str, two_has: &str| {
            let texts = [(root, "mod one; mod two; #[cfg(test)] mod three;"), (one, one_has), (two, two_has)];
            let paths = with_folders(texts.iter().map(|(path, _)| *path));
            let files = texts.map(|(path, text)| File { path, text, known: &paths });
            twice_named_types(&files)
        };
        let expected = format!("{root}: One: is a type in {one}, {two}; rename all but one");
        assert_eq!(
            found("pub struct One;", "mod inner { pub(super) type One = u8; }"),
            std::slice::from_ref(&expected)
        );
        assert_eq!(found("pub enum One {}", "pub(crate) trait One {}"), [expected]);
        for fine in ["struct One;", "pub fn One() {}", "#[cfg(test)] mod tests { pub struct One; }"] {
            assert_eq!(found("pub struct One;", fine), [""; 0], "{fine}");
        }
        let both = "#[cfg(unix)] pub struct One; #[cfg(not(unix))] pub struct One;";
        assert_eq!(found(both, "")[..], [""; 0], "one of them for each system");
    }
}
