//! What of an instance exists: `allow = ["acme/*"]`.
//!
//! Each answer of the provider passes through here before the core sees it, and each question about a name before
//! the provider does. So a name that no pattern lets through is not there, costs no request and shows in no listing,
//! whoever made it at the service and however the service sends it along.
//!
//! Invariant: of a directory that a pattern only leads through, the core knows no entry but those that some pattern
//! allows. It is known by its node-id from when it was first answered. Where one directory shows at two places, an
//! entry that is allowed at one of them is there at both.

use crate::provider::{
    Answer, Cause, Delivery, Failure, Followed, Kind, Node, Offer, Piece, Position, Progress,
    Provider, Reply, Request, ScopedChange, Walk, Wanted,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Segments of a pattern.
const DEPTH: usize = 8;

/// Paths below an instance's directory, `*` for any part of a name. Each stands for what it fits, for all below it,
/// and for the directories that lead there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow(Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Outside,
    /// A directory on the way to what a pattern fits.
    Passage,
    Inside,
}

impl Allow {
    /// # Errors
    /// What is wrong with a pattern.
    pub fn new(patterns: Vec<String>) -> Result<Allow, String> {
        for pattern in &patterns {
            let segments: Vec<_> = pattern.split('/').collect();
            let odd = |segment: &&&str| matches!(**segment, "" | "." | "..");
            if segments.iter().find(odd).is_some() || segments.len() > DEPTH {
                return Err(format!(
                    "a pattern is a path below the instance of 1 to {DEPTH} names, such as \"acme/*\""
                ));
            }
            if segments.iter().any(|segment| segment.contains("**")) {
                return Err(
                    "`*` is any part of one name, and all below a name is allowed with it".into()
                );
            }
        }
        Ok(Allow(patterns))
    }

    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    fn verdict(&self, path: &str) -> Verdict {
        let judge = |pattern: &String| {
            let (mut names, mut segments) = (path.split('/'), pattern.split('/'));
            loop {
                match (segments.next(), names.next()) {
                    (None, _) => return Verdict::Inside,
                    (Some(_), None) => return Verdict::Passage,
                    (Some(segment), Some(name)) if fits(segment, name) => {}
                    _ => return Verdict::Outside,
                }
            }
        };
        let mut verdict = Verdict::Outside;
        for one in self.0.iter().map(judge) {
            match one {
                Verdict::Inside => return one,
                Verdict::Passage => verdict = one,
                Verdict::Outside => {}
            }
        }
        verdict
    }
}

/// Whether a name has the form of `pattern`, in which `*` is any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    // The first part of a split is always there.
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(mut part) = parts.next() else { return rest.is_empty() };
    for next in parts {
        // The first place that fits leaves the most for the others.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        part = next;
    }
    rest.ends_with(part)
}

/// A provider of which only a part exists.
#[derive(Debug)]
pub struct Allowed {
    provider: Arc<dyn Provider>,
    /// The provider's name in failures.
    name: Arc<str>,
    allow: Allow,
    passages: Mutex<HashMap<Arc<str>, Shown>>,
}

/// The paths at which a directory shows that is a passage or is below one, by the passage that shows it: what
/// that has said last.
type Shown = BTreeMap<Arc<str>, BTreeSet<String>>;

impl Allowed {
    pub fn new(provider: Arc<dyn Provider>, name: Arc<str>, root: Arc<str>, allow: Allow) -> Self {
        let shown = BTreeMap::from([("".into(), BTreeSet::from([String::new()]))]);
        let passages = HashMap::from([(root, shown)]);
        Allowed { provider, name, allow, passages: Mutex::new(passages) }
    }

    /// Where a directory shows, if it is a passage wherever it does.
    fn places(&self, passages: &HashMap<Arc<str>, Shown>, id: &str) -> Option<Vec<String>> {
        let places: Vec<_> = passages.get(id)?.values().flatten().cloned().collect();
        let inside =
            |path: &String| !path.is_empty() && self.allow.verdict(path) == Verdict::Inside;
        (!places.iter().any(inside)).then_some(places)
    }

