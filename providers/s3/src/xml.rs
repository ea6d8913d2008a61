//! Answers in XML, made into the JSON that the SDK reads: an element with elements is an object, one without them
//! a text, an empty one null, and those of [`LISTS`] stand in a list, in their order.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// What an answer may have several of.
const LISTS: [&str; 5] = ["Bucket", "CommonPrefixes", "Contents", "DeleteMarker", "Version"];
/// No answer of these has more levels.
const DEEPEST: usize = 8;

#[derive(Default)]
struct Element {
    name: String,
    text: String,
    inner: Map<String, Value>,
}

impl Element {
    fn put(&mut self, child: Element) {
        let Element { name, text, inner } = child;
        let value = match inner.is_empty() {
            true if text.is_empty() => Value::Null,
            true => Value::String(text),
            false => Value::Object(inner),
        };
        if LISTS.contains(&name.as_str()) {
            let list = self.inner.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
        } else {
            self.inner.insert(name, value);
        }
    }
}

/// The root element's value. `None` for what is no XML, or a form of it that S3 does not use.
pub fn value(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader::from_str(str::from_utf8(bytes).ok()?);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                open.push(Element { name, ..Element::default() });
                if open.len() > DEEPEST {
                    return None;
                }
            }
            Event::Empty(empty) => {
                let name = empty.local_name().as_ref().to_owned();
                open.last_mut()?.put(Element { name, ..Element::default() });
            }
            Event::End(_) => {
                let child = open.pop()?;
                open.last_mut()?.put(child);
            }
            Event::Text(text) => open.last_mut()?.text.push_str(&text),
            Event::CData(text) => open.last_mut()?.text.push_str(&text),
            Event::GeneralRef(entity) => {
                let text = &mut open.last_mut()?.text;
                match entity.resolve_char_ref().ok()? {
                    Some(c) => text.push(c),
                    None => text.push_str(resolve_predefined_entity(&entity)?),
                }
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::DocType(_) => return None,
        }
    }
    let [document] = &mut open[..] else { return None };
    std::mem::take(&mut document.inner).into_iter().next().map(|(_, root)| root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_what_the_service_wrote() {
        let xml = "<?xml version=\"1.0\"?>\n<R xmlns=\"http://x\"><Contents><Key> a&amp;b&#x1b;&#10;&lt;c> </Key>\
            <ETag>&quot;1&quot;</ETag></Contents><Prefix/><Contents><Key>2</Key></Contents></R>";
        let expected = json!({
            "Contents": [{"Key": " a&b\u{1b}\n<c> ", "ETag": "\"1\""}, {"Key": "2"}],
            "Prefix": null,
        });
        assert_eq!(value(xml.as_bytes()), Some(expected));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let deep = "<a>".repeat(20) + &"</a>".repeat(20);
        for bad in ["", "text", "<a>", "<a></b>", "<a>&x;</a>", "<!DOCTYPE a><a/>", &deep] {
            assert_eq!(value(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
