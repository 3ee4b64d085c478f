//! Features of the ledger beyond the rules of a task: lists, pages, followers, batches, invalid input.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::clock::ManualClock;
use tenure::core::command::Action;
use tenure::core::id::Document;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::refusal::Code;
use tenure::core::task::State;
use tenure::core::time::Time;
use tenure::store::sqlite::{SqliteOptions, SqliteStore};
use tenure::store::{Cursor, Filter, Lapsed};
use tenure::{Error, Ledger};
use tenure_testkit::waiting::{soon, until_asked};
use tenure_testkit::{BEGINNING, block_on, on_local_stores, sqlite};

const MINUTE: Duration = Duration::from_secs(60);

fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Ledger, ManualClock) -> F) {
    block_on(on_local_stores(story));
}

#[test]
fn a_list_is_paged_newest_first_without_a_gap_while_tasks_come() {
    on_every_store(|ledger, _| async move {
        for at in 0..25 {
            ledger.create(&format!("t{at:02}")).await?;
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.tasks(Filter::default(), after, 10).await?;
            seen.extend(page.items.iter().map(|task| task.id.to_string()));
            ledger.create(&format!("late-{}", seen.len())).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<String> = (0..25).rev().map(|at| format!("t{at:02}")).collect();
        assert_eq!(seen, expected);
        Ok(())
    });
}

#[test]
fn filters_let_through_what_they_say_and_nothing_of_other_namespaces() {
    on_every_store(|ledger, clock| async move {
        let elsewhere = ledger.in_namespace("elsewhere")?;
        elsewhere.create("t1").queue("a").await?;
        elsewhere.acquire("t1", "w1").await?;
        ledger.create("t1").queue("a").label("issue", "168").label("it", "x").await?;
        ledger.create("t2").queue("b").label("issue", "169").await?;
        ledger.create("t3").queue("a").label("a.b", "1").await?;
        ledger.acquire("t1", "w1").await?;
        ledger.dispatch("t2", "w1").await?;
        ledger.mark_quarantined("t3", "odd").await?;
        let names = |filter: Filter| {
            let ledger = ledger.clone();
            async move {
                let page = ledger.tasks(filter, None, 10).await?;
                Ok::<_, Error>(
                    page.items.iter().map(|task| task.id.to_string()).collect::<Vec<_>>().join(" "),
                )
            }
        };
        let none = Filter::default;
        let label = |key: &str, value: &str| {
            Ok::<_, Error>((tenure::core::id::LabelKey::new(key)?, tenure::core::id::LabelValue::new(value)?))
        };
        let queue = Some(tenure::core::id::Queue::new("a")?);
        let queued = none().with(|filter| filter.queue = queue);
        assert_eq!(names(none()).await?, "t3 t2 t1");
        assert_eq!(
            names(none().with(|filter| filter.states = vec![State::Running, State::Dispatched])).await?,
            "t2 t1"
        );
        assert_eq!(names(none().with(|filter| filter.states = vec![State::Quarantined])).await?, "t3");
        let by_operator = Some(tenure::core::task::Cause::ByOperator);
        assert_eq!(names(none().with(|filter| filter.cause = by_operator)).await?, "t3");
        assert_eq!(names(queued).await?, "t3 t1");
        let owner = Some(tenure::core::id::Owner::new("w1")?);
        let (issue, dotted) = (vec![label("issue", "168")?], vec![label("a.b", "1")?]);
        let both = vec![label("issue", "168")?, label("issue", "169")?];
        assert_eq!(names(none().with(|filter| filter.owner = owner.clone())).await?, "t2 t1");
        assert_eq!(
            names(none().with(|filter| {
                filter.owner = owner;
                filter.states = vec![State::Running];
            }))
            .await?,
            "t1"
        );
        assert_eq!(names(none().with(|filter| filter.labels = issue)).await?, "t1");
        assert_eq!(names(none().with(|filter| filter.labels = dotted)).await?, "t3");
        assert_eq!(names(none().with(|filter| filter.labels = both)).await?, "");
        clock.advance(MINUTE);
        assert_eq!(names(none().with(|filter| filter.stale = true)).await?, "t2 t1");
        assert_eq!(
            names(none().with(|filter| {
                filter.stale = true;
                filter.states = vec![State::Running];
            }))
            .await?,
            "t1"
        );
        Ok(())
    });
}

#[test]
fn any_limit_and_no_foreign_cursor_is_taken() {
    on_every_store(|ledger, clock| async move {
        for at in 0..3 {
            ledger.create(&format!("t{at}")).await?;
            ledger.acquire(&format!("t{at}"), "w").await?;
        }
        clock.advance(MINUTE);
        for (limit, count) in [(0, 1), (1, 1), (2, 2), (usize::MAX, 3)] {
            assert_eq!(ledger.tasks(Filter::default(), None, limit).await?.items.len(), count);
            assert_eq!(ledger.lapsed(None, limit).await?.tasks.len(), count);
        }
        assert_eq!(ledger.events(None, usize::MAX).await?.items.len(), 6);
        assert_eq!(ledger.events(None, 0).await?.items.len(), 1, "and the history goes on behind that one");
        for text in ["", "x", "t", "e-", "t99999999999999999999", "d1", "'; drop table tasks"] {
            let cursor = || Some(Cursor::from_text(text));
            let refused = [
                ledger.tasks(Filter::default(), cursor(), 10).await.map(|_| ()),
                ledger.events(cursor(), 10).await.map(|_| ()),
                ledger.lapsed(cursor(), 10).await.map(|_| ()),
            ];
            for answer in refused {
                let refusal = answer.expect_err(text);
                assert_eq!(
                    (refusal.code(), refusal.refusal().and_then(|one| one.field)),
                    (Some(Code::Invalid), Some("cursor"))
                );
            }
        }
        Ok(())
    });
}

#[test]
fn a_sweep_that_moves_what_it_is_told_of_leaves_nothing_out() {
    on_every_store(|ledger, clock| async move {
        let patient = Policy::default().with(|policy| policy.on_lapse = OnLapse::Hold);
        for at in 0..25 {
            ledger.create(&format!("t{at}")).await?;
            ledger.acquire(&format!("t{at}"), "w").await?;
        }
        ledger.create("held").policy(patient).await?;
        ledger.acquire("held", "w").await?;
        clock.advance(MINUTE);
        let (mut reclaimed, mut after) = (BTreeSet::new(), None);
        loop {
            let Lapsed { tasks, next, next_check } = ledger.lapsed(after, 10).await?;
            assert_eq!(next_check, None, "nothing else waits");
            for (_, id) in tasks {
                ledger.reclaim(id.as_str(), "recovery").await?;
                reclaimed.insert(id.to_string());
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(reclaimed.len(), 25);
        assert!(!reclaimed.contains("held"));
        Ok(())
    });
}

#[test]
fn a_sweep_is_told_when_to_look_again() {
    on_every_store(|ledger, clock| async move {
        assert_eq!(ledger.lapsed(None, 10).await?.next_check, None);
        ledger.create("t").await?;
        let by = ledger.acquire("t", "w").await?.lease().expect("a lease").holder();
        clock.advance(Duration::from_secs(50));
        ledger.heartbeat("t", &by).await?;
        ledger.create("u").await?;
        ledger.acquire("u", "w").ttl(Duration::from_secs(15)).await?;
        let check = |seconds: u64| Some(BEGINNING + tenure::core::time::Span::from_secs(seconds));
        let hint = ledger.lapsed(None, 10).await?.next_check;
        assert!(hint <= check(65) && hint > check(50), "not after the first end: {hint:?}");
        clock.advance(Duration::from_secs(12));
        let hint = ledger.lapsed(None, 10).await?.next_check;
        assert_eq!(hint, check(65), "the check of `t` is past and its end is not");
        Ok(())
    });
}

#[test]
fn a_follower_sees_each_event_once_and_in_order_also_those_of_another_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tasks.db").display());
    block_on(async {
        let (here, there) = (Ledger::open(&url).await?, Ledger::open(&url).await?);
        let mut follower = here.follow(None);
        let writer = |ledger: Ledger, name: &'static str| {
            tokio::spawn(async move {
                for at in 0..100 {
                    ledger.create(&format!("{name}{at}")).await.expect("created");
                }
            })
        };
        let writers = [writer(here.clone(), "a"), writer(there, "b")];
        let mut seen = Vec::new();
        while seen.len() < 200 {
            seen.push(soon("the next event", follower.next()).await?);
        }
        for writer in writers {
            writer.await.expect("a writer");
        }
        let all = here.events(None, 1_000).await?.items;
        assert_eq!(seen, all);
        let again: Vec<_> = here.follow(Some(seen[149].cursor.clone())).take(50).await?;
        assert_eq!(again, all[150..]);
        Ok::<_, Error>(())
    })
    .expect("followed");
}

/// Takes some events of a follower.
trait Take {
    async fn take(self, count: usize) -> Result<Vec<tenure::store::Recorded>, Error>;
}

impl Take for tenure::ledger::Follower {
    async fn take(mut self, count: usize) -> Result<Vec<tenure::store::Recorded>, Error> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await?);
        }
        Ok(taken)
    }
}

