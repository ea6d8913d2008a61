use super::*;
use crate::cache::{Binding, Content, ListEntry, Listing, cookie};
use crate::mutants::{Mutant, plant};
use crate::nodes::{Coherence, Node};
use crate::provider::{self, Kind};
use crate::scopes::Ledger;
use omnifs_platform::Inode;
use std::sync::atomic::{AtomicBool, Ordering};

const ROOM: u64 = 16 << 20;
const INSTANCE: InstanceId = InstanceId(0);
const OWN_SPACE: SpaceId = SpaceId([7; 16]);

fn described(id: &str, scope: &str) -> provider::Node {
    provider::Node {
        id: id.into(),
        name: id.to_owned(),
        kind: Kind::File,
        size: Some(5),
        modified: Some(std::time::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123)),
        version: Some("v1".to_owned()),
        content: None,
        coherence: provider::Coherence::Scoped(scope.into()),
        part_of: Some("owner".into()),
        complete: false,
    }
}

fn node(id: &str, stamp: u64) -> Arc<Node> {
    let scope = Ledger::default().scope(INSTANCE, &"s".into(), 0);
    let (key, owner) = (crate::inodes::key("i", id), crate::inodes::key("i", "owner"));
    let (answered, owner) = (described(id, "s"), Some(("owner".into(), owner)));
    let coherence = Coherence::Scoped(scope);
    Arc::new(Node::new(INSTANCE, &answered, Inode(9), key, owner, coherence, stamp))
}

fn content(id: &str, bytes: &[u8], stamp: u64) -> (Query, Memo) {
    let node = node(id, stamp);
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    (Query::new(&node, Operation::Read), Memo::Content(Content { bytes, node }))
}

fn owner(is_same: bool, is_admitted: bool) -> Box<dyn Fn() -> Owner + Send + Sync> {
    Box::new(move || Owner { is_same, is_admitted, forbidden: 0 })
}

fn space(id: SpaceId) -> Space {
    let (name, owner) = ("i".into(), owner(true, true));
    Space { id, name, instance: INSTANCE, vouched: true, replaces: true, owner }
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    /// A store without a thread, which writes at [`Shared::step`].
    fn store(&self) -> (Disk, Start) {
        let (shared, start) = Shared::open(self.0.path(), Path::new("/m"), ROOM, false);
        (Disk { shared: Arc::new(shared), writer: Mutex::new(None) }, start)
    }

    fn file(&self) -> PathBuf {
        place(self.0.path(), Path::new("/m"))
    }
}

fn write(disk: &Disk) {
    if disk.status().waiting > 0 {
        disk.shared.step(Duration::ZERO);
    }
}

#[test]
fn an_answer_is_what_it_was_after_a_restart_and_so_are_the_events() {
    let home = Home::new();
    {
        let (disk, start) = home.store();
        assert_eq!((start, disk.admit(space(OWN_SPACE))), (Start::default(), Vec::new()));
        let entries = ["a", "b"].map(|name| ListEntry {
            cookie: cookie(name),
            name: name.into(),
            node: node(name, 4),
            content: (name == "b").then(|| bytes::Bytes::from_static(b"hello")),
        });
        let coherence = node("d", 4).coherence.clone();
        let listing = Listing::new(Key(1), entries.into(), true, 4, coherence.clone());
        let list = Query::new(&node("d", 4), Operation::List);
        disk.keep(&list, &Memo::Listing(Arc::new(listing)), 4, 0);
        let lookup = Query::new(&node("d", 4), Operation::Lookup("c".into()));
        let child = Memo::Child { node: node("c", 5), binding: Binding::new(coherence, 5) };
        disk.keep(&lookup, &child, 5, 0);
        let (read, memo) = content("a", b"text", 6);
        disk.keep(&read, &memo, 6, 0);
        disk.touched(Key(3), 9, true);
        disk.touched(Key(3), 10, false);
        let settled = Settled { cursor: "c1".into(), from: 3, since: 77 };
        disk.settled(INSTANCE, &"s".into(), settled);
        write(&disk);
    }
    let (disk, start) = home.store();
    assert_eq!(start, Start { sequence: 10, floor: 0, touched: vec![(Key(3), 10, 9)] });
    let stood = disk.admit(space(OWN_SPACE));
    assert_eq!(stood, [("s".into(), Settled { cursor: "c1".into(), from: 3, since: 77 })]);
    let found = |id: &str, operation| disk.find(&Query::new(&node(id, 0), operation));
    let Some((4, Answer::Listing(mut nodes))) = found("d", Operation::List) else { panic!() };
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let held = provider::Body::Held(bytes::Bytes::from_static(b"hello"));
    let b = provider::Node { content: Some(held), ..described("b", "s") };
    assert_eq!(nodes, [described("a", "s"), b]);
    let c = found("d", Operation::Lookup("c".into()));
    assert_eq!(c, Some((5, Answer::Child(described("c", "s")))));
    let text = Answer::Content(bytes::Bytes::from_static(b"text"), Some("v1".to_owned()));
    assert_eq!(found("a", Operation::Read), Some((6, text)));
    assert_eq!(found("b", Operation::Read), None);
}

