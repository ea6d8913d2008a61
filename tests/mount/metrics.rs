//! What the metrics of a mount say of reads through it, and its log as JSON.

use omnifs_support::home;
use omnifs_support::tools::{list, read};
use omnifs_support::wait_until;
use omnifs_twins::{GithubSetup, GithubTwin};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const ISSUES: &str = "github/acme/api/_issues/_open";

/// All samples of a name together.
fn sum(text: &str, name: &str) -> u64 {
    let samples = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let values: Vec<u64> = samples
        .map(|line| line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a whole number"))
        .collect();
    assert!(!values.is_empty(), "{name} is not in\n{text}");
    values.iter().sum()
}

fn scraped(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request = format!("GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

/// Reads past the kernel's own copies of the file and of the list that it is in.
fn read_anew(directory: &Path) -> String {
    let path = directory.join("title");
    for path in [path.as_path(), directory] {
        let file = File::open(path).expect("open");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
    }
    assert!(list(directory).expect("listed").len() > 1);
    read(&path)
}

#[test]
fn a_second_read_raises_the_hits_and_not_the_callouts() {
    let Some(omnifs) = home("metrics") else { return };
    let omnifs = omnifs.env("OMNIFS_POLL_MS", "3600000").env("OMNIFS_LOG_FORMAT", "json");
    let twin = GithubTwin::start(GithubSetup::default()).expect("a twin");
    let config = format!(
        "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
         [instances.github.endpoints.api]\nurl = '{}'\nredirect-hosts = ['{}']\n",
        twin.url(),
        twin.storage_url()
    );
    omnifs.config(&config).expect("a configuration");
    // Free a moment ago; the mount says so if it is taken by now.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let listen = format!("127.0.0.1:{port}");
    let mounted = omnifs.mount(&["--metrics-listen", &listen]).expect("mount");
    let metrics = || omnifs.run(&["metrics"]).expect("run").stdout;

    let issues = mounted.join(ISSUES);
    let issue = issues.join(list(&issues).expect("listed").first().expect("an issue"));
    let first = read_anew(&issue);
    // The first poll of what was read is a request too.
    let settled = || {
        let text = metrics();
        let under_way = ["omnifs_calls_in_flight", "omnifs_callouts_in_flight"];
        let mut connecting = text.lines().filter(|line| line.contains("state=\"connecting\""));
        let is_still = under_way.iter().all(|name| sum(&text, name) == 0)
            && connecting.all(|line| line.ends_with(" 0"));
        is_still.then_some(text)
    };
    let before = wait_until(Duration::from_secs(60), settled).expect("nothing is under way");
    let callouts = sum(&before, "omnifs_callouts_total");
    assert!(callouts > 0, "{before}");
    assert_eq!(sum(&before, "omnifs_responses_total"), callouts, "{before}");

    assert_eq!(read_anew(&issue), first);
    let after = metrics();
    assert!(
        sum(&after, "omnifs_cache_hits_total") > sum(&before, "omnifs_cache_hits_total"),
        "{after}"
    );
    assert_eq!(sum(&after, "omnifs_callouts_total"), callouts, "{after}");

    let scraped = scraped(port);
    assert!(scraped.contains("application/openmetrics-text") && scraped.ends_with("# EOF\n"));
    assert_eq!(sum(&scraped, "omnifs_callouts_total"), callouts, "{scraped}");

    let log = omnifs.run(&["logs"]).expect("run").stdout;
    let lines: Result<Vec<serde_json::Value>, _> = log.lines().map(serde_json::from_str).collect();
    let lines = lines.unwrap_or_else(|error| panic!("{error} in\n{log}"));
    assert!(lines.iter().any(|line| line["message"] == "mounted"), "{log}");
}
