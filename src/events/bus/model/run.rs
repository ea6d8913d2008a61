//! One run: a service, a bus, two relays and three mounts, and what the dice have them do.

use super::super::Rhythm;
use super::super::follow::{Fleet, Split};
use super::super::keys::Signer;
use super::super::names::{Pattern, Place};
use super::super::server::{Access, Server};
use super::dice::Dice;
use super::log::{Bus, Mail};
use super::mount::{BEAT, Mount, SECOND, Store};
use super::relays::Feeder;
use super::service::{OBJECTS, Service};
use crate::capability::validators::Validators;
use crate::capability::{Outbound, Setup};
use crate::events::Pace;
use crate::events::bus::follow::silent::Silent;
use crate::events::task::Feeding;
use crate::provider::{Feed, FeedKind, Manifest};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// A connection to no bus, which tries on a runtime of its own.
pub fn nowhere() -> Server {
    static SERVER: LazyLock<(tokio::runtime::Runtime, Server)> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let access = Access::new("nats://127.0.0.1:1", None, None).expect("an address");
        let server = runtime.block_on(Server::connect(&access)).expect("a connection to come");
        (runtime, server)
    });
    SERVER.1.clone()
}

static SIGNER: LazyLock<Arc<Signer>> = LazyLock::new(|| {
    Arc::new(Signer::new(&Signer::generate().expect("random numbers")).expect("a key"))
});

/// What has happened, by name.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// A search in which something never came up has not looked there.
    pub fn all_happened(&self) {
        for what in [
            "shown",
            "live",
            "polled live",
            "put back",
            "succeeded",
            "stopped",
            "repeated",
            "overtaken order",
            "withheld",
        ] {
            assert!(self.0.get(what).is_some_and(|count| *count > 0), "{what}: {self:?}");
        }
    }
}

pub struct World {
    dice: Dice,
    clock: u64,
    begun: Instant,
    service: Service,
    bus: Arc<Mutex<Bus>>,
    relays: [Feeder; 2],
    mounts: [Mount; 3],
    /// What was told since the bus was put back last, for those who hear it again.
    past: VecDeque<Mail>,
    /// Nobody hears beats until then.
    withheld_until: u64,
    leader: Option<usize>,
    story: VecDeque<String>,
    pub tally: Tally,
}

