//! One issue: its leaves.

use crate::api::{Issue, Person};
use crate::{Id, comment};
use omnifs_sdk::*;
use serde_json::json;

impl Object for Issue {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("title", |i: &Self| scalar(&i.title)),
        leaf("description.md", |i| document(i.description.as_deref().unwrap_or_default())),
        leaf("state", |i| scalar(&i.state.name)),
        leaf("priority", |i| scalar(&i.priority_label)),
        leaf("assignee", |i| optional(i.assignee.as_ref().map(|person| &person.display_name))),
        leaf("labels", |i| lines(i.labels.iter().map(|label| &label.name))),
        leaf("estimate", |i| optional(i.estimate)),
        leaf("cycle", |i| optional(i.cycle.as_ref().map(|cycle| cycle.number))),
        leaf("project", |i| optional(i.project.as_ref().map(|project| &project.name))),
        leaf("parent", |i| optional(i.parent.as_ref().map(|parent| &parent.identifier))),
        leaf("due", |i| optional(i.due_date.as_ref())),
        leaf("created", |i: &Self| scalar(&i.created_at)),
        leaf("updated", |i| scalar(&i.updated_at)),
        leaf("url", |i| scalar(&i.url)),
        dir_holding("comments", comment::entries).present_if(|i| i.has_comments),
        dir("comments", |i: &Self| Id::Comments(i.id.clone())).present_if(|i| !i.has_comments),
        leaf("issue.md", Issue::document),
        leaf("issue.json", omnifs_sdk::json),
    ];

    fn id(&self) -> Id {
        Id::Issue(self.id.clone())
    }

    fn modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.updated_at)
    }
}

impl Issue {
    pub fn is_trashed(&self) -> bool {
        self.trashed == Some(true)
    }

    /// Front matter and the description, without comments.
    fn document(&self) -> Content {
        let number =
            |value: f64| if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
        let person = |person: &Option<Person>| json!(person.as_ref().map(|who| &who.display_name));
        let labels: Vec<_> = self.labels.iter().map(|label| &label.name).collect();
        let fields = [
            ("id", json!(self.identifier)),
            ("title", json!(self.title)),
            ("state", json!(self.state.name)),
            ("priority", json!(self.priority_label)),
            ("assignee", person(&self.assignee)),
            ("labels", json!(labels)),
            ("estimate", json!(self.estimate.map(number))),
            ("cycle", json!(self.cycle.as_ref().map(|cycle| number(cycle.number)))),
            ("project", json!(self.project.as_ref().map(|project| &project.name))),
            ("parent", json!(self.parent.as_ref().map(|parent| &parent.identifier))),
            ("due", json!(self.due_date)),
            ("creator", person(&self.creator)),
            ("created", json!(self.created_at)),
            ("updated", json!(self.updated_at)),
            ("url", json!(self.url)),
        ];
        markdown::page(&fields, self.description.as_deref().unwrap_or_default())
    }
}