#[test]
fn commands_of_a_batch_are_decided_in_order_and_a_refusal_touches_no_other() {
    on_every_store(|ledger, _| async move {
        let commands = vec![
            ledger.create("t").command()?,
            ledger.acquire("t", "w1").command()?,
            ledger.acquire("t", "w2").command()?,
            ledger.create("t").command()?,
            ledger.cancel("t", "stop").command()?,
            ledger.create("u").command()?,
        ];
        let answers = ledger.transact(commands).await;
        let codes: Vec<Option<Code>> =
            answers.iter().map(|answer| answer.as_ref().err().and_then(Error::code)).collect();
        assert_eq!(codes, [None, None, Some(Code::Leased), Some(Code::Exists), None, None]);
        let events = ledger.events(None, 10).await?.items;
        let instants: BTreeSet<Time> = events.iter().map(|recorded| recorded.event.at).collect();
        assert_eq!(instants.len(), events.len(), "each command has an instant of its own");
        assert!(ledger.transact(Vec::new()).await.is_empty());
        Ok(())
    });
}

#[test]
fn commands_that_were_made_by_hand_are_looked_at_like_any_other() {
    on_every_store(|ledger, _| async move {
        let mut spaced = ledger.create("t").payload(json!(1)).command()?;
        let mut broken = ledger.create("u").command()?;
        if let (Action::Create(spaced), Action::Create(broken)) = (&mut spaced.action, &mut broken.action) {
            spaced.payload = Document::new(r#" { "b" : 1, "a" : 2 } "#)?;
            broken.payload = Document::new("not JSON")?;
        }
        let answers = ledger.transact(vec![broken, spaced]).await;
        let refusal = answers[0].as_ref().expect_err("it is no JSON").refusal().cloned().expect("refused");
        assert_eq!((refusal.code, refusal.field), (Code::Invalid, Some("payload")));
        assert!(answers[1].is_ok());
        assert_eq!(ledger.task("t").await?.payload.as_str(), r#"{"a":2,"b":1}"#);
        assert!(ledger.verify(None).await?.holds());
        Ok(())
    });
}

#[test]
fn every_undo_may_say_why_it_was_registered() {
    on_every_store(|ledger, _| async move {
        let task = ledger.create("t").undo("remove", "/tmp/x").undo_reason("made for every attempt").await?;
        let why = |task: &tenure::core::task::Task| {
            let last = task.compensations.last().and_then(|one| one.undo.reason.as_ref());
            last.map(ToString::to_string)
        };
        assert_eq!(why(&task).as_deref(), Some("made for every attempt"));
        let by = ledger.acquire("t", "w").await?.lease().expect("a lease").holder();
        let task = ledger.register("t", &by, "close-pr", "12").reason("opened by this run").await?;
        assert_eq!(why(&task).as_deref(), Some("opened by this run"));
        let task =
            ledger.fail("t", &by, "no").remains_because("call", "alice", "she knows the password").await?;
        assert_eq!(why(&task).as_deref(), Some("she knows the password"));
        let unnamed = ledger.create("u").undo_reason("of nothing").await.expect_err("no undo was named");
        assert_eq!(unnamed.refusal().and_then(|one| one.field), Some("compensations.reason"));
        Ok(())
    });
}

#[test]
fn claims_reach_past_many_priorities_that_are_not_due() {
    on_every_store(|ledger, clock| async move {
        let later = clock.now() + tenure::core::time::Span::from_secs(3_600);
        for priority in 0..100 {
            ledger
                .create(&format!("later-{priority}"))
                .queue("q")
                .priority(priority + 10)
                .not_before(later)
                .await?;
        }
        for priority in [1, 3, 2] {
            ledger.create(&format!("now-{priority}")).queue("q").priority(priority).await?;
        }
        let claimed = ledger.claim("q", "w").limit(10).await?;
        let names: Vec<&str> = claimed.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(names, ["now-3", "now-2", "now-1"]);
        Ok(())
    });
}

#[test]
fn a_store_is_asked_for_by_its_url_and_a_wrong_one_says_what_to_give() {
    for url in [
        "",
        "tasks.db",
        "sqlite:",
        "mysql://x",
        "memory:x",
        "sqlite:t.db?synchronous=off",
        "sqlite:t.db?mode=ro",
    ] {
        let error = block_on(Ledger::open(url)).err().expect(url);
        let refusal = error.refusal().cloned().expect("a refusal");
        assert_eq!((refusal.code, refusal.field), (Code::Invalid, Some("store")), "{url}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["plain.db", "with space.db", ":memory:", "file:odd.db"] {
        let path = folder.path().join(name);
        let ledger = block_on(Ledger::open(&format!("sqlite:{}", path.display()))).expect(name);
        block_on(async { ledger.create("t").await }).expect(name);
        assert!(path.exists(), "{name}");
    }
}

#[test]
fn two_names_of_one_file_are_one_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, link) = (folder.path().join("tasks.db"), folder.path().join("link.db"));
    let open = |path: &std::path::Path| {
        block_on(Ledger::open(&format!("sqlite:{}", path.display()))).expect("opens")
    };
    let ledger = open(&path);
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let other = open(&link);
    block_on(async {
        ledger.create("t").await.expect("created");
        other.acquire("t", "w").await.expect("acquired");
    });
    assert!(!folder.path().join("link.db-turn").exists(), "they stand in one line");
}

#[test]
fn the_time_goes_on_after_a_reboot_with_a_clock_that_is_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let open = |clock: Arc<dyn tenure::clock::Clock>| {
        let options = SqliteOptions::new(&path).with(|options| options.clock = clock);
        Ledger::with_store(Arc::new(block_on(SqliteStore::open(options)).expect("opens")))
    };
    let ahead = open(Arc::new(Machine::booted("before", 1_000_000, 50)));
    block_on(async { ahead.create("t").await }).expect("created");
    let before = block_on(ahead.now()).expect("the time");
    drop(ahead);
    // The wall is far behind, and the machine was booted anew.
    let machine = Machine::booted("after", 10, 5);
    let ledger = open(Arc::new(machine.clone()));
    block_on(async { ledger.acquire("t", "w").await }).expect("acquired");
    assert!(block_on(ledger.now()).expect("the time") >= before, "it does not go back");
    machine.passes(61);
    let stale = block_on(ledger.stale(None, 10)).expect("a list").items;
    assert_eq!(stale.len(), 1, "and it does not stand still");
}

