//! From a request to the document it asks for. Everything here reads; nothing changes the data.

mod actions;
mod code;
mod issues;
mod list;
mod pulls;
mod search;

pub(crate) use actions::{Stored, signature, stored};

use axum::http::Method;
use serde_json::{Value, json};

use super::data::{AccountKind, Gone, Repo};
use super::view::View;
use crate::clock::{http_date, iso};
use crate::server::{Answer, Incoming};

/// The service's events listing goes no further back.
const EVENTS_SHOWN: usize = 300;

/// What a route found: the document, or one of GitHub's other answers.
pub(crate) enum Found {
    Json(Value),
    /// With the time for `Last-Modified`.
    Dated(Value, i64),
    /// A page of a listing: all its entries are counted, the page is rendered.
    Page(list::Page),
    /// Another media type than JSON.
    Raw(&'static str, Vec<u8>),
    /// The repository events listing, with GitHub's advice on how often to ask.
    Events(list::Page),
    Redirect(u16, String),
    Gone,
    Invalid(String),
    NoContent,
}

pub(crate) struct Ask<'a> {
    pub view: View<'a>,
    pub storage: &'a str,
    pub request: &'a Incoming,
    pub pairs: Vec<(String, String)>,
    /// Events after this one are held back from the events listing.
    pub last_event: u64,
}

impl<'a> Ask<'a> {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The media type without `application/vnd.github.` and without a suffix: `diff`, `raw`.
    pub fn media(&self) -> &str {
        let accept = self.request.header("accept").unwrap_or_default();
        let custom = accept.split(',').find_map(|part| {
            let part = part.trim().split(';').next()?;
            part.strip_prefix("application/vnd.github.")
        });
        let custom = custom.unwrap_or_default();
        let custom = custom.strip_prefix("v3.").unwrap_or(custom);
        custom.split('+').next().unwrap_or_default()
    }

    /// Nothing means 404.
    pub fn find(&self) -> Option<Found> {
        if self.request.method != Method::GET && self.request.method != Method::HEAD {
            return None;
        }
        let segments = self.request.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        match path.as_slice() {
            [] => Some(Found::Json(json!({
                "current_user_url": format!("{}/user", self.view.api),
                "rate_limit_url": format!("{}/rate_limit", self.view.api),
            }))),
            ["meta"] => Some(Found::Json(json!({"verifiable_password_authentication": false}))),
            ["user"] => self.viewer(),
            ["user", "orgs"] => {
                let world = self.view.world;
                let found = world.organizations.iter().filter_map(|login| world.account(login));
                Some(self.page(found, |account| self.view.organization(account)))
            }
            ["user", "repos"] => {
                let world = self.view.world;
                let affiliation = self.pairs.iter().find(|(name, _)| name == "affiliation");
                let owned_alone = affiliation.is_some_and(|(_, kinds)| kinds == "owner");
                let mine = |login: &str| {
                    login == world.viewer
                        || !owned_alone && world.organizations.iter().any(|o| o == login)
                };
                self.repos(|repo| mine(&repo.owner))
            }
            ["search", "issues"] => Some(self.search()),
            ["search", "code"] => Some(self.search_code()),
            ["search", "commits"] => Some(self.search_commits()),
            ["search", "repositories"] => Some(self.search_repositories()),
            ["users", login] => {
                let account = self.view.world.account(login)?;
                Some(Found::Dated(self.view.profile(account, false), account.created))
            }
            ["users", login, "repos"] => {
                let login = &self.view.world.account(login)?.login;
                self.repos(|repo| repo.owner == *login)
            }
            ["users", login, "orgs"] => {
                let world = self.view.world;
                world.account(login)?;
                let member = login.eq_ignore_ascii_case(&world.viewer);
                let found = world.organizations.iter().filter(|_| member);
                let found = found.filter_map(|login| world.account(login));
                Some(self.page(found, |account| self.view.organization(account)))
            }
            ["orgs", login, rest @ ..] => {
                let account = self.view.world.account(login)?;
                if account.kind != AccountKind::Organization {
                    return None;
                }
                match rest {
                    [] => {
                        let value = self.view.organization_profile(account);
                        Some(Found::Dated(value, account.created))
                    }
                    ["repos"] => self.repos(|repo| repo.owner == account.login),
                    _ => None,
                }
            }
            ["repos", owner, name, rest @ ..] => {
                let full_name = format!("{owner}/{name}");
                match self.view.world.repo(&full_name) {
                    Some(repo) => self.repo(repo, rest),
                    None => self.moved(&full_name),
                }
            }
            ["repositories", id, rest @ ..] => {
                let repo = self.view.world.repos.get(&id.parse().ok()?)?;
                self.repo(repo, rest)
            }
            _ => None,
        }
    }

    fn viewer(&self) -> Option<Found> {
        let account = self.view.world.account(&self.view.world.viewer)?;
        Some(Found::Dated(self.view.profile(account, true), account.created))
    }

