//! What changes upstream raises inotify events on the mount, and nobody sees anything else of it.

use crate::fixture::{
    Fixture, NOBODY, child, child_of, eventually, fuse_works, in_namespace, is_root,
    open_device_to_all, possible, public_program, role, runtime,
};
use omnifs_platform::fuse::{MountOptions, helper, mount};
use omnifs_platform::memory::{Memory, New, ROOT};
use omnifs_platform::mounting::{UnmountMode, prepare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, Timestamps, XattrFlags};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
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
            | WatchFlags::CLOSE_WRITE
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
        self.wait_any(&[wanted], name)
    }

    pub fn wait_any(&mut self, wanted: &[ReadFlags], name: &str) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.take();
            let found = |(events, of, _): &(ReadFlags, String, u32)| {
                wanted.iter().any(|wanted| events.contains(*wanted)) && of == name
            };
            if let Some(at) = self.seen.iter().position(found) {
                let (_, _, cookie) = self.seen.drain(..=at).next_back().unwrap();
                return cookie;
            }
            let last = &self.seen[self.seen.len().saturating_sub(8)..];
            assert!(Instant::now() < deadline, "no {wanted:?} of {name:?} in {last:?}");
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

/// With events, whatever the default is.
fn with_events() -> MountOptions {
    MountOptions { watch_events: true, ..MountOptions::default() }
}

fn fixture() -> Option<Fixture> {
    let fixture = Fixture::with(Memory::new(), &with_events())?;
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
        on_file.wait(ReadFlags::CLOSE_WRITE, "");
        // Who reacts by reading sees the new, and all of it.
        assert_eq!(fs::metadata(&path).unwrap().len(), content.len() as u64);
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "round {round}");
        on_directory.wait(ReadFlags::MODIFY, "f");
        on_directory.wait(ReadFlags::ATTRIB, "f");
    }
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert!(after.mtime() >= before.mtime());
}

