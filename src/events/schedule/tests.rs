use super::*;

fn pace() -> Pace {
    Pace::default()
}

struct Scene {
    schedule: Schedule,
    allowance: Allowance,
    now: Instant,
    /// Polls that were begun, each with the time.
    polls: Vec<(Arc<str>, Instant)>,
    /// What each poll costs.
    requests: u64,
    fails: bool,
}

fn scene() -> Scene {
    let pace = pace();
    Scene {
        allowance: Allowance::new(pace.requests, pace.window()),
        schedule: Schedule::new(pace),
        now: Instant::now(),
        polls: Vec::new(),
        requests: 2,
        fails: false,
    }
}

fn active(scopes: &[&str], used: &[&str]) -> Vec<ActiveScope> {
    let of = |id: &&str| ActiveScope { id: Arc::from(*id), since: 7, used: used.contains(id) };
    scopes.iter().map(of).collect()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("repo:{n}")).collect()
}

impl Scene {
    fn scan(&mut self, scopes: &[&str], used: &[&str]) {
        self.schedule.seen(active(scopes, used), self.now);
    }

    /// Polls whatever is due now.
    fn work(&mut self) {
        self.schedule.take_tired(self.now);
        self.schedule.take_silent(self.now);
        while let Next::Poll(turn) = self.schedule.next(&mut self.allowance, self.now) {
            let ended = if self.fails { Ended::Failed(None, false) } else { Ended::Well(None) };
            let Scene { requests, now, .. } = *self;
            self.schedule.ended(&turn.scope, ended, requests, &mut self.allowance, now);
            self.schedule.release(&turn.scope);
            self.polls.push((turn.scope, now));
        }
    }

