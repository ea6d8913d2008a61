//! A service tried twice: what a mount would show of it, and what of that moves though nobody has changed it.
//!
//! Invariant: nothing is asked for but what a mount asks for, through the same component, and never more than
//! [`MOST_REQUESTS`]. Nobody has approved the file, so no credential leaves unless the user says so.

use super::{credentials, refused, undescribed};
use crate::capability::Outbound;
use crate::capability::validators::Validators;
use crate::component::Component;
use crate::config::{Instance, Limits};
use crate::control::Refused;
use crate::provider::{
    Answer, Body, Cause, Failure, Followed, Manifest, Node, PathDoc, Piece, Provider, Request,
    Response, Upstream, Wanted,
};
use crate::wasm;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of one check.
const MOST_REQUESTS: u64 = 200;
/// Objects of a listing that are asked for by themselves too.
const FEW: usize = 3;
/// Directories of one form that are looked into.
const WITHIN: usize = 2;
/// Names that are told of a kind of finding.
const NAMED: usize = 5;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The URL that was asked.
    pub url: String,
    pub requests: u64,
    pub paths: Vec<Tried>,
}

/// One directory of objects, or one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// As the file has it: `projects/{project}`.
    pub pattern: String,
    /// Which directory it was: `projects`.
    pub at: String,
    /// In the first answer.
    pub objects: usize,
    /// Names that the second listing has and the first has not.
    pub came: Vec<String>,
    pub gone: Vec<String>,
    /// Names that several objects have: all but one show with their id after it.
    pub collided: Vec<String>,
    pub leaves: BTreeMap<String, Leaf>,
    /// What the listing says of itself: where it stops short, what it leaves out.
    pub notes: Vec<String>,
    pub failures: Vec<String>,
}

/// A file that each of the objects has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leaf {
    /// Objects of which it was seen.
    pub seen: usize,
    /// Of how many it has no content: null, not there, or an empty list.
    pub empty: usize,
    /// Of how many two answers to the same request hold other bytes.
    pub moved: usize,
    /// Of how many the list holds other bytes than the object's own answer.
    pub differs: usize,
    /// An object of which it moved or differs.
    pub example: Option<String>,
}

impl Checked {
    /// Nothing moved, and everything was answered.
    pub fn is_good(&self) -> bool {
        self.paths.iter().all(Tried::is_good)
    }
}

impl Tried {
    fn is_good(&self) -> bool {
        let steady = |leaf: &Leaf| leaf.moved == 0 && leaf.differs == 0;
        self.came.is_empty()
            && self.gone.is_empty()
            && self.failures.is_empty()
            && self.leaves.values().all(steady)
    }
}

/// What a check may do.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// The user has said that the credentials which the file names may be sent.
    pub with_credential: bool,
    pub limits: &'a Limits,
}

/// Asks a declared service, whose component this is, where the instance's configuration or the file says.
/// `cache` holds compiled components.
///
/// # Errors
/// The file is wrong, or its service is at no address that can be used.
pub async fn check(
    instance: &Instance,
    component: &Component,
    how: How<'_>,
    cache: &Path,
) -> Result<Checked, Refused> {
    let engine = wasm::Engine::new().map_err(refused)?;
    let loaded = wasm::Component::load(&engine, &component.bytes(), &instance.name, Some(cache));
    let loaded = loaded.map_err(refused)?;
    let described = loaded.describe().await;
    let mut manifest = described.map_err(|failure| undescribed(failure, component.is_declared))?;
    let mut instance = instance.clone();
    if !how.with_credential {
        manifest.credentials.clear();
        manifest.endpoints.iter_mut().for_each(|endpoint| endpoint.credentials.clear());
        instance.config.credential_file = None;
        instance.config.credential_files.clear();
    }
    let [endpoint] = &manifest.endpoints[..] else {
        return Err(refused("it has not one endpoint, so it is no service that a file declares"));
    };
    let placed = instance.config.endpoints.get(&endpoint.name);
    let url = placed.and_then(|placed| placed.url.as_ref()).unwrap_or(&endpoint.default_url);
    let validators = Arc::new(Validators::new(0));
    let mut setup = credentials::setup(&instance, &manifest, validators, how.limits)?;
    setup.limits.retries = 0;
    let outbound = Outbound::new(setup).map_err(refused)?;
    let counted = Arc::new(Counted { outbound, made: AtomicU64::new(0) });
    let upstream: Arc<dyn Upstream> = counted.clone();
    let settings = &instance.config.settings;
    let limits = wasm::Limits::default();
    let name = &instance.name;
    let provider = wasm::Instance::new(name, loaded, &manifest, settings, Some(upstream), limits);
    let paths = all(&provider, &manifest).await;
    let requests = counted.made.load(Ordering::Relaxed).min(MOST_REQUESTS);
    Ok(Checked { url: crate::capability::shown(url), requests, paths })
}

