//! Readers and events on the same files, from many threads, through the kernel and the core: nothing
//! stalls, nothing is torn, nothing old stays. Its own program, so that it has the machine to itself.
//!
//! Linux only: it mounts through FUSE.

#![cfg(target_os = "linux")]

use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::fuse::{MountOptions, mount};
use omnifs_support::{Omnifs, skip, user};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

const THREADS: usize = 16;
const DIRECTORIES: usize = 4;
const FILES: usize = 24;
/// The longest that one operation may take.
const STALL: Duration = Duration::from_secs(20);
/// The longest that the kernel may not have heard of an event.
const UNHEARD: Duration = Duration::from_secs(5);

/// As many seconds as OMNIFS_STRESS_SECONDS says, or else this many.
fn duration(seconds: u64) -> Duration {
    let given = std::env::var("OMNIFS_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(seconds))
}

/// The same number over and over, so that a torn read shows. Some are longer than one read.
fn content(number: u64) -> String {
    let length = number as usize * 37 % 30_000 + 1;
    format!("{number:08} ").repeat(length)
}

/// The number in what was read, which is whole.
fn number(found: &str) -> u64 {
    let piece = &found[..9];
    assert!(found.as_bytes().chunks(9).all(|other| other == piece.as_bytes()), "a torn read");
    let number = piece.trim().parse().expect("a number");
    assert_eq!(found.len(), content(number).len(), "a cut read of {number}");
    number
}

struct File {
    id: String,
    path: PathBuf,
    /// What it was changed to, and when that was applied. One change at a time.
    changes: Mutex<Vec<(Instant, u64)>>,
}

impl File {
    /// The newest change of which the kernel must have heard.
    fn floor(&self) -> u64 {
        let changes = self.changes.lock().expect("no panic under the lock");
        let heard = changes.iter().rev().find(|(applied, _)| applied.elapsed() > UNHEARD);
        heard.map_or(0, |(_, number)| *number)
    }
}

struct Scene {
    upstream: std::sync::Arc<Memory>,
    runtime: std::sync::Arc<Runtime>,
    files: Vec<File>,
    next: AtomicU64,
    stale: AtomicU64,
}

impl Scene {
    fn change(&self, file: &File) {
        let mut changes = file.changes.lock().expect("no panic under the lock");
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let told = self.upstream.set(&file.id, content(number).as_bytes());
        self.runtime.apply("m", &told);
        changes.push((Instant::now(), number));
    }

    fn read(&self, path: &Path) -> String {
        self.again(path, |path| fs::read_to_string(path))
    }

    /// What is superseded between the kernel's opening it and its first read may be gone by then, and a
    /// path that is superseded twice within one stat(2) is looked up anew only once. Who asks tries
    /// again.
    fn again<T>(&self, path: &Path, ask: impl Fn(&Path) -> std::io::Result<T>) -> T {
        loop {
            match ask(path) {
                Ok(answer) => return answer,
                Err(error) if error.kind() == ErrorKind::StaleNetworkFileHandle => {
                    self.stale.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}

#[test]
fn sixteen_threads_that_read_and_change_the_same_files_never_stall_and_see_nothing_torn_or_old() {
    let test = "sixteen_threads_that_read_and_change_the_same_files_never_stall_and_see_nothing_torn_or_old";
    if let Some(reason) = Omnifs::unavailable() {
        return skip(test, &reason);
    }
    // One after the other: as an ordinary user mounts it, as one does who lets others in, and as root does.
    if user::is_ordinary(test) {
        stress(false, duration(10));
        if !omnifs_platform::fuse::user_allow_other() {
            return skip(test, "this user may not let others in");
        }
        return stress(true, duration(10));
    }
    stress(false, duration(20));
}

fn stress(allow_other: bool, duration: Duration) {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    let upstream = Memory::new(Style::default());
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let router = Router::new(vec![instance]);
    let runtime = Runtime::new(router, Capacity::default(), epoch, tokio.handle().clone());
    runtime.up("m", SCOPE);
    let point = tempfile::tempdir().expect("a mount point");
    let mut files = Vec::new();
    for d in 0..DIRECTORIES {
        let directory = format!("d{d}");
        upstream.directory(ROOT, &directory, &directory);
        for f in 0..FILES / DIRECTORIES {
            let (name, id) = (format!("f{f}"), format!("{directory}/f{f}"));
            upstream.file(&directory, &name, &id, content(0).as_bytes());
            let path = point.path().join("m").join(&directory).join(name);
            files.push(File { id, path, changes: Mutex::default() });
        }
    }
    // With events for watchers, which take the same locks of the kernel.
    let options = MountOptions { watch_events: true, allow_other, ..MountOptions::default() };
    let mounted = mount(runtime.clone(), point.path(), &options, tokio.handle()).expect("mount");
    let (next, stale) = (AtomicU64::new(1), AtomicU64::new(0));
    let scene = Scene { upstream, runtime, files, next, stale };
    let (reads, changes) = (AtomicU64::new(0), AtomicU64::new(0));
    let until = Instant::now() + duration;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (scene, reads, changes, point) = (&scene, &reads, &changes, point.path());
            scope.spawn(move || {
                for turn in thread.. {
                    if Instant::now() > until {
                        break;
                    }
                    let file = &scene.files[turn * 7 % scene.files.len()];
                    let (started, floor) = (Instant::now(), file.floor());
                    match (thread + turn) % 4 {
                        0 => {
                            scene.change(file);
                            changes.fetch_add(1, Ordering::Relaxed);
                        }
                        1 => {
                            let id = format!("passing-{thread}");
                            let directory = format!("d{}", turn * 5 % DIRECTORIES);
                            let told = scene.upstream.file(&directory, &id, &id, b"");
                            scene.runtime.apply("m", &told);
                            let listed = fs::read_dir(point.join("m").join(&directory));
                            assert!(listed.expect("list").count() >= FILES / DIRECTORIES);
                            scene.runtime.apply("m", &scene.upstream.delete(&id));
                            changes.fetch_add(2, Ordering::Relaxed);
                        }
                        _ => {
                            let found = number(&scene.read(&file.path));
                            assert!(found >= floor, "{found} was over with {floor}");
                            let size = scene.again(&file.path, |path| fs::metadata(path)).len();
                            assert!(size > 0);
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    let took = started.elapsed();
                    assert!(took < STALL, "one operation took {took:?}");
                }
            });
        }
    });
    let stale = scene.stale.load(Ordering::Relaxed);
    println!(
        "others let in: {allow_other}: {reads:?} reads beside {changes:?} changes, {stale} tried again"
    );
    let reads = reads.into_inner();
    // Each file changes some hundred times a second; on a busy machine a read takes longer.
    assert!(stale < reads && reads > 100 && changes.into_inner() > 100);
    // Nothing old is left when it is quiet.
    for file in &scene.files {
        scene.change(file);
        let newest = file.changes.lock().expect("no panic under the lock").last().copied();
        let newest = newest.expect("changed just now").1;
        let shown = || (number(&scene.read(&file.path)) == newest).then_some(());
        assert!(omnifs_support::wait_until(STALL, shown).is_some(), "{} is old", file.id);
    }
    for d in 0..DIRECTORIES {
        let directory = point.path().join("m").join(format!("d{d}"));
        let listed =
            || (fs::read_dir(&directory).ok()?.count() == FILES / DIRECTORIES).then_some(());
        assert!(omnifs_support::wait_until(STALL, listed).is_some(), "{}", directory.display());
    }
    drop(mounted);
}
