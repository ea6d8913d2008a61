//! Bad input, strangers, and too many of them.

use crate::client::{Client, Refusal, auth, fh, packed};
use crate::fixture::{Fixture, OWNER, eventually};
use nfs3_types::mount;
use nfs3_types::nfs3::*;
use nfs3_types::rpc::{accept_stat_data, auth_stat, opaque_auth, rejected_reply};
use nfs3_types::xdr_codec::Opaque;
use omnifs_platform::memory::{New, ROOT};
use std::net::TcpStream;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let directory = fixture.memory.add(ROOT, "d", New::Directory).unwrap();
    fixture.memory.add(directory, "f", New::file("content\n")).unwrap();
    fixture
}

fn too_weak<T: std::fmt::Debug>(result: Result<T, Refusal>) -> bool {
    let denied = rejected_reply::auth_error(auth_stat::AUTH_TOOWEAK);
    matches!(result.unwrap_err(), Refusal::Denied(why) if packed(&why) == packed(&denied))
}

/// What every test here ends with: a good client is as well served as before.
fn unharmed(fixture: &Fixture) {
    let (mut client, root) = fixture.mounted();
    let file = client.walk(&root, "d/f");
    assert_eq!(client.read(&file, 0, 100).unwrap().0, b"content\n");
    assert_eq!(client.list(&root, 4096), [".", "..", "d"]);
}

#[test]
fn another_user_gets_nothing_and_root_no_more_than_mounting_needs() {
    let fixture = fixture();
    let (mut client, root) = fixture.mounted();
    let file = client.walk(&root, "d/f");
    let path = packed(&mount::dirpath(Opaque::owned(fixture.server().export().into_bytes())));
    let read = packed(&READ3args { file: fh(&file), offset: 0, count: 10 });
    let only = packed(&GETATTR3args { object: fh(&root) });
    for stranger in [auth(OWNER + 1), auth(u32::MAX), opaque_auth::default()] {
        client.auth = stranger;
        for procedure in [1, 4, 5, 18, 19, 20] {
            assert!(too_weak(client.raw(PROGRAM, procedure, &only)), "procedure {procedure}");
        }
        assert!(too_weak(client.raw(PROGRAM, 6, &read)));
        assert!(too_weak(client.raw(mount::PROGRAM, 1, &path)));
        // Pings need nobody.
        assert!(client.raw(PROGRAM, 0, &[]).is_ok());
    }
    client.auth = auth(0);
    assert!(client.raw(mount::PROGRAM, 1, &path).is_ok());
    for procedure in [1, 18, 19, 20] {
        assert!(client.raw(PROGRAM, procedure, &only).is_ok());
    }
    assert!(too_weak(client.raw(PROGRAM, 6, &read)));
    let listing =
        READDIR3args { dir: fh(&root), cookie: 0, cookieverf: cookieverf3::default(), count: 4096 };
    assert!(too_weak(client.raw(PROGRAM, 16, &packed(&listing))));
    unharmed(&fixture);
}

/// What `run` makes of a thread that has given up all users but `uid`.
#[cfg(target_os = "linux")]
fn as_user<T: Send>(uid: u32, run: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{Uid, set_thread_res_uid};
    let uid = Uid::from_raw(uid);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // Of this thread alone, for the rest of its life.
            set_thread_res_uid(uid, uid, uid).unwrap();
            run()
        });
        thread.join().unwrap()
    })
}

/// Whether a server reads what comes on a new connection.
#[cfg(target_os = "linux")]
fn is_served(port: u16, uid: u32) -> bool {
    Client::new(port, uid).raw(PROGRAM, 0, &[]).is_ok()
}

#[cfg(target_os = "linux")]
#[test]
fn the_connection_of_another_user_is_closed_whatever_its_calls_say() {
    use crate::fixture::possible;
    if !possible(rustix::process::geteuid().is_root(), "only root can act as another user") {
        return;
    }
    const STRANGER: u32 = OWNER + 1;
    let mut fixture = fixture();
    let (mut client, root) = fixture.mounted();
    let port = fixture.server().port();
    // Its calls claim to be the owner's, and it knows all that a mount table and more would tell.
    let stolen = as_user(STRANGER, || {
        let mut stranger = Client::new(port, OWNER);
        stranger.raw(PROGRAM, 1, &packed(&GETATTR3args { object: fh(&root) }))
    });
    assert!(matches!(stolen, Err(Refusal::Closed)), "{stolen:?}");
    for port_of_six in [false, true] {
        let host = if port_of_six { "::ffff:127.0.0.1" } else { "127.0.0.1" };
        let closed = as_user(STRANGER, || {
            use std::io::Read;
            let Ok(mut stream) = TcpStream::connect((host, port)) else { return true };
            stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            matches!(stream.read(&mut [0]), Ok(0))
        });
        assert!(closed, "{host}");
    }
    assert!(fixture.server().refused() >= 2);
    // Root, whose the kernel's own sockets are, and the owner are served.
    assert!(is_served(port, OWNER));
    assert!(as_user(OWNER, || is_served(port, OWNER)));
    assert!(client.getattr(&root).is_ok());
    // A crowd of strangers keeps nobody out.
    as_user(STRANGER, || {
        for _ in 0..1000 {
            drop(TcpStream::connect(("127.0.0.1", port)));
        }
    });
    unharmed(&fixture);
    drop(client);
    fixture.stop();
    fixture.options.allow_other = true;
    fixture.start();
    let port = fixture.server().port();
    assert!(as_user(STRANGER, || is_served(port, STRANGER)));
}