#[test]
fn a_raised_epoch_floor_lifts_every_later_grant_above_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let ledger = block_on(Ledger::open(&format!("sqlite:{}", path.display()))).expect("opens");
    let floor = 1_u64 << 32;
    let sql = format!("insert into meta (key, value) values ('epoch_floor', '{floor}')");
    rusqlite::Connection::open(&path).and_then(|file| file.execute_batch(&sql)).expect("as a restore does");
    block_on(async {
        ledger.create("t").undo("undo", "x").await?;
        let late = ledger.acquire("t", "w").await?;
        assert_eq!(late.epoch.0, floor + 1);
        let by = late.lease().expect("a lease").holder();
        ledger.release("t", &by, "later").await?;
        assert_eq!(ledger.reclaim("t", "recovery").await?.epoch.0, floor + 2);
        Ok::<_, Error>(())
    })
    .expect("granted");
}

#[test]
fn a_heartbeat_moves_the_check_only_when_its_time_has_come() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        let ledger = Ledger::with_store(store);
        let due = || {
            let file = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
            let seconds = |micros: i64| (micros - BEGINNING.as_micros()) / 1_000_000;
            file.query_row("select check_at, expires_at from due", [], |row| {
                Ok((seconds(row.get(0)?), seconds(row.get(1)?)))
            })
            .expect("a row")
        };
        ledger.create("t").await?;
        let by = ledger.acquire("t", "w").await?.lease().expect("a lease").holder();
        assert_eq!(due(), (60, 60));
        for (now, expected) in [(20, (60, 80)), (40, (60, 100)), (61, (121, 121)), (80, (121, 140))] {
            clock.set(BEGINNING + tenure::core::time::Span::from_secs(now));
            ledger.heartbeat("t", &by).await?;
            assert_eq!(due(), expected, "after {now} s");
        }
        Ok::<_, Error>(())
    })
    .expect("renewed");
}

