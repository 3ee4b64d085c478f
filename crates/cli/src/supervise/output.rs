//! Where the output of commands goes: passed on unchanged, passed on with the task before each line, or to files.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use tenure::keeper::KeptLease;

/// What happens to the output of commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum JobOutput {
    /// It is passed on unchanged.
    Raw,
    /// It is passed on with the task before each line.
    Prefix,
    /// It goes to files in this directory, two for each command.
    Files(PathBuf),
}

impl JobOutput {
    pub(crate) fn parse(text: &str) -> Result<JobOutput, String> {
        match (text, text.strip_prefix("files=")) {
            ("raw", _) => Ok(JobOutput::Raw),
            ("prefix", _) => Ok(JobOutput::Prefix),
            (_, Some(folder)) if !folder.is_empty() => Ok(JobOutput::Files(PathBuf::from(folder))),
            (_, _) => Err("expected raw, prefix or files=DIR".into()),
        }
    }

    /// The destination of one of a command's streams. A file is named after task, epoch and stream, so that no two
    /// attempts share one.
    pub(crate) fn destination(
        &self,
        lease: &KeptLease,
        stream: &str,
        to: &impl AsFd,
    ) -> io::Result<Destination> {
        let (id, epoch) = (lease.id(), lease.holder().epoch);
        let through = || Ok::<_, io::Error>(Some(File::from(to.as_fd().try_clone_to_owned()?)));
        Ok(match self {
            JobOutput::Raw => Destination { file: through()?, prefix: Vec::new() },
            JobOutput::Prefix => {
                Destination { file: through()?, prefix: format!("{id} epoch {epoch} | ").into_bytes() }
            }
            JobOutput::Files(folder) => {
                std::fs::create_dir_all(folder)?;
                let path = folder.join(format!("{id}.{epoch}.{stream}"));
                let file = File::options().create(true).append(true).open(&path);
                let named = |error| io::Error::other(format!("{}: {error}", path.display()));
                Destination { file: Some(file.map_err(named)?), prefix: Vec::new() }
            }
        })
    }
}

/// Where lines are written to; nowhere if that could not be opened.
pub(crate) struct Destination {
    pub(crate) file: Option<File>,
    pub(crate) prefix: Vec<u8>,
}

impl Destination {
    /// Writes lines. The last one may lack its end.
    pub(crate) fn write(&mut self, lines: &[u8]) {
        let Some(file) = self.file.as_mut().filter(|_| !lines.is_empty()) else { return };
        if self.prefix.is_empty() {
            let _ = file.write_all(lines);
            return;
        }
        // In one write, so that lines of several commands are not mixed.
        let mut prefixed = Vec::with_capacity(lines.len() + self.prefix.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            prefixed.extend_from_slice(&self.prefix);
            prefixed.extend_from_slice(line);
        }
        if !prefixed.ends_with(b"\n") {
            prefixed.push(b'\n');
        }
        let _ = file.write_all(&prefixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_output_are_read_and_others_are_told() {
        assert_eq!(JobOutput::parse("raw"), Ok(JobOutput::Raw));
        assert_eq!(JobOutput::parse("files=/tmp/a"), Ok(JobOutput::Files("/tmp/a".into())));
        for wrong in ["", "files", "files=", "json"] {
            assert!(JobOutput::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_line_has_its_prefix_and_a_last_one_gets_an_end() {
        let path = tempfile::NamedTempFile::new().expect("a file");
        let file = Some(path.reopen().expect("opens"));
        let mut to = Destination { file, prefix: b"t | ".to_vec() };
        to.write(b"one\ntwo\n");
        to.write(b"three");
        to.write(b"");
        let written = std::fs::read_to_string(path.path()).expect("text");
        assert_eq!(written, "t | one\nt | two\nt | three\n");
    }
}
