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
use crate::webhook::{self, Thread};
use crate::{Id, release, repo};
use omnifs_sdk::http::{Request, Response};
use omnifs_sdk::poll::{Poll, digest, since};
use omnifs_sdk::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::mem::take;

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
    // The repository is gone, or the token may no longer see it, or not this part of it.
    match polled {
        Err(Error::NotFound) => match github::repo(repo).ok() {
            Err(Error::NotFound) => {
                let mut progress = Progress::default();
                progress.changes.removed([Id::Repo(repo)]).gap(position.scope.as_str());
                Ok(progress)
            }
            Err(error) => Err(error),
            Ok(_) => Err(Error::Denied("api: 404 in a repository that is shown".to_owned())),
        },
        other => other,
    }
}

/// What a listing holds, those that cannot be read aside: nothing where the repository has none of it.
fn values(answer: Result<Response>) -> Result<Items<Value>> {
    match answer.and_then(Response::ok) {
        Err(Error::NotFound | Error::Denied(_)) => Ok(Items::default()),
        answer => answer?.json(),
    }
}

fn at(item: &Value, member: &str) -> Option<u64> {
    api::ms(item[member].as_str()?)
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
    /// How many issues there are, and the number of the last one by age.
    count: Option<(u64, u64)>,
    /// Whoever carries one of these shows its name, and nothing says who does.
    labels: digest::Known,
    milestones: digest::Known,
    turn: u8,
}

