//! The webhook receiver: what it accepts, what it refuses, and that nothing is silently missed.

use super::schemes::signature;
use super::script::Script;
use super::*;
use hmac::{Hmac, KeyInit, Mac};
use omnifs::capability::Clock;
use omnifs::credentials::{Chain, Environment};
use omnifs::events::webhook::{
    Options, Receiver, Subscriber, WebhookError, WebhookStatus, stands_alone,
};
use omnifs::provider::{Handshake, Signature, Timestamp, TimestampPlace, TimestampUnit};
use sha2::Sha256;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECRET: &str = "webhook-secret-0123456789";
const NOW: u64 = 1_800_000_000;

pub struct Scene {
    pub ledger: Arc<Record>,
    pub script: Arc<Script>,
    pub receiver: Receiver,
    pub client: reqwest::Client,
}

pub fn options() -> Options {
    Options {
        clock: Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(NOW)),
        request: Duration::from_secs(2),
        ..Options::default()
    }
}

/// The body in hexadecimal, and the body's own time.
fn hook() -> Signature {
    Signature {
        timestamp: Some(Timestamp {
            at: TimestampPlace::Body("/at".to_owned()),
            unit: TimestampUnit::Seconds,
        }),
        pass: vec!["x-event".to_owned()],
        ..signature("x-signature")
    }
}

async fn scene(options: Options) -> Scene {
    scene_of("example", hook(), "repo:", Some(SECRET), options).await
}

fn subscriber(
    instance: &str,
    signature: Signature,
    feed: Feed,
    secret: Option<&'static str>,
    script: &Arc<Script>,
) -> Subscriber {
    let environment = Environment::from_fn(move |name| {
        name.starts_with("OMNIFS_WEBHOOK_SECRET_").then_some(secret?.to_owned())
    });
    Subscriber {
        instance: instance.into(),
        feed,
        signature,
        alone: true,
        provider: script.clone(),
        secret: Arc::new(Chain::webhook(instance, None, environment, None)),
    }
}

pub async fn scene_of(
    instance: &str,
    signature: Signature,
    scopes: &str,
    secret: Option<&'static str>,
    options: Options,
) -> Scene {
    let script = Arc::new(Script::default());
    let feed = feed(FeedKind::Webhook, scopes);
    let subscriber = subscriber(instance, signature, feed, secret, &script);
    scene_with(vec![subscriber], script, options).await
}

async fn scene_with(subscribers: Vec<Subscriber>, script: Arc<Script>, options: Options) -> Scene {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ledger = Record::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let receiver = Receiver::bind(address, subscribers, ledger.clone(), options).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Scene { ledger, script, receiver, client }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Scene {
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> u16 {
        self.answer(path, headers, body).await.0
    }

    pub async fn answer(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        let url = format!("http://{}{path}", self.receiver.local_addr());
        let mut request = self.client.post(url).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!(!text.contains(SECRET), "{text}");
        (status, text)
    }

    async fn deliver(&self, secret: &str, body: &str) -> u16 {
        let signature = sign(secret, body.as_bytes());
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("x-event", "issues"),
            ("x-signature", &signature),
            ("authorization", "Bearer of-a-proxy"),
        ];
        self.post("/hook/example", &headers, body.to_owned()).await
    }

    fn status(&self) -> WebhookStatus {
        self.receiver.status().remove(0)
    }

    /// Of the scopes that no delivery vouches for, why it was said last of one.
    fn last_rest(&self) -> Option<String> {
        self.ledger.all().into_iter().rev().find_map(|told| match told {
            Told::Rests(_, why) => Some(why),
            _ => None,
        })
    }

    fn lives(&self) -> Vec<String> {
        let mut live = std::collections::BTreeSet::new();
        for told in self.ledger.all() {
            match told {
                Told::Up(scope) => drop(live.insert(scope)),
                Told::Rests(scope, _) => drop(live.remove(&scope)),
                _ => {}
            }
        }
        live.into_iter().collect()
    }
}