#[test]
fn nothing_is_found_of_another_space_of_other_credentials_or_before_the_service_has_answered() {
    let home = Home::new();
    let (disk, _) = home.store();
    disk.admit(space(OWN_SPACE));
    let (query, memo) = content("a", b"text", 6);
    disk.keep(&query, &memo, 6, 0);
    disk.settled(INSTANCE, &"s".into(), Settled { cursor: "c".into(), from: 1, since: 0 });
    write(&disk);
    assert!(disk.find(&query).is_some());
    disk.leave(INSTANCE);
    disk.admit(Space { owner: owner(true, false), ..space(OWN_SPACE) });
    assert!(disk.find(&query).is_some() && !disk.is_believed(INSTANCE));
    disk.leave(INSTANCE);
    assert_eq!(disk.admit(Space { owner: owner(false, true), ..space(OWN_SPACE) }).len(), 1);
    assert!(disk.find(&query).is_none());
    assert!(!disk.holds(INSTANCE), "nothing more is kept of it");
    let other = SpaceId::of(&[1; 32], &[b"another component"]);
    assert_eq!(disk.admit(space(other)), []);
    assert!(disk.find(&query).is_none());
    // And what the one before had is given up.
    write(&disk);
    assert_eq!((disk.status().answers, disk.status().scopes), (0, 0));
    assert_ne!(other, SpaceId::of(&[2; 32], &[b"another component"]));
    assert_ne!(other, SpaceId::of(&[1; 32], &[b"another", b" component"]));
}

#[test]
fn an_answer_that_may_be_of_what_is_not_to_be_stored_is_not_kept() {
    let home = Home::new();
    let (disk, _) = home.store();
    let owner = || Owner { is_same: true, is_admitted: true, forbidden: 3 };
    disk.admit(Space { owner: Box::new(owner), ..space(OWN_SPACE) });
    let [one, two] = ["a", "b"].map(|id| content(id, b"text", 6));
    disk.keep(&one.0, &one.1, 6, 2);
    disk.keep(&two.0, &two.1, 6, disk.forbidden(INSTANCE));
    write(&disk);
    assert_eq!((disk.find(&one.0).is_some(), disk.find(&two.0).is_some()), (false, true));
}

/// How far the next start says that the store has come.
fn sequence(home: &Home, disk: Disk) -> u64 {
    drop(disk);
    home.store().1.sequence
}

#[test]
fn a_gap_forgets_how_far_the_feeds_that_it_concerns_have_come() {
    let home = Home::new();
    let (disk, _) = home.store();
    disk.admit(space(OWN_SPACE));
    for scope in ["a:1", "a:2", "b:1"] {
        let settled = Settled { cursor: "c".into(), from: 1, since: 0 };
        disk.settled(INSTANCE, &scope.into(), settled);
    }
    disk.gap(INSTANCE, &"a:".into());
    write(&disk);
    // What is asked for after the next start comes after what those vouch for.
    assert_eq!(sequence(&home, disk), 1);
    let (disk, _) = home.store();
    let left: Vec<_> = disk.admit(space(OWN_SPACE)).into_iter().map(|(scope, _)| scope).collect();
    assert_eq!(left, ["b:1".into()]);
}

