//! The search through the history, the same on every store and over HTTP: its order, its pages, its filters and its bounds. And that of
//! a task by its saga id.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tenure::clock::ManualClock;
use tenure::core::event::EventKind;
use tenure::core::id::{Actor, Namespace, SagaId, TaskId};
use tenure::store::{
    Cursor, EventFilter, EventSearch, Filter, FoundHistory, Order, PageSize, Recorded, Store,
};
use tenure::{Error, Ledger};
use tenure_testkit::served::Served;
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on, memory, postgres, sqlite};

const MINUTE: Duration = Duration::from_secs(60);
const EVERYTHING: PageSize = PageSize { items: 1_000, bytes: usize::MAX };
/// What happens in the namespace, and elsewhere in the same store.
const HERE: usize = 12 + 4 + 12;
const ELSEWHERE: usize = 12;

/// A store with a past, and where it is searched.
struct Past {
    store: Arc<dyn Store>,
    searched: Arc<dyn Store>,
}

fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Past) -> F) {
    block_on(async {
        let on = async |store: Arc<dyn Store>, searched: Arc<dyn Store>, clock: ManualClock, place: &str| {
            lived(&Ledger::with_store(Arc::clone(&store)), &clock).await.expect(place);
            let past = Past { store, searched };
            until_asked("everything is shown", async || past.all().await.len() == HERE + ELSEWHERE).await;
            story(past).await.expect(place);
        };
        let new = || ManualClock::at(BEGINNING);
        let clock = new();
        let store = memory(&clock);
        on(Arc::clone(&store), store, clock, "in memory").await;
        let clock = new();
        let (_folder, store) = sqlite(&clock).await;
        on(Arc::clone(&store), store, clock, "on SQLite").await;
        let clock = new();
        let store = memory(&clock);
        let served = Served::on(Arc::clone(&store));
        let far = Arc::clone(Ledger::open(&served.url).await.expect("a server").store());
        on(store, far, clock, "over HTTP").await;
        let Some(server) = required(Server::shared()) else { return };
        let clock = new();
        let store = postgres(server, &clock).await;
        on(Arc::clone(&store), store, clock, "on PostgreSQL").await;
    });
}

/// Tasks of two people, some of them taken, each with a note, and in between tasks of another namespace; ten minutes apart.
async fn lived(ledger: &Ledger, clock: &ManualClock) -> Result<(), Error> {
    let elsewhere = ledger.in_namespace("elsewhere")?;
    for number in 0..12 {
        let id = format!("t-{number:02}");
        let who = ledger.acting_as(if number % 2 == 0 { "alice" } else { "bob" })?;
        who.create(&id).await?;
        elsewhere.create(&id).await?;
        if number % 3 == 0 {
            ledger.acquire(&id, "w1").ttl(MINUTE).await?;
        }
        who.annotate(&id, "seen").await?;
        clock.advance(10 * MINUTE);
    }
    Ok(())
}

fn default_namespace() -> Namespace {
    Namespace::new("default").expect("a name")
}

fn everything() -> EventSearch {
    EventSearch::in_namespace(default_namespace())
}

impl Past {
    /// The whole history of the store, the oldest first.
    async fn all(&self) -> Vec<Recorded> {
        self.store.events(EventFilter::default(), None, EVERYTHING).await.expect("a history").items
    }

    /// That of the namespace.
    async fn here(&self) -> Vec<Recorded> {
        let mut all = self.all().await;
        all.retain(|recorded| recorded.event.namespace == default_namespace());
        all
    }

    /// All pages of a search, one after the other.
    async fn pages(&self, search: &EventSearch, size: PageSize) -> Result<Vec<FoundHistory>, Error> {
        let (mut pages, mut after) = (Vec::new(), None::<Cursor>);
        loop {
            let found = self.searched.search_events(search.clone(), after, size).await?;
            after = found.page.next.clone();
            pages.push(found);
            assert!(pages.len() <= 200, "it has an end");
            if after.is_none() {
                return Ok(pages);
            }
        }
    }
}

/// The places of what was found, in its order.
fn places<'a>(found: impl IntoIterator<Item = &'a Recorded>) -> Vec<String> {
    found.into_iter().map(|recorded| recorded.cursor.as_str().to_owned()).collect()
}

