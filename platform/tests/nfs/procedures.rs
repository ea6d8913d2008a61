//! Each procedure, as the protocol says it.

use crate::client::{fh, packed};
use crate::fixture::{Fixture, eventually};
use nfs3_types::mount::mountstat3;
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::Opaque;
use omnifs_platform::memory::{BUILT, New, ROOT};
use omnifs_platform::owner::Owner;
use omnifs_platform::{Error, HandleError, Inode};
use std::collections::HashSet;

fn contents(fixture: &Fixture) -> Inode {
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    memory.add(directory, "f", New::file("content\n")).unwrap();
    memory.add(directory, "tool", New::Executable("#!/bin/sh\n".into())).unwrap();
    memory.add(directory, "link", New::Symlink("f".into())).unwrap();
    directory
}

#[test]
fn attributes_are_exact_and_the_fileid_is_the_inode() {
    let fixture = Fixture::new();
    let directory = contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let attr = client.getattr(&root).unwrap();
    assert_eq!((attr.type_, attr.mode, attr.fileid), (ftype3::NF3DIR, 0o555, ROOT.0));
    // Not its caller's, whom programs would trust.
    let nobody = Owner::nobody();
    assert_eq!((attr.uid, attr.gid), (nobody.uid, nobody.gid));
    let built = nfstime3 { seconds: BUILT.as_secs() as u32, nseconds: 0 };
    for (path, type_, mode, size) in [
        ("d/f", ftype3::NF3REG, 0o444, 8),
        ("d/tool", ftype3::NF3REG, 0o555, 10),
        ("d/link", ftype3::NF3LNK, 0o777, 1),
    ] {
        let handle = client.walk(&root, path);
        let attr = client.getattr(&handle).unwrap();
        let inode = fixture.memory.find(path).unwrap();
        assert_eq!((attr.type_, attr.mode, attr.size, attr.used), (type_, mode, size, size));
        assert_eq!((attr.fileid, attr.mtime, attr.ctime), (inode.0, built, built), "{path}");
    }
    let handle = client.walk(&root, "d");
    assert_eq!(client.getattr(&handle).unwrap().fileid, directory.0);
    assert_eq!(client.walk(&handle, "."), handle);
    assert_eq!(client.walk(&handle, ".."), root);
    assert_eq!(client.walk(&root, ".."), root);
}

#[test]
fn a_name_that_is_not_there_or_not_possible_has_its_error() {
    let fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    for (name, status) in [
        ("absent", nfsstat3::NFS3ERR_NOENT),
        ("d/f", nfsstat3::NFS3ERR_NOENT),
        ("", nfsstat3::NFS3ERR_INVAL),
        (&"n".repeat(256), nfsstat3::NFS3ERR_NAMETOOLONG),
        (&"n".repeat(5000), nfsstat3::NFS3ERR_NAMETOOLONG),
    ] {
        assert_eq!(client.lookup(&root, name).unwrap_err(), status, "{name}");
    }
    let file = client.walk(&root, "d/f");
    assert_eq!(client.lookup(&file, "x").unwrap_err(), nfsstat3::NFS3ERR_NOTDIR);
    assert_eq!(client.readdir(&file, 0, 4096).unwrap_err(), nfsstat3::NFS3ERR_NOTDIR);
    let directory = client.walk(&root, "d");
    assert_eq!(client.read(&directory, 0, 1).unwrap_err(), nfsstat3::NFS3ERR_ISDIR);
}

#[test]
fn a_size_that_is_not_known_yet_is_asked_for_and_never_made_up() {
    let fixture = Fixture::new();
    let directory = contents(&fixture);
    let lazy = fixture.memory.add(directory, "lazy", New::file("lazily\n")).unwrap();
    fixture.memory.hide_size(lazy).unwrap();
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "d");
    let (entries, _) = client.readdirplus(&handle, 0, 8192, 32768).unwrap();
    let entry = entries.iter().find(|entry| entry.name.as_ref() == b"lazy").unwrap();
    assert!(entry.name_attributes.is_none() && entry.name_handle.is_none());
    let (_, attr) = client.lookup(&handle, "lazy").unwrap();
    assert_eq!(attr.unwrap().size, 7);
}

