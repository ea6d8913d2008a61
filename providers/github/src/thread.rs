//! What issues and pull requests show, as one table: at GitHub a pull request is an issue with more
//! to it.
//!
//! A listing and the object's own answer must come to the same bytes, and no file may hold what
//! changes without moving `updated_at`. So the JSON documents lack reactions, a milestone's counters,
//! who closed an issue, and of a pull request what only its own answer has (`mergeable` and counts)
//! and the two repositories. `issue.json` of a pull request is the part of `pull.json` that an issue
//! has too.

use crate::api;
use crate::views::Collection;
use crate::{Id, View, closing, pull};
use omnifs_sdk::json::{Document, Shown};
use omnifs_sdk::*;
use serde_json::{Value, json};

/// Which issue or pull request.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    pub repo: u64,
    pub number: u64,
    pub is_pull: bool,
}

impl Number {
    /// Of `item` as GitHub lists issues, or pull requests.
    pub fn of(repo: u64, item: &Value) -> Option<Self> {
        let is_pull = !item["pull_request"].is_null() || item["head"].is_object();
        Some(Number { repo, number: item["number"].as_u64()?, is_pull })
    }

    pub fn id(self) -> Id {
        (if self.is_pull { Id::Pull } else { Id::Issue })(self.repo, self.number)
    }

    pub fn comments(self) -> Id {
        (if self.is_pull { Id::PullComments } else { Id::Comments })(self.repo, self.number)
    }

    pub fn collection(self) -> Collection {
        if self.is_pull { Collection::Pulls } else { Collection::Issues }
    }

    /// It came into these views, or left them.
    pub fn listed(self, out: &mut Changes, views: impl IntoIterator<Item = View>) {
        let (repo, of) = (self.repo, self.collection());
        let mut views = views.into_iter().map(|view| of.list(repo, view)).peekable();
        if views.peek().is_some() {
            out.children_changed(views.chain([of.directory(repo)]));
        }
    }

    /// It changed, and with it what the views show of it.
    pub fn changed(self, out: &mut Changes) {
        out.invalidated([self.id()]);
        self.viewed(out);
    }

    /// What the views of its kind show of it changed.
    pub fn viewed(self, out: &mut Changes) {
        out.invalidated([Id::Index(self.repo, self.collection())]);
        // GitHub's list of the issues that changed last holds pull requests, too.
        out.invalidated(self.is_pull.then_some(Id::Recent(self.repo, Collection::Issues)));
    }

    /// It changed in some way; `lists` where it may have come into or left a listing.
    pub fn moved(self, out: &mut Changes, lists: bool) {
        self.changed(out);
        // A comment that was deleted shows nowhere else.
        out.children_changed([self.comments()]);
        if self.is_pull {
            out.invalidated([Id::Reviews(self.repo, self.number)]);
            // An issue may have become a pull request.
            out.removed([Id::Issue(self.repo, self.number)]);
        }
        if lists {
            self.listed(out, View::EACH);
        }
    }
}

/// An issue, or a pull request as a listing or its own answer shows it.
pub struct Thread {
    repo: u64,
    inner: api::Thread,
    /// `issue.json` or `pull.json`. Bytes, because a tree of values takes several times the room and a
    /// listing holds thousands.
    document: Content,
    /// Of a pull request.
    issue_document: Option<Content>,
}

