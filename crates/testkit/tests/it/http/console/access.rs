//! The page of the tokens: who sees it, how a token is created and revoked, and that its secret is shown once.

use std::time::Duration;

use tenure::Error;
use tenure::access::{NamespaceScope, Role};
use tenure::core::id::Namespace;
use tenure_testkit::block_on;
use tenure_testkit::served::Reply;

use super::{Browser, World, request_of, world};
use crate::http::access::token;

/// The secret on the page that shows it.
fn secret_of(page: &Reply) -> String {
    let (_, rest) = page.text.split_once(">tenure_").unwrap_or_else(|| panic!("no secret: {}", page.text));
    format!("tenure_{}", rest.split('<').next().expect("an end"))
}

/// The fields of the form for a token with that name.
fn form<'a>(request: &'a str, name: &'a str, role: &'a str, namespaces: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("request", request), ("name", name), ("role", role), ("namespaces", namespaces), ("expires", "90d")]
}

#[test]
fn the_first_token_says_what_it_means_shows_its_secret_once_and_closes_the_server() {
    let World { served, ledger, .. } = world();
    block_on(async {
        let browser = Browser::of(&served);
        let before = browser.get("/access").await;
        for words in [
            "No token exists yet",
            "everybody needs one",
            "value=\"admin\" required checked",
            "name=\"actor\"",
        ] {
            assert!(before.text.contains(words), "{words} is not in {}", before.text);
        }
        assert!(browser.get("/").await.text.contains("href=\"/access?ns=default\""), "the head leads there");
        let request = request_of(&before);
        let mut fields = form(&request, "root", "admin", "*");
        let nameless = browser.submit("/access?ns=default", &fields).await;
        assert!(
            nameless.status == 422 && nameless.text.contains("your name: is required"),
            "{}",
            nameless.text
        );
        assert!(ledger.tokens().await?.is_empty(), "nothing was done");
        fields.push(("actor", "alice"));
        let made = browser.submit("/access?ns=default", &fields).await;
        assert_eq!((made.status, made.header("cache-control")), (201, "no-store"), "{}", made.text);
        let secret = secret_of(&made);
        assert_eq!(made.text.matches(&secret).count(), 1);
        let headers = format!("{:?}", made.headers);
        assert!(!headers.contains(&secret) && !headers.contains("location"), "{headers}");
        assert!(made.text.contains("From now on everybody needs a token."), "{}", made.text);
        let kept = ledger.tokens().await?;
        let root = kept.first().expect("a token");
        assert_eq!((root.role, root.created_by.as_str()), (Role::Admin, "alice"));
        assert_eq!(root.namespaces, NamespaceScope::All);
        assert_eq!(
            root.expires_at.map(|at| at.since(root.created_at)),
            Some(tenure::core::time::Span::from_days(90))
        );
        // The server is closed now, and the secret opens it.
        assert_eq!(browser.get("/access").await.status, 303);
        let root = Browser::signed_in(&served, &secret).await;
        for path in ["/access", "/", "/history"] {
            assert!(!root.get(path).await.text.contains(&secret), "{path} never shows it");
        }
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_form_that_is_sent_twice_creates_one_token_and_shows_its_secret_only_for_a_moment() {
    let World { served, store, ledger, clock } = world();
    block_on(async {
        let root = token(&store, "root", Role::Admin, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &root).await;
        let request = request_of(&browser.get("/access").await);
        let fields = form(&request, "ci", "worker", "default, shop");
        let [first, second] =
            [browser.submit("/access", &fields).await, browser.submit("/access", &fields).await];
        assert_eq!((first.status, second.status), (201, 201), "{}", second.text);
        assert_eq!(secret_of(&first), secret_of(&second), "what a browser shows is the second answer");
        assert_eq!(ledger.tokens().await?.len(), 2);
        assert_eq!(ledger.tokens().await?[1].namespaces.words(), ["default", "shop"]);
        assert_eq!(ledger.tokens().await?[1].created_by.as_str(), "root", "no form says who it is");
        clock.advance(Duration::from_secs(61));
        let later = browser.submit("/access", &fields).await;
        assert!(later.status == 409 && !later.text.contains("tenure_"), "{}", later.text);
        assert!(later.text.contains("is not shown again"), "{}", later.text);
        // Without an expiry it is valid until it is revoked, and the list marks it.
        let request = request_of(&browser.get("/access").await);
        let ever = [
            ("request", &*request),
            ("name", "ever"),
            ("role", "reader"),
            ("namespaces", "*"),
            ("expires", ""),
        ];
        assert_eq!(browser.submit("/access", &ever).await.status, 201);
        let page = browser.get("/access").await.text;
        let row = page.split("<tr data-key=").find(|row| row.contains(">ever")).expect("its row");
        assert!(row.contains("<span class=\"flag\">never</span>"), "{row}");
        assert!(page.contains("root <small>(yours)</small>"), "{page}");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn only_admins_see_and_change_who_has_access() {
    let World { served, store, ledger, .. } = world();
    block_on(async {
        for role in Role::ALL {
            let secret = token(&store, role.as_str(), role, NamespaceScope::All, None).await;
            let browser = Browser::signed_in(&served, &secret).await;
            let may = role == Role::Admin;
            let head = browser.get("/").await.text;
            assert_eq!(head.contains("href=\"/access?"), may, "{role}: {head}");
            let expected = if may { 200 } else { 403 };
            for path in ["/access", "/access/revoke?name=reader"] {
                assert_eq!(browser.get(path).await.status, expected, "{path} as {role}");
            }
            let fields = form("r-1", "new", "reader", "default");
            let made = browser.submit("/access", &fields).await;
            assert_eq!(made.status, if may { 201 } else { 403 }, "{role}: {}", made.text);
            let revoked = browser.submit("/access/revoke", &[("name", "reader"), ("confirm", "on")]).await;
            assert_eq!(revoked.status, if may { 422 } else { 403 }, "{role}: {}", revoked.text);
            let elsewhere = browser.submit_from("cross-site", "/access", &fields).await;
            assert!([403, 421].contains(&elsewhere.status), "{role}: {}", elsewhere.text);
        }
        let stranger = Browser::of(&served);
        assert_eq!(stranger.get("/access").await.status, 303);
        assert_ne!(stranger.submit("/access", &form("r-2", "evil", "admin", "*")).await.status, 201);
        let names: Vec<_> = ledger.tokens().await?.iter().map(|token| token.name.to_string()).collect();
        assert_eq!(names, ["reader", "worker", "operator", "admin", "new"]);
        assert!(ledger.tokens().await?.iter().all(|token| token.revoked_at.is_none()));
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn what_a_form_says_wrongly_is_refused_by_its_name_and_nothing_else_is_lost() {
    let World { served, store, ledger, .. } = world();
    block_on(async {
        let root = token(&store, "root", Role::Admin, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &root).await;
        for (field, value, told) in [
            ("name", "", "name: is required"),
            ("name", "a b", "name: "),
            ("name", "root", "a token named root already exists"),
            ("role", "", "role: is required"),
            ("role", "king", "role: one of"),
            ("namespaces", "", "namespaces: is required"),
            ("namespaces", "* shop", "namespaces: "),
            ("expires", "soon", "expires: "),
            ("expires", "9999999d", "expires: "),
        ] {
            let request = request_of(&browser.get("/access").await);
            let mut fields = form(&request, "kept-name", "operator", "kept-namespace");
            fields.iter_mut().filter(|(name, _)| *name == field).for_each(|one| one.1 = value);
            let answer = browser.submit("/access", &fields).await;
            assert!([409, 422].contains(&answer.status), "{field}={value}: {}", answer.text);
            assert!(answer.text.contains(told), "{told} is not in {}", answer.text);
            if field != "namespaces" {
                assert!(answer.text.contains("value=\"kept-namespace\""), "{field}: {}", answer.text);
            }
            if field != "role" {
                assert!(
                    answer.text.contains("value=\"operator\" required checked"),
                    "{field}: {}",
                    answer.text
                );
            }
            assert_ne!(request_of(&answer), request, "it is another command from now on");
        }
        assert_eq!(ledger.tokens().await?.len(), 1, "nothing was done");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_token_is_revoked_after_its_page_said_what_that_does() {
    let World { served, store, ledger, clock } = world();
    block_on(async {
        let root = token(&store, "root", Role::Admin, NamespaceScope::All, None).await;
        let ci = token(&store, "ci", Role::Worker, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &root).await;
        let reader = Browser::signed_in(&served, &ci).await;
        let hash_of = |page: &Reply| {
            let (_, rest) = page.text.split_once("name=\"hash\" value=\"").expect("a form");
            rest.split('"').next().expect("an end").to_owned()
        };
        let page = browser.get("/access/revoke?ns=default&name=ci").await;
        assert!(page.text.contains("can no longer renew their leases"), "{}", page.text);
        assert!(
            !page.text.contains("your own token") && !page.text.contains("last valid token"),
            "{}",
            page.text
        );
        let seen = hash_of(&page);
        let unconfirmed = browser.submit("/access/revoke", &[("name", "ci"), ("hash", &seen)]).await;
        assert!(
            unconfirmed.status == 422 && unconfirmed.text.contains("confirm: is required"),
            "{}",
            unconfirmed.text
        );
        assert_eq!(reader.get("/").await.status, 200, "nothing was done");
        let fields = [("name", "ci"), ("hash", &*seen), ("confirm", "on")];
        for _ in 0..2 {
            let done = browser.submit("/access/revoke?ns=default", &fields).await;
            assert_eq!(
                (done.status, done.header("location")),
                (303, "/access?ns=default&done=ci"),
                "{}",
                done.text
            );
        }
        let page = browser.get("/access?ns=default&done=ci").await.text;
        assert!(
            page.contains("The token ci is revoked.") && page.contains("<small>by root</small>"),
            "{page}"
        );
        assert!(!page.contains("name=ci\""), "a revoked token is not offered again: {page}");
        assert_eq!(reader.get("/").await.status, 303, "it is signed out");
        let again = browser.get("/access/revoke?name=ci").await.text;
        assert!(
            again.contains("there is nothing to revoke") && !again.contains("name=\"confirm\""),
            "{again}"
        );
        assert_eq!(browser.get("/access/revoke?name=nobody").await.status, 404);
        // The name is given to another: an old form does not meet it.
        clock.advance(Duration::from_secs(1));
        token(&store, "ci", Role::Worker, NamespaceScope::All, None).await;
        let late = browser.submit("/access/revoke", &fields).await;
        assert!(late.status == 409 && late.text.contains("given to another token"), "{}", late.text);
        assert!(ledger.tokens().await?.last().expect("it").revoked_at.is_none());
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn revoking_ones_own_token_and_the_last_admin_is_said_beforehand() {
    let World { served, store, .. } = world();
    block_on(async {
        let root = token(&store, "root", Role::Admin, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &root).await;
        let page = browser.get("/access/revoke?name=root").await;
        assert!(
            page.text.contains("your own token") && page.text.contains("last valid token of an admin"),
            "{}",
            page.text
        );
        token(&store, "second", Role::Admin, NamespaceScope::All, None).await;
        let page = browser.get("/access/revoke?name=root").await;
        assert!(
            page.text.contains("your own token") && !page.text.contains("last valid token"),
            "{}",
            page.text
        );
        let (_, rest) = page.text.split_once("name=\"hash\" value=\"").expect("a form");
        let hash = rest.split('"').next().expect("an end");
        let done =
            browser.submit("/access/revoke", &[("name", "root"), ("hash", hash), ("confirm", "on")]).await;
        assert_eq!(done.status, 303, "{}", done.text);
        let after = browser.get("/access").await;
        assert!(after.status == 303 && after.header("location").starts_with("/sign-in"), "{}", after.text);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn an_admin_of_one_namespace_sees_and_gives_no_more_than_it_has() {
    let World { served, store, ledger, .. } = world();
    block_on(async {
        token(&store, "everywhere", Role::Admin, NamespaceScope::All, None).await;
        let shop = NamespaceScope::These([Namespace::new("shop").expect("a name")].into());
        let secret = token(&store, "shop-admin", Role::Admin, shop, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        let page = browser.get("/access").await;
        assert!(page.text.contains("shop-admin") && !page.text.contains("everywhere"), "{}", page.text);
        assert_eq!(browser.get("/access/revoke?name=everywhere").await.status, 404);
        let request = request_of(&page);
        let wider = browser.submit("/access", &form(&request, "wide", "reader", "*")).await;
        assert!(wider.status == 403 && wider.text.contains("not bound to"), "{}", wider.text);
        let own = browser.submit("/access", &form("r-2", "narrow", "reader", "shop")).await;
        assert_eq!(own.status, 201, "{}", own.text);
        assert_eq!(ledger.tokens().await?.len(), 3);
        Ok::<_, Error>(())
    })
    .expect("works");
}
