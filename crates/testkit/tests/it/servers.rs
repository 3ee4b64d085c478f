//! Two servers on one PostgreSQL, one of which is always being killed or started: no holder loses its lease, and no
//! follower misses an event.

#![expect(clippy::disallowed_methods, reason = "a test measures real time")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::keeper::KeptLease;
use tenure::store::{Cursor, EventFilter};
use tenure_testkit::block_on;
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::{soon, until, until_blocking};

/// Of one `transact`.
const AT_ONCE: usize = 500;
const TTL: Duration = Duration::from_secs(9);
/// So much is done over HTTP while both servers are there, and so much while one is dead.
const DONE_BY_TWO: u64 = 40;
const DONE_BY_ONE: u64 = 15;
/// The last task that is made: a follower that has seen it has seen all.
const LAST: &str = "the-last";

/// What has happened so far, and what is to end.
#[derive(Default)]
struct Course {
    /// Leases that were taken, and lives that are over.
    done: AtomicU64,
    lives: AtomicU64,
    kills: AtomicU64,
    stop_living: AtomicBool,
    stop_killing: AtomicBool,
}

impl Course {
    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    fn lives(&self) -> u64 {
        self.lives.load(Ordering::SeqCst)
    }

    fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    fn is_killing_over(&self) -> bool {
        self.stop_killing.load(Ordering::SeqCst)
    }

    /// Waits until that much more is done, or the killing is over.
    fn goes_on(&self, count: u64) {
        let enough = self.done() + count;
        until_blocking("something is done", || self.done() >= enough || self.is_killing_over());
    }
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A server that is killed when it is dropped, so that none of them goes on beside another test.
struct Serving(Child);

impl Serving {
    fn dies(&mut self) {
        self.0.kill().expect("it is there");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that was killed already is not there any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(url: &str, port: u16) -> Serving {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-served"));
    let mut child = command.args([url, &port.to_string()]).stdout(Stdio::piped()).spawn().expect("a process");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("text");
    assert_eq!(line.trim(), "ready");
    Serving(child)
}

/// Kills one server after the other and starts it again, until it is told to stop. It returns when both are there, and goes on
/// as fast as the others do. In the end it hands over both, alive.
fn kill_in_turn(url: String, ports: [u16; 2], course: Arc<Course>) -> JoinHandle<[Serving; 2]> {
    let mut servers = ports.map(|port| serve(&url, port));
    std::thread::spawn(move || {
        let mut turns = [0, 1].into_iter().cycle();
        loop {
            course.goes_on(DONE_BY_TWO);
            if course.is_killing_over() {
                break;
            }
            let at = turns.next().expect("it has no end");
            servers[at].dies();
            course.kills.fetch_add(1, Ordering::SeqCst);
            course.goes_on(DONE_BY_ONE);
            servers[at] = serve(&url, ports[at]);
        }
        servers
    })
}

async fn hold(ledger: &Ledger, count: usize, course: &Arc<Course>) -> Vec<KeptLease> {
    let name = |at: usize| format!("held-{at:05}");
    for from in (0..count).step_by(AT_ONCE) {
        let create = (from..(from + AT_ONCE).min(count)).map(|at| ledger.create(&name(at)).command());
        for answer in ledger.transact(create.collect::<Result<_, _>>().expect("commands")).await {
            answer.expect("created");
        }
    }
    let mut taking = tokio::task::JoinSet::new();
    for at in 0..count {
        let (ledger, course) = (ledger.clone(), Arc::clone(course));
        taking.spawn(async move {
            let lease = ledger.acquire(&name(at), "keeper").ttl(TTL).keep().await.expect("taken");
            course.done.fetch_add(1, Ordering::SeqCst);
            lease
        });
    }
    taking.join_all().await
}

/// Follows to the last task. It asks again where an answer did not come; the place stays.
async fn follow(ledger: Ledger) -> (Vec<(String, u64)>, u64) {
    let (mut follower, mut seen, mut troubles) = (ledger.follow(None), Vec::new(), 0);
    while seen.last().is_none_or(|(task, _): &(String, u64)| task != LAST) {
        match follower.next().await {
            Ok(recorded) => seen.push((recorded.event.subject.to_string(), recorded.event.number.0)),
            Err(_) => troubles += 1,
        }
    }
    (seen, troubles)
}

/// Something to follow: tasks that are made and done, one after the other.
async fn live(ledger: Ledger, nth: usize, course: Arc<Course>) {
    let mut count = 0;
    while !course.stop_living.load(Ordering::SeqCst) {
        let id = format!("life-{nth}-{count}");
        count += 1;
        ledger.create(&id).queue("lives").await.expect("created");
        let task = ledger.acquire(&id, "w").await.expect("acquired");
        let holder = task.lease().expect("it was just acquired").holder();
        ledger.complete(&id, &holder).await.expect("completed");
        course.lives.fetch_add(1, Ordering::SeqCst);
        course.done.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_lease_that_is_renewed_is_lost_and_no_event_is_missed_while_servers_are_killed_in_turn() {
    let Some(server) = required(Server::shared()) else { return };
    let (keepers, seconds) = (number("TENURE_KEEPERS", 300) as usize, number("TENURE_KEEP_SECONDS", 20));
    let url = server.url(&server.fresh_schema());
    let near = block_on(Ledger::open(&url)).expect("opens");
    let ports = [free_port(), free_port()];
    let far = format!("http://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    let course = Arc::new(Course::default());
    let killing = kill_in_turn(url, ports, Arc::clone(&course));
    let (seen, troubles) = block_on(async {
        let ledger = Ledger::open(&far).await.expect("opens");
        let leases = hold(&ledger, keepers, &course).await;
        let following = tokio::spawn(follow(Ledger::open(&far).await.expect("opens")));
        let living: Vec<_> =
            (0..4).map(|nth| tokio::spawn(live(ledger.clone(), nth, Arc::clone(&course)))).collect();
        let began = Instant::now();
        // So long that every lease has to be renewed again and again, and until enough has happened.
        let is_enough = || course.kills() > 3 && course.lives() > 10;
        while began.elapsed() < Duration::from_secs(seconds) || !is_enough() {
            let done = course.done();
            until("somebody goes on living", || course.done() > done).await;
            let lost: Vec<_> =
                leases.iter().filter_map(|lease| lease.loss().map(|loss| (lease.id(), loss))).collect();
            assert!(lost.is_empty(), "after {:?}: {lost:?}", began.elapsed());
        }
        // What lives and what follows ends before the servers do.
        course.stop_living.store(true, Ordering::SeqCst);
        for one in living {
            one.await.expect("every command was answered");
        }
        // Nothing is done any more by which the killing could be timed.
        course.stop_killing.store(true, Ordering::SeqCst);
        near.create(LAST).await.expect("created");
        let (seen, troubles) = soon("the last event", following).await.expect("it followed");
        // A worker that held a lease all the time ends it by the epoch that it had from the beginning.
        for lease in &leases {
            let task = near.task(lease.id().as_str()).await.expect("there");
            assert_eq!((task.epoch, task.attempts), (lease.holder().epoch, 1), "{}", lease.id());
        }
        leases.into_iter().for_each(std::mem::forget);
        (seen, troubles)
    });
    drop(killing.join().expect("it killed"));
    let (kills, lives) = (course.kills(), course.lives());
    let all = block_on(async {
        let (mut all, mut after): (Vec<(String, u64)>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page =
                near.store().events(EventFilter::default(), after, 5_000.into()).await.expect("the history");
            let is_whole = page.items.len() < 5_000;
            all.extend(page.items.iter().map(|one| (one.event.subject.to_string(), one.event.number.0)));
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
