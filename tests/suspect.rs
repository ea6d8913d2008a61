//! What a use of a suspect scope costs: its feed is asked first, once for all, and a path that only
//! leads through a directory is not asked for at each of its steps.

use omnifs::cache::Capacity;
use omnifs::events::{Ledger, Prover};
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_memory::{Memory, ROOT, SCOPE, Style};
use omnifs_platform::{Handle, Result, Vfs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const FILES: usize = 1_000;

struct Core {
    runtime: Arc<Runtime>,
    upstream: Arc<Memory>,
    top: Handle,
}

/// A directory `d` of a thousand files, all of them read once in a live scope.
async fn warm() -> Core {
    let upstream = Memory::new(Style::default());
    upstream.directory(ROOT, "d", "id-d");
    for n in 0..FILES {
        upstream.file(
            "id-d",
            &format!("f{n}"),
            &format!("id{n}"),
            format!("content {n}").as_bytes(),
        );
    }
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(upstream.clone()) };
    let tokio = tokio::runtime::Handle::current();
    let router = Router::new(vec![instance]);
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let runtime = Runtime::new(router, Capacity::default(), epoch, tokio);
    runtime.up("m", SCOPE);
    let top = runtime.lookup(runtime.root(), "m").await.expect("lookup").expect("there").handle;
    let core = Core { runtime, upstream, top };
    core.read_all().await;
    core
}

impl Core {
    async fn step(&self, at: Handle, name: &str) -> Result<Handle> {
        let entry = self.runtime.lookup(at, name).await?;
        Ok(entry.expect("there").handle)
    }

    /// Reads `d/NAME`, as a process does that has the whole path.
    async fn cat(&self, name: &str) -> Result<Vec<u8>> {
        let directory = self.step(self.top, "d").await?;
        self.runtime.getattr(directory).await?;
        let file = self.step(directory, name).await?;
        let open = self.runtime.open(file).await?;
        let bytes = self.runtime.read(open.id, 0, 1 << 10).await?;
        self.runtime.release(open.id);
        self.runtime.forget(file, 1);
        self.runtime.forget(directory, 1);
        Ok(bytes.to_vec())
    }

    async fn read_all(&self) {
        for n in 0..FILES {
            let content = self.cat(&format!("f{n}")).await.expect("cat");
            assert_eq!(content, format!("content {n}").into_bytes());
        }
    }

    /// Has uses of suspect scopes counted, and `attempt` made for the first of them.
    fn proves(&self, attempt: impl Fn(&Runtime) + Send + Sync + 'static) -> Arc<AtomicU64> {
        let (asked, runtime) = (Arc::new(AtomicU64::new(0)), Arc::downgrade(&self.runtime));
        let count = asked.clone();
        let prover = Prover(Arc::new(move |scope| {
            assert_eq!(&*scope, SCOPE);
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                attempt(&runtime.upgrade().expect("it is in use"));
            }
            Box::pin(async {})
        }));
        self.runtime.set_prover("m", prover);
        asked
    }
}

#[tokio::test]
async fn a_thousand_paths_in_a_scope_that_rests_cost_one_poll_and_nothing_else() {
    let core = warm().await;
    let changed = core.upstream.set("id7", b"changed while it rested");
    let changed = Mutex::new(changed);
    let asked = core.proves(move |runtime| {
        runtime.apply("m", &std::mem::take(&mut *changed.lock().expect("no panic")));
        runtime.up("m", SCOPE);
        runtime.resumed("m", SCOPE);
    });
    core.runtime.rest("m", SCOPE, "nobody uses it");
    let calls = core.upstream.calls();
    for n in (0..FILES).filter(|n| *n != 7) {
        core.cat(&format!("f{n}")).await.expect("cat");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(core.upstream.calls(), calls, "the poll has vouched for all of it");
    assert_eq!(core.cat("f7").await.expect("cat"), b"changed while it rested");
    assert_eq!(core.upstream.calls(), calls + 2, "what the poll told is asked for");
}

#[tokio::test]
async fn where_a_feed_cannot_work_each_path_asks_at_its_end_and_not_for_the_way() {
    let core = warm().await;
    core.runtime.lost("m", SCOPE, "there is no such list");
    let calls = core.upstream.calls();
    core.read_all().await;
    // A lookup of each file, whose version proves its content; of the directory one for all.
    assert_eq!(core.upstream.calls(), calls + FILES as u64 + 1);
    core.read_all().await;
    assert_eq!(core.upstream.calls(), calls + 2 * FILES as u64 + 1);
    core.runtime.lost("m", SCOPE, "nor at the next attempt");
    core.read_all().await;
    assert_eq!(core.upstream.calls(), calls + 3 * FILES as u64 + 2);
}

#[tokio::test]
async fn without_any_feed_the_way_is_asked_for_too() {
    let core = warm().await;
    // Nothing tries to bring it back, so no attempt would end what was shared.
    core.runtime.rest("m", SCOPE, "the feed has ended");
    let calls = core.upstream.calls();
    for _ in 0..10 {
        core.cat("f1").await.expect("cat");
    }
    assert_eq!(core.upstream.calls(), calls + 20);
}

#[tokio::test]
async fn a_way_that_leads_elsewhere_shows_with_the_next_attempt_and_a_listing_at_once() {
    let core = warm().await;
    core.runtime.lost("m", SCOPE, "there is no such list");
    core.cat("f1").await.expect("cat");
    core.upstream.rename(ROOT, "d", "old");
    core.upstream.directory(ROOT, "d", "id-new");
    core.upstream.file("id-new", "f1", "id-f1", b"elsewhere");
    core.runtime.lost("m", SCOPE, "nor at the next attempt");
    assert_eq!(core.cat("f1").await.expect("cat"), b"elsewhere");

    let directory = core.step(core.top, "d").await.expect("lookup");
    core.upstream.file("id-new", "f2", "id-f2", b"new");
    let open = core.runtime.opendir(directory).await.expect("opendir");
    let page = core.runtime.readdir(open.id, 0, 10, false).await.expect("readdir");
    assert_eq!(page.entries.len(), 2, "who looks into a directory has it asked for");
}

#[tokio::test]
async fn what_is_open_is_in_use() {
    let core = warm().await;
    let used = || core.runtime.take_active("m", "").iter().any(|scope| scope.used);
    assert!(used());
    assert!(!used(), "told once");
    let directory = core.step(core.top, "d").await.expect("lookup");
    let file = core.step(directory, "f1").await.expect("lookup");
    let open = core.runtime.open(file).await.expect("open");
    assert!(used() && used() && used(), "as long as it is open");
    core.runtime.release(open.id);
    assert!(!used());
    core.runtime.note_watched(&[file.0].into());
    assert!(used() && !used(), "each time that somebody is seen to watch it");
}
