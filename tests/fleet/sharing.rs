//! Cores that share the answers of a service over HTTP, and what of them others can do something with.

use super::cores::copy;
use super::world::*;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use omnifs::cache::Capacity;
use omnifs::capability::validators::Validators;
use omnifs::capability::{Outbound, Override, Setup};
use omnifs::credentials::Environment;
use omnifs::events::bus::answers::{Answers, Share};
use omnifs::events::bus::keys::PublicKey;
use omnifs::events::bus::server::{self, ANSWERS};
use omnifs::events::bus::{Fleet, Positions, Rhythm};
use omnifs::events::{FeedSupervisor, Feeds};
use omnifs::provider::{
    self, Answer, Cause, Change, Coherence, Credential, Delivery, Endpoint, Failure, Kind,
    Manifest, Method, Node, Position, Progress, Provider, Reply, Request, Scheme, ScopedChange,
    Upstream,
};
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs::sharing::Sharing;
use omnifs_memory::{ROOT, SCOPE};
use omnifs_platform::{Error, Vfs};
use omnifs_support::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const DIRECTORY: &str = "directory";
const SECRETS: [&str; 2] = ["the-secret-of-one-group", "the-secret-of-another-group"];
/// For the first secret alone.
const PRIVATE: &str = "private";

/// A service over HTTP, whose files are below one directory.
struct Web {
    service: Arc<Service>,
    url: String,
    files: Mutex<BTreeMap<String, String>>,
    /// Requests that were answered in full, and those that were answered 304.
    whole: AtomicU64,
    unchanged: AtomicU64,
    /// Answers that have been made wait while this is held.
    gate: tokio::sync::Mutex<()>,
}

impl Web {
    async fn start() -> Arc<Web> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let files = [("title", "first"), ("other", "other"), (PRIVATE, "for-one-group")];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let web = Arc::new(Web {
            service: Service::new(),
            url: format!("http://{}", listener.local_addr().unwrap()),
            files: Mutex::new(files.into()),
            whole: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            gate: tokio::sync::Mutex::default(),
        });
        let served = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.converse(stream).await });
            }
        });
        web
    }

    async fn converse(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                match stream.read_line(&mut line).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) if line == "\r\n" => break,
                    Ok(_) => head.push(line.trim_end().to_owned()),
                }
            }
            let answer = self.answer(&head);
            drop(self.gate.lock().await);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &[String]) -> String {
        let path = head[0].split(' ').nth(1).unwrap();
        let name = path.trim_start_matches('/');
        let has = |header: &str| head.iter().any(|line| line.eq_ignore_ascii_case(header));
        let may = name != PRIVATE || has(&format!("authorization: Bearer {}", SECRETS[0]));
        let text = self.files.lock().unwrap().get(name).cloned().filter(|_| may);
        let Some(text) = text else {
            return "HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n".to_owned();
        };
        if has(&format!("if-none-match: \"{text}\"")) {
            self.unchanged.fetch_add(1, Ordering::SeqCst);
            return format!("HTTP/1.1 304 X\r\netag: \"{text}\"\r\n\r\n");
        }
        self.whole.fetch_add(1, Ordering::SeqCst);
        let length = text.len();
        format!("HTTP/1.1 200 X\r\netag: \"{text}\"\r\ncontent-length: {length}\r\n\r\n{text}")
    }

    fn set_title(&self, title: &str) {
        self.files.lock().unwrap().insert("title".to_owned(), title.to_owned());
        self.service.say([Change::Invalidated("id-title".into())]);
    }

    /// How many requests were answered in full and how many 304, since the last time.
    fn take_requests(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        (take(&self.whole), take(&self.unchanged))
    }
}

/// Its provider, which has everything over HTTP.
#[derive(Debug)]
struct Pages {
    view: Arc<View>,
    outbound: Outbound,
}

fn node(id: &str, kind: Kind, content: Option<Bytes>) -> Node {
    Node {
        id: id.into(),
        name: id.trim_start_matches("id-").to_owned(),
        kind,
        size: None,
        modified: None,
        version: None,
        content: content.map(provider::Body::Held),
        coherence: Coherence::Scoped(SCOPE.into()),
        part_of: None,
        complete: false,
    }
}

