//! Poll feeds: which scopes are asked, when, and what failures come to.

use super::script::{Poll, Script};
use super::*;
use omnifs::events::{FeedState, FeedSupervisor, Feeds, Pace};
use omnifs::provider::{Cause, Progress};

struct Scene {
    ledger: Arc<Record>,
    script: Arc<Script>,
    feeds: Feeds,
}

fn pace() -> Pace {
    Pace {
        poll_override: Some(Duration::from_millis(10)),
        retry_first: Duration::from_millis(10),
        retry_most: Duration::from_millis(40),
        scan: Duration::from_millis(5),
        call: Duration::from_secs(5),
        ..Pace::default()
    }
}

fn scene(pace: Pace, polls: &[(&str, Vec<Poll>)]) -> Scene {
    let (ledger, script) = (Record::new(), Arc::new(Script::default()));
    for (scope, answers) in polls {
        script.polls.lock().unwrap().insert((*scope).to_owned(), answers.clone());
    }
    let feeds = FeedSupervisor::start(
        "example",
        script.clone(),
        &[feed(FeedKind::Poll, "repo:")],
        outbound("http://127.0.0.1:1"),
        ledger.clone(),
        pace,
    );
    Scene { ledger, script, feeds }
}

fn quiet(cursor: &str) -> Poll {
    Poll::Progress(Progress { cursor: Some(cursor.to_owned()), ..Progress::default() })
}

impl Scene {
    fn polls_of(&self, scope: &str) -> usize {
        self.script.polled.lock().unwrap().iter().filter(|p| p.scope == scope).count()
    }

    /// In order; a loss that was only said again, as it is in a long wait, is told once.
    fn told_of(&self, scope: &str) -> Vec<Told> {
        let of = |told: &Told| match told {
            Told::Up(s) | Told::Resumed(s) | Told::Lost(s, _) | Told::Rests(s, _) => s == scope,
            Told::Change(_) => false,
        };
        let mut told: Vec<Told> = self.ledger.all().into_iter().filter(of).collect();
        told.dedup_by(|again, first| matches!(again, Told::Lost(..)) && again == first);
        told
    }
}

#[tokio::test]
async fn only_scopes_in_use_are_polled_each_from_its_own_cursor() {
    let scene =
        scene(pace(), &[("repo:1", vec![quiet("c1"), quiet("c2")]), ("repo:2", vec![quiet("d1")])]);
    let began = Instant::now();
    until("nothing was polled for a while", || began.elapsed() > Duration::from_millis(100)).await;
    assert!(scene.script.polled.lock().unwrap().is_empty());
    scene.ledger.activate("repo:1", 1700);
    scene.ledger.activate("team:9", 1);
    until("three polls were made", || scene.polls_of("repo:1") >= 3).await;
    let polled = scene.script.polled.lock().unwrap().clone();
    assert!(polled.iter().all(|position| position.scope == "repo:1" && position.since == 1700));
    let cursors: Vec<_> = polled.iter().map(|p| p.cursor.as_deref()).take(3).collect();
    assert_eq!(cursors, [None, Some("c1"), Some("c2")]);
    // Up once, however many polls.
    assert_eq!(scene.told_of("repo:1"), [Told::Up("repo:1".into())]);
    scene.ledger.activate("repo:2", 1800);
    until("the other is polled", || scene.polls_of("repo:2") >= 2).await;
    let mut states: Vec<_> =
        scene.feeds.status().into_iter().map(|row| (row.scope, row.state, row.kind)).collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        states,
        [("repo:1".into(), FeedState::Live, "poll"), ("repo:2".into(), FeedState::Live, "poll")]
    );
}

#[tokio::test]
async fn a_scope_that_nobody_uses_is_left_alone_and_comes_back_with_its_cursor() {
    let resumed = Poll::Progress(Progress { resumed: true, ..Progress::default() });
    let scene = scene(pace(), &[("repo:1", vec![quiet("c1"), quiet("c2"), resumed])]);
    scene.ledger.activate("repo:1", 1700);
    until("it resumed", || scene.ledger.count(|t| matches!(t, Told::Resumed(_))) > 0).await;
    scene.ledger.deactivate("repo:1");
    until("it was let go", || scene.feeds.status().is_empty()).await;
    assert_eq!(scene.told_of("repo:1").last(), Some(&Told::Rests("repo:1".into(), "idle".into())));
    let polls = scene.polls_of("repo:1");
    let began = Instant::now();
    until("some intervals passed", || began.elapsed() > Duration::from_millis(100)).await;
    assert_eq!(scene.polls_of("repo:1"), polls);
    scene.ledger.activate("repo:1", 1900);
    until("it is live again", || matches!(scene.told_of("repo:1").last(), Some(Told::Resumed(_))))
        .await;
    let position = scene.script.polled.lock().unwrap()[polls].clone();
    assert_eq!((position.cursor.as_deref(), position.since), (Some("c2"), 1900));
}

