//! Mixed load over a mount whose services come and go on a plan: nothing is left behind, nothing is
//! stale, and every error has its reason in the plan. `cargo xtask soak` runs it.

#![cfg(target_os = "linux")]

mod gauges;
mod load;
mod plan;
mod services;

use gauges::Gauges;
use load::Load;
use omnifs_support::{Omnifs, skip, wait_until};
use plan::Plan;
use services::Services;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// For feeds to be back: longer than the longest wait between two attempts.
const BACK: Duration = Duration::from_secs(150);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// `OMNIFS_SOAK_SECONDS` and `OMNIFS_SOAK_SEED` choose the run.
#[test]
#[ignore = "it takes long: cargo xtask soak"]
fn mixed_load_over_services_that_come_and_go_leaves_nothing_behind() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("soak", &reason);
    }
    let length = Duration::from_secs(number("OMNIFS_SOAK_SECONDS", 60).max(60));
    let plan = Plan::new(number("OMNIFS_SOAK_SEED", 1), length);
    println!("{plan}");
    let services = Arc::new(Services::start());
    let omnifs = services.home();
    let mounted = omnifs.mount::<&str>(&[]).expect("mount");
    services.await_shown(mounted.path());

    let start = Instant::now();
    let load = Load::start(&services, mounted.path(), start);
    let mut gauges = Gauges::new(mounted.pid());
    let (mut asked, mut refreshes, mut failed) = (0, 0, Vec::new());
    let mut steps = plan.steps().into_iter().peekable();
    for second in 1..=length.as_secs() {
        let now = Duration::from_secs(second);
        thread::sleep((start + now).saturating_duration_since(Instant::now()));
        while let Some(step) = steps.next_if(|step| step.at <= now) {
            services.take(&step);
        }
        gauges.sample();
        asked += u64::from(mounted.status().is_ok());
        if second % 7 == 0 {
            let (service, path) = [
                (plan::Service::Github, "github/acme/api"),
                (plan::Service::Linear, "linear/teams/ENG"),
            ][refreshes % 2];
            let path = mounted.path().join(path).to_string_lossy().into_owned();
            let from = start.elapsed();
            let ran = omnifs.run(&["refresh", &path]).expect("refresh ends");
            // It asks for the names on the way where no feed vouches for them.
            if !ran.status.success() {
                let what = format!("refresh {path}: {}", ran.stderr);
                let until = start.elapsed();
                failed.push(plan::Failed { service, from, until, what });
            }
            refreshes += 1;
        }
    }
    println!("{gauges}");
    services.mend();
    load.stop_changes();
    let live = || {
        let status = mounted.status().ok()?;
        let scopes = status["scopes"].as_array()?;
        // A scope on which nothing that is kept depends is not polled.
        let good = |scope: &serde_json::Value| {
            scope["nodes"] == 0 || scope["state"] == "live" || scope["state"] == "resting"
        };
        scopes.iter().all(good).then_some(())
    };
    assert!(wait_until(BACK, live).is_some(), "a feed is not back: {:?}", mounted.status());
    let fresh = || services.stale(mounted.path()).is_empty().then_some(());
    assert!(wait_until(load::WINDOW, fresh).is_some(), "{:?}", services.stale(mounted.path()));
    let seen = load.stop();
    let rest = || {
        let status = mounted.status().ok()?;
        let under_way = status["under_way"].as_object()?;
        let budgets = status["budgets"].as_array()?;
        let none = under_way.values().all(|count| *count == 0);
        (none && budgets.iter().all(|budget| budget["exhausted"] == false)).then_some(status)
    };
    let status = wait_until(Duration::from_secs(60), rest);
    let status = status.unwrap_or_else(|| panic!("not at rest: {:?}", mounted.status()));

    println!("{seen}");
    println!("{asked} status calls, {refreshes} refreshes");
    println!("at rest: {}, cache {}", status["under_way"], status["cache"]);
    assert!(asked >= length.as_secs() * 9 / 10, "the control channel did not answer");
    println!("{} refreshes failed", failed.len());
    let errors = seen.errors.iter().chain(&failed);
    let unexplained = errors.filter(|error| !plan.explains(error, load::LAG));
    let unexplained: Vec<_> = unexplained.map(ToString::to_string).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert_eq!(seen.stale, [""; 0]);
    assert_eq!(seen.log, None, "the log");
    assert!(services.log().is_none() || seen.lines > 0, "{seen}");
    assert!(seen.reads > 0 && seen.walks > 0 && seen.events > 0, "{seen}");
    gauges.assert_flat();
    assert!(mounted.unmount());
}
