//! The licenses of the crates that are linked into the binary. Most of them ask that their text goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tool;
use crate::run::Result;

const HEAD: &str = "\
Tenure's binary contains the crates below, and Rust's standard library (MIT OR Apache-2.0). This file has their licenses.
SQLite, which is in libsqlite3-sys, is in the public domain.
";
/// How the names of such files begin.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
/// Texts of vendored code are in folders inside of a crate.
const DEPTH_MAX: usize = 3;

/// A crate of somebody else.
struct LinkedCrate {
    name: String,
    license: String,
    folder: PathBuf,
}

/// A list of all crates, and each text once.
pub(super) fn of_dependencies(root: &Path, target: &str) -> Result<String> {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", target];
    let metadata: Value = serde_json::from_str(&tool::output(root, "cargo", &arguments)?)?;
    let crates = linked(&metadata).ok_or("`cargo metadata` has another form than expected")?;
    let mut text = HEAD.to_owned();
    let mut users = BTreeMap::<String, Vec<String>>::new();
    for LinkedCrate { name, license, folder } in &crates {
        writeln!(text, "\n{name}: {license}")?;
        for file in texts(folder, DEPTH_MAX)? {
            let path = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            let license = String::from_utf8_lossy(&std::fs::read(&file)?).trim().to_owned();
            users.entry(license).or_default().push(format!("{name} ({path})"));
        }
    }
    for (license, users) in users {
        writeln!(text, "\n{}\n{}\n\n{license}", "=".repeat(80), users.join("\n"))?;
    }
    Ok(text)
}

/// The crates of other projects that the binary is linked with, sorted. Macros and what only builds need are not in it.
fn linked(metadata: &Value) -> Option<Vec<LinkedCrate>> {
    let packages = by_id(metadata["packages"].as_array()?);
    let nodes = by_id(metadata["resolve"]["nodes"].as_array()?);
    let binary = packages.iter().find(|(_, package)| package["name"] == "tenure-cli")?;
    let (mut waiting, mut found) = (vec![*binary.0], BTreeSet::new());
    while let Some(id) = waiting.pop() {
        if is_macro(packages.get(id)?) || !found.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id)?["deps"].as_array()?.iter();
        waiting.extend(dependencies.filter(|one| is_linked(one)).filter_map(|one| one["pkg"].as_str()));
    }
    let of_others =
        found.iter().filter_map(|id| packages.get(id)).filter(|package| !package["source"].is_null());
    let mut crates = of_others.map(|package| linked_crate(package)).collect::<Option<Vec<_>>>()?;
    crates.sort_by(|one, other| one.name.cmp(&other.name));
    Some(crates)
}

fn by_id(values: &[Value]) -> BTreeMap<&str, &Value> {
    values.iter().filter_map(|value| Some((value["id"].as_str()?, value))).collect()
}

fn is_macro(package: &Value) -> bool {
    let mut targets = package["targets"].as_array().into_iter().flatten();
    targets.any(|target| target["kind"][0] == "proc-macro")
}

/// Not only for tests or for a build script.
fn is_linked(dependency: &Value) -> bool {
    let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
    kinds.any(|kind| kind["kind"].is_null())
}

fn linked_crate(package: &Value) -> Option<LinkedCrate> {
    let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
    Some(LinkedCrate {
        name: format!("{name} {version}"),
        license: package["license"].as_str().unwrap_or("see its text").to_owned(),
        folder: Path::new(package["manifest_path"].as_str()?).parent()?.to_path_buf(),
    })
}

fn texts(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut entries =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if entry.is_dir() && depth > 1 {
            found.extend(texts(&entry, depth - 1)?);
        } else if entry.is_file() && is_license(&name) {
            found.push(entry);
        }
    }
    Ok(found)
}

fn is_license(name: &str) -> bool {
    NAMES.iter().any(|begin| name.starts_with(begin)) && !name.ends_with(".RS")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let package = |name: &str, source: Value, kind: &str| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": source,
                   "targets": [{"kind": [kind]}], "manifest_path": format!("/registry/{name}/Cargo.toml")})
        };
        let uses = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let node = |id: &str, deps: Value| json!({"id": id, "deps": deps});
        let metadata = json!({
            "packages": [package("tenure-cli", Value::Null, "lib"), package("tenure", Value::Null, "lib"),
                         package("serde", "r".into(), "lib"), package("derive", "r".into(), "proc-macro"),
                         package("cc", "r".into(), "lib"), package("insta", "r".into(), "lib")],
            "resolve": {"nodes": [
                node("tenure-cli", json!([uses("tenure", Value::Null), uses("insta", "dev".into())])),
                node("tenure", json!([uses("serde", Value::Null), uses("cc", "build".into())])),
                node("serde", json!([uses("derive", Value::Null)])),
                node("derive", json!([])), node("cc", json!([])), node("insta", json!([])),
            ]},
        });
        let linked = linked(&metadata).expect("understood");
        let names: Vec<&str> = linked.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["serde 1.0.0"]);
        assert_eq!(linked[0].folder, Path::new("/registry/serde"));
    }

    #[test]
    fn texts_of_licenses_are_found_by_their_names() {
        for name in ["LICENSE-MIT", "COPYING", "NOTICE.TXT", "LICENSE"] {
            assert!(is_license(name), "{name}");
        }
        assert!(!is_license("LICENSE.RS") && !is_license("README.MD"));
    }
}
