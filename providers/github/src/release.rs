//! Releases by their tag, and their assets. Drafts have no tag yet and are not shown.

use crate::Id;
use crate::api;
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    id: u64,
    tag_name: String,
    #[serde(default, deserialize_with = "null")]
    body: String,
    #[serde(default)]
    draft: bool,
    published_at: Option<String>,
    updated_at: Option<String>,
    #[serde(default, deserialize_with = "null")]
    assets: Vec<Asset>,
}

#[derive(Clone, Debug, Deserialize)]
struct Asset {
    id: u64,
    name: String,
    size: u64,
    #[serde(default)]
    state: String,
    updated_at: Option<String>,
}

pub struct Release {
    repo: u64,
    answer: Answer,
    document: Content,
}

impl Object for Release {
    type Id = Id;

    /// Part of the repository's releases: a poll sees that one changed, and not which.
    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("notes.md", |r: &Self| document(r.answer.body.as_str())).part_of(Release::all),
        leaf("release.json", |r: &Self| r.document.clone()).part_of(Release::all),
        dir_holding("assets", |r: &Self| (r.assets_id(), entries(r.repo, &r.answer.assets).into())),
    ];

    fn id(&self) -> Id {
        Id::Release(self.repo, self.answer.id)
    }

    fn modified(&self) -> Option<u64> {
        api::ms(self.answer.updated_at.as_ref().or(self.answer.published_at.as_ref())?)
    }
}

impl Release {
    fn new(repo: u64, answer: Raw<Answer>) -> Self {
        let document = json(&stable(answer.json.clone()));
        Release { repo, answer: (*answer).clone(), document }
    }

    fn all(&self) -> Id {
        Id::Releases(self.repo)
    }

    fn assets_id(&self) -> Id {
        Id::Assets(self.repo, self.answer.id)
    }

    fn entry(&self) -> Entry<Id> {
        Entry::object(self.answer.tag_name.as_str(), self)
    }
}

/// Without what moves with every download and reaction.
pub fn stable(value: Value) -> Value {
    let mut value = api::without(value, &["reactions"]);
    if let Some(assets) = value.get_mut("assets").and_then(Value::as_array_mut) {
        for asset in assets {
            *asset = api::without(asset.take(), &["download_count"]);
        }
    }
    value
}

pub fn list(repo: u64) -> Result<Listing<Id>> {
    let request = api::of(repo, &["releases"]);
    let bound = api::listing_bound();
    let (releases, more) = api::pages(&request, &[], bound, |page: Vec<Raw<Answer>>| page)?;
    let published = releases.into_iter().filter(|answer| !answer.draft);
    let entries: Vec<_> = published.map(|answer| Release::new(repo, answer).entry()).collect();
    if !more {
        return Ok(entries.into());
    }
    let note = api::bound_note(entries.len(), "releases");
    Ok(Listing::partial(entries, note))
}

pub fn find(repo: u64, tag: &str) -> Result<Entry<Id>> {
    let answer = api::of(repo, &["releases", "tags", tag]).json()?;
    Ok(Release::new(repo, answer).entry())
}

pub fn fetch(repo: u64, id: u64) -> Result<Release> {
    Ok(Release::new(repo, api::of(repo, &["releases", &id.to_string()]).json()?))
}

/// What replaces an asset has another id, so one never changes.
fn entries(repo: u64, assets: &[Asset]) -> Vec<Entry<Id>> {
    let there = assets.iter().filter(|asset| matches!(asset.state.as_str(), "" | "uploaded"));
    let entry = |asset: &Asset| {
        Entry::file(asset.name.as_str(), Id::Asset(repo, asset.id))
            .size(asset.size)
            .modified(asset.updated_at.as_deref().and_then(api::ms))
    };
    there.map(entry).collect()
}

pub fn assets(repo: u64, release: u64) -> Result<Vec<Entry<Id>>> {
    let request = api::of(repo, &["releases", &release.to_string(), "assets"]);
    let (assets, _) = api::pages(&request, &[], usize::MAX, |page: Vec<Asset>| page)?;
    Ok(entries(repo, &assets))
}

pub fn download(repo: u64, id: u64) -> Result<Content> {
    let path = ["releases", "assets", &id.to_string()];
    // Leads to another host.
    Ok(api::of_as(repo, &path, "application/octet-stream").ok()?.body.into())
}
