//! Prompts with their arguments; what needs none is shown as the server renders it.

use crate::Id;
use crate::api::{self, Listed, Named};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Described {
    name: String,
    title: Option<String>,
    description: Option<String>,
    #[serde(default)]
    arguments: Items<Argument>,
}

#[derive(Clone, Debug, Deserialize)]
struct Argument {
    name: String,
    description: Option<String>,
    required: Option<bool>,
}

impl Named for Described {
    fn key(&self) -> &str {
        &self.name
    }

    fn id(&self) -> Id {
        Id::Prompt(self.name.clone())
    }
}

pub struct Prompt(Raw<Described>);

impl Object for Prompt {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("title", |p| optional(p.0.title.as_ref())),
        leaf("description", |p| document(p.0.description.clone().unwrap_or_default())),
        leaf("arguments.tsv", |p| arguments(&p.0.arguments)),
        leaf("prompt.json", |p| p.0.json.content(&[])),
        own("messages.md", |id| Ok(page(&rendered(id)?))).present_if(Prompt::needs_nothing),
        own("messages.json", |id| Ok(json_value(&rendered(id)?))).present_if(Prompt::needs_nothing),
    ];

    fn id(&self) -> Id {
        self.0.id()
    }
}

impl Prompt {
    fn needs_nothing(&self) -> bool {
        let arguments = &self.0.arguments;
        arguments.is_whole() && arguments.iter().all(|one| one.required != Some(true))
    }
}

fn arguments(all: &Items<Argument>) -> Content {
    let mut table = Table::new(["name", "required", "description"]);
    for one in all.iter() {
        let required = one.required.unwrap_or(false);
        table.row([json!(one.name), json!(required), json!(one.description)]);
    }
    table.noting(all);
    table.content(Form::Tsv)
}

#[derive(Deserialize)]
struct Answer {
    messages: Value,
}

fn rendered(id: &Id) -> Result<Value> {
    let Id::Prompt(name) = id else { return Err(Error::NotFound) };
    let answer: Answer = api::ask("prompts/get", &json!({ "name": name }))?;
    Ok(answer.messages)
}

/// Each message below the role of who says it. What is no text is shown as JSON.
fn page(messages: &Value) -> Content {
    let mut page = String::new();
    for message in messages.as_array().into_iter().flatten() {
        let (role, content) = (message["role"].as_str().unwrap_or("?"), &message["content"]);
        let text = match content["text"].as_str() {
            Some(text) => text.to_owned(),
            None => format!("```json\n{content:#}\n```"),
        };
        let space = if page.is_empty() { "" } else { "\n" };
        page.push_str(&format!("{space}## {}\n\n{text}\n", content::one_line(role)));
    }
    document(page)
}

fn all() -> Result<Listed<Raw<Described>>> {
    api::list("prompts/list")
}

pub fn list() -> Result<Listing<Id>> {
    Ok(all()?.entries(|one| Entry::object(one.name.clone(), &Prompt(one))))
}

pub fn find(name: &str) -> Result<Prompt> {
    Ok(Prompt(all()?.one(name)?))
}
