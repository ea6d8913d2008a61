//! Push feeds over a scripted unix socket.

use super::script::Script;
use super::*;
use omnifs::events::{FeedState, FeedSupervisor, Feeds, Pace};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

struct Scene {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    ledger: Arc<Record>,
    script: Arc<Script>,
    feeds: Feeds,
}

fn pace() -> Pace {
    Pace {
        reconnect_first: Duration::from_millis(5),
        reconnect_most: Duration::from_millis(40),
        call: Duration::from_secs(5),
        ..Pace::default()
    }
}

fn scene(pace: Pace) -> Scene {
    scene_of(feed(FeedKind::Push, "engine:"), pace)
}

fn scene_of(feed: Feed, pace: Pace) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    let (ledger, script) = (Record::new(), Arc::new(Script::default()));
    let feeds = FeedSupervisor::start(
        "example",
        script.clone(),
        &[feed],
        outbound(&format!("unix://{}", socket.display())),
        ledger.clone(),
        pace,
    );
    Scene { _directory: directory, socket, ledger, script, feeds }
}

impl Scene {
    fn listen(&self) -> UnixListener {
        let _ = std::fs::remove_file(&self.socket);
        UnixListener::bind(&self.socket).unwrap()
    }

    fn state(&self) -> FeedState {
        self.feeds.status()[0].state
    }
}

/// The next stream's request line, and the stream.
async fn accept(listener: &UnixListener) -> (String, UnixStream) {
    let accepting = tokio::time::timeout(Duration::from_secs(60), listener.accept());
    let (mut stream, _) = accepting.await.expect("the feed connects").unwrap();
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    while !bytes[..length].windows(4).any(|window| window == b"\r\n\r\n") {
        length += stream.read(&mut bytes[length..]).await.unwrap();
    }
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    (text.lines().next().unwrap().to_owned(), stream)
}

async fn send(stream: &mut UnixStream, text: &str) {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(chunk.as_bytes()).await.unwrap();
}

fn invalidated(id: &str) -> Change {
    Change::Invalidated(id.into())
}

#[tokio::test]
async fn a_stream_is_live_from_its_headers_on_and_its_lines_take_effect_in_order() {
    let scene = scene(pace());
    let listener = scene.listen();
    let (request, mut stream) = accept(&listener).await;
    assert_eq!(request, "GET /events HTTP/1.1");
    assert_eq!(scene.ledger.ups(), 0, "nothing is live before the headers");
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    until("the feed is up", || scene.ledger.ups() == 1).await;
    send(&mut stream, "changed a\nchan").await;
    send(&mut stream, "ged b\n\nchanged c\r\n").await;
    until("three changes came", || scene.ledger.changes().len() == 3).await;
    assert_eq!(scene.ledger.changes(), ["a", "b", "c"].map(invalidated));
    let row = scene.feeds.status().remove(0);
    assert_eq!((row.state, row.kind, row.items, row.changes), (FeedState::Live, "push", 3, 3));
    assert!(row.lag.unwrap() < 1000 && row.last_item.is_some());
    assert_eq!(scene.ledger.all().iter().filter(|t| matches!(t, Told::Resumed(_))).count(), 0);
}

#[tokio::test]
async fn a_dropped_stream_is_lost_and_resumed_from_its_cursor() {
    let scene = scene(pace());
    let listener = scene.listen();
    let (_, mut stream) = accept(&listener).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    // Two whole lines, and half of a third.
    send(&mut stream, "changed a\nchanged b\nchanged hal").await;
    until("two changes came", || scene.ledger.changes().len() == 2).await;
    drop(stream);
    let (request, mut stream) = accept(&listener).await;
    assert_eq!(request, "GET /events?since=2 HTTP/1.1");
    until("the loss was told", || scene.ledger.losses() >= 1).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    send(&mut stream, "changed half\nresumed 2\n").await;
    until("it resumed", || {
        scene.ledger.count(|told| matches!(told, Told::Resumed(scope) if scope == "engine:")) == 1
    })
    .await;
    assert_eq!(scene.ledger.changes(), ["a", "b", "half"].map(invalidated));
    // Order: up, changes, lost, up, the missed change, resumed.
    let kinds: Vec<_> = scene
        .ledger
        .all()
        .iter()
        .map(|told| match told {
            Told::Up(_) => 'u',
            Told::Lost(..) | Told::Rests(..) => 'l',
            Told::Resumed(_) => 'r',
            Told::Change(_) => 'c',
        })
        .collect();
    assert_eq!(kinds, ['u', 'c', 'c', 'l', 'u', 'c', 'r']);
    assert_eq!(scene.feeds.status()[0].reconnects, 1);
}

#[tokio::test]
async fn a_stream_that_is_silent_for_too_long_is_lost_and_resumed_from_its_cursor() {
    let silence = Duration::from_secs(3);
    let bounded = Feed { silence: Some(silence), ..feed(FeedKind::Push, "engine:") };
    let scene = scene_of(bounded, pace());
    let listener = scene.listen();
    let (_, mut stream) = accept(&listener).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    send(&mut stream, "changed a\n").await;
    until("the change came", || scene.ledger.changes().len() == 1).await;
    // A byte within the bound keeps it, also one that is no event.
    let began = Instant::now();
    while began.elapsed() < silence * 2 {
        send(&mut stream, "\n").await;
        tokio::time::sleep(silence / 10).await;
    }
    assert_eq!(scene.ledger.losses(), 0, "bytes came");
    // The connection stands, and says nothing.
    let (request, mut stream) = accept(&listener).await;
    assert_eq!(request, "GET /events?since=1 HTTP/1.1");
    assert!(scene.ledger.last_loss().unwrap().contains("not a byte came for 3 s"));
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    send(&mut stream, "changed b\nresumed 1\n").await;
    until("it resumed", || scene.ledger.count(|told| matches!(told, Told::Resumed(_))) == 1).await;
    assert_eq!(scene.ledger.changes(), ["a", "b"].map(invalidated));
}

