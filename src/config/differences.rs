//! Which keys of two configurations differ. Values may be what keeps others out, and are not told.

use super::Config;
use std::collections::BTreeMap;
use toml_edit::{Document, Item, TableLike};

impl Config {
    /// The keys, dotted, whose values are not the same in `other`, or are in one of the two only.
    pub fn differences(&self, other: &Config) -> Vec<String> {
        let (own, other) = (flat(self), flat(other));
        let differs = |key: &&String| own.get(*key) != other.get(*key);
        let mut keys: Vec<_> = own.keys().chain(other.keys()).filter(differs).cloned().collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

/// Each value under its dotted key.
fn flat(config: &Config) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    // What a configuration is shown as can be read: a test holds that.
    if let Ok(document) = Document::parse(config.to_string()) {
        flatten("", document.as_table(), &mut values);
    }
    values
}

fn flatten(path: &str, table: &dyn TableLike, values: &mut BTreeMap<String, String>) {
    for (key, item) in table.iter() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match item.as_table_like() {
            Some(table) => flatten(&path, table, values),
            None => drop(values.insert(path, text(item))),
        }
    }
}

fn text(item: &Item) -> String {
    item.to_string().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(text: &str) -> Config {
        super::super::read::parse(Path::new("c.toml"), text).unwrap()
    }

    #[test]
    fn each_key_that_differs_is_named_and_no_value() {
        let before = config(
            "[cache]\nnodes = 5000\n[instances.a]\nendpoints.api = 'https://a.example/s3cret'\n",
        );
        let after = config(
            "[cache]\nnodes = 6000\n[mount]\nstale-if-error = true\n\
             [instances.a]\nallow = ['acme/*']\nendpoints.api = 'https://a.example/other'\n[instances.b]\nenabled = false\n",
        );
        let expected = [
            "cache.nodes",
            "instances.a.allow",
            "instances.a.endpoints.api.url",
            "instances.b.enabled",
            "mount.stale-if-error",
        ];
        assert_eq!(before.differences(&after), expected);
        assert_eq!(after.differences(&before), expected);
        assert_eq!(before.differences(&before), [""; 0]);
    }
}
