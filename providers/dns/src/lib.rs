//! The domain name system over HTTPS (RFC 8484): the records of a name, as the configured server answers.
//!
//! A record holds for its time to live, and no event tells when one changes, so nothing is kept: each open asks.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::base::iana::Rcode;
use domain::base::message_builder::MessageBuilder;
use domain::base::name::Name;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::base::{Message, Rtype};
use domain::rdata::AllRecordData;
use omnifs_sdk::http::{Request, Response, fetch_all};
use omnifs_sdk::manifest::{Endpoint, Path};
use omnifs_sdk::*;
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

routes! {
    mod service = "dns" with super::accepting {
        get query() = "/dns-query",
    }
}

ids! {
    pub enum Id {
        _: volatile(),
        Root = "root",
        Host(name: String) = "name",
        Records(name: String, kind: String) = "records",
        All(name: String) = "all",
        Raw(name: String) = "raw",
    }
}

/// The types that have a file.
const TYPES: [(&str, Rtype); 7] = [
    ("A", Rtype::A),
    ("AAAA", Rtype::AAAA),
    ("CNAME", Rtype::CNAME),
    ("MX", Rtype::MX),
    ("NS", Rtype::NS),
    ("SOA", Rtype::SOA),
    ("TXT", Rtype::TXT),
];

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        match self {
            Id::Root => open_ended((), |()| Ok(none()), |(), name| find(name)),
            Id::Host(name) => listing(move || Ok(files(&name))),
            Id::Records(name, kind) => file(move || records(&name, &kind)),
            Id::All(name) => file(move || all(&name)),
            Id::Raw(name) => file(move || raw(&name)),
        }
    }
}

fn none() -> Listing<Id> {
    Listing::partial(Vec::new(), "no server lists names: any is found by its name")
}

fn files(name: &str) -> Vec<Entry<Id>> {
    let name = || name.to_owned();
    let of_type = |(kind, _): (&str, Rtype)| Entry::file(kind, Id::Records(name(), kind.into()));
    let mut files =
        vec![Entry::file("_all", Id::All(name())), Entry::file("_raw", Id::Raw(name()))];
    files.extend(TYPES.map(of_type));
    files
}

/// One question tells whether a name exists: the server says so whatever it was asked of it.
fn find(name: &str) -> Result<Entry<Id>> {
    if !is_name(name) {
        return Err(Error::NotFound);
    }
    answer(question(name, Rtype::SOA)?.send())?;
    Ok(Entry::directory(name, Id::Host(name.to_owned())))
}

/// Whether a name is written as it is shown: letters in lower case and digits, as in the names of hosts, and `_`,
/// as in those of services. Others are not asked for, among them what tools look for in any directory.
fn is_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    name.len() <= 253 && name.split('.').all(label)
}

fn accepting(request: Request) -> Request {
    request.header("accept", "application/dns-message")
}

/// With the id 0, as RFC 8484 asks for (section 4.1), so that equal questions are equal requests.
fn question(name: &str, kind: Rtype) -> Result<Request> {
    let name: Name<Vec<u8>> = name.parse().map_err(|_| Error::NotFound)?;
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_rd(true);
    let mut message = message.question();
    let too_long = |_| Error::Invalid("dns: a question that is too long".to_owned());
    message.push((name, kind)).map_err(too_long)?;
    Ok(service::query().query("dns", URL_SAFE_NO_PAD.encode(message.finish())))
}

/// The message of an answer. A name that does not exist is "not found".
fn answer(response: Result<Response>) -> Result<Message<Vec<u8>>> {
    let response = response?.ok()?;
    let media = response.header("content-type").unwrap_or_default().split(';').next();
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/dns-message")) {
        return Err(Error::Invalid("dns: the answer is no DNS message".to_owned()));
    }
    let message = Message::from_octets(response.body.to_vec()).map_err(|_| damaged())?;
    match message.header().rcode() {
        Rcode::NOERROR => Ok(message),
        // Said of what an alias leads to, where the answer begins with the alias (RFC 6604).
        Rcode::NXDOMAIN if message.header_counts().ancount() > 0 => Ok(message),
        Rcode::NXDOMAIN => Err(Error::NotFound),
        Rcode::REFUSED => Err(Error::Denied("dns: the server refuses the question".to_owned())),
        code => Err(Error::Unavailable(format!("dns: the server answers {code}"))),
    }
}

fn damaged() -> Error {
    Error::Invalid("dns: an answer that cannot be read".to_owned())
}

/// A line for each record of this type: its data, as zone files have it.
fn records(name: &str, kind: &str) -> Result<Content> {
    let (_, kind) = TYPES.into_iter().find(|(known, _)| *known == kind).ok_or(Error::NotFound)?;
    let message = answer(question(name, kind)?.send())?;
    let mut found = Vec::new();
    for record in message.answer().map_err(|_| damaged())?.limit_to::<AllRecordData<_, _>>() {
        let record = record.map_err(|_| damaged())?;
        // An alias comes with what it leads to.
        if record.rtype() == kind {
            found.push(record.data().display_zonefile(DisplayKind::Simple).to_string());
        }
    }
    Ok(lines(found))
}

/// The questions for all types, side by side.
fn asked(name: &str) -> Result<Vec<Message<Vec<u8>>>> {
    let questions: Result<Vec<_>> =
        TYPES.map(|(_, kind)| question(name, kind)).into_iter().collect();
    fetch_all(questions?).into_iter().map(answer).collect()
}

/// Every record of these answers once, each a line of a zone file.
fn all(name: &str) -> Result<Content> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for message in asked(name)? {
        for record in message.answer().map_err(|_| damaged())?.limit_to::<AllRecordData<_, _>>() {
            let record = record.map_err(|_| damaged())?;
            let line = record.display_zonefile(DisplayKind::Simple).to_string();
            if seen.insert(line.clone()) {
                found.push(line);
            }
        }
    }
    Ok(lines(found))
}

/// The answers as they came, each behind its length in two bytes, as over TCP (RFC 1035, section 4.2.2).
fn raw(name: &str) -> Result<Content> {
    let mut out = Vec::new();
    for message in asked(name)? {
        let bytes = message.as_octets();
        let length = u16::try_from(bytes.len()).map_err(|_| Error::TooLarge)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
    }
    Ok(document(out))
}

/// The provider.
#[derive(Debug)]
pub struct Dns;

impl Provider for Dns {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        endpoints: &[Endpoint {
            allow: service::RULES,
            ..Endpoint::new(
                service::ENDPOINT,
                "https://dns.quad9.net",
                "asks for the records of names",
            )
        }],
        guide: &[Path {
            entries: &["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT", "_all", "_raw"],
            requests: 1,
            ..Path::new("{name}/", "the records of a name", "example.org/")
        }],
        ..Manifest::new("dns", env!("CARGO_PKG_VERSION"), "Records of names over HTTPS")
    };
}

export!(service, Dns);
