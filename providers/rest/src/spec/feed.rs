//! What tells of an object's changes, and what it sees of them.

use super::{Fault, Lines, Object, raw};
use crate::template::{Field, Template};
use omnifs_sdk::time;
use toml::Spanned;

/// A poll, and what it proves.
#[derive(Debug)]
pub struct Feed {
    pub by: By,
    pub sees: Sees,
    /// The objects whose ids say what is asked for: one scope for each set of them, in the order of the path.
    pub fields: Vec<usize>,
}

#[derive(Debug)]
pub enum By {
    /// The list as a whole, or the one object, compared with what it was.
    Whole,
    /// What has changed lately.
    Lately(Lately),
}

#[derive(Debug)]
pub struct Lately {
    pub poll: Template,
    /// Where the list is in its answer.
    pub items: String,
    /// Items of a full page, behind which there may be more.
    pub size: usize,
    /// Where an item says that it was deleted.
    pub deleted: Option<String>,
    /// How a time is written, where the request names one. `None`: it brings the newest.
    pub since: Option<Form>,
}

/// How a service writes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Rfc3339,
    Seconds,
    Milliseconds,
}

/// What no poll misses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sees {
    pub changes: bool,
    pub creations: bool,
    pub deletions: bool,
}

impl Sees {
    /// Whatever can become of a list.
    pub fn all(self) -> bool {
        self.changes && self.creations && self.deletions
    }
}

impl Form {
    pub fn write(self, ms: u64) -> String {
        match self {
            Form::Rfc3339 => time::rfc3339(ms),
            Form::Seconds => (ms / 1000).to_string(),
            Form::Milliseconds => ms.to_string(),
        }
    }
}

/// The feed of `object`. `template` reads a request.
pub(super) fn read(
    lines: Lines<'_>,
    name: &Spanned<String>,
    given: raw::Feed,
    object: &Object,
    template: impl Fn(&Spanned<String>) -> Result<Template, Fault>,
) -> Result<Feed, Fault> {
    let mut sees = Sees::default();
    for word in given.sees.get_ref() {
        match word.as_str() {
            "changes" => sees.changes = true,
            "creations" if object.is_listed => sees.creations = true,
            "deletions" if object.is_listed => sees.deletions = true,
            "creations" | "deletions" => {
                let why = "what has no list is neither made nor deleted: sees = [\"changes\"]";
                return Err(lines.refuse(&given.sees, why));
            }
            _ => {
                let why =
                    "a feed sees \"changes\", \"creations\" and \"deletions\", or some of these";
                return Err(lines.refuse(&given.sees, why));
            }
        }
    }
    if given.sees.get_ref().is_empty() {
        return Err(lines.refuse(&given.sees, "a feed that sees nothing is none"));
    }
    let pointer = |text: Option<Spanned<String>>| match text {
        Some(text) if !super::is_pointer(text.get_ref()) => {
            Err(lines.refuse(&text, "a pointer is empty or begins with `/`"))
        }
        text => Ok(text.map(Spanned::into_inner)),
    };
    let is_since = match given.by.get_ref().as_str() {
        "whole" => {
            let odd = given.poll.as_ref().or(given.items.as_ref());
            let odd = odd.or(given.deleted.as_ref()).or(given.time.as_ref());
            if odd.is_some() || given.size.is_some() {
                let why =
                    "a feed by \"whole\" asks as the object does: it has `by` and `sees` alone";
                return Err(lines.refuse(odd.unwrap_or(&given.by), why));
            }
            let request = if object.is_listed { &object.list } else { &object.get };
            let fields = request.iter().flat_map(Template::needs).collect();
            return Ok(Feed { by: By::Whole, sees, fields: in_order(fields) });
        }
        "since" => true,
        "newest" => false,
        _ => {
            let why = "a feed is by \"whole\", \"since\" or \"newest\"";
            return Err(lines.refuse(&given.by, why));
        }
    };
    let (Some(poll), Some(size)) = (&given.poll, given.size.filter(|size| *size > 0)) else {
        let why = "such a feed has a request (poll), and says how many items a full page of it has (size)";
        return Err(lines.refuse(&given.by, why));
    };
    if !object.is_listed || object.modified.is_none() {
        let why = "such a feed goes by the time of the last change: say where that is, as `modified` of the object";
        return Err(lines.refuse(name, why));
    }
    if sees.deletions && given.deleted.is_none() {
        let why =
            "what was deleted is in no such answer, unless an item says so: deleted = POINTER";
        return Err(lines.refuse(&given.sees, why));
    }
    let request = template(poll)?;
    if request.has(Field::Since) != is_since {
        let why = match is_since {
            true => "the request of a feed by \"since\" has {since} in it",
            false => "{since} is of a feed by \"since\"",
        };
        return Err(lines.refuse(poll, why));
    }
    let form = match given.time.as_ref().map(|form| form.get_ref().as_str()) {
        None | Some("rfc3339") => Form::Rfc3339,
        Some("seconds") => Form::Seconds,
        Some("milliseconds") => Form::Milliseconds,
        Some(_) => {
            let why = "a time is written as \"rfc3339\", in \"seconds\" or in \"milliseconds\"";
            return Err(lines.refuse(given.time.as_ref().unwrap_or(name), why));
        }
    };
    let fields = in_order(request.needs().collect());
    let items = pointer(given.items)?.unwrap_or_else(|| object.items.clone());
    let (deleted, since) = (pointer(given.deleted)?, is_since.then_some(form));
    let by = By::Lately(Lately { poll: request, items, size, deleted, since });
    Ok(Feed { by, sees, fields })
}

/// Each once.
fn in_order(mut fields: Vec<usize>) -> Vec<usize> {
    fields.sort_unstable();
    fields.dedup();
    fields
}
