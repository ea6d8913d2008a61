//! The core with more to hold than there is room for: what a walk asks, and what back ends are to give
//! back. No mount and no sandbox here.

use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::provider;
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::{Change, Error, Handle, Vfs};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, UNIX_EPOCH};

struct Core {
    runtime: Arc<Runtime>,
    upstream: Arc<Memory>,
    top: Handle,
}

/// A core with room for so many nodes.
async fn core(nodes: usize) -> Core {
    let upstream = Memory::new(Style::default());
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let (handle, capacity) =
        (tokio::runtime::Handle::current(), Capacity { nodes, bytes: 64 << 20 });
    let runtime = Runtime::new(Router::new(vec![instance]), capacity, epoch, handle);
    let top = runtime.lookup(runtime.root(), "m").await.expect("lookup").expect("there").handle;
    runtime.up("m", SCOPE);
    Core { runtime, upstream, top }
}

impl Core {
    async fn lookup(&self, parent: Handle, name: &str) -> Handle {
        let found = self.runtime.lookup(parent, name).await;
        found.expect("lookup").unwrap_or_else(|| panic!("{name} is not there")).handle
    }

    /// The names in a directory, in the order of readdir.
    async fn names(&self, directory: Handle) -> Vec<String> {
        let open = self.runtime.opendir(directory).await.expect("opendir");
        let page = self.runtime.readdir(open.id, 0, usize::MAX, false).await.expect("readdir");
        self.runtime.release(open.id);
        page.entries.into_iter().map(|entry| entry.name).collect()
    }

