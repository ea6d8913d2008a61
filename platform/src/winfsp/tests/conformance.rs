//! The checks of the conformance suite that have a meaning on Windows. Left out are those of
//! mappings, execute bits, holes, access(2) and extended attributes: the system makes mappings of
//! reads, and Windows has none of the others.

use super::dispatcher::{Dispatcher, fails, link_target, path, text, wide};
use crate::Error;
use crate::conformance::tree::{
    self, BIG, BUILT, Churn, Expected, STAYING, WIDE, staying_name, wide_name,
};
use crate::memory::Memory;
use crate::winfsp::filesystem::{
    DELETE_ON_CLOSE, DIRECTORY_ONLY, NO_DIRECTORY, READS, THE_LINK_ITSELF,
};
use crate::winfsp::info::{attribute, filetime};
use crate::winfsp::status::Status;
use crate::winfsp::{Looked, names};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

fn planted() -> Dispatcher {
    let memory = Memory::new();
    tree::plant(&memory).unwrap();
    Dispatcher::new(memory)
}

/// Everything but what has a room of its own, with the path by which it is opened. The odd names
/// hold three that differ in case only, of which two are shown in another form.
fn standard(d: &Dispatcher) -> BTreeMap<String, (String, Expected)> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for directory in ["names", "names of directories"] {
        for (name, _) in d.list_by(&path(directory), 16 << 10).unwrap() {
            let upstream = names::decode(&name).unwrap_or_default();
            shown.insert(
                format!("{directory}/{upstream}"),
                format!("\\{directory}\\{}", text(&name)),
            );
        }
    }
    let path = |below: &str| {
        let place = shown.iter().find(|(known, _)| {
            below.strip_prefix(known.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'))
        });
        match place {
            Some((known, shown)) => format!("{shown}{}", path(&below[known.len()..])),
            None => path(below),
        }
    };
    tree::standard()
        .into_iter()
        .map(|(below, what)| (below.clone(), (path(&below), what)))
        .collect()
}

#[test]
fn every_size_is_exact() {
    let d = planted();
    for (path, expected) in standard(&d).into_values() {
        let (Expected::File(content) | Expected::Executable(content)) = expected else { continue };
        assert_eq!(d.stat(&path).unwrap().size, content.len() as u64, "{path}");
        let opened = d.open(&path).unwrap();
        assert_eq!(opened.info.size, content.len() as u64, "{path}");
        assert_eq!(d.read_open(&opened.context).unwrap().len(), content.len(), "{path}");
        d.volume.close(opened.context);
    }
}

#[test]
fn every_content_and_kind_is_as_built() {
    let d = planted();
    for (path, expected) in standard(&d).into_values() {
        let info = d.stat(&path).unwrap();
        match expected {
            Expected::Directory => assert!(info.is_directory(), "{path}"),
            Expected::Symlink(_) => {
                assert_ne!(info.attributes & attribute::REPARSE_POINT, 0, "{path}");
            }
            Expected::File(content) | Expected::Executable(content) => {
                assert_eq!(info.attributes & attribute::READONLY, 1, "{path}");
                assert_eq!(d.read(&path).unwrap(), content, "{path}");
            }
        }
    }
}

#[test]
fn a_file_is_read_the_same_in_any_pieces() {
    let d = planted();
    let content = d.read("\\files\\big").unwrap();
    assert_eq!(content.len(), BIG);
    let opened = d.open("\\files\\big").unwrap();
    let mut random = tree::Random(7);
    for _ in 0..200 {
        let at = random.below(content.len() + 100);
        let mut piece = vec![0; 1 + random.below(3_000_000)];
        let read = d.wait(d.volume.read(&opened.context, at as u64, &mut piece));
        let expected = content.get(at..).unwrap_or_default();
        let expected = &expected[..piece.len().min(expected.len())];
        match read {
            Ok(count) => assert!(piece[..count] == *expected, "{} at {at}", piece.len()),
            Err(status) => {
                assert_eq!((status, expected.len()), (Status::END_OF_FILE, 0), "{at}");
            }
        }
    }
    let beyond = d.wait(d.volume.read(&opened.context, 1 << 40, &mut [0; 16]));
    assert_eq!(beyond, Err(Status::END_OF_FILE));
    d.volume.close(opened.context);
}

#[test]
fn times_and_indexes_are_sane_and_the_same_each_time() {
    let d = planted();
    for (below, (path, expected)) in standard(&d) {
        let info = d.stat(&path).unwrap();
        assert_ne!(info.index, 0, "{path}");
        if below != "churn" {
            assert_eq!(d.stat(&path).unwrap(), info, "{path}");
        }
        if expected != Expected::Directory {
            assert_eq!(info.time, filetime(SystemTime::UNIX_EPOCH + BUILT), "{path}");
        }
    }
}

