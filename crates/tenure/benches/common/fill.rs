//! Fills a store before something is measured on it.
#![allow(dead_code)] // Each bench uses a part.

use std::ops::Range;

use tenure::Ledger;
use tenure_core::command::Holder;

use super::life::{Life, lease_together, live_together, name};

/// How many callers fill a store at once, each with batches.
const FILLERS: usize = 4;
const FILLED: usize = 1_000;

/// Stores tasks that are completed.
pub(crate) async fn finish(ledger: &Ledger, count: usize) {
    finish_named(ledger, count, life_name).await;
}

/// The same, with other names.
pub(crate) async fn finish_named(ledger: &Ledger, count: usize, named: fn(usize) -> String) {
    in_parts(ledger, count, move |ledger, tasks| async move {
        let names: Vec<String> = tasks.map(named).collect();
        live_together(&ledger, &names, Life::SHORT, &mut Vec::new()).await;
        Vec::<()>::new()
    })
    .await;
}

/// Stores tasks that are leased. The holders are in the order of the tasks.
pub(crate) async fn lease(ledger: &Ledger, count: usize) -> Vec<Holder> {
    in_parts(ledger, count, async |ledger: Ledger, tasks| {
        lease_together(&ledger, &tasks.map(name).collect::<Vec<_>>()).await
    })
    .await
}

/// Names in order of time, as the ledger makes them.
pub(crate) fn life_name(at: usize) -> String {
    format!("task-{at:010}")
}

/// Fills a store with that many tasks, in large batches, some at once. The answers are in the order of the tasks.
async fn in_parts<T: Send + 'static, F: Future<Output = Vec<T>> + Send>(
    ledger: &Ledger,
    count: usize,
    fill: impl Fn(Ledger, Range<usize>) -> F + Copy + Send + 'static,
) -> Vec<T> {
    let part = count.div_ceil(FILLERS);
    let fillers = (0..FILLERS).map(|filler| {
        let (ledger, end) = (ledger.clone(), count.min((filler + 1) * part));
        tokio::spawn(async move {
            let mut filled = Vec::new();
            for from in (filler * part..end).step_by(FILLED) {
                filled.extend(fill(ledger.clone(), from..end.min(from + FILLED)).await);
            }
            filled
        })
    });
    let fillers: Vec<_> = fillers.collect();
    let mut filled = Vec::new();
    for filler in fillers {
        filled.extend(filler.await.expect("filled"));
    }
    filled
}