/// Whether a start finds a whole, after whichever transaction the process before was killed.
fn kills(mutant: Option<Mutant>) -> bool {
    plant(mutant);
    let home = Home::new();
    let seen = Arc::new(AtomicBool::new(false));
    let consistent = (0..=2).all(|writes| {
        let _ = std::fs::remove_file(home.file());
        let (disk, _) = home.store();
        disk.admit(space(OWN_SPACE));
        let (query, memo) = content("a", b"old", 2);
        let settled = |cursor: &str| Settled { cursor: cursor.into(), from: 1, since: 0 };
        disk.keep(&query, &memo, 2, 0);
        disk.settled(INSTANCE, &"s".into(), settled("before"));
        write(&disk);
        // A poll tells of an event, and has come further.
        disk.touched(Key(1), 5, false);
        disk.settled(INSTANCE, &"s".into(), settled("after"));
        let file = disk.shared.file.read().clone().unwrap();
        let work = std::mem::take(&mut disk.shared.queue.lock().work);
        file.write_until(work, writes).unwrap();
        drop(file);
        drop(disk);
        let (disk, start) = home.store();
        let stood = disk.admit(space(OWN_SPACE));
        let after = stood.iter().any(|(_, settled)| settled.cursor == "after");
        seen.fetch_or(after, Ordering::Relaxed);
        !after || start.touched == [(Key(1), 5, 0)]
    });
    plant(None);
    assert!(seen.load(Ordering::Relaxed), "no kill came after the last write");
    consistent
}

#[test]
fn a_cursor_on_disk_is_never_newer_than_what_its_events_have_put_out_of_date() {
    assert!(kills(None));
    assert!(!kills(Some(Mutant::SettlesBeforeItsEvents)), "the mutant was not found");
}

#[test]
fn the_file_stays_within_its_capacity_and_drops_what_was_written_first() {
    let home = Home::new();
    let (disk, _) = home.store();
    disk.admit(space(OWN_SPACE));
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        seed.to_le_bytes()
    };
    let mut number = 0;
    for round in 0..30 {
        for _ in 0..60 {
            let bytes: Vec<u8> = (0..1000).flat_map(|_| random()).collect();
            let (query, memo) = content(&format!("n{number}"), &bytes, number);
            disk.keep(&query, &memo, number, 0);
            number += 1;
        }
        write(&disk);
        let status = disk.status();
        assert!(status.bytes <= ROOM, "round {round}: {status:?}");
        assert_eq!(status.off, None);
    }
    let found = |number: u64| disk.find(&content(&format!("n{number}"), b"", 0).0).is_some();
    assert!(disk.status().answers > 200, "{:?}", disk.status());
    assert!(!found(0) && found(number - 1));
}

#[test]
fn a_store_that_fails_is_off_says_why_and_leaves_no_file() {
    let home = Home::new();
    let (disk, _) = home.store();
    disk.admit(space(OWN_SPACE));
    let (query, memo) = content("a", b"text", 6);
    disk.keep(&query, &memo, 6, 0);
    write(&disk);
    disk.shared.fail(&"no room");
    assert_eq!(disk.status().off.as_deref(), Some("no room"));
    assert!(disk.find(&query).is_none() && !home.file().exists());
    disk.keep(&query, &memo, 7, 0);
    assert_eq!(disk.status().waiting, 0);
}

#[test]
fn a_store_that_another_mount_has_is_not_taken_from_it() {
    let home = Home::new();
    let (first, _) = home.store();
    let (second, _) = home.store();
    assert!(second.status().off.is_some_and(|why| why.contains("another mount")));
    drop(second);
    assert!(home.file().exists() && first.status().off.is_none());
}

#[test]
fn what_is_not_kept_takes_away_the_older_answer() {
    let home = Home::new();
    let (disk, _) = home.store();
    disk.admit(space(OWN_SPACE));
    let (query, memo) = content("a", b"text", 6);
    let keep = |stamp| {
        disk.keep(&query, &memo, stamp, 0);
        write(&disk);
        disk.stamp(&query)
    };
    assert_eq!(keep(6), Some(6));
    // Another answer of the service was not to be stored, and this may be that one.
    disk.keep(&query, &memo, 7, 1);
    write(&disk);
    assert_eq!((disk.stamp(&query), disk.find(&query)), (None, None));
    assert_eq!(keep(8), Some(8));
    disk.outdate(&query);
    write(&disk);
    assert_eq!(disk.find(&query), None);
    assert_eq!(keep(9), Some(9));
    // More waits than may.
    disk.shared.queue.lock().weight = WAITING;
    disk.keep(&query, &memo, 10, 0);
    disk.shared.queue.lock().weight = 0;
    write(&disk);
    assert_eq!(disk.find(&query), None);
}
