//! `cargo xtask bench`: how long `ls` of 3,000 issues takes that nobody has looked at before.
//!
//! A twin of GitHub answers each request at once, and then after 50 ms. The first page says how many there
//! are, and the others are asked for side by side. Beside the time stands what the daemon worked for it,
//! the processor time of all its threads: where other work shares the machine, that is what tells two
//! versions apart. Prints both, and writes JSON beside the file that `OMNIFS_BENCH_JSON` names:
//! `bench.listing.json` for `bench.json`.

#[cfg(target_os = "linux")]
mod linux {
    use omnifs_support::{Mounted, Omnifs};
    use omnifs_twins::github::RepoShape;
    use omnifs_twins::{Fault, GithubSetup, GithubTwin, Times};
    use serde_json::json;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    const ISSUES: usize = 3_000;
    /// Of each request at the service.
    const DELAYS: [u64; 2] = [0, 50];
    /// Milliseconds, at the last of the delays.
    const AIM: f64 = 600.0;
    const ROUNDS: usize = 7;

    struct World {
        twin: GithubTwin,
        omnifs: Omnifs,
    }

    impl World {
        fn new() -> World {
            let repos = vec![RepoShape::issues("acme", "api", ISSUES, 0)];
            let setup = GithubSetup { demo: false, repos, ..GithubSetup::default() };
            let twin = GithubTwin::start(setup).expect("a twin");
            let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "3600000");
            let config = format!(
                "[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
                 [instances.github]\nsettings.listing-bound = {ISSUES}\n\
                 [instances.github.endpoints.api]\nurl = '{}'\n",
                twin.url()
            );
            omnifs.config(&config).expect("a configuration");
            World { twin, omnifs }
        }
    }

    /// Milliseconds of processor time that the daemon has taken.
    fn worked(mounted: &Mounted<'_>) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", mounted.pid())).expect("the daemon");
        // After the name, which may hold anything; in hundredths of a second.
        let fields: Vec<_> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        [11, 12].map(|at: usize| fields[at].parse::<f64>().expect("ticks")).iter().sum::<f64>()
            * 10.0
    }

    /// Milliseconds until everything is listed, and what the daemon worked meanwhile.
    fn listed(delay: u64) -> (f64, f64) {
        // A daemon that has listed it before knows it.
        let world = World::new();
        let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
        let open = mounted.join("github/acme/api/_issues/_open");
        assert!(open.is_dir());
        let slow = Fault::Slow(Duration::from_millis(delay));
        world.twin.inject(slow, "/repositories/*/issues", Times::UntilCleared);
        let (before, begun) = (worked(&mounted), Instant::now());
        assert_eq!(fs::read_dir(&open).expect("list").count(), ISSUES);
        (begun.elapsed().as_secs_f64() * 1e3, worked(&mounted) - before)
    }

    pub fn main() {
        if let Some(reason) = Omnifs::unavailable() {
            return eprintln!("DID NOT RUN: listing of {ISSUES} issues: {reason}");
        }
        println!("{:<42} {:>10} {:>10}  aim", "github, 3,000 issues listed, ms", "best", "worked");
        let mut report = Vec::new();
        for delay in DELAYS {
            let rounds: Vec<_> = (0..ROUNDS).map(|_| listed(delay)).collect();
            let best = |of: fn(&(f64, f64)) -> f64| rounds.iter().map(of).fold(f64::MAX, f64::min);
            let (took, worked) = (best(|round| round.0), best(|round| round.1));
            let aim = (delay == DELAYS[DELAYS.len() - 1]).then_some(AIM);
            let met = aim.map(|aim| took <= aim);
            let said = match met {
                Some(true) => format!("<= {AIM} ms: met"),
                Some(false) => format!("<= {AIM} ms: MISSED"),
                None => String::new(),
            };
            println!("{:<42} {took:>10.0} {worked:>10.0}  {said}", format!("{delay} ms a request"));
            report.push(json!({
                "name": format!("github {ISSUES} issues listed at {delay} ms a request"),
                "unit": "ms", "rounds": ROUNDS, "best": took, "worked": worked,
                "aim": aim, "met": met,
            }));
        }
        if let Some(file) = std::env::var_os("OMNIFS_BENCH_JSON") {
            let text = serde_json::to_string_pretty(&report).expect("plain values");
            fs::write(Path::new(&file).with_extension("listing.json"), text).expect("the report");
        }
    }
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("DID NOT RUN: this benchmark mounts through FUSE, on Linux");
}
