#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use omnifs_sdk::Error;
use std::io::Write as _;
use tar::{Builder, EntryType, Header};

/// A row of an archive: path as its bytes stand, type, mode, content or target.
type Row<'a> = (&'a str, EntryType, u32, &'a [u8]);

fn tar(rows: &[Row<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, mode, content) in rows {
        let mut header = Header::new_gnu();
        // The library refuses to write what is no path below the archive's top.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_mtime(1_700_000_000);
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        header.set_size(if link { 0 } else { content.len() as u64 });
        header.set_cksum();
        builder.append(&header, if link { &[][..] } else { content }).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn all(packed: &[u8]) -> omnifs_sdk::Result<Members> {
    members(Archive { packed, below: 1 }, 1 << 20)
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn what_names_nothing_is_left_out_and_the_rest_is_shown() {
    let packed = gzip(&tar(&[
        ("package/a", FILE, 0o644, b"a"),
        ("package/bin/run", FILE, 0o755, b"#!"),
        ("./package/deep/er/b", FILE, 0o600, b"b"),
        ("package/link", EntryType::Symlink, 0o777, b"/etc/passwd"),
        ("package/hard", EntryType::Link, 0o644, b"package/a"),
        ("package/null", EntryType::Char, 0o666, b""),
        ("package/../../out", FILE, 0o644, b"x"),
        ("package//two", FILE, 0o644, b"x"),
        ("../out", FILE, 0o644, b"x"),
        ("top", FILE, 0o644, b"x"),
        ("package/a", FILE, 0o644, b"again"),
    ]));
    let found = all(&packed).unwrap();
    let paths: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a", "bin", "bin/run", "deep", "deep/er", "deep/er/b", "link"]);
    assert_eq!(found["a"].content.as_deref(), Some(&b"again"[..]), "the last one counts");
    assert_eq!(found["bin/run"].kind, Kind::Program);
    assert_eq!(found["deep/er"].kind, Kind::Directory);
    assert_eq!(found["link"].kind, Kind::Link);
    assert_eq!(found["link"].content.as_deref(), Some(&b"/etc/passwd"[..]));
    let archive = Archive { packed: &packed, below: 1 };
    let read = contents(archive, |path| path == "a" || path == "link").unwrap();
    assert_eq!(read["a"], b"again");
    assert_eq!(read["link"], b"/etc/passwd");
}

#[test]
fn a_path_that_is_absolute_is_one_below_the_archive() {
    let found = members(Archive { packed: &tar(&[("/etc/a", FILE, 0o644, b"")]), below: 0 }, 0);
    assert_eq!(found.unwrap().into_keys().collect::<Vec<_>>(), ["etc", "etc/a"]);
}

#[test]
fn contents_come_along_where_all_of_them_have_room() {
    let packed = tar(&[("p/a", FILE, 0o644, b"aaaa"), ("p/b", FILE, 0o644, b"bbbb")]);
    let archive = Archive { packed: &packed, below: 1 };
    assert!(members(archive, 8).unwrap().values().all(|member| member.content.is_some()));
    let without = members(archive, 7).unwrap();
    assert!(without.values().all(|member| member.content.is_none()));
    assert_eq!(without["b"].size, 4);
}

#[test]
fn a_directory_takes_the_place_of_a_file_that_others_are_below() {
    let packed = tar(&[("p/a", FILE, 0o644, b"x"), ("p/a/b", FILE, 0o644, b"y")]);
    assert_eq!(all(&packed).unwrap()["a"].kind, Kind::Directory);
}

#[test]
fn what_unpacks_to_more_than_the_bound_is_too_large() {
    let zeros = vec![0; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = Header::new_gnu();
    header.set_path("p/zeros").unwrap();
    header.set_size(UNPACKED + 1);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    for _ in 0..=(UNPACKED >> 20) {
        encoder.write_all(&zeros).unwrap();
    }
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < 1 << 20, "{} bytes are no bomb", packed.len());
    assert!(matches!(all(&packed), Err(Error::TooLarge)));
    let archive = Archive { packed: &packed, below: 1 };
    assert!(matches!(contents(archive, |_| true), Err(Error::TooLarge)));
}

#[test]
fn a_sparse_file_that_says_it_is_huge_is_refused_before_it_is_filled() {
    let mut header = Header::new_gnu();
    header.set_path("p/sparse").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 40);
    gnu.sparse[0].set_offset(1 << 40);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    let mut packed = header.as_bytes().to_vec();
    packed.extend([0; 1024]);
    let found = all(&packed).unwrap();
    assert_eq!((found["sparse"].size, &found["sparse"].content), (1 << 40, &None));
    let archive = Archive { packed: &packed, below: 1 };
    assert!(matches!(contents(archive, |_| true), Err(Error::TooLarge)));
}

#[test]
fn more_members_than_the_bound_are_too_large() {
    let mut builder = Builder::new(Vec::new());
    for number in 0..=MOST {
        let mut header = Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, format!("p/{number}"), &[][..]).unwrap();
    }
    let packed = builder.into_inner().unwrap();
    assert!(matches!(all(&packed), Err(Error::TooLarge)));
}

/// A megabyte of path in a header of the POSIX format names half a million directories.
#[test]
fn a_path_that_is_too_long_to_be_shown_makes_no_directories() {
    let long = "a/".repeat(1 << 19) + "a";
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    for path in ["replaced", "p/short"] {
        let mut header = Header::new_ustar();
        header.set_size(0);
        builder.append_data(&mut header, path, &[][..]).unwrap();
    }
    let found = all(&builder.into_inner().unwrap()).unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["short"]);

    let (longest, longer) = ("d/".repeat(511) + "ff", "d/".repeat(512) + "f");
    let packed = zip(&[(&longest, 0o644, b""), (&longer, 0o644, b"")], true);
    let found = members(Archive { packed: &packed, below: 0 }, 0).unwrap();
    assert_eq!((found.len(), found.contains_key(&longest)), (512, true));
}

