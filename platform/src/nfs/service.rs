//! What the procedures share: handles to objects, attributes that agree with what is being read, and
//! the files and directories that are open meanwhile.

use super::handle::{Place, Refused, Sealer};
use super::objects::{Known, Objects};
use super::streams::{File, IDLE, Open, Streams};
use super::wire::{Export, Garbage, file_handle, status};
use crate::{Attr, Change, Error, HandleError, Result, Vfs};
use bytes::Bytes;
use nfs3_types::nfs3::{fattr3, nfs_fh3, nfsstat3};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Bytes of one READ at most, told by FSINFO and kept to.
pub(super) const READ_MOST: u32 = 256 * 1024;
/// Bytes compared at a time.
const PIECE: u32 = 1 << 20;
/// How often an object that changes under the hands of a call is looked up again.
const TRIES: usize = 4;
/// How long READs go on with what was opened after a change has named the object, as a client's
/// attribute cache does. GETATTR never does.
const LINGER: Duration = Duration::from_secs(1);

/// Why a procedure has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Garbage,
    Status(nfsstat3),
}

impl Fault {
    /// What a procedure on a handle answers: RFC 1813 has "no such name" for LOOKUP alone, and a client
    /// that meets it in a listing takes it for the listing's end.
    pub fn of_handle(self) -> Fault {
        match self {
            Fault::Status(nfsstat3::NFS3ERR_NOENT) => Fault::Status(nfsstat3::NFS3ERR_STALE),
            other => other,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Status(status(error))
    }
}

impl From<HandleError> for Fault {
    fn from(error: HandleError) -> Fault {
        Error::from(error).into()
    }
}

impl From<Garbage> for Fault {
    fn from(_: Garbage) -> Fault {
        Fault::Garbage
    }
}

impl From<nfsstat3> for Fault {
    fn from(status: nfsstat3) -> Fault {
        Fault::Status(status)
    }
}

/// A directory being listed.
pub(super) type Listing<V> = Open<V>;

#[derive(Debug)]
pub(super) struct Service<V: Vfs> {
    pub vfs: Arc<V>,
    pub objects: Objects<V>,
    pub sealer: Sealer,
    pub export: Export,
    /// The name of the export.
    pub token: String,
    /// Nobody may mount the export any more.
    pub closed: Arc<AtomicBool>,
    pub allow_other: bool,
    pub uid: u32,
    pub files: Streams<File<V>>,
    pub listings: Streams<Listing<V>>,
}

impl<V: Vfs> Service<V> {
    /// The place that a client's handle stands for.
    pub fn place(&self, handle: &[u8]) -> std::result::Result<Place, Fault> {
        self.sealer.open(handle).map_err(|refused| {
            Fault::Status(match refused {
                Refused::Malformed => nfsstat3::NFS3ERR_BADHANDLE,
                // Of a key that is gone: the client looks its path up again.
                Refused::Unproved => nfsstat3::NFS3ERR_STALE,
            })
        })
    }

    pub fn handle(&self, place: Place) -> nfs_fh3 {
        file_handle(&self.sealer.seal(place))
    }

    pub fn show(&self, place: Place, attr: &Attr) -> fattr3 {
        let moved = self.objects.known(place).map_or(0, |known| known.moved);
        self.export.attributes(attr, moved)
    }

