//! Tests `run`, `worker` and `recover` over HTTP, with tokens and TLS, while the server stops and comes back.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::place::{Ended, Place, TENURE, ended, json};
use crate::serving::{Serving, counted};
use crate::waiting::until;

/// A server on the place's file, and commands on another machine that know only the server.
struct Far {
    place: Place,
    serving: Serving,
}

impl Far {
    fn new() -> Far {
        let place = Place::new();
        let serving = serve(&place, "127.0.0.1:0");
        Far { place, serving }
    }

    /// A token with that role, for the default namespace.
    fn token(&self, name: &str, role: &str) -> String {
        let made = self.place.done(&format!("token create --name {name} --role {role} -o json"));
        json(&made)["token"].as_str().expect("a token").to_owned()
    }

    /// A command on a machine that has only the server's URL and that token.
    fn command(&self, token: &str, words: &str) -> Command {
        let mut command = self.place.command(words);
        command.env("TENURE_STORE", &self.serving.url).env("TENURE_TOKEN", token);
        command.env("TENURE", TENURE).current_dir(self.place.folder.path());
        command
    }

    fn runs(&self, token: &str, words: &str, script: &str) -> Ended {
        let mut command = self.command(token, &format!("{words} --"));
        ended(command.args(["sh", "-c", script]).output().expect("ran"))
    }

    /// Kills the server; the next one has the same address.
    fn server_dies(&mut self) {
        self.serving.process.kill().expect("it is there");
        self.serving.process.wait().expect("it ends");
    }

    fn server_is_back(&mut self) {
        self.serving = serve(&self.place, self.serving.address());
    }
}

fn serve(place: &Place, listen: &str) -> Serving {
    let store = format!("sqlite:{}", place.file().display());
    Serving::on(&store, listen, &["--no-recovery"], &[])
}

#[test]
fn a_run_far_from_the_record_is_the_same_as_near_it() {
    let far = Far::new();
    let token = far.token("builder", "worker");
    let script = "\"$TENURE\" -q task undo add --kind rm --target out && touch out && echo \"$TENURE_TASK\"";
    let Ended { status, out, errors } = far.runs(&token, "run --task build-1", script);
    assert_eq!((status, out.as_str()), (0, "build-1\n"), "{errors}");
    let task = far.place.task("build-1");
    assert_eq!(
        (task["state"].as_str(), task["cause"].as_str()),
        (Some("completed"), Some("completed")),
        "{task}"
    );
    assert_eq!(task["compensations"][0]["target"], "out", "{task}");
    let events = far.place.done("events --task build-1 -o json");
    assert!(events.lines().all(|line| json(line)["actor"] == "builder"), "who did it is the token: {events}");

    let Ended { status, errors, .. } = far.runs(&token, "run --task build-2", "exit 7");
    assert_eq!((status, far.place.state("build-2").as_str()), (7, "compensated"), "{errors}");
}

#[test]
fn who_may_not_is_told_so_and_nothing_is_run() {
    let far = Far::new();
    let (reader, worker) = (far.token("dash", "reader"), far.token("builder", "worker"));
    let refused = |token: &str, words: &str, code: &str| {
        let Ended { status, errors, .. } = far.runs(token, words, "touch ran");
        assert!(status != 0 && errors.contains(code), "`{words}`: {status}: {errors}");
        assert!(!far.place.path("ran").exists(), "`{words}` ran it");
    };
    refused(&reader, "run --task build-1", "forbidden");
    refused("tenure_0000", "run --task build-1", "forbidden");
    refused(&worker, "--namespace other run --task build-1", "not_found");
    let recover = ended(far.command(&worker, "recover").output().expect("ran"));
    assert!(recover.status != 0 && recover.errors.contains("forbidden"), "{}", recover.errors);
    far.place.done("token revoke builder");
    refused(&worker, "run --task build-1", "forbidden");
    assert_eq!(far.place.done("task list -o json"), "", "there is no task");
}

#[test]
fn a_worker_far_from_the_record_works_through_a_queue_while_the_server_is_killed() {
    let mut far = Far::new();
    let token = far.token("builder", "worker");
    let ids: Vec<String> = (0..8).map(|nth| format!("job-{nth}")).collect();
    for id in &ids {
        far.place.done(&format!("task create --id {id} --queue q"));
    }
    let mut worker = far.command(&token, "worker --queue q --concurrency 2 --until-idle --");
    // The first two end by themselves, the others when the test lets them.
    let script = r#"touch "at-$TENURE_TASK"
        case "$TENURE_TASK" in job-0|job-1) ;; *) until [ -e go ]; do sleep 0.05; done ;; esac
        echo "$TENURE_TASK" >> done"#;
    worker.args(["sh", "-c", script]);
    let worker = worker.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("two are done and two at work", || {
        let begun = ids.iter().filter(|id| far.place.has(&format!("at-{id}"))).count();
        (far.place.count("done"), begun) == (2, 4)
    });
    far.server_dies();
    far.place.write("go");
    until("two more are done while nobody can be told", || far.place.count("done") == 4);
    far.server_is_back();
    let Ended { status, errors, .. } = ended(worker.wait_with_output().expect("it ends"));
    assert_eq!(status, 0, "{errors}");
    let mut ran: Vec<String> = far.place.text("done").lines().map(str::to_owned).collect();
    ran.sort();
    assert_eq!(ran, ids, "each once: {errors}");
    assert!(ids.iter().all(|id| far.place.state(id) == "completed"), "{errors}");
}

