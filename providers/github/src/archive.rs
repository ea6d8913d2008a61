//! All files of a tree by one request: the archive that GitHub makes of it.
//!
//! GitHub counts a request for each blob. An archive is one, however many files it holds; who reads a whole
//! tree is given that. Its files are known by the hashes of their contents, so it does not matter what GitHub calls
//! them there, nor whether a branch has moved since the tree was listed: what is not in it is asked for alone.

use crate::Id;
use crate::api::github;
use flate2::read::GzDecoder;
use omnifs_sdk::preload::{self, Walk};
use omnifs_sdk::*;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, Read};

/// Bytes of a tree's files up to which its archive is asked for: what an answer may hold, and this provider's
/// memory beside it.
const MOST: u64 = 60 << 20;

/// Files that are worth an archive.
const FEWEST: usize = 4;

/// The content of the blob `sha`, if the archive of what is being walked holds it. The other files that are
/// wanted are handed over.
pub fn bring(repo: u64, sha: &str, walk: &Walk<Id>) -> Option<Vec<u8>> {
    if walk.size.is_none_or(|size| size > MOST) || walk.files.len() < FEWEST {
        return None;
    }
    let name = walk.directories.iter().rev().find_map(|directory| match directory {
        Id::Head(of) if *of == repo => Some("HEAD"),
        Id::TreeOf(of, name) | Id::Tree(of, name) if *of == repo => Some(name.as_str()),
        _ => None,
    })?;
    let answer = github::tarball(repo, name).ok();
    let answer = answer.inspect_err(|error| log::debug(&format!("no archive: {error:?}"))).ok()?;
    let mut wanted: BTreeMap<&str, Vec<&Id>> = BTreeMap::new();
    for id in &walk.files {
        if let Id::Blob(of, sha) | Id::Program(of, sha) | Id::Link(of, sha) = id
            && *of == repo
        {
            wanted.entry(sha).or_default().push(id);
        }
    }
    let mut asked = None;
    let read = each(&answer.body, |content| {
        let found = hash(&content);
        for id in wanted.remove(&*found).into_iter().flatten() {
            preload::content(id, &content);
        }
        if found == sha {
            asked = Some(content);
        }
    });
    if let Err(error) = read {
        log::warn(&format!("an archive of {name} cannot be read to its end: {error}"));
    }
    asked
}

/// Calls `each` with the content of each file and the target of each symlink.
fn each(archive: &[u8], mut each: impl FnMut(Vec<u8>)) -> io::Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(2 * MOST));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_symlink() {
            if let Some(target) = entry.link_name_bytes() {
                each(target.into_owned());
            }
        } else if kind.is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            each(content);
        }
    }
    Ok(())
}

/// By which git knows a content.
fn hash(content: &[u8]) -> String {
    let mut sum = Sha1::new();
    sum.update(format!("blob {}\0", content.len()));
    sum.update(content);
    sum.finalize().iter().fold(String::with_capacity(40), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_known_by_the_hash_that_git_gives_it() {
        assert_eq!(hash(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(hash(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    }

    #[test]
    fn what_is_no_archive_or_ends_early_is_an_error_and_not_a_panic() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1_000);
        header.set_cksum();
        builder.append_data(&mut header, "a/b", &[7; 1_000][..]).expect("append");
        let plain = builder.into_inner().expect("finish");
        let packed = {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, &plain).expect("pack");
            encoder.finish().expect("pack")
        };
        let read = |bytes: &[u8]| {
            let mut found = Vec::new();
            each(bytes, |content| found.push(content.len())).ok().map(|()| found)
        };
        assert_eq!(read(&packed).expect("whole"), [1_000]);
        for end in 0..packed.len() {
            // What is missing may be the end of the archive alone.
            let whole = read(&packed[..end]).is_none_or(|found| found == [1_000]);
            assert!(whole, "{end}");
        }
        assert!(read(b"<html>").is_none());
    }
}
