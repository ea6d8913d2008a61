use super::*;
use crate::memory::{Memory, New, ROOT};

const AT_ROOT: Handle = Handle(1);

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// One process after the other, over file systems that are made in the same way and then differ.
struct Lives {
    files: [OwnedFd; 2],
}

impl Lives {
    fn first(memory: &Arc<Memory>) -> (Kept<Memory>, Lives) {
        let journal = Journal::new().unwrap();
        let files = journal.files().each_ref().map(|file| file.try_clone().unwrap());
        memory.silence_opens();
        (Kept::new(memory.clone(), Keeper::of_nobody(), journal, None), Lives { files })
    }

    fn next(&self, memory: &Arc<Memory>) -> Kept<Memory> {
        let files = self.files.each_ref().map(|file| file.try_clone().unwrap());
        let (journal, left) = Journal::take(files).unwrap();
        memory.silence_opens();
        Kept::new(memory.clone(), Keeper::of_nobody(), journal, Some(left))
    }
}

fn look(kept: &Kept<Memory>, parent: Handle, name: &str) -> Entry {
    wait(kept.lookup(parent, name)).unwrap().unwrap()
}

fn text(kept: &Kept<Memory>, number: Handle) -> Result<Vec<u8>> {
    wait(async {
        let open = kept.open(number).await?;
        let bytes = kept.read(open.id, 0, 100).await?;
        kept.release(open.id);
        Ok(bytes.to_vec())
    })
}

/// A file below a directory that shows at two places.
fn tree(content: &'static str) -> Arc<Memory> {
    let memory = Memory::new();
    let shared = memory.add(ROOT, "shared", New::Directory).unwrap();
    let other = memory.add(ROOT, "other", New::Directory).unwrap();
    memory.link(other, "again", shared).unwrap();
    memory.add(shared, "file", New::file(content)).unwrap();
    memory
}

#[test]
fn each_number_goes_on_to_mean_what_was_shown_by_it() {
    let (first, lives) = Lives::first(&tree("one"));
    let shared = look(&first, AT_ROOT, "shared");
    let other = look(&first, AT_ROOT, "other").handle;
    let again = look(&first, other, "again");
    assert_eq!(again.inode, shared.inode);
    assert_ne!(again.handle, shared.handle, "a directory has a number for each place");
    let file = look(&first, again.handle, "file");
    assert_eq!(text(&first, file.handle).unwrap(), b"one");
    drop(first);

    // Twice, and each time its places are come by in another order than before.
    for round in 0..2 {
        let memory = tree("one");
        let next = lives.next(&memory);
        assert_eq!(look(&next, other, "again").handle, again.handle, "round {round}");
        let at = wait(next.getattr(shared.handle)).unwrap();
        assert_eq!((at.inode, at.kind), (shared.inode, Kind::Directory));
        assert_eq!(look(&next, AT_ROOT, "shared").handle, shared.handle);
        assert_eq!(next.parent(again.handle).unwrap().0, other);
        // What was read is proven to be what it was before it is read on.
        assert_eq!(text(&next, file.handle).unwrap(), b"one");
        assert_eq!(look(&next, again.handle, "file").inode, file.inode);
        let numbers = next.left().len();
        assert_eq!(numbers, 4, "round {round}");
        if round == 1 {
            for (number, _, _) in next.left() {
                next.forget(number, 100);
            }
            assert_eq!(memory.references(), 0);
            assert_eq!(wait(next.getattr(file.handle)), Err(Error::Stale), "given back");
        }
    }
}

#[test]
fn what_was_read_is_never_gone_on_with_in_another_content() {
    let (first, lives) = Lives::first(&tree("one"));
    let shared = look(&first, AT_ROOT, "shared").handle;
    let file = look(&first, shared, "file");
    assert_eq!(text(&first, file.handle).unwrap(), b"one");
    drop(first);
    let next = lives.next(&tree("two"));
    // The number that it had before is who holds that one's.
    let now = look(&next, shared, "file");
    assert_eq!(now.inode, file.inode);
    assert_ne!(now.handle, file.handle);
    assert_eq!(text(&next, now.handle).unwrap(), b"two");
    assert_eq!(text(&next, file.handle), Err(Error::Stale));
    assert_eq!(wait(next.getattr(file.handle)), Err(Error::Stale));
    assert_eq!(look(&next, shared, "file").handle, now.handle);
    // What nobody has read may be read as it is now.
    let (first, lives) = Lives::first(&tree("one"));
    let shared = look(&first, AT_ROOT, "shared").handle;
    let file = look(&first, shared, "file").handle;
    drop(first);
    let next = lives.next(&tree("two"));
    assert_eq!(text(&next, file).unwrap(), b"two");
    assert_eq!(look(&next, shared, "file").handle, file);
}

