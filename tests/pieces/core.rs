//! The core against a service that answers parts: what is asked, what is kept, and what an event or a
//! replacement does to who is reading.

use super::store::{File, MIB, ROOT, SCOPE, Store, bytes, sum};
use futures_util::future::join_all;
use omnifs::cache::{Capacity, PIECES_MAX};
use omnifs::events::Ledger;
use omnifs::provider::{Cause, Change, Validator};
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs_platform::{Entry, Error, Handle, OpenFile, Vfs};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// Bytes of a kernel's read.
const READ: u32 = 128 << 10;

pub fn runtime(store: &Arc<Store>, tokio: tokio::runtime::Handle) -> Arc<Runtime> {
    let instance = Instance { name: "m".into(), root: ROOT.into(), provider: Ok(store.clone()) };
    let epoch = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    Runtime::new(Router::new(vec![instance]), Capacity::default(), epoch, tokio)
}

struct Core {
    runtime: Arc<Runtime>,
    store: Arc<Store>,
    top: Handle,
    silent: bool,
}

impl Core {
    /// With a live feed. `silent`: as a kernel that opens files without a word.
    async fn new(silent: bool) -> Core {
        let store = Arc::new(Store::default());
        let runtime = runtime(&store, tokio::runtime::Handle::current());
        if silent {
            runtime.silence_opens();
        }
        runtime.up("m", SCOPE);
        let top = runtime.lookup(runtime.root(), "m").await.expect("lookup").expect("it shows");
        Core { runtime, store, top: top.handle, silent }
    }

    async fn lookup(&self, name: &str) -> Result<Entry, Error> {
        self.runtime.lookup(self.top, name).await?.ok_or(Error::NotFound)
    }

    /// As a kernel does, which looks up once more what is stale.
    async fn open(&self, name: &str) -> (Handle, OpenFile) {
        let entry = self.lookup(name).await.expect("lookup");
        match self.runtime.open(entry.handle).await {
            Err(Error::Stale) => {}
            opened => return (entry.handle, opened.expect("open")),
        }
        let entry = self.lookup(name).await.expect("lookup");
        (entry.handle, self.runtime.open(entry.handle).await.expect("open"))
    }

    async fn read(&self, open: &OpenFile, offset: u64) -> Result<Vec<u8>, Error> {
        self.runtime.read(open.id, offset, READ).await.map(|bytes| bytes.to_vec())
    }

    async fn read_all(&self, open: &OpenFile) -> Result<Vec<u8>, Error> {
        let mut read = Vec::new();
        loop {
            let bytes = self.read(open, read.len() as u64).await?;
            if bytes.is_empty() {
                return Ok(read);
            }
            read.extend_from_slice(&bytes);
        }
    }

    fn apply(&self, changes: Vec<Change>) {
        self.runtime.apply("m", &changes);
    }

    fn failures(&self) -> Vec<(Cause, String)> {
        let failures = self.runtime.snapshot().failures;
        failures.into_iter().map(|record| (record.failure.cause, record.failure.detail)).collect()
    }