#[test]
fn a_search_passes_every_event_once_in_both_orders_whatever_the_pages() {
    on_every_store(|past| async move {
        let forwards = past.here().await;
        let backwards: Vec<_> = forwards.iter().rev().collect();
        for size in [PageSize { items: 7, ..EVERYTHING }, PageSize { items: 1_000, bytes: 1 }, EVERYTHING] {
            for (order, expected) in
                [(Order::Newest, places(backwards.clone())), (Order::Oldest, places(&forwards))]
            {
                let pages = past.pages(&everything().with(|search| search.order = order), size).await?;
                let found: Vec<_> = pages.iter().flat_map(|found| &found.page.items).collect();
                assert_eq!(places(found), expected, "{order:?} {size:?}");
                assert!(pages.iter().all(|found| found.looked_to.is_none()), "no bound was met");
            }
        }
        let first =
            past.searched.search_events(everything(), None, PageSize { items: HERE, ..EVERYTHING }).await?;
        assert_eq!(first.page.next, None, "a page that is just full is known to be the last");
        assert_eq!(first.page.items.first(), forwards.last(), "whole events");
        Ok(())
    });
}

#[test]
fn filters_let_through_what_they_say_and_exclude_the_rest() {
    on_every_store(|past| async move {
        let here = past.here().await;
        for (words, search, count) in filters(&here) {
            for order in Order::ALL {
                let search = search.clone().with(|search| search.order = order);
                let mut expected: Vec<_> =
                    here.iter().filter(|recorded| is_wanted(&search, recorded)).collect();
                if order == Order::Newest {
                    expected.reverse();
                }
                assert_eq!(expected.len(), count, "{words}: it excludes something, or all");
                let found = past.pages(&search, PageSize { items: 3, ..EVERYTHING }).await?;
                let found: Vec<_> = found.iter().flat_map(|found| &found.page.items).collect();
                assert_eq!(places(found), places(expected), "{words}, {order:?}");
            }
        }
        Ok(())
    });
}

/// Filters of each kind, and how many events pass. Two or three events share a time, and ten minutes are between those of two tasks.
fn filters(here: &[Recorded]) -> Vec<(&'static str, EventSearch, usize)> {
    let [acquired, annotated] = ["acquired", "annotated"].map(|word| EventKind::named(word).expect("a type"));
    let actor = |name: &str| Some(Actor::new(name.to_owned()).expect("a name"));
    let task = |id: &str| Some(TaskId::new(id.to_owned()).expect("a name"));
    // The times of the fourth task and of the ninth.
    let time = |id: &str| here.iter().find(|it| it.event.subject.as_str() == id).map(|it| it.event.at);
    let (fourth, ninth) = (time("t-03"), time("t-08"));
    let with = |change: &dyn Fn(&mut EventSearch)| everything().with(change);
    vec![
        ("one type", with(&|it| it.kinds = vec![acquired]), 4),
        ("two types", with(&|it| it.kinds = vec![annotated, acquired]), 16),
        ("an actor", with(&|it| it.actor = actor("alice")), 12),
        ("an owner", with(&|it| it.actor = actor("w1")), 4),
        ("nobody", with(&|it| it.actor = actor("nobody")), 0),
        ("a task", with(&|it| it.task = task("t-03")), 3),
        ("no task", with(&|it| it.task = task("t-99")), 0),
        ("since", with(&|it| it.since = ninth), 9),
        ("until", with(&|it| it.until = fourth), 7),
        ("between", with(&|it| (it.since, it.until) = (fourth, ninth)), 12),
        ("never", with(&|it| (it.since, it.until) = (ninth, fourth)), 0),
        ("a task in time", with(&|it| (it.task, it.since) = (task("t-03"), fourth)), 3),
        ("a task before", with(&|it| (it.task, it.until) = (task("t-03"), fourth)), 0),
        (
            "all of it",
            with(&|it| {
                (it.kinds, it.actor) = (vec![annotated], actor("bob"));
                (it.since, it.until) = (fourth, ninth);
            }),
            3,
        ),
    ]
}

