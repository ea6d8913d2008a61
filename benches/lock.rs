//! `cargo xtask bench`: for how long the core's one mutex is held with a million nodes in memory, all
//! of which a back end knows.
//!
//! Measured in the processor time of whoever holds it, so that what else runs on the machine does not
//! count. Prints a table, and writes JSON beside the file that `OMNIFS_BENCH_JSON` names:
//! `bench.lock.json` for `bench.json`. `OMNIFS_BENCH_NODES` for another number of nodes.

use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::provider::Change;
use omnifs::router::{Instance, Router};
use omnifs::runtime::{Meter, Runtime, Seams};
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::{Handle, Vfs};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const FILES: usize = 100;
/// Of each kind of use, for one row.
const USES: usize = 20_000;
const EVENTS: usize = 1_000;

#[cfg(unix)]
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours and lives as long as the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(unix))]
fn now() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}

/// What is done to the core, and for how long each of its steps had the lock.
struct Bench {
    held: Arc<Mutex<Vec<Duration>>>,
    /// Since the tree was filled.
    all: Vec<Duration>,
    report: Vec<serde_json::Value>,
}

impl Bench {
    /// Prints a row for what was done since the last one.
    fn row(&mut self, name: &str, aim: bool) {
        let mut held = std::mem::take(&mut *self.held.lock().expect("no bench panics"));
        self.all.extend(&held);
        held.sort_unstable();
        let of = |share: f64| held[((held.len() as f64 * share) as usize).min(held.len() - 1)];
        let (median, rare, worst) = (of(0.5), of(0.999), of(1.0));
        let met = rare <= Duration::from_micros(50) && worst <= Duration::from_millis(1);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let aim = match (aim, met) {
            (false, _) => "",
            (true, true) => "<= 50, <= 1000 us: met",
            (true, false) => "<= 50, <= 1000 us: MISSED",
        };
        println!(
            "{name:<42} {:>9} {:>9.2} {:>9.2} {:>9.2}  {aim}",
            held.len(),
            micros(median),
            micros(rare),
            micros(worst)
        );
        self.report.push(json!({
            "name": name, "unit": "us", "times": held.len(), "median": micros(median),
            "p99.9": micros(rare), "worst": micros(worst), "met": met,
        }));
    }
}

fn main() {
    let given = std::env::var("OMNIFS_BENCH_NODES").ok().and_then(|text| text.parse().ok());
    let directories: usize = given.unwrap_or(1_000_000) / FILES;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    let upstream = Memory::new(Style { inline: true, ..Style::default() });
    for d in 0..directories {
        let directory = format!("d{d:05}");
        upstream.directory(ROOT, &directory, &directory);
        for f in 0..FILES {
            upstream.file(&directory, &format!("f{f}"), &format!("{directory}/{f}"), b"x");
        }
    }
    let held: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let told = held.clone();
    let tell = Box::new(move |time| told.lock().expect("no bench panics").push(time));
    let seams = Seams { meter: Some(Meter { now, tell }), ..Seams::default() };
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream) };
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let capacity = Capacity { nodes: directories * FILES * 3, bytes: 8 << 30 };
    let router = Router::new(vec![instance]);
    let runtime = Runtime::with_seams(router, capacity, epoch, tokio.handle().clone(), seams);
    runtime.silence_opens();
    runtime.up("m", SCOPE);
    let mut bench = Bench { held, all: Vec::new(), report: Vec::new() };
    let nodes = directories * FILES;
    println!(
        "{:<42} {:>9} {:>9} {:>9} {:>9}",
        "time under the lock, us", "times", "median", "p99.9", "worst"
    );
    // What the machine counts as ours: interrupts, and what another guest of it takes.
    for _ in 0..5_000_000 {
        let began = now();
        bench.held.lock().expect("no bench panics").push(now() - began);
    }
    bench.row("nothing, for comparison", false);
    let files = tokio.block_on(fill(&runtime, directories));
    bench.row(&format!("listing and looking up {nodes} files"), true);
    assert_eq!(files.len(), nodes);
    bench.all.clear();
    tokio.block_on(uses(&runtime, &files));
    bench.row("lookup, stat, open, read, listing", false);
    for round in 0..10 {
        tokio.block_on(uses(&runtime, &files[round * 1_000..]));
        events(&runtime, directories, |d, f| Change::Invalidated(format!("d{d:05}/{f}").into()));
    }
    bench.row("the same with 10,000 events on files", false);
    events(&runtime, directories, |d, f| Change::Invalidated(format!("d{d:05}/{f}").into()));
    bench.row("an event that a file has changed", false);
    events(&runtime, directories, |d, f| Change::Removed(format!("d{d:05}/{f}").into()));
    bench.row("an event that a file is gone", false);
    events(&runtime, directories, |d, _| Change::ChildrenChanged(format!("d{d:05}").into()));
    bench.row("an event on a directory of 100 entries", false);
    for (handle, _) in files.iter().take(nodes / 2) {
        runtime.forget(*handle, 1);
    }
    bench.row("half of it given back", false);
    runtime.lost("m", SCOPE, "the bench has it so");
    bench.row("a feed that covers all is lost", false);
    *bench.held.lock().expect("no bench panics") = std::mem::take(&mut bench.all);
    bench.row("all of it, once it is filled", true);

    if let Some(file) = std::env::var_os("OMNIFS_BENCH_JSON") {
        let text = serde_json::to_string_pretty(&bench.report).expect("plain values");
        std::fs::write(Path::new(&file).with_extension("lock.json"), text).expect("the report");
    }
}

/// Lists every directory and looks up every file: its handle, and the name and directory of it.
async fn fill(runtime: &Arc<Runtime>, directories: usize) -> Vec<(Handle, (Handle, String))> {
    let top = runtime.lookup(runtime.root(), "m").await.expect("lookup").expect("there");
    let mut files = Vec::new();
    for d in 0..directories {
        let name = format!("d{d:05}");
        let directory = runtime.lookup(top.handle, &name).await.expect("lookup").expect("there");
        let open = runtime.opendir(directory.handle).await.expect("opendir");
        runtime.release(open.id);
        for f in 0..FILES {
            let name = format!("f{f}");
            let found = runtime.lookup(directory.handle, &name).await;
            let file = found.expect("lookup").expect("there");
            files.push((file.handle, (directory.handle, name)));
        }
    }
    files
}

async fn uses(runtime: &Arc<Runtime>, files: &[(Handle, (Handle, String))]) {
    let step = (files.len() / USES).max(1);
    for (handle, (directory, name)) in files.iter().step_by(step) {
        let entry = runtime.lookup(*directory, name).await.expect("lookup").expect("there");
        runtime.forget(entry.handle, 1);
        runtime.getattr(*handle).await.expect("stat");
        let open = runtime.open(*handle).await.expect("open");
        runtime.read(open.id, 0, 4096).await.expect("read");
        runtime.release(open.id);
        let absent = runtime.lookup(*directory, "there is none").await;
        assert!(matches!(absent, Ok(None)), "{absent:?}");
        let open = runtime.opendir(*directory).await.expect("opendir");
        runtime.readdir(open.id, 0, 24, false).await.expect("readdir");
        runtime.release(open.id);
    }
}

/// Events spread over all.
fn events(runtime: &Arc<Runtime>, directories: usize, change: impl Fn(usize, usize) -> Change) {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) as usize;
    for n in 0..EVENTS {
        let directory = (n * 7_919 + turn) % directories;
        runtime.apply("m", &[change(directory, n % FILES)]);
    }
}
