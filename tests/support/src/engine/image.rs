//! The one image: a static busybox with a link for each of its applets.

use crate::program;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the containers of the tests use. `/bin/busybox` itself has the rest.
const APPLETS: &[&str] = &[
    "cat", "cp", "date", "echo", "env", "false", "head", "ls", "mkdir", "printf", "seq", "sh",
    "sleep", "touch", "true", "wc",
];

/// A busybox that needs no shared library.
pub fn static_busybox() -> Option<PathBuf> {
    program("busybox").filter(|file| fs::read(file).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether these bytes are a 64-bit ELF file that asks for no dynamic loader (a PT_INTERP segment).
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    let interpreter = || {
        let (table, size, count) = (long(32)? as usize, half(54)? as usize, half(56)? as usize);
        let mut kinds = (0..count).map(|n| word(table + n * size));
        Some(kinds.any(|kind| kind == Some(PT_INTERP)))
    };
    elf.starts_with(b"\x7fELF\x02\x01") && interpreter() == Some(false)
}

/// The image's file system as a tar archive.
pub fn archive() -> io::Result<Vec<u8>> {
    let busybox = static_busybox().ok_or_else(|| io::Error::other("no static busybox"))?;
    let tree = tempfile::tempdir()?;
    let bin = tree.path().join("bin");
    fs::create_dir(&bin)?;
    for directory in ["etc", "proc", "sys", "dev", "tmp"] {
        fs::create_dir(tree.path().join(directory))?;
    }
    fs::copy(busybox, bin.join("busybox"))?;
    for applet in APPLETS {
        symlink(Path::new("busybox"), bin.join(applet))?;
    }
    tar(tree.path())
}

/// What a build of this recipe needs, as a tar archive.
pub fn context(recipe: &str) -> io::Result<Vec<u8>> {
    let tree = tempfile::tempdir()?;
    fs::write(tree.path().join("Dockerfile"), recipe)?;
    tar(tree.path())
}

/// With nothing after its end: an engine that stops reading there would reset the connection.
pub(super) fn tar(directory: &Path) -> io::Result<Vec<u8>> {
    let output = Command::new("tar").arg("-C").arg(directory).args(["-c", "-b1", "."]).output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}
