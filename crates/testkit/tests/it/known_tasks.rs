//! What a node knows of tasks that it wrote itself, while others write them too, on PostgreSQL.

use std::time::Duration;

use serde_json::json;
use tenure::Ledger;
use tenure::core::refusal::Code;
use tenure_testkit::block_on;
use tenure_testkit::competing::CompetingConnection;
use tenure_testkit::server::{Server, required};

/// Two nodes on one schema. The first one knows a task `a`, which it has made and leased to `w`.
struct Nodes {
    one: Ledger,
    other: Ledger,
    rival: CompetingConnection,
    holder: tenure::core::command::Holder,
}

impl Nodes {
    async fn on(server: &Server) -> Nodes {
        let schema = server.fresh_schema();
        let one = Ledger::open(&server.url(&schema)).await.expect("opens");
        let other = Ledger::open(&server.url(&schema)).await.expect("opens");
        let rival = CompetingConnection::superuser(server, &schema).await;
        one.create("a").await.expect("created");
        let task = one.acquire("a", "w").ttl(Duration::from_secs(60)).await.expect("acquired");
        let holder = task.lease().expect("a lease").holder();
        Nodes { one, other, rival, holder }
    }
}

fn play<F: Future<Output = ()>>(scene: impl FnOnce(Nodes) -> F) {
    let Some(server) = required(Server::shared()) else { return };
    block_on(async { scene(Nodes::on(server).await).await });
}

#[test]
fn a_holder_is_told_of_a_cancel_that_came_to_another_node() {
    play(|nodes| async move {
        nodes.one.heartbeat("a", &nodes.holder).await.expect("renewed");
        nodes.other.cancel("a", "no longer needed").await.expect("asked");
        let renewed = nodes.one.heartbeat("a", &nodes.holder).await.expect("renewed");
        assert!(renewed.cancel_asked, "{renewed:?}");
    });
}

#[test]
fn a_heartbeat_is_decided_on_the_lease_as_another_node_has_renewed_it() {
    play(|nodes| async move {
        let longer = Duration::from_secs(600);
        nodes.other.heartbeat("a", &nodes.holder).ttl(longer).await.expect("renewed");
        let shorter = Duration::from_secs(90);
        let refused = nodes.one.heartbeat("a", &nodes.holder).ttl(shorter).await.expect_err("it ends later");
        assert_eq!(refused.code(), Some(Code::NotExtending));
    });
}

#[test]
fn a_refusal_says_what_is_stored_and_not_what_was_known() {
    play(|nodes| async move {
        nodes.other.complete("a", &nodes.holder).await.expect("completed");
        let refused = nodes.one.acquire("a", "w2").await.expect_err("it has ended");
        assert_eq!(refused.code(), Some(Code::Terminal), "the first node knew it as leased");
        let refused = nodes.one.heartbeat("a", &nodes.holder).await.expect_err("it has ended");
        assert_eq!(refused.code(), Some(Code::Terminal));
    });
}

#[test]
fn a_change_by_hand_is_seen_by_the_node_that_knows_the_task() {
    play(|nodes| async move {
        nodes.rival.does("update tenure.tasks set priority = 7 where id = 'a'").await;
        let task = nodes.one.complete("a", &nodes.holder).await.expect("completed");
        assert_eq!(task.priority, 7);
    });
}

#[test]
fn a_task_that_another_node_took_over_is_lost_to_its_first_holder() {
    play(|nodes| async move {
        nodes.other.release("a", &nodes.holder, "moving").await.expect("released");
        let task = nodes.other.acquire("a", "w2").await.expect("acquired");
        let refused = nodes.one.heartbeat("a", &nodes.holder).await.expect_err("it is not theirs");
        assert_eq!(refused.code(), Some(Code::StaleEpoch));
        let refused = nodes.one.complete("a", &nodes.holder).await.expect_err("it is not theirs");
        assert_eq!(refused.code(), Some(Code::StaleEpoch));
        let second = task.lease().expect("a lease").holder();
        nodes.one.complete("a", &second).await.expect("completed");
    });
}

