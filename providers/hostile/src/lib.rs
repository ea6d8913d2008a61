//! A provider that does what none should. Each entry of its root is a directory, named after what
//! listing it does; `good` is the one that behaves, to show that the rest of a mount is unharmed.
//!
//! Reading a file misbehaves by the file's id, and so does each function of the feed by the feed's
//! name.

mod ambient;
mod feeds;
mod memory;

use omnifs::provider::{http, log, preload, types};
use std::sync::atomic::{AtomicU32, Ordering};
use types::{Body, Coherence, Error, Kind, Method, Node};

wit_bindgen::generate!({ path: "../../wit", world: "service", generate_all });

struct Hostile;
export!(Hostile);

/// What the directories of the root do when they are listed.
const DEEDS: &[&str] = &[
    "allocate",
    "ambient",
    "both-kinds",
    "config",
    "content-of-directory",
    "control-name",
    "direction-name",
    "dotdot",
    "duplicate-name",
    "empty-id",
    "empty-name",
    "escape",
    "exit",
    "fetch",
    "fetch-flood",
    "foreign-id",
    "git-name",
    "good",
    "huge-content",
    "huge-listing",
    "invisible-name",
    "log-escape",
    "log-flood",
    "long-id",
    "long-name",
    "long-version",
    "loop",
    "many-scopes",
    "nul-name",
    "offer-bad",
    "offer-content",
    "offer-content-flood",
    "offer-content-of-nothing",
    "offer-flood",
    "offer-good",
    "offer-to-file",
    "panic",
    "partial",
    "poll",
    "print",
    "random",
    "recurse",
    "search",
    "self",
    "separator-name",
    "sleep",
    "swallow",
    "undeclared",
    "unreachable",
    "wrong-size",
];

fn file(id: &str, name: &str) -> Node {
    Node {
        id: id.into(),
        name: name.into(),
        kind: Kind::File,
        size: None,
        modified: None,
        version: None,
        content: None,
        coherence: Coherence::Volatile,
        part_of: None,
        complete: false,
    }
}

fn directory(id: &str, name: &str) -> Node {
    Node { kind: Kind::Directory, complete: true, ..file(id, name) }
}

fn text(name: &str, content: String) -> Node {
    Node { content: Some(Body::Held(content.into_bytes())), ..file(&format!("text/{name}"), name) }
}

fn good() -> Vec<Node> {
    vec![
        Node { size: Some(6), version: Some("1".into()), ..file("hello", "hello") },
        text("inline", "inline\n".into()),
        directory("good/deeper", "deeper"),
    ]
}

fn request(endpoint: &str, path: &str) -> types::Request {
    types::Request {
        endpoint: endpoint.into(),
        method: Method::Get,
        path: path.into(),
        headers: vec![types::Header { name: "accept".into(), value: "text/plain".into() }],
        body: None,
    }
}

/// Says the panic's message through the log, as the SDK does.
fn speak_up() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(log::Level::Error, &panic.to_string());
    }));
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth) + 1)) + 1
}

