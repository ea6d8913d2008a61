//! Polling: what changed in a scope since the last time, by requests that GitHub answers with 304
//! while nothing did, made side by side.
//!
//! | scope | requests of one poll |
//! |---|---|
//! | `issues:{id}` | issues and comments from their marks on, the newest 100 events, and in turn labels, milestones, and the last of all issues by age: 4 |
//! | `actions:{id}` | the newest 100 runs, those in progress, those queued, the workflows: 4 |
//! | `refs:{id}` | the repository, its first 100 branches and tags: 3 |
//! | `releases:{id}`, `repo:{id}` | 1 |
//! | `owner:{kind}/{login}` | the 100 repositories changed last: 1, and `/user` for a user's: 2 |
//!
//! What none of them shows is in SEMANTICS.md. For that the scope is reported as a gap once an hour.

use crate::api::{self, Repository, first_page, github};
use crate::thread::Number;
use crate::webhook;
use crate::{Id, release, repo};
use omnifs_sdk::http::{Request, Response, if_any};
use omnifs_sdk::poll::{Poll, count, digest, since, unless_gone};
use omnifs_sdk::time::member_ms as at;
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::mem::{replace, take};

/// Seconds between two gaps.
const WALK: u64 = 3600;
/// A change shows within this many milliseconds of the time that it carries.
type Mark = since::Mark<60_000>;
/// More changed than this is a gap: asking again is cheaper than hearing of each.
const MOST: usize = 1_000;

pub fn poll(position: &Position) -> Result<Progress> {
    let unknown = || Error::Invalid(format!("no feed polls the scope {:?}", position.scope));
    let (kind, key) = position.scope.split_once(':').ok_or_else(unknown)?;
    if kind == "owner" {
        return owner(position, Id::decode(key).ok_or_else(unknown)?);
    }
    let repo = key.parse().map_err(|_| unknown())?;
    let polled = match kind {
        "issues" => issues(position, repo),
        "actions" => runs(position, repo),
        "refs" => refs(position, repo),
        "releases" => releases(position, repo),
        "repo" => repository(position, repo),
        _ => return Err(unknown()),
    };
    unless_gone(position, polled, github::repo(repo), Id::Repo(repo))
}

/// What a listing holds, those that cannot be read aside; nothing where the repository has none.
fn values(answer: Result<Response>) -> Result<Items<Value>> {
    let found = if_any(answer.and_then(Response::ok))?;
    found.map_or_else(|| Ok(Items::default()), |answer| answer.json())
}

fn updated(item: &Value) -> Option<since::Seen> {
    since::Seen::member(item, "updated_at")
}

fn id(item: &Value) -> u64 {
    item["id"].as_u64().unwrap_or_default()
}

#[derive(Default, Serialize, Deserialize)]
struct Issues {
    issues: Mark,
    comments: Mark,
    events: Mark,
    /// The highest number seen: a higher one is new, also where it was transferred here and is old.
    newest: u64,
    /// While the last one by age stays, none was deleted or transferred away.
    count: count::Last,
    /// Whoever carries one of these shows its name, and nothing says who does.
    labels: digest::Known,
    milestones: digest::Known,
    turn: u8,
}

