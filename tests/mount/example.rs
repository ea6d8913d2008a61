//! The example of providers/README.md behind a real mount, with a service on loopback that signs its
//! webhooks.

use hmac::{Hmac, KeyInit as _, Mac as _};
use omnifs_support::tools::{await_content, list, read};
use omnifs_support::{component, home, wait_until};
use sha2::Sha256;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of both";

/// What the tracker holds: titles by number.
type Titles = Arc<Mutex<Vec<(u64, String)>>>;

/// Serves the tracker's issues, and notes what is asked.
fn tracker(titles: Titles) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (titles, seen) = (titles.clone(), seen.clone());
            std::thread::spawn(move || answer(stream, &titles, &seen));
        }
    });
    (url, asked)
}

fn answer(mut stream: TcpStream, titles: &Titles, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let Some(Ok(first)) = lines.next() else { return };
    lines
        .by_ref()
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .for_each(drop);
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().expect("no panic under it").push(path.clone());
    let issue = |(number, title): &(u64, String)| {
        format!(
            r#"{{"number":{number},"title":"{title}","labels":[],"updated_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let titles = titles.lock().expect("no panic under it").clone();
    let body = match path.split(['/', '?']).nth(2).and_then(|number| number.parse::<u64>().ok()) {
        Some(number) => titles.iter().find(|(known, _)| *known == number).map(issue),
        None => Some(format!("[{}]", titles.iter().map(issue).collect::<Vec<_>>().join(","))),
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}", body.len());
    let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
}

/// Delivers a webhook as the tracker signs it; the status of the answer.
fn deliver(port: u16, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key does");
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    let signature: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("omnifs listens");
    let head = format!(
        "POST /hook/tracker HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nX-Tracker-Signature: {signature}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn the_example_of_the_documentation_is_live_by_its_webhook() {
    let Some(omnifs) = home("the example of the documentation") else { return };
    let titles: Titles = Arc::new(Mutex::new(vec![(7, "Hello".to_owned())]));
    let (url, asked) = tracker(titles.clone());
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("bound").port()
    };
    let secret = omnifs.path("tracker-secret");
    std::fs::write(&secret, SECRET).expect("written");
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret, owner_only).expect("the file is ours");
    let shipped = "[instances.docker]\nenabled = false\n[instances.github]\nenabled = false\n\
                   [instances.linear]\nenabled = false\n";
    let config = format!(
        "[mount]\nwebhook-listen = \"127.0.0.1:{port}\"\n{shipped}\
         [instances.tracker]\nwebhook-secret-file = '{}'\nendpoints.api = '{url}'\n",
        secret.display()
    );
    omnifs.config(&config).expect("a configuration");
    let provider = format!("tracker={}", component("example").display());
    let mounted = omnifs.mount(&["--provider", &provider]).expect("mount");
    let title = mounted.join("tracker/7/title");
    // Without the host's own files.
    let issues = || -> Vec<String> {
        let names = list(&mounted.join("tracker")).expect("listed").into_iter();
        names.filter(|name| name.parse::<u64>().is_ok()).collect()
    };
    assert_eq!(issues(), ["7"]);

    // A first delivery shows that they arrive: from then on what is read is kept.
    assert!(deliver(port, "1").starts_with('2'));
    let scope = |state: &str| {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?.clone();
        scopes.iter().any(|s| s["scope"] == "tracker" && s["state"] == state).then_some(())
    };
    assert!(wait_until(SOON, || scope("live")).is_some(), "{:?}", mounted.status());
    assert_eq!(read(&title), "Hello\n");
    asked.lock().expect("no panic under it").clear();
    assert_eq!(read(&title), "Hello\n");
    assert_eq!(*asked.lock().expect("no panic under it"), [""; 0], "nothing is asked twice");

    titles.lock().expect("no panic under it")[0].1 = "Changed".to_owned();
    titles.lock().expect("no panic under it").push((8, "New".to_owned()));
    assert!(deliver(port, "7").starts_with('2'));
    await_content(&title, "Changed\n", SOON);
    assert!(deliver(port, "8").starts_with('2'));
    let listed = || Some(issues()).filter(|names| names.len() == 2);
    assert_eq!(wait_until(SOON, listed).expect("the new one shows"), ["7", "8"]);
}