fn changed(id: &str) -> String {
    format!(r#"{{"changed":"{id}"}}"#)
}

#[tokio::test]
async fn a_signed_delivery_is_answered_200_and_takes_effect() {
    let scene = scene(options()).await;
    assert_eq!(scene.deliver(SECRET, &changed("issue-1")).await, 200);
    until("the change came", || scene.ledger.changes().len() == 1).await;
    assert_eq!(scene.ledger.changes(), [Change::Invalidated("issue-1".into())]);
    let delivered = scene.script.delivered.lock().unwrap()[0].clone();
    assert_eq!(delivered.feed, "events");
    assert_eq!(&delivered.body[..], changed("issue-1").as_bytes());
    assert_eq!(delivered.headers, [("x-event".to_owned(), "issues".to_owned())]);
    let status = scene.status();
    assert_eq!((status.accepted, status.bad_signature, status.waiting), (1, 0, 0));
}

#[tokio::test]
async fn unsigned_tampered_and_malformed_deliveries_are_refused_and_counted() {
    let scene = scene(options()).await;
    let body = changed("x");
    let signature = sign(SECRET, body.as_bytes());
    let json = ("content-type", "application/json");
    let post = async |headers: &[(&str, &str)], body: &str| {
        scene.post("/hook/example", headers, body.to_owned()).await
    };
    assert_eq!(post(&[json], &body).await, 401);
    assert_eq!(scene.status().unsigned, 1);
    assert_eq!(scene.deliver("another secret", &body).await, 401);
    let signed = ("x-signature", signature.as_str());
    assert_eq!(post(&[json, signed], &changed("y")).await, 401);
    for wrong in ["", &signature[..62], &format!("{signature}00"), &signature.replace('a', "g")] {
        assert_eq!(post(&[json, ("x-signature", wrong)], &body).await, 401, "{wrong:?}");
    }
    assert_eq!(scene.status().bad_signature, 6);
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(post(&[form, signed], &body).await, 415);
    let url = format!("http://{}/hook/example", scene.receiver.local_addr());
    assert_eq!(scene.client.get(&url).send().await.unwrap().status(), 405);
    assert_eq!(scene.status().malformed, 2);
    for path in ["/", "/example", "/hook", "/hook/other", "/hook/example/x"] {
        assert_eq!(scene.post(path, &[json, signed], body.clone()).await, 404, "{path}");
    }
    assert_eq!(scene.ledger.changes(), []);
    assert_eq!(scene.deliver(SECRET, &body).await, 200);
    until("it came", || scene.ledger.changes().len() == 1).await;
}

#[tokio::test]
async fn a_repetition_is_answered_200_and_takes_effect_again() {
    let scene = scene(options()).await;
    for times in 1..=3 {
        assert_eq!(scene.deliver(SECRET, &changed("x")).await, 200);
        until("it took effect", || scene.ledger.changes().len() == times).await;
    }
    let status = scene.status();
    assert_eq!((status.accepted, status.repeated), (3, 2));
}

#[tokio::test]
async fn repetitions_that_wait_are_one_and_hold_up_nothing_else() {
    let scene = scene(Options { queue: 8, ..options() }).await;
    assert_eq!(scene.deliver(SECRET, &changed("old")).await, 200);
    until("it took effect", || scene.ledger.changes().len() == 1).await;
    let gate = scene.script.gate.lock().await;
    // Far more than there is room for.
    for _ in 0..100 {
        assert_eq!(scene.deliver(SECRET, &changed("old")).await, 200);
    }
    assert_eq!(scene.deliver(SECRET, &changed("new")).await, 200);
    drop(gate);
    until("both took effect", || {
        let changes = scene.ledger.changes();
        let last = changes.iter().rposition(|c| *c == Change::Invalidated("old".into()));
        last > Some(0) && changes.contains(&Change::Invalidated("new".into()))
    })
    .await;
    until("the queue is empty", || scene.status().waiting == 0).await;
    let status = scene.status();
    assert_eq!((status.accepted, status.repeated, status.overflowed), (102, 100, 0));
    // The one that was under way, and the one that waited for it.
    assert!(scene.script.delivered.lock().unwrap().len() <= 4);
}

#[tokio::test]
async fn a_late_delivery_takes_effect_and_proves_nothing() {
    let scene = scene_of("example", hook(), "repo", Some(SECRET), options()).await;
    let at = |at: u64| format!(r#"{{"changed":"at-{at}","at":{at}}}"#);
    for (number, off) in [NOW - 3600, NOW + 3600, 0, u64::MAX / 1000].into_iter().enumerate() {
        assert_eq!(scene.deliver(SECRET, &at(off)).await, 200, "{off}");
        until("it took effect", || scene.ledger.changes().len() == number + 1).await;
        assert_eq!(scene.status().late, number as u64 + 1);
    }
    assert_eq!(scene.lives(), [""; 0]);
    // A clock that is two minutes off is no reason for anything.
    assert_eq!(scene.deliver(SECRET, &at(NOW - 120)).await, 200);
    until("the scope is live", || scene.lives() == ["repo"]).await;
    assert_eq!(scene.status().late, 4);
}

#[tokio::test]
async fn a_body_in_chunks_is_taken_and_bounded_while_it_comes() {
    let scene = scene(Options { memory: 64 << 10, ..options() }).await;
    let body = changed("chunked");
    let signature = sign(SECRET, body.as_bytes());
    let headers = [("content-type", "application/json"), ("x-signature", signature.as_str())];
    let pieces = |text: String| {
        let pieces: Vec<_> =
            text.as_bytes().chunks(5).map(|p| Ok::<_, std::io::Error>(p.to_vec())).collect();
        reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
    };
    assert_eq!(scene.post("/hook/example", &headers, pieces(body)).await, 200);
    until("it took effect", || scene.ledger.changes().len() == 1).await;
    // Without end, and never held: there is room for 64 KiB.
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 8 << 10]));
    let url = format!("http://{}/hook/example", scene.receiver.local_addr());
    let mut request = scene.client.post(url).body(reqwest::Body::wrap_stream(endless));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send().await;
    assert!(answer.is_err() || answer.unwrap().status() == 503);
    until("it is a gap", || scene.ledger.changes().len() == 2).await;
    assert_eq!(scene.ledger.changes()[1..], [Change::Gap("repo:".into())]);
    assert_eq!(scene.status().unchecked, 1);
    // The room is there again.
    assert_eq!(scene.deliver(SECRET, &changed("after")).await, 200);
}

