//! Repositories of any size from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::data::{
    AccountKind, Asset, Comment, Issue, Job, Label, Milestone, Pull, Release, Repo, Run, Workflow,
    World,
};
use super::git::{Commit, Files, Mode, Store};
use crate::rng::Rng;
use crate::text::{Text, awkward_titles, title};

/// 2024-01-01: generated data begins here.
pub(crate) const BEGIN: i64 = 1_704_067_200;
/// 2026-01-05 09:00: and ends here.
pub(crate) const END: i64 = 1_767_603_600;

/// What a generated repository holds. Issues and pull requests share one sequence of numbers that
/// begins at 1 and has no gap.
#[derive(Clone, Debug)]
pub struct RepoShape {
    /// Created as an organisation that the viewer belongs to, unless it is a known account.
    pub owner: String,
    pub name: String,
    pub open_issues: usize,
    pub closed_issues: usize,
    pub pulls: usize,
    /// Spread over about half of the issues; the other half has none.
    pub comments: usize,
    /// The highest numbers get the titles of [`crate::awkward_titles`].
    pub awkward: bool,
}

impl RepoShape {
    /// Open issues and comments alone: what most tests of cost need.
    pub fn issues(owner: &str, name: &str, open_issues: usize, comments: usize) -> Self {
        let (owner, name) = (owner.to_owned(), name.to_owned());
        let (closed_issues, pulls, awkward) = (0, 0, false);
        Self { owner, name, open_issues, closed_issues, pulls, comments, awkward }
    }
}

const LOGINS: [(&str, &str); 8] = [
    ("mira", "Mira Okafor"),
    ("tomasz", "Tomasz Lis"),
    ("jun-h", "Jun Hayashi"),
    ("priya-n", "Priya Nair"),
    ("sofia", "Sofia Marino"),
    ("deniz", "Deniz Aydin"),
    ("lars", "Lars Holm"),
    ("build-bot", "Build Bot"),
];

const LABELS: [(&str, &str, &str); 7] = [
    ("bug", "d73a4a", "Something is not right"),
    ("enhancement", "a2eeef", "A wish"),
    ("auth", "5319e7", "Sign-in, tokens and sessions"),
    ("good first issue", "7057ff", "A place to start"),
    ("area/api", "0e8a16", ""),
    ("needs: triage \u{1f440}", "fbca04", "Nobody has looked yet"),
    ("wontfix", "ffffff", ""),
];

pub(crate) fn people(world: &mut World) {
    for (login, name) in LOGINS {
        if world.account(login).is_none() {
            world.add_account(AccountKind::User, login, name, BEGIN);
        }
    }
}

pub(crate) fn login(rng: &mut Rng) -> Arc<str> {
    // The last one is the bot, which opens no issues.
    rng.pick(&LOGINS[..LOGINS.len() - 1]).0.into()
}

pub(crate) fn empty_repo(world: &mut World, owner: &str, name: &str, created: i64) -> Repo {
    let id = world.next_id() + 700_000;
    let labels = LABELS.map(|(name, color, description)| Label {
        id: world.next_id(),
        name: name.to_owned(),
        color: color.to_owned(),
        description: description.to_owned(),
    });
    Repo {
        id,
        owner: owner.to_owned(),
        name: name.to_owned(),
        description: String::new(),
        private: false,
        default_branch: "main".to_owned(),
        created,
        updated: created,
        pushed: created,
        labels: labels.into(),
        milestones: Vec::new(),
        issues: BTreeMap::new(),
        gone: BTreeMap::new(),
        comments: BTreeMap::new(),
        workflows: Vec::new(),
        runs: BTreeMap::new(),
        releases: BTreeMap::new(),
        refs: BTreeMap::new(),
        git: Store::default(),
        tree_limit: 100_000,
        issue_events: Vec::new(),
        events: VecDeque::new(),
    }
}

