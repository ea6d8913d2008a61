//! What changes upstream raises inotify events on the mount, and nobody sees anything else of it.

use crate::fixture::{Fixture, eventually};
use omnifs_platform::fuse::MountOptions;
use omnifs_platform::memory::{Memory, New, ROOT};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A watch, and what it has seen.
pub struct Watch {
    queue: OwnedFd,
    seen: Vec<(ReadFlags, String, u32)>,
}

impl Watch {
    pub fn on(path: &Path) -> Watch {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let all = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&queue, path, all).unwrap();
        Watch { queue, seen: Vec::new() }
    }

    fn take(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 65_536];
        let mut reader = inotify::Reader::new(&self.queue, &mut buffer);
        while let Ok(event) = reader.next() {
            let name = event.file_name().map_or(String::new(), |n| n.to_str().unwrap().to_owned());
            self.seen.push((event.events(), name, event.cookie()));
        }
    }

    /// Waits for an event, and forgets it and those before it.
    pub fn wait(&mut self, wanted: ReadFlags, name: &str) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            self.take();
            let found = |(events, of, _): &(ReadFlags, String, u32)| {
                events.contains(wanted) && of == name
            };
            if let Some(at) = self.seen.iter().position(found) {
                let (_, _, cookie) = self.seen.drain(..=at).next_back().unwrap();
                return cookie;
            }
            assert!(Instant::now() < deadline, "no {wanted:?} of {name:?} in {:?}", self.seen);
            let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            poll(&mut [PollFd::new(&self.queue, PollFlags::IN)], Some(&wait)).unwrap();
        }
    }

    /// Everything seen and not waited for, as text.
    pub fn rest(&mut self) -> Vec<String> {
        self.take();
        self.seen.drain(..).map(|(events, name, _)| format!("{events:?} {name}")).collect()
    }
}

/// Waits until all events of changes made so far have been raised: those of `beacon`'s change
/// come last.
fn settle(fixture: &Fixture) {
    let beacon = fixture.memory.find("beacon").unwrap();
    let path = fixture.path("beacon");
    assert!(path.exists());
    let mut watch = Watch::on(&path);
    fixture.memory.append(beacon, b".").unwrap();
    watch.wait(ReadFlags::ATTRIB, "");
}

fn fixture() -> Option<Fixture> {
    let fixture = Fixture::new()?;
    fixture.memory.add(ROOT, "beacon", New::file("")).unwrap();
    Some(fixture)
}

#[test]
fn new_content_is_a_modification_for_the_file_and_its_directory() {
    let Some(fixture) = fixture() else { return };
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let file = fixture.memory.add(directory, "f", New::file("first")).unwrap();
    let path = fixture.path("d/f");
    let before = fs::metadata(&path).unwrap();
    let (mut on_file, mut on_directory) = (Watch::on(&path), Watch::on(&fixture.path("d")));
    for round in 0..20 {
        let content = "x".repeat(round * 997 % 5000 + 1);
        fixture.memory.set_content(file, content.clone()).unwrap();
        on_file.wait(ReadFlags::MODIFY, "");
        // Who reacts by reading sees the new, and all of it.
        assert_eq!(fs::metadata(&path).unwrap().len(), content.len() as u64);
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "round {round}");
        on_file.wait(ReadFlags::ATTRIB, "");
        on_directory.wait(ReadFlags::MODIFY, "f");
        on_directory.wait(ReadFlags::ATTRIB, "f");
    }
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert!(after.mtime() >= before.mtime());
}

#[test]
fn names_that_come_go_and_move_are_told_to_the_watchers_of_their_directory() {
    let Some(fixture) = fixture() else { return };
    let memory = &fixture.memory;
    let one = memory.add(ROOT, "one", New::Directory).unwrap();
    let two = memory.add(ROOT, "two", New::Directory).unwrap();
    let (first, second) = (fixture.path("one"), fixture.path("two"));
    let (mut on_one, mut on_two) = (Watch::on(&first), Watch::on(&second));
    let kinds = [
        ("file", New::file("content"), ReadFlags::empty()),
        ("program", New::Executable("#!".into()), ReadFlags::empty()),
        ("link", New::Symlink("elsewhere".into()), ReadFlags::empty()),
        ("directory", New::Directory, ReadFlags::ISDIR),
    ];
    for (name, new, directory) in kinds {
        let path = first.join(name);
        for round in 0..3 {
            assert!(!path.exists(), "{name} round {round}");
            memory.add(one, name, new.clone()).unwrap();
            on_one.wait(ReadFlags::CREATE | directory, name);
            let found = fs::symlink_metadata(&path).unwrap();
            let expected = memory.find(&format!("one/{name}")).unwrap().0;
            assert_eq!(found.ino(), expected);
            assert_eq!(found.len(), match &new {
                New::File(bytes) | New::Executable(bytes) => bytes.len() as u64,
                New::Symlink(target) => target.len() as u64,
                _ => 0,
            });

            memory.rename(one, name, one, "renamed").unwrap();
            let cookie = on_one.wait(ReadFlags::MOVED_FROM | directory, name);
            assert_eq!(on_one.wait(ReadFlags::MOVED_TO | directory, "renamed"), cookie);
            assert!(fs::symlink_metadata(&path).is_err());
            assert_eq!(fs::symlink_metadata(first.join("renamed")).unwrap().ino(), expected);

            memory.rename(one, "renamed", two, name).unwrap();
            let cookie = on_one.wait(ReadFlags::MOVED_FROM | directory, "renamed");
            assert_eq!(on_two.wait(ReadFlags::MOVED_TO | directory, name), cookie);
            assert_eq!(fs::symlink_metadata(second.join(name)).unwrap().ino(), expected);
            assert!(fs::symlink_metadata(first.join("renamed")).is_err());

            memory.remove(two, name).unwrap();
            on_two.wait(ReadFlags::DELETE | directory, name);
            assert!(fs::symlink_metadata(second.join(name)).is_err());
        }
    }
    assert_eq!(fs::read_dir(&first).unwrap().count() + fs::read_dir(&second).unwrap().count(), 0);
}
