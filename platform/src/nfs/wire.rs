//! The adapter over `nfs3_types`: how arguments are taken off the wire, and how this crate's values
//! look on it.
//!
//! Arguments are read here and not by the crate, which makes room for as many bytes as a length says
//! before it looks whether they are there: four gigabytes for five bytes of request.

use crate::owner::Owner;
use crate::{Attr, Error, Kind};
use nfs3_types::nfs3::{fattr3, ftype3, nfs_fh3, nfsstat3, nfstime3, specdata3};
use nfs3_types::xdr_codec::{Opaque, Pack};
use std::time::{Duration, SystemTime};

/// The arguments of a call are not what the procedure takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbage;

/// A reader of XDR (RFC 4506) that never looks beyond the bytes it was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Args<'a>(pub &'a [u8]);

impl<'a> Args<'a> {
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Garbage> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Garbage)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn u32(&mut self) -> Result<u32, Garbage> {
        let bytes = self.bytes(4)?.try_into().map_err(|_| Garbage)?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub fn u64(&mut self) -> Result<u64, Garbage> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    /// Bytes with their length before them and padding behind; at most `most`.
    pub fn opaque(&mut self, most: usize) -> Result<&'a [u8], Garbage> {
        let length = usize::try_from(self.u32()?).map_err(|_| Garbage)?;
        if length > most {
            return Err(Garbage);
        }
        let taken = self.bytes(length)?;
        self.bytes(length.next_multiple_of(4) - length)?;
        Ok(taken)
    }

    /// Nothing may follow the last argument.
    pub fn end(self) -> Result<(), Garbage> {
        if self.0.is_empty() { Ok(()) } else { Err(Garbage) }
    }
}

/// Appends a value in XDR.
pub(super) fn pack(value: &impl Pack, out: &mut Vec<u8>) {
    // Writing to a vector does not fail, and nothing here is as long as the 4 GiB that would.
    if let Err(error) = value.pack(out) {
        tracing::error!(%error, "an NFS answer could not be encoded");
    }
}

pub(super) fn status(error: Error) -> nfsstat3 {
    use nfsstat3::*;
    let code = error.codes().nfs;
    let known = [
        NFS3ERR_NOENT,
        NFS3ERR_IO,
        NFS3ERR_ACCES,
        NFS3ERR_NOTDIR,
        NFS3ERR_ISDIR,
        NFS3ERR_INVAL,
        NFS3ERR_FBIG,
        NFS3ERR_ROFS,
        NFS3ERR_NAMETOOLONG,
        NFS3ERR_STALE,
        NFS3ERR_JUKEBOX,
    ];
    known.into_iter().find(|status| *status as u32 == code).unwrap_or(NFS3ERR_SERVERFAULT)
}

/// The protocol counts seconds from 1970 to 2106; what is outside is shown at the near end.
pub(super) fn time(time: SystemTime) -> nfstime3 {
    shown(since_1970(time))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

fn shown(since: Duration) -> nfstime3 {
    match u32::try_from(since.as_secs()) {
        Ok(seconds) => nfstime3 { seconds, nseconds: since.subsec_nanos() },
        Err(_) => nfstime3 { seconds: u32::MAX, nseconds: 0 },
    }
}

/// What is the same of every object of an export.
#[derive(Clone, Copy, Debug)]
pub(super) struct Export {
    pub owner: Owner,
    pub fsid: u64,
}

impl Export {
    /// `moved` is the number of the change that last moved the content. Clients tell contents apart
    /// by times and size; where a service's own time does not move with the content, this does.
    pub fn attributes(self, attr: &Attr, moved: u64) -> fattr3 {
        let mtime = time(attr.modified);
        // Not added to the time itself: a system's clock may count in more than nanoseconds.
        let ctime = shown(since_1970(attr.modified).saturating_add(Duration::from_nanos(moved)));
        fattr3 {
            type_: match attr.kind {
                Kind::Directory => ftype3::NF3DIR,
                Kind::File | Kind::Executable => ftype3::NF3REG,
                Kind::Symlink => ftype3::NF3LNK,
            },
            mode: u32::from(attr.kind.permissions()),
            nlink: 1,
            uid: self.owner.uid,
            gid: self.owner.gid,
            size: attr.size,
            used: attr.size,
            rdev: specdata3::default(),
            fsid: self.fsid,
            fileid: attr.inode.0,
            atime: mtime,
            mtime,
            ctime,
        }
    }
}

pub(super) fn file_handle(bytes: &[u8]) -> nfs_fh3 {
    nfs_fh3 { data: Opaque::owned(bytes.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Inode;

    #[test]
    fn each_error_has_its_status_on_the_wire() {
        for error in Error::ALL {
            assert_eq!(status(error) as u32, error.codes().nfs, "{error:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_message_is_garbage_whatever_it_says() {
        for length in [5_u32, 1 << 20, u32::MAX - 3, u32::MAX] {
            let mut message = length.to_be_bytes().to_vec();
            message.extend(b"four");
            assert_eq!(Args(&message).opaque(usize::MAX), Err(Garbage), "{length}");
        }
        let mut args = Args(b"\0\0\0\x05hello\0\0\0\0\0\0\x01");
        assert_eq!(args.opaque(5), Ok(&b"hello"[..]));
        assert_eq!((args.u32(), args.end()), (Ok(1), Ok(())));
        assert_eq!(Args(b"\0\0\0\x05hello\0\0\0").opaque(4), Err(Garbage));
        assert_eq!(Args(b"\0\0\0\x05hello\0\0").opaque(5), Err(Garbage));
        assert_eq!(Args(b"x").end(), Err(Garbage));
    }

    #[test]
    fn times_outside_the_protocol_are_shown_at_its_ends() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(time(at(7)), nfstime3 { seconds: 7, nseconds: 0 });
        assert_eq!(time(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).seconds, 0);
        // The latest that every system's clock can say is some 28,000 years away.
        assert_eq!(time(at(1 << 36)).seconds, u32::MAX);
    }

    #[test]
    fn a_moved_content_moves_the_change_time_alone() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let attr = Attr { inode: Inode(5), kind: Kind::File, size: 3, modified, cacheable: true };
        let export = Export { owner: Owner { uid: 1, gid: 2 }, fsid: 3 };
        let (before, after) = (export.attributes(&attr, 0), export.attributes(&attr, 9));
        assert_eq!((before.mtime, before.ctime), (after.mtime, before.mtime));
        assert_eq!(after.ctime.nseconds, 9);
    }
}