impl Pages {
    async fn page(&self, name: &str) -> Result<Bytes, Failure> {
        let request = Request {
            endpoint: "api".into(),
            method: Method::Get,
            path: format!("/{name}"),
            headers: Vec::new(),
            body: None,
        };
        let response = self.outbound.fetch(request).await?;
        let cause = if response.status == 404 { Cause::NotFound } else { Cause::Unavailable };
        match response.status {
            200 => Ok(response.body),
            status => {
                let detail = status.to_string();
                Err(Failure { provider: "m".into(), cause, detail, retry_after: None })
            }
        }
    }
}

impl Provider for Pages {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        async move {
            if parent == ROOT {
                return Ok(Answer::plain(node(DIRECTORY, Kind::Directory, None)));
            }
            let page = self.page(name).await?;
            Ok(Answer::plain(node(&format!("id-{name}"), Kind::File, Some(page))))
        }
        .boxed()
    }

    fn list_children<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        async { Ok(Answer::plain(Vec::new())) }.boxed()
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        let name = node.trim_start_matches("id-");
        async move { Ok(Answer::plain(self.page(name).await?)) }.boxed()
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        self.view.open_feed(position)
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        self.view.feed_line(position, line)
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        self.view.poll_feed(position)
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        self.view.deliver(delivery)
    }
}

fn manifest() -> Manifest {
    let endpoint = Endpoint {
        name: "api".into(),
        default_url: "https://memory.example".into(),
        url_environment: None,
        allow: vec![(Method::Get, "/*".into())],
        credentials: vec!["token".into()],
        redirect_hosts: Vec::new(),
        limits: Default::default(),
        purpose: "tests".into(),
        nearby: None,
        bodies: None,
        session: None,
        statements: Vec::new(),
    };
    let credential = Credential {
        name: "token".into(),
        scheme: Scheme::Bearer,
        environment_elsewhere: vec!["TOKEN".into()],
        ..Credential::default()
    };
    Manifest {
        name: "memory".into(),
        version: "1.0.0".into(),
        endpoints: vec![endpoint],
        credentials: vec![credential],
        ..Manifest::default()
    }
}

/// A mount without a kernel that shares answers.
struct Sharer {
    runtime: Arc<Runtime>,
    answers: Arc<Answers>,
    feeds: Feeds,
    outbound: Outbound,
}

/// One at which a machine that is slow is waited for.
fn patient() -> Rhythm {
    let wait = Duration::from_secs(60);
    Rhythm { answer: wait, fetch: wait, ..rhythm() }
}

impl Sharer {
    /// Told of what changes, with nothing in memory of the directory's files but `other`.
    async fn told(web: &Arc<Web>, server: server::Server, key: PublicKey, secret: &str) -> Sharer {
        Sharer::sharing(web, server, key, secret, Share::Credential).await
    }

