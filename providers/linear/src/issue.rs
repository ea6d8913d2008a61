//! One issue: its leaves.

use crate::api::Issue;
use crate::{Id, comment};
use omnifs_sdk::*;
use serde::Serialize;

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
        leaf("issue.json", |i| json(i)),
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

    /// Front matter, an empty line, the description.
    fn document(&self) -> Content {
        let mut text = "---\n".to_owned();
        let mut row = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\n"));
        row("id", &self.identifier);
        row("title", &quoted(&self.title));
        row("state", &quoted(&self.state.name));
        row("priority", &quoted(&self.priority_label));
        let names: Vec<&String> = self.labels.iter().map(|label| &label.name).collect();
        let person = |person: &Option<crate::api::Person>| {
            person.as_ref().map(|person| quoted(&person.display_name))
        };
        let optional = [
            ("assignee", person(&self.assignee)),
            ("labels", (!names.is_empty()).then(|| quoted(&names))),
            ("estimate", self.estimate.map(|points| points.to_string())),
            ("cycle", self.cycle.as_ref().map(|cycle| cycle.number.to_string())),
            ("project", self.project.as_ref().map(|project| quoted(&project.name))),
            ("parent", self.parent.as_ref().map(|parent| parent.identifier.clone())),
            ("due", self.due_date.clone()),
            ("creator", person(&self.creator)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                row(name, &value);
            }
        }
        row("created", &self.created_at);
        row("updated", &self.updated_at);
        row("url", &self.url);
        text.push_str("---\n");
        if let Some(description) = &self.description {
            text.push('\n');
            text.push_str(description);
            if !description.ends_with('\n') {
                text.push('\n');
            }
        }
        document(text)
    }
}

/// A JSON text, which YAML reads as well, whatever it holds.
fn quoted(value: &impl Serialize) -> String {
    // Strings and lists of strings have a JSON text.
    serde_json::to_string(value).unwrap_or_default()
}
