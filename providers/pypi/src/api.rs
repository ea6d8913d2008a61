//! What is asked of an index, and what it answers: the simple repository API as JSON (PEP 503, 691, 700).

use omnifs_sdk::http::{Request, Source};
use omnifs_sdk::{Error, Items, Result, config, routes};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

routes! {
    pub mod index = "index" {
        get projects(list) = "/*/",
        get project(list, name) = "/*/*/",
        /// Where devpi has archives, and where others have them.
        get held(path) = "/+f/**",
        get packages(path) = "/packages/**",
    }
}

routes! {
    /// Where absolute addresses of archives lead.
    pub mod files = "files" {
        get file(path) = "/**",
    }
}

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// The directory of the index that has a page for each project.
fn simple() -> String {
    config::get("list").filter(|list| !list.is_empty()).unwrap_or_else(|| "simple".to_owned())
}

pub fn projects() -> Request {
    index::projects(simple()).header("accept", JSON)
}

pub fn project(name: &str) -> Request {
    index::project(simple(), name).header("accept", JSON)
}

#[derive(Debug, Deserialize)]
pub struct Projects {
    pub projects: Items<Named>,
}

#[derive(Debug, Deserialize)]
pub struct Named {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Page {
    pub files: Items<Value>,
}

/// An archive: what it has to be, and where it is. Another content is another one, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// SHA-256 in hexadecimal; empty where the index says none.
    sha256: String,
    /// Whether it is asked of `files`, and its path there or in the index. Empty where it lies elsewhere.
    apart: bool,
    path: String,
}

impl Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.sha256, u8::from(self.apart), self.path)
    }
}

impl FromStr for Archive {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (sha256, rest) = text.split_once(' ').ok_or(())?;
        let (apart, path) = rest.split_once(' ').ok_or(())?;
        Ok(Archive { sha256: sha256.to_owned(), apart: apart == "1", path: path.to_owned() })
    }
}

impl Archive {
    /// Of an entry on a project's page.
    pub fn of(file: &Value) -> Self {
        let sha256 = file["hashes"]["sha256"].as_str().unwrap_or_default();
        let is_one = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let sha256 = if is_one { sha256.to_ascii_lowercase() } else { String::new() };
        let (apart, path) = place(file["url"].as_str().unwrap_or_default()).unwrap_or_default();
        Archive { sha256, apart, path }
    }

    /// The ending of its name, by which it is known what it is.
    pub fn is(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    fn request(&self) -> Result<Request> {
        if self.apart && !self.path.is_empty() {
            return Ok(files::file(&self.path));
        }
        match self.path.split_once('/') {
            Some(("+f", path)) => Ok(index::held(path)),
            Some(("packages", path)) => Ok(index::packages(path)),
            _ => Err(Error::Invalid("index: an archive lies where none is read".to_owned())),
        }
    }

    /// Where the host reads it in pieces, and what it checks it by; nothing where its length or its digest is not known.
    pub fn source(&self, length: Option<u64>) -> Option<Source> {
        let digest = (!self.sha256.is_empty()).then(|| format!("sha256:{}", self.sha256))?;
        Some(self.request().ok()?.content(length?).digest(Some(&digest)))
    }

    /// Its bytes, if they are what the index said.
    pub fn fetch(&self) -> Result<Vec<u8>> {
        if self.sha256.is_empty() {
            return Err(Error::Invalid(format!("index: {} has no SHA-256", self.path)));
        }
        let content = self.request()?.ok()?.body;
        let found = Sha256::digest(&content).iter().fold(String::new(), |mut text, byte| {
            // Writing to memory does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        if found == self.sha256 {
            return Ok(content);
        }
        Err(Error::Invalid(format!("index: {} has another digest than {}", self.path, self.sha256)))
    }
}

/// Whether an address is absolute, and the path: beneath its origin, or beneath the index where it is as seen from a
/// project's page. Nothing where it leads out of the index.
fn place(url: &str) -> Option<(bool, String)> {
    let url = url.split('#').next().unwrap_or(url);
    let absolute = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let path = match absolute {
        Some(rest) => rest.split_once('/')?.1,
        None => url.strip_prefix("../../").unwrap_or(url),
    };
    // An escape that the request would escape again, a query, or a way elsewhere.
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?\\".contains(&byte));
    let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (plain && inside).then(|| (absolute.is_some(), path.to_owned()))
}

/// How an index knows a project (PEP 503), if a project may have this name.
pub fn normal(name: &str) -> Option<String> {
    let of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if !ends || !name.chars().all(of) {
        return None;
    }
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    Some(parts.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}
