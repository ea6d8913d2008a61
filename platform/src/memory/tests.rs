use super::*;
use crate::{Event, Fate, Kind};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A future that must be ready at its first poll.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("an answer from memory was not ready at its first poll"),
    }
}

fn look(memory: &Memory, parent: Handle, name: &str) -> Entry {
    now(memory.lookup(parent, name)).unwrap().expect(name)
}

#[test]
fn each_position_of_a_directory_has_its_own_handle_and_files_share_one() {
    let memory = Memory::new();
    let a = memory.add(ROOT, "a", New::Directory).unwrap();
    let b = memory.add(ROOT, "b", New::Directory).unwrap();
    let object = memory.add(a, "x", New::Directory).unwrap();
    memory.link(b, "y", object).unwrap();
    memory.add(object, "f", New::file("1")).unwrap();
    let (a, b) = (look(&memory, memory.root(), "a"), look(&memory, memory.root(), "b"));
    let (x, y) = (look(&memory, a.handle, "x"), look(&memory, b.handle, "y"));
    assert_eq!((x.inode, y.inode), (object, object));
    assert_eq!(x.handle, Handle(object.0));
    assert_ne!(x.handle, y.handle);
    assert_eq!(memory.parent(y.handle).unwrap(), (b.handle, b.inode));
    assert_eq!(look(&memory, x.handle, "f").handle, look(&memory, y.handle, "f").handle);
}

#[test]
fn a_file_changed_while_open_is_superseded_and_its_reader_keeps_the_old_bytes() {
    let memory = Memory::new();
    let inode = memory.add(ROOT, "f", New::file("old")).unwrap();
    let changes = memory.changes();
    let before = look(&memory, memory.root(), "f");
    let open = now(memory.open(before.handle)).unwrap();
    memory.set_content(inode, "newer").unwrap();
    let told = changes.try_recv().unwrap();
    let places = vec![(memory.root(), "f".to_owned())];
    let modified = Change::Event(Event::Modified { handle: before.handle, places });
    let content = Change::Content { handle: before.handle, open: true };
    let entry = Change::Entry { parent: memory.root(), name: "f".into(), fate: Fate::Replaced };
    assert_eq!(told, [modified, content, entry]);
    assert_eq!(memory.places(before.handle), [(memory.root(), "f".to_owned())]);
    let after = look(&memory, memory.root(), "f");
    assert_eq!(after.inode, before.inode);
    assert_ne!(after.handle, before.handle);
    assert_eq!(now(memory.read(open.id, 0, 100)).unwrap(), "old");
    assert_eq!(now(memory.getattr(before.handle)).unwrap().size, 3);
    assert_eq!(now(memory.open(before.handle)).unwrap_err(), Error::Stale);
    assert_eq!(now(memory.getattr(after.handle)).unwrap().size, 5);
    memory.release(open.id);
    assert_eq!(now(memory.getattr(before.handle)).unwrap().size, 3);
    memory.forget(before.handle, 1);
    memory.forget(after.handle, 1);
    assert_eq!(now(memory.getattr(before.handle)).unwrap_err(), Error::Stale);
    assert_eq!((memory.references(), memory.open_count()), (0, 0));
}

#[test]
fn a_file_changed_while_closed_keeps_its_handle_and_loses_its_pages() {
    let memory = Memory::new();
    let inode = memory.add(ROOT, "f", New::file("old")).unwrap();
    let handle = look(&memory, memory.root(), "f").handle;
    let open = || now(memory.open(handle)).unwrap();
    let first = open();
    memory.release(first.id);
    let second = open();
    memory.release(second.id);
    assert_eq!((first.keep_cache, second.keep_cache), (false, true));
    let changes = memory.changes();
    memory.set_content(inode, "new").unwrap();
    let places = vec![(memory.root(), "f".to_owned())];
    let modified = Change::Event(Event::Modified { handle, places });
    let content = Change::Content { handle, open: false };
    assert_eq!(changes.try_recv().unwrap(), [modified, content]);
    assert_eq!((open().keep_cache, open().keep_cache), (false, true));
}

