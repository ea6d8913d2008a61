//! Names: LOOKUP, READDIR and READDIRPLUS.

use super::{LIST_MOST, NAME_MOST};
use crate::nfs::handle::Place;
use crate::nfs::service::{Fault, Service};
use crate::nfs::wire::{Args, pack};
use crate::{Attr, DirEntry, Error, Inode, Vfs};
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{List, Opaque, Pack};

/// The cookies of `.` and `..`; a name's follows its own by as much as the second.
const DOT: u64 = 1;
const DOTS: u64 = 2;
/// Cookies are good for ever, so their verifier never changes. Not zero, which clients take for
/// "none yet".
const VERIFIER: cookieverf3 = cookieverf3(*b"omnifs 1");
/// Bytes that an entry takes at least, with and without attributes and a handle.
const SMALL: usize = 32;
const SMALL_PLUS: usize = 160;
/// Entries asked for at a time.
const PAGE: usize = 512;

/// The parts of the answer to a listing, cut to a size in bytes.
struct Page<T> {
    entries: Vec<T>,
    left: usize,
    /// Bytes of names and cookies, which READDIRPLUS counts apart.
    names_left: usize,
    full: bool,
}

impl<T: Pack> Page<T> {
    /// Room for a result of `most` bytes that has `rest` besides its entries.
    fn new(most: u32, names: u32, rest: usize) -> Page<T> {
        let left = (most.min(LIST_MOST) as usize).saturating_sub(rest);
        Page { entries: Vec::new(), left, names_left: names as usize, full: false }
    }

    /// Whether it fitted.
    fn push(&mut self, name: usize, entry: T) -> bool {
        let size = entry.packed_size() + 4;
        // A fileid, the name with its length, a cookie.
        let names = 8 + 4 + name.next_multiple_of(4) + 8;
        // The count for names is a hint: one entry goes through in any case.
        let wide = names > self.names_left && !self.entries.is_empty();
        self.full = size > self.left || wide;
        if !self.full {
            self.left -= size;
            self.names_left = self.names_left.saturating_sub(names);
            self.entries.push(entry);
        }
        !self.full
    }
}

impl<V: Vfs> Service<V> {
    /// The object `name` in a directory, with its attributes where they can be told.
    pub(super) async fn child(
        &self,
        directory: Place,
        name: &[u8],
    ) -> Result<(Place, Option<Attr>), Fault> {
        if name.len() > NAME_MOST {
            return Err(Error::NameTooLong.into());
        }
        // The tree has names in UTF-8 only.
        let name = std::str::from_utf8(name).map_err(|_| Error::NotFound)?;
        let known = self.objects.resolve(directory).await?;
        if known.kind != crate::Kind::Directory {
            return Err(Error::NotDirectory.into());
        }
        let place = match name {
            "" => return Err(nfsstat3::NFS3ERR_INVAL.into()),
            "." => directory,
            ".." => self.objects.above(directory)?,
            _ if name.contains(['/', '\0']) => return Err(Error::NotFound.into()),
            _ => {
                let stamp = self.objects.stamp();
                let entry = self.vfs.lookup(known.handle, name).await?.ok_or(Error::NotFound)?;
                let place = self.objects.enter(directory, name, &entry, stamp);
                if let Some(attr) = entry.attr
                    && let Some(known) = self.objects.known(place)
                {
                    // A failure here is one of reading the content: the name is there all the same.
                    let agreed = self.agree(place, &known, &attr).await;
                    return Ok((place, agreed.is_ok().then_some(attr)));
                }
                place
            }
        };
        let attr = self.attributes(place).await;
        Ok((place, attr.ok()))
    }

    /// The inodes of `.` and `..`.
    async fn dots(&self, place: Place) -> Result<(Inode, Inode), Fault> {
        Ok((place.inode, self.objects.above(place)?.inode))
    }

