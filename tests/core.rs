//! The core, driven through the Vfs trait against a service in memory: what is asked, what is kept,
//! and what an event does to it. No mount and no sandbox here.

use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::provider::{Cause, Provider};
use omnifs::replaceable::Replaceable;
use omnifs::router::{Instance, Router};
use omnifs::runtime::{Runtime, Seams};
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::{Change, Entry, Error, Fate, Handle, Vfs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Semaphore;

struct Core {
    runtime: Arc<Runtime>,
    upstream: Arc<Memory>,
    top: Handle,
}

async fn core(style: Style, capacity: Capacity) -> Core {
    let upstream = Memory::new(style);
    core_of(upstream.clone(), upstream, capacity).await
}

/// Of a provider in front of the service.
async fn core_behind(provider: Arc<dyn Provider>, upstream: Arc<Memory>) -> Core {
    core_of(provider, upstream, Capacity::default()).await
}

async fn core_of(provider: Arc<dyn Provider>, upstream: Arc<Memory>, capacity: Capacity) -> Core {
    core_with(provider, upstream, capacity, Seams::default()).await
}

async fn core_with(
    provider: Arc<dyn Provider>,
    upstream: Arc<Memory>,
    capacity: Capacity,
    seams: Seams,
) -> Core {
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(provider) };
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let handle = tokio::runtime::Handle::current();
    let router = Router::new(vec![instance]);
    let runtime = Runtime::with_seams(router, capacity, epoch, handle, seams);
    let top = runtime
        .lookup(runtime.root(), "m")
        .await
        .expect("lookup")
        .expect("the instance shows")
        .handle;
    Core { runtime, upstream, top }
}

impl Core {
    async fn live() -> Core {
        let core = core(Style::default(), Capacity::default()).await;
        core.runtime.up("m", SCOPE);
        core
    }

    async fn lookup(&self, name: &str) -> Result<Entry, Error> {
        self.runtime.lookup(self.top, name).await?.ok_or(Error::NotFound)
    }

    async fn cat(&self, name: &str) -> Result<Vec<u8>, Error> {
        for _ in 0..3 {
            let handle = self.lookup(name).await?.handle;
            match self.runtime.open(handle).await {
                // The kernel retries a stale open with a fresh lookup.
                Err(Error::Stale) => continue,
                Err(error) => return Err(error),
                Ok(open) => {
                    let bytes = self.runtime.read(open.id, 0, 1 << 20).await?;
                    assert_eq!(open.size, bytes.len() as u64);
                    self.runtime.release(open.id);
                    self.runtime.forget(handle, 1);
                    return Ok(bytes.to_vec());
                }
            }
        }
        Err(Error::Stale)
    }

    async fn names(&self, handle: Handle) -> Vec<String> {
        let open = self.runtime.opendir(handle).await.expect("opendir");
        let mut names = Vec::new();
        let mut cookie = 0;
        loop {
            let page = self.runtime.readdir(open.id, cookie, 7, true).await.expect("readdir");
            let Some(last) = page.entries.last() else { break };
            cookie = last.cookie;
            for entry in page.entries {
                if let Some(shown) = entry.entry {
                    self.runtime.forget(shown.handle, 1);
                }
                names.push(entry.name);
            }
        }
        self.runtime.release(open.id);
        names.sort();
        names
    }

    fn apply(&self, changes: Vec<omnifs::provider::Change>) {
        self.runtime.apply("m", &changes);
    }
}

#[tokio::test]
async fn in_a_live_scope_what_was_asked_once_is_never_asked_again() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"hello");
    assert_eq!(core.cat("a").await.expect("cat"), b"hello");
    let calls = core.upstream.calls();
    assert_eq!(calls, 2, "one lookup and one read");
    for _ in 0..10 {
        assert_eq!(core.cat("a").await.expect("cat"), b"hello");
        assert_eq!(core.lookup("none").await.expect_err("absent"), Error::NotFound);
    }
    assert_eq!(core.upstream.calls(), calls + 1, "the absent name is asked for once");
}

#[tokio::test]
async fn a_walk_asks_the_one_provider_that_it_concerns() {
    let (near, far) = (Memory::new(Style::default()), Memory::new(Style::default()));
    for upstream in [&near, &far] {
        upstream.directory(ROOT, "d", "id-d");
        upstream.file("id-d", "f", "id-f", b"hello");
    }
    let instance = |name: &str, provider: &Arc<Memory>| Instance {
        name: name.into(),
        root: ROOT.into(),
        provider: Ok(provider.clone()),
    };
    let router = Router::new(vec![instance("near", &near), instance("far", &far)]);
    let handle = tokio::runtime::Handle::current();
    let runtime = Runtime::new(router, Capacity::default(), UNIX_EPOCH, handle);
    let root = runtime.opendir(runtime.root()).await.expect("opendir");
    let page = runtime.readdir(root.id, 0, 10, true).await.expect("readdir");
    assert_eq!(page.entries.len(), 2);
    assert_eq!((near.calls(), far.calls()), (0, 0), "the mount's root asks nobody");
    let mut at = runtime.root();
    for name in ["near", "d", "f"] {
        at = runtime.lookup(at, name).await.expect("lookup").expect("there").handle;
    }
    let open = runtime.open(at).await.expect("open");
    assert_eq!(runtime.read(open.id, 0, 100).await.expect("read"), "hello");
    assert!(near.calls() > 0);
    assert_eq!(far.calls(), 0, "its twin was never asked");
}

#[tokio::test]
async fn without_a_feed_every_use_asks_again() {
    let core = core(Style::default(), Capacity::default()).await;
    core.upstream.file(ROOT, "a", "id-a", b"one");
    assert_eq!(core.cat("a").await.expect("cat"), b"one");
    core.upstream.set("id-a", b"two!");
    assert_eq!(core.cat("a").await.expect("cat"), b"two!");
}

#[tokio::test]
async fn an_event_makes_the_next_read_ask_and_only_that() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"one");
    core.upstream.file(ROOT, "b", "id-b", b"other");
    core.cat("a").await.expect("cat");
    core.cat("b").await.expect("cat");
    let calls = core.upstream.calls();
    core.apply(core.upstream.set("id-a", b"changed"));
    assert_eq!(core.cat("a").await.expect("cat"), b"changed");
    assert_eq!(core.cat("b").await.expect("cat"), b"other");
    assert_eq!(core.upstream.calls(), calls + 2);
}