#[test]
fn programs_links_and_directories_tell_of_their_changes_too() {
    let Some(fixture) = fixture() else { return };
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    let program = memory.add(directory, "program", New::Executable("#!".into())).unwrap();
    let link = memory.add(directory, "link", New::Symlink("here".into())).unwrap();
    settle(&fixture);
    let mut watch = Watch::on(&fixture.path("d"));
    assert!(fixture.path("d/program").exists());
    assert_eq!(fs::read_link(fixture.path("d/link")).unwrap().to_str(), Some("here"));
    memory.set_content(program, "#!/bin/sh").unwrap();
    watch.wait(ReadFlags::ATTRIB, "program");
    memory.set_content(link, "elsewhere").unwrap();
    watch.wait(ReadFlags::MODIFY, "link");
    watch.wait(ReadFlags::ATTRIB, "link");
    let target = || fs::read_link(fixture.path("d/link")).unwrap();
    eventually("the new target", || target().to_str() == Some("elsewhere"));
    memory.announce(directory).unwrap();
    watch.wait(ReadFlags::ATTRIB | ReadFlags::ISDIR, "");
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
            assert_eq!(
                found.len(),
                match &new {
                    New::File(bytes) | New::Executable(bytes) => bytes.len() as u64,
                    New::Symlink(target) => target.len() as u64,
                    _ => 0,
                }
            );

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

#[test]
fn raising_events_asks_the_file_system_nothing() {
    let Some(fixture) = fixture() else { return };
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    let file = memory.add(directory, "f", New::file("content")).unwrap();
    // Making a name known has the kernel look below it again, so that comes first.
    settle(&fixture);
    let mut watch = Watch::on(&fixture.path("d"));
    assert!(fixture.path("d/f").exists());
    let before = memory.calls();
    memory.set_content(file, "other").unwrap();
    watch.wait(ReadFlags::ATTRIB, "f");
    memory.add(directory, "sub", New::Directory).unwrap();
    watch.wait(ReadFlags::CREATE, "sub");
    memory.rename(directory, "sub", directory, "bus").unwrap();
    watch.wait(ReadFlags::MOVED_TO, "bus");
    memory.remove(directory, "bus").unwrap();
    watch.wait(ReadFlags::DELETE, "bus");
    let cost = memory.calls().since(&before);
    assert_eq!(cost.total(), 0, "{cost:?}");
    // What was told of nothing that the kernel holds raises nothing.
    let far = memory.add(directory, "unseen", New::Directory).unwrap();
    watch.wait(ReadFlags::CREATE, "unseen");
    let inner = memory.add(far, "inner", New::file("")).unwrap();
    memory.set_content(inner, "more").unwrap();
    settle(&fixture);
    assert_eq!(watch.rest(), [""; 0]);
}

#[test]
fn a_file_held_open_goes_on_telling_its_watchers_and_keeps_its_snapshot() {
    let Some(fixture) = fixture() else { return };
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let file = fixture.memory.add(directory, "f", New::file("first")).unwrap();
    let path = fixture.path("d/f");
    let mut held = File::open(&path).unwrap();
    let (mut on_file, mut on_directory) = (Watch::on(&path), Watch::on(&fixture.path("d")));
    for round in 0..10 {
        let content = "new ".repeat(round + 1);
        fixture.memory.set_content(file, content.clone()).unwrap();
        on_file.wait(ReadFlags::MODIFY, "");
        on_file.wait(ReadFlags::ATTRIB, "");
        on_file.wait(ReadFlags::CLOSE_WRITE, "");
        if round % 2 == 0 {
            on_directory.wait(ReadFlags::MODIFY, "f");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(held.metadata().unwrap().len(), 5);
    }
    let mut snapshot = String::new();
    held.read_to_string(&mut snapshot).unwrap();
    assert_eq!(snapshot, "first");
    assert!(!fixture.path(".omnifs-nameless").exists());
    assert_eq!(on_file.rest(), [""; 0]);
}

#[test]
fn a_shell_in_a_directory_that_is_renamed_sees_its_new_path_at_once() {
    let Some(fixture) = fixture() else { return };
    let memory = &fixture.memory;
    let parent = memory.add(ROOT, "p", New::Directory).unwrap();
    let directory = memory.add(parent, "old", New::Directory).unwrap();
    memory.add(directory, "f", New::file("content")).unwrap();
    let mut watch = Watch::on(&fixture.path("p"));
    let mut own = Watch::on(&fixture.path("p/old"));
    let mut inside = Command::new("sh")
        .args(["-c", "echo in; read go; readlink /proc/$$/cwd; cat f"])
        .current_dir(fixture.path("p/old"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    inside.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    memory.rename(parent, "old", parent, "new").unwrap();
    watch.wait(ReadFlags::MOVED_TO | ReadFlags::ISDIR, "new");
    own.wait(ReadFlags::MOVE_SELF, "");
    std::io::Write::write_all(&mut inside.stdin.take().unwrap(), b"go\n").unwrap();
    let said = String::from_utf8(inside.wait_with_output().unwrap().stdout).unwrap();
    let pwd = fixture.mounted.mountpoint().join("p/new");
    assert_eq!(said, format!("{}\ncontent", pwd.display()));
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nobody_else_may_write_while_the_daemon_raises_events() {
    let Some(fixture) = fixture() else { return };
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    let file = memory.add(directory, "f", New::file("content")).unwrap();
    let path = |name: &str| fixture.path("d").join(name);
    assert!(path("f").exists());
    let over = AtomicBool::new(false);
    let now = rustix::fs::Timespec { tv_sec: 1, tv_nsec: 1 };
    let times = Timestamps { last_access: now, last_modification: now };
    thread::scope(|scope| {
        // In this process, as the daemon itself: what counts is the thread.
        let writer = scope.spawn(|| {
            let mut refused = 0;
            while !over.load(Ordering::Relaxed) {
                let tried = [
                    fs::create_dir(path("new")),
                    fs::remove_dir(path("new")),
                    fs::remove_file(path("f")),
                    fs::rename(path("f"), path("g")),
                    fs::rename(path("new"), path("third")),
                    fs::write(path("f"), "mine"),
                    rustix::fs::utimensat(CWD, path("f"), &times, AtFlags::empty())
                        .map_err(Into::into),
                    File::create_new(path("new")).map(drop),
                    rustix::fs::setxattr(path("f"), "user.omnifs", b"", XattrFlags::empty())
                        .map_err(Into::into),
                ];
                for (which, tried) in tried.into_iter().enumerate() {
                    let Err(error) = tried else { panic!("write {which} went through") };
                    let known = [libc::EROFS, libc::ENOENT, libc::EEXIST, libc::EISDIR];
                    let number = error.raw_os_error().unwrap();
                    assert!(known.contains(&number), "{which}: {error}");
                    refused += u64::from(number == libc::EROFS);
                }
            }
            refused
        });
        // However this ends, the writer does too.
        let _end = Ends(&over);
        let mut watch = Watch::on(&fixture.path("d"));
        for round in 0..200 {
            memory.add(directory, "new", New::Directory).unwrap();
            watch.wait(ReadFlags::CREATE, "new");
            memory.rename(directory, "new", directory, "other").unwrap();
            // A move needs the old name, which the writer looks up all the time.
            watch.wait_any(&[ReadFlags::MOVED_TO, ReadFlags::CREATE], "other");
            memory.set_content(file, format!("{round}")).unwrap();
            watch.wait(ReadFlags::MODIFY, "f");
            memory.remove(directory, "other").unwrap();
            watch.wait(ReadFlags::DELETE, "other");
            assert_eq!(fs::read_to_string(path("f")).unwrap(), format!("{round}"));
        }
        over.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 100);
    });
    assert_eq!(fs::read_dir(fixture.path("d")).unwrap().count(), 1);
}

#[test]
fn a_name_that_is_gone_or_back_by_the_time_it_is_told_shows_what_it_is() {
    let Some(fixture) = fixture() else { return };
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    let path = fixture.path("d/n");
    let inner = fixture.path("d/n/inner");
    let mut watch = Watch::on(&fixture.path("d"));
    for round in 0..300 {
        // All kinds of things happen to one name while readers use it.
        let object = memory.add(directory, "n", New::Directory).unwrap();
        memory.add(object, "inner", New::file(format!("{round}"))).unwrap();
        if round % 3 == 0 {
            eventually("the name", || path.exists());
        }
        if round % 2 == 0 {
            memory.remove(directory, "n").unwrap();
            let again = memory.add(directory, "n", New::Directory).unwrap();
            memory.add(again, "inner", New::file(format!("{round}"))).unwrap();
        }
        eventually("what is in it", || {
            fs::read_to_string(&inner).is_ok_and(|text| text == format!("{round}"))
        });
        let shown = fs::metadata(&path).unwrap().ino();
        assert_eq!(shown, memory.find("d/n").unwrap().0);
        memory.remove(directory, "n").unwrap();
        eventually("the name is gone", || !path.exists());
    }
    settle(&fixture);
    let seen = watch.rest();
    assert!(seen.iter().any(|event| event.contains("CREATE")), "{seen:?}");
    assert!(seen.iter().any(|event| event.contains("DELETE")), "{seen:?}");
    assert!(!path.exists());
}

#[test]
fn a_mount_is_not_made_busy_by_its_events_and_can_do_without() {
    let Some(mut fixture) = fixture() else { return };
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let memory = fixture.memory.clone();
    for index in 0..300 {
        memory.add(directory, &format!("{index}"), New::file("")).unwrap();
    }
    assert_eq!(fs::read_dir(fixture.path("d")).unwrap().count(), 300);
    for index in 0..300 {
        memory.set_content(memory.find(&format!("d/{index}")).unwrap(), "more").unwrap();
    }
    fixture.mounted.unmount(UnmountMode::Clean).unwrap();
    fixture.runtime.block_on(fixture.mounted.ended());
    eventually("all references are back", || memory.references() == 0);

    let options = MountOptions { watch_events: false, ..MountOptions::default() };
    let Some(quiet) = Fixture::with(Memory::new(), &options) else { return };
    let file = quiet.memory.add(ROOT, "f", New::file("first")).unwrap();
    let mut watch = Watch::on(&quiet.path(""));
    assert_eq!(fs::read_to_string(quiet.path("f")).unwrap(), "first");
    quiet.memory.set_content(file, "second").unwrap();
    eventually("the new content", || fs::read_to_string(quiet.path("f")).unwrap() == "second");
    assert_eq!(watch.rest(), [""; 0]);
}

/// An ordinary user's daemon, for whom the mode bits forbid every write, and its own events.
fn watch_as_a_user(place: &Path) {
    let runtime = runtime();
    let memory = Memory::new();
    let mounted = mount(memory.clone(), place, &with_events(), runtime.handle()).unwrap();
    let file = memory.add(ROOT, "f", New::file("first")).unwrap();
    let path = place.join("f");
    let mut on_root = Watch::on(place);
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    let mut on_file = Watch::on(&path);
    memory.set_content(file, "second").unwrap();
    on_file.wait(ReadFlags::MODIFY, "");
    on_root.wait(ReadFlags::ATTRIB, "f");
    memory.add(ROOT, "d", New::Directory).unwrap();
    on_root.wait(ReadFlags::CREATE | ReadFlags::ISDIR, "d");
    memory.rename(ROOT, "d", ROOT, "e").unwrap();
    on_root.wait(ReadFlags::MOVED_TO | ReadFlags::ISDIR, "e");
    memory.remove(ROOT, "e").unwrap();
    on_root.wait(ReadFlags::DELETE | ReadFlags::ISDIR, "e");
    assert_eq!(fs::write(&path, "mine").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(fs::read_to_string(&path).unwrap(), "second");
    drop(mounted);
}

#[test]
fn an_ordinary_users_daemon_raises_events_too() {
    if let Some(place) = role("watch as a user") {
        return watch_as_a_user(&place);
    }
    let name = "watch::an_ordinary_users_daemon_raises_events_too";
    let Some(home) = role("namespace") else {
        let needed = is_root() && helper().is_some();
        if possible(needed, "needs root, to become another user, and fusermount3") && fuse_works() {
            let home = tempfile::tempdir_in("/tmp").unwrap();
            in_namespace(name, "namespace", home.path());
        }
        return;
    };
    open_device_to_all(&home);
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let place = home.join("mount");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    let program = public_program(&home);
    let mut command = child_of(&program, name, "watch as a user", &place);
    let output = command.uid(NOBODY).gid(NOBODY).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// In a child process: mounts, says so, and raises events without end.
fn serve_changes(place: &Path) {
    let runtime = runtime();
    let memory = Memory::new();
    let options = with_events();
    let _mounted = mount(memory.clone(), place, &options, runtime.handle()).unwrap();
    let file = memory.add(ROOT, "f", New::file("first")).unwrap();
    assert_eq!(fs::read_to_string(place.join("f")).unwrap(), "first");
    println!("\nmounted");
    let started = Instant::now();
    // The parent kills this process long before.
    while started.elapsed() < Duration::from_secs(300) {
        memory.set_content(file, "more").unwrap();
        memory.add(ROOT, "n", New::Directory).unwrap();
        memory.remove(ROOT, "n").unwrap();
        thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn a_daemon_killed_while_it_raises_events_ends_and_leaves_a_dead_mount() {
    if let Some(place) = role("serve changes") {
        return serve_changes(&place);
    }
    if !fuse_works() {
        return;
    }
    let name = "watch::a_daemon_killed_while_it_raises_events_ends_and_leaves_a_dead_mount";
    for round in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let mut server = child(name, "serve changes", place).spawn().unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(said.by_ref().map_while(Result::ok).any(|line| line == "mounted"));
        let mut watch = Watch::on(place);
        watch.wait(ReadFlags::MODIFY, "f");
        server.kill().unwrap();
        // A thread that waited for an answer of its own process would keep it for ever.
        eventually("the daemon has ended", || server.try_wait().unwrap().is_some());
        eventually("the mount is dead", || fs::metadata(place).is_err());
        assert!(prepare(place).unwrap(), "round {round}");
    }
}
