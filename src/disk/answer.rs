//! An answer of a provider as bytes, and back.

use crate::cache::{ListEntry, Memo};
use crate::nodes::{Coherence, Node};
use crate::provider::{self, Body, Kind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What one of the three read operations answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Child(provider::Node),
    /// All entries of a directory.
    Listing(Vec<provider::Node>),
    /// With the version of the file that it is the content of.
    Content(Bytes, Option<String>),
}

/// What precedes the contents, which follow one after the other.
#[derive(Debug, Serialize, Deserialize)]
enum Head {
    Child(Entry),
    Listing(Vec<Entry>),
    Content(Option<String>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: String,
    name: String,
    kind: u8,
    size: Option<u64>,
    /// Nanoseconds since the Unix epoch, before it where negative.
    modified: Option<i128>,
    version: Option<String>,
    coherence: Covered,
    part_of: Option<String>,
    complete: bool,
    /// Bytes of the content that came along.
    content: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Covered {
    Immutable,
    Scoped(String),
    Volatile,
}

const KINDS: [Kind; 4] = [Kind::Directory, Kind::File, Kind::Symlink, Kind::Executable];

impl Answer {
    /// Whether it can be kept: an absence, a piece and what says where its content is cannot.
    pub(super) fn is_kept(memo: &Memo) -> bool {
        match memo {
            Memo::Child { node, .. } => node.remote.is_none(),
            Memo::Listing(listing) => listing.entries.iter().all(|e| e.node.remote.is_none()),
            Memo::Content(content) => content.node.remote.is_none() && !content.node.is_volatile(),
            Memo::Absent(_) | Memo::Piece(_) => false,
        }
    }

    /// `name` is that of a child.
    pub(super) fn encode(memo: &Memo, name: Option<&str>) -> Option<Vec<u8>> {
        let mut contents: Vec<&Bytes> = Vec::new();
        let head = match memo {
            Memo::Child { node, .. } => Head::Child(entry(node, name?, None)?),
            Memo::Listing(listing) => {
                let mut entries = Vec::with_capacity(listing.entries.len());
                for ListEntry { name, node, content, .. } in &listing.entries {
                    let content = content.as_ref().filter(|_| !node.is_volatile());
                    entries.push(entry(node, name, content)?);
                    contents.extend(content);
                }
                Head::Listing(entries)
            }
            Memo::Content(content) => {
                contents.push(&content.bytes);
                Head::Content(content.node.version.as_deref().map(str::to_owned))
            }
            Memo::Absent(_) | Memo::Piece(_) => return None,
        };
        let head = postcard::to_allocvec(&head).ok()?;
        let mut bytes = Vec::with_capacity(head.len() + memo.bytes());
        bytes.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&head);
        contents.into_iter().for_each(|content| bytes.extend_from_slice(content));
        Some(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Answer> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (head, contents) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let mut contents = Contents(Bytes::copy_from_slice(contents));
        Some(match postcard::from_bytes(head).ok()? {
            Head::Child(entry) => Answer::Child(node(entry, &mut contents)?),
            Head::Listing(entries) => {
                let nodes = entries.into_iter().map(|entry| node(entry, &mut contents));
                Answer::Listing(nodes.collect::<Option<_>>()?)
            }
            Head::Content(version) => Answer::Content(contents.0, version),
        })
    }
}

struct Contents(Bytes);

impl Contents {
    fn take(&mut self, length: u64) -> Option<Bytes> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len())?;
        Some(self.0.split_to(length))
    }
}

fn entry(node: &Node, name: &str, content: Option<&Bytes>) -> Option<Entry> {
    let since = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    Some(Entry {
        id: node.id.to_string(),
        name: name.to_owned(),
        kind: KINDS.iter().position(|kind| *kind == node.kind)? as u8,
        size: node.size.get().copied(),
        modified: node.modified.map(since),
        version: node.version.as_deref().map(str::to_owned),
        coherence: match &node.coherence {
            Coherence::Immutable => Covered::Immutable,
            Coherence::Scoped(scope) => Covered::Scoped(scope.id.to_string()),
            Coherence::Volatile => Covered::Volatile,
        },
        part_of: node.owner.as_ref().map(|(owner, _)| owner.to_string()),
        complete: node.complete,
        content: content.map(|content| content.len() as u64),
    })
}

fn node(entry: Entry, contents: &mut Contents) -> Option<provider::Node> {
    let at = |nanos: i128| {
        let length = Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).ok()?);
        if nanos < 0 { UNIX_EPOCH.checked_sub(length) } else { UNIX_EPOCH.checked_add(length) }
    };
    let content = match entry.content {
        Some(length) => Some(Body::Held(contents.take(length)?)),
        None => None,
    };
    let modified = match entry.modified {
        Some(nanos) => Some(at(nanos)?),
        None => None,
    };
    Some(provider::Node {
        id: entry.id.into(),
        name: entry.name,
        kind: *KINDS.get(usize::from(entry.kind))?,
        size: entry.size,
        modified,
        version: entry.version,
        content,
        coherence: match entry.coherence {
            Covered::Immutable => provider::Coherence::Immutable,
            Covered::Scoped(scope) => provider::Coherence::Scoped(Arc::from(scope)),
            Covered::Volatile => provider::Coherence::Volatile,
        },
        part_of: entry.part_of.map(Arc::from),
        complete: entry.complete,
    })
}
