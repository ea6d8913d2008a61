//! What is asked, and what of the answers is shown.

use crate::xml;
use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

routes! {
    pub mod service = "s3" with super::judged {
        get buckets() = "/",
        get keys(bucket) = "/*",
        get object(bucket, key) = "/*/**",
    }
}

/// Pages beyond this are a server that leads in circles.
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Buckets {
    #[serde(default, deserialize_with = "null")]
    pub buckets: BucketList,
}

#[derive(Default, Deserialize)]
pub struct BucketList {
    #[serde(default, rename = "Bucket")]
    pub all: Items<Bucket>,
}

#[derive(Deserialize)]
pub struct Bucket {
    #[serde(rename = "Name")]
    pub name: String,
}

/// A page of keys, or of versions.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page {
    #[serde(default)]
    pub contents: Items<Stored>,
    #[serde(default, rename = "Version")]
    pub versions: Items<Stored>,
    #[serde(default)]
    pub common_prefixes: Items<Common>,
    pub next_continuation_token: Option<String>,
    pub next_key_marker: Option<String>,
    pub next_version_id_marker: Option<String>,
}

/// Keys that begin so, up to the next slash.
#[derive(Deserialize)]
pub struct Common {
    #[serde(rename = "Prefix")]
    pub prefix: String,
}

/// An object, or a version of one.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stored {
    pub key: String,
    pub last_modified: Option<String>,
    #[serde(rename = "ETag")]
    pub etag: Option<String>,
    #[serde(deserialize_with = "number")]
    pub size: u64,
    pub version_id: Option<String>,
}

fn number<'de, D: Deserializer<'de>>(text: D) -> std::result::Result<u64, D::Error> {
    String::deserialize(text)?.parse().map_err(D::Error::custom)
}

impl Stored {
    /// The tag with which its content is answered.
    pub fn tag(&self) -> Option<String> {
        let tag = self.etag.as_deref().filter(|tag| !tag.is_empty())?;
        Some(if tag.starts_with('"') { tag.to_owned() } else { format!("\"{tag}\"") })
    }
}

/// What is asked for of one directory.
pub trait Asked {
    /// Its answer, whose body is XML.
    fn xml<T: DeserializeOwned>(self) -> Result<T>;

    /// Every page from this one on, until `seen` has had enough. Whether there are more.
    fn all(self, seen: impl FnMut(Page) -> bool) -> Result<bool>;
}

impl Asked for Request {
    fn xml<T: DeserializeOwned>(self) -> Result<T> {
        let mut response = self.ok()?;
        let value = xml::value(&response.body);
        let value = value.ok_or_else(|| Error::Invalid("s3: the answer is no XML".to_owned()))?;
        response.body = value.to_string().into_bytes();
        response.json()
    }

    fn all(self, mut seen: impl FnMut(Page) -> bool) -> Result<bool> {
        let mut request = self.clone();
        for _ in 0..MOST {
            let mut page: Page = request.xml()?;
            let (token, key) = (page.next_continuation_token.take(), page.next_key_marker.take());
            let version = page.next_version_id_marker.take();
            let enough = seen(page);
            request = match (token, key) {
                (Some(_), _) | (_, Some(_)) if enough => return Ok(true),
                (Some(token), _) => self.clone().query("continuation-token", token),
                (None, Some(key)) => {
                    let next = self.clone().query("key-marker", key);
                    version.into_iter().fold(next, |next, id| next.query("version-id-marker", id))
                }
                (None, None) => return Ok(false),
            };
        }
        Err(Error::Invalid("s3: the pages lead in circles".to_owned()))
    }
}

/// What an error's body says.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Complaint {
    code: Option<String>,
    message: Option<String>,
    region: Option<String>,
}

fn judged(request: Request) -> Request {
    request.judged_by(|_, response| judge(response))
}

fn judge(response: &Response) -> Option<Error> {
    let status = response.status;
    if (200..300).contains(&status) {
        return None;
    }
    let said = xml::value(&response.body).and_then(|value| serde_json::from_value(value).ok());
    let Complaint { code, message, region } = said.unwrap_or_default();
    let code = code.unwrap_or_default();
    let parts = [format!("s3: {status}"), code.clone(), message.unwrap_or_default()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut text = content::one_line(&parts.join(": "));
    let region = response.header("x-amz-bucket-region").or(region.as_deref());
    if let Some(region) = region.filter(|_| matches!(status, 301 | 307 | 400)) {
        text.push_str(&format!("; it is in the region {}", content::one_line(region)));
    }
    Some(match status {
        429 => Error::RateLimited(response.retry_after()),
        503 if code == "SlowDown" => Error::RateLimited(response.retry_after()),
        401 | 403 => Error::Denied(text),
        404 | 410 => Error::NotFound,
        408 | 504 => Error::TimedOut,
        500.. => Error::Unavailable(text),
        _ => Error::Invalid(text),
    })
}