    /// By default GitHub sorts by full name.
    fn repos(&self, wanted: impl Fn(&Repo) -> bool) -> Option<Found> {
        let mut repos: Vec<&Repo> = self.view.world.repos.values().filter(|r| wanted(r)).collect();
        match self.query("sort").unwrap_or("full_name") {
            "full_name" => repos.sort_by_key(|r| r.full_name().to_lowercase()),
            "created" => repos.sort_by_key(|r| std::cmp::Reverse(r.created)),
            "updated" => repos.sort_by_key(|r| std::cmp::Reverse(r.updated)),
            "pushed" => repos.sort_by_key(|r| std::cmp::Reverse(r.pushed)),
            other => return Some(Found::Invalid(format!("{other} is not a valid sort"))),
        }
        let natural =
            if self.query("sort").is_none_or(|s| s == "full_name") { "asc" } else { "desc" };
        if self.query("direction").is_some_and(|direction| direction != natural) {
            repos.reverse();
        }
        Some(self.page(repos.into_iter(), |repo| self.view.repo(repo)))
    }

    /// A renamed or transferred repository answers 301 to its id, everything below it too.
    fn moved(&self, full_name: &str) -> Option<Found> {
        let id = self.view.world.former.get(&full_name.to_lowercase())?;
        self.view.world.repos.get(id)?;
        let rest: String =
            self.request.path.splitn(5, '/').nth(4).map_or(String::new(), |r| format!("/{r}"));
        let query = self.request.query.as_ref().map_or(String::new(), |q| format!("?{q}"));
        let location = format!("{}/repositories/{id}{rest}{query}", self.view.api);
        Some(Found::Redirect(301, location))
    }

    fn repo(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        match rest {
            [] => Some(Found::Dated(self.view.full_repo(repo), repo.updated)),
            ["issues", rest @ ..] => self.issues(repo, rest),
            ["pulls", rest @ ..] => self.pulls(repo, rest),
            ["actions", rest @ ..] => self.actions(repo, rest),
            ["labels"] => Some(self.page(repo.labels.iter(), |l| self.view.label(repo, l))),
            ["milestones"] => {
                Some(self.page(repo.milestones.iter(), |m| self.view.milestone(repo, m)))
            }
            ["events"] => {
                let shown = repo.events.iter().rev().filter(|(n, _)| *n <= self.last_event);
                match self.page(shown.take(EVENTS_SHOWN), |(_, event)| event.clone()) {
                    Found::Page(page) => Some(Found::Events(page)),
                    other => Some(other),
                }
            }
            ["commits", sha, "check-runs"] => self.check_runs(repo, sha),
            ["assignees"] => {
                let people = self.view.world.accounts.values();
                let people = people.filter(|a| a.kind == AccountKind::User);
                Some(self.page(people, |account| self.view.user(&account.login)))
            }
            rest => self.code(repo, rest),
        }
    }

    /// A number that no longer answers: deleted or transferred.
    pub fn gone(&self, repo: &Repo, number: u64) -> Option<Found> {
        match repo.gone.get(&number)? {
            Gone::Deleted => Some(Found::Gone),
            Gone::Transferred { repo, number } => Some(Found::Redirect(
                301,
                format!("{}/repositories/{repo}/issues/{number}", self.view.api),
            )),
        }
    }
}

/// GitHub's error document.
pub(crate) fn error(status: u16, message: &str) -> Answer {
    let body = json!({
        "message": message, "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    Answer::new(status, "application/json; charset=utf-8", body.to_string())
}

/// The answer for what a route found, before validators and rate-limit headers.
pub(crate) fn answer(found: Option<Found>, ask: &Ask, poll_interval: u32) -> Answer {
    let json = |value: &Value| {
        let text = value.to_string();
        Answer::new(200, "application/json; charset=utf-8", text)
    };
    match found {
        None => error(404, "Not Found"),
        Some(Found::Json(value)) => json(&value),
        Some(Found::Dated(value, at)) => json(&value).with("last-modified", http_date(at)),
        Some(Found::Page(page)) => page.answer(ask),
        Some(Found::Events(page)) => {
            page.answer(ask).with("x-poll-interval", poll_interval.to_string())
        }
        Some(Found::Raw(content_type, body)) => Answer::new(200, content_type, body),
        Some(Found::Redirect(status, location)) => {
            let body = match status {
                301 => json!({
                    "message": "Moved Permanently", "url": location,
                    "documentation_url": "https://docs.github.com/rest",
                })
                .to_string(),
                _ => String::new(),
            };
            let content_type = if body.is_empty() { "text/html" } else { "application/json" };
            let content_type = format!("{content_type}; charset=utf-8");
            Answer::new(status, &content_type, body).with("location", location)
        }
        Some(Found::Gone) => error(410, "This issue was deleted"),
        Some(Found::Invalid(message)) => {
            let mut answer = error(422, "Validation Failed");
            let body = json!({
                "message": "Validation Failed", "errors": [{"message": message}],
                "documentation_url": "https://docs.github.com/rest", "status": "422",
            });
            answer.body = body.to_string().into();
            answer
        }
        Some(Found::NoContent) => Answer::new(204, "application/json; charset=utf-8", ""),
    }
}

/// The form of a `since` or `updated_at` as text, compared as GitHub does: by the second.
pub(crate) fn at_or_after(time: i64, since: Option<&str>) -> bool {
    match since {
        None => true,
        Some(since) => match crate::clock::parse_iso_ms(since) {
            Some(ms) => time >= ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0),
            None => iso(time).as_str() >= since,
        },
    }
}