fn allocate() -> ! {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn list(parent: &str) -> Result<Vec<Node>, Error> {
    let named = |name: &str| Ok(vec![file("sound", "sound"), file("x", name)]);
    match parent {
        "root" => Ok(DEEDS.iter().map(|name| directory(name, name)).collect()),
        "good" => Ok(good()),
        "good/deeper" => Ok(vec![text("leaf", "leaf\n".into())]),

        "panic" => {
            speak_up();
            panic!("the sky\nfell")
        }
        "unreachable" => unreachable(),
        "exit" => std::process::exit(3),
        "loop" => spin(),
        "recurse" => Ok(vec![file(&recurse(0).to_string(), "deep")]),
        "allocate" => allocate(),
        "swallow" => {
            // Goes on without the memory it did not get.
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut more = Vec::new();
                if more.try_reserve_exact(16 << 20).is_err() {
                    let size = (held.len() * 16).to_string();
                    return Ok(vec![text("mebibytes", size)]);
                }
                held.push(more);
            }
        }
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(1 << 40));
            Ok(vec![])
        }
        "poll" => loop {
            std::thread::sleep(std::time::Duration::from_millis(1));
        },

        "dotdot" => named(".."),
        "escape" => named("../x"),
        "empty-name" => named(""),
        "nul-name" => named("a\0b"),
        "control-name" => named("a\u{1b}[31mb"),
        "direction-name" => named("a\u{202e}gnp.sh"),
        "invisible-name" => named("ad\u{200b}min"),
        "separator-name" => named("one\u{2028}two"),
        "git-name" => Ok(vec![directory("x", ".git")]),
        "long-name" => named(&"x".repeat(300)),
        "duplicate-name" => named("sound"),
        "empty-id" => Ok(vec![file("", "x")]),
        "long-id" => Ok(vec![file(&"x".repeat(1025), "x")]),
        "long-version" => Ok(vec![Node { version: Some("x".repeat(1025)), ..file("x", "x") }]),
        "self" => Ok(vec![directory("self", "again")]),
        "both-kinds" => Ok(vec![file("x", "file"), directory("x", "directory")]),
        "content-of-directory" => {
            Ok(vec![Node { content: Some(Body::Held(b"x".to_vec())), ..directory("x", "x") }])
        }
        "wrong-size" => Ok(vec![Node {
            size: Some(7),
            content: Some(Body::Held(b"x".to_vec())),
            ..file("x", "x")
        }]),
        "huge-listing" => Ok((0..100_001).map(|n| file(&n.to_string(), &n.to_string())).collect()),
        "huge-content" => {
            Ok(vec![Node { content: Some(Body::Held(vec![0; (64 << 20) + 1])), ..file("x", "x") }])
        }
        "many-scopes" => {
            let scoped = |n: usize| Node {
                coherence: Coherence::Scoped(format!("scope:{n}")),
                ..text(&n.to_string(), String::new())
            };
            Ok((0..10_000).map(scoped).collect())
        }
        "foreign-id" => Ok(vec![file("of another provider: 1", "stolen"), file("hello", "hello")]),

        "log-flood" => {
            for n in 0..1_000_000 {
                log::write(log::Level::Info, &format!("line {n}"));
            }
            Ok(good())
        }
        "log-escape" => {
            log::write(log::Level::Warn, "first\nsecond\u{1b}[2J\0");
            log::write(log::Level::Debug, &"x".repeat(10_000));
            Ok(good())
        }
        "print" => {
            println!("to standard output");
            eprintln!("to standard error");
            Ok(good())
        }

        "offer-good" => {
            preload::offer("good", &good(), preload::Coverage::Whole);
            preload::offer(
                "good/deeper",
                &[text("leaf", "leaf\n".into())],
                preload::Coverage::Part,
            );
            Ok(vec![])
        }
        "offer-bad" => {
            preload::offer("good", &[file("x", "../x")], preload::Coverage::Part);
            Ok(good())
        }
        "offer-content" => {
            preload::content("hello", b"hello\n");
            // Neither is shown as a file: both are dropped by whoever keeps contents.
            preload::content("good", b"a directory");
            preload::content("unheard of", b"x");
            Ok(good())
        }
        "offer-content-of-nothing" => {
            preload::content("", b"x");
            Ok(good())
        }
        "offer-content-flood" => {
            for n in 0..1_000 {
                preload::content(&n.to_string(), &vec![0; 1 << 20]);
            }
            Ok(good())
        }
        "offer-to-file" => {
            preload::offer("hello", &[file("x", "x")], preload::Coverage::Part);
            Ok(good())
        }
        "offer-flood" => {
            let node = Node { content: Some(Body::Held(vec![0; 1 << 20])), ..file("x", "x") };
            for n in 0..1_000 {
                preload::offer(
                    &n.to_string(),
                    std::slice::from_ref(&node),
                    preload::Coverage::Whole,
                );
            }
            Ok(good())
        }
        "partial" => {
            preload::partial("partial", 3, "the 3 newest of 9;\nset `bound` to see more");
            Ok(good())
        }
        "config" => {
            let get = |key| omnifs::provider::config::get(key);
            let said = format!("{:?} {:?} {:?}", get("given"), get("default"), get("undeclared"));
            Ok(vec![text("config", said)])
        }
        "ambient" => Ok(vec![text("report", ambient::report())]),
        "random" => {
            let mut bytes = Vec::new();
            for _ in 0..4 {
                bytes.push(ambient::random());
            }
            Ok(vec![text("random", format!("{bytes:?}"))])
        }
        "undeclared" => {
            let response = http::fetch(&request("other", "/secret"))?;
            Ok(vec![text("body", String::from_utf8_lossy(&response.body).into_owned())])
        }
        "fetch" => {
            let response = http::fetch(&request("service", "/thing?q=1"))?;
            let headers: Vec<_> =
                response.headers.iter().map(|h| format!("{}={}", h.name, h.value)).collect();
            let body = String::from_utf8_lossy(&response.body);
            Ok(vec![text("body", format!("{} {headers:?} {body}", response.status))])
        }
        "search" => {
            let response = http::fetch(&request("service", "/thing"))?;
            let needle = omnifs::provider::config::get("given").unwrap_or_default();
            let found = if memory::holds(&memory::unmask(&needle)) { "found" } else { "not found" };
            Ok(vec![text("found", format!("{} {found}", response.body.len()))])
        }
        "fetch-flood" => loop {
            let _ = http::fetch(&request("service", "/thing"));
        },
        other if other.starts_with("calls") => {
            // Fresh memory sees 0 each time.
            static CALLS: AtomicU32 = AtomicU32::new(0);
            let before = CALLS.fetch_add(1, Ordering::Relaxed);
            Ok(vec![text("calls", before.to_string())])
        }
        _ => Err(Error::NotFound),
    }
}