fn issues(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, held) = Poll::begin::<Issues>(position);
    let held_before = held.is_some();
    let mut cursor = match held {
        Some(cursor) => cursor,
        None => {
            if position.since == 0 {
                // For its time.
                poll.note(github::repo(repo).ok()?);
            }
            let mark = || Mark::new(poll.beginning());
            Issues { issues: mark(), comments: mark(), events: mark(), ..Issues::default() }
        }
    };
    let (turn, counted) = (cursor.turn % 3, cursor.count);
    cursor.turn = turn + 1;
    let in_turn = match turn {
        0 => last_by_age(repo, counted),
        1 => first_page(github::labels(repo)),
        _ => first_page(github::milestones(repo).query("state", "all")),
    };
    let [changed, said, events, in_turn] = poll.ask([
        since(all(repo), cursor.issues.from()),
        since(github::issue(repo, "comments"), cursor.comments.from()),
        first_page(github::issue(repo, "events")),
        in_turn,
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
    let odd: Vec<u64> = changed.odd().iter().filter_map(number).collect();
    poll.changes.invalidated(odd.iter().flat_map(|n| [Id::Issue(repo, *n), Id::Pull(repo, *n)]));
    let odd = said.odd().iter().filter_map(number);
    poll.changes.invalidated(odd.map(|id| Id::Comment(repo, id)));

    // Without a mark of what was there before, the new ones are among as many of the highest numbers.
    let known = match (held_before, &in_turn) {
        (true, _) => cursor.newest,
        (false, Ok(answer)) => newest(answer).unwrap_or(0).saturating_sub(changed.len() as u64),
        (false, Err(_)) => 0,
    };
    let (from, now) = (cursor.issues.at(), poll.now());
    let seen = |item: &Value| since::Seen::of(item, at(item, "updated_at"));
    for item in cursor.issues.pass(now, take(&mut changed), seen) {
        let Some(thread) = Thread::of(&item) else { continue };
        let is_new = thread.number > known;
        cursor.newest = cursor.newest.max(thread.number);
        if let Some((count, last)) = cursor.count.as_mut().filter(|_| is_new) {
            (*count, *last) = (*count + 1, thread.number.max(*last));
        }
        let closed = at(&item, "closed_at").is_some_and(|at| at >= from);
        // That an issue has become a pull request shows nowhere else.
        let back = item["state_reason"] == "reopened" || thread.is_pull && item["state"] == "open";
        thread.moved(&mut poll.changes, repo, is_new || closed || back);
        // Nothing says which of its comments was edited.
        poll.changes.invalidated(off.then(|| thread.comments(repo)));
    }
    for item in cursor.comments.pass(now, take(&mut said), seen) {
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
        let Some(thread) = Thread::of(&event["issue"]) else { continue };
        let moves =
            ["closed", "reopened", "transferred"].iter().any(|name| event["event"] == *name);
        thread.moved(&mut poll.changes, repo, moves);
    }
    if turn == 0 {
        count(&mut poll, repo, &mut cursor, counted, in_turn)?;
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
    since::pages(poll, first, api::PAGE, MOST, at, |poll, from| {
        poll.note(since(request.clone(), from).ok()?).json()
    })
}

/// The issue or pull request that has as many older ones as were counted before it: while that is the
/// same one, none was deleted or transferred away, and the answer is a 304. The newest one where
/// nothing was counted.
fn last_by_age(repo: u64, count: Option<(u64, u64)>) -> Request {
    let request = all(repo).query("per_page", 1);
    let request = request.query("sort", "created");
    match count {
        Some((count, _)) => request.query("direction", "asc").query("page", count.max(1)),
        None => request.query("direction", "desc"),
    }
}

/// The number of the issue that was asked for as the last by age.
fn newest(answer: &Response) -> Result<u64> {
    let items: Items<Value> = answer.json()?;
    Ok(items.first().and_then(|item| item["number"].as_u64()).unwrap_or(0))
}

/// `counted` is what `answer` was asked with.
fn count(
    poll: &mut Poll,
    repo: u64,
    cursor: &mut Issues,
    counted: Option<(u64, u64)>,
    answer: Result<Response>,
) -> Result<()> {
    let mut answer = match answer.and_then(Response::ok) {
        Err(Error::NotFound | Error::Denied(_)) => return Ok(()),
        answer => answer?,
    };
    if let Some((_, last)) = counted {
        if newest(&answer)? == last {
            return Ok(());
        }
        poll.gap();
        answer = poll.note(last_by_age(repo, None).ok()?);
    }
    let last = newest(&answer)?;
    cursor.newest = cursor.newest.max(last);
    cursor.count = Some((api::last_page(&answer).unwrap_or(u64::from(last > 0)), last));
    Ok(())
}

#[derive(Default, Serialize, Deserialize)]
struct Runs {
    runs: Mark,
    /// The highest id seen, and how many runs there are.
    newest: u64,
    total: u64,
    /// Those that were not over and not among the newest.
    older: Vec<u64>,
    workflows: u64,
}

fn runs(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, held) = Poll::begin::<Runs>(position);
    let runs = || first_page(github::runs(repo));
    let [page, running, queued, workflows] = poll.ask([
        runs(),
        runs().query("status", "in_progress"),
        runs().query("status", "queued"),
        first_page(github::workflows(repo)),
    ]);
    let listed = |answer: Result<Response>, member: &str| -> Result<(u64, Vec<Value>)> {
        let answer: Value = answer?.ok()?.json()?;
        // The repositories hold counters that move by themselves.
        let stable = |run: &Value| api::without(run.clone(), &["repository", "head_repository"]);
        let items = answer[member].as_array().into_iter().flatten().map(stable);
        Ok((answer["total_count"].as_u64().unwrap_or(0), items.collect()))
    };
    let (total, page) = listed(page, "workflow_runs")?;
    let on_page: Vec<u64> = page.iter().map(id).collect();
    let mut older = listed(running, "workflow_runs")?.1;
    older.extend(listed(queued, "workflow_runs")?.1);
    let older = older.iter().map(id).filter(|id| !on_page.contains(id)).take(api::PAGE);
    let older: Vec<u64> = older.collect();
    let workflows = digest::of(&listed(workflows, "workflows")?.1);

    let first = held.is_none();
    let mut cursor =
        held.unwrap_or_else(|| Runs { runs: Mark::new(poll.beginning()), ..Runs::default() });
    let made = on_page.iter().filter(|id| **id > cursor.newest).count() as u64;
    if !first && total < cursor.total + made {
        // Some were deleted.
        poll.gap();
    }
    if std::mem::replace(&mut cursor.workflows, workflows) != workflows && !first {
        poll.changes.invalidated([Id::Workflows(repo)]);
    }
    let before = std::mem::replace(&mut cursor.older, older);
    for id in before.iter().chain(&cursor.older).filter(|id| !on_page.contains(id)) {
        webhook::run_moved(&mut poll.changes, repo, *id);
    }
    cursor.total = total;
    cursor.newest = on_page.into_iter().fold(cursor.newest, u64::max);
    // A job may go on without moving its run.
    let going = page.iter().filter(|run| run["status"] != "completed");
    poll.changes.invalidated(going.map(|run| Id::Jobs(repo, id(run))));
    let from = cursor.runs.at();
    let seen = |run: &Value| since::Seen::of(run, at(run, "updated_at"));
    for run in cursor.runs.pass(poll.now(), page, seen) {
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
    let (mut poll, held) = Poll::begin::<Refs>(position);
    let [answer, branches, tags] = poll.ask([
        github::repo(repo),
        first_page(github::branches(repo)),
        first_page(github::tags(repo)),
    ]);
    let (answer, branches, tags): (Repository, _, _) =
        (answer?.ok()?.json()?, branches?.ok()?, tags?.ok()?);
    // A push to what no first page shows moves the time of the last push.
    let beyond = [&branches, &tags].iter().any(|page| page.link("next").is_some());
    let pushed = if beyond { answer.pushed_at.as_str() } else { "" };
    let any = digest::of(&json!([pushed, answer.default_branch]));
    let (branches, tags): (Items<Value>, Items<Value>) = (branches.json()?, tags.json()?);

    let known = held.as_ref().map(|held| held.any);
    let mut cursor = held.unwrap_or_default();
    cursor.any = any;
    let name = |one: &Value| digest::of(&one["name"]);
    let news = [
        ("refs/heads/", cursor.branches.compare(&branches, name)),
        ("refs/tags/", cursor.tags.compare(&tags, name)),
    ];
    let all = poll.differs(known, any, api::ms(&answer.pushed_at));
    if all || known.is_some() && news.iter().any(|(_, news)| news.gone > 0) {
        webhook::any_ref_moved(&mut poll.changes, repo);
    }
    for (prefix, news) in news.iter().filter(|_| known.is_some()) {
        let changed = news.changed.iter().map(|one| (one, false));
        for (one, made) in changed.chain(news.came.iter().map(|one| (one, true))) {
            let full = format!("{prefix}{}", one["name"].as_str().unwrap_or_default());
            webhook::ref_moved(&mut poll.changes, repo, &answer.default_branch, &full, made);
        }
    }
    Ok(poll.end(&cursor, WALK))
}

fn releases(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, held) = Poll::begin::<digest::Listing>(position);
    let [page] = poll.ask([first_page(github::releases(repo))]);
    let page = page?.ok()?.json::<Items<Value>>()?.map(release::stable);
    let newest = page.iter().filter_map(|release| at(release, "published_at")).max();
    let first = held.is_none();
    let mut known = held.unwrap_or_default();
    let news = known.compare(&page, |release| digest::of(&release["id"]));
    if if first { poll.differs(None, 0, newest) } else { news.any } {
        poll.changes.children_changed([Id::Releases(repo)]);
        for release in news.changed.into_iter().chain(news.came).map(id) {
            poll.changes.invalidated([Id::Release(repo, release)]);
            poll.changes.children_changed([Id::Assets(repo, release)]);
        }
    }
    Ok(poll.end(&known, WALK))
}

fn repository(position: &Position, repo: u64) -> Result<Progress> {
    let (mut poll, held) = Poll::begin::<u64>(position);
    let [answer] = poll.ask([github::repo(repo)]);
    let answer = api::without(answer?.ok()?.json()?, &["temp_clone_token"]);
    let now = digest::of(&answer);
    if poll.differs(held, now, at(&answer, "updated_at")) {
        poll.changes.invalidated([Id::RepoJson(repo)]);
    }
    Ok(poll.end(&now, WALK))
}

/// Which repositories an account has, under which names. Their own changes are not news here.
fn owner(position: &Position, owner: Id) -> Result<Progress> {
    let (mut poll, held) = Poll::begin::<u64>(position);
    let (request, query) = repo::all_of(&owner)?;
    let request = query.iter().fold(request, |r, (name, value)| r.query(name, value));
    let [page] = poll.ask([first_page(request.query("sort", "updated"))]);
    let repos: Items<Repository> = page?.ok()?.json()?;
    let newest = repos.iter().filter_map(|repo| api::ms(&repo.updated_at)).max();
    let mut names: Vec<_> = repos.iter().map(|repo| (repo.id, &repo.full_name)).collect();
    names.sort();
    let now = digest::of(&names);
    if poll.differs(held, now, newest) {
        poll.changes.children_changed([owner]);
    }
    Ok(poll.end(&now, WALK))
}