    /// The parts that were asked for, once what is asked ahead has been asked too.
    async fn parts(&self, name: &str, count: usize) -> Vec<u64> {
        let mut parts = Vec::new();
        for _ in 0..2000 {
            parts.extend(self.store.take_parts(name));
            if parts.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What is more than was expected would be on its way by now.
        tokio::task::yield_now().await;
        parts.extend(self.store.take_parts(name));
        parts.sort_unstable();
        parts
    }
}

/// Once as an ordinary user's mount is driven, once as root's.
macro_rules! both {
    ($core:ident, $test:block) => {
        for silent in [false, true] {
            let $core = Core::new(silent).await;
            $test
        }
    };
}

#[tokio::test]
async fn each_piece_is_asked_for_once_in_order_and_a_second_reader_asks_for_none() {
    both!(core, {
        core.store.put("f", File::new(10 * MIB + 7));
        let (_, open) = core.open("f").await;
        assert_eq!((open.size, open.held), (10 * MIB + 7, 0));
        assert!(core.store.take_parts("f").is_empty(), "an open asks for nothing");
        assert!(core.read_all(&open).await.expect("read") == bytes(1, 0, 10 * MIB + 7));
        assert_eq!(core.parts("f", 11).await, (0..11).collect::<Vec<_>>());
        let (_, second) = core.open("f").await;
        assert!(second.keep_cache, "what a kernel holds is this content");
        assert!(core.read_all(&second).await.expect("read") == bytes(1, 0, 10 * MIB + 7));
        assert!(core.parts("f", 0).await.is_empty());
    });
}

#[tokio::test]
async fn who_reads_here_and_there_is_asked_for_nothing_ahead_and_the_far_end_is_reached() {
    let core = Core::new(false).await;
    // As long as a file may be.
    core.store.put("f", File::new(i64::MAX as u64));
    let (_, open) = core.open("f").await;
    let end = i64::MAX as u64;
    for at in [end - 10, end / 2 / MIB * MIB + 3, 77 * MIB + 5] {
        assert_eq!(
            core.read(&open, at).await.expect("read"),
            bytes(1, at, 10.max(READ as u64).min(end - at))
        );
    }
    let asked = [77, end / 2 / MIB, (end - 1) / MIB];
    assert_eq!(core.parts("f", 3).await, asked);
    assert!(core.read(&open, end).await.expect("read").is_empty());
    assert!(core.read(&open, u64::MAX).await.expect("read").is_empty());
    // Over the edge of a piece.
    let at = 78 * MIB - 100;
    assert_eq!(core.read(&open, at).await.expect("read"), bytes(1, at, READ.into()));
}

#[tokio::test]
async fn readers_at_the_same_time_share_one_request_for_each_piece() {
    let core = Core::new(false).await;
    core.store.put("f", File::new(3 * MIB));
    let gate = Arc::new(Semaphore::new(0));
    core.store.hold(Some(gate.clone()));
    let mut opens = Vec::new();
    for _ in 0..8 {
        opens.push(core.open("f").await.1);
    }
    let asked = async || {
        while core.store.count("f") == 0 {
            tokio::task::yield_now().await;
        }
    };
    let reads = join_all(opens.iter().map(|open| core.read(open, MIB + 3)));
    let (read, ()) = tokio::join!(reads, async {
        asked().await;
        gate.add_permits(1);
    });
    assert_eq!(core.store.take_parts("f"), [1]);
    assert!(read.into_iter().all(|read| read.expect("read") == bytes(1, MIB + 3, READ.into())));
    // An event in the middle does not part them either.
    let (early, late) = opens.split_at(4);
    let (early, late, ()) = tokio::join!(
        join_all(early.iter().map(|open| core.read(open, 2 * MIB))),
        async {
            asked().await;
            core.apply(vec![Change::Invalidated("f".into())]);
            join_all(late.iter().map(|open| core.read(open, 2 * MIB))).await
        },
        async {
            asked().await;
            tokio::task::yield_now().await;
            gate.add_permits(1);
        }
    );
    assert_eq!(core.store.take_parts("f"), [2]);
    let mut read = early.into_iter().chain(late);
    assert!(read.all(|read| read.expect("read") == bytes(1, 2 * MIB, READ.into())));
}

#[tokio::test]
async fn an_event_that_changes_nothing_lets_who_is_reading_go_on() {
    both!(core, {
        core.store.put("f", File::new(9 * MIB));
        let (handle, open) = core.open("f").await;
        assert_eq!(core.read(&open, 0).await.expect("read"), bytes(1, 0, READ.into()));
        assert_eq!(core.parts("f", 2).await, [0, 1]);
        core.apply(vec![Change::Invalidated("f".into())]);
        assert_eq!(core.read(&open, 5 * MIB).await.expect("read"), bytes(1, 5 * MIB, READ.into()));
        assert_eq!(core.parts("f", 1).await, [5]);
        // A kernel that opens without a word comes back for what it has dropped, by the old handle. One
        // that tells of each open is led to the new one.
        match core.runtime.open(handle).await {
            Ok(again) if core.silent => {
                let read = core.read(&again, 7 * MIB).await.expect("read");
                assert_eq!(read, bytes(1, 7 * MIB, READ.into()));
            }
            other => assert_eq!(other.map(|open| open.size), Err(Error::Stale)),
        }
        let (_, new) = core.open("f").await;
        assert!(core.read_all(&new).await.expect("read") == bytes(1, 0, 9 * MIB));
        assert!(core.failures().is_empty());
    });
}

#[tokio::test]
async fn what_is_replaced_while_it_is_read_ends_in_estale_and_is_new_by_its_name() {
    both!(core, {
        core.store.put("f", File::new(9 * MIB));
        let (handle, open) = core.open("f").await;
        assert!(core.read(&open, 0).await.is_ok());
        let told = core.store.put("f", File::new(8 * MIB).in_state(2));
        core.apply(told);
        assert_eq!(core.read(&open, 0).await.expect("read before"), bytes(1, 0, READ.into()));
        assert_eq!(core.read(&open, 5 * MIB).await, Err(Error::Stale));
        assert_eq!(core.read(&open, 0).await, Err(Error::Stale), "it is over as a whole");
        let (new, opened) = core.open("f").await;
        assert_ne!(new, handle);
        assert_eq!(opened.size, 8 * MIB);
        assert!(core.read_all(&opened).await.expect("read") == bytes(2, 0, 8 * MIB));
        assert_eq!(core.failures()[0].0, Cause::Changed);
    });
}

#[tokio::test]
async fn a_replacement_that_no_event_has_told_of_is_found_by_the_tag_and_heals_by_the_name() {
    both!(core, {
        // The provider's version does not tell the two contents apart, and the service does.
        let version = Some("v1".to_owned());
        core.store.put("f", File { version: version.clone(), ..File::new(40 * MIB) });
        let (_, open) = core.open("f").await;
        assert!(core.read(&open, 0).await.is_ok());
        core.store.put("f", File { version, ..File::new(40 * MIB).in_state(2) });
        assert_eq!(core.read(&open, 20 * MIB).await, Err(Error::Stale));
        let (_, new) = core.open("f").await;
        assert!(!new.keep_cache);
        assert_eq!(core.read(&new, 0).await.expect("read"), bytes(2, 0, READ.into()));
        assert_eq!(core.read(&new, 20 * MIB).await.expect("read"), bytes(2, 20 * MIB, READ.into()));
    });
}

#[tokio::test]
async fn without_a_strong_validator_an_event_ends_what_is_being_read() {
    let weak = Validator::Tag("W/\"1\"".into());
    let unsettled =
        Validator::Date { text: "Sun, 06 Nov 1994 08:49:37 GMT".into(), settled: false };
    for answered in [None, Some(weak), Some(unsettled)] {
        let core = Core::new(false).await;
        core.store.put("f", File { answered: answered.clone(), ..File::new(9 * MIB) });
        let (_, open) = core.open("f").await;
        assert!(core.read(&open, 0).await.is_ok());
        assert!(core.read(&open, 4 * MIB).await.is_ok(), "nothing speaks against it");
        core.apply(vec![Change::Invalidated("f".into())]);
        assert_eq!(core.read(&open, 7 * MIB).await, Err(Error::Stale), "{answered:?}");
        let (_, new) = core.open("f").await;
        assert!(core.read_all(&new).await.expect("read") == bytes(1, 0, 9 * MIB));
    }
}

#[tokio::test]
async fn a_lost_feed_lets_readers_go_on_and_each_open_is_asked_about() {
    both!(core, {
        core.store.put("f", File { validator: Some("\"1\"".into()), ..File::new(9 * MIB) });
        core.store.put("g", File::new(9 * MIB));
        let (handle, open) = core.open("f").await;
        assert!(core.read(&open, 0).await.is_ok());
        core.runtime.lost("m", SCOPE, "a test");
        assert_eq!(core.read(&open, 5 * MIB).await.expect("read"), bytes(1, 5 * MIB, READ.into()));
        let before = core.runtime.calls_of("m");
        let (again, second) = core.open("f").await;
        assert!(core.runtime.calls_of("m") > before, "the name is asked about");
        // Proven to be what it was.
        assert_eq!((again, second.keep_cache), (handle, true));
        core.store.take_parts("f");
        assert_eq!(
            core.read(&second, 5 * MIB).await.expect("read"),
            bytes(1, 5 * MIB, READ.into())
        );
        assert!(core.parts("f", 0).await.is_empty());
        // Of this one nothing proves that it is.
        let (_, open) = core.open("g").await;
        assert!(core.read(&open, 0).await.is_ok());
        core.store.put("g", File::new(9 * MIB).in_state(2));
        let (_, second) = core.open("g").await;
        assert!(!second.keep_cache);
        assert_eq!(core.read(&second, 0).await.expect("read"), bytes(2, 0, READ.into()));
    });
}

#[tokio::test]
async fn a_content_that_is_not_what_its_digest_says_fails_at_its_end_and_is_never_kept() {
    both!(core, {
        let right = sum(1, 5 * MIB + 9);
        let broken = File { digest: Some(right), ..File::new(5 * MIB + 9).in_state(2) };
        core.store.put("f", broken.clone());
        let (handle, open) = core.open("f").await;
        assert_eq!(core.read_all(&open).await.map(|read| read.len()), Err(Error::Invalid));
        let (cause, detail) = core.failures().remove(0);
        assert_eq!(cause, Cause::Invalid);
        assert!(detail.contains("SHA-256"), "{detail}");
        assert_eq!(core.read(&open, 0).await, Err(Error::Invalid), "no part of it is good");
        // The service has mended itself.
        core.store.put("f", File { digest: Some(right), ..File::new(5 * MIB + 9) });
        let (new, opened) = core.open("f").await;
        assert!(new != handle && !opened.keep_cache);
        assert!(core.read_all(&opened).await.expect("read") == bytes(1, 0, 5 * MIB + 9));
        // In any order.
        core.store.put("g", File { digest: Some(right), ..broken });
        let (_, open) = core.open("g").await;
        for piece in [3, 1, 0, 4, 2] {
            assert!(core.read(&open, piece * MIB).await.is_ok(), "{piece}");
        }
        assert_eq!(core.read(&open, 5 * MIB).await, Err(Error::Invalid));
    });
}

#[tokio::test]
async fn a_service_without_parts_is_asked_once_for_the_whole_whoever_reads() {
    both!(core, {
        core.store.put("f", File { whole: true, ..File::new(5 * MIB) });
        let gate = Arc::new(Semaphore::new(0));
        core.store.hold(Some(gate.clone()));
        let (_, one) = core.open("f").await;
        let (_, two) = core.open("f").await;
        let reads = [4, 0, 2, 3].map(|piece| core.read(&one, piece * MIB));
        let other = core.read(&two, MIB);
        let (read, other, ()) = tokio::join!(join_all(reads), other, async { gate.add_permits(9) });
        for (read, piece) in read.into_iter().zip([4, 0, 2, 3]) {
            assert!(read.expect("read") == bytes(1, piece * MIB, READ.into()));
        }
        assert!(other.expect("read") == bytes(1, MIB, READ.into()));
        assert_eq!(core.store.take_parts("f").len(), 1);
        // Who has it open goes on with that, as with any content.
        core.store.put("f", File { whole: true, ..File::new(5 * MIB).in_state(2) });
        core.apply(vec![Change::Invalidated("f".into())]);
        assert!(core.read_all(&one).await.expect("read") == bytes(1, 0, 5 * MIB));
        let (_, new) = core.open("f").await;
        assert!(core.read_all(&new).await.expect("read") == bytes(2, 0, 5 * MIB));
    });
}

#[tokio::test]
async fn a_failure_in_the_middle_is_that_reads_alone() {
    let core = Core::new(false).await;
    core.store.put("f", File::new(9 * MIB));
    let (_, open) = core.open("f").await;
    assert!(core.read(&open, 0).await.is_ok());
    core.parts("f", 2).await;
    for (cause, error) in [
        (Cause::RateLimited, Error::RateLimited),
        (Cause::Unavailable, Error::Unavailable),
        (Cause::TimedOut, Error::TimedOut),
        (Cause::Denied, Error::Denied),
        (Cause::TooLarge, Error::TooLarge),
    ] {
        core.store.fail(Some(cause));
        assert_eq!(core.read(&open, 5 * MIB).await, Err(error));
        assert_eq!(core.failures()[0].0, cause);
        assert!(core.read(&open, 0).await.is_ok(), "what is held is served");
    }
    core.store.fail(None);
    assert_eq!(core.read(&open, 5 * MIB).await.expect("read"), bytes(1, 5 * MIB, READ.into()));
    // What is gone is gone.
    core.store.fail(Some(Cause::NotFound));
    assert_eq!(core.read(&open, 8 * MIB).await, Err(Error::Stale));
}

#[tokio::test]
async fn an_empty_content_and_one_in_the_middle_of_an_answer_are_what_they_are() {
    both!(core, {
        core.store.put("empty", File::new(0));
        core.store.put("inner", File { offset: 12_345, ..File::new(3 * MIB) });
        let (_, open) = core.open("empty").await;
        assert_eq!(core.read_all(&open).await.expect("read"), b"");
        assert!(core.store.take_parts("empty").is_empty());
        let (_, open) = core.open("inner").await;
        assert!(core.read_all(&open).await.expect("read") == bytes(1, 12_345, 3 * MIB));
    });
}

#[tokio::test]
async fn what_left_its_directory_is_confirmed_by_its_beginning_and_ends_when_it_is_gone() {
    let core = Core::new(false).await;
    for name in ["f", "empty"] {
        let length = if name == "f" { 9 * MIB } else { 0 };
        core.store.put(name, File { validator: Some("\"1\"".into()), ..File::new(length) });
        let handle = core.lookup(name).await.expect("lookup").handle;
        core.apply(core.store.unlink(name));
        core.runtime.lost("m", SCOPE, "a test");
        let open = core.runtime.open(handle).await.expect("it is still there");
        let read = core.read(&open, 0).await.expect("read");
        assert!(read == bytes(1, 0, length.min(READ.into())));
        core.runtime.up("m", SCOPE);
        core.apply(core.store.delete(name));
        assert_eq!(core.lookup(name).await.map(|entry| entry.handle), Err(Error::NotFound));
        if name == "f" {
            assert_eq!(core.read(&open, 8 * MIB).await, Err(Error::Stale));
        }
    }
}

#[tokio::test]
async fn a_refresh_asks_for_the_pieces_anew() {
    let core = Core::new(false).await;
    core.store.put("f", File { version: Some("v1".into()), ..File::new(MIB) });
    let (_, open) = core.open("f").await;
    assert!(core.read_all(&open).await.is_ok());
    assert_eq!(core.parts("f", 1).await, [0]);
    core.runtime.refresh("m").await.expect("refresh");
    let (_, open) = core.open("f").await;
    assert!(core.read_all(&open).await.is_ok());
    assert_eq!(core.parts("f", 1).await, [0]);
}

#[tokio::test]
async fn pieces_keep_to_their_share_of_the_cache() {
    let core = Core::new(false).await;
    core.store.put("f", File::new(200 * MIB));
    let (_, open) = core.open("f").await;
    for piece in 0..200 {
        assert!(core.read(&open, piece * MIB).await.is_ok());
        let held = core.runtime.snapshot().held.bytes;
        assert!(held < PIECES_MAX + (MIB as usize), "{held} bytes after {piece}");
    }
    assert_eq!(core.parts("f", 200).await, (0..200).collect::<Vec<_>>());
}