#[test]
fn reads_are_cut_to_what_was_promised_and_say_where_the_end_is() {
    let fixture = Fixture::new();
    let big = vec![7; 1_000_000];
    fixture.memory.add(ROOT, "big", New::file(big.clone())).unwrap();
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "big");
    let (bytes, attr, eof) = client.read(&handle, 0, u32::MAX).unwrap();
    assert_eq!((bytes.len(), attr.size, eof), (256 * 1024, 1_000_000, false));
    let (bytes, _, eof) = client.read(&handle, 999_990, 100).unwrap();
    assert_eq!((bytes.len(), eof), (10, true));
    for offset in [1_000_000, 5_000_000_000, u64::MAX] {
        let (bytes, _, eof) = client.read(&handle, offset, 100).unwrap();
        assert!(bytes.is_empty() && eof);
    }
    // One open serves them all.
    assert_eq!(fixture.memory.calls().open, 1);
    eventually("what nobody reads is closed", || fixture.memory.open_count() == 0);
}

#[test]
fn new_content_is_what_getattr_and_read_both_tell_even_where_nothing_else_shows_it() {
    let fixture = Fixture::new();
    let inode = fixture.memory.add(ROOT, "f", New::file("content 0")).unwrap();
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "f");
    for round in 1..50 {
        let before = client.getattr(&handle).unwrap();
        client.read(&handle, 0, 100).unwrap();
        // In some rounds the file is held open by the server, in some it is not.
        if round % 3 == 0 {
            eventually("the file is closed", || fixture.memory.open_count() == 0);
        }
        let content = format!("content {}", round % 10);
        fixture.memory.set_content(inode, content.clone()).unwrap();
        eventually("the change", || client.getattr(&handle).unwrap().mtime != before.mtime);
        let (bytes, attr, eof) = client.read(&handle, 0, 100).unwrap();
        assert_eq!((bytes, eof), (content.into_bytes(), true), "round {round}");
        let told = client.getattr(&handle).unwrap();
        assert_eq!((attr.mtime, attr.ctime), (told.mtime, told.ctime));
    }
}

#[test]
fn a_growing_file_is_followed() {
    let fixture = Fixture::new();
    let log = fixture.memory.add(ROOT, "log", New::volatile("one\n")).unwrap();
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "log");
    let mut read = 0;
    for round in 0..20_u64 {
        fixture.memory.append(log, b"more\n").unwrap();
        assert_eq!(client.getattr(&handle).unwrap().size, 4 + 5 * (round + 1));
        let (bytes, attr, eof) = client.read(&handle, read, 1000).unwrap();
        read += bytes.len() as u64;
        assert_eq!((read, attr.size, eof), (4 + 5 * (round + 1), read, true));
    }
}

#[test]
fn a_deleted_object_is_stale_to_its_old_handle_for_good() {
    let mut fixture = Fixture::new();
    let directory = contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let (file, above) = (client.walk(&root, "d/f"), client.walk(&root, "d"));
    client.read(&file, 0, 100).unwrap();
    fixture.memory.remove(directory, "f").unwrap();
    let stale = nfsstat3::NFS3ERR_STALE;
    eventually("the change", || client.getattr(&file).err() == Some(stale));
    fixture.memory.add(directory, "f", New::file("another's\n")).unwrap();
    for _ in 0..2 {
        assert_eq!(client.getattr(&file).unwrap_err(), stale);
        assert_eq!(client.read(&file, 0, 100).unwrap_err(), stale);
        let other = client.lookup(&above, "f").unwrap().0;
        assert_ne!(other, file);
        assert_eq!(client.read(&other, 0, 100).unwrap().0, b"another's\n");
        drop(client);
        fixture.restart();
        client = fixture.client();
    }
}

