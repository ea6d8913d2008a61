//! What runs in the virtual machine: this test program again, which takes commands from the host over
//! a connection of its own, and makes ordinary system calls on the mount.

use omnifs_platform::conformance;
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Set in the guest: the host's address and the port that commands come from.
pub const CONTROL: &str = "OMNIFS_GUEST_CONTROL";
const POINT: &str = "/mnt";

/// Takes commands until the connection ends. Each is a line of words with tabs between them; the
/// answer is a line that begins with `ok` or `error`.
pub fn obey(control: &str) {
    let stream = TcpStream::connect(control).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut held = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match perform(&words, &mut held) {
            Ok(said) => format!("ok\t{said}\n"),
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(0);
                format!("error\t{number}\t{error}\n")
            }
        };
        out.write_all(answer.as_bytes()).unwrap();
    }
}

fn at(below: &str) -> std::path::PathBuf {
    Path::new(POINT).join(below)
}

fn perform(words: &[&str], held: &mut Option<File>) -> std::io::Result<String> {
    match words {
        ["mount", source, options] => {
            let options = std::ffi::CString::new(*options)?;
            rustix::mount::mount(*source, POINT, "nfs", MountFlags::RDONLY, options.as_c_str())?;
            Ok(String::new())
        }
        ["unmount"] => {
            rustix::mount::unmount(POINT, UnmountFlags::empty())?;
            Ok(String::new())
        }
        ["conform"] => {
            let started = Instant::now();
            let outcomes = conformance::run(Path::new(POINT));
            let said =
                outcomes.iter().map(|outcome| outcome.to_string().replace(['\n', '\t'], " "));
            let said: Vec<String> = said.collect();
            Ok(format!("{:?}\t{}", started.elapsed(), said.join("\t")))
        }
        ["read", below] => fs::read_to_string(at(below)),
        ["stat", below] => {
            let found = fs::metadata(at(below))?;
            Ok(format!("{}\t{}", found.ino(), found.size()))
        }
        ["list", below] => {
            let names = fs::read_dir(at(below))?.map(|entry| entry.map(|e| e.file_name()));
            let names = names.collect::<std::io::Result<Vec<_>>>()?;
            let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
            Ok(names.join("\t"))
        }
        ["hold", below] => {
            *held = Some(File::open(at(below))?);
            Ok(String::new())
        }
        // Past the pages that are cached, as another machine would have to.
        ["held"] => {
            let file = held.as_ref().unwrap();
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
            let mut bytes = vec![0; file.metadata()?.len() as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        ["drop"] => {
            *held = None;
            Ok(String::new())
        }
        // How long until an open sees this content, in milliseconds.
        ["until", below, content] => {
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(20) {
                let mut found = String::new();
                File::open(at(below))?.read_to_string(&mut found)?;
                if found == *content {
                    return Ok(started.elapsed().as_millis().to_string());
                }
            }
            Err(std::io::ErrorKind::TimedOut.into())
        }
        other => panic!("no such command: {other:?}"),
    }
}
