//! Case, collisions, and what a look-up costs.

use super::dispatcher::{Dispatcher, text};
use crate::Error;
use crate::memory::{Memory, New, ROOT};
use crate::winfsp::names;
use crate::winfsp::status::Status;

fn with(all: &[&str]) -> Dispatcher {
    let memory = Memory::new();
    for name in all {
        memory.add(ROOT, name, New::file(format!("{name}\n"))).unwrap();
    }
    Dispatcher::new(memory)
}

fn content(d: &Dispatcher, path: &str) -> String {
    String::from_utf8(d.read(path).unwrap()).unwrap()
}

#[test]
fn a_name_is_found_in_any_case_and_told_in_its_own() {
    let d = with(&["README.md", "lower", "\u{c9}t\u{e9}"]);
    for (typed, name) in [
        ("README.md", "README.md"),
        ("readme.MD", "README.md"),
        ("LOWER", "lower"),
        ("\u{e9}T\u{c9}", "\u{c9}t\u{e9}"),
    ] {
        let opened = d.open(&format!("\\{typed}")).unwrap();
        assert_eq!(text(&opened.normalized), format!("\\{name}"));
        d.volume.close(opened.context);
        assert_eq!(content(&d, &format!("\\{typed}")), format!("{name}\n"));
    }
    assert_eq!(d.read("\\absent"), Err(Status::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn of_two_names_that_differ_in_case_each_is_reached_by_what_is_listed() {
    let d = with(&["Makefile", "makefile", "MAKEFILE"]);
    let shown = d.list_by("\\", 4096).unwrap();
    assert_eq!(shown.len(), 3);
    for (name, _) in &shown {
        let path = format!("\\{}", text(name));
        assert_eq!(content(&d, &path), format!("{}\n", names::decode(name).unwrap()));
    }
    // What is typed plainly, in whatever case, is the one that is listed plainly.
    for typed in ["makefile", "Makefile", "MAKEFILE", "mAkEfIlE"] {
        assert_eq!(content(&d, &format!("\\{typed}")), "makefile\n", "{typed}");
    }
}

#[test]
fn two_names_that_differ_in_case_are_never_open_under_one_path() {
    let d = with(&["Readme", "README"]);
    // Before any listing, a name with capitals is the one that is typed ...
    let first = d.open("\\Readme").unwrap();
    assert_eq!(d.read_open(&first.context).unwrap(), b"Readme\n");
    // ... unless its path is in use for another: then the listing decides.
    let second = d.open("\\README");
    d.volume.close(first.context);
    let (one, two) = (first.normalized, second.unwrap());
    assert_eq!(text(&one), "\\Readme");
    assert_eq!(d.read_open(&two.context).unwrap(), b"README\n");
    d.volume.close(two.context);
}

#[test]
fn a_name_as_it_is_listed_costs_one_lookup_and_no_listing() {
    let d = with(&["README.md", "title", "2853"]);
    for name in ["title", "2853", "README.md"] {
        let before = d.memory.calls();
        d.stat(&format!("\\{name}")).unwrap();
        let calls = d.memory.calls().since(&before);
        // The access check and the open.
        assert_eq!((calls.lookup, calls.opendir), (2, 0), "{name}");
    }
}

#[test]
fn a_name_in_another_case_costs_one_listing_until_the_directory_changes() {
    let d = with(&["README.md"]);
    let before = d.memory.calls();
    for typed in ["readme.md", "Readme.md", "absent", "ABSENT"] {
        let _ = d.stat(&format!("\\{typed}"));
    }
    assert_eq!(d.memory.calls().since(&before).opendir, 1);
    d.memory.add(ROOT, "ABSENT", New::file("now here\n")).unwrap();
    assert_eq!(content(&d, "\\absent"), "now here\n");
    assert_eq!(d.memory.calls().since(&before).opendir, 2);
    d.memory.remove(ROOT, "ABSENT").unwrap();
    assert_eq!(d.read("\\absent"), Err(Status::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn what_may_not_be_kept_is_listed_at_each_use() {
    let d = with(&["README.md"]);
    d.memory.set_cacheable(ROOT, false).unwrap();
    let before = d.memory.calls();
    for _ in 0..3 {
        assert_eq!(d.stat("\\absent"), Err(Status::OBJECT_NAME_NOT_FOUND));
    }
    assert_eq!(d.memory.calls().since(&before).opendir, 3);
}

#[test]
fn what_windows_asks_for_everywhere_costs_one_listing_and_is_found_where_it_is() {
    let d = with(&["README.md", "Folder.jpg"]);
    let before = d.memory.calls();
    for _ in 0..2 {
        for name in ["desktop.ini", "Desktop.ini", "AUTORUN.INF", "thumbs.db"] {
            assert_eq!(d.stat(&format!("\\{name}")), Err(Status::OBJECT_NAME_NOT_FOUND));
        }
        assert_eq!(content(&d, "\\folder.jpg"), "Folder.jpg\n");
    }
    assert_eq!(d.memory.calls().since(&before).opendir, 1);
}

#[test]
fn a_failure_upstream_is_not_an_absent_name() {
    let d = with(&["title"]);
    for error in [Error::Denied, Error::RateLimited, Error::Unavailable, Error::TimedOut] {
        d.memory.set_error(ROOT, Some(error)).unwrap();
        for path in ["\\title", "\\TITLE", "\\absent"] {
            assert_eq!(d.stat(path), Err(Status::from(error)), "{path}");
        }
    }
    d.memory.set_error(ROOT, None).unwrap();
    assert_eq!(content(&d, "\\TITLE"), "title\n");
}

#[test]
fn one_entry_is_told_by_its_name_without_a_listing() {
    let d = with(&["a:b", "title"]);
    let root = d.open("\\").unwrap();
    let before = d.memory.calls();
    let told = |name: &str| {
        let units: Vec<u16> = name.encode_utf16().collect();
        d.wait(d.volume.entry(&root.context, &units)).map(|(name, info)| (text(&name), info))
    };
    let (name, info) = told("title").unwrap();
    assert_eq!((name.as_str(), info.size), ("title", 6));
    assert_eq!(told("a\u{f03a}b").unwrap().0, "a\u{f03a}b");
    assert_eq!(d.memory.calls().since(&before).opendir, 0);
    assert_eq!(told("TITLE").unwrap().0, "title");
    assert_eq!(told("absent").unwrap_err(), Status::OBJECT_NAME_NOT_FOUND);
    d.volume.close(root.context);
}
