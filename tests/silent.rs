//! The core under a Linux kernel, for which a handle has one size, and which most often opens files and
//! directories without a word: then it has one content. Driven through the Vfs trait against a service in memory, as in `core.rs`.

use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::{Change, Entry, Error, Fate, Handle, Vfs};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

struct Core {
    runtime: Arc<Runtime>,
    upstream: Arc<Memory>,
    top: Handle,
}

impl Core {
    async fn live() -> Core {
        let core = Core::new(Style::default()).await;
        core.runtime.up("m", SCOPE);
        core
    }

    /// One that opens files without a word.
    async fn new(style: Style) -> Core {
        Core::with(style, Capacity::default()).await
    }

    async fn with(style: Style, capacity: Capacity) -> Core {
        let upstream = Memory::new(style);
        let instance =
            Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
        let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let router = Router::new(vec![instance]);
        let tokio = tokio::runtime::Handle::current();
        let runtime = Runtime::new(router, capacity, epoch, tokio);
        runtime.silence_opens();
        let top = runtime.lookup(runtime.root(), "m").await.expect("lookup").expect("it shows");
        Core { runtime, upstream, top: top.handle }
    }

    async fn lookup(&self, name: &str) -> Result<Entry, Error> {
        self.runtime.lookup(self.top, name).await?.ok_or(Error::NotFound)
    }

    /// What a back end reads by a handle that a kernel has opened by itself.
    async fn read(&self, handle: Handle) -> Result<Vec<u8>, Error> {
        let open = self.runtime.open(handle).await?;
        let bytes = self.runtime.read(open.id, 0, 1 << 20).await?;
        assert_eq!(open.size, bytes.len() as u64);
        self.runtime.release(open.id);
        Ok(bytes.to_vec())
    }

    fn apply(&self, changes: Vec<omnifs::provider::Change>) {
        self.runtime.apply("m", &changes);
    }
}

#[tokio::test]
async fn who_has_begun_to_read_goes_on_with_that_and_the_name_gets_another_handle() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"before");
    let old = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(old.handle).await.expect("read"), b"before");
    let changes = core.runtime.changes();
    core.apply(core.upstream.set("id-a", b"after, longer"));
    let told: Vec<Change> = changes.try_iter().flatten().collect();
    let (parent, name) = (core.top, "a".to_owned());
    assert!(told.contains(&Change::Entry { parent, name, fate: Fate::Replaced }), "{told:?}");
    let kept = Change::Content { handle: old.handle, open: true };
    assert!(told.contains(&kept), "its pages stay: {told:?}");
    let new = core.lookup("a").await.expect("lookup");
    assert_ne!(new.handle, old.handle);
    assert_eq!(new.inode, old.inode);
    assert_eq!(core.read(new.handle).await.expect("read"), b"after, longer");
    assert_eq!(core.read(old.handle).await.expect("read on"), b"before");
    assert_eq!(core.runtime.getattr(old.handle).await.expect("fstat").size, 6);
}

#[tokio::test]
async fn what_changes_between_a_lookup_and_an_open_is_looked_up_again_and_never_cut() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"before");
    let old = core.lookup("a").await.expect("lookup");
    assert_eq!(core.runtime.getattr(old.handle).await.expect("stat").size, 6);
    core.apply(core.upstream.set("id-a", b"after, longer"));
    // A kernel would read 6 bytes of it by this handle.
    assert_eq!(core.runtime.open(old.handle).await.expect_err("another content"), Error::Stale);
    let new = core.lookup("a").await.expect("lookup");
    assert_ne!(new.handle, old.handle);
    assert_eq!(new.inode, old.inode);
    assert_eq!(core.read(new.handle).await.expect("read"), b"after, longer");
    // Without an event, as where a feed is lost, too.
    core.runtime.lost("m", SCOPE, "a test");
    core.upstream.set("id-a", b"once more, longer still");
    assert_eq!(core.read(new.handle).await.expect("what it has"), b"after, longer");
    let newest = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(newest.handle).await.expect("read"), b"once more, longer still");
}

#[tokio::test]
async fn what_was_opened_and_not_read_before_it_changed_shows_the_content_that_was_at_hand() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"before");
    let warm = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(warm.handle).await.expect("read"), b"before");
    core.runtime.forget(warm.handle, 1);
    // By another handle than the one that was read.
    let open = core.lookup("a").await.expect("lookup");
    core.apply(core.upstream.set("id-a", b"after"));
    assert_eq!(core.read(open.handle).await.expect("read"), b"before");
    let open = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(open.handle).await.expect("read"), b"after");
    core.apply(core.upstream.delete("id-a"));
    assert_eq!(core.lookup("a").await.expect_err("by name"), Error::NotFound);
    assert_eq!(core.read(open.handle).await.expect("deleted"), b"after");
    core.runtime.forget(open.handle, 1);
    assert_eq!(core.read(open.handle).await.expect_err("given back"), Error::Stale);
}

