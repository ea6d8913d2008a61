//! GitHub as files: accounts, repositories, issues, pull requests, workflow runs, releases, refs and
//! trees.
//!
//! Ids hold what GitHub never changes: repository id and number, run id, comment id, hash. So a
//! renamed or transferred repository and a retitled issue keep theirs, and every request but the
//! lookup of a repository goes to `/repositories/{id}/...`, the form in which GitHub itself writes
//! redirects and `Link` headers.
//!
//! A scope is one kind of thing of one repository, so that losing the feed of one leaves the others
//! alone, and only what somebody looks at is polled:
//!
//! | scope | holds |
//! |---|---|
//! | `owner:{kind}/{login}` | which repositories an account has |
//! | `repo:{id}` | `repo.json` |
//! | `issues:{id}` | issues, pull requests, comments, reviews, and the tables and views of them |
//! | `actions:{id}` | workflows, runs, jobs, and the table and the failed ones |
//! | `releases:{id}` | releases |
//! | `refs:{id}` | branches, tags, where a tree's ref points, `README.md` |
//!
//! Trees, blobs and assets have ids that GitHub never reuses, and are immutable. A scoped file holds
//! nothing that changes without a feed noticing: `stable` in each module says what is left out.

mod account;
mod actions;
mod api;
mod archive;
mod closing;
mod comment;
mod guide;
mod issue;
mod poll;
mod pull;
mod refs;
mod release;
mod repo;
mod search;
mod thread;
mod tree;
mod views;
mod webhook;

#[cfg(test)]
mod tests;

use api::github;
use omnifs_sdk::manifest::{
    Credential, Endpoint, Feed, Limits, Method, OAuth, OtherHost, OtherLogin, Probe, ResetUnit,
    Scope, Scopes, Setting, Signature, Window, WindowName,
};
use omnifs_sdk::*;
use search::wide::{self, Wide};
use std::fmt;
use std::str::FromStr;
use views::{Collection, Field};

/// What a token is asked for (docs.github.com, "Scopes for OAuth apps"), each with those that hold it.
const SCOPES: &[Scope] = &[
    Scope { name: "repo", held_by: &[], purpose: "private repositories" },
    Scope {
        name: "read:org",
        held_by: &["write:org", "admin:org"],
        purpose: "organisations whose members are not public",
    },
];

/// GitHub's own command line. Its file holds the token where the system has no keyring.
const GH: OtherLogin = OtherLogin {
    program: "gh",
    arguments: &["auth", "token", "--hostname", "{host}"],
    files: &[
        "$GH_CONFIG_DIR/hosts.yml",
        "$XDG_CONFIG_HOME/gh/hosts.yml",
        "$AppData/GitHub CLI/hosts.yml",
        "~/.config/gh/hosts.yml",
    ],
    secret: "/oauth_token",
    user: "/user",
    own_host: "github.com",
    other_hosts: &[
        // Enterprise Cloud with data residency, then Enterprise Server.
        OtherHost { ends_with: ".ghe.com", endpoint: github::ENDPOINT, url: "https://api.{host}" },
        OtherHost { ends_with: "", endpoint: github::ENDPOINT, url: "https://{host}/api/v3" },
    ],
};

/// The three directories of issues or pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Open,
    Closed,
    All,
}

impl View {
    const EACH: [View; 3] = [View::Open, View::Closed, View::All];

    /// As the API's `state` parameter has it.
    fn state(self) -> &'static str {
        match self {
            View::Open => "open",
            View::Closed => "closed",
            View::All => "all",
        }
    }

    /// Whether something in this state is shown.
    fn shows(self, state: &str) -> bool {
        self == View::All || self.state() == state
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state())
    }
}

impl FromStr for View {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        View::EACH.into_iter().find(|view| view.state() == text).ok_or(())
    }
}

fn issues(repo: &u64) -> Coherence {
    scoped(format!("issues:{repo}"))
}

fn actions(repo: &u64) -> Coherence {
    scoped(format!("actions:{repo}"))
}

fn releases(repo: &u64) -> Coherence {
    scoped(format!("releases:{repo}"))
}

fn refs(repo: &u64) -> Coherence {
    scoped(format!("refs:{repo}"))
}

