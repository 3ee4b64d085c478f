//! The page of the queues: what waits, who works on it, and how it ended.

use std::time::Duration;

use tenure::Error;
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on};

use super::{Browser, World, world};

/// The row of a queue.
fn row<'a>(page: &'a str, queue: &str) -> &'a str {
    let begin = format!("<tr data-key=\"{queue}\">");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{queue} is not in {page}"));
    rest.split("</tr>").next().expect("an end")
}

#[test]
fn a_queue_that_has_due_tasks_and_nobody_who_works_on_them_is_named_first() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        let later = BEGINNING + tenure::core::time::Span::from_secs(7_200);
        ledger.create("waits").queue("stuck").await?;
        ledger.create("also-waits").queue("stuck").await?;
        ledger.create("later").queue("stuck").not_before(later).await?;
        ledger.create("held").queue("busy").await?;
        ledger.acquire("held", "w1").ttl(Duration::from_secs(600)).await?;
        ledger.create("next").queue("busy").await?;
        ledger.create("much-later").queue("asleep").not_before(later).await?;
        clock.advance(Duration::from_secs(90));
        ledger.in_namespace("elsewhere")?.create("t").queue("foreign").await?;
        let page = Browser::of(&served).get("/queues").await.text;
        assert!(page.contains("Nobody works on 1 queue that has due tasks"), "{page}");
        assert!(!page.contains("foreign"), "{page}");
        for (queue, [due, not_due, in_flight], is_flagged) in
            [("stuck", [2, 1, 0], true), ("busy", [1, 0, 1], false), ("asleep", [0, 1, 0], false)]
        {
            let row = row(&page, queue);
            for (label, number) in [("Due", due), ("Not due yet", not_due), ("In flight", in_flight)] {
                let cell = format!("data-label=\"{label}\">{number}</td>");
                assert!(row.contains(&cell), "{queue}: {cell} is not in {row}");
            }
            assert_eq!(row.contains("nobody works on it"), is_flagged, "{row}");
            let path = format!("href=\"/tasks?ns=default&#38;queue={queue}&#38;open=true\"");
            assert!(row.contains(&path), "{row}");
        }
        assert!(row(&page, "stuck").contains(">1m 30s</time>"), "{page}");
        let planned =
            Browser::of(&served).get("/tasks?ns=default&queue=stuck&state=planned&order=oldest").await;
        assert!(planned.text.contains(">waits<") && !planned.text.contains(">held<"), "{}", planned.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn how_tasks_of_a_queue_ended_is_counted_for_an_hour_and_for_a_day() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        for number in 0..3 {
            let id = format!("done-{number}");
            ledger.create(&id).queue("agents").await?;
            let by = ledger.acquire(&id, "w1").await?.lease().expect("a lease").holder();
            ledger.complete(&id, &by).await?;
        }
        clock.advance(Duration::from_secs(2 * 3_600));
        ledger.create("bad").queue("agents").await?;
        ledger.mark_quarantined("bad", "odd").await?;
        let page = Browser::of(&served).get("/queues").await.text;
        let row = row(&page, "agents");
        let (hour, day) = row.split_once("data-label=\"Ended in the last day\"").expect("two cells");
        assert!(hour.contains("1 <span class=\"state quarantined\"") && !hour.contains("completed"), "{row}");
        assert!(day.contains(">3 <span class=\"state completed\"") && day.contains(">1 <span"), "{row}");
        assert!(day.find("completed") < day.find("quarantined"), "the most first: {row}");
        for state in ["completed", "quarantined"] {
            let path = format!("/tasks?ns=default&queue=agents&state={state}&since=24h");
            assert!(day.contains(&path.replace('&', "&#38;")), "{row}");
            let list = Browser::of(&served).get(&path).await;
            let count = if state == "completed" { 3 } else { 1 };
            assert_eq!(list.text.matches("<tr data-key=").count(), count, "{}", list.text);
        }
        clock.advance(Duration::from_secs(25 * 3_600));
        ledger.create("today").queue("other").await?;
        // Nothing is open and nothing ended in a day.
        let is_left_out =
            async || !Browser::of(&served).get("/queues").await.text.contains("data-key=\"agents\"");
        until_asked("it is left out", is_left_out).await;
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_page_of_many_queues_says_how_many_it_leaves_out_and_leaves_out_none_that_is_stuck() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        for number in 0..205 {
            let id = format!("t-{number:03}");
            ledger.create(&id).queue(&format!("queue-{number:03}")).await?;
            if number < 204 {
                ledger.acquire(&id, "w1").ttl(Duration::from_secs(600)).await?;
            }
        }
        clock.advance(Duration::from_secs(90));
        let page = Browser::of(&served).get("/queues").await.text;
        assert!(page.contains("and 5 more queues"), "{page}");
        let (_, table) = page.split_once("<tbody").expect("a table");
        assert_eq!(table.matches("<tr data-key=").count(), 200);
        assert!(row(&page, "queue-204").contains("nobody works on it"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}