/// Sends raw bytes and reads what comes back until the connection ends.
async fn raw(scene: &Scene, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(scene.receiver.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_oversized_delivery_is_refused_before_its_body_and_a_slow_one_ends() {
    let scene = scene(options()).await;
    let head = |length: &str| {
        format!(
            "POST /hook/example HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             x-signature: {}\r\n{length}\r\n",
            "0".repeat(64)
        )
    };
    let answer = raw(&scene, head("content-length: 26214401\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(scene.status().oversized, 1);
    // A body that never comes, and headers that never end: the connection does.
    let began = Instant::now();
    raw(&scene, head("content-length: 100\r\n").as_bytes()).await;
    raw(&scene, b"POST /hook/example HTTP/1.1\r\nhost: x\r\n").await;
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(scene.deliver(SECRET, &changed("x")).await, 200);
}

/// What somebody sends who has no secret: a head with a signature's form, and a body of that length.
fn forged(length: usize) -> String {
    format!(
        "POST /hook/example HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         x-signature: {}\r\ncontent-length: {length}\r\n\r\n",
        "0".repeat(64)
    )
}

async fn connect(scene: &Scene, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(scene.receiver.local_addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// A request may take so long that a test which waits for that fails.
fn patient() -> Options {
    Options { request: Duration::from_secs(600), ..options() }
}

fn gaps(scene: &Scene) -> usize {
    scene.ledger.changes().iter().filter(|change| matches!(change, Change::Gap(_))).count()
}

#[tokio::test]
async fn slow_senders_in_every_place_hold_up_no_delivery_and_make_one_gap() {
    let head = &b"POST /hook/example HTTP/1.1\r\nhost: x\r\n"[..];
    let body = [forged(25 << 20).as_bytes(), b"0"].concat();
    for begun in [head, &body] {
        let scene = scene(patient()).await;
        let mut slow = Vec::new();
        for _ in 0..200 {
            slow.push(connect(&scene, begun).await);
        }
        for number in 0..10 {
            let delivery = changed(&format!("x-{number}"));
            let delivered = scene.deliver(SECRET, &delivery);
            let status = tokio::time::timeout(Duration::from_secs(60), delivered).await;
            assert_eq!(status.expect("a place is found"), 200);
        }
        until("all came", || scene.ledger.changes().len() == 11).await;
        assert_eq!(gaps(&scene), 1);
        let status = scene.status();
        // Those that ended before their first byte was read are none.
        assert!((1..=146).contains(&status.unchecked), "{status:?}");
        assert_eq!((status.accepted, status.malformed, status.overflowed), (10, 0, 0));
    }
}

#[tokio::test]
async fn a_connection_without_a_byte_is_no_delivery_and_a_head_that_never_ends_may_be_one() {
    let scene = scene(Options { request: Duration::from_secs(1), ..options() }).await;
    let ends = async |begun: &[u8]| {
        let mut stream = connect(&scene, begun).await;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(30), reading).await.expect("it ends");
    };
    ends(b"").await;
    assert_eq!((scene.status().unchecked, gaps(&scene)), (0, 0));
    ends(b"POST /ho").await;
    until("it is a gap", || gaps(&scene) == 1).await;
    ends(forged(10).as_bytes()).await;
    until("it is counted", || scene.status().unchecked == 2).await;
    assert_eq!(gaps(&scene), 1);
}

#[tokio::test]
async fn a_flood_of_large_bodies_leaves_room_for_a_small_one_and_makes_one_gap() {
    let scene = scene(Options { memory: 4 << 20, ..patient() }).await;
    // More than the room for large ones, and none is whole.
    let part = [forged(25 << 20).into_bytes(), vec![b'0'; 1 << 20]].concat();
    let mut large = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(scene.receiver.local_addr()).await.unwrap();
        let part = part.clone();
        large.push(tokio::spawn(async move {
            let _ = stream.write_all(&part).await;
            std::future::pending::<()>().await
        }));
    }
    let delivered = async {
        for number in 0..100 {
            assert_eq!(scene.deliver(SECRET, &changed(&format!("x-{number}"))).await, 200);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), delivered).await.expect("there is room");
    let status = scene.status();
    assert_eq!((status.accepted, status.overflowed), (100, 0));
    large.iter().for_each(tokio::task::JoinHandle::abort);

    // And where each of them is turned away, that is one gap.
    let options = Options { memory: 1 << 10, request: Duration::from_millis(500), ..options() };
    let scene = scene_of("example", hook(), "repo:", Some(SECRET), options).await;
    let body = vec![b'0'; 128 << 10];
    let headers = [("content-type", "application/json"), ("x-signature", &*"0".repeat(64))];
    for number in 1..=5 {
        assert_eq!(scene.post("/hook/example", &headers, body.clone()).await, 503);
        assert_eq!(scene.status().unchecked, number);
    }
    until("it is a gap", || gaps(&scene) == 1).await;
}

#[tokio::test]
async fn what_is_turned_away_after_a_gap_makes_another_at_the_pauses_end() {
    let pause = Duration::from_secs(1);
    let scene = scene(Options { pause, ..options() }).await;
    let began = Instant::now();
    for _ in 0..10 {
        let answer = raw(&scene, forged(26 << 20).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    until("the second gap came", || gaps(&scene) >= 2).await;
    assert!(began.elapsed() >= pause);
    assert_eq!(scene.status().oversized, 10);
}

#[tokio::test]
async fn a_full_queue_turns_deliveries_away_and_leaves_a_gap() {
    let scene = scene(Options { queue: 2, ..options() }).await;
    let gate = scene.script.gate.lock().await;
    let mut accepted = 0;
    let mut status = 200;
    while status == 200 {
        accepted += 1;
        status = scene.deliver(SECRET, &changed(&format!("x-{accepted}"))).await;
        assert!(accepted < 10);
    }
    assert_eq!(status, 503);
    let refused = changed(&format!("x-{accepted}"));
    assert_eq!(scene.ledger.changes(), [Change::Gap("repo:".into())]);
    assert_eq!(scene.status().overflowed, 1);
    drop(gate);
    until("the queue is empty", || scene.status().waiting == 0).await;
    // What was turned away may be delivered again, and is no repetition.
    assert_eq!(scene.deliver(SECRET, &refused).await, 200);
    let last = Change::Invalidated(format!("x-{accepted}").into());
    until("it came", || scene.ledger.changes().last() == Some(&last)).await;
    assert_eq!(scene.status().repeated, 0);
}

#[tokio::test]
async fn a_delivery_the_provider_cannot_read_is_a_gap() {
    let scene = scene(options()).await;
    for unreadable in [r#"{"other":1}"#, "not json"] {
        assert_eq!(scene.deliver(SECRET, unreadable).await, 200);
    }
    let gap = || Change::Gap("repo:".into());
    until("the gaps came", || scene.ledger.changes() == [gap(), gap()]).await;
    assert_eq!(scene.status().unreadable, 2);
}

#[tokio::test]
async fn without_a_secret_nothing_is_accepted_and_that_is_said_beforehand() {
    let scene = scene_of("example", hook(), "repo:", None, options()).await;
    until("it is said", || scene.status().problem.is_some()).await;
    let problem = scene.status().problem.unwrap();
    assert!(problem.contains("OMNIFS_WEBHOOK_SECRET_EXAMPLE"), "{problem}");
    // Not even with the empty secret's signature.
    assert_eq!(scene.deliver("", &changed("x")).await, 401);
    assert_eq!(scene.status().accepted, 0);
}

#[tokio::test]
async fn each_instance_has_a_path_and_a_secret_of_its_own() {
    let script = Arc::new(Script::default());
    let of = |instance: &str, secret| {
        subscriber(instance, hook(), feed(FeedKind::Webhook, "repo:"), Some(secret), &script)
    };
    let subscribers = vec![of("example", SECRET), of("zzz", "another secret")];
    let scene = scene_with(subscribers, script.clone(), options()).await;
    let body = changed("x");
    let post = async |path: &str, secret: &str| {
        let signature = sign(secret, body.as_bytes());
        let headers = [("content-type", "application/json"), ("x-signature", signature.as_str())];
        scene.post(path, &headers, body.clone()).await
    };
    assert_eq!(post("/hook/example", SECRET).await, 200);
    assert_eq!(post("/hook/zzz", "another secret").await, 200);
    assert_eq!(post("/hook/zzz", SECRET).await, 401);
    let rows = scene.receiver.status();
    let counts: Vec<_> =
        rows.iter().map(|row| (row.instance.as_str(), row.accepted, row.bad_signature)).collect();
    assert_eq!(counts, [("example", 1, 0), ("zzz", 1, 1)]);
}

#[tokio::test]
async fn a_delivery_makes_the_scopes_live_that_it_names_and_a_gap_is_one_of_the_feed() {
    let scene = scene(options()).await;
    until("it waits", || scene.last_rest().is_some()).await;
    assert_eq!(scene.last_rest().unwrap(), "no delivery has arrived yet");
    assert_eq!(scene.deliver(SECRET, &changed("of-none")).await, 200);
    let of = |scope: &str| format!(r#"{{"changed":"x","scope":"{scope}"}}"#);
    for scope in ["repo:a", "issues:a", "repo:b"] {
        assert_eq!(scene.deliver(SECRET, &of(scope)).await, 200);
    }
    until("all came", || scene.ledger.changes().len() == 4).await;
    until("both are live", || scene.lives() == ["repo:a", "repo:b"]).await;
    // The changes come before the scope is live: what is fetched from then on has them.
    let all = scene.ledger.all();
    let up = all.iter().position(|told| *told == Told::Up("repo:a".into())).unwrap();
    assert_eq!(all[up - 1], Told::Change(Change::Invalidated("x".into())));
    drop(scene.receiver);
    let ledger = scene.ledger;
    let rests = || ledger.count(|told| matches!(told, Told::Rests(..)));
    until("they are lost with the receiver", || rests() == 3).await;
}

#[tokio::test]
async fn a_feed_beside_a_stream_or_a_poll_only_says_what_changed() {
    let of = |kind, scopes: &str| feed(kind, scopes);
    let hooks = of(FeedKind::Webhook, "repo:");
    for (scopes, alone) in [("repo:", false), ("", false), ("repo:a", false), ("issues:", true)] {
        let feeds = [hooks.clone(), of(FeedKind::Poll, scopes)];
        assert_eq!(stands_alone(&hooks, &feeds), alone, "{scopes}");
    }
    let script = Arc::new(Script::default());
    let mut beside = subscriber("example", hook(), hooks, Some(SECRET), &script);
    beside.alone = false;
    let scene = scene_with(vec![beside], script, options()).await;
    assert_eq!(scene.deliver(SECRET, r#"{"changed":"x","scope":"repo:a"}"#).await, 200);
    until("it came", || scene.ledger.changes().len() == 1).await;
    until("it is worked off", || scene.status().waiting == 0).await;
    assert_eq!((scene.ledger.ups(), scene.last_rest()), (0, None));
}

#[tokio::test]
async fn silence_beyond_the_manifests_bound_and_a_machine_that_slept_end_what_a_delivery_proved() {
    let (clock, slept) = (Arc::new(AtomicU64::new(NOW)), Arc::new(AtomicU64::new(0)));
    let (at, sleep) = (clock.clone(), slept.clone());
    let seconds = |of: &AtomicU64| Duration::from_secs(of.load(Ordering::SeqCst));
    let options = Options {
        clock: Clock::from_fn(move || UNIX_EPOCH + seconds(&at)).sleeping(move || seconds(&sleep)),
        watch: Duration::from_millis(10),
        ..options()
    };
    let silence = Duration::from_secs(5);
    let bounded = Feed { silence: Some(silence), ..feed(FeedKind::Webhook, "repo") };
    let script = Arc::new(Script::default());
    let subscriber = subscriber("example", hook(), bounded, Some(SECRET), &script);
    let scene = scene_with(vec![subscriber], script, options).await;
    assert_eq!(scene.deliver(SECRET, &changed("x")).await, 200);
    until("it is live", || scene.ledger.ups() == 1).await;
    clock.fetch_add(3600, Ordering::SeqCst);
    until("it is lost", || scene.lives().is_empty()).await;
    assert!(scene.last_rest().unwrap().contains("slept"));
    // An hour of sleep that shows by no wall clock, since that one was set back meanwhile.
    assert_eq!(scene.deliver(SECRET, &changed("z")).await, 200);
    until("it is live again", || scene.ledger.ups() == 2).await;
    clock.fetch_sub(7200, Ordering::SeqCst);
    slept.fetch_add(3600, Ordering::SeqCst);
    until("it is lost", || scene.lives().is_empty()).await;
    assert!(scene.last_rest().unwrap().contains("slept"));
    let began = Instant::now();
    assert_eq!(scene.deliver(SECRET, &changed("y")).await, 200);
    until("it is live again", || scene.ledger.ups() == 3).await;
    until("it is lost again", || scene.lives().is_empty()).await;
    assert!(began.elapsed() >= silence);
    assert!(scene.last_rest().unwrap().contains("no delivery has arrived for 5 s"));
}

/// The service asks whether somebody listens, and that makes the only scope live. Somebody who has
/// overheard it sends it again after the scope was lost.
#[tokio::test]
async fn a_handshake_that_is_replayed_is_answered_and_makes_nothing_live() {
    let (slept, looked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (sleep, looks) = (slept.clone(), looked.clone());
    let clock = options().clock.sleeping(move || {
        looks.fetch_add(1, Ordering::SeqCst);
        Duration::from_secs(sleep.load(Ordering::SeqCst))
    });
    let options = Options { clock, watch: Duration::from_millis(10), ..options() };
    let handshake = Some(Handshake::Delivery {
        at: "/type".into(),
        value: "asking".into(),
        answer: "/challenge".into(),
    });
    let signature = Signature { handshake, ..hook() };
    let scene = scene_of("example", signature, "repo", Some(SECRET), options).await;
    // The receiver has worked off what it was told before it looks for the second time.
    let worked_off = async || {
        let before = looked.load(Ordering::SeqCst);
        until("it looks", || looked.load(Ordering::SeqCst) >= before + 3).await;
    };
    let asking = format!(r#"{{"type":"asking","challenge":"x","at":{NOW}}}"#);
    assert_eq!(scene.deliver(SECRET, &asking).await, 200);
    until("it is live", || scene.lives() == ["repo"]).await;
    slept.fetch_add(3600, Ordering::SeqCst);
    until("it is lost", || scene.lives().is_empty()).await;
    for _ in 0..3 {
        assert_eq!(scene.deliver(SECRET, &asking).await, 200);
        worked_off().await;
    }
    assert_eq!((scene.lives().len(), scene.ledger.ups()), (0, 1));
    // One that the service has not sent before counts.
    let again = asking.replace("\"x\"", "\"y\"");
    assert_eq!(scene.deliver(SECRET, &again).await, 200);
    until("it is live again", || scene.ledger.ups() == 2).await;
    // Nor does one count that was overheard on its way, and never came.
    slept.fetch_add(3600, Ordering::SeqCst);
    until("it is lost again", || scene.lives().is_empty()).await;
    let late = asking.replace(&NOW.to_string(), &(NOW - 600).to_string());
    assert_eq!(scene.deliver(SECRET, &late).await, 200);
    worked_off().await;
    assert_eq!((scene.lives().len(), scene.status().late), (0, 1));
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
                    assert_eq!(scene.deliver("wrong", &changed("bad")).await, 401);
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for number in 0..50 {
        let began = Instant::now();
        let body = changed(&format!("good-{number}"));
        assert_eq!(scene.deliver(SECRET, &body).await, 200);
        let change = Change::Invalidated(format!("good-{number}").into());
        until("it took effect", || scene.ledger.changes().last() == Some(&change)).await;
        times.push(began.elapsed());
    }
    for task in bad {
        task.await.unwrap();
    }
    // Half of them: whoever shares the machine may hold up any one.
    times.sort();
    assert!(times[25] < Duration::from_secs(2), "{times:?}");
    let status = scene.status();
    assert_eq!((status.accepted, status.bad_signature), (50, 2000));
}