ids! {
    pub enum Id {
        _: immutable(),
        Root = "root": volatile(),
        User(login: String) = "user": scoped(format!("owner:user/{login}")),
        Org(login: String) = "org": scoped(format!("owner:org/{login}")),
        Repo(repo: u64) = "repo",
        RepoJson(repo: u64) = "repo-json": scoped(format!("repo:{repo}")),

        Issues(repo: u64) = "issues": issues(repo),
        IssueList(repo: u64, view: View) = "issue-list": issues(repo),
        Issue(repo: u64, number: u64) = "issue": issues(repo),
        Comments(repo: u64, number: u64) = "comments": issues(repo),
        Comment(repo: u64, id: u64) = "comment": issues(repo),

        Pulls(repo: u64) = "pulls": issues(repo),
        PullList(repo: u64, view: View) = "pull-list": issues(repo),
        Pull(repo: u64, number: u64) = "pull": issues(repo),
        PullComments(repo: u64, number: u64) = "pull-comments": issues(repo),
        Reviews(repo: u64, number: u64) = "reviews": issues(repo),
        Review(repo: u64, number: u64, id: u64) = "review": issues(repo),

        /// Shown nowhere: what any issue, or any pull request, that changed may have changed is part of it.
        Index(repo: u64, of: Collection) = "index": issues(repo),
        Overview(repo: u64, of: Collection, view: View, form: Form) = "overview": issues(repo),
        By(repo: u64, of: Collection, field: Field) = "by": issues(repo),
        With(repo: u64, of: Collection, field: Field, value: String) = "with": issues(repo),
        Mine(repo: u64, of: Collection) = "mine": issues(repo),
        Recent(repo: u64, of: Collection) = "recent": issues(repo),
        /// A link from so many levels below the directory of the objects.
        Pointer(repo: u64, of: Collection, levels: u8, number: u64) = "pointer": issues(repo),

        /// GitHub's index lags behind what polls and deliveries tell: what it finds is of its own time.
        Searches(repo: u64, of: Collection) = "searches": volatile(),
        Search(repo: u64, of: Collection, query: String) = "search": volatile(),
        Results(repo: u64, of: Collection, query: String, form: Form) = "results": volatile(),
        Hit(repo: u64, of: Collection, number: u64) = "hit",
        RootSearches = "root-searches",
        RepoSearches(repo: u64) = "repo-searches",
        SearchesOf(of: Wide) = "searches-of": volatile(),
        SearchOf(of: Wide, query: String) = "search-of": volatile(),
        ResultsOf(of: Wide, query: String, form: Form) = "results-of": volatile(),
        HitAt(of: Wide, target: String) = "hit-at",

        Actions(repo: u64) = "actions",
        /// Shown nowhere: what any run that changed may have changed is part of it.
        RunIndex(repo: u64) = "run-index": actions(repo),
        RunOverview(repo: u64, form: Form) = "run-overview": actions(repo),
        Failed(repo: u64) = "failed-runs": actions(repo),
        RunPointer(repo: u64, id: u64) = "run-pointer": actions(repo),
        Runs(repo: u64) = "runs": actions(repo),
        Run(repo: u64, id: u64) = "run": actions(repo),
        Jobs(repo: u64, run: u64) = "jobs": actions(repo),
        Job(repo: u64, id: u64) = "job": actions(repo),
        Workflows(repo: u64) = "workflows": actions(repo),
        Workflow(repo: u64, id: u64) = "workflow": actions(repo),
        WorkflowRuns(repo: u64, id: u64) = "workflow-runs": actions(repo),

        Releases(repo: u64) = "releases": releases(repo),
        Release(repo: u64, id: u64) = "release": releases(repo),
        LatestRelease(repo: u64) = "latest-release": releases(repo),
        Assets(repo: u64, release: u64) = "assets": releases(repo),
        Asset(repo: u64, id: u64) = "asset",

        /// Shown nowhere: what any moved ref may have changed is part of it.
        Refs(repo: u64) = "refs": refs(repo),
        Branches(repo: u64) = "branches": refs(repo),
        Branch(repo: u64, name: String) = "branch": refs(repo),
        Tags(repo: u64) = "tags": refs(repo),
        Tag(repo: u64, name: String) = "tag": refs(repo),
        Readme(repo: u64) = "readme": refs(repo),
        Head(repo: u64) = "head": refs(repo),
        Trees(repo: u64) = "trees": refs(repo),
        TreeOf(repo: u64, name: String) = "tree-of": tree::coherence(repo, name),

        /// A tree by its hash, or by that of its commit.
        Tree(repo: u64, sha: String) = "tree",
        /// One blob may show as each of these, and an object has one kind.
        Blob(repo: u64, sha: String) = "blob",
        Program(repo: u64, sha: String) = "program",
        Link(repo: u64, sha: String) = "link",
        Submodule(repo: u64, commit: String) = "submodule",
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            // No account's name begins so, and no listing shows it.
            Root => open_ended(
                (),
                |()| account::list(),
                |(), name| match name {
                    "_search" => Ok(Entry::directory(name, RootSearches)),
                    _ => account::find(name),
                },
            ),
            User(_) | Org(_) => open_ended(self, repo::list, repo::find),
            Repo(r) => fixed([
                ("_issues", Issues(r)),
                ("_prs", Pulls(r)),
                ("_actions", Actions(r)),
                ("_releases", Releases(r)),
                ("_branches", Branches(r)),
                ("_tags", Tags(r)),
                ("_repo", Head(r)),
                ("_tree", Trees(r)),
                ("_search", RepoSearches(r)),
                ("repo.json", RepoJson(r)),
                ("README.md", Readme(r)),
            ]),
            RepoJson(r) => file(move || repo::json(r)),

            Issues(r) => collection(r, Collection::Issues),
            IssueList(r, view) => list_of(r, Collection::Issues, view),
            Issue(r, number) => object(move || issue::fetch(r, number)),
            Comments(r, number) | PullComments(r, number) => searchable(
                (self, r, number),
                |(directory, r, number)| comment::list(directory, *r, *number),
                |(directory, r, number), name| comment::find(directory, *r, *number, name),
            ),
            Comment(r, id) => file(move || comment::read(r, id)),

            Pulls(r) => collection(r, Collection::Pulls),
            PullList(r, view) => list_of(r, Collection::Pulls, view),
            Pull(r, number) => object(move || pull::fetch(r, number)),
            Reviews(r, number) => listing(move || pull::reviews(r, number)),
            Review(r, number, id) => file(move || pull::review(r, number, id)),

            Overview(r, of, view, form) => file(move || views::overview(r, of, view, form)),
            By(r, of, field) => listing(move || views::by(r, of, field)),
            With(r, of, field, value) => listing(move || views::with(r, of, field, &value)),
            Mine(r, of) => listing(move || views::mine(r, of)),
            Recent(r, of) => listing(move || views::recent(r, of)),
            Pointer(_, _, levels, number) => file(move || Ok(views::target(levels, number))),

            Searches(r, of) => {
                open_ended((), |()| Ok(Vec::new()), move |(), query| search::named(r, of, query))
            }
            Search(r, of, query) => searchable(
                query,
                move |query| search::list(r, of, query),
                move |query, name| search::find(r, of, query, name),
            ),
            Results(r, of, query, form) => file(move || search::results(r, of, &query, form)),
            Hit(_, _, number) => file(move || Ok(views::target(2, number))),
            RootSearches => fixed(wide::kinds(None)),
            RepoSearches(r) => fixed(wide::kinds(Some(r))),
            SearchesOf(of) => {
                open_ended((), |()| Ok(Vec::new()), move |(), query| wide::named(of, query))
            }
            SearchOf(of, query) => searchable(
                query,
                move |query| wide::list(of, query),
                move |query, name| wide::find(of, query, name),
            ),
            ResultsOf(of, query, form) => file(move || wide::results(of, &query, form)),
            HitAt(_, target) => file(move || Ok(document(target))),

            Actions(r) => fixed([
                ("runs", Runs(r)),
                ("runs.tsv", RunOverview(r, Form::Tsv)),
                ("runs.jsonl", RunOverview(r, Form::Jsonl)),
                ("_failed", Failed(r)),
                ("workflows", Workflows(r)),
            ]),
            RunOverview(r, form) => file(move || actions::overview(r, form)),
            Failed(r) => listing(move || actions::failed(r)),
            RunPointer(_, id) => file(move || Ok(actions::target(id))),
            Runs(_) | WorkflowRuns(..) => open_ended(self, actions::runs, actions::find_run),
            Run(r, id) => object(move || actions::run(r, id)),
            Jobs(r, run) => listing(move || actions::jobs(r, run)),
            Job(r, id) => object(move || actions::job(r, id)),
            Workflows(r) => listing(move || actions::workflows(r)),
            Workflow(r, id) => object(move || actions::workflow(r, id)),

            Releases(r) => open_ended(r, |r| release::list(*r), |r, tag| release::find(*r, tag)),
            Release(r, id) => object(move || release::fetch(r, id)),
            LatestRelease(r) => file(move || release::latest(r)),
            Assets(r, release) => listing(move || release::assets(r, release)),
            Asset(..) => file_at(),

            Index(..) | RunIndex(_) | Refs(_) => fixed([]),
            Branches(r) => open_ended(r, |r| refs::branches(*r), |r, name| refs::branch(*r, name)),
            Branch(r, name) => file(move || refs::branch_head(r, &name)),
            Tags(r) => open_ended(r, |r| refs::tags(*r), |r, name| refs::tag(*r, name)),
            Tag(r, name) => file(move || refs::tag_head(r, &name)),
            Readme(r) => file(move || refs::readme(r)),
            Trees(r) => open_ended(r, |r| refs::trees(*r), |r, name| tree::find(*r, name)),
            Head(r) => code(r, "HEAD".to_owned()),
            TreeOf(r, name) | Tree(r, name) => code(r, name),
            Blob(r, sha) | Program(r, sha) | Link(r, sha) => file(move || tree::blob(r, &sha)),
            Submodule(_, commit) => file(move || Ok(scalar(commit))),
        }
    }

    fn whole(&self) -> Option<Id> {
        use Id::*;
        match self {
            Overview(r, of, ..) | By(r, of, _) | With(r, of, ..) | Mine(r, of) | Recent(r, of) => {
                Some(Index(*r, *of))
            }
            RunOverview(r, _) | Failed(r) => Some(RunIndex(*r)),
            _ => None,
        }
    }
}