/// The way out, as long as there were not too many requests.
#[derive(Debug)]
struct Counted {
    outbound: Outbound,
    made: AtomicU64,
}

impl Upstream for Counted {
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        if self.made.fetch_add(1, Ordering::Relaxed) < MOST_REQUESTS {
            return self.outbound.fetch(request);
        }
        let detail = format!("a check makes no more than {MOST_REQUESTS} requests");
        let failure =
            Failure { provider: "check".into(), cause: Cause::Limit, detail, retry_after: None };
        Box::pin(std::future::ready(Err(failure)))
    }

    fn part<'a>(&'a self, part: Wanted<'a>) -> BoxFuture<'a, Result<Piece, Failure>> {
        self.outbound.part(part)
    }

    fn follow<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Followed, Failure>> {
        self.outbound.follow(request)
    }
}

/// A directory: its path, and its id.
type Place = (String, Arc<str>);

/// Contents by name; `None` where the answer has none.
type Leaves = BTreeMap<String, Option<Bytes>>;

struct Check<'a> {
    provider: &'a dyn Provider,
    /// What directories were found to hold, by their id.
    listed: HashMap<Arc<str>, Vec<Place>>,
}

/// Every form of path that the guide names, the shortest first.
async fn all(provider: &dyn Provider, manifest: &Manifest) -> Vec<Tried> {
    let mut check = Check { provider, listed: HashMap::new() };
    let mut docs: Vec<&PathDoc> = manifest.guide.iter().collect();
    docs.sort_by_key(|doc| doc.pattern.matches('/').count());
    let mut tried = Vec::new();
    for doc in docs {
        let pattern = doc.pattern.trim_end_matches('/');
        let (above, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let mut here = vec![(String::new(), Arc::from(manifest.root.as_str()))];
        let mut missed = Tried { pattern: pattern.to_owned(), ..Tried::default() };
        for segment in above.split('/').filter(|segment| !segment.is_empty()) {
            here = check.below(&here, segment, &mut missed).await;
        }
        if here.is_empty() && missed.failures.is_empty() {
            missed.notes.push("no object leads there".to_owned());
        }
        if here.is_empty() || !missed.failures.is_empty() {
            tried.push(missed);
        }
        for (path, id) in here {
            let mut one =
                Tried { pattern: pattern.to_owned(), at: path.clone(), ..Tried::default() };
            match is_variable(last) {
                true => check.listing(&path, &id, &mut one).await,
                false => check.single(&path, &id, last, &mut one).await,
            }
            tried.push(one);
        }
    }
    tried
}

fn is_variable(segment: &str) -> bool {
    segment.starts_with('{')
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn leaves(nodes: &[Node]) -> Leaves {
    let files = nodes.iter().filter(|node| node.kind != crate::provider::Kind::Directory);
    let content = |node: &Node| node.content.as_ref().and_then(Body::held).cloned();
    files.map(|node| (node.name.clone(), content(node))).collect()
}

impl Check<'_> {
    /// The directories of this name, or a few of those that are there, in each of these.
    async fn below(&mut self, here: &[Place], segment: &str, tried: &mut Tried) -> Vec<Place> {
        let mut below = Vec::new();
        for (path, id) in here {
            if !is_variable(segment) {
                match self.provider.lookup_child(id, segment).await {
                    Ok(found) => below.push((joined(path, segment), found.value.id)),
                    Err(failure) => tried.failures.push(format!("{path}: {}", failure.detail)),
                }
                continue;
            }
            if !self.listed.contains_key(id) {
                match self.provider.list_children(id).await {
                    Ok(answer) => self.note(path, id, &answer),
                    Err(failure) => tried.failures.push(format!("{path}: {}", failure.detail)),
                }
            }
            below.extend(self.listed.get(id).into_iter().flatten().take(WITHIN).cloned());
        }
        below
    }

    fn note(&mut self, path: &str, id: &Arc<str>, answer: &Answer<Vec<Node>>) {
        let places = answer.value.iter().map(|node| (joined(path, &node.name), node.id.clone()));
        self.listed.insert(id.clone(), places.collect());
    }

    /// A directory of objects, and a few of these by themselves.
    async fn listing(&mut self, path: &str, id: &Arc<str>, tried: &mut Tried) {
        let mut answers = Vec::new();
        for _ in 0..2 {
            match self.provider.list_children(id).await {
                Ok(answer) => answers.push(answer),
                Err(failure) => return tried.failures.push(failure.detail),
            }
        }
        let [one, two] = &answers[..] else { return };
        self.note(path, id, one);
        let names = |answer: &Answer<Vec<Node>>| -> HashSet<String> {
            answer.value.iter().map(|node| node.name.clone()).collect()
        };
        let (before, after) = (names(one), names(two));
        let sorted = |names: Vec<&String>| {
            let mut names: Vec<String> = names.into_iter().cloned().collect();
            names.sort();
            names
        };
        tried.objects = one.value.len();
        tried.came = sorted(after.difference(&before).collect());
        tried.gone = sorted(before.difference(&after).collect());
        tried.collided = collided(&one.value, &before);
        let own = one.partials.iter().filter(|partial| partial.directory == *id);
        tried.notes = own.map(|partial| partial.note.clone()).collect();
        let along = |answer: &Answer<Vec<Node>>| -> HashMap<Arc<str>, Leaves> {
            let offers = answer.offers.iter();
            offers.map(|offer| (offer.parent.clone(), leaves(&offer.children))).collect()
        };
        let (first, second) = (along(one), along(two));
        for node in &one.value {
            let Some(held) = first.get(&node.id) else { continue };
            tried.see(held);
            if let Some(again) = second.get(&node.id) {
                tried.compare(&node.name, held, again, |leaf| &mut leaf.moved);
            }
        }
        for node in one.value.iter().take(FEW) {
            let empty = Leaves::new();
            let held = first.get(&node.id).unwrap_or(&empty);
            self.own(node, held, tried).await;
        }
    }

    /// An object by itself, compared with what its list holds of it.
    async fn own(&self, node: &Node, held: &Leaves, tried: &mut Tried) {
        let fail = |failure: Failure| format!("{}: {}", node.name, failure.detail);
        let one = match self.provider.list_children(&node.id).await {
            Ok(answer) => leaves(&answer.value),
            Err(failure) => return tried.failures.push(fail(failure)),
        };
        tried.compare(&node.name, held, &one, |leaf| &mut leaf.differs);
        let is_detail = |name: &String| held.get(name).is_none_or(Option::is_none);
        let details = one.iter().filter(|(name, _)| is_detail(name));
        let details: Leaves =
            details.map(|(name, content)| (name.clone(), content.clone())).collect();
        tried.see(&details);
        if details.is_empty() {
            return;
        }
        match self.provider.list_children(&node.id).await {
            Ok(answer) => {
                let again = leaves(&answer.value);
                tried.compare(&node.name, &one, &again, |leaf| &mut leaf.moved);
            }
            Err(failure) => tried.failures.push(fail(failure)),
        }
    }

    /// The one object of this name.
    async fn single(&self, path: &str, parent: &Arc<str>, name: &str, tried: &mut Tried) {
        tried.at = joined(path, name);
        let node = match self.provider.lookup_child(parent, name).await {
            Ok(found) => found.value,
            Err(failure) => return tried.failures.push(failure.detail),
        };
        let mut answers = Vec::new();
        for _ in 0..2 {
            match self.provider.list_children(&node.id).await {
                Ok(answer) => answers.push(leaves(&answer.value)),
                Err(failure) => return tried.failures.push(failure.detail),
            }
        }
        let [one, two] = &answers[..] else { return };
        tried.objects = 1;
        tried.see(one);
        tried.compare(name, one, two, |leaf| &mut leaf.moved);
    }
}

impl Tried {
    fn see(&mut self, leaves: &Leaves) {
        for (name, content) in leaves {
            let leaf = self.leaves.entry(name.clone()).or_default();
            if let Some(content) = content {
                leaf.seen += 1;
                leaf.empty += usize::from(content.is_empty());
            }
        }
    }

    /// Counts what both answers hold and hold differently.
    fn compare(
        &mut self,
        object: &str,
        one: &Leaves,
        two: &Leaves,
        count: impl Fn(&mut Leaf) -> &mut usize,
    ) {
        for (name, content) in one {
            let other = two.get(name).and_then(Option::as_ref);
            let (Some(content), Some(other)) = (content, other) else { continue };
            if content != other {
                let leaf = self.leaves.entry(name.clone()).or_default();
                *count(leaf) += 1;
                leaf.example.get_or_insert_with(|| object.to_owned());
            }
        }
    }
}

/// The names that several objects have. Of two `a`, the second shows as `a@ID`.
fn collided(nodes: &[Node], names: &HashSet<String>) -> Vec<String> {
    let shared = |node: &Node| {
        node.name.match_indices('@').find_map(|(at, _)| {
            let (name, id) = (&node.name[..at], &node.name[at + 1..]);
            // An id is written with escapes of its own.
            let own = node.id.rsplit('/').next().unwrap_or_default();
            (names.contains(name) && (own == id || own.contains('%'))).then(|| name.to_owned())
        })
    };
    let mut found: Vec<String> = nodes.iter().filter_map(shared).collect();
    found.sort();
    found.dedup();
    found
}

/// The first few of many, for a line.
pub fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