#[test]
fn a_number_that_the_kernel_holds_is_given_to_nothing_else() {
    let memory = Memory::new();
    memory.add(ROOT, "old", New::file("old")).unwrap();
    let (first, lives) = Lives::first(&memory);
    let old = look(&first, AT_ROOT, "old");
    drop(first);
    // Another object has got the same hash.
    let memory = Memory::new();
    memory.add(ROOT, "new", New::file("new")).unwrap();
    let next = lives.next(&memory);
    let new = look(&next, AT_ROOT, "new");
    assert_eq!(new.inode, old.inode);
    assert_ne!(new.handle, old.handle);
    assert_eq!(text(&next, new.handle).unwrap(), b"new");
    assert_eq!(text(&next, old.handle), Err(Error::Stale));
    // What is told of it is told by its own number.
    let changes = next.changes();
    let first = changes.recv().unwrap();
    assert!(first.contains(&Change::Content { handle: old.handle, open: false }), "{first:?}");
    memory.set_content(new.inode, "newer").unwrap();
    let told = changes.recv().unwrap();
    let of = |number: Handle| {
        told.iter().any(|c| matches!(c, Change::Content { handle, .. } if *handle == number))
    };
    assert!(!of(old.handle), "{told:?}");
    let name = |c: &Change| matches!(c, Change::Entry { parent, name, .. } if *parent == AT_ROOT && name == "new");
    assert!(of(new.handle) || told.iter().any(name), "{told:?}");
}

#[test]
fn all_that_was_told_to_be_kept_is_dropped_also_what_was_not_there() {
    let (first, lives) = Lives::first(&tree("one"));
    let shared = look(&first, AT_ROOT, "shared").handle;
    assert!(matches!(wait(first.lookup(shared, "absent")), Ok(None)));
    let page = wait(async {
        let open = first.opendir(shared).await?;
        let page = first.readdir(open.id, 0, 10, true).await?;
        first.release(open.id);
        Ok::<_, HandleError>(page)
    });
    let file = page.unwrap().entries[0].entry.as_ref().unwrap().handle;
    // The same file by another name, which the kernel keeps beside that one.
    let other = look(&first, AT_ROOT, "other").handle;
    let again = look(&first, other, "again").handle;
    assert_eq!(look(&first, again, "file").handle, file);
    drop(first);
    let next = lives.next(&tree("one"));
    let doubts = next.changes().recv().unwrap();
    for handle in [AT_ROOT, shared, file] {
        assert!(
            doubts.contains(&Change::Content { handle, open: false }),
            "{handle:?}: {doubts:?}"
        );
    }
    for (parent, name) in
        [(AT_ROOT, "shared"), (shared, "file"), (shared, "absent"), (again, "file")]
    {
        let (name, fate) = (name.to_owned(), Fate::Doubtful);
        assert!(doubts.contains(&Change::Entry { parent, name, fate }), "{doubts:?}");
    }
}

#[test]
fn what_is_told_of_a_handle_is_told_of_each_of_its_numbers() {
    let (first, lives) = Lives::first(&tree("one"));
    let shared = look(&first, AT_ROOT, "shared").handle;
    let file = look(&first, shared, "file");
    assert_eq!(text(&first, file.handle).unwrap(), b"one");
    drop(first);
    let memory = tree("one");
    let next = lives.next(&memory);
    // By its name first, where nothing proves what it is, and by the number that somebody reads it by after that.
    let lookup = wait(next.vfs.lookup(wait(next.handle(shared)).unwrap(), "file"));
    let mut named = lookup.unwrap().unwrap();
    let (number, _) = {
        let mut memory = next.memory.as_ref().unwrap().lock();
        memory.table.show(shared, "file", &named, || None)
    };
    named.handle = number;
    assert_ne!(named.handle, file.handle);
    assert_eq!(text(&next, file.handle).unwrap(), b"one");
    let handle = next.handle_now(file.handle).unwrap();
    assert_eq!(next.handle_now(named.handle), Some(handle));
    let mut numbers = next.memory.as_ref().unwrap().lock().table.numbers(handle);
    numbers.sort();
    let mut both = [named.handle, file.handle];
    both.sort();
    assert_eq!(numbers, both);
}

#[test]
fn no_name_leads_to_a_number_that_is_over() {
    let (first, lives) = Lives::first(&tree("one"));
    let shared = look(&first, AT_ROOT, "shared").handle;
    let file = look(&first, shared, "file").handle;
    assert_eq!(text(&first, file).unwrap(), b"one");
    drop(first);
    let next = lives.next(&tree("two"));
    assert_eq!(text(&next, file), Err(Error::Stale));
    // The kernel holds it still. Again and again what the name leads to now is looked up and given back.
    for _ in 0..3 {
        let now = look(&next, shared, "file").handle;
        assert_ne!(now, file);
        assert_eq!(text(&next, now).unwrap(), b"two");
        next.forget(now, 1);
    }
    next.forget(shared, 9);
    let shared = look(&next, AT_ROOT, "shared").handle;
    assert_eq!(text(&next, look(&next, shared, "file").handle).unwrap(), b"two");
}