#[test]
fn handles_are_the_same_and_good_after_a_restart() {
    let mut fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let file = client.walk(&root, "d/f");
    let (port, export) = (fixture.server().port(), fixture.server().export());
    drop(client);
    fixture.restart();
    assert_eq!(fixture.server().port(), port);
    let mut client = fixture.client();
    assert_eq!(client.read(&file, 0, 100).unwrap().0, b"content\n");
    // The name that was in the mount table leads nowhere.
    assert_ne!(fixture.server().export(), export);
    assert_eq!(client.mount(&export).unwrap_err() as u32, mountstat3::MNT3ERR_ACCES as u32);
    assert_eq!(client.mount(&fixture.server().export()).unwrap(), root);
    assert_eq!(client.walk(&root, "d/f"), file);
    // Without the state they are stale, not somebody else's.
    drop(client);
    fixture.stop();
    std::fs::remove_dir_all(&fixture.options.state).unwrap();
    fixture.start();
    assert_eq!(fixture.client().getattr(&file).unwrap_err(), nfsstat3::NFS3ERR_STALE);
}

#[test]
fn one_directory_at_two_places_has_one_fileid_and_two_handles() {
    let fixture = Fixture::new();
    let (a, b) = (contents(&fixture), fixture.memory.add(ROOT, "b", New::Directory).unwrap());
    let object = fixture.memory.add(a, "object", New::Directory).unwrap();
    fixture.memory.link(b, "again", object).unwrap();
    let (mut client, root) = fixture.mounted();
    let (one, other) = (client.walk(&root, "d/object"), client.walk(&root, "b/again"));
    assert_ne!(one, other);
    let fileids = [&one, &other].map(|handle| client.getattr(handle).unwrap().fileid);
    assert_eq!(fileids, [object.0; 2]);
    assert_eq!(client.walk(&one, ".."), client.walk(&root, "d"));
    assert_eq!(client.walk(&other, ".."), client.walk(&root, "b"));
}

#[test]
fn every_page_size_lists_each_name_once_with_exact_attributes() {
    let fixture = Fixture::new();
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    let mut names: HashSet<String> = [".", ".."].map(String::from).into();
    for index in 0..300 {
        let name = format!("{index}{}", "x".repeat(index % 200));
        fixture.memory.add(directory, &name, New::file("x".repeat(index))).unwrap();
        names.insert(name);
    }
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "d");
    for count in [400, 512, 1024, 4096, 65536, u32::MAX] {
        let listed = client.list(&handle, count);
        assert_eq!(listed[..2], [".", ".."]);
        assert_eq!(listed.len(), names.len());
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), names, "{count}");
    }
    for (dircount, maxcount) in [(1, 600), (512, 4096), (8192, 32768), (u32::MAX, u32::MAX)] {
        let (mut seen, mut cookie) = (HashSet::new(), 0);
        loop {
            let (entries, eof) = client.readdirplus(&handle, cookie, dircount, maxcount).unwrap();
            assert!(!entries.is_empty() || eof);
            for entry in entries {
                cookie = entry.cookie;
                let name = String::from_utf8(entry.name.0.to_vec()).unwrap();
                if !name.starts_with('.') {
                    let attr = entry.name_attributes.unwrap();
                    let number: u64 = name.trim_end_matches('x').parse().unwrap();
                    assert_eq!((attr.size, attr.fileid), (number, entry.fileid));
                    let (found, _) = client.lookup(&handle, &name).unwrap();
                    assert_eq!(found, entry.name_handle.unwrap().data.to_vec());
                }
                assert!(seen.insert(name));
            }
            if eof {
                break;
            }
        }
        assert_eq!(seen, names);
    }
    for count in [0, 64, 120] {
        let status = nfsstat3::NFS3ERR_TOOSMALL;
        assert_eq!(client.readdir(&handle, 0, count).unwrap_err(), status);
        assert_eq!(client.readdirplus(&handle, 0, count, count).unwrap_err(), status);
    }
}

/// Twenty thousand, in pages of 4 KiB, with an entry coming or going at every page.
#[test]
fn a_listing_under_change_shows_what_stays_exactly_once() {
    let fixture = Fixture::new();
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    for index in 0..20_000 {
        fixture.memory.add(directory, &format!("stays-{index}"), New::file("x")).unwrap();
    }
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "d");
    let mtime = client.getattr(&handle).unwrap().mtime;
    let (mut seen, mut cookie, mut page) = (HashSet::new(), 0, 0);
    loop {
        let (entries, eof) = client.readdir(&handle, cookie, 4096).unwrap();
        for entry in entries {
            cookie = entry.cookie;
            let name = String::from_utf8(entry.name.0.to_vec()).unwrap();
            assert!(seen.insert(name.clone()), "{name} twice");
        }
        if eof {
            break;
        }
        page += 1;
        fixture.memory.add(directory, &format!("passes-{page}"), New::file("x")).unwrap();
        if page > 3 {
            fixture.memory.remove(directory, &format!("passes-{}", page - 3)).unwrap();
        }
    }
    assert!(page > 100);
    let stays = seen.iter().filter(|name| name.starts_with("stays-")).count();
    assert_eq!(stays, 20_000);
    assert_ne!(client.getattr(&handle).unwrap().mtime, mtime);
}

