//! What an archive holds at which path.

use crate::{Archive, LONGEST, MOST, UNPACKED, zip};
use flate2::read::MultiGzDecoder;
use omnifs_sdk::{Error, Result, log};
use std::collections::BTreeMap;
use std::io::{self, Read};
use tar::EntryType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    /// A file with an execute bit.
    Program,
    /// A symbolic link, whose content is its target.
    Link,
}

/// What is at a path.
#[derive(Clone, Debug)]
pub struct Member {
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// In seconds since the Unix epoch.
    pub modified: u64,
    /// Where it is at hand, as a link's always is.
    pub content: Option<Vec<u8>>,
}

/// What is at each path, directories that no entry names too.
pub type Members = BTreeMap<String, Member>;

/// What a reader of an archive may still unpack.
pub type Unpacked<'a> = io::Take<Box<dyn Read + 'a>>;

impl Member {
    /// A directory of which nothing is known.
    pub const DIRECTORY: Member =
        Member { kind: Kind::Directory, size: 0, modified: 0, content: None };

    /// What an entry of an archive shows; nothing for a device, and for a second name of another file.
    pub fn of(entry: &tar::Entry<'_, Unpacked<'_>>) -> Option<Member> {
        let header = entry.header();
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Link,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                if header.mode().unwrap_or(0) & 0o111 != 0 { Kind::Program } else { Kind::File }
            }
            _ => return None,
        };
        let target = || entry.link_name_bytes().unwrap_or_default().into_owned();
        let content = (kind == Kind::Link).then(target);
        Some(Member { kind, size: entry.size(), modified: header.mtime().unwrap_or(0), content })
    }

    /// The content, as long as it is said to be.
    pub fn read(&self, reader: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        reader.take(self.size.saturating_add(1)).read_to_end(&mut content)?;
        let whole = content.len() as u64 == self.size;
        if whole { Ok(content) } else { Err(io::Error::other("a file has another length")) }
    }
}

impl AsRef<Member> for Member {
    fn as_ref(&self) -> &Member {
        self
    }
}

/// Calls `each` with the path and entry of all that an archive holds. What it unpacks is taken from `left`.
pub fn each<'a>(
    archive: Archive<'a>,
    left: &mut u64,
    mut each: impl FnMut(&str, &mut tar::Entry<'_, Unpacked<'a>>) -> io::Result<()>,
) -> Result<()> {
    let reader: Box<dyn Read + 'a> = match archive.packed {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(archive.packed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(Error::Invalid("an archive is packed by zstd".to_owned()));
        }
        plain => Box::new(plain),
    };
    let mut tar = tar::Archive::new(reader.take(*left));
    let mut read = || -> io::Result<()> {
        for entry in tar.entries()? {
            let mut entry = entry?;
            let path = entry.path_bytes();
            match clean(&path).map(str::to_owned) {
                Some(path) => match below(&path, archive.below) {
                    Some(path) => each(path, &mut entry)?,
                    None => continue,
                },
                None => unnamed(&path),
            }
        }
        Ok(())
    };
    let read = read();
    *left = tar.into_inner().limit();
    match read {
        _ if *left == 0 => Err(Error::TooLarge),
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(Error::TooLarge),
        Err(error) => Err(Error::Invalid(format!("an archive cannot be read: {error}"))),
    }
}

/// Calls `each` with all that an archive of either kind holds and a reader of the content. What that unpacks is taken
/// from `left`.
pub fn each_member(
    archive: Archive<'_>,
    left: &mut u64,
    mut of: impl FnMut(&str, Member, &mut dyn Read) -> io::Result<()>,
) -> Result<()> {
    if zip::is_one(archive.packed) {
        return zip::each(archive, left, of);
    }
    each(archive, left, |path, entry| match Member::of(entry) {
        Some(member) => of(path, member, entry),
        None => Ok(()),
    })
}

/// A path as it is known here, without `./` and a slash at either end; nothing where it leads out or nowhere, or is too
/// long to be shown.
pub fn clean(path: &[u8]) -> Option<&str> {
    if path.len() > LONGEST {
        return None;
    }
    let path = str::from_utf8(path).ok()?.trim_start_matches("./").trim_matches('/');
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

/// Says that a path is left out.
pub fn unnamed(path: &[u8]) {
    let begin = &path[..path.len().min(LONGEST)];
    log::debug(&format!("a path is no name: {}", begin.escape_ascii()));
}

/// The path without so many directories at its top.
pub fn below(path: &str, directories: usize) -> Option<&str> {
    (0..directories).try_fold(path, |path, _| Some(path.split_once('/')?.1))
}

/// The directory and the name of a path.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The directories above a path, the nearest last.
pub fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Puts what is at a path in the place of what was there, below directories.
pub fn insert<T: AsRef<Member>>(
    all: &mut BTreeMap<String, T>,
    path: String,
    member: T,
    directory: impl Fn() -> T,
) -> Result<()> {
    for above in above(&path) {
        let known = all.get(above).is_some_and(|known| known.as_ref().kind == Kind::Directory);
        if !known {
            all.insert(above.to_owned(), directory());
        }
        if all.len() > MOST {
            return Err(Error::TooLarge);
        }
    }
    all.insert(path, member);
    if all.len() > MOST { Err(Error::TooLarge) } else { Ok(()) }
}

/// All that an archive holds. The contents come along where all of them together have at most `held` bytes.
pub fn members(archive: Archive<'_>, held: usize) -> Result<Members> {
    let (mut all, mut room, mut failed) = (Members::new(), Some(held), Ok(()));
    each_member(archive, &mut UNPACKED.clone(), |path, mut member, reader| {
        if matches!(member.kind, Kind::File | Kind::Program) {
            room = room.and_then(|room| room.checked_sub(usize::try_from(member.size).ok()?));
            if room.is_some() {
                member.content = Some(member.read(reader)?);
            }
        }
        failed = insert(&mut all, path.to_owned(), member, || Member::DIRECTORY);
        match failed {
            Ok(()) => Ok(()),
            Err(_) => Err(io::ErrorKind::FileTooLarge.into()),
        }
    })?;
    failed?;
    if room.is_none() {
        let files = all.values_mut().filter(|member| member.kind != Kind::Link);
        files.for_each(|file| file.content = None);
    }
    Ok(all)
}
