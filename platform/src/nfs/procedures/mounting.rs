//! The mount protocol: who knows the export's name gets the handle of its root.

use super::{Needs, nothing};
use crate::Vfs;
use crate::nfs::handle::Place;
use crate::nfs::service::{Fault, Service};
use crate::nfs::wire::{Args, pack};
use nfs3_types::mount::{MNTPATHLEN, MOUNT_PROGRAM, fhandle3, mountres3, mountres3_ok, mountstat3};
use nfs3_types::nfs3::nfsstat3;
use nfs3_types::xdr_codec::Opaque;
use std::sync::atomic::Ordering;

const AUTH_SYS: u32 = 1;

/// Who may call this procedure; `None` where there is none of this number.
pub(super) fn needs(procedure: u32) -> Option<Needs> {
    use MOUNT_PROGRAM::*;
    Some(match MOUNT_PROGRAM::try_from(procedure).ok()? {
        MOUNTPROC3_NULL => Needs::Nobody,
        // Nothing is told by these two, whoever asks.
        MOUNTPROC3_EXPORT | MOUNTPROC3_DUMP => Needs::Nobody,
        MOUNTPROC3_MNT | MOUNTPROC3_UMNT | MOUNTPROC3_UMNTALL => Needs::Mounter,
    })
}

impl<V: Vfs> Service<V> {
    pub(super) async fn mount_procedure(
        &self,
        number: u32,
        mut args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let Ok(procedure) = MOUNT_PROGRAM::try_from(number) else { return Err(Fault::Garbage) };
        match procedure {
            MOUNT_PROGRAM::MOUNTPROC3_MNT => {
                let path = args.opaque(MNTPATHLEN)?;
                args.end()?;
                let result = match self.mounted(path).await {
                    Ok(place) => mountres3::Ok(mountres3_ok {
                        fhandle: fhandle3(Opaque::owned(self.sealer.seal(place).to_vec())),
                        auth_flavors: vec![AUTH_SYS],
                    }),
                    Err(status) => mountres3::Err(status),
                };
                pack(&result, out);
            }
            // Lists that are empty: nobody learns the export's name here.
            MOUNT_PROGRAM::MOUNTPROC3_EXPORT | MOUNT_PROGRAM::MOUNTPROC3_DUMP => {
                args.end()?;
                pack(&false, out);
            }
            MOUNT_PROGRAM::MOUNTPROC3_UMNT => {
                args.opaque(MNTPATHLEN)?;
                args.end()?;
                nothing(out);
            }
            MOUNT_PROGRAM::MOUNTPROC3_NULL | MOUNT_PROGRAM::MOUNTPROC3_UMNTALL => {
                args.end()?;
                nothing(out);
            }
        }
        Ok(())
    }

    /// The directory at the export's name or below it.
    async fn mounted(&self, path: &[u8]) -> Result<Place, mountstat3> {
        let mut names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let token = names.next().unwrap_or_default();
        if self.closed.load(Ordering::Relaxed) || !same(token, self.token.as_bytes()) {
            return Err(mountstat3::MNT3ERR_ACCES);
        }
        let mut at = self.objects.root();
        for name in names {
            at = match self.child(at, name).await {
                Ok((place, _)) => place,
                Err(Fault::Status(nfsstat3::NFS3ERR_NOENT)) => {
                    return Err(mountstat3::MNT3ERR_NOENT);
                }
                Err(Fault::Status(nfsstat3::NFS3ERR_NOTDIR)) => {
                    return Err(mountstat3::MNT3ERR_NOTDIR);
                }
                Err(Fault::Status(nfsstat3::NFS3ERR_ACCES)) => {
                    return Err(mountstat3::MNT3ERR_ACCES);
                }
                Err(_) => return Err(mountstat3::MNT3ERR_IO),
            };
        }
        match self.objects.known(at).map(|known| known.kind) {
            Some(crate::Kind::Directory) => Ok(at),
            _ => Err(mountstat3::MNT3ERR_NOTDIR),
        }
    }
}

/// Compares in a time that depends on the lengths alone.
fn same(one: &[u8], other: &[u8]) -> bool {
    let different = one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b));
    one.len() == other.len() && std::hint::black_box(different) == 0
}
