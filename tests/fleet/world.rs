//! A service in memory, relays and cores of it, and the bus between them.

use futures_util::FutureExt;
use omnifs::cache::Capacity;
use omnifs::capability::validators::Validators;
use omnifs::capability::{Outbound, Setup};
use omnifs::credentials::Secret;
use omnifs::events::bus::keys::{PublicKey, Signer};
use omnifs::events::bus::names::{Pattern, Place};
use omnifs::events::bus::server::{self, Access};
use omnifs::events::bus::{Fleet, Post, Relay, Rhythm, Station};
use omnifs::events::{FeedSupervisor, Feeds, Ledger, Pace};
use omnifs::provider::{
    Answer, Change, Delivery, Feed, FeedKind, Manifest, Node, Position, Progress, Provider, Reply,
    Request, ScopedChange,
};
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::Vfs;
use omnifs_support::{Server, program, skip};

use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Waits until `done`, for at most a minute.
pub async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < end, "it never came about that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A NATS server of a test's own, with its files in `directory`. Nothing where none is installed, which is said.
pub fn bus(test: &str, directory: &Path, more: &str) -> Option<Server> {
    let store = directory.join("store");
    nats(test, directory, &format!("jetstream {{ store_dir: {store:?}, domain: hub }}\n{more}\n"))
}

