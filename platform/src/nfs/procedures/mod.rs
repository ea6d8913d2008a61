//! The procedures of NFS version 3 (RFC 1813 section 3) and of its mount protocol (appendix I).
//!
//! Attributes that an answer may carry are left out where they would cost a question to the core:
//! a client that wants them asks with GETATTR.

mod directories;
mod mounting;

use super::rpc::{self, Bad, Call};
use super::service::{Fault, READ_MOST, Service};
use super::wire::{Args, pack};
use crate::{Kind, Vfs};
use bytes::Bytes;
use nfs3_types::nfs3::*;
use nfs3_types::rpc::{accept_stat_data, auth_stat};
use nfs3_types::xdr_codec::{Opaque, Void};
use std::sync::Arc;

/// Bytes of a WRITE that are taken in before it is refused.
pub(in super::super) const WRITE_MOST: u32 = 64 * 1024;
/// Bytes of a listing's answer at most.
const LIST_MOST: u32 = 64 * 1024;
const NAME_MOST: usize = 255;
/// The blocks that FSSTAT counts in, so that an empty cache shows as one.
const BLOCK: u64 = 4096;

/// What becomes of one message.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The reply, and whether the call proved to come from somebody who may use the export.
    Reply(Vec<u8>, bool),
    /// Nobody to answer to.
    Close,
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nobody,
    /// The owner, or root: it is root who mounts.
    Mounter,
    Owner,
}

impl<V: Vfs> Service<V> {
    /// Answers one message. `before` bytes of the reply are left for the caller.
    pub async fn answer(self: Arc<Self>, message: Bytes, before: usize) -> Outcome {
        let mut out = vec![0; before];
        let call = match Call::read(&message) {
            Ok(call) => call,
            Err(Bad::NoCall) => return Outcome::Close,
            Err(Bad::Version { xid }) => {
                rpc::other_version(xid, &mut out);
                return Outcome::Reply(out, false);
            }
            Err(Bad::Credential { xid }) => {
                rpc::denied(xid, auth_stat::AUTH_BADCRED, &mut out);
                return Outcome::Reply(out, false);
            }
        };
        let known = self.dispatch(&call, &mut out).await;
        Outcome::Reply(out, known)
    }

    async fn dispatch(&self, call: &Call<'_>, out: &mut Vec<u8>) -> bool {
        let mounts = call.program == nfs3_types::mount::PROGRAM;
        if !mounts && call.program != PROGRAM {
            rpc::accepted(call.xid, accept_stat_data::PROG_UNAVAIL, out);
            return false;
        }
        // Both are version 3.
        if call.version != VERSION {
            let (low, high) = (VERSION, VERSION);
            rpc::accepted(call.xid, accept_stat_data::PROG_MISMATCH { low, high }, out);
            return false;
        }
        let needs = if mounts { mounting::needs(call.procedure) } else { needs(call.procedure) };
        let Some(needs) = needs else {
            rpc::accepted(call.xid, accept_stat_data::PROC_UNAVAIL, out);
            return false;
        };
        let root = self.allow_other || call.uid == Some(0);
        let owner = call.uid.is_some() && (self.allow_other || call.uid == Some(self.uid));
        let may = match needs {
            Needs::Nobody => true,
            Needs::Mounter => owner || (call.uid.is_some() && root),
            Needs::Owner => owner,
        };
        if !may {
            tracing::debug!(uid = call.uid, procedure = call.procedure, "an NFS call is refused");
            rpc::denied(call.xid, auth_stat::AUTH_TOOWEAK, out);
            return false;
        }
        let head = out.len();
        rpc::accepted(call.xid, accept_stat_data::SUCCESS, out);
        let body = out.len();
        let args = Args(call.args);
        let done = if mounts {
            self.mount_procedure(call.procedure, args, out).await
        } else {
            self.procedure(call.procedure, args, out).await
        };
        match done {
            Ok(()) => {}
            Err(Fault::Garbage) => {
                out.truncate(head);
                rpc::accepted(call.xid, accept_stat_data::GARBAGE_ARGS, out);
            }
            Err(Fault::Status(status)) => {
                out.truncate(body);
                pack(&status, out);
                // The attributes that follow an error are all optional, and left out.
                out.resize(out.len() + 4 * absent(call.procedure), 0);
            }
        }
        needs == Needs::Owner
    }