#[test]
fn a_file_seen_at_two_places_is_one_index() {
    let d = planted();
    for below in ["title", "comments/1"] {
        let [one, two] =
            tree::TWICE.map(|(place, name)| d.stat(&path(&format!("{place}/{name}/{below}"))));
        assert_eq!(one.unwrap().index, two.unwrap().index, "{below}");
    }
}

#[test]
fn a_directory_seen_at_two_places_is_one_index_with_two_parents() {
    let d = planted();
    for below in ["", "/comments"] {
        let places = tree::TWICE.map(|(place, name)| path(&format!("{place}/{name}{below}")));
        let infos = [0, 1].map(|place| d.stat(&places[place]).unwrap());
        assert_eq!(infos[0].index, infos[1].index);
        for place in places {
            let opened = d.open(&place).unwrap();
            assert_eq!(text(&opened.normalized), place);
            d.volume.close(opened.context);
            let parent = place.rsplit_once('\\').unwrap().0;
            let dots: Vec<_> = d.list_by(&place, 4096).unwrap().into_iter().take(2).collect();
            let expected = [infos[0].index, d.stat(parent).unwrap().index];
            assert_eq!([dots[0].1.index, dots[1].1.index], expected, "{place}");
        }
    }
}

#[test]
fn statfs_tells_a_full_file_system() {
    let (total, free) = planted().volume.size();
    assert!(total > 0 && free == 0);
}

#[test]
fn every_directory_lists_exactly_its_names() {
    let d = planted();
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut paths: BTreeMap<String, String> = BTreeMap::from([(String::new(), "\\".into())]);
    for (below, (path, what)) in standard(&d) {
        let (parent, name) = below.rsplit_once('/').unwrap_or(("", &below));
        expected.entry(parent.to_owned()).or_default().insert(name.to_owned());
        if what == Expected::Directory {
            paths.insert(below.clone(), path);
            expected.entry(below).or_default();
        }
    }
    let elsewhere = ["wide", "churn", "failing"];
    let all = expected.into_iter().filter(|(below, _)| !elsewhere.contains(&below.as_str()));
    for (below, names) in all {
        for _ in 0..2 {
            let listed = d.list(&paths[&below]).unwrap();
            assert_eq!(listed.len(), names.len(), "{below}");
            assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names, "{below}");
        }
    }
}

#[test]
fn a_listing_that_fails_is_never_an_empty_one() {
    // No more files, no such file, no such name.
    let ends = [0x8000_0006, 0xC000_000F, 0xC000_0034, 0xC000_003A];
    let d = planted();
    for (name, error) in tree::failing() {
        for _ in 0..2 {
            let failed = d.list(&format!("\\failing\\{name}")).expect_err("cannot be listed");
            assert!(!ends.contains(&failed.0), "{error:?}: {failed:?}");
        }
    }
}

#[test]
fn dots_come_first_and_the_root_has_none() {
    let d = planted();
    let names = |path: &str| -> Vec<String> {
        d.list_by(path, 1024).unwrap().iter().take(2).map(|(name, _)| text(name)).collect()
    };
    assert_eq!(names("\\files"), [".", ".."]);
    assert_eq!(names("\\hollow"), [".", ".."]);
    assert!(!names("\\").iter().any(|name| name.starts_with('.')));
    let [own, above] = [0, 1].map(|at| d.list_by("\\files", 1024).unwrap()[at].1.index);
    assert_eq!([own, above], [d.stat("\\files").unwrap().index, d.stat("\\").unwrap().index]);
}

#[test]
fn what_is_listed_agrees_with_what_is_told_of_each() {
    let d = planted();
    // Of those in `lazy` the size is found out only when it is asked for.
    for directory in ["\\", "\\files", "\\links", "\\bin", "\\lazy", "\\names"] {
        for (name, listed) in d.list_by(directory, 8 << 10).unwrap() {
            if name.iter().all(|unit| *unit == b'.'.into()) {
                continue;
            }
            let child = text(&names::join(&wide(directory), &name));
            assert_eq!(listed, d.stat(&child).unwrap(), "{child}");
        }
    }
}

#[test]
fn a_wide_directory_lists_each_name_once() {
    let d = planted();
    for room in [64 << 10, 4 << 10] {
        let entries = d.list_by("\\wide", room).unwrap();
        let names: BTreeSet<String> = entries.iter().skip(2).map(|(name, _)| text(name)).collect();
        assert_eq!((entries.len(), names.len()), (WIDE + 2, WIDE));
        assert!((0..WIDE).all(|index| names.contains(&wide_name(index))));
        let indexes: BTreeSet<u64> = entries.iter().skip(2).map(|(_, info)| info.index).collect();
        assert_eq!(indexes.len(), WIDE);
    }
    let name = wide_name(997);
    assert_eq!(d.read(&format!("\\wide\\{name}")).unwrap(), tree::wide_content(997).as_bytes());
}