#[test]
fn commands_of_one_batch_see_what_those_before_them_did_to_a_known_task() {
    play(|nodes| async move {
        let commands = vec![
            nodes.one.release("a", &nodes.holder, "moving").command().expect("a command"),
            nodes.one.acquire("a", "w2").command().expect("a command"),
            nodes.one.heartbeat("a", &nodes.holder).command().expect("a command"),
        ];
        let answers = nodes.one.transact(commands).await;
        assert!(answers[0].is_ok() && answers[1].is_ok(), "{answers:?}");
        let refused = answers[2].as_ref().expect_err("it is not theirs any more");
        assert_eq!(refused.code(), Some(Code::StaleEpoch));
        let task = nodes.other.task("a").await.expect("the task");
        assert_eq!(task.lease().expect("a lease").owner.as_str(), "w2");
    });
}

#[test]
fn a_checkpoint_that_came_to_another_node_is_not_replaced_by_the_known_one() {
    play(|nodes| async move {
        nodes.other.heartbeat("a", &nodes.holder).checkpoint(json!({"step": 2})).await.expect("renewed");
        // The claim makes the batch lock the lease, whose row is then known anew.
        let longer = Duration::from_secs(600);
        let commands = vec![
            nodes.one.heartbeat("a", &nodes.holder).ttl(longer).command().expect("a command"),
            nodes.one.claim("empty", "w").command().expect("a command"),
        ];
        assert!(nodes.one.transact(commands).await.iter().all(Result::is_ok));
        nodes.one.release("a", &nodes.holder, "moving").await.expect("released");
        let task = nodes.one.acquire("a", "w2").await.expect("acquired");
        assert_eq!(task.checkpoint.expect("a checkpoint").as_str(), r#"{"step":2}"#);
        assert!(nodes.other.verify(None).await.expect("verified").holds());
    });
}

/// Tasks whose columns for indexes are not what follows from the rest.
const ASTRAY: &str = "select count(*) from tenure.tasks \
    where claim_from is distinct from (case when state = 'planned' then coalesce(not_before, created_at) end) \
    or ended_badly is distinct from (case when state in ('failed', 'compensated', 'quarantined') then state end)";

#[test]
fn what_indexes_look_at_is_written_without_the_guards_too() {
    play(|nodes| async move {
        // As in a release, whose own transactions the guards let pass.
        nodes.rival.does("alter table tenure.tasks disable trigger tasks_are_guarded").await;
        nodes.rival.does("alter table tenure.events disable trigger events_continue_a_history").await;
        let (one, q) = (&nodes.one, "q");
        for id in ["b", "c", "d", "e"] {
            one.create(id).queue(q).await.expect("created");
        }
        let claimed = one.claim(q, "w").await.expect("claimed");
        assert_eq!(claimed[0].id.as_str(), "b");
        let by = claimed[0].lease().expect("a lease").holder();
        one.release("b", &by, "later").delay(Duration::from_secs(3_600)).await.expect("released");
        let claimed = one.claim(q, "w").await.expect("claimed");
        assert_eq!(claimed[0].id.as_str(), "c", "the other one is not due");
        let by = claimed[0].lease().expect("a lease").holder();
        one.fail("c", &by, "no use").remains("rm", "x").await.expect("failed");
        one.mark_quarantined("d", "odd").await.expect("parked");
        one.complete("a", &nodes.holder).await.expect("completed");
        let claimed = one.claim(q, "w").await.expect("claimed");
        assert_eq!(claimed[0].id.as_str(), "e");
        assert_eq!(nodes.rival.counts(ASTRAY).await, 0);
        assert_eq!(
            nodes.rival.counts("select count(*) from tenure.tasks where ended_badly is not null").await,
            2
        );
        assert!(one.verify(None).await.expect("verified").holds());
    });
}
