//! Threads that read titles of issues, and know what each is.

use crate::{title, title_path};
use omnifs_support::wait_until;
use omnifs_twins::GithubTwin;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What happened to the readers so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub right: u64,
    /// How often each errno came.
    pub errors: BTreeMap<i32, u64>,
    /// Contents that the file never had.
    pub wrong: Vec<String>,
    /// Of one read.
    pub longest: Duration,
}

struct Shared {
    titles: Vec<String>,
    stop: AtomicBool,
    next: AtomicU64,
    seen: Mutex<Seen>,
}

/// Readers that go on until they are stopped.
pub struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Of the issues 1 to `issues` below the mount at `point`.
    pub fn start(twin: &GithubTwin, point: &Path, issues: u64, threads: usize) -> Readers {
        let shared = Arc::new(Shared {
            titles: (1..=issues).map(|number| title(twin, number)).collect(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            seen: Mutex::default(),
        });
        let reader = |_| {
            let (shared, point) = (shared.clone(), point.to_owned());
            thread::spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    shared.read_one(&point);
                }
            })
        };
        let threads = (0..threads).map(reader).collect();
        Readers { shared, threads }
    }

    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().expect("no panic under it").clone()
    }

    /// Waits until what was seen since now is so.
    pub fn await_seen(&self, limit: Duration, holds: impl Fn(&Seen, &Seen) -> bool) {
        let before = self.seen();
        let seen = wait_until(limit, || holds(&before, &self.seen()).then_some(()));
        assert!(seen.is_some(), "{:?}, before that {before:?}", self.seen());
    }

    /// Waits for so many right ones more.
    pub fn await_right(&self, limit: Duration, more: u64) {
        self.await_seen(limit, |before, now| now.right >= before.right + more);
    }

    /// Waits for so many right ones in a row.
    pub fn await_calm(&self, limit: Duration, row: u64) {
        let mut since = self.seen();
        let calm = wait_until(limit, || {
            let now = self.seen();
            if now.errors != since.errors {
                since = now;
                return None;
            }
            (now.right >= since.right + row).then_some(())
        });
        assert!(calm.is_some(), "{:?}", self.seen());
    }

    /// Waits until something failed once more, and then forgets what failed.
    pub fn await_error(&self, limit: Duration) -> BTreeMap<i32, u64> {
        self.await_seen(limit, |before, now| {
            now.errors.values().sum::<u64>() > before.errors.values().sum()
        });
        std::mem::take(&mut self.shared.seen.lock().expect("no panic under it").errors)
    }

    /// Ends them, within `limit`, and tells what they saw, none of which was wrong.
    pub fn stop(self, limit: Duration) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = || self.threads.iter().all(JoinHandle::is_finished).then_some(());
        assert!(wait_until(limit, ended).is_some(), "a reader hangs: {:?}", self.seen());
        let seen = self.seen();
        assert_eq!(seen.wrong, [""; 0]);
        seen
    }
}

impl Shared {
    fn read_one(&self, point: &Path) {
        // A step that has no divisor with the count in common comes by all of them.
        let number = self.next.fetch_add(7919, Ordering::Relaxed) % self.titles.len() as u64;
        let began = Instant::now();
        let result = fs::read_to_string(title_path(point, number + 1));
        let took = began.elapsed();
        let expected = &self.titles[number as usize];
        let mut seen = self.seen.lock().expect("no panic under it");
        seen.longest = seen.longest.max(took);
        match result {
            Ok(text) if text == *expected => seen.right += 1,
            Ok(text) => seen.wrong.push(format!("{number}: {text:?} in place of {expected:?}")),
            Err(error) => *seen.errors.entry(error.raw_os_error().unwrap_or(0)).or_default() += 1,
        }
    }
}
