//! Services that a file declares: an Alertmanager and a Prometheus, whose own answers say what is right.

use crate::{configure, home};
use omnifs_support::tools::{errno, list, read, shell};
use omnifs_support::{Mounted, Omnifs, Server, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/providers/specs/alertmanager.toml");
const PROMETHEUS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/providers/specs/prometheus-api.toml");
const EIO: i32 = 5;
/// For what a server does by itself.
const SOON: Duration = Duration::from_secs(120);

pub fn alertmanager(omnifs: &Omnifs) -> Server {
    let served = omnifs.path("served");
    let file = |name: &str| served.join(name).display().to_string();
    fs::create_dir_all(&served).expect("a folder");
    fs::write(file("manager.yml"), "route: {receiver: ops}\nreceivers: [{name: ops}]\n")
        .expect("a file");
    let arguments = |at: &str| {
        vec![
            format!("--config.file={}", file("manager.yml")),
            format!("--storage.path={}", file("data")),
            format!("--web.listen-address={at}"),
            "--cluster.listen-address=".to_owned(),
        ]
    };
    Server::start("prometheus-alertmanager", &served, arguments).expect("an Alertmanager")
}

/// Sends or asks with curl, whatever the machine's proxy.
pub fn curl(what: &str) -> String {
    shell(Path::new("/"), &format!("curl -sS -f -g --noproxy '*' {what}"))
}

pub fn asked(server: &Server, path: &str) -> Value {
    let text = curl(&format!("'{}{path}'", server.url()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

fn send(server: &Server, path: &str, body: &str) -> String {
    let url = server.url();
    curl(&format!("-H 'content-type: application/json' -d '{body}' {url}{path}"))
}

pub fn silence(server: &Server, comment: &str) -> String {
    let answer = send(
        server,
        "/api/v2/silences",
        &format!(
            r#"{{"comment": "{comment}", "createdBy": "ops", "startsAt": "2020-01-01T00:00:00Z",
            "endsAt": "2100-01-01T00:00:00Z", "matchers": [{{"name": "job", "value": "x", "isRegex": false}}]}}"#
        ),
    );
    let answer: Value = serde_json::from_str(&answer).expect("an id");
    answer["silenceID"].as_str().expect("an id").to_owned()
}

/// Adds a file; what was said.
fn add(omnifs: &Omnifs, file: &Path) -> String {
    let file = file.to_str().expect("UTF-8");
    let ran = omnifs.run(&["providers", "add", file, "--yes"]).expect("a run");
    assert!(ran.status.success(), "{ran:?}");
    ran.stdout + &ran.stderr
}

fn place(mounted: &Mounted<'_>, path: &str) -> PathBuf {
    mounted.join("alertmanager").join(path)
}

#[test]
fn a_declared_service_shows_what_the_server_says_at_each_open() {
    let programs = ["prometheus-alertmanager", "curl"];
    let Some(omnifs) = home("rest_shown", &programs) else { return };
    let server = alertmanager(&omnifs);
    let url = server.url();
    configure(&omnifs, &format!("[instances.alertmanager]\nendpoints.alertmanager = '{url}'\n"));
    add(&omnifs, Path::new(SPEC));
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let read = |path: &str| read(&place(&mounted, path));
    let names = |path: &str| list(&place(&mounted, path)).expect("a directory");

    let all = names("").into_iter().filter(|name| name.chars().all(|c| c.is_ascii_lowercase()));
    assert_eq!(all.collect::<Vec<_>>(), ["alerts", "receivers", "silences", "status"]);
    let status = asked(&server, "/api/v2/status");
    let version = status["versionInfo"]["version"].as_str().expect("a version");
    assert_eq!(read("status/version"), format!("{version}\n"));
    assert!(read("status/config.yml").contains("receiver: ops"));
    assert_eq!(names("receivers"), ["ops"]);
    assert_eq!(names("silences"), [""; 0]);

    let alert = r#"[{"labels": {"alertname": "Down", "job": "x"}, "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z"}]"#;
    send(&server, "/api/v2/alerts", alert);
    // It is there once the server's dispatcher has it.
    let fingerprint = wait_until(SOON, || {
        let alerts = asked(&server, "/api/v2/alerts");
        alerts[0]["fingerprint"].as_str().map(str::to_owned)
    });
    let fingerprint = fingerprint.expect("an alert");
    assert_eq!(names("alerts"), std::slice::from_ref(&fingerprint));
    assert_eq!(read(&format!("alerts/{fingerprint}/name")), "Down\n");
    let json: Value =
        serde_json::from_str(&read(&format!("alerts/{fingerprint}/alert.json"))).expect("JSON");
    assert_eq!(json["labels"], asked(&server, "/api/v2/alerts")[0]["labels"]);

    let first = silence(&server, "rack 3");
    assert_eq!(names("silences"), std::slice::from_ref(&first));
    let own = format!("silences/{first}");
    assert_eq!(read(&format!("{own}/state")), "active\n");
    assert_eq!(read(&format!("{own}/comment")), "rack 3\n");
    let json: Value = serde_json::from_str(&read(&format!("{own}/silence.json"))).expect("JSON");
    assert_eq!(json, asked(&server, &format!("/api/v2/silence/{first}")));
    curl(&format!("-X DELETE {url}/api/v2/silence/{first}"));
    assert_eq!(read(&format!("{own}/state")), "expired\n");
    let second = silence(&server, "rack 4");
    assert_eq!(read(&format!("silences/{second}/comment")), "rack 4\n");
    let absent = place(&mounted, "silences/00000000-0000-4000-8000-000000000000");
    assert_eq!(
        fs::metadata(&absent).expect_err("no such silence").kind(),
        std::io::ErrorKind::NotFound
    );

    server.stop();
    let comment = place(&mounted, &format!("silences/{second}/comment"));
    assert_eq!(errno(&comment), EIO);
    assert_eq!(
        list(&place(&mounted, "alerts")).expect_err("nobody answers").raw_os_error(),
        Some(EIO)
    );
    server.start_again().expect("the Alertmanager");
    let answers = || fs::read_to_string(&comment).ok();
    assert_eq!(wait_until(SOON, answers).as_deref(), Some("rack 4\n"));
    // It keeps silences, and alerts only in memory.
    assert_eq!(asked(&server, "/api/v2/alerts"), Value::Array(Vec::new()));
    assert_eq!(names("alerts"), [""; 0]);
}

#[test]
fn objects_within_objects_are_what_the_server_says() {
    let Some(omnifs) = home("rest_nested", &["prometheus", "curl"]) else { return };
    let served = omnifs.path("served");
    fs::create_dir_all(&served).expect("a folder");
    let file = |name: &str| served.join(name).display().to_string();
    let rules = "groups:\n- {name: example, rules: [{record: 'a:sum', expr: 'sum(up)'}]}\n";
    fs::write(file("rules.yml"), rules).expect("a file");
    let server = Server::start("prometheus", &served, |at| {
        let configuration = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n\
             - {{job_name: own, scrape_interval: 12s, scrape_timeout: 12s, static_configs: [{{targets: ['{at}']}}]}}\n"
        );
        fs::write(file("prometheus.yml"), configuration).expect("a file");
        vec![
            format!("--config.file={}", file("prometheus.yml")),
            format!("--storage.tsdb.path={}", file("data")),
            format!("--web.listen-address={at}"),
        ]
    });
    let server = server.expect("a Prometheus");
    let until = |holds: &dyn Fn() -> bool, why: &str| {
        assert!(wait_until(SOON, || holds().then_some(())).is_some(), "{why}");
    };
    let data = |path: &str| asked(&server, path)["data"].take();
    let scraped = || data("/api/v1/targets?state=active")["activeTargets"][0]["health"] == "up";
    until(&scraped, "it was not scraped");
    until(&|| data("/api/v1/rules")["groups"][0]["name"] == "example", "there is no rule");

    let url = server.url();
    configure(&omnifs, &format!("[instances.watch]\nendpoints.prometheus-api = '{url}'\n"));
    let ran =
        omnifs.run(&["providers", "add", PROMETHEUS, "--name", "watch", "--yes"]).expect("a run");
    assert!(ran.status.success(), "{ran:?}");
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    let place = |path: &str| mounted.join("watch").join(path);
    let read = |path: &str| read(&place(path));
    let names = |path: &str| list(&place(path)).expect("a directory");

    assert_eq!(names("targets"), [server.address()]);
    assert_eq!(read(&format!("targets/{}/health", server.address())), "up\n");
    assert_eq!(read(&format!("targets/{}/url", server.address())), format!("{url}/metrics\n"));
    assert_eq!(names("rules"), ["example"]);
    assert!(read("rules/example/rules.json").contains("sum(up)"));
    let version = data("/api/v1/status/buildinfo")["version"].take();
    assert_eq!(read("build/version"), format!("{}\n", version.as_str().expect("a version")));

    // What was asked of it since may have brought another label.
    let texts = |path: &str| {
        let all = data(path);
        let texts = all.as_array().expect("a list").iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let shown = |path: &str| names(path).into_iter().collect::<BTreeSet<_>>();
    until(&|| texts("/api/v1/labels") == shown("labels"), "the labels are not those of the server");
    assert_eq!(names("labels/job"), ["values"]);
    assert_eq!(names("labels/job/values"), ["own"]);
    assert_eq!(read("labels/job/values/own/value"), "own\n");
    let quantiles = || texts("/api/v1/label/quantile/values") == shown("labels/quantile/values");
    until(&quantiles, "the values are not those of the server");
    let absent = fs::metadata(place("labels/nothing")).expect_err("no such label");
    assert_eq!(absent.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn what_a_file_asks_for_is_approved_and_another_file_is_another_approval() {
    let Some(omnifs) = home("rest_approved", &[]) else { return };
    configure(&omnifs, "");
    let file = omnifs.path("alerts.toml");
    let spec = fs::read_to_string(SPEC).expect("the file");
    let run = |arguments: &[&str]| omnifs.run(arguments).expect("a run");
    let shown = file.to_str().expect("UTF-8");

    // A wrong one is refused with the line, and nothing is added.
    fs::write(&file, spec.replace("/silence/{id}", "/silence/{alert}")).expect("a file");
    let ran = run(&["providers", "add", shown, "--yes"]);
    assert!(!ran.status.success(), "{ran:?}");
    let line = 1 + spec.lines().position(|line| line.starts_with("get = ")).expect("a line");
    assert!(
        ran.stderr.contains(&format!("alerts.toml: line {line}: {{alert}} is no object")),
        "{ran:?}"
    );
    assert!(!omnifs.path("data/omnifs/providers/alertmanager.wasm").exists());

    fs::write(&file, &spec).expect("a file");
    let ran = run(&["providers", "info", shown]);
    for path in ["GET /api/v2/alerts", "GET /api/v2/silence/*", "GET /api/v2/status"] {
        assert!(ran.stdout.contains(path), "{ran:?}");
    }
    assert!(!ran.stdout.contains("POST") && !ran.stdout.contains("**"), "{ran:?}");
    add(&omnifs, &file);
    let state = || run(&["providers", "info", "alertmanager"]).stdout;
    assert!(state().contains("instance alertmanager: approved"), "{}", state());

    // What was approved stays what it was, until another file takes its place.
    fs::write(&file, spec.replace("/api/v2/receivers", "/api/v2/alerts/groups")).expect("a file");
    assert!(!state().contains("/api/v2/alerts/groups"), "{}", state());
    let said = add(&omnifs, &file);
    assert!(said.contains("+ ") && said.contains("/api/v2/alerts/groups"), "{said}");
    assert!(state().contains("GET /api/v2/alerts/groups"), "{}", state());

    // The file is among the bytes that were approved: one that is changed in place runs no more.
    let installed = omnifs.path("data/omnifs/providers/alertmanager.wasm");
    let mut bytes = fs::read(&installed).expect("a component");
    let path = b"/api/v2/alerts/groups";
    let at = bytes.windows(path.len()).position(|window| window == path).expect("the file's text");
    bytes[at + path.len() - 1] = b'x';
    fs::write(&installed, bytes).expect("written");
    assert!(state().contains("is not the file that was approved"), "{}", state());
}
