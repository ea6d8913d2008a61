//! Which issues a pull request closes when it is merged, as its text says (docs.github.com, "Linking a pull
//! request to an issue"), and which pull requests mention an issue.

use crate::Id;
use crate::api::{self, github};
use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;

/// An event of a timeline, as far as it tells of a mention.
#[derive(Deserialize)]
struct Event {
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    issue: Option<Mention>,
}

/// An issue or a pull request that mentions another.
#[derive(Deserialize)]
struct Mention {
    number: u64,
    #[serde(default, deserialize_with = "null")]
    title: String,
    #[serde(default, deserialize_with = "null")]
    body: String,
    #[serde(default, deserialize_with = "null")]
    state: String,
    #[serde(default, deserialize_with = "null")]
    html_url: String,
    pull_request: Option<Merged>,
    repository: Option<api::Repository>,
}

#[derive(Deserialize)]
struct Merged {
    merged_at: Option<String>,
}

/// `linked`: a line for each pull request that mentions this issue or pull request, and whether it closes it.
pub fn linked(thread: &Id) -> Result<Content> {
    let (Id::Issue(repo, number) | Id::Pull(repo, number)) = *thread else {
        return Err(Error::NotFound);
    };
    let events = api::pages(github::timeline(repo, number), usize::MAX, |page: Items<Event>| page)?;
    let mut table = Table::new(["repository", "number", "state", "closes", "title"]);
    let mut seen = Vec::new();
    for event in events.items.iter() {
        let Some(by) = event.source.as_ref().and_then(|source| source.issue.as_ref()) else {
            continue;
        };
        let Some(pull) = &by.pull_request else { continue };
        if seen.contains(&by.html_url) {
            continue;
        }
        seen.push(by.html_url.clone());
        let (place, here) = match &by.repository {
            Some(repository) => (Some(&repository.full_name), repository.id == repo),
            None => (None, false),
        };
        let state = if pull.merged_at.is_some() { "merged" } else { &by.state };
        let closes = here && issues(&by.body, &by.html_url).contains(&number);
        table.row([json!(place), json!(by.number), json!(state), json!(closes), json!(by.title)]);
    }
    table.noting(&events.items);
    Ok(table.content(Form::Tsv))
}

/// Numbers of issues of the same repository, in order, each once. `page` is the pull request's own.
pub fn issues(body: &str, page: &str) -> Vec<u64> {
    let here = page.rsplit_once("/pull/").map(|(repository, _)| format!("{repository}/issues/"));
    let text = without_comments(body);
    let words: Vec<&str> = text.split_whitespace().collect();
    let named = words.windows(2).filter(|pair| is_keyword(pair[0])).filter_map(|pair| {
        let word = pair[1];
        let number = here.as_ref().and_then(|here| word.strip_prefix(here.as_str()));
        let digits = number.or_else(|| word.strip_prefix('#'))?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        // `#12a` is no number.
        let ends = !digits[end..].starts_with(|c: char| c.is_alphanumeric());
        digits[..end].parse().ok().filter(|_| ends)
    });
    let mut numbers: Vec<u64> = named.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn is_keyword(word: &str) -> bool {
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let word = word.strip_suffix(':').unwrap_or(word).to_ascii_lowercase();
    let words = ["close", "closes", "closed", "fix", "fixes", "fixed"];
    words.contains(&word.as_str()) || ["resolve", "resolves", "resolved"].contains(&word.as_str())
}

/// The text without HTML comments: templates hold examples in them.
fn without_comments(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, comment)) = rest.split_once("<!--") {
        shown.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::issues;

    #[test]
    fn the_issues_are_those_that_a_keyword_stands_before() {
        let page = "https://github.com/acme/api/pull/9";
        for (body, closed) in [
            ("Fixes #12.", &[12][..]),
            ("(closes: #3) and RESOLVED\n#2, fix #3", &[2, 3]),
            ("fixes https://github.com/acme/api/issues/7", &[7]),
            ("fixes https://github.com/other/api/issues/7 and acme/web#4", &[]),
            ("<!-- Fixes #1 --> see #2, prefixes #3, closes #4a, closes #, fixes", &[]),
            ("closes <!-- #5", &[]),
            ("fixes #99999999999999999999", &[]),
            ("fixes #\u{e9} fixes \u{1f600}", &[]),
        ] {
            assert_eq!(issues(body, page), closed, "{body}");
        }
        assert_eq!(issues("fixes #1 fixes /issues/2", ""), [1]);
    }
}
