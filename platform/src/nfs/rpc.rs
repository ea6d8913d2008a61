//! Remote procedure calls as RFC 5531 has them: the head of a call, who makes it, and the head of
//! its reply.

use super::wire::{Args, Garbage, pack};
use nfs3_types::rpc::{
    RPC_VERSION_2, accept_stat_data, accepted_reply, auth_stat, msg_body, opaque_auth,
    rejected_reply, reply_body, rpc_msg,
};

const CALL: u32 = 0;
const AUTH_SYS: u32 = 1;
/// Section 8.2: the body of a credential or verifier.
const MOST_AUTH: usize = 400;
/// Section 8.1 and appendix A: a machine's name and a user's further groups.
const MOST_NAME: usize = 255;
const MOST_GROUPS: u32 = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub xid: u32,
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
    /// The user of an AUTH_SYS credential.
    pub uid: Option<u32>,
    pub args: &'a [u8],
}

/// A message that does not get as far as a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Not even the head of a call: nobody to answer to.
    NoCall,
    /// Another version of the call protocol.
    Version { xid: u32 },
    /// An AUTH_SYS credential that is none.
    Credential { xid: u32 },
}

impl<'a> Call<'a> {
    pub fn read(message: &'a [u8]) -> Result<Call<'a>, Bad> {
        let mut args = Args(message);
        let mut word = || args.u32().map_err(|Garbage| Bad::NoCall);
        let (xid, kind, rpc) = (word()?, word()?, word()?);
        if kind != CALL {
            return Err(Bad::NoCall);
        }
        if rpc != RPC_VERSION_2 {
            return Err(Bad::Version { xid });
        }
        let (program, version, procedure) = (word()?, word()?, word()?);
        let flavour = word()?;
        let credential = args.opaque(MOST_AUTH).map_err(|Garbage| Bad::NoCall)?;
        args.u32().map_err(|Garbage| Bad::NoCall)?;
        args.opaque(MOST_AUTH).map_err(|Garbage| Bad::NoCall)?;
        let uid = match flavour {
            AUTH_SYS => Some(user(credential).map_err(|Garbage| Bad::Credential { xid })?),
            _ => None,
        };
        Ok(Call { xid, program, version, procedure, uid, args: args.0 })
    }
}

fn user(credential: &[u8]) -> Result<u32, Garbage> {
    let mut args = Args(credential);
    let _stamp = args.u32()?;
    args.opaque(MOST_NAME)?;
    let uid = args.u32()?;
    let _gid = args.u32()?;
    let groups = args.u32()?;
    if groups > MOST_GROUPS {
        return Err(Garbage);
    }
    for _ in 0..groups {
        args.u32()?;
    }
    args.end().map(|()| uid)
}

fn reply(xid: u32, body: reply_body<'_>, out: &mut Vec<u8>) {
    pack(&rpc_msg { xid, body: msg_body::REPLY(body) }, out);
}

/// The head of a reply that a result follows, or none where it is not a success.
pub(super) fn accepted(xid: u32, reply_data: accept_stat_data, out: &mut Vec<u8>) {
    let accepted = accepted_reply { verf: opaque_auth::default(), reply_data };
    reply(xid, reply_body::MSG_ACCEPTED(accepted), out);
}

pub(super) fn denied(xid: u32, why: auth_stat, out: &mut Vec<u8>) {
    reply(xid, reply_body::MSG_DENIED(rejected_reply::auth_error(why)), out);
}

pub(super) fn other_version(xid: u32, out: &mut Vec<u8>) {
    let only = rejected_reply::rpc_mismatch(RPC_VERSION_2, RPC_VERSION_2);
    reply(xid, reply_body::MSG_DENIED(only), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfs3_types::rpc::{auth_unix, call_body};
    use nfs3_types::xdr_codec::Opaque;

    fn message(cred: opaque_auth<'static>) -> Vec<u8> {
        let (rpcvers, prog, vers, proc) = (2, 100_003, 3, 1);
        let call = call_body { rpcvers, prog, vers, proc, cred, verf: opaque_auth::default() };
        let mut bytes = Vec::new();
        pack(&rpc_msg { xid: 77, body: msg_body::CALL(call) }, &mut bytes);
        bytes.extend(b"args");
        bytes
    }

    fn of(uid: u32, groups: usize) -> opaque_auth<'static> {
        let machinename = Opaque::borrowed(b"host");
        let gids = vec![5; groups];
        opaque_auth::auth_unix(&auth_unix { stamp: 1, machinename, uid, gid: 1, gids })
    }

    #[test]
    fn a_call_says_who_makes_it() {
        let bytes = message(of(501, 16));
        let call = Call::read(&bytes).unwrap();
        assert_eq!((call.xid, call.program, call.version, call.procedure), (77, 100_003, 3, 1));
        assert_eq!((call.uid, call.args), (Some(501), &b"args"[..]));
        let bytes = message(opaque_auth::default());
        assert_eq!(Call::read(&bytes).unwrap().uid, None);
    }

    #[test]
    fn what_is_no_call_or_a_bad_credential_is_told_apart() {
        let good = message(of(501, 2));
        for length in 0..good.len() - 4 {
            assert_eq!(Call::read(&good[..length]).unwrap_err(), Bad::NoCall, "{length}");
        }
        let mut other = good.clone();
        other[11] = 3;
        assert_eq!(Call::read(&other).unwrap_err(), Bad::Version { xid: 77 });
        other[7] = 1;
        assert_eq!(Call::read(&other).unwrap_err(), Bad::NoCall);
        assert_eq!(Call::read(&message(of(1, 17))).unwrap_err(), Bad::Credential { xid: 77 });
    }
}
