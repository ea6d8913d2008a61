//! `cargo xtask bench`: what instances cost that are configured and that nobody uses.
//!
//! A mount with one instance, and one with [`MORE`] others beside it, in turns: from the start of `omnifs mount`
//! until it says that it is mounted, and the resident memory of its process then. Both find their components
//! compiled. Prints a table, and writes JSON beside the file that `OMNIFS_BENCH_JSON` names: `bench.start.json`
//! for `bench.json`.

#[cfg(target_os = "linux")]
mod linux {
    use omnifs_support::{Omnifs, skip};
    use serde_json::json;
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    /// An engine's events are asked for as a mount begins, which is a use; so `docker` is not among them.
    const NAMES: [&str; 9] =
        ["dns", "git", "github", "k8s", "linear", "mcp", "oci", "prometheus", "s3"];
    const MORE: usize = 19;
    const ROUNDS: usize = 15;
    /// What the others may add.
    const MILLISECONDS: f64 = 20.0;
    const MIB: f64 = 10.0;

    struct Case {
        name: String,
        omnifs: Omnifs,
        /// Milliseconds, the best of the rounds: noise only ever adds.
        time: f64,
        /// MiB, the least of the rounds.
        memory: f64,
    }

    impl Case {
        fn new(instances: usize) -> Case {
            let omnifs = Omnifs::new().expect("a home");
            let off = ["docker", "github", "linear"]
                .map(|name| format!("[instances.{name}]\nenabled = false\n"));
            let instance =
                |n: usize| format!("[instances.i{n}]\nprovider = \"{}\"\n", NAMES[n % NAMES.len()]);
            let all: String = off.into_iter().chain((0..instances).map(instance)).collect();
            omnifs.config(&all).expect("a configuration");
            omnifs.mount(&[""; 0]).expect("a mount that compiles them").unmount();
            Case {
                name: format!("{instances} instances"),
                omnifs,
                time: f64::MAX,
                memory: f64::MAX,
            }
        }

        fn round(&mut self) {
            let begun = Instant::now();
            let mounted = self.omnifs.mount(&[""; 0]).expect("mount");
            self.time = self.time.min(begun.elapsed().as_secs_f64() * 1e3);
            self.memory = self.memory.min(resident(mounted.pid()));
            assert!(mounted.unmount());
        }
    }

    /// MiB of a process that are in memory.
    fn resident(process: u32) -> f64 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib = line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
        kib.expect("a number") / 1024.0
    }

    pub fn main() {
        if let Some(reason) = Omnifs::unavailable() {
            return skip("start", &reason);
        }
        let mut cases = [Case::new(1), Case::new(1 + MORE)];
        for _ in 0..ROUNDS {
            cases.iter_mut().for_each(Case::round);
        }
        println!("{:<24} {:>12} {:>12}", "nobody uses", "start, ms", "memory, MiB");
        for case in &cases {
            println!("{:<24} {:>12.1} {:>12.1}", case.name, case.time, case.memory);
        }
        let [one, many] = &cases;
        let (time, memory) = (many.time - one.time, many.memory - one.memory);
        let verdict = if time <= MILLISECONDS && memory <= MIB { "within" } else { "BEYOND" };
        println!(
            "{MORE} more add {time:.1} ms and {memory:.1} MiB: {verdict} {MILLISECONDS} ms and {MIB} MiB"
        );
        if let Some(report) = std::env::var_os("OMNIFS_BENCH_JSON") {
            let row = |what: &str, unit: &str, added: f64, aim: f64| {
                json!({ "name": format!("{MORE} unused instances add {what}"), "unit": unit,
                    "rounds": ROUNDS, "added": added, "aim": aim, "met": added <= aim })
            };
            let rows = [
                row("to a start", "ms", time, MILLISECONDS),
                row("of resident memory", "MiB", memory, MIB),
            ];
            let path = Path::new(&report).with_extension("start.json");
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
