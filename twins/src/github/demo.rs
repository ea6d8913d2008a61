//! The small hand-shaped world that the demo shows: the company `acme` and its API server.

use std::sync::Arc;

use super::data::{AccountKind, Comment, Issue, Repo, Review, ReviewComment, Run, World};
use super::generate::{self, BEGIN, END};
use super::git::{Commit, Files, Mode};
use crate::rng::Rng;
use crate::text::Text;

struct Story {
    number: u64,
    title: &'static str,
    body: &'static str,
    open: bool,
    author: &'static str,
    labels: &'static [&'static str],
    comments: &'static [(&'static str, &'static str)],
}

const STORIES: [Story; 8] = [
    Story {
        number: 2853,
        title: "Login fails after token refresh",
        body: "After the refresh token is rotated, the next request is sent with the old access \
               token and answers 401.\n\n## Steps\n\n1. Sign in and wait for the access token to \
               expire (15 min).\n2. Open any page.\n3. The request is repeated with the *old* \
               token.\n\nExpected: one refresh, then success.\n",
        open: true,
        author: "jun-h",
        labels: &["bug", "auth"],
        comments: &[
            ("mira", "Confirmed on staging. The session cache keeps the old token for a minute."),
            ("priya-n", "I have a fix in #2860, it clears the cache entry in the same step."),
        ],
    },
    Story {
        number: 2849,
        title: "Document the rate limits of /v1/search",
        body: "Support gets asked about this every week.",
        open: true,
        author: "sofia",
        labels: &["good first issue", "area/api"],
        comments: &[],
    },
    Story {
        number: 2846,
        title: "Webhook retries ignore Retry-After",
        body: "The worker backs off by its own schedule even where the receiver names a time.",
        open: true,
        author: "lars",
        labels: &["bug"],
        comments: &[("deniz", "Same for our customers behind a gateway that throttles.")],
    },
    Story {
        number: 2841,
        title: "Allow several API keys per project",
        body: "One key per environment would let people rotate without a pause.",
        open: true,
        author: "tomasz",
        labels: &["enhancement", "auth"],
        comments: &[("mira", "+1"), ("sofia", "Sales asks for it too."), ("lars", "Draft soon.")],
    },
    Story {
        number: 2838,
        title: "GET /v1/users/{id} answers 500 for ids with a slash",
        body: "`GET /v1/users/a%2Fb` should be a 404.",
        open: true,
        author: "deniz",
        labels: &["bug", "area/api"],
        comments: &[],
    },
    Story {
        number: 2830,
        title: "Drop support for TLS 1.1",
        body: "Nobody has used it since March.",
        open: false,
        author: "mira",
        labels: &["enhancement"],
        comments: &[("tomasz", "Done in 1.8.0.")],
    },
    Story {
        number: 2827,
        title: "Dark mode for the status page \u{1f319}",
        body: "",
        open: false,
        author: "sofia",
        labels: &["wontfix"],
        comments: &[],
    },
    Story {
        number: 2815,
        title: "Flaky test: invoice_export_is_sorted",
        body: "Fails about one time in fifty, always on the first of the month.",
        open: false,
        author: "lars",
        labels: &["bug"],
        comments: &[("lars", "The fixture used the current date.")],
    },
];

const NOTES: &str = "## What is new\n\n- API keys can be named.\n- TLS 1.1 is gone.\n\n\
                     ## Fixes\n\n- Exports are sorted by date again.\n";

