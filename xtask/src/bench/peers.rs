//! Reads bench/peers/peers.toml: the programs of other projects. The comment at its top says what each field means.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::row::Shape;
use crate::run::Result;

/// A program of another project.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) url: String,
    pub(super) version: String,
    pub(super) kind: PeerKind,
    pub(super) folder: String,
    pub(super) program: String,
    /// Of the kind `node` only.
    pub(super) runtime: Option<String>,
    pub(super) store: PeerStore,
    pub(super) shapes: Vec<Shape>,
    pub(super) callers: u32,
    pub(super) batch: u32,
    pub(super) note: Option<String>,
    pub(super) build: Option<PeerBuild>,
    pub(super) server: Option<PeerServer>,
}

/// How it is installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PeerKind {
    Python,
    Node,
    Cargo,
}

/// What `--store` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PeerStore {
    Postgres,
    Folder,
    Etcd,
    Restate,
}

/// What its build needs beside a compiler.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerBuild {
    #[serde(default)]
    pub(super) debian: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

/// The server that runs while the program does.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerServer {
    pub(super) install: ServerInstall,
    #[serde(default)]
    pub(super) debian: Vec<String>,
    pub(super) ports: usize,
    pub(super) command: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) address: String,
    pub(super) ready: String,
}

/// Where a server comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ServerInstall {
    Debian,
    /// With the program, by `npm ci`.
    Npm,
}

#[derive(Deserialize)]
struct Document {
    peer: Vec<Peer>,
}

/// Reads the file. A mistake in it ends the run: a field that nobody reads would be a silent mistake.
pub(super) fn read(path: &Path) -> Result<Vec<Peer>> {
    let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let document: Document = toml::from_str(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(document.peer)
}

/// Replaces `{name}` by its value.
pub(super) fn filled(text: &str, values: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has room beside a plot.
    const TITLE_MAX: usize = 32;

    #[test]
    fn the_peers_of_this_project_can_be_read_and_have_names_of_their_own() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/peers/peers.toml");
        let peers = read(&path).expect("peers");
        let mut names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), peers.len());
        assert!(names.contains(&"etcd"));
        let longest = peers.iter().map(|peer| peer.title.chars().count()).max();
        assert!(longest <= Some(TITLE_MAX), "it is cut off beside a plot");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let why =
            toml::from_str::<Document>("[[peer]]\nname = \"a\"\nshape = \"life3\"\n").err().expect("refused");
        assert!(why.to_string().contains("shape"), "{why}");
    }

    #[test]
    fn names_in_braces_are_replaced() {
        let values = [("port".to_owned(), "1".to_owned()), ("port2".to_owned(), "2".to_owned())];
        assert_eq!(filled("a:{port},b:{port2},{else}", &values), "a:1,b:2,{else}");
    }
}