#[tokio::test]
async fn changes_take_effect_before_the_scope_is_live() {
    let change = Change::Invalidated("issue".into());
    let first = Poll::Progress(Progress {
        changes: vec![change.clone()],
        resumed: true,
        ..Progress::default()
    });
    let gap = Poll::Progress(Progress {
        changes: vec![Change::Gap("repo:1".into())],
        resumed: true,
        ..Progress::default()
    });
    let scene = scene(pace(), &[("repo:1", vec![first, gap, quiet("x")])]);
    scene.ledger.activate("repo:1", 1);
    until("three polls were made", || scene.polls_of("repo:1") >= 3).await;
    assert_eq!(
        scene.ledger.all(),
        [
            Told::Change(change),
            Told::Up("repo:1".into()),
            Told::Resumed("repo:1".into()),
            // A poll that reports a gap proves nothing.
            Told::Change(Change::Gap("repo:1".into())),
        ]
    );
}

#[tokio::test]
async fn a_failed_poll_is_a_loss_and_the_next_good_one_brings_it_back() {
    let fail = |cause, detail| Poll::Fail(cause, detail, None);
    let scene = scene(
        pace(),
        &[(
            "repo:1",
            vec![
                quiet("c1"),
                fail(Cause::Unavailable, "status 503"),
                fail(Cause::TimedOut, "too slow"),
                Poll::Panic,
                quiet("c2"),
            ],
        )],
    );
    scene.ledger.activate("repo:1", 1);
    until("it came back", || scene.ledger.ups() == 2).await;
    let lost = |why: &str| Told::Lost("repo:1".into(), why.into());
    let up = || Told::Up("repo:1".into());
    assert_eq!(
        scene.told_of("repo:1"),
        [up(), lost("status 503"), lost("too slow"), lost("the provider panicked"), up()]
    );
    let position = scene.script.polled.lock().unwrap()[4].clone();
    assert_eq!(position.cursor.as_deref(), Some("c1"), "a failure keeps the cursor");
    assert_eq!(scene.feeds.status()[0].reconnects, 1);
}

#[tokio::test]
async fn a_throttled_poll_waits_as_long_as_the_service_asks() {
    let asked = Some(Duration::from_millis(600));
    let scene = scene(
        pace(),
        &[("repo:1", vec![Poll::Fail(Cause::RateLimited, "throttled", asked), quiet("c")])],
    );
    scene.ledger.activate("repo:1", 1);
    let began = Instant::now();
    until("it is live", || scene.ledger.ups() == 1).await;
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
    assert_eq!(scene.told_of("repo:1")[0], Told::Lost("repo:1".into(), "throttled".into()));
}

#[tokio::test]
async fn the_services_own_interval_is_kept() {
    let asked = |wait| {
        Poll::Progress(Progress { wait: Some(Duration::from_millis(wait)), ..Progress::default() })
    };
    let pace = Pace { poll_override: None, poll: Duration::from_secs(3600), ..pace() };
    // An interval of nothing is not believed.
    let scene = scene(pace, &[("repo:1", vec![asked(0), asked(3_600_000)])]);
    scene.ledger.activate("repo:1", 1);
    let began = Instant::now();
    until("the second poll was made", || scene.polls_of("repo:1") == 2).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let began = Instant::now();
    until("a while passed", || began.elapsed() > Duration::from_millis(200)).await;
    assert_eq!(scene.polls_of("repo:1"), 2);
}

#[tokio::test]
async fn stopping_leaves_no_scope_live() {
    let scene = scene(pace(), &[("repo:1", vec![quiet("c")]), ("repo:2", vec![quiet("c")])]);
    scene.ledger.activate("repo:1", 1);
    scene.ledger.activate("repo:2", 1);
    until("both are live", || scene.ledger.ups() == 2).await;
    let Scene { ledger, feeds, .. } = scene;
    feeds.stop().await;
    until("both are lost", || ledger.losses() == 2).await;
}
