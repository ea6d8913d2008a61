//! What the kernel holds of us, written where the death of this process does not reach: in memory that the
//! keeper holds too.
//!
//! A record is written before the answer that it is about, and by one system call, so nothing that the kernel
//! knows is missing. Records are appended; when they have become many, what still counts is copied to
//! the other of two files, whose number then says that it is the newer one.

use super::super::handshake::Greeting;
use crate::{Handle, Inode, Kind};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes at which a file is looked through for what has ended, at least.
const COPIED_AT: u64 = 1 << 20;
/// Names that a kernel keeps as absent, for each directory, at most: a core tells of no more than these without
/// taking them back.
const ABSENT_MOST: usize = 1024;
/// A file begins with its number.
const BEGIN: u64 = 8;

/// What is said once about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub greeting: Greeting,
    pub read_only: bool,
    /// Where it is mounted, without symbolic links.
    pub point: PathBuf,
    /// What contents are told apart by.
    pub secret: [u8; 16],
}

/// Where a node was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub parent: Handle,
    pub name: Arc<str>,
    pub inode: Inode,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Head(Head),
    Node(Handle, Place),
    /// What was read of a file.
    Edition(Handle, u64),
    /// A name that a directory was said not to have.
    Absent(Handle, Arc<str>),
    Forgotten(Handle),
}

/// What another process has left.
#[derive(Debug, Default)]
pub struct Left {
    pub head: Head,
    pub(super) nodes: HashMap<u64, (Place, Option<u64>)>,
    pub(super) absent: Vec<(Handle, String)>,
}

#[derive(Debug)]
pub struct Journal {
    files: [OwnedFd; 2],
    /// Which of them is the newer one, and its number.
    at: usize,
    number: u64,
    /// Its bytes.
    length: u64,
    copied_at: u64,
    /// A record could not be written: what it was about is unknown to who comes next.
    failed: bool,
}

impl Journal {
    pub fn new() -> io::Result<Journal> {
        let file = || memfd_create(c"omnifs-session", MemfdFlags::CLOEXEC);
        let files = [file()?, file()?];
        pwrite(&files[0], &1_u64.to_ne_bytes(), 0)?;
        Ok(Journal { files, at: 0, number: 1, length: BEGIN, copied_at: COPIED_AT, failed: false })
    }

    /// For whoever is to hold them too.
    pub fn files(&self) -> &[OwnedFd; 2] {
        &self.files
    }

    /// Goes on with the files of another process, and says what they hold.
    pub fn take(files: [OwnedFd; 2]) -> io::Result<(Journal, Left)> {
        let number = |file: &OwnedFd| -> io::Result<u64> {
            let mut number = [0; 8];
            let read = pread(file, &mut number[..], 0)?;
            Ok(if read == number.len() { u64::from_ne_bytes(number) } else { 0 })
        };
        let numbers = [number(&files[0])?, number(&files[1])?];
        let at = usize::from(numbers[1] > numbers[0]);
        let bytes = whole(&files[at])?;
        let mut rest = bytes.get(BEGIN as usize..).ok_or(io::ErrorKind::InvalidData)?;
        let mut left = Left::default();
        // A record is written whole or not at all, so there is nothing behind one that cannot be read.
        while let Some(record) = read(&mut rest) {
            match record {
                Record::Head(head) => left.head = head,
                Record::Node(handle, place) => {
                    let edition = left.nodes.get(&handle.0).and_then(|(_, edition)| *edition);
                    left.nodes.insert(handle.0, (place, edition));
                }
                Record::Edition(handle, edition) => {
                    if let Some((_, known)) = left.nodes.get_mut(&handle.0) {
                        *known = Some(edition);
                    }
                }
                Record::Absent(parent, name) => left.absent.push((parent, name.to_string())),
                Record::Forgotten(handle) => drop(left.nodes.remove(&handle.0)),
            }
        }
        let length = (bytes.len() - rest.len()) as u64;
        ftruncate(&files[at], length)?;
        let copied_at = COPIED_AT.max(2 * length);
        Ok((Journal { files, at, number: numbers[at], length, copied_at, failed: false }, left))
    }

    /// Writes records before anybody learns of what they are about. `counts`: whether a node is still held.
    pub(super) fn write(&mut self, records: &[Record], counts: impl Fn(Handle) -> bool) {
        let mut out = Vec::new();
        records.iter().for_each(|record| write(record, &mut out));
        let written = self.append(&out).and_then(|()| match self.length > self.copied_at {
            true => self.copy(counts),
            false => Ok(()),
        });
        match written {
            Err(error) if !std::mem::replace(&mut self.failed, true) => {
                tracing::warn!(%error, "what the kernel holds is not noted for the next process any more");
            }
            _ => {}
        }
    }