fn issues(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin::<Issues>(position);
    if !poll.resumed && position.since == 0 {
        // For its time.
        poll.note(github::repo(repo).ok()?);
    }
    for mark in [&mut cursor.issues, &mut cursor.comments, &mut cursor.events] {
        mark.start(poll.beginning());
    }
    let (turn, counted) = (cursor.turn % 3, cursor.count);
    cursor.turn = turn + 1;
    let [changed, said, events, in_turn] = poll.ask([
        since(all(repo), cursor.issues.from()),
        since(github::issue(repo, "comments"), cursor.comments.from()),
        first_page(github::issue(repo, "events")),
        match turn {
            0 => last_by_age(repo, counted),
            1 => first_page(github::labels(repo)),
            _ => first_page(github::milestones(repo)).query("state", "all"),
        },
    ]);
    let issues = api::unless_off(repo, changed?, "has_issues")?;
    let off = issues.is_none();
    let mut changed = match issues {
        Some(first) => all_since(&mut poll, all(repo), first.json()?)?,
        // There are pull requests all the same.
        None => {
            let pulls = github::pulls(repo).query("state", "all").query("sort", "updated");
            let [pulls] = poll.ask([first_page(pulls.query("direction", "desc"))]);
            values(pulls)?
        }
    };
    let mut said = all_since(&mut poll, github::issue(repo, "comments"), values(said)?)?;
    let mut events = values(events)?;
    let number = |odd: &Odd| odd.item.parse().ok();
    for number in changed.odd().iter().filter_map(number) {
        poll.changes.invalidated([Id::Issue(repo, number), Id::Pull(repo, number)]);
    }
    let odd = said.odd().iter().filter_map(number);
    poll.changes.invalidated(odd.map(|id| Id::Comment(repo, id)));

    // Without a mark of what was there before, the new ones are among as many of the highest numbers.
    let known = match &in_turn {
        _ if poll.resumed => cursor.newest,
        Ok(answer) => api::first_number(answer).unwrap_or(0).saturating_sub(changed.len() as u64),
        Err(_) => 0,
    };
    let (from, now) = (cursor.issues.at(), poll.now());
    for item in cursor.issues.pass(now, take(&mut changed), updated) {
        let Some(thread) = Number::of(repo, &item) else { continue };
        let is_new = thread.number > known;
        if is_new {
            cursor.count.came(thread.number);
        }
        cursor.newest = cursor.newest.max(thread.number);
        let closed = at(&item, "closed_at").is_some_and(|at| at >= from);
        // That an issue has become a pull request shows nowhere else.
        let back = item["state_reason"] == "reopened" || thread.is_pull && item["state"] == "open";
        webhook::thread_moved(&mut poll.changes, thread, is_new || closed || back);
        // Nothing says which of its comments was edited.
        poll.changes.invalidated(off.then(|| thread.comments()));
    }
    for item in cursor.comments.pass(now, take(&mut said), updated) {
        if let Ok(comment) = api::Comment::deserialize(item) {
            webhook::said(&mut poll.changes, repo, &comment);
        }
    }
    let all = events.len();
    let seen = |event: &Value| since::Seen::of(&event["id"], at(event, "created_at"));
    let events = cursor.events.pass(now, take(&mut events), seen);
    if events.len() == api::PAGE && all == api::PAGE {
        poll.gap();
    }
    for event in events {
        let Some(thread) = Number::of(repo, &event["issue"]) else { continue };
        let moves =
            ["closed", "reopened", "transferred"].iter().any(|name| event["event"] == *name);
        webhook::thread_moved(&mut poll.changes, thread, moves);
    }
    if turn == 0 {
        if let Some(answer) = if_any(in_turn.and_then(Response::ok))? {
            let again = last_by_age(repo, count::Last::default());
            let counted = (counted, answer);
            let newest = cursor.count.check(&mut poll, counted, api::first_number, again)?;
            cursor.newest = cursor.newest.max(newest.unwrap_or(0));
        }
    } else {
        let known = if turn == 1 { &mut cursor.labels } else { &mut cursor.milestones };
        let named = |item: &Value| digest::of(&api::named(item.clone()));
        if known.moved(&values(in_turn)?, id, named) {
            poll.gap();
        }
    }
    Ok(poll.end(&cursor, WALK))
}

/// Issues and pull requests in every state.
fn all(repo: u64) -> Request {
    github::issues(repo).query("state", "all")
}

fn since(request: Request, from: u64) -> Request {
    let request = request.query("sort", "updated").query("direction", "asc");
    first_page(request.query("since", time::rfc3339(from)))
}

fn all_since(poll: &mut Poll, request: Request, first: Items<Value>) -> Result<Items<Value>> {
    let at = |item: &Value| at(item, "updated_at");
    since::pages(poll, first, api::PAGE, MOST, at, |from| since(request.clone(), from))
}