#[test]
fn a_run_goes_on_while_the_server_is_away() {
    let mut far = Far::new();
    let token = far.token("builder", "worker");
    let mut run = far.command(&token, "run --task build-1 --ttl 30s --");
    run.args(["sh", "-c", "touch began; until [ -e go ]; do sleep 0.05; done; touch ended"]);
    let run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("it runs", || far.place.has("began"));
    far.server_dies();
    // At the server's address, something listens that never answers.
    let silent = TcpListener::bind(far.serving.address()).expect("the server is gone");
    silent.set_nonblocking(true).expect("set");
    far.place.write("go");
    until("its end is told to nobody", || far.place.has("ended") && silent.accept().is_ok());
    drop(silent);
    far.server_is_back();
    let Ended { status, errors, .. } = ended(run.wait_with_output().expect("it ends"));
    assert_eq!((status, far.place.state("build-1").as_str()), (0, "completed"), "{errors}");
}

#[test]
fn recovery_far_from_the_record_undoes_what_a_worker_left() {
    let far = Far::new();
    let operator = far.token("oncall", "operator");
    fs::write(far.place.path("left"), "").expect("written");
    let settings = "[undo.rm]\nrun = [\"rm\", \"-f\", \"{target}\"]\nallow = \"^left$\"\n";
    fs::write(far.place.path("tenure.toml"), settings).expect("written");
    far.place.done("task create --id build-1 --undo rm=left");
    far.place.done("task acquire build-1 --owner gone --ttl 1s");
    let plan = "recover --plan --namespace default --config tenure.toml -o json";
    until("it is stale", || {
        let plan = ended(far.command(&operator, plan).output().expect("ran"));
        assert_eq!(plan.status, 0, "{}", plan.errors);
        plan.out.contains("build-1")
    });
    let recover = "recover --namespace default --config tenure.toml";
    let Ended { status, out, errors } = ended(far.command(&operator, recover).output().expect("ran"));
    assert_eq!(status, 0, "{out}{errors}");
    assert!(!far.place.path("left").exists(), "it was undone: {out}{errors}");
    let task = far.place.task("build-1");
    assert_eq!(task["compensations"][0]["status"], "done", "{task}");
}

// ---- TLS -------------------------------------------------------------------------------------------------------

/// A certificate for `localhost`, a key or an authority from the files of these tests: `own` is self-signed by `openssl
/// req -x509`, `issued` is signed by `authority`. They expire in 2126, and nobody else trusts them.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// A server with that certificate.
struct Encrypted {
    place: Place,
    serving: Serving,
}

impl Encrypted {
    fn showing(name: &str, address: &str) -> Encrypted {
        let place = Place::new();
        let shown = ["pem", "key"].map(|kind| {
            let copy = place.folder.path().join(format!("shown.{kind}"));
            fs::copy(file(&format!("{name}.{kind}")), &copy).expect("copied");
            copy.display().to_string()
        });
        let store = format!("sqlite:{}", place.file().display());
        let words = ["--tls-cert", &shown[0], "--tls-key", &shown[1]];
        let serving = Serving::on(&store, &format!("{address}:0"), &words, &[]);
        Encrypted { place, serving }
    }

    /// The result of a read by a client that trusts that authority and uses that host name.
    fn looked_at(&self, host: &str, trusting: Option<&str>) -> Ended {
        let (_, port) = self.serving.url.rsplit_once(':').expect("a port");
        let trusted = trusting.map(|name| format!("?ca={}", file(name).display())).unwrap_or_default();
        let mut look = self.place.command("task list");
        ended(look.env("TENURE_STORE", format!("https://{host}:{port}{trusted}")).output().expect("ran"))
    }
}