#[tokio::test]
async fn nothing_is_served_half_old_and_half_new() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"before");
    let old = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(old.handle).await.expect("read"), b"before");
    // What is not at hand any more is asked for, and is another content by now.
    core.runtime.lost("m", SCOPE, "a test");
    core.upstream.set("id-a", b"after");
    core.runtime.refresh("m").await.expect("refresh");
    let new = core.lookup("a").await.expect("lookup");
    assert_ne!(new.handle, old.handle);
    assert_eq!(core.read(new.handle).await.expect("read"), b"after");
    match core.read(old.handle).await {
        Ok(bytes) => assert_eq!(bytes, b"before"),
        Err(error) => assert_eq!(error, Error::Stale),
    }
}

#[tokio::test]
async fn without_a_feed_a_handle_is_shown_again_only_where_its_content_is_proven() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"one");
    let first = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(first.handle).await.expect("read"), b"one");
    assert_eq!(core.lookup("a").await.expect("lookup").handle, first.handle);
    core.runtime.lost("m", SCOPE, "a test");
    let second = core.lookup("a").await.expect("lookup");
    assert!(!second.cacheable, "the next use asks");
    assert_eq!(core.read(second.handle).await.expect("read"), b"one");
    core.upstream.set("id-a", b"two");
    let third = core.lookup("a").await.expect("lookup");
    assert_ne!(third.handle, second.handle, "its pages may be another content's");
    assert_eq!(core.read(third.handle).await.expect("read"), b"two");
    assert_eq!(core.read(second.handle).await.expect("read on"), b"one");
}

#[tokio::test]
async fn a_volatile_file_gets_a_handle_for_each_reader_and_asks_once_for_each() {
    let core = Core::live().await;
    core.upstream.volatile(ROOT, "log", "id-log", b"one\n");
    let first = core.lookup("log").await.expect("lookup");
    assert!(!first.cacheable, "every reader comes by a lookup");
    let calls = core.upstream.calls();
    assert_eq!(core.runtime.getattr(first.handle).await.expect("fstat").size, 4);
    assert_eq!(core.read(first.handle).await.expect("read"), b"one\n");
    assert_eq!(core.upstream.calls(), calls + 1, "the stat and the open are one use");
    core.upstream.set("id-log", b"one\ntwo\n");
    let second = core.lookup("log").await.expect("lookup");
    assert_ne!(second.handle, first.handle);
    assert_eq!(core.read(second.handle).await.expect("read"), b"one\ntwo\n");
}

#[tokio::test]
async fn who_follows_a_file_gets_its_last_lines_and_its_end() {
    let core = Core::live().await;
    core.upstream.volatile(ROOT, "log", "id-log", b"one\n");
    let log = core.lookup("log").await.expect("lookup");
    let open = core.runtime.open(log.handle).await.expect("open");
    assert_eq!(core.runtime.read(open.id, 0, 64).await.expect("read"), &b"one\n"[..]);
    core.upstream.set("id-log", b"one\ntwo\n");
    // It has ended with that, so it is a file like others from now on.
    core.apply(core.upstream.settle("id-log"));
    // The first one is the fstat that goes with the open.
    core.runtime.getattr(log.handle).await.expect("fstat");
    let grown = core.runtime.getattr(log.handle).await.expect("fstat");
    assert_eq!((grown.size, grown.cacheable), (8, false));
    assert_eq!(core.runtime.read(open.id, 4, 64).await.expect("read"), &b"two\n"[..]);
    core.apply(core.upstream.delete("id-log"));
    assert_eq!(core.runtime.getattr(log.handle).await.expect("fstat").size, 8);
}

#[tokio::test]
async fn a_refresh_and_an_event_leave_what_was_opened_as_it_was() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"before");
    let first = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(first.handle).await.expect("read"), b"before");
    core.runtime.forget(first.handle, 1);
    // Opened without a word, and not read before all is asked for anew.
    let opened = core.lookup("a").await.expect("lookup");
    let told = core.runtime.getattr(opened.handle).await.expect("fstat").modified;
    core.runtime.refresh("m").await.expect("refresh");
    core.apply(core.upstream.set("id-a", b"after!"));
    assert_eq!(core.read(opened.handle).await.expect("read"), b"before");
    assert_eq!(core.runtime.getattr(opened.handle).await.expect("fstat").modified, told);
}

#[tokio::test]
async fn what_is_put_aside_in_doubt_stays_within_what_the_cache_may_hold() {
    let capacity = Capacity { bytes: 1000, ..Capacity::default() };
    let core = Core::with(Style::default(), capacity).await;
    core.runtime.up("m", SCOPE);
    let mut handles = Vec::new();
    // Each read takes the place of the one before in the cache.
    for name in ["a", "b", "c"] {
        core.upstream.file(ROOT, name, name, &[b'x'; 600]);
        let entry = core.lookup(name).await.expect("lookup");
        assert_eq!(core.read(entry.handle).await.expect("read").len(), 600);
        core.apply(vec![omnifs::provider::Change::Gap(SCOPE.into())]);
        core.upstream.set(name, &[b'y'; 600]);
        handles.push(entry.handle);
    }
    assert_eq!(core.read(handles[0]).await.expect("at hand"), [b'x'; 600]);
    assert_eq!(core.read(handles[1]).await.err(), Some(Error::Stale), "there was no room");
}

