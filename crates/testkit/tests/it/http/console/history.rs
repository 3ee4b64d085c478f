//! The page of what happened: its filters, its pages in both directions, and how far it looks.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure::Error;
use tenure::access::{NamespaceScope, Role};
use tenure::core::id::Namespace;
use tenure_testkit::block_on;

use super::{Browser, World, world};
use crate::http::access::token;

/// The keys of the rows, in their order.
fn keys(page: &str) -> Vec<String> {
    let rows = page.split("<tr data-key=\"").skip(1);
    rows.map(|row| row.split('"').next().expect("an end").to_owned()).collect()
}

/// Where a link leads that has those words behind its address.
fn link(page: &str, words: &str) -> Option<String> {
    let (before, _) = page.split_once(words)?;
    let (_, address) = before.rsplit_once("href=\"")?;
    Some(address.split('"').next()?.replace("&#38;", "&"))
}

fn older(page: &str) -> Option<String> {
    link(page, "rel=\"next\">Older</a>")
}

fn newer(page: &str) -> Option<String> {
    link(page, "rel=\"prev\">Newer</a>")
}

#[test]
fn the_history_goes_back_and_forth_page_after_page_without_loss_or_repetition() {
    let World { ledger, served, .. } = world();
    block_on(async {
        for number in 0..130 {
            ledger.create(&format!("t-{number:03}")).await?;
            ledger.in_namespace("elsewhere")?.create(&format!("other-{number:03}")).await?;
        }
        let browser = Browser::of(&served);
        let first = browser.get("/history").await.text;
        assert!(first.contains("data-live=\"history\"") && newer(&first).is_none(), "{first}");
        assert!(
            first.find("t-129").expect("the newest") < first.find("t-080").expect("the last of the page")
        );
        let second = browser.get(&older(&first).expect("more")).await.text;
        // What happens meanwhile moves nothing on an older page.
        ledger.create("late").await?;
        let third = browser.get(&older(&second).expect("more")).await.text;
        let all = [keys(&first), keys(&second), keys(&third)];
        assert_eq!(all.each_ref().map(Vec::len), [50, 50, 30]);
        assert_eq!(all.concat().iter().collect::<BTreeSet<_>>().len(), 130, "each once");
        assert!(older(&third).is_none() && third.contains("t-000") && !third.contains("other-"), "{third}");
        assert!(!second.contains("data-live=\"history\""), "an older page stays as it is");
        let back = browser.get(&newer(&third).expect("a page before")).await;
        assert_eq!(keys(&back.text), all[1], "{}", back.text);
        assert_eq!(older(&back.text), older(&second), "and from there on again");
        let before = browser.get(&newer(&back.text).expect("a page before")).await;
        assert_eq!(keys(&before.text), all[0], "{}", before.text);
        // What came meanwhile is on the first page, which is the one that goes on.
        let last = browser.get(&newer(&before.text).expect("one more")).await;
        assert_eq!((last.status, last.header("location")), (303, "/history?ns=default"), "{}", last.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn filters_stand_in_the_address_and_exclude_the_rest() {
    let World { ledger, served, clock, .. } = world();
    block_on(async {
        for (id, who) in [("a", "alice"), ("b", "bob"), ("c", "alice")] {
            ledger.acting_as(who)?.create(id).await?;
            ledger.acquire(id, "w1").ttl(Duration::from_secs(60)).await?;
            clock.advance(Duration::from_secs(3_600));
        }
        let browser = Browser::of(&served);
        for (query, count) in [
            ("", 6),
            ("type=acquired", 3),
            ("type=acquired&type=created", 6),
            ("type=tried", 0),
            ("actor=alice", 2),
            ("actor=w1&task=b", 1),
            ("task=nothing", 0),
            ("since=150m", 4),
            ("until=150m", 2),
            ("since=150m&until=90m", 2),
            ("since=2026-01-01T01:00:00Z&type=created&actor=alice", 1),
            ("type=&actor=&task=&since=&until=", 6),
        ] {
            let page = browser.get(&format!("/history?ns=default&{query}")).await;
            assert_eq!((page.status, keys(&page.text).len()), (200, count), "{query}: {}", page.text);
            let is_live = page.text.contains("data-live=\"history\"");
            assert_eq!(is_live, !query.contains("until=1") && !query.contains("until=9"), "{query}");
        }
        let page = browser.get("/history?type=acquired&actor=w1&task=b").await.text;
        for words in [
            "value=\"acquired\" checked",
            "name=\"actor\" value=\"w1\"",
            "name=\"task\" value=\"b\"",
            "href=\"/tasks/default/b\"",
            "w1 under epoch 1",
            "title=\"2026-01-01T01:00:00Z\"",
        ] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        assert!(!page.contains("value=\"created\" checked"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_wrong_filter_is_refused_by_its_name() {
    let World { served, .. } = world();
    block_on(async {
        for (query, field) in [
            ("type=exploded", "type"),
            ("type=renewed", "type"),
            ("actor=a%20b", "actor"),
            ("task=a%20b", "task"),
            ("task=a&task=b", "task"),
            ("since=yesterday", "since"),
            ("until=-1h", "until"),
            ("before=x", "before"),
            ("after=t7", "after"),
            ("before=e1&after=e1", "after"),
        ] {
            let page = Browser::of(&served).get(&format!("/history?{query}")).await;
            assert_eq!(page.status, 422, "{query}: {}", page.text);
            assert!(page.text.contains(&format!("role=\"alert\">{field}: ")), "{query}: {}", page.text);
        }
        let unknown = Browser::of(&served).get("/history?cursor=e1").await;
        assert!(unknown.status == 422 && unknown.text.contains("unknown parameter"), "{}", unknown.text);
    });
}

#[test]
fn a_page_that_looked_at_enough_says_how_far_it_came_and_goes_on_from_there() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.acting_as("alice")?.create("first").await?;
        let create = |number: usize| ledger.create(&format!("t-{number:05}")).command();
        let commands = (0..10_020).map(create).collect::<Result<Vec<_>, _>>()?;
        assert!(ledger.transact(commands).await.iter().all(Result::is_ok));
        let browser = Browser::of(&served);
        let first = browser.get("/history?actor=alice").await.text;
        assert!(keys(&first).is_empty() && !first.contains("Nothing like that happened."), "{first}");
        assert!(first.contains("looked at 10000 events, back to <time"), "{first}");
        let on = link(&first, ">look further back</a>").expect("it goes on");
        let second = browser.get(&on).await.text;
        assert!(keys(&second).len() == 1 && second.contains("href=\"/tasks/default/first\""), "{second}");
        assert!(older(&second).is_none() && !second.contains("look further"), "{second}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_filter_that_is_refused_comes_back_as_it_was_filled_with_the_reason_beside_it() {
    let World { ledger, served, .. } = world();
    block_on(async {
        ledger.create("seen").await?;
        let browser = Browser::of(&served);
        let filled = "/history?ns=default&type=created&actor=alice&task=build-42&since=yesterday&until=1h";
        let page = browser.get(filled).await;
        assert_eq!(page.status, 422, "{}", page.text);
        for words in [
            "value=\"created\" checked",
            "name=\"actor\" value=\"alice\"",
            "name=\"task\" value=\"build-42\"",
            "name=\"since\" value=\"yesterday\"",
            "name=\"until\" value=\"1h\"",
            "aria-describedby=\"since-error\"><span class=\"error\" id=\"since-error\" role=\"alert\">since: a duration such as 24h",
        ] {
            assert!(page.text.contains(words), "{words} is not in {}", page.text);
        }
        assert_eq!(page.text.matches("aria-invalid").count(), 1);
        assert!(!page.text.contains("Nothing like that happened."), "nothing was looked for");
        for (query, words) in [
            ("type=exploded&actor=bob", "one of created"),
            ("actor=a%20b&since=24h", "id=\"actor-error\""),
            ("task=%2F", "id=\"task-error\""),
        ] {
            let page = browser.get(&format!("/history?{query}")).await;
            assert!(page.status == 422 && page.text.contains(words), "{query}: {}", page.text);
        }
        // No filter of the form: there is nothing to fill in again.
        assert_eq!(browser.get("/history?before=nonsense").await.status, 422);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn the_history_is_for_every_role_and_for_nobody_else() {
    let World { store, served, ledger, .. } = world();
    block_on(async {
        ledger.create("of-others").await?;
        ledger.in_namespace("shop")?.create("seen").await?;
        for role in Role::ALL {
            let secret = token(&store, role.as_str(), role, NamespaceScope::All, None).await;
            let browser = Browser::signed_in(&served, &secret).await;
            for path in ["/history", "/queues"] {
                let page = browser.get(path).await;
                assert_eq!(page.status, 200, "{path} as {role}: {}", page.text);
            }
        }
        let shop = NamespaceScope::These([Namespace::new("shop").expect("a name")].into());
        let secret = token(&store, "shop", Role::Admin, shop, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        let page = browser.get("/history").await.text;
        assert!(page.contains(">seen</a>") && !page.contains("of-others"), "{page}");
        for path in ["/history", "/queues"] {
            assert_eq!(browser.get(&format!("{path}?ns=default")).await.status, 404, "{path}");
            let stranger = Browser::of(&served).get(path).await;
            let place = format!("/sign-in?next={}", super::encoded(path));
            assert_eq!((stranger.status, stranger.header("location")), (303, &*place));
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}
