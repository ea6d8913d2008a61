//! Releases by their tag, and their assets. Drafts have no tag yet and are not shown.

use crate::Id;
use crate::api::{self, github};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Tagged")]
struct Answer {
    tag: String,
    inner: Tagged,
}

#[derive(Clone, Debug, Deserialize)]
struct Tagged {
    id: u64,
    /// A draft may have none yet.
    tag_name: Option<String>,
    #[serde(default, deserialize_with = "null")]
    body: String,
    #[serde(default, deserialize_with = "null")]
    draft: bool,
    #[serde(default, deserialize_with = "null")]
    prerelease: bool,
    published_at: Option<String>,
    updated_at: Option<String>,
    #[serde(default)]
    assets: Items<Asset>,
}

impl TryFrom<Tagged> for Answer {
    type Error = &'static str;

    fn try_from(inner: Tagged) -> std::result::Result<Self, &'static str> {
        match &inner.tag_name {
            Some(tag) if !tag.is_empty() => Ok(Answer { tag: tag.clone(), inner }),
            _ if inner.draft => Ok(Answer { tag: String::new(), inner }),
            _ => Err("tag_name: a release that is no draft has none"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Asset {
    id: u64,
    name: String,
    size: u64,
    #[serde(default, deserialize_with = "null")]
    state: String,
    /// `sha256:HEX`; assets from before 2025 have none.
    digest: Option<String>,
    updated_at: Option<String>,
}

pub struct Release {
    repo: u64,
    answer: Answer,
    document: Content,
}

impl Object for Release {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("notes.md", |r: &Self| document(r.answer.inner.body.as_str())),
        leaf("release.json", |r: &Self| r.document.clone()),
        dir_holding("assets", |r: &Self| {
            (r.assets_id(), entries(r.repo, r.answer.inner.assets.clone()).into())
        }),
    ];

    fn id(&self) -> Id {
        Id::Release(self.repo, self.answer.inner.id)
    }

    fn modified(&self) -> Option<u64> {
        api::ms(self.answer.inner.updated_at.as_ref().or(self.answer.inner.published_at.as_ref())?)
    }
}

impl Release {
    fn new(repo: u64, answer: Raw<Answer>) -> Self {
        let document = json_value(&stable(answer.json.value()));
        Release { repo, answer: (*answer).clone(), document }
    }

    fn assets_id(&self) -> Id {
        Id::Assets(self.repo, self.answer.inner.id)
    }

    fn entry(&self) -> Entry<Id> {
        Entry::object(self.answer.tag.as_str(), self)
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
    let request = github::releases(repo);
    let found = api::pages(request, api::listing_bound(), |page: Items<Raw<Answer>>| {
        page.flat_map(|answer| (!answer.inner.draft).then(|| Release::new(repo, answer)))
    })?;
    let named = |release: &Release| release.answer.tag == LATEST;
    let any = found.items.iter().any(|release| !release.answer.inner.prerelease);
    let link = (any && !found.items.iter().any(named)).then(|| link(repo));
    let listing = api::listing(found, "newest releases", |release| release.entry());
    Ok(listing.and(link))
}

/// The link to the release that GitHub calls the latest. A release with that tag takes its place.
const LATEST: &str = "latest";

fn link(repo: u64) -> Entry<Id> {
    Entry::symlink(LATEST, Id::LatestRelease(repo))
}

fn fetch_latest(repo: u64) -> Result<Release> {
    Ok(Release::new(repo, github::release(repo, LATEST).json()?))
}

fn target(release: &Release) -> Content {
    document(name::escape(&release.answer.tag))
}

/// Where the link leads. Which one it is only GitHub knows: it may be marked as such.
pub fn latest(repo: u64) -> Result<Content> {
    let release = fetch_latest(repo)?;
    preload::part(Id::Releases(repo), vec![release.entry()]);
    Ok(target(&release))
}

pub fn find(repo: u64, tag: &str) -> Result<Entry<Id>> {
    match github::tagged_release(repo, tag).json() {
        Err(Error::NotFound) if tag == LATEST => {
            let release = fetch_latest(repo)?;
            preload::part(Id::Releases(repo), vec![release.entry()]);
            Ok(link(repo).content(target(&release)))
        }
        answer => Ok(Release::new(repo, answer?).entry()),
    }
}

pub fn fetch(repo: u64, id: u64) -> Result<Release> {
    Ok(Release::new(repo, github::release(repo, id).json()?))
}

/// What replaces an asset has another id, so one never changes. Its content may be of 2 GiB, and is read in
/// pieces from where GitHub redirects to.
fn entries(repo: u64, assets: Items<Asset>) -> Items<Entry<Id>> {
    assets.flat_map(|asset| {
        let there = matches!(asset.state.as_str(), "" | "uploaded");
        there.then(|| {
            let request =
                github::asset(repo, asset.id).header("accept", "application/octet-stream");
            Entry::file(asset.name.as_str(), Id::Asset(repo, asset.id))
                .at(request.content(asset.size).digest(asset.digest.as_deref()))
                .modified(asset.updated_at.as_deref().and_then(api::ms))
        })
    })
}

pub fn assets(repo: u64, release: u64) -> Result<Items<Entry<Id>>> {
    let request = github::assets(repo, release);
    Ok(entries(repo, api::pages(request, usize::MAX, |page| page)?.items))
}