#[test]
fn a_directory_of_time_zero_is_listed_to_its_end() {
    // The verifier of a listing is not taken from the time.
    let fixture = Fixture::new();
    for index in 0..500 {
        fixture.memory.add(ROOT, &format!("{index}"), New::file("x")).unwrap();
    }
    let (mut client, root) = fixture.mounted();
    assert_eq!(client.list(&root, 1024).len(), 502);
    let cookieverf = cookieverf3::default();
    let args = READDIR3args { dir: fh(&root), cookie: 0, cookieverf, count: 1024 };
    let first: READDIR3res<'static> = client.call(NFS_PROGRAM::NFSPROC3_READDIR, &args);
    assert_ne!(first.unwrap().cookieverf, cookieverf);
}

#[test]
fn access_follows_the_kind_and_refuses_every_write() {
    let fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    for (path, allowed) in [("d", 1 | 2 | 32), ("d/f", 1), ("d/tool", 1 | 32), ("d/link", 1)] {
        let object = fh(&client.walk(&root, path));
        let args = ACCESS3args { object, access: 63 };
        let result: ACCESS3res = client.call(NFS_PROGRAM::NFSPROC3_ACCESS, &args);
        assert_eq!(result.unwrap().access, allowed, "{path}");
    }
    let link = client.walk(&root, "d/link");
    let args = READLINK3args { symlink: fh(&link) };
    let result: READLINK3res<'static> = client.call(NFS_PROGRAM::NFSPROC3_READLINK, &args);
    assert_eq!(result.unwrap().data.as_ref(), b"f");
}

#[test]
fn what_the_file_system_says_of_itself_is_true() {
    let fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let info: FSINFO3res = client.call(NFS_PROGRAM::NFSPROC3_FSINFO, &FSINFO3args::from(fh(&root)));
    let info = info.unwrap();
    assert_eq!((info.rtmax, info.properties), (256 * 1024, FSF3_SYMLINK | FSF3_HOMOGENEOUS));
    let stat: FSSTAT3res = client.call(NFS_PROGRAM::NFSPROC3_FSSTAT, &FSSTAT3args::from(fh(&root)));
    let stat = stat.unwrap();
    assert_eq!((stat.tbytes, stat.fbytes, stat.abytes, stat.ffiles), (4096, 0, 0, 0));
    assert_eq!(stat.tfiles, 5);
    fixture.memory.add(ROOT, "big", New::file(vec![0; 1 << 20])).unwrap();
    let stat: FSSTAT3res = client.call(NFS_PROGRAM::NFSPROC3_FSSTAT, &FSSTAT3args::from(fh(&root)));
    assert_eq!(stat.unwrap().tbytes, (1 << 20) + 4096);
    let args = PATHCONF3args::from(fh(&root));
    let conf: PATHCONF3res = client.call(NFS_PROGRAM::NFSPROC3_PATHCONF, &args);
    let conf = conf.unwrap();
    assert_eq!((conf.name_max, conf.no_trunc, conf.case_insensitive), (255, true, false));
}