/// What a filter says, in the words of this test.
fn is_wanted(search: &EventSearch, Recorded { event, .. }: &Recorded) -> bool {
    let kinds: BTreeSet<&str> = search.kinds.iter().map(|kind| kind.as_str()).collect();
    let has_kind = kinds.is_empty() || kinds.contains(event.what.kind());
    let has_actor = search.actor.as_ref().is_none_or(|actor| *actor == event.actor);
    let is_of_task = search.task.as_ref().is_none_or(|task| event.subject == *task);
    let is_late_enough = search.since.is_none_or(|since| since <= event.at);
    let is_early_enough = search.until.is_none_or(|until| event.at < until);
    has_kind && has_actor && is_of_task && is_late_enough && is_early_enough
}

#[test]
fn a_search_looks_at_no_more_than_it_may_and_says_how_far_it_came() {
    on_every_store(|past| async move {
        let all = past.all().await;
        let search = everything().with(|search| {
            search.actor = Actor::new("nobody").ok();
            search.looks = 7;
        });
        let pages = past.pages(&search, EVERYTHING).await?;
        let times: Vec<_> =
            all.iter().rev().skip(6).step_by(7).map(|recorded| Some(recorded.event.at)).collect();
        let looked: Vec<_> = pages.iter().map(|found| found.looked_to).collect();
        assert_eq!(looked, [times, vec![None]].concat(), "seven by seven, those of other namespaces, too");
        assert!(pages.iter().all(|found| found.page.items.is_empty()));
        // What is behind the bound is found by going on.
        let first = everything().with(|search| {
            search.kinds = vec![EventKind::named("created").expect("a type")];
            search.until = Some(all[12].event.at);
            search.looks = 1;
        });
        let found: usize =
            past.pages(&first, EVERYTHING).await?.iter().map(|found| found.page.items.len()).sum();
        let expected = past.here().await.iter().filter(|recorded| is_wanted(&first, recorded)).count();
        assert_eq!((found, expected > 0), (expected, true));
        // A task's own events are looked at, and no others.
        let own = everything().with(|search| {
            search.task = TaskId::new("t-00").ok();
            search.looks = 3;
        });
        let found = past.searched.search_events(own, None, EVERYTHING).await?;
        assert_eq!(found.page.items.len(), 3, "they are all, though many others came later");
        Ok(())
    });
}

#[test]
fn what_a_search_can_not_be_is_refused_by_its_name() {
    on_every_store(|past| async move {
        let field = async |search: EventSearch, after: Option<&str>| {
            let after = after.map(Cursor::from_text);
            let answer = past.searched.search_events(search, after, EVERYTHING).await;
            answer.expect_err("it is refused").refusal().and_then(|refusal| refusal.field)
        };
        assert_eq!(field(everything().with(|search| search.looks = 0), None).await, Some("looks"));
        let too_many = EventSearch::LOOKS_MAX + 1;
        assert_eq!(field(everything().with(|search| search.looks = too_many), None).await, Some("looks"));
        let kinds = EventKind::ALL.repeat(2);
        assert_eq!(field(everything().with(|search| search.kinds = kinds), None).await, Some("type"));
        assert_eq!(field(everything(), Some("t5")).await, Some("cursor"));
        Ok(())
    });
}

#[test]
fn a_task_is_found_by_its_saga_id_whether_that_is_its_own_id_or_not() {
    on_every_store(async |past| {
        let ledger = Ledger::with_store(Arc::clone(&past.searched));
        ledger.create("with-a-saga").saga_id("saga-1").await?;
        ledger.in_namespace("elsewhere")?.create("other").saga_id("saga-1").await?;
        let found = async |namespace: Option<&str>, saga: &str| {
            let filter = Filter::default().with(|filter| {
                filter.namespace = namespace.map(|name| Namespace::new(name).expect("a name"));
                filter.saga_id = Some(SagaId::new(saga).expect("an id"));
            });
            let page = past.searched.tasks(filter, None, EVERYTHING).await.expect("a page");
            page.items.into_iter().map(|task| task.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("default"), "saga-1").await, ["with-a-saga"]);
        assert_eq!(found(Some("elsewhere"), "saga-1").await, ["other"]);
        assert_eq!(found(Some("default"), "t-03").await, ["t-03"]);
        assert!(found(Some("default"), "with-a-saga").await.is_empty(), "its saga has another id");
        assert_eq!(found(None, "saga-1").await.len(), 2);
        Ok(())
    });
}