#[tokio::test]
async fn sixty_four_readers_of_a_cold_file_make_one_call_for_each_operation() {
    let core = Arc::new(Core::live().await);
    core.upstream.file(ROOT, "a", "id-a", b"shared");
    let gate = Arc::new(Semaphore::new(0));
    core.upstream.hold(Some(gate.clone()));
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let core = core.clone();
            tokio::spawn(async move { core.cat("a").await })
        })
        .collect();
    gate.add_permits(1000);
    for reader in readers {
        assert_eq!(reader.await.expect("join").expect("cat"), b"shared");
    }
    assert_eq!(core.upstream.calls(), 2);
}

/// One of them may look into memory before the other's call lands, and want to join it afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_lands_between_a_look_into_memory_and_the_call_is_not_asked_for_again() {
    const FILES: usize = 3_000;
    let core = Arc::new(Core::live().await);
    for n in 0..FILES {
        core.upstream.file(ROOT, &format!("f{n}"), &format!("id-{n}"), b"once");
    }
    let mut readers = Vec::new();
    for reader in 0..4 {
        let core = core.clone();
        readers.push(tokio::spawn(async move {
            for n in 0..FILES {
                assert_eq!(core.cat(&format!("f{n}")).await.expect("cat"), b"once", "{reader}");
            }
        }));
    }
    for reader in readers {
        reader.await.expect("join");
    }
    assert_eq!(core.upstream.calls(), 2 * FILES as u64);
}

#[tokio::test]
async fn an_answer_that_an_event_overtook_is_not_kept() {
    let core = Arc::new(Core::live().await);
    core.upstream.file(ROOT, "a", "id-a", b"old");
    core.lookup("a").await.expect("lookup");
    let gate = Arc::new(Semaphore::new(0));
    core.upstream.hold(Some(gate.clone()));
    let before = core.upstream.calls();
    let slow = tokio::spawn({
        let core = core.clone();
        async move { core.cat("a").await }
    });
    while core.upstream.calls() == before {
        tokio::task::yield_now().await;
    }
    // The old content is on its way; the event arrives first.
    core.upstream.hold(None);
    core.apply(core.upstream.set("id-a", b"new"));
    let fresh = core.cat("a").await.expect("a reader after the event");
    assert_eq!(fresh, b"new", "it may not share the call that began before the event");
    gate.add_permits(100);
    slow.await.expect("join").expect("the first reader is served");
    assert_eq!(core.cat("a").await.expect("cat"), b"new");
}

#[tokio::test]
async fn an_object_in_two_directories_is_asked_for_once_after_its_event() {
    let core = Core::live().await;
    let mut directories = Vec::new();
    for id in ["open", "all"] {
        core.upstream.directory(ROOT, id, id);
        core.upstream.file(id, "a", "id-a", b"one");
        let handle = core.lookup(id).await.expect("lookup").handle;
        assert_eq!(core.names(handle).await, ["a"]);
        directories.push(handle);
    }
    core.apply(core.upstream.set("id-a", b"changed"));
    let calls = core.upstream.calls();
    let mut handles = Vec::new();
    for directory in directories {
        let found = core.runtime.lookup(directory, "a").await.expect("lookup").expect("is there");
        assert_eq!(found.attr.map(|attr| attr.size), Some(7));
        handles.push(found.handle);
    }
    assert_eq!(core.upstream.calls(), calls + 1);
    assert_eq!(handles[0], handles[1]);
}

#[tokio::test]
async fn a_listing_follows_its_events() {
    let core = Core::live().await;
    for n in 0..30 {
        core.upstream.file(ROOT, &format!("f{n:02}"), &format!("id{n}"), b"x");
    }
    assert_eq!(core.names(core.top).await.len(), 30);
    core.apply(core.upstream.file(ROOT, "new", "id-new", b"x"));
    assert!(core.names(core.top).await.contains(&"new".to_owned()));
    core.apply(core.upstream.unlink(ROOT, "f00"));
    assert!(!core.names(core.top).await.contains(&"f00".to_owned()));
    assert_eq!(core.lookup("f00").await.expect_err("gone"), Error::NotFound);
}

#[tokio::test]
async fn a_listing_takes_back_what_it_contradicts_without_an_event() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"x");
    core.upstream.file(ROOT, "b", "id-b", b"x");
    assert!(core.lookup("a").await.expect("lookup").cacheable);
    assert!(core.lookup("b").await.expect("lookup").cacheable);
    assert!(core.runtime.lookup(core.top, "new").await.expect("lookup").is_none());
    core.upstream.unlink(ROOT, "a");
    core.upstream.file(ROOT, "a", "id-other", b"x");
    core.upstream.file(ROOT, "new", "id-new", b"x");
    let changes = core.runtime.changes();
    assert_eq!(core.names(core.top).await.len(), 3);
    let told: Vec<Change> = changes.try_iter().flatten().collect();
    let doubtful = |name: &str| {
        let (parent, name) = (core.top, name.to_owned());
        told.contains(&Change::Entry { parent, name, fate: Fate::Doubtful })
    };
    assert!(doubtful("a") && doubtful("new") && !doubtful("b"), "{told:?}");
}

#[tokio::test]
async fn an_open_file_keeps_its_snapshot_and_the_name_gets_a_new_handle_with_the_same_inode() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"before");
    let old = core.lookup("a").await.expect("lookup");
    let open = core.runtime.open(old.handle).await.expect("open");
    core.apply(core.upstream.set("id-a", b"after, longer"));
    assert_eq!(&core.runtime.read(open.id, 0, 99).await.expect("read")[..], b"before");
    assert_eq!(core.runtime.getattr(old.handle).await.expect("fstat").size, 6);
    assert_eq!(core.runtime.open(old.handle).await.expect_err("by the old handle"), Error::Stale);
    let new = core.lookup("a").await.expect("lookup");
    assert_ne!(new.handle, old.handle);
    assert_eq!(new.inode, old.inode);
    assert_eq!(core.cat("a").await.expect("cat"), b"after, longer");
    core.runtime.release(open.id);
}

