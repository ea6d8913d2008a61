//! Pull requests.

use super::issues::sorted;
use super::{Ask, Found};
use crate::github::data::{Issue, Pull, Repo};
use crate::github::diff;
use crate::github::view::{changes, commits};

impl<'a> Ask<'a> {
    pub fn pulls(&self, repo: &'a Repo, rest: &[&str]) -> Option<Found> {
        match rest {
            [] => Some(self.pull_list(repo)),
            ["comments"] => {
                let all = repo.issues.values().filter_map(|i| Some((i.number, i.pull.as_ref()?)));
                let all = all.flat_map(|(n, pull)| pull.comments.iter().map(move |c| (n, c)));
                Some(self.page(all, |(n, c)| self.view.review_comment(repo, n, c)))
            }
            [number, rest @ ..] => {
                let number = number.parse().ok()?;
                let Some(issue) = repo.issues.get(&number) else {
                    return self.gone(repo, number);
                };
                let pull = issue.pull.as_ref()?;
                self.one_pull(repo, issue, pull, rest)
            }
        }
    }

    fn one_pull(
        &self,
        repo: &'a Repo,
        issue: &'a Issue,
        pull: &'a Pull,
        rest: &[&str],
    ) -> Option<Found> {
        let number = issue.number;
        match rest {
            [] => match self.media() {
                "diff" => Some(Found::Raw(
                    "application/vnd.github.diff; charset=utf-8",
                    diff::text(&changes(repo, pull)).into_bytes(),
                )),
                "patch" => Some(Found::Raw(
                    "application/vnd.github.patch; charset=utf-8",
                    diff::mail(&repo.git, &commits(repo, pull)).into_bytes(),
                )),
                _ => Some(Found::Dated(self.view.full_pull(repo, issue)?, issue.updated)),
            },
            ["commits"] => {
                let commits = commits(repo, pull).into_iter();
                let commits = commits.filter_map(|sha| self.view.commit(repo, sha));
                Some(self.page(commits, |value| value))
            }
            ["files"] => {
                let files = changes(repo, pull);
                Some(self.page(files.iter(), |file| self.view.file(repo, pull, file)))
            }
            ["reviews"] => {
                Some(self.page(pull.reviews.iter(), |r| self.view.review(repo, number, r)))
            }
            ["comments"] => {
                Some(self.page(pull.comments.iter(), |c| self.view.review_comment(repo, number, c)))
            }
            ["merge"] => pull.merged.map(|_| Found::NoContent),
            _ => None,
        }
    }

    fn pull_list(&self, repo: &'a Repo) -> Found {
        let state = self.query("state").unwrap_or("open");
        if !matches!(state, "open" | "closed" | "all") {
            return Found::Invalid(format!("{state} is not a valid state"));
        }
        let (head, base) = (self.query("head"), self.query("base"));
        let pulls = repo.issues.values().filter(|issue| {
            issue.pull.as_ref().is_some_and(|pull| {
                (state == "all" || (state == "open") == issue.open)
                    && base.is_none_or(|base| pull.base == base)
                    && head.is_none_or(|h| h.split_once(':').map(|x| x.1) == Some(&pull.head))
            })
        });
        let sort = self.query("sort").unwrap_or("created");
        // The default direction is ascending for every sort but `created` and none.
        let ascending = match self.query("direction") {
            Some(direction) => direction == "asc",
            None => sort != "created",
        };
        let render = |issue: &Issue| self.view.pull(repo, issue).unwrap_or_default();
        match sort {
            "created" if ascending => self.page(pulls, render),
            "created" => self.page(pulls.rev(), render),
            "updated" => self.page(sorted(pulls, ascending, |i| (i.updated, i.number)), render),
            "popularity" | "long-running" => {
                let key = |i: &Issue| (i64::from(i.comments), i.number);
                self.page(sorted(pulls, ascending, key), render)
            }
            other => Found::Invalid(format!("{other} is not a valid sort")),
        }
    }
}
