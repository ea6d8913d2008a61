//! What happens to which service when, from a seed.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Github,
    Linear,
    Docker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens.
    Down,
    /// 429 with a pause of a second.
    Throttled,
    /// 500.
    Broken,
    /// Answers come late, or after the bound of a request.
    Slow,
}

/// One service in trouble for a while. Times since the start.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    pub service: Service,
    pub trouble: Trouble,
    pub from: Duration,
    pub until: Duration,
}

/// The beginning or the end of an episode.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub at: Duration,
    pub service: Service,
    /// Absent: it is well again.
    pub trouble: Option<Trouble>,
}

/// An error that somebody saw, or waited for, within this time.
#[derive(Clone, Debug)]
pub struct Failed {
    pub service: Service,
    pub from: Duration,
    pub until: Duration,
    pub what: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from.as_secs_f32(), self.until.as_secs_f32());
        write!(f, "{from:.1} s to {until:.1} s  {:?}  {}", self.service, self.what)
    }
}

pub struct Plan {
    seed: u64,
    length: Duration,
    episodes: Vec<Episode>,
}

/// splitmix64: the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    /// At least `from` and below `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (z ^ (z >> 31)) % (to - from)
    }
}

impl Plan {
    /// A tenth of the time is quiet at the beginning, and another one at the end.
    pub fn new(seed: u64, length: Duration) -> Plan {
        let mut episodes = Vec::new();
        for (service, salt) in [(Service::Github, 1), (Service::Linear, 2), (Service::Docker, 3)] {
            let mut dice = Dice(seed.wrapping_mul(31).wrapping_add(salt));
            let mut at = length / 10;
            loop {
                let from = at + Duration::from_secs(dice.between(5, 20));
                let until = from + Duration::from_secs(dice.between(4, 15));
                if until > length * 9 / 10 {
                    break;
                }
                let troubles = [Trouble::Down, Trouble::Throttled, Trouble::Broken, Trouble::Slow];
                let trouble = troubles[dice.between(0, 4) as usize];
                episodes.push(Episode { service, trouble, from, until });
                at = until;
            }
        }
        episodes.sort_by_key(|episode| episode.from);
        Plan { seed, length, episodes }
    }

    pub fn steps(&self) -> Vec<Step> {
        let both = |e: &Episode| {
            [(e.from, Some(e.trouble)), (e.until, None)].map(|(at, trouble)| Step {
                at,
                service: e.service,
                trouble,
            })
        };
        let mut steps: Vec<_> = self.episodes.iter().flat_map(both).collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// Whether the service was in trouble meanwhile, or no longer before than `lag`.
    pub fn explains(&self, failed: &Failed, lag: Duration) -> bool {
        self.episodes.iter().any(|episode| {
            episode.service == failed.service
                && episode.from <= failed.until
                && failed.from <= episode.until + lag
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan of seed {}, {} s:", self.seed, self.length.as_secs())?;
        for Episode { service, trouble, from, until } in &self.episodes {
            let (from, until) = (from.as_secs(), until.as_secs());
            writeln!(f, "  {from:>5} s to {until:>5} s  {service:?} {trouble:?}")?;
        }
        Ok(())
    }
}