impl Object for Thread {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("title", |t: &Self| scalar(&t.inner.title)),
        leaf("body", |t| document(t.inner.body.as_str())),
        leaf("state", |t| scalar(&t.inner.state)),
        leaf("author", |t: &Self| optional(t.author())),
        leaf("assignees", |t: &Self| lines(t.assignees())),
        leaf("labels", |t: &Self| lines(t.labels())),
        leaf("milestone", |t: &Self| optional(t.milestone())),
        leaf("created", |t| scalar(&t.inner.created_at)),
        leaf("updated", |t| scalar(&t.inner.updated_at)),
        leaf("closed", |t| optional(t.inner.closed_at.as_ref())),
        leaf("url", |t| scalar(&t.inner.html_url)),
        dir_holding("comments", |t: &Self| (t.comments(), Vec::new().into()))
            .present_if(|t| t.inner.comments == Some(0)),
        dir("comments", Thread::comments).present_if(|t| t.inner.comments != Some(0)),
        // Who mentions it moves nothing of it.
        own("linked", closing::linked).unlisted().volatile_while(|_| true),
        leaf("issue.md", |t: &Self| t.page(false)),
        leaf("issue.json", |t: &Self| t.issue_document.as_ref().unwrap_or(&t.document).clone()),
        leaf("draft", |t: &Self| scalar(t.inner.draft)).present_if(Thread::is_pull),
        leaf("merged", |t: &Self| scalar(t.inner.merged_at.is_some())).present_if(Thread::is_pull),
        leaf("closes", |t: &Self| lines(t.closes())).present_if(Thread::is_pull),
        leaf("base", |t: &Self| optional(t.inner.base.as_ref().map(|b| &b.name)))
            .present_if(Thread::is_pull),
        leaf("head", |t: &Self| optional(t.inner.head.as_ref().map(|b| &b.name)))
            .present_if(Thread::is_pull),
        own("commits", pull::commits).present_if(Thread::is_pull),
        own("files", pull::files).present_if(Thread::is_pull),
        own("diff", |id| pull::text(id, "diff")).present_if(Thread::is_pull),
        own("patch", |id| pull::text(id, "patch")).present_if(Thread::is_pull),
        dir("reviews", |t: &Self| Id::Reviews(t.repo, t.inner.number)).present_if(Thread::is_pull),
        // Checks are made by any app, at any time, and move nothing of the pull request.
        own("checks", pull::checks).present_if(Thread::is_pull).volatile_while(|_| true),
        leaf("pull.md", |t: &Self| t.page(true)).present_if(Thread::is_pull),
        leaf("pull.json", |t: &Self| t.document.clone()).present_if(Thread::is_pull),
    ];

    fn id(&self) -> Id {
        self.which().id()
    }

    fn modified(&self) -> Option<u64> {
        api::ms(&self.inner.updated_at)
    }
}

impl Thread {
    /// `answer` is an issue of a listing of issues or of its own.
    pub fn issue(repo: u64, answer: Raw<api::Thread>) -> Self {
        let (document, inner) = answer.into_parts();
        Thread { repo, inner, document: document.content(MOVING), issue_document: None }
    }

    /// `answer` is a pull request of a listing of pull requests or of its own.
    pub fn pull(repo: u64, answer: Raw<api::Thread>) -> Self {
        let (document, inner) = answer.into_parts();
        // A trial merge, made anew whenever the base moves.
        let trial: &[&[&str]] =
            if inner.merged_at.is_some() { &[] } else { &[&["merge_commit_sha"]] };
        let issue_document = Some(as_issue(&document).content(MOVING));
        let document = document.content(&[MOVING, OF_A_PULL, trial].concat());
        Thread { repo, inner, document, issue_document }
    }

    fn is_pull(&self) -> bool {
        self.issue_document.is_some()
    }

    pub fn number(&self) -> u64 {
        self.inner.number
    }

    pub fn state(&self) -> &str {
        &self.inner.state
    }

    /// The commit at the head of a pull request.
    pub fn head(&self) -> Option<&str> {
        self.inner.head.as_ref().map(|head| head.sha.as_str())
    }

    pub fn which(&self) -> Number {
        Number { repo: self.repo, number: self.inner.number, is_pull: self.is_pull() }
    }

    fn comments(&self) -> Id {
        self.which().comments()
    }

    pub fn author(&self) -> Option<&str> {
        self.inner.author()
    }

    pub fn assignees(&self) -> Vec<&str> {
        self.inner.assignees()
    }

    pub fn labels(&self) -> Vec<&str> {
        self.inner.labels()
    }

    pub fn milestone(&self) -> Option<&str> {
        self.inner.milestone.as_ref().map(|milestone| milestone.title.as_str())
    }

    /// The issues that a pull request says it closes.
    fn closes(&self) -> Vec<u64> {
        closing::issues(&self.inner.body, &self.inner.html_url)
    }

