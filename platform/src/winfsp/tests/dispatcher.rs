//! Stands in for WinFsp: it makes of one file operation what the driver and its library make of it,
//! in their order, with buffers of bounded size.

use crate::Error;
use crate::memory::Memory;
use crate::winfsp::filesystem::{READS, THE_LINK_ITSELF};
use crate::winfsp::info::attribute::REPARSE_POINT;
use crate::winfsp::security::{Descriptor, Sid};
use crate::winfsp::status::{Result, Status};
use crate::winfsp::{Context, FileInfo, Filesystem, Looked, Notice, Opened, names};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// `sizeof(FSP_FSCTL_DIR_INFO)`; the name follows, and the whole is aligned to 8.
const DIR_INFO: usize = 104;
/// Symbolic links that one open may lead through.
const LINKS: usize = 31;

pub struct Dispatcher {
    pub memory: Arc<Memory>,
    pub volume: Arc<Filesystem<Memory>>,
    runtime: Runtime,
}

pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

pub fn text(units: &[u16]) -> String {
    String::from_utf16(units).unwrap()
}

/// The shown form of a path of the standard tree.
pub fn path(below: &str) -> String {
    below
        .split('/')
        .filter(|name| !name.is_empty())
        .map(|name| format!("\\{}", text(&names::encode(name))))
        .collect::<String>()
}

impl Dispatcher {
    pub fn new(memory: Arc<Memory>) -> Dispatcher {
        let user: Sid = "S-1-5-21-1-2-3-1001".parse().unwrap();
        let descriptor = Descriptor::new(user, false).to_bytes();
        let volume = Filesystem::new(memory.clone(), descriptor);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        Dispatcher { memory, volume, runtime }
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// NtCreateFile of what exists: the access check, links, the open.
    pub fn open_as(&self, path: &str, options: u32, access: u32) -> Result<Opened<Memory>> {
        let mut path = if path.is_empty() { "\\".to_owned() } else { path.to_owned() };
        for _ in 0..LINKS {
            let units = wide(&path);
            match self.wait(self.volume.look(&units))? {
                Looked::Link => {}
                Looked::Found { attributes }
                    if attributes & REPARSE_POINT != 0 && options & THE_LINK_ITSELF == 0 => {}
                Looked::Found { .. } => {
                    return self.wait(self.volume.open(&units, options, access));
                }
            }
            path = self.resolve_first_link(&path)?;
        }
        Err(Status::REPARSE_POINT_NOT_RESOLVED)
    }

    /// Replaces the first link of a path by its target, as FspFileSystemResolveReparsePoints does.
    fn resolve_first_link(&self, path: &str) -> Result<String> {
        let parts: Vec<&str> = path.split('\\').skip(1).collect();
        for end in 1..=parts.len() {
            let link = format!("\\{}", parts[..end].join("\\"));
            match self.wait(self.volume.link_at(&wide(&link))) {
                Err(status) if status == Status::NOT_A_REPARSE_POINT => {}
                Err(status) => return Err(status),
                Ok(point) => {
                    let mut target: Vec<String> =
                        parts[..end - 1].iter().map(|part| (*part).to_owned()).collect();
                    for part in link_target(&point).split('\\') {
                        match part {
                            "" | "." => {}
                            ".." => drop(target.pop()),
                            name => target.push(name.to_owned()),
                        }
                    }
                    target.extend(parts[end..].iter().map(|part| (*part).to_owned()));
                    return Ok(format!("\\{}", target.join("\\")));
                }
            }
        }
        Err(Status::REPARSE_POINT_NOT_RESOLVED)
    }

    /// For reading.
    pub fn open(&self, path: &str) -> Result<Opened<Memory>> {
        self.open_as(path, 0, READS)
    }

    /// What `GetFileInformationByHandle` tells; of a link, of the link.
    pub fn stat(&self, path: &str) -> Result<FileInfo> {
        let opened = self.open_as(path, THE_LINK_ITSELF, 0)?;
        let told = self.wait(self.volume.info(&opened.context));
        self.volume.close(opened.context);
        assert_eq!(told, Ok(opened.info), "{path}");
        told
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let opened = self.open(path)?;
        let content = self.read_open(&opened.context);
        self.volume.close(opened.context);
        content
    }

    /// Reads to the end, as a program does.
    pub fn read_open(&self, context: &Context<Memory>) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut buffer = vec![0; 70_000];
        loop {
            let offset = content.len() as u64;
            match self.wait(self.volume.read(context, offset, &mut buffer)) {
                Ok(count) => content.extend_from_slice(&buffer[..count]),
                Err(status) if status == Status::END_OF_FILE => return Ok(content),
                Err(status) => return Err(status),
            }
        }
    }

    /// The entries after a marker that a buffer of so many bytes takes.
    pub fn page(
        &self,
        context: &Context<Memory>,
        marker: Option<&[u16]>,
        room: usize,
    ) -> Result<Vec<(Vec<u16>, FileInfo)>> {
        let (mut used, mut page) = (0, Vec::new());
        let sink = |name: &[u16], info: &FileInfo| {
            assert!(name.len() <= 255, "a name longer than the volume says");
            used += (DIR_INFO + 2 * name.len()).next_multiple_of(8);
            if used <= room {
                page.push((name.to_vec(), *info));
            }
            used <= room
        };
        self.wait(self.volume.list(context, marker, sink))?;
        Ok(page)
    }

    /// A whole directory by pages of so many bytes, `.` and `..` with it.
    pub fn list_by(&self, path: &str, room: usize) -> Result<Vec<(Vec<u16>, FileInfo)>> {
        let opened = self.open(path)?;
        let mut entries: Vec<(Vec<u16>, FileInfo)> = Vec::new();
        loop {
            let marker = entries.last().map(|(name, _)| name.clone());
            let page = self.page(&opened.context, marker.as_deref(), room)?;
            if page.is_empty() {
                self.volume.close(opened.context);
                return Ok(entries);
            }
            entries.extend(page);
        }
    }

    /// The names of a directory as upstream has them.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let entries = self.list_by(path, 16 << 10)?.into_iter();
        let name = |(shown, _): (Vec<u16>, FileInfo)| match text(&shown).as_str() {
            "." | ".." => None,
            _ => Some(names::decode(&shown).unwrap()),
        };
        Ok(entries.filter_map(name).collect())
    }

    /// The ticks until nothing is left to tell: what the last one told.
    pub fn notices(&self) -> Vec<(String, Notice)> {
        self.volume.notices().into_iter().map(|notice| (text(&notice.path), notice)).collect()
    }
}

/// The target in a symbolic link's reparse point.
pub fn link_target(point: &[u8]) -> String {
    let units: Vec<u16> =
        point[20..].as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    text(&units)
}

pub fn fails<T>(result: Result<T>, error: Error) {
    let status = result.map(drop).unwrap_err();
    assert_eq!(status, Status::from(error), "{error:?}");
}
