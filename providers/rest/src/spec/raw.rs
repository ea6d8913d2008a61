//! A file as TOML has it.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: Spanned<String>,
    pub summary: Spanned<String>,
    pub url: Spanned<String>,
    pub credential: Option<Credential>,
    #[serde(default)]
    pub objects: BTreeMap<Spanned<String>, Object>,
    /// By the object that it is about.
    #[serde(default)]
    pub feed: BTreeMap<Spanned<String>, Feed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub scheme: Spanned<String>,
    pub header: Option<Spanned<String>>,
    #[serde(default)]
    pub environment: Vec<String>,
    pub help: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    pub path: Spanned<String>,
    pub list: Option<Spanned<String>>,
    pub items: Option<Spanned<String>>,
    pub id: Option<Spanned<String>>,
    pub name: Option<Spanned<String>>,
    pub modified: Option<Spanned<String>>,
    pub pages: Option<Spanned<Pages>>,
    pub get: Option<Spanned<String>>,
    pub item: Option<Spanned<String>>,
    #[serde(default)]
    pub files: Files,
    #[serde(default)]
    pub details: Files,
}

/// Names of files, and JSON pointers.
pub type Files = BTreeMap<Spanned<String>, Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    pub by: Option<String>,
    pub cursor: Option<String>,
    pub parameter: Option<String>,
    pub first: Option<usize>,
    pub size: Option<usize>,
    pub limit: Option<String>,
    pub most: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    pub by: Spanned<String>,
    pub sees: Spanned<Vec<String>>,
    pub poll: Option<Spanned<String>>,
    pub items: Option<Spanned<String>>,
    pub size: Option<usize>,
    pub deleted: Option<Spanned<String>>,
    pub time: Option<Spanned<String>>,
}