impl World {
    pub fn new(seed: u64, server: &Server) -> World {
        let bus: Arc<Mutex<Bus>> = Arc::default();
        let signer = &*SIGNER;
        let feeder = |at| Feeder::new(at, signer, server, &bus);
        let fleet = Fleet {
            positions: Default::default(),
            server: server.clone(),
            keys: [signer.public()].into(),
            scopes: [Pattern::new(">").expect("a pattern")].into(),
            rhythm: Rhythm::at(SECOND * BEAT as u32),
        };
        let mount = || {
            let memory = Arc::new(Store::default());
            let feeding = feeding(memory.clone());
            let split = Split::new(memory.clone(), fleet.clone(), Place::new("p", "1.0.0", "o"));
            Mount::new(feeding, split, memory)
        };
        World {
            dice: Dice::new(seed),
            clock: 1,
            begun: Instant::now(),
            service: Service::default(),
            relays: [feeder(0), feeder(1)],
            mounts: [mount(), mount(), mount()],
            bus,
            past: VecDeque::new(),
            withheld_until: 0,
            leader: None,
            story: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    pub fn story(&self) -> String {
        let story: Vec<_> = self.story.iter().map(String::as_str).collect();
        story.join("\n")
    }

    fn say(&mut self, what: String) {
        self.story.push_back(format!("{} {what}", self.clock));
        if self.story.len() > 120 {
            self.story.pop_front();
        }
    }

    fn now(&self) -> Instant {
        self.begun + SECOND * u32::try_from(self.clock).expect("a short run")
    }

    /// Most runs begin where everybody hears.
    pub fn begin(&mut self) -> Result<(), String> {
        if self.dice.percent(70) { self.settle() } else { Ok(()) }
    }

    pub fn step(&mut self) -> Result<(), String> {
        self.act();
        self.carry();
        self.judge()
    }

    fn act(&mut self) {
        let (now, clock) = (self.now(), self.clock);
        let relay = self.dice.below(self.relays.len());
        let mount = self.dice.below(self.mounts.len());
        match self.dice.below(100) {
            0..=13 => self.pass(),
            14..=16 => self.change(),
            17..=19 => {
                let bus = self.bus.clone();
                bus.lock().copy();
            }
            20 if self.dice.percent(30) => self.put_back(),
            21 if self.dice.percent(20) => {
                self.service.forget();
                self.say("the service forgets".to_owned());
            }
            22 => self.stop(relay),
            23 => {}
            24..=31 => self.lead(relay),
            32..=45 => {
                let asks = std::mem::take(&mut self.mounts[mount].wants);
                if !self.relays[relay].stopped {
                    let stalled = self.dice.percent(8);
                    self.bus.lock().mute = self.dice.percent(2);
                    self.relays[relay].stall(stalled);
                    self.relays[relay].go_on(clock, asks);
                    self.bus.lock().mute = false;
                }
            }
            46..=51 if !self.relays[relay].stopped => match self.dice.below(12) {
                0 => {
                    self.relays[relay].lose();
                    self.say(format!("relay {relay} loses the service"));
                }
                _ => {
                    self.relays[relay].poll(&self.service);
                    self.say(format!("relay {relay} polls"));
                }
            },
            52 if !self.relays[relay].stopped => {
                let back = self.dice.below(3);
                if let Some(object) = self.service.recent(back) {
                    self.relays[relay].deliver(object);
                }
            }
            53..=56 => self.mounts[mount].scan(now),
            57 if self.dice.percent(50) => {
                let connected = !self.mounts[mount].connected;
                self.mounts[mount].connect(connected, now);
                self.say(format!("mount {mount}: connected {connected}"));
            }
            58 if self.dice.percent(10) => {
                self.mounts[mount].evict();
                self.say(format!("mount {mount} forgets all"));
            }
            59 if self.dice.percent(50) => {
                self.withheld_until = clock + self.dice.below(4 * BEAT as usize) as u64;
                self.tally.count("withheld");
                self.say(format!("beats are withheld until {}", self.withheld_until));
            }
            60..=61 => self.repeat(mount),
            62..=64 => {
                let fails = self.dice.percent(10);
                self.mounts[mount].poll(&self.service, fails);
                self.say(format!("mount {mount} polls"));
            }
            65..=69 => {
                let object = self.dice.below(OBJECTS);
                self.mounts[mount].call(object);
            }
            70..=76 => {
                let which = self.dice.below(3);
                self.mounts[mount].call_on(which, &self.service);
            }
            77..=84 => {
                let fails = self.dice.percent(5);
                let bus = self.bus.clone();
                self.mounts[mount].read_on(&bus.lock(), fails, now);
            }
            _ => self.deliver(mount),
        }
    }

    fn pass(&mut self) {
        self.clock += match self.dice.below(100) {
            0 => 2 * BEAT,
            1..=2 => BEAT + 3,
            3..=12 => 1 + self.dice.below(9) as u64,
            _ => 1,
        };
        let now = self.now();
        self.mounts.iter_mut().for_each(|mount| mount.wait(now));
    }

    fn change(&mut self) {
        let count = match self.dice.below(30) {
            0 => 60 + self.dice.below(10),
            _ => 1,
        };
        for _ in 0..count {
            let object = self.dice.below(OBJECTS);
            self.service.change(object);
        }
        self.say(format!("{count} changes, the last one is {}", self.service.time()));
    }

    /// The bus is put back to what it was, which connections may not show.
    fn put_back(&mut self) {
        let which = self.dice.below(4);
        if !self.bus.lock().put_back(which) {
            return;
        }
        // Whoever serves what a bus said before it was put back is somebody in front of it, whom a mount has no
        // means to know.
        self.past.clear();
        let now = self.now();
        for at in 0..self.mounts.len() {
            self.mounts[at].inbox.clear();
            if self.mounts[at].connected && self.dice.percent(50) {
                self.mounts[at].connect(false, now);
                self.mounts[at].connect(true, now);
            }
        }
        self.tally.count("put back");
        self.say("the bus is put back".to_owned());
    }

    fn stop(&mut self, relay: usize) {
        self.relays[relay].stopped = !self.relays[relay].stopped;
        if self.relays[relay].stopped {
            self.tally.count("stopped");
        }
        let stopped = self.relays[relay].stopped;
        self.say(format!("relay {relay}: stopped {stopped}"));
    }

    fn lead(&mut self, relay: usize) {
        if self.relays[relay].stopped {
            return;
        }
        let led = self.relays[relay].leads();
        self.relays[relay].lead(self.clock);
        let leads = self.relays[relay].leads();
        if leads != led {
            self.say(format!("relay {relay}: leads {leads}"));
        }
        if leads && self.leader.replace(relay).is_some_and(|before| before != relay) {
            self.tally.count("succeeded");
        }
    }

    /// What was told goes on its way to each mount, or is lost.
    fn carry(&mut self) {
        let told = std::mem::take(&mut self.bus.lock().told);
        for mail in told {
            let is_withheld = matches!(mail, Mail::Beat(..)) && self.clock < self.withheld_until;
            for mount in &mut self.mounts {
                if mount.connected && !is_withheld && !self.dice.percent(5) {
                    mount.inbox.push_back(mail.clone());
                }
            }
            self.past.push_back(mail);
            if self.past.len() > 30 {
                self.past.pop_front();
            }
        }
    }

    fn repeat(&mut self, mount: usize) {
        let at = self.dice.below(30);
        if let Some(mail) = self.past.get(at).cloned()
            && self.mounts[mount].connected
        {
            self.mounts[mount].inbox.push_back(mail);
            self.tally.count("repeated");
        }
    }

    fn deliver(&mut self, mount: usize) {
        let (now, clock) = (self.now(), self.clock);
        let waiting = self.mounts[mount].inbox.len();
        let at = if self.dice.percent(15) { self.dice.below(waiting.max(1)) } else { 0 };
        if let Some(mail) = self.mounts[mount].inbox.remove(at) {
            if at > 0 {
                self.tally.count("overtaken order");
            }
            let what = match &mail {
                Mail::Told(_) => "a message".to_owned(),
                Mail::Beat(number, _) => format!("beat {number}"),
            };
            self.mounts[mount].hear(mail, now, clock);
            let live = self.mounts[mount].is_live(now);
            self.say(format!("mount {mount} hears {what}: live {live}"));
        }
    }

    fn judge(&mut self) -> Result<(), String> {
        let now = self.now();
        for (at, mount) in self.mounts.iter().enumerate() {
            let shown = mount.judge(&self.service, &self.bus.lock(), now, self.clock);
            let shown = shown.map_err(|wrong| format!("mount {at}: {wrong}"))?;
            let live = mount.is_live(now);
            for (what, happened) in
                [("shown", shown > 0), ("live", live), ("polled live", shown > 0 && !live)]
            {
                if happened {
                    self.tally.count(what);
                }
            }
        }
        Ok(())
    }

    /// Nothing stands in the way any more: whoever has kept something hears again.
    pub fn settle(&mut self) -> Result<(), String> {
        self.withheld_until = 0;
        self.say("nothing stands in the way any more".to_owned());
        for relay in &mut self.relays {
            relay.stopped = false;
            relay.stall(false);
        }
        let now = self.now();
        for mount in &mut self.mounts {
            if !mount.connected {
                mount.connect(true, now);
            }
            // Something is kept.
            while mount.holds() == 0 {
                mount.call(0);
                mount.call_on(0, &self.service);
            }
            mount.scan(now);
        }
        for _ in 0..60 {
            self.clock += 2;
            let (now, clock) = (self.now(), self.clock);
            for relay in &mut self.relays {
                relay.lead(clock);
                relay.go_on(clock, true);
                relay.poll(&self.service);
                relay.go_on(clock, false);
            }
            self.carry_all();
            let bus = self.bus.clone();
            for mount in &mut self.mounts {
                mount.wait(now);
                while let Some(mail) = mount.inbox.pop_front() {
                    mount.hear(mail, now, clock);
                }

                for _ in 0..3 {
                    mount.read_on(&bus.lock(), false, now);
                }
            }
            self.judge()?;
            if self.mounts.iter().all(|mount| mount.is_live(now)) {
                return Ok(());
            }
        }
        let live: Vec<_> = self.mounts.iter().map(|mount| mount.is_live(self.now())).collect();
        Err(format!("not everybody hears again: {live:?}"))
    }

    fn carry_all(&mut self) {
        let told = std::mem::take(&mut self.bus.lock().told);
        for mail in told {
            self.mounts.iter_mut().for_each(|mount| mount.inbox.push_back(mail.clone()));
        }
    }
}

fn feeding(memory: Arc<Store>) -> Feeding {
    let manifest = Manifest { name: "p".into(), ..Manifest::default() };
    let feed = Feed {
        name: "changes".into(),
        kind: FeedKind::Poll,
        scopes: super::mount::SCOPE.into(),
        endpoint: None,
        silence: None,
        signature: None,
    };
    Feeding {
        instance: "m".into(),
        provider: Arc::new(Silent),
        feed,
        outbound: Outbound::new(Setup::new("m", manifest, Arc::new(Validators::new(0))))
            .expect("nothing to reach"),
        ledger: memory,
        pace: Pace::default(),
        board: Default::default(),
    }
}
