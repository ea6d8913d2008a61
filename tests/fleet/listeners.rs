//! As many listeners as a company has mounts, each a connection of its own with a mount's permissions.

use super::mounts::{SOON, World, bus_of};
use async_nats::{Message, Subscriber};
use futures_util::{StreamExt, stream};
use omnifs_support::skip;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const CHANGES: usize = 20;
/// As long as a message is whose window of changes is full.
const BYTES: usize = 4_096;
/// Connections that are being made at a time.
const AT_ONCE: usize = 32;

/// `OMNIFS_LISTENERS`: how many there are. Whoever asks for a number measures.
fn asked() -> Option<usize> {
    std::env::var("OMNIFS_LISTENERS").ok().and_then(|text| text.parse().ok())
}

/// Whether this process may open so many files, and as many more as it has anyway.
fn may_open(number: usize) -> bool {
    let wanted = u64::try_from(number).unwrap() + 500;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return true;
    }
    let maximum = limit.maximum;
    maximum.is_none_or(|maximum| maximum >= wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok()
}

/// One message that one listener has heard.
struct Heard {
    listener: usize,
    message: Message,
    at: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_listeners_hear_each_change_once() {
    let number = asked().unwrap_or(1_000);
    if !may_open(number) {
        return skip("fleet_listeners", "too few files may be open: ulimit -n 2000");
    }
    let Some(world) = tokio::task::block_in_place(|| World::new("fleet_listeners")) else { return };
    let relay = bus_of(&world, "relay").await;
    relay.prepare(Duration::from_secs(10)).await.unwrap();
    let key = format!("{}.issues:.1", world.place());
    let (scope, now) = (format!("omnifs.scope.{key}"), format!("omnifs.now.{key}"));
    let subscribe = async |listener: usize| {
        let client = world.client("mount").await;
        let messages = client.subscribe(now.clone()).await.unwrap();
        // The server has taken the subscription once it answers what comes after it.
        client.flush().await.unwrap();
        (listener, client, messages)
    };
    let began = Instant::now();
    let listening: Vec<_> =
        stream::iter(0..number).map(subscribe).buffer_unordered(AT_ONCE).collect().await;
    let connected = began.elapsed();
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut clients = Vec::new();
    for (listener, client, messages) in listening {
        clients.push(client);
        tokio::spawn(hear(listener, messages, tell.clone()));
    }
    let (mut after, mut took) = (0, Vec::new());
    // What comes twice is taken for the next one, and is not what that one says.
    for change in 0..=CHANGES {
        let payload = format!("{change:0>BYTES$}").into_bytes();
        let sent = Instant::now();
        after = relay.append(scope.clone(), after, payload.clone()).await.unwrap();
        let mut heard = HashSet::new();
        while heard.len() < number {
            let next: Heard = tokio::time::timeout(SOON, told.recv()).await.unwrap().unwrap();
            assert!(*next.message.payload == *payload, "listener {}: another one", next.listener);
            assert!(heard.insert(next.listener), "listener {} heard it twice", next.listener);
            took.push(next.at.duration_since(sent));
        }
    }
    took.sort();
    let of = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    println!(
        "{number} listeners, connected within {connected:.1?}: {CHANGES} changes, from the publication to the \
         receipt p50 {:.1?}, p99 {:.1?}, longest {:.1?}; the server has {} MiB",
        of(50),
        of(99),
        of(100),
        memory(world.bus.pid()),
    );
    // A machine that is busy with something else is no fault of the bus: only who measures is told so.
    assert!(asked() != Some(1_000) || of(50) < Duration::from_millis(100), "{:?}", of(50));
}

async fn hear(listener: usize, mut messages: Subscriber, tell: mpsc::UnboundedSender<Heard>) {
    while let Some(message) = messages.next().await {
        let heard = Heard { listener, message, at: Instant::now() };
        if tell.send(heard).is_err() {
            return;
        }
    }
}

/// What a process has in memory, in MiB.
fn memory(process: Option<u32>) -> u64 {
    let status = process.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")));
    let status = status.and_then(Result::ok).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
