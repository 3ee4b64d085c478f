//! Tests the `sh` blocks of documents: they are typed into a shell, in an empty directory, one after the other, and must
//! print what is listed here. Blocks with output in them (`console`) are compared by other tests. Every block must be
//! listed here, with what it prints or with the reason why it can't be run.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::TENURE;

/// How a block is tested.
enum Block {
    /// It is run.
    Typed {
        /// Commands that the reader has run before this block.
        given: &'static str,
        /// Prefixes of the commands that fail. All others succeed.
        fails: &'static [&'static str],
        /// Texts that are printed.
        shows: &'static [&'static str],
    },
    /// It is not run, for this reason.
    Elsewhere(&'static str),
}

use Block::{Elsewhere, Typed};

const fn shows(shows: &'static [&'static str]) -> Block {
    Typed { given: "", fails: &[], shows }
}

const fn given(given: &'static str, shows: &'static [&'static str]) -> Block {
    Typed { given, fails: &[], shows }
}

const BUILDS: &str = "it builds for minutes; what it names is looked at by another test here";
const WHEEL: &str = "it builds for minutes; the tests of the Python package install its wheel";
const ROOT: &str = "it changes the machine, as root";
const DOCKER: &str = "it needs Docker";

/// The server that the document assumes is running in another terminal.
const SERVER: &str =
    "tenure serve & until curl -sf http://127.0.0.1:7117/readyz; do kill -0 $! && sleep 0.05; done";

/// The blocks of each document, each identified by how it begins.
const DOCUMENTS: &[(&str, &[(&str, Block)])] = &[
    (
        "README.md",
        &[
            ("cargo run --release -- serve", Elsewhere(BUILDS)),
            ("cargo xtask wheel", Elsewhere(WHEEL)),
            ("export TENURE_STORE=sqlite:try.db", shows(&[])),
            (
                "tenure run --task build-43",
                Typed {
                    given: "",
                    fails: &["tenure run --task build-44"],
                    shows: &["built", "undid remove-worktree /tmp/wt-44; closed", "build-45 got {\"branch\":\"main\"}"],
                },
            ),
            (
                "tenure serve &",
                shows(&["\"id\":\"build-46\"", "built"]),
            ),
        ],
    ),
    (
        "docs/command-line.md",
        &[(
            "epoch=$(tenure -q task acquire build-42 --owner w1) || exit",
            given("tenure task create --id build-42", &[]),
        )],
    ),
    (
        "docs/deploying.md",
        &[
            ("tenure --store sqlite:try.db serve --check", shows(&["sqlite:try.db"])),
            ("tenure --store sqlite:try.db token create --name admin", shows(&["tenure_", "admin"])),
            (
                "export TENURE_STORE=http://127.0.0.1:7117",
                given(
                    "TENURE_STORE=sqlite:try.db tenure serve &
                     until curl -sf http://127.0.0.1:7117/readyz; do kill -0 $! && sleep 0.05; done",
                    &["agent-1", "prometheus", "reader"]),
            ),
            ("cargo build --locked --profile dist -p tenure-cli", Elsewhere(BUILDS)),
            ("sudo useradd --system", Elsewhere(ROOT)),
            (
                "sudo -u tenure /usr/local/bin/tenure --store sqlite:/var/lib/tenure/tenure.db",
                given(
                    "unset TENURE_STORE TENURE_TOKEN; mkdir -p /var/lib/tenure /etc/tenure; touch /etc/tenure/tenure.toml",
                    &["tenure_", "sqlite:/var/lib/tenure/tenure.db"],
                ),
            ),
            ("sudo install -m 0600 -o tenure -g tenure /dev/null /etc/tenure/pgpass", Elsewhere(ROOT)),
            ("sudo -u tenure env PGPASSFILE=/etc/tenure/pgpass", Elsewhere("its database is elsewhere")),
            ("sudo systemctl enable --now tenure.socket tenure.service", Elsewhere(ROOT)),
            ("sudo systemctl restart tenure.socket tenure.service", Elsewhere(ROOT)),
            ("docker build -f deploy/docker/Dockerfile", Elsewhere(DOCKER)),
            (
                "umask 077 && mkdir -p secrets",
                shows(&[]),
            ),
            ("docker compose run --rm server token create", Elsewhere(DOCKER)),
            ("kubectl apply", Elsewhere("it needs a cluster")),
        ],
    ),
    (
        "docs/backup.md",
        &[(
            "tenure backup monday.backup",
            given(
                "export TENURE_STORE=sqlite:tasks.db; tenure task create --id build-42",
                &["backed up to monday.backup", "epochs are granted above 4294967296", "verified: 1 task, 1 event"],
            ),
        )],
    ),
    (
        "docs/operating.md",
        &[
            ("(umask 077; printf 'whsec_", shows(&[])),
            (
                "tenure -q task list --state failed",
                given(
                    "tenure task create --id old --undo none=-; tenure task fail old --as alice --reason 'no such repository'",
                    &["old"],
                ),
            ),
            (
                "tenure export --store sqlite:old.db > tasks.jsonl",
                given("tenure --store sqlite:old.db task create --id build-42", &["imported 1 event", "verified"]),
            ),
            (
                "tenure prune --older-than 90d --dry-run",
                given(
                    "tenure task create --id t",
                    &["0 tasks would be pruned", "0 tasks pruned", "archived in pruned.jsonl"],
                ),
            ),
            (
                "tenure events --follow --cursor-name mailer",
                Elsewhere("it follows until it is interrupted; another test of this program reads by a named cursor"),
            ),
            (
                "tenure audit verify --task build-42",
                given("tenure task create --id build-42; tenure audit anchor > anchor-of-monday", &["verified"]),
            ),
            (
                "#!/bin/sh\nreport=$(/usr/local/bin/tenure --store sqlite:/var/lib/tenure/tenure.db audit verify",
                given("mkdir -p /var/lib/tenure; tenure --store sqlite:/var/lib/tenure/tenure.db task create", &[]),
            ),
        ],
    ),
    (
        "docs/worker-over-http.md",
        &[
            ("API=http://127.0.0.1:7117/v1/default", given(SERVER, &["\"state\":\"planned\""])),
            ("curl -sS \"$API/claims\"", shows(&["\"state\":\"running\"", "\"epoch\":1"])),
            ("curl -sS \"http://127.0.0.1:7117/v1/now\"", shows(&["\"now\":"])),
            ("curl -sS \"$API/tasks/build-50/heartbeat?return=minimal\"", shows(&["\"cancel\":false"])),
            ("curl -sS \"$API/tasks/build-50/compensations", shows(&["\"newest_seq\":1", "\"owed\":1"])),
            ("curl -sS \"$API/tasks/build-50/complete", shows(&["\"state\":\"completed\""])),
            ("curl -sS \"$API/tasks/build-50/heartbeat\"", shows(&["\"code\":\"terminal\""])),
            ("curl -sS \"$API/tasks?return=minimal\" -H \"$JSON\" -d '{\"id\": \"build-51\"", shows(&["\"cancel\":true"])),
            ("curl -sS \"$API/tasks/build-51/rollback", shows(&["\"state\":\"compensated\"", "\"cause\":\"cancelled\""])),
            (
                "curl -sS \"$API/tasks?return=minimal\" -H \"$JSON\" -d '{\"id\": \"build-52\"",
                shows(&["\"state\":\"running\"", "\"state\":\"planned\""]),
            ),
            (
                "curl -sS \"$API/claims?return=minimal\" -H \"$JSON\" -H 'Idempotency-Key: w1/claim/4'",
                shows(&["\"epoch\":2", "\"state\":\"failed\""]),
            ),
            (
                "tenure task undo add \"$TENURE_TASK\"",
                given(
                    "export TENURE_STORE=http://127.0.0.1:7117 TENURE_TASK=build-53 TENURE_OWNER=w1 TENURE_EPOCH=1
                     tenure task create --id build-53; tenure task acquire build-53 --owner w1",
                    &["recovery undoes 1 compensation", "progress saved"],
                ),
            ),
        ],
    ),
];

/// The `sh` blocks of a document.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::read_to_string(path).expect(name)
}

