//! `cargo xtask bench`: what a restart costs with a store on disk, and without one.
//!
//! Two mounts of the same service, which is in this process, in turns: from the start of `omnifs mount` until a first
//! file is read, and then a walk over all issues. One of them goes on with what it has kept of the round before
//! (`disk` in `[cache]`). Prints a table, and writes JSON beside the file that `OMNIFS_BENCH_JSON` names:
//! `bench.restart.json` for `bench.json`.

#[cfg(target_os = "linux")]
mod linux {
    use omnifs_support::{Omnifs, skip};
    use omnifs_twins::github::RepoShape;
    use omnifs_twins::{GithubSetup, GithubTwin};
    use serde_json::json;
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    const ISSUES: usize = 400;
    const ROUNDS: usize = 7;
    /// Milliseconds from the start to the first answer.
    const AIM: f64 = 200.0;

    struct Case<'a> {
        name: &'static str,
        omnifs: Omnifs,
        twin: &'a GithubTwin,
        /// Milliseconds, the best of the rounds: noise only ever adds.
        first: f64,
        walk: f64,
        /// Of the last round.
        requests: u64,
    }

    impl<'a> Case<'a> {
        fn new(twin: &'a GithubTwin, name: &'static str, cache: &str) -> Case<'a> {
            let omnifs = Omnifs::new().expect("a home").env("OMNIFS_POLL_MS", "3600000");
            let config = format!(
                "{cache}[instances.docker]\nenabled = false\n[instances.linear]\nenabled = false\n\
                 [instances.github]\nsettings.listing-bound = 2000\n\
                 [instances.github.endpoints.api]\nurl = '{}'\n",
                twin.url()
            );
            omnifs.config(&config).expect("a configuration");
            let (first, walk) = (f64::MAX, f64::MAX);
            let mut case = Case { name, omnifs, twin, first, walk, requests: 0 };
            // Compiles components, and keeps what can be kept.
            case.round();
            (case.first, case.walk) = (first, walk);
            case
        }

        fn round(&mut self) {
            let before = self.twin.requests().len();
            let begun = Instant::now();
            let mounted = self.omnifs.mount(&[""; 0]).expect("mount");
            let all = mounted.path().join("github/acme/api/_issues/_all");
            fs::read(all.join("7/title")).expect("a title");
            self.first = self.first.min(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            let mut walk = Command::new("grep");
            walk.args(["-r", "nowhere to be found"]).arg(&all).stdout(Stdio::null());
            let walked = walk.status().expect("grep");
            assert_eq!(walked.code(), Some(1));
            self.walk = self.walk.min(begun.elapsed().as_secs_f64() * 1e3);
            self.requests = (self.twin.requests().len() - before) as u64;
            // For polls that settle, and for what is to be written.
            std::thread::sleep(Duration::from_secs(2));
            assert!(mounted.unmount());
        }
    }

    pub fn main() {
        if let Some(reason) = Omnifs::unavailable() {
            return skip("restart", &reason);
        }
        let repos = vec![RepoShape::issues("acme", "api", ISSUES, 0)];
        let setup = GithubSetup { demo: false, repos, rate_limit: 1_000_000, ..Default::default() };
        let twin = GithubTwin::start(setup).expect("a twin");
        twin.clock().advance(Duration::from_secs(180));
        let store = "[cache]\ndisk = '256MiB'\n";
        let mut cases = [Case::new(&twin, "without", ""), Case::new(&twin, "with a store", store)];
        for _ in 0..ROUNDS {
            cases.iter_mut().for_each(Case::round);
        }
        println!(
            "{:<16} {:>18} {:>12} {:>10}",
            "restart", "first answer, ms", "walk, ms", "requests"
        );
        for case in &cases {
            let Case { name, first, walk, requests, .. } = case;
            println!("{name:<16} {first:>18.1} {walk:>12.1} {requests:>10}");
        }
        let [without, with] = &cases;
        let ratios = [with.first / without.first, with.walk / without.walk];
        let verdict = if with.first <= AIM { "within" } else { "BEYOND" };
        println!(
            "with a store the first answer takes {:.2} of the time, {verdict} {AIM} ms, and the walk {:.2}",
            ratios[0], ratios[1]
        );
        if let Some(report) = std::env::var_os("OMNIFS_BENCH_JSON") {
            let row = |what: &str, with: f64, without: f64, aim: Option<f64>| {
                json!({ "name": format!("{what} after a restart"), "unit": "ms", "rounds": ROUNDS,
                    "with": with, "without": without, "ratio": with / without, "aim": aim,
                    "met": aim.is_none_or(|aim| with <= aim) })
            };
            let rows = [
                row("first answer", with.first, without.first, Some(AIM)),
                row("first walk", with.walk, without.walk, None),
            ];
            let path = Path::new(&report).with_extension("restart.json");
            fs::write(&path, format!("{:#}\n", json!(rows))).expect("the report");
        }
    }
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("DID NOT RUN: this benchmark mounts with FUSE, on Linux");
}
