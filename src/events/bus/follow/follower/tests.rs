use super::super::super::Rhythm;
use super::super::super::chain::{How, Link, Position, Writer};
use super::super::super::keys::Signer;
use super::super::super::message::{Beat, Message, State, VERSION};
use super::super::super::names::{Key, Pattern, Place};
use super::super::super::server::{Access, Kept as Last, Server};
use super::super::silent::Silent;
use super::super::{Fleet, Split};
use super::*;
use crate::capability::validators::Validators;
use crate::capability::{Outbound, Setup};
use crate::events::Ledger;
use crate::events::Pace;
use crate::nodes::InstanceId;
use crate::provider::{Change, Feed, FeedKind, Manifest};
use crate::scopes;
use crate::scopes::ActiveScope;
use parking_lot::Mutex;

const I: InstanceId = InstanceId(0);
const SCOPE: &str = "s";
const EVERY: Duration = Duration::from_secs(20);

/// A mount's own ledger, without the mount.
#[derive(Default)]
struct Kept(Mutex<scopes::Ledger>);

impl Ledger for Kept {
    fn up(&self, _: &str, scope: &str) {
        self.0.lock().up(I, scope);
    }

    fn resumed(&self, _: &str, scope: &str) {
        self.0.lock().resumed(I, scope);
    }

    fn lost(&self, _: &str, scope: &str, why: &str) {
        self.0.lock().lost(I, scope, why);
    }

    fn rest(&self, _: &str, scope: &str, why: &str) {
        self.0.lock().rest(I, scope, why);
    }

    fn idle(&self, _: &str, scope: &str) {
        self.0.lock().idle(I, scope);
    }

    fn apply(&self, _: &str, changes: &[Change]) {
        changes.iter().for_each(|change| self.0.lock().record(I, change));
    }

    fn take_active(&self, _: &str, prefix: &str) -> Vec<ActiveScope> {
        self.0.lock().take_active(I, prefix)
    }
}

/// What a relay says, and whom it tells. There is no bus between them.
struct World {
    signer: Signer,
    writer: Writer,
    ledger: Arc<Kept>,
    split: Arc<Split>,
    feeding: Feeding,
}

impl World {
    async fn new() -> World {
        let signer = Signer::new(&Signer::generate().unwrap()).unwrap();
        let nowhere = Access::new("nats://127.0.0.1:1", None, None).unwrap();
        let fleet = Fleet {
            positions: Default::default(),
            server: Server::connect(&nowhere).await.unwrap(),
            keys: [signer.public()].into(),
            scopes: [Pattern::new(">").unwrap()].into(),
            rhythm: Rhythm::at(EVERY),
        };
        let ledger = Arc::new(Kept::default());
        let manifest = Manifest { name: "p".into(), ..Manifest::default() };
        let feed = Feed {
            name: "changes".into(),
            kind: FeedKind::Poll,
            scopes: SCOPE.into(),
            endpoint: None,
            silence: None,
            signature: None,
        };
        let feeding = Feeding {
            instance: "m".into(),
            provider: Arc::new(Silent),
            feed,
            outbound: Outbound::new(Setup::new("m", manifest, Arc::new(Validators::new(0))))
                .unwrap(),
            ledger: ledger.clone(),
            pace: Pace::default(),
            board: Default::default(),
        };
        let split = Split::new(ledger.clone(), fleet, Place::new("p", "1.0.0", "o"));
        World { signer, writer: Writer::begin().unwrap(), ledger, split, feeding }
    }

    fn follower(&self) -> Follower {
        Follower::new(&self.split, &self.feeding, SCOPE.into(), Instant::now())
    }

    fn key(&self) -> Key {
        self.split.place.key(SCOPE)
    }

    fn message(&self, state: State) -> Vec<u8> {
        let message = Message {
            v: VERSION,
            n: self.writer.position().n,
            base: self.writer.base(),
            win: self.writer.window(),
            state,
            cursor: None,
            sig: String::new(),
        };
        message.signed(&self.signer, &self.key()).unwrap()
    }

    fn kept(&self, sequence: u64, state: State) -> Option<Last> {
        Some(Last { sequence, payload: self.message(state).into() })
    }

    fn beat(&self, of: u64, count: u64) -> Vec<u8> {
        let Position { n, head } = self.writer.position();
        let beat = Beat {
            v: VERSION,
            n,
            head,
            state: State::Live,
            of,
            count,
            every: u64::try_from(EVERY.as_millis()).unwrap(),
            sig: String::new(),
        };
        beat.signed(&self.signer, &self.key())
    }

    fn begin(&self) -> u64 {
        let mut ledger = self.ledger.0.lock();
        let stamp = ledger.begin();
        ledger.end(stamp);
        stamp
    }
}

