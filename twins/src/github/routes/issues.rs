//! Issues and comments.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::{Ask, Found, at_or_after};
use crate::clock::iso;
use crate::github::data::{Comment, Issue, Repo};
use crate::text::Text;

impl<'a> Ask<'a> {
    pub fn issues(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        match rest {
            [] => Some(self.issue_list(repo)),
            ["comments"] => Some(self.comment_list(repo)),
            ["events"] => {
                let events = repo.issue_events.iter().rev();
                let events = events.filter(|event| repo.issues.contains_key(&event.issue));
                Some(self.page(events, |event| self.view.issue_event(repo, event)))
            }
            ["comments", id] => {
                let comment = repo.comments.get(&id.parse().ok()?)?;
                let value = self.view.comment(repo, comment);
                Some(Found::Dated(value, comment.updated))
            }
            [number, rest @ ..] => {
                let number = number.parse().ok()?;
                let Some(issue) = repo.issues.get(&number) else {
                    return self.gone(repo, number);
                };
                match rest {
                    [] => Some(Found::Dated(self.view.issue(repo, issue), issue.updated)),
                    ["comments"] => {
                        let since = self.query("since");
                        let comments = repo.comments_of(number);
                        let comments = comments.filter(|c| at_or_after(c.updated, since));
                        Some(self.page(comments, |c| self.view.comment(repo, c)))
                    }
                    ["timeline"] => {
                        let mention = format!("#{number}");
                        let names = |by: &&Issue| {
                            let text = by.body.as_ref().map(Text::get).unwrap_or_default();
                            let mut ends = text.split(&mention).skip(1);
                            ends.any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
                        };
                        let mentions = repo.issues.values().filter(names);
                        Some(self.page(mentions, |by| {
                            let mut issue = self.view.issue(repo, by);
                            issue["repository"] = self.view.repo(repo);
                            json!({
                                "event": "cross-referenced", "created_at": iso(by.created),
                                "updated_at": iso(by.created), "actor": self.view.user(&by.author),
                                "source": {"type": "issue", "issue": issue},
                            })
                        }))
                    }
                    ["labels"] => {
                        let labels = issue.labels.iter().filter_map(|name| repo.label(name));
                        Some(self.page(labels, |label| self.view.label(repo, label)))
                    }
                    _ => None,
                }
            }
        }
    }

    fn issue_list(&self, repo: &'a Repo) -> Found {
        let since = self.query("since");
        let state = self.query("state").unwrap_or("open");
        if !matches!(state, "open" | "closed" | "all") {
            return Found::Invalid(format!("{state} is not a valid state"));
        }
        let labels: Vec<&str> =
            self.query("labels").map(|l| l.split(',').collect()).unwrap_or_default();
        let (creator, assignee) = (self.query("creator"), self.query("assignee"));
        let milestone = self.query("milestone");
        let wanted = |issue: &&Issue| {
            (state == "all" || (state == "open") == issue.open)
                && at_or_after(issue.updated, since)
                && labels.iter().all(|name| issue.labels.iter().any(|l| &**l == *name))
                && creator.is_none_or(|login| &*issue.author == login)
                && match assignee {
                    None | Some("*") => assignee.is_none() || !issue.assignees.is_empty(),
                    Some("none") => issue.assignees.is_empty(),
                    Some(login) => issue.assignees.iter().any(|a| &**a == login),
                }
                && match milestone {
                    None | Some("*") => milestone.is_none() || issue.milestone.is_some(),
                    Some("none") => issue.milestone.is_none(),
                    Some(number) => {
                        issue.milestone.map(|m| m.to_string()).as_deref() == Some(number)
                    }
                }
        };
        let ascending = self.query("direction") == Some("asc");
        let render = |issue: &Issue| -> Value { self.view.issue(repo, issue) };
        let issues = repo.issues.values().filter(wanted);
        match self.query("sort").unwrap_or("created") {
            // Numbers grow with the time of creation.
            "created" if ascending => self.page(issues, render),
            "created" => self.page(issues.rev(), render),
            "updated" => self.page(sorted(issues, ascending, |i| (i.updated, i.number)), render),
            "comments" => {
                self.page(sorted(issues, ascending, |i| (i64::from(i.comments), i.number)), render)
            }
            other => Found::Invalid(format!("{other} is not a valid sort")),
        }
    }

    /// Every comment of the repository; without `sort`, by ascending id.
    fn comment_list(&self, repo: &'a Repo) -> Found {
        let since = self.query("since");
        let comments = repo.comments.values().filter(|c| at_or_after(c.updated, since));
        let render = |comment: &Comment| -> Value { self.view.comment(repo, comment) };
        let ascending = self.query("direction") == Some("asc");
        match self.query("sort") {
            None => self.page(comments, render),
            Some("created") => {
                self.page(sorted(comments, ascending, |c| (c.created, c.id)), render)
            }
            Some("updated") => {
                self.page(sorted(comments, ascending, |c| (c.updated, c.id)), render)
            }
            Some(other) => Found::Invalid(format!("{other} is not a valid sort")),
        }
    }
}

pub(super) fn sorted<'a, T>(
    entries: impl Iterator<Item = &'a T>,
    ascending: bool,
    key: impl Fn(&T) -> (i64, u64),
) -> std::vec::IntoIter<&'a T> {
    let mut entries: Vec<&T> = entries.collect();
    if ascending {
        entries.sort_by_key(|entry| key(entry));
    } else {
        entries.sort_by_key(|entry| Reverse(key(entry)));
    }
    entries.into_iter()
}
