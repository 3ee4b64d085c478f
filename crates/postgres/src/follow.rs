//! Signals about new events. A signal only wakes a follower, which then reads. A follower also reads from time to
//! time without a signal, so a lost signal delays it only a little.

use std::sync::Arc;
use std::time::Duration;

use crate::columns::PostgresResult;
use crate::database::PostgresDatabase;
use crate::link::{Link, Warnings, drive};

/// How often a follower polls without a signal.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The first poll after a signal that brought no event: the event may be behind a transaction that is still open.
pub(crate) const LOOK_SOON: Duration = Duration::from_millis(2);
/// The minimum time between signals to other processes: each is a transaction, and a cluster serializes them.
const SIGNS_APART: Duration = Duration::from_millis(20);
/// How often the listening connection is checked.
const PROBE_EVERY: Duration = Duration::from_secs(10);
const CONNECT_APART: Duration = Duration::from_secs(1);

/// It need not be durable, and its commit must not delay other commits.
const SIGN: &str = "select pg_notify($1, $2), set_config('synchronous_commit', 'off', true)";

/// Tells other processes, as long as the store is open.
pub(crate) async fn tell_others(database: Arc<PostgresDatabase>) {
    let mut link = None;
    loop {
        database.untold.notified().await;
        // A process without a signal polls.
        let _ = tell(&database, &mut link).await;
        tokio::time::sleep(SIGNS_APART).await;
    }
}

async fn tell(database: &PostgresDatabase, kept: &mut Option<Link>) -> PostgresResult<()> {
    let mut link = match kept.take().filter(|link| !link.is_closed()) {
        Some(link) => link,
        None => Link::connect(&database.settings).await?,
    };
    link.prepare(&[SIGN]).await?;
    link.send(SIGN, &[&database.channel(), &database.own_sign()]).answer().await?;
    *kept = Some(link);
    Ok(())
}

/// Listens for signals of other processes, on a connection of its own, and opens a new one if it is lost.
pub(crate) async fn listen(database: Arc<PostgresDatabase>) {
    loop {
        // Whatever ended it, followers poll by themselves meanwhile.
        let _ = listen_until_lost(&database).await;
        tokio::time::sleep(CONNECT_APART).await;
    }
}

async fn listen_until_lost(database: &Arc<PostgresDatabase>) -> PostgresResult<()> {
    let (client, driver) = database.settings.database.connect().await?;
    let theirs = Arc::clone(database);
    let mut driving = tokio::spawn(drive(driver, Warnings::default(), move |sign| theirs.take_sign(sign)));
    let listening = client.batch_execute(&format!("listen \"{}\"", database.channel())).await;
    // What came between the last connection and this one gave no sign.
    database.take_sign("");
    let mut alive = listening.is_ok();
    while alive {
        tokio::select! {
            _ = &mut driving => alive = false,
            () = tokio::time::sleep(PROBE_EVERY) => {
                let probe = tokio::time::timeout(PROBE_EVERY, client.batch_execute("select 1")).await;
                alive = matches!(probe, Ok(Ok(())));
            }
        }
    }
    driving.abort();
    Ok(listening?)
}
