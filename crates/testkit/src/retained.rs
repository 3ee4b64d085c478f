//! Stores of which a part was pruned, for tests.

use std::time::Duration;

use tenure::audit::Anchor;
use tenure::clock::ManualClock;
use tenure::core::time::Span;
use tenure::retention::{PruneOptions, PruneReport, PruneRun};
use tenure::{Error, Ledger};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A task that was done.
pub async fn done(ledger: &Ledger, id: &str) -> Result<(), Error> {
    ledger.create(id).saga_id(&format!("saga-of-{id}")).await?;
    let by = ledger.acquire(id, "w1").await?.lease().expect("a lease").holder();
    ledger.complete(id, &by).await?;
    Ok(())
}

/// Prunes the ledger's namespace.
pub async fn prune(ledger: &Ledger, days: u64) -> Result<PruneReport, Error> {
    let mut run = PruneRun::begin(ledger, PruneOptions::older_than(Span::from_days(days))).await?;
    while run.step(None).await.expect("a step").is_some() {}
    Ok(run.report().clone())
}

/// Four pruned tasks in `default` and one in `elsewhere`, two anchors to verify against, and followers that have seen nothing, a part,
/// and all. Returns the anchor that was made before anything was pruned.
pub async fn half_pruned(ledger: &Ledger, clock: &ManualClock) -> Result<Anchor, Error> {
    let elsewhere = ledger.in_namespace("elsewhere")?;
    for number in 1..=4 {
        done(ledger, &format!("old-{number}")).await?;
    }
    done(&elsewhere, "old-1").await?;
    ledger.create("open").await?;
    clock.advance(100 * DAY);
    let anchor = ledger.anchor().await?;
    ledger.record_anchor(&anchor).await?;
    for ledger in [ledger, &elsewhere] {
        prune(ledger, 90).await?;
    }
    done(ledger, "young-1").await?;
    let events = ledger.events(None, 100).await?.items;
    let seen = events.iter().rfind(|one| one.event.number.0 == 2).expect("an event");
    ledger.move_cursor("part", seen.cursor.clone()).await?;
    done(ledger, "young-2").await?;
    let events = ledger.events(None, 100).await?.items;
    ledger.move_cursor("all", events.last().expect("events").cursor.clone()).await?;
    ledger.named_cursor("nothing").await?;
    elsewhere.named_cursor("nothing").await?;
    elsewhere.create("late").await?;
    clock.advance(Duration::from_secs(60));
    ledger.record_anchor(&ledger.anchor().await?).await?;
    Ok(anchor)
}
