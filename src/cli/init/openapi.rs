//! A plan out of an OpenAPI description: one path that lists things, and one that answers one of them.

use super::plan::{Field, Kind, Plan};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What the user names of it.
pub struct Wanted<'a> {
    pub list: &'a str,
    pub item: &'a str,
    pub key: Option<&'a str>,
}

/// References that are followed one after the other, and parts of parts.
const DEEP: usize = 32;
/// Fields that are taken.
const MOST: usize = 40;

/// What the description says of it, as JSON or YAML.
///
/// # Errors
/// In one line: what it lacks.
pub fn plan(text: &str, wanted: &Wanted<'_>) -> Result<Plan, String> {
    let all: Value = match serde_json::from_str(text) {
        Ok(all) => all,
        Err(_) => serde_saphyr::from_str(text).map_err(|_| "it is neither JSON nor YAML")?,
    };
    let list = path(wanted.list)?;
    if list.contains('*') {
        return Err(format!("--list {}: write a value in place of {{...}}", wanted.list));
    }
    let item = path(wanted.item)?;
    if item.matches('*').count() != 1 {
        return Err(format!(
            "--item {}: it has one {{...}}, for what tells one from another",
            wanted.item
        ));
    }
    let (listed, named) = (answer(&all, wanted.list)?, answer(&all, wanted.item)?);
    let member = match (&listed["type"], array_member(&all, listed)) {
        (Value::String(kind), _) if kind == "array" => None,
        (_, Some(member)) => Some(member),
        _ => return Err(format!("{} answers no list", wanted.list)),
    };
    let mut fields = fields(&all, named);
    let parameter = wanted.item.split(['{', '}']).nth(1).unwrap_or_default();
    let candidates = wanted.key.map_or_else(|| vec![parameter, "id", "name"], |key| vec![key]);
    let at = candidates.iter().find_map(|name| fields.iter().position(|field| field.name == *name));
    let Some(at) = at else {
        return Err(format!(
            "{} answers no field {}; --key names the one that the path is made with",
            wanted.item,
            candidates.join(" or ")
        ));
    };
    let key = fields.remove(at);
    if !matches!(key.kind, Kind::Text | Kind::Whole) {
        return Err(format!("{} tells nothing apart: it is no text and no whole number", key.name));
    }
    fields.truncate(MOST);
    let title = all["info"]["title"].as_str().unwrap_or("What the service lists");
    Ok(Plan { summary: one_line(title), url: server(&all), list, item, member, key, fields })
}

fn one_line(text: &str) -> String {
    omnifs::logs::printable(text).chars().take(100).collect()
}

/// `/pets/{id}` as `/pets/*`.
fn path(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~{}".contains(c);
    if !text.starts_with('/') || !text.chars().all(plain) {
        return Err(format!("{text:?} is no path of letters, digits and /-_.~{{}}"));
    }
    let segment = |segment: &str| match segment.starts_with('{') && segment.ends_with('}') {
        true => Ok("*".to_owned()),
        false if segment.contains(['{', '}']) => {
            Err(format!("{text}: a parameter is a whole segment"))
        }
        false => Ok(segment.to_owned()),
    };
    let segments: Result<Vec<_>, String> = text.split('/').map(segment).collect();
    Ok(segments?.join("/"))
}

/// The first server that a provider may name; else a place to put one.
fn server(all: &Value) -> String {
    let url = all["servers"][0]["url"].as_str().unwrap_or_default().trim_end_matches('/');
    let plain = url::Url::parse(url).is_ok_and(|url| {
        url.scheme() == "https"
            && url.has_host()
            && url.query().is_none()
            && url.username().is_empty()
    });
    let url = if plain && !url.contains(['{', '}']) { url } else { "https://api.example.com" };
    url.to_owned()
}

/// The schema of what a GET answers when all is well.
fn answer<'a>(all: &'a Value, path: &str) -> Result<&'a Value, String> {
    let get = &all["paths"][path]["get"];
    if !get.is_object() {
        return Err(format!("it has no GET of {path}"));
    }
    let answers = ["200", "2XX", "default"].map(|code| resolved(all, &get["responses"][code]));
    let content = answers.into_iter().find_map(|answer| answer["content"].as_object());
    let json = content.and_then(|content| {
        let mut kinds = content.iter().filter(|(kind, _)| kind.contains("json"));
        kinds.next().map(|(_, answer)| resolved(all, &answer["schema"]))
    });
    json.filter(|schema| schema.is_object()).ok_or_else(|| format!("{path} answers no JSON"))
}

/// What a reference within the description leads to.
fn resolved<'a>(all: &'a Value, mut value: &'a Value) -> &'a Value {
    for _ in 0..DEEP {
        let Some(reference) = value["$ref"].as_str() else { return value };
        value = reference.strip_prefix('#').and_then(|at| all.pointer(at)).unwrap_or(&Value::Null);
    }
    &Value::Null
}

/// The properties of a schema and of those that it is made of.
fn properties<'a>(all: &'a Value, schema: &'a Value) -> Vec<(&'a String, &'a Value)> {
    let (mut found, mut open) = (Vec::new(), vec![schema]);
    // A description may lead in circles.
    for _ in 0..DEEP {
        let Some(next) = open.pop() else { break };
        let schema = resolved(all, next);
        found.extend(schema["properties"].as_object().into_iter().flat_map(Map::iter));
        open.extend(schema["allOf"].as_array().into_iter().flatten());
    }
    found
}

