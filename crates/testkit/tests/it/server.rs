//! The PostgreSQL servers that tests start: real servers with the given settings, gone when their tests end.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use tenure_testkit::block_on;
use tenure_testkit::server::{Server, Shutdown, required};
use tenure_testkit::waiting::until_blocking;
use tokio_postgres::{Client, NoTls};

/// A client, and the task that moves its bytes; it ends with the client.
async fn client(url: &str) -> Client {
    let plain = url.split('?').next().expect("a URL");
    let (client, connection) = tokio_postgres::connect(plain, NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

/// The first column of the first row.
async fn ask(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// Host and port.
fn address(server: &Server) -> String {
    let url = server.superuser_url();
    url.split(['@', '/']).nth(3).expect("a host and a port").to_owned()
}

fn answers(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

#[track_caller]
fn assert_is_gone(address: &str, folder: &Path) {
    assert!(!answers(address), "somebody answers on {address}");
    assert!(!folder.exists(), "{} is still there", folder.display());
}

#[test]
fn a_server_is_gone_when_nobody_holds_it() {
    let Some(server) = required(Server::start(&[])) else { return };
    let (address, folder) = (address(&server), server.folder().to_owned());
    assert!(answers(&address) && folder.join("data").exists());
    drop(server);
    assert_is_gone(&address, &folder);
}

#[test]
fn a_server_that_was_killed_leaves_nothing_either() {
    let Some(mut server) = required(Server::start(&[])) else { return };
    let (address, folder) = (address(&server), server.folder().to_owned());
    server.kill();
    drop(server);
    assert_is_gone(&address, &folder);
}

#[test]
fn a_server_does_not_survive_a_guardian_that_was_killed() {
    if required(Server::shared()).is_none() {
        return;
    }
    let mut guardian = Command::new(env!("CARGO_BIN_EXE_tenure-guardian"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a guardian");
    let mut ready = String::new();
    BufReader::new(guardian.stdout.take().expect("its output")).read_line(&mut ready).expect("a line");
    let words: Vec<&str> = ready.trim_end().splitn(3, ' ').collect();
    let (address, folder) = (format!("127.0.0.1:{}", words[1]), Path::new(words[2]));
    assert!(answers(&address) && folder.exists());
    guardian.kill().expect("kill -9");
    guardian.wait().expect("its end");
    until_blocking("the end of its folder", || !folder.exists());
    assert_is_gone(&address, folder);
}

#[test]
fn a_server_can_be_killed_and_started_again() {
    let Some(mut server) = required(Server::start(&[])) else { return };
    let url = server.url("any");
    block_on(async {
        let before = client(&url).await;
        before.batch_execute("create table kept (word text); insert into kept values ('first')").await?;
        server.kill();
        before.batch_execute("insert into kept values ('lost')").await.expect_err("nobody answers");
        server.start_again();
        let after = client(&url).await;
        assert_eq!(ask(&after, "select string_agg(word, ',') from kept").await, "first");
        Ok::<_, tokio_postgres::Error>(())
    })
    .expect("done");
}

#[test]
fn a_server_can_be_restarted_under_its_connections() {
    let Some(mut server) = required(Server::start(&[])) else { return };
    let url = server.url("any");
    block_on(async {
        for how in [Shutdown::Fast, Shutdown::Immediate] {
            let idle = client(&url).await;
            let busy = client(&url).await;
            let busy = tokio::spawn(async move { busy.batch_execute("select pg_sleep(600)").await });
            server.restart(how);
            busy.await.expect("it ends").expect_err("and was not let finish");
            idle.batch_execute("select 1").await.expect_err("its connection is gone");
            assert_eq!(ask(&client(&url).await, "select 'again'").await, "again");
        }
        server.stop(Shutdown::Fast);
        assert!(!answers(&address(&server)));
        server.start_again();
        assert!(answers(&address(&server)));
    });
}

#[test]
fn two_servers_know_nothing_of_one_another() {
    let Some(one) = required(Server::shared()) else { return };
    let Some(other) = required(Server::start(&[])) else { return };
    assert_ne!(one.url("a"), other.url("a"));
    assert_ne!(one.folder(), other.folder());
    drop(other);
    assert!(answers(&address(one)));
}

#[test]
fn the_settings_of_a_test_win() {
    let settings = [("max_connections", "17"), ("fsync", "on"), ("application_name", "two words")];
    let Some(server) = required(Server::start(&settings)) else { return };
    block_on(async {
        let client = client(&server.url("any")).await;
        for (name, value) in settings {
            assert_eq!(ask(&client, &format!("show {name}")).await, value);
        }
        assert_eq!(ask(&client, "show autovacuum").await, "on");
    });
}

#[test]
fn a_setting_that_does_not_exist_is_told() {
    if required(Server::shared()).is_none() {
        return;
    }
    let panic =
        std::panic::catch_unwind(|| Server::start(&[("no_such_setting", "1")])).expect_err("no server");
    let words = panic.downcast_ref::<String>().expect("words");
    assert!(words.contains("unrecognized configuration parameter \"no_such_setting\""), "{words}");
}

#[test]
fn tests_work_as_a_role_that_owns_its_database_and_may_do_nothing_else() {
    let Some(server) = required(Server::shared()) else { return };
    let schema = server.fresh_schema();
    assert_ne!(schema, server.fresh_schema());
    block_on(async {
        let tester = client(&server.url(&schema)).await;
        let who = "select concat_ws(' ', current_user, current_database(), pg_get_userbyid(datdba), rolsuper)
            from pg_database, pg_roles where datname = current_database() and rolname = current_user";
        assert_eq!(ask(&tester, who).await, "tester tests tester f");
        tester.batch_execute(&format!("create schema {schema}")).await.expect("it may make schemas");
        tester.batch_execute("create role another").await.expect_err("it may make no roles");
        let superuser = client(&server.superuser_url()).await;
        assert_eq!(ask(&superuser, "select current_setting('is_superuser')").await, "on");
        assert_eq!(ask(&superuser, "show server_encoding").await, "UTF8");
    });
}