    pub(super) async fn readdir(&self, mut args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let handle = args.opaque(NFS3_FHSIZE)?;
        let (cookie, _verifier, count) = (args.u64()?, args.u64()?, args.u32()?);
        args.end()?;
        let place = self.place(handle)?;
        let dir_attributes = self.beginning(place, cookie).await?;
        let mut result =
            READDIR3resok { dir_attributes, cookieverf: VERIFIER, reply: dirlist3::default() };
        let mut page = Page::new(count, u32::MAX, 4 + result.packed_size());
        let entry = |name: &str, cookie, fileid: Inode| entry3 {
            fileid: fileid.0,
            name: filename3(Opaque::owned(name.as_bytes().to_vec())),
            cookie,
        };
        let (own, above) = self.dots(place).await?;
        let _fits = (cookie >= DOT || page.push(1, entry(".", DOT, own)))
            && (cookie >= DOTS || page.push(2, entry("..", DOTS, above)));
        let mut eof = false;
        let listing = self.listing(place, cookie < DOTS).await?;
        let mut at = cookie.saturating_sub(DOTS);
        while !page.full && !eof {
            let limit = (page.left / SMALL + 1).min(PAGE);
            let found = self.vfs.readdir(listing.id, at, limit, false).await?;
            eof = found.entries.is_empty();
            for listed in found.entries {
                at = listed.cookie;
                let shown = entry(&listed.name, listed.cookie.saturating_add(DOTS), listed.inode);
                if !page.push(listed.name.len(), shown) {
                    break;
                }
            }
        }
        if page.entries.is_empty() && !eof {
            return Err(nfsstat3::NFS3ERR_TOOSMALL.into());
        }
        result.reply = dirlist3 { entries: List(page.entries), eof };
        pack(&READDIR3res::Ok(result), out);
        Ok(())
    }

    pub(super) async fn readdirplus(
        &self,
        mut args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let handle = args.opaque(NFS3_FHSIZE)?;
        let (cookie, _verifier) = (args.u64()?, args.u64()?);
        let (names, most) = (args.u32()?, args.u32()?);
        args.end()?;
        let place = self.place(handle)?;
        let dir_attributes = self.beginning(place, cookie).await?;
        let mut result = READDIRPLUS3resok {
            dir_attributes,
            cookieverf: VERIFIER,
            reply: dirlistplus3 { entries: List::default(), eof: false },
        };
        let mut page = Page::new(most, names, 4 + result.packed_size());
        let (own, above) = self.dots(place).await?;
        let _fits = (cookie >= DOT || page.push(1, bare(".", DOT, own)))
            && (cookie >= DOTS || page.push(2, bare("..", DOTS, above)));
        let mut eof = false;
        let listing = self.listing(place, cookie < DOTS).await?;
        let mut at = cookie.saturating_sub(DOTS);
        while !page.full && !eof {
            let limit = (page.left / SMALL_PLUS + 1).min(PAGE);
            let stamp = self.objects.stamp();
            let found = self.vfs.readdir(listing.id, at, limit, true).await?;
            eof = found.entries.is_empty();
            let mut rest = found.entries.into_iter();
            for listed in rest.by_ref() {
                at = listed.cookie;
                let length = listed.name.len();
                let shown = self.entry_plus(place, listed, stamp);
                // One that does not fit is in the table all the same, and holds its reference there.
                if !page.push(length, shown) {
                    break;
                }
            }
            rest.filter_map(|unread| unread.entry).for_each(|e| self.vfs.forget(e.handle, 1));
        }
        if page.entries.is_empty() && !eof {
            return Err(nfsstat3::NFS3ERR_TOOSMALL.into());
        }
        result.reply = dirlistplus3 { entries: List(page.entries), eof };
        pack(&READDIRPLUS3res::Ok(result), out);
        Ok(())
    }

    /// The directory's attributes for the first page of a listing. Later pages go without: they would
    /// only cost a question each.
    async fn beginning(&self, place: Place, cookie: u64) -> Result<post_op_attr, Fault> {
        if cookie >= DOTS {
            return Ok(post_op_attr::None);
        }
        let attr = self.attributes(place).await?;
        Ok(post_op_attr::Some(self.show(place, &attr)))
    }

    /// An entry with all that is known of it. Without an exact size it goes without attributes and
    /// handle, and the client looks it up when it wants them.
    fn entry_plus(&self, directory: Place, listed: DirEntry, stamp: u64) -> entryplus3<'static> {
        let mut shown = bare(&listed.name, listed.cookie.saturating_add(DOTS), listed.inode);
        let Some(entry) = listed.entry else { return shown };
        let place = self.objects.enter(directory, &listed.name, &entry, stamp);
        // What is being read under another handle has to be compared first, which LOOKUP does.
        let handles = self.objects.known(place).map(|known| known.handle);
        let agrees = |attr: &Attr| {
            self.files.get(place).is_none_or(|file| {
                Some(file.open.handle) == handles && (file.direct || !file.differs(attr))
            })
        };
        if let Some(attr) = entry.attr.filter(agrees) {
            shown.name_attributes = post_op_attr::Some(self.show(place, &attr));
            shown.name_handle = post_op_fh3::Some(self.handle(place));
        }
        shown
    }
}

fn bare(name: &str, cookie: u64, inode: Inode) -> entryplus3<'static> {
    entryplus3 {
        fileid: inode.0,
        name: filename3(Opaque::owned(name.as_bytes().to_vec())),
        cookie,
        name_attributes: post_op_attr::None,
        name_handle: post_op_fh3::None,
    }
}
