//! The archive of a tree: ustar (POSIX.1-1988) in gzip (RFC 1952) with stored blocks.

use super::git::{Mode, Store};
use super::zip::crc32;

/// Every file and symlink of a tree below `folder`, or nothing where there is no such tree.
pub(crate) fn archive(git: &Store, tree: &str, folder: &str) -> Option<Vec<u8>> {
    git.trees.get(tree)?;
    let mut tar = Vec::new();
    entry(&mut tar, &format!("{folder}/"), b'5', 0o775, &[], &[]);
    for (path, (mode, oid)) in git.files(tree) {
        let path = format!("{folder}/{path}");
        let Some(content) = git.blobs.get(&oid) else { continue };
        match mode {
            Mode::File => entry(&mut tar, &path, b'0', 0o664, &[], content),
            Mode::Executable => entry(&mut tar, &path, b'0', 0o775, &[], content),
            Mode::Symlink => entry(&mut tar, &path, b'2', 0o777, content, &[]),
            // An archive has nothing of another repository, and needs no directories.
            Mode::Submodule | Mode::Tree => {}
        }
    }
    tar.extend_from_slice(&[0; 1024]);
    Some(gzip(&tar))
}

fn entry(tar: &mut Vec<u8>, path: &str, kind: u8, mode: u32, link: &[u8], content: &[u8]) {
    if path.len() > 100 {
        // GNU's way: the name as the content of an entry before.
        entry(tar, "././@LongLink", b'L', 0, &[], format!("{path}\0").as_bytes());
    }
    let mut header = [0_u8; 512];
    let mut put = |at: usize, most: usize, text: &[u8]| {
        let text = &text[..text.len().min(most)];
        header[at..at + text.len()].copy_from_slice(text);
    };
    put(0, 100, path.as_bytes());
    put(100, 8, format!("{mode:07o}").as_bytes());
    put(108, 8, b"0000000");
    put(116, 8, b"0000000");
    put(124, 12, format!("{:011o}", content.len()).as_bytes());
    put(136, 12, b"00000000000");
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    // Deflate, no flags, no time, unknown system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = content.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(content).to_le_bytes());
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    out
}
