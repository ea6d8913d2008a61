//! Tools as they are described. None is ever called.

use crate::Id;
use crate::api::{self, Listed, Named};
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    name: String,
    title: Option<String>,
    description: Option<String>,
    input_schema: Option<Value>,
    output_schema: Option<Value>,
}

impl Named for Described {
    fn key(&self) -> &str {
        &self.name
    }

    fn id(&self) -> Id {
        Id::Tool(self.name.clone())
    }
}

pub struct Tool(Raw<Described>);

impl Object for Tool {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("title", |t| optional(t.0.title.as_ref())),
        leaf("description", |t| document(t.0.description.clone().unwrap_or_default())),
        leaf("parameters.tsv", |t| parameters(t.0.input_schema.as_ref())),
        leaf("input-schema.json", |t| schema(t.0.input_schema.as_ref())),
        leaf("output-schema.json", |t: &Tool| schema(t.0.output_schema.as_ref()))
            .present_if(|t| t.0.output_schema.is_some()),
        leaf("tool.json", |t| t.0.json.content(&[])),
    ];

    fn id(&self) -> Id {
        self.0.id()
    }
}

fn schema(schema: Option<&Value>) -> Content {
    schema.map(json_value).unwrap_or_default()
}

/// The members of the object that the tool takes, by their names.
fn parameters(schema: Option<&Value>) -> Content {
    let mut table = Table::new(["name", "type", "required", "values", "description"]);
    let none = Value::Null;
    let schema = schema.unwrap_or(&none);
    for (name, one) in schema["properties"].as_object().into_iter().flatten() {
        let mut required = schema["required"].as_array().into_iter().flatten();
        let required = required.any(|other| other == name.as_str());
        let (kind, values) = (one["type"].clone(), one["enum"].clone());
        table.row([json!(name), kind, json!(required), values, one["description"].clone()]);
    }
    table.content(Form::Tsv)
}

fn all() -> Result<Listed<Raw<Described>>> {
    api::list("tools/list")
}

pub fn list() -> Result<Listing<Id>> {
    Ok(all()?.entries(|one| Entry::object(one.name.clone(), &Tool(one))))
}

pub fn find(name: &str) -> Result<Tool> {
    Ok(Tool(all()?.one(name)?))
}
