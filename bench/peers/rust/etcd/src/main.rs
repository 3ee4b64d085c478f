//! Measures etcd. A life is a key: one put creates it, one transaction takes it and one completes it. Each
//! transaction compares the value that was there before. A heartbeat is a keepalive of a lease.

use common::{Arguments, Measurement, call_until, expect_equal, fail, print_result};
use etcd_client::{Client, Compare, CompareOp, GetOptions, LeaseKeepAliveStream, LeaseKeeper, Txn, TxnOp};
use futures::future::join_all;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// Callers share connections, as the requests of a program do.
const CONNECTIONS: usize = 8;
const WARM_UP_LIVES: u64 = 5;
const LEASE_SECONDS: i64 = 3_600;

const PENDING: &str = "pending";
const OWNED: &str = "owned by worker";
const DONE: &str = "done";

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse_for(&["life3", "heartbeats", "heartbeats-batch"]);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS.min(arguments.callers) {
        clients.push(Client::connect([&arguments.store], None).await.expect("connect"));
    }
    let version = clients[0].status().await.expect("read the status").version().to_owned();
    let (measurement, checked) = match arguments.shape.as_str() {
        "life3" => measure_lives(&arguments, &clients).await,
        "heartbeats" => measure_heartbeats(&arguments, &clients, 1).await,
        _ => measure_heartbeats(&arguments, &clients, arguments.batch).await,
    };
    print_result(&version, measurement, &checked);
}

/// How many calls each caller has before the measurement, so that `total` are divided among all.
fn share(total: u64, caller: usize, callers: usize) -> u64 {
    (0..total).skip(caller).step_by(callers).count() as u64
}

struct LifeCaller {
    client: Client,
    prefix: String,
    lives: u64,
}

impl LifeCaller {
    async fn live(&mut self) {
        let key = format!("{}{:09}", self.prefix, self.lives);
        self.client.put(key.as_str(), PENDING, None).await.expect("create");
        self.replace(&key, PENDING, OWNED).await;
        self.replace(&key, OWNED, DONE).await;
        self.lives += 1;
    }

    async fn replace(&mut self, key: &str, from: &str, to: &str) {
        let transaction = Txn::new()
            .when([Compare::value(key, CompareOp::Equal, from)])
            .and_then([TxnOp::put(key, to, None)]);
        if !self.client.txn(transaction).await.expect("compare and set").succeeded() {
            fail(&format!("{key} was not {from}"));
        }
    }

    async fn stored(&mut self) -> u64 {
        let options = GetOptions::new().with_prefix();
        let keys = self.client.get(self.prefix.as_str(), Some(options)).await.expect("read the keys");
        keys.kvs().iter().filter(|key| key.value() == DONE.as_bytes()).count() as u64
    }
}

async fn measure_lives(arguments: &Arguments, clients: &[Client]) -> (Measurement, String) {
    let mut callers: Vec<LifeCaller> = (0..arguments.callers)
        .map(|caller| LifeCaller {
            client: clients[caller % clients.len()].clone(),
            prefix: format!("life/{caller}/"),
            lives: 0,
        })
        .collect();
    join_all(callers.iter_mut().enumerate().map(async |(number, caller)| {
        for _ in 0..WARM_UP_LIVES + share(arguments.tasks, number, arguments.callers) {
            caller.live().await;
        }
    }))
    .await;
    let lives_before: u64 = callers.iter().map(|caller| caller.lives).sum();

    let syncs_before = log_syncs(&arguments.store);
    let measurement = call_until(&mut callers, arguments.seconds, async |caller| {
        caller.live().await;
        1
    })
    .await;
    let syncs = log_syncs(&arguments.store) - syncs_before;

    let mut stored = 0;
    for caller in &mut callers {
        stored += caller.stored().await;
    }
    expect_equal("keys that are done", stored - lives_before, measurement.done);
    if syncs == 0 {
        fail("etcd did not sync its log while it was measured: commits are not durable");
    }
    let checked = format!(
        "{} keys are stored as done by a put and two transactions each; etcd synced its log {syncs} times",
        measurement.done
    );
    (measurement, checked)
}

struct HeartbeatCaller {
    leases: Vec<(LeaseKeeper, LeaseKeepAliveStream)>,
    next: usize,
}

impl HeartbeatCaller {
    async fn new(mut client: Client, leases: u64) -> Self {
        let mut caller = Self { leases: Vec::new(), next: 0 };
        for _ in 0..leases {
            let lease = client.lease_grant(LEASE_SECONDS, None).await.expect("grant a lease").id();
            caller.leases.push(client.lease_keep_alive(lease).await.expect("open a keepalive stream"));
        }
        caller
    }

    /// Sends all renewals before it waits for the first response.
    async fn renew(&mut self, renewals: usize) -> u64 {
        let count = self.leases.len();
        for offset in 0..renewals {
            self.leases[(self.next + offset) % count].0.keep_alive().await.expect("send a keepalive");
        }
        for offset in 0..renewals {
            let stream = &mut self.leases[(self.next + offset) % count].1;
            let response = stream.message().await.expect("receive a keepalive").expect("the stream is open");
            expect_equal("seconds of a renewed lease", response.ttl(), LEASE_SECONDS);
        }
        self.next = (self.next + renewals) % count;
        renewals as u64
    }
}

async fn measure_heartbeats(
    arguments: &Arguments,
    clients: &[Client],
    batch: usize,
) -> (Measurement, String) {
    if arguments.tasks < arguments.callers as u64 {
        fail("heartbeats need at least one lease for each caller: give --tasks");
    }
    let mut callers = join_all((0..arguments.callers).map(async |caller| {
        let client = clients[caller % clients.len()].clone();
        HeartbeatCaller::new(client, share(arguments.tasks, caller, arguments.callers)).await
    }))
    .await;
    let measurement =
        call_until(&mut callers, arguments.seconds, async |caller| caller.renew(batch).await).await;

    let leases = clients[0].clone().leases().await.expect("list the leases").leases().len();
    expect_equal("leases", leases as u64, arguments.tasks);
    let checked = format!(
        "etcd confirmed {} renewals with the full time to live and still has all {leases} leases; \
         it does not write keepalives to disk",
        measurement.done
    );
    (measurement, checked)
}

/// How often etcd has synced its log. It counts no sync that its options turn off.
fn log_syncs(address: &str) -> u64 {
    const METRIC: &str = "etcd_disk_wal_fsync_duration_seconds_count ";
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let mut connection = TcpStream::connect(host).expect("connect for the metrics");
    write!(connection, "GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("ask for the metrics");
    let mut metrics = String::new();
    connection.read_to_string(&mut metrics).expect("read the metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(METRIC)).expect("etcd has this metric");
    value.parse::<f64>().expect("a metric is a number") as u64
}
