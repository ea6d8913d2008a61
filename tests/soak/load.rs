//! Those who use the mount meanwhile.

use crate::plan::{Dice, Failed, Service};
use crate::services::Services;
use rustix::fs::inotify;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How old a title may be that somebody reads: polls come twice a second where their number is not bounded, and
/// a feed in trouble is lost at its next poll.
pub const WINDOW: Duration = Duration::from_secs(30);
/// How long a trouble shows after its end: pauses that the service asked for, requests that were under way.
pub const LAG: Duration = Duration::from_secs(10);

const ESTALE: i32 = 116;

#[derive(Debug, Default)]
pub struct Seen {
    pub reads: u64,
    pub walks: u64,
    /// Entries of all walks.
    pub entries: u64,
    pub events: u64,
    pub changes: u64,
    /// Lines of the growing log.
    pub lines: u64,
    pub errors: Vec<Failed>,
    pub stale: Vec<String>,
    /// What is wrong with the log as its follower saw it.
    pub log: Option<String>,
    /// Opens that met a change and were made again.
    pub again: u64,
    pub longest: Duration,
}

struct Shared {
    services: Arc<Services>,
    point: PathBuf,
    start: Instant,
    stop: AtomicBool,
    quiet: AtomicBool,
    seen: Mutex<Seen>,
}

pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(services: &Arc<Services>, point: &Path, start: Instant) -> Load {
        let shared = Arc::new(Shared {
            services: services.clone(),
            point: point.to_owned(),
            start,
            stop: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let mut load = Load { shared, threads: Vec::new() };
        for seed in 0..4 {
            load.spawn(move |shared| shared.read_titles(Dice(seed)));
        }
        load.spawn(|shared| shared.walk_all(Service::Github, "github/acme/api/_issues"));
        load.spawn(|shared| shared.walk_all(Service::Linear, "linear/teams/ENG/issues"));
        load.spawn(Shared::watch);
        load.spawn(Shared::change);
        if let Some(log) = services.log() {
            load.spawn(move |shared| shared.follow(&log));
        }
        load
    }

    fn spawn(&mut self, work: impl FnOnce(&Shared) + Send + 'static) {
        let shared = self.shared.clone();
        self.threads.push(thread::spawn(move || work(&shared)));
    }

    /// What is upstream stays as it is from now on.
    pub fn stop_changes(&self) {
        self.shared.quiet.store(true, Ordering::Relaxed);
    }

    pub fn stop(self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        std::mem::take(&mut self.shared.seen.lock().expect("no panic under it"))
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("no panic under it"));
    }

    /// Does it, again where it met a change, and notes what failed.
    fn attempt<T>(
        &self,
        service: Service,
        what: &Path,
        act: impl Fn() -> io::Result<T>,
    ) -> Option<T> {
        loop {
            let from = self.start.elapsed();
            let result = act();
            let until = self.start.elapsed();
            let mut seen = self.seen.lock().expect("no panic under it");
            seen.longest = seen.longest.max(until - from);
            match result {
                Ok(value) => return Some(value),
                Err(error) if error.raw_os_error() == Some(ESTALE) => seen.again += 1,
                Err(error) => {
                    let what = format!("{}: {error}", what.display());
                    seen.errors.push(Failed { service, from, until, what });
                    return None;
                }
            }
        }
    }

    fn read_titles(&self, mut dice: Dice) {
        while self.goes_on() {
            let all = &self.services.titled;
            let titled = &all[dice.between(0, all.len() as u64) as usize];
            let path = self.point.join(&titled.path);
            let began = Instant::now();
            let read = || fs::read_to_string(&path);
            if let Some(text) = self.attempt(titled.service, &titled.path, read) {
                let fresh = self.services.was(titled, &text, WINDOW + began.elapsed());
                self.note(|seen| {
                    seen.reads += 1;
                    if !fresh {
                        seen.stale.push(format!("{}: {text:?}", titled.path.display()));
                    }
                });
            }
            thread::sleep(Duration::from_millis(dice.between(0, 10)));
        }
    }

    fn walk_all(&self, service: Service, top: &str) {
        while self.goes_on() {
            let mut left = vec![self.point.join(top)];
            let (mut entries, mut whole) = (0, true);
            while let Some(directory) = left.pop().filter(|_| self.goes_on()) {
                let below = self.attempt(service, &directory, || below(&directory));
                whole &= below.is_some();
                for (path, is_directory) in below.unwrap_or_default() {
                    entries += 1;
                    if is_directory {
                        left.push(path);
                    }
                }
            }
            self.note(|seen| {
                seen.walks += u64::from(whole);
                seen.entries += entries;
            });
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn watch(&self) {
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
        for titled in self.services.titled.iter().step_by(5) {
            let path = self.point.join(&titled.path);
            let all = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ATTRIB;
            // One that is being changed may not be there for a moment.
            let _ = inotify::add_watch(&inotify, &path, all);
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while self.goes_on() {
            match reader.next() {
                Ok(_) => self.note(|seen| seen.events += 1),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn change(&self) {
        let mut count = 0;
        while self.goes_on() && !self.quiet.load(Ordering::Relaxed) {
            count += 1;
            self.services.change(count);
            self.note(|seen| seen.changes += 1);
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// As `tail -f` does, over every error: each number comes once, in its order.
    fn follow(&self, log: &Path) {
        let path = self.point.join(log);
        let (mut position, mut rest, mut last) = (0, String::new(), 0);
        while self.goes_on() {
            let opened = self.attempt(Service::Docker, log, || File::open(&path));
            let Some(file) = opened else {
                thread::sleep(Duration::from_millis(200));
                continue;
            };
            while self.goes_on() {
                let read = self.attempt(Service::Docker, log, || {
                    let mut bytes = vec![0; 64 << 10];
                    let count = file.read_at(&mut bytes, position)?;
                    bytes.truncate(count);
                    Ok(bytes)
                });
                let Some(bytes) = read else { break };
                position += bytes.len() as u64;
                rest.push_str(&String::from_utf8_lossy(&bytes));
                while let Some((line, more)) = rest.split_once('\n') {
                    let number = line.rsplit(' ').next().and_then(|number| number.parse().ok());
                    if number != Some(last + 1) {
                        let wrong = format!("{line:?} after {last}");
                        self.note(|seen| {
                            seen.log.get_or_insert(wrong);
                        });
                    }
                    last = number.unwrap_or(last);
                    self.note(|seen| seen.lines += 1);
                    rest = more.to_owned();
                }
                if bytes.is_empty() {
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

fn below(directory: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.path(), entry.file_type()?.is_dir()))
    };
    fs::read_dir(directory)?.map(entry).collect()
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} reads, {} whole walks over {} entries, {} changes, {} events, {} lines of the log; \
             {} errors, {} opens made again, the longest call {} ms",
            self.reads,
            self.walks,
            self.entries,
            self.changes,
            self.events,
            self.lines,
            self.errors.len(),
            self.again,
            self.longest.as_millis()
        )
    }
}
