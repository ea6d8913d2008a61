//! Programs that read the files of a tree one after the other: what is wanted beside one of them, and when.

use futures_util::future::join_all;
use omnifs::cache::Capacity;
use omnifs::events::Ledger;
use omnifs::provider::Cause;
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::{Error, Handle, Vfs};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Semaphore;

struct Tree {
    runtime: Arc<Runtime>,
    upstream: Arc<Memory>,
    /// The directory `tree`: scoped, with what is below it immutable.
    top: Handle,
}

/// Names of the directories in the tree, and of the files in each.
const DIRECTORIES: [&str; 3] = ["doc", "src", "test"];
const FILES: [&str; 4] = ["a", "b", "c", "d"];

impl Tree {
    async fn new() -> Tree {
        Tree::with(Capacity::default(), &[]).await
    }

    /// With further files: their directories, names and sizes.
    async fn with(capacity: Capacity, further: &[(&str, &str, usize)]) -> Tree {
        let upstream = Memory::new(Style::default());
        upstream.directory(ROOT, "tree", "tree");
        for directory in DIRECTORIES {
            upstream.directory("tree", directory, directory);
            upstream.settle_for_good(directory);
            for name in FILES {
                let id = format!("{directory}/{name}");
                upstream.file(directory, name, &id, id.as_bytes());
                upstream.settle_for_good(&id);
            }
        }
        for (directory, name, size) in further {
            let id = format!("{directory}/{name}");
            upstream.file(directory, name, &id, &vec![b'x'; *size]);
            upstream.settle_for_good(&id);
        }
        let provider = Ok(upstream.clone() as _);
        let instance = Instance { name: "m".into(), root: ROOT.into(), provider };
        let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let handle = tokio::runtime::Handle::current();
        let runtime = Runtime::new(Router::new(vec![instance]), capacity, epoch, handle);
        runtime.up("m", SCOPE);
        let tree = Tree { top: runtime.root(), runtime, upstream };
        let top = tree.walk("m/tree").await.expect("lookup");
        // As a program does that walks.
        let tree = Tree { top, ..tree };
        for directory in ["", "doc", "src", "test"] {
            let handle = tree.walk(directory).await.expect("lookup");
            let open = tree.runtime.opendir(handle).await.expect("opendir");
            tree.runtime.readdir(open.id, 0, 100, true).await.expect("readdir");
            tree.runtime.release(open.id);
        }
        tree
    }

