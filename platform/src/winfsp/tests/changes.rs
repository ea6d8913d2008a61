//! What Windows is told when something changes, and what those see who have it open.

use super::dispatcher::{Dispatcher, text};
use crate::memory::{Memory, New, ROOT};
use crate::winfsp::changes::{action, filter};
use crate::winfsp::info::attribute;
use crate::winfsp::status::Status;
use crate::{Error, Inode};
use std::sync::Arc;

fn tree() -> (Dispatcher, Arc<Memory>, Inode, Inode) {
    let memory = Memory::new();
    let directory = memory.add(ROOT, "Dir", New::Directory).unwrap();
    let file = memory.add(directory, "file", New::file("one")).unwrap();
    (Dispatcher::new(memory.clone()), memory, directory, file)
}

/// Path, filter, action.
fn told(d: &Dispatcher) -> Vec<(String, u32, u32)> {
    let notices = d.notices().into_iter();
    notices.map(|(path, notice)| (path, notice.filter, notice.action)).collect()
}

#[test]
fn a_new_content_is_told_by_the_path_in_its_case() {
    let (d, memory, _, file) = tree();
    let opened = d.open_as("\\DIR\\FILE", 0, 0).unwrap();
    assert_eq!(text(&opened.normalized), "\\Dir\\file");
    assert_eq!(told(&d), []);
    memory.set_content(file, "another").unwrap();
    let expected = ("\\Dir\\file".into(), filter::SIZE | filter::LAST_WRITE, action::MODIFIED);
    assert_eq!(told(&d), [expected]);
    assert_eq!(told(&d), [], "once is enough");
    assert_eq!(d.wait(d.volume.info(&opened.context)).unwrap().size, 7);
    d.volume.close(opened.context);
}

#[test]
fn names_that_come_and_go_are_told_to_those_who_watch_the_directory() {
    let (d, memory, directory, _) = tree();
    let watched = d.open("\\Dir").unwrap();
    memory.add(directory, "new:er", New::file("x")).unwrap();
    let names = filter::FILE_NAME | filter::DIR_NAME;
    let found = told(&d);
    assert!(found.contains(&("\\Dir\\new\u{f03a}er".into(), names, action::ADDED)), "{found:?}");
    assert!(found.contains(&("\\Dir".into(), filter::LAST_WRITE, action::MODIFIED)), "{found:?}");
    memory.remove(directory, "new:er").unwrap();
    let found = told(&d);
    assert!(found.contains(&("\\Dir\\new\u{f03a}er".into(), names, action::REMOVED)), "{found:?}");
    d.volume.close(watched.context);
}

#[test]
fn a_removal_of_what_is_open_is_told_for_its_kind_and_its_content_stays() {
    let (d, memory, directory, _) = tree();
    let opened = d.open("\\Dir\\file").unwrap();
    memory.remove(directory, "file").unwrap();
    let found = told(&d);
    assert!(found.contains(&("\\Dir\\file".into(), filter::FILE_NAME, action::REMOVED)));
    assert_eq!(d.read_open(&opened.context).unwrap(), b"one");
    assert_eq!(d.stat("\\Dir\\file"), Err(Status::OBJECT_NAME_NOT_FOUND));
    d.volume.close(opened.context);
    assert_eq!(memory.open_count(), 0);
}

#[test]
fn an_open_file_follows_its_path_from_the_next_tick_on() {
    let (d, memory, _, file) = tree();
    let first = d.open("\\Dir\\file").unwrap();
    assert_eq!(d.read_open(&first.context).unwrap(), b"one");
    // It is being read, so its readers keep it for now.
    memory.set_content(file, "the second").unwrap();
    assert_eq!(d.read_open(&first.context).unwrap(), b"one");
    let found = told(&d);
    assert_eq!(found[0].0, "\\Dir\\file");
    assert_ne!(found[0].1 & filter::SIZE, 0);
    // Whoever asks through whichever of the two is told the same.
    let second = d.open("\\Dir\\file").unwrap();
    for opened in [&first, &second] {
        assert_eq!(d.wait(d.volume.info(&opened.context)).unwrap().size, 10);
        assert_eq!(d.read_open(&opened.context).unwrap(), b"the second");
    }
    d.volume.close(first.context);
    d.volume.close(second.context);
    assert_eq!(memory.open_count(), 0);
}