/// The same with nothing but what `configuration` says.
pub fn nats(test: &str, directory: &Path, configuration: &str) -> Option<Server> {
    if program("nats-server").is_none() {
        skip(test, "nats-server is not installed: apt-get install nats-server");
        return None;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = directory.join("server.conf");
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(&config, configuration).unwrap();
    let arguments = |at: &str| {
        let port = at.rsplit(':').next().unwrap_or_default();
        let config = config.to_str().unwrap_or_default();
        ["-a", "127.0.0.1", "-p", port, "-c", config].map(str::to_owned).to_vec()
    };
    Some(Server::start("nats-server", directory, arguments).expect("a NATS server"))
}

/// A service whose changes a poll tells, by their numbers.
#[derive(Debug)]
pub struct Service {
    pub memory: Arc<Memory>,
    log: Mutex<Vec<Change>>,
    /// Polls wait while this is held.
    pub gate: tokio::sync::Mutex<()>,
}

impl Service {
    /// With `title` and `other`.
    pub fn new() -> Arc<Service> {
        let memory = Memory::new(Style::default());
        memory.file(ROOT, "title", "id-title", b"first");
        memory.file(ROOT, "other", "id-other", b"other");
        Arc::new(Service { memory, log: Mutex::default(), gate: tokio::sync::Mutex::default() })
    }

    pub fn set_title(&self, title: &str) {
        let changes = self.memory.set("id-title", title.as_bytes());
        self.say(changes);
    }

    pub fn say(&self, changes: impl IntoIterator<Item = Change>) {
        self.log.lock().unwrap().extend(changes);
    }
}

/// The service as one relay or core has it.
#[derive(Debug)]
pub struct View {
    service: Arc<Service>,
    pub calls: AtomicU64,
    pub polls: AtomicU64,
}

impl View {
    pub fn of(service: &Arc<Service>) -> Arc<View> {
        let (calls, polls) = Default::default();
        Arc::new(View { service: service.clone(), calls, polls })
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    fn count(&self) -> &Memory {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &self.service.memory
    }
}

impl Provider for View {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        self.count().lookup_child(parent, name)
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        self.count().list_children(parent)
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        self.count().read_file(node)
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        self.service.memory.open_feed(position)
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        self.service.memory.feed_line(position, line)
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        async move {
            let _open = self.service.gate.lock().await;
            let log = self.service.log.lock().unwrap();
            let from = position.cursor.as_ref().map(|cursor| cursor.parse::<usize>().unwrap());
            let changes = log[from.unwrap_or(log.len())..].to_vec();
            let cursor = Some(log.len().to_string());
            Ok(Progress { changes, cursor, resumed: from.is_some(), wait: None })
        }
        .boxed()
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        self.service.memory.deliver(delivery)
    }
}

pub fn feeds() -> Vec<Feed> {
    vec![Feed {
        name: "changes".into(),
        kind: FeedKind::Poll,
        scopes: SCOPE.into(),
        endpoint: None,
        silence: None,
        signature: None,
    }]
}

fn outbound() -> Outbound {
    let manifest = Manifest { name: "memory".into(), ..Manifest::default() };
    Outbound::new(Setup::new("m", manifest, Arc::new(Validators::new(0)))).unwrap()
}

pub fn pace() -> Pace {
    Pace {
        scan: Duration::from_millis(20),
        poll_override: Some(Duration::from_millis(20)),
        requests: 1_000_000,
        ..Pace::default()
    }
}

pub fn place() -> Place {
    Place::new("memory", "1.0.0", "https://memory.example")
}

pub fn signer() -> Arc<Signer> {
    Arc::new(Signer::new(&Signer::generate().unwrap()).unwrap())
}

pub fn scopes() -> Arc<[Pattern]> {
    [Pattern::new(SCOPE).unwrap()].into()
}

/// One at which a machine that is slow is not taken for one that is gone, and a mount which hears nothing does not
/// poll within a test. What is new is said at once at any pace.
pub fn rhythm() -> Rhythm {
    Rhythm {
        lease: Duration::from_secs(40),
        away: Duration::from_secs(3_600),
        ..Rhythm::at(Duration::from_secs(10))
    }
}

pub async fn connect(server: &Server, user: Option<&str>) -> server::Server {
    let url = format!("nats://{}", server.address());
    let text = user.map(|user| Secret::new(format!("{user}:word-of-{user}")));
    let access = Access::new(&url, Some("hub"), text.as_ref()).unwrap();
    let server = server::Server::connect(&access).await.unwrap();
    assert!(server.is_connected_within(Duration::from_secs(60)).await);
    server
}

pub struct Relaying {
    pub relay: Arc<Relay>,
    pub view: Arc<View>,
    task: tokio::task::JoinHandle<()>,
}

impl Relaying {
    pub fn start(
        service: &Arc<Service>,
        server: server::Server,
        signer: &Arc<Signer>,
        rhythm: Rhythm,
    ) -> Relaying {
        let view = View::of(service);
        let station = Station {
            server,
            signer: signer.clone(),
            keys: [].into(),
            scopes: scopes(),
            rhythm,
            shares: true,
            id: format!("{:p}", Arc::as_ptr(&view)),
        };
        let relay = Relay::new(station, place(), "m", &mut Post::default());
        let (run, provider) = (relay.clone(), view.clone());
        let task = tokio::spawn(async move {
            let start = |ledger: Arc<dyn Ledger>| {
                let provider = provider.clone();
                FeedSupervisor::start("m", provider, &feeds(), outbound(), ledger, pace())
            };
            run.run(start).await;
        });
        Relaying { relay, view, task }
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A mount without a kernel.
pub struct Core {
    pub runtime: Arc<Runtime>,
    pub view: Arc<View>,
    pub feeds: Feeds,
}

impl Core {
    /// With both files read, and told of what changes.
    pub async fn told(
        service: &Arc<Service>,
        server: server::Server,
        keys: &[PublicKey],
        rhythm: Rhythm,
    ) -> Core {
        let core = Core::start(service, server, keys, rhythm).await;
        until("it is told", async || core.is_live()).await;
        // What was read before is asked for once more.
        core.cat("title").await;
        core.cat("other").await;
        core
    }

    pub async fn start(
        service: &Arc<Service>,
        server: server::Server,
        keys: &[PublicKey],
        rhythm: Rhythm,
    ) -> Core {
        let view = View::of(service);
        let provider: Arc<dyn Provider> = view.clone();
        let shown =
            Instance { name: "m".into(), root: ROOT.into(), provider: Ok(provider.clone()) };
        let handle = tokio::runtime::Handle::current();
        let router = Router::new(vec![shown]);
        let runtime = Runtime::new(router, Capacity::default(), UNIX_EPOCH, handle);
        runtime.declared("m", vec![SCOPE.into()]);
        let (keys, scopes, positions) = (keys.into(), scopes(), Default::default());
        let fleet = Fleet { server, keys, scopes, rhythm, positions };
        let feeds = FeedSupervisor::start_in_fleet(
            "m",
            provider,
            &feeds(),
            outbound(),
            runtime.clone(),
            pace(),
            Some((fleet, place())),
        );
        runtime.set_prover("m", feeds.prover());
        let core = Core { runtime, view, feeds };
        core.cat("title").await;
        core.cat("other").await;
        core
    }

    pub fn is_live(&self) -> bool {
        let scopes = self.runtime.snapshot().scopes;
        scopes.iter().any(|(_, standing)| &*standing.scope == SCOPE && standing.live)
    }

    pub async fn cat(&self, name: &str) -> String {
        let runtime = &self.runtime;
        let top = runtime.lookup(runtime.root(), "m").await.unwrap().unwrap().handle;
        let handle = runtime.lookup(top, name).await.unwrap().unwrap().handle;
        let open = runtime.open(handle).await.unwrap();
        let bytes = runtime.read(open.id, 0, 1 << 20).await.unwrap();
        runtime.release(open.id);
        runtime.forget(handle, 1);
        runtime.forget(top, 1);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// How many calls a read of `other` makes.
    pub async fn calls_for_other(&self) -> u64 {
        let before = self.view.calls();
        assert_eq!(self.cat("other").await, "other");
        self.view.calls() - before
    }

    pub async fn shows(&self, title: &str) {
        until(&format!("{title} is shown"), async || self.cat("title").await == title).await;
    }

    /// Messages of the bus that had an effect, or none but to say where the scope stands.
    pub fn heard(&self) -> u64 {
        self.feeds.status().iter().filter(|row| row.kind == "bus").map(|row| row.items).sum()
    }

    /// Messages of the bus that had no effect.
    pub fn unreadable(&self) -> u64 {
        self.feeds.status().iter().filter(|row| row.kind == "bus").map(|row| row.unreadable).sum()
    }
}
