//! A file of 5 GiB through a kernel, as root mounts it and as an ordinary user does.

use super::core::runtime;
use super::store::{File, MIB, SCOPE, Store, bytes, sum};
use omnifs::events::Ledger;
use omnifs_platform::fuse::{MountOptions, mount};
use omnifs_support::{Omnifs, skip};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{fs, io, ptr};

const LENGTH: u64 = 5 << 30;

fn output(program: &str, arguments: &[&str], path: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).arg(path).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Pieces.
const MOST_DROPPED: u64 = 30;

/// Pages that the kernel has read again after it had dropped them, of all files.
fn refaults() -> u64 {
    let all = fs::read_to_string("/proc/vmstat").expect("/proc/vmstat");
    let line = all.lines().find_map(|line| line.strip_prefix("workingset_refault_file "));
    line.expect("a counter").trim().parse().expect("a number")
}

/// Bytes of this process that belong to no file.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// `length` bytes at `offset`, by a mapping.
fn mapped(file: &fs::File, offset: u64, length: usize) -> Vec<u8> {
    let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping of a file that is open, read within its bounds and unmapped once.
    unsafe {
        let at = libc::mmap(
            ptr::null_mut(),
            length,
            read,
            shared,
            file.as_raw_fd(),
            offset as libc::off_t,
        );
        assert!(at != libc::MAP_FAILED, "{}", io::Error::last_os_error());
        let found = std::slice::from_raw_parts(at.cast::<u8>(), length).to_vec();
        libc::munmap(at, length);
        found
    }
}

/// In the process of its own.
const ALONE: &str = "OMNIFS_PIECES_ALONE";
const NAME: &str = "mount::five_gibibytes_are_read_sought_and_mapped_at_bounded_memory";

#[test]
fn five_gibibytes_are_read_sought_and_mapped_at_bounded_memory() {
    if let Some(reason) = Omnifs::unavailable() {
        return skip("pieces", &reason);
    }
    if std::env::var_os(ALONE).is_some() {
        return through_a_kernel();
    }
    // It measures its process.
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1");
    // As the daemon sets its allocator.
    command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "262144");
    let status = command.status().expect("this program");
    assert!(status.success(), "{status}");
}

fn through_a_kernel() {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    let store = Arc::new(Store::default());
    store.put("weights", File { digest: Some([9; 32]), ..File::new(LENGTH) });
    store.put("other", File::new(LENGTH));
    let runtime = runtime(&store, tokio.handle().clone());
    runtime.up("m", SCOPE);
    let point = tempfile::tempdir().expect("a mount point");
    let options = MountOptions::default();
    let mounted = mount(runtime.clone(), point.path(), &options, tokio.handle()).expect("mount");
    let path = point.path().join("m/weights");
    let before = resident();

    assert_eq!(fs::metadata(&path).expect("stat").len(), LENGTH);
    assert!(store.take_parts("weights").is_empty(), "a stat asks for nothing");

    assert!(output("tail", &["-c", "1000"], &path) == bytes(1, LENGTH - 1000, 1000));
    let parts = store.take_parts("weights");
    assert!(parts.iter().all(|part| *part >= 5 * 1024 - 2), "{parts:?}");
    assert!(output("tail", &["-c", "1000"], &path) == bytes(1, LENGTH - 1000, 1000));
    assert_eq!(store.take_parts("weights"), [0; 0], "a kernel keeps what it has read");

    let file = fs::File::open(&path).expect("open");
    let mut part = vec![0; 10_000];
    for at in [3 << 30, 17, LENGTH - 10_000, (1 << 31) - 5000, (1 << 32) - 5000] {
        file.read_exact_at(&mut part, at).expect("pread");
        assert!(part == bytes(1, at, 10_000), "at {at}");
    }
    let there = format!("skip={}", 4000 * 16);
    let dd = ["bs=64K", "count=40", &there, "status=none"];
    let found = Command::new("dd").args(dd).arg(format!("if={}", path.display())).output();
    assert!(found.expect("dd").stdout == bytes(1, 4000 * MIB, 40 << 16));
    let at = 2500 * MIB;
    assert!(mapped(&file, at, 3 << 20) == bytes(1, at, 3 << 20));

    // In order: each piece once, and the one that follows.
    let other = point.path().join("m/other");
    let read = format!("head -c {} '{}' | sha256sum", 300 * MIB, other.display());
    let out = output("sh", &["-c", &read], Path::new("-"));
    let hex: String = sum(1, 300 * MIB).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(out.starts_with(hex.as_bytes()), "{}", String::from_utf8_lossy(&out));
    let mut parts = store.take_parts("other");
    parts.sort_unstable();
    let most = parts.last().copied().expect("it was read");
    assert_eq!(parts, (0..=most).collect::<Vec<_>>(), "each once");
    assert!((299..=303).contains(&most), "{most}");
    let before_again = refaults();
    let again = output("sh", &["-c", &read], Path::new("-"));
    assert!(again == out);
    let mut asked = store.take_parts("other");
    asked.retain(|part| *part <= most);
    // But for what the kernel itself had dropped, of which it does not count all: it would else be asked for
    // more than 260 of them.
    let refaults = (refaults() - before_again).max(MOST_DROPPED);
    assert!(asked.len() as u64 <= refaults, "warm reads ask for nothing: {asked:?}, {refaults}");

    let grown = resident().saturating_sub(before);
    println!("{} KiB more in memory, {} pieces asked for again", grown >> 10, asked.len());
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop(file);
    drop(mounted);
}
