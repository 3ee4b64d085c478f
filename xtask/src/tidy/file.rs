//! A file as the rules see it.

use std::collections::BTreeSet;

/// A file as rules see it.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    /// Its path in the repository.
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// The paths of every file, and of every folder with a `/` at its end.
    pub(super) known: &'a BTreeSet<String>,
}

impl File<'_> {
    /// What is wrong in that line, counted from 0.
    pub(super) fn finding(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{}: {what}", self.path, line + 1)
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(super) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// What is behind the last dot of its name.
    pub(super) fn extension(&self) -> Option<&str> {
        self.path.rsplit('/').next()?.rsplit_once('.').map(|(_, extension)| extension)
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.path.rsplit('/').next() == Some(name)
    }

    pub(super) fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether the folder is one of those that the file is in, at whatever depth.
    pub(super) fn is_below(&self, folder: &str) -> bool {
        self.path.split('/').rev().skip(1).any(|part| part == folder)
    }
}

pub(super) fn with_folders<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for path in paths {
        known.extend(path.match_indices('/').map(|(at, _)| path[..=at].to_owned()));
        known.insert(path.to_owned());
    }
    known
}

/// The findings of one rule on one file, for the tests of the rules.
#[cfg(test)]
pub(super) fn findings(check: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    let known = with_folders(
        ["README.md", "docs/a.md", "docs/b.md", "crates/core/src/lifecycle.rs", path].into_iter(),
    );
    check(&File { path, text, known: &known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_known_by_the_slash_at_their_end() {
        let known = with_folders(["a/b/c.md"].into_iter());
        assert_eq!(known.iter().map(String::as_str).collect::<Vec<_>>(), ["a/", "a/b/", "a/b/c.md"]);
    }

    #[test]
    fn a_file_knows_where_it_is() {
        let known = BTreeSet::new();
        let file = File { path: "crates/core/src/clock.rs", text: "", known: &known };
        assert!(file.is_rust() && file.is_named("clock.rs") && file.is_below("src") && file.is_in("crates/"));
        assert!(!file.is_below("clock.rs") && !file.is_below("tests") && !file.is_markdown());
    }
}