#[tokio::test]
async fn a_deleted_object_is_stale_by_handle_absent_by_name_and_whole_to_those_who_have_it_open() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"last words");
    let entry = core.lookup("a").await.expect("lookup");
    let open = core.runtime.open(entry.handle).await.expect("open");
    let changes = core.runtime.changes();
    core.apply(core.upstream.delete("id-a"));
    let told: Vec<Change> = changes.try_iter().flatten().collect();
    assert!(
        told.contains(&Change::Entry {
            parent: core.top,
            name: "a".into(),
            fate: Fate::Removed(entry.handle)
        }),
        "{told:?}"
    );
    assert_eq!(core.lookup("a").await.expect_err("by name"), Error::NotFound);
    assert_eq!(core.runtime.open(entry.handle).await.expect_err("by handle"), Error::Stale);
    assert_eq!(&core.runtime.read(open.id, 0, 99).await.expect("read")[..], b"last words");
    core.runtime.release(open.id);
    assert_eq!(core.runtime.getattr(entry.handle).await.expect_err("closed"), Error::Stale);
}

#[tokio::test]
async fn a_lost_feed_makes_cached_nodes_suspect_and_a_proven_resume_makes_them_live_again() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"same");
    core.cat("a").await.expect("cat");
    let calls = core.upstream.calls();
    core.runtime.lost("m", SCOPE, "cut");
    core.cat("a").await.expect("cat");
    let revalidated = core.upstream.calls();
    assert_eq!(revalidated, calls + 1, "one lookup; an equal version keeps the content");
    core.runtime.up("m", SCOPE);
    core.cat("a").await.expect("cat");
    assert_eq!(core.upstream.calls(), revalidated + 1, "suspect until it is asked for again");
    core.cat("a").await.expect("cat");
    assert_eq!(core.upstream.calls(), revalidated + 1, "and live after that");
    core.runtime.lost("m", SCOPE, "cut");
    core.runtime.up("m", SCOPE);
    core.runtime.resumed("m", SCOPE);
    core.cat("a").await.expect("cat");
    assert_eq!(core.upstream.calls(), revalidated + 1, "nothing was missed");
}

#[tokio::test]
async fn the_cache_stays_within_its_capacity_and_every_file_is_still_right() {
    let capacity = Capacity { nodes: 100, bytes: 1 << 20 };
    let core = core(Style::default(), capacity).await;
    core.runtime.up("m", SCOPE);
    for n in 0..2000 {
        let (name, id) = (format!("f{n}"), format!("id{n}"));
        core.upstream.file(ROOT, &name, &id, format!("content {n}").as_bytes());
    }
    for round in 0..2 {
        for n in 0..2000 {
            let content = core.cat(&format!("f{n}")).await.expect("cat");
            assert_eq!(content, format!("content {n}").as_bytes(), "round {round}");
            let held = core.runtime.snapshot().held;
            assert!(held.nodes <= 100 && held.bytes <= 1 << 20, "{held:?}");
        }
    }
    assert_eq!(core.names(core.top).await.len(), 2000);
    assert!(core.runtime.snapshot().handles <= 2, "the root and the instance are left");
}

#[tokio::test]
async fn failures_are_never_not_found_and_never_kept() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"x");
    let table = [
        (Cause::Denied, Error::Denied),
        (Cause::RateLimited, Error::RateLimited),
        (Cause::Unavailable, Error::Unavailable),
        (Cause::TimedOut, Error::TimedOut),
        (Cause::TooLarge, Error::TooLarge),
        (Cause::Invalid, Error::Invalid),
        (Cause::Trap, Error::Invalid),
        (Cause::Limit, Error::Invalid),
    ];
    for (cause, error) in table {
        core.upstream.fail(Some(cause));
        assert_eq!(core.lookup("a").await.expect_err("fails"), error);
        let failures = core.runtime.snapshot().failures;
        assert_eq!(failures[0].path, "m/a");
        assert_eq!(failures[0].failure.cause, cause);
    }
    core.upstream.fail(None);
    assert_eq!(core.cat("a").await.expect("recovers by itself"), b"x");
}

/// What desktop crawlers and shell prompts look for in every directory.
const CRAWLED: [&str; 5] = [".git", ".DS_Store", "._a", "DCIM", "Thumbs.db"];

#[tokio::test]
async fn a_name_that_crawlers_try_is_found_where_it_is() {
    for live in [true, false] {
        let core = core(Style::default(), Capacity::default()).await;
        if live {
            core.runtime.up("m", SCOPE);
        }
        core.upstream.directory(ROOT, "d", "id-d");
        let directory = core.lookup("d").await.expect("d").handle;
        for (at, name) in CRAWLED.into_iter().enumerate() {
            core.upstream.file("id-d", name, &format!("id-{at}"), b"here");
            let found = core.runtime.lookup(directory, name).await;
            assert!(matches!(found, Ok(Some(_))), "{name}, live: {live}: {found:?}");
        }
    }
}

#[tokio::test]
async fn crawlers_cost_one_question_for_each_name_and_none_after_a_listing() {
    let core = Core::live().await;
    for directory in ["id-d", "id-e"] {
        core.upstream.directory(ROOT, directory, directory);
        core.upstream.file(directory, "a", &format!("{directory}/a"), b"x");
    }
    let d = core.lookup("id-d").await.expect("d").handle;
    let e = core.lookup("id-e").await.expect("e").handle;
    core.names(e).await;
    let before = core.upstream.calls();
    for _ in 0..3 {
        for name in CRAWLED {
            for directory in [d, e] {
                let found = core.runtime.lookup(directory, name).await;
                assert!(matches!(found, Ok(None) | Err(Error::NotFound)), "{name}: {found:?}");
            }
        }
    }
    assert_eq!(core.upstream.calls() - before, CRAWLED.len() as u64);
}