    fn pass(&mut self, time: Duration, scopes: &[&str], used: &[&str]) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(500);
            self.scan(scopes, used);
            self.work();
        }
    }

    fn state(&self, scope: &str) -> State {
        self.schedule.scopes[scope].state
    }

    fn within(&self, from: Instant, time: Duration) -> u64 {
        let within = self.polls.iter().filter(|(_, at)| (from..from + time).contains(at)).count();
        within as u64 * self.requests
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_few_scopes_in_use_are_polled_at_the_services_pace() {
    let mut scene = scene();
    let scopes = ["repo:1", "issues:1", "refs:1", "owner:a"];
    scene.pass(MINUTE * 60, &scopes, &scopes);
    for scope in scopes {
        let times: Vec<_> = scene.polls.iter().filter(|(of, _)| &**of == scope).collect();
        assert!((54..=61).contains(&times.len()), "{scope}: {} polls", times.len());
        assert_eq!(scene.state(scope), State::Live);
    }
}

#[test]
fn two_thousand_scopes_that_nobody_uses_cost_at_most_sixty_requests_in_any_minute() {
    let mut scene = scene();
    let names = names(2_500);
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let begun = scene.now;
    scene.pass(Duration::from_millis(500), &all, &all);
    scene.pass(MINUTE * 60, &all, &[]);
    for at in scene.polls.iter().map(|(_, at)| *at).collect::<Vec<_>>() {
        let requests = scene.within(at, MINUTE);
        assert!(requests <= 60, "{requests} requests in a minute");
    }
    assert!(scene.within(begun, MINUTE * 60) > 3_000, "they are polled all the same");
    assert!(all.iter().all(|scope| scene.state(scope) == State::Resting));
}

#[test]
fn what_nobody_uses_rests_after_a_while_and_is_polled_ever_less() {
    let mut scene = scene();
    scene.pass(MINUTE, &["repo:1"], &["repo:1"]);
    scene.pass(MINUTE * 9, &["repo:1"], &[]);
    assert_eq!(scene.state("repo:1"), State::Live);
    scene.pass(MINUTE * 3, &["repo:1"], &[]);
    assert_eq!(scene.state("repo:1"), State::Resting);
    let rested = scene.polls.len();
    scene.pass(MINUTE * 60 * 24, &["repo:1"], &[]);
    let times: Vec<_> = scene.polls[rested..].iter().map(|(_, at)| *at).collect();
    assert!((5..=12).contains(&times.len()), "{} polls in a day", times.len());
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    // A use brings it back to the pace.
    assert!(scene.schedule.want(&"repo:1".into(), scene.now).is_some());
    scene.work();
    assert_eq!(scene.state("repo:1"), State::Live);
    let before = scene.polls.len();
    scene.pass(MINUTE * 5, &["repo:1"], &["repo:1"]);
    assert!((4..=5).contains(&(scene.polls.len() - before)));
}

#[test]
fn what_was_used_last_is_polled_first_and_stays_live() {
    let mut scene = scene();
    let names = names(100);
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    scene.pass(Duration::from_secs(2), &all, &all);
    let mine = &all[90..95];
    scene.pass(MINUTE * 5, &all, mine);
    scene.polls.clear();
    scene.pass(MINUTE * 10, &all, mine);
    for scope in mine {
        let polls = scene.polls.iter().filter(|(of, _)| &**of == *scope).count();
        assert!((9..=11).contains(&polls), "{scope}: {polls}");
        assert_eq!(scene.state(scope), State::Live);
    }
}

#[test]
fn a_scope_is_suspect_when_its_poll_is_late() {
    let mut scene = scene();
    scene.requests = 60;
    let scopes = ["repo:1", "repo:2"];
    scene.pass(MINUTE * 2, &scopes, &scopes);
    // Each poll takes all of a minute's allowance, so one of the two is late.
    let states = scopes.map(|scope| scene.state(scope));
    assert!(states.contains(&State::Resting) && states.contains(&State::Live), "{states:?}");
}

#[test]
fn who_waits_is_served_at_once_by_one_poll_for_all() {
    let mut scene = scene();
    let names = names(200);
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    scene.pass(MINUTE * 3, &all, &all[..1]);
    let rests = |name: &&String| scene.state(name.as_str()) == State::Resting;
    let asleep: Arc<str> = names.iter().find(rests).expect("one that rests").as_str().into();
    let waiting: Vec<_> = (0..50).filter_map(|_| scene.schedule.want(&asleep, scene.now)).collect();
    assert_eq!(waiting.len(), 50);
    let before = scene.polls.len();
    scene.work();
    assert_eq!(scene.polls.len(), before + 1);
    assert_eq!(scene.state(&asleep), State::Live);
    for (mut ended, _) in waiting {
        assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
    assert!(scene.schedule.want(&asleep, scene.now).is_none(), "nothing to wait for");
}

#[test]
fn nobody_waits_for_a_feed_that_has_just_failed() {
    let mut scene = scene();
    scene.fails = true;
    scene.pass(Duration::from_secs(1), &["owner:o"], &["owner:o"]);
    assert_eq!(scene.state("owner:o"), State::Failing);
    assert!(scene.schedule.want(&"owner:o".into(), scene.now).is_none());
    let before = scene.polls.len();
    scene.pass(MINUTE * 10, &["owner:o"], &["owner:o"]);
    let polls = scene.polls.len() - before;
    assert!((10..=26).contains(&polls), "{polls} attempts in ten minutes");
    // And it is told as often, so that what was asked for holds no longer than to the next one.
    scene.fails = false;
    scene.pass(MINUTE, &["owner:o"], &["owner:o"]);
    assert_eq!(scene.state("owner:o"), State::Live);
}

#[test]
fn a_feed_that_the_service_says_is_not_there_is_tried_once_a_minute() {
    let mut scene = scene();
    scene.scan(&["owner:o"], &["owner:o"]);
    for _ in 0..10 {
        let Next::Poll(turn) = scene.schedule.next(&mut scene.allowance, scene.now) else {
            panic!("it is due");
        };
        let lasting = Ended::Failed(None, true);
        scene.schedule.ended(&turn.scope, lasting, 1, &mut scene.allowance, scene.now);
        let due = scene.schedule.scopes["owner:o"].due - scene.now;
        assert!((MINUTE / 2..=MINUTE).contains(&due), "{due:?}");
        scene.now += due;
        scene.scan(&["owner:o"], &["owner:o"]);
    }
}

#[test]
fn a_long_wait_that_the_service_asks_for_is_told_again_every_minute() {
    let mut scene = scene();
    scene.scan(&["repo:1"], &["repo:1"]);
    let Next::Poll(turn) = scene.schedule.next(&mut scene.allowance, scene.now) else {
        panic!("it is due");
    };
    let asked = Ended::Failed(Some(MINUTE * 30), false);
    scene.schedule.ended(&turn.scope, asked, 1, &mut scene.allowance, scene.now);
    let mut told = 0;
    for _ in 0..29 {
        scene.now += MINUTE;
        scene.scan(&["repo:1"], &["repo:1"]);
        assert!(scene.schedule.take_tired(scene.now).is_empty());
        told += scene.schedule.take_silent(scene.now).len();
        assert!(matches!(scene.schedule.next(&mut scene.allowance, scene.now), Next::Wait(_)));
    }
    assert_eq!(told, 29);
}

#[test]
fn a_scope_that_is_gone_is_forgotten_also_while_it_is_polled() {
    let mut scene = scene();
    scene.scan(&["repo:1", "repo:2"], &["repo:1", "repo:2"]);
    let Next::Poll(turn) = scene.schedule.next(&mut scene.allowance, scene.now) else {
        panic!("it is due");
    };
    let [_, gone] = scene.schedule.seen(Vec::new(), scene.now);
    assert_eq!(gone.len(), 1, "the other one");
    let Scene { schedule, allowance, now, .. } = &mut scene;
    assert_eq!(schedule.ended(&turn.scope, Ended::Well(None), 1, allowance, *now), Tell::Gone);
    assert!(schedule.scopes.is_empty());
    // One that a use asks for and that is not there lets the use go on.
    let (mut ended, _) = schedule.want(&"repo:3".into(), *now).expect("it may be there");
    assert!(schedule.has_unseen());
    schedule.seen(Vec::new(), *now);
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[test]
fn nobody_waits_for_what_is_polled_no_more() {
    let mut scene = scene();
    scene.scan(&["repo:1"], &["repo:1"]);
    let scope: Arc<str> = "repo:1".into();
    let (mut waits, _) = scene.schedule.want(&scope, scene.now).expect("it is new");
    assert!(waits.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
    scene.schedule.end();
    assert!(waits.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    assert!(scene.schedule.want(&scope, scene.now).is_none());
}