#[test]
fn a_told_position_is_found_again() {
    let d = planted();
    let all = d.list_by("\\wide", 32 << 10).unwrap();
    let opened = d.open("\\wide").unwrap();
    // Backwards, each in a page of one or two entries.
    for at in (0..all.len() - 1).step_by(1501).rev() {
        let page = d.page(&opened.context, Some(&all[at].0), 300).unwrap();
        assert_eq!(page[0], all[at + 1], "after {}", text(&all[at].0));
    }
    // An open that has not been listed before goes on all the same.
    let fresh = d.open("\\wide").unwrap();
    assert_eq!(d.page(&fresh.context, Some(&all[700].0), 300).unwrap()[0], all[701]);
    d.volume.close(opened.context);
    d.volume.close(fresh.context);
}

#[test]
fn rewinding_lists_all_again() {
    let d = planted();
    for directory in ["\\files", "\\hollow", "\\"] {
        let opened = d.open(directory).unwrap();
        let first = d.page(&opened.context, None, 64 << 10).unwrap();
        let again = d.page(&opened.context, None, 64 << 10).unwrap();
        assert_eq!(first, again, "{directory}");
        d.volume.close(opened.context);
    }
    // A listing that begins anew shows what has come meanwhile.
    let hollow = d.memory.find("hollow").unwrap();
    let opened = d.open("\\hollow").unwrap();
    assert_eq!(d.page(&opened.context, None, 4096).unwrap().len(), 2);
    d.memory.add(hollow, "new", crate::memory::New::file("x")).unwrap();
    assert_eq!(d.page(&opened.context, None, 4096).unwrap().len(), 3);
    d.volume.close(opened.context);
}

#[test]
fn a_listing_under_change_shows_what_stays_exactly_once() {
    let d = planted();
    let churn = Churn::start(d.memory.clone()).unwrap();
    for _ in 0..60 {
        let names = d.list("\\churn").unwrap();
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!((0..STAYING).all(|index| distinct.contains(&staying_name(index))));
    }
    drop(churn);
}

#[test]
fn sixteen_readers_agree() {
    let d = planted();
    let walk = || -> (u64, u64) {
        fn below(d: &Dispatcher, path: &str, sum: &mut (u64, u64)) {
            for (name, info) in d.list_by(path, 16 << 10).unwrap() {
                let name = text(&name);
                if [".", "..", "wide", "churn", "failing"].contains(&name.as_str()) {
                    continue;
                }
                let child =
                    if path == "\\" { format!("\\{name}") } else { format!("{path}\\{name}") };
                sum.0 += 1;
                if info.attributes & attribute::REPARSE_POINT != 0 {
                    continue;
                }
                match info.is_directory() {
                    true => below(d, &child, sum),
                    false => sum.1 += d.read(&child).unwrap().len() as u64,
                }
            }
        }
        let mut sum = (0, 0);
        below(&d, "\\", &mut sum);
        sum
    };
    let expected = walk();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16).map(|_| scope.spawn(walk)).collect();
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), expected));
    });
}

#[test]
fn odd_names_are_found_listed_and_read() {
    let d = planted();
    let listed: BTreeSet<String> = d.list("\\names").unwrap().into_iter().collect();
    assert_eq!(listed, tree::odd_names().into_iter().collect());
    for (shown, _) in d.list_by("\\names", 16 << 10).unwrap().into_iter().skip(2) {
        let name = names::decode(&shown).unwrap();
        let shown = text(&shown);
        assert_eq!(
            d.read(&format!("\\names\\{shown}")).unwrap(),
            format!("I am {name}\n").as_bytes()
        );
        let inside = format!("\\names of directories\\{shown}\\inside");
        assert_eq!(d.read(&inside).unwrap(), b"in\n", "{inside}");
    }
}

#[test]
fn an_absent_name_is_not_found() {
    let d = planted();
    for path in ["\\absent", "\\files\\absent", "\\lin", "\\names\\UPPe", "\\files\\a:b"] {
        for _ in 0..2 {
            assert_eq!(d.stat(path), Err(Status::OBJECT_NAME_NOT_FOUND), "{path}");
            assert_eq!(d.read(path), Err(Status::OBJECT_NAME_NOT_FOUND), "{path}");
        }
    }
    assert_eq!(d.stat("\\files\\absent\\deeper"), Err(Status::OBJECT_PATH_NOT_FOUND));
    assert_eq!(d.stat("no path"), Err(Status::OBJECT_NAME_INVALID));
}

