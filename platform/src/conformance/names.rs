//! Checks of names and symbolic links.

use super::tree::{self, Expected};
use super::{Check, Explain, Root, ensure, fails, same};
use std::collections::BTreeSet;
use std::fs;

pub(super) fn odd_names_are_found_listed_and_read(root: &Root) -> Check {
    let expected: BTreeSet<String> = tree::odd_names().into_iter().collect();
    for place in ["names", "names of directories"] {
        let path = root.path(place);
        let mut listed = BTreeSet::new();
        for entry in fs::read_dir(&path).explain("opendir", &path)? {
            let name = entry.explain("readdir", &path)?.file_name();
            let name = name.into_string().map_err(|name| format!("{name:?} is not UTF-8"))?;
            listed.insert(name);
        }
        same("the names", &path, &listed, &expected)?;
    }
    for name in expected {
        let path = root.path(&format!("names/{name}"));
        let read = fs::read_to_string(&path).explain("read", &path)?;
        same("the content", &path, read, format!("I am {name}\n"))?;
        let inside = root.path(&format!("names of directories/{name}/inside"));
        same(
            "the content",
            &inside,
            fs::read_to_string(&inside).explain("read", &inside)?,
            "in\n".into(),
        )?;
    }
    Ok(())
}

/// Asked twice: the second answer may come from a cache.
pub(super) fn an_absent_name_is_not_found(root: &Root) -> Check {
    for below in ["absent", "files/absent", "files/absent/deeper", "lin", "FILES", "names/UPPe"] {
        let path = root.path(below);
        for _ in 0..2 {
            fails("stat", &path, fs::metadata(&path), libc::ENOENT)?;
            fails("open", &path, fs::File::open(&path), libc::ENOENT)?;
            fails("opendir", &path, fs::read_dir(&path), libc::ENOENT)?;
        }
    }
    Ok(())
}

pub(super) fn a_file_is_not_a_directory(root: &Root) -> Check {
    let file = root.path("files/line");
    fails("opendir", &file, fs::read_dir(&file), libc::ENOTDIR)?;
    let below = root.path("files/line/below");
    fails("stat", &below, fs::metadata(&below), libc::ENOTDIR)?;
    fails("open", &below, fs::File::open(&below), libc::ENOTDIR)?;
    let directory = root.path("files");
    fails("read", &directory, fs::read(&directory), libc::EISDIR)?;
    fails("readlink", &file, fs::read_link(&file), libc::EINVAL)
}

pub(super) fn a_name_beyond_255_bytes_is_too_long(root: &Root) -> Check {
    for name in ["n".repeat(256), "n".repeat(1000), "\u{1f980}".repeat(64)] {
        let path = root.path(&name);
        fails("stat", &path, fs::metadata(&path), libc::ENAMETOOLONG)?;
    }
    let path = root.path(&"n/".repeat(2100));
    fails("stat", &path, fs::metadata(&path), libc::ENAMETOOLONG)
}

pub(super) fn symbolic_links_say_and_lead_where_they_point(root: &Root) -> Check {
    for (below, expected) in tree::standard() {
        let Expected::Symlink(target) = expected else { continue };
        let path = root.path(&below);
        for _ in 0..2 {
            let said = fs::read_link(&path).explain("readlink", &path)?;
            ensure(said.as_os_str() == target.as_str(), || format!("{below} says {said:?}"))?;
        }
    }
    let through = root.path("links/file");
    same(
        "the target's content",
        &through,
        fs::read(&through).explain("read", &through)?,
        b"one line\n".to_vec(),
    )?;
    let inside = root.path("links/directory/size-1");
    same("the target's size", &inside, fs::metadata(&inside).explain("stat", &inside)?.len(), 1)?;
    let dangling = root.path("links/dangling");
    fails("stat", &dangling, fs::metadata(&dangling), libc::ENOENT)?;
    // A listing through a link is a listing of the directory.
    let listed = root.path("links/directory");
    let count = fs::read_dir(&listed).explain("opendir", &listed)?.count();
    let own = root.path("files");
    same("the count", &listed, count, fs::read_dir(&own).explain("opendir", &own)?.count())
}