    async fn procedure(&self, number: u32, args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Ok(procedure) = NFS_PROGRAM::try_from(number) else { return Err(Fault::Garbage) };
        let done = self.answer_one(procedure, args, out).await;
        match procedure {
            NFS_PROGRAM::NFSPROC3_LOOKUP => done,
            _ => done.map_err(Fault::of_handle),
        }
    }

    async fn answer_one(
        &self,
        procedure: NFS_PROGRAM,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match procedure {
            NFS_PROGRAM::NFSPROC3_NULL => {
                args.end()?;
                Ok(())
            }
            NFS_PROGRAM::NFSPROC3_GETATTR => self.getattr(args, out).await,
            NFS_PROGRAM::NFSPROC3_LOOKUP => self.lookup(args, out).await,
            NFS_PROGRAM::NFSPROC3_ACCESS => self.access(args, out).await,
            NFS_PROGRAM::NFSPROC3_READLINK => self.readlink(args, out).await,
            NFS_PROGRAM::NFSPROC3_READ => self.read_procedure(args, out).await,
            NFS_PROGRAM::NFSPROC3_READDIR => self.readdir(args, out).await,
            NFS_PROGRAM::NFSPROC3_READDIRPLUS => self.readdirplus(args, out).await,
            NFS_PROGRAM::NFSPROC3_FSSTAT => self.fsstat(args, out).await,
            NFS_PROGRAM::NFSPROC3_FSINFO => self.fsinfo(args, out).await,
            NFS_PROGRAM::NFSPROC3_PATHCONF => self.pathconf(args, out).await,
            NFS_PROGRAM::NFSPROC3_SETATTR
            | NFS_PROGRAM::NFSPROC3_WRITE
            | NFS_PROGRAM::NFSPROC3_CREATE
            | NFS_PROGRAM::NFSPROC3_MKDIR
            | NFS_PROGRAM::NFSPROC3_SYMLINK
            | NFS_PROGRAM::NFSPROC3_MKNOD
            | NFS_PROGRAM::NFSPROC3_REMOVE
            | NFS_PROGRAM::NFSPROC3_RMDIR
            | NFS_PROGRAM::NFSPROC3_RENAME
            | NFS_PROGRAM::NFSPROC3_LINK
            | NFS_PROGRAM::NFSPROC3_COMMIT => self.refuse(args).await,
        }
    }

    /// Any write. All of them name an object first; the rest does not matter.
    async fn refuse(&self, mut args: Args<'_>) -> Result<(), Fault> {
        let place = self.place(args.opaque(NFS3_FHSIZE)?)?;
        self.objects.resolve(place).await?;
        Err(nfsstat3::NFS3ERR_ROFS.into())
    }

    /// The one argument of a procedure that takes a handle only.
    async fn only_handle(&self, mut args: Args<'_>) -> Result<super::handle::Place, Fault> {
        let handle = args.opaque(NFS3_FHSIZE)?;
        args.end()?;
        self.place(handle)
    }

    async fn getattr(&self, args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let place = self.only_handle(args).await?;
        let attr = self.attributes(place).await?;
        let obj_attributes = self.show(place, &attr);
        pack(&GETATTR3res::Ok(GETATTR3resok { obj_attributes }), out);
        Ok(())
    }

    async fn lookup(&self, mut args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let directory = args.opaque(NFS3_FHSIZE)?;
        let name = args.opaque(usize::MAX)?;
        args.end()?;
        let directory = self.place(directory)?;
        let (place, attr) = self.child(directory, name).await?;
        let obj_attributes = match attr {
            Some(attr) => post_op_attr::Some(self.show(place, &attr)),
            None => post_op_attr::None,
        };
        let object = self.handle(place);
        let dir_attributes = post_op_attr::None;
        pack(&LOOKUP3res::Ok(LOOKUP3resok { object, obj_attributes, dir_attributes }), out);
        Ok(())
    }

    async fn access(&self, mut args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let handle = args.opaque(NFS3_FHSIZE)?;
        let asked = args.u32()?;
        args.end()?;
        let known = self.objects.resolve(self.place(handle)?).await?;
        let can = match known.kind {
            Kind::Directory => ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_EXECUTE,
            Kind::Executable => ACCESS3_READ | ACCESS3_EXECUTE,
            Kind::File | Kind::Symlink => ACCESS3_READ,
        };
        let obj_attributes = post_op_attr::None;
        pack(&ACCESS3res::Ok(ACCESS3resok { obj_attributes, access: asked & can }), out);
        Ok(())
    }

