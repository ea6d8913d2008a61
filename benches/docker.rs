//! `cargo xtask bench`: from an event in a real Docker engine to its effect in a mount.
//!
//! A container is run, renamed, stopped and removed. Before each, the kernel holds what will no
//! longer be true; the clock runs from the engine's answer to the command until the mount shows what
//! the command did. Prints a table, and writes JSON beside the file that `OMNIFS_BENCH_JSON` names:
//! `bench.docker.json` for `bench.json`.

#[cfg(target_os = "linux")]
mod linux {
    use omnifs_support::engine::Api;
    use omnifs_support::{Container, Engine, Omnifs};
    use serde_json::json;
    use std::fs;
    use std::io;
    use std::path::Path;
    use std::time::{Duration, Instant};

    /// Starting a container takes the engine half a second; renaming one takes a millisecond.
    const LIVES: usize = 20;
    const RENAMES: usize = 100;

    /// The promise, in milliseconds, for all but one in a hundred.
    const AIM: f64 = 100.0;

    struct Row {
        name: &'static str,
        /// Milliseconds.
        times: Vec<f64>,
    }

    impl Row {
        fn new(name: &'static str) -> Row {
            Row { name, times: Vec::new() }
        }

        /// Runs the command and waits until the mount shows it.
        fn time<T>(&mut self, command: impl FnOnce() -> io::Result<T>, shown: impl Fn() -> bool) {
            assert!(!shown(), "{}: shown before it was done", self.name);
            command().unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let answered = Instant::now();
            while !shown() {
                let waited = answered.elapsed();
                assert!(waited < Duration::from_secs(10), "{} never showed", self.name);
                std::thread::yield_now();
            }
            self.times.push(answered.elapsed().as_secs_f64() * 1e3);
        }

        fn at(&self, share: f64) -> f64 {
            self.times[((self.times.len() - 1) as f64 * share).round() as usize]
        }
    }

    fn reads(file: &Path, content: &str) -> bool {
        fs::read_to_string(file).is_ok_and(|text| text == content)
    }

    fn lives(api: &Api, by_name: &Path) -> [Row; 3] {
        let mut rows = ["run", "stop", "rm"].map(Row::new);
        let [run, stop, remove] = &mut rows;
        for round in 0..LIVES {
            let name = format!("life-{round}");
            let state = by_name.join(&name).join("state");
            let container = Container { name: &name, ..Container::default() };
            run.time(|| api.run(&container), || reads(&state, "running\n"));
            stop.time(|| api.stop(&name), || reads(&state, "exited\n"));
            remove.time(|| api.remove(&name), || !state.exists());
        }
        rows
    }

    fn renames(api: &Api, by_name: &Path) -> Row {
        let mut row = Row::new("rename");
        api.create(&Container { name: "bench-0", ..Container::default() }).expect("create");
        for round in 1..=RENAMES {
            let (old, new) = (format!("bench-{}", round - 1), format!("bench-{round}"));
            let file = by_name.join(&new).join("name");
            row.time(|| api.rename(&old, &new), || file.exists());
        }
        row
    }

    pub fn main() {
        if let Some(reason) = Omnifs::unavailable() {
            return eprintln!("DID NOT RUN: event to visible: {reason}");
        }
        let Some(engine) = Engine::start("event to visible") else { return };
        let omnifs = Omnifs::new().expect("a home").env("DOCKER_HOST", &engine.host());
        let mounted = omnifs.mount::<&str>(&[]).expect("mount");
        let by_name = mounted.join("docker/containers/by-name");
        let mut rows = vec![renames(engine.api(), &by_name)];
        rows.extend(lives(engine.api(), &by_name));

        println!(
            "{:<42} {:>10} {:>10} {:>10}  aim",
            "docker, answer to visible, ms", "p50", "p99", "most"
        );
        let mut report = Vec::new();
        for row in &mut rows {
            row.times.sort_by(f64::total_cmp);
            let (half, most_of, most) = (row.at(0.5), row.at(0.99), row.at(1.0));
            let met = most_of <= AIM;
            println!(
                "{:<42} {half:>10.2} {most_of:>10.2} {most:>10.2}  <= {AIM} ms: {}",
                row.name,
                if met { "met" } else { "MISSED" }
            );
            report.push(json!({
                "name": format!("docker {} to visible", row.name), "unit": "ms",
                "rounds": row.times.len(), "p50": half, "p99": most_of, "most": most,
                "aim": AIM, "met": met,
            }));
        }
        if let Some(file) = std::env::var_os("OMNIFS_BENCH_JSON") {
            let text = serde_json::to_string_pretty(&report).expect("plain values");
            fs::write(Path::new(&file).with_extension("docker.json"), text).expect("the report");
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
