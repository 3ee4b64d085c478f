//! Runs the machine's tools.

use std::path::Path;
use std::process::Command;

use crate::run::{self, Result};

/// What a tool prints, with the same words on every machine.
pub(super) fn output(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = run::command(folder, program, arguments);
    finish(command.env("LC_ALL", "C"), program)
}

/// What the binary prints, without the settings of whom runs this.
pub(super) fn tenure(binary: &Path, arguments: &[&str]) -> Result<String> {
    let folder = binary.parent().unwrap_or(binary);
    let mut command = run::command(folder, &binary.display().to_string(), arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TENURE_")) {
        command.env_remove(name);
    }
    finish(&mut command, &format!("tenure {}", arguments.join(" ")))
}

/// What a command prints, without the end of its last line; an error with its own words if it fails.
pub(super) fn finish(command: &mut Command, name: &str) -> Result<String> {
    let output = command.output().map_err(|why| format!("`{name}`: {why}"))?;
    if !output.status.success() {
        let said =
            [output.stderr, output.stdout].map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        return Err(format!("`{name}` ended with {}: {}", output.status, said.join("\n").trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Whether the shell would find the program.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether this process may do what only root may.
pub(super) fn is_root() -> bool {
    output(Path::new("/"), "id", &["-u"]).is_ok_and(|id| id == "0")
}
