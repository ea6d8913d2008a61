//! Compiled components, kept so that a start costs no compilation, and what they say of themselves, so that
//! it does not even load them.
//!
//! Invariant: machine code and manifests are taken from a file only if nobody but this user could have written
//! it and all of it is what this engine wrote for this component. Anything else is compiled, or asked, anew.

use super::compile::{self, Turn};
use super::component::Reason;
use crate::provider::Manifest;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;
use wasmtime::Engine;
use wasmtime::component::Component;

const MAGIC: &[u8; 16] = b"omnifs artifact1";
const HEADER: usize = MAGIC.len() + 32;

/// Files kept: one or two for each component, an artifact being about three times as large. Older ones go
/// first.
const KEPT: usize = 128;

/// Bytes of an artifact that is read back. Compiled code is about three times its component.
const ARTIFACT_MAX: u64 = 16 * super::limits::COMPONENT_MAX as u64;

/// Takes the artifact of an earlier compilation of the component whose SHA-256 is `digest`, or compiles it.
/// Only then is it asked for its `bytes`.
pub(super) fn load_or_compile(
    engine: &Engine,
    digest: &[u8; 32],
    bytes: impl FnOnce() -> Result<Vec<u8>, Reason>,
    cache: &Path,
) -> Result<Component, Reason> {
    let compile = |engine: &Engine| compile::compile(engine, &bytes()?);
    let _turn = Turn::take(digest);
    let key = Key::new(engine, digest);
    let directory = match Directory::open(&cache.join("components")) {
        Ok(directory) => directory,
        Err(error) => {
            tracing::warn!("compiled components are not kept: {}: {error}", cache.display());
            return compile(engine);
        }
    };
    match directory.read(&key.file_name()) {
        Ok(file) => match key.payload(&file) {
            Some(artifact) => {
                // SAFETY: `deserialize` runs machine code from these bytes, so they must be what
                // this wasmtime made. `Directory` has checked, on the open descriptors, that the
                // file and its directory belong to this user and that no other can read or write
                // them, so whoever could have forged them can already run code as this user.
                // Against accidents (truncation, bit rot, another version) the header's SHA-256
                // covers every byte that is passed here, the component it was made from, and
                // wasmtime's version and configuration. The bytes were read before they were
                // checked, so a later change of the file changes nothing.
                match unsafe { Component::deserialize(engine, artifact) } {
                    Ok(component) => return Ok(component),
                    Err(error) => tracing::warn!("cached component not used: {error:#}"),
                }
            }
            None => tracing::warn!("cached component {} is damaged", key.file_name()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("cached component {} not used: {error}", key.file_name()),
    }
    let component = compile(engine)?;
    let kept = component
        .serialize()
        .map_err(io::Error::other)
        .and_then(|artifact| directory.write(&key.file_name(), &key.header(&artifact), &artifact));
    if let Err(error) = kept {
        tracing::warn!("compiled component not kept: {error}");
    }
    Ok(component)
}

/// What a component said of itself when this program asked it before. `None` also where it would have to
/// be compiled.
pub(super) fn recall(engine: &Engine, digest: &[u8; 32], cache: &Path) -> Option<Manifest> {
    let key = Key::new(engine, digest);
    let said = key.said()?;
    let directory = Directory::open(&cache.join("components")).ok()?;
    if !directory.has(&key.file_name()) {
        return None;
    }
    let file = directory.read(&said.file_name()).ok()?;
    serde_json::from_slice(said.payload(&file)?).ok()
}

/// Keeps what a component says of itself for [`recall`]. False where that will find nothing.
pub(super) fn remember(
    engine: &Engine,
    digest: &[u8; 32],
    cache: &Path,
    manifest: &Manifest,
) -> bool {
    let key = Key::new(engine, digest);
    let Some(said) = key.said() else { return false };
    let write = || {
        let directory = Directory::open(&cache.join("components"))?;
        let text = serde_json::to_vec(manifest)?;
        directory.write(&said.file_name(), &said.header(&text), &text)?;
        Ok::<_, io::Error>(directory.has(&key.file_name()))
    };
    write().unwrap_or_else(|error| {
        tracing::warn!("what a component says of itself is not kept: {error}");
        false
    })
}

/// Tells this program from one of another build, which may read manifests in another way: its version, and
/// the length and time of its file. `None` where that cannot be seen, as after it was replaced.
static PROGRAM: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| {
    let file = std::env::current_exe().and_then(std::fs::metadata).ok()?;
    let time = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let text = format!("{} {} {time:?}", env!("CARGO_PKG_VERSION"), file.len());
    Some(Sha256::digest(text).into())
});

/// What a kept file was made from and by.
struct Key {
    component: [u8; 32],
    engine: [u8; 32],
    suffix: &'static str,
}

impl Key {
    fn new(engine: &Engine, component: &[u8; 32]) -> Key {
        let mut hasher = Sha(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Key { component: *component, engine: hasher.0.finalize().into(), suffix: "bin" }
    }

    /// The key of what the component says of itself.
    fn said(&self) -> Option<Key> {
        let engine = Sha256::new().chain_update(self.engine).chain_update((*PROGRAM)?).finalize();
        Some(Key { component: self.component, engine: engine.into(), suffix: "json" })
    }

    fn file_name(&self) -> String {
        format!("{}-{}.{}", hex(&self.component[..16]), hex(&self.engine[..8]), self.suffix)
    }

    fn header(&self, artifact: &[u8]) -> [u8; HEADER] {
        let sum = Sha256::new()
            .chain_update(self.component)
            .chain_update(self.engine)
            .chain_update(artifact)
            .finalize();
        let mut header = [0; HEADER];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        header[MAGIC.len()..].copy_from_slice(&sum);
        header
    }

    fn payload<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let (header, artifact) = file.split_at_checked(HEADER)?;
        (header == self.header(artifact)).then_some(artifact)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `Hasher` for a digest that is the same in every run.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let sum = self.0.clone().finalize();
        // The first 8 of 32 bytes.
        u64::from_le_bytes(sum[..8].try_into().expect("8 bytes"))
    }
}

#[cfg(unix)]
struct Directory(rustix::fd::OwnedFd);

#[cfg(unix)]
mod unix {
    use super::*;
    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, statat};
    use std::fs::File;

    impl Directory {
        /// Opens the directory, or makes it for this user alone.
        pub(super) fn open(path: &Path) -> io::Result<Directory> {
            if let Some(parent) = path.parent() {
                crate::paths::private_dir(parent)?;
            }
            match rustix::fs::mkdir(path, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
            check_private(&fstat(&directory)?, "the directory `components`", "chmod 700")?;
            Ok(Directory(directory))
        }

        pub(super) fn has(&self, name: &str) -> bool {
            statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        }

        pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
            let stat = fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(io::Error::other("it is not a file"));
            }
            check_private(&stat, "it", "chmod 600")?;
            let mut bytes = Vec::new();
            File::from(file).take(ARTIFACT_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        }

        /// Under the name there is the old file or the new one, whole, whatever happens.
        pub(super) fn write(&self, name: &str, header: &[u8], artifact: &[u8]) -> io::Result<()> {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let temporary = format!("{}.tmp", hex(&random));
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.0, &*temporary, flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(file);
            let written = file
                .write_all(header)
                .and_then(|()| file.write_all(artifact))
                .and_then(|()| Ok(rustix::fs::renameat(&self.0, &*temporary, &self.0, name)?));
            if written.is_err() {
                let _ = rustix::fs::unlinkat(&self.0, &*temporary, AtFlags::empty());
            }
            written?;
            self.prune()
        }

        fn prune(&self) -> io::Result<()> {
            let mut files = Vec::new();
            for entry in Dir::read_from(&self.0)? {
                let name = entry?.file_name().to_owned();
                let Ok(stat) = statat(&self.0, &*name, AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    files.push((stat.st_mtime, name));
                }
            }
            files.sort_by(|a, b| b.cmp(a));
            for (_, name) in files.iter().skip(KEPT) {
                rustix::fs::unlinkat(&self.0, &**name, AtFlags::empty())?;
            }
            Ok(())
        }
    }

    fn check_private(stat: &rustix::fs::Stat, what: &str, mend: &str) -> io::Result<()> {
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("{what} belongs to another user")));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(io::Error::other(format!("{what} is open to other users: {mend}")));
        }
        Ok(())
    }
}

/// Elsewhere the cache directory lies in the user's profile, whose access list is the user's alone
/// and is inherited.
#[cfg(not(unix))]
struct Directory(std::path::PathBuf);

#[cfg(not(unix))]
impl Directory {
    fn open(path: &Path) -> io::Result<Directory> {
        std::fs::create_dir_all(path)?;
        Ok(Directory(path.to_path_buf()))
    }

    fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(self.0.join(name))?.take(ARTIFACT_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, name: &str, header: &[u8], artifact: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temporary = self.0.join(format!("{}.tmp", hex(&random)));
        let mut file = std::fs::File::create_new(&temporary)?;
        let written = file
            .write_all(header)
            .and_then(|()| file.write_all(artifact))
            .and_then(|()| std::fs::rename(&temporary, self.0.join(name)));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written?;
        let mut files: Vec<_> = std::fs::read_dir(&self.0)?
            .filter_map(|entry| entry.ok())
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        for (_, path) in files.iter().skip(KEPT) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}
