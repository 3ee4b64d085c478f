//! Two servers on one PostgreSQL, one of which is always being killed or started: nobody who renews a lease loses it, and
//! nobody who follows the history misses an event.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::keeper::KeptLease;
use tenure::store::{Cursor, EventFilter};
use tenure_testkit::block_on;
use tenure_testkit::server::{Server, required};

/// Of one `transact`.
const AT_ONCE: usize = 500;
const TTL: Duration = Duration::from_secs(9);

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn serve(url: &str, port: u16) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-served"));
    let mut child = command.args([url, &port.to_string()]).stdout(Stdio::piped()).spawn().expect("a process");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("text");
    assert_eq!(line.trim(), "ready");
    child
}

/// Kills one server after the other and starts it again, until it is told to stop.
fn kill_in_turn(url: String, ports: [u16; 2], stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut servers = ports.map(|port| serve(&url, port));
        let mut kills = 0;
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1_500));
            let at = usize::from(kills % 2 == 1);
            servers[at].kill().expect("it is there");
            servers[at].wait().expect("it ends");
            kills += 1;
            std::thread::sleep(Duration::from_millis(500));
            servers[at] = serve(&url, ports[at]);
        }
        for mut server in servers {
            server.kill().expect("it is there");
            server.wait().expect("it ends");
        }
        kills
    })
}

async fn hold(ledger: &Ledger, count: usize) -> Vec<KeptLease> {
    let name = |at: usize| format!("held-{at:05}");
    for from in (0..count).step_by(AT_ONCE) {
        let create = (from..(from + AT_ONCE).min(count)).map(|at| ledger.create(&name(at)).command());
        for answer in ledger.transact(create.collect::<Result<_, _>>().expect("commands")).await {
            answer.expect("created");
        }
    }
    let mut taking = tokio::task::JoinSet::new();
    for at in 0..count {
        let ledger = ledger.clone();
        taking
            .spawn(async move { ledger.acquire(&name(at), "keeper").ttl(TTL).keep().await.expect("taken") });
    }
    taking.join_all().await
}

/// Whoever follows asks again where an answer did not come; the place stays.
async fn follow(ledger: Ledger, stop: Arc<AtomicBool>) -> (Vec<(String, u64)>, u64) {
    let (mut follower, mut seen, mut troubles) = (ledger.follow(None), Vec::new(), 0);
    loop {
        match tokio::time::timeout(Duration::from_secs(3), follower.next()).await {
            Ok(Ok(recorded)) => seen.push((recorded.event.task.to_string(), recorded.event.number.0)),
            Ok(Err(_)) => troubles += 1,
            Err(_) if stop.load(Ordering::SeqCst) => return (seen, troubles),
            Err(_) => {}
        }
    }
}

/// Something to follow: tasks that are made and done, one after the other.
async fn live(ledger: Ledger, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    while !stop.load(Ordering::SeqCst) {
        let id = format!("life-{}", done.fetch_add(1, Ordering::SeqCst));
        ledger.create(&id).queue("lives").await.expect("created");
        let task = ledger.acquire(&id, "w").await.expect("acquired");
        let holder = task.lease().expect("it was just acquired").holder();
        ledger.complete(&id, &holder).await.expect("completed");
    }
}

#[test]
fn no_lease_that_is_renewed_is_lost_and_no_event_is_missed_while_servers_are_killed_in_turn() {
    let Some(server) = required(Server::shared()) else { return };
    let (keepers, seconds) = (number("TENURE_KEEPERS", 300) as usize, number("TENURE_KEEP_SECONDS", 20));
    let url = server.url(&server.fresh_schema());
    let near = block_on(Ledger::open(&url)).expect("opens");
    let ports = [free_port(), free_port()];
    // What lives and what follows ends before the servers do.
    let (stop, stop_killing) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let far = format!("http://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    // Both are there before anybody asks.
    let killing = {
        let killer = kill_in_turn(url, ports, Arc::clone(&stop_killing));
        std::thread::sleep(Duration::from_millis(1_000));
        killer
    };
    let (seen, troubles, lives) = block_on(async {
        let ledger = Ledger::open(&far).await.expect("opens");
        let leases = hold(&ledger, keepers).await;
        let done = Arc::new(AtomicU64::new(0));
        let following = tokio::spawn(follow(Ledger::open(&far).await.expect("opens"), Arc::clone(&stop)));
        let living: Vec<_> = (0..4)
            .map(|_| tokio::spawn(live(ledger.clone(), Arc::clone(&stop), Arc::clone(&done))))
            .collect();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let lost: Vec<_> =
                leases.iter().filter_map(|lease| lease.loss().map(|loss| (lease.id(), loss))).collect();
            assert!(lost.is_empty(), "after {:?}: {lost:?}", began.elapsed());
        }
        stop.store(true, Ordering::SeqCst);
        for one in living {
            one.await.expect("every command was answered");
        }
        let (seen, troubles) = following.await.expect("it followed");
        // Whoever held a lease all the time ends it by the epoch that it had from the beginning.
        for lease in &leases {
            let task = near.task(lease.id().as_str()).await.expect("there");
            assert_eq!((task.epoch, task.attempts), (lease.holder().epoch, 1), "{}", lease.id());
        }
        leases.into_iter().for_each(std::mem::forget);
        (seen, troubles, done.load(Ordering::SeqCst))
    });
    stop_killing.store(true, Ordering::SeqCst);
    let kills = killing.join().expect("it killed");
    let all = block_on(async {
        let (mut all, mut after): (Vec<(String, u64)>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page = near.store().events(EventFilter::default(), after, 5_000).await.expect("the history");
            let is_whole = page.items.len() < 5_000;
            all.extend(page.items.iter().map(|one| (one.event.task.to_string(), one.event.number.0)));
            after = page.next;
            if is_whole {
                return all;
            }
        }
    });
    let once: BTreeSet<_> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "each event came once");
    assert_eq!(seen, all, "all of them came, in their order");
    println!(
        "{keepers} keepers for {seconds} s, {kills} kills, {lives} lives, {} events followed, {troubles} looks without an answer",
        all.len()
    );
    assert!(kills > 3 && lives > 10, "something happened: {kills} kills, {lives} lives");
}