#[test]
fn every_write_is_refused_as_on_a_read_only_file_system() {
    let fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let file = client.walk(&root, "d/f");
    let what = || diropargs3 { dir: fh(&root), name: filename3(Opaque::borrowed(b"new")) };
    let attributes = sattr3::default();
    let data = Opaque::borrowed(b"data");
    let stable = stable_how::FILE_SYNC;
    let write = WRITE3args { file: fh(&file), offset: 0, count: 4, stable, data };
    let object = fh(&file);
    let set = SETATTR3args { object, new_attributes: attributes.clone(), guard: Nfs3Option::None };
    let how = createhow3::UNCHECKED(attributes.clone());
    let link = LINK3args { file: fh(&file), link: what() };
    let made = MKDIR3args { where_: what(), attributes: attributes.clone() };
    let symlink_data = nfspath3(Opaque::borrowed(b"x"));
    let symlink = symlinkdata3 { symlink_attributes: attributes.clone(), symlink_data };
    let node = mknoddata3::NF3FIFO(attributes);
    let calls = [
        (2, packed(&set), 8),
        (7, packed(&write), 8),
        (8, packed(&CREATE3args { where_: what(), how }), 8),
        (9, packed(&made), 8),
        (10, packed(&SYMLINK3args { where_: what(), symlink }), 8),
        (11, packed(&MKNOD3args { where_: what(), what: node }), 8),
        (12, packed(&REMOVE3args { object: what() }), 8),
        (13, packed(&RMDIR3args { object: what() }), 8),
        (14, packed(&RENAME3args { from: what(), to: what() }), 16),
        (15, packed(&link), 12),
        (21, packed(&COMMIT3args { file: fh(&file), offset: 0, count: 0 }), 8),
    ];
    for (proc, args, rest) in calls {
        let body = client.raw(PROGRAM, proc, &args).unwrap();
        assert_eq!(body[..4], 30_u32.to_be_bytes(), "procedure {proc}");
        assert_eq!((body.len(), body[4..].iter().max()), (4 + rest, Some(&0)), "procedure {proc}");
    }
}

#[test]
fn each_error_of_the_core_reaches_the_client_as_its_own() {
    let fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let file = client.walk(&root, "d/f");
    let inode = fixture.memory.find("d/f").unwrap();
    for error in Error::ALL {
        fixture.memory.set_error(inode, Some(error)).unwrap();
        let told = client.getattr(&file).unwrap_err();
        let expected = Error::from(HandleError::from(error));
        assert_eq!(told as u32, expected.codes().nfs, "{error:?}");
    }
    fixture.memory.set_error(inode, None).unwrap();
    assert!(client.getattr(&file).is_ok());
}

#[test]
fn a_listing_that_fails_tells_no_client_that_it_has_ended() {
    let fixture = Fixture::new();
    contents(&fixture);
    let (mut client, root) = fixture.mounted();
    let directory = client.walk(&root, "d");
    let inode = fixture.memory.find("d").unwrap();
    assert!(client.readdir(&directory, 0, 4096).is_ok());
    for whole in [false, true] {
        for error in Error::ALL {
            // Of the listing alone, and of whatever is asked by the handle.
            match whole {
                false => fixture.memory.set_listing_error(inode, Some(error)).unwrap(),
                true => fixture.memory.set_error(inode, Some(error)).unwrap(),
            }
            let expected = Error::from(HandleError::from(error)).codes().nfs;
            let told = client.readdir(&directory, 0, 4096).unwrap_err();
            assert_eq!(told as u32, expected, "{error:?}");
            let told = client.readdirplus(&directory, 0, 4096, 4096).unwrap_err();
            assert_eq!(told as u32, expected, "{error:?}");
        }
        fixture.memory.set_listing_error(inode, None).unwrap();
    }
    fixture.memory.set_error(inode, None).unwrap();
    assert!(client.readdir(&directory, 0, 4096).is_ok());
}

#[test]
fn a_call_that_waits_keeps_no_other_waiting() {
    let fixture = Fixture::new();
    contents(&fixture);
    let slow = fixture.memory.add(ROOT, "slow", New::file("slow")).unwrap();
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "slow");
    let delay = std::time::Duration::from_secs(3);
    fixture.memory.set_delay(slow, delay).unwrap();
    let args = packed(&GETATTR3args { object: fh(&handle) });
    let first = client.message(PROGRAM, 1, &args);
    let second = client.message(PROGRAM, 1, &packed(&GETATTR3args { object: fh(&root) }));
    client.send(&first).unwrap();
    client.send(&second).unwrap();
    assert_eq!(client.receive().unwrap()[..4], second[..4], "the quick one first");
    assert_eq!(client.receive().unwrap()[..4], first[..4]);
}