pub(crate) fn fill(world: &mut World) {
    generate::people(world);
    world.viewer = "mira".to_owned();
    world.add_account(AccountKind::Organization, "acme", "Acme", BEGIN);
    world.add_account(AccountKind::Organization, "acme-labs", "Acme Labs", BEGIN);
    world.organizations = vec!["acme".to_owned(), "acme-labs".to_owned()];
    // Leaves the small numbers free for the run that the README names.
    world.last_id = world.last_id.max(10_000);
    let api = api(world);
    world.add_repo(api);
    for (owner, name, description) in [
        ("acme", "website", "The public web site"),
        ("acme", "infra", "What runs where"),
        ("mira", "dotfiles", "Shell and editor settings"),
        ("acme-labs", "prototypes", "Ideas that may or may not become products"),
    ] {
        let mut repo = generate::empty_repo(world, owner, name, BEGIN);
        repo.description = description.to_owned();
        let mut rng = Rng::new(repo.id);
        generate::code(&mut repo, 2, &mut rng);
        let title = "Say in the README how to start";
        let story = issue(world, 1, title, "It should take one command.", "lars", true);
        repo.issues.insert(1, story);
        world.add_repo(repo);
    }
}

fn api(world: &mut World) -> Repo {
    let mut repo = generate::empty_repo(world, "acme", "api", BEGIN);
    repo.description = "The API server of Acme".to_owned();
    code(&mut repo);
    generate::milestones(world, &mut repo);
    for story in &STORIES {
        let Story { number, title, body, author, open, .. } = *story;
        let mut told = issue(world, number, title, body, author, open);
        told.labels = story.labels.iter().map(|name| Arc::from(*name)).collect();
        told.milestone = (number == 2853).then_some(2);
        told.assignees = if number == 2853 { vec!["priya-n".into()] } else { vec![] };
        for (author, body) in story.comments {
            comment(world, &mut repo, &mut told, author, body);
        }
        repo.issues.insert(number, told);
    }
    pulls(world, &mut repo);
    let ci = generate::workflow(world, &mut repo, "CI", ".github/workflows/ci.yml");
    generate::workflow(world, &mut repo, "Release", ".github/workflows/release.yml");
    runs(world, &mut repo, ci);
    for (age, tag) in [(1, "v1.8.0"), (4, "v1.9.0-rc.1")] {
        generate::release(world, &mut repo, tag, NOTES, age);
    }
    repo.updated = END;
    repo
}

fn issue(
    world: &mut World,
    number: u64,
    title: &str,
    body: &str,
    author: &str,
    open: bool,
) -> Issue {
    let created = END - 86_400 * 12 + (number as i64 % 100) * 3_600;
    Issue {
        id: world.next_id() + 2_400_000_000,
        number,
        title: title.into(),
        body: (!body.is_empty()).then(|| Text::from(body)),
        open,
        reason: (!open).then_some("completed"),
        author: author.into(),
        assignees: vec![],
        labels: vec![],
        milestone: None,
        locked: false,
        comments: 0,
        created,
        updated: created + 1_800,
        closed: (!open).then_some(created + 1_800),
        closed_by: (!open).then(|| "mira".into()),
        pull: None,
    }
}

fn comment(world: &mut World, repo: &mut Repo, issue: &mut Issue, author: &str, body: &str) {
    issue.comments += 1;
    let at = issue.created + 3_600 * i64::from(issue.comments);
    issue.updated = issue.updated.max(at);
    let id = world.next_id() + 1_900_000_000;
    let (author, body) = (author.into(), body.into());
    let comment = Comment { id, issue: issue.number, author, body, created: at, updated: at };
    repo.comments.insert(id, comment);
}

