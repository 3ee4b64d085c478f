//! Request ids: how long they are remembered, and that those of an older version still are.

use std::time::Duration;

use tenure::clock::ManualClock;
use tenure::core::command::Holder;
use tenure::core::id::{Epoch, Owner};
use tenure::core::refusal::Code;
use tenure::{Error, Ledger};
use tenure_testkit::{BEGINNING, block_on, on_local_stores, sqlite};

#[test]
fn a_request_id_is_forgotten_after_seven_days() {
    block_on(on_local_stores(|ledger, clock| async move {
        ledger.create("t").request_id("r").await?;
        clock.advance(Duration::from_secs(7 * 86_400 - 1));
        assert_eq!(ledger.create("t").request_id("r").await?.id.as_str(), "t", "answered as the first was");
        clock.advance(Duration::from_secs(1));
        let refused = ledger.create("t").request_id("r").await.expect_err("it is a new command now");
        assert_eq!(refused.code(), Some(Code::Exists));
        Ok(())
    }));
}

/// The digests are those that the last version with the first form wrote for the same commands.
#[test]
fn a_request_that_an_older_version_remembered_is_answered_again() {
    let clock = ManualClock::at(BEGINNING);
    let (folder, store) = block_on(sqlite(&clock));
    let ledger = Ledger::with_store(store);
    let by = Holder { owner: Owner::new("w1").expect("a name"), epoch: Epoch(1) };
    let all = async || {
        let before = ledger.register_standing("p", "stop-vm", "vm-7").acting_as("alice").request_id("before");
        let before = before.await?;
        let acquired = ledger.acquire("p", "w1").request_id("acquire").await?;
        let registered = ledger.register("p", &by, "close-pr", "pr/12").reason("made");
        Ok::<_, Error>([before, acquired, registered.request_id("register").await?])
    };
    block_on(async { ledger.create("p").await }).expect("created");
    let first = block_on(all()).expect("done");
    let rows = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
    for (id, digest) in [
        ("before", "08ce0023794ffdd68acbff35f39eb644ee65e485ad48c7afe5113456fd7b5d79"),
        ("acquire", "1e86c91b81c1affe797a73fd682a44604a9dc9ade92385c9db032dfe4977a6d3"),
        ("register", "5cc8dd362fa016e532dc6818ae0cdb6009210cf6466b4819b5f57fdaff662a4b"),
    ] {
        let changed = rows.execute("update requests set digest = unhex(?) where id = ?", [digest, id]);
        assert_eq!(changed, Ok(1), "{id} is remembered");
    }
    assert_eq!(block_on(all()).expect("answered again"), first);
    let other = block_on(async { ledger.acquire("p", "w2").request_id("acquire").await });
    assert_eq!(other.expect_err("another command").code(), Some(Code::RequestReused));
}