/// The instruction itself, without a message.
fn unreachable() -> ! {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

impl exports::omnifs::provider::provider::Guest for Hostile {
    fn lookup_child(parent: String, name: String) -> Result<Node, Error> {
        match (parent.as_str(), name.as_str()) {
            ("lookup", "other") => Ok(file("x", "else")),
            ("lookup", "escape") => Ok(file("x", "../escape")),
            ("lookup", "kind") => {
                Ok(Node { content: Some(Body::Held(vec![1])), ..directory("x", "kind") })
            }
            ("lookup", "denied") => Err(Error::Denied("not\nyours".into())),
            ("lookup", "limited") => Err(Error::RateLimited(Some(90))),
            ("lookup", "late") => Err(Error::TimedOut),
            ("lookup", "large") => Err(Error::TooLarge),
            ("lookup", "down") => Err(Error::Unavailable(String::new())),
            ("lookup", "odd") => Err(Error::Invalid("x".repeat(10_000))),
            _ => list(&parent)?.into_iter().find(|node| node.name == name).ok_or(Error::NotFound),
        }
    }

    fn list_children(parent: String) -> Result<Vec<Node>, Error> {
        list(&parent)
    }

    fn read_file(node: String) -> Result<Vec<u8>, Error> {
        match node.as_str() {
            "hello" => Ok(b"hello\n".to_vec()),
            "full" => Ok(vec![b'x'; 64 << 20]),
            "over" => Ok(vec![b'x'; (64 << 20) + 1]),
            "twice" => Ok(vec![b'x'; (128 << 20) + 1]),
            "loop" => spin(),
            "burn" => {
                let start = std::time::Instant::now();
                while start.elapsed() < std::time::Duration::from_millis(300) {}
                Ok(b"burnt\n".to_vec())
            }
            "slow" => {
                http::fetch(&request("service", "/slow"))?;
                Ok(b"slow\n".to_vec())
            }
            _ => Err(Error::NotFound),
        }
    }
}
