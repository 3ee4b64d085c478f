//! The cost of HTTP: task lives and heartbeats through a server in its own process, compared with the library on the
//! same kind of store. Measured are the remote store, which batches waiting commands, and plain requests, one for
//! each command, from one process and from sixteen.
//!
//! All variants run in turns, so the ratios hold on a noisy machine; absolute figures are for orientation. `cargo
//! bench -p tenure-server --bench http -- --seconds 3 --rounds 3`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // A bench prints, and stops where it is surprised.

#[allow(dead_code)] // The benches of stores take more of it.
#[path = "../../tenure/benches/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tenure::Ledger;
use tenure::recovery::Recovery;
use tenure::stop::StopSignal;
use tenure_server::{Limits, Options, Server};

use common::life::{Life, live, name};
use common::{Asked, LEASED, Ours, Place, run_callers};

const CALLERS: usize = 64;
const PROCESSES: usize = 16;
/// What a process of this bench is told to be.
const SERVES: &str = "TENURE_BENCH_SERVES";
const CALLS: &str = "TENURE_BENCH_CALLS";

fn main() {
    if let Ok(store) = std::env::var(SERVES) {
        return serve(&store);
    }
    let asked = Asked::read();
    if let Ok(url) = std::env::var(CALLS) {
        let number = common::word_after("--process").unwrap_or_default();
        let lives = lives_of_one_process(&url, &number, asked.seconds);
        return println!("{lives}");
    }
    asked.print_heading();
    println!("(ledger/s: over HTTP; bare/s: the library on a file)\n");
    let near = Ours { seconds: asked.seconds, batches: 2, place: &file };
    let far = Ours { seconds: asked.seconds, batches: 2, place: &server };
    let row = |words: &str| format!("{words}, {CALLERS} callers");
    let lives = || near.lives(CALLERS, Life::FULL);
    asked.row(&row("lives, remote store"), || far.lives(CALLERS, Life::FULL), lives);
    asked.row(&row("lives, plain requests"), || plain_lives(asked.seconds), lives);
    let sixteen = format!("lives, remote store, {PROCESSES} processes of {}", CALLERS / PROCESSES);
    asked.row(&sixteen, || lives_of_processes(asked.seconds), lives);
    let heartbeats = || near.heartbeats(CALLERS);
    asked.row(&row("heartbeats, remote store"), || far.heartbeats(CALLERS), heartbeats);
    asked.row(&row("heartbeats, plain requests"), || plain_heartbeats(asked.seconds), heartbeats);
    if asked.wants("claim on an idle store") {
        println!("\nover HTTP:");
        far.claims();
    }
}

fn file() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place { url: format!("sqlite:{}", folder.path().join("tasks.db").display()), keeps: Box::new(folder) }
}

/// A server in a process of its own, and its file.
struct ServerState {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for ServerState {
    fn drop(&mut self) {
        self.process.kill().expect("it is there");
        self.process.wait().expect("it ends");
    }
}

fn server() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("tasks.db").display());
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let mut process = command.env(SERVES, store).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut url = String::new();
    BufReader::new(process.stdout.take().expect("its output")).read_line(&mut url).expect("text");
    Place { url: url.trim().to_owned(), keeps: Box::new(ServerState { process, _folder: folder }) }
}

fn serve(store: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let ledger = Ledger::open(store).await.expect("opens");
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        println!("http://{}", listener.local_addr().expect("an address"));
        let limits = Limits::default().with(|limits| limits.requests_per_second = None);
        let server =
            Server::new(ledger, Recovery::new, Options::default().with(|options| options.limits = limits));
        let server = server.expect("threads");
        server.run(listener, None, StopSignal::new()).await.expect("it serves");
    });
}

// ---- plain requests --------------------------------------------------------------------------------------------

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn post(&self, path: String, body: Value) -> Value {
        let request = self.http.post(format!("{}/v1/default/{path}", self.url));
        let sent = request.header("content-type", "application/json").body(body.to_string()).send().await;
        let response = sent.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
        serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
    }
}

fn on_server<T, F: Future<Output = T>>(run: impl FnOnce(Client) -> F) -> T {
    let Place { url, keeps } = server();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.expect("a runtime").block_on(async {
        // No TLS is spoken here, but the client asks the process who could.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
        run(Client { http, url }).await
    });
    drop(keeps);
    done
}

fn plain_lives(seconds: Duration) -> f64 {
    on_server(async |client| {
        let next = Arc::new(AtomicU64::new(0));
        run_callers(CALLERS, seconds, move |_, _| {
            let (client, id) = (client.clone(), name(next.fetch_add(1, Ordering::Relaxed) as usize));
            async move {
                client.post("tasks".into(), json!({"id": id, "queue": "q", "payload": {"n": 1}})).await;
                client.post(format!("tasks/{id}/acquire"), json!({"owner": "w"})).await;
                for beat in 1..=3 {
                    let ttl = format!("{}s", 60 + beat);
                    client
                        .post(format!("tasks/{id}/heartbeat"), json!({"owner": "w", "epoch": 1, "ttl": ttl}))
                        .await;
                }
                let done = json!({"owner": "w", "epoch": 1, "result": {"ok": true}});
                client.post(format!("tasks/{id}/complete"), done).await;
                1
            }
        })
        .await
    })
}

fn plain_heartbeats(seconds: Duration) -> f64 {
    on_server(async |client| {
        for from in (0..LEASED).step_by(500) {
            let ids: Vec<String> = (from..from + 500).map(name).collect();
            let create: Vec<Value> = ids.iter().map(|id| json!({"verb": "create", "id": id})).collect();
            client.post("commands".into(), json!({"commands": create})).await;
            let acquire: Vec<Value> =
                ids.iter().map(|id| json!({"verb": "acquire", "task": id, "owner": "w"})).collect();
            client.post("commands".into(), json!({"commands": acquire})).await;
        }
        run_callers(CALLERS, seconds, move |caller, round| {
            let client = client.clone();
            let id = name((caller + round as usize * CALLERS) % LEASED);
            async move {
                let beat = json!({"heartbeats": [{"id": id, "owner": "w", "epoch": 1, "ttl": format!("{}s", 60 + round % 80_000)}]});
                client.post("heartbeats".into(), beat).await;
                1
            }
        })
        .await
    })
}

// ---- many processes --------------------------------------------------------------------------------------------

fn lives_of_processes(seconds: Duration) -> f64 {
    let Place { url, keeps } = server();
    let this = std::env::current_exe().expect("this program");
    let start = |number: usize| {
        let mut command = Command::new(&this);
        let (number, seconds) = (number.to_string(), seconds.as_secs().to_string());
        let words = ["--process", &number, "--seconds", &seconds];
        command.args(words).env(CALLS, &url).stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let processes: Vec<Child> = (0..PROCESSES).map(start).collect();
    let count = |process: Child| {
        let output = process.wait_with_output().expect("it ends").stdout;
        String::from_utf8_lossy(&output).trim().parse::<f64>().expect("a number")
    };
    let lives = processes.into_iter().map(count).sum();
    drop(keeps);
    lives
}

/// Lives a second.
fn lives_of_one_process(url: &str, number: &str, seconds: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let ledger = Ledger::open(url).await.expect("opens");
        let (next, number) = (Arc::new(AtomicU64::new(0)), number.to_owned());
        run_callers(CALLERS / PROCESSES, seconds, move |_, _| {
            let id = format!("task-{number}-{:010}", next.fetch_add(1, Ordering::Relaxed));
            let ledger = ledger.clone();
            async move {
                live(&ledger, &id, Life::FULL).await;
                1
            }
        })
        .await
    })
}
