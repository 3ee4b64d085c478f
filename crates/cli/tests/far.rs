//! Commands on one machine, the record on another: `run`, `worker` and `recover` over HTTP, under tokens and TLS, while the
//! server goes away and comes back.

#![allow(clippy::expect_used)] // What surprises a test stops it.

mod place;
mod serving;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use place::{Ended, Place, ended, json, until};
use serving::Serving;

/// A server on the place's file, and commands on another machine: whatever they know of the file the server tells them.
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

    /// A token of that role, for the namespace that is there by itself.
    fn token(&self, name: &str, role: &str) -> String {
        let made = self.place.done(&format!("token create --name {name} --role {role} -o json"));
        json(&made)["token"].as_str().expect("a token").to_owned()
    }

    /// A command on a machine that has nothing but the server's name and that token.
    fn command(&self, token: &str, words: &str) -> Command {
        let mut command = self.place.command(words);
        command.env("TENURE_STORE", &self.serving.url).env("TENURE_TOKEN", token);
        command.env("TENURE", env!("CARGO_BIN_EXE_tenure")).current_dir(self.place.folder.path());
        command
    }

    fn runs(&self, token: &str, words: &str, script: &str) -> Ended {
        let mut command = self.command(token, &format!("{words} --"));
        ended(command.args(["sh", "-c", script]).output().expect("ran"))
    }

    /// Kills the server; one that begins again is at the same address.
    fn server_dies(&mut self) {
        self.serving.process.kill().expect("it is there");
        self.serving.process.wait().expect("it ends");
    }

    fn server_is_back(&mut self) {
        let (_, address) = self.serving.url.split_once("://").expect("a URL");
        self.serving = serve(&self.place, address);
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
    worker.args(["sh", "-c", "sleep 0.5; echo \"$TENURE_TASK\" >> done"]);
    let worker = worker.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let done = far.place.path("done");
    until("the first one is done", || done.exists());
    far.server_dies();
    far.server_is_back();
    let Ended { status, errors, .. } = ended(worker.wait_with_output().expect("it ends"));
    assert_eq!(status, 0, "{errors}");
    let mut ran: Vec<String> =
        fs::read_to_string(&done).expect("what ran").lines().map(str::to_owned).collect();
    ran.sort();
    assert_eq!(ran, ids, "each once: {errors}");
    assert!(ids.iter().all(|id| far.place.state(id) == "completed"), "{errors}");
}

#[test]
fn a_run_goes_on_while_the_server_is_away() {
    let mut far = Far::new();
    let token = far.token("builder", "worker");
    let mut run = far.command(&token, "run --task build-1 --ttl 30s --");
    run.args(["sh", "-c", "touch began; while ! test -e go; do sleep 0.05; done"]);
    let run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let began = far.place.path("began");
    until("it runs", || began.exists());
    far.server_dies();
    fs::write(far.place.path("go"), "").expect("written");
    std::thread::sleep(std::time::Duration::from_secs(1));
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

/// A certificate for `localhost`, or a key or an authority, as files of these tests have it: `own` is what
/// `openssl req -x509` makes, `issued` is one that `authority` vouches for. They end in 2126, and nobody else trusts them.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serving/tls").join(name)
}

/// A server that shows that certificate.
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

    /// What becomes of a look by somebody who trusts that, and calls the server by that name.
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
    assert_eq!(
        (stranger.status, stranger.errors.contains("none of the authorities")),
        (5, true),
        "{}",
        stranger.errors
    );
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
    let file = far.place.path("seen");
    let to_file =
        || Stdio::from(fs::OpenOptions::new().append(true).create(true).open(&file).expect("a file"));
    far.place.done("task create --id before");
    let following =
        far.command(&token, "events --follow -o json").stdout(to_file()).stderr(Stdio::piped()).spawn();
    let mut following = following.expect("it runs");
    let seen =
        |id: &str| fs::read_to_string(&file).is_ok_and(|text| text.contains(&format!("\"task\":\"{id}\"")));
    until("it follows", || seen("before"));
    let waiting = far.command(&token, "task wait before --timeout 60s").stderr(Stdio::piped()).spawn();
    let waiting = waiting.expect("it runs");
    std::thread::sleep(std::time::Duration::from_millis(500));
    far.server_dies();
    far.place.done("task create --id meanwhile");
    far.place.done("task cancel before --as alice --reason enough");
    // Longer than a single request is tried again.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(following.try_wait().expect("its status").is_none(), "it goes on asking");
    far.server_is_back();
    until("what happened meanwhile is seen", || seen("meanwhile"));
    let told = ended(waiting.wait_with_output().expect("it ends"));
    assert!(told.errors.contains("goes on once the store is back"), "{}", told.errors);
    assert_eq!(told.status, 0, "{}", told.errors);
    following.kill().expect("it runs");
    following.wait().expect("it ends");
    let mistyped =
        far.command(&token, "--store http://127.0.0.1:1 events --follow").output().expect("it ends");
    assert_eq!(ended(mistyped).status, 5, "who was never there is not waited for");
}
