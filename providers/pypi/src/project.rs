//! Projects, their versions, and which archives each has.

use crate::Id;
use crate::api::{self, Archive, Page, normal};
use crate::version::{self, Order};
use omnifs_sdk::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// Projects that are listed. Any other is found by its name.
const PROJECTS: usize = 10_000;
/// Archives of a project up to which what all of its versions hold comes along with it.
const BROUGHT: usize = 1_000;

pub fn list() -> Result<Listing<Id>> {
    let found: api::Projects = api::projects().json()?;
    let count = found.projects.count();
    let mut projects = found.projects;
    projects.truncate(PROJECTS);
    let entries = projects.flat_map(|project| {
        let name = normal(&project.name)?;
        Some(Entry::directory(name.clone(), Id::Project(name)))
    });
    if count <= PROJECTS {
        return Ok(entries.into());
    }
    Ok(Listing::partial(entries, format!("the first {PROJECTS}, others are found by name")))
}

/// The archives of each version as a project's page has them.
struct Project {
    name: String,
    count: usize,
    versions: BTreeMap<String, Vec<Value>>,
    page: Page,
}

fn fetch(name: &str) -> Result<Project> {
    let page: Page = api::project(name).json()?;
    let mut versions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for file in page.files.iter() {
        let named = file["filename"].as_str().and_then(|text| version::of_file(text, name));
        match named {
            Some(version) => versions.entry(version.to_owned()).or_default().push(file.clone()),
            None => log::debug(&format!("{name}: {} is of no version", file["filename"])),
        }
    }
    Ok(Project { name: name.to_owned(), count: page.files.count(), versions, page })
}

/// A project. What it has comes along.
pub fn find(name: &str) -> Result<Entry<Id>> {
    if normal(name).as_deref() != Some(name) {
        return Err(Error::NotFound);
    }
    let (project, own) = (fetch(name)?, name.to_owned());
    let entries = vec![
        Entry::holding("_latest", Id::Latest(own.clone()), project.newest()),
        Entry::holding("versions", Id::Versions(own.clone()), project.versions()),
    ];
    Ok(Entry::holding(name, Id::Project(own), entries))
}

pub fn latest(name: &str) -> Result<Listing<Id>> {
    Ok(fetch(name)?.newest().into())
}

pub fn versions(name: &str) -> Result<Listing<Id>> {
    Ok(fetch(name)?.versions())
}

pub fn version(name: &str, version: &str) -> Result<Vec<Entry<Id>>> {
    fetch(name)?.version(version)
}

/// What the index says of a version's archives.
pub fn metadata(name: &str, version: &str) -> Result<Content> {
    Ok(json(fetch(name)?.archives(version)?))
}

pub fn archives(name: &str, version: &str) -> Result<Vec<Entry<Id>>> {
    Ok(packed(fetch(name)?.archives(version)?))
}

pub fn unpacked(name: &str, version: &str) -> Result<Vec<Entry<Id>>> {
    Ok(directories(fetch(name)?.archives(version)?))
}

/// A link's target, from beside `versions`.
pub fn target(version: &str) -> Content {
    document(format!("../versions/{}", name::escape(version)))
}

fn named(file: &Value) -> &str {
    file["filename"].as_str().unwrap_or_default()
}

fn packed(files: &[Value]) -> Vec<Entry<Id>> {
    let entry = |file: &Value| {
        let (archive, length) = (Archive::of(file), file["size"].as_u64());
        let source = archive.source(length);
        let entry = Entry::file(named(file), Id::Packed(archive));
        match source {
            Some(source) => entry.at(source),
            None => entry,
        }
    };
    files.iter().map(entry).collect()
}

fn directories(files: &[Value]) -> Vec<Entry<Id>> {
    let entry = |file: &Value| Entry::directory(named(file), Id::Files(Archive::of(file)));
    files.iter().map(entry).collect()
}

impl Project {
    fn archives(&self, version: &str) -> Result<&[Value]> {
        self.versions.get(version).map(Vec::as_slice).ok_or(Error::NotFound)
    }

    /// The final release with the highest version of which not all was withdrawn, else the highest of all.
    fn newest(&self) -> Vec<Entry<Id>> {
        let rank = |(version, files): (&String, &Vec<Value>)| {
            let order = Order::of(version)?;
            let withdrawn =
                |file: &Value| file["yanked"].is_string() || file["yanked"] == Value::Bool(true);
            let stands = !files.iter().all(withdrawn);
            Some(((stands, order.is_final(), order), version.clone()))
        };
        let newest = self.versions.iter().filter_map(rank).max();
        let entry = |(_, version): (_, String)| {
            let content = target(&version);
            Entry::symlink(version.clone(), Id::Newest(self.name.clone(), version)).content(content)
        };
        newest.map(entry).into_iter().collect()
    }

    fn versions(&self) -> Listing<Id> {
        let entry = |version: &String| {
            let id = Id::Version(self.name.clone(), version.clone());
            let held = (self.count <= BROUGHT).then(|| self.version(version).ok()).flatten();
            match held {
                Some(entries) => Entry::holding(version, id, entries),
                None => Entry::directory(version, id),
            }
        };
        let entries: Vec<_> = self.versions.keys().map(entry).collect();
        Listing::from(entries).noting(&self.page.files)
    }

    /// What is shown of a version.
    fn version(&self, version: &str) -> Result<Vec<Entry<Id>>> {
        let files = self.archives(version)?;
        let id = |id: fn(String, String) -> Id| id(self.name.clone(), version.to_owned());
        let mut entries = vec![
            Entry::file("metadata.json", id(Id::Releases)).content(json(files)),
            Entry::holding("archives", id(Id::Archives), packed(files)),
            Entry::holding("files", id(Id::Unpacked), directories(files)),
        ];
        // A wheel says more exactly what is installed than the source does.
        let all = || files.iter().map(Archive::of);
        let described = all().find(|archive| archive.is(".whl")).or_else(|| {
            all().find(|archive| [".tar.gz", ".tgz", ".zip"].iter().any(|end| archive.is(end)))
        });
        if let Some(archive) = described {
            entries.push(Entry::file("METADATA", Id::Core(archive.clone())));
            entries.push(Entry::file("README", Id::Readme(archive)));
        }
        Ok(entries)
    }
}

fn json(files: &[Value]) -> Content {
    omnifs_sdk::json(&files)
}
