//! The password file, usually `~/.pgpass`: finds the password for a server.
//!
//! As in libpq, a problem with this file is never an error. The problem is remembered, and reported if a password
//! turns out to be missing.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::file::Source;

/// What a server is called in the file when it is reached by a socket that needs no name.
pub(crate) const LOCALHOST: &str = "localhost";

/// The file as it was read.
pub(crate) struct PasswordFile {
    lines: Vec<u8>,
    /// Why it has none that can be used.
    unused: Option<String>,
}

/// Whose password is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

impl PasswordFile {
    /// A file of which nothing is needed.
    pub(crate) fn none() -> PasswordFile {
        PasswordFile { lines: Vec::new(), unused: None }
    }

    /// Reads it, if it may be used.
    pub(crate) fn read(source: &Source) -> PasswordFile {
        let path = match source {
            Source::Named(path) | Source::Usual(path) => path,
            Source::Nowhere => return PasswordFile::none(),
        };
        match lines(path) {
            Ok(lines) => PasswordFile { lines, unused: None },
            Err(why) => {
                PasswordFile { lines: Vec::new(), unused: Some(format!("{}: {why}", path.display())) }
            }
        }
    }

    /// The password of the first line that fits. It is bytes: it need not be text.
    pub(crate) fn password(&self, login: Login<'_>) -> Option<Vec<u8>> {
        let port = login.port.to_string();
        let wanted = [login.host, &port, login.database, login.user];
        self.lines.split(|byte| *byte == b'\n').find_map(|line| password_in(line, wanted))
    }

    /// Why the file was not used, with its name.
    pub(crate) fn unused(&self) -> Option<&str> {
        self.unused.as_deref()
    }
}

fn lines(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    is_for_its_owner(path, &metadata)?;
    fs::read(path).map_err(|error| error.to_string())
}

fn is_for_its_owner(path: &Path, metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("ignored, because it is not a regular file".into());
    }
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        return Err(format!("ignored, because other users can access it; run `chmod 600 {path}`"));
    }
    Ok(())
}

/// `host:port:database:user:password`, where `\` takes its meaning from the next character, and a lone `*`
/// fits everything.
fn password_in(line: &[u8], wanted: [&str; 4]) -> Option<Vec<u8>> {
    if line.starts_with(b"#") {
        return None;
    }
    let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
    for wanted in wanted {
        let field = Field::first_of(rest);
        if field.written != b"*" && field.meant != wanted.as_bytes() {
            return None;
        }
        rest = field.after?;
    }
    Some(Field::first_of(rest).meant)
}

struct Field<'a> {
    written: &'a [u8],
    meant: Vec<u8>,
    /// What stands behind its colon, if it has one.
    after: Option<&'a [u8]>,
}

impl Field<'_> {
    fn first_of(text: &[u8]) -> Field<'_> {
        let mut meant = Vec::new();
        let mut bytes = text.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b':' => return Field { written: &text[..at], meant, after: Some(&text[at + 1..]) },
                b'\\' => meant.push(bytes.next().map_or(b'\\', |(_, escaped)| *escaped)),
                _ => meant.push(*byte),
            }
        }
        Field { written: text, meant, after: None }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LOGIN: Login<'static> = Login { host: "db.example", port: 5432, database: "d", user: "ann" };

    fn password(lines: &str, login: Login<'_>) -> Option<String> {
        let file = PasswordFile { lines: lines.into(), unused: None };
        file.password(login).map(|password| String::from_utf8(password).expect("text"))
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let lines = "\n#x:5432:d:ann:comment\ndb.example:5432:d:bob:bob's\ndb.example:5432:d:ann:ann's\n\
                     *:*:*:*:anybody's\n";
        assert_eq!(password(lines, LOGIN).as_deref(), Some("ann's"));
        assert_eq!(password(lines, Login { user: "bob", ..LOGIN }).as_deref(), Some("bob's"));
        assert_eq!(password(lines, Login { port: 6432, ..LOGIN }).as_deref(), Some("anybody's"));
        assert_eq!(password(lines, Login { host: "#x", ..LOGIN }).as_deref(), Some("anybody's"));
    }

    #[test]
    fn each_field_must_fit_as_a_whole() {
        let line = "db.example:5432:d:ann:secret";
        assert_eq!(password(line, LOGIN).as_deref(), Some("secret"));
        for other in [
            Login { host: "db", ..LOGIN },
            Login { host: "db.example.org", ..LOGIN },
            Login { port: 543, ..LOGIN },
            Login { database: "dd", ..LOGIN },
            Login { user: "", ..LOGIN },
        ] {
            assert_eq!(password(line, other), None);
        }
        for malformed in ["", ":", "*", "*:*:*:*", "db.example:5432:d:ann", "db*:*:*:*:secret"] {
            assert_eq!(password(malformed, LOGIN), None, "{malformed}");
        }
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_a_colon_and_from_itself() {
        let login = Login { host: "::1", user: "*", ..LOGIN };
        assert_eq!(password(r"\:\:1:5432:d:\*:a\:b\\c", login).as_deref(), Some(r"a:b\c"));
        assert_eq!(password(r"\:\:1:5432:d:\*:secret", Login { user: "ann", ..login }), None);
        assert_eq!(password(r"*:*:*:*:secret:more", LOGIN).as_deref(), Some("secret"));
        assert_eq!(password("*:*:*:*:secret\\\r\n", LOGIN).as_deref(), Some("secret\\"));
    }

    #[test]
    fn a_file_that_others_may_use_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("passwords");
        fs::write(&path, "*:*:*:*:secret\n").expect("a file");
        let with_mode = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its permissions");
            PasswordFile::read(&Source::Named(path.clone()))
        };
        assert_eq!(with_mode(0o600).password(LOGIN).as_deref(), Some(&b"secret"[..]));
        assert_eq!(with_mode(0o600).unused(), None);
        for mode in [0o640, 0o604, 0o610] {
            let file = with_mode(mode);
            assert_eq!(file.password(LOGIN), None);
            let why = file.unused().expect("a reason");
            assert!(why.contains("passwords: ignored, because") && why.contains("chmod 600"), "{why}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_none_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().join("missing"), folder.path().to_owned()] {
            let file = PasswordFile::read(&Source::Usual(path));
            assert_eq!(file.password(LOGIN), None);
            assert!(file.unused().is_some());
        }
        assert_eq!(PasswordFile::read(&Source::Nowhere).unused(), None);
    }
}