    async fn walk(&self, path: &str) -> Result<Handle, Error> {
        let mut at = self.top;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.runtime.lookup(at, name).await?.ok_or(Error::NotFound)?.handle;
        }
        Ok(at)
    }

    async fn cat(&self, path: &str) -> Result<Vec<u8>, Error> {
        let open = self.runtime.open(self.walk(path).await?).await?;
        let bytes = self.runtime.read(open.id, 0, 1 << 20).await?;
        self.runtime.release(open.id);
        Ok(bytes.to_vec())
    }

    /// Reads every file, in order.
    async fn grep(&self) {
        for directory in DIRECTORIES {
            for name in FILES {
                let path = format!("{directory}/{name}");
                assert_eq!(self.cat(&path).await.expect("cat"), path.as_bytes());
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_is_read_by_itself_is_asked_for_alone_and_the_next_one_brings_the_tree() {
    let tree = Tree::new().await;
    assert!(tree.upstream.walks(true).is_empty());
    let calls = tree.upstream.calls();
    assert_eq!(tree.cat("src/b").await.expect("cat"), b"src/b");
    assert!(tree.upstream.walks(true).is_empty(), "nothing else was wanted");
    assert_eq!(tree.cat("src/c").await.expect("cat"), b"src/c");
    let walks = tree.upstream.walks(true);
    assert_eq!(walks.len(), 1);
    assert_eq!(walks[0].directories, ["src".into(), "tree".into()]);
    let size = DIRECTORIES.iter().flat_map(|d| FILES.map(|f| d.len() + 1 + f.len())).sum::<usize>();
    assert_eq!(walks[0].size, Some(size as u64));
    let mut files: Vec<&str> = walks[0].files.iter().map(|id| &**id).collect();
    assert_eq!(files.len(), DIRECTORIES.len() * FILES.len() - 2);
    files[..2].sort();
    assert_eq!(files[..2], ["src/a", "src/d"], "what is nearest comes first");
    tree.grep().await;
    assert_eq!(tree.upstream.calls(), calls + 2, "all of it is there");
}

#[tokio::test]
async fn a_provider_that_brings_nothing_along_is_not_told_again_what_is_wanted() {
    let tree = Tree::new().await;
    let calls = tree.upstream.calls();
    tree.grep().await;
    assert_eq!(tree.upstream.walks(false).len(), 1);
    assert_eq!(tree.upstream.calls(), calls + (DIRECTORIES.len() * FILES.len()) as u64);
}

/// What is wanted of a provider that brings less is so much as it brought, and a quarter more each time that all of
/// it comes: what it throws away since it does not fit is not asked for with every file.
#[tokio::test]
async fn no_more_is_wanted_than_a_provider_has_been_seen_to_bring() {
    let tree = Tree::new().await;
    tree.upstream.walks(true);
    tree.upstream.brings_of_walks(2);
    tree.cat("src/a").await.expect("cat");
    // Each brings two more, so each is of files that nobody has brought.
    let mut wanted = Vec::new();
    for directory in DIRECTORIES {
        for name in FILES {
            tree.cat(&format!("{directory}/{name}")).await.expect("cat");
            let walks = tree.upstream.walks(true);
            tree.upstream.brings_of_walks(2);
            wanted.extend(walks.iter().map(|walk| walk.files.len()));
        }
    }
    assert_eq!(wanted[0], DIRECTORIES.len() * FILES.len() - 2);
    assert_eq!(wanted[1..], [2, 3, 1], "all files but the first came in four calls");
}

#[tokio::test]
async fn no_more_is_wanted_than_there_is_room_for() {
    let capacity = Capacity { bytes: 32 << 10, ..Capacity::default() };
    let tree = Tree::with(capacity, &[("src", "large", 28 << 10)]).await;
    tree.cat("src/a").await.expect("cat");
    tree.cat("src/b").await.expect("cat");
    let walks = tree.upstream.walks(true);
    assert_eq!(walks.len(), 1);
    assert_eq!(walks[0].files.len(), DIRECTORIES.len() * FILES.len() - 2, "all but the large one");
    assert!(walks[0].size > Some(28 << 10), "{:?}", walks[0].size);
}

#[tokio::test]
async fn who_reads_what_is_under_way_waits_for_it_and_asks_where_it_does_not_come() {
    for fails in [false, true] {
        let tree = Arc::new(Tree::new().await);
        tree.upstream.walks(true);
        tree.cat("src/a").await.expect("cat");
        let gate = Arc::new(Semaphore::new(0));
        tree.upstream.hold(Some(gate.clone()));
        if fails {
            tree.upstream.fail_inside("src/b", Some(Cause::Unavailable));
        }
        let before = tree.upstream.calls();
        let reader = |path: &'static str| {
            let tree = tree.clone();
            tokio::spawn(async move { tree.cat(path).await })
        };
        let first = reader("src/b");
        while tree.upstream.calls() == before {
            tokio::task::yield_now().await;
        }
        let others = ["doc/a", "src/c", "test/d"].map(reader);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tree.upstream.calls(), before + 1, "they wait for what is coming");
        tree.upstream.hold(None);
        gate.add_permits(100);
        assert_eq!(first.await.expect("join").is_err(), fails);
        for other in others {
            other.await.expect("join").expect("cat");
        }
        let asked = tree.upstream.calls() - before;
        assert_eq!(asked > 1, fails, "{asked} calls");
    }
}

#[tokio::test]
async fn of_many_who_go_on_at_one_moment_one_asks_for_all() {
    let tree = Tree::new().await;
    tree.upstream.walks(true);
    tree.cat("src/a").await.expect("cat");
    let before = tree.upstream.calls();
    // Each has joined a call before the first of these calls has begun to run.
    let files = ["src/b", "src/c", "doc/a", "test/d"];
    for read in join_all(files.map(|path| tree.cat(path))).await {
        read.expect("cat");
    }
    assert_eq!(tree.upstream.calls(), before + 1);
}
