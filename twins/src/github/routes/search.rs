//! The searches among issues, pull requests, commits and repositories and in code, as far as the usual
//! qualifiers go.

use serde_json::json;

use super::{Ask, Found};
use crate::github::data::{Issue, Repo};
use crate::text::Text;

/// GitHub's own bound.
const LONGEST: usize = 256;

impl Ask<'_> {
    /// The words of the query, and the repositories that it names.
    fn searched(&self) -> Result<(Vec<String>, Vec<&Repo>), Found> {
        let query = self.query("q").unwrap_or_default();
        let words = words(query);
        let plain: usize = words.iter().filter(|word| !word.contains(':')).map(String::len).sum();
        if words.is_empty() || plain > LONGEST {
            return Err(Found::Invalid("The search is empty or too long.".to_owned()));
        }
        let named: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix("repo:")).collect();
        let repos: Vec<&Repo> =
            named.iter().filter_map(|name| self.view.world.repo(name)).collect();
        if repos.is_empty() {
            let text = "The listed users and repositories cannot be searched";
            return Err(Found::Invalid(text.to_owned()));
        }
        Ok((words, repos))
    }

    pub fn search(&self) -> Found {
        let (words, repos) = match self.searched() {
            Ok(searched) => searched,
            Err(refused) => return refused,
        };
        let found = repos.into_iter().flat_map(|repo| {
            let hits = repo.issues.values().rev();
            hits.filter(|issue| words.iter().all(|word| fits(issue, word)))
                .map(move |issue| (repo, issue))
        });
        self.wrapped("items", found, |(repo, issue)| {
            let mut value = self.view.issue(repo, issue);
            value["score"] = json!(1.0);
            value
        })
    }

    /// The files of the default branches.
    pub fn search_code(&self) -> Found {
        let (words, repos) = match self.searched() {
            Ok(searched) => searched,
            Err(refused) => return refused,
        };
        let found = repos.into_iter().flat_map(|repo| {
            let head = repo.branch(&repo.default_branch).unwrap_or_default();
            let commit = repo.git.commits.get(head);
            let files = commit.map(|commit| repo.git.walk(&commit.tree)).unwrap_or_default();
            let hits = files.into_iter().filter(|(path, entry)| {
                let content = repo.git.blobs.get(&entry.oid);
                content.is_some_and(|c| words.iter().all(|word| holds(path, c, word)))
            });
            hits.map(move |(path, entry)| (repo, head, path, entry))
        });
        self.wrapped("items", found, |(repo, head, path, entry)| {
            self.view.code_hit(repo, &path, entry, head)
        })
    }
}

impl Ask<'_> {
    /// Commits of the default branches.
    pub fn search_commits(&self) -> Found {
        let (words, repos) = match self.searched() {
            Ok(searched) => searched,
            Err(refused) => return refused,
        };
        let found = repos.into_iter().flat_map(|repo| {
            let head = repo.branch(&repo.default_branch).unwrap_or_default();
            let commits = repo.git.between("", head).into_iter().rev();
            let hits = commits.filter(|sha| {
                let message =
                    repo.git.commits.get(*sha).map(|commit| commit.message.to_lowercase());
                let has = |word: &String| {
                    word.starts_with("repo:")
                        || message.as_ref().is_some_and(|m| m.contains(&word.to_lowercase()))
                };
                words.iter().all(has)
            });
            hits.map(move |sha| (repo, sha))
        });
        self.wrapped("items", found, |(repo, sha)| {
            let mut value = self.view.commit(repo, sha).unwrap_or_default();
            value["repository"] = self.view.minimal_repo(repo);
            value["score"] = json!(1.0);
            value
        })
    }

    pub fn search_repositories(&self) -> Found {
        let words = words(self.query("q").unwrap_or_default());
        if words.is_empty() {
            return Found::Invalid("The search is empty.".to_owned());
        }
        let found = self.view.world.repos.values().filter(|repo| {
            let text = format!("{} {}", repo.full_name(), repo.description).to_lowercase();
            words.iter().all(|word| text.contains(&word.to_lowercase()))
        });
        self.wrapped("items", found, |repo| {
            let mut value = self.view.repo(repo);
            value["score"] = json!(1.0);
            value
        })
    }
}

/// The words of a query; what stands in double quotes is one.
fn words(query: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn fits(issue: &Issue, word: &str) -> bool {
    let Some((qualifier, value)) = word.split_once(':') else {
        let body = issue.body.as_ref().map(Text::get).unwrap_or_default();
        let text = format!("{}\n{body}", issue.title.get()).to_lowercase();
        return text.contains(&word.to_lowercase());
    };
    match (qualifier, value) {
        ("repo", _) => true,
        ("is" | "state", "open") => issue.open,
        ("is" | "state", "closed") => !issue.open,
        ("is" | "type", "issue") => issue.pull.is_none(),
        ("is" | "type", "pr" | "pull-request") => issue.pull.is_some(),
        ("label", name) => issue.labels.iter().any(|label| label.eq_ignore_ascii_case(name)),
        ("author", login) => *issue.author == *login,
        ("assignee", login) => issue.assignees.iter().any(|assignee| **assignee == *login),
        _ => false,
    }
}

fn holds(path: &str, content: &[u8], word: &str) -> bool {
    let Some((qualifier, value)) = word.split_once(':') else {
        return String::from_utf8_lossy(content).to_lowercase().contains(&word.to_lowercase());
    };
    match qualifier {
        "repo" => true,
        "path" => path.contains(value),
        "filename" => path.rsplit('/').next() == Some(value),
        "extension" => path.rsplit_once('.').is_some_and(|(_, end)| end == value),
        _ => false,
    }
}
