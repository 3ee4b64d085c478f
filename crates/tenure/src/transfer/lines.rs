//! The lines of a file, one after the other, with a limit and a digest. It knows nothing of what they say.

use std::io::{self, BufRead, Read};

use sha2::{Digest, Sha256};
use tenure_core::chain::Hash;

/// More than any line of an export has: a task has up to 1,000 compensations of some KiB, and documents of 256 KiB.
pub(crate) const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A digest of lines: the SHA-256 of their bytes, with their ends.
#[derive(Clone, Default)]
pub(crate) struct LinesDigest(Sha256);

impl LinesDigest {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all so far.
    pub(crate) fn hash(&self) -> Hash {
        Hash(self.0.clone().finalize().into())
    }
}

/// What a line is, without its end.
pub(crate) enum Line {
    Text(String),
    /// Why it can't be read.
    Unreadable(&'static str),
}

/// Reads lines.
pub(crate) struct LineReader<R> {
    from: R,
    /// How many lines were read.
    pub(crate) count: u64,
    /// How many bytes.
    pub(crate) bytes: u64,
    digest: LinesDigest,
    /// The digest of the lines before the last that was read.
    pub(crate) before: Hash,
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(from: R) -> LineReader<R> {
        let digest = LinesDigest::default();
        LineReader { from, count: 0, bytes: 0, before: digest.hash(), digest }
    }

    /// The next line; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        (&mut self.from).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.before = self.digest.hash();
        self.count += 1;
        self.has_read(&line);
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 > LINE_BYTES_MAX {
            self.skip()?;
            return Ok(Some(Line::Unreadable("it is longer than 64 MiB")));
        }
        Ok(Some(match String::from_utf8(line) {
            Ok(text) => Line::Text(text),
            Err(_) => Line::Unreadable("it is not UTF-8"),
        }))
    }

    /// Reads to the end of a line that is too long, and keeps nothing of it.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.from.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(buffer.len(), |at| at + 1);
            self.digest.add(&buffer[..length]);
            self.bytes += length as u64;
            self.from.consume(length);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn has_read(&mut self, bytes: &[u8]) {
        self.digest.add(bytes);
        self.bytes += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_the_digest_before_each_is_that_of_their_bytes() {
        let text = b"one\ntwo\xff\n\nlast";
        let mut lines = LineReader::new(&text[..]);
        let mut read = Vec::new();
        let mut before = Vec::new();
        while let Some(line) = lines.next().expect("read") {
            before.push(lines.before);
            read.push(match line {
                Line::Text(text) => text,
                Line::Unreadable(why) => why.to_owned(),
            });
        }
        assert_eq!(read, ["one", "it is not UTF-8", "", "last"]);
        assert_eq!((lines.count, lines.bytes), (4, 14));
        assert_eq!(
            before,
            [Hash::of(b""), Hash::of(b"one\n"), Hash::of(b"one\ntwo\xff\n"), Hash::of(&text[..10])]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let long = vec![b'x'; usize::try_from(LINE_BYTES_MAX).expect("fits") + 9];
        let text = [&long[..], b"\nnext\n"].concat();
        let mut lines = LineReader::new(&text[..]);
        assert!(matches!(lines.next().expect("read"), Some(Line::Unreadable(_))));
        assert!(matches!(lines.next().expect("read"), Some(Line::Text(text)) if text == "next"));
        assert_eq!(lines.before, Hash::of(&text[..long.len() + 1]));
        assert!(lines.next().expect("read").is_none());
    }
}