pub(crate) fn repo(world: &mut World, shape: &RepoShape, seed: u64) {
    people(world);
    if world.account(&shape.owner).is_none() {
        world.add_account(AccountKind::Organization, &shape.owner, &shape.owner, BEGIN);
        world.organizations.push(shape.owner.clone());
    }
    let mut rng = Rng::new(seed);
    let mut repo = empty_repo(world, &shape.owner, &shape.name, BEGIN);
    repo.description = title(&mut rng);
    code(&mut repo, 24, &mut rng);
    milestones(world, &mut repo);
    issues(world, &mut repo, shape, &mut rng);
    comments(world, &mut repo, shape.comments, &mut rng);
    let workflow = workflow(world, &mut repo, "CI", ".github/workflows/ci.yml");
    for number in 1..=12 {
        run(world, &mut repo, workflow, number, &mut rng);
    }
    for minor in 0..3 {
        release(world, &mut repo, &format!("v1.{minor}.0"), "Fixes and polish.\n", minor);
    }
    repo.updated = END;
    world.add_repo(repo);
}

/// A few commits on `main`, a branch with a slash in its name that is ahead of it, and tags.
pub(crate) fn code(repo: &mut Repo, modules: usize, rng: &mut Rng) {
    let author = || ("Mira Okafor".to_owned(), "mira@example.com".to_owned());
    let mut files = Files::new();
    let git = &mut repo.git;
    let put = |git: &mut Store, files: &mut Files, path: &str, mode, content: &[u8]| {
        let oid = git.blob(content);
        files.insert(path.to_owned(), (mode, oid));
    };
    let readme = format!("# {}\n\n{}\n", repo.name, repo.description);
    put(git, &mut files, "README.md", Mode::File, readme.as_bytes());
    put(git, &mut files, "LICENSE", Mode::File, b"All rights of this example are yours.\n");
    let ci = b"on: [push, pull_request]\njobs:\n  build:\n    runs-on: ubuntu-latest\n";
    put(git, &mut files, ".github/workflows/ci.yml", Mode::File, ci);
    put(git, &mut files, "scripts/test.sh", Mode::Executable, b"#!/bin/sh\nset -e\nmake check\n");
    put(git, &mut files, "docs/README.md", Mode::Symlink, b"../README.md");
    for module in 0..modules {
        let text = format!("//! {}\n\npub fn step() -> u64 {{\n    {module}\n}}\n", title(rng));
        put(git, &mut files, &format!("src/part_{module:02}.rs"), Mode::File, text.as_bytes());
    }
    let tree = git.tree(&files);
    let message = "Start\n".to_owned();
    let commit = Commit { tree, parents: vec![], author: author(), time: BEGIN, message };
    let first = git.commit(commit);
    put(git, &mut files, "CHANGELOG.md", Mode::File, b"## 1.0.0\n\nThe first release.\n");
    let tree = git.tree(&files);
    let message = "Add a change log\n\nReleases refer to it.\n".to_owned();
    let time = BEGIN + 86_400;
    let commit = Commit { tree, parents: vec![first], author: author(), time, message };
    let main = git.commit(commit);
    put(git, &mut files, "src/part_00.rs", Mode::File, b"//! Rewritten.\n\npub fn step() {}\n");
    put(git, &mut files, "src/extra.rs", Mode::File, b"pub const LIMIT: usize = 100;\n");
    files.remove("LICENSE");
    let tree = git.tree(&files);
    let message = "Rewrite the first part\n".to_owned();
    let time = END - 7_200;
    let commit = Commit { tree, parents: vec![main.clone()], author: author(), time, message };
    let topic = git.commit(commit);
    for (name, oid) in [
        ("refs/heads/main", &main),
        ("refs/heads/topic/rewrite", &topic),
        ("refs/tags/v1.0.0", &main),
        ("refs/tags/v1.1.0", &main),
        ("refs/tags/v1.2.0", &main),
    ] {
        repo.refs.insert(name.to_owned(), oid.clone());
    }
    repo.pushed = END - 7_200;
}