fn pulls(world: &mut World, repo: &mut Repo) {
    let body = "Fixes #2853.\n\nThe entry is dropped in the same step that stores the new token.";
    let title = "Clear the session cache on token refresh";
    let mut fix = issue(world, 2860, title, body, "priya-n", true);
    fix.labels = vec!["bug".into(), "auth".into()];
    comment(world, repo, &mut fix, "mira", "Thanks! One question in the review.");
    let mut pull = generate::pull(world, repo);
    pull.head = "fix/session-cache".to_owned();
    pull.head_sha = repo.branch(&pull.head).unwrap_or_default().to_owned();
    let (review, submitted) = (world.next_id(), fix.created + 7_200);
    pull.reviews.push(Review {
        id: review,
        author: "mira".to_owned(),
        body: "Looks right, one question below.".to_owned(),
        state: "CHANGES_REQUESTED".to_owned(),
        commit: pull.head_sha.clone(),
        submitted,
    });
    pull.comments.push(ReviewComment {
        id: world.next_id(),
        review,
        author: "mira".to_owned(),
        body: "Should this also cover API keys?".to_owned(),
        path: "src/session.rs".to_owned(),
        line: 9,
        hunk: "@@ -7,3 +7,4 @@ impl Sessions {".to_owned(),
        commit: pull.head_sha.clone(),
        created: submitted,
        updated: submitted,
    });
    fix.pull = Some(Box::new(pull));
    repo.issues.insert(fix.number, fix);

    let mut draft = issue(world, 2857, "Try the new router", "Not ready yet.", "lars", true);
    let mut pull = generate::pull(world, repo);
    pull.draft = true;
    pull.head = "lars/router".to_owned();
    pull.head_sha = repo.branch(&pull.head).unwrap_or_default().to_owned();
    draft.pull = Some(Box::new(pull));
    repo.issues.insert(draft.number, draft);

    let mut merged = issue(world, 2833, "Refuse TLS 1.1", "Closes #2830.", "tomasz", false);
    merged.reason = None;
    let mut pull = generate::pull(world, repo);
    let main = repo.branch("main").unwrap_or_default().to_owned();
    let parent = repo.git.commits.get(&main).and_then(|c| c.parents.first().cloned());
    pull.base_sha = parent.unwrap_or_default();
    pull.head = "tls".to_owned();
    pull.head_sha = main.clone();
    pull.merged = merged.closed;
    pull.merged_by = Some("mira".into());
    pull.merge_commit = Some(main);
    merged.pull = Some(Box::new(pull));
    repo.issues.insert(merged.number, merged);
}

fn runs(world: &mut World, repo: &mut Repo, workflow: u64) {
    let sha = |branch: &str| repo.branch(branch).unwrap_or_default().to_owned();
    let run = |id, number, title: &str, branch: &str, status: &str, conclusion: Option<&str>| Run {
        id,
        workflow,
        number,
        attempt: 1,
        title: title.to_owned(),
        event: if branch == "main" { "push" } else { "pull_request" }.to_owned(),
        status: status.to_owned(),
        conclusion: conclusion.map(str::to_owned),
        branch: branch.to_owned(),
        sha: sha(branch),
        actor: "priya-n".to_owned(),
        pulls: if branch == "main" { vec![] } else { vec![2860] },
        created: END - 3_600 + number as i64,
        updated: END - 3_000 + number as i64,
        jobs: vec![],
    };
    let fix = "fix/session-cache";
    let mut runs = [
        run(9801, 412, "Clear the session cache", fix, "completed", Some("failure")),
        run(9802, 413, "Clear the session cache", fix, "in_progress", None),
        run(9799, 411, "Refuse TLS 1.1", "main", "completed", Some("success")),
    ];
    for run in &mut runs {
        for name in ["build", "test (ubuntu-24.04, 1.95)", "lint / clippy"] {
            let failed = run.conclusion.as_deref() == Some("failure") && name.starts_with("test");
            let mut job = generate::job(world.next_id() + 26_000, name, run.created + 5, failed);
            if run.conclusion.is_none() && name != "build" {
                job.status = "in_progress".to_owned();
                (job.conclusion, job.completed) = (None, None);
                job.log.clear();
            }
            run.jobs.push(job);
        }
    }
    repo.runs.extend(runs.into_iter().map(|run| (run.id, run)));
}

const SESSION: &str = "//! Sessions of signed-in people.\n\npub struct Sessions {\n    cache: \
                       Cache,\n}\n\nimpl Sessions {\n    pub fn refresh(&mut self, id: Id, token: \
                       Token) {\n        self.store(id, token);\n    }\n}\n";

