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

use crate::actions::run_moved;
use crate::api::{self, Repository, first_page, github};
use crate::thread::Number;
use crate::{Id, comment, refs, release, repo};
use omnifs_sdk::http::{Request, Response, if_any};
use omnifs_sdk::poll::{Poll, count, digest, once, since, unless_gone};
use omnifs_sdk::time::member_ms as at;
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::mem::replace;

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
        let id = Id::decode(key).ok_or_else(unknown)?;
        return once(position, WALK, |poll, cursor| owner(poll, cursor, id));
    }
    let repo = key.parse().map_err(|_| unknown())?;
    let polled = match kind {
        "issues" => once(position, WALK, |poll, cursor| issues(poll, cursor, repo)),
        "actions" => once(position, WALK, |poll, cursor| runs(poll, cursor, repo)),
        "refs" => once(position, WALK, |poll, cursor| branches_and_tags(poll, cursor, repo)),
        "releases" => once(position, WALK, |poll, cursor| releases(poll, cursor, repo)),
        "repo" => once(position, WALK, |poll, cursor| repository(poll, cursor, repo)),
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
    /// While the last one by age stays, none was deleted or transferred away.
    count: count::Last,
    /// Whoever carries one of these shows its name, and nothing says who does.
    labels: digest::Known,
    milestones: digest::Known,
    turn: u8,
}

