//! The settings of this provider instance.

use crate::host;
use std::str::FromStr;

/// The user's value of a declared key, else the declared default.
pub fn get(key: &str) -> Option<String> {
    host::config(key)
}

/// As [`get`], parsed. What does not parse is logged and counts as absent.
pub fn parse<T: FromStr>(key: &str) -> Option<T> {
    let text = get(key)?;
    let value = text.trim().parse().ok();
    if value.is_none() {
        crate::log::warn(&format!("setting {key}: {text:?} is not valid and is ignored"));
    }
    value
}