fn last_by_age(repo: u64, counted: count::Last) -> Request {
    let request = all(repo).query("per_page", 1).query("sort", "created");
    match counted.page() {
        Some(page) => request.query("direction", "asc").query("page", page),
        None => request.query("direction", "desc"),
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Runs {
    runs: Mark,
    /// The highest id seen, and how many runs there are.
    newest: u64,
    total: count::Total,
    /// Those that were not over and not among the newest.
    older: Vec<u64>,
    workflows: u64,
}

/// A page of runs or workflows.
#[derive(Deserialize)]
struct Page {
    total_count: Option<u64>,
    #[serde(default, alias = "workflows")]
    workflow_runs: Items<Value>,
}

fn runs(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin::<Runs>(position);
    let runs = || first_page(github::runs(repo));
    let [page, running, queued, workflows]: [Page; 4] = poll.read([
        runs(),
        runs().query("status", "in_progress"),
        runs().query("status", "queued"),
        first_page(github::workflows(repo)),
    ])?;
    cursor.runs.start(poll.beginning());
    let on_page: Vec<u64> = page.workflow_runs.iter().map(id).collect();
    let made = on_page.iter().filter(|id| **id > cursor.newest).count();
    if cursor.total.fell(page.total_count, made) {
        poll.gap();
    }
    if poll.moved(&mut cursor.workflows, digest::of(&*workflows.workflow_runs), None) {
        poll.changes.invalidated([Id::Workflows(repo)]);
    }
    let older = running.workflow_runs.iter().chain(queued.workflow_runs.iter()).map(id);
    let older = older.filter(|id| !on_page.contains(id)).take(api::PAGE).collect();
    let before = replace(&mut cursor.older, older);
    for id in before.iter().chain(&cursor.older).filter(|id| !on_page.contains(id)) {
        webhook::run_moved(&mut poll.changes, repo, *id);
    }
    cursor.newest = on_page.into_iter().fold(cursor.newest, u64::max);
    // A job may go on without moving its run.
    let going = page.workflow_runs.iter().filter(|run| run["status"] != "completed");
    poll.changes.invalidated(going.map(|run| Id::Jobs(repo, id(run))));
    let from = cursor.runs.at();
    // The repositories hold counters that move by themselves.
    let stable = |run| api::without(run, &["repository", "head_repository"]);
    let mut page = page.workflow_runs.map(stable);
    for run in cursor.runs.pass(poll.now(), take(&mut page), updated) {
        webhook::run_moved(&mut poll.changes, repo, id(&run));
        if at(&run, "created_at").is_none_or(|at| at >= from) {
            let workflow = run["workflow_id"].as_u64().unwrap_or(0);
            poll.changes.children_changed([Id::Runs(repo), Id::WorkflowRuns(repo, workflow)]);
        }
    }
    Ok(poll.end(&cursor, WALK))
}

#[derive(Default, Serialize, Deserialize)]
struct Refs {
    branches: digest::Listing,
    tags: digest::Listing,
    /// Of what says that any ref may have moved.
    any: u64,
}

fn refs(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin::<Refs>(position);
    let (branches, tags) = (first_page(github::branches(repo)), first_page(github::tags(repo)));
    let [answer, branches, tags] = poll.ask([github::repo(repo), branches, tags]);
    let (answer, branches, tags): (Repository, _, _) =
        (answer?.ok()?.json()?, branches?.ok()?, tags?.ok()?);
    // A push to what no first page shows moves the time of the last push.
    let beyond = [&branches, &tags].iter().any(|page| page.link("next").is_some());
    let pushed = if beyond { answer.pushed_at.as_str() } else { "" };
    let any = digest::of(&(pushed, &answer.default_branch));
    let (branches, tags): (Items<Value>, Items<Value>) = (branches.json()?, tags.json()?);

    let name = |one: &Value| digest::of(&one["name"]);
    let news = [
        ("refs/heads/", cursor.branches.compare(&branches, name)),
        ("refs/tags/", cursor.tags.compare(&tags, name)),
    ];
    let gone = poll.resumed && news.iter().any(|(_, news)| news.gone > 0);
    if poll.moved(&mut cursor.any, any, api::ms(&answer.pushed_at)) || gone {
        webhook::any_ref_moved(&mut poll.changes, repo);
    }
    for (prefix, news) in news.iter().filter(|_| poll.resumed) {
        for (one, came) in news.each() {
            let full = format!("{prefix}{}", one["name"].as_str().unwrap_or_default());
            webhook::ref_moved(&mut poll.changes, repo, &answer.default_branch, &full, came);
        }
    }
    Ok(poll.end(&cursor, WALK))
}

fn releases(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin::<digest::Listing>(position);
    let [page]: [Items<Value>; 1] = poll.read([first_page(github::releases(repo))])?;
    let page = page.map(release::stable);
    let newest = page.iter().filter_map(|release| at(release, "published_at")).max();
    let news = cursor.compare(&page, |release| digest::of(&release["id"]));
    if poll.resumed && news.any || poll.may_have_missed(newest) {
        poll.changes.children_changed([Id::Releases(repo)]);
        for (release, _) in news.each() {
            poll.changes.invalidated([Id::Release(repo, id(release))]);
            poll.changes.children_changed([Id::Assets(repo, id(release))]);
        }
    }
    Ok(poll.end(&cursor, WALK))
}

fn repository(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin(position);
    let [answer] = poll.read([github::repo(repo)])?;
    let answer = api::without(answer, &["temp_clone_token"]);
    if poll.moved(&mut cursor, digest::of(&answer), at(&answer, "updated_at")) {
        poll.changes.invalidated([Id::RepoJson(repo)]);
    }
    Ok(poll.end(&cursor, WALK))
}

/// Which repositories an account has, under which names. Their own changes are not news here.
fn owner(position: &Position, owner: Id) -> Result<Progress> {
    let (mut poll, mut cursor) = Poll::begin(position);
    let [repos]: [Items<Repository>; 1] =
        poll.read([first_page(repo::all_of(&owner)?.query("sort", "updated"))])?;
    let newest = repos.iter().filter_map(|repo| api::ms(&repo.updated_at)).max();
    let names = digest::sum(repos.iter().map(|repo| digest::of(&(repo.id, &repo.full_name))));
    if poll.moved(&mut cursor, names, newest) {
        poll.changes.children_changed([owner]);
    }
    Ok(poll.end(&cursor, WALK))
}
