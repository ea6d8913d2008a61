//! What the body of a request may say, where a manifest bounds it ([`Bodies`]).
//!
//! **Invariant:** no reader of JSON finds another value in what passes than the one that was compared. Readers
//! differ: of a member that is there twice some take the first and some the last, some take `METHOD` for `method`, and
//! some take a body of another media type for a form. So what two readers could read in two ways is refused.

use crate::provider::Bodies;
use http::{HeaderMap, HeaderValue, header};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The value of the member in `body`, which is one of those that `bounds` names.
pub(super) fn said(bounds: &Bodies, headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let json = HeaderValue::from_static("application/json");
    if kinds.next() != Some(&json) || kinds.next().is_some() {
        return Err("it is sent as application/json".to_owned());
    }
    let text = str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut document = serde_json::Deserializer::from_str(text);
    let said = Member(&bounds.member).deserialize(&mut document);
    let said = said.and_then(|said| document.end().map(|()| said));
    let said = said.map_err(|why| super::one_line(&why.to_string()))?;
    if !bounds.values.contains(&said) {
        let said = super::one_line(&said);
        return Err(format!("the manifest does not allow {said:?} as its {}", bounds.member));
    }
    Ok(said)
}

/// A member of an object, by name.
struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<String, D::Error> {
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with one {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<String, A::Error> {
        let mut said = None;
        while let Some(name) = object.next_key::<String>()? {
            // Beyond ASCII there are letters that a reader may take for one of ASCII.
            // One written in C takes a name to end at NUL.
            if !name.is_ascii() || name.bytes().any(|byte| byte.is_ascii_control()) {
                return Err(A::Error::custom("the name of a member is not of visible ASCII"));
            }
            if !name.eq_ignore_ascii_case(self.0) {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            if name != self.0 || said.is_some() {
                return Err(A::Error::custom(format_args!("it has more than one {}", self.0)));
            }
            said = Some(object.next_value()?);
        }
        said.ok_or_else(|| A::Error::custom(format_args!("it has no {}", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kinds: &[&'static str], body: &[u8]) -> Result<String, String> {
        let bounds = Bodies {
            member: "method".to_owned(),
            values: vec!["list".to_owned(), "read".to_owned()],
        };
        let mut headers = HeaderMap::new();
        for kind in kinds {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        said(&bounds, &headers, body)
    }

    const JSON: &[&str] = &["application/json"];

    #[test]
    fn what_is_allowed_is_told() {
        for body in [
            r#"{"method":"read"}"#,
            r#" {"id": 1, "params": {"method": "call"}, "m\u0065thod": "re\u0061d"} "#,
            r#"{"params":[{"Method":"call"}],"method":"read","other":"method"}"#,
        ] {
            assert_eq!(judged(JSON, body.as_bytes()).as_deref(), Ok("read"), "{body}");
        }
    }

    #[test]
    fn what_some_reader_could_take_for_another_request_is_refused() {
        for body in [
            "",
            "null",
            "\"read\"",
            r#"{}"#,
            r#"{"method":"call"}"#,
            r#"{"method":"Read"}"#,
            r#"{"method":"read "}"#,
            r#"{"method":null}"#,
            r#"{"method":["read"]}"#,
            r#"{"method":{"read":1}}"#,
            // Of two, some readers take the first and some the last.
            r#"{"method":"read","method":"call"}"#,
            r#"{"method":"call","method":"read"}"#,
            r#"{"method":"read","method":"read"}"#,
            r#"{"method":"read","m\u0065thod":"call"}"#,
            r#"{"method":"read","Method":"call"}"#,
            r#"{"METHOD":"call","method":"read"}"#,
            r#"{"METHOD":"read"}"#,
            "{\"method\":\"read\",\"m\u{117}thod\":\"call\"}",
            // A batch, and what comes after the first document.
            r#"[{"method":"read"},{"method":"call"}]"#,
            r#"[{"method":"read"}]"#,
            r#"{"method":"read"}{"method":"call"}"#,
            "{\"method\":\"read\"}\n{\"method\":\"call\"}",
            r#"{"method":"read"} x"#,
            // What is no JSON to the strictest reader.
            "\u{feff}{\"method\":\"read\"}",
            r#"{"method":"read",}"#,
            r#"{'method':'read'}"#,
            r#"{method:"read"}"#,
            r#"/* */{"method":"read"}"#,
            "{\"method\":\"read\",\"a\":\"\u{0}\"}",
            r#"{"method":"read","a":NaN}"#,
            "method=read",
        ] {
            assert!(judged(JSON, body.as_bytes()).is_err(), "{body} passed");
        }
        let utf16: Vec<u8> =
            r#"{"method":"read"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(judged(JSON, &utf16).is_err());
        assert!(judged(JSON, b"{\"method\":\"read\",\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_body_of_another_media_type_is_refused() {
        for kinds in [
            &[][..],
            &["application/x-www-form-urlencoded"],
            &["text/plain"],
            &["application/json; charset=utf-7"],
            &["application/json", "text/plain"],
            &["application/json", "application/json"],
        ] {
            assert!(judged(kinds, br#"{"method":"read"}"#).is_err(), "{kinds:?} passed");
        }
    }
}
