//! What the kernel holds of us, written where the death of this process does not reach: in memory that the
//! keeper holds too.
//!
//! A record is written before the answer that it is about, and by one system call, so nothing that the kernel
//! knows is missing. Records are appended; when they have become many, what still counts is copied to
//! the other of two files, whose number then says that it is the newer one.

use super::super::handshake::Greeting;
use crate::{Handle, Inode, Kind};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{Errno, pread, pwrite};
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
/// A file begins with its number, and with what its records are written by.
const BEGIN: u64 = 16;
const FORMAT: [u8; 8] = *b"omnifs 1";

/// What is said once about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub greeting: Greeting,
    pub read_only: bool,
    pub allow_other: bool,
    /// The mount's number, and that of its device.
    pub mount: (u64, u32),
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
    /// Where each was shown last, and what was read of it.
    pub(super) nodes: HashMap<u64, (Place, Option<u64>)>,
    /// All names that may be kept, of what is there and of what is not.
    pub(super) names: HashSet<(Handle, Arc<str>)>,
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
    /// Something that is no record may stand behind the last one.
    torn: bool,
}

impl Journal {
    pub fn new() -> io::Result<Journal> {
        let sealed = MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL;
        let file = || match memfd_create(c"omnifs-session", sealed) {
            // Before Linux 6.3.
            Err(Errno::INVAL) => memfd_create(c"omnifs-session", MemfdFlags::CLOEXEC),
            made => made,
        };
        let files = [file()?, file()?];
        pwrite(&files[0], &begin(1), 0)?;
        Ok(Journal { files, at: 0, number: 1, length: BEGIN, copied_at: COPIED_AT, torn: false })
    }

    /// For whoever is to hold them too.
    pub fn files(&self) -> &[OwnedFd; 2] {
        &self.files
    }

    /// Goes on with the files of another process, and says what they hold. They stay as they are until something is
    /// written.
    ///
    /// # Errors
    /// They are another program's, which can go on with them.
    pub fn take(files: [OwnedFd; 2]) -> io::Result<(Journal, Left)> {
        let number = |file: &OwnedFd| -> io::Result<u64> {
            let mut number = [0; 8];
            let read = pread(file, &mut number[..], 0)?;
            Ok(if read == number.len() { u64::from_ne_bytes(number) } else { 0 })
        };
        let numbers = [number(&files[0])?, number(&files[1])?];
        let at = usize::from(numbers[1] > numbers[0]);
        let bytes = whole(&files[at])?;
        if bytes.get(8..BEGIN as usize) != Some(&FORMAT) {
            return Err(io::Error::other("what the kernel holds is noted in another form"));
        }
        let mut rest = &bytes[BEGIN as usize..];
        let mut left = Left::default();
        let mut shown: HashMap<u64, Vec<(Handle, Arc<str>)>> = HashMap::new();
        // A record is written whole or not at all, so there is nothing behind one that cannot be read.
        while let Some(record) = read(&mut rest) {
            match record {
                Record::Head(head) => left.head = head,
                Record::Node(handle, place) => {
                    let edition = left.nodes.get(&handle.0).and_then(|(_, edition)| *edition);
                    shown.entry(handle.0).or_default().push((place.parent, place.name.clone()));
                    left.nodes.insert(handle.0, (place, edition));
                }
                Record::Edition(handle, edition) => {
                    if let Some((_, known)) = left.nodes.get_mut(&handle.0) {
                        *known = Some(edition);
                    }
                }
                Record::Absent(parent, name) => drop(left.names.insert((parent, name))),
                Record::Forgotten(handle) => {
                    left.nodes.remove(&handle.0);
                    shown.remove(&handle.0);
                }
            }
        }
        left.names.extend(shown.into_values().flatten());
        let (length, torn) = ((bytes.len() - rest.len()) as u64, !rest.is_empty());
        let copied_at = COPIED_AT.max(2 * length);
        Ok((Journal { files, at, number: numbers[at], length, copied_at, torn }, left))
    }