#[test]
fn requests_of_long_ago_make_room_for_those_that_come() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (folder, store) = sqlite(&clock).await;
        let ledger = Ledger::with_store(store);
        let kept = || {
            let file = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
            file.query_row("select count(*) from requests", [], |row| row.get(0)).expect("a number")
        };
        for nth in 0..5 {
            ledger.create(&format!("old-{nth}")).request_id(&format!("old-{nth}")).await?;
        }
        clock.advance(Duration::from_secs(7 * 86_400));
        // Each that comes lets two go, so however many there were, some day they are gone.
        for (nth, expected) in [4, 3, 3, 4].into_iter().enumerate() {
            ledger.create(&format!("new-{nth}")).request_id(&format!("new-{nth}")).await?;
            let kept: i64 = kept();
            assert_eq!(kept, expected, "after {} new ones", nth + 1);
        }
        Ok::<_, Error>(())
    })
    .expect("created");
}

/// A machine whose wall clock and uptime are told.
#[derive(Clone)]
struct Machine {
    boot: Arc<str>,
    seconds: Arc<std::sync::atomic::AtomicU64>,
    wall: u64,
}

impl Machine {
    fn booted(boot: &str, wall: u64, up: u64) -> Machine {
        Machine { boot: Arc::from(boot), seconds: Arc::new(up.into()), wall }
    }