#[test]
fn everybody_gets_in_where_that_is_asked_for() {
    let mut fixture = fixture();
    fixture.stop();
    fixture.options.allow_other = true;
    fixture.start();
    let mut client = Client::new(fixture.server().port(), OWNER + 77);
    let root = client.mount(&fixture.server().export()).unwrap();
    let file = client.walk(&root, "d/f");
    assert_eq!(client.read(&file, 0, 100).unwrap().0, b"content\n");
    client.auth = opaque_auth::default();
    assert!(too_weak(client.raw(PROGRAM, 1, &packed(&GETATTR3args { object: fh(&root) }))));
}

#[test]
fn the_export_is_told_to_nobody_and_mounted_as_often_as_asked() {
    let fixture = fixture();
    let mut client = fixture.client();
    for procedure in [2, 5] {
        // An empty list.
        assert_eq!(client.raw(mount::PROGRAM, procedure, &[]).unwrap(), [0; 4]);
    }
    let export = fixture.server().export();
    let root = client.mount(&export).unwrap();
    assert_eq!(client.mount(&format!("{export}/")).unwrap(), root);
    assert_eq!(client.mount(&format!("{export}/d")).unwrap(), client.walk(&root, "d"));
    let said = |result: Result<_, mount::mountstat3>| result.unwrap_err() as u32;
    for wrong in [
        "",
        "/",
        "/d",
        &export[..20],
        &format!("{export}0"),
        "/omnifs-00000000000000000000000000000000",
    ] {
        assert_eq!(said(client.mount(wrong)), 13, "{wrong}");
    }
    assert_eq!(said(client.mount(&format!("{export}/absent"))), 2);
    assert_eq!(said(client.mount(&format!("{export}/d/f"))), 20);
    let mut second = fixture.client();
    assert_eq!(second.mount(&export).unwrap(), root);
    let path = packed(&mount::dirpath(Opaque::owned(export.into_bytes())));
    assert!(second.raw(mount::PROGRAM, 3, &path).unwrap().is_empty());
    assert!(client.getattr(&root).is_ok());
    // Once it is closed, whoever has the root keeps it, and nobody else gets it.
    fixture.server().close_export();
    assert_eq!(said(client.mount(&fixture.server().export())), 13);
    assert!(client.getattr(&root).is_ok() && second.getattr(&root).is_ok());
}

#[test]
fn forged_and_bent_handles_are_refused_whatever_is_asked_with_them() {
    let fixture = fixture();
    let (mut client, root) = fixture.mounted();
    let file = client.walk(&root, "d/f");
    let mut bent: Vec<Vec<u8>> = Vec::new();
    for bit in 0..file.len() * 8 {
        let mut other = file.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        bent.push(other);
    }
    // One object's identity with another's proof.
    bent.push([&file[..28], &root[28..]].concat());
    bent.extend([vec![], vec![0; 44], vec![0xff; 44], vec![1; 64], file[..43].to_vec()]);
    let refused = [nfsstat3::NFS3ERR_STALE, nfsstat3::NFS3ERR_BADHANDLE];
    for handle in bent {
        assert!(refused.contains(&client.getattr(&handle).unwrap_err()));
        assert!(refused.contains(&client.read(&handle, 0, 10).unwrap_err()));
        assert!(refused.contains(&client.lookup(&handle, "f").unwrap_err()));
    }
    let before = fixture.memory.calls();
    assert!(client.getattr(&[0; 44]).is_err());
    assert_eq!(fixture.memory.calls(), before, "nothing is asked for a forged handle");
    unharmed(&fixture);
}

