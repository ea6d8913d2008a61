//! A provider with nothing but webhooks, under the core: what a delivery saves, and what it does not.

use super::schemes::signature;
use super::webhook::options;
use super::*;
use futures_util::FutureExt;
use omnifs::cache::Capacity;
use omnifs::credentials::{Chain, Environment};
use omnifs::events::webhook::{Receiver, Subscriber};
use omnifs::provider::{
    Algorithm, Answer, Delivery, Node, Position, Progress, Provider, Reply, Request, ScopedChange,
    Signature,
};
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::Vfs;

use bytes::Bytes;
use std::time::UNIX_EPOCH;

/// A service in memory that tells of the id that a delivery's body is.
#[derive(Debug)]
struct Hooked(Arc<Memory>);

impl Provider for Hooked {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        self.0.lookup_child(parent, name)
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        self.0.list_children(parent)
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        self.0.read_file(node)
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        self.0.open_feed(position)
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        self.0.feed_line(position, line)
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        self.0.poll_feed(position)
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        let id = String::from_utf8_lossy(&delivery.body).into_owned();
        let change = Change::Invalidated(id.into());
        async move { Ok(vec![ScopedChange { scope: Some(SCOPE.into()), change }]) }.boxed()
    }
}

async fn cat(runtime: &Runtime, name: &str) -> Vec<u8> {
    let top = runtime.lookup(runtime.root(), "zzz").await.unwrap().unwrap().handle;
    let handle = runtime.lookup(top, name).await.unwrap().unwrap().handle;
    let open = runtime.open(handle).await.unwrap();
    let bytes = runtime.read(open.id, 0, 1 << 20).await.unwrap();
    runtime.release(open.id);
    runtime.forget(handle, 1);
    bytes.to_vec()
}

#[tokio::test]
async fn what_only_webhooks_tell_of_is_live_from_the_first_delivery_on() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let upstream = Memory::new(Style::default());
    upstream.file(ROOT, "a", "id-a", b"before");
    upstream.file(ROOT, "b", "id-b", b"other");
    let provider: Arc<dyn Provider> = Arc::new(Hooked(upstream.clone()));
    let shown = Instance { name: "zzz".into(), root: ROOT.into(), provider: Ok(provider.clone()) };
    let handle = tokio::runtime::Handle::current();
    let runtime = Runtime::new(Router::new(vec![shown]), Capacity::default(), UNIX_EPOCH, handle);
    let environment = Environment::from_fn(|_| Some("a-token".to_owned()));
    let subscriber = Subscriber {
        instance: "zzz".into(),
        feed: feed(FeedKind::Webhook, ""),
        signature: Signature {
            algorithm: Algorithm::Plain,
            signed: Vec::new(),
            ..signature("x-token")
        },
        alone: true,
        provider,
        secret: Arc::new(Chain::webhook("zzz", None, environment, None)),
    };
    let address = "127.0.0.1:0".parse().unwrap();
    let receiver =
        Receiver::bind(address, vec![subscriber], runtime.clone(), options()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/hook/zzz", receiver.local_addr());
    let deliver = async |id: &'static str, accepted: u64| {
        let request = client.post(&url).header("x-token", "a-token").body(id);
        let request = request.header("content-type", "application/json");
        assert_eq!(request.send().await.unwrap().status(), 200);
        until("it took effect", || {
            let row = receiver.status().remove(0);
            (row.accepted, row.waiting) == (accepted, 0)
        })
        .await;
    };
    // Nothing says yet that the service reaches this mount.
    for _ in 0..2 {
        let before = upstream.calls();
        assert_eq!(cat(&runtime, "a").await, b"before");
        assert!(upstream.calls() > before);
    }
    let live = || runtime.snapshot().scopes.iter().any(|(_, s)| &*s.scope == SCOPE && s.live);
    assert!(!live());
    deliver("id-b", 1).await;
    until("the scope is live", live).await;
    // What was cached before may be wrong: it is asked for once more, and never again.
    let before = upstream.calls();
    assert_eq!(
        (cat(&runtime, "a").await, cat(&runtime, "b").await),
        (b"before".to_vec(), b"other".to_vec())
    );
    let asked = upstream.calls();
    assert!(asked > before);
    for _ in 0..3 {
        assert_eq!(cat(&runtime, "a").await, b"before");
        assert_eq!(cat(&runtime, "b").await, b"other");
    }
    assert_eq!(upstream.calls(), asked, "nothing is asked while nothing happens");
    upstream.set("id-a", b"after");
    deliver("id-a", 2).await;
    assert_eq!(cat(&runtime, "a").await, b"after");
    assert_eq!(cat(&runtime, "b").await, b"other");
    let asked = upstream.calls();
    // Without the receiver nobody would hear of a change.
    drop(receiver);
    until("it is lost", || !live()).await;
    upstream.set("id-a", b"unheard");
    assert_eq!(cat(&runtime, "a").await, b"unheard");
    assert!(upstream.calls() > asked);
}
