//! The host's own files in the directory of an instance.
//!
//! They are answered in front of the provider, so that the core sees one provider: one request still reaches one.
//! What the provider has of its own wins, but for names that begin with `.omnifs`. A provider that fails or that
//! could not be loaded takes none of them away: they say why. `.omnifs` opens by its name and is in no listing, so
//! that a walk, a search or a backup never meets what is otherwise at each look.

use super::report::{Report, Reports};
use super::{About, OWN, OWN_NAME, agents, ignored, readme};
use crate::provider::{
    Answer, Body, Cause, Coherence, Delivery, Failure, Followed, Kind, Node, Offer, Piece,
    Position, Progress, Provider, Reply, Request, ScopedChange, Walk, Wanted,
};
use bytes::Bytes;
use std::future::ready;
use std::sync::Arc;

/// The lists by which searches pass over something: all the same, for different programs.
const LISTS: [&str; 3] = [".ignore", ".rgignore", ".gitignore"];

/// A provider with the host's own files in its root directory.
#[derive(Debug)]
pub struct Files {
    provider: Result<Arc<dyn Provider>, Failure>,
    /// The node-id of the root directory.
    root: Arc<str>,
    /// Beside the provider's own entries, and `.omnifs`.
    fixed: Vec<Node>,
    /// In `.omnifs`.
    told: Vec<Node>,
    reports: Arc<Reports>,
}

pub(super) fn id(name: &str) -> Arc<str> {
    format!("{OWN}{name}").into()
}

pub(super) fn file(name: &str, content: Option<String>) -> Node {
    let content = content.map(|text| Body::Held(text.into()));
    Node {
        id: id(name),
        name: name.rsplit('/').next().unwrap_or(name).to_owned(),
        kind: Kind::File,
        size: None,
        modified: None,
        version: None,
        coherence: if content.is_some() { Coherence::Immutable } else { Coherence::Volatile },
        content,
        part_of: None,
        complete: false,
    }
}

impl Files {
    pub fn new(
        provider: Result<Arc<dyn Provider>, Failure>,
        root: Arc<str>,
        about: &About<'_>,
        reports: Arc<Reports>,
    ) -> Self {
        let mut fixed =
            vec![file("README.md", Some(readme(about))), file("AGENTS.md", Some(agents(about)))];
        if let Some(list) = about.manifest.and_then(ignored) {
            fixed.extend(LISTS.map(|name| file(name, Some(list.clone()))));
        }
        fixed.push(Node {
            kind: Kind::Directory,
            coherence: Coherence::Immutable,
            complete: true,
            ..file(OWN_NAME, None)
        });
        let mut told: Vec<_> = Report::ALL.iter().map(|report| file(report.path(), None)).collect();
        if let Some(manifest) = about.manifest {
            // Of strings, numbers and lists of them: that has a JSON.
            let text = serde_json::to_string_pretty(manifest).unwrap_or_default();
            told.push(file(".omnifs/manifest.json", Some(text + "\n")));
        }
        Files { provider, root, fixed, told, reports }
    }

    fn provider(&self) -> Result<&Arc<dyn Provider>, Failure> {
        self.provider.as_ref().map_err(Clone::clone)
    }

    fn own(&self, id: &str) -> Option<&Node> {
        self.fixed.iter().chain(&self.told).find(|node| *node.id == *id)
    }

    fn absent(&self) -> Failure {
        let (provider, detail) = ("omnifs".into(), "no such file".to_owned());
        Failure { provider, cause: Cause::NotFound, detail, retry_after: None }
    }

    async fn lookup(&self, parent: &str, name: &str) -> Result<Answer<Node>, Failure> {
        let named = |nodes: &[Node]| nodes.iter().find(|node| node.name == name).cloned();
        if parent.starts_with(OWN) {
            let found = (*parent == *id(OWN_NAME)).then(|| named(&self.told)).flatten();
            return found.map(Answer::plain).ok_or_else(|| self.absent());
        }
        let at_root = *parent == *self.root;
        let own = at_root.then(|| named(&self.fixed)).flatten();
        if at_root && name.starts_with(OWN_NAME) {
            return own.map(Answer::plain).ok_or_else(|| self.absent());
        }
        let answer = match self.provider() {
            Ok(provider) => provider.lookup_child(parent, name).await,
            Err(failure) => Err(failure),
        };
        match (answer, own) {
            (Err(failure), Some(own)) if failure.cause == Cause::NotFound => Ok(Answer::plain(own)),
            // The provider may have one of that name: nobody knows, and it is asked again.
            (Err(_), Some(own)) => {
                Ok(Answer::plain(Node { coherence: Coherence::Volatile, content: None, ..own }))
            }
            (answer, _) => answer.map(|mut answer| {
                self.complete(&mut answer.offers);
                answer
            }),
        }
    }

    async fn list(&self, parent: &str) -> Result<Answer<Vec<Node>>, Failure> {
        if parent.starts_with(OWN) {
            return match *parent == *id(OWN_NAME) {
                true => Ok(Answer::plain(self.told.clone())),
                false => Err(self.absent()),
            };
        }
        let mut answer = self.provider()?.list_children(parent).await?;
        if *parent == *self.root {
            self.show(&mut answer.value, true);
        }
        self.complete(&mut answer.offers);
        Ok(answer)
    }

    /// What the root directory shows where the provider says this. Where that is not `whole`, the provider may
    /// have a name that it does not say.
    fn show(&self, entries: &mut Vec<Node>, whole: bool) {
        entries.retain(|entry| !entry.name.starts_with(OWN_NAME));
        for own in self.fixed.iter().filter(|own| whole && own.name != OWN_NAME) {
            if !entries.iter().any(|entry| entry.name == own.name) {
                entries.push(own.clone());
            }
        }
    }

    /// The same for what comes along.
    fn complete(&self, offers: &mut [Offer]) {
        for offer in offers.iter_mut().filter(|offer| *offer.parent == *self.root) {
            let whole = offer.whole;
            self.show(&mut offer.children, whole);
        }
    }

    async fn read(&self, node: &str, walk: Option<Walk>) -> Result<Answer<Bytes>, Failure> {
        if !node.starts_with(OWN) {
            let provider = self.provider()?;
            let mut answer = match walk {
                Some(walk) => provider.read_ahead(node, walk).await?,
                None => provider.read_file(node).await?,
            };
            self.complete(&mut answer.offers);
            return Ok(answer);
        }
        let own = self.own(node).ok_or_else(|| self.absent())?;
        if let Some(bytes) = own.content.as_ref().and_then(Body::held) {
            return Ok(Answer::plain(bytes.clone()));
        }
        let report = Report::ALL.into_iter().find(|report| *id(report.path()) == *node);
        let text = report.map(|report| self.reports.text(report)).ok_or_else(|| self.absent())?;
        Ok(Answer::plain(text.into()))
    }
}

impl Provider for Files {
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
        match self.provider() {
            Ok(provider) => provider.read_part(part),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn follow<'a>(&'a self, request: &'a Request) -> Reply<'a, Followed> {
        match self.provider() {
            Ok(provider) => provider.follow(request),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        match self.provider() {
            Ok(provider) => provider.open_feed(position),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        match self.provider() {
            Ok(provider) => provider.feed_line(position, line),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        match self.provider() {
            Ok(provider) => provider.poll_feed(position),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        match self.provider() {
            Ok(provider) => provider.deliver(delivery),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}