#[test]
fn a_rename_is_told_at_both_names_and_keeps_the_index() {
    let (d, memory, directory, _) = tree();
    let before = d.stat("\\Dir\\file").unwrap();
    let watched = d.open("\\Dir").unwrap();
    let opened = d.open("\\Dir\\file").unwrap();
    memory.rename(directory, "file", directory, "other").unwrap();
    let paths: Vec<String> = told(&d).into_iter().map(|(path, ..)| path).collect();
    for path in ["\\Dir\\file", "\\Dir\\other", "\\Dir"] {
        assert!(paths.contains(&path.into()), "{paths:?}");
    }
    assert_eq!(d.read_open(&opened.context).unwrap(), b"one");
    assert_eq!(d.stat("\\Dir\\other").unwrap().index, before.index);
    d.volume.close(opened.context);
    d.volume.close(watched.context);
}

#[test]
fn what_may_not_be_kept_is_taken_back_at_the_next_tick_and_watchers_are_not_woken() {
    let (d, memory, directory, _) = tree();
    let log = memory.add(directory, "log", New::volatile("1\n")).unwrap();
    let _ = d.notices();
    let opened = d.open("\\Dir\\log").unwrap();
    assert!(opened.direct, "the system must not cache what grows");
    assert_eq!(told(&d), [("\\Dir\\log".into(), 0, action::MODIFIED)]);
    assert_eq!(told(&d), []);
    memory.append(log, b"2\n").unwrap();
    assert_eq!(d.wait(d.volume.info(&opened.context)).unwrap().size, 4);
    assert_eq!(d.read_open(&opened.context).unwrap(), b"1\n2\n");
    assert_eq!(told(&d), [("\\Dir\\log".into(), 0, action::MODIFIED)]);
    // In a listing, too.
    d.list("\\Dir").unwrap();
    assert!(told(&d).contains(&("\\Dir".into(), 0, action::MODIFIED)));
    d.volume.close(opened.context);
}

#[test]
fn an_object_at_two_places_is_told_at_both() {
    let (d, memory, _, file) = tree();
    memory.link(ROOT, "alias", file).unwrap();
    let _ = d.notices();
    let one = d.open_as("\\Dir\\file", 0, 0).unwrap();
    let two = d.open_as("\\alias", 0, 0).unwrap();
    assert_eq!(one.info.index, two.info.index);
    memory.set_content(file, "changed").unwrap();
    let mut paths: Vec<String> = told(&d).into_iter().map(|(path, ..)| path).collect();
    paths.sort();
    assert_eq!(paths, ["\\Dir\\file", "\\alias"]);
    d.volume.close(one.context);
    d.volume.close(two.context);
}

#[test]
fn an_entry_whose_size_cannot_be_told_now_is_listed_as_offline_and_not_kept() {
    let (d, memory, directory, file) = tree();
    memory.add(directory, "good", New::file("good")).unwrap();
    memory.hide_size(file).unwrap();
    memory.set_error(file, Some(Error::Unavailable)).unwrap();
    let _ = d.notices();
    let entries = d.list_by("\\Dir", 4096).unwrap();
    let info = |name: &str| entries.iter().find(|(n, _)| text(n) == name).unwrap().1;
    assert_ne!(info("file").attributes & attribute::OFFLINE, 0);
    assert_eq!((info("good").size, info("good").attributes & attribute::OFFLINE), (4, 0));
    assert!(told(&d).contains(&("\\Dir".into(), 0, action::MODIFIED)));
    assert_eq!(d.stat("\\Dir\\file"), Err(Status::from(Error::Unavailable)));
}

#[test]
fn what_nobody_has_open_is_not_told() {
    let (d, memory, directory, file) = tree();
    d.read("\\Dir\\file").unwrap();
    memory.set_content(file, "changed").unwrap();
    memory.add(directory, "new", New::file("x")).unwrap();
    assert_eq!(told(&d), []);
}