    /// Writes records before anybody learns of what they are about. `counts`: whether a node is still held.
    ///
    /// # Errors
    /// What they are about is unknown to who comes next, so nobody can go on with the session.
    pub(super) fn write(
        &mut self,
        records: &[Record],
        counts: impl Fn(Handle) -> bool,
    ) -> io::Result<()> {
        let mut out = Vec::new();
        records.iter().for_each(|record| write(record, &mut out));
        self.append(&out)?;
        if self.length > self.copied_at { self.copy(counts) } else { Ok(()) }
    }

    fn append(&mut self, out: &[u8]) -> io::Result<()> {
        if std::mem::take(&mut self.torn) {
            ftruncate(&self.files[self.at], self.length)?;
        }
        let written = pwrite(&self.files[self.at], out, self.length)?;
        if written < out.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.length += written as u64;
        Ok(())
    }

    /// Copies what counts to the other file, which is then the newer one.
    fn copy(&mut self, counts: impl Fn(Handle) -> bool) -> io::Result<()> {
        let bytes = whole(&self.files[self.at])?;
        let mut rest = bytes.get(BEGIN as usize..).unwrap_or_default();
        let mut records = Vec::new();
        loop {
            let from = rest;
            let Some(record) = read(&mut rest) else { break };
            records.push((record, &from[..from.len() - rest.len()]));
        }
        // The newest first: of what was said several times the last counts, and nothing from before it ended.
        let (mut heads, mut nodes, mut editions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ended, mut read, mut names) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut absent: HashMap<Handle, usize> = HashMap::new();
        for (record, encoded) in records.into_iter().rev() {
            match record {
                Record::Head(_) => heads.push(encoded),
                Record::Node(handle, place) => {
                    let counts = counts(handle) && !ended.contains(&handle);
                    if counts && names.insert((handle, place.parent, place.name)) {
                        nodes.push(encoded);
                    }
                }
                Record::Edition(handle, _) => {
                    if counts(handle) && !ended.contains(&handle) && read.insert(handle) {
                        editions.push(encoded);
                    }
                }
                Record::Absent(parent, name) => {
                    let told = absent.entry(parent).or_default();
                    // No handle is 0.
                    let nobody = Handle(0);
                    if counts(parent) && *told < ABSENT_MOST && names.insert((nobody, parent, name))
                    {
                        *told += 1;
                        heads.push(encoded);
                    }
                }
                Record::Forgotten(handle) => drop(ended.insert(handle)),
            }
        }
        let mut out = begin(0).to_vec();
        // A node comes before what was read of it, and its last place last.
        for records in [heads, nodes, editions] {
            records.into_iter().rev().for_each(|record| out.extend(record));
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

/// How a file begins. One with the number 0 is not whole yet.
fn begin(number: u64) -> [u8; BEGIN as usize] {
    let mut begin = [0; BEGIN as usize];
    begin[..8].copy_from_slice(&number.to_ne_bytes());
    begin[8..].copy_from_slice(&FORMAT);
    begin
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
            out.extend([HEAD, u8::from(head.read_only), u8::from(head.allow_other)]);
            out.extend(head.mount.0.to_ne_bytes());
            out.extend(head.mount.1.to_ne_bytes());
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
            let (read_only, allow_other) = (take(1)?[0] != 0, take(1)?[0] != 0);
            let mount = number(take(8)?)?;
            let mount = (mount, take(4)?.try_into().ok().map(u32::from_ne_bytes)?);
            let asked = length(take(2)?)?;
            let asked = take(asked)?.to_vec();
            let answered = length(take(2)?)?;
            let answered = take(answered)?.to_vec();
            let point = length(take(2)?)?;
            let point = OsString::from_vec(take(point)?.to_vec()).into();
            let secret = take(16)?.try_into().ok()?;
            let greeting = Greeting { asked, answered };
            Record::Head(Head { greeting, read_only, allow_other, mount, point, secret })
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
        let head = Head {
            greeting,
            read_only: true,
            allow_other: false,
            mount: (1 << 40, 7),
            point: "/a/b".into(),
            secret: [9; 16],
        };
        journal.write(&[Record::Head(head.clone())], |_| true).unwrap();
        journal
            .write(&[node(5, "five"), node(6, "six"), Record::Edition(Handle(5), 55)], |_| true)
            .unwrap();
        journal.write(&[Record::Forgotten(Handle(6)), node(5, "moved")], |_| true).unwrap();
        let left = again(&journal);
        assert_eq!(left.head, head);
        assert_eq!(left.nodes.len(), 1);
        let (place, edition) = &left.nodes[&5];
        assert_eq!((&*place.name, *edition), ("moved", Some(55)));
        // The kernel may keep both names.
        let names: HashSet<_> = left.names.iter().map(|(_, name)| &**name).collect();
        assert_eq!(names, HashSet::from(["five", "moved"]));
    }

    #[test]
    fn the_journal_is_bounded_by_what_is_held_and_a_torn_record_costs_itself_alone() {
        let mut journal = Journal::new().unwrap();
        journal
            .write(&[Record::Head(Head { read_only: true, ..Head::default() })], |_| true)
            .unwrap();
        let held = |handle: Handle| handle.0 % 1000 == 7;
        for number in 0..40_000_u64 {
            journal
                .write(
                    &[node(number, "a name of some length"), Record::Edition(Handle(number), 1)],
                    held,
                )
                .unwrap();
        }
        assert!(journal.number > 1, "nothing was copied");
        let sizes = [0, 1].map(|at| rustix::fs::fstat(&journal.files[at]).unwrap().st_size as u64);
        assert!(sizes.iter().sum::<u64>() < 3 * COPIED_AT, "{sizes:?}");
        let left = again(&journal);
        assert!(left.head.read_only);
        let kept = (0..40_000).filter(|number| held(Handle(*number)));
        assert!(kept.into_iter().all(|number| left.nodes[&number].1 == Some(1)));
        journal.write(&[node(3, "last")], held).unwrap();
        ftruncate(&journal.files[journal.at], journal.length - 2).unwrap();
        let torn = again(&journal);
        assert!(!torn.nodes.contains_key(&3) && torn.nodes.contains_key(&7));
        // What the next process writes stands behind the last whole record.
        let files = [0, 1].map(|at| journal.files[at].try_clone().unwrap());
        let (mut next, _) = Journal::take(files).unwrap();
        next.write(&[node(4, "next")], held).unwrap();
        assert!(again(&next).nodes.contains_key(&4));
    }

    #[test]
    fn a_copy_says_what_was_said_and_nothing_from_before_an_end() {
        let mut journal = Journal::new().unwrap();
        let absent = Record::Absent(Handle(1), "absent".into());
        let said =
            [node(5, "first"), node(5, "second"), Record::Edition(Handle(5), 1), node(6, "six")];
        journal.write(&said, |_| true).unwrap();
        journal.write(&[Record::Forgotten(Handle(6)), node(6, "again"), absent], |_| true).unwrap();
        journal.write(&[Record::Edition(Handle(5), 2), node(5, "second")], |_| true).unwrap();
        let before = again(&journal);
        journal.copied_at = 0;
        journal.write(&[node(7, "seven"), Record::Forgotten(Handle(7))], |of| of.0 != 7).unwrap();
        assert_eq!(journal.number, 2);
        let after = again(&journal);
        assert_eq!((&after.nodes, &after.names), (&before.nodes, &before.names));
        assert_eq!(after.nodes[&5].1, Some(2));
        assert_eq!(after.nodes[&6].1, None);
        assert!(!after.names.contains(&(Handle(1), "six".into())));
    }

    #[test]
    fn files_of_another_form_are_left_as_they_are() {
        let journal = Journal::new().unwrap();
        pwrite(&journal.files[0], b"omnifs 9", 8).unwrap();
        let files = || [0, 1].map(|at| journal.files[at].try_clone().unwrap());
        let before = whole(&journal.files[0]).unwrap();
        assert!(Journal::take(files()).is_err());
        assert_eq!(whole(&journal.files[0]).unwrap(), before);
    }
}
