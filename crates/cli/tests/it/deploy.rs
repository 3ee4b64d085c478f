//! Tests that the deployment files match the binary: each option, variable, setting, port, probe, path and metric in
//! `deploy`, and in the documents about it, is compared with the binary's own. Nothing is started here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use tenure::core::refusal::Code;
use tenure::core::task::State;
use tenure::core::verb::Verb;
use tenure_cli::command;
use tenure_server::METRIC_NAMES;
use tenure_server::access::Access;
use tenure_server::routes::routes;

// ---- reading -------------------------------------------------------------------------------------------------

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn one_yaml(path: &str) -> Value {
    let mut documents = yaml(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A systemd unit: its settings by section and key. A key can be set more than once.
fn unit(path: &str) -> BTreeMap<(String, String), Vec<String>> {
    let (mut section, mut set) = (String::new(), BTreeMap::<_, Vec<String>>::new());
    for line in text(path).lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: `{line}`"));
            set.entry((section.clone(), key.to_owned())).or_default().push(value.to_owned());
        }
    }
    set
}

const SERVICE: &str = "deploy/systemd/tenure.service";
const SOCKET: &str = "deploy/systemd/tenure.socket";
const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const COMPOSE: &str = "deploy/docker/compose.yaml";
const KUBERNETES: &str = "deploy/kubernetes/tenure.yaml";
const SECRETS: &str = "deploy/kubernetes/secret.example.yaml";
const SCRAPE: &str = "deploy/prometheus/scrape.yaml";
const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const ALERT_CASES: &str = "deploy/prometheus/alerts.test.yaml";
const DASHBOARD: &str = "deploy/grafana/tenure.json";
const IGNORED: &str = "deploy/docker/Dockerfile.dockerignore";
const DOCUMENTS: [&str; 2] = ["docs/deploying.md", "docs/operating.md"];

const FILES: [&str; 11] = [
    SERVICE,
    SOCKET,
    DOCKERFILE,
    IGNORED,
    COMPOSE,
    KUBERNETES,
    SECRETS,
    SCRAPE,
    ALERTS,
    ALERT_CASES,
    DASHBOARD,
];

/// The value of a setting in a unit.
fn set(path: &str, section: &str, key: &str) -> String {
    let mut values = unit(path).remove(&(section.to_owned(), key.to_owned())).unwrap_or_default();
    assert_eq!(values.len(), 1, "{path}: [{section}] {key}");
    values.remove(0)
}

/// The Kubernetes document of that kind.
fn kind(kind: &str) -> Value {
    let found = yaml(KUBERNETES).into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("{KUBERNETES}: a {kind}"))
}

fn pod() -> Value {
    kind("Deployment")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    pod()["containers"][0].clone()
}

fn server() -> Value {
    one_yaml(COMPOSE)["services"]["server"].clone()
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().unwrap_or_else(|| panic!("a list of words: {list}"));
    words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// Every string in a document, at any depth.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The strings of all fields with that name, at any depth.
fn fields(value: &Value, name: &str) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| fields(item, name)).collect(),
        Value::Object(all) => {
            let own = all.get(name).and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(all.values().flat_map(|value| fields(value, name))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

fn seconds(length: &str) -> u64 {
    let digits = length.trim_end_matches('s');
    digits.parse().unwrap_or_else(|_| panic!("`{length}` is no number of seconds"))
}

// ---- what the binary has -------------------------------------------------------------------------------------

/// The help of each option of `serve`, and of the global options.
static HELP: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mut tenure = command();
    tenure.build();
    let serve = tenure.find_subcommand("serve").expect("tenure serve");
    let said = serve.get_arguments().filter_map(|argument| {
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
        Some((argument.get_long()?.to_owned(), help.unwrap_or_default()))
    });
    said.collect()
});

/// The default of an option, as its help says it.
fn default_of(option: &str) -> String {
    let help = HELP.get(option).unwrap_or_else(|| panic!("--{option}"));
    let default = help.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
    default
        .map(|(default, _)| default.to_owned())
        .unwrap_or_else(|| panic!("--{option} says its default: {help}"))
}

fn port() -> String {
    default_of("listen").rsplit_once(':').expect("an address").1.to_owned()
}

/// How long a stop can take: the grace, which requests and undos share, and 15 s to release the leases of the rest.
fn stop_seconds() -> u64 {
    let given = settings()["serve"]["grace"].as_str().map(str::to_owned);
    seconds(&given.unwrap_or_else(|| default_of("grace"))) + 15
}

