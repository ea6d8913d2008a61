//! Requests and answers of protocol version 2 (git's Documentation/gitprotocol-v2).
//!
//! Both commands are a `POST` to `PATH/git-upload-pack` with the header `git-protocol: version=2`; what a server
//! can do is answered to `GET PATH/info/refs?service=git-upload-pack` with the same header.

use crate::pkt::{self, Line};
use crate::{Error, Format, Oid, Result};

/// What a server can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// SHA-1 where the server does not say: git before 2.28 knows no other.
    pub format: Format,
    /// Whether a fetch may leave objects out.
    pub filter: bool,
}

/// Reads the answer to `info/refs`.
pub fn capabilities(body: &[u8]) -> Result<Capabilities> {
    let (mut found, mut known, mut at) = (Capabilities::default(), false, 0);
    while at < body.len() {
        let Line::Data(range) = pkt::next(body, &mut at)? else { continue };
        let line = String::from_utf8_lossy(pkt::text(&body[range])?);
        if line == "version 2" {
            known = true;
        } else if let Some(features) = line.strip_prefix("fetch=") {
            found.filter = features.split(' ').any(|feature| feature == "filter");
        } else if let Some(name) = line.strip_prefix("object-format=") {
            found.format = Format::named(name).ok_or(Error::Damaged("an unknown object format"))?;
        }
    }
    if known { Ok(found) } else { Err(Error::Damaged("the server does not speak version 2")) }
}

/// Git before 2.28 ends where a request has the key `object-format`, which it does not know. A request without
/// the key is about SHA-1 to every server, so only another format is named.
fn command(name: &str, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    pkt::push(&mut out, &format!("command={name}"));
    pkt::push(&mut out, "agent=omnifs");
    if format != Format::default() {
        pkt::push(&mut out, &format!("object-format={}", format.name()));
    }
    out.extend_from_slice(pkt::DELIMITER);
    out
}

/// Asks for the refs that begin with one of `prefixes`.
pub fn ls_refs(format: Format, prefixes: &[&str]) -> Vec<u8> {
    let mut out = command("ls-refs", format);
    pkt::push(&mut out, "peel");
    pkt::push(&mut out, "symrefs");
    for prefix in prefixes {
        pkt::push(&mut out, &format!("ref-prefix {prefix}"));
    }
    out.extend_from_slice(pkt::FLUSH);
    out
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    pub name: Vec<u8>,
    pub id: Oid,
    /// What an annotated tag is of, in the end.
    pub peeled: Option<Oid>,
}

/// Reads the answer to [`ls_refs`].
pub fn refs(body: &[u8]) -> Result<Vec<Ref>> {
    const ODD: Error = Error::Damaged("a ref that cannot be read");
    let (mut refs, mut at) = (Vec::new(), 0);
    while let Line::Data(range) = pkt::next(body, &mut at)? {
        let mut words = pkt::text(&body[range])?.split(|byte| *byte == b' ');
        let id = words.next().and_then(|id| str::from_utf8(id).ok()).ok_or(ODD)?;
        let name = words.next().ok_or(ODD)?.to_vec();
        if id == "unborn" {
            continue;
        }
        let peeled = words.find_map(|word| word.strip_prefix(b"peeled:"));
        let peeled =
            peeled.map(|id| str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or(ODD));
        refs.push(Ref { name, id: id.parse().map_err(|()| ODD)?, peeled: peeled.transpose()? });
    }
    Ok(refs)
}

/// What a fetch leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    Nothing,
    /// All blobs that are not wanted by their ids.
    Blobs,
    /// Trees as well.
    Trees,
}

/// Asks for `wants` and what they lead to: history to `depth` commits, where there is one.
pub fn fetch(format: Format, wants: &[Oid], depth: Option<u32>, filter: Filter) -> Vec<u8> {
    let mut out = command("fetch", format);
    for argument in ["ofs-delta", "no-progress"] {
        pkt::push(&mut out, argument);
    }
    match filter {
        Filter::Nothing => {}
        Filter::Blobs => pkt::push(&mut out, "filter blob:none"),
        Filter::Trees => pkt::push(&mut out, "filter tree:0"),
    }
    if let Some(depth) = depth {
        pkt::push(&mut out, &format!("deepen {depth}"));
    }
    for want in wants {
        pkt::push(&mut out, &format!("want {want}"));
    }
    pkt::push(&mut out, "done");
    out.extend_from_slice(pkt::FLUSH);
    out
}

/// The answer to [`fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Commits whose parents were left out.
    pub shallow: Vec<Oid>,
    pub pack: Vec<u8>,
}

/// Reads the answer to [`fetch`]. The pack is laid where the answer was: there is no second copy.
pub fn fetched(mut body: Vec<u8>) -> Result<Fetched> {
    let (mut shallow, mut at) = (Vec::new(), 0);
    loop {
        match pkt::next(&body, &mut at)? {
            Line::Data(range) => {
                let line = pkt::text(&body[range])?;
                if line == b"packfile" {
                    break;
                }
                if let Some(id) = line.strip_prefix(b"shallow ") {
                    let id = str::from_utf8(id).ok().and_then(|id| id.parse().ok());
                    shallow.push(id.ok_or(Error::Damaged("a boundary that is no commit"))?);
                }
            }
            Line::Delimiter => {}
            Line::Flush => return Err(Error::Damaged("an answer without a pack")),
        }
    }
    let mut end = 0;
    while let Line::Data(range) = pkt::next(&body, &mut at)? {
        match body.get(range.start).filter(|_| !range.is_empty()) {
            Some(1) => {
                let from = range.start + 1..range.end;
                let length = from.len();
                body.copy_within(from, end);
                end += length;
            }
            // Progress.
            Some(2) => {}
            Some(3) => {
                let why = String::from_utf8_lossy(&body[range.start + 1..range.end]);
                return Err(Error::Refused(why.trim_end().to_owned()));
            }
            _ => return Err(Error::Damaged("a band of no known number")),
        }
    }
    body.truncate(end);
    Ok(Fetched { shallow, pack: body })
}
