//! Documents with a front matter: `---`, one `key: value` a line, `---`, an empty line, the body as
//! it is.
//!
//! Values are YAML. What could be read as something else than the text it is stands in double
//! quotes, escaped as in JSON, of which YAML is a superset; so a title with a line break or a terminal
//! escape stays one harmless line.

use crate::time::rfc3339_ms;
use crate::{Content, document};
use serde_json::Value;

/// A page with these fields in this order. `null` and an empty list are left out.
pub fn page(fields: &[(&str, Value)], body: &str) -> Content {
    let mut text = String::from("---\n");
    for (name, value) in fields {
        let shown = match value {
            Value::Null => continue,
            Value::Array(items) if items.is_empty() => continue,
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| plain_or_quoted(item, true)).collect();
                format!("[{}]", items.join(", "))
            }
            value => plain_or_quoted(value, false),
        };
        text.push_str(&format!("{name}: {shown}\n"));
    }
    text.push_str("---\n\n");
    text.push_str(body);
    document(text)
}

fn plain_or_quoted(value: &Value, in_list: bool) -> String {
    match value {
        Value::String(text) if !is_plain(text, in_list) => quoted(text),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON leaves DEL and the C1 controls as they are; a terminal obeys them.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Whether a YAML reader takes the text for the string that it is.
fn is_plain(text: &str, in_list: bool) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let starts_plain = text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '/');
    let is_time = || text.ends_with('Z') && rfc3339_ms(text).is_some();
    (starts_plain || is_time())
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
        && !(in_list && text.contains([',', '[', ']', '{', '}', '"', '\'']))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        let fields = [
            ("title", json!("Login: fails \u{1b}[31m\nagain")),
            ("plain", json!("Login fails")),
            ("answer", json!("no")),
            ("created", json!("2026-01-02T03:04:05Z")),
            ("updated", json!("2026-01-02T03:04:05.678Z")),
            ("due", json!("2026-01-02")),
            ("number", json!(7)),
            ("labels", json!(["bug", "a, b", "good first issue"])),
            ("closed", Value::Null),
            ("assignees", json!([])),
        ];
        let text = String::from_utf8(page(&fields, "body\r\n").0).unwrap();
        assert_eq!(
            text,
            "---\ntitle: \"Login: fails \\u001b[31m\\nagain\"\nplain: Login fails\nanswer: \"no\"\n\
             created: 2026-01-02T03:04:05Z\nupdated: 2026-01-02T03:04:05.678Z\n\
             due: \"2026-01-02\"\nnumber: 7\nlabels: [bug, \"a, b\", good first issue]\n---\n\n\
             body\r\n"
        );
    }
}