/// The one property that holds a list of objects.
fn array_member(all: &Value, schema: &Value) -> Option<String> {
    let lists = properties(all, schema).into_iter().filter(|(_, value)| {
        let value = resolved(all, value);
        value["type"] == "array" && !properties(all, &value["items"]).is_empty()
    });
    let lists: Vec<_> = lists.map(|(name, _)| name.clone()).collect();
    <[String; 1]>::try_from(lists).ok().map(|[only]| only)
}

/// Properties that are one value each, and may name a file.
fn fields(all: &Value, schema: &Value) -> Vec<Field> {
    let mut seen = BTreeSet::new();
    let field = |(name, value): (&String, &Value)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let good = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
        let value = resolved(all, value);
        // Since 3.1 a type may be a list with "null" in it.
        let kind = value["type"].as_str().or_else(|| {
            value["type"].as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
        })?;
        let kind = match kind {
            "string" => Kind::Text,
            "integer" => Kind::Whole,
            "number" => Kind::Number,
            "boolean" => Kind::Truth,
            _ => return None,
        };
        // Two that differ by a sign alone would be one file.
        let new = good && seen.insert(name.to_ascii_lowercase().replace('_', "-"));
        new.then(|| Field { name: name.clone(), kind })
    };
    properties(all, schema).into_iter().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pets() -> Value {
        json!({
            "info": { "title": "Pets" },
            "servers": [{ "url": "https://pets.example/v1/" }],
            "paths": {
                "/pets": { "get": { "responses": { "200": { "content": { "application/json": {
                    "schema": { "type": "array", "items": { "$ref": "#/components/schemas/Pet" } }
                } } } } } },
                "/page": { "get": { "responses": { "200": { "$ref": "#/components/responses/Page" } } } },
                "/pets/{petId}": { "get": { "responses": { "200": { "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Pet" }
                } } } } } }
            },
            "components": {
                "responses": { "Page": { "content": { "application/hal+json": { "schema": {
                    "type": "object",
                    "properties": {
                        "pets": { "type": "array", "items": { "$ref": "#/components/schemas/Pet" } },
                        "total": { "type": "integer" }
                    }
                } } } } },
                "schemas": {
                    "Pet": { "allOf": [
                        { "$ref": "#/components/schemas/Base" },
                        { "properties": {
                            "born_at": { "type": ["string", "null"] },
                            "born-at": { "type": "string" },
                            "weight": { "type": "number" },
                            "tags": { "type": "array", "items": { "type": "string" } },
                            "../x": { "type": "string" },
                            "loop": { "$ref": "#/components/schemas/Loop" }
                        } }
                    ] },
                    "Base": { "properties": { "id": { "type": "integer" } } },
                    "Loop": { "$ref": "#/components/schemas/Loop" }
                }
            }
        })
    }

    fn planned(all: &Value, list: &str, item: &str) -> Result<Plan, String> {
        plan(&all.to_string(), &Wanted { list, item, key: None })
    }

    #[test]
    fn paths_fields_and_the_key_come_from_the_description() {
        let found = planned(&pets(), "/pets", "/pets/{petId}").unwrap();
        assert_eq!((&*found.url, &*found.item), ("https://pets.example/v1", "/pets/*"));
        assert_eq!((&*found.key.name, found.key.kind, found.member), ("id", Kind::Whole, None));
        let names: Vec<_> = found.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.contains(&"weight") && names.iter().any(|name| name.starts_with("born")));
        let found = planned(&pets(), "/page", "/pets/{petId}").unwrap();
        assert_eq!(found.member.as_deref(), Some("pets"));
    }

    #[test]
    fn yaml_is_read_too() {
        let text = "info: {title: T}\npaths:\n  /a:\n    get: {responses: {'200': {content: {application/json: {schema: {type: array}}}}}}\n  \
                    /a/{id}:\n    get: {responses: {'200': {content: {application/json: {schema: {properties: {id: {type: string}}}}}}}}\n";
        let found = plan(text, &Wanted { list: "/a", item: "/a/{id}", key: None }).unwrap();
        assert_eq!((&*found.summary, found.key.kind), ("T", Kind::Text));
        assert_eq!(found.url, "https://api.example.com", "none is named");
    }

    #[test]
    fn what_a_description_lacks_is_said() {
        for (list, item, part) in [
            ("/none", "/pets/{petId}", "no GET of /none"),
            ("/pets/{petId}", "/pets/{petId}", "write a value"),
            ("/pets", "/pets", "one {...}"),
            ("/pets\"]", "/pets/{petId}", "is no path"),
            ("/pets", "/pets/x{petId}", "whole segment"),
        ] {
            let error = planned(&pets(), list, item).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        let mut nameless = pets();
        nameless["components"]["schemas"]["Base"] = json!({});
        let error = planned(&nameless, "/pets", "/pets/{petId}").unwrap_err();
        assert!(error.contains("--key"), "{error}");
        assert!(plan("{", &Wanted { list: "/a", item: "/a/{b}", key: None }).is_err());
    }
}
