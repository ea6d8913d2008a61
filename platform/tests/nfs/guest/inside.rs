//! What runs in the virtual machine: this test program again, which takes commands from the host over
//! a connection of its own, and makes ordinary system calls on the mount.

use crate::fixture::Fixture;
use omnifs_platform::conformance;
use omnifs_platform::memory::{Memory, New, ROOT};
use omnifs_platform::mounting::{self, UnmountMode};
use omnifs_platform::nfs::mounting::{Source, attach};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
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
            while started.elapsed() < Duration::from_secs(60) {
                let mut found = String::new();
                File::open(at(below))?.read_to_string(&mut found)?;
                if found == *content {
                    return Ok(started.elapsed().as_millis().to_string());
                }
            }
            Err(std::io::ErrorKind::TimedOut.into())
        }
        ["swapped"] => swapped(),
        other => panic!("no such command: {other:?}"),
    }
}

/// Mounts what is served here, again and again, where somebody moves the directories above all the time.
/// What was found empty is what is mounted on, and what was mounted is what is unmounted.
fn swapped() -> std::io::Result<String> {
    let memory = Memory::new();
    memory.add(ROOT, "f", New::file("content")).map_err(std::io::Error::other)?;
    let fixture = Fixture::with(memory, super::ROOT_USER);
    let source = Source::of(fixture.server(), false);
    let base = Path::new("/swapped");
    fs::create_dir_all(base)?;
    rustix::mount::mount("none", base, "tmpfs", MountFlags::empty(), None)?;
    let (own, other) = (base.join("own"), base.join("other"));
    fs::create_dir_all(own.join("m"))?;
    fs::create_dir_all(other.join("m"))?;
    fs::write(other.join("m/precious"), "")?;
    // The same directory whatever it is called.
    let full = File::open(&other)?;
    let listed = || mounting::table().into_iter().find(|mount| mount.source == source.text());
    let stop = AtomicBool::new(false);
    let (mut mounted, mut refused) = (0, 0);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &own, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let end = Instant::now() + Duration::from_secs(15);
        let rounds = || {
            while mounted < 40 && Instant::now() < end {
                if attach(&source, &own.join("m")).is_err() {
                    refused += 1;
                    continue;
                }
                mounted += 1;
                let seen = rustix::fs::statat(&full, "m/precious", rustix::fs::AtFlags::empty());
                let there = listed().ok_or_else(|| std::io::Error::other("it is not mounted"))?;
                mounting::unmount(&there, UnmountMode::Force).map_err(std::io::Error::other)?;
                seen.map_err(|_| std::io::Error::other("what holds something was covered"))?;
                if listed().is_some() {
                    return Err(std::io::Error::other("it is still mounted"));
                }
            }
            Ok(())
        };
        let outcome = { rounds }();
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    rustix::mount::unmount(base, UnmountFlags::DETACH)?;
    outcome.map(|()| format!("{mounted}\t{refused}"))
}