/// The settings file in the ConfigMap.
fn settings() -> toml::Table {
    let text = kind("ConfigMap")["data"]["tenure.toml"].as_str().expect("the settings").to_owned();
    text.parse().unwrap_or_else(|error| panic!("{KUBERNETES}: tenure.toml: {error}"))
}

/// Checks that the binary accepts these words as a command.
fn is_taken(place: &str, words: &[String]) {
    let words = ["tenure".to_owned()].into_iter().chain(words.iter().cloned());
    if let Err(error) = command().try_get_matches_from(words) {
        panic!("{place}: {error}");
    }
}

// ---- files ---------------------------------------------------------------------------------------------------

/// Run by promtool, which `cargo xtask test` installs if the machine has none.
#[test]
fn alerts_ring_and_end_as_their_cases_say_and_each_has_one_of_both() {
    let alerts: BTreeSet<String> = fields(&one_yaml(ALERTS), "alert").into_iter().collect();
    let cases = one_yaml(ALERT_CASES);
    let (mut ring, mut are_silent) = (BTreeSet::new(), BTreeSet::new());
    for case in cases["tests"].as_array().expect("cases") {
        for look in case["alert_rule_test"].as_array().expect("looks") {
            let name = look["alertname"].as_str().expect("a name").to_owned();
            let rings = look["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            if rings {
                ring.insert(name)
            } else {
                are_silent.insert(name)
            };
        }
    }
    assert_eq!((&ring, &are_silent), (&alerts, &alerts), "a case that rings and one that does not");

    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus/usr/bin/promtool");
    let program = if unpacked.is_file() { unpacked } else { PathBuf::from("promtool") };
    let played = match Command::new(program).args(["test", "rules"]).arg(root().join(ALERT_CASES)).output() {
        Ok(played) => played,
        Err(error) => {
            println!("not run: the cases of {ALERT_CASES}: promtool: {error}");
            return;
        }
    };
    let told = [played.stdout, played.stderr].concat();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn every_file_is_one_that_is_looked_at_and_the_document_names_its_folder() {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut files = Vec::new();
    below(&root().join("deploy"), &mut files);
    let named = |path: &PathBuf| path.strip_prefix(root()).expect("in it").display().to_string();
    let there: BTreeSet<String> = files.iter().map(named).collect();
    assert_eq!(
        there,
        FILES.map(str::to_owned).into_iter().collect(),
        "what nobody looks at is wrong one day"
    );
    for file in FILES {
        let folder = file.rsplit_once('/').expect("a folder").0;
        assert!(text("docs/deploying.md").contains(&format!("`{folder}`")), "{folder}");
        assert!(
            file.ends_with(".json") || text(file).trim_start().starts_with('#'),
            "{file} says what it is for"
        );
    }
}

#[test]
fn everything_that_starts_the_server_says_it_in_words_that_it_takes() {
    let started = set(SERVICE, "Service", "ExecStart");
    let mut line = started.split(' ').map(str::to_owned);
    assert_eq!(line.next().as_deref(), Some("/usr/local/bin/tenure"));
    is_taken(SERVICE, &line.collect::<Vec<_>>());
    is_taken(COMPOSE, &words(&server()["command"]));
    is_taken(KUBERNETES, &words(&container()["args"]));
    let list = |instruction: &str| {
        let line =
            text(DOCKERFILE).lines().find_map(|line| line.strip_prefix(instruction).map(str::to_owned));
        words(&serde_json::from_str(line.expect(instruction).trim()).expect("a list"))
    };
    assert_eq!(list("ENTRYPOINT").last().map(String::as_str), Some("/usr/local/bin/tenure"));
    is_taken(DOCKERFILE, &list("CMD"));
}

#[test]
fn what_documents_show_of_the_command_line_is_taken() {
    let mut shown = 0;
    for line in text("docs/deploying.md").lines() {
        let line =
            line.replace("docker compose run --rm server ", "tenure ").replace("\"$STORE\"", "memory:");
        let Some(words) = line.strip_prefix("tenure ") else { continue };
        is_taken(&line, &words.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect::<Vec<_>>());
        shown += 1;
    }
    assert!(shown >= 3, "{shown}");
    let options = found(r"`--[a-z-]+", &text("docs/deploying.md"));
    for option in options {
        let name = option.trim_start_matches("`--");
        let of_tokens = ["role", "name"];
        assert!(HELP.contains_key(name) || of_tokens.contains(&name), "{option}");
    }
}

#[test]
fn every_variable_is_one_that_the_binary_reads() {
    let known: BTreeSet<String> =
        HELP.values().flat_map(|help| found(r"\b(TENURE|OTEL)_[A-Z_]+", help)).collect();
    for path in FILES.iter().chain(&DOCUMENTS).filter(|path| **path != "docs/operating.md") {
        for name in found(r"\bTENURE_[A-Z_]+", &text(path)) {
            assert!(known.contains(&name), "{path}: {name}");
        }
    }
    let of_libpq = text("docs/limits.md") + &text("docs/command-line.md");
    let mut names: Vec<String> =
        server()["environment"].as_object().expect("variables").keys().cloned().collect();
    names
        .extend(container()["env"].as_array().expect("variables").iter().flat_map(|one| fields(one, "name")));
    names.retain(|name| name.starts_with("PG"));
    assert!(!names.is_empty());
    for name in names {
        assert!(of_libpq.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_setting_of_a_file_is_one_that_the_server_has() {
    let settings = settings();
    let known = ["store", "namespace", "serve", "undo"];
    assert!(settings.keys().all(|key| known.contains(&key.as_str())), "{settings:?}");
    let options: Vec<String> = HELP.keys().map(|option| option.replace('-', "_")).collect();
    for key in settings["serve"].as_table().expect("a section").keys() {
        let of_option = match key.as_str() {
            "hosts" => "host",
            "recovery" => "no_recovery",
            key => key,
        };
        assert!(options.iter().any(|option| option == of_option), "{key}");
    }
}

#[test]
fn no_store_is_named_with_a_password_and_none_without_saying_how_it_is_encrypted() {
    let urls = |path: &str| found(r#"postgres://[^\s"`']+"#, &text(path));
    for url in FILES.iter().chain(&DOCUMENTS).flat_map(|path| urls(path)) {
        let (login, _) = url["postgres://".len()..].split_once('@').expect("a user");
        assert!(!login.contains(':'), "{url}");
    }
    for path in [COMPOSE, KUBERNETES, "docs/deploying.md"] {
        assert!(!urls(path).is_empty(), "{path}");
        for url in urls(path) {
            assert!(url.contains("sslmode="), "{path}: {url}");
        }
    }
}

#[test]
fn the_cluster_gives_a_server_the_memory_that_it_may_take() {
    let of_requests: u64 = default_of("memory-max").parse().expect("bytes");
    let limit = container()["resources"]["limits"]["memory"].as_str().expect("a limit").to_owned();
    let gibibytes: u64 = limit.strip_suffix("Gi").expect("in GiB").parse().expect("a number");
    // The memory of an idle server with 12,000 connections, and the store's own pages.
    let besides = 384 * 1024 * 1024;
    assert!(gibibytes << 30 >= of_requests + besides, "{limit} for {of_requests} and what comes on top");
}

#[test]
fn there_is_one_port_everywhere() {
    let port = port();
    assert_eq!(set(SOCKET, "Socket", "ListenStream"), default_of("listen"));
    assert!(text(DOCKERFILE).contains(&format!("\nEXPOSE {port}\n")));
    assert_eq!(words(&server()["ports"]), [format!("127.0.0.1:{port}:{port}")]);
    assert_eq!(server()["environment"]["TENURE_LISTEN"], format!("0.0.0.0:{port}"));
    assert_eq!(settings()["serve"]["listen"].as_str(), Some(&*format!("0.0.0.0:{port}")));
    let named = container()["ports"][0].clone();
    assert_eq!(named["containerPort"].to_string(), port);
    let service = kind("Service")["spec"]["ports"][0].clone();
    assert_eq!((service["port"].to_string(), &service["targetPort"]), (port.clone(), &named["name"]));
    assert_eq!(kind("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"], named["name"]);
    for target in words(&one_yaml(SCRAPE)["scrape_configs"][0]["static_configs"][0]["targets"]) {
        assert!(target.ends_with(&format!(":{port}")), "{target}");
    }
}

#[test]
fn probes_ask_routes_that_need_no_token_and_the_scrape_one_that_is_there() {
    let is_probe =
        |path: &str| routes().iter().any(|route| route.path == path && route.access == Access::Probe);
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        let asked = &container()[probe]["httpGet"];
        assert_eq!(asked["path"], path, "{probe}");
        assert!(is_probe(path), "{path}");
        assert_eq!((&asked["port"], &asked["scheme"]), (&container()["ports"][0]["name"], &"HTTPS".into()));
    }
    let check = texts(&server()["healthcheck"]["test"]).concat();
    assert!(check.contains("GET /readyz ") && check.contains(&format!("/127.0.0.1/{} ", port())), "{check}");
    let scraped = one_yaml(SCRAPE)["scrape_configs"][0].clone();
    let scraped = scraped["metrics_path"].as_str().expect("a path");
    assert!(routes().iter().any(|route| route.path == scraped), "{scraped}");
}

#[test]
fn whoever_stops_the_server_waits_longer_than_it_may_take() {
    let stop = stop_seconds();
    let pause = seconds(&words(&container()["lifecycle"]["preStop"]["exec"]["command"])[1]);
    let given = pod()["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(given > stop + pause, "{KUBERNETES}: {given} s");
    for (place, given) in [
        (SERVICE, seconds(&set(SERVICE, "Service", "TimeoutStopSec"))),
        (COMPOSE, seconds(server()["stop_grace_period"].as_str().expect("a length"))),
    ] {
        assert!(given > stop, "{place}: {given} s");
    }
    assert_eq!(set(SERVICE, "Service", "KillMode"), "mixed", "undos are ended by the server");
    assert_eq!(set(SERVICE, "Service", "Type"), "notify");
}

#[test]
fn whatever_is_named_within_the_files_is_there() {
    let (pod, container) = (pod(), container());
    let volumes: BTreeSet<String> =
        pod["volumes"].as_array().expect("volumes").iter().flat_map(|one| fields(one, "name")).collect();
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    for mount in mounts {
        assert!(volumes.contains(mount["name"].as_str().expect("a name")), "{mount}");
    }
    let is_in =
        |path: &str, folder: &Value| path.starts_with(&format!("{}/", folder.as_str().expect("a path")));
    let is_mounted = |path: &str| mounts.iter().any(|mount| is_in(path, &mount["mountPath"]));
    let config = words(&container["args"]).into_iter().find(|word| word.starts_with('/')).expect("a file");
    assert_eq!(config, "/etc/tenure/tenure.toml");
    let serve = settings()["serve"].clone();
    for path in
        [&*config, serve["tls_cert"].as_str().expect("a file"), serve["tls_key"].as_str().expect("a file")]
    {
        assert!(is_mounted(path), "{path}");
    }
    let secrets = yaml(SECRETS);
    let keys = |name: &str| {
        let secret = secrets.iter().find(|secret| secret["metadata"]["name"] == name);
        secret.unwrap_or_else(|| panic!("the Secret {name}"))["stringData"].as_object().expect("keys").clone()
    };
    let password = &container["env"][0]["valueFrom"]["secretKeyRef"];
    let key = |field: &str| password[field].as_str().expect("a name").to_owned();
    assert!(keys(&key("name")).contains_key(&key("key")));
    let certificate = keys(&fields(&pod, "secretName").concat());
    for file in ["tls_cert", "tls_key"] {
        let name = serve[file].as_str().and_then(|path| path.rsplit('/').next()).expect("a file");
        assert!(certificate.contains_key(name), "{name}");
    }
    let label = &kind("Deployment")["spec"]["template"]["metadata"]["labels"];
    for selected in [
        &kind("Deployment")["spec"]["selector"]["matchLabels"],
        &kind("Service")["spec"]["selector"],
        &kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selected, label);
    }
    let compose = one_yaml(COMPOSE);
    let of_services = compose["services"].as_object().expect("services").values();
    for secret in of_services.flat_map(|service| words(&service["secrets"])) {
        assert!(compose["secrets"][&secret]["file"].is_string(), "{secret}");
        assert!(text("docs/deploying.md").contains(&format!("secrets/{secret}")), "{secret} is made");
    }
    let dockerfile = server()["build"]["dockerfile"].as_str().expect("a file").to_owned();
    assert_eq!(dockerfile, DOCKERFILE, "as seen from the root of the repository");
    assert_eq!(server()["image"], container["image"]);
    assert!(server()["image"].as_str().is_some_and(|image| image.ends_with(env!("CARGO_PKG_VERSION"))));
    assert!(
        text("Cargo.toml").contains("[profile.dist]")
            && text(DOCKERFILE).contains("--profile dist -p tenure-cli")
    );
    let rust =
        text("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned));
    assert!(text(DOCKERFILE).contains(&format!("rust:{}-", rust.expect("a version").trim_matches('"'))));
}

// ---- what is watched -----------------------------------------------------------------------------------------

/// The queries of the alerts and of the dashboard.
fn queries() -> Vec<String> {
    let alerts = fields(&one_yaml(ALERTS), "expr");
    let panels = fields(&json(DASHBOARD), "expr");
    assert!(alerts.len() > 15 && panels.len() > 25, "{} and {}", alerts.len(), panels.len());
    alerts.into_iter().chain(panels).collect()
}

/// The name of a metric, without the suffixes of histograms.
fn metric(word: &str) -> &str {
    let part = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
    part.filter(|name| METRIC_NAMES.contains(name)).unwrap_or(word)
}

#[test]
fn every_metric_in_a_query_or_a_document_is_one_that_is_scraped_and_each_is_told_of() {
    let shown = [queries(), fields(&json(DASHBOARD), "definition")].concat().join("\n");
    let told = DOCUMENTS.map(text).concat();
    for word in found(r"\btenure_[a-z0-9_]+", &shown).union(&found(r"`tenure_[a-z0-9_]+", &told)) {
        let name = metric(word.trim_start_matches('`'));
        assert!(METRIC_NAMES.contains(&name), "{word}");
    }
    for name in METRIC_NAMES {
        assert!(told.contains(&format!("`{name}")), "{name}: what it says");
        assert!(shown.contains(name), "{name}: nobody looks at it");
    }
}

#[test]
fn every_value_of_a_label_is_one_that_there_is() {
    let known = |label: &str| -> Vec<&str> {
        match label {
            "state" => State::ALL.iter().map(|state| state.as_str()).collect(),
            "code" => Code::ALL.iter().map(|code| code.as_str()).chain(["broken"]).collect(),
            "verb" => Verb::ALL.iter().map(|verb| verb.as_str()).collect(),
            "outcome" => vec!["done", "refused", "unavailable", "corrupt", "unknown", "undone", "failed"],
            _ => vec!["$job"],
        }
    };
    let chosen = Regex::new(r#"([a-z]+)=~?"([^"]*)""#).expect("a pattern");
    for query in queries() {
        for found in chosen.captures_iter(&query) {
            for value in found[2].split('|') {
                assert!(known(&found[1]).contains(&value), "{query}: {}", &found[0]);
            }
        }
    }
}

/// The anchor of a heading in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_ascii_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_alert_says_how_urgent_it_is_and_leads_to_what_to_do() {
    let operating = text("docs/operating.md");
    let (_, watching) = operating.split_once("\n## Watching it\n").expect("the section");
    let watching = watching.split("\n## ").next().expect("it");
    let sections: BTreeMap<String, &str> = watching
        .split("\n### ")
        .skip(1)
        .map(|section| (anchor(section.lines().next().expect("a heading")), section))
        .collect();
    let (mut names, mut led_to) = (BTreeSet::new(), BTreeSet::new());
    for group in one_yaml(ALERTS)["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            let name = rule["alert"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(["page", "ticket"].iter().any(|urgent| rule["labels"]["severity"] == *urgent), "{name}");
            assert!(rule["annotations"]["summary"].is_string(), "{name}");
            let runbook = rule["annotations"]["runbook"].as_str().expect(name);
            let heading = runbook.strip_prefix("docs/operating.md#").expect(runbook);
            let section = sections.get(heading).unwrap_or_else(|| panic!("{name}: there is no {runbook}"));
            assert!(section.contains(&format!("`{name}`")), "{runbook} tells of {name}");
            led_to.insert(heading.to_owned());
        }
    }
    assert_eq!(led_to, sections.keys().cloned().collect(), "no alert leads there");
    assert_eq!(found(r"\bTenure[A-Z][A-Za-z]+", watching), names, "no alert of that name");
}

#[test]
fn the_dashboard_asks_for_its_source_and_each_panel_says_what_it_shows() {
    let dashboard = json(DASHBOARD);
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    let sources = ["panels", "templating"].map(|part| fields(&dashboard[part], "uid")).concat();
    let sources: BTreeSet<String> = sources.into_iter().collect();
    assert_eq!(sources, ["${datasource}".to_owned()].into(), "none is anybody's in particular");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<String> = panels.iter().map(|panel| panel["id"].to_string()).collect();
    assert_eq!(ids.len(), panels.len(), "each has a number of its own");
    let titles: BTreeSet<&str> = panels.iter().filter_map(|panel| panel["title"].as_str()).collect();
    assert_eq!(titles.len(), panels.len(), "and a title");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for query in fields(panel, "expr") {
            assert!(query.contains(r#"job=~"$job""#), "of the chosen servers alone: {query}");
            let depth = |open: char, close: char| query.matches(open).count() == query.matches(close).count();
            assert!(depth('(', ')') && depth('{', '}') && depth('[', ']'), "{query}");
        }
    }
    let rules = words(&one_yaml(SCRAPE)["rule_files"]);
    assert_eq!(rules, [ALERTS.rsplit('/').next().expect("a name")], "the rules lie beside the scrape");
}
