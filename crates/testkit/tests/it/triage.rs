//! What an operator of a fleet must see: tasks that did not succeed, holders that were told to stop and did not, and
//! which recovery processes run. On every store, the remote one too.

use std::sync::Arc;
use std::time::Duration;

use tenure::clock::ManualClock;
use tenure::core::id::{Kind, TaskId};
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::refusal::Code;
use tenure::core::task::{Cause, State, Terminal};
use tenure::core::time::Span;
use tenure::store::ends::EndCount;
use tenure::store::watch::Presence;
use tenure::store::{Filter, Order};
use tenure::{Error, Ledger};
use tenure_testkit::served::Served;
use tenure_testkit::server::{Server, required};
use tenure_testkit::{BEGINNING, block_on, memory, on_local_stores};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Ledger, ManualClock) -> F) {
    block_on(async {
        on_local_stores(&story).await;
        let clock = ManualClock::at(BEGINNING);
        let served = Served::on(memory(&clock));
        story(Ledger::open(&served.url).await.expect("opens"), clock).await.expect("behind a server");
        let Some(server) = required(Server::shared()) else { return };
        let clock = ManualClock::at(BEGINNING);
        let opener = Ledger::builder().clock(Arc::new(clock.clone()));
        let ledger = opener.open(&server.url(&server.fresh_schema())).await.expect("opens");
        story(ledger, clock).await.expect("on PostgreSQL");
    });
}

/// A job that is rolled back.
async fn fails(ledger: &Ledger, id: &str, queue: &str, policy: Policy) -> Result<(), Error> {
    ledger.create(id).queue(queue).policy(policy).await?;
    let by = ledger.acquire(id, "w1").await?.lease().expect("a lease").holder();
    ledger.roll_back(id, &by, "exit status 1").await?;
    Ok(())
}

/// How many ended so: in the last hour, in the last day, in all.
async fn counted(
    ledger: &Ledger,
    queue: &str,
    state: Terminal,
    cause: Cause,
) -> Result<(u64, u64, u64), Error> {
    let is = |end: &&EndCount| end.queue.as_str() == queue && end.state == state && end.cause == cause;
    let ends = ledger.overview().await?.ends;
    Ok(ends.iter().find(is).map_or((0, 0, 0), |end| (end.last_hour, end.last_day, end.all)))
}