#[tokio::test]
async fn a_listing_that_fails_is_never_an_empty_directory_and_has_a_line_in_status() {
    let causes = [
        (Cause::NotFound, Error::Stale),
        (Cause::Denied, Error::Denied),
        (Cause::RateLimited, Error::RateLimited),
        (Cause::Unavailable, Error::Unavailable),
        (Cause::TimedOut, Error::TimedOut),
        (Cause::TooLarge, Error::TooLarge),
        (Cause::Invalid, Error::Invalid),
        (Cause::Trap, Error::Invalid),
        (Cause::Limit, Error::Invalid),
    ];
    for (cause, expected) in causes {
        for silent in [false, true] {
            let core = Core::live().await;
            if silent {
                core.runtime.silence_opens();
            }
            core.upstream.directory(ROOT, "d", "id-d");
            core.upstream.file("id-d", "a", "id-a", b"x");
            let directory = core.lookup("d").await.expect("d").handle;
            assert_eq!(core.names(directory).await, ["a"]);
            core.apply(vec![omnifs::provider::Change::ChildrenChanged("id-d".into())]);
            core.upstream.fail_inside("id-d", Some(cause));
            for _ in 0..2 {
                let failed = core.runtime.opendir(directory).await.expect_err("fails");
                assert_eq!(Error::from(failed), expected, "{cause:?}");
            }
            let failures = core.runtime.snapshot().failures;
            assert_eq!((&*failures[0].path, failures[0].failure.cause), ("m/d", cause));
            core.upstream.fail_inside("id-d", None);
            assert_eq!(core.names(directory).await, ["a"], "{cause:?}");
        }
    }
}

/// Root's kernel keeps the name of a directory that it has opened without a word.
#[tokio::test]
async fn a_directory_that_is_shown_and_not_there_is_looked_up_again() {
    let core = Core::live().await;
    core.runtime.silence_opens();
    core.upstream.directory(ROOT, "d", "id-d");
    let directory = core.lookup("d").await.expect("d").handle;
    let told = core.runtime.changes();
    core.upstream.fail_inside("id-d", Some(Cause::NotFound));
    core.runtime.opendir(directory).await.expect_err("not there");
    let doubted = told.try_iter().flatten().any(|change| {
        matches!(change, Change::Entry { parent, name, .. } if parent == core.top && name == "d")
    });
    assert!(doubted);
}

#[tokio::test]
async fn a_file_that_is_shown_and_has_no_content_has_a_line_in_status() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"x");
    core.upstream.fail_inside("id-a", Some(Cause::NotFound));
    assert_eq!(core.cat("a").await.expect_err("no content"), Error::Stale);
    let failures = core.runtime.snapshot().failures;
    assert_eq!((&*failures[0].path, failures[0].failure.cause), ("m/a", Cause::NotFound));
}

#[tokio::test]
async fn an_event_is_counted_once_and_for_its_own_scope() {
    let core = Core::live().await;
    core.runtime.up("m", "elsewhere");
    core.upstream.file(ROOT, "a", "id-a", b"x");
    core.lookup("a").await.expect("a");
    core.apply(vec![omnifs::provider::Change::Invalidated("id-a".into())]);
    let snapshot = core.runtime.snapshot();
    let events = |scope: &str| {
        snapshot.scopes.iter().find(|(_, s)| &*s.scope == scope).map(|(_, s)| s.events)
    };
    assert_eq!((snapshot.events, events(SCOPE), events("elsewhere")), (1, Some(1), Some(0)));
}

#[tokio::test]
async fn a_symlink_out_of_the_provider_is_shown_as_a_file_that_holds_the_target() {
    use omnifs_platform::Kind;
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "d");
    core.upstream.symlink("d", "inside", "l1", "../a");
    core.upstream.symlink("d", "outside", "l2", "../../docker");
    core.upstream.symlink("d", "absolute", "l3", "/etc/passwd");
    core.upstream.symlink("d", "sneaky", "l4", "x/../../../m/a");
    let d = core.lookup("d").await.expect("lookup").handle;
    for (name, kind) in [
        ("inside", Kind::Symlink),
        ("outside", Kind::File),
        ("absolute", Kind::File),
        ("sneaky", Kind::File),
    ] {
        let entry = core.runtime.lookup(d, name).await.expect("lookup").expect("there");
        assert_eq!(entry.kind, kind, "{name}");
        assert_eq!(core.runtime.getattr(entry.handle).await.expect("getattr").kind, kind, "{name}");
    }
}