    fn passes(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }
}

impl tenure::clock::Clock for Machine {
    fn read(&self) -> tenure::clock::Reading {
        let up = self.seconds.load(std::sync::atomic::Ordering::SeqCst);
        let span = tenure::core::time::Span::from_secs;
        tenure::clock::Reading {
            wall: Time::from_micros(0) + span(self.wall + up),
            boot: Some((Arc::clone(&self.boot), span(up))),
        }
    }
}

/// How many commands were decided.
async fn decided(ledger: &Ledger) -> u64 {
    ledger.store().metrics().await.expect("a store that is there tells").batch.sum()
}

/// Waits until that number was decided: a claim that is one of them has looked in vain then, and waits.
async fn until_decided(ledger: &Ledger, count: u64) {
    until_asked("that it waits", async || decided(ledger).await >= count).await;
}

#[test]
fn a_claim_that_waits_is_answered_when_work_comes() {
    on_every_store(|ledger, _| async move {
        let before = decided(&ledger).await;
        let waiting = ledger.claim("q", "w").limit(2).wait_up_to(MINUTE);
        let coming = async {
            ledger.create("elsewhere").await?;
            until_decided(&ledger, before + 2).await;
            ledger.create("t").queue("q").await
        };
        let (claimed, created) = tokio::join!(waiting, coming);
        created?;
        let ids: Vec<String> = claimed?.iter().map(|task| task.id.to_string()).collect();
        assert_eq!(ids, ["t"]);
        let in_vain = ledger.claim("q", "w").wait_up_to(Duration::from_millis(50)).await?;
        assert!(in_vain.is_empty());
        Ok(())
    });
}

