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
