//! JSON documents that are shown as they are, but for some of their members.
//!
//! A listing holds thousands of them, so one is no tree: its values stand one after the other in two
//! pieces of memory, and members are put in order as they are written.

use crate::Content;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess};
use serde_json::{Number, Value};
use std::fmt::{self, Display, Write as _};

/// A JSON document.
#[derive(Clone, Debug, Default)]
pub struct Document {
    nodes: Vec<Node>,
    /// All strings, and what is written of the other values.
    text: String,
}

/// A value. Those in a list or an object follow it, up to the place `end`; in an object they are names
/// and values by turns.
#[derive(Clone, Debug)]
enum Node {
    /// From here to there in `text`, as JSON writes it: a number, `true`, `false` or `null`.
    Written {
        start: usize,
        end: usize,
    },
    /// The same of a string. JSON writes a plain one without an escape.
    Text {
        start: usize,
        end: usize,
        plain: bool,
    },
    List {
        end: usize,
    },
    Object {
        end: usize,
    },
}

/// A value in a document, by its place.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    document: &'a Document,
    at: usize,
}

/// What a JSON file shows: a part of a document, or an object made of such.
#[derive(Clone, Debug)]
pub enum Shown<'a> {
    Part(Part<'a>),
    Object(Vec<(&'a str, Shown<'a>)>),
}

impl Document {
    /// Reads a text. What that takes is reserved at once: a listing reads thousands.
    pub(crate) fn read(text: &str) -> serde_json::Result<Self> {
        let mut document = Document {
            // Most values of a service's objects are URLs.
            nodes: Vec::with_capacity(text.len() / 32),
            text: String::with_capacity(text.len()),
        };
        let mut json = serde_json::Deserializer::from_str(text);
        Reader(&mut document).deserialize(&mut json)?;
        json.end()?;
        Ok(document)
    }

    /// The document in the form of [`json`](crate::json()), without the members that `paths` name, each a
    /// path of keys: `["State", "Health", "Log"]`.
    pub fn content(&self, without: &[&[&str]]) -> Content {
        Shown::Part(Part { document: self, at: 0 }).content(without)
    }

    /// A member of the document.
    pub fn member(&self, name: &str) -> Option<Part<'_>> {
        let mut members = Part { document: self, at: 0 }.members()?.into_iter();
        members.rfind(|(own, _)| *own == name).map(|(_, part)| part)
    }

    /// As a tree, for what is more than to leave members out.
    pub fn value(&self) -> Value {
        // It was written just now.
        serde_json::from_slice(&self.content(&[]).0).unwrap_or_default()
    }

    fn push_text(&mut self, text: &str, plain: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        self.nodes.push(Node::Text { start, end: self.text.len(), plain });
    }

    fn push_written(&mut self, value: impl Display) {
        let start = self.text.len();
        // Writing to memory does not fail.
        let _ = write!(self.text, "{value}");
        self.nodes.push(Node::Written { start, end: self.text.len() });
    }
}

impl<'a> Part<'a> {
    fn node(self) -> Option<&'a Node> {
        self.document.nodes.get(self.at)
    }

    /// The values after it, up to the place `end`.
    fn below(self, end: usize) -> impl Iterator<Item = Part<'a>> {
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let part = (at < end).then_some(Part { at, ..self })?;
            at = match part.node()? {
                Node::List { end } | Node::Object { end } => *end,
                _ => at + 1,
            };
            Some(part)
        })
    }

    /// In the document's order; `None` where it is no object.
    fn members(self) -> Option<Vec<(&'a str, Part<'a>)>> {
        let Some(Node::Object { end }) = self.node() else { return None };
        let (mut below, mut members) = (self.below(*end), Vec::new());
        while let (Some(name), Some(value)) = (below.next(), below.next()) {
            members.push((name.text(), value));
        }
        Some(members)
    }

    fn text(self) -> &'a str {
        match self.node() {
            Some(Node::Text { start, end, .. } | Node::Written { start, end }) => {
                &self.document.text[*start..*end]
            }
            _ => "",
        }
    }
}

impl Shown<'_> {
    /// See [`Document::content`].
    pub fn content(self, without: &[&[&str]]) -> Content {
        let room = match &self {
            // With as much again as names, line ends and the depth take.
            Shown::Part(Part { document, at: 0 }) => document.text.len() * 3 / 2,
            _ => 0,
        };
        let mut out = Vec::with_capacity(room);
        self.write(without, 0, &mut out);
        out.push(b'\n');
        out.shrink_to_fit();
        Content(out)
    }

    fn write(self, without: &[&[&str]], depth: usize, out: &mut Vec<u8>) {
        let part = match self {
            Shown::Object(members) => return write_object(members, without, depth, out),
            Shown::Part(part) => part,
        };
        match part.node() {
            None => out.extend(b"null"),
            Some(Node::Written { .. }) => out.extend(part.text().as_bytes()),
            Some(Node::Text { plain, .. }) => write_text(part.text(), *plain, out),
            Some(Node::List { end }) => {
                let mut first = true;
                out.push(b'[');
                for item in part.below(*end) {
                    begin_line(std::mem::take(&mut first), depth + 1, out);
                    Shown::Part(item).write(&[], depth + 1, out);
                }
                end_lines(first, depth, b']', out);
            }
            Some(Node::Object { .. }) => {
                let members = part.members().unwrap_or_default();
                let members = members.into_iter().map(|(name, part)| (name, Shown::Part(part)));
                write_object(members.collect(), without, depth, out);
            }
        }
    }
}

