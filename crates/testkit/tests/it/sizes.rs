//! Large tasks and histories, on every store: pages and transactions end early, and nothing is lost by that.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure::api::list::TaskAnswer;
use tenure::api::to_json as json;
use tenure::clock::ManualClock;
use tenure::core::command::{Command, Holder};
use tenure::core::id::{Epoch, Owner};
use tenure::core::refusal::Code;
use tenure::ledger::{Call, Creation, JsonText};
use tenure::store::answering::{AnswerForm, AnswerOptions, Answered, CLAIM_BYTES_MAX, MinimalAnswer};
use tenure::store::size::{chain_bytes, event_bytes, task_bytes};
use tenure::store::{Answer, Cursor, EventFilter, Filter, PageSize, Store};
use tenure::{Error, Ledger};
use tenure_testkit::server::{Server, required};
use tenure_testkit::{BEGINNING, block_on, memory, postgres, sqlite};

const MIB: usize = 1024 * 1024;

fn on_every_store<F: Future<Output = ()>>(story: impl Fn(Ledger, Arc<dyn Store>) -> F) {
    block_on(async {
        let on = async |store: Arc<dyn Store>| story(Ledger::with_store(Arc::clone(&store)), store).await;
        on(memory(&ManualClock::at(BEGINNING))).await;
        let (_folder, store) = sqlite(&ManualClock::at(BEGINNING)).await;
        on(store).await;
        let Some(server) = required(Server::shared()) else { return };
        on(postgres(server, &ManualClock::at(BEGINNING)).await).await;
    });
}

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

fn holder(owner: &str) -> Holder {
    Holder { owner: Owner::new(owner).expect("a name"), epoch: Epoch(1) }
}

fn only(bytes_max: usize) -> AnswerOptions {
    AnswerOptions::default().with(|options| {
        options.form = AnswerForm::Whole;
        options.bytes_max = bytes_max;
    })
}

/// A task that owes many things with long targets.
async fn owing(ledger: &Ledger, id: &str, count: usize) {
    let with = |call: Call<Creation>, number: usize| {
        call.undo("clean", &format!("{number}{}", "t".repeat(4_000))).undo_reason(&"r".repeat(4_000))
    };
    (0..count).fold(ledger.create(id), with).await.expect("made");
    ledger.acquire(id, "w").await.expect("taken");
}

