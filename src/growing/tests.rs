//! One stream for everybody, whatever happens to it. The service is a script: each connection is a
//! channel that the test writes to.

use super::*;
use crate::provider::{
    Answer, Delivery, Followed, Framing, Method, Node, Position, Progress, Reply, Request,
    ScopedChange, Since,
};
use futures_util::stream::StreamExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

type Feed = mpsc::UnboundedSender<Result<Bytes, Failure>>;

/// Gives each request a connection of the script, in order.
#[derive(Debug, Default)]
struct Service {
    asked: Mutex<Vec<String>>,
    connections: tokio::sync::Mutex<std::collections::VecDeque<Next>>,
}

#[derive(Debug)]
enum Next {
    Open(mpsc::UnboundedReceiver<Result<Bytes, Failure>>),
    Status(u16),
    /// The headers never come.
    Headless,
    /// No headers come, and in the end a failure.
    Fails(oneshot::Receiver<Failure>),
}

impl Service {
    fn script(connections: Vec<Next>) -> Arc<Service> {
        Arc::new(Service {
            asked: Mutex::default(),
            connections: tokio::sync::Mutex::new(connections.into()),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Provider for Service {
    fn follow<'a>(&'a self, request: &'a Request) -> Reply<'a, Followed> {
        Box::pin(async move {
            self.asked.lock().push(request.path.clone());
            match self.connections.lock().await.pop_front().expect("one more was asked for") {
                Next::Open(receiver) => {
                    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async {
                        let chunk = receiver.recv().await?;
                        Some((chunk, receiver))
                    });
                    Ok(Followed { status: 200, chunks: chunks.boxed() })
                }
                Next::Status(status) => {
                    Ok(Followed { status, chunks: futures_util::stream::empty().boxed() })
                }
                Next::Headless => std::future::pending().await,
                Next::Fails(failure) => Err(failure.await.expect("the test says when")),
            }
        })
    }

    fn lookup_child<'a>(&'a self, _: &'a str, _: &'a str) -> Reply<'a, Answer<Node>> {
        unreachable!()
    }
    fn list_children<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        unreachable!()
    }
    fn read_file<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Bytes>> {
        unreachable!()
    }
    fn open_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Request> {
        unreachable!()
    }
    fn feed_line<'a>(&'a self, _: &'a Position, _: Bytes) -> Reply<'a, Progress> {
        unreachable!()
    }
    fn poll_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Progress> {
        unreachable!()
    }
    fn deliver(&self, _: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        unreachable!()
    }
}

fn connection() -> (Feed, Next) {
    let (feed, receiver) = mpsc::unbounded_channel();
    (feed, Next::Open(receiver))
}

fn lines(feed: &Feed, numbers: std::ops::Range<u32>) {
    for number in numbers {
        feed.send(Ok(Bytes::from(line(number)))).expect("somebody listens");
    }
}

/// Long ago, so that only silence tells that all has come.
fn line(number: u32) -> String {
    format!("2020-01-02T03:04:05.{number:09}Z line {number}\n")
}

fn text(numbers: std::ops::Range<u32>) -> String {
    numbers.map(line).collect()
}

struct Scene {
    service: Arc<Service>,
    growth: Arc<Growth>,
    noticed: Arc<AtomicUsize>,
}

fn scene(connections: Vec<Next>, pace: Pace) -> Scene {
    let service = Service::script(connections);
    let request = Request {
        endpoint: "e".into(),
        method: Method::Get,
        path: "/log?follow=1".into(),
        headers: Vec::new(),
        body: None,
    };
    let framing = Framing::Plain;
    let stream = Growing { request, framing, timed: true, since: Some(Since::seconds("since")) };
    let noticed = Arc::new(AtomicUsize::new(0));
    let counter = noticed.clone();
    let grown = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let growth = Growth::new(service.clone(), Arc::new(stream), pace, grown);
    Scene { service, growth, noticed }
}

fn quick() -> Pace {
    Pace {
        quiet: Duration::from_millis(20),
        patience: Duration::from_secs(5),
        linger: Duration::from_secs(600),
        notice: Duration::from_millis(5),
        retry_first: Duration::from_millis(1),
        retry_most: Duration::from_millis(20),
        ..Pace::default()
    }
}

/// A line of after the request that shows it.
fn now() -> Bytes {
    let now = jiff::Timestamp::now() + Duration::from_secs(1);
    Bytes::from(format!("{now} now\n"))
}

/// Somebody who opens it: what it came to, and how long it was then.
fn waiting(scene: &Scene) -> tokio::task::JoinHandle<(Result<bool, Failure>, u64)> {
    let growth = scene.growth.clone();
    tokio::spawn(async move {
        let current = growth.current(true).await;
        (current, growth.end())
    })
}

impl Scene {
    fn content(&self) -> String {
        let end = u32::try_from(self.growth.end()).unwrap();
        String::from_utf8(self.growth.read(0, end).unwrap().to_vec()).unwrap()
    }

