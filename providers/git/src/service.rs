//! What is asked of a server. A repository is named by its path below the server's base.

use omnifs_gitpack::pack::{self, Limits};
use omnifs_gitpack::protocol::{self, Capabilities, Filter, Ref};
use omnifs_gitpack::{Format, Kind, Oid};
use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::*;
use std::collections::BTreeSet;

routes! {
    /// A path has at most seven segments, so that no name leads further and further down.
    pub mod git = "git" with super::speaking {
        get refs1(a) = "/*/info/refs",
        get refs2(a, b) = "/*/*/info/refs",
        get refs3(a, b, c) = "/*/*/*/info/refs",
        get refs4(a, b, c, d) = "/*/*/*/*/info/refs",
        get refs5(a, b, c, d, e) = "/*/*/*/*/*/info/refs",
        get refs6(a, b, c, d, e, f) = "/*/*/*/*/*/*/info/refs",
        get refs7(a, b, c, d, e, f, g) = "/*/*/*/*/*/*/*/info/refs",
        post pack1(a) = "/*/git-upload-pack",
        post pack2(a, b) = "/*/*/git-upload-pack",
        post pack3(a, b, c) = "/*/*/*/git-upload-pack",
        post pack4(a, b, c, d) = "/*/*/*/*/git-upload-pack",
        post pack5(a, b, c, d, e) = "/*/*/*/*/*/git-upload-pack",
        post pack6(a, b, c, d, e, f) = "/*/*/*/*/*/*/git-upload-pack",
        post pack7(a, b, c, d, e, f, g) = "/*/*/*/*/*/*/*/git-upload-pack",
    }
}

/// The segments of the longest path.
pub const DEEPEST: usize = 7;

fn speaking(request: Request) -> Request {
    request.header("git-protocol", "version=2")
}

/// Asks what the server can do with the repository.
pub fn info_refs(path: &str) -> Request {
    let request = match path.split('/').collect::<Vec<_>>()[..] {
        [a] => git::refs1(a),
        [a, b] => git::refs2(a, b),
        [a, b, c] => git::refs3(a, b, c),
        [a, b, c, d] => git::refs4(a, b, c, d),
        [a, b, c, d, e] => git::refs5(a, b, c, d, e),
        [a, b, c, d, e, f] => git::refs6(a, b, c, d, e, f),
        [a, b, c, d, e, f, g] => git::refs7(a, b, c, d, e, f, g),
        // An empty segment leads nowhere, and is not asked for.
        _ => git::refs1(""),
    };
    request.query("service", "git-upload-pack")
}

fn upload_pack(path: &str, body: Vec<u8>) -> Request {
    let request = match path.split('/').collect::<Vec<_>>()[..] {
        [a] => git::pack1(a),
        [a, b] => git::pack2(a, b),
        [a, b, c] => git::pack3(a, b, c),
        [a, b, c, d] => git::pack4(a, b, c, d),
        [a, b, c, d, e] => git::pack5(a, b, c, d, e),
        [a, b, c, d, e, f] => git::pack6(a, b, c, d, e, f),
        [a, b, c, d, e, f, g] => git::pack7(a, b, c, d, e, f, g),
        _ => git::pack1(""),
    };
    let request = request.header("accept", "application/x-git-upload-pack-result");
    request.bytes("application/x-git-upload-pack-request", body)
}

/// The error of an answer that gitpack cannot read.
pub fn error(error: omnifs_gitpack::Error) -> Error {
    use omnifs_gitpack::Error as Pack;
    match error {
        Pack::Refused(why) if why.contains("not our ref") => Error::NotFound,
        Pack::TooLarge(what) => {
            log::warn(&format!("git: {what} is larger than is read"));
            Error::TooLarge
        }
        error => Error::Invalid(format!("git: {error}")),
    }
}

/// Where `path` leads and what the server can do there: nothing where it answers that no repository is there.
pub fn repository(path: &str) -> Result<Option<(String, Capabilities)>> {
    advertised(path, info_refs(path).send()?)
}

/// The same from the answer to [`info_refs`].
pub fn advertised(path: &str, answer: Response) -> Result<Option<(String, Capabilities)>> {
    let answer = match answer.ok() {
        Err(Error::NotFound) => return Ok(None),
        answer => answer?,
    };
    let kind = answer.header("content-type").unwrap_or_default();
    if kind != "application/x-git-upload-pack-advertisement" {
        // A page for people, most often; or the list of refs of a server that runs nothing.
        let dumb = answer.body.get(40) == Some(&b'\t');
        let why = "git: the server speaks the dumb protocol only";
        return if dumb { Err(Error::Invalid(why.to_owned())) } else { Ok(None) };
    }
    let can = protocol::capabilities(&answer.body).map_err(error)?;
    let moved = answer.header("content-location").and_then(|target| {
        let (path, _) = target.trim_start_matches('/').split_once("/info/refs")?;
        // What is escaped would be escaped again.
        (!path.contains('%')).then(|| path.to_owned())
    });
    Ok(Some((moved.unwrap_or_else(|| path.to_owned()), can)))
}

