//! Readers and changes on the same files, from many threads.

use crate::fixture::{Fixture, eventually};
use omnifs_platform::Inode;
use omnifs_platform::fuse::MountOptions;
use omnifs_platform::memory::{Memory, New, ROOT};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 16;
const FILES: usize = 24;
/// The longest that one operation may take.
const STALL: Duration = Duration::from_secs(10);

/// Three seconds, or as many as OMNIFS_STRESS_SECONDS says.
fn duration() -> Duration {
    let given = std::env::var("OMNIFS_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(3))
}

/// The same number over and over, so that a torn read shows.
fn content(number: u64) -> String {
    let length = number as usize * 37 % 3000 + 1;
    format!("{number:08} ").repeat(length)
}

fn check_whole(found: &str) {
    let number = &found[..9];
    assert!(found.as_bytes().chunks(9).all(|piece| piece == number.as_bytes()), "a torn read");
    let number: u64 = number.trim().parse().unwrap();
    assert_eq!(found.len(), content(number).len(), "a cut read of {number}");
}

struct Scene {
    directories: Vec<Inode>,
    files: Vec<(Inode, PathBuf)>,
}

fn scene(memory: &Memory, root: PathBuf) -> Scene {
    let mut directories = Vec::new();
    let mut files = Vec::new();
    for index in 0..4 {
        let name = format!("d{index}");
        directories.push(memory.add(ROOT, &name, New::Directory).unwrap());
    }
    for index in 0..FILES {
        let (d, name) = (index % 4, format!("f{index}"));
        let inode = memory.add(directories[d], &name, New::file(content(0))).unwrap();
        memory.link(directories[(d + 1) % 4], &name, inode).unwrap();
        files.push((inode, root.join(format!("d{d}/{name}"))));
        files.push((inode, root.join(format!("d{}/{name}", (d + 1) % 4))));
    }
    Scene { directories, files }
}

#[test]
fn readers_and_changes_of_the_same_files_never_stall_and_never_tear() {
    // With events for watchers, which take the same locks of the kernel.
    let options = MountOptions { watch_events: true, ..MountOptions::default() };
    let Some(fixture) = Fixture::with(Memory::new(), &options) else { return };
    let memory = &fixture.memory;
    let scene = scene(memory, fixture.path(""));
    let until = Instant::now() + duration();
    let (reads, changes) = (AtomicU64::new(0), AtomicU64::new(0));
    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (scene, reads, changes) = (&scene, &reads, &changes);
            let next = &next;
            let fixture = &fixture;
            scope.spawn(move || {
                for turn in thread.. {
                    if Instant::now() > until {
                        break;
                    }
                    let (inode, path) = &scene.files[turn * 7 % scene.files.len()];
                    let started = Instant::now();
                    match (thread + turn) % 4 {
                        0 => {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            fixture.memory.set_content(*inode, content(number)).unwrap();
                            changes.fetch_add(1, Ordering::Relaxed);
                        }
                        1 => {
                            let number = turn * 5 % scene.directories.len();
                            let name = format!("passing-{thread}");
                            let directory = scene.directories[number];
                            fixture.memory.add(directory, &name, New::file("")).unwrap();
                            let seen = fixture.path(&format!("d{number}"));
                            assert!(fs::read_dir(seen).unwrap().count() >= FILES / 2);
                            fixture.memory.remove(directory, &name).unwrap();
                            changes.fetch_add(2, Ordering::Relaxed);
                        }
                        _ => {
                            check_whole(&fs::read_to_string(path).unwrap());
                            let size = fs::metadata(path).unwrap().len();
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
    println!("{reads:?} reads beside {changes:?} changes");
    assert!(reads.into_inner() > 100 && changes.into_inner() > 100);
    // Nothing stale is left when it is quiet.
    for (number, (inode, path)) in scene.files.iter().enumerate() {
        let last = content(1_000_000 + number as u64);
        memory.set_content(*inode, last.clone()).unwrap();
        eventually("the last content", || fs::read_to_string(path).unwrap() == last);
    }
    for index in 0..4 {
        let names = fs::read_dir(fixture.path(&format!("d{index}"))).unwrap().count();
        assert_eq!(names, FILES / 2);
    }
    let absent = fs::metadata(fixture.path("d0/passing-0")).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
}

/// Follows a file as `tail -f` does: asks for its size, and reads on from where it was.
fn follow(path: &Path, until: Instant, pace: Duration) -> u64 {
    let file = fs::File::open(path).unwrap();
    let mut place = 0;
    let mut buffer = vec![0; 1 << 16];
    while Instant::now() < until {
        file.metadata().unwrap();
        loop {
            let read = file.read_at(&mut buffer, place).unwrap();
            if read == 0 {
                break;
            }
            for (byte, at) in buffer[..read].iter().zip(place..) {
                assert_eq!(*byte, at as u8 | 1, "byte {at} of {}", path.display());
            }
            place += read as u64;
        }
        thread::sleep(pace);
    }
    place
}

#[test]
fn followers_of_a_growing_file_never_see_a_byte_that_is_not_there() {
    let Some(fixture) = Fixture::with(Memory::new(), &MountOptions::default()) else { return };
    let log = fixture.memory.add(ROOT, "log", New::volatile("")).unwrap();
    let path = fixture.path("log");
    let until = Instant::now() + duration();
    let mut length = 0_u64;
    let seen: Vec<u64> = thread::scope(|scope| {
        let follow = |n: u64| {
            let path = &path;
            scope.spawn(move || follow(path, until, Duration::from_micros(n * 97)))
        };
        let followers: Vec<_> = (0..10).map(follow).collect();
        while Instant::now() < until {
            let more = length..length + 1 + length % 173;
            let bytes: Vec<u8> = more.clone().map(|at| at as u8 | 1).collect();
            fixture.memory.append(log, &bytes).unwrap();
            length = more.end;
            thread::sleep(Duration::from_micros(300));
        }
        followers.into_iter().map(|follower| follower.join().unwrap()).collect()
    });
    println!("{length} bytes, seen {seen:?}");
    assert!(seen.iter().all(|&seen| seen > 0));
    assert_eq!(fs::read(&path).unwrap().len() as u64, length);
}