#[tokio::test]
async fn a_call_whose_caller_stops_waiting_leaks_no_reference() {
    let core = Core::live().await;
    core.upstream.symlink(ROOT, "link", "link", "a");
    core.upstream.directory(ROOT, "d", "d");
    let before = core.runtime.snapshot().handles;
    // A link is held while its target is read, and so is each directory on the way of a refresh.
    let (lookup, refresh) = (core.lookup("link"), core.runtime.refresh("m/d/absent"));
    let calls: [std::pin::Pin<Box<dyn Future<Output = bool>>>; 2] =
        [Box::pin(async { lookup.await.is_ok() }), Box::pin(async { refresh.await.is_ok() })];
    for call in calls {
        let asked = core.upstream.calls();
        let gate = Arc::new(Semaphore::new(1));
        core.upstream.hold(Some(gate));
        tokio::select! {
            ended = call => panic!("{ended}: its second answer is held back"),
            () = async {
                while core.upstream.calls() < asked + 2 {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        core.upstream.hold(None);
        assert_eq!(core.runtime.snapshot().handles, before);
    }
}

#[tokio::test]
async fn a_volatile_file_is_read_again_at_every_open_and_grows_while_it_is_open() {
    let core = Core::live().await;
    core.upstream.volatile(ROOT, "log", "log", b"one\n");
    let entry = core.lookup("log").await.expect("lookup");
    let open = core.runtime.open(entry.handle).await.expect("open");
    assert!(open.direct);
    assert_eq!(core.runtime.getattr(entry.handle).await.expect("fstat").size, 4);
    assert_eq!(core.upstream.calls(), 2, "the stat after an open is free");
    core.upstream.set("log", b"one\ntwo\n");
    assert_eq!(core.runtime.getattr(entry.handle).await.expect("fstat").size, 8);
    assert_eq!(&core.runtime.read(open.id, 4, 99).await.expect("read")[..], b"two\n");
    core.upstream.set("log", b"one\ntwo\nthree\n");
    assert_eq!(&core.runtime.read(open.id, 8, 99).await.expect("read")[..], b"", "the end");
    assert_eq!(&core.runtime.read(open.id, 8, 99).await.expect("read")[..], b"three\n");
    assert_eq!(core.cat("log").await.expect("cat"), b"one\ntwo\nthree\n");
}

/// A tree with the files `a`, `b` and the volatile `log`, of which a read of `a` brings the others.
async fn core_with_company() -> Core {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"one");
    core.upstream.file(ROOT, "b", "id-b", b"other");
    core.upstream.volatile(ROOT, "log", "log", b"begun\n");
    core.upstream.brings("id-a", "id-b");
    core.upstream.brings("id-a", "log");
    core
}

#[tokio::test]
async fn a_content_that_came_along_is_not_asked_for() {
    let core = core_with_company().await;
    core.names(core.top).await;
    assert_eq!(core.cat("a").await.expect("cat"), b"one");
    let calls = core.upstream.calls();
    assert_eq!(core.cat("b").await.expect("cat"), b"other");
    assert_eq!(core.upstream.calls(), calls);
    // An event about it, and it is asked for like any other.
    core.apply(core.upstream.set("id-b", b"changed"));
    assert_eq!(core.cat("b").await.expect("cat"), b"changed");
    core.upstream.set("log", b"begun\nmore\n");
    assert_eq!(core.cat("log").await.expect("cat"), b"begun\nmore\n", "a volatile one is not kept");
}

#[tokio::test]
async fn a_content_that_came_along_is_not_kept_where_it_may_be_old() {
    // Overtaken by an event about the file it is of.
    let core = core_with_company().await;
    core.names(core.top).await;
    let gate = Arc::new(Semaphore::new(0));
    core.upstream.hold(Some(gate.clone()));
    let (read, ()) = tokio::join!(core.cat("a"), async {
        while core.upstream.calls() < 2 {
            tokio::task::yield_now().await;
        }
        core.apply(core.upstream.set("id-b", b"changed"));
        core.upstream.hold(None);
        gate.add_permits(99);
    });
    assert_eq!(read.expect("cat"), b"one");
    assert_eq!(core.cat("b").await.expect("cat"), b"changed");

    // Without a feed nothing would tell that the file has changed since.
    let core = core_with_company().await;
    core.names(core.top).await;
    core.runtime.lost("m", SCOPE, "cut");
    core.cat("a").await.expect("cat");
    core.upstream.set("id-b", b"changed");
    assert_eq!(core.cat("b").await.expect("cat"), b"changed");
}

#[tokio::test]
async fn an_open_that_an_event_overtakes_does_not_take_the_handle_of_who_came_after_the_event() {
    // Process A opens `a`, and its content is on its way when `a` changes. Process B is told of that, looks
    // `a` up and is about to ask for its size: it may not be shown that of what A has asked for.
    let style = Style { sizes: false, inline: false, ..Style::default() };
    let core = core(style, Capacity::default()).await;
    core.runtime.up("m", SCOPE);
    core.upstream.file(ROOT, "a", "id-a", b"one");
    let handle = core.lookup("a").await.expect("lookup").handle;
    let (calls, gate) = (core.upstream.calls(), Arc::new(Semaphore::new(0)));
    core.upstream.hold(Some(gate.clone()));
    let (opened, found) = tokio::join!(core.runtime.open(handle), async {
        while core.upstream.calls() == calls {
            tokio::task::yield_now().await;
        }
        core.apply(core.upstream.set("id-a", b"changed"));
        core.upstream.hold(None);
        let found = core.lookup("a").await.expect("lookup");
        gate.add_permits(99);
        found
    });
    let attr = core.runtime.getattr(found.handle).await.expect("getattr");
    assert_eq!(attr.size, 7);
    let opened = opened.expect("open");
    assert_eq!(&core.runtime.read(opened.id, 0, 99).await.expect("read")[..], b"changed");
}

#[tokio::test]
async fn each_open_of_a_volatile_file_in_a_covered_directory_is_one_call() {
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "d");
    core.upstream.volatile("d", "log", "log", b"one\n");
    let directory = core.lookup("d").await.expect("lookup").handle;
    let lookup = || async { core.runtime.lookup(directory, "log").await.expect("lookup") };
    let handle = lookup().await.expect("it is there").handle;
    let read = || async {
        let open = core.runtime.open(handle).await?;
        core.runtime.read(open.id, 0, 99).await
    };
    let found = core.upstream.calls();
    for _ in 0..3 {
        assert_eq!(lookup().await.expect("it is there").handle, handle);
    }
    assert_eq!(core.upstream.calls(), found, "its name is known");
    assert_eq!(&read().await.expect("read")[..], b"one\n");
    for content in [&b"one\ntwo\n"[..], b"one\ntwo\nthree\n"] {
        core.upstream.set("log", content);
        let calls = core.upstream.calls();
        assert_eq!(&read().await.expect("read")[..], content);
        assert_eq!(core.upstream.calls(), calls + 1, "the content, and not its name");
    }
    // An event on the file or its directory, and without a feed: the name is asked for as well.
    let more = core.upstream.set("log", b"four\n");
    for event in [more, vec![omnifs::provider::Change::ChildrenChanged("d".into())]] {
        core.apply(event);
        let calls = core.upstream.calls();
        assert_eq!(&read().await.expect("read")[..], b"four\n");
        assert_eq!(core.upstream.calls(), calls + 2);
    }
    core.runtime.lost("m", SCOPE, "cut");
    let calls = core.upstream.calls();
    read().await.expect("read");
    assert!(core.upstream.calls() >= calls + 2);
    // One that is gone, of which no event has come yet.
    core.runtime.up("m", SCOPE);
    read().await.expect("read");
    core.upstream.delete("log");
    assert_eq!(read().await.expect_err("gone"), Error::Stale);
}

#[tokio::test]
async fn a_tree_is_at_most_sixty_four_levels_deep() {
    let core = Core::live().await;
    let mut parent = ROOT.to_owned();
    for n in 0..70 {
        let id = format!("level{n}");
        core.upstream.directory(&parent, "d", &id);
        parent = id;
    }
    let mut handle = core.top;
    // The instance's own directory is the first level.
    for level in 2..=64 {
        let entry = core.runtime.lookup(handle, "d").await.expect("lookup");
        handle = entry.unwrap_or_else(|| panic!("level {level} is missing")).handle;
    }
    assert_eq!(core.runtime.lookup(handle, "d").await.expect_err("too deep"), Error::Invalid);
    assert_eq!(core.runtime.snapshot().failures[0].failure.cause, Cause::Limit);
}

#[tokio::test]
async fn without_a_version_an_equal_size_proves_nothing_after_a_lost_feed() {
    let core =
        core(Style { versions: false, modified: false, ..Style::default() }, Capacity::default())
            .await;
    core.runtime.up("m", SCOPE);
    core.upstream.file(ROOT, "a", "id-a", b"one");
    assert_eq!(core.cat("a").await.expect("cat"), b"one");
    core.runtime.lost("m", SCOPE, "cut");
    core.upstream.set("id-a", b"two");
    core.runtime.up("m", SCOPE);
    assert_eq!(core.cat("a").await.expect("cat"), b"two");
}

/// What is asked about, and what comes while it is.
#[derive(Clone, Copy, Debug)]
struct Late {
    directory: bool,
    sizes: bool,
    deleted: bool,
}

impl Late {
    const EACH: [Late; 6] = [
        Late { directory: false, sizes: true, deleted: false },
        Late { directory: false, sizes: true, deleted: true },
        Late { directory: false, sizes: false, deleted: false },
        Late { directory: false, sizes: false, deleted: true },
        Late { directory: true, sizes: true, deleted: false },
        Late { directory: true, sizes: true, deleted: true },
    ];

    /// Asks for the attributes of an object that was changed in silence and shows nowhere any more, and has
    /// it change once more with an event when the core takes its lock for the `nth` time after it was asked
    /// for. Whether the event came before the answer, and whether the time was that of before the silence.
    async fn is_told_an_old_time(self, nth: usize) -> (bool, bool) {
        let style = Style { versions: false, sizes: self.sizes, ..Style::default() };
        let upstream = Memory::new(style);
        upstream.directory(ROOT, "d", "d");
        let runtime: Arc<OnceLock<Weak<Runtime>>> = Arc::default();
        let asked = Arc::new(AtomicUsize::new(usize::MAX));
        let locks = Arc::new(AtomicUsize::new(0));
        let between = {
            let (runtime, asked, locks) = (runtime.clone(), asked.clone(), locks.clone());
            let upstream = upstream.clone();
            Box::new(move || {
                if upstream.calls() as usize >= asked.load(Ordering::SeqCst)
                    && locks.fetch_add(1, Ordering::SeqCst) == nth
                    && let Some(runtime) = runtime.get().and_then(Weak::upgrade)
                {
                    let event = match self.deleted {
                        true => upstream.delete("id-a"),
                        false => upstream.set("id-a", b"one"),
                    };
                    runtime.apply("m", &event);
                }
            })
        };
        let seams = Seams { between: Some(between), ..Seams::default() };
        let core = core_with(upstream.clone(), upstream.clone(), Capacity::default(), seams).await;
        let _ = runtime.set(Arc::downgrade(&core.runtime));
        core.runtime.up("m", SCOPE);
        match self.directory {
            true => upstream.directory("d", "a", "id-a"),
            false => upstream.file("d", "a", "id-a", b"one"),
        };
        let parent = core.lookup("d").await.expect("lookup").handle;
        let found = core.runtime.lookup(parent, "a").await.expect("lookup").expect("it is there");
        match self.directory {
            true => assert_eq!(core.names(found.handle).await, [""; 0]),
            false => {
                let open = core.runtime.open(found.handle).await.expect("open");
                core.runtime.release(open.id);
            }
        }
        let before = upstream.modified("id-a").expect("it is there");
        core.runtime.lost("m", SCOPE, "cut");
        upstream.set("id-a", b"one");
        upstream.unlink("d", "a");
        core.runtime.up("m", SCOPE);
        // The name, its directory's entries, and then the object itself.
        asked.store(upstream.calls() as usize + 3, Ordering::SeqCst);
        let attr = core.runtime.getattr(found.handle).await;
        let old = match attr {
            Ok(attr) => attr.modified == before,
            Err(Error::Stale) if self.deleted => false,
            Err(error) => panic!("{self:?} {nth}: {error:?}"),
        };
        (locks.load(Ordering::SeqCst) > nth, old)
    }
}

#[tokio::test]
async fn that_a_content_is_the_same_proves_no_time_whenever_an_event_comes() {
    for late in Late::EACH {
        let mut nth = 0;
        loop {
            let (came, old) = late.is_told_an_old_time(nth).await;
            assert!(!old, "{late:?}: the time of before the silence, with an event at lock {nth}");
            if !came {
                break;
            }
            nth += 1;
        }
        assert!(nth > 2, "{late:?}: it was not asked for by itself: {nth}");
    }
}

#[tokio::test]
async fn what_was_asked_for_before_a_loss_revalidates_nothing_after_it() {
    let core = Arc::new(Core::live().await);
    core.upstream.file(ROOT, "a", "id-a", b"old");
    let gate = Arc::new(Semaphore::new(0));
    core.upstream.hold(Some(gate.clone()));
    let early = tokio::spawn({
        let core = core.clone();
        async move { core.lookup("a").await }
    });
    while core.upstream.calls() == 0 {
        tokio::task::yield_now().await;
    }
    core.upstream.hold(None);
    core.upstream.set("id-a", b"new and longer");
    core.runtime.lost("m", SCOPE, "cut");
    gate.add_permits(10);
    let entry = early.await.expect("join").expect("who asked before is served");
    assert!(!entry.cacheable);
    assert_eq!(core.cat("a").await.expect("cat"), b"new and longer");
}

#[tokio::test]
async fn a_resume_vouches_for_no_outage_before_the_last() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "a", "id-a", b"one");
    core.cat("a").await.expect("cat");
    core.runtime.lost("m", SCOPE, "cut");
    core.upstream.set("id-a", b"changed while nobody listened");
    core.runtime.up("m", SCOPE);
    core.runtime.lost("m", SCOPE, "cut again");
    core.runtime.up("m", SCOPE);
    core.runtime.resumed("m", SCOPE);
    assert_eq!(core.cat("a").await.expect("cat"), b"changed while nobody listened");
}