#[test]
fn a_file_is_not_a_directory() {
    let d = planted();
    let as_directory = d.open_as("\\files\\line", DIRECTORY_ONLY, READS);
    assert_eq!(as_directory.unwrap_err(), Status::NOT_A_DIRECTORY);
    assert_eq!(d.stat("\\files\\line\\below"), Err(Status::OBJECT_PATH_NOT_FOUND));
    let as_file = d.open_as("\\files", NO_DIRECTORY, READS);
    assert_eq!(as_file.unwrap_err(), Status::FILE_IS_A_DIRECTORY);
    let opened = d.open("\\files").unwrap();
    let read = d.wait(d.volume.read(&opened.context, 0, &mut [0; 8]));
    assert_eq!(read, Err(Status::FILE_IS_A_DIRECTORY));
    let file = d.open("\\files\\line").unwrap();
    fails(d.page(&file.context, None, 4096), Error::NotDirectory);
    assert_eq!(d.wait(d.volume.link(&file.context)), Err(Status::NOT_A_REPARSE_POINT));
    d.volume.close(opened.context);
    d.volume.close(file.context);
}

#[test]
fn a_name_beyond_255_units_is_too_long() {
    let d = planted();
    for length in [256, 1000] {
        fails(d.stat(&format!("\\{}", "n".repeat(length))), Error::NameTooLong);
    }
    assert_eq!(d.stat(&format!("\\{}", "n".repeat(255))), Err(Status::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn symbolic_links_say_and_lead_where_they_point() {
    let d = planted();
    for (below, target, directory) in [
        ("file", "..\\files\\line", false),
        ("directory", "..\\files", true),
        ("dangling", "nowhere", false),
    ] {
        let path = format!("\\links\\{below}");
        let opened = d.open_as(&path, THE_LINK_ITSELF, 0).unwrap();
        let point = d.wait(d.volume.link(&opened.context)).unwrap();
        assert_eq!(link_target(&point), target);
        assert_eq!(opened.info.is_directory(), directory, "{below}");
        d.volume.close(opened.context);
    }
    assert_eq!(d.read("\\links\\file").unwrap(), b"one line\n");
    assert_eq!(d.read("\\links\\directory\\size-1").unwrap().len(), 1);
    assert_eq!(d.read("\\links\\dangling"), Err(Status::OBJECT_NAME_NOT_FOUND));
    assert_eq!(d.list("\\links\\directory").unwrap(), d.list("\\files").unwrap());
    let inside = d.wait(d.volume.look(&wide("\\links\\directory\\size-1")));
    assert_eq!(inside, Ok(Looked::Link));
}

#[test]
fn writing_is_refused_as_write_protected_and_nothing_moves() {
    let d = planted();
    let before = d.list("\\files").unwrap();
    for path in ["\\files\\line", "\\bin\\tool", "\\lazy\\0", "\\files"] {
        // Write, append, attributes in both ways, deletion.
        for access in [0x2, 0x4, 0x10, 0x100, 0x1_0000, READS | 0x2] {
            let opened = d.open_as(path, 0, access);
            assert_eq!(opened.unwrap_err(), Status::MEDIA_WRITE_PROTECTED, "{path} {access:#x}");
        }
        let deleting = d.open_as(path, DELETE_ON_CLOSE, READS);
        assert_eq!(deleting.unwrap_err(), Status::MEDIA_WRITE_PROTECTED, "{path}");
    }
    let absent = d.open_as("\\files\\absent", 0, 0x2);
    assert_eq!(absent.unwrap_err(), Status::OBJECT_NAME_NOT_FOUND);
    // The owner who asks for all he may has the right to change the descriptor with it.
    let all = d.open_as("\\files\\line", 0, READS | 0x4_0000 | 0x8_0000).unwrap();
    d.volume.close(all.context);
    assert_eq!(d.list("\\files").unwrap(), before);
    assert_eq!(d.memory.open_count(), 0);
}

#[test]
fn all_references_and_open_files_are_given_back() {
    let d = planted();
    let contexts: Vec<_> = ["\\", "\\files", "\\files\\big", "\\twice\\open\\2853\\comments\\1"]
        .iter()
        .map(|path| d.open(path).unwrap().context)
        .collect();
    d.list("\\names").unwrap();
    assert!(d.memory.references() > 0 && d.memory.open_count() > 0);
    d.volume.end();
    assert_eq!((d.memory.references(), d.memory.open_count()), (0, 0));
    // Closing afterwards gives nothing back twice.
    contexts.into_iter().for_each(|context| d.volume.close(context));
    assert_eq!((d.memory.references(), d.memory.open_count()), (0, 0));
}