    fn append(&mut self, out: &[u8]) -> io::Result<()> {
        let written = pwrite(&self.files[self.at], out, self.length)?;
        if written < out.len() {
            // It would be read as the beginning of what comes behind it.
            ftruncate(&self.files[self.at], self.length)?;
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.length += written as u64;
        Ok(())
    }

    /// Copies what counts to the other file, which is then the newer one.
    fn copy(&mut self, counts: impl Fn(Handle) -> bool) -> io::Result<()> {
        let bytes = whole(&self.files[self.at])?;
        let mut rest = bytes.get(BEGIN as usize..).unwrap_or_default();
        let mut newest: HashMap<(u8, u64), &[u8]> = HashMap::new();
        let (mut heads, mut absent) = (Vec::<u8>::new(), Vec::new());
        loop {
            let from = rest;
            let Some(record) = read(&mut rest) else { break };
            let encoded = &from[..from.len() - rest.len()];
            match record {
                Record::Head(_) => heads.extend(encoded),
                Record::Node(handle, _) if counts(handle) => {
                    newest.insert((NODE, handle.0), encoded);
                }
                Record::Edition(handle, _) if counts(handle) => {
                    newest.insert((EDITION, handle.0), encoded);
                }
                Record::Absent(parent, name) => absent.push((parent, name, encoded)),
                Record::Node(..) | Record::Edition(..) | Record::Forgotten(_) => {}
            }
        }
        // The newest first: those that still stand are among the last of each directory.
        let (mut names, mut of) = (HashSet::new(), HashMap::new());
        for (parent, name, encoded) in absent.into_iter().rev() {
            let told: &mut usize = of.entry(parent).or_default();
            if counts(parent) && *told < ABSENT_MOST && names.insert((parent, name)) {
                *told += 1;
                heads.extend(encoded);
            }
        }
        let mut out = vec![0; BEGIN as usize];
        out.extend(heads);
        // A node comes before its edition.
        for kind in [NODE, EDITION] {
            newest
                .iter()
                .filter(|((of, _), _)| *of == kind)
                .for_each(|(_, record)| out.extend(*record));
        }
        let other = 1 - self.at;
        ftruncate(&self.files[other], 0)?;
        if pwrite(&self.files[other], &out, 0)? < out.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pwrite(&self.files[other], &(self.number + 1).to_ne_bytes(), 0)?;
        let old = std::mem::replace(&mut self.at, other);
        self.number += 1;
        self.length = out.len() as u64;
        self.copied_at = COPIED_AT.max(2 * self.length);
        ftruncate(&self.files[old], 0)?;
        Ok(())
    }
}

fn whole(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let length = rustix::fs::fstat(file)?.st_size as usize;
    let mut bytes = vec![0; length];
    let mut at = 0;
    while at < length {
        match pread(file, &mut bytes[at..], at as u64)? {
            0 => break,
            read => at += read,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

const HEAD: u8 = 1;
const NODE: u8 = 2;
const EDITION: u8 = 3;
const FORGOTTEN: u8 = 4;
const ABSENT: u8 = 5;

fn write(record: &Record, out: &mut Vec<u8>) {
    // Greetings and names are shorter than either number says.
    let long = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend((bytes.len() as u16).to_ne_bytes());
        out.extend(bytes);
    };
    match record {
        Record::Head(head) => {
            out.extend([HEAD, u8::from(head.read_only)]);
            long(out, &head.greeting.asked);
            long(out, &head.greeting.answered);
            long(out, head.point.as_os_str().as_bytes());
            out.extend(head.secret);
        }
        Record::Node(handle, place) => {
            out.extend([NODE, place.kind as u8]);
            for number in [handle.0, place.parent.0, place.inode.0] {
                out.extend(number.to_ne_bytes());
            }
            long(out, place.name.as_bytes());
        }
        Record::Edition(handle, edition) => {
            out.push(EDITION);
            out.extend(handle.0.to_ne_bytes());
            out.extend(edition.to_ne_bytes());
        }
        Record::Absent(parent, name) => {
            out.push(ABSENT);
            out.extend(parent.0.to_ne_bytes());
            long(out, name.as_bytes());
        }
        Record::Forgotten(handle) => {
            out.push(FORGOTTEN);
            out.extend(handle.0.to_ne_bytes());
        }
    }
}

/// Takes one record off the front; `None` leaves all as it is.
fn read(from: &mut &[u8]) -> Option<Record> {
    let mut rest = *from;
    let mut take = |bytes: usize| {
        let (taken, left) = rest.split_at_checked(bytes)?;
        rest = left;
        Some(taken)
    };
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_ne_bytes);
    let length =
        |bytes: &[u8]| bytes.try_into().ok().map(|two| usize::from(u16::from_ne_bytes(two)));
    let record = match take(1)?[0] {
        HEAD => {
            let read_only = take(1)?[0] != 0;
            let asked = length(take(2)?)?;
            let asked = take(asked)?.to_vec();
            let answered = length(take(2)?)?;
            let answered = take(answered)?.to_vec();
            let point = length(take(2)?)?;
            let point = OsString::from_vec(take(point)?.to_vec()).into();
            let secret = take(16)?.try_into().ok()?;
            Record::Head(Head { greeting: Greeting { asked, answered }, read_only, point, secret })
        }
        NODE => {
            let kinds = [Kind::Directory, Kind::File, Kind::Executable, Kind::Symlink];
            let kind = take(1)?[0];
            let kind = kinds.into_iter().find(|known| *known as u8 == kind)?;
            let handle = Handle(number(take(8)?)?);
            let parent = Handle(number(take(8)?)?);
            let inode = Inode(number(take(8)?)?);
            let name = length(take(2)?)?;
            let name = std::str::from_utf8(take(name)?).ok()?.into();
            Record::Node(handle, Place { parent, name, inode, kind })
        }
        EDITION => Record::Edition(Handle(number(take(8)?)?), number(take(8)?)?),
        ABSENT => {
            let parent = Handle(number(take(8)?)?);
            let name = length(take(2)?)?;
            Record::Absent(parent, std::str::from_utf8(take(name)?).ok()?.into())
        }
        FORGOTTEN => Record::Forgotten(Handle(number(take(8)?)?)),
        _ => return None,
    };
    *from = rest;
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64, name: &str) -> Record {
        let kind = Kind::File;
        let place = Place { parent: Handle(1), name: name.into(), inode: Inode(number), kind };
        Record::Node(Handle(number), place)
    }

    fn again(journal: &Journal) -> Left {
        let files = [0, 1].map(|at| journal.files[at].try_clone().unwrap());
        Journal::take(files).unwrap().1
    }

    #[test]
    fn what_was_written_is_read_by_the_next_process() {
        let mut journal = Journal::new().unwrap();
        let greeting = Greeting { asked: vec![1, 2, 3], answered: vec![4; 300] };
        let head = Head { greeting, read_only: true, point: "/a/b".into(), secret: [9; 16] };
        journal.write(&[Record::Head(head.clone())], |_| true);
        journal.write(&[node(5, "five"), node(6, "six"), Record::Edition(Handle(5), 55)], |_| true);
        journal.write(&[Record::Forgotten(Handle(6)), node(5, "moved")], |_| true);
        let left = again(&journal);
        assert_eq!(left.head, head);
        assert_eq!(left.nodes.len(), 1);
        let (place, edition) = &left.nodes[&5];
        assert_eq!((&*place.name, *edition), ("moved", Some(55)));
    }

    #[test]
    fn the_journal_is_bounded_by_what_is_held_and_a_torn_record_costs_itself_alone() {
        let mut journal = Journal::new().unwrap();
        journal.write(&[Record::Head(Head { read_only: true, ..Head::default() })], |_| true);
        let held = |handle: Handle| handle.0 % 1000 == 7;
        for number in 0..40_000_u64 {
            journal.write(
                &[node(number, "a name of some length"), Record::Edition(Handle(number), 1)],
                held,
            );
        }
        assert!(journal.number > 1, "nothing was copied");
        let sizes = [0, 1].map(|at| rustix::fs::fstat(&journal.files[at]).unwrap().st_size as u64);
        assert!(sizes.iter().sum::<u64>() < 3 * COPIED_AT, "{sizes:?}");
        let left = again(&journal);
        assert!(left.head.read_only);
        let kept = (0..40_000).filter(|number| held(Handle(*number)));
        assert!(kept.into_iter().all(|number| left.nodes[&number].1 == Some(1)));
        journal.write(&[node(3, "last")], held);
        ftruncate(&journal.files[journal.at], journal.length - 2).unwrap();
        let torn = again(&journal);
        assert!(!torn.nodes.contains_key(&3) && torn.nodes.contains_key(&7));
        // What the next process writes stands behind the last whole record.
        let files = [0, 1].map(|at| journal.files[at].try_clone().unwrap());
        let (mut next, _) = Journal::take(files).unwrap();
        next.write(&[node(4, "next")], held);
        assert!(again(&next).nodes.contains_key(&4));
    }
}
