//! Files that libpq uses: named by a setting, or in their default place.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where a file is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// A parameter or a variable names it.
    Named(PathBuf),
    /// Where it lies if there is one: in the home folder.
    Usual(PathBuf),
    /// There is no home folder to look in.
    Nowhere,
}

impl Source {
    /// The file, if there is one. A file named by a setting must exist: going on without it would mean other
    /// trust, or another identity, than was asked for.
    pub(crate) fn found(&self) -> Result<Option<&Path>, String> {
        let path = match self {
            Source::Named(path) | Source::Usual(path) => path,
            Source::Nowhere => return Ok(None),
        };
        // It is not an error if the directory can't be entered: a program often has the home of the user that
        // started it.
        let is_absent = |error: &io::Error| {
            [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::PermissionDenied]
                .contains(&error.kind())
        };
        match (path.metadata(), self) {
            (Ok(_), _) => Ok(Some(path)),
            (Err(error), Source::Usual(_)) if is_absent(&error) => Ok(None),
            (Err(error), _) => Err(format!("{}: {error}; check its name", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_named_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let (there, missing) = (folder.path().join("there"), folder.path().join("missing"));
        std::fs::write(&there, "").expect("a file");
        assert_eq!(Source::Named(there.clone()).found(), Ok(Some(there.as_path())));
        assert_eq!(Source::Usual(there.clone()).found(), Ok(Some(there.as_path())));
        assert_eq!(Source::Usual(missing.clone()).found(), Ok(None));
        assert_eq!(Source::Nowhere.found(), Ok(None));
        let told = Source::Named(missing).found().expect_err("it must be there");
        assert!(told.contains("missing: No such file") && told.ends_with("; check its name"), "{told}");
        let below_a_file = Source::Usual(there.join("below"));
        assert_eq!(below_a_file.found(), Ok(None));
    }
}
