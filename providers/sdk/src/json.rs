//! Reading the service's JSON.

pub use crate::document::{Document, Part, Shown};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;
use std::ops::Deref;

/// An answer with both faces: the fields that the provider reads, and the whole document for an
/// `inspect.json`. It is read from a text, as [`Items`](crate::Items) are, and from no tree of values.
#[derive(Clone, Debug, Default)]
pub struct Raw<T> {
    pub json: Document,
    typed: T,
}

impl<T> Raw<T> {
    pub fn into_parts(self) -> (Document, T) {
        (self.json, self.typed)
    }
}

impl<T> Deref for Raw<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.typed
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let json = Document::read(text).or_else(|_| once(text)).map_err(D::Error::custom)?;
        let typed = once(text).map_err(D::Error::custom)?;
        Ok(Raw { json, typed })
    }
}

/// For `#[serde(default, deserialize_with = "omnifs_sdk::json::null_as_default")]`: services write
/// `null` for an empty list as readily as `[]`.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a document. Where a string in it breaks off within a character, as a service writes that
/// cuts texts by UTF-16 units (`"\ud83d"` without its second half), the document is read with
/// U+FFFD in that place, and the reason is told with it. The error names the field and the reason.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<(T, Option<String>), String> {
    once(text).map(|value| (value, None)).or_else(|why| {
        let whole = whole_characters(text).ok_or_else(|| why.clone())?;
        once(&whole).map(|value| (value, Some(why)))
    })
}

/// Reads a text. Where in it that fails is looked for only once it has.
fn once<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).or_else(|_| {
        let mut document = serde_json::Deserializer::from_str(text);
        let value = serde_path_to_error::deserialize(&mut document).map_err(say)?;
        document.end().map_err(|error| error.to_string())?;
        Ok(value)
    })
}

/// `FIELD: REASON`, without the place in the text, which nobody sees.
fn say(error: serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let reason = error.into_inner().to_string();
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
    if path == "." { reason.to_owned() } else { format!("{path}: {reason}") }
}

/// `text` with U+FFFD for each half of a surrogate pair that stands alone; `None` where all are
/// whole.
fn whole_characters(text: &str) -> Option<String> {
    const WHOLE: &str = "\\ufffd";
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let lone = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                at += 12;
                continue;
            }
            (Some(0xd800..=0xdfff), _) => true,
            _ => false,
        };
        if lone {
            out.push_str(&text[kept..at]);
            out.push_str(WHOLE);
            kept = at + 6;
            at = kept;
        } else {
            // The escaped character, which may be a backslash.
            at = text[at + 1..].chars().next().map_or(text.len(), |next| at + 1 + next.len_utf8());
        }
    }
    (kept > 0).then(|| out + &text[kept..])
}

/// `value` without the members that `paths` name, each a path of keys: `["State", "Health", "Log"]`.
pub fn without(mut value: serde_json::Value, paths: &[&[&str]]) -> serde_json::Value {
    for path in paths {
        let Some((last, parents)) = path.split_last() else { continue };
        let parent = parents.iter().try_fold(&mut value, |node, key| node.get_mut(*key));
        if let Some(object) = parent.and_then(serde_json::Value::as_object_mut) {
            object.remove(*last);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn without_removes_what_is_there_and_ignores_what_is_not() {
        let value = json!({"a": {"b": 1, "c": 2}, "d": null});
        let paths: &[&[&str]] = &[&["a", "b"], &["d", "x"], &["e", "f"], &["a", "b", "c"]];
        assert_eq!(without(value, paths), json!({"a": {"c": 2}, "d": null}));
    }

    #[test]
    fn raw_keeps_the_fields_that_the_type_does_not_name() {
        #[derive(serde::Deserialize)]
        struct Issue {
            number: u64,
            #[serde(default, deserialize_with = "null_as_default")]
            labels: Vec<String>,
        }
        let raw: Raw<Issue> =
            serde_json::from_str(r#"{"number":3,"labels":null,"x":[1]}"#).unwrap();
        assert_eq!((raw.number, raw.labels.len()), (3, 0));
        assert_eq!(raw.json.value()["x"], json!([1]));
        assert!(serde_json::from_str::<Raw<Issue>>("{}").is_err());
    }
}