/// Three directories and the views of them.
fn collection(repo: u64, of: Collection) -> Shape<Id> {
    fixed(of.entries(repo)).beyond(move |name| views::beside(repo, of, name))
}

fn list_of(repo: u64, of: Collection, view: View) -> Shape<Id> {
    open_ended(
        (),
        move |()| views::list(repo, of, view),
        move |(), name| views::find(repo, of, Some(view), name),
    )
}

fn code(repo: u64, reference: String) -> Shape<Id> {
    let again = reference.clone();
    listing(move || tree::at(repo, &reference)).beyond(move |name| tree::beyond(repo, &again, name))
}

/// docs.github.com, "Rate limits for the REST API".
const LIMITS: Limits = Limits {
    windows: &[Window {
        name: WindowName::Header("x-ratelimit-resource"),
        limit: "x-ratelimit-limit",
        remaining: "x-ratelimit-remaining",
        reset: "x-ratelimit-reset",
        reset_unit: ResetUnit::EpochSeconds,
        cost: None,
        fixed: true,
    }],
    throttled: &["secondary rate limit", "abuse detection", "rate limit exceeded"],
    slow_down: &["secondary rate limit", "abuse detection"],
};

/// docs.github.com, "Validating webhook deliveries".
const SIGNATURE: Signature =
    Signature { prefix: "sha256=", pass: &["x-github-*"], ..Signature::new("x-hub-signature-256") };