#[tokio::test]
async fn a_removed_object_leaves_the_listings_before_its_directories_are_named() {
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "d");
    core.upstream.file("d", "a", "id-a", b"x");
    core.upstream.file("d", "b", "id-b", b"x");
    let d = core.lookup("d").await.expect("lookup").handle;
    assert_eq!(core.names(d).await, ["a", "b"]);
    let calls = core.upstream.calls();
    core.names(d).await;
    assert_eq!(core.upstream.calls(), calls, "nothing has happened");
    let removed = core.upstream.delete("id-a").remove(0);
    core.apply(vec![removed]);
    assert_eq!(core.names(d).await, ["b"]);
}

#[tokio::test]
async fn what_left_a_deleted_directory_is_still_reached_by_its_handle() {
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "d");
    core.upstream.file("d", "a", "id-a", b"kept");
    let d = core.lookup("d").await.expect("lookup").handle;
    let a = core.runtime.lookup(d, "a").await.expect("lookup").expect("there").handle;
    let mut changes = core.upstream.unlink("d", "a");
    changes.extend(core.upstream.delete("d"));
    changes.push(omnifs::provider::Change::Invalidated("id-a".into()));
    core.apply(changes);
    let open = core.runtime.open(a).await.expect("the object lives on");
    assert_eq!(&core.runtime.read(open.id, 0, 9).await.expect("read")[..], b"kept");
    core.runtime.release(open.id);
}

