//! The model check: the core under random changes of a service, feeds that delay, drop, repeat and
//! disorder what they tell, answers that come late, evictions, a kernel that keeps what it may, and
//! readers in the middle of it all.
//!
//! What is held against each read:
//! - it shows nothing older than the newest change whose event had been delivered when it began
//! - outside a live scope each answer serves each kind of use once, and nothing older than the loss
//! - in a live scope nothing is asked again that no event has named
//! - a deleted object is absent by path, stale by handle and whole to who has it open
//! - an object has one inode
//!
//! A run is its seed: everything is one thread, and where another one could come in the core lets the
//! model in ([`omnifs::runtime::Seams`]). An ordinary test run has the same seeds every time. A search has
//! others: `OMNIFS_MODEL_STEPS` sets its number of steps, and `OMNIFS_MODEL_SEED` its first seed, which is
//! drawn where it is not set. A run that fails is repeated with fewer and fewer steps, and
//! the shortest that still fails is told.

mod dice;
mod feed;
mod kernel;
mod mutants;
mod readers;
mod run;
mod silent;
mod upstream;
mod world;

use mutants::Bug;
use run::{Plan, Ran, run, shortest};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use world::Class;

/// Steps of an ordinary test run, and of one run of the model.
const STEPS: usize = 1_000_000;
const RUN: usize = 400;
/// The first seed of an ordinary test run: whether a change passes does not depend on a draw.
const SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A seed that no run has had.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one(()) >> 32
}

/// What was found wrong, and by which run.
struct Found {
    seed: u64,
    plan: Plan,
    class: Class,
    wrong: String,
    /// Steps up to there.
    steps: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { seed, class, wrong, steps, .. } = self;
        write!(f, "after {steps} steps, seed {seed}: {class:?}: {wrong}")
    }
}

/// The first run that finds something wrong.
fn search(first: u64, steps: usize, bug: Option<Bug>) -> Result<Ran, Found> {
    let mut all = Ran::default();
    let mut seed = first;
    while all.steps < steps {
        let plan = Plan::new(seed, RUN.min(steps - all.steps));
        if number("OMNIFS_MODEL_TRACE").is_some() {
            eprintln!("seed {seed}");
        }
        let mut ran = run(&plan, bug, false);
        let wrong = ran.wrong.take();
        all.add(ran);
        if let Some((class, wrong)) = wrong {
            return Err(Found { seed, plan, class, wrong, steps: all.steps });
        }
        seed += 1;
    }
    Ok(all)
}

/// Runs the model, and tells the shortest story of what it finds.
fn nothing_is_wrong(first: u64, steps: usize) -> Ran {
    search(first, steps, None).unwrap_or_else(|found| {
        let (plan, ran) = shortest(&found.plan, None);
        panic!(
            "{found}\n\nthe shortest run that fails, of {} steps:\n{}\n\n\
             repeat with OMNIFS_MODEL_SEED={}",
            plan.steps.len(),
            ran.story.join("\n"),
            found.seed
        )
    })
}

#[test]
fn no_reader_is_shown_what_an_event_had_told_is_over() {
    let search = number("OMNIFS_MODEL_STEPS").map(|steps| steps as usize);
    let steps = search.unwrap_or(STEPS);
    let seed = number("OMNIFS_MODEL_SEED");
    let seed = seed.unwrap_or_else(|| if search.is_some() { fresh_seed() } else { SEED });
    // Past what captures the output of a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "the model check: OMNIFS_MODEL_SEED={seed} OMNIFS_MODEL_STEPS={steps}"
    );
    let ran = nothing_is_wrong(seed, steps);
    println!("{} steps from seed {seed}: {:?}", ran.steps, ran.tally);
    assert!(ran.steps >= steps);
    assert!(ran.tally["walk"] > 0 || steps < STEPS, "nobody has read ahead");
}
