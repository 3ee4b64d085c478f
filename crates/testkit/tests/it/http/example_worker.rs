//! The Python worker of the page "A worker over HTTP in any language", run as a reader would run it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tenure::store::memory::MemoryStore;
use tenure_testkit::block_on;
use tenure_testkit::served::{Client, Reply, Served, until_reply};
use tenure_testkit::waiting::until;

/// A worker, until it is dropped.
struct Example(Child);

impl Example {
    /// For the queue `agents`, with that command for each task.
    fn running(served: &Served, command: &str) -> Example {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/worker.py");
        let mut python = Command::new("python3");
        python.arg(program).args(["--queue", "agents", "--wait", "2", "--grace", "1", "--drain", "30"]);
        python.args(["--", "sh", "-c", command]).env("TENURE_STORE", &served.url).stdin(Stdio::null());
        python.env_remove("TENURE_TOKEN").env_remove("TENURE_NAMESPACE");
        Example(python.spawn().expect("Python runs"))
    }

    fn is_told_to_stop(&self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).expect("a process");
        kill_process(pid, Signal::TERM).expect("it runs");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // One that has ended can't be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The task, once its state is that.
async fn task_in(client: &Client, id: &str, state: &str) -> Value {
    let (path, what) = (format!("/v1/default/tasks/{id}"), format!("{id} is {state}"));
    let is_so = |reply: &Reply| reply.body["task"]["state"] == state;
    until_reply(&what, async || client.get(&path).await, is_so).await.done(200)["task"].clone()
}

async fn created(client: &Client, body: Value) {
    client.post("/v1/default/tasks", body).await.done(201);
}

#[test]
fn the_worker_of_the_page_completes_rolls_back_and_stops_when_it_is_told() {
    let served = Served::on(Arc::new(MemoryStore::default()));
    let client = served.client();
    block_on(async {
        created(&client, json!({"id": "good", "queue": "agents", "payload": {"n": 20}})).await;
        created(&client, json!({"id": "bad", "queue": "agents", "payload": {"n": 0}})).await;
        let command = r#"read payload; case $payload in *20*) echo '{"doubled": 40}';; *) exit 3;; esac"#;
        let mut worker = Example::running(&served, command);
        let good = task_in(&client, "good", "completed").await;
        assert_eq!(good["result"], json!({"doubled": 40}));
        let bad = task_in(&client, "bad", "compensated").await;
        assert_eq!(bad["terminal_reason"], "the command ended with status 3");
        // Nothing is left to do: it waits for work, and ends at once.
        worker.is_told_to_stop();
        until("it ends", || worker.0.try_wait().is_ok_and(|ended| ended.is_some())).await;
        assert!(worker.0.wait().expect("it has ended").success());
    });
}

#[test]
fn the_worker_of_the_page_obeys_a_cancel_and_gives_back_what_it_has_no_time_for() {
    let served = Served::on(Arc::new(MemoryStore::default()));
    let client = served.client();
    block_on(async {
        let policy = json!({"lease_ttl": "2s", "max_attempts": 3});
        created(&client, json!({"id": "unwanted", "queue": "agents", "policy": policy.clone()})).await;
        let mut worker = Example::running(&served, "sleep 600");
        task_in(&client, "unwanted", "running").await;
        let cancel = json!({"as": "alice", "reason": "not needed any more"});
        client.post("/v1/default/tasks/unwanted/cancel", cancel).await.done(200);
        let unwanted = task_in(&client, "unwanted", "compensated").await;
        assert_eq!(unwanted["cause"], "cancelled");

        created(&client, json!({"id": "long", "queue": "agents", "policy": policy})).await;
        task_in(&client, "long", "running").await;
        worker.is_told_to_stop();
        // The second signal leaves the command no time.
        until("it has heard of the first one", || {
            worker.is_told_to_stop();
            worker.0.try_wait().is_ok_and(|ended| ended.is_some())
        })
        .await;
        let long = task_in(&client, "long", "planned").await;
        assert_eq!(
            (&long["epoch"], &long["lease"]),
            (&json!(1), &Value::Null),
            "it was held, and given back"
        );
    });
}