    /// Whether this directory may show this entry. Anything goes in what is no passage.
    fn admits(&self, parent: &str, name: &str) -> bool {
        let places = self.places(&self.passages.lock(), parent);
        places.is_none_or(|places| {
            places.iter().any(|path| self.allow.verdict(&below(path, name)) != Verdict::Outside)
        })
    }

    /// Notes the directories among what a passage shows. Returns whether something is new.
    fn note(&self, parent: &str, entries: &[Node]) -> bool {
        let mut passages = self.passages.lock();
        let Some(places) = self.places(&passages, parent) else { return false };
        let parent: Arc<str> = parent.into();
        let mut new = false;
        for entry in entries.iter().filter(|entry| entry.kind == Kind::Directory) {
            let paths = places.iter().map(|path| below(path, &entry.name));
            let paths: BTreeSet<_> =
                paths.filter(|path| self.allow.verdict(path) != Verdict::Outside).collect();
            // One that has left what is allowed stays a passage, for who is still in it.
            if paths.is_empty() && !passages.contains_key(&entry.id) {
                continue;
            }
            let shown = passages.entry(entry.id.clone()).or_default();
            new |= shown.get(&parent) != Some(&paths);
            shown.insert(parent.clone(), paths);
        }
        new
    }

    /// Leaves of what came along what exists. An entry may come before the directory that it leads through.
    fn sift(&self, offers: &mut [Offer]) {
        while offers
            .iter()
            .fold(false, |new, offer| self.note(&offer.parent, &offer.children) | new)
        {}
        for offer in offers {
            let parent = offer.parent.clone();
            offer.children.retain(|entry| self.admits(&parent, &entry.name));
        }
    }

    async fn lookup(&self, parent: &str, name: &str) -> Result<Answer<Node>, Failure> {
        if !self.admits(parent, name) {
            return Err(Failure {
                provider: self.name.clone(),
                cause: Cause::NotFound,
                detail: "outside of what the configuration allows".to_owned(),
                retry_after: None,
            });
        }
        let mut answer = self.provider.lookup_child(parent, name).await?;
        self.note(parent, std::slice::from_ref(&answer.value));
        self.sift(&mut answer.offers);
        Ok(answer)
    }

    async fn list(&self, parent: &str) -> Result<Answer<Vec<Node>>, Failure> {
        let mut answer = self.provider.list_children(parent).await?;
        answer.value.retain(|entry| self.admits(parent, &entry.name));
        self.note(parent, &answer.value);
        self.sift(&mut answer.offers);
        Ok(answer)
    }

    async fn read(&self, node: &str, walk: Option<Walk>) -> Result<Answer<Bytes>, Failure> {
        let mut answer = match walk {
            Some(walk) => self.provider.read_ahead(node, walk).await?,
            None => self.provider.read_file(node).await?,
        };
        self.sift(&mut answer.offers);
        Ok(answer)
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

impl Provider for Allowed {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        Box::pin(self.lookup(parent, name))
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        Box::pin(self.list(parent))
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        Box::pin(self.read(node, None))
    }

    fn read_ahead<'a>(&'a self, node: &'a str, walk: Walk) -> Reply<'a, Answer<Bytes>> {
        Box::pin(self.read(node, Some(walk)))
    }

    fn read_part<'a>(&'a self, part: Wanted<'a>) -> Reply<'a, Piece> {
        self.provider.read_part(part)
    }

    fn follow<'a>(&'a self, request: &'a Request) -> Reply<'a, Followed> {
        self.provider.follow(request)
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        self.provider.open_feed(position)
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        self.provider.feed_line(position, line)
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        self.provider.poll_feed(position)
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        self.provider.deliver(delivery)
    }
}

#[cfg(test)]
#[path = "allow_tests.rs"]
mod tests;
