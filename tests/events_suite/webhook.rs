//! The webhook receiver: what it accepts, what it refuses, and that nothing is silently missed.

use super::script::Script;
use super::*;
use hmac::{Hmac, KeyInit, Mac};
use omnifs::capability::Clock;
use omnifs::credentials::{Chain, Environment};
use omnifs::events::webhook::{Options, Receiver, Sender, Subscriber, WebhookError};
use sha2::Sha256;
use std::time::UNIX_EPOCH;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECRET: &str = "webhook-secret-0123456789";
const NOW: u64 = 1_800_000_000;

struct Scene {
    ledger: Arc<Record>,
    script: Arc<Script>,
    receiver: Receiver,
    client: reqwest::Client,
}

fn options() -> Options {
    Options {
        clock: Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(NOW)),
        request: Duration::from_secs(2),
        ..Options::default()
    }
}

async fn scene(options: Options) -> Scene {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (ledger, script) = (Record::new(), Arc::new(Script::default()));
    let environment = Environment::from_fn(|name| {
        (name == "OMNIFS_WEBHOOK_SECRET_EXAMPLE").then(|| SECRET.to_owned())
    });
    let subscriber = |sender| Subscriber {
        sender,
        instance: "example".into(),
        feed: feed(FeedKind::Webhook, "repo:"),
        provider: script.clone(),
        secret: Arc::new(Chain::webhook("example", None, environment.clone(), None)),
    };
    let receiver = Receiver::bind(
        "127.0.0.1:0".parse().unwrap(),
        vec![subscriber(Sender::GitHub), subscriber(Sender::Linear)],
        ledger.clone(),
        options,
    )
    .await
    .unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Scene { ledger, script, receiver, client }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Scene {
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> u16 {
        let url = format!("http://{}{path}", self.receiver.local_addr());
        let mut request = self.client.post(url).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!(!text.contains(SECRET), "{text}");
        status
    }

    async fn github(&self, id: &str, secret: &str, body: &str) -> u16 {
        let signature = format!("sha256={}", sign(secret, body.as_bytes()));
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("x-github-event", "issues"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
            ("authorization", "Bearer of-a-proxy"),
        ];
        self.post("/github", &headers, body).await
    }

    async fn linear(&self, id: &str, at: u64) -> u16 {
        let body = format!(r#"{{"changed":"{id}","webhookTimestamp":{at}}}"#);
        let signature = sign(SECRET, body.as_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("linear-delivery", id),
            ("linear-event", "Issue"),
            ("linear-signature", &signature),
        ];
        self.post("/linear", &headers, body).await
    }
}

#[tokio::test]
async fn a_signed_delivery_is_accepted_and_takes_effect() {
    let scene = scene(options()).await;
    assert_eq!(scene.github("d-1", SECRET, r#"{"changed":"issue-1"}"#).await, 202);
    until("the change came", || scene.ledger.changes().len() == 1).await;
    assert_eq!(scene.ledger.changes(), [Change::Invalidated("issue-1".into())]);
    let delivered = scene.script.delivered.lock().unwrap()[0].clone();
    assert_eq!(delivered.feed, "events");
    assert_eq!(&delivered.body[..], br#"{"changed":"issue-1"}"#);
    let names: Vec<_> = delivered.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "x-github-event", "x-github-delivery"]);
    assert_eq!(scene.linear("l-1", NOW * 1000).await, 202);
    until("the other came", || scene.ledger.changes().len() == 2).await;
    let status = scene.receiver.status();
    assert_eq!((status.accepted, status.bad_signature, status.waiting), (2, 0, 0));
}

#[tokio::test]
async fn unsigned_tampered_replayed_and_malformed_deliveries_are_refused_and_counted() {
    let scene = scene(options()).await;
    let body = r#"{"changed":"x"}"#;
    let signature = format!("sha256={}", sign(SECRET, body.as_bytes()));
    let json = ("content-type", "application/json");
    let id = ("x-github-delivery", "d-1");
    // Unsigned.
    assert_eq!(scene.post("/github", &[json, id], body).await, 401);
    // The old SHA-1 signature alone is none.
    let sha1 = ("x-hub-signature", "sha1=0000000000000000000000000000000000000000");
    assert_eq!(scene.post("/github", &[json, id, sha1], body).await, 401);
    assert_eq!(scene.receiver.status().unsigned, 2);
    // Wrong secret, tampered body, wrong forms.
    assert_eq!(scene.github("d-1", "another secret", body).await, 401);
    let signed = ("x-hub-signature-256", signature.as_str());
    assert_eq!(scene.post("/github", &[json, id, signed], r#"{"changed":"y"}"#).await, 401);
    for wrong in
        ["", "sha256=", &signature[7..], &signature[..70], &signature.replace("sha256", "sha1")]
    {
        let wrong = ("x-hub-signature-256", wrong);
        assert_eq!(scene.post("/github", &[json, id, wrong], body).await, 401, "{wrong:?}");
    }
    assert_eq!(scene.receiver.status().bad_signature, 7);
    // Without id, with another type or method, not JSON.
    assert_eq!(scene.post("/github", &[json, signed], body).await, 400);
    let long = "i".repeat(129);
    assert_eq!(
        scene.post("/github", &[json, signed, ("x-github-delivery", &long)], body).await,
        400
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(scene.post("/github", &[form, id, signed], body).await, 415);
    let url = format!("http://{}/github", scene.receiver.local_addr());
    assert_eq!(scene.client.get(&url).send().await.unwrap().status(), 405);
    assert_eq!(scene.github("d-1", SECRET, "not json").await, 400);
    assert_eq!(scene.receiver.status().malformed, 5);
    assert_eq!(scene.post("/other", &[json, id, signed], body).await, 404);
    // None of it used the id up.
    assert_eq!(scene.github("d-1", SECRET, body).await, 202);
    assert_eq!(scene.github("d-1", SECRET, body).await, 409);
    assert_eq!(scene.github("d-2", SECRET, body).await, 202);
    until("two changes came", || scene.ledger.changes().len() == 2).await;
    let status = scene.receiver.status();
    assert_eq!((status.accepted, status.replayed), (2, 1));
    assert_eq!(scene.script.delivered.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_delivery_of_another_time_is_a_replay() {
    let scene = scene(options()).await;
    for at in [NOW * 1000 - 60_001, NOW * 1000 + 60_001, NOW, 0, u64::MAX] {
        assert_eq!(scene.linear("l-1", at).await, 409, "{at}");
    }
    assert_eq!(scene.linear("l-1", NOW * 1000 - 60_000).await, 202);
    let status = scene.receiver.status();
    assert_eq!((status.replayed, status.accepted), (5, 1));
    let body = r#"{"changed":"x"}"#;
    let signature = sign(SECRET, body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("linear-delivery", "l-2"),
        ("linear-signature", signature.as_str()),
    ];
    assert_eq!(scene.post("/linear", &headers, body).await, 400, "without a time");
}

/// Sends raw bytes and reads what comes back until the connection ends.
async fn raw(scene: &Scene, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(scene.receiver.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_oversized_delivery_is_refused_before_its_body_and_a_slow_one_ends() {
    let scene = scene(options()).await;
    let head = |length: &str| {
        format!(
            "POST /github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             x-github-delivery: d-1\r\nx-hub-signature-256: sha256={}\r\n{length}\r\n",
            "0".repeat(64)
        )
    };
    let answer = raw(&scene, head("content-length: 26214401\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(scene.receiver.status().oversized, 1);
    let answer = raw(&scene, head("transfer-encoding: chunked\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 411"), "{answer}");
    // A body that never comes, and headers that never end: the connection does.
    let began = Instant::now();
    raw(&scene, head("content-length: 100\r\n").as_bytes()).await;
    raw(&scene, b"POST /github HTTP/1.1\r\nhost: x\r\n").await;
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(scene.github("d-1", SECRET, r#"{"changed":"x"}"#).await, 202);
}

#[tokio::test]
async fn a_full_queue_turns_deliveries_away_and_leaves_a_gap() {
    let scene = scene(Options { queue: 2, ..options() }).await;
    let gate = scene.script.gate.lock().await;
    let mut accepted = 0;
    let mut status = 202;
    while status == 202 {
        accepted += 1;
        status = scene.github(&format!("d-{accepted}"), SECRET, r#"{"changed":"x"}"#).await;
        assert!(accepted < 10);
    }
    assert_eq!(status, 503);
    let refused = format!("d-{accepted}");
    assert_eq!(scene.ledger.changes(), [Change::Gap("repo:".into())]);
    assert_eq!(scene.receiver.status().overflowed, 1);
    drop(gate);
    until("the queue is empty", || scene.receiver.status().waiting == 0).await;
    // What was turned away may be delivered again.
    assert_eq!(scene.github(&refused, SECRET, r#"{"changed":"again"}"#).await, 202);
    until("it came", || {
        scene.ledger.changes().last() == Some(&Change::Invalidated("again".into()))
    })
    .await;
}

#[tokio::test]
async fn a_delivery_the_provider_cannot_read_is_a_gap() {
    let scene = scene(options()).await;
    assert_eq!(scene.github("d-1", SECRET, r#"{"other":1}"#).await, 202);
    until("the gap came", || scene.ledger.changes() == [Change::Gap("repo:".into())]).await;
    assert_eq!(scene.receiver.status().unreadable, 1);
}

#[tokio::test]
async fn without_a_secret_nothing_is_accepted() {
    let ledger = Record::new();
    let script = Arc::new(Script::default());
    let subscriber = Subscriber {
        sender: Sender::GitHub,
        instance: "example".into(),
        feed: feed(FeedKind::Webhook, "repo:"),
        provider: script.clone(),
        secret: Arc::new(Chain::webhook("example", None, Environment::empty(), None)),
    };
    let receiver =
        Receiver::bind("127.0.0.1:0".parse().unwrap(), vec![subscriber], ledger.clone(), options())
            .await
            .unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let scene = Scene { ledger, script, receiver, client };
    // Not even with the empty secret's signature.
    assert_eq!(scene.github("d-1", "", r#"{"changed":"x"}"#).await, 401);
    assert_eq!(scene.linear("l-1", NOW * 1000).await, 401);
    assert_eq!(scene.receiver.status().accepted, 0);
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_names_a_taken_port() {
    let bind = async |address: &str| {
        let ledger = Record::new();
        Receiver::bind(address.parse().unwrap(), Vec::new(), ledger, options()).await
    };
    assert!(matches!(bind("0.0.0.0:0").await, Err(WebhookError::NotLoopback(_))));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = bind(&taken.local_addr().unwrap().to_string()).await.unwrap_err();
    assert!(error.to_string().contains("choose another port"), "{error}");
    let first = bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr();
    drop(first);
    until("the port is free again", || std::net::TcpListener::bind(address).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_bad_deliveries_leaves_good_ones_quick() {
    let scene = Arc::new(scene(Options { clock: Clock::system(), ..options() }).await);
    let bad: Vec<_> = (0..8)
        .map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move {
                for _ in 0..250 {
                    assert_eq!(scene.github("bad", "wrong", r#"{"changed":"bad"}"#).await, 401);
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for number in 0..50 {
        let began = Instant::now();
        let body = format!(r#"{{"changed":"good-{number}"}}"#);
        assert_eq!(scene.github(&format!("good-{number}"), SECRET, &body).await, 202);
        let change = Change::Invalidated(format!("good-{number}").into());
        until("it took effect", || scene.ledger.changes().last() == Some(&change)).await;
        slowest = slowest.max(began.elapsed());
    }
    for task in bad {
        task.await.unwrap();
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let status = scene.receiver.status();
    assert_eq!((status.accepted, status.bad_signature), (50, 2000));
}