    async fn readlink(&self, args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let place = self.only_handle(args).await?;
        let known = self.objects.resolve(place).await?;
        let target = self.vfs.readlink(known.handle).await?;
        let data = nfspath3(Opaque::borrowed(&target));
        let symlink_attributes = post_op_attr::None;
        pack(&READLINK3res::Ok(READLINK3resok { symlink_attributes, data }), out);
        Ok(())
    }

    async fn read_procedure(&self, mut args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let handle = args.opaque(NFS3_FHSIZE)?;
        let (offset, count) = (args.u64()?, args.u32()?);
        args.end()?;
        let place = self.place(handle)?;
        let (bytes, attr, eof) = self.read(place, offset, count).await?;
        let file_attributes = post_op_attr::Some(self.show(place, &attr));
        // At most READ_MOST.
        let count = bytes.len() as u32;
        out.reserve(bytes.len() + 128);
        let data = Opaque::borrowed(&bytes);
        pack(&READ3res::Ok(READ3resok { file_attributes, count, eof, data }), out);
        Ok(())
    }

    /// The cache is what takes up space here, and there is none to write to.
    async fn fsstat(&self, args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let place = self.only_handle(args).await?;
        self.objects.resolve(place).await?;
        let now = self.vfs.statfs();
        let result = FSSTAT3resok {
            obj_attributes: post_op_attr::None,
            tbytes: now.used.max(1).next_multiple_of(BLOCK),
            fbytes: 0,
            abytes: 0,
            tfiles: now.nodes.max(1),
            ffiles: 0,
            afiles: 0,
            invarsec: 0,
        };
        pack(&FSSTAT3res::Ok(result), out);
        Ok(())
    }

    async fn fsinfo(&self, args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let place = self.only_handle(args).await?;
        self.objects.resolve(place).await?;
        let result = FSINFO3resok {
            obj_attributes: post_op_attr::None,
            rtmax: READ_MOST,
            rtpref: READ_MOST,
            rtmult: 4096,
            wtmax: WRITE_MOST,
            wtpref: WRITE_MOST,
            wtmult: 4096,
            dtpref: LIST_MOST,
            // The offsets of most clients are signed.
            maxfilesize: i64::MAX as u64,
            time_delta: nfstime3 { seconds: 0, nseconds: 1 },
            properties: FSF3_SYMLINK | FSF3_HOMOGENEOUS,
        };
        pack(&FSINFO3res::Ok(result), out);
        Ok(())
    }

    async fn pathconf(&self, args: Args<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let place = self.only_handle(args).await?;
        self.objects.resolve(place).await?;
        let result = PATHCONF3resok {
            obj_attributes: post_op_attr::None,
            linkmax: 1,
            name_max: NAME_MOST as u32,
            no_trunc: true,
            chown_restricted: true,
            case_insensitive: false,
            case_preserving: true,
        };
        pack(&PATHCONF3res::Ok(result), out);
        Ok(())
    }
}

/// Who may call this procedure of NFS; `None` where there is none of this number.
fn needs(procedure: u32) -> Option<Needs> {
    use NFS_PROGRAM::*;
    Some(match NFS_PROGRAM::try_from(procedure).ok()? {
        NFSPROC3_NULL => Needs::Nobody,
        // What the Linux kernel asks as root while it mounts.
        NFSPROC3_GETATTR | NFSPROC3_FSINFO | NFSPROC3_FSSTAT | NFSPROC3_PATHCONF => Needs::Mounter,
        _ => Needs::Owner,
    })
}

/// How many words of "not there" follow the status of a failed call: each optional attribute is one.
fn absent(procedure: u32) -> usize {
    use NFS_PROGRAM::*;
    match NFS_PROGRAM::try_from(procedure) {
        Ok(NFSPROC3_NULL | NFSPROC3_GETATTR) | Err(_) => 0,
        // wcc_data is two.
        Ok(NFSPROC3_SETATTR | NFSPROC3_WRITE | NFSPROC3_CREATE | NFSPROC3_MKDIR) => 2,
        Ok(NFSPROC3_SYMLINK | NFSPROC3_MKNOD | NFSPROC3_REMOVE | NFSPROC3_RMDIR) => 2,
        Ok(NFSPROC3_COMMIT) => 2,
        Ok(NFSPROC3_RENAME) => 4,
        Ok(NFSPROC3_LINK) => 3,
        Ok(_) => 1,
    }
}

/// For procedures without a result.
fn nothing(out: &mut Vec<u8>) {
    pack(&Void, out);
}