async fn names(ledger: &Ledger, filter: Filter) -> Result<String, Error> {
    let page = ledger.tasks(filter, None, 100).await?;
    Ok(page.items.iter().map(|task| task.id.to_string()).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_holder_that_is_told_to_stop_in_the_instant_of_its_acquire_has_a_history_that_holds() {
    on_every_store(|ledger, _clock| async move {
        ledger.create("t").await?;
        let by = ledger.acquire("t", "w1").ttl(MINUTE).await?.lease().expect("a lease").holder();
        ledger.cancel("t", "not wanted").await?;
        // It extends, so it is recorded in the lease alone, and its answer tells of the cancel.
        assert!(ledger.heartbeat("t", &by).ttl(2 * MINUTE).await?.cancel_asked);
        assert!(ledger.verify(None).await?.holds());
        Ok(())
    });
}

#[test]
fn queues_show_what_waits_and_what_is_in_flight() {
    on_every_store(|ledger, clock| async move {
        let now = ledger.now().await?;
        ledger.create("due").queue("a").await?;
        ledger.create("later").queue("a").not_before(now + Span::from_secs(3_600)).await?;
        ledger.create("held").queue("a").await?;
        ledger.acquire("held", "w1").await?;
        // It waits for its start limit, which is not in flight.
        ledger
            .create("limited")
            .queue("b")
            .policy(Policy::default().with(|it| it.start_within = Some(Span::from_days(1))))
            .await?;
        ledger.create("reserved").queue("c").await?;
        ledger.dispatch("reserved", "w1").await?;
        ledger.create("undone").queue("c").await?;
        let by = ledger.acquire("undone", "w1").await?.lease().expect("a lease").holder();
        ledger.register("undone", &by, "k", "x").await?;
        ledger.roll_back("undone", &by, "given up").await?;
        ledger.create("ended").queue("d").await?;
        ledger.mark_completed("ended", "by hand").await?;
        clock.advance(MINUTE);
        let queues = ledger.overview().await?.queues;
        let shown: Vec<_> = queues
            .iter()
            .map(|one| {
                (
                    one.queue.as_str(),
                    one.planned,
                    one.later,
                    one.in_flight,
                    one.due_since.map(|since| since < now + Span::from_secs(1)),
                )
            })
            .collect();
        assert_eq!(shown, [("a", 2, 1, 1, Some(true)), ("b", 1, 0, 0, Some(true)), ("c", 0, 0, 2, None)]);
        assert_eq!(ledger.in_namespace("elsewhere")?.overview().await?.queues, []);
        Ok(())
    });
}

#[test]
fn minutes_of_the_last_hour_show_how_many_ended_well_and_badly() {
    on_every_store(|ledger, clock| async move {
        fails(&ledger, "bad-1", "a", Policy::default()).await?;
        fails(&ledger, "bad-2", "b", Policy::default()).await?;
        ledger.create("good").await?;
        ledger.mark_completed("good", "by hand").await?;
        clock.advance(MINUTE * 2);
        ledger.create("unwanted").await?;
        ledger.cancel("unwanted", "not wanted").await?;
        let minutes = ledger.overview().await?.minutes;
        let shown: Vec<_> =
            minutes.iter().map(|one| (one.completed, one.cancelled, one.ended_badly)).collect();
        assert_eq!(shown, [(1, 0, 2), (0, 1, 0)]);
        assert_eq!(minutes[1].at.since(minutes[0].at), Span::from_secs(120));
        assert_eq!(minutes[0].at.as_micros() % 60_000_000, 0, "it is the beginning of a minute");
        clock.advance(HOUR);
        let minutes = ledger.overview().await?.minutes;
        assert_eq!(minutes.len(), 1, "the last hour begins at the start of a minute");
        Ok(())
    });
}

#[test]
fn jobs_that_failed_are_counted_by_queue_and_cause_though_nothing_is_owed() {
    on_every_store(|ledger, clock| async move {
        let parked =
            Policy::default().with(|it| it.when_spent = tenure::core::policy::WhenSpent::Quarantined);
        fails(&ledger, "nightly-1", "nightly", Policy::default()).await?;
        fails(&ledger, "nightly-2", "nightly", Policy::default()).await?;
        fails(&ledger, "other", "default", parked).await?;
        ledger.create("good").await?;
        ledger.mark_completed("good", "by hand").await?;
        ledger.create("unwanted").await?;
        ledger.cancel("unwanted", "not wanted").await?;
        let undone = (Terminal::Compensated, Cause::RolledBack);
        assert_eq!(counted(&ledger, "nightly", undone.0, undone.1).await?, (2, 2, 2));
        assert_eq!(
            counted(&ledger, "default", Terminal::Quarantined, Cause::AttemptsSpent).await?,
            (1, 1, 1)
        );
        assert_eq!(counted(&ledger, "default", Terminal::Completed, Cause::ByOperator).await?, (1, 1, 1));
        let bad = |overview: tenure::store::overview::Overview| {
            overview.ends.iter().filter(|end| end.is_bad()).map(|end| end.last_day).sum::<u64>()
        };
        assert_eq!(bad(ledger.overview().await?), 3, "a cancel is wanted, and a completion is good");
        clock.advance(HOUR + MINUTE);
        fails(&ledger, "nightly-3", "nightly", Policy::default()).await?;
        assert_eq!(counted(&ledger, "nightly", undone.0, undone.1).await?, (1, 3, 3));
        clock.advance(HOUR * 24 + MINUTE);
        assert_eq!(counted(&ledger, "nightly", undone.0, undone.1).await?, (0, 0, 3));
        fails(&ledger, "nightly-4", "nightly", Policy::default()).await?;
        assert_eq!(counted(&ledger, "nightly", undone.0, undone.1).await?, (1, 1, 4));
        let elsewhere = ledger.in_namespace("elsewhere")?;
        assert_eq!(elsewhere.overview().await?.ends, [], "each namespace counts its own");
        Ok(())
    });
}

#[test]
fn ends_of_many_commands_at_once_are_all_counted() {
    on_every_store(|ledger, _| async move {
        let commands: Result<Vec<_>, _> =
            (0..50).map(|at| ledger.create(&format!("t{at}")).queue(["a", "b"][at % 2]).command()).collect();
        ledger.transact(commands?).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let commands: Result<Vec<_>, _> =
            (0..50).map(|at| ledger.mark_quarantined(&format!("t{at}"), "odd").command()).collect();
        ledger.transact(commands?).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        for queue in ["a", "b"] {
            let counts = counted(&ledger, queue, Terminal::Quarantined, Cause::ByOperator).await?;
            assert_eq!(counts, (25, 25, 25));
        }
        Ok(())
    });
}

#[test]
fn a_record_from_elsewhere_counts_when_it_ended_and_not_when_it_came() {
    on_every_store(|ledger, _| async move {
        let mut record = tenure::core::command::Put::new(tenure::core::id::TaskId::new("old")?);
        record.state = State::Quarantined;
        record.terminal_reason = Some(tenure::core::id::Reason::new("odd")?);
        record.created_at = Some(BEGINNING - Span::from_days(9));
        record.finished_at = Some(BEGINNING - Span::from_days(8));
        ledger.put(record).await?;
        let counts = counted(&ledger, "default", Terminal::Quarantined, Cause::ByOperator).await?;
        assert_eq!(counts, (0, 0, 1));
        Ok(())
    });
}

#[test]
fn what_ended_badly_is_listed_until_somebody_has_seen_to_it() {
    on_every_store(|ledger, clock| async move {
        fails(&ledger, "undone", "q", Policy::default()).await?;
        ledger.create("parked").await?;
        ledger.mark_quarantined("parked", "odd").await?;
        ledger.create("unwanted").await?;
        ledger.cancel("unwanted", "not wanted").await?;
        ledger.create("good").await?;
        ledger.mark_completed("good", "by hand").await?;
        clock.advance(HOUR * 30);
        fails(&ledger, "late", "q", Policy::default()).await?;
        ledger.create("waiting").await?;
        let bad = || Filter::default().with(|filter| filter.ended_badly = true);
        let since = Some(ledger.now().await? - Span::from_days(1));
        assert_eq!(names(&ledger, bad()).await?, "late parked undone");
        assert_eq!(
            names(&ledger, bad().with(|filter| filter.order = Order::Oldest)).await?,
            "undone parked late"
        );
        assert_eq!(names(&ledger, bad().with(|filter| filter.since = since)).await?, "late");
        assert_eq!(names(&ledger, Filter::default().with(|filter| filter.open = true)).await?, "waiting");
        assert_eq!(
            names(&ledger, Filter::default().with(|filter| filter.since = since)).await?,
            "waiting late"
        );

        let dismissed = ledger.dismiss("undone", "the disk was full").acting_as("alice").await?;
        let dismissal = dismissed.ending().and_then(|ending| ending.dismissed.clone()).expect("it is");
        assert_eq!((dismissal.by.as_str(), dismissal.note.as_str()), ("alice", "the disk was full"));
        ledger.retry("parked", "again").id("again").await?;
        assert_eq!(names(&ledger, bad().with(|filter| filter.unattended = true)).await?, "late");
        assert_eq!(names(&ledger, bad()).await?, "late parked undone", "they are still to be found");
        let count = |state| {
            let ledger = ledger.clone();
            async move {
                let states = ledger.overview().await?.states;
                Ok::<_, Error>(states.iter().find(|one| one.state == state).expect("counted").count)
            }
        };
        assert_eq!(count(State::Quarantined).await?, 0);
        let refused = ledger.dismiss("good", "seen").await.expect_err("nobody has to look at it");
        assert_eq!(refused.code(), Some(Code::WrongState));
        let notes = ledger.notes("undone").await?;
        assert_eq!((notes.len(), notes[0].words.as_str()), (1, "the disk was full"));
        Ok(())
    });
}

#[test]
fn tasks_are_found_by_how_their_ids_begin() {
    on_every_store(|ledger, _| async move {
        for id in ["build-1", "build-10", "build-2", "BUILD-1", "build", "build.z", "bui", "c"] {
            ledger.create(id).await?;
        }
        ledger.in_namespace("elsewhere")?.create("build-9").await?;
        ledger.cancel("build-2", "not wanted").await?;
        let begins = |text: &str| {
            let prefix = TaskId::new(text).ok();
            Filter::default().with(|filter| filter.id_prefix = prefix)
        };
        for (text, found) in [
            ("build-1", "build-10 build-1"),
            ("build", "build.z build build-2 build-10 build-1"),
            ("B", "BUILD-1"),
            ("build-3", ""),
            ("z", ""),
        ] {
            assert_eq!(names(&ledger, begins(text)).await?, found, "{text}");
        }
        let open = begins("build-").with(|filter| filter.open = true);
        assert_eq!(names(&ledger, open).await?, "build-10 build-1");
        let by_state = begins("build-").with(|filter| filter.states = vec![State::Planned]);
        assert_eq!(names(&ledger, by_state).await?, "build-10 build-1");
        assert_eq!(names(&ledger, begins("build").with(|filter| filter.stale = true)).await?, "");
        // In pages as well.
        let first = ledger.tasks(begins("build-"), None, 2).await?;
        let rest = ledger.tasks(begins("build-"), first.next, 2).await?;
        assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
        let everywhere = ledger.store().tasks(begins("build-9"), None, 10.into()).await?;
        assert_eq!(everywhere.items.len(), 1, "of all namespaces");
        Ok(())
    });
}

#[test]
fn a_list_from_the_oldest_on_is_paged_without_a_gap() {
    on_every_store(|ledger, _| async move {
        for at in 0..25 {
            ledger.create(&format!("t{at:02}")).await?;
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let filter = Filter::default().with(|filter| filter.order = Order::Oldest);
            let page = ledger.tasks(filter, after, 10).await?;
            seen.extend(page.items.iter().map(|task| task.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..25).map(|at| format!("t{at:02}")).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn a_holder_that_does_not_stop_is_counted_and_why_says_how_often_it_was_told() {
    on_every_store(|ledger, clock| async move {
        let graced = Policy::default().with(|policy| policy.cancel_grace = Some(Span::from_secs(90)));
        ledger.create("t").policy(graced).await?;
        let by = ledger.acquire("t", "w1").await?.lease().expect("a lease").holder();
        assert_eq!(ledger.overview().await?.told_to_stop.count, 0);
        ledger.cancel("t", "not wanted").acting_as("alice").await?;
        assert_eq!(ledger.overview().await?.told_to_stop.count, 0, "it has not heard of it yet");
        for _ in 0..3 {
            clock.advance(Duration::from_secs(20));
            assert!(ledger.heartbeat("t", &by).await?.cancel_asked);
        }
        let told = ledger.overview().await?.told_to_stop;
        assert_eq!((told.count, told.since), (1, Some(BEGINNING + Span::from_secs(20))));
        let why = ledger.why("t").await?.sentence;
        assert!(why.contains("was told 3 times since") && why.contains("alice asked it to stop"), "{why}");
        assert!(why.contains("its lease is renewed for the last time by"), "{why}");
        clock.advance(Duration::from_secs(19));
        let refused = ledger.heartbeat("t", &by).await.expect_err("the grace is nearly over");
        assert_eq!(refused.code(), Some(Code::Cancelled));
        clock.advance(Duration::from_secs(31));
        assert_eq!(
            ledger.overview().await?.told_to_stop.count,
            0,
            "a lease that is over is stale, and told as such"
        );
        let task = ledger.reclaim("t", "rec").await?;
        assert_eq!(
            (task.state(), task.ending().map(|end| end.cause)),
            (State::Compensated, Some(Cause::Cancelled))
        );
        Ok(())
    });
}

#[test]
fn who_looks_after_a_store_is_known_with_what_it_handles() {
    on_every_store(|ledger, clock| async move {
        ledger.create("t").undo("close-pr", "12").await?;
        ledger.acquire("t", "w1").await?;
        clock.advance(MINUTE);
        let why = |ledger: Ledger| async move { Ok::<_, Error>(ledger.why("t").await?.sentence) };
        let alone = why(ledger.clone()).await?;
        assert!(alone.contains("no recovery is running for this store"), "{alone}");
        let handles = |name: &str, kinds: &[&str]| Presence {
            name: tenure::core::id::Owner::new(name).ok(),
            namespaces: Vec::new(),
            kinds: kinds.iter().map(|kind| Kind::new(*kind).expect("a kind")).collect(),
        };
        let store = ledger.store();
        store.watch(handles("recovery/a", &["remove-worktree"])).await?;
        let unhandled = why(ledger.clone()).await?;
        assert!(unhandled.contains("no running recovery has a handler for close-pr"), "{unhandled}");
        store.watch(handles("recovery/b", &["close-pr"])).await?;
        let handled = why(ledger.clone()).await?;
        assert!(
            handled.contains("recovery undoes 1 compensation") && !handled.contains("; but "),
            "{handled}"
        );
        let watchers = ledger.overview().await?.recovery;
        let named: Vec<&str> = watchers.recoverers.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(named, ["recovery/a", "recovery/b"]);
        assert!(watchers.are_there(clock.now()));

        clock.advance(MINUTE);
        let watchers = ledger.watchers().await?;
        assert!(!watchers.are_there(clock.now()) && watchers.recoverers.is_empty());
        assert_eq!(watchers.seen_at, Some(BEGINNING + Span::from_secs(60)));
        let away = why(ledger.clone()).await?;
        assert!(away.contains("no recovery has run for this store since"), "{away}");
        Ok(())
    });
}

#[test]
fn who_looks_after_one_namespace_says_nothing_of_the_others() {
    on_every_store(|ledger, clock| async move {
        ledger.create("t").await?;
        let elsewhere = ledger.in_namespace("elsewhere")?;
        let presence = Presence {
            name: tenure::core::id::Owner::new("recovery/a").ok(),
            namespaces: vec![elsewhere.namespace().clone()],
            kinds: Vec::new(),
        };
        ledger.store().watch(presence).await?;
        assert!(elsewhere.watchers().await?.are_there(clock.now()));
        assert_eq!(ledger.watchers().await?.seen_at, None);
        ledger.store().watch(Presence::default()).await?;
        assert!(ledger.watchers().await?.are_there(clock.now()), "who looks after all looks after each");
        Ok(())
    });
}

#[test]
fn a_lapse_that_a_bound_brought_is_told_apart() {
    on_every_store(|ledger, clock| async move {
        let stalls = Policy::default().with(|policy| policy.stall_after = Some(Span::from_secs(30)));
        let limited = Policy::default().with(|policy| policy.time_limit = Some(Span::from_secs(30)));
        let held = stalls.with(|policy| policy.on_lapse = OnLapse::Hold);
        for (id, policy) in
            [("stalled", stalls), ("late", limited), ("silent", Policy::default()), ("held", held)]
        {
            ledger.create(id).policy(policy).await?;
            ledger.acquire(id, "w1").await?;
        }
        clock.advance(MINUTE);
        let why = ledger.why("stalled").await?.sentence;
        assert!(why.contains("it stalled, with no progress since"), "{why}");
        for (id, cause) in
            [("stalled", Cause::Stalled), ("late", Cause::OutOfTime), ("silent", Cause::Lapsed)]
        {
            let task = ledger.reclaim(id, "rec").await?;
            assert_eq!(task.ending().map(|end| end.cause), Some(cause), "{id}");
            assert_eq!(counted(&ledger, "default", Terminal::Compensated, cause).await?.2, 1, "{id}");
            let events = ledger.history(id, None, 10).await?.items;
            let lapse = events.iter().find(|one| one.event.what.kind() == "lapsed").expect("it lapsed");
            let word = if cause == Cause::Lapsed { None } else { Some(cause.as_str()) };
            let told = word.is_none_or(|word| lapse.data.contains(&format!(r#""cause":"{word}""#)));
            assert!(told && lapse.data.contains(r#""cause""#) == word.is_some(), "{id}: {}", lapse.data);
        }
        ledger.acquire("held", "w2").await?;
        let taken = ledger.history("held", None, 10).await?.items.pop().expect("an event");
        assert!(taken.data.contains(r#""cause":"stalled""#), "{}", taken.data);
        assert!(ledger.verify(None).await?.holds());
        Ok(())
    });
}
