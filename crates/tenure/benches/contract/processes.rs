//! Processes that work on one file at once, each with one call at a time. A process that starves has few operations, long ones: look
//! at the longest.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tenure::Ledger;

use crate::bare::work::{Measured, Work};
use crate::common::fill::finish;
use crate::common::life::{Life, live_together};

/// The first word of a process that works beside others.
pub(crate) const BESIDE_OTHERS: &str = "--beside-others";
/// How long every process has to start, to open the file and to live once.
const START_WITHIN: Duration = Duration::from_secs(3);

/// Lives by as many processes as there are callers. `finished` tasks are stored before.
pub(crate) fn processes(url: &str, finished: usize, work: Work) -> Measured {
    // The file is made before, so that no process finds it half made.
    runtime().block_on(async { finish(&open(url).await, finished).await });
    let begins_at = SystemTime::now() + START_WITHIN;
    let begins_at = begins_at.duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis();
    let program = std::env::current_exe().expect("this program");
    let start =
        |number| start(&program, &[format!("worker-{number}"), url.to_owned()], begins_at, work.seconds);
    // All of them are started before the first is waited for.
    let children: Vec<Child> = (0..work.callers).map(start).collect();
    let parts = children.into_iter().map(|child| {
        let ended = child.wait_with_output().expect("waited");
        assert!(ended.status.success(), "a process ended with {}", ended.status);
        read(&ended.stdout)
    });
    let mut together = Measured::together(parts.collect());
    together.completed += finished;
    together
}

fn start(program: &Path, words: &[String], begins_at: u128, seconds: Duration) -> Child {
    let mut command = Command::new(program);
    command.arg(BESIDE_OTHERS).args(words).args([begins_at.to_string(), seconds.as_secs_f64().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process")
}

/// What such a process does: opens the file, waits for the others, works, and tells what it did.
pub(crate) fn work_beside_others(words: &[&str]) {
    let [name, url, begins_at, seconds] = words else { panic!("{words:?}?") };
    let seconds = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let begins_at = UNIX_EPOCH + Duration::from_millis(begins_at.parse().expect("a time"));
    let (mut lives, mut latencies) = (0, Vec::new());
    let elapsed = runtime().block_on(async {
        let ledger = open(url).await;
        let mut live = async |latencies: &mut Vec<Duration>| {
            live_together(&ledger, &[format!("{name}-{lives:08}")], Life::FULL, latencies).await;
            lives += 1;
        };
        live(&mut Vec::new()).await;
        std::thread::sleep(begins_at.duration_since(SystemTime::now()).expect("ready before all begin"));
        let began = Instant::now();
        while began.elapsed() < seconds {
            live(&mut latencies).await;
        }
        began.elapsed()
    });
    let latencies: Vec<u128> = latencies.iter().map(Duration::as_nanos).collect();
    println!("{}", json!({ "lives": lives, "seconds": elapsed.as_secs_f64(), "latencies": latencies }));
}

fn read(printed: &[u8]) -> Measured {
    let told: Value = serde_json::from_slice(printed).expect("what a process did");
    let latencies = told["latencies"].as_array().expect("latencies").iter();
    let latencies = latencies.map(|nanos| Duration::from_nanos(nanos.as_u64().expect("a number")));
    let latencies: Vec<Duration> = latencies.collect();
    Measured {
        done: latencies.len(),
        elapsed: Duration::from_secs_f64(told["seconds"].as_f64().expect("seconds")),
        completed: told["lives"].as_u64().expect("lives") as usize,
        latencies,
        ..Measured::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn open(url: &str) -> Ledger {
    Ledger::open(url).await.expect("opens")
}
