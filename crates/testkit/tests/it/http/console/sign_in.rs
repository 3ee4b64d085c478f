//! Who may see and do what, and for how long.

use tenure::Error;
use tenure::access::{NamespaceScope, Role};
use tenure_testkit::block_on;
use tenure_testkit::served::reply;
use tenure_testkit::waiting::until_asked;

use super::{Browser, World, events, world};
use crate::http::access::token;

#[test]
fn strangers_may_send_little_and_not_many_at_once() {
    let World { served, store, .. } = world();
    block_on(async {
        token(&store, "op", Role::Operator, NamespaceScope::All, None).await;
        let browser = Browser::of(&served);
        let long = "a".repeat(9_000);
        assert_eq!(browser.submit("/sign-in", &[("token", &long)]).await.status, 413);
        let many: Vec<(String, &str)> = (0..3_000).map(|number| (number.to_string(), "")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
        let answer = browser.submit("/sign-in", &many).await;
        assert!([413, 422].contains(&answer.status), "{}", answer.text);
        // Forty bodies that never end: the server still answers, and soon takes sign-ins again.
        let mut stuck = Vec::new();
        for _ in 0..40 {
            let mut stream =
                tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.expect("a connection");
            let head = "POST /sign-in HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("sent");
            stuck.push(stream);
        }
        assert_eq!(browser.get("/livez").await.status, 200);
        until_asked("a place", async || browser.submit("/sign-in", &[("token", "x")]).await.status != 429)
            .await;
        drop(stuck);
    });
}

#[test]
fn people_sign_in_with_a_token_and_see_and_do_what_its_role_allows() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        let mut browsers = Vec::new();
        for role in Role::ALL {
            let secret =
                token(&store, &format!("{}-1", role.as_str()), role, NamespaceScope::All, None).await;
            browsers.push((role, Browser::signed_in(&served, &secret).await));
        }
        let stranger = Browser::of(&served);
        let led = stranger.get("/tasks/default/t?done=note").await;
        assert_eq!(
            (led.status, led.header("location")),
            (303, "/sign-in?next=%2Ftasks%2Fdefault%2Ft%3Fdone%3Dnote")
        );
        let wrong = stranger.submit("/sign-in", &[("token", "tnr_nonsense"), ("next", "/")]).await;
        assert!(wrong.status == 401 && wrong.text.contains("invalid, expired or revoked"), "{}", wrong.text);
        assert_eq!(wrong.header("set-cookie"), "");
        let path = "/tasks/default/t/act?verb=note";
        for (role, browser) in &browsers {
            let page = browser.get("/tasks/default/t").await;
            let may = role.includes(Role::Operator);
            assert_eq!(page.text.contains("act?verb=note"), may, "{role:?}: {}", page.text);
            let answer = browser.submit(path, &[("request", role.as_str()), ("reason", "seen")]).await;
            assert_eq!(answer.status, if may { 303 } else { 403 }, "{role:?}: {}", answer.text);
        }
        let actors: Vec<String> = events(&ledger, "t").await.into_iter().map(|(_, actor)| actor).collect();
        assert_eq!(actors[1..], ["operator-1", "admin-1"], "the token says who it was, not the form");
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn who_signs_out_or_whose_token_is_revoked_is_signed_in_no_more() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        let secret = token(&store, "op", Role::Operator, NamespaceScope::All, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        let other = Browser::signed_in(&served, &secret).await;
        assert_eq!(browser.get("/").await.status, 200);
        assert_eq!(served.client().get("/v1/default/tasks").await.status, 401);
        let api = browser.request("GET", "/v1/default/tasks");
        assert_eq!(reply(api).await.status, 401, "signing in is for pages, and no credential for the API");
        let left = browser.submit("/sign-out", &[]).await;
        assert!(left.status == 303 && left.header("set-cookie").contains("Max-Age=0"), "{}", left.text);
        assert_eq!(browser.get("/").await.status, 303, "the cookie alone is worth nothing any more");
        assert_eq!(other.get("/").await.status, 200);
        ledger.revoke_token("op").await?;
        assert_eq!(other.get("/").await.status, 303);
        Ok::<_, Error>(())
    })
    .expect("works");
}

#[test]
fn a_token_of_one_namespace_sees_no_other() {
    let World { ledger, served, store, .. } = world();
    block_on(async {
        ledger.create("t").await?;
        ledger.in_namespace("team")?.create("mine").await?;
        let team = NamespaceScope::These([tenure::core::id::Namespace::new("team").expect("a name")].into());
        let secret = token(&store, "op", Role::Operator, team, None).await;
        let browser = Browser::signed_in(&served, &secret).await;
        let first = browser.get("/").await;
        assert!(first.status == 200 && first.text.contains("data-namespace=\"team\""), "{}", first.text);
        assert!(!first.text.contains("value=\"default\""), "it does not name the others: {}", first.text);
        for path in
            ["/?ns=default", "/tasks/default/t", "/tasks/default/t/act?verb=cancel", "/live?ns=default"]
        {
            assert_eq!(browser.get(path).await.status, 404, "{path}");
        }
        assert_eq!(browser.get("/tasks/team/mine").await.status, 200);
        Ok::<_, Error>(())
    })
    .expect("works");
}
