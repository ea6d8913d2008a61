//! The private engine and the proxy, proved against each other before any other test relies on them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use omnifs_support::{Container, Engine, Fault, Proxy, engine, http, wait_until};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn get(socket: &Path, path: &str) -> std::io::Result<http::Response> {
    http::request(socket, "GET", path, None, LIMIT)
}

fn action(event: &Value) -> &str {
    event["Action"].as_str().unwrap_or_default()
}

#[test]
fn a_container_runs_prints_is_renamed_and_stops_and_each_shows_in_the_events() {
    let Some(engine) = Engine::shared("engine") else { return };
    let mut events = engine.api().events().unwrap();
    let script = "echo out; echo err >&2; sleep 3600";
    let id = engine
        .api()
        .run(&Container {
            name: "first",
            command: &["sh", "-c", script],
            labels: &[("tier", "web")],
            ..Container::default()
        })
        .unwrap();
    let printed = || {
        let text = engine.api().logs("first").unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        (text.contains("out") && text.contains("err")).then_some(())
    };
    wait_until(LIMIT, printed).expect("both streams are in the log");
    let seen = engine.api().inspect("first").unwrap();
    assert_eq!(seen["Id"], id.as_str());
    assert_eq!(seen["State"]["Status"], "running");
    assert_eq!(seen["Config"]["Labels"]["tier"], "web");
    engine.api().rename("first", "second").unwrap();
    let renamed = events.find(LIMIT, |event| action(event) == "rename").expect("a rename event");
    assert_eq!(renamed["Actor"]["Attributes"]["name"], "second");
    engine.api().stop("second").unwrap();
    events.find(LIMIT, |event| action(event) == "die").expect("a die event");
    assert_eq!(engine.api().inspect("second").unwrap()["State"]["Status"], "exited");
    engine.api().remove("second").unwrap();
    assert!(engine.api().inspect("second").is_err());
}

#[test]
fn the_command_line_client_agrees_with_the_api() {
    let Some(engine) = Engine::shared("docker cli") else { return };
    let Some(mut cli) = engine.cli() else {
        return omnifs_support::skip("docker cli", "no docker client: apt-get install docker.io");
    };
    let id = engine.api().create(&Container { name: "by-cli", ..Container::default() }).unwrap();
    let output = cli.args(["inspect", "by-cli"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen[0]["Id"], id.as_str());
    engine.api().remove("by-cli").unwrap();
}

#[test]
fn an_engine_survives_restart_pause_and_sigkill_with_its_data() {
    let Some(engine) = Engine::start("engine faults") else { return };
    let id = engine.api().create(&Container { name: "kept", ..Container::default() }).unwrap();
    engine.api().run(&Container { name: "lost", ..Container::default() }).unwrap();
    engine.pause();
    let quick = Duration::from_millis(300);
    let frozen = http::request(engine.api().socket(), "GET", "/_ping", None, quick);
    assert!(frozen.is_err(), "a frozen engine does not answer");
    engine.resume();
    wait_until(LIMIT, || engine::ping(engine.api().socket()).then_some(()))
        .expect("it answers again");
    engine.restart().unwrap();
    assert_eq!(engine.api().inspect("kept").unwrap()["Id"], id.as_str());
    engine.api().begin("lost").unwrap();
    engine.kill();
    let refused = UnixStream::connect(engine.api().socket()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    engine.start_again().unwrap();
    assert_eq!(engine.api().inspect("kept").unwrap()["Id"], id.as_str());
    let directory = engine.api().socket().parent().unwrap().to_owned();
    drop(engine);
    assert!(!directory.exists(), "nothing is left of it");
}

#[test]
fn the_proxy_counts_requests_and_plays_each_fault() {
    let Some(engine) = Engine::shared("proxy") else { return };
    let proxy = Proxy::start(engine.api().socket()).unwrap();
    let socket = proxy.socket();
    assert_eq!(get(&socket, "/_ping").unwrap().text(), "OK");
    assert!(get(&socket, "/version").unwrap().text().contains("ApiVersion"));
    assert_eq!(proxy.count(&[]), 2);
    assert_eq!(proxy.count(&["/_ping"]), 1);
    assert_eq!(proxy.take()[1].path, "/version");

    proxy.fault("/version", Fault::Status(503));
    assert_eq!(get(&socket, "/version").unwrap().status, 503);
    assert_eq!(get(&socket, "/_ping").unwrap().status, 200);
    proxy.fault("", Fault::Drop);
    assert!(get(&socket, "/_ping").is_err());
    proxy.mend();

    let whole = get(&socket, "/info").unwrap().body.len();
    proxy.fault("/info", Fault::Half);
    let half = get(&socket, "/info").unwrap().body.len();
    assert!(half < whole, "{half} of {whole} bytes");
    proxy.mend();

    proxy.fault("", Fault::Stall);
    let waiting = std::thread::spawn({
        let socket = socket.clone();
        move || get(&socket, "/stalled")
    });
    proxy.wait_for("/stalled", LIMIT).expect("the request has come");
    assert!(!waiting.is_finished());
    proxy.mend();
    assert!(waiting.join().unwrap().is_err());

    let mut events = UnixStream::connect(&socket).unwrap();
    events.set_read_timeout(Some(LIMIT)).unwrap();
    events.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut first = [0; 8];
    events.read_exact(&mut first).unwrap();
    assert_eq!(proxy.cut("/events"), 1);
    assert!(events.read_to_end(&mut Vec::new()).is_ok(), "the stream ends");

    proxy.refuse();
    assert!(UnixStream::connect(&socket).is_err());
    proxy.listen().unwrap();
    assert_eq!(get(&socket, "/_ping").unwrap().status, 200);
}

#[test]
fn a_client_with_keep_alive_is_counted_by_request() {
    let Some(engine) = Engine::shared("proxy keep-alive") else { return };
    let proxy = Proxy::start(engine.api().socket()).unwrap();
    for _ in 0..3 {
        let mut client = UnixStream::connect(proxy.socket()).unwrap();
        let request = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n";
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    assert_eq!(proxy.count(&[]), 3);
}
