//! What Wireshark makes of everything that the server sends in a run.

use crate::client::{fh, packed};
use crate::fixture::{Fixture, OWNER, eventually, possible};
use nfs3_types::nfs3::*;
use omnifs_platform::memory::{New, ROOT};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Capture(Child);

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Capture {
    /// `None` where capturing is not possible.
    fn start(port: u16, file: &Path) -> Option<Capture> {
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-i", "lo", "-B", "64", "-f", &format!("tcp port {port}"), "-w"]);
        let spawned = command.arg(file).stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut capture = match spawned {
            Ok(child) => Capture(child),
            Err(error) => {
                possible(false, &format!("dumpcap: {error}"));
                return None;
            }
        };
        let mut said = BufReader::new(capture.0.stderr.take().unwrap());
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 {
            // Named once the interface is open.
            if line.contains("File: ") {
                // What is said later must not fill the pipe.
                std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
                return Some(capture);
            }
        }
        possible(false, &format!("capturing on the loopback interface: {}", line.trim()));
        None
    }

    fn end(mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap();
    }
}

/// The frames that match a filter, one line each.
fn frames(file: &Path, port: u16, filter: &str) -> Vec<String> {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args(["-d", &format!("tcp.port=={port},rpc"), "-Y", filter])
        .output()
        .unwrap();
    // 2: the capture is being written and ends in the middle of a frame, which is read the next time.
    assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn no_frame_is_malformed() {
    let tshark = Command::new("tshark").arg("-v").output();
    if !possible(tshark.is_ok(), "tshark is not installed") {
        return;
    }
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let directory = memory.add(ROOT, "d", New::Directory).unwrap();
    for index in 0..200 {
        let content = vec![7; index * 37];
        memory
            .add(directory, &format!("{}{index}", "n".repeat(index)), New::file(content))
            .unwrap();
    }
    memory.add(directory, "link", New::Symlink("target".into())).unwrap();
    let lazy = memory.add(directory, "lazy", New::file("lazy")).unwrap();
    memory.hide_size(lazy).unwrap();
    let port = fixture.server().port();
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("nfs.pcapng");
    let Some(capture) = Capture::start(port, &file) else { return };

    let (mut client, root) = fixture.mounted();
    let at = client.walk(&root, "d");
    let mut calls = 0;
    for count in [1024, 4096, 65536] {
        let mut cookie = 0;
        loop {
            let (entries, eof) = client.readdirplus(&at, cookie, count, count).unwrap();
            cookie = entries.last().map_or(0, |entry| entry.cookie);
            calls += 1;
            if eof {
                break;
            }
        }
        client.list(&at, count);
    }
    for index in [0, 1, 2, 3, 4, 199] {
        let handle = client.walk(&at, &format!("{}{index}", "n".repeat(index)));
        client.read(&handle, 0, 65536).unwrap();
    }
    // Every procedure, well and badly asked.
    let link = client.walk(&at, "link");
    for handle in [&root, &at, &link, &vec![0; 44], &vec![0; 3]] {
        for procedure in [1, 5, 18, 19, 20] {
            let args = packed(&GETATTR3args { object: fh(handle) });
            client.raw(PROGRAM, procedure, &args).unwrap();
        }
        let args = packed(&ACCESS3args { object: fh(handle), access: 63 });
        client.raw(PROGRAM, 4, &args).unwrap();
        let args = packed(&READ3args { file: fh(handle), offset: 5, count: 10 });
        client.raw(PROGRAM, 6, &args).unwrap();
        for procedure in [2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 21] {
            // The rest of a write's arguments is of no interest to the server, but to Wireshark.
            let name = || filename3(b"x".as_slice().into());
            let what = || diropargs3 { dir: fh(handle), name: name() };
            let sattr = sattr3::default();
            let args = match procedure {
                2 => packed(&SETATTR3args {
                    object: fh(handle),
                    new_attributes: sattr,
                    guard: Nfs3Option::None,
                }),
                7 => packed(&WRITE3args {
                    file: fh(handle),
                    offset: 0,
                    count: 1,
                    stable: stable_how::UNSTABLE,
                    data: b"x".as_slice().into(),
                }),
                8 => packed(&CREATE3args { where_: what(), how: createhow3::UNCHECKED(sattr) }),
                9 => packed(&MKDIR3args { where_: what(), attributes: sattr }),
                10 => packed(&SYMLINK3args {
                    where_: what(),
                    symlink: symlinkdata3 {
                        symlink_attributes: sattr,
                        symlink_data: nfspath3(b"t".as_slice().into()),
                    },
                }),
                11 => packed(&MKNOD3args { where_: what(), what: mknoddata3::NF3FIFO(sattr) }),
                14 => packed(&RENAME3args { from: what(), to: what() }),
                15 => packed(&LINK3args { file: fh(handle), link: what() }),
                21 => packed(&COMMIT3args { file: fh(handle), offset: 0, count: 0 }),
                _ => packed(&REMOVE3args { object: what() }),
            };
            client.raw(PROGRAM, procedure, &args).unwrap();
        }
    }
    for procedure in [0, 2, 4, 5] {
        client.raw(nfs3_types::mount::PROGRAM, procedure, &[]).unwrap();
    }
    client.auth = crate::client::auth(OWNER + 1);
    client.raw(PROGRAM, 6, &packed(&READ3args { file: fh(&at), offset: 0, count: 1 })).unwrap_err();
    client.auth = crate::client::auth(OWNER);
    client.raw(PROGRAM, 22, &[]).unwrap_err();
    client.getattr(&root).unwrap();

    // The last reply is in the file.
    eventually("the capture", || frames(&file, port, "nfs.procedure_v3 == 1").len() >= 8);
    capture.end();
    let answers = frames(&file, port, "nfs && rpc.msgtyp == 1");
    assert!(answers.len() > 100, "{}", answers.len());
    assert!(frames(&file, port, "nfs.procedure_v3 == 17").len() >= 2 * calls);
    let malformed = frames(&file, port, "_ws.malformed");
    assert!(malformed.is_empty(), "{malformed:#?}");
}