fn issues(poll: &mut Poll, cursor: &mut Issues, repo: u64) -> Result<()> {
    let beginning = poll.beginning_by(|| github::repo(repo))?;
    for mark in [&mut cursor.issues, &mut cursor.comments, &mut cursor.events] {
        mark.start(beginning);
    }
    let (turn, mut before) = (cursor.turn % 3, cursor.count);
    cursor.turn = turn + 1;
    let [changed, said, events, in_turn] = poll.ask([
        since(all(repo), cursor.issues.from()),
        since(github::issue(repo, "comments"), cursor.comments.from()),
        first_page(github::issue(repo, "events")),
        match turn {
            0 => last_by_age(repo, before),
            1 => first_page(github::labels(repo)),
            _ => first_page(github::milestones(repo)).query("state", "all"),
        },
    ]);
    let changed = api::unless_off(repo, changed?, "has_issues")?;
    let off = changed.is_none();
    let changed = match changed {
        Some(first) => all_since(poll, all(repo), first.json()?)?,
        // There are pull requests all the same.
        None => newest_pulls(poll, repo)?,
    };
    let said = all_since(poll, github::issue(repo, "comments"), values(said)?)?;
    for number in changed.odd_ids() {
        for is_pull in [false, true] {
            Number { repo, number, is_pull }.changed(&mut poll.changes);
        }
    }
    poll.changes.invalidated(said.odd_ids().map(|id| Id::Comment(repo, id)));

    if !poll.resumed {
        before = count::Last::before(changed.len(), &in_turn, api::first_number);
    }
    let (from, now) = (cursor.issues.at(), poll.now());
    for item in cursor.issues.pass(now, changed, updated).iter() {
        let Some(thread) = Number::of(repo, item) else { continue };
        let is_new = cursor.count.saw(thread.number, before);
        let closed = at(item, "closed_at").is_some_and(|at| at >= from);
        // That an issue has become a pull request shows nowhere else.
        let back = item["state_reason"] == "reopened" || thread.is_pull && item["state"] == "open";
        thread.moved(&mut poll.changes, is_new || closed || back);
        // Nothing says which of its comments was edited.
        poll.changes.invalidated(off.then(|| thread.comments()));
    }
    for item in cursor.comments.pass(now, said, updated).iter() {
        if let Ok(comment) = api::Comment::deserialize(item) {
            comment::said(&mut poll.changes, repo, &comment);
        }
    }
    let seen = |event: &Value| since::Seen::of(&event["id"], at(event, "created_at"));
    for event in cursor.events.pass_newest(poll, values(events)?, api::PAGE, seen).iter() {
        let Some(thread) = Number::of(repo, &event["issue"]) else { continue };
        let name = event["event"].as_str();
        let moves = matches!(name, Some("closed" | "reopened" | "transferred"));
        thread.moved(&mut poll.changes, moves);
    }
    if turn == 0 {
        let anew = last_by_age(repo, count::Last::default());
        return cursor.count.check(poll, before, in_turn, api::first_number, anew);
    }
    let known = if turn == 1 { &mut cursor.labels } else { &mut cursor.milestones };
    let named = |item: &Value| digest::of(&api::named(item.clone()));
    if known.moved(&values(in_turn)?, id, named) {
        poll.gap();
    }
    Ok(())
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

/// The pull requests that changed last: the service knows no `since` for them.
fn newest_pulls(poll: &mut Poll, repo: u64) -> Result<Items<Value>> {
    let pulls = github::pulls(repo).query("state", "all").query("sort", "updated");
    let [pulls] = poll.ask([first_page(pulls.query("direction", "desc"))]);
    values(pulls)
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

fn runs(poll: &mut Poll, cursor: &mut Runs, repo: u64) -> Result<()> {
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
    cursor.newest = on_page.iter().copied().fold(cursor.newest, u64::max);
    if cursor.total.fell(page.total_count, made) {
        poll.gap();
    }
    if poll.moved(&mut cursor.workflows, digest::of(&*workflows.workflow_runs), None) {
        poll.changes.invalidated([Id::Workflows(repo)]);
    }
    let beyond = running.workflow_runs.iter().chain(queued.workflow_runs.iter()).map(id);
    let beyond = beyond.filter(|id| !on_page.contains(id)).take(api::PAGE).collect();
    let before = replace(&mut cursor.older, beyond);
    for id in before.iter().chain(&cursor.older).filter(|id| !on_page.contains(id)) {
        run_moved(&mut poll.changes, repo, *id);
    }
    // A job may go on without moving its run.
    let going = page.workflow_runs.iter().filter(|run| run["status"] != "completed");
    poll.changes.invalidated(going.map(|run| Id::Jobs(repo, id(run))));
    let from = cursor.runs.at();
    // The repositories hold counters that move by themselves.
    let stable = |run| api::without(run, &["repository", "head_repository"]);
    let page = page.workflow_runs.map(stable);
    for run in cursor.runs.pass_newest(poll, page, api::PAGE, updated).iter() {
        run_moved(&mut poll.changes, repo, id(run));
        if at(run, "created_at").is_none_or(|at| at >= from) {
            let workflow = run["workflow_id"].as_u64().unwrap_or(0);
            poll.changes.children_changed([Id::Runs(repo), Id::WorkflowRuns(repo, workflow)]);
        }
    }
    Ok(())
}

#[derive(Default, Serialize, Deserialize)]
struct Refs {
    branches: digest::Listing,
    tags: digest::Listing,
    /// Of what says that any ref may have moved.
    any: u64,
}

fn branches_and_tags(poll: &mut Poll, cursor: &mut Refs, repo: u64) -> Result<()> {
    let (branches, tags) = (first_page(github::branches(repo)), first_page(github::tags(repo)));
    let [answer, branches, tags] = poll.ask([github::repo(repo), branches, tags]);
    let (answer, branches, tags): (Repository, _, _) =
        (answer?.ok()?.json()?, branches?.ok()?, tags?.ok()?);
    // A push to what no first page shows moves the time of the last push.
    let beyond = [&branches, &tags].iter().any(|page| page.link("next").is_some());
    let pushed = if beyond { answer.pushed_at.as_str() } else { "" };
    let any = digest::of(&(pushed, &answer.default_branch));
    let (branches, tags): (Items<Value>, Items<Value>) = (branches.json()?, tags.json()?);

    let name = digest::of_member("name");
    let branches = poll.compare(&mut cursor.branches, &branches, &name, None);
    let tags = poll.compare(&mut cursor.tags, &tags, &name, None);
    let gone = branches.iter().chain(&tags).any(|news| news.gone > 0);
    if poll.moved(&mut cursor.any, any, api::ms(&answer.pushed_at)) || gone {
        refs::any_moved(&mut poll.changes, repo);
    }
    for (prefix, news) in [("refs/heads/", branches), ("refs/tags/", tags)] {
        for (one, came) in news.iter().flat_map(digest::News::each) {
            let full = format!("{prefix}{}", one["name"].as_str().unwrap_or_default());
            refs::moved(&mut poll.changes, repo, &answer.default_branch, &full, came);
        }
    }
    Ok(())
}

fn releases(poll: &mut Poll, cursor: &mut digest::Listing, repo: u64) -> Result<()> {
    let [page]: [Items<Value>; 1] = poll.read([first_page(github::releases(repo))])?;
    let page = page.map(release::stable);
    let newest = page.iter().filter_map(|release| at(release, "published_at")).max();
    let Some(news) = poll.compare(cursor, &page, digest::of_member("id"), newest) else {
        return Ok(());
    };
    poll.changes.children_changed([Id::Releases(repo)]).invalidated([Id::LatestRelease(repo)]);
    for (release, _) in news.each() {
        poll.changes.invalidated([Id::Release(repo, id(release))]);
        poll.changes.children_changed([Id::Assets(repo, id(release))]);
    }
    Ok(())
}

fn repository(poll: &mut Poll, cursor: &mut u64, repo: u64) -> Result<()> {
    let [answer] = poll.read([github::repo(repo)])?;
    let answer = api::without(answer, &["temp_clone_token"]);
    if poll.moved(cursor, digest::of(&answer), at(&answer, "updated_at")) {
        poll.changes.invalidated([Id::RepoJson(repo)]);
    }
    Ok(())
}

/// Which repositories an account has, under which names. Their own changes are not news here.
fn owner(poll: &mut Poll, cursor: &mut u64, owner: Id) -> Result<()> {
    let [repos]: [Items<Repository>; 1] =
        poll.read([first_page(repo::all_of(&owner)?.query("sort", "updated"))])?;
    let newest = repos.iter().filter_map(|repo| api::ms(&repo.updated_at)).max();
    let names = digest::sum(repos.iter().map(|repo| digest::of(&(repo.id, &repo.full_name))));
    if poll.moved(cursor, names, newest) {
        poll.changes.children_changed([owner]);
    }
    Ok(())
}
