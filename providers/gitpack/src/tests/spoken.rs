//! Requests and answers.

use crate::protocol::{self, Capabilities, Fetched, Filter, Ref};
use crate::{Error, Format, Oid, object};

fn line(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

fn lines(contents: &[&[u8]]) -> Vec<u8> {
    let lines = contents.iter().map(|content| match *content {
        b"FLUSH" => b"0000".to_vec(),
        b"DELIMITER" => b"0001".to_vec(),
        content => line(content),
    });
    lines.collect::<Vec<_>>().concat()
}

fn oid(digit: char) -> Oid {
    String::from(digit).repeat(40).parse().unwrap()
}

#[test]
fn what_a_server_can_do_is_read_with_and_without_the_line_for_the_service() {
    let body: &[&[u8]] = &[
        b"version 2\n",
        b"ls-refs=unborn\n",
        b"fetch=shallow filter\n",
        b"object-format=sha256\n",
        b"FLUSH",
    ];
    let can = Capabilities { format: Format::Sha256, filter: true };
    assert_eq!(protocol::capabilities(&lines(body)), Ok(can));
    let head = lines(&[b"# service=git-upload-pack\n", b"FLUSH"]);
    assert_eq!(protocol::capabilities(&[head, lines(body)].concat()), Ok(can));
    let plain = lines(&[b"version 2", b"fetch=shallow", b"FLUSH"]);
    assert_eq!(protocol::capabilities(&plain), Ok(Capabilities::default()));
    let old = lines(&[b"1111111111111111111111111111111111111111 HEAD\0side-band", b"FLUSH"]);
    assert!(matches!(protocol::capabilities(&old), Err(Error::Damaged(_))));
    assert!(protocol::capabilities(b"<html>").is_err());
    assert!(protocol::capabilities(b"").is_err());
}

#[test]
fn refs_are_read_with_what_their_tags_are_of() {
    let one = oid('1');
    let body = lines(&[
        b"1111111111111111111111111111111111111111 HEAD symref-target:refs/heads/main\n",
        b"1111111111111111111111111111111111111111 refs/tags/v1 peeled:2222222222222222222222222222222222222222\n",
        b"unborn HEAD symref-target:refs/heads/x",
        b"FLUSH",
    ]);
    let expected = [
        Ref { name: b"HEAD".to_vec(), id: one, peeled: None },
        Ref { name: b"refs/tags/v1".to_vec(), id: one, peeled: Some(oid('2')) },
    ];
    assert_eq!(protocol::refs(&body).unwrap(), expected);
    for odd in [&b"x HEAD"[..], b"1111111111111111111111111111111111111111", b"", b"1111 HEAD"] {
        assert!(protocol::refs(&lines(&[odd, b"FLUSH"])).is_err(), "{odd:?}");
    }
    let refused = protocol::refs(&lines(&[b"ERR access denied\n", b"FLUSH"]));
    assert_eq!(refused, Err(Error::Refused("access denied".to_owned())));
}

#[test]
fn requests_are_what_git_expects() {
    let refs = protocol::ls_refs(Format::Sha1, &["refs/heads/"]);
    let expected = "0014command=ls-refs\n0011agent=omnifs\n00010009peel\n000csymrefs\n001bref-prefix refs/heads/\n0000";
    assert_eq!(String::from_utf8(refs).unwrap(), expected);
    let fetch = protocol::fetch(Format::Sha256, &[oid('1')], Some(1), Filter::Blobs);
    let fetch = String::from_utf8(fetch).unwrap();
    assert!(
        fetch.starts_with("0012command=fetch\n0011agent=omnifs\n0019object-format=sha256\n0001")
    );
    assert!(fetch.ends_with(&format!(
        "0015filter blob:none\n000ddeepen 1\n0032want {}\n0009done\n0000",
        oid('1')
    )));
}

#[test]
fn a_pack_is_put_together_of_its_bands() {
    let parts: &[&[u8]] = &[
        b"shallow-info\n",
        b"shallow 1111111111111111111111111111111111111111\n",
        b"DELIMITER",
        b"packfile\n",
        b"\x01PAC",
        b"\x02Counting objects",
        b"\x01K",
        b"\x01",
        b"FLUSH",
    ];
    let whole = lines(parts);
    let expected = Fetched { shallow: vec![oid('1')], pack: b"PACK".to_vec() };
    assert_eq!(protocol::fetched(whole.clone()), Ok(expected));
    for end in 0..whole.len() {
        assert!(protocol::fetched(whole[..end].to_vec()).is_err(), "{end}");
    }
    let refused = lines(&[b"packfile\n", b"\x01PAC", b"\x03no room\n", b"FLUSH"]);
    assert_eq!(protocol::fetched(refused), Err(Error::Refused("no room".to_owned())));
    let refused = lines(&[b"ERR upload-pack: not our ref 1234\n"]);
    let why = "upload-pack: not our ref 1234".to_owned();
    assert_eq!(protocol::fetched(refused), Err(Error::Refused(why)));
    for odd in [&b"\x04x"[..], b""] {
        assert!(protocol::fetched(lines(&[b"packfile\n", odd, b"FLUSH"])).is_err(), "{odd:?}");
    }
}

#[test]
fn commits_trees_and_tags_are_read_whatever_their_text_is() {
    let text = b"tree 1111111111111111111111111111111111111111\n\
        parent 2222222222222222222222222222222222222222\n\
        author J\xf6rg <j@example.org> 1700000000 +0530\ncommitter nobody\n\
        gpgsig -----BEGIN\n parent 3333\n \n -----END\n\nA title\n\nand more";
    let commit = object::Commit::read(text).unwrap();
    assert_eq!((commit.tree, &commit.parents[..]), (oid('1'), &[oid('2')][..]));
    assert_eq!(commit.author.name, b"J\xf6rg <j@example.org>");
    assert_eq!((commit.author.time, commit.author.zone_minutes), (1_700_000_000, 330));
    assert_eq!((commit.committer.name.as_slice(), commit.committer.time), (&b"nobody"[..], 0));
    assert_eq!(commit.message, b"A title\n\nand more");
    assert!(object::Commit::read(b"parent 2222222222222222222222222222222222222222\n").is_err());
    let tag =
        object::Tag::read(b"object 1111111111111111111111111111111111111111\ntype commit\n\nv1\n")
            .unwrap();
    assert_eq!((tag.object, tag.message.as_slice()), (oid('1'), &b"v1\n"[..]));

    let entry = |mode: &str, name: &[u8]| {
        [mode.as_bytes(), b" ", name, b"\0", oid('1').as_bytes()].concat()
    };
    let modes = ["40000", "040000", "100644", "100664", "100755", "120000", "160000"];
    let content: Vec<u8> = modes.iter().flat_map(|mode| entry(mode, b"../\xff")).collect();
    let read: Vec<_> =
        object::tree(Format::Sha1, &content).map(|entry| entry.unwrap().mode).collect();
    use object::Mode::{Executable, File, Submodule, Symlink, Tree};
    assert_eq!(read, [Tree, Tree, File, File, Executable, Symlink, Submodule]);
    for odd in ["", "1234567", "10x644", "777", "060000"] {
        assert!(
            object::tree(Format::Sha1, &entry(odd, b"x")).any(|entry| entry.is_err()),
            "{odd:?}"
        );
    }
    assert!(object::tree(Format::Sha1, &content[..content.len() - 1]).any(|entry| entry.is_err()));
}