/// A free port outside the range that the system assigns, different for each process of these tests.
fn free_port() -> u16 {
    const LEAST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    let offset = std::process::id() % COUNT;
    let mut ports = (0..COUNT).filter_map(|step| u16::try_from(LEAST + (offset + step) % COUNT).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

/// A directory for one document, with replacements for the machine's paths.
struct Machine {
    folder: tempfile::TempDir,
    places: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let within = |name: &str| folder.path().join(name).display().to_string();
        let mail = within("mail");
        let places = vec![
            ("7117", port.to_string()),
            ("/usr/local/bin/tenure-verify", within("bin/tenure-verify")),
            ("/usr/local/bin/tenure", TENURE.to_owned()),
            ("/var/lib/tenure", within("var")),
            ("/var/backups/tenure", within("backups")),
            ("/mnt/elsewhere", within("elsewhere")),
            ("/etc/tenure", within("etc")),
            ("/tmp/wt", within("wt")),
            // The token that was printed last.
            (
                "tenure_…",
                format!(
                    "$(cat {}/block-* | grep -o 'tenure_[A-Za-z0-9_]*' | tail -1)",
                    folder.path().display()
                ),
            ),
        ];
        let machine = Machine { folder, places };
        machine
            .program("sudo", "while [ \"$1\" = -u ]; do shift 2; done\n[ \"$1\" = chown ] || exec \"$@\"\n");
        machine.program("mail", &format!("{{ echo \"$@\"; cat; }} >> {mail}\n"));
        machine
    }

    fn program(&self, name: &str, text: &str) {
        let folder = self.folder.path().join("bin");
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}")).expect("written");
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    /// The text with its paths replaced.
    fn here(&self, text: &str) -> String {
        self.places.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Runs the script, and stops what it left running.
    fn types(&self, script: &str) {
        let folder = self.folder.path();
        let programs: PathBuf = Path::new(TENURE).parent().expect("a folder").into();
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{}:{path}", folder.join("bin").display(), programs.display());
        let listen = self.here("127.0.0.1:7117");
        let mut shell = Command::new("timeout");
        // In the process group of this test, so that killing the test kills these, too.
        shell.args(["--foreground", "-k", "5", "300", "bash", "-c", script]).current_dir(folder).env_clear();
        shell.env("PATH", path).env("HOME", folder).env("USER", "alice").env("TENURE_LISTEN", listen);
        let ended = shell.output().expect("bash runs");
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{}: {errors}{}", ended.status, self.file("given"));
    }
}

/// A script with all blocks in one shell, as for a reader. Each block's output goes to a file, and its failed commands to
/// another.
fn script(machine: &Machine, blocks: &[(String, &Block)]) -> String {
    let mut script = "set -E; trap 'status=$?; kill $(jobs -p) 2>/dev/null; exit $status' EXIT\n".to_owned();
    for (number, (text, block)) in blocks.iter().enumerate() {
        let Typed { given, .. } = block else { continue };
        // A block that exits its shell gets a subshell.
        let (open, close) = if text.contains("exit") { ("(", ")") } else { ("{", "}") };
        script += &format!(
            "exec >given 2>&1\ntrap 'exit 9' ERR\n{given}\ntrap - ERR\nexec >block-{number} 2>&1\n\
             : >failed-{number}; trap 'echo \"$BASH_COMMAND\" >>failed-{number}' ERR\n\
             {open}\n{text}\n{close}\ntrap - ERR\n",
            given = machine.here(given),
            text = machine.here(text),
        );
    }
    script
}

#[test]
fn what_documents_say_to_type_does_what_they_say() {
    for (name, listed) in DOCUMENTS {
        let machine = Machine::new();
        let blocks: Vec<(String, &Block)> = blocks(&document(name))
            .into_iter()
            .map(|text| {
                let found = listed.iter().find(|(begins, _)| text.starts_with(begins));
                let (_, block) =
                    found.unwrap_or_else(|| panic!("{name}: nobody says what this shows:\n{text}"));
                (text, block)
            })
            .collect();
        assert_eq!(blocks.len(), listed.len(), "{name}: each that is listed is there");
        machine.types(&script(&machine, &blocks));
        for (number, (text, block)) in blocks.iter().enumerate() {
            let (fails, shows) = match block {
                Typed { fails, shows, .. } => (fails, shows),
                Elsewhere(why) => {
                    println!(
                        "{name}: {why}, so it is not typed: {}",
                        text.lines().next().unwrap_or_default()
                    );
                    continue;
                }
            };
            let told = machine.file(&format!("block-{number}"));
            let failed = fs::read_to_string(machine.folder.path().join(format!("failed-{number}")));
            let failed = failed.unwrap_or_else(|_| panic!("{name}: it was not typed: {text}"));
            let about = format!("{name}:\n{text}\nprinted:\n{told}");
            for line in failed.lines() {
                assert!(fails.iter().any(|begins| line.starts_with(begins)), "{line}: failed: {about}");
            }
            for begins in *fails {
                assert!(failed.contains(begins), "{begins} fails: {about}");
            }
            for words in *shows {
                let words = machine.here(words);
                assert!(told.contains(&words), "{words} is printed: {about}");
            }
            let is_refused =
                told.contains("\"code\":") && !shows.iter().any(|words| words.contains("\"code\":"));
            assert!(!is_refused, "nothing is refused: {about}");
        }
        assert_eq!(machine.file("mail"), "", "{name}: nobody is called for nothing");
    }
}

/// The cron commands of a document, as cron passes them to a shell.
fn cron_commands(text: &str) -> Vec<String> {
    let is_time =
        |field: &&str| !field.is_empty() && field.chars().all(|one| one == '*' || one.is_ascii_digit());
    let command = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (times, rest) = fields.split_at_checked(5)?;
        let is_line = times.iter().all(is_time) && rest.first() == Some(&"tenure");
        is_line.then(|| rest[1..].join(" ").replace("\\%", "%"))
    };
    text.lines().filter_map(command).collect()
}

#[test]
fn what_cron_runs_is_quiet_while_all_is_well_and_writes_to_somebody_when_not() {
    let machine = Machine::new();
    let text = document("docs/operating.md");
    let script = blocks(&text).into_iter().find(|block| block.starts_with("#!/bin/sh")).expect("a script");
    machine.program("tenure-verify", &machine.here(&script));
    let folders = "mkdir -p /var/lib/tenure /var/backups/tenure /mnt/elsewhere; touch /etc/tenure.toml";
    let store = "--store sqlite:/var/lib/tenure/tenure.db";
    let given =
        format!("tenure {store} task create --id t; tenure {store} audit anchor > /mnt/elsewhere/newest");
    machine.types(&machine.here(&format!("{folders}; {given}")));
    let commands = cron_commands(&text);
    assert!(commands.len() >= 3, "{commands:?}");
    for command in &commands {
        machine.types(&machine.here(&format!("set -e; {command}")));
    }
    assert_eq!(machine.file("mail"), "", "all is well");
    let anchors = fs::read_dir(machine.folder.path().join("backups")).expect("a folder").count();
    assert_eq!(anchors, 1, "the anchor is kept");

    fs::write(machine.folder.path().join("var/tenure.db"), "no store").expect("written");
    machine.types(&machine.here("/usr/local/bin/tenure-verify"));
    let mail = machine.file("mail");
    assert!(mail.contains("could not be verified") && mail.contains("ops@example.com"), "{mail}");
}

#[test]
fn every_document_with_something_to_type_is_one_of_these() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            let name = Path::new(folder).join(name).display().to_string();
            if name.ends_with(".md") && !blocks(&document(&name)).is_empty() {
                assert!(
                    DOCUMENTS.iter().any(|(known, _)| *known == name),
                    "{name}: nobody types what it says"
                );
            }
        }
    }
}

#[test]
fn what_cargo_is_told_to_build_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = document("Cargo.toml");
    let mut seen = 0;
    for (name, _) in DOCUMENTS {
        for line in blocks(&document(name)).iter().flat_map(|block| block.lines()) {
            let Some(line) = line.strip_prefix("cargo ") else { continue };
            let words: Vec<&str> =
                line.split_whitespace().take_while(|word| !["--", "#"].contains(word)).collect();
            for pair in words.windows(2) {
                match pair {
                    ["--profile", profile] => {
                        assert!(manifest.contains(&format!("[profile.{profile}]")), "{line}")
                    }
                    ["--path", path] => assert!(root.join(path).join("Cargo.toml").is_file(), "{line}"),
                    ["-p", package] => assert_eq!(*package, env!("CARGO_PKG_NAME"), "{line}"),
                    _ => continue,
                }
                seen += 1;
            }
            assert!(words[0] != "install" || words.contains(&"--locked"), "{line}");
        }
    }
    assert!(seen >= 3, "{seen}");
}
