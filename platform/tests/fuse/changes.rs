//! What changes upstream shows at once, and those who hold a file open are not disturbed.

use crate::fixture::{Fixture, eventually};
use omnifs_platform::fuse::MountOptions;
use omnifs_platform::memory::{Memory, New, ROOT};
use omnifs_platform::{Error, HandleError};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn names(fixture: &Fixture, below: &str) -> Vec<String> {
    let entries = fs::read_dir(fixture.path(below)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_looked_at_once_costs_no_request_again() {
    // Telling watchers of a new name has the kernel look at it once more.
    let options = MountOptions { watch_events: false, ..MountOptions::default() };
    let Some(fixture) = Fixture::with(Memory::new(), &options) else { return };
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    for index in 0..300 {
        memory.add(directory, &format!("file-{index}"), New::file("some bytes\n")).unwrap();
    }
    memory.add(directory, "link", New::Symlink("file-1".into())).unwrap();
    let look = || {
        let output = Command::new("ls").arg("-lRL").arg(fixture.path("")).output().unwrap();
        assert!(output.status.success());
        assert!(fs::metadata(fixture.path("d/absent")).is_err());
        fs::read_link(fixture.path("d/link")).unwrap();
        output.stdout
    };
    let first = look();
    // The kernel drops the access time, and only that, after it has read a listing or a file.
    assert_eq!(look(), first);
    let before = memory.calls();
    assert_eq!(look(), first);
    let cost = memory.calls().since(&before);
    assert_eq!(cost.total(), 0, "{cost:?}");
    let read = || (0..300).map(|i| fs::read(fixture.path(&format!("d/file-{i}"))).unwrap().len());
    assert_eq!(read().sum::<usize>(), 3300);
    assert_eq!(read().sum::<usize>(), 3300);
    let before = memory.calls();
    assert_eq!(read().sum::<usize>(), 3300);
    let cost = memory.calls().since(&before);
    assert_eq!(cost.total(), 0, "{cost:?}");
}

#[test]
fn new_content_is_seen_by_the_next_reader() {
    let Some(fixture) = Fixture::new() else { return };
    let inode = fixture.memory.add(ROOT, "f", New::file("first")).unwrap();
    let path = fixture.path("f");
    for round in 1..50 {
        let content = "x".repeat(round * 997 % 5000 + 1);
        fixture.memory.set_content(inode, content.clone()).unwrap();
        eventually("the content", || fs::read_to_string(&path).unwrap() == content);
        eventually("the size", || fs::metadata(&path).unwrap().len() == content.len() as u64);
    }
}

#[test]
fn a_file_held_open_keeps_its_snapshot_and_a_new_open_sees_the_change() {
    let Some(fixture) = Fixture::new() else { return };
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let old = "old ".repeat(3000);
    let inode = fixture.memory.add(directory, "f", New::file(old.clone())).unwrap();
    fixture.memory.link(ROOT, "other name", inode).unwrap();
    let path = fixture.path("d/f");
    let mut held = File::open(&path).unwrap();
    let number = held.metadata().unwrap().ino();
    let mut start = vec![0; 100];
    held.read_exact(&mut start).unwrap();
    fixture.memory.set_content(inode, "new").unwrap();
    for name in [&path, &fixture.path("other name")] {
        eventually("the new content", || fs::read_to_string(name).unwrap() == "new");
        let now = File::open(name).unwrap();
        assert_eq!(now.metadata().unwrap().ino(), number);
        assert_eq!(now.metadata().unwrap().len(), 3);
        assert_eq!(fs::metadata(name).unwrap().ino(), number);
        assert_eq!(fs::metadata(name).unwrap().len(), 3);
    }
    assert_eq!(held.metadata().unwrap().len(), old.len() as u64);
    assert_eq!(held.metadata().unwrap().ino(), number);
    let mut rest = String::new();
    held.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, old[100..]);
    let mut again = vec![0; old.len()];
    held.read_exact_at(&mut again, 0).unwrap();
    assert_eq!(again, old.as_bytes());
}

#[test]
fn a_rename_keeps_the_inode_and_does_not_disturb_an_open_file_or_a_working_directory() {
    let Some(fixture) = Fixture::new() else { return };
    let directory = fixture.memory.add(ROOT, "old", New::Directory).unwrap();
    fixture.memory.add(directory, "f", New::file("content")).unwrap();
    let number = fs::metadata(fixture.path("old")).unwrap().ino();
    let mut held = File::open(fixture.path("old/f")).unwrap();
    let mut inside = Command::new("sh")
        .args(["-c", "read go && cat f && /bin/pwd"])
        .current_dir(fixture.path("old"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A shell that starts just between the two names says so.
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    fixture.memory.rename(ROOT, "old", ROOT, "new").unwrap();
    eventually("the old name is gone", || !fixture.path("old").exists());
    assert_eq!(fs::metadata(fixture.path("new")).unwrap().ino(), number);
    assert_eq!(names(&fixture, ""), ["new"]);
    std::io::Write::write_all(&mut inside.stdin.take().unwrap(), b"go\n").unwrap();
    let said = String::from_utf8(inside.wait_with_output().unwrap().stdout).unwrap();
    let pwd = fixture.mounted.mountpoint().join("new");
    assert_eq!(said, format!("content{}\n", pwd.display()));
    let mut content = String::new();
    held.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
}

#[test]
fn names_and_listings_follow_what_comes_and_goes() {
    let Some(fixture) = Fixture::new() else { return };
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let path = fixture.path("d/new");
    for round in 0..30 {
        assert!(!path.exists() && names(&fixture, "d").is_empty(), "round {round}");
        fixture.memory.add(directory, "new", New::file("here")).unwrap();
        eventually("the new name", || path.exists());
        eventually("the new listing", || names(&fixture, "d") == ["new"]);
        fixture.memory.remove(directory, "new").unwrap();
        eventually("the name is gone", || !path.exists());
        eventually("the old listing", || names(&fixture, "d").is_empty());
    }
    let removed = fixture.memory.add(directory, "sub", New::Directory).unwrap();
    fixture.memory.add(removed, "f", New::file("")).unwrap();
    let inside = fixture.path("d/sub/f");
    eventually("the file in it", || inside.exists());
    fixture.memory.remove(directory, "sub").unwrap();
    eventually("all below is gone", || !inside.exists());
}

#[test]
fn a_listing_begun_before_a_change_is_not_kept_for_those_after_it() {
    let Some(fixture) = Fixture::new() else { return };
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let path = fixture.path("d");
    for round in 0..50 {
        // Opened before the change, read after others have opened and read.
        let early = fs::read_dir(&path).unwrap();
        fixture.memory.add(directory, &format!("{round:02}"), New::file("")).unwrap();
        eventually("the new name", || fs::read_dir(&path).unwrap().count() == round + 1);
        let count = early.count();
        assert!(count == round || count == round + 1, "round {round}: {count}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), round + 1);
    }
}

#[test]
fn a_symbolic_link_that_changes_leads_elsewhere() {
    let Some(fixture) = Fixture::new() else { return };
    let link = fixture.memory.add(ROOT, "link", New::Symlink("one".into())).unwrap();
    let path = fixture.path("link");
    assert_eq!(fs::read_link(&path).unwrap().to_str(), Some("one"));
    fixture.memory.set_content(link, "another").unwrap();
    eventually("the new target", || fs::read_link(&path).unwrap().to_str() == Some("another"));
    assert_eq!(fs::symlink_metadata(&path).unwrap().len(), 7);
}

#[test]
fn tail_follows_a_growing_file_and_a_mapping_of_it_works() {
    let Some(fixture) = Fixture::new() else { return };
    let log = fixture.memory.add(ROOT, "log", New::volatile("line 0\n")).unwrap();
    let path = fixture.path("log");
    let mut tail = Command::new("tail")
        .args(["-n", "+1", "-s", "0.05", "-f"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    for index in 0..8 {
        assert_eq!(lines.next().unwrap().unwrap(), format!("line {index}"));
        fixture.memory.append(log, format!("line {}\n", index + 1).as_bytes()).unwrap();
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 9 * 7);
    assert_eq!(fs::read(&path).unwrap().len(), 9 * 7);
    for round in 0..3 {
        let file = File::open(&path).unwrap();
        let size = file.metadata().unwrap().len() as usize;
        let mapped = map(&file, size);
        assert_eq!(mapped, fs::read(&path).unwrap(), "round {round}");
        fixture.memory.append(log, &[b'x'; 3000]).unwrap();
    }
}

fn map(file: &File, length: usize) -> Vec<u8> {
    let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new read-only mapping of a file that this test has open; the result is checked.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, read, shared, file.as_raw_fd(), 0) };
    assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: `length` bytes are mapped there.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), length) }.to_vec();
    // SAFETY: it was mapped above with this length.
    unsafe { libc::munmap(at, length) };
    bytes
}

#[test]
fn each_error_reaches_the_caller_with_its_number_and_is_not_kept() {
    let Some(fixture) = Fixture::new() else { return };
    let memory = &fixture.memory;
    for (index, error) in Error::ALL.into_iter().enumerate() {
        let directory = memory.add(ROOT, &format!("{index}"), New::Directory).unwrap();
        // The error comes first: the daemon itself may look a new name up, to raise its event.
        memory.set_error(directory, Some(error)).unwrap();
        memory.add(directory, "f", New::file("well")).unwrap();
        let path = fixture.path(&format!("{index}/f"));
        let found = fs::read(&path).unwrap_err().raw_os_error();
        assert_eq!(found, Some(error.codes().errno), "{error:?}");
        memory.set_error(directory, None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"well", "{error:?}");
    }
}

/// What was listed once may be in the kernel's cache, and the names in it too.
#[test]
fn a_directory_that_was_listed_and_fails_now_is_an_error_and_no_empty_directory() {
    let Some(fixture) = Fixture::new() else { return };
    let memory = &fixture.memory;
    let list = |path: &Path| fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for (index, error) in Error::ALL.into_iter().enumerate() {
        let directory = memory.add(ROOT, &format!("{index}"), New::Directory).unwrap();
        memory.add(directory, "f", New::file("well")).unwrap();
        memory.set_cacheable(directory, false).unwrap();
        let path = fixture.path(&format!("{index}"));
        assert_eq!(list(&path).unwrap().len(), 1);
        for whole in [false, true] {
            match whole {
                false => memory.set_listing_error(directory, Some(error)).unwrap(),
                true => memory.set_error(directory, Some(error)).unwrap(),
            }
            let said = list(&path).unwrap_err().raw_os_error();
            let expected = Error::from(HandleError::from(error)).codes().errno;
            assert_eq!(said, Some(expected), "{error:?}");
        }
        memory.set_error(directory, None).unwrap();
        memory.set_listing_error(directory, None).unwrap();
        assert_eq!(list(&path).unwrap().len(), 1, "{error:?}");
    }
}

#[test]
fn a_slow_lookup_in_one_directory_delays_no_other_and_no_notification_of_another() {
    let Some(fixture) = Fixture::new() else { return };
    let memory = &fixture.memory;
    let slow = memory.add(ROOT, "slow", New::Directory).unwrap();
    let quick = memory.add(ROOT, "quick", New::Directory).unwrap();
    memory.add(slow, "f", New::file("at last")).unwrap();
    memory.add(slow, "known", New::file("")).unwrap();
    assert!(fixture.path("slow/known").exists());
    assert!(!fixture.path("quick/new").exists());
    memory.set_delay(slow, Duration::from_secs(10)).unwrap();
    let asked = memory.calls().lookup;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read_to_string(fixture.path("slow/f")));
        eventually("the slow lookup is under way", || memory.calls().lookup > asked);
        // Its notification has to wait for the lookup.
        memory.remove(slow, "known").unwrap();
        memory.add(quick, "new", New::file("here")).unwrap();
        eventually("the change in the other directory", || fixture.path("quick/new").exists());
        assert_eq!(names(&fixture, "quick"), ["new"]);
        assert!(!reader.is_finished(), "the slow lookup is still under way");
        memory.set_delay(slow, Duration::ZERO).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), "at last");
    });
    eventually("the delayed notification", || !fixture.path("slow/known").exists());
}

#[test]
fn what_may_not_be_kept_is_asked_again() {
    let Some(fixture) = Fixture::new() else { return };
    let memory = &fixture.memory;
    let file = memory.add(ROOT, "f", New::file("1")).unwrap();
    memory.set_cacheable(file, false).unwrap();
    memory.set_cacheable(ROOT, false).unwrap();
    for _ in 0..3 {
        let before = memory.calls();
        fs::metadata(fixture.path("f")).unwrap();
        assert!(!fixture.path("absent").exists());
        let cost = memory.calls().since(&before);
        assert!(cost.lookup >= 2 && cost.getattr >= 1, "{cost:?}");
    }
}