/// The provider.
#[derive(Debug)]
pub struct GitHub;

impl Provider for GitHub {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[
            Setting {
                name: "listing-bound",
                description: "how many of the newest entries a listing shows",
                default: Some("1000"),
            },
            Setting {
                name: "comments-bound",
                description: "up to how many comments of a repository are fetched together",
                default: Some("3000"),
            },
        ],
        endpoints: &[Endpoint {
            allow: github::RULES,
            credentials: &["github"],
            // Where GitHub keeps archives, logs and release assets.
            redirect_hosts: &[
                "codeload.github.com",
                "*.blob.core.windows.net",
                "*.actions.githubusercontent.com",
                "objects.githubusercontent.com",
                "release-assets.githubusercontent.com",
            ],
            limits: Some(LIMITS),
            ..Endpoint::new(
                github::ENDPOINT,
                "https://api.github.com",
                "reads repositories, issues, pull requests, workflow runs, releases and code",
            )
        }],
        credentials: &[Credential {
            environment: &["GITHUB_TOKEN", "GH_TOKEN"],
            environment_elsewhere: &["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"],
            oauth: Some(OAuth {
                authorize_url: "https://github.com/login/oauth/authorize",
                device_url: Some("https://github.com/login/device/code"),
                token_url: "https://github.com/login/oauth/access_token",
                client_id: None,
                scopes: &["repo", "read:org"],
                // An Enterprise server has both beside its API.
                elsewhere: true,
            }),
            whose: Some(Probe {
                endpoint: github::ENDPOINT,
                method: Method::Get,
                path: "/user",
                body: None,
                name: "/login",
            }),
            // Fine-grained tokens have no scopes, and the answer to one no such header.
            scopes: Some(Scopes { header: "x-oauth-scopes", needed: SCOPES }),
            logins: &[GH],
            ..Credential::new(
                "github",
                "https://github.com/settings/tokens/new?scopes=repo,read:org&description=omnifs",
            )
        }],
        feeds: &[
            Feed::poll("issues", "issues:", github::ENDPOINT),
            Feed::poll("actions", "actions:", github::ENDPOINT),
            Feed::poll("refs", "refs:", github::ENDPOINT),
            Feed::poll("releases", "releases:", github::ENDPOINT),
            Feed::poll("repositories", "repo:", github::ENDPOINT),
            Feed::poll("accounts", "owner:", github::ENDPOINT),
            // Every scope there is.
            Feed::webhook("webhooks", "", SIGNATURE),
        ],
        guide: guide::GUIDE,
        ..Manifest::new(
            "github",
            env!("CARGO_PKG_VERSION"),
            "Issues, pull requests, runs, releases and code at GitHub",
        )
    };

    fn poll(position: &Position) -> Result<Progress> {
        poll::poll(position)
    }

    fn deliver(delivery: &Delivery) -> Result<Changes> {
        webhook::deliver(delivery)
    }
}

export!(service, GitHub);
