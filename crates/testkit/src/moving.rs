//! Exports and imports of whole stores, for tests.

use std::sync::Arc;

use tenure::clock::ManualClock;
use tenure::store::Store;
use tenure::transfer::{Exporter, ImportReport, Importer, RefusedLine, TokenHashes};

use crate::server::{Server, required};
use crate::{memory, postgres, sqlite};

/// New stores of each kind on one clock, and what goes with them.
pub struct Stores {
    /// Each with the name of its kind.
    pub all: Vec<(&'static str, Arc<dyn Store>)>,
    _folder: tempfile::TempDir,
}

impl Stores {
    /// Makes them.
    pub async fn new(clock: &ManualClock) -> Stores {
        let (folder, file) = sqlite(clock).await;
        let mut all = vec![("memory", memory(clock)), ("SQLite", file)];
        if let Some(server) = required(Server::shared()) {
            all.push(("PostgreSQL", postgres(server, clock).await));
        }
        Stores { all, _folder: folder }
    }
}

/// The whole export of a store, without tokens.
pub async fn exported(store: &dyn Store) -> Vec<u8> {
    exported_with(store, TokenHashes::Left).await
}

/// The whole export of a store.
pub async fn exported_with(store: &dyn Store, tokens: TokenHashes) -> Vec<u8> {
    let mut exporter = Exporter::begin(store, tokens).await.expect("begun");
    let mut file = Vec::new();
    while let Some(lines) = exporter.next().await.expect("exported") {
        file.extend(lines);
    }
    file
}

/// Imports all lines, and gives what was refused. Afterwards everything is shown to all.
pub async fn imported(store: &dyn Store, file: &[u8]) -> (ImportReport, Vec<RefusedLine>) {
    let mut importer = Importer::begin(store, file).expect("begun").in_batches_of(7);
    let mut all = Vec::new();
    while let Some(refused) = importer.next().await.expect("imported") {
        all.extend(refused);
    }
    // On PostgreSQL transactions of others may hide the newest events from followers for a moment.
    store.transfer().expect("it was imported into").end_of_history().await.expect("all is shown");
    (importer.report(), all)
}

/// The lines of an export.
pub fn lines(file: &[u8]) -> Vec<String> {
    String::from_utf8(file.to_vec()).expect("text").lines().map(str::to_owned).collect()
}

/// What an export says of its store: not when it was written, and so not its digest either.
pub fn content(file: &[u8]) -> Vec<String> {
    let lines = lines(file);
    let last = lines.len() - 1;
    lines.into_iter().take(last).skip(1).collect()
}
