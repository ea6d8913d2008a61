//! What is asked of a sparse registry, and what it answers (The Cargo Book, "Registry Index").

use omnifs_sdk::http::Request;
use omnifs_sdk::json::null_as_default;
use omnifs_sdk::{Error, Items, Raw, Result, routes};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

routes! {
    /// A crate's file lies below directories that its name says.
    pub mod index = "index" {
        get configuration() = "/config.json",
        get one(name) = "/1/*",
        get two(name) = "/2/*",
        get three(first, name) = "/3/*/*",
        get more(first, second, name) = "/*/*/*",
    }
}

routes! {
    pub mod files = "files" {
        get archive(path) = "/**",
    }
}

/// The file of a crate in the index.
pub fn file(name: &str) -> Request {
    let name = name.to_ascii_lowercase();
    match name.len() {
        0 | 1 => index::one(name),
        2 => index::two(name),
        3 => index::three(&name[..1], &name),
        _ => index::more(&name[..2], &name[2..4], &name),
    }
}

/// Whether a crate may have this name.
pub fn is_name(text: &str) -> bool {
    let of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(of)
}

#[derive(Debug, Deserialize)]
struct Configuration {
    /// Where archives are: an address with markers, or one that crate and version are added to.
    dl: String,
}

/// What a line of a crate's file says that is read here.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    pub name: String,
    pub vers: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub cksum: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub yanked: bool,
}

/// A version: what its line says, and the whole of it.
pub type Version = Raw<Line>;

/// The versions in a crate's file.
pub fn versions(file: &[u8]) -> Result<Items<Version>> {
    let text = String::from_utf8_lossy(file);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    // A line that is no JSON is one that cannot be read, as one of another form is.
    let whole = |line| if serde_json::from_str::<IgnoredAny>(line).is_ok() { line } else { "null" };
    let list = format!("[{}]", lines.map(whole).collect::<Vec<_>>().join(","));
    let odd = |error| Error::Invalid(format!("index: a crate's file is not as expected: {error}"));
    serde_json::from_str(&list).map_err(odd)
}

/// The archive of a version. Another content is another one, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    pub name: String,
    pub version: String,
    /// SHA-256 in hexadecimal.
    pub checksum: String,
}

impl Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.version, self.checksum)
    }
}

impl FromStr for Archive {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (name, rest) = text.split_once(' ').ok_or(())?;
        let (version, checksum) = rest.split_once(' ').ok_or(())?;
        let [name, version, checksum] = [name, version, checksum].map(str::to_owned);
        Ok(Archive { name, version, checksum })
    }
}

impl Archive {
    /// Nothing where the line's version can be none, or it has no checksum that says anything.
    pub fn of(line: &Line) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let is_sum = line.cksum.len() == 64 && line.cksum.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = is_sum && is_name(&line.name) && line.vers.chars().all(plain);
        fits.then(|| Archive {
            name: line.name.clone(),
            version: line.vers.clone(),
            checksum: line.cksum.to_ascii_lowercase(),
        })
    }

    /// The path at which the registry has it, without its server.
    fn path(&self, dl: &str) -> Option<String> {
        let lower = self.name.to_ascii_lowercase();
        let prefix = |name: &str| match name.len() {
            0..=2 => name.len().to_string(),
            3 => format!("3/{}", &name[..1]),
            _ => format!("{}/{}", &name[..2], &name[2..4]),
        };
        let markers = [
            ("{crate}", self.name.clone()),
            ("{version}", self.version.clone()),
            ("{prefix}", prefix(&self.name)),
            ("{lowerprefix}", prefix(&lower)),
            ("{sha256-checksum}", self.checksum.clone()),
        ];
        let mut address = dl.to_owned();
        if !markers.iter().any(|(marker, _)| dl.contains(marker)) {
            address = format!("{}/{{crate}}/{{version}}/download", dl.trim_end_matches('/'));
        }
        for (marker, text) in &markers {
            address = address.replace(marker, text);
        }
        let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"))?;
        let path = rest.split_once('/')?.1;
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?#\\".contains(&byte));
        plain.then(|| path.to_owned())
    }

    /// Its bytes, if they are what the index said.
    pub fn fetch(&self) -> Result<Vec<u8>> {
        let configuration: Configuration = index::configuration().json()?;
        let path = self.path(&configuration.dl).ok_or_else(|| {
            Error::Invalid("index: its archives lie where none is read".to_owned())
        })?;
        let content = files::archive(path).ok()?.body;
        let found = Sha256::digest(&content).iter().fold(String::new(), |mut text, byte| {
            // Writing to memory does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        if found == self.checksum {
            return Ok(content);
        }
        let Archive { name, version, checksum } = self;
        Err(Error::Invalid(format!("index: {name} {version} has another digest than {checksum}")))
    }
}

/// What orders versions (Semantic Versioning 2.0, section 11). What is built does not count.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    numbers: [u64; 3],
    /// One without anything after it comes after those with.
    pub is_release: bool,
    before: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

impl Order {
    pub fn of(version: &str) -> Option<Order> {
        let version = version.split('+').next()?;
        let (numbers, before) = version.split_once('-').unwrap_or((version, ""));
        let numbers: Vec<u64> =
            numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let part = |text: &str| match text.parse() {
            Ok(number) => Part::Number(number),
            Err(_) => Part::Text(text.to_owned()),
        };
        let parts = before.split('.').filter(|part| !part.is_empty()).map(part).collect();
        let is_release = before.is_empty();
        Some(Order { numbers: numbers.try_into().ok()?, is_release, before: parts })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn versions_are_ordered_as_cargo_orders_them() {
        let ascending = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.9.0",
            "1.10.0",
        ];
        for pair in ascending.windows(2) {
            let [before, after] = [pair[0], pair[1]].map(|text| Order::of(text).unwrap());
            assert!(before < after, "{pair:?}");
        }
        assert_eq!(Order::of("1.0.0+a"), Order::of("1.0.0+b"));
        for text in ["", "1", "1.0", "1.0.0.0", "a.b.c", "1.0.-1"] {
            assert_eq!(Order::of(text), None, "{text}");
        }
    }

    #[test]
    fn an_archive_is_where_the_registry_says() {
        let checksum = "0".repeat(64);
        let archive = Archive {
            name: "My-Crate".into(),
            version: "1.0.0".into(),
            checksum: checksum.clone(),
        };
        for (dl, path) in [
            ("https://a.example/crates", Some("crates/My-Crate/1.0.0/download")),
            ("https://a.example/crates/", Some("crates/My-Crate/1.0.0/download")),
            ("http://a.example/{prefix}/{crate}-{version}", Some("My/-C/My-Crate-1.0.0")),
            ("https://a.example/{lowerprefix}/{version}", Some("my/-c/1.0.0")),
            ("https://a.example", Some("My-Crate/1.0.0/download")),
            ("https://a.example/{crate}?x=1", None),
            ("file:///tmp/{crate}", None),
            ("", None),
        ] {
            assert_eq!(archive.path(dl).as_deref(), path, "{dl}");
        }
        let by_sum = archive.path("https://a.example/{sha256-checksum}");
        assert_eq!(by_sum, Some(checksum));
    }

    #[test]
    fn a_crates_file_is_where_its_name_says() {
        for (name, path) in [
            ("a", "/1/a"),
            ("Ab", "/2/ab"),
            ("abc", "/3/a/abc"),
            ("Abcd", "/ab/cd/abcd"),
            ("a-b_c", "/a-/b_/a-b_c"),
        ] {
            assert_eq!(file(name).path(), path);
        }
    }
}