#[tokio::test]
async fn the_attributes_of_what_is_deleted_or_left_to_its_holders_are_taken_back() {
    let core = Core::live().await;
    core.upstream.file(ROOT, "gone", "id-g", b"x");
    core.upstream.file(ROOT, "held", "id-h", b"y");
    let gone = core.lookup("gone").await.expect("lookup").handle;
    let held = core.lookup("held").await.expect("lookup").handle;
    let open = core.runtime.open(held).await.expect("open");
    let changes = core.runtime.changes();
    core.apply(core.upstream.delete("id-g"));
    core.apply(core.upstream.set("id-h", b"longer"));
    let told: Vec<Change> = changes.try_iter().flatten().collect();
    assert!(told.contains(&Change::Content { handle: gone, open: false }), "{told:?}");
    assert!(told.contains(&Change::Content { handle: held, open: true }), "{told:?}");
    core.runtime.release(open.id);
}

#[tokio::test]
async fn an_unreachable_service_fails_unless_stale_content_was_asked_for() {
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "d");
    core.upstream.file("d", "a", "id-a", b"kept");
    core.upstream.file("d", "b", "id-b", b"old");
    let d = core.lookup("d").await.expect("lookup").handle;
    core.names(d).await;
    let cat = async |name: &str| {
        let d = core.lookup("d").await?.handle;
        let entry = core.runtime.lookup(d, name).await?.ok_or(Error::NotFound)?;
        let open = core.runtime.open(entry.handle).await?;
        let bytes = core.runtime.read(open.id, 0, 99).await?;
        core.runtime.release(open.id);
        core.runtime.forget(entry.handle, 1);
        Ok::<_, Error>(bytes)
    };
    for name in ["a", "b"] {
        cat(name).await.expect("cat");
    }
    // An event is believed, whether the service can be reached or not.
    core.apply(core.upstream.set("id-b", b"new"));
    core.runtime.lost("m", SCOPE, "cut");
    core.upstream.fail(Some(Cause::Unavailable));
    assert_eq!(cat("a").await.expect_err("off by default"), Error::Unavailable);
    assert_eq!(core.runtime.snapshot().stale_served, 0);
    core.runtime.set_stale_if_error(true);
    assert_eq!(&cat("a").await.expect("stale")[..], b"kept");
    assert_eq!(&cat("a").await.expect("and again")[..], b"kept");
    assert_eq!(core.names(d).await, ["a", "b"]);
    let entry = core.runtime.lookup(d, "a").await.expect("lookup").expect("there");
    assert!(!entry.cacheable, "no kernel may keep it");
    let served = core.runtime.snapshot().stale_served;
    assert!(served >= 4, "{served}");
    assert_eq!(cat("b").await.expect_err("an event has named it"), Error::Unavailable);
    for (cause, error) in [
        (Cause::Denied, Error::Denied),
        (Cause::RateLimited, Error::RateLimited),
        (Cause::NotFound, Error::NotFound),
    ] {
        core.upstream.fail(Some(cause));
        assert_eq!(cat("a").await.expect_err("the service has answered"), error);
    }
    core.upstream.fail(None);
    core.upstream.set("id-a", b"newer");
    assert_eq!(&cat("a").await.expect("reachable again")[..], b"newer");
}

/// A service that takes the next call, keeps it waiting and then does not answer it.
fn sticks(core: &Core, time: Duration) {
    let gate = Arc::new(Semaphore::new(0));
    core.upstream.fail(Some(Cause::TimedOut));
    core.upstream.hold(Some(gate.clone()));
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        gate.add_permits(1);
    });
}

