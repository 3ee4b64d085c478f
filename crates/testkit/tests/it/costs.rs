//! What each command costs its store, counted and not timed: statements and round trips to PostgreSQL, and commits and pages of the log on
//! SQLite. A figure that changes here is a regression, or a gain to be noted.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tenure::Ledger;
use tenure::core::command::{Command, Holder};
use tenure::core::task::Task;
use tenure::store::postgres::{PostgresOptions, PostgresStore};
use tenure_testkit::block_on;
use tenure_testkit::counting::CountingRelay;
use tenure_testkit::server::{Server, required};

/// Lives that are measured: what is made once, such as prepared statements, is made by those before.
const WARM_UP: usize = 3;
/// Commands of one batch.
const BATCH: usize = 100;

fn holder(task: &Task) -> Holder {
    task.lease().expect("a lease").holder()
}

/// The commands of a life, each with what `cost` says of it.
async fn life(ledger: &Ledger, id: &str, mut cost: impl FnMut() -> String) -> Vec<String> {
    let mut costs = Vec::new();
    cost();
    ledger.create(id).queue("q").payload(json!({"n": 1})).await.expect("created");
    costs.push(format!("create     {}", cost()));
    let by = holder(&ledger.acquire(id, "w").await.expect("acquired"));
    costs.push(format!("acquire    {}", cost()));
    ledger.heartbeat(id, &by).ttl(Duration::from_secs(90)).await.expect("renewed");
    costs.push(format!("heartbeat  {}", cost()));
    ledger.heartbeat(id, &by).ttl(Duration::from_secs(180)).checkpoint(json!(1)).await.expect("renewed");
    costs.push(format!("checkpoint {}", cost()));
    ledger.complete(id, &by).result(json!({"ok": true})).await.expect("completed");
    costs.push(format!("complete   {}", cost()));
    let refused = ledger.acquire(id, "w").await.expect_err("it has ended");
    costs.push(format!("refused    {}", cost()));
    assert!(refused.code().is_some(), "{refused}");
    ledger.create(id).queue("q").await.expect_err("it exists");
    ledger.create(&format!("{id}-next")).queue("q").await.expect("created");
    cost();
    let claimed = ledger.claim("q", "w").await.expect("claimed");
    costs.push(format!("claim      {}", cost()));
    let by = holder(&claimed[0]);
    ledger.fail(claimed[0].id.as_str(), &by, "no use").remains("rm", "x").await.expect("failed");
    costs.push(format!("fail       {}", cost()));
    costs
}

/// The same steps of many tasks, each in one batch.
async fn batches(ledger: &Ledger, mut cost: impl FnMut() -> String) -> Vec<String> {
    let names: Vec<String> = (0..BATCH).map(|at| format!("b{at:03}")).collect();
    let mut costs = Vec::new();
    cost();
    let create = |id: &String| ledger.create(id).queue("b").command().expect("a command");
    let commands: Vec<Command> = names.iter().map(create).collect();
    assert!(ledger.transact(commands).await.iter().all(Result::is_ok));
    costs.push(format!("create     {}", cost()));
    let acquire = |id: &String| ledger.acquire(id, "w").command().expect("a command");
    let answers = ledger.transact(names.iter().map(acquire).collect()).await;
    costs.push(format!("acquire    {}", cost()));
    let holders: Vec<Holder> = answers
        .into_iter()
        .map(|answer| match answer.expect("acquired") {
            tenure::store::Answer::Task(task) => holder(&task),
            other => panic!("not a task: {other:?}"),
        })
        .collect();
    let renew = |(id, by): (&String, &Holder)| {
        ledger.heartbeat(id, by).ttl(Duration::from_secs(90)).command().expect("a command")
    };
    let renewed = ledger.transact(names.iter().zip(&holders).map(renew).collect()).await;
    assert!(renewed.iter().all(Result::is_ok), "{renewed:?}");
    costs.push(format!("heartbeat  {}", cost()));
    let complete = |(id, by): (&String, &Holder)| ledger.complete(id, by).command().expect("a command");
    let completed = ledger.transact(names.iter().zip(&holders).map(complete).collect()).await;
    assert!(completed.iter().all(Result::is_ok), "{completed:?}");
    costs.push(format!("complete   {}", cost()));
    costs
}

/// What is measured of a command that is alone in its batch, and of a hundred together.
#[derive(Clone, Copy)]
enum Company {
    Alone,
    Together,
}

async fn costs(ledger: &Ledger, mut cost: impl FnMut(Company) -> String) -> String {
    let alone = life(ledger, "a", || cost(Company::Alone)).await;
    let together = batches(ledger, || cost(Company::Together)).await;
    format!("{}\n\n{BATCH} in a batch:\n{}", alone.join("\n"), together.join("\n"))
}

#[test]
fn a_command_costs_postgresql_so_many_statements_and_round_trips() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async {
        let relay = CountingRelay::to(server.port()).await;
        let schema = server.fresh_schema();
        let url =
            server.url(&schema).replace(&format!(":{}/", server.port()), &format!(":{}/", relay.port()));
        // One committer, so that each statement is prepared once.
        let options = PostgresOptions::new(url).with(|options| options.committers = 1);
        let ledger = Ledger::with_store(PostgresStore::open(options).await.expect("opens"));
        for at in 0..WARM_UP {
            life(&ledger, &format!("warm{at}"), String::new).await;
        }
        let cost = |company| {
            let sent = relay.take();
            match company {
                Company::Alone => {
                    format!("{} statements, {} round trips", sent.statements, sent.round_trips)
                }
                // The server may answer the first statements of many bytes before the last one is sent.
                Company::Together => format!("{} statements", sent.statements),
            }
        };
        insta::assert_snapshot!(costs(&ledger, cost).await, @r"
        create     7 statements, 2 round trips
        acquire    6 statements, 2 round trips
        heartbeat  5 statements, 2 round trips
        checkpoint 8 statements, 2 round trips
        complete   12 statements, 2 round trips
        refused    8 statements, 2 round trips
        claim      9 statements, 2 round trips
        fail       13 statements, 2 round trips

        100 in a batch:
        create     7 statements
        acquire    6 statements
        heartbeat  5 statements
        complete   8 statements
        ");
    });
}

/// Pages in the log, each with a head of 24 bytes behind the log's own of 32.
fn pages(log: &Path) -> u64 {
    let length = std::fs::metadata(log).map_or(0, |metadata| metadata.len());
    length.saturating_sub(32) / (4096 + 24)
}

#[test]
fn a_command_costs_a_file_one_commit_and_so_many_pages() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tasks.db");
        let ledger = Ledger::open(&format!("sqlite:{}", file.display())).await.expect("opens");
        for at in 0..WARM_UP {
            life(&ledger, &format!("warm{at}"), String::new).await;
        }
        let log = folder.path().join("tasks.db-wal");
        let mut before = pages(&log);
        let cost = |_| {
            let now = pages(&log);
            format!("{} pages", now - std::mem::replace(&mut before, now))
        };
        insta::assert_snapshot!(costs(&ledger, cost).await, @r"
        create     6 pages
        acquire    6 pages
        heartbeat  1 pages
        checkpoint 2 pages
        complete   6 pages
        refused    0 pages
        claim      6 pages
        fail       8 pages

        100 in a batch:
        create     25 pages
        acquire    24 pages
        heartbeat  3 pages
        complete   26 pages
        ");
    });
}