#[test]
fn a_page_of_large_things_ends_at_the_source_and_goes_on_without_a_gap() {
    on_every_store(|ledger, store| async move {
        for number in 0..30 {
            ledger.create(&format!("t{number}")).payload(JsonText(&text(200_000))).await.expect("made");
        }
        owing(&ledger, "owes", 200).await;
        let size = PageSize { items: 1_000, bytes: MIB };
        let (mut tasks, mut after) = (Vec::new(), None::<Cursor>);
        loop {
            let page = store.tasks(Filter::default(), after, size).await.expect("a page");
            let bytes: usize = page.items.iter().map(task_bytes).sum();
            assert!(bytes <= MIB || page.items.len() == 1, "{bytes} in {}", page.items.len());
            assert_eq!(page.is_cut, page.next.is_some(), "it is cut where more is there");
            tasks.extend(page.items.iter().map(|task| task.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((tasks.len(), BTreeSet::from_iter(&tasks).len()), (31, 31), "each once");

        let (mut count, mut after) = (0, None);
        loop {
            let page = store.events(EventFilter::default(), after, size).await.expect("a page");
            let bytes: usize = page.items.iter().map(event_bytes).sum();
            assert!(bytes <= MIB || page.items.len() == 1, "{bytes} in {}", page.items.len());
            count += page.items.len();
            after = page.next;
            if page.items.is_empty() {
                break;
            }
        }
        assert_eq!(count, 30 + 2, "each event once");

        let (mut count, mut after) = (0, None);
        loop {
            let page = store.chains(after, size).await.expect("a page");
            let bytes: usize = page.items.iter().map(chain_bytes).sum();
            // Its task is the state that its events make, and counted beside them.
            assert!(bytes <= 2 * MIB || page.items.len() == 1, "{bytes} in {}", page.items.len());
            count += page.items.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(count, 31, "each chain once");
        assert!(ledger.verify(None).await.expect("a look").holds());
    });
}

#[test]
fn what_has_no_room_in_the_answer_is_not_done_and_says_how_much_it_takes() {
    on_every_store(|ledger, store| async move {
        ledger.create("t").payload(JsonText(&text(100_000))).await.expect("made");
        let note = || ledger.annotate("t", "seen").command().expect("a command");
        let Answered { answers, rest, next_bytes } =
            store.transact_within(vec![note(), note(), note()], only(250_000)).await;
        assert_eq!((answers.len(), rest.len()), (2, 1));
        let needed = next_bytes.expect("it is told");
        assert!((100_000..110_000).contains(&needed), "{needed}");
        assert_eq!(ledger.task("t").await.expect("there").revision.0, 3, "the third left nothing");
        // Nothing fits where nothing may.
        let none = store.transact_within(rest, only(0)).await;
        assert_eq!((none.answers.len(), none.rest.len(), none.next_bytes), (0, 1, Some(needed)));
        // With as much as it takes it is done.
        let one = store.transact_within(none.rest, only(needed)).await;
        assert!(matches!(one.answers.as_slice(), [Ok(Answer::Task(task))] if task.revision.0 == 4));
        // A refusal takes no room: nothing is left because of one.
        let refused = ledger.annotate("none", "seen").command().expect("a command");
        let answered = store.transact_within(vec![refused], only(0)).await;
        assert!(
            matches!(answered.answers.as_slice(), [Err(Error::Refused(no))] if no.code == Code::NotFound)
        );
    });
}

#[test]
fn the_minimal_form_of_an_answer_takes_little_room_whatever_the_task() {
    on_every_store(|ledger, store| async move {
        owing(&ledger, "t", 100).await;
        let adopt = || ledger.adopt("t", &holder("w")).command().expect("a command");
        let options = AnswerOptions::default().with(|options| {
            options.form = AnswerForm::GrantsWhole;
            options.bytes_max = 64 * 1024;
        });
        let answered = store.transact_within((0..32).map(|_| adopt()).collect(), options).await;
        assert_eq!((answered.answers.len(), answered.rest.len()), (32, 0));
        for answer in answered.answers {
            let Ok(Answer::Minimal(MinimalAnswer::Task(task))) = answer else { panic!("{answer:?}") };
            assert_eq!((task.owed, task.newest_seq.map(|seq| seq.0)), (100, Some(100)));
        }
        let options = options.with(|options| options.form = AnswerForm::Whole);
        let answered = store.transact_within(vec![adopt()], options).await;
        assert!(answered.answers.is_empty() && answered.next_bytes.is_some_and(|bytes| bytes > 800_000));
    });
}

#[test]
fn a_claim_grants_what_one_answer_holds_and_is_repeated_as_it_was() {
    on_every_store(|ledger, store| async move {
        let create = |number: usize| {
            let call = ledger.create(&format!("t{number}")).payload(JsonText(&text(250_000)));
            call.command().expect("a command")
        };
        for answer in ledger.transact((0..70).map(create).collect()).await {
            answer.expect("made");
        }
        let claim = ledger.claim("default", "w").limit(100).request_id("once").command().expect("a claim");
        let answered = store.transact_within(vec![claim.clone()], only(MIB)).await;
        assert!(answered.answers.is_empty(), "nothing was granted that there is no room for");
        let needed = answered.next_bytes.expect("it is told");
        assert!(needed <= CLAIM_BYTES_MAX, "{needed}");
        let granted = |answered: Answered| match answered.answers.into_iter().next() {
            Some(Ok(Answer::Claimed(tasks))) => tasks,
            other => panic!("{other:?}"),
        };
        let first = granted(store.transact_within(answered.rest, only(needed)).await);
        assert!((60..70).contains(&first.len()), "{}", first.len());
        assert_eq!(first.iter().map(task_bytes).sum::<usize>(), needed);
        let again = store.transact_within(vec![claim.clone()], only(MIB)).await;
        assert_eq!(again.next_bytes, Some(needed), "a repeat takes as much");
        assert_eq!(granted(store.transact_within(again.rest, only(needed)).await), first);
        let rest = ledger.claim("default", "w").limit(100).await.expect("the others were due still");
        assert_eq!(rest.len(), 70 - first.len());
    });
}

#[test]
fn commands_on_large_tasks_share_no_commit_that_lasts_too_long_but_all_are_done() {
    on_every_store(|ledger, store| async move {
        owing(&ledger, "t", 1_000).await;
        let adopt = || ledger.adopt("t", &holder("w")).command().expect("a command");
        let commands: Vec<Command> = (0..12).map(|_| adopt()).collect();
        let answered = store.transact_within(commands, AnswerOptions::default()).await;
        assert!((1..12).contains(&answered.answers.len()), "{}", answered.answers.len());
        assert_eq!(answered.next_bytes, None, "there was room for the answers, and not in the transaction");
        assert_eq!(answered.answers.len() + answered.rest.len(), 12);
        // Who gives them to the ledger hears nothing of it.
        let answers = ledger.transact(answered.rest).await;
        assert!(answers.iter().all(Result::is_ok));
    });
}

#[test]
fn a_filter_with_more_labels_than_a_task_may_have_is_refused() {
    on_every_store(|ledger, _| async move {
        let label = |number: usize| {
            let key = tenure::core::id::LabelKey::new(format!("k{number}")).expect("a key");
            (key, tenure::core::id::LabelValue::new("v").expect("a value"))
        };
        let filter =
            |count: usize| Filter::default().with(|filter| filter.labels = (0..count).map(label).collect());
        ledger.tasks(filter(32), None, 10).await.expect("as many as a task has");
        for count in [33, 1_001] {
            let Err(Error::Refused(refusal)) = ledger.tasks(filter(count), None, 10).await else {
                panic!("{count} labels are refused")
            };
            assert_eq!((refusal.code, refusal.field), (Code::Invalid, Some("label")));
        }
    });
}

#[test]
fn what_is_counted_of_a_task_is_never_less_than_what_is_written_of_it() {
    on_every_store(|ledger, store| async move {
        // Each of these characters is six in JSON.
        let hostile = "\u{1}".repeat(4_000);
        let long = "n".repeat(200);
        ledger.create(&long).saga_id(&"s".repeat(200)).queue(&"q".repeat(200)).await.expect("made");
        ledger.acquire(&long, &"w".repeat(200)).await.expect("taken");
        let by = holder(&"w".repeat(200));
        ledger.register(&long, &by, "k", &hostile).reason(&hostile).await.expect("registered");
        ledger.settle(&long, &by, 1, &hostile).await.expect("settled");
        ledger.cancel(&long, &hostile).await.expect("told");
        ledger.complete(&long, &by).result(JsonText(&text(1_000))).await.expect("done");
        ledger.annotate(&long, &hostile).await.expect("noted");
        ledger.create("small").await.expect("made");
        let now = ledger.now().await.expect("the time");
        for task in ledger.tasks(Filter::default(), None, 10).await.expect("a list").items {
            let (counted, written) = (task_bytes(&task), json(&TaskAnswer::at(&task, now)).len());
            assert!(written <= counted, "{written} of {counted}");
            assert!(counted < written + 4_096, "and not much more: {written} of {counted}");
        }
        let events = store.events(EventFilter::default(), None, 100.into()).await.expect("a history");
        for recorded in events.items {
            let written = json(&tenure::api::event::Event::from(&recorded)).len();
            assert!(written <= event_bytes(&recorded), "{written} of {}", event_bytes(&recorded));
        }
    });
}