    async fn cat(&self, directory: Handle, name: &str) -> String {
        let file = self.lookup(directory, name).await;
        let open = self.runtime.open(file).await.expect("open");
        let bytes = self.runtime.read(open.id, 0, 4096).await.expect("read");
        self.runtime.release(open.id);
        self.runtime.forget(file, 1);
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    /// Reads every file in these directories, as `grep -r` does, and forgets all of it.
    async fn walk(&self, top: Handle, directories: &[String]) -> usize {
        let mut files = 0;
        for name in directories {
            let directory = self.lookup(top, name).await;
            for file in self.names(directory).await {
                assert_eq!(self.cat(directory, &file).await, format!("{file} of {name}"));
                files += 1;
            }
            self.runtime.forget(directory, 1);
        }
        files
    }
}

const DIRECTORIES: usize = 1_000;
const FILES: usize = 4;

/// A directory `all` of 1,000 directories of 4 files each, whose listing brings them along, and room for
/// half of that.
async fn twice_the_room() -> (Core, Handle) {
    let core = core((DIRECTORIES * FILES / 2) * 33 / 32 + DIRECTORIES + 40).await;
    core.upstream.preload();
    core.upstream.directory(ROOT, "all", "all");
    for d in 0..DIRECTORIES {
        let directory = format!("d{d:04}");
        core.upstream.directory("all", &directory, &directory);
        for f in 0..FILES {
            let (name, id) = (format!("f{f}"), format!("{directory}/f{f}"));
            let content = format!("{name} of {directory}");
            core.upstream.part(&directory, &name, &id, &directory, content.as_bytes());
        }
    }
    let all = core.lookup(core.top, "all").await;
    (core, all)
}

#[tokio::test]
async fn a_walk_over_twice_the_room_asks_for_the_listing_again_and_not_for_each_directory() {
    let (core, all) = twice_the_room().await;
    for round in 0..4 {
        let before = core.upstream.calls();
        let names = core.names(all).await;
        assert_eq!(core.walk(all, &names).await, DIRECTORIES * FILES);
        let calls = core.upstream.calls() - before;
        // Eight directories by themselves, each with its files, for each time that it is listed.
        assert!(calls <= 3 * (8 * (1 + FILES as u64) + 1), "{calls} calls in round {round}");
    }
}

#[tokio::test]
async fn the_order_of_a_walk_is_found_out_and_a_few_odd_ones_list_nothing() {
    let (core, all) = twice_the_room().await;
    let mut names = core.names(all).await;
    names.sort();
    let before = core.upstream.calls();
    assert_eq!(core.walk(all, &names).await, DIRECTORIES * FILES);
    let calls = core.upstream.calls() - before;
    assert!(calls < DIRECTORIES as u64 / 2, "{calls} calls by name");
    // Back and forth: whoever does not walk gets what he asks for.
    let odd: Vec<_> = (0..100).map(|n| names[n * 617 % DIRECTORIES].clone()).collect();
    let before = core.upstream.calls();
    assert_eq!(core.walk(all, &odd).await, 100 * FILES);
    let calls = core.upstream.calls() - before;
    assert!(calls <= 100 * (1 + FILES as u64) + 2, "{calls} calls for a hundred directories");
}

#[tokio::test]
async fn an_event_during_a_walk_over_twice_the_room_shows() {
    let (core, all) = twice_the_room().await;
    let names = core.names(all).await;
    core.walk(all, &names[..DIRECTORIES / 2]).await;
    for name in [&names[3], &names[DIRECTORIES - 3]] {
        let changes = core.upstream.set(&format!("{name}/f1"), b"something else");
        core.runtime.apply("m", &changes);
        let directory = core.lookup(all, name).await;
        assert_eq!(core.cat(directory, "f1").await, "something else");
        assert_eq!(core.cat(directory, "f2").await, format!("f2 of {name}"));
    }
}

/// What back ends are asked to give back.
fn asked_back(changes: &Receiver<Vec<Change>>) -> Vec<(Handle, Vec<(Handle, String)>)> {
    let unneeded = changes.try_iter().flatten().filter_map(|change| match change {
        Change::Unneeded { handle, places } => Some((handle, places)),
        _ => None,
    });
    unneeded.collect()
}

#[tokio::test]
async fn what_a_back_end_holds_beyond_the_room_is_asked_back_the_oldest_first() {
    const ROOM: usize = 100;
    let core = core(ROOM).await;
    for n in 0..500 {
        core.upstream.file(ROOT, &format!("f{n:03}"), &format!("id{n}"), b"content");
    }
    core.upstream.directory(ROOT, "d", "d");
    core.upstream.file("d", "inside", "inside", b"content");
    let changes = core.runtime.changes();
    let held = || core.runtime.statfs().nodes as usize;
    // Needed: what has names below it that are held, and what is open.
    let directory = core.lookup(core.top, "d").await;
    let inside = core.lookup(directory, "inside").await;
    let file = core.lookup(core.top, "f000").await;
    let open = core.runtime.open(file).await.expect("open");
    let (mut given_back, mut files) = (Vec::new(), Vec::new());
    for n in 1..=250 {
        core.lookup(core.top, &format!("f{n:03}")).await;
        for (handle, places) in asked_back(&changes) {
            assert!(![core.top, file].contains(&handle));
            if handle == directory {
                // Only once nothing is left below it.
                assert!(given_back.contains(&inside) && places.is_empty());
            } else if handle != inside {
                let name = format!("f{:03}", files.len() + 1);
                assert_eq!(places, [(core.top, name)]);
                files.push(handle);
            }
            given_back.push(handle);
            core.runtime.forget(handle, 1);
        }
        // The root, the instance, what is needed.
        assert!(held() <= ROOM, "{} handles are held", held());
    }
    assert_eq!(given_back.first(), Some(&inside));
    assert_eq!(held(), ROOM);
    assert_eq!(core.runtime.read(open.id, 0, 100).await.expect("read"), "content");
    assert_eq!(core.runtime.getattr(files[0]).await, Err(Error::Stale), "given back");
    assert_eq!(core.cat(core.top, "f001").await, "content");
}

#[tokio::test]
async fn what_is_not_given_back_is_asked_for_no_more_often_than_something_comes() {
    const ROOM: usize = 100;
    let core = core(ROOM).await;
    for n in 0..1_000 {
        core.upstream.file(ROOT, &format!("f{n:03}"), &format!("id{n}"), b"content");
    }
    let changes = core.runtime.changes();
    for n in 0..1_000 {
        core.lookup(core.top, &format!("f{n:03}")).await;
    }
    // A back end that has all of it in use: each is asked for once, and one of them again as one more comes.
    let asked = asked_back(&changes).len();
    assert!((900..=2_000).contains(&asked), "{asked} asked for");
}

#[tokio::test]
async fn a_removal_is_told_to_who_keeps_a_listing_of_it_and_to_nobody_else() {
    let core = core(100_000).await;
    core.runtime.silence_opens();
    for d in 0..200 {
        let directory = format!("d{d:03}");
        core.upstream.directory(ROOT, &directory, &directory);
        core.upstream.file(&directory, "f", &format!("{directory}/f"), b"content");
    }
    // One object in two directories.
    core.upstream.file("d007", "same", "d003/f", b"content");
    let mut handles = Vec::new();
    for d in 0..200 {
        let directory = core.lookup(core.top, &format!("d{d:03}")).await;
        core.names(directory).await;
        handles.push(directory);
    }
    let changes = core.runtime.changes();
    core.runtime.apply("m", &[provider::Change::Removed("d003/f".into())]);
    let mut told: Vec<_> = changes
        .try_iter()
        .flatten()
        .filter_map(|change| match change {
            Change::Content { handle, .. } => Some(handle),
            _ => None,
        })
        .collect();
    told.sort();
    let mut expected = vec![handles[3], handles[7]];
    expected.sort();
    assert_eq!(told, expected);
}