    async fn sharing(
        web: &Arc<Web>,
        server: server::Server,
        key: PublicKey,
        secret: &str,
        share: Share,
    ) -> Sharer {
        let mut setup = Setup::new("m", manifest(), Arc::new(Validators::new(1 << 20)));
        let secret = secret.to_owned();
        setup.environment =
            Environment::from_fn(move |name| (name == "TOKEN").then(|| secret.clone()));
        setup.overrides.insert("api".into(), Override::from(&*web.url));
        setup.limits.total = Duration::from_secs(120);
        let outbound = Outbound::new(setup).unwrap();
        let pages = Pages { view: View::of(&web.service), outbound: outbound.clone() };
        let provider: Arc<dyn Provider> = Arc::new(pages);
        let positions = Arc::new(Positions::default());
        let place_of = place().as_str().to_owned();
        let answers = Answers::new(server.clone(), place_of, share, patient(), positions.clone());
        let answers = Arc::new(answers);
        let front: Arc<dyn Provider> = Arc::new(Sharing::new(provider.clone(), answers.clone()));
        let shown = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(front) };
        let handle = tokio::runtime::Handle::current();
        let router = Router::new(vec![shown]);
        let runtime = Runtime::new(router, Capacity::default(), UNIX_EPOCH, handle);
        runtime.declared("m", vec![SCOPE.into()]);
        let keys = [key].into();
        let fleet = Fleet { server, keys, scopes: scopes(), rhythm: patient(), positions };
        let feeds = FeedSupervisor::start_in_fleet(
            "m",
            provider,
            &feeds(),
            outbound.clone(),
            runtime.clone(),
            pace(),
            Some((fleet, place())),
        );
        runtime.set_prover("m", feeds.prover());
        let core = Sharer { runtime, answers, feeds, outbound };
        assert_eq!(core.cat("other").await, Ok("other".to_owned()));
        until("it is told", async || core.is_live()).await;
        core
    }

    fn is_live(&self) -> bool {
        let scopes = self.runtime.snapshot().scopes;
        scopes.iter().any(|(_, standing)| &*standing.scope == SCOPE && standing.live)
    }

    async fn cat(&self, name: &str) -> Result<String, Error> {
        let runtime = &self.runtime;
        let top = runtime.lookup(runtime.root(), "m").await.unwrap().unwrap().handle;
        let directory = runtime.lookup(top, DIRECTORY).await.unwrap().unwrap().handle;
        let found = runtime.lookup(directory, name).await?;
        let handle = found.ok_or(Error::NotFound)?.handle;
        let open = runtime.open(handle).await?;
        let bytes = runtime.read(open.id, 0, 1 << 20).await?;
        runtime.release(open.id);
        for handle in [handle, directory, top] {
            runtime.forget(handle, 1);
        }
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn shows(&self, title: &str) {
        let is_shown = async || self.cat("title").await.as_deref() == Ok(title);
        until(&format!("{title} is shown"), is_shown).await;
    }

    /// Waits until the bus has taken what it was told.
    async fn has_told(&self, count: u64) {
        until("the answer is shared", async || self.answers.status().told >= count).await;
    }

    fn taken(&self) -> u64 {
        self.answers.status().taken
    }
}

/// Whoever may do everything on the bus.
async fn everybody(bus: &Server) -> async_nats::Client {
    let url = format!("nats://{}", bus.address());
    async_nats::ConnectOptions::new().connect(url).await.unwrap()
}

/// All that the bus keeps of answers: subjects and payloads.
async fn bucket(client: &async_nats::Client) -> Vec<(String, Bytes)> {
    let ask = async |verb: &str, body: Value| {
        let subject = format!("$JS.hub.API.STREAM.{verb}.{ANSWERS}");
        let answer = client.request(subject, body.to_string().into()).await.unwrap();
        serde_json::from_slice::<Value>(&answer.payload).unwrap()
    };
    let info = ask("INFO", json!({ "subjects_filter": ">" })).await;
    let mut all = Vec::new();
    for subject in info["state"]["subjects"].as_object().into_iter().flatten().map(|(name, _)| name)
    {
        let kept = client
            .request(format!("$JS.hub.API.DIRECT.GET.{ANSWERS}.{subject}"), "".into())
            .await
            .unwrap();
        all.push((subject.clone(), kept.payload));
    }
    all
}