/// Asks with `body`, which is made for what servers can do most often. Where a server cannot do that, git ends
/// without a word: then it is asked what it can do, and once more for that.
fn ask<T>(
    path: &str,
    expected: Capabilities,
    body: impl Fn(Capabilities) -> Vec<u8>,
    read: impl Fn(Response) -> omnifs_gitpack::Result<T>,
) -> Result<T> {
    let failed = match upload_pack(path, body(expected)).ok().map(&read) {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(why)) => error(why),
        Err(why @ (Error::Invalid(_) | Error::Unavailable(_))) => why,
        Err(why) => return Err(why),
    };
    if matches!(failed, Error::NotFound | Error::TooLarge) {
        return Err(failed);
    }
    match repository(path)? {
        Some((_, can)) if can != expected => {
            read(upload_pack(path, body(can)).ok()?).map_err(error)
        }
        _ => Err(failed),
    }
}

/// The refs that begin with one of `prefixes`, and the answer's time in seconds since the Unix epoch.
pub fn refs(path: &str, prefixes: &[&str]) -> Result<(Vec<Ref>, u64)> {
    let expected = Capabilities { filter: true, format: Format::Sha1 };
    let body = |can: Capabilities| protocol::ls_refs(can.format, prefixes);
    ask(path, expected, body, |answer| {
        Ok((protocol::refs(&answer.body)?, answer.date().unwrap_or_default()))
    })
}

/// An answer of a fetch, read.
pub struct Fetched {
    pub format: Format,
    /// Commits whose parents were not asked for.
    pub shallow: Vec<Oid>,
    pack: Vec<u8>,
}

impl Fetched {
    /// Hands over each object, verified.
    pub fn each(&self, mut each: impl FnMut(Oid, Kind, &[u8]) -> Result<()>) -> Result<()> {
        let read = pack::read(&self.pack, self.format, &Limits::default(), |id, kind, content| {
            each(id, kind, content).map_err(Ended::By)
        });
        read.map_err(|ended| match ended {
            Ended::By(why) => why,
            Ended::Pack(why) => error(why),
        })
    }
}

enum Ended {
    By(Error),
    Pack(omnifs_gitpack::Error),
}

impl From<omnifs_gitpack::Error> for Ended {
    fn from(error: omnifs_gitpack::Error) -> Self {
        Ended::Pack(error)
    }
}

/// What `wants` lead to, so far as `filter` and `depth` let it through. A server that cannot filter sends all
/// there is.
pub fn fetch(path: &str, wants: &[Oid], depth: Option<u32>, filter: Filter) -> Result<Fetched> {
    // The ids tell how the repository hashes.
    let format = wants.first().map(Oid::format).unwrap_or_default();
    let expected = Capabilities { format, filter: true };
    let body = |can: Capabilities| {
        let filter = if can.filter { filter } else { Filter::Nothing };
        protocol::fetch(format, wants, depth, filter)
    };
    ask(path, expected, body, |answer| {
        let found = protocol::fetched(answer.body)?;
        Ok(Fetched { format, shallow: found.shallow, pack: found.pack })
    })
}

/// As many as there is room for in a request of a mebibyte.
pub const BATCH: usize = 8_000;

/// Hands over the first of the blobs with these ids, in any order: as many as one answer holds, which is what this
/// returns. No tree says how large its blobs are, so half as many are asked for after each answer that was too
/// large, and those of it that could be read come again.
pub fn blobs(path: &str, ids: &[Oid], mut each: impl FnMut(Oid, &[u8])) -> Result<usize> {
    let mut batch = ids.len().min(BATCH);
    loop {
        match one_batch(path, &ids[..batch], &mut each) {
            Err(Error::TooLarge) if batch > 1 => batch /= 2,
            done => return done.map(|()| batch),
        }
    }
}

fn one_batch(path: &str, ids: &[Oid], each: &mut impl FnMut(Oid, &[u8])) -> Result<()> {
    let mut left: BTreeSet<Oid> = ids.iter().copied().collect();
    fetch(path, ids, None, Filter::Nothing)?.each(|id, kind, content| {
        if kind == Kind::Blob && left.remove(&id) {
            each(id, content);
        }
        Ok(())
    })?;
    match left.first() {
        Some(id) => Err(Error::Invalid(format!("git: the answer lacks {id}"))),
        None => Ok(()),
    }
}
