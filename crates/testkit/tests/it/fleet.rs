//! Many processes on one PostgreSQL: which tasks each one gets, what a follower sees of them, and how they start.

#![expect(clippy::disallowed_methods, reason = "a test measures real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::store::Answer;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::{soon, until_asked};
use tenure_testkit::{BEGINNING, block_on};

const PROCESSES: usize = 8;
const TASKS: usize = 100_000;
/// Of one `transact`.
const AT_ONCE: usize = 1_000;
const CLAIMED_AT_ONCE: usize = 50;

fn child(words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-child"));
    command.args(words).stdout(Stdio::piped()).spawn().expect("a process")
}

/// What a process tells, line by line, until it ends.
fn lines(child: &mut Child) -> std::thread::JoinHandle<Vec<String>> {
    let out = child.stdout.take().expect("its output");
    std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).collect())
}

async fn create_many(ledger: &Ledger, queue: &str, count: usize) {
    for from in (0..count).step_by(AT_ONCE) {
        let ids = from..(from + AT_ONCE).min(count);
        let create = ids.map(|at| ledger.create(&format!("task-{at:06}")).queue(queue).command());
        let commands = create.collect::<Result<_, _>>().expect("commands");
        for answer in ledger.transact(commands).await {
            answer.expect("created");
        }
    }
}

#[test]
fn eight_processes_empty_a_queue_and_one_that_is_killed_costs_only_its_own_leases() {
    let Some(server) = required(Server::shared()) else { return };
    let schema = server.fresh_schema();
    let url = server.url(&schema);
    let ledger = block_on(Ledger::open(&url)).expect("opens");
    block_on(create_many(&ledger, "q", TASKS));
    let begun = Instant::now();
    let limit = CLAIMED_AT_ONCE.to_string();
    let mut processes: Vec<Child> =
        (0..PROCESSES).map(|at| child(&["claim", &url, &format!("p{at}"), "q", &limit])).collect();
    let listeners: Vec<_> = processes.iter_mut().map(lines).collect();
    // In the middle: as soon as somebody has so much of it.
    let held = |owner| format!("select count(*) from tenure.due where owner like '{owner}'");
    let rival = |count: i64| async move {
        let rival = CompetingConnection::of(server, &schema).await;
        let mut claimed = 0;
        loop {
            // All of it may take a slow machine minutes.
            let before = claimed;
            until_asked("that more is claimed", async || {
                claimed = rival.counts(&held("%")).await;
                claimed > before
            })
            .await;
            if claimed >= count {
                return schema;
            }
        }
    };
    let schema = block_on(rival(TASKS as i64 / 3));
    processes[0].kill().expect("kill -9");
    let told: Vec<Vec<String>> =
        listeners.into_iter().map(|listener| listener.join().expect("told")).collect();
    for process in &mut processes {
        process.wait().expect("its end");
    }
    let took = begun.elapsed();
    for lines in &told[1..] {
        assert_eq!(lines.last().map(String::as_str), Some("empty"), "it went on until nothing was left");
    }
    let mut handed_out = BTreeMap::<&str, usize>::new();
    for (process, lines) in told.iter().enumerate() {
        // The killed one's last line may be cut, and was answered all the same.
        let whole = if process == 0 { &lines[..lines.len().saturating_sub(1)] } else { &lines[..] };
        for id in whole.iter().filter(|line| *line != "empty").flat_map(|line| line.split(' ')) {
            assert_eq!(handed_out.insert(id, process), None, "{id} was handed out twice");
        }
    }
    block_on(async {
        let rival = CompetingConnection::of(server, &schema).await;
        assert_eq!(rival.counts("select count(*) from tenure.due where wait = 'lease'").await, TASKS as i64);
        assert_eq!(rival.counts("select count(*) from tenure.tasks where state <> 'running'").await, 0);
        assert_eq!(rival.counts("select count(*) from tenure.tasks where epoch <> 1").await, 0);
        let owners = rival.sees("select task, owner from tenure.due").await;
        let mut lost = 0;
        for row in &owners {
            let (task, owner): (&str, &str) = (row.get(0), row.get(1));
            match handed_out.get(task) {
                Some(process) => assert_eq!(owner, format!("p{process}")),
                None => {
                    assert_eq!(owner, "p0", "{task} was answered to nobody");
                    lost += 1;
                }
            }
        }
        // What was under way when it was killed: one claim that it did not hear of, and one that it was about to tell.
        assert!(lost <= 2 * CLAIMED_AT_ONCE, "{lost} tasks are held and nobody knows");
        println!(
            "{TASKS} tasks claimed by {PROCESSES} processes in {took:?}; {lost} of the killed one untold"
        );
    });
    assert!(block_on(ledger.verify(None)).expect("verified").holds());
}

