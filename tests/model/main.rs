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
//! model in ([`omnifs::runtime::Seams`]). `OMNIFS_MODEL_STEPS` sets the number of steps,
//! `OMNIFS_MODEL_SEED` the first seed. A run that fails is repeated with fewer and fewer steps, and
//! the shortest that still fails is told.

mod dice;
mod feed;
mod kernel;
mod readers;
mod run;
mod silent;
mod upstream;
mod world;

use run::{Plan, Ran, run, shortest};

/// Steps of an ordinary test run, and of one run of the model.
const STEPS: usize = 1_000_000;
const RUN: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The first run that finds something wrong, with its shortest story.
fn search(first: u64, steps: usize, bug: Option<omnifs::scopes::Overtakes>) -> Result<Ran, String> {
    let mut all = Ran::default();
    let mut seed = first;
    while all.steps < steps {
        let plan = Plan::new(seed, RUN.min(steps - all.steps));
        if number("OMNIFS_MODEL_TRACE").is_some() {
            eprintln!("seed {seed}");
        }
        let ran = run(&plan, bug, false);
        if let Some((class, wrong)) = &ran.wrong {
            let (plan, ran) = shortest(&plan, bug);
            return Err(format!(
                "seed {seed}: {class:?}: {wrong}\n\nthe shortest run that fails, of {} steps:\n{}\n\n\
                 repeat with OMNIFS_MODEL_SEED={seed}",
                plan.steps.len(),
                ran.story.join("\n")
            ));
        }
        all.add(ran);
        seed += 1;
    }
    Ok(all)
}

#[test]
fn no_reader_is_shown_what_an_event_had_told_is_over() {
    let steps = number("OMNIFS_MODEL_STEPS").map_or(STEPS, |n| n as usize);
    let seed = number("OMNIFS_MODEL_SEED").unwrap_or(1);
    match search(seed, steps, None) {
        Ok(ran) => {
            println!("{} steps from seed {seed}: {:?}", ran.steps, ran.tally);
            assert!(ran.steps >= steps);
        }
        Err(story) => panic!("{story}"),
    }
}

#[test]
fn a_core_without_the_generation_check_is_found_out() {
    // Every answer lands as if no event had come since it was asked for.
    let found = search(1, STEPS, Some(|_, _| false)).expect_err("the check is blind");
    assert!(found.contains("which was not so since"), "{found}");
}
