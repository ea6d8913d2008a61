//! What the daemon takes of the machine, second by second.

use std::fmt;
use std::fs;

/// Descriptors and threads that may be more in the last third than ever in the middle one.
const MORE: u64 = 16;

struct Sample {
    /// Resident memory in KiB.
    resident: u64,
    descriptors: u64,
    threads: u64,
}

pub struct Gauges {
    pid: u32,
    samples: Vec<Sample>,
}

/// One of the thirds of a run.
#[derive(Clone, Copy)]
struct Third<'a>(&'a [Sample]);

impl Gauges {
    pub fn new(pid: u32) -> Gauges {
        Gauges { pid, samples: Vec::new() }
    }

    pub fn sample(&mut self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it lives");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("it lives").count();
        self.samples.push(Sample {
            resident: number("VmRSS:"),
            descriptors: descriptors as u64,
            threads: number("Threads:"),
        });
    }

    fn thirds(&self) -> [Third<'_>; 3] {
        let third = self.samples.len() / 3;
        [0, 1, 2].map(|n| Third(&self.samples[n * third..(n + 1) * third]))
    }

    /// Nothing grows from the middle third to the last one.
    pub fn assert_flat(&self) {
        let [_, middle, last] = self.thirds();
        let (before, after) = (middle.resident(), last.resident());
        assert!(after <= before + before / 10 + (8 << 10), "{before} KiB, then {after} KiB");
        for (name, before, after) in [
            ("descriptors", middle.descriptors(), last.descriptors()),
            ("threads", middle.threads(), last.threads()),
        ] {
            assert!(after <= before + MORE, "{before} {name}, then {after}");
        }
    }
}

impl Third<'_> {
    /// The median.
    fn resident(self) -> u64 {
        let mut all: Vec<_> = self.0.iter().map(|sample| sample.resident).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    }

    /// The most.
    fn descriptors(self) -> u64 {
        self.0.iter().map(|sample| sample.descriptors).max().unwrap_or(0)
    }

    fn threads(self) -> u64 {
        self.0.iter().map(|sample| sample.threads).max().unwrap_or(0)
    }
}

impl fmt::Display for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thirds = self.thirds();
        let line =
            |of: &dyn Fn(Third<'_>) -> u64| thirds.map(|third| of(third).to_string()).join(", ");
        writeln!(
            f,
            "resident memory by thirds (median, KiB): {}",
            line(&|third| third.resident())
        )?;
        writeln!(f, "open descriptors (most): {}", line(&|third| third.descriptors()))?;
        write!(f, "threads (most): {}", line(&|third| third.threads()))
    }
}