fn write_object(
    mut members: Vec<(&str, Shown<'_>)>,
    without: &[&[&str]],
    depth: usize,
    out: &mut Vec<u8>,
) {
    members.sort_by_key(|(name, _)| *name);
    let mut first = true;
    out.push(b'{');
    let mut members = members.into_iter().peekable();
    while let Some((name, value)) = members.next() {
        let again = members.peek().is_some_and(|(next, _)| *next == name);
        // Of those of one name the last one counts.
        if again || without.contains(&[name].as_slice()) {
            continue;
        }
        let below = without.iter().filter(|path| path.first() == Some(&name));
        let below: Vec<&[&str]> = below.map(|path| &path[1..]).collect();
        begin_line(std::mem::take(&mut first), depth + 1, out);
        write_text(name, false, out);
        out.extend(b": ");
        value.write(&below, depth + 1, out);
    }
    end_lines(first, depth, b'}', out);
}

fn write_text(text: &str, plain: bool, out: &mut Vec<u8>) {
    if plain {
        out.push(b'"');
        out.extend(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a text to memory does not fail.
        let _ = serde_json::to_writer(out, text);
    }
}

fn begin_line(first: bool, depth: usize, out: &mut Vec<u8>) {
    out.extend(if first { b"\n".as_slice() } else { b",\n" });
    out.resize(out.len() + 2 * depth, b' ');
}

fn end_lines(empty: bool, depth: usize, bracket: u8, out: &mut Vec<u8>) {
    if !empty {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    }
    out.push(bracket);
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut document = Document::default();
        Reader(&mut document).deserialize(deserializer)?;
        Ok(document)
    }
}

/// Adds a value to the document.
struct Reader<'a>(&'a mut Document);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_written("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push_written(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push_written(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push_written(value);
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no finite number"))?;
        self.0.push_written(number);
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        // What JSON's text holds as it stands needs no escape.
        self.0.push_text(text, true);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_text(text, false);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let at = self.0.nodes.len();
        self.0.nodes.push(Node::List { end: at });
        while list.next_element_seed(Reader(self.0))?.is_some() {}
        self.0.nodes[at] = Node::List { end: self.0.nodes.len() };
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let at = self.0.nodes.len();
        self.0.nodes.push(Node::Object { end: at });
        while object.next_key_seed(Reader(self.0))?.is_some() {
            object.next_value_seed(Reader(self.0))?;
        }
        self.0.nodes[at] = Node::Object { end: self.0.nodes.len() };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::without;
    use crate::json_value;

    const TEXT: &str = r#" {"b": [1, -2, 1.10, 1e2, 18446744073709551615, []], "a": {"z\u00fc\n": "\/ \u0007 \u00fc", "": null},
        "ä": "\"", "dup": 1, "empty": {}, "t": [true, {"k": {"b": 1, "a": [{"x": 0}]}}], "dup": {"c": 1, "d": "e"}} "#;

    #[test]
    fn a_document_is_written_as_a_tree_of_values_would_be() {
        let document: Document = serde_json::from_str(TEXT).unwrap();
        let value: Value = serde_json::from_str(TEXT).unwrap();
        let text = |content: Content| String::from_utf8(content.0).unwrap();
        assert_eq!(text(document.content(&[])), text(json_value(&value)));
        assert_eq!(document.value(), value);
        let paths: &[&[&str]] = &[&["a", ""], &["dup", "c"], &["b"], &["t", "k"], &["ä", "x"]];
        assert_eq!(text(document.content(paths)), text(json_value(&without(value.clone(), paths))));
        for scalar in ["null", "-0.0", "\"x\"", "[[], {}]"] {
            let document: Document = serde_json::from_str(scalar).unwrap();
            let value: Value = serde_json::from_str(scalar).unwrap();
            assert_eq!(text(document.content(&[])), text(json_value(&value)));
        }
        assert!(serde_json::from_str::<Document>(r#"{"a": "\ud83d"}"#).is_err());
    }

    #[test]
    fn an_object_may_be_made_of_parts() {
        let document: Document = serde_json::from_str(TEXT).unwrap();
        let part = |name| Shown::Part(document.member(name).unwrap());
        assert!(document.member("c").is_none());
        let shown =
            Shown::Object(vec![("y", Shown::Object(vec![("ä", part("ä"))])), ("x", part("dup"))]);
        let text = String::from_utf8(shown.content(&[&["x", "c"]]).0).unwrap();
        let expected =
            "{\n  \"x\": {\n    \"d\": \"e\"\n  },\n  \"y\": {\n    \"ä\": \"\\\"\"\n  }\n}\n";
        assert_eq!(text, expected);
    }
}
