//! Tests `tenure token`: secrets are shown once, tokens are listed and revoked, and no secret appears anywhere else.

use insta::assert_snapshot;

use crate::frozen::Frozen;
use crate::place::{Place, ended, json};

#[test]
fn a_token_is_shown_once_and_then_listed_and_revoked_by_its_name() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            token list
            token create --name ci --role worker --expires 90d
            token create --name alice --role admin --namespace '*' --as root
            token create --name dash --role reader --namespace a --namespace b -o json
            -q token create --name brief --role operator --expires 1m
            tick 60
            token revoke ci
            token list
            -q token list
            token create --name brief --role operator --expires 1m -o json
            tick 5
            token list -o json
            token revoke ci -o json
            "#
        ),
        @r#"
    $ tenure token list
    note: there was no store at <folder>/tenure.db; created an empty one
    note: there are no tokens; servers on this store don't require one
    $ tenure token create --name ci --role worker --expires 90d
    created token ci: worker in default, valid until 2026-05-01T12:00:00Z
    tenure_148d5bae1b892d82750395f698e220ee2cf114a0297f8ef867aabfbf1d37fcec
    The secret is shown only now and is not stored. Anybody who has it acts as ci. Set it as TENURE_TOKEN, or put it in a file and set TENURE_TOKEN_FILE to its path.
    note: this is the first token of the store: from now on its servers require one for every request
    note: no admin token exists, so tokens can't be created through a server; use this command with the store's own URL
    $ tenure token create --name alice --role admin --namespace '*' --as root
    created token alice: admin in all namespaces, valid until it is revoked
    tenure_2b6a6f40efc30f22cf4017931c8bbaae01bf2e8c4f61ae84ce3aab50ff70d2a1
    The secret is shown only now and is not stored. Anybody who has it acts as alice. Set it as TENURE_TOKEN, or put it in a file and set TENURE_TOKEN_FILE to its path.
    $ tenure token create --name dash --role reader --namespace a --namespace b -o json
    {"token":"tenure_478189fb7a39fb9f52b4c711f04bbcd11a26dc85fcb21f0093b07ed411379ac8","name":"dash","role":"reader","namespaces":["a","b"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":null,"revoked_at":null,"revoked_by":null}
    $ tenure -q token create --name brief --role operator --expires 1m
    tenure_94b7ff9fead5b8585722a40325de46e62cf7cf932035f7533eb42b7ba55be1b5
    (60 s pass)
    $ tenure token revoke ci
    ci: revoked 2026-01-31T12:01:00Z by alice
    $ tenure token list
    NAME   ROLE      NAMESPACES  CREATED BY  EXPIRES               STATE
    ci     worker    default     alice       2026-05-01T12:00:00Z  revoked 2026-01-31T12:01:00Z by alice
    alice  admin     *           root        never                 live
    dash   reader    a b         alice       never                 live
    brief  operator  default     alice       2026-01-31T12:01:00Z  expired
    $ tenure -q token list
    ci
    alice
    dash
    brief
    $ tenure token create --name brief --role operator --expires 1m -o json
    {"token":"tenure_46e707d46f0630c3c7b28efb7930a06d21b8ae6aa98315a36c6638a335617467","name":"brief","role":"operator","namespaces":["default"],"created_at":"2026-01-31T12:01:00.000000Z","created_by":"alice","expires_at":"2026-01-31T12:02:00.000000Z","revoked_at":null,"revoked_by":null}
    (5 s pass)
    $ tenure token list -o json
    {"name":"ci","role":"worker","namespaces":["default"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":"2026-05-01T12:00:00.000000Z","revoked_at":"2026-01-31T12:01:00.000000Z","revoked_by":"alice"}
    {"name":"alice","role":"admin","namespaces":["*"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"root","expires_at":null,"revoked_at":null,"revoked_by":null}
    {"name":"dash","role":"reader","namespaces":["a","b"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":null,"revoked_at":null,"revoked_by":null}
    {"name":"brief","role":"operator","namespaces":["default"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":"2026-01-31T12:01:00.000000Z","revoked_at":"2026-01-31T12:01:00.000000Z","revoked_by":null}
    {"name":"brief","role":"operator","namespaces":["default"],"created_at":"2026-01-31T12:01:00.000000Z","created_by":"alice","expires_at":"2026-01-31T12:02:00.000000Z","revoked_at":null,"revoked_by":null}
    $ tenure token revoke ci -o json
    {"name":"ci","role":"worker","namespaces":["default"],"created_at":"2026-01-31T12:00:00.000000Z","created_by":"alice","expires_at":"2026-05-01T12:00:00.000000Z","revoked_at":"2026-01-31T12:01:00.000000Z","revoked_by":"alice"}
    "#
    );
}

#[test]
fn the_first_token_says_what_it_changes_and_what_is_missing_yet() {
    let world = Frozen::world();
    assert_snapshot!(
        world.tells(
            r#"
            -q token create --name root --role admin
            "#
        ),
        @"
    $ tenure -q token create --name root --role admin
    tenure_148d5bae1b892d82750395f698e220ee2cf114a0297f8ef867aabfbf1d37fcec
    "
    );
    let world = Frozen::world();
    let first = world.run("token create --name root --role admin -o json");
    assert_snapshot!(first.errors, @"note: this is the first token of the store: from now on its servers require one for every request");
    assert_snapshot!(world.run("token create --name other --role reader -o json").errors, @"");
}

#[test]
fn what_is_no_token_is_refused_with_the_way_out() {
    let mut world = Frozen::world();
    world.given("token create --name ci --role worker");
    assert_snapshot!(
        world.tells(
            r#"
            token create --name ci --role reader
            token create --name ci --role reader -o json
            token create --name 'c i' --role reader
            token create --name x --role root
            token create --name x --role reader --expires 0s
            token create --name x --role reader --expires 3651d
            token create --name x --role reader --expires soon
            token create --name x --role reader --namespace a --namespace '*'
            token create --name x --role reader --namespace 'a b'
            token create --role reader
            --request-id r token create --name x --role reader
            token revoke nobody
            token revoke
            --namespace a task list --namespace a
            --namespace a --namespace b task list
            task list --namespace a --namespace b
            "#
        ),
        @r#"
    $ tenure token create --name ci --role reader
    error: refused: exists: a token named ci already exists; revoke it first, or use another name
      → see `tenure token list`; `tenure token revoke NAME` frees the name
    status 3
    $ tenure token create --name ci --role reader -o json
    {"refusal":{"code":"exists","message":"a token named ci already exists; revoke it first, or use another name"}}
    error: refused: exists: a token named ci already exists; revoke it first, or use another name
      → see `tenure token list`; `tenure token revoke NAME` frees the name
    status 3
    $ tenure token create --name 'c i' --role reader
    error: refused: invalid: name: 1 to 200 of A-Z a-z 0-9 - _ . : @ + /, not . or ..
    status 3
    $ tenure token create --name x --role root
    error: invalid value 'root' for '--role <ROLE>'
      [possible values: reader, worker, operator, admin]

    For more information, try '--help'.
    status 2
    $ tenure token create --name x --role reader --expires 0s
    error: refused: invalid: expires: 1 s to 3650 days
    status 3
    $ tenure token create --name x --role reader --expires 3651d
    error: refused: invalid: expires: 1 s to 3650 days
    status 3
    $ tenure token create --name x --role reader --expires soon
    error: refused: invalid: expires: a whole number and a unit, such as 500ms, 90s, 5m, 2h or 7d; or ISO 8601 without months and years, such as PT1M30S
    status 3
    $ tenure token create --name x --role reader --namespace a --namespace '*'
    error: refused: invalid: namespaces: 1 to 100 names, or `*` alone for all namespaces
    status 3
    $ tenure token create --name x --role reader --namespace 'a b'
    error: refused: invalid: namespaces: 1 to 200 of A-Z a-z 0-9 - _ . : @ +, not . or ..
    status 3
    $ tenure token create --role reader
    error: the following required arguments were not provided:
      --name <NAME>

    Usage: tenure token create --name <NAME> --role <ROLE>

    For more information, try '--help'.
    status 2
    $ tenure --request-id r token create --name x --role reader
    error: --request-id can't be used here: a repeat can't return the secret, which is shown only once
      → see `tenure token create --help`
    status 2
    $ tenure token revoke nobody
    error: refused: not_found: there is no token named nobody
      → see `tenure token list`, and check --store
    status 4
    $ tenure token revoke
    error: the following required arguments were not provided:
      <NAME>

    Usage: tenure token revoke <NAME>

    For more information, try '--help'.
    status 2
    $ tenure --namespace a task list --namespace a
    note: no task matches
    $ tenure --namespace a --namespace b task list
    error: the argument '--namespace <NAME>' cannot be used multiple times

    Usage: tenure [OPTIONS] <COMMAND>

    For more information, try '--help'.
    status 2
    $ tenure task list --namespace a --namespace b
    error: the argument '--namespace <NAME>' cannot be used multiple times

    Usage: tenure [OPTIONS] <COMMAND>

    For more information, try '--help'.
    status 2
    "#
    );
    world.set("TENURE_NAMESPACE", "build");
    let made = |words: &str| world.run(&format!("{words} -o json")).json()["namespaces"].to_string();
    assert_eq!(made("token create --name a --role reader"), r#"["build"]"#);
    assert_eq!(made("--namespace x token create --name b --role reader"), r#"["x"]"#);
    assert_eq!(made("--namespace x --namespace y token create --name c --role reader"), r#"["x","y"]"#);
    assert_eq!(made("--namespace x token create --name d --role reader --namespace z"), r#"["z"]"#);
}

#[test]
fn a_token_that_one_process_makes_another_one_sees() {
    let place = Place::new();
    let text = place.done("token create --name ci --role worker --namespace a -o json");
    assert!(text.starts_with(r#"{"token":"tenure_"#), "{text}");
    let made = json(&text);
    let secret = made["token"].as_str().expect("its secret");
    assert_eq!(secret.len(), "tenure_".len() + 64);
    let listed = json(&place.done("token list -o json"));
    assert_eq!((&listed["name"], &listed["created_by"]), (&"ci".into(), &"alice".into()));
    let revoked = json(&place.done("token revoke ci -o json"));
    assert_eq!(json(&place.done("token revoke ci -o json")), revoked);
    let other = place.done("-q token create --name ci --role worker");
    assert_ne!(other.trim_end(), secret);
}

/// A secret may appear only in the answer to the creator of the token.
#[test]
fn a_secret_is_in_nothing_but_the_answer_to_who_made_it() {
    let place = Place::new();
    let made = place.run("-v token create --name canary --role admin");
    let secret = made.out.lines().find(|line| line.starts_with("tenure_")).expect("shown").to_owned();
    assert_eq!(made.out.matches(secret.as_str()).count(), 1);
    let mut said = vec![made.errors];
    for words in [
        "-v token list",
        "-v token list -o json",
        "-v token create --name canary --role admin",
        "-v token revoke canary",
        "-v token revoke canary -o json",
        "-v task show nothing",
        "-v events",
    ] {
        let mut command = place.command(words);
        let command = command.args(["--token", &secret]).env("RUST_LOG", "trace");
        let ended = ended(command.output().expect("ran"));
        said.extend([ended.out, ended.errors]);
    }
    for file in std::fs::read_dir(place.folder.path()).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("read");
        said.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    let digits = secret.strip_prefix("tenure_").expect("how it begins");
    for text in said {
        assert!(!text.contains(digits), "{text}");
    }
}