pub(crate) fn milestones(world: &mut World, repo: &mut Repo) {
    for (number, title) in [(1, "1.0"), (2, "Next quarter")] {
        repo.milestones.push(Milestone {
            id: world.next_id(),
            number,
            title: title.to_owned(),
            description: String::new(),
            creator: "mira".to_owned(),
            created: BEGIN,
            updated: BEGIN,
            due: Some(END + 5_184_000),
        });
    }
}

/// The pull request's part of an issue, from `topic/rewrite` to the default branch.
pub(crate) fn pull(world: &mut World, repo: &Repo) -> Pull {
    let base = repo.default_branch.clone();
    let head = "topic/rewrite".to_owned();
    let sha = |branch: &str| repo.branch(branch).unwrap_or_default().to_owned();
    Pull {
        id: world.next_id(),
        draft: false,
        merged: None,
        merged_by: None,
        merge_commit: None,
        base_sha: sha(&base),
        head_sha: sha(&head),
        base,
        head,
        reviews: Vec::new(),
        comments: Vec::new(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Open,
    Closed,
    Pull,
}

fn issues(world: &mut World, repo: &mut Repo, shape: &RepoShape, rng: &mut Rng) {
    let mut kinds = vec![Kind::Open; shape.open_issues];
    kinds.extend(vec![Kind::Closed; shape.closed_issues]);
    kinds.extend(vec![Kind::Pull; shape.pulls]);
    for i in (1..kinds.len()).rev() {
        kinds.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let count = kinds.len() as u64;
    let step = (END - BEGIN - 86_400) / (count as i64 + 1);
    let awkward = if shape.awkward { awkward_titles() } else { Vec::new() };
    let plain = count.saturating_sub(awkward.len() as u64);
    for (number, kind) in (1..=count).zip(kinds) {
        let created = BEGIN + step * number as i64;
        let updated = created + rng.below((END - created) as u64) as i64;
        let closed = kind == Kind::Closed || kind == Kind::Pull && rng.one_in(2);
        let mut pull = (kind == Kind::Pull).then(|| Box::new(pull(world, repo)));
        if let Some(pull) = pull.as_mut() {
            pull.draft = !closed && rng.one_in(4);
            if closed && !rng.one_in(4) {
                pull.merged = Some(updated);
                pull.merged_by = Some("mira".into());
                pull.merge_commit = Some(pull.head_sha.clone());
            }
        }
        let title = match number.checked_sub(plain + 1).and_then(|i| awkward.get(i as usize)) {
            Some(text) => Text::Given(text.clone()),
            None => Text::Title(rng.next()),
        };
        let issue = Issue {
            id: world.next_id(),
            number,
            title,
            body: (!rng.one_in(20)).then(|| Text::Body(rng.next())),
            open: !closed,
            reason: (closed && pull.is_none()).then_some("completed"),
            author: login(rng),
            assignees: if rng.one_in(3) { vec![login(rng)] } else { vec![] },
            labels: labels(rng),
            milestone: rng.one_in(5).then_some(1),
            locked: rng.one_in(100),
            comments: 0,
            created,
            updated,
            closed: closed.then_some(updated),
            closed_by: closed.then(|| "mira".into()),
            pull,
        };
        repo.issues.insert(number, issue);
    }
}

fn labels(rng: &mut Rng) -> Vec<Arc<str>> {
    let first = rng.below(LABELS.len() as u64 * 2) as usize;
    let chosen = LABELS.iter().skip(first).take(1 + rng.below(2) as usize);
    chosen.map(|(name, ..)| Arc::from(*name)).collect()
}

fn comments(world: &mut World, repo: &mut Repo, count: usize, rng: &mut Rng) {
    let numbers: Vec<u64> = repo.issues.keys().copied().collect();
    let talked_about = &numbers[numbers.len() / 2..];
    if talked_about.is_empty() {
        return;
    }
    let step = 86_400 / (count as i64 + 1);
    for index in 0..count {
        let issue = rng.pick(talked_about);
        let at = END - 86_400 + step * index as i64;
        let id = world.next_id() + 2_000_000;
        let body = Text::Body(rng.next());
        let author = login(rng);
        repo.comments.insert(id, Comment { id, issue, author, body, created: at, updated: at });
        if let Some(issue) = repo.issues.get_mut(&issue) {
            issue.comments += 1;
            issue.updated = issue.updated.max(at);
        }
    }
}

pub(crate) fn workflow(world: &mut World, repo: &mut Repo, name: &str, path: &str) -> u64 {
    let id = world.next_id() + 100;
    let (name, path) = (name.to_owned(), path.to_owned());
    repo.workflows.push(Workflow { id, name, path, created: BEGIN, updated: BEGIN });
    id
}

pub(crate) fn run(world: &mut World, repo: &mut Repo, workflow: u64, number: u64, rng: &mut Rng) {
    let created = END - 86_400 + number as i64 * 600;
    let failed = rng.one_in(4);
    let conclusion = Some(if failed { "failure" } else { "success" }.to_owned());
    let id = world.next_id() + 9_000_000;
    let jobs = ["build", "test (ubuntu, stable)", "lint / clippy"];
    let jobs = jobs.iter().map(|name| {
        let failed = failed && name.starts_with("test");
        job(world.next_id() + 20_000_000, name, created + 5, failed)
    });
    let run = Run {
        id,
        workflow,
        number,
        attempt: 1,
        title: title(rng),
        event: "push".to_owned(),
        status: "completed".to_owned(),
        conclusion,
        branch: repo.default_branch.clone(),
        sha: repo.branch(&repo.default_branch).unwrap_or_default().to_owned(),
        actor: "mira".to_owned(),
        pulls: vec![],
        created,
        updated: created + 240,
        jobs: jobs.collect(),
    };
    repo.runs.insert(id, run);
}

pub(crate) fn job(id: u64, name: &str, started: i64, failed: bool) -> Job {
    let steps = ["Set up job", "Check out", "Run"].map(str::to_owned).into();
    let last = if failed { "##[error]Process completed with exit code 1." } else { "ok" };
    let log = [
        (0, "Current runner version: '2.320.0'".to_owned()),
        (3, format!("##[group]Run {name}")),
        (40, "test result: 117 passed".to_owned()),
        (41, last.to_owned()),
    ];
    let log = log.iter().map(|(after, text)| {
        let time = crate::clock::iso_ms((started + after) * 1000);
        format!("{} {text}\n", time.replace(".000Z", ".0000000Z"))
    });
    Job {
        id,
        name: name.to_owned(),
        status: "completed".to_owned(),
        conclusion: Some(if failed { "failure" } else { "success" }.to_owned()),
        created: started,
        started,
        completed: Some(started + 42),
        steps,
        log: log.collect(),
    }
}

pub(crate) fn release(world: &mut World, repo: &mut Repo, tag: &str, notes: &str, age: i64) {
    let created = END - 8_640_000 + age * 864_000;
    let asset = |id, name: &str, content_type: &str, content: Vec<u8>| {
        Asset::new(id, name.to_owned(), content_type.to_owned(), content, created)
    };
    let archive = Rng::new(created as u64).hex(4096).into_bytes();
    let sums = format!("{}  {}-{tag}.tar\n", Rng::new(1).hex(64), repo.name).into_bytes();
    let assets = vec![
        asset(world.next_id(), &format!("{}-{tag}.tar", repo.name), "application/x-tar", archive),
        asset(world.next_id(), "SHA256SUMS", "text/plain", sums),
    ];
    let id = world.next_id();
    let release = Release {
        id,
        tag: tag.to_owned(),
        target: repo.default_branch.clone(),
        name: format!("Release {tag}"),
        notes: notes.to_owned(),
        draft: false,
        prerelease: tag.contains("rc"),
        author: "mira".to_owned(),
        created,
        published: created + 60,
        updated: created + 60,
        assets,
    };
    repo.releases.insert(id, release);
}