/// Waits until some hundred events more are there, in any namespace.
async fn more_is_written(rival: &CompetingConnection) {
    let events = "select count(*) from tenure.events";
    let enough = rival.counts(events).await + 300;
    until_asked("that more is written", async || rival.counts(events).await >= enough).await;
}

#[test]
fn a_follower_misses_nothing_and_sees_all_in_order_while_transactions_are_held_open() {
    let Some(server) = required(Server::start(&[])) else { return };
    let schema = server.fresh_schema();
    let url = server.url(&schema);
    let ledger = block_on(Ledger::open(&url)).expect("opens");
    let mut writers: Vec<Child> = (0..2).map(|at| child(&["load", &url, &format!("w{at}"), "8"])).collect();
    let listeners: Vec<_> = writers.iter_mut().map(lines).collect();
    let seen = block_on(async {
        let mut rival = CompetingConnection::of(&server, &schema).await;
        let mut other = CompetingConnection::of(&server, &schema).await;
        let holding = async move {
            // Always one of them is open, so the horizon moves in steps of hundreds of events.
            for _ in 0..3 {
                rival.does("begin; select pg_current_xact_id()").await;
                more_is_written(&rival).await;
                other.does("begin; select pg_current_xact_id()").await;
                rival.does("commit").await;
                more_is_written(&other).await;
                std::mem::swap(&mut rival, &mut other);
                other.does("rollback").await;
            }
            rival.does("rollback").await;
        };
        let mut holding = std::pin::pin!(holding);
        let mut follower = ledger.follow(None);
        let mut seen = Vec::new();
        loop {
            tokio::select! {
                () = &mut holding => break,
                // Given up again and again, which loses none either.
                next = tokio::time::timeout(Duration::from_millis(50), follower.next()) => {
                    seen.extend(next.ok().map(|next| next.expect("an event")));
                }
            }
        }
        for writer in &mut writers {
            writer.kill().expect("kill -9");
            writer.wait().expect("its end");
        }
        // What is there now is all there will be.
        let mut rest = CompetingConnection::of(&server, &schema).await;
        let all = rest.client().query_one(&format!("select count(*) from {schema}.events"), &[]).await;
        let all: i64 = all.expect("a count").get(0);
        while (seen.len() as i64) < all {
            let what = format!("event {} of {all}", seen.len() + 1);
            seen.push(soon(&what, follower.next()).await.expect("an event"));
        }
        seen
    });
    listeners.into_iter().for_each(|listener| drop(listener.join().expect("told")));
    let all = block_on(ledger.events(None, usize::MAX >> 1)).expect("the history").items;
    assert!(all.len() > 1_000, "only {} events were written", all.len());
    assert_eq!(seen, all, "each once, and in the order that stays");
    let mut newest = BTreeMap::new();
    for recorded in &seen {
        let number = newest.entry(&recorded.event.subject).or_insert(0);
        assert_eq!(recorded.event.number.0, *number + 1, "{}", recorded.event.subject);
        *number += 1;
    }
    println!("{} events followed", seen.len());
}

#[test]
fn ten_nodes_may_start_at_once_on_an_empty_database() {
    let Some(server) = required(Server::shared()) else { return };
    for _ in 0..3 {
        let schema = server.fresh_schema();
        let url = server.url(&schema);
        let nodes: Vec<Child> = (0..10).map(|_| child(&["open", &url])).collect();
        for mut node in nodes {
            assert!(node.wait().expect("its end").success());
        }
        block_on(async {
            let rival = CompetingConnection::of(server, &schema).await;
            assert_eq!(
                rival.counts("select count(*) from tenure.meta where key = 'schema_version'").await,
                1
            );
        });
    }
}

