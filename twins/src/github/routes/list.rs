//! Pages and their `Link` header.

use serde_json::{Value, json};

use super::{Ask, Found};
use crate::server::{Answer, encode};

/// GitHub's default and largest page.
const PER_PAGE: usize = 30;
const MAX_PER_PAGE: usize = 100;

pub(crate) struct Page {
    entries: Vec<Value>,
    page: usize,
    per_page: usize,
    total: usize,
    /// The member that holds the entries beside `total_count`; nothing for a plain array.
    wrapped: Option<&'static str>,
    /// The path that the links name.
    path: String,
}

impl<'a> Ask<'a> {
    /// One page of these entries: all are counted, only the page is rendered.
    pub fn page<T>(&self, entries: impl Iterator<Item = T>, render: impl Fn(T) -> Value) -> Found {
        let number = |name: &str, default: usize| match self.query(name) {
            None => Some(default),
            Some(text) => text.parse::<usize>().ok(),
        };
        let Some(per_page) = number("per_page", PER_PAGE) else {
            return Found::Invalid("per_page is not a number".to_owned());
        };
        let Some(page) = number("page", 1) else {
            return Found::Invalid("page is not a number".to_owned());
        };
        let per_page = if per_page == 0 { PER_PAGE } else { per_page.min(MAX_PER_PAGE) };
        let page = page.max(1);
        let (first, mut total, mut shown) = ((page - 1).saturating_mul(per_page), 0, Vec::new());
        for entry in entries {
            if total >= first && shown.len() < per_page {
                shown.push(render(entry));
            }
            total += 1;
        }
        Found::Page(Page {
            entries: shown,
            page,
            per_page,
            total,
            wrapped: None,
            path: self.stable_path(),
        })
    }

    /// The same with `total_count` beside it.
    pub fn wrapped<T>(
        &self,
        member: &'static str,
        entries: impl Iterator<Item = T>,
        render: impl Fn(T) -> Value,
    ) -> Found {
        match self.page(entries, render) {
            Found::Page(page) => Found::Page(Page { wrapped: Some(member), ..page }),
            other => other,
        }
    }

    /// GitHub's links name a repository by its id, whatever name was asked for.
    fn stable_path(&self) -> String {
        let segments = self.request.segments();
        if let [first, owner, name, ..] = segments.as_slice()
            && first == "repos"
            && let Some(repo) = self.view.world.repo(&format!("{owner}/{name}"))
        {
            let rest = self.request.path.splitn(5, '/').nth(4).unwrap_or_default();
            return format!("/repositories/{}/{rest}", repo.id);
        }
        self.request.path.clone()
    }
}

impl Page {
    pub fn answer(self, ask: &Ask) -> Answer {
        let entries = Value::Array(self.entries);
        let body = match self.wrapped {
            // A search says besides whether it ran out of time.
            Some("items") => json!({
                "total_count": self.total, "incomplete_results": false, "items": entries,
            }),
            Some(member) => json!({"total_count": self.total, member: entries}),
            None => entries,
        };
        let mut answer = Answer::new(200, "application/json; charset=utf-8", body.to_string());
        let last = self.total.div_ceil(self.per_page).max(1);
        let link = |page: usize, relation: &str| {
            let mut query = String::new();
            for (name, value) in ask.pairs.iter().filter(|(name, _)| name != "page") {
                query.push_str(&format!("{}={}&", encode(name, ""), encode(value, "")));
            }
            format!("<{}{}?{query}page={page}>; rel=\"{relation}\"", ask.view.api, self.path)
        };
        let mut links = Vec::new();
        if self.page > 1 {
            links.push(link((self.page - 1).min(last), "prev"));
        }
        if self.page < last {
            links.push(link(self.page + 1, "next"));
            links.push(link(last, "last"));
        }
        if self.page > 1 {
            links.push(link(1, "first"));
        }
        if !links.is_empty() {
            answer = answer.with("link", links.join(", "));
        }
        answer
    }
}
