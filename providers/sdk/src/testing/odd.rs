//! Items as no service should send them.

use serde_json::{Value, json};

/// Stands in a text for what no [`Value`] holds.
const PLACE: &str = "\"omnifs:place\"";

/// What a member may be instead of what it should be, as JSON.
const WRONG: [(&str, &str); 8] = [
    ("null", "null"),
    ("a number", "7654321"),
    ("a number out of range", "1e999"),
    ("a negative number", "-1"),
    ("a text", "\"x\""),
    ("half a character", "\"x\\ud83d\""),
    ("a list", "[]"),
    ("an object", "{}"),
];

/// `item` with one of its members missing or of another kind, once for each member at any depth and
/// each kind: what was done, and the item's JSON. Lists are entered at their first item.
pub fn odd(item: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut paths = Vec::new();
    members(item, String::new(), &mut paths);
    for path in paths {
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        let name = name.replace("~1", "/").replace("~0", "~");
        let mut without = item.clone();
        if let Some(object) = without.pointer_mut(parent).and_then(Value::as_object_mut) {
            object.remove(&name);
            found.push((format!("{path} is missing"), without.to_string()));
        }
        for (what, text) in WRONG {
            let mut marked = item.clone();
            if let Some(member) = marked.pointer_mut(&path) {
                *member = json!("omnifs:place");
            }
            found.push((format!("{path} is {what}"), marked.to_string().replace(PLACE, text)));
        }
    }
    found
}

/// The JSON pointer of every member.
fn members(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                paths.push(path.clone());
                members(value, path, paths);
            }
        }
        Value::Array(list) => {
            if let Some(first) = list.first() {
                members(first, format!("{path}/0"), paths);
            }
        }
        _ => {}
    }
}