    /// Attributes as of now, from the core.
    pub async fn attributes(&self, place: Place) -> Result<Attr> {
        for _ in 0..TRIES {
            let known = self.objects.resolve(place).await?;
            match self.vfs.getattr(known.handle).await {
                Ok(attr) => {
                    self.agree(place, &known, &attr).await?;
                    return Ok(attr);
                }
                Err(Error::Stale) => self.objects.doubt(place),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Stale)
    }

    /// Keeps what is open of an object in step with attributes that a client is about to be told.
    pub async fn agree(&self, place: Place, known: &Known, attr: &Attr) -> Result<()> {
        let Some(file) = self.files.get(place) else { return Ok(()) };
        if file.direct && file.open.handle == known.handle {
            // The core has moved it on to what it has just told.
            file.set_attr(attr.clone());
        } else if file.differs(attr) {
            self.files.drop_one(place);
        } else if file.open.handle != known.handle {
            // Another version that looks the same: a client would keep its pages of the old one.
            self.files.drop_one(place);
            let newer = self.file(place).await?;
            if newer.is_in_pieces() || !self.same(&file, &newer).await? {
                self.objects.moved(place);
            }
        }
        Ok(())
    }

    async fn same(&self, one: &File<V>, other: &File<V>) -> Result<bool> {
        let mut at = 0;
        loop {
            let old = self.vfs.read(one.open.id, at, PIECE).await?;
            let new = self.vfs.read(other.open.id, at, PIECE).await?;
            if old != new {
                return Ok(false);
            }
            if old.is_empty() {
                return Ok(true);
            }
            at += old.len() as u64;
        }
    }

    /// The file at `place`, opened if it is not open yet.
    pub async fn file(&self, place: Place) -> Result<Arc<File<V>>> {
        if let Some(file) = self.files.get(place)
            && let Some(known) = self.objects.known(place)
            && !known.gone
            && known.handle == file.open.handle
            && known.marked.is_none_or(|since| since.elapsed() < LINGER)
        {
            return Ok(file);
        }
        for _ in 0..TRIES {
            let known = self.objects.resolve(place).await?;
            match self.open(known).await {
                Ok(file) => {
                    let file = Arc::new(file);
                    self.files.put(place, file.clone(), file.held);
                    return Ok(file);
                }
                // It has changed since, and its names lead to another handle.
                Err(Error::Stale) => self.objects.doubt(place),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Stale)
    }

    async fn open(&self, known: Known) -> Result<File<V>> {
        let opened = self.vfs.open(known.handle).await?;
        let open = Open::new(&self.vfs, opened.id, known.handle);
        // After the open: from there on the handle is that of the content that was opened.
        let mut attr = self.vfs.getattr(known.handle).await?;
        if !opened.direct {
            attr.size = opened.size;
        }
        Ok(File::new(open, &opened, attr))
    }

    /// A part of a file, the attributes that go with it, and whether it reaches the end.
    pub async fn read(&self, place: Place, offset: u64, count: u32) -> Result<(Bytes, Attr, bool)> {
        let file = self.file(place).await?;
        let bytes = self.vfs.read(file.open.id, offset, count.min(READ_MOST)).await?;
        let mut attr = file.attr();
        let end = offset.saturating_add(bytes.len() as u64);
        if file.direct && end > attr.size {
            attr.size = end;
            file.set_attr(attr.clone());
        }
        let last = end >= attr.size;
        Ok((bytes, attr, last))
    }

    /// The directory at `place`, opened. A listing that begins sees what is there now; one that goes
    /// on takes what is open, or opens anew: cookies are the same in every listing.
    pub async fn listing(&self, place: Place, begins: bool) -> Result<Arc<Listing<V>>> {
        let known = self.objects.resolve(place).await?;
        if !begins
            && let Some(listing) = self.listings.get(place)
            && listing.handle == known.handle
        {
            return Ok(listing);
        }
        let opened = match self.vfs.opendir(known.handle).await.map_err(Error::from) {
            Err(Error::Stale) => {
                self.objects.doubt(place);
                let again = self.objects.resolve(place).await?;
                (self.vfs.opendir(again.handle).await?, again.handle)
            }
            opened => (opened?, known.handle),
        };
        let listing = Arc::new(Open::new(&self.vfs, opened.0.id, opened.1));
        self.listings.put(place, listing.clone(), 1);
        Ok(listing)
    }

    pub fn apply(&self, changes: &[Change]) {
        for place in self.objects.apply(changes).places {
            self.files.drop_one(place);
            self.listings.drop_one(place);
        }
    }

    /// Closes what nobody reads any more.
    pub fn sweep(&self) {
        if let Some(before) = Instant::now().checked_sub(IDLE) {
            self.files.sweep(before);
            self.listings.sweep(before);
        }
    }
}