#[tokio::test]
async fn a_question_put_again_at_once_does_not_wait_for_a_stuck_service_twice() {
    let time = Duration::from_millis(1100);
    let core = Core::live().await;
    core.upstream.directory(ROOT, "d", "id-d");
    core.upstream.file(ROOT, "a", "id-a", b"hello");
    let file = core.lookup("a").await.expect("a").handle;
    let directory = core.lookup("d").await.expect("d").handle;
    let ask = async |what: &str| match what {
        "lookup" => core.lookup("other").await.map(drop),
        "open" => core.runtime.open(file).await.map(drop),
        _ => core.runtime.opendir(directory).await.map(drop).map_err(Error::from),
    };
    for what in ["lookup", "open", "opendir"] {
        let calls = core.upstream.calls();
        sticks(&core, time);
        for _ in 0..3 {
            let asked = tokio::time::timeout(Duration::from_secs(60), ask(what)).await;
            let error = asked.expect("nobody waits for a second call").expect_err(what);
            assert_eq!(error, Error::TimedOut, "{what}");
        }
        assert_eq!(core.upstream.calls(), calls + 1, "{what}");
    }
    // It is no answer that is kept: an event, and a moment, have the service asked again.
    core.upstream.hold(None);
    core.upstream.fail(None);
    core.apply(vec![omnifs::provider::Change::ChildrenChanged(ROOT.into())]);
    assert_eq!(core.lookup("other").await.expect_err("absent"), Error::NotFound);
    let began = std::time::Instant::now();
    while let Err(error) = ask("open").await {
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_failure_that_comes_at_once_is_asked_about_again() {
    let core = Core::live().await;
    core.upstream.fail(Some(Cause::TimedOut));
    for asked in 1..=3 {
        assert_eq!(core.lookup("a").await.expect_err("fails"), Error::TimedOut);
        assert_eq!(core.upstream.calls(), asked);
    }
}

/// Whose one file has this content. The file has the same version in all of them, as where two components show
/// one state of an object each in its own way.
fn memory_of(content: &[u8]) -> Arc<Memory> {
    let upstream = Memory::new(Style::default());
    upstream.file(ROOT, "a", "id-a", content);
    upstream
}

#[tokio::test]
async fn a_call_ends_with_the_provider_it_began_with_and_its_answer_is_not_kept() {
    let (old, new) = (memory_of(b"old"), memory_of(b"new"));
    let front = Arc::new(Replaceable::new(old.clone()));
    let core = core_behind(front.clone(), old.clone()).await;
    core.runtime.up("m", SCOPE);
    let inode = core.lookup("a").await.expect("lookup").inode;
    let gate = Arc::new(Semaphore::new(0));
    old.hold(Some(gate.clone()));
    let begun = old.calls();
    let (before, after) = tokio::join!(core.cat("a"), async {
        while old.calls() == begun {
            tokio::task::yield_now().await;
        }
        front.replace(new.clone());
        core.runtime.renew("m").await.expect("the instance is there");
        // Who asks from now on waits for no answer of the old one.
        let after = core.cat("a").await;
        gate.add_permits(1);
        after
    });
    assert_eq!(after.expect("cat"), b"new");
    assert_eq!(before.expect("cat"), b"new", "what was overtaken is asked for again");
    let calls = (old.calls(), new.calls());
    assert_eq!(core.cat("a").await.expect("cat"), b"new");
    assert_eq!((old.calls(), new.calls()), calls, "what came late has taken nothing's place");
    assert_eq!(core.lookup("a").await.expect("lookup").inode, inode);
}

#[tokio::test]
async fn nothing_that_a_replaced_provider_has_said_is_served_without_asking() {
    let (old, new) = (memory_of(b"old"), memory_of(b"new"));
    for (upstream, name) in [(&old, "gone"), (&new, "come")] {
        upstream.directory(ROOT, "d", "id-d");
        upstream.file("id-d", name, name, b"x");
    }
    // Immutable as far as the old one is concerned.
    old.settle_for_good("id-a");
    let front = Arc::new(Replaceable::new(old.clone()));
    let core = core_behind(front.clone(), old.clone()).await;
    core.runtime.up("m", SCOPE);
    let open = core.runtime.open(core.lookup("a").await.expect("lookup").handle).await;
    let open = open.expect("open").id;
    assert_eq!(core.cat("a").await.expect("cat"), b"old");
    let directory = core.lookup("d").await.expect("lookup").handle;
    assert_eq!(core.names(directory).await, ["gone"]);
    assert_eq!(core.lookup("none").await.expect_err("absent"), Error::NotFound);
    new.file(ROOT, "none", "id-none", b"some");
    let calls = old.calls();
    front.replace(new.clone());
    core.runtime.renew("m").await.expect("the instance is there");
    assert_eq!(core.cat("a").await.expect("cat"), b"new");
    assert_eq!(core.cat("none").await.expect("cat"), b"some");
    assert_eq!(core.names(directory).await, ["come"]);
    assert_eq!(old.calls(), calls, "nobody asks it");
    let held = core.runtime.read(open, 0, 99).await.expect("read");
    assert_eq!(&held[..], b"old", "what was open stays as it was");
}

#[tokio::test]
async fn a_scope_that_the_next_provider_has_no_feed_for_is_asked_at_each_use() {
    let core = core(Style::default(), Capacity::default()).await;
    core.runtime.declared("m", vec![SCOPE.into()]);
    core.runtime.polled("m", SCOPE);
    core.upstream.file(ROOT, "a", "id-a", b"one");
    core.cat("a").await.expect("cat");
    let calls = core.upstream.calls();
    core.cat("a").await.expect("cat");
    assert_eq!(core.upstream.calls(), calls, "its poll vouches for it from the first fetch on");
    core.runtime.declared("m", vec!["elsewhere:".into()]);
    core.runtime.polled("m", "elsewhere:");
    core.upstream.set("id-a", b"in silence");
    for _ in 0..2 {
        let calls = core.upstream.calls();
        assert_eq!(core.cat("a").await.expect("cat"), b"in silence");
        assert_ne!(core.upstream.calls(), calls);
    }
}

#[tokio::test]
async fn what_a_replaced_provider_says_late_of_what_never_changes_is_not_kept() {
    let style = Style { inline: true, ..Style::default() };
    let [old, new] = [&b"old"[..], b"new"].map(|content| {
        let upstream = Memory::new(style);
        upstream.directory(ROOT, "d", "id-d");
        upstream.file("id-d", "f", "id-f", content);
        upstream.settle_for_good("id-f");
        upstream
    });
    let front = Arc::new(Replaceable::new(old.clone()));
    let core = core_behind(front.clone(), old.clone()).await;
    core.runtime.up("m", SCOPE);
    let directory = core.lookup("d").await.expect("lookup").handle;
    let gate = Arc::new(Semaphore::new(0));
    old.hold(Some(gate.clone()));
    let begun = old.calls();
    // A listing is on its way, and with it what nobody knows yet.
    let (_, ()) = tokio::join!(core.runtime.opendir(directory), async {
        while old.calls() == begun {
            tokio::task::yield_now().await;
        }
        front.replace(new.clone());
        core.runtime.renew("m").await.expect("the instance is there");
        gate.add_permits(9);
    });
    let found = core.runtime.lookup(directory, "f").await.expect("lookup").expect("it is there");
    let open = core.runtime.open(found.handle).await.expect("open").id;
    assert_eq!(&core.runtime.read(open, 0, 99).await.expect("read")[..], b"new");
}