#[tokio::test]
async fn a_directory_keeps_its_attributes_only_while_what_was_listed_of_it_stands() {
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "id-d");
    core.upstream.file("id-d", "f", "id-f", b"text");
    let list = async |handle| {
        let open = core.runtime.opendir(handle).await.expect("opendir");
        let page = core.runtime.readdir(open.id, 0, 9, false).await.expect("readdir");
        core.runtime.release(open.id);
        page.entries.len()
    };
    let d = core.lookup("d").await.expect("lookup");
    assert_eq!(list(d.handle).await, 1);
    let kept = core.runtime.getattr(d.handle).await.expect("getattr");
    assert!(kept.cacheable, "the kernel lists it again by itself");
    let changes = core.runtime.changes();
    core.apply(core.upstream.file("id-d", "g", "id-g", b"more"));
    let told: Vec<Change> = changes.try_iter().flatten().collect();
    assert!(told.contains(&Change::Content { handle: d.handle, open: false }), "{told:?}");
    let moved = core.runtime.getattr(d.handle).await.expect("getattr");
    assert!(moved.modified > kept.modified, "what is listed meanwhile is told apart by the time");
    assert_eq!(list(d.handle).await, 2);
    core.runtime.lost("m", SCOPE, "a test");
    assert!(!core.runtime.getattr(d.handle).await.expect("getattr").cacheable);
    // Back again, and the listing is from before.
    core.runtime.up("m", SCOPE);
    core.lookup("d").await.expect("lookup");
    assert!(!core.runtime.getattr(d.handle).await.expect("getattr").cacheable);
    assert_eq!(list(d.handle).await, 2);
    assert!(core.runtime.getattr(d.handle).await.expect("getattr").cacheable);
    let top = core.runtime.getattr(core.top).await.expect("getattr");
    assert!(!top.cacheable, "the root of an instance is listed anew each time");
}

#[tokio::test]
async fn what_only_grew_grows_under_those_who_have_it_open() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"one\n");
    let old = core.lookup("a").await.expect("lookup");
    let open = core.runtime.open(old.handle).await.expect("open");
    let read = async |from| {
        let bytes = core.runtime.read(open.id, from, 1 << 20).await.expect("read");
        String::from_utf8(bytes.to_vec()).expect("text")
    };
    assert_eq!(read(0).await, "one\n");
    core.apply(core.upstream.set("id-a", b"one\ntwo\n"));
    let attr = core.runtime.getattr(old.handle).await.expect("fstat");
    assert_eq!((attr.size, attr.cacheable), (8, false));
    assert_eq!(read(4).await, "two\n");
    core.apply(core.upstream.set("id-a", b"one\ntwo\nthree\n"));
    assert_eq!(core.runtime.getattr(old.handle).await.expect("fstat").size, 14);
    assert_eq!(read(8).await, "three\n");
    // Nothing is asked for where nothing has changed.
    let calls = core.upstream.calls();
    assert_eq!(core.runtime.getattr(old.handle).await.expect("fstat").size, 14);
    assert_eq!(core.upstream.calls(), calls);
    // What is replaced is no growth, and neither is what is shorter.
    for other in [&b"ONE\ntwo\nthree\nfour\n"[..], b"one\n"] {
        core.apply(core.upstream.set("id-a", other));
        assert_eq!(core.runtime.getattr(old.handle).await.expect("fstat").size, 14);
        assert_eq!(read(0).await, "one\ntwo\nthree\n");
    }
    let new = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(new.handle).await.expect("by name"), b"one\n");
    core.runtime.release(open.id);
}

#[tokio::test]
async fn a_content_that_somebody_goes_on_with_from_before_a_restart_gets_no_other_in_its_place() {
    let core = Core::with(Style::default(), Capacity { nodes: 4, bytes: 1 << 20 }).await;
    core.runtime.up("m", SCOPE);
    core.upstream.file(ROOT, "a", "id-a", b"first.");
    let warm = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(warm.handle).await.expect("read"), b"first.");
    core.runtime.forget(warm.handle, 1);
    // Whoever had it open in the process before is led to this, since it is what he has read of.
    let held = core.lookup("a").await.expect("lookup");
    assert!(core.runtime.edition(held.handle).is_some());
    for number in 0..50 {
        let name = format!("b{number}");
        core.upstream.file(ROOT, &name, &format!("id-{name}"), b"other");
        let other = core.lookup(&name).await.expect("lookup");
        assert_eq!(core.read(other.handle).await.expect("read"), b"other");
        core.runtime.forget(other.handle, 1);
    }
    core.apply(core.upstream.set("id-a", b"second"));
    let now = core.lookup("a").await.expect("lookup");
    assert_eq!(core.read(now.handle).await.expect("read"), b"second");
    match core.read(held.handle).await {
        Ok(bytes) => assert_eq!(bytes, b"first."),
        Err(error) => assert_eq!(error, Error::Stale),
    }
}