#[tokio::test]
async fn a_line_that_cannot_be_read_is_a_gap_and_the_stream_goes_on() {
    let scene = scene(pace());
    let listener = scene.listen();
    let (_, mut stream) = accept(&listener).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    send(&mut stream, "changed a\n{garbage\u{1}\npanic\nchanged b\n").await;
    for _ in 0..20 {
        send(&mut stream, &"x".repeat(1 << 16)).await;
    }
    send(&mut stream, "end of a long line\nchanged c\n").await;
    until("the last change came", || scene.ledger.changes().last() == Some(&invalidated("c")))
        .await;
    let gap = || Change::Gap("engine:".into());
    assert_eq!(
        scene.ledger.changes(),
        [invalidated("a"), gap(), gap(), invalidated("b"), gap(), invalidated("c")]
    );
    let row = scene.feeds.status().remove(0);
    assert_eq!((row.state, row.unreadable, row.items), (FeedState::Live, 3, 3));
    assert_eq!(scene.ledger.losses(), 0);
}

#[tokio::test]
async fn an_absent_socket_is_tried_again_without_a_busy_loop_until_it_is_there() {
    let scene = scene(pace());
    until("some attempts were made", || scene.script.opened.lock().unwrap().len() >= 3).await;
    // 20 to 40 ms apart, and more on a busy machine.
    let attempts = || scene.script.opened.lock().unwrap().len();
    let (began, before) = (Instant::now(), attempts());
    until("twenty more were made", || attempts() >= before + 20).await;
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(scene.state(), FeedState::Lost);
    let why = scene.ledger.last_loss().unwrap();
    assert!(why.contains("no such socket; is it running?"), "{why}");
    assert_eq!(scene.ledger.ups(), 0);
    let listener = scene.listen();
    let (_, mut stream) = accept(&listener).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    until("it is live", || scene.state() == FeedState::Live).await;
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_a_loss() {
    let scene = scene(pace());
    let listener = scene.listen();
    for (answer, part) in [
        ("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", "with 500"),
        ("HTTP/1.1 204 X\r\n\r\n", "with 204"),
        ("HTTP/1.1 301 X\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", "with 301"),
        ("garbage\r\n\r\n", "not HTTP"),
        ("", "closed the connection"),
    ] {
        let (_, mut stream) = accept(&listener).await;
        let before = scene.ledger.losses();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        until(part, || scene.ledger.losses() > before).await;
        let why = scene.ledger.last_loss().unwrap();
        assert!(why.contains(part), "{answer:?}: {why}");
    }
    assert_eq!(scene.ledger.ups(), 0);
}

#[tokio::test]
async fn a_server_that_hangs_up_at_once_again_and_again_is_not_stormed() {
    let scene = scene(pace());
    let listener = scene.listen();
    let began = Instant::now();
    let mut streams = 0;
    while began.elapsed() < Duration::from_millis(500) {
        let (_, mut stream) = accept(&listener).await;
        stream.write_all(HEAD.as_bytes()).await.unwrap();
        send(&mut stream, "changed a\n").await;
        streams += 1;
    }
    assert!(streams <= 40, "{streams} streams in half a second");
}

#[tokio::test]
async fn a_server_that_never_answers_is_lost_at_the_deadline_and_a_quiet_stream_is_not() {
    let began = Instant::now();
    let scene = scene(pace());
    let listener = scene.listen();
    let (_, silent) = accept(&listener).await;
    until("the deadline passed", || scene.ledger.losses() >= 1).await;
    assert!(began.elapsed() >= Duration::from_millis(1500));
    assert!(scene.ledger.last_loss().unwrap().contains("was not opened within 2 s"));
    drop(silent);
    let (_, mut stream) = accept(&listener).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    until("it is live", || scene.state() == FeedState::Live).await;
    let (losses, began) = (scene.ledger.losses(), Instant::now());
    until("more than the deadline passed", || began.elapsed() > Duration::from_millis(2500)).await;
    assert_eq!((scene.ledger.losses(), scene.state()), (losses, FeedState::Live));
    send(&mut stream, "changed late\n").await;
    until("it still hears", || scene.ledger.changes() == [invalidated("late")]).await;
}

#[tokio::test]
async fn a_feed_that_is_stopped_is_reported_lost_and_says_nothing_more() {
    let Scene { _directory, socket, ledger, feeds, .. } = scene(pace());
    let listener = UnixListener::bind(&socket).unwrap();
    let (_, mut stream) = accept(&listener).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    until("it is live", || ledger.ups() == 1).await;
    feeds.stop().await;
    let told = ledger.all();
    assert_eq!(told.last(), Some(&Told::Rests("engine:".into(), "the feed has ended".into())));
    let _ = stream.write_all(b"a\r\nchanged a\n\r\n").await;
    assert_eq!(ledger.all(), told);
}
