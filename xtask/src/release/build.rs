//! Builds the binary that ships.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{self, Result};

const BUILD: &[&str] = &["build", "--locked", "--profile", "dist", "-p", "tenure-cli", "--bin", "tenure"];

/// Builds the binary, and says where it is.
pub(crate) fn binary(root: &Path) -> Result<PathBuf> {
    println!("cargo {}", BUILD.join(" "));
    let mut command =
        run::command(root, "cargo", &[BUILD, &["--message-format=json-render-diagnostics"]].concat());
    for_this_machine(root, &mut command);
    // What the compiler says is for the person who waits.
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the binary can't be built: cargo ended with {}", output.status).into());
    }
    let binary = executable(&String::from_utf8_lossy(&output.stdout));
    binary.ok_or_else(|| "Cargo built no executable `tenure`".into())
}

/// Makes a build one for this machine, where it is tried, and without folders of this machine in it.
pub(crate) fn for_this_machine(root: &Path, command: &mut Command) {
    command.env_remove("CARGO_BUILD_TARGET").env_remove("RUSTFLAGS");
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(root).join("\u{1f}"));
}

/// The flags of the caller, and those that keep folders of this machine out of the binary.
fn flags(root: &Path) -> Vec<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let encoded = variable("CARGO_ENCODED_RUSTFLAGS");
    let mut flags: Vec<String> = match (encoded, variable("RUSTFLAGS")) {
        (Some(encoded), _) => encoded.split('\u{1f}').map(str::to_owned).collect(),
        (None, Some(plain)) => plain.split_whitespace().map(str::to_owned).collect(),
        (None, None) => Vec::new(),
    };
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home);
    let target = run::target_folder(root);
    // The last that fits is used.
    let folders = [(Some(root), "/tenure"), (Some(&target), "/tenure/target"), (cargo.as_deref(), "/cargo")];
    flags.extend(folders.iter().filter_map(|(folder, instead)| Some(remap((*folder)?, instead))));
    flags
}

fn remap(folder: &Path, instead: &str) -> String {
    format!("--remap-path-prefix={}={instead}", folder.display())
}

/// Of Cargo's messages, one in each line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == "tenure";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_where_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"tenure"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"tenure"},"executable":"/t/dist/tenure"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/dist/tenure")));
        assert_eq!(executable(""), None);
    }

    #[test]
    fn folders_of_this_machine_stay_out_of_the_binary() {
        let flags = flags(Path::new("/checkout"));
        assert!(flags.contains(&"--remap-path-prefix=/checkout=/tenure".to_owned()), "{flags:?}");
    }
}