#[test]
fn heartbeats_are_hot_updates() {
    // Of its own: a row that an open transaction of somebody else may still have to see is in the way.
    let Some(server) = required(Server::start(&[])) else { return };
    let schema = server.fresh_schema();
    block_on(async {
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        create_many(&ledger, "q", AT_ONCE).await;
        let acquire = |at: usize| ledger.acquire(&format!("task-{at:06}"), "w").command().expect("a command");
        let leased = ledger.transact((0..AT_ONCE).map(acquire).collect()).await;
        let holders: Vec<_> = leased
            .into_iter()
            .map(|answer| match answer.expect("acquired") {
                Answer::Task(task) => task.lease().expect("a lease").holder(),
                other => panic!("{other:?}"),
            })
            .collect();
        const ROUNDS: u64 = 20;
        for round in 0..ROUNDS {
            let ttl = Duration::from_secs(60 + round);
            let beat = |(at, by)| {
                ledger.heartbeat(&format!("task-{at:06}"), by).ttl(ttl).command().expect("a command")
            };
            for answer in ledger.transact(holders.iter().enumerate().map(beat).collect()).await {
                answer.expect("renewed");
            }
        }
        let rival = CompetingConnection::of(&server, &schema).await;
        let of_due = |what| {
            format!(
                "select {what} from pg_stat_user_tables where schemaname = '{schema}' and relname = 'due'"
            )
        };
        let updates = (ROUNDS * AT_ONCE as u64) as i64;
        rival.waits_until(&of_due("n_tup_upd"), updates).await;
        let hot = rival.counts(&of_due("n_tup_hot_upd")).await;
        println!("{updates} heartbeats, of which {hot} were HOT updates");
        assert!(hot * 100 >= updates * 95, "{hot} of {updates}");
    });
}

#[test]
fn what_a_claim_and_a_sweep_look_at_is_found_by_indexes() {
    let Some(server) = required(Server::shared()) else { return };
    let schema = server.fresh_schema();
    block_on(async {
        let ledger = Ledger::open(&server.url(&schema)).await.expect("opens");
        create_many(&ledger, "q", AT_ONCE).await;
        ledger.claim("q", "w").limit(500).await.expect("claimed");
        let rival = CompetingConnection::of(server, &schema).await;
        rival.does("analyze tenure.tasks; analyze tenure.due; set enable_seqscan = off").await;
        let mut plans = BTreeSet::new();
        for sql in [
            "select priority from tenure.tasks where namespace = 'default' and queue = 'q' \
             and claim_from is not null and priority < 5 order by priority desc limit 1",
            "select * from tenure.tasks where namespace = 'default' and queue = 'q' and priority = 0 \
             and claim_from <= 5 order by claim_from, no limit 3 for update skip locked",
            "select namespace, task from tenure.due where not held_back and check_at <= 5 \
             and (check_at, namespace, task) > (1, '', '') order by check_at, namespace, task limit 10",
        ] {
            let plan = rival.sees(&format!("explain {sql}")).await;
            let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
            plans.extend(["tasks_to_claim", "due_to_check"].into_iter().filter(|index| plan.contains(index)));
        }
        assert_eq!(plans.len(), 2, "{plans:?}");
    });
}

/// Without statistics, a planner believes that reading all tasks costs less than finding each by its key.
#[test]
fn a_list_of_stale_tasks_reads_no_others_on_a_young_store() {
    const LISTS: i64 = 20;
    let Some(server) = required(Server::shared()) else { return };
    let schema = server.fresh_schema();
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let ledger = Ledger::builder().clock(Arc::new(clock.clone()));
        let ledger = ledger.open(&server.url(&schema)).await.expect("opens");
        create_many(&ledger, "q", AT_ONCE).await;
        ledger.claim("q", "w").limit(3).ttl(Duration::from_secs(60)).await.expect("claimed");
        clock.advance(Duration::from_secs(120));
        for _ in 0..LISTS {
            assert_eq!(ledger.stale(None, 100).await.expect("a page").items.len(), 3);
        }
        // A connection tells what it has counted when it ends.
        drop(ledger);
        let rival = CompetingConnection::of(server, &schema).await;
        let of = |what, table| {
            format!(
                "select {what} from pg_stat_user_tables where schemaname = '{schema}' and relname = '{table}'"
            )
        };
        rival.waits_until(&of("least(idx_scan, 20)", "due"), LISTS).await;
        let read = rival.counts(&of("seq_tup_read + idx_tup_fetch", "tasks")).await;
        assert!(read < LISTS / 2 * AT_ONCE as i64, "{read} rows of tasks were read");
    });
}
