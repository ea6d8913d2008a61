//! What a value of the service's JSON is as a file.

use omnifs_sdk::{Content, document, json_value, lines, optional, scalar, time};
use serde_json::Value;

/// The file `name` of what `pointer` leads to in `object`: a text, with a line feed at its end; a number or
/// `true`; a list of those, a line for each; or JSON. What is `null`, or not there, is an empty file.
pub fn file(object: &Value, name: &str, pointer: &str) -> Content {
    let Some(value) = object.pointer(pointer) else { return Content::default() };
    if name.ends_with(".json") {
        return json_value(value);
    }
    match value {
        Value::Array(items) if items.iter().all(|item| plain(item).is_some()) => {
            lines(items.iter().filter_map(plain))
        }
        Value::Array(_) | Value::Object(_) => json_value(value),
        Value::String(text) if text.contains(['\n', '\r']) => {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            document(format!("{text}{end}"))
        }
        Value::String(text) => scalar(text),
        value => optional(plain(value)),
    }
}

/// A text, number, `true` or `false` as one text.
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What tells an object from the others: a text, number, `true` or `false`, or several of them with their names,
/// as a set of labels has: `instance=db1,job=backup`.
pub fn identity(value: &Value) -> Option<String> {
    let text = match value {
        Value::Object(members) => {
            let one = |(name, value): (&String, &Value)| Some(format!("{name}={}", plain(value)?));
            members.iter().map(one).collect::<Option<Vec<_>>>()?.join(",")
        }
        value => plain(value)?,
    };
    (!text.is_empty()).then_some(text)
}

/// A time in milliseconds since the Unix epoch: of RFC 3339, or a number of seconds since then.
pub fn time_ms(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => time::rfc3339_ms(text),
        // The cast keeps what is in range, and no time is negative.
        value => value.as_f64().filter(|at| *at > 0.0).map(|at| (at * 1000.0) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_value_has_one_form() {
        let object = json!({
            "text": "a", "empty": "", "many": "a\nb", "ended": "a\r\nb\n", "number": 1.5, "yes": true,
            "none": null, "list": ["a", 2, false], "nothing": [], "objects": [{"b": 1, "a": 2}]
        });
        let file = |name, pointer| String::from_utf8(file(&object, name, pointer).0).unwrap();
        assert_eq!(file("f", "/text"), "a\n");
        assert_eq!(file("f", "/empty"), "\n");
        assert_eq!(file("f", "/many"), "a\nb\n");
        assert_eq!(file("f", "/ended"), "a\r\nb\n");
        assert_eq!(file("f", "/number"), "1.5\n");
        assert_eq!(file("f", "/yes"), "true\n");
        assert_eq!(file("f", "/none"), "");
        assert_eq!(file("f", "/absent/deep"), "");
        assert_eq!(file("f", "/list"), "a\n2\nfalse\n");
        assert_eq!(file("f", "/nothing"), "");
        assert!(file("f", "/objects").starts_with("[\n  {\n    \"a\": 2,"));
        assert_eq!(file("f.json", "/text"), "\"a\"\n");
        assert_eq!(file("f", "/list/1"), "2\n");
    }

    #[test]
    fn labels_are_an_identity_and_what_is_deeper_is_none() {
        assert_eq!(identity(&json!({"b": 2, "a": "x"})).as_deref(), Some("a=x,b=2"));
        assert_eq!(identity(&json!(7)).as_deref(), Some("7"));
        for none in [json!({"a": {}}), json!({}), json!(""), json!([1]), json!(null)] {
            assert_eq!(identity(&none), None, "{none}");
        }
    }

    #[test]
    fn a_time_is_a_text_or_seconds() {
        assert_eq!(time_ms(&json!("1970-01-01T00:00:01Z")), Some(1000));
        assert_eq!(time_ms(&json!(1.5)), Some(1500));
        assert_eq!(time_ms(&json!(-1)), None);
        assert_eq!(time_ms(&json!("yesterday")), None);
    }
}
