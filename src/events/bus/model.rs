//! The model check of the bus: relays that are stopped, deposed and late, a bus that is put back to an earlier
//! state, messages and beats that are lost, repeated, withheld and put in another order, and mounts that come
//! and go, poll by themselves, and read what they have kept.
//!
//! What a mount, a relay's session and a chain do is the code that runs; the bus between them, the service, the
//! leases and the time are the model's. What is held against each read is that it shows nothing older than
//! what the mount's place on the chain says, or its own poll; against each moment, that no scope is live for
//! which no beat was heard within three intervals; and against the end of each run, that everybody hears
//! again once nothing stands in the way.
//!
//! A run is its seed. `OMNIFS_MODEL_STEPS` and `OMNIFS_MODEL_SEED` as in `tests/model`.

#[path = "../../../tests/model/dice.rs"]
mod dice;
mod log;
mod mount;
mod relays;
mod run;
mod service;

use crate::mutants::{Mutant, plant};
use run::World;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;

/// Steps of an ordinary test run, and of one run of the model.
const STEPS: usize = 1_000_000;
const RUN: usize = 500;
/// Steps within which each mutant is found.
const FOUND: usize = 2_000_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The first thing found wrong.
fn search(first: u64, steps: usize) -> Result<run::Tally, String> {
    crate::backoff::STEADY.set(true);
    let server = run::nowhere();
    let mut tally = run::Tally::default();
    let (mut seed, mut done) = (first, 0);
    while done < steps {
        let mut world = World::new(seed, &server);
        let begun = world.begin();
        begun.map_err(|wrong| format!("OMNIFS_MODEL_SEED={seed}: {wrong}\n{}", world.story()))?;
        for _ in 0..RUN {
            done += 1;
            if let Err(wrong) = world.step() {
                return Err(format!(
                    "after {done} steps, OMNIFS_MODEL_SEED={seed}: {wrong}\n{}",
                    world.story()
                ));
            }
        }
        world.settle().map_err(|wrong| {
            format!("after {done} steps, OMNIFS_MODEL_SEED={seed}: {wrong}\n{}", world.story())
        })?;
        if number("OMNIFS_MODEL_TRACE").is_some() {
            eprintln!("seed {seed}:\n{}", world.story());
        }
        tally.add(&world.tally);
        seed += 1;
    }
    Ok(tally)
}

#[test]
fn no_mount_is_live_where_it_has_not_heard_all() {
    let wanted = number("OMNIFS_MODEL_STEPS").map(|steps| steps as usize);
    let steps = wanted.unwrap_or(STEPS);
    let fresh = || RandomState::new().hash_one(()) >> 32;
    let seed =
        number("OMNIFS_MODEL_SEED").unwrap_or_else(|| if wanted.is_some() { fresh() } else { 1 });
    // Past what captures the output of a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "the model check of the bus: OMNIFS_MODEL_SEED={seed} OMNIFS_MODEL_STEPS={steps}"
    );
    let tally = search(seed, steps).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{steps} steps from seed {seed}: {tally:?}");
    tally.all_happened();
}

fn is_found(mutant: Mutant) {
    plant(Some(mutant));
    match search(1, FOUND) {
        Ok(tally) => panic!("{mutant:?} was not noticed: {tally:?}"),
        Err(wrong) => println!("{mutant:?}: {wrong}"),
    }
}

macro_rules! found {
    ($(fn $test:ident() { $mutant:expr })*) => {$(
        #[test]
        #[cfg_attr(not(debug_assertions), ignore = "a release build has no mutants")]
        fn $test() {
            is_found($mutant);
        }
    )*};
}

found! {
    fn a_chain_that_is_known_by_its_numbers_is_found() { Mutant::TrustsNumbers }
    fn a_beat_that_is_believed_again_is_found() { Mutant::BelievesOldBeats }
    fn a_mount_that_is_live_elsewhere_on_the_chain_is_found() { Mutant::LivesBehind }
    fn a_relay_that_forgets_what_it_was_told_is_found() { Mutant::ForgetsWhatItWasTold }
    fn a_relay_that_begins_without_a_word_is_found() { Mutant::WritesUnmarked }
    fn a_relay_that_resumes_unproven_is_found() { Mutant::ResumesUnproven }
}
