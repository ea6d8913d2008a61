//! What files hold, in four forms.
//!
//! - **Scalar**: one line and one newline. A value that is absent is an empty file of 0 bytes; an
//!   empty value is one newline. Line feeds and carriage returns inside a value are replaced by one
//!   space (a CR LF pair by one), so that it stays one line; every other byte is kept.
//! - **Lines**: one scalar for each item; no item is an empty file.
//! - **Document**: the service's text, byte for byte, with no newline added.
//! - **JSON**: pretty-printed with two spaces, keys sorted, one newline at the end. The same value
//!   gives the same bytes, in whatever order the service wrote it.

use serde::Serialize;
use std::fmt::Display;

/// The bytes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content(bytes)
    }
}

/// The files of a directory that is part of an object, such as labels: names and contents.
pub type Map = Vec<(String, Content)>;

/// One line.
pub fn scalar(value: impl Display) -> Content {
    let mut line = value.to_string().into_bytes();
    // A listing makes tens of thousands, and hardly one of them has a line end.
    if line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        line = one_line(&String::from_utf8_lossy(&line)).into_bytes();
    }
    line.push(b'\n');
    Content(line)
}

/// One line, or an empty file where there is no value.
pub fn optional(value: Option<impl Display>) -> Content {
    value.map_or_else(Content::default, scalar)
}

/// One line for each item, in the given order.
pub fn lines(items: impl IntoIterator<Item = impl Display>) -> Content {
    let mut lines = Vec::new();
    items.into_iter().for_each(|item| lines.append(&mut scalar(item).0));
    Content(lines)
}

/// The text as the service holds it.
pub fn document(text: impl Into<Vec<u8>>) -> Content {
    Content(text.into())
}

/// A JSON document, its members by name.
pub fn json(value: &impl Serialize) -> Content {
    // A map with keys that are no strings is the one value that has no JSON; a provider's answers
    // came from JSON.
    json_value(&serde_json::to_value(value).unwrap_or_default())
}

/// The same of a value that is JSON already.
pub fn json_value(value: &serde_json::Value) -> Content {
    // Writing a value to memory does not fail.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    Content(text)
}

/// A directory with one scalar for each pair.
pub fn scalars<K: Display, V: Display>(pairs: impl IntoIterator<Item = (K, V)>) -> Map {
    pairs.into_iter().map(|(key, value)| (key.to_string(), scalar(value))).collect()
}

/// The text with its line ends replaced by spaces.
pub fn one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: Content) -> String {
        String::from_utf8(content.0).unwrap()
    }

    #[test]
    fn a_scalar_is_one_line_whatever_the_value_holds() {
        assert_eq!(text(scalar("running")), "running\n");
        assert_eq!(text(scalar(-7)), "-7\n");
        assert_eq!(text(scalar("")), "\n");
        assert_eq!(text(scalar("a\r\nb\nc\rd\n")), "a b c d \n");
        assert_eq!(text(scalar("c\rd")), "c d\n");
        assert_eq!(
            text(scalar("\u{1b}[31m \u{202e} \u{1f600}\t")),
            "\u{1b}[31m \u{202e} \u{1f600}\t\n"
        );
        assert_eq!(text(optional(None::<u8>)), "");
    }

    #[test]
    fn lines_end_each_item() {
        assert_eq!(text(lines(["a", "b\nc"])), "a\nb c\n");
        assert_eq!(text(lines([""; 0])), "");
    }

    #[test]
    fn json_does_not_depend_on_the_order_of_keys() {
        let a: serde_json::Value =
            serde_json::from_str(r#"{"b":1,"a":[{"d":1.10,"c":null}]}"#).unwrap();
        let b: serde_json::Value =
            serde_json::from_str(r#"{"a":[{"c":null,"d":1.1}],"b":1}"#).unwrap();
        assert_eq!(text(json(&a)), text(json(&b)));
        assert!(text(json(&a)).starts_with("{\n  \"a\": [\n") && text(json(&a)).ends_with("}\n"));
    }

    #[test]
    fn a_document_is_kept_byte_for_byte() {
        assert_eq!(document("no newline").0, b"no newline");
        assert_eq!(document("a\r\n\0").0, b"a\r\n\0");
    }
}
