//! Answers and webhooks against GitHub's OpenAPI description, by a JSON Schema validator.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use jsonschema::{Draft, Registry, Validator};
use omnifs_descriptions as check;
use serde_json::{Value, json};

use super::Reply;

const NAME: &str = "urn:github";

/// The description's schemas as JSON Schema.
struct Schemas {
    registry: Registry<'static>,
    validators: Mutex<HashMap<String, &'static Validator>>,
}

/// Closed schemas admit no member that they do not list. Those of the webhooks are not meant so:
/// they are put together from parts that each list some.
fn schemas(description: &'static check::OpenApi, closed: bool) -> &'static Schemas {
    static OPEN: OnceLock<Schemas> = OnceLock::new();
    static CLOSED: OnceLock<Schemas> = OnceLock::new();
    let place = if closed { &CLOSED } else { &OPEN };
    place.get_or_init(|| {
        let mut document = description.document().clone();
        translate(&mut document, closed);
        // An empty schema among the forms of a payload matches everything, so that no other form
        // can be the only one that does: the description cannot mean it.
        let payload = &mut document["components"]["schemas"]["event"]["properties"]["payload"];
        let forms = payload.as_object_mut().unwrap().remove("oneOf").unwrap();
        let named = forms.as_array().unwrap().iter();
        let named = named.filter(|f| f["$ref"] != "#/components/schemas/public-event");
        payload["anyOf"] = named.cloned().collect();
        let registry = Registry::new().add(NAME, document).unwrap().prepare().unwrap();
        Schemas { registry, validators: Mutex::default() }
    })
}

/// OpenAPI 3.0 says `nullable` where JSON Schema has a type of its own.
fn translate(value: &mut Value, closed: bool) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| translate(value, closed)),
        Value::Object(members) => {
            members.remove("example");
            members.remove("examples");
            members.values_mut().for_each(|value| translate(value, closed));
            let parts = ["allOf", "anyOf", "oneOf", "additionalProperties"];
            let plain = closed && !parts.iter().any(|part| members.contains_key(*part));
            if plain && members.get("type") == Some(&json!("object")) {
                let listed = members.get("properties").and_then(Value::as_object);
                if listed.is_some_and(|listed| !listed.is_empty()) {
                    members.insert("additionalProperties".to_owned(), json!(false));
                }
            }
            if members.remove("nullable") == Some(json!(true)) {
                if let Some(values) = members.get_mut("enum").and_then(Value::as_array_mut) {
                    values.push(Value::Null);
                }
                if let Some(one @ Value::String(_)) = members.get("type").cloned() {
                    members.insert("type".to_owned(), json!([one, "null"]));
                } else {
                    let own = Value::Object(std::mem::take(members));
                    members.insert("anyOf".to_owned(), json!([own, {"type": "null"}]));
                }
            }
        }
        _ => {}
    }
}

/// What the schema at this place of the description has against a value.
fn faults(
    description: &'static check::OpenApi,
    pointer: &str,
    value: &Value,
    closed: bool,
) -> Vec<String> {
    let schemas = schemas(description, closed);
    let mut validators = schemas.validators.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = *validators.entry(pointer.to_owned()).or_insert_with(|| {
        // Braces are no characters of a URI.
        let fragment = pointer.replace('{', "%7B").replace('}', "%7D");
        let schema = json!({"$ref": format!("{NAME}#{fragment}")});
        let built = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .with_registry(&schemas.registry)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{pointer}: {error}"));
        Box::leak(Box::new(built))
    });
    let errors = validator.iter_errors(value);
    errors.map(|error| format!("{}: {error:.300}", error.instance_path())).take(5).collect()
}

fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// What GitHub's description has against this answer to this request. Nothing where the
/// description cannot be had, which has then been said.
pub fn check_answer(method: &str, path: &str, reply: &Reply) -> Vec<String> {
    let Some(description) = check::github() else { return Vec::new() };
    let operation = match description.check(method, path) {
        Ok(operation) => operation,
        Err(why) => return vec![why],
    };
    let base = format!("/paths/{}/{}/responses", escape(operation.template), method.to_lowercase());
    let responses = &operation.value["responses"];
    let status = reply.status.to_string();
    let Some(declared) = responses.get(&status) else {
        // Any operation may be refused or fail, whether its description says so or not.
        let known = matches!(reply.status, 301 | 304 | 400 | 401 | 403 | 404 | 410 | 422 | 429)
            || reply.status >= 500;
        if !known {
            return vec![format!("{}: status {status} is not described", operation.id)];
        }
        if reply.status == 304 {
            return Vec::new();
        }
        return faults(description, "/components/schemas/basic-error", &reply.json(), true);
    };
    let pointer = match declared["$ref"].as_str() {
        Some(reference) => reference.trim_start_matches('#').to_owned(),
        None => format!("{base}/{status}"),
    };
    let content = &description.document().pointer(&pointer).unwrap()["content"];
    let media = reply.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default();
    match content.get(media) {
        Some(content) if content["schema"]["type"] == "string" => Vec::new(),
        Some(_) => {
            let at = format!("{pointer}/content/{}/schema", escape(media));
            // An event's payload is put together from parts, as a webhook's is.
            let closed = operation.id != "activity/list-repo-events";
            let found = faults(description, &at, &reply.json(), closed);
            found.into_iter().map(|fault| format!("{} {status}: {fault}", operation.id)).collect()
        }
        None if reply.body.is_empty() => Vec::new(),
        // The custom media types are described in prose only.
        None if media.starts_with("application/vnd.github.") => Vec::new(),
        None => vec![format!("{}: {status} as {media} is not described", operation.id)],
    }
}

/// What GitHub's description has against this webhook.
pub fn check_webhook(event: &str, payload: &Value) -> Vec<String> {
    let Some(description) = check::github() else { return Vec::new() };
    let name = match payload["action"].as_str() {
        Some(action) => format!("{event}-{action}").replace('_', "-"),
        None => event.replace('_', "-"),
    };
    let Some(hook) = description.document()["x-webhooks"].get(&name) else {
        return vec![format!("there is no webhook {name}")];
    };
    let schema = &hook["post"]["requestBody"]["content"]["application/json"]["schema"];
    let pointer = schema["$ref"].as_str().unwrap().trim_start_matches('#');
    let found = faults(description, pointer, payload, false);
    found.into_iter().map(|fault| format!("{name}: {fault}")).collect()
}