#[test]
fn a_call_that_is_none_is_answered_as_such() {
    let fixture = fixture();
    let (mut client, root) = fixture.mounted();
    let mut refusal =
        |program, procedure, args: &[u8]| match client.raw(program, procedure, args).unwrap_err() {
            Refusal::NotAccepted(why) => why,
            other => panic!("{other:?}"),
        };
    use accept_stat_data::*;
    assert!(matches!(refusal(100_227, 1, &[]), PROG_UNAVAIL));
    assert!(matches!(refusal(100_000, 3, &[]), PROG_UNAVAIL));
    assert!(matches!(refusal(PROGRAM, 22, &[]), PROC_UNAVAIL));
    assert!(matches!(refusal(PROGRAM, u32::MAX, &[]), PROC_UNAVAIL));
    assert!(matches!(refusal(mount::PROGRAM, 6, &[]), PROC_UNAVAIL));
    let whole = packed(&GETATTR3args { object: fh(&root) });
    for length in 0..whole.len() {
        assert!(matches!(refusal(PROGRAM, 1, &whole[..length]), GARBAGE_ARGS));
    }
    assert!(matches!(refusal(PROGRAM, 1, &[&whole[..], &[0; 4]].concat()), GARBAGE_ARGS));
    for length in [65_u32, 1 << 20, 1 << 31, u32::MAX - 3, u32::MAX] {
        let args = [&length.to_be_bytes()[..], &root, &[0; 64]].concat();
        for procedure in 1..=21 {
            assert!(matches!(refusal(PROGRAM, procedure, &args), GARBAGE_ARGS), "{procedure}");
        }
    }
    unharmed(&fixture);
}

#[test]
fn old_versions_are_told_which_one_is_spoken() {
    let fixture = fixture();
    let mut client = fixture.client();
    let mut message = client.message(PROGRAM, 0, &[]);
    message[19] = 4;
    client.send(&message).unwrap();
    let reply = client.receive().unwrap();
    // xid, REPLY, MSG_ACCEPTED, no verifier, PROG_MISMATCH 3..3.
    let words: Vec<u32> =
        reply.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words[1..], [1, 0, 0, 0, 2, 3, 3]);
    let mut message = client.message(PROGRAM, 0, &[]);
    message[11] = 9;
    client.send(&message).unwrap();
    assert_eq!(client.receive().unwrap()[4..], packed(&[1_u32, 1, 0, 2, 2].to_vec())[4..]);
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[cfg(target_os = "linux")]
#[test]
fn lengths_that_promise_gigabytes_cost_a_closed_connection_and_no_memory() {
    use std::io::{Read, Write};
    let fixture = fixture();
    unharmed(&fixture);
    let before = resident();
    let mut open = Vec::new();
    for mark in [0x7fff_ffff_u32, 0xffff_ffff, 0x8000_0000, 0, 0x8100_0000] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(("127.0.0.1", fixture.server().port())).unwrap();
            stream.write_all(&mark.to_be_bytes()).unwrap();
            // Whether it is closed or not told of more to come.
            let _ = stream.write_all(&[0; 1024]);
            let mut rest = Vec::new();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            let end = stream.read_to_end(&mut rest);
            assert!(
                rest.is_empty()
                    && end.map_or_else(|e| e.kind() != std::io::ErrorKind::WouldBlock, |_| true)
            );
            open.push(stream);
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    unharmed(&fixture);
}

#[test]
fn random_and_cut_messages_never_end_the_server() {
    let fixture = fixture();
    let (mut client, root) = fixture.mounted();
    let good = client.message(PROGRAM, 1, &packed(&GETATTR3args { object: fh(&root) }));
    let mut state = 0x1234_5678_9abc_def0_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..3000 {
        let mut message = match round % 3 {
            0 => (0..random() % 300).map(|_| random() as u8).collect(),
            1 => good[..(random() as usize) % good.len()].to_vec(),
            _ => good.clone(),
        };
        if round % 3 == 2 {
            for _ in 0..=random() % 4 {
                let at = random() as usize % message.len();
                message[at] = random() as u8;
            }
        }
        if message.is_empty() {
            continue;
        }
        client.send(&message).unwrap();
        if client.receive().is_err() {
            // Closed, as it may be.
            client = fixture.client();
        }
    }
    unharmed(&fixture);
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    let fixture = fixture();
    let (mut client, root) = fixture.mounted();
    assert!(client.getattr(&root).is_ok());
    client.list(&root, 4096);
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(TcpStream::connect(("127.0.0.1", fixture.server().port())).unwrap());
    }
    // The client that was there is, and so may others come.
    assert!(client.getattr(&root).is_ok());
    eventually("the number is bounded", || fixture.server().connections() <= 257);
    unharmed(&fixture);
    drop(idle);
    eventually("they are gone", || fixture.server().connections() <= 2);
}

#[test]
fn a_client_that_takes_no_reply_is_not_read_from() {
    let fixture = fixture();
    fixture.memory.add(ROOT, "big", New::file(vec![1; 1 << 20])).unwrap();
    let (mut client, root) = fixture.mounted();
    let handle = client.walk(&root, "big");
    client.stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let args = packed(&READ3args { file: fh(&handle), offset: 0, count: 256 * 1024 });
    let mut sent = 0;
    while sent < 1_000_000 {
        let message = client.message(PROGRAM, 6, &args);
        if client.send(&message).is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 1_000_000, "it was always read from");
    let (mut other, root) = (fixture.client(), root);
    assert!(other.getattr(&root).is_ok());
}
