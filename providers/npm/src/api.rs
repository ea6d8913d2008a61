//! What is asked of a registry, and what it answers (npm's registry API, as public registries and Verdaccio speak it).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use omnifs_sdk::http::Request;
use omnifs_sdk::json::null_as_default;
use omnifs_sdk::{Error, Items, Members, Result, routes};
use serde::Deserialize;
use sha1_checked::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt::{self, Display};
use std::str::FromStr;

routes! {
    /// The slash in a scoped name is escaped.
    pub mod registry = "registry" {
        get search() = "/-/v1/search",
        get package(name) = "/*%2F*",
        head look(name) = "/*%2F*",
        get version(name, version) = "/*%2F*/*",
        get archive(name, file) = "/*%2F*/-/**",
    }
}

/// Packages that are listed. Any other is found by its name.
pub const PACKAGES: usize = 10_000;

/// Without this a registry answers with the texts of all versions too. It has whether each is deprecated, and when
/// anything of the package has changed.
const SHORT: &str = "application/vnd.npm.install-v1+json";

pub fn package(name: &str) -> Request {
    registry::package(name).header("accept", SHORT)
}

/// Asks for the headers of what [`package`] is answered with: a registry, or a cache before it, may keep each form by
/// itself, and one may be newer than the other.
pub fn look(name: &str) -> Request {
    registry::look(name).header("accept", SHORT)
}

/// One more than are listed: Verdaccio counts `from` and `size` from the same place, so a second page is none.
pub fn search() -> Request {
    registry::search().query("text", "").query("size", PACKAGES + 1).query("from", 0)
}

#[derive(Debug, Deserialize)]
pub struct Search {
    pub objects: Items<Hit>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub total: usize,
}

#[derive(Debug, Deserialize)]
pub struct Hit {
    pub package: Named,
}

#[derive(Debug, Deserialize)]
pub struct Named {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    #[serde(default, rename = "dist-tags", deserialize_with = "null_as_default")]
    pub tags: Members<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub versions: Members<Published>,
}

#[derive(Debug, Deserialize)]
pub struct Published {
    #[serde(default, deserialize_with = "null_as_default")]
    pub dist: Dist,
}

#[derive(Debug, Default, Deserialize)]
pub struct Dist {
    #[serde(default, deserialize_with = "null_as_default")]
    tarball: String,
    /// Subresource Integrity: digests with a space between them.
    #[serde(default, deserialize_with = "null_as_default")]
    integrity: String,
    /// SHA-1 in hexadecimal, all that old versions have.
    #[serde(default, deserialize_with = "null_as_default")]
    shasum: String,
}

/// The archive of a version. Another content is another one, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    pub package: String,
    /// What its address says after `/-/`; empty where it lies elsewhere.
    file: String,
    /// `ALGORITHM-BASE64`; empty where the registry says none.
    pub integrity: String,
}

impl Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.package, self.file, self.integrity)
    }
}

impl FromStr for Archive {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (package, rest) = text.split_once(' ').ok_or(())?;
        let (file, integrity) = rest.split_once(' ').ok_or(())?;
        let [package, file, integrity] = [package, file, integrity].map(str::to_owned);
        Ok(Archive { package, file, integrity })
    }
}

impl Archive {
    pub fn new(package: &str, dist: &Dist) -> Self {
        let (_, file) = dist.tarball.split_once("/-/").unwrap_or_default();
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '%' | '?' | '#' | '\\');
        let file = if file.chars().all(plain) { file } else { "" };
        let [package, file] = [package, file].map(str::to_owned);
        Archive { package, file, integrity: dist.strongest() }
    }

    /// Its bytes, if they are what the registry said.
    pub fn fetch(&self) -> Result<Vec<u8>> {
        let invalid = |why: &str| Error::Invalid(format!("registry: {}: {why}", self.package));
        let (algorithm, expected) =
            self.integrity.split_once('-').ok_or_else(|| invalid("a version has no digest"))?;
        if self.file.is_empty() {
            return Err(invalid("an archive does not lie below the package's address"));
        }
        let content = registry::archive(&self.package, &self.file).ok()?.body;
        let found = match algorithm {
            "sha512" => BASE64.encode(Sha512::digest(&content)),
            "sha384" => BASE64.encode(Sha384::digest(&content)),
            "sha256" => BASE64.encode(Sha256::digest(&content)),
            _ => BASE64.encode(Sha1::try_digest(&content).hash()),
        };
        if found == expected {
            return Ok(content);
        }
        Err(invalid(&format!("{} has another digest than {}", self.file, self.integrity)))
    }
}

impl Dist {
    /// The strongest digest of those that can be checked here.
    fn strongest(&self) -> String {
        let of = |algorithm: &str| {
            let mut all = self.integrity.split_ascii_whitespace();
            let found =
                all.find(|one| one.split_once('-').is_some_and(|(own, _)| own == algorithm));
            // Options follow a question mark.
            found.map(|one| one.split('?').next().unwrap_or(one).to_owned())
        };
        let sha1 = || {
            let byte = |at| u8::from_str_radix(self.shasum.get(at..at + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..self.shasum.len()).step_by(2).map(byte).collect();
            bytes.filter(|bytes| bytes.len() == 20).map(|b| format!("sha1-{}", BASE64.encode(b)))
        };
        let known = ["sha512", "sha384", "sha256", "sha1"];
        known.into_iter().find_map(of).or_else(sha1).unwrap_or_default()
    }
}

/// Whether a package may have this name, as far as that keeps away what tools look for in any directory.
pub fn is_name(text: &str) -> bool {
    let plain = |part: &str| {
        let of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        !part.is_empty() && !part.starts_with(['.', '_']) && part.chars().all(of)
    };
    match text.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(of, name)| plain(of) && plain(name)),
        None => plain(text) && !matches!(text, "node_modules" | "favicon.ico"),
    }
}