#[test]
fn directories_that_no_entry_names_count_as_they_are_made() {
    let mut all = Members::new();
    let mut put = |number| {
        let path = format!("{number}/{}f", "d/".repeat(500));
        insert(&mut all, path, Member::DIRECTORY, || Member::DIRECTORY)
    };
    let (whole, rest) = (MOST / 502, MOST % 502);
    assert!(rest > 0);
    (0..whole).for_each(|number| put(number).unwrap());
    assert!(matches!(put(whole), Err(Error::TooLarge)));
    assert_eq!(all.len(), MOST + 1, "the last one is not made in whole");
}

#[test]
fn an_archive_that_is_cut_or_changed_is_an_error_at_worst() {
    let packed = gzip(&tar(&[("p/a", FILE, 0o644, b"some text"), ("p/b", FILE, 0o644, b"more")]));
    for end in 0..packed.len() {
        let _ = all(&packed[..end]);
        let mut changed = packed.clone();
        changed[end] ^= 0x55;
        let _ = all(&changed);
    }
    assert!(matches!(all(&packed[..packed.len() / 2]), Err(Error::Invalid(_))));
    assert!(matches!(all(b"<html>no archive</html>"), Err(Error::Invalid(_))));
    assert!(matches!(all(&[0x28, 0xb5, 0x2f, 0xfd, 0]), Err(Error::Invalid(_))));
}

