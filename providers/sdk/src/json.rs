//! Reading the service's JSON.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use std::ops::Deref;

/// An answer with both faces: the fields that the provider reads, and the whole document for an
/// `inspect.json`.
#[derive(Clone, Debug, Default)]
pub struct Raw<T> {
    pub json: serde_json::Value,
    typed: T,
}

impl<T> Deref for Raw<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.typed
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        let typed = T::deserialize(&json).map_err(D::Error::custom)?;
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
        assert_eq!(raw.json["x"], json!([1]));
        assert!(serde_json::from_str::<Raw<Issue>>("{}").is_err());
    }
}