    /// Its row of a table.
    pub fn cells(&self) -> Vec<Value> {
        cells(&self.inner, self.is_pull().then(|| self.closes()))
    }

    pub fn entry(&self) -> Entry<Id> {
        Entry::object(self.inner.number.to_string(), self)
    }

    /// The entry without its leaves, for a directory beside the one that shows them.
    pub fn bare_entry(&self) -> Entry<Id> {
        Entry::directory(self.inner.number.to_string(), self.id()).modified(self.modified())
    }

    /// `issue.md` or `pull.md`.
    fn page(&self, as_pull: bool) -> Content {
        let t = &self.inner;
        let branch = |branch: &Option<api::Branch>| branch.as_ref().map(|b| b.name.clone());
        let mut fields = vec![
            ("title", json!(t.title)),
            ("number", json!(t.number)),
            ("state", json!(t.state)),
            ("author", json!(self.author())),
            ("assignees", json!(self.assignees())),
            ("labels", json!(self.labels())),
            ("milestone", json!(self.milestone())),
        ];
        if as_pull {
            fields.extend([
                ("draft", json!(t.draft)),
                ("merged", json!(t.merged_at)),
                ("base", json!(branch(&t.base))),
                ("head", json!(branch(&t.head))),
            ]);
        }
        fields.extend([
            ("created", json!(t.created_at)),
            ("updated", json!(t.updated_at)),
            ("closed", json!(t.closed_at)),
            ("url", json!(t.html_url)),
        ]);
        markdown::page(&fields, &t.body)
    }
}

/// The row of an issue, or of a pull request that closes these.
pub fn cells(t: &api::Thread, closes: Option<Vec<u64>>) -> Vec<Value> {
    let branch = |branch: &Option<api::Branch>| json!(branch.as_ref().map(|b| &b.name));
    let mut cells = vec![json!(t.number), json!(t.state)];
    if closes.is_some() {
        cells.extend([json!(t.draft), json!(t.merged_at.is_some())]);
    }
    cells.extend([json!(t.updated_at), json!(t.author()), json!(t.assignees()), json!(t.labels())]);
    if let Some(closes) = closes {
        cells.extend([branch(&t.base), branch(&t.head), json!(closes)]);
    }
    cells.push(json!(t.title));
    cells
}

/// What moves without moving the issue.
const MOVING: &[&[&str]] = &[
    &["reactions"],
    &["closed_by"],
    &["sub_issues_summary"],
    &["issue_dependencies_summary"],
    &["milestone", "open_issues"],
    &["milestone", "closed_issues"],
    &["milestone", "updated_at"],
];

/// What only a pull request's own answer has, and the repositories.
const OF_A_PULL: &[&[&str]] = &[
    &["merged"],
    &["mergeable"],
    &["rebaseable"],
    &["mergeable_state"],
    &["merged_by"],
    &["comments"],
    &["review_comments"],
    &["maintainer_can_modify"],
    &["commits"],
    &["additions"],
    &["deletions"],
    &["changed_files"],
    &["auto_merge"],
    &["base", "repo"],
    &["head", "repo"],
];

fn as_issue(pull: &Document) -> Shown<'_> {
    const SHARED: [&str; 18] = [
        "active_lock_reason",
        "assignee",
        "assignees",
        "author_association",
        "body",
        "closed_at",
        "comments_url",
        "created_at",
        "draft",
        "html_url",
        "labels",
        "locked",
        "milestone",
        "number",
        "state",
        "title",
        "updated_at",
        "user",
    ];
    let member = |name: &str| Some(Shown::Part(pull.member(name)?));
    let named = |name: &&'static str| Some((*name, member(name)?));
    let mut issue: Vec<_> = SHARED.iter().filter_map(named).collect();
    issue.extend(member("issue_url").map(|url| ("url", url)));
    let links = ["url", "html_url", "diff_url", "patch_url", "merged_at"];
    issue.push(("pull_request", Shown::Object(links.iter().filter_map(named).collect())));
    Shown::Object(issue)
}