    async fn until(&self, what: &str, done: impl Fn(&Scene) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            assert!(Instant::now() < end, "it never came about that {what}: {:?}", self.growth);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn ten_readers_of_a_log_cost_one_request_and_see_each_line_once() {
    let (feed, connection) = connection();
    let scene = scene(vec![connection], quick());
    lines(&feed, 0..1000);
    let readers = (0..10).map(|_| {
        let growth = scene.growth.clone();
        tokio::spawn(async move {
            growth.current(true).await.expect("it is there");
            growth.end()
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap(), text(0..1000).len() as u64, "all that was there");
    }
    lines(&feed, 1000..1100);
    scene.until("the rest comes", |scene| scene.content() == text(0..1100)).await;
    scene.until("somebody is told", |scene| scene.noticed.load(Ordering::SeqCst) > 0).await;
    assert_eq!(scene.service.asked(), ["/log?follow=1"]);
}

#[tokio::test]
async fn a_line_of_after_the_request_shows_that_all_before_it_has_come() {
    let (feed, connection) = connection();
    let pace = Pace { quiet: Duration::from_secs(60), ..quick() };
    let scene = scene(vec![connection], pace);
    lines(&feed, 0..3);
    let waiting = waiting(&scene);
    scene.until("the request is made", |scene| !scene.service.asked().is_empty()).await;
    feed.send(Ok(now())).unwrap();
    waiting.await.unwrap().0.expect("long before a minute of silence");
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_where_it_was() {
    let ((first, one), (second, two)) = (connection(), connection());
    let scene = scene(vec![one, two], quick());
    lines(&first, 0..10);
    scene.growth.current(true).await.unwrap();
    let failure = scene.growth.failure(Cause::Unavailable, "reset".into());
    first.send(Err(failure)).unwrap();
    scene.until("it asks again", |scene| scene.service.asked().len() == 2).await;
    lines(&second, 9..20);
    scene.until("the rest comes", |scene| scene.content() == text(0..20)).await;
    assert_eq!(scene.service.asked()[1], "/log?follow=1&since=1577934245.000000009");
}

#[tokio::test]
async fn an_end_is_believed_once_the_service_has_nothing_more() {
    let ((first, one), (second, two), (third, three)) = (connection(), connection(), connection());
    let scene = scene(vec![one, two, three], quick());
    lines(&first, 0..3);
    drop(first);
    lines(&second, 2..5);
    drop(second);
    // The service says the last record again, and that is all.
    lines(&third, 4..5);
    drop(third);
    scene.growth.current(true).await.unwrap();
    scene.until("it has ended", |scene| matches!(scene.growth.phase(), Phase::Ended)).await;
    assert_eq!(scene.content(), text(0..5));
    // Who polls its end asks nothing.
    for _ in 0..100 {
        scene.growth.current(false).await.unwrap();
    }
    assert_eq!(scene.service.asked().len(), 3);
}

#[tokio::test]
async fn what_has_ended_goes_on_after_an_event() {
    let ((first, one), (second, two), (third, three)) = (connection(), connection(), connection());
    drop(second);
    let scene = scene(vec![one, two, three], quick());
    lines(&first, 0..3);
    drop(first);
    scene.growth.current(true).await.unwrap();
    scene.until("it has ended", |scene| matches!(scene.growth.phase(), Phase::Ended)).await;
    scene.growth.stir();
    lines(&third, 3..6);
    scene.growth.current(false).await.unwrap();
    scene.until("it has gone on", |scene| scene.content() == text(0..6)).await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_is_a_failure_and_is_tried_again_at_the_next_use() {
    let (feed, connection) = connection();
    let scene = scene(vec![Next::Status(503), connection], quick());
    let failure = scene.growth.current(true).await.expect_err("503");
    assert_eq!(failure.cause, Cause::Unavailable);
    lines(&feed, 0..3);
    scene.growth.current(true).await.unwrap();
    assert_eq!(scene.content(), text(0..3));
}

#[tokio::test]
async fn a_stream_that_the_service_does_not_have_is_no_failure_and_asked_for_again() {
    let (feed, connection) = connection();
    let refusals = [409, 500, 501].map(Next::Status);
    let scene = scene(refusals.into_iter().chain([connection]).collect(), quick());
    for status in [409, 500, 501] {
        assert!(!scene.growth.current(true).await.unwrap(), "{status}");
    }
    lines(&feed, 0..3);
    assert!(scene.growth.current(true).await.unwrap());
    assert_eq!(scene.content(), text(0..3));
}

#[tokio::test]
async fn headers_that_are_held_back_are_no_failure() {
    let scene = scene(vec![Next::Headless], quick());
    scene.growth.current(true).await.expect("there is nothing yet");
    assert_eq!(scene.growth.end(), 0);
    assert_eq!(scene.service.asked().len(), 1);
}

#[tokio::test]
async fn a_stream_that_nobody_uses_is_given_up_and_taken_up_again() {
    let ((first, one), (second, two)) = (connection(), connection());
    let scene = scene(vec![one, two], quick());
    lines(&first, 0..3);
    scene.growth.current(true).await.unwrap();
    scene.growth.open();
    scene.growth.rest();
    assert!(scene.growth.is_held(), "somebody has it open");
    scene.growth.close();
    scene.growth.rest();
    scene.until("it rests", |scene| !scene.growth.is_held()).await;
    assert!(first.is_closed());
    lines(&second, 2..6);
    scene.growth.current(true).await.unwrap();
    assert_eq!(scene.content(), text(0..6), "with what it missed, each line once");
}

/// A `grep` over many logs has those given up that nobody has open, while somebody waits for what this
/// one holds.
#[tokio::test]
async fn a_log_that_is_waited_for_is_not_given_up_for_others() {
    let (feed, connection) = connection();
    let pace = Pace { quiet: Duration::from_secs(60), ..quick() };
    let scene = scene(vec![connection], pace);
    let waiting = waiting(&scene);
    scene.until("the request is made", |scene| !scene.service.asked().is_empty()).await;
    for number in 0..10 {
        scene.growth.rest();
        lines(&feed, number..number + 1);
        // It was told to leave before it took the line.
        scene.until("a line comes", |scene| scene.content() == text(0..number + 1)).await;
        assert!(scene.growth.is_held() && scene.growth.is_open());
    }
    feed.send(Ok(now())).unwrap();
    assert!(waiting.await.unwrap().0.expect("it has come"));
    assert_eq!(scene.service.asked().len(), 1);
    assert!(!scene.growth.is_open(), "who waited has gone");
    scene.growth.rest();
    scene.until("it rests", |scene| !scene.growth.is_held()).await;
}

#[tokio::test]
async fn an_open_waits_for_a_stream_that_broke_and_a_read_at_its_end_does_not() {
    let ((first, one), (second, two)) = (connection(), connection());
    let pace = Pace { quiet: Duration::from_secs(60), ..quick() };
    let scene = scene(vec![one, two], pace);
    lines(&first, 0..3);
    first.send(Ok(now())).unwrap();
    scene.growth.current(true).await.unwrap();
    let before = scene.growth.end();
    let failure = scene.growth.failure(Cause::Unavailable, "reset".into());
    first.send(Err(failure)).unwrap();
    scene.until("it asks again", |scene| scene.service.asked().len() == 2).await;
    assert!(matches!(scene.growth.phase(), Phase::Between), "{:?}", scene.growth);
    assert!(scene.growth.is_current(false) && !scene.growth.is_current(true));
    assert!(scene.growth.current(false).await.unwrap());
    assert_eq!(scene.growth.end(), before, "what it missed is still to come");
    let waiting = waiting(&scene);
    scene.until("somebody waits", |scene| scene.growth.is_open()).await;
    second.send(Ok(now())).unwrap();
    let (current, end) = waiting.await.unwrap();
    assert!(current.unwrap());
    assert!(end > before, "it went on before what was missed had come");
}

/// Nothing has come, and for want of an answer that was taken for all. It was no stream that broke.
#[tokio::test]
async fn a_service_that_held_its_headers_back_and_then_fails_has_failed() {
    let ((fail, failure), (feed, connection)) = (oneshot::channel(), connection());
    let scene = scene(vec![Next::Fails(failure), connection], quick());
    assert!(scene.growth.current(true).await.expect("there is nothing yet"));
    assert!(matches!(scene.growth.phase(), Phase::Current));
    fail.send(scene.growth.failure(Cause::Unavailable, "refused".into())).unwrap();
    scene.until("it is over", |scene| !scene.growth.is_held()).await;
    assert!(matches!(scene.growth.phase(), Phase::Failed(_)), "{:?}", scene.growth);
    assert_eq!(scene.service.asked().len(), 1, "nobody uses it");
    lines(&feed, 0..3);
    scene.growth.current(true).await.unwrap();
    assert_eq!(scene.content(), text(0..3));
}

#[tokio::test]
async fn a_log_that_takes_too_long_to_come_is_an_error_and_goes_on_coming() {
    let (feed, connection) = connection();
    // A pause of its own is no silence, however busy the machine is.
    let quiet = Duration::from_secs(2);
    let pace = Pace { quiet, patience: Duration::from_millis(50), ..quick() };
    let scene = scene(vec![connection], pace);
    let busy = tokio::spawn(async move {
        let mut number = 0;
        while feed.send(Ok(Bytes::from(line(number)))).is_ok() && number < 200 {
            number += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        feed
    });
    let failure = scene.growth.current(true).await.expect_err("it is not all there");
    assert_eq!(failure.cause, Cause::TimedOut);
    let _feed = busy.await.unwrap();
    while let Err(failure) = scene.growth.current(true).await {
        assert_eq!(failure.cause, Cause::TimedOut, "and then it is");
    }
    assert_eq!(scene.content(), text(0..201));
    assert_eq!(scene.service.asked().len(), 1);
}
