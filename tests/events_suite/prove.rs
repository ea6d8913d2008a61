//! Uses that wait for a poll before they ask for anything themselves.

use super::script::{Poll, Script};
use super::*;
use omnifs::events::{FeedState, FeedSupervisor, Feeds, Pace};
use omnifs::provider::{Cause, Progress};

/// Polls that come once an hour, and scopes that rest as soon as nobody uses them.
fn pace() -> Pace {
    Pace {
        poll: Duration::from_secs(3600),
        retry_first: Duration::from_secs(3600),
        retry_most: Duration::from_secs(3600),
        scan: Duration::from_millis(5),
        linger: Duration::from_millis(20),
        call: Duration::from_secs(5),
        ..Pace::default()
    }
}

fn scene(pace: Pace, answers: Vec<Poll>) -> (Arc<Record>, Arc<Script>, Feeds) {
    let (ledger, script) = (Record::new(), Arc::new(Script::default()));
    script.polls.lock().unwrap().insert("repo:1".to_owned(), answers);
    let feeds = FeedSupervisor::start(
        "example",
        script.clone(),
        &[feed(FeedKind::Push, "team:"), feed(FeedKind::Poll, "repo:")],
        outbound("http://127.0.0.1:1"),
        ledger.clone(),
        pace,
    );
    (ledger, script, feeds)
}

fn well(resumed: bool) -> Poll {
    let cursor = Some("c".to_owned());
    Poll::Progress(Progress { cursor, resumed, ..Progress::default() })
}

fn polls(script: &Script) -> usize {
    script.polled.lock().unwrap().len()
}

/// As many uses of the scope at once.
async fn uses(feeds: &Feeds, count: usize) {
    let prover = feeds.prover();
    let all = (0..count).map(|_| (prover.0)("repo:1".into()));
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn a_thousand_uses_of_a_scope_that_rests_wait_for_one_poll_which_vouches_for_all() {
    let (ledger, script, feeds) = scene(pace(), vec![well(false), well(true)]);
    ledger.activate("repo:1", 1700);
    until("it rests", || ledger.count(|told| matches!(told, Told::Rests(..))) == 1).await;
    let row = || feeds.status().into_iter().find(|row| row.scope == "repo:1").unwrap();
    assert_eq!(row().state, FeedState::Resting);
    let before = polls(&script);
    uses(&feeds, 1_000).await;
    assert_eq!(polls(&script), before + 1);
    // The uses go on when it is so, not before.
    let told = ledger.all();
    let [.., Told::Up(up), Told::Resumed(resumed)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((up.as_str(), resumed.as_str()), ("repo:1", "repo:1"));
    assert_eq!(script.polled.lock().unwrap()[before].cursor.as_deref(), Some("c"));
    assert_eq!((row().state, row().reconnects), (FeedState::Live, 0), "it was never lost");
}

#[tokio::test]
async fn a_feed_that_cannot_work_has_nobody_wait_until_its_next_attempt() {
    let pace = Pace { linger: Duration::from_secs(60), ..pace() };
    let (ledger, script, feeds) =
        scene(pace, vec![Poll::Fail(Cause::NotFound, "no such list", None)]);
    ledger.activate("repo:1", 1700);
    until("it is lost", || ledger.losses() == 1).await;
    let began = Instant::now();
    for _ in 0..100 {
        uses(&feeds, 10).await;
    }
    assert_eq!(polls(&script), 1);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_use_does_not_wait_long_for_a_service_that_does_not_answer() {
    let pace = Pace { patience: Duration::from_secs(1), ..pace() };
    let (ledger, script, feeds) = scene(pace, vec![well(false), Poll::Hang]);
    ledger.activate("repo:1", 1700);
    until("it rests", || ledger.count(|told| matches!(told, Told::Rests(..))) == 1).await;
    let began = Instant::now();
    uses(&feeds, 100).await;
    let first = began.elapsed();
    for _ in 0..100 {
        uses(&feeds, 1).await;
    }
    assert!(first >= Duration::from_secs(1), "{first:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "those that come later wait no more");
    assert_eq!(polls(&script), 2);
}

#[tokio::test]
async fn a_use_of_what_no_poll_feed_covers_goes_on_at_once() {
    let (ledger, script, feeds) = scene(pace(), vec![well(false)]);
    ledger.activate("team:1", 1);
    let prover = feeds.prover();
    (prover.0)("team:1".into()).await;
    (prover.0)("repo:404".into()).await;
    assert_eq!(polls(&script), 0);
}