#[test]
fn a_volatile_file_advances_its_open_snapshot_at_getattr() {
    let memory = Memory::new();
    let inode = memory.add(ROOT, "log", New::volatile("one\n")).unwrap();
    let handle = look(&memory, memory.root(), "log").handle;
    let open = now(memory.open(handle)).unwrap();
    assert!(open.direct);
    let changes = memory.changes();
    memory.append(inode, b"two\n").unwrap();
    let told: Vec<Change> = changes.try_iter().flatten().collect();
    let places = vec![(memory.root(), "log".to_owned())];
    let modified = Change::Event(Event::Modified { handle, places });
    assert_eq!(told, [modified], "nobody keeps anything of it");
    assert_eq!(now(memory.read(open.id, 0, 100)).unwrap(), "one\n");
    assert_eq!(now(memory.getattr(handle)).unwrap().size, 8);
    assert_eq!(now(memory.read(open.id, 0, 100)).unwrap(), "one\ntwo\n");
}

#[test]
fn a_rename_keeps_the_inode_and_the_handle() {
    let memory = Memory::new();
    let a = memory.add(ROOT, "a", New::Directory).unwrap();
    memory.add(a, "f", New::file("1")).unwrap();
    let before = look(&memory, memory.root(), "a");
    memory.rename(ROOT, "a", ROOT, "b").unwrap();
    assert_eq!(now(memory.lookup(memory.root(), "a")).unwrap(), None);
    let after = look(&memory, memory.root(), "b");
    assert_eq!((after.inode, after.handle), (before.inode, before.handle));
    assert_eq!(look(&memory, before.handle, "f").kind, Kind::File);
    assert_eq!(memory.rename(ROOT, "b", a, "c").unwrap_err(), Error::Invalid);
}

#[test]
fn a_removed_directory_ends_all_below_it_and_says_so() {
    let memory = Memory::new();
    let a = memory.add(ROOT, "a", New::Directory).unwrap();
    memory.add(a, "f", New::file("1")).unwrap();
    let handle = look(&memory, memory.root(), "a").handle;
    let file = look(&memory, handle, "f").handle;
    let changes = memory.changes();
    memory.remove(ROOT, "a").unwrap();
    let told = changes.try_recv().unwrap();
    let entry =
        Change::Entry { parent: memory.root(), name: "a".into(), fate: Fate::Removed(handle) };
    assert!(told.contains(&entry), "{told:?}");
    assert!(told.contains(&Change::Content { handle: memory.root(), open: false }), "{told:?}");
    assert_eq!(now(memory.getattr(handle)).unwrap_err(), Error::Stale);
    assert_eq!(now(memory.getattr(file)).unwrap_err(), Error::Stale);
}

#[test]
fn an_entry_keeps_its_cookie_while_others_come_and_go() {
    let memory = Memory::new();
    for name in ["a", "b", "c"] {
        memory.add(ROOT, name, New::file("")).unwrap();
    }
    let cookie_of_c = || {
        let open = now(memory.opendir(memory.root())).unwrap();
        let page = now(memory.readdir(open.id, 0, 10, false)).unwrap();
        memory.release(open.id);
        page.entries.iter().find(|entry| entry.name == "c").unwrap().cookie
    };
    let before = cookie_of_c();
    memory.remove(ROOT, "a").unwrap();
    memory.add(ROOT, "d", New::file("")).unwrap();
    assert_eq!(cookie_of_c(), before);
    memory.remove(ROOT, "c").unwrap();
    memory.add(ROOT, "c", New::file("")).unwrap();
    assert_eq!(cookie_of_c(), before);
}

#[test]
fn a_listing_is_kept_only_while_the_entry_set_stands() {
    let memory = Memory::new();
    let open = || now(memory.opendir(memory.root())).unwrap();
    let first = open();
    assert_eq!((first.keep_cache, open().keep_cache), (false, true));
    memory.add(ROOT, "a", New::file("")).unwrap();
    assert!(now(memory.readdir(first.id, 0, 10, true)).unwrap().entries.is_empty());
    assert_eq!((open().keep_cache, open().keep_cache), (false, true));
}

#[test]
fn hidden_sizes_errors_and_uncacheable_answers_are_as_asked_for() {
    let memory = Memory::new();
    let file = memory.add(ROOT, "f", New::file("12345")).unwrap();
    memory.hide_size(file).unwrap();
    let entry = look(&memory, memory.root(), "f");
    assert_eq!(entry.attr, None);
    assert_eq!(now(memory.getattr(entry.handle)).unwrap().size, 5);
    assert!(look(&memory, memory.root(), "f").attr.is_some());
    memory.set_error(file, Some(Error::RateLimited)).unwrap();
    assert_eq!(now(memory.open(entry.handle)).unwrap_err(), Error::RateLimited);
    memory.set_cacheable(ROOT, false).unwrap();
    assert_eq!(now(memory.lookup(memory.root(), "none")).unwrap_err(), Error::NotFound);
    assert!(!look(&memory, memory.root(), "f").cacheable);
}