/// Keeps a payload, whatever is kept there.
async fn put(client: &async_nats::Client, subject: &str, payload: Bytes) {
    let answer = client.request(subject.to_owned(), payload).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer["seq"].is_u64(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_mounts_that_look_at_once_one_asks_and_all_show_what_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet_sharing", dir.path(), "") else { return };
    let (web, signer) = (Web::start().await, signer());
    let server = connect(&bus, None).await;
    let _relay = Relaying::start(&web.service, server, &signer, patient());
    let mut cores = Vec::new();
    for _ in 0..12 {
        let server = connect(&bus, None).await;
        cores.push(Sharer::told(&web, server, signer.public(), SECRETS[0]).await);
    }
    web.take_requests();
    join_all(cores.iter().map(|core| core.shows("first"))).await;
    assert_eq!(web.take_requests(), (1, 0));
    web.set_title("second");
    join_all(cores.iter().map(|core| core.shows("second"))).await;
    assert_eq!(web.take_requests(), (1, 0), "one asks, and the others have its answer");
    // A new one with nothing in memory.
    let server = connect(&bus, None).await;
    let core = Sharer::told(&web, server, signer.public(), SECRETS[0]).await;
    web.take_requests();
    core.shows("second").await;
    assert_eq!((web.take_requests(), core.taken() > 0), ((0, 0), true));
    let counts = core.outbound.status().total;
    assert!(counts.shared > 0, "{counts:?}");
    // What was heard of elsewhere than on the bus, as by `omnifs refresh`, is asked for.
    let (asked, before) = (Change::Invalidated("id-title".into()), core.taken());
    core.answers.positions.doubt();
    omnifs::events::Ledger::apply(&*core.runtime, "m", &[asked]);
    core.shows("second").await;
    assert_eq!((web.take_requests(), core.taken()), ((0, 1), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_group_shares_another_can_neither_find_nor_read_nor_change() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet_groups", dir.path(), "") else { return };
    let (web, signer) = (Web::start().await, signer());
    let server = connect(&bus, None).await;
    let _relay = Relaying::start(&web.service, server, &signer, rhythm());
    let spy = everybody(&bus).await;
    let told = async |secret| {
        let server = connect(&bus, None).await;
        Sharer::told(&web, server, signer.public(), secret).await
    };
    let one = told(SECRETS[0]).await;
    assert_eq!(one.cat(PRIVATE).await.as_deref(), Ok("for-one-group"));
    one.has_told(1).await;
    let of_one = bucket(&spy).await;
    for (subject, payload) in &of_one {
        let text = format!("{subject} {}", String::from_utf8_lossy(payload));
        for known in ["private", "for-one-group", "other", SCOPE, "127.0.0.1", SECRETS[0]] {
            assert!(!text.contains(known), "{known} is in {text}");
        }
    }
    let other = told(SECRETS[1]).await;
    web.take_requests();
    let taken = other.taken();
    assert_eq!(other.cat(PRIVATE).await, Err(Error::NotFound), "the service says so");
    assert_eq!(other.cat("title").await.as_deref(), Ok("first"));
    assert_eq!((web.take_requests(), other.taken()), ((1, 0), taken));
    until("it is shared", async || {
        bucket(&spy).await.iter().any(|(subject, payload)| {
            !payload.is_empty() && !of_one.iter().any(|(of_one, _)| of_one == subject)
        })
    })
    .await;
    // With all that the first group has shared in the place of all that the other has.
    let secret = of_one.iter().find(|(_, payload)| !payload.is_empty()).unwrap().1.clone();
    let mut noise = secret.to_vec();
    noise[20] ^= 1;
    for payload in [secret, noise.into(), "noise".into()] {
        for (subject, _) in bucket(&spy).await {
            put(&spy, &subject, payload.clone()).await;
        }
        let core = told(SECRETS[1]).await;
        web.take_requests();
        assert_eq!(core.cat(PRIVATE).await, Err(Error::NotFound));
        assert_eq!(core.cat("title").await.as_deref(), Ok("first"));
        let status = core.answers.status();
        assert!(status.taken == 0 && status.unreadable > 0, "{status:?}");
        assert_eq!(web.take_requests(), (1, 0), "the service is asked");
    }
    // Of the right group each is at its own name alone.
    let core = told(SECRETS[0]).await;
    assert_eq!(core.cat("title").await.as_deref(), Ok("first"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_operators_key_mounts_share_whatever_their_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet_key", dir.path(), "") else { return };
    let (web, signer) = (Web::start().await, signer());
    let server = connect(&bus, None).await;
    let _relay = Relaying::start(&web.service, server, &signer, rhythm());
    let key = omnifs::events::bus::keys::Signer::generate().unwrap();
    let told = async |secret| {
        let (server, share) = (connect(&bus, None).await, Share::Key(key.clone()));
        Sharer::sharing(&web, server, signer.public(), secret, share).await
    };
    let one = told(SECRETS[0]).await;
    assert_eq!(one.cat("title").await.as_deref(), Ok("first"));
    one.has_told(1).await;
    let other = told(SECRETS[1]).await;
    web.take_requests();
    other.shows("first").await;
    assert_eq!(web.take_requests(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_before_a_change_that_comes_late_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet_late", dir.path(), "") else { return };
    let (web, signer) = (Web::start().await, signer());
    let server = connect(&bus, None).await;
    let _relay = Relaying::start(&web.service, server, &signer, rhythm());
    let spy = everybody(&bus).await;
    let told = async || {
        let server = connect(&bus, None).await;
        Sharer::told(&web, server, signer.public(), SECRETS[0]).await
    };
    let (one, two) = (told().await, told().await);
    // The service has answered the first, and the answer is on its way.
    let closed = web.gate.lock().await;
    web.take_requests();
    let late = async { one.cat("title").await };
    let change = async {
        until("it is asked for", async || web.whole.load(Ordering::SeqCst) == 1).await;
        web.set_title("second");
        // The scope is where the change has led it.
        let moved = async || {
            let scopes = two.feeds.status();
            scopes.iter().any(|row| row.kind == "bus" && row.changes > 0)
        };
        until("the change is heard of", moved).await;
        drop(closed);
    };
    let (late, ()) = tokio::join!(late, change);
    // Who opened it after the change sees that.
    assert!(matches!(late.as_deref(), Ok("first" | "second")), "{late:?}");
    one.has_told(1).await;
    for core in [&two, &told().await] {
        assert_eq!(core.cat("title").await.as_deref(), Ok("second"));
    }
    one.shows("second").await;
    let before = bucket(&spy).await;
    web.set_title("third");
    two.shows("third").await;
    two.has_told(1).await;
    // All of it once more, as if it had been written only now.
    for (subject, payload) in before {
        put(&spy, &subject, payload).await;
    }
    let core = told().await;
    web.take_requests();
    let taken = core.taken();
    assert_eq!(core.cat("title").await.as_deref(), Ok("third"));
    assert_eq!((web.take_requests(), core.taken()), ((1, 0), taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_put_back_shows_nothing_that_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bus) = bus("fleet_put_back", dir.path(), "") else { return };
    let (web, signer) = (Web::start().await, signer());
    let connected = connect(&bus, None).await;
    // What holds the lease in the snapshot holds it no longer than that.
    let quick = Rhythm { lease: Duration::from_secs(3), ..rhythm() };
    let relay = Relaying::start(&web.service, connected, &signer, quick.clone());
    let told = async || {
        let server = connect(&bus, None).await;
        Sharer::told(&web, server, signer.public(), SECRETS[0]).await
    };
    let one = told().await;
    one.shows("first").await;
    web.set_title("second");
    one.shows("second").await;
    one.has_told(2).await;
    let (store, snapshot) = (dir.path().join("store"), dir.path().join("snapshot"));
    let put_back = || {
        std::fs::remove_dir_all(&store).unwrap();
        copy(&snapshot, &store);
    };
    bus.stop();
    copy(&store, &snapshot);
    bus.start_again().unwrap();
    until("it is told again", async || one.is_live()).await;
    web.set_title("third");
    one.shows("third").await;
    bus.stop();
    until("it is lost", async || !one.is_live()).await;
    // The relay goes on, and finds out that what it had said is not there any more.
    put_back();
    web.set_title("fourth");
    bus.start_again().unwrap();
    until("it is told again", async || one.is_live()).await;
    let two = told().await;
    for core in [&one, &two] {
        core.shows("fourth").await;
    }
    // A relay that knows nothing of what was said since the snapshot tells the same change that was told then.
    drop(relay);
    bus.stop();
    until("it is lost", async || !one.is_live() && !two.is_live()).await;
    put_back();
    web.set_title("fifth");
    bus.start_again().unwrap();
    let server = connect(&bus, None).await;
    let _next = Relaying::start(&web.service, server, &signer, quick);
    for core in [&one, &two] {
        until("it is told again", async || core.is_live()).await;
    }
    let three = told().await;
    for core in [&one, &two, &three] {
        core.shows("fifth").await;
        assert_eq!(core.cat("title").await.as_deref(), Ok("fifth"));
    }
}