fn code(repo: &mut Repo) {
    let commit = |tree, parents, who: (&str, &str), time, message: &str| Commit {
        tree,
        parents,
        author: (who.0.to_owned(), format!("{}@acme.example", who.1)),
        time,
        message: format!("{message}\n"),
    };
    let git = &mut repo.git;
    let mut files = Files::new();
    let mut binary = Vec::from(b"\x89PNG\r\n\x1a\n");
    binary.extend((0..512).map(|i| (i * 7 % 256) as u8));
    for (path, mode, content) in [
        ("README.md", Mode::File, &b"# api\n\nThe API server of Acme.\n\n    make run\n"[..]),
        ("Makefile", Mode::File, b"run:\n\tcargo run\n"),
        ("Cargo.toml", Mode::File, b"[package]\nname = \"api\"\nversion = \"1.9.0\"\n"),
        ("bin/deploy", Mode::Executable, b"#!/bin/sh\nexec ./scripts/deploy.sh \"$@\"\n"),
        ("docs/index.md", Mode::Symlink, b"../README.md"),
        ("docs/logo.png", Mode::File, &binary),
        ("docs/\u{fc}bersicht.md", Mode::File, "# \u{dc}bersicht\n".as_bytes()),
        (".github/workflows/ci.yml", Mode::File, b"on: [push, pull_request]\n"),
        (".github/workflows/release.yml", Mode::File, b"on:\n  release:\n"),
        ("src/main.rs", Mode::File, b"fn main() {\n    api::serve();\n}\n"),
        ("src/session.rs", Mode::File, SESSION.as_bytes()),
        ("src/tls.rs", Mode::File, b"pub const OLDEST: Version = Version::Tls11;\n"),
        ("empty", Mode::File, b""),
    ] {
        let oid = git.blob(content);
        files.insert(path.to_owned(), (mode, oid));
    }
    let client = "2a6f3c1b9d0e4875aa10b6c2d3e4f5061728394a".to_owned();
    files.insert("vendor/client".to_owned(), (Mode::Submodule, client));
    let tree = git.tree(&files);
    let first = git.commit(commit(tree, vec![], ("Mira Okafor", "mira"), BEGIN, "Start"));
    let tls = git.blob(b"pub const OLDEST: Version = Version::Tls12;\n");
    files.insert("src/tls.rs".to_owned(), (Mode::File, tls));
    let tree = git.tree(&files);
    let who = ("Tomasz Lis", "tomasz");
    let main = git.commit(commit(
        tree,
        vec![first],
        who,
        END - 864_000,
        "Refuse TLS 1.1\n\nCloses #2830.",
    ));
    let mut fixed = files.clone();
    let text =
        SESSION.replace("        self.store", "        self.cache.drop(id);\n        self.store");
    fixed.insert("src/session.rs".to_owned(), (Mode::File, git.blob(text.as_bytes())));
    let tree = git.tree(&fixed);
    let (who, message) = (("Priya Nair", "priya-n"), "Clear the session cache on token refresh");
    let fix = git.commit(commit(tree, vec![main.clone()], who, END - 7_200, message));
    files.insert("src/router.rs".to_owned(), (Mode::File, git.blob(b"pub struct Router;\n")));
    let tree = git.tree(&files);
    let who = ("Lars Holm", "lars");
    let router = git.commit(commit(tree, vec![main.clone()], who, END - 9_000, "Try a router"));
    for (name, oid) in [
        ("refs/heads/main", &main),
        ("refs/heads/fix/session-cache", &fix),
        ("refs/heads/lars/router", &router),
        ("refs/tags/v1.8.0", &main),
        ("refs/tags/v1.9.0-rc.1", &main),
        ("refs/tags/nightly/2026-01-04", &main),
    ] {
        repo.refs.insert(name.to_owned(), oid.clone());
    }
    repo.pushed = END - 7_200;
}
