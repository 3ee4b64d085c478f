//! What is offered, what each says that it will do, and which commands it becomes.

use std::time::Duration;

use tenure::core::command::{Action, OperatorAction};
use tenure::{Error, Ledger};

use super::*;

fn block_on(story: impl Future<Output = Result<(), Error>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(story).expect("done");
}

/// A task of `w1` that owes two compensations.
async fn owing(ledger: &Ledger, id: &str) -> Result<Task, Error> {
    ledger.create(id).label("issue", "168").await?;
    let by = ledger.acquire(id, "w1").ttl(Duration::from_secs(600)).await?.lease().expect("a lease").holder();
    ledger.register(id, &by, "close-pr", "12").await?;
    ledger.register(id, &by, "reset-db", "test").await?;
    ledger.task(id).await
}

async fn seen(ledger: &Ledger) -> Result<(Watchers, Time), Error> {
    Ok((ledger.watchers().await?, ledger.now().await?))
}

fn words(offers: &[Offer]) -> Vec<&str> {
    offers.iter().map(|offer| offer.act.word()).collect()
}

fn by(request: &str) -> (Option<Actor>, Option<RequestId>) {
    (Some(Actor::new("alice").expect("a name")), Some(RequestId::new(request).expect("an id")))
}

#[test]
fn what_is_owed_is_settled_or_waived_one_by_one_and_nothing_else_is() {
    block_on(async {
        let ledger = Ledger::open("memory:").await?;
        let task = owing(&ledger, "t").await?;
        let ((watchers, now), random) = (seen(&ledger).await?, ledger.entropy());
        let owed = OwedOffers::of(&task, now, random);
        let second = task.compensation(Seq(2)).expect("it is there");
        assert_eq!(words(&owed.about(second)), ["settle", "waive"]);
        assert_eq!(owed.about(second)[0].query, "verb=settle&seq=2");
        assert_eq!(Act::of("settle", Some("2")).expect("an action"), Act::Settle(Seq(2)));
        assert!(Act::of("settle", None).is_err() && Act::of("waive", Some("x")).is_err());
        let told = effects(Act::Settle(Seq(2)), &task, (&watchers, now), random).expect("it is allowed");
        assert!(told[0].contains("Compensation 2, reset-db test, counts as undone by hand"), "{told:?}");
        assert!(!Act::Settle(Seq(2)).needs_reason() && Act::Settle(Seq(2)).is_final());

        ledger.settle_by_hand("t", 2, "dropped it").await?;
        let task = ledger.task("t").await?;
        let second = task.compensation(Seq(2)).expect("it is there");
        assert!(OwedOffers::of(&task, now, random).about(second).is_empty(), "it is not owed any more");
        assert!(effects(Act::Settle(Seq(2)), &task, (&watchers, now), random).is_none());
        Ok(())
    });
}

#[test]
fn the_last_receipt_says_what_becomes_of_the_task() {
    block_on(async {
        let ledger = Ledger::open("memory:").await?;
        let task = owing(&ledger, "t").await?;
        let by = task.lease().expect("a lease").holder();
        ledger.roll_back("t", &by, "given up").await?;
        ledger.settle_by_hand("t", 2, "dropped it").await?;
        let (task, (watchers, now)) = (ledger.task("t").await?, seen(&ledger).await?);
        let told = effects(Act::Settle(Seq(1)), &task, (&watchers, now), ledger.entropy());
        let told = told.expect("it is allowed");
        assert!(told[1].contains("The task is closed as undone"), "{told:?}");
        Ok(())
    });
}

#[test]
fn a_receipt_and_a_reason_are_in_the_command_and_a_reason_may_be_missing() {
    block_on(async {
        let ledger = Ledger::open("memory:").await?;
        let task = owing(&ledger, "t").await?;
        let settled = |reason: &str, receipt: &str| {
            let fields =
                Fields { reason: reason.to_owned(), receipt: receipt.to_owned(), ..Fields::default() };
            let commands = Act::Settle(Seq(1)).commands_for(&task, &fields, by("r"), ledger.entropy())?;
            let [Command { action: Action::ByOperator { act, .. }, .. }] = &commands[..] else {
                panic!("not one command: {commands:?}")
            };
            let OperatorAction::Settle { done, reason } = act else { panic!("another: {act:?}") };
            Ok::<_, Refusal>((done.seq, done.receipt.to_string(), reason.to_string()))
        };
        assert_eq!(settled("", "closed").expect("read"), (Seq(1), "closed".into(), "closed".into()));
        assert_eq!(settled("a look", "closed").expect("read"), (Seq(1), "closed".into(), "a look".into()));
        assert!(settled("a look", "").is_err(), "a receipt is needed");
        Ok(())
    });
}

#[test]
fn labels_of_an_open_task_are_changed_and_of_an_ended_one_they_stay() {
    block_on(async {
        let ledger = Ledger::open("memory:").await?;
        let task = owing(&ledger, "t").await?;
        let (now, random) = (ledger.now().await?, ledger.entropy());
        assert!(words(&about_the_task(&task, now, random)).contains(&"label"));
        let nothing = Act::Label.commands_for(&task, &Fields::default(), by("r"), random);
        assert!(nothing.expect_err("it says nothing").message.contains("which labels to set"));
        let fields = Fields {
            set: labels_of("team=core\n\n note = a = b ".lines()).expect("labels"),
            unset: vec!["issue".to_owned()],
            ..Fields::default()
        };
        let commands = Act::Label.commands_for(&task, &fields, by("r"), random).expect("a command");
        ledger.transact(commands).await.pop().expect("an answer")?;
        let labels = ledger.task("t").await?.labels;
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["note=a = b", "team=core"]);
        for wrong in ["team", "team=a\nteam=b"] {
            assert!(labels_of(wrong.lines()).is_err(), "{wrong}");
        }
        ledger.mark_completed("t", "done").await?;
        let ended = ledger.task("t").await?;
        assert!(!words(&about_the_task(&ended, now, random)).contains(&"label"));
        Ok(())
    });
}

#[test]
fn undo_only_is_offered_behind_a_retry_and_takes_receipts_in_two_commands() {
    block_on(async {
        let ledger = Ledger::open("memory:").await?;
        let task = owing(&ledger, "t").await?;
        let holder = task.lease().expect("a lease").holder();
        ledger.quarantine("t", &holder, "look").await?;
        let (task, now, random) = (ledger.task("t").await?, ledger.now().await?, ledger.entropy());
        assert_eq!(words(&about_the_task(&task, now, random))[..2], ["retry", "undo"]);
        let fields = Fields {
            reason: "not needed".to_owned(),
            waive: vec![(1, "gone".to_owned())],
            receipts: vec![(2, "dropped it".to_owned())],
            ..Fields::default()
        };
        let commands = Act::UndoOnly.commands_for(&task, &fields, by("r"), random).expect("commands");
        assert_eq!(commands.len(), 2);
        for answer in ledger.transact(commands).await {
            answer?;
        }
        let new = ledger.task("undo-r").await?;
        assert_eq!((new.state(), new.owes()), (State::Compensated, false));
        Ok(())
    });
}