#[test]
fn a_claim_that_waits_is_answered_when_time_makes_something_due() {
    on_every_store(|ledger, clock| async move {
        let later = ledger.now().await? + tenure::core::time::Span::from_secs(30);
        ledger.create("later").queue("q").not_before(later).await?;
        ledger.create("reserved").queue("q").await?;
        ledger.dispatch("reserved", "other").ttl(MINUTE).await?;
        let before = decided(&ledger).await;
        let waiting = ledger.claim("q", "w").wait_up_to(MINUTE);
        let passing = async {
            until_decided(&ledger, before + 1).await;
            clock.advance(Duration::from_secs(31));
        };
        let (claimed, ()) = tokio::join!(waiting, passing);
        assert_eq!(claimed?[0].id.as_str(), "later");
        clock.advance(MINUTE);
        let claimed = ledger.claim("q", "w").wait_up_to(MINUTE).await?;
        assert_eq!(claimed[0].id.as_str(), "reserved");
        Ok(())
    });
}

#[test]
fn a_repeat_of_a_claim_that_found_nothing_finds_nothing() {
    on_every_store(|ledger, _| async move {
        let claim = || ledger.claim("q", "w").request_id("r").wait_up_to(Duration::ZERO);
        assert!(claim().await?.is_empty());
        ledger.create("t").queue("q").await?;
        assert!(claim().await?.is_empty(), "it is answered as the first was");
        Ok(())
    });
}

#[test]
fn a_repeat_of_a_claim_that_waited_is_answered_at_once_with_the_same_tasks() {
    on_every_store(|ledger, _| async move {
        let claim = || ledger.claim("q", "w").request_id("r").wait_up_to(MINUTE);
        let before = decided(&ledger).await;
        let coming = async {
            until_decided(&ledger, before + 1).await;
            ledger.create("t").queue("q").await
        };
        let (first, created) = tokio::join!(claim(), coming);
        created?;
        let first = first?;
        assert_eq!(first[0].id.as_str(), "t");
        let at_once = ledger.claim("q", "w").request_id("r").wait_up_to(Duration::from_millis(1)).await?;
        assert_eq!(at_once, first, "though nothing is due any more");
        let not_at_all = ledger.claim("q", "w").request_id("r").wait_up_to(Duration::ZERO).await?;
        assert_eq!(not_at_all, first, "and though it does not wait");
        ledger.create("u").queue("q").await?;
        assert_eq!(claim().await?, first);
        assert_eq!(ledger.task("u").await?.state(), State::Planned);
        let other = ledger.claim("q", "w2").request_id("r").wait_up_to(MINUTE).await;
        assert_eq!(other.expect_err("another command").code(), Some(Code::RequestReused));
        let long = ledger.claim("q", "w").request_id(&"r".repeat(200)).wait_up_to(MINUTE).await;
        assert_eq!(long.expect_err("no room for a number").code(), Some(Code::Invalid));
        Ok(())
    });
}
