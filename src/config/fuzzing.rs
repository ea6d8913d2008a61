//! See `crate::fuzzing`.

use super::error::Error;
use super::read;
use super::units::{self, Capacity, Size};
use std::path::Path;

/// Has the form of a token. Where a seed holds it, it is a value, and no message may repeat it.
const SECRET: &str = "abc_abcdefghijklmnopqrstuvwxyz0123456789";

pub fn file(text: &str) {
    let file = Path::new("/etc/omnifs/config.toml");
    match read::parse(file, text) {
        Ok(config) => {
            let shown = config.to_string();
            match read::parse(file, &shown) {
                Ok(again) => assert_eq!(again, config, "{shown}"),
                Err(errors) => panic!("what is shown is not read: {}\n{shown}", errors[0]),
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| check(error, text));
        }
    }
    values(text);
}

fn check(error: &Error, text: &str) {
    let lines = text.lines().count() + 1;
    let (place, repeats) = match error {
        Error::Syntax { place, message } => (place, message.contains(SECRET)),
        Error::Value { place, problem, .. } => (place, problem.contains(SECRET)),
        Error::UnknownKey { place, .. }
        | Error::Type { place, .. }
        | Error::Secret { place, .. } => (place, false),
        other => panic!("reading a text ended in {other}"),
    };
    assert!((1..=lines).contains(&place.line), "line {} of {lines}", place.line);
    assert!(!repeats, "a message repeats a secret");
    let _ = error.hint();
}

/// Values as flags and the environment have them.
fn values(text: &str) {
    if let Ok(size) = text.parse::<Size>() {
        // A rounded one is shown as such.
        assert!(size.to_string().parse::<Size>().is_ok());
    }
    if let Ok(length) = units::duration(text) {
        assert!(!length.is_zero());
    }
    if let Ok(capacity) = text.parse::<Capacity>() {
        assert!(capacity.nodes.is_none_or(|nodes| units::check_nodes(nodes).is_ok()));
        assert!(capacity.bytes.is_none_or(|bytes| units::check_bytes(bytes).is_ok()));
    }
}