/// A zip of these paths, modes and contents, each stored or packed.
fn zip(rows: &[(&str, u32, &[u8])], pack: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (path, mode, content) in rows {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        let stored = if pack { encoder.finish().unwrap() } else { content.to_vec() };
        let mut common = vec![20, 0, 0, 0, if pack { 8 } else { 0 }, 0];
        // 2023-11-14 22:13:20, and no sum, which is not looked at.
        common.extend([0xaa, 0xb1, 0x6e, 0x57, 0, 0, 0, 0]);
        common.extend(u32::try_from(stored.len()).unwrap().to_le_bytes());
        common.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        common.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(u32::try_from(out.len()).unwrap().to_le_bytes());
        directory.extend(path.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(path.as_bytes());
        out.extend(&stored);
    }
    let (at, size) = (out.len(), directory.len());
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(rows.len()).unwrap().to_le_bytes();
    out.extend([count, count].concat());
    out.extend(u32::try_from(size).unwrap().to_le_bytes());
    out.extend(u32::try_from(at).unwrap().to_le_bytes());
    out.extend([0, 0]);
    out
}

#[test]
fn a_zip_shows_what_a_tar_would() {
    let rows: [(&str, u32, &[u8]); 7] = [
        ("tool/__init__.py", 0o100_644, b"x = 1\n"),
        ("bin/run", 0o100_755, b"#!"),
        ("empty/", 0o40_755, b""),
        ("../out", 0o100_644, b"x"),
        ("a//b", 0o100_644, b"x"),
        ("/absolute", 0o100_644, b"x"),
        ("none", 0o100_644, b""),
    ];
    for pack in [true, false] {
        let packed = zip(&rows, pack);
        let archive = Archive { packed: &packed, below: 0 };
        let found = members(archive, 1 << 20).unwrap();
        let paths: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            ["absolute", "bin", "bin/run", "empty", "none", "tool", "tool/__init__.py"]
        );
        assert_eq!(found["tool/__init__.py"].content.as_deref(), Some(&b"x = 1\n"[..]));
        assert_eq!(found["tool/__init__.py"].modified, 1_700_000_000);
        assert_eq!((found["bin/run"].kind, found["empty"].kind), (Kind::Program, Kind::Directory));
        assert_eq!(contents(archive, |path| path == "bin/run").unwrap()["bin/run"], b"#!");
    }
}

#[test]
fn a_zip_that_lies_is_an_error_at_worst() {
    let packed = zip(&[("a", 0o644, b"some text, some text"), ("b", 0o644, b"more")], true);
    let read = |packed: &[u8]| {
        let archive = Archive { packed, below: 0 };
        members(archive, 1 << 20).and(contents(archive, |_| true).map(drop))
    };
    read(&packed).unwrap();
    for at in 0..packed.len() {
        let _ = read(&packed[..at]);
        for bits in [0xff, 0x01, 0x80] {
            let mut changed = packed.clone();
            changed[at] ^= bits;
            let _ = read(&changed);
        }
    }
    assert!(matches!(read(&packed[..packed.len() - 30]), Err(Error::Invalid(_))));
    // It says that a megabyte of zeros is one byte, and that one byte is a gigabyte.
    let zeros = vec![0; 1 << 20];
    for said in [1, 1 << 30] {
        let mut lies = zip(&[("a", 0o644, &zeros)], true);
        let at = lies.windows(4).position(|four| four == b"PK\x01\x02").unwrap() + 24;
        lies[at..at + 4].copy_from_slice(&u32::to_le_bytes(said));
        assert!(read(&lies).is_err(), "{said}");
    }
}

#[test]
fn a_zip_whose_entries_share_a_bomb_is_too_large() {
    // Each entry of the directory leads to the same packed megabytes.
    let zeros = vec![0; 8 << 20];
    let mut packed = zip(&[("a", 0o644, &zeros)], true);
    let end = packed.split_off(packed.len() - 22);
    let at = packed.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    let entry = packed[at..].to_vec();
    for _ in 1..20 {
        packed.extend(&entry);
    }
    let mut end = end;
    end[10] = 20;
    packed.extend(end);
    assert!(packed.len() < 1 << 20);
    let archive = Archive { packed: &packed, below: 0 };
    assert!(matches!(contents(archive, |_| true), Err(Error::TooLarge)));
}
