//! A client that says exactly what it is told to.

use nfs3_types::mount;
use nfs3_types::nfs3::*;
use nfs3_types::rpc::{
    accept_stat_data, auth_unix, call_body, msg_body, opaque_auth, rejected_reply, reply_body,
    rpc_msg,
};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack};
use std::io::{self, Cursor, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub struct Client {
    pub stream: TcpStream,
    xid: u32,
    pub auth: opaque_auth<'static>,
}

/// Why a call has no result.
#[derive(Debug)]
pub enum Refusal {
    Denied(rejected_reply),
    NotAccepted(accept_stat_data),
    Closed,
}

pub fn auth(uid: u32) -> opaque_auth<'static> {
    let machinename = Opaque::borrowed(b"tests");
    opaque_auth::auth_unix(&auth_unix { stamp: 0, machinename, uid, gid: uid, gids: vec![uid] })
}

pub fn fh(bytes: &[u8]) -> nfs_fh3 {
    nfs_fh3 { data: Opaque::owned(bytes.to_vec()) }
}

pub fn packed(value: &impl Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.pack(&mut bytes).unwrap();
    bytes
}

impl Client {
    pub fn new(port: u16, uid: u32) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client { stream, xid: 1, auth: auth(uid) }
    }

    /// The message of a call, without its mark.
    pub fn message(&mut self, prog: u32, proc: u32, args: &[u8]) -> Vec<u8> {
        self.xid += 1;
        let cred = opaque_auth { flavor: self.auth.flavor, body: self.auth.body.clone() };
        let (rpcvers, vers, verf) = (2, 3, opaque_auth::default());
        let body = msg_body::CALL(call_body { rpcvers, prog, vers, proc, cred, verf });
        let mut message = packed(&rpc_msg { xid: self.xid, body });
        message.extend(args);
        message
    }

    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let mark = message.len() as u32 | 1 << 31;
        self.stream.write_all(&[&mark.to_be_bytes(), message].concat())
    }

    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark)?;
        let length = u32::from_be_bytes(mark);
        assert!(length & 1 << 31 != 0, "a reply is one fragment");
        let mut reply = vec![0; (length & !(1 << 31)) as usize];
        self.stream.read_exact(&mut reply)?;
        Ok(reply)
    }

    /// What follows the head of a successful reply.
    pub fn raw(&mut self, prog: u32, proc: u32, args: &[u8]) -> Result<Vec<u8>, Refusal> {
        let message = self.message(prog, proc, args);
        self.send(&message).map_err(|_| Refusal::Closed)?;
        let reply = self.receive().map_err(|_| Refusal::Closed)?;
        let (head, length) = rpc_msg::unpack(&mut Cursor::new(&reply)).unwrap();
        assert_eq!(head.xid, self.xid);
        match head.body {
            msg_body::REPLY(reply_body::MSG_ACCEPTED(accepted)) => match accepted.reply_data {
                accept_stat_data::SUCCESS => Ok(reply[length..].to_vec()),
                other => Err(Refusal::NotAccepted(other)),
            },
            msg_body::REPLY(reply_body::MSG_DENIED(why)) => Err(Refusal::Denied(why)),
            msg_body::CALL(_) => panic!("a call in place of a reply"),
        }
    }

    /// A call whose whole result is a `T`.
    pub fn call<T: Unpack>(&mut self, proc: NFS_PROGRAM, args: &impl Pack) -> T {
        let body = self.raw(PROGRAM, proc as u32, &packed(args)).unwrap();
        let (result, length) = T::unpack(&mut Cursor::new(&body)).unwrap();
        assert_eq!(length, body.len(), "{proc} has bytes after its result");
        result
    }

    pub fn mount(&mut self, path: &str) -> Result<Vec<u8>, mount::mountstat3> {
        let path = mount::dirpath(Opaque::borrowed(path.as_bytes()));
        let body = self.raw(mount::PROGRAM, 1, &packed(&path)).unwrap();
        match mount::mountres3::unpack(&mut Cursor::new(&body)).unwrap().0 {
            mount::mountres3::Ok(ok) => {
                assert_eq!(ok.auth_flavors, [1]);
                Ok(ok.fhandle.0.to_vec())
            }
            mount::mountres3::Err(status) => Err(status),
        }
    }

    pub fn getattr(&mut self, handle: &[u8]) -> Result<fattr3, nfsstat3> {
        match self.call(NFS_PROGRAM::NFSPROC3_GETATTR, &GETATTR3args { object: fh(handle) }) {
            GETATTR3res::Ok(ok) => Ok(ok.obj_attributes),
            GETATTR3res::Err((status, _)) => Err(status),
        }
    }

    pub fn lookup(
        &mut self,
        directory: &[u8],
        name: &str,
    ) -> Result<(Vec<u8>, Option<fattr3>), nfsstat3> {
        let name = filename3(Opaque::owned(name.as_bytes().to_vec()));
        let args = LOOKUP3args { what: diropargs3 { dir: fh(directory), name } };
        match self.call(NFS_PROGRAM::NFSPROC3_LOOKUP, &args) {
            LOOKUP3res::Ok(ok) => {
                let attr = match ok.obj_attributes {
                    Nfs3Option::Some(attr) => Some(attr),
                    Nfs3Option::None => None,
                };
                Ok((ok.object.data.to_vec(), attr))
            }
            LOOKUP3res::Err((status, _)) => Err(status),
        }
    }

    /// The handle at a path below `root`.
    pub fn walk(&mut self, root: &[u8], path: &str) -> Vec<u8> {
        path.split('/').fold(root.to_vec(), |at, name| self.lookup(&at, name).unwrap().0)
    }

    pub fn read(
        &mut self,
        handle: &[u8],
        offset: u64,
        count: u32,
    ) -> Result<(Vec<u8>, fattr3, bool), nfsstat3> {
        let args = READ3args { file: fh(handle), offset, count };
        match self.call(NFS_PROGRAM::NFSPROC3_READ, &args) {
            READ3res::Ok(ok) => {
                assert_eq!(ok.count as usize, ok.data.len());
                Ok((ok.data.to_vec(), ok.file_attributes.unwrap(), ok.eof))
            }
            READ3res::Err((status, _)) => Err(status),
        }
    }

    pub fn readdir(
        &mut self,
        directory: &[u8],
        cookie: u64,
        count: u32,
    ) -> Result<(Vec<entry3<'static>>, bool), nfsstat3> {
        let cookieverf = cookieverf3::default();
        let args = READDIR3args { dir: fh(directory), cookie, cookieverf, count };
        let message = self.raw(PROGRAM, 16, &packed(&args)).unwrap();
        assert!(message.len() <= count.max(64) as usize, "{} of {count}", message.len());
        match READDIR3res::unpack(&mut Cursor::new(&message)).unwrap().0 {
            READDIR3res::Ok(ok) => Ok((ok.reply.entries.0, ok.reply.eof)),
            READDIR3res::Err((status, _)) => Err(status),
        }
    }

    pub fn readdirplus(
        &mut self,
        directory: &[u8],
        cookie: u64,
        dircount: u32,
        maxcount: u32,
    ) -> Result<(Vec<entryplus3<'static>>, bool), nfsstat3> {
        let cookieverf = cookieverf3::default();
        let args = READDIRPLUS3args { dir: fh(directory), cookie, cookieverf, dircount, maxcount };
        let message = self.raw(PROGRAM, 17, &packed(&args)).unwrap();
        assert!(message.len() <= maxcount.max(64) as usize, "{} of {maxcount}", message.len());
        match READDIRPLUS3res::unpack(&mut Cursor::new(&message)).unwrap().0 {
            READDIRPLUS3res::Ok(ok) => Ok((ok.reply.entries.0, ok.reply.eof)),
            READDIRPLUS3res::Err((status, _)) => Err(status),
        }
    }

    /// Every name of a directory in the order told, by pages of `count` bytes.
    pub fn list(&mut self, directory: &[u8], count: u32) -> Vec<String> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let (entries, eof) = self.readdir(directory, cookie, count).unwrap();
            assert!(!entries.is_empty() || eof);
            for entry in entries {
                cookie = entry.cookie;
                names.push(String::from_utf8(entry.name.0.to_vec()).unwrap());
            }
            if eof {
                return names;
            }
        }
    }
}