impl Follower {
    fn hears(&mut self, beat: &[u8]) {
        self.at(Instant::now()).beat(beat, Instant::now());
        self.judge();
    }

    fn is_live(&self) -> bool {
        self.live_until.is_some()
    }
}

#[tokio::test]
async fn what_was_missed_while_nobody_followed_is_proven_by_no_later_beat() {
    let mut world = World::new().await;
    // A node of the scope is held all the time.
    let scope = world.ledger.0.lock().scope(I, &SCOPE.into(), 0);
    let mut follower = world.follower();
    follower.kept(world.kept(1, State::Live));
    follower.hears(&world.beat(1, 1));
    let early = world.begin();
    assert!(scope.covers(early));
    follower.standing.idle();
    assert!(!scope.covers(early));
    world.writer.push(Link::of(&Change::Invalidated("node".into())));

    let mut follower = world.follower();
    follower.kept(world.kept(2, State::Live));
    for count in 1..4 {
        follower.hears(&world.beat(2, count));
        assert!(follower.is_live());
        assert!(!scope.covers(early), "beat {count}");
    }
    // What it has heard of itself is proven.
    let late = world.begin();
    follower.down("a pause");
    assert!(!scope.covers(late));
    follower.hears(&world.beat(2, 4));
    assert!(scope.covers(late) && !scope.covers(early));
}

#[tokio::test]
async fn a_beat_speaks_for_the_time_from_its_arrival_on() {
    let world = World::new().await;
    let mut follower = world.follower();
    let now = Instant::now();
    let arrived = now.checked_sub(Duration::from_secs(1)).unwrap();
    // It waits until what the bus keeps has been read.
    follower.beat(&world.beat(1, 1), arrived);
    follower.judge();
    assert!(!follower.is_live());
    follower.kept(world.kept(1, State::Live));
    follower.judge();
    assert_eq!(follower.live_until, Some(arrived + EVERY * BEATS));

    let mut late = world.follower();
    late.beat(&world.beat(1, 1), now.checked_sub(EVERY * BEATS).unwrap());
    late.kept(world.kept(1, State::Live));
    late.judge();
    assert!(!late.is_live(), "three beats have been missed since");
    late.hears(&world.beat(1, 2));
    assert!(late.is_live());
}

#[tokio::test]
async fn a_beat_from_before_the_relay_lost_the_service_makes_nothing_live() {
    let world = World::new().await;
    let early = world.beat(1, 7);
    let mut follower = world.follower();
    follower.kept(world.kept(2, State::Lost));
    assert!(follower.beat(&early, Instant::now()), "an old one");
    follower.judge();
    assert!(!follower.is_live());

    // The same where it arrives before the answer.
    let mut follower = world.follower();
    follower.hears(&early);
    follower.kept(world.kept(2, State::Lost));
    follower.judge();
    assert!(!follower.is_live());

    // Or before the relay says so.
    let mut follower = world.follower();
    follower.hears(&early);
    follower.message(&world.message(State::Lost), How::Told);
    follower.read = true;
    follower.judge();
    assert!(!follower.is_live());

    // A bus that was put back counts anew.
    let mut follower = world.follower();
    follower.kept(world.kept(9, State::Live));
    follower.hears(&world.beat(9, 1));
    assert!(follower.is_live());
    follower.down("a pause");
    assert!(follower.beat(&early, Instant::now()));
    follower.kept(world.kept(1, State::Live));
    follower.hears(&early);
    assert!(follower.is_live());
}

#[tokio::test]
async fn what_was_missed_before_the_first_poll_is_proven_by_no_later_one() {
    let world = World::new().await;
    let scope = world.ledger.0.lock().scope(I, &SCOPE.into(), 0);
    let mut follower = world.follower();
    follower.kept(world.kept(1, State::Live));
    follower.hears(&world.beat(1, 1));
    let early = world.begin();
    follower.down("no beats");
    world.split.scopes.lock().polled.insert(SCOPE.into());
    let mut polls = Standing::new(
        &Feeding { ledger: world.split.clone(), ..world.feeding.clone() },
        &SCOPE.into(),
    );
    // The first has no cursor.
    polls.up();
    polls.settled(Some("1"));
    let late = world.begin();
    for _ in 0..2 {
        polls.up();
        polls.resumed();
        polls.settled(Some("1"));
        assert!(scope.covers(late) && !scope.covers(early));
    }
    // One that goes on from the cursor proves what was missed since.
    polls.lost("no answer");
    assert!(!scope.covers(late));
    polls.up();
    polls.resumed();
    polls.settled(Some("2"));
    assert!(scope.covers(late) && !scope.covers(early));
}