#[test]
fn who_the_server_is_must_be_proved() {
    for (name, authority) in [("own", "own.pem"), ("issued", "authority.pem")] {
        let encrypted = Encrypted::showing(name, "127.0.0.1");
        let Ended { status, errors, .. } = encrypted.looked_at("localhost", Some(authority));
        assert_eq!(status, 0, "{name}: {errors}");
        assert_eq!(encrypted.looked_at("127.0.0.1", Some(authority)).status, 0, "an address is a name, too");
        let unnamed = Encrypted::showing(name, "127.0.0.2");
        let refused = [
            (encrypted.looked_at("localhost", None), "`ca`"),
            (unnamed.looked_at("127.0.0.2", Some(authority)), "subjectAltNames"),
        ];
        for (Ended { status, errors, .. }, way_out) in refused {
            assert_eq!((status, errors.contains(way_out)), (5, true), "{name}: {errors}");
        }
    }
    let issued = Encrypted::showing("issued", "127.0.0.1");
    let stranger = issued.looked_at("localhost", Some("own.pem"));
    assert_eq!((stranger.status, stranger.errors.contains("no CA in")), (5, true), "{}", stranger.errors);
    let missing = issued.looked_at("localhost", Some("none.pem"));
    assert_eq!((missing.status, missing.errors.contains("none.pem")), (3, true), "{}", missing.errors);
    let clear = issued
        .place
        .command("task list")
        .env("TENURE_STORE", issued.serving.url.replace("https", "http"))
        .output();
    assert_eq!(ended(clear.expect("ran")).status, 5, "nothing is said in the clear");
}

#[test]
fn a_certificate_that_was_renewed_is_shown_without_a_restart() {
    let encrypted = Encrypted::showing("own", "127.0.0.1");
    assert_eq!(encrypted.looked_at("localhost", Some("own.pem")).status, 0);
    let put = |kind: &str| {
        let (new, place) = (encrypted.place.folder.path().join("new"), format!("shown.{kind}"));
        fs::copy(file(&format!("issued.{kind}")), &new).expect("copied");
        fs::rename(new, encrypted.place.folder.path().join(place)).expect("in its place");
    };
    put("pem");
    let between = encrypted.looked_at("localhost", Some("own.pem"));
    assert_eq!(
        between.status, 0,
        "the key is not its own yet, so the earlier one is shown: {}",
        between.errors
    );
    put("key");
    let renewed = encrypted.looked_at("localhost", Some("authority.pem"));
    assert_eq!(renewed.status, 0, "{}", renewed.errors);
    assert_eq!(encrypted.looked_at("localhost", Some("own.pem")).status, 5, "the earlier one is gone");
}

#[test]
fn whoever_follows_or_waits_goes_on_once_the_server_is_back() {
    let mut far = Far::new();
    let token = far.token("builder", "worker");
    let watching = far.place.done("token create --name dash --role reader --namespace * -o json");
    let watching = json(&watching)["token"].as_str().expect("a token").to_owned();
    far.place.done("task create --id before");
    let following = far
        .command(&token, "events --follow -o json")
        .stdout(far.place.to_file("seen"))
        .stderr(far.place.to_file("follower-told"))
        .spawn();
    let mut following = following.expect("it runs");
    let seen = |place: &Place, id: &str| place.text("seen").contains(&format!("\"task\":\"{id}\""));
    until("it follows", || seen(&far.place, "before"));
    let waiting = far
        .command(&token, "task wait before --timeout 10m")
        .stdout(Stdio::null())
        .stderr(far.place.to_file("waiter-told"))
        .spawn();
    let mut waiting = waiting.expect("it runs");
    // Nobody else reads this single task: the wait reads it once at first, and again after each event.
    let looks = |server: &Serving| {
        let route = "route=\"/v1/{ns}/tasks/{id}\"";
        counted(&server.url, Some(&watching), "tenure_http_requests_total", route)
    };
    until("its first look", || looks(&far.serving) >= 1);
    far.place.done("task note before --as alice seen");
    until("its second look", || looks(&far.serving) >= 2);
    far.server_dies();
    far.place.done("task create --id meanwhile");
    far.place.done("task cancel before --as alice --reason enough");
    // They say so once they have retried for longer than a single request is retried.
    let goes_on = |name: &str| far.place.text(name).contains("the store is unavailable, retrying");
    until("both go on", || goes_on("follower-told") && goes_on("waiter-told"));
    assert!(following.try_wait().expect("its status").is_none(), "it goes on asking");
    assert!(waiting.try_wait().expect("its status").is_none(), "and so does who waits");
    far.server_is_back();
    until("what happened meanwhile is seen", || seen(&far.place, "meanwhile"));
    let status = waiting.wait().expect("it ends").code();
    assert_eq!(status, Some(0), "{}", far.place.text("waiter-told"));
    following.kill().expect("it runs");
    following.wait().expect("it ends");
    let mistyped =
        far.command(&token, "--store http://127.0.0.1:1 events --follow").output().expect("it ends");
    assert_eq!(ended(mistyped).status, 5, "who was never there is not waited for");
}
