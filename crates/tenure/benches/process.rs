//! What a warden costs: from the start of `true` to its end, beside starting it directly, one after the other.
//!
//! `cargo bench -p tenure --bench process [RUNS]`
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use tenure::process::{CommandEnd, Containment, Launch};

const RUNS: usize = 200;

fn main() {
    tenure::process::serve_if_asked();
    let runs = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(RUNS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure(runs));
}

async fn measure(runs: usize) {
    let (mut direct, mut group, mut cgroup) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let begun = Instant::now();
        let status = std::process::Command::new("true").status().expect("it runs");
        direct.push(begun.elapsed());
        assert!(status.success());
        group.push(with_warden(Containment::GroupOnly).await);
        cgroup.push(with_warden(Containment::CgroupIfPossible).await);
    }
    println!("`true` from start to end, {runs} runs: median, 95 of 100 within");
    for (name, mut times) in [("directly", direct), ("warden", group), ("warden, cgroup", cgroup)] {
        times.sort_unstable();
        let at = |share: usize| Duration::as_secs_f64(&times[times.len() * share / 100]) * 1e3;
        println!("{name:<16}{:>8.2} ms{:>8.2} ms", at(50), at(95));
    }
}

async fn with_warden(containment: Containment) -> Duration {
    let begun = Instant::now();
    let mut running = Launch::new("true").containment(containment).start().await.expect("it starts");
    assert_eq!(running.ended().await, CommandEnd::Exited(0));
    let took = begun.elapsed();
    running.finish(Duration::ZERO).await;
    took
}
